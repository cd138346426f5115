"""A small installation for the tests of API and database: a market with bars, quotes and FX, two people, their portfolios.

Anna (an admin) has three portfolios with something in every tenant table; Ben (an analyst) has one of his own. What only
Anna may know carries a mark that no answer to Ben may hold.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import conftest
from conftest import Database

from core.book import Action
from core.importing import draft as draft_of
from core.ledger import Draft
from db import access, books, imports, ledger, market, portfolios, reconciliation, snapshots
from db.market import Bar, NewSecurity, QuoteRow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

WORDS = "four-words-for-tests"
MARK = "Zebra"  # in every text of Anna's
ODD = "7654321"  # in amounts of Anna's: her deposits
BARS = 300


def weekdays(last: date, count: int) -> list[date]:
    """The last `count` weekdays up to a day."""
    found: list[date] = []
    while len(found) < count:
        if last.weekday() < 5:
            found.append(last)
        last -= timedelta(days=1)
    return found[::-1]


def bar_days(now: datetime) -> list[date]:
    """The days that have bars: up to the last weekday before today."""
    return weekdays(now.date() - timedelta(days=1), BARS)


@dataclass
class Small:
    """What was made: people, portfolios by name, securities by symbol, and clients that are signed in."""

    database: Database
    now: datetime
    anna: UUID
    ben: UUID
    portfolios: dict[str, UUID]
    securities: dict[str, int]
    booked: dict[str, list[UUID]]
    tokens: dict[str, str]
    reconciled: dict[str, UUID] = field(default_factory=dict)

    def client(self, name: str | None = None) -> TestClient:
        """A client of the API, signed in with a Bearer token."""
        from api import api

        headers = {"Authorization": f"Bearer {self.tokens[name]}"} if name else {}
        return TestClient(api, headers=headers, raise_server_exceptions=False)

    def user(self, name: str) -> access.User:
        """Somebody as the product knows them."""
        found = access.user_of(self.tokens[name])
        assert found is not None
        return found


@contextmanager
def installed(server: Any) -> Iterator[Small]:
    """A fresh database with the small installation in it. It is built once and copied, and built anew when it is five minutes
    old: what is fresh in it must still be fresh."""
    with ExitStack() as stack:
        database, now = Database(server, stack), datetime.now(UTC)
        made = _built.get(str(server))
        if made is None or now - made.now > timedelta(minutes=5) or now.date() != made.now.date():
            conftest._renew(server)
            conftest._state["clean"] = False
            with ExitStack() as building:
                made = _built[str(server)] = build(Database(server, building))
            conftest.keep_as(server, TEMPLATE)
        conftest._renew(server, TEMPLATE)
        yield replace(copy.deepcopy(replace(made, database=None)), database=database)


TEMPLATE = "ballast_small"
_built: dict[str, Small] = {}


def build(database: Database, now: datetime | None = None) -> Small:
    """Fill a fresh database. Everything goes through the product's own writing functions where there is one."""
    books.forget()
    now = now or datetime.now(UTC)
    people = {
        "anna": access.create_user("anna", WORDS, "admin", f"Anna {MARK}"),
        "ben": access.create_user("ben", WORDS, "analyst", "Ben"),
    }
    numbers = _market(database, now)
    small = Small(database, now, people["anna"], people["ben"], {}, numbers, {}, {})
    small.tokens = {name: access.sign_in(name, WORDS)[0] for name in people}
    for name, base, owner in (
        (f"{MARK} dollars", "USD", "anna"),
        (f"{MARK} euros", "EUR", "anna"),
        (f"{MARK} mixed", "EUR", "anna"),
        ("Ben's own", "USD", "ben"),
    ):
        method = "average" if base == "EUR" else "fifo"
        small.portfolios[name] = portfolios.create_portfolio(
            people[owner], name, base, numbers["WIDE"], method, f"{MARK}" if owner == "anna" else ""
        )
    _book(small)
    with database.owner() as c:
        for portfolio in small.portfolios.values():
            c.execute(
                "INSERT INTO limits VALUES (%s, 'max_security_weight', '2000-01-01', 0.001, 'hard')", (portfolio,)
            )
    for name in ("dollars", "euros", "mixed"):
        file = f"currency,amount\nUSD,{ODD}.99\n".encode()
        made = reconciliation.make(small.anna, small.portfolios[f"{MARK} {name}"], file, custodian=f"{MARK} Bank", file_name=f"{MARK}-cash.csv",
                                   on=bar_days(now)[120], today=now.date(), keep=True)  # fmt: skip
        assert made.reconciliation_id is not None
        reconciliation.sign(
            small.anna, small.portfolios[f"{MARK} {name}"], made.reconciliation_id, ["cash:USD"], "open", f"{MARK} asks"
        )
        small.reconciled[name] = made.reconciliation_id
    with database.owner() as c:
        c.execute(
            "INSERT INTO counterparties (name, type, rating, country) VALUES ('Harbour Bank', 'bank', 'AA-', 'US'), ('Quay Clearing', 'broker', NULL, 'DE')"
        )
    with database.jobs() as c:
        snapshots.restate(c, now, 0.98)
        snapshots.take(c, now, 5, 0.98)
        c.execute(
            "INSERT INTO job_runs (job, scheduled_for, status, worker, finished_at) VALUES ('quotes', now(), 'succeeded', 'test', now())"
        )
        c.execute("INSERT INTO feed_states (feed, last_success_at, successes) VALUES ('csv', now(), 3)")
    return small


def _market(database: Database, now: datetime) -> dict[str, int]:
    today = now.date()
    days = bar_days(now)
    calendar = weekdays(today + timedelta(days=10), BARS + 10)
    with database.jobs() as c:
        for exchange, opens, closes in (
            ("XNYS", "14:30", "21:00"),
            ("XETR", "08:00", "16:30"),
            ("XTKS", "00:00", "06:00"),
        ):
            sessions = [
                (d, datetime.fromisoformat(f"{d}T{opens}+00:00"), datetime.fromisoformat(f"{d}T{closes}+00:00"))
                for d in calendar
            ]
            market.upsert_sessions(c, exchange, sessions)
        numbers = market.add_securities(
            c,
            [
                NewSecurity("ACME", "Acme, \"the\" works", "XNYS", "USD", "Equity", "Information Technology", "Software", "US", "US0378331005", "Harbour bank"),
                NewSecurity("BOLT", "Bolt", "XNYS", "USD", "Equity", "Energy", "", "US", None, "Bolt Holding"),
                NewSecurity("FUND", "A fund", "XNYS", "USD", "Fund", None, "", None),
                NewSecurity("RHEIN", "Rhein Grün", "XETR", "EUR", "Equity", "Industrials", "", "DE"),
                NewSecurity("EDO", "Edo", "XTKS", "JPY", "Equity", "Financials", "", "JP"),
                NewSecurity("LATE", "Late", "XNYS", "USD", "Equity", "Materials", "", "US"),
                NewSecurity("NEVER", "Never priced", "XNYS", "USD", "Equity", "Materials", "", "US"),
                NewSecurity("WIDE", "Wide index", "XNYS", "USD", "Index"),
            ],
        )  # fmt: skip
        bars = []
        for symbol, start, wave in (("ACME", 100, 7), ("BOLT", 40, 11), ("FUND", 10, 13), ("RHEIN", 80, 5), ("EDO", 3000, 17), ("LATE", 20, 3),
                                    ("WIDE", 5000, 9)):  # fmt: skip
            upto = days[:-30] if symbol == "LATE" else days  # LATE was last priced six weeks ago: carried forward
            for i, day in enumerate(upto):
                close = Decimal(start) * (1000 + (i * wave) % 61 + i) / 1000
                close = close.quantize(Decimal("0.01"))
                adjusted = close if symbol == "BOLT" else None  # it pays nothing and never split
                bars.append(Bar(numbers[symbol], day, close, volume=Decimal(1000 + i), adjusted=adjusted))
        market.upsert_bars(c, bars, "csv")
        rates = []
        for currency, rate in (("USD", "1.08"), ("JPY", "162.5"), ("GBP", "0.85")):
            for i, day in enumerate(days):
                rates.append(
                    (currency, day, (Decimal(rate) * (10000 + (i * 7) % 83) / 10000).quantize(Decimal("0.0001")))
                )
        market.upsert_rates(c, rates, "csv")
        market.upsert_actions(
            c,
            [
                Action(numbers["ACME"], "dividend", days[78], days[80], Decimal("0.1365"), "USD"),
                Action(numbers["ACME"], "split", days[60], ratio=Fraction(3)),
                Action(numbers["ACME"], "dividend", today + timedelta(days=20), today + timedelta(days=34), Decimal("0.16"), "USD"),
                Action(numbers["RHEIN"], "dividend", today + timedelta(days=40), None, Decimal("1.25"), "EUR"),
            ],
            "csv",
        )  # fmt: skip
        at = _quoted_at(now)
        market.upsert_quotes(
            c,
            [
                QuoteRow(numbers["ACME"], Decimal("131.2345"), Decimal("130.11"), "regular", "csv", at),
                QuoteRow(numbers["RHEIN"], Decimal("101.015"), Decimal("100.5"), "regular", "csv", at),
            ],
        )
    return numbers


def _quoted_at(now: datetime) -> datetime:
    """A time in the newest session of New York: quotes are of the last day that has a bar, or newer."""
    opened = [d for d in weekdays(now.date(), 3) if datetime.fromisoformat(f"{d}T14:30+00:00") <= now]
    return max(
        min(now, datetime.fromisoformat(f"{opened[-1]}T20:00+00:00")),
        datetime.fromisoformat(f"{opened[-1]}T14:30+00:00"),
    )


def drafts(small: Small, user: UUID, rows: list[dict[str, str]], base: str) -> list[Draft]:
    """Rows of text cells as drafts."""
    known = market.listings(user)
    return [draft_of(row, known, frozenset({"USD", "EUR", "JPY", "GBP"}), base) for row in rows]


def row(day: date, kind: str, symbol: str = "", **cells: str) -> dict[str, str]:
    """One row of text cells."""
    return {"date": day.isoformat(), "kind": kind, "symbol": symbol, **cells}


def _book(small: Small) -> None:
    days = bar_days(small.now)
    day = lambda i: days[i]  # noqa: E731
    dollars = [
        row(day(5), "deposit", gross=f"{ODD}.25", note=f"{MARK} opening"),
        row(day(6), "buy", "ACME", quantity="120", price="101.25", fees="4.95"),
        row(day(20), "buy", "ACME", quantity="33.3333333333", price="99.10", fees="1.00"),
        row(day(40), "sell", "ACME", quantity="20", price="108.00", fees="4.95", taxes="12.34"),
        row(day(60), "split", "ACME", ratio="3"),
        row(day(60), "buy", "ACME", quantity="7", price="36.50"),
        row(day(80), "dividend", "ACME", gross="55.55", taxes="8.33"),
        row(day(30), "buy", "BOLT", quantity="250", price="41.00", fees="2.50", note="=1+1"),
        row(day(90), "split", "BOLT", ratio="0.5"),
        row(day(95), "split", "BOLT", ratio="0.2"),
        row(day(50), "buy", "LATE", quantity="17", price="20.55"),
        row(day(70), "withdrawal", gross="1000.10"),
        row(day(71), "interest", gross="3.21"),
        row(day(72), "fee", gross="9.99"),
        row(day(150), "buy", "FUND", quantity="100", price="10.50"),
        row(day(200), "sell", "FUND", quantity="60", price="9.80"),  # a wash sale: bought again ten sessions later
        row(day(210), "buy", "FUND", quantity="30", price="9.90"),
    ]
    euros = [
        row(day(5), "deposit", gross=f"{ODD}.50"),
        row(day(7), "buy", "RHEIN", quantity="77.7", price="81.5", fees="3.30"),
        row(day(100), "sell", "RHEIN", quantity="10", price="92.5", fees="3.30", taxes="5.00"),
    ]
    mixed = [
        row(day(5), "deposit", gross=f"{ODD}.75"),
        row(day(5), "deposit", gross="20000", currency="USD"),
        row(day(8), "buy", "RHEIN", quantity="12", price="82.5"),
        row(day(9), "buy", "ACME", quantity="90", price="102.00", fees="5.00"),
        row(day(10), "buy", "BOLT", quantity="55", price="42.00", fx="0.925"),
        row(day(11), "buy", "EDO", quantity="300", price="3050", fx="0.0061"),
        row(day(60), "split", "ACME", ratio="3"),
        row(day(85), "sell", "EDO", quantity="100", price="3333", fees="500", fx="0.0062"),
    ]
    for name, rows, base in (("dollars", dollars, "USD"), ("euros", euros, "EUR"), ("mixed", mixed, "EUR")):
        portfolio = small.portfolios[f"{MARK} {name}"]
        small.booked[name] = ledger.append(
            small.anna, portfolio, drafts(small, small.anna, rows, base), small.now.date()
        )
        wrong = [row(day(110), "deposit", gross="4242.42", note="typed in the wrong place")]
        (mistake,) = ledger.append(small.anna, portfolio, drafts(small, small.anna, wrong, base), small.now.date())
        ledger.reverse(small.anna, portfolio, mistake, "wrong place")
        file = f"date,kind,gross,note\r\n{day(120)},deposit,12.34,{MARK}\r\n".encode()
        imports.import_file(small.anna, portfolio, file, f"{MARK}.csv", small.now.date(), dry_run=False)
    own = [row(day(5), "deposit", gross="500.00"), row(day(6), "buy", "BOLT", quantity="3", price="41")]
    ben = small.portfolios["Ben's own"]
    small.booked["ben"] = ledger.append(small.ben, ben, drafts(small, small.ben, own, "USD"), small.now.date())
