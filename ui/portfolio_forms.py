"""The forms around a portfolio: create one, change its name, benchmark, goal and note, share it, archive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import streamlit as st

from core import VERSION, importing
from core.book import Portfolio
from core.ledger import LedgerError
from core.methods import SPOKEN
from core.portfolio_fields import FIRST_GOAL, LAST_GOAL, LONGEST_NAME, LONGEST_NOTE
from core.table import Column, Context, Table
from db import access, engine, installation, market, portfolios
from db.access import AccessDenied, User
from settings import settings
from ui import clock, errors, labels, scope, show
from ui.scope import Here

ACCESS = {"read": "may look", "write": "may book and edit", "manage": "may share and archive too"}


def instance(name: str, fresh: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What one form remembers until it is done: its number (in the keys of its widgets) and what stood when it opened."""
    found: dict[str, Any] = st.session_state.setdefault("portfolio_forms", {}).setdefault(
        name, {"key": uuid4().hex[:8], **fresh()}
    )
    return found


def finish(name: str, said: str = "") -> None:
    """Close a form: the next run opens a new one; `said` is told at the top of the page."""
    st.session_state["portfolio_forms"].pop(name, None)
    st.session_state["portfolio_said"] = said
    st.rerun()


def beside(slots: dict[str, Any], error: Exception) -> None:
    """An error under its field, or under the form."""
    field, words = getattr(error, "field", ""), str(getattr(error, "expected", error))
    if field not in slots:
        field, words = "", str(error)
    slots[field].markdown(f":red[:material/error: {show.plain(words[:1].upper() + words[1:])}.]")


def benchmarks(user: User) -> dict[int | None, str]:
    """What a portfolio may be measured against."""
    return {None: "None", **labels.securities(market.securities(user.user_id))}


def create(user: User, mine: list[Portfolio]) -> None:
    """A new portfolio."""
    if user.role == "viewer":
        st.info(
            "You are signed in as a viewer: only analysts and admins create portfolios.", icon=":material/visibility:"
        )
        return
    key, known = instance("new", dict)["key"], benchmarks(user)
    with engine.session(user.user_id) as c:
        currencies = installation.currencies(c)
    slots: dict[str, Any] = {}
    with st.form(f"create_{key}"):
        name = st.text_input(
            "Name",
            placeholder="e.g. Pension 2040",
            help=f"1 to {LONGEST_NAME} characters.",
            max_chars=LONGEST_NAME,
            key=f"create_name_{key}",
        ).strip()
        slots["name"] = st.empty()
        left, middle, right = st.columns(3)
        base = left.selectbox(
            "Base currency",
            currencies,
            index=currencies.index(settings.currency) if settings.currency in currencies else 0,
            help="It cannot be changed later.",
            key=f"create_base_{key}",
        )
        method = middle.selectbox(
            "Cost method",
            list(SPOKEN),
            format_func=SPOKEN.__getitem__,
            help="How sales take their cost from the lots.",
            key=f"create_method_{key}",
        )
        benchmark = right.selectbox(
            "Benchmark", list(known), format_func=known.__getitem__, key=f"create_benchmark_{key}"
        )
        note = st.text_area(
            "Note (optional)",
            placeholder="e.g. mandate, broker, purpose",
            max_chars=LONGEST_NOTE,
            height="content",
            key=f"create_note_{key}",
        )
        slots[""] = st.empty()
        sent = st.form_submit_button("Create portfolio", type="primary", icon=":material/add:")
    if not sent:
        return
    if name.lower() in {p.name.lower() for p in mine}:
        return beside(slots, LedgerError("name", name, "you have a portfolio of this name: choose another"))
    try:
        new = portfolios.create_portfolio(user.user_id, name, base, benchmark, method, note.strip())
    except (ValueError, AccessDenied) as e:
        return beside(slots, e)
    scope.goto(portfolio=str(new), security=None)
    finish("new", f"{name} is ready. Enter its first transaction, or import a CSV, under Transactions.")


def edit(here: Here) -> None:
    """Name, benchmark, goal and note, against the version that stood when the form opened."""
    user, p = here.user, here.portfolio
    opened = instance(f"edit_{p.portfolio_id}", lambda: {"was": p, "version": p.version, "stale": False})
    was, key, known = opened["was"], opened["key"], benchmarks(user)
    slots: dict[str, Any] = {}
    with st.form(f"edit_{key}"):
        name = st.text_input("Name", was.name, max_chars=LONGEST_NAME, key=f"edit_name_{key}").strip()
        slots["name"] = st.empty()
        left, middle, right = st.columns(3)
        benchmark = left.selectbox(
            "Benchmark",
            list(known),
            index=list(known).index(was.benchmark_id),
            format_func=known.__getitem__,
            key=f"edit_benchmark_{key}",
        )
        goal = middle.text_input(f"Goal in {p.base_currency} (optional)", "" if was.goal_value is None else format(was.goal_value.normalize(), "f"),
                                 placeholder="e.g. 250000.00", max_chars=30, key=f"edit_goal_{key}").strip()  # fmt: skip
        slots["goal_value"] = middle.empty()
        goal_on = right.date_input("Goal date (optional)", was.goal_on, format="YYYY-MM-DD", min_value=min(FIRST_GOAL, was.goal_on or FIRST_GOAL),
                                   max_value=max(LAST_GOAL, was.goal_on or LAST_GOAL), key=f"edit_goal_on_{key}")  # fmt: skip
        note = st.text_area(
            "Note (optional)", was.note, max_chars=LONGEST_NOTE, height="content", key=f"edit_note_{key}"
        )
        st.caption(f"The base currency, {p.base_currency}, cannot be changed.")
        slots[""] = st.empty()
        sent = st.form_submit_button("Save", type="primary", icon=":material/save:")
    if opened["stale"] and not sent:
        conflict(p, opened)
    if not sent:
        return
    try:
        value = importing.number("goal_value", goal)
        portfolios.edit_portfolio(
            user.user_id,
            p.portfolio_id,
            opened["version"],
            name=name,
            benchmark_id=benchmark,
            goal_value=value,
            goal_on=goal_on,
            note=note.strip(),
        )
    except portfolios.StaleEdit:
        opened["stale"] = True
        conflict(p, opened)
    except (ValueError, AccessDenied) as e:
        return beside(slots, e)
    else:
        finish(f"edit_{p.portfolio_id}", f"{name} is saved.")


def conflict(now: Portfolio, opened: dict[str, Any]) -> None:
    """Somebody was faster: what they changed, and the two ways on. What was entered stays in the form."""
    changed = [f"{title}: {getattr(now, field) or 'none'}" for field, title in (("name", "name"), ("goal_value", "goal"), ("goal_on", "goal date"), ("note", "note"))
               if getattr(now, field) != getattr(opened["was"], field)]  # fmt: skip
    st.warning("**Somebody changed this portfolio, or booked in it, since you opened this form.** Nothing was saved; what you entered is still here. "
               + (f"It now has {show.plain('; '.join(changed))}." if changed else "None of these fields changed, except perhaps the benchmark."), icon=":material/sync_problem:")  # fmt: skip

    form = f"edit_{now.portfolio_id}"

    def mine() -> None:
        st.session_state["portfolio_forms"][form] |= {"version": now.version, "stale": False}

    def theirs() -> None:
        st.session_state["portfolio_forms"].pop(form, None)

    with st.container(horizontal=True):
        st.button("Keep mine: let me save over it", on_click=mine, icon=":material/edit:", key="conflict_mine")
        st.button("Take theirs: show what is stored", on_click=theirs, icon=":material/refresh:", key="conflict_theirs")


def sharing(here: Here) -> None:
    """Who sees it; for its managers the form that changes that."""
    user, p = here.user, here.portfolio
    columns = (
        Column("username", "User name"),
        Column("display_name", "Name"),
        Column("role", "Role"),
        Column("access", "Access"),
    )
    rows = tuple(
        (name, shown, role, f"{given}: {ACCESS[given]}")
        for name, shown, role, given in access.grants(user, p.portfolio_id)
    )
    show.table(
        Table("grants", "Who may see it", columns, rows, Context(clock.utc_day(), None, VERSION)),
        key=f"grants_{len(rows)}",
    )
    if p.access != "manage" or user.role == "viewer":
        st.caption("Only those who manage this portfolio see everybody it is shared with, and may share it.")
        return
    others = {
        name: f"{name} · {shown} ({role})" for _, name, shown, role in access.users(user) if name != user.username
    }
    slots: dict[str, Any] = {}
    with st.form("share"):
        left, right = st.columns(2)
        who = left.selectbox(
            "Person",
            list(others),
            index=None,
            format_func=others.__getitem__,
            placeholder="Choose somebody",
            key="share_who",
        )
        slots["username"] = left.empty()
        given = right.selectbox(
            "Access",
            [*ACCESS, "none"],
            format_func=lambda a: f"{a}: {ACCESS.get(a, 'take it back')}",
            key="share_access",
        )
        st.caption("Access holds from the next click on. Viewers never book, whatever their access.")
        slots[""] = st.empty()
        sent = st.form_submit_button("Set access", type="primary", icon=":material/person_add:")
    if sent:
        try:
            if not who:
                raise LedgerError("username", None, "choose who should have access")
            access.share(user, p.portfolio_id, who, given if given in ACCESS else None)
        except (ValueError, AccessDenied) as e:
            return beside(slots, e)
        finish("share", f"{who} {ACCESS[given]}: {p.name}." if given in ACCESS else f"{who} no longer sees {p.name}.")


@st.dialog("Archive this portfolio?", icon=":material/archive:")
def confirm_archive(here: Here) -> None:
    """Ask before it leaves every list."""
    st.markdown(f"**{show.plain(here.portfolio.name)}** leaves every list, for everybody it is shared with. Its ledger is kept; nothing is deleted. "
                "Bringing it back is up to whoever runs the installation.")  # fmt: skip
    if st.button("Archive it", type="primary", icon=":material/archive:", key="archive_yes"):
        with errors.told():
            portfolios.edit_portfolio(
                here.user.user_id, here.portfolio.portfolio_id, here.portfolio.version, archived=True
            )
            scope.goto(portfolio=None)
            finish("archive", f"{here.portfolio.name} is archived.")
