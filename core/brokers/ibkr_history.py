"""Interactive Brokers, "Transaction History" as CSV: sections in one file, newest first, cash in the base currency.

Every row begins with its section and "Header" or "Data"; "-" is an empty cell. Amounts are in the account's base
currency, a price is in the security's own. The net effect of a conversion in base currency and the translation of
balances are booked as the leg of a conversion: they change cash and are no flow.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from decimal import Decimal

from core.brokers.columns import ColumnMap, Values, amount_of, filled, in_order, rate_of, row_records, with_taxes
from core.brokers.registry import Format, Record, Statement, register
from core.brokers.sheet import Cells, Row, Sheet, header_names, lines_of
from core.importing import NotReadable
from core.ledger import LedgerError
from core.money import posted

SECTION = "Transaction History"
MAP = ColumnMap(
    columns={
        "date": "Date", "kind": "Transaction Type", "symbol": "Symbol", "name": "Description", "quantity": "Quantity",
        "price": "Price", "gross": "Gross Amount", "fees": "Commission", "account": "Account", "currency": "currency",
    },
    kinds={
        "Buy": "buy", "Sell": "sell", "Assignment": "trade", "Dividend": "dividend", "Payment in Lieu": "dividend",
        "Foreign Tax Withholding": "tax", "Credit Interest": "interest", "Debit Interest": "interest",
        "Investment Interest Received": "interest", "Investment Interest Paid": "interest", "Deposit": "transfer",
        "Withdrawal": "transfer", "Deposits/Withdrawals": "transfer", "Other Fee": "fee", "Other Fees": "fee",
        "Sales Tax": "tax", "Transaction Fee": "fee", "Commission Adjustment": "fee", "Adjustment": "conversion",
        "Forex Trade Component": "conversion",
    },
)  # fmt: skip


def rows_of(text: str) -> tuple[Sheet, str]:
    """The history's rows as a table, and the base currency. Raises NotReadable where the section has no header."""
    columns: tuple[str, ...] = ()
    base, rows = "", []
    for line, cells in enumerate(lines_of(text), 1):
        try:
            found = [c.strip() for c in next(csv.reader([cells]), [])]
        except csv.Error as e:
            rows.append(Row((line,), Cells(), (), f"it cannot be read as CSV: {e}"))
            continue
        if found[:3] == ["Summary", "Data", "Base Currency"] and len(found) > 3:
            base = found[3]
        if found[:2] == [SECTION, "Header"]:
            columns = header_names(found[2:])
        elif found[:2] == [SECTION, "Data"] and columns:
            cut = ["" if c == "-" else c for c in found[2:]]
            rows.append(Row((line,), Cells(zip(columns, cut, strict=False)), tuple(cut[len(columns) :])))
    if not columns:
        raise NotReadable(f"the section {SECTION} has no header line")
    return Sheet((), 1, columns, tuple(rows), ","), base


def reader_in(base: str) -> ColumnMap:
    return replace(MAP, currency=base)


def prepare(values: Values, row: Row) -> None:
    said = values["name"]
    if found := re.match(r"([\w.]+)\s?\(([A-Z]{2}[A-Z0-9]{9}\d)\)", said):
        values["isin"] = found[2]
    if values["kind"] not in ("Buy", "Sell", "Assignment"):
        values["note"], values["name"] = said, ""
    if values["kind"] in ("Adjustment", "Forex Trade Component"):
        values["symbol"] = values["quantity"] = values["price"] = ""


def in_price_currency(record: Record, base: str) -> Record:
    """A trade whose price is in another currency than the account's: its amounts in the price's, with the rate."""
    if not record.books or record.cells["kind"] not in ("buy", "sell"):
        return record
    product = amount_of(record, "quantity") * amount_of(record, "price")
    gross, fees = amount_of(record, "gross"), amount_of(record, "fees")
    if not product or not gross or abs(product - gross) <= max(Decimal("0.05"), product / 200):
        return record
    rate = gross / product
    costs = posted(fees / rate, "USD")
    net = posted(product, "USD") + (costs if record.cells["kind"] == "buy" else -costs)
    total = gross + (fees if record.cells["kind"] == "buy" else -fees)
    if net <= 0 or total <= 0:
        return replace(
            record, error=LedgerError("gross", gross, f"it does not agree with quantity × price = {product}")
        )
    fx = rate_of(total, net)
    return replace(
        record, cells=filled(record.cells, gross="", fees=costs or "", currency="", fx=fx, cash_currency=base)
    )


def read(text: str) -> Statement:
    table, base = rows_of(text)
    m = reader_in(base)
    records = in_order(r for row in table.rows for r in row_records(table, row, m, prepare))

    def payment(r: Record) -> tuple[str, ...] | None:
        return (r.cells["date"], r.cells.get("account", ""), s) if (s := r.cells.get("symbol")) else None

    records = [in_price_currency(r, base) for r in with_taxes(records, payment)]
    notes = (f"Amounts are in {base}, the account's base currency.",) if base else ()
    return Statement("ibkr_history", "Interactive Brokers transaction history", tuple(records), notes)


register(
    Format(
        "ibkr_history",
        "Interactive Brokers transaction history",
        f"lines that begin with {SECTION},Header and {SECTION},Data",
        lambda text: any(line.startswith(f"{SECTION},Header,Date") for line in text.splitlines()[:200]),
        read,
    )
)
