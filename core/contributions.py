"""Contributions: what each security, group and the cash earned in a period, and how much of it came from exchange rates.

Everything adds up: the gains of the securities and of the cash are the gain of the portfolio, and every gain is its local
and its currency part. A figure that a part lacks carries its typed reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.ledger import MICRO, Security
from core.reasons import NegativeBase, Reason
from core.returns import Flows, at_work, money_weighted, twr
from core.valuation import units_by_day
from core.view import Span, View, per_year, settled

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """One security, or several taken as one, over a period, in the base currency.

    Arrays hold one entry a day of the period: value at its end, what was put in (`bought`: at the start of the day) and taken
    out (`received`: sales, income net of costs; at its end). `on` are the days since the start of the period.
    """

    start: float
    value: Floats
    bought: Floats
    received: Floats
    on: NDArray[np.int64]
    currency_gain: float
    rate: Floats | None  # of its currency on the day before and on the days; None where there are several currencies
    lacking: Reason | None
    unpriced: NDArray[np.bool_] | None = None  # days on which it was held and its value is not known: returns span them

    @property
    def end(self) -> float:
        """Value at the end of the period."""
        return float(self.value[-1])

    @property
    def gain(self) -> float:
        """end − start − bought + received."""
        return self.end - self.start - float(self.bought.sum()) + float(self.received.sum())

    @property
    def local_gain(self) -> float:
        """What the gain is without the currency part: the gain of each day in its own currency, at that day's rate."""
        return self.gain - self.currency_gain

    @property
    def seen(self) -> bool:
        """Whether anything was held, bought or received."""
        return bool(self.start or self.value.any() or self.bought.any() or self.received.any() or self.lacking)

    @cached_property
    def twr(self) -> float | Reason:
        """Time-weighted, in the base currency (NUMBERS 7); `NegativeBase` while it was short."""
        return self.lacking or _twr(self._valued, self.bought, self.received, self.start)

    @property
    def _valued(self) -> Floats:
        return self.value if self.unpriced is None else np.where(self.unpriced, np.nan, self.value)

    @cached_property
    def local_twr(self) -> float | Reason | None:
        """The same in its own currency: every amount at its own day's rate. None for several currencies."""
        if self.lacking or self.rate is None:
            return self.lacking
        x = self.rate[1:]
        start = self.start / float(self.rate[0]) if self.start else 0.0
        return _twr(self._valued / x, self.bought / x, self.received / x, start)

    @property
    def flows(self) -> Flows:
        """(days since the start of the period, bought − received), of the days with any."""
        net = self.bought - self.received
        return [(float(self.on[k]), float(net[k])) for k in np.flatnonzero(net)]

    @cached_property
    def mwr(self) -> float | Reason:
        """Money-weighted over the time in which money was at work, not annualised (`returns.money_weighted`)."""
        return self.lacking or money_weighted(self.start, self.end, self.flows, float(self.on[-1]))

    @property
    def mwr_annual(self) -> float | Reason:
        """The XIRR: per year, where money was at work for at least one."""
        first, last = at_work(self.start, self.end, self.flows, float(self.on[-1]))
        return per_year(self.mwr, int(last - first))


def _twr(value: Floats, bought: Floats, received: Floats, start: float) -> float | Reason:
    base = np.concatenate(([start], np.nan_to_num(value[:-1]))) + bought
    if (base < -1e-6).any():
        return NegativeBase()
    return twr(settled(value), bought, received, float(settled(np.array([start]))[0]))


def part(view: View, number: int, first: int, base: int) -> Part:
    """One security from the `first`-th day of the daily series on; `base` is the day number that the period starts from.

    Its currency part is Σ value at the end of the day before, in its own currency, × the change of the rate; the rest of the
    gain, which is Σ gain of the day in its own currency × that day's rate, is the local part. So they add up exactly, day by
    day, with the cross term in the local part. Money put in or taken out on a day has no currency part on that day.
    """
    h, j = view.past, view.past.securities.index(number)
    value = h.value[first:, j].copy()
    value[-1] = view.last_values[j]
    start = float(h.value[first - 1, j]) if first else 0.0
    x = view.rates(view.book.securities[number].currency)
    rate = np.concatenate((x[max(first - 1, 0) : max(first - 1, 0) + 1], x[first:]))
    before = np.concatenate(([start], value[:-1]))
    risk = np.divide(before, rate[:-1], out=np.zeros(len(value)), where=(before != 0) & np.isfinite(rate[:-1]))
    currency_gain = float(np.sum(risk * np.nan_to_num(np.diff(rate))))
    return Part(start, value, h.bought[first:, j], h.received[first:, j], view.days[first:].astype(np.int64) - base, currency_gain, rate,
                view.lacking_of(number, first), _any(h.unpriced[first:, j]))  # fmt: skip


def together(parts: Sequence[Part]) -> Part:
    """Several parts of one period as one. What they pay each other on a day stays within: a switch is no flow of the group."""
    bought, received = (np.sum([getattr(p, name) for p in parts], axis=0) for name in ("bought", "received"))
    net = np.array([p.bought - p.received for p in parts])
    within = np.minimum(np.maximum(net, 0).sum(axis=0), np.maximum(-net, 0).sum(axis=0))
    rates = [p.rate for p in parts]
    one = rates[0] is not None and all(r is not None and np.array_equal(r, rates[0], equal_nan=True) for r in rates)
    return Part(
        sum(p.start for p in parts),
        np.sum([p.value for p in parts], axis=0),
        bought - within,
        received - within,
        parts[0].on,
        sum(p.currency_gain for p in parts),
        rates[0] if one else None,
        next((p.lacking for p in parts if p.lacking), None),
        _any(np.any([p.unpriced for p in parts if p.unpriced is not None], axis=0)) if any(p.unpriced is not None for p in parts) else None,
    )


def _any(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The mask, or None where it marks nothing."""
    return mask if mask.any() else None


@dataclass(frozen=True, slots=True)
class Cash:
    """What the cash earned: interest, fees and taxes that belong to no security, and exchange rates on balances."""

    start: float
    end: float
    gain: float
    currency_gain: float

    @property
    def local_gain(self) -> float:
        """Interest less fees and taxes, the margin of conversions, and the rounding of the total to the cent."""
        return self.gain - self.currency_gain


@dataclass(frozen=True, slots=True)
class Parts:
    """A period taken apart. Law: Σ gain of `securities` + gain of `cash` = gain of `span`."""

    span: Span
    securities: dict[int, Part]
    cash: Cash

    def grouped(self, view: View, name: Callable[[Security], str]) -> dict[str, Part]:
        """The securities by the name of their group."""
        members: dict[str, list[Part]] = {}
        for number, p in self.securities.items():
            members.setdefault(name(view.book.securities[number]), []).append(p)
        return {group: together(found) for group, found in members.items()}


def parts(view: View, span: Span) -> Parts:
    """Every security that was held, bought, sold or paid in a period, and the cash."""
    i, base = span.first, int(view.days[-1]) - span.days
    found = {number: part(view, number, i, base) for number in view.past.securities}
    found = {number: p for number, p in found.items() if p.seen}
    start = float(view.past.cash[i - 1]) if i else 0.0
    end = span.end_value - float(view.last_values.sum())
    put_in = sum(float(p.bought.sum()) for p in found.values())
    taken_out = sum(float(p.received.sum()) for p in found.values())
    gain = end - start - span.net_flow + put_in - taken_out
    return Parts(span, found, Cash(start, end, gain, cash_currency_gain(view, i)))


def cash_currency_gain(view: View, first: int) -> float:
    """Σ balance at the end of the day before × the change of its currency's rate, from the `first`-th day on."""
    ledger, total = view.book.ledger.upto(view.end_day), 0.0
    at = np.searchsorted(view.days, ledger.traded_on)
    for place, currency in enumerate(ledger.currencies):
        mine = ledger.cash_currency == place
        if currency == view.base or not mine.any():
            continue
        daily = np.bincount(at[mine], weights=ledger.net[mine].astype(np.float64) / MICRO, minlength=len(view.days))
        change = np.nan_to_num(np.diff(view.rates(currency)))
        total += float(np.sum((np.cumsum(daily)[:-1] * change)[max(first - 1, 0) :]))
    return total


def opened(view: View) -> dict[int, int]:
    """The day on which each open position was opened: the one after it was last nothing at the end of a day.

    {security: place in the daily series}.
    """
    moves, out, n = view.lots.moves, {}, len(view.days)
    for p in view.valuation.positions:
        its = moves.security == p.security.security_id
        units = units_by_day(moves.delta[its], np.minimum(np.searchsorted(view.days, moves.day[its]), n - 1), n)
        nothing = np.flatnonzero(units[:-1] == 0)
        out[p.security.security_id] = int(nothing[-1]) + 1 if len(nothing) else 0
    return out
