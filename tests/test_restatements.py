"""Recorded snapshots survive what is booked later for an earlier day: no point is lost, each says what it said plus the effect.

Sessions from 9:00 to 12:00 UTC on ten weekdays of March 2026, a snapshot every half hour. ACME (USD) is quoted at 100.00 and one dollar
more each day and ten cents more each half hour; DULL has closes only: 20.00 and one dollar more each day. All effects below are worked
out by hand from these.
"""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ledger import Draft, Security
from core.scope import Scope
from db import access, books, engine, ledger, market, migrate, portfolios, reports, snapshots
from db.access import User
from db.embedded import Embedded
from db.market import Bar, QuoteRow

DAYS = [date(2026, 3, d) for d in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)]
BEFORE = [date(2026, 2, 26), date(2026, 2, 27)]
HALVES = range(7)  # 9:00, 9:30, … 12:00
LIMIT = 0.98


def at(day: int, half: int) -> datetime:
    return datetime(DAYS[day].year, DAYS[day].month, DAYS[day].day, 9, 0, tzinfo=UTC) + timedelta(minutes=30 * half)


def price(day: int, half: int) -> Decimal:
    """What ACME was quoted at."""
    return Decimal(100 + day) + Decimal(half) / 10


def dull(day: int) -> Decimal:
    """The close of DULL."""
    return Decimal(20 + day)


EVERY = [(day, half) for day in range(len(DAYS)) for half in HALVES]
END = at(9, 6) + timedelta(minutes=1)


class Point(NamedTuple):
    total: Decimal
    cash: Decimal
    invested: Decimal
    net_flow: Decimal
    coverage: Decimal
    complete: bool


Row = tuple[Decimal, Decimal, Decimal | None, Decimal | None]  # units, cost, value, price


class Desk:
    """A portfolio that was recorded for ten days: 10,000.00 in, 10 ACME bought at 90, both before the first of them."""

    def __init__(self, base: str = "USD") -> None:
        books.forget()
        self.anna = access.create_user("anna", "anna's long password", "analyst")
        with engine.jobs() as c:
            self.ids = market.add_securities(
                c,
                [market.NewSecurity(s, s, "XNYS", "USD", "Equity") for s in ("ACME", "DULL", "NEVER")],
            )
            market.upsert_sessions(c, "XNYS", [(d, datetime(d.year, d.month, d.day, 9, tzinfo=UTC), datetime(d.year, d.month, d.day, 12, tzinfo=UTC))
                                               for d in (*BEFORE, *DAYS)])  # fmt: skip
            market.upsert_rates(c, [("USD", d, Decimal("1.25")) for d in BEFORE], "test")
            market.upsert_bars(
                c,
                [Bar(self.ids["ACME"], d, Decimal(95)) for d in BEFORE]
                + [Bar(self.ids["DULL"], d, Decimal(19)) for d in BEFORE],
                "test",
            )
        self.portfolio = portfolios.create_portfolio(self.anna, "Recorded", base)
        self.book([self.draft("deposit", BEFORE[0], gross="10000"), self.trade("buy", BEFORE[0], "ACME", "10", "90")])

    def security(self, symbol: str) -> Security:
        return Security(self.ids[symbol], symbol, symbol, "XNYS", "USD", "Equity")

    def draft(self, kind: str, on: date, gross: str, currency: str = "USD") -> Draft:
        return Draft(kind, on, currency, gross=Decimal(gross))

    def trade(self, kind: str, on: date, symbol: str, quantity: str, price: str) -> Draft:
        return Draft(kind, on, "USD", self.security(symbol), Decimal(quantity), Decimal(price))

    def book(self, drafts: list[Draft], today: date = DAYS[-1]) -> list[UUID]:
        return ledger.append(self.anna, self.portfolio, drafts, today)

    def record(self, upto: tuple[int, int] = EVERY[-1], first: tuple[int, int] = EVERY[0]) -> None:
        """What the scheduler does: a quote and a snapshot every half hour, the close of DULL at the end of each day."""
        with engine.jobs() as c:
            snapshots.restate(c, at(*first), LIMIT)
        for day, half in EVERY[EVERY.index(first) : EVERY.index(upto) + 1]:
            with engine.jobs() as c:
                market.upsert_quotes(
                    c, [QuoteRow(self.ids["ACME"], price(day, half), None, "regular", "test", at(day, half))]
                )
                snapshots.take(c, at(day, half), 30, LIMIT)
                if half == 6:
                    market.upsert_bars(c, [Bar(self.ids["DULL"], DAYS[day], dull(day)), Bar(self.ids["ACME"], DAYS[day], price(day, 6))], "test")  # fmt: skip

    def restate(self) -> int:
        with engine.jobs() as c:
            return snapshots.restate(c, END, LIMIT)

    def points(self) -> dict[datetime, Point]:
        with engine.owner() as c:
            rows = c.execute(
                "SELECT bucket, total, cash, invested, net_flow, coverage, complete FROM portfolio_snapshots WHERE portfolio_id = %s",
                (self.portfolio,),
            ).fetchall()
        return {row[0]: Point(*row[1:]) for row in rows}

    def positions(self) -> dict[tuple[datetime, int], Row]:
        with engine.owner() as c:
            rows = c.execute(
                "SELECT bucket, security_id, units, cost, value, price FROM position_snapshots WHERE portfolio_id = %s",
                (self.portfolio,),
            ).fetchall()
        return {(row[0], row[1]): row[2:] for row in rows}

    def chart(self, period: str) -> list[snapshots.Point]:
        return snapshots.chart_for(self.anna, self.portfolio, period, END)


@pytest.fixture
def desk(database: object) -> Desk:
    made = Desk()
    made.record()
    return made


def added(was: dict[datetime, Point], since: datetime, **more: Any) -> dict[datetime, Point]:
    """Points with something added to each from a time on: an amount, or what a function of (day, half) says."""
    when = {at(*each): each for each in EVERY}

    def one(bucket: datetime, point: Point) -> Point:
        if bucket < since:
            return point
        found = {
            name: getattr(point, name) + (x(*when[bucket]) if callable(x) else Decimal(x)) for name, x in more.items()
        }
        return point._replace(**found)

    return {bucket: one(bucket, point) for bucket, point in was.items()}


PERIODS = ("1D", "1W", "MTD", "1M", "QTD", "3M", "YTD", "1Y", "ALL")


def test_what_was_recorded_is_what_was_quoted(desk: Desk) -> None:
    """The ground that the other tests stand on: 9,100.00 in cash and ten shares."""
    points = desk.points()
    recorded = {at(*each): Decimal(9100) + 10 * price(*each) for each in EVERY}
    closes = {datetime(d.year, d.month, d.day, 12, tzinfo=UTC) for d in BEFORE}
    assert {t: p.total for t, p in points.items() if t not in closes} == recorded
    assert points.keys() - recorded.keys() == closes, "computed: nobody recorded those sessions"
    assert set(desk.positions()) == {(t, desk.ids["ACME"]) for t in recorded}


def test_a_deposit_of_two_weeks_ago_is_added_to_every_point_since(desk: Desk) -> None:
    was, rows, charts = desk.points(), desk.positions(), {p: desk.chart(p) for p in PERIODS}
    desk.book([desk.draft("deposit", DAYS[3], gross="100")])
    assert desk.restate() == 1
    assert desk.points() == added(was, at(3, 0), total=100, cash=100, net_flow=100)
    assert desk.positions() == rows, "no position moved"
    for period, before in charts.items():
        after = desk.chart(period)
        assert [p.at for p in after] == [p.at for p in before], period
        assert [p.total - q.total for p, q in zip(after, before, strict=True)] == [
            Decimal(100) * (p.at >= at(3, 0)) for p in before
        ]
        assert [p.coverage for p in after] == [p.coverage for p in before]
    assert desk.restate() == 0, "nothing changed since"


def test_a_restated_point_says_so(desk: Desk) -> None:
    user = User(desk.anna, "anna", "Anna", "analyst")

    def states() -> list[str]:
        return list(
            reports.answer(user, "value_chart", Scope(desk.portfolio, as_of=DAYS[9], period="1W"), END).column("state")
        )

    assert set(states()) == {"recorded"}
    desk.book([desk.draft("deposit", DAYS[7], gross="100")])
    desk.restate()
    table = reports.answer(user, "value_chart", Scope(desk.portfolio, as_of=DAYS[9], period="1W"), END)
    assert [(t >= at(7, 0), s) for t, s in zip(table.column("at"), table.column("state"), strict=True)] == [
        (t >= at(7, 0), "restated" if t >= at(7, 0) else "recorded") for t in table.column("at")
    ]
    assert any("restated" in note for note in table.notes)


def test_more_of_what_is_held_is_valued_at_the_prices_that_were_recorded(desk: Desk) -> None:
    """5 ACME at 95.00 on the third day: −475.00 in cash, and five times what each point was quoted at."""
    was, rows, acme = desk.points(), desk.positions(), desk.ids["ACME"]
    desk.book([desk.trade("buy", DAYS[2], "ACME", "5", "95")])
    desk.restate()
    worth = lambda d, h: 5 * price(d, h)  # noqa: E731
    assert desk.points() == added(was, at(2, 0), total=lambda d, h: worth(d, h) - 475, cash=-475, invested=worth)
    assert desk.positions() == {
        (t, s): row if t < at(2, 0) else (Decimal(15), Decimal(1375), row[3] * 15, row[3])
        for (t, s), row in rows.items()
    }
    assert {s for _, s in rows} == {acme}


def test_what_was_not_held_is_valued_at_the_last_close_that_was_known_then(desk: Desk) -> None:
    """3 DULL at 21.00 on the fourth day. Until noon it is worth the close before, from noon on that of the day."""
    was, rows = desk.points(), desk.positions()
    desk.book([desk.trade("buy", DAYS[3], "DULL", "3", "21")])
    desk.restate()

    def worth(day: int, half: int) -> Decimal:
        return 3 * dull(day if half == 6 else day - 1)

    assert desk.points() == added(was, at(3, 0), total=lambda d, h: worth(d, h) - 63, cash=-63, invested=worth)
    new = {key: row for key, row in desk.positions().items() if key not in rows}
    assert new == {
        (at(*each), desk.ids["DULL"]): (Decimal(3), Decimal(63), worth(*each), worth(*each) / 3)
        for each in EVERY
        if at(*each) >= at(3, 0)
    }


def test_a_sale_takes_away_and_a_whole_one_leaves_no_units(desk: Desk) -> None:
    was, rows = desk.points(), desk.positions()
    desk.book([desk.trade("sell", DAYS[5], "ACME", "10", "104")])
    desk.restate()
    assert desk.points() == added(
        was, at(5, 0), total=lambda d, h: 1040 - 10 * price(d, h), cash=1040, invested=lambda d, h: -10 * price(d, h)
    )
    held = {key: row for key, row in desk.positions().items() if row[0]}
    assert held == {(t, s): row for (t, s), row in rows.items() if t < at(5, 0)}


def test_a_split_that_was_booked_late_counts_from_the_opening_of_its_day(desk: Desk) -> None:
    was = desk.points()
    desk.book([Draft("split", DAYS[6], "USD", desk.security("ACME"), ratio=Decimal(2))])
    desk.restate()
    worth = lambda d, h: 10 * price(d, h)  # noqa: E731
    assert desk.points() == added(was, at(6, 0), total=worth, invested=worth)
    assert {row[:2] for (t, _), row in desk.positions().items() if t >= at(6, 0)} == {(Decimal(20), Decimal(900))}


@pytest.mark.parametrize(
    "kind", ["deposit", "held", "new", "unpriced", "split", "sale", "renamed", "spun off", "short"]
)
def test_a_reversal_brings_every_point_back_to_what_was_recorded(desk: Desk, kind: str) -> None:
    was, rows = desk.points(), desk.positions()
    draft = {
        "deposit": desk.draft("deposit", DAYS[4], gross="12.34"),
        "held": desk.trade("buy", DAYS[4], "ACME", "0.3333333333", "97.77"),
        "new": desk.trade("buy", DAYS[4], "DULL", "7", "23.45"),
        "unpriced": desk.trade("buy", DAYS[4], "NEVER", "7", "23.45"),
        "split": Draft("split", DAYS[4], "USD", desk.security("ACME"), ratio=Decimal("0.5")),
        "sale": desk.trade("sell", DAYS[4], "ACME", "10", "100"),
        "renamed": Draft("symbol_change", DAYS[4], "USD", desk.security("ACME"), into=desk.security("DULL")),
        "spun off": Draft(
            "spin_off",
            DAYS[4],
            "USD",
            desk.security("ACME"),
            into=desk.security("DULL"),
            ratio=Decimal("0.5"),
            fraction=Decimal("0.25"),
        ),
        "short": desk.trade("short", DAYS[4], "DULL", "3", "22"),
    }[kind]
    (number,) = desk.book([draft])
    desk.restate()
    assert desk.points() != was
    assert desk.points().keys() == was.keys()
    ledger.reverse(desk.anna, desk.portfolio, number)
    desk.restate()
    assert desk.points() == was
    assert desk.positions() == rows


def test_a_correction_moves_the_effect_to_its_new_day(desk: Desk) -> None:
    from db import corrections

    was = desk.points()
    (number,) = desk.book([desk.draft("deposit", DAYS[2], gross="100")])
    desk.restate()
    corrections.correct(desk.anna, desk.portfolio, [(number, desk.draft("deposit", DAYS[5], gross="70"))], DAYS[-1])
    desk.restate()
    assert desk.points() == added(was, at(5, 0), total=70, cash=70, net_flow=70)


def test_what_has_no_price_makes_points_incomplete_until_it_has_one(desk: Desk) -> None:
    """2 NEVER for 50.00 each: nothing to value, so the points fall by the 100.00 paid and lose coverage by that cost."""
    was, never = desk.points(), desk.ids["NEVER"]
    desk.book([desk.trade("buy", DAYS[8], "NEVER", "2", "50")])
    desk.restate()
    now = desk.points()
    invested = 10 * price(8, 0)
    assert now[at(8, 0)] == was[at(8, 0)]._replace(
        total=was[at(8, 0)].total - 100,
        cash=Decimal(9000),
        coverage=round(invested / (invested + 100), 6),
        complete=False,
    )
    assert desk.positions()[at(8, 0), never] == (Decimal(2), Decimal(100), None, None)
    with engine.jobs() as c:
        market.upsert_bars(c, [Bar(never, d, Decimal(60)) for d in DAYS[7:]], "test")
        c.execute(
            "UPDATE portfolios SET restate_from = %s", (DAYS[8],)
        )  # what the close of the day does when first prices come
    desk.restate()
    assert desk.points() == added(was, at(8, 0), total=20, cash=-100, invested=120)
    assert desk.positions()[at(8, 0), never] == (Decimal(2), Decimal(100), Decimal(120), Decimal(60))


def test_another_cost_method_changes_costs_and_no_value(desk: Desk) -> None:
    """10 at 90 and 10 at 101.00 bought, 10 sold: what is left cost 1,010 first in, first out, and 955 under average cost."""
    desk.book([desk.trade("buy", DAYS[1], "ACME", "10", "101"), desk.trade("sell", DAYS[2], "ACME", "10", "102")])
    desk.restate()
    was = desk.points()
    since = [key for key in desk.positions() if key[0] >= at(2, 0)]
    assert {desk.positions()[key][1] for key in since} == {Decimal(1010)}
    portfolios.change_method(desk.anna, desk.portfolio, BEFORE[0], "average", DAYS[-1])
    desk.restate()
    assert desk.points() == was
    assert {desk.positions()[key][1] for key in since} == {Decimal(955)}


def test_a_corrected_close_corrects_the_points_that_were_valued_at_it(desk: Desk) -> None:
    """DULL's close of the sixth day was 25.00 and becomes 26.50: from its noon to the next day's 11:30, for 4 DULL, 6.00 more."""
    desk.book([desk.trade("buy", DAYS[3], "DULL", "4", "21")])
    desk.restate()
    was = desk.points()
    with engine.jobs() as c:
        assert market.upsert_bars(c, [Bar(desk.ids["DULL"], DAYS[5], Decimal("26.5"))], "test") == 1
    assert desk.restate() == 1, "the correction marks who holds it"
    wrong = {at(5, 6), *(at(6, h) for h in range(6))}
    assert desk.points() == {
        t: p._replace(total=p.total + 6, invested=p.invested + 6) if t in wrong else p for t, p in was.items()
    }
    with engine.jobs() as c:
        market.upsert_bars(c, [Bar(desk.ids["ACME"], DAYS[5], Decimal("999"))], "test")
    desk.restate()
    assert desk.points()[at(5, 3)].total == was[at(5, 3)].total, "what was valued at a quote stays"
    assert desk.points().keys() == was.keys()


def test_sessions_that_nobody_recorded_are_computed_and_restated(desk: Desk) -> None:
    """The two sessions before: a deposit on the first of them changes their closes; and with an earlier ledger there are more."""
    was = desk.points()
    noon = [datetime(d.year, d.month, d.day, 12, tzinfo=UTC) for d in BEFORE]
    assert [was[t].total for t in noon] == [Decimal(9100 + 950)] * 2, "ten ACME at 95.00"
    desk.book([desk.draft("deposit", BEFORE[1], gross="100")])
    desk.restate()
    now = desk.points()
    assert [now[t].total - was[t].total for t in noon] == [0, 100]
    assert all(now[t].total == p.total + 100 for t, p in was.items() if t > noon[1])


def test_a_booking_of_the_same_day_leaves_the_points_before_it(database: object) -> None:
    """10:00 on the last day it is booked: the points of 9:00 to 10:00 saw the day without it."""
    desk = Desk()
    desk.record(upto=(9, 2))
    was = desk.points()
    new = desk.book([desk.draft("deposit", DAYS[9], gross="100"), desk.trade("buy", DAYS[9], "ACME", "1", "109.2")])
    moment = at(9, 2) + timedelta(minutes=5)
    with engine.owner() as c:  # as if it had been booked then
        c.execute("ALTER TABLE transactions DISABLE TRIGGER USER")
        c.execute("UPDATE transactions SET recorded_at = %s WHERE transaction_id = ANY (%s)", (moment, new))
        c.execute("ALTER TABLE transactions ENABLE TRIGGER USER")
    desk.record(first=(9, 3))
    now = desk.points()
    assert {t: now[t] for t in was} == was
    assert now[at(9, 3)].total == Decimal(9100) + 100 - Decimal("109.2") + 11 * price(9, 3)
    desk.restate()
    assert desk.points() == now
    desk.book([desk.draft("deposit", DAYS[9], gross="7")])  # booked today for that day: it is of an earlier day
    desk.restate()
    assert desk.points() == added(now, at(9, 0), total=7, cash=7, net_flow=7)


def test_a_snapshot_between_a_booking_and_its_restatement_counts_it_once(database: object) -> None:
    desk = Desk()
    desk.record(upto=(8, 6))
    was = desk.points()
    desk.book([desk.draft("deposit", DAYS[3], gross="100")])
    desk.record(first=(9, 0))
    desk.restate()
    now = desk.points()
    assert {t: now[t] for t in was} == added(was, at(3, 0), total=100, cash=100, net_flow=100)
    assert {now[at(9, h)].total for h in HALVES} == {Decimal(9200) + 10 * price(9, h) for h in HALVES}


def test_in_another_currency_cash_counts_at_the_rate_of_each_day(database: object) -> None:
    """A euro portfolio: 10,000 and 9,100 dollars are at 1.25; 100 dollars more are 80.00 euros, and 62.50 from a rate of 1.60 on."""
    desk = Desk("EUR")
    with engine.jobs() as c:
        market.upsert_rates(c, [("USD", DAYS[5], Decimal("1.6"))], "test")
    desk.record()
    was = desk.points()
    assert was[at(0, 0)].total == Decimal(8080), "(9,100 + 1,000) ÷ 1.25"
    desk.book([desk.draft("deposit", DAYS[3], gross="100")])
    desk.restate()
    worth = lambda d, h: Decimal(80) if d < 5 else Decimal("62.5")  # noqa: E731
    assert desk.points() == added(was, at(3, 0), total=worth, cash=worth, net_flow=80)


def test_cash_whose_rate_comes_late_is_added_when_it_is_known(desk: Desk) -> None:
    was = desk.points()
    desk.book([desk.draft("deposit", DAYS[4], gross="300", currency="GBP")])
    desk.restate()
    gone = desk.points()
    assert gone[at(4, 0)] == was[at(4, 0)]._replace(complete=False), "no rate, no value: and it is said"
    with engine.jobs() as c:
        market.upsert_rates(c, [("GBP", DAYS[0], Decimal("0.75")), ("USD", DAYS[0], Decimal("1.25"))], "test")
        c.execute("UPDATE portfolios SET restate_from = %s", (DAYS[4],))
    desk.restate()
    assert desk.points() == added(was, at(4, 0), total=500, cash=500), "300 ÷ 0.75 × 1.25"
    with engine.jobs() as c:
        c.execute("UPDATE portfolios SET restate_from = %s", (DAYS[4],))
    desk.restate()
    assert desk.points() == added(was, at(4, 0), total=500, cash=500), "once"


def test_bookings_while_snapshots_are_taken_and_restated_count_once_each(database: object) -> None:
    desk = Desk()
    desk.record(upto=(7, 6))
    was, stop, failed = desk.points(), threading.Event(), []

    def bookings() -> None:
        try:
            for _ in range(12):
                desk.book([desk.draft("deposit", DAYS[2], gross="1")])
        except Exception as error:
            failed.append(error)

    def restating() -> None:
        try:
            while not stop.is_set():
                desk.restate()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=bookings), threading.Thread(target=bookings), threading.Thread(target=restating)]
    for t in threads:
        t.start()
    desk.record(first=(8, 0))
    for t in threads[:2]:
        t.join()
    stop.set()
    threads[2].join()
    assert not failed
    desk.restate()
    now = desk.points()
    assert {t: now[t] for t in was} == added(was, at(2, 0), total=24, cash=24, net_flow=24)
    assert [now[at(d, h)].total for d in (8, 9) for h in HALVES] == [
        Decimal(9124) + 10 * price(d, h) for d in (8, 9) for h in HALVES
    ]


# --- the law ---------------------------------------------------------------------------------------------------------------


entries = st.tuples(
    st.sampled_from(["deposit", "withdrawal", "buy ACME", "sell ACME", "buy DULL", "reverse"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 50_000).map(lambda n: Decimal(n) / 100),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=st.lists(st.lists(entries, min_size=1, max_size=3), min_size=1, max_size=4))
def test_no_point_is_ever_lost_and_each_says_what_it_said_plus_the_effect(desk: Desk, told: list[list[Any]]) -> None:
    """Random entries for random earlier days, in several bookings with a restatement after each. The prices are whole cents and the
    quantities whole, so every effect is exact: what it is at each point is added up here from the prices above."""
    was = desk.points()
    standing: list[tuple[UUID, Any]] = []

    def effect(entry: Any, day: int, half: int) -> Decimal:
        kind, on, quantity, amount = entry
        if day < on:
            return Decimal(0)
        sign = 1 if kind in ("deposit", "sell ACME") else -1
        cash = sign * (amount if kind in ("deposit", "withdrawal") else quantity * amount)
        worth = {"ACME": price(day, half), "DULL": dull(day if half == 6 else day - 1)}.get(kind[-4:], Decimal(0))
        return cash - sign * quantity * worth

    for some in told:
        earliest = 99
        for entry in some:
            kind, on, quantity, amount = entry
            if kind == "reverse":
                if not standing:
                    continue
                number, taken = standing.pop(0)
                try:
                    ledger.reverse(desk.anna, desk.portfolio, number)
                except ledger.LedgerError:  # a later sale needs its units
                    standing.append((number, taken))
                    continue
                earliest = min(earliest, taken[1])
                continue
            day = DAYS[on]
            draft = (
                desk.draft(kind, day, str(amount))
                if " " not in kind
                else desk.trade(kind[:-5], day, kind[-4:], str(quantity), str(amount))
            )
            try:
                (number,) = desk.book([draft])
            except ledger.LedgerError:  # more than is held
                continue
            standing.append((number, entry))
            earliest = min(earliest, on)
        before = desk.points()
        desk.restate()
        after = desk.points()
        assert after.keys() == before.keys()
        assert all(after[t] == p for t, p in before.items() if earliest == 99 or t < at(earliest, 0))
        for each in EVERY:
            assert after[at(*each)].total == was[at(*each)].total + sum(effect(e, *each) for _, e in standing), each
            assert after[at(*each)].total == after[at(*each)].cash + after[at(*each)].invested
    while standing:  # the next example begins where this one did
        for number, entry in list(standing):
            try:
                ledger.reverse(desk.anna, desk.portfolio, number)
            except ledger.LedgerError:
                continue
            standing.remove((number, entry))
    desk.restate()
    assert desk.points() == was


def test_an_installation_from_before_comes_along(server: Embedded) -> None:
    """Its points stand at the ledger of its last snapshot; closes that were rebuilt without positions are known as computed."""
    name = "before_snapshots"
    migrate.ensure_database(server.conninfo(dbname="postgres"), name)
    try:
        assert migrate.migrate(server.conninfo(dbname=name), to="0003")
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            user = c.execute(
                "INSERT INTO users (username, display_name) VALUES ('ann', 'Ann') RETURNING user_id"
            ).fetchone()[0]  # type: ignore[index]
            portfolio = c.execute(
                "INSERT INTO portfolios (name, base_currency, created_by, version) VALUES ('P', 'USD', %s, 2) RETURNING portfolio_id",
                (user,),
            ).fetchone()[0]  # type: ignore[index]
            for key in ("a", "b"):
                c.execute(
                    "INSERT INTO transactions (portfolio_id, kind, gross, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, "
                    "recorded_by) VALUES (%s, 'deposit', 1, 'USD', 1, 'USD', '2026-01-05', '2026-01-05', %s, 'test', %s)",
                    (portfolio, key, user),
                )
            c.execute("INSERT INTO holding_states VALUES (%s, 2, 2)", (portfolio,))
            c.execute(
                "INSERT INTO trading_sessions VALUES ('XNYS', '2026-01-05', '2026-01-05 14:30Z', '2026-01-05 21:00Z')"
            )
            for bucket in ("2026-01-05 20:00Z", "2026-01-05 21:00Z"):
                c.execute(
                    "INSERT INTO portfolio_snapshots VALUES (%s, %s, 12, 2, 10, 2, 1, true, '2')", (portfolio, bucket)
                )
        assert migrate.migrate(server.conninfo(dbname=name))
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            newest = c.execute("SELECT max(seq) FROM transactions").fetchone()
            assert c.execute("SELECT seq FROM holding_states").fetchone() == newest
            rows = c.execute(
                "SELECT bucket, total, computed, restated_at FROM portfolio_snapshots ORDER BY 1"
            ).fetchall()
            assert [r[1:] for r in rows] == [(Decimal(12), False, None), (Decimal(12), True, None)]
    finally:
        with psycopg.connect(server.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_symbol_change_that_was_booked_late_moves_the_units(desk: Desk) -> None:
    """From the sixth day on the ten ACME are ten DULL, at its close before and from noon on at that of the day."""
    was = desk.points()
    desk.book([Draft("symbol_change", DAYS[5], "USD", desk.security("ACME"), into=desk.security("DULL"))])
    desk.restate()
    worth = lambda d, h: 10 * (dull(d if h == 6 else d - 1) - price(d, h))  # noqa: E731
    assert desk.points() == added(was, at(5, 0), total=worth, invested=worth)
    assert {s for (t, s), row in desk.positions().items() if t >= at(5, 0) and row[0]} == {desk.ids["DULL"]}
