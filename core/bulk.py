"""Securities from a CSV file (`core.bulk_rows`): a verdict on each row, the plan that loads them; and the master written as such a file.

Columns are those of `core.master.FIELDS`, in any order and case. A column that the file has not leaves what a security has as
it is; an empty cell empties the field, except those that a security must have (KEPT), which stay.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from core import plans
from core.bulk_rows import NUMBERS, REMARKS, Row
from core.importing import guarded
from core.importing import plain as exact
from core.master import (
    ELSEWHERE,
    FIELDS,
    MASTER_FIELDS,
    REUSED,
    AssetClassInconsistent,
    DuplicateSymbol,
    InvalidField,
    Known,
    Listed,
    MasterError,
    SecurityDraft,
    checked,
)
from core.plans import Plan
from core.taxonomy import sector_of

OUTCOMES = ("add", "update", "unchanged", "refused")
EXISTING = ("refuse", "update")  # what becomes of rows that differ from a security which is there
KEPT = frozenset({"name", "currency", "exchange"})  # an empty cell leaves these as they are
FIRST = tuple(name for name in FIELDS if name not in MASTER_FIELDS)  # first prices and dividends: only of what is added
CODES = frozenset({"symbol", "exchange", "isin", "asset_class", "sector", "industry", "subsector", "currency", "country", "dividend_frequency"})  # fmt: skip
TEMPLATE_ROWS: tuple[Mapping[str, str], ...] = (
    {"symbol": "EXMPL", "exchange": "XNYS", "name": "Example Corporation", "asset_class": "Equity", "sector": "Industrials",
     "currency": "USD", "country": "US", "dividend_frequency": "quarterly", "price": "150.25", "priced_on": "2026-01-05"},
    {"symbol": "EXMPL-30", "name": "Example 4.5 % 2030", "asset_class": "Fixed Income", "currency": "EUR", "issuer": "Example Corporation",
     "country": "DE", "rating": "AA-", "issued_on": "2020-03-31", "matures_on": "2030-03-31", "par_value": "1000"},
)  # fmt: skip


class NothingLoaded(ValueError):
    """Nothing of a file was asked for: rows are refused and nobody chose to leave them out, or there is nothing to write."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one row."""

    line: int
    outcome: str  # one of OUTCOMES
    listing: str
    cells: Mapping[str, str]
    faults: tuple[MasterError, ...] = ()
    changes: tuple[str, ...] = ()  # of an update, the columns that differ
    note: str = ""
    number: int | None = None  # of the security that is there
    draft: SecurityDraft | None = None

    @property
    def why(self) -> str:
        """Every fault with its class; of an update what it changes."""
        return self._said([f"{type(f).__name__}: {f}" for f in self.faults])

    @property
    def words(self) -> str:
        """The same without the names of classes, which mean nothing on a page."""
        return self._said([str(f) for f in self.faults])

    def _said(self, said: list[str]) -> str:
        if self.outcome == "update":
            said.append(f"changes {', '.join(self.changes)}")
        return "; ".join([*said, *([self.note] if self.note else [])])


def counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many rows of each outcome."""
    found = Counter(v.outcome for v in verdicts)
    return {outcome: found[outcome] for outcome in OUTCOMES}


# --- verdicts ---------------------------------------------------------------------------------------------------------


def judged(
    rows: Sequence[Row],
    known: Known,
    there: Mapping[int, Mapping[str, Any]],
    existing: str = "refuse",
    fixed: frozenset[int] = frozenset(),
) -> list[Verdict]:
    """A verdict per row, every fault said.

    `there`: by number the securities that rows may mean, as rows of `securities` with the names of their sectors.
    `fixed`: those of them whose currency cannot change any more. A row that says what is there already is unchanged.
    """
    lines: dict[str, int] = {}
    classes: dict[str, tuple[str, int]] = {}
    return [_against(_verdict(row, known, there, existing, fixed), known, there, lines, classes) for row in rows]


def meant(cells: Mapping[str, str], known: Known) -> Listed | None:
    """The security that a row is about, where it is there. Without an exchange the only one of this symbol."""
    symbol, exchange = cells.get("symbol", "").upper(), cells.get("exchange", "").upper()
    if exchange:
        return known.listed.get(f"{exchange}:{symbol}")
    several = known.by_symbol.get(symbol, [])
    return several[0] if len(several) == 1 else None


def _verdict(
    row: Row, known: Known, there: Mapping[int, Mapping[str, Any]], existing: str, fixed: frozenset[int]
) -> Verdict:
    cells = row.cells
    one = meant(cells, known)
    if one is None or one.security_id not in there:
        exchange, symbol = cells.get("exchange", "").upper() or ELSEWHERE, cells.get("symbol", "").upper()
        draft, faults = (None, []) if row.faults else checked(cells, known)
        faults += _mangled(symbol, exchange, known)
        if draft is None or faults:
            return Verdict(row.line, "refused", f"{exchange[:40]}:{symbol[:40]}", cells, (*row.faults, *faults))
        return Verdict(row.line, "add", draft.listing, cells, note=_told(draft, cells, known), draft=draft)
    before, listing = there[one.security_id], f"{one.exchange}:{one.symbol}"
    first = [n for n in FIRST if cells.get(n)]
    notes = [f"{', '.join(first)}: not written, only a new security has first prices and dividends"] if first else []
    if one.status in ("retired", "delisted"):
        notes.append(f"it is {one.status} and stays so: reinstate it where it is to come back; {REUSED}")
    note = "; ".join(notes)
    differs = [n for n in MASTER_FIELDS if n in cells and not _same(n, cells[n], before[n])]
    if not differs and not row.faults:
        return Verdict(row.line, "unchanged", listing, cells, note=note, number=one.security_id)
    draft, faults = checked(_edited(before, cells, differs), known, one)
    faults = [*row.faults, *faults]
    changes = tuple(plans.differences(before, draft)[0]) if draft is not None else ()
    if draft is not None and not changes and not faults:
        return Verdict(row.line, "unchanged", listing, cells, note=note, number=one.security_id)
    if existing != "update" and differs:
        state = "" if one.status == "active" else f", is {one.status}"
        words = (
            f"{one.exchange} lists it already (security {one.security_id}){state} and differs in {', '.join(differs)}"
        )
        another = "" if one.status == "active" else f"; {REUSED}"
        faults.insert(0, DuplicateSymbol("symbol", one.symbol, f"{words}: choose update to change it{another}"))
    elif "currency" in changes and one.security_id in fixed:
        held = f"its prices and entries are in {before['currency']}: add it as another security"
        faults.append(InvalidField("currency", cells["currency"], held))
    if faults:
        return Verdict(row.line, "refused", listing, cells, tuple(faults), number=one.security_id)
    shown = tuple("sector" if c == "sector_id" else c for c in changes)
    return Verdict(row.line, "update", listing, cells, (), shown, note, one.security_id, draft)


_MONTH = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|MRZ|MAI|OKT|DEZ"
_DATE = re.compile(
    rf"\d{{1,2}}-({_MONTH})(-\d{{2,4}})?|({_MONTH})-\d{{2,4}}|\d{{4}}-\d\d-\d\d|\d{{1,2}}([./])\d{{1,2}}\4\d{{2,4}}"
)
_POWER = re.compile(r"\d(\.\d+)?E[+-]?\d{2,}")


def _mangled(symbol: str, exchange: str, known: Known) -> list[MasterError]:
    """What a spreadsheet made of the symbol of a new security: MAR1 becomes 1-MAR, 0005 becomes 5."""
    if made := "a date" if _DATE.fullmatch(symbol) else "a number" if _POWER.fullmatch(symbol) else "":
        words = f"a spreadsheet made {made} of it: write the symbol into a column that is formatted as text"
        return [InvalidField("symbol", symbol, words)]
    if symbol.isdigit() and len(symbol) < 6:
        padded = next(
            (s for n in range(len(symbol) + 1, 7) if f"{exchange}:{(s := symbol.zfill(n))}" in known.listed), ""
        )
        if padded:
            return [InvalidField("symbol", symbol, f"{exchange} lists {padded}: a spreadsheet took its zeros away")]
    return []


def _told(draft: SecurityDraft, cells: Mapping[str, str], known: Known) -> str:
    """What one should know of a new security: who had its symbol, that the exchange lists its ISIN under another one, and what was
    taken where neither exchange nor currency was said."""
    notes = [said for said in (plans.before(draft), plans.unlisted(cells, known)) if said]
    if others := [x.symbol for x in known.by_isin.get(draft.isin or "", ()) if x.exchange == draft.exchange]:
        notes.append(
            f"{draft.exchange} lists this ISIN as {', '.join(others)}: if that was renamed, book a symbol change instead"
        )
    return "; ".join(notes)


def _same(name: str, text: str, value: Any) -> bool:
    """Whether a cell says what is there."""
    new, old = " ".join(text.split()), " ".join(str(plans.plain(value) if value is not None else "").split())
    if name in CODES:
        new, old = new.lower(), old.lower()
    if name == "isin":
        new = new.replace(" ", "")
    if name == "sector":
        new = sector_of(new).lower()  # by another's name it is the same: its industry stays
    if name == "dividend_frequency":
        new = new or "none"
    if new == old or (not new and name in KEPT):
        return True
    if name in NUMBERS and new and old:
        try:
            return Decimal(new) == Decimal(old)
        except InvalidOperation:
            return False
    return False


def _edited(before: Mapping[str, Any], cells: Mapping[str, str], differs: Sequence[str]) -> dict[str, Any]:
    """The cells of a security with those of a row that differ. What belonged to another sector goes with it."""
    merged = {name: plans.plain(before[name]) for name in MASTER_FIELDS}
    if "sector" in differs:
        merged |= {"industry": None, "subsector": None}
    elif "industry" in differs:
        merged["subsector"] = None
    said = {n: cells[n] for n in MASTER_FIELDS if n in cells and not (n in KEPT and not cells[n])}
    return merged | said


def _against(
    v: Verdict,
    known: Known,
    there: Mapping[int, Mapping[str, Any]],
    lines: dict[str, int],
    classes: dict[str, tuple[str, int]],
) -> Verdict:
    """A verdict beside the rows before it: no listing twice, no ISIN with two classes."""
    faults = list(v.faults)
    if v.listing in lines:
        said = f"duplicate symbol: line {lines[v.listing]} of this file has it already"
        faults.append(DuplicateSymbol("symbol", v.listing.split(":", 1)[1], said))
    elif v.cells.get("symbol"):
        lines[v.listing] = v.line
    if v.draft is not None:
        isin, its_class = v.draft.isin, v.draft.asset_class
    elif v.number is not None and v.outcome == "unchanged":
        isin, its_class = there[v.number]["isin"], there[v.number]["asset_class"]
    else:
        isin = v.cells.get("isin", "").upper().replace(" ", "")
        its_class = known.class_names.get(v.cells.get("asset_class", "").lower(), "")
    if isin and its_class:
        other, line = classes.setdefault(isin, (its_class, v.line))
        if other != its_class and not any(isinstance(f, AssetClassInconsistent) for f in faults):
            said = f"line {line} of this file is the same security by its ISIN and is {other}"
            faults.append(AssetClassInconsistent("asset_class", its_class, said))
    if len(faults) == len(v.faults):
        return v
    return replace(v, outcome="refused", faults=tuple(faults), changes=(), draft=None)


# --- the plan ---------------------------------------------------------------------------------------------------------


def loading(
    verdicts: Sequence[Verdict], there: Mapping[int, Mapping[str, Any]], today: date, by: str, file: str
) -> Plan:
    """The plan that adds and changes what the verdicts accept, all in one. Raises NothingLoaded where that is nothing."""
    drafts = [v.draft for v in verdicts if v.outcome == "add" and v.draft is not None]
    changes = {
        v.number: (there[v.number], v.draft)
        for v in verdicts
        if v.outcome == "update" and v.number is not None and v.draft is not None
    }
    written = len(drafts) + len(changes)
    if not written:
        raise NothingLoaded("there is nothing to load: no row adds or changes a security")
    title = f"Load {written:,} {'security' if written == 1 else 'securities'} from {file}"
    found = counts(verdicts)
    notes = [f"{found['add']:,} added, {found['update']:,} changed, {found['unchanged']:,} as they are already."]
    if found["refused"]:
        notes.append(f"{found['refused']:,} refused rows are left out; they are kept with the task.")
    steps = (
        plans.backup(f"Before: {title}"),
        *plans.adding(drafts, today, by),
        *plans.edit_steps(changes, today, by),
    )
    return Plan("bulk", title, file, steps, tuple(notes))


# --- writing ----------------------------------------------------------------------------------------------------------


def as_csv(rows: Iterable[Mapping[str, Any]], extra: Sequence[str] = ()) -> str:
    """Rows as the import reads them: FIELDS, and behind them the columns `extra`. Nothing in it is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = (*FIELDS, *extra)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return exact(value)
    return "" if value is None else guarded(str(plans.plain(value)))


def verdicts_csv(verdicts: Iterable[Verdict]) -> str:
    """Every row with its line, its verdict and why."""
    return as_csv(({**v.cells, "line": v.line, "verdict": v.outcome, "why": v.why} for v in verdicts), REMARKS)


def kept(v: Verdict) -> dict[str, Any]:
    """A refused row as it is kept with the task."""
    return {"line": v.line, "cells": dict(v.cells), "faults": [said(f) for f in v.faults], "why": v.why}


def refused_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows that were kept so, to be corrected and loaded: the columns of the import, and why each was refused."""
    return as_csv(({**row["cells"], "why": row["why"]} for row in rows), ("why",))


def said(fault: MasterError) -> dict[str, Any]:
    """A fault as JSON."""
    value = None if fault.value is None else str(fault.value)
    return {
        "class": type(fault).__name__,
        "field": fault.field,
        "value": value,
        "expected": fault.expected,
        "message": str(fault),
    }


TEMPLATE = as_csv(TEMPLATE_ROWS)
