"""The taxonomy: every sector with its industries and their subsectors, and for admins the form that adds one."""

from __future__ import annotations

import streamlit as st

from core import VERSION
from core.master import InvalidSector
from core.sectors import FIELDS, LONGEST
from core.table import Column, Context, Table
from db import dimensions
from db.access import User
from ui import clock, errors, show

COLUMNS = (Column("sector", "Sector"), Column("industry", "Industry"), Column("subsector", "Subsector"))
LABELS = {
    "sector": ("Sector", "e.g. Energy", "One that is there, or a new one."),
    "industry": ("Industry (optional)", "e.g. Wind", "A new one of that sector, or one that is there."),
    "subsector": ("Subsector (optional)", "e.g. Offshore", "A new one of that industry."),
}


def section(user: User) -> None:
    """The tab "Sectors" of the Securities page. Everybody sees the list, admins add to it."""
    if said := st.session_state.pop("sector_said", None):
        st.success(said, icon=":material/check_circle:")
    every = dimensions.sectors(user)
    rows = tuple((s.sector, s.industry, s.subsector) for s in every)
    context = Context(clock.utc_day(), None, VERSION)
    show.table(Table("sectors", "Sectors", COLUMNS, rows, context), key=f"sectors_{len(rows)}")
    if user.role != "admin":
        st.caption("Admins add sectors, industries and subsectors.")
        return
    st.markdown("**Add a sector, an industry or a subsector**")
    key, slots = f"sector_{len(rows)}", {}
    with st.form(key, border=True, enter_to_submit=False):
        cells = {}
        for field, column in zip(FIELDS, st.columns(len(FIELDS)), strict=True):
            label, example, note = LABELS[field]
            with column:
                cells[field] = st.text_input(
                    label, placeholder=example, help=note, max_chars=LONGEST, key=f"{key}_{field}"
                )
                slots[field] = st.empty()
        sure = st.checkbox("It is another one, though it is called nearly as one that is there", key=f"{key}_sure")
        sent = st.form_submit_button("Add", type="primary", icon=":material/add:")
    st.caption(
        "The last name that is given is the new one; those before it are there already. What is added stays: securities may name it."
    )
    if not sent:
        return
    with errors.told():
        try:
            made = dimensions.add_sector(user, cells, sure)
        except InvalidSector as error:
            words = f"{error.expected[:1].upper()}{error.expected[1:]}"
            slots[error.field].markdown(f":red[:material/error: {show.plain(words)}.]")
            return
    names = " / ".join(name for name in (made.sector, made.industry, made.subsector) if name)
    st.session_state["sector_said"] = f"{show.plain(names)} is added."
    st.rerun()
