"""How far and how long it stayed below its highs: the deepest drawdowns of the period, and where it stands now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from core.fx import day_of
from core.metrics import METRICS, drawdown
from core.reasons import Reason, TooFewObservations
from core.reports import Made, report
from core.reports.risk import spanned
from core.return_series import paired
from core.returns import Floats, growth, link
from core.table import Column, Figure, Kind
from core.view import View

MOST = 10
LENGTHS = ("longest_drawdown_days", "longest_recovery_days", "average_drawdown", "ulcer_index")
"""Metrics of the same period that stand beside the table."""
KINDS = {"percent": Kind.PERCENT, "days": Kind.COUNT}


def dates_of(days: Sequence[int], base: int) -> list[date]:
    """The day that the first return starts from, then the day of every return: what `drawdowns` asks for."""
    return [day_of(base), *(day_of(d) for d in days)]


def deepest(dates: Sequence[date], returns: Floats) -> list[drawdown.Drawdown]:
    """The deepest drawdowns, at most MOST, the earlier of equals first."""
    return sorted(drawdown.drawdowns(dates, returns), key=lambda d: d.depth)[:MOST]


def meanwhile(found: drawdown.Drawdown, dates: Sequence[date], benchmark: Floats | None) -> float | None:
    """What the benchmark returned from the peak to the trough of a drawdown."""
    if benchmark is None:
        return None
    between = [found.peak < on <= found.trough for on in dates[1:]]
    known = benchmark[np.array(between, np.bool_)]
    return link(known) if np.isfinite(known).any() else None


def high_of(dates: Sequence[date], returns: Floats) -> drawdown.High | Reason:
    """The all-time high of the growth of 1, its opening counted; a reason without a return."""
    if not np.isfinite(returns).any():
        return TooFewObservations(0, 1)
    return drawdown.all_time_high(dates, growth(returns))


def series(view: View, i: int) -> tuple[list[date], Floats, Floats | None]:
    """(dates with the opening day in front, returns of the portfolio, returns of the benchmark spanned alike) from the i-th day on."""
    own, theirs = view.own(i), view.of_benchmark(i)
    dates = dates_of(view.days[i:].tolist(), int(view.days[i - 1]) if i else first_day(view))
    return dates, own.linked, None if theirs is None else paired(own, theirs)[1].linked


def first_day(view: View) -> int:
    """The day that the daily series starts from: the one before its first."""
    base = view.base_day("ALL")
    assert isinstance(base, int)
    return base


@report(
    "Drawdowns",
    Column("rank", "Rank", Kind.COUNT, "1 is the deepest of the period"),
    Column("depth", "Depth", Kind.PERCENT, "lowest point against the high before it, of the growth of 1"),
    Column("peak", "Peak", Kind.DATE, "last day at the high"),
    Column("trough", "Trough", Kind.DATE, "first day at the lowest point"),
    Column("recovery", "Recovered", Kind.DATE, "first day back at the high"),
    Column("days_down", "Days down", Kind.COUNT, "calendar days from the peak to the trough", wide_only=True),
    Column("days_up", "Days up", Kind.COUNT, "calendar days from the trough to the recovery", wide_only=True),
    Column("days", "Days in all", Kind.COUNT, "calendar days from the peak to the recovery, to the last day while it is open"),
    Column("benchmark", "Benchmark", Kind.PERCENT, "return of the benchmark from the peak to the trough", wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="It never fell below an earlier high in this period.",
)  # fmt: skip
def drawdowns(view: View) -> Made:
    """The ten deepest drawdowns of the period (`period`), each from its high until it is back there.

    Of the portfolio's growth of 1 by time-weighted returns: deposits and withdrawals do not move it. Days with an incomplete
    valuation are spanned. The figures on the all-time high are since inception, the others of the period.
    """
    if not len(view.days):
        return Made([])
    base = view.base_day(view.scope.period)
    i = int(np.argmax(view.within(view.scope.period)))
    dates, returns, bench = series(view, i)
    rows = [
        (n, d.depth, d.peak, d.trough, d.recovery, (d.trough - d.peak).days,
         None if d.recovery is None else (d.recovery - d.trough).days, d.days, meanwhile(d, dates, bench),
         "" if d.recovery else "not recovered yet")
        for n, d in enumerate(deepest(dates, returns), 1)
    ]  # fmt: skip
    figures = [*_high(view), *(_measured(name, dates, returns) for name in LENGTHS)]
    younger = () if isinstance(base, int) else (f"Shown since inception: {base}.",)
    return Made(rows, tuple(figures), notes=(*younger, *spanned(view, i)))


def _high(view: View) -> list[Figure]:
    """The all-time high since inception, and where the portfolio stands now."""
    dates, returns, _ = series(view, 0)
    high = high_of(dates, returns)
    since = "of the growth of 1 by time-weighted returns, since inception"
    cells: tuple[Any, Any, Any] = (None, None, None)
    said = str(high) if isinstance(high, Reason) else None
    if isinstance(high, drawdown.High):
        cells = (high.on, high.distance, (dates[-1] - high.on).days)
    return [
        Figure("high_on", "All-time high", cells[0], Kind.DATE, reason=said, note=f"first day at the highest point {since}"),
        Figure("below_high", "Below its high", cells[1], Kind.PERCENT, reason=said, formula="growth now ÷ all-time high − 1"),
        Figure("days_since_high", "Days since its high", cells[2], Kind.COUNT, reason=said, note="calendar days"),
    ]  # fmt: skip


def _measured(name: str, dates: Sequence[date], returns: Floats) -> Figure:
    m = METRICS[name]
    value = m(returns=returns, dates=dates[1:])
    missing = isinstance(value, Reason)
    shown: Any = None if missing else int(value) if m.kind == "days" else value  # type: ignore[arg-type]
    return Figure(name, m.title, shown, KINDS[m.kind], reason=str(value) if missing else None, note="of the period")
