"""One tracked task while it runs and after: steps with their states, progress, cancelling, the second person's decision, undoing.

if (task_id := task_panel.asked()) is not None:     # ?task=… in the address: a reload brings it back, a link shows it to others
    task_panel.panel(user, task_id, here)
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import streamlit as st

from core.plans import PRIVATE
from db import master, tasks, unbooked
from db.access import User
from db.tasks import Step, Task
from ui import bulk, clock, errors, frame, plan, scope, session, show
from ui.scope import Look

EVERY = 0.5  # seconds between two looks at an open task
PATIENCE = 15  # seconds in the queue before the panel says why that may be
STATUS = {
    "waiting": ("hourglass_top", "orange", "Waits for a second person"),
    "queued": ("schedule", "gray", "Queued"),
    "running": ("progress_activity", "blue", "Running"),
    "completed": ("check_circle", "green", "Completed"),
    "failed": ("error", "red", "Failed: nothing was changed"),
    "cancelled": ("cancel", "gray", "Cancelled: nothing was changed"),
    "rejected": ("block", "red", "Rejected: nothing was changed"),
}
STEPS = {
    "pending": ("radio_button_unchecked", "gray", "pending"),
    "running": ("progress_activity", "blue", "running"),
    "completed": ("check_circle", "green", "completed"),
    "failed": ("error", "red", "failed"),
    "undone": ("undo", "orange", "rolled back"),
    "skipped": ("remove", "gray", "skipped"),
}
KIND_WORDS = {"add": "Add", "edit": "Edit", "remove": "Remove", "reinstate": "Bring back", "symbol_change": "Symbol change", "delist": "Delist",
              "reclassify": "Reclassify", "bulk": "Bulk", "restore": "Restore", "book_splits": "Book splits",
              "reverse_splits": "Take back splits"}  # fmt: skip
# kinds that can be taken back, and the right to it
UNDONE = {"remove": "remove", "edit": "edit", "symbol_change": "edit"}
SCROLL = """export default ({parentElement}) => {
  (parentElement.host ?? parentElement).scrollIntoView({block: "center"})
}"""
_SCROLLS: Any = None


def asked() -> UUID | None:
    """The task that the address names; None without one. What is no number of a task is said."""
    text = st.query_params.get("task")
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        errors.show(tasks.NoSuchTask(f"there is no task {text[:40]!r}"))
        return None


def panel(user: User, task_id: UUID, here: Look | None = None) -> None:
    """One task: followed until it ends, then its result and what can be done about it."""
    with errors.told():
        task = tasks.task_of(user, task_id)
        with st.container(border=True, key="task_panel"):
            if st.session_state.pop("task_new", None) == str(task_id):
                _into_view()
            st.fragment(lambda: _follow(task), run_every=EVERY if task.is_open else None)()
            if task.status == "waiting":
                _decision(user, task)
            elif not task.is_open:
                _outcome(user, task, here)


def _into_view() -> None:
    """Bring the panel to the eyes of who has just confirmed, at the end of a long plan."""
    global _SCROLLS
    _SCROLLS = _SCROLLS or st.components.v2.component("ballast_into_view", html="<i></i>", js=SCROLL)
    _SCROLLS(key="task_into_view", height=1)


def _follow(seen: Task) -> None:
    """How far it is, asked anew; the whole page runs again where it waits no longer, or has ended."""
    user = session.user()
    if user is None:
        st.rerun()
    with errors.told():
        task = tasks.task_of(user, seen.task_id)
        if (task.status == "waiting", task.is_open) != (seen.status == "waiting", seen.is_open):
            st.rerun()
        _head(task)
        for step in task.steps:
            st.markdown(_line(step))
        if _may_cancel(user, task):
            _cancel(user, task)


def _may_cancel(user: User, task: Task) -> bool:
    """Who asked, and admins; not where they decide, for there rejecting says the same."""
    if not task.is_open or task.requested_by == user.user_id:
        return task.is_open
    return user.role == "admin" and not (task.status == "waiting" and "approve" in tasks.rights(user))


def _head(task: Task) -> None:
    icon, colour, words = STATUS[task.status]
    st.subheader(show.plain(task.title), anchor=False)
    running = next((s for s in task.steps if s.status == "running"), None)
    if task.status == "running" and running is not None:
        words += f": step {running.n + 1} of {len(task.steps)}, {running.name}"
    if task.status == "running" and task.cancelled_by is not None:
        words = "Being cancelled: it stops at the next row"
    said = [f"{_elapsed(task)}", f"asked for by {show.plain(task.requester)}", f"`{task.label}`"]
    st.markdown(f":{colour}[:material/{icon}:] **{show.plain(words)}** · " + " · ".join(said))
    st.progress(task.progress, text=f"{task.progress:.0%} of the work")
    queued = (clock.now() - (task.decided_at or task.requested_at)).total_seconds()
    if task.status == "queued" and queued > PATIENCE:
        st.caption("The scheduled process has not begun it yet: it works on another task, or does not run. Nothing is lost meanwhile.")  # fmt: skip
    if task.attempts > 1 and task.is_open:
        st.caption(f"Begun {task.attempts} times: the process that ran it ended in between, and nothing was half written.")  # fmt: skip


def _line(step: Step) -> str:
    """One step: icon, name, state in words, rows, note; the note of one that is through says what it gave."""
    icon, colour, words = STEPS[step.status]
    rows = f"{step.done:,} of {step.rows:,} rows" if step.status == "running" and step.rows else ""
    if step.status == "completed" and not step.note:
        rows = f"{step.done:,} {'row' if step.done == 1 else 'rows'}"
    note = "" if step.status == "failed" else show.plain(step.note)  # why is said below
    parts = [f":{colour}[:material/{icon}:] {show.plain(step.name)}", f"**{words}**", rows, note]
    return " · ".join(p for p in parts if p)


def _elapsed(task: Task) -> str:
    """How long it has been under way, or took."""
    start = task.started_at or task.requested_at
    seconds = max(((task.finished_at or clock.now()) - start).total_seconds(), 0.0)
    if seconds >= 3600:
        said = f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    else:
        said = f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{max(seconds, 0.1):.1f} s"
    return f"{'took' if task.finished_at else 'for'} {said}"


def _cancel(user: User, task: Task) -> None:
    if task.cancelled_by is None and st.button(
        "Cancel",
        icon=":material/cancel:",
        key="task_cancel",
        help="Until its last row is written that is obeyed, and nothing is changed.",
    ):
        tasks.cancel(user, task.task_id)
        st.rerun()


# ── the second person ───────────────────────────────────────────────────────────────────────────────────────


def _decision(user: User, task: Task) -> None:
    """Who asked for what, and the two ways on for those who may."""
    st.markdown(
        f"**{show.plain(task.requester)}** asked for this on {show.moment(task.requested_at)}. A second person approves it before anything is written."
    )
    with st.expander("What will be written", expanded=True, icon=":material/list_alt:"):
        plan.show(user, tasks.plan_of(user, task.task_id))
    if task.requested_by == user.user_id:
        st.caption("You asked for it: somebody else decides.")
        return
    if "approve" not in tasks.rights(user):
        st.caption("Your role may not approve.")
        return
    note = st.text_input("Note (optional)", max_chars=1000, key=f"task_note_{task.task_id}", placeholder="e.g. checked against the prospectus")  # fmt: skip
    with st.container(horizontal=True):
        approved = st.button("Approve", type="primary", icon=":material/check:", key="task_approve")
        rejected = st.button("Reject", icon=":material/block:", key="task_reject")
    if approved or rejected:
        tasks.decide(user, task.task_id, approved, note)
        scope.goto(task=str(task.task_id))  # what was decided stays open, not the next one that waits
        st.rerun()


# ── afterwards ──────────────────────────────────────────────────────────────────────────────────────────────


def _outcome(user: User, task: Task, here: Look | None) -> None:
    """How it ended, what that means, what can be done."""
    if task.status == "completed":
        st.success(f"**{show.plain(task.message)}.**", icon=":material/check_circle:")
    elif task.status == "failed":
        st.error(failure(task), icon=":material/error:")
    if task.decider:
        word = "Rejected" if task.status == "rejected" else "Approved"
        note = f": “{show.plain(task.decision_note)}”" if task.decision_note else ""
        st.caption(f"{word} by {show.plain(task.decider)}{note}")
    if plan.offered(f"undo_{task.task_id}"):
        plan.confirm(user, f"undo_{task.task_id}")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="task_after"):
        one = task.kind not in ("bulk", "restore") and task.security_id  # a file of one row has a number too
        if task.status == "completed" and one and (listing := _listing(user, one)):
            _open(here, task, listing)
        if task.status == "completed":
            _undo(user, task, here)
        st.button("Close", icon=":material/close:", on_click=scope.goto, kwargs={"task": None}, key="task_close")


def failure(task: Task) -> str:
    """Which step failed and why, in words."""
    error: dict[str, Any] = task.error or {}
    n = error.get("step")
    where = f" at step {n + 1}, {show.plain(task.steps[n].name)}" if isinstance(n, int) and n < len(task.steps) else ""
    said = show.plain(str(error.get("message") or task.message))
    if error.get("field") and error.get("expected"):
        value = f", which holds {show.plain(str(error['value']))}" if error.get("value") else ""
        said = f" \nField **{show.plain(str(error['field']))}**{value}: {show.plain(str(error['expected']))}"
    hint = ""
    if error.get("class") == "PlanOutdated":  # its field may be a table: what it is of says more
        said = show.plain(f"{error.get('value') or task.subject}: {error.get('expected') or error.get('message')}")
        hint = "" if "ask again" in said else " Ask again: the new plan is made from what stands now."
    return f"**It failed{where}; everything was rolled back, nothing was changed.** {said}.{hint}"


def _listing(user: User, number: int) -> str:
    """What a security is called now; empty: it is gone."""
    try:
        _, symbol, exchange = master.named(user, number)
    except master.NoSuchSecurity:
        return ""
    return f"{exchange}:{symbol}"


def _open(here: Look | None, task: Task, listing: str) -> None:
    """To the security. On its own page that is a click: a link of a page to itself keeps the parameters that it had."""
    label, icon = f"Open {show.plain(listing)}", ":material/open_in_new:"
    changes = {"security": task.security_id, "task": None}
    if session.here().startswith("/securities"):
        st.button(label, icon=icon, on_click=scope.goto, kwargs=changes, key="task_open")
    elif here is not None:
        frame.link(here, "securities", label, icon, security=task.security_id)
    else:
        st.page_link("securities.py", label=label, icon=icon, query_params={"security": task.security_id})


def _take_back(user: User, task: Task) -> None:
    """The way back of what was booked, for those who may book there."""
    later = unbooked.is_undone(user, task.task_id)
    if later is not None:
        st.button("Undone: show that task", icon=":material/undo:", on_click=scope.goto, kwargs={"task": str(later)}, key="task_undone")  # fmt: skip
    elif unbooked.may_undo(user, task.task_id) and st.button("Undo", icon=":material/undo:", key="task_undo", help="Shows the reversals first."):  # fmt: skip
        with errors.told():
            made = unbooked.plan_undo(user, task.task_id)
            plan.offer(f"undo_{task.task_id}", made, {"undoes": task.label}, task.task_id)


def _undo(user: User, task: Task, here: Look | None) -> None:
    """The way back, for those who may."""
    if task.kind in ("bulk", "restore"):
        bulk.way_back(user, task)
        return
    if task.kind in PRIVATE:
        _take_back(user, task)
        return
    if (
        task.security_id is None
        or UNDONE.get(task.kind) not in tasks.rights(user)
        or (task.kind == "symbol_change" and task.undoes)
    ):
        return
    later = next((t for t in tasks.tasks(user, security=task.security_id)
                  if t.undoes == task.task_id and t.status in (*tasks.OPEN, "completed")), None)  # fmt: skip
    if later is not None:
        st.button("Undone: show that task" if later.status == "completed" else "Being undone: show that task", icon=":material/undo:",
                  on_click=scope.goto, kwargs={"task": str(later.task_id)}, key="task_undone")  # fmt: skip
    elif not _listing(user, task.security_id):
        st.caption("It was deleted for good: to have it again, add it.")
    elif st.button("Undo", icon=":material/undo:", key="task_undo", help="Shows what would be written first."):
        with errors.told():
            made = master.plan_undo(user, tasks.plan_of(user, task.task_id))
            plan.offer(f"undo_{task.task_id}", made, {"undoes": task.label}, task.task_id)
