"""Component and marginal VaR: parametric VaR as the sum of what each holding puts in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.covariance import covariance
from core.reasons import Reason, TooFewObservations, ZeroVariance
from core.returns import Floats, floats


@dataclass(frozen=True, slots=True, eq=False)
class ComponentVar:
    """Parametric VaR of a set of weights and its parts, one per holding; positive losses as fractions of the value."""

    total: float
    marginal: Floats
    """What VaR grows by per unit of weight."""
    component: Floats
    """Weight × marginal: they add up to `total`; negative where a holding hedges the others."""

    @property
    def share(self) -> Floats:
        """Each component over the total: they add up to 1."""
        return np.asarray(self.component / self.total, dtype=np.float64)


def component_var(
    returns: ArrayLike, weights: ArrayLike, confidence: float = 0.95, ddof: int = 1, zero_mean: bool = False
) -> ComponentVar | Reason:
    """Parametric VaR of the weights held constant, by holding: `w_i × (−mean_i + z × (C w)_i / sd)` with `sd = sqrt(w' C w)`.

    z is the normal quantile of the confidence, C the covariance matrix of the returns. The parts add up to
    `parametric_var` of the series `returns @ weights`, because VaR is homogeneous in the weights (Euler). Shape: returns
    (days, holdings), weights one per holding, as fractions of the value; days on which a holding has no return are left
    out. Unit: fraction lost over one period, a positive loss. Sample covariance (n − 1); `zero_mean` leaves the means out.
    TooFewObservations below two complete days, ZeroVariance where nothing moves. ValueError where the shapes differ.
    Source: Jorion, Value at Risk, ch. 7; Garman, Taking VaR to Pieces (1997).
    """
    table, w = floats(returns), floats(weights)
    if table.ndim != 2 or w.shape != table.shape[1:]:
        raise ValueError(f"weights: {w.shape} for returns of {table.shape}; one weight per column is needed")
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) <= ddof:
        return TooFewObservations(len(table), ddof + 1)
    matrix = covariance(table, ddof=ddof)
    spread = math.sqrt(max(float(w @ matrix @ w), 0.0))
    if not spread:
        return ZeroVariance()
    quantile = -NormalDist().inv_cdf(1 - confidence)
    mean = np.zeros(w.size) if zero_mean else table.mean(axis=0)
    marginal = np.asarray(-mean + quantile * (matrix @ w) / spread, dtype=np.float64)
    return ComponentVar(float(w @ marginal), marginal, w * marginal)
