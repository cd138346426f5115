"""Income: dividends worked by hand on made-up ledgers, adjusted prices, and the reports on the real database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from conftest import ROOT
from small import MARK, Small, bar_days, drafts, installed, row
from streamlit.testing.v1 import AppTest
from test_work_pages import choose

from core.book import Action, Book, Portfolio
from core.expected import held_income, payments, periodicity
from core.fx import Rates, Series, day_number
from core.income import dividends, months_later, reinvested, units_of, withholding, yield_on_cost
from core.ledger import Draft, LedgerError, Security, from_postings, post
from core.prices import back_adjusted, cash_and_splits, day_growth, dividend_factor, growth_of_one, symbol_on
from core.reasons import NegativeBase, NoRate, Reason, TooFewObservations
from core.scope import Scope
from db import books, ledger, market, portfolios, reports
from ui import session, show

ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
D = Decimal
# units of the currency for one euro, two days: the dollar falls from 1.00 to 1.25
RATES = Rates({"USD": Series(np.array([0, day_number(date(2026, 1, 1))], np.int32), np.array([1.0, 1.25]))})


def on(text: str) -> date:
    return date.fromisoformat(text)


def draft(kind: str, day: str, quantity: str = "", price: str = "", **more: Any) -> Draft:
    given = {"quantity": D(quantity) if quantity else None, "price": D(price) if price else None} | more
    return Draft(kind, on(day), "USD", ACME, **given)


def paid(day: str, gross: str, **more: Any) -> Draft:
    return Draft("dividend", on(day), "USD", ACME, gross=D(gross), **more)


def book(*rows: Draft, actions: Sequence[Action] = (), base: str = "USD", close: float = 20.0) -> Book:
    """A Book of one security that always closes at `close`."""
    made = from_postings(post(d, base, d.traded_on, date(2100, 1, 1)) for d in rows)
    prices = {1: Series(np.array([0], np.int32), np.array([close]))}
    portfolio = Portfolio(UUID(int=0), "test", base, None, "fifo")
    by_day = tuple(sorted(actions, key=lambda a: a.ex_on))
    return Book(portfolio, made, {1: ACME}, prices, RATES, {}, "1", actions={1: by_day})


def announced(ex: str, amount: str, pay: str | None = None) -> Action:
    return Action(1, "dividend", on(ex), on(pay) if pay else None, D(amount), "USD")


def at(text: str) -> int:
    return day_number(on(text))


# --- how often: the cases of Portfolio Performance's DividendCalculationTest, and what its rule says beside them ----


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], "none"),
        (["2019-01-15"], "irregular"),
        (["2019-01-15", "2020-01-15"], "annual"),
        (["2015-01-15", "2016-01-15", "2017-01-15", "2018-01-15", "2020-01-15"], "annual"),
        (["2016-01-15", "2017-01-15", "2017-04-15", "2017-07-15", "2017-10-15", "2018-01-15", "2018-04-15", "2018-07-15", "2018-10-15"], "quarterly"),
        (["2019-01-15", "2019-07-15"], "semi-annual"),
        (["2019-01-15", "2019-04-15"], "quarterly"),
        (["2019-01-15", "2019-02-15"], "monthly"),
        (["2019-04-15", "2019-01-15", "2019-01-15"], "quarterly"),  # two accounts paid on one day, in any order
        (["2019-01-15", "2019-01-25"], "irregular"),  # 10 days
        (["2019-01-15", "2020-04-15"], "irregular"),  # 456 days
    ],
)  # fmt: skip
def test_how_often_it_pays(days: list[str], expected: str) -> None:
    assert periodicity([(on(d), D(1)) for d in days]) == expected


def test_a_small_extra_payment_does_not_make_it_pay_more_often() -> None:
    """0.20 is under 30 % of the mean of 2019, (1 + 0.2 + 1) / 3 = 0.73: what counts is January and July."""
    assert periodicity([(on("2019-01-15"), D(1)), (on("2019-04-15"), D("0.2")), (on("2019-07-15"), D(1))]) == "semi-annual"  # fmt: skip


# --- one payment ------------------------------------------------------------------------------------------------


def test_what_withholding_leaves() -> None:
    got = withholding(D("55.50"), D("8.33"), D("1.00"), D("0.15"))
    assert (got.net, got.shares) == (D("46.17"), D(370))
    assert got.rate == pytest.approx(8.33 / 55.5)
    assert isinstance(withholding(D("-5"), D(0)).rate, Reason), "a refund has no rate"


def test_who_held_it_before_the_ex_date_gets_it() -> None:
    """100 bought, 2:1 split, 50 sold on the ex date: 200 units had the right to 0.50 each."""
    made = book(
        draft("buy", "2026-03-02", "100", "40"), draft("split", "2026-03-10", ratio=Fraction(2)), draft("sell", "2026-03-12", "50", "20"),
        paid("2026-03-20", "100.00", taxes=D("15.00"), fees=D("1.00")),
        actions=[announced("2026-03-12", "0.50", "2026-03-20"), announced("2026-06-12", "0.50", "2026-06-20")],
    )  # fmt: skip
    (got,) = dividends(made, at("2026-04-01"))
    assert (got.ex_on, got.pay_on) == (on("2026-03-12"), on("2026-03-20"))
    assert (got.units, got.per_share, got.implied) == (D(200), D("0.5"), D(200))
    assert (got.net, got.net_base, got.gross_base, got.taxes_base) == (D(84), D(84), D(100), D(15))
    assert units_of(made, at("2026-04-01"))[1].before(at("2026-03-10")) == 200, "the split of the day itself counts"
    assert units_of(made, at("2026-04-01"))[1].before(at("2026-03-13")) == 150
    assert dividends(made, at("2026-03-19")) == ()


def test_without_an_ex_date_the_units_before_the_booking_count() -> None:
    made = book(draft("buy", "2026-03-02", "100", "40"), draft("sell", "2026-03-20", "50", "20"), paid("2026-03-20", "10"))  # fmt: skip
    (got,) = dividends(made, at("2026-04-01"))
    assert (got.units, got.per_share, got.ex_on, got.implied) == (D(100), D("0.1"), None, None)


def test_the_base_currency_adds_up() -> None:
    """Cash moved at 0.90: net 84 → 75.60; withheld 15 → 13.50, fees 1 → 0.90, so gross is 90.00. Else at 1 / 1.25 = 0.80."""
    rows = [draft("buy", "2026-03-02", "100", "40"), paid("2026-03-20", "100", taxes=D(15), fees=D(1), fx=D("0.9")),
            paid("2026-03-21", "100", taxes=D(15))]  # fmt: skip
    own, of_day = dividends(book(*rows, base="EUR"), at("2026-04-01"))
    assert (own.net_base, own.taxes_base, own.gross_base) == (D("75.60"), D("13.50"), D("90.00"))
    assert (of_day.net_base, of_day.taxes_base, of_day.gross_base) == (D("68.00"), D("12.00"), D("80.00"))


def test_without_a_rate_there_is_a_reason_and_no_number() -> None:
    (got,) = dividends(book(draft("buy", "2026-03-02", "1", "40"), paid("2026-03-20", "1"), base="CHF"), at("2026-04-01"))  # fmt: skip
    assert (got.gross_base, got.net_base) == (None, None)
    assert isinstance(got.reason, NoRate)


# --- reinvested ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "price", "expected"),
    [
        ("2026-03-20", "21.25", True),  # 4 × 21.25 = 85, the net amount
        ("2026-03-27", "21.00", True),  # 84: 1.2 % less, a week later
        ("2026-03-28", "21.25", False),  # too late
        ("2026-03-19", "21.25", False),  # before it was paid
        ("2026-03-20", "20.50", False),  # 82: 3.5 % less
    ],
)
def test_a_purchase_soon_after_for_the_same_money_reinvests(day: str, price: str, expected: bool) -> None:
    rows = [draft("buy", "2026-03-02", "100", "40"), paid("2026-03-20", "100", taxes=D(15)), draft("buy", day, "4", price)]  # fmt: skip
    (got,) = dividends(book(*rows), at("2026-04-01"))
    assert got.reinvested is expected


def test_one_purchase_spends_one_dividend() -> None:
    rows = [draft("buy", "2026-03-02", "100", "40"), paid("2026-03-20", "85"), paid("2026-03-21", "85"), draft("buy", "2026-03-22", "4", "21.25")]  # fmt: skip
    assert [d.reinvested for d in dividends(book(*rows), at("2026-04-01"))] == [True, False]


def test_a_reinvested_dividend_is_two_entries_that_move_no_cash() -> None:
    """85 net at 19.99 buys 4.2521260630 units (rounded down); in euros at 0.9 both sides are 76.50."""
    pair = reinvested(paid("2026-03-20", "100", taxes=D(15), fx=D("0.9"), reference="R1"), D("19.99"))
    first, second = (post(d, "EUR", d.traded_on, date(2100, 1, 1)) for d in pair)
    assert (first.kind, second.kind, second.quantity, second.gross) == ("dividend", "buy", D("4.2521260630"), D(85))
    assert (first.net, second.net) == (D("76.50"), D("-76.50"))
    assert second.reference == "R1:reinvested"
    whole = reinvested(paid("2026-03-20", "100", taxes=D(15)), D(20), D(4))[1]
    assert post(whole, "USD", whole.traded_on, date(2100, 1, 1)).net == D(-80), "5.00 stay in cash"


@pytest.mark.parametrize(
    ("dividend", "price", "units", "field"),
    [
        (draft("buy", "2026-03-20", "1", "1"), "20", None, "kind"),
        (Draft("dividend", on("2026-03-20"), "EUR", ACME, gross=D(1)), "20", None, "currency"),
        (paid("2026-03-20", "100"), "0", None, "price"),
        (paid("2026-03-20", "100"), "20", "5.1", "quantity"),
        (paid("2026-03-20", "100"), "20", "-1", "quantity"),
        (paid("2026-03-20", "100", taxes=D(100)), "20", None, "gross"),
        (Draft("dividend", on("2026-03-20"), "USD", ACME), "20", None, "gross"),
    ],
)
def test_what_cannot_be_reinvested_says_why(dividend: Draft, price: str, units: str | None, field: str) -> None:
    with pytest.raises(LedgerError) as refused:
        reinvested(dividend, D(price), D(units) if units else None)
    assert refused.value.field == field


# --- yields -------------------------------------------------------------------------------------------------------


def test_the_yield_on_cost_of_a_year() -> None:
    """Portfolio Performance: 1,000 put in, 100 in 2019 and 100 in 2020 are 10 % a year; 2019 and 2021 alone 6.67 %."""
    first, second = (on("2019-01-15"), D(100)), (on("2020-01-15"), D(100))
    assert yield_on_cost([first, second], "EUR", D(1000), "EUR", "EUR", RATES) == pytest.approx(0.1)
    late = (on("2021-01-15"), D(100))
    assert yield_on_cost([first, late], "EUR", D(1000), "EUR", "EUR", RATES) == pytest.approx(0.2 / 3)


def test_both_sides_are_converted_before_they_are_divided() -> None:
    """50 USD on 1,000 USD are 5 % in any currency; 125 USD at 1.25 are 100 EUR, on 1,000 EUR 10 %."""
    fifty, more = [(on("2026-03-20"), D(50))], [(on("2026-03-20"), D(125))]
    assert yield_on_cost(fifty, "USD", D(1000), "USD", "EUR", RATES) == pytest.approx(0.05)
    assert yield_on_cost(more, "USD", D(1000), "EUR", "EUR", RATES) == pytest.approx(0.1)
    assert isinstance(yield_on_cost(fifty, "CHF", D(1000), "USD", "EUR", RATES), NoRate)
    assert yield_on_cost([], "USD", D(1000), "USD", "EUR", RATES) == TooFewObservations(0, 1)
    assert yield_on_cost(fifty, "USD", D(0), "USD", "EUR", RATES) == NegativeBase()


QUARTERS = [
    draft("buy", "2025-01-02", "100", "10"),
    paid("2025-05-15", "40"), paid("2025-08-15", "40"), paid("2025-09-15", "300"), paid("2025-11-17", "44"), paid("2026-02-16", "44"),
]  # fmt: skip


def test_what_is_to_come_is_inferred_from_the_regular_payments() -> None:
    """Four quarterly payments and a special one of 3.00 (over 300 % of the median 0.44): the last regular amount was 0.44."""
    made = book(*QUARTERS)
    got = [p for p in payments(made, at("2026-04-01"), {1: D(100)}) if p.state == "inferred"]
    assert [(p.pay_on, p.ex_on, p.gross_base) for p in got] == [
        (on("2026-05-16"), None, D(44)), (on("2026-08-16"), None, D(44)), (on("2026-11-16"), None, D(44)), (on("2027-02-16"), None, D(44)),
    ]  # fmt: skip
    assert all(p.net_base == D(44) for p in got), "nothing was withheld"
    late = payments(made, at("2026-09-01"), {1: D(100)})
    assert not [p for p in late if p.state == "inferred"], "two quarters without a payment: it stopped"
    assert payments(made, at("2026-04-01"), {1: D(0)})[-1].state == "received", "nothing is held"


def test_what_is_announced_comes_first_and_the_rest_is_inferred_from_it() -> None:
    made = book(*QUARTERS, actions=[announced("2026-05-04", "0.50", "2026-05-18")])
    got = [(p.state, p.ex_on, p.pay_on, p.gross_base) for p in payments(made, at("2026-04-01"), {1: D(100)}) if p.on > on("2026-04-01")]  # fmt: skip
    assert got == [
        ("announced", on("2026-05-04"), on("2026-05-18"), D(50)),
        ("inferred", on("2026-08-04"), on("2026-08-18"), D(50)),
        ("inferred", on("2026-11-04"), on("2026-11-18"), D(50)),
        ("inferred", on("2027-02-04"), on("2027-02-18"), D(50)),
    ]


def test_the_calendar_tells_what_was_not_booked() -> None:
    """Held on both ex dates: the one of March was paid and never booked, that of 20 May is on its way with 100 units."""
    made = book(
        draft("buy", "2026-01-02", "100", "10"), draft("sell", "2026-05-21", "60", "10"), paid("2026-02-16", "40"),
        actions=[announced("2025-12-01", "0.40", "2025-12-15"), announced("2026-02-02", "0.40", "2026-02-16"),
                 announced("2026-03-02", "0.40", "2026-03-16"), announced("2026-05-20", "0.40", "2026-06-20"), announced("2026-05-19", "0.10")],
    )  # fmt: skip
    got = payments(made, at("2026-06-01"), {1: D(40)})
    assert [(p.state, p.ex_on, p.units) for p in got if p.state != "inferred"] == [
        ("received", on("2026-02-02"), D(100)),
        ("not booked", on("2026-03-02"), D(100)),
        ("awaited", on("2026-05-19"), D(100)),
        ("announced", on("2026-05-20"), D(100)),
    ]


def test_a_split_changes_what_one_share_pays() -> None:
    """0.40 a quarter before a 4:1 split are 0.10 for each of the 400 shares."""
    made = book(draft("buy", "2025-01-02", "100", "10"), paid("2025-08-15", "40"), paid("2025-11-15", "40"), draft("split", "2025-12-01", ratio=D(4)))  # fmt: skip
    nearest = next(p for p in payments(made, at("2026-01-15"), {1: D(400)}) if p.state == "inferred")
    assert (nearest.pay_on, nearest.per_share, nearest.gross_base) == (on("2026-02-15"), D("0.1"), D(40))


def test_what_a_holding_yields() -> None:
    """0.40 + 3.00 + 0.44 + 0.44 in the year to 1 July × 100 units at 0.80 EUR, on 1,600 EUR of value and 1,000 EUR of cost."""
    made = book(*QUARTERS, base="EUR")
    (got,) = held_income(made, at("2026-07-01"), [(ACME, D(100), D(1600), D(1000), D(1000))])
    assert (got.frequency, got.last_on, got.trailing_per_share) == ("quarterly", on("2026-02-16"), D("4.28"))
    assert (got.trailing, got.forward) == (
        D("342.40"),
        D("140.80"),
    )  # August, November, February, May: 0.44 × 100 × 0.8 each
    assert got.over(got.trailing, got.value) == pytest.approx(0.214)
    assert got.over(got.trailing, got.cost) == pytest.approx(0.3424)
    assert got.per_year_on_cost == pytest.approx(4.68 * 100 / 1000 / 2), "over 2025 and 2026, rates cancel"
    (none,) = held_income(book(QUARTERS[0]), at("2026-07-01"), [(ACME, D(100), D(2000), D(1000), D(1000))])
    assert (none.frequency, none.trailing, none.forward, none.reason) == ("none", None, None, "no dividend is known")
    assert none.over(none.trailing, none.value) is None


def test_bookings_before_the_position_was_opened_say_nothing_of_the_period() -> None:
    """Sold and bought again: the gap between February and November is not that of the company."""
    made = book(draft("buy", "2025-01-02", "100", "10"), paid("2025-02-15", "40"), draft("sell", "2025-03-01", "100", "10"),
                draft("buy", "2025-11-01", "100", "10"), paid("2025-11-15", "40"), paid("2026-02-15", "40"))  # fmt: skip
    (got,) = held_income(made, at("2026-03-01"), [(ACME, D(100), None, D(1000), None)])
    assert got.frequency == "quarterly"
    assert got.reason == "known since it was bought on 2025-11-01: what it paid before is missing"


def test_months_end_where_they_end() -> None:
    assert months_later(on("2026-01-31"), 1) == on("2026-02-28")
    assert months_later(on("2024-02-29"), -12) == on("2023-02-28")
    assert months_later(on("2026-11-30"), 3) == on("2027-02-28")


# --- adjusted prices --------------------------------------------------------------------------------------------------

CLOSES = Series(np.array([10, 11, 14, 15], np.int32), np.array([100.0, 98.0, 49.0, 50.0]))


def test_adjusted_closes_by_hand() -> None:
    """2.00 paid on day 11: × 0.98 before it; a 2:1 split on day 12 counts at the next bar: × 0.5 before that."""
    got = back_adjusted(CLOSES, {11: 2.0}, {12: 2.0})
    assert got.values.tolist() == pytest.approx([100 * 0.98 / 2, 49, 49, 50])
    assert growth_of_one(CLOSES, {11: 2.0}, {12: 2.0}, "cum").values.tolist() == pytest.approx([1, 1, 1, 50 / 49])
    assert growth_of_one(CLOSES, {11: 2.0}, {12: 2.0}, "ex").values.tolist() == pytest.approx([1, 1, 1, 50 / 49])
    outside = {10: 5.0, 99: 5.0}
    assert back_adjusted(CLOSES, outside, {}).values.tolist() == CLOSES.values.tolist()


def test_the_two_conventions_differ_where_the_price_moves() -> None:
    """100 → 99 with 2 paid: at the last close with it 99 / 98, at the close of the ex date 101 / 100."""
    assert day_growth(100, 99, 2) == pytest.approx(99 / 98)
    assert day_growth(100, 99, 2, reinvested="ex") == pytest.approx(1.01)
    assert day_growth(100, 24, 0.5, 4) == pytest.approx(96 / 98), "0.50 a new share after a 4:1 split is 2 an old one"


def test_a_dividend_above_the_price_has_no_factor() -> None:
    assert dividend_factor(100, 2) == pytest.approx(0.98)
    assert isinstance(dividend_factor(2, 2), Reason)
    assert isinstance(day_growth(0, 1), Reason)
    assert np.isnan(back_adjusted(CLOSES, {11: 200.0}, {}).values[0])
    assert np.isnan(growth_of_one(CLOSES, {11: 200.0}, {}).values[-1])


def test_a_symbol_has_its_days() -> None:
    rows = [(on("2050-12-31"), "NEW"), (on("2014-04-02"), "OLD")]
    assert [symbol_on(rows, on(d)) for d in ("2014-04-02", "2014-04-03", "2051-01-01")] == ["OLD", "NEW", None]


def test_actions_adjust_in_the_security_s_currency() -> None:
    euros = Action(1, "dividend", on("2026-03-02"), None, D("0.80"), "EUR")
    split = Action(1, "split", on("2026-03-03"), ratio=Fraction(2))
    assert cash_and_splits([euros, split], "USD", RATES) == ({at("2026-03-02"): 1.0}, {at("2026-03-03"): 2.0})
    unknown, _ = cash_and_splits([euros], "USD", Rates({}))
    assert np.isnan(unknown[at("2026-03-02")])


# --- on the real database -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """Anna's dollars have one dividend and two announced ones (tests/small.py); "Coupons" is paid every quarter, "Payless" never."""
    with installed(server) as made:
        made.portfolios["Coupons"] = portfolios.create_portfolio(made.anna, "Coupons", "USD")
        made.portfolios["Payless"] = portfolios.create_portfolio(made.anna, "Payless", "USD")
        days = bar_days(made.now)
        rows = [row(days[0], "deposit", gross="10000"), row(days[1], "buy", "BOLT", quantity="100", price="40")]
        ledger.append(made.anna, made.portfolios["Payless"], drafts(made, made.anna, rows, "USD"), made.now.date())
        rows += [row(made.now.date() - timedelta(days=n), "dividend", "BOLT", gross="20", taxes="3") for n in (280, 189, 98, 7)]  # fmt: skip
        ledger.append(made.anna, made.portfolios["Coupons"], drafts(made, made.anna, rows, "USD"), made.now.date())
        yield made


def answers(small: Small, name: str, portfolio: str, **query: str) -> Any:
    """The rows of a report: of the Table, the JSON and the CSV, which must agree on how many there are."""
    number = small.portfolios[portfolio]
    table = reports.answer(small.user("anna"), name, Scope.read(number, query))
    client, asked = small.client("anna"), {"portfolio": str(number), **query}
    json_rows = client.get(f"/v1/reports/{name}", params=asked).json()["rows"]
    csv_rows = list(csv.DictReader(io.StringIO(client.get(f"/v1/reports/{name}", params=asked | {"format": "csv"}).text)))  # fmt: skip
    assert len(table.rows) == len(json_rows) == len(csv_rows)
    return table, json_rows, csv_rows


def test_a_dividend_is_told_alike_by_table_json_and_csv(small: Small) -> None:
    """(120 + 33.3333333333 − 20) × 3 = 399.9999999999 units and 7 more were held: 55.55 / 406.9999999999 = 0.1364864865 each."""
    table, in_json, in_csv = answers(small, "dividends", f"{MARK} dollars")
    days = bar_days(small.now)
    (got,) = table.records()
    assert (got["on"], got["ex_on"], got["symbol"]) == (days[80], days[78], "ACME")
    assert (got["gross"], got["taxes"], got["net_amount"], got["net_base"]) == (D("55.55"), D("8.33"), D("47.22"), D("47.22"))  # fmt: skip
    assert got["units"] == D("406.9999999999")
    assert got["per_share"] == D("0.1364864865")
    assert got["rate"] == pytest.approx(0.149955, abs=1e-6)
    assert D(in_json[0]["net_amount"]) == D(in_csv[0]["net_amount"]) == D("47.22")
    assert in_csv[0]["reinvested"] == "no"


def test_the_calendar_looks_a_year_back_and_ahead(small: Small) -> None:
    """0.16 announced × 406.9999999999 = 65.12 in 34 days; the dividend of the euro share is not for this portfolio."""
    table, in_json, _ = answers(small, "income_calendar", f"{MARK} dollars")
    assert [(r["symbol"], r["state"]) for r in table.records()] == [("ACME", "announced"), ("ACME", "received")]
    assert D(in_json[0]["gross_base"]) == D("65.12")
    assert in_json[0]["pay_on"] == (small.now.date() + timedelta(days=34)).isoformat()
    projected, _, _ = answers(small, "income_projection", f"{MARK} dollars")
    (one,) = projected.records()
    assert (one["basis"], one["gross_base"]) == ("announced", D("65.12"))
    assert one["net_base"] == D("55.35"), "65.12 × (1 − 8.33 / 55.55) = 55.354…"
    euros, _, _ = answers(small, "income_calendar", f"{MARK} euros")
    assert [(r["symbol"], r["state"], r["units"]) for r in euros.records()] == [("RHEIN", "announced", D("67.7"))]


def test_a_regular_payer_month_by_month(small: Small) -> None:
    """Four payments of 20, 91 days apart: 80 received, 12 withheld; four more of 20 inferred; 80 on a cost of 4,000 is 2 %."""
    months, in_json, _ = answers(small, "income_months", "Coupons")
    assert months.total is not None
    assert months.total[1:] == (D(80), D(12), D(68), D(0), D(80))
    assert len(in_json) == 25
    figures = {f.key: f.value for f in months.figures}
    assert (figures["trailing"], figures["projected"], figures["withheld"]) == (D(80), D(80), D(12))
    assert figures["on_cost"] == pytest.approx(0.02)
    yields, _, _ = answers(small, "income_yields", "Coupons")
    (bolt,) = yields.records()
    assert (bolt["frequency"], bolt["per_share"], bolt["trailing"], bolt["forward"]) == ("quarterly", D("0.8"), D(80), D(80))  # fmt: skip
    assert bolt["on_value"] == pytest.approx(float(80 / bolt["value"]))
    assert bolt["forward_on_cost"] == pytest.approx(0.02)


def test_what_was_announced_later_was_not_known_before(small: Small) -> None:
    """A new action makes a new Book at once; a look at an earlier time does not have it."""
    number, before = small.portfolios["Payless"], small.client("anna")
    assert answers(small, "income_calendar", "Payless")[0].rows == ()
    with small.database.owner() as c:
        (known,) = c.execute("SELECT clock_timestamp()").fetchone() or (None,)
    bolt = small.securities["BOLT"]
    soon = Action(bolt, "dividend", small.now.date() + timedelta(days=9), None, D("0.25"), "USD")
    with small.database.jobs() as c:
        assert market.upsert_actions(c, [soon], "csv") == 1
        assert market.upsert_actions(c, [soon], "csv") == 0, "the same again changes nothing"
    assert [r["gross_base"] for r in answers(small, "income_calendar", "Payless")[0].records()] == [D(25)]
    assert known is not None
    asked = {"portfolio": str(number), "known_at": known.isoformat()}
    assert before.get("/v1/reports/income_calendar", params=asked).json()["rows"] == []
    with small.database.jobs() as c:
        later = Action(bolt, "dividend", soon.ex_on, soon.ex_on + timedelta(days=14), D("0.25"), "USD")
        assert market.upsert_actions(c, [later], "csv") == 1
        assert market.upsert_actions(c, [soon], "csv") == 0, "an answer without the pay date does not lose it"
    (stored,) = books.live(small.anna, number).book.actions[bolt]
    assert stored == later


def test_the_page_says_what_the_reports_say(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60).run()
    for portfolio, words in (("Coupons", "80.00\u00a0USD received in twelve months"), ("Empty pockets", "has no transactions yet")):  # fmt: skip
        number = small.portfolios.get(portfolio) or portfolios.create_portfolio(small.anna, portfolio, "USD")
        at.query_params["portfolio"] = str(number)
        at.switch_page("income.py")
        at.run()
        assert not at.exception
        said = "\n".join(str(e.value) for e in (*at.subheader, *at.info, *at.caption))
        assert words in said
        cards = {m.label: m.value for m in at.metric}
        if portfolio == "Coupons":
            table = reports.answer(small.user("anna"), "income_months", Scope(number))
            assert cards["Last 12 months"] == "80.00"
            assert cards["Yield on cost"] == show.percent(0.02)
            assert cards["Withheld"] == show.text(table.figure("withheld").value, table.figure("withheld").kind, "USD")
        else:
            assert not cards


def test_the_price_history_has_adjusted_closes(small: Small) -> None:
    """ACME: 0.1365 a share on day 78 and 3:1 on day 60. Before both: close × (1 − 0.1365 / close of day 77) / 3."""
    asked = {"security": str(small.securities["ACME"])}
    found = small.client("anna").get("/v1/reports/prices", params=asked).json()["rows"][::-1]
    closes, adjusted = [float(r["close"]) for r in found], [r["adjusted"] for r in found]
    factor = 1 - 0.1365 / closes[77]
    assert adjusted[-1] == closes[-1]
    assert adjusted[77] == pytest.approx(closes[77] * factor)
    assert adjusted[59] == pytest.approx(closes[59] * factor / 3)


# --- booking a reinvested dividend ------------------------------------------------------------------------------------


def test_the_api_books_a_reinvested_dividend_both_or_none(small: Small) -> None:
    """17 net at 3.40 are 5 units: the position grows, cash does not move; a price that is none books neither."""
    number, client = small.portfolios["Payless"], small.client("anna")
    asked = {"portfolio": str(number)}
    new = {"date": small.now.date().isoformat(), "kind": "dividend", "symbol": "BOLT", "gross": "20", "taxes": "3"}
    before = client.get("/v1/reports/cash", params=asked).json()["rows"]
    for wrong in ({"reinvest_price": "-1"}, {"reinvest_units": "5"}, {"reinvest_price": "3.40", "reinvest_units": "6"}):
        answer = client.post("/v1/transactions", params=asked, json=new | wrong)
        assert answer.status_code == 422, answer.text
    assert client.get("/v1/reports/dividends", params=asked).json()["rows"] == []
    answer = client.post("/v1/transactions", params=asked, json=new | {"reinvest_price": "3.40"})
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["booked"]) == 2
    (got,) = client.get("/v1/reports/dividends", params=asked).json()["rows"]
    assert (got["reinvested"], D(got["net_amount"]), D(got["units"])) == (True, D(17), D(100))
    assert client.get("/v1/reports/cash", params=asked).json()["rows"] == before
    assert D(client.get("/v1/reports/holdings", params=asked).json()["rows"][0]["units"]) == D(105)


def test_the_form_books_a_reinvested_dividend(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two units at 10.00 of a dividend of 20.00: said before, booked together, undone together."""
    number = portfolios.create_portfolio(small.anna, "Formal", "USD")
    rows = [row(bar_days(small.now)[0], "deposit", gross="10000"), row(bar_days(small.now)[1], "buy", "BOLT", quantity="100", price="40")]  # fmt: skip
    ledger.append(small.anna, number, drafts(small, small.anna, rows, "USD"), small.now.date())
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60).run()
    at.query_params["portfolio"] = str(number)
    at.switch_page("transactions.py")
    at.session_state["transactions_tabs"] = "New entry"
    at.run()
    choose(at, "dividend")
    at.selectbox(key=next(s.key for s in at.selectbox if str(s.key).endswith("_symbol"))).select("XNYS:BOLT").run()

    def fill(field: str, value: str) -> None:
        next(w for w in at.text_input if str(w.key).endswith(f"_{field}")).input(value).run()

    fill("gross", "20")
    next(c for c in at.checkbox if c.label == "Reinvested").check().run()
    next(b for b in at.button if b.label == "Book it").click().run()
    assert any("a reinvestment needs it" in str(m.value).lower() for m in at.markdown), "the price is missing"
    fill("reinvest_price", "10")
    assert any("buy 2 BOLT at 10.00 = 20.00" in str(i.value) for i in at.info)
    next(b for b in at.button if b.label == "Book it").click().run()
    assert not at.exception
    user, scope = small.user("anna"), Scope(number)
    (got,) = reports.answer(user, "dividends", scope).records()
    assert (got["reinvested"], got["net_amount"]) == (True, D(20))
    assert reports.answer(user, "holdings", scope).column("units") == [D(102)]
    next(b for b in at.button if b.label == "Undo").click().run()
    assert reports.answer(user, "dividends", scope).rows == ()
    assert reports.answer(user, "holdings", scope).column("units") == [D(100)]
