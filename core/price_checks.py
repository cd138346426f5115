"""Prices that came in another unit or on another basis than those before them. Pure: what is said here, jobs do.

Exchanges that quote in a hundredth of a currency (pence, cents, agorot) are where feeds slip: some closes come in the main unit
although the feed says the small one. And a feed that adjusts its closes for splits must not overwrite raw ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log

HUNDREDFOLD = log(100)
BAND = log(2)  # how far a step may be from a hundredfold to be taken for one
SAME = log(1.2)  # how far a close may be corrected without a look at what explains it
EXACT = 0.01  # how near a factor is to that of a split
SPLITS = tuple(
    n / m
    for n, m in (
        (5, 4),
        (4, 3),
        (3, 2),
        (5, 2),
        *((n, 1) for n in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)),
    )
)

Splits = Sequence[tuple[date, float]]  # (first day on the new basis, new units for one old), oldest first


@dataclass(frozen=True, slots=True)
class Point:
    """A price of a day in the main currency. `minor`: its feed quotes in a hundredth, so that it was divided by 100.
    `stored`: it stands in the database; it is what the others are held against."""

    on: date
    price: float
    minor: bool = True
    stored: bool = False


def unit_factors(points: Sequence[Point], splits: Splits = ()) -> list[int | None]:
    """What each price is to be multiplied by: 1 as it came, 100 where it came in the main unit already, None where it is not usable.

    `points` in the order of time. Only prices that came in a hundredth of their currency are ever touched. A step of about 1 to
    100 between two neighbours, splits left aside, leads to another level. What is stored, or came in the main unit, says which level is right;
    without any it is the highest, for a price in the small unit is the larger number. Above the right level a price is not
    usable. Where a single price stands alone above all others it is that one which is not usable, if it lies between others,
    else none of them is: nobody can tell which is right.
    """
    levels = _levels(points, splits)
    known = [level for p, level in zip(points, levels, strict=True) if p.stored or not p.minor]
    right = max(known or levels, default=0)
    high = [i for i, level in enumerate(levels) if level == right]
    low = len(points) - len(high)
    if not known and len(high) == 1 and low >= 2:
        between = 0 < high[0] < len(points) - 1 and low >= 3 and len(set(levels)) == 2
        return [None if not between or i == high[0] else 1 for i in range(len(points))]
    return [1 if p.stored or not p.minor or level == right else 100 if level == right - 1 else None
            for p, level in zip(points, levels, strict=True)]  # fmt: skip


def _levels(points: Sequence[Point], splits: Splits) -> list[int]:
    """The level of each price: 0 for the first, one less after a fall to about a hundredth, one more after such a rise."""
    out: list[int] = []
    for i, p in enumerate(points):
        if not i:
            out.append(0)
            continue
        before = points[i - 1]
        step = log(p.price / before.price) + sum(log(ratio) for on, ratio in splits if before.on < on <= p.on)
        levels = round(step / HUNDREDFOLD)
        out.append(out[-1] + (levels if abs(step - levels * HUNDREDFOLD) < BAND else 0))
    return out


@dataclass(frozen=True, slots=True)
class Basis:
    """Days whose new closes stand on another basis than the stored ones, and the day that tells: what came then, what is stored."""

    days: frozenset[date]
    on: date
    came: float
    stored: float
    why: str


def other_basis(
    new: Mapping[date, float], stored: Mapping[date, float], splits: Splits, corrects: bool = True
) -> Basis | None:
    """Whether new closes are adjusted for a split for which stored ones of the same days are not, or the other way round; None: no.

    A day that both have tells. Where a split that is known explains the difference, the new closes before it are on the other basis. Where none
    is known, a difference of the size of a split tells all the same, if the stored close agrees with one beside
    it: then all new closes but the newest are, where that is newer than all that is stored. Any other difference is a correction, unless
    the new closes are only to stand between stored ones (`corrects` is false): then they do not belong there.
    """
    for on in sorted(set(new) & set(stored), reverse=True):
        off = log(new[on] / stored[on])
        for day, ratio in _known(splits, on):
            if abs(log(ratio)) > 2 * EXACT and abs(abs(off) - abs(log(ratio))) < EXACT:
                days = frozenset(d for d in new if d < day)
                return Basis(days, on, new[on], stored[on], f"adjusted for the split of {day}")
        if abs(off) < SAME:
            continue
        if any(abs(abs(off) - log(s)) < EXACT / 2 for s in SPLITS) and _agrees(stored, on):
            newest = max(new)
            keep = {newest} if newest > max(stored) else set()
            why = "as if adjusted for a split that is not known here"
            return Basis(frozenset(new) - keep, on, new[on], stored[on], why)
        if not corrects:
            return Basis(frozenset(new), on, new[on], stored[on], "which is another series")
    return None


def _agrees(stored: Mapping[date, float], on: date) -> bool:
    """Whether the stored close of a day is near that before or after it."""
    beside = [max((d for d in stored if d < on), default=None), min((d for d in stored if d > on), default=None)]
    return any(d is not None and abs(log(stored[on] / stored[d])) < SAME for d in beside)


def _known(splits: Splits, on: date) -> list[tuple[date, float]]:
    """Every split after a day, and every product of such up to one of them: what closes of that day may be adjusted for."""
    later = [(day, ratio) for day, ratio in splits if day > on]
    found = list(later)
    product = 1.0
    for day, ratio in later:
        product *= ratio
        found.append((day, product))
    return found
