"""Chart queries on 10,000,000 snapshots, beside rows of an ORM and two columns, both thinned out with pandas."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pandas as pd
import psutil
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from bench import database, orm
from bench.measure import Row, against, seconds, within
from core.scope import CHART_PERIODS as PERIODS
from db import engine, snapshots

NOW = datetime(2026, 6, 30, 20, 2, tzinfo=UTC)  # just after the close of the last session
PORTFOLIOS, BUCKETS = 100, 100_000
STEP = {"1D": "5min", "1W": "30min", "1M": "1h", "3M": "3h"}


def fill(portfolios: int, buckets: int) -> tuple[UUID, list[UUID]]:
    """Snapshots every five minutes of New York's sessions, in the order in which they are written; who reads them."""
    with database.filling() as c:
        user = database.person(c)
        ids = database.portfolios(c, user, portfolios)
        database.sessions(c, buckets // 78 + 10, NOW.date().isoformat())
        c.execute("TRUNCATE portfolio_snapshots")  # in one transaction with the rows: they need no log
        c.execute("ALTER TABLE portfolio_snapshots DROP CONSTRAINT portfolio_snapshots_pkey")
        c.execute(
            """INSERT INTO portfolio_snapshots (portfolio_id, bucket, total, cash, invested, net_flow, coverage, complete, calculation_version)
               SELECT p, bucket, 1000000 + m, 25000.25, 974999.75 + m, 900000 + n / 1000, 1, true, '1'
                 FROM (SELECT g AS bucket, row_number() OVER (ORDER BY g) AS n FROM trading_sessions
                        CROSS JOIN LATERAL generate_series(open_at + interval '5 minutes', close_at, interval '5 minutes') g
                        ORDER BY g DESC LIMIT %s) b
                CROSS JOIN LATERAL (SELECT (n * 7919 %% 10000019)::numeric / 100 AS m) v
                CROSS JOIN unnest(%s::uuid[]) p ORDER BY bucket""",
            (buckets, ids),
        )
        c.execute("ALTER TABLE portfolio_snapshots ADD PRIMARY KEY (portfolio_id, bucket)")
    database.settle()
    return user, ids


def started(period: str, days: pd.DatetimeIndex) -> pd.Timestamp:
    """The day whose close a period starts from: the last session at or before it."""
    today = days[-1]
    if period == "ALL":
        return days[0]
    wanted = {
        "1D": today - timedelta(days=1),
        "1W": today - timedelta(days=7),
        "1M": today - pd.DateOffset(months=1),
        "3M": today - pd.DateOffset(months=3),
        "YTD": pd.Timestamp(today.year, 1, 1) - timedelta(days=1),
        "1Y": today - pd.DateOffset(years=1),
    }[period]
    there = days[days <= wanted]
    return there[-1] if len(there) else days[0] - timedelta(days=1)


def thinned(frame: pd.DataFrame, period: str, first: datetime) -> pd.DataFrame:
    """The last row in each bucket of the period, as pandas does it; the day that it starts from gives its close alone."""
    if period not in STEP:
        return frame.resample("1D").last().dropna()
    base, rest = frame[frame.index.normalize() == first], frame[frame.index.normalize() > first]
    # buckets begin with the session, at 13:30
    cut = rest.resample(STEP[period], origin=pd.Timestamp(first) + timedelta(hours=13.5), closed="right").last()
    return pd.concat([base.iloc[-1:], cut.dropna()])


def ways(user: UUID, portfolio: UUID, sql: Engine) -> dict[str, Callable[[str], Any]]:
    """The ways to the points of a period."""
    days = pd.DatetimeIndex([])

    def product(period: str) -> list[snapshots.Point]:
        return snapshots.chart_for(user, portfolio, period, NOW)

    def since(period: str) -> datetime:
        nonlocal days
        if not len(days):
            with engine.jobs() as c:
                found = c.execute(
                    'SELECT "on" FROM trading_sessions WHERE exchange = %s ORDER BY 1', ("XNYS",)
                ).fetchall()
            days = pd.DatetimeIndex([r[0] for r in found])
        return started(period, days).to_pydatetime().replace(tzinfo=UTC)

    def rows(period: str) -> pd.DataFrame:
        with Session(sql) as session:
            found = session.scalars(
                select(orm.PortfolioSnapshot)
                .where(
                    orm.PortfolioSnapshot.portfolio_id == portfolio,
                    orm.PortfolioSnapshot.bucket >= since(period),
                    orm.PortfolioSnapshot.bucket <= NOW,
                )
                .order_by(orm.PortfolioSnapshot.bucket)
            ).all()
            frame = pd.DataFrame(
                {"total": [float(r.total) for r in found]}, index=pd.DatetimeIndex([r.bucket for r in found])
            )
        return thinned(frame, period, since(period))

    def columns(period: str) -> pd.DataFrame:
        frame = pd.read_sql(
            text(
                "SELECT bucket, total::float8 AS total FROM portfolio_snapshots WHERE portfolio_id = :p AND bucket >= :a "
                "AND bucket <= :b ORDER BY bucket"
            ),
            sql,
            params={"p": portfolio, "a": since(period), "b": NOW},
            index_col="bucket",
        )
        return thinned(frame, period, since(period))

    return {"product": product, "rows": rows, "columns": columns}


def compared(user: UUID, portfolio: UUID) -> None:
    """Raise where the ways differ."""
    sql = orm.connect()
    try:
        its = ways(user, portfolio, sql)
        for period in PERIODS:
            ours = {p.at: float(p.total) for p in its["product"](period)}
            theirs = its["rows"](period)
            assert list(ours.values()) == theirs["total"].tolist(), period
            assert theirs.equals(its["columns"](period)), period
    finally:
        sql.dispose()


def measure(small: bool = False) -> list[Row]:
    """One row a period, then what the role costs and what a history ten times as long costs."""
    portfolios, buckets, rounds = (2, 1_000, 1) if small else (PORTFOLIOS, BUCKETS, 5)
    user, ids = fill(portfolios, buckets)
    compared(user, ids[-1])
    out: list[Row] = []
    sql = orm.connect()
    try:
        its = ways(user, ids[len(ids) // 2], sql)
        for period in PERIODS:
            heavy = period in ("YTD", "1Y", "ALL")
            taken = seconds({"product": lambda p=period: its["product"](p)}, rounds * 5)
            taken |= seconds(
                {n: lambda n=n, p=period: its[n](p) for n in ("rows", "columns")}, min(rounds, 3) if heavy else rounds
            )
            again = seconds({"product": lambda p=period: its["product"](p)}, rounds * 5)
            ours = (taken["product"] + again["product"]) / 2
            aim = 20 if period == "ALL" else None
            out.append(against(f"chart {period}", ours, "ORM rows, pandas", taken["rows"], aim))
            out.append(against(f"chart {period}", ours, "two columns, pandas", taken["columns"], aim))
            if period == "ALL":
                out.append(within("chart ALL", ours * 1e3, 6, "ms"))
                out.append(within("chart ALL, processor time of both sides", busy(user, ids[0], rounds * 20), 6, "ms"))
        out += flat(user, ids[len(ids) // 2], rounds * 5)
    finally:
        sql.dispose()
    return out


def flat(user: UUID, portfolio: UUID, rounds: int) -> list[Row]:
    """ALL under the roles, and the same number of points out of a tenth of the snapshots."""
    thin = UUID(int=1)
    with database.filling() as c:
        c.execute(
            "INSERT INTO portfolios (portfolio_id, name, base_currency, created_by) VALUES (%s, 'Thin', 'USD', %s)",
            (thin, user),
        )
        c.execute("INSERT INTO grants VALUES (%s, %s, 'manage')", (user, thin))
        # one snapshot in ten, the closes among them
        c.execute(
            """INSERT INTO portfolio_snapshots SELECT %s, bucket, total, cash, invested, net_flow, coverage, complete, calculation_version, now()
                 FROM (SELECT s.*, row_number() OVER (ORDER BY bucket DESC) AS n FROM portfolio_snapshots s WHERE portfolio_id = %s) s
                WHERE n %% 10 = 1 OR bucket::time = '20:00'""",
            (thin, portfolio),
        )
        c.execute("ANALYZE portfolio_snapshots")
    its: dict[str, Callable[[], Any]] = {
        "all": lambda: snapshots.chart_for(user, portfolio, "ALL", NOW),
        "thin": lambda: snapshots.chart_for(user, thin, "ALL", NOW),
        "jobs": lambda: _as_jobs(portfolio),
    }
    assert len(its["all"]()) == len(its["thin"]())
    taken = seconds(its, rounds)
    ratio = taken["all"] / taken["thin"]
    return [
        against("chart ALL, as the jobs role", taken["all"], "without row-level security", taken["jobs"], None),
        Row(
            "chart ALL, 10 × the snapshots",
            f"{taken['all'] * 1e3:.2f} ms",
            f"a tenth of them: {taken['thin'] * 1e3:.2f} ms",
            f"{ratio:.2f} of it",
            "≤ 1.5",
            ratio <= 1.5,
        ),
    ]


def busy(user: UUID, portfolio: UUID, times: int) -> float:
    """Milliseconds of processor time that ALL takes here and in the database together: what a busy machine cannot hide."""
    with engine.session(user) as c:
        backend = psutil.Process(c.info.backend_pid)
        for _ in range(12):  # until the statement is prepared
            snapshots.chart(c, portfolio, "ALL", NOW)
        before = time.process_time() + sum(backend.cpu_times()[:2])
        for _ in range(times):
            snapshots.chart(c, portfolio, "ALL", NOW)
        return (time.process_time() + sum(backend.cpu_times()[:2]) - before) / times * 1e3


def _as_jobs(portfolio: UUID) -> list[snapshots.Point]:
    with engine.jobs() as c:
        return snapshots.chart(c, portfolio, "ALL", NOW)
