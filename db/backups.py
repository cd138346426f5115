"""Backups of the security master: taken within the transaction of a bulk write, kept, and brought back as a plan of exact rows.

A backup is gzip of JSON lines, {"table": …, "row": …} with the columns as they are: the tables of `core.restoring.KEYS`, of
prices, bars and corporate actions what a person typed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from core.master import PlanOutdated
from core.plans import MANUAL, Plan, Row
from core.ratio import read_ratio
from core.removal import for_everybody, obstacles
from core.restoring import KEYS, TYPED, Key, NothingToRestore, State, came_since, restoration
from db import engine, master, tasks
from db.access import User

KEEP, DAYS = 20, 90  # the newest so many are kept, and all that are younger: kept_for_a_time() in 0003_upkeep.sql


class NoSuchBackup(LookupError):
    """There is no backup of this number, or it is not for this person."""


class BackupDamaged(ValueError):
    """What is kept is not what was taken."""


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup, without what is in it."""

    backup_id: UUID
    taken_at: datetime
    taken_by: str | None
    task_id: UUID | None
    what: str
    rows: Mapping[str, int]
    sha256: str
    bytes: int


_SELECT = """SELECT b.backup_id, b.taken_at, u.username, b.task_id, b.what, b.rows, b.sha256, b.bytes
               FROM backups b LEFT JOIN users u ON u.user_id = b.taken_by"""


def backups(user: User, limit: int = 100) -> list[Backup]:
    """Those that are kept, newest first; none for somebody who may only look."""
    with engine.session(user.user_id) as c:
        return [Backup(*r) for r in c.execute(f"{_SELECT} ORDER BY b.backup_id DESC LIMIT %s", (limit,)).fetchall()]


def of_task(user: User, task: UUID) -> Backup | None:
    """The backup that a task took before it wrote, None where it took none or has not written."""
    with engine.session(user.user_id) as c:
        row = c.execute(f"{_SELECT} WHERE b.task_id = %s", (task,)).fetchone()
    return Backup(*row) if row else None


def content(user: User, backup: UUID) -> tuple[Backup, bytes]:
    """A backup and its file. Raises NoSuchBackup, BackupDamaged."""
    with engine.session(user.user_id) as c:
        return _content(c, backup)


def _content(c: psycopg.Connection, backup: UUID) -> tuple[Backup, bytes]:
    row = c.execute(f"{_SELECT} WHERE b.backup_id = %s", (backup,)).fetchone()
    kept = c.execute("SELECT content FROM backups WHERE backup_id = %s", (backup,)).fetchone()
    if row is None or kept is None:
        raise NoSuchBackup(f"there is no backup {backup}")
    found = Backup(*row)
    if hashlib.sha256(kept[0]).hexdigest() != found.sha256:
        raise BackupDamaged(
            f"the backup of {found.taken_at:%Y-%m-%d %H:%M} UTC is damaged: its contents are not what was taken"
        )
    return found, kept[0]


def take(c: psycopg.Connection, what: str) -> tuple[UUID, int]:
    """Keep the master as this transaction finds it: (number, rows). Who and for which task says the connection."""
    lines = _lines(c)
    raw = gzip.compress("".join(f'{{"table":"{table}","row":{row}}}\n' for table, row in lines).encode(), 6, mtime=0)
    counted = dict.fromkeys(KEYS, 0)
    for table, _ in lines:
        counted[table] += 1
    row = c.execute(
        "INSERT INTO backups (taken_by, task_id, what, rows, content, sha256, bytes) VALUES (app_user(), "
        "nullif(current_setting('app.task_id', true), '')::uuid, %s, %s, %s, %s, %s) RETURNING backup_id",
        (what, json.dumps(counted), raw, hashlib.sha256(raw).hexdigest(), len(raw)),
    ).fetchone()
    assert row is not None
    return row[0], len(lines)


def plan_restore(user: User, backup: UUID) -> Plan:
    """The plan that brings the master back to a backup. Raises NoSuchBackup, BackupDamaged, NothingToRestore."""
    with engine.session(user.user_id) as c:
        return restore_of(c, backup, datetime.now(UTC).date().isoformat())


def request(user: User, backup: UUID, plan: Plan) -> UUID:
    """Ask for a restore as it was shown; the task's number. Raises AccessDenied, NoSuchBackup."""
    return tasks.request(user, plan, {"backup": str(backup)}, undoes=task_of(user, backup))


def task_of(user: User, backup: UUID) -> UUID | None:
    """The task before which a backup was taken, while that is kept. Raises NoSuchBackup."""
    with engine.session(user.user_id) as c:
        row = c.execute(
            "SELECT t.task_id FROM backups b LEFT JOIN tasks t ON t.task_id = b.task_id WHERE b.backup_id = %s",
            (backup,),
        ).fetchone()
    if row is None:
        raise NoSuchBackup(f"there is no backup {backup}")
    number: UUID | None = row[0]
    return number


def restore_of(c: psycopg.Connection, backup: UUID, today: str) -> Plan:
    """The plan of a restore on an open connection that acts for somebody."""
    found, raw = _content(c, backup)
    try:
        then = _state((r["table"], _as_now(r["row"])) for r in map(_read, gzip.decompress(raw).splitlines()))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as e:
        raise BackupDamaged(f"the backup of {found.taken_at:%Y-%m-%d %H:%M} UTC cannot be read: {e}") from e
    now = _state((table, _read(row)) for table, row in _lines(c, then))
    came = came_since(then, now)
    children: dict[str, dict[int, int]] = {}
    for table in master.CHILDREN if came else ():
        counted = c.execute(f"SELECT security_id, count(*) FROM {table} WHERE security_id = ANY (%s) GROUP BY 1 ORDER BY 1", (came,)).fetchall()  # fmt: skip
        children[table] = dict(counted)
    subject = f"master-{found.taken_at:%Y%m%dT%H%M%S}"
    what = f"of {found.taken_at:%Y-%m-%d %H:%M} UTC ({found.what[:1].lower()}{found.what[1:]})"
    return restoration(str(backup), subject, what, then, now, children, *_used(c, came), today)


def recheck(c: psycopg.Connection, plan: Plan) -> None:
    """Before a restore writes: nobody changes the master any more, and it would still write what was confirmed. Raises PlanOutdated."""
    c.execute("LOCK TABLE sectors, securities, security_symbols, security_classifications IN SHARE ROW EXCLUSIVE MODE")
    said = plan.steps[0].rows[0]
    try:
        now = restore_of(c, UUID(said["restores"]), said["on"])
    except (NoSuchBackup, BackupDamaged, NothingToRestore) as e:
        raise PlanOutdated("backup", said["restores"], str(e)) from e
    if [s.rows for s in now.steps] != [s.rows for s in plan.steps]:
        steps = ", ".join(f"{s.name} ({s.size:,})" for s in now.steps[1:])
        raise PlanOutdated(
            "backup", said["restores"], f"somebody changed the master in the meantime, it would now be: {steps}; ask again to see the new plan"
        )  # fmt: skip


def _lines(c: psycopg.Connection, beside: State | None = None) -> list[tuple[str, str]]:
    """(table, row as JSON) of what a backup holds, all as of one moment; `beside` a state, also what feeds have under its keys."""
    parts, parameters = [], {}
    for place, table in enumerate(KEYS):
        where = ""
        if table in TYPED:
            where = f" WHERE provider = '{MANUAL}'"
            if beside is not None and table != "price_history":
                where += f" OR security_id = ANY (%({table})s)"
                parameters[table] = list({r["security_id"] for r in beside[table].values()})
            elif beside is not None:
                where += ' OR (security_id, "on") IN (SELECT * FROM unnest(%(ids)s::int[], %(days)s::date[]))'
                parameters |= {"ids": [k[0] for k in beside[table]], "days": [k[1] for k in beside[table]]}
        parts.append(
            f"SELECT {place} AS place, '{table}' AS its_table, row_to_json(t)::text AS line FROM {table} t{where}"
        )
    union = " UNION ALL ".join(parts)
    return [
        (r[0], r[1])
        for r in c.execute(
            f'SELECT its_table, line FROM ({union}) x ORDER BY place, line COLLATE "C"', parameters
        ).fetchall()
    ]


def _read(line: str | bytes) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(line, parse_float=str)


def _as_now(row: Row) -> Row:
    """A row with the columns that there are now: of before 0004 a ratio is one decimal."""
    if "ratio" not in row:
        return row
    row = dict(row)
    ratio = read_ratio(str(row.pop("ratio") or ""))
    new, old = (None, None) if ratio is None else ratio.as_integer_ratio()
    return row | {"ratio_new": new, "ratio_old": old}


def _state(rows: Any) -> State:
    state: dict[str, dict[Key, Row]] = {table: {} for table in KEYS}
    for table, row in rows:
        if table == "security_classifications" and "country" not in row:  # of before 0005: the country was not dated
            security = state["securities"].get((row["security_id"],))
            row = row | {"country": security and security["country"]}
        state[table][tuple(row[k] for k in KEYS[table])] = row
    return state


def _used(c: psycopg.Connection, came: Sequence[int]) -> tuple[dict[int, list[str]], set[int]]:
    """What refers to these securities, in words that everybody may read; and those that it keeps from being removed."""
    found: dict[int, list[str]] = {}
    held: set[int] = set()
    for number, table in c.execute("SELECT * FROM referring_to(%s)", (list(came),)).fetchall() if came else ():
        found.setdefault(number, []).append(table)
    for number, tables in found.items():
        references = [r for r in master.references_of(c, number) if r.what != "dividend"]
        if obstacles(references):
            held.add(number)
        found[number] = [text.partition(":")[0] for text in for_everybody(references)] or [
            f"{', '.join(t.replace('_', ' ') for t in tables)} name it"
        ]
    return dict(sorted(found.items())), held
