"""A small installation for tests of the scheduled process: a market that is open or closed, portfolios that hold something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from jobs.housekeeping import CLEAN_AT, DAY, calendars_due
from jobs.run import slot

SYMBOLS = ("ACME", "BOLT", "CORE")


def seed(c: psycopg.Connection[Any], now: datetime, market_open: bool = True, portfolios: int = 2) -> list[UUID]:
    """Sessions of XNYS around `now`, three securities, portfolios that bought them 20 days ago. Commits."""
    offset = timedelta(hours=-2) if market_open else timedelta(hours=-12)
    length = timedelta(hours=6) if market_open else timedelta(hours=1)
    c.execute("SET ROLE ballast_owner")
    for day in range(-40, 6):
        opened = now + timedelta(days=day) + offset
        c.execute("INSERT INTO trading_sessions VALUES ('XNYS', %s, %s, %s)", (opened.date(), opened, opened + length))
    c.execute("UPDATE data_versions SET version = version + 1")
    user = c.execute("INSERT INTO users (username, display_name) VALUES ('ann', 'Ann') RETURNING user_id").fetchone()
    assert user
    for symbol in SYMBOLS:
        c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', %s, 'Equity', 'USD')",
            (symbol, symbol),
        )
    made = []
    bought = (now - timedelta(days=20)).date()
    for number in range(portfolios):
        row = c.execute(
            "INSERT INTO portfolios (name, base_currency, created_by) VALUES (%s, 'USD', %s) RETURNING portfolio_id",
            (f"P{number}", user[0]),
        ).fetchone()
        assert row
        made.append(row[0])
        c.execute("INSERT INTO cost_methods VALUES (%s, date '1900-01-01', 'fifo')", row)
        for key, kind, symbol, quantity, price, net in (
            ("cash", "deposit", None, None, None, 10_000),
            ("a", "buy", "ACME", 10, 100, -1000),
            ("b", "buy", "BOLT", 20, 50, -1000),
            ("c", "buy", "CORE", 5, 10, -50),
        ):
            c.execute(
                "INSERT INTO transactions (portfolio_id, kind, security_id, quantity, price, gross, currency, net, cash_currency, "
                "traded_on, settles_on, idempotency_key, source, recorded_by) SELECT %s, %s, (SELECT security_id FROM securities "
                "WHERE symbol = %s), %s, %s, %s, 'USD', %s, 'USD', %s, %s, %s, 'test', %s",
                (row[0], kind, symbol, quantity, price, abs(net), net, bought, bought, key, user[0]),
            )
    for job, at in (
        ("calendars", calendars_due(now)),
        ("housekeeping", slot(now, DAY, after=CLEAN_AT)),
    ):  # done for today: both take time
        c.execute(
            "INSERT INTO job_runs (job, scheduled_for, status, worker) VALUES (%s, %s, 'succeeded', 'test')", (job, at)
        )
    c.execute("RESET ROLE")
    c.commit()
    return made


def utc_now() -> datetime:
    return datetime.now(UTC)
