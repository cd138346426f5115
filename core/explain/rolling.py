"""How a rolling figure comes about: the metric over the days of its window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.explain import Explained, Given, evidence, explains
from core.explain.evidence import DAYS
from core.fx import day_number
from core.metrics import METRICS
from core.reports.rolling import ROLLED, cell, observed
from core.returns import floats
from core.view import View

Row = Mapping[str, Any]


@explains("rolling", *ROLLED)
def figure(view: View, row: Row) -> Explained | None:
    column, on = row["_column"], day_number(row["on"])
    if row[column] is None:
        return None
    metric, window, _ = ROLLED[column]
    places = observed(view)
    end = int(np.searchsorted(view.days[places], on, side="right"))
    before = int(view.days[int(places[end - window])]) - 1

    def compute(g: Given) -> Any:
        returns, benchmark = (floats(g.column(DAYS, key)) for key in ("sound", "benchmark"))
        known = np.isfinite(returns)
        theirs = benchmark[known] if np.isfinite(benchmark).any() else None
        return cell(column, returns[known], theirs)

    said = f"{METRICS[metric].definition} Over the last {window} days that have a return, this one included."
    return Explained(said, compute, (), (evidence.days(view, before, on), evidence.entries(view, until=on)))
