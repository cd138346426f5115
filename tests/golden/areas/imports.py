"""Files of brokers, read as the product reads them: recognised, or under the column map that it proposes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from areas import Answers, Inputs, Refused, handles
from areas.books import LATER
from areas.datasets import path_of
from core import brokers, importing
from core.brokers import Record, Statement
from core.brokers.sheet import sheet, text_of
from core.brokers.totals import cash_of, security_of
from core.importing import NotReadable
from core.ledger import LedgerError, Security, post
from core.recognition import LEDGER, OWN, Recognised, UnknownFormat, recognise

CURRENCIES = frozenset(
    ("USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "HKD", "SGD")
)
TRADES = ("buy", "sell", "short", "cover")
NAMES = {"ibkr_transaction_history": "ibkr_history"}  # of brokers, where the product has another


def read(i: Inputs) -> tuple[Recognised, str]:
    """The file as it is recognised; a table that nobody described under the map that is proposed. Raises NotReadable."""
    raw = path_of(i["file"]).read_bytes()
    try:
        found = recognise(raw)
    except UnknownFormat as unknown:
        if unknown.proposed is None:
            raise
        found = recognise(raw, column_map=unknown.proposed)
    if "broker" in i and found.format != NAMES.get(i["broker"], i["broker"]):
        raise Refused(
            "former symbols and splits told in units alone are settled with the security master, not by a file alone"
            if i["broker"] == "raw"
            else f"a file of {i['broker']} is read as {found.format}"
        )
    return found, text_of(raw)


def judged(found: Recognised) -> list[Record]:
    """Its records, those of our own format judged as an import judges them, every symbol taken to be known."""
    return [_judged(one) if found.format in (OWN, LEDGER) and one.error is None else one for one in found.records]


def _judged(record: Record) -> Record:
    cells = record.cells
    try:
        of = security_of(cells)
        known = Security(1, of, of, "XNYS", cells.get("currency", "").upper() or "USD", "Equity") if of else None
        draft = importing.drafted(cells, known, None, CURRENCIES, "USD")
        post(draft, "USD", draft.traded_on, LATER)
    except LedgerError as error:
        return replace(record, error=error)
    return record


@handles("import_rows")
def import_rows(i: Inputs) -> Answers:
    """Rows of the account that trades most, trades of those in units and not in face value; sums are of the whole file."""
    found, _ = read(i)
    records = [one for one in judged(found) if one.books]
    answers: Answers = {
        "row_count": len({one.lines for one in records if one.lines}),
        "cash_sum": sum((cash_of(one)[1] for one in records), Decimal(0)),
    }
    if "subset" in i:
        if i["subset"] != "trades":
            raise Refused(f"does not know the subset {i['subset']!r}")
        records = [one for one in records if one.cells["kind"] in TRADES and not in_percent(one)]
        accounts = [one.cells.get("account", "") for one in records]
        records = [one for one in records if one.cells.get("account", "") == max(accounts, key=accounts.count)]
    answers["rows"] = [laid_out(one) for one in records]
    return answers


def in_percent(record: Record) -> bool:
    """Whether it trades a bond, whose units are its face value."""
    return "price" not in record.cells or (record.cells["price"] == "1" and not record.cells["symbol"].isalpha())


def laid_out(record: Record) -> Answers:
    """A record by the names of the cases; what it does not say is left out, but for a fee of 0."""
    cells = record.cells
    row = {
        "date": cells["date"],
        "type": cells["kind"],
        "symbol": security_of(cells),
        "settle": cells.get("settlement"),
    }
    row |= {name: cells[key] for name, key in (("qty", "quantity"), ("price", "price")) if cells.get(key)}
    row = {k: float(v) if k in ("qty", "price") else v for k, v in row.items() if v}
    return row | {"amount": cash_of(record)[1], "fee": float(cells.get("fees") or 0)}


WRONG = {"date": "invalid date", "kind": "unknown activity type", "currency": "invalid currency"}


@handles("import_hostile")
def import_hostile(i: Inputs) -> Answers:
    found, text = read(i)
    used = brokers.proposed(text)
    table, records = sheet(text, used.delimiter, used.header_line), judged(found)
    words = {row.lines[0]: row.cells[used.columns["kind"]] for row in table.rows}
    refused = {}
    for one in records:
        if one.error is not None:
            missing = one.error.value in (None, "") and one.error.field == "kind"
            why = "missing activity type" if missing else WRONG.get(one.error.field, f"non-numeric {one.error.field}")
            refused[one.cells["date"]] = why
    twice = brokers.duplicates(Statement(found.format, found.title, tuple(records)))
    said = [
        f"{one.cells['date']} {words[one.line]} {security_of(one.cells)} {one.cells.get('quantity', '')}".strip()
        for pair in twice
        for one in pair
    ]
    return {
        "preamble_lines": len(table.preamble),
        "header_line": table.header_line,
        "data_rows": len(table.rows) - len(table.footers),
        "footer_lines": len(table.footers),
        "must_reject_rows": refused,
        "duplicate_candidate": said,
        "splits": list(splits(records)),
    }


def splits(records: list[Record]) -> Iterable[Answers]:
    for one in records:
        if "ratio" in one.cells:
            ratio = Fraction(one.cells["ratio"]).limit_denominator(1000)
            shown = f"{ratio.numerator}:{ratio.denominator}"
            yield {"symbol": one.cells["symbol"], "ratio": shown, "date": one.cells["date"]}


@handles("import_reject")
def import_reject(i: Inputs) -> Answers:
    """Accepted is a file of which every row that is meant to be a transaction can be booked."""
    try:
        records = judged(read(i)[0])
    except NotReadable:
        return {"accepted": False}
    return {"accepted": any(one.books for one in records) and not any(one.error for one in records)}


@handles("import_balances")
def import_balances(i: Inputs) -> Answers:
    found, _ = read(i)
    sums = brokers.balances(Statement(found.format, found.title, found.records))
    return {
        "cash": next(iter(sums.cash.values())) if len(sums.cash) == 1 else dict(sums.cash),
        "positions": dict(sums.units),
        "dividends": dict(sums.dividends),
        "withholding": dict(sums.withheld),
        "trades": sum(1 for one in found.records if one.books and one.cells["kind"] in TRADES),
    }
