"""The API of the security master on the real database: asking, following, deciding, looking, and everything that is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from time import sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from small import MARK, WORDS, Small, TestClient, bar_days, installed
from starlette.applications import Starlette
from starlette.routing import Mount

from api import api
from core.scope import Scope
from db import access, carrying, market, master, reports
from jobs.run import Worker
from jobs.tasks import work_one

Answer = dict[str, Any]
FROM_S0 = {
    "symbol": "AAPL",
    "asset_class": "Equity",
    "sector": "Technology",
    "industry": "Consumer Electronics",
    "price": 150.00,
    "dividend_frequency": "quarterly",
}


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """The small installation with a viewer."""
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        yield made


@pytest.fixture
def anna(small: Small) -> TestClient:
    return small.client("anna")


@pytest.fixture
def ben(small: Small) -> TestClient:
    return small.client("ben")


@pytest.fixture(autouse=True)
def nothing_left(small: Small) -> Iterator[None]:
    """Every test leaves the policy as it was, and no task open."""
    yield
    with small.database.owner() as c:
        c.execute("DELETE FROM installation WHERE key = 'policy'")
        c.execute("DELETE FROM tasks WHERE status IN ('waiting', 'queued', 'running')")


def fresh(**cells: Any) -> Answer:
    """A security that nobody has added yet."""
    return {"symbol": f"N{uuid4().hex[:8]}".upper(), "exchange": "XNYS", "asset_class": "Equity", **cells}


def worked() -> int:
    """Carry out everything that is queued."""
    worker, n = Worker(Event()), 0
    while n < 50 and work_one(worker):
        n += 1
    return n


def problem(answer: Any, status: int, slug: str) -> Answer:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: Answer = answer.json()
    assert said["type"].endswith(f"/docs#{slug}"), said
    return said


def added(client: TestClient, **cells: Any) -> Answer:
    """A security that was added, as the API shows it."""
    body = fresh(**cells)
    task = client.post("/v1/securities", json=body)
    assert task.status_code == 202, task.text
    worked()
    done = client.get(f"/v1/securities/tasks/{task.json()['task_id']}").json()
    assert done["status"] == "completed", done
    found: Answer = client.get(f"/v1/securities/{body['exchange']}:{body['symbol']}").json()
    return found


def everything(small: Small) -> list[Any]:
    """All that a change of the master could write, counted and summed up."""
    with small.database.owner() as c:
        found = [
            c.execute(f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} t").fetchone()
            for table in (*carrying.TABLES, "sectors", "installation")
        ]
        return [*found, c.execute("SELECT count(*) FROM tasks").fetchone()]


# --- the shapes of the older specification ----------------------------------------------------------------------


def test_the_example_of_the_specification_works_as_it_is(small: Small, ben: TestClient) -> None:
    site = TestClient(Starlette(routes=[Mount("/api", app=api)]), headers=dict(ben.headers))
    answer = site.post("/api/securities", json=FROM_S0)
    assert answer.status_code == 202, answer.text
    said = answer.json()
    number = UUID(said["task_id"])
    assert number.version == 7
    assert said["message"] == "Security addition task initiated"
    assert said["label"].startswith("security_add_AAPL_")
    assert abs(int(said["label"].rsplit("_", 1)[1]) - datetime.now(UTC).timestamp()) < 60
    assert answer.headers["location"] == f"/api/v1/securities/tasks/{number}"
    before = site.get(f"/api/securities/tasks/{number}").json()
    assert (before["status"], before["current_step"], before["progress"], before["completed_at"]) == ("queued", None, 0, None)  # fmt: skip
    assert {s["status"] for s in before["steps"]} == {"pending"}
    assert worked() == 1
    done = site.get(f"/api/securities/tasks/{number}").json()
    assert set(done) >= {"id", "status", "security", "steps", "current_step", "message", "created_at", "completed_at"}
    assert (done["id"], done["status"], done["error"]) == (str(number), "completed", None)
    assert done["security"] == FROM_S0 | {"sector": "Information Technology"}  # as we call it
    assert isinstance(done["security"]["price"], float)
    assert all({"name", "status"} <= set(s) and s["status"] == "completed" for s in done["steps"])
    assert done["current_step"] == len(done["steps"]) - 1
    assert done["progress"] == 1
    assert done["message"] == "Security AAPL added successfully"
    created, completed = (datetime.fromisoformat(done[k]) for k in ("created_at", "completed_at"))
    assert created < completed
    assert created.tzinfo and completed.tzinfo  # noqa: PT018
    exact = site.get(answer.headers["location"]).json()
    assert exact["security"]["price"] in ("150.0", "150.00")
    assert (exact["source"], exact["requester"]) == ("api", "ben")
    found = ben.get("/v1/securities/AAPL").json()
    assert (found["exchange"], found["name"], found["currency"], found["status"]) == ("XOFF", "AAPL", "USD", "active")
    assert Decimal(found["price"]) == 150
    assert any(s["symbol"] == "AAPL" for s in site.get("/api/securities").json())
    gone = site.delete("/api/securities/AAPL")
    assert gone.status_code == 202
    assert gone.json()["message"] == "Security removal task initiated"
    assert gone.json()["label"].startswith("security_remove_AAPL_")
    worked()
    problem(ben.get("/v1/securities/AAPL"), 404, "no-such-security")
    after = ben.get(f"/v1/securities/tasks/{gone.json()['task_id']}").json()
    assert (after["status"], after["security"]["symbol"], after["security"]["asset_class"]) == ("completed", "AAPL", "Equity")  # fmt: skip


def test_asset_classes_are_a_plain_list(ben: TestClient) -> None:
    names = ben.get("/asset-classes").json()
    assert {"Equity", "Fixed Income", "Commodity", "Currency"} < set(names)
    assert all(isinstance(n, str) for n in names)
    assert "Index" not in names
    every = {a["asset_class"]: a for a in ben.get("/v1/asset-classes").json()}
    assert [n for n, a in every.items() if not a["tradable"]] == ["Index"]
    assert (every["Equity"]["has_sector"], every["Equity"]["has_terms"], every["Fixed Income"]["has_terms"]) == (True, False, True)  # fmt: skip


def test_dimensions_hold_what_fields_may_name(ben: TestClient) -> None:
    sectors = ben.get("/v1/sectors").json()
    assert {"sector": "Energy", "industry": None, "subsector": None}.items() <= next(s for s in sectors if s["sector"] == "Energy").items()  # fmt: skip
    assert next(e for e in ben.get("/v1/exchanges").json() if e["exchange"] == "XETR")["currency"] == "EUR"
    assert next(c for c in ben.get("/v1/countries").json() if c["country"] == "JP")["region"] == "Asia"
    assert next(c for c in ben.get("/v1/currencies").json() if c["currency"] == "JPY")["minor_units"] == 0


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "slug", "kind", "field", "said"),
    [
        ({"symbol": "ACME"}, 409, "duplicate-symbol", "DuplicateSymbol", "symbol", "XNYS lists it already"),
        ({"asset_class": "Equitty"}, 422, "invalid-asset-class", "InvalidAssetClass", "asset_class", "did you mean Equity"),
        ({"asset_class": None}, 422, "invalid-asset-class", "InvalidAssetClass", "asset_class", "Fixed Income"),
        ({"asset_class": "Currency", "sector": "Energy"}, 422, "asset-class-inconsistent", "AssetClassInconsistent", "sector", "has no sector"),
        ({"matures_on": "2040-01-05"}, 422, "asset-class-inconsistent", "AssetClassInconsistent", "matures_on", "Equity has none"),
        ({"sector": "Enregy"}, 422, "invalid-sector", "InvalidSector", "sector", "did you mean Energy"),
        ({"sector": "Energy", "industry": "Bakeries"}, 422, "invalid-sector", "InvalidSector", "industry", "Energy has none of this name"),
        ({"price": 0}, 422, "invalid-price", "InvalidPrice", "price", "above zero"),
        ({"price": "-1.5"}, 422, "invalid-price", "InvalidPrice", "price", "above zero"),
        ({"price": "1,5"}, 422, "invalid-price", "InvalidPrice", "price", "thousands"),
        ({"price": "1_5"}, 422, "invalid-price", "InvalidPrice", "price", "thousands"),
        ({"price": "٣"}, 422, "invalid-price", "InvalidPrice", "price", "above zero"),
        ({"price": "1e999999999"}, 422, "invalid-price", "InvalidPrice", "price", "a number below"),
        ({"price": "0.00000000001"}, 422, "invalid-price", "InvalidPrice", "price", "10 decimals"),
        ({"dividend_frequency": "weekly"}, 422, "invalid-dividend-frequency", "InvalidDividendFrequency", "dividend_frequency", "monthly"),
        ({"exchange": "XXXX"}, 422, "unknown-reference", "UnknownReference", "exchange", "XNYS"),
        ({"currency": "QQQ"}, 422, "unknown-reference", "UnknownReference", "currency", "CHF"),
        ({"country": "QQ"}, 422, "unknown-reference", "UnknownReference", "country", "AT"),
        ({"dividend": "0.5", "dividend_frequency": "annual"}, 422, "invalid-dividend", "InvalidDividend", "dividend_ex_on", "ex date"),
        ({"isin": "US0378331006"}, 422, "invalid-field", "InvalidField", "isin", "check digit"),
        ({"symbol": ""}, 422, "invalid-field", "InvalidField", "symbol", "1 to 32"),
        ({"symbol": "NO SPACES"}, 422, "invalid-field", "InvalidField", "symbol", "without spaces"),
        ({"price": "99999999999999999999"}, 422, "invalid-price", "InvalidPrice", "price", "a number below 100,000,000,000,000,000"),
        ({"dividend": "abc", "dividend_ex_on": "2026-03-31"}, 422, "invalid-dividend", "InvalidDividend", "dividend", "a number above zero"),
        ({"symbol": "A/B"}, 422, "invalid-field", "InvalidField", "symbol", "and slashes"),
        ({"symbol": "ﬁX"}, 422, "invalid-field", "InvalidField", "symbol", "1 to 32"),
        ({"issued_on": "2999-01-05"}, 422, "invalid-field", "InvalidField", "issued_on", "a day up to"),
        ({"dividend": "1", "dividend_frequency": "annual", "dividend_ex_on": "2999-01-05"}, 422, "invalid-dividend", "InvalidDividend", "dividend_ex_on", "a day up to"),
        ({"asset_class": "Currency", "dividend_frequency": "monthly"}, 422, "asset-class-inconsistent", "AssetClassInconsistent", "dividend_frequency", "pays none"),
    ],
)  # fmt: skip
def test_every_kind_of_fault_has_its_own_message(
    small: Small, ben: TestClient, change: Answer, status: int, slug: str, kind: str, field: str, said: str
) -> None:
    before = everything(small)
    for query in ({}, {"dry_run": "true"}):
        answer = problem(ben.post("/v1/securities", json=fresh() | change, params=query), status, slug)
        assert answer["field"] == field
        assert said in answer["expected"]
        [one] = answer["errors"]
        assert (one["field"], one["class"], one["expected"]) == (field, kind, answer["expected"])
        assert answer["value"] == one["value"] == ("" if change.get(field) is None else str(change[field]))
        assert field in answer["detail"]
    assert everything(small) == before


def test_all_faults_are_said_at_once_and_the_first_decides(ben: TestClient) -> None:
    body = fresh(asset_class="Nonsense", price="-1", country="QQ", dividend_frequency="daily")
    said = problem(ben.post("/v1/securities", json=body), 422, "invalid-asset-class")
    assert [(e["field"], e["class"], e["value"]) for e in said["errors"]] == [
        ("asset_class", "InvalidAssetClass", "Nonsense"),
        ("dividend_frequency", "InvalidDividendFrequency", "daily"),
        ("price", "InvalidPrice", "-1"),
        ("country", "UnknownReference", "QQ"),
    ]


def test_what_is_still_referenced_is_not_removed(small: Small, anna: TestClient, ben: TestClient) -> None:
    before = everything(small)
    said = problem(anna.delete("/v1/securities/ACME"), 409, "still-referenced")
    assert any("holds" in o and f"{MARK} dollars" in o for o in said["obstacles"])
    assert any("dividend" in o for o in said["obstacles"])
    hidden = problem(ben.delete("/securities/ACME"), 409, "still-referenced")
    assert any("a portfolio that you cannot see" in o for o in hidden["obstacles"])
    assert MARK not in json.dumps(hidden)
    assert everything(small) == before
    seen = anna.get("/v1/securities/XNYS:ACME/references").json()
    assert seen["removal"] == "refused"
    assert {r["what"] for r in seen["references"] if r["prevents"]} == {"holding", "dividend"}
    assert {o["text"] for o in seen["references"] if o["prevents"]} == set(said["obstacles"])
    foreign = ben.get("/v1/securities/ACME/references").json()
    assert MARK not in json.dumps(foreign)
    assert {r["portfolio_id"] for r in foreign["references"]} == {None}
    assert anna.get("/v1/securities/NEVER/references").json() | {"removal": "deletes", "references": []} == anna.get("/v1/securities/NEVER/references").json()  # fmt: skip


def test_a_task_that_fails_says_where_and_why(small: Small, ben: TestClient) -> None:
    body = fresh(price="1")
    answer = ben.post("/v1/securities", json=body)
    with small.database.jobs() as c:  # somebody is faster, past the API
        market.add_securities(c, [market.NewSecurity(body["symbol"], "First", "XNYS", "USD", "Equity", None, "", None)])
    worked()
    failed = ben.get(answer.headers["location"]).json()
    assert failed["status"] == "failed"
    error = failed["error"]
    assert (error["class"], error["field"], error["type"]) == ("DuplicateSymbol", "symbol", "/docs#duplicate-symbol")
    assert failed["steps"][error["step"]]["status"] == "failed"
    assert failed["steps"][error["step"]]["name"] == "Add to securities"
    assert {s["status"] for s in failed["steps"][error["step"] + 1 :]} == {"skipped"}
    assert "Nothing was changed" in failed["message"]


def test_a_task_that_fails_for_no_field_is_a_failed_task(small: Small, ben: TestClient, monkeypatch: Any) -> None:
    answer = ben.post("/v1/securities", json=fresh(price="1"))

    def broken(*_: Any) -> Any:
        raise RuntimeError("the disk is full")

    monkeypatch.setitem(carrying.HOW, "insert", broken)
    before = everything(small)
    worked()
    error = ben.get(answer.headers["location"]).json()["error"]
    assert (error["class"], error["type"], error["field"]) == ("TaskFailed", "/docs#task-failed", None)
    assert "the disk is full" in error["message"]
    assert everything(small) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"symbol": 12}, "symbol"),
        ({"symbol": ["A"]}, "symbol"),
        ({"price": True}, "price"),
        ({"price": {"usd": 1}}, "price"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 501}, "name"),
        ({"issued_on": 20260101}, "issued_on"),
        ({"dividend": []}, "dividend"),
    ],
)
def test_unknown_fields_and_wrong_types_are_named(small: Small, ben: TestClient, body: Answer, field: str) -> None:
    before = everything(small)
    said = problem(ben.post("/v1/securities", json=fresh() | body), 422, "bad-request")
    assert field in [e["field"] for e in said["errors"]]
    if field not in ("symbol",):
        problem(ben.patch("/v1/securities/BOLT", json=body), 422, "bad-request")
    assert everything(small) == before


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b'{"price": 1.5.5}', b"[" * 9000, b"\xff", b'{"symbol": "\\ud800", "asset_class": "Equity"}',
                                 b'{"price": ' + b"9" * 9000 + b"}"])  # fmt: skip
def test_a_body_that_is_none_is_refused(small: Small, ben: TestClient, raw: bytes) -> None:
    before = everything(small)
    answer = ben.post("/v1/securities", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert everything(small) == before


def test_a_body_that_is_no_json_says_where(ben: TestClient) -> None:
    answer = ben.post("/v1/securities", content=b'{"symbol": "A"; }', headers={"Content-Type": "application/json"})
    said = problem(answer, 422, "bad-request")
    assert said["field"] == "body"
    assert said["expected"].startswith("JSON: ")
    assert said["expected"].endswith("at character 14")


def test_a_day_is_written_as_a_date(ben: TestClient) -> None:
    for wrong in (0, 1767571200, "0", True, None, "2026-1-5", "20260105"):
        for path, field, more in (("delist", "on", {}), ("symbol-change", "valid_from", {"symbol": "NUT"})):
            said = problem(ben.post(f"/v1/securities/BOLT/{path}", json={field: wrong, **more}), 422, "bad-request")
            assert said["errors"] == [
                {"field": field, "value": "" if wrong is None else str(wrong), "expected": said["expected"]}
            ]
            assert "2026-03-31" in said["expected"]
    assert problem(ben.post("/v1/securities/BOLT/delist", json={"on": "0001-01-01"}), 422, "invalid-field")["field"] == "on"  # fmt: skip


def test_digits_that_are_a_number_and_a_symbol_name_nothing(ben: TestClient) -> None:
    """DELETE /securities/7203 must not remove whatever has the number 7203 here."""
    one = added(ben)
    other = added(ben, symbol=str(one["security_id"]), exchange="XTKS")
    for method, path in (("get", ""), ("delete", ""), ("get", "/references"), ("patch", "")):
        said = problem(ben.request(method, f"/v1/securities/{other['symbol']}{path}", json={} if method == "patch" else None), 404, "no-such-security")  # fmt: skip
        assert (
            f"XNYS:{one['symbol']} (ID:{one['security_id']}), XTKS:{other['symbol']} (ID:{other['security_id']})"
            in said["detail"]
        )
    for each in (one, other):
        assert ben.get(f"/v1/securities/id:{each['security_id']}").json()["symbol"] == each["symbol"]
    assert ben.get(f"/v1/securities/XTKS:{other['symbol']}").json()["security_id"] == other["security_id"]
    assert ben.delete(f"/securities/XTKS:{other['symbol']}").status_code == 202
    assert worked() == 1


def test_not_a_number_is_no_price(ben: TestClient) -> None:
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e400"):
        body = json.dumps(fresh()).encode()[:-1] + b', "price": ' + word + b"}"
        answer = ben.post("/v1/securities", content=body, headers={"Content-Type": "application/json"})
        assert problem(answer, 422, "invalid-price")["field"] == "price"


# --- asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("150.10", "150.1000000000"),
        ('"150.10"', "150.1000000000"),
        ("0.1234567891", "0.1234567891"),
        ('"12345678901234567.1234567891"', "12345678901234567.1234567891"),
        ("12345678901234567.1234567891", "12345678901234567.1234567891"),
        ("99999999999999999", "99999999999999999.0000000000"),
        ("1.5e2", "150.0000000000"),
    ],
)
def test_a_price_is_kept_as_it_was_written(small: Small, ben: TestClient, written: str, kept: str) -> None:
    for path in ("/v1/securities", "/securities"):
        new = fresh()
        raw = json.dumps(new)[:-1] + f', "price": {written}}}'
        answer = ben.post(path, content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text
        worked()
        assert ben.get(f"/v1/securities/{new['symbol']}").json()["price"] == kept
        task = ben.get(answer.headers["location"]).json()
        assert Decimal(task["security"]["price"]) == Decimal(kept)


def test_a_dry_run_shows_the_rows_and_writes_nothing(small: Small, ben: TestClient) -> None:
    before, body = everything(small), fresh(price="12.50", name="Nova", sector="Energy")
    asked = [
        ("post", "/v1/securities", body),
        ("post", "/securities", body),
        ("patch", "/v1/securities/BOLT", {"rating": "AA"}),
        ("delete", "/v1/securities/NEVER", None),
        ("delete", "/securities/NEVER", None),
        (
            "post",
            "/v1/securities/BOLT/symbol-change",
            {"symbol": "NUT", "valid_from": datetime.now(UTC).date().isoformat()},
        ),
        ("post", "/v1/securities/BOLT/delist", {"on": "2026-01-05"}),
    ]
    plans = {}
    for method, path, sent in asked:
        answer = ben.request(method, path, json=sent, params={"dry_run": "true"})
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert "location" not in answer.headers
        plans[f"{method} {path}"] = answer.json()
    assert everything(small) == before
    assert plans["post /v1/securities"] == plans["post /securities"]
    plan = plans["post /v1/securities"]
    assert (plan["kind"], plan["subject"]) == ("add", f"XNYS:{body['symbol']}")
    steps = {s["table"]: s for s in plan["steps"] if s["action"] == "insert"}
    [row] = steps["securities"]["rows"]
    assert (row["symbol"], row["name"], row["currency"]) == (body["symbol"], "Nova", "USD")
    assert steps["asset_prices"]["rows"][0]["price"] == "12.50"
    edit = plans["patch /v1/securities/BOLT"]["steps"][0]
    assert (edit["action"], edit["size"], edit["rows"][0]["rating"], edit["before"][0]["rating"]) == ("update", 1, "AA", None)  # fmt: skip
    assert plans["delete /v1/securities/NEVER"]["steps"][-1]["table"] == "securities"
    done = ben.post("/v1/securities", json=body)
    assert done.status_code == 202
    kept = ben.get(f"/v1/securities/tasks/{done.json()['task_id']}/plan").json()
    assert kept == plan  # what was shown is what is confirmed
    worked()
    with small.database.owner() as c:
        number = ben.get(f"/v1/securities/{body['symbol']}").json()["security_id"]
        for table, step in steps.items():
            row = c.execute(f"SELECT count(*) FROM {table} WHERE security_id = %s", (number,)).fetchone()
            assert row == (step["size"],), table


def test_an_edit_of_what_somebody_else_changed_is_refused(ben: TestClient) -> None:
    one = added(ben, asset_class="Fixed Income", par_value="1000", rating="A", matures_on="2036-03-31")
    path = f"/v1/securities/{one['security_id']}"
    seen = {"rating": "A", "par_value": 1000.0, "matures_on": "2036-03-31", "issuer": None, "country": ""}
    assert ben.patch(path, json={"rating": "AA", "seen": seen}).status_code == 202
    worked()
    for other in (
        {"rating": "A"},
        {"par_value": "1001"},
        {"par_value": "much"},
        {"par_value": None},
        {"issuer": "Nova"},
        {"matures_on": None},
    ):
        now = seen | {"rating": "AA"} | other
        said = problem(ben.patch(path, json={"rating": "B", "seen": now}, params={"dry_run": True}), 409, "stale-edit")
        assert f"somebody changed {next(iter(other))} (now " in said["detail"], said
    assert ben.patch(path, json={"rating": "B", "seen": seen | {"rating": "AA"}}).status_code == 202
    said = problem(ben.patch(path, json={"rating": "B", "seen": {"price": 5}}), 422, "bad-request")
    assert said["field"] == "seen.price"


def test_a_security_is_edited_renamed_delisted_and_comes_back(small: Small, ben: TestClient) -> None:
    one = added(ben, sector="Energy", price="5", name="First name", country="germany")
    path = f"/v1/securities/{one['security_id']}"
    problem(ben.patch(path, json={}), 422, "invalid-field")
    problem(ben.patch(path, json={"symbol": "OTHER"}), 422, "invalid-field")
    problem(ben.patch(path, json={"sector": "Nonsense"}), 422, "invalid-sector")
    edit = ben.patch(
        path, json={"sector": "Materials", "rating": "AA-", "name": "Second name", "issued_on": "2020-01-05"}
    )
    assert edit.json()["message"] == "Security change task initiated"
    worked()
    done = ben.get(edit.headers["location"]).json()
    assert (done["status"], done["kind"], done["security"]["sector"]) == ("completed", "edit", "Materials"), done
    problem(ben.post(f"{path}/symbol-change", json={"symbol": "ACME", "valid_from": "2026-01-05"}), 409, "duplicate-symbol")  # fmt: skip
    problem(ben.post(f"{path}/symbol-change", json={"symbol": "LATER", "valid_from": "2999-01-05"}), 422, "invalid-field")  # fmt: skip
    new = fresh()["symbol"]
    ben.post(f"{path}/symbol-change", json={"symbol": new, "exchange": "XNAS", "valid_from": "2026-01-05"})
    worked()
    now = ben.get(path).json()
    assert (now["symbol"], now["exchange"], now["former"], now["issued_on"]) == (new, "XNAS", False, "2020-01-05")
    assert now["country"] == "DE", "by its name"
    assert [(s["symbol"], s["exchange"], s["valid_from"]) for s in now["symbols"]] == [
        (one["symbol"], "XNYS", "1900-01-01"), (new, "XNAS", "2026-01-05"),
    ]  # fmt: skip
    assert [k["sector"] for k in now["classifications"]] == ["Energy", "Materials"]
    assert now["classifications"][0]["source"] == "ben"
    said = problem(ben.patch(f"/v1/securities/{one['symbol']}", json={"rating": "B"}), 404, "no-such-security")
    assert f"it is XNAS:{new} now" in said["detail"]
    for name in (one["symbol"], one["symbol"].lower(), f"XNYS:{one['symbol']}"):
        old = ben.get(f"/v1/securities/{name}").json()
        assert (old["security_id"], old["symbol"], old["former"]) == (one["security_id"], new, True)
    problem(
        ben.delete(f"/v1/securities/{one['symbol']}"), 404, "no-such-security"
    )  # nobody removes by a name of before
    problem(ben.post(f"{path}/reinstate"), 422, "invalid-field")
    assert ben.post(f"{path}/delist", json={"on": "2026-02-03"}).json()["message"] == "Security delisting task initiated"  # fmt: skip
    worked()
    now = ben.get(path).json()
    assert now["status"] == "delisted"
    assert ben.get("/v1/securities", params={"status": "delisted", "q": new}).json()["items"][0]["symbol"] == new
    assert ben.get("/v1/securities", params={"status": "active", "q": new}).json()["items"] == []
    problem(ben.delete(path), 422, "invalid-field")
    ben.post(f"{path}/reinstate")
    worked()
    now = ben.get(path).json()
    assert (now["status"], now["ended_on"]) == ("active", None)


def test_a_symbol_that_somebody_else_has_now_means_them(ben: TestClient) -> None:
    first = added(ben)
    new = fresh()["symbol"]
    ben.post(f"/v1/securities/{first['security_id']}/symbol-change", json={"symbol": new, "valid_from": "2026-01-05"})
    worked()
    second = added(ben, symbol=first["symbol"])
    found = ben.get(f"/v1/securities/{first['symbol']}").json()
    assert (found["security_id"], found["former"]) == (second["security_id"], False)


def renamed(client: TestClient, number: int, symbol: str, on: str) -> None:
    answer = client.post(f"/v1/securities/{number}/symbol-change", json={"symbol": symbol, "valid_from": on})
    assert answer.status_code == 202, answer.text
    worked()
    assert client.get(answer.headers["location"]).json()["status"] == "completed"


def test_the_symbol_of_what_trades_no_more_goes_to_another_company(ben: TestClient) -> None:
    """Sprint's S is SentinelOne's now: both ways on are said, and each had it in its time."""
    old = added(ben)
    symbol, number = old["symbol"], old["security_id"]
    ben.post(f"/v1/securities/{number}/delist", json={"on": "2024-06-03"})
    worked()
    said = problem(ben.post("/v1/securities", json=fresh(symbol=symbol)), 409, "duplicate-symbol")["expected"]
    assert "is delisted: reinstate it if it is the same; if another company has the symbol now, first give the old one another symbol" in said  # fmt: skip
    other = added(ben)
    body = {"symbol": symbol, "valid_from": "2026-01-05"}
    path = f"/v1/securities/{other['security_id']}/symbol-change"
    said = problem(ben.post(path, json=body), 409, "duplicate-symbol")["expected"]
    assert "is delisted: if another company has the symbol now, first give the old one another symbol" in said
    renamed(ben, number, f"{symbol}.OLD", "2024-06-03")
    plan = ben.post("/v1/securities", json=fresh(symbol=symbol, price="1"), params={"dry_run": True}).json()
    assert plan["notes"] == [f"XNYS:{symbol} was XNYS:{symbol}.OLD until 2024-06-03 and is this security from that day."]  # fmt: skip
    new = added(ben, symbol=symbol)
    periods = [ben.get(f"/v1/securities/{n}").json()["symbols"] for n in (number, new["security_id"])]
    assert [[(s["symbol"], s["valid_from"]) for s in each] for each in periods] == [
        [(symbol, "1900-01-01"), (f"{symbol}.OLD", "2024-06-03")], [(symbol, "2024-06-03")],
    ]  # fmt: skip


def test_a_symbol_change_does_not_begin_while_another_security_had_the_symbol(ben: TestClient) -> None:
    first, second, third = (added(ben) for _ in range(3))
    symbol = first["symbol"]
    renamed(ben, first["security_id"], f"{symbol}.OLD", "2024-06-03")
    path = f"/v1/securities/{second['security_id']}/symbol-change"
    for early in ("2024-06-02", "1999-01-05"):
        said = problem(ben.post(path, json={"symbol": symbol, "valid_from": early}), 422, "invalid-field")
        assert (said["field"], said["value"]) == ("valid_from", early)
        assert f"XNYS:{symbol} was XNYS:{symbol}.OLD until 2024-06-03: a day from then" in said["expected"]
    renamed(ben, second["security_id"], symbol, "2024-06-03")
    renamed(ben, second["security_id"], second["symbol"] + ".B", "2025-06-03")
    found = ben.get(f"/v1/securities/XNYS:{symbol}").json()  # nobody has it now: who had it last
    assert (found["security_id"], found["former"]) == (second["security_id"], True)
    assert found == ben.get(f"/v1/securities/{symbol}").json()
    path = f"/v1/securities/{third['security_id']}/symbol-change"
    said = problem(ben.post(path, json={"symbol": symbol, "valid_from": "2025-01-05"}), 422, "invalid-field")
    assert "until 2025-06-03" in said["expected"]
    renamed(ben, first["security_id"], symbol, "2025-06-03")  # its own former symbol is no obstacle


def test_a_key_asks_once(small: Small, anna: TestClient, ben: TestClient) -> None:
    body, key = fresh(price="1"), {"Idempotency-Key": f"order-{uuid4().hex}"}
    with ThreadPoolExecutor(6) as at_once:
        answers = list(at_once.map(lambda _: ben.post("/v1/securities", json=body, headers=key), range(6)))
    assert {a.status_code for a in answers} == {202}, [a.text for a in answers]
    assert len({a.json()["task_id"] for a in answers}) == 1
    worked()
    again = ben.post("/v1/securities", json=body, headers=key)  # though the symbol is taken by now
    assert again.json()["task_id"] == answers[0].json()["task_id"]
    assert again.json()["status"] == "completed"
    said = problem(ben.post("/v1/securities", json=fresh(), headers=key), 422, "key-reused")
    assert key["Idempotency-Key"] in said["detail"]
    problem(ben.delete("/v1/securities/BOLT", headers=key), 422, "key-reused")
    problem(anna.post("/v1/securities", json=body, headers=key), 409, "duplicate-symbol")  # a key is one person's
    problem(ben.post("/v1/securities", json=body), 409, "duplicate-symbol")
    with small.database.owner() as c:
        c.execute("UPDATE tasks SET requested_at = requested_at - interval '25 hours' WHERE task_id = %s", (again.json()["task_id"],))  # fmt: skip
    other = ben.post("/v1/securities", json=fresh(), headers=key)
    assert other.status_code == 202
    assert other.json()["task_id"] != again.json()["task_id"]
    problem(ben.post("/v1/securities", json=body, headers={"Idempotency-Key": "x" * 121}), 422, "bad-request")


def test_keys_at_once_make_one_removal(ben: TestClient, monkeypatch: Any) -> None:
    """A removal claims no symbol: only the key keeps the second one away, here between looking and writing."""
    about = master.about

    def slow(*given: Any) -> Any:
        sleep(0.2)
        return about(*given)

    one, key = added(ben), {"Idempotency-Key": uuid4().hex}
    monkeypatch.setattr(master, "about", slow)
    with ThreadPoolExecutor(4) as at_once:
        answers = list(at_once.map(lambda _: ben.delete(f"/v1/securities/{one['security_id']}", headers=key), range(4)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["task_id"] for a in answers}) == 1


# --- who may ----------------------------------------------------------------------------------------------------------


def writing(one: str) -> list[tuple[str, str, str, Any]]:
    """(right, method, path, body) of every route that asks for a change."""
    return [
        ("add", "post", "/v1/securities", fresh()),
        ("add", "post", "/securities", fresh()),
        ("edit", "patch", f"/v1/securities/{one}", {"rating": uuid4().hex[:8]}),
        ("edit", "post", f"/v1/securities/{one}/symbol-change", {"symbol": fresh()["symbol"], "valid_from": "2026-01-05"}),
        ("remove", "delete", f"/v1/securities/{one}", None),
        ("remove", "delete", f"/securities/{one}", None),
        ("remove", "post", f"/v1/securities/{one}/delist", {"on": "2026-01-05"}),
        ("remove", "post", f"/v1/securities/{one}/reinstate", None),
    ]  # fmt: skip


def test_a_viewer_changes_nothing(small: Small, anna: TestClient) -> None:
    one = added(anna)
    task = anna.patch(f"/v1/securities/{one['security_id']}", json={"rating": "A"}).json()["task_id"]
    vera, before = small.client("vera"), everything(small)
    for _, method, path, body in writing(str(one["security_id"])):
        for query in ({}, {"dry_run": "true"}):
            said = problem(vera.request(method, path, json=body, params=query), 403, "access-denied")
            assert "your role may not" in said["detail"]
    for path in ("cancel", "approve", "reject"):
        problem(vera.post(f"/v1/securities/tasks/{task}/{path}"), 403, "access-denied")
    problem(vera.put("/v1/policy", json={"add": "analyst"}), 403, "access-denied")
    assert everything(small) == before
    for path in ("/v1/securities", "/v1/securities/ACME", "/v1/securities/ACME/references", "/v1/securities/tasks", f"/v1/securities/tasks/{task}",
                 f"/v1/securities/tasks/{task}/plan", "/v1/securities/tasks.csv", "/v1/securities.csv", "/v1/policy"):  # fmt: skip
        assert vera.get(path).status_code == 200, path
    assert vera.get("/v1/policy").json()["yours"] == []


def test_the_policy_is_obeyed_route_by_route(small: Small, anna: TestClient, ben: TestClient) -> None:
    assert ben.get("/v1/policy").json() == {"add": "analyst", "edit": "analyst", "remove": "analyst", "bulk": "analyst", "approve": "admin",
                                            "four_eyes": [], "yours": ["add", "edit", "remove", "bulk"]}  # fmt: skip
    problem(ben.put("/v1/policy", json={"add": "admin"}), 403, "access-denied")
    for wrong in ({"add": "viewer"}, {"four_eyes": ["approve"]}, {"delete": "admin"}, {"add": 1}):
        problem(anna.put("/v1/policy", json=wrong), 422, "bad-request")
    for right in ("add", "edit", "remove"):
        said = anna.put(
            "/v1/policy", json={"add": "analyst", "edit": "analyst", "remove": "analyst", right: "admin"}
        ).json()
        assert said[right] == "admin"
        assert right not in ben.get("/v1/policy").json()["yours"]
        for needs, method, path, body in writing("NEVER"):
            answer = ben.request(method, path, json=body)
            assert (answer.status_code == 403) is (needs == right), f"{right}: {method} {path} {answer.text}"
        with small.database.owner() as c:
            c.execute("DELETE FROM tasks WHERE status = 'queued'")
        for needs, method, path, body in writing("NEVER"):
            if needs == right:
                assert anna.request(method, path, json=body).status_code != 403
        with small.database.owner() as c:
            c.execute("DELETE FROM tasks WHERE status = 'queued'")


def test_four_eyes(small: Small, anna: TestClient, ben: TestClient) -> None:
    anna.put("/v1/policy", json={"four_eyes": ["add", "remove", "add"], "approve": "analyst"})
    assert ben.get("/v1/policy").json()["four_eyes"] == ["add", "remove"]
    body = fresh(price="1")
    asked = ben.post("/v1/securities", json=body)
    assert asked.json()["status"] == "waiting"
    path = asked.headers["location"]
    assert worked() == 0
    said = problem(ben.post(f"{path}/approve", json={"note": "my own"}), 403, "access-denied")
    assert "somebody else" in said["detail"]
    problem(ben.post(f"{path}/reject"), 403, "access-denied")
    assert anna.get("/v1/securities/tasks", params={"status": "waiting"}).json()["items"][0]["id"] == asked.json()["task_id"]  # fmt: skip
    approved = anna.post(f"{path}/approve", json={"note": "looks right"}).json()
    assert (approved["status"], approved["decided_by"], approved["decision_note"], approved["four_eyes"]) == ("queued", "anna", "looks right", True)  # fmt: skip
    worked()
    assert ben.get(path).json()["status"] == "completed"
    problem(anna.post(f"{path}/reject"), 409, "task-over")
    before = everything(small)[:-1]
    refused = ben.post("/v1/securities", json=fresh(price="1")).headers["location"]
    rejected = anna.post(f"{refused}/reject", json={"note": "not ours"}).json()
    assert (rejected["status"], rejected["decision_note"]) == ("rejected", "not ours")
    assert rejected["completed_at"]
    assert worked() == 0
    assert everything(small)[:-1] == before
    assert ben.patch("/v1/securities/NEVER", json={"rating": "B"}).json()["status"] == "queued"  # edits need none


def test_a_task_is_cancelled_by_who_asked_or_an_admin(small: Small, anna: TestClient, ben: TestClient) -> None:
    body = fresh()
    mine = anna.post("/v1/securities", json=body).headers["location"]
    problem(ben.post(f"{mine}/cancel"), 403, "access-denied")
    problem(ben.post("/v1/securities", json=body), 409, "duplicate-symbol")  # it is about to be taken
    gone = anna.post(f"{mine}/cancel").json()
    assert gone["status"] == "cancelled"
    assert {s["status"] for s in gone["steps"]} == {"skipped"}
    assert worked() == 0
    problem(anna.post(f"{mine}/cancel"), 409, "task-over")
    again = ben.post("/v1/securities", json=body).headers["location"]  # the symbol is free again
    assert anna.post(f"{again}/cancel").json()["status"] == "cancelled"


def test_tasks_that_are_not_there(ben: TestClient, anna: TestClient) -> None:
    path = f"/v1/securities/tasks/{uuid4()}"
    for method, behind in (("get", ""), ("get", "/plan"), ("post", "/cancel")):
        problem(ben.request(method, path + behind), 404, "no-such-task")
    for behind in ("/approve", "/reject"):
        problem(anna.post(path + behind), 404, "no-such-task")
    problem(ben.get(f"/securities/tasks/{uuid4()}"), 404, "no-such-task")
    problem(ben.get("/securities/tasks/security_add_AAPL_1621534567"), 422, "bad-request")  # a label is no key


# --- lists ------------------------------------------------------------------------------------------------------------


def test_tasks_are_filtered_and_paged_and_written_as_csv(small: Small, anna: TestClient, ben: TestClient) -> None:
    words = [f"history {uuid4().hex[:6]}" for _ in range(5)]
    for i, name in enumerate(words):
        (ben if i % 2 else anna).post("/v1/securities", json=fresh(name=name, price="2"))
    worked()
    cancelled = ben.post("/v1/securities", json=fresh(name="history off")).headers["location"]
    ben.post(f"{cancelled}/cancel")

    def listed(**query: Any) -> list[Answer]:
        found: list[Answer] = ben.get("/v1/securities/tasks", params=query).json()["items"]
        return found

    assert [t["title"].split("(")[1][:-1] for t in listed(q="HISTORY")] == ["history off", *words[::-1]]
    assert [t["requester"] for t in listed(q="history", requester="Anna")] == ["anna"] * 3
    assert [t["status"] for t in listed(q="history", status="cancelled")] == ["cancelled"]
    assert len(listed(q="history", status=["cancelled", "completed"])) == 6
    assert listed(q="history", kind="remove") == []
    assert listed(q="100%") == listed(q="his_ory") == []
    today = datetime.now(UTC).date()
    assert len(listed(q="history", **{"from": today, "to": today})) == 6
    assert listed(q="history", to=today - timedelta(days=1)) == []
    assert listed(**{"from": "9999-12-31", "to": "9999-12-31"}) == []
    number = listed(q=words[0])[0]["security_id"]
    assert [t["security_id"] for t in listed(security=number)] == [number]
    problem(ben.get("/v1/securities/tasks", params={"from": "2026-02-01", "to": "2026-01-01"}), 422, "bad-parameter")
    for wrong in ({"status": "done"}, {"kind": "x"}, {"from": "soon"}, {"limit": 0}, {"q": "\x00"}, {"security": "x"}):
        problem(ben.get("/v1/securities/tasks", params=wrong), 422, "bad-request")
    seen: list[str] = []
    query: Answer = {"limit": 2}
    while True:
        page = ben.get("/v1/securities/tasks", params=query).json()
        seen += [t["id"] for t in page["items"]]
        if len(seen) == 4:
            anna.post("/v1/securities", json=fresh())  # what is newer stands before, and moves nothing
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    every = [t["id"] for t in listed(limit=500)][1:]
    assert seen == every
    text = ben.get("/v1/securities/tasks.csv", params={"q": "history"})
    assert text.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [(r["id"], r["label"], r["status"], r["requester"]) for r in rows] == [
        (t["id"], t["label"], t["status"], t["requester"]) for t in listed(q="history")
    ]


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "eyJvZmZzZXQiOjEwMH0=", "eyJvZmZzZXQiOjEwMH0", "WyJhIl0", "é", "WzFd", "W" * 300]
)
def test_a_cursor_of_somebody_elses_is_refused(ben: TestClient, cursor: str) -> None:
    for path in ("/v1/securities", "/v1/securities/tasks"):
        assert problem(ben.get(path, params={"cursor": cursor}), 422, "bad-parameter")["field"] == "cursor"


@pytest.mark.parametrize("limit", [1, 3])
def test_pages_give_every_security_once_while_more_are_added(small: Small, ben: TestClient, limit: int) -> None:
    def add(symbol: str) -> None:
        with small.database.jobs() as c:
            market.add_securities(c, [market.NewSecurity(symbol, "One more", "XNYS", "USD", "Fund", None, "", None)])

    for i in range(20):
        add(f"PAGE{i:02}")
    with small.database.jobs() as c:  # the same symbol elsewhere: both count
        market.add_securities(c, [market.NewSecurity("PAGE05", "One more", "XETR", "EUR", "Fund", None, "", None)])
    there = [(s["symbol"], s["exchange"]) for s in ben.get("/securities").json()]
    seen: list[tuple[str, str]] = []
    query: Answer = {"limit": limit}
    pages = 0
    while True:
        page = ben.get("/v1/securities", params=query).json()
        assert page["total_count"] is None
        seen += [(s["symbol"], s["exchange"]) for s in page["items"]]
        pages += 1
        add(f"A{pages:03}")  # before the first
        add(f"PAGE{pages % 20:02}B")  # in between
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        assert len(page["items"]) == limit
        assert pages < 300
    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)
    assert sorted(seen) == seen
    counted = ben.get("/v1/securities", params={"q": "PAGE", "count": "true", "limit": 1, "cursor": query["cursor"]}).json()  # fmt: skip
    assert counted["total_count"] == len([s for s in ben.get("/securities").json() if "PAGE" in s["symbol"]])


def test_pages_and_former_symbols_are_read_by_index(small: Small) -> None:
    with small.database.owner() as c:
        c.execute("SET LOCAL enable_seqscan = off")
        for query in (
            "SELECT * FROM securities WHERE (symbol, exchange) > ('A', 'XNYS') ORDER BY symbol, exchange LIMIT 9",
            "SELECT security_id FROM security_symbols WHERE symbol = 'ACME'",
        ):
            plan = "\n".join(r[0] for r in c.execute(f"EXPLAIN {query}").fetchall())
            assert "by_symbol" in plan, plan
            assert "Sort" not in plan, plan


def test_filters_agree_with_the_whole_list(ben: TestClient, small: Small) -> None:
    every = ben.get("/securities").json()
    for key, value in (("asset_class", "equity"), ("sector", "information technology"), ("exchange", "xetr"), ("currency", "jpy"), ("country", "de"),
                       ("status", "active")):  # fmt: skip
        found = ben.get("/v1/securities", params={key: value, "limit": 1000, "count": True}).json()
        wanted = [s for s in every if (s[key] or "").lower() == value]
        assert found["items"] == wanted
        assert found["total_count"] == len(wanted) > 0, key
        rows = list(csv.DictReader(io.StringIO(ben.get("/v1/securities.csv", params={key: value}).text)))
        assert [int(r["security_id"]) for r in rows] == [s["security_id"] for s in wanted]
    for text in ("acme", "grün", "US0378331005", 'Acme, "the"'):
        assert len(ben.get("/v1/securities", params={"q": text}).json()["items"]) == 1, text
    for text in ("%", "_", "\\", "nobody"):
        assert ben.get("/v1/securities", params={"q": text}).json()["items"] == []
    problem(ben.get("/v1/securities", params={"status": "gone"}), 422, "bad-request")
    problem(ben.get("/v1/securities", params={"sector": "\x00"}), 422, "bad-request")
    problem(ben.get("/v1/securities", params={"as_of": "soon"}), 422, "bad-parameter")


def test_csv_json_and_page_hold_the_same_cells(small: Small, ben: TestClient) -> None:
    page = reports.answer(small.user("ben"), "securities", Scope.read(UUID(int=0), {}))
    text = ben.get("/v1/securities.csv")
    assert text.text == page.as_csv()
    assert text.headers["content-disposition"].endswith('.csv"')
    listed = ben.get("/v1/securities", params={"limit": 1000}).json()["items"]
    shown = page.as_json()["rows"]
    for wanted, found in zip(shown, listed, strict=True):
        for key, value in wanted.items():
            if key == "quoted_at" and value is not None:
                assert datetime.fromisoformat(found[key]) == datetime.fromisoformat(value)
            else:
                assert found[key] == value, key
    past = {"as_of": bar_days(small.now)[50].isoformat()}
    before = reports.answer(small.user("ben"), "securities", Scope.read(UUID(int=0), past))
    assert ben.get("/v1/securities.csv", params=past).text == before.as_csv()


@pytest.mark.parametrize("name", ["NOPE", "XNYS:", ":", ":ACME:", "²", "٣", "9" * 30, "-1", "XETR:ACME", "%00", "%FF"])
def test_what_names_no_security(ben: TestClient, name: str) -> None:
    for method, path in (("get", ""), ("get", "/references"), ("delete", ""), ("post", "/reinstate")):
        answer = ben.request(method, f"/v1/securities/{name}{path}")
        assert answer.status_code in (404, 422), f"{method} {path}: {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_symbol_on_two_exchanges_needs_its_exchange(small: Small, ben: TestClient) -> None:
    one = added(ben)
    said = problem(ben.post("/v1/securities", json={"symbol": one["symbol"], "asset_class": "Equity"}), 409, "duplicate-symbol")  # fmt: skip
    assert "say the exchange" in said["expected"]
    added(ben, symbol=one["symbol"], exchange="XETR")
    for method, path in (("get", ""), ("get", "/references"), ("delete", "")):
        said = problem(ben.request(method, f"/v1/securities/{one['symbol']}{path}"), 404, "no-such-security")
        assert f"XETR:{one['symbol']}, XNYS:{one['symbol']}" in said["detail"]
    assert ben.get(f"/v1/securities/xetr:{one['symbol'].lower()}").json()["currency"] == "EUR"
