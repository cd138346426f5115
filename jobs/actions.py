"""Dividends and splits of what is tracked: those that have been, and those announced, from the feeds that know them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from db import engine, installation, market
from jobs.market_data import feeds
from jobs.run import Write, slot

EVERY = 6 * 3600  # seconds
BACK = timedelta(days=3 * 366)  # what says how often and how much a security pays
AHEAD = timedelta(days=400)


def due(at: datetime) -> datetime | None:
    """A run every six hours, where there is anything to ask for."""
    if feeds().resting():
        return None
    with engine.jobs() as c:
        tracked = market.tracked(c)
    return slot(at, EVERY) if tracked else None


def actions(at: datetime) -> Write:
    """Three years back and as far ahead as is announced; the same again changes nothing."""
    with engine.jobs() as c:
        tracked = market.tracked(c)
        currencies = set(installation.currencies(c))
    today = at.astimezone(UTC).date()
    answer = feeds().actions(tracked, today - BACK, today + AHEAD)

    def write(c: psycopg.Connection) -> dict[str, Any]:
        changed, unknown = 0, set()
        for name, given in answer.rows.items():
            unknown |= {a.currency for a in given if a.currency is not None and a.currency not in currencies}
            changed += market.upsert_actions(c, [a for a in given if a.currency in {None, *currencies}], name)
        detail = {"changed": changed} | answer.detail()
        return detail | ({"unknown_currencies": sorted(unknown)} if unknown else {})

    return write
