"""Known at: what was loaded at a time is what is loaded for that time ever after, and what moved in between is explained to the cent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.book import Action, Book
from core.changes import explain, measured
from core.fx import day_number
from core.ledger import COLUMNS, Draft, LedgerError, Security
from core.reports import REPORTS
from core.scope import Scope
from core.table import Context
from core.valuation import lots_of, value
from core.view import View
from db import access, books, changes, engine, imports, ledger, market, portfolios, reports

HISTORIES, STEPS, DAYS = 100, 12, 12
METHODS = ("fifo", "lifo", "hifo", "average")


def weekdays(last: date, count: int) -> list[date]:
    """The last `count` days up to a day; every day trades here."""
    return [last - timedelta(days=i) for i in range(count)][::-1]


@dataclass
class Desk:
    """A person with one portfolio and three securities of its own, and everything that may happen to it."""

    anna: UUID
    portfolio: UUID
    securities: list[Security]
    days: list[date]

    @property
    def today(self) -> date:
        return self.days[-1]

    def book(self, kind: str, on: date, security: int | None = 0, **fields: Any) -> UUID:
        """One entry; Raises LedgerError."""
        of = None if security is None else self.securities[security]
        draft = Draft(kind, on, of.currency if of else "EUR", of, **{k: Decimal(v) for k, v in fields.items()})
        return ledger.append(self.anna, self.portfolio, [draft], self.today)[0]

    def price(self, security: int, on: date, close: object) -> int:
        with engine.jobs() as c:
            return market.upsert_bars(
                c, [market.Bar(self.securities[security].security_id, on, Decimal(str(close)))], "test"
            )

    def rate(self, on: date, rate: object, currency: str = "USD") -> int:
        with engine.jobs() as c:
            return market.upsert_rates(c, [(currency, on, Decimal(str(rate)))], "test")

    def dividend(self, security: int, on: date, amount: object) -> None:
        with engine.jobs() as c:
            of = self.securities[security]
            announced = Action(of.security_id, "dividend", on, None, Decimal(str(amount)), of.currency, None)
            market.upsert_actions(c, [announced], "test")

    def decide(self, sql: str, *values: object) -> None:
        """A setting that is dated and known since."""
        with engine.session(self.anna) as c:
            c.execute("SELECT recording(%s)", (self.portfolio,))
            c.execute(sql, (self.portfolio, *values))
            c.execute("UPDATE portfolios SET version = version + 1 WHERE portfolio_id = %s", (self.portfolio,))

    def method(self, since: date, method: str) -> None:
        self.decide("INSERT INTO cost_methods VALUES (%s, %s, %s)", since, method)

    def limit(self, since: date, limit: object) -> None:
        self.decide("INSERT INTO limits VALUES (%s, 'max_security_weight', %s, %s, 'hard')", since, limit)

    def now(self) -> datetime:
        """A time up to which all is final."""
        with engine.session(self.anna) as c:
            return books.settled(c, self.portfolio)

    def load(self, known_at: datetime | None = None) -> Book:
        return books.live(self.anna, self.portfolio, known_at).book


def people() -> UUID:
    anna = access.create_user("anna", "anna's long password", "analyst")
    days = weekdays(datetime.now(UTC).date(), DAYS)
    with engine.jobs() as c:
        market.upsert_rates(c, [("USD", d, Decimal("1.1")) for d in days[::2]], "test")
    return anna


def desk_of(anna: UUID, number: int = 0, prices: bool = True) -> Desk:
    days = weekdays(datetime.now(UTC).date(), DAYS)
    with engine.jobs() as c:
        new = [
            market.NewSecurity(f"{name}{number}", f"{name}{number}", exchange, currency, "Equity")
            for name, exchange, currency in (("EUR", "XETR", "EUR"), ("USD", "XNYS", "USD"), ("NEW", "XNYS", "USD"))
        ]
        ids = market.add_securities(c, new)
        if prices:
            bars = [market.Bar(i, d, Decimal(20 + n)) for i in list(ids.values())[:2] for n, d in enumerate(days[:-3])]
            market.upsert_bars(c, bars, "test")
    securities = [Security(ids[s.symbol], s.symbol, s.name, s.exchange, s.currency, "Equity") for s in new]
    return Desk(anna, portfolios.create_portfolio(anna, f"Desk {number}", "EUR"), securities, days)


@pytest.fixture
def desk(database: object) -> Desk:
    return desk_of(people())


def seen(book: Book, known_at: datetime | None, at: datetime) -> dict[str, Any]:
    """All that a reader gets out of a Book at `at`, in a form that can be compared."""
    view = View(book, Scope(book.portfolio.portfolio_id, known_at=known_at), {}, at)
    table = REPORTS["holdings"].table(Context(view.on, view.base, "1"), view=view)
    rules = REPORTS["compliance"].table(Context(view.on, view.base, "1"), view=view)
    return {
        "ledger": {name: getattr(book.ledger, name).tolist() for name in COLUMNS},
        "details": dict(book.ledger.details),
        "currencies": book.ledger.currencies,
        "prices": {n: (s.days.tolist(), s.values.tolist()) for n, s in book.prices.items()},
        "rates": {n: (s.days.tolist(), s.values.tolist()) for n, s in book.rates.series.items()},
        "actions": dict(book.actions),
        "methods": (book.portfolio.method, book.portfolio.methods),
        "limits": dict(book.limits),
        "valuation": view.valuation,
        "yesterday": value(book, view.as_of - 1, {}, at),
        "lots": lots_of(book, view.as_of),
        "holdings": table.rows,
        "rules": rules.rows,
        "series": view.total.tolist(),
    }


def happen(desk: Desk, some: Random, booked: list[UUID]) -> None:
    """One random thing: an entry of today or of before, a reversal, prices and FX that come late or change, a method, a limit."""
    security, day = some.randrange(3), some.choice(desk.days)
    number = Decimal(some.randint(1, 90))
    on = desk.today if some.random() < 0.3 else day
    match some.randrange(12):
        case 0 | 1 | 2:
            booked.append(desk.book("buy", on, security, quantity=number, price=some.randint(10, 40), fees="0.35"))
        case 3 | 4:
            booked.append(desk.book("sell", on, security, quantity=number / 2, price=some.randint(10, 40)))
        case 5:
            booked.append(desk.book(some.choice(["deposit", "withdrawal"]), on, None, gross=number))
        case 6 if booked:
            ledger.reverse(desk.anna, desk.portfolio, some.choice(booked))
        case 7 | 8:
            desk.price(security, day, some.choice([17, 19.25, 31]))
        case 9:
            desk.rate(day, some.choice(["1.05", "1.1", "1.2345"]))
        case 10:
            desk.dividend(security, day, some.choice(["0.11", "0.25"]))
        case _:
            desk.method(day, some.choice(METHODS)) if some.random() < 0.6 else desk.limit(
                day, some.choice(["0.1", "0.4"])
            )


def test_the_book_known_at_a_time_is_the_book_that_was_loaded_then(database: object) -> None:
    """100 random histories; and between two of the times what moved adds up to the difference of the two Books."""
    anna, some = people(), Random(20260321)
    remembered: list[tuple[Desk, datetime, dict[str, Any]]] = []
    moved = 0
    for number in range(HISTORIES):
        desk, booked = desk_of(anna, number), []
        for step in range(STEPS):
            with suppress(LedgerError):  # what the holdings do not allow is not booked
                happen(desk, some, booked)
            if some.random() < 0.3 or step == STEPS - 1:
                book = desk.load()
                at = desk.now()
                remembered.append((desk, at, seen(book, None, at)))
    assert len(remembered) > 3 * HISTORIES
    books.forget()
    later = datetime.now(UTC) + timedelta(hours=1)
    before: tuple[Desk, datetime, Book] | None = None
    for desk, at, was in remembered:
        book = desk.load(at)
        now = seen(book, at, later)
        for part, expected in was.items():
            assert now[part] == expected, f"{desk.portfolio} at {at}: {part}"
        if before is not None and before[0] is desk:
            story = changes.story_of(anna, desk.portfolio, before[1], at)
            for day in (desk.days[4], desk.days[-1]):
                as_of = day_number(day)
                found = explain(story, as_of)
                assert found.before == measured(before[2], as_of)
                assert found.after == measured(book, as_of)
                difference = found.after - found.before
                for name in ("value", "net_flow", "realised", "unrealised"):
                    assert sum((getattr(c.effect, name) for c in found.changes), Decimal(0)) == getattr(
                        difference, name
                    )
                moved += bool(difference)
        before = (desk, at, book)
    assert moved > HISTORIES / 2, "the histories move something"


# --- each kind of knowledge ----------------------------------------------------------------------


def test_a_rate_that_was_corrected_is_known_as_it_was(desk: Desk) -> None:
    desk.book("buy", desk.days[0], 1, quantity=1, price=10)
    first = desk.now()
    on = desk.days[0]
    assert desk.rate(on, "1.25") == 1
    second = desk.now()
    assert desk.rate(on, "1.25") == 0, "the same again is nothing new"
    assert desk.rate(on, "1.5") == 1
    assert desk.rate(desk.days[1], "1.6") == 1, "a day that had none: backfilled"
    known = [desk.load(at).rates.series["USD"] for at in (first, second, None)]
    assert [s.values[0] for s in known] == [1.1, 1.25, 1.5]
    assert [day_number(desk.days[1]) in s.days for s in known] == [False, False, True]


def test_a_bar_written_again_keeps_its_time_and_two_corrections_both_stay(
    desk: Desk, owner: psycopg.Connection
) -> None:
    desk.book("buy", desk.days[0], 0, quantity=1, price=10)
    on, number = desk.days[0], desk.securities[0].security_id
    times = []
    for close in ("20", "21", "21", "22"):
        times.append(desk.now())
        desk.price(0, on, close)
    times.append(desk.now())
    assert [desk.load(at).prices[number].at(day_number(on))[1] for at in times] == [20, 20, 21, 21, 22]  # type: ignore[index]
    kept = owner.execute("SELECT close FROM price_corrections WHERE security_id = %s ORDER BY recorded_at", (number,))
    assert [r[0] for r in kept.fetchall()] == [20, 21]


def test_what_one_transaction_writes_twice_was_never_known_in_between(desk: Desk, owner: psycopg.Connection) -> None:
    number, on = desk.securities[2].security_id, desk.days[3]
    with engine.jobs() as c:
        for close in (5, 6, 7):
            market.upsert_bars(c, [market.Bar(number, on, Decimal(close))], "test")
    assert owner.execute("SELECT count(*) FROM price_corrections").fetchone() == (0,)
    at = desk.now()
    with engine.jobs() as c:
        for close in (8, 9):
            market.upsert_bars(c, [market.Bar(number, on, Decimal(close))], "test")
    assert owner.execute("SELECT close FROM price_corrections").fetchall() == [(7,)]
    with engine.session(desk.anna) as c:
        assert books.prices_of(c, [number], at)[number].values.tolist() == [7]


def test_limits_and_methods_are_append_only(desk: Desk, owner: psycopg.Connection) -> None:
    desk.limit(desk.days[0], "0.2")
    for change in (
        "UPDATE limits SET value = 1",
        "DELETE FROM limits",
        "UPDATE cost_methods SET method = 'lifo'",
        "DELETE FROM fx_corrections",
    ):
        desk.rate(desk.days[0], Decimal("1.3"))
        with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction():
            owner.execute(change)


def test_a_limit_holds_from_its_day(desk: Desk) -> None:
    desk.limit(desk.days[2], "0.2")
    desk.limit(desk.days[6], "0.3")
    desk.limit(desk.days[6], "0.35")
    book = desk.load()
    of = [book.limit_on("max_security_weight", day_number(desk.days[i])) for i in (1, 2, 5, 6, 9)]
    assert of == [None, *[(Decimal("0.2"), "hard")] * 2, *[(Decimal("0.35"), "hard")] * 2]


# --- the race ------------------------------------------------------------------------------------


def test_a_past_time_waits_for_a_booking_that_may_be_older(desk: Desk) -> None:
    """A booking takes its time, then somebody asks what was known after it, then it commits: the answer has it."""
    written, asked = threading.Event(), threading.Event()

    def slow() -> None:
        with engine.session(desk.anna) as c:
            at_desk = ledger.open_desk(c, desk.portfolio, lock=True)
            draft = Draft("deposit", desk.today, "EUR", gross=Decimal(100))
            ledger.write(c, desk.anna, desk.portfolio, [(ledger.complete(at_desk, draft, desk.today), None)], "test")
            written.set()
            asked.wait(5)
            threading.Event().wait(0.3)

    def slow_price() -> None:
        with engine.jobs() as c:
            market.upsert_bars(c, [market.Bar(desk.securities[0].security_id, desk.today, Decimal(77))], "test")
            written.set()
            asked.wait(5)
            threading.Event().wait(0.3)

    desk.book("buy", desk.days[0], 0, quantity=1, price=10)
    for writer in (slow, slow_price):
        written.clear(), asked.clear()
        thread = threading.Thread(target=writer)
        thread.start()
        assert written.wait(10)
        at = datetime.now(UTC)
        asked.set()
        book = desk.load(at)
        thread.join()
        books.forget()
        again = desk.load(at)
        assert seen(book, at, at) == seen(again, at, at)
        assert len(book.ledger) == 2
    assert book.prices[desk.securities[0].security_id].values[-1] == 77


def test_readers_of_the_past_hold_nobody_up(desk: Desk) -> None:
    with engine.session(desk.anna) as c:
        books.load(c, desk.portfolio, datetime.now(UTC))
        desk.book("deposit", desk.today, None, gross=1)  # another connection, while this transaction is open
        desk.price(0, desk.today, 5)


def test_all_of_one_booking_is_known_at_once(desk: Desk, owner: psycopg.Connection) -> None:
    rows = "".join(f"{desk.today},deposit,{n}.00\n" for n in range(1, 500))
    imports.import_file(
        desk.anna, desk.portfolio, b"date,kind,gross\n" + rows.encode(), "x.csv", desk.today, dry_run=False
    )
    assert owner.execute("SELECT count(DISTINCT recorded_at), count(*) FROM transactions").fetchone() == (1, 499)


def test_only_those_who_may_see_the_portfolio_learn_what_was_known(desk: Desk) -> None:
    with pytest.raises(books.NoSuchPortfolio):
        books.live(UUID(int=1), desk.portfolio, datetime.now(UTC))
    with pytest.raises(books.NoSuchPortfolio):
        changes.story_of(UUID(int=1), desk.portfolio, datetime(2026, 1, 1, tzinfo=UTC))


# --- what moved ----------------------------------------------------------------------------------


def moved(desk: Desk, since: datetime, as_of: date | None = None) -> Callable[[str], Any]:
    """The report, its effects by cause: (value, realised, unrealised)."""
    user = access.User(desk.anna, "anna", "Anna", "analyst")
    table = reports.answer(user, "changes", Scope(desk.portfolio, as_of=as_of, since=since))
    found: dict[str, list[tuple[Any, ...]]] = {}
    for r in table.records():
        found.setdefault(r["cause"], []).append((r["value_change"], r["realised"], r["unrealised"], r["what"]))
    found["total"] = [
        (table.figure("value_change").value, table.figure("realised").value, table.figure("unrealised").value, "")
    ]
    found["all"] = [tuple(table.column("cause"))]
    return lambda cause: found.get(cause, [])


def test_each_cause_has_its_effect(desk: Desk) -> None:
    """By hand. Euro only: 10 units bought at 20, priced 28 (the last of nine bars: 20 … 28) when we began to look."""
    first = desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    desk.book("sell", desk.days[8], 0, quantity=4, price=30)  # gain 4 × (30 − 20) = 40; 6 left, worth 168, cost 120
    since = desk.now()
    desk.book("buy", desk.days[1], 0, quantity=5, price=22)  # late: +5 × 28 − 110 = +30 on value and on unrealised gain
    desk.price(0, desk.days[8], 26)  # corrected: 11 units × −2 = −22
    desk.price(0, desk.days[10], 27)  # new: 11 × +1 = +11
    desk.method(
        date(1900, 1, 1), "lifo"
    )  # the sale takes 4 of the 22 lot: gain 4 × (30 − 22) = 32, −8; the cost left falls by 8
    wrong = desk.book("deposit", desk.days[2], None, gross=500)
    ledger.reverse(desk.anna, desk.portfolio, wrong)
    of = moved(desk, since)
    assert of("late booking") == [
        (Decimal(30), 0, Decimal(30), f"buy 5 EUR0 of {desk.days[1]}"),
        (Decimal(500), 0, 0, f"deposit 500.00 EUR of {desk.days[2]}"),
    ]
    assert of("price correction") == [(Decimal(-22), 0, Decimal(-22), f"EUR0 on {desk.days[8]}: 28 → 26")]
    assert of("new price") == [(Decimal(11), 0, Decimal(11), f"EUR0 on {desk.days[10]}")]
    assert of("cost method") == [(0, Decimal(-8), Decimal(8), "last in, first out")]
    assert of("reversal") == [(Decimal(-500), 0, 0, f"deposit 500.00 EUR of {desk.days[2]}")]
    assert of("total") == [(Decimal(19), Decimal(-8), Decimal(27), "")]
    assert first is not None
    # on the day before the correction only the late booking and the method count: 5 × 27 − 110 = 25; nothing was sold yet
    assert moved(desk, since, desk.days[7])("total") == [(Decimal(25), 0, Decimal(25), "")]


def test_fx_and_backfilled_prices_have_their_effect(desk: Desk) -> None:
    """10 units at 11 dollars, 1.1 dollars a euro: cost 100 euros; NEW has no price until one is backfilled."""
    desk.book("buy", desk.days[0], 2, quantity=10, price=11)
    since = desk.now()
    desk.price(2, desk.days[1], 22)  # 10 × 22 / 1.1 = +200, gain 200 − 100
    desk.rate(
        desk.days[10], "1"
    )  # the last rate, corrected: 220 − 110 (cash) against 200 − 100: +10 on value, +20 on the gain
    desk.rate(desk.days[0], "1.375")  # the purchase day: cost 110 / 1.375 = 80 instead of 100
    of = moved(desk, since)
    assert of("backfilled price") == [(Decimal(200), 0, Decimal(100), f"NEW0 on {desk.days[1]}")]
    assert [x[:3] for x in of("FX correction")] == [(Decimal(10), 0, Decimal(20)), (0, 0, Decimal(20))]
    assert of("total") == [(Decimal(210), 0, Decimal(140), "")]


def test_a_reversal_and_what_stands_in_for_it_count_at_once(desk: Desk) -> None:
    """A sale needs its purchase: reversing one and booking it anew in one transaction never shows the sale alone."""
    bought = desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    desk.book("sell", desk.days[1], 0, quantity=10, price=25)
    since = desk.now()
    with engine.session(desk.anna) as c:
        at_desk = ledger.open_desk(c, desk.portfolio, lock=True)
        draft = Draft("buy", desk.days[0], "EUR", desk.securities[0], Decimal(10), Decimal(21))
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, security_id, currency, net, cash_currency, traded_on, settles_on, reverses, "
            "idempotency_key, source, recorded_by) VALUES (%s, 'reversal', %s, 'EUR', 0, 'EUR', %s, %s, %s, 'r', 'form', %s)",
            (desk.portfolio, desk.securities[0].security_id, desk.days[0], desk.days[0], bought, desk.anna),
        )
        ledger.write(c, desk.anna, desk.portfolio, [(ledger.complete(at_desk, draft, desk.today), None)], "test")
        c.execute("UPDATE portfolios SET version = version + 1 WHERE portfolio_id = %s", (desk.portfolio,))
    of = moved(desk, since)
    assert of("all") == [("correction",)]
    assert of("total") == [(Decimal(-10), Decimal(-10), 0, "")]


def test_many_entries_are_told_together_and_still_add_up(desk: Desk) -> None:
    since = desk.now()
    for n in range(70):
        desk.book("deposit", desk.days[n % DAYS], None, gross=n + 1)
    of = moved(desk, since)
    assert of("total")[0][0] == 70 * 71 / 2
    assert len(of("late booking")) == 1
    assert "entries in all" in of("late booking")[0][3]


def test_a_time_that_lies_after_is_named(desk: Desk) -> None:
    from core.scope import BadScope

    with pytest.raises(BadScope, match="since"):
        moved(desk, datetime.now(UTC) + timedelta(days=1))


def test_positions_that_moved(desk: Desk) -> None:
    desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    since = desk.now()
    desk.book("buy", desk.days[1], 0, quantity=5, price=22)
    user = access.User(desk.anna, "anna", "Anna", "analyst")
    table = reports.answer(user, "changes_by_position", Scope(desk.portfolio, since=since))
    assert table.rows == (
        ("EUR0", 10, 15, Decimal(280), Decimal(420), Decimal(140), Decimal(200), Decimal(310)),
        ("Cash", None, None, Decimal(-200), Decimal(-310), Decimal(-110), None, None),
    )


# --- as of × known at ----------------------------------------------------------------------------


def test_a_view_of_what_was_known_ends_with_that_day(desk: Desk) -> None:
    desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    at = datetime.combine(desk.days[5], datetime.min.time(), UTC) + timedelta(hours=18)
    view = View(desk.load(), Scope(desk.portfolio, known_at=at), {}, datetime.now(UTC))
    assert (view.on, view.live, view.now) == (desk.days[5], False, at)
    earlier = View(desk.load(), Scope(desk.portfolio, as_of=desk.days[2], known_at=at), {}, datetime.now(UTC))
    assert earlier.on == desk.days[2]
    later = View(desk.load(), Scope(desk.portfolio, as_of=desk.days[9], known_at=at), {}, datetime.now(UTC))
    assert later.on == desk.days[5], "nothing was known of a day to come"


def test_the_value_chart_of_a_past_time_comes_from_the_ledger(desk: Desk) -> None:
    """Nothing was recorded; the closes are 10 × (20, 21 … 28) less the 200 that they cost."""
    desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    at = desk.now()
    desk.price(0, desk.days[4], 99)
    user = access.User(desk.anna, "anna", "Anna", "analyst")
    table = reports.answer(user, "value_chart", Scope(desk.portfolio, as_of=desk.days[8], known_at=at, period="ALL"))
    assert [int(v) for v in table.column("value")] == [10 * n for n in range(9)]
    assert any("not from recorded snapshots" in n for n in table.notes)
    assert table.context.known_at == at


def test_prices_and_master_are_as_known(desk: Desk) -> None:
    desk.book("buy", desk.days[0], 0, quantity=10, price=20)
    at, number = desk.now(), desk.securities[0].security_id
    desk.price(0, desk.days[8], 99)
    user = access.User(desk.anna, "anna", "Anna", "analyst")
    scope = Scope(desk.portfolio, security=number)
    known = Scope(desk.portfolio, security=number, known_at=at, as_of=desk.days[8])
    assert reports.answer(user, "prices", scope).column("close")[0] == 99
    then = reports.answer(user, "prices", known)
    assert (then.column("on")[0], then.column("close")[0], len(then.rows)) == (desk.days[8], 28, 9)
    master = next(r for r in reports.answer(user, "securities", known).records() if r["security_id"] == number)
    assert (master["price"], master["previous_close"], master["bars"]) == (28, 27, 9)


def test_a_reversal_that_was_not_known_does_not_mark_its_entry(desk: Desk) -> None:
    wrong = desk.book("deposit", desk.days[2], None, gross=500)
    at = desk.now()
    ledger.reverse(desk.anna, desk.portfolio, wrong)
    user = access.User(desk.anna, "anna", "Anna", "analyst")
    state = [
        reports.answer(user, "transactions", Scope(desk.portfolio, known_at=k)).column("state") for k in (at, None)
    ]
    assert state[0] == ["booked"]
    assert sorted(state[1])[0] == "reversed"
