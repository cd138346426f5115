"""Column maps that people keep: for a file whose header has the same columns the map is found again."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from core.brokers import ColumnMap
from core.ledger import (
    LedgerError,
)
from core.recognition import KeptMap, checked_map_name, fingerprint
from db import engine
from db.access import AccessDenied


class NoSuchMap(LookupError):
    """There is no such column map, or it is somebody else's."""


def kept(c: psycopg.Connection, user: UUID) -> list[KeptMap]:
    return [
        KeptMap(number, name, print_, ColumnMap.from_json(stored), owner is None, by == user)
        for number, name, print_, stored, owner, by in c.execute(
            "SELECT map_id, name, fingerprint, mapping, user_id, created_by FROM import_maps ORDER BY name, created_at"
        ).fetchall()
    ]


def maps(user: UUID) -> list[KeptMap]:
    """The column maps that somebody may use, by name."""
    with engine.session(user) as c:
        return kept(c, user)


def keep_map(user: UUID, name: str, column_map: ColumnMap, columns: Sequence[str], shared: bool = False) -> UUID:
    """Keep a map for files with these columns; of the same name it takes the place of the old one. LedgerError, AccessDenied."""
    name = checked_map_name(name)
    missing = [theirs for theirs in column_map.columns.values() if theirs not in columns]
    if missing:
        raise LedgerError("columns", missing[0], f"the file has {', '.join(columns)}")
    with engine.session(user) as c:
        role = c.execute("SELECT role FROM users WHERE user_id = app_user()").fetchone()
        if role is None or role[0] == "viewer":
            raise AccessDenied("a viewer imports nothing, and so keeps no column map")
        try:
            row = c.execute(
                "INSERT INTO import_maps (user_id, name, fingerprint, mapping, created_by) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (user_id, name) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, mapping = EXCLUDED.mapping RETURNING map_id",
                (None if shared else user, name, fingerprint(columns), Jsonb(column_map.as_json()), user),
            ).fetchone()
        except psycopg.errors.InsufficientPrivilege as e:
            raise AccessDenied(f"{name} is somebody else's: choose another name") from e
    assert row is not None
    number: UUID = row[0]
    return number


def drop_map(user: UUID, map_id: UUID) -> None:
    """Forget a map. Raises NoSuchMap where it is not one's own."""
    with engine.session(user) as c:
        if c.execute("DELETE FROM import_maps WHERE map_id = %s", (map_id,)).rowcount == 0:
            raise NoSuchMap("there is no such column map, or it is somebody else's")
