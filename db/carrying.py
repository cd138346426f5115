"""Carries out the steps of a plan, exactly as they stand, in the transaction that it is given. By the jobs role.

To add a kind of step, add its function to `HOW`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from core import plans, removal
from core.master import DuplicateSymbol, InvalidField, PlanOutdated, StillReferenced, UnknownReference
from core.plans import Plan, Row, Step
from db import backups, market, master, unbooked
from db.market import Bar

CHUNK = 500  # rows between two words of progress
# what a plan may write, with the key by which a row is changed
TABLES: Mapping[str, tuple[str, ...]] = {
    "securities": ("security_id",),
    "security_symbols": ("security_id", "valid_from"),
    "security_classifications": ("security_id", "valid_from"),
    "asset_prices": ("security_id",),
    "price_history": ("security_id", "on"),
    "price_arrays": ("security_id",),
    "corporate_actions": ("security_id", "action_id"),
    "security_matches": ("security_id",),
    "counterparties": ("counterparty_id",),
    "sectors": ("sector_id",),
}
ADDED = frozenset({"securities", "security_symbols", "security_classifications", "asset_prices", "price_history", "corporate_actions"})  # fmt: skip
CHANGED = frozenset({("update", "securities"), ("insert", "security_classifications")})
RENAMED = CHANGED | {("insert", "security_symbols")}
NEW = frozenset(("insert", table) for table in ADDED)
# what a kind of task may write: who may ask for an edit has not thereby asked for a removal
MAY: Mapping[str, frozenset[tuple[str, str]]] = {
    "add": NEW | {("ask", ""), ("bars", "price_history")},
    "edit": CHANGED,
    "reclassify": CHANGED,
    "symbol_change": RENAMED | {("delete", "security_symbols")},
    "delist": RENAMED | {("insert", "corporate_actions")},
    "reinstate": frozenset({("update", "securities")}),
    "remove": frozenset({("update", "securities"), *(("delete", table) for table in (*master.CHILDREN, "securities"))}),
    "bulk": NEW | CHANGED | {("backup", "")},
    "restore": frozenset({("backup", ""), *((action, table) for table in TABLES for action in ("insert", "update", "delete"))}),
    "book_splits": frozenset({("book", "transactions")}),
    "reverse_splits": frozenset({("reverse", "transactions")}),
}  # fmt: skip
ENDING = frozenset({"remove", "delist", "restore"})  # kinds that may retire or delist
TOUCHES = {"asset_prices": "quotes", "price_history": "prices", "corporate_actions": "actions"}


@dataclass(slots=True)
class Work:
    """One plan under way: what it has made so far."""

    c: psycopg.Connection
    plan: Plan
    task: UUID
    by: UUID  # who asked for it
    today: date
    tick: Callable[[int], None]  # rows of this step that are written; raises where the task was cancelled
    bars: Mapping[str, Sequence[Bar]] = field(
        default_factory=dict
    )  # by feed, what they gave for the security that is added
    numbers: dict[str, int] = field(default_factory=dict)  # of the securities that it added, by listing
    written: dict[str, int] = field(default_factory=dict)  # rows by table
    priced: set[int] = field(default_factory=set)

    def number(self, said: Any) -> int:
        """The number of a security that a row refers to by number or by listing."""
        return said if isinstance(said, int) else self.numbers[said]


def carry_out(work: Work, step: Step) -> tuple[int, str]:
    """(rows written, a note on it). Raises MasterError where the database does not take a row."""
    try:
        return HOW[step.action](work, step)
    except psycopg.errors.UniqueViolation as e:
        if e.diag.table_name == "securities":
            listing = (e.diag.message_detail or "").partition("=(")[2].partition(")")[0].replace(", ", ":")
            raise DuplicateSymbol("symbol", listing, "duplicate symbol: somebody added it in the meantime") from e
        raise PlanOutdated(
            e.diag.table_name or step.table, "", f"the row is there already: {e.diag.message_detail}"
        ) from e
    except psycopg.errors.ForeignKeyViolation as e:
        if step.action == "delete":
            raise StillReferenced(work.plan.subject, (f"{e.diag.table_name} refers to it",)) from e
        raise UnknownReference(
            e.diag.column_name or step.table, "", e.diag.message_detail or "it does not exist"
        ) from e
    except (psycopg.errors.CheckViolation, psycopg.errors.DataError) as e:
        raise InvalidField(
            e.diag.column_name or step.table, "", e.diag.message_primary or "a value that the database takes"
        ) from e


def recheck(work: Work) -> None:
    """Before the first step: is what was confirmed still what is to be done, and of its kind?

    Raises AssetClassInconsistent, InvalidField, PlanOutdated, StillReferenced.
    """
    plan = work.plan
    _of_its_kind(plan)
    if plan.kind in plans.PRIVATE:  # each portfolio is looked at once it is locked
        return
    if plan.kind == "restore":
        backups.recheck(work.c, plan)
    if plan.security_id is not None:
        row = work.c.execute(
            "SELECT 1 FROM securities WHERE security_id = %s FOR UPDATE", (plan.security_id,)
        ).fetchone()
        if row is None:
            raise PlanOutdated("symbol", plan.subject, "the security is gone")
    if plan.kind != "restore":  # that brings back what was, whatever it was
        plans.still_sound(plan, master.known_of(work.c, work.today))
    if plan.kind == "remove" and plan.security_id is not None:
        try:
            now = master.removal_of(work.c, plan.security_id, work.today, aloud=True)
        except master.BadSecurity as e:
            raise PlanOutdated("symbol", plan.subject, str(e)) from e
        if {s.action for s in now.steps} != {s.action for s in plan.steps}:
            raise PlanOutdated("symbol", plan.subject, f"it would now be: {now.title}; ask again to see the new plan")
    if plan.kind == "delist":
        _still_unheld(work)


def _still_unheld(work: Work) -> None:
    """What upkeep retires is asked about once more: the task may have waited for days."""
    rows = [row for step in work.plan.steps for row in step.rows if row.get("status") == "retired"]
    for number in sorted(row["security_id"] for row in rows):
        work.c.execute("SELECT 1 FROM securities WHERE security_id = %s FOR UPDATE", (number,))
        if found := removal.obstacles(master.references_of(work.c, number)):
            raise StillReferenced(work.plan.subject, removal.for_everybody(found))


def _of_its_kind(plan: Plan) -> None:
    """A plan that came around the functions that make plans may hold anything."""
    for step in plan.steps:
        its = [row.get("security_id") for row in step.rows if "security_id" in row]
        if plan.kind == "add":
            own = all(isinstance(n, str) for n in its)
        else:
            own = set(its) <= {plan.security_id} or (plan.security_id is None and plan.kind != "remove")
        ends = any(row.get("status") in ("retired", "delisted") for row in step.rows)
        if (step.action, step.table) not in MAY[plan.kind] or not own or (ends and plan.kind not in ENDING):
            raise InvalidField("plan", f"{step.action} {step.table}", f"no task of the kind {plan.kind} does this")


def finish(work: Work) -> None:
    """After the last step: derived rows, and word to readers that something changed."""
    if work.priced:
        some = sorted(work.priced)
        work.c.execute("SELECT pack_prices(%s)", (some,))
        work.c.execute(
            "DELETE FROM price_arrays a WHERE security_id = ANY (%s) AND NOT EXISTS (SELECT FROM price_history h WHERE h.security_id = a.security_id)",
            (some,),
        )
    if work.plan.kind not in plans.PRIVATE:
        market.touch(work.c, "securities", *(TOUCHES[t] for t in work.written if t in TOUCHES))


def _of(table: str) -> sql.Identifier:
    if table not in TABLES:
        raise PlanOutdated("table", table, "no plan writes this table")
    return sql.Identifier(table)


def _insert(work: Work, step: Step) -> tuple[int, str]:
    table, done = _of(step.table), 0
    if step.table in ("price_history", "corporate_actions"):
        market.recording(work.c)
    for columns, rows in _alike(step.rows):
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        insert = sql.SQL("INSERT INTO {t} ({n}) SELECT {n} FROM jsonb_populate_recordset(NULL::{t}, %s)").format(
            t=table, n=names
        )
        if step.table == "security_classifications" and "country" not in columns:  # planned before 0005: that of the security
            insert = sql.SQL(
                "INSERT INTO {t} ({n}, country) SELECT {n}, (SELECT country FROM securities s WHERE s.security_id = r.security_id) "
                "FROM jsonb_populate_recordset(NULL::{t}, %s) r"
            ).format(t=table, n=names)
        if step.table == "securities":
            insert += sql.SQL(" RETURNING exchange || ':' || symbol, security_id")
        for start in range(0, len(rows), CHUNK):
            some = [_numbered(work, row) for row in rows[start : start + CHUNK]]
            cursor = work.c.execute(insert, (json.dumps(some),))
            if step.table == "securities":
                work.numbers.update(dict(cursor.fetchall()))
            if step.table == "price_history":
                work.priced.update(row["security_id"] for row in some)
            done += len(some)
            work.tick(done)
    return _counted(work, step, done)


def _update(work: Work, step: Step) -> tuple[int, str]:
    table, key, done = _of(step.table), TABLES[step.table], 0
    pairs = list(zip(step.rows, step.before, strict=True))
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Row, Row]]] = {}
    for row, old in pairs:
        groups.setdefault((tuple(sorted(row)), tuple(sorted(old))), []).append((row, old))
    for (columns, told), some in groups.items():
        changed, compared = [n for n in columns if n not in key], [n for n in told if n not in key]
        if step.table == "securities" and "currency" in changed and work.plan.kind != "restore":
            _still_free(work, [row["security_id"] for row, _ in some])

        def of(alias: str, names: Sequence[str]) -> sql.Composable:
            return sql.SQL(", ").join(sql.SQL(alias + ".{}").format(sql.Identifier(n)) for n in names)

        update = sql.SQL(
            "UPDATE {t} t SET {set} FROM jsonb_populate_recordset(NULL::{t}, %s) n JOIN jsonb_populate_recordset(NULL::{t}, %s) o USING ({key}) "
            "WHERE ({tk}) = ({nk}) AND ({tc}) IS NOT DISTINCT FROM ({oc})"
        ).format(
            t=table,
            set=sql.SQL(", ").join(sql.SQL("{c} = n.{c}").format(c=sql.Identifier(n)) for n in changed),
            key=sql.SQL(", ").join(map(sql.Identifier, key)),
            tk=of("t", key), nk=of("n", key), tc=of("t", compared), oc=of("o", compared),
        )  # fmt: skip
        for start in range(0, len(some), CHUNK):
            part = some[start : start + CHUNK]
            found = work.c.execute(
                update, (json.dumps([r for r, _ in part]), json.dumps([o for _, o in part]))
            ).rowcount
            if found != len(part):
                raise PlanOutdated(
                    step.table,
                    work.plan.subject,
                    "somebody changed it in the meantime: ask again to see what differs now",
                )
            if step.table == "price_history":
                work.priced.update(row["security_id"] for row, _ in part)
            done += found
            work.tick(done)
    return _counted(work, step, done)


def _still_free(work: Work, numbers: Sequence[int]) -> None:
    """A currency changes only while there is neither price nor entry in it; nobody writes one until the commit."""
    work.c.execute(
        "SELECT 1 FROM securities WHERE security_id = ANY (%s) ORDER BY security_id FOR UPDATE", (list(numbers),)
    )
    if (row := work.c.execute(
        "SELECT s.exchange || ':' || s.symbol, s.currency FROM securities s WHERE security_id = ANY (%(n)s) AND (EXISTS (SELECT FROM price_history h "
        "WHERE h.security_id = s.security_id) OR s.security_id IN (SELECT r.security_id FROM referring_to(%(n)s) r)) LIMIT 1", {"n": list(numbers)}
    ).fetchone()):  # fmt: skip
        raise PlanOutdated("currency", row[0], f"there are prices or entries in {row[1]} by now: it stays")


def _delete(work: Work, step: Step) -> tuple[int, str]:
    table, done = _of(step.table), 0
    for columns, rows in _alike(step.rows):
        key = sql.SQL(", ").join(map(sql.Identifier, columns))
        delete = sql.SQL(
            "DELETE FROM {t} WHERE ({k}) IN (SELECT {k} FROM jsonb_populate_recordset(NULL::{t}, %s))"
        ).format(t=table, k=key)
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            done += work.c.execute(delete, (json.dumps(some),)).rowcount
            if step.table == "price_history":
                work.priced.update(row["security_id"] for row in some)
            work.tick(done)
    if step.table == "securities" and done != len(step.rows):
        raise PlanOutdated("symbol", work.plan.subject, "the security is gone")
    return _counted(work, step, done)


def _backup(work: Work, step: Step) -> tuple[int, str]:
    """The master as it is before the first write, kept by the same commit."""
    number, rows = backups.take(work.c, step.rows[0]["what"])
    work.written["backups"] = 1
    return rows, f"{rows:,} rows are kept as backup {number}"


def _bars(work: Work, step: Step) -> tuple[int, str]:
    """What the feeds gave before the transaction began, under the number that the security has now."""
    number, done = work.number(step.rows[0]["security_id"]), 0
    for feed, given in work.bars.items():
        done += market.upsert_bars(work.c, [replace(bar, security_id=number) for bar in given], feed)
    work.tick(done)
    return _counted(work, step, done)


def _book(work: Work, step: Step) -> tuple[int, str]:
    return _counted(work, step, unbooked.book(work.c, work.task, work.by, step, work.tick, work.today))


def _reverse(work: Work, step: Step) -> tuple[int, str]:
    return _counted(work, step, unbooked.take_back(work.c, work.task, work.by, step, work.tick))


def _counted(work: Work, step: Step, done: int) -> tuple[int, str]:
    work.written[step.table] = work.written.get(step.table, 0) + done
    return done, ""


def _numbered(work: Work, row: Row) -> Row:
    return {**row, "security_id": work.number(row["security_id"])} if "security_id" in row else row


def _alike(rows: Sequence[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    """Rows in groups of the same columns, in their order."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return list(groups.items())


HOW: dict[str, Callable[[Work, Step], tuple[int, str]]] = {
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "bars": _bars,
    "backup": _backup,
    "book": _book,
    "reverse": _reverse,
}
