"""Carries out the tracked tasks, one after the other: the feeds are asked first, then one transaction writes everything.

Killed at any moment, nothing of a task is half there: it is done with the commit that also says so, or it is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import psycopg
import structlog

from core import plans
from core.ledger import Security
from core.master import MasterError
from core.plans import Plan, Step
from db import carrying, tasks
from db.carrying import Work
from db.market import Bar
from db.tasks import Claimed, TaskFailed
from jobs.feeds import FeedError, chain
from jobs.market_data import Feeds
from jobs.run import Worker
from settings import settings

HISTORY = timedelta(days=10 * 366)  # how far back the first price history goes
log = structlog.get_logger("tasks")


class Cancelled(Exception):
    """Somebody cancelled the task before its commit."""


class TakenAway(Exception):
    """Another process has the task now: this one hung for too long."""


def work_one(worker: Worker) -> bool:
    """Carry out the oldest queued task; whether there was one. Raises only what the database raises when it is away."""
    if worker.stopping.is_set() or not worker.leads():
        return False
    with tasks.beside() as c:
        if left := tasks.take_back(c):
            log.warning("taken up again", tasks=left)
        task = tasks.claim(c, worker.name)
        if task is None:
            return False
        _Run(c, task, worker).run()
    return True


class _Run:
    """One task under way."""

    def __init__(self, beside: psycopg.Connection, task: Claimed, worker: Worker) -> None:
        self.beside, self.task, self.worker = beside, task, worker
        self.here = log.bind(task=str(task.task_id), kind=task.kind, subject=task.plan.subject)
        self.at: int | None = None  # the step that is being done

    def run(self) -> None:
        """To its end: completed, failed or cancelled; a process that stops leaves it to the next."""
        number = self.task.task_id
        try:
            result = self._carry_out()
        except Cancelled:
            tasks.ended(self.beside, number, self.worker.name, self.at, None)
            self.here.info("cancelled")
        except TakenAway:
            self.here.warning("another process has it now")
        except (MasterError, TaskFailed) as error:
            tasks.ended(self.beside, number, self.worker.name, self.at, error)
            self.here.warning("failed", error=str(error))
        except psycopg.OperationalError as error:
            # the database went away, or was short of something: whoever leads next takes it up
            tasks.interrupted(self.beside, number, self.worker.name, self.at, error)
            raise
        except Exception as error:  # noqa: BLE001  the border: one task's trouble must not reach another's
            failure = TaskFailed(f"{type(error).__name__}: {error}")
            tasks.ended(self.beside, number, self.worker.name, self.at, failure)
            self.here.exception("failed")
        else:
            self.here.info("completed", **{k: v for k, v in result.items() if isinstance(v, int)})

    def _carry_out(self) -> dict[str, Any]:
        task, plan = self.task, self.task.plan
        asked = self._ask(plan)
        with tasks.working(task) as c:
            tasks.still_allowed(c, task)
            work = Work(c, plan, task.task_id, task.requested_by, datetime.now(UTC).date(), self._tick, asked)
            carrying.recheck(work)
            for n, step in enumerate(plan.steps):
                if step.action == "ask":
                    continue
                self.at = n
                tasks.begin_step(self.beside, task.task_id, n)
                self._tick(0)
                done, note = carrying.carry_out(work, step)
                tasks.end_step(self.beside, task.task_id, n, done, note)
            carrying.finish(work)
            number = plan.security_id or next(iter(work.numbers.values()), None) if len(work.numbers) < 2 else None
            result = {"security_id": number, "rows": work.written}
            if not self.worker.leads() or not tasks.completed(c, task.task_id, self.worker.name, _said(plan), result):
                self._tick(0)
                raise TakenAway
        return result

    def _tick(self, done: int) -> None:
        """Tell how far the step is. Raises Cancelled."""
        if self.at is not None and tasks.advance(self.beside, self.task.task_id, self.at, done):
            raise Cancelled

    def _ask(self, plan: Plan) -> Mapping[str, Sequence[Bar]]:
        """What the feeds have for a security that is to be added. Nothing is lost where they have nothing: bars come later."""
        for n, step in enumerate(plan.steps):
            if step.action == "ask":
                self.at = n
                tasks.begin_step(self.beside, self.task.task_id, n)
                self._tick(0)
                found, note = bars_for(step)
                tasks.end_step(self.beside, self.task.task_id, n, 0, note)
                return found
        return {}


def _said(plan: Plan) -> str:
    """The result in words."""
    deleted = any(step.action == "delete" and step.table == "securities" for step in plan.steps)
    done = {
        "add": "added",
        "edit": "changed",
        "remove": "deleted" if deleted else "retired",
        "reinstate": "reinstated",
    }.get(plan.kind)
    return f"{plan.subject} was {done}" if done else f"Done: {plans.public(plan).title}"


@lru_cache(maxsize=1)
def _feeds() -> Feeds:
    """Feeds of its own: those of the timetable are busy in other threads."""
    return Feeds(chain(settings.feeds))


def bars_for(
    step: Step, today: Callable[[], date] = lambda: datetime.now(UTC).date()
) -> tuple[Mapping[str, Sequence[Bar]], str]:
    """(bars by feed, a note) for the securities that a step names."""
    securities = []
    for row in step.rows:
        exchange, symbol = row["security_id"].split(":", 1)
        securities.append(Security(0, symbol, row["name"], exchange, row["currency"], row["asset_class"]))
    try:
        answer = _feeds().bars(securities, today() - HISTORY, today())
    except FeedError as error:
        return {}, f"no feed answered ({error}); prices come when one does"
    found = {feed: bars for feed, bars in answer.rows.items() if bars}
    named = ", ".join(f"{len(bars):,} bar{'' if len(bars) == 1 else 's'} from {feed}" for feed, bars in found.items())
    return found, named or f"no feed has it (asked: {', '.join(settings.feeds)})"
