"""Interactive Brokers, Flex queries as CSV: trades, and dividends with their taxes (cash transactions).

Dates are the broker's own. A conversion names its pair in Symbol; where that column is left out of the query, the
first currency of the pair is taken to be the commission's, which is charged in the account's currency.
"""

from __future__ import annotations

import re

from core.brokers.columns import ColumnMap, Values, table_format, with_taxes
from core.brokers.registry import Record
from core.brokers.sheet import Row, number
from core.ledger import LedgerError

TRADES = ColumnMap(
    columns={
        "date": "TradeDate", "kind": "Buy/Sell", "isin": "ISIN", "symbol": "Symbol", "name": "Description",
        "quantity": "Quantity", "price": "TradePrice", "gross": "TradeMoney", "taxes": "Taxes", "account": "ClientAccountID",
        "currency": "CurrencyPrimary", "settlement": "SettleDateTarget", "reference": "TradeID",
    },
    kinds={"BUY": "buy", "SELL": "sell", "fx": "fx"},
)  # fmt: skip
CASH = ColumnMap(
    columns={
        "date": "SettleDate", "kind": "Type", "isin": "ISIN", "symbol": "Symbol", "note": "Description",
        "gross": "Amount", "currency": "CurrencyPrimary", "account": "ClientAccountID", "reference": "TransactionID",
    },
    kinds={
        "Dividends": "dividend", "Payment In Lieu Of Dividends": "dividend", "Withholding Tax": "tax",
        "871(m) Withholding": "tax", "Broker Interest Paid": "interest", "Broker Interest Received": "interest",
        "Bond Interest Paid": "interest", "Bond Interest Received": "interest", "Deposits/Withdrawals": "transfer",
        "Deposits & Withdrawals": "transfer", "Other Fees": "fee", "Broker Fees": "fee", "Commission Adjustments": "fee",
        "return of capital": "return_of_capital",
    },
)  # fmt: skip


def trade(values: Values, row: Row) -> None:
    own, charged = values["currency"], row.cells.get("IBCommissionCurrency", "")
    commission = number("fees", row.cells.get("IBCommission", ""))
    pair = re.fullmatch(r"([A-Z]{3})\.([A-Z]{3})", values["symbol"])
    if pair or row.cells.get("AssetClass") == "CASH" or not (values["isin"] or values["symbol"]):
        if not pair and charged in ("", own):
            raise LedgerError("symbol", None, "a conversion needs its pair: add Symbol to the query")
        first = pair[1] if pair else charged
        values["symbol"], values["kind"], values["isin"] = f"{first}{own}", "fx", ""
        values["note"] = "conversion" if pair else f"conversion; {first} is taken from the commission's currency"
    if row.cells.get("Open/CloseIndicator") in ("O", "C"):
        opens = row.cells["Open/CloseIndicator"] == "O"
        kind = values["kind"].upper()
        if kind == "SELL" and opens:
            values["kind"] = "short"
        elif kind == "BUY" and not opens:
            values["kind"] = "cover"
    multiplier, price = (number("price", t) for t in (row.cells.get("Multiplier", ""), values["price"]))
    if multiplier and multiplier != 1 and price is not None:
        values["price"] = str(price * multiplier)
        values["gross"] = row.cells.get("Proceeds", "") or values["gross"]
    if commission:
        values["fees_currency"] = charged
        values["rebate" if commission > 0 else "fees"] = str(abs(commission))


def cash(values: Values, row: Row) -> None:
    said = values["note"]
    if not values["symbol"] and (found := re.match(r"([\w.]+)\s?\(", said)):
        values["symbol"] = found[1]
    if values["kind"] == "Dividends" and "return of capital" in said.lower():
        values["kind"] = "return of capital"


def payment(record: Record) -> tuple[str, ...] | None:
    """Which payment a dividend or tax belongs to: the day and the text before its last words."""
    text = record.cells.get("note", "")
    return (record.cells["date"], record.cells.get("account", ""), told(text)) if text else None


def told(text: str) -> str:
    """The text of a payment without what tells the dividend ("(Ordinary Dividend)") from its tax ("- US TAX")."""
    return re.sub(r"\s*(\([^()]*\)|- \w\w TAX|- FEE|- TAX|- REVERSAL)\s*$", "", text, flags=re.IGNORECASE).upper()


table_format(
    "ibkr_flex_trades", "Interactive Brokers Flex query: trades", ("Buy/Sell", "TradeDate", "TradePrice", "IBCommission"),
    TRADES, trade,
)  # fmt: skip
table_format(
    "ibkr_flex_cash", "Interactive Brokers Flex query: cash transactions",
    ("Type", "SettleDate", "Description", "Amount", "CurrencyPrimary"), CASH, cash,
    lambda records: with_taxes(records, payment),
)  # fmt: skip
