"""Prices, dividends and splits that are missing: far back, between two bars, for what is new; and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from conftest import Database
from seeds import SYMBOLS, seed

from core.book import Action
from core.calendar import Sessions
from core.fx import day_number
from core.ledger import Security
from core.price_gaps import Hole, holes, spanned
from db import books, engine, gaps, market
from jobs import actions, close_of_day, market_data, run
from jobs.feeds import FeedError
from jobs.feeds.csv_files import CsvFeed
from jobs.market_data import Feeds
from jobs.run import slot

NOW = datetime(2026, 3, 5, 17, 0, 3, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Given:
    """A feed made of what a test gives it: a price by symbol and day, rates and actions; what it was asked is kept."""

    name: str = "given"
    closes: dict[str, dict[date, str]] = field(default_factory=dict)
    known_rates: dict[tuple[str, date], str] = field(default_factory=dict)
    known_actions: Sequence[Action] = ()
    error: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, tuple[str, ...], date, date]] = field(default_factory=list)

    def _ask(self, what: str, names: Sequence[str], first: date, last: date) -> None:
        self.asked.append((what, tuple(names), first, last))
        if self.error:
            raise FeedError(f"{self.name}: {self.error}")

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[market.QuoteRow]:
        return []

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[market.Bar]:
        self._ask("bars", [s.symbol for s in securities], first, last)
        found = [
            market.Bar(s.security_id, on, Decimal(close))
            for s in securities
            for on, close in sorted(self.closes.get(s.symbol, {}).items())
            if first <= on <= last and s.symbol not in self.refused
        ]
        refused = {s.security_id: self.refused[s.symbol] for s in securities if s.symbol in self.refused}
        if refused:
            raise FeedError("; ".join(refused.values()), found, refused)
        return found

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        self._ask("rates", currencies, first, last)
        return [
            (c, on, Decimal(r)) for (c, on), r in self.known_rates.items() if c in currencies and first <= on <= last
        ]

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        self._ask("actions", [s.symbol for s in securities], first, last)
        if refused := {s.security_id: self.refused[s.symbol] for s in securities if s.symbol in self.refused}:
            raise FeedError("; ".join(refused.values()), [], refused)
        wanted = {s.security_id for s in securities}
        return [a for a in self.known_actions if a.security_id in wanted and first <= a.ex_on <= last]

    def of(self, what: str) -> list[tuple[tuple[str, ...], date, date]]:
        """What it was asked of one kind since the last time somebody looked."""
        found = [each[1:] for each in self.asked if each[0] == what]
        self.asked = [each for each in self.asked if each[0] != what]
        return found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_wait", lambda state: 0.0)
    books.forget()
    close_of_day._asked.clear()


def use(monkeypatch: pytest.MonkeyPatch, *feeds: Any) -> Feeds:
    made = Feeds(feeds)
    for module in (market_data, close_of_day, actions):
        monkeypatch.setattr(module, "feeds", lambda: made)
    return made


def rows(database: Database, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database.conninfo()) as c:
        return c.execute(query, parameters).fetchall()


def worked(job: Any, at: datetime) -> dict[str, Any]:
    """One run, as the scheduler does it: fetched outside, written in one transaction."""
    write = job(at)
    with engine.jobs() as c:
        detail: dict[str, Any] = write(c)
    return detail


def past(days: int, until: int = 1) -> list[date]:
    return [NOW.date() - timedelta(days=d) for d in range(days, until - 1, -1)]


def numbers(database: Database) -> dict[str, int]:
    return dict(rows(database, "SELECT symbol, security_id FROM securities"))


def book(
    database: Database, symbol: str, on: date, kind: str = "buy", into: str | None = None, reverses: Any = None
) -> Any:
    """An entry booked now, in the first portfolio, of any day; its number."""
    with database.owner() as c:
        c.execute("SET ROLE ballast_owner")
        row = c.execute(
            "INSERT INTO transactions (portfolio_id, kind, security_id, into_id, quantity, price, gross, currency, net, cash_currency, traded_on, settles_on, "
            "idempotency_key, source, recorded_by, reverses) SELECT p.portfolio_id, %(kind)s, (SELECT security_id FROM securities WHERE symbol = %(symbol)s), "
            "(SELECT security_id FROM securities WHERE symbol = %(into)s), 1, 10, 10, 'USD', -10, 'USD', %(on)s, %(on)s, gen_random_uuid()::text, 'test', "
            "p.created_by, %(reverses)s FROM portfolios p WHERE p.name = 'P0' RETURNING transaction_id",
            {"kind": kind, "symbol": symbol, "into": into, "on": on, "reverses": reverses},
        ).fetchone()
        c.commit()
    assert row
    return row[0]


def security(database: Database, symbol: str) -> None:
    with database.owner() as c:
        c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', %s, 'Equity', 'USD')",
            (symbol, symbol),
        )
        c.commit()


def everywhere(days: Sequence[date], close: str = "12.5") -> dict[str, dict[date, str]]:
    return {symbol: dict.fromkeys(days, close) for symbol in SYMBOLS}


USD = {("USD", d): "1.1" for d in past(60)}


# --- gaps: found ---------------------------------------------------------------------------------


def weekdays(first: date, last: date) -> Sessions:
    days = [n for n in range(day_number(first), day_number(last) + 1) if (n + 3) % 7 < 5]
    opens = np.array([n * 86400 + 52200 for n in days], np.int64)
    return Sessions("XNYS", "America/New_York", np.array(days, np.int32), opens, opens + 23400)


def numbered(days: Sequence[date]) -> Any:
    return np.array([day_number(d) for d in days], np.int32)


def test_holes_are_runs_of_sessions_without_a_bar() -> None:
    """March 2026: Sunday the 1st. Weekends are no sessions, so a run goes over them; a bar in between cuts it."""
    march = weekdays(date(2026, 1, 1), date(2026, 12, 31))
    bars = numbered([date(2026, 2, 27), date(2026, 3, 11), date(2026, 3, 13), date(2026, 3, 16)])
    assert holes(march, bars, None, None) == [
        Hole(date(2026, 3, 2), date(2026, 3, 10), 7, False),
        Hole(date(2026, 3, 12), date(2026, 3, 12), 1, False),
    ]
    assert holes(march, bars[:0], date(2026, 1, 5), date(2026, 1, 5)) == [], "without any bar it is new, and no gap"
    assert holes(march, bars[-2:], None, None) == []
    assert spanned(date(2026, 3, 2), date(2026, 3, 10)) == "2026-03-02 … 03-10"
    assert spanned(date(2025, 12, 30), date(2026, 1, 2)) == "2025-12-30 … 2026-01-02"


def test_what_lies_before_the_first_bar_counts_from_the_first_trade() -> None:
    """First trade on Friday 20 February, asked for from the 10th; the first bar is of the 27th: 20, 23, 24, 25, 26 are needed."""
    year = weekdays(date(2026, 1, 1), date(2026, 12, 31))
    bars = numbered([date(2026, 2, 27), date(2026, 3, 2)])
    assert holes(year, bars, date(2026, 2, 10), date(2026, 2, 20)) == [
        Hole(date(2026, 2, 10), date(2026, 2, 26), 5, True)
    ]
    assert holes(year, bars, date(2026, 2, 17), date(2026, 2, 27)) == [
        Hole(date(2026, 2, 17), date(2026, 2, 26), 0, True)
    ], "only the margin is missing: asked for once, and not told"
    assert holes(year, bars, date(2026, 2, 28), date(2026, 3, 10)) == []


def test_before_the_calendar_begins_every_weekday_is_a_session() -> None:
    """The calendar begins on Thursday 1 January 2026; the 29th to the 31st of December were weekdays."""
    year = weekdays(date(2026, 1, 1), date(2026, 12, 31))
    assert holes(year, numbered([date(2026, 1, 2)]), date(2025, 12, 27), date(2025, 12, 30)) == [
        Hole(date(2025, 12, 29), date(2026, 1, 1), 3, True)
    ]


# --- B2: further back ----------------------------------------------------------------------------


def test_bars_are_fetched_back_to_an_older_purchase_that_is_booked_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, _ = seed(database.owner(), NOW)
    days = past(40)
    feed = Given(closes=everywhere(days), known_rates=USD)
    use(monkeypatch, feed)
    assert worked(close_of_day.close_of_day, NOW)["bars"] == 90, "ten days of margin before the first trade: −30 … −1"
    assert close_of_day.due(NOW) is None
    with engine.owner() as c:
        c.execute("UPDATE portfolios SET restate_from = NULL")
    older = NOW.date() - timedelta(days=25)
    book(database, "ACME", older)
    assert close_of_day.due(NOW) == slot(NOW, 60), "at once"
    feed.of("bars")
    detail = worked(close_of_day.close_of_day, NOW)
    assert feed.of("bars") == [(("ACME",), NOW.date() - timedelta(days=35), NOW.date() - timedelta(days=30))]
    assert detail["filled"] == 5
    assert rows(database, 'SELECT min("on") FROM price_history h JOIN securities USING (security_id) WHERE symbol = %s', "ACME") == [(past(35)[0],)]  # fmt: skip
    assert close_of_day.due(NOW) is None
    assert gaps.all_of(recorded) == []


def test_a_feed_that_has_nothing_older_is_remembered_and_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    feed = Given(closes=everywhere(past(22)), known_rates=USD)
    feed.closes["CORE"] = dict.fromkeys(past(12), "12.5")  # a listing younger than its first trade of 20 days ago
    use(monkeypatch, feed)
    worked(close_of_day.close_of_day, NOW)
    assert close_of_day.due(NOW) == slot(NOW, 60)
    feed.of("bars")
    assert worked(close_of_day.close_of_day, NOW) == {"bars": 0}
    assert [(names, first) for names, first, _ in feed.of("bars")] == [((s,), past(30)[0]) for s in SYMBOLS]
    (one,) = gaps.all_of(next(iter(rows(database, "SELECT user_id FROM users")))[0])
    assert (one.symbol, one.sessions, str(one)) == ("CORE", 8, f"no prices before {past(12)[0]} from given")
    for later in (HOUR, DAY, 6 * DAY):
        at = NOW + later
        feed.closes |= {
            s: closes | {at.date() - timedelta(days=n): "12.5" for n in range(8)} for s, closes in feed.closes.items()
        }
        worked(close_of_day.close_of_day, at)
        assert all(first > past(20)[0] for _, first, _ in feed.of("bars")), "asked again rarely"
    worked(close_of_day.close_of_day, NOW + 7 * DAY)
    assert [names for names, first, _ in feed.of("bars") if first == past(30)[0]] == [(s,) for s in SYMBOLS]
    feed.closes["CORE"] |= dict.fromkeys(past(30), "12")
    worked(close_of_day.close_of_day, NOW + 38 * DAY)
    assert rows(database, 'SELECT min("on") FROM price_history h JOIN securities USING (security_id) WHERE symbol = %s', "CORE") == [(past(30)[0],)]  # fmt: skip


def test_a_question_that_failed_is_not_taken_for_an_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given(closes=everywhere(past(12)), known_rates=USD)
    use(monkeypatch, feed)
    worked(close_of_day.close_of_day, NOW)
    feed.refused = {"CORE": "given: CORE is unreadable"}
    detail = worked(close_of_day.close_of_day, NOW + timedelta(minutes=1))
    assert detail["refused"] == {"XNYS:CORE": "given: CORE is unreadable"}
    tries = dict(rows(database, "SELECT symbol, tries FROM price_gaps JOIN securities USING (security_id)"))
    assert tries == {"ACME": 1, "BOLT": 1, "CORE": 0}
    feed.refused = {}
    feed.closes["CORE"] = dict.fromkeys(past(40), "12.5")
    assert worked(close_of_day.close_of_day, NOW + 2 * HOUR)["filled"] == 18, "an hour later: −30 … −13"


def test_an_older_purchase_needs_older_rates_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given(closes=everywhere(past(60)), known_rates=USD)
    use(monkeypatch, feed)
    worked(close_of_day.close_of_day, NOW)
    assert rows(database, "SELECT min(\"on\") FROM fx_rates WHERE quote = 'USD'") == [(past(30)[0],)]
    book(database, "ACME", past(40)[0])
    feed.of("rates")
    worked(close_of_day.close_of_day, NOW)
    assert (("USD",), past(50)[0], past(30)[0]) in feed.of("rates")
    assert rows(database, "SELECT min(\"on\") FROM fx_rates WHERE quote = 'USD'") == [(past(50)[0],)]
    worked(close_of_day.close_of_day, NOW)
    assert [first for _, first, _ in feed.of("rates")] == [past(1)[0]], "asked back once"


def test_a_purchase_that_was_reversed_asks_for_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    use(monkeypatch, Given(closes=everywhere(past(40)), known_rates=USD))
    worked(close_of_day.close_of_day, NOW)
    wrong = book(database, "ACME", date(1999, 1, 4))
    book(database, "ACME", date(1999, 1, 4), kind="reversal", reverses=wrong)
    assert close_of_day.due(NOW) is None


def test_what_a_spin_off_or_a_merger_ends_in_is_priced_from_that_day(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    security(database, "SPUN")
    feed = Given(closes=everywhere(past(40)) | {"SPUN": dict.fromkeys(past(40), "3")}, known_rates=USD)
    use(monkeypatch, feed)
    worked(close_of_day.close_of_day, NOW)
    book(database, "ACME", past(15)[0], kind="spin_off", into="SPUN")
    assert close_of_day.due(NOW) == slot(NOW, 60)
    assert worked(close_of_day.close_of_day, NOW)["bars"] == 25, "fifteen days and the margin of ten"


# --- B3: gaps ------------------------------------------------------------------------------------


def holed(database: Database, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[date]:
    """An installation on files; ACME's lacks seven sessions, −12 … −6, and they are noticed."""
    seed(database.owner(), NOW)
    lacking = past(12, 6)
    for symbol in SYMBOLS:
        write_file(folder, symbol, [d for d in past(30) if symbol != "ACME" or d not in lacking])
    (folder / "fx.csv").write_text("date,currency,rate\n" + "".join(f"{d},USD,1.1\n" for d in past(30)))
    use(monkeypatch, CsvFeed(folder))
    worked(close_of_day.close_of_day, NOW)
    return lacking


def write_file(folder: Path, symbol: str, days: Sequence[date], close: str = "12.5") -> None:
    (folder / f"{symbol}.csv").write_text("date,close\n" + "".join(f"{d},{close}\n" for d in days))


def test_sessions_missing_in_a_file_that_is_completed_later_are_filled(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lacking = holed(database, monkeypatch, tmp_path)
    at = NOW + timedelta(minutes=1)
    assert close_of_day.due(at) == slot(at, 60), "asked for once more at once"
    assert worked(close_of_day.close_of_day, at) == {"bars": 0}
    ann = rows(database, "SELECT user_id FROM users")[0][0]
    (gap,) = gaps.all_of(ann)
    assert (gap.symbol, gap.sessions, gap.first, gap.last, gap.tries) == ("ACME", 7, lacking[0], lacking[-1], 1)
    assert str(gap) == f"7 sessions without a price: {lacking[0]} … {lacking[-1]:%m-%d}"
    with engine.owner() as c:
        c.execute("UPDATE portfolios SET restate_from = NULL")
    write_file(tmp_path, "ACME", past(30))
    assert close_of_day.due(at + timedelta(minutes=50)) is None
    later = at + HOUR
    assert close_of_day.due(later) == slot(later, 60)
    assert worked(close_of_day.close_of_day, later) == {"bars": 0, "filled": 7, "to_restate": 2}
    assert rows(database, "SELECT restate_from FROM portfolios") == [(lacking[0],)] * 2
    assert close_of_day.due(later) is None
    assert gaps.all_of(ann) == []


def test_a_gap_is_asked_for_after_an_hour_a_day_a_week_and_then_every_month(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holed(database, monkeypatch, tmp_path)
    asked = [NOW + timedelta(minutes=1)]
    worked(close_of_day.close_of_day, asked[0])
    for n in range(1, 75 * 48):
        at = asked[0] + n * timedelta(minutes=30)
        with engine.jobs() as c:
            due = gaps.due(c, at, 10)
        if due:
            worked(close_of_day.close_of_day, at)
            asked.append(at)
    waits = [b - a for a, b in pairwise(asked)]
    assert waits == [HOUR, DAY, 7 * DAY, 30 * DAY, 30 * DAY]


def test_a_gap_that_is_filled_in_part_is_smaller_and_stays_as_old(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lacking = holed(database, monkeypatch, tmp_path)
    worked(close_of_day.close_of_day, NOW + timedelta(minutes=1))
    write_file(tmp_path, "ACME", [d for d in past(30) if d not in lacking or d == lacking[3]])
    later = NOW + 2 * HOUR
    assert worked(close_of_day.close_of_day, later)["filled"] == 1
    assert close_of_day.due(later + HOUR) is None, "the rest was asked for a moment ago"
    found = rows(database, "SELECT first_on, last_on, sessions, tries FROM price_gaps ORDER BY 1")
    assert found == [(lacking[0], lacking[2], 3, 2), (lacking[4], lacking[6], 3, 2)]


def test_the_next_feed_is_asked_for_the_days_that_the_first_lacks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has the bars at both ends of the gap and one day in it: the second fills the others, and changes nothing of the first's."""
    seed(database.owner(), NOW)
    lacking = past(12, 6)
    first = Given("first", everywhere([d for d in past(30) if d not in lacking]), USD)
    use(monkeypatch, first)
    worked(close_of_day.close_of_day, NOW)
    first.closes["ACME"][lacking[0]] = "12.4"
    second = Given("second", everywhere(past(30), "12.6"))
    use(monkeypatch, first, second)
    assert worked(close_of_day.close_of_day, NOW + timedelta(minutes=1))["filled"] == 21
    found = rows(database, 'SELECT provider, count(*), min(close), max(close) FROM price_history h JOIN securities USING (security_id) WHERE symbol = %s GROUP BY 1 ORDER BY 1', "ACME")  # fmt: skip
    assert found == [("first", 24, Decimal("12.4"), Decimal("12.5")), ("second", 6, Decimal("12.6"), Decimal("12.6"))]
    assert rows(database, "SELECT 1 FROM price_corrections") == []


def test_the_next_feed_is_asked_for_a_session_that_the_first_has_not_got(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answers with the bar that is there already: that is no answer for the new session."""
    seed(database.owner(), NOW)
    first = Given("first", everywhere(past(30, 2)), USD)
    use(monkeypatch, first, Given("second", everywhere(past(30), "13")))
    detail = worked(close_of_day.close_of_day, NOW)
    assert detail["bars"] == 90
    assert "still_missing" not in detail
    assert rows(database, "SELECT provider, count(*) FROM price_history GROUP BY 1 ORDER BY 1") == [
        ("first", 87),
        ("second", 3),
    ]


def test_a_day_that_was_rebuilt_without_a_price_is_rebuilt_again_and_one_that_was_recorded_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lacking = holed(database, monkeypatch, tmp_path)
    rebuilt, recorded = (p for (p,) in rows(database, "SELECT portfolio_id FROM portfolios ORDER BY name"))
    with engine.owner() as c:
        c.execute("UPDATE portfolios SET restate_from = NULL")
        for portfolio, since in (
            (rebuilt, timedelta(0)),
            (recorded, timedelta(minutes=5)),
        ):  # the snapshot of the close, or one before it
            for on in lacking:
                c.execute(
                    "INSERT INTO portfolio_snapshots SELECT %s, close_at - %s, 1, 1, 0, 1, 1, true, '1' FROM trading_sessions WHERE \"on\" = %s",
                    (portfolio, since, on),
                )
    write_file(tmp_path, "ACME", past(30))
    assert worked(close_of_day.close_of_day, NOW + timedelta(minutes=1))["filled"] == 7
    assert dict(rows(database, "SELECT portfolio_id, restate_from FROM portfolios")) == {
        rebuilt: lacking[0],
        recorded: None,
    }


# --- A8, C4: dividends and splits ----------------------------------------------------------------


def test_dividends_and_splits_are_asked_back_to_the_first_trade_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    acme = numbers(database)["ACME"]
    book(database, "ACME", date(2014, 6, 2))
    split = Action(acme, "split", date(2014, 6, 9), ratio=Fraction(7))
    feed = Given(known_actions=[split])
    use(monkeypatch, feed)
    assert worked(actions.actions, NOW)["changed"] == 1
    first = {names: first for names, first, _ in feed.of("actions")}
    assert first[("ACME",)] <= date(2014, 5, 23)
    assert rows(database, "SELECT ex_on, ratio_new, ratio_old FROM corporate_actions") == [(date(2014, 6, 9), 7, 1)]
    later = NOW + 6 * HOUR
    assert actions.due(later) == later.replace(hour=18, minute=0, second=0)
    worked(actions.actions, later)
    assert [first for _, first, _ in feed.of("actions")] == [NOW.date() - timedelta(days=60)], "then only what is new"
    worked(actions.actions, NOW + 100 * DAY)
    assert [first for _, first, _ in feed.of("actions")] == [NOW.date() - timedelta(days=60)], (
        "and since the last answer"
    )


def test_a_benchmark_is_needed_from_the_first_trade_that_is_measured_against_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    security(database, "WIDE")
    book(database, "ACME", date(2010, 3, 1))
    with database.owner() as c:
        c.execute("UPDATE portfolios SET benchmark_id = (SELECT security_id FROM securities WHERE symbol = 'WIDE')")
        c.commit()
    feed = Given()
    use(monkeypatch, feed)
    worked(actions.actions, NOW)
    asked = {name: first for names, first, _ in feed.of("actions") for name in names}
    assert asked["WIDE"] <= date(2010, 2, 19)
    assert asked["BOLT"] > date(2010, 3, 1)


def test_an_older_bar_or_purchase_asks_further_back_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.owner(), NOW)
    feed = Given()
    use(monkeypatch, feed)
    worked(actions.actions, NOW)
    feed.of("actions")
    with engine.jobs() as c:
        market.upsert_bars(c, [market.Bar(numbers(database)["CORE"], date(2001, 5, 7), Decimal(9))], "csv")
    book(database, "BOLT", date(2003, 1, 6))
    at = NOW + timedelta(minutes=1)
    assert actions.due(at) == slot(at, 60)
    worked(actions.actions, at)
    asked = {name: first for names, first, _ in feed.of("actions") for name in names}
    assert set(asked) == {"BOLT", "CORE"}, "the others were asked a minute ago"
    assert asked["CORE"] <= date(2001, 4, 27)
    assert asked["BOLT"] <= date(2002, 12, 27)
    assert actions.due(at) == at.replace(hour=12, minute=0, second=0)


def test_what_is_newly_held_or_measured_against_is_asked_for_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    feed = Given()
    use(monkeypatch, feed)
    worked(actions.actions, NOW)
    feed.of("actions")
    evening = NOW.replace(hour=18, minute=20)
    worked(actions.actions, evening)
    feed.of("actions")
    for symbol in ("PAYS", "WIDE"):
        security(database, symbol)
    book(database, "PAYS", NOW.date())
    with database.owner() as c:
        c.execute("UPDATE portfolios SET benchmark_id = (SELECT security_id FROM securities WHERE symbol = 'WIDE')")
        c.commit()
    at = NOW.replace(hour=18, minute=31)
    assert actions.due(at) == slot(at, 60)
    feed.known_actions = [Action(numbers(database)["PAYS"], "dividend", NOW.date() + DAY, None, Decimal("0.5"), "USD")]
    assert worked(actions.actions, at)["changed"] == 1
    assert {name for names, _, _ in feed.of("actions") for name in names} == {"PAYS", "WIDE"}


def test_one_that_nobody_answers_for_is_asked_for_hourly_and_costs_the_others_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.owner(), NOW)
    feed = Given(refused={"BOLT": "given: BOLT answered 400"})
    use(monkeypatch, feed)
    detail = worked(actions.actions, NOW)
    assert detail["refused"] == {"XNYS:BOLT": "given: BOLT answered 400"}
    feed.of("actions")
    dues = {actions.due(NOW + timedelta(minutes=n)) for n in range(120)}
    assert dues == {slot(NOW + n * HOUR, 3600) for n in range(2)}
    worked(actions.actions, NOW + HOUR)
    assert {name for names, _, _ in feed.of("actions") for name in names} == {"BOLT", "ACME", "CORE"}, (
        "a round began at 18:00"
    )
    worked(actions.actions, NOW + 2 * HOUR)
    assert {name for names, _, _ in feed.of("actions") for name in names} == {"BOLT"}
