"""Ratios as two whole numbers: how they are read, that they are exact in every holding, and by API, own CSV and brokers' files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import BASE, FIRST, RATES, SECURITIES, Told, ledgers
from small import MARK, Small, bar_days, installed

from core import booking, brokers, cumulative, importing
from core.booking import derive, plain
from core.causes import plain as plain_text
from core.decimal_ratios import taken_literally
from core.ledger import CODE, UNITS, Draft, Ledger, LedgerError, OverSold, from_postings, post
from core.listings import Listings
from core.lots import Lots, OpenLots, level
from core.ratio import in_ten_places, ratio_reading, ratio_text, read_ratio
from db import exports, imports

LAW = settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

# --- how a ratio is read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("1:3", "1:3"), ("1/3", "1:3"), (" 1 : 3 ", "1:3"), ("1 for 3", "1:3"), ("4-for-1", "4:1"), ("6:4", "3:2"), ("1.5:1", "3:2"),
        ("4", "4:1"), ("4.0", "4:1"), ("0.5", "1:2"), ("1.5", "3:2"), ("0.0481", "481:10000"), ("1e3", "1000:1"), ("0.015625", "1:64"),
        ("0.33333333333333", "1:3"), ("0.3333333333", "1:3"), ("0.333333", "1:3"), ("0.0833333333", "1:12"), ("0.6666666667", "2:3"),
        ("0.66666666666666", "2:3"), ("33.3333333333", "100:3"), ("0.1428571429", "1:7"), ("0.0010010010", "1:999"),
        ("0.333333333333333314829616256247", "1:3"), ("0.3333", "3333:10000"), ("0.241917", "241917:1000000"),
        ("1.0481237841", "10481237841:10000000000"), ("9999999999999999999999999999:1", "9999999999999999999999999999:1"),
    ],
)  # fmt: skip
def test_what_is_read_as_a_ratio(text: str, ratio: str) -> None:
    found = read_ratio(text)
    assert found is not None
    assert ratio_text(found) == ratio
    assert read_ratio(ratio_text(found)) == found


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("0", "above zero"), ("-2", "above zero"), ("NaN", "above zero"), ("0:3", "above zero"), ("3:0", "above zero"), ("one to three", "such as 1:3"),
        ("1:3:5", "such as 1:3"), ("1,5", "such as 1:3"), ("-1:3", "such as 1:3"), ("1:", "such as 1:3"), (":", "such as 1:3"),
        ("0.33344455566677", "the rounding of no ratio of up to 1,000 old units: give both numbers"),
        ("0.12345678901", "the rounding of no ratio"), ("1e30", "at most 28 digits"), ("1e-70", "at most 28 digits"),
        ("1:99999999999999999999999999999", "at most 28 digits"), ("1" * 101, "at most 28 digits"),
    ],
)  # fmt: skip
def test_what_is_no_ratio_says_what_would_be_right(text: str, right: str) -> None:
    with pytest.raises(LedgerError) as wrong:
        read_ratio(text)
    assert wrong.value.field == "ratio"
    assert right in wrong.value.expected
    assert str(wrong.value).startswith(f"ratio {text[:60]}")


def test_nothing_is_no_ratio() -> None:
    assert read_ratio("") is None
    assert read_ratio("  ") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("1:3", None), ("2/6", None), ("4", None), ("4.0", None), ("", None), ("0.5", "ratio 0.5 was read as 1:2"),
     ("0.33333333333333", "ratio 0.33333333333333 was read as 1:3"), ("0.3333", "ratio 0.3333 was read as 3333:10000")],
)  # fmt: skip
def test_what_a_decimal_was_read_as_is_said(text: str, said: str | None) -> None:
    assert ratio_reading(text) == said


@LAW
@given(st.integers(1, 100_000), st.integers(1, 1000), st.integers(10, 40))
def test_every_small_ratio_is_known_by_its_rounding(new: int, old: int, places: int) -> None:
    """Rounded half-even to ten places or more, as the ledger kept them before, whatever came before the point."""
    ratio = Fraction(new, old)
    digits = round(ratio * 10**places)
    text = f"{digits // 10**places}.{digits % 10**places:0{places}}"
    assert read_ratio(text) == ratio


@LAW
@given(st.integers(1, 10**12), st.integers(0, 10))
def test_a_decimal_of_up_to_ten_places_is_itself_or_the_ratio_that_it_rounds(digits: int, places: int) -> None:
    value = Decimal(digits).scaleb(-places)
    ratio = read_ratio(format(value, "f"))
    assert ratio is not None
    if ratio != Fraction(value):
        assert ratio.denominator <= 1000
        assert abs(ratio - Fraction(value)) <= Fraction(1, 10**places)
        assert places >= 6


def test_ten_places_as_they_were_kept() -> None:
    assert plain_text(in_ten_places(Fraction(1, 3))) == "0.3333333333"
    assert plain_text(in_ten_places(Fraction(2, 3))) == "0.6666666667"
    assert plain_text(in_ten_places(Fraction(4))) == "4"


# --- laws ----------------------------------------------------------------------------------------------------------


def units_of(lots: Lots) -> dict[int, int]:
    out: dict[int, int] = {}
    for lot in lots.open:
        out[lot.security] = out.get(lot.security, 0) + lot.units
    return out


@LAW
@given(ledgers(), st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_ratio_and_its_inverse_change_no_holding_and_no_lot(told: Told, new: int, old: int, again: int) -> None:
    on = FIRST.replace(year=2025)
    before = derive(told.ledger, [told.methods], [BASE], RATES)
    for number, units in told.held.items():
        if not units:
            continue
        security = SECURITIES[number]
        ratios = [Fraction(new, old)] * (again + 1)
        ratios += [1 / r for r in ratios]
        splits = [
            post(Draft("split", on, security.currency, security, ratio=r), BASE, on, on.replace(year=2026))
            for r in ratios
        ]
        after = derive(from_postings([*told.postings, *splits]), [told.methods], [BASE], RATES)
        assert units_of(after) == units_of(before)
        assert sum(lot.cost for lot in after.open) == sum(lot.cost for lot in before.open)
        # splits pool what is under average cost; a lot that is less than can be counted in between is no more
        pooled = "average" in {method for _, method in told.methods}
        if not pooled and all(abs(lot.units) > 60**4 for lot in before.open):
            assert after.open == before.open


@LAW
@given(ledgers(choosing=False, kinds=("buy", "buy", "buy", "sell", "split")), st.sampled_from(["fifo", "specific"]))
def test_all_that_is_held_can_be_sold(told: Told, method: str) -> None:
    """And nothing is left of it, in columns as in the loop."""
    on = FIRST.replace(year=2025)
    sales = [
        post(Draft("sell", on, SECURITIES[n].currency, SECURITIES[n], units, Decimal(1)), BASE, on, on)
        for n, units in told.held.items()
        if units
    ]
    ledger = from_postings([*told.postings, *sales])
    by_loop = plain(ledger, [method], [BASE], RATES)
    assert by_loop.open == ()
    columns, left = cumulative.fifo(ledger, [method], [BASE], RATES, booking.moving(ledger))
    assert columns.and_of(plain(ledger, [method], [BASE], RATES, rows=left)) == by_loop


@LAW
@given(ledgers())
def test_the_history_of_lots_adds_up_to_what_is_left(told: Told) -> None:
    """What an explanation of a lot lists: its opening and every change, splits that leave parts of a unit among them."""
    told_of: dict[int, list[booking.Change]] = {}
    for change in booking.changes(told.ledger, [told.methods], [BASE], RATES):
        told_of.setdefault(change.lot, []).append(change)
    left = [
        (its[0].security, its[0].opened_by, sum(c.units for c in its), sum(c.cost for c in its))
        for its in told_of.values()
    ]
    open_lots = derive(told.ledger, [told.methods], [BASE], RATES).open
    assert sorted(x for x in left if x[2]) == sorted((lot.security, lot.row, lot.units, lot.cost) for lot in open_lots)
    assert all(cost == 0 for *_, units, cost in left if not units)


@LAW
@given(
    st.lists(st.integers(1, 5 * 10**10), min_size=1, max_size=8), st.integers(1, 50), st.integers(1, 50), st.booleans()
)
def test_lots_add_up_to_the_rounded_holding(sizes: list[int], new: int, old: int, short: bool) -> None:
    side = -1 if short else 1
    columns = OpenLots.of([(i, 0, 1, i, side * units, 100, 0, False) for i, units in enumerate(sizes)])
    lots = list(columns.objects())
    for lot in lots:
        lot.scale(new, old)
    level(lots)
    exact = Fraction(sum(sizes) * new, old)
    held = sum(lot.units for lot in lots) * side
    assert abs(held - exact) <= Fraction(1, 2) or (held == 1 and exact < 1)
    assert sum((lot.units + lot.rest for lot in lots), Fraction(0)) == side * exact
    assert sum(lot.cost for lot in lots) == 100 * len(sizes)
    assert all(lot.units * side > 0 for lot in lots)


def test_columns_cut_lots_in_thirds() -> None:
    """Lots of 1, 1 and 1 for 10.00, 11.00 and 12.00 at 1:3; 0.5 sold for 30.00 takes the first and half of the second."""
    rows = [("buy", 1, 10), ("buy", 1, 11), ("buy", 1, 12), ("split", 0, 0), ("sell", Decimal("0.5"), 30)]
    security = SECURITIES[1]
    entries = []
    for i, (kind, units, gross) in enumerate(rows):
        on = date(2024, 1, 1 + i)
        given = {"ratio": Fraction(1, 3)} if kind == "split" else {"quantity": Decimal(units), "gross": Decimal(gross)}
        entries.append(post(Draft(kind, on, security.currency, security, **given), "USD", on, on))
    ledger = from_postings(entries)
    lots, left = cumulative.fifo(ledger, ["fifo"], ["USD"], RATES, booking.moving(ledger))
    assert not len(left), "columns do it"
    assert [(d.units, d.cost, d.proceeds) for d in lots.disposals] == [
        (3333333333, 10_000_000, 20_000_000), (1666666667, 5_500_000, 10_000_000)
    ]  # fmt: skip
    assert [(x.units, x.cost) for x in lots.open] == [(1666666667, 5_500_000), (3333333333, 12_000_000)]
    assert lots.moves.delta.tolist() == [UNITS, UNITS, UNITS, -2 * UNITS, -UNITS // 2]


def test_a_lot_smaller_than_can_be_counted_goes_into_its_neighbour_with_its_cost() -> None:
    """Three lots of 1e-10 at 1:3 are one unit of 1e-10; it is the second's, where the sum of a third and a third is rounded up."""
    ledger = _bought([1, 1, 1], Fraction(1, 3))
    lots = plain(ledger, ["fifo"], ["USD"], RATES)
    assert [(x.units, x.cost, x.row) for x in lots.open] == [(1, 30_000_000, 1)]
    (lot,) = plain(_bought([1], Fraction(1, 300)), ["fifo"], ["USD"], RATES).open
    assert (lot.units, lot.cost) == (1, 10_000_000), "what is held does not vanish with its cost"


def _bought(sizes: list[int], ratio: Fraction) -> Ledger:
    security = SECURITIES[1]
    days = [date(2024, 1, 1 + i) for i in range(len(sizes) + 1)]
    entries = [
        post(Draft("buy", on, "USD", security, Decimal(n) / UNITS, gross=Decimal(10)), "USD", on, on)
        for n, on in zip(sizes, days, strict=False)
    ]
    split = post(Draft("split", days[-1], "USD", security, ratio=ratio), "USD", days[-1], days[-1])
    return from_postings([*entries, split])


def test_ratios_beyond_int64_are_exact() -> None:
    ledger = _bought([30 * UNITS], Fraction(10**27, 3 * 10**27))
    assert (ledger.ratio_new.tolist(), ledger.ratio_old.tolist()) == ([0, 1], [0, 3]), "in lowest terms"
    ledger = _bought([30 * UNITS], Fraction(10**27 + 1, 3 * 10**27))
    assert ledger.ratio_old.dtype == object
    assert ledger.ratio_at(1) == Fraction(10**27 + 1, 3 * 10**27)
    assert ledger.ratio_at(0) is None
    assert [x.units for x in derive(ledger, ["fifo"], ["USD"], RATES).open] == [10 * UNITS]
    assert np.array_equal(ledger.kind, [CODE["buy"], CODE["split"]])


# --- brokers' files ---------------------------------------------------------------------------------------------------

TRADING = (
    "Action,Time,ISIN,Ticker,Name,No. of shares,Price / share,Currency (Price / share),Exchange rate,Total,Currency (Total)\n"
    "Market buy,2024-01-05 10:00:00,US0000000001,OAK,Oak,{bought},10.00,USD,1,{cost},USD\n"
    "Stock split close,2024-03-01 09:00:00,US0000000001,OAK,Oak,{gone},0.00,USD,,,\n"
    "Stock split open,2024-03-01 09:00:00,US0000000001,OAK,Oak,{come},0.00,USD,,,\n"
)


@pytest.mark.parametrize(
    ("gone", "come", "ratio"),
    [
        ("30", "10", "1:3"),
        ("480", "40", "1:12"),
        ("9", "21", "7:3"),
        ("1.2345678", "0.4115226", "1:3"),
        ("10", "3.3333333", "33333333:100000000"),
    ],
)
def test_the_units_that_a_broker_states_are_the_ratio(gone: str, come: str, ratio: str) -> None:
    raw = TRADING.format(bought=gone, cost=Decimal(gone) * 10, gone=gone, come=come).encode()
    found = brokers.read(raw)
    assert found is not None
    [split] = [r for r in found.records if r.cells["kind"] == "split"]
    assert ratio_text(read_ratio(split.cells["ratio"]) or Fraction(0)) == ratio
    assert Fraction(Decimal(gone)) * (read_ratio(split.cells["ratio"]) or 0) == Fraction(Decimal(come))


REVOLUT = (
    "Date,Ticker,Type,Quantity,Price per share,Total Amount,Currency,FX Rate\n"
    "2024-01-05T15:00:00.000000Z,OAK,BUY - MARKET,{bought},USD 2.50,USD {cost},USD,1.09\n"
    "2024-03-01T15:00:00.000000Z,OAK,STOCK SPLIT,{added},,USD 0,USD,1.09\n"
)


@pytest.mark.parametrize(
    ("bought", "added", "ratio"),
    [
        ("480", "-440", "1:12"),
        ("300", "-200", "1:3"),
        ("300", "400", "7:3"),
        ("7", "-4", "3:7"),
        ("1000", "-999", "1:1000"),
    ],
)
def test_units_added_say_the_ratio(bought: str, added: str, ratio: str) -> None:
    found = brokers.read(REVOLUT.format(bought=bought, cost=Decimal(bought) * Decimal("2.5"), added=added).encode())
    assert found is not None
    split = found.records[-1]
    assert split.error is None, split.error
    assert ratio_text(read_ratio(split.cells["ratio"]) or Fraction(0)) == ratio


def test_units_added_that_are_no_simple_ratio_are_asked_for() -> None:
    found = brokers.read(REVOLUT.format(bought="480", cost="1200", added="-443.21").encode())
    assert found is not None
    assert found.records[-1].error is not None
    assert found.records[-1].error.field == "ratio"


@pytest.mark.parametrize(
    ("text", "before"),
    [("1/3", "0.3333333333"), ("4", "4"), ("7/3", "2.3333333333"), ("0.25", "0.25"), ("1:12", "0.0833333333")],
)
def test_the_key_of_a_broker_s_split_is_that_of_before(text: str, before: str) -> None:
    """What was booked when ratios were decimals is known when its file comes again."""
    now, then = (
        brokers.Record(1, (1,), {"date": "2024-03-01", "kind": "split", "symbol": "OAK", "ratio": ratio})
        for ratio in (text, before)
    )
    assert imports.content_of(now, "revolut") == imports.content_of(then, "revolut")
    assert before in imports.content_of(now, "revolut")


# --- API and own CSV --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


@pytest.fixture
def portfolio(small: Small) -> str:
    """A fresh portfolio of Anna's, in US dollars."""
    new = {"name": f"{MARK} {uuid4().hex[:6]}", "base_currency": "USD"}
    return str(small.client("anna").post("/v1/portfolios", json=new).json()["portfolio_id"])


def buys(small: Small, portfolio: str, units: str, gross: str, symbol: str = "ACME") -> None:
    day = bar_days(small.now)[-40].isoformat()
    rows = [{"date": day, "kind": "deposit", "gross": "100000"}, {"date": day, "kind": "buy", "symbol": symbol, "quantity": units, "gross": gross}]  # fmt: skip
    answer = small.client("anna").post("/v1/transactions", params={"portfolio": portfolio}, json=rows)
    assert answer.status_code == 201, answer.text


def lots_after(small: Small, portfolio: str, new: dict[str, Any]) -> Any:
    return small.client("anna").post("/v1/transactions/preview", params={"portfolio": portfolio}, json=new).json()


@pytest.mark.parametrize(
    ("ratio", "kept", "said"),
    [
        ("1:3", "1:3", []), ("1/3", "1:3", []), ("0.33333333333333", "1:3", ["ratio 0.33333333333333 was read as 1:3"]),
        (0.3333333333333333, "1:3", ["ratio 0.3333333333333333 was read as 1:3"]), (4, "4:1", []), ("4", "4:1", []),
        (0.5, "1:2", ["ratio 0.5 was read as 1:2"]), ("1.5", "3:2", ["ratio 1.5 was read as 3:2"]),
    ],
)  # fmt: skip
def test_a_ratio_by_the_api(small: Small, portfolio: str, ratio: Any, kept: str, said: list[str]) -> None:
    client, query = small.client("anna"), {"portfolio": portfolio}
    buys(small, portfolio, "300", "600")
    split = {"date": bar_days(small.now)[-30].isoformat(), "kind": "split", "symbol": "ACME", "ratio": ratio}
    seen = lots_after(small, portfolio, split)
    assert (seen["postings"][0]["ratio"], seen["read_as"]) == (kept, said)
    new, old = map(int, kept.split(":"))
    assert Decimal(seen["lots_after"][0]["units"]) == Decimal(300 * new) / old
    answer = client.post("/v1/transactions", params=query, json=split)
    assert answer.status_code == 201, answer.text
    assert answer.json()["read_as"] == said
    booked = client.get("/v1/transactions", params=query).json()["transactions"][0]
    assert booked["ratio"] == kept
    again = client.patch(
        f"/v1/transactions/{booked['transaction_id']}", params=query, json={"ratio": "0.66666666666667"}
    )
    assert again.status_code == 200, again.text
    assert again.json()["read_as"] == ["ratio 0.66666666666667 was read as 2:3"]
    ratios = [t["ratio"] for t in client.get("/v1/transactions", params=query).json()["transactions"] if not t["reversed"] and t["kind"] == "split"]  # fmt: skip
    assert ratios == ["2:3"]


@pytest.mark.parametrize(
    "ratio", ["0:3", "1:0", "-1:3", "abc", "0.33344455566677", 0, -2, "1:3:5", "NaN", True, "\x00", "1" * 200]
)
def test_a_ratio_that_is_none_is_refused_by_its_field(small: Small, portfolio: str, ratio: Any) -> None:
    buys(small, portfolio, "300", "600")
    split = {"date": bar_days(small.now)[-30].isoformat(), "kind": "split", "symbol": "ACME", "ratio": ratio}
    for path in ("/v1/transactions", "/v1/transactions/preview"):
        answer = small.client("anna").post(path, params={"portfolio": portfolio}, json=split)
        assert answer.status_code == 422, answer.text
        assert "ratio" in answer.json()["field"].split("."), answer.json()
        assert answer.json()["expected"]


def test_one_for_twelve_by_the_api(small: Small, portfolio: str) -> None:
    """480 for 1,200.00 are 40 at 1:12; sold at 33 they gain 120.00 and leave nothing."""
    client, query, days = small.client("anna"), {"portfolio": portfolio}, [d.isoformat() for d in bar_days(small.now)]
    buys(small, portfolio, "480", "1200")
    split = {"date": days[-30], "kind": "split", "symbol": "ACME", "ratio": "1:12"}
    assert client.post("/v1/transactions", params=query, json=split).status_code == 201
    sale = {"date": days[-20], "kind": "sell", "symbol": "ACME", "quantity": "40", "price": "33"}
    seen = lots_after(small, portfolio, sale)
    assert [Decimal(lot["units"]) for lot in seen["lots_before"]] == [40]
    assert (Decimal(seen["realised"]), seen["lots_after"]) == (120, [])
    assert client.post("/v1/transactions", params=query, json=sale).status_code == 201
    more = client.post("/v1/transactions", params=query, json=sale | {"quantity": "0.0000000001"})
    assert more.status_code == 409, "nothing is left"


def test_ratios_in_our_own_csv(small: Small, portfolio: str) -> None:
    """Old exports have decimals: they are read, and what they were read as is said. The new export has two numbers and comes back."""
    anna, number, days = small.anna, UUID(portfolio), [d.isoformat() for d in bar_days(small.now)]
    buys(small, portfolio, "300", "600")
    text = (
        "date,kind,symbol,into,ratio,fraction\n"
        f"{days[-35]},split,ACME,,0.3333333333,\n"
        f"{days[-34]},split,ACME,,3/1,\n"
        f"{days[-33]},spin_off,ACME,BOLT,1:3,0.25\n"
        f"{days[-32]},split,ACME,,0.33344455566677,\n"
    )
    seen = imports.import_file(anna, number, text.encode(), "a.csv", small.now.date())
    assert [(v.outcome, v.reason) for v in seen.verdicts[:3]] == [
        ("book", "ratio 0.3333333333 was read as 1:3"), ("book", ""), ("book", "")
    ]  # fmt: skip
    assert seen.verdicts[3].outcome == "refused"
    assert "ratio 0.33344455566677: it is the rounding of no ratio" in seen.verdicts[3].reason
    done = imports.import_file(anna, number, text.encode(), "a.csv", small.now.date(), dry_run=False, take_good=True)
    assert done.booked == 3
    out = exports.export(anna, number)
    assert [r["ratio"] for r in csv.DictReader(io.StringIO(out, newline="")) if r["ratio"]] == ["1:3", "3:1", "1:3"]
    copy = UUID(small.client("anna").post("/v1/portfolios", json={"name": f"{MARK} copy {uuid4().hex[:6]}", "base_currency": "USD"}).json()["portfolio_id"])  # fmt: skip
    assert imports.import_file(anna, copy, out.encode(), "b.csv", small.now.date(), dry_run=False).booked == 5
    assert exports.export(anna, copy) == out
    old = out.replace(",1:3,", ",0.3333333333,").replace(",3:1,", ",3,")
    other = UUID(small.client("anna").post("/v1/portfolios", json={"name": f"{MARK} old {uuid4().hex[:6]}", "base_currency": "USD"}).json()["portfolio_id"])  # fmt: skip
    assert imports.import_file(anna, other, old.encode(), "c.csv", small.now.date(), dry_run=False).booked == 5
    assert exports.export(anna, other) == out
    again = imports.import_file(anna, number, old.encode(), "d.csv", small.now.date())
    assert {v.outcome for v in again.verdicts} == {"duplicate"}


def test_an_old_export_whose_sales_take_the_decimal_stays_as_it_was(small: Small, portfolio: str) -> None:
    """30,000 at 0.6666666667 were 20,000.000001 then, all sold; 300 at 0.3333333333 were 99.99999999, all sold; a part says nothing."""
    anna, number, days = small.anna, UUID(portfolio), [d.isoformat() for d in bar_days(small.now)]
    text = (
        "date,kind,symbol,quantity,gross,ratio\n"
        f"{days[-40]},deposit,,,100000,\n"
        f"{days[-39]},buy,ACME,30000,600,\n{days[-38]},split,ACME,,,0.6666666667\n{days[-37]},sell,ACME,20000.000001,700,\n"
        f"{days[-36]},buy,ACME,300,600,\n{days[-35]},split,ACME,,,0.3333333333\n{days[-34]},sell,ACME,99.99999999,700,\n"
        f"{days[-39]},buy,BOLT,300,600,\n{days[-38]},split,BOLT,,,0.6666666667\n{days[-37]},sell,BOLT,50,200,\n"
    )
    seen = imports.import_file(anna, number, text.encode(), "a.csv", small.now.date(), dry_run=False)
    assert [v.reason for v in seen.verdicts if v.posting and v.posting.kind == "split"] == [
        "ratio 0.6666666667 was read as 6666666667:10000000000: later entries take the units that it makes",
        "ratio 0.3333333333 was read as 3333333333:10000000000: later entries take the units that it makes",
        "ratio 0.6666666667 was read as 2:3",
    ]
    out = exports.export(anna, number)
    held = small.client("anna").get("/v1/reports/holdings", params={"portfolio": portfolio}).json()
    assert [(row["symbol"], Decimal(row["units"])) for row in held["rows"]] == [("BOLT", 150)]
    old = (
        out.replace(",6666666667:10000000000,", ",0.6666666667,")
        .replace(",3333333333:10000000000,", ",0.3333333333,")
        .replace(",2:3,", ",0.6666666667,")
    )
    assert ":" not in old.splitlines()[3].split(",")[10]
    other = UUID(small.client("anna").post("/v1/portfolios", json={"name": f"{MARK} lit {uuid4().hex[:6]}", "base_currency": "USD"}).json()["portfolio_id"])  # fmt: skip
    assert imports.import_file(anna, other, old.encode(), "b.csv", small.now.date(), dry_run=False).booked == 10
    assert exports.export(anna, other) == out


def test_who_sells_more_than_is_held_is_refused_but_what_was_booked_when_lots_were_rounded_is_read() -> None:
    """Two lots of 10.0000000003 and 20.0000000003 at 1:2 were 5.0000000002 and 10.0000000002 then; they are 15.0000000003."""
    security, days = SECURITIES[1], [date(2024, 1, n) for n in (2, 3, 4, 5)]
    entries = [
        post(Draft("buy", on, "USD", security, Decimal(units), gross=Decimal(10)), "USD", on, on)
        for on, units in zip(days, ("10.0000000003", "20.0000000003"), strict=False)
    ]
    entries.append(post(Draft("split", days[2], "USD", security, ratio=Fraction(1, 2)), "USD", days[2], days[2]))
    sale = post(
        Draft("sell", days[3], "USD", security, Decimal("15.0000000004"), gross=Decimal(30)), "USD", days[3], days[3]
    )
    ledger = from_postings([*entries, sale])
    lots = derive(ledger, ["fifo"], ["USD"], RATES)
    assert (lots.open, sum(d.units for d in lots.disposals), sum(d.cost for d in lots.disposals)) == (
        (),
        150_000_000_003,
        20_000_000,
    )
    assert sum(lots.moves.delta.tolist()) == 0
    new = np.array([False, False, False, True])
    assert list(booking.impossible(ledger, new, ["fifo"])) == [3]
    assert list(booking.impossible(ledger, new, ["fifo"], strict=False)) == []
    more = replace(sale, quantity=Decimal("15.0000000104"))
    with pytest.raises(OverSold):
        derive(from_postings([*entries, more]), ["fifo"], ["USD"], RATES)


@pytest.mark.parametrize(
    ("rows", "literal"),
    [
        # (kind, security, quantity or (read, as it stands), into)
        ([("buy", 1, 300), ("split", 1, ("2/3", "0.6666666667")), ("sell", 1, "200")], []),
        ([("buy", 1, 300), ("split", 1, ("2/3", "0.6666666667")), ("sell", 1, "200.00000001")], [1]),
        ([("buy", 1, 300), ("split", 1, ("1/3", "0.3333333333")), ("sell", 1, "99.99999999")], [1]),
        ([("buy", 1, 300), ("split", 1, ("1/3", "0.3333333333")), ("sell", 1, "40"), ("sell", 1, "60")], []),
        ([("short", 1, 300), ("split", 1, ("1/3", "0.3333333333")), ("cover", 1, "99.99999999")], [1]),
        ([("short", 1, 30000), ("split", 1, ("2/3", "0.6666666667")), ("cover", 1, "20000.000001"), ("short", 1, 3)], [1]),
        ([("buy", 1, 300), ("merger", 1, ("2/3", "0.6666666667"), 3), ("sell", 3, "200.00000001")], [1]),
        ([("buy", 1, 300), ("spin_off", 1, ("1/3", "0.3333333333"), 3), ("sell", 1, "300"), ("sell", 3, "99.99999999")], [1]),
        ([("buy", 1, 300), ("spin_off", 1, ("1/3", "0.3333333333"), 3), ("sell", 1, "300"), ("sell", 3, "100")], []),
        ([("buy", 1, 300), ("symbol_change", 1, None, 3), ("split", 3, ("1/3", "0.3333333333")), ("sell", 3, "99.99999999")], [2]),
        ([("buy", 1, 900), ("split", 1, ("1/3", "0.3333333333")), ("split", 1, ("1/3", "0.3333333333")), ("sell", 1, "100")], []),
        ([("buy", 1, 900), ("split", 1, ("1/3", "0.3333333333")), ("split", 1, ("1/3", "0.3333333333")), ("sell", 1, "99.99999998")], [1, 2]),
    ],
)  # fmt: skip
def test_what_later_entries_say_of_a_decimal(rows: list[tuple[Any, ...]], literal: list[int]) -> None:
    entries, decimals = [], {}
    for i, (kind, number, what, *into) in enumerate(rows):
        on, given = date(2024, 1, 1 + i), {"into": SECURITIES[into[0]]} if into else {}
        if isinstance(what, tuple):
            given["ratio"], decimals[i] = Fraction(what[0]), Fraction(what[1])
            given |= {"fraction": Decimal("0.25")} if kind == "spin_off" else {}
        elif what is not None:
            given |= {"quantity": Decimal(what), "gross": Decimal(10)}
        entries.append(post(Draft(kind, on, "USD", SECURITIES[number], **given), "USD", on, on))
    assert sorted(taken_literally(entries, decimals)) == literal


def test_cells_of_a_draft_say_two_numbers() -> None:
    on = date(2024, 3, 1)
    draft = Draft("split", on, "USD", SECURITIES[1], ratio=Fraction(1, 3))
    cells = importing.cells_of(draft)
    assert cells["ratio"] == "1:3"
    assert importing.draft(cells, Listings(SECURITIES), frozenset({"USD"}), "USD") == draft
