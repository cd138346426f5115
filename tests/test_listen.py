"""Threads that listen for work: at once, by the clock, through errors and a database that goes away, ended at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, Queue
from threading import Event
from threading import enumerate as threads

import psycopg
import pytest
from conftest import Database

from jobs.listen import Listener, listening
from jobs.run import Worker

LONG = 600.0  # seconds between two looks of a listener that only a notification is to wake


class Looks:
    """Counts the looks of a listener; `answers` are what each look raises or returns, then False."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.seen: Queue[float] = Queue()

    def __call__(self) -> bool:
        self.seen.put(time.monotonic())
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        return answer

    def one(self, limit: float = 5.0) -> None:
        """Wait for one look."""
        self.seen.get(timeout=limit)

    def none(self, seconds: float) -> None:
        """Be sure that there is no look for a while."""
        with pytest.raises(Empty):
            self.seen.get(timeout=seconds)


def notify(database: Database, channel: str = "ballast_test") -> None:
    with psycopg.connect(database.conninfo("ballast_web"), autocommit=True) as c:
        c.execute(f"NOTIFY {channel}")


def listener(work: Callable[[], bool], every: float = LONG) -> Listener:
    return Listener("test", "ballast_test", work, every)


def test_a_notification_is_worked_at_once_until_there_is_no_more(database: Database) -> None:
    looks = Looks(False, True, True, False)
    with listening([listener(looks)], Worker(Event())):
        looks.one()  # at the beginning
        looks.none(0.3)
        began = time.monotonic()
        notify(database)
        for _ in range(3):
            looks.one()
        assert time.monotonic() - began < 1.0
        looks.none(0.3)
        notify(database, "ballast_other")
        looks.none(0.3)


def test_without_a_notification_the_clock_tells(database: Database) -> None:
    looks = Looks()
    with listening([listener(looks, 0.1)], Worker(Event())):
        for _ in range(4):
            looks.one(2.0)


def test_no_exception_ends_it(database: Database) -> None:
    looks = Looks(ValueError("bad piece"), psycopg.OperationalError("away"), KeyError("again"))
    with listening([listener(looks)], Worker(Event())):
        for _ in range(4):
            looks.one()
            looks.none(0.1)
            notify(database)
        looks.one()


def test_it_listens_again_after_the_database_went_away(database: Database) -> None:
    looks = Looks()
    with listening([listener(looks)], Worker(Event())):
        looks.one()
        with psycopg.connect(database.server.conninfo(dbname="postgres"), autocommit=True) as c:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ballast listener'"
            assert c.execute(cut).fetchall() == [(True,)]
        looks.one()  # what was announced in between is not lost
        looks.none(0.3)
        notify(database)
        looks.one()


def test_it_ends_at_once_and_leaves_no_thread_and_no_connection(database: Database) -> None:
    looks = Looks()
    with listening([listener(looks), listener(looks)], Worker(Event())):
        looks.one()
        looks.one()
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    assert [t.name for t in threads() if t.name.startswith("listen ")] == []
    with psycopg.connect(database.conninfo()) as c:
        time.sleep(0.2)
        left = c.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ballast listener'").fetchone()
    assert left == (0,)


def test_it_ends_within_a_second_though_its_work_hangs(database: Database) -> None:
    entered, leave = Event(), Event()

    def hang() -> bool:
        entered.set()
        leave.wait(20)
        return True

    worker = Worker(Event())
    with listening([listener(hang)], worker):
        assert entered.wait(5)
        assert worker.running == {"test"}
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    leave.set()
    assert worker.wait(2.0)
    assert entered.is_set()


def test_who_does_not_lead_does_not_work(database: Database) -> None:
    looks, leads = Looks(), Event()
    with listening([listener(looks, 0.1)], Worker(Event(), leads.is_set)):
        looks.none(0.5)
        leads.set()
        looks.one()


def test_the_worker_of_one_term_does_one_piece_at_a_time(database: Database) -> None:
    looks, worker = Looks(), Worker(Event())
    with worker.busy("test"), listening([listener(looks, 0.1)], worker):
        looks.none(0.5)
    with listening([listener(looks, 0.1)], worker):
        looks.one()
