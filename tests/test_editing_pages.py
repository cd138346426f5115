"""Editing on the pages: lots are chosen and previewed, rows of the grid corrected and undone, two people meet, a method is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import ROOT
from small import WORDS, Small, installed
from streamlit.testing.v1 import AppTest
from test_editing import D, Desk
from test_work_pages import choose, click, field, filled, words

from core.preview import open_lots, preset
from db import access, corrections, ledger
from ui import editor, session

Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("carl", WORDS, "analyst", "Carl")
        made.tokens["carl"] = access.sign_in("carl", WORDS)[0]
        yield made


@pytest.fixture
def desk(small: Small) -> Desk:
    return Desk(small)


@pytest.fixture
def opened(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(tab)`: the transactions of the desk as Anna's browser gets them."""

    def run(tab: str | None = "New entry", page: str = "transactions") -> AppTest:
        monkeypatch.setattr(session, "token", lambda: desk.small.tokens["anna"])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        at.query_params["portfolio"] = str(desk.portfolio)
        at.switch_page(f"{page}.py")
        if tab:
            at.session_state["transactions_tabs"] = tab
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def plainly(at: AppTest) -> str:
    """What is said, without the marks that keep Markdown from reading it."""
    return words(at).replace("\\", "")


def tables(at: AppTest) -> str:
    return "\n".join(d.value.to_string() for d in at.dataframe)


# --- the form --------------------------------------------------------------------------------------------------


def on(desk: Desk, day: int) -> Any:
    return desk.days[day]


def test_a_currency_exchange_books_both_halves_and_undo_takes_both(opened: Opened, desk: Desk) -> None:
    at = choose(opened(), "exchange")
    filled(at, date=on(desk, 20), gross="100", received="92.50", fees="1")
    click(at, "Book it")
    booked = {(r[3], r[11], r[12]) for r in ledger.transactions(desk.user, desk.portfolio)}
    assert booked == {("fx_out", D(-101), "USD"), ("fx_in", D("92.50"), "EUR")} or booked == {
        ("fx_out", D(-101), "USD"), ("fx_in", D("92.50"), field(at, "receivedin").value)
    }  # fmt: skip
    click(at, "Undo")
    assert [r[3] for r in ledger.transactions(desk.user, desk.portfolio)].count("reversal") == 2


def test_the_gain_is_said_and_lots_are_chosen(opened: Opened, desk: Desk) -> None:
    """5 of 10 + 10 at 10 and 20, sold at 30: 100 first in first out; the second lot chosen 50."""
    desk.buy(5, "10", "10")
    second = desk.buy(8, "10", "20")
    at = choose(opened(), "sell")
    filled(at, symbol="XNYS:ACME", date=on(desk, 30), quantity="5", price="30")
    assert "realised gain +100.00" in words(at)
    next(t for t in at.toggle if t.label == "Choose the lots").set_value(True).run()
    assert not at.exception
    next(w for w in at.get("segmented_control") if str(w.key).endswith("_preset")).set_value("Last in").run()
    assert "5 of 5 units are chosen" in words(at)
    assert "realised gain +50.00" in words(at)
    editor = at.data_editor[0]
    at.session_state[editor.key] = {"edited_rows": {1: {"take": 4}}, "added_rows": [], "deleted_rows": []}
    at.run()
    assert "4 of 5 units are chosen: they must add up" in words(at)
    at.session_state[editor.key] = {"edited_rows": {}, "added_rows": [], "deleted_rows": []}
    at.run()
    click(at, "Book it")
    assert desk.gain() == 50
    row = next(r for r in ledger.transactions(desk.user, desk.portfolio) if r[3] == "sell")
    assert row[26] == [[str(second), "5"]]


def test_under_average_cost_lots_cannot_be_chosen(opened: Opened, desk: Desk) -> None:
    desk.portfolio = Desk(desk.small, method="average").portfolio
    desk.buy(5, "10", "10")
    at = choose(opened(), "sell")
    filled(at, symbol="XNYS:ACME", date=on(desk, 30), quantity="5", price="30")
    assert "lots cannot be chosen" in words(at)
    assert not [t for t in at.toggle if t.label == "Choose the lots"]


def test_a_spin_off_shows_the_lots_before_and_after(opened: Opened, desk: Desk) -> None:
    desk.buy(5, "3", "33.33")
    at = choose(opened(), "spin_off")
    filled(at, symbol="XNYS:ACME", into="XNYS:BOLT", date=on(desk, 20), ratio="0.5", fraction="0.3")
    assert "The cost is kept to the cent: 99.99" in words(at)
    assert {"ACME", "BOLT"} <= set(at.dataframe[-1].value["symbol"])
    click(at, "Book it")
    assert desk.cost() == D("99.99")


@pytest.mark.parametrize(
    ("text", "said"),
    [("1:3", ""), ("1/3", ""), ("0.33333333333333", "(ratio 0.33333333333333 was read as 1:3)"), ("0.3333333333", "(ratio 0.3333333333 was read as 1:3)")],
)  # fmt: skip
def test_a_split_is_two_numbers_and_says_what_a_decimal_was_read_as(
    opened: Opened, desk: Desk, text: str, said: str
) -> None:
    desk.buy(5, "300", "2")
    at = choose(opened(), "split")
    filled(at, symbol="XNYS:ACME", date=on(desk, 20), ratio=text)
    assert "1:3 split of ACME" in plainly(at)
    assert "1 new for 3 old, no cash moves" in plainly(at)
    assert said in plainly(at)
    assert ("was read as" in plainly(at)) == bool(said)
    click(at, "Book it")
    assert [r[7] for r in ledger.transactions(desk.user, desk.portfolio) if r[3] == "split"] == ["1:3"]
    assert [lot.units for lot in open_lots(desk.book(), desk.small.securities["ACME"], desk.today)] == [100]
    at = edit(opened("Edit"), {0: {"ratio": "1.5"}})
    changes = at.dataframe[-1].value[["field", "before", "after"]]
    assert ("Ratio", "1:3", "3:2") in set(changes.itertuples(index=False, name=None))
    click(at, "Book 1 correction")
    assert [lot.units for lot in open_lots(desk.book(), desk.small.securities["ACME"], desk.today)] == [450]
    at = edit(opened("Edit"), {0: {"ratio": "one for three"}})
    assert "ratio: new units for old ones are needed, such as 1:3" in plainly(at)


@pytest.mark.parametrize(
    ("text", "right"),
    [("0:3", "Both numbers of a ratio are above zero"), ("third", "such as 1:3"), ("0.33344455566677", "give both numbers, such as 1:3")],
)  # fmt: skip
def test_a_ratio_that_is_none_is_told_beside_its_field(opened: Opened, desk: Desk, text: str, right: str) -> None:
    desk.buy(5, "300", "2")
    at = choose(opened(), "split")
    filled(at, symbol="XNYS:ACME", date=on(desk, 20), ratio=text)
    assert right in plainly(at)
    assert "split of ACME" not in plainly(at)


def test_a_merger_for_nothing_is_refused_at_its_field(opened: Opened, desk: Desk) -> None:
    desk.buy(5, "3", "10")
    at = choose(opened(), "merger")
    filled(at, symbol="XNYS:ACME", date=on(desk, 20))
    click(at, "Book it")
    assert "The cash received, a positive amount, or the security that it ends in is needed" in words(at)


def test_the_form_and_the_grid_know_counterparties(opened: Opened, desk: Desk) -> None:
    at = choose(opened(), "buy")
    assert field(at, "counterparty").value is None, "nobody, unless one is chosen"
    filled(at, symbol="XNYS:ACME", date=on(desk, 20), quantity="2", price="10", counterparty="Quay Clearing")
    assert "through Quay Clearing" in words(at)
    click(at, "Book it")
    assert [r[27] for r in ledger.transactions(desk.user, desk.portfolio)] == ["Quay Clearing"]
    at = edit(opened("Edit"), {0: {"counterparty": "Harbour Bank"}})
    changes = at.dataframe[-1].value[["field", "before", "after"]]
    assert ("Counterparty", "Quay Clearing", "Harbour Bank") in set(changes.itertuples(index=False, name=None))
    click(at, "Book 1 correction")
    at = edit(opened("Edit"), {0: {"price": "11"}})
    click(at, "Book 1 correction")
    newest = max(ledger.transactions(desk.user, desk.portfolio), key=lambda r: (r[18], r[28] is not None))
    assert (newest[6], newest[27]) == (11, "Harbour Bank"), "a correction of something else keeps it"


def test_a_transfer_between_own_portfolios(opened: Opened, desk: Desk) -> None:
    other = Desk(desk.small)
    desk.buy(5, "3", "10")
    at = choose(opened(), "between")
    filled(at, symbol="XNYS:ACME", target=other.portfolio, date=on(desk, 20), quantity="2")
    assert "with 1 lot and their cost, 20.00" in words(at)
    click(at, "Book it")
    assert (desk.cost(), other.cost()) == (D(10), D(20))
    click(at, "Undo")
    assert (desk.cost(), other.cost()) == (D(30), D(0))


# --- choosing --------------------------------------------------------------------------------------------------


def test_presets_take_by_their_rule(desk: Desk) -> None:
    """1 at 10, 2 at 30, 3 at 20; four units."""
    for day, units, price in ((5, "1", "10"), (6, "2", "30"), (7, "3", "20")):
        desk.buy(day, units, price)
    lots = open_lots(desk.book(), desk.small.securities["ACME"], desk.today)
    assert {name: [int(x) for x in preset(lots, D(4), name)] for name in ("First in", "Last in", "Highest cost", "Lowest gain")} == {
        "First in": [1, 2, 1], "Last in": [0, 1, 3], "Highest cost": [0, 2, 2], "Lowest gain": [0, 2, 2],
    }  # fmt: skip


# --- the grid --------------------------------------------------------------------------------------------------


def edit(at: AppTest, rows: dict[int, dict[str, Any]], deleted: tuple[int, ...] = ()) -> AppTest:
    """Type into the grid: new cells by row, rows taken away."""
    at.session_state[at.data_editor[0].key] = {"edited_rows": rows, "added_rows": [], "deleted_rows": list(deleted)}
    at.run()
    assert not at.exception, at.exception[0].value
    return at


def test_cells_are_corrected_and_everything_is_undone(opened: Opened, desk: Desk) -> None:
    """Newest first: the sale is row 0, the purchase row 1."""
    desk.buy(5, "10", "10", fees="1")
    desk.put(desk.draft(9, "sell", "ACME", quantity="8", price="12"))
    before = desk.figures()
    at = edit(opened("Edit"), {1: {"quantity": "12"}, 0: {"price": "13", "note": "typo"}})
    changes = at.dataframe[-1].value
    listed = {tuple(r) for r in changes[["field", "before", "after"]].itertuples(index=False)}
    assert {
        ("Quantity", "10", "12"),
        ("Gross", "100", "120"),
        ("Price", "12", "13"),
        ("Gross", "96", "104"),
        ("Note", "–", "typo"),
    } <= listed
    assert desk.figures() == before, "nothing is booked by typing"
    click(at, "Book 2 corrections")
    assert any("Booked: 2 corrections" in str(s.value) for s in at.success)
    assert desk.gain() == D("23.33"), "8 × 13 − 121 × 8 / 12 = 104 − 80.67"
    click(at, "Undo")
    assert desk.figures() == before


def test_rows_are_taken_away(opened: Opened, desk: Desk) -> None:
    desk.buy(5, "10", "10")
    desk.put(desk.draft(9, "sell", "ACME", quantity="8", price="12"))
    at = edit(opened("Edit"), {}, (1,))
    assert "needs it as it was" in words(at)
    assert next(b for b in at.button if b.label == "Book 1 correction").disabled
    click(edit(at, {}, (0, 1)), "Book 2 corrections")
    assert desk.figures()[0] == []


@pytest.mark.parametrize(
    ("cells", "message"),
    [({"quantity": "ten"}, "quantity: a number such as 1234.56 is needed"), ({"price": "1,5"}, "no thousands separators"),
     ({"quantity": "0"}, "a buy needs a positive number of units"), ({"gross": "5"}, "it does not agree with quantity × price"),
     ({"fees": "-1"}, "fees are given as a positive amount"), ({"date": "2999-01-01"}, "a trade date may not lie after today"),
     ({"fx": "2"}, "leave fx empty")],
)  # fmt: skip
def test_a_wrong_cell_names_row_and_field(opened: Opened, desk: Desk, cells: dict[str, str], message: str) -> None:
    desk.buy(5, "10", "10")
    at = edit(opened("Edit"), {0: cells})
    assert message in words(at)
    assert f"buy ACME of {desk.days[5]}" in words(at)
    assert next(b for b in at.button if b.label == "Book 1 correction").disabled


@pytest.mark.parametrize("way", ["Keep theirs", "Book mine instead"])
@pytest.mark.parametrize("taken", [False, True])
def test_two_people_meet_in_the_grid(opened: Opened, desk: Desk, way: str, taken: bool) -> None:
    bought = desk.buy(5, "10", "10")
    at = edit(opened("Edit"), {0: {"price": "12"}})
    access.share(desk.small.user("anna"), desk.portfolio, "carl", "write")
    carl = desk.small.user("carl").user_id
    theirs = None if taken else desk.draft(5, "buy", "ACME", quantity="10", price="11")
    corrections.correct(carl, desk.portfolio, [(bought, theirs)], desk.today)
    click(at, "Book 1 correction")
    assert "Somebody changed this entry since you opened the grid" in words(at)
    shown = at.dataframe[-1].value
    price = shown[shown["field"] == "Price"].iloc[0]
    assert (price["differs"], price["was"], price["theirs"], price["mine"]) == ("≠", "10", "–" if taken else "11", "12")
    click(at, way)
    if way == "Book mine instead":
        click(at, "Book 1 correction")
        assert desk.cost() == 120
    else:
        assert desk.cost() == (0 if taken else 110)
        assert not [b for b in at.button if b.label.startswith("Book ")]


# --- methods ---------------------------------------------------------------------------------------------------


def test_a_method_is_changed_after_a_look(opened: Opened, desk: Desk) -> None:
    desk.buy(5, "10", "10")
    desk.buy(8, "10", "20")
    desk.put(desk.draft(30, "sell", "ACME", quantity="5", price="30"))
    at = opened(None, "portfolios")
    at.date_input(key=f"method_from_{desk.portfolio}").set_value(desk.days[10]).run()
    at.selectbox(key=f"method_{desk.portfolio}").set_value("lifo").run()
    click(at, "Show what it changes")
    assert "\u221250.00\u00a0USD" in words(at)
    assert desk.gain() == 100
    click(at, "Change the method")
    assert desk.gain() == 50
    assert "uses last in, first out from" in words(at)
    at.date_input(key=f"method_from_{desk.portfolio}").set_value(desk.days[12]).run()
    at.selectbox(key=f"method_{desk.portfolio}").set_value("lifo").run()
    click(at, "Show what it changes")
    assert "it is in force on" in words(at)


@pytest.mark.parametrize(
    ("value", "places", "said"),
    [("559.1", 2, "559.10"), ("4000", 2, "4000.00"), ("12.345", 2, "12.345"), ("40", 0, "40"), ("0", 2, ""), (None, 2, "")],
)  # fmt: skip
def test_amounts_in_the_grid_have_their_cents(value: str | None, places: int, said: str) -> None:
    assert editor._text(None if value is None else D(value), places) == said
