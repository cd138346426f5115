"""How exposure by counterparty comes about: the positions that each issued, and the trades through it that have not settled."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.explain import Explained, Given, Term, evidence, explains
from core.explain.allocation import behind
from core.explain.evidence import ENTRIES, POSITIONS
from core.explain.holdings import worth
from core.money import posted
from core.reports.counterparties import issued_by, unsettled_through
from core.table import Kind
from core.view import View

Row = Mapping[str, Any]


def _positions(view: View, row: Row) -> tuple[Any, ...]:
    """The positions behind a row; behind the total all that have a value."""
    known = row["_inputs"]["counterparties"]
    if row["_row"] is None:
        return behind(view, [p for p in view.valuation.positions if p.value_base is not None], [])
    return behind(view, issued_by(view, known, row["counterparty"]), [])


@explains("counterparty_exposure", "value")
@explains("counterparty_exposure", "value", total=True)
def value(view: View, row: Row) -> Explained:
    return Explained("Σ units × price × FX of what it issued, rounded to the cent", lambda g: posted(worth(g), view.base), (), _positions(view, row))  # fmt: skip


@explains("counterparty_exposure", "weight")
def weight(view: View, row: Row) -> Explained | None:
    if row["weight"] is None:
        return None
    terms = (Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),)
    return Explained("Σ units × price × FX of what it issued ÷ value of the portfolio",
                     lambda g: float(worth(g) / g["value of the portfolio"]), terms, _positions(view, row))  # fmt: skip


@explains("counterparty_exposure", "count")
def count(view: View, row: Row) -> Explained:
    return Explained("number of positions with a value that it issued", lambda g: len(g.column(POSITIONS, "symbol")), (), _positions(view, row))  # fmt: skip


def _entries(view: View, row: Row) -> tuple[Any, ...]:
    rows = unsettled_through(view, row["_inputs"]["counterparties"], row["counterparty"])
    return (evidence.entries(view, rows),)


@explains("counterparty_exposure", "unsettled")
def unsettled(view: View, row: Row) -> Explained:
    def cash(g: Given) -> Decimal:
        amounts = [abs(a) for a in g.column(ENTRIES, "net_base") if a is not None]
        return sum(amounts, posted(Decimal(0), view.base))

    return Explained("Σ of the net cash, without its sign, of the entries through it that have not settled, at the rates of their days",
                     cash, (), _entries(view, row))  # fmt: skip


@explains("counterparty_exposure", "entries")
def entries(view: View, row: Row) -> Explained:
    return Explained("number of entries through it that have not settled", lambda g: len(g.column(ENTRIES, "traded_on")), (), _entries(view, row))  # fmt: skip
