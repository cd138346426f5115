"""Sessions of an exchange that a security has no bar of: between two bars, and before the first one where it was needed earlier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.calendar import Sessions
from core.fx import day_number, day_of

# after how many answers without the bars they are asked for again how much later; the last wait stays
BETWEEN = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))
BEFORE = (timedelta(days=7), timedelta(days=30))
UNANSWERED = timedelta(hours=1)  # where a feed failed: nobody knows whether it has them


class Hole(NamedTuple):
    """Consecutive sessions without a bar, from `first` to `last`. `needed`: how many of them are on or after the first trade.
    `leading`: there is no bar before them."""

    first: date
    last: date
    needed: int
    leading: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole as it is kept: since when it is known, how often and of whom it was asked, and when it is asked for again."""

    security_id: int
    symbol: str
    name: str
    exchange: str
    first: date
    last: date
    sessions: int
    leading: bool
    feeds: str | None
    tries: int
    found_at: datetime
    asked_at: datetime | None
    next_at: datetime | None
    until: date  # the first bar after it

    def __str__(self) -> str:
        """In words: what is missing and, where nobody has it, who was asked."""
        if self.leading:
            return f"no prices before {self.until}" + (f" from {self.feeds}" if self.tries and self.feeds else "")
        return f"{self.sessions} {'session' if self.sessions == 1 else 'sessions'} without a price: {spanned(self.first, self.last)}"


def spanned(first: date, last: date) -> str:
    """2026-03-02 … 03-10: what both days have in common is said once."""
    if first == last:
        return str(first)
    return f"{first} … {last:%m-%d}" if first.year == last.year else f"{first} … {last}"


def wait(tries: int, leading: bool) -> timedelta:
    """How long until a hole is asked for again that was asked for this many times (at least once)."""
    waits = BEFORE if leading else BETWEEN
    return waits[min(tries, len(waits)) - 1]


def holes(sessions: Sessions, bars: NDArray[np.int32], wanted: date | None, needed: date | None) -> list[Hole]:
    """The holes of one security, oldest first.

    `bars`: its days with a bar, ascending day numbers; none: no holes, for nothing is known of it yet. `wanted`: the day from
    which bars are asked for, `needed` that of its first trade; None: only what lies between its bars. Before the calendar
    begins every weekday counts as a session. What was missed after the last bar is no hole: it is asked for at every close.
    """
    if not len(bars):
        return []
    first, last = int(bars[0]), int(bars[-1])
    start = first if wanted is None else min(first, day_number(wanted))
    days = _days(sessions, start, last)
    missing = days[~np.isin(days, bars, assume_unique=True)]
    if not len(missing):
        return []
    place = np.searchsorted(bars, missing)  # holes of one place have the same bar after them
    cuts = np.flatnonzero(np.diff(place)) + 1
    from_need = None if needed is None else day_number(needed)
    found = []
    for run in np.split(missing, cuts):
        leading = bool(run[0] < first)
        count = len(run) if not leading or from_need is None else int((run >= from_need).sum())
        found.append(Hole(day_of(int(run[0])), day_of(int(run[-1])), count, leading))
    return found


def _days(sessions: Sessions, first: int, last: int) -> NDArray[np.int32]:
    """Sessions from one day to another, weekdays before the calendar begins."""
    known = sessions.between(first, last)
    begins = int(sessions.days[0]) if len(sessions.days) else last + 1
    if first >= begins:
        return known
    earlier = np.arange(first, min(begins, last + 1), dtype=np.int32)
    return np.concatenate([earlier[(earlier + 3) % 7 < 5], known])  # 1970-01-01 was a Thursday: Monday is 0
