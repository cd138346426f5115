"""One symbol, row or currency that a feed does not answer for costs the others nothing, is named, and does not stop them the next time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database
from fakeyahoo import FakeYahoo, chart, fresh_yfinance  # noqa: F401  every test gets the fixture
from seeds import SYMBOLS, seed

from core.book import Action
from core.ledger import Security
from db import books, engine, feeds
from db.market import Bar, QuoteRow
from jobs import actions, close_of_day, market_data, upkeep
from jobs.feeds import FeedError
from jobs.feeds import yahoo as yahoo_feed
from jobs.feeds.csv_files import CsvFeed
from jobs.feeds.yahoo import YahooFeed
from jobs.market_data import Feeds

NOW = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)
DAYS = [date(2026, 3, d) for d in (2, 3, 4, 5, 6)]
NAMES = ("AAA", "BBB", "CCC", "DDD")
FOUR = [Security(i, s, s, "XNYS", "USD", "Equity") for i, s in enumerate(NAMES, 1)]

# what Yahoo has been seen to say of a symbol that it does not like
BAD: dict[str, tuple[int, Any]] = {
    "400": (400, {"chart": {"result": None, "error": {"code": "Bad Request", "description": "Data doesn't exist for startDate"}}}),
    "422": (422, b"Unprocessable Entity"),
    "500": (500, b"oops"),
    "html": (200, b"<html>Will be right back</html>"),
    "cut": (200, b'{"chart": {"result": [{"meta": {"curr'),
    "list": (200, []),
    "no meta": (200, {"chart": {"result": [{"timestamp": [1]}], "error": None}}),
    "no columns": (200, {"chart": {"result": [{"meta": {"currency": "USD"}, "timestamp": [1, 2], "indicators": {"quote": [{"close": [1.0]}]}}], "error": None}}),
    "zone": (200, {"chart": {"result": [{"meta": {"currency": "USD", "exchangeTimezoneName": "Mars/Base"}, "timestamp": [1], "events": {},
                                         "indicators": {"quote": [{"close": [1.0]}]}}], "error": None}}),
    "text": (200, {"chart": {"result": [{"meta": {"currency": "USD"}, "timestamp": "no", "indicators": [], "events": {"splits": {"1": {}}}}], "error": None}}),
    "currency": (200, chart("BBB", "EUR", {1772445600: 1.0})),
}  # fmt: skip


def second(on: date, hour: int = 15) -> int:
    return int(datetime(on.year, on.month, on.day, hour, tzinfo=UTC).timestamp())


def charts(names: Sequence[str] = NAMES) -> dict[str, Any]:
    return {
        n: chart(n, "USD", {second(d): 10.0 + i for i, d in enumerate(DAYS)}, dividends={second(DAYS[3]): 0.5})
        for n in names
    }


def row(symbol: str, price: Any = 12.5, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "currency": "USD",
        "regularMarketPrice": price,
        "regularMarketTime": second(DAYS[4]),
        "marketState": "REGULAR",
    } | changes


@pytest.fixture(autouse=True)
def forgotten() -> None:
    books.forget()
    close_of_day._asked.clear()


# --- Yahoo: charts -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", sorted(BAD))
def test_the_others_come_and_the_bad_one_is_named(bad: str) -> None:
    fake = FakeYahoo(charts())
    fake.bad = {"BBB": BAD[bad]}
    feed = YahooFeed(fake.session())
    for _ in range(3):
        with pytest.raises(FeedError, match="BBB") as caught:
            feed.bars(FOUR, DAYS[0], DAYS[4])
        assert {b.security_id for b in caught.value.partial} == {1, 3, 4}
        assert len(caught.value.partial) == 15
        assert list(caught.value.refused) == [2]
        assert not caught.value.whole
        try:
            paid = feed.actions(FOUR, DAYS[0], DAYS[4])
        except FeedError as error:
            paid = error.partial
            assert list(error.refused) == [2]  # noqa: PT017 — most feeds raise nothing here
        assert {(a.security_id, a.amount) for a in paid} == {(n, Decimal("0.5")) for n in (1, 3, 4)}


def test_one_that_yahoo_does_not_know_is_absent_and_the_others_come() -> None:
    feed = YahooFeed(FakeYahoo(charts(("AAA", "CCC", "DDD"))).session())
    assert {b.security_id for b in feed.bars(FOUR, DAYS[0], DAYS[4])} == {1, 3, 4}


def test_one_currency_that_is_refused_does_not_cost_the_other_rates() -> None:
    fake = FakeYahoo({f"EUR{c}=X": chart(f"EUR{c}=X", c, {second(d, 0): 1.1 for d in DAYS}) for c in ("USD", "GBP")})
    fake.bad = {"EURXAU=X": BAD["400"]}
    with pytest.raises(FeedError, match="EURXAU=X, answered 400") as caught:
        YahooFeed(fake.session()).rates(["USD", "XAU", "GBP"], DAYS[0], DAYS[4])
    assert {c for c, _, _ in caught.value.partial} == {"USD", "GBP"}
    assert list(caught.value.refused) == ["XAU"]


def test_a_bar_without_a_time_costs_nothing_but_itself() -> None:
    reply = charts(("AAA",))
    reply["AAA"]["chart"]["result"][0]["timestamp"][1] = None
    bars = yahoo_feed.bars_in(reply["AAA"], FOUR[0], DAYS[0], DAYS[4])
    assert [b.on for b in bars] == [DAYS[0], *DAYS[2:]]


def test_where_nobody_gets_a_sensible_answer_it_is_yahoo_that_is_unwell() -> None:
    fake = FakeYahoo(charts())
    fake.trouble = "html"
    with pytest.raises(FeedError) as caught:
        YahooFeed(fake.session()).bars(FOUR, DAYS[0], DAYS[4])
    assert caught.value.whole
    assert caught.value.refused == {}


def test_five_odd_answers_in_a_row_end_the_questions_and_the_others_are_asked_first_the_next_time() -> None:
    many = [Security(i, f"S{i}", "", "XNYS", "USD", "Equity") for i in range(1, 21)]
    fake = FakeYahoo(charts([f"S{i}" for i in range(1, 21)]))
    fake.bad = {f"S{i}": BAD["500"] for i in range(4, 12)}
    feed = YahooFeed(fake.session())
    with pytest.raises(FeedError) as caught:
        feed.bars(many, DAYS[0], DAYS[4])
    assert caught.value.whole
    assert {b.security_id for b in caught.value.partial} == {1, 2, 3}
    with pytest.raises(FeedError) as caught:
        feed.bars(many, DAYS[0], DAYS[4])
    assert {b.security_id for b in caught.value.partial} >= {1, 2, 3} | set(range(12, 21)) or caught.value.whole
    with pytest.raises(FeedError) as caught:
        feed.bars(many, DAYS[0], DAYS[4])
    assert {b.security_id for b in caught.value.partial} == {1, 2, 3, *range(12, 21)}


def test_one_that_hangs_is_asked_last_the_next_time() -> None:
    fake = FakeYahoo(charts())
    send = fake.send

    def hangs(request: Any, timeout: Any = None, **more: Any) -> Any:
        fake.trouble = "slow" if "/chart/BBB" in request.url else ""
        return send(request, timeout=timeout, **more)

    fake.send = hangs  # type: ignore[method-assign]
    feed = YahooFeed(fake.session())
    for expected in ({1}, {1, 3, 4}, {1, 3, 4}):
        with pytest.raises(FeedError, match="asked for BBB, no answer") as caught:
            feed.bars(FOUR, DAYS[0], DAYS[4])
        assert {b.security_id for b in caught.value.partial} == expected


# --- Yahoo: quotes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [(400, b"Bad Request"), (404, b"{}"), (200, b"<html>"), (200, {"finance": {"error": "x"}}), (500, b"oops")]
)
def test_a_symbol_that_spoils_a_round_of_quotes_is_found_and_left_out(
    bad: tuple[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(yahoo_feed.time, "monotonic", lambda: clock[0])
    hundred = [Security(i, f"S{i}", "", "XNYS", "USD", "Equity") for i in range(1, 101)]
    fake = FakeYahoo(quotes=[row(s.symbol) for s in hundred])
    fake.bad = {"S58": bad}
    feed = YahooFeed(fake.session())

    def asked() -> int:
        found = len([a for a, _ in fake.asked if "/v7/" in a])
        fake.asked.clear()
        return found

    with pytest.raises(FeedError, match=r"quotes of S58") as caught:
        feed.quotes(hundred, NOW)
    assert {q.security_id for q in caught.value.partial} == set(range(1, 101)) - {58}
    assert (list(caught.value.refused), caught.value.whole) == ([58], False)
    assert asked() <= 24, "seven halvings; yfinance asks once more where it gets an error"
    with pytest.raises(FeedError, match=r"quotes of S58") as caught:
        feed.quotes(hundred, NOW)
    assert len(caught.value.partial) == 99
    assert asked() == 1, "left out of the next round, and named all the same"
    clock[0] += 601
    with pytest.raises(FeedError):
        feed.quotes(hundred, NOW)
    assert asked() in (2, 3), "ten minutes later it is asked for alone"
    fake.bad, clock[0] = {}, clock[0] + 601
    assert len(feed.quotes(hundred, NOW)) == 100


@pytest.mark.parametrize(
    "change", [{"regularMarketTime": "soon"}, {"currency": 7}, {"currency": "EUR"}, {"marketState": []}]
)
def test_an_unreadable_row_costs_no_other_quote(change: dict[str, Any]) -> None:
    rows = [row("AAA"), row("BBB", **change), None, {"symbol": []}, row("CCC"), row("DDD")]
    with pytest.raises(FeedError, match="BBB") as caught:
        YahooFeed(_Answering(rows).session()).quotes(FOUR, NOW)
    assert {q.security_id for q in caught.value.partial} == {1, 3, 4}
    assert list(caught.value.refused) == [2]


class _Answering(FakeYahoo):
    """Answers every round of quotes with these rows."""

    def __init__(self, rows: list[Any]) -> None:
        super().__init__()
        self.given = rows

    def send(self, request: Any, timeout: Any = None, **more: Any) -> Any:
        answer = super().send(request, timeout=timeout, **more)
        if "/v7/finance/quote" in request.url:
            answer._content = json.dumps({"quoteResponse": {"result": self.given, "error": None}}).encode()
        return answer


def test_yahoo_that_says_nothing_sensible_of_any_quote_is_asked_a_few_times_only() -> None:
    fake = FakeYahoo(quotes=[])
    fake.trouble = "html"
    hundred = [Security(i, f"S{i}", "", "XNYS", "USD", "Equity") for i in range(1, 101)]
    with pytest.raises(FeedError) as caught:
        YahooFeed(fake.session()).quotes(hundred, NOW)
    assert caught.value.whole
    assert len([a for a, _ in fake.asked if "/v7/" in a]) <= 12


# --- files ---------------------------------------------------------------------------------------


def test_a_bad_line_of_a_price_file_costs_that_line(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text(
        "date,close\n2026-03-02,1\n2026-03-03,n/a\n2026-03-04,3\nyesterday,4\n2026-03-05,5\n2026-03-05,6\n"
    )
    (tmp_path / "BBB.csv").write_text("date,close\n2026-03-02,7\n")
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).bars(FOUR, DAYS[0], DAYS[4])
    assert [(b.security_id, b.on, b.close) for b in caught.value.partial] == [
        (1, DAYS[0], 1),
        (1, DAYS[2], 3),
        (2, DAYS[0], 7),
    ]
    said = caught.value.refused[1]
    for words in (
        "AAA.csv line 3: close 'n/a' is not a number",
        "line 5: date 'yesterday'",
        "line 7: date '2026-03-05' stands in the file twice",
    ):
        assert words in said
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).quotes(FOUR, NOW)
    assert [(q.security_id, q.price) for q in caught.value.partial] == [(1, 3), (2, 7)]


def test_a_bad_line_of_rates_or_actions_costs_neither_the_other_lines_nor_the_other_currencies(tmp_path: Path) -> None:
    (tmp_path / "fx.csv").write_text(
        "date,currency,rate\n2026-03-02,USD,1.1\n2026-03-02,GBP,zero\n2026-03-02,POUNDS,1\n2026-03-03,GBP,0.85\n"
    )
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).rates(["USD", "GBP"], DAYS[0], DAYS[4])
    assert caught.value.partial == [("GBP", DAYS[1], Decimal("0.85")), ("USD", DAYS[0], Decimal("1.1"))]
    assert set(caught.value.refused) == {"GBP", "POUNDS"}
    assert "fx.csv line 3: rate 'zero' is not a number" in caught.value.refused["GBP"]
    (tmp_path / "actions.csv").write_text(
        "symbol,kind,ex_on,amount\nAAA,dividend,2026-03-02,0.5\nBBB,dividend,2026-03-02,\nCCC,bonus,2026-03-02,1\nDDD,dividend,2026-03-03,0.1\n"
    )
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).actions(FOUR, DAYS[0], DAYS[4])
    assert [(a.security_id, a.amount) for a in caught.value.partial] == [(1, Decimal("0.5")), (4, Decimal("0.1"))]
    assert set(caught.value.refused) == {2, 3}


# --- the chain and the jobs ----------------------------------------------------------------------


class Some:
    """A feed that gives these rows, and refuses these."""

    def __init__(self, name: str, given: Sequence[Any] = (), refused: dict[Any, str] | None = None) -> None:
        self.name, self.given, self.refused = name, list(given), refused or {}
        self.asked: list[list[Any]] = []

    def _answer(self, wanted: Sequence[Any]) -> list[Any]:
        self.asked.append(list(wanted))
        if self.refused:
            raise FeedError("; ".join(self.refused.values()), self.given, self.refused)
        return self.given

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        return self._answer([s.symbol for s in securities])

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        return self._answer([s.symbol for s in securities])

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[Any]:
        return self._answer(currencies)

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        return self._answer([s.symbol for s in securities])


def rows(database: Database, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database.conninfo()) as c:
        return c.execute(query, parameters).fetchall()


def test_what_is_refused_is_no_failure_of_the_feed_and_the_next_is_asked_for_it(database: Database) -> None:
    first = Some("first", [QuoteRow(1, Decimal(5), None, "closed", "first", NOW)], {2: "first: BBB answered 400"})
    second_ = Some("second", [QuoteRow(2, Decimal(6), None, "closed", "second", NOW)])
    made = Feeds([first, second_])
    for _ in range(4):
        answer = made.quotes(FOUR[:2], NOW)
        assert answer.detail() == {"first": 1, "second": 1, "refused": {"XNYS:BBB": "first: BBB answered 400"}}
    assert second_.asked == [["BBB"]] * 4
    assert not made.resting()
    assert rows(database, "SELECT feed, successes, failures, last_error FROM feed_states ORDER BY 1") == [
        ("first", 4, 0, "first: BBB answered 400"),
        ("second", 4, 0, None),
    ]


def test_a_batch_of_nothing_but_bad_symbols_does_not_stop_the_next(database: Database) -> None:
    """150 securities are two questions: all of the first hundred are refused, the fifty of the second come."""
    many = [Security(i, f"S{i}", "", "XNYS", "USD", "Equity") for i in range(1, 151)]

    class Picky(Some):
        def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
            self.refused = {s.security_id: f"picky: {s.symbol}" for s in securities if s.security_id <= 100}
            self.given = [
                QuoteRow(s.security_id, Decimal(1), None, "closed", "picky", NOW)
                for s in securities
                if s.security_id > 100
            ]
            return super().quotes(securities, now)

    answer = Feeds([Picky("picky")]).quotes(many, NOW)  # type: ignore[list-item]
    assert len(answer.rows["picky"]) == 50
    assert len(answer.missing) == 100
    assert len(answer.detail()["missing"]) == 21, "the first twenty, and how many more"


@pytest.mark.parametrize(
    "bad",
    [
        Bar(2, DAYS[0], Decimal("1e-12")),  # rounds to nothing in the database
        Bar(2, DAYS[0], Decimal("1e30")),
        Bar(99, DAYS[0], Decimal(1)),  # of nobody who was asked for
        Bar(2, date(2020, 1, 1), Decimal(1)),
    ],
)
def test_a_bar_that_the_database_would_refuse_does_not_take_the_others_with_it(database: Database, bad: Bar) -> None:
    good = [
        Bar(1, DAYS[0], Decimal(1)),
        Bar(1, DAYS[0], Decimal(2)),
        Bar(3, DAYS[0], Decimal(3), open=Decimal(0), volume=Decimal("NaN")),
    ]
    answer = Feeds([Some("some", [*good, bad])]).bars(FOUR[:3], DAYS[0], DAYS[4])  # type: ignore[list-item]
    assert answer.rows["some"] == [Bar(1, DAYS[0], Decimal(1)), Bar(3, DAYS[0], Decimal(3))]


def test_a_dividend_that_is_paid_before_its_ex_date_loses_the_pay_date_alone(database: Database) -> None:
    paid = Action(1, "dividend", DAYS[3], DAYS[0], Decimal("0.5"), "USD")
    answer = Feeds([Some("some", [paid, Action(2, "dividend", DAYS[3], None, Decimal("1e-11"), "USD")])]).actions(
        FOUR, DAYS[0], DAYS[4]
    )  # type: ignore[list-item]
    assert answer.rows["some"] == [Action(1, "dividend", DAYS[3], None, Decimal("0.5"), "USD")]


def use(monkeypatch: pytest.MonkeyPatch, *some: Any) -> Feeds:
    made = Feeds(some)
    for module in (market_data, close_of_day, actions, upkeep):
        monkeypatch.setattr(module, "feeds", lambda: made)
    return made


def worked(job: Any, at: datetime) -> dict[str, Any]:
    write = job(at)
    with engine.jobs() as c:
        detail: dict[str, Any] = write(c)
    return detail


def test_the_run_and_the_page_name_it_until_it_is_answered_well(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BOLT of ACME, BOLT, CORE is refused with 400 in charts and quotes: the others have bars, dividends and quotes, run after run."""
    seed(database.owner(), NOW)
    fake = FakeYahoo(charts(SYMBOLS), [row(s) for s in SYMBOLS])
    fake.bad = {"BOLT": BAD["400"]}
    use(monkeypatch, YahooFeed(fake.session()))
    ann = rows(database, "SELECT user_id FROM users")[0][0]
    for n in range(3):
        at = NOW + timedelta(hours=n)
        assert worked(market_data.quotes, at)["refused"].keys() == {"XNYS:BOLT"}
        detail = worked(close_of_day.close_of_day, at)
        assert "yahoo: asked for BOLT, answered 400" in detail["refused"]["XNYS:BOLT"]
        assert worked(actions.actions, at)["refused"].keys() == {"XNYS:BOLT"}
    found = rows(
        database, "SELECT symbol, count(*) FROM price_history JOIN securities USING (security_id) GROUP BY 1 ORDER BY 1"
    )
    assert [symbol for symbol, _ in found] == ["ACME", "CORE"]
    assert rows(database, "SELECT symbol FROM asset_prices JOIN securities USING (security_id) ORDER BY 1") == [
        ("ACME",),
        ("CORE",),
    ]
    told = {(t.what, t.subject) for t in feeds.troubles(ann)}
    assert told == {("quotes", "XNYS:BOLT"), ("bars", "XNYS:BOLT"), ("actions", "XNYS:BOLT")} | {("rates", "USD")}
    assert rows(database, "SELECT 1 FROM dead_letters") == []
    fake.bad = {}
    use(monkeypatch, YahooFeed(fake.session()))
    for job in (market_data.quotes, close_of_day.close_of_day, actions.actions):
        worked(job, NOW + timedelta(hours=4))
    assert {t.what for t in feeds.troubles(ann)} == {"rates"}


def test_profiles_that_are_refused_do_not_end_the_questions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three in a row whose profile Yahoo answers with 400: the fourth is asked for."""
    seen = []

    class Refusing:
        name = "refusing"

        def profiles(self, names: Sequence[str], now: datetime) -> list[Any]:
            seen.extend(names)
            if names[0] != "XNYS:D":
                raise FeedError(f"refusing: {names[0]}", refused={names[0]: "answered 400"})
            return []

    use(monkeypatch, Refusing())
    upkeep._said.clear()
    every = [
        upkeep.Kept(
            i, s, "XNYS", s, "Equity", None, None, None, "USD", None, "none", None, "active", DAYS[0], None, None
        )
        for i, s in enumerate("ABCD")
    ]
    assert upkeep.profiles_of(every, NOW) == ({}, {3})
    assert seen == ["XNYS:A", "XNYS:B", "XNYS:C", "XNYS:D"]
