"""The ledger: look through it, edit it in a grid, enter a transaction, import a file, reverse an entry."""

from dataclasses import replace

import streamlit as st

from ui import changes, editor, entry, explain, frame, importer, session, show

KEY = (
    "traded_on",
    "kind",
    "symbol",
    "quantity",
    "price",
    "net",
    "cash_currency",
    "fees",
    "settles_on",
    "state",
    "note",
)
PHONE = ("traded_on", "kind", "symbol", "net")

here = frame.page("Transactions", needs_transactions=False)
may = entry.may_book(here.user, here.portfolio)
entry.said(here.user, here.portfolio.portfolio_id)
importer.said(here.user, here.portfolio.portfolio_id)
if may:
    listed, edited, entered, imported, moved = st.tabs(["Ledger", "Edit", "New entry", "Import CSV", "What moved"], on_change="rerun",
                                                       key="transactions_tabs",
                                                       default="New entry" if here.present.is_empty else None)  # fmt: skip
else:
    st.info(show.plain(entry.why_not(here.user, here.portfolio)), icon=":material/visibility:")
    listed, moved = st.tabs(["Ledger", "What moved"], on_change="rerun", key="transactions_tabs")
    edited, entered, imported = None, None, None
for writing in (edited, entered, imported):
    if writing is not None and writing.open and here.scope.is_past:
        writing.info("**Entries are booked now, against the present ledger,** not into the past that the sidebar looks at.",
                     icon=":material/update:")  # fmt: skip

if listed.open:
    with listed:
        table = here.answer("transactions")
        text = st.text_input("Search", type="search", live="300ms", placeholder="Symbol, kind, note, date, person …", key="transactions_search",
                             label_visibility="collapsed")  # fmt: skip
        keys = [c.key for c in table.columns]
        places = [
            i
            for i, r in enumerate(table.rows)
            if all(
                any(w in str(cell).lower() or w in show.words(cell, key) for key, cell in zip(keys, r, strict=True))
                for w in text.lower().split()
            )
        ]
        found = [table.rows[i] for i in places]
        shown = replace(table, rows=tuple(found), empty="No entry fits this search." if table.rows else table.empty)
        row = explain.table(
            here,
            shown,
            places=places,
            key=f"transactions_{here.portfolio.version}_{text}",
            select=True,
            rows=entry.SHOWN,
            only=PHONE if session.on_phone() else KEY,
        )
        if len(found) > entry.SHOWN:
            st.caption(
                f"The newest {entry.SHOWN:,} of {len(found):,} entries are shown; search for others, or take the CSV."
            )
        if row is None and found:
            explain.hint("Select a row to see the whole entry" + (" and to reverse it." if may else "."))
        elif row is not None:
            entry.details(here.user, here.portfolio, list(shown.records())[row], shown.columns)
if edited is not None and edited.open:
    with edited:
        editor.grid(here.user, here.present.view.book, here.present.answer("transactions"))
if entered is not None and entered.open:
    with entered:
        units = {r["security_id"]: r["units"] for r in here.present.answer("holdings").records()}
        entry.form(here.user, here.present.view.book, units)
if imported is not None and imported.open:
    with imported:
        importer.wizard(here.user, here.portfolio)
if moved.open:
    with moved:
        changes.section(here)
