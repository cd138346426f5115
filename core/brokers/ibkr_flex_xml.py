"""Interactive Brokers, Flex query as XML: trades, cash transactions, corporate actions, transfers and sales taxes.

Dates are the broker's own; cash counts on its settlement date. Executions are booked; orders and summaries beside
them, and what `FxTransactions` say again, are skipped. Sections of balances and results are not events: they are
named in the notes. A commission in another currency is a fee of its own, both sides of a corporate action are one
record. Of a CFD only the cash that moves is booked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from core.brokers.columns import (
    Cell,
    ColumnMap,
    NothingToBook,
    amount_of,
    as_ratio,
    filled,
    in_order,
    isin_cell,
    joined,
    normal,
    symbol_cell,
    text_cell,
    with_taxes,
)
from core.brokers.elements import Element, tree
from core.brokers.ibkr_flex_csv import told
from core.brokers.registry import Format, Record, Statement, register
from core.brokers.sheet import moment, number
from core.ledger import LedgerError

EVENTS = frozenset({"Trades", "CashTransactions", "CorporateActions", "Transfers", "SalesTaxes", "FxTransactions",
                    "TransactionTaxes"})  # fmt: skip
SILENT = frozenset({"AccountInformation", "SecuritiesInfo", "ConversionRates"})
CASH_KINDS = {
    "Dividends": "dividend", "Payment In Lieu Of Dividends": "dividend", "Withholding Tax": "tax",
    "871(m) Withholding": "tax", "Broker Interest Paid": "interest", "Broker Interest Received": "interest",
    "Bond Interest Paid": "interest", "Bond Interest Received": "interest", "Deposits/Withdrawals": "transfer",
    "Deposits & Withdrawals": "transfer", "Other Fees": "fee", "Broker Fees": "fee", "Commission Adjustments": "fee",
    "Price Adjustments": "interest", "Advisor Fees": "fee", "Other Income": "interest",
    "return of capital": "return_of_capital",
}  # fmt: skip
MAP = ColumnMap(columns={"date": "date"}, kinds={**CASH_KINDS, "fx": "fx"})
EXCHANGES = {
    "NASDAQ": "XNAS", "NYSE": "XNYS", "IBIS": "XETR", "IBIS2": "XETR", "LSE": "XLON", "LSEETF": "XLON", "SBF": "XPAR",
    "AEB": "XAMS", "EBS": "XSWX", "VIRTX": "XSWX", "TSE": "XTSE", "TSEJ": "XTKS",
}  # fmt: skip


def shared(e: Element, account: str) -> dict[str, str]:
    """The texts that trades, cash transactions and corporate actions have in common."""
    a = e.attributes
    listed = a.get("listingExchange", "")
    return {
        "symbol": a.get("symbol", ""), "isin": a.get("isin", ""), "currency": a.get("currency", ""), "account": account,
        "exchange": EXCHANGES.get(listed, "") if a.get("symbol") else "",
    }  # fmt: skip


def trade(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    a = e.attributes
    if a.get("levelOfDetail", "EXECUTION") not in ("EXECUTION", ""):
        raise NothingToBook("a summary of executions that stand beside it")
    values |= {"date": a.get("tradeDate") or a.get("dateTime", ""), "settlement": a.get("settleDateTarget", ""),
               "name": a.get("description", ""), "reference": a.get("tradeID") or a.get("transactionID", "")}  # fmt: skip
    values["reference"] = "" if values["reference"] == "N/A" else values["reference"]
    quantity, price = number("quantity", a.get("quantity", "")), number("price", a.get("tradePrice", ""))
    commission = number("fees", a.get("ibCommission", "")) or Decimal(0)
    taxes, proceeds = number("taxes", a.get("taxes", "")), number("gross", a.get("proceeds", ""))
    multiplier = number("price", a.get("multiplier", "")) or Decimal(1)
    if not quantity or price is None:
        raise LedgerError("quantity", a.get("quantity", ""), "a trade needs its quantity and price")
    values["fees_currency"] = a.get("ibCommissionCurrency", "")
    values["rebate" if commission > 0 else "fees"] = str(abs(commission)) if commission else ""
    if a.get("assetCategory") == "CFD":
        if not commission:
            raise NothingToBook("a CFD moves no cash when it is traded")
        values |= {"kind": "fee", "gross": str(commission), "fees": "", "rebate": "", "name": "", "settlement": "",
                   "currency": values["fees_currency"] or values["currency"], "fees_currency": "", "symbol": "",
                   "note": f"commission on a CFD, {a.get('buySell', '')} {a.get('quantity', '')} {a.get('symbol', '')}"}  # fmt: skip
        return normal(values, MAP)
    if a.get("assetCategory") == "CASH":
        values |= {"kind": "fx", "quantity": a["quantity"], "price": a["tradePrice"], "gross": a.get("proceeds", ""),
                   "exchange": "", "name": "", "note": "conversion", "settlement": ""}  # fmt: skip
        return normal(values, MAP)
    side, opens = a.get("buySell", ""), a.get("openCloseIndicator", "")
    if "(Ca.)" in side:
        raise LedgerError("kind", side, "the trade that this cancels was not found in the file")
    bought = side.startswith("BUY") if side else quantity > 0
    values["kind"] = ("cover" if opens == "C" else "buy") if bought else ("short" if opens == "O" else "sell")
    values |= {"quantity": str(abs(quantity)), "price": str(price * multiplier)}
    values["gross"] = str(abs(proceeds)) if proceeds is not None else ""
    values["taxes"] = str(-taxes) if taxes else ""
    if not proceeds and not price:
        values["gross"] = ""
    return normal(values, MAP)


def cash(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    a = e.attributes
    if a.get("levelOfDetail") == "SUMMARY":
        raise NothingToBook("a summary of cash transactions that stand beside it")
    said = a.get("description", "")
    kind = a.get("type", "")
    if kind == "Dividends" and "return of capital" in said.lower():
        kind = "return of capital"
    day = a.get("settleDate") or a.get("reportDate") or a.get("dateTime", "")
    reference = a.get("transactionID", "")
    values |= {"date": day, "kind": kind, "gross": a.get("amount", ""), "note": said, "reference": reference}
    if values["symbol"] and not values["isin"] and (of := re.match(r"[\w. ]+?\s?\(([A-Z]{2}[A-Z0-9]{9}\d)\)", said)):
        values["isin"] = of[1]
    return normal(values, MAP)


def sales_tax(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    a = e.attributes
    note = " ".join(filter(None, (a.get("taxType", ""), a.get("taxableDescription", ""))))
    values |= {"date": a.get("date", ""), "kind": "Withholding Tax", "gross": a.get("salesTax", ""), "note": note,
               "reference": a.get("transactionID", "")}  # fmt: skip
    return normal(values, MAP)


def transfer(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    a = e.attributes
    kind = "transfer out" if a.get("direction", "").upper() == "OUT" else "transfer in"
    values |= {"date": a.get("date") or a.get("reportDate", ""), "kind": kind, "note": a.get("type", ""),
               "reference": a.get("transactionID", "")}  # fmt: skip
    if quantity := number("quantity", a.get("quantity", "")):
        values |= {"quantity": str(abs(quantity)), "gross": a.get("positionAmount", "").lstrip("-"),
                   "name": a.get("description", "")}  # fmt: skip
    else:
        values |= {"gross": a.get("cashTransfer", "").lstrip("-"), "symbol": "", "isin": "", "exchange": ""}
    return normal(values, MAP)


def side_of_action(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    """One side of a corporate action, for `actions` to put together: signed quantity, cash, the text in `note`."""
    a = e.attributes
    day, _ = moment("date", a.get("reportDate") or a.get("dateTime", ""))
    cells = {"date": day.isoformat(), "kind": "merger", "symbol": symbol_cell(values["symbol"]),
             "exchange": values["exchange"], "isin": isin_cell(values["isin"]), "currency": values["currency"].upper(),
             "account": values["account"], "note": text_cell(a.get("actionDescription") or a.get("description", ""))}  # fmt: skip
    cells["reference"] = text_cell(a.get("actionID") or a.get("transactionID", ""), 120)
    quantity, proceeds = number("quantity", a.get("quantity", "")), number("gross", a.get("proceeds", ""))
    return [filled(cells, quantity=quantity or "", gross=proceeds or "")]


def again(e: Element, values: dict[str, str]) -> list[dict[str, str]]:
    raise NothingToBook("the result in base currency of a movement that another section reports")


READERS: dict[str, Callable[[Element, dict[str, str]], list[dict[str, str]]]] = {
    "Trades": trade, "CashTransactions": cash, "CorporateActions": side_of_action, "SalesTaxes": sales_tax,
    "Transfers": transfer, "FxTransactions": again, "TransactionTaxes": again,
}  # fmt: skip


def cancelled(elements: list[Element]) -> set[int]:
    """Places of cancellations and of the trades that they take back: same security, day, price and units."""
    gone: set[int] = set()
    trades: dict[tuple[str, ...], list[int]] = defaultdict(list)

    def same(e: Element) -> tuple[str, ...]:
        a = e.attributes
        names = ("symbol", "conid", "tradeDate", "tradePrice")
        return (*(a.get(n, "") for n in names), a.get("quantity", "").lstrip("-"))

    def takes_back(e: Element) -> bool:
        return "(Ca.)" in e.attributes.get("buySell", "") or e.attributes.get("transactionType") == "TradeCancel"

    for i, e in enumerate(elements):
        if e.tag == "Trade" and not takes_back(e):
            trades[same(e)].append(i)
    for i, e in enumerate(elements):
        if takes_back(e) and (found := trades[same(e)]):
            gone |= {i, found.pop(0)}
    return gone


def actions(records: list[Record]) -> list[Record]:
    """The sides of each corporate action as one record, by what its text says of it."""
    sides: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for r in records:
        if r.books and r.cells["kind"] == "merger":
            sides[r.cells.get("account", ""), r.cells["date"], core_of(r.cells.get("note", ""))].append(r)
    made: dict[int, Record | None] = {}
    for both in sides.values():
        made |= {id(r): None for r in both}
        made[id(both[0])] = exchange(both)
    return [found for r in records if (found := made.get(id(r), r)) is not None]


def core_of(text: str) -> str:
    """The text of an action without the side that the last parentheses name."""
    return re.sub(r"\s*\([^()]*\)\s*$", "", text)


def exchange(both: list[Record]) -> Record:
    """One record of the sides of an action: a split, a change of name, a spin-off, a merger for shares or cash."""
    gone = [r for r in both if amount_of(r, "quantity") < 0]
    come = [r for r in both if amount_of(r, "quantity") > 0]
    text = core_of(both[0].cells.get("note", ""))
    cash_in = sum((amount_of(r, "gross") for r in both), Decimal(0))
    parent = re.match(r"([\w. ]+?)\s?\(([A-Z]{2}[A-Z0-9]{9}\d)\)", text)
    quiet: dict[str, Cell] = {"quantity": "", "gross": "", "price": "", "note": text}
    terms = re.search(r"(\d+(?:\.\d+)?) FOR (\d+(?:\.\d+)?)", text)
    ratio = (
        as_ratio(Decimal(terms[1]), Decimal(terms[2])) if terms and Decimal(terms[2]) and Decimal(terms[1]) else None
    )
    if len(gone) == 1 and len(come) == 1:
        ratio = as_ratio(amount_of(come[0], "quantity"), -amount_of(gone[0], "quantity"))
    if re.search(r"\bSPLIT\b|STOCK DIVIDEND", text) and come and ratio and " DIVIDEND" not in text:
        isin = parent[2] if parent else come[0].cells.get("isin", "")
        return joined(come[0], both, kind="split", ratio=ratio, **{**quiet, "isin": isin})
    if "STOCK DIVIDEND" in text and len(come) == 1 and not gone:
        return joined(
            come[0], both, kind="buy", quantity=amount_of(come[0], "quantity"), price="0", gross="", note=text
        )
    if "SPINOFF" in text.replace("-", "").replace(" ", "") and len(come) == 1 and not gone and parent:
        return joined(come[0], both, kind="spin_off", symbol=parent[1], isin=parent[2], ratio=ratio, exchange="",
                      into=come[0].cells.get("symbol", ""), **quiet)  # fmt: skip
    if len(gone) == 1 and len(come) <= 1 and (come or cash_in > 0):
        old = gone[0]
        if not come:
            return joined(old, both, kind="merger", **{**quiet, "gross": cash_in})
        into = come[0].cells.get("symbol", "")
        if ratio == 1 and not cash_in:
            return joined(old, both, kind="symbol_change", into=into, **quiet)
        return joined(old, both, kind="merger", into=into, ratio=ratio, **{**quiet, "gross": cash_in or ""})
    expected = "a corporate action of this form must be entered by hand"
    return replace(joined(both[0], both), error=LedgerError("kind", text[:80], expected))


def payment(record: Record) -> tuple[str, ...] | None:
    text = record.cells.get("note", "")
    return (record.cells["date"], record.cells.get("account", ""), told(text)) if record.cells.get("symbol") else None


def read(text: str) -> Statement:
    root = tree(text)
    statements = [root, *root.inside] if root.tag == "FlexStatement" else root.all("FlexStatement")
    found: list[tuple[str, str, Element]] = []
    others: dict[str, None] = {}
    accounts = [s.attributes.get("accountId", "") for s in statements]
    for s, account in zip(statements, accounts, strict=True):
        for part in s.inside:
            if part.tag in EVENTS:
                found += [(part.tag, account, e) for e in part.inside]
            elif part.inside and part.tag not in SILENT:
                others[part.tag] = None
    lines = [e.line for _, _, e in found]
    if len(set(lines)) < len(lines):  # several elements in one line: count elements instead
        lines = list(range(1, len(found) + 1))
    gone = cancelled([e for _, _, e in found])
    many = len(set(accounts)) > 1
    records: list[Record] = []
    for i, ((section, account, e), line) in enumerate(zip(found, lines, strict=True)):
        values = shared(e, account if many else "")
        try:
            if i in gone:
                raise NothingToBook("a trade and its cancellation")
            every = READERS[section](e, values)
            records.append(Record(line, (line,), every[0]))
            records += [Record(line, (), cells) for cells in every[1:]]
        except NothingToBook as reason:
            records.append(Record(line, (line,), said(e), str(reason)))
        except ArithmeticError:
            expected = "its numbers are too large or too small to be of one transaction"
            records.append(Record(line, (line,), said(e), "", LedgerError("row", f"line {line}", expected)))
        except LedgerError as wrong:
            records.append(Record(line, (line,), said(e), "", wrong))
    records = with_taxes(actions(in_order(records)), payment, fees=True)
    notes = [f"Sections that hold no events and were not read: {', '.join(others)}."] if others else []
    if many:
        notes.append(f"The file holds {len(set(accounts))} accounts: {', '.join(dict.fromkeys(accounts))}.")
    return Statement("ibkr_flex_xml", "Interactive Brokers Flex query (XML)", tuple(records), tuple(notes))


def said(e: Element) -> dict[str, str]:
    """What an element that books nothing says, under our names where they fit."""
    a = e.attributes
    names = {"symbol": "symbol", "isin": "isin", "quantity": "quantity", "price": "tradePrice", "currency": "currency",
             "gross": "amount", "name": "description"}  # fmt: skip
    cells = {ours: text_cell(a[theirs]) for ours, theirs in names.items() if a.get(theirs)}
    try:
        day = moment("date", a.get("tradeDate") or a.get("reportDate") or a.get("date") or a.get("dateTime", ""))[0]
        cells["date"] = day.isoformat()
    except LedgerError:
        pass
    return filled(cells)


register(
    Format(
        "ibkr_flex_xml",
        "Interactive Brokers Flex query (XML)",
        "an XML file whose root is FlexQueryResponse",
        lambda text: text.lstrip()[:1] == "<" and "<FlexQueryResponse" in text[:4000],
        read,
    )
)
