"""Volatility and the other widths of a return distribution: simple returns per period, 252 periods a year."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.registry import metric
from core.metrics.series import deviation, excess, ratio, valid
from core.reasons import NoLosses
from core.returns import Floats


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
def semideviation(returns: ArrayLike, periods: float = 252, ddof: int = 0) -> float:
    """`sqrt(sum(min(r - mean, 0)²) / n) × sqrt(periods)`: the downside deviation below the mean itself, per
    year.

    Input: simple returns per period, missing days dropped. Divides by n - `ddof`, all n by default. Unit:
    fraction per year, ≥ 0. Log returns may be given instead (Portfolio Performance: `periods=n`, `ddof=1` for
    the semideviation of a period). Undefined below two observations. Source: Markowitz (1959), ch. 9.
    """
    r = valid(returns)
    if r.size < 2:
        return math.nan
    return downside_deviation(r, float(r.mean()), periods) * math.sqrt(r.size / (r.size - ddof))


@metric("Volatility of the period", kind="percent")
def period_volatility(returns: ArrayLike) -> float:
    """`sd(ln(1 + r)) × sqrt(n)`: the volatility of the whole span, not per year.

    Input: simple returns per period, missing days dropped; n of them are left. Sample deviation (n - 1) of the
    log returns. Unit: fraction of the span, ≥ 0. Undefined below two observations and where a period lost
    everything. Source: Portfolio Performance, `Risk.Volatility`.
    """
    logs = _logs(returns)
    return volatility(logs, logs.size)


@metric("Semideviation of the period", kind="percent")
def period_semideviation(returns: ArrayLike) -> float:
    """`sqrt(sum(min(l - mean(l), 0)²) / (n - 1)) × sqrt(n)` with `l = ln(1 + r)`: the part of
    `period_volatility` that lies below the mean.

    Input: simple returns per period, missing days dropped. Unit: fraction of the span, not annualised, ≥ 0;
    a symmetric series has `period_volatility / sqrt(2)`. Undefined below two observations and where a period
    lost everything. Source: Portfolio Performance, `Risk.Volatility`.
    """
    logs = _logs(returns)
    return semideviation(logs, logs.size, 1)


def _logs(returns: ArrayLike) -> Floats:
    """Log returns of the observations that exist; none where one of them is a total loss."""
    r = valid(returns)
    return np.log1p(r) if r.size and r.min() > -1 else r[:0]


@metric("Mean absolute deviation", kind="percent", minimum=1)
def mean_absolute_deviation(returns: ArrayLike) -> float:
    """`mean(|r - mean(r)|)`, per period.

    Input: simple returns per period, missing days dropped. Unit: fraction per period, not annualised, ≥ 0.
    Undefined without observations. Source: Bacon, ch. 4.
    """
    r = valid(returns)
    return float(np.abs(r - r.mean()).mean()) if r.size else math.nan


@metric("Downside potential", kind="percent", minimum=1)
def downside_potential(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """`sum(max(target - r, 0)) / n`: the average shortfall below the target, over all periods.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Divides by
    all n. Unit: fraction per period, not annualised, ≥ 0. Undefined without observations. Source: Bacon, ch.
    4.
    """
    return lower_partial_moment(returns, risk_free, 1)


@metric("Upside potential", kind="percent", minimum=1)
def upside_potential(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """`sum(max(r - target, 0)) / n`: the average excess above the target, over all periods.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Divides by
    all n. Unit: fraction per period, not annualised, ≥ 0. Undefined without observations. Source: Bacon, ch.
    4.
    """
    return upper_partial_moment(returns, risk_free, 1)


@metric("Loss rate", kind="percent", minimum=1)
def loss_rate(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """The share of periods with a return below the target: `count(r < target) / n`.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. Unit:
    fraction; a return of exactly the target is no loss. Undefined without observations. Source: Bacon, ch. 4
    (downside frequency).
    """
    return frequency(returns, risk_free, "below")


@metric("Volatility skewness", kind="number", minimum=1, undefined=NoLosses())
def volatility_skewness(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> float:
    """`sum(max(r - target, 0)²) / sum(max(target - r, 0)²)`: upside over downside variance, above 1 when gains
    are the wider side.

    Input: simple returns per period, missing days dropped; `risk_free` is the target per period. A pure number
    ≥ 0; its square root is the variability skewness. Undefined without a loss. Source: Bacon, ch. 4.
    """
    return ratio(upper_partial_moment(returns, risk_free, 2), lower_partial_moment(returns, risk_free, 2))


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
