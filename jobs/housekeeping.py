"""Once a day: old runs, tasks, notices and expired sign-ins go, the trading calendars are brought up to date."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import psycopg

from db import engine, upkeep
from jobs.run import Write, slot
from settings import ROOT, settings

DAY = 86400
CLEAN_AT = 3 * 3600 + 600  # seconds after midnight UTC
CALENDARS_LIMIT = 300.0  # seconds

_calendars: subprocess.Popen[str] | None = None


def clean_due(at: datetime) -> datetime | None:
    """Every day at 03:10 UTC, and at once where somebody asked."""
    scheduled = slot(at, DAY, after=CLEAN_AT)
    with engine.jobs() as c:
        run, asked = upkeep.waiting(c, "housekeeping", scheduled)
    return run if asked else scheduled


def clean(at: datetime) -> Write:
    """Drop what is kept for a time only."""

    def write(c: psycopg.Connection) -> dict[str, Any]:
        return dict(upkeep.clean_up(c, settings.task_retention_days))

    return write


def calendars_due(at: datetime) -> datetime | None:
    """Every day at 03:20 UTC."""
    return slot(at, DAY, after=3 * 3600 + 1200)


def calendars(at: datetime) -> Write:
    """Compute the trading calendars in a process of its own, which takes its pandas with it when it ends."""
    global _calendars
    began = time.monotonic()
    command = [sys.executable, "-m", "jobs.calendars"]
    process = _calendars = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = process.communicate(timeout=CALENDARS_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    finally:
        _calendars = None
    if process.returncode:
        raise ChildProcessError(f"python -m jobs.calendars ended with {process.returncode}: {said.strip()[-1000:]}")
    return lambda c: {"child_seconds": round(time.monotonic() - began, 1)}


def stop() -> None:
    """End the child process, where one runs: the process is about to stop."""
    if _calendars is not None:
        _calendars.terminate()
