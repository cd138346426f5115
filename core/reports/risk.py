"""What risk it carries: the portfolio's figures, its riskiest securities, the spread over risk categories."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from core.metrics import METRICS, compute
from core.metrics.panel import panel
from core.money import posted
from core.reasons import Reason
from core.reports import Made, report
from core.table import Column, Figure, Kind
from core.view import View

SHOWN = ("volatility", "sharpe", "sortino", "beta", "alpha", "tracking_error", "information_ratio", "max_drawdown", "calmar", "var_95", "es_95",
         "var_99", "es_99", "parametric_var_95", "parametric_var_99", "var_95_exceptions", "var_95_p_value", "skewness", "excess_kurtosis",
         "hit_rate", "best", "worst")  # fmt: skip
KINDS = {"percent": Kind.PERCENT, "number": Kind.NUMBER, "date": Kind.DATE, "days": Kind.COUNT}
CATEGORIES = ((0.15, "low"), (0.25, "medium"), (0.40, "high"))


def risk_category(volatility: float | None) -> str:
    """low below 15 % a year, medium below 25 %, high below 40 %, very high above; unknown without a figure."""
    if volatility is None:
        return "unknown"
    return next((name for limit, name in CATEGORIES if volatility < limit), "very high")


@report(
    "Risk figures",
    Column("metric", "Figure"),
    Column("portfolio", "Portfolio", Kind.TEXT, "fractions and ratios; a loss measure is a positive loss"),
    Column("benchmark", "Benchmark", Kind.TEXT),
    Column("kind", "Kind", wide_only=True),
    Column("definition", "Definition", wide_only=True),
    Column("reason", "Why it is missing", wide_only=True),
    empty="There is no history yet.",
)
def risk(view: View) -> Made:
    """Risk and ratio figures of the portfolio's own daily time-weighted returns over the period, beside the benchmark's.

    252 sessions a year, sample deviation, risk-free rate 0. VaR and expected shortfall over the last 252 observations, at
    least 100. Days with an incomplete valuation are left out.
    """
    if not len(view.days):
        return Made([])
    inside = view.within(view.scope.period)
    r = view.sound_returns[inside]
    bench = None if view.benchmark_returns is None else view.benchmark_returns[inside]
    mine = compute(SHOWN, returns=r, **({} if bench is None else {"benchmark": bench}))
    theirs = compute(SHOWN, returns=bench) if bench is not None else {}
    rows, figures = [], []
    for name in SHOWN:
        m, value, other = METRICS[name], mine[name], theirs.get(name)
        kind = KINDS[m.kind]
        rows.append((m.title, None if isinstance(value, Reason) else value, None if isinstance(other, Reason) else other, kind.value,
                     m.definition.split("\n")[0], str(value) if isinstance(value, Reason) else None))  # fmt: skip
        figures.append(Figure(name, m.title, None if isinstance(value, Reason) else value, kind, None, str(value) if isinstance(value, Reason) else None,
                              formula=m.definition))  # fmt: skip
    n = int(np.isfinite(r).sum())
    var = mine["var_95"]
    money_at_risk = (
        None
        if isinstance(var, Reason) or not isinstance(var, float)
        else posted(Decimal(repr(round(var, 10))) * view.valuation.total, view.base)
    )
    figures.append(Figure("var_95_money", "VaR 95 % in money", money_at_risk, Kind.MONEY, view.base, str(var) if isinstance(var, Reason) else None,
                          note="one day", formula="VaR 95 % × value"))  # fmt: skip
    return Made(rows, tuple(figures), notes=(f"From {n} daily returns; risk-free rate 0 %.",))


@report(
    "Risk by security",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("weight", "Weight", Kind.PERCENT),
    Column("volatility", "Volatility", Kind.PERCENT, "a year"),
    Column("category", "Risk", note="low < 15 %, medium < 25 %, high < 40 %, very high above"),
    Column("beta", "Beta", Kind.NUMBER, "against the portfolio's benchmark"),
    Column("sharpe", "Sharpe", Kind.NUMBER, wide_only=True),
    Column("max_drawdown", "Maximum drawdown", Kind.PERCENT),
    Column("var_95", "VaR 95 %", Kind.PERCENT, "one day, a positive loss"),
    Column("es_95", "Expected shortfall 95 %", Kind.PERCENT, wide_only=True),
    Column("observations", "Days", Kind.COUNT, wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="Nothing is held at this date.",
)
def risk_by_security(view: View) -> Made:
    """Risk of each open position from its own daily price returns (its currency) over the period, riskiest first.

    The figures of a security are not averaged into the portfolio: those stand in `risk`.
    """
    return Made(_by_security(view))


def _by_security(view: View) -> list[tuple[Any, ...]]:
    positions = view.valuation.positions
    if not positions or not len(view.days):
        return []
    inside, weights = view.within(view.scope.period), view.weights()
    table = np.column_stack([view.price_returns(p.security.security_id)[inside] for p in positions])
    bench = None if view.benchmark_returns is None else view.benchmark_returns[inside]
    found = panel(table, bench)

    def cell(values: Any, j: int) -> float | None:
        return float(values[j]) if np.isfinite(values[j]) else None

    rows = []
    for j, p in enumerate(positions):
        volatility = cell(found.volatility, j)
        rows.append(
            (p.security.symbol, p.security.name, weights.get(p.security.security_id), volatility, risk_category(volatility), cell(found.beta, j),
             cell(found.sharpe, j), cell(found.max_drawdown, j), cell(found.var_95, j), cell(found.es_95, j), int(found.observations[j]),
             p.security.security_id)
        )  # fmt: skip
    return sorted(rows, key=lambda row: -(row[3] or 0.0))


@report(
    "Risk distribution",
    Column("category", "Risk"),
    Column("weight", "Weight", Kind.PERCENT, "share of the total value"),
    Column("count", "Securities", Kind.COUNT),
    empty="Nothing is held at this date.",
)
def risk_distribution(view: View) -> Made:
    """Share of the portfolio in each risk category (by volatility over the period); cash is its own."""
    weight: dict[str, float] = {}
    count: dict[str, int] = {}
    for row in _by_security(view):
        weight[row[4]] = weight.get(row[4], 0.0) + (row[2] or 0.0)
        count[row[4]] = count.get(row[4], 0) + 1
    if view.valuation.total:
        weight["cash"] = float(view.valuation.cash_base / view.valuation.total)
    order = ["cash", "low", "medium", "high", "very high", "unknown"]
    return Made([(name, weight[name], count.get(name, 0)) for name in order if name in weight])
