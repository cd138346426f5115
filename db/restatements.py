"""Recorded points after a booking for an earlier day: what it changes is added to them; sessions that nobody recorded are computed.

Every recorded point of a portfolio stands at the same entries of its ledger (`holding_states.seq`). `catch_up` brings them to another
ledger in one statement, however many there are. No point is ever dropped that was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from core import VERSION
from core.backdated import DAY, Backdated, Steps, backdated, balances
from core.book import Book
from core.fx import Rates, day_number
from core.money import posted_float
from core.valuation import history
from db import books

# `moved`: what becomes of positions, as steps in time that width_bucket looks up. `touched`: the positions to change at each point, and
# those that had no value then. Their price is the one that was recorded; of what was not held then the last close that was known at
# that time, that day's own only after it. What is held no more keeps its row where its price is not that close: it was recorded and
# may be needed again. Cash whose currency had no rate when the point was valued is added as a whole. Coverage is stored with six
# decimals, so what is within half of the last one of everything is everything.
_ADD = """
WITH moved AS MATERIALIZED (
  SELECT x.*, s.currency, s.exchange FROM jsonb_to_recordset(%(positions)s)
         AS x (security_id int, at float8[], units numeric[], cost_at float8[], cost numeric[]) JOIN securities s USING (security_id)),
cash AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(%(cash)s)
         AS x (currency text, at float8[], amount numeric[], known float8, balance_at float8[], balance numeric[])),
points AS MATERIALIZED (
  SELECT n.bucket, extract(epoch FROM n.bucket)::float8 AS t, (n.bucket AT TIME ZONE 'UTC')::date AS day, n.total, n.cash, n.invested, n.net_flow, n.coverage,
         n.complete, extract(epoch FROM coalesce(n.restated_at, n.recorded_at))::float8 AS valued, coalesce(k.weight, abs(n.invested)) AS weight,
         coalesce(k.missing, 0) AS missing, k.bucket IS NOT NULL OR n.invested = 0 AS detailed
    FROM portfolio_snapshots n
    LEFT JOIN (SELECT bucket, sum(coalesce(abs(value), abs(cost))) AS weight, count(*) FILTER (WHERE value IS NULL) AS missing
                 FROM position_snapshots WHERE portfolio_id = %(p)s AND bucket >= to_timestamp(%(since)s) GROUP BY bucket) k ON k.bucket = n.bucket
   WHERE n.portfolio_id = %(p)s AND n.bucket >= to_timestamp(%(since)s) AND NOT n.computed),
touched AS MATERIALIZED (
  SELECT n.bucket, n.t, n.day, n.coverage, n.detailed, m.security_id, m.currency, m.exchange, r.bucket IS NOT NULL AS there, coalesce(r.units, 0) AS units,
         r.cost, r.value, r.price, r.price_age, coalesce(m.units[nullif(width_bucket(n.t, m.at), 0)], 0) AS more,
         coalesce(m.cost[nullif(width_bucket(n.t, m.cost_at), 0)], r.cost, 0) AS new_cost
    FROM points n CROSS JOIN moved m
    LEFT JOIN position_snapshots r ON r.portfolio_id = %(p)s AND r.bucket = n.bucket AND r.security_id = m.security_id AND r.bucket >= to_timestamp(%(since)s)
   WHERE r.bucket IS NOT NULL OR m.units[nullif(width_bucket(n.t, m.at), 0)] <> 0
  UNION ALL
  SELECT n.bucket, n.t, n.day, n.coverage, n.detailed, r.security_id, s.currency, s.exchange, true, r.units, r.cost, r.value, r.price, r.price_age, 0, r.cost
    FROM points n JOIN position_snapshots r ON r.portfolio_id = %(p)s AND r.bucket = n.bucket AND r.value IS NULL AND r.bucket >= to_timestamp(%(since)s)
    JOIN securities s USING (security_id)
   WHERE n.missing > 0 AND r.security_id NOT IN (SELECT security_id FROM moved)),
bars AS MATERIALIZED (
  SELECT d.day, d.security_id, extract(epoch FROM coalesce(x.close_at, (d.day + time '21:00') AT TIME ZONE 'UTC'))::float8 AS closes,
         b."on" AS before_on, b.close AS before, a.close AS after, x."on" IS NOT NULL AS trades, q."on" AS due_before
    FROM (SELECT DISTINCT day, security_id, exchange FROM touched) d
    LEFT JOIN trading_sessions x ON x.exchange = d.exchange AND x."on" = d.day
    LEFT JOIN LATERAL (SELECT "on", close FROM price_history WHERE security_id = d.security_id AND "on" < d.day ORDER BY "on" DESC LIMIT 1) b ON true
    LEFT JOIN price_history a ON a.security_id = d.security_id AND a."on" = d.day
    LEFT JOIN LATERAL (SELECT "on" FROM trading_sessions WHERE exchange = d.exchange AND "on" < d.day ORDER BY "on" DESC LIMIT 1) q ON true),
rates AS MATERIALIZED (
  SELECT d.day, c.currency, CASE WHEN c.currency = 'EUR' THEN 1 ELSE f.rate END AS rate
    FROM (SELECT DISTINCT day FROM points) d
    CROSS JOIN (SELECT currency FROM touched UNION SELECT currency FROM cash UNION SELECT %(base)s) c
    LEFT JOIN LATERAL (SELECT rate FROM fx_rates WHERE base = 'EUR' AND quote = c.currency AND "on" <= d.day ORDER BY "on" DESC LIMIT 1) f ON true),
priced AS (
  SELECT k.*, p.price AS in_use, p.priced_on, c.close, base.rate / local.rate AS fx,
         k.there AND k.coverage = 1 OR coalesce(p.priced_on >= CASE WHEN b.trades AND k.t >= b.closes THEN k.day ELSE b.due_before END, true) AS fresh
    FROM touched k JOIN bars b USING (day, security_id)
    CROSS JOIN LATERAL (SELECT CASE WHEN k.t >= b.closes AND b.after IS NOT NULL THEN b.after ELSE b.before END AS close,
                               CASE WHEN k.t >= b.closes AND b.after IS NOT NULL THEN k.day ELSE b.before_on END AS day) c
    CROSS JOIN LATERAL (SELECT coalesce(k.price, c.close) AS price,
                               CASE WHEN k.price IS NULL THEN c.day ELSE ((k.bucket - k.price_age) AT TIME ZONE 'UTC')::date END AS priced_on) p
    JOIN rates base ON base.day = k.day AND base.currency = %(base)s LEFT JOIN rates local ON local.day = k.day AND local.currency = k.currency),
valued AS MATERIALIZED (
  SELECT bucket, security_id, detailed, there, cost AS old_cost, value AS old_value, more <> 0 AS moves, units + more AS units, new_cost AS cost, fresh, in_use AS price, units + more = 0 AND in_use IS NOT DISTINCT FROM close AS void,
         coalesce(price_age, greatest(bucket - (priced_on + time '21:00') AT TIME ZONE 'UTC', interval '0')) AS price_age,
         CASE WHEN units + more = 0 THEN 0 WHEN value IS NULL THEN round((units + more) * in_use * fx, 6)
              WHEN more = 0 THEN value ELSE round(value + more * in_use * fx, 6) END AS value
    FROM priced),
positions AS (
  SELECT bucket, sum(coalesce(value, 0) - coalesce(old_value, 0)) AS value, bool_or(moves) AS moves, bool_or(value IS NULL) AS unpriced,
         sum(CASE WHEN units = 0 THEN 0 ELSE coalesce(abs(value), abs(cost)) END - CASE WHEN there THEN coalesce(abs(old_value), abs(old_cost)) ELSE 0 END) AS weight,
         sum(CASE WHEN fresh THEN coalesce(abs(value), 0) - coalesce(abs(old_value), 0) ELSE 0 END) AS fresh,
         count(*) FILTER (WHERE value IS NULL) - count(*) FILTER (WHERE there AND old_value IS NULL) AS missing
    FROM valued GROUP BY bucket),
paid AS (
  SELECT n.bucket, sum(x.amount * base.rate / local.rate) AS amount
    FROM points n CROSS JOIN cash c
    CROSS JOIN LATERAL (SELECT CASE WHEN n.valued < c.known AND NOT n.complete THEN c.balance[nullif(width_bucket(n.t, c.balance_at), 0)]
                                    ELSE c.amount[nullif(width_bucket(n.t, c.at), 0)] END AS amount) x
    JOIN rates base ON base.day = n.day AND base.currency = %(base)s JOIN rates local ON local.day = n.day AND local.currency = c.currency
   GROUP BY n.bucket),
changed AS (
  SELECT n.bucket, coalesce(v.moves, false) AS moves, n.total + half_even(coalesce(v.value, 0) + coalesce(a.amount, 0), m.minor_units) AS total,
         n.cash + half_even(coalesce(a.amount, 0), m.minor_units) AS cash, n.invested + half_even(coalesce(v.value, 0), m.minor_units) AS invested,
         n.net_flow + half_even(coalesce(f.amount[nullif(width_bucket(n.t, f.at), 0)], 0), m.minor_units) AS net_flow, w.coverage,
         CASE WHEN EXISTS (SELECT FROM jsonb_to_recordset(%(gaps)s) AS g (begins float8, ends float8) WHERE n.t >= g.begins AND n.t < g.ends) THEN false
              WHEN v.bucket IS NULL AND n.complete THEN true
              WHEN n.detailed THEN w.coverage >= %(limit)s AND n.missing + coalesce(v.missing, 0) = 0
              ELSE n.complete AND w.coverage >= %(limit)s AND NOT coalesce(v.unpriced, false) END AS complete
    FROM points n JOIN currencies m ON m.currency = %(base)s CROSS JOIN jsonb_to_record(%(flow)s) AS f (at float8[], amount numeric[])
    LEFT JOIN positions v USING (bucket) LEFT JOIN paid a USING (bucket)
    CROSS JOIN LATERAL (SELECT CASE WHEN v.bucket IS NULL THEN n.coverage WHEN n.weight + v.weight <= 0 THEN 1
                                    WHEN abs(n.coverage * n.weight + v.fresh - n.weight - v.weight) <= 0.0000005 * n.weight THEN 1
                                    ELSE round(greatest(0, least(1, (n.coverage * n.weight + v.fresh) / (n.weight + v.weight))), 6) END AS coverage) w),
rewritten AS (
  UPDATE position_snapshots r SET units = v.units, cost = v.cost, value = v.value, price = v.price, price_age = v.price_age FROM valued v
   WHERE r.portfolio_id = %(p)s AND r.bucket = v.bucket AND r.security_id = v.security_id AND v.there AND NOT v.void
     AND (r.units, r.cost, r.value) IS DISTINCT FROM (v.units, v.cost, v.value)),
sold AS (
  DELETE FROM position_snapshots r USING valued v
   WHERE r.portfolio_id = %(p)s AND r.bucket = v.bucket AND r.security_id = v.security_id AND v.there AND v.void),
bought AS (
  INSERT INTO position_snapshots (portfolio_id, bucket, security_id, units, cost, value, price, price_age)
  SELECT %(p)s, bucket, security_id, units, cost, value, price, price_age FROM valued WHERE NOT there AND units <> 0 AND detailed)
UPDATE portfolio_snapshots n SET total = x.total, cash = x.cash, invested = x.invested, net_flow = x.net_flow, coverage = x.coverage, complete = x.complete,
       restated_at = clock_timestamp()
  FROM changed x WHERE n.portfolio_id = %(p)s AND n.bucket = x.bucket
   AND (x.moves OR (n.total, n.cash, n.invested, n.net_flow, n.coverage, n.complete) IS DISTINCT FROM (x.total, x.cash, x.invested, x.net_flow, x.coverage, x.complete))
"""
# a point that was valued at a close that has been corrected since: its price is that close, of that day
_CORRECT = """
WITH wrong AS MATERIALIZED (
  SELECT r.bucket, r.security_id, h.close AS price, round(r.value * h.close / r.price, 6) AS value, r.value AS old_value
    FROM (SELECT DISTINCT security_id, "on", close FROM price_corrections WHERE "on" >= %(since)s) c
    JOIN price_history h USING (security_id, "on")
    JOIN position_snapshots r ON r.portfolio_id = %(p)s AND r.security_id = c.security_id AND r.price = c.close AND r.bucket >= %(since)s
   WHERE h.close <> c.close AND r.value IS NOT NULL AND ((r.bucket - r.price_age) AT TIME ZONE 'UTC')::date = c."on"),
righted AS (
  UPDATE position_snapshots r SET price = w.price, value = w.value FROM wrong w
   WHERE r.portfolio_id = %(p)s AND r.bucket = w.bucket AND r.security_id = w.security_id)
UPDATE portfolio_snapshots n SET total = total + w.more, invested = invested + w.more, restated_at = clock_timestamp()
  FROM (SELECT bucket, half_even(sum(value - old_value), (SELECT minor_units FROM currencies WHERE currency = %(base)s)) AS more FROM wrong GROUP BY bucket) w
 WHERE n.portfolio_id = %(p)s AND n.bucket = w.bucket AND NOT n.computed AND w.more <> 0
"""


def catch_up(c: psycopg.Connection, book: Book, coverage_limit: float, missing_from: date | None = None) -> int:
    """Bring the recorded points of a portfolio to the ledger of a Book; how many changed. Call it where holdings are brought there, too.

    `missing_from`: points since then that lacked a price or a rate are given what is known by now.
    """
    portfolio = book.portfolio.portfolio_id
    state = c.execute("SELECT seq, methods FROM holding_states WHERE portfolio_id = %s", (portfolio,)).fetchone()
    if state is None or state[0] is None:
        return 0
    seq, methods = state[0], _dated(state[1]) if state[1] is not None else book.portfolio.dated_methods
    filled = missing_from is not None and _any(c, portfolio, missing_from, "NOT complete")
    booked_at = _booked_at(c, portfolio)
    added = None
    if seq != book.seq or methods != book.portfolio.dated_methods:
        was = books.ledger_of(c, [portfolio], upto=seq)
        added = backdated(was, book.ledger, methods, book.portfolio.dated_methods, book.base, book.rates, booked_at)
    starts = [added.since] if added is not None else []
    if filled and missing_from is not None:
        starts.append(float(day_number(missing_from)) * DAY)
    if not starts or not _any(c, portfolio, datetime.fromtimestamp(min(starts), UTC), "true"):
        return 0
    there = balances(book.ledger, booked_at)
    known = _known(c, book.base, list(there)) if filled else {}
    added = added or Backdated(min(starts), {}, {}, {}, Steps())
    return c.execute(
        _ADD,
        {
            "p": portfolio,
            "base": book.base,
            "since": min(starts),
            "limit": coverage_limit,
            "positions": Jsonb(
                [
                    {"security_id": s, **_steps(steps, "at", "units"), **_steps(added.cost.get(s, Steps()), "cost_at", "cost")}
                    for s, steps in added.units.items()
                ]
            ),
            "cash": Jsonb(
                [
                    {"currency": currency, **_steps(added.cash.get(currency, Steps()), "at", "amount"), "known": known.get(currency, 0.0),
                     **_steps(there.get(currency, Steps()), "balance_at", "balance")}
                    for currency in sorted(added.cash.keys() | known.keys())
                ]
            ),
            "flow": Jsonb(_steps(added.net_flow, "at", "amount")),
            "gaps": Jsonb([{"begins": a, "ends": b} for a, b in _gaps(there, book.rates, book.base)]),
        },
    ).rowcount  # fmt: skip


def _any(c: psycopg.Connection, portfolio: UUID, since: date | datetime, which: str) -> bool:
    """Whether any point was recorded since then that is of a kind."""
    row = c.execute(
        f"SELECT EXISTS (SELECT FROM portfolio_snapshots WHERE portfolio_id = %s AND bucket >= %s AND NOT computed AND {which})",
        (portfolio, since),
    ).fetchone()
    return bool(row and row[0])


def _steps(steps: Steps, at: str, amount: str) -> dict[str, list[Any]]:
    return {at: list(steps.at), amount: [format(x, "f") for x in steps.amount]}


def _dated(stored: Any) -> str | tuple[tuple[int, str], ...]:
    """Cost methods as they were stored."""
    return stored if isinstance(stored, str) else tuple((int(day), str(method)) for day, method in stored)


def _booked_at(c: psycopg.Connection, portfolio: UUID) -> dict[bytes, float]:
    """The moment of every entry that was booked on its own trade date (UTC), by id: of a corrected one, that of the first."""
    rows = c.execute(
        """SELECT t.transaction_id, extract(epoch FROM b.at)::float8 FROM transactions t
             LEFT JOIN transactions f ON f.portfolio_id = t.portfolio_id AND f.seq = t.place
            CROSS JOIN LATERAL (SELECT coalesce(f.recorded_at, t.recorded_at) AS at) b
            WHERE t.portfolio_id = %s AND (b.at AT TIME ZONE 'UTC')::date = t.traded_on""",
        (portfolio,),
    ).fetchall()
    return {number.bytes: at for number, at in rows}


def _known(c: psycopg.Connection, base: str, currencies: list[str]) -> dict[str, float]:
    """Since when any rate of each currency against the base is known (UTC seconds); those without one are left out."""
    rows = c.execute(
        """SELECT quote, extract(epoch FROM min(at))::float8 FROM (
             SELECT quote, recorded_at AS at FROM fx_rates WHERE base = 'EUR' AND quote = ANY (%(all)s)
              UNION ALL SELECT quote, known_from FROM fx_corrections WHERE base = 'EUR' AND quote = ANY (%(all)s)) r GROUP BY quote""",
        {"all": [*currencies, base]},
    ).fetchall()
    since = {"EUR": 0.0, **dict(rows)}
    return {x: max(since[x], since[base]) for x in currencies if x != base and x in since and base in since}


def _gaps(there: Mapping[str, Steps], rates: Rates, base: str) -> list[tuple[float, float]]:
    """The times at which there is cash in a currency that has no rate yet: such points are not complete."""
    out = []
    for currency, steps in there.items():
        if currency == base:
            continue
        series = [rates.series.get(x) for x in (currency, base) if x != rates.pivot]
        first = max((float(s.days[0]) * DAY if s is not None and len(s.days) else np.inf for s in series), default=0.0)
        ends = (*steps.at[1:], np.inf)
        out += [
            (a, min(b, first, 4e10))
            for a, b, amount in zip(steps.at, ends, steps.amount, strict=True)
            if amount and a < first
        ]
    return out


def correct_prices(c: psycopg.Connection, book: Book, since: date) -> int:
    """Value points again that were valued at a close that has been corrected since; how many."""
    return c.execute(_CORRECT, {"p": book.portfolio.portfolio_id, "base": book.base, "since": since}).rowcount


def compute_closes(c: psycopg.Connection, book: Book, since: date, now: datetime, coverage_limit: float) -> None:
    """One point at the close of every completed session since a day that nobody recorded, out of the Book; those of before anew."""
    portfolio, sessions = book.portfolio.portfolio_id, book.sessions.get(book.main_exchange)
    done = sessions.last_completed(now) if sessions is not None else None
    if sessions is None or done is None:
        return
    past = history(book, done)
    inside = (past.days >= day_number(since)) & np.isin(past.days, sessions.days)
    days = past.days[inside]
    at = np.searchsorted(sessions.days, days)
    closes, opens = sessions.closes[at], sessions.opens[at]
    row = c.execute(
        "SELECT coalesce(array_agg(extract(epoch FROM bucket)::int8 ORDER BY bucket), '{}') FROM portfolio_snapshots "
        "WHERE portfolio_id = %s AND bucket >= %s AND NOT computed",
        (portfolio, since),
    ).fetchone()
    recorded = np.array(row[0] if row else [], np.int64)
    seen = np.searchsorted(recorded, closes, side="right") > np.searchsorted(recorded, opens, side="right")
    flows = (past.inflow - past.outflow).cumsum()
    total, cash, flow = (
        [posted_float(x, book.base) for x in series[inside].tolist()] for series in (past.total, past.cash, flows)
    )
    values = {
        "p": portfolio,
        "since": since,
        "limit": coverage_limit,
        "version": VERSION,
        "at": closes.tolist(),
        "new": (~seen).tolist(),
        "total": total,
        "cash": cash,
        "flow": flow,
        "coverage": past.coverage[inside].clip(0, 1).tolist(),
    }
    c.execute(  # the ledger begins later now, or other sessions make the days
        "DELETE FROM portfolio_snapshots WHERE portfolio_id = %(p)s AND bucket >= %(since)s AND computed "
        "AND NOT bucket = ANY (ARRAY(SELECT to_timestamp(t) FROM unnest(%(at)s::float8[]) t))",
        values,
    )
    c.execute(
        """WITH days AS MATERIALIZED (
             SELECT to_timestamp(t.at) AS bucket, t.*, round(t.part::numeric, 6) AS coverage
               FROM unnest(%(at)s::float8[], %(new)s::bool[], %(total)s::numeric[], %(cash)s::numeric[], %(flow)s::numeric[], %(coverage)s::float8[])
                    AS t (at, new, total, cash, flow, part)),
           again AS (
             UPDATE portfolio_snapshots n SET total = d.total, cash = d.cash, invested = d.total - d.cash, net_flow = d.flow, coverage = d.coverage,
                    complete = d.part >= %(limit)s, calculation_version = %(version)s, recorded_at = now()
               FROM days d WHERE n.portfolio_id = %(p)s AND n.bucket = d.bucket AND n.computed
                AND (n.total, n.cash, n.net_flow, n.coverage) IS DISTINCT FROM (d.total, d.cash, d.flow, d.coverage))
           INSERT INTO portfolio_snapshots (portfolio_id, bucket, total, cash, invested, net_flow, coverage, complete, calculation_version, computed)
           SELECT %(p)s, bucket, total, cash, total - cash, flow, coverage, part >= %(limit)s, %(version)s, true FROM days WHERE new
           ON CONFLICT (portfolio_id, bucket) DO NOTHING""",
        values,
    )
