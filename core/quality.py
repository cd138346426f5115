"""Closes that contradict their neighbours: in another unit (100 times), or with a split that was not applied or applied twice.

Nothing is corrected here: what a price was is not guessed. To look for another fault, add its factor in `jumps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.fx import Series
from core.prices import back_adjusted
from core.reasons import Reason, Undefined
from core.returns import Floats, floats

UNIT = 100.0  # pence for pounds, cents for rand
LEAST = 1.5  # a split nearer to 1 is not told from a move of the market
MOVES = 5.0  # standard deviations of a day's move that a jump exceeds
FEW = 0.1  # of the closes that may be the odd ones where a unit changes there and back
BOTH_WAYS = Undefined("the unit changes there and back, and nothing in the closes says which one is right")


@dataclass(frozen=True, slots=True)
class Jump:
    """Between two closes: those up to the first stand `factor` times too high beside the second."""

    place: int
    """Of the close before the jump."""
    factor: float
    """100 or 1/100, or the ratio of a split (new for old) or its inverse."""

    @property
    def of_unit(self) -> bool:
        """Whether it is a change of unit, not a split."""
        return math.isclose(abs(math.log(self.factor)), math.log(UNIT))


def jumps(closes: ArrayLike, ratios: Iterable[float], paid: ArrayLike = 0.0) -> list[Jump]:
    """Where closes jump by a factor that is no move of the market, newest first.

    Shape: closes in the order of time, adjusted for every later split, with the dividend per share of each day on the same
    basis; `ratios` are the splits of the security, new units for one old. A jump is a day's change `close before ÷ close`,
    or `÷ (close + dividend)` where that is smaller, nearer to such a factor than to 1 (on a logarithmic scale), off it by less
    than a half of it or a quarter of its logarithm, and beyond five standard deviations of a day's change (1.4826 × their
    median absolute deviation). Splits under 3:2 are not told from a move. A factor of 100 needs no split: prices come in pence
    and in pounds. Closes that are missing or not positive are passed over.
    """
    values = floats(closes)
    there = np.flatnonzero(np.isfinite(values) & (values > 0))
    if there.size < 2:
        return []
    before, after = values[there[:-1]], values[there[1:]]
    cash = np.nan_to_num(np.maximum(np.broadcast_to(floats(paid), values.shape)[there[1:]], 0.0))
    plain, with_cash = np.log(before / after), np.log(before / (after + cash))
    change = np.where(np.abs(with_cash) < np.abs(plain), with_cash, plain)  # a dividend may be wrong itself
    width = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    known = {r for ratio in ratios if ratio > 0 for r in (ratio, 1 / ratio)} | {UNIT, 1 / UNIT}
    factors = np.array(sorted(r for r in known if abs(math.log(r)) >= math.log(LEAST)))
    nearest = factors[np.abs(change[:, None] - np.log(factors)).argmin(axis=1)]
    size = np.abs(np.log(nearest))
    off, near = np.abs(change - np.log(nearest)), np.minimum(size / 2, np.maximum(math.log(LEAST), size / 4))
    found = (np.abs(change) > np.maximum(size / 2, MOVES * width)) & (off < near)
    return [Jump(int(there[i]), float(nearest[i])) for i in np.flatnonzero(found)[::-1].tolist()]


def levels(n: int, found: Sequence[Jump]) -> Floats | Reason:
    """What each of n closes has to be multiplied by to stand where the last one stands; 1 for those that do.

    `found` is what `jumps` gives. Undefined where a unit changes there and back and neither is the exception: more than a
    tenth of the closes stand on each level.
    """
    scale = np.ones(n)
    for jump in found:
        scale[: jump.place + 1] /= jump.factor
    scale = np.where(np.abs(scale - 1) < 1e-9, 1.0, scale)
    odd = float(np.mean(scale != 1))
    if len([j for j in found if j.of_unit]) > 1 and odd > FEW:
        return BOTH_WAYS
    return scale


def jumps_in(bars: Sequence[tuple[int, float]], cash: Mapping[int, float], ratios: Mapping[int, float]) -> list[Jump]:
    """The jumps in raw closes (day number, close), oldest first, with the dividends and splits that are known, by day."""
    raw = Series(np.array([day for day, _ in bars], np.int32), np.array([close for _, close in bars], np.float64))
    adjusted = back_adjusted(raw, {}, ratios).values
    paid = np.zeros(len(bars))
    for day, amount in cash.items():
        i = int(np.searchsorted(raw.days, day))
        if 0 < i < len(bars):
            paid[i] += amount * adjusted[i] / raw.values[i]
    return jumps(adjusted, ratios.values(), paid)
