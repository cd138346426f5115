"""XTB, cash operations as CSV (semicolons), newest first: the trade in a comment ("OPEN BUY 34/42.5658 @ 11.7480").

The file does not name the account's currency. A trade whose amount is quantity × price is in the security's own;
any other gets the rate that follows. The symbol's ending names its market. Results and swaps of CFDs and currency
positions are booked as interest, which may be negative.
"""

from __future__ import annotations

import re
from decimal import Decimal

from core.brokers.columns import ColumnMap, Values, rate_of, table_format, with_taxes
from core.brokers.registry import Record
from core.brokers.sheet import Row, number
from core.ledger import LedgerError
from core.money import posted

MAP = ColumnMap(
    columns={"date": "Time", "kind": "Type", "symbol": "Symbol", "note": "Comment", "gross": "Amount", "reference": "ID"},
    kinds={
        "Stocks/ETF purchase": "buy", "Stock purchase": "buy", "Ações/ETF compra": "buy", "Aktien/ETF-Kauf": "buy",
        "Stocks/ETF sale": "sell", "Stock sale": "sell", "Ações/ETF vende": "sell", "Aktien/ETF-Verkauf": "sell",
        "Deposit": "transfer", "Withdrawal": "transfer", "Transfer": "move", "Subaccount transfer": "move",
        "Dividend": "dividend", "Dividende": "dividend", "Withholding tax": "tax", "Free funds interests": "interest",
        "Free-funds Interest": "interest", "Free funds interests tax": "tax", "Free-funds Interest Tax": "tax",
        "Profit/Loss*": "interest", "Swap": "interest", "Spin off": "return_of_capital", "Sec fee": "fee",
        "Commission": "fee", "Stamp duty": "tax", "Tax IFTT": "tax", "interest": "interest",
    },
    dates="dmy", delimiter=";",
)  # fmt: skip
MARKETS = {"DE": "XETR", "UK": "XLON", "FR": "XPAR", "NL": "XAMS", "CH": "XSWX", "IT": "XMIL", "ES": "XMAD",
           "PL": "XWAR", "PT": "XLIS", "BE": "XBRU", "US": ""}  # fmt: skip
TRADE = re.compile(r"(?:OPEN|CLOSE) (?:BUY|SELL) ([\d.]+)(?:/[\d.]+)? @ ([\d.]+)")


def prepare(values: Values, row: Row) -> None:
    symbol, dot, market = values["symbol"].rpartition(".")
    kind = MAP.meaning(values["kind"])
    if dot and market in MARKETS:
        values["symbol"], values["exchange"] = symbol, MARKETS[market]
    elif kind == "dividend":
        values["kind"] = kind = "interest"  # of a CFD on an index: there are no units that could earn a dividend
    if kind in ("buy", "sell"):
        found = TRADE.search(values["note"])
        if not found:
            raise LedgerError("quantity", values["note"][:60], "a comment such as OPEN BUY 3 @ 11.74 is needed")
        values["quantity"], values["price"] = found[1], found[2]
        quantity, price = (Decimal(found[n]) for n in (1, 2))
        amount, product = abs(number("gross", values["gross"]) or Decimal(0)), quantity * price
        if abs(amount - product) > max(Decimal("0.05"), product / 200):
            values["fx"] = str(rate_of(amount, posted(product, "USD")))
            values["gross"] = ""
    if kind == "interest":
        values["note"] = " ".join(filter(None, (f"{row.cells['Type']}:", values["symbol"], values["note"])))
        values["symbol"] = values["exchange"] = ""


def group(records: list[Record]) -> list[Record]:
    def payment(r: Record) -> tuple[str, ...] | None:
        return (r.cells["date"], r.cells.get("time", ""), s) if (s := r.cells.get("symbol")) else None

    return with_taxes(records, payment)


table_format("xtb", "XTB", ("ID", "Type", "Time", "Symbol", "Comment", "Amount"), MAP, prepare, group)
