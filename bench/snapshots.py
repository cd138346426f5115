"""A snapshot of 100 portfolios with 100 positions each, beside a loop over mapped objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from bench import database, orm
from bench.measure import Row, against, seconds
from core import VERSION
from db import engine, snapshots

PORTFOLIOS, POSITIONS = 100, 100
START = datetime(2026, 6, 30, 14, 0, tzinfo=UTC)


def fill(portfolios: int, positions: int) -> None:
    """Portfolios that hold the same shares, quoted a while ago, and some cash."""
    with database.filling() as c:
        user = database.person(c)
        ids = database.portfolios(c, user, portfolios)
        held = database.securities(c, positions)
        database.sessions(c, 10, START.date().isoformat())
        c.execute("INSERT INTO fx_rates VALUES ('EUR', 'USD', %s, 1.17, 'bench')", (START.date() - timedelta(days=1),))
        c.execute(
            "INSERT INTO asset_prices (security_id, price, previous_close, provider, quoted_at) "
            "SELECT s, 10 + s % 90 + 0.25, 10, 'bench', %s FROM unnest(%s::int[]) s".replace("% 90", "%% 90"),
            (START - timedelta(seconds=5), held),
        )
        c.execute(
            "INSERT INTO holdings SELECT p, s, 1 + s / 8.0, 12.5 * s FROM unnest(%s::uuid[]) p, unnest(%s::int[]) s",
            (ids, held),
        )
        c.execute("INSERT INTO cash_balances SELECT unnest(%s::uuid[]), 'USD', 1234.56", (ids,))
        c.execute("INSERT INTO holding_states SELECT unnest(%s::uuid[]), 1, 100000", (ids,))
    database.settle()


def product(at: datetime) -> None:
    """One statement."""
    with engine.jobs() as c:
        snapshots.take(c, at, 5, 0.98)


def loop(sql: Engine, at: datetime) -> None:
    """A mapped object for every total and every position. It is spared FX, ages of bars and what is not priced."""
    with Session(sql) as session:
        quotes = {q.security_id: q for q in session.scalars(select(orm.Quote))}
        states = session.execute(select(orm.CashBalance.portfolio_id, orm.CashBalance.amount)).all()
        for portfolio, cash in states:
            invested = Decimal(0)
            for h in session.scalars(select(orm.Holding).where(orm.Holding.portfolio_id == portfolio)):
                quote = quotes[h.security_id]
                value = h.units * quote.price
                invested += value
                session.add(
                    orm.PositionSnapshot(
                        portfolio_id=portfolio,
                        bucket=at,
                        security_id=h.security_id,
                        units=h.units,
                        cost=h.cost,
                        value=round(value, 6),
                        price=quote.price,
                        price_age=at - quote.quoted_at,
                    )
                )
            session.add(
                orm.PortfolioSnapshot(
                    portfolio_id=portfolio,
                    bucket=at,
                    total=round(invested + cash, 2),
                    cash=round(cash, 2),
                    invested=round(invested, 2),
                    net_flow=Decimal(100_000),
                    coverage=Decimal(1),
                    complete=True,
                    calculation_version=VERSION,
                )
            )
        session.commit()


def compared() -> None:
    """Raise where the ways write different rows."""
    sql = orm.connect()
    try:
        product(START)
        later = START + timedelta(minutes=5)
        loop(sql, later)
        with engine.jobs() as c:
            totals, positions = (
                [
                    c.execute(f"SELECT {columns} FROM {table} WHERE bucket = %s ORDER BY 1, 2", (at,)).fetchall()
                    for at in (START, later)
                ]
                for table, columns in (
                    ("portfolio_snapshots", "portfolio_id, total, cash, invested, net_flow, coverage, complete"),
                    ("position_snapshots", "portfolio_id, security_id, units, cost, round(value, 4), price"),
                )
            )
        assert totals[0] == totals[1] != []
        assert positions[0] == positions[1] != []
    finally:
        sql.dispose()


def measure(small: bool = False) -> list[Row]:
    """One row."""
    fill(*((2, 5) if small else (PORTFOLIOS, POSITIONS)))
    compared()
    sql, minutes = orm.connect(), 10

    def next_bucket() -> datetime:
        nonlocal minutes
        minutes += 5
        return START + timedelta(minutes=minutes)

    try:
        taken = seconds(
            {"product": lambda: product(next_bucket()), "loop": lambda: loop(sql, next_bucket())}, 1 if small else 5
        )
    finally:
        sql.dispose()
    return [against("snapshot of 100 × 100 positions", taken["product"], "ORM loop", taken["loop"], 10)]
