"""Cost methods: which lots a disposal takes, and how much of each. A new method is a function in PICKS.

A method is dated: the one in force on the day of the disposal decides. Under average cost the lots of a security are one
pool from the first booking of that time on, and stay one lot when another method follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.lots import Lot

METHODS = ("fifo", "lifo", "hifo", "average", "specific")
SPOKEN: Mapping[str, str] = {
    "fifo": "First in, first out",
    "lifo": "Last in, first out",
    "hifo": "Highest cost first",
    "average": "Average cost",
    "specific": "Chosen lots, else first in, first out",
}
# (first day, method), ascending
Dated = Sequence[tuple[int, str]]


def method_on(methods: str | Dated, day: int) -> str:
    """The cost method in force on a day; before the first date the first one."""
    if isinstance(methods, str):
        return methods
    found = methods[0][1]
    for since, method in methods:
        if since > day:
            break
        found = method
    return found


def _in_order(lots: Sequence[Lot]) -> Sequence[Lot]:
    return lots


def _latest(lots: Sequence[Lot]) -> Sequence[Lot]:
    return lots[::-1]


def _dearest(lots: Sequence[Lot]) -> Sequence[Lot]:
    """The highest cost per unit first; of shorts the lowest proceeds first: in both the least gain. Equal ones in order."""
    if len(lots) < 2:
        return lots
    side = -1 if lots[0].units > 0 else 1
    return sorted(lots, key=lambda lot: side * Fraction(lot.whole_cost, lot.whole_units))


PICKS: Mapping[str, Callable[[Sequence[Lot]], Sequence[Lot]]] = {
    "fifo": _in_order,
    "lifo": _latest,
    "hifo": _dearest,
    "average": _in_order,  # one pool
    "specific": _in_order,
}


def picks(lots: Sequence[Lot], wanted: int, method: str) -> list[tuple[Lot, int]]:
    """(lot, units to take) for `wanted` units (positive) out of open lots of one side, which hold at least that many."""
    out: list[tuple[Lot, int]] = []
    for lot in PICKS[method](lots):
        if wanted == 0:
            break
        taken = min(abs(lot.units), wanted)
        out.append((lot, taken))
        wanted -= taken
    return out
