"""Counterparties, and how much of a portfolio depends on each."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import numpy as np

from core.counterparties import NOBODY, Counterparties
from core.ledger import MICRO
from core.money import posted
from core.reasons import NoRate
from core.reports import Made, report
from core.table import Column, Kind
from core.valuation import Position
from core.view import View


def issued_by(view: View, counterparties: Counterparties, name: str) -> list[Position]:
    """The positions with a value that count under a name."""
    return [
        p
        for p in view.valuation.positions
        if p.value_base is not None and counterparties.issuer_of(p.security.security_id) == name
    ]


def unsettled_through(view: View, counterparties: Counterparties, name: str) -> list[int]:
    """The rows of the ledger that have not settled at the date looked at and went through a counterparty."""
    ledger = view.book.ledger.upto(view.as_of)
    its = {c.counterparty_id for c in counterparties.every if c.name == name}
    rows = np.flatnonzero(ledger.settles_on > view.as_of).tolist() if its and counterparties.through else []
    return [r for r in rows if counterparties.through.get(UUID(bytes=bytes(ledger.ids[r]))) in its]


def in_base(view: View, row: int) -> Decimal | None:
    """The cash of an entry in the base currency at the rate of its day."""
    ledger = view.book.ledger
    rate = view.book.rates.rate(
        ledger.currencies[int(ledger.cash_currency[row])], view.base, int(ledger.traded_on[row])
    )
    return None if isinstance(rate, NoRate) else posted(Decimal(int(ledger.net[row])) / MICRO * rate, view.base)


@report(
    "Exposure by counterparty",
    Column("counterparty", "Counterparty"),
    Column("type", "Type", wide_only=True),
    Column("rating", "Rating"),
    Column("country", "Country", wide_only=True),
    Column("count", "Positions", Kind.COUNT, "that it issued"),
    Column("value", "Value", Kind.MONEY, "of the positions that it issued, in the base currency"),
    Column("weight", "Weight", Kind.PERCENT, "share of the total value, cash included"),
    Column(
        "unsettled",
        "Unsettled",
        Kind.MONEY,
        "cash of trades through it that have not settled, in and out, at the rates of their days",
    ),
    Column("entries", "Unsettled entries", Kind.COUNT, wide_only=True),
    Column("status", "Status", wide_only=True),
    empty="Nothing is held at this date.",
)
def counterparty_exposure(view: View, counterparties: Counterparties) -> Made:
    """What depends on each counterparty: the value of the positions that it issued, and trades through it that have not settled.

    A security belongs to the counterparty that its issuer is called by, else to its issuer's own name, else to "No issuer known".
    Weights sum to the invested share of the value; cash belongs to no counterparty here.
    """
    v = view.valuation
    names = {counterparties.issuer_of(p.security.security_id) for p in v.positions if p.value_base is not None}
    names |= {c.name for c in counterparties.every if unsettled_through(view, counterparties, c.name)}
    known = {c.name: c for c in counterparties.every}
    rows = []
    for name in names:
        positions = issued_by(view, counterparties, name)
        entries = unsettled_through(view, counterparties, name)
        worth = sum((p.value_base for p in positions if p.value_base is not None), Decimal(0))
        cash = [amount for r in entries if (amount := in_base(view, r)) is not None]
        its = known.get(name)
        rows.append(
            (name, its.type if its else "", its.rating if its else None, its.country if its else None, len(positions), posted(worth, view.base),
             view.share(worth), sum((abs(a) for a in cash), posted(Decimal(0), view.base)), len(entries),
             its.status if its else "")
        )  # fmt: skip
    rows.sort(key=lambda r: (r[0] == NOBODY, -r[5], r[0]))
    total = ("Total", "", None, None, sum(r[4] for r in rows), posted(v.invested, view.base), None if view.no_share else sum(r[6] or 0.0 for r in rows),
             sum((r[7] for r in rows), Decimal(0)), sum(r[8] for r in rows), "")  # fmt: skip
    return Made(rows, total=total if rows else None, notes=view.value_notes)


@report(
    "Counterparties",
    Column("name", "Name"),
    Column("type", "Type"),
    Column("rating", "Rating"),
    Column("country", "Country"),
    Column("status", "Status"),
    Column("counterparty_id", "Number", Kind.COUNT, wide_only=True),
    empty="No counterparties yet. Add the brokers, custodians and issuers that matter to you.",
)
def counterparties(counterparties: Counterparties) -> Made:
    """Every counterparty with its type, rating, country and status."""
    return Made([(c.name, c.type, c.rating, c.country, c.status, c.counterparty_id) for c in counterparties.every])
