"""Parqet, activities as CSV (semicolons, decimal commas), newest first: the date of the account's own zone is used.

The amount is before fees and taxes; taxes may be negative, a refund.
"""

from __future__ import annotations

from core.brokers.columns import ColumnMap, Values, table_format
from core.brokers.sheet import Row

MAP = ColumnMap(
    columns={
        "date": "date", "kind": "type", "isin": "identifier", "name": "holdingname", "quantity": "shares",
        "price": "price", "gross": "amount", "taxes": "tax", "fees": "fee", "currency": "currency",
    },
    kinds={
        "Buy": "buy", "Sell": "sell", "Dividend": "dividend", "Interest": "interest", "Cost": "fee", "Fee": "fee",
        "Tax": "tax", "Deposit": "deposit", "Withdrawal": "withdrawal", "TransferIn": "transfer_in",
        "TransferOut": "transfer_out", "Cash": "transfer",
    },
    dates="dmy", decimal=",", delimiter=";", signed=False,
)  # fmt: skip


def prepare(values: Values, row: Row) -> None:
    values["date"] = f"{values['date']} {row.cells.get('time', '')}".strip()
    if values["kind"] not in ("Buy", "Sell", "TransferIn", "TransferOut"):
        values["quantity"] = values["price"] = ""


table_format("parqet", "Parqet", ("datetime", "shares", "assettype", "identifier", "holdingname"), MAP, prepare)
