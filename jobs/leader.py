"""Which of several scheduled processes works: the one that holds an advisory lock in the database.

The lock lives as long as the connection. A killed leader's ends at once; the server ends that of a hung one after
IDLE seconds without a ping. A leader that cannot ping steps down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event

import psycopg
import structlog

from db import engine, runs
from jobs.run import Worker

LOCK = 0x42414C4C53434844
PING = 1.0  # seconds between two pings of the leader
IDLE = 5  # seconds without a ping after which the server ends the leader's connection
TRY = 0.5  # seconds between two attempts of the others
log = structlog.get_logger("leader")


class Term:
    """The time for which this process leads."""

    def __init__(self) -> None:
        self.confirmed = time.monotonic()

    def stands(self) -> bool:
        """Whether the lock is sure to be ours: a process that hung must not work before it has looked."""
        return time.monotonic() - self.confirmed < IDLE - PING


def campaign(
    stopping: Event,
    serve: Callable[[Worker], AbstractContextManager[None]],
    revive: Callable[[], object] = lambda: None,
) -> None:
    """Try to lead until told to stop; while leading, be inside `serve`. `revive` is called where the database is away."""
    while not stopping.is_set():
        try:
            with _connection() as c:
                if _elected(c, stopping):
                    _lead(c, stopping, serve)
        except psycopg.OperationalError as error:
            log.warning("no database", error=str(error).strip())
            stopping.wait(TRY)
            if not stopping.is_set():
                revive()


@contextmanager
def _connection() -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(
        engine.conninfo("ballast_jobs"),
        autocommit=True,
        connect_timeout=3,
        keepalives_idle=5,
        tcp_user_timeout=5000,
        application_name="ballast leader",
    )
    with connection as c:
        yield c


def _elected(c: psycopg.Connection, stopping: Event) -> bool:
    """Wait for the lock; False where the process is to stop."""
    waiting = False
    while not stopping.is_set():
        row = c.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row and row[0]:
            return True
        if not waiting:
            log.info("another process leads; standing by")
            waiting = True
        stopping.wait(TRY)
    return False


def _lead(c: psycopg.Connection, stopping: Event, serve: Callable[[Worker], AbstractContextManager[None]]) -> None:
    c.execute(f"SET idle_session_timeout = '{IDLE}s'")
    term = Term()
    worker = Worker(stopping, term.stands)
    with engine.jobs() as jobs:
        left = runs.abandon(jobs, worker.name)
    log.info("leading", worker=worker.name, abandoned=left)
    with serve(worker):
        while not stopping.wait(PING):
            c.execute("SELECT 1")  # raises where the lock is gone
            term.confirmed = time.monotonic()
