"""What the feeds propose for a security that is being added: asked beside its symbol, chosen, filled into what is still empty.

The form gives its state (`security_form.instance`): the keys of its widgets, what was touched, what was proposed by whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import streamlit as st

from core.ledger import LedgerError
from core.master import Known
from core.profiles import FILLED, Profile, filling
from db import lookups
from db.access import User
from ui import errors, session, show

EVERY = 0.5  # seconds between two looks for the answer
PATIENCE = 12.0  # seconds until it is said that none came


def button(user: User, state: dict[str, Any], cells: Mapping[str, Any]) -> None:
    """Ask the feeds about what is entered: the symbol, with its exchange or without, else the ISIN, else the name."""
    symbol, exchange = cells.get("symbol"), cells.get("exchange")
    text = (f"{exchange}:{symbol}" if exchange else symbol) if symbol else cells.get("isin") or cells.get("name")
    if st.button("Propose", icon=":material/auto_awesome:", disabled=not text, key=f"{state['key']}_propose",
                 help="Asks the feeds what they know of this symbol, ISIN or name. Only empty fields are filled; all of it can be changed."):  # fmt: skip
        try:
            asked = lookups.ask(user.user_id, str(text))
        except LedgerError as error:
            st.error(f"{show.plain(error.expected)}.", icon=":material/error:")
        except errors.KNOWN as error:
            errors.show(error)
        else:
            state["lookup"] = {"id": asked, "text": str(text), "at": monotonic(), "late": False}


def section(known: Known, state: dict[str, Any]) -> None:
    """Waiting for the answer, then the candidates to choose from."""
    if (said := state.pop("filled", None)) is not None:
        st.success(said, icon=":material/auto_awesome:")
    if (looked := state.get("lookup")) is None:
        return
    if "answer" not in looked and not looked["late"]:
        st.fragment(lambda: _wait(looked), run_every=EVERY)()
        return
    text = show.plain(looked["text"])
    with st.container(border=True, key="proposals"):
        if looked["late"]:
            st.warning(f"**No answer about {text} within {PATIENCE:.0f} seconds.** Fill in the fields yourself, or propose again: the feeds are "
                       "asked by the scheduled process, which may be busy or not run.", icon=":material/timer_off:")  # fmt: skip
        elif not looked["answer"].candidates:
            why = show.plain(looked["answer"].error or "").rstrip(".")
            st.info(f"**Nothing is proposed for {text}**" + (f": {why}" if why else "") + ". Fill in the fields yourself.", icon=":material/search_off:")  # fmt: skip
        else:
            st.markdown(f"**The feeds know {text} as:**")
            for i, one in enumerate(looked["answer"].candidates):
                _candidate(known, state, one, i)
            if looked["answer"].error:
                st.caption(show.plain(looked["answer"].error))
        st.button("Dismiss", icon=":material/close:", type="tertiary", on_click=state.pop, args=("lookup",), key=f"{state['key']}_dismiss")  # fmt: skip


def _wait(looked: dict[str, Any]) -> None:
    """Look for the answer, until it is there or it took too long."""
    user = session.require_user()
    with errors.told():
        found = lookups.answer_of(user.user_id, looked["id"])
        if found.state != "asked":
            looked["answer"] = found
            st.rerun()
        if monotonic() - looked["at"] > PATIENCE:
            looked["late"] = True
            st.rerun()
    st.markdown(f":material/progress_activity: The feeds are asked about {show.plain(looked['text'])} …")


def _candidate(known: Known, state: dict[str, Any], one: Profile, i: int) -> None:
    where = f"{one.exchange}:{one.symbol}" if one.exchange else one.symbol
    parts = [
        one.name,
        one.asset_class,
        one.sector,
        one.industry,
        known.countries.get(one.country or "", one.country),
        one.currency,
        one.isin,
    ]
    said, use = st.columns([6, 1], vertical_alignment="center")
    said.markdown(f"**{show.plain(where)}** · " + " · ".join(show.plain(p) for p in parts if p) + f" · by {show.plain(one.provider or 'a feed')}")  # fmt: skip
    use.button("Use this", icon=":material/check:", on_click=fill, args=(known, state, one), key=f"{state['key']}_use_{i}")  # fmt: skip


def fill(known: Known, state: dict[str, Any], one: Profile) -> None:
    """Put what a feed proposes into the fields that are still empty, and mark them."""
    held = {field: st.session_state.get(f"{state['key']}_{field}") for field in FILLED}
    named = filling(one, held, known)
    for field, value in named.items():
        st.session_state[f"{state['key']}_{field}"] = value
        state["proposed"][field] = one.provider or "a feed"
    state.pop("lookup", None)
    n = len(named)
    state["filled"] = f"{n} empty {'field was' if n == 1 else 'fields were'} filled in as proposed; change what you like." if n else "Every field was filled in already: nothing was changed."  # fmt: skip
