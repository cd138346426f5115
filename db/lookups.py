"""What people ask the feeds about a security they want to add: the page asks by a row, the scheduler answers in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from core.ledger import LedgerError
from core.profiles import Profile, question
from core.taxonomy import Sector
from db import engine
from db.access import AccessDenied

WAITING = 10  # questions of one person that may be open at a time
CLAIM = "15 seconds"  # for which a question is its claimer's: after it, somebody else may take it up
FRESH = "1 minute"  # for which the answer to a question is good for the same question again
TRIES = 3


class NoSuchLookup(LookupError):
    """There is no such question, or it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question and what became of it: asked, answered (`error` then says what no feed could say) or failed."""

    lookup_id: UUID
    asked: str
    asked_at: datetime
    state: str
    answered_at: datetime | None
    candidates: tuple[Profile, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Open:
    """A question that waits for its answer."""

    lookup_id: UUID
    asked: str


def ask(user: UUID, text: str) -> UUID:
    """Ask what a symbol, EXCHANGE:SYMBOL, ISIN or name is; who asks the same again gets the same answer. LedgerError, AccessDenied for those who add nothing."""
    text = question(text)
    with engine.session(user) as c:
        role = c.execute("SELECT role FROM users WHERE user_id = app_user()").fetchone()
        if role is None or role[0] == "viewer":
            raise AccessDenied("a viewer adds no securities, and so looks none up")
        same = c.execute(
            "SELECT lookup_id FROM lookups WHERE asked = %s AND (state = 'asked' OR state = 'answered' AND error IS NULL "
            "AND answered_at > now() - %s::interval) ORDER BY asked_at DESC LIMIT 1",
            (text, FRESH),
        ).fetchone()
        if same is not None:
            found: UUID = same[0]
            return found
        waiting = c.execute("SELECT count(*) FROM lookups WHERE state = 'asked'").fetchone()
        if waiting is not None and waiting[0] >= WAITING:
            raise LedgerError("text", text, f"one at a time: {waiting[0]} of your questions wait for an answer")
        row = c.execute(
            "INSERT INTO lookups (asked, asked_by) VALUES (%s, %s) RETURNING lookup_id", (text, user)
        ).fetchone()
    assert row is not None
    number: UUID = row[0]
    return number


def answer_of(user: UUID, lookup_id: UUID) -> Lookup:
    """How a question of one's own stands. Raises NoSuchLookup."""
    with engine.session(user) as c:
        row = c.execute(
            "SELECT lookup_id, asked, asked_at, state, answered_at, candidates, error FROM lookups WHERE lookup_id = %s",
            (lookup_id,),
        ).fetchone()
    if row is None:
        raise NoSuchLookup("there is no such lookup, or it is somebody else's")
    number, asked, at, state, answered_at, candidates, error = row
    return Lookup(number, asked, at, state, answered_at, tuple(Profile.from_json(p) for p in candidates), error)


def is_claimed(user: UUID, lookup_id: UUID) -> bool:
    """Whether somebody works on a question of one's own."""
    with engine.session(user) as c:
        row = c.execute(
            "SELECT claimed_at > now() - %s::interval FROM lookups WHERE lookup_id = %s", (CLAIM, lookup_id)
        ).fetchone()
    return bool(row and row[0])


def open_ones(c: psycopg.Connection) -> list[Open]:
    """The questions that nobody works on, oldest first. Such as were taken up in vain too often fail here."""
    c.execute(
        "UPDATE lookups SET state = 'failed', answered_at = now(), error = 'the question could not be worked on; the log of the scheduler says why' "
        "WHERE state = 'asked' AND attempts >= %s AND claimed_at < now() - %s::interval",
        (TRIES, CLAIM),
    )
    rows = c.execute(
        "SELECT lookup_id, asked FROM lookups WHERE state = 'asked' AND (claimed_at IS NULL OR claimed_at < now() - %s::interval) ORDER BY asked_at",
        (CLAIM,),
    ).fetchall()
    return [Open(*row) for row in rows]


def claim(c: psycopg.Connection) -> Open | None:
    """Take up the oldest question that nobody works on, None where there is none."""
    if not open_ones(c):
        return None
    row = c.execute(
        "UPDATE lookups SET claimed_at = clock_timestamp(), attempts = attempts + 1 WHERE lookup_id = (SELECT lookup_id FROM lookups "
        "WHERE state = 'asked' AND (claimed_at IS NULL OR claimed_at < now() - %s::interval) ORDER BY asked_at "
        "FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING lookup_id, asked",
        (CLAIM,),
    ).fetchone()
    return Open(*row) if row else None


def answered(c: psycopg.Connection, lookup_id: UUID, profiles: Sequence[Profile], error: str | None = None) -> None:
    """Write the answer; a question that has one keeps it. Without profiles `error` says why."""
    _close(c, lookup_id, "answered", profiles, error)


def failed(c: psycopg.Connection, lookup_id: UUID, error: str) -> None:
    """Write that nobody could be asked, and why."""
    _close(c, lookup_id, "failed", (), error)


def _close(c: psycopg.Connection, lookup_id: UUID, state: str, profiles: Sequence[Profile], error: str | None) -> None:
    c.execute(
        "UPDATE lookups SET state = %s, answered_at = clock_timestamp(), candidates = %s, error = %s WHERE lookup_id = %s AND state = 'asked'",
        (state, Jsonb([profile.as_json() for profile in profiles]), error, lookup_id),
    )


def sectors(c: psycopg.Connection) -> list[Sector]:
    """The taxonomy: (sector, industry, subsector)."""
    return c.execute("SELECT sector, industry, subsector FROM sectors ORDER BY 1, 2, 3").fetchall()
