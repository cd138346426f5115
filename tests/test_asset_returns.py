"""The series of a security on prices made by hand: splits, dividends, a foreign currency, holes, a short, a closed position."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.asset_returns import asset_series
from core.book import Action, Book, Portfolio, Quote
from core.calendar import Sessions
from core.fx import Rates, Series, day_number, day_of
from core.ledger import Draft, Security, from_postings, post
from core.prices import shown_on, splits_of
from core.reasons import ShorterHistory, SpansHole, TooFewObservations
from core.reports import REPORTS
from core.scope import Scope
from core.table import Context, Table
from core.view import View

ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity", "Information Technology", None, "US")
WIDE = Security(2, "WIDE", "Wide", "XNYS", "USD", "Fund")
COIN = Security(3, "COIN", "Coin", "BTC", "USD", "Crypto")
FIRST = date(2025, 1, 6)  # a Monday
MANY = [FIRST + timedelta(days=i) for i in range(400) if (FIRST + timedelta(days=i)).weekday() < 5]


def calendar(days: list[date]) -> Sessions:
    stamps = np.array([day_number(d) for d in days], np.int32)
    return Sessions("XNYS", "America/New_York", stamps, stamps.astype(np.int64) * 86_400 + 52_200, stamps.astype(np.int64) * 86_400 + 75_600)


def series(closes: dict[date, float]) -> Series:
    return Series(np.array([day_number(d) for d in closes], np.int32), np.array(list(closes.values()), float))


def book(
    drafts: list[Draft], prices: dict[int, dict[date, float]], actions: dict[int, tuple[Action, ...]] | None = None,
    base: str = "USD", benchmark: int | None = None, rates: Rates | None = None, days: list[date] = MANY,
) -> Book:  # fmt: skip
    later = date(2031, 1, 1)
    order = sorted(drafts, key=lambda d: (d.traded_on, d.kind != "split"))
    return Book(Portfolio(uuid4(), "by hand", base, benchmark, "fifo"), from_postings([post(d, base, d.traded_on, later) for d in order]),
                {s.security_id: s for s in (ACME, WIDE, COIN)}, {n: series(c) for n, c in prices.items()}, rates or Rates({}),
                {"XNYS": calendar(days)}, "1", actions=actions or {})  # fmt: skip


def view(of: Book, on: date, quotes: dict[int, Quote] | None = None, now: datetime | None = None, **scope: Any) -> View:
    asked = Scope(of.portfolio.portfolio_id, as_of=None if now else on, **scope)
    return View(of, asked, quotes or {}, now or datetime.combine(on + timedelta(days=5), datetime.min.time(), UTC))


def table(v: View, name: str) -> Table:
    return REPORTS[name].table(Context(v.on, v.base, "1"), view=v)


def buy(on: date, units: float, price: float, security: Security = ACME) -> Draft:
    return Draft("buy", on, security.currency, security, Decimal(str(units)), Decimal(str(price)))


def deposit(on: date, amount: float, currency: str = "USD") -> Draft:
    return Draft("deposit", on, currency, gross=Decimal(str(amount)))


def wave(n: int, seed: int = 7) -> np.ndarray:
    return 100 * np.cumprod(1 + np.random.default_rng(seed).normal(0.0004, 0.012, n))


# --- A: splits, dividends, currencies --------------------------------------------------------------


def test_a_split_is_no_move_of_the_day() -> None:
    """800 after 4:1, 124.8075 of the day before in today's units: +4.2325 × 800."""
    days = MANY[:30]
    prices = {d: 499.23 if d < days[20] else 129.04 for d in days}
    booked = [deposit(FIRST, 200_000), buy(FIRST, 200, 499.23), Draft("split", days[20], "USD", ACME, ratio=Fraction(4))]
    v = view(book(booked, {1: prices}), days[20])
    assert table(v, "movers").rows == ((("ACME", "Acme", Decimal("129.04"), pytest.approx(129.04 / 124.8075 - 1), Decimal("3386.00"))),)
    assert table(v, "holdings").column("day_change") == [pytest.approx(129.04 / 124.8075 - 1)]
    assert table(v, "allocation").column("day_change")[0] == pytest.approx(129.04 / 124.8075 - 1)


def test_a_benchmark_that_splits_returns_what_it_returned() -> None:
    days = MANY[:80]
    flat = {d: 30.0 if d < days[40] else 10.0 for d in days}
    held = dict.fromkeys(days, 50.0)
    split = Action(2, "split", days[40], ratio=Fraction(3))
    v = view(book([deposit(days[1], 1000), buy(days[1], 10, 50)], {1: held, 2: flat}, {2: (split,)}, benchmark=2), days[-1], period="ALL")
    assert v.span("ALL").benchmark == pytest.approx(0, abs=1e-12)
    assert table(v, "growth").column("benchmark")[-1] == pytest.approx(1)


@pytest.mark.parametrize("booked", [True, False])
def test_a_benchmark_counts_its_dividends_where_they_are_known(booked: bool) -> None:
    """All of the money in the benchmark, its dividends taken in cash: no alpha, no active return but the cash that lies idle."""
    days, level = MANY[:200], wave(200)
    level[0] = level[1]  # nothing happens before the first purchase
    closes, paid = {}, []
    for i, d in enumerate(days):
        level[i:] *= 0.99 if i in (60, 120, 180) else 1.0
        closes[d] = float(level[i])
        if i in (60, 120, 180):
            paid.append((d, float(level[i - 1]) / 100))
    price = round(closes[days[1]], 4)
    entries = [deposit(days[1], round(price * 100, 2)), buy(days[1], 100, price, WIDE)]
    actions = tuple(Action(2, "dividend", d, None, Decimal(repr(x)), "USD") for d, x in paid)
    entries += [Draft("dividend", d, "USD", WIDE, gross=Decimal(repr(round(x * 100, 2)))) for d, x in paid]
    v = view(book(entries, {2: closes}, {} if booked else {2: actions}, benchmark=2), days[-1], period="ALL", lookback="ALL")
    assert v.benchmark_name == "WIDE, total return"
    assert v.span("ALL").active == pytest.approx(0, abs=0.005)  # the cash beside it, and the move before the first purchase
    figures = {f.key: f.value for f in table(v, "risk").figures}
    assert figures["alpha"] == pytest.approx(0, abs=0.004)
    assert figures["beta"] == pytest.approx(1, abs=0.03)


def test_a_benchmark_without_known_dividends_says_that_it_is_a_price_return() -> None:
    days = MANY[:30]
    v = view(book([deposit(FIRST, 1000), buy(FIRST, 10, 50)], {1: dict.fromkeys(days, 50.0), 2: dict.fromkeys(days, 9.0)}, benchmark=2), days[-1])
    assert "Benchmark: WIDE, price return, in USD." in table(v, "risk").notes
    assert any("price return" in note for note in table(v, "performance").notes)


def test_beta_has_both_sides_in_one_currency() -> None:
    """A US share against a US benchmark in a portfolio in euros: both in euros."""
    days, a, b = MANY[:280], wave(280, 1), wave(280, 2)
    fx = (1.1 * np.cumprod(1 + np.random.default_rng(3).normal(0, 0.006, 280))).round(6)
    rates = Rates({"USD": series(dict(zip(days, fx.tolist(), strict=True)))})
    prices = {1: dict(zip(days, a.tolist(), strict=True)), 2: dict(zip(days, b.tolist(), strict=True))}
    v = view(book([deposit(FIRST, 10_000, "EUR"), buy(days[1], 10, 100)], prices, base="EUR", benchmark=2, rates=rates), days[-1], lookback="ALL")
    x, y = a / fx, b / fx
    r, m = x[1:] / x[:-1] - 1, y[1:] / y[:-1] - 1
    (row,) = table(v, "risk_by_security").records()
    assert row["beta"] == pytest.approx(np.cov(r, m)[0, 1] / m.var(ddof=1), rel=1e-9)


def test_risk_of_a_security_does_not_depend_on_when_it_was_bought() -> None:
    days, level = MANY[:280], wave(280)
    closes = dict(zip(days, level.tolist(), strict=True))
    r = level[1:] / level[:-1] - 1
    base = max(i for i, d in enumerate(days) if d <= date(days[-1].year - 1, days[-1].month, days[-1].day))
    found = []
    for start in (5, 200, 270):
        v = view(book([deposit(days[start], 5000), buy(days[start], 10, 100)], {1: closes}), days[-1])
        (row,) = table(v, "risk_by_security").records()
        found.append(row)
        assert row["volatility"] == pytest.approx(r[base:].std(ddof=1) * np.sqrt(252), rel=1e-12)
        assert row["var_95"] == pytest.approx(-np.quantile(r[-252:], 0.05), rel=1e-12)
    assert found[0]["category"] == found[2]["category"] == "medium"


def test_the_portfolio_of_a_fortnight_says_so() -> None:
    days = MANY[:11]
    closes = dict(zip(days, wave(11).tolist(), strict=True))
    v = view(book([deposit(FIRST, 5000), buy(FIRST, 10, 100)], {1: closes}), days[-1])
    figures = {f.key: f for f in table(v, "risk").figures}
    for key in ("volatility", "sharpe", "sortino"):
        assert (figures[key].value, figures[key].reason) == (None, str(TooFewObservations(11, 20)))
    assert any("longer than the history" in note for note in table(v, "risk").notes)


def test_an_old_price_has_not_moved_today() -> None:
    days = MANY[:40]
    closes = {d: 100.0 + i for i, d in enumerate(days[:30])}
    v = view(book([deposit(FIRST, 50_000), buy(FIRST, 100, 100)], {1: closes}), days[39])
    found = table(v, "movers")
    assert found.rows == ()
    assert found.notes == (f"ACME: price carried forward since {days[29]}.",)
    assert table(v, "holdings").column("day_change") == [None]
    assert table(v, "allocation").column("day_change")[0] == 0
    assert v.span("1D").gain == 0


def test_a_quote_on_the_day_of_a_split_knows_the_close_before_in_its_own_units() -> None:
    days = MANY[:30]
    closes = dict.fromkeys(days[:29], 400.0)
    split = Action(1, "split", days[29], ratio=Fraction(4))
    booked = [deposit(FIRST, 50_000), buy(FIRST, 100, 400), Draft("split", days[29], "USD", ACME, ratio=Fraction(4))]
    now = datetime.combine(days[29], datetime.min.time(), UTC) + timedelta(hours=18)
    for before in (Decimal(400), Decimal(100), None):  # feeds say it raw, or divided already, or not at all
        quote = Quote(Decimal(101), before, "regular", "test", now)
        v = view(book(booked, {1: closes}, {1: (split,)}), days[29], {1: quote}, now)
        assert table(v, "movers").column("day_change") == [pytest.approx(0.01)]
        assert table(v, "movers").column("contribution") == [Decimal("400.00")]


def test_a_split_that_is_said_twice_or_a_day_off_counts_once_where_the_closes_show_it() -> None:
    days = MANY[:20]
    closes = {d: 700.0 if d < days[10] else 100.0 for d in days}
    twice = (Action(1, "split", days[9], ratio=Fraction(7)), Action(1, "split", days[10], ratio=Fraction(7)))
    for actions in (twice, twice[:1], twice[1:]):
        of = book([deposit(FIRST, 1000)], {1: closes}, {1: actions})
        assert splits_of(of, 1) == {day_number(days[10]): 7.0}
        assert asset_series(of, 1).total == pytest.approx(np.ones(20))
    assert shown_on(None, 5, 7.0) == 5


LAW = settings(max_examples=1000, deadline=None)


@pytest.mark.timeout(900)
@LAW
@given(
    st.integers(1, 58), st.sampled_from([(2, 1), (3, 1), (4, 1), (7, 1), (1, 3), (1, 10), (3, 2), (20, 1)]), st.sampled_from(["booked", "known", "both"]),
    st.integers(0, 59), st.sampled_from([1, 17, -17]), st.sampled_from(["USD", "EUR"]), st.integers(0, 2**16),
)  # fmt: skip
def test_a_split_moves_nothing(at: int, ratio: tuple[int, int], where: str, on: int, sign: int, base: str, seed: int) -> None:
    """On any security, a split booked or known at any day changes no return, no risk figure and no total."""
    days, level, n = MANY[:60], wave(60, seed), ratio[0] / ratio[1]
    fx = Rates({"USD": series(dict(zip(days, (1.1 + 0.05 * np.sin(np.arange(60) / 7)).tolist(), strict=True)))})
    plain = dict(zip(days, level.tolist(), strict=True))
    other = dict(zip(days, wave(60, seed + 1).tolist(), strict=True))
    kind = "buy" if sign > 0 else "short"
    units = Decimal(abs(sign) * 30)
    entries = [deposit(FIRST, 20_000, base), Draft(kind, FIRST, "USD", ACME, units, Decimal(100))]
    cut = {d: c / (n if i >= at else 1) for i, (d, c) in enumerate(plain.items())}
    split = Draft("split", days[at], "USD", ACME, ratio=Fraction(*ratio))
    known = {1: (Action(1, "split", days[at], ratio=split.ratio),)} if where != "booked" else {}
    one = view(book(entries, {1: plain, 2: other}, base=base, benchmark=2, rates=fx), days[on], period="ALL", lookback="ALL")
    two = view(book([*entries, split], {1: cut, 2: other}, known, base=base, benchmark=2, rates=fx), days[on], period="ALL", lookback="ALL")
    assert two.total == pytest.approx(one.total, abs=1e-6)
    for name, columns in (("risk", ("portfolio",)), ("risk_by_security", ("volatility", "beta", "sharpe", "max_drawdown")), ("movers", ("day_change",)),
                          ("growth", ("growth", "drawdown", "benchmark")), ("allocation", ("weight", "day_change"))):  # fmt: skip
        for column in columns:
            a, b = (table(v, name).column(column) for v in (one, two))
            assert len(a) == len(b)
            assert all(x == y or x == pytest.approx(y, rel=1e-6, abs=1e-9) for x, y in zip(a, b, strict=True)), (name, column)
    before, after = one.span("ALL"), two.span("ALL")
    assert (after.gain, after.start_value, after.net_flow) == pytest.approx((before.gain, before.start_value, before.net_flow), abs=1e-6)
    assert after.twr == before.twr or after.twr == pytest.approx(before.twr, rel=1e-9)
    assert after.dietz == before.dietz or after.dietz == pytest.approx(before.dietz, rel=1e-9)
    assert asset_series(two.book, 1, base).total == pytest.approx(asset_series(one.book, 1, base).total, rel=1e-9)


# --- B: holes ----------------------------------------------------------------------------------------


def with_hole(first: int = 40, last: int = 55, fall: float = 0.6) -> tuple[list[date], dict[date, float], dict[date, float]]:
    """A crash inside of a hole of one of two copies of a share, a third of the money in that one."""
    days, level = MANY[:120], wave(120)
    level[first:] *= fall
    whole = dict(zip(days, level.tolist(), strict=True))
    return days, whole, {d: c for i, (d, c) in enumerate(whole.items()) if not first <= i <= last}


def holed(benchmark: dict[date, float] | None = None) -> tuple[list[date], View, dict[date, float]]:
    days, whole, gap = with_hole()
    prices = {1: whole, 3: gap} | ({2: benchmark} if benchmark else {})
    of = book([deposit(FIRST, 30_000), buy(FIRST, 200, 100), buy(FIRST, 100, 100, replace(COIN, exchange="XNYS"))], prices,
              benchmark=2 if benchmark else None)  # fmt: skip
    of = replace(of, securities={**of.securities, 3: replace(COIN, exchange="XNYS")})
    return days, view(of, days[-1], period="ALL", lookback="ALL"), whole


def test_a_hole_is_spanned_alike_on_every_page() -> None:
    days, v, whole = holed()
    level = np.array(list(whole.values()))
    sound = np.array([not 40 <= i <= 55 for i in range(120)])
    seen = level[sound]
    risk = {f.key: f.value for f in table(v, "risk").figures}
    growth = table(v, "growth")
    money = 30_000 + 300 * (level - 100)  # what was bought at 100 a share
    path = np.concatenate(([30_000], money[sound]))
    assert v.span("ALL").twr == pytest.approx(money[-1] / 30_000 - 1)
    fall = float((path / np.maximum.accumulate(path) - 1).min())
    assert risk["max_drawdown"] == pytest.approx(fall)
    assert growth.figure("drawdown").value == pytest.approx(fall)
    steps = path[1:] / path[:-1] - 1
    one_day = np.delete(steps, 40)  # the end of the hole is no day
    assert risk["worst"] == pytest.approx(one_day.min())
    assert risk["volatility"] == pytest.approx(one_day.std(ddof=1) * np.sqrt(252))
    assert [r for r, d in zip(growth.column("growth")[1:], days, strict=True) if days[40] <= d <= days[55]] == [None] * 16
    assert "16 sessions without enough prices are spanned" in " ".join(table(v, "risk").notes)
    assert "16 sessions without enough prices are spanned" in " ".join(growth.notes)
    assert seen[40] < seen[39]


def test_the_benchmark_is_spanned_with_the_portfolio() -> None:
    _, whole, _ = with_hole()
    _, v, _ = holed(benchmark=whole)
    level = np.array(list(whole.values()))
    both = v.measured
    assert np.isfinite(both.bench_days[41:57]).sum() == 0  # type: ignore[index]
    assert np.prod(1 + both.bench_sessions[1:]) == pytest.approx(level[-1] / level[0])  # type: ignore[index]
    assert both.figure("beta") == pytest.approx(1, abs=0.03)


def test_the_end_of_a_hole_is_no_move_of_the_day() -> None:
    _, v, _ = holed()
    then = view(v.book, MANY[56], period="1D")
    assert isinstance(then.span("1D").twr, SpansHole)
    assert then.span("1D").twr.sessions == 17
    assert "COIN" not in table(then, "movers").column("symbol")
    assert {r["symbol"]: r["note"] for r in table(then, "holdings").records()}["COIN"] == f"no move of one day: the close before is of {MANY[39]}"


@pytest.mark.timeout(900)
@LAW
@given(st.integers(1, 50), st.integers(0, 8), st.integers(0, 2**16), st.sampled_from(["USD", "EUR"]))
def test_a_hole_moves_nothing_but_what_it_hides(first: int, length: int, seed: int, base: str) -> None:
    """Values outside of the hole, returns over it, and every one-day return away from it are the same."""
    days, level = MANY[:60], wave(60, seed)
    fx = Rates({"USD": series(dict(zip(days, (1.1 + 0.05 * np.cos(np.arange(60) / 5)).tolist(), strict=True)))})
    whole = dict(zip(days, level.tolist(), strict=True))
    gap = {d: c for i, (d, c) in enumerate(whole.items()) if not first <= i <= first + length}
    entries = [deposit(FIRST, 5_000, base), buy(FIRST, 30, 100)]
    one, two = (view(book(entries, {1: p}, base=base, rates=fx), days[-1], period="ALL", lookback="ALL") for p in (whole, gap))
    inside = np.array([first <= i <= first + length for i in range(60)])
    assert two.total[~inside] == pytest.approx(one.total[~inside])
    assert two.span("ALL").twr == pytest.approx(one.span("ALL").twr)
    a, b = one.sound_returns, two.sound_returns
    touched = inside | np.concatenate(([False], inside[:-1]))
    assert b[~touched] == pytest.approx(a[~touched], abs=1e-12)
    assert np.isnan(b[touched]).all()
    for day, value in zip(days, two.total, strict=True):
        assert float(view(two.book, day).valuation.exact) == pytest.approx(value)


def test_before_its_first_bar_a_security_has_no_value() -> None:
    days = MANY[:250]
    closes = dict.fromkeys(days[200:], 50.0)
    of = book([deposit(FIRST, 100_000), buy(days[10], 1000, 52)], {1: closes})
    v = view(of, days[-1], period="ALL")
    found = {r["on"]: r for r in table(v, "growth").records()}
    then = view(of, days[20])
    assert found[days[20]]["value"] == then.valuation.total == Decimal("48000.00")
    assert found[days[20]]["growth"] is None
    assert str(then.valuation.missing[0]).startswith("no price for ACME")
    assert found[days[200]]["growth"] == pytest.approx(0.98)
    (row,) = table(v, "position_returns").records()
    assert row["twr"] == pytest.approx(50 / 52 - 1)


def test_the_benchmark_has_no_growth_before_it_begins() -> None:
    days = MANY[:6]
    prices = {1: dict.fromkeys(days, 10.0), 2: {days[3]: 100.0, days[4]: 100.0, days[5]: 110.0}}
    v = view(book([deposit(FIRST, 100), buy(FIRST, 1, 10)], prices, benchmark=2), days[-1], period="ALL")
    assert table(v, "growth").column("benchmark") == [None, None, None, None, 1.0, 1.0, pytest.approx(1.1)]
    assert isinstance(v.span("ALL").benchmark, ShorterHistory)


# --- C, H, J: time, periods, the last day ------------------------------------------------------------


def test_money_that_came_before_the_first_session_counts() -> None:
    """10,000 on Saturday 4 January 2025 and 1,000 on 2 June; 15,770 two years later: the XIRR by bisection."""
    saturday, later, on = date(2025, 1, 4), date(2025, 6, 2), date(2026, 1, 5)
    days = [d for d in MANY if d <= on]
    price = {d: 100.0 if d < on else 157.70 for d in days}
    v = view(book([deposit(saturday, 10_000), buy(days[0], 100, 100), deposit(later, 1_000), Draft("withdrawal", later, "USD", gross=Decimal(1000))],
                  {1: price}), on, period="ALL")  # fmt: skip
    rate = (15_770 / 10_000) ** (365 / (on - saturday).days) - 1
    assert v.span("ALL").mwr_annual == pytest.approx(rate, rel=1e-6)
    assert v.span("ALL").net_flow == 10_000


def test_a_deposit_of_the_weekend_belongs_to_its_own_month() -> None:
    saturday = date(2025, 5, 31)
    v = view(book([deposit(FIRST, 1000), deposit(saturday, 500)], {}), date(2025, 6, 10))
    assert (v.span("MTD").start_value, v.span("MTD").net_flow) == (1500, 0)


def test_all_of_it_lost_is_minus_one() -> None:
    days = MANY[:286]
    price = {d: 100.0 if i < 150 else 50.0 if i < 280 else 0.0001 for i, d in enumerate(days)}
    of = book([deposit(FIRST, 500), buy(FIRST, 5, 100), Draft("sell", days[-1], "USD", ACME, Decimal(5), Decimal("0.0001")),
               Draft("fee", days[-1], "USD", gross=Decimal("0.00"))][:3], {1: price})  # fmt: skip
    v = view(of, days[-1])
    assert v.span("ALL").end_value == pytest.approx(0, abs=0.01)
    from core.returns import money_weighted

    assert money_weighted(0.0, 0.0, [(0.0, 500.0)], 400) == -1


@pytest.mark.parametrize("period", ["1D", "1M", "3M", "1Y", "ALL"])
def test_figures_of_risk_do_not_depend_on_the_period_shown(period: str) -> None:
    days = MANY[:280]
    closes = dict(zip(days, wave(280).tolist(), strict=True))
    of = book([deposit(FIRST, 5000), buy(FIRST, 10, 100)], {1: closes})
    usual, found = ({f.key: f.value for f in table(view(of, days[-1], period=p), "risk").figures} for p in ("1Y", period))
    assert found == usual
    for key in ("var_95", "es_99", "parametric_var_95", "calmar", "var_95_exceptions", "var_95_p_value"):
        assert found[key] is not None, key


def test_growth_begins_with_the_day_it_starts_from() -> None:
    days, level = MANY[:60], wave(60)
    v = view(book([deposit(FIRST, 1000), buy(FIRST, 10, 100)], {1: dict(zip(days, level.tolist(), strict=True))}), days[-1], period="1M")
    first = next(table(v, "growth").records())
    assert (first["growth"], first["drawdown"]) == (1.0, 0.0)
    assert day_number(first["on"]) == v.base_day("1M") or first["on"] == max(d for d in days if day_number(d) <= v.base_day("1M"))
    assert first["value"] == view(v.book, first["on"]).valuation.total


def test_a_constant_price_is_no_change_on_the_last_day() -> None:
    days = MANY[:30]
    v = view(book([deposit(FIRST, 1), buy(FIRST, 0.00000546, 95_000)], {1: dict.fromkeys(days, 95_000.0)}), days[-1], period="ALL")
    assert v.span("1D").twr == pytest.approx(0, abs=1e-12)
    fall = table(v, "growth").column("drawdown")
    assert fall[2:] == pytest.approx([fall[1]] * 29, abs=1e-12)  # what the purchase lost to the cent, and nothing since


def test_a_past_day_does_not_depend_on_the_day_it_is_asked() -> None:
    """A coin that trades daily beside a share that does not: Friday's row is Friday's value on Saturday, Sunday and Monday."""
    friday = next(d for d in MANY[20:] if d.weekday() == 4)
    every = [FIRST + timedelta(days=i) for i in range((friday - FIRST).days + 4)]
    coin = {d: 1000.0 + 10 * i for i, d in enumerate(every)}
    share = {d: 50.0 for d in MANY if d <= every[-1]}
    of = book([deposit(FIRST, 10_000), buy(FIRST, 10, 50), buy(FIRST, 2, 1000, COIN)], {1: share, 3: coin})
    expected = Decimal(10_000 - 500 - 2000) + 500 + 2 * Decimal(str(coin[friday]))
    for n in range(4):
        on = friday + timedelta(days=n)
        rows = {r["on"]: r["value"] for r in table(view(of, on, period="ALL"), "growth").records()}
        assert rows[friday] == expected, on
        assert rows[on] == view(of, on).valuation.total


def test_an_empty_portfolio_and_a_closed_position_have_no_figures_and_no_error() -> None:
    days = MANY[:40]
    empty = view(book([], {}), days[-1])
    sold = view(book([deposit(FIRST, 1000), buy(FIRST, 10, 100), Draft("sell", days[20], "USD", ACME, Decimal(10), Decimal(90))],
                     {1: {d: 100.0 if d < days[20] else 90.0 for d in days}}), days[-1], period="ALL")  # fmt: skip
    for name in ("risk", "risk_by_security", "growth", "movers", "performers", "performance", "allocation", "risk_distribution"):
        assert table(empty, name).rows == ()
        table(sold, name)
    assert sold.span("ALL").twr == pytest.approx(-0.1)
    assert day_of(int(sold.days[-1])) == days[-1]
