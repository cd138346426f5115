"""The audit trail: what leaves a row, who may read it, who may not write it, and that nothing done to it goes unseen."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from conftest import ROOT, Database
from small import MARK, Small, installed
from streamlit.testing.v1 import AppTest

from core import audit as trail
from core.audit import Check, Cursor, Head, Link, Row, Wanted
from core.scope import BadScope
from db import access, audit, engine, market, master, migrate, portfolios, tasks
from db.embedded import Embedded
from ui import session

Connection = psycopg.Connection[Any]
NEW = "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', %s, 'Equity', 'USD') RETURNING security_id"


def one(c: Connection, sql: str, *parameters: object) -> Any:
    row = c.execute(sql, parameters).fetchone()
    assert row is not None
    return row[0]


def sealed(c: Connection) -> None:
    """Chain what this transaction left, as its commit would."""
    c.execute("SET CONSTRAINTS ALL IMMEDIATE")
    c.execute("SET CONSTRAINTS ALL DEFERRED")


def newest(c: Connection, count: int = 1) -> list[Row]:
    """The rows that were chained last, oldest first."""
    found = c.execute(f"SELECT {audit.FIELDS} FROM audit_log ORDER BY at DESC, chain DESC, seq DESC LIMIT %s", (count,))
    return [Row(*r) for r in found.fetchall()][::-1]


def told(row: Row) -> tuple[str, str, Any, Any]:
    return row.action, row.entity_key, json.loads(row.before or "null"), json.loads(row.after or "null")


def somebody(c: Connection, name: str = "ann", role: str = "analyst") -> UUID:
    return one(
        c,
        "INSERT INTO users (username, display_name, role) VALUES (%s, %s, %s) RETURNING user_id",
        name,
        name.title(),
        role,
    )


def at_once(work: Callable[[int], None], many: int) -> None:
    """So many threads do the work, each with its number; waits for all."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(many)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)


# --- what leaves a row -------------------------------------------------------------------------------------------


def test_before_and_after_of_insert_update_delete(owner: Connection) -> None:
    number = one(owner, NEW, "AAA", "Aaa")
    sealed(owner)
    (row,) = newest(owner)
    assert (row.chain, row.action, row.entity, row.entity_key, row.before) == (
        "master",
        "inserted",
        "securities",
        str(number),
        None,
    )
    after = json.loads(row.after or "")
    columns = one(
        owner,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'securities'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    assert (after["symbol"], after["isin"], len(after)) == ("AAA", None, columns), "the whole row"
    owner.execute("UPDATE securities SET name = 'Bbb', par_value = 1.5 WHERE security_id = %s", (number,))
    sealed(owner)
    expected = {"security_id": number, "name": "Aaa", "par_value": None}
    assert told(newest(owner)[0]) == (
        "updated",
        str(number),
        expected,
        {"security_id": number, "name": "Bbb", "par_value": 1.5},
    )
    owner.execute("DELETE FROM securities WHERE security_id = %s", (number,))
    sealed(owner)
    action, key, before, gone = told(newest(owner)[0])
    assert (action, key, before["name"], gone) == ("deleted", str(number), "Bbb", None)


def test_what_changes_nothing_leaves_nothing(owner: Connection) -> None:
    number, user = one(owner, NEW, "AAA", "Aaa"), somebody(owner)
    portfolio = one(
        owner,
        "INSERT INTO portfolios (name, base_currency, created_by) VALUES ('P', 'USD', %s) RETURNING portfolio_id",
        user,
    )
    sealed(owner)
    before = one(owner, "SELECT count(*) FROM audit_log")
    owner.execute("UPDATE securities SET name = name WHERE security_id = %s", (number,))
    owner.execute("UPDATE portfolios SET version = version + 1, restate_from = '2020-01-01', restated = 3")
    owner.execute("UPDATE securities SET name = 'x' WHERE false")
    sealed(owner)
    assert one(owner, "SELECT count(*) FROM audit_log") == before
    owner.execute("UPDATE portfolios SET version = version + 1, name = 'Q'")
    sealed(owner)
    (row,) = newest(owner)
    assert row.chain == f"portfolio:{portfolio}"
    assert told(row)[2:] == (
        {"portfolio_id": str(portfolio), "name": "P"},
        {"portfolio_id": str(portfolio), "name": "Q"},
    )


def test_a_changed_key_is_a_row_gone_and_a_row_come(owner: Connection) -> None:
    owner.execute("INSERT INTO countries VALUES ('XA', 'Atlantis', 'Sea')")
    owner.execute("UPDATE countries SET country = 'XB' WHERE country = 'XA'")
    sealed(owner)
    assert [told(r)[:2] for r in newest(owner, 3)] == [("inserted", "XA"), ("deleted", "XA"), ("inserted", "XB")]


def test_many_rows_of_one_statement_come_in_the_order_of_their_keys(owner: Connection) -> None:
    owner.execute(
        "INSERT INTO securities (security_id, symbol, exchange, name, asset_class, currency) "
        "SELECT 1000 - i, 'S' || i, 'XNYS', 'S', 'Equity', 'USD' FROM generate_series(1, 950) i"
    )
    sealed(owner)
    rows = newest(owner, 950)
    assert [int(r.entity_key) for r in rows] == list(range(50, 1000))
    assert [r.seq for r in rows] == list(range(rows[0].seq, rows[0].seq + 950))
    assert len({r.at for r in rows}) == 1, "one time for all of a transaction"


def test_what_is_secret_is_never_shown(owner: Connection) -> None:
    user = somebody(owner)
    owner.execute("INSERT INTO credentials (user_id, password_hash) VALUES (%s, 'hush-1')", (user,))
    owner.execute("UPDATE credentials SET password_hash = 'hush-2'")
    sealed(owner)
    made, changed = newest(owner, 2)
    assert (made.chain, set(json.loads(made.after or ""))) == ("people", {"user_id", "changed_at"})
    assert told(changed) == ("updated", str(user), {"user_id": str(user)}, {"user_id": str(user)})
    assert "hush" not in str(owner.execute("SELECT * FROM audit_log").fetchall())


def test_what_is_long_is_kept_as_a_digest(owner: Connection) -> None:
    long = json.dumps({"x": "y" * 20_000})
    owner.execute("INSERT INTO installation VALUES ('long', %s), ('short', '1')", (long,))
    sealed(owner)
    big, small_ = newest(owner, 2)
    stored = one(owner, "SELECT value::text FROM installation WHERE key = 'long'")
    assert json.loads(big.after or "") == {
        "key": "long",
        "value": {"octets": len(stored), "sha256": hashlib.sha256(stored.encode()).hexdigest()},
    }
    assert json.loads(small_.after or "") == {"key": "short", "value": 1}


def test_of_prices_only_what_a_person_writes_is_kept(owner: Connection) -> None:
    number, user = one(owner, NEW, "AAA", "Aaa"), somebody(owner)
    price = 'INSERT INTO price_history (security_id, "on", close, provider) VALUES (%s, %s, 10, %s)'
    owner.execute(price, (number, date(2026, 1, 5), "csv"))
    sealed(owner)
    assert newest(owner)[0].entity == "users"
    owner.execute("SELECT set_config('app.user_id', %s, true)", (str(user),))
    owner.execute(price, (number, date(2026, 1, 6), "manual"))
    sealed(owner)
    (row,) = newest(owner)
    assert (row.chain, row.entity, row.entity_key, row.actor, row.actor_name) == (
        "master",
        "price_history",
        f"{number}/2026-01-06",
        user,
        "ann",
    )


def test_what_a_feed_gives_to_a_person_is_not_kept_row_by_row(database: Database) -> None:
    """As where somebody adds a security that a feed knows, or removes one: the rows of the task tell it."""
    with engine.owner() as c:
        user = somebody(c)
    bar = lambda n, day, close: market.Bar(n, date(2026, 1, day), Decimal(close))  # noqa: E731
    with engine.jobs(user=user) as c:
        number, other = one(c, NEW, "AAA", "Aaa"), one(c, NEW, "BBB", "Bbb")
        market.upsert_bars(c, [bar(n, day, 10) for n in (number, other) for day in range(5, 25)], "yahoo")
        market.upsert_bars(c, [bar(number, 26, 11), bar(other, 26, 11)], "manual")
    with engine.jobs(user=user) as c:
        market.upsert_bars(c, [bar(number, 5, 12), bar(number, 6, 12)], "csv")  # another feed's word
        market.upsert_bars(c, [bar(number, 7, 13)], "manual")
    with engine.jobs(user=user) as c:
        market.upsert_bars(c, [bar(number, 26, 14)], "yahoo")
        c.execute(
            "UPDATE price_history SET \"on\" = '2026-01-27' WHERE security_id = %s AND \"on\" = '2026-01-08'", (number,)
        )
    with engine.jobs(user=user) as c:
        for table in ("price_history", "price_arrays"):
            c.execute(f"DELETE FROM {table} WHERE security_id = %s", (other,))  # type: ignore[arg-type]
        c.execute("DELETE FROM securities WHERE security_id = %s", (other,))
    with engine.owner() as c:
        prices = [told(r)[:2] for r in newest(c, 400) if r.entity == "price_history"]
        gone = [told(r)[:2] for r in newest(c, 400) if r.entity == "securities"]
        assert audit.verify(c).findings == ()
    assert prices == [
        ("inserted", f"{number}/2026-01-26"),
        ("inserted", f"{other}/2026-01-26"),
        ("updated", f"{number}/2026-01-07"),
        ("updated", f"{number}/2026-01-26"),
        ("deleted", f"{other}/2026-01-26"),
    ]
    assert gone == [("inserted", str(number)), ("inserted", str(other)), ("deleted", str(other))]


def test_a_booking_leaves_one_row_for_each_portfolio_of_a_statement(owner: Connection) -> None:
    user = somebody(owner)
    pair = [
        one(
            owner,
            "INSERT INTO portfolios (name, base_currency, created_by) VALUES (%s, 'USD', %s) RETURNING portfolio_id",
            name,
            user,
        )
        for name in "PQ"
    ]
    sealed(owner)
    rows = [(pair[0], "deposit", 1), (pair[0], "fee", 2), (pair[0], "fee", 3), (pair[1], "deposit", 4)]
    values = ", ".join(
        f"('{p}', '{kind}', 1, 'USD', 1, 'USD', '2026-01-05', '2026-01-05', 'k{i}', 'test', '{user}')"
        for p, kind, i in rows
    )
    owner.execute(
        "INSERT INTO transactions (portfolio_id, kind, gross, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, "
        f"recorded_by) VALUES {values}"
    )
    sealed(owner)
    first, second = newest(owner, 2)
    ids = [
        r[0]
        for r in owner.execute(
            "SELECT transaction_id FROM transactions WHERE portfolio_id = %s ORDER BY seq", (pair[0],)
        ).fetchall()
    ]
    booked = json.loads(first.after or "")
    assert (first.chain, first.action, first.entity) == (f"portfolio:{pair[0]}", "booked", "transactions")
    assert (booked["rows"], booked["kinds"]) == (3, {"deposit": 1, "fee": 2})
    assert booked["ids_sha256"] == hashlib.sha256(b"".join(i.bytes for i in ids)).hexdigest()
    assert booked["last_seq"] - booked["first_seq"] == 2
    assert second.entity_key == str(
        one(owner, "SELECT transaction_id FROM transactions WHERE portfolio_id = %s", pair[1])
    )
    assert trail.summary(first) == "1 deposit, 2 fee"


def test_a_table_that_is_emptied_leaves_a_row(owner: Connection) -> None:
    owner.execute("TRUNCATE import_maps")
    sealed(owner)
    assert told(newest(owner)[0]) == ("truncated", "", {"rows": 0}, None)


def test_every_table_of_peoples_changes_is_audited(owner: Connection) -> None:
    """A table that the working roles may write is audited, or stands here with its reason."""
    not_audited = {
        "portfolio_snapshots", "position_snapshots", "holdings", "cash_balances", "holding_states", "price_arrays",  # derived
        "trading_sessions", "fx_rates", "risk_free_rates", "feed_states", "feed_troubles", "gap_scans", "price_gaps", "rates_asked", "actions_asked", "job_runs", "dead_letters", "data_versions",  # written by feeds and jobs alone
        "price_corrections", "fx_corrections", "action_corrections",  # trails themselves
        "sessions", "sign_in_failures",  # signing in
        "lookups", "task_steps", "request_keys",  # what was asked and how far it is, not what changed
        "backups", "notices",  # made by tasks, which are audited
    }  # fmt: skip
    found = owner.execute(
        "SELECT t.relname FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace AND (has_any_column_privilege('ballast_web', t.oid, "
        "'INSERT, UPDATE') OR has_any_column_privilege('ballast_jobs', t.oid, 'INSERT, UPDATE') OR has_table_privilege('ballast_web', t.oid, 'DELETE') OR "
        "has_table_privilege('ballast_jobs', t.oid, 'DELETE')) AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND g.tgname = 'audit_insert')"
    ).fetchall()
    assert {r[0] for r in found} <= not_audited


def test_a_table_that_cannot_be_audited_says_why(owner: Connection) -> None:
    owner.execute("CREATE TABLE keyless (a integer)")
    with pytest.raises(psycopg.errors.RaiseException, match="primary key"), owner.transaction():
        owner.execute("SELECT audited('keyless')")
    with pytest.raises(psycopg.errors.RaiseException, match="columns"), owner.transaction():
        owner.execute("SELECT audited('countries', 'no_such_column')")
    owner.execute("SELECT audited('countries', 'region')")  # again, with other columns: replaces what was set
    owner.execute("UPDATE countries SET region = 'x'")
    sealed(owner)
    assert not owner.execute("SELECT FROM audit_log WHERE entity = 'countries' AND source <> 'migration'").fetchall()


# --- who, and from where -----------------------------------------------------------------------------------------


def test_who_and_from_where(database: Database) -> None:
    with engine.owner() as c:
        user = somebody(c)
    task = uuid4()
    with engine.jobs(user=user, task=task, source="api") as c:
        one(c, NEW, "AAA", "Aaa")
    with engine.jobs() as c:
        one(c, NEW, "BBB", "Bbb")
    engine.origin.set(engine.Origin("page", "192.0.2.7", "r-1"))
    try:
        portfolios.create_portfolio(user, "P", "USD")
        with engine.session(user, source="csv") as c:
            c.execute("UPDATE portfolios SET name = 'Q'")
    finally:
        engine.origin.set(None)
    with database.owner() as c:
        rows = {(r.entity, r.action, r.entity_key): r for r in newest(c, 100)}
        by = {
            (r.source, r.actor, r.actor_name, r.address, r.request_id, r.task_id)
            for r in rows.values()
            if r.source != "migration"
        }
    assert by == {
        ("command", None, "ballast_owner", None, None, None),
        ("api", user, "ann", None, None, task),
        ("job", None, "ballast_jobs", None, None, None),
        ("page", user, "ann", "192.0.2.7", "r-1", None),
        ("page", None, "ballast_web", None, None, None),  # that the chain of the portfolio began, and not by whom
        ("csv", user, "ann", "192.0.2.7", "r-1", None),
    }


def test_what_comes_around_the_product_says_so(owner: Connection) -> None:
    one(owner, NEW, "AAA", "Aaa")
    sealed(owner)
    assert (newest(owner)[0].source, newest(owner)[0].actor_name) == ("database", "ballast_owner")


def test_what_is_rolled_back_leaves_neither_row_nor_gap(database: Database) -> None:
    with engine.jobs() as c, c.transaction(force_rollback=True):
        one(c, NEW, "AAA", "Aaa")
        sealed(c)
        assert newest(c)[0].entity == "securities"
    with engine.jobs() as c:
        one(c, NEW, "BBB", "Bbb")
        with c.transaction(force_rollback=True):
            one(c, NEW, "CCC", "Ccc")
        one(c, NEW, "DDD", "Ddd")
    with engine.owner() as c:
        found = [(r.seq, json.loads(r.after or "")["symbol"]) for r in newest(c, 10) if r.entity == "securities"]
        assert [s for _, s in found] == ["BBB", "DDD"]
        assert found[1][0] == found[0][0] + 1
        assert one(c, "SELECT count(*) FROM audit_pending") == 0
        done = audit.verify(c)
        assert (done.findings, done.rows) == ((), one(c, "SELECT count(*) FROM audit_log"))


def test_many_writers_leave_whole_chains(database: Database) -> None:
    """They write master data and their portfolios in different orders: nobody waits for anybody in a circle."""
    with engine.owner() as c:
        user = somebody(c)
    pair = [portfolios.create_portfolio(user, name, "USD") for name in ("P", "Q")]
    failed: list[BaseException] = []
    ready = threading.Barrier(6)

    def work(n: int) -> None:
        try:
            ready.wait()
            for i in range(8):
                with engine.jobs(user=user) as c:
                    steps: list[Callable[[], Any]] = [
                        lambda i=i, c=c: one(c, NEW, f"S{n}X{i}", "S"),  # type: ignore[misc]
                        lambda i=i, c=c: c.execute("INSERT INTO installation VALUES (%s, '1')", (f"{n}.{i}",)),  # type: ignore[misc]
                    ]
                    for step in steps[:: 1 if n % 2 else -1]:
                        step()
                with engine.session(user) as c:
                    c.execute(
                        "INSERT INTO limits (portfolio_id, rule, valid_from, value) VALUES (%s, %s, '2020-01-01', 1)",
                        (pair[(n + i) % 2], f"{n}.{i}"),
                    )
                    c.execute(
                        "INSERT INTO limits (portfolio_id, rule, valid_from, value) VALUES (%s, %s, '2020-01-01', 1)",
                        (pair[(n + i + 1) % 2], f"{n}.{i}"),
                    )
        except (psycopg.Error, threading.BrokenBarrierError) as error:
            failed.append(error)

    at_once(work, 6)
    assert failed == []
    with engine.owner() as c:
        assert audit.verify(c).findings == ()
        assert one(c, "SELECT count(*) FROM audit_log WHERE entity = 'limits'") == 96
        assert not c.execute(
            "SELECT FROM (SELECT at < lag(at) OVER (PARTITION BY chain ORDER BY seq) AS back FROM audit_log) x WHERE back"
        ).fetchall()


# --- nobody changes it -------------------------------------------------------------------------------------------

CHANGES = (
    "UPDATE {} SET seq = seq",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "INSERT INTO {} SELECT * FROM {}",
)


@pytest.mark.parametrize("table", ["audit_log", "audit_heads", "audit_pending"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_working_roles_may_not_write_it(database: Database, table: str, change: str) -> None:
    with engine.owner() as c:
        user = somebody(c, role="admin")
    if table == "audit_pending":
        change = change.replace("seq = seq", "opens = opens").replace(
            "SELECT * FROM", "OVERRIDING SYSTEM VALUE SELECT * FROM"
        )
    for c in (database.web(user), database.jobs()):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute(change.format(table, table))


@pytest.mark.parametrize("table", ["audit_log", "audit_heads", "audit_pending"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_owner_may_not_write_it_while_the_trigger_stands(owner: Connection, table: str, change: str) -> None:
    if table == "audit_pending":
        change = change.replace("seq = seq", "opens = opens").replace(
            "SELECT * FROM", "OVERRIDING SYSTEM VALUE SELECT * FROM"
        )
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        owner.execute(change.format(table, table))


def test_the_working_roles_may_not_read_what_waits(database: Database) -> None:
    for c in (database.web(), database.jobs()):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute("SELECT * FROM audit_pending")


# --- nothing done to it goes unseen ------------------------------------------------------------------------------


@pytest.fixture
def six(owner: Connection) -> Connection:
    """A chain 'people' of six rows; the owner has taken the protection off."""
    for i in range(4):  # behind the two that say which chains began
        owner.execute("INSERT INTO installation VALUES (%s, '1')", (f"fact {i}",))
        sealed(owner)
    assert one(owner, "SELECT count(*) FROM audit_log WHERE chain = 'people'") == 6
    assert audit.verify(owner).findings == ()
    owner.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
    owner.execute("ALTER TABLE audit_heads DISABLE TRIGGER append_only")
    return owner


def found(c: Connection, *expected: Head) -> list[tuple[int | None, str]]:
    """What is wrong with the chain 'people'."""
    done = audit.verify(c, expected=expected)
    assert {f.chain for f in done.findings} >= {"audit_heads", "audit_log"}, "that the protection is off is said"
    return [(f.seq, f.what) for f in done.findings if f.chain == "people"]


COLUMNS = {
    "chain": "'people2'",
    "seq": "seq + 100",
    "at": "at + interval '1 microsecond'",
    "actor": "uuidv7()",
    "actor_name": "actor_name || ' '",
    "action": "'deleted'",
    "entity": "'securities'",
    "entity_key": "''",
    "before": "'{}'",
    "after": "jsonb_set(after, '{value}', '2')",
    "source": "'page'",
    "address": "'192.0.2.1'",
    "request_id": "''",
    "task_id": "uuidv7()",
    "previous": "sha256('')",
    "hash": "sha256('')",
}


@pytest.mark.parametrize("row", [1, 3, 6])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_column_is_found(six: Connection, column: str, row: int) -> None:
    six.execute(f"UPDATE audit_log SET {column} = {COLUMNS[column]} WHERE chain = 'people' AND seq = {row}")  # type: ignore[arg-type]
    ((seq, _),) = found(six)
    assert seq == row


def test_every_column_was_tried(owner: Connection) -> None:
    there = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'audit_log'::regclass AND attnum > 0"
    ).fetchall()
    assert {r[0] for r in there} == set(COLUMNS)


@pytest.mark.parametrize(("row", "what"), [(1, "it is missing"), (3, "it is missing"), (6, "cut short")])
def test_a_deleted_row_is_found(six: Connection, row: int, what: str) -> None:
    six.execute("DELETE FROM audit_log WHERE chain = 'people' AND seq = %s", (row,))
    ((seq, said),) = found(six)
    assert (seq, what in said) == (row, True), said


def test_a_deleted_row_whose_followers_move_up_is_found(six: Connection) -> None:
    six.execute("DELETE FROM audit_log WHERE chain = 'people' AND seq = 3")
    for seq in (4, 5, 6):
        six.execute("UPDATE audit_log SET seq = seq - 1 WHERE chain = 'people' AND seq = %s", (seq,))
    ((seq, said),) = found(six)
    assert (seq, "does not follow row 2" in said) == (3, True), said


def test_two_rows_that_change_places_are_found(six: Connection) -> None:
    for was, becomes in ((2, 100), (3, 2), (100, 3)):
        six.execute("UPDATE audit_log SET seq = %s WHERE chain = 'people' AND seq = %s", (becomes, was))
    ((seq, said),) = found(six)
    assert (seq, "does not follow row 1" in said) == (2, True), said


def test_two_rows_that_change_contents_are_found(six: Connection) -> None:
    six.execute(
        "UPDATE audit_log a SET (after, entity_key, at) = (SELECT b.after, b.entity_key, b.at FROM audit_log b WHERE b.chain = 'people' AND b.seq = 7 - a.seq) "
        "WHERE a.chain = 'people' AND a.seq IN (3, 4)"
    )
    ((seq, said),) = found(six)
    assert (seq, "was changed" in said) == (3, True), said


def rewritten(c: Connection, since: int) -> None:
    """As somebody who knows the way: the hashes anew from a row on, and the head."""
    c.execute(
        f"""DO $$ DECLARE a audit_log; link bytea; BEGIN
             SELECT coalesce((SELECT hash FROM audit_log WHERE chain = 'people' AND seq = {since} - 1), decode(repeat('00', 32), 'hex')) INTO link;
             FOR a IN SELECT * FROM audit_log WHERE chain = 'people' AND seq >= {since} ORDER BY seq LOOP
               UPDATE audit_log SET previous = link, hash = sha256(link || sha256(convert_to(audit_canonical(a), 'UTF8')))
                WHERE chain = 'people' AND seq = a.seq RETURNING hash INTO link;
             END LOOP;
             UPDATE audit_heads SET (seq, hash) = (SELECT seq, hash FROM audit_log WHERE chain = 'people' ORDER BY seq DESC LIMIT 1) WHERE chain = 'people';
           END $$"""  # type: ignore[arg-type]
    )


def test_a_forged_row_in_the_middle_is_found(six: Connection) -> None:
    (noted,) = (h for h in audit.heads(six) if h.chain == "people")
    for seq in (6, 5, 4):
        six.execute("UPDATE audit_log SET seq = seq + 1 WHERE chain = 'people' AND seq = %s", (seq,))
    six.execute(
        "INSERT INTO audit_log SELECT chain, 4, at, actor, actor_name, action, entity, 'forged', before, after, source, address, request_id, task_id, hash, "
        "sha256('') FROM audit_log WHERE chain = 'people' AND seq = 3"
    )
    assert [seq for seq, _ in found(six)] == [4]
    rewritten(six, 4)
    assert found(six) == [], "who writes the rest anew leaves a chain that fits"
    ((seq, said),) = found(six, noted)
    assert (seq, "not the one that was noted" in said) == (6, True), "unless its head was noted elsewhere"


def test_a_tail_written_anew_is_found_by_the_noted_head(six: Connection) -> None:
    (noted,) = (h for h in audit.heads(six) if h.chain == "people")
    assert found(six, noted) == []
    six.execute("UPDATE audit_log SET after = '{}' WHERE chain = 'people' AND seq = 5")
    rewritten(six, 5)
    assert found(six) == []
    assert [seq for seq, _ in found(six, Head.read(str(noted)))] == [6]


def test_a_chain_cut_short_with_its_head_is_found_by_the_noted_head(six: Connection) -> None:
    (noted,) = (h for h in audit.heads(six) if h.chain == "people")
    six.execute("DELETE FROM audit_log WHERE chain = 'people' AND seq > 4")
    rewritten(six, 4)
    assert found(six) == []
    ((seq, said),) = found(six, noted)
    assert (seq, "row 6 was noted" in said) == (5, True), said
    six.execute("DELETE FROM audit_log WHERE chain = 'people'")
    six.execute("DELETE FROM audit_heads WHERE chain = 'people'")
    assert found(six) == [(None, "the whole chain is missing, and with it which other chains there were")]
    assert [seq for seq, _ in found(six, noted)] == [1]


def test_heads_that_are_gone_or_wrong_are_found(six: Connection) -> None:
    for change in ("SET hash = sha256('')", "SET seq = 5", "SET seq = 7"):
        with six.transaction(force_rollback=True):
            six.execute(f"UPDATE audit_heads {change} WHERE chain = 'people'")  # type: ignore[arg-type]
            assert len(found(six)) == 1, change
    with six.transaction(force_rollback=True):
        six.execute("DELETE FROM audit_heads WHERE chain = 'people'")
        assert found(six) == [(None, "its head is missing")]
    six.execute("DELETE FROM audit_log WHERE chain = 'people'")
    assert found(six) == [(1, "the chain is cut short: its head stands at row 6")]


def gone(c: Connection, *chains: str) -> list[str]:
    """What is found where the owner takes whole chains away and puts the protection back."""
    for each in ("DISABLE", "ENABLE"):
        for t in ("audit_log", "audit_heads"):
            c.execute(f"ALTER TABLE {t} {each} TRIGGER append_only")
            if each == "DISABLE":
                c.execute(f"DELETE FROM {t} WHERE chain = ANY (%s)", (list(chains),))
    return [str(f) for f in audit.verify(c).findings]


def portfolio_of(c: Connection) -> str:
    """A portfolio's chain."""
    made = one(c, "INSERT INTO portfolios (name, base_currency, created_by) VALUES ('P', 'USD', %s) RETURNING portfolio_id", somebody(c))  # fmt: skip
    sealed(c)
    return f"portfolio:{made}"


def test_a_whole_chain_that_is_gone_is_found(owner: Connection) -> None:
    its = portfolio_of(owner)
    row = next(r for r in newest(owner, 9) if r.entity_key == its)
    assert (row.chain, row.entity, row.actor, row.address) == ("people", "audit_chains", None, None), (
        "admins, who may not read it, learn that it began, and not by whom"
    )
    with owner.transaction(force_rollback=True):
        assert gone(owner, "master") == [
            "master: the whole chain is missing: row 2 of people says that it began",
        ]
    with owner.transaction(force_rollback=True):
        assert gone(owner, "master", "people", its) == [
            "people: the whole chain is missing, and with it which other chains there were",
        ]
    said = f"{its}: the whole chain is missing: row {row.seq} of people says that it began"
    assert gone(owner, its) == [said]
    assert [str(f) for f in audit.verify(owner, its).findings] == [said]
    assert audit.verify(owner, "master").findings == ()
    owner.execute("UPDATE portfolios SET note = 'n'")
    sealed(owner)
    assert [str(f) for f in audit.verify(owner).findings] == [
        f"{its}: it began anew with row {row.seq + 1} of people: what stood there before is missing"
    ]


def test_a_chain_that_never_began_is_found(six: Connection) -> None:
    six.execute("UPDATE audit_log SET chain = 'portfolio:x' WHERE chain = 'people' AND seq = 6")
    six.execute("INSERT INTO audit_heads SELECT chain, seq, hash FROM audit_log WHERE chain = 'portfolio:x'")
    said = {f.chain: f.what for f in audit.verify(six, "portfolio:x").findings}
    assert "portfolio:x" in said
    six.execute("DELETE FROM audit_log WHERE chain = 'portfolio:x'")
    six.execute("UPDATE audit_heads SET (seq, hash) = (0, decode(repeat('00', 32), 'hex')) WHERE chain = 'portfolio:x'")
    said = {f.chain: f.what for f in audit.verify(six, "portfolio:x").findings}
    assert said["portfolio:x"] == "no row of people says that it began: one of the two is not as it was written"


def test_two_that_begin_a_chain_at_once_name_it_once(database: Database) -> None:
    """As with a portfolio of before the trail, whose chain begins at its first change."""
    with engine.owner() as c:
        c.execute("ALTER TABLE portfolios DISABLE TRIGGER audit_insert")
        user = somebody(c)
        made = one(c, "INSERT INTO portfolios (name, base_currency, created_by) VALUES ('P', 'USD', %s) RETURNING portfolio_id", user)  # fmt: skip
        c.execute("ALTER TABLE portfolios ENABLE TRIGGER audit_insert")
        assert audit.verify(c).findings == ()
    done: list[str] = []

    def second() -> None:
        with engine.owner() as c:
            c.execute("UPDATE portfolios SET name = 'R'")
        done.append("second")

    with engine.owner() as c:
        c.execute("INSERT INTO limits (portfolio_id, rule, valid_from, value) VALUES (%s, 'r', '2020-01-01', 1)", (made,))  # fmt: skip
        sealed(c)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1)
        assert done == [], "it waits for the first"
    thread.join(30)
    assert done == ["second"]
    with engine.owner() as c:
        assert one(c, "SELECT count(*) FROM audit_log WHERE entity = 'audit_chains' AND entity_key = %s", f"portfolio:{made}") == 1  # fmt: skip
        assert one(c, "SELECT count(*) FROM audit_log WHERE chain = %s", f"portfolio:{made}") == 2
        assert audit.verify(c).findings == ()


def test_many_chains_begin_at_once(database: Database) -> None:
    with engine.owner() as c:
        user = somebody(c)
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for i in range(5):
                portfolios.create_portfolio(user, f"{n}.{i}", "USD")
                with engine.owner() as c:
                    c.execute("INSERT INTO portfolios (name, base_currency, created_by) VALUES (%s, 'USD', %s)", (f"{n}/{i}", user))  # fmt: skip
                    one(c, NEW, f"S{n}X{i}", "S")
        except psycopg.Error as error:
            failed.append(error)

    at_once(work, 6)
    assert failed == []
    with engine.owner() as c:
        done = audit.verify(c)
        assert (done.findings, len(done.checks)) == ((), 62)
        assert one(c, "SELECT count(*) FROM audit_log WHERE entity = 'audit_chains'") == 62


def test_what_no_longer_writes_the_trail_is_said(owner: Connection) -> None:
    owner.execute("ALTER TABLE securities DISABLE TRIGGER audit_update")
    owner.execute("DROP TRIGGER audit_delete ON limits")
    owner.execute("DROP TRIGGER append_only ON audit_log")
    said = [str(f) for f in audit.verify(owner).findings]
    assert [s.split(": changes")[0] for s in said] == [
        "audit_log: its trigger append_only is missing",
        "limits: its trigger audit_delete is missing",
        "securities: its trigger audit_update is disabled",
    ]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("DROP TRIGGER audit_insert ON securities; DROP TRIGGER audit_update ON securities; DROP TRIGGER audit_delete ON securities", "securities"),
        ("DROP TRIGGER audit_insert ON transactions", "transactions"),
        ("ALTER TABLE transactions DISABLE TRIGGER append_only", "transactions"),
        ("DROP TRIGGER seal ON audit_pending", "audit_pending"),
        ("SELECT audited('securities', 'status')", "securities"),
        ("SELECT audited_by_people('grants')", "grants"),
        ("CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON limits REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (false) "
         "EXECUTE FUNCTION audit_rows('portfolio', 'all', '{portfolio_id,rule,valid_from}', '{}', '{}')", "limits"),
        ("CREATE OR REPLACE FUNCTION audit_rows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "audit_rows"),
        ("CREATE OR REPLACE FUNCTION audit_told() RETURNS TABLE (actor uuid, actor_name text, source text, address text, request_id text, task_id uuid) "
         "LANGUAGE sql AS $$ SELECT NULL::uuid, 'ben', 'page', NULL, NULL, NULL::uuid $$", "audit_told"),
        # what stands in another function of ours, or is a part of this one
        ("DO $$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION refuse_audit() RETURNS trigger LANGUAGE plpgsql AS %L', "
         "(SELECT prosrc FROM pg_proc WHERE proname = 'audit_booked')); END $$", "refuse_audit"),
        # what was added and keeps rows out
        ("CREATE FUNCTION hush() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
         "CREATE TRIGGER hush BEFORE INSERT ON audit_pending FOR EACH ROW EXECUTE FUNCTION hush()", "audit_pending"),
        ("CREATE FUNCTION hush() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM audit_pending; RETURN NULL; END'; "
         "CREATE TRIGGER zz AFTER INSERT ON securities FOR EACH STATEMENT EXECUTE FUNCTION hush()", "securities"),
        ("CREATE RULE hush AS ON INSERT TO audit_pending DO INSTEAD NOTHING", "audit_pending"),
        ("CREATE OR REPLACE FUNCTION keep_action() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM audit_pending; RETURN NEW; END'", "corporate_actions"),
        ("CREATE OR REPLACE FUNCTION app_user() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'", "app_user"),
    ],
)  # fmt: skip
def test_what_was_dropped_and_made_otherwise_is_said(owner: Connection, change: str, where: str) -> None:
    assert audit.verify(owner).findings == ()
    owner.execute(change)  # type: ignore[arg-type]
    assert {f.chain for f in audit.verify(owner).findings} == {where}


def test_long_chains_are_walked_in_parts(owner: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.execute("INSERT INTO installation SELECT i::text, '1' FROM generate_series(1, 18) i")
    sealed(owner)
    for size in (7, 10, 20, 21):
        monkeypatch.setattr(audit, "FETCHED", size)
        counted: list[tuple[int, int]] = []
        done = audit.verify(owner, "people", said=lambda now, every, counted=counted: counted.append((now, every)))  # type: ignore[misc]
        assert (done.rows, done.findings, counted[-1][0]) == (20, (), 20)
        assert len(counted) == 20 // size + 1


# --- the hash, by hand -------------------------------------------------------------------------------------------


def test_the_hash_by_hand(owner: Connection) -> None:
    """The canonical form, written out; the database and core say the same."""
    owner.execute("INSERT INTO installation VALUES ('Zürich', '[1.50, null]')")
    sealed(owner)
    (row,) = newest(owner)
    at = row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    after = '{"key": "Zürich", "value": [1.50, null]}'
    text = f"6:people,1:3,27:{at},-,13:ballast_owner,8:inserted,12:installation,7:Zürich,-,41:{after},8:database,-,-,-,"
    assert trail.canonical(row) == text.encode()
    assert one(owner, "SELECT audit_canonical(l) FROM audit_log l WHERE chain = 'people' AND seq = 3") == text
    assert one(owner, "SELECT previous FROM audit_log l WHERE chain = 'people' AND seq = 1") == bytes(32)
    assert row.hash == hashlib.sha256(row.previous + hashlib.sha256(text.encode()).digest()).digest()


def test_fields_cannot_run_into_each_other() -> None:
    base = Row(
        "people",
        1,
        datetime(2026, 1, 5, tzinfo=UTC),
        None,
        "ab",
        "inserted",
        "c",
        "d",
        None,
        None,
        "page",
        None,
        None,
        None,
        b"",
        b"",
    )
    others = [
        Row("people", 1, base.at, None, "a", "inserted", "bc", "d", None, None, "page", None, None, None, b"", b""),
        Row("people", 1, base.at, None, "ab", "inserted", "c", "d", "", None, "page", None, None, None, b"", b""),
        Row("people", 1, base.at, None, "ab", "inserted", "c", "d,-", None, None, "page", None, None, None, b"", b""),
    ]
    assert len({trail.canonical(r) for r in (base, *others)}) == 4


def test_an_empty_chain_and_a_row_before_the_first() -> None:
    check = Check("people")
    check.end(None)
    assert (check.finding, check.rows) == (None, 0)
    check = Check("people")
    check.take([Link(0, b"", trail.START, b"")])
    check.end((0, b""))
    assert check.finding is not None
    assert "before the first" in check.finding.what


# --- what is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("from", "yesterday"), ("to", "2026-02-30"), ("action", "broke"), ("source", "moon"), ("task", "7"), ("chain", "portfolio:x"), ("q", "a\x00"),
     ("who", "x" * 300)],
)  # fmt: skip
def test_what_cannot_be_asked_says_so(name: str, value: str) -> None:
    with pytest.raises(BadScope) as error:
        Wanted.read({name: value})
    assert (error.value.parameter, bool(error.value.expected)) == (name, True)


def test_days_the_wrong_way_round() -> None:
    with pytest.raises(BadScope, match="a day from 2026-02-02 on"):
        Wanted.read({"from": "2026-02-02", "to": "2026-02-01"})


def test_cursors_come_back_and_others_are_refused() -> None:
    cursor = Cursor(datetime(2026, 1, 5, 1, 2, 3, 4, tzinfo=UTC), "portfolio:x", 7)
    assert Cursor.read(str(cursor)) == cursor
    for wrong in ("", "x", "é", "AAAA", str(cursor)[2:], "MjAyNi0wMS0wNSB4IHg", "=" * 9):
        with pytest.raises(BadScope):
            Cursor.read(wrong)
    for wrong in ("people", "people:x:00", "people:1:zz", f"people:-1:{'0' * 64}"):
        with pytest.raises(BadScope):
            Head.read(wrong)


# --- who sees what; the API ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def chains(small: Small, user: UUID | None) -> set[str]:
    c = small.database.web(user)
    seen = {r[0] for r in c.execute("SELECT DISTINCT chain FROM audit_log").fetchall()}
    assert {r[0] for r in c.execute("SELECT chain FROM audit_heads").fetchall()} == seen
    return seen


def test_everybody_sees_master_data_their_portfolios_and_admins_people(small: Small) -> None:
    own = {f"portfolio:{p}" for name, p in small.portfolios.items() if name.startswith(MARK)}
    bens = f"portfolio:{small.portfolios[chr(66) + 'en' + chr(39) + 's own']}"
    assert chains(small, small.anna) == {"master", "people"} | own
    assert chains(small, small.ben) == {"master", bens}
    assert chains(small, None) == set()


def test_the_links_of_others_are_for_admins(small: Small) -> None:
    ben, anna = small.database.web(small.ben), small.database.web(small.anna)
    assert ben.execute("SELECT * FROM audit_chains()").fetchall() == []
    assert ben.execute("SELECT * FROM audit_links('people', NULL, 10)").fetchall() == []
    assert ben.execute("SELECT * FROM audit_head('people')").fetchall() == []
    assert len(anna.execute("SELECT * FROM audit_chains()").fetchall()) == 6


def test_an_admin_verifies_what_they_may_not_read(small: Small) -> None:
    done = audit.verified(small.user("anna"))
    with engine.owner() as c:
        assert done == audit.verify(c)
    assert (done.findings, len(done.checks)) == ((), 6)
    with pytest.raises(access.AccessDenied):
        audit.verified(small.user("ben"))


def test_the_api_says_where_a_change_came_from(small: Small) -> None:
    client = small.client("anna")
    made = client.post(
        "/v1/portfolios", json={"name": "By the API", "base_currency": "USD"}, headers={"X-Request-Id": "mine-12345"}
    )
    assert made.status_code == 201
    number = made.json()["portfolio_id"]
    rows = client.get("/v1/audit", params={"chain": f"portfolio:{number}"}).json()["items"]
    assert [r["entity"] for r in rows] == ["grants", "cost_methods", "portfolios"]
    for r in rows:
        assert (r["actor"], r["actor_name"], r["source"], r["address"], r["request_id"]) == (
            str(small.anna),
            "anna",
            "api",
            "testclient",
            "mine-12345",
        )
    assert rows[-1]["after"]["name"] == "By the API"
    assert engine.origin.get() is None, "it ends with its request"


def test_pages_of_the_api_hold_every_row_once(small: Small) -> None:
    client = small.client("anna")
    seen: list[tuple[str, int]] = []
    times: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/audit", params=asked).json()  # type: ignore[arg-type]
        seen += [(r["chain"], r["seq"]) for r in page["items"]]
        times += [r["at"] for r in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["items"]) == 7
    with small.database.web(small.anna) as c:
        there = set(c.execute("SELECT chain, seq FROM audit_log").fetchall())
    assert (len(seen), set(seen)) == (len(there), there)
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({"who": "ANNA"}, lambda r: r["actor_name"] == "anna"),
        ({"entity": "limits"}, lambda r: r["entity"] == "limits"),
        ({"action": "booked"}, lambda r: r["action"] == "booked"),
        ({"source": "csv", "entity": "imports"}, lambda r: r["entity"] == "imports"),
        ({"source": "command"}, lambda r: r["source"] == "command"),
        ({"chain": "people"}, lambda r: r["chain"] == "people"),
        ({"q": "rhein GRÜN"}, lambda r: "Rhein Grün" in json.dumps(r, ensure_ascii=False)),
        ({"entity": "securities", "key": "1"}, lambda r: (r["entity"], r["entity_key"]) == ("securities", "1")),
    ],
)
def test_filters(small: Small, asked: dict[str, str], holds: Callable[[Any], bool]) -> None:
    client = small.client("anna")
    every = client.get("/v1/audit", params={"limit": 500}).json()["items"]
    found = client.get("/v1/audit", params={"limit": 500, **asked}).json()["items"]
    assert 0 < len(found) < len(every) < 500
    assert found == [r for r in every if holds(r)]


@pytest.mark.parametrize("asked", [{"who": "nobody"}, {"task": str(uuid4())}, {"entity": "limits", "key": "x"}])
def test_filters_of_one_thing_walk_no_whole_trail(small: Small, asked: dict[str, str]) -> None:
    """Each is asked for by its index, for a person too, whatever else there is in the trail."""
    conditions, values = audit._asked(small.user("anna"), Wanted.read(asked))
    with small.database.web(small.anna) as c:
        c.execute("SET LOCAL enable_seqscan = off")
        found = c.execute("EXPLAIN SELECT * FROM audit_log WHERE " + " AND ".join(conditions), values).fetchall()  # type: ignore[arg-type]
    plan = "\n".join(r[0] for r in found)
    assert "Seq Scan on audit_log" not in plan
    assert "audit_log_newest" not in plan
    assert "Index Cond" in plan


def test_filters_by_day(small: Small) -> None:
    client = small.client("anna")
    day = lambda **asked: len(client.get("/v1/audit", params={"limit": 500, **asked}).json()["items"])  # noqa: E731
    with small.database.owner() as c:
        first, last = c.execute("SELECT min(at)::date::text, max(at)::date::text FROM audit_log").fetchone()  # type: ignore[misc]
    assert day(**{"from": first, "to": last}) == day() > 0
    assert day(to="2020-01-01") == day(**{"from": "2999-01-01"}) == 0


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"from": "x"}, "from"), ({"entity": "nothing"}, "entity"), ({"action": "x"}, "action"), ({"cursor": "x"}, "cursor"), ({"limit": "501"}, "limit"),
     ({"task": "x"}, "task"), ({"limit": "0"}, "limit")],
)  # fmt: skip
def test_bad_filters_name_field_and_what_is_right(small: Small, asked: dict[str, str], field: str) -> None:
    said = small.client("anna").get("/v1/audit", params=asked)
    assert (said.status_code, said.headers["content-type"]) == (422, "application/problem+json")
    assert said.json()["field"].endswith(field)
    assert said.json()["value"] == asked[field]
    assert said.json()["expected"]


def test_as_csv(small: Small) -> None:
    client = small.client("anna")
    said = client.get("/v1/audit.csv", params={"entity": "limits"})
    assert said.headers["content-disposition"].startswith('attachment; filename="audit_')
    rows = list(csv.DictReader(io.StringIO(said.text)))
    items = client.get("/v1/audit", params={"entity": "limits", "limit": 500}).json()["items"]
    assert [(r["chain"], r["seq"], r["hash"]) for r in rows] == [(i["chain"], str(i["seq"]), i["hash"]) for i in items]
    assert {r["belongs"] for r in rows} == {name for name in small.portfolios if name.startswith(MARK)}
    assert client.get("/v1/audit.csv", params={"entity": "x"}).status_code == 422


def test_verify_by_the_api(small: Small) -> None:
    said = small.client("anna").get("/v1/audit/verify").json()
    assert (said["whole"], said["findings"]) == (True, [])
    assert said["rows"] == sum(c["rows"] for c in said["chains"]) > 50
    assert small.client("ben").get("/v1/audit/verify").status_code == 403


def test_ben_reads_his_own_alone_by_the_api(small: Small) -> None:
    items = small.client("ben").get("/v1/audit", params={"limit": 500}).json()["items"]
    assert items
    assert MARK not in json.dumps(items)
    assert not small.client("ben").get("/v1/audit", params={"chain": "people"}).json()["items"]
    assert small.client().get("/v1/audit").status_code == 401


def test_the_trail_of_one_thing(small: Small) -> None:
    number = str(small.securities["BOLT"])
    with engine.jobs(user=small.anna) as c:
        c.execute("UPDATE securities SET name = 'Bolts' WHERE security_id = %s", (number,))
        c.execute(
            "INSERT INTO corporate_actions (security_id, kind, ex_on, ratio_new, ratio_old, provider) VALUES (%s, 'split', '2001-01-01', 2, 1, 'manual')",
            (number,),
        )
    found = list(audit.of(small.user("ben"), "securities", number).records())
    assert [(r["entity"], r["action"], r["who"]) for r in found[:2]] == [
        ("corporate_actions", "inserted", "anna"),
        ("securities", "updated", "anna"),
    ]
    assert {(r["entity"], r["action"], r["who"]) for r in found[2:]} == {
        (each, "inserted", "ballast_jobs") for each in ("securities", "security_symbols", "security_classifications")
    }
    assert (found[1]["thing"], found[1]["change"]) == ("securities BOLT", "name: Bolt → Bolts")
    assert found[0]["thing"] == "corporate actions BOLT"
    assert len(audit.of(small.user("ben"), "securities", number, limit=1).rows) == 1


def test_where_others_came_from_is_for_admins(small: Small) -> None:
    """In the API, in the CSV and in what is searched; the hash covers it, so that a digest stands for what is withheld."""
    number = small.securities["LATE"]
    told = engine.origin.set(engine.Origin("api", "192.0.2.99", "from-anna"))
    try:
        for rating, user in (("B", small.ben), ("A", small.anna)):
            with engine.jobs(user=user, source="api") as c:
                c.execute("UPDATE securities SET rating = %s WHERE security_id = %s", (rating, number))
        task = tasks.request(small.user("anna"), master.plan_edit(small.user("anna"), "LATE", {"rating": "AA"}), {})
    finally:
        engine.origin.reset(told)
    seen = {}
    for name in ("anna", "ben"):
        items = small.client(name).get("/v1/audit", params={"limit": 500, "chain": "master"}).json()["items"]
        seen[name] = {r["hash"]: r for r in items}
        rows = csv.DictReader(io.StringIO(small.client(name).get("/v1/audit.csv", params={"chain": "master"}).text))
        assert [(r["hash"], r["address"], r["request_id"], r["digest"]) for r in rows] == [
            (i["hash"], *(i[x] or "" for x in ("address", "request_id", "digest"))) for i in items
        ]
        found = small.client(name).get("/v1/audit", params={"q": "192.0.2.99"}).json()["items"]
        assert {r["actor_name"] for r in found} == {"anna": {"anna", "ben"}, "ben": {"ben"}}[name]
    assert seen["anna"].keys() == seen["ben"].keys()
    withheld = [h for h, r in seen["anna"].items() if r != seen["ben"][h]]
    assert {seen["anna"][h]["entity"] for h in withheld} == {"securities", "tasks"}
    for h, r in seen["anna"].items():
        bens = seen["ben"][h]
        assert (r["digest"] is None, bens["digest"] is None) == (True, h not in withheld)
        if h in withheld:
            assert (r["address"], bens["address"], bens["request_id"]) == ("192.0.2.99", None, None)
            assert trail.linked(*(bytes.fromhex(bens[x]) for x in ("previous", "digest"))).hex() == h
    text = json.dumps([r for r in seen["ben"].values() if r["actor_name"] != "ben"])
    assert "192.0.2.99" not in text
    assert "from-anna" not in text
    asking = next(r for r in seen["anna"].values() if r["entity_key"] == str(task))
    assert {"address", "request_id"} & set(asking["after"]) == set(), "the row itself says it"
    assert asking["after"]["source"] == "api"
    shown = list(audit.of(small.user("ben"), "securities", str(number)).records())
    assert {r["address"] for r in shown} == {None, "192.0.2.99"}
    assert {r["who"] for r in shown if r["address"]} == {"ben"}
    for name in ("anna", "ben"):
        at = AppTest.from_function(_opens, default_timeout=60)
        at.session_state["user"], at.session_state["action"] = small.user(name), "updated"
        at.run()
        assert not at.exception, at.exception[0].value
        assert ("192.0.2.99" in at.markdown[0].value, "request" in at.caption[0].value) == ((name == "anna"),) * 2
        assert ("is for admins" in at.caption[0].value) == (name == "ben")
    assert audit.verified(small.user("anna")).findings == ()


# --- the page ----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """`opened(who, …)`: the page as somebody's browser gets it."""

    def run(who: str = "anna", **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page("audit.py")
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def press(at: AppTest, key: str) -> AppTest:
    at.button(key).click().run()
    assert not at.exception, at.exception[0].value
    return at


def test_the_page_shows_what_may_be_seen(opened: Callable[..., AppTest], small: Small) -> None:
    at = opened()
    assert {"People and settings", "Master data", f"{MARK} dollars"} <= set(at.dataframe[0].value["belongs"])
    at = opened("ben")
    assert set(at.dataframe[0].value["belongs"]) <= {"Master data", "Ben's own"}
    assert MARK not in at.dataframe[0].value.to_string()
    assert not [b for b in at.button if b.key == "audit_verify"]


def test_filters_of_the_page_and_of_its_address(opened: Callable[..., AppTest]) -> None:
    at = opened(entity="limits")
    assert set(at.dataframe[0].value["thing"]) == {"limits"}
    assert at.selectbox("audit_entity").value == "limits"
    at.selectbox("audit_entity").set_value(None)
    at.selectbox("audit_action").set_value("booked").run()
    assert set(at.dataframe[0].value["action"]) == {"booked"}
    at.text_input("audit_q").set_value("no such thing").run()
    assert any("Nothing fits" in str(i.value) for i in at.info)
    at = opened(source="moon")
    assert any("source='moon'" in str(e.value) for e in at.error)


def test_older_and_newer(opened: Callable[..., AppTest], small: Small) -> None:
    with engine.jobs() as c:
        c.execute("INSERT INTO installation SELECT 'many ' || i, '1' FROM generate_series(1, 150) i")
    at = opened(q="many ")
    first = at.dataframe[0].value["change"].tolist()
    press(at, "audit_older")
    second = at.dataframe[0].value["change"].tolist()
    assert (len(first), len(second), len({*first, *second})) == (100, 50, 150)
    assert at.button("audit_older").disabled
    press(at, "audit_newer")
    assert at.dataframe[0].value["change"].tolist() == first


def test_verifying_on_the_page(opened: Callable[..., AppTest], small: Small) -> None:
    at = press(opened(), "audit_verify")
    assert any("as it was written" in str(s.value) for s in at.success)
    with engine.owner() as c:
        c.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
        c.execute("UPDATE audit_log SET address = '192.0.2.1' WHERE chain = 'people' AND seq = 2")
    try:
        at = press(opened(), "audit_verify")
        assert "people row 2: it was changed" in at.error[0].value.replace("\\", "")
        assert "its trigger append" in at.error[0].value
    finally:
        with engine.owner() as c:
            c.execute("UPDATE audit_log SET address = NULL WHERE chain = 'people' AND seq = 2")
            c.execute("ALTER TABLE audit_log ENABLE TRIGGER append_only")
    assert audit.verified(small.user("anna")).findings == ()


def test_a_change_on_a_page_says_so(
    opened: Callable[..., AppTest], small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.owner() as c:
        before = one(c, "SELECT count(*) FROM audit_log WHERE source = 'page'")
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_function(_writes, default_timeout=60)
    at.session_state["user"] = small.anna
    at.run()
    assert not at.exception, at.exception[0].value
    with engine.owner() as c:
        assert one(c, "SELECT count(*) FROM audit_log WHERE source = 'page' AND actor_name = 'anna'") == before + 3


def _writes() -> None:
    import streamlit as st

    from db import portfolios
    from ui import session  # noqa: F401

    portfolios.create_portfolio(st.session_state["user"], "From a page", "USD")


def test_a_row_opened(small: Small) -> None:
    with engine.jobs(user=small.anna) as c:
        c.execute("UPDATE securities SET name = 'At * sea' WHERE symbol = 'LATE'")
    for action, said in (("updated", ["Before", "After"]), ("inserted", ["Now"]), ("booked", ["Now"])):
        at = AppTest.from_function(_opens, default_timeout=60)
        at.session_state["user"], at.session_state["action"] = small.user("anna"), action
        at.run()
        assert not at.exception, at.exception[0].value
        assert list(at.table[0].value.columns) == ["Field", *said]
        if action == "updated":
            assert "**anna** changed securities **LATE** on" in at.markdown[0].value
            assert at.table[0].value["After"].tolist() == ["At \\* sea", str(small.securities["LATE"])], (
                "what changed comes first, and is no Markdown"
            )


def _opens() -> None:
    import streamlit as st

    from core.audit import Wanted
    from db import audit
    from ui import audit as trail

    page = audit.rows(st.session_state["user"], Wanted(action=st.session_state["action"]), limit=1)
    trail.one(page.rows[0], page.names)


# --- commands (these make databases of their own: nothing of the small installation is left) ----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(database: Database, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`command("verify", …)`: (exit status, what it printed)."""
    with engine.owner() as c:
        somebody(c)
        c.execute("INSERT INTO installation VALUES ('a', '1'), ('b', '2')")

    def run(*arguments: str) -> tuple[int, str]:
        status = audit.main(arguments)
        return status, "".join(capsys.readouterr())

    return run


def test_verify_says_what_it_found(database: Database, command: Callable[..., tuple[int, str]]) -> None:
    status, said = command("verify", "--chain", "people")
    assert (status, "5 rows in 1 chains: all is as it was written." in said) == (0, True), said
    assert command("verify")[0] == 0
    status, noted = command("heads")
    noted = next(line for line in noted.splitlines() if line.startswith("people:5:"))
    assert status == 0
    assert command("verify", "--chain", "people", "--expect", noted)[0] == 0
    assert command("verify", "--expect", "people:3")[0] == 2
    assert command("verify", "--chain", "nobody")[0] == 1
    with engine.owner() as c:
        c.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
        c.execute("UPDATE audit_log SET entity_key = 'c' WHERE chain = 'people' AND seq = 4")
        c.execute("ALTER TABLE audit_log ENABLE TRIGGER append_only")
    status, said = command("verify")
    assert (status, "people row 4: it was changed" in said, "1 findings" in said) == (1, True, True), said


def test_where_there_is_no_database_none_is_made_and_called_whole(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    done = subprocess.run([sys.executable, "-m", "db.audit", "verify"], cwd=ROOT, env=os.environ | {"DATA_DIR": str(folder)},
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert (done.returncode, f"there is no database in DATA_DIR={folder}" in done.stderr) == (2, True), done
    assert not folder.exists()


def test_the_exported_trail_gives_the_hashes(command: Callable[..., tuple[int, str]]) -> None:
    status, said = command("export", "--csv", "--chain", "people")
    rows = list(csv.DictReader(io.StringIO(said, newline="")))
    assert (status, len(rows)) == (0, 5)
    before = bytes(32)
    for r in rows:
        cells = {k: v or None for k, v in r.items()}
        row = Row(**cells | {"seq": int(r["seq"]), "at": datetime.fromisoformat(r["at"]), "previous": before, "hash": bytes.fromhex(r["hash"]),
                             "actor": None, "task_id": None})  # type: ignore[arg-type]  # fmt: skip
        assert trail.linked(before, trail.digest(row)) == row.hash
        before = row.hash
    status, said = command("export", "--chain", "people")
    assert [(r["seq"], r["hash"]) for r in json.loads(said)] == [(int(r["seq"]), r["hash"]) for r in rows]
    assert json.loads(command("export", "--chain", "nobody")[1]) == []


# --- an installation of before ------------------------------------------------------------------------------------


def test_an_installation_of_the_second_schema_comes_along(server: Embedded) -> None:
    """What stood there leaves no row of its own; what is changed from then on does."""
    name = "older"
    migrate.ensure_database(server.conninfo(dbname="postgres"), name)
    try:
        assert migrate.migrate(server.conninfo(dbname=name), to="0002")
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            number = one(c, NEW, "OLD", "Old")
            portfolio = one(
                c,
                "INSERT INTO portfolios (name, base_currency, created_by) VALUES ('P', 'USD', %s) RETURNING portfolio_id",
                somebody(c),
            )
        assert migrate.migrate(server.conninfo(dbname=name))
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            assert not c.execute("SELECT FROM audit_log WHERE source <> 'migration'").fetchall()
            assert one(c, "SELECT count(*) FROM audit_pending") == 0
            assert audit.verify(c).findings == ()
            c.execute("UPDATE securities SET name = 'New' WHERE security_id = %s", (number,))
            c.execute("UPDATE portfolios SET note = 'n'")
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            rows = [r for r in newest(c, 3) if r.source == "database"]
            assert [(r.chain, r.entity) for r in rows] == [
                ("master", "securities"),
                ("people", "audit_chains"),
                (its := f"portfolio:{portfolio}", "portfolios"),
            ]
            assert (rows[1].entity_key, rows[2].seq, rows[2].previous) == (its, 1, bytes(32))
            assert audit.verify(c).findings == ()
    finally:
        with psycopg.connect(server.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE {name} WITH (FORCE)")
