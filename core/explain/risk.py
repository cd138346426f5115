"""How the figures of risk come about: the metric's own function over the daily returns that stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import CLOSES, DAYS
from core.metrics import METRICS
from core.money import posted
from core.reasons import Reason
from core.reports.risk import SHOWN, risk_category
from core.returns import simple_returns
from core.table import Column, Kind
from core.valuation import Position
from core.view import View

Row = Mapping[str, Any]
SPREAD = "Positions by risk"


def base_of(view: View) -> int | None:
    """The day that the period starts from; None where the portfolio is younger: all days then."""
    base = view.base_day(view.scope.period)
    return base if isinstance(base, int) else None


def figure_of(name: str, returns: Any, benchmark: Any) -> Any:
    """A metric over a series (None is a missing day), or None where it is undefined."""
    known = {} if benchmark is None else {"benchmark": np.array(benchmark, float)}
    value = METRICS[name](returns=np.array(returns, float), **known)
    return None if isinstance(value, Reason) else value


def _measured(view: View, name: str, of: str) -> Explained:
    bench = view.benchmark_returns is not None

    def compute(g: Given) -> Any:
        benchmark = g.column(DAYS, "benchmark") if bench else None
        if of == "benchmark":
            return figure_of(name, benchmark, None) if benchmark is not None else None
        return figure_of(name, g.column(DAYS, "sound"), benchmark)

    source = (
        "the portfolio\u2019s daily time-weighted returns on days whose valuation is complete"
        if of == "portfolio"
        else "the benchmark\u2019s daily returns"
    )
    return Explained(f"{METRICS[name].definition} Over {source}.", compute, (),
                     (evidence.days(view, base_of(view)), evidence.entries(view)))  # fmt: skip


@explains("risk", "portfolio", "benchmark")
def risk_cell(view: View, row: Row) -> Explained:
    name = next(n for n in SHOWN if METRICS[n].title == row["metric"])
    return _measured(view, name, row["_column"])


@explains("risk", *SHOWN, figure=True)
def risk_figure(view: View, row: Row) -> Explained:
    return _measured(view, row["_figure"].key, "portfolio")


@explains("risk", "var_95_money", figure=True)
def money_at_risk(view: View, row: Row) -> Explained:
    terms = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),)

    def amount(g: Given) -> Decimal | None:
        var = figure_of("var_95", g.column(DAYS, "sound"), None)
        return None if var is None else posted(Decimal(repr(round(var, 10))) * g["value of the portfolio"], view.base)

    return Explained("VaR 95 % of the daily returns × value of the portfolio, rounded to the cent", amount, terms,
                     (evidence.days(view, base_of(view)), evidence.positions(view), evidence.cash(view)))  # fmt: skip


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
    name, number = row["_column"], row["security_id"]
    bench = view.benchmark_returns is not None

    def compute(g: Given) -> Any:
        close = np.array(g.column(CLOSES, "close"), float)
        r = simple_returns(close)
        if name == "observations":
            return int(np.isfinite(r).sum())
        return figure_of(name, r, g.column(CLOSES, "benchmark")[1:] if bench else None)

    formula = (
        "number of days with a return"
        if name == "observations"
        else f"{METRICS[name].definition} Over r = close ÷ close before − 1, in the security\u2019s currency."
    )
    return Explained(
        formula, compute, (), (evidence.closes(view, number, base_of(view)), evidence.entries(view, security=number))
    )


@explains("risk_distribution", "weight", "count")
def category(view: View, row: Row) -> Explained:
    name, shown = row["category"], row["_column"]
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
        lambda g: float(sum((v for v in inside(g) if v is not None), Decimal(0)) / g["value of the portfolio"]) if g["value of the portfolio"] else 0.0,
        whole, behind,
    )  # fmt: skip


def _spread(view: View) -> Evidence:
    """Every position with its value and the volatility of its closes in the period."""
    columns = (Column("symbol", "Symbol"), Column("units", "Units", Kind.UNITS), Column("price", "Price", Kind.PRICE), Column("rate", "FX rate", Kind.PRICE),
               Column("value", "Value", Kind.PRICE, "units × price × FX"), Column("volatility", "Volatility", Kind.PERCENT, "of its daily returns, a year"))  # fmt: skip
    inside = view.within(view.scope.period)
    rows = tuple(
        (
            p.security.symbol,
            p.units,
            p.price,
            p.rate,
            p.value_base,
            figure_of("volatility", view.price_returns(p.security.security_id)[inside], None),
        )
        for p in view.valuation.positions
    )
    return Evidence(SPREAD, columns, rows, "The volatility is explained in the table by security.")
