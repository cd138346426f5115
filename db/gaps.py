"""Sessions without a bar: found against the calendars, kept with how often they were asked for, and told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from core.calendar import Sessions
from core.fx import day_number, day_of
from core.ledger import Security
from core.price_gaps import UNANSWERED, Gap, Hole, holes, wait
from db import engine
from db.tasks import refused

_COLUMNS = """g.security_id, s.symbol, s.name, s.exchange, g.first_on, g.last_on, g.sessions, g.before_first, g.feeds, g.tries, g.found_at,
              g.asked_at, g.next_at, g.until FROM price_gaps g JOIN securities s USING (security_id)"""


def scan(
    c: psycopg.Connection,
    tracked: Sequence[Security],
    calendars: Mapping[str, Sessions],
    needed: Mapping[int, tuple[date, date]],
    at: datetime,
) -> bool:
    """Find the gaps of these securities anew where bars, calendars or what is needed changed since the last time; whether they had.

    `needed`: for each security the day from which bars are asked for, and that of its first trade. A gap that is part of one
    that was asked for keeps that; one that reaches further is asked for at once. What is not there any more is forgotten.
    """
    versions = c.execute(
        "SELECT name, version FROM data_versions WHERE name IN ('prices', 'sessions', 'securities') ORDER BY 1"
    ).fetchall()
    wanted = sorted((s.security_id, s.exchange, needed.get(s.security_id)) for s in tracked)
    seen = hashlib.sha256(repr((versions, wanted)).encode()).hexdigest()
    if c.execute("SELECT FROM gap_scans WHERE seen = %s", (seen,)).fetchone() is not None:
        return False
    found = []
    bars = _days(c, [s.security_id for s in tracked])
    for security in tracked:
        days, calendar = bars.get(security.security_id), calendars.get(security.exchange)
        if days is not None and calendar is not None:
            first, trade = needed.get(security.security_id, (None, None))
            for hole in holes(calendar, days, first, trade):
                after = day_of(int(days[np.searchsorted(days, day_number(hole.last))]))
                found.append((security.security_id, hole, after))
    _keep(c, found, at)
    c.execute("INSERT INTO gap_scans (seen) VALUES (%s) ON CONFLICT (one) DO UPDATE SET seen = EXCLUDED.seen", (seen,))
    return True


def _days(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, NDArray[np.int32]]:
    """The days that have a bar, as day numbers, by security."""
    rows = c.execute(
        "SELECT security_id, days FROM price_arrays WHERE security_id = ANY (%s)", (list(ids),), binary=True
    ).fetchall()
    return {number: np.frombuffer(days, ">i4").astype(np.int32) for number, days in rows}


def _keep(c: psycopg.Connection, found: Sequence[tuple[int, Hole, date]], at: datetime) -> None:
    """Put the gaps that were found in the place of those that stood, each with what is known of one that it is part of."""
    c.execute(
        "CREATE TEMP TABLE IF NOT EXISTS new_gaps (security_id int, first_on date, last_on date, until date, sessions int, before_first bool, "
        "found_at timestamptz, tries int DEFAULT 0, asked_at timestamptz, next_at timestamptz, feeds text) ON COMMIT DELETE ROWS"
    )
    c.execute("DELETE FROM new_gaps")
    with c.cursor() as cursor:
        into = "COPY new_gaps (security_id, first_on, last_on, until, sessions, before_first, found_at) FROM STDIN"
        with cursor.copy(into) as copy:
            for number, hole, after in found:
                copy.write_row((number, hole.first, hole.last, after, hole.needed, hole.leading, at))
    c.execute(
        """UPDATE new_gaps n SET found_at = o.found_at, tries = o.tries, asked_at = o.asked_at, next_at = o.next_at, feeds = o.feeds
             FROM price_gaps o WHERE o.security_id = n.security_id AND o.first_on <= n.first_on AND o.last_on >= n.last_on"""
    )
    c.execute("DELETE FROM price_gaps")
    c.execute(
        """INSERT INTO price_gaps (security_id, first_on, last_on, until, sessions, before_first, found_at, tries, asked_at, next_at, feeds)
           SELECT security_id, first_on, last_on, until, sessions, before_first, found_at, tries, asked_at, next_at, feeds FROM new_gaps"""
    )


def due(c: psycopg.Connection, at: datetime, most: int) -> list[Gap]:
    """The gaps to ask for at a time, of at most so many securities: those that wait longest first."""
    return _gaps(
        c,
        """WHERE security_id IN (SELECT security_id FROM price_gaps WHERE next_at IS NULL OR next_at <= %(at)s GROUP BY 1
                                  ORDER BY min(coalesce(next_at, found_at)), 1 LIMIT %(most)s)
             AND (g.next_at IS NULL OR g.next_at <= %(at)s)""",
        {"at": at, "most": most},
    )


def begin(c: psycopg.Connection, gaps: Iterable[Gap], at: datetime) -> None:
    """Say that these are being asked for, so that a run that breaks off does not ask at every look."""
    _next(c, [(g, at, at + UNANSWERED, 0, g.feeds) for g in gaps])


def asked(c: psycopg.Connection, answered: Iterable[tuple[Gap, str]], at: datetime) -> None:
    """Say that the feeds answered for these gaps, and which: what they did not give is asked for again later."""
    _next(c, [(g, at, at + wait(g.tries + 1, g.leading), 1, feeds) for g, feeds in answered])


def _next(c: psycopg.Connection, said: Sequence[tuple[Gap, datetime, datetime, int, str | None]]) -> None:
    with c.cursor() as cursor:
        cursor.executemany(
            "UPDATE price_gaps SET asked_at = %s, next_at = %s, tries = tries + %s, feeds = coalesce(%s, feeds) WHERE security_id = %s AND first_on = %s",
            [(at, then, n, feeds, g.security_id, g.first) for g, at, then, n, feeds in said],
        )


def all_of(user: UUID, security: int | None = None) -> list[Gap]:
    """Every gap with a session that was needed (of one security), by symbol and day."""
    with engine.session(user) as c:
        return _gaps(c, "WHERE g.sessions > 0 AND (%(id)s::int IS NULL OR security_id = %(id)s)", {"id": security})


def ask_again(user: UUID, security: int) -> int:
    """Have every gap of a security asked for within a minute; how many. Raises AccessDenied."""
    with refused(), engine.session(user) as c:
        row = c.execute("SELECT ask_gaps_again(%s)", (security,)).fetchone()
    return int(row[0]) if row else 0


def _gaps(c: psycopg.Connection, which: str, parameters: Mapping[str, object]) -> list[Gap]:
    rows = c.execute(f"SELECT {_COLUMNS} {which} ORDER BY s.symbol, s.exchange, g.first_on", parameters).fetchall()
    return [Gap(*row) for row in rows]
