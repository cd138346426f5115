"""Upkeep on the real database: each job finds what it should and nothing else, again changes nothing, and people decide by tracked tasks."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, bar_days, installed, weekdays
from streamlit.testing.v1 import AppTest

from core import adjusted_closes
from core.adjusted_closes import Day, compare
from core.book import Action
from core.ledger import Security
from core.master import InvalidField, PlanOutdated, StillReferenced
from core.profiles import Profile
from core.upkeep import Kept, cells_of, reclassified, spoken, standing
from db import access, engine, market, master, reports, tasks, upkeep
from db import runs as job_runs
from db.access import AccessDenied
from db.market import Bar
from db.upkeep import NoSuchProposal, Proposal, ProposalDecided
from jobs import run
from jobs import upkeep as jobs
from jobs.feeds import FeedError
from jobs.feeds.csv_files import CsvFeed
from jobs.feeds.yahoo import actions_in, bars_in
from jobs.market_data import Feeds
from jobs.run import Worker
from jobs.tasks import work_one
from settings import settings
from ui import session


@dataclass
class Said:
    """A feed of what a test gives it: profiles by what is asked for, bars with their adjusted closes, an error for every question."""

    name: str = "said"
    known: dict[str, list[Profile]] = field(default_factory=dict)
    given: list[Bar] = field(default_factory=list)
    error: str = ""
    asked: list[str] = field(default_factory=list)

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        self.asked += names
        if self.error:
            raise FeedError(self.error)
        return [p for name in names for p in self.known.get(name, [])]

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        ids = {s.security_id for s in securities}
        return [b for b in self.given if b.security_id in ids and first <= b.on <= last]


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        yield made


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_wait", lambda state: 0.0)
    jobs._said.clear()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Said:
    said = Said()
    monkeypatch.setattr(jobs, "feeds", lambda: Feeds([said]))  # type: ignore[list-item]
    return said


def look(small: Small, job: Any) -> dict[str, int]:
    """One run of a job, as the scheduler does it."""
    jobs._said.clear()
    write = job(small.now)
    with engine.jobs() as c:
        detail: dict[str, int] = write(c)
    return detail


def found(small: Small, *status: str) -> list[Proposal]:
    return sorted(upkeep.proposals(small.user("ben"), status or ("open",)), key=lambda p: (p.symbol, p.field))


def said(small: Small) -> list[str]:
    return [str(p) for p in found(small)]


def rows(small: Small, query: str, *parameters: Any) -> list[Any]:
    with small.database.owner() as c:
        return c.execute(query, parameters).fetchall()


def change(small: Small, query: str, *parameters: Any) -> None:
    with small.database.owner() as c:
        c.execute(query, parameters)


def worked() -> int:
    worker, n = Worker(Event()), 0
    while work_one(worker):
        n += 1
    return n


# --- reclassification ------------------------------------------------------------------------------


def test_reclassification_proposes_what_differs_and_nothing_else(small: Small, feed: Said) -> None:
    feed.known = {
        "XNYS:ACME": [Profile("ACME", "XNYS", "Acme, \"the\" works Inc.", "USD", "Equity", "Technology", "Software", "US", provider="said")],
        "XNYS:BOLT": [Profile("BOLT", "XNYS", "Volt Industries", "USD", "Equity", "Basic Materials", None, "DE", dividend_frequency="annual", provider="said")],
        "XETR:RHEIN": [Profile("RHEIN", "XNYS", "Another", "USD", "Equity", "Utilities", provider="said")],
        "XNYS:FUND": [Profile("FUND", "XNYS", None, "USD", "Fund", "No such sector", None, None, provider="said")],
    }  # fmt: skip
    change(
        small,
        "UPDATE securities SET sector_id = (SELECT sector_id FROM sectors WHERE sector = 'Information Technology' AND industry = 'Software' AND subsector = '') WHERE symbol = 'ACME'",
    )
    assert look(small, jobs.reclassify) == {"found": 4, "new": 4, "superseded": 0}
    assert said(small) == [
        "XNYS:BOLT country: US → DE",
        "XNYS:BOLT dividend frequency: none → annual",
        "XNYS:BOLT name: Bolt → Volt Industries",
        "XNYS:BOLT sector: Energy → Materials",
    ], "RHEIN of another exchange is another security; a sector that is not ours is no proposal"
    assert {p.found_by for p in found(small)} == {"said"}
    before = found(small)
    assert look(small, jobs.reclassify) == {"found": 4, "new": 0, "superseded": 0}
    assert found(small) == before, "the same again changes nothing"
    feed.error = "away"
    with pytest.raises(FeedError):
        look(small, jobs.reclassify)
    assert found(small) == before, "a feed that does not answer takes nothing back"
    feed.error, feed.known["XNYS:BOLT"] = "", [replace(feed.known["XNYS:BOLT"][0], country="FR", name="Bolt")]
    assert look(small, jobs.reclassify) == {"found": 3, "new": 1, "superseded": 2}
    assert [str(p) for p in found(small, "superseded")] == [
        "XNYS:BOLT country: US → DE",
        "XNYS:BOLT name: Bolt → Volt Industries",
    ]


def test_a_feed_that_fails_for_one_security_leaves_its_proposals_alone(
    small: Small, feed: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.known = {"XNYS:BOLT": [Profile("BOLT", "XNYS", country="DE", provider="said")]}
    look(small, jobs.reclassify)
    asked = feed.profiles

    def partly(names: Sequence[str], now: datetime) -> list[Profile]:
        if "XNYS:BOLT" in names:
            raise FeedError("one line is broken")
        return asked(names, now)

    monkeypatch.setattr(feed, "profiles", partly)
    assert look(small, jobs.reclassify)["superseded"] == 0
    assert said(small) == ["XNYS:BOLT country: US → DE"]


def test_the_same_name_written_otherwise_is_no_proposal() -> None:
    one = Kept(
        1,
        "AAPL",
        "XNAS",
        "Apple",
        "Equity",
        None,
        None,
        "US",
        "USD",
        None,
        "none",
        None,
        "active",
        date(1900, 1, 1),
        None,
        None,
    )
    for name in ("Apple Inc.", "APPLE", "apple, Inc"):
        assert reclassified(one, Profile("AAPL", "XNAS", name), []) == []
    assert len(reclassified(one, Profile("AAPL", "XNAS", "Pear Computer"), [])) == 1
    assert len(reclassified(replace(one, name="AAPL"), Profile("AAPL", "XNAS", "AAPL Holdings"), [])) == 1, (
        "a symbol is no name"
    )


# --- asset classes ----------------------------------------------------------------------------------


def test_classes_are_held_to_the_feed_to_other_listings_and_to_our_rules(small: Small, feed: Said) -> None:
    feed.known = {
        "XNYS:FUND": [Profile("FUND", "XNYS", asset_class="Equity", provider="said")],
        "XNYS:BOLT": [Profile("BOLT", "XNYS", asset_class="Equity")],
    }
    change(
        small,
        "UPDATE securities SET sector_id = (SELECT min(sector_id) FROM sectors WHERE sector = 'Energy') WHERE symbol = 'WIDE'",
    )
    change(
        small,
        "INSERT INTO securities (symbol, exchange, name, isin, asset_class, currency) VALUES ('ACMEF', 'XETR', 'Acme', 'US0378331005', 'Fund', 'EUR')",
    )
    with engine.jobs() as c:
        today = small.now.date()
        market.upsert_actions(c, [Action(small.securities["BOLT"], "dividend", today - timedelta(days=d), None, Decimal("0.1"), "USD") for d in (30, 121, 212, 303)], "csv")  # fmt: skip
    assert look(small, jobs.verify_classes) == {"found": 4, "new": 4, "superseded": 0}
    assert said(small) == [
        "XETR:ACMEF asset class: Fund → Equity",
        "XNYS:BOLT dividend frequency: none → quarterly",
        "XNYS:FUND asset class: Fund → Equity",
        "XNYS:WIDE sector: Energy → none",
    ]
    assert "XNYS:ACME is the same security by its ISIN" in found(small)[0].why
    assert look(small, jobs.verify_classes) == {"found": 4, "new": 0, "superseded": 0}
    feed.error = "away"
    assert look(small, jobs.verify_classes)["superseded"] == 0, "rules of our own need no feed, and the feed's stay"


# --- halts, delistings, symbols ---------------------------------------------------------------------


def forget_bars(small: Small, symbol: str, sessions: int) -> date:
    """Take the newest bars (and quotes) of a security away; the first day that is missing."""
    since = bar_days(small.now)[-sessions]
    change(small, 'DELETE FROM price_history WHERE security_id = %s AND "on" >= %s', small.securities[symbol], since)
    change(small, "DELETE FROM asset_prices WHERE security_id = %s", small.securities[symbol])
    return since


def test_what_no_longer_trades_is_halted_then_delisted_against_the_calendar(small: Small, feed: Said) -> None:
    late = bar_days(small.now)[-30]
    since = forget_bars(small, "BOLT", 6)
    forget_bars(small, "FUND", 4)
    look(small, jobs.listings)
    assert said(small) == [
        f"XNYS:BOLT status: active → halted since {since}",
        f"XNYS:LATE status: active → delisted since {late}",
    ]
    assert "6 sessions" in found(small)[0].why
    assert "30 sessions" in found(small)[1].why
    assert look(small, jobs.listings) == {"found": 2, "new": 0, "superseded": 0}
    # it is halted now; a price comes: it trades again
    upkeep.accept(small.user("ben"), [found(small)[0].proposal_id])
    worked()
    assert rows(small, "SELECT status, ended_on FROM securities WHERE symbol = 'BOLT'") == [("halted", None)]
    assert look(small, jobs.listings)["new"] == 0
    with engine.jobs() as c:
        market.upsert_bars(c, [Bar(small.securities["BOLT"], bar_days(small.now)[-1], Decimal(40))], "csv")
    look(small, jobs.listings)
    assert said(small)[0] == "XNYS:BOLT status: halted → active"


def test_what_trades_again_is_proposed_once_however_often_it_was_priced_since(small: Small, feed: Said) -> None:
    """Dismissed today it does not come back tomorrow with another day; after another halt it does."""
    acme, ben = small.securities["ACME"], small.user("ben")
    change(small, "UPDATE securities SET status = 'halted' WHERE security_id = %s", acme)
    look(small, jobs.listings)
    (again,) = [p for p in found(small) if p.security_id == acme]
    assert (again.after, "it trades again" in again.why) == ({"status": "active"}, True)
    upkeep.dismiss(ben, again.proposal_id, "the halt is ours")
    change(small, "DELETE FROM asset_prices WHERE security_id = %s", acme)  # as if it was another day
    look(small, jobs.listings)
    assert not [p for p in found(small) if p.security_id == acme]
    change(small, "UPDATE securities SET status = 'active' WHERE security_id = %s", acme)
    change(small, "INSERT INTO proposals (kind, security_id, field, before, after, why, found_by, status, decided_at, decided_by) SELECT kind, security_id, field, "
           "'{\"status\": \"active\"}', '{\"status\": \"halted\", \"on\": \"2026-01-05\"}', why, found_by, 'accepted', clock_timestamp(), decided_by FROM proposals WHERE proposal_id = %s",
           again.proposal_id)  # fmt: skip
    change(small, "UPDATE securities SET status = 'halted' WHERE security_id = %s", acme)
    look(small, jobs.listings)
    (once_more,) = [p for p in found(small) if p.security_id == acme]
    upkeep.accept(ben, [once_more.proposal_id])
    assert worked() == 1
    assert rows(small, "SELECT status FROM securities WHERE security_id = %s", acme) == [("active",)]


def test_what_a_person_prices_by_hand_is_never_halted(small: Small, feed: Said) -> None:
    """Two that no feed knows: one was priced today, the other months ago."""
    one, other = small.securities["ACME"], small.securities["BOLT"]
    days = bar_days(small.now)
    change(small, "DELETE FROM asset_prices WHERE security_id = ANY (%s)", [one, other])
    change(small, "UPDATE price_history SET provider = 'manual' WHERE security_id = ANY (%s)", [one, other])
    change(small, 'DELETE FROM price_history WHERE security_id = %s AND "on" > %s', one, days[200])
    look(small, jobs.listings)
    assert not [p for p in found(small) if p.security_id in (one, other)]


def test_a_dividend_after_the_last_compared_day_that_is_no_dividend_breaks_nothing() -> None:
    """Somebody typed 50 instead of 0.50 for today, of which the feed has no adjusted close yet."""
    days = [date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)]
    bars = [Day(on, 10.0, Decimal(10) if on < days[2] else None) for on in days]
    found = compare(bars, [Action(1, "dividend", days[2], None, Decimal(50), "USD", None)], "USD")
    assert found is not None
    assert (found.agrees, found.on, found.ours) == (False, days[1], None)
    assert "not below the price before it" in found.cause


def test_a_feed_that_is_down_makes_nobody_halted(small: Small, feed: Said) -> None:
    for symbol in small.securities:
        if symbol != "NEVER":
            forget_bars(small, symbol, 40)
    look(small, jobs.listings)
    assert said(small) == []


def test_who_is_alone_with_a_feed_counts_while_it_answers(small: Small, feed: Said) -> None:
    since = forget_bars(small, "EDO", 8)
    change(small, "UPDATE price_history SET provider = 'tokyo' WHERE security_id = %s", small.securities["EDO"])
    look(small, jobs.listings)
    assert "EDO" not in " ".join(said(small)), "nobody knows whether that feed works"
    change(small, "INSERT INTO feed_states (feed, last_success_at, successes) VALUES ('tokyo', now(), 1)")
    look(small, jobs.listings)
    assert f"XTKS:EDO status: active → halted since {since}" in said(small)


def test_a_matured_bond_is_retired_once_nobody_holds_it(small: Small, feed: Said) -> None:
    gone = small.now.date() - timedelta(days=3)
    change(
        small,
        "UPDATE securities SET asset_class = 'Fixed Income', matures_on = %s WHERE symbol IN ('FUND', 'NEVER')",
        gone,
    )
    look(small, jobs.listings)
    mine = {p.symbol: p for p in found(small) if p.symbol != "LATE"}
    assert {s: str(p) for s, p in mine.items()} == {
        s: f"XNYS:{s} status: active → retired since {gone}" for s in ("FUND", "NEVER")
    }
    with pytest.raises(StillReferenced, match="holds 70 units"):
        upkeep.plan(small.user("anna"), [mine["FUND"].proposal_id])
    task = upkeep.accept(small.user("ben"), [mine["NEVER"].proposal_id])
    assert tasks.task_of(small.user("ben"), task).kind == "delist", "it needs the right to remove"
    change(small, "UPDATE portfolios SET benchmark_id = %s", small.securities["NEVER"])
    worked()
    failed = tasks.task_of(small.user("ben"), task)
    assert (failed.status, (failed.error or {})["class"]) == ("failed", "StillReferenced"), (
        "asked again before it is written"
    )
    change(small, "UPDATE portfolios SET benchmark_id = NULL WHERE benchmark_id = %s", small.securities["NEVER"])
    look(small, jobs.listings)
    (again,) = [p for p in found(small) if p.symbol == "NEVER"]
    upkeep.accept(small.user("ben"), [again.proposal_id])
    worked()
    assert rows(small, "SELECT status, ended_on FROM securities WHERE symbol = 'NEVER'") == [("retired", gone)]
    assert "maturity" not in said(small)
    look(small, jobs.listings)
    assert [p.symbol for p in found(small)] == ["FUND", "LATE"]


def test_a_new_symbol_is_found_by_the_isin_and_the_old_one_stays_in_history(small: Small, feed: Said) -> None:
    since = forget_bars(small, "ACME", 7)
    feed.known = {
        "US0378331005": [
            Profile("APEX", "XETR", isin="US0378331005"),
            Profile("APEX", "XNYS", isin="US0378331005", provider="said"),
        ]
    }
    look(small, jobs.listings)
    mine = [p for p in found(small) if p.symbol == "ACME"]
    assert [str(p) for p in mine] == [f"XNYS:ACME symbol: ACME → APEX since {since}"], "no halt beside it"
    assert feed.asked == ["US0378331005"], "only what is missing is asked for"
    task = upkeep.accept(small.user("ben"), [mine[0].proposal_id])
    assert upkeep.proposal_of(small.user("ben"), mine[0].proposal_id).task_status == "queued"
    assert look(small, jobs.listings)["new"] == 0, "a task is just carrying it out"
    worked()
    assert tasks.task_of(small.user("ben"), task).status == "completed"
    assert rows(small, "SELECT symbol, valid_from FROM security_symbols WHERE security_id = %s ORDER BY 2", small.securities["ACME"]) == [
        ("ACME", date(1900, 1, 1)), ("APEX", since)]  # fmt: skip
    assert [s.symbol for s in market.securities(small.anna) if s.security_id == small.securities["ACME"]] == ["APEX"], (
        "feeds are asked for it"
    )


def test_an_announced_change_without_a_known_symbol_is_a_notice(small: Small, feed: Said) -> None:
    on = small.now.date() - timedelta(days=1)
    with engine.jobs() as c:
        market.upsert_actions(c, [Action(small.securities["BOLT"], "symbol_change", on)], "csv")
    look(small, jobs.listings)
    (mine,) = [p for p in found(small) if p.symbol == "BOLT"]
    assert mine.told_only
    assert "look it up" in mine.why
    with pytest.raises(InvalidField, match="notice"):
        upkeep.plan(small.user("ben"), [mine.proposal_id])


# --- adjusted closes --------------------------------------------------------------------------------

DAYS = weekdays(date(2026, 3, 2), 60)


def bars_of(ours: Sequence[Action], theirs: Sequence[Action], scale: float = 1.0) -> list[Day]:
    """Raw closes of 60 days, with what a provider that knows `theirs` says as adjusted."""
    from core.fx import Rates, Series, day_number
    from core.prices import back_adjusted, cash_and_splits

    closes, price = [], 100.0
    splits = {a.ex_on: float(a.ratio) for a in (*ours, *theirs) if a.ratio}
    for i, day in enumerate(DAYS):
        price = price * (1 + ((i * 7) % 11 - 5) / 500) / splits.get(day, 1)
        closes.append(round(price, 2))
    raw = Series(np.array([day_number(d) for d in DAYS], np.int32), np.array(closes))
    adjusted = back_adjusted(raw, *cash_and_splits(theirs, "USD", Rates({}))).values * scale
    return [Day(d, c, Decimal(repr(round(a, 6)))) for d, c, a in zip(DAYS, closes, adjusted.tolist(), strict=True)]


def paid(i: int, amount: str) -> Action:
    return Action(1, "dividend", DAYS[i], None, Decimal(amount), "USD")


def split(i: int, ratio: str) -> Action:
    return Action(1, "split", DAYS[i], ratio=Fraction(ratio))


@pytest.mark.parametrize(
    ("ours", "theirs", "at", "cause"),
    [
        ([], [paid(30, "1.5")], 30, "a dividend of about 1.5 on .* that we lack"),
        ([], [split(20, "2")], 20, "a split of 2:1 on .* that we lack"),
        ([paid(30, "1.5")], [paid(30, "3")], 30, "our dividend of 1.5 on .* is about 3 by them"),
        ([paid(30, "1.5"), paid(32, "1.5")], [paid(30, "1.5")], 32, "likely there twice: the same is booked on"),
        ([paid(30, "1.5")], [], 30, "is not theirs"),
        ([paid(10, "2"), paid(40, "1")], [paid(10, "1"), paid(40, "1")], 10, "our dividend of 2 on .* is about 1 by them"),
        ([paid(30, "500")], [paid(30, "5")], 30, "not below the price"),
    ],
)  # fmt: skip
def test_the_day_and_the_cause_of_a_difference(ours: list[Action], theirs: list[Action], at: int, cause: str) -> None:
    outcome = compare(bars_of(ours, theirs), ours, "USD")
    assert outcome is not None
    assert not outcome.agrees
    assert (outcome.on, outcome.ex_on) == (DAYS[at - 1], DAYS[at])
    assert re.search(cause, outcome.cause), outcome.cause


def test_a_difference_that_adds_up_is_named_by_its_largest_part() -> None:
    """0.09 and 0.02 a share are each within the tolerance, both together are not."""
    outcome = compare(bars_of([], [paid(20, "0.02"), paid(40, "0.09")]), [], "USD")
    assert outcome is not None
    assert (outcome.on, outcome.ex_on) == (DAYS[19], DAYS[40])
    assert "a dividend of about 0.09" in outcome.cause


def test_closes_that_agree_agree_on_any_scale_and_without_some_days() -> None:
    events = [paid(10, "0.5"), split(30, "3"), paid(45, "0.2")]
    bars = bars_of(events, events, 0.5)
    for some in (bars, [replace(b, theirs=None) if i % 7 == 3 else b for i, b in enumerate(bars)], bars[5:40]):
        outcome = compare(some, events, "USD")
        assert outcome is not None
        assert outcome.agrees, outcome
    assert compare([replace(b, theirs=None) for b in bars], events, "USD") is None, "no adjusted close is no error"


def test_adjusted_closes_are_compared_kept_and_told(small: Small, feed: Said) -> None:
    days = bar_days(small.now)
    closes = dict(rows(small, 'SELECT "on", close FROM price_history WHERE security_id = %s', small.securities["BOLT"]))
    bolt = [Bar(small.securities["BOLT"], d, c, adjusted=c) for d, c in closes.items()]
    acme = [
        Bar(small.securities["ACME"], d, c)
        for d, c in rows(
            small, 'SELECT "on", close FROM price_history WHERE security_id = %s', small.securities["ACME"]
        )
    ]
    known = rows(small, "SELECT recorded_at FROM price_history ORDER BY 1")
    feed.given = bolt + acme
    assert look(small, jobs.adjusted_closes) == {"compared": 1, "found": 0, "new": 0, "superseded": 0}
    ex = days[200]
    feed.given = [replace(b, adjusted=b.close * Decimal("0.98") if b.on < ex else b.close) for b in bolt] + acme
    assert look(small, jobs.adjusted_closes)["new"] == 1
    (mine,) = found(small)
    assert (mine.kind, mine.after) == ("adjusted_close", {"factor": "0.9800", "on": ex.isoformat()})
    assert f"differ from {days[199]} backwards: a dividend of about" in mine.why
    table = reports.answer(small.user("ben"), "adjusted_closes")
    (row,) = table.records()
    assert (row["symbol"], row["agrees"], row["on"], row["days"]) == ("BOLT", False, days[199], 300)
    assert row["difference"] == pytest.approx(1 / 0.98 - 1)
    assert rows(small, "SELECT recorded_at FROM price_history ORDER BY 1") == known, "what was known of the bars stays"
    with pytest.raises(InvalidField, match="notice"):
        upkeep.accept(small.user("ben"), [mine.proposal_id])
    upkeep.dismiss(small.user("ben"), mine.proposal_id, "a special that we do not count")
    assert look(small, jobs.adjusted_closes)["new"] == 0
    with engine.jobs() as c:
        market.upsert_actions(
            c,
            [Action(small.securities["BOLT"], "dividend", ex, None, closes[days[199]] * Decimal("0.02"), "USD")],
            "csv",
        )
    assert look(small, jobs.adjusted_closes) == {"compared": 1, "found": 0, "new": 0, "superseded": 0}


def test_the_csv_feed_reads_adjusted_closes_where_there_are_any(tmp_path: Path) -> None:
    (tmp_path / "ACME.csv").write_text("date,close,adj_close\n2026-01-05,100,98.5\n2026-01-06,101,\n")
    (tmp_path / "BP.csv").write_text("date,close,adj_close,currency\n2026-01-05,500,490,GBp\n")
    (tmp_path / "BAD.csv").write_text("date,close,adj_close\n2026-01-05,100,-1\n")
    feed = CsvFeed(tmp_path)

    def bars(symbol: str, currency: str = "USD") -> list[Bar]:
        return feed.bars([Security(1, symbol, "", "XNYS", currency, "Equity")], date(2026, 1, 1), date(2026, 2, 1))

    assert [b.adjusted for b in bars("ACME")] == [Decimal("98.5"), None]
    assert [b.adjusted for b in bars("BP", "GBP")] == [Decimal("4.90")]
    with pytest.raises(FeedError, match="adj_close '-1' is not above zero"):
        bars("BAD")


def test_yahoos_adjusted_closes_are_those_of_the_recorded_replies(shared: Path) -> None:
    """Every recorded daily chart with adjusted closes: ours, out of its raw closes, dividends and splits, agree with Yahoo's."""
    archive = shared / "data" / "market" / "yahoo_recorded" / "node_yahoo_finance2_fixtures.zip"
    if not archive.exists():
        pytest.skip(f"there are no recorded replies at {archive}")
    compared, eventful, apart = 0, 0, []
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            if not name.endswith(".json") or ".fake" in name:
                continue
            recording = json.loads(files.read(name))
            url, body = recording["request"]["url"], recording["response"].get("bodyJson")
            if (
                "/v8/finance/chart/" not in url
                or "interval=1d" not in url
                or not isinstance(body, dict)
                or not (body.get("chart") or {}).get("result")
            ):
                continue
            currency = body["chart"]["result"][0]["meta"].get("currency") or "USD"
            main = "GBP" if currency == "GBp" else currency
            one = Security(1, "X", "X", "XNYS", main, "Equity")
            bars = bars_in(body, one, date(1960, 1, 1), date(2100, 1, 1))
            actions = actions_in(body, one)
            outcome = compare([Day(b.on, b.close, b.adjusted) for b in bars], actions, main)
            if outcome is None or len(bars) < 3:
                continue
            compared += 1
            inside = [a for a in actions if bars[0].on < a.ex_on <= bars[-1].on]
            eventful += bool(inside)
            if not outcome.agrees:
                apart.append((name, outcome.ex_on, outcome.cause))
    assert compared >= 9
    assert eventful >= 2
    assert apart == []


def test_adjusted_closes_of_a_public_archive_agree(shared: Path) -> None:
    """Quandl WIKI, 2015 to 2017: raw closes, dividends, adjusted closes of five companies. A dividend that is taken away is found."""
    file = shared / "data" / "market" / "daily_raw_adjusted" / "wiki_2015_2017_exdiv_split_plotly.csv.gz"
    if not file.exists():
        pytest.skip(f"there is no {file}")
    stocks: dict[str, list[dict[str, str]]] = {}
    with gzip.open(file, "rt", newline="") as lines:
        for line in csv.DictReader(lines):
            stocks.setdefault(line["Stock"], []).append(line)
    payers = 0
    for symbol, found in stocks.items():
        found.sort(key=lambda line: line["Date"])
        days = [Day(date.fromisoformat(x["Date"]), Decimal(x["Close"]), Decimal(x["AdjClose"])) for x in found]
        actions = [
            Action(1, "dividend", date.fromisoformat(x["Date"]), None, Decimal(x["ExDividend"]), "USD")
            for x in found
            if float(x["ExDividend"])
        ]
        outcome = compare(days, actions, "USD")
        assert outcome is not None
        assert outcome.agrees, (symbol, outcome)
        for missing in actions:
            payers += 1
            without = compare(days, [a for a in actions if a is not missing], "USD")
            assert without is not None
            assert without.ex_on == missing.ex_on, (symbol, missing)
            assert without.cause.endswith("that we lack")
    assert payers == 23


# --- deciding ---------------------------------------------------------------------------------------


@pytest.fixture
def four(small: Small, feed: Said) -> list[Proposal]:
    """Proposals about BOLT and RHEIN."""
    feed.known = {
        "XNYS:BOLT": [
            Profile("BOLT", "XNYS", "Volt Industries", "USD", sector="Materials", country="DE", provider="said")
        ],
        "XETR:RHEIN": [Profile("RHEIN", "XETR", country="FR", provider="said")],
    }
    look(small, jobs.reclassify)
    return found(small)


def test_several_are_one_task_and_carried_out_as_shown(small: Small, four: list[Proposal]) -> None:
    ben = small.user("ben")
    ids = [p.proposal_id for p in four]
    made = upkeep.plan(ben, ids)
    assert (made.kind, made.title) == ("reclassify", "4 proposals of upkeep: 2 securities")
    assert [s.table for s in made.steps] == ["securities", "security_classifications"]
    assert sorted(tuple(sorted(r)) for r in made.steps[0].rows) == [
        ("country", "name", "sector_id", "security_id"),
        ("country", "security_id"),
    ]
    assert found(small) == four, "a plan changes nothing"
    task = upkeep.accept(ben, ids)
    assert {(p.status, p.task_id, p.decided_by) for p in found(small, "accepted")} == {("accepted", task, "ben")}
    with pytest.raises(ProposalDecided):
        upkeep.accept(small.user("anna"), ids[:1])
    assert worked() == 1
    assert tasks.task_of(ben, task).status == "completed"
    assert rows(small, "SELECT name, country FROM securities WHERE symbol IN ('BOLT', 'RHEIN') ORDER BY symbol") == [("Volt Industries", "DE"), ("Rhein Grün", "FR")]  # fmt: skip
    assert rows(small, "SELECT d.sector FROM security_classifications JOIN sectors d USING (sector_id) WHERE security_id = %s ORDER BY recorded_at", small.securities["BOLT"]) == [("Energy",), ("Materials",)]  # fmt: skip
    assert look(small, jobs.reclassify) == {"found": 0, "new": 0, "superseded": 0}


def test_what_was_dismissed_stays_so_unless_the_outcome_is_another(
    small: Small, four: list[Proposal], feed: Said
) -> None:
    ben = small.user("ben")
    country = next(p for p in four if (p.symbol, p.field) == ("BOLT", "country"))
    with pytest.raises(InvalidField, match="a reason"):
        upkeep.dismiss(ben, country.proposal_id, "  ")
    upkeep.dismiss(ben, country.proposal_id, "it is run from there,\n but is American")
    (kept,) = found(small, "dismissed")
    assert (kept.decided_by, kept.note) == ("ben", "it is run from there, but is American")
    assert look(small, jobs.reclassify)["new"] == 0
    feed.known["XNYS:BOLT"] = [replace(feed.known["XNYS:BOLT"][0], country="FR")]
    assert look(small, jobs.reclassify)["new"] == 1
    assert "XNYS:BOLT country: US → FR" in said(small)
    with pytest.raises(ProposalDecided):
        upkeep.dismiss(ben, country.proposal_id, "again")
    with pytest.raises(NoSuchProposal):
        upkeep.dismiss(ben, uuid4(), "none")


def test_a_field_that_somebody_changed_meanwhile_is_outdated(small: Small, four: list[Proposal]) -> None:
    ben = small.user("ben")
    country = next(p for p in four if (p.symbol, p.field) == ("BOLT", "country"))
    tasks.request(ben, master.plan_edit(ben, "BOLT", {"country": "NL"}), {})
    task = upkeep.accept(ben, [country.proposal_id])  # not carried out yet: still as it was found
    worked()
    failed = tasks.task_of(ben, task)
    assert (failed.status, (failed.error or {}).get("class")) == ("failed", "PlanOutdated")
    assert rows(small, "SELECT country FROM securities WHERE symbol = 'BOLT'") == [("NL",)]
    name = next(p for p in four if p.field == "name")
    change(small, "UPDATE securities SET name = 'Bolted' WHERE symbol = 'BOLT'")
    with pytest.raises(PlanOutdated, match="in the meantime"):
        upkeep.accept(ben, [name.proposal_id])
    look(small, jobs.reclassify)
    assert "XNYS:BOLT country: NL → DE" in said(small), "it failed, so it is found anew"


def test_who_decided_is_in_the_audit_trail(small: Small, four: list[Proposal]) -> None:
    upkeep.dismiss(small.user("ben"), four[0].proposal_id, "no")
    trail = rows(
        small,
        "SELECT actor_name, action, after ->> 'status', after ->> 'note' FROM audit_log WHERE entity = 'proposals'",
    )
    assert trail == [("ben", "updated", "dismissed", "no")], "what a job finds is not a person's change"


def test_a_viewer_sees_and_decides_nothing(small: Small, four: list[Proposal]) -> None:
    vera = small.user("vera")
    assert len(upkeep.proposals(vera)) == 4
    for wrong in (
        lambda: upkeep.dismiss(vera, four[0].proposal_id, "no"),
        lambda: upkeep.accept(vera, [four[0].proposal_id]),
        lambda: upkeep.look_now(vera, "listings"),
    ):
        with pytest.raises(AccessDenied):
            wrong()
    with small.database.web(small.user("vera").user_id) as c, pytest.raises(psycopg.errors.InsufficientPrivilege):
        c.execute("UPDATE proposals SET status = 'accepted', decided_at = now()")
    assert found(small) == four


def test_two_proposals_that_contradict_each_other_are_not_accepted_together(
    small: Small, feed: Said, four: list[Proposal]
) -> None:
    change(small, "UPDATE securities SET isin = 'US0378331005', asset_class = 'Fund' WHERE symbol = 'BOLT'")
    look(small, jobs.verify_classes)
    with engine.jobs() as c:
        c.execute("INSERT INTO proposals (kind, security_id, field, before, after, why, found_by) SELECT 'reclassify', security_id, 'asset_class', before, '\"Other\"', 'x', 'x' "
                  "FROM proposals WHERE field = 'asset_class' AND status = 'open'")  # fmt: skip
    both = [p.proposal_id for p in found(small) if p.field == "asset_class"]
    assert len(both) == 2
    with pytest.raises(InvalidField, match="otherwise"):
        upkeep.plan(small.user("ben"), both)


def test_a_class_without_a_sector_takes_it_away(small: Small, feed: Said) -> None:
    feed.known = {"XNYS:BOLT": [Profile("BOLT", "XNYS", asset_class="Crypto", provider="said")]}
    look(small, jobs.verify_classes)
    (mine,) = found(small)
    upkeep.accept(small.user("ben"), [mine.proposal_id])
    worked()
    assert rows(small, "SELECT asset_class, sector_id FROM securities WHERE symbol = 'BOLT'") == [("Crypto", None)]
    assert cells_of("country", "DE", "Equity") == {"country": "DE"}


def test_words_of_what_is_proposed() -> None:
    assert spoken({"sector": "Energy", "industry": "Oil"}) == "Energy › Oil"
    assert spoken({"sector": None, "industry": None}) == "none"
    assert spoken({"status": "halted", "on": "2026-03-02"}) == "halted since 2026-03-02"
    assert spoken({"symbol": None, "on": "2026-03-02"}) == "not known since 2026-03-02"
    assert spoken(None) == "none"
    one = Kept(
        1,
        "B",
        "XNYS",
        "B",
        "Fixed Income",
        None,
        None,
        None,
        "USD",
        None,
        "none",
        date(2026, 3, 2),
        "retired",
        date(1900, 1, 1),
        None,
        None,
    )
    assert standing(one, (50, date(2026, 3, 3)), date(2026, 4, 1)) is None, "what is retired stays so"
    assert adjusted_closes.TOLERANCE == 0.001


# --- the timetable, clean-up, warnings, the API -----------------------------------------------------


def test_a_job_looks_once_a_day_and_when_somebody_asks(small: Small, feed: Said) -> None:
    worker = Worker(Event())
    by_name = {job.name: job for job in jobs.TIMETABLE}
    listings = by_name["listings"]
    worker.run(listings)
    worker.run(listings)
    runs = "SELECT count(*), bool_and(status = 'succeeded') FROM job_runs WHERE job = 'listings'"
    assert rows(small, runs) == [(1, True)]
    assert listings.due(datetime.now(UTC)) is None
    upkeep.look_now(small.user("ben"), "listings")
    (waiting,) = [x for x in upkeep.looks(small.user("vera")) if x.job == "listings"]
    assert waiting.asked_at is not None
    with small.database.owner() as c:  # a process that died while it looked
        run = c.execute(
            "INSERT INTO job_runs (job, scheduled_for, started_at, status, worker) VALUES ('listings', now(), clock_timestamp(), 'running', 'killed') RETURNING run_id"
        ).fetchone()
    with small.database.jobs() as c:
        assert run is not None
        assert job_runs.abandon(c, "next") == 1
        c.commit()
    assert [x.asked_at for x in upkeep.looks(small.user("vera")) if x.job == "listings"] == [waiting.asked_at]
    worker.run(listings)
    worker.run(listings)
    assert rows(small, f"{runs} AND status <> 'abandoned'") == [(2, True)]
    (done,) = [x for x in upkeep.looks(small.user("vera")) if x.job == "listings"]
    assert done.asked_at is None
    assert '"found": 1' in str(done.detail)
    with pytest.raises(InvalidField, match="expected one of"):
        upkeep.look_now(small.user("ben"), "backup")


def test_the_clean_up_drops_what_it_showed(small: Small) -> None:
    change(
        small,
        "INSERT INTO job_runs (job, scheduled_for, started_at, status, worker) VALUES ('x', '2020-01-01', now() - interval '40 days', 'succeeded', 'w')",
    )
    change(
        small,
        "INSERT INTO import_maps (user_id, name, fingerprint, mapping, created_by) SELECT user_id, 'M', 'f', '{}', user_id FROM users WHERE username IN ('vera', 'ben')",
    )
    change(small, "UPDATE users SET disabled_at = now() WHERE username = 'vera'")
    shown = {what: n for what, _, n in upkeep.would_go(small.user("ben"))}
    assert (shown["runs"], shown["import_maps"], shown["security_matches"]) == (1, 1, 0)
    report = reports.answer(small.user("ben"), "clean_up")
    assert {r["what"]: r["rows"] for r in report.records()} == {what.replace("_", " "): n for what, n in shown.items()}
    with small.database.web(small.ben) as c, pytest.raises(psycopg.errors.InsufficientPrivilege):
        c.execute("SELECT clean_up()")
    with engine.jobs() as c:
        assert upkeep.clean_up(c, settings.task_retention_days) == shown
    assert {n for _, _, n in upkeep.would_go(small.user("ben"))} == {0}
    assert rows(small, "SELECT count(*) FROM import_maps") == [(1,)]


def test_who_holds_something_is_warned(small: Small, feed: Said) -> None:
    look(small, jobs.listings)
    late = small.securities["LATE"]
    assert upkeep.warnings(small.user("anna"), [late, small.securities["ACME"]]).keys() == {late}
    assert "delisted is proposed" in upkeep.warnings(small.user("anna"), [late])[late]
    assert [p.field for p in upkeep.proposals(small.user("anna"), security=late)] == ["status"]
    assert upkeep.warnings(small.user("anna"), []) == {}


def test_proposals_by_the_api(small: Small, four: list[Proposal]) -> None:
    ben, vera = small.client("ben"), small.client("vera")
    first = vera.get("/v1/proposals", params={"limit": 3}).json()
    rest = vera.get("/v1/proposals", params={"limit": 3, "before": first["next_before"]}).json()
    assert (len(first["proposals"]), len(rest["proposals"]), rest["next_before"]) == (3, 1, None)
    assert {p["proposal_id"] for p in first["proposals"] + rest["proposals"]} == {str(p.proposal_id) for p in four}
    assert vera.get("/v1/proposals", params={"kind": "status"}).json()["proposals"] == []
    ids = [str(p.proposal_id) for p in four if p.symbol == "BOLT"]
    shown = ben.post("/v1/proposals/accept", json={"ids": ids, "dry_run": True})
    assert (shown.status_code, shown.json()["kind"], shown.json()["steps"][0]["size"]) == (200, "reclassify", 1)
    assert vera.post("/v1/proposals/accept", json={"ids": ids, "dry_run": False}).status_code == 403
    assert len(found(small)) == 4
    done = ben.post("/v1/proposals/accept", json={"ids": ids, "dry_run": False})
    assert done.status_code == 202
    followed = ben.get(done.headers["location"]).json()
    assert (followed["id"], followed["kind"]) == (done.json()["task_id"], "reclassify")
    assert ben.get(f"{done.headers['location']}/plan").json()["steps"] == shown.json()["steps"]
    worked()
    assert vera.get("/v1/proposals", params={"status": "accepted"}).json()["proposals"][0]["task_status"] == "completed"
    late = ben.post("/v1/proposals/accept", json={"ids": ids, "dry_run": False})
    assert (late.status_code, late.json()["type"].rpartition("#")[2]) == (409, "proposal-decided")
    (other,) = [str(p.proposal_id) for p in four if p.symbol == "RHEIN"]
    assert vera.post(f"/v1/proposals/{other}/dismiss", json={"why": "no"}).status_code == 403
    assert ben.post(f"/v1/proposals/{other}/dismiss", json={"why": "it moved back"}).json()["note"] == "it moved back"
    assert ben.post(f"/v1/proposals/{uuid4()}/dismiss", json={"why": "x"}).status_code == 404
    assert ben.post("/v1/proposals/looks", json={"job": "listings"}).status_code == 202
    assert vera.post("/v1/proposals/looks", json={"job": "listings"}).status_code == 403
    assert MARK not in vera.get("/v1/proposals", params={"status": "accepted"}).text


# --- the pages --------------------------------------------------------------------------------------


def page(small: Small, monkeypatch: pytest.MonkeyPatch, who: str, name: str = "securities", portfolio: str = "dollars", tab: str = "Maintenance") -> AppTest:  # fmt: skip
    monkeypatch.setattr(session, "token", lambda: small.tokens[who])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
    at.run()
    at.query_params["portfolio"] = str(small.portfolios[portfolio if " " in portfolio else f"{MARK} {portfolio}"])
    at.switch_page(f"{name}.py")
    at.session_state["securities_tabs"] = tab
    at.run()
    assert not at.exception, at.exception[0].value
    return at


def test_the_maintenance_tab_shows_proposals_jobs_and_reports(
    small: Small, four: list[Proposal], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = page(small, monkeypatch, "anna")
    tables = [t.value for t in at.dataframe]
    assert sorted(tables[0]["security"]) == ["XETR:RHEIN", "XNYS:BOLT", "XNYS:BOLT", "XNYS:BOLT"]
    assert {"adjusted closes", "what the next clean-up drops"} <= {h.value.lower() for h in at.subheader}
    looks = [b for b in at.button if b.label == "Look now"]
    assert len(looks) == 5
    looks[0].click().run()
    assert not at.exception
    assert [x.job for x in upkeep.looks(small.user("anna")) if x.asked_at] == ["reclassify"]
    at.selectbox(key="upkeep_state").set_value("dismissed").run()
    assert "None." in [i.value for i in at.info]


def test_a_viewer_sees_the_lists_and_no_buttons(
    small: Small, four: list[Proposal], monkeypatch: pytest.MonkeyPatch
) -> None:
    access.share(small.user("anna"), small.portfolios[f"{MARK} dollars"], "vera", "read")
    at = page(small, monkeypatch, "vera")
    assert "XNYS:BOLT" in list(at.dataframe[0].value["security"])
    assert [b.label for b in at.button if b.label in ("Look now", "Dismiss")] == []
    at = page(small, monkeypatch, "vera", tab="Counterparties")
    assert "Harbour Bank" in list(at.dataframe[0].value["counterparty"])
    assert [b.label for b in at.button if b.label in ("Add", "Save", "Remove")] == []


def test_a_counterparty_is_added_on_its_page(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    at = page(small, monkeypatch, "anna", tab="Counterparties")

    def add(name: str) -> None:
        at.text_input(key=f"counterparty_0_{at.session_state['counterparty_forms']}_name").set_value(name)
        next(b for b in at.button if b.label == "Add").click().run()
        assert not at.exception

    add("harbour bank")
    assert any("There is Harbour Bank already" in m.value for m in at.markdown)
    add("New Custody")
    assert [s.value for s in at.success] == ["New Custody is added."]
    assert "New Custody" in list(at.dataframe[1].value["name"])


def test_holdings_and_overview_say_what_no_longer_trades(
    small: Small, feed: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_there = lambda at: [w.value for w in at.warning if "no longer as it was" in w.value]  # noqa: E731
    assert said_there(page(small, monkeypatch, "anna", "holdings")) == []
    look(small, jobs.listings)
    for name in ("holdings", "overview"):
        (line,) = said_there(page(small, monkeypatch, "anna", name))
        assert "delisted is proposed" in line
    assert said_there(page(small, monkeypatch, "anna", "holdings", "euros")) == [], "it is not held there"
    (late,) = [p for p in found(small) if p.symbol == "LATE"]
    upkeep.accept(small.user("anna"), [late.proposal_id])
    worked()
    (line,) = said_there(page(small, monkeypatch, "anna", "holdings"))
    assert "LATE is delisted" in line
