"""A new transaction in a portfolio of 50,000: from the click to positions, lots, gains and returns, beside reading and deriving
everything anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from uuid import UUID

from bench import books as filled
from bench.measure import Row, against, seconds, within
from core.ledger import Draft
from core.scope import Scope
from core.table import Table
from db import books, ledger, reports
from db.access import User

NAMES = ("holdings", "lots", "realised", "performance")
DAY = date(2026, 6, 30)
NOW = datetime(2026, 6, 30, 21, 0, tzinfo=UTC)


def book(user: UUID, portfolio: UUID) -> Callable[[], None]:
    """Books one purchase or sale each time it is called, of one security after the other."""
    securities = sorted(
        (s for s in books.live(user, portfolio).book.securities.values() if s.tradable), key=lambda s: s.symbol
    )
    numbers = count()

    def one() -> None:
        i = next(numbers)
        kind, security = ("buy", "sell")[i % 2], securities[i // 2 % len(securities)]
        ledger.append(
            user, portfolio, [Draft(kind, DAY, "USD", security, Decimal(1 + i % 2 / 2), Decimal("12.34"))], DAY
        )

    return one


def asked(user: UUID, portfolio: UUID) -> list[Table]:
    """The reports, as a page asks for them."""
    person, scope = User(user, "bench", "Bench", "analyst"), Scope(portfolio)
    here = reports.ask(person, scope)
    return [reports.answer(person, name, scope, NOW, here) for name in NAMES]


def forget() -> None:
    """Nothing is kept."""
    books.forget()
    reports._tables.clear()


def compared(user: UUID, portfolio: UUID, times: int = 4) -> None:
    """Raise where the reports after a booking are not those that are made of nothing."""
    one = book(user, portfolio)
    asked(user, portfolio)
    for _ in range(times):
        one()
        soon = asked(user, portfolio)
        forget()
        for mine, theirs in zip(soon, asked(user, portfolio), strict=True):
            assert (mine.rows, mine.total, mine.figures) == (theirs.rows, theirs.total, theirs.figures), mine.name
            assert mine.rows


def measure(small: bool = False) -> list[Row]:
    """Booked and shown; then the same with nothing kept."""
    size = (300, 5, 40) if small else (filled.TRANSACTIONS, filled.SECURITIES, filled.DAYS)
    user, portfolio = filled.fill(*size)
    compared(user, portfolio)
    one = book(user, portfolio)

    def soon() -> None:
        one()
        asked(user, portfolio)

    def anew() -> None:
        one()
        forget()
        asked(user, portfolio)

    taken = seconds({"soon": soon, "again": soon, "anew": anew}, 1 if small else 7)
    ours, name = (
        min(taken["soon"], taken["again"]),
        "new transaction in 50,000: booked → positions, lots, gains, returns",
    )
    return [against(name, ours, "everything anew", taken["anew"], None), within(name, ours * 1e3, 300, "ms")]
