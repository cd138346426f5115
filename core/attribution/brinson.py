"""Brinson attribution of one period: allocation, selection and interaction by segment, which add up to the active return."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.returns import Floats, floats

Model = Literal["fachler", "hood-beebower"]
CLOSE = 1e-9
"""Weights of portfolio and benchmark may differ in sum by this much; the residual is that difference × a return."""


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """The effects of one period, one of each per segment, as fractions of the value at its start.

    They add up to `active` = portfolio return − benchmark return: there is no residual.
    """

    segments: tuple[str, ...]
    allocation: Floats
    """What weighing a segment differently from the benchmark earned."""
    selection: Floats
    """What earning other returns than the benchmark inside a segment earned."""
    interaction: Floats
    """What doing both at once earned."""
    portfolio_return: float
    benchmark_return: float

    @property
    def active(self) -> float:
        """The arithmetic difference of the two returns."""
        return self.portfolio_return - self.benchmark_return

    @property
    def total(self) -> Floats:
        """The three effects of each segment together."""
        return np.asarray(self.allocation + self.selection + self.interaction, dtype=np.float64)

    def without_interaction(self, counted_in: Literal["allocation", "selection"] = "selection") -> Effects:
        """Two effects instead of three: the interaction counts in one of the others.

        In selection, where managers choose securities within segments whose weights are given to them
        (`selection = wp × (rp − rb)`, Bacon); in allocation, where it is the other way round
        (`allocation = (wp − wb) × (rp − rb of the whole)`).
        """
        folded = getattr(self, counted_in) + self.interaction
        return replace(self, interaction=np.zeros_like(self.interaction), **{counted_in: folded})


def brinson(
    segments: Sequence[str],
    portfolio_weights: ArrayLike,
    benchmark_weights: ArrayLike,
    portfolio_returns: ArrayLike,
    benchmark_returns: ArrayLike,
    model: Model = "fachler",
) -> Effects:
    """Allocation, selection and interaction of one period.

        allocation   (wp − wb) × (rb − b)      Brinson-Fachler; (wp − wb) × rb in Brinson-Hood-Beebower
        selection    wb × (rp − rb)
        interaction  (wp − wb) × (rp − rb)

    with a segment's weights wp, wb at the start of the period and its returns rp, rb in it, and the benchmark's return
    b = Σ wb × rb. The models differ by segment only: the sums are the same wherever both sets of weights have one sum.

    Shape: one entry per segment. A return may be NaN where its weight is zero: a segment that one side does not hold
    counts with the return of the other side, so that all of it is allocation. Raises ValueError, naming the segment, where
    a return is missing under a weight, where lengths differ, a segment stands twice, or the sums of the weights differ.

    Sources: Brinson, Hood, Beebower, Determinants of Portfolio Performance (1986); Brinson, Fachler, Measuring Non-US
    Equity Portfolio Performance (1985); Bacon, Practical Portfolio Performance Measurement and Attribution, ch. 5.
    """
    names = tuple(segments)
    if len(set(names)) != len(names):
        raise ValueError(f"segments: {sorted({n for n in names if names.count(n) > 1})} stand more than once")
    wp, wb, rp, rb = (floats(v) for v in (portfolio_weights, benchmark_weights, portfolio_returns, benchmark_returns))
    for name, values in (("portfolio_weights", wp), ("benchmark_weights", wb), ("portfolio_returns", rp), ("benchmark_returns", rb)):  # fmt: skip
        if values.shape != (len(names),):
            raise ValueError(f"{name}: {values.shape} values for {len(names)} segments")
    _complete(names, "portfolio", wp, rp)
    _complete(names, "benchmark", wb, rb)
    if abs(float(wp.sum() - wb.sum())) > CLOSE:
        raise ValueError(
            f"weights: the portfolio's add up to {float(wp.sum()):.9g}, the benchmark's to {float(wb.sum()):.9g}; "
            "they must have one sum (cash is a segment)"
        )
    own, theirs = np.where(np.isfinite(rp), rp, rb), np.where(np.isfinite(rb), rb, rp)
    own, theirs = np.nan_to_num(own), np.nan_to_num(theirs)  # held by neither side
    whole = float(wb @ theirs)
    hurdle = whole if model == "fachler" else 0.0
    return Effects(
        names,
        (wp - wb) * (theirs - hurdle),
        wb * (own - theirs),
        (wp - wb) * (own - theirs),
        float(wp @ own),
        whole,
    )


def _complete(names: tuple[str, ...], side: str, weights: Floats, returns: Floats) -> None:
    """Raise ValueError where a weight is no number, or a return is missing under a weight."""
    for name, weight, value in zip(names, weights.tolist(), returns.tolist(), strict=True):
        if not np.isfinite(weight):
            raise ValueError(f"{side}_weights: {name} has the weight {weight}, a number is needed")
        if weight and not np.isfinite(value):
            raise ValueError(f"{side}_returns: {name} has a weight of {weight:.9g} and no return")


def by_segment(
    labels: Sequence[Hashable], weights: ArrayLike, returns: ArrayLike, segments: Sequence[Hashable]
) -> tuple[Floats, Floats]:
    """(weight, return) of each of `segments`, from those of its holdings: `W = Σ w`, `R = Σ w × r / W`.

    Shape: labels, weights and returns one per holding. The return of a segment without weight is NaN. Raises ValueError
    for a label that is none of the segments.
    """
    place = {segment: i for i, segment in enumerate(segments)}
    if unknown := sorted({str(label) for label in labels if label not in place}):
        raise ValueError(f"labels: {', '.join(unknown)} are none of the segments")
    at = np.array([place[label] for label in labels], np.intp)
    w, r = floats(weights), floats(returns)
    total = floats(np.bincount(at, w, len(place)))
    earned = floats(np.bincount(at, np.where(w != 0, w * r, 0.0), len(place)))
    return total, np.divide(earned, total, out=np.full(len(place), np.nan), where=total != 0)


def drifted(weights: ArrayLike, returns: ArrayLike) -> tuple[float, Floats]:
    """(return of the whole, weights at the end of the period) of holdings that are left alone for one period.

    `R = Σ w × r`, `w' = w × (1 + r) / (Σ w + R)`: the end weights add up to 1. A missing return (NaN) is a holding that did
    not move. Weights are fractions at the start; they need not add up to 1 (the rest is not there, not cash). Source:
    Bacon, ch. 5; PerformanceAnalytics, `Return.portfolio`.
    """
    w, r = floats(weights), np.nan_to_num(floats(returns))
    whole = float(w @ r)
    return whole, np.asarray(w * (1 + r) / (w.sum() + whole), dtype=np.float64)
