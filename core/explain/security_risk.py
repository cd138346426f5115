"""How the risk of a security comes about: as in risk by security, from its own returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.explain import Explained, explains
from core.explain.risk import figure_of, of_asset
from core.metrics import METRICS
from core.reports.risk import SHOWN
from core.view import View

Row = Mapping[str, Any]


@explains("security_risk", "value")
def risk_cell(view: View | None, row: Row) -> Explained:
    return _measured(row, next(n for n in SHOWN if METRICS[n].title == row["metric"]))


@explains("security_risk", *SHOWN, figure=True)
def risk_figure(view: View | None, row: Row) -> Explained:
    return _measured(row, row["_figure"].key)


def _measured(row: Row, name: str) -> Explained:
    studied: View = row["_inputs"]["studied"]
    assert studied.scope.security is not None
    return of_asset(studied, studied.scope.security, METRICS[name].definition, lambda g: figure_of(name, g, g["days"]))
