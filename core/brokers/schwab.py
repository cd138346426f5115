"""Charles Schwab, brokerage account: "Transactions" as CSV, newest first, amounts net of fees, US dollars.

"07/15/2024 as of 07/12/2024": a corporate action is taken on the day it was booked (prices are in new units from then
on), everything else on the day as of which it counts. The sides of a merger, conversion, name change or reverse split
are two rows, the old security under its CUSIP.
"""

from __future__ import annotations

from collections import defaultdict

from core.brokers.columns import (
    SKIP,
    Cell,
    ColumnMap,
    Values,
    amount_of,
    as_ratio,
    joined,
    table_format,
    with_ratios,
    with_taxes,
)
from core.brokers.registry import Record
from core.brokers.sheet import Row, number
from core.ledger import LedgerError

MAP = ColumnMap(
    columns={
        "date": "Date", "kind": "Action", "symbol": "Symbol", "name": "Description", "quantity": "Quantity",
        "price": "Price", "fees": "Fees & Comm", "gross": "Amount",
    },
    kinds={
        "Buy": "buy", "Buy to Open": "buy", "Sell": "sell", "Sell to Close": "sell", "Reinvest Shares": "buy",
        "Sell Short": "short", "Sell to Open": "short", "Buy to Close": "cover", "Buy to Cover": "cover",
        "Cash Dividend": "dividend", "Qualified Dividend": "dividend", "Non-Qualified Div": "dividend",
        "Special Dividend": "dividend", "Special Qual Div": "dividend", "Special Non Qual Div": "dividend",
        "Reinvest Dividend": "dividend", "Qual Div Reinvest": "dividend", "Non-Qual Div Reinvest": "dividend",
        "Pr Yr Div Reinvest": "dividend", "Pr Yr Cash Div": "dividend", "Pr Yr Non-Qual Div": "dividend",
        "Long Term Cap Gain": "dividend", "Short Term Cap Gain": "dividend", "Div Adjustment": "dividend",
        "Long Term Cap Gain Reinvest": "dividend", "Short Term Cap Gain Reinvest": "dividend",
        "Credit Interest": "interest", "Bank Interest": "interest", "Bond Interest": "interest",
        "Margin Interest": "interest", "Advisor Fee": "fee", "Service Fee": "fee", "ADR Mgmt Fee": "fee",
        "Misc Cash Entry": "interest", "Foreign Tax Paid": "tax", "NRA Withholding": "tax", "NRA Tax Adj": "tax",
        "Foreign Tax Reclaim": "tax", "Wire Sent": "transfer", "Wire Received": "transfer", "Wire Funds": "transfer",
        "MoneyLink Transfer": "transfer", "MoneyLink Deposit": "transfer", "MoneyLink Adj": "transfer",
        "Funds Received": "transfer", "Funds Paid": "transfer", "Wire Funds Received": "transfer",
        "Journal": "move", "Internal Transfer": "move", "Journaled Shares": "units", "Security Transfer": "units",
        "Stock Split": "split", "Reverse Split": "merger", "Stock Merger": "merger", "Conversion": "merger",
        "Name Change": "symbol_change", "Spin-off": "spin_off", "Stock Div Dist": "buy",
        "Cash In Lieu": "return_of_capital", "Cash Merger": "merger",
        "Transactions Total": SKIP + "the total of the rows above",
    },
    dates="mdy", signed=True, net=True, currency="USD",
)  # fmt: skip
CORPORATE = frozenset({"Stock Split", "Reverse Split", "Stock Merger", "Conversion", "Name Change", "Spin-off"})
TWO_SIDED = frozenset({"Reverse Split", "Stock Merger", "Conversion", "Name Change"})


def prepare(values: Values, row: Row) -> None:
    if values["date"] == "Transactions Total":
        values["kind"] = "Transactions Total"
        return
    action = values["kind"]
    booked, _, as_of = values["date"].partition(" as of ")
    values["date"] = as_of if as_of and action not in CORPORATE else booked
    values["note"] = action
    if not values["symbol"]:
        values["note"], values["name"] = f"{action}: {values['name']}", ""
    quantity = number("quantity", values["quantity"])
    price, amount = number("price", values["price"]), number("gross", values["gross"])
    if action in ("Stock Split", "Spin-off"):
        values["units_added"], values["quantity"], values["price"] = values["quantity"], "", ""
    if action == "Spin-off":
        expected = "the statement does not name the company that spun this off; give it, the ratio and the fraction"
        values["into"], values["symbol"] = values["symbol"], ""
        raise LedgerError("symbol", None, expected)
    if action == "Stock Div Dist":
        values["price"] = "0"
    if action in ("Cash Merger",) and not quantity:
        values["quantity"] = ""
    if MAP.kinds.get(action) == "dividend" and not values["symbol"]:
        values["kind"] = "Credit Interest"  # income that the statement puts to no security
    if quantity and price and amount and MAP.kinds.get(action) in ("buy", "sell", "short", "cover"):
        hundredfold = abs(quantity) * price * 100
        if abs(hundredfold - abs(amount)) < abs(amount) / 10:  # an option: its contract is of a hundred shares
            values["price"] = str(price * 100)


def group(records: list[Record]) -> list[Record]:
    """The two sides of a corporate action as one record, taxes into their dividends, ratios of splits."""
    sides: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for r in records:
        if r.cells.get("note") in TWO_SIDED and r.books:
            sides[r.cells["date"], r.cells["note"], _first_word(r)].append(r)
    made: dict[int, Record | None] = {}
    for (_, action, _), both in sides.items():
        new = [r for r in both if amount_of(r, "quantity") > 0]
        old = [r for r in both if amount_of(r, "quantity") < 0]
        if len(new) != 1 or len(old) != 1:
            loose = [r for r in records if r in both]
            opposite = [
                r
                for r in records
                if r.books and r.cells.get("note") == action and r.cells.get("date") == both[0].cells["date"]
            ]
            new = [r for r in opposite if amount_of(r, "quantity") > 0]
            old = [r for r in opposite if amount_of(r, "quantity") < 0]
            if len(new) != 1 or len(old) != 1:
                for r in loose:
                    expected = "the other side of this exchange (old or new security) is not in the file"
                    made[id(r)] = Record(r.line, r.lines, r.cells, "", LedgerError("into", None, expected))
                continue
        gets, gives = new[0], old[0]
        ratio = as_ratio(amount_of(gets, "quantity"), -amount_of(gives, "quantity"))
        shared: dict[str, Cell] = {"quantity": "", "price": "", "gross": ""}
        if action == "Reverse Split":
            one = joined(gets, [gives], kind="split", ratio=ratio, **shared)
        else:
            kind = "symbol_change" if ratio == 1 and action == "Name Change" else "merger"
            one = joined(
                gives,
                [gets],
                kind=kind,
                into=gets.cells["symbol"],
                ratio="" if kind == "symbol_change" else ratio,
                **shared,
            )
        made[id(gives)], made[id(gets)] = None, one
    records = [found for r in records if (found := made.get(id(r), r)) is not None]
    return with_ratios(with_taxes(records, lambda r: (r.cells["date"], s) if (s := r.cells.get("symbol")) else None))


def _first_word(record: Record) -> str:
    return record.cells.get("name", "").split(" ")[0][:6]


table_format("schwab", "Charles Schwab", ("Action", "Symbol", "Fees & Comm", "Amount"), MAP, prepare, group)
