"""Profiles: what providers say in our words, several feeds as one answer, and lookups from the page to the listening thread."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from conftest import Database
from fakeyahoo import FakeYahoo, chart, fresh_yfinance, hit, summary  # noqa: F401  every test gets the fixture
from hypothesis import given
from hypothesis import strategies as st

from core.ledger import LedgerError, Security
from core.profiles import Asked, Profile, asked, asset_class_of, dividend_frequency, exchange_of, meant, merged
from db import access, engine, lookups, market
from db.access import AccessDenied
from db.lookups import Lookup, NoSuchLookup
from jobs import lookups as answering
from jobs import market_data
from jobs.feeds import FeedError
from jobs.feeds.csv_files import CsvFeed
from jobs.feeds.replay import ReplayFeed
from jobs.feeds.yahoo import SUFFIXES, YahooFeed, our_symbol, profile_in, symbol_of, symbols_in
from jobs.listen import Listener, listening
from jobs.market_data import Feeds
from jobs.run import Worker

NOW = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)
TODAY = NOW.date()
AT = int(NOW.timestamp()) - 60
WORDS = "four-words-for-tests"


# --- words of providers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("aapl", Asked("aapl", "AAPL")),
        (" xnas:aapl ", Asked("xnas:aapl", "AAPL", "XNAS")),
        ("us0378331005", Asked("us0378331005", isin="US0378331005")),
        ("Coca  Cola", Asked("Coca Cola")),
        ("BRK.B", Asked("BRK.B", "BRK.B")),
    ],
)
def test_what_somebody_types_is_read(text: str, means: Asked) -> None:
    assert asked(text) == means


def test_codes_and_kinds_become_ours() -> None:
    codes = ["NMS", "NGM", "NYQ", "PCX", "LSE", "GER", "PAR", "AMS", "EBS", "JPX", "TOR"]
    assert [exchange_of(c) for c in codes] == [
        "XNAS",
        "XNAS",
        "XNYS",
        "XNYS",
        "XLON",
        "XETR",
        "XPAR",
        "XAMS",
        "XSWX",
        "XTKS",
        "XTSE",
    ]
    assert exchange_of("CCC") is exchange_of(None) is None
    kinds = ["EQUITY", "ETF", "MUTUALFUND", "CRYPTOCURRENCY", "CURRENCY", "FUTURE", "INDEX", "BOND"]
    assert [asset_class_of(k) for k in kinds] == [
        "Equity", "Fund", "Fund", "Crypto", "Currency", "Commodity", "Index", "Fixed Income",
    ]  # fmt: skip
    assert asset_class_of("OPTION") is asset_class_of(None) is None


def every(days: int, count: int, last: int = 20) -> list[date]:
    return [TODAY - timedelta(days=last + days * i) for i in range(count)]


@pytest.mark.parametrize(
    ("paid", "said"),
    [
        (every(30, 25), "monthly"),
        (every(91, 8), "quarterly"),
        (every(91, 8) + every(400, 1, 45), "quarterly"),  # and a special one
        (every(91, 2), "quarterly"),  # has just begun
        (every(182, 4), "semi-annual"),
        ([date(2024, 5, 10), date(2024, 9, 5), date(2025, 5, 9), date(2025, 9, 4)], "semi-annual"),  # unevenly
        (every(365, 2), "annual"),
        ([date(2024, 2, 20), date(2025, 3, 1)], "annual"),  # two years and two weeks ago
        ([TODAY - timedelta(days=9)], "irregular"),
        (every(14, 3), "irregular"),
        (every(250, 3), "irregular"),
        ([], "none"),
        (every(91, 8, 900), "none"),  # pays no longer
        ([TODAY + timedelta(days=5)], "none"),
    ],
)
def test_how_often_it_pays_is_told_by_the_ex_dates_of_two_years(paid: list[date], said: str) -> None:
    assert dividend_frequency(paid + paid[:1], TODAY) == said


@given(
    st.sampled_from(sorted(SUFFIXES)),
    st.from_regex(r"[A-Z0-9]{1,6}(\.[A-Z])?", fullmatch=True),
)
def test_a_symbol_is_the_same_after_yahoo_and_back(exchange: str, symbol: str) -> None:
    theirs = symbol_of(Security(1, symbol, "", exchange, "", ""))
    assert theirs is not None
    assert our_symbol(theirs, exchange) == symbol


def test_a_profile_is_the_same_after_storing() -> None:
    full = Profile(
        "A",
        "XNYS",
        "Ä",
        "USD",
        "Equity",
        "Energy",
        "x",
        "US",
        "US0378331005",
        "annual",
        Decimal("1E-7"),
        Decimal("2.50"),
        NOW,
        "p",
    )
    for profile in (full, Profile("A")):
        assert Profile.from_json(json.loads(json.dumps(profile.as_json()))) == profile
    assert full.as_json()["price"] == "0.0000001"


# --- Yahoo's replies -----------------------------------------------------------------------------


def test_every_recorded_profile_is_read(shared: Path) -> None:
    """The modules were recorded one by one; a reply for all of them carries the same parts side by side."""
    parts: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(shared / "data" / "market" / "yahoo_recorded" / "node_yahoo_finance2_fixtures.zip") as archive:
        for name in archive.namelist():
            kind, _, rest = Path(name).name.removeprefix("quoteSummary-").partition("-")
            if "/http/quoteSummary-" not in name or kind not in ("assetProfile", "price", "quoteType", "summaryDetail"):
                continue
            body = json.loads(archive.read(name))["response"].get("bodyJson") or {}
            for result in (body.get("quoteSummary") or {}).get("result") or []:
                parts.setdefault(rest.removesuffix(".json"), {}).update(result)
    replies = {symbol: {"quoteSummary": {"result": [found], "error": None}} for symbol, found in parts.items()}
    read = {
        symbol: profile_in(reply, datetime.now(UTC)) for symbol, reply in replies.items() if "price" in parts[symbol]
    }
    assert len(read) > 25
    for symbol, profile in read.items():
        assert profile is not None
        assert profile.asset_class is not None, symbol
        assert profile.currency is None or profile.currency.isupper()
        assert profile.price is None or profile.quoted_at is not None
    apple, ocado, fund, bitcoin = (read[s] for s in ("AAPL", "OCDO.L", "QQQ", "BTC-USD"))
    assert apple == Profile(
        "AAPL", "XNAS", "Apple Inc.", "USD", "Equity", "Information Technology", "Consumer Electronics", "US",
        price=Decimal("245.55"), previous_close=Decimal("245.83"), quoted_at=datetime(2025, 2, 21, 21, 0, 2, tzinfo=UTC), provider="yahoo",
    )  # fmt: skip
    assert ocado is not None
    assert (ocado.symbol, ocado.exchange, ocado.currency, ocado.price) == ("OCDO", "XLON", "GBP", Decimal("3.09"))
    assert (ocado.sector, ocado.industry, ocado.country) == ("Consumer Staples", "Grocery Stores", "GB")
    assert fund is not None
    assert (fund.exchange, fund.asset_class, fund.sector, fund.name) == ("XNAS", "Fund", None, "Invesco QQQ Trust")
    assert bitcoin is not None
    assert (bitcoin.symbol, bitcoin.exchange, bitcoin.asset_class) == ("BTC-USD", None, "Crypto")
    assert (bitcoin.sector, bitcoin.dividend_frequency) == (None, "none")
    gold, turkish = read["GC=F"], read["THYAO.IS"]
    assert gold is not None
    assert (gold.asset_class, gold.name) == ("Commodity", "Gold Apr 25")
    assert turkish is not None
    assert (turkish.symbol, turkish.exchange, turkish.country) == ("THYAO.IS", None, "TR")


def test_every_recorded_search_names_symbols(shared: Path) -> None:
    with zipfile.ZipFile(shared / "data" / "market" / "yahoo_recorded" / "node_yahoo_finance2_fixtures.zip") as archive:
        bodies = {
            Path(name).stem: json.loads(archive.read(name))["response"].get("bodyJson")
            for name in archive.namelist()
            if "/fixtures/http/search-" in name
        }
    found = {name: symbols_in(body) for name, body in bodies.items() if isinstance(body, dict) and "quotes" in body}
    assert found["search-AAPL"][0] == "AAPL"
    assert not [s for s in found["search-AAPL"] if s.startswith("AAPL2")], "options are no securities here"
    assert found["search-Bayerische Motoren Werke AG"][0] == "BMW.DE"
    assert found["search-BJ0CDD2"] == ["MNTN.L"]


def yahoo(trouble: str = "", after: int = 0, **given: Any) -> tuple[YahooFeed, FakeYahoo]:
    fake = FakeYahoo(**given)
    fake.trouble, fake.trouble_after = trouble, after
    return YahooFeed(fake.session()), fake


def test_yahoo_tells_dividends_from_the_chart_and_a_chart_in_trouble_costs_the_frequency_only() -> None:
    quarters = {AT - 86400 * (20 + 91 * i): 0.25 for i in range(8)}
    pays = chart("PAYS", "USD", {AT: 10.0}, dividends=quarters)
    summaries = {"PAYS": summary("PAYS", "NYQ", "EQUITY", "USD", 10.0, AT, "Pays", "Energy", "Uranium", "Canada")}
    feed, _ = yahoo(summaries=summaries, charts={"PAYS": pays})
    (profile,) = feed.profiles(["pays"], NOW)
    assert (profile.dividend_frequency, profile.country) == ("quarterly", "CA")
    feed, _ = yahoo(summaries=summaries, charts={"PAYS": {"chart": {"result": None, "error": {"code": "Down"}}}})
    (profile,) = feed.profiles(["pays"], NOW)
    assert (profile.dividend_frequency, profile.name) == (None, "Pays")


def test_an_isin_names_each_listing_and_a_name_few() -> None:
    summaries = {
        s: summary(s, exchange, "EQUITY", "EUR", 10.0, AT, f"Firm {s}")
        for s, exchange in (("FRM.SG", "STU"), ("FRM.DE", "GER"), ("FRM.PA", "PAR"), ("FRM.VI", "VIE"))
    }
    hits = [
        hit("FRM.SG", "STU"),
        hit("FRM.VI", "VIE"),
        hit("GONE.DE", "GER"),
        hit("FRM.DE", "GER"),
        hit("FRM.PA", "PAR"),
    ]
    feed, fake = yahoo(summaries=summaries, searches={"DE0005190003": hits, "the firm": hits})
    found = feed.profiles(["DE0005190003"], NOW)
    assert [(p.symbol, p.exchange, p.isin) for p in found] == [
        ("FRM", "XETR", "DE0005190003"),
        ("FRM", "XPAR", "DE0005190003"),
    ]
    assert {p.isin for p in feed.profiles(["the firm"], NOW)} == {None}
    assert not [where for where, _ in fake.asked if "FRM.VI" in where]


def test_nothing_that_is_typed_leaves_the_path_of_the_question() -> None:
    feed, fake = yahoo()
    for text in ("../../v1/finance/x", "A?modules=x", "A#b", "A/../B", "%2e%2e"):
        assert feed.profiles([text], NOW) == []
    for where, _ in fake.asked:
        assert where.count("/") <= 4, where
        assert ".." not in where


def test_somebody_who_waits_does_not_cut_the_bars_short() -> None:
    _, fake = yahoo()
    session = fake.session()
    session.begin(60.0)
    other = Thread(target=session.begin, args=(0.0,))
    other.start()
    other.join()
    assert session.request("GET", "https://query1.finance.yahoo.com/x").status_code == 404
    session.begin(0.0)
    with pytest.raises(TimeoutError):
        session.request("GET", "https://query1.finance.yahoo.com/x")


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",,,,,", "symbol '' has not 1 to 32 characters"),
        ("X,Equitty,,,,", "asset_class 'Equitty' is none of ours; did you mean Equity?"),
        ("X,,Atlantis,,,", "country 'Atlantis' is not a country"),
        ("X,,,US037833100,,", "isin 'US037833100' is not an ISIN"),
        ("X,,,,-1,2026-03-06", "price '-1' is not above zero"),
        ("X,,,,12,", "quoted_at '' is missing"),
        ("X,,,,12,yesterday", "quoted_at 'yesterday' is not a time"),
    ],
)
def test_a_bad_line_of_securities_csv_is_named_and_costs_the_others_nothing(
    tmp_path: Path, line: str, said: str
) -> None:
    header = "symbol,asset_class,country,isin,price,quoted_at"
    (tmp_path / "securities.csv").write_text(f"{header}\n{line or ','}\nGOOD,Fund,IE,,5,2026-03-06T10:00\n")
    if line.startswith(","):
        (tmp_path / "securities.csv").write_text(f"{header}\n,Fund,,,,\nGOOD,Fund,IE,,5,2026-03-06T10:00\n")
    with pytest.raises(FeedError) as caught:
        CsvFeed(tmp_path).profiles(["good"], NOW)
    assert f"securities.csv line 2: {said}" in str(caught.value)
    (good,) = caught.value.partial
    assert (good.symbol, good.asset_class, good.price) == ("GOOD", "Fund", Decimal(5))
    assert good.quoted_at == datetime(2026, 3, 6, 10, 0, tzinfo=UTC)


def test_price_files_alone_tell_symbol_exchange_and_last_close(tmp_path: Path) -> None:
    (tmp_path / "XETR_ACME.csv").write_text(
        "date,close,currency\n2026-03-05,9,EUR\n2026-03-04,8,EUR\n2027-01-01,99,EUR\n"
    )
    (tmp_path / "ACME.csv").write_text("date,close\n2026-03-06,7\n")
    (tmp_path / "PENNY.csv").write_text("date,close,currency\n2026-03-06,455.25,GBp\n")
    feed = CsvFeed(tmp_path)
    listed, plain = sorted(feed.profiles(["acme"], NOW), key=lambda p: p.exchange or "~")
    assert (listed.exchange, listed.currency, listed.price, listed.previous_close) == (
        "XETR",
        "EUR",
        Decimal(9),
        Decimal(8),
    )
    assert (plain.exchange, plain.currency, plain.price, plain.asset_class) == (None, None, Decimal(7), None)
    assert [p.exchange for p in feed.profiles(["XETR:ACME"], NOW)] == ["XETR"]
    assert [p.exchange for p in feed.profiles(["XLON:PENNY"], NOW)] == [None]
    (penny,) = feed.profiles(["PENNY"], NOW)
    assert (penny.currency, penny.price) == ("GBP", Decimal("4.5525"))
    for other in ("FX", "ACTIONS", "SECURITIES"):
        (tmp_path / f"{other}.csv").write_text("symbol,date,close\n,2026-03-06,7\n")
        assert CsvFeed(tmp_path)._unlisted(other, set()) == [], "no price file"
    assert CsvFeed(tmp_path / "nowhere").profiles(["ACME"], NOW) == []


# --- several feeds as one ------------------------------------------------------------------------


def test_a_later_feed_fills_the_gaps_of_an_earlier_one() -> None:
    first = Profile("ACME", "XNYS", "Acme", "USD", sector="Energy", price=Decimal(3), quoted_at=NOW, provider="a")
    second = Profile(
        "ACME",
        None,
        "ACME CORP",
        None,
        "Equity",
        "Materials",
        "Gold",
        "US",
        None,
        "annual",
        Decimal(9),
        Decimal(8),
        NOW,
        "b",
    )
    (both,) = merged([[first], [second]])
    assert both == replace(first, asset_class="Equity", country="US", dividend_frequency="annual", provider="a, b")
    assert merged([[first], [replace(first, provider="b")]]) == [first]
    bare = Profile("ACME", provider="a")
    assert merged([[bare], [second]]) == [replace(second, provider="a, b")]


def test_what_contradicts_is_another_candidate() -> None:
    here = Profile("ACME", "XNYS", currency="USD", provider="a")
    for there in (
        Profile("ACME", "XETR", provider="b"),
        Profile("ACME", None, currency="EUR", provider="b"),
        Profile("ACM", provider="b"),
    ):
        assert merged([[here], [there]]) == [here, there]
    renamed = Profile("ACM", "XNYS", "Acme", isin="US0378331005", provider="b")
    (one,) = merged([[replace(here, isin="US0378331005")], [renamed]])
    assert (one.symbol, one.name) == ("ACME", "Acme")
    listings = [Profile("ACME", "XETR", provider="a"), Profile("ACME", None, provider="a")]
    assert merged([listings]) == listings, "one feed's own candidates are never the same"


def test_what_an_asset_class_may_not_carry_is_not_filled_in() -> None:
    coin = Profile("COIN", None, "Coin", "USD", "Crypto", dividend_frequency="none", provider="a")
    assert merged([[coin], [Profile("COIN", sector="Energy", industry="Uranium", provider="b")]])[0].sector is None


@dataclass
class Told:
    """A feed that knows these profiles, or is in trouble."""

    name: str = "told"
    known: Sequence[Profile] = ()
    error: str = ""
    work: Callable[[], None] = lambda: None
    asked: list[str] = field(default_factory=list)

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        self.asked += names
        self.work()
        if self.error:
            raise FeedError(f"{self.name}: {self.error}", partial=self.known)
        return [p for name in names for p in meant(name, self.known)]


def chained(*feeds: Told) -> Feeds:
    return Feeds(feeds)  # type: ignore[arg-type]


def test_a_failing_feed_costs_the_others_nothing_and_does_not_rest_for_it() -> None:
    down, good = Told("down", error="no route"), Told("good", [Profile("ACME")])
    feeds = chained(down, good)
    for _ in range(5):
        answer = feeds.profiles(["ACME"], NOW)
        assert answer.rows == {"down": [], "good": [Profile("ACME")]}
        assert answer.failures == {"down": "down: no route"}
    assert len(down.asked) == 5
    with pytest.raises(FeedError, match="down: no route"):
        chained(down, Told("empty")).profiles(["ACME"], NOW)
    assert chained(Told("half", [Profile("ACME")], "bad line")).profiles(["ACME"], NOW).rows["half"] == [
        Profile("ACME")
    ]


def test_what_no_price_can_be_is_left_out() -> None:
    wrong = [
        Profile("ACME", price=Decimal(0), quoted_at=NOW),
        Profile("ACME", price=Decimal(1)),
        Profile("ACME", price=Decimal(1), quoted_at=NOW + timedelta(seconds=1)),
        Profile("ACME", price=Decimal("NaN"), quoted_at=NOW),
    ]
    assert chained(Told("wrong", wrong)).profiles(["ACME"], NOW).rows == {"wrong": []}


# --- lookups -------------------------------------------------------------------------------------


@pytest.fixture
def anna(database: Database) -> UUID:
    return access.create_user("anna", WORDS, "analyst", "Anna")


@pytest.fixture
def ben(database: Database) -> UUID:
    return access.create_user("ben", WORDS, "admin", "Ben")


def listens(feeds: Feeds, monkeypatch: pytest.MonkeyPatch, every: float = 60.0) -> AbstractContextManager[None]:
    """The listener of the timetable with these feeds, woken by notifications alone."""
    monkeypatch.setattr(market_data, "feeds", lambda: feeds)
    return listening([Listener("lookups", answering.CHANNEL, answering.work, every)], Worker(Event()))


def answer(user: UUID, lookup_id: UUID, limit: float = 2.0) -> Lookup:
    """The answer, as a page waits for it."""
    deadline = time.monotonic() + limit
    while (found := lookups.answer_of(user, lookup_id)).state == "asked":
        assert time.monotonic() < deadline, f"not answered within {limit} s"
        time.sleep(0.02)
    return found


def replay_of_this_installation(database: Database) -> ReplayFeed:
    """The replay with its calendar in the database, as set-up leaves it."""
    days = [datetime.now(UTC).date() + timedelta(days=d) for d in range(-9000, 100)]
    days = [d for d in days if d.weekday() < 5]
    opens = [datetime(d.year, d.month, d.day, 14, 30, tzinfo=UTC) for d in days]
    with database.jobs() as c:
        market.upsert_sessions(c, "XNYS", [(d, o, o + timedelta(hours=6.5)) for d, o in zip(days, opens, strict=True)])
    feed = ReplayFeed()
    feed.replay()
    return feed


def test_who_types_a_symbol_sees_the_proposal_at_once(
    database: Database, anna: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listens(Feeds([replay_of_this_installation(database)]), monkeypatch):
        time.sleep(0.3)
        number = lookups.ask(anna, " xnas:aapl ")
        found = answer(anna, number)
        (apple,) = found.candidates
        assert (found.asked, found.state, found.error) == ("xnas:aapl", "answered", None)
        assert (apple.symbol, apple.exchange, apple.name, apple.country) == ("AAPL", "XNAS", "Apple Inc.", "US")
        assert (apple.asset_class, apple.sector, apple.dividend_frequency) == (
            "Equity",
            "Information Technology",
            "quarterly",
        )
        assert apple.price is not None
        assert apple.quoted_at is not None
        assert found.answered_at is not None
        unknown = answer(anna, lookups.ask(anna, "NOBODY"))
        assert (unknown.state, unknown.candidates) == ("answered", ())
        assert unknown.error == "no feed knows NOBODY (asked: replay)"


def test_a_feed_in_trouble_says_so(database: Database, anna: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    down, good = Told("down", error="no route to host"), Told("good", [Profile("ACME", name="Acme", provider="good")])
    with listens(chained(down), monkeypatch):
        found = answer(anna, lookups.ask(anna, "ACME"))
        assert (found.state, found.candidates) == ("failed", ())
        assert found.error == "nobody could be asked about ACME: down: no route to host"
    with listens(chained(down, good), monkeypatch):
        found = answer(anna, lookups.ask(anna, "ACME"))
        assert (found.state, [p.name for p in found.candidates], found.error) == (
            "answered",
            ["Acme"],
            "down: no route to host",
        )


def test_what_was_asked_while_nobody_listened_is_answered_later(
    database: Database, anna: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lookups.ask(anna, "ACME")
    good = chained(Told("good", [Profile("ACME", provider="good")]))
    with listens(good, monkeypatch):
        assert answer(anna, first).candidates == (Profile("ACME", provider="good"),)
    second = lookups.ask(anna, "BOLT")
    time.sleep(0.2)
    assert lookups.answer_of(anna, second).state == "asked"
    with database.owner() as c:  # somebody took it up and was killed
        c.execute(
            "UPDATE lookups SET claimed_at = now() - interval '14 seconds', attempts = 1 WHERE lookup_id = %s",
            (second,),
        )
    with listens(good, monkeypatch, every=0.2):
        time.sleep(0.3)
        assert lookups.answer_of(anna, second).state == "asked", "it is still somebody's"
        assert answer(anna, second, 3.0).state == "answered"


def test_a_question_that_breaks_its_worker_fails_in_the_end(
    database: Database, anna: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> None:
        if told.asked[-1] == "BAD":
            raise ZeroDivisionError("a bug")

    told = Told("told", [Profile("GOOD")], work=breaks)
    bad, good = lookups.ask(anna, "BAD"), lookups.ask(anna, "GOOD")
    monkeypatch.setattr(lookups, "CLAIM", "0.1 seconds")
    with listens(chained(told), monkeypatch, every=0.2):
        assert answer(anna, good).state == "answered"
        found = answer(anna, bad, 5.0)
    assert found.state == "failed"
    assert found.error is not None
    assert "log" in found.error
    assert told.asked.count("BAD") == lookups.TRIES


def test_nonsense_from_a_feed_is_tidied_or_left_out(database: Database, anna: UUID) -> None:
    """A NUL would break the answer, and the question be asked three times in vain."""
    number = lookups.ask(anna, "odd")
    odd = [
        Profile("ODD\x00", "X" * 5_000, name="A\x00\x1b <script>alert(1)</script> " + "n" * 5_000, sector="\n", industry="i" * 201, provider="odd"),
        Profile("TWO WORDS", provider="odd"),
        Profile("S" * 33, provider="odd"),
        Profile("\x00", provider="odd"),
    ]  # fmt: skip
    answering.answer_open(chained(Told("odd", odd, "down\x00" * 1_000)))
    found = lookups.answer_of(anna, number)
    (one,) = found.candidates
    assert (found.state, one.symbol, one.exchange, one.sector, one.industry) == ("answered", "ODD", None, None, None)
    assert one.name is not None
    assert found.error is not None
    assert len(found.error) < 600
    assert (len(one.name), one.name[:27]) == (200, "A <script>alert(1)</script>")


def test_the_same_question_is_asked_once_a_minute(database: Database, anna: UUID, ben: UUID) -> None:
    first = lookups.ask(anna, "ACME")
    assert {lookups.ask(anna, " ACME ") for _ in range(1_000)} == {first}, "while it waits"
    told = Told("good", [Profile("ACME", provider="good")])
    answering.answer_open(chained(told))
    assert lookups.ask(anna, "ACME") == first, "the answer is fresh"
    assert lookups.ask(ben, "ACME") != first
    assert lookups.ask(anna, "BOLT") != first
    with database.owner() as c:
        c.execute("UPDATE lookups SET answered_at = now() - interval '61 seconds' WHERE lookup_id = %s", (first,))
    assert lookups.ask(anna, "ACME") != first
    assert told.asked == ["ACME"]


def test_two_workers_answer_each_question_once(database: Database, anna: UUID) -> None:
    for i in range(lookups.WAITING):
        lookups.ask(anna, f"S{i}")
    with engine.jobs() as one, engine.jobs() as other:
        first, second = lookups.claim(one), lookups.claim(other)
        assert first is not None
        assert second is not None
        assert first.lookup_id != second.lookup_id
    told = Told("told")
    assert answering.answer_open(chained(told)) == lookups.WAITING - 2
    assert len(set(told.asked)) == len(told.asked) == lookups.WAITING - 2


def test_the_feeds_are_asked_outside_any_transaction(database: Database, anna: UUID) -> None:
    def look() -> None:
        with psycopg.connect(database.conninfo()) as c:
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ballast_jobs' AND xact_start IS NOT NULL"
            seen.append(c.execute(query).fetchone())

    seen: list[Any] = []
    lookups.ask(anna, "ACME")
    assert answering.answer_open(chained(Told("told", work=look))) == 1
    assert seen == [(0,)]


def test_industries_are_spelled_as_the_taxonomy_has_them(database: Database, anna: UUID) -> None:
    known = [
        Profile("A", sector="Information Technology", industry="Software—Application"),
        Profile("AB", sector="Information Technology", industry="Time Travel"),
        Profile("ABC", sector="Magic", industry="Wands"),
    ]
    found = {}
    for each in known:
        number = lookups.ask(anna, each.symbol)
        answering.answer_open(chained(Told("told", known)))
        (profile,) = lookups.answer_of(anna, number).candidates
        found[each.symbol] = (profile.sector, profile.industry)
    assert found["A"] == ("Information Technology", "Software - Application")
    assert found["AB"] == ("Information Technology", "Time Travel")
    assert found["ABC"] == ("Magic", "Wands")


def test_nobody_reads_or_writes_another_persons_question(database: Database, anna: UUID, ben: UUID) -> None:
    number = lookups.ask(anna, "SECRET")
    with pytest.raises(NoSuchLookup):
        lookups.answer_of(ben, number)
    with pytest.raises(NoSuchLookup):
        lookups.answer_of(anna, uuid4())
    for who in (ben, None):
        c = database.web(who)
        assert c.execute("SELECT count(*) FROM lookups").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute("INSERT INTO lookups (asked, asked_by) VALUES ('X', %s)", (anna,))
    for statement in (
        "UPDATE lookups SET state = 'answered', answered_at = now()",
        "DELETE FROM lookups",
        "INSERT INTO lookups (asked, asked_by, state, answered_at) VALUES ('X', app_user(), 'answered', now())",
    ):
        c = database.web(anna)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute(statement)


def test_questions_are_short_few_and_not_for_viewers(database: Database, anna: UUID) -> None:
    viewer = access.create_user("vera", WORDS, "viewer", "Vera")
    with pytest.raises(AccessDenied):
        lookups.ask(viewer, "ACME")
    c = database.web(viewer)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
        c.execute("INSERT INTO lookups (asked, asked_by) VALUES ('X', %s)", (viewer,))
    for text in ("", "   ", "x" * 81, "a\x00b", "a\x07b"):
        with pytest.raises(LedgerError, match="1 to 80 characters"):
            lookups.ask(anna, text)
    for i in range(lookups.WAITING):
        lookups.ask(anna, f"S{i}")
    with pytest.raises(LedgerError, match="10 of your questions wait"):
        lookups.ask(anna, "ONE MORE")


def test_the_api_takes_the_question_and_hands_out_the_answer(database: Database, anna: UUID, ben: UUID) -> None:
    from small import TestClient

    from api import api

    clients = {
        name: TestClient(
            api, headers={"Authorization": f"Bearer {access.sign_in(name, WORDS)[0]}"}, raise_server_exceptions=False
        )
        for name in ("anna", "ben")
    }
    asked = clients["anna"].post("/v1/securities/lookup", json={"text": " acme "})
    assert asked.status_code == 202
    path = f"/v1/securities/lookup/{asked.json()['lookup_id']}"
    waiting = clients["anna"].get(path).json()
    assert (waiting["state"], waiting["text"], waiting["candidates"], waiting["error"]) == ("asked", "acme", [], None)
    known = Profile("ACME", "XNYS", price=Decimal("1.50"), quoted_at=NOW, provider="told")
    answering.answer_open(chained(Told("told", [known])))
    done = clients["anna"].get(path).json()
    (candidate,) = done["candidates"]
    assert (done["state"], candidate["symbol"], candidate["price"], candidate["sector"]) == (
        "answered",
        "ACME",
        "1.50",
        None,
    )
    stranger = clients["ben"].get(path)
    assert (stranger.status_code, stranger.json()["type"].rsplit("#")[-1].rsplit("/")[-1]) == (404, "no-such-lookup")
    assert clients["anna"].get("/v1/securities/lookup/nonsense").status_code == 422
    assert clients["anna"].post("/v1/securities/lookup", json={"text": ""}).status_code == 422
    refused = clients["anna"].post("/v1/securities/lookup", json={"text": "a\x07"}).json()
    assert (refused["field"], refused["status"]) == ("text", 422)
