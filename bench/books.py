"""Loading a Book from the database, beside SQLAlchemy rows that are turned into the same columns."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from sqlalchemy import Engine, and_, case, not_, select
from sqlalchemy.orm import Session, aliased

from bench import database, orm
from bench.measure import Row, against, seconds
from core.book import Book
from core.fx import Series, day_number
from core.ledger import KINDS, MICRO, UNITS, whole
from db import books, engine

TRANSACTIONS, SECURITIES, DAYS = 50_000, 200, 2_520


def fill(transactions: int, securities: int, days: int) -> tuple[UUID, UUID]:
    """One portfolio that bought and sold its securities over the days, never too much, some with fees; a few bookings are reversed."""
    with database.filling() as c:
        user = database.person(c)
        portfolio = database.portfolios(c, user, 1)[0]
        ids = database.securities(c, securities)
        database.sessions(c, days)
        c.execute(
            """INSERT INTO price_history (security_id, "on", close, provider)
               SELECT s, "on", round((100 + 50 * sin(s + extract(epoch FROM "on") / 1e7))::numeric, 4), 'bench'
                 FROM unnest(%s::int[]) s CROSS JOIN trading_sessions""",
            (ids,),
        )
        c.execute("SELECT pack_prices(%s)", (ids,))
        c.execute(
            """INSERT INTO transactions (portfolio_id, kind, security_id, quantity, price, gross, fees, currency, net, cash_currency,
                                         traded_on, settles_on, idempotency_key, source, recorded_by)
               SELECT %(p)s, k.kind, CASE WHEN k.kind IN ('buy', 'sell', 'dividend') THEN (%(ids)s::int[])[1 + i / 10 %% cardinality(%(ids)s::int[])] END,
                      CASE WHEN k.kind IN ('buy', 'sell') THEN k.units END, CASE WHEN k.kind IN ('buy', 'sell') THEN 12.34 END,
                      round(k.units * 12.34, 2), i %% 3, 'USD',
                      CASE WHEN k.kind = 'buy' THEN -1 ELSE 1 END * round(k.units * 12.34, 2) - i %% 3, 'USD', d.day, d.day + 2, 'bench:' || i, 'bench', %(u)s
                 FROM generate_series(1, %(n)s) i
                CROSS JOIN LATERAL (SELECT CASE WHEN i <= %(n)s / 100 THEN 'deposit' WHEN i %% 10 < 6 THEN 'buy' WHEN i %% 10 < 8 THEN 'sell'
                                    ELSE 'dividend' END AS kind, CASE WHEN i %% 10 < 6 THEN 1 + i * 7919 %% 1000 ELSE 1 + i %% 40 END / CASE WHEN i %% 2 = 0 THEN 1.0 ELSE 8.0 END AS units) k
                 JOIN (SELECT "on" AS day, row_number() OVER (ORDER BY "on") AS n, count(*) OVER () AS days FROM trading_sessions) d
                   ON d.n = 1 + (i - 1) * d.days / %(n)s ORDER BY i""",
            {"p": portfolio, "ids": ids, "n": transactions, "u": user},
        )
        c.execute(
            """INSERT INTO transactions (portfolio_id, kind, security_id, currency, net, cash_currency, traded_on, settles_on, reverses,
                                         idempotency_key, source, recorded_by)
               SELECT portfolio_id, 'reversal', security_id, currency, 0, cash_currency, traded_on, settles_on, transaction_id,
                      'reversal:' || transaction_id, 'bench', recorded_by
                 FROM transactions WHERE kind = 'buy' AND seq % 500 = 1"""
        )
    database.settle()
    return user, portfolio


def product(user: UUID, portfolio: UUID) -> Book:
    """The Book, read from nothing."""
    books.forget()
    return books.live(user, portfolio).book


def rows(sql: Engine, portfolio: UUID, mapped: bool) -> tuple[dict[str, np.ndarray], dict[int, Series]]:
    """The columns of the ledger and the prices, through mapped objects or rows of SQLAlchemy."""
    t, r, names = orm.Transaction, aliased(orm.Transaction), LEDGER
    wanted = [t] if mapped else [getattr(t, name) for name in names]
    reversed_ = select(r.transaction_id).where(and_(r.portfolio_id == t.portfolio_id, r.reverses == t.transaction_id))
    with Session(sql) as session:
        query = (
            select(*wanted)
            .where(t.portfolio_id == portfolio, t.kind != "reversal", not_(reversed_.exists()))
            .order_by(t.traded_on, case((t.kind == "split", 0), else_=1), t.seq)
        )
        found = session.scalars(query).all() if mapped else session.execute(query).all()
        columns = {
            "kind": np.array([KINDS.index(x.kind) for x in found], np.int8),
            "security": np.array([x.security_id or 0 for x in found], np.int32),
            "traded_on": np.array([day_number(x.traded_on) for x in found], np.int32),
            "settles_on": np.array([day_number(x.settles_on) for x in found], np.int32),
            "with_fx": np.array([x.fx is not None for x in found], np.bool_),
            "quantity": np.array([whole(x.quantity, UNITS) for x in found], np.int64),
            "ratio_new": np.array([int(x.ratio_new or 0) for x in found], np.int64),
            "ratio_old": np.array([int(x.ratio_old or 0) for x in found], np.int64),
            "ids": np.array([x.transaction_id.bytes for x in found], "V16"),
        }
        for name in ("gross", "fees", "taxes", "net"):
            columns[name] = np.array([whole(getattr(x, name), MICRO) for x in found], np.int64)
        held = sorted({int(s) for s in columns["security"]} - {0})
        p = orm.Price
        days: dict[int, list[int]] = {s: [] for s in held}
        closes: dict[int, list[float]] = {s: [] for s in held}
        bars = select(p) if mapped else select(p.security_id, p.on, p.close)
        bars = bars.where(p.security_id.in_(held)).order_by(p.security_id, p.on)
        for bar in session.scalars(bars) if mapped else session.execute(bars):
            days[bar.security_id].append(day_number(bar.on))
            closes[bar.security_id].append(float(bar.close))
    prices = {s: Series(np.array(days[s], np.int32), np.array(closes[s], np.float64)) for s in held}
    return columns, prices


LEDGER = (
    "transaction_id",
    "kind",
    "security_id",
    "quantity",
    "ratio_new",
    "ratio_old",
    "gross",
    "fees",
    "taxes",
    "net",
    "currency",
    "cash_currency",
    "fx",
    "traded_on",
    "settles_on",
)


def compared(user: UUID, portfolio: UUID) -> None:
    """Raise where the ways differ."""
    book, sql = product(user, portfolio), orm.connect()
    try:
        for mapped in (True, False):
            columns, prices = rows(sql, portfolio, mapped)
            assert len(book.ledger) == len(columns["kind"]) > 0
            for name, theirs in columns.items():
                assert getattr(book.ledger, name).tobytes() == theirs.tobytes(), name
            assert prices.keys() == book.prices.keys()
            for security, series in prices.items():
                assert np.array_equal(series.days, book.prices[security].days)
                assert np.array_equal(series.values, book.prices[security].values)
    finally:
        sql.dispose()


def measure(small: bool = False) -> list[Row]:
    """The whole Book, then its ledger alone."""
    transactions, securities, days, rounds = (300, 5, 40, 1) if small else (TRANSACTIONS, SECURITIES, DAYS, 5)
    user, portfolio = fill(transactions, securities, days)
    compared(user, portfolio)
    sql = orm.connect()
    try:
        taken = seconds(
            {
                "product": lambda: product(user, portfolio),
                "product again": lambda: product(user, portfolio),
                "kept": lambda: books.live(user, portfolio),
                "rows": lambda: rows(sql, portfolio, mapped=False),
                "objects": lambda: rows(sql, portfolio, mapped=True),
                "ledger": lambda: _ledger(portfolio),
            },
            rounds,
        )
    finally:
        sql.dispose()
    ours = min(taken["product"], taken["product again"])
    return [
        against("Book of 50,000 transactions, 200 × 10 years", ours, "SQLAlchemy rows", taken["rows"], 5),
        against("Book of 50,000 transactions, 200 × 10 years", ours, "ORM objects", taken["objects"], 5),
        against("its ledger alone", taken["ledger"], "the whole Book", ours, None),
        against("the Book again, kept in memory", taken["kept"], "read anew", ours, None),
    ]


def _ledger(portfolio: UUID) -> None:
    with engine.jobs() as c:
        books.ledger_of(c, [portfolio])
