"""Jobs on the real database: runs and their records, the chain of feeds, quotes, the close of the day, housekeeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from threading import Event, Timer
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from conftest import Database
from seeds import SYMBOLS, seed

from core.book import Action
from core.ledger import Security
from db import books, engine, market, runs
from db.market import Bar, QuoteRow
from jobs import actions, close_of_day, housekeeping, market_data, run, snapshots
from jobs.feeds import FeedError
from jobs.market_data import Feeds
from jobs.run import Job, Worker, slot

NOW = datetime(2026, 3, 5, 17, 0, 3, tzinfo=UTC)
WAIT = run._wait


@dataclass
class Given:
    """A feed made of what a test gives it: prices by symbol, days that have bars, an error for every question."""

    name: str = "given"
    prices: dict[str, str] = field(default_factory=dict)
    days: Sequence[date] = ()
    known_rates: dict[str, str] = field(default_factory=dict)
    known_actions: Sequence[Action] = ()
    error: str = ""
    asked: list[list[str]] = field(default_factory=list)

    def _ask(self, what: Sequence[str]) -> None:
        self.asked.append(list(what))
        if self.error:
            raise FeedError(f"{self.name}: {self.error}")

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        self._ask([s.symbol for s in securities])
        return [
            QuoteRow(s.security_id, Decimal(self.prices[s.symbol]), None, "regular", self.name, now)
            for s in securities
            if s.symbol in self.prices
        ]

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        self._ask([s.symbol for s in securities])
        return [
            Bar(s.security_id, day, Decimal(self.prices[s.symbol]))
            for s in securities
            for day in self.days
            if s.symbol in self.prices and first <= day <= last
        ]

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        self._ask(currencies)
        return [
            (c, day, Decimal(r))
            for c, r in self.known_rates.items()
            for day in self.days
            if c in currencies and first <= day <= last
        ]

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        self._ask([s.symbol for s in securities])
        wanted = {s.security_id for s in securities}
        return [a for a in self.known_actions if a.security_id in wanted and first <= a.ex_on <= last]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait, and no test meets the memory of another."""
    monkeypatch.setattr(run, "_wait", lambda state: 0.0)
    books.forget()
    close_of_day._asked.clear()


def use(monkeypatch: pytest.MonkeyPatch, *feeds: Given) -> Feeds:
    made = Feeds(feeds)
    for module in (market_data, close_of_day, actions):
        monkeypatch.setattr(module, "feeds", lambda: made)
    return made


def rows(database: Database, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database.conninfo()) as c:
        return c.execute(query, parameters).fetchall()


def job(work: Any, every: int = 3600, name: str = "test", deadline: float = 60) -> Job:
    return Job(name, every, lambda at: slot(at, every), work, deadline)


# --- one run -------------------------------------------------------------------------------------


def test_a_run_is_recorded_once_with_what_it_did(database: Database) -> None:
    done = []
    one = job(lambda at: lambda c: done.append(at) or {"rows": 3})
    for worker in (Worker(Event()), Worker(Event())):  # two processes at the same time
        worker.run(one)
    assert len(done) == 1
    ((status, attempts, detail, scheduled),) = rows(
        database, "SELECT status, attempts, detail, scheduled_for FROM job_runs"
    )
    assert (status, attempts, detail) == ("succeeded", 1, {"rows": 3})
    assert scheduled == slot(done[0], 3600)


def test_nothing_due_leaves_no_row(database: Database) -> None:
    Worker(Event()).run(Job("test", 1, lambda at: None, lambda at: pytest.fail("not due")))
    assert rows(database, "SELECT 1 FROM job_runs") == []


def test_what_may_pass_is_tried_again_and_the_attempts_are_counted(database: Database) -> None:
    answers = iter([FeedError("csv: away"), OSError("reset")])

    def work(at: datetime) -> Any:
        for error in answers:
            raise error
        return lambda c: {}

    Worker(Event()).run(job(work))
    assert rows(database, "SELECT status, attempts, error FROM job_runs") == [("succeeded", 3, None)]
    assert rows(database, "SELECT 1 FROM dead_letters") == []


def test_a_failure_is_kept_and_does_not_stop_the_next_run(database: Database) -> None:
    failing = [True]

    def work(at: datetime) -> Any:
        if failing[0]:
            raise FeedError("yahoo: answered 429")
        return lambda c: {}

    one = Job("test", 1, lambda at: datetime(2026, 1, 1 + len(failing), tzinfo=UTC), work)
    worker = Worker(Event())
    worker.run(one)
    failing[:] = [False, False]
    worker.run(one)
    assert rows(database, "SELECT status, attempts, error FROM job_runs ORDER BY scheduled_for") == [
        ("failed", 4, "FeedError: yahoo: answered 429"),
        ("succeeded", 1, None),
    ]
    assert rows(database, "SELECT job, error, settled_at FROM dead_letters") == [
        ("test", "FeedError: yahoo: answered 429", None)
    ]


def test_a_mistake_of_ours_is_not_tried_again(database: Database) -> None:
    Worker(Event()).run(job(lambda at: 1 // 0))
    assert rows(database, "SELECT status, attempts, error FROM job_runs") == [
        ("failed", 1, "ZeroDivisionError: integer division or modulo by zero")
    ]


def test_what_a_failed_run_wrote_is_undone(database: Database) -> None:
    def write(c: Any) -> Any:
        c.execute("INSERT INTO installation VALUES ('half', 'true')")
        raise ValueError("in the middle")

    Worker(Event()).run(job(lambda at: write))
    assert rows(database, "SELECT 1 FROM installation WHERE key = 'half'") == []
    assert rows(database, "SELECT status FROM job_runs") == [("failed",)]


def test_retries_stay_within_the_deadline(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_wait", lambda state: 0.3)

    def work(at: datetime) -> Any:
        raise FeedError("csv: away")

    Worker(Event()).run(job(work, deadline=0.5))
    assert rows(database, "SELECT status, attempts FROM job_runs") == [("failed", 2)]


def test_pauses_double_with_jitter() -> None:
    for n in (1, 2, 3):
        waits = [WAIT(SimpleNamespace(attempt_number=n)) for _ in range(200)]  # type: ignore[arg-type]
        assert 0.5 * 2 ** (n - 1) <= min(waits) < max(waits) <= 1.5 * 2 ** (n - 1)


def test_a_run_that_a_dead_process_left_is_taken_up_by_the_next_leader(database: Database) -> None:
    at = datetime(2026, 3, 5, tzinfo=UTC)
    with engine.jobs() as c:
        assert runs.claim(c, "test", at, "dead") is not None
        assert runs.claim(c, "test", at, "other") is None
    with engine.jobs() as c:
        assert runs.abandon(c, "new") == 1
    Worker(Event(), name="new").run(Job("test", 1, lambda _: at, lambda _: lambda c: {}))
    assert rows(database, "SELECT status, worker FROM job_runs") == [("succeeded", "new")]


def test_a_stop_ends_the_retries_and_leaves_the_run_to_the_next_leader(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_wait", lambda state: 30.0)
    stopping = Event()

    def work(at: datetime) -> Any:
        raise FeedError("csv: away")

    Timer(0.3, stopping.set).start()
    worker = Worker(stopping)
    worker.run(job(work))
    assert worker.wait(0)
    assert rows(database, "SELECT status FROM job_runs") == [("running",)]
    worker.run(job(work, every=7))
    assert len(rows(database, "SELECT 1 FROM job_runs")) == 1  # told to stop: begins nothing


def test_who_may_have_lost_the_lead_begins_nothing(database: Database) -> None:
    Worker(Event(), leads=lambda: False).run(job(lambda at: pytest.fail("does not lead")))
    assert rows(database, "SELECT 1 FROM job_runs") == []


def test_a_job_does_not_run_beside_itself(database: Database) -> None:
    worker, inside = Worker(Event()), []
    ticks = iter(range(1, 9))

    def work(at: datetime) -> Any:
        inside.append(at)
        worker.run(one)
        return lambda c: {}

    one = Job("test", 1, lambda at: datetime(2026, 1, next(ticks), tzinfo=UTC), work)
    worker.run(one)
    assert len(inside) == 1


def test_asking_again_is_no_use_while_every_feed_rests(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given("first", error="line 7 is bad")
    use(monkeypatch, feed)
    for n in (1, 2):
        due = datetime(2026, 1, n, tzinfo=UTC)
        Worker(Event()).run(Job("quotes", 1, lambda _, due=due: due, market_data.quotes))
    assert len(feed.asked) == 3
    query = "SELECT attempts, error FROM job_runs WHERE job = 'quotes' ORDER BY scheduled_for"
    assert rows(database, query) == [
        (4, "Resting: first rests for a minute; first: line 7 is bad"),
        (1, "Resting: first rests for a minute; first: line 7 is bad"),
    ]


def test_slots_are_the_same_everywhere() -> None:
    at = datetime(2026, 3, 5, 17, 4, 59, 999999, tzinfo=UTC)
    assert slot(at, 300) == datetime(2026, 3, 5, 17, 0, tzinfo=UTC)
    assert slot(at, 86400, after=3 * 3600) == datetime(2026, 3, 5, 3, 0, tzinfo=UTC)
    assert slot(at.replace(hour=2), 86400, after=3 * 3600) == datetime(2026, 3, 4, 3, 0, tzinfo=UTC)


# --- the chain of feeds --------------------------------------------------------------------------


def securities(n: int) -> list[Security]:
    return [Security(i, f"S{i}", "", "XNYS", "USD", "Equity") for i in range(1, n + 1)]


def test_each_feed_is_asked_for_what_the_one_before_did_not_give(database: Database) -> None:
    first, second, third = Given("first", {"S1": "1"}), Given("second", {"S1": "9", "S2": "2"}), Given("third")
    answer = Feeds([first, second, third]).quotes(securities(3), NOW)
    assert {q.security_id: q.price for given in answer.rows.values() for q in given} == {1: Decimal(1), 2: Decimal(2)}
    assert (second.asked, third.asked) == ([["S2", "S3"]], [["S3"]])
    assert answer.detail() == {"first": 1, "second": 1, "missing": ["XNYS:S3"]}


def test_batches_of_at_most_a_hundred(database: Database) -> None:
    feed = Given(prices={f"S{i}": "1" for i in range(1, 251)})
    Feeds([feed]).quotes(securities(250), NOW)
    assert [len(some) for some in feed.asked] == [100, 100, 50]


def test_the_next_feed_stands_in_for_one_that_fails(database: Database) -> None:
    answer = Feeds([Given("first", error="down"), Given("second", {"S1": "1"})]).quotes(securities(1), NOW)
    assert answer.detail() == {"second": 1, "failures": {"first": "first: down"}}
    assert rows(database, "SELECT feed, successes, failures, last_error FROM feed_states ORDER BY 1") == [
        ("first", 0, 1, "first: down"),
        ("second", 1, 0, None),
    ]


def test_three_failures_in_a_row_and_a_feed_rests_for_a_minute(database: Database) -> None:
    clock, feed = [0.0], Given("first", error="down")
    feeds = Feeds([feed], lambda: clock[0])
    for _ in range(5):
        with pytest.raises(FeedError):
            feeds.quotes(securities(1), NOW)
    assert len(feed.asked) == 3
    assert feeds.resting()
    clock[0] = 61.0
    assert not feeds.resting()
    with pytest.raises(FeedError, match="down"):
        feeds.quotes(securities(1), NOW)
    assert feeds.resting()  # one failure after the rest is enough
    clock[0] = 122.0
    feed.error, feed.prices = "", {"S1": "1"}
    assert feeds.quotes(securities(1), NOW).detail() == {"first": 1}
    feed.error = "down"
    with pytest.raises(FeedError):
        feeds.quotes(securities(1), NOW)
    assert not feeds.resting()  # it answered: the count began anew


def test_what_a_feed_gives_in_spite_of_an_error_is_used(database: Database) -> None:
    feed = Given("first")
    row = QuoteRow(1, Decimal(1), None, "closed", "first", NOW)

    def quotes(some: Sequence[Security], now: datetime) -> list[QuoteRow]:
        raise FeedError("first: line 3", partial=[row])

    feed.quotes = quotes  # type: ignore[method-assign]
    feeds = Feeds([feed])
    for _ in range(4):
        assert feeds.quotes(securities(2), NOW).rows == {"first": [row]}
    assert not feeds.resting()


@pytest.mark.parametrize(
    "row",
    [
        QuoteRow(1, Decimal(0), None, "regular", "x", NOW),
        QuoteRow(1, Decimal("NaN"), None, "regular", "x", NOW),
        QuoteRow(1, Decimal(1), Decimal(-1), "regular", "x", NOW),
        QuoteRow(1, Decimal(1), None, "regular", "x", NOW + timedelta(minutes=1)),
        QuoteRow(7, Decimal(1), None, "regular", "x", NOW),
    ],
)
def test_unusable_quotes_are_left_out_and_the_next_feed_is_asked(database: Database, row: QuoteRow) -> None:
    feed = Given("first")
    feed.quotes = lambda some, now: [row]  # type: ignore[method-assign]
    answer = Feeds([feed, Given("second", {"S1": "2"})]).quotes(securities(1), NOW)
    assert answer.detail() == {"second": 1}


# --- quotes and snapshots ------------------------------------------------------------------------


def test_quotes_go_to_the_cache_and_the_last_good_one_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    feed = Given(prices=dict.fromkeys(SYMBOLS, "12.5"))
    use(monkeypatch, feed)
    with engine.jobs() as c:
        assert market_data.quotes(NOW)(c) == {"changed": 3, "given": 3}
    feed.prices = {"ACME": "13"}
    with engine.jobs() as c:
        assert market_data.quotes(NOW + timedelta(seconds=10))(c) == {
            "changed": 1,
            "given": 1,
            "missing": ["XNYS:BOLT", "XNYS:CORE"],
        }
    assert rows(database, "SELECT symbol, price FROM asset_prices JOIN securities USING (security_id) ORDER BY 1") == [
        ("ACME", Decimal(13)),
        ("BOLT", Decimal("12.5")),
        ("CORE", Decimal("12.5")),
    ]


@pytest.mark.parametrize(("market_open", "runs_in_ten_minutes"), [(True, 60), (False, 2)])
def test_quotes_slow_down_while_every_market_is_closed(
    database: Database, monkeypatch: pytest.MonkeyPatch, market_open: bool, runs_in_ten_minutes: int
) -> None:
    start = datetime(2026, 3, 5, 17, 0, tzinfo=UTC)
    seed(database.owner(), start, market_open)
    use(monkeypatch, Given(prices=dict.fromkeys(SYMBOLS, "12.5")))
    dues = {market_data.due(start + timedelta(seconds=10 * i)) for i in range(60)}
    assert len(dues) == runs_in_ten_minutes
    hours = {snapshots.due(start + timedelta(minutes=5 * i)) for i in range(24)}
    assert len(hours) == (24 if market_open else 2)


def test_nothing_tracked_asks_nobody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW, portfolios=0)
    use(monkeypatch, Given(error="must not be asked"))
    assert market_data.due(NOW) is None


def test_no_round_is_due_while_every_feed_rests(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feeds = use(monkeypatch, Given(error="down"))
    assert market_data.due(NOW) == slot(NOW, 10)
    for _ in range(3):
        with pytest.raises(FeedError):
            market_data.quotes(NOW)
    assert feeds.resting()
    assert market_data.due(NOW) is None


def test_snapshots_are_one_a_bucket(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolios = seed(database.owner(), NOW)
    use(
        monkeypatch,
        Given(prices=dict.fromkeys(SYMBOLS, "12.5"), known_rates={"USD": "1.1"}, days=[NOW.date() - timedelta(days=1)]),
    )
    for work in (market_data.quotes(NOW), close_of_day.close_of_day(NOW)):
        with engine.jobs() as c:
            work(c)
    for later in (0, 60, 200, 300):
        with engine.jobs() as c:
            snapshots.take(NOW + timedelta(seconds=later))(c)
    found = rows(database, "SELECT bucket, count(*), min(total) FROM portfolio_snapshots GROUP BY 1 ORDER BY 1")
    total = Decimal(10_000 - 2050) + Decimal("12.5") * 35
    assert found == [
        (slot(NOW, 300), len(portfolios), total),
        (slot(NOW, 300) + timedelta(minutes=5), len(portfolios), total),
    ]


def test_the_past_is_rebuilt_only_where_the_ledger_changed(database: Database) -> None:
    seed(database.owner(), NOW)
    assert snapshots.restate_due(NOW) is None
    with engine.owner() as c:
        c.execute("UPDATE portfolios SET restate_from = %s WHERE name = 'P0'", (NOW.date() - timedelta(days=20),))
    assert snapshots.restate_due(NOW) == slot(NOW, 5)
    with engine.jobs() as c:
        assert snapshots.restate(NOW)(c) == {"portfolios": 1}
    assert snapshots.restate_due(NOW) is None


# --- dividends and splits ------------------------------------------------------------------------


def test_actions_are_kept_once_and_what_is_unusable_is_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    number = dict(rows(database, "SELECT symbol, security_id FROM securities"))["ACME"]
    soon = NOW.date() + timedelta(days=9)
    given = [
        Action(number, "dividend", soon, soon + timedelta(days=14), Decimal("0.25"), "USD"),
        Action(number, "split", NOW.date(), ratio=Fraction(4)),
        Action(number, "dividend", soon + timedelta(days=90), None, Decimal("0.25"), "XXX"),  # no such currency
        Action(number, "dividend", soon + timedelta(days=91), None, Decimal(0), "USD"),  # nothing is paid
    ]
    use(monkeypatch, Given(known_actions=given))
    assert actions.due(NOW) == slot(NOW, 60), "never asked: at once"
    with engine.jobs() as c:
        assert actions.actions(NOW)(c) == {"changed": 2, "given": 3, "unknown_currencies": ["XXX"]}
    assert actions.due(NOW) == NOW.replace(hour=12, minute=0, second=0)
    with engine.jobs() as c:
        assert actions.actions(NOW)(c)["changed"] == 0
    assert rows(database, "SELECT kind, ex_on, amount, ratio_new, ratio_old FROM corporate_actions ORDER BY kind") == [
        ("dividend", soon, Decimal("0.25"), None, None),
        ("split", NOW.date(), None, 4, 1),
    ]
    use(monkeypatch, Given(error="no answer"))
    with pytest.raises(FeedError, match="no answer"):
        actions.actions(NOW)


# --- the close of the day ------------------------------------------------------------------------


def past(days: int) -> list[date]:
    return [NOW.date() - timedelta(days=d) for d in range(days, 0, -1)]


def test_missing_sessions_are_loaded_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given(prices=dict.fromkeys(SYMBOLS, "12.5"), known_rates={"USD": "1.1"}, days=past(40))
    use(monkeypatch, feed)
    assert close_of_day.due(NOW) == slot(NOW, 60)  # new securities: at once
    with engine.jobs() as c:
        detail = close_of_day.close_of_day(NOW)(c)
    assert detail == {
        "bars": 90,
        "rates": 30,
        "to_restate": 4,
    }  # ten days of margin before the first trade; the past is rebuilt
    assert rows(database, "SELECT restate_from FROM portfolios") == [(NOW.date() - timedelta(days=20),)] * 2
    assert close_of_day.due(NOW) is None
    with engine.jobs() as c:
        assert close_of_day.close_of_day(NOW)(c) == {"bars": 0}


def test_after_a_close_the_new_session_is_asked_for_in_slots(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    feed = Given(prices=dict.fromkeys(SYMBOLS, "12.5"), known_rates={"USD": "1.1"}, days=past(40))
    use(monkeypatch, feed)
    with engine.jobs() as c:
        close_of_day.close_of_day(NOW)(c)
    close = NOW + timedelta(hours=4)
    for later, expected in ((14, None), (15, 15), (59, 15), (60, 60), (179, 60), (180, 180), (600, 540)):
        due = close_of_day.due(close + timedelta(minutes=later))
        assert due == (None if expected is None else close + timedelta(minutes=expected)), later
    feed.days = [*past(40), NOW.date()]
    feed.prices = {"ACME": "13", "BOLT": "14"}
    with engine.jobs() as c:
        detail = close_of_day.close_of_day(close + timedelta(minutes=15))(c)
    assert detail["still_missing"] == ["CORE"]
    assert detail["bars"] == 4  # two new ones; the last known of both are corrected
    assert len(rows(database, "SELECT 1 FROM price_corrections")) == 2


def test_a_day_that_was_recorded_as_it_happened_is_not_rebuilt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, missed = seed(database.owner(), NOW)
    feed = Given(prices=dict.fromkeys(SYMBOLS, "12.5"), known_rates={"USD": "1.1"}, days=past(40))
    use(monkeypatch, feed)
    with engine.jobs() as c:
        close_of_day.close_of_day(NOW)(c)
    with engine.owner() as c:
        c.execute("UPDATE portfolios SET restate_from = NULL")
        c.execute("INSERT INTO portfolio_snapshots VALUES (%s, %s, 1, 1, 0, 1, 1, true, '1')", (recorded, NOW))
    feed.days = [*past(40), NOW.date()]
    with engine.jobs() as c:
        close_of_day.close_of_day(NOW + timedelta(hours=5))(c)
    assert dict(rows(database, "SELECT portfolio_id, restate_from FROM portfolios")) == {
        recorded: None,
        missed: NOW.date(),
    }


def test_what_nobody_has_is_asked_for_hourly(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    use(monkeypatch, Given())
    with engine.jobs() as c:
        assert close_of_day.close_of_day(NOW)(c) == {"bars": 0, "still_missing": list(SYMBOLS)}
    dues = {close_of_day.due(NOW + timedelta(minutes=i)) for i in range(120)}
    assert len(dues) == 2
    assert all(due is not None and due.minute == 0 for due in dues)


def test_rates_that_fail_do_not_cost_the_bars(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given(prices=dict.fromkeys(SYMBOLS, "12.5"), days=past(40))

    def rates(*_: Any) -> Any:
        raise FeedError("given: no rates")

    feed.rates = rates  # type: ignore[method-assign]
    use(monkeypatch, feed)
    with engine.jobs() as c:
        detail = close_of_day.close_of_day(NOW)(c)
    assert detail["bars"] == 90
    assert list(detail["failures"].values()) == ["given: no rates"]


# --- housekeeping --------------------------------------------------------------------------------


def test_old_runs_and_expired_sign_ins_go(database: Database) -> None:
    seed(database.owner(), NOW)
    with engine.owner() as c:
        c.execute("INSERT INTO sessions SELECT '\\x01', user_id, now(), now() - interval '1 s' FROM users")
        c.execute("INSERT INTO sessions SELECT '\\x02', user_id, now(), now() + interval '1 h' FROM users")
        c.execute("INSERT INTO sign_in_failures VALUES ('ann', now() - interval '2 days'), ('ann', now())")
        c.execute(
            "INSERT INTO lookups (asked, asked_by, asked_at) SELECT 'AAPL', user_id, now() - interval '25 hours' FROM users"
        )
        c.execute(
            "INSERT INTO lookups (asked, asked_by, asked_at) SELECT 'MSFT', user_id, now() - interval '23 hours' FROM users"
        )
        c.execute(
            "INSERT INTO job_runs (job, scheduled_for, started_at, status, worker) VALUES "
            "('quotes', '2020-01-01', now() - interval '2 days', 'succeeded', 'w'), ('x', '2020-01-01', now() - interval '2 days', 'succeeded', 'w'), "
            "('x', '2020-01-02', now() - interval '40 days', 'succeeded', 'w')"
        )
    with engine.jobs() as c:
        assert housekeeping.clean(NOW)(c) == {
            "runs": 2,
            "sign_ins": 1,
            "sign_in_failures": 1,
            "lookups": 1,
            "proposals": 0,
            "backups": 0,
            "import_maps": 0,
            "security_matches": 0,
            "tasks": 0,
            "notices": 0,
        }
    assert rows(database, "SELECT asked FROM lookups") == [("MSFT",)]
    assert rows(database, "SELECT token_hash FROM sessions") == [(b"\x02",)]


def test_calendars_that_fail_say_why(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(housekeeping, "ROOT", tmp_path)  # no such module there
    with pytest.raises(ChildProcessError, match=r"No module named 'jobs|No module named jobs"):
        housekeeping.calendars(NOW)


def test_the_quote_cache_keeps_the_newer_quote(database: Database) -> None:
    seed(database.owner(), NOW)
    with engine.jobs() as c:
        (acme, *_) = market.tracked(c)
        market.upsert_quotes(c, [QuoteRow(acme.security_id, Decimal(2), None, "regular", "a", NOW)])
        assert (
            market.upsert_quotes(
                c, [QuoteRow(acme.security_id, Decimal(1), None, "regular", "b", NOW - timedelta(minutes=1))]
            )
            == 0
        )
