"""Return per year, and return per unit of risk. Returns are simple, per period; 252 periods a year."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.registry import metric
from core.metrics.series import deviation, excess, ratio, valid
from core.metrics.volatility import (
    downside_deviation,
    frequency,
    lower_partial_moment,
    upper_partial_moment,
    volatility,
)
from core.reasons import NoLosses, ZeroVariance
from core.returns import floats, link


@metric("Annual return", kind="percent", minimum=1, a_year=True, over="sessions", estimate=False)
def annual_return(returns: ArrayLike, periods: float = 252, count_missing: bool = False) -> float:
    """`prod(1 + r) ^ (periods / n) - 1`: the compound return per year (CAGR) of a series counted in periods.

    Input: simple returns per period, missing days dropped; `count_missing` counts them in n (empyrical).
    Unit: fraction per year. By calendar days instead: `core.returns.annualised`. Undefined without
    observations and below -100 %; the registered metric needs a year of them. Source: Bacon, ch. 2.
    """
    r = valid(returns)
    n = floats(returns).size if count_missing else r.size
    total = 1 + link(r)
    return float(total ** (periods / n) - 1) if r.size and total >= 0 else math.nan


@metric("Total return", kind="percent", minimum=1, over="sessions", estimate=False)
def total_return(returns: ArrayLike) -> float:
    """`prod(1 + r) - 1`: the returns linked geometrically.

    Input: simple returns per period, missing days dropped. Unit: fraction over the whole span, not
    annualised. Undefined without observations. Source: Bacon, ch. 2.
    """
    r = valid(returns)
    return link(r) if r.size else math.nan


def mean_annual_return(returns: ArrayLike, periods: float = 252) -> float:
    """`(1 + mean(r)) ^ periods - 1`: the arithmetic mean compounded over a year (LEAN's annual performance).

    A fraction per year; above `annual_return` by about half the variance. NaN without observations.
    """
    r = valid(returns)
    return float((1 + r.mean()) ** periods - 1) if r.size else math.nan


@metric("Sharpe ratio", kind="number", undefined=ZeroVariance(), over="sessions")
def sharpe(
    returns: ArrayLike,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    ddof: int = 1,
    geometric: bool = False,
) -> float:
    """`mean(r - rf) / sd(r - rf) × sqrt(periods)`.

    Input: simple returns per period, missing days dropped; `risk_free` per period, subtracted in every
    period. Sample deviation (n - 1). `geometric` divides the annual return less that of the risk-free rate
    by the volatility of r (Bacon, who takes `ddof=0`). A pure number per year. Undefined when the series
    does not vary (infinite inside). Source: Sharpe (1994); Bacon, ch. 4.
    """
    e = excess(returns, risk_free)
    if e.size <= ddof:
        return math.nan
    if not geometric:
        return ratio(float(e.mean()), deviation(e, ddof)) * math.sqrt(periods)
    r = floats(returns)
    rate = np.where(np.isfinite(r), np.broadcast_to(floats(risk_free), r.shape), np.nan)
    return ratio(annual_return(r, periods) - annual_return(rate, periods), volatility(r, periods, ddof))


@metric("Adjusted Sharpe ratio", kind="number", minimum=4, undefined=ZeroVariance(), a_year=True, over="sessions")
def adjusted_sharpe(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252, ddof: int = 1) -> float:
    """`SR × (1 + S / 6 × SR - (K - 3) / 24 × SR²)`: the geometric Sharpe ratio, less for negative skew and
    fat tails.

    Input: simple returns per period, missing days dropped. SR is `sharpe(geometric=True)`, S and K the
    moment skewness and kurtosis of r per period. A pure number per year. Undefined when the series does not
    vary. Source: Pezier and White (2006); Bacon, ch. 4.
    """
    sr = sharpe(returns, risk_free, periods, ddof, geometric=True)
    return sr * (1 + skewness(returns, "moment") / 6 * sr - (kurtosis(returns, "moment") - 3) / 24 * sr * sr)


@metric("Sortino ratio", kind="number", undefined=NoLosses(), over="sessions")
def sortino(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`mean(r - target) × periods / downside deviation per year`; the target is the risk-free rate.

    Input: simple returns per period, missing days dropped; `risk_free` per period. The downside deviation
    divides by all n. A pure number per year. Undefined when no return lies below the target (infinite
    inside). Source: Sortino and Price (1994); empyrical.
    """
    e = excess(returns, risk_free)
    return ratio(float(e.mean()) * periods, downside_deviation(e, 0.0, periods)) if e.size else math.nan


@metric("Omega ratio", kind="number", minimum=1, undefined=NoLosses())
def omega(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """`sum(max(r - target, 0)) / sum(max(target - r, 0))`: the gains over the losses around the target.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. With target
    0 it is the gain-loss ratio of Bernardo and Ledoit. A pure number ≥ 0, 1 is even. Undefined without a
    loss. Source: Keating and Shadwick (2002); Bacon, ch. 4.
    """
    return ratio(upper_partial_moment(returns, risk_free), lower_partial_moment(returns, risk_free))


@metric("Upside potential ratio", kind="number", minimum=1, undefined=NoLosses())
def upside_potential_ratio(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """`mean(max(r - target, 0)) / sqrt(mean(min(r - target, 0)²))`: upside potential over downside
    deviation.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Both divide
    by all n. A pure number ≥ 0, not annualised. Undefined without a loss. Source: Sortino, van der Meer,
    Plantinga (1999).
    """
    return ratio(upper_partial_moment(returns, risk_free), downside_deviation(returns, risk_free, 1))


@metric("Kappa 3", kind="number", minimum=1, undefined=NoLosses())
def kappa(returns: ArrayLike, risk_free: ArrayLike = 0.0, order: float = 3) -> float:
    """`(mean(r) - target) / lower partial moment of the order ^ (1 / order)`; order 1 is omega - 1, 2 is
    Sortino per period.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. A pure
    number, not annualised. Undefined without a loss. Source: Kaplan and Knowles (2004); Bacon, ch. 4.
    """
    e = excess(returns, risk_free)
    return ratio(float(e.mean()), lower_partial_moment(e, 0.0, order) ** (1 / order)) if e.size else math.nan


@metric("Prospect ratio", kind="number", minimum=1, undefined=NoLosses())
def prospect_ratio(returns: ArrayLike, risk_free: ArrayLike = 0.0, aversion: float = 2.25) -> float:
    """`(mean(max(r, 0) + aversion × min(r, 0)) - target) / downside deviation`: losses weigh 2.25 times.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. A pure
    number, not annualised. Undefined without a return below the target. Source: Watanabe (2006); Bacon, ch.
    4.
    """
    r = valid(returns)
    if not r.size:
        return math.nan
    felt = float(np.mean(np.maximum(r, 0) + aversion * np.minimum(r, 0)))
    return ratio(felt - float(np.mean(floats(risk_free))), downside_deviation(returns, risk_free, 1))


@metric("D ratio", kind="number", minimum=1)
def d_ratio(returns: ArrayLike) -> float:
    """`(number of losses × sum of losses) / (number of gains × sum of gains)`: 0 without losses, above 1
    when they weigh more.

    Input: simple returns per period, missing days dropped. A pure number ≥ 0. Undefined without gains.
    Source: Caporin and Lisi (2009); Bacon, ch. 4.
    """
    r = valid(returns)
    gains, losses = r[r > 0], r[r < 0]
    return ratio(losses.size * -float(losses.sum()), gains.size * float(gains.sum()))


@metric("Hit rate", kind="percent", minimum=1, estimate=False)
def hit_rate(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """The share of periods with a return above the target: `count(r > target) / n`.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Unit:
    fraction; a return of exactly the target is no hit. Undefined without observations.
    """
    return frequency(returns, risk_free, "above")


@metric("Skewness", kind="number", minimum=3, undefined=ZeroVariance())
def skewness(returns: ArrayLike, method: Literal["sample", "moment"] = "sample") -> float:
    """`n / ((n - 1)(n - 2)) × sum(((r - mean) / sd)³)`, sd with n - 1: negative when the losses are the
    longer tail.

    Input: simple returns per period, missing days dropped. `moment`: `mean(((r - mean) / sd)³)` with the
    population deviation (Bacon). A pure number, not annualised. Undefined below three observations and
    without variance. Source: Joanes and Gill (1998); Bacon, ch. 4.
    """
    r = valid(returns)
    n, sd = r.size, deviation(r, 0)
    if n < (3 if method == "sample" else 1) or not sd > 0:
        return math.nan
    moment = float(np.mean(((r - r.mean()) / sd) ** 3))
    return moment if method == "moment" else moment * math.sqrt(n * (n - 1)) / (n - 2)


@metric("Excess kurtosis", kind="number", minimum=4, undefined=ZeroVariance())
def excess_kurtosis(returns: ArrayLike) -> float:
    """`n(n + 1) / ((n - 1)(n - 2)(n - 3)) × sum(((r - mean) / sd)⁴) - 3(n - 1)² / ((n - 2)(n - 3))`, sd with
    n - 1.

    Input: simple returns per period, missing days dropped. A pure number, 0 for a normal distribution, above
    0 for fat tails. Undefined below four observations and without variance. Other conventions: `kurtosis`.
    Source: Joanes and Gill (1998); Bacon, ch. 4; the KURT of spreadsheets.
    """
    return kurtosis(returns, "sample excess")


def kurtosis(returns: ArrayLike, method: Literal["moment", "excess", "sample", "sample excess"] = "moment") -> float:
    """`mean(((r - mean) / sd)⁴)` with the population deviation: 3 for a normal distribution.

    `excess` subtracts 3; `sample` and `sample excess` correct for n as in `excess_kurtosis`, before and
    after its subtraction. NaN without variance or with too few observations. Source: Bacon, ch. 4.
    """
    r = valid(returns)
    n, sd = r.size, deviation(r, 0)
    sample = method in ("sample", "sample excess")
    if n < (4 if sample else 1) or not sd > 0:
        return math.nan
    moment = float(np.mean(((r - r.mean()) / sd) ** 4))
    if not sample:
        return moment - (3 if method == "excess" else 0)
    corrected = moment * (n - 1) * (n + 1) / ((n - 2) * (n - 3))
    return corrected - (3 * (n - 1) ** 2 / ((n - 2) * (n - 3)) if method == "sample excess" else 0)


@metric("Best period", kind="percent", minimum=1, estimate=False)
def best(returns: ArrayLike) -> float:
    """The highest return of one period. Input: simple returns, missing days dropped. Unit: fraction.
    Undefined without observations.
    """
    r = valid(returns)
    return float(r.max()) if r.size else math.nan


@metric("Worst period", kind="percent", minimum=1, estimate=False)
def worst(returns: ArrayLike) -> float:
    """The lowest return of one period. Input: simple returns, missing days dropped. Unit: fraction, negative
    for a loss. Undefined without observations.
    """
    r = valid(returns)
    return float(r.min()) if r.size else math.nan


@metric("Stability", kind="number", minimum=3, undefined=ZeroVariance())
def stability(returns: ArrayLike) -> float:
    """R² of a straight line through the cumulative log returns: 1 for growth at a constant rate.

    Input: simple returns per period, missing days dropped. A pure number in 0…1. Undefined below three
    observations and when the curve is flat. Source: empyrical, `stability_of_timeseries`.
    """
    r = valid(returns)
    if r.size < 2 or np.any(r <= -1):
        return math.nan
    curve = np.cumsum(np.log1p(r))
    if not deviation(curve, 0) > 0:
        return math.nan
    return float(np.corrcoef(np.arange(r.size), curve)[0, 1] ** 2)
