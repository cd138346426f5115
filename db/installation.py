"""This installation: facts about it, who is in it, and the first load of market data into empty tables.

A fact is a key and a JSON value in the table `installation`; it is written once. Imports little: set-up asks here first,
at every start, whether there is anything to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]


def fact(c: Connection, key: str) -> Any:
    """The value of a fact, None where it is not known."""
    row = c.execute("SELECT value FROM installation WHERE key = %s", (key,)).fetchone()
    return row[0] if row else None


def remember(c: Connection, key: str, value: Any) -> Any:
    """Write a fact unless it stands already; the value that stands."""
    c.execute("INSERT INTO installation VALUES (%s, %s) ON CONFLICT (key) DO NOTHING", (key, json.dumps(value)))
    return fact(c, key)


def alone(c: Connection, what: str) -> None:
    """Wait until nobody else does this; it is ours to the end of the transaction."""
    c.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (what,))


def calendars_due(c: Connection, until: date) -> list[str]:
    """The exchanges whose calendar ends before `until`."""
    return [
        r[0]
        for r in c.execute(
            'SELECT exchange FROM exchanges e WHERE NOT EXISTS (SELECT FROM trading_sessions t WHERE t.exchange = e.exchange AND t."on" >= %s) '
            "ORDER BY 1",
            (until,),
        ).fetchall()
    ]


def people(c: Connection) -> list[tuple[UUID, str, str, str, datetime, bool]]:
    """(user_id, username, display name, role, since, disabled) of everybody. As the owner."""
    return c.execute(
        "SELECT user_id, username, display_name, role, created_at, disabled_at IS NOT NULL FROM users WHERE user_id <> installation_user() ORDER BY username"
    ).fetchall()


def currencies(c: Connection) -> list[str]:
    """The currencies this installation knows."""
    return [r[0] for r in c.execute("SELECT currency FROM currencies ORDER BY 1").fetchall()]


def exchanges(c: Connection) -> dict[str, str]:
    """The exchanges this installation knows, by code, with their names."""
    return dict(c.execute("SELECT exchange, name FROM exchanges ORDER BY 1").fetchall())


@contextmanager
def _checked_once(c: Connection, table: str) -> Iterator[None]:
    """Check a table's references in one go after the rows are in, not row by row. As the owner."""
    names = [
        r[0]
        for r in c.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f' ORDER BY 1", (table,)
        ).fetchall()
    ]
    off, on = (f"ALTER TABLE {{}} ALTER CONSTRAINT {{}} {how}" for how in ("NOT ENFORCED", "ENFORCED"))
    for name in names:
        c.execute(sql.SQL(off).format(sql.Identifier(table), sql.Identifier(name)))
    yield
    for name in names:
        c.execute(sql.SQL(on).format(sql.Identifier(table), sql.Identifier(name)))


def first_bars(c: Connection, series: Iterable[tuple[int, Sequence[date], Sequence[float]]], provider: str) -> int:
    """Write (security, days, closes) of securities that have no bars yet, and pack them; rows written. As the owner."""
    ids, rows = [], 0
    c.execute("SELECT recording(NULL)")
    with c.cursor() as cursor:
        with (
            _checked_once(c, "price_history"),
            cursor.copy('COPY price_history (security_id, "on", close, provider) FROM STDIN') as copy,
        ):
            for security, days, closes in series:
                ids.append(security)
                rows += len(days)
                copy.write("".join(f"{security}\t{d}\t{x!r}\t{provider}\n" for d, x in zip(days, closes, strict=True)))
        cursor.execute("SELECT pack_prices(%s)", (ids,))
    _touch(c, "prices")
    return rows


def first_rates(c: Connection, series: Iterable[tuple[str, Sequence[date], Sequence[float]]], provider: str) -> int:
    """Write (currency, days, units per euro) of currencies that have no rates yet; rows written. As the owner."""
    rows = 0
    c.execute("SELECT recording(NULL)")
    with (
        _checked_once(c, "fx_rates"),
        c.cursor() as cursor,
        cursor.copy('COPY fx_rates (base, quote, "on", rate, provider) FROM STDIN') as copy,
    ):
        for currency, days, rates in series:
            rows += len(days)
            copy.write("".join(f"EUR\t{currency}\t{d}\t{x!r}\t{provider}\n" for d, x in zip(days, rates, strict=True)))
    _touch(c, "fx")
    return rows


def rated_until(c: Connection) -> dict[str, date]:
    """The newest rate of each currency that has any."""
    return dict(c.execute("SELECT quote, max(\"on\") FROM fx_rates WHERE base = 'EUR' GROUP BY 1").fetchall())


def _touch(c: Connection, name: str) -> None:
    c.execute("UPDATE data_versions SET version = version + 1, updated_at = clock_timestamp() WHERE name = %s", (name,))


# ── the demo ────────────────────────────────────────────────────────────────────────────────────────────────


def demo_portfolio(c: Connection, owner: UUID, name: str) -> UUID | None:
    """The portfolio of this name that the demo's user created, None where there is none yet. As the owner."""
    row = c.execute(
        "SELECT portfolio_id FROM portfolios WHERE created_by = %s AND name = %s ORDER BY created_at LIMIT 1",
        (owner, name),
    ).fetchone()
    return row[0] if row else None


def mark_demo(c: Connection, portfolio: UUID, goal_value: Decimal | None, goal_on: date | None) -> None:
    """Say that a portfolio is made up, and give it its goal. As the owner."""
    c.execute(
        "UPDATE portfolios SET demo = true, goal_value = %s, goal_on = %s WHERE portfolio_id = %s",
        (goal_value, goal_on, portfolio),
    )


def set_limits(c: Connection, portfolio: UUID, limits: Iterable[tuple[str, Decimal, str]], since: date) -> None:
    """Write (rule, value, severity) from a day on, unless they stand."""
    for rule, value, severity in limits:
        c.execute(
            "INSERT INTO limits SELECT %(p)s, %(rule)s, %(since)s, %(value)s, %(severity)s WHERE NOT EXISTS "
            "(SELECT FROM limits WHERE portfolio_id = %(p)s AND rule = %(rule)s AND valid_from = %(since)s)",
            {"p": portfolio, "rule": rule, "since": since, "value": value, "severity": severity},
        )


def booked_by_reference(c: Connection, portfolio: UUID, key: str) -> tuple[UUID, bool] | None:
    """(transaction_id, whether it was reversed) of the row that was booked with an idempotency key."""
    row = c.execute(
        "SELECT transaction_id, EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id) "
        "FROM transactions t WHERE portfolio_id = %s AND idempotency_key = %s",
        (portfolio, key),
    ).fetchone()
    return (row[0], row[1]) if row else None


def fill_snapshots(
    c: Connection,
    portfolio: UUID,
    at: Sequence[int],
    total: Sequence[Decimal],
    cash: Sequence[Decimal],
    net_flow: Sequence[Decimal],
    version: str,
) -> int:
    """Write past totals at these times (UTC seconds), fully priced; what was recorded stays. Rows written."""
    return c.execute(
        """INSERT INTO portfolio_snapshots (portfolio_id, bucket, total, cash, invested, net_flow, coverage, complete, calculation_version)
           SELECT %s, to_timestamp(at), total, cash, total - cash, flow, 1, true, %s
             FROM unnest(%s::float8[], %s::numeric[], %s::numeric[], %s::numeric[]) AS t (at, total, cash, flow)
           ON CONFLICT (portfolio_id, bucket) DO NOTHING""",
        (portfolio, version, list(at), list(total), list(cash), list(net_flow)),
    ).rowcount
