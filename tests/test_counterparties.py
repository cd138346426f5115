"""Counterparties on the real database: who may write, names once, nobody overwritten, and how much of a portfolio depends on each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from small import MARK, WORDS, Small, bar_days, installed

from core import importing
from core.brokers import Record
from core.counterparties import NOBODY, Counterparties, Counterparty, DuplicateName, checked
from core.ledger import Draft
from core.master import InvalidField, UnknownReference
from core.scope import Scope
from db import access, books, counterparties, exports, imports, ledger, portfolios, reports
from db.access import AccessDenied
from db.counterparties import BadCounterparty, CounterpartyUsed, NoSuchCounterparty
from db.edits import StaleEdit


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        yield made


def test_every_fault_of_a_counterparty_is_said_at_once() -> None:
    there = [Counterparty(3, "Harbour Bank")]
    made, faults = checked({"name": "harbour  BANK", "type": "brooker", "country": "XX", "rating": "A" * 21, "status": "gone", "lei": "1"}, there, ["US", "DE"])  # fmt: skip
    assert made is None
    assert {type(f) for f in faults} == {DuplicateName, InvalidField, UnknownReference}
    assert {f.field for f in faults} == {"name", "type", "country", "rating", "status", "lei"}
    assert "did you mean broker" in str(next(f for f in faults if f.field == "type"))
    assert checked({"name": "\u202eevil"}, [], [])[1], "what cannot be seen is no name"
    made, faults = checked({"name": " Harbour   Bank ", "country": "us"}, there, ["US"], there[0])
    assert (made, faults) == (Counterparty(3, "Harbour Bank", country="US"), [])


def test_analysts_write_viewers_read(small: Small) -> None:
    ben, vera = small.user("ben"), small.user("vera")
    made = counterparties.add(ben, {"name": "Elbe Custody", "type": "custodian", "rating": "A+", "country": "de"})
    assert counterparties.one(vera, made.counterparty_id) == Counterparty(
        made.counterparty_id, "Elbe Custody", "custodian", "A+", "DE"
    )
    for wrong in (
        lambda: counterparties.add(vera, {"name": "Mine"}),
        lambda: counterparties.edit(vera, made.counterparty_id, {"rating": "D"}),
        lambda: counterparties.remove(vera, made.counterparty_id),
    ):
        with pytest.raises(AccessDenied, match="may not change counterparties"):
            wrong()
    with pytest.raises(BadCounterparty, match="Elbe Custody already"):
        counterparties.add(ben, {"name": "ELBE custody"})
    counterparties.remove(ben, made.counterparty_id)
    with pytest.raises(NoSuchCounterparty):
        counterparties.one(ben, made.counterparty_id)


def test_what_somebody_else_changed_is_not_overwritten(small: Small) -> None:
    anna, ben = small.user("anna"), small.user("ben")
    made = counterparties.add(ben, {"name": "Two Pens"})
    seen = made.cells()
    counterparties.edit(anna, made.counterparty_id, {"rating": "BBB"}, seen)
    with pytest.raises(StaleEdit, match="rating"):
        counterparties.edit(ben, made.counterparty_id, {"country": "US"}, seen)
    assert counterparties.one(ben, made.counterparty_id).country is None
    # and where two write at the same moment the database says so
    with small.database.web(small.ben) as c:
        found = c.execute("SELECT save_counterparty(%s, %s, %s)", (made.counterparty_id, '{"name": "Two Pens", "type": "bank", "status": "active"}',
                          '{"name": "Two Pens", "type": "broker", "status": "active"}')).fetchone()  # fmt: skip
    assert found == (None,)
    counterparties.remove(ben, made.counterparty_id)


def exposure(small: Small, name: str, **query: str) -> Any:
    return reports.answer(
        small.user("anna"), "counterparty_exposure", Scope.read(small.portfolios[f"{MARK} {name}"], query), small.now
    )


def test_exposure_counts_by_issuer_and_sums_to_what_is_invested(small: Small) -> None:
    for name in ("dollars", "mixed"):
        table = exposure(small, name)
        view = reports.view(small.user("anna"), Scope(small.portfolios[f"{MARK} {name}"]), small.now)
        rows = {r["counterparty"]: r for r in table.records()}
        assert rows["Harbour Bank"]["rating"] == "AA-", "ACME's issuer is called so, in another case"
        acme = next(p for p in view.valuation.positions if p.security.symbol == "ACME")
        assert rows["Harbour Bank"]["value"] == acme.value_base.quantize(Decimal("0.01"))
        assert (rows["Bolt Holding"]["type"], rows["Bolt Holding"]["count"]) == ("", 1), (
            "an issuer that is no counterparty"
        )
        assert list(rows)[-1] == NOBODY
        assert sum(table.column("weight")) == pytest.approx(
            float(view.valuation.invested / view.valuation.total), abs=1e-9
        )
        assert table.total_of("value") == view.valuation.invested.quantize(Decimal("0.01"))
        assert 0 < table.total_of("weight") < 1
    empty = exposure(small, "dollars", as_of="2000-01-03")
    assert empty.rows == ()


def test_trades_that_have_not_settled_count_through_whom_they_went(small: Small) -> None:
    portfolio, day = small.portfolios[f"{MARK} dollars"], bar_days(small.now)[150]
    quay = next(c for c in counterparties.every(small.user("anna")) if c.name == "Quay Clearing")
    with small.database.owner() as c:
        c.execute("ALTER TABLE transactions DISABLE TRIGGER append_only")
        c.execute(
            "UPDATE transactions SET counterparty_id = %s WHERE portfolio_id = %s AND traded_on = %s",
            (quay.counterparty_id, portfolio, day),
        )
        c.execute("ALTER TABLE transactions ENABLE TRIGGER append_only")
    books.forget()
    rows = {r["counterparty"]: r for r in exposure(small, "dollars", as_of=day.isoformat()).records()}
    assert (rows["Quay Clearing"]["unsettled"], rows["Quay Clearing"]["entries"]) == (Decimal("1050.00"), 1)
    assert rows["Quay Clearing"]["value"] == 0
    told = reports.explain(small.user("anna"), "counterparty_exposure", Scope.read(portfolio, {"as_of": day.isoformat()}), "unsettled",
                           list(rows).index("Quay Clearing"), now=small.now)  # fmt: skip
    assert told.recomputed == Decimal("1050.00")
    assert "Quay Clearing" not in [r["counterparty"] for r in exposure(small, "dollars").records()], "settled since"
    with pytest.raises(CounterpartyUsed, match="inactive"):
        counterparties.remove(small.user("ben"), quay.counterparty_id)


def test_a_booking_says_through_whom_it_went_until_it_has_settled(small: Small) -> None:
    """Bought 10 at 100 with 1 of fees, 4 sold at 110 with 1 of fees: 1001 + 439 = 1440 between us and them until the third day."""
    anna, ben = small.client("anna"), small.user("anna")
    portfolio = portfolios.create_portfolio(small.anna, "Unsettled", "USD")
    day, before, settles = bar_days(small.now)[200], bar_days(small.now)[199], bar_days(small.now)[203]
    query = {"portfolio": str(portfolio)}
    trade = {"date": day.isoformat(), "symbol": "ACME", "fees": "1", "settlement": settles.isoformat()}
    bought = {**trade, "kind": "buy", "quantity": "10", "price": "100", "counterparty": " quay  CLEARING "}
    sold = {**trade, "kind": "sell", "quantity": "4", "price": "110", "counterparty": "Quay Clearing"}
    lone = {"date": before.isoformat(), "kind": "deposit", "gross": "5000"}
    wrong = anna.post("/v1/transactions", params=query, json={**bought, "counterparty": "Quay Cleaning"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "counterparty")
    assert "did you mean Quay Clearing" in wrong.json()["detail"]
    made = anna.post("/v1/transactions", params=query, json=[lone, bought, sold])
    assert made.status_code == 201, made.text
    listed = anna.get("/v1/transactions", params=query).json()["transactions"]
    assert [t["counterparty"] for t in listed] == ["Quay Clearing", "Quay Clearing", None]

    def owed(as_of: Any, **more: str) -> Any:
        scope = Scope.read(portfolio, {"as_of": as_of.isoformat(), **more})
        table = reports.answer(ben, "counterparty_exposure", scope, small.now)
        rows = {r["counterparty"]: r for r in table.records()}
        if "Quay Clearing" not in rows:
            return None
        told = reports.explain(
            ben, "counterparty_exposure", scope, "unsettled", list(rows).index("Quay Clearing"), now=small.now
        )
        assert told.recomputed == rows["Quay Clearing"]["unsettled"]
        return rows["Quay Clearing"]["unsettled"], rows["Quay Clearing"]["entries"]

    assert owed(before) is None, "not traded yet"
    assert owed(day) == (Decimal("1440.00"), 2)
    assert owed(bar_days(small.now)[202]) == (Decimal("1440.00"), 2)
    assert owed(settles) is None, "settled"
    first = datetime.now(UTC)
    # a correction keeps it: 10 at 101, 1011 + 439; and what was known before it stays as it was
    number = made.json()["booked"][1]
    changed = anna.patch(f"/v1/transactions/{number}", params=query, json={"price": "101"})
    assert changed.status_code == 200, changed.text
    assert owed(day) == (Decimal("1450.00"), 2)
    assert owed(day, known_at=first.isoformat()) == (Decimal("1440.00"), 2)
    gone = anna.patch(
        f"/v1/transactions/{changed.json()['booked']}", params=query, json={"counterparty": None, "note": None}
    )
    assert gone.status_code == 200, gone.text
    assert owed(day) == (Decimal("439.00"), 1)
    assert anna.delete(f"/v1/transactions/{made.json()['booked'][2]}", params=query).status_code == 200
    assert owed(day) is None, "a reversed entry is owed by nobody"
    with pytest.raises(CounterpartyUsed, match="inactive"):
        counterparties.remove(small.user("ben"), next(c.counterparty_id for c in counterparties.every(ben) if c.name == "Quay Clearing"))  # fmt: skip


def test_what_moved_in_the_base_currency_counts_in_it(small: Small) -> None:
    """10 at 100 USD paid in euros at 0.9: 900 EUR."""
    portfolio, day = portfolios.create_portfolio(small.anna, "Paid in euros", "EUR"), bar_days(small.now)[200]
    raw = (
        "date,kind,symbol,quantity,price,fx,settlement,counterparty\n"
        f"{day},buy,ACME,10,100,0.9,{bar_days(small.now)[202]},Harbour Bank\n"
        f"{day},buy,ACME,1,100,,,\n"
    ).encode()
    assert imports.import_file(small.anna, portfolio, raw, "a.csv", small.now.date(), dry_run=False).booked == 2
    table = reports.answer(small.user("anna"), "counterparty_exposure", Scope.read(portfolio, {"as_of": day.isoformat()}), small.now)  # fmt: skip
    bank = next(r for r in table.records() if r["counterparty"] == "Harbour Bank")
    assert (bank["unsettled"], bank["entries"], bank["count"]) == (Decimal("900.00"), 1, 1)
    wrong = raw.replace(b"Harbour Bank", b"Nobody").replace(b",10,", b",11,")
    found = imports.import_file(small.anna, portfolio, wrong, "b.csv", small.now.date())
    assert [v.outcome for v in found.verdicts] == ["refused", "duplicate"]
    assert "counterparty Nobody: expected one of Harbour Bank, Quay Clearing" in found.verdicts[0].reason


def test_a_ledger_with_counterparties_goes_out_and_in_again_byte_for_byte(small: Small) -> None:
    one, two = (portfolios.create_portfolio(small.anna, name, "USD") for name in ("Out", "In"))
    made = [counterparties.add(small.user("ben"), {"name": name}) for name in ("=SUM(A1)", "Straße, Söhne")]
    day = bar_days(small.now)[200]
    bookings = [Draft("deposit", day, "USD", gross=Decimal(n + 1), counterparty=c.name) for n, c in enumerate(made)]
    ledger.append(small.anna, one, [*bookings, Draft("deposit", day, "USD", gross=Decimal(9))], small.now.date())
    text = exports.export(small.anna, one)
    assert ",'=SUM(A1)," in text, "no spreadsheet makes a formula of a name"
    assert imports.import_file(small.anna, two, text.encode(), "l.csv", small.now.date(), dry_run=False).booked == 3
    assert exports.export(small.anna, two) == text
    assert [r[27] for r in ledger.transactions(small.anna, two)] == [None, "Straße, Söhne", "=SUM(A1)"]


def test_a_file_from_before_there_were_counterparties_still_adds_nothing_twice() -> None:
    """The key of a row without one is what it was: a column more changes no key under which entries were booked."""
    cells = {"date": "2026-01-06", "kind": "buy", "symbol": "ACME", "note": "x"}
    old = tuple(cells.get(n, "") for n in importing.COLUMNS if n != "counterparty")
    assert imports.content_of(Record(2, (2,), cells), "own") == old
    one, same, other = (
        imports.content_of(Record(2, (2,), {**cells, "counterparty": said}), "own")
        for said in ("Quay AG", "QUAY  ag", "Harbour")
    )
    assert old != one == same != other, "names go by their letters, whatever their case"


def test_an_issuer_counts_under_its_counterpartys_name() -> None:
    known = Counterparties((Counterparty(1, "Harbour Bank"),), {7: " harbour bank", 8: "Other  AG", 9: " "})
    assert [known.issuer_of(n) for n in (7, 8, 9, 10)] == ["Harbour Bank", "Other AG", NOBODY, NOBODY]


def test_counterparties_by_the_api(small: Small) -> None:
    ben, vera = small.client("ben"), small.client("vera")
    made = ben.post("/v1/counterparties", json={"name": "Api Bank", "type": "bank", "country": "us"})
    assert made.status_code == 201, made.text
    one = made.json()
    assert one["country"] == "US"
    path = f"/v1/counterparties/{one['counterparty_id']}"
    seen = {k: v for k, v in one.items() if k != "counterparty_id"}
    assert ben.patch(path, json={"rating": "BB", "seen": seen}).json()["rating"] == "BB"
    late = ben.patch(path, json={"rating": "CC", "seen": seen})
    assert (late.status_code, late.json()["type"].rpartition("#")[2]) == (409, "stale-edit")
    assert ben.patch(path, json={"rating": ""}).json()["rating"] is None
    wrong = ben.post("/v1/counterparties", json={"name": "api bank", "country": "XX"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "name")
    assert [e["field"] for e in wrong.json()["errors"]] == ["name", "country"]
    assert vera.get(path).json()["name"] == "Api Bank"
    assert vera.patch(path, json={"rating": "D"}).status_code == 403
    assert vera.delete(path).status_code == 403
    assert ben.delete(path).json()["name"] == "Api Bank"
    assert ben.get(path).status_code == 404
    assert "Api Bank" not in [c["name"] for c in ben.get("/v1/counterparties").json()]
    answer = small.client("anna").get(
        "/v1/reports/counterparty_exposure", params={"portfolio": f"{MARK} dollars", "format": "csv"}
    )
    assert answer.text.startswith("counterparty,type,rating,country,count,value,weight,unsettled,entries,status,")
