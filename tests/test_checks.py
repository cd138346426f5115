"""Every CHECK of the database has its twin in core, which refuses first and says field, value and what would be right.

A new CHECK fails the first test until it has a line: in TWINS with an input that breaks it, or in NOBODYS with why no person's
input reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from small import Small, bar_days, installed

from core import portfolio_fields
from core.counterparties import Counterparty
from core.counterparties import checked as checked_counterparty
from core.ledger import Draft, Security, post
from core.master import Known
from core.master import checked as checked_security
from core.matching import Named
from core.notices import checked_events, checked_scope, checked_target
from core.people import checked_access, checked_role, checked_username
from core.profiles import question
from core.recognition import checked_map_name
from core.reconciliation import checked_basis, checked_custodian, checked_decision
from core.risk_free import rate_of
from core.upkeep import checked_job

DAY, TODAY = date(2026, 1, 5), date(2026, 1, 9)
ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
OTHER = Security(2, "OTHER", "Other", "XNYS", "USD", "Equity")
KNOWN = Known(
    {"XNYS": "USD", "XOFF": "EUR"}, frozenset({"USD", "EUR"}), {"US": "United States"}, {"Equity": True, "Fixed Income": True},
    {("Energy", "", ""): 1}, {}, TODAY,
)  # fmt: skip


def booked(kind: str, **fields: Any) -> Callable[[], Any]:
    """Booking this on a Monday in a portfolio in dollars."""
    number = {n: Decimal(v) if isinstance(v, str) and n not in ("currency", "note") else v for n, v in fields.items()}
    return lambda: post(Draft(kind, DAY, **{"currency": "USD", **number}), "USD", number.get("settles_on", DAY), TODAY)


def security(**cells: Any) -> Callable[[], Any]:
    """Adding a security with these fields; the first fault is raised."""

    def tried() -> Any:
        made, faults = checked_security({"symbol": "NEW", "asset_class": "Equity", **cells}, KNOWN)
        if faults:
            raise faults[0]
        return made

    return tried


def counterparty(**cells: Any) -> Callable[[], Any]:
    """Adding a counterparty with these fields; the first fault is raised."""

    def tried() -> Any:
        made, faults = checked_counterparty({"name": "Harbour Bank", **cells}, [Counterparty(1, "Quay")], ["US"])
        if faults:
            raise faults[0]
        return made

    return tried


# constraint → (an input that breaks it, the field that is named, the value that is shown, a part of what would be right)
TWINS: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "transactions_quantity_check": (booked("deposit", gross="10", quantity="-3"), "quantity", "-3", "leave it empty"),
    "transactions_price_check": (booked("interest", gross="10", price="-3"), "price", "-3", "leave it empty"),
    "transactions_ratio_new_check": (booked("split", security=ACME, ratio="-2"), "ratio", "-2", "new units for old ones"),
    "risk_free_rates_rate_check": (lambda: rate_of("400%", "line 2, rate"), "line 2, rate", "400%", "4.25% or 0.0425"),
    "transactions_fees_check": (booked("deposit", gross="10", fees="-1"), "fees", "-1", "a positive amount"),
    "transactions_fx_check": (booked("deposit", gross="10", currency="EUR", fx="0"), "fx", "0", "a positive rate"),
    "transactions_fraction_check": (booked("spin_off", security=ACME, into=OTHER, ratio="1", fraction="1.5"), "fraction", "1.5", "from 0 to 1"),
    "transactions_basis_check": (booked("transfer_in", security=ACME, quantity="1", price="5", basis="-1"), "basis", "-1", "may not be negative"),
    "transactions_basis_base_check": (booked("transfer_in", security=ACME, quantity="1", price="5", basis_base="-1"), "basis_base", "-1", "may not be negative"),
    "transactions_check": (booked("deposit", gross="10", settles_on=date(2026, 1, 2)), "settlement", "2026-01-02", "2026-01-05"),
    "transactions_kind_check": (booked("gift", gross="10"), "kind", "gift", "expected one of buy, sell"),
    "transactions_check1": (booked("reversal"), "kind", "reversal", "expected one of buy, sell"),
    "securities_symbol_check": (security(symbol="X" * 33), "symbol", "X" * 33, "1 to 32 letters"),
    "security_symbols_symbol_check": (security(symbol="A B"), "symbol", "A B", "without spaces"),
    "securities_isin_check": (security(isin="US0378331004"), "isin", "US0378331004", "check digit"),
    "securities_name_check": (security(name="x" * 201), "name", "x" * 80, "up to 200"),
    "securities_check": (security(asset_class="Fixed Income", issued_on="2020-01-02", matures_on="2020-01-01"), "matures_on", "2020-01-01", "a day after the issue, 2020-01-02"),
    "securities_par_value_check": (security(asset_class="Fixed Income", par_value="0"), "par_value", "0", "above zero"),
    "securities_dividend_frequency_check": (security(dividend_frequency="weekly"), "dividend_frequency", "weekly", "monthly"),
    "asset_prices_price_check": (security(price="0"), "price", "0", "above zero"),
    "price_history_close_check": (security(price="-1"), "price", "-1", "above zero"),
    "corporate_actions_check": (security(dividend="1", dividend_frequency="annual", dividend_ex_on="2026-01-05", dividend_pay_on="2026-01-02"), "dividend_pay_on", "2026-01-02", "not before the ex date, 2026-01-05"),
    "counterparties_name_check": (counterparty(name="x" * 121), "name", "x" * 80, "1 to 120"),
    "counterparties_rating_check": (counterparty(rating="A" * 21), "rating", "A" * 21, "up to 20"),
    "counterparties_type_check": (counterparty(type="friend"), "type", "friend", "broker"),
    "counterparties_status_check": (counterparty(status="gone"), "status", "gone", "active"),
    "portfolios_name_check": (lambda: portfolio_fields.checked_name("  "), "name", "  ", "1 to 80"),
    "portfolios_goal_value_check": (lambda: portfolio_fields.checked_goal(Decimal(0)), "goal_value", "0", "above zero"),
    "cost_methods_method_check": (lambda: portfolio_fields.checked_method("best"), "method", "best", "fifo"),
    "grants_access_check": (lambda: checked_access("all"), "access", "all", "read, write, manage"),
    "users_role_check": (lambda: checked_role("owner"), "role", "owner", "viewer, analyst, admin"),
    "users_username_check": (lambda: checked_username("x" * 65), "username", "x" * 65, "2 to 64"),
    "import_maps_name_check": (lambda: checked_map_name("x" * 81), "name", "x" * 81, "1 to 80"),
    "lookups_asked_check": (lambda: question(" "), "text", "", "1 to 80"),
    "notice_channels_kind_check": (lambda: checked_target("pigeon", "roof", False), "kind", "pigeon", "mail or webhook"),
    "notice_channels_target_check": (lambda: checked_target("mail", "a@", False), "target", "a@", "a mail address"),
    "notice_channels_events_check": (lambda: checked_events([]), "events", "", "at least one of completed"),
    "notice_channels_scope_check": (lambda: checked_scope("some"), "scope", "some", "mine or all"),
    "reconciliations_basis_check": (lambda: checked_basis("today"), "basis", "today", "settlement or trade"),
    "reconciliations_custodian_check": (lambda: checked_custodian(""), "custodian", "", "1 to 80"),
    "reconciliation_signoffs_decision_check": (lambda: checked_decision("maybe"), "decision", "maybe", "accepted, open, fixed"),
    "upkeep_asked_job_check": (lambda: checked_job("sleep"), "job", "sleep", "reclassify"),
}  # fmt: skip

# constraint → why no person's input can break it
FEEDS = "written by the scheduled process out of what a feed gave, which is checked there"
PROGRAM = "a word that the program alone writes"
STAMPS = "the program writes both columns at once"
INSTALLED = "written by migrations and the set-up alone"
NOBODYS: dict[str, str] = {
    "actions_asked_check": PROGRAM,
    "actions_asked_check1": STAMPS,
    "asset_prices_previous_close_check": FEEDS,
    "asset_prices_session_check": PROGRAM,
    "audit_log_action_check": PROGRAM,
    "audit_log_seq_check": PROGRAM,
    "corporate_actions_kind_check": PROGRAM,
    "corporate_actions_ratio_new_check": FEEDS,
    "corporate_actions_ratio_old_check": FEEDS,
    "corporate_actions_ratio_whole": "a ratio is one Fraction: both of its numbers or none",
    "countries_country_check": INSTALLED,
    "currencies_currency_check": INSTALLED,
    "currencies_minor_units_check": INSTALLED,
    "feed_troubles_what_check": PROGRAM,
    "fx_rates_rate_check": FEEDS,
    "gap_scans_one_check": PROGRAM,
    "job_runs_status_check": PROGRAM,
    "limits_severity_check": INSTALLED,
    "lookups_check": STAMPS,
    "lookups_state_check": PROGRAM,
    "notice_channels_check": STAMPS,
    "notices_check": STAMPS,
    "notices_check1": STAMPS,
    "notices_event_check": PROGRAM,
    "notices_status_check": PROGRAM,
    "portfolio_snapshots_coverage_check": "a share that core.valuation computes",
    "price_gaps_check": PROGRAM,
    "price_gaps_check1": PROGRAM,
    "price_gaps_sessions_check": PROGRAM,
    "price_history_high_check": FEEDS,
    "price_history_low_check": FEEDS,
    "price_history_open_check": FEEDS,
    "price_history_provider_adjusted_check": FEEDS,
    "price_history_volume_check": FEEDS,
    "proposals_check": STAMPS,
    "proposals_kind_check": PROGRAM,
    "proposals_status_check": PROGRAM,
    "securities_status_check": PROGRAM,
    "security_matches_called_check": "core.matching.Named.key is cut to 200 characters, and empty for nothing that is kept",
    "task_steps_status_check": PROGRAM,
    "tasks_check": STAMPS,
    "tasks_check1": "decide_task refuses before, in words: four eyes",
    "tasks_kind_check": PROGRAM,
    "tasks_status_check": PROGRAM,
    "trading_sessions_check": FEEDS,
    "transactions_cash_currency_check": "the portfolio's currency or the entry's, each one of the table of currencies",
    "transactions_ratio_old_check": "the denominator of a Fraction is above zero",
    "transactions_ratio_whole": "a ratio is one Fraction: both of its numbers or none",
    "transactions_currency_check": "core.importing.drafted and db.transfers ask the table of currencies",
}


def test_every_check_has_a_line(owner: psycopg.Connection[Any]) -> None:
    there = {
        r[0]
        for r in owner.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        ).fetchall()
    }
    assert there - TWINS.keys() - NOBODYS.keys() == set(), "give it a line in TWINS, or in NOBODYS with the reason"
    assert (TWINS.keys() | NOBODYS.keys()) - there == set(), "there is no such constraint any more"
    assert TWINS.keys() & NOBODYS.keys() == set()


@pytest.mark.parametrize("constraint", TWINS)
def test_the_twin_refuses_first(constraint: str) -> None:
    tried, field, value, right = TWINS[constraint]
    with pytest.raises(ValueError) as refused:
        tried()
    error: Any = refused.value
    assert error.field == field
    assert ("" if error.value is None else str(error.value)) == value
    assert right in error.expected


def test_what_a_file_calls_a_security_fits_its_column() -> None:
    assert len(Named(symbol="X" * 500, currency="USD").key) == 200


# --- the ledger: preview, dry run and booking say the same ------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


@pytest.fixture
def portfolio(small: Small) -> str:
    """A fresh portfolio of Anna's in US dollars with a deposit of 1,000,000 in it."""
    name = f"checks {uuid4().hex[:6]}"
    client = small.client("anna")
    number: str = client.post("/v1/portfolios", json={"name": name, "base_currency": "USD"}).json()["portfolio_id"]
    paid = {"date": str(bar_days(small.now)[3]), "kind": "deposit", "gross": "1000000"}
    assert client.post("/v1/transactions", params={"portfolio": number}, json=paid).status_code == 201
    return number


CASH_KINDS = ("deposit", "withdrawal", "interest", "fee", "tax", "fx_in", "fx_out", "transfer_in", "transfer_out")
ROWS: list[tuple[dict[str, str], str]] = [
    *(({"kind": kind, "gross": "10", "quantity": "-1"}, "quantity") for kind in CASH_KINDS),
    *(({"kind": kind, "gross": "10", "price": "-0.01"}, "price") for kind in CASH_KINDS),
    ({"kind": "dividend", "symbol": "ACME", "gross": "10", "quantity": "-1"}, "quantity"),
    ({"kind": "dividend", "symbol": "ACME", "gross": "10", "price": "-1"}, "price"),
    ({"kind": "return_of_capital", "symbol": "ACME", "gross": "10", "price": "-1"}, "price"),
    ({"kind": "merger", "symbol": "ACME", "gross": "10", "price": "-1"}, "price"),
    ({"kind": "split", "symbol": "ACME", "ratio": "2", "price": "-1"}, "price"),
    ({"kind": "buy", "symbol": "ACME", "quantity": "0", "price": "1"}, "quantity"),
    ({"kind": "buy", "symbol": "ACME", "quantity": "-1", "price": "1"}, "quantity"),
    ({"kind": "buy", "symbol": "ACME", "quantity": "1", "price": "-1"}, "price"),
    # fits each column by itself, and not the product: 10^17 × 10^17
    ({"kind": "buy", "symbol": "ACME", "quantity": "1" + "0" * 17, "price": "1" + "0" * 17}, "gross"),
    ({"kind": "deposit", "gross": "1" + "0" * 21, "currency": "EUR", "fx": "1" + "0" * 10}, "fx"),
    ({"kind": "buy", "symbol": "ACME", "quantity": "1", "price": "1", "date": "9999-12-31"}, "date"),  # no settlement after it
    ({"kind": "buy", "symbol": "ACME", "quantity": "1", "price": "1", "date": "0001-01-01"}, "date"),
    ({"kind": "deposit", "gross": "9" * 22, "fees": "0"}, ""),  # the most that fits, and is booked
]  # fmt: skip


@pytest.mark.parametrize(("row", "field"), ROWS, ids=lambda x: "-".join(x.values())[:40] if isinstance(x, dict) else x)
def test_preview_dry_run_and_booking_agree(small: Small, portfolio: str, row: dict[str, str], field: str) -> None:
    client, to = small.client("anna"), {"portfolio": portfolio}
    sent = {"date": str(bar_days(small.now)[50]), **row}
    preview = client.post("/v1/transactions/preview", params=to, json=sent)
    text = ",".join(sent) + "\r\n" + ",".join(sent.values()) + "\r\n"
    dry = client.post("/v1/transactions/import", params=to, content=text, headers={"Content-Type": "text/csv"}).json()
    booking = client.post("/v1/transactions", params=to, json=sent)
    if not field:
        assert (preview.status_code, dry["verdicts"][0]["outcome"], booking.status_code) == (200, "book", 201)
        return
    for answer in (preview, booking):
        assert answer.status_code == 422, answer.text
        said = answer.json()
        assert said["field"] == field
        assert said["expected"]
        if field in row and field != "date":
            assert Decimal(said["value"]) == Decimal(row[field])
    assert dry["verdicts"][0]["outcome"] == "refused"
    assert dry["verdicts"][0]["reason"].startswith(f"{field} ")


@pytest.mark.parametrize("kind", [*CASH_KINDS, "dividend"])
def test_a_quantity_of_nothing_is_none(small: Small, portfolio: str, kind: str) -> None:
    """Exports fill every column: 0 units at 0 say that the row has neither."""
    client, to = small.client("anna"), {"portfolio": portfolio}
    row = {"date": str(bar_days(small.now)[51]), "kind": kind, "gross": "12.5", "quantity": "0", "price": "0.00"}
    if kind == "dividend":
        row["symbol"] = "ACME"
    if kind in ("fx_in", "fx_out"):
        row["currency"] = "EUR"
    preview = client.post("/v1/transactions/preview", params=to, json=row)
    assert preview.status_code == 200, preview.text
    assert preview.json()["postings"][0]["quantity"] is None
    text = ",".join(row) + "\r\n" + ",".join(row.values()) + "\r\n"
    done = client.post(
        "/v1/transactions/import", params={**to, "dry_run": "false"}, content=text, headers={"Content-Type": "text/csv"}
    )
    assert done.json()["booked"] == 1, done.text
    there = client.get("/v1/transactions", params=to).json()["transactions"]
    (entry,) = [t for t in there if t["kind"] == kind and t["gross"] == "12.500000"]
    assert (entry["quantity"], entry["price"]) == (None, None)


def test_an_amount_may_not_hide_behind_a_quantity_of_nothing(small: Small, portfolio: str) -> None:
    row = {"date": str(bar_days(small.now)[51]), "kind": "deposit", "quantity": "0", "price": "5"}
    answer = small.client("anna").post("/v1/transactions", params={"portfolio": portfolio}, json=row)
    assert (answer.status_code, answer.json()["field"]) == (422, "gross")


def test_a_whole_ledger_with_wrong_rows_is_refused_row_by_row(small: Small, portfolio: str) -> None:
    """What is restored goes around the form: its numbers, days and keys are asked all the same."""
    on = str(bar_days(small.now)[60])
    ids = [str(uuid4()) for _ in range(6)]
    header = "date,kind,symbol,exchange,quantity,price,gross,currency,settlement,id,reverses,key"
    rows = [
        f"{on},deposit,,,,,10,USD,{on},{ids[0]},,",
        f"{on},reversal,,,,,,USD,2020-01-01,{ids[1]},{ids[0]},",  # settles before it is traded
        f"{on},buy,ACME,XNYS,1,1{'0' * 18},5,USD,{on},{ids[2]},,",  # a price of 19 digits
        f"{on},deposit,,,,,11,USD,{on},{ids[3]},,{'k' * 3000}",  # no index holds this key
        f"{on},reversal,,,,,,USD,{on},{ids[4]},{ids[0]},",
        f"{on},reversal,,,,,,USD,{on},{ids[5]},{ids[0]},",  # the second reversal of one entry
    ]
    text = "\r\n".join((header, *rows)) + "\r\n"
    client, to = small.client("anna"), {"portfolio": portfolio}
    asked = {"content": text, "headers": {"Content-Type": "text/csv"}}
    dry = client.post("/v1/transactions/import", params=to, **asked).json()
    said = [(v["outcome"], v["reason"].partition(" ")[0]) for v in dry["verdicts"]]
    assert said == [
        ("book", ""),
        ("refused", "settlement"),
        ("refused", "price"),
        ("refused", "key"),
        ("book", ""),
        ("refused", "reverses"),
    ]
    done = client.post("/v1/transactions/import", params={**to, "dry_run": "false", "take_good": "true"}, **asked)
    assert (done.status_code, done.json()["booked"]) == (200, 2), done.text


def test_nobody_decides_about_their_own_task_and_is_told_so(small: Small) -> None:
    client = small.client("anna")
    assert client.put("/v1/policy", json={"four_eyes": ["add"]}).status_code == 200
    try:
        body = {"symbol": f"EYES{uuid4().hex[:4]}", "exchange": "XNYS", "asset_class": "Equity"}
        task = client.post("/v1/securities", json=body).json()["task_id"]
        answer = client.post(f"/v1/securities/tasks/{task}/approve")
        assert answer.status_code == 403
        assert "somebody else must decide" in answer.json()["detail"]
    finally:
        client.put("/v1/policy", json={"four_eyes": []})


def test_settings_of_a_portfolio_name_their_field(small: Small, portfolio: str) -> None:
    client = small.client("anna")
    for body, field in (
        ({"name": " ", "base_currency": "USD"}, "name"),
        ({"name": "x", "base_currency": "XXX"}, "base_currency"),
    ):
        answer = client.post("/v1/portfolios", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    version = client.get(f"/v1/portfolios/{portfolio}").json()["version"]
    for change, field in (
        ({"goal_value": "0"}, "goal_value"),
        ({"goal_on": "0001-01-01"}, "goal_on"),
        ({"name": "\n"}, "name"),
    ):
        answer = client.put(f"/v1/portfolios/{portfolio}", json={"version": version, **change})
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
