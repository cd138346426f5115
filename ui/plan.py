"""A plan as somebody confirms it: every step with its table and the exact rows that it will write.

plan.show(user, made)                 # its steps and notes; for a task that waits as well
plan.offer("add", made, cells)        # from the next run on `plan.offered("add")` holds, and
plan.confirm(user, "add")             # shows it with Confirm and Back; confirmed, it is a task in the address
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import streamlit as st

from core.master import Known
from core.plans import Plan, Row, Step
from db import master, tasks
from db.access import User
from ui import errors, scope
from ui import show as shows
from ui.look import escape

SHOWN_ROWS = 20
ABSENT = "—"
DOES = {"insert": "inserts into", "update": "changes", "delete": "deletes from", "bars": "inserts into", "ask": "asks the feeds; writes nothing",
        "backup": "keeps the master as it is, by the same commit", "book": "books in", "reverse": "books reversals in"}  # fmt: skip
ICONS = {
    "insert": "add",
    "update": "edit",
    "delete": "delete",
    "bars": "show_chart",
    "ask": "travel_explore",
    "backup": "save",
    "book": "playlist_add_check",
    "reverse": "undo",
}
NAMED = frozenset({"portfolio_id", "portfolio", "title", "listing"})  # of an entry: the step and the plan say it
KEYS = ("security_id", "valid_from", "counterparty_id")


def offer(key: str, made: Plan, asked: Mapping[str, Any], undoes: UUID | None = None) -> None:
    """Keep a plan to be confirmed; the page runs again. One is kept at a time."""
    st.session_state["plan"] = (key, made, dict(asked), undoes)
    st.rerun()


def offered(key: str) -> bool:
    """Whether a plan of this name waits to be confirmed."""
    return bool(st.session_state.get("plan", ("",))[0] == key)


def withdraw() -> None:
    """Back: the plan is dropped, what was entered stays."""
    st.session_state.pop("plan", None)


def confirm(
    user: User, key: str, done: Callable[[], object] = lambda: None, back: Callable[[], object] = lambda: None
) -> None:
    """The plan that is kept under this name, with the two ways on: `done` is called once it is asked for, `back` when it is dropped."""
    _, made, asked, undoes = st.session_state["plan"]
    with st.container(border=True, key="plan"):
        st.subheader(shows.plain(made.title), anchor=False)
        show(user, made)
        st.caption("Nothing is written yet.")
        with st.container(horizontal=True):
            confirmed = st.button("Confirm", type="primary", icon=":material/check:", key=f"{key}_confirm")
            st.button("Back", icon=":material/arrow_back:", on_click=lambda: (withdraw(), back()), key=f"{key}_back")
        if confirmed:
            withdraw()  # a second click finds nothing to ask for
            try:
                number = tasks.request(user, made, asked, undoes)
            except errors.KNOWN as error:
                st.session_state["plan"] = (key, made, asked, undoes)
                errors.show(error)
            else:
                done()
                st.session_state["task_new"] = str(number)
                scope.goto(task=str(number))
                st.rerun()


def show(user: User, plan: Plan) -> None:
    """What the plan says about itself, then step by step."""
    known = master.known(user) if _needs_names(plan) else None
    written = sum(s.size for s in plan.steps if s.action not in ("ask", "backup"))
    tables = len({s.table for s in plan.steps if s.table})
    st.caption(
        f"{_count(len(plan.steps), 'step')}, {_count(written, 'row')} in {_count(tables, 'table')}. "
        "All of it is written in one transaction, or nothing."
    )
    for note in plan.notes:
        st.info(shows.plain(note), icon=":material/info:")
    for n, step in enumerate(plan.steps, 1):
        _step(n, step, known)


def _step(n: int, step: Step, known: Known | None) -> None:
    head = f":material/{ICONS[step.action]}: **{n} · {shows.plain(step.name)}**"
    does = DOES[step.action] + (f" `{step.table}`" if step.table else "")
    many = "as many rows as the feeds give" if step.action == "bars" else _count(step.size, "row")
    st.markdown(f"{head} · {does}" + ("" if step.action in ("ask", "backup") else f" · {many}"))
    if step.action == "backup":
        return
    if step.action in ("book", "reverse"):
        step = replace(step, rows=tuple({k: v for k, v in row.items() if k not in NAMED} for row in step.rows))
        if len(step.rows) < step.size:
            st.caption("Its entries are in a portfolio that you may not see.")
            return
    if step.action == "update" and len(step.rows) == 1:
        row, old = step.rows[0], step.before[0]
        changed = [k for k, v in row.items() if k not in KEYS and v != old.get(k)]
        sides = {"Before": old, "After": row}
        shows.facts(
            {"Column": changed} | {side: [said(k, of.get(k), known) for k in changed] for side, of in sides.items()}
        )
    elif step.action == "update":
        _rows([{**{k: said(k, v, known) for k, v in row.items() if k in KEYS},
                **{k: f"{said(k, old.get(k), known)} → {said(k, v, known)}" for k, v in row.items() if k not in KEYS}}
               for row, old in zip(step.rows[:SHOWN_ROWS], step.before[:SHOWN_ROWS], strict=True)])  # fmt: skip
    elif len(step.rows) == 1:
        _one({k: said(k, v, known) for k, v in step.rows[0].items()})
    else:
        _rows([{k: said(k, v, known) for k, v in row.items()} for row in step.rows[:SHOWN_ROWS]])
    if len(step.rows) > SHOWN_ROWS:
        st.caption(
            f"The first {SHOWN_ROWS} of {len(step.rows):,}; {len(step.rows) - SHOWN_ROWS:,} more are like these."
        )


def said(column: str, value: Any, known: Known | None = None) -> str:
    """One cell: sectors and securities with their names, what is missing as a dash."""
    if value is None or value == "":
        return ABSENT
    if column == "sector_id" and known is not None:
        names = next((k for k, n in known.sectors.items() if n == value), ())
        return f"{' › '.join(n for n in names if n)} ({value})" if names else str(value)
    if column == "security_id" and known is not None and isinstance(value, int):
        one = known.by_number.get(value)
        return f"{one.exchange}:{one.symbol} ({value})" if one else str(value)
    return str(value)


def _one(cells: Mapping[str, str]) -> None:
    """One row: each column's name over its cell."""
    st.html("<dl class='b-row'>" + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in cells.items()) + "</dl>")  # fmt: skip


def _rows(rows: Sequence[Row]) -> None:
    """Several rows as a table."""
    columns = list(dict.fromkeys(k for row in rows for k in row))
    st.dataframe([{k: row.get(k, ABSENT) for k in columns} for row in rows], hide_index=True)


def _needs_names(plan: Plan) -> bool:
    """Whether a cell that is shown is the number of a sector or a security."""
    return any(
        row.get("sector_id") is not None or isinstance(row.get("security_id"), int)
        for step in plan.steps
        for row in (*step.rows[:SHOWN_ROWS], *step.before[:SHOWN_ROWS])
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
