"""The law of the two ways: columns and the plain loop answer the same lots on every ledger, and refuse the same entries.

First on ledgers that can be booked, of every kind and method, several portfolios in one; then on columns drawn at random, which
no checked posting would ever be: huge and tiny quantities, everything on one day, currencies without a rate, sales of too much.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import booking, cumulative
from core.booking import derive, plain
from core.fx import Rates, Series, day_number, posted_steps
from core.ledger import CODE, EXACT, UNITS, Detail, Impossible, Ledger, fitting, from_postings, joined
from core.lots import Lots, held, posting_unit, share, totals
from core.reasons import NoRate
from tests.ledgers import BASE, FIRST, RATES, Told, ledgers

LAW = settings(
    max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SIMPLE = ("buy",) * 5 + ("sell",) * 4 + ("split", "transfer_in", "transfer_out", "dividend")


def by_columns(*args, **named) -> Lots:
    """`derive` with its columns, however short the ledger."""
    with mock.patch.object(booking, "WORTH", 0):
        return derive(*args, **named)


def same(one: Lots, other: Lots) -> None:
    """Equal as columns and as objects."""
    for name in ("still", "closed", "delivered", "moves"):
        mine, theirs = getattr(one, name), getattr(other, name)
        for field in type(mine).__dataclass_fields__:
            assert getattr(mine, field).tolist() == getattr(theirs, field).tolist(), (name, field)
    assert one == other
    assert (one.open, one.disposals, one.deliveries) == (other.open, other.disposals, other.deliveries)


def in_one(told: list[Told]) -> Ledger:
    """One ledger of several portfolios."""
    out = from_postings(told[0].postings)
    for i, one in enumerate(told[1:], 1):
        mine = from_postings(one.postings)
        mine = replace(mine, portfolio=np.full(len(mine), i, np.int16))
        out, _ = joined(out, mine)
    return out


@LAW
@given(st.lists(ledgers(), min_size=1, max_size=3))
def test_columns_and_loop_agree_on_every_ledger(told: list[Told]) -> None:
    ledger, methods, bases = in_one(told), [t.methods for t in told], [BASE, "USD", "KWD"][: len(told)]
    same(by_columns(ledger, methods, bases, RATES), plain(ledger, methods, bases, RATES))


@LAW
@given(
    st.lists(ledgers(kinds=SIMPLE, choosing=False, most=60), min_size=1, max_size=2),
    st.sampled_from(["fifo", "specific"]),
)
def test_columns_and_loop_agree_on_what_columns_are_for(told: list[Told], method: str) -> None:
    ledger, bases = in_one(told), ["USD", BASE][: len(told)]
    same(by_columns(ledger, [method] * len(told), bases, RATES), plain(ledger, [method] * len(told), bases, RATES))


# --- ledgers that nobody would book ------------------------------------------------------------------

CURRENCIES = ("CHF", "EUR", "JPY", "KWD", "USD")  # francs have no rate
_days = np.arange(100, 140, dtype=np.int32)
ODD = Rates(
    {
        "USD": Series(_days, np.round(1.05 + np.arange(40) / 300, 4)),
        "JPY": Series(_days[5:], np.full(35, 160.5)),
        "KWD": Series(_days, np.where(np.arange(40) % 2, 0.5, 0.25)),  # halves to round
    }
)
amounts = st.one_of(
    st.integers(0, 10**6),
    st.integers(0, 50),
    st.integers(10**12, 10**16),
    st.sampled_from([0, 1, 5, 15, 25, 2**49, 2**50 - 1, 2**50]),
)
units = st.one_of(
    st.integers(1, 50).map(lambda n: n * UNITS),
    st.integers(1, 10**6).map(lambda n: n * 10**6),
    st.integers(1, 9),
    st.integers(2**55, 2**62),
    st.sampled_from([2**59, 2**60 - 1, 2**60, 3 * 10**9 + 1]),
)


@st.composite
def odd_ledgers(draw: st.DrawFn, most: int = 40, oversell: bool = False) -> tuple[Ledger, list[str], list[str]]:
    """(ledger, methods, bases) of up to three portfolios with four securities in a currency each; what is sold is mostly there."""
    bases = draw(st.lists(st.sampled_from(CURRENCIES), min_size=1, max_size=3))
    methods = [draw(st.sampled_from(["fifo", "fifo", "fifo", "specific", "average", "lifo", "hifo"])) for _ in bases]
    currency_of = [draw(st.integers(0, 4)) for _ in range(4)]
    usual = draw(st.booleans())  # amounts and units of one size, so that nothing falls out of form
    in_parts = draw(st.booleans())  # splits that leave parts of a unit
    left: dict[tuple[int, int], Fraction] = {}
    rows: list[dict[str, int]] = []
    spread = draw(st.sampled_from([0, 5, 39]))
    for day in sorted(draw(st.lists(st.integers(100, 100 + spread), max_size=most))):
        key = draw(st.integers(0, len(bases) - 1)), draw(st.integers(1, 4))
        kind = draw(
            st.sampled_from(["buy", "buy", "buy", "sell", "sell", "sell", "transfer_out", "transfer_in", "split"])
        )
        step = posting_unit(CURRENCIES[currency_of[key[1] - 1]])
        size = st.integers(1, 10**5).map(lambda n: n * 10**5) if usual else units
        money = st.integers(0, 10**6) if usual else amounts
        row = {"portfolio": key[0], "security": key[1], "kind": CODE[kind], "traded_on": day, "currency": currency_of[key[1] - 1],
               "quantity": 0, "ratio_new": 0, "ratio_old": 0, "gross": draw(money) * step, "fees": draw(st.sampled_from([0, 0, 7])) * step, "taxes": 0,
               "net": draw(st.sampled_from([0, 12_340_000, -5_000_000])), "with_fx": int(draw(st.integers(0, 4)) == 0)}  # fmt: skip
        if draw(st.integers(0, 30)) == 0:
            row["gross"] += 1  # not a posted amount
        exact = left.get(key, Fraction(0))
        there = max(1, floor(exact + Fraction(1, 2))) if exact else 0
        if kind in ("buy", "transfer_in"):
            row["quantity"] = draw(size)
            left[key] = exact + row["quantity"]
        elif kind == "split":
            if rows and rows[-1]["traded_on"] == day and rows[-1]["kind"] != CODE["split"]:
                continue
            new = draw(st.sampled_from([2, 2, 3, 10, 1, 1000, 2**40]))
            old = draw(st.sampled_from([1, 1, 1, 2, 3, 12, 7, 1000, 2**40])) if in_parts else 1
            row["ratio_new"], row["ratio_old"], row["gross"], row["fees"] = new, old, 0, 0
            left[key] = exact * Fraction(new, old)
        elif oversell and draw(st.integers(0, 9)) == 0:
            row["quantity"] = min(there + draw(units), 2**63 - 1)
        elif there:
            row["quantity"] = draw(
                st.sampled_from([there, max(1, there // 2), max(1, there // 7), min(there, draw(size))])
            )
            left[key] = exact - row["quantity"] if row["quantity"] < there else Fraction(0)
        else:
            continue
        rows.append(row)
    return _ledger(rows), methods, bases


def _ledger(rows: list[dict[str, int]]) -> Ledger:
    def column(name: str, dtype: object) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype)

    exact = {
        name: fitting([row[name] for row in rows]) for name in EXACT
    }
    ids = np.frombuffer(b"".join(i.to_bytes(16, "big") for i in range(len(rows))), "V16")
    return Ledger(
        column("portfolio", np.int16), column("kind", np.int8), column("security", np.int32), **exact, currency=column("currency", np.int16),
        cash_currency=column("currency", np.int16), with_fx=column("with_fx", np.bool_), traded_on=column("traded_on", np.int32),
        settles_on=column("traded_on", np.int32), ids=ids, currencies=CURRENCIES,
    )  # fmt: skip


@LAW
@given(odd_ledgers())
def test_columns_and_loop_agree_on_odd_ledgers(drawn: tuple[Ledger, list[str], list[str]]) -> None:
    ledger, methods, bases = drawn
    same(by_columns(ledger, methods, bases, ODD), plain(ledger, methods, bases, ODD))


@LAW
@given(odd_ledgers(oversell=True), st.data())
def test_columns_and_loop_refuse_the_same(drawn: tuple[Ledger, list[str], list[str]], data: st.DataObject) -> None:
    ledger, methods, bases = drawn
    new = frozenset(data.draw(st.sets(st.integers(0, max(0, len(ledger) - 1)))))
    out = []
    for way in (by_columns, plain):
        refused: dict[int, Impossible] = {}
        try:
            lots = way(ledger, methods, bases, ODD, new, refused, {1: "ONE"})
        except Impossible as e:
            lots = (e.row, str(e), type(e))
        out.append((lots, {row: (str(e), type(e)) for row, e in refused.items()}))
    assert out[0] == out[1]


def test_columns_do_what_they_are_for() -> None:
    """Laws that compare two ways would hold as well if everything went through the loop."""
    rows = []
    for i in range(300):
        kind = "split" if i == 200 else "sell" if i % 3 == 2 and i > 8 else "buy"
        rows.append({"portfolio": i % 2, "security": 1 + i % 4, "kind": CODE[kind], "traded_on": 100 + i // 10, "currency": 4,
                     "quantity": 0 if kind == "split" else UNITS * (1 if kind == "sell" else 3), "ratio_new": 2 if kind == "split" else 0, "ratio_old": 1 if kind == "split" else 0,
                     "gross": 0 if kind == "split" else 100_010_000 * (i % 7 + 1), "fees": 0, "taxes": 0, "net": 0, "with_fx": 0})  # fmt: skip
    ledger = _ledger(rows)
    lots, left = cumulative.fifo(ledger, ["fifo", "lifo"], ["EUR", "EUR"], ODD, booking.moving(ledger))
    assert set(ledger.portfolio[left].tolist()) == {1}, "last in, first out is for the loop, the rest is not"
    assert len(left) == 150
    assert len(lots.closed) > 40
    same(
        lots.and_of(plain(ledger, ["fifo", "lifo"], ["EUR", "EUR"], ODD, rows=left)),
        plain(ledger, ["fifo", "lifo"], ["EUR", "EUR"], ODD),
    )


def test_more_units_than_int64_holds_are_cut_in_parts() -> None:
    rows = []
    for security in range(1, 31):
        for kind, quantity in (("buy", 2**58), ("buy", 2**59), ("sell", 2**59 + 12_345)):
            rows.append({"portfolio": 0, "security": security, "kind": CODE[kind], "traded_on": 110, "currency": 1, "quantity": quantity,
                         "ratio_new": 0, "ratio_old": 0, "gross": 123_456_780_000 * security, "fees": 10_000, "taxes": 0, "net": 0, "with_fx": 0})  # fmt: skip
    ledger = _ledger(rows)
    lots, left = cumulative.fifo(ledger, ["fifo"], ["EUR"], ODD, booking.moving(ledger))
    assert not len(left)
    same(lots, plain(ledger, ["fifo"], ["EUR"], ODD))


@LAW
@given(
    st.lists(
        st.tuples(st.integers(-(2**50) + 1, 2**50 - 1), st.integers(0, 2**60 - 1), st.integers(1, 2**60 - 1)).filter(
            lambda x: x[1] <= x[2]
        ),
        min_size=1,
    )
)
def test_shares_of_columns_are_shares(cases: list[tuple[int, int, int]]) -> None:
    amount, part, whole = (np.array(x, np.int64) for x in zip(*cases, strict=True))
    assert cumulative._shares(amount, part, whole).tolist() == [share(a, p, w, 1) for a, p, w in cases]


@given(st.integers(-(2**49), 2**49), st.sampled_from([1, 2, 3, 4, 6, 8]))
def test_shares_of_columns_round_halves_to_even(amount: int, whole: int) -> None:
    parts = np.arange(whole + 1)
    got = cumulative._shares(np.full(whole + 1, amount), parts, np.full(whole + 1, whole))
    assert got.tolist() == [share(amount, p, whole, 1) for p in range(whole + 1)]


@LAW
@given(
    st.lists(st.tuples(st.integers(-(10**13), 10**13), st.integers(90, 145)), min_size=1, max_size=20),
    st.sampled_from(CURRENCIES),
    st.sampled_from(CURRENCIES),
)
def test_columns_at_their_rates_are_what_decimals_say(cases: list[tuple[int, int]], frm: str, to: str) -> None:
    unit = posting_unit(to)
    got, there = ODD.posted(np.array([a for a, _ in cases]), frm, to, np.array([d for _, d in cases], np.int32), unit)
    for (amount, day), steps, known in zip(cases, got.tolist(), there.tolist(), strict=True):
        rate = ODD.rate(frm, to, day)
        assert known is not isinstance(rate, NoRate)
        assert steps == (0 if isinstance(rate, NoRate) else posted_steps(amount, rate, unit))


@LAW
@given(ledgers())
def test_what_is_held_is_the_sum_of_its_lots(told: Told) -> None:
    lots = derive(told.ledger, [told.methods], ["USD"], RATES)
    for h in held(lots.still):
        mine = [lot for lot in lots.open if (lot.portfolio, lot.security) == (h.portfolio, h.security)]
        bases = [lot.cost_base for lot in mine]
        assert (h.units, h.cost, h.lots) == (sum(x.units for x in mine), sum(x.cost for x in mine), len(mine))
        assert h.cost_base == (None if None in bases else sum(bases))
        assert h.opened_on == min(x.opened_on for x in mine)
    assert sum(h.lots for h in held(lots.still)) == len(lots.open)
    gains, known = lots.closed.gains()
    by_security = totals(lots.closed.security, gains)
    for number, gain in by_security.items():
        mine = [d for d in lots.disposals if d.security == number]
        assert gain == sum(
            d.proceeds_base - d.cost_base for d in mine if d.proceeds_base is not None and d.cost_base is not None
        )
    assert known.tolist() == [d.proceeds_base is not None and d.cost_base is not None for d in lots.disposals]


@pytest.mark.parametrize("way", [by_columns, plain])
def test_what_was_sold_out_leaves_nothing_that_a_split_could_make_more_of(way) -> None:
    """10 at 1:3 are 3.3333333333, all of which is sold; the 5 bought then are 5,000 at 1000:1, for what they cost."""
    third = {"kind": CODE["split"], "ratio_new": 1, "ratio_old": 3}
    thousandfold = {"kind": CODE["split"], "ratio_new": 1000, "ratio_old": 1}
    steps = [{"quantity": 10 * UNITS}, third, {"kind": CODE["sell"], "quantity": 33_333_333_333}, {"quantity": 5 * UNITS}, thousandfold]
    blank = {"portfolio": 0, "security": 1, "kind": CODE["buy"], "currency": 4, "quantity": 0, "ratio_new": 0, "ratio_old": 0, "fees": 0, "taxes": 0,
             "net": 0, "with_fx": 0}  # fmt: skip
    rows = [blank | {"traded_on": 100 + i, "gross": 0 if "ratio_new" in step else 10_000_000} | step for i, step in enumerate(steps)]
    lots = way(_ledger(rows), ["fifo"], ["USD"], ODD)
    assert [(x.units, x.cost) for x in lots.open] == [(5_000 * UNITS, 10_000_000)]
    assert lots.moves.delta.tolist() == [10 * UNITS, -66_666_666_667, -33_333_333_333, 5 * UNITS, 4_995 * UNITS]


def test_sums_beyond_int64_stay_exact() -> None:
    assert totals(np.array([1, 2, 1]), np.array([2**62, 5, 2**62])) == {1: 2**63, 2: 5}


def test_a_row_with_details_goes_through_the_loop() -> None:
    row = {"portfolio": 0, "security": 1, "kind": CODE["transfer_in"], "traded_on": day_number(FIRST), "currency": 1, "quantity": UNITS,
           "ratio_new": 0, "ratio_old": 0, "gross": 10_000_000, "fees": 0, "taxes": 0, "net": 0, "with_fx": 0}  # fmt: skip
    ledger = replace(_ledger([row]), details={0: Detail(None, None, None, Decimal(7), None, None, ())})
    assert by_columns(ledger, ["fifo"], ["EUR"], ODD).still.cost.tolist() == [7_000_000]


@pytest.mark.parametrize("way", [by_columns, plain])
def test_an_unknown_method_is_refused(way) -> None:
    with pytest.raises(Impossible, match="cost method best"):
        way(_ledger([]), ["best"], ["EUR"], ODD)
