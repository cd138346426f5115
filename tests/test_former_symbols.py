"""A symbol on a day: former ones, one that another company got, one that two exchanges list; in bookings, files and statements.

RAMP became RAMPX on the day CHANGE. SWAP was A's until CHANGE and is B's since, which was BEFORE until then. GAP was C's until
CHANGE and is D's only since LATER. SHEL is listed in London and New York.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from small import Small, TestClient, bar_days, installed

from core.ledger import LedgerError, Security
from core.listings import Listings, Symbol
from db import market
from db.market import NewSecurity

ALWAYS = date(1900, 1, 1)


def security(number: int, symbol: str, exchange: str = "XNYS") -> Security:
    return Security(number, symbol, f"{symbol} Inc", exchange, "GBP" if exchange == "XLON" else "USD", "Equity")


# --- core: whom a symbol means ----------------------------------------------------------------------------------

CHANGE, LATER = date(2025, 3, 3), date(2025, 6, 2)
DAY = timedelta(days=1)
EVERY = [security(1, "RAMPX"), security(2, "OLDSWAP"), security(3, "SWAP"), security(4, "CARL"), security(5, "GAP"),
         security(6, "SHEL", "XLON"), security(7, "SHEL", "XNYS"), security(8, "MOVED", "XNAS"), security(9, "ACME")]  # fmt: skip
DATED = [
    Symbol(1, ALWAYS, "RAMP", "XNYS"), Symbol(1, CHANGE, "RAMPX", "XNYS"),
    Symbol(2, ALWAYS, "SWAP", "XNYS"), Symbol(2, CHANGE, "OLDSWAP", "XNYS"),
    Symbol(3, ALWAYS, "BEFORE", "XNYS"), Symbol(3, CHANGE, "SWAP", "XNYS"),
    Symbol(4, ALWAYS, "GAP", "XNYS"), Symbol(4, CHANGE, "CARL", "XNYS"),
    Symbol(5, ALWAYS, "DORA", "XNYS"), Symbol(5, LATER, "GAP", "XNYS"),
    Symbol(8, ALWAYS, "MOVED", "XNYS"), Symbol(8, CHANGE, "MOVED", "XNAS"),
]  # fmt: skip


@pytest.fixture(scope="module")
def listed() -> Listings:
    return Listings(EVERY, DATED)


@pytest.mark.parametrize(
    ("text", "exchange", "on", "number"),
    [
        ("RAMP", "", CHANGE - DAY, 1),  # the last day on which it had it
        ("ramp", "", ALWAYS, 1),
        (" xnys:Ramp ", "", CHANGE - DAY, 1),
        ("RAMP", "xnys", CHANGE - DAY, 1),
        ("RAMPX", "", CHANGE, 1),
        ("RAMPX", "", CHANGE - DAY, 1),  # called as it is now: nobody else ever had it
        ("RAMPX", "", None, 1),
        ("SWAP", "", CHANGE - DAY, 2),  # the company of then, not the one that has the symbol now
        ("SWAP", "", CHANGE, 3),
        ("SWAP", "", None, 3),
        ("BEFORE", "", CHANGE - DAY, 3),
        ("OLDSWAP", "", CHANGE - DAY, 2),
        ("GAP", "", CHANGE - DAY, 4),
        ("GAP", "", LATER, 5),
        ("DORA", "", LATER - DAY, 5),
        ("MOVED", "XNYS", CHANGE - DAY, 8),  # it changed its exchange, not its symbol
        ("MOVED", "XNAS", CHANGE, 8),
        ("MOVED", "XNAS", CHANGE - DAY, 8),
        ("MOVED", "", CHANGE - DAY, 8),
        ("XLON:SHEL", "", CHANGE, 6),
        ("SHEL", "XNYS", CHANGE, 7),
        ("ID:7", "", CHANGE, 7),
        ("ACME", "", ALWAYS, 9),
    ],
)
def test_a_symbol_means_what_had_it_on_the_day(
    listed: Listings, text: str, exchange: str, on: date | None, number: int
) -> None:
    assert listed.find(text, exchange, on).security_id == number


@pytest.mark.parametrize(
    ("text", "exchange", "on", "words"),
    [
        ("RAMP", "", CHANGE, "nobody had it on 2025-03-03: XNYS:RAMPX is what was RAMP until 2025-03-03"),
        ("RAMP", "", None, "nobody has it now: XNYS:RAMPX is what was RAMP until 2025-03-03"),
        ("GAP", "", LATER - DAY, "nobody had it on 2025-06-01: XNYS:CARL is what was GAP until 2025-03-03, and XNYS:GAP has it now"),
        ("BEFORE", "", CHANGE, "nobody had it on 2025-03-03: XNYS:SWAP is what was BEFORE until 2025-03-03"),
        ("MOVED", "XNYS", CHANGE, "nobody had it on 2025-03-03: XNAS:MOVED is what was MOVED until 2025-03-03"),
        ("SHEL", "", CHANGE, "two exchanges list SHEL: XLON, XNYS; give exchange"),
        ("shel", "", None, "two exchanges list SHEL: XLON, XNYS; give exchange"),
        ("SHEL", "XPAR", CHANGE, "no such security on XPAR"),
        ("NONE", "", CHANGE, "no such security; add it"),
        ("ID:99", "", CHANGE, "no security of this number"),
    ],
)  # fmt: skip
def test_what_means_nothing_or_several_says_so(
    listed: Listings, text: str, exchange: str, on: date | None, words: str
) -> None:
    with pytest.raises(LedgerError) as refused:
        listed.find(text, exchange, on)
    assert refused.value.field == "symbol"
    assert words in refused.value.expected


def test_what_it_becomes_is_asked_for_with_its_exchange(listed: Listings) -> None:
    with pytest.raises(LedgerError, match="two exchanges list SHEL: XLON, XNYS; give it as XLON:SHEL") as refused:
        listed.find("SHEL", "", CHANGE, "into")
    assert refused.value.field == "into"


# --- the product ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        days = bar_days(made.now)
        change, later = days[100], days[160]
        with made.database.jobs() as c:
            numbers = market.add_securities(
                c,
                [
                    NewSecurity(s, f"{s} Inc", "XNYS", "USD", "Equity")
                    for s in ("RAMP", "SWAP", "BEFORE", "GAP", "DORA")
                ],
            )
            london = market.add_securities(c, [NewSecurity("SHEL", "Shell plc", "XLON", "GBP", "Equity")])["SHEL"]
            york = market.add_securities(c, [NewSecurity("SHEL", "Shell plc", "XNYS", "USD", "Equity")])["SHEL"]
        with made.database.owner() as c:
            c.execute("UPDATE securities SET isin = 'US5949181045' WHERE security_id = %s", (numbers["RAMP"],))
            for was, now, on in (
                ("RAMP", "RAMPX", change),
                ("SWAP", "OLDSWAP", change),
                ("BEFORE", "SWAP", change),
                ("GAP", "CARL", change),
                ("DORA", "GAP", later),
            ):
                c.execute("UPDATE securities SET symbol = %s WHERE security_id = %s", (now, numbers[was]))
                c.execute(
                    "INSERT INTO security_symbols (security_id, valid_from, symbol, exchange) VALUES (%s, %s, %s, 'XNYS')",
                    (numbers[was], on, now),
                )
            c.execute("UPDATE data_versions SET version = version + 1 WHERE name = 'securities'")
        made.securities |= numbers | {"SHEL:XLON": london, "SHEL:XNYS": york}
        yield made


@pytest.fixture
def client(small: Small) -> TestClient:
    return small.client("anna")


@pytest.fixture
def portfolio(client: TestClient) -> str:
    name = f"former {uuid4().hex[:6]}"
    number: str = client.post("/v1/portfolios", json={"name": name, "base_currency": "USD"}).json()["portfolio_id"]
    return number


def buy(small: Small, day: int, symbol: str, **more: str) -> dict[str, str]:
    return {
        "date": str(bar_days(small.now)[day]),
        "kind": "buy",
        "symbol": symbol,
        "quantity": "1",
        "price": "5",
        **more,
    }


def booked_as(small: Small, portfolio: str) -> list[int]:
    """The securities of a ledger's entries, in the order booked."""
    with small.database.owner() as c:
        rows = c.execute(
            "SELECT security_id FROM transactions WHERE portfolio_id = %s AND kind <> 'reversal' ORDER BY seq",
            (portfolio,),
        ).fetchall()
    return [r[0] for r in rows]


def test_a_booking_in_a_former_symbol_finds_its_security_and_says_what_it_is_now(
    client: TestClient, small: Small, portfolio: str
) -> None:
    to, on = {"portfolio": portfolio}, bar_days(small.now)[99]
    for symbol in ("RAMP", "ramp", "XNYS:RAMP"):
        preview = client.post("/v1/transactions/preview", params=to, json=buy(small, 99, symbol))
        assert preview.status_code == 200, preview.text
        assert preview.json()["postings"][0]["symbol"] == "RAMPX"
        done = client.post("/v1/transactions", params=to, json=buy(small, 99, symbol))
        assert done.status_code == 201, done.text
        assert done.json()["notes"] == preview.json()["notes"] == [f"RAMP of {on} is XNYS:RAMPX now"]
    assert booked_as(small, portfolio) == [small.securities["RAMP"]] * 3
    now = client.post("/v1/transactions", params=to, json=buy(small, 99, "RAMPX"))
    assert now.json()["notes"] == []


def test_a_symbol_that_another_company_got_is_the_one_of_the_day(
    client: TestClient, small: Small, portfolio: str
) -> None:
    to = {"portfolio": portfolio}
    for day in (99, 100):
        assert client.post("/v1/transactions", params=to, json=buy(small, day, "SWAP")).status_code == 201
    assert booked_as(small, portfolio) == [small.securities["SWAP"], small.securities["BEFORE"]]


def test_a_day_on_which_nobody_had_it_is_refused_with_both(client: TestClient, small: Small, portfolio: str) -> None:
    days = bar_days(small.now)
    answer = client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 120, "GAP"))
    assert (answer.status_code, answer.json()["field"], answer.json()["value"]) == (422, "symbol", "GAP")
    assert f"nobody had it on {days[120]}: XNYS:CARL is what was GAP until {days[100]}" in answer.json()["expected"]
    answer = client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 120, "RAMP"))
    assert "XNYS:RAMPX is what was RAMP" in answer.json()["expected"]


def test_a_correction_stays_with_its_security(client: TestClient, small: Small, portfolio: str) -> None:
    """BEFORE's entry of before the change is called SWAP now, which was another company's symbol on that day."""
    to = {"portfolio": portfolio}
    number = client.post("/v1/transactions", params=to, json=buy(small, 99, "BEFORE")).json()["booked"][0]
    patched = client.patch(f"/v1/transactions/{number}", params=to, json={"price": "6"})
    assert patched.status_code == 200, patched.text
    put = client.put(f"/v1/transactions/{patched.json()['booked']}", params=to, json=buy(small, 99, "SWAP", price="7"))
    assert put.status_code == 200, put.text
    other = client.patch(f"/v1/transactions/{put.json()['booked']}", params=to, json={"symbol": "RAMP"})
    assert other.json()["notes"] == [f"RAMP of {bar_days(small.now)[99]} is XNYS:RAMPX now"]
    assert booked_as(small, portfolio) == [small.securities[s] for s in ("BEFORE", "BEFORE", "BEFORE", "RAMP")]


def test_two_exchanges_that_list_a_symbol_are_named(client: TestClient, small: Small, portfolio: str) -> None:
    to = {"portfolio": portfolio}
    for path in ("/v1/transactions", "/v1/transactions/preview"):
        answer = client.post(path, params=to, json=buy(small, 99, "shel"))
        assert (answer.status_code, answer.json()["field"], answer.json()["value"]) == (422, "symbol", "SHEL")
        assert answer.json()["expected"] == "two exchanges list SHEL: XLON, XNYS; give exchange"
    done = client.post("/v1/transactions", params=to, json=buy(small, 99, "shel", exchange="xnys"))
    assert (done.status_code, done.json()["notes"]) == (201, [])
    other = client.post("/v1/portfolios", json={"name": f"o {uuid4().hex[:6]}", "base_currency": "USD"}).json()[
        "portfolio_id"
    ]
    sent = {"date": str(bar_days(small.now)[120]), "to": other, "symbol": "SHEL", "quantity": "1"}
    assert (
        client.post("/v1/transactions/transfer", params=to, json=sent).json()["expected"]
        == "two exchanges list SHEL: XLON, XNYS; give exchange"
    )
    assert booked_as(small, portfolio) == [small.securities["SHEL:XNYS"]]


def read(client: TestClient, portfolio: str, rows: list[dict[str, str]], **how: str) -> Any:
    names = list(dict.fromkeys(name for r in rows for name in r))
    text = "\r\n".join([",".join(names), *(",".join(r.get(n, "") for n in names) for r in rows)]) + "\r\n"
    answer = client.post(
        "/v1/transactions/import",
        params={"portfolio": portfolio, **how},
        content=text,
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_file_finds_former_symbols_and_proposes_no_second_security(
    client: TestClient, small: Small, portfolio: str
) -> None:
    rows = [
        buy(small, 99, "ramp"),
        buy(small, 101, "RAMPX", price="6"),
        buy(small, 99, "SWAP"),
        buy(small, 101, "SWAP", price="6"),
        buy(small, 99, "BEFORE", price="7"),
    ]
    dry = read(client, portfolio, rows)
    assert dry["unknown_securities"] == []
    assert [(v["outcome"], v["symbol"], v["reason"]) for v in dry["verdicts"]] == [
        ("book", "RAMPX", "RAMP is XNYS:RAMPX now"),
        ("book", "RAMPX", ""),
        ("book", "OLDSWAP", "SWAP is XNYS:OLDSWAP now"),
        ("book", "SWAP", ""),
        ("book", "SWAP", "BEFORE is XNYS:SWAP now"),
    ]
    assert read(client, portfolio, rows, dry_run="false")["booked"] == 5
    assert booked_as(small, portfolio) == [small.securities[s] for s in ("RAMP", "RAMP", "SWAP", "BEFORE", "BEFORE")]


def test_a_file_with_a_symbol_that_nobody_had_then_offers_who_had_it(
    client: TestClient, small: Small, portfolio: str
) -> None:
    dry = read(client, portfolio, [buy(small, 99, "RAMP"), buy(small, 120, "RAMP", price="6")])
    assert [v["outcome"] for v in dry["verdicts"]] == ["book", "refused"]
    assert (
        f"nobody had it on {bar_days(small.now)[120]}: until {bar_days(small.now)[100]} it was what is XNYS:RAMPX now"
        in dry["verdicts"][1]["reason"]
    )
    (unknown,) = dry["unknown_securities"]
    assert (unknown["rows"], unknown["candidates"][0]["symbol"]) == (1, "RAMPX")


def test_a_choice_for_the_rows_of_another_time_leaves_the_others(
    client: TestClient, small: Small, portfolio: str
) -> None:
    rows = [buy(small, 99, "GAP"), buy(small, 120, "GAP", price="6")]
    (unknown,) = read(client, portfolio, rows)["unknown_securities"]
    matches = f'{{"{unknown["key"]}": {small.securities["DORA"]}}}'
    read(client, portfolio, rows, dry_run="false", matches=matches)
    assert booked_as(small, portfolio) == [small.securities["GAP"], small.securities["DORA"]]


def test_a_file_with_a_symbol_of_two_exchanges_names_them(client: TestClient, small: Small, portfolio: str) -> None:
    dry = read(client, portfolio, [buy(small, 99, "SHEL"), buy(small, 99, "SHEL", exchange="XLON", price="6")])
    assert [v["outcome"] for v in dry["verdicts"]] == ["refused", "book"]
    assert "two exchanges list SHEL: XLON, XNYS; give exchange" in dry["verdicts"][0]["reason"]
    (unknown,) = dry["unknown_securities"]
    assert {(c["symbol"], c["exchange"]) for c in unknown["candidates"]} == {("SHEL", "XLON"), ("SHEL", "XNYS")}


def test_an_exported_ledger_of_one_who_is_called_as_another_was_comes_back_as_it_was(
    client: TestClient, small: Small, portfolio: str
) -> None:
    client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 99, "BEFORE"))
    text = client.get("/v1/transactions/export", params={"portfolio": portfolio}).text
    other = client.post("/v1/portfolios", json={"name": f"o {uuid4().hex[:6]}", "base_currency": "USD"}).json()[
        "portfolio_id"
    ]
    done = client.post(
        "/v1/transactions/import",
        params={"portfolio": other, "dry_run": "false"},
        content=text,
        headers={"Content-Type": "text/csv"},
    )
    assert done.json()["booked"] == 1, done.text
    assert booked_as(small, other) == [small.securities["BEFORE"]]


def reconciled(client: TestClient, small: Small, portfolio: str, day: int, text: str) -> Any:
    return client.post(f"/v1/portfolios/{portfolio}/reconciliations", params={"custodian": "Quay", "on": str(bar_days(small.now)[day])},
                       content=text, headers={"Content-Type": "text/csv"})  # fmt: skip


def test_a_statement_is_read_with_the_symbols_of_its_day(client: TestClient, small: Small, portfolio: str) -> None:
    client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 80, "RAMP"))
    client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 80, "SWAP"))
    answer = reconciled(client, small, portfolio, 95, "symbol,quantity\r\nramp,1\r\nSWAP,1\r\n")
    assert answer.status_code == 200, answer.text
    rows = {r["symbol"]: r["verdict"] for r in answer.json()["rows"] if r["kind"] == "position"}
    assert rows == {"RAMPX": "matched", "OLDSWAP": "matched"}
    on = bar_days(small.now)[95]
    assert {f"RAMP of {on} is XNYS:RAMPX now.", f"SWAP of {on} is XNYS:OLDSWAP now."} <= set(answer.json()["notes"])


def test_a_statement_does_not_guess_between_exchanges(client: TestClient, small: Small, portfolio: str) -> None:
    answer = reconciled(client, small, portfolio, 95, "symbol,quantity\r\nACME,1\r\nSHEL,1\r\n")
    assert (answer.status_code, answer.json()["field"], answer.json()["value"]) == (422, "symbol", "SHEL")
    assert answer.json()["expected"] == "line 3: two exchanges list SHEL: XLON, XNYS; give exchange"
    client.post("/v1/transactions", params={"portfolio": portfolio}, json=buy(small, 80, "SHEL", exchange="XLON"))
    held = reconciled(client, small, portfolio, 95, "symbol,quantity\r\nSHEL,1\r\n")  # the one that is held is meant
    assert [r["verdict"] for r in held.json()["rows"] if r["kind"] == "position"] == ["matched"], held.text
    named = reconciled(client, small, portfolio, 95, "symbol,quantity,currency\r\nSHEL,1,USD\r\n")
    assert {r["verdict"] for r in named.json()["rows"] if r["kind"] == "position"} == {"missing", "extra"}


def verdicts(client: TestClient, rows: str) -> Any:
    answer = client.post(
        "/v1/securities/import",
        content=f"symbol,exchange,asset_class,isin\r\n{rows}\r\n",
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["verdicts"]


def test_a_file_of_securities_makes_no_second_one_of_a_former_symbol(client: TestClient, small: Small) -> None:
    (one,) = verdicts(client, "RAMP,,Equity,")
    assert (one["outcome"], one["faults"][0]["class"]) == ("refused", "DuplicateSymbol")
    assert f"XNYS:RAMPX is what was RAMP until {bar_days(small.now)[100]}" in one["faults"][0]["expected"]
    (one,) = verdicts(client, "RAMP,XNYS,Equity,US5949181045")
    assert (one["outcome"], one["faults"][0]["class"]) == ("refused", "DuplicateSymbol")
    assert "by its ISIN it is XNYS:RAMPX" in one["faults"][0]["expected"]
    (one,) = verdicts(client, "RAMP,XNYS,Equity,")  # another company may have it
    assert (one["outcome"], "XNYS:RAMP was XNYS:RAMPX until" in one["note"]) == ("add", True)
    (one,) = verdicts(client, "SHEL,,Equity,")
    assert one["faults"][0]["expected"] == "two exchanges list SHEL: XLON, XNYS; give exchange"


def test_a_look_up_by_a_former_symbol_leads_to_its_security(client: TestClient, small: Small) -> None:
    for text in ("RAMP", "ramp", "XNYS:RAMP"):
        found = client.get(f"/v1/securities/{text}").json()
        assert (found["security_id"], found["symbol"], found["former"]) == (small.securities["RAMP"], "RAMPX", True)
    assert client.get("/v1/securities/SHEL").status_code == 404
    assert "XLON:SHEL, XNYS:SHEL" in client.get("/v1/securities/SHEL").json()["detail"]
