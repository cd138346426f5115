"""Booking on the real database: append, reverse, import, who may, and that nothing is lost or half-written."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from core.importing import NotReadable
from core.ledger import Draft, LedgerError, OverSold, Security
from core.valuation import cash_of, lots_of
from db import access, books, engine, imports, ledger, market, portfolios
from db.access import AccessDenied, User
from db.edits import StaleEdit
from db.imports import NothingBooked

TODAY = date(2026, 6, 1)
HEAD = b"date,kind,symbol,quantity,price,gross,fees,taxes,currency,note\n"


class Desk:
    """A person with a portfolio and three securities."""

    def __init__(self) -> None:
        self.anna = access.create_user("anna", "anna's long password", "analyst")
        self.vera = access.create_user("vera", "vera's long password", "viewer")
        with engine.jobs() as c:
            new = [market.NewSecurity(s, s, "XNYS", "USD", "Equity") for s in ("ACME", "DULL", "ZETA")]
            self.ids = market.add_securities(c, new)
        self.portfolio = portfolios.create_portfolio(self.anna, "Desk", "USD")
        user = User(self.anna, "anna", "Anna", "analyst")
        access.share(user, self.portfolio, "vera", "read")

    def load(self, known_at: datetime | None = None) -> books.Book:
        return books.live(self.anna, self.portfolio, known_at).book

    def count(self) -> int:
        return len(ledger.transactions(self.anna, self.portfolio))

    def put(self, raw: bytes, **options: bool) -> imports.Import:
        return imports.import_file(self.anna, self.portfolio, HEAD + raw, "test.csv", TODAY, **options)


@pytest.fixture
def desk(database: object) -> Desk:
    return Desk()


def buy(on: str, quantity: str, price: str, number: int, symbol: str = "ACME") -> Draft:
    security = Security(number, symbol, symbol, "XNYS", "USD", "Equity")
    return Draft("buy", date.fromisoformat(on), "USD", security, Decimal(quantity), Decimal(price))


GOOD = b"2026-01-05,deposit,,,,10000.00,,,USD,start\n2026-01-06,buy,ACME,10,185.50,,1.00,,USD,\n2026-01-07,sell,ACME,4,190,,1,,USD,\n"


def test_a_file_is_booked_once_however_often_it_is_imported(desk: Desk) -> None:
    assert desk.put(GOOD, dry_run=True).count("book") == 3
    assert desk.count() == 0, "a dry run books nothing"
    assert desk.put(GOOD, dry_run=False).booked == 3
    again = desk.put(GOOD, dry_run=False)
    assert (again.booked, again.count("duplicate"), desk.count()) == (0, 3, 3)


def test_two_equal_rows_in_one_file_are_two_transactions(desk: Desk) -> None:
    twice = b"2026-01-05,deposit,,,,50.00,,,USD,\n" * 2
    assert desk.put(twice, dry_run=False).booked == 2
    more = desk.put(twice + b"2026-01-05,deposit,,,,50.00,,,USD,\n", dry_run=False)
    assert (more.booked, more.count("duplicate")) == (1, 2)
    assert cash_of(desk.load(), 99_999) == {"USD": Decimal(150)}


def test_fifty_bad_rows_are_named_and_nothing_is_booked_unless_asked(desk: Desk) -> None:
    bad = {
        b"2026-02-30,deposit,,,,1,,,USD,": "date",
        b"2026-01-06,gift,,,,1,,,USD,": "kind",
        b"2026-01-06,buy,NOPE,1,1,,,,USD,": "symbol",
        b"2026-01-06,buy,ACME,0,1,,,,USD,": "quantity",
        b'2026-01-06,buy,ACME,1,"1,5",,,,USD,': "price",
        b"2026-01-06,sell,ACME,5000,1,,,,USD,": "quantity",
        b"2026-01-06,buy,ACME,1,1,,,,XXX,": "currency",
        b"2027-01-06,buy,ACME,1,1,,,,USD,": "date",
        b"2026-01-06,buy,ACME,1,1,,-2,,USD,": "fees",
        b"2026-01-06,dividend,,,,5,,,USD,": "symbol",
    }
    rows = GOOD + b"".join(line + b"\n" for line in bad for _ in range(5))
    checked = desk.put(rows)
    refused = [v for v in checked.verdicts if v.outcome == "refused"]
    assert len(refused) == 50
    assert checked.count("book") == 3
    for verdict, field in zip(refused, [f for f in bad.values() for _ in range(5)], strict=True):
        assert verdict.reason.startswith(field), f"line {verdict.line}: {verdict.reason}"
    assert [v.line for v in refused] == list(range(5, 55)), "each names its line in the file"
    with pytest.raises(NothingBooked, match="50 of 53"):
        desk.put(rows, dry_run=False)
    assert desk.count() == 0
    assert desk.put(rows, dry_run=False, take_good=True).booked == 3
    assert desk.count() == 3


@pytest.mark.parametrize(
    ("raw", "why"),
    [(b"", "empty"), (b"PK\x03\x04\x00\x00", "a spreadsheet or another packed file"), (b"GIF89a\x00\x00", "not a text file"), (b"when,what\n1,2\n", "no column 'date'"),
     (b"date,kind,kind\n2026-01-01,a,b\n", "twice"), (b"date,kind\n", "no rows")],
)  # fmt: skip
def test_a_file_that_makes_no_sense_says_why(desk: Desk, raw: bytes, why: str) -> None:
    with pytest.raises(NotReadable, match=why):
        imports.import_file(desk.anna, desk.portfolio, raw, "x.csv", TODAY)


def test_semicolons_quotes_bom_and_windows_letters_are_read(desk: Desk) -> None:
    raw = 'date;type;ticker;shares;price;note\r\n2026-01-06;Buy;acme;10;5.5;"Café; zwei"\r\n'.encode("cp1252")
    result = imports.import_file(desk.anna, desk.portfolio, raw, "x.csv", TODAY, dry_run=False)
    assert result.booked == 1
    assert ledger.transactions(desk.anna, desk.portfolio)[0][15] == "Café; zwei"


def test_a_failed_booking_leaves_nothing(desk: Desk) -> None:
    acme = Security(desk.ids["ACME"], "ACME", "ACME", "XNYS", "USD", "Equity")
    sale = Draft("sell", date(2026, 1, 7), "USD", acme, Decimal(11), Decimal(10))
    with pytest.raises(OverSold) as refused:
        ledger.append(desk.anna, desk.portfolio, [buy("2026-01-06", "10", "10", desk.ids["ACME"]), sale], TODAY)
    assert refused.value.field == "quantity"
    assert "only 10 ACME are held" in str(refused.value)
    assert desk.count() == 0


def test_the_same_key_books_once(desk: Desk) -> None:
    draft = [buy("2026-01-06", "10", "10", desk.ids["ACME"])]
    first = ledger.append(desk.anna, desk.portfolio, draft, TODAY, key="form-1")
    assert ledger.append(desk.anna, desk.portfolio, draft, TODAY, key="form-1") == first
    assert desk.count() == 1


def test_reversing_takes_it_out_and_keeps_both_rows(desk: Desk) -> None:
    [bought] = ledger.append(desk.anna, desk.portfolio, [buy("2026-01-06", "10", "10", desk.ids["ACME"])], TODAY)
    before = datetime.now(UTC)
    ledger.reverse(desk.anna, desk.portfolio, bought, "typed twice")
    assert lots_of(desk.load(), 99_999).open == ()
    assert [r[3] for r in ledger.transactions(desk.anna, desk.portfolio)] == ["reversal", "buy"]
    assert len(lots_of(desk.load(before), 99_999).open) == 1, "as it was known before, it still stands"
    with pytest.raises(LedgerError, match="reversed already"):
        ledger.reverse(desk.anna, desk.portfolio, bought)


def test_what_later_sales_need_cannot_be_reversed(desk: Desk) -> None:
    desk.put(GOOD, dry_run=False)
    bought = next(r[0] for r in ledger.transactions(desk.anna, desk.portfolio) if r[3] == "buy")
    with pytest.raises(LedgerError, match="later sales need its units"):
        ledger.reverse(desk.anna, desk.portfolio, bought)
    assert desk.count() == 3


def test_the_book_as_known_then_is_the_book_that_was_loaded_then(desk: Desk) -> None:
    stages = []
    for raw in (GOOD, b"2026-01-02,buy,DULL,5,20,,,,USD,late\n", b"2026-03-02,withdrawal,,,,100,,,USD,\n"):
        desk.put(raw, dry_run=False)
        book = desk.load()
        stages.append((datetime.now(UTC), cash_of(book, 99_999), lots_of(book, 99_999)))
    for at, cash, lots in stages:
        then = desk.load(at)
        assert cash_of(then, 99_999) == cash
        assert lots_of(then, 99_999) == lots


def test_a_corrected_price_is_kept_as_it_was_known(desk: Desk) -> None:
    desk.put(GOOD, dry_run=False)
    number, on = desk.ids["ACME"], date(2026, 1, 6)
    with engine.jobs() as c:
        market.upsert_bars(c, [market.Bar(number, on, Decimal("185.5"))], "test")
    before = datetime.now(UTC)
    with engine.jobs() as c:
        assert market.upsert_bars(c, [market.Bar(number, on, Decimal("185.5"))], "test") == 0
        assert market.upsert_bars(c, [market.Bar(number, on, Decimal("158.5"))], "test") == 1
    assert desk.load().prices[number].values.tolist() == [158.5]
    assert desk.load(before).prices[number].values.tolist() == [185.5]


def test_a_value_beyond_64_bits_is_still_exact(desk: Desk) -> None:
    desk.put(b"2026-01-05,buy,ACME,12345678901.0000000001,1,,,,USD,\n", dry_run=False)
    [lot] = lots_of(desk.load(), 99_999).open
    assert Decimal(lot.units) / 10**10 == Decimal("12345678901.0000000001")


def test_a_viewer_looks_but_does_not_book(desk: Desk) -> None:
    desk.put(GOOD, dry_run=False)
    assert len(books.live(desk.vera, desk.portfolio).book.ledger) == 3
    with pytest.raises(AccessDenied, match="not book"):
        ledger.append(desk.vera, desk.portfolio, [buy("2026-01-06", "1", "1", desk.ids["ACME"])], TODAY)
    with pytest.raises(AccessDenied):
        portfolios.create_portfolio(desk.vera, "Mine", "USD")
    with pytest.raises(books.NoSuchPortfolio):
        books.live(UUID(int=1), desk.portfolio)


def test_the_ledger_cannot_be_changed_even_by_its_owner(desk: Desk, owner: psycopg.Connection) -> None:
    desk.put(GOOD, dry_run=False)
    for statement in (
        "UPDATE transactions SET note = 'x'",
        "DELETE FROM transactions",
        "TRUNCATE transactions CASCADE",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            owner.execute(statement)
        owner.rollback()


def test_two_people_cannot_sell_the_same_units(desk: Desk) -> None:
    ledger.append(desk.anna, desk.portfolio, [buy("2026-01-06", "10", "10", desk.ids["ACME"])], TODAY)
    acme = Security(desk.ids["ACME"], "ACME", "ACME", "XNYS", "USD", "Equity")
    sale = Draft("sell", date(2026, 1, 7), "USD", acme, Decimal(6), Decimal(10))
    outcome: list[str] = []

    def sell() -> None:
        try:
            ledger.append(desk.anna, desk.portfolio, [sale], TODAY)
            outcome.append("sold")
        except OverSold:
            outcome.append("refused")

    threads = [threading.Thread(target=sell) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(outcome) == ["refused"] * 5 + ["sold"]


def test_a_late_edit_is_told(desk: Desk) -> None:
    version = books.portfolios(desk.anna)[0].version
    portfolios.edit_portfolio(desk.anna, desk.portfolio, version, name="Renamed")
    with pytest.raises(StaleEdit):
        portfolios.edit_portfolio(desk.anna, desk.portfolio, version, name="Too late")
    assert books.portfolios(desk.anna)[0].name == "Renamed"


def test_a_past_booking_restates_the_stored_history(desk: Desk) -> None:
    from db import snapshots

    with engine.jobs() as c:
        days = [date(2026, 1, 1) + timedelta(days=i) for i in range(60)]
        market.upsert_sessions(c, "XNYS", [(d, datetime(d.year, d.month, d.day, 14, 30, tzinfo=UTC),
                                            datetime(d.year, d.month, d.day, 21, 0, tzinfo=UTC)) for d in days if d.weekday() < 5])  # fmt: skip
        market.upsert_bars(c, [market.Bar(desk.ids["ACME"], d, Decimal(200)) for d in days if d.weekday() < 5], "test")
    desk.put(GOOD, dry_run=False)
    now = datetime(2026, 2, 20, 22, 0, tzinfo=UTC)
    with engine.jobs() as c:
        assert snapshots.restate(c, now, 0.98) == 1
        assert snapshots.restate(c, now, 0.98) == 0, "nothing changed since"
    points = snapshots.chart_for(desk.anna, desk.portfolio, "ALL", now)
    assert points[-1].total == Decimal("10000") - Decimal("1856") + Decimal("759") + 6 * Decimal(200)
    desk.put(b"2026-01-12,withdrawal,,,,1000,,,USD,\n", dry_run=False)
    with engine.jobs() as c:
        assert snapshots.restate(c, now, 0.98) == 1
    again = snapshots.chart_for(desk.anna, desk.portfolio, "ALL", now)
    assert [p.at for p in again] == [p.at for p in points]
    assert again[-1].total == points[-1].total - 1000
    assert again[0].total == points[0].total
