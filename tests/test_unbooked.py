"""Corporate actions that the feeds know and the ledger does not have: what is found, what is none, what becomes of the valuation.

The example: 100 units bought on 2 June 2025 at 300, split 3:1 on 2 March 2026, price 100 since. Right are 300 units worth 30,000;
without the entry the ledger counts 100 worth 10,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_explain import OF_A_VIEW, check

from core.book import Action, Book, Portfolio
from core.fx import Rates, Series, day_number
from core.ledger import Draft, Security, from_postings, post
from core.reasons import MisbookedSplit, UnbookedSplit
from core.reports import REPORTS
from core.scope import Scope
from core.table import Context
from core.unbooked import Unbooked, unbooked, unbooked_splits
from core.view import View

ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
BOLT = Security(2, "BOLT", "Bolt", "XNYS", "USD", "Equity")
BEGAN, BOUGHT, EX, TODAY = date(2025, 5, 1), date(2025, 6, 2), date(2026, 3, 2), date(2026, 6, 1)
CLOSES = {BOUGHT: 300.0, date(2026, 2, 27): 300.0, EX: 100.0, TODAY: 100.0}
D = Decimal


def booked(*drafts: Draft, actions: Sequence[Action] = (), closes: dict[date, float] | None = None) -> Book:
    deposit = Draft("deposit", BEGAN, "USD", gross=D(100_000))
    postings = [post(d, "USD", d.traded_on, TODAY) for d in (deposit, *drafts)]
    priced = CLOSES if closes is None else closes
    series = Series(np.array([day_number(on) for on in priced], np.int32), np.array(list(priced.values())))
    known: dict[int, tuple[Action, ...]] = {}
    for a in actions:
        known[a.security_id] = (*known.get(a.security_id, ()), a)
    return Book(Portfolio(uuid4(), "P", "USD", None, "fifo"), from_postings(postings), {1: ACME, 2: BOLT},
                {1: series} if priced else {}, Rates({}), {}, "1", actions=known)  # fmt: skip


def split(ratio: str | int, on: date = EX, security: int = 1) -> Action:
    return Action(security, "split", on, ratio=Fraction(ratio))


def entry(ratio: str | int, on: date = EX) -> Draft:
    return Draft("split", on, "USD", ACME, ratio=Fraction(ratio))


def trade(kind: str, units: int | str, price: int | str, on: date = BOUGHT, security: Security = ACME) -> Draft:
    return Draft(kind, on, "USD", security, D(units), D(price))


def view(book: Book, on: date = TODAY) -> View:
    scope = Scope(book.portfolio.portfolio_id, as_of=on, period="ALL")
    return View(book, scope, {}, datetime.combine(TODAY, datetime.max.time(), UTC))


def only(book: Book, on: date = TODAY) -> Unbooked:
    (found,) = unbooked(book, day_number(on))
    return found


def none(book: Book, on: date = TODAY) -> bool:
    return unbooked(book, day_number(on)) == ()


# --- what is found -------------------------------------------------------------------------------------------------------


def test_a_split_that_is_not_booked_is_found_and_the_valuation_is_not_sound() -> None:
    looked = view(booked(trade("buy", 100, 300), actions=[split(3)]))
    (found,) = looked.unbooked_splits
    assert (found.state, found.units, found.after, found.is_bookable, found.is_usual) == (
        "not booked",
        100,
        300,
        True,
        True,
    )
    assert found.words == "3:1 split of 2 March 2026 known, not booked"
    assert not looked.valuation.complete
    assert looked.valuation.missing == (UnbookedSplit("ACME", "3:1", EX),)
    assert (
        str(looked.valuation.missing[0])
        == "ACME: 3:1 split of 2 March 2026 known, not booked: value and returns are wrong until it is"
    )
    assert looked.valuation.total == D("80000.00"), "the value stands, with its reason"
    span = looked.span("ALL")
    assert (span.twr, span.mwr, span.dietz) == (looked.valuation.missing[0],) * 3, "a return that is wrong is none"


def test_once_it_is_booked_the_valuation_is_sound_and_the_return_right() -> None:
    looked = view(booked(trade("buy", 100, 300), entry(3), actions=[split(3)]))
    assert looked.unbooked_splits == ()
    assert (looked.valuation.complete, looked.valuation.missing) == (True, ())
    assert looked.valuation.total == D("100000.00")
    assert looked.span("ALL").twr == pytest.approx(0.0)


def test_days_from_the_ex_date_on_are_left_out_of_statistics() -> None:
    book = booked(trade("buy", 100, 300), actions=[split(3)])
    looked = view(book)
    before = looked.days < day_number(EX)
    assert before.any()
    assert np.isfinite(looked.sound_returns[before][1:]).any()
    assert np.isnan(looked.sound_returns[~before]).all()


def test_before_its_ex_date_nothing_is_known() -> None:
    book = booked(trade("buy", 100, 300), actions=[split(3)])
    assert none(book, EX - timedelta(days=1))
    assert view(book, EX - timedelta(days=1)).valuation.complete


@pytest.mark.parametrize("age", [0, 30, 400, 4000])
def test_it_is_found_whatever_its_age(age: int) -> None:
    today = EX + timedelta(days=age)
    book = booked(trade("buy", 100, 300), actions=[split(3)])
    assert only(book, today).words.endswith("not booked")


def test_a_short_position_splits_too() -> None:
    found = only(booked(trade("short", 100, 300), actions=[split(3)]))
    assert (found.units, found.after) == (-100, -300)


def test_several_lots_are_split_together() -> None:
    drafts = [trade("buy", 1, 300, BOUGHT + timedelta(days=i)) for i in range(3)]
    found = only(booked(*drafts, actions=[split("1/3")]))
    assert (found.ratio, found.units, found.after) == ("1:3", 3, 1), "the holding is rounded, not each lot"


def test_two_splits_build_on_each_other() -> None:
    first, second = unbooked(
        booked(trade("buy", 100, 300), actions=[split(2, date(2026, 1, 5)), split(3)]), day_number(TODAY)
    )
    assert [(f.units, f.after) for f in (first, second)] == [(100, 200), (200, 600)]


def test_what_was_sold_in_new_units_still_counts() -> None:
    """300 after the split, 100 of them sold: the ledger holds none, 200 are held, and a second split doubles those."""
    sold = trade("sell", 100, 110, date(2026, 4, 1))
    found = unbooked(
        booked(trade("buy", 100, 300), sold, actions=[split(3), split(2, date(2026, 5, 1))]), day_number(TODAY)
    )
    assert [(f.units, f.after) for f in found] == [(100, 300), (200, 400)]


def test_a_split_that_later_entries_do_not_allow_says_so() -> None:
    found = only(booked(trade("buy", 100, 300), trade("sell", 50, 110, date(2026, 4, 1)), actions=[split("0.1")]))
    assert (found.after, found.is_bookable, found.is_unsound) == (None, False, True)
    assert found.words == (
        "1:10 split of 2 March 2026 known, not booked: the sell of 1 April 2026 does not allow it, only 10 are held on that day"
    )


# --- what is none --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-10, -3, 0, 1, 10])
def test_a_broker_books_it_some_days_early_or_late(days: int) -> None:
    assert none(booked(trade("buy", 100, 300), entry(3, EX + timedelta(days=days)), actions=[split(3)]))


@pytest.mark.parametrize("days", [-11, 11])
def test_eleven_days_away_is_another_split(days: int) -> None:
    assert (
        only(booked(trade("buy", 100, 300), entry(3, EX + timedelta(days=days)), actions=[split(3)])).state
        == "not booked"
    )


@pytest.mark.parametrize(
    "drafts",
    [
        [trade("buy", 300, 100, EX + timedelta(days=1))],
        [trade("buy", 300, 100, EX)],  # a split acts before the trades of its day
        [trade("buy", 100, 300), trade("sell", 100, 310, EX - timedelta(days=4))],
        [trade("buy", 100, 300, security=BOLT)],
        [],
    ],
)
def test_what_was_not_held_when_the_day_opened_did_not_split(drafts: list[Draft]) -> None:
    assert none(booked(*drafts, actions=[split(3)]))


def test_what_was_sold_on_its_day_was_split_before() -> None:
    found = only(booked(trade("buy", 100, 300), trade("sell", 100, 100, EX), actions=[split(3)]))
    assert (found.units, found.after) == (100, 300)


def test_digits_that_a_feed_cut_off_and_two_feeds_a_day_apart_are_no_other_split() -> None:
    both = [split("0.3333"), split("0.333333", EX + timedelta(days=1))]
    assert none(booked(trade("buy", 99, 300), entry("1/3"), actions=both))


def test_two_entries_may_stand_for_one_split() -> None:
    assert none(booked(trade("buy", 100, 300), entry(2), entry("1.5", EX + timedelta(days=1)), actions=[split(3)]))


def test_a_spin_off_that_the_feed_calls_a_split_is_booked() -> None:
    spun = Draft("spin_off", EX, "USD", ACME, into=BOLT, ratio=Fraction("0.25"), fraction=D("0.2"))
    assert none(booked(trade("buy", 100, 300), spun, actions=[split("1.281")]))
    alone = only(booked(trade("buy", 100, 300), actions=[split("1.281")]))
    assert (alone.ratio, alone.is_usual) == ("1281:1000", False)


@pytest.mark.parametrize(
    "given",
    [trade("transfer_in", 200, 100, EX + timedelta(days=1)), Draft("buy", EX, "USD", ACME, D(200), D(0))],
)
def test_units_that_were_delivered_are_the_split(given: Draft) -> None:
    assert none(booked(trade("buy", 100, 300), given, actions=[split(3)]))


# --- otherwise -----------------------------------------------------------------------------------------------------------


def test_booked_twice_and_with_another_ratio_are_said_in_words() -> None:
    later = EX + timedelta(days=2)
    twice = only(booked(trade("buy", 100, 300), entry(3), entry(3, later), actions=[split(3)]))
    assert twice.words == "3:1 split of 2 March 2026 known, booked twice, on 2 March 2026 and 4 March 2026"
    assert (twice.units, len(twice.rows), twice.is_bookable, twice.is_unsound) == (100, 2, False, True)
    other = only(booked(trade("buy", 100, 300), entry(2, later), actions=[split(3)]))
    assert other.words == "3:1 split of 2 March 2026 known, booked as 2:1 on 4 March 2026"
    assert (other.state, other.is_bookable, other.is_unsound) == ("another ratio", False, True)
    looked = view(booked(trade("buy", 100, 300), entry(2, later), actions=[split(3)]))
    assert looked.valuation.missing == (MisbookedSplit("ACME", "3:1", EX, "as 2:1 on 4 March 2026"),)


def test_entries_in_units_of_after_the_split_are_not_to_be_split_again() -> None:
    """300 bought at 100 on a day on which the close was 300: somebody keeps the ledger in units of today."""
    book = booked(trade("buy", 300, 100), actions=[split(3)])
    found = only(book)
    assert (found.state, found.is_bookable, found.is_unsound) == ("restated", False, False)
    assert "traded on 2 June 2025 at 100.00, when the close was 300.00" in found.words
    assert view(book).valuation.complete
    flat = dict.fromkeys(CLOSES, 100.0)  # closes that do not fall cannot tell
    assert only(booked(trade("buy", 300, 100), actions=[split(3)], closes=flat)).state == "not booked"


# --- dividends -----------------------------------------------------------------------------------------------------------


def dividend(amount: str, on: date, pay_on: date | None = None) -> Action:
    return Action(1, "dividend", on, pay_on, D(amount), "USD")


def test_a_dividend_that_was_never_booked_is_a_note_and_no_fault() -> None:
    paid = date(2025, 9, 12)
    book = booked(trade("buy", 100, 300), actions=[dividend("0.25", date(2025, 9, 1), paid)])
    found = only(book)
    assert (found.words, found.units, found.due, found.is_unsound) == (
        "dividend of 1 September 2025 known, not booked",
        100,
        D("25.00"),
        False,
    )
    assert view(book).valuation.complete
    assert none(book, date(2025, 9, 11)), "it is not due before it is paid"
    booking = Draft("dividend", paid + timedelta(days=3), "USD", ACME, gross=D("25.00"))
    assert none(booked(trade("buy", 100, 300), booking, actions=[dividend("0.25", date(2025, 9, 1), paid)]))
    returned = replace(booking, kind="return_of_capital")
    assert none(booked(trade("buy", 100, 300), returned, actions=[dividend("0.25", date(2025, 9, 1), paid)]))


def test_a_dividend_is_due_on_the_units_that_a_split_made() -> None:
    book = booked(trade("buy", 100, 300), actions=[split(3), dividend("0.25", date(2026, 3, 20), date(2026, 3, 30))])
    assert [(f.what, f.units, f.due) for f in unbooked(book, day_number(TODAY))] == [
        ("3:1 split of 2 March 2026", 100, None),
        ("dividend of 20 March 2026", 300, D("75.00")),
    ]


# --- what a report says, and how it comes about --------------------------------------------------------------------------

LATER = EX + timedelta(days=2)
EXAMPLES = {
    "one": booked(trade("buy", 100, 300), actions=[split(3)]),
    "two, a dividend between and after": booked(
        trade("buy", 100, 300), trade("sell", 10, 50, date(2026, 4, 1)),
        actions=[split(2, date(2026, 1, 5)), dividend("0.1", date(2026, 2, 2), date(2026, 2, 9)), split(3),
                 dividend("0.25", date(2026, 3, 20), date(2026, 3, 30))]),
    "short": booked(trade("short", 100, 300), actions=[split("1/3")]),
    "twice": booked(trade("buy", 100, 300), entry(3), entry(3, LATER), actions=[split(3)]),
    "another ratio": booked(trade("buy", 100, 300), entry(2, LATER), actions=[split(3)]),
    "one of two twice": booked(trade("buy", 100, 300), entry(3), entry(3, LATER), actions=[split(2, date(2026, 1, 5)), split(3)]),
    "restated": booked(trade("buy", 300, 100), actions=[split(3)]),
    "not possible": booked(trade("buy", 100, 300), trade("sell", 50, 110, date(2026, 4, 1)), actions=[split("0.1")]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_cell_of_the_report_recomputes(name: str) -> None:
    looked = view(EXAMPLES[name])
    table = REPORTS["unbooked_actions"].table(Context(TODAY, "USD", "1"), view=looked)
    assert table.rows
    check(looked, table)


@pytest.mark.parametrize("name", OF_A_VIEW)
@pytest.mark.parametrize("example", ["one", "two, a dividend between and after", "short", "twice"])
def test_every_other_report_recomputes_where_units_are_wrong(name: str, example: str) -> None:
    looked = view(EXAMPLES[example])
    check(looked, REPORTS[name].table(Context(TODAY, "USD", "1"), view=looked))


def test_what_a_report_says_of_a_split_stands_once_and_before_all_else() -> None:
    looked = view(EXAMPLES["one"])
    said = str(looked.valuation.missing[0])
    for name in ("overview", "holdings", "performance", "risk", "growth", "allocation", "movers"):
        notes = REPORTS[name].table(Context(TODAY, "USD", "1"), view=looked).notes
        assert notes[0] == said, name
        assert sum(said in note for note in notes) == 1, name
    (row,) = REPORTS["holdings"].table(Context(TODAY, "USD", "1"), view=looked).records()
    assert row["note"].startswith("3:1 split of 2 March 2026 known, not booked")


# --- the law -------------------------------------------------------------------------------------------------------------

RATIOS = ("2", "3", "1.5", "0.5", "0.1", "1/3", "1.1", "20")


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[list[Draft], list[Action], list[Draft]]:
    """(trades, splits of the feed, the entries that book them): long or short, splits three weeks apart or more, each booked up to
    ten days from its ex date, trades so small that a split more or less does not forbid them."""
    side = draw(st.sampled_from([("buy", "sell"), ("short", "cover")]))
    trades = [trade(side[0], 1_000_000, 1, BEGAN)]
    for day in draw(st.lists(st.integers(1, 390), max_size=6)):
        trades.append(trade(draw(st.sampled_from(side)), 1, 1, BEGAN + timedelta(days=day)))
    known, entries, at = [], [], 0
    for ratio in draw(st.lists(st.sampled_from(RATIOS), min_size=1, max_size=4)):
        at += draw(st.integers(21, 90))
        on = BEGAN + timedelta(days=at)
        known.append(split(ratio, on))
        entries.append(entry(ratio, on + timedelta(days=draw(st.integers(-10, 10)))))
    return trades, known, entries


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers())
def test_with_every_split_booked_nothing_is_found_and_without_one_that_one(
    made: tuple[list[Draft], list[Action], list[Draft]],
) -> None:
    trades, known, entries = made
    whole = booked(*trades, *entries, actions=known, closes={})
    assert unbooked_splits(whole, day_number(TODAY)) == ()
    for i, missing in enumerate(known):
        left = [e for j, e in enumerate(entries) if j != i]
        (found,) = unbooked_splits(booked(*trades, *left, actions=known, closes={}), day_number(TODAY))
        assert (found.action, found.state) == (missing, "not booked")
        again = booked(*trades, *left, entry(str(missing.ratio), missing.ex_on), actions=known, closes={})
        assert unbooked_splits(again, day_number(TODAY)) == (), "booking what was found leaves nothing"
