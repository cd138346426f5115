"""What several metrics share: missing days dropped, common days, excess returns, ratios over zero."""

import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.reasons import Reason
from core.returns import Dates, Floats, days_of, floats

DUST = 1e-14
"""A deviation below this share of the largest observation is rounding, hence zero."""


def valid(returns: ArrayLike) -> Floats:
    """The observations that exist: NaN and infinities dropped."""
    r = floats(returns)
    return r[np.isfinite(r)]


def excess(returns: ArrayLike, risk_free: ArrayLike = 0.0) -> Floats:
    """Returns less the risk-free rate of the same period (a number or an aligned array), missing days
    dropped.
    """
    return valid(floats(returns) - floats(risk_free))


def common(returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike = 0.0) -> tuple[Floats, Floats]:
    """Both excess series on the days that both have. A benchmark or a series of one number is that number
    every day.
    """
    r, b = np.broadcast_arrays(floats(returns) - floats(risk_free), floats(benchmark) - floats(risk_free))
    both = np.isfinite(r) & np.isfinite(b)
    return r[both], b[both]


def on_common_days(
    dates: ArrayLike | Sequence[date],
    returns: ArrayLike,
    benchmark_dates: ArrayLike | Sequence[date],
    benchmark: ArrayLike,
) -> tuple[Dates, Floats, Floats]:
    """Two dated series on the dates that both have: the arrays that the relative metrics ask for."""
    days, mine, theirs = np.intersect1d(days_of(dates), days_of(benchmark_dates), return_indices=True)
    return days, floats(returns)[mine], floats(benchmark)[theirs]


def per_period(annual: ArrayLike, periods: float = 252) -> Floats:
    """Effective annual rates as rates per period: `(1 + annual) ^ (1 / periods) - 1`."""
    return np.asarray((1 + floats(annual)) ** (1 / periods) - 1, dtype=np.float64)


def ratio(numerator: float, denominator: float) -> float:
    """The quotient; over zero it is NaN for 0 / 0 and an infinity of the numerator's sign otherwise."""
    if denominator:
        return numerator / denominator
    return math.copysign(math.inf, numerator) if numerator and not math.isnan(numerator) else math.nan


def deviation(observations: Floats, ddof: int = 1) -> float:
    """Standard deviation with n - ddof; rounding dust of a constant series counts as zero. NaN for n <=
    ddof.
    """
    if observations.size <= ddof:
        return math.nan
    sd = float(np.std(observations, ddof=ddof))
    return 0.0 if sd <= DUST * float(np.max(np.abs(observations))) else sd


def rolling(
    function: Callable[..., float | date | Reason],
    window: int,
    returns: ArrayLike,
    *others: ArrayLike,
    **options: Any,
) -> Floats:
    """A metric over every span of `window` days: n - window + 1 values, the first for days 1…window.

    Further series (a benchmark) roll along; options go to the function. NaN where it is undefined.
    """
    series = [floats(s) for s in (returns, *others)]
    spans = range(max(series[0].size - window + 1, 0))
    answers = (function(*(s[i : i + window] for s in series), **options) for i in spans)
    return np.array([a if isinstance(a, float | int) else math.nan for a in answers], dtype=np.float64)
