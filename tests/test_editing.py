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

from core.importing import cells_of
from core.importing import draft as draft_of
from core.ledger import BOOKABLE, Draft, LedgerError
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
        known = market.listings(self.user)
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


def test_the_preview_leaves_out_what_an_earlier_spin_off_made_and_this_does_not_touch(desk: Desk) -> None:
    """10 at 10; half of it, and a quarter of the cost, was spun off: 75 of cost stay. Selling 4 of 10 leaves 45."""
    desk.buy(5, "10", "10")
    desk.put(desk.draft(9, "spin_off", "ACME", into="BOLT", ratio="0.5", fraction="0.25"))
    draft = desk.draft(20, "sell", "ACME", quantity="4", price="12")
    seen = effect(desk.book(), [(draft, ledger.complete(_desk(desk), draft, desk.today))])
    assert [(x.security.symbol, x.units, x.cost) for x in seen.before] == [("ACME", 10, 75)]
    assert [(x.security.symbol, x.units, x.cost) for x in seen.after] == [("ACME", 6, 45)]


def _desk(desk: Desk) -> ledger.Desk:
    from db import engine

    with engine.session(desk.user) as c:
        return ledger.open_desk(c, desk.portfolio, lock=False)


# --- the API ---------------------------------------------------------------------------------------------------


def sent(draft: Draft) -> dict[str, Any]:
    """A draft as the API takes it."""
    cells: dict[str, Any] = cells_of(draft)
    if "lots" in cells:
        cells["lots"] = [dict(zip(("lot", "units"), x.split(":"), strict=True)) for x in cells["lots"].split(";")]
    return cells


EVERY = {
    "buy": {"symbol": "ACME", "quantity": "1", "price": "10"},
    "sell": {"symbol": "ACME", "quantity": "1", "price": "10"},
    "short": {"symbol": "LATE", "quantity": "1", "price": "10"},
    "cover": {"symbol": "FUND", "quantity": "1", "price": "10"},
    "dividend": {"symbol": "ACME", "gross": "5"},
    "interest": {"gross": "5"},
    "fee": {"gross": "5"},
    "tax": {"gross": "5"},
    "deposit": {"gross": "5"},
    "withdrawal": {"gross": "5"},
    "split": {"symbol": "ACME", "ratio": "2"},
    "transfer_in": {"symbol": "BOLT", "quantity": "2", "price": "12", "basis": "20", "acquired": "2020-05-05"},
    "transfer_out": {"symbol": "ACME", "quantity": "1", "price": "10"},
    "return_of_capital": {"symbol": "ACME", "gross": "5"},
    "spin_off": {"symbol": "ACME", "into": "BOLT", "ratio": "0.5", "fraction": "0.25"},
    "merger": {"symbol": "ACME", "into": "BOLT", "ratio": "0.5", "gross": "7", "price": "20"},
    "symbol_change": {"symbol": "ACME", "into": "BOLT"},
    "fx_in": {"gross": "5", "currency": "EUR"},
    "fx_out": {"gross": "5", "currency": "USD"},
}
# what it does to cash: the amount with the sign of its kind; in kind and corporate actions none but cash in a merger
NET = {
    **dict.fromkeys(("buy", "cover"), -10), **dict.fromkeys(("sell", "short"), 10), "merger": 7,
    **dict.fromkeys(("dividend", "interest", "deposit", "return_of_capital", "fx_in"), 5),
    **dict.fromkeys(("fee", "tax", "withdrawal", "fx_out"), -5),
    **dict.fromkeys(("split", "transfer_in", "transfer_out", "spin_off", "symbol_change"), 0),
}  # fmt: skip


def test_every_kind_is_tried() -> None:
    assert EVERY.keys() == set(BOOKABLE) == NET.keys()


@pytest.mark.parametrize("kind", BOOKABLE)
@pytest.mark.parametrize("way", ["api", "csv"])
def test_every_kind_is_booked(desk: Desk, kind: str, way: str) -> None:
    desk.buy(5, "10", "10")
    desk.put(desk.draft(6, "short", "FUND", quantity="3", price="9"))
    cells = {"date": desk.days[20].isoformat(), "kind": kind, "note": f"a {kind}", **EVERY[kind]}
    client, query = desk.small.client("anna"), {"portfolio": str(desk.portfolio)}
    if way == "api":
        seen = client.post("/v1/transactions/preview", params=query, json=cells).json()
        assert D(seen["postings"][0]["net"]) == NET[kind]
        answer = client.post("/v1/transactions", params=query, json=cells)
    else:
        text = ",".join(cells) + "\n" + ",".join(cells.values()) + "\n"
        answer = client.post(
            "/v1/transactions/import",
            params=query | {"dry_run": "false"},
            content=text,
            headers={"Content-Type": "text/csv"},
        )
        assert answer.json()["booked"] == 1, answer.text
    assert answer.status_code in (200, 201), answer.text
    listed = client.get("/v1/transactions", params=query).json()["transactions"]
    (row,) = [t for t in listed if t["note"] == f"a {kind}"]
    assert (row["kind"], D(row["net"]), row["into"]) == (kind, NET[kind], EVERY[kind].get("into"))
    # the same fields patched one after the other book the same again
    for field in ("note", "quantity", "gross"):
        if field not in EVERY[kind] and field != "note":
            continue
        other = "other" if field == "note" else EVERY[kind][field]
        answer = client.patch(f"/v1/transactions/{row['transaction_id']}", params=query, json={field: other})
        if field == "note":
            assert answer.status_code == 200, answer.text
            row["transaction_id"] = answer.json()["booked"]
        else:
            assert answer.json()["detail"].endswith("nothing of it is changed")


def test_wrong_fields_are_named_by_the_api(desk: Desk) -> None:
    desk.buy(5, "10", "10")
    for kind, change, field in (
        ("spin_off", {"fraction": "1.5"}, "fraction"), ("spin_off", {"into": "EDO"}, "into"), ("spin_off", {"into": "NOPE"}, "into"),
        ("merger", {"price": None}, "price"), ("merger", {"into": "ACME"}, "into"), ("split", {"ratio": None}, "ratio"),
        ("transfer_in", {"basis": "-1"}, "basis"), ("transfer_in", {"acquired": "2999-01-01"}, "acquired"),
        ("return_of_capital", {"gross": "-1"}, "gross"), ("sell", {"lots": [{"lot": str(uuid4()), "units": "2"}]}, "lots"),
        ("sell", {"lots": [{"lot": str(uuid4()), "units": "1"}]}, "lots"), ("cover", {"symbol": "ACME"}, "kind"),
        ("short", {"symbol": "ACME"}, "kind"), ("buy", {"basis": "1"}, "basis"), ("deposit", {"currency": "XXX"}, "currency"),
    ):  # fmt: skip
        body = {"date": desk.days[20].isoformat(), "kind": kind, **EVERY[kind], **change}
        for path in ("/v1/transactions", "/v1/transactions/preview"):
            said = desk.small.client("anna").post(path, params={"portfolio": str(desk.portfolio)}, json=body)
            assert said.status_code in (409, 422), f"{kind} {change}: {said.text}"
            problem = said.json()
            assert problem["field"] == field, f"{kind} {change}: {problem}"
            assert problem["expected"]


def test_correcting_by_api_and_its_conflict(desk: Desk) -> None:
    bought = desk.buy(5, "10", "10", fees="1")
    client, query = desk.small.client("anna"), {"portfolio": str(desk.portfolio)}
    answer = client.patch(f"/v1/transactions/{bought}", params=query, json={"quantity": "12"})
    assert answer.status_code == 200, answer.text
    assert desk.cost() == 121, "12 × 10 + 1: the gross followed"
    whole = sent(desk.draft(6, "buy", "ACME", quantity="3", price="7"))
    said = client.put(f"/v1/transactions/{bought}", params=query, json=whole)
    assert said.status_code == 409, said.text
    problem = said.json()
    assert problem["type"].endswith("#changed-meanwhile")
    assert problem["mine"]["quantity"] == "3"
    assert (problem["theirs"]["quantity"], problem["theirs"]["gross"]) == ("12", "120")
    answer = client.put(f"/v1/transactions/{problem['theirs']['transaction_id']}", params=query, json=whole)
    assert answer.status_code == 200, answer.text
    assert desk.cost() == 21
    states = [t["state"] for t in client.get("/v1/reports/transactions", params=query).json()["rows"]]
    assert sum(s.startswith("corrected by") for s in states) == 2
    assert client.patch(f"/v1/transactions/{uuid4()}", params=query, json={"note": "x"}).status_code == 422


def test_a_transfer_by_api(small: Small) -> None:
    one, two = Desk(small), Desk(small)
    first = one.buy(5, "3", "10")
    one.buy(6, "3", "11")
    body = {"date": one.days[20].isoformat(), "to": str(two.portfolio), "symbol": "ACME", "quantity": "2",
            "lots": [{"lot": str(first), "units": "2"}]}  # fmt: skip
    answer = small.client("anna").post("/v1/transactions/transfer", params={"portfolio": str(one.portfolio)}, json=body)
    assert answer.status_code == 201, answer.text
    assert (one.cost(), two.cost()) == (D(43), D(20))


def test_methods_by_api(desk: Desk) -> None:
    """10 at 10, 10 at 20, 5 sold at 30: 100 first in first out, 50 last in first out."""
    desk.buy(5, "10", "10")
    desk.buy(8, "10", "20")
    desk.put(desk.draft(30, "sell", "ACME", quantity="5", price="30"))
    client, path = desk.small.client("anna"), f"/v1/portfolios/{desk.portfolio}/methods"
    body = {"valid_from": "1900-01-01", "method": "lifo"}
    said = client.post(path, json=body).json()
    assert (said["applied"], D(said["difference"])) == (False, D(-50))
    assert desk.gain() == 100
    assert client.post(path, json=body | {"version": 1}, params={"dry_run": "false"}).status_code == 409
    assert client.post(path, json=body, params={"dry_run": "false"}).json()["applied"]
    assert desk.gain() == 50
    assert [(m["method"], m["superseded"]) for m in client.get(path).json()] == [("fifo", True), ("lifo", False)]
