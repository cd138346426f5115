"""Makes an installation ready: schema, trading calendars, demo. `python -m jobs.setup`; `run.py` calls it at every start.

Where nothing is to be done it costs a few queries and no heavy import.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from db import embedded, engine, installation
from settings import settings

if TYPE_CHECKING:
    from jobs.calendars import Computing

AHEAD = timedelta(days=30)  # sessions must be known this far ahead


def main() -> None:
    """Do what is missing."""
    now = datetime.now(UTC)
    computing = None
    if settings.embedded and not embedded.server_dir(settings.data_dir).exists():
        computing = _computing(now)  # takes seconds: beside the making of the database
    with embedded.hold():
        try:
            if computing is None and _is_new():
                computing = _computing(now)
            if engine.ensure():
                _say("schema: brought to the newest revision")
            with engine.owner() as c:
                due = installation.calendars_due(c, (now + AHEAD).date())
                demo = settings.demo and installation.fact(c, "demo") is None
            if due and computing is None:
                computing = _computing(now, due)
            if demo:
                from jobs.demo import load

                load(now, computing)
            elif due and computing is not None:
                _write_calendars(computing)
        finally:
            if computing is not None:
                computing.stop()
            engine.close()


def _is_new() -> bool:
    """Whether the database has no schema yet: then the calendars can be computed while it is made."""
    import psycopg

    from db.migrate import revision_of

    try:
        with psycopg.connect(engine.conninfo("ballast_owner")) as c:
            return revision_of(c) is None
    except psycopg.OperationalError:
        return True


def _computing(now: datetime, due: list[str] | None = None) -> Computing:
    from jobs.calendars import CALENDARS, Computing

    return Computing(due if due is not None else list(CALENDARS), now.date())


def _write_calendars(computing: Computing) -> None:
    from db import market

    for exchange, rows in computing:
        with engine.jobs() as c:
            _say(f"calendar {exchange}: {market.upsert_sessions(c, exchange, rows):,} sessions")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
