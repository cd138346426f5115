"""Idempotency keys: the same request answers the same, another one under the same key is refused, two at once do it once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from small import MARK, Small, TestClient, bar_days, drafts, installed, row

from api import api
from api.once import HEADER
from db import ledger, request_keys, transfers
from db.request_keys import AtWork, Kept, KeyReused


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


@pytest.fixture
def client(small: Small) -> TestClient:
    return small.client("anna")


@pytest.fixture
def portfolio(client: TestClient) -> str:
    name = f"once {uuid4().hex[:6]}"
    number: str = client.post("/v1/portfolios", json={"name": name, "base_currency": "USD"}).json()["portfolio_id"]
    return number


def key(text: str | None = None) -> dict[str, str]:
    return {HEADER: text or uuid4().hex}


def deposit(small: Small, amount: str, **more: Any) -> dict[str, Any]:
    return {"date": str(bar_days(small.now)[20]), "kind": "deposit", "gross": amount, **more}


def booked(client: TestClient, portfolio: str) -> list[str]:
    """What the ledger holds: its gross amounts, in the order booked."""
    found = client.get("/v1/transactions", params={"portfolio": portfolio}).json()["transactions"]
    return [t["gross"] for t in found][::-1]


def reused(answer: Any, sent: dict[str, str]) -> None:
    assert answer.status_code == 422, answer.text
    said = answer.json()
    assert said["type"].endswith("#key-reused")
    assert sent[HEADER] in said["detail"]


# --- the ledger -----------------------------------------------------------------------------------------------


def test_another_body_under_the_same_key_books_nothing(client: TestClient, small: Small, portfolio: str) -> None:
    to, k1 = {"portfolio": portfolio}, key("k1")
    first = client.post("/v1/transactions", params=to, json=deposit(small, "10"), headers=k1)
    assert first.status_code == 201
    again = client.post("/v1/transactions", params=to, json=deposit(small, "10"), headers=k1)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    for other in (
        deposit(small, "9999"),
        deposit(small, "10", note="x"),
        [deposit(small, "10")],
        [deposit(small, "10")] * 2,
    ):
        reused(client.post("/v1/transactions", params=to, json=other, headers=k1), k1)
    assert booked(client, portfolio) == ["10.000000"]


def test_the_order_of_fields_is_no_other_request(client: TestClient, small: Small, portfolio: str) -> None:
    sent, k = deposit(small, "10"), key()
    for body in (sent, dict(reversed(sent.items()))):
        assert client.post("/v1/transactions", params={"portfolio": portfolio}, json=body, headers=k).status_code == 201
    assert booked(client, portfolio) == ["10.000000"]


def test_a_key_goes_for_one_path_and_one_portfolio(client: TestClient, small: Small, portfolio: str) -> None:
    k, sent = key(), deposit(small, "10")
    other = client.post("/v1/portfolios", json={"name": f"o {uuid4().hex[:6]}", "base_currency": "USD"}).json()[
        "portfolio_id"
    ]
    first = client.post("/v1/transactions", params={"portfolio": portfolio}, json=sent, headers=k)
    reused(client.post("/v1/transactions", params={"portfolio": other}, json=sent, headers=k), k)
    number = first.json()["booked"][0]
    reused(client.post(f"/v1/transactions/{number}/reverse", params={"portfolio": portfolio}, headers=k), k)
    reused(client.delete(f"/v1/transactions/{number}", params={"portfolio": portfolio}, headers=k), k)
    assert booked(client, other) == []


def test_a_key_is_one_persons(client: TestClient, small: Small) -> None:
    k, sent = key("shared"), deposit(small, "10")
    for who, to in (("anna", f"{MARK} dollars"), ("ben", "Ben's own")):
        params = {"portfolio": str(small.portfolios[to])}
        assert small.client(who).post("/v1/transactions", params=params, json=sent, headers=k).status_code == 201


def test_what_was_refused_leaves_its_key_free(client: TestClient, small: Small, portfolio: str) -> None:
    to, k = {"portfolio": portfolio}, key()
    assert client.post("/v1/transactions", params=to, json=deposit(small, "0"), headers=k).status_code == 422
    assert client.post("/v1/transactions", params=to, json=deposit(small, "10"), headers=k).status_code == 201


def test_a_preview_and_a_dry_run_take_no_key(client: TestClient, small: Small, portfolio: str) -> None:
    to, k, sent = {"portfolio": portfolio}, key(), deposit(small, "10")
    file = f"date,kind,gross\r\n{sent['date']},deposit,11\r\n".encode()
    text = {**k, "Content-Type": "text/csv"}
    assert client.post("/v1/transactions/preview", params=to, json=sent, headers=k).status_code == 200
    assert client.post("/v1/transactions/import", params=to, content=file, headers=text).json()["dry_run"] is True
    assert client.post("/v1/transactions", params=to, json=sent, headers=k).status_code == 201


def test_two_at_once_book_once_and_both_are_told(client: TestClient, small: Small, portfolio: str) -> None:
    to, k, sent = {"portfolio": portfolio}, key(), deposit(small, "10")
    with ThreadPoolExecutor(6) as at_once:
        answers = list(
            at_once.map(lambda _: client.post("/v1/transactions", params=to, json=sent, headers=k), range(6))
        )
    assert {a.status_code for a in answers} == {201}
    assert len({a.text for a in answers}) == 1
    assert booked(client, portfolio) == ["10.000000"]


def test_two_different_at_once_book_one_of_them(client: TestClient, small: Small, portfolio: str) -> None:
    to, k = {"portfolio": portfolio}, key()
    with ThreadPoolExecutor(6) as at_once:
        answers = list(
            at_once.map(
                lambda n: client.post("/v1/transactions", params=to, json=deposit(small, str(n + 1)), headers=k),
                range(6),
            )
        )
    assert sorted(a.status_code for a in answers) == [201, 422, 422, 422, 422, 422]
    assert len(booked(client, portfolio)) == 1


def test_the_ledger_knows_its_keys_for_good(small: Small, client: TestClient, portfolio: str) -> None:
    """Where the process died between commit and answer, or a day has passed, the ledger itself decides."""
    to, k = {"portfolio": portfolio}, key()
    first = client.post("/v1/transactions", params=to, json=[deposit(small, "10"), deposit(small, "20")], headers=k)
    with small.database.owner() as c:
        c.execute("DELETE FROM request_keys WHERE key = %s", (k[HEADER],))
    again = client.post("/v1/transactions", params=to, json=[deposit(small, "10"), deposit(small, "20")], headers=k)
    assert again.json() == first.json()
    for other in ([deposit(small, "10")], [deposit(small, "10"), deposit(small, "21")], [deposit(small, "10")] * 3):
        with small.database.owner() as c:
            c.execute("DELETE FROM request_keys WHERE key = %s", (k[HEADER],))
        reused(client.post("/v1/transactions", params=to, json=other, headers=k), k)
    assert booked(client, portfolio) == ["10.000000", "20.000000"]


def test_a_key_of_before_is_still_known(small: Small, portfolio: str) -> None:
    """Entries that were booked when keys did not name their person: api:key."""
    day, number = bar_days(small.now)[20], UUID(portfolio)
    ten, more = (drafts(small, small.anna, [row(day, "deposit", gross=g)], "USD") for g in ("10", "9999"))
    old = ledger.append(small.anna, number, ten, small.now.date(), "api", "api:old-17")
    assert ledger.append(small.anna, number, ten, small.now.date(), "api", f"api:{small.anna}:old-17") == old
    with pytest.raises(KeyReused, match="'old-17'"):
        ledger.append(small.anna, number, more, small.now.date(), "api", f"api:{small.anna}:old-17")


def test_the_entry_form_does_not_book_another_thing_under_its_number(small: Small, portfolio: str) -> None:
    day, number = bar_days(small.now)[20], UUID(portfolio)
    ten, more = (drafts(small, small.anna, [row(day, "deposit", gross=g)], "USD") for g in ("10", "9999"))
    first = ledger.append(small.anna, number, ten, small.now.date(), "form", "entry_1")
    assert ledger.append(small.anna, number, ten, small.now.date(), "form", "entry_1") == first
    with pytest.raises(KeyReused):
        ledger.append(small.anna, number, more, small.now.date(), "form", "entry_1")


def test_a_transfer_is_made_once(small: Small, client: TestClient, portfolio: str) -> None:
    day, k = str(bar_days(small.now)[30]), key()
    client.post("/v1/transactions", params={"portfolio": portfolio}, json=deposit(small, "100"))
    other = client.post("/v1/portfolios", json={"name": f"o {uuid4().hex[:6]}", "base_currency": "USD"}).json()[
        "portfolio_id"
    ]
    sent = {"date": day, "to": other, "amount": "30", "currency": "USD"}
    to = {"portfolio": portfolio}
    first = client.post("/v1/transactions/transfer", params=to, json=sent, headers=k)
    assert first.status_code == 201, first.text
    assert client.post("/v1/transactions/transfer", params=to, json=sent, headers=k).json() == first.json()
    reused(client.post("/v1/transactions/transfer", params=to, json={**sent, "amount": "31"}, headers=k), k)
    assert booked(client, other) == ["30.000000"]
    said = {"currency": "USD", "amount": Decimal(30), "key": f"api:{small.anna}:{k[HEADER]}"}
    done = transfers.transfer(
        small.anna, UUID(portfolio), UUID(other), date.fromisoformat(day), small.now.date(), **said
    )
    assert str(done.out) == first.json()["out"]
    with pytest.raises(KeyReused):
        transfers.transfer(
            small.anna,
            UUID(portfolio),
            UUID(other),
            date.fromisoformat(day),
            small.now.date(),
            **{**said, "amount": Decimal(31)},
        )
    assert booked(client, other) == ["30.000000"]


# --- everything else ------------------------------------------------------------------------------------------


def test_an_import_is_made_once_and_another_file_is_refused(small: Small, client: TestClient, portfolio: str) -> None:
    """As a form, whose boundary is another word each time."""
    to, k = {"portfolio": portfolio, "dry_run": "false"}, key()
    file = f"date,kind,gross\r\n{bar_days(small.now)[20]},deposit,%s\r\n"

    def sent(amount: str, name: str = "a.csv") -> Any:
        return client.post(
            "/v1/transactions/import", params=to, files={"file": (name, (file % amount).encode())}, headers=k
        )

    first = sent("10")
    assert (first.status_code, first.json()["booked"]) == (200, 1)
    assert sent("10").json() == first.json()
    reused(sent("11"), k)
    reused(sent("10", "b.csv"), k)
    assert booked(client, portfolio) == ["10.000000"]


def test_a_bulk_load_asks_for_one_task(client: TestClient) -> None:
    k, to = key(), {"dry_run": "false"}
    file = f"symbol,exchange,asset_class\r\nBULK{uuid4().hex[:5].upper()},XNYS,Equity\r\n".encode()
    text = {**k, "Content-Type": "text/csv"}
    first = client.post("/v1/securities/import", params=to, content=file, headers=text)
    assert first.status_code == 202, first.text
    again = client.post("/v1/securities/import", params=to, content=file, headers=text)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    reused(client.post("/v1/securities/import", params=to, content=file + b"X,XNYS,Equity\r\n", headers=text), k)


def test_a_secret_is_not_kept_with_its_answer(small: Small, client: TestClient) -> None:
    k = key()
    sent = {"kind": "webhook", "target": f"https://example.org/{uuid4().hex}", "events": ["failed"]}
    first = client.post("/v1/notification-channels", json=sent, headers=k)
    assert first.json()["secret"].startswith("whsec_")
    again = client.post("/v1/notification-channels", json=sent, headers=k)  # it is there: no second one is made
    assert (again.status_code, again.json()["field"]) == (422, "target")
    with small.database.owner() as c:
        assert c.execute(
            "SELECT count(*) FROM request_keys WHERE position('whsec_'::bytea IN answer) > 0"
        ).fetchone() == (0,)


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("/v1/portfolios", {"name": "by key", "base_currency": "USD"}, {"name": "by key too", "base_currency": "USD"}),
        ("/v1/counterparties", {"name": "By Key Bank"}, {"name": "By Key Bank 2"}),
    ],
)
def test_what_is_made_is_made_once(client: TestClient, path: str, one: dict[str, str], other: dict[str, str]) -> None:
    k, before = key(), len(client.get(path).json())
    first = client.post(path, json=one, headers=k)
    assert first.status_code == 201, first.text
    assert client.post(path, json=one, headers=k).json() == first.json()
    reused(client.post(path, json=other, headers=k), k)
    assert len(client.get(path).json()) == before + 1


def test_a_task_refuses_another_request_under_its_key(client: TestClient) -> None:
    k = key()
    body = {"symbol": f"KEY{uuid4().hex[:5].upper()}", "exchange": "XNYS", "asset_class": "Equity"}
    first = client.post("/v1/securities", json=body, headers=k)
    assert client.post("/v1/securities", json=body, headers=k).json()["task_id"] == first.json()["task_id"]
    reused(client.post("/v1/securities", json={**body, "name": "Another"}, headers=k), k)
    reused(client.patch("/v1/securities/BOLT", json={"name": "Another"}, headers=k), k)


@pytest.mark.parametrize("wrong", ["", "x" * 121, "two words", "tab\t"])
def test_a_key_that_is_none_is_said(client: TestClient, small: Small, portfolio: str, wrong: str) -> None:
    sent = deposit(small, "10")
    answer = client.post("/v1/transactions", params={"portfolio": portfolio}, json=sent, headers={HEADER: wrong})
    assert answer.status_code == 422
    assert (answer.json()["field"], "1 to 120" in answer.json()["expected"]) == (HEADER, True)
    assert booked(client, portfolio) == []


def test_a_stranger_is_told_to_sign_in_first(small: Small) -> None:
    assert small.client().post("/v1/transactions", json=deposit(small, "1"), headers=key()).status_code == 401


def test_every_change_takes_a_key() -> None:
    without = {
        f"{method} {path}"
        for path, methods in api.openapi()["paths"].items()
        for method, said in methods.items()
        if method in ("post", "put", "patch", "delete")
        and not any(p["name"] == HEADER for p in said.get("parameters", ()))
    }
    assert without == {
        "post /v1/auth/login",
        "post /v1/auth/logout",
        "post /v1/transactions/preview",  # changes nothing
        "post /v1/securities/verdicts.csv",
        "post /v1/securities/{security}/gaps/ask",  # asked twice is asked once: both make the gaps due now
    }


# --- the claim ------------------------------------------------------------------------------------------------


def test_a_claim_is_held_answered_taken_over_and_forgotten(small: Small) -> None:
    k = uuid4().hex
    assert request_keys.claim(small.anna, k, b"one") is None
    assert request_keys.claim(small.anna, k, b"one") == AtWork()
    with pytest.raises(KeyReused):
        request_keys.claim(small.anna, k, b"two")
    assert request_keys.claim(small.ben, k, b"two") is None  # a key is one person's
    _age(small, k, "61 seconds")  # who had it died
    assert request_keys.claim(small.anna, k, b"one") is None
    assert request_keys.claim(small.anna, k, b"one") == AtWork()
    kept = Kept(201, {"content-type": "text/plain"}, b"done")
    request_keys.keep(small.anna, k, kept)
    assert request_keys.claim(small.anna, k, b"one") == kept
    request_keys.withdraw(small.anna, k)  # too late: it is answered
    assert request_keys.claim(small.anna, k, b"one") == kept
    _age(small, k, "25 hours")
    assert request_keys.claim(small.anna, k, b"two") is None
    with small.database.owner() as c:  # Ben's old one went too
        assert c.execute("SELECT count(*) FROM request_keys WHERE key = %s", (k,)).fetchone() == (1,)


def _age(small: Small, k: str, by: str) -> None:
    with small.database.owner() as c:
        c.execute("UPDATE request_keys SET claimed_at = claimed_at - %s::interval WHERE key = %s", (by, k))
