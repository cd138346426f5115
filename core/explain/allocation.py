"""How the spread of the value comes about: groups and the positions in them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.explain import Explained, Given, Term, evidence, explains
from core.explain.cash import cash_worth
from core.explain.evidence import POSITIONS
from core.explain.holdings import total, worth
from core.money import posted
from core.reports.allocation import group_of
from core.table import Kind
from core.valuation import Position
from core.view import View

Row = Mapping[str, Any]


def _group(view: View, p: Position) -> str:
    return group_of(view, p.security, view.scope.by)


def _inside(view: View, name: str) -> tuple[list[Position], list[str]]:
    """(the positions of a group, the currencies whose cash is in it)."""
    positions = [p for p in view.valuation.positions if p.value_base is not None and _group(view, p) == name]
    cash = [c for c in view.valuation.cash if name == (c if view.scope.by == "currency" else "Cash")]
    return positions, cash


def behind(view: View, positions: list[Position], currencies: list[str]) -> tuple[Any, ...]:
    """Positions, cash, prices, rates and entries of some securities and some cash."""
    numbers = [p.security.security_id for p in positions]
    booked = evidence.entries(
        view, () if not numbers and not currencies else None, securities=numbers, currencies=currencies
    )
    return (evidence.positions(view, positions), evidence.cash(view, currencies), evidence.prices(view, numbers),
            evidence.rates(view, {p.security.currency for p in positions} | set(currencies)), booked)  # fmt: skip


@explains("allocation", "value", "weight", "day_change")
def group(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    given = behind(view, *_inside(view, row["group"]))
    if shown == "value":
        return Explained("Σ units × price × FX + Σ cash × FX of the group, rounded to the cent",
                         lambda g: posted(worth(g) + cash_worth(g), view.base), (), given)  # fmt: skip
    if shown == "weight":
        terms = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),)
        return Explained("(Σ units × price × FX + Σ cash × FX of the group) ÷ value of the portfolio",
                         lambda g: float((worth(g) + cash_worth(g)) / g["value of the portfolio"]), terms, given)  # fmt: skip

    def change(g: Given) -> float:
        names = ("units", "price", "previous", "rate")
        before = sum(
            (u * (b or p) * r for u, p, b, r in zip(*(g.column(POSITIONS, n) for n in names), strict=True)), Decimal(0)
        )
        return float((worth(g) + cash_worth(g)) / (before + cash_worth(g)) - 1)

    return Explained("value ÷ Σ (units × close before × FX) − 1, at the FX of now; cash does not change, nor what has no close before",
                     change, (), given)  # fmt: skip


@explains("allocation", "count")
def securities_of(view: View, row: Row) -> Explained:
    return Explained("number of positions with a value in the group", lambda g: len(g.column(POSITIONS, "symbol")), (),
                     behind(view, *_inside(view, row["group"])))  # fmt: skip


@explains("allocation", "value", total=True)
def value_total(view: View, row: Row) -> Explained | None:
    return total(view, row)


@explains("allocation_positions", "value", "weight", "day_change")
def position(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    p = next(
        p for p in view.valuation.positions
        if (p.security.symbol, p.security.name, _group(view, p)) == (row["symbol"], row["name"], row["group"])
        and p.value_base is not None and posted(p.value_base, view.base) == row["value"]
    )  # fmt: skip
    given = (evidence.open_lots(view, p.security.security_id), *behind(view, [p], []))
    if shown == "value":
        return Explained("units × price × FX, rounded to the cent", lambda g: posted(worth(g), view.base), (), given)
    if shown == "weight":
        terms = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),)
        return Explained(
            "units × price × FX ÷ value of the portfolio",
            lambda g: float(worth(g) / g["value of the portfolio"]),
            terms,
            given,
        )
    return Explained("price ÷ close before − 1", lambda g: float(g.column(POSITIONS, "price")[0] / g.column(POSITIONS, "previous")[0] - 1),
                     (), given)  # fmt: skip
