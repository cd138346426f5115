"""What the settings of a portfolio may be: its name, base currency, cost method, goal and note, checked before they are kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from core.ledger import LedgerError, fits
from core.master import InvalidField
from core.methods import METHODS

LONGEST_NAME, LONGEST_NOTE = 80, 2000  # characters
FIRST_GOAL, LAST_GOAL = date(1900, 1, 1), date(2200, 12, 31)  # days that a goal may be set for


def checked_name(text: str) -> str:
    """A portfolio's name without the spaces around it. Raises InvalidField."""
    name = text.strip()
    if not 1 <= len(name) <= LONGEST_NAME or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise InvalidField("name", text[:100], f"1 to {LONGEST_NAME} characters are needed")
    return name


def checked_currency(text: str, currencies: Collection[str]) -> str:
    """The code of the base currency. Raises InvalidField."""
    code = text.strip().upper()
    if code not in currencies:
        raise InvalidField("base_currency", text[:80], "an ISO code such as USD or EUR is needed")
    return code


def checked_method(method: str) -> str:
    """One of the cost methods. Raises InvalidField."""
    if method not in METHODS:
        raise InvalidField("method", method[:80], f"expected one of {', '.join(METHODS)}")
    return method


def checked_goal(value: Decimal | None) -> Decimal | None:
    """What the portfolio shall be worth one day; None: no goal. Raises InvalidField."""
    if value is None:
        return None
    try:
        fits("goal_value", value, 6)
    except LedgerError as e:
        raise InvalidField(e.field, value, e.expected) from e
    if value <= 0:
        raise InvalidField("goal_value", value, "an amount above zero is needed, or none")
    return value


def checked_goal_day(on: date | None) -> date | None:
    """The day of the goal; None: no day. Raises InvalidField."""
    if on is not None and not FIRST_GOAL <= on <= LAST_GOAL:
        raise InvalidField("goal_on", on, f"a day from {FIRST_GOAL} to {LAST_GOAL}")
    return on


def checked_note(text: str) -> str:
    """What somebody wrote about it. Raises InvalidField."""
    if len(text) > LONGEST_NOTE or "\x00" in text:
        raise InvalidField("note", f"of {len(text)} characters", f"up to {LONGEST_NOTE} characters of text")
    return text


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "name": checked_name,
    "goal_value": checked_goal,
    "goal_on": checked_goal_day,
    "note": checked_note,
}


def checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changed settings as they are kept; those without a rule here as they are. Raises InvalidField naming the first that is wrong."""
    return {name: _CHECKS[name](value) if name in _CHECKS else value for name, value in changes.items()}
