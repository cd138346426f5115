"""Trading 212, "History" as CSV, oldest first: prices in the security's currency, totals in the account's.

The cash that moved is "Total", after fees and taxes; the rate of each booking is the one that makes the ledger's cash
this total. Times are UTC and are left so. Exports older than 2023 name the account's currency in the header, "Total
(GBP)"; in newer ones notes and id stand in front of the number of shares.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from core.brokers.columns import ColumnMap, Values, amount_of, as_ratio, in_cash, joined, rate_of, table_format
from core.brokers.registry import Record
from core.brokers.sheet import Cells, Row, number
from core.ledger import LedgerError
from core.money import MINOR_QUOTES, posted

MAP = ColumnMap(
    columns={
        "date": "Time", "kind": "Action", "symbol": "Ticker", "isin": "ISIN", "name": "Name", "quantity": "No. of shares",
        "price": "Price / share", "currency": "Currency (Price / share)", "gross": "Total", "note": "Notes",
        "reference": "ID",
    },
    kinds={
        "Market buy": "buy", "Limit buy": "buy", "Stop buy": "buy", "Stop limit buy": "buy", "Market sell": "sell",
        "Limit sell": "sell", "Stop sell": "sell", "Stop limit sell": "sell", "Dividend*": "dividend",
        "Deposit": "transfer", "Withdrawal": "transfer", "Interest on cash": "interest", "Lending interest": "interest",
        "Result adjustment": "interest", "Spending cashback": "interest", "Card debit": "transfer",
        "Card credit": "transfer", "Stock distribution": "buy", "Transfer out": "transfer_out",
        "Transfer in": "transfer_in", "Stock split open": "split", "Stock split close": "split",
        "Return of capital*": "return_of_capital", "New card cost": "fee",
    },
)  # fmt: skip
COSTS = ("Currency conversion fee", "Transaction fee", "Finra fee", "Stamp duty", "Stamp duty reserve tax",
         "French transaction tax", "PTM levy", "Charge amount")  # fmt: skip
NEWER = ("Notes", "ID", "No. of shares", "Price / share", "Currency (Price / share)", "Exchange rate", "Result",
         "Currency (Result)", "Total", "Currency (Total)", "Withholding tax", "Currency (Withholding tax)",
         "Currency conversion fee", "Currency (Currency conversion fee)")  # fmt: skip


def cell(row: Row, name: str) -> tuple[str, str]:
    """(text, currency) of an amount, whose currency stands in a column of its own or in the header."""
    if name in row.cells:
        return row.cells[name], row.cells.get(f"Currency ({name})", "")
    for header, text in row.cells.items():
        if found := re.fullmatch(rf"{re.escape(name)} \(([A-Z]{{3}})\)", header):
            return text, found[1]
    return "", ""


def prepare(values: Values, row: Row) -> None:
    if re.match(r"EOF\d", row.cells.get("Price / share", "")):  # a row of a newer export under the header of an older
        order = [n for n in row.cells if n not in NEWER]
        texts = list(row.cells.values())
        row = Row(row.lines, Cells(zip([*order[:5], *NEWER], texts, strict=False)))
        values.update({ours: row.cells.get(theirs, "") for ours, theirs in MAP.columns.items()})
    values["date"] = row.cells.get("Time") or row.cells.get("Time (UTC)", "")
    kind = MAP.meaning(values["kind"])
    said, cash = cell(row, "Total")
    total = number("gross", said)
    values["gross"] = ""
    if kind in ("interest", "transfer", "fee"):
        values["gross"], values["currency"] = said, cash
        return
    if values["kind"] == "Stock distribution":
        values["note"] = " ".join(filter(None, ["Stock distribution", values["note"]]))
        return
    if kind == "split":
        values["units_added"], values["quantity"], values["price"] = values["quantity"], "", ""
        values["note"] = values["kind"]
        return
    price, quantity = number("price", values["price"]), number("quantity", values["quantity"])
    if kind in ("transfer_in", "transfer_out"):
        return
    if total is None or price is None or quantity is None:
        raise LedgerError("gross", said, f"a {kind} needs its number of shares, price and total")
    own = values["currency"]
    factor = Decimal("0.01") if own in MINOR_QUOTES else Decimal(1)
    own = MINOR_QUOTES.get(own, own)
    product = abs(quantity) * price * factor
    total = abs(total)
    if kind in ("dividend", "return_of_capital"):
        text, held_in = cell(row, "Withholding tax")
        tax = abs(number("taxes", text) or Decimal(0))
        held_factor = Decimal("0.01") if held_in in MINOR_QUOTES else Decimal(1)
        held_in, tax = MINOR_QUOTES.get(held_in, held_in), tax * held_factor
        values["quantity"] = values["price"] = ""
        if not tax or held_in == cash:
            values["gross"], values["currency"] = str(total + tax), cash
            values["taxes"] = str(tax) if tax else ""
        elif held_in == own and posted(product - tax, own) > 0:
            values["gross"], values["currency"], values["taxes"] = str(product), own, str(tax)
            values["cash_currency"], values["fx"] = cash, str(rate_of(total, posted(product, own) - posted(tax, own)))
        else:
            values["gross"], values["currency"] = str(total), cash
            values["note"] = f"after withholding tax of {text} {held_in}"
        return
    fees = Decimal(0)
    for name in COSTS[:-1]:
        text, _ = cell(row, name)
        fees += abs(number("fees", text) or Decimal(0))
    buys = kind == "buy"
    if cash in ("", own):
        values["gross"] = str((total - fees if buys else total + fees) / factor)
        values["fees"] = str(fees / factor) if fees else ""
        return
    rate = (total - fees if buys else total + fees) / product if product else Decimal(0)
    costs = posted(fees / rate, own) if rate > 0 else Decimal(0)
    cells = {"kind": kind, "currency": own, "gross": str(product), "fees": str(costs)}
    values["fx"], values["cash_currency"] = in_cash(cells, total, cash)["fx"], cash
    values["fees"] = str(costs / factor) if costs else ""


def group(records: list[Record]) -> list[Record]:
    """ "Stock split close" takes the old units out and "Stock split open" puts the new ones in: one split."""
    closing: dict[str, list[int]] = defaultdict(list)
    out: list[Record | None] = []
    for r in records:
        cells = r.cells
        out.append(r)
        if not r.books or cells["kind"] != "split":
            continue
        key = cells.get("isin") or cells.get("symbol", "")
        if cells.get("note") == "Stock split close":
            closing[key].append(len(out) - 1)
        elif closing[key]:
            at = closing[key].pop(0)
            closed = out[at]
            if closed is not None and amount_of(closed, "units_added"):
                ratio = as_ratio(amount_of(r, "units_added"), amount_of(closed, "units_added"))
                out[-1], out[at] = joined(r, [closed], ratio=ratio, units_added="", note="Stock split"), None
    expected = "one side of the split is not in the file, so its ratio is unknown (4 for 4:1); give the ratio"
    return [
        replace(r, error=LedgerError("ratio", None, expected)) if r.books and split_open(r) else r
        for r in out
        if r is not None
    ]


def split_open(record: Record) -> bool:
    return record.cells["kind"] == "split" and "ratio" not in record.cells


table_format(
    "trading212", "Trading 212", ("Action", "ISIN", "Ticker", "No. of shares", "Price / share"), MAP, prepare, group
)
