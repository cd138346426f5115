"""Splits that the feeds know, booked by the installation itself where BOOK_SPLITS is on: a tracked task for each portfolio that lacks some.

Each is booked once: not where the ledger has it, not where a task is about to, not where somebody took it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from db import tasks, unbooked
from jobs.run import Write, slot
from settings import settings

EVERY = 600  # seconds


def due(at: datetime) -> datetime | None:
    """A run every ten minutes, where it is set."""
    return slot(at, EVERY) if settings.book_splits else None


def ask(at: datetime) -> Write:
    """Ask for the tasks; `jobs.tasks` carries them out."""
    today = at.astimezone(UTC).date()

    def write(c: psycopg.Connection) -> dict[str, Any]:
        plans = unbooked.own_plans(c, today)
        for plan in plans:
            tasks.request_own(c, plan)
        return {"asked": len(plans)}

    return write
