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
    Column("ratio", "Ratio", note="of a split, spin-off or merger: new units for old ones, 1:3", wide_only=True),
    Column("settles_on", "Settles", Kind.DATE, wide_only=True),
    Column("into", "Into", note="what a spin-off, merger or symbol change ends in", wide_only=True),
    Column("fraction", "Cost share", Kind.NUMBER, "of a spin-off: the share of the cost that moves", wide_only=True),
    Column("basis", "Cost carried in", Kind.MONEY, "of a transfer in kind, in its currency", wide_only=True),
    Column("acquired_on", "Acquired", Kind.DATE, "of a transfer in kind: when the units were bought", wide_only=True),
    Column("lots", "Chosen lots", note="id:units of each", wide_only=True),
    Column("counterparty", "Counterparty", note="whom it went through", wide_only=True),
    Column("state", "State", note="booked, corrected, reversed, or a reversal; what it corrects or belongs to"),
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
         is_reversed, reverses, into, fraction, basis, _, acquired, lots, through, corrects, link, corrected_by) in ledger:  # fmt: skip
        state = f"reverses {_short(reverses)}" if reverses else "reversed" if is_reversed else "booked"
        if is_reversed and corrected_by:
            state = f"corrected by {_short(corrected_by)}"
        state += f", corrects {_short(corrects)}" if corrects else ""
        state += f", linked {_short(link)}" if link else ""
        chosen = ";".join(f"{lot}:{units}" for lot, units in lots or [])
        rows.append((traded, kind, symbol, quantity, price, net, cash_currency, gross, fees, taxes, currency, fx, ratio, settles, into, fraction, basis, acquired, chosen, through, state, note, source, by, at,
                     str(number)))  # fmt: skip
    return Made(rows)


def _short(number: Any) -> str:
    """The end of an id, enough to find it in the same table."""
    return str(number)[-6:]
