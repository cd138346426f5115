"""Drawdowns: how far and how long a curve stayed below its high. Fractions ≤ 0; the opening value counts as
a high.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.ratios import annual_return
from core.metrics.registry import metric
from core.metrics.series import excess, ratio, valid
from core.reasons import NoDrawdown, NotRecovered, Reason, TooFewObservations
from core.returns import Dates, Floats, days_of, floats, growth

AT_PEAK = 1e-12
"""A curve within this share of its high is back at it: returns multiplied back rarely meet the high to the
last bit.
"""


@dataclass(frozen=True)
class Drawdown:
    """One fall from a high until the curve is back at it, or until its end."""

    depth: float
    """The lowest point as a fraction of the high, less one: negative."""
    peak: date
    """The last day at the high."""
    trough: date
    """The first day at the lowest point."""
    recovery: date | None
    """The first day back at the high; None while it is open."""
    end: date
    """The recovery, or the last day of the curve."""

    @property
    def days(self) -> int:
        """Calendar days from the peak to the recovery, or to the last day while it is open."""
        return (self.end - self.peak).days


def drawdown_curve(returns: ArrayLike) -> Floats:
    """`W_t / max(1, W_1…W_t) - 1` with `W = cumprod(1 + r)`: one value ≤ 0 per return.

    A missing day leaves the level unchanged. Of a price or index curve:
    `drawdown_curve(simple_returns(values))`.
    """
    wealth = growth(returns)
    return np.asarray((wealth / np.maximum.accumulate(wealth) - 1)[1:], dtype=np.float64)


def drawdowns(dates: ArrayLike | Sequence[date], returns: ArrayLike) -> list[Drawdown]:
    """Every drawdown in the order of time.

    Shape: n returns with n dates; or n + 1 dates, the first being the day of the opening value. With n dates
    a fall on the first day has its peak dated on that day.
    """
    days, r = days_of(dates), floats(returns)
    if days.size not in (r.size, r.size + 1):
        raise ValueError(f"{days.size} dates for {r.size} returns")
    if days.size == r.size:
        days = np.concatenate((days[:1], days))
    return drawdowns_of_values(days, growth(r)) if r.size else []


def drawdowns_of_values(dates: ArrayLike | Sequence[date], values: ArrayLike) -> list[Drawdown]:
    """Every drawdown of a price, index or equity curve: n dates, n positive values; missing values are left
    out.
    """
    v = floats(values)
    known = np.isfinite(v)
    days, v = days_of(dates)[known], v[known]
    if v.size < 2:
        return []
    high = np.maximum.accumulate(v)
    under = v < high * (1 - AT_PEAK)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        trough = int(start + np.argmin(v[start:end]))
        recovered = end < v.size
        found.append(
            Drawdown(
                depth=float(v[trough] / high[trough] - 1),
                peak=days[start - 1].item(),
                trough=days[trough].item(),
                recovery=days[end].item() if recovered else None,
                end=days[end if recovered else -1].item(),
            )
        )
    return found


def deepest(dates: ArrayLike | Sequence[date], returns: ArrayLike) -> Drawdown | Reason:
    """The deepest drawdown, the earliest of equals; `NoDrawdown` when there is none."""
    found = drawdowns(dates, returns)
    return min(found, key=lambda d: d.depth) if found else NoDrawdown()


@metric("Maximum drawdown", kind="percent", minimum=1, over="sessions", estimate=False)
def max_drawdown(returns: ArrayLike) -> float:
    """`min over t of W_t / max(1, W_1…W_t) - 1` with `W = cumprod(1 + r)`: the deepest fall from a high.

    Input: simple returns per period; a missing day leaves the level unchanged. Unit: fraction ≤ 0, not
    annualised; 0 when the curve never fell. The opening value counts as a high. Undefined without
    observations. Source: empyrical; Bacon, ch. 4.
    """
    return float(drawdown_curve(returns).min()) if valid(returns).size else math.nan


@metric("Maximum drawdown: peak", kind="date", minimum=1, over="sessions", estimate=False)
def max_drawdown_peak(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> date | Reason:
    """The last day at the high before the deepest drawdown.

    Input: simple returns and their dates (one more date in front dates the opening value). Undefined, as
    `NoDrawdown`, when the curve never fell.
    """
    worst = deepest(dates, returns)
    return worst.peak if isinstance(worst, Drawdown) else worst


@metric("Maximum drawdown: trough", kind="date", minimum=1, over="sessions", estimate=False)
def max_drawdown_trough(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> date | Reason:
    """The first day at the lowest point of the deepest drawdown.

    Input: simple returns and their dates. Undefined, as `NoDrawdown`, when the curve never fell.
    """
    worst = deepest(dates, returns)
    return worst.trough if isinstance(worst, Drawdown) else worst


@metric("Maximum drawdown: recovery", kind="date", minimum=1, over="sessions", estimate=False)
def max_drawdown_recovery(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> date | Reason:
    """The first day on which the curve is back at the high before the deepest drawdown.

    Input: simple returns and their dates. Undefined as `NotRecovered` while the drawdown is open, as
    `NoDrawdown` when the curve never fell.
    """
    worst = deepest(dates, returns)
    if not isinstance(worst, Drawdown):
        return worst
    return worst.recovery or NotRecovered(worst.peak)


@metric("Maximum drawdown: duration", kind="days", minimum=1, over="sessions", estimate=False)
def max_drawdown_days(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> float | Reason:
    """Calendar days of the deepest drawdown: from its peak to its recovery, or to the last day while it is
    open.

    Input: simple returns and their dates. Unit: calendar days; 0 when the curve never fell.
    """
    worst = deepest(dates, returns)
    return float(worst.days) if isinstance(worst, Drawdown) else 0.0


@metric("Longest drawdown", kind="days", minimum=1, over="sessions", estimate=False)
def longest_drawdown_days(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> float:
    """Calendar days of the longest time below a high, open drawdowns included (until the last day).

    Input: simple returns and their dates. Unit: calendar days; 0 when the curve never fell.
    """
    return float(max((d.days for d in drawdowns(dates, returns)), default=0))


@metric("Longest recovery", kind="days", minimum=1, over="sessions", estimate=False)
def longest_recovery_days(returns: ArrayLike, dates: ArrayLike | Sequence[date]) -> float:
    """Calendar days of the longest drawdown that has recovered: from its peak to the first day back at the
    high.

    Input: simple returns and their dates. Unit: calendar days; drawdowns still open count 0. Source: LEAN,
    DrawdownRecoveryTests.
    """
    return float(max((d.days for d in drawdowns(dates, returns) if d.recovery), default=0))


@metric("Average drawdown", kind="percent", minimum=1, over="sessions", estimate=False)
def average_drawdown(returns: ArrayLike) -> float:
    """The mean depth of all drawdowns, each from its high until it is back there or the series ends.

    Input: simple returns per period. Unit: fraction ≤ 0; 0 when the curve never fell. Source: Bacon, ch. 4.
    """
    r = valid(returns)
    depths = _depths(r)
    return float(np.mean(depths)) if depths else 0.0 if r.size else math.nan


def _depths(returns: Floats) -> list[float]:
    curve = drawdown_curve(returns)
    under = curve < -AT_PEAK
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    return [float(curve[a:b].min()) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@metric("Pain index", kind="percent", minimum=1, over="sessions", estimate=False)
def pain_index(returns: ArrayLike) -> float:
    """`mean(|drawdown_t|)`: the average distance below the high, over all periods.

    Input: simple returns per period, missing days dropped. Unit: fraction, named after a loss: ≥ 0. Source:
    Bacon, ch. 4.
    """
    r = valid(returns)
    return float(-drawdown_curve(r).mean()) if r.size else math.nan


@metric("Ulcer index", kind="percent", minimum=1, over="sessions", estimate=False)
def ulcer_index(returns: ArrayLike) -> float:
    """`sqrt(mean(drawdown_t²))`: the root mean square distance below the high, over all periods.

    Input: simple returns per period, missing days dropped. Unit: fraction, named after a loss: ≥ 0.
    Source: Martin and McCann (1989); Bacon, ch. 4.
    """
    r = valid(returns)
    return math.sqrt(float(np.mean(drawdown_curve(r) ** 2))) if r.size else math.nan


@metric("Calmar ratio", kind="number", minimum=1, a_year=True, undefined=NoDrawdown(), over="sessions", estimate=False)
def calmar(returns: ArrayLike, periods: float = 252, count_missing: bool = False) -> float:
    """`annual return / |maximum drawdown|`.

    Input: simple returns per period. Annual return as in `annual_return`; `count_missing` counts missing
    days as periods (empyrical). A pure number, negative for a loss. Undefined without a drawdown. Source:
    Young (1991).
    """
    depth = max_drawdown(returns)
    return annual_return(returns, periods, count_missing) / -depth if depth < 0 else math.nan


@metric("Sterling ratio", kind="number", minimum=1, a_year=True, over="sessions", estimate=False)
def sterling(returns: ArrayLike, periods: float = 252, extra: float = 0.10) -> float:
    """`annual return / (|maximum drawdown| + extra)`, extra 10 %.

    Input: simple returns per period. A pure number, negative for a loss. Undefined without observations.
    Source: Bacon, ch. 4.
    """
    return ratio(annual_return(returns, periods), -max_drawdown(returns) + extra)


@metric("Burke ratio", kind="number", minimum=1, a_year=True, undefined=NoDrawdown(), over="sessions", estimate=False)
def burke(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252, modified: bool = False) -> float:
    """`annual excess return / sqrt(sum of the squared depths of all drawdowns)`.

    Input: simple returns per period; the annual return of the risk-free rate is subtracted from the annual
    return. `modified` multiplies by sqrt(n). A pure number. Undefined without a drawdown. Source: Burke
    (1994); Bacon, ch. 4.
    """
    r = valid(returns)
    depths = math.sqrt(math.fsum(d * d for d in _depths(r)))
    if not depths:
        return math.nan
    return _annual_excess(returns, risk_free, periods) / depths * (math.sqrt(r.size) if modified else 1.0)


@metric("Pain ratio", kind="number", minimum=1, a_year=True, undefined=NoDrawdown(), over="sessions", estimate=False)
def pain_ratio(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`annual excess return / pain index`.

    Input: simple returns per period; the annual return of the risk-free rate is subtracted from the annual
    return. A pure number. Undefined without a drawdown. Source: Bacon, ch. 4.
    """
    pain = pain_index(returns)
    return _annual_excess(returns, risk_free, periods) / pain if pain > 0 else math.nan


@metric("Martin ratio", kind="number", minimum=1, a_year=True, undefined=NoDrawdown(), over="sessions", estimate=False)
def martin(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`annual excess return / ulcer index`, also called the ulcer performance index.

    Input: simple returns per period; the annual return of the risk-free rate is subtracted from the annual
    return. A pure number. Undefined without a drawdown. Source: Martin and McCann (1989); Bacon, ch. 4.
    """
    ulcer = ulcer_index(returns)
    return _annual_excess(returns, risk_free, periods) / ulcer if ulcer > 0 else math.nan


def _annual_excess(returns: ArrayLike, risk_free: ArrayLike, periods: float) -> float:
    r = floats(returns)
    rate = np.where(np.isfinite(r), np.broadcast_to(floats(risk_free), r.shape), np.nan)
    if not excess(r, rate).size:
        return math.nan
    return annual_return(r, periods) - annual_return(rate, periods)


@dataclass(frozen=True)
class High:
    """The highest value of a curve in a window and where the curve stands now."""

    value: float
    on: date
    """The first day that reached it."""
    distance: float
    """Last value over the high, less one: ≤ 0."""


def all_time_high(
    dates: ArrayLike | Sequence[date],
    values: ArrayLike,
    start: date | None = None,
    end: date | None = None,
    interval: Literal["(]", "[]"] = "(]",
) -> High | Reason:
    """The highest value within the window, the first day reaching it, and the distance of the last value
    from it.

    Shape: n dates with n prices or index values, in order; the start day is excluded (`interval="[]"`
    includes it). `TooFewObservations` when the window is empty. Source: Portfolio Performance,
    `AllTimeHigh`.
    """
    v, days = floats(values), days_of(dates)
    inside = np.isfinite(v)
    if start is not None:
        inside &= _on_or_after(days, start) if interval == "[]" else days > np.datetime64(start, "D")
    if end is not None:
        inside &= days <= np.datetime64(end, "D")
    v, days = v[inside], days[inside]
    if not v.size:
        return TooFewObservations(0, 1)
    top = int(np.argmax(v))
    return High(float(v[top]), days[top].item(), float(v[-1] / v[top] - 1))


def _on_or_after(days: Dates, start: date) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(days >= np.datetime64(start, "D"), dtype=np.bool_)
