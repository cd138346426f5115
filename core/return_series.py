"""Return series over a grid of days, with the holes spanned: one rule for a session without a price, for everything.

A day without a sound value has no return. The next day that has one carries the return over the whole gap: it counts in what is
linked (growth, drawdown), and it is no one-day return (volatility, VaR, best and worst day). Nothing is filled from a later day.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.returns import daily_returns

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ReturnSeries:
    """Simple returns at the end of each of n days. Arrays of shape (n,).

    `linked`: the return since the valued day before, NaN on days without a value and where no capital was at work. `valued`: the
    day has a value that a return may end at. `session`: the day counts as one (a Sunday with a deposit does not). `sound`: every
    price of the value is of the day's session; a last day that is carried forward is valued and not sound.
    """

    linked: Floats
    valued: Mask
    session: Mask
    sound: Mask

    @cached_property
    def sessions(self) -> NDArray[np.int64]:
        """How many sessions the return of each valued day spans; 0 on the others."""
        count = np.cumsum(self.session)
        at = np.flatnonzero(self.valued)
        out = np.zeros(len(self.linked), np.int64)
        out[at] = np.diff(count[at], prepend=0)
        return out

    @cached_property
    def by_session(self) -> ReturnSeries:
        """The same on sessions alone: what happened on a day between two sessions counts in the next one."""
        return self if self.session.all() else self.over(self.valued & (self.session | _at_end(len(self.valued))))

    @cached_property
    def daily(self) -> Floats:
        """One-day returns: NaN in a hole, at its end, and where the value is not sound."""
        s = self.by_session
        return np.where(s.valued & s.session & s.sound & (s.sessions == 1), s.linked, np.nan)

    @cached_property
    def spread(self) -> Floats:
        """A return a session that links to the same: each session of a span has an equal part, (1 + r) ^ (1 / k) − 1 of k.

        For means and returns per year, which count sessions: dropping a span would lose what it earned.
        """
        s = self.by_session
        out, k = s.linked.copy(), s.sessions
        if len(out) and not s.session[-1] and np.isfinite(out[-1]):  # what came after the last session belongs to it
            at = np.flatnonzero(np.isfinite(out[:-1]))
            if len(at):
                out[at[-1]], out[-1] = (1 + out[at[-1]]) * (1 + out[-1]) - 1, np.nan
        for end in np.flatnonzero((k > 1) & np.isfinite(out)).tolist():
            within = np.flatnonzero(s.session[: end + 1])[-int(k[end]) :]
            r, out[end] = out[end], np.nan
            out[within] = (1 + max(r, -1.0)) ** (1 / int(k[end])) - 1
        return out

    @property
    def spanned(self) -> int:
        """Sessions without a sound value that a later one spans."""
        k = self.sessions
        return int(np.maximum(k[np.isfinite(self.linked)] - 1, 0).sum())

    def over(self, valued: Mask) -> ReturnSeries:
        """The same with fewer valued days: each return spans what lies between two of them."""
        if np.array_equal(valued, self.valued):
            return self
        known = np.isfinite(self.linked)
        level, seen = np.cumprod(1 + np.where(known, self.linked, 0.0)), np.cumsum(known)
        at = np.flatnonzero(valued)
        out = np.full(len(self.linked), np.nan)
        before = np.concatenate(([1.0], level[at][:-1]))
        step = np.divide(level[at], before, out=np.full(len(at), np.nan), where=before != 0) - 1
        out[at] = np.where(np.diff(seen[at], prepend=0) > 0, step, np.nan)
        alone = self.valued & valued & (_between(self.valued, valued) == 1)
        out[alone] = self.linked[alone]  # to the last bit, where nothing is joined
        return ReturnSeries(out, valued, self.session, self.sound & valued)

    def after(self, i: int) -> ReturnSeries:
        """From the i-th day on."""
        return ReturnSeries(self.linked[i:], self.valued[i:], self.session[i:], self.sound[i:])


def of_values(values: Floats, inflow: Floats, outflow: Floats, opening: float, session: Mask, sound: Mask) -> ReturnSeries:
    """Time-weighted returns of a portfolio (NUMBERS 7): `r = (V_end + out) / (V_start + in) − 1`, over the gap where a day is not sound.

    The last day is always valued: what is carried forward stands until it is known better.
    """
    valued = sound | _at_end(len(values))
    linked = daily_returns(np.where(valued, values, np.nan), inflow, outflow, opening)
    return ReturnSeries(linked, valued, session, sound)


def of_levels(level: Floats, session: Mask, sound: Mask) -> ReturnSeries:
    """Returns of a level on a base day and n days after it (shape n + 1; NaN before it begins); masks of shape (n,)."""
    known = np.isfinite(level)
    valued = known[1:] & (sound | _at_end(len(sound)))
    out = np.full(len(sound), np.nan)
    at = np.concatenate(([0] if known[0] else [], np.flatnonzero(valued) + 1)).astype(np.int64)
    if len(at) > 1:
        out[at[1:] - 1] = level[at[1:]] / level[at[:-1]] - 1
    return ReturnSeries(out, valued, session, sound & valued)


def paired(one: ReturnSeries, other: ReturnSeries) -> tuple[ReturnSeries, ReturnSeries]:
    """Two series over the same days, spanned alike: where one has a hole the other is spanned too, and a day on which the market
    of either is closed counts in the next session of both."""
    session = one.session & other.session
    both = one.valued & other.valued & (session | _at_end(len(session)))
    one, other = (ReturnSeries(s.linked, s.valued, session, s.sound).over(both) for s in (one, other))
    return one, other


def _between(fine: Mask, coarse: Mask) -> NDArray[np.int64]:
    """At each coarse day, how many fine days lie in its span, itself included; 0 elsewhere."""
    count = np.cumsum(fine)
    at = np.flatnonzero(coarse)
    out = np.zeros(len(fine), np.int64)
    out[at] = np.diff(count[at], prepend=0)
    return out


def _at_end(n: int) -> Mask:
    found = np.zeros(n, np.bool_)
    found[-1:] = True
    return found
