"""Closes in the wrong unit and on another basis: the rules by hand, then feeds whose answers slip, down to what is stored."""

from __future__ import annotations

import csv
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database
from fakeyahoo import FakeYahoo, chart, fresh_yfinance  # noqa: F401  every test gets the fixture
from seeds import seed

from core.book import Action
from core.ledger import Security
from core.price_checks import Point, other_basis, unit_factors
from db import books, engine, feeds, market
from db.market import Bar, QuoteRow
from jobs import actions, checks, close_of_day, market_data
from jobs.feeds.csv_files import CsvFeed
from jobs.feeds.yahoo import YahooFeed
from jobs.market_data import Feeds

NOW = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)  # a Friday, after the close of London
DAYS = [date(2026, 3, d) for d in (2, 3, 4, 5, 6)]
MARCH = date(2026, 3, 1)


# --- the unit: the rule --------------------------------------------------------------------------


def factors(prices: list[float], stored: tuple[float, ...] = (), minor: bool = True) -> list[int | None]:
    """Prices as a feed quotes them, one a day, after what is stored in the main unit."""
    points = [Point(MARCH - timedelta(days=len(stored) - i), p, stored=True) for i, p in enumerate(stored)]
    points += [Point(MARCH + timedelta(days=i), p / 100 if minor else p, minor) for i, p in enumerate(prices)]
    return unit_factors(points)[len(stored) :]


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([612.20, 609.60, 5.854, 5.872], [1, 1, 100, 100]),  # pounds from the third on
        ([6.122, 6.096, 585.4, 587.2], [100, 100, 1, 1]),  # pounds until the second
        ([612.2, 6.096, 585.4, 587.2], [1, 100, 1, 1]),  # a single one within
        ([612.2, 609.6, 585.4, 5.872], [1, 1, 1, 100]),  # the newest alone
        ([6.122, 609.6, 585.4], [100, 1, 1]),  # the oldest alone
        ([0.1455, 0.1455, 14.55, 14.55, 0.1455], [100, 100, 1, 1, 100]),  # AET.L in May 2022: pounds, pence, pounds
        (
            [612.2, 60960, 585.4, 587.2],
            [1, None, 1, 1],
        ),  # a hundred times too high, between others: no unit explains it
        (
            [61220, 609.6, 585.4, 587.2],
            [None] * 4,
        ),  # the first: it may be right, and the others pounds of something dear
        ([612.2, 5.854], [1, 100]),
        ([612.2, 609.6, 0.0585], [1, 1, None]),  # to a ten-thousandth: that is no unit
        ([612.2, 30.1, 29.8], [1, 1, 1]),  # a fall of 95 %
        ([612.2, 609.6, 585.4], [1, 1, 1]),
        ([612.2], [1]),
        ([], []),
    ],
)
def test_the_larger_of_two_numbers_a_hundredfold_apart_is_in_the_small_unit(
    prices: list[float], expected: list[int | None]
) -> None:
    assert factors(prices) == expected


def test_what_is_stored_says_which_unit_is_right() -> None:
    assert factors([5.854, 5.872], stored=(6.13, 6.122)) == [100, 100], "all of an answer in pounds"
    assert factors([585.4], stored=(6.13, 6.122)) == [1]
    assert factors([58540.0], stored=(6.13, 6.122)) == [None], "a hundred times what is stored"
    assert factors([585.4, 5.872, 58720.0], stored=(6.122,)) == [1, 100, None]


def test_a_real_fall_of_99_percent_is_left_alone_where_the_feed_quotes_in_the_main_unit() -> None:
    assert factors([612.2, 609.6, 6.1, 6.0], minor=False) == [1, 1, 1, 1]


def test_a_split_of_a_hundred_is_no_slip() -> None:
    """A consolidation of 1 for 100 on the third day: raw pence rise from 5.9 to 590."""
    points = [Point(MARCH + timedelta(days=i), p / 100) for i, p in enumerate((6.0, 5.9, 590.0, 588.0))]
    assert unit_factors(points) == [100, 100, 1, 1], "nobody knows of it"
    assert unit_factors(points, [(MARCH + timedelta(days=2), 0.01)]) == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["AET-L-1d-100x-error", "SSW-JO-1d-100x-error"])
def test_charts_that_slipped_in_the_wild(shared: Path, name: str) -> None:
    """Yahoo's answers for AET.L (pence) and SSW.JO (cents), with the corrections that somebody made by hand: ours are the same, up to
    the unit that the whole is told in."""
    archive = shared / "data" / "market" / "yfinance_test_fixtures" / "yfinance_tests_data.zip"
    if not archive.exists():
        pytest.skip(f"there are no recorded charts at {archive}")

    def closes(file: str) -> dict[str, float]:
        with zipfile.ZipFile(archive) as z:
            (path,) = (n for n in z.namelist() if n.endswith(f"/{file}.csv"))
            return {r["Date"]: float(r["Close"]) for r in csv.DictReader(z.read(path).decode().splitlines())}

    came, right = closes(name), closes(f"{name}-fixed")
    days = sorted(came)
    found = unit_factors([Point(date.fromisoformat(d[:10]), came[d] / 100) for d in days])
    ours = [came[d] / 100 * (f or 0) for d, f in zip(days, found, strict=True)]
    scale = {round(right[d] / x, 6) for d, x in zip(days, ours, strict=True)}
    assert len(scale) == 1
    assert scale <= {1.0, 100.0}
    assert set(found) == {1, 100}


# --- the basis: the rule -------------------------------------------------------------------------


def test_closes_adjusted_for_a_known_split_are_told_from_raw_ones() -> None:
    """4:1 on 2020-08-31. Stored raw: 499.23 on the 28th. An answer on today's basis says 124.8075 for it."""
    d = [date(2020, 8, 27), date(2020, 8, 28), date(2020, 8, 31), date(2020, 9, 1)]
    stored, splits = {d[0]: 500.04, d[1]: 499.23}, [(d[2], 4.0)]
    found = other_basis({d[0]: 125.01, d[1]: 124.8075, d[2]: 129.04, d[3]: 134.18}, stored, splits)
    assert found is not None
    assert found.days == {d[0], d[1]}, "those since the split are the same on both"
    assert (found.on, found.why) == (d[1], "adjusted for the split of 2020-08-31")
    assert other_basis({d[1]: 499.23, d[2]: 129.04}, stored, splits) is None
    twice = other_basis({d[1]: 499.23 * 4, d[2]: 129.04}, stored, splits)
    assert twice is not None, "undone for a split that it was never adjusted for"
    assert twice.days == {d[1]}


def test_a_jump_of_the_size_of_a_split_tells_without_it_being_known() -> None:
    d = [date(2020, 8, 27), date(2020, 8, 28), date(2020, 8, 31), date(2020, 9, 1)]
    found = other_basis({d[1]: 124.8075, d[2]: 129.04}, {d[0]: 500.04, d[1]: 499.23}, ())
    assert found is not None
    assert (found.days, found.why) == ({d[1]}, "as if adjusted for a split that is not known here"), (
        "the newest is on no other basis than its own day"
    )
    found = other_basis({d[0]: 125.01, d[1]: 124.8075}, {d[0]: 500.04, d[1]: 499.23, d[2]: 129.0}, ())
    assert found is not None
    assert found.days == {d[0], d[1]}, "nothing of what is older than the newest that is stored"


def test_a_correction_is_no_other_basis() -> None:
    d = [date(2020, 8, 27), date(2020, 8, 28), date(2020, 8, 31)]
    assert other_basis({d[1]: 499.5, d[2]: 129.04}, {d[0]: 500.04, d[1]: 499.23}, ()) is None
    assert other_basis({d[1]: 371.0, d[2]: 370.0}, {d[0]: 500.04, d[1]: 499.23}, ()) is None, (
        "a late crash: of no split's size"
    )
    assert other_basis({d[1]: 499.23, d[2]: 500.0}, {d[0]: 500.04, d[1]: 124.8075}, ()) is None, (
        "the stored one was wrong"
    )


# --- from a feed to what is stored ---------------------------------------------------------------


def second(on: date, hour: int = 8) -> int:
    return int(datetime(on.year, on.month, on.day, hour, tzinfo=UTC).timestamp())


def pence(closes: dict[date, float], currency: str = "GBp", symbol: str = "BP.L", **more: Any) -> dict[str, Any]:
    return chart(symbol, currency, {second(d): c for d, c in closes.items()}, "Europe/London", **more)


def london(database: Database, exchange: str = "XLON", currency: str = "GBP") -> int:
    """An installation that holds BP in London since 2 March, beside what the seed holds in New York; its number."""
    seed(database.owner(), NOW)
    with database.owner() as c:
        c.execute("SET ROLE ballast_owner")
        for n in range(-40, 6):
            on = NOW.date() + timedelta(days=n)
            if on.weekday() < 5:
                c.execute("INSERT INTO trading_sessions VALUES (%s, %s, %s, %s)", (exchange, on, f"{on} 08:00+00", f"{on} 16:30+00"))  # fmt: skip
        c.execute("UPDATE data_versions SET version = version + 1")
        row = c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('BP', %s, 'BP', 'Equity', %s) RETURNING security_id",
            (exchange, currency),
        ).fetchone()
        assert row
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, security_id, quantity, price, gross, currency, net, cash_currency, traded_on, settles_on, "
            "idempotency_key, source, recorded_by) SELECT portfolio_id, 'buy', %s, 1, 6, 6, %s, -6, %s, %s, %s, 'bp', 'test', created_by FROM portfolios WHERE name = 'P0'",
            (row[0], currency, currency, DAYS[0], DAYS[0]),
        )
        c.commit()
    return int(row[0])


@pytest.fixture(autouse=True)
def forgotten() -> None:
    books.forget()
    close_of_day._asked.clear()


def use(monkeypatch: pytest.MonkeyPatch, *some: Any) -> Feeds:
    made = Feeds(some)
    for module in (market_data, close_of_day, actions):
        monkeypatch.setattr(module, "feeds", lambda: made)
    return made


def worked(job: Any, at: datetime) -> dict[str, Any]:
    write = job(at)
    with engine.jobs() as c:
        detail: dict[str, Any] = write(c)
    return detail


def rows(database: Database, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database.conninfo()) as c:
        return c.execute(query, parameters).fetchall()


def closes_of(database: Database, number: int) -> list[Decimal]:
    return [
        r[0].normalize()
        for r in rows(database, 'SELECT close FROM price_history WHERE security_id = %s ORDER BY "on"', number)
    ]


J8 = {DAYS[1]: 612.20, DAYS[2]: 609.60, DAYS[3]: 5.854, DAYS[4]: 5.872}


def test_a_chart_in_pence_whose_closes_turn_to_pounds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    number = london(database)
    use(monkeypatch, YahooFeed(FakeYahoo({"BP.L": pence(J8)}).session()))
    detail = worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == [Decimal(x) for x in ("6.122", "6.096", "5.854", "5.872")]
    said = "2 closes of 2026-03-05 … 03-06 came in GBP although the feed says a hundredth of it: taken as GBP"
    assert detail["checked"] == [f"XLON:BP: {said}"]
    ann = rows(database, "SELECT user_id FROM users")[0][0]
    (trouble,) = [t for t in feeds.troubles(ann, number) if t.what == "unit"]
    assert (trouble.feed, trouble.subject, trouble.said) == ("yahoo", "XLON:BP", said)
    opens = rows(database, 'SELECT open FROM price_history WHERE security_id = %s ORDER BY "on"', number)
    assert [o[0].normalize() for o in opens] == closes_of(database, number), "the other prices of the day with it"


def test_the_days_after_it_are_held_against_what_is_stored(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each evening Yahoo is asked for the newest bar and the next: all that comes is in pounds by then."""
    number = london(database)
    fake = FakeYahoo({"BP.L": pence({d: c for d, c in J8.items() if d <= DAYS[2]})})
    use(monkeypatch, YahooFeed(fake.session()))
    worked(close_of_day.close_of_day, NOW - timedelta(days=2))
    assert closes_of(database, number) == [Decimal("6.122"), Decimal("6.096")]
    fake.charts["BP.L"] = pence({d: c if c < 10 else c / 100 for d, c in J8.items()})
    worked(close_of_day.close_of_day, NOW - timedelta(days=1))
    worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == [Decimal(x) for x in ("6.122", "6.096", "5.854", "5.872")]
    assert rows(database, "SELECT 1 FROM price_corrections") == []


@pytest.mark.parametrize(
    ("quoted", "currency", "suffix"), [("ZAc", "ZAR", ".JO"), ("ILA", "ILS", ".TA"), ("GBX", "GBP", ".L")]
)
def test_cents_and_agorot_slip_as_pence_do(
    database: Database, monkeypatch: pytest.MonkeyPatch, quoted: str, currency: str, suffix: str
) -> None:
    number = london(database, currency=currency)
    use(monkeypatch, YahooFeed(FakeYahoo({"BP.L": pence(J8, quoted)}).session()))
    worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number)[2:] == [Decimal("5.854"), Decimal("5.872")]


def test_a_fall_of_99_percent_in_the_main_unit_is_taken_as_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = london(database)
    use(
        monkeypatch,
        YahooFeed(FakeYahoo({"BP.L": pence({d: c / 100 for d, c in J8.items()}, "GBP")}).session()),
    )
    detail = worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == [Decimal(x) for x in ("6.122", "6.096", "0.05854", "0.05872")]
    assert "checked" not in detail


def test_where_nothing_tells_which_is_right_nothing_is_taken_and_it_is_named(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = london(database)
    closes = {DAYS[1]: 612.20, DAYS[2]: 6.096, DAYS[3]: 5.854, DAYS[4]: 5.872}
    use(monkeypatch, YahooFeed(FakeYahoo({"BP.L": pence(closes)}).session()))
    detail = worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == []
    assert (
        "XLON:BP: 4 closes of 2026-03-03 … 03-06 are about 100 times those beside, or a hundredth"
        in detail["checked"][0]
    )
    with engine.jobs() as c:
        market.upsert_quotes(c, [QuoteRow(number, Decimal("5.87"), None, "closed", "yahoo", NOW)])
    worked(close_of_day.close_of_day, NOW + timedelta(hours=1))
    assert closes_of(database, number) == [Decimal(x) for x in ("6.122", "6.096", "5.854", "5.872")], "the quote tells"


def test_files_in_pence_slip_too(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    number = london(database)
    lines = "".join(f"{d},{c},GBp\n" for d, c in J8.items())
    (tmp_path / "XLON_BP.csv").write_text("date,close,currency\n" + lines)
    use(monkeypatch, CsvFeed(tmp_path))
    detail = worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == [Decimal(x) for x in ("6.122", "6.096", "5.854", "5.872")]
    assert "came in GBP although the feed says a hundredth of it" in detail["checked"][0]
    (tmp_path / "XLON_BP.csv").write_text("date,close,currency\n" + lines.replace("5.872,GBp", "5.87,GBP"))
    worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number)[-1] == Decimal("5.872"), (
        "the newest is not asked for again before the next session"
    )


def test_a_consolidation_that_is_not_known_yet_is_asked_for_before_a_jump_is_called_a_slip(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    number = london(database)
    closes = {DAYS[1]: 6.0, DAYS[2]: 5.9, DAYS[3]: 590.0, DAYS[4]: 588.0}
    (tmp_path / "XLON_BP.csv").write_text(
        "date,close,currency\n" + "".join(f"{d},{c},GBp\n" for d, c in closes.items())
    )
    (tmp_path / "actions.csv").write_text(f"symbol,exchange,kind,ex_on,ratio\nBP,XLON,split,{DAYS[3]},0.01\n")
    use(monkeypatch, CsvFeed(tmp_path))
    assert "checked" not in worked(close_of_day.close_of_day, NOW)
    assert closes_of(database, number) == [Decimal(x) for x in ("0.06", "0.059", "5.9", "5.88")]


def quoted(price: float, before: float | None, currency: str = "GBp") -> dict[str, Any]:
    row = {
        "symbol": "BP.L",
        "currency": currency,
        "regularMarketPrice": price,
        "regularMarketTime": second(DAYS[4], 16),
        "marketState": "REGULAR",
    }
    return row if before is None else row | {"regularMarketPreviousClose": before}


@pytest.mark.parametrize(
    ("price", "before", "stored", "expected"),
    [
        (5.872, 585.4, ["6.122", "6.096", "5.854"], ("5.872", "5.854")),
        (587.2, 5.854, ["6.122", "6.096", "5.854"], ("5.872", "5.854")),
        (5.872, 5.854, ["6.122", "6.096", "5.854"], ("5.872", "5.854")),
        (587.2, 585.4, ["6.122", "6.096", "5.854"], ("5.872", "5.854")),
        (58720.0, 585.4, ["6.122", "6.096", "5.854"], None),
        (5.872, None, ["6.122", "6.096", "5.854"], ("5.872", None)),
        (5.872, 585.4, [], ("5.872", "5.854")),  # nothing is stored: the close before tells
        (587.2, 5.854, [], ("5.872", "5.854")),
        (6.1, 6.0, ["0.062", "0.061", "0.06"], ("0.061", "0.06")),  # a penny share
    ],
)
def test_quotes_are_held_against_the_closes_before_them(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    price: float,
    before: float | None,
    stored: list[str],
    expected: tuple[str, str | None] | None,
) -> None:
    number = london(database)
    with engine.jobs() as c:
        market.upsert_bars(c, [Bar(number, d, Decimal(x)) for d, x in zip(DAYS[1:], stored, strict=False)], "yahoo")
    use(monkeypatch, YahooFeed(FakeYahoo(quotes=[quoted(price, before)]).session()))
    detail = worked(market_data.quotes, NOW)
    found = rows(database, "SELECT price, previous_close FROM asset_prices WHERE security_id = %s", number)
    wanted = [] if expected is None else [tuple(None if x is None else Decimal(x) for x in expected)]
    assert found == wanted
    as_it_came = expected is not None and (price, before) in ((587.2, 585.4), (6.1, 6.0))
    assert ("checked" in detail) is not as_it_came


# --- splits --------------------------------------------------------------------------------------


def apple(closes: dict[date, float], splits: dict[date, tuple[float, float]]) -> dict[str, Any]:
    return chart(
        "AAPL",
        "USD",
        {second(d, 14): c for d, c in closes.items()},
        splits={second(d, 14): r for d, r in splits.items()},
    )


def test_yahoo_undoes_splits_that_lie_after_the_days_that_are_asked_for() -> None:
    """Yahoo's closes of August 2019 are divided by the 4:1 of 31 August 2020: 52.2425 was 208.97. The request reaches to today, so the split is in
    the answer; a dividend of 0.1925 on today's basis was 0.77."""
    d = [date(2019, 8, 8), date(2019, 8, 9), date(2020, 8, 28), date(2020, 8, 31)]
    reply = apple({d[0]: 50.8575, d[1]: 50.2475, d[2]: 124.8075, d[3]: 129.04}, {d[3]: (4, 1)})
    reply["chart"]["result"][0]["events"]["dividends"] = {"1": {"date": second(d[1], 14), "amount": 0.1925}}
    fake = FakeYahoo({"AAPL": reply})
    one = Security(1, "AAPL", "Apple", "XNAS", "USD", "Equity")
    bars = YahooFeed(fake.session()).bars([one], date(2019, 8, 1), date(2019, 8, 31))
    assert [(b.on, b.close) for b in bars] == [(d[0], Decimal("203.43")), (d[1], Decimal("200.99"))]
    (paid,) = YahooFeed(fake.session()).actions([one], date(2019, 8, 1), date(2019, 8, 31))
    assert paid.amount == Decimal("0.77")
    assert all(last > second(d[3], 14) for _, last in fake.windows)


def held(database: Database, symbol: str, on: date) -> int:
    with database.owner() as c:
        c.execute("SET ROLE ballast_owner")
        row = c.execute("INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', %s, 'Equity', 'USD') RETURNING security_id", (symbol, symbol)).fetchone()  # fmt: skip
        assert row
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, security_id, quantity, price, gross, currency, net, cash_currency, traded_on, settles_on, "
            "idempotency_key, source, recorded_by) SELECT portfolio_id, 'buy', %s, 1, 6, 6, 'USD', -6, 'USD', %s, %s, %s, 'test', created_by FROM portfolios WHERE name = 'P0'",
            (row[0], on, on, symbol),
        )
        c.commit()
    return int(row[0])


def test_bars_stay_raw_when_a_split_becomes_known(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 a share until Wednesday; 4:1 on Thursday. Before it Yahoo says 500; from then on 125 for the same days."""
    seed(database.owner(), NOW)
    number = held(database, "AAPL", DAYS[1])
    fake = FakeYahoo({"AAPL": apple({DAYS[1]: 496.0, DAYS[2]: 500.0}, {})})
    use(monkeypatch, YahooFeed(fake.session()))
    after = [datetime(d.year, d.month, d.day, 23, tzinfo=UTC) for d in DAYS]
    worked(close_of_day.close_of_day, after[2])
    assert closes_of(database, number) == [496, 500]
    fake.charts["AAPL"] = apple({DAYS[1]: 124.0, DAYS[2]: 125.0, DAYS[3]: 126.0}, {DAYS[3]: (4, 1)})
    worked(close_of_day.close_of_day, after[3])
    assert closes_of(database, number) == [496, 500, 126]
    fake.charts["AAPL"] = apple(
        {DAYS[0]: 123.0, DAYS[1]: 124.0, DAYS[2]: 125.0, DAYS[3]: 126.0, DAYS[4]: 127.0}, {DAYS[3]: (4, 1)}
    )
    worked(close_of_day.close_of_day, after[4])
    assert closes_of(database, number)[-4:] == [496, 500, 126, 127]
    assert rows(database, "SELECT 1 FROM price_corrections") == []


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_is_adjusted_since_a_split_does_not_mix_with_raw_closes(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: bool
) -> None:
    """On Thursday somebody puts a file in the place of the raw one whose closes are adjusted for that day's 4:1."""
    seed(database.owner(), NOW)
    number = held(database, "AAPL", DAYS[1])
    use(monkeypatch, CsvFeed(tmp_path))
    (tmp_path / "AAPL.csv").write_text(f"date,close\n{DAYS[1]},496\n{DAYS[2]},500\n")
    after = [datetime(d.year, d.month, d.day, 23, tzinfo=UTC) for d in DAYS]
    worked(close_of_day.close_of_day, after[2])
    if known:
        (tmp_path / "actions.csv").write_text(f"symbol,kind,ex_on,ratio\nAAPL,split,{DAYS[3]},4\n")
    (tmp_path / "AAPL.csv").write_text(f"date,close\n{DAYS[0]},123\n{DAYS[1]},124\n{DAYS[2]},125\n{DAYS[3]},126\n")
    detail = worked(close_of_day.close_of_day, after[3])
    assert closes_of(database, number) == [496, 500, 126]
    assert rows(database, "SELECT 1 FROM price_corrections") == []
    why = f"adjusted for the split of {DAYS[3]}" if known else "as if adjusted for a split that is not known here"
    assert f"XNYS:AAPL: the close of {DAYS[2]} came as 125 and is stored as 500, {why}" in detail["checked"][0]
    ann = rows(database, "SELECT user_id FROM users")[0][0]
    assert [t.what for t in feeds.troubles(ann, number)] == ["basis"]


def test_adjusted_closes_do_not_fill_what_is_missing_before_or_between_raw_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Raw closes since Tuesday without Wednesday are stored; the split of 4:1 was on Friday. A file on Friday's basis fills neither
    Monday nor Wednesday; a raw one does, and then nothing is said any more."""
    seed(database.owner(), NOW)
    number = held(database, "AAPL", DAYS[0])
    with engine.jobs() as c:
        market.upsert_bars(
            c, [Bar(number, d, Decimal(x)) for d, x in ((DAYS[1], 496), (DAYS[3], 500), (DAYS[4], 126))], "csv"
        )
        market.upsert_actions(c, [Action(number, "split", DAYS[4], ratio=Decimal(4))], "csv")
    use(monkeypatch, CsvFeed(tmp_path))
    at = datetime(2026, 3, 6, 23, tzinfo=UTC)
    (tmp_path / "AAPL.csv").write_text(
        f"date,close\n{DAYS[0]},123\n{DAYS[1]},124\n{DAYS[2]},124.5\n{DAYS[3]},125\n{DAYS[4]},126\n"
    )
    worked(close_of_day.close_of_day, at)
    assert closes_of(database, number) == [496, 500, 126]
    ann = rows(database, "SELECT user_id FROM users")[0][0]
    assert [t.what for t in feeds.troubles(ann, number)] == ["basis"]
    (tmp_path / "AAPL.csv").write_text(
        f"date,close\n{DAYS[0]},492\n{DAYS[1]},496\n{DAYS[2]},498\n{DAYS[3]},500\n{DAYS[4]},126\n"
    )
    worked(close_of_day.close_of_day, at + timedelta(days=8))
    assert closes_of(database, number) == [492, 496, 498, 500, 126]
    assert feeds.troubles(ann, number) == []


def test_a_quote_alone_is_checked_against_nothing(database: Database) -> None:
    """Of a feed that quotes in the main unit nothing is asked at all."""
    london(database)
    row = QuoteRow(1, Decimal("0.05"), None, "regular", "x", NOW)
    assert checks.quotes([row], []) == ([row], {})
