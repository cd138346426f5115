"""Snapshots of every portfolio at every bucket, and the past brought up to date where the ledger changed."""

from __future__ import annotations

from datetime import datetime

import psycopg

from db import due as database
from db import engine, snapshots
from jobs.market_data import open_now, paced
from jobs.run import Write, slot
from settings import settings

SLOW = 3600  # seconds between two snapshots while every market is closed
RESTATE_EVERY = 5  # seconds
AT_ONCE = 200  # portfolios in one run: no snapshot is taken and nothing is booked in them meanwhile


def due(at: datetime) -> datetime | None:
    """A snapshot: every bucket while a market is open, else one an hour."""
    with engine.jobs() as c:
        is_open = open_now(c, at)
    return paced(at, settings.snapshot_every_minutes * 60, SLOW, is_open)


def take(at: datetime) -> Write:
    """The snapshot of the bucket of `at`."""

    def write(c: psycopg.Connection) -> dict[str, int]:
        return {"positions": snapshots.take(c, at, settings.snapshot_every_minutes, settings.coverage_limit)}

    return write


def restate_due(at: datetime) -> datetime | None:
    """A rebuild: only where there is something to rebuild."""
    with engine.jobs() as c:
        return slot(at, RESTATE_EVERY) if database.restatements(c) else None


def restate(at: datetime) -> Write:
    """Rebuild the stored past of the portfolios whose ledger changed."""

    def write(c: psycopg.Connection) -> dict[str, int]:
        return {"portfolios": snapshots.restate(c, at, settings.coverage_limit, AT_ONCE)}

    return write
