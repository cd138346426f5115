"""How the move and the risk of one security come about: from its own closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.explain import Explained, evidence, explains
from core.explain.evidence import PRICES
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


@explains("security_quote", "price", "previous", "day_change")
def quote(view: View | None, row: Row) -> Explained | None:
    studied: View = row["_inputs"]["studied"]
    number, key = studied.scope.security, row["_column"]
    assert number is not None
    if row[key] is None:
        return None
    behind = (evidence.prices(studied, [number]), evidence.asset(studied, number, studied.as_of - 10, studied.book.securities[number].currency))
    if key == "day_change":
        return Explained("price ÷ close before − 1", lambda g: float(g.column(PRICES, "price")[0] / g.column(PRICES, "previous")[0] - 1), (), behind)
    said = "the last price known, as the feed gave it" if key == "price" else "the close before, divided by what split since"
    return Explained(said, lambda g: g.column(PRICES, key)[0], (), behind)
