"""What moved between two times of knowledge: the two times, the causes with their effects, the positions."""

from __future__ import annotations

import streamlit as st

from core.scope import BadScope
from ui import errors, explain, scope, session, show
from ui.scope import Here

PHONE = ("cause", "what", "value_change")


def section(here: Here) -> None:
    """Everything of it; errors of the two times are said in place."""
    since = scope.looked_back(here)
    st.caption(
        "What became known between two times, and what each piece of it did to the figures of one day. The day is the sidebar's "
        f"“As of”: {show.day(here.view.on)}."
    )
    first, then = st.columns(2)
    with first:
        scope.since_input(here, since)
    with then:
        scope.until_input(here)
    try:
        table = here.answer("changes", since=since)
        positions = here.answer("changes_by_position", since=since)
    except BadScope as error:
        errors.show(error)
        return
    explain.cards(here, table, changes={"since": since})
    explain.table(here, table, key="changes", changes={"since": since}, only=PHONE if session.on_phone() else ())
    explain.hint()
    show.notes(table)
    show.explain("changes")
    if positions.rows:
        explain.table(here, positions, key="changes_by_position", changes={"since": since}, title=True)
