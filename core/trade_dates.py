"""What is odd about the date of a trade: no session of its exchange that day, a security that was not listed yet or no longer.

A warning, never a refusal: off-exchange trades and dates of a broker's own are booked all the same. To add a doubt, add a line
to `doubts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from core.calendar import Sessions
from core.fx import day_number, day_of
from core.ledger import TRADES, Security

SATURDAY = 5
ALWAYS_OPEN = frozenset({"Crypto", "Currency"})  # asset classes that trade on any day


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a security could be traded, as far as it is known; None: not known. `status` says what ended it on `ended_on`."""

    issued_on: date | None = None
    matures_on: date | None = None
    ended_on: date | None = None
    status: str = "active"
    first_priced_on: date | None = None


@dataclass(frozen=True, slots=True)
class DateWarning:
    """One doubt about the date of a trade, as a sentence."""

    symbol: str
    on: date
    said: str

    def __str__(self) -> str:
        return f"Trade date {self.on}: {self.said}."


def doubts(
    kind: str, on: date, security: Security | None, sessions: Mapping[str, Sessions], lifetime: Lifetime | None = None
) -> tuple[DateWarning, ...]:
    """What is odd about an entry of a kind on a day: at most one warning of the calendar and one of the security.

    Only trades are looked at (buy, sell, short, cover). Where the calendar of the exchange is not known for the day, weekends alone
    are odd. Crypto and currencies trade on any day.
    """
    if kind not in TRADES or security is None:
        return ()
    said = (_closed(on, security, sessions.get(security.exchange)), _out_of_life(on, security, lifetime or Lifetime()))
    return tuple(DateWarning(security.symbol, on, words) for words in said if words)


def _closed(on: date, security: Security, sessions: Sessions | None) -> str:
    """Why the exchange is closed that day; empty where it is open, or nobody knows."""
    if security.asset_class in ALWAYS_OPEN:
        return ""
    day, weekend = day_number(on), f"{on:%A}s" if on.weekday() >= SATURDAY else ""
    known = sessions is not None and len(sessions.days) > 0 and int(sessions.days[0]) <= day <= int(sessions.days[-1])
    if sessions is None or not known:
        return f"exchanges are closed on {weekend}" if weekend else ""
    if sessions.is_session(day):
        return ""
    before = sessions.last_on_or_before(day)
    near = f"the session before is {'' if before is None else day_of(before)}, the next {sessions.next(day)}"
    what = f"a {on:%A}" if weekend else f"{on:%A}, a holiday there"
    return f"{security.exchange} has no session on that day, {what}: {near}"


def _out_of_life(on: date, security: Security, known: Lifetime) -> str:
    """Why the security could not be traded that day; empty where it could, or nobody knows."""
    if known.issued_on is not None and on < known.issued_on:
        return f"{security.symbol} was issued later, on {known.issued_on}"
    if known.matures_on is not None and on > known.matures_on:
        return f"{security.symbol} matured before, on {known.matures_on}"
    if known.ended_on is not None and on >= known.ended_on:
        return f"{security.symbol} is {known.status} since {known.ended_on}"
    if known.first_priced_on is not None and on < known.first_priced_on:
        return f"no price of {security.symbol} is known before {known.first_priced_on}: it may not have been listed yet"
    return ""
