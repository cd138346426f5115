"""Many securities at once: a verdict on each row of a file, the task that loads them, and the master as such a file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from core import bulk
from core.bulk import NothingLoaded, Verdict
from core.bulk_rows import rows_of
from core.master import Known
from core.plans import Plan
from db import engine, master, tasks
from db.access import AccessDenied, User


@dataclass(frozen=True, slots=True)
class Judged:
    """A file with a verdict per row, and what they were made from."""

    file: str
    sha256: str
    existing: str
    verdicts: tuple[Verdict, ...]
    known: Known
    there: Mapping[int, Mapping[str, Any]]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of each outcome."""
        return bulk.counts(self.verdicts)


def judged(user: User, raw: bytes, file: str, existing: str = "refuse") -> Judged:
    """What would become of each row; nothing is written. Raises AccessDenied, NotReadable."""
    if existing not in bulk.EXISTING:
        raise ValueError(f"existing {existing!r}: expected {' or '.join(bulk.EXISTING)}")
    if "bulk" not in tasks.rights(user):
        raise AccessDenied("your role may not load securities from files")
    rows = rows_of(raw)
    with engine.session(user.user_id) as c:
        known = master.known_of(c)
        meant = (bulk.meant(row.cells, known) for row in rows)
        there = _there(c, {one.security_id for one in meant if one is not None})
        fixed = (
            _fixed(c, there) if existing == "update" and any("currency" in row.cells for row in rows) else frozenset()
        )
    verdicts = bulk.judged(rows, known, there, existing, fixed)
    return Judged(file, hashlib.sha256(raw).hexdigest(), existing, tuple(verdicts), known, there)


def plan_load(user: User, found: Judged, partial: bool = False) -> Plan:
    """The plan that loads the accepted rows. Raises NothingLoaded where rows are refused and not `partial`, or none is left."""
    refused = [v for v in found.verdicts if v.outcome == "refused"]
    if refused and not partial:
        many = "1 row is refused" if len(refused) == 1 else f"{len(refused):,} rows are refused"
        first = f"the first is line {refused[0].line}: {refused[0].why}"
        raise NothingLoaded(
            f"nothing is loaded: {many}, {first}. Correct the file, or choose to leave refused rows out"
        )
    return bulk.loading(found.verdicts, found.there, found.known.today, user.username, found.file)


def load(user: User, found: Judged, partial: bool = False) -> UUID:
    """Ask for the task that loads the accepted rows, all in one transaction; its number. Raises AccessDenied, NothingLoaded."""
    plan = plan_load(user, found, partial)
    refused = [bulk.kept(v) for v in found.verdicts if v.outcome == "refused"]
    asked = {"file": found.file, "sha256": found.sha256, "existing": found.existing, "partial": partial, **found.counts}
    return tasks.request(user, plan, asked | {"refused_rows": refused})


def refused_csv(user: User, task: UUID) -> str:
    """The rows that a task left out, as a file to be corrected and loaded. Raises NoSuchTask, AccessDenied."""
    if "bulk" not in tasks.rights(user):
        raise AccessDenied("your role may not load securities from files")
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT request -> 'refused_rows' FROM tasks WHERE task_id = %s", (task,)).fetchone()
    if row is None or row[0] is None:
        raise tasks.NoSuchTask(f"there is no task {task} that loaded a file")
    return bulk.refused_csv(row[0])


def left_out(user: User, task: UUID) -> int:
    """How many rows a task left out; 0 where it loaded no file."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT (request ->> 'refused')::int FROM tasks WHERE task_id = %s AND kind = 'bulk'", (task,)).fetchone()  # fmt: skip
    return row[0] or 0 if row else 0


def version(user: User) -> int:
    """Raised by every change of the master: a verdict is as good as when it was made while this is the same."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT version FROM data_versions WHERE name = 'securities'").fetchone()
    return row[0] if row else 0


def export_csv(user: User, status: Sequence[str] = ()) -> str:
    """The master in the format of the import, by exchange and symbol; with `status` only those."""
    with engine.session(user.user_id) as c, c.cursor(row_factory=dict_row) as cursor:
        return bulk.as_csv(cursor.execute(f"{_SELECT} WHERE %(s)s::text[] = '{{}}' OR status = ANY (%(s)s) ORDER BY exchange, symbol", {"s": list(status)}).fetchall())  # fmt: skip


_SELECT = """SELECT s.*, d.sector, nullif(d.industry, '') AS industry, nullif(d.subsector, '') AS subsector
               FROM securities s LEFT JOIN sectors d USING (sector_id)"""


def _there(c: psycopg.Connection, numbers: Collection[int]) -> dict[int, dict[str, Any]]:
    with c.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(f"{_SELECT} WHERE security_id = ANY (%s)", (list(numbers),)).fetchall()
    return {row["security_id"]: row for row in rows}


def _fixed(c: psycopg.Connection, numbers: Collection[int]) -> frozenset[int]:
    """Those that have prices or that anything refers to: their currency stays."""
    rows = c.execute(
        "SELECT i FROM unnest(%(ids)s::int[]) i WHERE EXISTS (SELECT FROM price_history WHERE security_id = i) "
        "UNION SELECT security_id FROM referring_to(%(ids)s)",
        {"ids": list(numbers)},
    ).fetchall()
    return frozenset(r[0] for r in rows)
