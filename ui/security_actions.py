"""What may be done with a security that is there: edit, remove, bring back, a symbol change, a delisting. Each shows its plan first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from core.master import StillReferenced
from core.plans import Plan
from core.removal import Reference, obstacles
from db import master
from db.access import User
from ui import errors, frame, plan, security_form, show
from ui.scope import Look

ENDED = ("retired", "delisted")
PAGES = {"holdings": "Holdings", "transactions": "Transactions", "income": "Income", "portfolios": "Portfolios"}
Row = Mapping[str, Any]


def banner(here: Look, s: Row, may: frozenset[str]) -> None:
    """What one must know of a security that is not active, with the way back."""
    if s["status"] == "active":
        return
    words = {"retired": "is retired: it stays for the sake of its history and is offered no more",
             "delisted": "is delisted: its history stays, no feed is asked for it any more",
             "halted": "is halted: it is not traded for the time being"}  # fmt: skip
    ended = master.past_of(here.user, s["security_id"]).ended_on
    since = f" Since {show.day(ended)}." if ended else ""
    with st.container(horizontal=True, vertical_alignment="center", key="b_status"):
        st.warning(
            f"**{show.plain(s['symbol'])} {words[s['status']]}.**{since}", icon=":material/inventory:", width="stretch"
        )
        if "remove" in may and not here.scope.is_past:
            st.button("Bring back", icon=":material/undo:", on_click=_do, args=(s, "reinstate"), key="security_reinstate")  # fmt: skip


def why_not(user: User) -> str:
    """Why somebody has no buttons, for a sentence."""
    if user.role == "viewer":
        return "you are signed in as a viewer; analysts and admins change securities"
    return "an admin has kept that to others (Admin, Who may do what)"


def bar(here: Look, s: Row, may: frozenset[str]) -> None:
    """The buttons, for those who may; what was chosen opens below."""
    if not may & {"edit", "remove"}:
        st.caption(f"You see everything here and change nothing: {why_not(here.user)}.")
        return
    if here.scope.is_past:
        st.caption("You look at the past: go back to now to change this security.")
        return
    with st.container(horizontal=True, key="security_bar"):
        if "edit" in may:
            st.button("Edit", icon=":material/edit:", on_click=_do, args=(s, "edit"), key="security_edit")
        if "remove" in may and s["status"] not in ENDED:
            st.button("Remove", icon=":material/delete:", on_click=_do, args=(s, "remove"), key="security_remove")
        more = {"rename": ("Symbol change", "swap_horiz", "edit"), "delist": ("Delisted", "event_busy", "remove")}
        offered = {k: v for k, v in more.items() if v[2] in may and not (k == "delist" and s["status"] == "delisted")}
        if offered:
            st.menu_button("More", list(offered), icon=":material/more_horiz:", format_func=lambda name: f":material/{offered[name][1]}: {offered[name][0]}",
                           on_click=_chosen, args=(s,), key="security_more")  # fmt: skip
    _under_way(here, s)


def _do(s: Row, what: str | None) -> None:
    """Begin something, or leave it."""
    plan.withdraw()
    st.session_state["security_doing"] = (s["security_id"], what)


def _chosen(s: Row) -> None:
    _do(s, st.session_state["security_more"])


def _done() -> None:
    st.session_state.pop("security_doing", None)


def _under_way(here: Look, s: Row) -> None:
    """What was begun with this security: its form, what prevents it, or its plan."""
    number, what = st.session_state.get("security_doing", (None, None))
    if number != s["security_id"] or what is None:
        return
    name = f"security_{what}_{number}"
    if plan.offered(name):
        back = _done if what in ("remove", "reinstate") else lambda: None  # these have no form to go back to
        plan.confirm(here.user, name, lambda: (security_form.forget(name), _done()), back)
        return
    with st.container(border=True, key="security_doing_box"):
        {"edit": _edit, "remove": _remove, "reinstate": _reinstate, "rename": _rename, "delist": _delist}[what](
            here, s, name
        )
        st.button(
            "Leave it", icon=":material/close:", type="tertiary", on_click=_left, args=(s, name), key="security_leave"
        )


def _left(s: Row, name: str) -> None:
    security_form.forget(name)
    _do(s, None)


def _offer(name: str, user: User, make: Callable[[], Plan], asked: Mapping[str, Any]) -> None:
    """Make a plan and go on with it; a known error is said instead."""
    with errors.told():
        plan.offer(name, make(), asked)


def _edit(here: Look, s: Row, name: str) -> None:
    st.subheader(f"Edit {show.plain(s['symbol'])}", anchor=False)
    security_form.edit(here.user, s)


def _remove(here: Look, s: Row, name: str) -> None:
    """What stands in the way, each with the place where it is dealt with; else the plan."""
    number = s["security_id"]
    try:
        made = master.plan_remove(here.user, number)
    except StillReferenced:
        blocked = obstacles(master.references(here.user, number))
        st.subheader(f"{show.plain(s['symbol'])} cannot be removed yet", anchor=False)
        st.markdown(
            f"{len(blocked)} {'thing stands' if len(blocked) == 1 else 'things stand'} in the way. Nothing was changed."
        )
        for i, reference in enumerate(blocked):
            _obstacle(here, reference, i)
        st.button("Check again", icon=":material/refresh:", key="security_again")
        return
    except errors.KNOWN as error:
        errors.show(error)
        return
    plan.offer(name, made, {"symbol": f"{s['exchange']}:{s['symbol']}"})


def _obstacle(here: Look, reference: Reference, i: int) -> None:
    """One line, with the link to its page."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"obstacle_{i}"):
        said = str(reference)
        st.markdown(f":orange[:material/block:] {show.plain(said[:1].upper() + said[1:])}.", width="content")
        if reference.page is None or (reference.portfolio_id is None and reference.what != "dividend"):
            return
        where = {} if reference.portfolio_id is None else {"portfolio": reference.portfolio_id}
        of = f" of {show.plain(reference.portfolio)}" if reference.portfolio else ""
        frame.link(
            here.present,
            reference.page,
            f"{PAGES[reference.page]}{of}",
            ":material/open_in_new:",
            security=None,
            **where,
        )


def _reinstate(here: Look, s: Row, name: str) -> None:
    _offer(name, here.user, lambda: master.plan_reinstate(here.user, s["security_id"]), {"symbol": s["symbol"]})


def _rename(here: Look, s: Row, name: str) -> None:
    """The new symbol, its exchange, from which day."""
    known = master.known(here.user)
    st.subheader(f"Symbol change of {show.plain(s['symbol'])}", anchor=False)
    st.caption("The old symbol stays in its history; transactions, prices and figures stay with the security.")
    left, middle, right = st.columns(3)
    symbol = left.text_input("New symbol", placeholder="e.g. META", max_chars=32, key=f"{name}_symbol")
    exchange = middle.selectbox("Exchange", list(known.exchanges), index=list(known.exchanges).index(s["exchange"]), key=f"{name}_exchange")  # fmt: skip
    on = right.date_input("From", known.today, format="YYYY-MM-DD", max_value=known.today, min_value=security_form.FIRST, key=f"{name}_on")  # fmt: skip
    if st.button("Show the plan", type="primary", icon=":material/list_alt:", key=f"{name}_plan"):
        asked = {"symbol": symbol, "exchange": exchange, "valid_from": on}
        _offer(name, here.user, lambda: master.plan_rename(here.user, s["security_id"], symbol, exchange, on), asked)


def _delist(here: Look, s: Row, name: str) -> None:
    """Since which day it is listed no more."""
    known = master.known(here.user)
    st.subheader(f"{show.plain(s['symbol'])} was delisted", anchor=False)
    st.caption("It stays with its history; no feed is asked for it any more. What is held of it stays held until it is sold or written off.")  # fmt: skip
    on = st.date_input("Since", known.today, format="YYYY-MM-DD", max_value=known.today, min_value=security_form.FIRST, key=f"{name}_on")  # fmt: skip
    if st.button("Show the plan", type="primary", icon=":material/list_alt:", key=f"{name}_plan"):
        _offer(name, here.user, lambda: master.plan_delist(here.user, s["security_id"], on), {"on": on})
