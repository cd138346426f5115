"""Feeds: one contract that every feed keeps, then what is peculiar to each.

A new feed joins by a line in `WORLDS`: securities it knows, one it does not, a time, and the same feed in trouble.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeyahoo import FakeYahoo, chart, fresh_yfinance, hit, summary  # noqa: F401  every test gets the fixture

from core.book import Action
from core.calendar import Sessions
from core.fx import day_number, day_of
from core.ledger import Security
from core.taxonomy import ASSET_CLASSES, COUNTRIES, FREQUENCIES
from jobs.feeds import FEEDS, Feed, FeedError, chain
from jobs.feeds.csv_files import CsvFeed
from jobs.feeds.yahoo import YahooFeed, actions_in, bars_in, quotes_in, symbol_of

NOW = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)  # a Friday
ACME = Security(1, "AAPL", "Apple", "XNYS", "USD", "Equity")
PENCE = Security(2, "BP", "BP", "XLON", "GBP", "Equity")
NOBODY = Security(9, "NOBODY", "Unknown", "XNYS", "USD", "Equity")


@dataclass
class World:
    """A feed with what it knows, and a way to get it into trouble."""

    feed: Feed
    known: Sequence[Security]
    currencies: Sequence[str]
    names: dict[str, tuple[str, str | None]]  # what somebody types → symbol and exchange that it means
    break_it: Callable[[], Feed]


def second(year: int, month: int, day: int, hour: int = 14, minute: int = 30) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp())


DAYS = [date(2026, 3, d) for d in (2, 3, 4, 5, 6)]


def csv_world(folder: Path) -> World:
    (folder / "AAPL.csv").write_text(
        "date,close,open,volume\n" + "".join(f"{d},{250 + i}.10,{249 + i},{1000 + i}\n" for i, d in enumerate(DAYS))
    )
    (folder / "XLON_BP.csv").write_text("Currency,Date,Close\nGBp,2026-03-05,451.5\nGBp,2026-03-06,455.25\n")
    (folder / "actions.csv").write_text(
        "kind,symbol,exchange,ex_on,pay_on,amount,currency,ratio\nsplit,AAPL,,2026-03-03,,,,4\n"
        "dividend,AAPL,,2026-03-05,2026-03-19,0.26,,\ndividend,BP,XLON,2026-03-05,,6.66,GBp,\n"
        "dividend,BP,XNYS,2026-03-05,,6.66,USD,\ndividend,AAPL,,2027-03-05,,0.27,,\n"
    )
    (folder / "securities.csv").write_text(
        "symbol,name,Exchange,currency,asset_class,sector,industry,country,isin,dividend_frequency\n"
        "AAPL,Apple Inc.,XNAS,USD,equity,Technology,Consumer Electronics,United States,US0378331005,Quarterly\n"
    )
    (folder / "fx.csv").write_text(
        "date,currency,rate\n2026-03-05,USD,1.0812\n2026-03-06,USD,1.0834\n2026-03-06,GBP,0.8411\n"
    )

    def break_it() -> Feed:
        (folder / "AAPL.csv").write_text("date,close\n2026-03-06,n/a\n")
        (folder / "XLON_BP.csv").write_text("date\n2026-03-06\n")
        (folder / "fx.csv").write_text("date,currency,rate\n2026-03-06,USD,0\n")
        (folder / "actions.csv").write_text("kind,symbol,ex_on\ndividend,AAPL,2026-03-05\n")
        (folder / "securities.csv").write_text("symbol,country\nAAPL,Atlantis\n")
        return CsvFeed(folder)

    names = {
        "AAPL": ("AAPL", "XNAS"),
        "XNAS:AAPL": ("AAPL", "XNAS"),
        "US0378331005": ("AAPL", "XNAS"),
        "apple": ("AAPL", "XNAS"),
        "BP": ("BP", "XLON"),
    }
    return World(CsvFeed(folder), [ACME, PENCE], ["USD", "GBP", "EUR"], names, break_it)


def yahoo_world(folder: Path) -> World:
    stamps = [second(d.year, d.month, d.day) for d in DAYS]
    charts = {
        "AAPL": chart(
            "AAPL",
            "USD",
            dict(zip(stamps, [250.25, None, 251.5, 252.0, 253.75], strict=True)),
            splits={stamps[1]: (4, 1)},
            dividends={stamps[3]: 0.26},
        ),
        "BP.L": chart(
            "BP.L",
            "GBp",
            {s - 6 * 3600: 450.0 + i for i, s in enumerate(stamps)},
            "Europe/London",
            dividends={stamps[3] - 6 * 3600: 6.66},
        ),
        "EURUSD=X": chart("EURUSD=X", "USD", {second(2026, 3, d, 0, 0): 1.08 for d in (5, 6)}, "Europe/London"),
        "EURGBP=X": chart("EURGBP=X", "GBP", {second(2026, 3, d, 0, 0): 0.84 for d in (5, 6)}, "Europe/London"),
    }
    quotes = [
        quote_row("AAPL", "USD", 253.75, 252.0, second(2026, 3, 6, 17, 59)),
        quote_row("BP.L", "GBp", 455.25, 451.5, second(2026, 3, 6, 17, 45)) | {"marketState": "POSTPOST"},
    ]
    apple = (
        "NMS",
        "EQUITY",
        "USD",
        253.75,
        second(2026, 3, 6, 17, 59),
        "Apple Inc.",
        "Technology",
        "Consumer Electronics",
        "United States",
    )
    bp = (
        "LSE",
        "EQUITY",
        "GBp",
        455.25,
        second(2026, 3, 6, 17, 45),
        "BP p.l.c.",
        "Energy",
        "Oil & Gas Integrated",
        "United Kingdom",
    )
    summaries = {"AAPL": summary("AAPL", *apple), "BP.L": summary("BP.L", *bp)}
    found = {
        "US0378331005": [hit("AAPL", "NMS")],
        "apple inc": [hit("AAPL251219C00120000", "OPR", "OPTION"), hit("AAPL", "NMS")],
    }
    fake = FakeYahoo(charts, quotes, summaries, found)

    def break_it() -> Feed:
        fake.trouble = "429"
        return YahooFeed(fake.session())

    names = {
        "AAPL": ("AAPL", "XNAS"),
        "XNAS:AAPL": ("AAPL", "XNAS"),
        "US0378331005": ("AAPL", "XNAS"),
        "apple inc": ("AAPL", "XNAS"),
        "XLON:BP": ("BP", "XLON"),
        "bp.l": ("BP", "XLON"),
    }
    return World(YahooFeed(fake.session()), [ACME, PENCE], ["USD", "GBP", "EUR"], names, break_it)


def quote_row(symbol: str, currency: str, price: float, before: float, at: int) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "currency": currency,
        "regularMarketPrice": price,
        "regularMarketPreviousClose": before,
        "regularMarketTime": at,
        "marketState": "REGULAR",
    }


def replay_world(folder: Path) -> World:
    replay = pytest.importorskip("jobs.feeds.replay", reason="the replay feed is not here")
    days = [n for n in range(day_number(date(2025, 1, 1)), day_number(date(2027, 1, 1))) if day_of(n).weekday() < 5]
    opens = np.array([n * 86400 + 52200 for n in days], np.int64)
    sessions = Sessions("XNYS", "America/New_York", np.array(days, np.int32), opens, opens + 23400)
    anchor = replay.Anchor(day_of(int(replay.real().days[-1])), date(2026, 3, 4))

    def break_it() -> Feed:
        return replay.ReplayFeed()  # that of an installation which has no calendar yet

    names = {
        "AAPL": ("AAPL", "XNAS"),
        "xnas:aapl": ("AAPL", "XNAS"),
        "US0378331005": ("AAPL", "XNAS"),
        "coca": ("KO", "XNYS"),
        "SP500": ("SP500", "XNYS"),
    }
    feed = replay.ReplayFeed(anchor, sessions, lambda: NOW + timedelta(hours=4))
    return World(feed, [ACME], ["USD", "GBP", "EUR"], names, break_it)


WORLDS: dict[str, Callable[[Path], World]] = {"csv": csv_world, "yahoo": yahoo_world, "replay": replay_world}


@pytest.fixture(params=sorted(FEEDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "replay":
        request.getfixturevalue("database")
    assert request.param in WORLDS, f"the feed {request.param} has no world in tests/test_feeds.py"
    return WORLDS[request.param](tmp_path)


# --- the contract --------------------------------------------------------------------------------


def test_quotes_are_exact_timed_and_only_of_what_is_known(world: World) -> None:
    quotes = world.feed.quotes([NOBODY, *world.known], NOW)
    assert sorted(q.security_id for q in quotes) == sorted(s.security_id for s in world.known)
    for q in quotes:
        assert isinstance(q.price, Decimal)
        assert q.price.is_finite()
        assert q.price > 0
        assert q.previous_close is None or (isinstance(q.previous_close, Decimal) and q.previous_close > 0)
        assert q.session in ("pre", "regular", "post", "closed")
        assert q.provider == world.feed.name
        assert q.quoted_at.utcoffset() == timedelta(0)
        assert NOW - timedelta(days=3) < q.quoted_at <= NOW


def test_bars_are_exact_in_order_and_within_both_days(world: World) -> None:
    first, last = DAYS[1], DAYS[3]
    bars = world.feed.bars([*world.known, NOBODY], first, last)
    assert {b.security_id for b in bars} == {s.security_id for s in world.known}
    for security in world.known:
        days = [b.on for b in bars if b.security_id == security.security_id]
        assert days == sorted(set(days))
        assert days[-1] == last
        assert days[0] >= first
    for b in bars:
        for price in (b.close, b.open, b.high, b.low):
            assert price is None or (isinstance(price, Decimal) and price.is_finite() and price > 0)
        assert b.volume is None or (isinstance(b.volume, Decimal) and b.volume >= 0)
    assert world.feed.bars([*world.known, NOBODY], first, last) == bars


def test_rates_are_exact_and_per_euro(world: World) -> None:
    rates = world.feed.rates([*world.currencies, "XXX"], DAYS[3], DAYS[4])
    assert {c for c, _, _ in rates} == set(world.currencies) - {"EUR"}
    assert len({(c, on) for c, on, _ in rates}) == len(rates)
    for _, on, rate in rates:
        assert DAYS[3] <= on <= DAYS[4]
        assert isinstance(rate, Decimal)
        assert 0 < rate < 1000


def test_actions_are_exact_in_the_main_currency_and_within_both_days(world: World) -> None:
    """The replay has none; csv and Yahoo tell the same split and dividends, pence as pounds."""
    found = world.feed.actions([*world.known, NOBODY], DAYS[0], DAYS[4])
    if world.feed.name == "replay":
        assert found == []
        return
    assert [(a.security_id, a.kind, a.ex_on, a.amount, a.currency, a.ratio) for a in found] == [
        (1, "split", DAYS[1], None, None, Decimal(4)),
        (1, "dividend", DAYS[3], Decimal("0.26"), "USD", None),
        (2, "dividend", DAYS[3], Decimal("0.0666"), "GBP", None),
    ]
    assert {a.pay_on for a in found} == ({None, date(2026, 3, 19)} if world.feed.name == "csv" else {None})


def test_profiles_are_in_our_words_and_say_none_rather_than_guess(world: World) -> None:
    for name, meant in world.names.items():
        (profile,) = world.feed.profiles([name], NOW)
        assert (profile.symbol, profile.exchange) == meant, name
        assert profile.provider == world.feed.name
        assert profile.currency in ("USD", "GBP", None)
        assert profile.asset_class in (*ASSET_CLASSES, None)
        assert profile.country in (*COUNTRIES, None)
        assert profile.dividend_frequency in (*FREQUENCIES, None)
        assert "" not in profile.values().values()
        assert isinstance(profile.price, Decimal)
        assert profile.price > 0
        assert profile.previous_close is None or profile.previous_close > 0
        assert profile.quoted_at is not None
        assert profile.quoted_at.utcoffset() == timedelta(0)
        assert NOW - timedelta(days=3) < profile.quoted_at <= NOW
    assert [p.symbol for p in world.feed.profiles(list(world.names), NOW)] == list(
        dict.fromkeys(symbol for symbol, _ in world.names.values())
    )
    (apple,) = world.feed.profiles(["AAPL"], NOW)
    assert (apple.name, apple.currency, apple.asset_class, apple.sector, apple.country) == (
        "Apple Inc.",
        "USD",
        "Equity",
        "Information Technology",
        "US",
    )
    assert apple.industry
    for unknown in ("NOBODY", "XNAS:NOBODY", "XXXX:AAPL", "US9999999999", "no such company", "../fx", "fx", "%", ":"):
        assert world.feed.profiles([unknown], NOW) == [], unknown


def test_nothing_asked_nothing_given(world: World) -> None:
    assert world.feed.quotes([], NOW) == []
    assert world.feed.bars([], DAYS[0], DAYS[4]) == []
    assert world.feed.rates([], DAYS[0], DAYS[4]) == []
    assert world.feed.actions([], DAYS[0], DAYS[4]) == []
    assert world.feed.profiles([], NOW) == []
    assert world.feed.bars(world.known, date(2026, 2, 28), date(2026, 3, 1)) == []  # a weekend
    assert world.feed.quotes([NOBODY], NOW) == []


def test_trouble_is_a_feed_error_that_names_the_feed(world: World) -> None:
    broken = world.break_it()
    for ask in (
        lambda: broken.quotes(world.known, NOW),
        lambda: broken.bars(world.known, DAYS[0], DAYS[4]),
        lambda: broken.rates(["USD"], DAYS[0], DAYS[4]),
        lambda: broken.profiles(["AAPL"], NOW),
    ):
        with pytest.raises(FeedError, match=f"^{broken.name}: "):
            ask()


def test_the_chain_is_made_in_the_order_of_its_names() -> None:
    assert [feed.name for feed in chain(["yahoo", "csv"])] == ["yahoo", "csv"]
    assert "curl_cffi" not in sys.modules or "yfinance" in sys.modules  # making a feed asks nothing of anybody


# --- files ---------------------------------------------------------------------------------------


def test_csv_converts_pence_and_knows_the_close(tmp_path: Path) -> None:
    feed = csv_world(tmp_path).feed
    apple, bp = feed.quotes([ACME, PENCE], NOW)
    assert (bp.price, bp.previous_close) == (Decimal("4.5525"), Decimal("4.515"))
    assert (apple.price, apple.previous_close, apple.session) == (Decimal("254.10"), Decimal("253.10"), "closed")
    assert bp.quoted_at == datetime(2026, 3, 6, 16, 30, tzinfo=UTC)
    assert apple.quoted_at == NOW  # New York has not closed yet: never after now
    assert feed.bars([ACME], DAYS[0], DAYS[0])[0].open == Decimal(249)


def test_csv_reads_a_changed_file_again_and_prefers_the_exchange(tmp_path: Path) -> None:
    feed = csv_world(tmp_path).feed
    assert feed.quotes([ACME], NOW)[0].price == Decimal("254.10")
    (tmp_path / "AAPL.csv").write_text("date,close\n2026-03-06,300\n2026-03-09,999\n")
    assert feed.quotes([ACME], NOW)[0].price == Decimal(300)  # a line of the future is no quote yet
    (tmp_path / "XNYS_AAPL.csv").write_text("date,close\n2026-03-06,301\n")
    assert feed.quotes([ACME], NOW)[0].price == Decimal(301)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date,close\n2026-03-05,1\n2026-03-06,abc\n", "AAPL.csv line 3: close 'abc' is not a number"),
        ("date,close\n2026-03-06,0\n", "AAPL.csv line 2: close '0' is not above zero"),
        ("date,close\n2026-03-06,-1\n", "AAPL.csv line 2: close '-1' is not above zero"),
        ("date,close\n2026-03-06,NaN\n", "AAPL.csv line 2: close 'NaN' is not a number"),
        ("date,close\n2026-03-06,\n", "AAPL.csv line 2: close '' is not a number"),
        ("date,close\n06.03.2026,1\n", "AAPL.csv line 2: date '06.03.2026' is not a day"),
        ("date,close\n2026-03-06,1\n2026-03-06,2\n", "AAPL.csv line 3: date '2026-03-06' stands in the file twice"),
        ("date,close,currency\n2026-03-06,1,EUR\n", "AAPL.csv line 2: currency 'EUR', but AAPL is in USD"),
        ("date,close,volume\n2026-03-06,1,-5\n", "AAPL.csv line 2: volume '-5' is below zero"),
        ("day;close\n2026-03-06;1\n", "AAPL.csv line 1: no column date, close"),
        ("", "AAPL.csv line 1: no column date, close"),
    ],
)
def test_csv_names_the_file_the_line_and_the_value(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "AAPL.csv").write_text(text)
    (tmp_path / "BP.csv").write_text("\ufeffDate,Close\n2026-03-06,4.55\n", encoding="utf-8")
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).bars([ACME, PENCE], DAYS[0], DAYS[4])
    assert said in str(caught.value)
    assert list(caught.value.refused) == [1]
    assert not caught.value.whole
    good = [1] if "2026-03-05,1" in text else []
    assert [b.security_id for b in caught.value.partial] == [*good, 2]  # neither the good files nor the good lines pay for it


def test_csv_without_a_folder_knows_nothing(tmp_path: Path) -> None:
    feed = CsvFeed(tmp_path / "nowhere")
    assert feed.quotes([ACME], NOW) == []
    assert feed.rates(["USD"], DAYS[0], DAYS[4]) == []


# --- Yahoo ---------------------------------------------------------------------------------------


def test_yahoo_undoes_splits_that_came_later(tmp_path: Path) -> None:
    split = second(2026, 3, 5)
    closes = {second(2026, 3, 4): 124.80750274658203, split: 129.0399932861328, second(2026, 3, 6): 134.17999267578125}
    reply = chart("AAPL", "USD", closes, splits={split: (4, 1)})
    bars = bars_in(reply, ACME, DAYS[0], DAYS[4])
    assert [(b.on, b.close) for b in bars] == [
        (DAYS[2], Decimal("499.23")),
        (DAYS[3], Decimal("129.04")),
        (DAYS[4], Decimal("134.18")),
    ]
    assert [b.volume for b in bars] == [Decimal(250), Decimal(1000), Decimal(1000)]
    assert bars_in(reply, ACME, DAYS[2], DAYS[2]) == bars[:1]  # the split counts although it lies after the range


def test_yahoo_undoes_splits_in_dividends_too() -> None:
    """0.205 a share of today was 0.82 a share before the 4:1 split; two payments of one day are added."""
    paid = {second(2026, 3, 3): 0.205, second(2026, 3, 6): 0.205, second(2026, 3, 6, 15): 0.1}
    reply = chart("AAPL", "USD", {second(2026, 3, 3): 100.0}, splits={second(2026, 3, 5): (4, 1)}, dividends=paid)
    assert [(a.kind, a.ex_on, a.amount or a.ratio) for a in actions_in(reply, ACME)] == [
        ("dividend", DAYS[1], Decimal("0.82")),
        ("split", DAYS[3], Decimal(4)),
        ("dividend", DAYS[4], Decimal("0.305")),
    ]
    assert actions_in(chart("AAPL", "EUR", {}, dividends=paid), ACME) == [], "in another currency"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AAPL,bonus,2026-03-05,1,,\n", "kind 'bonus'"),
        ("AAPL,dividend,2026-03-05,,,\n", "amount ''"),
        ("AAPL,split,2026-03-05,1,,\n", "ratio ''"),
        ("AAPL,dividend,2026-03-05,1,2026-03-04,\n", "pay_on 2026-03-04 lies before"),
        ("AAPL,dividend,2026-03-05,1,,\nAAPL,dividend,2026-03-05,2,,\n", "a second dividend"),
    ],
)
def test_csv_actions_name_the_line_and_the_value(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "actions.csv").write_text("symbol,kind,ex_on,amount,pay_on,ratio\n" + text)
    with pytest.raises(FeedError, match=said):
        CsvFeed(tmp_path).actions([ACME], DAYS[0], DAYS[4])


def test_csv_actions_of_every_exchange_or_of_one(tmp_path: Path) -> None:
    assert CsvFeed(tmp_path).actions([ACME], DAYS[0], DAYS[4]) == []
    (tmp_path / "actions.csv").write_text("symbol,kind,ex_on,amount\naapl,dividend,2026-03-05,0.5\n")
    assert CsvFeed(tmp_path).actions([ACME], DAYS[0], DAYS[4]) == [Action(1, "dividend", DAYS[3], None, Decimal("0.5"), "USD")]  # fmt: skip


def test_yahoo_leaves_out_what_is_not_in_the_currency_of_the_security() -> None:
    assert bars_in(chart("AAPL", "EUR", {second(2026, 3, 4): 1.0}), ACME, DAYS[0], DAYS[4]) == []
    reply = {"quoteResponse": {"result": [quote_row("AAPL", "EUR", 1.0, 1.0, 1)], "error": None}}
    assert quotes_in(reply, {"AAPL": ACME}, NOW) == []


@pytest.mark.parametrize(
    "change", [{"regularMarketPrice": None}, {"regularMarketPrice": 0}, {"regularMarketTime": None}]
)
def test_yahoo_quotes_without_a_price_or_a_time_are_absent(change: dict[str, Any]) -> None:
    row = quote_row("AAPL", "USD", 1.0, 1.0, 1) | change
    assert quotes_in({"quoteResponse": {"result": [row], "error": None}}, {"AAPL": ACME}, NOW) == []


@pytest.mark.parametrize("trouble", ["429", "down", "slow", "500", "html"])
def test_yahoo_trouble_of_every_kind_keeps_what_came_before_it(trouble: str) -> None:
    charts = {"AAPL": chart("AAPL", "USD", {second(2026, 3, 4): 250.25})}
    fake = FakeYahoo(charts)
    fake.trouble, fake.trouble_after = trouble, 1
    with pytest.raises(FeedError, match=r"^yahoo: asked for BP\.L") as caught:
        YahooFeed(fake.session()).bars([ACME, PENCE], DAYS[0], DAYS[4])
    assert [b.close for b in caught.value.partial] == [Decimal("250.25")]


def test_yahoo_requests_keep_to_the_ceiling_and_to_the_budget(tmp_path: Path) -> None:
    fake = FakeYahoo({"AAPL": chart("AAPL", "USD", {second(2026, 3, 4): 250.25})})
    session = fake.session()
    YahooFeed(session).bars([ACME], DAYS[0], DAYS[4])
    assert fake.asked
    assert all(timeout <= 5 for _, timeout in fake.asked)
    session.begin(-1)
    with pytest.raises(TimeoutError, match="used up"):
        session.get("https://query1.finance.yahoo.com/v7/finance/quote")


def test_yahoo_symbols() -> None:
    assert symbol_of(Security(1, "BRK.B", "", "XNYS", "USD", "Equity")) == "BRK-B"
    assert symbol_of(Security(1, "BT.A", "", "XLON", "GBP", "Equity")) == "BT-A.L"
    assert symbol_of(Security(1, "X", "", "XZZZ", "USD", "Equity")) is None


# --- replies that were recorded from Yahoo, where the data folder is -----------------------------

YEARS = (date(1960, 1, 1), date(2026, 12, 31))


def security(symbol: str, currency: str) -> Security:
    return Security(7, symbol, symbol, "XNYS", currency, "Equity")


@pytest.fixture
def recorded(shared: Path) -> Path:
    folder = shared / "data" / "market" / "yahoo_recorded"
    if not folder.is_dir():
        pytest.skip(f"there are no recorded replies at {folder}")
    return folder


@pytest.mark.parametrize(
    ("file", "currency", "n", "first", "close"),
    [
        ("pricehist/inrx-with-null.json", "INR", None, None, None),
        ("pricehist/tsla-recent.json", "USD", None, None, None),
        ("pricehist/ibm-long-partial.json", "USD", None, date(1962, 1, 2), None),
        ("scheb/no_data_chart.json", "SEK", 0, None, None),
        ("scheb/aapl_history_chart.json", "USD", None, None, None),
        ("bradjacobs/aapl_chart_no_results.json", "USD", 0, None, None),
        ("bradjacobs/aapl_chart_5d_no_ts.json", "USD", 0, None, None),
        ("portfolio_performance/response_yahoo_historical01.txt", "EUR", None, None, None),
    ],
)
def test_recorded_charts(
    recorded: Path, file: str, currency: str, n: int | None, first: date | None, close: str | None
) -> None:
    reply = json.loads((recorded / file).read_text())
    bars = bars_in(reply, security("X", currency), *YEARS)
    if n is not None:
        assert len(bars) == n
        return
    result = reply["chart"]["result"][0]
    closes = result["indicators"]["quote"][0]["close"]
    assert 0 < len(bars) <= sum(c is not None for c in closes)
    assert first is None or bars[0].on == first
    assert all(b.close > 0 and b.on.weekday() < 5 for b in bars)
    assert [b.on for b in bars] == sorted({b.on for b in bars})


def test_every_recorded_chart_is_read_or_refused_with_a_reason(recorded: Path) -> None:
    """Each daily chart of the archive: as many bars as it has closes, pence as pounds, unknown symbols absent."""
    read = absent = refused = pence = 0
    with zipfile.ZipFile(recorded / "node_yahoo_finance2_fixtures.zip") as archive:
        for name in archive.namelist():
            if not name.endswith(".json"):
                continue
            recording = json.loads(archive.read(name))
            url, body = recording["request"]["url"], recording["response"].get("bodyJson")
            if "/v8/finance/chart/" not in url or "interval=1d" not in url or not isinstance(body, dict):
                continue
            results = (body.get("chart") or {}).get("result")
            meta = results[0]["meta"] if results else {}
            currency = meta.get("currency") or "USD"
            main = {"GBp": "GBP", "ZAc": "ZAR", "ILA": "ILS"}.get(currency, currency)
            try:
                bars = bars_in(body, security(name, main), *YEARS)
            except FeedError:
                refused += 1
                continue
            if not bars:
                absent += 1
                continue
            quote = results[0]["indicators"]["quote"][0]
            splits = (results[0].get("events") or {}).get("splits")
            assert len(bars) <= sum(c is not None for c in quote["close"])
            if not splits:
                last = next(c for c in reversed(quote["close"]) if c is not None)
                factor = 100 if main != currency else 1
                assert abs(float(bars[-1].close) * factor - last) < 1e-4 * last, name
            pence += main != currency
            read += 1
    assert read > 30
    assert pence > 0
    assert (absent, refused) != (0, 0)


def test_every_recorded_quote_is_read(recorded: Path) -> None:
    read = 0
    with zipfile.ZipFile(recorded / "node_yahoo_finance2_fixtures.zip") as archive:
        for name in archive.namelist():
            recording = json.loads(archive.read(name)) if name.endswith(".json") else {"request": {"url": ""}}
            body = recording.get("response", {}).get("bodyJson")
            if "/v7/finance/quote?" not in recording["request"]["url"] or not isinstance(body, dict):
                continue
            for row in (body.get("quoteResponse") or {}).get("result") or []:
                currency = row.get("currency", "")
                main = {"GBp": "GBP", "ZAc": "ZAR", "ILA": "ILS"}.get(currency, currency)
                alone = {"quoteResponse": {"result": [row], "error": None}}
                found = quotes_in(alone, {row["symbol"]: security(row["symbol"], main)}, datetime.now(UTC))
                if row.get("regularMarketPrice") and row.get("regularMarketTime") and currency:
                    factor = 100 if main != currency else 1
                    assert (
                        abs(float(found[0].price) * factor - row["regularMarketPrice"])
                        < 1e-9 * found[0].price.__float__() * 100
                    )
                    read += 1
                else:
                    assert found == []
    assert read > 20
