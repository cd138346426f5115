"""eToro, "Account activity" of the account statement as CSV, US dollars, times UTC, day first, oldest first.

Positions of CFDs hold no units: opening one is skipped, and what closing it won or lost ("Realized Equity Change") is
booked as interest, which may be negative. A fee for the conversion of a withdrawal is inside the withdrawn amount.
Amounts of one file may have a decimal comma and others a point.
"""

from __future__ import annotations

from core.brokers.columns import ColumnMap, NothingToBook, Values, table_format
from core.brokers.sheet import Row, number

MAP = ColumnMap(
    columns={
        "date": "Date", "kind": "Type", "note": "Details", "quantity": "Units", "gross": "Amount", "reference": "Position ID",
    },
    kinds={
        "Open Position": "buy", "Position closed": "sell", "Dividend": "dividend", "Interest Payment": "interest",
        "Deposit": "transfer", "Withdraw Request": "transfer", "Withdraw Fee": "fee", "Overnight fee": "fee",
        "Overnight refund": "fee", "SDRT": "tax", "Rollover Fee": "fee", "Adjustment": "interest",
        "Withdrawal Conversion Fee": "fee", "Deposit Conversion Fee": "fee", "result of a CFD": "interest",
        "Staking": "interest", "Refund": "fee",
    },
    dates="dmy", currency="USD",
)  # fmt: skip


def prepare(values: Values, row: Row) -> None:
    kind, cfd = values["kind"], row.cells.get("Asset type") == "CFD"
    changed = number("gross", row.cells.get("Realized Equity Change", ""))
    values["reference"] = "" if values["reference"] == "-" else f"{values['reference']} {kind}"
    if "/" in values["note"]:
        values["symbol"] = values["note"].split("/")[0]
    if kind in ("Open Position", "Position closed") and cfd:
        if kind == "Open Position":
            raise NothingToBook("a CFD is opened: no units are held, the margin stays in the account")
        values["kind"], values["gross"] = "result of a CFD", row.cells.get("Realized Equity Change", "")
    if kind == "Withdrawal Conversion Fee" and not changed:
        raise NothingToBook("the fee is inside the withdrawn amount (it changes no equity)")
    if kind not in ("Open Position", "Position closed"):
        values["quantity"] = ""
    if cfd:
        values["note"], values["symbol"] = f"CFD {values['note']}", ""


table_format("etoro", "eToro", ("Type", "Details", "Units", "Realized Equity Change", "Position ID"), MAP, prepare)
