"""What the timetable asks before it works: is there anything to restate, from which day are prices needed, what has expired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg


def restatements(c: psycopg.Connection) -> bool:
    """Whether the past of any portfolio must be rebuilt."""
    row = c.execute(
        "SELECT EXISTS (SELECT FROM portfolios WHERE restate_from IS NOT NULL AND archived_at IS NULL)"
    ).fetchone()
    return bool(row and row[0])


# entries that stand: neither reversed nor a reversal
_STANDING = """transactions t WHERE t.kind <> 'reversal' AND NOT EXISTS
  (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)"""


def first_trades(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, date]:
    """The first day that each security is needed from: its first entry that stands, or that of a portfolio measured against it."""
    rows = c.execute(
        f"""WITH standing AS (SELECT t.portfolio_id, t.security_id, t.into_id, t.traded_on FROM {_STANDING})
            SELECT id, min(traded_on) FROM (
              SELECT security_id AS id, traded_on FROM standing UNION ALL SELECT into_id, traded_on FROM standing UNION ALL
              SELECT p.benchmark_id, s.traded_on FROM portfolios p JOIN standing s USING (portfolio_id)) t
             WHERE id = ANY (%s) GROUP BY id""",
        (list(ids),),
    ).fetchall()
    return {r[0]: r[1] for r in rows}


def currencies(c: psycopg.Connection) -> dict[str, tuple[date, date | None, date | None]]:
    """Every currency in use but the euro: the first day it is needed, and the days of its first and newest rates (None: no rate yet)."""
    rows = c.execute(
        f"""WITH standing AS (SELECT t.* FROM {_STANDING})
           SELECT u.currency, u.first, f.first, f.last FROM (
             SELECT currency, min(traded_on) AS first FROM (
               SELECT t.currency, t.traded_on FROM standing t UNION ALL SELECT t.cash_currency, t.traded_on FROM standing t UNION ALL
               SELECT p.base_currency, t.traded_on FROM portfolios p JOIN standing t USING (portfolio_id) UNION ALL
               SELECT s.currency, t.traded_on FROM securities s JOIN standing t ON s.security_id IN (t.security_id, t.into_id) UNION ALL
               SELECT s.currency, t.traded_on FROM securities s JOIN portfolios p ON p.benchmark_id = s.security_id
                 JOIN standing t USING (portfolio_id)) x GROUP BY currency) u
           CROSS JOIN LATERAL (SELECT min("on") AS first, max("on") AS last FROM fx_rates WHERE base = 'EUR' AND quote = u.currency) f
           WHERE u.currency <> 'EUR' ORDER BY 1"""
    ).fetchall()
    return {r[0]: (r[1], r[2], r[3]) for r in rows}


def restate_for(
    c: psycopg.Connection, loaded: Sequence[tuple[int, date, date, bool]], currencies: Sequence[str] = ()
) -> int:
    """Have the past rebuilt where prices came late; how many portfolios. Days that were recorded as they happened stay: those with
    a snapshot within the session, for a day that was rebuilt has that of a close alone.

    `loaded`: (security, day before the first new bar, last day, whether these are its first bars at all). `currencies`: those
    that had no rate, or none so far back, until now. First prices rebuild from the first trade on; others from the first session unrecorded.
    """
    late = c.execute(
        """UPDATE portfolios p SET restate_from = least(p.restate_from, d.first) FROM (
             SELECT t.portfolio_id, min(CASE WHEN b.anew THEN t.first ELSE s."on" END) AS first
               FROM (SELECT portfolio_id, i.security_id, min(traded_on) AS first FROM transactions e JOIN unnest(%(ids)s::int[]) AS i (security_id)
                         ON i.security_id IN (e.security_id, e.into_id) GROUP BY 1, 2) t
               JOIN unnest(%(ids)s::int[], %(after)s::date[], %(upto)s::date[], %(anew)s::bool[]) AS b (security_id, after, upto, anew)
                    USING (security_id)
               JOIN securities USING (security_id)
               JOIN trading_sessions s ON s.exchange = securities.exchange AND s."on" > b.after AND s."on" <= b.upto AND s."on" >= t.first
              WHERE b.anew OR NOT EXISTS (SELECT FROM portfolio_snapshots h
                      WHERE h.portfolio_id = t.portfolio_id AND h.bucket > s.open_at AND h.bucket <= s.close_at
                        AND NOT EXISTS (SELECT FROM exchanges e JOIN trading_sessions x ON x.exchange = e.exchange AND x."on" = s."on"
                                         WHERE x.close_at = h.bucket))
              GROUP BY 1) d
            WHERE p.portfolio_id = d.portfolio_id AND p.archived_at IS NULL""",
        {
            "ids": [each[0] for each in loaded],
            "after": [each[1] for each in loaded],
            "upto": [each[2] for each in loaded],
            "anew": [each[3] for each in loaded],
        },
    ).rowcount
    return (
        late
        + c.execute(
            """UPDATE portfolios p SET restate_from = least(p.restate_from, d.first) FROM (
                 SELECT portfolio_id, min(traded_on) AS first FROM transactions t JOIN portfolios USING (portfolio_id) LEFT JOIN securities s USING (security_id)
                  WHERE t.currency = ANY (%(all)s) OR cash_currency = ANY (%(all)s) OR base_currency = ANY (%(all)s) OR s.currency = ANY (%(all)s)
                  GROUP BY 1) d WHERE p.portfolio_id = d.portfolio_id AND p.archived_at IS NULL""",
            {"all": list(currencies)},
        ).rowcount
    )
