"""How the measures of the rules come about: shares of the value, group by group, beside the limit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.allocation import behind
from core.reasons import NoRate
from core.rules import Finding, check, state_of
from core.rules.concentration import GROUPS, exposures, group_of
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
SHARES, RULED = "Values by group", "Rules"


def _finding(view: View, title: str) -> Finding:
    return next(f for f in check(view) if f.rule.title == title)


@explains("compliance", "measured")
def measured(view: View, row: Row) -> Explained | None:
    f = _finding(view, row["rule"])
    if f.value is None:
        return None
    pick = min if f.rule.at_least else max
    said = "the smallest" if f.rule.at_least else "the largest"
    total = Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base)
    cash = sorted(view.valuation.cash)
    if f.rule.name == "min_cash_weight":
        terms = (Term("cash", view.valuation.cash_base, Kind.MONEY, view.base), total)
        return Explained(f"cash ÷ value of the portfolio. {f.rule.definition}", lambda g: float(g["cash"] / g["value of the portfolio"]), terms,
                         (evidence.cash(view), evidence.rates(view, cash), evidence.entries(view)))  # fmt: skip
    if f.rule.name not in GROUPS:
        columns = (Column("group", "Group"), Column("share", "Share", Kind.PERCENT))
        found = Evidence(SHARES, columns, tuple((name, float(share)) for name, share in f.rule.measure(view)))
        return Explained(f"{said} share. {f.rule.definition}", lambda g: pick(g.column(SHARES, "share")), (), (found, *behind(view, list(view.valuation.positions), cash)))  # fmt: skip
    shares = _shares(view, f.rule.name)
    exact = Term("value of the portfolio", view.valuation.exact, Kind.PRICE, view.base, note="not rounded")

    def worst(g: Given) -> float:
        cells = zip(*(g.column(SHARES, k) for k in ("group", "units", "price", "rate")), strict=True)
        sums = exposures(((name, units * price * rate) for name, units, price, rate in cells), f.rule.exposure)
        return float(pick(sums.values(), default=Fraction(0)) / Fraction(g["value of the portfolio"]))

    summed = "Σ |units × price × FX|" if f.rule.exposure == "gross" else "|Σ units × price × FX|"
    return Explained(f"{said} {summed} of a group ÷ value of the portfolio. {f.rule.definition}", worst, (exact,),
                     (shares, *behind(view, [p for p in view.valuation.positions if p.value_base is not None], cash)))  # fmt: skip


def _shares(view: View, name: str) -> Evidence:
    columns = (Column("group", "Group"), Column("of", "Of"), Column("units", "Units", Kind.UNITS), Column("price", "Price", Kind.PRICE),
               Column("rate", "FX rate", Kind.PRICE), Column("value", "Value", Kind.PRICE))  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (group_of(view, name, p), view.names[p.security.security_id], p.units, p.price, p.rate, p.value_base)
        for p in view.valuation.positions
        if p.value_base is not None
    ]
    if name == "max_currency_weight":
        for currency, amount in sorted(view.valuation.cash.items()):
            rate = view.book.rates.rate(currency, view.base, view.as_of)
            if not isinstance(rate, NoRate):
                rows.append((currency, "cash", amount, Decimal(1), rate, amount * rate))
        rows = [r for r in rows if r[0] != view.base]
    return Evidence(SHARES, columns, tuple(sorted(rows, key=lambda r: (r[0], -r[5]))))


@explains("compliance", "limit")
def limit(view: View, row: Row) -> Explained:
    f = _finding(view, row["rule"])
    own = view.book.limit_on(f.rule.name, view.as_of) is not None
    said = "set for this portfolio" if own else "the rule's default: no limit of its own is set for this portfolio"
    return Explained(f"as recorded: {said}", lambda g: g["limit"], (Term("limit", f.limit, Kind.PERCENT, note=said),))


@explains("compliance", "breach", "near", "ok", "unknown", figure=True)
def count(view: View, row: Row) -> Explained:
    state = row["_figure"].key
    columns = (Column("rule", "Rule"), Column("measured", "Measured", Kind.PERCENT), Column("limit", "Limit", Kind.PERCENT),
               Column("at_least", "A floor", Kind.FLAG), Column("complete", "Prices complete", Kind.FLAG))  # fmt: skip
    found = Evidence(
        RULED,
        columns,
        tuple((f.rule.title, f.value, f.limit, f.rule.at_least, view.valuation.complete) for f in check(view)),
    )

    def matching(g: Given) -> int:
        cells = zip(*(g.column(RULED, k) for k in ("measured", "limit", "at_least", "complete")), strict=True)
        return sum(state_of(exact(share), exact(bound), at_least, complete) == state for share, bound, at_least, complete in cells)

    def exact(share: float | None) -> Any:
        return None if share is None else Fraction(str(share))  # 0.1 is a tenth

    formulas = {"breach": "number of rules whose measure is beyond the limit", "near": "number of rules within 10 % of their limit",
                "ok": "number of rules whose measure keeps the limit", "unknown": "number of rules with nothing to measure, or with prices missing"}  # fmt: skip
    return Explained(formulas[state], matching, (), (found,))
