"""Fidelity, "History" as CSV, of one account or of all: newest first, the action hidden in a sentence, US dollars.

Amounts are net. Bonds are quoted in percent of their face value: their price is left out, the amount stands.
"""

from __future__ import annotations

import re
from decimal import Decimal

from core.brokers.columns import ColumnMap, Values, table_format, with_taxes
from core.brokers.registry import Record
from core.brokers.sheet import Row, number
from core.ledger import LedgerError

HEADERS = {
    "date": "Run Date", "kind": "Action", "symbol": "Symbol", "quantity": "Quantity", "settlement": "Settlement Date",
    "account": "Account Number",
}  # fmt: skip
MAP = ColumnMap(
    columns=HEADERS,
    kinds={
        "YOU BOUGHT*": "buy", "REINVESTMENT*": "buy", "YOU SOLD*": "sell", "REDEMPTION*": "sell",
        "YOU SOLD SHORT*": "short", "SHORT SALE*": "short", "YOU BOUGHT SHORT COVER*": "cover",
        "DIVIDEND*": "dividend", "LONG-TERM CAP GAIN*": "dividend", "SHORT-TERM CAP GAIN*": "dividend",
        "QUALIFIED DIVIDEND*": "dividend", "RETURN OF CAPITAL*": "return_of_capital", "INTEREST*": "interest",
        "MUNI EXEMPT INT*": "interest", "MARGIN INTEREST*": "interest", "FOREIGN TAX*": "tax", "NON-RESIDENT TAX*": "tax",
        "FEE*": "fee", "ADVISORY FEE*": "fee", "FOREIGN CUSTODY FEE*": "fee", "IN LIEU OF*": "return_of_capital",
        "TRANSFERRED*": "move", "TRANSFER OF ASSETS*": "move", "JOURNALED*": "move", "DIRECT DEPOSIT*": "transfer",
        "DIRECT DEBIT*": "transfer", "CHECK RECEIVED*": "transfer", "CHECK PAID*": "transfer",
        "ELECTRONIC FUNDS TRANSFER*": "transfer", "BILL PAYMENT*": "transfer", "DEBIT CARD*": "transfer",
        "WIRE TRANSFER*": "transfer", "CASH CONTRIBUTION*": "transfer", "CONTRIBUTION*": "transfer",
        "CASH ADVANCE*": "transfer", "DEPOSIT*": "transfer", "CONV TO SHARES*": "move",
    },
    dates="mdy", signed=True, net=True, currency="USD",
)  # fmt: skip
FEES = ("Commission", "Fees", "Commission ($)", "Fees ($)")
INTEREST = ("Accrued Interest", "Accrued Interest ($)")


def prepare(values: Values, row: Row) -> None:
    cells = row.cells
    action = values["note"] = values["kind"] = " ".join(values["kind"].split())
    values["name"] = cells.get("Description") or cells.get("Security Description", "")
    if values["name"] == "No Description":
        values["name"] = ""
    values["price"] = cells.get("Price") or cells.get("Price ($)", "")
    values["gross"] = cells.get("Amount") or cells.get("Amount ($)", "")
    if cells.get("Currency"):
        values["currency"] = cells["Currency"]
    costs = [abs(number("fees", cells.get(name, "")) or Decimal(0)) for name in FEES]
    values["fees"] = str(total) if (total := sum(costs)) else ""
    quantity, price = number("quantity", values["quantity"]), number("price", values["price"])
    if not quantity:
        values["quantity"] = values["price"] = ""
    if action.startswith("MERGER"):
        values["units_added"] = values.pop("quantity")
        values["quantity"] = ""
        raise LedgerError(
            "into", None, "the statement does not say what was exchanged for what; enter the merger by hand"
        )
    if action.upper().startswith("TRANSFERRED") and quantity and values["symbol"]:
        values["kind"] = "transfer out" if quantity < 0 else "transfer in"
        values["quantity"] = str(abs(quantity))
    amount = abs(number("gross", values["gross"]) or Decimal(0))
    if quantity and price and amount and abs(abs(quantity) * price / 100 - amount) < amount / 10:
        values["price"] = ""  # percent of the face value
        accrued = next((cells[name] for name in INTEREST if cells.get(name)), "")
        values["note"] += f" (accrued interest {accrued} in the amount)" if accrued else ""
    if (dated := re.search(r" as of ([A-Za-z]{3})-(\d\d)-(\d{4})", action)) is not None:
        values["date"] = f"{dated[2]}-{dated[1]}-{dated[3]}"


def group(records: list[Record]) -> list[Record]:
    def same_payment(r: Record) -> tuple[str, ...] | None:
        return (r.cells["date"], r.cells.get("account", ""), s) if (s := r.cells.get("symbol")) else None

    return with_taxes(records, same_payment)


table_format("fidelity", "Fidelity", ("Run Date", "Action", "Symbol", "Settlement Date"), MAP, prepare, group)
