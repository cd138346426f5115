"""Quotes of 10,000 securities brought up to date, beside one statement a row and SQLAlchemy's batches of rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bench import database, orm
from bench.measure import Row, against, seconds
from db import engine, market
from db.market import QuoteRow

SECURITIES = 10_000
START = datetime(2026, 6, 30, 14, 0, tzinfo=UTC)
UPSERT = """INSERT INTO asset_prices AS a (security_id, price, previous_close, session, provider, quoted_at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (security_id) DO UPDATE SET price = EXCLUDED.price, previous_close = EXCLUDED.previous_close, session = EXCLUDED.session,
  provider = EXCLUDED.provider, quoted_at = EXCLUDED.quoted_at, updated_at = now() WHERE EXCLUDED.quoted_at >= a.quoted_at"""


def fill(securities: int) -> list[int]:
    """The securities, with a first quote each."""
    with database.filling() as c:
        ids = database.securities(c, securities)
    with engine.jobs() as c:
        market.upsert_quotes(c, ticks(ids, 0))
    database.settle()
    return ids


def ticks(ids: list[int], number: int) -> list[QuoteRow]:
    """A quote for every security."""
    at = START + timedelta(seconds=number)
    return [
        QuoteRow(i, Decimal(10_000 + (i * 7919 + number * 31) % 90_000) / 100, Decimal(100), "regular", "bench", at)
        for i in ids
    ]


def ways(sql: Engine) -> dict[str, Callable[[list[QuoteRow]], None]]:
    """The ways to write them, each one transaction."""

    def product(quotes: list[QuoteRow]) -> None:
        with engine.jobs() as c:
            market.upsert_quotes(c, quotes)

    def one_by_one(quotes: list[QuoteRow]) -> None:
        with engine.jobs() as c:
            c.cursor().executemany(UPSERT, [_values(q) for q in quotes])
            market.touch(c, "quotes")

    def batches(quotes: list[QuoteRow]) -> None:
        with Session(sql) as session:
            statement = insert(orm.Quote)
            new = {name: statement.excluded[name] for name in NAMES}
            statement = statement.on_conflict_do_update(
                index_elements=["security_id"], set_=new, where=statement.excluded.quoted_at >= orm.Quote.quoted_at
            ).returning(orm.Quote.security_id)
            session.execute(statement, [dict(zip(("security_id", *NAMES), _values(q), strict=True)) for q in quotes])
            market.touch(session.connection().connection.driver_connection, "quotes")
            session.commit()

    return {"product": product, "one by one": one_by_one, "batches": batches}


NAMES = ("price", "previous_close", "session", "provider", "quoted_at")


def _values(q: QuoteRow) -> tuple[object, ...]:
    return (q.security_id, q.price, q.previous_close, q.session, q.provider, q.quoted_at)


def compared(ids: list[int]) -> None:
    """Raise where the ways leave different rows behind, or an older quote replaces a newer one."""
    sql = orm.connect()
    try:
        found = []
        for way in ways(sql).values():
            way(ticks(ids, 1))
            way(ticks(ids, 5))
            way(ticks(ids, 3))
            with engine.jobs() as c:
                found.append(c.execute("SELECT * FROM asset_prices ORDER BY 1").fetchall())
                c.execute("UPDATE asset_prices SET quoted_at = %s, price = 1", (START,))
        assert len(found[0]) == len(ids) > 0
        expected = [_values(q) for q in ticks(ids, 5)]
        assert all([row[:6] for row in rows] == expected for rows in found)
    finally:
        sql.dispose()


def measure(small: bool = False) -> list[Row]:
    """One row a peer."""
    ids = fill(30 if small else SECURITIES)
    compared(ids)
    sql, number = orm.connect(), 10

    def writing(way: Callable[[list[QuoteRow]], None]) -> Callable[[], None]:
        def write() -> None:
            nonlocal number
            number += 1
            way(rounds_of[number % len(rounds_of)])

        return write

    rounds_of = [ticks(ids, 100) for _ in range(2)]  # the same time: each replaces the one before
    try:
        taken = seconds({name: writing(way) for name, way in ways(sql).items()}, 1 if small else 7)
    finally:
        sql.dispose()
    return [
        against("10,000 quotes upserted", taken["product"], "executemany", taken["one by one"], 5),
        against("10,000 quotes upserted", taken["product"], "SQLAlchemy insertmanyvalues", taken["batches"], None),
    ]
