"""Returns: from dated values and flows to daily, linked, annualised and money-weighted returns.

Arrays hold NaN where a day is undefined; scalars are a float or a typed reason. All returns are simple
fractions (0.02 is two percent) unless the name says log. Add a definition as a function here, with its
formula in the docstring.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.reasons import (
    NegativeBase,
    NoSignChange,
    NoSolution,
    NoTimeBetween,
    Reason,
    ShorterHistory,
    ShorterThanAYear,
    TooFewObservations,
)

Floats = NDArray[np.float64]
Flows = Sequence[tuple[float, float]]
"""(days since the start of the period, amount in): deposits positive, withdrawals negative."""
Dates = NDArray[np.datetime64]
Bucket = Literal["W", "M", "Q", "Y"]
Period = Literal["day", "1W", "1M", "3M", "6M", "MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "inception"]
PERIODS: tuple[Period, ...] = get_args(Period)
YEAR_DAYS = 365.0


def floats(values: ArrayLike) -> Floats:
    """The values as an array of floats; `None` becomes NaN."""
    return np.asarray(values, dtype=np.float64)


def days_of(dates: ArrayLike | Sequence[date]) -> Dates:
    """The dates as an array of whole days."""
    return np.asarray(dates, dtype="datetime64[D]")


# --- from values to returns ---


def simple_returns(values: ArrayLike) -> Floats:
    """`r_t = V_t / V_(t-1) - 1` along the first axis: n values give n - 1 returns.

    For prices or an index without flows. NaN where a value is missing or the base is zero or negative.
    """
    v = floats(values)
    base = np.where(v[:-1] > 0, v[:-1], np.nan)
    return np.asarray(v[1:] / base - 1, dtype=np.float64)


def log_returns(values: ArrayLike) -> Floats:
    """`ln(V_t / V_(t-1))` along the first axis: n values give n - 1 returns. NaN where a value is missing or
    not positive.
    """
    v = floats(values)
    return np.diff(np.log(np.where(v > 0, v, np.nan)), axis=0)


def daily_returns(
    values: ArrayLike, inflows: ArrayLike = 0.0, outflows: ArrayLike = 0.0, opening: float = 0.0
) -> Floats:
    """`r = (V_end + out) / (V_previous + in) - 1`: inflows count from the start of the day, outflows leave
    at its end.

    Shape: n closing values with that day's inflows and outflows, both as positive amounts, give n returns;
    `opening` is the value before the first day (0 for a new portfolio, whose first return then rests on its
    first inflow). A day without a valuation (NaN) is NaN, and the next valued day spans the gap with the
    gap's flows, so that linking loses nothing. NaN too where the capital at work is zero or negative:
    nothing was invested that day.
    """
    v = floats(values)
    ins = np.cumsum(np.broadcast_to(floats(inflows), v.shape))
    outs = np.cumsum(np.broadcast_to(floats(outflows), v.shape))
    answer = np.full(v.shape, np.nan)
    valued = np.flatnonzero(np.isfinite(v))
    if valued.size:
        ends = v[valued]
        base = np.concatenate(([opening], ends[:-1])) + np.diff(ins[valued], prepend=0.0)
        base = np.where(base > 0, base, np.nan)
        answer[valued] = (ends + np.diff(outs[valued], prepend=0.0)) / base - 1
    return answer


# --- linking ---


def link(returns: ArrayLike) -> float:
    """`prod(1 + r) - 1`: the returns of consecutive periods as one. NaN counts as no capital at work; no
    returns give 0.
    """
    r = floats(returns)
    return float(np.prod(1 + r[np.isfinite(r)]) - 1)


def growth(returns: ArrayLike, start: float = 1.0) -> Floats:
    """The index curve: `start`, then `start × cumprod(1 + r)`. n returns give n + 1 points; NaN leaves the
    level unchanged.
    """
    r = floats(returns)
    return np.asarray(
        start * np.concatenate(([1.0], np.cumprod(1 + np.where(np.isfinite(r), r, 0.0)))), dtype=np.float64
    )


def annualised(total: float, days: int, year: float = YEAR_DAYS) -> float | Reason:
    """`(1 + total) ^ (year / days) - 1`: the return per year of a total over `days` calendar days.

    `year` is 365 (365.25 for the convention of ffn). Below 365 days `ShorterThanAYear`; below -100 %
    `NegativeBase`.
    """
    if days < math.floor(year):
        return ShorterThanAYear(days)
    if total < -1:
        return NegativeBase()
    return float((1 + total) ** (year / days) - 1)


def twr(values: ArrayLike, inflows: ArrayLike = 0.0, outflows: ArrayLike = 0.0, opening: float = 0.0) -> float | Reason:
    """The time-weighted return of the whole span: `daily_returns` linked geometrically. Deposits do not
    change it.

    `TooFewObservations` when no day had capital at work, `NegativeBase` when a valuation was negative.
    """
    v = floats(values)
    if bool(np.any(v < 0)) or opening < 0:
        return NegativeBase()
    daily = daily_returns(v, inflows, outflows, opening)
    n = int(np.isfinite(daily).sum())
    return link(daily) if n else TooFewObservations(0, 1)


def aggregate(dates: ArrayLike | Sequence[date], returns: ArrayLike, to: Bucket) -> tuple[Dates, Floats]:
    """Daily returns compounded into ISO weeks, months, quarters or years of the calendar.

    Gives (first calendar day of each period, its return), in order, only periods with a date in them. The
    dates need not be sorted. NaN days are left out; a period of nothing but NaN is NaN.
    """
    days, r = days_of(dates), floats(returns)
    order = np.argsort(days, kind="stable")
    days, r = days[order], r[order]
    starts, first = np.unique(_bucket(days, to), return_index=True)
    if not days.size:
        return starts, np.empty(0)
    known = np.isfinite(r)
    factors = np.multiply.reduceat(np.where(known, 1 + r, 1.0), first)
    counts = np.add.reduceat(known.astype(np.int64), first)
    return starts, np.where(counts > 0, factors - 1, np.nan)


def _bucket(days: Dates, to: Bucket) -> Dates:
    months = days.astype("datetime64[M]")
    if to == "W":  # 1970-01-01 was a Thursday: weeks begin on Monday
        number = (days.astype(np.int64) + 3) // 7
        return np.asarray((number * 7 - 3).astype("datetime64[D]"))
    if to == "M":
        return np.asarray(months.astype("datetime64[D]"))
    if to == "Q":
        return np.asarray(((months.astype(np.int64) // 3) * 3).astype("datetime64[M]").astype("datetime64[D]"))
    return np.asarray(days.astype("datetime64[Y]").astype("datetime64[D]"))


@dataclass(frozen=True)
class MonthlyReturns:
    """Months across, years down: the table every fund sheet shows. NaN where there is no observation."""

    years: tuple[int, ...]
    months: Floats
    """Shape (years, 12), January first."""
    totals: Floats
    """One compounded return per year."""


def monthly(dates: ArrayLike | Sequence[date], returns: ArrayLike) -> MonthlyReturns:
    """Daily returns compounded per calendar month, with the compounded return of each year."""
    starts, values = aggregate(dates, returns, "M")
    year_starts, totals = aggregate(dates, returns, "Y")
    if not starts.size:
        return MonthlyReturns((), np.empty((0, 12)), np.empty(0))
    index = starts.astype("datetime64[M]").astype(np.int64)
    years = index // 12 + 1970
    first, last = int(years[0]), int(years[-1])
    table = np.full((last - first + 1, 12), np.nan)
    table[years - first, index % 12] = values
    by_year = np.full(last - first + 1, np.nan)
    by_year[year_starts.astype("datetime64[Y]").astype(np.int64) + 1970 - first] = totals
    return MonthlyReturns(tuple(range(first, last + 1)), table, by_year)


# --- periods ---


def period_start(as_of: date, period: Period, first: date) -> date:
    """The base date of a period: the day whose closing value the period starts from; the period is (base,
    as_of].

    day: the day before. 1W: seven days before. 1M, 3M, 6M, 1Y, 3Y, 5Y: the same day of the earlier month, or
    that month's last day. MTD, QTD, YTD: the last day of the previous month, quarter, year. inception:
    `first`. A base on a day without trading means the last value before it. It may lie before `first`: the
    caller then has too short a history (`period_return` says so).
    """
    match period:
        case "day":
            return as_of - timedelta(days=1)
        case "1W":
            return as_of - timedelta(days=7)
        case "MTD":
            return as_of.replace(day=1) - timedelta(days=1)
        case "QTD":
            return as_of.replace(month=3 * ((as_of.month - 1) // 3) + 1, day=1) - timedelta(days=1)
        case "YTD":
            return as_of.replace(month=1, day=1) - timedelta(days=1)
        case "inception":
            return first
        case "1M" | "3M" | "6M":
            return _months_before(as_of, int(period[0]))
        case "1Y" | "3Y" | "5Y":
            return _months_before(as_of, 12 * int(period[0]))


def _months_before(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 - months
    year, month = divmod(index, 12)
    after = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=day.day - 1), after - timedelta(days=1))


def period_return(
    dates: ArrayLike | Sequence[date],
    values: ArrayLike,
    period: Period,
    as_of: date | None = None,
    or_since_start: bool = False,
) -> float | Reason:
    """`V(as_of) / V(base) - 1` of a price or index curve without flows; each the last known value on or
    before its day.

    Shape: n dates in order with n values. When the history begins after the base: `ShorterHistory`, or with
    `or_since_start` the first value is the base (the convention of ffn).
    """
    v = floats(values)
    known = np.isfinite(v)
    days, v = days_of(dates)[known], v[known]
    if not v.size:
        return TooFewObservations(0, 1)
    first: date = days[0].item()
    last = as_of or days[-1].item()
    base = period_start(last, period, first)
    if base < first:
        if not or_since_start:
            return ShorterHistory(first, base)
        base = first
    at_base, at_end = (int(np.searchsorted(days, np.datetime64(day, "D"), side="right")) - 1 for day in (base, last))
    if at_end < 0:
        return ShorterHistory(first, last)
    return float(v[at_end] / v[at_base] - 1) if v[at_base] > 0 else NegativeBase()


# --- money-weighted ---


def xirr(dates: ArrayLike | Sequence[date], amounts: ArrayLike) -> float | Reason:
    """The money-weighted return: the rate r with `sum(amount_i / (1 + r) ^ (days_i / 365)) = 0`, effective
    per year.

    Sign: money into the portfolio negative, money out and the closing value positive (the rate does not
    depend on which, only on their being opposite). Actual/365 from the first date; the order of the flows
    does not matter. With several roots it is the one found from 10 %, as in a spreadsheet. The root is
    checked by putting it back; where the solver misses, a bracketing search over all rates above -100 %
    decides. `TooFewObservations`, `NoSignChange`, `NoTimeBetween` or `NoSolution` when undefined.
    """
    days, amount = days_of(dates), floats(amounts)
    used = np.isfinite(amount) & (amount != 0)
    days, amount = days[used], amount[used]
    if amount.size < 2:
        return TooFewObservations(int(amount.size), 2)
    if np.all(amount > 0) or np.all(amount < 0):
        return NoSignChange()
    years = (days - days.min()).astype(np.float64) / YEAR_DAYS
    if not years.max():
        return NoTimeBetween()
    import pyxirr

    rate = pyxirr.xirr(days, amount, silent=True)
    if rate is not None and math.isfinite(rate) and rate > -1 and _balances(rate, years, amount):
        return float(rate)
    return _bracketed(years, amount)


def _present_value(rate: float, years: Floats, amount: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sum(amount * np.exp(-years * math.log1p(rate))))


def _balances(rate: float, years: Floats, amount: Floats) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(np.sum(np.abs(amount) * np.exp(-years * math.log1p(rate))))
    return abs(_present_value(rate, years, amount)) <= 1e-6 * scale


def _bracketed(years: Floats, amount: Floats) -> float | Reason:
    """Bisection over ln(1 + r) in [-30, 30] between the sign changes nearest to a rate of zero."""
    grid = np.linspace(-30.0, 30.0, 2401)
    with np.errstate(over="ignore", invalid="ignore"):
        signs = np.sign(np.exp(-np.outer(grid, years)) @ amount)
    changes = np.flatnonzero(signs[:-1] * signs[1:] <= 0)
    if not changes.size:
        return NoSolution()
    i = int(changes[np.argmin(np.abs(grid[changes]))])
    low, high = float(grid[i]), float(grid[i + 1])
    for there, sign in ((low, signs[i]), (high, signs[i + 1])):
        if sign == 0:
            return math.expm1(there)
    below = signs[i] > 0  # not worked out again: at a root on the grid another order of adding has another sign
    for _ in range(200):
        middle = (low + high) / 2
        at_middle = _present_value(math.expm1(middle), years, amount)
        if (at_middle > 0) == below and at_middle != 0:
            low = middle
        else:
            high = middle
    return math.expm1((low + high) / 2)


def at_work(start: float, end: float, flows: Flows, days: float) -> tuple[float, float]:
    """(first, last) day on which money stood in, came into or left the period, in days since its start; (0, 0) for none."""
    there = [day for day, amount in [(0.0, start), *flows, (days, end)] if amount]
    return (min(there), max(there)) if there else (0.0, 0.0)


def money_weighted(start: float, end: float, flows: Flows, days: float) -> float | Reason:
    """The money-weighted return of a period of `days`, not annualised: the rate m at which what was there and came in grows
    into what went out and is there at the end, `start × (1 + m) ^ (T / L) + sum(F × (1 + m) ^ ((T - day) / L)) = end`.

    Flows are (day since the start, amount), deposits positive, each on its own date as in a spreadsheet's XIRR; T is the
    last and L the length of the time in which money was there (`at_work`; mostly the whole period). It is the XIRR
    (actual/365) carried to that length, `(1 + XIRR) ^ (L / 365) - 1`: `annualised(m, L)` gives the XIRR back. Under a
    year it is solved as the rate of the period itself, because a rate per year would extrapolate. -1 where money went in and
    nothing came out or is left: all of it was lost. `TooFewObservations` where nothing was invested, `NoSignChange` where money
    only came out,
    `NoTimeBetween` where all of it lies on one day, `NegativeBase` for a negative start or end value, `NoSolution`.
    """
    if start < 0 or end < 0:
        return NegativeBase()
    given = [(0.0, -start), *((float(day), -amount) for day, amount in flows), (float(days), end)]
    signs = {amount > 0 for _, amount in given if amount}
    if not signs:
        return TooFewObservations(0, 2)
    if len(signs) < 2:
        return -1.0 if signs == {False} and end == 0 else NoSignChange()
    first, last = at_work(start, end, flows, days)
    if last <= first:
        return NoTimeBetween()
    by_day: dict[float, float] = {}
    for day, amount in given:
        by_day[day] = by_day.get(day, 0.0) + amount
    on, amounts = np.array(sorted(by_day)), np.array([by_day[day] for day in sorted(by_day)])
    if np.all(amounts >= 0) or np.all(amounts <= 0):  # what came in on a day left on it
        return NoSignChange()
    if last - first >= YEAR_DAYS:
        rate = xirr(np.datetime64("2000-01-01", "D") + (on - first).astype(np.int64), amounts)
        return rate if isinstance(rate, Reason) else math.expm1(math.log1p(rate) * (last - first) / YEAR_DAYS)
    return _bracketed((on - first) / (last - first), amounts)


def average_capital(start: float, flows: Flows, days: float) -> float:
    """`start + sum(F × (days - day) / days)`: the capital of Modified Dietz, each flow weighted with the time it was there."""
    return start + math.fsum(amount * (days - day) / days for day, amount in flows)


def timed(inflows: Flows, outflows: Flows) -> list[tuple[float, float]]:
    """Flows as Modified Dietz weighs them (NUMBERS 7): what comes in is there from the start of its day, what goes out until
    its end. Both are (day since the start of the period, positive amount)."""
    return [(max(day - 1, 0.0), amount) for day, amount in inflows] + [(day, -amount) for day, amount in outflows]


def modified_dietz(start: float, end: float, flows: Flows, days: float) -> float | Reason:
    """`(end - start - sum(F)) / (start + sum(F × (days - day) / days))`: the return where no daily value
    exists.

    Flows are (day since the start, amount), deposits positive, counted at the end of their day. A total over
    the period, not annualised. `NegativeBase` when the average capital is zero or negative, `NoTimeBetween`
    without days.
    """
    if days <= 0:
        return NoTimeBetween()
    total = math.fsum(amount for _, amount in flows)
    capital = average_capital(start, flows, days)
    return (end - start - total) / capital if capital > 0 else NegativeBase()
