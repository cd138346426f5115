"""Idempotency keys of requests: what was asked under a key, and what was answered, so that asking again does nothing twice.

A key is one person's and is kept for a day. What books keeps its key in the ledger too, for good (`db.ledger.append`), and a
task keeps its own (`db.tasks.request`): their repetition is harmless even where this process died between commit and answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from db import engine

ABANDONED = "60 seconds"  # after which a request without an answer is taken to have died


class KeyReused(ValueError):
    """An idempotency key comes a second time, with another request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r}: you sent it with another request before; choose another key")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given before; `body` None: it is not kept, the request is to be carried out again."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class AtWork:
    """The same request is being carried out at this moment."""


def claim(user: UUID, key: str, request: bytes) -> Kept | AtWork | None:
    """Begin a request under a key: None where it is to be carried out now, else what became of the same one before.

    `request` is its digest. Raises KeyReused where the key came with another request.
    """
    with engine.session(user) as c:
        c.execute("SELECT forget_request_keys()")
        claimed = c.execute(
            "INSERT INTO request_keys (user_id, key, request) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (user, key, request),
        ).rowcount
        if claimed:
            return None
        row = c.execute(
            "SELECT request, status, headers, answer, claimed_at < now() - %s::interval FROM request_keys "
            "WHERE user_id = %s AND key = %s FOR UPDATE",
            (ABANDONED, user, key),
        ).fetchone()
        if row is None:  # withdrawn in this very moment: the caller asks again
            return AtWork()
        was, status, headers, answer, abandoned = row
        if was != request:
            raise KeyReused(key)
        if status is not None and answer is not None:
            return Kept(status, headers, answer)
        if status is None and not abandoned:
            return AtWork()
        c.execute(
            "UPDATE request_keys SET claimed_at = clock_timestamp(), status = NULL WHERE user_id = %s AND key = %s",
            (user, key),
        )
        return None


def keep(user: UUID, key: str, answered: Kept) -> None:
    """Write down the answer to a request."""
    with engine.session(user) as c:
        c.execute(
            "UPDATE request_keys SET status = %s, headers = %s, answer = %s WHERE user_id = %s AND key = %s",
            (answered.status, Jsonb(dict(answered.headers)), answered.body, user, key),
        )


def withdraw(user: UUID, key: str) -> None:
    """Forget a request that changed nothing: its key is free again."""
    with engine.session(user) as c:
        c.execute("DELETE FROM request_keys WHERE user_id = %s AND key = %s AND status IS NULL", (user, key))
