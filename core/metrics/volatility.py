"""Volatility and the other widths of a return distribution: simple returns per period, 252 periods a year."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.registry import metric
from core.metrics.series import deviation, excess, ratio, valid


@metric("Volatility", kind="percent")
def volatility(returns: ArrayLike, periods: float = 252, ddof: int = 1) -> float:
    """`sd(r) × sqrt(periods)`: the standard deviation of returns per year.

    Input: simple returns per period, missing days dropped. Unit: fraction per year, ≥ 0. Sample deviation (n
    - 1); `ddof=0` for the population deviation (Bacon), `periods=1` for the deviation per period. Log
    returns may be given instead (Portfolio Performance: `periods=n` for the volatility of a period).
    Undefined below two observations. Source: Bacon, Practical Portfolio Performance Measurement and
    Attribution, ch. 4.
    """
    return deviation(valid(returns), ddof) * math.sqrt(periods)


@metric("Variance", kind="number")
def variance(returns: ArrayLike, periods: float = 252, ddof: int = 1) -> float:
    """`sd(r)² × periods`: the variance of returns per year.

    Input: simple returns per period, missing days dropped. Unit: squared fraction per year, ≥ 0. Sample
    variance (n - 1); `ddof=0` for the population. Undefined below two observations. Source: Bacon, ch. 4.
    """
    return deviation(valid(returns), ddof) ** 2 * periods


@metric("Downside deviation", kind="percent", minimum=1)
def downside_deviation(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`sqrt(sum(min(r - target, 0)²) / n) × sqrt(periods)`: the deviation below the target, per year.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Divides by
    all n observations, not only those below. Unit: fraction per year, ≥ 0; 0 when nothing lies below the
    target. `periods=1` gives the deviation per period. Undefined without observations. Source: Sortino and
    Price (1994); Bacon, ch. 4.
    """
    return math.sqrt(lower_partial_moment(returns, risk_free, 2) * periods)


@metric("Upside deviation", kind="percent", minimum=1)
def upside_deviation(returns: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`sqrt(sum(max(r - target, 0)²) / n) × sqrt(periods)`: the deviation above the target, per year.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Divides by
    all n. Unit: fraction per year, ≥ 0. Undefined without observations. Source: Bacon, ch. 4 (upside risk).
    """
    return math.sqrt(upper_partial_moment(returns, risk_free, 2) * periods)


@metric("Semideviation", kind="percent")
def semideviation(returns: ArrayLike, periods: float = 252) -> float:
    """`sqrt(sum(min(r - mean, 0)²) / n) × sqrt(periods)`: the downside deviation below the mean itself, per
    year.

    Input: simple returns per period, missing days dropped. Divides by all n. Unit: fraction per year, ≥ 0.
    Undefined below two observations. Source: Markowitz (1959), ch. 9.
    """
    r = valid(returns)
    return downside_deviation(r, float(r.mean()), periods) if r.size > 1 else math.nan


@metric("Mean absolute deviation", kind="percent", minimum=1)
def mean_absolute_deviation(returns: ArrayLike) -> float:
    """`mean(|r - mean(r)|)`, per period.

    Input: simple returns per period, missing days dropped. Unit: fraction per period, not annualised, ≥ 0.
    Undefined without observations. Source: Bacon, ch. 4.
    """
    r = valid(returns)
    return float(np.abs(r - r.mean()).mean()) if r.size else math.nan


def lower_partial_moment(returns: ArrayLike, target: ArrayLike = 0.0, order: float = 1) -> float:
    """`sum(max(target - r, 0) ^ order) / n`, per period, over all n. Order 1 is the downside potential, 2
    the downside variance.

    ≥ 0; NaN without observations. Source: Bacon, ch. 4.
    """
    e = excess(returns, target)
    return float(np.mean(np.maximum(-e, 0.0) ** order)) if e.size else math.nan


def upper_partial_moment(returns: ArrayLike, target: ArrayLike = 0.0, order: float = 1) -> float:
    """`sum(max(r - target, 0) ^ order) / n`, per period, over all n. Order 1 is the upside potential, 2 the
    upside variance.

    ≥ 0; NaN without observations. Source: Bacon, ch. 4.
    """
    return lower_partial_moment(-excess(returns, target), 0.0, order)


def frequency(returns: ArrayLike, target: ArrayLike = 0.0, side: Literal["above", "below"] = "below") -> float:
    """The share of observations strictly above or below the target: a fraction; NaN without observations.
    Source: Bacon, ch. 4.
    """
    e = excess(returns, target)
    return float(np.mean(e > 0 if side == "above" else e < 0)) if e.size else math.nan


def volatility_skewness(returns: ArrayLike, target: ArrayLike = 0.0, order: float = 2) -> float:
    """Upper over lower partial moment of order 2 (`order=1` before the root: see `omega`): above 1 when
    gains are the wider side.

    A pure number; infinity without losses, NaN without both. Source: Bacon, ch. 4.
    """
    return ratio(upper_partial_moment(returns, target, order), lower_partial_moment(returns, target, order))
