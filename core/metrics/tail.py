"""The tail: value at risk, expected shortfall, how sure we are of them, and whether they held. Losses are
positive.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.registry import metric
from core.metrics.series import deviation, ratio, valid
from core.returns import Floats

WINDOW = 252
NEEDED = 100
Quantile = Literal[
    "linear",
    "lower",
    "higher",
    "nearest",
    "inverted_cdf",
    "hazen",
    "weibull",
    "median_unbiased",
    "normal_unbiased",
]


def last(returns: ArrayLike, window: int | None = WINDOW) -> Floats:
    """The last `window` observations that exist; all of them while there are fewer, or with `None`."""
    r = valid(returns)
    return r if window is None else r[-window:]


def value_at_risk(
    returns: ArrayLike, confidence: float = 0.95, window: int | None = WINDOW, quantile: Quantile = "linear"
) -> float:
    """Historical VaR: `-quantile(r, 1 - confidence)` of the last `window` returns.

    Input: simple returns per period, missing days dropped. Unit: fraction lost over one period, a positive
    loss; negative when even that quantile is a gain. Not annualised. The quantile interpolates linearly
    (Hyndman-Fan 7); others by name. NaN without observations; the registered metrics need 100. Source:
    Jorion, Value at Risk, ch. 10; Hyndman and Fan (1996).
    """
    r = last(returns, window)
    return -float(np.quantile(r, max(1 - confidence, 0.0), method=quantile)) if r.size else math.nan


def expected_shortfall(
    returns: ArrayLike,
    confidence: float = 0.95,
    window: int | None = WINDOW,
    tail: Literal["quantile", "weighted"] = "quantile",
) -> float:
    """Historical expected shortfall: the mean loss in the tail beyond VaR, over the last `window` returns.

    `quantile` (default): the mean of the `floor((n - 1)(1 - confidence)) + 1` lowest returns, those at or
    below the linear quantile (empyrical's CVaR). `weighted`: exactly a share 1 - confidence of the
    observations, the last one in part (Rockafellar and Uryasev; skfolio). Unit: fraction lost over one
    period, a positive loss; at least VaR. Not annualised. NaN without observations; the registered metrics
    need 100. Source: Acerbi and Tasche (2002); Rockafellar and Uryasev (2002).
    """
    r = np.sort(last(returns, window))
    if not r.size:
        return math.nan
    if tail == "quantile":
        return -float(np.mean(r[: tail_size(r.size, confidence)]))
    share = (1 - confidence) * r.size
    whole = min(math.floor(round(share, 9)), r.size - 1)
    if share <= 0:
        return -float(r[0])
    return -float((r[:whole].sum() + (share - whole) * r[whole]) / share)


def tail_size(n: int, confidence: float) -> int:
    """How many of n sorted returns lie at or below the linear quantile: `floor((n - 1)(1 - confidence)) +
    1`.
    """
    return math.floor(round((n - 1) * (1 - confidence), 9)) + 1


def parametric_var(
    returns: ArrayLike,
    confidence: float = 0.95,
    window: int | None = WINDOW,
    ddof: int = 1,
    zero_mean: bool = False,
) -> float:
    """Normal VaR: `-(mean + z(1 - confidence) × sd)` of the last `window` returns.

    Input: simple returns per period, missing days dropped. Unit: fraction lost over one period, a positive
    loss. Sample deviation (n - 1); `zero_mean` leaves the mean out. Not annualised. NaN below two
    observations. Source: RiskMetrics (1996); LEAN, `Statistics.ValueAtRisk`.
    """
    r = last(returns, window)
    if r.size <= ddof:
        return math.nan
    return -((0.0 if zero_mean else float(r.mean())) + NormalDist().inv_cdf(1 - confidence) * deviation(r, ddof))


def parametric_shortfall(
    returns: ArrayLike, confidence: float = 0.95, window: int | None = WINDOW, ddof: int = 1
) -> float:
    """Normal expected shortfall: `-mean + sd × pdf(z) / (1 - confidence)`: a positive loss per period.

    Sample deviation (n - 1). NaN below two observations. Source: Jorion, ch. 5.
    """
    r = last(returns, window)
    if r.size <= ddof:
        return math.nan
    normal = NormalDist()
    density = normal.pdf(normal.inv_cdf(1 - confidence))
    return -float(r.mean()) + deviation(r, ddof) * density / (1 - confidence)


def modified_var(returns: ArrayLike, confidence: float = 0.95, window: int | None = WINDOW, ddof: int = 0) -> float:
    """Cornish-Fisher VaR: normal VaR whose quantile is corrected for skewness S and excess kurtosis K
    (moments).

    `z' = z + (z² - 1) S / 6 + (z³ - 3z) K / 24 - (2z³ - 5z) S² / 36`; a positive loss per period. NaN when
    the series does not vary. Source: Favre and Galeano (2002); Bacon, ch. 4.
    """
    r = last(returns, window)
    sd = deviation(r, 0)
    if not sd > 0:
        return math.nan
    scaled = (r - r.mean()) / sd
    s, k = float(np.mean(scaled**3)), float(np.mean(scaled**4)) - 3
    z = NormalDist().inv_cdf(1 - confidence)
    z += (z * z - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s * s / 36
    return -float(r.mean() + z * deviation(r, ddof))


@metric("VaR 95 %", kind="percent", minimum=NEEDED, over="history")
def var_95(returns: ArrayLike) -> float:
    """The loss of one day not exceeded on 95 % of the last 252 days: historical, see `value_at_risk`.

    Input: simple daily returns. Unit: fraction, a positive loss. Undefined below 100 observations.
    """
    return value_at_risk(returns, 0.95)


@metric("VaR 99 %", kind="percent", minimum=NEEDED, over="history")
def var_99(returns: ArrayLike) -> float:
    """The loss of one day not exceeded on 99 % of the last 252 days: historical, see `value_at_risk`.

    Input: simple daily returns. Unit: fraction, a positive loss. Undefined below 100 observations; two or
    three days decide it, so read it with its interval.
    """
    return value_at_risk(returns, 0.99)


@metric("Expected shortfall 95 %", kind="percent", minimum=NEEDED, over="history")
def es_95(returns: ArrayLike) -> float:
    """The mean loss on the worst 5 % of the last 252 days: historical, see `expected_shortfall`.

    Input: simple daily returns. Unit: fraction, a positive loss, at least VaR 95 %. Undefined below 100
    observations.
    """
    return expected_shortfall(returns, 0.95)


@metric("Expected shortfall 99 %", kind="percent", minimum=NEEDED, over="history")
def es_99(returns: ArrayLike) -> float:
    """The mean loss on the worst 1 % of the last 252 days: historical, see `expected_shortfall`.

    Input: simple daily returns. Unit: fraction, a positive loss, at least VaR 99 %. Undefined below 100
    observations.
    """
    return expected_shortfall(returns, 0.99)


@metric("Parametric VaR 95 %", kind="percent", minimum=NEEDED, over="history")
def parametric_var_95(returns: ArrayLike) -> float:
    """`-(mean - 1.644854 × sd)` of the last 252 days, as if returns were normal: see `parametric_var`.

    Input: simple daily returns. Unit: fraction, a positive loss. Undefined below 100 observations.
    """
    return parametric_var(returns, 0.95)


@metric("Parametric VaR 99 %", kind="percent", minimum=NEEDED, over="history")
def parametric_var_99(returns: ArrayLike) -> float:
    """`-(mean - 2.326348 × sd)` of the last 252 days, as if returns were normal: see `parametric_var`.

    Input: simple daily returns. Unit: fraction, a positive loss. Undefined below 100 observations.
    """
    return parametric_var(returns, 0.99)


# --- how sure ---


@dataclass(frozen=True)
class Interval:
    """Where a statistic lies in most resamples of the same days."""

    low: float
    high: float
    level: float
    n: int
    """Observations resampled."""


def bootstrap_interval(
    returns: ArrayLike,
    confidence: float = 0.95,
    statistic: Literal["var", "shortfall"] = "var",
    level: float = 0.90,
    window: int | None = WINDOW,
    draws: int = 2000,
    seed: int = 1,
) -> Interval:
    """The percentile bootstrap interval of historical VaR or expected shortfall over the last `window`
    returns.

    Draws the n days with replacement `draws` times from a seeded generator (the same input always gives the
    same interval) and takes the central `level` of the results. Days are drawn one by one, so clustering of
    volatility is not in it. Positive losses; NaN without observations. Source: Efron and Tibshirani (1993),
    ch. 13.
    """
    r = last(returns, window)
    if not r.size:
        return Interval(math.nan, math.nan, level, 0)
    drawn = np.random.default_rng(seed).integers(0, r.size, (draws, r.size))
    samples = np.sort(r[drawn], axis=1)
    if statistic == "var":
        losses = -sorted_quantile(samples, 1 - confidence)
    else:
        losses = -samples[:, : tail_size(r.size, confidence)].mean(axis=1)
    low, high = np.quantile(losses, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, int(r.size))


def sorted_quantile(ascending: Floats, share: float) -> Floats:
    """The linear quantile (Hyndman-Fan 7) along the last axis of arrays that are sorted already."""
    position = round((ascending.shape[-1] - 1) * share, 9)
    below = min(math.floor(position), ascending.shape[-1] - 1)
    above = min(below + 1, ascending.shape[-1] - 1)
    low, high = ascending[..., below], ascending[..., above]
    return np.asarray(low + (position - below) * (high - low), dtype=np.float64)


@metric("VaR 95 %: low", kind="percent", minimum=NEEDED, over="history")
def var_95_low(returns: ArrayLike) -> float:
    """The lower end of the 90 % bootstrap interval of VaR 95 %: see `bootstrap_interval`.

    Input: simple daily returns, the last 252. Unit: fraction, a positive loss. Undefined below 100
    observations.
    """
    return bootstrap_interval(returns, 0.95).low


@metric("VaR 95 %: high", kind="percent", minimum=NEEDED, over="history")
def var_95_high(returns: ArrayLike) -> float:
    """The upper end of the 90 % bootstrap interval of VaR 95 %: see `bootstrap_interval`.

    Input: simple daily returns, the last 252. Unit: fraction, a positive loss. Undefined below 100
    observations.
    """
    return bootstrap_interval(returns, 0.95).high


@metric("VaR 99 %: low", kind="percent", minimum=NEEDED, over="history")
def var_99_low(returns: ArrayLike) -> float:
    """The lower end of the 90 % bootstrap interval of VaR 99 %: see `bootstrap_interval`.

    Input: simple daily returns, the last 252. Unit: fraction, a positive loss. Undefined below 100
    observations.
    """
    return bootstrap_interval(returns, 0.99).low


@metric("VaR 99 %: high", kind="percent", minimum=NEEDED, over="history")
def var_99_high(returns: ArrayLike) -> float:
    """The upper end of the 90 % bootstrap interval of VaR 99 %: see `bootstrap_interval`.

    Input: simple daily returns, the last 252. Unit: fraction, a positive loss. Undefined below 100
    observations.
    """
    return bootstrap_interval(returns, 0.99).high


# --- whether it held ---


@dataclass(frozen=True)
class Kupiec:
    """The proportion-of-failures test: do losses exceed VaR as often as it says?"""

    observations: int
    exceptions: int
    expected: float
    """Exceptions that the level promises: n × p."""
    ratio: float
    """Exceptions over expected; 1 is right, above 1 VaR is too small."""
    observed_level: float
    """Share of days without an exception."""
    statistic: float
    """Likelihood ratio, chi-square with one degree of freedom."""
    p_value: float
    """Probability of at least this deviation if VaR is right; below 0.05 it is rejected."""


def kupiec(observations: int, exceptions: int, p: float) -> Kupiec:
    """Kupiec's test of `exceptions` in `observations` days against the promised share `p` (0.05 for VaR 95
    %).

    `LR = -2 ln[(1 - p)^(n - x) p^x] + 2 ln[(1 - x/n)^(n - x) (x/n)^x]`; its p-value is `erfc(sqrt(LR / 2))`.
    NaN without observations. Source: Kupiec (1995), Techniques for verifying the accuracy of risk
    measurement models.
    """
    n, x = observations, exceptions
    if n <= 0:
        return Kupiec(n, x, 0.0, math.nan, math.nan, math.nan, math.nan)

    def likelihood(share: float) -> float:
        return sum(count * math.log(q) for count, q in ((n - x, 1 - share), (x, share)) if count)

    statistic = max(2 * (likelihood(x / n) - likelihood(p)), 0.0)
    return Kupiec(n, x, n * p, ratio(x, n * p), 1 - x / n, statistic, math.erfc(math.sqrt(statistic / 2)))


def var_backtest(returns: ArrayLike, confidence: float = 0.95, window: int = WINDOW) -> Kupiec:
    """Historical VaR tried on its own past: each day's loss against the VaR of the `window` days before it.

    Input: simple returns per period, missing days dropped; n - window days are tested. See `kupiec`.
    """
    r = valid(returns)
    if r.size <= window:
        return kupiec(0, 0, 1 - confidence)
    spans = np.sort(np.lib.stride_tricks.sliding_window_view(r[:-1], window), axis=1)
    exceeded = r[window:] < sorted_quantile(spans, 1 - confidence)
    return kupiec(int(exceeded.size), int(exceeded.sum()), 1 - confidence)


@metric("VaR 95 % exceptions", kind="number", minimum=WINDOW + 1, over="history")
def var_95_exceptions(returns: ArrayLike) -> float:
    """Days whose loss exceeded the VaR 95 % of the 252 days before, over the days that it promises: see
    `var_backtest`.

    Input: simple daily returns. A pure number: 1 is right, 2 is twice as many. Undefined below 253
    observations.
    """
    return var_backtest(returns, 0.95).ratio


@metric("VaR 99 % exceptions", kind="number", minimum=WINDOW + 1, over="history")
def var_99_exceptions(returns: ArrayLike) -> float:
    """Days whose loss exceeded the VaR 99 % of the 252 days before, over the days that it promises: see
    `var_backtest`.

    Input: simple daily returns. A pure number: 1 is right, 2 is twice as many. Undefined below 253
    observations.
    """
    return var_backtest(returns, 0.99).ratio


@metric("VaR 95 % back-test", kind="number", minimum=WINDOW + 1, over="history")
def var_95_p_value(returns: ArrayLike) -> float:
    """Kupiec's p-value of the VaR 95 % exceptions: below 0.05 the VaR is rejected. See `kupiec`,
    `var_backtest`.

    Input: simple daily returns. A probability. Undefined below 253 observations.
    """
    return var_backtest(returns, 0.95).p_value


@metric("VaR 99 % back-test", kind="number", minimum=WINDOW + 1, over="history")
def var_99_p_value(returns: ArrayLike) -> float:
    """Kupiec's p-value of the VaR 99 % exceptions: below 0.05 the VaR is rejected. See `kupiec`,
    `var_backtest`.

    Input: simple daily returns. A probability. Undefined below 253 observations.
    """
    return var_backtest(returns, 0.99).p_value


@metric("Tail ratio", kind="number", minimum=NEEDED)
def tail_ratio(returns: ArrayLike) -> float:
    """`|95 % quantile| / |5 % quantile|` of all returns: above 1 when the large gains exceed the large
    losses.

    Input: simple returns per period, missing days dropped; linear quantiles. A pure number. Undefined when
    the 5 % quantile is zero and below 100 observations. Source: empyrical.
    """
    r = valid(returns)
    return ratio(abs(float(np.quantile(r, 0.95))), abs(float(np.quantile(r, 0.05)))) if r.size else math.nan
