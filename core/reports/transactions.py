"""The ledger as people read it."""

from __future__ import annotations

from typing import Any

from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Transactions",
    Column("traded_on", "Date", Kind.DATE, "trade date"),
    Column("kind", "Kind"),
    Column("symbol", "Symbol"),
    Column("quantity", "Quantity", Kind.UNITS),
    Column("price", "Price", Kind.PRICE),
    Column("net", "Net cash", Kind.MONEY, "posted, with its sign, in the cash currency"),
    Column("cash_currency", "Cash in", wide_only=True),
    Column("gross", "Gross", Kind.MONEY, wide_only=True),
    Column("fees", "Fees", Kind.MONEY, wide_only=True),
    Column("taxes", "Taxes", Kind.MONEY, wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("fx", "FX", Kind.PRICE, "base currency for one unit, where cash moved in the base currency", wide_only=True),
    Column("ratio", "Ratio", Kind.PRICE, "of a split: new units for one old", wide_only=True),
    Column("settles_on", "Settles", Kind.DATE, wide_only=True),
    Column("state", "State", note="booked, reversed, or a reversal"),
    Column("note", "Note", wide_only=True),
    Column("source", "Source", wide_only=True),
    Column("recorded_by", "By", wide_only=True),
    Column("recorded_at", "Recorded", Kind.TIME, wide_only=True),
    Column("transaction_id", "Id", wide_only=True),
    empty="No transactions yet: enter the first one or import a CSV.",
)
def transactions(ledger: list[tuple[Any, ...]]) -> Made:
    """Every entry, newest first. Nothing is ever changed: a correction is a reversal and a new entry."""
    rows = []
    for (number, traded, settles, kind, symbol, quantity, price, ratio, gross, fees, taxes, net, cash_currency, currency, fx, note, source, by, at,
         is_reversed, reverses) in ledger:  # fmt: skip
        state = f"reverses {str(reverses)[-6:]}" if reverses else "reversed" if is_reversed else "booked"
        rows.append((traded, kind, symbol, quantity, price, net, cash_currency, gross, fees, taxes, currency, fx, ratio, settles, state, note, source, by, at,
                     str(number)))  # fmt: skip
    return Made(rows)
