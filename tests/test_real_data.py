"""Portfolios over real raw closes: every figure of securities and portfolios equals numpy on adjusted series, to 1e-9.

QuantConnect's US closes 1998–2021 (splits, dividends, a delisting, a renamed share) and pystock's of 2015–2017 (with the days that
its publisher lost). The arithmetic of this file knows nothing of the core: it values units × closes adjusted for splits, follows
the cash by hand and measures with numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_data import Lean, Market, Pystock, adjusted, look, ratio_of, sessions
from scipy.optimize import brentq

from core.fx import day_number, day_of
from core.ledger import Draft
from core.reports import REPORTS
from core.table import Context, Table
from core.view import View

pytestmark = pytest.mark.shared
NEAR = 1e-9
PERIODS = ("1D", "1W", "MTD", "1M", "QTD", "3M", "YTD", "1Y", "3Y", "5Y", "ALL")
LOOKBACKS = ("3M", "YTD", "1Y", "3Y", "5Y", "ALL")


def months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))


def base_of(period: str, on: date, before: date) -> date:
    """The day whose close a period starts from."""
    if period[0].isdigit():
        n = int(period[0])
        return {"D": before, "W": on - timedelta(days=7), "M": months_before(on, n), "Y": months_before(on, 12 * n)}[period[1]]
    return {
        "MTD": on.replace(day=1) - timedelta(days=1),
        "QTD": on.replace(month=on.month - (on.month - 1) % 3, day=1) - timedelta(days=1),
        "YTD": date(on.year - 1, 12, 31),
        "ALL": date.min,
    }[period]


@dataclass
class Told:
    """What somebody booked, and what is right of it: adjusted closes, days, values, flows."""

    market: Market
    base: str
    drafts: list[Draft] = field(default_factory=list)
    closed: dict[str, date] = field(default_factory=dict)  # sold or paid out: no longer held from this day on
    benchmark: str = "SPY"

    def trade(self, kind: str, on: date, symbol: str, units: int, price: str | None = None) -> None:
        at = Decimal(price or self.market.closes[symbol][on])
        self.drafts.append(Draft(kind, on, "USD", self.market.security(symbol), Decimal(units), at))

    def cash(self, kind: str, on: date, amount: int) -> None:
        self.drafts.append(Draft(kind, on, self.base, gross=Decimal(amount)))

    def book_actions(self, symbol: str, first: date, last: date, dividends: bool = True) -> None:
        """Book every split, and every dividend as cash on its ex date, of units held by then."""
        for ex, kind, value in self.market.actions[symbol]:
            if first < ex <= last:
                security = self.market.security(symbol)
                if kind == "split":
                    self.drafts.append(Draft("split", ex, "USD", security, ratio=ratio_of(value)))
                elif dividends:
                    units = self.units(symbol, ex - timedelta(days=1), ex)
                    self.drafts.append(Draft("dividend", ex, "USD", security, gross=(units * Decimal(value)).quantize(Decimal("0.01"))))

    def splits(self, symbol: str, after: date, upto: date) -> Decimal:
        """What one unit of a day became, by a later one."""
        out = Decimal(1)
        for ex, kind, value in self.market.actions[symbol]:
            out *= Decimal(value) if kind == "split" and after < ex <= upto else 1
        return out

    def units(self, symbol: str, on: date, in_units_of: date | None = None) -> Decimal:
        """Units held at the end of a day, in those of a later one."""
        sign = {"buy": 1, "sell": -1, "merger": 0}
        return sum((sign[d.kind] * (d.quantity or 0) * self.splits(symbol, d.traded_on, in_units_of or on) for d in self.drafts
                    if d.kind in sign and d.security is not None and d.security.symbol == symbol and d.traded_on <= on), Decimal(0)) * (
                        0 if on >= self.closed.get(symbol, date.max) else 1)  # fmt: skip

    @property
    def symbols(self) -> list[str]:
        return sorted({d.security.symbol for d in self.drafts if d.security is not None})

    def fx(self, on: date) -> float:
        """Base currency for one US dollar, the last published by then."""
        if self.base == "USD":
            return 1.0
        found = self.market.fx.series["USD"].at(day_number(on))
        assert found is not None
        return 1 / found[1]

    def value(self, on: date) -> float:
        """Σ units × last close × FX + cash: from split-adjusted closes."""
        return sum(self.worth(s, on) for s in self.symbols) + sum(
            float(self.cash_of(d)) * (self.fx(on) if d.currency == "USD" and self.base == "USD" else 1.0) for d in self.drafts if d.traded_on <= on
        )

    def cash_of(self, d: Draft) -> Decimal:
        """What an entry moves in the base currency: in another one at the rate of its day, rounded to the cent."""
        gross = d.gross if d.gross is not None else (d.quantity or 0) * (d.price or 0)
        sign = {"buy": -1, "sell": 1, "deposit": 1, "withdrawal": -1, "dividend": 1, "merger": 1, "split": 0}[d.kind]
        amount = (Decimal(sign) * gross).quantize(Decimal("0.01"))
        return amount if d.currency == self.base or d.fx is None else (amount * d.fx).quantize(Decimal("0.01"))

    def worth(self, symbol: str, on: date) -> float:
        days, prices = self.adjusted(symbol, on, dividends=False)
        at = np.searchsorted(np.array(days, "datetime64[D]"), np.datetime64(on, "D"), side="right") - 1
        return float(self.units(symbol, on)) * float(prices[at]) * self.fx(on) if at >= 0 else 0.0

    def adjusted(self, symbol: str, on: date, dividends: bool = True) -> tuple[list[date], np.ndarray]:
        """Closes up to a day, adjusted for what happened by then."""
        key = (symbol, on, dividends)
        if key not in _adjusted:
            closes = {d: float(c) for d, c in self.market.closes[symbol].items() if d <= on}
            _adjusted[key] = adjusted(closes, [a for a in self.market.actions[symbol] if a[0] <= on], dividends)
        return _adjusted[key]

    def days(self, on: date) -> list[date]:
        """The sessions from the first entry on; and the day itself where something was booked or exchanged at a new rate since."""
        first = min(d.traded_on for d in self.drafts)
        found = [day_of(int(d)) for d in sessions().between(day_number(first), day_number(on))]
        booked = any(not found or found[-1] < d.traded_on <= on for d in self.drafts)
        return [*found, on] if booked or (found[-1] < on and self.fx(on) != self.fx(found[-1])) else found

    def path(self, on: date) -> tuple[list[date], np.ndarray, np.ndarray]:
        """(sessions, value at the end of each, net deposits of each): entries of a day without a session count in the next one."""
        days = self.days(on)
        flow = np.zeros(len(days))
        for d in self.drafts:
            if d.kind in ("deposit", "withdrawal") and d.traded_on <= on:
                flow[next(i for i, day in enumerate(days) if day >= d.traded_on)] += float(self.cash_of(d))
        return days, self.values(days, on), flow

    def values(self, days: Sequence[date], on: date) -> np.ndarray:
        """The value at the end of each day, at once."""
        total = np.zeros(len(days))
        stamps = np.array(days, "datetime64[D]")
        fx = np.array([self.fx(d) for d in days])
        for symbol in self.symbols:
            known, prices = self.adjusted(symbol, on, dividends=False)
            at = np.searchsorted(np.array(known, "datetime64[D]"), stamps, side="right") - 1
            held = np.array([float(self.units(symbol, d, on)) for d in days])
            total += np.where(at >= 0, held * prices[np.maximum(at, 0)], 0.0) * fx
        for d in self.drafts:
            if d.traded_on <= on:
                total += np.where(stamps >= np.datetime64(d.traded_on, "D"), float(self.cash_of(d)), 0.0)
        return total


_adjusted: dict[Any, tuple[list[date], np.ndarray]] = {}


def returns_of(values: np.ndarray, flow: np.ndarray, opening: float, sound: np.ndarray) -> np.ndarray:
    """(V_end + out) / (V_start + in) − 1 of each sound day, since the sound day before; the last day is always one."""
    out, before, came, left = np.full(len(values), np.nan), opening, 0.0, 0.0
    for i, value in enumerate(values):
        came, left = came + max(flow[i], 0.0), left + max(-flow[i], 0.0)
        if sound[i] or i == len(values) - 1:
            if before + came > 0:
                out[i] = (value + left) / (before + came) - 1
            before, came, left = value, 0.0, 0.0
    return out


def one_day(returns: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Those returns of sessions that span no other one."""
    before = np.concatenate(([True], sound[:-1]))
    return returns[np.isfinite(returns) & sound & before]


def spread(returns: np.ndarray, sound: np.ndarray, after_last: bool = False) -> np.ndarray:
    """A return a session: what a gap spans in equal parts; what came after the last session is part of it."""
    if after_last and len(returns) > 1:
        returns = np.append(returns[:-2], (1 + returns[-2]) * (1 + returns[-1]) - 1)
    out, gap = [], 0
    for i, r in enumerate(returns):
        if np.isfinite(r):
            out += [(1 + r) ** (1 / (gap + 1)) - 1] * (gap + 1)
            gap = 0
        elif not sound[i]:
            gap += 1
    return np.array(out)


def drawdown(returns: np.ndarray) -> float:
    level = np.concatenate(([1.0], np.cumprod(1 + returns)))
    return float((level / np.maximum.accumulate(level) - 1).min())


def report(view: View, name: str) -> Table:
    return REPORTS[name].table(Context(view.on, view.base, "1"), view=view)


# --- the portfolios --------------------------------------------------------------------------------


def lean_twenties(shared: Path, base: str) -> tuple[Told, list[date]]:
    """AAPL through 7:1 and 4:1, IBM and BAC that pay, WM that was UW and WMI, a sale, money in and out; 2013 to 2021."""
    told = Told(Lean(shared, ["AAPL", "IBM", "BAC", "WM", "SPY"]), base)
    first = date(2013, 1, 15)
    told.cash("deposit", first, 60_000)
    for symbol, units in (("AAPL", 20), ("IBM", 50), ("BAC", 700), ("WM", 150)):
        told.trade("buy", first, symbol, units)
    told.cash("deposit", date(2015, 6, 6), 10_000)  # a Saturday
    told.trade("buy", date(2015, 6, 8), "AAPL", 60)
    told.cash("withdrawal", date(2018, 3, 29), 3_000)
    told.trade("sell", date(2019, 7, 1), "BAC", 700)
    for symbol in ("AAPL", "IBM", "BAC", "WM"):
        told.book_actions(symbol, first, date(2019, 7, 1) if symbol == "BAC" else date(2021, 3, 31))
    on = [date(2013, 1, 31), date(2014, 6, 9), date(2014, 6, 10), date(2015, 6, 7), date(2016, 2, 29), date(2017, 11, 24), date(2018, 12, 24),
          date(2019, 7, 1), date(2020, 3, 23), date(2020, 8, 31), date(2020, 9, 7), date(2021, 3, 31)]  # fmt: skip
    return _in_base(told), on


def lean_naughties(shared: Path, base: str) -> tuple[Told, list[date]]:
    """AAA until it is bought out, AAPL through 2:1, WM under its old name; 2004 to 2008."""
    told = Told(Lean(shared, ["AAPL", "AAA.1", "WM", "IBM", "SPY"]), base)
    first, out = date(2004, 3, 1), date(2007, 5, 18)
    told.cash("deposit", first, 40_000)
    for symbol, units in (("AAPL", 300), ("AAA.1", 200), ("WM", 200)):
        told.trade("buy", first, symbol, units)
    for symbol in ("AAPL", "WM"):
        told.book_actions(symbol, first, date(2008, 12, 31))
    told.book_actions("AAA.1", first, out)
    told.drafts.append(Draft("merger", out, "USD", told.market.security("AAA.1"),
                             gross=Decimal(200) * told.splits("AAA.1", first, out) * Decimal(told.market.closes["AAA.1"][out])))  # fmt: skip
    told.closed["AAA.1"] = out
    on = [date(2004, 3, 1), date(2004, 3, 2), date(2004, 12, 31), date(2005, 2, 28), date(2005, 3, 1), date(2006, 1, 16), date(2006, 6, 30),
          date(2007, 5, 17), date(2007, 5, 18), date(2007, 5, 21), date(2008, 10, 10), date(2008, 12, 31)]  # fmt: skip
    return _in_base(told), on


def pystock(shared: Path, base: str) -> tuple[Told, list[date]]:
    """NFLX through a split that its publisher says twice, NKE through 2:1, KO that pays; with the sessions that were lost."""
    market = Pystock(shared, ["NFLX", "NKE", "KO", "MSFT"])
    given = market.actions["NFLX"]
    told = Told(market, base, benchmark="MSFT")
    first = date(2015, 4, 1)
    told.cash("deposit", first, 50_000)
    for symbol, units in (("NFLX", 30), ("NKE", 100), ("KO", 250)):
        told.trade("buy", first, symbol, units)
    market.actions["NFLX"] = [a for a in given if a[0] != date(2015, 7, 14)]  # what is right: once
    for symbol in ("NFLX", "NKE", "KO"):
        told.book_actions(symbol, first, date(2017, 3, 31))
    _in_base(told)
    made = market.book
    market.book = lambda *a, **k: _twice(made(*a, **k), market, given)  # type: ignore[method-assign]
    on = [date(2015, 6, 9), date(2015, 6, 11), date(2015, 7, 14), date(2015, 7, 15), date(2015, 9, 11), date(2015, 12, 24), date(2016, 2, 29),
          date(2016, 7, 4), date(2016, 10, 11), date(2016, 11, 18), date(2017, 1, 2), date(2017, 3, 31)]  # fmt: skip
    return told, on


def _twice(book: Any, market: Market, given: list[tuple[date, str, str]]) -> Any:
    """The Book with the feed's actions as they came: the split of NFLX on two days."""
    from dataclasses import replace

    once, market.actions["NFLX"] = market.actions["NFLX"], given
    actions = {**book.actions, market.numbers["NFLX"]: market.actions_of("NFLX")}
    market.actions["NFLX"] = once
    return replace(book, actions=actions)


def _in_base(told: Told) -> Told:
    """In another currency trades are settled in cash of the base currency, at the rate of their day."""
    if told.base != "USD":
        from dataclasses import replace

        told.drafts = [d if d.currency != "USD" or d.kind == "split" else replace(d, fx=Decimal(repr(round(told.fx(d.traded_on), 10)))) for d in told.drafts]
    return told


MADE = {"twenties": lean_twenties, "naughties": lean_naughties, "pystock": pystock}


@pytest.fixture(scope="module", params=[(name, base) for name in MADE for base in ("USD", "EUR")], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request: pytest.FixtureRequest, shared: Path) -> tuple[Told, list[date], Any]:
    name, base = request.param
    _adjusted.clear()
    told, on = MADE[name](shared, base)
    return told, on, told.market.book(base, told.drafts, told.benchmark)


def sound_days(told: Told, days: Sequence[date]) -> np.ndarray:
    """On which days at least 98 % of what is held has a price of the session."""
    out = np.ones(len(days), np.bool_)
    for symbol in told.symbols:
        for i in [i for i, d in enumerate(days) if last_session(d) not in told.market.closes[symbol]]:
            worth = {s: abs(told.worth(s, days[i])) for s in told.symbols}
            fresh = sum(w for s, w in worth.items() if last_session(days[i]) in told.market.closes[s])
            out[i] = fresh >= 0.98 * sum(worth.values())
    return out


def last_session(on: date) -> date:
    found = sessions().last_on_or_before(day_number(on))
    assert found is not None
    return day_of(found)


def test_the_value_of_each_day_is_units_times_raw_close(case: Any) -> None:
    told, dates, book = case
    for on in dates:
        view = look(book, on)
        assert float(view.valuation.total) == pytest.approx(told.value(on), abs=0.011)
        for d in view.days[::97].tolist():
            i = int(np.searchsorted(view.days, d))
            assert float(view.total[i]) == pytest.approx(told.value(day_of(d)), abs=0.011)


def test_time_and_money_weighted_returns_of_every_period(case: Any) -> None:
    told, dates, book = case
    for on in dates:
        view = look(book, on)
        days, values, flow = told.path(on)
        sound = sound_days(told, days)
        for period in PERIODS:
            base = base_of(period, days[-1], before(last_session(on)))
            span = view.span(period)
            first = min(d.traded_on for d in told.drafts)
            if period != "ALL" and base < first - timedelta(days=1) and period != "1D":
                assert not hasattr(span, "twr"), period
                continue
            i = next((k for k, d in enumerate(days) if d > base), len(days))
            opening = values[i - 1] if i else 0.0
            if hasattr(span.twr, "sessions"):  # a day's move that spans a lost session
                assert (period, bool(sound[i - 1])) == ("1D", False)
                continue
            r = returns_of(values[i:], flow[i:], opening, sound[i:])
            assert span.twr == pytest.approx(float(np.prod(1 + r[np.isfinite(r)]) - 1), abs=NEAR), (on, period)
            moved = [(d.traded_on, float(told.cash_of(d))) for d in told.drafts if d.kind in ("deposit", "withdrawal") and base < d.traded_on <= on]
            if (on - max(first, base)).days < 365:
                continue
            start = max(base, first - timedelta(days=1))

            def npv(rate: float, start: date = start, opening: float = opening, moved: Any = moved, end: float = values[-1], last: date = days[-1]) -> float:
                grown = opening * (1 + rate) ** ((last - start).days / 365)
                return grown + sum(a * (1 + rate) ** ((last - d).days / 365) for d, a in moved) - end

            assert span.mwr_annual == pytest.approx(brentq(npv, -0.99, 10, xtol=1e-14), abs=1e-8), (on, period)


def test_risk_of_the_portfolio_over_every_look_back(case: Any) -> None:
    told, dates, book = case
    for on in dates:
        days, values, flow = told.path(on)
        sound = sound_days(told, days)
        whole = returns_of(values, flow, 0.0, sound)
        for lookback in LOOKBACKS:
            view = look(book, on, lookback=lookback)
            found = {f.key: f.value for f in report(view, "risk").figures}
            base = base_of(lookback, days[-1], date.min)
            i = next((k for k, d in enumerate(days) if d > base), 0) if base >= days[0] - timedelta(days=1) else 0
            r = returns_of(values[i:], flow[i:], values[i - 1] if i else 0.0, sound[i:])
            late = days[-1] > last_session(on)
            counted = sound & (np.arange(len(days)) < len(days) - late)
            daily, each = one_day(r, counted[i:]), spread(r, sound[i:], late)
            history = one_day(whole, counted)
            if len(daily) < 20:
                assert found["volatility"] is None
                continue
            assert found["volatility"] == pytest.approx(daily.std(ddof=1) * math.sqrt(252), abs=NEAR), (on, lookback)
            assert found["max_drawdown"] == pytest.approx(drawdown(each), abs=NEAR)
            assert found["sharpe"] == pytest.approx(each.mean() / each.std(ddof=1) * math.sqrt(252), abs=1e-8)
            assert found["worst"] == pytest.approx(daily.min(), abs=NEAR)
            if len(history) >= 100:
                window = np.sort(history[-252:])
                assert found["var_95"] == pytest.approx(-np.quantile(window, 0.05), abs=NEAR)
                assert found["es_95"] == pytest.approx(-window[window <= np.quantile(window, 0.05) + 1e-15].mean(), abs=NEAR)
            else:
                assert found["var_95"] is None
            if sound.all():
                b = benchmark_returns(told, days[i:], days[i - 1] if i else before(days[0]), on)
                pair = np.isfinite(r) & np.isfinite(b) & counted[i:]
                assert found["beta"] == pytest.approx(np.cov(r[pair], b[pair])[0, 1] / b[pair].var(ddof=1), abs=1e-8), (on, lookback)
                assert found["tracking_error"] == pytest.approx((r[pair] - b[pair]).std(ddof=1) * math.sqrt(252), abs=NEAR)


def before(day: date) -> date:
    found = sessions().last_on_or_before(day_number(day) - 1)
    assert found is not None
    return day_of(found)


def benchmark_returns(told: Told, days: Sequence[date], base: date, on: date) -> np.ndarray:
    known, prices = told.adjusted(told.benchmark, on)
    at = np.searchsorted(np.array(known, "datetime64[D]"), np.array([base, *days], "datetime64[D]"), side="right") - 1
    level = np.where(at >= 0, prices[np.maximum(at, 0)], np.nan) * np.array([told.fx(d) for d in (base, *days)])
    return level[1:] / level[:-1] - 1


def test_risk_of_each_security_from_all_its_bars(case: Any) -> None:
    """The same whenever it was bought: adjusted closes in the base currency, over its own sessions of the look-back."""
    told, dates, book = case
    for on in dates[::2]:
        for lookback in LOOKBACKS:
            view = look(book, on, lookback=lookback)
            for row in report(view, "risk_by_security").records():
                known, prices = told.adjusted(row["symbol"], on)
                level = {d: p * told.fx(d) for d, p in zip(known, prices, strict=True) if told.base == "USD" or d >= date(1999, 1, 4)}
                start = max(base_of(lookback, on, date.min), min(level))
                origin = max(d for d in level if d <= start)
                grid = [day_of(int(d)) for d in sessions().between(day_number(start) + 1, day_number(known[-1]))]
                returns, gap, last = [], 0, level[origin]
                one, each = [], []
                for d in grid:
                    if d not in level:
                        gap += 1
                        continue
                    r = level[d] / last - 1
                    returns.append(r)
                    one += [r] if gap == 0 else []
                    each += [(1 + r) ** (1 / (gap + 1)) - 1] * (gap + 1)
                    gap, last = 0, level[d]
                if len(one) < 20:
                    assert row["volatility"] is None
                    continue
                assert row["volatility"] == pytest.approx(np.std(one, ddof=1) * math.sqrt(252), abs=NEAR), (on, lookback, row["symbol"])
                assert row["max_drawdown"] == pytest.approx(drawdown(np.array(each)), abs=NEAR)
                assert row["sharpe"] == pytest.approx(np.mean(each) / np.std(each, ddof=1) * math.sqrt(252), abs=1e-8)
                assert row["observations"] == len(one)


def test_moves_of_the_day(case: Any) -> None:
    """Price against the close of the session before, in today's units; none where that close is missing."""
    told, dates, book = case
    for on in dates:
        view = look(book, on)
        day = last_session(on)
        yesterday = before(day)
        found = {r["symbol"]: r for r in report(view, "movers").records()}
        held = {r["symbol"]: r for r in report(view, "holdings").records()}
        for symbol in told.symbols:
            units = float(told.units(symbol, on))
            if not units:
                assert symbol not in found
                continue
            closes = told.market.closes[symbol]
            if day not in closes or yesterday not in closes:
                assert symbol not in found
                assert held[symbol]["day_change"] is None
                continue
            last, prior = float(closes[day]), float(closes[yesterday]) / float(told.splits(symbol, yesterday, day))
            assert found[symbol]["day_change"] == pytest.approx(last / prior - 1, abs=NEAR), (on, symbol)
            assert float(found[symbol]["contribution"]) == pytest.approx(units * (last - prior) * told.fx(on), abs=0.0051)


def test_allocation_and_performers(case: Any) -> None:
    told, dates, book = case
    for on in dates:
        total = told.value(on)
        view = look(book, on, by="security", period="ALL")
        for row in report(view, "allocation").records():
            if row["group"] != "Cash":
                assert row["weight"] == pytest.approx(told.worth(row["group"], on) / total, abs=1e-7)
        for row in report(view, "performers").records():
            first = min(d.traded_on for d in told.drafts)
            known, prices = told.adjusted(row["symbol"], on, dividends=False)
            origin = max(d for d in known if d <= before(first))
            assert row["price_return"] == pytest.approx(prices[-1] / prices[known.index(origin)] - 1, abs=NEAR), (on, row["symbol"])


def test_growth_is_the_view_of_each_day(case: Any) -> None:
    """growth(d) is what as-of d says, on every day; and the drawdown of the risk page is that of the growth page."""
    told, dates, book = case
    on = dates[-1]
    view = look(book, on, period="ALL", lookback="ALL")
    table = report(view, "growth")
    for row in list(table.records())[1::61]:
        then = look(book, row["on"], period="ALL")
        assert row["value"] == then.valuation.total
        if row["growth"] is not None:
            assert row["growth"] == pytest.approx(1 + then.span("ALL").twr, abs=NEAR)
        else:
            assert not sound_days(told, [row["on"]])[0]
    risk = {f.key: f.value for f in report(view, "risk").figures}
    assert table.figure("drawdown").value == pytest.approx(risk["max_drawdown"], abs=1e-12)
