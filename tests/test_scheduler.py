"""The scheduled process as it really runs: two of them at once, killed, hung, cut off from the database, told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from conftest import ROOT, Database
from seeds import SYMBOLS, seed, utc_now

pytestmark = pytest.mark.xdist_group("scheduler")  # they watch the clock: not all at once
MEMORY = 90e6  # bytes of PSS, NUMBERS of the product
HEAVY = {"pandas", "streamlit", "plotly", "scipy", "sqlalchemy", "yfinance", "curl_cffi", "alembic", "skfolio"}


class Scheduler:
    """One `python -m jobs` and what it said."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs"], cwd=ROOT, env=os.environ | environment, stderr=file, stdout=file
            )
        self.pid = self.process.pid

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def leads(self) -> bool:
        return len(self.said("leading")) > len(self.said("no longer leading"))

    def stop(self, limit: float = 10.0) -> int:
        self.process.terminate()
        return self.process.wait(limit)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    folder = tmp_path / "prices"
    folder.mkdir()
    days = [(utc_now() - timedelta(days=d)).date() for d in range(40, -1, -1)]
    for symbol in SYMBOLS:
        (folder / f"{symbol}.csv").write_text("date,close\n" + "".join(f"{d},12.5\n" for d in days))
    (folder / "fx.csv").write_text("date,currency,rate\n" + "".join(f"{d},USD,1.1\n" for d in days))
    return folder


@pytest.fixture
def start(database: Database, prices: Path, tmp_path: Path) -> Iterator[Callable[[], Scheduler]]:
    """Starts a scheduled process with a fast timetable; none is left after the test."""
    environment = {
        "FEEDS": "csv",
        "PRICE_CSV_DIR": str(prices),
        "QUOTES_EVERY_SECONDS": "1",
        "SNAPSHOT_EVERY_MINUTES": "1",
    }
    started: list[Scheduler] = []

    def one() -> Scheduler:
        started.append(Scheduler(tmp_path / f"{len(started)}.log", environment | {"LOG_FORMAT": "json"}))
        return started[-1]

    yield one
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def until(condition: Callable[[], Any], limit: float) -> float:
    """Seconds until the condition came true; fails after the limit."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, f"not within {limit} s"
        time.sleep(0.05)
    return time.monotonic() - began


def rows(database: Database, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database.conninfo()) as c:
        return c.execute(query, parameters).fetchall()


def worked_after(database: Database, other_than: str, moment: Any) -> bool:
    """Whether somebody else has finished a round of quotes that began after a moment."""
    query = "SELECT 1 FROM job_runs WHERE job = 'quotes' AND status = 'succeeded' AND worker <> %s AND started_at > %s"
    return bool(rows(database, query, other_than, moment))


def test_two_at_once_one_killed_the_other_told_to_stop(database: Database, start: Callable[[], Scheduler]) -> None:
    portfolios = seed(database.owner(), utc_now())
    both = [start(), start()]
    until(lambda: any(each.leads() for each in both), 60)
    time.sleep(12)
    leading = [each for each in both if each.leads()]
    assert len(leading) == 1
    (leader,) = leading
    (standby,) = [each for each in both if each is not leader]
    until(lambda: standby.said("another process leads; standing by"), 10)
    name = leader.said("leading")[0]["worker"]
    assert {w for (w,) in rows(database, "SELECT DISTINCT worker FROM job_runs WHERE worker <> 'test'")} == {name}
    memory = [psutil.Process(each.pid).memory_full_info().pss for each in both]
    assert max(memory) < MEMORY

    leader.process.send_signal(signal.SIGKILL)
    killed = utc_now()
    until(lambda: worked_after(database, name, killed), 5)
    time.sleep(3)
    assert standby.stop() == 0
    assert standby.said("stopped")

    done = rows(
        database,
        "SELECT job, status, count(*), count(DISTINCT scheduled_for) FROM job_runs WHERE worker <> 'test' GROUP BY 1, 2",
    )
    runs = {(job, status): n for job, status, n, slots in done}
    assert all(n == slots for _, _, n, slots in done)
    assert runs["quotes", "succeeded"] >= 12
    upkeep = {"reclassify", "verify_classes", "listings", "adjusted_closes"}
    assert {job for job, _ in runs} == {"quotes", "snapshots", "restate", "close_of_day", "actions"} | upkeep
    assert {status for _, status in runs} <= {"succeeded", "abandoned"}
    assert rows(database, "SELECT 1 FROM dead_letters") == []
    buckets = rows(
        database,
        "SELECT bucket, count(*) FROM portfolio_snapshots WHERE bucket > %s GROUP BY 1",
        killed - timedelta(minutes=2),
    )
    assert buckets
    assert all(n == len(portfolios) for _, n in buckets)
    assert rows(database, "SELECT count(*), min(price) FROM asset_prices") == [(3, 12.5)]
    assert rows(database, "SELECT count(DISTINCT security_id) FROM price_history") == [(3,)]


def test_a_leader_that_hangs_is_replaced_and_steps_down(database: Database, start: Callable[[], Scheduler]) -> None:
    seed(database.owner(), utc_now())
    leader = start()
    until(leader.leads, 60)
    standby = start()
    until(lambda: standby.said("another process leads; standing by"), 60)
    until(lambda: worked_after(database, "", utc_now() - timedelta(minutes=1)), 10)
    name = leader.said("leading")[0]["worker"]
    leader.process.send_signal(signal.SIGSTOP)
    stopped = utc_now()
    until(lambda: worked_after(database, name, stopped), 9)
    leader.process.send_signal(signal.SIGCONT)
    resumed = utc_now()
    until(lambda: not leader.leads(), 5)
    time.sleep(2)
    assert standby.leads()
    late = rows(database, "SELECT job, status FROM job_runs WHERE worker = %s AND started_at > %s", name, resumed)
    assert late == []
    assert (leader.stop(), standby.stop()) == (0, 0)


def test_a_leader_cut_off_from_the_database_comes_back(database: Database, start: Callable[[], Scheduler]) -> None:
    seed(database.owner(), utc_now())
    scheduler = start()
    until(scheduler.leads, 60)
    name = scheduler.said("leading")[0]["worker"]
    with psycopg.connect(database.server.conninfo("postgres", "postgres"), autocommit=True) as c:
        c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ballast'")
        cut = c.execute("SELECT clock_timestamp()").fetchone()
    assert cut
    until(lambda: worked_after(database, name, cut[0]), 10)
    assert scheduler.stop() == 0


def test_a_lookup_is_answered_at_once_and_again_after_the_database_was_away(
    database: Database, start: Callable[[], Scheduler]
) -> None:
    def answered() -> bool:
        return rows(database, "SELECT DISTINCT state, candidates->0->>'price' FROM lookups") == [("answered", "12.5")]

    question = "INSERT INTO lookups (asked, asked_by) SELECT 'ACME', user_id FROM users"
    seed(database.owner(), utc_now())
    with psycopg.connect(database.conninfo(), autocommit=True) as c:
        c.execute(question)  # before anybody listens
        scheduler = start()
        until(scheduler.leads, 60)
        until(answered, 5)
        c.execute(question)
        until(answered, 2)
    with psycopg.connect(database.server.conninfo("postgres", "postgres"), autocommit=True) as c:
        c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ballast'")
    with psycopg.connect(database.conninfo(), autocommit=True) as c:
        c.execute(question)
    until(answered, 10)
    assert scheduler.stop() == 0


def test_a_closed_market_leaves_few_rows(database: Database, start: Callable[[], Scheduler]) -> None:
    seed(database.owner(), utc_now(), market_open=False)
    scheduler = start()
    until(lambda: worked_after(database, "", utc_now() - timedelta(minutes=1)), 60)
    time.sleep(5)
    assert scheduler.stop() == 0
    counts = dict(rows(database, "SELECT job, count(*) FROM job_runs WHERE worker <> 'test' GROUP BY 1"))
    assert counts["quotes"] <= 2  # two where five minutes began in between
    assert counts["snapshots"] <= 2


def test_a_failing_feed_is_recorded_and_nothing_else_stops(
    database: Database, start: Callable[[], Scheduler], prices: Path
) -> None:
    seed(database.owner(), utc_now())
    for symbol in SYMBOLS:
        (prices / f"{symbol}.csv").write_text("date,close\nyesterday,1\n")
    scheduler = start()
    until(lambda: rows(database, "SELECT 1 FROM dead_letters WHERE job = 'quotes'"), 60)
    until(lambda: rows(database, "SELECT 1 FROM job_runs WHERE job = 'snapshots' AND status = 'succeeded'"), 10)
    assert scheduler.stop() == 0
    ((attempts, error),) = rows(
        database,
        "SELECT attempts, error FROM job_runs WHERE job = 'quotes' AND status = 'failed' ORDER BY 1 DESC LIMIT 1",
    )
    assert attempts > 1
    assert "ACME.csv line 2: date 'yesterday'" in error
    letters = rows(database, "SELECT error FROM dead_letters")
    assert letters
    ((last,),) = rows(database, "SELECT last_error FROM feed_states WHERE feed = 'csv'")
    assert "ACME.csv line 2: date 'yesterday' is not a day" in last
    troubles = dict(rows(database, "SELECT subject, times FROM feed_troubles WHERE feed = 'csv' AND what = 'quotes'"))
    assert set(troubles) == {f"XNYS:{symbol}" for symbol in SYMBOLS}, "each is told, with its own line"
    assert min(troubles.values()) > 1


def test_told_to_stop_as_it_starts(start: Callable[[], Scheduler]) -> None:
    scheduler = start()
    until(lambda: scheduler.said("started"), 60)
    assert scheduler.stop() == 0


def test_heavy_libraries_stay_out() -> None:
    program = f"import sys, jobs.__main__, jobs.feeds.csv_files, jobs.feeds.yahoo; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
