"""Risk as it was on every day: volatility, Sharpe ratio, beta and drawdown over the days before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.fx import day_of
from core.metrics import METRICS
from core.metrics.series import rolling as rolled
from core.reports import Made, report
from core.returns import Floats
from core.risk_figures import Measured
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


def windowed(column: str, of: Measured) -> tuple[NDArray[np.intp], Floats]:
    """(places of the days that a window of this column counts, the figure of the window that ends at each of them): NaN before the
    first full window and where it is undefined. A figure that counts one-day returns passes gaps over, one that counts sessions
    has their part of it."""
    name, window, theirs = ROLLED[column]
    whole = METRICS[name].over == "sessions"
    if name == "beta":
        wanted = [of.pair_days, of.bench_days]
    else:
        wanted = [(of.bench_sessions if whole else of.bench_days) if theirs else of.sessions if whole else of.days]
    series = [s for s in wanted if s is not None]
    if len(series) < len(wanted):
        return np.empty(0, np.intp), np.empty(0)
    rates = [of.risk_free] if "risk_free" in METRICS[name].inputs else []
    places = np.flatnonzero(np.logical_and.reduce([np.isfinite(s) for s in series]))
    values = rolled(METRICS[name].function, window, *(s[places] for s in (*series, *rates)))
    return places, np.concatenate((np.full(len(places) - len(values), np.nan), values))


@report(
    "Rolling risk",
    Column("on", "Date", Kind.DATE),
    Column("volatility_quarter", "Volatility, 63 days", Kind.PERCENT, "per year, over the last 63 days with a return"),
    Column("volatility", "Volatility, 252 days", Kind.PERCENT, "per year, over the last 252 days with a return"),
    Column("benchmark_volatility", "Benchmark, 252 days", Kind.PERCENT, "volatility of the benchmark on the same days", wide_only=True),
    Column("sharpe", "Sharpe ratio", Kind.NUMBER, "over the last 252 days, per year"),
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
    if not len(view.days):
        return Made([])
    of = view.measured_from(0)
    counted = np.flatnonzero(np.isfinite(of.days))
    shown = counted[view.within(view.scope.period)[counted]]
    if not len(shown):
        return Made([])
    found = {}
    for column in ROLLED:
        places, values = windowed(column, of)
        found[column] = {int(p): float(v) for p, v in zip(places, values, strict=True) if np.isfinite(v)}
    first = int(np.searchsorted(counted, shown[0]))
    rows = [
        (day_of(int(view.days[place])), *(found[column].get(place) for column in ROLLED), _why(first + n + 1))
        for n, place in enumerate(shown.tolist())
    ]
    return Made(rows, notes=(f"{view.risk_free_said[0].upper()}{view.risk_free_said[1:]}.",))


def _why(n: int) -> str:
    """Why the figures of the n-th day with a return are missing; "" where both windows are full."""
    return "" if n >= YEAR else f"too few observations: {n}, {YEAR if n >= QUARTER else QUARTER} are needed"
