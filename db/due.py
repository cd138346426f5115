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


def first_trades(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, date]:
    """The first day that each security is needed from: its first trade, or that of a portfolio measured against it."""
    rows = c.execute(
        "SELECT id, min(traded_on) FROM (SELECT security_id AS id, traded_on FROM transactions UNION ALL "
        "SELECT p.benchmark_id, t.traded_on FROM portfolios p JOIN transactions t USING (portfolio_id)) t "
        "WHERE id = ANY (%s) GROUP BY id",
        (list(ids),),
    ).fetchall()
    return {r[0]: r[1] for r in rows}


def currencies(c: psycopg.Connection) -> dict[str, tuple[date, date | None]]:
    """Every currency in use but the euro: the first day it is needed, and the day of its newest rate (None: no rate yet)."""
    rows = c.execute(
        """SELECT u.currency, u.first, f.last FROM (
             SELECT currency, min(traded_on) AS first FROM (
               SELECT t.currency, t.traded_on FROM transactions t UNION ALL SELECT t.cash_currency, t.traded_on FROM transactions t UNION ALL
               SELECT p.base_currency, t.traded_on FROM portfolios p JOIN transactions t USING (portfolio_id) UNION ALL
               SELECT s.currency, t.traded_on FROM securities s JOIN transactions t USING (security_id) UNION ALL
               SELECT s.currency, t.traded_on FROM securities s JOIN portfolios p ON p.benchmark_id = s.security_id
                 JOIN transactions t USING (portfolio_id)) x GROUP BY currency) u
           CROSS JOIN LATERAL (SELECT max("on") AS last FROM fx_rates WHERE base = 'EUR' AND quote = u.currency) f
           WHERE u.currency <> 'EUR' ORDER BY 1"""
    ).fetchall()
    return {r[0]: (r[1], r[2]) for r in rows}


def restate_for(
    c: psycopg.Connection, loaded: Sequence[tuple[int, date, date, bool]], currencies: Sequence[str] = ()
) -> int:
    """Have the past rebuilt where prices came late; how many portfolios. Days that were recorded as they happened stay.

    `loaded`: (security, day before the first new bar, last day, whether these are its first bars at all). `currencies`: those
    that had no rate until now. First prices rebuild from the first trade on; later ones from the first session unrecorded.
    """
    late = c.execute(
        """UPDATE portfolios p SET restate_from = least(p.restate_from, d.first) FROM (
             SELECT t.portfolio_id, min(CASE WHEN b.anew THEN t.first ELSE s."on" END) AS first
               FROM (SELECT portfolio_id, security_id, min(traded_on) AS first FROM transactions
                      WHERE security_id = ANY (%(ids)s) GROUP BY 1, 2) t
               JOIN unnest(%(ids)s::int[], %(after)s::date[], %(upto)s::date[], %(anew)s::bool[]) AS b (security_id, after, upto, anew)
                    USING (security_id)
               JOIN securities USING (security_id)
               JOIN trading_sessions s ON s.exchange = securities.exchange AND s."on" > b.after AND s."on" <= b.upto AND s."on" >= t.first
              WHERE b.anew OR NOT EXISTS (SELECT FROM portfolio_snapshots h
                      WHERE h.portfolio_id = t.portfolio_id AND h.bucket > s.open_at AND h.bucket <= s.close_at)
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
                 SELECT portfolio_id, min(traded_on) AS first FROM transactions WHERE currency = ANY (%(all)s) OR cash_currency = ANY (%(all)s)
                  GROUP BY 1) d WHERE p.portfolio_id = d.portfolio_id AND p.archived_at IS NULL""",
            {"all": list(currencies)},
        ).rowcount
    )
