"""Sends notices of tasks by mail and webhook: what is due, one of each channel at a time, several channels at once.

A notice is sent at least once, under one number at every attempt. Nothing is sent within a transaction; a process that ends between
sending and saying so leaves a notice that is sent again when its lease is over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import smtplib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import httpx
import structlog

from core import VERSION, notices
from db import engine
from db import notices as database
from db.notices import Due
from settings import settings

CHANNEL = "ballast_notices"
EVERY = 5.0  # seconds between two looks for what is due again
ATTEMPTS = 6
FIRST = timedelta(minutes=1)  # until the second attempt; then twice as long each time, each × 0.8…1.2
LEASE = timedelta(seconds=60)  # longer than sending can take
AT_ONCE = 8
LIMIT = 10.0  # seconds that a receiver gets
MAIL_LIMIT = 20.0  # seconds for one mail, once the mail server has said hello
log = structlog.get_logger("notices")


class NotDelivered(Exception):
    """A receiver could not be reached, or refused."""


class Gone(NotDelivered):
    """The receiver says that it wants no more (410)."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    due: Due
    error: NotDelivered | None


def work() -> bool:
    """Send what is due now, of each channel one; whether there was anything. Raises only what the database raises."""
    with engine.jobs() as c:
        found = database.claim(c, AT_ONCE, LEASE)
    if not found:
        return False
    with ThreadPoolExecutor(AT_ONCE, "notice") as threads:
        for outcome in threads.map(_attempt, found):
            _record(outcome)
    return True


def _attempt(due: Due) -> _Outcome:
    try:
        deliver(due)
    except NotDelivered as error:
        return _Outcome(due, error)
    return _Outcome(due, None)


def _record(outcome: _Outcome) -> None:
    due, error = outcome.due, outcome.error
    here = log.bind(notice=str(due.notice_id), event_of=due.event, kind=due.kind, attempt=due.attempts)
    with engine.jobs() as c:
        if error is None:
            database.sent(c, due)
        else:
            last = isinstance(error, Gone) or due.attempts >= ATTEMPTS or due.event == "test"
            database.failed(c, due, str(error), None if last else _wait(due.attempts), isinstance(error, Gone))
    if error is None:
        here.info("sent")
    else:
        here.warning("not delivered", error=str(error))


def _wait(attempts: int) -> timedelta:
    return FIRST * (2 ** (attempts - 1) * random.uniform(0.8, 1.2))


def deliver(due: Due) -> None:
    """Send one. Raises NotDelivered."""
    url = f"{settings.link}/tasks" + (f"?task={due.task_id}" if due.task_id else "")
    if due.kind == "mail":
        _mail(due, url)
    else:
        _webhook(due, url)


# --- mail ----------------------------------------------------------------------------------------


def _mail(due: Due, url: str) -> None:
    if not settings.smtp_url:
        raise NotDelivered("this installation sends no mail: SMTP_URL is empty")
    subject, text = notices.mail(due.event, due.payload, url, due.secret)
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, settings.mail_from, due.target
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{due.notice_id}@{settings.mail_from.rpartition('@')[2].strip('<> ')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with closing(_mail_server()) as server:
            overdue = threading.Timer(MAIL_LIMIT, _hang_up, (server,))
            overdue.start()
            try:
                server.send_message(message)
            finally:
                overdue.cancel()
            # it is accepted: whatever is said to the goodbye, it is not sent again
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"mail server: {_said(error)}") from error


def _hang_up(server: smtplib.SMTP) -> None:
    """End a conversation that takes too long: each answer came in time, all of them together do not."""
    with suppress(OSError):
        if server.sock is not None:
            server.sock.shutdown(socket.SHUT_RDWR)


def _mail_server() -> smtplib.SMTP:
    """Connected and signed in: TLS from the first byte with smtps, else where the server offers it."""
    to = urlsplit(settings.smtp_url)
    host, context = to.hostname or "", ssl.create_default_context()
    server: smtplib.SMTP
    if to.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, to.port or 465, timeout=LIMIT, context=context)
    else:
        server = smtplib.SMTP(host, to.port or 587, timeout=LIMIT)
    try:
        server.ehlo_or_helo_if_needed()
        secure = to.scheme == "smtps"
        if not secure and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
            secure = True
        if to.username is not None and to.password is not None:
            peer = server.sock.getpeername()[0] if server.sock else ""
            if not secure and not ipaddress.ip_address(peer).is_loopback:
                raise NotDelivered(
                    "mail server: it offers no TLS, and the password is not sent in the clear; use smtps://"
                )
            server.login(unquote(to.username), unquote(to.password))
    except (smtplib.SMTPException, OSError, NotDelivered):
        server.close()
        raise
    return server


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode(errors="replace")
        return f"{error.smtp_code} {said}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{code} {said.decode(errors='replace')}" for code, said in error.recipients.values())
    return str(error) or type(error).__name__


# --- webhooks ------------------------------------------------------------------------------------


def _webhook(due: Due, url: str) -> None:
    body, now = notices.body(due.event, due.payload, url), int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": f"Ballast/{VERSION}",
        "webhook-id": str(due.notice_id),
        "webhook-timestamp": str(now),
        "webhook-signature": notices.sign(due.secret or "", str(due.notice_id), now, body),
    }
    try:
        status = asyncio.run(_post(due.target, headers, body))
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {LIMIT:g} seconds") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NotDelivered(f"cannot be reached: {error or type(error).__name__}") from error
    if status == 410:
        raise Gone("answered 410: the receiver wants no more, the channel is paused")
    if 300 <= status < 400:
        raise NotDelivered(f"answered {status}: redirects are not followed, give the address that it leads to")
    if not 200 <= status < 300:
        raise NotDelivered(f"answered {status}")


async def _post(target: str, headers: dict[str, str], body: bytes) -> int:
    """The status of the answer, of which nothing else is read. The addresses connected to are those that were checked: a name
    that is looked up a second time could lead elsewhere."""
    url = httpx.URL(target)
    addresses = _addresses(url.host, url.port or (443 if url.scheme == "https" else 80))
    async with asyncio.timeout(LIMIT), httpx.AsyncClient(trust_env=False, timeout=LIMIT) as client:
        while True:
            request = client.build_request(
                "POST",
                url.copy_with(host=addresses.pop(0)),
                content=body,
                headers=headers | {"host": url.netloc.decode()},
                extensions={"sni_hostname": url.raw_host.decode()},
            )
            try:
                answer = await client.send(request, stream=True, follow_redirects=False)
            except httpx.ConnectError:
                if not addresses:
                    raise
                continue
            await answer.aclose()
            return answer.status_code


def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, none of which may belong to a network of one's own. Raises NotDelivered, OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise NotDelivered(f"{host} is no name of a host") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    refused = [a for a in addresses if not notices.is_public(a)]
    if refused and not settings.webhook_private:
        raise NotDelivered(f"{host} is {refused[0]}, an address of your own network: WEBHOOK_PRIVATE=on allows such")
    return addresses
