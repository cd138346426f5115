"""A split that is not booked, on the pages: said where the wrong value stands, booked from there, taken back. BOLT splits 3:1 on the
250th day; Anna holds it in two portfolios, Ben in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from threading import Event
from typing import Any

import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, bar_days, installed
from streamlit.testing.v1 import AppTest

from core.book import Action
from core.scope import Scope
from db import access, market, reports
from jobs.run import Worker
from jobs.tasks import work_one
from ui import session

DOLLARS, MIXED, BEN = f"{MARK} dollars", f"{MARK} mixed", "Ben's own"
PAGES = (
    "overview",
    "holdings",
    "allocation",
    "performance",
    "income",
    "risk",
    "compliance",
    "reconciliation",
    "tax",
)
Opened = Callable[..., AppTest]


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        access.share(made.user("anna"), made.portfolios[DOLLARS], "vera", "write")
        with made.database.jobs() as c:
            market.upsert_actions(c, [Action(made.securities["BOLT"], "split", ex(made), ratio=Fraction(3))], "csv")
        yield made


def ex(small: Small) -> date:
    return bar_days(small.now)[250]


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(page, who, portfolio)`: a page as somebody's browser gets it."""

    def run(page: str, who: str = "anna", portfolio: str | None = DOLLARS, **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.switch_page(f"{page}.py")
        if portfolio:
            at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def words(at: AppTest) -> str:
    blocks = (at.markdown, at.info, at.warning, at.error, at.success, at.caption)
    return "\n".join(str(each.value) for block in blocks for each in block)


def buttons(at: AppTest) -> list[str]:
    return [b.label for b in at.button]


def click(at: AppTest, label: str) -> AppTest:
    next(b for b in at.button if b.label == label).click().run()
    assert not at.exception, at.exception[0].value
    return at


def worked() -> None:
    worker = Worker(Event())
    while work_one(worker):
        pass


def said(small: Small) -> str:
    return f"BOLT: 3:1 split of {ex(small).day} {ex(small).strftime('%B %Y')} known, not booked."


def units(small: Small, portfolio: str, who: str = "anna") -> Decimal:
    table = reports.answer(small.user(who), "holdings", Scope(small.portfolios[portfolio]))
    return next(r["units"] for r in table.records() if r["symbol"] == "BOLT")


@pytest.mark.parametrize("page", PAGES)
def test_it_is_said_on_every_page_of_the_portfolio_once(opened: Opened, small: Small, page: str) -> None:
    at = opened(page)
    told = [str(w.value) for w in at.warning if said(small) in str(w.value).replace("\\", "")]
    assert len(told) == 1, words(at)
    assert "The 25 units of then are 75 since: value and returns are wrong until it is booked." in told[0]
    assert "Book it in 2 portfolios" in buttons(at)
    assert "no deposits or withdrawals" not in words(at), "the change of a wrong value is no gain"
    assert not any("The figures are incomplete" in str(w.value) and "split" in str(w.value) for w in at.warning)


def test_it_is_booked_from_the_overview_and_taken_back(opened: Opened, small: Small) -> None:
    at = click(opened("overview"), "Book it in 2 portfolios")
    shown = words(at).replace("\\", "")
    assert f"1 · Book in {min((DOLLARS, MIXED), key=small.portfolios.__getitem__)}" in shown
    assert "Nothing is written yet." in shown
    assert units(small, DOLLARS) == 25
    click(at, "Confirm")
    assert at.query_params["task"], "the address follows the task"
    worked()
    at.run()
    assert not at.exception
    assert "Completed" in words(at)
    assert said(small) not in words(at).replace("\\", "")
    assert (units(small, DOLLARS), units(small, MIXED)) == (75, 165)
    click(at, "Undo")
    assert "Take back in" in words(at)
    click(at, "Confirm")
    worked()
    at.run()
    assert (units(small, DOLLARS), units(small, MIXED)) == (25, 55)
    assert said(small) in words(at).replace("\\", "")


def test_on_the_page_of_the_security_for_all_portfolios(opened: Opened, small: Small) -> None:
    access.share(small.user("anna"), small.portfolios[MIXED], "ben", "read")
    at = opened("securities", "ben", BEN, security=str(small.securities["BOLT"]))
    (told,) = [str(w.value).replace("\\", "") for w in at.warning if "known, not booked" in str(w.value)]
    assert f"known, not booked** in {BEN}, {MIXED}." in told
    click(at, "Book it")
    shown = words(at).replace("\\", "")
    assert f"{MIXED} lacks the 3:1 split" in shown
    click(at, "Confirm")
    worked()
    at.run()
    assert (units(small, BEN, "ben"), units(small, MIXED)) == (9, 55)


def test_a_viewer_and_the_past_have_no_button(opened: Opened, small: Small) -> None:
    at = opened("holdings", "vera")
    assert said(small) in words(at).replace("\\", "")
    assert not [b for b in buttons(at) if b.startswith("Book")]
    assert "You may look at this portfolio, not book in it." in words(at)
    at = opened("holdings", as_of=bar_days(small.now)[-10].isoformat())
    assert said(small) in words(at).replace("\\", "")
    assert not [b for b in buttons(at) if b.startswith("Book")]
    before = opened("holdings", as_of=bar_days(small.now)[240].isoformat())
    assert "3:1 split" not in words(before), "before its ex date nothing is wrong"


def test_a_dividend_that_was_not_booked_is_a_soft_line(opened: Opened, small: Small) -> None:
    at = opened("income", portfolio=MIXED)
    assert "1 dividend is known and not booked on units that were held." in words(at)
    assert any(
        e.label.startswith("Corporate actions not booked: 2") for e in opened("holdings", portfolio=MIXED).expander
    )


def test_every_portfolio_at_once(opened: Opened, small: Small) -> None:
    at = opened("portfolios")
    at.session_state["unbooked_every"] = True
    at.run()
    assert not at.exception, at.exception[0].value
    click(at, "Book 1 split in 2 portfolios")
    click(at, "Confirm")
    worked()
    at.run()
    assert (units(small, DOLLARS), units(small, MIXED)) == (75, 165)
