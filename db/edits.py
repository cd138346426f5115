"""Edits of what somebody read before: where it is another now, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any


class StaleEdit(RuntimeError):
    """Somebody else changed the row since it was read. `now`: the fields that are known to differ, as they are now."""

    def __init__(self, message: str, now: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.now = dict(now or {})


REPEAT = "look again, then repeat your change"


def still(called: str, seen: Mapping[str, Any], now: Mapping[str, Any], then: str = REPEAT) -> None:
    """Raises StaleEdit where a field that was seen is another now. No text and none are the same; 5 and 5.00 are, too.

    `then`: what to do about it, in words.
    """
    changed = {name: now[name] for name, value in seen.items() if not _same(value, now[name])}
    if changed:
        listed = ", ".join(f"{name} (now {'empty' if v in (None, '') else v})" for name, v in changed.items())
        raise StaleEdit(f"somebody changed {listed} of {called} in the meantime: {then}", changed)


def _same(seen: Any, now: Any) -> bool:
    if isinstance(now, Decimal):
        try:
            return Decimal(str(seen)) == now
        except InvalidOperation:
            return False
    return ("" if seen is None else str(seen)) == ("" if now is None else str(now))
