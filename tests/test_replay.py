"""The replay feed against the packages' own data files: the mapping of days, prices, rates, the walk within a session."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from core.calendar import Sessions
from core.fx import day_number, day_of
from core.ledger import Security
from jobs import calendars
from jobs.feeds import FeedError
from jobs.feeds.replay import Anchor, Replay, ReplayFeed

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday, before the open
ANCHOR = Anchor(date(2022, 12, 28), date(2026, 11, 19))
AAPL = Security(1, "AAPL", "Apple Inc.", "XNAS", "USD", "Equity")
XOM = Security(2, "XOM", "Exxon Mobil Corporation", "XNYS", "USD", "Equity")
SP500 = Security(3, "SP500", "S&P 500", "XNYS", "USD", "Index", tradable=False)
OTHER = Security(4, "VOD", "Vodafone", "XLON", "GBP", "Equity")


def package_file(package: str, *path: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *path)


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    """New York's calendar as set-up computes it."""
    found = calendars.compute("XNYS", calendars.FIRST, date(2028, 11, 20))
    columns = (np.array(found.days, np.int32), np.array(found.opens), np.array(found.closes))
    return Sessions("XNYS", "America/New_York", *columns)


@pytest.fixture(scope="module")
def wheel() -> list[dict[str, str]]:
    """The data file itself, read by nothing of ours."""
    with gzip.open(package_file("skfolio", "datasets", "data", "sp500_dataset.csv.gz"), "rt") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module")
def ecb() -> list[dict[str, str]]:
    """The ECB's file itself, oldest day first."""
    with zipfile.ZipFile(package_file("currency_converter", "eurofxref-hist.zip")) as z:
        return list(csv.DictReader(io.TextIOWrapper(z.open(z.namelist()[0]))))[::-1]


def feed_at(sessions: Sessions, now: datetime) -> ReplayFeed:
    return ReplayFeed(ANCHOR, sessions, lambda: now)


def next_session(sessions: Sessions) -> int:
    return int(np.searchsorted(sessions.days, day_number(ANCHOR.last_shown))) + 1


def test_the_last_real_day_is_shown_on_the_last_completed_session(sessions, wheel):
    replay = Replay(ANCHOR, sessions)
    assert replay.shown_on(date.fromisoformat(wheel[-1]["Date"])) == ANCHOR.last_shown
    assert int(sessions.days[replay.completed(NOW)]) == day_number(ANCHOR.last_shown)


def test_every_real_day_has_a_session_of_its_own_in_the_same_order(sessions, wheel):
    replay = Replay(ANCHOR, sessions)
    shown = [day_number(replay.shown_on(date.fromisoformat(row["Date"]))) for row in wheel]
    assert all(a < b for a, b in itertools.pairwise(shown))
    assert set(shown) <= set(sessions.days.tolist())
    with pytest.raises(FeedError):
        replay.shown_on(date(2023, 1, 3))


@pytest.mark.parametrize(("security", "column"), [(AAPL, "AAPL"), (XOM, "XOM")])
def test_bars_are_the_package_s_own_prices(sessions, wheel, security, column):
    bars = feed_at(sessions, NOW).bars([security], date(1900, 1, 1), NOW.date())
    assert [b.close for b in bars] == [Decimal(row[column]) for row in wheel]
    assert [b.on for b in bars] == [Replay(ANCHOR, sessions).shown_on(date.fromisoformat(r["Date"])) for r in wheel]


def test_the_index_is_there_and_what_is_unknown_is_absent(sessions):
    feed = feed_at(sessions, NOW)
    assert feed.bars([SP500, OTHER], ANCHOR.last_shown, NOW.date())[0].close == Decimal("3783.22")
    assert [q.security_id for q in feed.quotes([OTHER, AAPL], NOW)] == [1]


def test_bars_are_of_completed_sessions_only(sessions):
    i = next_session(sessions)
    during = datetime.fromtimestamp(int(sessions.closes[i]) - 1, UTC)
    on = day_of(int(sessions.days[i]))
    assert feed_at(sessions, during).bars([AAPL], on, on) == []
    assert feed_at(sessions, during).rates(["USD"], on, on) == []
    after = feed_at(sessions, during + timedelta(seconds=1))
    assert [b.on for b in after.bars([AAPL], on, on)] == [on]
    assert [r[1] for r in after.rates(["USD"], on, on)] == [on]


def test_after_the_anchor_prices_go_on_with_the_returns_of_2010_without_a_jump(sessions, wheel):
    replay, i = Replay(ANCHOR, sessions), next_session(sessions)
    start = next(n for n, row in enumerate(wheel) if row["Date"] >= "2010")
    for symbol in ("AAPL", "RRC", "UNH"):
        shown = replay.closes(symbol, np.arange(i - 1, i + 400))
        source = np.array([float(row[symbol]) for row in wheel[start : start + 401]])
        assert shown[0] == float(wheel[-1][symbol])
        assert np.allclose(shown[1:] / shown[:-1], source[1:] / source[:-1], rtol=1e-4)


def test_the_returns_begin_anew_without_a_jump_and_prices_stay_above_zero(sessions, wheel):
    replay, i = Replay(ANCHOR, sessions), next_session(sessions)
    start = next(n for n, row in enumerate(wheel) if row["Date"] >= "2010")
    again = i - 1 + len(wheel) - 1 - start
    for symbol in replay._column:
        shown = replay.closes(symbol, np.arange(again - 3, again + 4))
        assert (abs(np.diff(shown) / shown[:-1]) < 0.25).all()
        assert (replay.closes(symbol, np.arange(i, i + 9000)) > 0).all()


def test_history_never_moves_and_is_the_same_for_everyone(sessions):
    soon, later = datetime(2027, 1, 16, tzinfo=UTC), datetime(2028, 6, 1, tzinfo=UTC)
    span = (date(2020, 1, 1), soon.date())
    bars = feed_at(sessions, soon).bars([AAPL, XOM], *span)
    assert bars[-1].on == date(2027, 1, 15)
    assert feed_at(sessions, later).bars([AAPL, XOM], *span) == bars
    assert feed_at(sessions, later).rates(["USD"], *span) == feed_at(sessions, soon).rates(["USD"], *span)
    i = next_session(sessions)
    assert (Replay(ANCHOR, sessions).path("AAPL", i) == Replay(ANCHOR, sessions).path("AAPL", i)).all()


def test_the_walk_begins_at_the_last_close_and_ends_at_its_own(sessions):
    replay, i = Replay(ANCHOR, sessions), next_session(sessions)
    for index in (replay.first, i - 1, i, i + 5):
        for symbol in ("AAPL", "BAC", "RRC", "SP500"):
            path, closes = replay.path(symbol, index), replay.closes(symbol, np.array([index - 1, index]))
            assert path[-1] == closes[1]
            assert path[0] == (closes[0] if index > replay.first else closes[1])
            assert (path > 0).all()
    assert len(replay.path("AAPL", i)) == 6.5 * 3600 / 10 + 1


def test_an_early_close_ends_the_walk_early(sessions):
    replay = Replay(ANCHOR, sessions)
    i = int(np.searchsorted(sessions.days, day_number(date(2026, 11, 27))))
    assert len(replay.path("AAPL", i)) == 3.5 * 3600 / 10 + 1
    at = datetime(2026, 11, 27, 18, 0, 5, tzinfo=UTC)
    quote = feed_at(sessions, at).quotes([AAPL], at)[0]
    assert (quote.session, quote.quoted_at) == ("post", datetime(2026, 11, 27, 18, 0, tzinfo=UTC))


def test_the_walk_is_about_half_as_lively_as_the_stock(sessions):
    replay, i = Replay(ANCHOR, sessions), next_session(sessions)
    for symbol in ("AAPL", "JNJ", "AMD"):
        shares = []
        for index in range(i - 40, i):
            steps = np.diff(np.log(replay.path(symbol, index)))
            shares.append(steps.std() * np.sqrt(len(steps)) / replay.volatility(symbol, index))
        assert 0.4 < np.median(shares) < 0.6


def test_quotes_move_every_ten_seconds_of_a_session(sessions):
    feed, start = feed_at(sessions, NOW), datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    prices = []
    for n in range(200):
        at = start + timedelta(seconds=10 * n + 3)
        quote = feed.quotes([AAPL], at)[0]
        assert quote.session == "regular"
        assert quote.quoted_at == at - timedelta(seconds=3)
        assert quote.previous_close == Decimal("125.674")
        assert quote.price > 0
        assert -quote.price.as_tuple().exponent <= 4
        assert feed.quotes([AAPL], at + timedelta(seconds=6))[0].price == quote.price
        prices.append(quote.price)
    assert sum(a != b for a, b in itertools.pairwise(prices)) > 190
    assert max(abs(b / a - 1) for a, b in itertools.pairwise(prices)) < Decimal("0.002")


@pytest.mark.parametrize(
    ("at", "session", "quoted"),
    [
        (datetime(2026, 11, 20, 12, 0, tzinfo=UTC), "pre", datetime(2026, 11, 19, 21, 0, tzinfo=UTC)),
        (datetime(2026, 11, 20, 14, 30, tzinfo=UTC), "regular", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        (datetime(2026, 11, 20, 20, 59, 59, tzinfo=UTC), "regular", datetime(2026, 11, 20, 20, 59, 50, tzinfo=UTC)),
        (datetime(2026, 11, 20, 21, 0, tzinfo=UTC), "post", datetime(2026, 11, 20, 21, 0, tzinfo=UTC)),
        (datetime(2026, 11, 21, 15, 0, tzinfo=UTC), "closed", datetime(2026, 11, 20, 21, 0, tzinfo=UTC)),
    ],
)
def test_the_phase_of_a_quote(sessions, at, session, quoted):
    quote = feed_at(sessions, at).quotes([XOM], at)[0]
    assert (quote.session, quote.quoted_at, quote.provider) == (session, quoted, "replay")


def test_the_close_is_the_bar_of_its_day(sessions):
    at = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
    feed = feed_at(sessions, at)
    for quote, bar in zip(feed.quotes([AAPL, XOM], at), feed.bars([AAPL, XOM], at.date(), at.date()), strict=True):
        assert quote.price == bar.close


def test_many_times_at_once_are_the_same_as_one_by_one(sessions):
    feed, i = feed_at(sessions, NOW), next_session(sessions)
    replay = feed.replay(NOW)
    times = np.arange(int(sessions.opens[i]), int(sessions.closes[i]) + 1, 300)
    alone = [float(feed.quotes([AAPL], datetime.fromtimestamp(t, UTC))[0].price) for t in times.tolist()]
    assert replay.prices_at("AAPL", i, times).tolist() == alone


def test_rates_are_the_ecb_s_of_the_real_day(sessions, wheel, ecb):
    replay = Replay(ANCHOR, sessions)
    shown = {
        (c, on): rate
        for c, on, rate in feed_at(sessions, NOW).rates(["USD", "JPY", "EUR"], date(1990, 1, 1), NOW.date())
    }
    assert {c for c, _ in shown} == {"USD", "JPY"}
    known = [row for row in ecb if row["USD"] != "N/A"]
    n = 0
    for row in wheel[::97]:
        before = [r for r in known if r["Date"] <= row["Date"]]
        on = replay.shown_on(date.fromisoformat(row["Date"]))
        if before:
            assert shown["USD", on] == Decimal(before[-1]["USD"])
            assert shown["JPY", on] == Decimal(before[-1]["JPY"])
            n += 1
        else:
            assert ("USD", on) not in shown
    assert n > 50


def test_after_the_anchor_come_the_real_following_rates(sessions, ecb):
    later = datetime(2027, 3, 1, tzinfo=UTC)
    shown = feed_at(sessions, later).rates(["USD"], ANCHOR.last_shown + timedelta(days=1), later.date())
    following = [Decimal(row["USD"]) for row in ecb if row["Date"] > "2022-12-28"]
    assert len(shown) > 60
    assert [rate for _, _, rate in shown] == following[: len(shown)]


def test_rates_go_on_without_a_jump_where_the_ecb_s_file_ends(sessions, ecb):
    replay, i = Replay(ANCHOR, sessions), next_session(sessions)
    rest = len([row for row in ecb if row["Date"] > "2022-12-28"])
    for currency in ("USD", "JPY", "CHF"):
        rates = replay.rates(currency, np.arange(i + rest - 5, i + rest + 20))
        assert not np.isnan(rates).any()
        assert (abs(np.diff(rates) / rates[:-1]) < 0.03).all()
    assert np.isnan(replay.rates("XXX", np.arange(i, i + 3))).all()


def test_an_anchor_that_fits_nothing_says_so(sessions):
    with pytest.raises(FeedError, match="no prices of 2022-12-25"):
        Replay(Anchor(date(2022, 12, 25), date(2026, 11, 19)), sessions)
    with pytest.raises(FeedError, match="no session"):
        Replay(Anchor(date(2022, 12, 28), date(2026, 11, 21)), sessions)


def test_calendars_know_early_closes_and_their_own_zone():
    new_york = {r[0]: r[1:] for r in calendars.compute("XNYS", date(2024, 11, 25), date(2024, 12, 2)).rows()}
    assert date(2024, 11, 28) not in new_york
    assert new_york[date(2024, 11, 29)][1] == datetime(2024, 11, 29, 18, 0, tzinfo=UTC)
    london = {r[0]: r[1:] for r in calendars.compute("XLON", date(2024, 3, 28), date(2024, 4, 2)).rows()}
    assert list(london) == [date(2024, 3, 28), date(2024, 4, 2)]
    assert london[date(2024, 3, 28)][0] == datetime(2024, 3, 28, 8, 0, tzinfo=UTC)
    assert london[date(2024, 4, 2)][0] == datetime(2024, 4, 2, 7, 0, tzinfo=UTC)
