"""Lots: what is still held and what it cost, every disposal with its gain, and the exact arithmetic of cutting a cost.

They come out of the ledger in `core.booking`. A lot keeps its total cost: the first units taken of it carry their posted
share, the rest stays (NUMBERS 2). A holding is counted in units of 1e-10: what a split or the like leaves of such a part is kept
beside its lots (`Lot.rest`), and what is rounded is the holding, once; its lots add up to it (`level`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.ledger import MICRO, UNITS, fitting
from core.money import minor_units

Exact = int | Fraction  # units of 1e-10 and parts of one
DUST = 100  # units of 1e-10: what lots that were rounded one by one may have been more than their sum


@dataclass(slots=True)
class Lot:
    """Units bought (or sold short) together and still open. Units in 1e-10, costs in 1e-6 of the security's and the base
    currency; of a short lot both are negative: its cost is what it brought in.

    `whole_…` is the lot as it was when its cost was last set; what is taken of it carries
    share(whole_cost, units taken so far) − what went before, so that no cent is lost however often it is cut.
    Its exact size is units + rest; `rest` and `whole_units` are of the loop that books: what comes of it has whole units.
    """

    portfolio: int
    security: int
    opened_on: int  # day number; of a pooled lot the first purchase since it was last empty
    units: int
    cost: int
    cost_base: int | None  # None: there was no rate on the day it was bought
    row: int  # the ledger row that opened it
    whole_units: Exact = 0
    whole_cost: int = 0
    whole_base: int | None = None
    rest: Exact = 0

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """What is there now is the whole from here on."""
        self.whole_units, self.whole_cost, self.whole_base = self.units + self.rest, self.cost, self.cost_base

    def take(self, units: int, unit: int, base_unit: int) -> tuple[int, int | None]:
        """Take `units` (positive) out; the cost that goes with them, in both currencies: with the last of them all that is left."""
        side = 1 if self.units > 0 else -1
        self.units -= side * units
        gone, whole = self.whole_units - self.units - self.rest if self.units else self.whole_units, self.whole_units
        if not isinstance(gone, int) or not isinstance(whole, int):
            gone, whole = gone.numerator * whole.denominator, whole.numerator * gone.denominator
        cost = self.cost - (self.whole_cost - share(self.whole_cost, gone, whole, unit))
        self.cost -= cost
        if self.cost_base is None or self.whole_base is None:
            return cost, None
        base = self.cost_base - (self.whole_base - share(self.whole_base, gone, whole, base_unit))
        self.cost_base -= base
        return cost, base

    def scale(self, new: int, old: int) -> None:
        """`new` units for `old`, exactly; `units` counts whole ones, `level` makes them those of the holding."""
        if not (self.rest or self.units * new % old or self.whole_units * new % old):
            self.units, self.whole_units = self.units * new // old, self.whole_units * new // old
            return
        size = (self.units + self.rest) * Fraction(new, old)
        self.units = floor(size)
        self.rest = _plain(size - self.units)
        self.whole_units = _plain(self.whole_units * Fraction(new, old))

    def absorb(self, part: Exact) -> None:
        """Take in what a closed lot leaves of one unit; it has no cost."""
        self.rest = _plain(self.rest + part)
        self.whole_units = _plain(self.whole_units + part)

    def join(self, other: Lot) -> None:
        """Take in another lot: its units and its cost."""
        self.units += other.units
        self.rest = _plain(self.rest + other.rest)
        self.cost += other.cost
        self.cost_base = None if self.cost_base is None or other.cost_base is None else self.cost_base + other.cost_base
        self.reset()


def _plain(number: Exact) -> Exact:
    return number.numerator if number.denominator == 1 else number


def level(lots: list[Lot]) -> None:
    """Count a holding's units anew, in place: the whole is rounded (halves away from zero, at least one unit of 1e-10), its lots
    are the differences of the rounded sums, so that they add up to it. A lot of which nothing is left to count goes into the next one,
    its cost with it.
    """
    if not any(lot.rest for lot in lots):
        return
    side = 1 if sum(lot.units + lot.rest for lot in lots) > 0 else -1
    so_far, counted = Fraction(0), 0
    kept: list[Lot] = []
    for i, lot in enumerate(lots):
        size = lot.units + lot.rest
        so_far += side * size
        upto = floor(so_far + Fraction(1, 2))
        if i == len(lots) - 1:
            upto = max(upto, 1)
        lot.units = side * (upto - counted)
        lot.rest = _plain(size - lot.units)
        counted = upto
        if kept and not (kept[-1].units and lot.units):
            before = kept.pop()
            lot, gone = (lot, before) if lot.units else (before, lot)
            lot.join(gone)
        kept.append(lot)
    lots[:] = kept


def pool(lots: list[Lot]) -> None:
    """Make one lot of several, in place."""
    first = lots[0]
    for lot in lots[1:]:
        first.join(lot)
        first.opened_on = min(first.opened_on, lot.opened_on)
    first.reset()
    del lots[1:]


@dataclass(frozen=True, slots=True)
class Disposal:
    """Units sold out of one lot, or bought back into a short one. gain = proceeds − cost, in both currencies.

    Cash that a return of capital or a merger pays without taking units has units 0: its cost is the cost it relieves.
    """

    portfolio: int
    security: int
    opened_on: int
    closed_on: int
    units: int
    proceeds: int
    cost: int
    proceeds_base: int | None
    cost_base: int | None
    opening_row: int
    row: int
    short: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """Units that left in kind out of one lot, with their cost: neither sold nor lost."""

    portfolio: int
    security: int
    opened_on: int
    delivered_on: int
    units: int
    cost: int
    cost_base: int | None
    opening_row: int
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Arrays of one length. `row` is the ledger row that each entry came from; `known` tells whether amounts in the base
    currency are there (they are 0 where not). Units and money are int64, or Python ints (dtype object) where one does not fit.
    """

    row: NDArray[np.int64]
    portfolio: NDArray[np.int16]
    security: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )

    __hash__ = None  # type: ignore[assignment]

    def only(self, rows: NDArray[Any]) -> Self:
        """Some of the entries: by a mask, or by place in the order given."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def of(cls, entries: Sequence[tuple[Any, ...]]) -> Self:
        """Columns of entries given field by field."""
        names = [f.name for f in fields(cls)]
        values = zip(*entries, strict=True) if entries else ([] for _ in names)
        return cls(**{n: _column(n, v) for n, v in zip(names, values, strict=True)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several one after the other."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def elsewhere(self, place: NDArray[np.int64], securities: Collection[int]) -> Self:
        """The entries of all but some securities, on the new places of their ledger rows."""
        kept = self.only(~np.isin(self.security, list(securities)))
        rows = {f.name: place[getattr(kept, f.name)] for f in fields(self) if f.name in ("row", "opening_row")}
        return replace(kept, **rows)

    def lists(self) -> Iterator[tuple[Any, ...]]:
        """Entry by entry, field by field, as Python values."""
        return zip(*(getattr(self, f.name).tolist() for f in fields(self)), strict=True)


_DTYPES: Mapping[str, Any] = {
    "row": np.int64,
    "opening_row": np.int64,
    "portfolio": np.int16,
    "security": np.int32,
    "day": np.int32,
    "opened_on": np.int32,
    "closed_on": np.int32,
    "delivered_on": np.int32,
    "known": np.bool_,
    "proceeds_known": np.bool_,
    "short": np.bool_,
}


def _column(name: str, values: Iterable[Any]) -> NDArray[Any]:
    dtype = _DTYPES.get(name)
    return fitting(list(values)) if dtype is None else np.array(list(values), dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Moves(Columns):
    """Every change of units, in booking order. `delta` in 1e-10."""

    day: NDArray[np.int32]
    delta: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class OpenLots(Columns):
    """Open lots by portfolio, security and place."""

    opened_on: NDArray[np.int32]
    units: NDArray[np.int64]
    cost: NDArray[np.int64]
    cost_base: NDArray[np.int64]
    known: NDArray[np.bool_]

    @classmethod
    def of_lots(cls, lots: Iterable[Lot]) -> OpenLots:
        """The columns of lots."""
        return cls.of(
            [
                (x.row, x.portfolio, x.security, x.opened_on, x.units, x.cost, x.cost_base or 0, x.cost_base is not None)
                for x in lots
            ]
        )

    def objects(self) -> tuple[Lot, ...]:
        """The lots themselves."""
        return tuple(
            Lot(portfolio, security, day, units, cost, base if known else None, row)
            for row, portfolio, security, day, units, cost, base, known in self.lists()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Disposals(Columns):
    """Disposals by ledger row, and within one in the order in which its lots were taken."""

    opened_on: NDArray[np.int32]
    closed_on: NDArray[np.int32]
    units: NDArray[np.int64]
    proceeds: NDArray[np.int64]
    cost: NDArray[np.int64]
    proceeds_base: NDArray[np.int64]
    cost_base: NDArray[np.int64]
    proceeds_known: NDArray[np.bool_]
    known: NDArray[np.bool_]  # the cost in the base currency
    opening_row: NDArray[np.int64]
    short: NDArray[np.bool_]

    @classmethod
    def of_disposals(cls, disposals: Iterable[Disposal]) -> Disposals:
        """The columns of disposals."""
        return cls.of(
            [
                (d.row, d.portfolio, d.security, d.opened_on, d.closed_on, d.units, d.proceeds, d.cost, d.proceeds_base or 0, d.cost_base or 0,
                 d.proceeds_base is not None, d.cost_base is not None, d.opening_row, d.short)
                for d in disposals
            ]
        )  # fmt: skip

    def objects(self) -> tuple[Disposal, ...]:
        """The disposals themselves."""
        return tuple(
            Disposal(portfolio, security, opened, closed, units, proceeds, cost, base_in if known_in else None, base if known else None,
                     opening, row, short)
            for row, portfolio, security, opened, closed, units, proceeds, cost, base_in, base, known_in, known, opening, short
            in self.lists()
        )  # fmt: skip

    def gains(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """proceeds − cost in the base currency, and where it is known (0 where not)."""
        known = self.proceeds_known & self.known
        return np.where(known, summable(self.proceeds_base) - summable(self.cost_base), 0), known


@dataclass(frozen=True, slots=True, eq=False)
class Deliveries(Columns):
    """Deliveries by ledger row, and within one in the order in which its lots were taken."""

    opened_on: NDArray[np.int32]
    delivered_on: NDArray[np.int32]
    units: NDArray[np.int64]
    cost: NDArray[np.int64]
    cost_base: NDArray[np.int64]
    known: NDArray[np.bool_]
    opening_row: NDArray[np.int64]

    @classmethod
    def of_deliveries(cls, deliveries: Iterable[Delivery]) -> Deliveries:
        """The columns of deliveries."""
        return cls.of(
            [
                (d.row, d.portfolio, d.security, d.opened_on, d.delivered_on, d.units, d.cost, d.cost_base or 0, d.cost_base is not None,
                 d.opening_row)
                for d in deliveries
            ]
        )  # fmt: skip

    def objects(self) -> tuple[Delivery, ...]:
        """The deliveries themselves."""
        return tuple(
            Delivery(portfolio, security, opened, delivered, units, cost, base if known else None, opening, row)
            for row, portfolio, security, opened, delivered, units, cost, base, known, opening in self.lists()
        )


@dataclass(frozen=True)
class Lots:
    """What is open, what was disposed of and delivered, and every move of units: as columns, and as objects on demand.

    Order: open lots by (portfolio, security) and then place; all else by ledger row, within a row as it came to be.
    """

    still: OpenLots
    closed: Disposals
    delivered: Deliveries
    moves: Moves

    @cached_property
    def open(self) -> tuple[Lot, ...]:
        """Open lots as objects."""
        return self.still.objects()

    @cached_property
    def disposals(self) -> tuple[Disposal, ...]:
        """Disposals as objects."""
        return self.closed.objects()

    @cached_property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Deliveries as objects."""
        return self.delivered.objects()

    def elsewhere(self, place: NDArray[np.int64], securities: Collection[int]) -> Lots:
        """Those of all but some securities, on the new places of their ledger rows."""
        parts = (self.still, self.closed, self.delivered, self.moves)
        return Lots(*(part.elsewhere(place, securities) for part in parts))  # type: ignore[arg-type]

    def and_of(self, other: Lots) -> Lots:
        """These and those of other (portfolio, security) pairs of the same ledger, in one order."""
        still = OpenLots.joined((self.still, other.still))
        closed = Disposals.joined((self.closed, other.closed))
        delivered = Deliveries.joined((self.delivered, other.delivered))
        moves = Moves.joined((self.moves, other.moves))
        return Lots(
            still.only(np.lexsort((still.security, still.portfolio))),
            closed.only(np.argsort(closed.row, kind="stable")),
            delivered.only(np.argsort(delivered.row, kind="stable")),
            moves.only(np.argsort(moves.row, kind="stable")),
        )


@dataclass(frozen=True, slots=True)
class Held:
    """The open lots of one security of one portfolio together. Units in 1e-10, costs in 1e-6."""

    portfolio: int
    security: int
    opened_on: int  # day number of the oldest lot
    units: int
    cost: int
    cost_base: int | None  # None: of a lot it is not known
    lots: int


def held(lots: OpenLots) -> list[Held]:
    """What is held, by portfolio and security."""
    if not len(lots):
        return []
    first = np.append(True, (np.diff(lots.portfolio) != 0) | (np.diff(lots.security) != 0))
    starts = np.flatnonzero(first)
    sums = [np.add.reduceat(summable(x), starts).tolist() for x in (lots.units, lots.cost, lots.cost_base)]
    known = np.logical_and.reduceat(lots.known, starts).tolist()
    oldest = np.minimum.reduceat(lots.opened_on, starts).tolist()
    counts = np.diff(np.append(starts, len(lots))).tolist()
    numbers = zip(lots.portfolio[starts].tolist(), lots.security[starts].tolist(), strict=True)
    return [
        Held(portfolio, security, oldest[i], sums[0][i], sums[1][i], sums[2][i] if known[i] else None, counts[i])
        for i, (portfolio, security) in enumerate(numbers)
    ]


def totals(keys: NDArray[Any], amounts: NDArray[np.int64]) -> dict[int, int]:
    """The exact sum of the amounts of each key."""
    numbers, place = np.unique(keys, return_inverse=True)
    amounts = summable(amounts)
    sums = np.zeros(len(numbers), amounts.dtype)
    np.add.at(sums, place, amounts)
    return dict(zip(numbers.tolist(), sums.tolist(), strict=True))


def summable(amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same amounts; as Python ints where their sum could go beyond int64."""
    if amounts.dtype != object and len(amounts) and float(np.abs(amounts.astype(np.float64)).sum()) >= 2.0**62:
        return amounts.astype(object)
    return amounts


def share(amount: int, part: int, whole: int, unit: int) -> int:
    """amount × part / whole, rounded half-even to multiples of `unit`; exact integers. The sign of part / whole is positive."""
    numerator, denominator = amount * part, whole * unit
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient * unit


def shares(amount: int, parts: Sequence[int], unit: int) -> list[int]:
    """`amount` split over `parts`, each rounded as the sum so far: they add up to the amount."""
    all_of, so_far, given, out = sum(parts), 0, 0, []
    for part in parts:
        so_far += part
        upto = amount if so_far == all_of else share(amount, so_far, all_of, unit)
        out.append(upto - given)
        given = upto
    return out


def posting_unit(currency: str) -> int:
    """The smallest posted amount of a currency, in 1e-6."""
    return int(MICRO // 10 ** minor_units(currency))


def said_units(number: int) -> str:
    """Units of 1e-10 as a plain decimal."""
    text = format(Decimal(number) / UNITS, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
