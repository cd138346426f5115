"""Effects of consecutive periods as those of the whole: they add up to the compounded active return, without a residual."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from core.attribution.brinson import Effects
from core.reasons import NegativeBase
from core.returns import Floats, floats, link

Method = Literal["carino", "menchero"]


def linked(periods: Sequence[Effects], method: Method = "carino") -> Effects | NegativeBase:
    """The effects of several periods as one Effects over the whole span.

    Effects of single periods do not add up to the compounded active return, because returns compound and differences do
    not. Each period's effects are multiplied by a factor of that period (`carino_factors`, `menchero_factors`), the same for
    every segment and effect, so that they do: `Σ effects = Π(1 + Rp) − Π(1 + Rb)` to the last digits.

    All periods must have the same segments in the same order (ValueError; without periods too). NegativeBase where Carino
    meets a return of −100 % or less.
    """
    if not periods:
        raise ValueError("periods: at least one is needed")
    segments = periods[0].segments
    if any(p.segments != segments for p in periods):
        raise ValueError("periods: all must have the same segments in the same order")
    mine, theirs = (floats([getattr(p, f"{side}_return") for p in periods]) for side in ("portfolio", "benchmark"))
    factors = FACTORS[method](mine, theirs)
    if isinstance(factors, NegativeBase):
        return factors
    allocation, selection, interaction = (
        np.asarray(factors @ np.array([getattr(p, effect) for p in periods]), dtype=np.float64)
        for effect in ("allocation", "selection", "interaction")
    )
    return Effects(segments, allocation, selection, interaction, link(mine), link(theirs))


def carino_factors(portfolio: Floats, benchmark: Floats) -> Floats | NegativeBase:
    """`k_t / k` with `k_t = (ln(1 + Rp) − ln(1 + Rb)) / (Rp − Rb)` of the period and k the same of the whole span.

    Where both returns are equal k is its limit, `1 / (1 + R)`. Shape: one factor per period. Source: Carino, Combining
    Attribution Effects Over Time, Journal of Performance Measurement (1999); Bacon, ch. 8.
    """
    if bool(np.any(portfolio <= -1)) or bool(np.any(benchmark <= -1)):
        return NegativeBase()
    whole = _carino(link(portfolio), link(benchmark))
    return floats([_carino(p, b) for p, b in zip(portfolio.tolist(), benchmark.tolist(), strict=True)]) / whole


def _carino(portfolio: float, benchmark: float) -> float:
    step = (portfolio - benchmark) / (1 + benchmark)
    if abs(step) < 1e-8:  # the difference of the logarithms has no digits left: the first two terms of its series
        return (1 - step / 2) / (1 + benchmark)
    return math.log1p(step) / (portfolio - benchmark)


def menchero_factors(portfolio: Floats, benchmark: Floats) -> Floats:
    """`M + a_t`: M spreads the compounding evenly over the T periods, a_t corrects it in proportion to the active return.

    `M = ((R − B) / T) / ((1 + R)^(1/T) − (1 + B)^(1/T))` of the whole span (its limit `(1 + R)^((T − 1)/T)` where R = B);
    `a_t = (R − B − M × Σ d) × d_t / Σ d²` with `d_t = Rp_t − Rb_t`. Shape: one factor per period. Source: Menchero, An
    Optimized Approach to Linking Attribution Effects Over Time, Journal of Performance Measurement (2000); Bacon, ch. 8.
    """
    n, whole, theirs = portfolio.size, link(portfolio), link(benchmark)
    root, their_root = (1 + whole) ** (1 / n), (1 + theirs) ** (1 / n)
    even = (whole - theirs) / n / (root - their_root) if root != their_root else (1 + whole) ** ((n - 1) / n)
    active = portfolio - benchmark
    squares = float(active @ active)
    correction = (whole - theirs - even * float(active.sum())) * active / squares if squares else np.zeros(n)
    return np.asarray(even + correction, dtype=np.float64)


FACTORS: dict[Method, Callable[[Floats, Floats], Floats | NegativeBase]] = {
    "carino": carino_factors,
    "menchero": menchero_factors,
}
