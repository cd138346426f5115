"""Booking: lots, disposals and moves of units out of the ledger. `derive` takes the columns of `core.cumulative` for what they
can do and the plain loop for the rest; both answer the same (tests/test_cumulative.py).

One method of `Booking` for each kind that moves units or cost; it checks before it changes anything. Which lots are taken:
`core.methods`; what corporate actions do to lots: `core.corporate_actions`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import corporate_actions, cumulative
from core.fx import Rates, day_number, posted_steps
from core.ledger import (
    ACTIONS,
    CODE,
    KINDS,
    MICRO,
    TRADES,
    TRANSFERS,
    UNITS,
    Detail,
    Impossible,
    Ledger,
    OverSold,
    named,
    spoken,
    whole,
)
from core.lots import (
    Deliveries,
    Delivery,
    Disposal,
    Disposals,
    Lot,
    Lots,
    Moves,
    OpenLots,
    posting_unit,
    said_units,
    shares,
)
from core.methods import METHODS, Dated, method_on, picks
from core.reasons import NoRate

MOVING = TRADES | TRANSFERS | ACTIONS | {"return_of_capital"}  # what touches lots
_MOVING = np.array([k in MOVING for k in KINDS])  # by code


WORTH = 200  # rows from which columns are faster than the loop


def derive(
    ledger: Ledger,
    methods: Sequence[str | Dated],
    bases: Sequence[str],
    rates: Rates,
    new: Container[int] = (),
    refused: dict[int, Impossible] | None = None,
    names: Mapping[int, str] | None = None,
) -> Lots:
    """All lots, disposals, deliveries and moves of a ledger.

    `methods` and `bases` give each portfolio's cost method (one, or dated) and base currency, by portfolio index. Costs hold
    purchase fees and taxes, proceeds are net of sale fees and taxes. What the holdings of its day do not allow raises
    Impossible with its row; a row in `new` is left out instead and goes into `refused`. `names`: symbols for the words of errors.
    """
    return _derived(ledger, methods, bases, rates, moving(ledger), new, refused, names)


def derive_again(
    ledger: Ledger,
    methods: Sequence[str | Dated],
    bases: Sequence[str],
    rates: Rates,
    before: Lots,
    place: NDArray[np.int64],
    securities: Collection[int],
) -> Lots:
    """The same, where `before` came of a ledger whose row r is row place[r] of this one and which had other entries of some
    securities alone: only theirs are derived. `securities` holds whatever they came from or became (`core.ledger.connected`).
    """
    rows = moving(ledger)
    rows = rows[np.isin(ledger.security[rows], list(securities))]
    return before.elsewhere(place, securities).and_of(_derived(ledger, methods, bases, rates, rows))


def _derived(
    ledger: Ledger,
    methods: Sequence[str | Dated],
    bases: Sequence[str],
    rates: Rates,
    rows: NDArray[np.int64],
    new: Container[int] = (),
    refused: dict[int, Impossible] | None = None,
    names: Mapping[int, str] | None = None,
) -> Lots:
    if len(rows) < WORTH:
        return plain(ledger, methods, bases, rates, new, refused, names, rows)
    _check(methods)
    lots, left = cumulative.fifo(ledger, methods, bases, rates, rows)
    if not len(left):
        return lots
    return lots.and_of(plain(ledger, methods, bases, rates, new, refused, names, left))


def plain(
    ledger: Ledger,
    methods: Sequence[str | Dated],
    bases: Sequence[str],
    rates: Rates,
    new: Container[int] = (),
    refused: dict[int, Impossible] | None = None,
    names: Mapping[int, str] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Lots:
    """The same by the loop alone; of `rows` only, where they are given (all that touch lots of their securities)."""
    _check(methods)
    booking = Booking(ledger, methods, bases, rates, names or {}, moving(ledger) if rows is None else rows)
    for n in range(len(booking.rows)):
        try:
            booking.book(n)
        except Impossible as e:
            e.row = booking.rows[n]
            if refused is None or e.row not in new:
                raise
            refused[e.row] = e
    return booking.lots()


def moving(ledger: Ledger) -> NDArray[np.int64]:
    """The rows that touch lots."""
    return np.flatnonzero(_MOVING[ledger.kind] & (ledger.security > 0))


def _check(methods: Sequence[str | Dated]) -> None:
    for method in (m for dated in methods for m in ([dated] if isinstance(dated, str) else [x for _, x in dated])):
        if method not in METHODS:
            raise Impossible("cost method", method, "expected one of " + ", ".join(METHODS))


@dataclass(frozen=True, slots=True)
class Change:
    """What one row did to one lot: the changes of a lot add up to what is left of it."""

    lot: int  # a number of its own
    security: int
    opened_by: int  # the row that opened it
    row: int
    units: int
    cost: int
    cost_base: int | None


def changes(ledger: Ledger, methods: Sequence[str | Dated], bases: Sequence[str], rates: Rates) -> list[Change]:
    """The history of every lot of a ledger, entry by entry: its opening, and each change of its units or cost."""
    booking = Booking(ledger, methods, bases, rates, {}, moving(ledger))
    known: dict[tuple[int, int], dict[int, tuple[Lot, int, int, int | None]]] = {}  # lots kept alive keep their numbers
    number: dict[int, int] = {}
    out: list[Change] = []
    for n, row in enumerate(booking.rows):
        booking.book(n)
        portfolio, security = booking.key(n)
        detail = booking.detail(n)
        for group in {
            (portfolio, security),
            (portfolio, detail.into if detail is not None and detail.into else security),
        }:
            before = known.setdefault(group, {})
            now = {id(lot): (lot, lot.units, lot.cost, lot.cost_base) for lot in booking.held.get(group, ())}
            for key in before.keys() | now.keys():
                lot, *was = before[key] if key in before else (now[key][0], 0, 0, 0)
                _, *then = now.get(key, (lot, 0, 0, 0))
                if was != then:
                    base = None if was[2] is None or then[2] is None else then[2] - was[2]
                    number.setdefault(key, len(number))
                    out.append(
                        Change(
                            number[key],
                            lot.security,
                            lot.row,
                            row,
                            (then[0] or 0) - (was[0] or 0),
                            (then[1] or 0) - (was[1] or 0),
                            base,
                        )
                    )
                before[key] = now.get(key, (lot, 0, 0, 0))
    return out


def costs(
    ledger: Ledger, methods: Sequence[str | Dated], bases: Sequence[str], rates: Rates, since: int
) -> tuple[dict[int, int], list[tuple[int, int, int]]]:
    """What the open lots cost, in 1e-6: by security at the end of the day before `since` (a day number), then (row, security, change)
    of every later row. In the base currency; in the security's own where a lot has no cost in base, as `core.lots.held` leaves it.
    """
    booking = Booking(ledger, methods, bases, rates, {}, moving(ledger))
    before: dict[int, int] = {}
    out: list[tuple[int, int, int]] = []
    now: dict[int, int] | None = None

    def cost_of(portfolio: int, security: int) -> int:
        lots = booking.held.get((portfolio, security), ())
        known = [lot.cost_base for lot in lots if lot.cost_base is not None]
        return sum(known) if len(known) == len(lots) else sum(lot.cost for lot in lots)

    for n, row in enumerate(booking.rows):
        portfolio, security = booking.key(n)
        if now is None and booking.cols["traded_on"][n] >= since:
            before = {s: cost_of(p, s) for p, s in booking.held}
            now = dict(before)
        booking.book(n)
        if now is None:
            continue
        detail = booking.detail(n)
        for number in {security, detail.into if detail is not None and detail.into else security}:
            cost = cost_of(portfolio, number)
            if cost != now.get(number, 0):
                out.append((row, number, cost - now.get(number, 0)))
                now[number] = cost
    if now is None:
        before = {s: cost_of(p, s) for p, s in booking.held}
    return before, out


class Booking:
    """The state of the loop: open lots by (portfolio, security), and what came of them. A method checks before it changes."""

    def __init__(
        self,
        ledger: Ledger,
        methods: Sequence[str | Dated],
        bases: Sequence[str],
        rates: Rates,
        names: Mapping[int, str],
        rows: NDArray[np.int64],
    ) -> None:
        self.ledger, self.methods, self.bases, self.rates, self.names = ledger, methods, bases, rates, names
        self.rows: list[int] = rows.tolist()
        wanted = (
            "portfolio",
            "kind",
            "security",
            "quantity",
            "ratio",
            "gross",
            "fees",
            "taxes",
            "net",
            "currency",
            "with_fx",
            "traded_on",
        )
        self.cols: dict[str, list[Any]] = {name: getattr(ledger, name)[rows].tolist() for name in wanted}
        self.units_of = [posting_unit(c) for c in ledger.currencies]
        self.base_units = [posting_unit(b) for b in bases]
        self.held: dict[tuple[int, int], list[Lot]] = {}
        self.disposals: list[Disposal] = []
        self.deliveries: list[Delivery] = []
        self.moves: list[tuple[int, int, int, int, int]] = []
        self.rate_of: dict[tuple[str, str, int], Decimal | NoRate] = {}
        self.do: dict[int, Callable[[int], None]] = {CODE[k]: getattr(self, k) for k in MOVING}

    def book(self, n: int) -> None:
        """The n-th row that touches lots."""
        self.do[self.cols["kind"][n]](n)

    def lots(self) -> Lots:
        """What came of it."""
        still = (lot for key in sorted(self.held) for lot in self.held[key])
        return Lots(
            OpenLots.of_lots(still),
            Disposals.of_disposals(self.disposals),
            Deliveries.of_deliveries(self.deliveries),
            Moves.of(self.moves),
        )

    # --- what several kinds need -----------------------------------------------------------------

    def key(self, n: int) -> tuple[int, int]:
        """(portfolio, security) of a row."""
        return self.cols["portfolio"][n], self.cols["security"][n]

    def its(self, n: int) -> list[Lot]:
        """The open lots of a row's security, as one pool where average cost is in force."""
        lots = self.held.setdefault(self.key(n), [])
        if len(lots) > 1 and self.method(n) == "average":
            _pool(lots)
        return lots

    def method(self, n: int) -> str:
        """The cost method in force on the day of a row."""
        return method_on(self.methods[self.cols["portfolio"][n]], self.cols["traded_on"][n])

    def detail(self, n: int) -> Detail | None:
        """What few rows have."""
        return self.ledger.details.get(self.rows[n])

    def paid(self, n: int, sign: int) -> tuple[int, int | None]:
        """Gross plus (sign 1: cost) or less (sign −1: proceeds) fees and taxes, in the row's and the base currency."""
        c = self.cols
        amount = c["gross"][n] + sign * (c["fees"][n] + c["taxes"][n])
        return amount, self.in_base(amount, n)

    def in_base(self, amount: int, n: int, day: int | None = None) -> int | None:
        """An amount of a row in its portfolio's base currency; what cash really moved where the row says so. None: no rate."""
        c = self.cols
        portfolio = c["portfolio"][n]
        currency, base = self.ledger.currencies[c["currency"][n]], self.bases[portfolio]
        if currency == base:
            return amount
        if c["with_fx"][n] and day is None and c["net"][n]:
            return self.cash(n) if amount >= 0 else -self.cash(n)  # fees can be more than a sale brought
        key = (currency, base, c["traded_on"][n] if day is None else day)
        rate = self.rate_of.get(key)
        if rate is None:
            rate = self.rate_of[key] = self.rates.rate(*key)
        if isinstance(rate, NoRate):
            return None
        unit: int = self.base_units[portfolio]
        return posted_steps(amount, rate, unit) * unit

    def cash(self, n: int) -> int:
        """The posted cash of a row, without its sign."""
        net: int = self.cols["net"][n]
        return abs(net)

    def name(self, n: int) -> str:
        """The symbol of a row's security and a space, for the words of an error; nothing where it was not told."""
        symbol = self.names.get(self.cols["security"][n])
        return f"{symbol} " if symbol else ""

    def steps(self, n: int) -> tuple[int, int]:
        """The smallest posted amounts of a row: in its currency and in the base currency."""
        return self.units_of[self.cols["currency"][n]], self.base_units[self.cols["portfolio"][n]]

    def moved(self, n: int, security: int, delta: int) -> None:
        """Note a change of units."""
        if delta:
            self.moves.append((self.rows[n], self.cols["portfolio"][n], security, self.cols["traded_on"][n], delta))

    def open_lot(self, n: int, units: int, cost: int, cost_base: int | None, opened_on: int | None = None) -> None:
        """A new lot, into its place by date; under average cost into the pool."""
        portfolio, security = self.key(n)
        lots, day = self.its(n), self.cols["traded_on"][n] if opened_on is None else opened_on
        lot = Lot(portfolio, security, day, units, cost, cost_base, self.rows[n])
        if not lots or lots[-1].opened_on <= day:
            lots.append(lot)
        else:
            lots.insert(bisect_right(lots, day, key=lambda x: x.opened_on), lot)
        if len(lots) > 1 and self.method(n) == "average":
            _pool(lots)
        self.moved(n, security, units)

    def take(self, n: int) -> list[tuple[Lot, int, int, int | None]]:
        """Take a row's units out of its open lots: (lot, units, cost, cost in base) of each. Raises OverSold."""
        lots, wanted = self.its(n), self.cols["quantity"][n]
        detail = self.detail(n)
        held = sum(abs(lot.units) for lot in lots)
        if held < wanted:
            state = "short" if lots and lots[0].units < 0 else "held"
            raise OverSold(
                "quantity", said_units(wanted), f"only {said_units(held)} {self.name(n)}are {state} on that day"
            )
        method = self.method(n)
        if detail is not None and detail.lots and method != "average":  # a pool has no lots to choose from
            chosen = self.chosen(lots, detail)
        else:
            chosen = picks(lots, wanted, method)
        side = 1 if lots[0].units > 0 else -1
        unit, base_unit = self.steps(n)
        out = [(lot, units, *lot.take(units, unit, base_unit)) for lot, units in chosen]
        if any(not lot.units for lot, _ in chosen):
            lots[:] = [lot for lot in lots if lot.units]
        self.moved(n, self.cols["security"][n], -side * wanted)
        return out

    def chosen(self, lots: Sequence[Lot], detail: Detail) -> list[tuple[Lot, int]]:
        """The lots that somebody chose. Raises Impossible where one is not open with so many units."""
        left = {id(lot): abs(lot.units) for lot in lots}
        out: list[tuple[Lot, int]] = []
        for number, units in detail.lots:
            wanted = whole(units, UNITS)
            for lot in lots:
                if bytes(self.ledger.ids[lot.row]) == number.bytes and left[id(lot)] and wanted:
                    taken = min(left[id(lot)], wanted)
                    out.append((lot, taken))
                    left[id(lot)] -= taken
                    wanted -= taken
            if wanted:
                have = whole(units, UNITS) - wanted
                raise Impossible(
                    "lots",
                    f"{number}",
                    f"that lot has {said_units(have)} units open on that day, not {units.normalize():f}",
                )
        return out

    def only(self, n: int, long: bool, instead: str) -> list[Lot]:
        """The open lots, all on one side. Raises Impossible where they are on the other."""
        lots = self.its(n)
        if lots and (lots[0].units > 0) != long:
            side = "long" if lots[0].units > 0 else "short"
            raise Impossible("kind", spoken(KINDS[self.cols["kind"][n]]),
                             f"the {self.name(n)}position is {side} by {said_units(abs(sum(x.units for x in lots)))} on that day: {instead}")  # fmt: skip
        return lots

    def dispose(self, n: int, short: bool) -> None:
        """Close units out of lots and note each disposal: the row's amount is spread over them by units."""
        amount, amount_base = self.paid(n, 1 if short else -1)
        taken = self.take(n)
        unit, base_unit = self.steps(n)
        parts = shares(amount, [units for _, units, _, _ in taken], unit)
        bases: list[int | None] = [None] * len(taken)
        if amount_base is not None:
            bases = list(shares(amount_base, [units for _, units, _, _ in taken], base_unit))
        portfolio, security = self.key(n)
        for (lot, units, cost, cost_base), part, part_base in zip(taken, parts, bases, strict=True):
            sides = (part, cost, part_base, cost_base)
            if short:
                sides = (-cost, part, None if cost_base is None else -cost_base, part_base)
            self.disposals.append(
                Disposal(
                    portfolio,
                    security,
                    lot.opened_on,
                    self.cols["traded_on"][n],
                    units,
                    *sides,
                    lot.row,
                    self.rows[n],
                    short,
                )
            )

    # --- the kinds ---------------------------------------------------------------------------------

    def buy(self, n: int) -> None:
        self.only(n, True, "book a cover")
        self.open_lot(n, self.cols["quantity"][n], *self.paid(n, 1))

    def sell(self, n: int) -> None:
        self.only(n, True, "a short position is closed by a cover, enlarged by a short")
        self.dispose(n, False)

    def short(self, n: int) -> None:
        self.only(n, False, "sell what is held first")
        amount, base = self.paid(n, -1)
        self.open_lot(n, -self.cols["quantity"][n], -amount, None if base is None else -base)

    def cover(self, n: int) -> None:
        self.only(n, False, "only a short position can be covered: book a buy")
        self.dispose(n, True)

    def transfer_in(self, n: int) -> None:
        self.only(n, True, "cover it first")
        detail = self.detail(n)
        acquired = None if detail is None or detail.acquired_on is None else day_number(detail.acquired_on)
        cost, base = self.cols["gross"][n], None
        if detail is not None and detail.basis is not None:
            cost = whole(detail.basis, MICRO)
        if detail is not None and detail.basis_base is not None:
            base = whole(detail.basis_base, MICRO)
        else:
            base = self.in_base(cost, n, self.cols["traded_on"][n] if acquired is None else acquired)
        self.open_lot(n, self.cols["quantity"][n], cost, base, acquired)

    def transfer_out(self, n: int) -> None:
        self.only(n, True, "cover it first")
        portfolio, security = self.key(n)
        for lot, units, cost, base in self.take(n):
            self.deliveries.append(
                Delivery(
                    portfolio,
                    security,
                    lot.opened_on,
                    self.cols["traded_on"][n],
                    units,
                    cost,
                    base,
                    lot.row,
                    self.rows[n],
                )
            )

    def split(self, n: int) -> None:
        lots = self.its(n)
        before = sum(lot.units for lot in lots)
        corporate_actions.split(lots, self.cols["ratio"][n])
        self.moved(n, self.cols["security"][n], sum(lot.units for lot in lots) - before)

    def return_of_capital(self, n: int) -> None:
        lots = self.some(n)
        amount, base = self.paid(n, -1)
        for lot, paid in zip(
            lots, corporate_actions.return_of_capital(lots, amount, base, *self.steps(n)), strict=True
        ):
            self.cash_in(n, lot, paid)

    def spin_off(self, n: int) -> None:
        lots, detail = self.some(n), self.needed(n)
        into = self.target(n, lots, detail)
        assert detail.fraction is not None
        new = corporate_actions.spin_off(
            lots, detail.into or 0, self.cols["ratio"][n], whole(detail.fraction, UNITS), *self.steps(n)
        )
        self.settle(n, into, new)

    def merger(self, n: int) -> None:
        detail = self.needed(n)
        cash, base = self.paid(n, -1)
        if detail.into is None:
            self.only(n, True, "cover it first")
            held = self.some(n)
            self.cols["quantity"][n] = sum(lot.units for lot in held)
            self.dispose(n, False)
            return
        lots = self.only(n, True, "cover it first") if cash else self.its(n)
        self.some(n)
        into = self.target(n, lots, detail)
        price = whole(detail.price, UNITS)
        new, paid = corporate_actions.merger(
            lots, detail.into, self.cols["ratio"][n], price, cash, base, *self.steps(n)
        )
        if cash:
            for lot, one in zip(lots, paid, strict=True):
                self.cash_in(n, lot, one)
        self.moved(n, self.cols["security"][n], -sum(lot.units for lot in lots))
        lots.clear()
        self.settle(n, into, new)

    def symbol_change(self, n: int) -> None:
        lots, detail = self.its(n), self.needed(n)
        into = self.target(n, lots, detail)
        new, _ = corporate_actions.merger(lots, detail.into or 0, UNITS, 0, 0, 0, *self.steps(n))
        self.moved(n, self.cols["security"][n], -sum(lot.units for lot in lots))
        lots.clear()
        self.settle(n, into, new)

    def some(self, n: int) -> list[Lot]:
        """The open lots. Raises Impossible where there are none."""
        lots = self.its(n)
        if not lots:
            raise Impossible("symbol", self.names.get(self.cols["security"][n]), "none of it is held on that day")
        if lots[0].units < 0 and KINDS[self.cols["kind"][n]] == "return_of_capital":
            raise Impossible(
                "symbol",
                self.names.get(self.cols["security"][n]),
                "the position is short on that day: book what was paid as a fee",
            )
        return lots

    def needed(self, n: int) -> Detail:
        """The detail of a row that cannot be without one."""
        detail = self.detail(n)
        if detail is None:
            raise Impossible("into", None, f"{named(KINDS[self.cols['kind'][n]])} needs the security that it ends in")
        return detail

    def target(self, n: int, lots: Sequence[Lot], detail: Detail) -> list[Lot]:
        """The open lots of the security that an action ends in. Raises Impossible where they are on the other side."""
        into = self.held.setdefault((self.cols["portfolio"][n], detail.into or 0), [])
        if into and lots and (into[0].units > 0) != (lots[0].units > 0):
            raise Impossible(
                "into",
                self.names.get(detail.into or 0),
                "it is held on the other side (long and short): close that first",
            )
        return into

    def settle(self, n: int, into: list[Lot], new: Sequence[Lot]) -> None:
        """Lots of an action into their places."""
        if not new:
            return
        self.moved(n, new[0].security, sum(lot.units for lot in new))
        into.extend(new)
        into.sort(key=lambda lot: lot.opened_on)
        if len(into) > 1 and self.method(n) == "average":
            _pool(into)

    def cash_in(self, n: int, lot: Lot, paid: corporate_actions.Paid) -> None:
        """Note cash that relieved the cost of a lot without taking units."""
        portfolio, security = self.key(n)
        self.disposals.append(
            Disposal(portfolio, security, lot.opened_on, self.cols["traded_on"][n], 0, paid.proceeds, paid.cost, paid.proceeds_base,
                     paid.cost_base, lot.row, self.rows[n])
        )  # fmt: skip


def _pool(lots: list[Lot]) -> None:
    """Make one lot of several, in place."""
    first = lots[0]
    first.units = sum(lot.units for lot in lots)
    first.cost = sum(lot.cost for lot in lots)
    bases = [lot.cost_base for lot in lots]
    first.cost_base = None if None in bases else sum(b for b in bases if b is not None)
    first.opened_on = min(lot.opened_on for lot in lots)
    first.reset()
    del lots[1:]


def impossible(
    ledger: Ledger, new: NDArray[np.bool_], methods: Sequence[str | Dated], names: Mapping[int, str] | None = None
) -> dict[int, Impossible]:
    """Which new rows of a ledger the holdings do not allow: {row: why}. One by one, in order: a refused row is left out before
    the next is asked; a new row that makes a later, booked one impossible is refused too.
    """
    refused: dict[int, Impossible] = {}
    while True:
        there = np.array([r for r in range(len(ledger)) if r not in refused], np.int64)
        fresh = frozenset(np.flatnonzero(new[there]).tolist())
        found: dict[int, Impossible] = {}
        part = ledger.only(there)
        try:
            derive(part, methods, ["XXX"] * len(methods), Rates({}), fresh, found, names)
        except Impossible as e:
            blamed = _blamed(part, e.row, fresh - found.keys())
            if blamed is None:
                e.row = int(there[e.row])
                raise
            row = int(there[blamed])
            refused[row] = Impossible(e.field, e.value, f"it would make a later entry impossible: {e.expected}", row)
        else:
            for i, why in found.items():
                why.row = int(there[i])
                refused[why.row] = why
            return refused


def _blamed(ledger: Ledger, row: int, new: frozenset[int]) -> int | None:
    """The last new row before a booked one that touches its security; None where there is none."""

    def touched(r: int) -> set[tuple[int, int]]:
        detail = ledger.details.get(r)
        numbers = {int(ledger.security[r])} | ({detail.into} if detail is not None and detail.into else set())
        return {(int(ledger.portfolio[r]), s) for s in numbers}

    mine = touched(row)
    return max((r for r in new if r < row and touched(r) & mine), default=None)
