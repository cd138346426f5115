"""Editing the ledger on the real database: corrections and their undo, conflicts, transfers, dated methods, every kind by API.

Expected figures are worked by hand beside each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from small import WORDS, Small, bar_days, installed

from core.importing import by_symbol
from core.importing import draft as draft_of
from core.ledger import Draft, LedgerError
from core.preview import effect, open_lots
from core.valuation import cash_of, lots_of
from db import access, books, corrections, ledger, market, portfolios, transfers
from db.access import AccessDenied
from db.corrections import Conflict, NotCorrected

D = Decimal


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """The small installation with a second trader beside Anna."""
    with installed(server) as made:
        access.create_user("carl", WORDS, "analyst", "Carl")
        made.tokens["carl"] = access.sign_in("carl", WORDS)[0]
        yield made


class Desk:
    """A fresh portfolio of Anna's, and what tests do with it."""

    def __init__(self, small: Small, base: str = "USD", method: str = "fifo") -> None:
        self.small, self.user, self.today = small, small.anna, small.now.date()
        self.days = bar_days(small.now)
        self.portfolio = portfolios.create_portfolio(small.anna, f"desk {uuid4().hex[:8]}", base, None, method)
        self.base = base

    def draft(self, day: int, kind: str, symbol: str = "", **cells: str) -> Draft:
        known = by_symbol(market.securities(self.user))
        row = {"date": self.days[day].isoformat(), "kind": kind, "symbol": symbol, **cells}
        return draft_of(row, known, frozenset({"USD", "EUR", "JPY", "GBP"}), self.base)

    def put(self, *drafts: Draft) -> list[UUID]:
        return ledger.append(self.user, self.portfolio, drafts, self.today)

    def buy(self, day: int, quantity: str, price: str, symbol: str = "ACME", **cells: str) -> UUID:
        return self.put(self.draft(day, "buy", symbol, quantity=quantity, price=price, **cells))[0]

    def correct(self, *changes: corrections.Change, **more: Any) -> corrections.Correction:
        return corrections.correct(self.user, self.portfolio, changes, self.today, **more)

    def book(self) -> books.Book:
        return books.live(self.user, self.portfolio).book

    def figures(self) -> Any:
        """Everything that follows from the ledger, without ids: lots, disposals, cash, and the rows in their order."""
        book = self.book()
        found = lots_of(book, 10**5)
        rows = [
            tuple(
                getattr(book.ledger, name)[i].item()
                for name in ("kind", "security", "quantity", "gross", "net", "traded_on")
            )
            for i in range(len(book.ledger))
        ]
        opened = [(x.security, x.opened_on, x.units, x.cost, x.cost_base) for x in found.open]
        closed = [
            (x.security, x.opened_on, x.closed_on, x.units, x.proceeds, x.cost, x.cost_base) for x in found.disposals
        ]
        return rows, opened, closed, cash_of(book, 10**5)

    def gain(self) -> Decimal:
        return sum((D(x.proceeds_base - x.cost_base) / 10**6 for x in lots_of(self.book(), 10**5).disposals), D(0))

    def cost(self) -> Decimal:
        return sum((D(x.cost) / 10**6 for x in lots_of(self.book(), 10**5).open), D(0))


@pytest.fixture
def desk(small: Small) -> Desk:
    return Desk(small)


# --- corrections -----------------------------------------------------------------------------------------------


def test_a_correction_is_a_reversal_and_a_new_entry_and_its_undo_restores_every_figure(desk: Desk) -> None:
    """Two purchases on one day at 10 and 20, one unit sold first in, first out: the order within the day decides the gain."""
    first = desk.buy(5, "1", "10")
    second = desk.buy(5, "1", "20")
    desk.put(desk.draft(9, "sell", "ACME", quantity="1", price="30"))
    before = desk.figures()
    assert desk.gain() == 20
    done = desk.correct((first, desk.draft(5, "buy", "ACME", quantity="1", price="11")))
    assert desk.gain() == 19, "the corrected purchase is still the first of its day: 30 − 11"
    ((old, new),) = done.steps
    assert old == first
    rows = {r[0]: r for r in ledger.transactions(desk.user, desk.portfolio)}
    assert rows[new][-3] == first, "the new entry says what it corrects"
    assert rows[first][19], "the old one is reversed"
    assert rows[first][-1] == new
    assert len(rows) == 5
    corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.figures() == before
    assert second in {UUID(bytes=bytes(i)) for i in desk.book().ledger.ids}


def test_several_rows_are_corrected_together_or_not_at_all(desk: Desk) -> None:
    """Buy 10, sell 8. Buying 5 instead is impossible alone, possible with a sale of 4."""
    bought = desk.buy(5, "10", "10")
    (sold,) = desk.put(desk.draft(9, "sell", "ACME", quantity="8", price="12"))
    less = desk.draft(5, "buy", "ACME", quantity="5", price="10")
    before = desk.figures()
    with pytest.raises(NotCorrected) as caught:
        desk.correct((bought, less))
    assert caught.value.errors.keys() == {bought}
    assert "needs it as it was: only 5 ACME" in str(caught.value)
    with pytest.raises(NotCorrected) as caught:
        desk.correct((bought, less), (sold, desk.draft(9, "sell", "ACME", quantity="6", price="12")))
    assert caught.value.errors.keys() == {sold}
    assert caught.value.field == "quantity"
    assert desk.figures() == before
    checked = desk.correct(
        (bought, less), (sold, desk.draft(9, "sell", "ACME", quantity="4", price="12")), dry_run=True
    )
    assert len(checked.steps) == 2
    assert desk.figures() == before, "a dry run books nothing"
    done = desk.correct((bought, less), (sold, desk.draft(9, "sell", "ACME", quantity="4", price="12")))
    assert (desk.gain(), desk.cost()) == (D(8), D(10)), "4 × (12 − 10); one unit of 10 is left"
    corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.figures() == before


def test_taking_rows_away_and_bringing_them_back(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10")
    (sold,) = desk.put(desk.draft(9, "sell", "ACME", quantity="8", price="12"))
    before = desk.figures()
    with pytest.raises(NotCorrected, match="needs it as it was"):
        desk.correct((bought, None))
    done = desk.correct((bought, None), (sold, None))
    assert desk.figures() == ([], [], [], {})
    corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.figures() == before


def test_an_entry_may_move_to_another_day_but_not_behind_what_needs_it(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10")
    desk.put(desk.draft(9, "sell", "ACME", quantity="8", price="12"))
    before = desk.figures()
    with pytest.raises(NotCorrected, match="needs it as it was"):
        desk.correct((bought, desk.draft(10, "buy", "ACME", quantity="10", price="10")))
    done = desk.correct((bought, desk.draft(7, "buy", "ACME", quantity="10", price="10")))
    corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.figures() == before


def test_what_chose_a_lot_follows_it_to_its_new_entry(desk: Desk) -> None:
    """The second purchase, at 20, is chosen; corrected to 21 it is still the one that was sold: 30 − 21."""
    desk.buy(5, "1", "10")
    second = desk.buy(6, "1", "20")
    desk.put(desk.draft(9, "sell", "ACME", quantity="1", price="30", lots=f"{second}:1"))
    before = desk.figures()
    assert desk.gain() == 10
    done = desk.correct((second, desk.draft(6, "buy", "ACME", quantity="1", price="21")))
    assert desk.gain() == 9
    assert len(done.steps) == 2, "the sale was booked again with the new id"
    corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.figures() == before


@pytest.mark.parametrize(
    ("cells", "field"),
    [({"quantity": "0", "price": "1"}, "quantity"), ({"quantity": "1", "price": "-1"}, "price"),
     ({"quantity": "1", "price": "1", "fees": "-1"}, "fees"), ({"quantity": "1", "price": "1", "fx": "2"}, "fx")],
)  # fmt: skip
def test_a_wrong_correction_names_its_row_and_field(desk: Desk, cells: dict[str, str], field: str) -> None:
    bought = desk.buy(5, "10", "10")
    with pytest.raises(NotCorrected) as caught:
        desk.correct((bought, desk.draft(5, "buy", "ACME", **cells)))
    assert {n: e.field for n, e in caught.value.errors.items()} == {bought: field}


def test_nothing_changed_is_said(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10")
    with pytest.raises(NotCorrected, match="nothing of it is changed"):
        desk.correct((bought, corrections.entries(desk.user, desk.portfolio, [bought])[bought].draft))


# --- two people ------------------------------------------------------------------------------------------------


def test_two_people_edit_the_same_entry(desk: Desk) -> None:
    """Carl was faster: Anna sees both versions, keeps his or books hers over it."""
    access.share(desk.small.user("anna"), desk.portfolio, "carl", "write")
    carl = desk.small.user("carl").user_id
    bought = desk.buy(5, "10", "10")
    his, hers = (desk.draft(5, "buy", "ACME", quantity="10", price=p) for p in ("11", "12"))
    corrections.correct(carl, desk.portfolio, [(bought, his)], desk.today)
    with pytest.raises(Conflict) as caught:
        desk.correct((bought, hers))
    (clash,) = caught.value.clashes
    assert clash.was.posting.price == 10
    assert clash.theirs is not None
    assert clash.theirs.posting.price == 11
    assert clash.theirs.recorded_by == "Carl"
    assert clash.mine is not None
    assert clash.mine.price == 12
    assert desk.cost() == 110, "nothing of hers was booked"
    desk.correct((clash.theirs.transaction_id, hers))
    assert desk.cost() == 120


def test_what_somebody_took_away_is_booked_again_only_knowingly(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10")
    ledger.reverse(desk.user, desk.portfolio, bought)
    mine = desk.draft(5, "buy", "ACME", quantity="10", price="12")
    with pytest.raises(Conflict) as caught:
        desk.correct((bought, mine))
    assert caught.value.clashes[0].theirs is None
    desk.correct((bought, mine), over={bought})
    assert desk.cost() == 120
    assert desk.correct((bought, mine)).steps, "the same again is no conflict and books nothing"
    assert desk.cost() == 120


def test_an_undo_after_somebody_went_on_is_a_conflict(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10")
    done = desk.correct((bought, desk.draft(5, "buy", "ACME", quantity="10", price="11")))
    desk.correct((done.steps[0][1] or bought, desk.draft(5, "buy", "ACME", quantity="10", price="12")))
    with pytest.raises(Conflict):
        corrections.undo(desk.user, desk.portfolio, done, desk.today)
    assert desk.cost() == 120


def test_who_may_only_look_corrects_nothing(desk: Desk) -> None:
    access.share(desk.small.user("anna"), desk.portfolio, "carl", "read")
    bought = desk.buy(5, "10", "10")
    with pytest.raises(AccessDenied):
        corrections.correct(desk.small.user("carl").user_id, desk.portfolio, [(bought, None)], desk.today)


# --- transfers -------------------------------------------------------------------------------------------------


def test_a_transfer_carries_lots_days_and_cost(small: Small) -> None:
    """Lots of 3 at 10.01 + 1.00 fee = 31.03 and 5 at 20 = 100; 4 units go: the first lot whole, 1 unit of the second = 20."""
    one, two = Desk(small), Desk(small)
    one.buy(5, "3", "10.01", fees="1.00")
    one.buy(8, "5", "20")
    acme = next(s for s in market.securities(small.anna) if s.symbol == "ACME")
    made = transfers.transfer(
        small.anna, one.portfolio, two.portfolio, one.days[20], one.today, security=acme, quantity=D(4)
    )
    assert (one.cost(), two.cost()) == (D(80), D("51.03")), "131.03 in both together, to the cent"
    arrived = open_lots(two.book(), acme.security_id, two.today)
    assert [(x.opened_on, x.units, x.cost, x.cost_base) for x in arrived] == [
        (one.days[5], D(3), D("31.03"), D("31.03")),
        (one.days[8], D(1), D(20), D(20)),
    ]
    # the close of that day, by the rule of tests/small.py: 100 × (1000 + 20·7 mod 61 + 20) / 1000
    close = (D(100) * (1000 + 140 % 61 + 20) / 1000).quantize(D("0.01"))
    assert made.price == close
    out, *ins = [r for d in (one, two) for r in ledger.transactions(small.anna, d.portfolio) if r[-2] == made.link]
    assert out[8] == 4 * close
    assert sum(r[8] for r in ins) == out[8]
    portfolios.change_method(small.anna, one.portfolio, date(1900, 1, 1), "lifo", one.today)
    assert one.cost() == 80, "the lots that left are pinned: another method does not part the two sides"
    ledger.reverse(small.anna, two.portfolio, made.arrived[0])
    assert (one.cost(), two.cost()) == (D("131.03"), D(0)), "one side reversed reverses both"


def test_a_transfer_without_price_goes_at_its_cost_and_says_so(small: Small) -> None:
    one, two = Desk(small), Desk(small)
    one.buy(5, "3", "7", symbol="NEVER")
    never = next(s for s in market.securities(small.anna) if s.symbol == "NEVER")
    made = transfers.transfer(
        small.anna, one.portfolio, two.portfolio, one.days[20], one.today, security=never, quantity=D(2)
    )
    assert made.price is None
    (row,) = ledger.transactions(small.anna, two.portfolio)
    assert (row[8], two.cost(), one.cost()) == (D(14), D(14), D(7))
    assert "no price on that day" in row[15]


def test_between_base_currencies_the_rate_of_the_day_bought_decides(small: Small) -> None:
    one, two = Desk(small, "USD"), Desk(small, "EUR")
    one.buy(5, "3", "10")
    acme = next(s for s in market.securities(small.anna) if s.symbol == "ACME")
    transfers.transfer(small.anna, one.portfolio, two.portfolio, one.days[20], one.today, security=acme, quantity=D(3))
    (lot,) = open_lots(two.book(), acme.security_id, two.today)
    # EUR/USD on that day by the rule of tests/small.py: 1.08 × (10000 + 5·7 mod 83) / 10000
    rate = (D("1.08") * 10035 / 10000).quantize(D("0.0001"))
    assert (lot.cost, lot.cost_base) == (D(30), (D(30) / rate).quantize(D("0.01")))


def test_cash_moves_between_portfolios(small: Small) -> None:
    one, two = Desk(small), Desk(small)
    one.put(one.draft(5, "deposit", gross="100"))
    transfers.transfer(
        small.anna, one.portfolio, two.portfolio, one.days[6], one.today, currency="USD", amount=D("40.50")
    )
    assert (cash_of(one.book(), 10**5), cash_of(two.book(), 10**5)) == ({"USD": D("59.50")}, {"USD": D("40.50")})


def test_a_transfer_is_refused_in_words(small: Small) -> None:
    one, two = Desk(small), Desk(small)
    first = one.buy(5, "3", "10")
    acme = next(s for s in market.securities(small.anna) if s.symbol == "ACME")

    def move(**more: Any) -> Any:
        asked = {"security": acme, "quantity": D(1)} | more
        return transfers.transfer(
            small.anna, one.portfolio, more.pop("to", two.portfolio), one.days[20], one.today, **asked
        )

    with pytest.raises(LedgerError, match="another portfolio"):
        transfers.transfer(
            small.anna, one.portfolio, one.portfolio, one.days[20], one.today, security=acme, quantity=D(1)
        )
    with pytest.raises(LedgerError, match="only 3 ACME"):
        move(quantity=D(4))
    with pytest.raises(LedgerError, match="add up to the quantity"):
        move(lots=[(first, D(2))])
    with pytest.raises(LedgerError, match="positive number of units"):
        move(quantity=None)
    assert one.cost() == 30
    made = move()
    with pytest.raises(NotCorrected, match="one side of a transfer"):
        one.correct((made.out, None))
    carl = small.user("carl").user_id
    access.share(small.user("anna"), one.portfolio, "carl", "write")
    with pytest.raises(LedgerError, match="you may not see"):
        ledger.reverse(carl, one.portfolio, made.out)
    access.share(small.user("anna"), two.portfolio, "carl", "read")
    with pytest.raises(AccessDenied, match="not book in it"):
        ledger.reverse(carl, one.portfolio, made.out)
    assert two.cost() == 10


# --- dated cost methods ----------------------------------------------------------------------------------------


def test_a_change_of_method_previews_what_it_restates(desk: Desk) -> None:
    """Buy 10 at 10 and 10 at 20; sell 5 at 30 on day 30 and 5 at 30 on day 60. First in: 100 + 100. Last in from day 50 on: 100 + 50."""
    desk.buy(5, "10", "10")
    desk.buy(8, "10", "20")
    for day in (30, 60):
        desk.put(desk.draft(day, "sell", "ACME", quantity="5", price="30"))
    said = portfolios.change_method(desk.user, desk.portfolio, desk.days[50], "lifo", desk.today, dry_run=True)
    assert (desk.gain(), said.difference) == (D(200), D(-50))
    assert sum(y.after or 0 for y in said.years) == 150
    assert [(x.units, x.cost) for x in said.before] == [(D(10), D(200))]
    assert [(x.units, x.cost) for x in said.after] == [(D(5), D(50)), (D(5), D(100))]
    assert len(portfolios.methods(desk.user, desk.portfolio)) == 1, "looking changes nothing"
    version = desk.book().portfolio.version
    assert portfolios.change_method(desk.user, desk.portfolio, desk.days[50], "lifo", desk.today, version) == said
    assert (desk.gain(), desk.cost()) == (D(150), D(150)), "what was previewed is what is then shown"
    with pytest.raises(portfolios.StaleEdit):
        portfolios.change_method(desk.user, desk.portfolio, desk.days[50], "hifo", desk.today, version)
    with pytest.raises(LedgerError, match="in force on"):
        portfolios.change_method(desk.user, desk.portfolio, desk.days[55], "lifo", desk.today)
    portfolios.change_method(desk.user, desk.portfolio, desk.days[50], "fifo", desk.today)
    assert desk.gain() == 200
    assert [(m.method, m.superseded) for m in portfolios.methods(desk.user, desk.portfolio)] == [
        ("fifo", False), ("lifo", True), ("fifo", False),
    ]  # fmt: skip


def test_a_method_under_which_chosen_lots_are_gone_is_refused(desk: Desk) -> None:
    """Average cost makes one pool of both lots; back under first in the second lot is no more, though a sale chose it."""
    desk.buy(5, "10", "10")
    second = desk.buy(8, "10", "20")
    desk.put(desk.draft(60, "sell", "ACME", quantity="5", price="30", lots=f"{second}:5"))
    desk.put(desk.draft(20, "return_of_capital", "ACME", gross="1"))
    portfolios.change_method(desk.user, desk.portfolio, desk.days[15], "average", desk.today)
    before = desk.figures()
    with pytest.raises(LedgerError, match="would become impossible"):
        portfolios.change_method(desk.user, desk.portfolio, desk.days[50], "fifo", desk.today)
    assert desk.figures() == before


def test_only_who_manages_changes_the_method(desk: Desk) -> None:
    access.share(desk.small.user("anna"), desk.portfolio, "carl", "write")
    with pytest.raises(AccessDenied):
        portfolios.change_method(desk.small.user("carl").user_id, desk.portfolio, desk.days[5], "lifo", desk.today)


def test_the_preview_of_a_merger_keeps_the_cost_to_the_cent(desk: Desk) -> None:
    """3 at 33.33 and 7 at 10 with 0.01 fee: 99.99 + 70.01 = 170.00, two for three."""
    desk.buy(5, "3", "33.33")
    desk.buy(6, "7", "10", fees="0.01")
    draft = desk.draft(20, "merger", "ACME", into="BOLT", ratio="0.6666666667")
    book = desk.book()
    seen = effect(book, [(draft, ledger.complete(_desk(desk), draft, desk.today))])
    assert (seen.cost_before, seen.cost_after) == (D(170), D(170))
    assert {x.security.symbol for x in seen.before} == {"ACME"}
    assert {x.security.symbol for x in seen.after} == {"BOLT"}
    assert seen.gain_base is None
    desk.put(draft)
    assert desk.cost() == 170


def _desk(desk: Desk) -> ledger.Desk:
    from db import engine

    with engine.session(desk.user) as c:
        return ledger.open_desk(c, desk.portfolio, lock=False)
