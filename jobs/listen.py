"""Work that must not wait for the timetable: a thread that listens for a NOTIFY and works at once. To add one, its line in LISTENERS.

What is announced while nobody listens is not lost: the work is looked for once at the beginning, after every
reconnection and every `every` seconds. What there is to do stands in the database; the notification only says when to look.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic

import psycopg
import structlog
from psycopg import sql

from db import engine
from jobs.run import Worker

TRY = 0.5  # seconds between two attempts to reach the database
END = 1.0  # seconds that a thread gets to end
log = structlog.get_logger("listen")


@dataclass(frozen=True)
class Listener:
    """One thread: whenever somebody notifies `channel`, at the latest every `every` seconds, `work` is done.

    `work` does one piece and returns True while there is more to do. Whatever it raises is logged and goes no further; the
    next look tries again.
    """

    name: str
    channel: str
    work: Callable[[], bool]
    every: float


@contextmanager
def listening(listeners: Sequence[Listener], worker: Worker) -> Iterator[None]:
    """Run these while inside, as long as the worker leads. At the end each may finish the piece that it is at."""
    ears = [_Ear(each, worker) for each in listeners]
    for ear in ears:
        ear.start()
    try:
        yield
    finally:
        for ear in ears:
            ear.stop()
        deadline = monotonic() + END
        for ear in ears:
            ear.join(max(0.0, deadline - monotonic()))


class _Ear(Thread):
    """The thread of one listener."""

    def __init__(self, listener: Listener, worker: Worker) -> None:
        super().__init__(name=f"listen {listener.name}", daemon=True)
        self._listener, self._worker = listener, worker
        self._stopped = Event()
        self._bell, self._rings = socket.socketpair()  # rung to interrupt the wait for a notification

    def stop(self) -> None:
        """Begin nothing more; a thread that waits ends at once."""
        self._stopped.set()
        self._rings.close()

    def run(self) -> None:
        """Listen until stopped; a database that is away is tried again."""
        with self._bell:
            while not self._ends():
                try:
                    with _connection() as c:
                        c.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._listener.channel)))
                        self._serve(c)
                except psycopg.Error as error:
                    log.warning("no database", listener=self._listener.name, error=str(error).strip())
                    self._stopped.wait(TRY)

    def _ends(self) -> bool:
        return self._stopped.is_set() or self._worker.stopping.is_set()

    def _serve(self, c: psycopg.Connection) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(c.fileno(), selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._ends():
                while self._worker.piece(self._listener.name, self._listener.work) and not self._ends():
                    pass
                if selector.select(self._listener.every) and not self._stopped.is_set():
                    c.pgconn.consume_input()  # raises where the connection is gone
                    while c.pgconn.notifies():
                        pass  # one look serves them all


def _connection() -> psycopg.Connection:
    return psycopg.connect(
        engine.conninfo("ballast_jobs"),
        autocommit=True,
        connect_timeout=3,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=2,
        application_name="ballast listener",
    )
