"""Reading transactions from CSV: our own format. Broker formats stand beside this one, in core.brokers.

Columns, in any order and case: see COLUMNS. `date` and `kind` are required; what else is needed depends on the kind.
`into` names the security that a spin-off, merger or symbol change ends in, `lots` the chosen lots as id:units;id:units,
`counterparty` the name of whom it went through, `ratio` new units for old ones: 1:3, 4:1, or a number (core.ratio).
A file with LEDGER too is a whole ledger (core.exporting): its entries keep their ids and what refers to them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from uuid import UUID

from core.ledger import Draft, LedgerError, Security
from core.listings import Listings, renamed
from core.ratio import ratio_text, read_ratio

COLUMNS = (
    "date",
    "kind",
    "symbol",
    "quantity",
    "price",
    "gross",
    "fees",
    "taxes",
    "currency",
    "fx",
    "ratio",
    "settlement",
    "exchange",
    "isin",
    "name",
    "into",
    "fraction",
    "basis",
    "basis_base",
    "acquired",
    "lots",
    "counterparty",
    "note",
    "reference",
)
GUARDED = ("note", "name", "counterparty")  # free text, see `guarded`
# what a whole ledger has beside COLUMNS: ids of entries, and the key under which an entry is booked once
LEDGER = ("id", "reverses", "corrects", "place", "link", "key")
ALIASES = {
    "trade date": "date",
    "trade_date": "date",
    "traded_on": "date",
    "type": "kind",
    "action": "kind",
    "transaction_type": "kind",
    "ticker": "symbol",
    "shares": "quantity",
    "units": "quantity",
    "amount": "gross",
    "fee": "fees",
    "commission": "fees",
    "tax": "taxes",
    "withholding": "taxes",
    "settles_on": "settlement",
    "settlement_date": "settlement",
    "notes": "note",
    "comment": "note",
    "id": "reference",
    "fx rate": "fx",
    "fx_rate": "fx",
}
TEMPLATE = (
    "date,kind,symbol,quantity,price,gross,fees,taxes,currency,note\r\n"
    "2026-01-05,deposit,,,,10000.00,,,USD,opening balance\r\n"
    "2026-01-06,buy,AAPL,10,185.50,,1.00,,USD,\r\n"
)


class NotReadable(ValueError):
    """The file as a whole cannot be read: says why and what would be right."""


def decoded(raw: bytes) -> str:
    """The text of a file: UTF-8 (with or without a mark), else Windows-1252. NotReadable on binary data."""
    if b"\x00" in raw:  # no text, and no cell the ledger could keep
        raise NotReadable("this is not a text file: a CSV file is needed (from a spreadsheet: save as CSV)")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def header_of(text: str) -> tuple[list[str], str]:
    """(our column names in the file's order, the delimiter). NotReadable where the required columns are missing."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    if not first.strip():
        raise NotReadable("the file is empty: a header line and at least one row are needed")
    delimiter = max(",;\t", key=first.count)
    names = [n.strip().lower() for n in next(csv.reader([first.rstrip("\r")], delimiter=delimiter))]
    whole = {"id", "reverses"} <= set(names)
    names = [n if whole and n in LEDGER else ALIASES.get(n, n) for n in names]
    for needed in ("date", "kind"):
        if needed not in names:
            raise NotReadable(
                f"the header has no column {needed!r}; it has {', '.join(names[:12])}. Expected: {', '.join(COLUMNS)}"
            )
    for name in names:
        if name in COLUMNS and names.count(name) > 1:
            raise NotReadable(f"the header names the column {name!r} twice")
    return names, delimiter


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it stands in the file: the lines that it fills, its cells by our names, or why it cannot be read."""

    lines: tuple[int, ...]
    cells: Mapping[str, str]
    error: LedgerError | None = None


def is_ledger(names: Sequence[str]) -> bool:
    """Whether these columns are those of a whole ledger, with ids."""
    return {"id", "reverses"} <= set(names)


def lines_of(text: str) -> Iterator[Line]:
    """The rows of a file in our own format. Empty lines and those that begin with # are passed over. NotReadable."""
    above = len(text) - len(text.lstrip("\r\n"))
    skipped = text[:above].count("\n")
    text = text[above:]
    names, delimiter = header_of(text)
    whole = is_ledger(names)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    next(reader)
    before = reader.line_num
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            error = LedgerError("row", f"line {before + skipped + 1}", f"it cannot be read as CSV: {e}")
            yield Line((before + skipped + 1,), {}, error)
            return
        lines, before = tuple(range(before + skipped + 1, reader.line_num + skipped + 1)), reader.line_num
        if not any(c.strip() for c in cells) or cells[0].startswith("#"):
            continue
        record = {n: c.strip() for n, c in zip(names, cells, strict=False)}
        if whole:
            record |= {n: unguarded(c) for n, c in zip(names, cells, strict=False) if n in GUARDED}
        if len(cells) > len(names) and any(c.strip() for c in cells[len(names) :]):
            error = LedgerError("row", f"with {len(cells)} cells", f"the header has {len(names)} columns")
            yield Line(lines, record, error)
            continue
        yield Line(lines, record)


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def guarded(text: str) -> str:
    """Text of which a spreadsheet makes no formula; `unguarded` gives back the very same text."""
    return "'" + text if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What was guarded."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def draft(
    cells: Mapping[str, str],
    listed: Listings,
    currencies: frozenset[str],
    base_currency: str,
    instead_of: Draft | None = None,
) -> Draft:
    """One record of text cells as a Draft. Raises LedgerError naming the field. The form uses it too.

    `instead_of`: what it corrects, whose securities stay where the cells call them as they are called now.
    """
    was = instead_of
    security = _security(cells, listed, "symbol", was.security if was else None)
    into = _security(cells, listed, "into", was.into if was else None)
    return drafted(cells, security, into, currencies, base_currency)


def drafted(
    cells: Mapping[str, str],
    security: Security | None,
    into: Security | None,
    currencies: frozenset[str],
    base_currency: str,
) -> Draft:
    """The same where the securities are known already."""
    kind = cells.get("kind", "").lower().replace(" ", "_").replace("-", "_")
    currency = cells.get("currency", "").upper() or (security.currency if security else base_currency)
    if currency not in currencies:
        raise LedgerError("currency", currency, "an ISO code such as USD or EUR is needed")
    settlement = cells.get("settlement", "")
    return Draft(
        kind=kind,
        traded_on=day("date", cells.get("date", "")),
        currency=currency,
        security=security,
        quantity=number("quantity", cells.get("quantity", "")),
        price=number("price", cells.get("price", "")),
        gross=number("gross", cells.get("gross", "")),
        fees=number("fees", cells.get("fees", "")) or Decimal(0),
        taxes=number("taxes", cells.get("taxes", "")) or Decimal(0),
        fx=number("fx", cells.get("fx", "")),
        ratio=read_ratio(cells.get("ratio", "")),
        settles_on=day("settlement", settlement) if settlement else None,
        into=into,
        fraction=number("fraction", cells.get("fraction", "")),
        basis=number("basis", cells.get("basis", "")),
        basis_base=number("basis_base", cells.get("basis_base", "")),
        acquired_on=day("acquired", cells["acquired"]) if cells.get("acquired") else None,
        lots=chosen(cells.get("lots", "")),
        note=cells.get("note", "")[:500],
        reference=cells.get("reference", "")[:120],
        counterparty=cells.get("counterparty", ""),
    )


def cells_of(d: Draft) -> dict[str, str]:
    """A draft as text cells, which `draft` reads back; empty ones are left out."""
    numbers = ("quantity", "price", "gross", "fees", "taxes", "fx", "fraction", "basis", "basis_base")
    cells = {
        "date": d.traded_on.isoformat(),
        "kind": d.kind,
        "currency": d.currency,
        "counterparty": d.counterparty,
        "note": d.note,
    }
    if d.security is not None:
        cells |= {"symbol": d.security.symbol, "exchange": d.security.exchange}
    if d.into is not None:
        cells["into"] = f"{d.into.exchange}:{d.into.symbol}"
    cells |= {name: plain(value) for name in numbers if (value := getattr(d, name)) is not None}
    if d.ratio is not None:
        cells["ratio"] = ratio_text(d.ratio)
    for name in ("fees", "taxes"):
        if cells[name] == "0":
            del cells[name]
    if d.settles_on is not None:
        cells["settlement"] = d.settles_on.isoformat()
    if d.acquired_on is not None:
        cells["acquired"] = d.acquired_on.isoformat()
    cells["lots"] = ";".join(f"{lot}:{plain(units)}" for lot, units in d.lots)
    return {name: value for name, value in cells.items() if value}


def plain(value: Decimal) -> str:
    """A decimal without trailing zeros or exponent: 1855, 0.5."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def amended(cells: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Cells with some changed. What followed from them follows anew: the gross of a trade from quantity and price, the
    settlement date from the trade date, unless it is changed itself."""
    new = {**cells, **changes}
    differs = {name for name in changes if changes[name] != cells.get(name, "")}
    if cells.get("price") and cells.get("quantity") and differs & {"quantity", "price"} and "gross" not in differs:
        new["gross"] = ""
    if "date" in differs and "settlement" not in differs:
        new["settlement"] = ""
    if differs & {"symbol", "kind"}:
        new |= {name: "" for name in ("exchange", "currency") if name not in changes and "symbol" in differs}
    return new


def _security(cells: Mapping[str, str], listed: Listings, field: str, was: Security | None) -> Security | None:
    """The security that a cell names on the record's day."""
    symbol = cells.get(field, "").strip().upper()
    if not symbol:
        return None
    exchange = cells.get("exchange", "").strip().upper()
    place, _, bare = symbol.rpartition(":")
    if was is not None and bare == was.symbol and (place or exchange or was.exchange) == was.exchange:
        return was
    try:
        on: date | None = day("date", cells.get("date", ""))
    except LedgerError:
        on = None  # `drafted` says so
    if field == "symbol" or place:
        return listed.find(symbol, exchange, on, field)
    try:
        return listed.find(symbol, exchange, on, field)
    except LedgerError:  # the new share of a merger may be listed elsewhere
        return listed.find(symbol, "", on, field)


def renamings(cells: Mapping[str, str], d: Draft) -> list[str]:
    """What to tell of symbols in the cells that their securities have no more."""
    pairs = ((cells.get("symbol", ""), d.security), (cells.get("into", ""), d.into))
    return [said for text, security in pairs if (said := renamed(text, security, d.traded_on))]


def chosen(text: str) -> tuple[tuple[UUID, Decimal], ...]:
    """Chosen lots from text: id:units;id:units. Raises LedgerError."""
    out = []
    for part in text.split(";") if text else ():
        lot, _, units = part.strip().partition(":")
        wanted = number("lots", units.strip())
        try:
            if wanted is None:
                raise ValueError
            out.append((UUID(lot.strip()), wanted))
        except ValueError as e:
            if isinstance(e, LedgerError):
                raise
            raise LedgerError(
                "lots", part, "lots are given as id:units;id:units, by the id of the entry that opened them"
            ) from None
    return tuple(out)


def day(field: str, text: str) -> date:
    """An ISO date. Raises LedgerError."""
    try:
        return date.fromisoformat(text[:10]) if len(text) <= 10 or text[10] in "T " else date.fromisoformat(text)
    except ValueError:
        raise LedgerError(field, text, "a date such as 2026-03-31 is needed") from None


def number(field: str, text: str) -> Decimal | None:
    """A decimal with a point; thousands separators are refused, not guessed. None where empty. Raises LedgerError."""
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        hint = "; use a decimal point and no thousands separators" if "," in text or " " in text else ""
        raise LedgerError(field, text, f"a number such as 1234.56 is needed{hint}") from None
    if not value.is_finite():
        raise LedgerError(field, text, "a number such as 1234.56 is needed")
    return value


def keys(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """Idempotency keys: the same contents give the same key, the second true duplicate in one file another one."""
    seen: dict[str, int] = {}
    for contents in rows:
        digest = hashlib.sha256("\x1f".join(contents).encode()).hexdigest()[:32]
        seen[digest] = seen.get(digest, 0) + 1
        yield f"{digest}:{seen[digest]}"
