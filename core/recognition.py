"""What a file of transactions is: our own format, a broker's, a table under a column map, or one that has to be mapped.

Whatever it is, it ends in records (core.brokers.Record): our columns as text, each with the lines it was made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from uuid import UUID

from core import brokers, importing
from core.brokers import ColumnMap, Record, Statement
from core.brokers.sheet import DELIMITERS, first_rows, header_names, moment, number, sheet, text_of
from core.importing import NotReadable
from core.ledger import KINDS, LedgerError

OWN, LEDGER, MAPPED = "own", "ledger", "map"
TITLES = {OWN: "Our own format", LEDGER: "A whole ledger of ours", MAPPED: "A column map of your own"}


@dataclass(frozen=True, slots=True)
class KeptMap:
    """A column map that somebody kept for files with this header. `shared`: everybody may use it."""

    map_id: UUID
    name: str
    fingerprint: str
    column_map: ColumnMap
    shared: bool
    mine: bool


def checked_map_name(text: str) -> str:
    """The name of a column map, without the spaces around it. Raises LedgerError."""
    name = text.strip()
    if not 1 <= len(name) <= 80 or "\x00" in name:
        raise LedgerError("name", text[:100], "a name of 1 to 80 characters is needed")
    return name


@dataclass(frozen=True, slots=True)
class Recognised:
    """A file as read: its format (OWN, LEDGER, MAPPED or a broker's name), and its records, oldest first.

    `source` is what choices of securities are kept under: the format, for a mapped file with its header.
    """

    format: str
    title: str
    records: tuple[Record, ...]
    source: str
    notes: tuple[str, ...] = ()
    map_name: str = ""


class UnknownFormat(NotReadable):
    """A table that nobody has described yet: it carries what a mapping screen needs. `proposed` is None where no header spoke to us."""

    def __init__(
        self,
        proposed: ColumnMap | None,
        columns: tuple[str, ...],
        rows: tuple[tuple[str, ...], ...],
        header_line: int,
        delimiter: str,
    ) -> None:
        super().__init__(
            "this format is not known yet: say which column is which (a column map), then it is read and remembered"
        )
        self.proposed, self.columns, self.rows = proposed, columns, rows
        self.header_line, self.delimiter = header_line, delimiter

    def as_json(self) -> dict[str, Any]:
        """What an API answers."""
        return {
            "columns": list(self.columns),
            "rows": [list(r) for r in self.rows],
            "proposed": self.proposed.as_json() if self.proposed else None,
            "header_line": self.header_line,
            "delimiter": self.delimiter,
        }


def fingerprint(names: Iterable[str]) -> str:
    """The same for headers with the same columns in any order, however they are written in case and blanks."""
    words = sorted({" ".join(n.replace("\ufeff", "").split()).casefold().strip('"') for n in names} - {""})
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:32]


def recognise(raw: bytes, kept: Sequence[KeptMap] = (), column_map: ColumnMap | None = None) -> Recognised:
    """The records of a file. With `column_map` it is read under that one, whatever it looks like.

    Raises NotReadable, and UnknownFormat where somebody has to say which column is which.
    """
    if column_map is not None:
        return _mapped(text_of(raw), column_map, "")
    found = brokers.detect(raw)
    if found is not None:
        told = found.read(text_of(raw))
        return Recognised(told.broker, told.title, told.records, told.broker, told.notes)
    text = text_of(raw)
    first = text.lstrip("\r\n").split("\n", 1)[0].lower().replace('"', "")
    sure = {"date", "kind"} <= {w.strip() for w in first.replace(";", ",").replace("\t", ",").split(",")}
    own: NotReadable | None = None
    try:
        names, _ = importing.header_of(text)
    except NotReadable as e:
        if sure:
            raise
        own = e
    else:
        if sure or (_fitting(text, kept) is None and _reads_as_own(text)):
            return _own(text, LEDGER if importing.is_ledger(names) else OWN)
    fitting = _fitting(text, kept)
    if fitting is not None:
        mine, one = fitting
        return _mapped(text, one, mine.name)
    raise _unknown(text, own)


def _own(text: str, form: str) -> Recognised:
    records = tuple(Record(line.lines[0], line.lines, line.cells, "", line.error) for line in importing.lines_of(text))
    if not records:
        raise NotReadable("the file has a header but no rows")
    return Recognised(form, TITLES[form], records, OWN)


def _mapped(text: str, column_map: ColumnMap, name: str) -> Recognised:
    told = brokers.read_under(text, column_map)
    if not told.records:
        raise NotReadable("the file has a header but no rows")
    columns = sheet(text, column_map.delimiter, column_map.header_line).columns
    return Recognised(
        MAPPED, name or TITLES[MAPPED], told.records, f"map:{fingerprint(columns)[:16]}", told.notes, name
    )


def _fitting(text: str, kept: Sequence[KeptMap]) -> tuple[KeptMap, ColumnMap] | None:
    """The kept map for this header (one's own before those of others), where it stands in this file."""
    if not kept:
        return None
    by_print = {k.fingerprint: k for k in sorted(kept, key=lambda k: k.mine)}
    for delimiter in DELIMITERS:
        for line, cells in first_rows(text, delimiter):
            if len(cells) > 1 and (found := by_print.get(fingerprint(header_names(cells)))) is not None:
                return found, replace(found.column_map, header_line=line, delimiter=delimiter)
    return None


def _reads_as_own(text: str) -> bool:
    """Whether any of the first rows says a date and a kind as we do."""
    for line in islice(importing.lines_of(text), 50):
        try:
            importing.day("date", line.cells.get("date", ""))
        except LedgerError:
            continue
        if line.cells.get("kind", "").lower().replace(" ", "_").replace("-", "_") in KINDS:
            return True
    return False


def _unknown(text: str, own: NotReadable | None) -> NotReadable:
    """What to answer about a file that nothing recognises."""
    if text.lstrip()[:1] == "<":
        return NotReadable("this is a web page or an XML file of a kind that is not known here: a CSV file is needed")
    try:
        column_map = brokers.proposed(text)
    except NotReadable:
        column_map = None
    if column_map is not None:
        line, delimiter = column_map.header_line, column_map.delimiter
    else:
        wide = [(len(cells), -n, d) for d in DELIMITERS for n, cells in first_rows(text, d)]
        columns, line, delimiter = max(wide, default=(0, -1, ","))
        line = -line
        if columns < 3:
            return own or NotReadable("no table was found in this file")
    table = sheet(text, delimiter, line)
    if not table.rows:
        return own or NotReadable("the file has a header but no rows")
    rows = tuple(tuple(row.cells.get(c, "") for c in table.columns) for row in table.rows[:20])
    if column_map is None and _by_day(rows):
        return NotReadable(
            "a number per day in every column (positions, returns, weights) is no list of transactions: "
            "which security was bought or sold, how many units and at what price is missing"
        )
    return UnknownFormat(column_map, table.columns, rows, line, delimiter)


def _by_day(rows: tuple[tuple[str, ...], ...]) -> bool:
    """Whether every row is a date and then nothing but numbers."""
    try:
        for first, *others in rows:
            moment("date", first)
            for cell in others:
                number("gross", cell)
    except LedgerError:
        return False
    return all(len(row) > 2 for row in rows)


def words_of_kind(text: str, column_map: Mapping[str, Any]) -> dict[str, int]:
    """The words that stand in the column of the kind, and how many rows say each: for the table of meanings."""
    table = sheet(text, str(column_map.get("delimiter", ",")), int(column_map.get("header_line", 1)))
    header = column_map.get("columns", {}).get("kind", "")
    found: dict[str, int] = {}
    for row in table.rows:
        if (word := row.cells.get(header, "")) and not table.is_text(row):
            found[word] = found.get(word, 0) + 1
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def settled(found: Recognised, base_currency: str) -> tuple[Record, ...]:
    """Its records as a portfolio in `base_currency` books them (see `core.brokers.settled_in`)."""
    if found.format in (OWN, LEDGER):
        return found.records
    return brokers.settled_in(Statement(found.format, found.title, found.records), base_currency).records
