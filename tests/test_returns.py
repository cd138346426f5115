"""Returns: worked examples, undefined cases, and laws."""

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import returns as r
from core.reasons import (
    NegativeBase,
    NoSignChange,
    NoTimeBetween,
    Reason,
    ShorterHistory,
    ShorterThanAYear,
    TooFewObservations,
)

day_returns = st.lists(st.integers(-3000, 3000).map(lambda bp: bp / 10_000), min_size=1, max_size=40)
amounts = st.integers(0, 100_000).map(lambda cents: cents / 100)


def run(moves: list[float], inflows: list[float], outflow_shares: list[float]) -> tuple[list[float], list[float]]:
    """A portfolio that earns `moves`: inflows before the day, a share of the value taken out at its end."""
    value, values, outflows = 0.0, [], []
    for move, into, out in zip(moves, inflows, outflow_shares, strict=True):
        grown = (value + into) * (1 + move)
        outflows.append(grown * out)
        value = grown - outflows[-1]
        values.append(value)
    return values, outflows


# --- time-weighted ----------------------------------------------------------------------------------------------


@given(day_returns, st.data())
def test_deposits_and_withdrawals_do_not_change_the_time_weighted_return(moves: list[float], data: Any) -> None:
    n = len(moves)
    inflows = [100.0, *data.draw(st.lists(amounts, min_size=n - 1, max_size=n - 1))]
    shares = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5]), min_size=n, max_size=n))
    values, outflows = run(moves, inflows, shares)
    assert r.daily_returns(values, inflows, outflows) == pytest.approx(moves, abs=1e-9)
    assert r.twr(values, inflows, outflows) == pytest.approx(r.link(moves), rel=1e-9, abs=1e-9)


@given(day_returns, st.integers(0, 40))
def test_the_link_of_the_parts_is_the_link_of_the_whole(moves: list[float], cut: int) -> None:
    parts = [r.link(moves[:cut]), r.link(moves[cut:])]
    assert r.link(parts) == pytest.approx(r.link(moves), abs=1e-12)
    assert r.growth(moves)[-1] == pytest.approx(1 + r.link(moves))
    assert r.growth(moves)[0] == 1
    assert len(r.growth(moves)) == len(moves) + 1


@given(day_returns, st.sampled_from(["W", "M", "Q", "Y"]), st.integers(0, 1000))
def test_the_link_of_the_periods_is_the_link_of_the_days(moves: list[float], to: Any, offset: int) -> None:
    dates = [date(2023, 1, 1) + timedelta(days=offset + 9 * i) for i in range(len(moves))]
    starts, linked = r.aggregate(dates, moves, to)
    assert r.link(linked) == pytest.approx(r.link(moves), abs=1e-12)
    assert (starts[1:] > starts[:-1]).all()
    table = r.monthly(dates, moves)
    assert r.link(table.totals) == pytest.approx(r.link(moves), abs=1e-12)
    assert r.link(table.months.ravel()) == pytest.approx(r.link(moves), abs=1e-12)


@given(day_returns, st.data())
def test_a_day_without_a_valuation_loses_nothing(moves: list[float], data: Any) -> None:
    values, _ = run(moves, [100.0] + [0.0] * (len(moves) - 1), [0.0] * len(moves))
    holes = data.draw(st.lists(st.booleans(), min_size=len(moves), max_size=len(moves)))
    holes[-1] = False
    seen = np.where(holes, np.nan, values)
    inflows = np.zeros(len(moves))
    inflows[0] = 100.0
    daily = r.daily_returns(seen, inflows)
    assert np.isnan(daily).tolist() == holes
    assert r.link(daily) == pytest.approx(r.link(moves), abs=1e-9)


def test_inflows_count_from_the_start_and_outflows_until_the_end_of_the_day() -> None:
    # (110 + 0) / (0 + 100) - 1 = 10 %; (100 + 21) / (110 + 0) - 1 = 10 %; (165 + 0) / (100 + 50) - 1 = 10 %
    daily = r.daily_returns([110, 100, 165], [100, 0, 50], [0, 21, 0])
    assert daily == pytest.approx([0.1, 0.1, 0.1])


def test_an_empty_portfolio_has_no_return_until_money_comes_back() -> None:
    daily = r.daily_returns([110, 0, 0, 51], [100, 0, 0, 50], [0, 110, 0, 0])
    assert daily == pytest.approx([0.1, 0.0, math.nan, 0.02], nan_ok=True)


def test_undefined_time_weighted_returns_say_why() -> None:
    assert r.twr([0, 0]) == TooFewObservations(0, 1)
    assert r.twr([]) == TooFewObservations(0, 1)
    assert r.twr([100, -5], [100, 0]) == NegativeBase()
    assert r.twr([121], opening=110.0) == pytest.approx(0.1)


def test_simple_and_log_returns_leave_gaps_undefined() -> None:
    assert r.simple_returns([100, 110, None, 99, 0, 5]) == pytest.approx(
        [0.1, math.nan, math.nan, -1, math.nan], nan_ok=True
    )
    assert r.log_returns([1, math.e, 0]) == pytest.approx([1, math.nan], nan_ok=True)
    assert r.simple_returns([5]).size == 0
    assert r.simple_returns([[1, 10], [2, 5]]).tolist() == [[1, -0.5]]


def test_annualising_takes_a_year() -> None:
    assert r.annualised(0.05, 364) == ShorterThanAYear(364)
    assert r.annualised(0.05, 365) == pytest.approx(0.05)
    assert r.annualised(0.21, 730) == pytest.approx(0.10)
    assert r.annualised(-1.0, 730) == -1
    assert r.annualised(-1.5, 730) == NegativeBase()


# --- calendar ---------------------------------------------------------------------------------------------------


def test_the_month_table() -> None:
    dates = ["2023-12-29", "2024-01-02", "2024-01-31", "2024-03-01"]
    table = r.monthly(dates, [0.01, 0.10, 0.10, -0.5])
    assert table.years == (2023, 2024)
    assert table.months[0, 11] == pytest.approx(0.01)
    assert table.months[1, :3] == pytest.approx([0.21, math.nan, -0.5], nan_ok=True)
    assert table.totals == pytest.approx([0.01, 1.21 * 0.5 - 1])
    assert r.monthly([], []).years == ()


def test_weeks_begin_on_monday() -> None:
    starts, linked = r.aggregate(["2024-01-05", "2024-01-07", "2024-01-08"], [0.1, 0.1, 0.2], "W")
    assert [str(s) for s in starts] == ["2024-01-01", "2024-01-08"]
    assert linked == pytest.approx([0.21, 0.2])


def test_a_period_of_nothing_known_is_unknown() -> None:
    _, linked = r.aggregate(["2024-01-05", "2024-02-05"], [math.nan, 0.1], "M")
    assert linked == pytest.approx([math.nan, 0.1], nan_ok=True)


@pytest.mark.parametrize(
    ("period", "base"),
    [
        ("day", "2024-02-28"),
        ("1W", "2024-02-22"),
        ("1M", "2024-01-29"),
        ("3M", "2023-11-29"),
        ("6M", "2023-08-29"),
        ("MTD", "2024-01-31"),
        ("QTD", "2023-12-31"),
        ("YTD", "2023-12-31"),
        ("1Y", "2023-02-28"),
        ("3Y", "2021-02-28"),
        ("5Y", "2019-02-28"),
        ("inception", "2015-06-01"),
    ],
)
def test_the_base_of_a_period(period: Any, base: str) -> None:
    assert r.period_start(date(2024, 2, 29), period, date(2015, 6, 1)) == date.fromisoformat(base)


@given(st.dates(date(1990, 1, 1), date(2050, 12, 31)), st.sampled_from(r.PERIODS))
def test_every_period_begins_before_today(as_of: date, period: Any) -> None:
    assert r.period_start(as_of, period, date(1980, 1, 1)) < as_of


def test_the_return_of_a_period_starts_from_the_last_value_before_it() -> None:
    dates = ["2023-12-29", "2024-01-02", "2024-01-31"]
    assert r.period_return(dates, [100, 110, 121], "YTD") == pytest.approx(0.21)
    assert r.period_return(dates, [100, 110, 121], "1Y") == ShorterHistory(date(2023, 12, 29), date(2023, 1, 31))
    assert r.period_return(dates, [100, 110, 121], "1Y", or_since_start=True) == pytest.approx(0.21)
    assert r.period_return([], [], "1Y") == TooFewObservations(0, 1)
    assert r.period_return(dates, [100, 110, 121], "day", as_of=date(2024, 1, 2)) == pytest.approx(0.1)


# --- money-weighted ---------------------------------------------------------------------------------------------


def test_xirr_of_the_spreadsheet_manual() -> None:
    """Microsoft's documentation of XIRR."""
    dates = ["2008-01-01", "2008-03-01", "2008-10-30", "2009-02-15", "2009-04-01"]
    assert r.xirr(dates, [-10000, 2750, 4250, 3250, 2750]) == pytest.approx(0.373362535, abs=1e-8)


def test_undefined_money_weighted_returns_say_why() -> None:
    assert r.xirr([], []) == TooFewObservations(0, 2)
    assert r.xirr(["2024-01-01", "2024-06-01"], [-100, -5]) == NoSignChange()
    assert r.xirr(["2024-01-01", "2024-01-01"], [-100, 110]) == NoTimeBetween()
    assert r.xirr(["2024-01-01", "2024-06-01"], [-100, 0]) == TooFewObservations(1, 2)


@given(st.integers(-99, 400), st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 10_000)), min_size=1, max_size=8))
def test_xirr_finds_the_rate_that_made_the_flows(percent: int, deposits: list[tuple[int, int]]) -> None:
    rate = percent / 100
    end = max(day for day, _ in deposits) + 30
    closing = sum(amount * (1 + rate) ** ((end - day) / 365) for day, amount in deposits)
    dates = [date(2010, 1, 1) + timedelta(days=day) for day in [*(day for day, _ in deposits), end]]
    found = r.xirr(dates, [*(-amount for _, amount in deposits), closing])
    assert found == pytest.approx(rate, abs=1e-6, rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(-10_000, 10_000)), max_size=10))
def test_xirr_is_a_root_or_a_reason_never_nan(flows: list[tuple[int, int]]) -> None:
    dates = [date(2010, 1, 1) + timedelta(days=day) for day, _ in flows]
    found = r.xirr(dates, [amount for _, amount in flows])
    if isinstance(found, Reason):
        return
    assert math.isfinite(found)
    assert found > -1
    used = [(day, amount) for day, amount in flows if amount]
    terms = [amount * math.exp(-(day - used[0][0]) / 365 * math.log1p(found)) for day, amount in used]
    assert abs(math.fsum(terms)) <= 1e-5 * math.fsum(abs(t) for t in terms)


def test_modified_dietz() -> None:
    # gain 300 - 100 - 50 = 150 over 100 + 50 × (2 - 1) / 2 = 125
    assert r.modified_dietz(100, 300, [(1, 50)], 2) == pytest.approx(1.2)
    assert r.modified_dietz(0, 10, [], 5) == NegativeBase()
    assert r.modified_dietz(100, 110, [], 0) == NoTimeBetween()


def test_the_measures_of_bacons_example() -> None:
    """Bacon, Practical Portfolio Performance Measurement and Attribution, chapter 2: January from 74.2 to 104.4 million with
    37.1 coming in on the 14th, when the portfolio was worth 67.0 before it.

    Time-weighted 67.0 / 74.2 × 104.4 / (67.0 + 37.1) − 1 = −9.44 %. Modified Dietz with the flow at the end of its day
    −6.9 / (74.2 + 17 / 31 × 37.1) = −7.30 %, from the start of its day −6.9 / (74.2 + 18 / 31 × 37.1) = −7.21 %. Money-weighted
    74.2 (1 + r) + 37.1 (1 + r)^(17/31) = 104.4: r = −7.27 % (68.805 + 35.595); with the flow in the middle, −7.41 %.
    """
    assert r.modified_dietz(74.2, 104.4, [(14, 37.1)], 31) == pytest.approx(-0.0730, abs=5e-5)
    assert r.modified_dietz(74.2, 104.4, r.timed([(14, 37.1)], []), 31) == pytest.approx(-0.0721, abs=5e-5)
    assert r.money_weighted(74.2, 104.4, [(14, 37.1)], 31) == pytest.approx(-0.0727, abs=5e-5)
    assert r.money_weighted(74.2, 104.4, [(15.5, 37.1)], 31) == pytest.approx(-0.0741, abs=5e-5)
    assert r.twr([67.0, 104.4], [0, 37.1], opening=74.2) == pytest.approx(-0.0944, abs=5e-5)


def test_outflows_of_a_day_work_until_its_end() -> None:
    """100 over 10 days, 40 leave on day 4: there for 4 days of 10, so 100 − 40 × 6 / 10 = 76 on average; 3.8 / 76 = 5 %."""
    assert r.average_capital(100, r.timed([], [(4, 40)]), 10) == pytest.approx(76)
    assert r.modified_dietz(100, 63.8, r.timed([], [(4, 40)]), 10) == pytest.approx(0.05)
    assert r.timed([(1, 5)], [(1, 5)]) == [(0, 5), (1, -5)]


def test_the_money_weighted_return_carries_the_spreadsheets_xirr() -> None:
    """Microsoft's documentation of XIRR, 37.3362535 % a year over 456 days, seen as a period: 10,000 come in at its start, three
    amounts are taken out, 2,750 are there at its end."""
    found = r.money_weighted(10_000, 2750, [(60, -2750), (303, -4250), (411, -3250)], 456)
    assert found == pytest.approx(1.373362535 ** (456 / 365) - 1, abs=1e-8)
    assert r.annualised(found, 456) == pytest.approx(0.373362535, abs=1e-8)  # type: ignore[arg-type]


def test_money_at_work_for_part_of_the_period_counts_for_that_part() -> None:
    """50 bought on day 300 of 400 are 60 ten days later, sold: +20 %, in ten days and not more often."""
    assert r.money_weighted(0, 0, [(300, 50), (310, -60)], 400) == pytest.approx(0.2)
    assert r.at_work(0, 0, [(300, 50), (310, -60)], 400) == (300, 310)
    assert r.at_work(0, 0, [], 400) == (0, 0)


def test_a_money_weighted_return_that_is_undefined_says_why() -> None:
    assert r.money_weighted(0, 0, [], 30) == TooFewObservations(0, 2)
    assert r.money_weighted(100, 0, [], 30) == -1  # all of it lost
    assert r.money_weighted(100, 0, [(3, 50)], 30) == -1
    assert r.money_weighted(0, 100, [(30, 90)], 30) == NoTimeBetween()
    assert r.money_weighted(-5, 100, [(3, 90)], 30) == NegativeBase()
    assert r.money_weighted(100, 110, [(30, 10)], 30) == pytest.approx(0, abs=1e-12)
    assert r.money_weighted(0, 100, [(3, 100), (5, 20), (5, -20)], 30) == pytest.approx(0, abs=1e-12)


@settings(max_examples=1000)
@given(
    st.integers(1, 1500),
    amounts,
    st.integers(-90, 300),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 10_000)), max_size=6),
)
def test_the_money_weighted_return_is_the_rate_that_money_grew_at(
    days: int, start: float, percent: int, flows: list[tuple[int, int]]
) -> None:
    total = percent / 100
    flows = [(min(day, days - 1), amount) for day, amount in flows]
    first = 0 if start else min((day for day, _ in flows), default=0)
    if not start and not flows:
        return
    grown = lambda day: (1 + total) ** ((days - day) / (days - first))  # noqa: E731
    end = start * grown(0) + math.fsum(amount * grown(day) for day, amount in flows)
    assert r.money_weighted(start, end, flows, days) == pytest.approx(total, abs=1e-6, rel=1e-6)


@settings(max_examples=1000)
@given(amounts, amounts, st.integers(1, 4000))
def test_without_flows_money_weighted_and_modified_dietz_are_the_return(start: float, end: float, days: int) -> None:
    if start < 0.01 or end < 0.01:
        return
    assert r.modified_dietz(start, end, [], days) == pytest.approx(end / start - 1, rel=1e-9, abs=1e-9)
    if 1e-4 < end / start < 1e4:
        assert r.money_weighted(start, end, [], days) == pytest.approx(end / start - 1, rel=1e-6, abs=1e-9)


def test_every_reason_is_a_plain_sentence() -> None:
    from core import reasons

    samples = [
        reasons.TooFewObservations(3, 100),
        reasons.NoPrice("ACME", date(2024, 1, 1)),
        reasons.NoRate("USD", date(2024, 1, 1)),
        reasons.NoBenchmark(),
        reasons.NoInput("risk_free"),
        reasons.ShorterThanAYear(20),
        reasons.IncompleteValuation(0.5, 0.98),
        reasons.NotRecovered(),
    ]
    assert [str(s) for s in samples] == [
        "too few observations: 3, at least 100 are needed",
        "no price for ACME since 2024-01-01",
        "no exchange rate for USD on 2024-01-01",
        "no benchmark is set",
        "no risk free given",
        "not annualised: 20 days are less than a year",
        "only 50.0% of the portfolio is priced, 98.0% are needed",
        "not recovered yet",
    ]
