"""Freetrade, activity feed as CSV, newest first: prices in the instrument's currency, totals in the account's.

The cash that moved is "Total Amount", after the conversion's fee and stamp duty. Times are UTC, the trade date is
taken in London. A free share is a transfer in, at its market value: no cash was paid for it.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from core.brokers.columns import SKIP, ColumnMap, Values, filled, in_cash, table_format
from core.brokers.registry import Record
from core.brokers.sheet import Row, number
from core.ledger import LedgerError
from core.money import posted

MAP = ColumnMap(
    columns={
        "date": "Timestamp", "kind": "Type", "symbol": "Ticker", "isin": "ISIN", "name": "Title", "quantity": "Quantity",
        "reference": "Order ID",
    },
    kinds={
        "BUY": "buy", "SELL": "sell", "FREESHARE_ORDER": "transfer_in", "DIVIDEND": "dividend",
        "SPECIAL_DIVIDEND": "dividend", "TOP_UP": "deposit", "WITHDRAWAL": "withdrawal",
        "INTEREST_FROM_CASH": "interest", "FREETRADE_FEE": "fee", "SIPP_FEE": "fee",
        "MONTHLY_STATEMENT": SKIP + "the notice of a statement", "TAX_CERTIFICATE": SKIP + "the notice of a certificate",
    },
    zone="Europe/London", signed=False,
)  # fmt: skip


def prepare(values: Values, row: Row) -> None:
    cells = row.cells
    account, own = cells["Account Currency"], cells.get("Instrument Currency", "")
    total = number("gross", cells["Total Amount"])
    kind = values["kind"] = cells.get("Buy / Sell", "") if values["kind"] == "ORDER" else values["kind"]
    values["currency"] = own or account
    if kind in ("BUY", "SELL", "FREESHARE_ORDER"):
        quantity, price = number("quantity", values["quantity"]), number("price", cells["Price per Share"])
        if not quantity or price is None or total is None:
            raise LedgerError("quantity", values["quantity"], "an order needs its quantity, price and total amount")
        values["price"] = cells["Price per Share"]
        if kind == "FREESHARE_ORDER":
            values["note"] = "free share"
            return
        fees = sum(
            (abs(number("fees", cells.get(n, "")) or Decimal(0)) for n in ("FX Fee Amount", "Stamp Duty")), Decimal(0)
        )
        product = number("gross", cells.get("Total Shares Amount", "")) or quantity * price
        net_total = total - fees if kind == "BUY" else total + fees
        if own in ("", account):
            values["gross"], values["fees"] = str(net_total), str(fees) if fees else ""
            return
        costs = posted(fees * product / net_total, own) if net_total > 0 else Decimal(0)
        trade = {"kind": kind.lower(), "currency": own, "gross": str(product), "fees": str(costs)}
        values["gross"], values["fees"] = str(product), str(costs) if costs else ""
        values["fx"], values["cash_currency"] = in_cash(trade, total, account)["fx"], account
    elif kind in ("DIVIDEND", "SPECIAL_DIVIDEND"):
        values["quantity"] = ""
        gross = number("gross", cells.get("Dividend Gross Distribution Amount", ""))
        tax = abs(number("taxes", cells.get("Dividend Withheld Tax Amount", "")) or Decimal(0))
        if gross and total and own not in ("", account):
            values["gross"], values["taxes"] = str(gross), str(tax) if tax else ""
            paid = {"kind": "dividend", "currency": own, "gross": str(gross), "taxes": str(tax)}
            values["fx"], values["cash_currency"] = in_cash(paid, total, account)["fx"], account
        else:
            values["gross"], values["taxes"], values["currency"] = (
                str((total or 0) + tax),
                str(tax) if tax else "",
                account,
            )
    else:
        values["gross"], values["currency"], values["symbol"] = cells["Total Amount"], account, ""


def group(records: list[Record]) -> list[Record]:
    """The titles of cash movements name no security: they are notes."""
    return [
        replace(r, cells=filled(r.cells, name="", note=r.cells.get("name", "")))
        if r.books and not r.cells.get("symbol")
        else r
        for r in records
    ]


table_format(
    "freetrade", "Freetrade", ("Title", "Type", "Timestamp", "Account Currency", "Buy / Sell"), MAP, prepare, group
)
