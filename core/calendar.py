"""The trading calendar: sessions of an exchange and market phases. Sessions come from the database; when trades settle is `core.settlement`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from core.fx import day_of


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """The sessions of one exchange in order: day numbers, opening and closing times in UTC seconds."""

    exchange: str
    zone: str
    days: NDArray[np.int32]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]

    def is_session(self, day: int) -> bool:
        """Whether the exchange trades on this day."""
        i = int(np.searchsorted(self.days, day))
        return i < len(self.days) and int(self.days[i]) == day

    def last_completed(self, at: datetime) -> int | None:
        """The day number of the last session closed at or before `at`."""
        i = int(np.searchsorted(self.closes, int(at.timestamp()), side="right")) - 1
        return None if i < 0 else int(self.days[i])

    def last_on_or_before(self, day: int) -> int | None:
        """The day number of the last session at or before `day`."""
        i = int(np.searchsorted(self.days, day, side="right")) - 1
        return None if i < 0 else int(self.days[i])

    def current(self, at: datetime) -> int | None:
        """The index of the session open at `at`, else of the last one that opened before; None before the first."""
        i = int(np.searchsorted(self.opens, int(at.timestamp()), side="right")) - 1
        return None if i < 0 else i

    def phase(self, at: datetime) -> str:
        """ "pre" (5.5 h before the open), "regular", "post" (4 h after the close) or "closed"."""
        second = int(at.timestamp())
        i = int(np.searchsorted(self.opens, second, side="right")) - 1
        if i >= 0 and second < self.closes[i]:
            return "regular"
        if i >= 0 and second < self.closes[i] + 4 * 3600:
            return "post"
        if i + 1 < len(self.opens) and second >= self.opens[i + 1] - int(5.5 * 3600):
            return "pre"
        return "closed"

    def between(self, first: int, last: int) -> NDArray[np.int32]:
        """Day numbers of the sessions from `first` to `last`, both included."""
        a, b = np.searchsorted(self.days, (first, last + 1))
        return self.days[a:b]

    def next(self, day: int, n: int = 1) -> date:
        """The n-th session after `day` (weekdays beyond the calendar's end)."""
        i = int(np.searchsorted(self.days, day, side="right"))
        if i + n - 1 < len(self.days):
            return day_of(int(self.days[i + n - 1]))
        on = day_of(day)
        while n:
            on += timedelta(days=1)
            n -= on.weekday() < 5
        return on


def due_days(sessions: Sessions | None, days: NDArray[np.int32]) -> NDArray[np.int32]:
    """The session that a price of each day should be of: the last at or before it; the day itself where no calendar reaches."""
    if sessions is None or not len(sessions.days):
        return days
    i = np.searchsorted(sessions.days, days, side="right") - 1
    return np.where(i >= 0, sessions.days[np.maximum(i, 0)], days).astype(np.int32)
