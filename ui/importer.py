"""The import wizard: template, file, a verdict per row without booking anything, then booking, with progress throughout.

The dry run happens once per file and state of the ledger: what it said is kept in the session under the file's digest, the
portfolio's version and the day. Only what is shown is kept (the verdicts as CSV and the first rows of each outcome).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import streamlit as st

from core import VERSION, importing
from core.book import Portfolio
from core.importing import NotReadable
from core.table import Column, Context, Kind, Table
from db import ledger, market
from db.access import AccessDenied, User
from ui import show

SHOWN = 1_000  # rows of each outcome that travel to the browser; the CSV has all
WORDS = {"book": "✓ to book", "duplicate": "= already booked", "refused": "✕ refused"}
COLUMNS = (
    Column("line", "Line", Kind.COUNT, "in the file, the header is line 1"),
    Column("verdict", "Verdict"),
    Column("reason", "Why", note="what is wrong and what would be right"),
    Column("kind", "Kind"),
    Column("symbol", "Symbol"),
    Column("traded_on", "Date", Kind.DATE),
    Column("quantity", "Quantity", Kind.UNITS),
    Column("price", "Price", Kind.PRICE, wide_only=True),
    Column("net", "Net cash", Kind.MONEY, "posted, with its sign, in the cash currency"),
    Column("cash_currency", "Cash in", wide_only=True),
    Column("settles_on", "Settles", Kind.DATE, wide_only=True),
    Column("row", "Row as it stands in the file", wide_only=True),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a dry run said: how many of each outcome, the first rows of each, all of them as CSV, or why nothing could be read."""

    counts: dict[str, int]
    first: dict[str, tuple[tuple[Any, ...], ...]]
    csv: str
    unreadable: str = ""


def said(portfolio: UUID) -> None:
    """What the last import into this portfolio booked."""
    if done := _state(portfolio)["done"]:
        st.success(done, icon=":material/check_circle:")


def _state(portfolio: UUID) -> dict[str, Any]:
    """The open import of this portfolio: its number, what the last one said, and the verdicts on the file at hand."""
    fresh = {"key": uuid4().hex[:12], "done": "", "checked": {}}
    found: dict[str, Any] = st.session_state.setdefault("imports", {}).setdefault(portfolio, fresh)
    return found


def wizard(user: User, portfolio: Portfolio) -> None:
    """Draw the whole way from the template to the result, for somebody who may book."""
    state = _state(portfolio.portfolio_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button("Template", importing.TEMPLATE, "transactions-template.csv", "text/csv", on_click="ignore",
                           icon=":material/download:", key="import_template")  # fmt: skip
        st.caption("Columns in any order: " + ", ".join(importing.COLUMNS) + ". `date` and `kind` are required.")
    file = st.file_uploader("CSV file of transactions", key=f"import_{state['key']}",
                            help="UTF-8 or Windows-1252; separated by comma, semicolon or tab; up to 100,000 rows go smoothly.")  # fmt: skip
    if file is None:
        st.caption("The file is checked first; nothing is booked before you say so. The same file twice adds nothing.")
        return
    raw, today = file.getvalue(), datetime.now(UTC).date()
    key = (hashlib.sha256(raw).hexdigest(), portfolio.version, today)
    checked = state["checked"].get(key)
    if checked is None:
        checked = _dry_run(user, portfolio, raw, file.name, today)
        state["checked"] = {key: checked}
    if checked.unreadable:
        st.error(f"{file.name} cannot be read: {checked.unreadable}.", icon=":material/error:")
        return
    _verdicts(checked, portfolio, today, state["key"])
    _book(user, portfolio, raw, file.name, today, checked, state)


def _dry_run(user: User, portfolio: Portfolio, raw: bytes, name: str, today: date) -> Checked:
    """Ask for the verdicts, with a progress bar."""
    bar = st.progress(0.0, f"Reading {name}")
    try:
        found = ledger.import_csv(user.user_id, portfolio.portfolio_id, raw, name, today, progress=bar.progress)
    except NotReadable as e:
        bar.empty()
        return Checked({}, {}, "", str(e))
    bar.progress(1.0, "Writing the verdicts")
    symbols = {s.security_id: s.symbol for s in market.securities(user.user_id)}
    lines = importing.decoded(raw).lstrip("\r\n").split("\n")
    rows = [_row(v, symbols, lines) for v in found.verdicts]
    bar.empty()
    first = {
        outcome: tuple([r for r, v in zip(rows, found.verdicts, strict=True) if v.outcome == outcome][:SHOWN])
        for outcome in WORDS
    }
    return Checked({o: found.count(o) for o in WORDS}, first, _table(tuple(rows), portfolio, today).as_csv())


def _row(v: ledger.Verdict, symbols: dict[int, str], lines: list[str]) -> tuple[Any, ...]:
    p = v.posting
    line = lines[v.line - 1].strip() if v.line <= len(lines) else ""
    if p is None:
        return (v.line, WORDS[v.outcome], v.reason, None, None, None, None, None, None, None, None, line)
    symbol = symbols.get(p.security_id) if p.security_id else None
    return (v.line, WORDS[v.outcome], v.reason, p.kind, symbol, p.traded_on, p.quantity, p.price, p.net, p.cash_currency,
            p.settles_on, line)  # fmt: skip


def _count(number: int) -> str:
    return show.text(number, Kind.COUNT)


def _table(rows: tuple[tuple[Any, ...], ...], portfolio: Portfolio, today: date) -> Table:
    context = Context(today, portfolio.base_currency, VERSION)
    return Table("import_verdicts", "Verdict per row", COLUMNS, rows, context, empty="No row has this verdict.")


def _verdicts(checked: Checked, portfolio: Portfolio, today: date, key: str) -> None:
    """The summary, and the rows: refused first, or one outcome."""
    counts = checked.counts
    grid = st.grid(3, min_column_width=110)
    for outcome, title in (("book", "To book"), ("duplicate", "Already booked"), ("refused", "Refused")):
        grid.metric(title, _count(counts[outcome]), border=True)
    there = [o for o in ("refused", "book", "duplicate") if counts[o]]
    names = {"": "All rows", "refused": "Refused", "book": "To book", "duplicate": "Already booked"}
    with st.container(horizontal=True, vertical_alignment="center"):
        only = st.segmented_control("Rows", ["", *there], default="", required=True, format_func=names.__getitem__,
                                    label_visibility="collapsed", key=f"import_only_{key}")  # fmt: skip
        st.download_button("All verdicts as CSV", checked.csv.encode, "import-verdicts.csv", "text/csv", on_click="ignore",
                           icon=":material/download:", key=f"import_csv_{key}")  # fmt: skip
    rows = tuple(r for o in there if only in ("", o) for r in checked.first[o])
    show.table(_table(rows, portfolio, today), key=f"import_rows_{key}_{only}", foot=False)
    total = sum(counts[o] for o in there if only in ("", o))
    if len(rows) < total:
        st.caption(f"{_count(len(rows))} of {_count(total)} rows are shown; the CSV has all.")


def _book(
    user: User, portfolio: Portfolio, raw: bytes, name: str, today: date, checked: Checked, state: dict[str, Any]
) -> None:
    """The button that books, and what came of it. A second click finds every row booked and adds nothing."""
    good, refused = checked.counts["book"], checked.counts["refused"]
    take_good = False
    if not good:
        st.info("There is nothing to book in this file." if refused else "Every row of this file is in the ledger already: nothing to book.",
                icon=":material/info:")  # fmt: skip
        return
    if refused:
        take_good = st.checkbox(
            f"Book the good rows only; leave the {_count(refused)} refused out", key=f"import_good_{state['key']}"
        )
    label = f"Book {_count(good)} transaction{'' if good == 1 else 's'}"
    if st.button(
        label,
        type="primary",
        icon=":material/check:",
        disabled=bool(refused) and not take_good,
        key=f"import_book_{state['key']}",
    ):
        bar = st.progress(0.0, "Checking once more")
        try:
            done = ledger.import_csv(user.user_id, portfolio.portfolio_id, raw, name, today, dry_run=False, take_good=take_good,
                                     progress=bar.progress)  # fmt: skip
        except (ledger.NothingBooked, NotReadable, AccessDenied) as e:
            bar.empty()
            st.error(f"Nothing was booked: {e}.", icon=":material/error:")
            return
        left = [f"{_count(done.count(o))} {words}" for o, words in (("duplicate", "were in the ledger already"),
                                                                        ("refused", "were refused")) if done.count(o)]  # fmt: skip
        said = f"Booked {_count(done.booked)} transactions from {name}" + "".join(f"; {each}" for each in left) + "."
        imports: dict[UUID, Any] = st.session_state["imports"]
        imports[portfolio.portfolio_id] = {"key": uuid4().hex[:12], "done": said, "checked": {}}
        st.rerun()
