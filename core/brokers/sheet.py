"""The text of an export and the table in it: encodings, delimiters, the lines around the table, numbers and dates.

A number or date is read in every way that leaves no doubt; only where a way of writing has two meanings (1,234 or
03/04/2024) does the column map decide.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timezone
from decimal import Decimal, InvalidOperation
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.importing import NotReadable
from core.ledger import LedgerError

DELIMITERS = ",;\t|"
LOOK_AHEAD = 40  # lines in which a header is looked for
_SEP = re.compile(r"""\A"?sep=[,;|\t]"?[ ,;]*(?=[\r\n])""", re.IGNORECASE)
LARGEST_TEXT = 64 * 2**20  # bytes that a compressed file may unfold to
_KINDS = {b"%PDF": "a PDF", b"PK\x03\x04": "a spreadsheet or another packed file", b"\xd0\xcf\x11\xe0": "an old spreadsheet"}  # fmt: skip


def text_of(raw: bytes, wanted: str = "a broker's export as CSV or XML is needed", strict: bool = False) -> str:
    """The text of a file: UTF-8 or UTF-16 (with or without a mark), else Windows-1252; of a .gz file what is in it.

    Without the mark of its encoding and the line `sep=;` by which Excel is told the delimiter; lines keep their numbers.
    Bytes that are none in its encoding are refused where `strict`, else they become "\ufffd": a broker's file is as it is.

    Raises NotReadable on what is no text, with what is `wanted`; on a compressed file that is broken or unfolds to more than LARGEST_TEXT.
    """
    if raw.startswith(b"\x1f\x8b"):
        raw = _unfolded(raw)
    for mark, kind in _KINDS.items():
        if raw.startswith(mark):
            raise NotReadable(f"this is {kind}: {wanted}")
    no_text = NotReadable(f"this is not a text file: {wanted}")
    encoding = _encoding(raw)
    if not encoding:
        raise no_text
    try:
        text = raw.decode(encoding, errors="strict" if strict else "replace")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        names = "neither UTF-8 nor Windows-1252" if encoding in ("utf-8-sig", "cp1252") else "not UTF-16"
        raise NotReadable(
            f"the file is {names}: byte {raw[e.start]:#04x} in line {line} is none. Save it as CSV UTF-8 and send it again"
        ) from None
    if "\x00" in text:
        raise no_text
    return _SEP.sub("", text.lstrip("\ufeff"), count=1)


def _encoding(raw: bytes) -> str:
    """The encoding that a text is in; empty where it can be none. Letters in UTF-8 beside a byte that is none: damaged UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in raw:
        odd, even = raw[1:400:2].count(0), raw[0:400:2].count(0)
        if not max(odd, even) > 0.4 * len(raw[:400:2]) > min(odd, even) * 4:
            return ""
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252" if raw.decode("utf-8-sig", errors="ignore").isascii() else "utf-8-sig"
    return "utf-8-sig"


def _unfolded(raw: bytes) -> bytes:
    """What a gzip file holds, never more than LARGEST_TEXT of it in memory. Raises NotReadable."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            found = packed.read(LARGEST_TEXT + 1)
    except (OSError, EOFError, zlib.error):
        raise NotReadable("the compressed file is broken or cut off: download it again") from None
    if len(found) > LARGEST_TEXT:
        raise NotReadable(f"the compressed file holds more than {LARGEST_TEXT // 2**20} MB: split it")
    return found


class Cells(dict[str, str]):
    """The cells of a row by header: "" for a column that the file does not have."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the lines of the file that it fills, its cells by header, and cells beyond the header."""

    lines: tuple[int, ...]
    cells: Mapping[str, str]
    beyond: tuple[str, ...] = ()
    broken: str = ""  # why the CSV reader gave up here

    @property
    def filled(self) -> tuple[str, ...]:
        return (*(c for c in self.cells.values() if c), *(c for c in self.beyond if c))


_TOTAL = re.compile(r"\W*(grand total|sub-?total|totals?|summe|gesamt|totaal|somme)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table in a text file. Lines are counted from 1; `preamble` are the lines with text before the header."""

    preamble: tuple[str, ...]
    header_line: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str

    @property
    def footers(self) -> tuple[Row, ...]:
        """The rows that are a line of text and no transaction, see `is_text`."""
        return tuple(row for row in self.rows if self.is_text(row))

    def is_text(self, row: Row) -> bool:
        """Whether the row is a line of text (a total, a date of download), not a transaction.

        One cell of a table of four columns or more; or a total at the bottom, which a comma in its amount may part.
        """
        if row.broken or len(self.columns) < 4 or not row.filled:
            return False
        few = len(row.filled) <= 2 and _TOTAL.match(row.filled[0]) is not None
        return len(row.filled) == 1 or (few and row.lines[0] > max(self._long, default=0))

    @property
    def _long(self) -> list[int]:
        return [row.lines[0] for row in self.rows[-12:] if len(row.filled) > 2]


def header_names(cells: list[str]) -> tuple[str, ...]:
    """Names of the columns: as written, without blanks around; a nameless or repeated one gets the number of its place.

    A nameless one at the beginning, the index of a table that a program wrote, is "column 1".
    """
    names: list[str] = []
    before = ""
    for cell in cells:
        name = cell.strip().lstrip("\ufeff").strip('"') or before or f"column {len(names) + 1}"
        before = "" if name == f"column {len(names) + 1}" else name
        again = sum(1 for n in names if n == name or n.startswith(f"{name}."))
        names.append(f"{name}.{again + 1}" if again else name)
    return tuple(names)


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$")


def lines_of(text: str) -> list[str]:
    """The lines of a text as an editor counts them, each with its end."""
    return _LINE.findall(text)


def first_rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the first lines that hold anything, each line read by itself."""
    found = []
    for number, line in enumerate(islice(_LINE.finditer(text), LOOK_AHEAD), 1):
        if line[0].strip():
            try:
                found.append((number, next(csv.reader([line[0]], delimiter=delimiter, skipinitialspace=True))))
            except (csv.Error, StopIteration):
                continue
    return found


def sheet(text: str, delimiter: str, header_line: int) -> Sheet:
    """The table whose header stands in this line (counted from 1). Raises NotReadable where there is no such line."""
    lines = lines_of(text)
    if not 1 <= header_line <= len(lines):
        raise NotReadable(f"the file has {len(lines)} lines: there is no header in line {header_line}")
    reader = csv.reader(lines[header_line - 1 :], delimiter=delimiter, skipinitialspace=True)
    try:
        columns = header_names(next(reader))
    except (csv.Error, StopIteration) as e:
        raise NotReadable(f"line {header_line} cannot be read as a header: {e}") from None
    rows: list[Row] = []
    before = reader.line_num
    while True:
        try:
            cells = [c.strip() for c in next(reader)]
        except StopIteration:
            break
        except csv.Error as e:
            first = header_line + before
            rest = tuple(n for n in range(first, len(lines) + 1) if lines[n - 1].strip())
            rows.append(Row(rest or (first,), Cells(), (), f"it cannot be read as CSV: {e}"))
            break
        here = tuple(range(header_line + before, header_line + reader.line_num))
        before = reader.line_num
        if any(cells):
            here = tuple(n for n in here if n <= len(lines) and lines[n - 1].strip()) or here[:1]
            rows.append(Row(here, Cells(zip(columns, cells, strict=False)), tuple(cells[len(columns) :])))
    above = tuple(line.strip() for line in lines[: header_line - 1] if line.strip())
    return Sheet(above, header_line, columns, tuple(rows), delimiter)


def has_header(text: str, *names: str) -> tuple[int, str] | None:
    """(line, delimiter) of the first line that names all these columns, None where no line does."""
    for delimiter in DELIMITERS:
        for number, cells in first_rows(text, delimiter):
            if set(names) <= {c.strip().lstrip("\ufeff") for c in cells}:
                return number, delimiter
    return None


# --- numbers --------------------------------------------------------------------------------------------------------

_MONEY_WORDS = re.compile(
    r"^([A-Z]{3}|[A-Z]{0,3}[$€£¥₹₩₽₺zł]+|kr\.?|Fr\.?|CHF|R\$)\s*|\s*([A-Z]{3}|[$€£¥₹₩₽₺%]+|zł|kr\.?|Fr\.?)$"
)
_SIMPLE = re.compile(r"-?\d{1,18}(\.\d{1,20})?", re.ASCII)
_BLANKS = str.maketrans("", "", " \t\u00a0\u2007\u2009\u202f'’")
_GROUPS = {",": re.compile(r"[1-9]\d{0,2}(,\d{3})+"), ".": re.compile(r"[1-9]\d{0,2}(\.\d{3})+")}
EMPTY = frozenset({"", "-", "--", "–", "—", "n/a", "N/A", "nan", "Not available"})


def number(field: str, text: str, decimal: str = ".") -> Decimal | None:
    """A number as brokers write it, None where the cell is empty. Raises LedgerError.

    Currency signs and codes, blanks and apostrophes between thousands, parentheses or a sign before or behind for
    a negative one are read. Of a point and a comma the last is the decimal one; one alone before exactly three digits
    (1,234) means what `decimal` ("." or ",") says.
    """
    if text in EMPTY:
        return None
    if _SIMPLE.fullmatch(text) and (decimal == "." or "." not in text):
        return Decimal(text)
    wrong = LedgerError(field, text[:60], f"a number such as 1234{decimal}56 is needed")
    plain = text.strip().replace("−", "-")
    if plain in EMPTY:
        return None
    negative = False
    for _ in range(3):  # -$5, $-5, ($5), USD -5, 5.00 EUR-: whatever order they come in
        if len(plain) > 2 and plain[0] == "(" and plain[-1] == ")":
            plain, negative = plain[1:-1].strip(), not negative
        if plain[:1] in ("-", "+"):
            plain, negative = plain[1:].strip(), negative ^ (plain[0] == "-")
        if plain[-1:] == "-":
            plain, negative = plain[:-1].strip(), not negative
        plain = _MONEY_WORDS.sub("", plain).strip()
    plain = plain.translate(_BLANKS)
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        mark = "." if plain.rfind(".") > plain.rfind(",") else ","
        other = "," if mark == "." else "."
        whole, _, rest = plain.rpartition(mark)
        if mark in whole or not _GROUPS[other].fullmatch(whole):
            raise wrong
        plain = f"{whole.replace(other, '')}.{rest}"
    elif points + commas:
        mark = "." if points else ","
        if points + commas > 1 or (mark != decimal and _GROUPS[mark].fullmatch(plain)):
            if not _GROUPS[mark].fullmatch(plain):
                raise wrong
            plain = plain.replace(mark, "")
        else:
            plain = plain.replace(mark, ".")
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", plain, re.ASCII):
        raise wrong
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise wrong from None
    if abs(value) >= 10**18:
        raise LedgerError(field, text[:60], "at most 18 digits before the decimal point are kept")
    return -value if negative else value


def plain(value: Decimal) -> str:
    """A decimal as text: no exponent, no zeros behind the last decimal."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


# --- dates ----------------------------------------------------------------------------------------------------------

_MONTHS = {
    name: month
    for month, names in enumerate(
        ("jan januari januar janv janvier january", "feb februari februar févr fév février february",
         "mar mrt maart mär märz mars march", "apr april avr avril", "may mei mai", "jun juni juin june",
         "jul juli juil juillet july", "aug augustus august août aout", "sep sept september septembre",
         "oct okt oktober october octobre", "nov november novembre", "dec dez dezember december déc décembre"),
        1,
    )
    for name in names.split()
}  # fmt: skip
_NUMERIC = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})")
_NAMED = re.compile(r"(\d{1,2})[ .-]+([^\W\d_]+)[.,]?[ .-]+(\d{4})|([^\W\d_]+)[. ]+(\d{1,2}),?[ ]+(\d{4})")
_TIME = re.compile(r"(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,]\d+)?)?\s*([AaPp][Mm])?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?")


def moment(field: str, text: str, order: str = "dmy", zone: str = "") -> tuple[date, str]:
    """(trade date, time of day as HH:MM:SS or "") of a cell. Raises LedgerError.

    Year first, or a month by name, is read as it is; `order` ("dmy" or "mdy") says how 03/04/2024 is meant. A year
    has four digits. A time with an offset is moved to `zone` (an IANA name; "" leaves it at its own offset), so that
    the trade date is the one of the exchange or of the account and not of Greenwich.
    """
    what = {"dmy": "day, month, year", "mdy": "month, day, year"}.get(order, order)
    wrong = LedgerError(field, text[:60], f"a date such as 2026-03-31 is needed, or {what} with a year of four digits")
    cell = text.strip()
    head, _, tail = cell.partition("T") if re.match(r"\d{4}-\d\d-\d\dT", cell) else _parted(cell)
    try:
        if re.fullmatch(r"\d{8}", head, re.ASCII):
            day = date(int(head[:4]), int(head[4:6]), int(head[6:]))
        elif found := _NUMERIC.fullmatch(head):
            first, middle, last = found[1], int(found[3]), found[4]
            if len(first) == 4 and len(last) <= 2:
                day = date(int(first), middle, int(last))
            elif len(last) == 4 and len(first) <= 2:
                day = date(int(last), int(first), middle) if order == "mdy" else date(int(last), middle, int(first))
            else:
                raise wrong
        elif found := _NAMED.fullmatch(head):
            name = (found[2] or found[4]).lower().rstrip(".")
            if name not in _MONTHS:
                raise wrong
            day = date(int(found[3] or found[6]), _MONTHS[name], int(found[1] or found[5]))
        else:
            raise wrong
        return _at(day, tail.strip(" ,;"), zone, wrong)
    except ValueError as e:
        if isinstance(e, LedgerError):
            raise
        raise wrong from None


def _parted(cell: str) -> tuple[str, str, str]:
    """The date and the time of a cell, which a blank, a comma or a semicolon parts."""
    found = re.match(r"(.*?)[ ,;]+(\d{1,2}:?\d{2}(:?\d{2})?\b.*)$", cell)
    if found and not re.fullmatch(r"\d{4}", found[2]):
        return found[1].rstrip(" ,;"), " ", found[2]
    return cell, "", ""


def _at(day: date, tail: str, zone: str, wrong: LedgerError) -> tuple[date, str]:
    if not tail:
        return day, ""
    found = _TIME.fullmatch(tail)
    if not found:
        raise wrong
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if found[4]:
        hour = hour % 12 + (12 if found[4].lower() == "pm" else 0)
    at = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=_offset(found[5] or ""))
    if found[5] and zone:
        try:
            at = at.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, OverflowError):
            raise LedgerError("zone", zone, "a time zone such as Europe/Berlin is needed") from None
    return at.date(), f"{at:%H:%M:%S}"


def _offset(text: str) -> timezone:
    """The offset of a timestamp; without one its own clock is taken, which is Greenwich's by name only."""
    if text in ("", "Z", "UTC", "GMT"):
        return UTC
    return datetime.strptime(text.replace(":", ""), "%z").tzinfo or UTC  # type: ignore[return-value]
