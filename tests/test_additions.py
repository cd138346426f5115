"""A security that is added without an exchange: the feeds are asked first, and the answer says what was taken from where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from small import Small, TestClient, installed
from test_profiles import Told, chained
from test_securities_api import FROM_S0, problem, worked

from core.profiles import Profile
from db import additions, dimensions, master
from db import master as masters
from jobs import lookups as answering
from settings import settings

APPLE = Profile("AAPL", "XNAS", "Apple Inc.", "USD", "Equity", "Information Technology", "Consumer Electronics", "US", "US0378331005",
                "quarterly", provider="told")  # fmt: skip


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        with made.database.owner() as c:  # ACME has Apple's ISIN there
            c.execute("UPDATE securities SET isin = NULL WHERE symbol = 'ACME'")
        yield made


@pytest.fixture
def ben(small: Small) -> TestClient:
    return small.client("ben")


@pytest.fixture(autouse=True)
def nothing_is_left(small: Small) -> Iterator[None]:
    yield
    with small.database.owner() as c:
        c.execute("DELETE FROM tasks")
        c.execute("DELETE FROM lookups")


@contextmanager
def answered(*profiles: Profile, error: str = "") -> Iterator[Told]:
    """The scheduled process answers with these."""
    told, done = Told("told", list(profiles), error), Event()

    def work() -> None:
        while not done.wait(0.02):
            answering.answer_open(chained(told))

    thread = Thread(target=work)
    thread.start()
    try:
        yield told
    finally:
        done.set()
        thread.join()


def row_of(small: Small, task: str) -> dict[str, Any]:
    """The row of `securities` that a task confirmed."""
    with small.database.owner() as c:
        (plan,) = c.execute("SELECT plan FROM tasks WHERE task_id = %s", (task,)).fetchone()  # type: ignore[misc]
    row: dict[str, Any] = next(s for s in plan["steps"] if s["table"] == "securities")["rows"][0]
    return row


@pytest.mark.parametrize("path", ["/securities", "/v1/securities"])
def test_the_listing_that_the_feeds_know_is_taken(small: Small, ben: TestClient, path: str) -> None:
    with answered(APPLE) as told:
        answer = ben.post(path, json=FROM_S0)
    assert answer.status_code == 202, answer.text
    assert told.asked == ["AAPL"]
    row = row_of(small, answer.json()["task_id"])
    assert {k: row[k] for k in ("symbol", "exchange", "currency", "name", "isin", "country", "dividend_frequency")} == {
        "symbol": "AAPL", "exchange": "XNAS", "currency": "USD", "name": "Apple Inc.", "isin": "US0378331005", "country": "US",
        "dividend_frequency": "quarterly",
    }  # fmt: skip
    assert answer.json()["notes"] == [
        "told knows it as XNAS:AAPL; taken from there: exchange XNAS, currency USD, name Apple Inc., isin US0378331005, country US."
    ]


def test_what_was_said_stays(small: Small, ben: TestClient) -> None:
    sent = {
        "symbol": "AAPL",
        "asset_class": "Equity",
        "name": "My apple",
        "sector": "Energy",
        "dividend_frequency": "annual",
    }
    with answered(APPLE):
        answer = ben.post("/securities", json=sent)
    row = row_of(small, answer.json()["task_id"])
    assert (row["name"], row["dividend_frequency"], row["exchange"]) == ("My apple", "annual", "XNAS")
    assert "industry" not in answer.json()["notes"][-1]  # it belongs to another sector than the one that was said


def test_without_an_answer_the_installations_currency_is_taken_and_said(
    small: Small, ben: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additions, "UNCLAIMED", 0.1)
    answer = ben.post("/securities", json=FROM_S0)
    assert answer.status_code == 202
    row = row_of(small, answer.json()["task_id"])
    assert (row["exchange"], row["currency"]) == ("XOFF", "USD")
    assert answer.json()["notes"] == [
        "It is listed nowhere here (XOFF), and in USD, the currency of this installation.",
        "The feeds gave no answer in time: the scheduled process, which asks them, may be busy or not run.",
    ]


def test_the_installation_may_have_another_currency(
    small: Small, ben: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (masters, dimensions):
        monkeypatch.setattr(module, "settings", replace(settings, currency="CHF"))
    with answered(error="told is down"):
        answer = ben.post("/securities", json=FROM_S0)
    assert row_of(small, answer.json()["task_id"])["currency"] == "CHF"
    assert "in CHF, the currency of this installation" in answer.json()["notes"][0]
    assert answer.json()["notes"][1] == "Nobody could be asked about AAPL: told: told is down."
    assert {x["exchange"]: x["currency"] for x in ben.get("/v1/exchanges").json()}["XOFF"] == "CHF"
    with answered():
        said = ben.post("/securities", json={**FROM_S0, "symbol": "OTHER", "currency": "EUR"})
    assert row_of(small, said.json()["task_id"])["currency"] == "EUR"
    assert said.json()["notes"][-1] == "No feed knows OTHER (asked: told): it is listed nowhere here (XOFF)."


def test_several_listings_are_named_and_none_is_guessed(ben: TestClient) -> None:
    london, york = (
        Profile("SHEL", x, "Shell plc", c, "Equity", provider="told") for x, c in (("XLON", "GBP"), ("XNYS", "USD"))
    )
    with answered(london, york):
        said = problem(ben.post("/securities", json={"symbol": "shel", "asset_class": "Equity"}), 422, "invalid-field")
    assert (said["field"], said["expected"]) == ("exchange", "two exchanges list SHEL: XLON, XNYS; give exchange")
    with answered(london, york):  # what was said decides
        answer = ben.post("/securities", json={"symbol": "shel", "asset_class": "Equity", "currency": "GBP"})
    assert answer.json()["notes"][-1].startswith("told knows it as XLON:SHEL")


@pytest.mark.parametrize(
    "candidate",
    [
        replace(APPLE, symbol="APC"),  # another symbol
        replace(APPLE, exchange="XWAR"),  # an exchange that is none here
        replace(APPLE, asset_class="Fund"),  # another class than the one that was said
        replace(APPLE, exchange=None),
    ],
)
def test_what_is_not_surely_meant_is_not_taken(small: Small, ben: TestClient, candidate: Profile) -> None:
    with answered(candidate):
        answer = ben.post("/securities", json=FROM_S0)
    assert row_of(small, answer.json()["task_id"])["exchange"] == "XOFF"
    known = "a listing of AAPL here" if candidate.symbol == "AAPL" else "AAPL (asked: told)"
    assert answer.json()["notes"][-1] == f"No feed knows {known}."


def test_a_listing_that_is_there_already_is_said(small: Small, ben: TestClient) -> None:
    with answered(replace(APPLE, symbol="ZEBU", exchange="XNYS", isin=None)):
        first = ben.post("/securities", json={"symbol": "ZEBU", "asset_class": "Equity"})
        assert first.status_code == 202
        worked()
        problem(ben.post("/securities", json={"symbol": "ZEBU", "asset_class": "Equity"}), 409, "duplicate-symbol")


def test_who_says_the_exchange_is_not_kept_waiting(ben: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additions, "_asked", None)  # asking would fail
    for exchange in ("XNAS", "XOFF"):
        body = {"symbol": f"W{uuid4().hex[:6]}", "asset_class": "Equity", "exchange": exchange}
        assert ben.post("/securities", json=body).status_code == 202
    problem(ben.post("/securities", json={"symbol": "W", "asset_class": "None such"}), 422, "invalid-asset-class")


def test_the_same_key_asks_the_feeds_once(ben: TestClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    with answered(APPLE) as told:
        first, again = (ben.post("/securities", json=FROM_S0, headers=key) for _ in "ab")
    assert first.json() == again.json()
    assert told.asked == ["AAPL"]


def test_a_file_says_what_was_taken_where_it_says_nothing(ben: TestClient) -> None:
    file = "symbol,asset_class\r\nLOOSE,Equity\r\n"
    (one,) = ben.post("/v1/securities/import", content=file, headers={"Content-Type": "text/csv"}).json()["verdicts"]
    assert one["note"] == "It is listed nowhere here (XOFF), and in USD, the currency of this installation"


def test_the_form_knows_the_currency_of_what_is_listed_nowhere(small: Small) -> None:
    assert master.known(small.user("ben")).exchanges["XOFF"] == settings.currency == "USD"
