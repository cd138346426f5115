"""What a list offers is told apart: no two labels alike, and the first of two namesakes is the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from small import MARK, Small, bar_days, drafts, installed, row
from streamlit.testing.v1 import AppTest

from core.ledger import Security
from core.listings import Listings, Symbol
from db import access, ledger, market, portfolios
from db.market import NewSecurity
from ui import labels, session


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({1: ("A",), 2: ("B",)}, {1: "A", 2: "B"}),
        ({1: ("A", "USD"), 2: ("B", "USD")}, {1: "A", 2: "B"}),  # no more than is needed
        ({1: ("A", "USD"), 2: ("A", "EUR"), 3: ("B", "EUR")}, {1: "A · USD", 2: "A · EUR", 3: "B"}),
        ({1: ("A", "USD", "x"), 2: ("A", "USD", "y")}, {1: "A · x", 2: "A · y"}),  # what is alike tells nothing
        (
            {1: ("A", "USD", "x"), 2: ("A", "USD", "y"), 3: ("A", "EUR", "x")},
            {1: "A · USD · x", 2: "A · USD · y", 3: "A · EUR"},
        ),
        ({1: ("A", "USD"), 2: ("A", "USD"), 3: ("A", "USD")}, {1: "A", 2: "A (2)", 3: "A (3)"}),
        ({1: ("A", ""), 2: ("A", "EUR")}, {1: "A", 2: "A · EUR"}),
        ({}, {}),
    ],
)
def test_labels_say_what_differs_and_no_more(options: dict[int, tuple[str, ...]], said: dict[int, str]) -> None:
    assert labels.distinct(options) == said
    assert len(set(said.values())) == len(said)


def test_a_label_that_is_made_does_not_meet_one_that_is_there() -> None:
    found = labels.distinct(
        {1: ("A", "x"), 2: ("A", "y"), 3: ("A · x",), 4: ("A (2)",), 5: ("B",), 6: ("B",), 7: ("B (2)",)}
    )
    assert len(set(found.values())) == 7, found


def test_securities_by_symbol_and_name_then_exchange_and_what_they_were_called() -> None:
    every = [Security(1, "SHEL", "Shell plc", "XLON", "GBP", "Equity"), Security(2, "SHEL", "Shell plc", "XNYS", "USD", "Equity"),
             Security(3, "RAMPX", "Ramp", "XNYS", "USD", "Equity")]  # fmt: skip
    dated = [Symbol(3, date(1900, 1, 1), "RAMP", "XNYS"), Symbol(3, date(2025, 3, 3), "RAMPX", "XNYS")]
    assert labels.securities(every, Listings(every, dated)) == {
        1: "SHEL · Shell plc · XLON",
        2: "SHEL · Shell plc · XNYS",
        3: "RAMPX · Ramp (was RAMP)",
    }


# --- the pages --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """Namesakes of everything that a list offers."""
    with installed(server) as made:
        for n in (1, 2):
            made.portfolios[f"twin {n}"] = portfolios.create_portfolio(made.anna, "C empty", "USD")
        made.portfolios["twin 3"] = portfolios.create_portfolio(made.anna, "C empty", "EUR")
        with made.database.jobs() as c:
            for exchange, currency in (("XLON", "GBP"), ("XNYS", "USD")):
                listed = market.add_securities(c, [NewSecurity("SHEL", "Shell plc", exchange, currency, "Equity")])
                made.securities[f"SHEL:{exchange}"] = listed["SHEL"]
        days = bar_days(made.now)
        for exchange, quantity in (("XLON", "7"), ("XNYS", "9")):
            rows = [row(days[9], "buy", "SHEL", exchange=exchange, quantity=quantity, price="25")]
            ledger.append(made.anna, made.portfolios["twin 1"], drafts(made, made.anna, rows, "USD"), made.now.date())
        for name in ("lee", "lee2"):
            access.create_user(name, "four-words-for-tests", "analyst", "Lee")
        yield made


Opened = Callable[..., AppTest]


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])

    def run(page: str, portfolio: str = "twin 1", **state: Any) -> AppTest:
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.switch_page(f"{page}.py")
        at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in state.items():
            if name.startswith("q_"):
                at.query_params[name[2:]] = value
            else:
                at.session_state[name] = value
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def lists(at: AppTest) -> Iterator[tuple[str, list[str]]]:
    """Every list of choices that a page shows: its key and its labels."""
    for kind in ("selectbox", "multiselect", "radio", "pills", "segmented_control"):
        for widget in at.get(kind):
            yield str(widget.key), [str(o) for o in widget.options]


@pytest.mark.parametrize(
    ("page", "state"),
    [
        ("overview", {}),
        ("transactions", {"transactions_tabs": "New entry"}),
        ("transactions", {"transactions_tabs": "Edit"}),
        ("portfolios", {}),
        ("reports", {"q_report": "prices"}),
        ("reports", {"q_report": "lots"}),
        ("reconciliation", {}),
        ("audit", {}),
        ("tasks", {}),
        ("admin", {"admin_tabs": "Who may do what"}),
        ("securities", {"securities_tabs": "Add"}),
        ("securities", {"securities_tabs": "Counterparties"}),
        ("securities", {"securities_tabs": "Maintenance"}),
        ("allocation", {}),
        ("tax", {}),
        ("compliance", {}),
    ],
)
def test_no_list_of_any_page_has_two_labels_alike(opened: Opened, page: str, state: dict[str, Any]) -> None:
    found = list(lists(opened(page, **state)))
    assert any(key == "scope_portfolio" for key, _ in found)
    for key, options in found:
        assert len(set(options)) == len(options), (key, [o for o in options if options.count(o) > 1])


def test_choosing_the_first_of_two_namesakes_chooses_the_first(opened: Opened, small: Small) -> None:
    at = opened("overview", "twin 2")
    choose = at.selectbox(key="scope_portfolio")
    named = [o for o in choose.options if o.startswith("C empty")]
    assert len(named) == 3
    assert "C empty · EUR" in named
    for n in (1, 2, 3, 1):
        number: UUID = small.portfolios[f"twin {n}"]
        at.selectbox(key="scope_portfolio").set_value(number).run()
        assert not at.exception
        assert str(number) in at.query_params["portfolio"]


def test_the_form_sells_the_listing_that_was_chosen_and_says_what_is_held_of_it(opened: Opened, small: Small) -> None:
    at = opened("transactions", transactions_tabs="New entry")
    next(w for w in at.get("pills") if "_kind_" in str(w.key)).set_value("sell").run()
    for exchange, units in (("XLON", "7"), ("XNYS", "9")):
        (symbol,) = [s for s in at.selectbox if str(s.key).endswith("_symbol")]
        symbol.select_index(symbol.options.index(f"SHEL · Shell plc · {exchange}")).run()
        assert f"Held now: {units}" in [str(c.value) for c in at.caption]
    for field, value in (("quantity", "2"), ("price", "30")):
        next(t for t in at.text_input if str(t.key).endswith(f"_{field}")).set_value(value).run()
    next(b for b in at.button if b.label == "Book it").click().run()
    assert not at.exception
    with small.database.owner() as c:
        sold = c.execute(
            "SELECT security_id, quantity FROM transactions WHERE kind = 'sell' AND portfolio_id = %s",
            (small.portfolios["twin 1"],),
        ).fetchall()
    assert [(s, int(q)) for s, q in sold] == [(small.securities["SHEL:XNYS"], 2)]


def test_a_transfer_goes_to_the_namesake_that_was_chosen(opened: Opened, small: Small) -> None:
    at = opened("transactions", f"{MARK} dollars", transactions_tabs="New entry")
    next(w for w in at.get("segmented_control") if str(w.key).endswith("_group")).set_value("Transfer").run()
    next(w for w in at.get("pills") if "_kind_" in str(w.key)).set_value("between").run()
    next(w for w in at.get("segmented_control") if str(w.key).endswith("_moves")).set_value("Cash").run()
    (target,) = [s for s in at.selectbox if str(s.key).endswith("_target")]
    target.set_value(small.portfolios["twin 1"]).run()
    next(t for t in at.text_input if str(t.key).endswith("_gross")).set_value("5").run()
    next(b for b in at.button if b.label == "Book it").click().run()
    assert not at.exception
    with small.database.owner() as c:
        got = c.execute("SELECT portfolio_id FROM transactions WHERE kind = 'transfer_in' AND gross = 5").fetchall()
    assert got == [(small.portfolios["twin 1"],)]
