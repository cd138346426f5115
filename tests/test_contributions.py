"""What each part of a portfolio earned: worked examples by hand, and laws on random ledgers of every kind."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import BASE, DAYS, FIRST, RATES, SECURITIES, Told, ledgers

from core.book import Book, Portfolio
from core.contributions import parts
from core.fx import Rates, Series, day_number
from core.ledger import MICRO, Draft, Security, from_postings, post
from core.reasons import NegativeBase, NoPrice, NoRate, Reason, ShorterHistory, TooFewObservations
from core.reports import REPORTS
from core.returns import link
from core.scope import PERIODS, Scope
from core.table import Context, Table
from core.view import View

LAW = settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity", "Energy", None, "US")
BOLT = Security(2, "BOLT", "Bolt", "XNYS", "USD", "Equity", "Energy", None, "US")
RHEIN = Security(3, "RHEIN", "Rhein", "XETR", "EUR", "Equity", "Industrials", None, "DE")
INDEX = Security(9, "WIDE", "Wide", "XNYS", "USD", "Index", tradable=False)
ALL = {s.security_id: s for s in (ACME, BOLT, RHEIN, INDEX)}


def series(*values: float, start: date = FIRST) -> Series:
    """One value a day from `start` on."""
    first = day_number(start)
    return Series(np.arange(first, first + len(values), dtype=np.int32), np.array(values, np.float64))


def view_of(
    drafts: list[Draft], prices: dict[int, Series], rates: Rates | None = None, base: str = "EUR", benchmark: int | None = None,
    last: int = 0, **scope: Any,
) -> View:  # fmt: skip
    """A portfolio with a value on every calendar day, looked at on day `last` (0: the last one with a price)."""
    postings = [post(d, base, d.traded_on, date(2100, 1, 1)) for d in drafts]
    book = Book(
        Portfolio(uuid4(), "by hand", base, benchmark, "fifo"),
        from_postings(postings),
        ALL,
        prices,
        rates or Rates({}),
        {},
        "1",
    )
    longest = max((int(s.days[-1]) for s in prices.values()), default=day_number(FIRST))
    on = FIRST + timedelta(days=last) if last else FIRST + timedelta(days=longest - day_number(FIRST))
    return View(
        book,
        Scope(book.portfolio.portfolio_id, as_of=on, **{"period": "ALL", **scope}),
        {},
        datetime(2100, 1, 1, tzinfo=UTC),
    )


def table(name: str, view: View) -> Table:
    return REPORTS[name].table(Context(view.on, view.base, "test"), view=view)


def rows(name: str, view: View, key: str = "") -> dict[str, dict[str, Any]]:
    found = table(name, view)
    return {str(r[key or found.columns[0].key]): r for r in found.records()}


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


def d(
    kind: str,
    day: int,
    gross: Any = None,
    security: Security | None = None,
    units: Any = None,
    price: Any = None,
    **more: Any,
) -> Draft:
    """A draft in the currency of its security, or in EUR."""
    number = lambda x: None if x is None else Decimal(str(x))  # noqa: E731
    currency = more.pop("currency", security.currency if security else "EUR")
    return Draft(kind, on(day), currency, security, number(units), number(price), number(gross), **more)


# --- by hand ----------------------------------------------------------------------------------------------------


def test_the_gain_of_a_foreign_share_is_a_local_and_a_currency_part() -> None:
    """Day 0: 10 shares at 100 USD, 0.80 EUR a dollar: 800.00 EUR. Day 1: 110 USD, 0.90 EUR: 990.00 EUR. Gain 190.00 EUR.

    Currency part: 1,000 USD held overnight × 0.10 = 100.00. Local part: 100 USD × 0.90 = 90.00. Return 190 / 800 = 23.75 %,
    local 10 %, and 1.10 × (0.90 / 0.80) − 1 is the same 23.75 %.
    """
    rates = Rates({"EUR": series(0.8, 0.9)}, pivot="USD")
    view = view_of(
        [d("deposit", 0, 800), d("buy", 0, None, ACME, 10, 100, fx=Decimal("0.8"))], {1: series(100, 110)}, rates
    )
    got = rows("fx_effect", view)["ACME"]
    assert (got["gain"], got["local_gain"], got["currency_gain"]) == (
        Decimal("190.00"),
        Decimal("90.00"),
        Decimal("100.00"),
    )
    assert (got["twr"], got["local_twr"]) == (pytest.approx(0.2375), pytest.approx(0.10))
    lots = rows("fx_gains", view)["ACME"]
    assert (lots["unrealised"], lots["unrealised_local"], lots["unrealised_currency"]) == (190, 90, 100)


def test_realised_gains_split_at_the_rates_of_purchase_and_sale() -> None:
    """Bought 10 at 100 USD with 0.80: 800 EUR. Sold 10 at 110 USD with 0.90: 990 EUR. Realised 190 = 90 local + 100 currency.

    And short: 10 at 100 USD with 0.80 bring 800 EUR; covered at 90 USD with 0.90 they cost 810 EUR: −10 = +90 local
    (100 USD × 0.90) − 100 currency (1,000 USD owed × 0.10).
    """
    rates = Rates({"EUR": series(0.8, 0.9)}, pivot="USD")
    fx = [Decimal("0.8"), Decimal("0.9")]
    prices = {1: series(100, 110), 2: series(100, 90)}
    view = view_of(
        [
            d("deposit", 0, 5000),
            d("buy", 0, None, ACME, 10, 100, fx=fx[0]),
            d("short", 0, None, BOLT, 10, 100, fx=fx[0]),
            d("sell", 1, None, ACME, 10, 110, fx=fx[1]),
            d("cover", 1, None, BOLT, 10, 90, fx=fx[1]),
        ],
        prices,
        rates,
    )
    got = rows("fx_gains", view)
    assert [got["ACME"][k] for k in ("realised", "realised_local", "realised_currency")] == [190, 90, 100]
    assert [got["BOLT"][k] for k in ("realised", "realised_local", "realised_currency")] == [-10, 90, -100]
    assert table("fx_gains", view).total[5:8] == (180, 180, 0)  # type: ignore[index]


def test_groups_and_cash_add_up_to_the_gain() -> None:
    """Deposit 1,000; ACME 500 → 550, BOLT 300 → 270, RHEIN 100 → 100 and a dividend of 5, a fee of 7 from the cash.

    Gain: 50 − 30 + 5 − 7 = 18. Average capital 1,000 (there from the start of the first day): contributions 5 %, −3 %, 0.5 %,
    cash −0.7 %: 1.8 %, the Modified Dietz return. Sector Energy: 820 / 800 − 1 = 2.5 %.
    """
    rates = Rates({"USD": series(1, 1)})
    drafts = [
        d("deposit", 0, 1000),
        d("buy", 0, None, ACME, 5, 100, fx=Decimal(1)),
        d("buy", 0, None, BOLT, 3, 100, fx=Decimal(1)),
        d("buy", 0, None, RHEIN, 1, 100),
        d("dividend", 1, 5, RHEIN),
        d("fee", 1, 7),
    ]
    view = view_of(drafts, {1: series(100, 110), 2: series(100, 90), 3: series(100, 100)}, rates, by="security")
    got = rows("returns_by", view)
    assert {k: (r["gain"], r["share"]) for k, r in got.items()} == {
        "ACME": (50, pytest.approx(0.05)), "BOLT": (-30, pytest.approx(-0.03)), "RHEIN": (5, pytest.approx(0.005)), "Cash": (-7, pytest.approx(-0.007))}  # fmt: skip
    assert [got[s]["twr"] for s in ("ACME", "BOLT", "RHEIN")] == pytest.approx([0.1, -0.1, 0.05])
    total = table("returns_by", view).total
    assert total is not None
    assert total[6] == 18
    assert total[7] == pytest.approx(0.018)
    sectors = rows(
        "returns_by",
        view_of(drafts, {1: series(100, 110), 2: series(100, 90), 3: series(100, 100)}, rates, by="sector"),
    )
    assert sectors["Energy"]["twr"] == pytest.approx(0.025)
    assert {k: r["gain"] for k, r in sectors.items()} == {"Energy": 20, "Industrials": 5, "Cash": -7}


def test_a_switch_within_a_group_is_no_flow_of_the_group() -> None:
    """ACME 100 → 110, then sold for 110 and BOLT bought for it, which goes to 121: the sector earned 10 % and 10 %, 21 %."""
    rates = Rates({"USD": series(1, 1, 1)})
    drafts = [
        d("deposit", 0, 100),
        d("buy", 0, None, ACME, 1, 100, fx=Decimal(1)),
        d("sell", 1, None, ACME, 1, 110, fx=Decimal(1)),
        d("buy", 1, None, BOLT, 1, 110, fx=Decimal(1)),
    ]
    view = view_of(drafts, {1: series(100, 110, 110), 2: series(110, 110, 121)}, rates, by="sector")
    assert rows("returns_by", view)["Energy"]["twr"] == pytest.approx(0.21)


def test_a_position_counts_from_the_day_it_was_opened() -> None:
    """Bought at 50, sold at 40, bought again on day 3 at 100, at 121 two days later: +21 % since then, money-weighted too."""
    drafts = [
        d("deposit", 0, 1000),
        d("buy", 0, None, RHEIN, 1, 50),
        d("sell", 1, None, RHEIN, 1, 40),
        d("buy", 3, None, RHEIN, 2, 100),
    ]
    got = rows("position_returns", view_of(drafts, {3: series(50, 40, 70, 100, 90, 121)}))["RHEIN"]
    assert (got["opened_on"], got["days"], got["bought"], got["received"], got["gain"]) == (on(3), 3, 200, 0, 42)
    assert [got["twr"], got["mwr"]] == pytest.approx([0.21, 0.21])
    assert "not annualised: 3 days are less than a year" in got["reason"]


def test_returns_per_year_appear_after_a_year() -> None:
    """100 → 121 over 730 days without flows: every return is 21 %, 10 % a year."""
    values = [100.0] * 730 + [121.0]
    view = view_of([d("deposit", 0, 100), d("buy", 0, None, RHEIN, 1, 100)], {3: series(*values)})
    got = rows("performance", view)["Since inception"]
    assert [got[k] for k in ("twr", "mwr", "dietz")] == pytest.approx([0.21] * 3)
    assert got["mwr_annualised"] == pytest.approx(0.10)
    assert got["annualised"] == pytest.approx(1.21 ** (365 / 731) - 1)  # from the close before the first day
    assert rows("position_returns", view)["RHEIN"]["mwr_annualised"] == pytest.approx(0.10)


def test_the_three_returns_of_one_portfolio_with_a_deposit() -> None:
    """100 grows to 110 on the first day; 90 comes in on the third day, the 200 fall to 180 (−10 %) by its end.

    TWR 1.1 × 0.9 − 1 = −1 %. Modified Dietz over the days 0 to 2 with the close before as start (3 days): 100 is there all the
    time, 90 from the start of the third day, a third of it: gain −10 on 100 + 30 = −7.6923 %. Money-weighted: 100 from day 0,
    90 on day 2, 180 on day 2: 100 (1 + m) = 180 − 90, −10 %.
    """
    drafts = [
        d("deposit", 0, 100),
        d("buy", 0, None, RHEIN, 1, 100),
        d("deposit", 2, 90),
        d("buy", 2, None, RHEIN, Decimal("0.81818182"), None),
    ]
    drafts[-1] = Draft("buy", on(2), "EUR", RHEIN, Decimal("0.8181818182"), Decimal(110))
    view = view_of(drafts, {3: series(100, 110, 99)})
    got = rows("performance", view)["Since inception"]
    assert got["twr"] == pytest.approx(1.1 * 0.9 - 1, abs=1e-9)
    assert got["dietz"] == pytest.approx(-10 / 130, abs=1e-9)
    assert got["mwr"] == pytest.approx(-0.10, abs=1e-9)


# --- the benchmark ----------------------------------------------------------------------------------------------


def test_the_benchmark_starts_from_the_same_close_and_converts() -> None:
    """The index goes 1000 → 1100 → 1210 dollars while a dollar goes 1.00 → 0.90 → 0.90: since the close of day 0 it is
    1.21 × 0.9 − 1 = 8.9 %; the share earned 20 %, so 11.1 % active."""
    rates = Rates({"EUR": series(1, 0.9, 0.9)}, pivot="USD")
    view = view_of(
        [d("deposit", 0, 100), d("buy", 0, None, RHEIN, 1, 100)],
        {3: series(100, 110, 120), 9: series(1000, 1100, 1210)}, rates, benchmark=9)  # fmt: skip
    span = view.span("1D")
    assert not isinstance(span, Reason)
    assert span.benchmark == pytest.approx(0.1)
    assert view.benchmark_over(1) == pytest.approx(0.089)
    assert view.benchmark_over(0) == ShorterHistory(on(0), on(-1)), (
        "there is no close of the index before the first day"
    )
    got = rows("performance", view)["Since inception"]
    assert got["benchmark"] is None
    assert got["active"] is None
    assert "benchmark: the history begins on 2024-01-01, after the start of the period on 2023-12-31" in got["reason"]


# --- reasons ----------------------------------------------------------------------------------------------------


def test_what_is_undefined_says_why_in_words() -> None:
    late = Rates({"USD": series(1.1, 1.1, start=on(3))})
    foreign = view_of([d("deposit", 0, 100, currency="USD")], {3: series(1, 1, 1, 1, 1)}, late)
    span = foreign.span("ALL")
    assert not isinstance(span, Reason)
    assert span.twr == span.mwr == span.dietz == NoRate("USD", on(0))
    got = rows("performance", foreign)["Since inception"]
    assert got["gain"] is None
    assert got["reason"].startswith("no exchange rate for USD on 2024-01-01")

    unpriced = view_of([d("deposit", 0, 100), d("buy", 0, None, RHEIN, 1, 50)], {1: series(1, 1)})
    span = unpriced.span("ALL")
    assert not isinstance(span, Reason)
    assert span.twr == NoPrice("RHEIN", on(0))
    assert "no price for RHEIN since 2024-01-01" in rows("returns_by", unpriced)["Industrials"]["reason"]

    young = view_of([d("deposit", 0, 100)], {3: series(1, 1, 1)})
    assert young.span("1Y") == ShorterHistory(on(0), date(2023, 1, 3))
    assert (
        rows("performance", young)["1 year"]["reason"]
        == "the history begins on 2024-01-01, after the start of the period on 2023-01-03"
    )

    short = view_of([d("deposit", 0, 1000), d("short", 0, None, RHEIN, 1, 100)], {3: series(100, 90)}, by="security")
    got = rows("returns_by", short)["RHEIN"]
    assert got["gain"] == 10
    assert got["twr"] is None
    assert str(NegativeBase()) in got["reason"]

    overdrawn = view_of([d("deposit", 0, 100), d("withdrawal", 1, 150)], {3: series(1, 1, 1)})
    span = overdrawn.span("ALL")
    assert not isinstance(span, Reason)
    assert span.twr == NegativeBase()

    lost = view_of([d("deposit", 0, 100), d("buy", 0, None, RHEIN, 1, 100)], {3: series(100, 50, 0)})
    span = lost.span("ALL")
    assert not isinstance(span, Reason)
    assert span.mwr == -1
    assert rows("performance", lost)["Since inception"]["mwr"] == -1

    emptied = view_of([d("deposit", 0, 100), d("withdrawal", 1, 100)], {3: series(1, 1, 1, 1)})
    span = emptied.span("1D")
    assert not isinstance(span, Reason)
    assert span.twr == TooFewObservations(0, 1)
    assert "too few observations" in rows("performance", emptied)["Day"]["reason"]


def test_a_rate_of_later_stands_in_only_where_it_is_asked_for() -> None:
    """Portfolio Performance takes the first rate before there is one; a valuation says that there is none."""
    rates = Rates({"USD": series(1.25, start=on(3)), "CHF": series(1.0, 2.0)})
    first = day_number(on(0))
    assert rates.rate("USD", "EUR", first) == NoRate("USD", on(0))
    assert rates.rate_or_first("USD", "EUR", first) == Decimal("0.8")
    assert rates.rate_or_first("USD", "CHF", first + 1) == Decimal("1.6")
    assert rates.rate_or_first("USD", "CHF", first + 9) == rates.rate("USD", "CHF", first + 9) == Decimal("1.6")
    assert rates.rate_or_first("GBP", "EUR", first) == NoRate("GBP", on(0))
    assert rates.rate_or_first("GBP", "GBP", first) == 1


# --- laws -------------------------------------------------------------------------------------------------------


def law_view(told: Told, day: int = DAYS - 1, **scope: Any) -> View:
    book = told.book()
    return View(book, Scope(book.portfolio.portfolio_id, as_of=on(day), **scope), {}, datetime(2030, 1, 1, tzinfo=UTC))


@LAW
@given(ledgers(), st.integers(0, DAYS - 1), st.sampled_from(PERIODS))
def test_the_parts_add_up_to_the_whole(told: Told, day: int, period: str) -> None:
    """Σ gains of securities and cash = gain of the portfolio; contributions = its Modified Dietz; local + currency = gain."""
    view = law_view(told, day)
    span = view.span(period)
    if isinstance(span, Reason):
        return
    found = parts(view, span)
    gains = [p.gain for p in found.securities.values()]
    assert sum(gains) + found.cash.gain == pytest.approx(span.gain, abs=1e-6)
    for p in found.securities.values():
        assert p.local_gain + p.currency_gain == pytest.approx(p.gain, abs=1e-6)
    for by in ("asset_class", "sector", "country", "currency", "symbol"):
        groups = found.grouped(view, lambda s, by=by: str(getattr(s, by)))  # type: ignore[misc]
        assert sum(g.gain for g in groups.values()) == pytest.approx(sum(gains), abs=1e-6)
        if by == "symbol":
            for number, p in found.securities.items():
                alone = groups[SECURITIES[number].symbol]
                assert isinstance(alone.twr, type(p.twr))
                assert isinstance(p.twr, Reason) or alone.twr == pytest.approx(p.twr, rel=1e-9, abs=1e-9)


@LAW
@given(ledgers(), st.integers(5, DAYS - 1))
def test_the_cash_earned_its_interest_less_its_costs_and_the_exchange_rates(told: Told, day: int) -> None:
    """Counted from the postings, beside the product: what belongs to no security, and balances × changes of the rate."""
    view = law_view(told, day)
    span = view.span("ALL")
    assert not isinstance(span, Reason)
    at = lambda currency, k: 1.0 if currency == BASE else 1 / float(RATES.series[currency].values[k])  # noqa: E731
    earned = currency_part = 0.0
    balance: Counter[str] = Counter()
    for k in range(day + 1):
        for currency, amount in balance.items():
            currency_part += amount * (at(currency, k) - at(currency, k - 1))
        for p in told.postings:
            if p.traded_on == on(k):
                balance[p.cash_currency] += float(p.net)  # type: ignore[assignment]
                if p.security_id is None and p.kind in ("interest", "fee", "tax", "fx_in", "fx_out"):
                    earned += float(p.net) * at(p.cash_currency, k)
    cash = parts(view, span).cash
    assert cash.currency_gain == pytest.approx(currency_part, abs=1e-6)
    assert cash.local_gain == pytest.approx(earned, abs=0.0051), "but for the rounding of the total to the cent"


@LAW
@given(ledgers(), st.integers(1, DAYS - 1))
def test_the_return_of_a_period_is_the_link_of_its_parts(told: Told, day: int) -> None:
    """Since inception = up to a day, then from it on; where the portfolio was never worth less than nothing."""
    view = law_view(told)
    span = view.span("ALL")
    assert not isinstance(span, Reason)
    if isinstance(span.twr, Reason):
        assert isinstance(span.twr, NegativeBase | TooFewObservations)
        return
    assert link([link(view.returns[:day]), link(view.returns[day:])]) == pytest.approx(span.twr, rel=1e-9, abs=1e-9)


@LAW
@given(ledgers(), st.sampled_from(PERIODS))
def test_the_money_weighted_return_balances_the_flows(told: Told, period: str) -> None:
    """What was there and came in, grown at the rate over the time it was there, is what went out and is there at the end."""
    view = law_view(told)
    span = view.span(period)
    if isinstance(span, Reason) or isinstance(span.mwr, Reason):
        return
    m, flows = span.mwr, [(0.0, span.start_value), *span.flows]
    there = [day for day, amount in [*flows, (float(span.days), span.end_value)] if amount]
    first, last = min(there), max(there)
    grown = [amount * (1 + m) ** ((last - day) / (last - first)) for day, amount in flows]
    wanted = span.end_value * (1 + m) ** ((last - span.days) / (last - first))
    assert sum(grown) == pytest.approx(wanted, abs=1e-5 * (sum(abs(g) for g in grown) + 1))


@LAW
@given(ledgers(kinds=("buy", "sell", "interest", "fee", "dividend")))
def test_without_flows_all_three_returns_agree(told: Told) -> None:
    view = law_view(told)
    for period in ("1D", "1W", "1M"):
        span = view.span(period)
        if isinstance(span, Reason) or span.flows or isinstance(span.twr, Reason):
            continue
        assert span.dietz == pytest.approx(span.twr, rel=1e-9, abs=1e-9)
        assert span.mwr == pytest.approx(span.twr, rel=1e-6, abs=1e-9)


@LAW
@given(ledgers())
def test_realised_and_unrealised_gains_split_to_the_cent(told: Told) -> None:
    view = law_view(told)
    found = table("fx_gains", view)
    lots = view.lots
    for row in found.records():
        for kind in ("unrealised", "realised"):
            if row[kind] is not None:
                assert row[kind] == row[f"{kind}_local"] + row[f"{kind}_currency"]
        if row["currency"] == BASE:
            assert row["unrealised_currency"] in (0, None)
            assert row["realised_currency"] in (0, None)
        gains = [(x.proceeds_base, x.cost_base) for x in lots.disposals if x.security == row["security_id"]]
        if row["realised"] is not None:
            assert row["realised"] == Decimal(sum(p - c for p, c in gains)) / MICRO  # type: ignore[operator]


@LAW
@given(ledgers(), st.sampled_from(["sector", "security", "currency"]), st.sampled_from(["1W", "ALL"]))
def test_the_rows_of_the_reports_add_up_to_the_cent(told: Told, by: str, period: str) -> None:
    view = law_view(told, by=by, period=period)
    for name, keys in (("returns_by", ("gain",)), ("fx_effect", ("gain", "local_gain", "currency_gain"))):
        found = table(name, view)
        places = {c.key: i for i, c in enumerate(found.columns)}
        for key in keys:
            cells = [r[key] for r in found.records()]
            if found.total is not None and found.total[places[key]] is not None and None not in cells:
                assert sum(cells) == found.total[places[key]]
        if name == "returns_by" and found.total is not None and found.total[places["share"]] is not None:
            shares = [r["share"] for r in found.records()]
            if None not in shares:
                assert sum(shares) == pytest.approx(found.total[places["share"]], abs=1e-4)
