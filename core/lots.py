"""Lots: what is still held and what it cost, every disposal with its gain, and the exact arithmetic of cutting a cost.

They come out of the ledger in `core.booking`. A lot keeps its total cost: the first units taken of it carry their posted
share, the rest stays (NUMBERS 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.ledger import MICRO, UNITS
from core.money import minor_units


@dataclass(slots=True)
class Lot:
    """Units bought (or sold short) together and still open. Units in 1e-10, costs in 1e-6 of the security's and the base
    currency; of a short lot both are negative: its cost is what it brought in.

    `whole_…` is the lot as it was when its cost was last set; what is taken of it carries
    share(whole_cost, units taken so far) − what went before, so that no cent is lost however often it is cut.
    """

    portfolio: int
    security: int
    opened_on: int  # day number; of a pooled lot the first purchase since it was last empty
    units: int
    cost: int
    cost_base: int | None  # None: there was no rate on the day it was bought
    row: int  # the ledger row that opened it
    whole_units: int = 0
    whole_cost: int = 0
    whole_base: int | None = None

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """What is there now is the whole from here on."""
        self.whole_units, self.whole_cost, self.whole_base = self.units, self.cost, self.cost_base

    def take(self, units: int, unit: int, base_unit: int) -> tuple[int, int | None]:
        """Take `units` (positive) out; the cost that goes with them, in both currencies."""
        side = 1 if self.units > 0 else -1
        gone = self.whole_units - self.units + side * units
        cost = self.cost - (self.whole_cost - share(self.whole_cost, gone, self.whole_units, unit))
        self.units -= side * units
        self.cost -= cost
        if self.cost_base is None or self.whole_base is None:
            return cost, None
        base = self.cost_base - (self.whole_base - share(self.whole_base, gone, self.whole_units, base_unit))
        self.cost_base -= base
        return cost, base


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
class Moves:
    """Every change of units: arrays of one length, in booking order. `delta` in 1e-10 (int64 or Python ints)."""

    row: NDArray[np.int64]
    portfolio: NDArray[np.int16]
    security: NDArray[np.int32]
    day: NDArray[np.int32]
    delta: NDArray[np.int64]

    def __eq__(self, other: object) -> bool:
        names = ("row", "portfolio", "security", "day", "delta")
        return isinstance(other, Moves) and all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Lots:
    """Open lots, disposals, deliveries and moves of units, in the order in which they came to be."""

    open: tuple[Lot, ...]
    disposals: tuple[Disposal, ...]
    deliveries: tuple[Delivery, ...]
    moves: Moves


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


def by_security(lots: Sequence[Lot]) -> Mapping[tuple[int, int], list[Lot]]:
    """Open lots grouped by (portfolio, security)."""
    out: dict[tuple[int, int], list[Lot]] = {}
    for lot in lots:
        out.setdefault((lot.portfolio, lot.security), []).append(lot)
    return out
