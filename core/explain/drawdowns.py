"""How the drawdowns come about: the growth of 1 by daily returns, and where it fell below an earlier high."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import AGAINST, DAYS, returns
from core.explain.risk import base_of
from core.fx import day_of
from core.metrics import METRICS, drawdown
from core.reasons import Reason
from core.reports.drawdowns import LENGTHS, deepest, first_day, high_of, meanwhile
from core.returns import Floats, floats
from core.table import Kind
from core.view import View

Row = Mapping[str, Any]
FALLS = (
    "growth of 1 = Π (1 + r) over the daily returns; a drawdown runs from the last day at a high until it is back there"
)
SAID = {
    "depth": "growth at the trough ÷ growth at the peak − 1",
    "peak": "the last day at the high",
    "trough": "the first day at the lowest point",
    "recovery": "the first day back at the high",
    "days_down": "trough − peak, in calendar days",
    "days_up": "recovery − trough, in calendar days",
    "days": "recovery (or the last day) − peak, in calendar days",
    "benchmark": "Π (1 + r) − 1 of the benchmark from the day after the peak to the trough",
}


def behind(view: View, base: int | None) -> tuple[tuple[Term, ...], tuple[Evidence, ...]]:
    """The day that the first return starts from and the value then; the days since, with what the benchmark did."""
    i = 0 if base is None else int(np.searchsorted(view.days, base, side="right"))
    opening = Term("opening day", day_of(int(view.days[i - 1]) if i else first_day(view)), Kind.DATE, None, "where the growth of 1 is 1")
    start = Term("start value", float(view.total[i - 1]) if i else 0.0, Kind.NUMBER, view.base)
    return (opening, start), (evidence.days(view, base), evidence.against(view, i), evidence.entries(view))


def series_of(given: Given) -> tuple[list[date], Floats, Floats]:
    """(dates with the opening day in front, returns where the valuation is sound, those of the benchmark)."""
    theirs = floats(given.column(AGAINST, "theirs"))
    return [given["opening day"], *given.column(DAYS, "on")], returns(given), theirs


@explains("drawdowns", *SAID)
def one(view: View, row: Row) -> Explained | None:
    if row[row["_column"]] is None:
        return None
    column, place, base = row["_column"], row["_row"], base_of(view)

    def compute(g: Given) -> Any:
        dates, own, bench = series_of(g)
        d = deepest(dates, own)[place]
        if column == "benchmark":
            return meanwhile(d, dates, bench)
        if column == "days_down":
            return (d.trough - d.peak).days
        if column == "days_up":
            return None if d.recovery is None else (d.recovery - d.trough).days
        return getattr(d, column)

    return Explained(
        f"{SAID[column]}; {FALLS}",
        compute,
        *behind(view, base),
    )


@explains("drawdowns", "rank")
def rank(view: View, row: Row) -> Explained:
    place, base = row["_row"], base_of(view)

    def compute(g: Given) -> int:
        depths = [d.depth for d in deepest(*series_of(g)[:2])]
        return sorted(depths).index(depths[place]) + 1 + depths[:place].count(depths[place])

    return Explained(
        f"place by depth; {FALLS}",
        compute,
        *behind(view, base),
    )


@explains("drawdowns", "high_on", "below_high", "days_since_high", figure=True)
def high(view: View, row: Row) -> Explained:
    key = row["_figure"].key

    def compute(g: Given) -> Any:
        dates, own, _ = series_of(g)
        found = high_of(dates, own)
        if not isinstance(found, drawdown.High):
            return None
        return {"high_on": found.on, "below_high": found.distance, "days_since_high": (dates[-1] - found.on).days}[key]

    return Explained(f"growth of 1 = Π (1 + r) since inception, its first highest day; {row['_figure'].formula or row['_figure'].note}",
                     compute, *behind(view, None))  # fmt: skip


@explains("drawdowns", *LENGTHS, figure=True)
def measured(view: View, row: Row) -> Explained:
    m, base = METRICS[row["_figure"].key], base_of(view)

    def compute(g: Given) -> Any:
        dates, own, _ = series_of(g)
        value = m(returns=own, dates=dates[1:])
        if isinstance(value, Reason):
            return None
        return int(np.rint(value)) if m.kind == "days" and isinstance(value, float) else value

    return Explained(
        m.definition, compute, *behind(view, base)
    )
