"""A Book that is read on from the one before is the Book that is read from nothing: after bookings of every kind in any order of
dates, reversals, refused entries, new prices and rates, and cost methods that change. On the real database."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from core.book import Book
from core.ledger import COLUMNS, Draft, LedgerError, Security
from core.reports import REPORTS
from core.scope import Scope
from core.table import Context
from core.valuation import lots_of
from core.view import View
from db import access, books, corrections, engine, ledger, market, portfolios

FIRST, TODAY = date(2026, 1, 1), date(2026, 3, 31)
NOW = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
CURRENCY = {"ACME": "USD", "BIRD": "EUR", "CROW": "USD", "DOVE": "EUR", "EMUS": "JPY"}
BECOMES = {"ACME": "CROW", "BIRD": "DOVE"}


class Desk:
    """A person with a portfolio in euros, five securities, prices and rates of three months."""

    def __init__(self, method: str) -> None:
        self.anna = access.create_user("anna", "anna's long password", "analyst")
        with engine.jobs() as c:
            new = [market.NewSecurity(s, s, "XNYS", currency, "Equity") for s, currency in CURRENCY.items()]
            ids = market.add_securities(c, new)
            days = [FIRST + timedelta(days=i) for i in range(89)]
            bars = [market.Bar(n, day, Decimal(50 + 7 * n + i % 9)) for n in ids.values() for i, day in enumerate(days)]
            market.upsert_bars(c, bars, "test")
            rates = [("USD", day, Decimal("1.1") + Decimal(i % 7) / 100) for i, day in enumerate(days)]
            market.upsert_rates(c, rates + [("JPY", day, Decimal(160)) for day in days], "test")
        self.securities = {s: Security(n, s, s, "XNYS", CURRENCY[s], "Equity") for s, n in ids.items()}
        self.portfolio = portfolios.create_portfolio(self.anna, "Desk", "EUR", method=method)
        first = [Draft("buy", FIRST, x.currency, x, Decimal(300), Decimal(90)) for x in self.securities.values()]
        self.booked = ledger.append(self.anna, self.portfolio, first, TODAY)

    def draft(self, dice: random.Random) -> Draft:
        """Any entry, often one that cannot be booked."""
        kind = dice.choice(["buy"] * 6 + ["sell"] * 4 + ["dividend", "deposit", "fee", "split", "short", "cover", "transfer_in",
                           "transfer_out", "return_of_capital", "spin_off", "merger", "symbol_change"])  # fmt: skip
        on = FIRST + timedelta(days=dice.randrange(89))
        amount = Decimal(dice.randrange(1, 90_000)) / 100
        if kind in ("deposit", "fee"):
            return Draft(kind, on, dice.choice(["EUR", "USD", "CHF"]), gross=amount)
        symbol = dice.choice(sorted(BECOMES if kind in ("spin_off", "merger", "symbol_change") else CURRENCY))
        security = self.securities[symbol]
        into = self.securities[BECOMES[symbol]] if kind in ("spin_off", "merger", "symbol_change") else None
        if kind in ("dividend", "return_of_capital"):
            return Draft(kind, on, security.currency, security, gross=amount + 1)
        if into is not None or kind == "split":
            ratio = None if kind == "symbol_change" else Fraction(dice.choice(["2", "3", "1/2", "1/3", "2/3"]))
            fraction = Decimal("0.25") if kind == "spin_off" else None
            return Draft(kind, on, security.currency, security, into=into, ratio=ratio, fraction=fraction)
        units = Decimal(dice.randrange(1, 400)) / 4
        fx = Decimal("0.93") if security.currency == "USD" and "transfer" not in kind and dice.random() < 0.2 else None
        return Draft(kind, on, security.currency, security, units, amount, fees=Decimal(dice.choice([0, 1])), fx=fx)

    def happen(self, dice: random.Random) -> None:
        """Something that changes the Book, or is refused."""
        what = dice.random()
        if what < 0.75:
            with suppress(LedgerError):
                drafts = [self.draft(dice) for _ in range(dice.choice([1, 1, 1, 3]))]
                self.booked += ledger.append(self.anna, self.portfolio, drafts, TODAY)
        elif what < 0.82 and self.booked:
            with suppress(LedgerError, corrections.Conflict):
                changes = [(dice.choice(self.booked), self.draft(dice))]
                made = corrections.correct(self.anna, self.portfolio, changes, TODAY)
                self.booked += [new for _, new in made.steps if new is not None]
        elif what < 0.92 and self.booked:
            with suppress(LedgerError):
                ledger.reverse(self.anna, self.portfolio, dice.choice(self.booked))
        else:
            day, number = FIRST + timedelta(days=dice.randrange(89)), self.securities["ACME"].security_id
            with engine.jobs() as c:
                if dice.random() < 0.5:
                    market.upsert_bars(c, [market.Bar(number, day, Decimal(dice.randrange(10, 99)))], "test")
                    market.touch(c, "prices")
                else:
                    market.upsert_rates(c, [("USD", day, Decimal(dice.randrange(90, 120)) / 100)], "test")
                    market.touch(c, "fx")


def tables(book: Book) -> dict[str, object]:
    """What readers see of a Book."""
    view = View(book, Scope(book.portfolio.portfolio_id, as_of=TODAY), {}, NOW)
    out: dict[str, object] = {"valuation": view.valuation}
    for name in ("holdings", "lots", "realised", "performance", "performers", "cash", "overview"):
        table = REPORTS[name].table(Context(TODAY, "EUR", "1"), view=view)
        out[name] = (table.rows, table.total, table.figures)
    return out


def equal(one: Book, other: Book) -> None:
    assert one.ledger.currencies == other.ledger.currencies
    for name in COLUMNS:
        mine, theirs = getattr(one.ledger, name), getattr(other.ledger, name)
        assert mine.dtype == theirs.dtype, name
        assert mine.tobytes() == theirs.tobytes() if mine.dtype != object else mine.tolist() == theirs.tolist(), name
    assert one.ledger.details == other.ledger.details
    assert (one.securities, one.limits, one.version, one.portfolio) == (
        other.securities,
        other.limits,
        other.version,
        other.portfolio,
    )
    for mine, theirs in ((one.prices, other.prices), (one.rates.series, other.rates.series)):
        assert mine.keys() == theirs.keys()
        for key, series in mine.items():
            assert np.array_equal(series.days, theirs[key].days)
            assert np.array_equal(series.values, theirs[key].values)
    assert lots_of(one, 99_999) == lots_of(other, 99_999)
    assert tables(one) == tables(other)


@pytest.mark.parametrize(
    ("seed", "method"), [(1, "fifo"), (2, "average"), (3, "hifo"), (4, "fifo"), (5, "specific"), (6, "lifo")]
)
def test_reading_on_is_reading_anew(database: object, seed: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dice, desk, read_on = random.Random(seed), Desk(method), 0
    monkeypatch.setattr("core.booking.WORTH", dice.choice([0, 200]))
    for step in range(60):
        desk.happen(dice)
        if step == 40:
            with engine.owner() as c:
                c.execute(
                    "INSERT INTO cost_methods (portfolio_id, valid_from, method) VALUES (%s, '2026-02-10', 'lifo')",
                    (desk.portfolio,),
                )
                c.execute("UPDATE portfolios SET version = version + 1 WHERE portfolio_id = %s", (desk.portfolio,))
        if dice.random() < 0.3:
            continue  # several things between two looks
        on = books.live(desk.anna, desk.portfolio).book
        read_on += on.before is not None
        if dice.random() < 0.3:
            continue  # read, but never asked for lots
        kept = dict(books._books)
        books.forget()
        anew = books.live(desk.anna, desk.portfolio).book
        assert anew.before is None
        equal(on, anew)
        books._books.clear()
        books._books.update(kept)
    assert len(desk.booked) > 20
    assert read_on > 10


def test_what_another_connection_did_not_commit_is_not_kept(database: object) -> None:
    """A Book read within a transaction that is then rolled back is not read on from."""
    desk = Desk("fifo")
    acme = desk.securities["ACME"]
    ledger.append(desk.anna, desk.portfolio, [Draft("buy", FIRST, "USD", acme, Decimal(5), Decimal(10))], TODAY)
    with engine.session(desk.anna) as c:
        c.execute("SAVEPOINT before")
        posting = ledger.complete(
            ledger.open_desk(c, desk.portfolio, lock=True), Draft("deposit", FIRST, "EUR", gross=Decimal(7)), TODAY
        )
        ledger.write(c, desk.anna, desk.portfolio, [(posting, None)], "test")
        assert len(books.load(c, desk.portfolio).book.ledger) == 7
        c.execute("ROLLBACK TO before")
    ledger.append(desk.anna, desk.portfolio, [Draft("buy", FIRST, "USD", acme, Decimal(3), Decimal(10))], TODAY)
    assert books.live(desk.anna, desk.portfolio).book.ledger.quantity.tolist()[-2:] == [5 * 10**10, 3 * 10**10]
