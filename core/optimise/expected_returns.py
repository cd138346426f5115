"""What securities are expected to earn per year: from their own history, or from their beta."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.covariance import covariance
from core.metrics.ratios import annual_return
from core.returns import Floats, floats


def historical(returns: ArrayLike, periods: float = 252) -> Floats:
    """The compound return per year of each series over its own days: `prod(1 + r) ^ (periods / n) − 1`.

    Shape: (days, series), NaN where a series has no return; one number per series, NaN without observations. Fractions per
    year. History is a poor forecast of returns: see `capm`. Source: PyPortfolioOpt, `mean_historical_return`.
    """
    table = floats(returns)
    return floats([annual_return(table[:, j], periods) for j in range(table.shape[1])])


def capm(returns: ArrayLike, market: ArrayLike, risk_free: float = 0.0, periods: float = 252) -> Floats:
    """`RF + beta × (M − RF)`: what the capital asset pricing model expects of each series per year.

    beta is the covariance with the market over the days that both have, over the variance of the market; M is the market's
    compound return per year over its own days, `risk_free` a rate per year. Shape: returns (days, series) and the market's
    returns over the same days, NaN where one is missing. Source: Sharpe (1964); PyPortfolioOpt, `capm_return`.
    """
    table, theirs = floats(returns), floats(market)
    matrix = covariance(np.column_stack((table, theirs)))
    betas = matrix[:-1, -1] / matrix[-1, -1]
    return np.asarray(risk_free + betas * (annual_return(theirs, periods) - risk_free), dtype=np.float64)
