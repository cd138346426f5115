"""The timetable: `python -m jobs`. To add a job, write its `due` and its `work`, and its line in TIMETABLE.
Work that must not wait for the timetable has a line in LISTENERS (`jobs.listen`).

Several of these processes may run; one works (`jobs.leader`), the others stand by. SIGTERM and Ctrl-C end it: the running
jobs get a few seconds to finish.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from db import embedded, engine
from db.embedded import EmbeddedError
from db.tasks import CHANNEL
from jobs import (
    actions,
    close_of_day,
    housekeeping,
    lookups,
    market_data,
    notices,
    snapshots,
    split_booking,
    tasks,
    upkeep,
)
from jobs.leader import campaign
from jobs.listen import Listener, listening
from jobs.run import EPOCH, Job, Worker
from settings import ROOT, settings

GRACE = 4.0  # seconds for running jobs to finish once the process is told to stop
log = structlog.get_logger("jobs")

# name, how often to look (seconds), which run is due, the work, until when to retry (seconds)
TIMETABLE = (
    Job("quotes", settings.quotes_every_seconds, market_data.due, market_data.quotes, 30),
    Job("snapshots", settings.snapshot_every_minutes * 60, snapshots.due, snapshots.take),
    Job("restate", snapshots.RESTATE_EVERY, snapshots.restate_due, snapshots.restate),
    Job("close_of_day", 60, close_of_day.due, close_of_day.close_of_day, 300),
    Job("actions", 60, actions.due, actions.actions, 300),
    Job("book_splits", 60, split_booking.due, split_booking.ask),
    Job("housekeeping", upkeep.LOOK, housekeeping.clean_due, housekeeping.clean),
    Job("calendars", 600, housekeeping.calendars_due, housekeeping.calendars, 300),
    *upkeep.TIMETABLE,
)

# what must not wait for the timetable: a thread each
LISTENERS: tuple[Listener, ...] = (
    Listener("lookups", lookups.CHANNEL, lookups.work, lookups.EVERY),
    Listener("notices", notices.CHANNEL, notices.work, notices.EVERY),
)


@contextmanager
def serve(worker: Worker) -> Iterator[None]:
    """Work by the timetable: each job once at once, for what was missed, then at the multiples of its interval."""
    scheduler = BackgroundScheduler(
        timezone=UTC,
        executors={"default": {"type": "threadpool", "max_workers": len(TIMETABLE)}},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
    )
    scheduler.add_listener(_tell, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
    for job in TIMETABLE:
        trigger = IntervalTrigger(seconds=job.every, start_date=EPOCH, timezone=UTC)
        scheduler.add_job(worker.run, trigger, args=[job], id=job.name)
        scheduler.add_job(worker.run, args=[job], id=f"{job.name} at once")
    scheduler.start()
    try:
        carrying_out = Listener("tasks", CHANNEL, partial(tasks.work_one, worker), 2.0)
        with listening((*LISTENERS, carrying_out), worker):
            yield
    finally:
        if scheduler.running:
            scheduler.pause()
        housekeeping.stop()
        if not worker.wait(GRACE if worker.stopping.is_set() else 0.0):
            log.warning("left in mid-run", jobs=sorted(worker.running))
        scheduler.shutdown(wait=False)
        log.info("no longer leading", worker=worker.name)


def _tell(event: JobExecutionEvent) -> None:
    """A run that did not start: the process was busy or asleep. The next one makes up for it."""
    late = "the one before still runs" if event.code == EVENT_JOB_MAX_INSTANCES else "too late"
    log.warning("misfire", job=event.job_id, why=late)


def write_logs() -> None:
    """Everything that is logged goes to standard error, for people or as one JSON object a line."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        last: list[Any] = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=str)]
    else:
        last = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # misfires are told above, failures by the run


def main() -> int:
    """Run until told to stop; 0 then, 1 where there is no database to start with."""
    write_logs()
    stopping = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopping.set())
    began = datetime.now(UTC)
    workers: list[Worker] = []

    @contextmanager
    def working(worker: Worker) -> Iterator[None]:
        workers.append(worker)
        with serve(worker):
            yield

    try:
        with embedded.hold() as server:
            if subprocess.run([sys.executable, "-m", "db.migrate"], cwd=ROOT, check=False).returncode:
                return 1
            log.info("started", feeds=",".join(settings.feeds), embedded=settings.embedded)
            campaign(stopping, working, server.ensure_running if server else partial(bool))
            engine.close()
    except EmbeddedError as error:
        log.error("no database", error=str(error))
        return 1
    log.info("stopped", since=began.isoformat(timespec="seconds"))
    if any(worker.running for worker in workers):  # a thread that does not end would keep the process
        sys.stderr.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
