"""How cash comes about, by trade date and by settlement date: the entries that moved it, and the rates that value it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import CASH, ENTRIES
from core.money import posted
from core.table import Kind
from core.valuation import unsettled as unsettled_rows
from core.view import View

Row = Mapping[str, Any]


def cash_worth(given: Given, what: str = "amount") -> Decimal:
    """Σ amount × FX over the currencies, of the cash by trade date or of what has "settled"."""
    pairs = zip(given.column(CASH, what), given.column(CASH, "rate"), strict=True)
    return sum((amount * rate for amount, rate in pairs if rate is not None), Decimal(0))


def _behind(view: View) -> tuple[Evidence, ...]:
    return (evidence.cash(view), evidence.rates(view, view.valuation.cash), evidence.entries(view))


@explains("overview", "cash", figure=True)
def cash_held(view: View, row: Row) -> Explained:
    return Explained("Σ cash × FX, rounded to the cent", lambda g: posted(cash_worth(g), view.base), (), _behind(view))


@explains("overview", "settled_cash", figure=True)
def settled_held(view: View, row: Row) -> Explained:
    return Explained("Σ cash by settlement date × FX, rounded to the cent", lambda g: posted(cash_worth(g, "settled"), view.base), (), _behind(view))  # fmt: skip


@explains("overview", "unsettled_cash", figure=True)
def unsettled_held(view: View, row: Row) -> Explained:
    def left(g: Given) -> Decimal:
        return posted(cash_worth(g), view.base) - posted(cash_worth(g, "settled"), view.base)

    return Explained("cash − cash by settlement date, each Σ × FX and rounded to the cent", left, (), _behind(view))


def _entries(view: View, currency: str) -> Evidence:
    ledger = view.book.ledger.upto(view.as_of)
    return evidence.entries(view, np.flatnonzero(ledger.cash_currency == ledger.currencies.index(currency)).tolist())


def _nets(given: Given, currency: str) -> list[tuple[Decimal, date]]:
    """(net cash, settlement date) of the entries that moved cash in a currency."""
    cells = zip(*(given.column(ENTRIES, name) for name in ("cash_currency", "net", "settles_on")), strict=True)
    return [(net, settles) for cash_in, net, settles in cells if cash_in == currency]


@explains("cash", "amount", "to_receive", "to_pay", "settled")
def cash_by_date(view: View, row: Row) -> Explained:
    currency, name = row["currency"], row["_column"]
    looked_at = Term("date", view.on, Kind.DATE)
    sums: dict[str, tuple[str, Any]] = {
        "amount": ("Σ posted net cash of every entry in this currency", lambda net, later: net),
        "to_receive": ("Σ posted net cash that comes in and settles after the date", lambda net, later: net if later and net > 0 else 0),
        "to_pay": ("−Σ posted net cash that goes out and settles after the date", lambda net, later: -net if later and net < 0 else 0),
        "settled": ("Σ posted net cash of every entry in this currency that has settled by the date", lambda net, later: 0 if later else net),
    }  # fmt: skip
    said, part = sums[name]

    def amount(g: Given) -> Decimal:
        return sum((part(net, settles > g["date"]) for net, settles in _nets(g, currency)), Decimal(0))

    return Explained(said, amount, (looked_at,), (_entries(view, currency),))


@explains("cash", "available")
def available(view: View, row: Row) -> Explained:
    terms = (
        Term("settled", row["settled"], Kind.MONEY, row["currency"]),
        Term("to be paid", row["to_pay"], Kind.MONEY, row["currency"]),
    )
    return Explained("settled − to be paid", lambda g: g["settled"] - g["to be paid"], terms, (_entries(view, row["currency"]),))  # fmt: skip


@explains("cash", "rate")
def cash_rate(view: View, row: Row) -> Explained | None:
    if row["rate"] is None:
        return None
    return Explained("the last rate published at or before the date, crossed through the euro", lambda g: g.column("FX rates", "rate")[0], (),
                     (evidence.rates(view, [row["currency"]]),))  # fmt: skip


@explains("cash", "value", "settled_value")
def cash_value(view: View, row: Row) -> Explained | None:
    if row[row["_column"]] is None:
        return None
    name = "amount" if row["_column"] == "value" else "settled"
    terms = (Term(name, row[name], Kind.MONEY, row["currency"]), Term("FX", row["rate"], Kind.PRICE, view.base))
    return Explained(f"{name} × FX, rounded to the cent", lambda g: posted(g[name] * g["FX"], view.base), terms,
                     (evidence.rates(view, [row["currency"]]),))  # fmt: skip


@explains("cash", "value", "settled_value", total=True)
def cash_total(view: View, row: Row) -> Explained | None:
    return cash_held(view, row) if row["_column"] == "value" else settled_held(view, row)


@explains("unsettled", "net")
def net_to_come(view: View, row: Row) -> Explained:
    rows = unsettled_rows(view.book, view.as_of).tolist()
    order = sorted(rows, key=lambda r: (int(view.book.ledger.settles_on[r]), int(view.book.ledger.traded_on[r])))
    return Explained("as posted: gross, fees and taxes with the signs of its kind", lambda g: g.column(ENTRIES, "net")[0], (),
                     (evidence.entries(view, [order[row["_row"]]]),))  # fmt: skip
