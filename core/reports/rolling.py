"""Risk as it was on every day: volatility, Sharpe ratio, beta and drawdown over the days before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.fx import day_of
from core.metrics import METRICS
from core.metrics.series import rolling as rolled
from core.reports import Made, report
from core.returns import Floats
from core.table import Column, Kind
from core.view import View

QUARTER, YEAR = 63, 252
# column: the metric, its window, and whether it is the benchmark's
ROLLED: dict[str, tuple[str, int, bool]] = {
    "volatility_quarter": ("volatility", QUARTER, False),
    "volatility": ("volatility", YEAR, False),
    "benchmark_volatility": ("volatility", YEAR, True),
    "sharpe": ("sharpe", YEAR, False),
    "beta": ("beta", YEAR, False),
    "max_drawdown": ("max_drawdown", YEAR, False),
}


def observed(view: View) -> NDArray[np.intp]:
    """Places of the days of the series that have a return: what a window counts."""
    return np.flatnonzero(np.isfinite(view.sound_returns))


def cell(column: str, returns: Floats, benchmark: Floats | None) -> float | None:
    """One figure over one window of returns; None where it is undefined."""
    metric, _, theirs = ROLLED[column]
    if benchmark is None and (theirs or metric == "beta"):
        return None
    value = METRICS[metric](
        returns=benchmark if theirs else returns, **({} if benchmark is None else {"benchmark": benchmark})
    )
    return value if isinstance(value, float) else None


def _column(column: str, returns: Floats, benchmark: Floats | None, first: int) -> list[float | None]:
    """One column from the `first` observation on; None where the window is not full yet or has no figure."""
    metric, window, theirs = ROLLED[column]
    start = max(first - window + 1, 0)
    series = [benchmark if theirs else returns, *([benchmark] if metric == "beta" else [])]
    known = [s[start:] for s in series if s is not None]
    values = rolled(METRICS[metric].function, window, *known) if len(known) == len(series) else np.empty(0)
    full = [float(v) if np.isfinite(v) else None for v in values]
    return [None] * (len(returns) - first - len(full)) + full


@report(
    "Rolling risk",
    Column("on", "Date", Kind.DATE),
    Column("volatility_quarter", "Volatility, 63 days", Kind.PERCENT, "per year, over the last 63 days with a return"),
    Column("volatility", "Volatility, 252 days", Kind.PERCENT, "per year, over the last 252 days with a return"),
    Column("benchmark_volatility", "Benchmark, 252 days", Kind.PERCENT, "volatility of the benchmark on the same days", wide_only=True),
    Column("sharpe", "Sharpe ratio", Kind.NUMBER, "over the last 252 days, per year, risk-free rate 0"),
    Column("beta", "Beta", Kind.NUMBER, "to the benchmark, over the last 252 days"),
    Column("max_drawdown", "Deepest drawdown", Kind.PERCENT, "within the last 252 days"),
    Column("reason", "Why it is missing", wide_only=True),
    empty="There is no day with a return in this period.",
)  # fmt: skip
def rolling(view: View) -> Made:
    """Volatility, Sharpe ratio, beta and deepest drawdown on every day of the period (`period`), each over the days before it.

    A window is the last 63 or 252 days of the series that have a return, the day itself included, however short the period
    shown is; before it is full there is no figure. Definitions are those of the metrics of the same names.
    """
    places = observed(view)
    shown = places[view.within(view.scope.period)[places]] if len(view.days) else places
    if not len(shown):
        return Made([])
    first = int(np.searchsorted(places, shown[0]))
    bench = None if view.benchmark_returns is None else view.benchmark_returns[places]
    found = {column: _column(column, view.sound_returns[places], bench, first) for column in ROLLED}
    rows = [
        (day_of(int(view.days[place])), *(found[column][n] for column in ROLLED), _why(first + n + 1))
        for n, place in enumerate(shown.tolist())
    ]
    return Made(rows)


def _why(n: int) -> str:
    """Why the figures of the n-th day with a return are missing; "" where both windows are full."""
    return "" if n >= YEAR else f"too few observations: {n}, {YEAR if n >= QUARTER else QUARTER} are needed"
