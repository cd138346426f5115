"""What the feeds were asked for and could not give: how far back actions and rates were asked for, and the troubles with single securities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from db import engine


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a feed said of one security or currency that could not be taken, or not as it came. No feed: none of them knows it."""

    feed: str
    what: str
    subject: str
    security_id: int | None
    said: str
    first_at: datetime
    last_at: datetime
    times: int


class Reach(NamedTuple):
    """From which day on dividends and splits of a security were asked for; from which on the feeds answered, and when they did last."""

    tried_from: date
    back_to: date | None
    answered_at: datetime | None


def actions_asked(c: psycopg.Connection) -> dict[int, Reach]:
    """How far back the dividends and splits of each security were asked for."""
    rows = c.execute("SELECT security_id, tried_from, back_to, answered_at FROM actions_asked").fetchall()
    return {r[0]: Reach(*r[1:]) for r in rows}


def try_actions(c: psycopg.Connection, tried: Mapping[int, date]) -> None:
    """Note that these securities are being asked for, from each one's day on."""
    with c.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO actions_asked AS a (security_id, tried_from) VALUES (%s, %s) ON CONFLICT (security_id) DO UPDATE
               SET tried_from = least(a.tried_from, EXCLUDED.tried_from)""",
            list(tried.items()),
        )


def keep_actions_asked(c: psycopg.Connection, answered: Mapping[int, date], at: datetime) -> None:
    """Note that the feeds answered for these securities, from each one's day on."""
    with c.cursor() as cursor:
        cursor.executemany(
            """UPDATE actions_asked SET back_to = least(back_to, %s), tried_from = least(tried_from, %s),
                      answered_at = greatest(answered_at, %s) WHERE security_id = %s""",
            [(first, first, at, number) for number, first in answered.items()],
        )


def rates_asked(c: psycopg.Connection, at: datetime) -> dict[str, date]:
    """Back to which day the rates of each currency were asked for; those to be asked for again by now are left out."""
    return dict(c.execute("SELECT currency, back_to FROM rates_asked WHERE next_at > %s", (at,)).fetchall())


def keep_rates_asked(c: psycopg.Connection, back_to: Mapping[str, date], next_at: datetime) -> None:
    """Note back to which day the rates of these currencies were asked for, and when to ask again."""
    with c.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO rates_asked VALUES (%s, %s, %s) ON CONFLICT (currency) DO UPDATE
               SET back_to = EXCLUDED.back_to, next_at = EXCLUDED.next_at""",
            [(currency, first, next_at) for currency, first in back_to.items()],
        )


def note(c: psycopg.Connection, feed: str, what: str, said: Mapping[str, str], numbers: Mapping[str, int]) -> None:
    """Keep what a feed said, by subject; `numbers`: the security that a subject is, where it is one."""
    with c.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO feed_troubles AS t (feed, what, subject, security_id, said) VALUES (%s, %s, %s, (SELECT security_id FROM securities WHERE security_id = %s), %s)
               ON CONFLICT (feed, what, subject) DO UPDATE SET said = EXCLUDED.said, security_id = EXCLUDED.security_id, last_at = clock_timestamp(), times = t.times + 1""",
            [(feed, what, subject, numbers.get(subject), words[:1000]) for subject, words in said.items()],
        )


def settle(c: psycopg.Connection, feed: str, what: str, subjects: Collection[str]) -> None:
    """Forget the trouble with what a feed answers well again."""
    c.execute(
        "DELETE FROM feed_troubles WHERE feed = %s AND what = %s AND subject = ANY (%s)", (feed, what, list(subjects))
    )


def troubles(user: UUID, security: int | None = None) -> Sequence[Trouble]:
    """Every trouble (with one security), by subject."""
    with engine.session(user) as c:
        rows = c.execute(
            """SELECT feed, what, subject, security_id, said, first_at, last_at, times FROM feed_troubles
                WHERE %(id)s::int IS NULL OR security_id = %(id)s ORDER BY subject, what, feed""",
            {"id": security},
        ).fetchall()
    return [Trouble(*row) for row in rows]
