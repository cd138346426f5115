"""Maintenance: what upkeep of the security master proposes, shown row by row before it is accepted; when its jobs looked; adjusted closes; clean-up."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from core import VERSION
from core.table import Column, Context, Kind, Table
from core.upkeep import KINDS, spoken
from db import reports, tasks, upkeep
from db.access import User
from db.upkeep import Proposal
from ui import clock, errors, frame, plan, scope, session, show
from ui.scope import Here

JOBS = {
    "reclassify": "Sectors, countries and names, by what the feeds say",
    "verify_classes": "Asset classes and dividend frequencies",
    "listings": "Halts, delistings, maturities and new symbols",
    "adjusted_closes": "Adjusted closes against the feed's",
    "housekeeping": "Clean-up",
}
STATES = {"open": "To decide", "accepted": "Accepted", "dismissed": "Dismissed", "superseded": "No longer found"}
COLUMNS = (
    Column("security", "Security"), Column("what", "What"), Column("before", "Now"), Column("after", "Proposed"), Column("why", "Why"),
    Column("found_at", "Found", Kind.TIME, "UTC", wide_only=True), Column("found_by", "By", wide_only=True),
    Column("decided", "Decided by", wide_only=True), Column("note", "Reason", wide_only=True), Column("task", "Task", wide_only=True),
)  # fmt: skip
PHONE = ("security", "what", "after")
OPEN = ("security", "what", "before", "after", "why")
DECIDED = ("security", "what", "before", "after", "decided", "note", "task")
REPORTED = {"price_gaps": ("symbol", "said", "asked_at"), "feed_troubles": ("subject", "what", "feed", "said", "last_at"), "adjusted_closes": ("symbol", "agrees", "on", "difference", "cause"), "clean_up": ()}


def warn(here: Here) -> None:
    """One line where something that is held no longer trades, or where that is proposed."""
    if here.scope.is_past:
        return
    held = {p.security.security_id: p.security for p in here.view.valuation.positions}
    said = [f"{s.symbol} is {s.status}" for s in held.values() if s.status in ("halted", "delisted", "retired")]
    said += [f"{held[n].symbol}: {why}" for n, why in upkeep.warnings(here.user, list(held)).items()]
    if said:
        more = f" and {len(said) - 3} more" if len(said) > 3 else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(
                f"**Held, and no longer as it was:** {show.plain('; '.join(said[:3]))}{more}.",
                icon=":material/do_not_disturb_on:",
            )
            frame.link(here, "securities", "Open Securities")


def section(user: User) -> None:
    """The tab "Maintenance" of the Securities page. Who may not edit sees the lists."""
    may = "edit" in tasks.rights(user)
    st.caption(
        "Once a day these jobs look at the security master and propose what they would change. Nothing is changed until somebody accepts it; "
        "then it is a tracked task like any other."
    )
    said = st.session_state.pop("upkeep_said", None)
    if said:
        st.success(said, icon=":material/check_circle:")
    _proposals(user, may)
    _jobs(user, may)
    _report(user, "price_gaps", "Price gaps")
    _report(user, "feed_troubles", "Feed troubles")
    _report(user, "adjusted_closes", "Adjusted closes")
    _report(user, "clean_up", "What the next clean-up drops")


def of_security(user: User, number: int, may: bool) -> None:
    """What is proposed for one security, on its page: each opens to what it would write and to the two ways on."""
    if said := st.session_state.pop("upkeep_said", None):
        st.success(said, icon=":material/check_circle:")
    for p in upkeep.proposals(user, ("open",), security=number):
        what = _what(p) + ("" if p.told_only else f", {spoken(p.before)} → {spoken(p.after)}")
        box = st.expander(f"**Proposed:** {show.plain(what)}", icon=":material/build:", on_change="rerun", key=f"b_proposal_{p.proposal_id}")  # fmt: skip
        if not box.open:
            continue
        with box:
            if not p.told_only:
                st.markdown(show.plain(f"{p.why[:1].upper()}{p.why[1:]}.") + f" Found on {show.moment(p.found_at)}.")
            if may:
                _decide(user, [p])
            else:
                st.caption("Your role may not decide about it.")


def _what(p: Proposal) -> str:
    """What a proposal is about."""
    return f"{KINDS[p.kind]}: {p.field.replace('_', ' ')}" if p.kind in ("reclassify", "asset_class") else KINDS[p.kind]


def _proposals(user: User, may: bool) -> None:
    with st.container(horizontal=True):
        state = st.selectbox("Proposals", list(STATES), format_func=STATES.__getitem__, key="upkeep_state", width=200)
        kind = st.selectbox(
            "About",
            list(KINDS),
            index=None,
            format_func=KINDS.__getitem__,
            placeholder="All",
            key="upkeep_kind",
            width=240,
        )
    found = upkeep.proposals(user, (state,), kind)
    empty = "Nothing is proposed: what the jobs looked at is as it should be." if state == "open" else "None."
    table = _table(found, empty)
    key = f"upkeep_{hash(tuple(p.proposal_id for p in found))}"  # other rows are another table: nothing stays chosen
    only = PHONE if session.on_phone() else OPEN if state == "open" else DECIDED
    chosen = show.choices(table, key=key, only=only) if may and state == "open" else None
    if chosen is None:
        show.table(table, key=key, only=only)
    elif found:
        _decide(user, [found[i] for i in chosen])


def _table(found: list[Proposal], empty: str) -> Table:
    rows = tuple(
        (p.listing, _what(p), spoken(p.before), spoken(p.after), p.why, p.found_at, p.found_by, p.decided_by, p.note, p.task_status)
        for p in found
    )  # fmt: skip
    return Table("proposals", "Proposals", COLUMNS, rows, Context(clock.utc_day(), None, VERSION), empty=empty)


def _decide(user: User, chosen: list[Proposal]) -> None:
    """What accepting the chosen ones would write, and the two ways on."""
    if not chosen:
        st.caption("Select rows to see exactly what accepting them would write, or to dismiss them.")
        return
    key = str(hash(tuple(p.proposal_id for p in chosen)))
    notices = [p for p in chosen if p.told_only]
    wanted = [p for p in chosen if not p.told_only]
    for p in notices:
        st.info(
            f"**{show.plain(p.listing)}** · {show.plain(p.why)}. There is nothing to accept: mend it, or dismiss it.",
            icon=":material/info:",
        )
    with errors.told():
        if wanted:
            made = upkeep.plan(user, [p.proposal_id for p in wanted])
            with st.container(border=True, key=f"upkeep_plan_{key}"):
                st.subheader(show.plain(made.title), anchor=False)
                plan.show(user, made)
                said = "Accept" if len(wanted) == 1 else f"Accept {len(wanted)} as one task"
                if st.button(said, icon=":material/check:", type="primary", key=f"upkeep_accept_{key}"):
                    task = upkeep.accept(user, [p.proposal_id for p in wanted])
                    scope.goto(task=str(task))
                    st.rerun()
    with st.form(f"upkeep_dismiss_{key}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        why = st.text_input(
            "Reason to dismiss", placeholder="kept with the proposal", max_chars=1000, key=f"upkeep_why_{key}"
        )
        dismissed = st.form_submit_button("Dismiss", icon=":material/close:")
    if dismissed and not why.strip():
        st.error("**A reason is needed.** It is kept with the proposal, for whoever wonders.", icon=":material/error:")
    elif dismissed:
        with errors.told():
            for p in chosen:
                upkeep.dismiss(user, p.proposal_id, why)
            st.session_state["upkeep_said"] = (
                f"{len(chosen)} dismissed. Not proposed again, unless with another outcome."
            )
            st.rerun()


def _jobs(user: User, may: bool) -> None:
    st.subheader("When they looked", anchor=False)
    for look in upkeep.looks(user):
        with st.container(horizontal=True, vertical_alignment="center", key=f"upkeep_job_{look.job}"):
            when = "not yet" if look.started_at is None else show.moment(look.started_at)
            how = (
                f"failed: {look.error}"
                if look.status == "failed"
                else _told(look.detail)
                if look.status == "succeeded"
                else look.status or ""
            )
            waits = " · asked for, begins within seconds" if look.asked_at is not None else ""
            st.markdown(
                f"**{JOBS[look.job]}**  \n{when}{f' · {show.plain(how)}' if how else ''}{waits}", width="stretch"
            )
            if may and st.button(
                "Look now", icon=":material/search:", key=f"upkeep_look_{look.job}", disabled=look.asked_at is not None
            ):
                with errors.told():
                    upkeep.look_now(user, look.job)
                    st.rerun()


def _told(detail: str | None) -> str:
    """ "3 found, 1 new" out of what a run recorded."""
    said: dict[str, Any] = json.loads(detail or "{}")
    return ", ".join(
        f"{v} {k.replace('_', ' ')}" for k, v in said.items() if isinstance(v, int) and (v or k == "found")
    )


def _report(user: User, name: str, title: str) -> None:
    st.subheader(title, anchor=False)
    show.table(reports.answer(user, name), key=f"upkeep_{name}", only=REPORTED[name])
    show.explain(name)
