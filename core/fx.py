"""FX: dated rates between currencies, carried forward, crossed through the euro. Missing is a reason, never 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.reasons import NoRate

EPOCH = date(1970, 1, 1)


def day_number(on: date) -> int:
    """Days since 1970-01-01."""
    return (on - EPOCH).days


def day_of(number: int) -> date:
    """The date of a day number."""
    return EPOCH + timedelta(days=int(number))


def exact(value: float) -> Decimal:
    """The Decimal that a float64 was read from: exact for decimals of up to 15 significant digits."""
    return Decimal(repr(float(value)))


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A dated series: `days` ascending day numbers (int32), `values` float64 of the same length."""

    days: NDArray[np.int32]
    values: NDArray[np.float64]

    def at(self, day: int) -> tuple[int, float] | None:
        """(day, value) of the last entry at or before `day`, None before the first."""
        i = int(np.searchsorted(self.days, day, side="right")) - 1
        return None if i < 0 else (int(self.days[i]), float(self.values[i]))

    def on_days(self, days: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Values carried forward onto `days`, and the day each comes from (NaN and -1 before the first)."""
        if not len(self.days):
            return np.full(len(days), np.nan), np.full(len(days), -1, np.int32)
        i = np.searchsorted(self.days, days, side="right") - 1
        there = i >= 0
        return np.where(there, self.values[i], np.nan), np.where(there, self.days[i], -1).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """All FX of a Book: for each currency its units per 1 `pivot` (the ECB quotes per euro)."""

    series: Mapping[str, Series]
    pivot: str = "EUR"

    def _per_pivot(self, currency: str, day: int) -> Decimal | None:
        if currency == self.pivot:
            return Decimal(1)
        found = self.series[currency].at(day) if currency in self.series else None
        return None if found is None else exact(found[1])

    def rate(self, frm: str, to: str, day: int) -> Decimal | NoRate:
        """Units of `to` for one unit of `frm` on `day`, the last published at or before it. NoRate where there is none."""
        if frm == to:
            return Decimal(1)
        a, b = self._per_pivot(frm, day), self._per_pivot(to, day)
        if a is None or b is None:
            return NoRate(frm if a is None else to, day_of(day))
        return b / a

    def column(self, frm: str, to: str, days: NDArray[np.int32]) -> NDArray[np.float64]:
        """The same over many days as float64; NaN where there is no rate."""
        if frm == to:
            return np.ones(len(days))
        out = np.ones(len(days))
        for currency, power in ((to, 1), (frm, -1)):
            if currency == self.pivot:
                continue
            if currency not in self.series:
                return np.full(len(days), np.nan)
            out = out * self.series[currency].on_days(days)[0] ** power
        return out

    def posted(
        self, amounts: NDArray[np.int64], frm: str, to: str, days: NDArray[np.int32], unit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Amounts at the rate of each one's day in multiples of `unit`, rounded half-even, and where there was a rate (0 where not).

        Exactly amount × `rate`, as `posted_steps` has it: floats decide where they are far from a half, Decimals the rest.
        int64, or Python ints where one does not fit.
        """
        rates = self.column(frm, to, days)
        there = ~np.isnan(rates)
        steps = np.where(there, amounts.astype(np.float64) * np.nan_to_num(rates, posinf=0.0) / unit, 0.0)
        nearest = np.rint(steps)
        clear = 0.5 - np.abs(steps - nearest) > 1e-9 + 1e-14 * np.abs(steps)
        unclear = there & (~(clear & (np.abs(steps) < 2.0**49)) | np.isinf(rates))
        out = np.where(unclear, 0.0, nearest).astype(np.int64)
        if (np.abs(steps) >= 2.0**62).any():
            out = out.astype(object)
        known: dict[int, Decimal | NoRate] = {}
        for i in np.flatnonzero(unclear).tolist():
            day = int(days[i])
            rate = known.get(day)
            if rate is None:
                rate = known[day] = self.rate(frm, to, day)
            if isinstance(rate, NoRate):
                there[i] = False
            else:
                out[i] = posted_steps(int(amounts[i]), rate, unit)
        return out, there


def posted_steps(amount: int, rate: Decimal, unit: int) -> int:
    """amount × rate in multiples of `unit`, rounded half-even."""
    return int((Decimal(amount) * rate / unit).to_integral_value())
