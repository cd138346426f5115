"""The Book: the ledger, prices, FX and instruments of one portfolio, as columns. Everything in core is a function of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from core.calendar import Sessions
from core.fx import Rates, Series
from core.ledger import Ledger, Security
from core.lots import Lots

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portfolio:
    """One portfolio's settings."""

    portfolio_id: UUID
    name: str
    base_currency: str
    benchmark_id: int | None
    method: str  # the cost method in force
    access: str = "read"
    note: str = ""
    demo: bool = False
    goal_value: Decimal | None = None
    goal_on: date | None = None
    version: int = 1
    restated: int = 0
    methods: tuple[tuple[int, str], ...] = ()  # every dated cost method: (first day number, method), ascending

    @property
    def dated_methods(self) -> str | tuple[tuple[int, str], ...]:
        """The cost methods as `core.booking.derive` takes them: dated, or the one there is."""
        return self.methods or self.method


@dataclass(frozen=True, slots=True)
class Quote:
    """The last price of a security as the feed gave it, in the security's currency."""

    price: Decimal
    previous_close: Decimal | None
    session: str
    provider: str
    quoted_at: datetime


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action of a security as its feed gave it. It takes effect at the open of `ex_on`.

    `amount`: per share in `currency`, on the basis of the ex date (not adjusted for later splits). `ratio`: new units for old
    ones, 1/3 where three become one. `pay_on`: when a dividend is paid, None where it was not announced.
    """

    security_id: int
    kind: str
    ex_on: date
    pay_on: date | None = None
    amount: Decimal | None = None
    currency: str | None = None
    ratio: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Class:
    """How a security is classified from a day on."""

    since: int  # day number
    asset_class: str
    sector: str | None
    industry: str | None
    country: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What was derived before the last entries came: lots of a ledger whose row r is row place[r] now (−1: reversed), and the
    securities whose entries are others since."""

    lots: Lots
    place: NDArray[np.int64]
    securities: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Immutable. `prices` and `rates` are raw closes and FX by day; `sessions` the calendars of the exchanges held.

    With `known_at` ledger, prices, FX, cost methods, limits and classes are as they were known then; the portfolio's other
    settings, the securities' other master data and the calendars are as they are now. `securities` has them as they are now:
    `security_on` as they were classified on a day. `version` changes with anything in it; `derived` keeps what was
    computed from it, and dies with it. `of_each` keeps what was computed from the entries of one security: the next Book has it
    too, where it differs by entries of other securities alone.
    """

    portfolio: Portfolio
    ledger: Ledger
    securities: Mapping[int, Security]
    prices: Mapping[int, Series]
    rates: Rates
    sessions: Mapping[str, Sessions]
    version: str
    known_at: datetime | None = None
    limits: Mapping[str, tuple[tuple[int, Decimal, str], ...]] = field(
        default_factory=dict
    )  # by rule: (first day number, value, severity), ascending
    actions: Mapping[int, tuple[Action, ...]] = field(
        default_factory=dict
    )  # corporate actions by security, oldest first
    risk_free: Mapping[str, Series] = field(default_factory=dict)  # annual rates by currency, effective, dated
    classes: Mapping[int, tuple[Class, ...]] = field(
        default_factory=dict
    )  # of securities that were classified more than once: ascending by day
    derived: dict[Any, Any] = field(default_factory=dict)
    of_each: dict[tuple[str, int], tuple[Any, Any]] = field(default_factory=dict)
    before: Before | None = None
    seq: int = 0  # the number of the newest entry of its ledger, as the database counts them; 0 where it was not asked

    @property
    def base(self) -> str:
        """The portfolio's base currency."""
        return self.portfolio.base_currency

    def limit_on(self, rule: str, day: int) -> tuple[Decimal, str] | None:
        """(value, severity) of the portfolio's own limit in force on a day, None where it has none."""
        found = None
        for since, value, severity in self.limits.get(rule, ()):
            if since <= day:
                found = value, severity
        return found

    def security_on(self, number: int, day: int) -> Security:
        """A security as it was classified on a day (a day number); before the first day of its classes as on that one."""
        security, classes = self.securities[number], self.classes.get(number, ())
        if not classes:
            return security
        its = next((c for c in reversed(classes) if c.since <= day), classes[0])
        return replace(security, asset_class=its.asset_class, sector=its.sector, industry=its.industry, country=its.country)

    def with_other(self, **changes: Any) -> Book:
        """The Book with another ledger, prices or rates in it: nothing that was derived from this one goes along."""
        return replace(self, derived={}, of_each={}, before=None, **changes)

    def make_room(self, most: int = 64) -> None:
        """Forget what was derived when too much is kept: readers of many past days would fill the memory."""
        if len(self.derived) >= most:
            self.derived.clear()

    def of_security(self, name: str, security: int, key: object, make: Callable[[], T]) -> T:
        """What `make` computes from the entries, master data, prices and FX of one security, kept from one Book to the next.

        `key` holds all else that it depends on: made again where it differs. The last one is kept.
        """
        there = self.of_each.get((name, security))
        if there is None or there[0] != key:
            there = self.of_each[name, security] = (key, make())
        found: T = there[1]
        return found

    @property
    def main_exchange(self) -> str:
        """The exchange whose sessions make the daily grid: that of most securities held, XNYS where there is none."""
        counts: dict[str, int] = {}
        for s in self.securities.values():
            if s.tradable:
                counts[s.exchange] = counts.get(s.exchange, 0) + 1
        known = [e for e in sorted(counts, key=lambda e: (-counts[e], e)) if e in self.sessions]
        if known:
            return known[0]
        return "XNYS" if "XNYS" in self.sessions else next(iter(self.sessions), "XNYS")
