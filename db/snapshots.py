"""Snapshots: every portfolio and position at every bucket, written by one statement; and the charts read from them.

A bucket is written once, as it happens. What is booked later for an earlier day is added to it: see `db.restatements`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from core import VERSION
from core.book import Book
from core.fx import day_number
from core.ledger import MICRO, UNITS
from core.lots import held
from core.scope import PERIODS
from core.valuation import cash_of, lots_of, net_flow
from db import books, engine
from db.restatements import catch_up, compute_closes, correct_prices
from settings import settings


class Point(NamedTuple):
    """One point of a chart, in the portfolio's base currency. `net_flow`: deposits less withdrawals since inception.

    `state`: "recorded" as it was taken, "restated" with what was booked later for an earlier day, or "computed" from closes.
    """

    at: datetime
    total: Decimal
    cash: Decimal
    net_flow: Decimal
    coverage: float
    complete: bool
    state: str


class Holder(NamedTuple):
    """A portfolio that holds a security. `value` in its base currency and `weight`, a share of its total, are of the snapshot of `at`."""

    portfolio_id: UUID
    name: str
    currency: str
    units: Decimal
    value: Decimal | None
    weight: float | None
    at: datetime | None


def bucket_of(at: datetime, minutes: int) -> datetime:
    """The start of the bucket that a time falls into."""
    seconds = minutes * 60
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, UTC)


def refresh_holdings(c: psycopg.Connection, today: date, coverage_limit: float = settings.coverage_limit) -> int:
    """Derive holdings and cash anew for every portfolio whose ledger changed, its recorded points with them; how many."""
    stale = [
        r[0]
        for r in c.execute(
            "SELECT p.portfolio_id FROM portfolios p LEFT JOIN holding_states s USING (portfolio_id) "
            "WHERE p.archived_at IS NULL AND s.version IS DISTINCT FROM p.version ORDER BY 1"
        ).fetchall()
    ]
    for portfolio in stale:
        book = books.load(c, portfolio).book
        catch_up(c, book, coverage_limit)
        _hold(c, book, today)
    return len(stale)


def _hold(c: psycopg.Connection, book: Book, today: date) -> None:
    """Write what a portfolio holds, and the ledger that this and all its recorded points stand at."""
    portfolio, day = book.portfolio.portfolio_id, day_number(today)
    c.execute("DELETE FROM holdings WHERE portfolio_id = %s", (portfolio,))
    c.execute("DELETE FROM cash_balances WHERE portfolio_id = %s", (portfolio,))
    for its in held(lots_of(book, day).still):
        units = Decimal(its.units) / UNITS
        cost = Decimal(its.cost_base if its.cost_base is not None else its.cost) / MICRO
        c.execute("INSERT INTO holdings VALUES (%s, %s, %s, %s)", (portfolio, its.security, units, cost))
    for currency, amount in cash_of(book, day).items():
        c.execute("INSERT INTO cash_balances VALUES (%s, %s, %s)", (portfolio, currency, amount))
    c.execute(
        "INSERT INTO holding_states (portfolio_id, version, net_flow, seq, methods) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (portfolio_id) "
        "DO UPDATE SET version = EXCLUDED.version, net_flow = EXCLUDED.net_flow, seq = EXCLUDED.seq, methods = EXCLUDED.methods",
        (portfolio, book.portfolio.version, net_flow(book, day), book.seq, Jsonb(book.portfolio.dated_methods)),
    )


def _alone(c: psycopg.Connection) -> None:
    """Wait for whoever else takes or restates snapshots: a point is recorded at the ledger that all others stand at."""
    c.execute("SELECT pg_advisory_xact_lock(hashtextextended('snapshots', 0))")


# One statement for all portfolios: price = the quote, or the last bar where that is of a later day; FX = the last rate; a position that was never
# priced stands with no value and lowers the coverage by its cost. Totals are rounded half-even, as `core.money.posted` does.
_SNAPSHOT = """
WITH due AS (SELECT exchange, max("on") AS day FROM trading_sessions WHERE close_at <= %(now)s GROUP BY exchange),
fx AS (SELECT c.currency, CASE WHEN c.currency = 'EUR' THEN 1 ELSE f.rate END AS rate
         FROM (SELECT currency FROM cash_balances UNION SELECT currency FROM securities WHERE security_id IN (SELECT security_id FROM holdings)
               UNION SELECT base_currency FROM portfolios) c
         LEFT JOIN LATERAL (SELECT rate FROM fx_rates WHERE base = 'EUR' AND quote = c.currency AND "on" <= (%(now)s AT TIME ZONE 'UTC')::date
                             ORDER BY "on" DESC LIMIT 1) f ON true),
priced AS MATERIALIZED (
  SELECT s.security_id, s.currency, CASE WHEN v.quoted THEN a.price ELSE b.close END AS price, CASE WHEN v.quoted THEN a.quoted_at ELSE b.at END AS at,
         coalesce(CASE WHEN v.quoted THEN q.day ELSE b."on" END >= d.day, true) AS fresh
    FROM (SELECT DISTINCT security_id FROM holdings) h JOIN securities s USING (security_id) JOIN exchanges e USING (exchange)
    LEFT JOIN due d USING (exchange) LEFT JOIN asset_prices a USING (security_id)
    LEFT JOIN LATERAL (SELECT "on", close, ("on" + time '21:00') AT TIME ZONE 'UTC' AS at FROM price_history
                        WHERE security_id = s.security_id AND "on" <= (%(now)s AT TIME ZONE 'UTC')::date ORDER BY "on" DESC LIMIT 1) b ON true
    LEFT JOIN LATERAL (SELECT "on" FROM trading_sessions WHERE exchange = s.exchange AND open_at <= a.quoted_at
                          AND "on" <= (a.quoted_at AT TIME ZONE 'UTC')::date + 1 ORDER BY "on" DESC LIMIT 1) t ON true
    CROSS JOIN LATERAL (SELECT coalesce(t."on", (a.quoted_at AT TIME ZONE 'UTC')::date) AS day) q
    CROSS JOIN LATERAL (SELECT coalesce(q.day >= coalesce(b."on", q.day), false) AS quoted) v),
positions AS MATERIALIZED (
  SELECT h.portfolio_id, h.security_id, h.units, h.cost, q.price, q.at, q.fresh, h.units * q.price * base.rate / local.rate AS value
    FROM holdings h JOIN portfolios p USING (portfolio_id) JOIN priced q USING (security_id)
    JOIN fx base ON base.currency = p.base_currency LEFT JOIN fx local ON local.currency = q.currency
   WHERE p.archived_at IS NULL),
invested AS (
  SELECT portfolio_id, coalesce(sum(value), 0) AS value, coalesce(sum(abs(value)) FILTER (WHERE fresh), 0) AS fresh,
         coalesce(sum(coalesce(abs(value), abs(cost))), 0) AS weight, bool_or(value IS NULL) AS gaps
    FROM positions GROUP BY portfolio_id),
cash AS (
  SELECT portfolio_id, sum(amount * base.rate / local.rate) AS value, bool_or(amount <> 0 AND local.rate IS NULL) AS gaps
    FROM cash_balances JOIN portfolios p USING (portfolio_id) JOIN fx base ON base.currency = p.base_currency
    LEFT JOIN fx local ON local.currency = cash_balances.currency GROUP BY portfolio_id),
totals AS (
  INSERT INTO portfolio_snapshots (portfolio_id, bucket, total, cash, invested, net_flow, coverage, complete, calculation_version)
  SELECT p.portfolio_id, %(bucket)s, n.total, n.cash, n.invested, s.net_flow, v.coverage, v.coverage >= %(limit)s AND NOT coalesce(i.gaps, false) AND NOT coalesce(c.gaps, false),
         %(version)s
    FROM portfolios p JOIN holding_states s USING (portfolio_id) JOIN currencies m ON m.currency = p.base_currency
    LEFT JOIN invested i USING (portfolio_id) LEFT JOIN cash c USING (portfolio_id)
    CROSS JOIN LATERAL (SELECT half_even(coalesce(i.value, 0) + coalesce(c.value, 0), m.minor_units) AS total,
                               half_even(coalesce(c.value, 0), m.minor_units) AS cash, half_even(coalesce(i.value, 0), m.minor_units) AS invested) n
    CROSS JOIN LATERAL (SELECT CASE WHEN coalesce(i.weight, 0) = 0 THEN 1 ELSE least(1, i.fresh / i.weight) END AS coverage) v
   WHERE p.archived_at IS NULL AND (i.portfolio_id IS NOT NULL OR c.portfolio_id IS NOT NULL)
  ON CONFLICT (portfolio_id, bucket) DO NOTHING RETURNING portfolio_id)
INSERT INTO position_snapshots (portfolio_id, bucket, security_id, units, cost, value, price, price_age)
SELECT portfolio_id, %(bucket)s, security_id, units, cost, round(value, 6), price, greatest(%(now)s - at, interval '0') FROM positions JOIN totals USING (portfolio_id)
ON CONFLICT (portfolio_id, bucket, security_id) DO NOTHING
"""


def take(c: psycopg.Connection, now: datetime, minutes: int, coverage_limit: float) -> int:
    """Write the snapshot of every portfolio for the bucket of `now`, unless it is there; how many positions were written."""
    _alone(c)
    refresh_holdings(c, now.astimezone(UTC).date(), coverage_limit)
    return c.execute(
        _SNAPSHOT, {"now": now, "bucket": bucket_of(now, minutes), "limit": coverage_limit, "version": VERSION}
    ).rowcount


def restate(c: psycopg.Connection, now: datetime, coverage_limit: float, most: int | None = None) -> int:
    """Bring the stored past of every portfolio up to date whose ledger or prices changed in the past; how many portfolios (at `most`).

    What was recorded stays, with the effect of what was booked since added to it; a completed session that nobody recorded gets
    one point at its close, from the Book.
    """
    _alone(c)
    stale = c.execute(
        "SELECT portfolio_id, version, restate_from FROM portfolios WHERE restate_from IS NOT NULL AND archived_at IS NULL "
        "ORDER BY 1 LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        (most,),
    ).fetchall()
    for portfolio, version, first in stale:
        book = books.load(c, portfolio).book
        correct_prices(c, book, first)
        catch_up(c, book, coverage_limit, first)
        _hold(c, book, now.astimezone(UTC).date())
        compute_closes(c, book, first, now, coverage_limit)
        c.execute(
            "UPDATE portfolios SET restated = %s, restate_from = NULL WHERE portfolio_id = %s", (version, portfolio)
        )
    return len(stale)


# period: (the day whose close it starts from, counted from the current session's day; how wide a bucket is, None: a session)
PERIOD = {
    "1D": ("today - 1", "5 minutes"),
    "1W": ("today - 7", "30 minutes"),
    "MTD": ("date_trunc('month', today)::date - 1", "1 hour"),
    "1M": ("(today - interval '1 month')::date", "1 hour"),
    "QTD": ("date_trunc('quarter', today)::date - 1", "3 hours"),
    "3M": ("(today - interval '3 months')::date", "3 hours"),
    "YTD": ("date_trunc('year', today)::date - 1", None),
    "1Y": ("(today - interval '1 year')::date", None),
    "3Y": ("(today - interval '3 years')::date", None),
    "5Y": ("(today - interval '5 years')::date", None),
    "ALL": ("(SELECT min(bucket)::date FROM portfolio_snapshots WHERE portfolio_id = %(p)s)", None),
}
_GRID = """WITH current AS MATERIALIZED (SELECT max("on") AS today FROM trading_sessions WHERE exchange = %(x)s AND open_at <= %(now)s),
first AS MATERIALIZED (SELECT coalesce((SELECT "on" FROM trading_sessions WHERE exchange = %(x)s AND "on" <= {start}
                                          ORDER BY "on" DESC LIMIT 1), '-infinity') AS base FROM current),
sessions AS MATERIALIZED (SELECT "on", open_at, close_at, "on" = base AS is_base FROM trading_sessions, first
                           WHERE exchange = %(x)s AND "on" >= base AND open_at <= %(now)s)"""
_DAILY = 'SELECT lag(close_at, 1, open_at) OVER (ORDER BY "on") AS after, close_at AS upto FROM sessions'
_INTRADAY = """SELECT open_at AS after, close_at AS upto FROM sessions WHERE is_base
   UNION ALL SELECT g, least(g + %(step)s::interval, close_at) FROM sessions
   CROSS JOIN LATERAL generate_series(open_at, least(close_at, %(now)s) - interval '1 second', %(step)s::interval) g WHERE NOT is_base"""
# Most buckets end with a snapshot: those are read in one ordered walk through the primary key, a fraction of what a probe
# each costs; the others are probed. NOT IN stands there for its hash: a join would be planned for a handful of rows. The
# points travel as one text a column, which costs less than their rows.
_PROBE = """, buckets AS MATERIALIZED ({grid}),
ends AS MATERIALIZED (
  SELECT bucket, total, cash, net_flow, coverage, complete, computed, restated_at FROM portfolio_snapshots
   WHERE portfolio_id = %(p)s AND bucket = ANY (ARRAY(SELECT upto FROM buckets))),
points AS (
  SELECT * FROM ends
  UNION ALL SELECT s.* FROM buckets b CROSS JOIN LATERAL (
    SELECT bucket, total, cash, net_flow, coverage, complete, computed, restated_at FROM portfolio_snapshots
     WHERE portfolio_id = %(p)s AND bucket <= b.upto ORDER BY bucket DESC LIMIT 1) s
   WHERE (SELECT count(*) FROM ends) < (SELECT count(*) FROM buckets) AND b.upto NOT IN (SELECT bucket FROM ends) AND s.bucket > b.after)
SELECT string_agg(extract(epoch FROM bucket)::text, ','), string_agg(total::text, ','), string_agg(cash::text, ','),
       string_agg(net_flow::text, ','), string_agg(coverage::text, ','), string_agg(complete::int::text, ','),
       string_agg(CASE WHEN computed THEN 'computed' WHEN restated_at IS NULL THEN 'recorded' ELSE 'restated' END, ',')
  FROM (SELECT * FROM points ORDER BY bucket) p"""


def chart(c: psycopg.Connection, portfolio: UUID, period: str, now: datetime, exchange: str = "XNYS") -> list[Point]:
    """The last snapshot in each bucket of a period: at most one index probe a bucket, flat in the length of history.

    The first point is the close that the period starts from, as `core.returns.period_start` has it: the one before the
    current session (1D), a week, a month, three months or years before it, the last of the old month, quarter or year (MTD,
    QTD, YTD). Buckets come from the sessions of `exchange`: 1D 5 minutes, 1W 30 minutes, MTD and 1M an hour, QTD and 3M three
    hours, the longer ones a session.
    """
    if period not in PERIODS:
        raise ValueError(f"period {period!r}: expected one of {', '.join(PERIODS)}")
    start, step = PERIOD[period]
    sql = f"{_GRID.format(start=start)} {_PROBE.format(grid=_DAILY if step is None else _INTRADAY)}"
    row = c.execute(sql, {"p": portfolio, "now": now, "x": exchange, "step": step}).fetchone()
    if row is None or row[0] is None:
        return []
    at, total, cash, flow, part, whole, states = (column.split(",") for column in row)
    times = [datetime.fromtimestamp(float(x), UTC) for x in at]
    money = (map(Decimal, column) for column in (total, cash, flow))
    return list(map(Point, times, *money, map(float, part), [x == "1" for x in whole], states))


def held_in(user: UUID, security: int) -> list[Holder]:
    """The portfolios that this person may see and that hold a security, as the newest snapshots have it: no Book is loaded.

    No value where it has no price, or where the ledger has moved since the snapshot.
    """
    with engine.session(user) as c:
        return [
            Holder(*row)
            for row in c.execute(
                """SELECT p.portfolio_id, p.name, p.base_currency, h.units, s.value, CASE WHEN n.total > 0 THEN (s.value / n.total)::float8 END, s.bucket
                     FROM holdings h JOIN portfolios p USING (portfolio_id)
                     LEFT JOIN LATERAL (SELECT bucket, total FROM portfolio_snapshots WHERE portfolio_id = h.portfolio_id
                                         ORDER BY bucket DESC LIMIT 1) n ON true
                     LEFT JOIN position_snapshots s ON s.portfolio_id = h.portfolio_id AND s.bucket = n.bucket
                                                   AND s.security_id = h.security_id AND s.units = h.units
                    WHERE h.security_id = %s AND h.units <> 0 AND p.archived_at IS NULL ORDER BY p.name, p.portfolio_id""",
                (security,),
            )
        ]


def chart_for(user: UUID, portfolio: UUID, period: str, now: datetime, exchange: str = "XNYS") -> list[Point]:
    """The same on behalf of a person; nothing where the portfolio is not theirs to see."""
    with engine.session(user) as c:
        return chart(c, portfolio, period, now, exchange)
