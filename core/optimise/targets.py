"""Weights by a rule that needs no expected returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.series import deviation, valid
from core.reasons import Reason, ZeroVariance
from core.returns import Floats, floats


def inverse_volatility(returns: ArrayLike) -> Floats | Reason:
    """`(1 / sd_i) / Σ (1 / sd_j)`: the calmer a series, the more of it.

    Shape: (days, series), missing days of each series dropped; weights ≥ 0 that add up to 1. Sample deviation. ZeroVariance
    where a series does not move or has fewer than two returns. Source: ffn, `calc_inv_vol_weights`.
    """
    table = floats(returns)
    spreads = floats([deviation(valid(table[:, j])) for j in range(table.shape[1])])
    if not spreads.size or not bool((spreads > 0).all()):
        return ZeroVariance()
    weights = 1 / spreads
    return np.asarray(weights / weights.sum(), dtype=np.float64)
