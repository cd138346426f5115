"""Counterparties: the list, the form that adds or changes one, and how much of the portfolio depends on each."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.counterparties import FIELDS, STATUSES, TYPES, Counterparty, checked
from db import counterparties, tasks
from db.access import User
from db.counterparties import BadCounterparty, CounterpartyUsed
from db.edits import StaleEdit
from ui import errors, explain, session, show
from ui.scope import Here, Look

TITLES = {"name": "Name", "type": "Type", "rating": "Rating", "country": "Country", "status": "Status"}
PHONE = ("counterparty", "value", "weight")


def section(look: Look, user: User) -> None:
    """The tab "Counterparties" of the Securities page: exposure of the portfolio, then the list. Viewers see both."""
    if look.here is not None:
        _exposure(look.here)
    st.subheader("Counterparties", anchor=False)
    if said := st.session_state.pop("counterparty_said", None):
        st.success(said, icon=":material/check_circle:")
    listed = look.answer("counterparties")
    may = "edit" in tasks.rights(user)
    row = show.table(listed, key="counterparties", select=may)
    if not may:
        return
    every = counterparties.every(user)
    chosen = (
        None if row is None else next(c for c in every if c.counterparty_id == listed.column("counterparty_id")[row])
    )
    _form(user, every, chosen)


def _exposure(here: Here) -> None:
    st.subheader(f"Exposure of {show.plain(here.portfolio.name)}", anchor=False)
    exposure = here.answer("counterparty_exposure")
    explain.table(here, exposure, key="counterparty_exposure", only=PHONE if session.on_phone() else ())
    show.explain("counterparty_exposure")
    show.notes(exposure)


def _form(user: User, every: list[Counterparty], editing: Counterparty | None) -> None:
    """Add one, or change the one that is chosen; what is wrong stands under its field."""
    number = editing.counterparty_id if editing else 0
    key = f"counterparty_{number}_{st.session_state.setdefault('counterparty_forms', 0)}"
    st.markdown(f"**Change {show.plain(editing.name)}**" if editing else "**Add a counterparty**")
    seen = st.session_state.setdefault(f"{key}_seen", editing.cells() if editing else {})
    was = editing or Counterparty(0, "")
    countries = {"": "–", **counterparties.countries(user)}
    with st.form(key, border=True, enter_to_submit=False):
        columns = st.columns(2 if session.on_phone() else 5, vertical_alignment="top")
        slots, cells = {}, dict[str, Any]()
        for i, name in enumerate(FIELDS):
            with columns[i % len(columns)]:
                cells[name] = _field(name, was, countries, f"{key}_{name}")
                slots[name] = st.empty()
        with st.container(horizontal=True):
            saved = st.form_submit_button(
                "Save" if editing else "Add", icon=":material/save:" if editing else ":material/add:", type="primary"
            )
            removed = editing is not None and st.form_submit_button("Remove", icon=":material/delete:")
    if saved:
        with errors.told():
            changed = {name: value for name, value in cells.items() if value != (seen.get(name) or "")}
            faults = checked(changed, every, counterparties.countries(user), editing)[1]
            try:
                if not faults:
                    made = (
                        counterparties.edit(user, number, changed, seen)
                        if editing
                        else counterparties.add(user, changed)
                    )
                    _finish(f"{show.plain(made.name)} is {'changed' if editing else 'added'}.")
            except BadCounterparty as error:
                faults = error.faults
            except StaleEdit:
                st.session_state["counterparty_forms"] += 1  # the next run opens the form as it is now
                raise
            for fault in faults:
                words = f"{fault.expected[:1].upper()}{fault.expected[1:]}"
                slots[fault.field].markdown(f":red[:material/error: {show.plain(words)}.]")
    if removed:
        with errors.told():
            try:
                counterparties.remove(user, number)
                _finish(f"{show.plain(was.name)} is removed.")
            except CounterpartyUsed as error:
                st.error(f"**{show.plain(was.name)} stays.** {show.plain(error)}.", icon=":material/error:")


def _field(name: str, was: Counterparty, countries: dict[str, str], key: str) -> str:
    """The widget of one field."""
    value = was.cells()[name] or ""
    if name in ("type", "status"):
        choices = TYPES if name == "type" else STATUSES
        return st.selectbox(TITLES[name], choices, choices.index(value), key=key, format_func=str.capitalize)
    if name == "country":
        return st.selectbox(
            TITLES[name], list(countries), list(countries).index(value), key=key, format_func=countries.__getitem__
        )
    return st.text_input(TITLES[name], value, key=key, help=FIELDS[name])


def _finish(said: str) -> None:
    """The form opens anew, the page says what was done."""
    st.session_state["counterparty_forms"] += 1
    st.session_state["counterparty_said"] = said
    st.rerun()
