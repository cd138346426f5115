"""Cash by trade date and by settlement date: in the report, on the cards, in JSON and CSV, explained, and on the page.

Every amount is worked out by hand: 1,000.00 in, 10 ACME bought at 30 on Thursday 2024-10-10 (settles on Friday), 5 sold at 40 on Friday
2024-10-11 (Monday is Columbus Day: settles on Tuesday the 15th), fees of 1.00 each.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import ROOT
from small import Small, installed
from streamlit.testing.v1 import AppTest

from ui import session

FIELDS = ("amount", "to_receive", "to_pay", "settled", "available")


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        client = made.client("anna")
        number = client.post("/v1/portfolios", json={"name": "Settling", "base_currency": "USD"}).json()["portfolio_id"]
        entries = [
            {"date": "2024-10-07", "kind": "deposit", "gross": "1000.00"},
            {"date": "2024-10-10", "kind": "buy", "symbol": "ACME", "quantity": "10", "price": "30", "fees": "1.00"},
            {"date": "2024-10-11", "kind": "sell", "symbol": "ACME", "quantity": "5", "price": "40", "fees": "1.00"},
        ]
        answer = client.post("/v1/transactions", json=entries, params={"portfolio": number})
        assert answer.status_code == 201, answer.text
        made.portfolios["Settling"] = number
        yield made


def asked(small: Small, name: str, as_of: str, **more: str) -> Any:
    scope = {"portfolio": str(small.portfolios["Settling"]), "as_of": as_of, **more}
    return small.client("anna").get(f"/v1/reports/{name}", params=scope)


@pytest.mark.parametrize(
    ("as_of", "right"),
    [
        ("2024-10-09", ("1000.00", "0.00", "0.00", "1000.00", "1000.00")),
        ("2024-10-10", ("699.00", "0.00", "301.00", "1000.00", "699.00")),
        ("2024-10-11", ("898.00", "199.00", "0.00", "699.00", "699.00")),
        ("2024-10-14", ("898.00", "199.00", "0.00", "699.00", "699.00")),
        ("2024-10-15", ("898.00", "0.00", "0.00", "898.00", "898.00")),
    ],
)
def test_cash_by_trade_date_and_by_settlement_date(small: Small, as_of: str, right: tuple[str, ...]) -> None:
    (row,) = asked(small, "cash", as_of).json()["rows"]
    assert tuple(Decimal(row[name]) for name in FIELDS) == tuple(map(Decimal, right))
    (told,) = csv.DictReader(io.StringIO(asked(small, "cash", as_of, format="csv").text))
    assert tuple(Decimal(told[name]) for name in FIELDS) == tuple(map(Decimal, right))
    figures = {f["key"]: f["value"] for f in asked(small, "overview", as_of).json()["figures"]}
    cash, settled = Decimal(right[0]), Decimal(right[3])
    assert [Decimal(figures[k]) for k in ("cash", "settled_cash", "unsettled_cash")] == [cash, settled, cash - settled]


def test_what_has_not_settled_is_listed_with_its_day(small: Small) -> None:
    rows = asked(small, "unsettled", "2024-10-11").json()["rows"]
    assert [(r["settles_on"], r["traded_on"], r["kind"], r["symbol"], Decimal(r["net"])) for r in rows] == [
        ("2024-10-15", "2024-10-11", "sell", "ACME", Decimal(199))
    ]
    assert asked(small, "unsettled", "2024-10-15").json()["rows"] == []


def test_a_sale_of_another_currency_settles_in_its_own(small: Small) -> None:
    """RHEIN on Xetra: sold on Monday 2024-12-23 for 100.00 EUR, T+2 is Friday the 27th; Christmas Eve counts."""
    client, number = small.client("anna"), str(small.portfolios["Settling"])
    entries = [
        {"date": "2024-12-20", "kind": "buy", "symbol": "RHEIN", "quantity": "1", "price": "80"},
        {"date": "2024-12-23", "kind": "sell", "symbol": "RHEIN", "quantity": "1", "price": "100"},
    ]
    seen = client.post("/v1/transactions/preview", json=entries, params={"portfolio": number}).json()["postings"]
    assert [p["settles_on"] for p in seen] == ["2024-12-24", "2024-12-27"]
    assert client.post("/v1/transactions", json=entries, params={"portfolio": number}).status_code == 201
    euro, dollar = asked(small, "cash", "2024-12-23").json()["rows"]
    assert [Decimal(euro[name]) for name in FIELDS] == [Decimal(x) for x in ("20", "100", "80", "0", "-80")]
    assert euro["value"] is None, "no rate is known that day, and none is taken from later"
    assert [Decimal(dollar[name]) for name in FIELDS] == [Decimal(x) for x in ("898", "0", "0", "898", "898")]


@pytest.mark.parametrize(
    ("column", "right"), [("to_receive", "199"), ("settled", "699"), ("available", "699"), ("amount", "898")]
)
def test_each_of_them_is_explained(small: Small, column: str, right: str) -> None:
    scope = {"portfolio": str(small.portfolios["Settling"]), "as_of": "2024-10-11", "column": column, "row": 0}
    found = small.client("anna").get("/v1/reports/cash/explain", params=scope).json()
    assert Decimal(found["value"]) == Decimal(found["recomputed"]) == Decimal(right)
    assert any(e["title"] == "Transactions" and e["rows"] for e in found["evidence"])


def test_the_pages_say_what_has_not_settled(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000.00 in and 4 ACME at 100.00 bought last week, sold at 110.00 today: 1,040.00 in cash, 600.00 of it settled."""
    client, today = small.client("anna"), small.now.date()
    number = client.post("/v1/portfolios", json={"name": "Sold today", "base_currency": "USD"}).json()["portfolio_id"]
    before = (today - timedelta(days=10)).isoformat()
    entries = [
        {"date": before, "kind": "deposit", "gross": "1000"},
        {"date": before, "kind": "buy", "symbol": "ACME", "quantity": "4", "price": "100"},
        {"date": today.isoformat(), "kind": "sell", "symbol": "ACME", "quantity": "4", "price": "110"},
    ]
    assert client.post("/v1/transactions", json=entries, params={"portfolio": number}).status_code == 201
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
    at.query_params["portfolio"] = number
    at.run()
    shown = {m.label: m.value for m in at.metric}
    assert (shown["Cash"], shown["Settled cash"]) == ("1,040.00", "600.00")
    at.switch_page("holdings.py").run()
    assert not at.exception
    assert "Not settled yet" in [s.value for s in at.subheader]
    at.query_params["portfolio"] = str(small.portfolios["Settling"])
    at.switch_page("overview.py").run()
    assert "Settled cash" not in {m.label for m in at.metric}, "all of it has"
