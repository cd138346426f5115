"""The databases that rows are measured on: one throw-away server with the product's durable settings, one database a row."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg

from db import books, engine, migrate
from db.embedded import Embedded

TEMPLATE = "bench_template"


@contextmanager
def server() -> Iterator[Embedded]:
    """A PostgreSQL of our own in a temporary folder, as durable as the product's; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ballast-bench-"))
    running = Embedded(folder)
    try:
        running.start()
        migrate.ensure_database(running.conninfo(dbname="postgres"), TEMPLATE)
        migrate.migrate(running.conninfo(dbname=TEMPLATE))
        yield running
    finally:
        engine.close()
        running.release()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(running: Embedded, name: str) -> Iterator[None]:
    """A fresh database with the newest schema; the product's own code uses it until the end of the block."""
    dbname = f"bench_{name}"
    try:
        with psycopg.connect(running.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE IF EXISTS {dbname} WITH (FORCE)")
            c.execute(f"CREATE DATABASE {dbname} TEMPLATE {TEMPLATE}")
        engine.point_at(running.conninfo(dbname=dbname))
        books.forget()
        yield
    finally:
        engine.point_at(None)
        books.forget()
        with psycopg.connect(running.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE IF EXISTS {dbname} WITH (FORCE)")


@contextmanager
def filling() -> Iterator[psycopg.Connection]:
    """One transaction of the server's superuser in which triggers and foreign keys sleep, for filling tables quickly."""
    with psycopg.connect(engine.conninfo("postgres"), autocommit=False) as c:  # type: ignore[arg-type]
        c.execute("SET session_replication_role = replica")
        c.execute("SET synchronous_commit = off")
        yield c


def settle() -> None:
    """VACUUM, ANALYZE and a checkpoint, so that no row pays for what filling left behind."""
    with psycopg.connect(engine.conninfo("postgres"), autocommit=True) as c:  # type: ignore[arg-type]
        c.execute("VACUUM (ANALYZE)")
        c.execute("CHECKPOINT")


def person(c: psycopg.Connection) -> UUID:
    """The user whom everything belongs to."""
    row = c.execute("INSERT INTO users (username, display_name) VALUES ('bench', 'Bench') RETURNING user_id").fetchone()
    assert row is not None
    return row[0]


def portfolios(c: psycopg.Connection, user: UUID, count: int) -> list[UUID]:
    """So many portfolios in dollars, readable by `user`."""
    ids = [
        r[0]
        for r in c.execute(
            "INSERT INTO portfolios (name, base_currency, created_by) SELECT 'Portfolio ' || i, 'USD', %s "
            "FROM generate_series(1, %s) i RETURNING portfolio_id",
            (user, count),
        ).fetchall()
    ]
    c.execute("INSERT INTO cost_methods SELECT unnest(%s::uuid[]), date '1900-01-01', 'fifo'", (ids,))
    c.execute("INSERT INTO grants (user_id, portfolio_id, access) SELECT %s, unnest(%s::uuid[]), 'manage'", (user, ids))
    return ids


def securities(c: psycopg.Connection, count: int) -> list[int]:
    """So many US shares."""
    return [
        r[0]
        for r in c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) "
            "SELECT 'S' || i, 'XNYS', 'Security ' || i, 'Equity', 'USD' FROM generate_series(1, %s) i RETURNING security_id",
            (count,),
        ).fetchall()
    ]


def sessions(c: psycopg.Connection, count: int, last: str = "2026-06-30") -> None:
    """So many weekdays up to `last` as sessions of New York, 13:30 to 20:00 UTC."""
    c.execute(
        """INSERT INTO trading_sessions (exchange, "on", open_at, close_at)
           SELECT 'XNYS', day, (day + time '13:30') AT TIME ZONE 'UTC', (day + time '20:00') AT TIME ZONE 'UTC'
             FROM (SELECT d::date AS day FROM generate_series(%(last)s::date - 2 * %(n)s, %(last)s::date, interval '1 day') d
                    WHERE extract(isodow FROM d) < 6 ORDER BY d DESC LIMIT %(n)s) t""",
        {"last": last, "n": count},
    )
