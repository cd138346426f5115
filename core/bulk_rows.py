"""Reading a CSV file of securities: its text, its header, its rows, and cells as spreadsheets write them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.brokers.sheet import lines_of, sheet, text_of
from core.importing import NotReadable, unguarded
from core.master import FIELDS, InvalidDividend, InvalidField, InvalidPrice, MasterError, nearest

NEEDED = ("symbol", "asset_class")
REMARKS = ("line", "verdict", "why")  # what our own lists of verdicts have beside the fields: read over
MOST = 50_000  # rows of one file
LONGEST = 100_000  # characters of a line
NUMBERS: Mapping[str, type[MasterError]] = {
    "par_value": InvalidField,
    "price": InvalidPrice,
    "dividend": InvalidDividend,
}
DATES = ("issued_on", "matures_on", "priced_on", "dividend_ex_on", "dividend_pay_on")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: its first line, its cells by field, and what is wrong with it before any cell is read."""

    line: int
    cells: Mapping[str, str]
    faults: tuple[MasterError, ...] = ()


def rows_of(raw: bytes) -> list[Row]:
    """The rows of a file: UTF-8, UTF-16 or Windows-1252, as it is or as .gz, parted by comma, semicolon or tab. Raises NotReadable.

    Numbers have a decimal point; in a file parted by semicolons a decimal comma where its numbers say so. Dates are year
    first, or day, month and year with points between them.
    """
    text = text_of(raw, "a CSV file is needed (from a spreadsheet: save as CSV UTF-8)", strict=True)
    if (count := max(text.count("\n"), text.count("\r")) + 1) > 4 * MOST:
        raise NotReadable(f"the file has {count:,} lines; up to {MOST:,} rows are read at once: split it")
    lines = lines_of(text)
    if long := next((n for n, line in enumerate(lines, 1) if len(line) > LONGEST), 0):
        raise NotReadable(f"line {long} has {len(lines[long - 1]):,} characters; up to {LONGEST:,} are read in a line")
    header = next((n for n, line in enumerate(lines, 1) if line.strip()), None)
    if header is None:
        raise NotReadable("the file is empty: a header line and at least one row are needed")
    first = lines[header - 1]
    delimiter = max(",;\t", key=first.count)
    names = _names(first, delimiter)
    table = sheet(text, delimiter, header)
    if not table.rows:
        raise NotReadable("the file has a header but no rows")
    if len(table.rows) > MOST:
        raise NotReadable(f"the file has {len(table.rows):,} rows; up to {MOST:,} are read at once: split it")
    rows = []
    for each in table.rows:
        values = [*each.cells.values(), *each.beyond]
        cells = {n: unguarded(c) for n, c in zip(names, values, strict=False) if n not in REMARKS}
        faults = _failed(cells)
        if broken := each.broken or _swallowed(lines, each.lines, delimiter):
            last = f" to {each.lines[-1]}" if len(each.lines) > 1 else ""
            faults = (InvalidField("row", f"line{'s' * bool(last)} {each.lines[0]}{last}", broken),)
        elif any(values[len(names) :]):
            faults = (InvalidField("row", f"with {len(values)} cells", f"the header has {len(names)} columns"), *faults)
        rows.append(Row(each.lines[0], cells, faults))
    rows = _with_points(rows) if delimiter == ";" else rows
    return [_year_first(row) for row in rows] if set(DATES) & set(names) else rows


# --- header -----------------------------------------------------------------------------------------------------------


def _names(header: str, delimiter: str) -> list[str]:
    """Our names of the columns, in the file's order. Raises NotReadable."""
    try:
        cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True))
    except csv.Error as e:
        raise NotReadable(f"the first line cannot be read as a header: {e}") from None
    names = ["_".join(c.strip().strip('"').lower().split()) for c in cells]
    while names and not names[-1]:  # a delimiter at the end of every line
        names.pop()
    unknown = [n for n in names if n and n not in FIELDS and n not in REMARKS]
    if unknown:
        listed = ", ".join(f"{n[:40]!r}{_near(n)}" for n in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise NotReadable(f"unknown column{'' if len(unknown) == 1 else 's'} {listed}. There are {', '.join(FIELDS)}")
    if "" in names:
        raise NotReadable(f"column {names.index('') + 1} has no name in the header: name it, or take it out")
    if twice := [n for n, count in Counter(names).items() if count > 1]:
        raise NotReadable(f"the header names the column {twice[0]!r} twice")
    if missing := [n for n in NEEDED if n not in names]:
        raise NotReadable(f"the header has no column {' and none '.join(map(repr, missing))}: every security needs one")
    return names


def _near(name: str) -> str:
    near = nearest(name, tuple(FIELDS))
    return f" (did you mean {near!r}?)" if near else ""


# --- rows and cells ---------------------------------------------------------------------------------------------------

_SHORTENED = re.compile(r"\d+([.,]\d+)?E[+-]?\d+", re.ASCII | re.IGNORECASE)
_ERRORS = re.compile(r"#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|NV|WERT!|BEZUG!|ZAHL!)", re.IGNORECASE)


def _failed(cells: Mapping[str, str]) -> tuple[MasterError, ...]:
    """Cells in which a spreadsheet shows that it could not work them out, or a number without most of its digits."""
    errors = tuple(
        InvalidField(name, text, "a formula of the spreadsheet failed here: write the value")
        for name, text in cells.items()
        if text[:1] == "#" and _ERRORS.fullmatch(text)
    )
    short = (
        kind(name, text, "a spreadsheet shortened it: write the number with all its digits")
        for name, kind in NUMBERS.items()
        if (text := cells.get(name, "")) and _SHORTENED.fullmatch(text)
    )
    return (*errors, *short)


def _swallowed(lines: Sequence[str], numbers: Sequence[int], delimiter: str) -> str:
    """Why a row of several lines is none: a lost quotation mark makes one cell of all lines that follow it."""
    if len(numbers) == 1 and lines[numbers[0] - 1].count('"') % 2 == 0:
        return ""
    try:
        list(csv.reader(lines[numbers[0] - 1 : numbers[-1]], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return "a quotation mark is opened and not closed where the cell ends: correct it"
    return ""


_COMMA = re.compile(r"(\d{1,3}(?:\.\d{3})+|\d+)(,\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}", re.ASCII)


def _with_points(rows: list[Row]) -> list[Row]:
    """Rows whose numbers have decimal points. Which mark the file uses say those of its numbers that have one meaning."""
    votes = Counter(mark for row in rows for name in NUMBERS if (mark := _mark(row.cells.get(name, ""))))
    if votes["."] > votes[","]:
        return rows
    out = []
    for row in rows:
        cells, faults = dict(row.cells), list(row.faults)
        for name, kind in NUMBERS.items():
            text = cells.get(name, "")
            if _THOUSANDS.fullmatch(text) and not votes[","]:
                meant = f"{text.replace('.', '')} or {text.replace('.', ',')}"
                faults.append(kind(name, text, f"it can mean two numbers: write {meant}"))
            elif _COMMA.fullmatch(text):
                cells[name] = text.replace(".", "").replace(",", ".")
        out.append(Row(row.line, cells, tuple(faults)))
    return out


def _mark(text: str) -> str:
    """What stands before the decimals of a number, "" where that is not certain."""
    found = re.fullmatch(r"([\d.,]*)([.,])(\d+)", text, re.ASCII)
    if found is None:
        return ""
    mark, other = found[2], "," if found[2] == "." else "."
    sure = len(found[3]) != 3 or other in found[1] or found[1] in ("", "0")
    return mark if sure and mark not in found[1] else ""


_POINTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)  # with slashes it could be the month that comes first


def _year_first(row: Row) -> Row:
    """The row with its dates as we write them."""
    found = {n: d for n in DATES if (d := _POINTED.fullmatch(row.cells.get(n, "")))}
    if not found:
        return row
    return replace(row, cells={**row.cells, **{n: f"{d[3]}-{d[2]:0>2}-{d[1]:0>2}" for n, d in found.items()}})
