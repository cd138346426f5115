"""Reconciliation: every verdict and every cause with an example made by hand, the file's reader, sign-off, who may do what.

The portfolio of the examples: 100 ACME bought on Monday 2026-03-02 at 50 with a fee of 4.95, 40 BOLT at 20, paid from a deposit
of 10,000 dollars: cash 10,000 − 5,004.95 − 800 = 4,195.05. The statement is of Friday 2026-03-13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, bar_days, drafts, installed, row
from streamlit.testing.v1 import AppTest

from core import statement
from core.book import Book, Portfolio
from core.causes import Action
from core.fx import Rates, Series, day_number
from core.importing import NotReadable
from core.ledger import Draft, LedgerError, Security, from_postings, post
from core.listings import Listings
from core.reconciliation import Reconciliation, Result, Row, Tolerances, compare, ours, since
from db import access, ledger, portfolios, reconciliation
from db.access import AccessDenied
from db.books import NoSuchPortfolio
from ui import session

ON = date(2026, 3, 13)
ACME = Security(1, "ACME", "Acme works", "XNYS", "USD", "Equity")
BOLT = Security(2, "BOLT", "Bolt", "XNYS", "USD", "Equity")
RHEIN = Security(3, "RHEIN", "Rhein", "XETR", "EUR", "Equity")
NEWCO = Security(4, "NEWCO", "Newco", "XNYS", "USD", "Equity")
LISTED = {s.security_id: s for s in (ACME, BOLT, RHEIN, NEWCO)}
ISINS = {1: "US0378331005"}
D = Decimal


def draft(
    kind: str, on: date, security: Security | None = None, settles: date | None = None, **more: Any
) -> tuple[Draft, date]:
    values = {k: D(v) if isinstance(v, str) else v for k, v in more.items()}
    return Draft(
        kind, on, values.pop("currency", security.currency if security else "USD"), security, **values
    ), settles or on


OPENING = (
    draft("deposit", date(2026, 3, 2), gross="10000"),
    draft("buy", date(2026, 3, 2), ACME, date(2026, 3, 3), quantity="100", price="50", fees="4.95"),
    draft("buy", date(2026, 3, 2), BOLT, date(2026, 3, 3), quantity="40", price="20"),
)
CLOSES = {  # weekdays from 2026-03-02; ACME 52.00 on the statement's day, BOLT 21.00
    1: ["50", "50.25", "50.50", "50.75", "51", "51.2", "51.4", "51.6", "51.8", "52"],
    2: ["20", "20.1", "20.2", "20.3", "20.4", "20.5", "20.6", "20.7", "20.8", "21"],
}


def book(*more: tuple[Draft, date], closes: dict[int, list[str]] | None = None) -> Book:
    """The examples' portfolio with more booked."""
    drafts = [*OPENING, *more]
    ledger = from_postings(
        [post(d, "USD", settles, date(2026, 6, 1)) for d, settles in drafts],
        ids=[UUID(int=n) for n in range(1, len(drafts) + 1)],
    )
    weekdays = [d for n in range(12) if (d := date(2026, 3, 2) + timedelta(days=n)).weekday() < 5]
    days = np.array([day_number(d) for d in weekdays], np.int32)
    prices = {s: Series(days, np.array([float(x) for x in row])) for s, row in (closes or CLOSES).items()}
    rates = Rates({"USD": Series(np.array([day_number(date(2026, 1, 1))], np.int32), np.array([1.25]))})
    return Book(Portfolio(uuid4(), "P", "USD", None, "fifo"), ledger, LISTED, prices, rates, {}, "1")


def reconciled(
    text: str,
    *more: tuple[Draft, date],
    actions: tuple[Action, ...] = (),
    closes: dict[int, list[str]] | None = None,
    **how: Any,
) -> Result:
    """A statement in CSV beside the portfolio."""
    lines = statement.identified(statement.read(text).lines, Listings(LISTED), ISINS, [1, 2], ON)
    return compare(
        ours(book(*more, closes=closes), how.pop("on", ON), LISTED, actions),
        lines,
        how.pop("tolerances", Tolerances()),
        **how,
    )


def only(result: Result, symbol: str) -> Row:
    (row,) = [r for r in result.rows if r.symbol == symbol]
    return row


def codes(row: Row) -> list[str]:
    return [c.code for c in row.causes]


HEAD = "symbol,quantity,price,currency\n"
MATCHING = HEAD + "ACME,100,52,USD\nBOLT,40,21,USD\n"


# --- verdicts ----------------------------------------------------------------------------------


def test_everything_matches() -> None:
    result = reconciled(MATCHING + "CASH,4195.05,,USD\n")
    assert [(r.symbol, r.verdict, r.causes) for r in result.rows] == [
        ("ACME", "matched", ()),
        ("BOLT", "matched", ()),
        ("Cash USD", "matched", ()),
    ]
    acme = only(result, "ACME")
    assert (acme.our_value, acme.their_value, acme.value_difference) == (D("5200.00"), D("5200.00"), D("0.00"))
    assert result.notes == ()


def test_the_five_verdicts() -> None:
    text = (
        "isin,symbol,name,quantity,price,currency\nUS0378331005,,,93,52,USD\n,NEWCO,,5,10,USD\n,,Nobody knows,3,1,USD\n"
    )
    result = reconciled(text)
    assert {r.symbol: r.verdict for r in result.rows} == {
        "ACME": "quantity",
        "NEWCO": "extra",
        "Nobody knows": "extra",
        "BOLT": "missing",
    }
    acme = only(result, "ACME")
    assert (acme.our_units, acme.their_units, acme.unit_difference) == (D(100), D(93), D(-7))
    assert (acme.our_value, acme.their_value, acme.value_difference) == (D("5200.00"), D("4836.00"), D("-364.00"))
    assert [only(result, s).value_difference for s in ("BOLT", "NEWCO", "Nobody knows")] == [
        D("-840.00"),
        D(50),
        D(3),
    ]  # 40 × 21, 5 × 10, 3 × 1
    assert codes(only(result, "Nobody knows")) == ["unknown"]
    assert only(reconciled(MATCHING.replace("52", "51.7")), "ACME").verdict == "price"
    assert result.notes == ("The statement has no cash: only positions were compared.",)


def test_tolerances_hold_at_their_edge() -> None:
    text = HEAD + "ACME,100.5,52.52,USD\nBOLT,40,21,USD\nCASH,4195.15,,USD\n"  # half a unit, 1 %, ten cents
    edge = Tolerances(D("0.5"), D("0.01"), D("0.10"))
    assert {r.verdict for r in reconciled(text, tolerances=edge).rows} == {"matched"}
    tight = Tolerances(D("0.49"), D("0.0099"), D("0.09"))
    assert [r.verdict for r in reconciled(text, tolerances=tight).rows] == ["quantity", "quantity", "matched"]
    with pytest.raises(LedgerError, match="price tolerance 1"):
        Tolerances(price=D(1))


def test_cash_alone_and_several_lines_of_one_security() -> None:
    cash = reconciled("currency,amount\nUSD,4195.05\n")
    assert [(r.symbol, r.verdict) for r in cash.rows] == [("Cash USD", "matched")]
    assert cash.notes == ("The statement has no positions: only cash was compared.",)
    twice = reconciled(HEAD + "ACME,60,52,USD\nACME,40,52,USD\nBOLT,40,21,USD\n")
    assert only(twice, "ACME").verdict == "matched"
    assert only(twice, "ACME").lines == (2, 3)


def test_a_price_in_another_currency_is_converted() -> None:
    euros = reconciled(MATCHING.replace("ACME,100,52,USD", "ACME,100,41.60,EUR"))  # 52 / 1.25
    assert only(euros, "ACME").verdict == "matched"
    assert only(euros, "ACME").their_price == D(52)


# --- causes: units -----------------------------------------------------------------------------


def test_a_known_split_that_is_not_booked() -> None:
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,400,13"), actions=(split,)), "ACME")
    assert (row.verdict, codes(row), row.causes[0].strong) == ("quantity", ["split"], True)
    assert "4:1 split with ex-date 2026-03-11 is known and not booked here" in row.causes[0].text


LATER = date(2026, 7, 17)  # four months after the split


@pytest.mark.parametrize("on", [date(2026, 3, 13), date(2026, 4, 30), LATER, date(2031, 7, 17)])
def test_an_unbooked_split_is_named_whatever_its_age(on: date) -> None:
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,400,13"), actions=(split,), on=on), "ACME")
    assert [(c.code, c.strong) for c in row.causes] == [("split", True)]
    assert row.causes[0].text == "The 4:1 split with ex-date 2026-03-11 is known and not booked here."


def test_an_unbooked_split_is_named_beside_trades_since() -> None:
    """100 become 400; 30 bought and 100 sold in April: 330 there, 30 here."""
    more = (
        draft("buy", date(2026, 4, 1), ACME, quantity="30", price="13"),
        draft("sell", date(2026, 4, 8), ACME, quantity="100", price="14"),
    )
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,330,13"), *more, actions=(split,), on=LATER), "ACME")
    assert (row.our_units, codes(row)) == (D(30), ["split"])


def test_all_sold_here_by_an_unbooked_split_and_the_rest_still_there() -> None:
    sold = draft("sell", date(2026, 4, 8), ACME, quantity="100", price="14")
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,300,13"), sold, actions=(split,), on=LATER), "ACME")
    assert (row.verdict, codes(row)) == ("extra", ["split"])


def test_two_unbooked_splits_are_named_together_and_one_alone() -> None:
    both = (
        Action(1, "split", date(2026, 3, 11), Fraction(4), None, None),
        Action(1, "split", date(2026, 5, 5), Fraction("0.5"), None, None),
    )
    (cause,) = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,200,26"), actions=both, on=LATER), "ACME").causes
    assert (
        cause.text
        == "The 4:1 split with ex-date 2026-03-11 and the 1:2 split with ex-date 2026-05-05 are known and not booked here."
    )
    (cause,) = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,400,13"), actions=both, on=LATER), "ACME").causes
    assert cause.text == "The 4:1 split with ex-date 2026-03-11 is known and not booked here."


def test_a_trade_that_is_not_settled_beside_an_unbooked_split() -> None:
    """10 bought on the 10th settle on the 16th: with the split of the 11th 440 are traded and 400 settled."""
    bought = draft("buy", date(2026, 3, 10), ACME, date(2026, 3, 16), quantity="10", price="51")
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    text = MATCHING.replace("ACME,100,52", "ACME,400,13")
    assert codes(only(reconciled(text, bought, actions=(split,)), "ACME")) == ["split"]
    text = MATCHING.replace("ACME,100,52", "ACME,440,13")
    assert codes(only(reconciled(text, bought, actions=(split,), basis="trade"), "ACME")) == ["split"]


def test_a_split_that_was_booked_is_no_cause_four_months_later() -> None:
    booked = draft("split", date(2026, 3, 11), ACME, ratio="4")
    split = Action(1, "split", date(2026, 3, 11), Fraction(4), None, None)
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,390,13"), booked, actions=(split,), on=LATER), "ACME")
    assert "split" not in codes(row)


def test_an_old_dividend_that_is_not_booked_is_named_and_one_that_is_booked_is_not() -> None:
    """0.50 on 100 units, ex on 4 March, four months before the statement: 50.00."""
    dividend = Action(1, "dividend", date(2026, 3, 4), None, D("0.50"), "USD")
    text = "CASH,4245.05,,USD\n"
    (cause,) = only(reconciled(HEAD + text, actions=(dividend,), on=LATER), "Cash USD").causes
    assert (cause.code, cause.strong) == ("dividend", True)
    assert "ex-date 2026-03-04" in cause.text
    paid = draft("dividend", date(2026, 3, 9), ACME, gross="50.00")
    row = only(reconciled(HEAD + "CASH,4295.05,,USD\n", paid, actions=(dividend,), on=LATER), "Cash USD")
    assert "is known and not booked" not in " ".join(c.text for c in row.causes)


def test_a_reverse_split_with_a_fraction_paid_in_cash() -> None:
    split = Action(1, "split", date(2026, 3, 11), D("0.03"), None, None)  # 100 become 3.33 × … : 3 shares and cash
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,3,1733"), actions=(split,)), "ACME")
    assert codes(row) == ["split"]


def test_a_split_that_is_booked_here_and_not_there() -> None:
    row = only(reconciled(MATCHING, draft("split", date(2026, 3, 12), BOLT, ratio="2")), "BOLT")
    assert (row.our_units, row.their_units, codes(row)) == (D(80), D(40), ["split"])
    assert "2:1 split of 2026-03-12 is booked here and not there" in row.causes[0].text
    assert row.causes[0].transactions == (str(UUID(int=4)),)


def test_a_plausible_split_by_prices() -> None:
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,300,17.30")), "ACME")
    assert (codes(row), row.causes[0].strong) == (["split_plausible"], False)
    assert "3:1" in row.causes[0].text
    fallen = {**CLOSES, 1: [*CLOSES[1][:7], "17.2", "17.3", "17.4"]}  # 51.4 → 17.2 on 2026-03-11
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,300,17.40"), closes=fallen), "ACME")
    assert "our closes fall in the same ratio on 2026-03-11" in row.causes[0].text
    assert not only(reconciled(MATCHING.replace("ACME,100,52", "ACME,300,52")), "ACME").causes


def test_trade_date_against_settlement_date() -> None:
    """Bought on Friday the 13th, settling on Monday: by settlement date not yet here."""
    bought = draft("buy", ON, ACME, date(2026, 3, 16), quantity="10", price="52")
    settled = reconciled(MATCHING + "CASH,4195.05,,USD\n", bought)
    assert only(settled, "ACME").verdict == "matched"
    assert only(settled, "ACME").our_other == D(110)
    by_trade = reconciled(MATCHING.replace("ACME,100", "ACME,110") + "CASH,3675.05,,USD\n", bought)  # 4,195.05 − 520
    for symbol in ("ACME", "Cash USD"):
        row = only(by_trade, symbol)
        assert (row.verdict, row.causes[0].code, row.causes[0].strong) == ("quantity", "settlement", True), symbol
        assert "The statement counts by trade date: buy of" in row.causes[0].text
    assert (
        only(reconciled(MATCHING.replace("ACME,100", "ACME,110"), bought, basis="trade"), "ACME").verdict == "matched"
    )
    row = only(reconciled(MATCHING, bought, basis="trade"), "ACME")
    assert "The statement counts by settlement date" in row.causes[0].text


def test_one_of_two_open_trades_is_there_already() -> None:
    more = (
        draft("buy", ON, ACME, date(2026, 3, 16), quantity="10", price="52"),
        draft("sell", ON, ACME, date(2026, 3, 16), quantity="3", price="52"),
    )
    row = only(reconciled(MATCHING.replace("ACME,100", "ACME,97"), *more), "ACME")
    assert codes(row)[0] == "settlement"
    assert row.causes[0].transactions == (str(UUID(int=5)),)


def test_an_open_trade_from_before_a_split_counts_after_it() -> None:
    """10 bought on the 12th settle on the 16th; a 2:1 split on the 13th makes 20 of them, all not settled: 200 are."""
    more = (
        draft("buy", date(2026, 3, 12), ACME, date(2026, 3, 16), quantity="10", price="52"),
        draft("split", ON, ACME, ratio="2"),
    )
    row = only(reconciled(MATCHING.replace("ACME,100,52", "ACME,200,52"), *more), "ACME")
    assert (row.verdict, row.our_units, row.our_other) == ("matched", D(200), D(220))


def test_booked_near_the_statement_on_the_other_side() -> None:
    later = draft("buy", date(2026, 3, 16), BOLT, date(2026, 3, 17), quantity="5", price="21")
    row = only(reconciled(MATCHING.replace("BOLT,40", "BOLT,45"), later), "BOLT")
    assert codes(row)[0] == "timing"
    assert "booked here after the statement's date" in row.causes[0].text
    before = draft("transfer_in", date(2026, 3, 11), BOLT, quantity="5", price="21")
    row = only(reconciled(MATCHING, before), "BOLT")
    assert codes(row)[0] == "timing"
    assert "booked here and not there" in row.causes[0].text


def test_a_duplicate() -> None:
    twin = draft("buy", date(2026, 3, 2), BOLT, date(2026, 3, 3), quantity="40", price="20")
    result = reconciled(MATCHING + "CASH,4195.05,,USD\n", twin)
    for symbol in ("BOLT", "Cash USD"):
        row = only(result, symbol)
        assert (row.causes[0].code, row.causes[0].strong) == ("duplicate", True), symbol
        assert row.causes[0].transactions == (str(UUID(int=3)), str(UUID(int=4)))
    near = draft("buy", date(2026, 3, 11), BOLT, date(2026, 3, 12), quantity="6", price="20")
    row = only(reconciled(MATCHING.replace("BOLT,40", "BOLT,52"), near), "BOLT")  # 46 here, 6 more there
    assert codes(row) == ["duplicate"]
    assert "may be booked twice there" in row.causes[0].text


def test_a_wrong_sign() -> None:
    sold = draft("sell", date(2026, 3, 4), ACME, date(2026, 3, 5), quantity="20", price="50")  # it was a purchase
    row = only(reconciled(MATCHING.replace("ACME,100", "ACME,120"), sold), "ACME")
    assert codes(row) == ["sign"]
    assert "twice the sell of 20 ACME on 2026-03-04" in row.causes[0].text
    short = draft("short", date(2026, 3, 4), NEWCO, date(2026, 3, 5), quantity="7", price="10")
    row = only(reconciled(MATCHING + "NEWCO,7,10,USD\n", short), "NEWCO")
    assert (row.our_units, row.their_units) == (D(-7), D(7))
    assert "The same amount with the other sign" in row.causes[0].text


def test_a_symbol_that_changed_there() -> None:
    result = reconciled(HEAD + "ACME,100,52,USD\nNEWCO,40,21,USD\n")
    assert {r.symbol: (r.verdict, codes(r)[-1]) for r in result.rows if r.causes} == {
        "BOLT": ("missing", "renamed"),
        "NEWCO": ("extra", "renamed"),
    }
    change = Action(2, "symbol_change", date(2026, 3, 12), None, None, None)
    row = only(reconciled(HEAD + "ACME,100,52,USD\nNEWCO,40,21,USD\n", actions=(change,)), "BOLT")
    assert "action" in codes(row)


def test_units_come_through_every_kind_that_moves_them() -> None:
    """100 ACME: a spin-off of one NEWCO for four gives 25; 40 BOLT become NEWCO 1:1 by a symbol change."""
    spin = draft("spin_off", date(2026, 3, 10), ACME, into=NEWCO, ratio="0.25", fraction="0.1")
    result = reconciled(HEAD + "ACME,100,52,USD\nBOLT,40,21,USD\nNEWCO,25,10,USD\n", spin)
    assert {r.symbol: r.verdict for r in result.rows} == {"ACME": "matched", "BOLT": "matched", "NEWCO": "matched"}
    change = draft("symbol_change", date(2026, 3, 11), BOLT, into=NEWCO)
    result = reconciled(HEAD + "ACME,100,52,USD\nNEWCO,65,10,USD\n", spin, change)
    assert {r.symbol: r.verdict for r in result.rows} == {"ACME": "matched", "NEWCO": "matched"}


# --- causes: cash ------------------------------------------------------------------------------


def cash(balance: str, *more: tuple[Draft, date], **how: Any) -> Row:
    return only(reconciled(f"currency,amount\nUSD,{balance}\n", *more, **how), "Cash USD")


def test_a_fee_that_was_not_taken_there() -> None:
    row = cash("4200.00")  # 4,195.05 + 4.95
    assert (row.unit_difference, row.causes[0].code, row.causes[0].strong) == (D("4.95"), "fee", True)
    assert (
        "fee of 4.95 on the buy of 100 ACME on 2026-03-02 is booked here and was not taken there" in row.causes[0].text
    )


def test_a_fee_that_is_not_booked_here() -> None:
    sold = draft("sell", date(2026, 3, 9), BOLT, date(2026, 3, 10), quantity="10", price="20")  # 200 without a fee
    row = cash("4394.05", sold)  # 4,395.05 less 1.00
    assert codes(row) == ["fee"]
    assert "has no fee here; 1 would be 0.50% of it" in row.causes[0].text
    monthly = draft("fee", date(2026, 3, 4), gross="15")
    row = cash("4165.05", monthly)  # 4,180.05 less 15 once more
    assert "A fee of exactly this amount was booked on 2026-03-04" in " ".join(c.text for c in row.causes)


def test_a_tax_that_was_not_taken_there() -> None:
    paid = draft("dividend", date(2026, 3, 4), ACME, gross="25", taxes="3.75")
    row = cash("4220.05", paid)  # 4,195.05 + 25
    assert codes(row)[0] == "tax"
    sold = draft("sell", date(2026, 3, 4), BOLT, date(2026, 3, 5), quantity="10", price="20", taxes="7.77")
    assert codes(cash("4395.05", sold))[0] == "tax"


def test_a_dividend_of_another_day() -> None:
    booked = draft("dividend", date(2026, 3, 11), ACME, gross="25")
    row = cash("4195.05", booked)
    assert (row.causes[0].code, row.causes[0].strong) == ("dividend", True)
    assert "counted here and not yet there" in row.causes[0].text
    row = cash("4220.05", draft("dividend", date(2026, 3, 20), ACME, gross="25"))
    assert "counted there already" in row.causes[0].text


def test_a_dividend_that_is_not_booked() -> None:
    known = Action(1, "dividend", date(2026, 3, 5), None, D("0.24"), "USD")
    row = cash("4219.05", actions=(known,))  # 100 × 0.24 = 24
    assert (row.causes[0].code, row.causes[0].strong) == ("dividend", True)
    assert "0.24 a unit = 24" in row.causes[0].text
    row = cash("4215.45", actions=(known,))  # 24 less 15 %
    assert "less 15.0% of tax" in row.causes[0].text
    early = Action(1, "dividend", date(2026, 3, 2), None, D("0.24"), "USD")  # before it was held
    assert "dividend" not in codes(cash("4219.05", actions=(early,)))


def test_rounding_and_rates_of_conversions() -> None:
    bought = [
        draft("buy", date(2026, 3, 3 + n), RHEIN, date(2026, 3, 5), quantity="1", price="10", fx="1.25")
        for n in range(2)
    ]
    row = cash("4170.07", *bought)  # 4,195.05 − 2 × 12.50 = 4,170.05; two cents on two conversions
    assert (row.causes[0].code, row.causes[0].strong) == ("fx_rounding", True)
    one = draft("buy", date(2026, 3, 10), RHEIN, date(2026, 3, 12), quantity="100", price="10", fx="1.25")
    row = cash("2935.05", one)  # 1,260 instead of 1,250
    assert codes(row) == ["fee", "fx_rate"]
    assert "0.80% of it" in row.causes[1].text


def test_a_deposit_with_the_wrong_sign() -> None:
    wrong = draft("withdrawal", date(2026, 3, 6), gross="500")
    row = cash("4695.05", wrong)  # 3,695.05 + 2 × 500
    assert codes(row) == ["sign"]


# --- causes: prices ----------------------------------------------------------------------------


def test_a_stale_price() -> None:
    row = only(reconciled(MATCHING.replace("52", "51.2")), "ACME")  # our close of Monday the 9th
    assert (row.verdict, codes(row)) == ("price", ["stale_price"])
    assert "our close of 2026-03-09" in row.causes[0].text


@pytest.mark.parametrize(("price", "code"), [("5200", "minor_currency"), ("13", "split")])
def test_other_prices(price: str, code: str) -> None:
    split = (Action(1, "split", date(2026, 3, 11), Fraction(4), None, None),) if code == "split" else ()
    row = only(reconciled(MATCHING.replace("52", price), actions=split), "ACME")
    assert (row.verdict, codes(row)) == ("price", [code])


def test_a_price_in_the_base_currency() -> None:
    """52 dollars are 41.60 euros at 1.25."""
    euros = replace(ours(book(), ON, LISTED), base="EUR")
    lines = statement.identified(statement.read(HEAD + "ACME,100,41.60,USD\n").lines, Listings(LISTED), ISINS, [1], ON)
    row = only(compare(euros, lines, Tolerances()), "ACME")
    assert (row.verdict, codes(row)) == ("price", ["fx_rate"])


# --- what became of it -------------------------------------------------------------------------


def test_what_was_fixed_since() -> None:
    text = MATCHING.replace("ACME,100,52", "ACME,200,26").replace("BOLT,40", "BOLT,41")
    then = reconciled(text)
    now = reconciled(
        text, draft("split", date(2026, 3, 12), ACME, ratio="2"), closes={**CLOSES, 1: [*CLOSES[1][:9], "26"]}
    )
    assert {(c.then or c.now).symbol: c.state for c in since(then, now)} == {"ACME": "fixed", "BOLT": "unchanged"}  # type: ignore[union-attr]
    assert [c.state for c in since(now, then) if c.now and c.now.symbol == "ACME"] == ["new"]


def test_a_row_is_kept_exactly() -> None:
    result = reconciled(MATCHING.replace("ACME,100,52", "ACME,300,17.30") + "CASH,4200,,USD\n")
    import json

    assert tuple(Row.of_json(json.loads(json.dumps(r.as_json()))) for r in result.rows) == result.rows


# --- the file ----------------------------------------------------------------------------------


def test_headers_in_any_order_case_and_language() -> None:
    found = statement.read(
        "Währung;Kurs;Stück;Bezeichnung;ISIN\nEUR;1.234,50;10,5;Rhein;\nUSD;52,00;100;;us0378331005\n"
    ).lines
    assert [(x.quantity, x.price, x.currency) for x in found] == [
        (D("10.5"), D("1234.50"), "EUR"),
        (D(100), D("52.00"), "USD"),
    ]
    known = statement.identified(found, Listings(LISTED), ISINS, [], ON)
    assert [x.security for x in known] == [3, 1]
    other = statement.read('TICKER,Shares,Market_Value,CCY\nxnys:acme,10,"1,234.50",usd\nTotal,,"1,234.50",\n').lines
    assert [(x.symbol, x.quantity, x.price, x.value) for x in other] == [
        ("XNYS:ACME", D(10), D("123.45"), D("1234.50"))
    ]
    assert statement.identified(other, Listings(LISTED), ISINS, [], ON)[0].security == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("type,symbol,value,currency\ncash,,100.50,USD\n", ("USD", D("100.50"))),
        ("symbol,quantity,price\nCASH USD,100.50,1\n", ("USD", D("100.50"))),
        ("type;symbol;quantity\ncash;EUR;1.000,25\n", ("EUR", D("1000.25"))),
        ("Currency,Balance\nusd,(100.50)\n", ("USD", D("-100.50"))),
        ("currency\tamount\nJPY\t12 345\n", ("JPY", D(12345))),
        ("currency,amount\nCHF,1'234.50\n", ("CHF", D("1234.50"))),
    ],
)
def test_cash_lines(text: str, kept: tuple[str, Decimal]) -> None:
    (line,) = statement.read(text).lines
    assert (line.kind, line.currency, line.value) == ("cash", *kept)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("symbol,quantity\n", "no lines"),
        ("a,b\n1,2\n", "symbol .or isin, or name. and quantity are needed"),
        ("symbol,shares,quantity\nA,1,1\n", "names the column 'quantity' twice"),
        ("symbol,quantity\nACME,ten\n", "line 2: quantity ten: a number"),
        ("symbol,quantity\nACME,1\nBOLT,\n", "line 3: quantity missing"),
        ("symbol,isin,quantity\nACME,US123,1\n", "line 2: isin US123"),
        ("symbol;quantity;price\nACME;1.234;52\n", "line 2: quantity 1.234: this can be read in two ways"),
        ("symbol;quantity;price\nACME;1,5;52\nBOLT;2;1.5\n", "line 3 has a decimal point, line 2 a decimal comma"),
        ("symbol,quantity,date\nACME,1,2026-03-13\nBOLT,1,2026-03-12\n", "lines are of 2 dates"),
        ("symbol,quantity,date\nACME,1,soon\n", "line 2: date soon"),
        ("currency,amount\n,5\n", "line 2: currency missing"),
        ("symbol,quantity\nACME,1,2,3\n", "line 2 has 4 cells"),
        ("symbol,quantity\nACME,\"12,34,5\"\n", "line 2: quantity 12,34,5"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_by_line(text: str, message: str) -> None:
    with pytest.raises(NotReadable, match=message):
        statement.read(text)


def test_the_date_of_the_file() -> None:
    assert statement.read("symbol,quantity,Statement Date\nACME,1,2026-03-13\n").on == ON
    assert statement.read(MATCHING).on is None
    assert len(statement.read(statement.TEMPLATE).lines) == 2


# --- kept, read, signed: the database ----------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """The small installation with a portfolio to reconcile: a known split of ACME that nobody booked, a viewer's and a reader's look."""
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        for name in ("Desk", "Empty"):
            made.portfolios[name] = portfolios.create_portfolio(made.anna, name, "USD")
        access.share(made.user("anna"), made.portfolios["Desk"], "vera", "write")  # a viewer never writes
        days = bar_days(made.now)
        rows = [
            row(days[5], "deposit", gross="10000"),
            row(days[6], "buy", "ACME", quantity="100", price="50", fees="4.95"),
            row(days[7], "buy", "BOLT", quantity="40", price="20"),
        ]
        ledger.append(made.anna, made.portfolios["Desk"], drafts(made, made.anna, rows, "USD"), made.now.date())
        with made.database.owner() as c:
            c.execute(
                "INSERT INTO corporate_actions (security_id, kind, ex_on, ratio_new, ratio_old, provider) VALUES (%s, 'split', %s, 4, 1, 'test')",
                (made.securities["ACME"], days[19]),
            )
        yield made


STATEMENT = b"symbol,isin,quantity,price,currency,type,amount\r\n,US0378331005,400,,USD,,\r\nBOLT,,40,,USD,,\r\nCASH,,,,USD,cash,4200.00\r\n"


def day_of_it(small: Small) -> date:
    return bar_days(small.now)[20]


def made(small: Small, keep: bool = True, **how: Any) -> Reconciliation:
    how = {
        "custodian": "First Bank",
        "file_name": "positions.csv",
        "on": day_of_it(small),
        "today": small.now.date(),
    } | how
    user, portfolio = how.pop("user", small.anna), how.pop("portfolio", small.portfolios["Desk"])
    return reconciliation.make(user, portfolio, how.pop("raw", STATEMENT), keep=keep, **how)


def test_kept_as_found_and_compared_again(small: Small) -> None:
    dry = made(small, keep=False)
    before = len(reconciliation.kept(small.anna, small.portfolios["Desk"]))
    assert dry.reconciliation_id is None
    kept = made(small)
    assert kept.reconciliation_id is not None
    assert len(reconciliation.kept(small.anna, small.portfolios["Desk"])) == before + 1
    assert (kept.result, kept.lines, kept.tolerances) == (dry.result, dry.lines, Tolerances())
    assert reconciliation.read(small.anna, small.portfolios["Desk"], kept.reconciliation_id) == kept
    verdicts = {r.symbol: (r.verdict, [c.code for c in r.causes]) for r in kept.result.rows}
    assert verdicts == {"ACME": ("quantity", ["split"]), "BOLT": ("matched", []), "Cash USD": ("quantity", ["fee"])}
    assert (kept.state, kept.open_rows, kept.made_by) == ("open", 2, f"Anna {MARK}")
    again = reconciliation.again(small.anna, small.portfolios["Desk"], kept.reconciliation_id)
    assert [c.state for c in again] == ["unchanged", "unchanged"]
    split = [row(bar_days(small.now)[19], "split", "ACME", ratio="4")]
    (booked,) = ledger.append(
        small.anna, small.portfolios["Desk"], drafts(small, small.anna, split, "USD"), small.now.date()
    )
    try:
        again = reconciliation.again(small.anna, small.portfolios["Desk"], kept.reconciliation_id)
        assert {(c.then or c.now).symbol: c.state for c in again} == {"ACME": "fixed", "Cash USD": "unchanged"}  # type: ignore[union-attr]
        assert (
            reconciliation.read(small.anna, small.portfolios["Desk"], kept.reconciliation_id).result == kept.result
        ), "what was found stays"
    finally:
        ledger.reverse(small.anna, small.portfolios["Desk"], booked)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"custodian": " "}, "custodian"),
        ({"on": None}, "date missing"),
        ({"on": date(2999, 1, 1)}, "may not lie after today"),
        (
            {"on": date(2020, 1, 2), "raw": b"symbol,quantity,date\nACME,1,2020-01-03\n"},
            "the file says that it is of 2020-01-03",
        ),
        ({"basis": "someday"}, "basis someday"),
    ],
)
def test_what_is_wrong_with_a_statement(small: Small, how: dict[str, Any], message: str) -> None:
    before = len(reconciliation.kept(small.anna, small.portfolios["Desk"]))
    with pytest.raises(LedgerError, match=message):
        made(small, **how)
    assert len(reconciliation.kept(small.anna, small.portfolios["Desk"])) == before


def test_a_sign_off_is_kept_and_the_last_one_counts(small: Small) -> None:
    number = made(small).reconciliation_id
    assert number is not None
    portfolio = small.portfolios["Desk"]
    acme = f"security:{small.securities['ACME']}"
    with pytest.raises(LedgerError, match="say why"):
        reconciliation.sign(small.anna, portfolio, number, [acme], "accepted", " ")
    with pytest.raises(LedgerError, match="no such row"):
        reconciliation.sign(small.anna, portfolio, number, ["security:999"], "fixed")
    with pytest.raises(LedgerError, match="decision maybe"):
        reconciliation.sign(small.anna, portfolio, number, [acme], "maybe")  # type: ignore[arg-type]
    assert reconciliation.read(small.anna, portfolio, number).signoffs == ()
    one = reconciliation.sign(small.anna, portfolio, number, [acme], "accepted", "booked on Monday")
    assert (one.open_rows, one.state) == (1, "open")
    one = reconciliation.sign(small.anna, portfolio, number, [acme], "open", "it was not")
    assert one.open_rows == 2
    one = reconciliation.sign(small.anna, portfolio, number, [acme, "cash:USD"], "fixed")
    assert (one.open_rows, one.state) == (0, "settled")
    one = reconciliation.sign(small.anna, portfolio, number, ["*"], "accepted", "March is done")
    assert one.state == "signed off"
    assert [(s.row_key, s.decision, s.comment) for s in one.signoffs] == [
        (acme, "accepted", "booked on Monday"),
        (acme, "open", "it was not"),
        (acme, "fixed", ""),
        ("cash:USD", "fixed", ""),
        ("*", "accepted", "March is done"),
    ]
    assert {s.signed_by for s in one.signoffs} == {f"Anna {MARK}"}


@pytest.mark.parametrize("table", ["reconciliations", "reconciliation_signoffs"])
def test_the_database_keeps_what_was_signed(small: Small, table: str) -> None:
    """Neither the web role nor the owner changes or deletes a row; the web role has not even the right."""
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)
    for statement_ in (
        f"UPDATE {table} SET reconciliation_id = reconciliation_id",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        c = small.database.web(small.anna)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute(statement_)
        for role in ("ballast_jobs", "ballast_owner"):
            with pytest.raises(refused), small.database.connect(role) as o:
                o.execute(statement_)


def test_nobody_signs_for_somebody_else(small: Small) -> None:
    number = made(small).reconciliation_id
    c = small.database.web(small.anna)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
        c.execute(
            "INSERT INTO reconciliation_signoffs (portfolio_id, reconciliation_id, row_key, decision, signed_by) VALUES (%s, %s, '*', 'fixed', %s)",
            (small.portfolios["Desk"], number, small.ben),
        )


def test_strangers_get_nothing_and_readers_do_not_sign(small: Small) -> None:
    number, portfolio = made(small).reconciliation_id, small.portfolios["Desk"]
    assert number is not None
    for call in (
        lambda: reconciliation.kept(small.ben, portfolio),
        lambda: reconciliation.read(small.ben, portfolio, number),
        lambda: reconciliation.again(small.ben, portfolio, number),
        lambda: reconciliation.sign(small.ben, portfolio, number, ["*"], "fixed"),
        lambda: made(small, user=small.ben),
        lambda: made(small, user=small.ben, keep=False),
    ):
        with pytest.raises(NoSuchPortfolio):
            call()
    with pytest.raises(reconciliation.NoSuchReconciliation):
        reconciliation.read(small.anna, small.portfolios["Empty"], number)  # of another portfolio
    vera = small.user("vera").user_id
    assert reconciliation.read(vera, portfolio, number).custodian == "First Bank"
    assert made(small, user=vera, keep=False).open_rows == 2
    with pytest.raises(AccessDenied):
        made(small, user=vera)
    with pytest.raises(AccessDenied):
        reconciliation.sign(vera, portfolio, number, ["*"], "fixed")


# --- by HTTP -----------------------------------------------------------------------------------


def test_the_api(small: Small) -> None:
    client, path = small.client("anna"), "/v1/portfolios/Desk/reconciliations"
    query = {"custodian": "First Bank", "on": day_of_it(small).isoformat(), "units_tolerance": "0.001"}
    csv = {"content": STATEMENT, "headers": {"Content-Type": "text/csv"}}
    dry = client.post(path, params=query, **csv)
    assert (dry.status_code, dry.json()["reconciliation_id"], dry.json()["units_tolerance"]) == (200, None, "0.001")
    kept = client.post(path, params=query | {"dry_run": "false"}, files={"file": ("march.csv", STATEMENT, "text/csv")})
    assert kept.status_code == 201, kept.text
    said = kept.json()
    assert (said["file"], said["open"], said["quantity"], said["matched"], said["state"]) == (
        "march.csv",
        2,
        2,
        1,
        "open",
    )
    acme = next(r for r in said["rows"] if r["symbol"] == "ACME")
    assert [D(acme[name]) for name in ("our_units", "their_units", "unit_difference")] == [D(100), D(400), D(300)]
    assert acme["causes"][0]["code"] == "split"
    number = said["reconciliation_id"]
    assert number in {r["reconciliation_id"] for r in client.get(path).json()}
    assert client.get(f"{path}/{number}").json()["rows"] == said["rows"]
    file = client.get(f"{path}/{number}", params={"format": "csv"})
    assert file.headers["content-type"].startswith("text/csv")
    assert len(file.text.splitlines()) == 1 + 3
    signed = client.post(
        f"{path}/{number}/signoffs", json={"rows": [acme["key"]], "decision": "accepted", "comment": "split booked"}
    )
    assert (signed.status_code, signed.json()["open"], signed.json()["signoffs"][0]["signed_by"]) == (
        201,
        1,
        f"Anna {MARK}",
    )
    assert {c["state"] for c in client.get(f"{path}/{number}/changes").json()} == {"unchanged"}
    for name, least in (("reconciliations", 1), ("reconciliation", 3)):
        answer = client.get(f"/v1/reports/{name}", params={"portfolio": "Desk"})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["rows"]) >= least


def test_the_api_reads_lines(small: Small) -> None:
    client, path = small.client("anna"), "/v1/portfolios/Desk/reconciliations"
    query = {"custodian": "First Bank", "on": day_of_it(small).isoformat()}
    lines = [
        {"symbol": "ACME", "quantity": "100"},
        {"symbol": "BOLT", "quantity": "40"},
        {"type": "cash", "currency": "USD", "amount": "4195.05"},
    ]
    answer = client.post(path, params=query, json={"lines": lines})
    assert (answer.status_code, answer.json()["matched"], answer.json()["open"]) == (200, 3, 0), answer.text


@pytest.mark.parametrize(
    ("query", "body", "status", "slug", "words"),
    [
        ({}, {"content": b"symbol,quantity\nACME,ten\n"}, 422, "not-readable", "line 2: quantity ten"),
        ({"custodian": ""}, {"content": STATEMENT}, 422, "not-bookable", "custodian"),
        ({"basis": "x"}, {"content": STATEMENT}, 422, "bad-request", "basis"),
        ({"price_tolerance": "2"}, {"content": STATEMENT}, 422, "bad-request", "price_tolerance"),
        ({}, {"json": {"lines": [{"quantity": [1]}]}}, 422, "bad-request", "quantity"),
        ({}, {"json": {"lines": []}}, 422, "bad-request", "lines"),
        ({}, {"json": {"lines": [{"symbol": "ACME", "quantity": "x"}]}}, 422, "not-readable", "line 1: quantity x"),
    ],
)  # fmt: skip
def test_the_api_says_what_is_wrong(
    small: Small, query: dict[str, str], body: dict[str, Any], status: int, slug: str, words: str
) -> None:
    asked = {"custodian": "First Bank", "on": day_of_it(small).isoformat()} | query
    answer = small.client("anna").post("/v1/portfolios/Desk/reconciliations", params=asked, **body)
    assert (answer.status_code, answer.json()["type"].rsplit("#")[-1]) == (status, slug), answer.text
    assert words in answer.text


def test_the_api_refuses_strangers_and_readers(small: Small) -> None:
    number = made(small).reconciliation_id
    path = f"/v1/portfolios/{small.portfolios['Desk']}/reconciliations"
    decision = {"rows": ["*"], "decision": "fixed"}
    ben, vera = small.client("ben"), small.client("vera")
    for answer in (
        ben.get(path),
        ben.get(f"{path}/{number}"),
        ben.get(f"{path}/{number}/changes"),
        ben.post(f"{path}/{number}/signoffs", json=decision),
    ):
        assert answer.status_code == 404
        assert "First Bank" not in answer.text
    assert vera.get(f"{path}/{number}").status_code == 200
    assert vera.post(f"{path}/{number}/signoffs", json=decision).status_code == 403
    query = {"custodian": "x", "on": day_of_it(small).isoformat(), "dry_run": "false"}
    assert vera.post(path, params=query, content=STATEMENT).status_code == 403
    assert small.client("anna").get(f"{path}/{uuid4()}").json()["type"].endswith("#no-such-reconciliation")


# --- the page ----------------------------------------------------------------------------------


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """`opened(who, portfolio, …)`: the page as somebody's browser gets it."""

    def run(who: str = "anna", portfolio: str = "Desk", **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page("reconciliation.py")
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def told(at: AppTest) -> str:
    blocks = (at.markdown, at.info, at.warning, at.error, at.success, at.caption, at.subheader)
    return "\n".join(str(each.value) for block in blocks for each in block)


def clicked(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label == label]
    button.click().run()
    assert not at.exception, at.exception[0].value
    return at


def test_from_the_file_to_the_signature(small: Small, opened: Callable[..., AppTest]) -> None:
    at = opened()
    before = len(reconciliation.kept(small.anna, small.portfolios["Desk"]))
    (uploader,) = at.get("file_uploader")
    uploader.upload("march.csv", STATEMENT, "text/csv").run()
    assert "Date: the date of the statement is needed" in told(at)
    next(d for d in at.date_input if d.label == "Date of the statement").set_value(day_of_it(small)).run()
    assert not at.exception
    shown = {m.label: m.value for m in at.metric}
    assert (shown["Open"], shown["Matched"], shown["Quantity differs"]) == ("2", "1", "2")
    assert len(reconciliation.kept(small.anna, small.portfolios["Desk"])) == before, "nothing is kept by looking"
    next(t for t in at.text_input if t.label == "Custodian").set_value("First Bank").run()
    clicked(at, "Keep this reconciliation")
    assert "The statement of First Bank" in told(at)
    newest = reconciliation.kept(small.anna, small.portfolios["Desk"])[0]
    assert newest.file_name == "march.csv"
    next(s for s in at.selectbox if s.label == "Decide about").select("cash:USD")
    clicked(at, "Sign")
    assert "Comment: say why the difference is accepted" in told(at)
    next(t for t in at.text_area if t.label == "Comment").input("the fee is waived")
    clicked(at, "Sign")
    signed = reconciliation.kept(small.anna, small.portfolios["Desk"])[0]
    assert [(s.row_key, s.decision, s.comment) for s in signed.signoffs] == [
        ("cash:USD", "accepted", "the fee is waived")
    ]
    assert "Signed: Cash USD" in told(at)


def test_a_file_that_cannot_be_read_is_explained(opened: Callable[..., AppTest]) -> None:
    at = opened()
    (uploader,) = at.get("file_uploader")
    uploader.upload("bad.csv", b"symbol,quantity\nACME,ten\nBOLT,\n", "text/csv").run()
    assert "bad.csv cannot be read" in told(at)
    assert "line 3" in told(at)
    assert not [b for b in at.button if b.label == "Keep this reconciliation"]


def test_a_reader_sees_and_cannot_sign(small: Small, opened: Callable[..., AppTest]) -> None:
    made(small)
    at = opened("vera")
    assert "not reconcile in it or sign" in told(at)
    assert "First Bank" in told(at)
    assert not at.get("file_uploader")
    assert not [b for b in at.button if b.label == "Sign"]


def test_a_strangers_portfolio_and_a_wrong_number(small: Small, opened: Callable[..., AppTest]) -> None:
    assert "This portfolio cannot be opened" in told(opened("ben"))
    made(small)
    assert "There is no such reconciliation here" in told(opened(reconciliation=str(uuid4())))
    assert "No statement has been reconciled yet" in told(opened(portfolio="Empty", reconciliation="x"))
