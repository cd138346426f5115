"""Laws that hold on every ledger, tried on random ones: cost is conserved, units do not depend on the method, deposits do not
move the return, start + flows + gain = end on every day, weights sum to 1, an import is idempotent in its keys."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import importing
from core.book import Book, Portfolio
from core.booking import derive
from core.fx import Rates, Series, day_number
from core.ledger import CODE, Draft, Posting, Security, from_postings, post
from core.lots import share
from core.scope import Scope
from core.table import Context
from core.view import View

FIRST, DAYS = date(2024, 1, 1), 40
SECURITIES = [
    Security(1, "AAA", "A", "XNYS", "USD", "Equity", "Energy", None, "US"),
    Security(2, "BBB", "B", "XETR", "EUR", "Equity"),
]
RATES = Rates(
    {
        "USD": Series(
            np.array([day_number(FIRST) + i for i in range(DAYS)], np.int32), np.linspace(1.05, 1.15, DAYS).round(4)
        )
    }
)
LAW = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

cents = st.integers(1, 500_00).map(lambda n: Decimal(n) / 100)


@st.composite
def ledgers(draw: st.DrawFn) -> list[Posting]:
    """A funded ledger that never oversells: buys, sales of a part or all of what is held, splits, income, costs, flows."""
    held = {1: Decimal(0), 2: Decimal(0)}
    out = [post(Draft("deposit", FIRST, "EUR", gross=Decimal(100_000)), "EUR", FIRST, FIRST)]
    today = FIRST + timedelta(days=DAYS)
    for day in sorted(draw(st.lists(st.integers(1, DAYS - 1), max_size=25))):
        on = FIRST + timedelta(days=day)
        security = draw(st.sampled_from(SECURITIES))
        kind = draw(
            st.sampled_from(["buy", "buy", "sell", "dividend", "fee", "interest", "deposit", "withdrawal", "split"])
        )
        fees = draw(st.sampled_from([Decimal(0), Decimal("1.37")]))
        fx = draw(st.sampled_from([None, Decimal("0.93")])) if security.currency == "USD" else None
        if kind == "buy":
            quantity = Decimal(draw(st.integers(1, 90_000))) / 1000
            draft = Draft(kind, on, security.currency, security, quantity, draw(cents), fees=fees, fx=fx)
            held[security.security_id] += quantity
        elif kind == "sell":
            quantity = (held[security.security_id] * draw(st.sampled_from([1, 2, 3, 7])) / 7).quantize(Decimal("0.001"))
            if not 0 < quantity <= held[security.security_id] or any(
                p.kind == "split" and p.traded_on == on for p in out
            ):
                continue
            draft = Draft(kind, on, security.currency, security, quantity, draw(cents), fees=fees, fx=fx)
            held[security.security_id] -= quantity
        elif kind == "split":
            if any(p.traded_on == on for p in out):  # splits come first on their day, so keep the day to itself
                continue
            draft = Draft(kind, on, security.currency, security, ratio=Decimal(2))
            held[security.security_id] *= 2
        elif kind == "dividend":
            draft = Draft(kind, on, security.currency, security, gross=draw(cents))
        else:
            draft = Draft(kind, on, "EUR", gross=draw(cents))
        out.append(post(draft, "EUR", on, today))
    return out


def book_of(postings: list[Posting], method: str = "fifo") -> Book:
    days = np.array([day_number(FIRST) + i for i in range(DAYS)], np.int32)
    wave = 100 + 10 * np.sin(np.arange(DAYS) / 5)
    prices = {1: Series(days, wave.round(2)), 2: Series(days, (wave[::-1] / 2).round(2))}
    return Book(Portfolio(uuid4(), "law", "EUR", None, method), from_postings(postings), {s.security_id: s for s in SECURITIES},
                prices, RATES, {}, "1")  # fmt: skip


def view_of(book: Book, day: int = DAYS - 1) -> View:
    on = FIRST + timedelta(days=day)
    return View(book, Scope(book.portfolio.portfolio_id, as_of=on), {}, datetime(2030, 1, 1, tzinfo=UTC))


@LAW
@given(ledgers(), st.sampled_from(["fifo", "average"]))
def test_cost_in_is_cost_sold_plus_cost_held(postings: list[Posting], method: str) -> None:
    ledger = from_postings(postings)
    lots = derive(ledger, (method,), ("EUR",), RATES)
    for number in (1, 2):
        bought = ledger.kind == CODE["buy"]
        mine = bought & (ledger.security == number)
        paid = int((ledger.gross + ledger.fees + ledger.taxes)[mine].sum())
        held = sum(lot.cost for lot in lots.open if lot.security == number)
        sold = sum(d.cost for d in lots.disposals if d.security == number)
        assert paid == held + sold
        proceeds = (ledger.kind == CODE["sell"]) & (ledger.security == number)
        assert sum(d.proceeds for d in lots.disposals if d.security == number) == int(
            (ledger.gross - ledger.fees - ledger.taxes)[proceeds].sum()
        )


@LAW
@given(ledgers())
def test_units_left_do_not_depend_on_the_method(postings: list[Posting]) -> None:
    ledger = from_postings(postings)
    left = [Counter() for _ in range(2)]
    for i, method in enumerate(("fifo", "average")):
        for lot in derive(ledger, (method,), ("EUR",), RATES).open:
            assert lot.units > 0
            left[i][lot.security] += lot.units
    assert left[0] == left[1]


@LAW
@given(ledgers(), st.integers(1, DAYS - 1), st.integers(1, 5_000_00))
def test_a_deposit_leaves_the_gain_of_every_day_unchanged(postings: list[Posting], day: int, amount: int) -> None:
    on = FIRST + timedelta(days=day)
    more = [*postings, post(Draft("deposit", on, "EUR", gross=Decimal(amount) / 100), "EUR", on, on)]
    plain, fed = view_of(book_of(postings)), view_of(book_of(more))

    def gains(v: View) -> dict[int, float]:
        flows = v.past.inflow - v.past.outflow
        steps = np.diff(np.concatenate([[0.0], v.total])) - flows
        return dict(zip(v.days.tolist(), steps.tolist(), strict=True))

    a, b = gains(plain), gains(fed)
    assert all(a[d] == pytest.approx(b[d], abs=0.011) for d in a)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1))
def test_start_plus_flows_plus_gain_is_end(postings: list[Posting], day: int) -> None:
    v = view_of(book_of(postings), day)
    for period in ("1D", "1W", "1M", "ALL"):
        span = v.span(period)
        if hasattr(span, "gain"):
            assert span.start_value + span.net_flow + span.gain == pytest.approx(span.end_value, abs=1e-6)
            assert span.end_value == pytest.approx(float(v.valuation.total), abs=1e-9)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1))
def test_the_daily_series_is_the_valuation_of_each_day(postings: list[Posting], day: int) -> None:
    """The float series and the exact valuation are two ways to the same number."""
    whole = view_of(book_of(postings))
    then = view_of(book_of(postings), day)
    i = int(np.searchsorted(whole.days, then.as_of))
    assert whole.past.total[i] == pytest.approx(float(then.valuation.total), abs=0.006)
    assert whole.past.cash[i] == pytest.approx(float(then.valuation.cash_base), abs=0.006)


@LAW
@given(ledgers(), st.sampled_from(["asset_class", "sector", "country", "currency"]))
def test_weights_sum_to_one(postings: list[Posting], by: str) -> None:
    from dataclasses import replace

    from core.reports import REPORTS

    v = view_of(book_of(postings))
    v.scope = replace(v.scope, by=by)
    table = REPORTS["allocation"].table(Context(v.on, "EUR", "1"), view=v)
    if v.valuation.total > 1:
        assert sum(table.column("weight")) == pytest.approx(1.0, abs=1e-4)


@given(
    st.integers(-(10**15), 10**15),
    st.integers(1, 10**12),
    st.integers(1, 10**12),
    st.sampled_from([1, 10_000, 1_000_000]),
)
def test_a_share_is_the_nearest_multiple(amount: int, part: int, whole: int, unit: int) -> None:
    got = share(amount, part, whole, unit)
    assert got % unit == 0
    assert abs(got * whole - amount * part) * 2 <= unit * whole


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=20))
def test_import_keys_are_stable_and_tell_true_duplicates_apart(rows: list[tuple[str, ...]]) -> None:
    keys = list(importing.keys(iter(rows)))
    assert len(set(keys)) == len(rows)
    assert keys == list(importing.keys(iter(rows)))
    assert keys[:-1] == list(importing.keys(iter(rows[:-1])))
