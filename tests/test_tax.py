"""Wash sales, holding periods and Form 8949: the published examples, laws over random trades, and the owner's portfolios on
the real database. Expected figures come from the sources named or from arithmetic shown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as some
from small import Small, drafts, installed, row
from streamlit.testing.v1 import AppTest

from core.book import Book, Portfolio
from core.fx import Rates, day_number, day_of
from core.household import Household, parcels_of, settled, warnings_before
from core.ledger import MICRO, UNITS, Draft, Posting, Security, from_postings, post
from core.reports.tax import sales
from core.scope import BadScope, Scope
from core.tax import WINDOW, Parcel, Piece, holding_term, wash_sales
from db import access, ledger, portfolios, reports, tax
from ui import session

CENT = MICRO // 100


def day(text: str) -> int:
    return day_number(date.fromisoformat(text))


def lot(
    name: str, units: int, bought: str, cost: float, sold: str | None = None, proceeds: float = 0, **more: Any
) -> Parcel:
    """A parcel of one security; its name is its purchase unless another is given."""
    given = {"purchase": name, "security": 1} | more
    return Parcel(opened_on=day(bought), units=units * UNITS, cost=int(cost * MICRO), proceeds=int(proceeds * MICRO),
                  closed_on=day(sold) if sold else None, **given)  # fmt: skip


def money(micro: int) -> Decimal:
    return Decimal(micro) / MICRO


def basis(pieces: list[Piece], purchase: str) -> Decimal:
    """Adjusted cost of what was bought together."""
    return money(sum(p.cost + p.added for p in pieces if p.parcel.purchase == purchase))


def disallowed(pieces: list[Piece]) -> Decimal:
    return money(sum(p.disallowed for p in pieces))


# --- the published examples ---------------------------------------------------------------------


def test_irs_550_more_is_bought_than_sold() -> None:
    """Publication 550 (2014), Wash Sales: 100 shares for $1,000, sold for $750, within 30 days 100 bought for $800: basis $1,050."""
    pieces = wash_sales([lot("1", 100, "2014-05-01", 1000, "2014-07-01", 750), lot("2", 100, "2014-07-02", 800)], CENT)
    assert disallowed(pieces) == 250
    assert basis(pieces, "2") == 1050


def test_irs_550_less_is_bought_than_sold_before_the_sale() -> None:
    """Publication 550 (2014): 75 of 100 shares were replaced before the sale; $750 of the loss of $1,000 is disallowed."""
    pieces = wash_sales(
        [
            lot("1", 100, "2013-09-26", 5000, "2014-01-09", 4000),
            lot("2", 50, "2013-12-19", 2750),
            lot("3", 25, "2013-12-27", 1125),
        ],
        CENT,
    )
    assert disallowed(pieces) == 750
    assert money(-sum(p.gain for p in pieces)) == 250
    assert (basis(pieces, "2"), basis(pieces, "3")) == (3250, 1375)


def test_irs_550_the_first_purchases_replace() -> None:
    """Publication 550 (2014): 50 shares on each of 4 days after the sale; half the loss goes to the first day, half to the second."""
    days = ("2014-02-11", "2014-02-12", "2014-02-13", "2014-02-14")
    pieces = wash_sales(
        [lot("1", 100, "2013-09-26", 5000, "2014-02-06", 4000), *(lot(d, 50, d, 1000) for d in days)], CENT
    )
    assert [basis(pieces, d) for d in days] == [1500, 1500, 1000, 1000]


def test_irs_550_a_loss_does_not_reduce_gains_of_the_same_day() -> None:
    """Publication 550 (2014): blocks at $158, $100 and $95, all sold at $125, 250 bought: the loss of $3,300 goes, gains stay."""
    blocks = [(15_800, "2008-02-01"), (10_000, "2008-03-03"), (9_500, "2008-04-01")]
    sold = [lot(on, 100, on, cost, "2013-12-27", 12_500) for cost, on in blocks]
    pieces = wash_sales([*sold, lot("new", 250, "2014-01-09", 30_000)], CENT)
    assert disallowed(pieces) == 3300
    assert [money(p.gain) for p in pieces if p.parcel.closed_on] == [0, 2500, 3000]
    assert basis(pieces, "new") == 33_300


@pytest.mark.parametrize(("price", "expected"), [(90, 110), (70, 90)])
def test_regulation_1091_2(price: int, expected: int) -> None:
    """26 CFR 1.1091-2(a), examples 1 and 2: bought for $100, sold for $80, bought again for $90 or $70."""
    pieces = wash_sales([lot("old", 1, "1935-01-02", 100, "1955-01-15", 80), lot("new", 1, "1955-02-01", price)], CENT)
    assert disallowed(pieces) == 20
    assert basis(pieces, "new") == expected


def test_half_of_one_purchase_does_not_replace_the_other() -> None:
    """Rev. Rul. 56-602; Fairmark, "Selling half": 200 shares bought at once, 100 of them sold within 30 days."""
    together = {"purchase": "A"}
    pieces = wash_sales(
        [
            lot("1", 100, "2014-06-01", 5000, "2014-06-12", 4000, **together),
            lot("2", 100, "2014-06-01", 5000, **together),
        ]
    )
    assert disallowed(pieces) == 0


def test_a_day_trade_is_replaced_by_the_next() -> None:
    """Fairmark: two round trips in a day, −100 and +100: the loss moves into the second, whose gain becomes 0."""
    pieces = wash_sales(
        [
            lot("1", 100, "2014-05-01", 1000, "2014-05-01", 900),
            lot("2", 100, "2014-05-01", 800, "2014-05-01", 900),
        ]
    )
    assert [money(p.gain) for p in pieces] == [0, 0]
    assert basis(pieces, "2") == 900


def test_multiple_sales_are_matched_from_the_first() -> None:
    """Fairmark, "Multiple sales": 100 sold at a loss on 10 March, 100 on 15 March, 100 bought on 20 March: the first is washed."""
    pieces = wash_sales(
        [
            lot("a", 100, "2013-01-02", 2000, "2014-03-10", 1000),
            lot("b", 100, "2013-01-03", 3000, "2014-03-15", 1000),
            lot("c", 100, "2014-03-20", 1000),
        ]
    )
    assert [money(p.disallowed) for p in pieces] == [1000, 0, 0]


# --- what follows from the rule -----------------------------------------------------------------


def test_the_window_has_61_days() -> None:
    """A loss moves on where the purchase is at most 30 days away from the sale, before or after it."""

    def replaces(bought: date) -> bool:
        pieces = wash_sales([lot("old", 1, "2014-01-02", 100, "2014-07-01", 80), lot("new", 1, bought.isoformat(), 90)])
        return bool(pieces[0].disallowed)

    sold = date(2014, 7, 1)
    inside = [d for d in (sold + timedelta(days=n) for n in range(-60, 61)) if replaces(d)]
    assert (len(inside), inside[0], inside[-1]) == (61, date(2014, 6, 1), date(2014, 7, 31))


def test_a_replacement_sold_at_a_loss_carries_its_adjusted_cost_on() -> None:
    """100 → 80 (−20 moves), 90 + 20 → 70 (−40 moves), 60 + 40 = 100 is held: 20 + 20 lost, 60 paid."""
    pieces = wash_sales(
        [
            lot("1", 1, "2024-01-02", 100, "2024-02-01", 80),
            lot("2", 1, "2024-02-10", 90, "2024-03-01", 70),
            lot("3", 1, "2024-03-05", 60),
        ]
    )
    assert [money(p.disallowed) for p in pieces] == [20, 40, 0]
    assert basis(pieces, "3") == 100


def test_the_holding_period_tacks_on() -> None:
    """300 days held, then 100 days of the replacement: 400 days together are long term although bought 100 days before."""
    first, sold = date(2022, 1, 3), date(2022, 1, 3) + timedelta(days=300)
    again = sold + timedelta(days=5)
    last = again + timedelta(days=100)
    pieces = wash_sales(
        [
            lot("1", 10, first.isoformat(), 100, sold.isoformat(), 90),
            lot("2", 10, again.isoformat(), 90, last.isoformat(), 120),
        ]
    )
    assert day_of(pieces[1].since) == again - timedelta(days=300)
    assert [p.term for p in pieces] == ["short", "long"]


def test_what_was_sold_before_does_not_replace() -> None:
    """Bought within 30 days before the loss, but sold the day before it: there is nothing that the loss could move into."""
    pieces = wash_sales(
        [
            lot("old", 10, "2023-01-02", 200, "2024-03-10", 100),
            lot("in and out", 10, "2024-03-01", 100, "2024-03-09", 110),
        ]
    )
    assert disallowed(pieces) == 0


def test_each_unit_replaces_once() -> None:
    """Two losses of 10 units, 15 bought: 15 of 20 are replaced."""
    pieces = wash_sales(
        [
            lot("a", 10, "2023-01-02", 200, "2024-03-10", 100),
            lot("b", 10, "2023-01-03", 200, "2024-03-11", 100),
            lot("c", 15, "2024-03-20", 150),
        ]
    )
    assert disallowed(pieces) == 150
    assert sum(p.units for p in pieces if p.replaced) == 15 * UNITS


def test_another_security_does_not_replace() -> None:
    pieces = wash_sales(
        [lot("a", 10, "2023-01-02", 200, "2024-03-10", 100), lot("b", 10, "2024-03-11", 100, security=2)]
    )
    assert disallowed(pieces) == 0


def test_a_loss_on_a_cover_is_replaced_by_another_short_sale() -> None:
    """26 CFR 1.1091-1(g): shorted at 100, covered at 120, shorted again at 115 eleven days later, covered at 105."""
    pieces = wash_sales(
        [
            Parcel("s1", 1, day("2024-01-02"), UNITS, 120 * MICRO, 100 * MICRO, day("2024-02-01"), True),
            Parcel("s2", 1, day("2024-02-12"), UNITS, 105 * MICRO, 115 * MICRO, day("2024-03-01"), True),
            lot("a purchase", 1, "2024-02-02", 118),
        ]
    )
    assert [money(p.disallowed) for p in pieces] == [20, 0, 0]
    assert [money(p.gain) for p in pieces] == [0, -10, 0]
    assert {p.term for p in pieces[:2]} == {"short"}


@pytest.mark.parametrize(
    ("acquired", "sold", "term"),
    [
        ("2023-03-15", "2024-03-15", "short"),
        ("2023-03-15", "2024-03-16", "long"),
        ("2023-12-31", "2024-12-31", "short"),
        ("2023-12-31", "2025-01-01", "long"),
        ("2024-02-29", "2025-02-28", "short"),  # counted from 1 March 2024 to 28 February 2025: exactly a year
        ("2024-02-29", "2025-03-01", "long"),
        ("2024-02-28", "2025-02-28", "short"),
        ("2024-02-28", "2025-03-01", "long"),
        ("2023-02-28", "2024-02-29", "short"),  # Rev. Rul. 66-7: bought on a month's last day, long from the first of the 13th after
        ("2023-02-28", "2024-03-01", "long"),
    ],
)  # fmt: skip
def test_more_than_one_year_is_long(acquired: str, sold: str, term: str) -> None:
    assert holding_term(date.fromisoformat(acquired), date.fromisoformat(sold)) == term


# --- laws ---------------------------------------------------------------------------------------

START = day("2024-01-01")


@some.composite
def trades(draw: Any, all_sold: bool = False) -> list[Parcel]:
    """Parcels of one or two securities, bought and sold within five months."""
    out = []
    for n in range(draw(some.integers(1, 12))):
        bought = START + draw(some.integers(0, 100))
        closed: int | None = bought + draw(some.integers(0, 60))
        if not all_sold and draw(some.booleans()):
            closed = None
        out.append(
            Parcel(draw(some.integers(0, n)), draw(some.integers(1, 2)), bought, draw(some.integers(1, 5 * UNITS)), CENT * draw(some.integers(0, 10**6)),
                   0 if closed is None else CENT * draw(some.integers(0, 10**6)), closed, replaces=draw(some.booleans()))
        )  # fmt: skip
    return out


@given(trades())
def test_what_is_disallowed_is_added_to_cost_and_no_cent_is_lost(parcels: list[Parcel]) -> None:
    pieces = wash_sales(parcels, CENT)
    assert sum(p.disallowed for p in pieces) == sum(p.added for p in pieces)
    for parcel in parcels:
        mine = [p for p in pieces if p.parcel is parcel]
        for name in ("units", "cost", "proceeds"):
            assert sum(getattr(p, name) for p in mine) == getattr(parcel, name)
        assert all(p.units > 0 for p in mine)
    assert not [p for p in pieces if any(v % CENT for v in (p.cost, p.added, p.proceeds, p.disallowed))]


@given(trades(all_sold=True))
def test_once_all_is_sold_wash_sales_change_nothing(parcels: list[Parcel]) -> None:
    """Gains of all time = proceeds − what was paid, whatever was disallowed on the way."""
    pieces = wash_sales(parcels, CENT)
    assert sum(p.gain for p in pieces) == sum(p.proceeds - p.cost for p in parcels)


@given(trades())
def test_every_match_is_lawful(parcels: list[Parcel]) -> None:
    """Within 61 days, of the same security, of another purchase, not sold before, each unit once; only losses are disallowed."""
    pieces = wash_sales(parcels, CENT)
    lost: dict[int, int] = {}
    for p in pieces:
        assert p.disallowed >= 0
        assert p.disallowed in (0, -p.result)
        by = p.replaced_by
        if by is None:
            continue
        assert p.parcel.closed_on is not None
        assert abs(by.opened_on - p.parcel.closed_on) <= WINDOW
        assert by.replaces
        assert (by.security, by.short) == (p.parcel.security, p.parcel.short)
        assert by.purchase != p.parcel.purchase
        assert by.closed_on is None or by.closed_on >= p.parcel.closed_on
        lost[id(by)] = lost.get(id(by), 0) + p.units
    for parcel in parcels:
        replacing = sum(p.units for p in pieces if p.parcel is parcel and p.replaced)
        assert replacing == lost.get(id(parcel), 0) <= parcel.units
    for p in pieces:
        assert p.since <= p.parcel.opened_on


# --- out of the ledgers -------------------------------------------------------------------------

ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
COIN = Security(2, "COIN", "Coin", "XNYS", "USD", "Crypto")
NEXT = Security(3, "NEXT", "Acme renamed", "XNYS", "USD", "Equity")
TODAY = date(2024, 12, 31)


def entry(
    kind: str, on: str, units: str | None = None, price: str | None = None, security: Security = ACME, **more: Any
) -> Posting:
    """A checked posting; numbers as text."""
    at = date.fromisoformat(on)
    numbers = {k: Decimal(v) if isinstance(v, str) else v for k, v in more.items()}
    return post(Draft(kind, at, security.currency, security, Decimal(units) if units else None, Decimal(price) if price else None, **numbers),
                "USD", at, TODAY)  # fmt: skip


def book(*entries: Posting, name: str = "First", method: str = "fifo", base: str = "USD") -> Book:
    numbers = {s.security_id: s for s in (ACME, COIN, NEXT)}
    ids = [uuid4() for _ in entries]
    return Book(
        Portfolio(uuid4(), name, base, None, method),
        from_postings(list(entries), ids=ids),
        numbers,
        {},
        Rates({}),
        {},
        "1",
    )


def washed(*books: Book) -> list[Piece]:
    return list(settled(Household(books), day_number(TODAY)).pieces)


LOSS = (entry("buy", "2024-01-02", "100", "10"), entry("sell", "2024-06-03", "100", "8"))


def test_a_purchase_in_another_portfolio_replaces() -> None:
    """100 bought at 10, sold at 8 in one; 40 bought at 9 in the other: 40 × 2 = 80 of the loss move, 360 + 80 = 440."""
    pieces = washed(book(*LOSS), book(entry("buy", "2024-06-20", "40", "9"), name="Second"))
    assert disallowed(pieces) == 80
    assert [(p.parcel.portfolio, money(p.cost + p.added)) for p in pieces if p.parcel.closed_on is None] == [(1, 440)]
    assert disallowed(washed(book(*LOSS))) == 0


def test_a_split_between_loss_and_replacement_is_taken_into_account() -> None:
    """100 old shares sold at a loss of 200, a 4:1 split, then 200 new shares bought: they replace 50 old ones, 100 of the loss."""
    pieces = washed(
        book(*LOSS),
        book(entry("split", "2024-06-10", ratio="4"), entry("buy", "2024-06-20", "200", "2.25"), name="Second"),
    )
    assert disallowed(pieces) == 100


def test_under_average_cost_the_purchases_are_still_told_apart() -> None:
    """100 at 10 and 100 at 6 average 8; 100 sold at 7 lose 100; 60 bought within the window replace: 60 of the loss.

    First in, first out tells the units apart, so those that stay (bought in March) are outside the window.
    """
    mine = book(
        entry("buy", "2024-01-02", "100", "10"),
        entry("buy", "2024-03-01", "100", "6"),
        entry("sell", "2024-06-03", "100", "7"),
        entry("buy", "2024-06-20", "60", "7"),
        method="average",
    )
    pieces = washed(mine)
    assert disallowed(pieces) == 60
    held = [p for p in pieces if p.parcel.closed_on is None]
    assert money(sum(p.cost for p in held)) == 800 + 420


def test_the_new_symbol_is_the_same_security() -> None:
    renamed = book(
        entry("buy", "2024-06-10", "100", "9"), entry("symbol_change", "2024-06-15", into=NEXT), name="Second"
    )
    pieces = washed(book(*LOSS), renamed)
    assert disallowed(pieces) == 200


@pytest.mark.parametrize("kind", ["spin_off", "transfer"])
def test_what_was_not_bought_does_not_replace(kind: str) -> None:
    """A child of a spin-off, and units that came in kind without saying when they were bought."""
    if kind == "spin_off":
        other = (
            entry("buy", "2024-01-02", "50", "20", COIN),
            entry("spin_off", "2024-06-10", security=COIN, into=ACME, ratio="1", fraction="0.5"),
        )
    else:
        other = (entry("transfer_in", "2024-06-10", "50", "9"),)
    assert disallowed(washed(book(*LOSS), book(*other, name="Second"))) == 0


def test_units_that_came_in_kind_count_from_the_day_they_were_bought() -> None:
    came = entry("transfer_in", "2024-09-02", "50", "9", basis="450", acquired_on=date(2024, 6, 20))
    assert disallowed(washed(book(*LOSS), book(came, name="Second"))) == 100


MOVED = (entry("buy", "2024-09-03", "60", "20"), entry("transfer_out", "2024-09-04", "20", "19"), entry("sell", "2024-09-16", "40", "18"))
ARRIVED = entry("transfer_in", "2024-09-04", "20", "19", basis="400", acquired_on=date(2024, 9, 3))


def test_units_moved_to_the_own_other_portfolio_do_not_replace_what_they_were_bought_with() -> None:
    """Rev. Rul. 56-602: 60 bought at 20, 20 of them moved, 40 sold at 18. The same purchase replaces nothing: cost 400 there, not 440."""
    pieces = washed(book(*MOVED), book(ARRIVED, name="Second"))
    assert disallowed(pieces) == 0
    assert [money(p.cost + p.added) for p in pieces if p.parcel.closed_on is None] == [400]


def test_moving_them_on_or_after_the_sale_changes_nothing() -> None:
    later = (MOVED[0], entry("sell", "2024-09-16", "40", "18"), entry("transfer_out", "2024-09-20", "20", "17"))
    came = entry("transfer_in", "2024-09-22", "20", "17", basis="400", acquired_on=date(2024, 9, 3))
    assert disallowed(washed(book(*later), book(came, name="Second"))) == 0
    on = (ARRIVED, entry("transfer_out", "2024-09-06", "20", "19"))
    third = entry("transfer_in", "2024-09-06", "20", "19", basis="400", acquired_on=date(2024, 9, 3))
    assert disallowed(washed(book(*MOVED), book(*on, name="Second"), book(third, name="Third"))) == 0


def test_a_purchase_of_its_own_beside_the_moved_units_replaces() -> None:
    """10 bought in the second portfolio: 10 × 2 of the loss move, the 20 that were moved replace nothing."""
    bought = entry("buy", "2024-09-10", "10", "19")
    assert disallowed(washed(book(*MOVED), book(ARRIVED, bought, name="Second"))) == 20


def test_units_from_elsewhere_were_another_purchase() -> None:
    """The same day and size, but they left no portfolio of the owner: 20 × 2 move."""
    stayed = (entry("buy", "2024-09-03", "40", "20"), entry("sell", "2024-09-16", "40", "18"))
    assert disallowed(washed(book(*stayed), book(ARRIVED, name="Second"))) == 40


def test_fills_of_one_order_are_one_purchase() -> None:
    """60 and 40 of one day and price, 50 of them sold at a loss: with the setting off the other row would replace 50 × 2."""
    fills = book(entry("buy", "2024-09-03", "60", "20"), entry("buy", "2024-09-03", "40", "20"), entry("sell", "2024-09-16", "50", "18"))
    assert disallowed(washed(fills)) == 0
    apart = settled(Household((fills,), fills_are_one=False), day_number(TODAY)).pieces
    assert disallowed(list(apart)) == 80
    for other in (entry("buy", "2024-09-03", "40", "20.01"), entry("buy", "2024-09-04", "40", "20")):  # another price, another day
        mixed = book(entry("buy", "2024-09-03", "60", "20"), other, entry("sell", "2024-09-16", "50", "18"))
        assert disallowed(washed(mixed)) == 80


def test_crypto_is_not_a_security() -> None:
    coins = (
        entry("buy", "2024-01-02", "100", "10", COIN),
        entry("sell", "2024-06-03", "100", "8", COIN),
        entry("buy", "2024-06-04", "100", "8", COIN),
    )
    assert disallowed(washed(book(*coins))) == 0


def test_cash_that_only_lowers_the_cost_is_no_sale() -> None:
    """100 at 10 get 50 back, then 40 more per unit than they cost is left: 1,000 - 50 = 950 is no gain; of 1,200 more, 250 is one."""
    pieces = [
        p
        for p in washed(
            book(
                entry("buy", "2024-01-02", "100", "10"),
                entry("return_of_capital", "2024-03-01", gross="50"),
                entry("return_of_capital", "2024-04-01", gross="1200"),
            )
        )
        if p.parcel.closed_on is not None
    ]
    (line,) = sales(pieces)
    assert money(line.proceeds - line.cost) == 250
    assert day_of(line.piece.parcel.closed_on or 0) == date(2024, 4, 1)


def test_amounts_of_another_base_currency_are_missing_without_a_rate() -> None:
    parcels, left_out = parcels_of(Household((book(base="EUR"), book(*LOSS))), day_number(TODAY))
    assert (parcels, left_out) == ([], 1)


# --- before it is booked ------------------------------------------------------------------------


def test_a_sale_at_a_loss_after_a_purchase_is_warned_of() -> None:
    """30 of 100 sold at 8 lose 60; 20 were bought at 9 in the other portfolio nine days before: 40 move. Free from 31 days after."""
    mine, other = (
        book(entry("buy", "2024-01-02", "100", "10")),
        book(entry("buy", "2024-05-25", "20", "9"), name="Second"),
    )
    (said,) = warnings_before(Household((mine, other)), entry("sell", "2024-06-03", "30", "8"), ACME, TODAY)
    assert (said.on_sale, said.disallowed, said.free_from) == (True, Decimal("40.00"), date(2024, 6, 25))
    assert [(t.portfolio, t.on, t.units) for t in said.triggers] == [("Second", date(2024, 5, 25), 20)]
    assert "40.00 USD of the loss on ACME" in str(said)


def test_a_purchase_after_a_sale_at_a_loss_is_warned_of() -> None:
    (said,) = warnings_before(
        Household((book(name="New"), book(*LOSS))), entry("buy", "2024-06-20", "40", "9"), ACME, TODAY
    )
    assert (said.on_sale, said.disallowed, said.free_from) == (False, Decimal("80.00"), date(2024, 7, 4))
    assert [(t.portfolio, t.on, t.units) for t in said.triggers] == [("First", date(2024, 6, 3), 40)]


@pytest.mark.parametrize(
    "posting",
    [
        entry("sell", "2024-06-03", "30", "12"),  # a gain
        entry("sell", "2024-07-25", "30", "8"),  # the purchase lies 61 days before
        entry("dividend", "2024-06-03", gross="12"),
        entry("buy", "2024-06-03", "30", "8"),
    ],
)
def test_without_a_loss_in_the_window_there_is_no_warning(posting: Posting) -> None:
    mine, other = (
        book(entry("buy", "2024-01-02", "100", "10")),
        book(entry("buy", "2024-05-25", "20", "9"), name="Second"),
    )
    assert warnings_before(Household((mine, other)), posting, ACME, TODAY) == ()


def test_the_old_symbol_in_another_portfolio_is_found_before_booking() -> None:
    """The loss was made under the old symbol, the purchase is of the new one; only the asked portfolio knows of the change."""
    mine = book(entry("buy", "2024-01-02", "1", "10"), entry("symbol_change", "2024-06-15", into=NEXT), name="New")
    (said,) = warnings_before(Household((mine, book(*LOSS))), entry("buy", "2024-06-20", "40", "9", NEXT), NEXT, TODAY)
    assert (said.symbol, said.disallowed) == ("NEXT", Decimal("80.00"))


def test_selling_everything_at_once_is_not_warned_of() -> None:
    """The second purchase replaces the first, but is sold with it: the whole loss counts."""
    mine = book(entry("buy", "2024-01-02", "50", "10"), entry("buy", "2024-05-25", "50", "10"))
    assert warnings_before(Household((mine,)), entry("sell", "2024-06-03", "100", "8"), ACME, TODAY) == ()


# --- on the real database: the owner's portfolios, and who may see them ---------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """Anna sold ACME at a loss in one portfolio (100 at 50, sold at 48) and bought 25 at 47 in another; Ben may read the first."""
    with installed(server) as made:
        for name in ("Loses", "Buys again"):
            made.portfolios[name] = portfolios.create_portfolio(made.anna, name, "USD")
        day = made.now.date() - timedelta(days=1)
        lost = [
            row(day - timedelta(days=60), "buy", "BOLT", quantity="100", price="50"),
            row(day - timedelta(days=20), "sell", "BOLT", quantity="100", price="48"),
        ]
        again = [row(day - timedelta(days=10), "buy", "BOLT", quantity="25", price="47")]
        for name, rows in (("Loses", lost), ("Buys again", again)):
            ledger.append(made.anna, made.portfolios[name], drafts(made, made.anna, rows, "USD"), made.now.date())
        access.share(made.user("anna"), made.portfolios["Loses"], "ben", "write")
        yield made


def year(small: Small) -> int:
    """The year of the sale."""
    return (small.now.date() - timedelta(days=21)).year


def asked(small: Small, who: str, name: str, portfolio: str = "Loses") -> Any:
    return reports.answer(
        small.user(who), name, Scope(small.portfolios[portfolio], year=year(small)), datetime.now(UTC)
    )


def test_the_owner_sees_the_wash_sale_across_portfolios(small: Small) -> None:
    """25 of 100 units are replaced: 25 × 2 = 50 of 200 move."""
    table = asked(small, "anna", "wash_sales")
    assert [(r["state"], r["units"], r["loss"], r["disallowed"], r["replaced_in"]) for r in table.records()] == [
        ("wash sale", 25, Decimal(-50), Decimal(50), "Buys again"),
        ("window open", 75, Decimal(-150), Decimal(0), None),
    ]
    assert table.figure("deductible").value == Decimal(-150)
    assert asked(small, "anna", "wash_sales", "Buys again").figure("added").value == Decimal(50)
    assert not any("may not see" in note for note in table.notes)


def test_who_may_not_see_the_other_portfolio_is_told_so(small: Small) -> None:
    table = asked(small, "ben", "wash_sales")
    assert [(r["state"], r["disallowed"]) for r in table.records()] == [("window open", 0)]
    assert any("may not see" in note for note in table.notes)
    assert "Buys again" not in str(table)


def test_a_stranger_sees_neither(small: Small) -> None:
    client = small.client("ben")
    for name in ("wash_sales", "form_8949", "tax_gains"):
        answer = client.get(f"/v1/reports/{name}", params={"portfolio": str(small.portfolios["Buys again"])})
        assert answer.status_code == 404
    assert small.client().get("/v1/reports/wash_sales").status_code == 401


def test_form_8949_has_the_columns_of_the_form(small: Small) -> None:
    """100 sh. BOLT: proceeds 4,800, cost 5,000, code W, adjustment 50, loss 150."""
    sold = small.now.date() - timedelta(days=21)
    answer = small.client("anna").get(
        "/v1/reports/form_8949",
        params={"portfolio": str(small.portfolios["Loses"]), "year": str(year(small)), "format": "csv"},
    )
    (line,) = csv.DictReader(io.StringIO(answer.content.decode(), newline=""))
    assert list(line)[:10] == [
        *("part", "box", "description", "acquired", "sold", "proceeds", "cost", "code", "adjustment", "gain")
    ]
    assert line["part"] == "I"
    assert line["description"] == "100 sh. BOLT"
    assert (line["acquired"], line["sold"]) == ((sold - timedelta(days=40)).isoformat(), sold.isoformat())
    assert [Decimal(line[k]) for k in ("proceeds", "cost", "adjustment", "gain")] == [4800, 5000, 50, -150]
    assert line["code"] == "W"
    table = asked(small, "anna", "form_8949")
    assert [table.figure(f"short_{k}").value for k in ("proceeds", "cost", "adjustment", "gain")] == [
        4800,
        5000,
        50,
        -150,
    ]
    assert table.figure("long_gain").value == 0


def test_gains_by_year_agree_with_the_form(small: Small) -> None:
    client, query = small.client("anna"), {"portfolio": str(small.portfolios["Loses"]), "year": str(year(small))}
    answer = client.get("/v1/reports/tax_gains", params=query).json()
    assert [(r["year"], r["term"], r["sales"], Decimal(r["gain"])) for r in answer["rows"]] == [
        (query["year"], "short", 1, -150)
    ]
    assert client.get("/v1/reports/tax_gains", params=query | {"year": "20x6"}).status_code == 422


def test_another_year_is_empty(small: Small) -> None:
    scope = Scope(small.portfolios["Loses"], year=year(small) - 5)
    table = reports.answer(small.user("anna"), "form_8949", scope, datetime.now(UTC))
    assert table.rows == ()
    assert table.empty.startswith("Nothing was sold in this year")


def test_the_year_is_part_of_the_address() -> None:
    scope = Scope.read(UUID(int=1), {"year": "2024"})
    assert scope.year == 2024
    assert Scope.read(UUID(int=1), scope.query()) == scope
    with pytest.raises(BadScope, match="calendar year"):
        Scope.read(UUID(int=1), {"year": "24"})


def test_what_changes_in_another_portfolio_counts_at_once(small: Small) -> None:
    """The tables are not kept: a purchase in the other portfolio, then its reversal."""
    other = small.portfolios["Buys again"]
    new = drafts(small, small.anna, [row(small.now.date(), "buy", "BOLT", quantity="75", price="47")], "USD")
    (number,) = ledger.append(small.anna, other, new, small.now.date())
    assert asked(small, "anna", "wash_sales").figure("disallowed").value == Decimal(200)
    ledger.reverse(small.anna, other, number)
    assert asked(small, "anna", "wash_sales").figure("disallowed").value == Decimal(50)


def test_the_warning_before_a_purchase_looks_at_all_portfolios(small: Small) -> None:
    today = small.now.date()
    (draft,) = drafts(small, small.anna, [row(today, "buy", "BOLT", quantity="10", price="47")], "USD")
    (said,) = tax.warnings(small.anna, small.portfolios["Buys again"], draft, today)
    assert (said.disallowed, said.free_from) == (Decimal("20.00"), today + timedelta(days=10))
    assert tax.warnings(small.ben, small.portfolios["Ben's own"], draft, today) == ()
    assert [w.disallowed for w in tax.warnings(small.ben, small.portfolios["Loses"], draft, today)] == [
        Decimal("20.00")
    ]


def test_what_cannot_be_booked_is_not_warned_of(small: Small) -> None:
    today = small.now.date()
    (draft,) = drafts(small, small.anna, [row(today, "sell", "BOLT", quantity="1000", price="1")], "USD")
    assert tax.warnings(small.anna, small.portfolios["Loses"], draft, today) == ()


def test_the_answer_to_a_booking_carries_the_warnings(small: Small) -> None:
    """75 units are not replaced yet: 10 bought today in the same portfolio take 20 of the loss. The same call again says the same."""
    client, query = small.client("anna"), {"portfolio": str(small.portfolios["Loses"])}
    new = [{"date": small.now.date().isoformat(), "kind": "buy", "symbol": "BOLT", "quantity": "10", "price": "47"}]
    key = {"Idempotency-Key": "wash"}
    answers = [client.post("/v1/transactions", params=query, json=new, headers=key).json() for _ in range(2)]
    assert answers[0] == answers[1]
    (said,) = answers[0]["warnings"]
    assert said.startswith("Wash sale: with this entry 20.00 USD of losses on BOLT")
    ledger.reverse(small.anna, small.portfolios["Loses"], UUID(answers[0]["booked"][0]))
    plain = [{"date": small.now.date().isoformat(), "kind": "deposit", "gross": "1"}]
    assert client.post("/v1/transactions", params=query, json=plain).json()["warnings"] == []


def test_the_page_says_what_is_disallowed_and_the_form_warns(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60).run()
    at.query_params["portfolio"] = str(small.portfolios["Loses"])
    at.query_params["year"] = str(year(small))
    at.switch_page("tax.py").run()
    assert not at.exception
    assert "50.00\u00a0USD of losses disallowed" in at.warning[0].value
    assert at.selectbox(key="scope_year").value == year(small)
    at.query_params["year"] = str(year(small) - 5)
    at.run()
    assert [i.value for i in at.info if "Nothing was sold in this year" in i.value]

    at.switch_page("transactions.py").run()
    at.session_state["transactions_tabs"] = "New entry"
    at.run()
    number = next(k for k in at.session_state["entry_forms"].values())["key"]
    at.selectbox(key=f"entry_{number}_symbol").set_value("XNYS:BOLT")
    at.text_input(key=f"entry_{number}_quantity").set_value("10")
    at.text_input(key=f"entry_{number}_price").set_value("47").run()
    assert not at.exception
    assert [w.value for w in at.warning if w.value.startswith("Wash sale: with this entry 20.00 USD")]
