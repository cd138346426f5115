"""Tasks while the scheduled process is killed at random points, and while two people ask for the same at once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from conftest import Database
from small import Small, build
from test_scheduler import Scheduler, until
from test_tasks import rows, worked

from core.master import DuplicateSymbol
from core.plans import Plan, adding
from db import audit, master, tasks
from db.access import User
from jobs.__main__ import TIMETABLE
from jobs.run import Worker
from jobs.tasks import work_one

KILLS = 50
RACES = 200
CELLS = {"exchange": "XNYS", "asset_class": "Equity", "sector": "Energy", "price": "12.5", "dividend_frequency": "quarterly",
         "dividend": "0.1", "dividend_ex_on": "2026-01-05"}  # fmt: skip


@pytest.fixture
def small(database: Database) -> Small:
    return build(database)


@pytest.fixture
def start(small: Small, tmp_path: Path) -> Iterator[Callable[[], Scheduler]]:
    started: list[Scheduler] = []

    def one() -> Scheduler:
        environment = {
            "FEEDS": "csv",
            "PRICE_CSV_DIR": str(tmp_path),
            "QUOTES_EVERY_SECONDS": "3600",
            "LOG_FORMAT": "json",
        }
        started.append(Scheduler(tmp_path / f"{len(started)}.log", environment))
        return started[-1]

    yield one
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def several(user: User, prefix: str, count: int) -> Plan:
    """A bulk of new securities."""
    known = master.known(user)
    drafts = [master.draft_of(known, CELLS | {"symbol": f"{prefix}{i}"}) for i in range(count)]
    return Plan("bulk", f"Add {count}", f"{prefix}.csv", adding(drafts, known.today, user.username))


class Book:
    """What was asked for, and what must be there for it once it has ended."""

    def __init__(self, small: Small) -> None:
        self.small, self.ben = small, small.user("ben")
        self.added: list[str] = []  # symbols that are there and may be removed
        self.asked: dict[UUID, tuple[str, Plan]] = {}

    def ask(self, n: int) -> UUID:
        """Something of each kind in turn: an addition, a bulk, a change, a removal."""
        kind = ("add", "bulk", "edit", "add", "remove")[n % 5]
        if kind == "add":
            plan = master.plan_add(self.ben, CELLS | {"symbol": f"ONE{n}"})
        elif kind == "bulk":
            plan = several(self.ben, f"MANY{n}X", 12)
        elif kind == "edit":
            plan = master.plan_edit(
                self.ben, "BOLT", {"sector": "Materials" if n % 2 else "Utilities", "rating": f"A{n}"}
            )
        else:
            plan = master.plan_remove(self.ben, self.added.pop(random.randrange(len(self.added))))
        task = tasks.request(self.ben, plan, {})
        self.asked[task] = (kind, plan)
        return task

    def wait(self, task: UUID, for_it: Callable[[tasks.Task], bool]) -> None:
        """Until the task is so."""
        until(lambda: for_it(tasks.task_of(self.ben, task)), 120)

    def check(self, task: UUID) -> str:
        """Whole or not at all: every row of the plan once, or none of them."""
        kind, plan = self.asked[task]
        ended = tasks.task_of(self.ben, task)
        assert ended.status in ("completed", "failed"), ended
        done = ended.status == "completed"
        assert (
            {s.status for s in ended.steps} == {"completed"}
            if done
            else "completed" not in {s.status for s in ended.steps[1:]}
        )
        if kind in ("add", "bulk"):
            symbols = [row["symbol"] for step in plan.steps if step.table == "securities" for row in step.rows]
            for table in (
                "securities",
                "security_symbols",
                "security_classifications",
                "asset_prices",
                "price_history",
                "corporate_actions",
            ):
                found = rows(self.small, f"SELECT s.symbol, count(*) FROM {table} JOIN securities s USING (security_id) WHERE s.symbol = ANY (%s) GROUP BY 1",
                             symbols)  # fmt: skip
                assert dict(found) == (dict.fromkeys(symbols, 1) if done else {}), table
            self.added += symbols if done else []
        elif kind == "edit":
            kept = rows(self.small, "SELECT rating FROM securities WHERE symbol = 'BOLT'")
            assert (kept == [(plan.steps[0].rows[0]["rating"],)]) is done
        else:
            for table in master.CHILDREN:
                found = rows(self.small, f"SELECT count(*) FROM {table} WHERE security_id = %s", plan.security_id)
                assert (found == [(0,)]) is done or table in ("price_arrays", "security_matches"), table
        return ended.status


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("scheduler")
def test_killed_at_random_points_every_task_is_whole_or_not_there_and_none_runs_twice(
    small: Small, start: Callable[[], Scheduler]
) -> None:
    """While one process works another stands by; the one that works is killed with -9 in the middle of a task."""
    with small.database.owner() as c:  # so that a task takes long enough to be hit
        c.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.012); RETURN NEW; END $$"
        )
        c.execute("GRANT EXECUTE ON FUNCTION slow() TO ballast_jobs")
        c.execute("CREATE TRIGGER slow BEFORE UPDATE ON task_steps FOR EACH ROW EXECUTE FUNCTION slow()")
        for job in (
            "calendars",
            "close_of_day",
            "housekeeping",
        ):  # done for today: a process that starts has nothing else to do
            due = next(j for j in TIMETABLE if j.name == job).due(small.now)
            c.execute(
                "INSERT INTO job_runs (job, scheduled_for, status, worker) VALUES (%s, %s, 'succeeded', 'test') ON CONFLICT DO NOTHING",
                (job, due),
            )
    book, random_points = Book(small), random.Random(20260101)
    both = [start(), start()]
    hit: Counter[str] = Counter()
    for n in range(KILLS):
        until(lambda: any(each.leads() for each in both), 60)
        task = book.ask(n)
        leader = next(each for each in both if each.leads())
        book.wait(task, lambda found: found.status != "queued")
        time.sleep(random_points.uniform(0, 0.45))
        os.kill(leader.pid, signal.SIGKILL)
        leader.process.wait()
        at = tasks.task_of(book.ben, task)
        hit[f"{at.status} at step {at.current_step}"] += 1
        both.remove(leader)
        both.append(start())
        book.wait(task, lambda found: not found.is_open)
        book.check(task)
    for task in book.asked:  # and nothing moved afterwards
        assert not tasks.task_of(book.ben, task).is_open
    began = rows(small, "SELECT sum(attempts) FROM tasks")[0][0]
    assert began > KILLS, "no task was hit while it ran"
    assert len([k for k in hit if k.startswith("running")]) >= 4, hit
    assert rows(
        small, "SELECT count(*) FROM (SELECT security_id FROM security_symbols GROUP BY 1 HAVING count(*) > 1) twice"
    ) == [(0,)]
    told = rows(
        small,
        "SELECT entity_key, count(*) FROM audit_log WHERE entity = 'securities' AND action = 'inserted' AND task_id IS NOT NULL GROUP BY 1",
    )
    assert told
    assert {count for _, count in told} == {1}, "the trail tells of something that was done twice"
    with small.database.owner() as c:
        assert not audit.verify(c).findings


def test_two_people_add_the_same_symbol_at_once(small: Small) -> None:
    """Both have seen the same plan. Exactly one wins; the other is told that it is a duplicate symbol, now or by the task."""
    people = [small.user("anna"), small.user("ben")]
    known = master.known(people[0])
    for n in range(RACES):
        draft = master.draft_of(known, CELLS | {"symbol": f"SAME{n}"})
        plans = [Plan("add", f"Add {draft.symbol}", draft.listing, adding([draft], known.today, p.username),
                      claim=draft.listing if n % 2 else None) for p in people]  # fmt: skip
        line, told = threading.Barrier(2), []

        def ask(who: int, line: threading.Barrier = line, told: list[str] = told, plans: list[Plan] = plans) -> None:
            line.wait()
            try:
                tasks.request(people[who], plans[who], {})
            except DuplicateSymbol as e:
                told.append(str(e))

        threads = [threading.Thread(target=ask, args=(who,)) for who in (0, 1)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        worked()
        ended = [t for t in tasks.tasks(people[0], text=f"Add SAME{n}") if t.subject == draft.listing]
        losers = [t.message for t in ended if t.status == "failed"] + told
        assert [t.status for t in ended].count("completed") == 1
        assert len(losers) == 1, losers
        assert "duplicate symbol" in losers[0]
    counts: list[Any] = rows(small, "SELECT symbol, count(*) FROM securities WHERE symbol LIKE 'SAME%%' GROUP BY 1")
    assert len(counts) == RACES
    assert {n for _, n in counts} == {1}


def test_one_that_hung_wakes_up_and_finds_its_task_done_by_another(small: Small) -> None:
    """Both are in the middle of the same task; one commit counts."""
    ben = small.user("ben")
    task = tasks.request(ben, master.plan_add(ben, CELLS | {"symbol": "HUNG"}), {})
    with small.database.owner() as c:
        c.execute("LOCK TABLE asset_prices IN EXCLUSIVE MODE")
        both = [threading.Thread(target=work_one, args=(Worker(threading.Event()),)) for _ in range(2)]
        both[0].start()
        until(lambda: tasks.task_of(ben, task).current_step == 4, 10)
        both[1].start()  # it waits for the symbol that the first has written
        until(lambda: (now := tasks.task_of(ben, task)).attempts == 2 and now.current_step == 1, 10)
        c.rollback()
    for each in both:
        each.join()
    done = tasks.task_of(ben, task)
    assert (done.status, done.attempts) == ("completed", 2)
    assert rows(small, "SELECT count(*) FROM securities WHERE symbol = 'HUNG'") == [(1,)]
