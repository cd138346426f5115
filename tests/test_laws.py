"""Laws that hold on every ledger, of all kinds and methods, tried on random ones: cost is conserved, units are those that were
counted, the whole gain does not depend on the method, deposits do not move the return, start + flows + gain = end on every
day, weights sum to 1, what the holdings do not allow is refused, an import is idempotent in its keys."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import BASE, DAYS, FIRST, RATES, SECURITIES, Told, book_of, cents, ledgers

from core import importing
from core.book import Book
from core.booking import derive, impossible
from core.fx import day_number
from core.ledger import CODE, MICRO, UNITS, Draft, Impossible, from_postings, joined, post, whole
from core.lots import Lots, share, shares
from core.methods import METHODS
from core.reasons import NoRate
from core.scope import Scope
from core.table import Context
from core.view import View

LAW = settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def view_of(book: Book, day: int = DAYS - 1) -> View:
    on = FIRST + timedelta(days=day)
    return View(book, Scope(book.portfolio.portfolio_id, as_of=on), {}, datetime(2030, 1, 1, tzinfo=UTC))


def lots_of(told: Told, methods: object = None) -> Lots:
    return derive(told.ledger, [methods or told.methods], [BASE], RATES)  # type: ignore[list-item]


def paid_in(told: Told) -> tuple[Counter[str], Decimal | None]:
    """What was paid for units, counted from the postings: purchases and what was carried in, less what shorts brought.

    By currency, and in the base currency at each day's rate (None: there was no rate on one of the days).
    """
    cost, base = Counter[str](), Decimal(0)
    unknown = False
    for p in told.postings:
        on, amount = p.traded_on, Decimal(0)
        if p.kind == "buy":
            amount = p.gross + p.fees + p.taxes
        elif p.kind == "short":
            amount = -(p.gross - p.fees - p.taxes)
        elif p.kind == "transfer_in" and p.security_id:
            amount, on = p.gross if p.basis is None else p.basis, p.acquired_on or p.traded_on
        cost[p.currency] += whole(amount, MICRO)
        rate = RATES.rate(p.currency, BASE, day_number(on))
        unknown |= isinstance(rate, NoRate) and p.kind == "transfer_in"
        if p.fx is not None and p.kind in ("buy", "short"):
            base -= p.net
        elif not isinstance(rate, NoRate):
            base += (amount * rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return cost, None if unknown else base


@LAW
@given(ledgers())
def test_cost_in_is_cost_relieved_plus_delivered_plus_held(told: Told) -> None:
    lots, out, base = lots_of(told), Counter[str](), 0
    for held in (*lots.open, *lots.deliveries):
        out[SECURITIES[held.security].currency] += held.cost
        base += held.cost_base or 0
    for d in lots.disposals:
        out[SECURITIES[d.security].currency] += -d.proceeds if d.short else d.cost
        base += (-(d.proceeds_base or 0)) if d.short else (d.cost_base or 0)
    paid, paid_base = paid_in(told)
    assert {k: v for k, v in out.items() if v} == {k: v for k, v in paid.items() if v}
    if paid_base is not None:
        assert base == whole(paid_base, MICRO)


@LAW
@given(ledgers())
def test_what_was_received_is_spread_over_disposals_to_the_cent(told: Told) -> None:
    lots, got, spent = lots_of(told), Counter[str](), Counter[str]()
    for d in lots.disposals:
        (spent if d.short else got)[SECURITIES[d.security].currency] += d.cost if d.short else d.proceeds
    wanted, bought_back = Counter[str](), Counter[str]()
    for p in told.postings:
        if p.kind in ("sell", "return_of_capital", "merger"):
            wanted[p.currency] += whole(p.gross - p.fees - p.taxes, MICRO)
        elif p.kind == "cover":
            bought_back[p.currency] += whole(p.gross + p.fees + p.taxes, MICRO)
    assert {k: v for k, v in got.items() if v} == {k: v for k, v in wanted.items() if v}
    assert {k: v for k, v in spent.items() if v} == {k: v for k, v in bought_back.items() if v}


@LAW
@given(ledgers())
def test_units_are_those_that_were_counted(told: Told) -> None:
    lots = lots_of(told)
    left, moved = Counter[int](), Counter[int]()
    for lot in lots.open:
        left[lot.security] += lot.units
        assert lot.units
        assert (lot.units > 0) == (told.held[lot.security] > 0), "a lot on the other side of its position"
    for security, delta in zip(lots.moves.security.tolist(), lots.moves.delta.tolist(), strict=True):
        moved[security] += delta
    counted = {n: whole(units, UNITS) for n, units in told.held.items() if units}
    assert dict(left) == counted
    assert {n: units for n, units in moved.items() if units} == counted
    assert all(lot.cost == 0 or lot.units for lot in lots.open)


@LAW
@given(ledgers(choosing=False), st.sampled_from(METHODS), st.sampled_from(METHODS))
def test_the_whole_gain_does_not_depend_on_the_method(told: Told, one: str, other: str) -> None:
    """Realised gain less the cost of what is left or was delivered is the same whichever lots are taken; so are the units."""

    def told_by(method: str) -> tuple[Counter[tuple[str, int]], Counter[int]]:
        lots, gain, units = lots_of(told, method), Counter[tuple[str, int]](), Counter[int]()
        for d in lots.disposals:
            gain[SECURITIES[d.security].currency, 0] += d.proceeds - d.cost
        for held in (*lots.open, *lots.deliveries):
            gain[SECURITIES[held.security].currency, 0] -= held.cost
        for lot in lots.open:
            units[lot.security] += lot.units
        return gain, units

    assert told_by(one) == told_by(other)


@LAW
@given(ledgers(choosing=False))
def test_choosing_the_lots_that_fifo_takes_is_fifo(told: Told) -> None:
    plain = lots_of(told, "fifo")
    ledger, taken = told.ledger, {}
    for d in (*plain.disposals, *plain.deliveries):
        if d.units:
            taken.setdefault(d.row, []).append((UUID(bytes=bytes(ledger.ids[d.opening_row])), Decimal(d.units) / UNITS))
    chosen = {
        row: picks for row, picks in taken.items()
        if len({n for n, _ in picks}) == len(picks) and ledger.kind[row] != CODE["merger"]
    }  # fmt: skip
    details = dict(ledger.details)
    for row, picks in chosen.items():
        details[row] = replace(details[row], lots=tuple(picks)) if row in details else _detail(tuple(picks))
    again = derive(replace(ledger, details=details), ["specific"], [BASE], RATES)
    assert again.disposals == plain.disposals
    assert again.open == plain.open


def _detail(lots: tuple[tuple[UUID, Decimal], ...]) -> object:
    from core.ledger import Detail

    return Detail(lots=lots)


@LAW
@given(ledgers(kinds=("buy", "buy", "buy", "split")), st.integers(1, 6), st.integers(1, 6))
def test_cutting_a_sale_in_two_relieves_the_same_cost(told: Told, first: int, second: int) -> None:
    on = FIRST + timedelta(days=DAYS)
    number = next((n for n, units in told.held.items() if units), None)
    if number is None:
        return
    security, held = SECURITIES[number], told.held[number]
    one, two = (held * n / 16 for n in (first, second))
    if any(-x.normalize().as_tuple().exponent > 10 for x in (one, two)):
        return

    def relieved(*parts: Decimal) -> tuple[int, int]:
        sales = [post(Draft("sell", on, security.currency, security, q, Decimal(7)), BASE, on, on) for q in parts]
        lots = derive(from_postings([*told.postings, *sales]), ["fifo"], [BASE], RATES)
        return sum(d.cost for d in lots.disposals), sum(d.cost_base or 0 for d in lots.disposals)

    assert relieved(one, two) == relieved(one + two)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1))
def test_the_past_does_not_depend_on_the_future(told: Told, day: int) -> None:
    """Lots and disposals up to a day are the same whether or not later entries are there."""
    last = day_number(FIRST) + day
    ledger = told.ledger
    early = derive(ledger.upto(last), [told.methods], [BASE], RATES)
    every = derive(ledger, [told.methods], [BASE], RATES)
    assert tuple(d for d in every.disposals if d.closed_on <= last) == early.disposals


@LAW
@given(ledgers(), st.integers(1, DAYS - 1), st.integers(1, 5_000_00))
def test_a_deposit_leaves_the_gain_of_every_day_unchanged(told: Told, day: int, amount: int) -> None:
    on = FIRST + timedelta(days=day)
    more = [*told.postings, post(Draft("deposit", on, BASE, gross=Decimal(amount) / 100), BASE, on, on)]
    plain, fed = view_of(told.book()), view_of(book_of(more, told.methods))

    def gains(v: View) -> dict[int, float]:
        flows = v.past.inflow - v.past.outflow
        steps = np.diff(np.concatenate([[0.0], v.total])) - flows
        return dict(zip(v.days.tolist(), steps.tolist(), strict=True))

    a, b = gains(plain), gains(fed)
    assert all(a[d] == pytest.approx(b[d], abs=0.011) for d in a)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1))
def test_start_plus_flows_plus_gain_is_end(told: Told, day: int) -> None:
    v = view_of(told.book(), day)
    for period in ("1D", "1W", "1M", "ALL"):
        span = v.span(period)
        if hasattr(span, "gain"):
            assert span.start_value + span.net_flow + span.gain == pytest.approx(span.end_value, abs=1e-6)
            assert span.end_value == pytest.approx(float(v.valuation.exact), abs=1e-9)


@LAW
@given(ledgers(), st.integers(0, DAYS - 1))
def test_the_daily_series_is_the_valuation_of_each_day(told: Told, day: int) -> None:
    """The float series and the exact valuation are two ways to the same number."""
    book = told.book()
    every, then = view_of(book), view_of(book, day)
    i = int(np.searchsorted(every.days, then.as_of))
    assert every.past.total[i] == pytest.approx(float(then.valuation.total), abs=0.006)
    assert every.past.cash[i] == pytest.approx(float(then.valuation.cash_base), abs=0.006)


@LAW
@given(ledgers())
def test_what_securities_take_and_give_is_the_cash_that_moved(told: Told) -> None:
    """Day by day, what was put into all securities less what came out is the cash of their entries and the value of what came
    and went in kind: a merger or spin-off moves value between two securities, and makes none.
    """
    past, moved = view_of(told.book()).past, defaultdict[int, float](float)
    for p in told.postings:
        if not p.security_id:
            continue
        day = day_number(p.traded_on)
        rates = [RATES.rate(c, BASE, day) for c in (p.cash_currency, p.currency)]
        cash, kind = (0.0 if isinstance(r, NoRate) else float(r) for r in rates)
        moved[day] -= float(p.net) * cash
        moved[day] += {"transfer_in": 1, "transfer_out": -1}.get(p.kind, 0) * float(p.gross) * kind
    net = (past.bought - past.received).sum(axis=1)
    assert net == pytest.approx([moved[d] for d in past.days.tolist()], abs=1e-6)


@LAW
@given(ledgers(), st.sampled_from(["asset_class", "sector", "country", "currency"]))
def test_weights_sum_to_one(told: Told, by: str) -> None:
    from core.reports import REPORTS

    v = view_of(told.book())
    v.scope = replace(v.scope, by=by)
    table = REPORTS["allocation"].table(Context(v.on, BASE, "1"), view=v)
    if v.valuation.total > 1:
        assert sum(table.column("weight")) == pytest.approx(1.0, abs=1e-4)


fills = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["buy", "sell", "short", "cover"]), st.integers(1, 50)), max_size=30
)


@LAW
@given(fills)
def test_what_is_not_refused_never_takes_more_than_is_there(steps: list[tuple[int, str, int]]) -> None:
    """Trades in any order: those that are let through keep the position on one side, and each refused one had no room."""
    drafts = [
        Draft(kind, FIRST + timedelta(days=day), "EUR", SECURITIES[2], Decimal(n), Decimal(1)) for day, kind, n in steps
    ]
    postings = [post(d, BASE, d.traded_on, FIRST + timedelta(days=20)) for d in drafts]
    nothing = from_postings([])
    ledger, new = joined(nothing, from_postings(postings))
    refused = impossible(ledger, new, ["fifo"])
    held = 0
    for row in range(len(ledger)):
        kind, units = steps[int.from_bytes(bytes(ledger.ids[row]), "big")][1:]
        delta = units if kind in ("buy", "cover") else -units
        possible = {"buy": held >= 0, "sell": held >= units, "short": held <= 0, "cover": -held >= units}[kind]
        assert possible == (row not in refused)
        held += delta if possible else 0


@LAW
@given(ledgers(), st.data())
def test_a_new_entry_never_breaks_a_booked_one(told: Told, data: st.DataObject) -> None:
    """Any sale added anywhere is refused, or leaves a ledger that can be read."""
    number = data.draw(st.sampled_from(sorted(SECURITIES)))
    on = FIRST + timedelta(days=data.draw(st.integers(0, DAYS - 1)))
    draft = Draft("sell", on, SECURITIES[number].currency, SECURITIES[number], data.draw(cents), Decimal(1))
    more = from_postings([post(draft, BASE, on, on)], ids=[UUID(int=10**6)])
    ledger, new = joined(told.ledger, more)
    if impossible(ledger, new, [told.methods]):
        with pytest.raises(Impossible):
            derive(ledger, [told.methods], [BASE], RATES)
    else:
        derive(ledger, [told.methods], [BASE], RATES)


@given(
    st.integers(-(10**15), 10**15),
    st.integers(1, 10**12),
    st.integers(1, 10**12),
    st.sampled_from([1, 10_000, 1_000_000]),
)
def test_a_share_is_the_nearest_multiple(amount: int, part: int, of: int, unit: int) -> None:
    got = share(amount, part, of, unit)
    assert got % unit == 0
    assert abs(got * of - amount * part) * 2 <= unit * of
    assert share(-amount, part, of, unit) == -got


@pytest.mark.parametrize(("amount", "expected"), [(5, 2), (15, 8), (25, 12), (-5, -2), (-15, -8), (6, 3)])
def test_half_goes_to_the_even_one(amount: int, expected: int) -> None:
    assert share(amount, 1, 2, 1) == expected


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(1, 10**9), min_size=1, max_size=20))
def test_shares_add_up_and_none_is_a_cent_off(amount: int, parts: list[int]) -> None:
    amount *= 10_000
    got = shares(amount, parts, 10_000)
    assert sum(got) == amount
    for one, part in zip(got, parts, strict=True):
        assert abs(one * sum(parts) - amount * part) <= 10_000 * sum(parts)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=20))
def test_import_keys_are_stable_and_tell_true_duplicates_apart(rows: list[tuple[str, ...]]) -> None:
    keys = list(importing.keys(iter(rows)))
    assert len(set(keys)) == len(rows)
    assert keys == list(importing.keys(iter(rows)))
    assert keys[:-1] == list(importing.keys(iter(rows[:-1])))
