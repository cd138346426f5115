"""Tracked tasks: asking for one, deciding, cancelling, looking; and for the scheduled process claiming, progress, the end.

What a task changes and the news that it is completed are one transaction; its progress is written beside it, by a second
connection, so that others see it while it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from core import plans
from core.master import DuplicateSymbol, MasterError
from core.plans import Plan
from db import engine, master
from db.access import AccessDenied, User
from db.request_keys import KeyReused

CHANNEL = "ballast_tasks"
OPEN = ("waiting", "queued", "running")
STATUSES = (*OPEN, "completed", "failed", "cancelled", "rejected")
KINDS = ("add", "edit", "remove", "reinstate", "symbol_change", "delist", "reclassify", "bulk", "restore", "book_splits", "reverse_splits")  # fmt: skip
RIGHTS = ("add", "edit", "remove", "bulk", "approve")
HANGS = 15  # seconds without a word after which the server ends the transaction of a task
ATTEMPTS = 5  # times that a task is begun, before it counts as failed


class NoSuchTask(LookupError):
    """There is no task of this number."""


class TaskFailed(RuntimeError):
    """A task ended without doing what was asked: at which step, and why."""


class TaskOver(ValueError):
    """Somebody decides or cancels a task that has ended, or runs."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one step is."""

    n: int
    name: str
    status: str
    rows: int
    done: int
    started_at: datetime | None
    finished_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class Task:
    """One task as everybody sees it; its plan is asked for apart (`plan_of`)."""

    task_id: UUID
    kind: str
    title: str
    subject: str
    security_id: int | None
    status: str
    requested_by: UUID
    requester: str
    requested_at: datetime
    source: str
    four_eyes: bool
    decider: str | None
    decided_at: datetime | None
    decision_note: str
    cancelled_by: UUID | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    message: str
    result: dict[str, Any]
    error: dict[str, Any] | None
    undoes: UUID | None
    about: dict[str, Any] | None  # the security as it will be, see db.master.about; None: several
    steps: tuple[Step, ...] = ()

    @property
    def label(self) -> str:
        """The name that S0 gives a task: security_add_AAPL_1621534567."""
        return f"security_{self.kind}_{self.subject.split(':')[-1]}_{int(self.requested_at.timestamp())}"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN

    @property
    def current_step(self) -> int | None:
        """Zero-based index of the step that runs, else of the last one that did (ERRATA 6); None before the first."""
        begun = [s.n for s in self.steps if s.status not in ("pending", "skipped")]
        running = [s.n for s in self.steps if s.status in ("running", "failed")]
        return running[0] if running else max(begun, default=None)

    @property
    def progress(self) -> float:
        """The share of the work that is done, 0 to 1: steps, and within a step its rows."""
        if self.status == "completed":
            return 1.0
        parts = [
            1.0 if s.status in ("completed", "skipped") else s.done / s.rows if s.rows else 0.0 for s in self.steps
        ]
        return sum(parts) / len(parts) if parts else 0.0


# what writes into portfolios is called by what its reader may see of it
_COLUMNS = """t.task_id, t.kind, coalesce((SELECT string_agg(DISTINCT e.title, '; ') FROM task_entries e WHERE e.task_id = t.task_id), t.title), t.subject, t.security_id, t.status, t.requested_by, u.username AS requester, t.requested_at, t.source, t.four_eyes,
  d.username AS decider, t.decided_at, t.decision_note, t.cancelled_by, t.attempts, t.started_at, t.finished_at, t.message, t.result, t.error, t.undoes, t.request -> 'about'"""
_FROM = "tasks t JOIN users u ON u.user_id = t.requested_by LEFT JOIN users d ON d.user_id = t.decided_by"


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def request(
    user: User, plan: Plan, asked: Mapping[str, Any], undoes: UUID | None = None, key: str | None = None
) -> UUID:
    """Ask for a plan to be carried out; the task's number. `asked`: what was asked for, kept with it.

    With a `key` the same person gets the same task for it within a day. Raises AccessDenied, KeyReused, and DuplicateSymbol
    where another task is about to take the same symbol.
    """
    with refused(), engine.session(user.user_id) as c:
        if key is not None:
            c.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (f"{user.user_id} {key}",))
            if (before := _asked_before(c, user, key, asked)) is not None:
                return before
        return request_on(c, plan, asked, undoes, key)


def request_on(
    c: psycopg.Connection, plan: Plan, asked: Mapping[str, Any], undoes: UUID | None = None, key: str | None = None
) -> UUID:
    """The same on an open connection, for whom it acts for; where the key was used before it does not look."""
    kept, entries = plans.public(plan), plans.entries_of(plan)
    request = {**_asked_for(asked, private=bool(entries)), "about": None if entries else master.about(c, plan)}
    if key is not None:
        request["key"] = key
    try:
        row = c.execute(
            "SELECT request_task(%s, %s, %s, %s, %s, %s, %s, %s)",
            (kept.kind, kept.title, kept.subject, kept.security_id, kept.claim, json.dumps(request, default=str),
             json.dumps(kept.as_json()), undoes),
        ).fetchone()  # fmt: skip
    except psycopg.errors.UniqueViolation as e:
        raise DuplicateSymbol("symbol", plan.claim, "duplicate symbol: another task is just adding it") from e
    assert row is not None
    number: UUID = row[0]
    if entries:
        c.execute("SELECT add_task_entries(%s, %s)", (number, json.dumps(entries)))
    return number


def request_own(c: psycopg.Connection, plan: Plan) -> UUID:
    """Ask for a plan in the name of the installation, on a connection of the scheduled process."""
    c.execute("SELECT act_as_installation()")
    return request_on(c, plan, {})


def _asked_for(asked: Mapping[str, Any], private: bool) -> dict[str, Any]:
    """What was asked for as everybody may read it: of what concerns portfolios a digest, to know it again by."""
    if not private:
        return dict(asked)
    return {"sha256": hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()}


def asked_before(user: User, key: str, asked: Mapping[str, Any]) -> UUID | None:
    """The task that this person asked for with this key within a day. Raises KeyReused where it was for something else."""
    with engine.session(user.user_id) as c:
        return _asked_before(c, user, key, asked)


def _asked_before(c: psycopg.Connection, user: User, key: str, asked: Mapping[str, Any]) -> UUID | None:
    row = c.execute(
        "SELECT task_id, request - '{about,key}'::text[] IN (%s::jsonb, %s::jsonb) FROM tasks "
        "WHERE requested_by = %s AND request ->> 'key' = %s AND requested_at > now() - interval '1 day' ORDER BY task_id LIMIT 1",
        (*(json.dumps(_asked_for(asked, private), default=str) for private in (False, True)), user.user_id, key),
    ).fetchone()
    if row is None:
        return None
    if not row[1]:
        raise KeyReused(key)
    number: UUID = row[0]
    return number


def decide(user: User, task: UUID, approved: bool, note: str = "") -> None:
    """Approve or reject what somebody else asked for. Raises AccessDenied, NoSuchTask, TaskOver."""
    with refused(), engine.session(user.user_id) as c:
        row = c.execute("SELECT decide_task(%s, %s, %s)", (task, approved, note.strip()[:1000])).fetchone()
    _told(row, ("waiting",), "it waits for nobody's decision")


def cancel(user: User, task: UUID) -> None:
    """Stop a task; until its commit that is obeyed, and nothing is changed. Raises AccessDenied, NoSuchTask, TaskOver."""
    with refused(), engine.session(user.user_id) as c:
        if c.execute("SELECT 1 FROM tasks WHERE task_id = %s", (task,)).fetchone() is None:
            raise NoSuchTask(f"there is no task {task}")
        row = c.execute("SELECT cancel_task(%s)", (task,)).fetchone()
    _told(row, OPEN, "it has ended")


def _told(row: Sequence[Any] | None, right: Sequence[str], otherwise: str) -> None:
    status = row[0] if row else "absent"
    if status == "absent":
        raise NoSuchTask("there is no such task")
    if status not in right:
        raise TaskOver(f"the task is {status}: {otherwise}")


@contextmanager
def refused() -> Iterator[None]:
    """What the database refuses for the person's role, as AccessDenied."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as e:
        raise AccessDenied(e.diag.message_primary or "you may not do this") from e


def task_of(user: User, task: UUID) -> Task:
    """One task with its steps. Raises NoSuchTask."""
    with engine.session(user.user_id) as c:
        return _one(c, task)


def _one(c: psycopg.Connection, task: UUID) -> Task:
    with c.cursor(row_factory=class_row(Step)) as cursor:
        steps = cursor.execute("SELECT n, name, status, rows, done, started_at, finished_at, note FROM task_steps WHERE task_id = %s ORDER BY n",
                               (task,)).fetchall()  # fmt: skip
    row = c.execute(f"SELECT {_COLUMNS} FROM {_FROM} WHERE t.task_id = %s", (task,)).fetchone()
    if row is None:
        raise NoSuchTask(f"there is no task {task}")
    named: dict[int, str] = dict(c.execute("SELECT e.step, min(p.name) FROM task_entries e JOIN portfolios p USING (portfolio_id) WHERE e.task_id = %s GROUP BY 1",
                           (task,)).fetchall())  # fmt: skip
    steps = [replace(s, name=s.name.replace("a portfolio", named[s.n])) if s.n in named else s for s in steps]
    values: list[Any] = [*row, tuple(steps)]
    return Task(*values)


def plan_of(user: User, task: UUID) -> Plan:
    """The rows that were confirmed; of those in portfolios, what this person may read. Raises NoSuchTask."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT plan FROM tasks WHERE task_id = %s", (task,)).fetchone()
        if row is None:
            raise NoSuchTask(f"there is no task {task}")
        return _with_entries(c, task, Plan.of(row[0]))


def _with_entries(c: psycopg.Connection, task: UUID, kept: Plan) -> Plan:
    if kept.kind not in plans.PRIVATE:
        return kept
    rows = c.execute("SELECT step, entry FROM task_entries WHERE task_id = %s ORDER BY step, n", (task,)).fetchall()
    return plans.with_entries(kept, rows)


def tasks(user: User, status: Sequence[str] = (), kind: str | None = None, requester: str | None = None, text: str = "", first: datetime | None = None,
          last: datetime | None = None, security: int | None = None, before: UUID | None = None, limit: int = 200) -> list[Task]:  # fmt: skip
    """Tasks, newest first, without their steps; `before`: only those older than that task."""
    with engine.session(user.user_id) as c:
        rows = c.execute(
            f"""SELECT {_COLUMNS} FROM {_FROM} WHERE (%(status)s::text[] = '{{}}' OR t.status = ANY (%(status)s)) AND (%(kind)s::text IS NULL OR t.kind = %(kind)s)
                   AND (%(who)s::text IS NULL OR u.username = %(who)s) AND (%(text)s = '' OR t.title ILIKE '%%' || %(text)s || '%%'
                        OR EXISTS (SELECT FROM task_entries e WHERE e.task_id = t.task_id AND e.title ILIKE '%%' || %(text)s || '%%'))
                   AND (%(first)s::timestamptz IS NULL OR t.requested_at >= %(first)s) AND (%(last)s::timestamptz IS NULL OR t.requested_at < %(last)s)
                   AND (%(security)s::int IS NULL OR t.security_id = %(security)s
                        OR EXISTS (SELECT FROM task_entries e WHERE e.task_id = t.task_id AND e.security_id = %(security)s)) AND (%(before)s::uuid IS NULL OR t.task_id < %(before)s)
                 ORDER BY t.task_id DESC LIMIT %(limit)s""",
            {"status": list(status), "kind": kind, "who": requester, "text": text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_"),
             "first": first, "last": last, "security": security, "before": before, "limit": limit},
        ).fetchall()  # fmt: skip
    return [Task(*row) for row in rows]


def policy(user: User) -> dict[str, Any]:
    """The least role for each right, and under `four_eyes` the rights that need a second person."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT policy()").fetchone()
    return dict(row[0]) if row else {}


def rights(user: User) -> frozenset[str]:
    """What this person may do: add, edit, remove, bulk, approve."""
    with engine.session(user.user_id) as c:
        return frozenset(
            r[0] for r in c.execute("SELECT r FROM unnest(%s::text[]) r WHERE may(r)", (list(RIGHTS),)).fetchall()
        )


def waiting_for(user: User) -> int:
    """How many tasks wait for this person's decision."""
    with engine.session(user.user_id) as c:
        row = c.execute(
            "SELECT CASE WHEN count(*) = 0 THEN 0 WHEN may('approve') THEN count(*) ELSE 0 END FROM tasks WHERE status = 'waiting' AND requested_by <> %s",
            (user.user_id,),
        ).fetchone()
    return int(row[0]) if row else 0


def came_from(user: User, task: UUID) -> tuple[str, str | None, str | None]:
    """(page, api, csv or job; address; number of the request) of who asked for a task. Raises NoSuchTask."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT source, address, request_id FROM tasks WHERE task_id = %s", (task,)).fetchone()
    if row is None:
        raise NoSuchTask(f"there is no task {task}")
    return row[0], row[1], row[2]


def set_policy(user: User, said: Mapping[str, Any]) -> None:
    """Say who may do what; for admins. Raises AccessDenied, ValueError."""
    for right in RIGHTS:
        if right in said and said[right] not in ("analyst", "admin"):
            raise ValueError(f"{right} {said[right]!r}: expected analyst or admin")
    unknown = set(said) - {*RIGHTS, "four_eyes"}
    both = list(said.get("four_eyes", []))
    if unknown or set(both) - (set(RIGHTS) - {"approve"}):
        raise ValueError(
            f"{', '.join(sorted(unknown | set(both)))}: expected {', '.join(RIGHTS)}, and under four_eyes some of them"
        )
    with refused(), engine.session(user.user_id) as c:
        c.execute("SELECT set_policy(%s)", (json.dumps(dict(said)),))


# ── for the scheduled process ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task that this process works on."""

    task_id: UUID
    kind: str
    security_id: int | None
    requested_by: UUID
    source: str
    address: str | None
    request_id: str | None
    plan: Plan


@contextmanager
def beside() -> Iterator[psycopg.Connection]:
    """A connection that commits every statement at once: for progress, beside the transaction of the work."""
    with engine.pool("ballast_jobs").connection() as c:
        c.autocommit = True
        try:
            yield c
        finally:
            c.autocommit = False


def take_back(c: psycopg.Connection) -> int:
    """Queue again what nobody works on any more; how many. What was begun too often fails.

    Called by the one process that leads, while it works on none: whatever counts as running was left behind.
    """
    row = c.execute(
        """WITH back AS (UPDATE tasks SET worker = NULL,
                  status = CASE WHEN cancelled_by IS NOT NULL THEN 'cancelled' WHEN attempts >= %(most)s THEN 'failed' ELSE 'queued' END,
                  finished_at = CASE WHEN cancelled_by IS NOT NULL OR attempts >= %(most)s THEN clock_timestamp() END,
                  message = CASE WHEN cancelled_by IS NOT NULL THEN 'Cancelled: nothing was changed'
                                 WHEN attempts >= %(most)s THEN format('Failed: begun %%s times; %%s. Nothing was changed', attempts, coalesce(error ->> 'message', %(died)s)) ELSE '' END,
                  error = CASE WHEN cancelled_by IS NULL THEN
                    coalesce(error, CASE WHEN attempts >= %(most)s THEN jsonb_build_object('class', 'TaskFailed', 'message', %(died)s, 'step', NULL) END) END
            WHERE status = 'running' RETURNING task_id, status),
           steps AS (UPDATE task_steps s SET status = CASE WHEN b.status = 'queued' THEN 'pending' WHEN s.status = 'pending' THEN 'skipped' ELSE 'undone' END,
                  done = 0, started_at = NULL, finished_at = NULL, note = '' FROM back b WHERE s.task_id = b.task_id)
           SELECT count(*) FROM back""",
        {"most": ATTEMPTS, "died": "the process that ran it ended each time"},
    ).fetchone()
    return int(row[0]) if row else 0


def claim(c: psycopg.Connection, worker: str) -> Claimed | None:
    """The oldest queued task, now ours; None where there is none."""
    row = c.execute(
        "UPDATE tasks SET status = 'running', worker = %s, attempts = attempts + 1, started_at = clock_timestamp() WHERE task_id = "
        "(SELECT task_id FROM tasks WHERE status = 'queued' ORDER BY task_id LIMIT 1 FOR UPDATE SKIP LOCKED) "
        "RETURNING task_id, kind, security_id, requested_by, source, address, request_id, plan",
        (worker,),
    ).fetchone()
    if row is None:
        return None
    values: list[Any] = [*row[:-1], _with_entries(c, row[0], Plan.of(row[-1]))]
    return Claimed(*values)


@contextmanager
def working(task: Claimed) -> Iterator[psycopg.Connection]:
    """The transaction of a task, on behalf of who asked for it: the audit trail names them. One that hangs is ended by the server."""
    told = engine.origin.set(engine.Origin(task.source, task.address, task.request_id))
    try:
        with engine.jobs(task.requested_by, task.task_id, task.source) as c:
            c.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{HANGS}s'")
            yield c
    finally:
        engine.origin.reset(told)


def still_allowed(c: psycopg.Connection, task: Claimed) -> None:
    """Raises TaskFailed where who asked for it may not do so any more: it may have waited."""
    row = c.execute(
        "SELECT are_allowed(requested_by, rights_of(kind, plan)) FROM tasks WHERE task_id = %s", (task.task_id,)
    ).fetchone()
    if row is None or not row[0]:
        raise TaskFailed("who asked for it may not do so any more: have somebody else ask for it")


def interrupted(c: psycopg.Connection, task: UUID, worker: str, step: int | None, error: Exception) -> None:
    """The database broke off the work: it is begun anew; where that comes to nothing, this is why."""
    said = {"class": "TaskFailed", "message": f"{type(error).__name__}: {error}", "step": step}
    c.execute(
        "UPDATE tasks SET error = %s WHERE task_id = %s AND worker = %s AND status = 'running'",
        (json.dumps(said), task, worker),
    )


def begin_step(c: psycopg.Connection, task: UUID, n: int) -> None:
    """A step begins."""
    c.execute(
        "UPDATE task_steps SET status = 'running', started_at = clock_timestamp() WHERE task_id = %s AND n = %s",
        (task, n),
    )


def advance(c: psycopg.Connection, task: UUID, n: int, done: int) -> bool:
    """So many rows of the step are written; whether somebody has cancelled the task."""
    c.execute("UPDATE task_steps SET done = %s WHERE task_id = %s AND n = %s", (done, task, n))
    row = c.execute("SELECT cancelled_by IS NOT NULL FROM tasks WHERE task_id = %s", (task,)).fetchone()
    return bool(row and row[0])


def end_step(c: psycopg.Connection, task: UUID, n: int, done: int, note: str = "") -> None:
    """A step is through."""
    c.execute(
        "UPDATE task_steps SET status = 'completed', done = %(d)s, rows = greatest(rows, %(d)s), finished_at = clock_timestamp(), note = %(note)s "
        "WHERE task_id = %(task)s AND n = %(n)s",
        {"d": done, "note": note[:500], "task": task, "n": n},
    )


def completed(c: psycopg.Connection, task: UUID, worker: str, message: str, result: Mapping[str, Any]) -> bool:
    """Within the transaction of the work, as its last statement: whether the task is still ours and nobody cancelled it."""
    return bool(
        c.execute(
            "UPDATE tasks SET status = 'completed', finished_at = clock_timestamp(), message = %s, result = %s, error = NULL, security_id = coalesce(security_id, %s) "
            "WHERE task_id = %s AND worker = %s AND status = 'running' AND cancelled_by IS NULL",
            (message, json.dumps(result, default=str), result.get("security_id"), task, worker),
        ).rowcount
    )


def ended(c: psycopg.Connection, task: UUID, worker: str, step: int | None, error: Exception | None) -> None:
    """The transaction was rolled back: the task failed at a step, or (without an error) was cancelled."""
    said = None
    if error is not None:
        said = {"class": type(error).__name__, "message": str(error), "step": step}
        if isinstance(error, MasterError):
            said |= {
                "field": error.field,
                "value": None if error.value is None else str(error.value),
                "expected": error.expected,
            }
    c.execute(
        "UPDATE task_steps SET status = CASE WHEN n = %(step)s THEN %(how)s WHEN status = 'pending' THEN 'skipped' ELSE 'undone' END, "
        "finished_at = CASE WHEN n = %(step)s THEN clock_timestamp() ELSE finished_at END, note = CASE WHEN n = %(step)s THEN %(note)s ELSE note END "
        "WHERE task_id = %(task)s AND EXISTS (SELECT FROM tasks t WHERE t.task_id = %(task)s AND t.worker = %(worker)s AND t.status = 'running')",
        {
            "step": step,
            "how": "failed" if error else "undone",
            "note": str(error)[:500] if error else "",
            "task": task,
            "worker": worker,
        },
    )
    c.execute(
        "UPDATE tasks SET status = %s, finished_at = clock_timestamp(), message = %s, error = %s WHERE task_id = %s AND worker = %s AND status = 'running'",
        ("failed" if error else "cancelled", f"Failed: {error}. Nothing was changed" if error else "Cancelled: nothing was changed",
         json.dumps(said) if said else None, task, worker),
    )  # fmt: skip


_FORGETTABLE = """finished_at < now() - make_interval(days => %s) AND NOT EXISTS (SELECT FROM tasks u WHERE u.undoes = t.task_id)"""


def forget(c: psycopg.Connection, days: int) -> int:
    """Drop tasks that ended so long ago; what they changed stays in the audit trail. How many."""
    return c.execute(f"DELETE FROM tasks t WHERE {_FORGETTABLE}", (days,)).rowcount


def forgettable(c: psycopg.Connection, days: int) -> int:
    """How many `forget` would drop."""
    row = c.execute(f"SELECT count(*) FROM tasks t WHERE {_FORGETTABLE}", (days,)).fetchone()
    return int(row[0]) if row else 0
