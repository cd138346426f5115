"""What is odd about the dates of trades, asked of the calendars and the security master: see `core.trade_dates`."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import psycopg

from core.ledger import Draft
from core.trade_dates import DateWarning, Lifetime, doubts
from db import books, engine


def lifetimes(c: psycopg.Connection, securities: Iterable[int]) -> dict[int, Lifetime]:
    """When some securities could be traded: their issue, maturity and end, and their first bar."""
    rows = c.execute(
        """SELECT security_id, issued_on, matures_on, ended_on, status,
                  (SELECT "on" FROM price_history h WHERE h.security_id = s.security_id ORDER BY "on" LIMIT 1)
             FROM securities s WHERE security_id = ANY (%s)""",
        (sorted(set(securities)),),
    ).fetchall()
    return {row[0]: Lifetime(*row[1:]) for row in rows}


def warnings(user: UUID, drafts: Iterable[Draft]) -> tuple[DateWarning, ...]:
    """What is odd about the dates of some drafts, each said once."""
    drafts = list(drafts)
    with engine.session(user) as c:
        known = lifetimes(c, (d.security.security_id for d in drafts if d.security is not None))
        sessions = books.sessions_of(c)
    found = [
        w
        for d in drafts
        for w in doubts(
            d.kind, d.traded_on, d.security, sessions, known.get(d.security.security_id) if d.security else None
        )
    ]
    return tuple(dict.fromkeys(found))
