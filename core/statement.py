"""A custodian's statement: positions and cash read from CSV (or from text cells), and which of our securities each line means.

Columns in any order and case; other headers for the same thing are in ALIASES. A line is cash where its type or symbol says
so, or where the file has only `currency` and `amount`. Numbers may have a decimal point or a decimal comma: the file decides,
a number that could be read in two ways is refused. One line that cannot be read refuses the file: a line left out would look
like a position that the custodian does not have.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from core.importing import NotReadable
from core.importing import day as day_of_text
from core.ledger import LedgerError, Security
from core.listings import Listings, several

COLUMNS = ("symbol", "isin", "name", "quantity", "price", "value", "currency", "type", "amount", "exchange", "date")
ALIASES = {
    "ticker": "symbol",
    "code": "symbol",
    "instrument": "symbol",
    "security": "name",
    "security name": "name",
    "description": "name",
    "instrument name": "name",
    "bezeichnung": "name",
    "shares": "quantity",
    "units": "quantity",
    "qty": "quantity",
    "position": "quantity",
    "nominal": "quantity",
    "holding": "quantity",
    "stück": "quantity",
    "market price": "price",
    "close": "price",
    "close price": "price",
    "last price": "price",
    "kurs": "price",
    "market value": "value",
    "marketvalue": "value",
    "position value": "value",
    "kurswert": "value",
    "ccy": "currency",
    "währung": "currency",
    "asset type": "type",
    "asset class": "type",
    "kind": "type",
    "balance": "amount",
    "cash balance": "amount",
    "betrag": "amount",
    "saldo": "amount",
    "market": "exchange",
    "as of": "date",
    "statement date": "date",
    "datum": "date",
}
TEMPLATE = (
    "type,symbol,isin,name,quantity,price,value,currency\r\n"
    "equity,AAPL,US0378331005,Apple Inc,10,185.50,1855.00,USD\r\n"
    "cash,CASH,,,,,2500.00,USD\r\n"
)
CASH_WORDS = frozenset({"cash", "cash balance", "currency", "konto", "liquidity", "liquidität"})
MOST_LINES = 20_000
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NUMBER = re.compile(r"[+-]?[0-9.,]*[0-9][0-9.,]*")
_BLANKS = str.maketrans("", "", " \u00a0\u202f'\u2019")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a statement. Of cash only `value` (the balance) and `currency` are there; `security` is ours, once identified."""

    line: int  # in the file, the header is line 1
    kind: Literal["position", "cash"]
    symbol: str = ""
    isin: str = ""
    name: str = ""
    exchange: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    value: Decimal | None = None
    currency: str = ""
    security: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """The lines of a file, and the date that it gives itself (None: it has no date column)."""

    lines: tuple[Line, ...]
    on: date | None


def read(text: str) -> Statement:
    """The statement in a CSV text. Raises NotReadable: the header, or every line (up to ten) that cannot be read and why."""
    text = text.lstrip("\r\n")
    first = text.split("\n", 1)[0]
    if not first.strip():
        raise NotReadable("the file is empty: a header line and at least one line are needed")
    delimiter = max(";,\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    names = [_column(cell) for cell in next(rows)]
    _check_header(names)
    records: list[tuple[int, dict[str, str]]] = []
    before = rows.line_num
    try:
        for cells in rows:
            line, before = before + 1, rows.line_num
            if not any(c.strip() for c in cells) or cells[0].lstrip().startswith("#"):
                continue
            if len(cells) > len(names) and any(c.strip() for c in cells[len(names) :]):
                raise NotReadable(f"line {line} has {len(cells)} cells, the header has {len(names)} columns")
            records.append((line, {n: c.strip() for n, c in zip(names, cells, strict=False)}))
            if len(records) > MOST_LINES:
                raise NotReadable(f"the file has more than {MOST_LINES:,} lines")
    except csv.Error as e:
        raise NotReadable(f"line {before + 1} cannot be read as CSV: {e}") from e
    return of_cells(records, delimiter)


def of_cells(records: Sequence[tuple[int, Mapping[str, str]]], delimiter: str = ",") -> Statement:
    """The statement in records of text cells, each with its line number. Raises NotReadable as `read` does."""
    records = [r for r in records if not _is_total(r[1])]
    if not records:
        raise NotReadable("the statement has a header but no lines")
    point = _decimal_sign(records, delimiter)
    lines: list[Line] = []
    dates: set[date] = set()
    wrong: list[str] = []
    for number, cells in records:
        try:
            lines.append(_line(number, cells, lambda field, text: amount(field, text, point)))
            if cells.get("date"):
                dates.add(day_of_text("date", cells["date"]))
        except LedgerError as e:
            wrong.append(f"line {number}: {e}")
    if wrong:
        more = f"; and {len(wrong) - 10} more lines" if len(wrong) > 10 else ""
        raise NotReadable("; ".join(wrong[:10]) + more)
    if len(dates) > 1:
        raise NotReadable(f"its lines are of {len(dates)} dates, {min(dates)} to {max(dates)}: one date is needed")
    return Statement(tuple(lines), dates.pop() if dates else None)


def _column(cell: str) -> str:
    name = " ".join(cell.lower().replace("_", " ").replace("-", " ").split())
    return ALIASES.get(name, name)


def _check_header(names: Sequence[str]) -> None:
    for name in names:
        if name in COLUMNS and names.count(name) > 1:
            raise NotReadable(f"the header names the column {name!r} twice")
    has = set(names)
    positions = bool(has & {"symbol", "isin", "name"}) and bool(has & {"quantity", "value", "amount"})
    if not positions and not {"currency", "amount"} <= has and not {"currency", "value"} <= has:
        raise NotReadable(
            f"the header has {', '.join(n for n in names[:12] if n) or 'nothing'}; for positions symbol (or isin, or name) and quantity "
            "are needed, for cash currency and amount"
        )


def _is_total(cells: Mapping[str, str]) -> bool:
    """Whether a line only sums up the others."""
    first = next((c for c in (cells.get(n, "") for n in ("symbol", "name", "type", "currency")) if c), "")
    return first.lower().rstrip(":") in ("total", "totals", "summe", "gesamt", "subtotal") and not cells.get("isin")


def _line(number: int, cells: Mapping[str, str], read_number: Callable[[str, str], Decimal | None]) -> Line:
    """One record. Raises LedgerError naming the field."""
    symbol, isin, currency = (cells.get(n, "").upper() for n in ("symbol", "isin", "currency"))
    quantity, price, value, balance = (
        read_number(n, cells.get(n, "")) for n in ("quantity", "price", "value", "amount")
    )
    kind = cells.get("type", "").lower()
    words = set(re.split(r"[\s._:-]+", symbol))
    named = symbol or isin or cells.get("name", "")
    if kind in CASH_WORDS or "CASH" in words or not named:
        if not currency:  # "CASH USD", or a line of type cash whose symbol is the currency
            currency = next((w for w in sorted(words - {"CASH"}) if _CURRENCY.fullmatch(w)), "")
        if not _CURRENCY.fullmatch(currency):
            raise LedgerError("currency", currency, "the ISO code of this cash is needed, such as USD")
        held = next((x for x in (balance, value, quantity) if x is not None), None)
        if held is None:
            raise LedgerError("amount", None, "the balance of this cash is needed")
        return Line(number, "cash", value=held, currency=currency)
    if isin and not _ISIN.fullmatch(isin):
        raise LedgerError("isin", isin, "two letters, nine letters or digits and a digit are needed, or leave it empty")
    if currency and not _CURRENCY.fullmatch(currency):
        raise LedgerError("currency", currency, "an ISO code such as USD is needed")
    if quantity is None:
        raise LedgerError("quantity", None, "the number of units is needed")
    if price is not None and price < 0:
        raise LedgerError("price", price, "a price may not be negative")
    worth = value if value is not None else balance
    if price is None and worth is not None and quantity:
        price = abs(worth / quantity).quantize(Decimal("1e-10"))
    return Line(
        number,
        "position",
        symbol,
        isin,
        cells.get("name", "")[:200],
        cells.get("exchange", "").upper(),
        quantity,
        price,
        worth,
        currency,
    )


# --- numbers -----------------------------------------------------------------------------------


def _signs(text: str) -> str:
    """What a number's separators say: "." or "," is its decimal sign, "?" it could be either, "" it has none."""
    text = text.translate(_BLANKS).strip("()+-")
    points, commas = text.count("."), text.count(",")
    if points and commas:
        return "." if text.rfind(".") > text.rfind(",") else ","
    if points + commas == 0:
        return ""
    sign = "." if points else ","
    if points + commas > 1:
        return "," if points else "."  # it stands several times: it groups
    whole, _, rest = text.partition(sign)
    return "?" if len(rest) == 3 and 1 <= len(whole) <= 3 and whole != "0" else sign


def _decimal_sign(records: Iterable[tuple[int, Mapping[str, str]]], delimiter: str) -> str:
    """The decimal sign of the whole file; "" where nothing in it tells. Raises NotReadable where lines disagree."""
    seen: dict[str, int] = {}
    for number, cells in records:
        for name in ("quantity", "price", "value", "amount"):
            found = _signs(cells.get(name, ""))
            if found in (".", ","):
                seen.setdefault(found, number)
    if len(seen) == 2:
        raise NotReadable(
            f"line {seen['.']} has a decimal point, line {seen[',']} a decimal comma: one of them is needed throughout"
        )
    return next(iter(seen), "." if delimiter == "," else "")


def amount(field: str, text: str, point: str) -> Decimal | None:
    """A number with this decimal sign; thousands may be grouped, (1.00) and 1.00- are negative. None where empty.

    `point` "": the file did not tell; then a number that could be read in two ways raises LedgerError, as one that is none.
    """
    bare = text.translate(_BLANKS)
    if not bare or bare in ("-", "–", "n/a", "N/A"):
        return None
    negative = bare.startswith("(") and bare.endswith(")")
    bare = bare.strip("()")
    if bare.endswith("-"):
        negative, bare = True, bare[:-1]
    if not _NUMBER.fullmatch(bare):
        raise LedgerError(field, text, "a number such as 1234.56 or 1.234,56 is needed")
    sign = _signs(bare)
    if sign == "?" and not point:
        raise LedgerError(field, text, "this can be read in two ways: write 1234 or 1.2340 instead")
    decimal = point or sign or "."
    group = "," if decimal == "." else "."
    whole, _, rest = bare.partition(decimal)
    groups = whole.lstrip("+-").split(group)
    if (
        group in rest
        or decimal in rest
        or (len(groups) > 1 and (len(groups[0]) > 3 or any(len(g) != 3 for g in groups[1:])))
    ):
        raise LedgerError(field, text, f"a number with the decimal sign {decimal!r}, as in the other lines, is needed")
    value = Decimal(whole.replace(group, "") + ("." + rest if rest else ""))
    if abs(value) >= Decimal(10) ** 18 or len(rest) > 10:
        raise LedgerError(field, text, "at most 18 digits and 10 decimals")
    return -value if negative else value


# --- which security a line means -----------------------------------------------------------------


def identified(
    lines: Iterable[Line],
    listed: Listings,
    isins: Mapping[int, str],
    held: Iterable[int],
    on: date,
    *,
    anew: bool = True,
) -> list[Line]:
    """The lines with our security's number: by ISIN, else by what had the symbol on the statement's day, else by name; None where
    there is none.

    Of several listings the one with the line's symbol, exchange and currency is taken, then one that is held. Raises LedgerError
    where that leaves several; not `anew`: such a line keeps the security that it was found to mean before.
    """
    by_isin: dict[str, list[Security]] = {}
    by_name: dict[str, list[Security]] = {}
    for s in listed.every:
        if isin := isins.get(s.security_id):
            by_isin.setdefault(isin, []).append(s)
        by_name.setdefault(s.name.casefold(), []).append(s)
    mine = set(held)
    out = []
    for line in lines:
        if line.kind == "position":
            exchange, _, symbol = line.symbol.rpartition(":")
            exchange = line.exchange or exchange
            called = [s for s, _ in listed.meant(symbol, on)] if symbol else []
            found = by_isin.get(line.isin) or [
                s
                for s in called or by_name.get(line.name.casefold()) or []
                if not line.isin or isins.get(s.security_id) in (None, line.isin)
            ]
            best = _likeliest(found, called, exchange, line.currency, mine)
            number = best[0].security_id if best else None
            if len(best) > 1:
                number = line.security if line.security in {s.security_id for s in best} else None
                if anew and number is None:
                    what = symbol or line.isin or line.name
                    raise LedgerError("symbol", what, f"line {line.line}: {several(what, [s.exchange for s in best])}")
            line = replace(line, security=number)
        out.append(line)
    return out


def _likeliest(
    found: Sequence[Security], called: Sequence[Security], exchange: str, currency: str, held: Collection[int]
) -> list[Security]:
    """Those for which most speaks, in this order: the symbol, the exchange, the currency, that they are held."""

    def against(s: Security) -> tuple[bool, ...]:
        return (
            s not in called,
            s.exchange != exchange,
            bool(currency) and s.currency != currency,
            s.security_id not in held,
        )

    least = min(map(against, found), default=())
    return [s for s in found if against(s) == least]
