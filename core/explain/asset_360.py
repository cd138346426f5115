"""How the figures of an asset in full come about: as in holdings and risk by security, from entries, lots and closes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import ENTRIES, LOTS, SALES, SESSIONS
from core.explain.holdings import price, value
from core.explain.risk import figure_of, of_asset
from core.metrics import METRICS
from core.money import posted
from core.reports.asset_360 import BUYING, MEASURED, SELLING, breaches
from core.rules import check
from core.table import Column, Kind
from core.valuation import Position
from core.view import View

Row = Mapping[str, Any]
RULED = "Rules"


def _position(view: View, row: Row) -> Position:
    p = evidence.held(view, row["symbol"], int(row["asset_id"]))
    assert p is not None, row["symbol"]
    return p


def _as_held(row: Row) -> Row:
    """The row as explainers of holdings read it."""
    return {**row, "security_id": int(row["asset_id"])}


@explains("asset_360", "current_price")
def current_price(view: View, row: Row) -> Explained | None:
    return price(view, _as_held(row))


@explains("asset_360", "market_value")
def market_value(view: View, row: Row) -> Explained | None:
    return value(view, _as_held(row))


@explains("asset_360", "position_size")
def position_size(view: View, row: Row) -> Explained:
    number = int(row["asset_id"])
    return Explained("Σ units of the open lots", lambda g: g.total(LOTS, "units"), (),
                     (evidence.open_lots(view, number), evidence.entries(view, security=number)))  # fmt: skip


@explains("asset_360", "avg_daily_return", *MEASURED)
def of_closes(view: View, row: Row) -> Explained | None:
    key, number = row["_column"], int(row["asset_id"])
    if row[key] is None:
        return None
    if key == "avg_daily_return":

        def mean(g: Given) -> float:
            r = np.array(g.column(SESSIONS, "days"), float)
            return float(r[np.isfinite(r)].mean())

        return of_asset(view, number, "Σ r ÷ number of one-day returns.", mean)
    return of_asset(view, number, METRICS[MEASURED[key]].definition, lambda g: figure_of(MEASURED[key], g, g["days"]))


@explains("asset_360", "total_return")
def total_return(view: View, row: Row) -> Explained | None:
    if row["total_return"] is None:
        return None
    p, number = _position(view, row), int(row["asset_id"])
    terms = (
        Term("value", row["market_value"], Kind.MONEY, view.base),
        Term("cost", p.cost_base, Kind.MONEY, view.base, "of the open lots, at the FX of their purchases"),
    )
    sales = [d for d in view.lots.disposals if d.security == number]

    def share(g: Given) -> float:
        pairs = [
            (a, b)
            for a, b in zip(g.column(SALES, "proceeds_base"), g.column(SALES, "cost_base"), strict=True)
            if a is not None and b is not None
        ]
        realised = sum((a - b for a, b in pairs), Decimal(0))
        spent = g["cost"] + sum((b for _, b in pairs), Decimal(0))
        return float((g["value"] - g["cost"] + realised + g.total(ENTRIES, "net_base")) / spent)

    return Explained(
        "(value − cost + Σ (proceeds − cost of what was sold) + Σ dividends) ÷ (cost + Σ cost of what was sold)",
        share,
        terms,
        (
            evidence.disposals(view, sales),
            evidence.entries(view, security=number, kinds=("dividend",)),
            evidence.open_lots(view, number),
        ),
    )


@explains("asset_360", "total_transactions")
def total_transactions(view: View, row: Row) -> Explained:
    return Explained("number of entries that name it", lambda g: len(g.column(ENTRIES, "kind")), (),
                     (evidence.entries(view, security=int(row["asset_id"])),))  # fmt: skip


def _traded(view: View, number: int, *kinds: str) -> Evidence:
    """Its own purchases or sales: what another one became of it is none."""
    symbol = view.book.securities[number].symbol
    found = evidence.entries(view, security=number, kinds=kinds)
    return Evidence(found.title, found.columns, tuple(r for r in found.rows if r[2] == symbol), found.note)


@explains("asset_360", "total_purchases", "total_sales")
def total_traded(view: View, row: Row) -> Explained | None:
    key = row["_column"]
    if row[key] is None:
        return None
    kinds, sign = (BUYING, -1) if key == "total_purchases" else (SELLING, 1)
    said = "−Σ net cash of purchases" if sign < 0 else "Σ net cash of sales"
    return Explained(f"{said}, each at the FX of its day", lambda g: sign * g.total(ENTRIES, "net_base"), (),
                     (_traded(view, int(row["asset_id"]), *kinds),))  # fmt: skip


@explains("asset_360", "avg_transaction_cost")
def avg_transaction_cost(view: View, row: Row) -> Explained | None:
    if row["avg_transaction_cost"] is None:
        return None

    def mean(g: Given) -> Decimal:
        cells = list(zip(g.column(ENTRIES, "fees"), g.column(ENTRIES, "rate_own"), strict=True))
        return posted(sum((posted(fee * rate, view.base) for fee, rate in cells), Decimal(0)) / len(cells), view.base)

    return Explained("Σ fees × FX of their day ÷ number of purchases and sales, rounded to the cent", mean, (),
                     (_traded(view, int(row["asset_id"]), *BUYING, *SELLING),))  # fmt: skip


@explains("asset_360", "active_violations")
def active_violations(view: View, row: Row) -> Explained:
    mine = breaches(view)[int(row["asset_id"])]
    terms = tuple(Term(title, "beyond its limit" if group in beyond else "not beyond its limit", Kind.TEXT, note=f"it counts for {group}")
                  for title, (group, beyond) in mine.items())  # fmt: skip
    columns = (Column("rule", "Rule"), Column("group", "Group"), Column("share", "Share", Kind.PERCENT), Column("limit", "Limit", Kind.PERCENT))  # fmt: skip
    rows = tuple((f.rule.title, mine[f.rule.title][0], float(dict(f.rule.measure(view)).get(mine[f.rule.title][0], 0)) if f.value is not None else None, f.limit)
                 for f in check(view) if f.rule.title in mine)  # fmt: skip
    return Explained("number of rules whose limit is broken by the group that it is in",
                     lambda g: sum(g[t.name] == "beyond its limit" for t in terms), terms, (Evidence(RULED, columns, rows),))  # fmt: skip
