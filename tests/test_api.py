"""The API on the real database: signing in, the ledger by HTTP, the older paths' shapes, errors, the description."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from small import MARK, WORDS, Small, TestClient, bar_days, installed
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from api import api
from api.people import COOKIE
from api.problems import PROBLEMS
from api.sign_in import safe_path, sign_in_form, sign_out_form
from db import engine, reports, snapshots

Answer = dict[str, Any]


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


@pytest.fixture
def site(small: Small) -> TestClient:
    """The API where the product has it, beside the forms of the pages."""
    routes = [
        Mount("/api", app=api),
        Route("/login", sign_in_form, methods=["POST"]),
        Route("/logout", sign_out_form, methods=["POST"]),
    ]
    return TestClient(
        Starlette(routes=routes), base_url="http://ballast.test", follow_redirects=False, raise_server_exceptions=False
    )


@pytest.fixture
def portfolio(small: Small) -> str:
    """A fresh portfolio of Anna's, in US dollars."""
    name = f"fresh {uuid4().hex[:6]}"
    return (
        small.client("anna").post("/v1/portfolios", json={"name": name, "base_currency": "usd"}).json()["portfolio_id"]
    )


def problem(answer: Any, status: int, slug: str) -> Answer:
    """The problem that an answer carries, once its shape has been looked at."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"].endswith(f"/docs#{slug}"), said
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    assert said["request_id"] == answer.headers["x-request-id"]
    return said


# --- signing in -----------------------------------------------------------------------------------------------


def test_sign_in_gives_a_token_and_a_cookie(site: TestClient, small: Small) -> None:
    answer = site.post("/api/v1/auth/login", json={"username": " Anna".strip(), "password": WORDS})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["token_type"] == "bearer"
    assert said["expires_in"] == 12 * 3600
    assert said["user"]["username"] == "anna"
    flags = answer.headers["set-cookie"].lower()
    assert all(flag in flags for flag in ("httponly", "samesite=lax", "path=/"))
    assert "secure" not in flags  # COOKIE_SECURE is off by default
    assert site.get("/api/v1/auth/me").json()["username"] == "anna"  # by the cookie
    with_header = TestClient(api, headers={"Authorization": f"Bearer {said['access_token']}"})
    assert with_header.get("/v1/auth/me").json()["role"] == "admin"
    assert with_header.post("/v1/auth/logout").json() == {"signed_out": True}
    problem(with_header.get("/v1/auth/me"), 401, "not-signed-in")
    problem(site.get("/api/v1/auth/me"), 401, "not-signed-in")  # the same session: gone everywhere


def test_a_bad_header_is_not_made_good_by_a_cookie(site: TestClient, small: Small) -> None:
    site.cookies.set(COOKIE, small.tokens["anna"])
    assert site.get("/api/v1/auth/me").status_code == 200
    for header in ("Bearer nonsense", "Basic YTpi", "Bearer", ""):
        problem(site.get("/api/v1/auth/me", headers={"Authorization": header}), 401, "not-signed-in")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Origin": "http://ballast.test"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://ballast.test.evil.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://ballast.test"}, 403),
        ({}, 403),
    ],
)
def test_a_change_by_cookie_needs_the_same_origin(
    site: TestClient, small: Small, headers: dict[str, str], status: int
) -> None:
    site.cookies.set(COOKIE, small.tokens["ben"])
    body = {"name": f"by cookie {uuid4().hex[:6]}", "base_currency": "USD"}
    answer = site.post("/api/v1/portfolios", json=body, headers=headers)
    assert answer.status_code == status
    if status == 403:
        problem(answer, 403, "cross-site")
    else:
        assert (
            site.delete(
                f"/api/v1/portfolios/{answer.json()['portfolio_id']}", params={"version": 1}, headers=headers
            ).status_code
            == 200
        )
    assert site.get("/api/v1/portfolios", headers=headers).status_code == 200  # reading is free


def test_a_token_needs_no_origin(small: Small) -> None:
    answer = small.client("ben").post(
        "/v1/portfolios", json={"name": "by token", "base_currency": "USD"}, headers={"Origin": "http://x.test"}
    )
    assert answer.status_code == 201
    assert small.client("ben").delete("/v1/portfolios/by token", params={"version": 1}).status_code == 200


def test_wrong_passwords_lock_a_name_for_a_while(small: Small) -> None:
    client = small.client()
    for _ in range(10):
        said = problem(
            client.post("/v1/auth/login", json={"username": "mallory", "password": "x"}), 401, "sign-in-refused"
        )
        assert "mallory" not in said["detail"]
    answer = client.post("/v1/auth/login", json={"username": "mallory", "password": "x"})
    problem(answer, 429, "too-many-tries") if answer.status_code == 429 else problem(answer, 401, "sign-in-refused")


def test_a_known_name_is_locked(site: TestClient, small: Small) -> None:
    with small.database.owner() as c:
        c.execute(
            "INSERT INTO sign_in_failures (username, at) SELECT 'ben', now() - g * interval '1 second' FROM generate_series(1, 10) g"
        )
    try:
        answer = site.post("/api/v1/auth/login", json={"username": "ben", "password": WORDS})
        problem(answer, 429, "too-many-tries")
        assert answer.headers["retry-after"] == "300"
        form = site.post("/login", data={"username": "ben", "password": WORDS})
        assert (form.status_code, form.headers["location"]) == (303, "/?sign_in=locked")
    finally:
        with small.database.owner() as c:
            c.execute("DELETE FROM sign_in_failures")


def test_the_form_of_the_pages(site: TestClient, small: Small) -> None:
    answer = site.post("/login", data={"username": "anna", "password": WORDS, "next": "/holdings?as_of=2026-01-05"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/holdings?as_of=2026-01-05")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert site.get("/api/v1/auth/me").json()["username"] == "anna"
    assert site.post("/logout", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 303
    assert site.get("/api/v1/auth/me").status_code == 200  # another site cannot sign somebody out
    out = site.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert site.get("/api/v1/auth/me").status_code == 401


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({"username": "anna", "password": "wrong"}, {}),
        ({"username": "nobody", "password": WORDS}, {}),
        ({}, {}),
        ({"username": "an\x00na", "password": "x"}, {}),
        ({"username": "anna", "password": WORDS}, {"Sec-Fetch-Site": "cross-site"}),
        ({"username": "anna", "password": WORDS}, {"Origin": "http://evil.test"}),
        ({"username": "anna", "password": WORDS, "more": "x" * 20_000}, {}),
    ],
)
def test_the_form_refuses(site: TestClient, small: Small, data: dict[str, str], headers: dict[str, str]) -> None:
    answer = site.post("/login", data=data, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?sign_in=failed")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/risk", "/risk"), ("/", "/"), ("", "/"), (None, "/"), ("//evil.test", "/"), ("/\\evil.test", "/"), ("https://evil.test", "/"),
        ("/\t/evil.test", "/"), ("/a\r\nX: y", "/"), ("javascript:alert(1)", "/"), ("risk", "/"),
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(wanted: str | None, goes: str) -> None:
    assert safe_path(wanted) == goes


# --- portfolios -----------------------------------------------------------------------------------------------


def test_portfolios_are_made_changed_and_archived(small: Small) -> None:
    client = small.client("ben")
    answer = client.post(
        "/v1/portfolios", json={"name": " New one ", "base_currency": "eur", "benchmark_id": small.securities["WIDE"]}
    )
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["base_currency"], made["access"], made["method"]) == ("New one", "EUR", "manage", "fifo")
    number = made["portfolio_id"]
    seen = client.get("/v1/portfolios/new one").json()  # by name, in any case
    assert seen["portfolio_id"] == number
    assert seen["overview"]["name"] == "overview"
    changed = client.put(
        f"/v1/portfolios/{number}", json={"version": made["version"], "goal_value": "1000000.50"}
    ).json()
    assert (changed["goal_value"], changed["version"]) == ("1000000.500000", made["version"] + 1)
    problem(
        client.put(f"/v1/portfolios/{number}", json={"version": made["version"], "name": "late"}), 409, "stale-edit"
    )
    assert client.delete(f"/v1/portfolios/{number}", params={"version": changed["version"]}).status_code == 200
    assert number not in client.get("/v1/portfolios").text
    problem(client.get(f"/v1/portfolios/{number}"), 404, "no-such-portfolio")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"base_currency": "USD"}, "name"),
        ({"name": "   ", "base_currency": "USD"}, "name"),
        ({"name": "x" * 81, "base_currency": "USD"}, "name"),
        ({"name": "x\x00", "base_currency": "USD"}, "name"),
        ({"name": "x", "base_currency": "XXX"}, "base_currency"),
        ({"name": "x", "base_currency": "dollars"}, "base_currency"),
        ({"name": "x", "base_currency": "USD", "benchmark_id": 999}, "benchmark_id"),
        ({"name": "x", "base_currency": "USD", "benchmark_id": 10**30}, "benchmark_id"),
        ({"name": "x", "base_currency": "USD", "method": "newest"}, "method"),
    ],
)
def test_an_unfit_portfolio_is_refused_by_its_field(small: Small, body: Answer, field: str) -> None:
    answer = small.client("ben").post("/v1/portfolios", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field, answer.text


@pytest.mark.parametrize("day", [1774915200, 0, "1774915200", "2026-03-31T00:00:00", "31.03.2026", "2026-02-30", True])
def test_a_date_is_a_date_and_no_count_of_seconds(small: Small, day: Any) -> None:
    anna, query = small.client("anna"), {"portfolio": f"{MARK} euros"}
    deposit = {"date": "2026-03-31", "kind": "deposit", "gross": "100"}
    for body, field in (({"date": day}, "date"), ({"settlement": day}, "settlement")):
        said = problem(anna.post("/v1/transactions", params=query, json=deposit | body), 422, "bad-request")
        assert (said["field"], "date" in said["expected"], len(said["errors"])) == (field, True, 1), said
        said = problem(anna.post("/v1/transactions", params=query, json=[deposit, deposit | body]), 422, "bad-request")
        assert (said["field"], len(said["errors"])) == (f"1.{field}", 1), said
    said = problem(anna.get("/v1/transactions", params=query | {"first": day}), 422, "bad-request")
    assert said["field"] == "first"


def test_what_no_json_and_no_number_is_has_words(small: Small) -> None:
    anna = small.client("anna")
    headers = {"Content-Type": "application/json"}
    path = f"/v1/portfolios/{MARK} euros/reconciliations"
    for body in (b"$\x864", b"{", b"[1]", b"\xff"):
        said = problem(anna.post(path, content=body, headers=headers), 422, "bad-request")
        assert said["field"] == "body", said
    for number in ("-72308839544", "0", str(2**31), str(2**70)):
        assert (
            problem(anna.get("/v1/proposals", params={"security": number}), 422, "bad-request")["field"] == "security"
        )


def test_which_portfolio_is_meant(small: Small) -> None:
    anna, ben = small.client("anna"), small.client("ben")
    assert ben.get("/v1/transactions").json()["portfolio_id"] == str(small.portfolios["Ben's own"])  # the only one
    said = problem(anna.get("/v1/reports/holdings"), 422, "bad-parameter")
    assert said["field"] == "portfolio"
    assert anna.get("/v1/reports/holdings", params={"portfolio": f"{MARK} euros"}).json()["currency"] == "EUR"
    assert anna.get("/portfolio/current").status_code == 200  # older paths: the first by name
    twins = [
        ben.post("/v1/portfolios", json={"name": "Twin", "base_currency": "USD"}).json()["portfolio_id"]
        for _ in range(2)
    ]
    assert "2 of your portfolios" in problem(ben.get("/v1/portfolios/Twin"), 422, "bad-parameter")["expected"]
    for twin in twins:
        ben.delete(f"/v1/portfolios/{twin}", params={"version": 1})


# --- the ledger -----------------------------------------------------------------------------------------------


def test_booking_is_exact_and_counts_once(small: Small, portfolio: str) -> None:
    client, query = small.client("anna"), {"portfolio": portfolio}
    day = bar_days(small.now)[-20].isoformat()
    rows = [
        {"date": day, "kind": "deposit", "gross": "100000.10"},
        {
            "date": day,
            "kind": "buy",
            "symbol": "acme",
            "quantity": "10.0000000001",
            "price": "99.9999999999",
            "fees": 1.25,
        },
    ]
    key = {"Idempotency-Key": "from-the-broker-17"}
    first = client.post("/v1/transactions", params=query, json=rows, headers=key)
    assert first.status_code == 201, first.text
    again = client.post("/v1/transactions", params=query, json=rows, headers=key)
    assert again.json() == first.json()
    listed = client.get("/v1/transactions", params=query).json()
    assert len(listed["transactions"]) == 2
    assert listed["more"] is False
    buy = next(t for t in listed["transactions"] if t["kind"] == "buy")
    assert (buy["quantity"], buy["price"], buy["fees"], buy["net"]) == (
        "10.0000000001",
        "99.9999999999",
        "1.250000",
        "-1001.250000",
    )
    assert client.get("/v1/transactions", params=query | {"limit": 1}).json()["more"] is True
    one = client.post("/v1/transactions", params=query, json=rows[0])
    assert len(one.json()["booked"]) == 1  # without a key the same again is a second deposit


def test_all_or_none(small: Small, portfolio: str) -> None:
    client, query, day = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)[-20].isoformat()
    rows = [
        {"date": day, "kind": "deposit", "gross": "5"},
        {"date": day, "kind": "sell", "symbol": "ACME", "quantity": "1", "price": "1"},
    ]
    said = problem(client.post("/v1/transactions", params=query, json=rows), 409, "over-sold")
    assert (said["field"], said["value"]) == ("quantity", "1")
    assert client.get("/v1/transactions", params=query).json()["transactions"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "gift"}, "kind"),
        ({"date": "yesterday"}, "date"),
        ({"date": "2999-01-01"}, "date"),
        ({"symbol": "NOPE"}, "symbol"),
        ({"symbol": "WIDE"}, "symbol"),
        ({"quantity": "-1"}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"quantity": "1e400"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": "Infinity"}, "quantity"),
        ({"quantity": "0.00000000001"}, "quantity"),
        ({"price": "ten"}, "price"),
        ({"currency": "XXX"}, "currency"),
        ({"fees": "-3"}, "fees"),
        ({"note": "a\x00b"}, "note"),
        ({"settlement": "1999-01-01"}, "settlement"),
        ({"ratio": "2"}, "ratio"),
    ],
)
def test_an_unfit_transaction_is_refused_by_its_field(small: Small, portfolio: str, change: Answer, field: str) -> None:
    good = {
        "date": bar_days(small.now)[-20].isoformat(),
        "kind": "buy",
        "symbol": "ACME",
        "quantity": "1",
        "price": "10",
    }
    answer = small.client("anna").post("/v1/transactions", params={"portfolio": portfolio}, json=good | change)
    assert answer.status_code == 422, answer.text
    said = answer.json()
    assert field in said["field"].split("."), said
    assert said["expected"]
    assert small.client("anna").get("/v1/transactions", params={"portfolio": portfolio}).json()["transactions"] == []


def test_delete_books_a_reversal(small: Small, portfolio: str) -> None:
    client, query, day = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)[-20].isoformat()
    ids = client.post("/v1/transactions", params=query, json=[{"date": day, "kind": "deposit", "gross": "5"}, {"date": day, "kind": "deposit", "gross": "7"}]).json()["booked"]  # fmt: skip
    answer = client.delete(f"/v1/transactions/{ids[0]}", params=query)
    assert answer.status_code == 200
    assert answer.json()["reverses"] == ids[0]
    entries = {t["transaction_id"]: t for t in client.get("/v1/transactions", params=query).json()["transactions"]}
    assert entries[ids[0]]["reversed"] is True
    assert entries[answer.json()["reversal"]]["reverses"] == ids[0]
    assert len(entries) == 3  # nothing is gone
    problem(client.delete(f"/v1/transactions/{ids[0]}", params=query), 422, "not-bookable")
    other = client.post(f"/v1/transactions/{ids[1]}/reverse", params=query)
    assert other.status_code == 201
    assert client.get("/portfolio/current", params=query).json()["total_value"] == 0
    problem(client.delete(f"/v1/transactions/{uuid4()}", params=query), 422, "not-bookable")
    assert client.delete("/v1/transactions/17", params=query).status_code == 422


@pytest.mark.parametrize("as_form", [True, False])
def test_import(small: Small, portfolio: str, as_form: bool) -> None:
    client, query, day = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)[-20].isoformat()
    text = f"date,kind,symbol,quantity,price,gross,note\n{day},deposit,,,,1000,é\n{day},deposit,,,,1000,é\n{day},buy,ACME,2,50,,\n{day},sell,BOLT,2,50,,\n"

    def send(**more: str) -> Any:
        if as_form:
            return client.post(
                "/v1/transactions/import", params=query | more, files={"file": ("mine.csv", text.encode(), "text/csv")}
            )
        return client.post(
            "/v1/transactions/import", params=query | more, content=text.encode(), headers={"Content-Type": "text/csv"}
        )

    dry = send().json()
    assert (dry["rows"], dry["good"], dry["refused"], dry["booked"], dry["dry_run"]) == (4, 3, 1, 0, True)
    assert dry["file"] == ("mine.csv" if as_form else "upload.csv")
    assert [v["outcome"] for v in dry["verdicts"]] == ["book", "book", "book", "refused"]
    assert "BOLT" in dry["verdicts"][3]["reason"]
    assert dry["verdicts"][2]["net"] == "-100.00"
    problem(send(dry_run="false"), 409, "nothing-booked")
    assert client.get("/v1/transactions", params=query).json()["transactions"] == []
    done = send(dry_run="false", take_good="true").json()
    assert done["booked"] == 3
    again = send(dry_run="false", take_good="true").json()
    assert (again["booked"], again["duplicates"]) == (0, 3)
    assert len(client.get("/v1/transactions", params=query).json()["transactions"]) == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x01",
        b"hello",
        b"date,kind\n",
        b"date,kind,note\n2026-01-05,deposit," + b"x" * 5000 + b"\x00",
        b"\xff\xfe",
    ],
)
def test_what_is_no_csv_is_refused_as_a_whole(small: Small, portfolio: str, raw: bytes) -> None:
    answer = small.client("anna").post(
        "/v1/transactions/import", params={"portfolio": portfolio}, content=raw, headers={"Content-Type": "text/csv"}
    )
    problem(answer, 422, "not-readable")
    problem(
        small.client("anna").post("/v1/transactions/import", params={"portfolio": portfolio}, files={"other": b"x"}),
        422,
        "not-readable",
    )


# --- the older paths ------------------------------------------------------------------------------------------

CURRENT = {"total_value", "investment_value", "cash_balance", "positions", "last_updated", "price_fresh"}
POSITION = {
    "ticker",
    "shares",
    "cost_basis",
    "current_value",
    "price_per_share",
    "unrealized_gain_loss",
    "unrealized_gain_loss_percent",
}
PERFORMANCE = {
    "timeframe",
    "data_points",
    "start_value",
    "current_value",
    "profit_loss",
    "profit_loss_percent",
    "data_available",
}


def test_current_has_its_shape(small: Small) -> None:
    said = small.client("anna").get("/portfolio/current", params={"portfolio": f"{MARK} mixed"}).json()
    assert set(said) >= CURRENT
    assert set(said) - CURRENT == {"currency", "coverage"}
    assert all(isinstance(said[k], int | float) for k in ("total_value", "investment_value", "cash_balance"))
    assert isinstance(said["price_fresh"], bool)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", said["last_updated"])
    assert {p["ticker"] for p in said["positions"]} == {"ACME", "BOLT", "EDO", "RHEIN"}
    for p in said["positions"]:
        assert set(p) == POSITION
        assert p["shares"] * p["price_per_share"] == pytest.approx(p["current_value"], abs=0.006)
        assert p["current_value"] - p["cost_basis"] == pytest.approx(p["unrealized_gain_loss"], abs=1e-6)
        assert p["unrealized_gain_loss_percent"] == pytest.approx(
            p["unrealized_gain_loss"] / p["cost_basis"] * 100, abs=0.0051
        )


@pytest.mark.parametrize("timeframe", ["1D", "1W", "1M", "3M", "YTD", "1Y", "ALL"])
def test_performance_has_its_shape(small: Small, timeframe: str) -> None:
    answer = small.client("anna").get(
        "/portfolio/performance", params={"portfolio": f"{MARK} dollars", "timeframe": timeframe}
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert set(said) - PERFORMANCE == {"value_change", "net_flow", "gain", "time_weighted_return", "currency"}
    assert said["timeframe"] == timeframe
    assert all(set(p) == {"timestamp", "value"} for p in said["data_points"])
    assert [p["timestamp"] for p in said["data_points"]] == sorted(p["timestamp"] for p in said["data_points"])
    if said["data_available"]:
        assert said["start_value"] == said["data_points"][0]["value"]
        assert said["current_value"] == said["data_points"][-1]["value"]
        assert said["value_change"] == pytest.approx(said["net_flow"] + said["gain"], abs=1e-6)


def test_no_snapshots_no_data(small: Small, portfolio: str) -> None:
    said = small.client("anna").get("/portfolio/performance", params={"portfolio": portfolio}).json()
    assert said["data_available"] is False
    assert said["data_points"] == []
    assert (said["start_value"], said["profit_loss"]) == (None, None)
    assert small.client("anna").get("/portfolio/performance", params={"timeframe": "2D"}).status_code == 422


def test_a_deposit_is_no_profit(small: Small, portfolio: str) -> None:
    """Not in what was recorded, and not in the moments after the booking, before the next snapshot."""
    client, query, days = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)
    client.post(
        "/v1/transactions", params=query, json={"date": days[-30].isoformat(), "kind": "deposit", "gross": "1000"}
    )
    with small.database.jobs() as c:
        snapshots.restate(c, small.now, 0.98)
    late = {"date": days[-1].isoformat(), "kind": "deposit", "gross": "5000.55"}
    client.post("/v1/transactions", params=query, json=late)
    for _ in range(2):  # before and after the snapshots know of it
        said = client.get("/portfolio/performance", params=query | {"timeframe": "1M"}).json()
        assert (said["start_value"], said["current_value"]) == (1000, 6000.55)
        assert (said["value_change"], said["net_flow"], said["gain"]) == (5000.55, 5000.55, 0)
        assert (said["profit_loss"], said["profit_loss_percent"], said["time_weighted_return"]) == (0, 0, 0)
        with small.database.jobs() as c:
            snapshots.restate(c, small.now, 0.98)


@pytest.mark.parametrize("path", ["/get_portfolio_overview", "/get_asset_allocation", "/get_risk_metrics", "/get_performance_dashboard",
                                  "/get_compliance_summary", "/get_sector_exposure", "/get_geographic_distribution", "/portfolio/current",
                                  "/portfolio/performance"])  # fmt: skip
def test_an_empty_portfolio_answers_everywhere(small: Small, portfolio: str, path: str) -> None:
    answer = small.client("anna").get(path, params={"portfolio": portfolio})
    assert answer.status_code == 200, answer.text
    assert "NaN" not in answer.text


def test_securities(small: Small) -> None:
    client = small.client("ben")
    listed = client.get("/v1/securities", params={"q": "acme"}).json()["items"]
    assert [s["symbol"] for s in listed] == ["ACME"]
    assert Decimal(listed[0]["price"]) == Decimal("131.2345")
    for name in ("ACME", "acme", "XNYS:ACME", str(small.securities["ACME"])):
        assert client.get(f"/v1/securities/{name}").json()["security_id"] == small.securities["ACME"]
    problem(client.get("/v1/securities/NOPE"), 404, "no-such-security")
    assert client.get("/securities").json() == client.get("/v1/securities").json()["items"]


# --- the past -------------------------------------------------------------------------------------------------


def test_every_answer_with_figures_takes_a_past_date_and_a_known_time(small: Small) -> None:
    """Asked for a time before anything was recorded, none knows anything; asked for now, all know what they know now."""
    client, name = small.client("anna"), f"{MARK} euros"
    before, now = {"known_at": "2001-01-01T00:00:00Z"}, {"known_at": datetime.now(UTC).isoformat()}
    total = {
        "/portfolio/current": "total_value",
        "/get_portfolio_overview": "total_value",
        "/get_asset_allocation": "total_value",
        "/get_sector_exposure": "total_value",
        "/get_geographic_distribution": "total_value",
        "/portfolio/performance": "current_value",
    }
    for path, key in total.items():
        assert client.get(path, params={"portfolio": name, **before}).json()[key] == 0, path
        assert client.get(path, params={"portfolio": name, **now}).json()[key] > 7_000_000, path
    for path in ("/get_risk_metrics", "/get_performance_dashboard", "/get_compliance_summary"):
        for known in (before, now):
            answer = client.get(path, params={"portfolio": name, "as_of": bar_days(small.now)[50].isoformat(), **known})
            assert answer.status_code == 200, answer.text
    figures = {
        f["key"]: f["value"] for f in client.get(f"/v1/portfolios/{name}", params=before).json()["overview"]["figures"]
    }
    assert Decimal(figures["total"]) == 0
    acme = [
        client.get("/v1/securities/ACME", params=p).json()
        for p in ({}, {"as_of": bar_days(small.now)[0].isoformat()}, before)
    ]
    assert [s["price"] and Decimal(s["price"]) for s in acme] == [Decimal("131.2345"), 100, None]
    assert [s["bars"] for s in acme] == [300, 1, 0]


# --- errors ---------------------------------------------------------------------------------------------------


def test_every_report_survives_odd_parameters(small: Small) -> None:
    """Never a 500: a bad value is named, an extreme one answered."""
    client = small.client("anna")
    odd = {
        "as_of": ("", "0001-01-01", "9999-12-31", "2026-02-30", "x", "\x00", "２０２６"),
        "known_at": ("0001-01-01T00:00:00+14:00", "0001-01-03", "9999-12-31T23:59:59-14:00", "1900-01-01", "x", "\x00"),
        "since": ("0001-01-03", "9999-12-31T23:59:59+00:00", "1900-01-01", "x", "\x00"),
        "period": ("all", "5D", "\x00"),
        "by": ("name", "__class__", ""),
        "security": ("0", "-1", "²", "9" * 40, "999999999", "٣"),
        "portfolio": ("", "\x00", "x" * 121, "00000000-0000-0000-0000-000000000000"),
        "format": ("xml",),
    }
    for name in (
        "overview",
        "holdings",
        "growth",
        "risk",
        "risk_by_security",
        "transactions",
        "prices",
        "value_chart",
        "allocation",
        "performance",
        "changes",
        "changes_by_position",
    ):
        for parameter, values in odd.items():
            for value in values:
                answer = client.get(f"/v1/reports/{name}", params={"portfolio": f"{MARK} dollars", parameter: value})
                assert answer.status_code in (200, 404, 422), f"{name} {parameter}={value!r}: {answer.text}"
                if answer.status_code == 422:
                    assert answer.json()["field"] in (parameter, "security"), answer.text


def test_errors_have_one_shape(small: Small) -> None:
    client = small.client("anna")
    problem(client.get("/v1/nothing"), 404, "http")
    problem(client.patch("/v1/portfolios"), 405, "http")
    problem(client.get("/v1/reports/nothing"), 404, "no-such-report")
    problem(
        client.post("/v1/portfolios", content=b"{", headers={"Content-Type": "application/json"}), 422, "bad-request"
    )
    surrogate = b'{"name": "\\ud800", "base_currency": "USD", "x": NaN}'
    assert (
        client.post("/v1/portfolios", content=surrogate, headers={"Content-Type": "application/json"}).status_code
        == 422
    )
    big = client.post("/v1/portfolios", content=b" " * (2**21 + 1), headers={"Content-Type": "application/json"})
    problem(big, 413, "http")
    pieces = (b" " * 2**18 for _ in range(9))  # of no announced length
    problem(client.post("/v1/portfolios", content=pieces, headers={"Content-Type": "application/json"}), 413, "http")
    said = problem(client.post("/v1/auth/login", json={"username": "anna", "password": ["hush"]}), 422, "bad-request")
    assert "hush" not in str(said)
    said = problem(client.post("/v1/portfolios", json={"base_currency": "USD"}), 422, "bad-request")
    assert (said["field"], said["value"]) == ("name", "")  # not the whole that lacks it


def test_what_we_did_not_expect_stays_inside(
    small: Small, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("the inner workings")

    monkeypatch.setattr(reports, "portfolios", fails)
    answer = small.client("anna").get("/v1/portfolios", headers={"X-Request-Id": "ticket-4711"})
    said = problem(answer, 500, "unexpected")
    assert said["request_id"] == "ticket-4711"
    assert "inner workings" not in answer.text
    assert "ticket-4711" in caplog.text
    assert "inner workings" in caplog.text


def test_a_request_id_is_ours_unless_it_is_fit(small: Small) -> None:
    client = small.client()
    assert client.get("/health", headers={"X-Request-Id": "abcdefgh-1"}).headers["x-request-id"] == "abcdefgh-1"
    for unfit in ("short", "x" * 65, "with space in it", "<script>alert(1)</script>"):
        assert re.fullmatch(
            "[0-9a-f]{32}", client.get("/health", headers={"X-Request-Id": unfit}).headers["x-request-id"]
        )


def test_answers_are_private(small: Small) -> None:
    answer = small.client("anna").get("/v1/portfolios")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


# --- health and description -----------------------------------------------------------------------------------


def test_health(small: Small) -> None:
    for path in ("/health", "/v1/health"):
        said = small.client().get(path).json()
        assert (said["status"], said["database"], said["remarks"]) == ("ok", "ok", [])
        assert said["quotes_age_seconds"] >= 0
    with small.database.owner() as c:
        c.execute("UPDATE job_runs SET finished_at = finished_at - interval '1 hour'")
    try:
        answer = small.client().get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert "no job has succeeded since" in answer.json()["remarks"][0]
    finally:
        with small.database.owner() as c:
            c.execute("UPDATE job_runs SET finished_at = finished_at + interval '1 hour'")


def test_without_a_database_health_says_so_and_the_rest_is_503(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.close()
    monkeypatch.setattr(engine, "conninfo", lambda role: "host=127.0.0.1 port=1 connect_timeout=1")
    monkeypatch.setattr(engine, "ConnectionPool", Impatient)
    try:
        answer = small.client().get("/health")
        assert (answer.status_code, answer.json()["status"], answer.json()["database"]) == (503, "down", "unreachable")
        said = problem(small.client("anna").get("/v1/portfolios"), 503, "database-unreachable")
        assert "127.0.0.1" not in str(said)
    finally:
        engine.close()


class Impatient(engine.ConnectionPool):
    """A pool that gives up at once."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named | {"timeout": 0.5, "reconnect_timeout": 0.1})


def test_the_description_is_complete(small: Small) -> None:
    schema = small.client().get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert {"HTTPBearer", "APIKeyCookie"} == set(schema["components"]["securitySchemes"])
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            assert operation.get("description") or operation.get("summary"), name
            good = [r for s, r in operation["responses"].items() if s.startswith("2")]
            assert good and all(m["schema"] for r in good for m in r["content"].values()), f"{name} declares no answer"  # noqa: PT018
            assert "$ref" in str(good) or "string" in str(good), f"{name} answers anything"
            assert bool(operation.get("security")) is (path not in ("/v1/auth/login", "/health")), name
            assert "application/problem+json" in operation["responses"]["default"]["content"]
    for ref in set(re.findall(r"#/components/schemas/(\w+)", str(schema))):
        assert ref in schema["components"]["schemas"]


def test_no_route_answers_without_a_model() -> None:
    """An undeclared Decimal would leave as a float."""
    for route in api.routes:
        if hasattr(route, "response_model") and route.path != "/docs":
            assert route.response_model is not None, route.path


def test_the_reference_stands_alone(site: TestClient, small: Small) -> None:
    answer = site.get("/api/docs")
    assert answer.status_code == 200
    text = answer.text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "/api/v1/reports/{name}" in text
    assert all(f'id="{kind.slug}"' in text for kind in PROBLEMS.values())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    policy = answer.headers["content-security-policy"]
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert "unsafe" not in policy
    assert ' style="' not in text
    assert site.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]


# --- files: brokers', mapped, whole ledgers -------------------------------------------------------------------


def test_a_table_of_unknown_format_is_mapped_and_its_map_kept(small: Small, portfolio: str) -> None:
    client, query, day = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)[-20]
    text = f"Dnia;Co;Papier;Ile;Po ile\n{day:%d.%m.%Y};zakup;ACME;2;10,50\n"
    csv_file = {"content": text.encode(), "headers": {"Content-Type": "text/csv"}}
    dry = client.post("/v1/transactions/import", params=query, **csv_file).json()
    assert (dry["format"], dry["rows"], dry["to_map"]["columns"]) == (
        "unknown",
        0,
        ["Dnia", "Co", "Papier", "Ile", "Po ile"],
    )
    problem(
        client.post("/v1/transactions/import", params=query | {"dry_run": "false"}, **csv_file), 422, "unknown-format"
    )
    mine = {"columns": {"date": "Dnia", "kind": "Co", "symbol": "Papier", "quantity": "Ile", "price": "Po ile"}, "kinds": {"zakup": "buy"},
            "decimal": ",", "delimiter": ";"}  # fmt: skip
    found = client.post("/v1/transactions/import", params=query | {"map": json.dumps(mine)}, **csv_file).json()
    assert (found["format"], found["good"]) == ("map", 1)
    kept = client.post("/v1/import-maps", json={"name": "Polish", "columns": dry["to_map"]["columns"], "map": mine})
    assert kept.status_code == 201
    assert [m["name"] for m in client.get("/v1/import-maps").json()] == ["Polish"]
    assert small.client("ben").get("/v1/import-maps").json() == []
    problem(small.client("ben").delete(f"/v1/import-maps/{kept.json()['map_id']}"), 404, "no-such-map")
    done = client.post("/v1/transactions/import", params=query | {"dry_run": "false"}, **csv_file).json()
    assert (done["title"], done["booked"]) == ("Polish", 1)
    problem(
        client.post("/v1/transactions/import", params=query | {"map": '{"columns": {"colour": "x"}}'}, **csv_file),
        422,
        "not-bookable",
    )
    problem(client.post("/v1/transactions/import", params=query | {"map": "[" * 5000}, **csv_file), 422, "not-bookable")
    assert client.delete(f"/v1/import-maps/{kept.json()['map_id']}").status_code == 200


def test_unknown_securities_are_chosen_an_import_undone_and_a_ledger_taken_along(small: Small, portfolio: str) -> None:
    client, query, day = small.client("anna"), {"portfolio": portfolio}, bar_days(small.now)[-20].isoformat()
    text = (f"Action,Time,ISIN,Ticker,Name,No. of shares,Price / share,Currency (Price / share),Exchange rate,Result,Currency (Result),Total,Currency (Total)\n"
            f"Market buy,{day} 09:30:00,US0000000983,WWWW,Wholly New,2,10,USD,1,,USD,20,USD\n")  # fmt: skip
    form = {"files": {"file": ("t.csv", text.encode(), "text/csv")}}
    dry = client.post("/v1/transactions/import", params=query, **form).json()
    [unknown] = dry["unknown_securities"]
    assert (dry["format"], unknown["symbol"], unknown["rows"], unknown["proposed"]["currency"]) == (
        "trading212",
        "WWWW",
        1,
        "USD",
    )
    skipped = client.post(
        "/v1/transactions/import", params=query, data={"matches": json.dumps({unknown["key"]: "skip"})}, **form
    ).json()
    assert (skipped["skipped"], skipped["verdicts"][0]["lines"]) == (1, [2])
    for wrong in ("[]", '{"x": 1.5}', '{"x": {"colour": "red"}}', "no"):
        problem(client.post("/v1/transactions/import", params=query | {"matches": wrong}, **form), 422, "not-bookable")
    taken = {"dry_run": "false", "matches": json.dumps({unknown["key"]: "create"})}
    done = client.post("/v1/transactions/import", params=query | taken, **form).json()
    assert (done["booked"], done["verdicts"][0]["net"]) == (1, "-20.00")
    whole = client.get("/v1/transactions/export", params=query)
    assert whole.headers["content-type"].startswith("text/csv")
    again = client.post(
        "/v1/transactions/import", params=query, content=whole.content, headers={"Content-Type": "text/csv"}
    ).json()
    assert (again["format"], again["duplicates"]) == ("ledger", 1)
    [listed] = client.get("/v1/transactions/imports", params=query).json()
    assert (listed["import_id"], listed["standing"]) == (done["import_id"], 1)
    path = f"/v1/transactions/imports/{done['import_id']}/undo"
    problem(small.client("ben").post(path, params=query), 404, "no-such-portfolio")
    assert client.post(path, params=query).json()["reversed"] == 1
    problem(client.post(path, params=query), 404, "no-such-import")
