"""How the figures of risk come about: the metric's own function over the daily returns that stand behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import ALL_DAYS, SESSIONS
from core.fx import day_number
from core.metrics import METRICS
from core.money import posted
from core.reasons import Reason
from core.reports.risk import SHOWN, benchmark_side, risk_category
from core.risk_figures import Measured
from core.table import Column, Kind
from core.valuation import Position
from core.view import View

Row = Mapping[str, Any]
SPREAD = "Positions by risk"


def base_of(view: View) -> int | None:
    """The day that the period starts from; None where the portfolio is younger: all days then."""
    base = view.base_day(view.scope.period)
    return base if isinstance(base, int) else None


def measured(g: Given, span: int) -> Measured:
    """The series of a look-back out of the evidence."""
    day = {k: np.array([day_number(d) for d in g.column(k, "on")], np.int32) for k in (SESSIONS, ALL_DAYS)}
    columns = {k: np.array(g.column(SESSIONS, k), float) for k in
               ("days", "sessions", "risk_free", "pair_days", "pair_sessions", "bench_days", "bench_sessions")}  # fmt: skip
    whole = np.array(g.column(ALL_DAYS, "days"), float)
    alone = np.isnan(columns["bench_days"]).all() and np.isnan(columns["bench_sessions"]).all()
    pair = (None,) * 4 if alone else tuple(columns[k] for k in ("pair_days", "pair_sessions", "bench_days", "bench_sessions"))
    return Measured(day[SESSIONS], columns["days"], columns["sessions"], whole, columns["risk_free"], span, day[ALL_DAYS], *pair)


def figure_of(name: str, g: Given, span: int) -> Any:
    """A metric over the series of the evidence, or None where it is undefined."""
    value = measured(g, span).figure(name)
    return None if isinstance(value, Reason) else value


def _measured(view: View, name: str, of: str) -> Explained | None:
    if of == "benchmark" and view.measured.bench_days is None:
        return None
    series = view.measured if of == "portfolio" else benchmark_side(view.measured)
    source = (
        "the portfolio\u2019s daily time-weighted returns; what a gap in the prices spans is no return of one day"
        if of == "portfolio"
        else "the benchmark\u2019s daily total returns"
    )
    return Explained(f"{METRICS[name].definition} Over {source}.", lambda g: figure_of(name, g, g["days"]), (length(series),),
                     (*evidence.sessions(series), evidence.entries(view)))  # fmt: skip


def length(series: Measured) -> Term:
    return Term("days", series.span, Kind.COUNT, note="calendar days of the look-back")


@explains("risk", "portfolio", "benchmark")
def risk_cell(view: View, row: Row) -> Explained | None:
    name = next(n for n in SHOWN if METRICS[n].title == row["metric"])
    return _measured(view, name, row["_column"])


@explains("risk", *SHOWN, figure=True)
def risk_figure(view: View, row: Row) -> Explained | None:
    return _measured(view, row["_figure"].key, "portfolio")


@explains("risk", "var_95_money", figure=True)
def money_at_risk(view: View, row: Row) -> Explained:
    terms = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base), length(view.measured))

    def amount(g: Given) -> Decimal | None:
        var = figure_of("var_95", g, g["days"])
        return None if var is None else posted(Decimal(repr(round(var, 10))) * g["value of the portfolio"], view.base)

    return Explained("VaR 95 % of the daily returns × value of the portfolio, rounded to the cent", amount, terms,
                     (*evidence.sessions(view.measured), evidence.positions(view), evidence.cash(view), evidence.entries(view)))  # fmt: skip


# --- by security ---------------------------------------------------------------------------------


def _one(view: View, row: Row) -> Position:
    p = evidence.held(view, row["symbol"], row["security_id"])
    assert p is not None
    return p


@explains("risk_by_security", "weight")
def weight(view: View, row: Row) -> Explained | None:
    if row["weight"] is None:
        return None
    p = _one(view, row)
    terms = (Term("units", p.units, Kind.UNITS), Term("price", p.price, Kind.PRICE, p.security.currency), Term("FX", p.rate, Kind.PRICE, view.base),
             Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base))  # fmt: skip
    number = p.security.security_id
    behind = (
        evidence.open_lots(view, number),
        evidence.prices(view, [number]),
        evidence.entries(view, security=number),
    )
    return Explained("units × price × FX ÷ value of the portfolio",
                     lambda g: float(g["units"] * g["price"] * g["FX"] / g["value of the portfolio"]), terms, behind)  # fmt: skip


@explains("risk_by_security", "volatility", "beta", "sharpe", "max_drawdown", "var_95", "es_95", "observations")
def of_security(view: View, row: Row) -> Explained:
    name = row["_column"]
    if name == "observations":
        return of_asset(view, row["security_id"], "number of one-day returns", lambda g: sum(x is not None for x in g.column(SESSIONS, "days")))
    return of_asset(view, row["security_id"], METRICS[name].definition, lambda g: figure_of(name, g, g["days"]))


def of_asset(view: View, number: int, formula: str, compute: Callable[[Given], Any]) -> Explained:
    """A figure of a security's own daily total returns over the look-back, with the closes, splits, dividends and rates behind them."""
    series = view.measured_asset(number)
    base = int(series.on[0]) - 1 if len(series.on) else view.as_of
    return Explained(f"{formula} Over r = close × split ÷ (close before − dividend × split) × change of the exchange rate − 1, in {view.base}.", compute,
                     (length(series),), (*evidence.sessions(series), evidence.asset(view, number, base), evidence.entries(view, security=number)))  # fmt: skip


@explains("risk_distribution", "weight", "count")
def category(view: View, row: Row) -> Explained | None:
    name, shown = row["category"], row["_column"]
    if shown == "weight" and view.no_share:
        return None
    if name == "cash":
        if shown == "count":
            return Explained("0: cash is no security", lambda g: 0)
        terms = (
            Term("cash", view.valuation.cash_base, Kind.MONEY, view.base),
            Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),
        )
        return Explained("cash ÷ value of the portfolio", lambda g: float(g["cash"] / g["value of the portfolio"]), terms,
                         (evidence.cash(view), evidence.rates(view, view.valuation.cash), evidence.entries(view)))  # fmt: skip
    spread = _spread(view)
    mine = [p for p, r in zip(view.valuation.positions, spread.rows, strict=True) if risk_category(r[-1]) == name]
    behind = (spread, evidence.prices(view, [p.security.security_id for p in mine]),
              evidence.entries(view, () if not mine else None, securities=[p.security.security_id for p in mine]))  # fmt: skip

    def inside(g: Given) -> list[Any]:
        return [
            v
            for v, risk in zip(g.column(SPREAD, "value"), g.column(SPREAD, "volatility"), strict=True)
            if risk_category(risk) == name
        ]

    if shown == "count":
        return Explained(f"number of positions whose volatility is {name}", lambda g: len(inside(g)), (), behind)
    whole = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),)
    return Explained(
        f"Σ value of the positions whose volatility is {name} ÷ value of the portfolio; low < 15 % a year, medium < 25 %, high < 40 %",
        lambda g: float(sum((v for v in inside(g) if v is not None), Decimal(0)) / g["value of the portfolio"]),
        whole, behind,
    )  # fmt: skip


def _spread(view: View) -> Evidence:
    """Every position with its value and the volatility of its total returns over the look-back."""
    columns = (Column("symbol", "Symbol"), Column("units", "Units", Kind.UNITS), Column("price", "Price", Kind.PRICE), Column("rate", "FX rate", Kind.PRICE),
               Column("value", "Value", Kind.PRICE, "units × price × FX"), Column("volatility", "Volatility", Kind.PERCENT, "of its daily returns, a year"))  # fmt: skip
    rows = tuple(
        (p.security.symbol, p.units, p.price, p.rate, p.value_base, known if isinstance(known := view.asset_figures[p.security.security_id]["volatility"], float) else None)
        for p in view.valuation.positions
    )  # fmt: skip
    return Evidence(SPREAD, columns, rows, "The volatility is explained in the table by security.")
