"""Against a benchmark, on the days that both series have. Returns are simple, per period; 252 periods a
year.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.ratios import annual_return
from core.metrics.registry import metric
from core.metrics.series import common, deviation, ratio
from core.metrics.volatility import downside_deviation, volatility
from core.reasons import NoLosses, Undefined, ZeroVariance
from core.returns import Floats, floats

Side = Literal["all", "up", "down"]
NO_UP = Undefined("the benchmark has no gain on a common day")
NO_DOWN = Undefined("the benchmark has no loss on a common day")


def _regression(r: Floats, b: Floats) -> tuple[float, float]:
    """Slope and intercept of ordinary least squares of r on b; NaN where b does not vary."""
    if b.size < 2 or not deviation(b, 0) > 0:
        return math.nan, math.nan
    about = b - b.mean()
    slope = float(about @ (r - r.mean()) / (about @ about))
    return slope, float(r.mean() - slope * b.mean())


def _annual_pair(r: Floats, b: Floats, periods: float) -> tuple[float, float]:
    return annual_return(r, periods), annual_return(b, periods)


@metric("Beta", kind="number", undefined=ZeroVariance())
def beta(returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, side: Side = "all") -> float:
    """`cov(r - rf, b - rf) / var(b - rf)`: the slope of the regression of excess returns on the benchmark's.

    Input: simple returns per period on the same days, days that either lacks dropped; `risk_free` per
    period. `side="up"` or `"down"` keeps the days on which the benchmark's excess return is positive or
    negative (bull and bear beta). A pure number. Undefined when the benchmark does not vary. Source: Sharpe
    (1964); Bacon, ch. 4.
    """
    r, b = common(returns, benchmark, risk_free)
    if side != "all":
        kept = b > 0 if side == "up" else b < 0
        r, b = r[kept], b[kept]
    return _regression(r, b)[0]


@metric("Alpha", kind="percent", undefined=ZeroVariance(), over="sessions")
def alpha(
    returns: ArrayLike,
    benchmark: ArrayLike,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    annualise: Literal["linear", "compound", "annual returns", "no"] = "linear",
) -> float:
    """Jensen's alpha: `(mean(r - rf) - beta × mean(b - rf)) × periods`, the intercept of the regression of
    excess returns.

    Input: simple returns per period on the same days, days that either lacks dropped; `risk_free` per
    period. Unit: fraction per year. `compound`: `(1 + intercept) ^ periods - 1` (empyrical); `annual
    returns`: `R - RF - beta × (B - RF)` of compound annual returns (Bacon); `no`: per period. Undefined when
    the benchmark does not vary. Source: Jensen (1968).
    """
    slope, intercept = _regression(*common(returns, benchmark, risk_free))
    if annualise == "no" or math.isnan(intercept):
        return intercept
    if annualise == "linear":
        return intercept * periods
    if annualise == "compound":
        return float((1 + intercept) ** periods - 1)
    r, b = common(returns, benchmark)
    rate = _annual_rate(returns, benchmark, risk_free, periods)
    mine, theirs = _annual_pair(r, b, periods)
    return mine - rate - slope * (theirs - rate)


def _annual_rate(returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike, periods: float) -> float:
    rates, _ = common(floats(returns) * 0 + floats(risk_free), benchmark)
    return annual_return(rates, periods)


@metric("Tracking error", kind="percent")
def tracking_error(returns: ArrayLike, benchmark: ArrayLike, periods: float = 252, ddof: int = 1) -> float:
    """`sd(r - b) × sqrt(periods)`: the deviation of the active return, per year.

    Input: simple returns per period on the same days, days that either lacks dropped. Sample deviation (n -
    1). Unit: fraction per year, ≥ 0. Undefined below two common days. Source: Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    return deviation(r - b, ddof) * math.sqrt(periods)


@metric("Information ratio", kind="number", undefined=ZeroVariance(), over="sessions")
def information_ratio(
    returns: ArrayLike, benchmark: ArrayLike, periods: float = 252, ddof: int = 1, geometric: bool = False
) -> float:
    """`mean(r - b) / sd(r - b) × sqrt(periods)`: active return per unit of tracking error.

    Input: simple returns per period on the same days, days that either lacks dropped. Sample deviation (n -
    1). `periods=1` gives it per period (empyrical's excess Sharpe); `geometric` divides the difference of
    the compound annual returns by the tracking error (Bacon). A pure number per year. Undefined when the
    active return does not vary. Source: Goodwin (1998); Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    if r.size <= ddof:
        return math.nan
    if geometric:
        return ratio(active_return(r, b, periods), tracking_error(r, b, periods, ddof))
    active = r - b
    return ratio(float(active.mean()), deviation(active, ddof)) * math.sqrt(periods)


@metric("Active return", kind="percent", minimum=1, a_year=True, over="sessions")
def active_return(returns: ArrayLike, benchmark: ArrayLike, periods: float = 252) -> float:
    """`annual return - annual return of the benchmark`, both compound, over the common days.

    Input: simple returns per period on the same days, days that either lacks dropped. Unit: fraction per
    year. Undefined without common days; the registered metric needs a year of them. Source: Bacon, ch. 3.
    """
    mine, theirs = _annual_pair(*common(returns, benchmark), periods)
    return mine - theirs


@metric("Correlation", kind="number", undefined=ZeroVariance())
def correlation(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """`cov(r, b) / (sd(r) × sd(b))`: Pearson's correlation.

    Input: simple returns per period on the same days, days that either lacks dropped. A pure number in -1…1.
    Undefined when either series does not vary. Source: Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    if r.size < 2 or not deviation(r, 0) > 0 or not deviation(b, 0) > 0:
        return math.nan
    x, y = r - r.mean(), b - b.mean()
    return float(np.clip(x @ y / math.sqrt(float(x @ x) * float(y @ y)), -1, 1))


@metric("R²", kind="number", undefined=ZeroVariance())
def r_squared(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """The squared correlation: the share of the variance that the benchmark explains.

    Input: simple returns per period on the same days, days that either lacks dropped. A pure number in 0…1.
    Undefined when either series does not vary. Source: Bacon, ch. 4.
    """
    return correlation(returns, benchmark) ** 2


def _capture(returns: ArrayLike, benchmark: ArrayLike, periods: float, side: Side, count_missing: bool) -> float:
    r, b = np.broadcast_arrays(floats(returns), floats(benchmark))
    kept = b > 0 if side == "up" else b < 0
    if not count_missing:
        kept &= np.isfinite(r)
    theirs = annual_return(b[kept], periods)
    return annual_return(r[kept], periods, count_missing) / theirs if theirs else math.nan


@metric("Up capture", kind="percent", minimum=1, undefined=NO_UP, over="sessions")
def up_capture(returns: ArrayLike, benchmark: ArrayLike, periods: float = 252, count_missing: bool = False) -> float:
    """`annual return / annual return of the benchmark`, both over the common days on which the benchmark
    gains.

    Input: simple returns per period on the same days. Compound, annualised with periods / number of such
    days; `periods=1` compares the geometric mean per period instead; `count_missing` counts days that
    `returns` lacks (empyrical). Unit: fraction, 1 is even, above 1 is good. Undefined without a gain of the
    benchmark. Source: empyrical; Bacon, ch. 4.
    """
    return _capture(returns, benchmark, periods, "up", count_missing)


@metric("Down capture", kind="percent", minimum=1, undefined=NO_DOWN, over="sessions")
def down_capture(returns: ArrayLike, benchmark: ArrayLike, periods: float = 252, count_missing: bool = False) -> float:
    """`annual return / annual return of the benchmark`, both over the common days on which the benchmark
    loses.

    Input: simple returns per period on the same days. Compound, annualised with periods / number of such
    days; `periods=1` compares the geometric mean per period instead; `count_missing` counts days that
    `returns` lacks (empyrical). Unit: fraction, 1 is even, below 1 is good, negative when the portfolio
    gained. Undefined without a loss of the benchmark. Source: empyrical; Bacon, ch. 4.
    """
    return _capture(returns, benchmark, periods, "down", count_missing)


@metric("Capture ratio", kind="number", minimum=1, undefined=NO_DOWN, over="sessions")
def capture_ratio(returns: ArrayLike, benchmark: ArrayLike, periods: float = 252) -> float:
    """`up capture / down capture`. Input as for both. A pure number, above 1 is good while both are positive.

    Undefined when either is. Source: empyrical, `up_down_capture`.
    """
    return ratio(up_capture(returns, benchmark, periods), down_capture(returns, benchmark, periods))


@metric("Batting average", kind="percent", minimum=1)
def batting_average(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """The share of common days on which the return exceeds the benchmark's: `count(r > b) / n`.

    Input: simple returns per period on the same days, days that either lacks dropped. Unit: fraction; a tie
    is no win. Undefined without common days. Source: Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    return float(np.mean(r > b)) if r.size else math.nan


@metric("Systematic risk", kind="percent", undefined=ZeroVariance())
def systematic_risk(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252, ddof: int = 1
) -> float:
    """`beta × volatility of the benchmark`: the part of the risk that the benchmark explains, per year.

    Input: simple returns per period on the same days, days that either lacks dropped. Sample deviation;
    `ddof=0` is Bacon's. Unit: fraction per year, negative with a negative beta. Undefined when the benchmark
    does not vary. Source: Bacon, ch. 4.
    """
    _, b = common(returns, benchmark)
    return beta(returns, benchmark, risk_free) * volatility(b, periods, ddof)


@metric("Specific risk", kind="percent", undefined=ZeroVariance())
def specific_risk(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252, ddof: int = 1
) -> float:
    """`sd(residuals of the regression on the benchmark) × sqrt(periods)`: the risk that the benchmark does
    not explain.

    Input: simple returns per period on the same days, days that either lacks dropped. Sample deviation;
    `ddof=0` is Bacon's. Unit: fraction per year, ≥ 0. Undefined when the benchmark does not vary. Source:
    Bacon, ch. 4.
    """
    r, b = common(returns, benchmark, risk_free)
    slope, intercept = _regression(r, b)
    residuals = r - intercept - slope * b
    if math.isnan(slope) or residuals.size <= ddof:
        return math.nan
    return float(np.std(residuals, ddof=ddof)) * math.sqrt(periods)


@metric("Appraisal ratio", kind="number", undefined=ZeroVariance(), over="sessions")
def appraisal_ratio(
    returns: ArrayLike,
    benchmark: ArrayLike,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    ddof: int = 1,
    annualise: Literal["linear", "compound", "annual returns", "no"] = "linear",
) -> float:
    """`alpha / specific risk`: the reward for the risk that the benchmark does not explain.

    Input: simple returns per period on the same days, days that either lacks dropped. Options as in `alpha`
    and `specific_risk`. A pure number per year. Undefined when the benchmark does not vary or explains
    everything. Source: Treynor and Black (1973); Bacon, ch. 4.
    """
    risk = specific_risk(returns, benchmark, risk_free, periods, ddof)
    return ratio(alpha(returns, benchmark, risk_free, periods, annualise), risk if risk > 1e-12 else 0.0)


@metric("Treynor ratio", kind="percent", undefined=ZeroVariance(), a_year=True, over="sessions")
def treynor(
    returns: ArrayLike,
    benchmark: ArrayLike,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    modified: bool = False,
    ddof: int = 0,
) -> float:
    """`(annual return - annual risk-free return) / beta`, annual returns compound, over the common days.

    Input: simple returns per period on the same days, days that either lacks dropped. `modified` divides by
    the systematic risk (deviation with n - `ddof`) instead of beta. Unit: fraction per year per unit of
    beta. Undefined when beta is zero or undefined. Source: Treynor (1965); Bacon, ch. 4.
    """
    r, _ = common(returns, benchmark)
    reward = annual_return(r, periods) - _annual_rate(returns, benchmark, risk_free, periods)
    if modified:
        return ratio(reward, systematic_risk(returns, benchmark, risk_free, periods, ddof))
    return ratio(reward, beta(returns, benchmark, risk_free))


@metric("M²", kind="percent", undefined=ZeroVariance(), a_year=True, over="sessions")
def m_squared(returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252) -> float:
    """`RF + (R - RF) × sd(b) / sd(r)`: the annual return if the portfolio were levered to the benchmark's
    risk.

    Input: simple returns per period on the same days, days that either lacks dropped; annual returns
    compound. Unit: fraction per year, to compare with the benchmark's. Undefined when the portfolio does not
    vary. Source: Modigliani and Modigliani (1997); Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    rate = _annual_rate(returns, benchmark, risk_free, periods)
    return rate + ratio((annual_return(r, periods) - rate) * deviation(b), deviation(r))


def m_squared_excess(
    returns: ArrayLike,
    benchmark: ArrayLike,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    geometric: bool = True,
) -> float:
    """`(1 + M²) / (1 + B) - 1`, or `M² - B`: M² over the benchmark's annual return B. Source: Bacon, ch. 4"""
    m = m_squared(returns, benchmark, risk_free, periods)
    theirs = annual_return(common(returns, benchmark)[1], periods)
    return (1 + m) / (1 + theirs) - 1 if geometric else m - theirs


@metric("M² Sortino", kind="percent", undefined=NoLosses(), a_year=True, over="sessions")
def m_squared_sortino(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252
) -> float:
    """`R + (R - T) / dd(r) × (dd(b) - dd(r))`: M² with downside deviations dd around the target T, the
    risk-free rate.

    Input: simple returns per period on the same days, days that either lacks dropped; the target per period,
    and everything per year: R compound, T linear (`target × periods`). Unit: fraction per year. Undefined
    when the portfolio has no return below the target. Source: Bacon, ch. 4.
    """
    r, _ = common(returns, benchmark)
    mine, theirs = (downside_deviation(e, 0.0, periods) for e in common(returns, benchmark, risk_free))
    annual = annual_return(r, periods)
    reward = annual - float(np.mean(floats(risk_free))) * periods
    return annual + ratio(reward, mine) * (theirs - mine)


@metric("Omega excess return", kind="percent", minimum=1, a_year=True)
def omega_excess_return(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252
) -> float:
    """`R - 3 × dd(r) × dd(b)`: the annual return less a charge for downside risk.

    Input: simple returns per period on the same days, days that either lacks dropped; dd is the downside
    deviation per year below `risk_free` as target per period. Unit: fraction per year. Undefined without
    common days. Source: Sortino; Bacon, ch. 4.
    """
    r, _ = common(returns, benchmark)
    mine, theirs = (downside_deviation(e, 0.0, periods) for e in common(returns, benchmark, risk_free))
    return annual_return(r, periods) - 3 * mine * theirs


@metric("Fama beta", kind="number", undefined=ZeroVariance())
def fama_beta(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """`sd(r) / sd(b)`: the beta that would give the portfolio's total risk.

    Input: simple returns per period on the same days, days that either lacks dropped. A pure number ≥ 0.
    Undefined when the benchmark does not vary. Source: Fama (1972); Bacon, ch. 4.
    """
    r, b = common(returns, benchmark)
    return ratio(deviation(r), deviation(b))


@metric("Net selectivity", kind="percent", undefined=ZeroVariance(), a_year=True, over="sessions")
def net_selectivity(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0, periods: float = 252
) -> float:
    """`alpha - (fama beta - beta) × (B - RF)`: what selection earned beyond paying for the diversification
    given up.

    Input: simple returns per period on the same days, days that either lacks dropped; alpha from compound
    annual returns. Unit: fraction per year. Undefined when the benchmark does not vary. Source: Fama (1972);
    Bacon, ch. 4.
    """
    theirs = annual_return(common(returns, benchmark)[1], periods)
    rate = _annual_rate(returns, benchmark, risk_free, periods)
    given_up = fama_beta(returns, benchmark) - beta(returns, benchmark, risk_free)
    return alpha(returns, benchmark, risk_free, periods, "annual returns") - given_up * (theirs - rate)
