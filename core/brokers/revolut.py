"""Revolut, stocks statement as CSV: times UTC, the trade date taken in New York, amounts with their currency's sign.

What a total has beyond quantity × price is the fee. A split says only how many units were added. Transfers between
Revolut's own companies move the account, not the holding: skipped.
"""

from __future__ import annotations

from core.brokers.columns import SKIP, ColumnMap, Values, table_format, with_ratios, with_taxes
from core.brokers.registry import Record
from core.brokers.sheet import Row

MAP = ColumnMap(
    columns={
        "date": "Date", "kind": "Type", "symbol": "Ticker", "quantity": "Quantity", "price": "Price per share",
        "gross": "Total Amount", "currency": "Currency",
    },
    kinds={
        "BUY*": "buy", "SELL*": "sell", "DIVIDEND": "dividend", "DIVIDEND TAX*": "tax", "CASH TOP-UP": "transfer",
        "CASH WITHDRAWAL": "transfer", "CUSTODY FEE*": "fee", "ROBO MANAGEMENT FEE*": "fee", "STOCK SPLIT": "split",
        "INTEREST*": "interest", "RETURN OF CAPITAL": "return_of_capital",
        "TRANSFER FROM REVOLUT*": SKIP + "a move between Revolut's own companies: the holding and the cash stay",
    },
    zone="America/New_York", implied_fees=True,
)  # fmt: skip


def prepare(values: Values, row: Row) -> None:
    if values["kind"] == "STOCK SPLIT":
        values["units_added"], values["quantity"] = values["quantity"], ""
        values["gross"] = values["price"] = ""


def group(records: list[Record]) -> list[Record]:
    return with_ratios(with_taxes(records, lambda r: (r.cells["date"], r.cells.get("symbol", ""))))


table_format(
    "revolut", "Revolut", ("Ticker", "Type", "Price per share", "Total Amount", "FX Rate"), MAP, prepare, group
)
