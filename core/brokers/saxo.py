"""Saxo, transactions as CSV, newest first: the trade in a sentence ("Buy 3 @ 134.85 USD"), amounts after costs.

Amounts are in the instrument's currency, and what they have beyond quantity × price is the fee. Decimal commas and
points are mixed in one file. The exchange is the one behind the symbol (VWRL:xams).
"""

from __future__ import annotations

import re

from core.brokers.columns import ColumnMap, Values, table_format
from core.brokers.sheet import Row
from core.ledger import LedgerError

MAP = ColumnMap(
    columns={
        "date": "Trade Date", "settlement": "Value Date", "kind": "Event", "symbol": "Instrument Symbol",
        "isin": "Instrument ISIN", "name": "Instrument", "currency": "Instrument currency", "gross": "Amount",
        "reference": "Order ID",
    },
    kinds={
        "buy": "buy", "sell": "sell", "Dividend*": "dividend", "Cash dividend*": "dividend", "Withholding tax*": "tax",
        "Custody Fee*": "fee", "Service fee*": "fee", "Subscription fee*": "fee", "Interest*": "interest",
        "Client interest*": "interest", "Deposit*": "transfer", "Withdrawal*": "transfer", "Cash transfer*": "transfer",
    },
    implied_fees=True,
)  # fmt: skip
TRADE = re.compile(r"(Buy|Sell|Koop|Verkoop|Køb|Salg|Kauf|Verkauf|Achat|Vente) (-?[\d.,]+) @ ([\d.,]+) ([A-Z]{3})")
SELL = frozenset({"Sell", "Verkoop", "Salg", "Verkauf", "Vente"})


def prepare(values: Values, row: Row) -> None:
    said = values["kind"]
    if found := TRADE.fullmatch(said):
        values["kind"] = "sell" if found[1] in SELL else "buy"
        values["quantity"], values["price"] = found[2].lstrip("-"), found[3]
        if found[4] != values["currency"]:
            raise LedgerError(
                "currency", found[4], f"a price in {values['currency']}, the instrument's currency, is needed"
            )
    else:
        values["note"], values["settlement"] = said, ""
    symbol, _, exchange = values["symbol"].partition(":")
    values["symbol"], values["exchange"] = symbol, exchange.upper()


table_format("saxo", "Saxo", ("Trade Date", "Event", "Instrument ISIN", "Instrument Symbol"), MAP, prepare)
