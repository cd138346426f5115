"""The Securities page: what is wrong is said at its field, what will be written is shown before, a task is followed to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, installed
from streamlit.testing.v1 import AppTest

from core.plans import Plan
from db import access, master, tasks
from jobs.run import Worker
from jobs.tasks import work_one
from ui import session

Opened = Callable[..., AppTest]
NEW = {"symbol": "nova", "exchange": "XNYS", "name": "Nova", "asset_class": "Equity", "sector": "Energy", "price": "12.50",
       "dividend_frequency": "quarterly", "dividend": "0.10", "dividend_ex_on": "2026-01-05"}  # fmt: skip


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    """The small installation, and a viewer who may look at one portfolio."""
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        access.share(made.user("anna"), made.portfolios[f"{MARK} dollars"], "vera", "read")
        yield made


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(who, portfolio, tab)`: the page as somebody's browser gets it."""

    def run(who: str = "anna", portfolio: str | None = None, tab: str | None = None, **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        if portfolio:
            at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page("securities.py")
        if tab:
            at.session_state["securities_tabs"] = tab
        return whole(at.run())

    return run


def whole(at: AppTest) -> AppTest:
    assert not at.exception, at.exception[0].value
    return at


def worked() -> int:
    """Carry out everything that is queued."""
    worker, n = Worker(Event()), 0
    while n < 50 and work_one(worker):
        n += 1
    return n


def asked(small: Small, who: str, plan: Plan) -> UUID:
    return tasks.request(small.user(who), plan, {})


def click(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label == label]
    button.click()
    return whole(at.run())


def labels(at: AppTest) -> set[str]:
    return {b.label for b in at.button}


def words(at: AppTest) -> str:
    """Every text on the page."""
    blocks = (at.title, at.header, at.subheader, at.markdown, at.caption, at.info, at.warning, at.error, at.success)
    said = [str(each.value) for block in blocks for each in block] + [str(each.proto.body) for each in at.get("html")]
    said += [each.value.to_string() for each in at.dataframe] + [each.value.to_string() for each in at.table]
    return "\n".join(said)


# --- a task that is followed -----------------------------------------------------------------------


def test_a_task_is_followed_to_its_end_and_everybody_with_the_link_sees_it(opened: Opened, small: Small) -> None:
    task = asked(small, "ben", master.plan_add(small.user("ben"), NEW))
    mine, other = opened("ben", task=str(task)), opened("vera", f"{MARK} dollars", task=str(task))
    for at in (mine, other):
        assert "Queued" in words(at)
        assert "Add to classifications · **pending**" in words(at)
    assert "Cancel" in labels(opened("ben", task=str(task)))
    assert "Cancel" not in labels(other)
    assert worked() == 1
    done = opened("ben", task=str(task))
    assert "Completed" in words(done)
    assert "Add to classifications · **completed** · 1 row" in words(done)
    assert "no feed knows it" in words(done)
    assert "100% of the work" in str(done.get("progress")[0].proto.text)
    assert "Close" in labels(done)
