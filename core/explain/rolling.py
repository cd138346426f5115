"""How a rolling figure comes about: the metric over the days of its window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.explain import Explained, Given, evidence, explains
from core.explain.evidence import SESSIONS
from core.explain.risk import length, measured
from core.fx import day_number
from core.metrics import METRICS
from core.reports.rolling import ROLLED, windowed
from core.view import View

Row = Mapping[str, Any]


@explains("rolling", *ROLLED)
def figure(view: View, row: Row) -> Explained | None:
    column, on = row["_column"], day_number(row["on"])
    if row[column] is None:
        return None
    metric, window, _ = ROLLED[column]
    series = view.measured_from(0)

    def compute(g: Given) -> Any:
        places, values = windowed(column, measured(g, g["days"]))
        at = np.flatnonzero(np.array([day_number(d) for d in g.column(SESSIONS, "on")])[places] == on)
        return float(values[at[0]]) if len(at) else None

    said = f"{METRICS[metric].definition} Over the last {window} days that have a return, this one included."
    return Explained(said, compute, (length(series),), (*evidence.sessions(series), evidence.entries(view, until=on)))
