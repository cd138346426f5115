"""Running one job of the timetable: is it due, claim the run, do the work with retries, record how it went.

A run is a row, unique by (job, time it was scheduled for): whoever inserts it works, everybody else lets it be. What the
work writes and the news that it succeeded are one transaction. Whatever goes wrong stays within the run.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Condition, Event
from typing import Any

import psycopg
import structlog
import tenacity

from db import engine, runs
from jobs.feeds import FeedError, Resting

ATTEMPTS = 4  # the first and three retries, after 1, 2 and 4 s, each × 0.5…1.5
PASSING = (FeedError, psycopg.OperationalError, OSError)  # what may be better a moment later
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Write = Callable[[psycopg.Connection], dict[str, Any]]
log = structlog.get_logger("jobs")


@dataclass(frozen=True)
class Job:
    """One line of the timetable. Every `every` seconds `due` says which run is to be done, or None.

    `work` fetches whatever it needs, outside any transaction, and returns what is to be written.
    """

    name: str
    every: int
    due: Callable[[datetime], datetime | None]
    work: Callable[[datetime], Write]
    deadline: float = 60.0  # seconds; no retry begins after it


@dataclass
class Worker:
    """Who runs jobs: one for each time that this process became leader."""

    stopping: Event
    leads: Callable[[], bool] = lambda: True
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}")
    running: set[str] = field(default_factory=set)
    _quiet: Condition = field(default_factory=Condition)

    def run(self, job: Job) -> None:
        """One run of a job, if it is due, nobody else has it and none of it runs here. Never raises."""
        if self.stopping.is_set() or not self.leads():
            return
        with self.busy(job.name) as free:
            if not free:
                return
            try:
                _run(job, self)
            except Exception:  # the border: one job's trouble must not reach another's
                log.exception("the run could not be recorded", job=job.name)

    def piece(self, name: str, work: Callable[[], bool]) -> bool:
        """One piece of work that is no run of the timetable, on the same terms; whether there is more. Never raises."""
        if self.stopping.is_set() or not self.leads():
            return False
        with self.busy(name) as free:
            try:
                return free and work()
            except psycopg.OperationalError as error:
                log.warning("no database", job=name, error=str(error).strip())
            except Exception:  # the border, as above
                log.exception("a piece of work failed", job=name)
        return False

    @contextmanager
    def busy(self, name: str) -> Iterator[bool]:
        """Counts as running meanwhile; False where something of this name runs already."""
        with self._quiet:
            free = name not in self.running
            self.running.add(name)
        try:
            yield free
        finally:
            if free:
                with self._quiet:
                    self.running.discard(name)
                    self._quiet.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing runs any more, no longer than this; whether that came about."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self.running, seconds)


def slot(at: datetime, every: int, after: int = 0) -> datetime:
    """The time that a run at `at` was scheduled for: the last multiple of `every` seconds (and `after`). The same everywhere."""
    seconds = (int((at - EPOCH).total_seconds()) - after) // every * every + after
    return EPOCH + timedelta(seconds=seconds)


def _wait(state: tenacity.RetryCallState) -> float:
    return float(2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5))


def _run(job: Job, worker: Worker) -> None:
    at = datetime.now(UTC)
    try:
        scheduled_for = job.due(at)
        if scheduled_for is None:
            return
        with engine.jobs() as c:
            run = runs.claim(c, job.name, scheduled_for, worker.name)
    except psycopg.OperationalError as error:
        log.warning("no database", job=job.name, error=str(error).strip())
        return
    if run is None:
        return
    here = log.bind(job=job.name, run=str(run))
    began, attempt = time.monotonic(), 0

    def once() -> dict[str, Any]:
        nonlocal attempt
        attempt += 1
        write = job.work(at)
        with engine.jobs() as c:
            detail = write(c)
            runs.succeeded(c, run, detail, attempt)
        return detail

    def again(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        here.warning("another attempt", attempt=attempt, error=str(error))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, PASSING) and not isinstance(error, Resting)),
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(ATTEMPTS),
            tenacity.stop_before_delay(job.deadline),
            tenacity.stop_when_event_set(worker.stopping),
        ),
        wait=_wait,
        sleep=tenacity.sleep_using_event(worker.stopping),
        before_sleep=again,
        reraise=True,
    )
    try:
        detail = retrying(once)
    except Exception as error:  # noqa: BLE001  the border: whatever a job raises becomes a recorded failure
        if worker.stopping.is_set() and isinstance(error, PASSING):
            here.warning("stopped in mid-run; the next leader takes it up", error=str(error))
            return
        what = f"{type(error).__name__}: {error}"
        here.error(
            "failed", seconds=_since(began), attempts=attempt, error=what, exc_info=not isinstance(error, PASSING)
        )
        with engine.jobs() as c:
            runs.failed(c, run, job.name, what, attempt)
        return
    level = here.info if detail else here.debug
    level("done", seconds=_since(began), attempts=attempt, **detail)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
