"""Notices of tasks: what a channel may be, what is written in a mail, what a webhook is sent and how that is signed.

Webhooks follow Standard Webhooks (https://www.standardwebhooks.com): the signature is the HMAC-SHA256 of `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

KINDS = ("mail", "webhook")
EVENTS = ("completed", "failed", "waiting", "decided")
SCOPES = ("mine", "all")
SECRET = "whsec_"  # what a secret begins with
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*)")
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(:\d{1,5})?([/?][!-~]*)?", re.IGNORECASE)


class BadChannel(ValueError):
    """A field of a channel is wrong: which, what it holds, what would be right. Nothing was changed."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field} {str(value)!r}: expected {expected}")


def checked_target(kind: str, target: str, private: bool) -> str:
    """A mail address or URL as it is kept. `private`: webhooks may go to addresses of one's own network. Raises BadChannel."""
    target = target.strip()
    if kind == "mail":
        if len(target) > 254 or not _MAIL.fullmatch(target):
            raise BadChannel("target", target, "a mail address, such as anna@example.org")
    elif kind == "webhook":
        found = _URL.fullmatch(target)
        if len(target) > 2000 or "#" in target or found is None or not 0 < int((found[2] or ":443")[1:]) < 65536:
            raise BadChannel("target", target, "a URL that begins with https:// or http://, without a user name in it")
        host = found[1].strip("[]").rstrip(".").lower()
        if not private and (host == "localhost" or host.endswith(".localhost") or _is_private(host)):
            raise BadChannel(
                "target",
                target,
                "an address of the public internet; WEBHOOK_PRIVATE=on allows those of one's own network",
            )
    else:
        raise BadChannel("kind", kind, " or ".join(KINDS))
    return target


def checked_events(events: Sequence[str]) -> list[str]:
    """Events in the usual order, each once. Raises BadChannel."""
    if not events or set(events) - set(EVENTS):
        raise BadChannel("events", ", ".join(events), f"at least one of {', '.join(EVENTS)}")
    return [e for e in EVENTS if e in events]


def checked_scope(scope: str) -> str:
    """Whose tasks. Raises BadChannel."""
    if scope not in SCOPES:
        raise BadChannel("scope", scope, " or ".join(SCOPES))
    return scope


def _is_private(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:  # a name: it is looked up when something is sent
        return False


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever it is wrapped in. Raises ValueError where it is none."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64: the last four octets are the IPv4 address
            return is_public(str(ipaddress.IPv4Address(ip.packed[12:])))
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(SECRET))
    said = b".".join((number.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()


def body(event: str, payload: Mapping[str, Any], url: str) -> bytes:
    """What a webhook is sent; the same at every attempt."""
    data = {k: _time(v) if k.endswith("_at") else v for k, v in payload.items() if k != "at" and v not in (None, "")}
    kind = "test" if event == "test" else f"task.{event}"
    said = {"type": kind, "timestamp": _time(payload["at"]), "data": {**data, "url": url}}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _time(said: str) -> str:
    """PostgreSQL's JSON leaves out a time's last zeros, so that one in ten is shorter; here each has six places."""
    return datetime.fromisoformat(said).isoformat(timespec="microseconds")


_SAID = {
    "completed": "{title}: completed",
    "failed": "{title}: failed",
    "waiting": "{title}: waits for your decision",
    "approved": "{title}: approved by {decided_by}",
    "rejected": "{title}: rejected by {decided_by}",
    "cancelled": "{title}: cancelled by {cancelled_by}",
    "test": "A test of your notifications",
}


def mail(event: str, payload: Mapping[str, Any], url: str, code: str | None = None) -> tuple[str, str]:
    """(subject, text) of a mail. `code`: the address is not confirmed yet, and is asked for it."""
    if code is not None:
        text = (
            f"{payload['requested_by']} asked for notifications of tasks at this address. To confirm it, enter this code under Tasks, "
            f"Notifications:\n\n{code}\n\n{url}\n\nIf it was not you, do nothing: nothing else is sent here.\n"
        )
        return "Ballast: Confirm your address", text
    words = {k: " ".join(str(v).split()) for k, v in payload.items() if v is not None}
    subject = _SAID[event].format_map(words)
    lines = [subject + ".", ""]
    if event == "test":
        lines.append(f"{words['requested_by']} asked for it. Mail for this address arrives.")
    else:
        lines.append(f"Asked for by {words['requested_by']} on {words['requested_at'][:16].replace('T', ' ')} UTC.")
        if note := words.get("decision_note"):
            lines.append(f"{words.get('decided_by', '')}: {note}")
        if message := words.get("message"):
            lines.append(message if message.endswith(".") else f"{message}.")
        error = payload.get("error") or {}
        if error.get("expected"):
            lines.append(f"{error.get('field')} {error.get('value')!r}: {error['expected']}.")
    lines += ["", url, "", "You hear of this because you asked for it: Tasks, Notifications."]
    return "Ballast: " + subject[:180], "\n".join(lines) + "\n"
