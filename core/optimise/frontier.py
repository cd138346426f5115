"""Optimal portfolios without short positions: the least volatile one, and the one with the highest Sharpe ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from core.reasons import Reason, Undefined
from core.returns import Floats, floats

Objective = Literal["min_volatility", "max_sharpe"]
NO_EXCESS = Undefined("no security is expected to earn more than the risk-free rate")


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Weights ≥ 0 that add up to 1, with what they are expected to bring per year."""

    weights: Floats
    expected_return: float
    volatility: float
    sharpe: float


def optimum(
    expected: ArrayLike, covariance: ArrayLike, objective: Objective, risk_free: float = 0.0
) -> Optimum | Reason:
    """The weights w ≥ 0, Σ w = 1, that minimise `w' C w`, or maximise `(w' m − RF) / sqrt(w' C w)` (the tangency portfolio).

    `expected` m and `covariance` C are per year, one entry per security and pair; `risk_free` is a rate per year. Undefined
    where no expected return exceeds the risk-free rate, so that every Sharpe ratio is negative. ValueError where a number is
    missing or the shapes differ. Solved as a convex program (skfolio's MeanRisk, Clarabel), to about seven digits. Source:
    Markowitz, Portfolio Selection (1952); Sharpe (1966).
    """
    mean, matrix = floats(expected), floats(covariance)
    if matrix.shape != (mean.size, mean.size):
        raise ValueError(f"covariance: {matrix.shape} for {mean.size} expected returns")
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise ValueError("expected, covariance: every number is needed; leave out securities without a history")
    if objective == "max_sharpe" and not bool((mean > risk_free).any()):
        return NO_EXCESS
    weights = _solved(mean, matrix, objective, risk_free)
    earned, spread = float(weights @ mean), math.sqrt(float(weights @ matrix @ weights))
    return Optimum(weights, earned, spread, (earned - risk_free) / spread if spread else math.nan)


def _solved(mean: Floats, matrix: Floats, objective: Objective, risk_free: float) -> Floats:
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import BasePrior, ReturnDistribution

    class AsGiven(BasePrior):  # type: ignore[misc]
        """A prior that estimates nothing: moments as they were given."""

        def __init__(self) -> None:
            pass

        def fit(self, X: Any, y: Any = None, **_: Any) -> Any:
            self.return_distribution_ = ReturnDistribution(mu=mean, covariance=matrix, returns=X)
            return self

    best = objective == "max_sharpe"
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO if best else ObjectiveFunction.MINIMIZE_RISK,
        risk_measure=RiskMeasure.STANDARD_DEVIATION if best else RiskMeasure.VARIANCE,
        prior_estimator=AsGiven(),
        risk_free_rate=risk_free,
    )
    model.fit(np.zeros((2, mean.size)))
    weights = np.maximum(floats(model.weights_), 0.0)
    return np.asarray(weights / weights.sum(), dtype=np.float64)
