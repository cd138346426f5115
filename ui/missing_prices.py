"""What is missing of a security's prices and what the feeds said of it, on its page; and both reports under Maintenance."""

from __future__ import annotations

import streamlit as st

from db import feeds, gaps
from db.access import User
from ui import errors, show

MOST = 3  # gaps and troubles that are told on the page of a security: the reports have all
WHAT = {"quotes": "Quotes", "bars": "Daily prices", "actions": "Dividends and splits", "rates": "Exchange rates", "profiles": "Master data",
        "unit": "Prices in another unit", "basis": "Prices on another basis"}  # fmt: skip


def of_security(user: User, number: int, may: bool) -> None:
    """Gaps and troubles of one security; who may edit it can have the gaps asked for again."""
    if said := st.session_state.pop("gaps_said", None):
        st.success(said, icon=":material/check_circle:")
    found = gaps.all_of(user.user_id, number)
    if found:
        more = f" And {len(found) - MOST} more, in the report Price gaps." if len(found) > MOST else ""
        waits = min((g.next_at for g in found if g.next_at), default=None)
        when = (
            "The feeds are asked within a minute."
            if waits is None
            else f"The feeds are asked again: {show.moment(waits)}."
        )
        text = "; ".join(str(g) for g in found[:MOST])
        with st.container(horizontal=True, vertical_alignment="center", key=f"b_gaps_{number}"):
            st.warning(f"**{show.plain(text[:1].upper() + text[1:])}.**{more} {when}", icon=":material/event_busy:")
            if may and st.button("Ask now", icon=":material/refresh:", key=f"gaps_again_{number}"):
                with errors.told():
                    gaps.ask_again(user.user_id, number)
                    st.session_state["gaps_said"] = "The feeds are asked within a minute."
                    st.rerun()
    for trouble in feeds.troubles(user.user_id, number)[:MOST]:
        by = f", {trouble.feed}" if trouble.feed else ""
        st.caption(
            f"{WHAT[trouble.what]}{show.plain(by)}: {show.plain(trouble.said)} ({show.moment(trouble.last_at)})."
        )
