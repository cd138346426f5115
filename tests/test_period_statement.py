"""The statement of a period: a table worked by hand, and its laws over ledgers of every kind and cost method."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import DAYS, FIRST, Told, ledgers
from test_asset_returns import FIRST as MONDAY
from test_asset_returns import MANY, book, buy, deposit, series, table, view

from core.explain import explain, explain_figure
from core.fx import Rates, day_number
from core.ledger import MICRO, Draft
from core.reports.statement import statement_of
from core.view import View

LAW = settings(max_examples=1000, deadline=None)
CENT = Decimal("0.01")


def lines(v: View) -> dict[str, dict[str, Any]]:
    return {row["line"]: row for row in table(v, "statement").records()}


def recomputed(v: View, name: str) -> None:
    shown = table(v, name)
    places = [*range(len(shown.rows)), *([None] if shown.total is not None else [])]
    for column in shown.columns:
        for row in places:
            found = explain(v, shown, column.key, row)
            assert found.recomputed == found.value, (name, column.key, row)
    for figure in shown.figures:
        found = explain_figure(v, shown, figure.key)
        assert found.recomputed == found.value, (name, figure.key)


def euros() -> View:
    """100 US shares at 10 with 1.00 dollars a euro; the period starts at 12 and 1.20: they are worth 1,000 euros. In it 40 are sold at 15 with a fee of 2
    dollars at 1.25, a dividend of 30 with 5 of tax comes at 1.25, and the rest ends at 14 with 1.40."""
    days = MANY[:60]
    rate = {d: 1.0 if i < 10 else 1.2 if i < 20 else 1.25 if i < 40 else 1.4 for i, d in enumerate(days)}
    price = {d: 10.0 if i < 10 else 12.0 if i < 20 else 15.0 if i < 40 else 14.0 for i, d in enumerate(days)}
    one = book([], {}).securities[1]
    entries = [
        deposit(MONDAY, 2000, "EUR"), buy(MONDAY, 100, 10),
        Draft("sell", days[25], "USD", one, Decimal(40), Decimal(15), fees=Decimal(2)),
        Draft("dividend", days[30], "USD", one, gross=Decimal(30), taxes=Decimal(5)),
        Draft("fee", days[35], "EUR", gross=Decimal("1.50")),
    ]  # fmt: skip
    of = book(entries, {1: price}, base="EUR", rates=Rates({"USD": series(rate)}))
    return view(of, days[-1], period="ALL")


def test_a_period_by_hand() -> None:
    v = euros()
    found, _ = statement_of(v)
    assert found is not None
    t = found.total
    # since inception: the 40 cost 400.00 and brought 600 / 1.25 = 480.00; the 60 cost 600.00 and are worth 840 / 1.40 = 600.00
    assert (t.realised, t.unrealised) == (Decimal("80.00"), Decimal("0.00"))
    # 400 dollars at 1.25 are 320.00: −80.00 of the 80.00 are the dollar's, 160.00 the price's; 600 at 1.40 are 428.57
    assert (t.realised_currency, t.unrealised_currency) == (Decimal("-80.00"), Decimal("-171.43"))
    assert (t.dividends, t.taxes, t.fees) == (Decimal("24.00"), Decimal("-4.00"), Decimal("-3.10"))
    # dollars: −1000 at 1.00, +598 at 1.25, +25 at 1.25; −377 end at 1.40: −269.29; moved −1000.00 + 478.40 + 20.00 = −501.60
    assert t.cash_currency == Decimal("232.31")
    assert t.gain == Decimal("329.21")
    assert t.gain == v.valuation.total - Decimal(2000)
    assert lines(v)["end"]["amount"] == v.valuation.total
    recomputed(v, "statement")
    recomputed(v, "statement_positions")


def test_every_realised_gain_has_its_price_and_its_currency_part() -> None:
    """40 at 10 and 1.00, sold for 598 dollars after the fee at 1.25: 478.40 − 400; 400 dollars at 1.25 are 320: −80 by the dollar."""
    (row,) = table(euros(), "realised").records()
    assert (row["gain"], row["currency_gain"], row["local_gain"]) == (Decimal("78.40"), Decimal("-80.00"), Decimal("158.40"))


def law_view(told: Told, on: int, period: str, by: str = "security") -> View:
    return view(told.book(), FIRST + timedelta(days=on), period=period, by=by)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1), st.sampled_from(["1D", "1W", "1M", "ALL"]), st.sampled_from(["security", "sector", "currency"]))
def test_the_statement_is_end_less_start_less_flows(told: Told, on: int, period: str, by: str) -> None:
    """To the cent; positions and cash add up to the portfolio, local and currency parts to the gain, and all of it is what the lines say."""
    v = law_view(told, on, period, by)
    found, _ = statement_of(v)
    if found is None:
        return
    assert found.left_out_amount == 0 or found.left_out
    assert found.opening.total + found.flow + found.left_out_amount + found.total.gain == found.closing.total
    assert found.closing.total == v.valuation.total
    t = found.total
    assert t.gain == t.local_gain + t.currency_gain
    shown = table(v, "statement_positions")
    assert shown.total is not None
    for column in ("start_value", "end_value", "transfers", "gain", "currency_gain", "fees", "taxes", "dividends", "realised", "unrealised"):
        assert sum((x for x in shown.column(column) if x is not None), Decimal(0)) == shown.total_of(column), column
    for n, a in found.positions.items():
        if n not in found.left_out:
            assert a.end == a.start + a.purchases + a.sales + a.transfers + a.unrealised + a.realised
    line = lines(v)
    middle = sum((row["amount"] for key, row in line.items() if key not in ("start", "end", "gain")), Decimal(0))
    assert line["start"]["amount"] + middle == line["end"]["amount"]


@LAW
@given(ledgers(), st.integers(1, DAYS - 2), st.integers(1, DAYS - 1))
def test_two_periods_are_the_whole(told: Told, first: int, second: int) -> None:
    """Gains of two periods that follow each other add up to that of both; what was realised since purchase agrees with the lots."""
    from core.period_statement import period_statement
    from core.valuation import value

    a, b = sorted((first, second))
    of, days = told.book(), [day_number(FIRST) + n for n in (-1, a, b)]
    v = law_view(told, b, "ALL")
    at = [value(of, d, {}, v.now) for d in days]
    one, two, both = (period_statement(of, days[i], days[j], at[i], at[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
    if not (one.left_out or two.left_out or both.left_out):
        assert one.total.gain + two.total.gain == both.total.gain
        assert one.flow + two.flow == both.flow
    lots = v.lots.closed
    gains, known = lots.gains()
    assert both.total.since_purchase == Decimal(sum(int(g) for g, k in zip(gains, known, strict=True) if k)) / MICRO


@settings(max_examples=150, deadline=None)
@given(ledgers(), st.integers(0, DAYS - 1), st.sampled_from(["1W", "ALL"]))
def test_every_cell_recomputes(told: Told, on: int, period: str) -> None:
    for name in ("statement", "statement_positions", "realised"):
        recomputed(law_view(told, on, period), name)


def test_an_empty_portfolio_has_no_statement() -> None:
    v = view(book([], {}), MANY[5])
    assert table(v, "statement").rows == table(v, "statement_positions").rows == ()


def test_what_was_never_priced_is_left_out_and_said() -> None:
    v = view(book([deposit(MONDAY, 1000), buy(MONDAY, 10, 50)], {}), MANY[10], period="ALL")
    shown = lines(v)
    assert "no price for ACME" in shown["left_out"]["reason"]
    assert shown["gain"]["amount"] == 0
    with pytest.raises(KeyError):
        table(v, "statement").figure("nothing")
