"""The grid: booked entries as editable cells. A change becomes a reversal and a new entry, a row taken away a reversal.

What was opened stays as it was while it is edited, so that a change by somebody else is noticed: the ids in the grid are the
versions that were read. One instance of the grid has one number, in the keys of its widgets; booking opens the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import streamlit as st

from core import VERSION, importing
from core.book import Book
from core.ledger import Draft, LedgerError, draft_of, spoken
from core.listings import Listings
from core.table import Column, Context, Table
from db import corrections, counterparties, engine, installation, market, trade_dates
from db.access import User
from db.corrections import Clash, Conflict, Entry, NotCorrected
from ui import clock, entry, errors, session, show
from ui.entry_fields import posting_of

ROWS = 500  # entries that can be edited at a time, the newest that fit the search
TEXTS = {
    "quantity": "Quantity",
    "price": "Price",
    "gross": "Gross",
    "fees": "Fees",
    "taxes": "Taxes",
    "fx": "FX",
}
AMOUNTS = ("gross", "fees", "taxes", "basis")
OTHERS = {"ratio": "Ratio", "fraction": "Cost share", "basis": "Cost carried in"}  # shown where an entry has them
LABELS = {"date": "Date", **TEXTS, **OTHERS, "settlement": "Settles", "counterparty": "Counterparty", "note": "Note", "acquired": "Bought", "lots": "Chosen lots"}  # fmt: skip
SOURCE = {"date": "traded_on", "settlement": "settles_on"}  # the report's name of a cell
PHONE = ("date", "what", "quantity", "price", "gross", "note")


@dataclass(frozen=True, slots=True)
class Edit:
    """One changed row: the entry that was opened, what is wanted instead (None: nothing), or why that cannot be."""

    entry: Entry
    before: Mapping[str, str]
    after: Mapping[str, str] | None
    draft: Draft | None
    error: LedgerError | None

    @property
    def name(self) -> str:
        """The entry in a few words."""
        d = self.entry.draft
        return " ".join(w for w in (spoken(d.kind), d.security.symbol if d.security else "", "of", d.traded_on.isoformat()) if w)  # fmt: skip


@st.fragment
def grid(user: User, book: Book, listed: Table) -> None:
    """The grid over the entries that count. `listed`: the report of transactions."""
    with errors.told():
        _grid(user, book, listed)


def _grid(user: User, book: Book, listed: Table) -> None:
    portfolio = book.portfolio.portfolio_id
    state = _instance(portfolio)
    n = f"grid_{state['key']}"
    typed = st.session_state.get(n) or {}
    dirty = state["frame"] is not None and bool(typed.get("edited_rows") or typed.get("deleted_rows"))
    search = st.text_input("Search", type="search", placeholder="Symbol, kind, note, date …", key=f"{n}_search", label_visibility="collapsed",
                           disabled=dirty, help="Book or discard the changes to search again." if dirty else None)  # fmt: skip
    if not dirty:
        state["frame"] = _frame(listed.records(), search.lower().split())
    frame: pd.DataFrame = state["frame"]
    names = counterparties.names(user)
    if not names and "counterparty" in frame:
        frame = frame.drop(columns="counterparty")
    if frame.empty:
        st.info(
            "No entry fits this search." if listed.rows else "There is nothing to edit yet.", icon=":material/inbox:"
        )
        return
    edited = st.data_editor(frame, key=n, hide_index=True, num_rows="delete", disabled=["what"], column_config=_columns(names), height=430, placeholder="",
                            column_order=PHONE if session.on_phone() else None, alt="Editable entries of the ledger")  # fmt: skip
    if len(frame) == ROWS:
        st.caption(f"The newest {ROWS} entries that fit are shown: search for older ones.")
    wanted = {
        number: change for number, change in _wanted(frame, edited).items() if state["resolved"].get(number) != "theirs"
    }
    if dirty and not wanted:  # taken back, or theirs was kept: open it anew
        _close(portfolio)
        st.rerun()
    if not wanted:
        st.caption(
            "Change a cell, or select rows and delete them: nothing is booked until you say so. Amounts are text with a decimal point. "
            "The gross of a trade follows from quantity and price, its settlement from its date."
        )
        return
    _pending(user, book, state, wanted)


def _pending(user: User, book: Book, state: dict[str, Any], wanted: dict[UUID, dict[str, str] | None]) -> None:
    """What was changed, checked; the buttons that book or discard it."""
    portfolio, n = book.portfolio.portfolio_id, f"grid_{state['key']}"
    today = clock.latest()
    every = market.listings(user.user_id)
    with engine.session(user.user_id) as c:
        currencies = frozenset(installation.currencies(c))
    opened = corrections.entries(user.user_id, portfolio, list(wanted))
    edits = {number: _edit(e, wanted[number], every, currencies, book) for number, e in opened.items()}
    wrong = {number: e.error for number, e in edits.items() if e.error is not None}
    changes = [(state["instead"].get(number, number), e.draft) for number, e in edits.items() if e.error is None]
    back = {target: number for number, target in state["instead"].items()}
    clashes: Sequence[Clash] = ()
    if changes and not wrong:
        try:
            corrections.correct(user.user_id, portfolio, changes, today, over=state["over"], dry_run=True)
        except NotCorrected as e:
            wrong = {back.get(number, number): why for number, why in e.errors.items()}
        except Conflict as e:
            clashes = e.clashes
    show.table(_listed(edits, today), key=f"{n}_changes_{len(edits)}", foot=False)
    for number, why in wrong.items():
        name = edits[number].name if number in edits else str(number)
        field = LABELS.get(why.field, why.field)
        st.markdown(f":red[:material/error: **{show.plain(name)}**, {field.lower()}: {show.plain(why.expected)}.]")
    if changes and not wrong:
        for warning in trade_dates.warnings(user.user_id, [d for _, d in changes if d is not None]):
            st.warning(f"{show.plain(warning)} You can book it all the same.", icon=":material/warning:")
    for clash in clashes:
        _conflict(state, clash, back.get(clash.transaction, clash.transaction))
    count = len(edits)
    with st.container(horizontal=True):
        book_it = st.button(f"Book {count} correction{'s' * (count > 1)}", type="primary", icon=":material/check:", key=f"{n}_book",
                            disabled=bool(wrong or clashes))  # fmt: skip
        if st.button("Discard the changes", icon=":material/close:", key=f"{n}_discard"):
            _close(portfolio)
            st.rerun()
    if not book_it:
        return
    try:
        done = corrections.correct(user.user_id, portfolio, changes, today, over=state["over"])
    except Conflict:
        st.rerun()  # somebody was faster in this very moment: the check above shows both versions
    _close(portfolio)
    along = len(done.steps) - count
    words = f"{count} correction{'s' * (count > 1)}" + (f", and {along} entries that chose their lots" if along else "")
    entry.tell_done(portfolio, "Booked", words, done)
    st.rerun()


def _frame(records: Iterable[Mapping[str, Any]], words: Sequence[str]) -> pd.DataFrame:
    """Entries that count as text cells, one row each, under their ids."""
    rows: dict[UUID, dict[str, Any]] = {}
    for r in records:
        if r["kind"] == "reversal" or not r["state"].startswith("booked"):
            continue
        if not all(any(w in str(cell).lower() for cell in r.values()) for w in words):
            continue
        what = " ".join(x for x in (spoken(r["kind"]), r["symbol"] or "", f"→ {r['into']}" if r["into"] else "", r["currency"]) if x)  # fmt: skip
        cells: dict[str, Any] = {"date": r["traded_on"], "what": what}
        cells |= {name: _text(r[name], 2 if name in AMOUNTS else 0) for name in (*TEXTS, *OTHERS) if name != "ratio"}
        cells["ratio"] = r["ratio"] or ""
        rows[UUID(r["transaction_id"])] = cells | {
            "settlement": r["settles_on"],
            "counterparty": r["counterparty"] or "",
            "note": r["note"],
        }
        if len(rows) == ROWS:
            break
    frame = pd.DataFrame.from_dict(rows, orient="index")
    empty = [name for name in OTHERS if name in frame and not frame[name].any()]
    return frame.drop(columns=empty)


def _text(value: Any, places: int) -> str:
    """A number as one types it, with at least so many decimals; empty for none."""
    if not value:
        return ""
    whole, _, decimals = importing.plain(value).partition(".")
    return f"{whole}.{decimals:0<{places}}" if decimals or places else whole


def _columns(names: Sequence[str]) -> dict[str, Any]:
    config = st.column_config
    shown: dict[str, Any] = {
        "date": config.DateColumn(
            "Date", format="YYYY-MM-DD", required=True, min_value=clock.MARKETS, max_value=clock.latest()
        ),
        "what": config.TextColumn("Entry", help="Kind and security stay: to change those, reverse it and book another"),
        "settlement": config.DateColumn("Settles", format="YYYY-MM-DD", min_value=clock.MARKETS, max_value=clock.FAR),
        "counterparty": config.SelectboxColumn("Counterparty", options=["", *names]),
        "note": config.TextColumn("Note", max_chars=500),
    }
    return shown | {name: config.TextColumn(title, alignment="right", max_chars=40) for name, title in {**TEXTS, **OTHERS}.items()}  # fmt: skip


def _wanted(frame: pd.DataFrame, edited: pd.DataFrame) -> dict[UUID, dict[str, str] | None]:
    """What the grid says now against what it was opened with: the changed cells of each row, None where it was taken away."""
    out: dict[UUID, dict[str, str] | None] = {}
    kept = {str(number): number for number in edited.index}
    for number in frame.index:
        if str(number) not in kept:
            out[number] = None
            continue
        before, after = frame.loc[number], edited.loc[kept[str(number)]]
        changed = {name: _said(after[name]) for name in frame.columns if _said(after[name]) != _said(before[name])}
        if changed:
            out[number] = changed
    return out


def _said(value: Any) -> str:
    """A cell of the grid as text."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value).strip()


def _edit(
    opened: Entry,
    change: dict[str, str] | None,
    every: Listings,
    currencies: frozenset[str],
    book: Book,
) -> Edit:
    """One changed row read and checked."""
    before = importing.cells_of(opened.draft)
    if change is None:
        return Edit(opened, before, None, None, None)
    after = importing.amended(before, change)
    try:
        draft = importing.draft(after, every, currencies, book.base, opened.draft)
        posting = posting_of(draft, book)
    except LedgerError as e:
        return Edit(opened, before, after, None, e)
    return Edit(opened, before, importing.cells_of(draft_of(posting, draft.security, draft.into)), draft, None)


def _listed(edits: Mapping[UUID, Edit], today: date) -> Table:
    """Every change as before → after, what follows from it included."""
    rows: list[tuple[str, str, str, str]] = []
    for e in edits.values():
        if e.after is None:
            rows.append((e.name, "the whole entry", "booked", "reversed"))
            continue
        for field in dict.fromkeys((*e.before, *e.after)):
            was, will = e.before.get(field, ""), e.after.get(field, "")
            if was != will:
                rows.append((e.name, LABELS.get(field, field), was or show.MISSING, will or show.MISSING))
    columns = (Column("entry", "Entry"), Column("field", "Field"), Column("before", "Before"), Column("after", "After"))
    return Table("changes", "Changes", columns, tuple(rows), Context(today, None, VERSION))


def _conflict(state: dict[str, Any], clash: Clash, number: UUID) -> None:
    """Both versions side by side, what differs marked, and the two ways on."""
    was, mine = importing.cells_of(clash.was.draft), importing.cells_of(clash.mine) if clash.mine else {}
    theirs = importing.cells_of(clash.theirs.draft) if clash.theirs else {}
    by = (
        f" by {show.plain(clash.theirs.recorded_by)}, {show.text(clash.theirs.recorded_at)} UTC" if clash.theirs else ""
    )
    st.warning("**Somebody changed this entry since you opened the grid.** Nothing was booked. "
               + ("They took it away." if clash.theirs is None else f"It was corrected{by}."), icon=":material/sync_problem:")  # fmt: skip
    rows = []
    for field in dict.fromkeys((*was, *theirs, *mine)):
        cells = [x.get(field, "") for x in (was, theirs, mine)]
        if any(cells):
            mark = "≠" if cells[1] != cells[2] else ""
            rows.append((mark, LABELS.get(field, field.capitalize()), *(x or show.MISSING for x in cells)))
    columns = (Column("differs", "≠"), Column("field", "Field"), Column("was", "When you opened it"), Column("theirs", "Theirs, as booked now"), Column("mine", "Yours"))  # fmt: skip
    shown = Table("conflict", "Both versions", columns, tuple(rows), Context(clock.utc_day(), None, VERSION))
    show.table(shown, key=f"conflict_{number}_{clash.theirs.transaction_id if clash.theirs else 'gone'}", foot=False)

    def keep() -> None:
        state["resolved"][number] = "theirs"

    def instead() -> None:
        if clash.theirs is None:
            state["over"] |= {clash.transaction}
        else:
            state["instead"][number] = clash.theirs.transaction_id

    with st.container(horizontal=True):
        st.button("Keep theirs", on_click=keep, icon=":material/check:", key=f"keep_{number}")
        st.button("Book mine instead", on_click=instead, icon=":material/edit:", key=f"instead_{number}")


def _instance(portfolio: UUID) -> dict[str, Any]:
    """The open grid of this portfolio: its key, the frame it was opened with, and how conflicts were resolved."""
    grids = st.session_state.setdefault("editor_grids", {})
    if portfolio not in grids:
        grids[portfolio] = {"key": uuid4().hex[:8], "frame": None, "resolved": {}, "instead": {}, "over": frozenset()}  # fmt: skip
    found: dict[str, Any] = grids[portfolio]
    return found


def _close(portfolio: UUID) -> None:
    """Forget this grid: the next run opens a fresh one."""
    st.session_state["editor_grids"].pop(portfolio, None)
