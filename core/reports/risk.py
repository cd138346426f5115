"""What risk it carries: the portfolio's figures, its riskiest securities, the spread over risk categories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from core.fx import day_of
from core.metrics import METRICS
from core.money import posted
from core.reasons import Reason
from core.reports import Made, report
from core.risk_figures import Measured
from core.risk_figures import figures as figures_of
from core.table import Column, Figure, Kind
from core.view import View

SHOWN = (
    "volatility", "sharpe", "sortino", "beta", "alpha", "tracking_error", "information_ratio", "max_drawdown", "calmar", "var_95", "es_95",
    "var_99", "es_99", "parametric_var_95", "parametric_var_99", "parametric_es_95", "parametric_es_99", "modified_var_95", "modified_var_99",
    "var_95_exceptions", "var_95_p_value", "skewness", "excess_kurtosis", "hit_rate", "best", "worst",
    "total_return", "annual_return", "mean_annual_return", "variance", "period_volatility", "period_semideviation", "mean_absolute_deviation",
    "downside_deviation", "upside_deviation", "downside_potential", "upside_potential", "loss_rate", "volatility_skewness", "adjusted_sharpe", "omega",
    "kappa", "d_ratio", "pain_index", "martin", "capture", "down_capture", "specific_risk", "appraisal_ratio", "treynor", "m_squared",
    "omega_excess_return", "fama_beta",
)  # fmt: skip
LOOKBACK_WORDS = {"3M": "three months", "YTD": "the year to date", "1Y": "a year", "3Y": "three years", "5Y": "five years", "ALL": "all history"}  # fmt: skip
KINDS = {"percent": Kind.PERCENT, "number": Kind.NUMBER, "date": Kind.DATE, "days": Kind.COUNT}
CATEGORIES = ((0.15, "low"), (0.25, "medium"), (0.40, "high"))


def risk_category(volatility: float | None) -> str:
    """low below 15 % a year, medium below 25 %, high below 40 %, very high above; unknown without a figure."""
    if volatility is None:
        return "unknown"
    return next((name for limit, name in CATEGORIES if volatility < limit), "very high")


def spanned(view: View, i: int = 0) -> Iterator[str]:
    """How many sessions since the i-th day of the series had no sound value, as a sentence; nothing where there is none."""
    n = view.own(i).spanned
    if n:
        yield f"{n} session{'s' if n > 1 else ''} without enough prices {'are' if n > 1 else 'is'} spanned: the change over the gap counts once, not as one day."


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
    """Risk and ratio figures of the portfolio's own daily time-weighted returns over the look-back (`lookback`, a year where nothing
    else is asked; not the period shown), beside the benchmark's total returns.

    252 sessions a year, sample deviation, risk-free rate of the base currency subtracted in each session. VaR, expected shortfall
    and their back-test take their window from the whole history: the last 252 one-day returns, at least 100. Sessions whose
    valuation is incomplete are spanned: what the gap earned counts in growth, drawdown and means, and is no return of one day.
    """
    if not len(view.days):
        return Made([])
    of = view.measured
    mine, theirs = figures_of(SHOWN, of), {} if of.bench_days is None else figures_of(SHOWN, benchmark_side(of))
    rows, figures = [], []
    for name in SHOWN:
        m, value, other = METRICS[name], mine[name], theirs.get(name)
        kind = KINDS[m.kind]
        rows.append((m.title, None if isinstance(value, Reason) else value, None if isinstance(other, Reason) else other, kind.value,
                     m.definition.split("\n")[0], str(value) if isinstance(value, Reason) else None))  # fmt: skip
        figures.append(Figure(name, m.title, None if isinstance(value, Reason) else value, kind, None, str(value) if isinstance(value, Reason) else None,
                              formula=m.definition))  # fmt: skip
    var = mine["var_95"]
    money_at_risk = (
        None
        if isinstance(var, Reason) or not isinstance(var, float)
        else posted(Decimal(repr(round(var, 10))) * view.valuation.total, view.base)
    )
    figures.append(Figure("var_95_money", "VaR 95 % in money", money_at_risk, Kind.MONEY, view.base, str(var) if isinstance(var, Reason) else None,
                          note="one day", formula="VaR 95 % × value"))  # fmt: skip
    return Made(rows, tuple(figures), notes=tuple(notes(view)))


def benchmark_side(of: Measured) -> Measured:
    """The benchmark's own side of what a portfolio was measured over."""
    alone = {"pair_days": None, "pair_sessions": None, "bench_days": None, "bench_sessions": None}
    theirs = {"days": of.bench_days, "sessions": of.bench_sessions, "history": of.bench_history, "history_on": of.bench_history_on}
    return replace(of, **alone, **theirs)  # type: ignore[arg-type]


def notes(view: View) -> Iterator[str]:
    """What the figures rest on: how many returns, of which time, what was spanned, which benchmark and risk-free rate."""
    of, i = view.measured, view.lookback_from
    n, asked = int(np.isfinite(of.days).sum()), LOOKBACK_WORDS[view.scope.lookback]
    since = f"the {n} daily returns after {day_of(int(view.days[i - 1]))}" if i else f"{n} daily returns since {day_of(int(view.days[0]))}"
    yield f"Look-back of {asked}: from {since}; {view.risk_free_said}."
    base = view.base_day(view.scope.lookback)
    if view.scope.lookback != "ALL" and not isinstance(base, int):
        yield f"The look-back is longer than the history: {base}."
    yield from spanned(view, i)
    if view.benchmark_name:
        yield f"Benchmark: {view.benchmark_name}, in {view.base}."


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
    Column("observations", "Days", Kind.COUNT, "one-day returns in the look-back", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="Nothing is held at this date.",
)
def risk_by_security(view: View) -> Made:
    """Risk of each open position from its own daily total returns over the look-back, riskiest first: all its bars, adjusted for
    splits and dividends, in the base currency; when it was bought does not matter.

    The figures of a security are not averaged into the portfolio: those stand in `risk`.
    """
    return Made(_by_security(view), notes=view.value_notes)


def _by_security(view: View) -> list[tuple[Any, ...]]:
    weights, rows = view.weights(), []
    for p in view.valuation.positions:
        number = p.security.security_id
        found = {name: value if isinstance(value, float) else None for name, value in view.asset_figures[number].items()}
        rows.append(
            (p.security.symbol, p.security.name, weights.get(number), found["volatility"], risk_category(found["volatility"]), found["beta"],
             found["sharpe"], found["max_drawdown"], found["var_95"], found["es_95"], int(np.isfinite(view.measured_asset(number).days).sum()),
             number)
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
    """Share of the portfolio in each risk category (by volatility over the look-back); cash is its own."""
    weight: dict[str, float] = {"cash": view.share(view.valuation.cash_base) or 0.0}
    count: dict[str, int] = {}
    for row in _by_security(view):
        weight[row[4]] = weight.get(row[4], 0.0) + (row[2] or 0.0)
        count[row[4]] = count.get(row[4], 0) + 1
    if not count and not any(view.valuation.cash.values()):
        return Made([])
    order = ["cash", "low", "medium", "high", "very high", "unknown"]
    rows = [(name, None if view.no_share else weight[name], count.get(name, 0)) for name in order if name in weight]
    return Made(rows, notes=view.value_notes)
