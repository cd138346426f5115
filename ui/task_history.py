"""Tasks on their page: what waits for a second person, what runs, the history with its filters, one task in full.

The address holds every filter (`?status=failed&q=ACME`), how far back one has gone (`before`) and the task that is open (`task`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from core import VERSION
from core.table import Column, Context, Kind, Table
from db import access, reports, tasks
from db.access import User
from db.tasks import KINDS, STATUSES, Task
from ui import clock, errors, plan, scope, session, show, task_panel
from ui.scope import Look

SHOWN = 50
IN_FILE = 10_000  # rows of a CSV
EVERY = 1.0  # seconds between two looks at what runs
KEY = ("created_at", "title", "status", "requester", "decided_by", "message")
PHONE = ("created_at", "status", "title")  # the state before what runs out of a narrow screen
SOURCES = {"page": "on a page", "api": "by the API", "csv": "with a file", "job": "by a job"}
STEP = (
    Column("name", "Step"),
    Column("status", "State"),
    Column("rows", "Rows", Kind.COUNT),
    Column("started_at", "Began", Kind.TIME, "UTC", wide_only=True),
    Column("seconds", "Seconds", Kind.NUMBER),
    Column("note", "Note", wide_only=True),
)
FILTERS = ("status", "kind", "who", "q", "from", "to")


# --- filters -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks are shown; `asked` is what the address says."""

    asked: tuple[tuple[str, str], ...]
    query: dict[str, Any] = field(hash=False, compare=False)

    def found(self, user: User, before: UUID | None, limit: int) -> list[Task]:
        """The newest of them, or the newest of those before a task."""
        return tasks.tasks(user, **self.query, before=before, limit=limit)

    def table(self, user: User, found: Sequence[Task]) -> Table:
        """Tasks as the report has them."""
        return reports.answer(user, "tasks", given={"tasks": reports.task_rows(found)})


def filters(user: User) -> Wanted:
    """The filters over the history; each writes the address, which says what is shown."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="b_task_filters"):
        st.text_input(
            "Search", type="search", placeholder="Symbol, name …", width=180, **_bound("q", _asked("q") or "")
        )
        _choice("Status", STATUSES, "status", str.capitalize)
        _choice("Kind", KINDS, "kind", task_panel.KIND_WORDS.__getitem__)
        _choice("Asked by", [u[1] for u in access.users(user)], "who")
        for name, label in (("from", "From day"), ("to", "To day")):
            st.date_input(label, None, format="YYYY-MM-DD", min_value=clock.RECORDS, max_value=clock.utc_day(), width=125,
                          **_bound(name, _day(name)))  # fmt: skip
    first, last = _day("from"), _day("to")
    status, kind, who = _asked("status"), _asked("kind"), _asked("who")
    query = {
        "status": [status] if status in STATUSES else [],
        "kind": kind if kind in KINDS else None,
        "requester": who,
        "text": _asked("q") or "",
        "first": _start(first),
        "last": _start(last + timedelta(days=1)) if last else None,
    }
    return Wanted(tuple((name, _asked(name) or "") for name in FILTERS), query)


def _asked(name: str) -> str | None:
    return st.query_params.get(name) or None


def _day(name: str) -> date | None:
    """A day of the address; one that cannot be read is none."""
    try:
        found = date.fromisoformat(_asked(name) or "")
    except ValueError:
        return None
    return found if clock.RECORDS <= found <= clock.utc_day() else None


def _start(on: date | None) -> datetime | None:
    return datetime.combine(on, time(), UTC) if on else None


def _bound(name: str, now: Any) -> dict[str, Any]:
    """The arguments that tie a filter to the address: whoever filters begins again with the newest."""
    key = f"tasks_{name}"
    st.session_state[key] = now

    def chosen() -> None:
        value = st.session_state[key]
        scope.goto(**{name: value.isoformat() if isinstance(value, date) else value}, before=None)

    return {"key": key, "on_change": chosen}


def _choice(label: str, options: Sequence[str], name: str, spoken: Any = str) -> None:
    now = _asked(name)
    st.selectbox(label, options, index=None, placeholder="All", format_func=spoken, width=140,
                 **_bound(name, now if now in options else None))  # fmt: skip


# --- what is open ------------------------------------------------------------------------------


def waiting(user: User) -> list[Task]:
    """What waits for a second person, what this one may decide first."""
    found = tasks.tasks(user, status=("waiting",))
    mine = "approve" in tasks.rights(user)
    return sorted(found, key=lambda t: not (mine and t.requested_by != user.user_id))


def shown_waiting(user: User, found: Sequence[Task], opened: UUID | None) -> None:
    """A line for each task that waits."""
    st.subheader("Waits for a second person", anchor=False)
    for task in found:
        _entry(user, task, opened, f"asked for by {show.plain(task.requester)} on {show.moment(task.requested_at)}")


def under_way(user: User, opened: UUID | None) -> None:
    """Queued and running tasks with how far they are, asked again every second while there are any."""
    ids = [t.task_id for t in tasks.tasks(user, status=("queued", "running"))]
    if ids:
        st.fragment(lambda: _under_way(ids, opened), run_every=EVERY)()


def _under_way(seen: list[UUID], opened: UUID | None) -> None:
    user = session.user()
    if user is None:
        st.rerun()
    with errors.told():
        found = tasks.tasks(user, status=("queued", "running"))
        if [t.task_id for t in found] != seen:
            st.rerun()
        st.subheader("Under way", anchor=False)
        for task in reversed(found):
            whole = tasks.task_of(user, task.task_id) if task.status == "running" else task
            words = f"{whole.progress:.0%} of the work" if task.status == "running" else "in the queue"
            _entry(user, task, opened, f"{words} · asked for by {show.plain(task.requester)}")
            if task.status == "running":
                st.progress(whole.progress)


def _entry(user: User, task: Task, opened: UUID | None, words: str) -> None:
    """One open task: its state, what it is, the way to it."""
    icon, colour, _ = task_panel.STATUS[task.status]
    with st.container(horizontal=True, vertical_alignment="center", key=f"b_task_{task.task_id}"):
        st.markdown(f":{colour}[:material/{icon}:] **{show.plain(task.title)}** · {words}", width="stretch")
        if task.task_id != opened:
            st.button("Open", on_click=scope.goto, kwargs={"task": str(task.task_id)}, key=f"open_{task.task_id}",
                      help=f"Open: {show.plain(task.title)}")  # fmt: skip


# --- the history -------------------------------------------------------------------------------


def history(user: User) -> None:
    """All tasks that fit the filters, newest first; a chosen row opens that task."""
    st.subheader("History", anchor=False)
    wanted = filters(user)
    before = _asked("before")
    try:
        older_than = UUID(before) if before else None
    except ValueError:
        older_than = None
    found = wanted.found(user, older_than, SHOWN + 1)
    page = found[:SHOWN]
    table = wanted.table(user, page)
    if not page and (older_than or any(v for _, v in wanted.asked)):
        st.info("No task fits. Take a filter away.", icon=":material/inbox:")
    else:
        row = show.table(table, key=f"tasks_{hash(wanted)}_{older_than}_{page[0].task_id if page else 0}", select=True, foot=False,
                         only=PHONE if session.on_phone() else KEY)  # fmt: skip
        if row is not None and str(page[row].task_id) != _asked("task"):
            scope.goto(task=str(page[row].task_id))
            st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Newest", icon=":material/first_page:", disabled=older_than is None, on_click=scope.goto, kwargs={"before": None},
                  key="tasks_newest")  # fmt: skip
        st.button("Older", icon=":material/chevron_right:", disabled=len(found) <= SHOWN, on_click=scope.goto,
                  kwargs={"before": str(page[-1].task_id) if page else None}, key="tasks_older")  # fmt: skip
        st.caption("Select a row to open the task." if page else "", width="stretch")
        st.download_button(
            "CSV",
            lambda: wanted.table(user, wanted.found(user, None, IN_FILE)).as_csv().encode(),
            file_name=f"tasks-{table.context.as_of}.csv",
            mime="text/csv",
            key="tasks_csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help=f"What is filtered, up to {IN_FILE:,} tasks, all columns",
        )


# --- one task in full --------------------------------------------------------------------------


def whole(user: User, number: UUID, here: Look | None) -> None:
    """A task: the panel that follows it, then everything that is kept of it."""
    task_panel.panel(user, number, here)
    try:
        task = tasks.task_of(user, number)
    except tasks.NoSuchTask:  # the panel has said it
        return
    with st.expander("Everything about it", icon=":material/list_alt:"):
        _facts(user, task)
        rows = tuple(
            (s.name, s.status, _rows(s), s.started_at, _seconds(s.started_at, s.finished_at), s.note)
            for s in task.steps
        )  # fmt: skip
        context = Context(clock.utc_day(), None, VERSION)
        show.table(
            Table("task_steps", "Steps", STEP, rows, context), key=f"task_steps_{number}_{task.status}", foot=False
        )
        if task.status != "waiting":  # there the panel shows it
            st.markdown("**What was to be written**" if task.status != "completed" else "**What was written**")
            plan.show(user, tasks.plan_of(user, number))


def _facts(user: User, task: Task) -> None:
    """Who asked from where, who decided, when, what it undoes."""
    source, address, request = tasks.came_from(user, task.task_id)
    where = SOURCES.get(source, source)
    if address and (user.role == "admin" or user.user_id == task.requested_by):
        where += f", from {address}"
    facts: dict[str, str] = {
        "Asked for by": f"{task.requester}, {where}, on {show.moment(task.requested_at)}",
        "Four eyes": "needs a second person" if task.four_eyes else "",
        "Decided by": f"{task.decider}, on {show.moment(task.decided_at)}" if task.decider and task.decided_at else "",
        "Note": task.decision_note,
        "Began": show.moment(task.started_at) if task.started_at else "",
        "Ended": show.moment(task.finished_at) if task.finished_at else "",
        "Took": f"{_seconds(task.started_at, task.finished_at):.1f} s" if task.started_at and task.finished_at else "",
        "Attempts": str(task.attempts) if task.attempts > 1 else "",
        "Request": request or "",
        "Number": str(task.task_id),
    }
    show.facts({k: v for k, v in facts.items() if v})
    with st.container(horizontal=True):
        if task.undoes is not None:
            st.button("It undoes a task: show that", icon=":material/undo:", on_click=scope.goto, kwargs={"task": str(task.undoes)},
                      key="task_undoes")  # fmt: skip
        st.page_link("audit.py", label="What it changed, in the audit trail", icon=":material/history:", query_params={"task": str(task.task_id)})  # fmt: skip


def _rows(step: tasks.Step) -> int | None:
    """How many rows a step wrote, or will write; None for one that writes none and says what it gave."""
    rows = step.done if step.status == "completed" else step.rows
    return None if step.note and not rows else rows


def _seconds(first: datetime | None, last: datetime | None) -> float | None:
    return (last - first).total_seconds() if first and last else None


def deciding(found: Sequence[Task], user: User) -> UUID | None:
    """The task that is open where the address names none: the first that this person may decide."""
    if found and found[0].requested_by != user.user_id and "approve" in tasks.rights(user):
        return found[0].task_id
    return None
