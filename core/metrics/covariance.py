"""How several series move together: the covariance matrix of their returns."""

import numpy as np
from numpy.typing import ArrayLike

from core.returns import Floats, floats


def covariance(returns: ArrayLike, periods: float = 1, ddof: int = 1) -> Floats:
    """`cov(r_i, r_j) × periods` of every pair of columns, each over the days that both have.

    Shape: (days, series), NaN where a series has no return; the answer is (series, series), symmetric, NaN for a pair with
    no more than `ddof` common days. Sample covariance (n − 1). With gaps the matrix need not be positive semidefinite,
    because its entries rest on different days. Source: as `DataFrame.cov` of pandas.
    """
    table = floats(returns)
    known = np.isfinite(table)
    seen = known.sum(axis=0)
    middle = np.divide(np.where(known, table, 0.0).sum(axis=0), seen, out=np.zeros(table.shape[1]), where=seen > 0)
    about = np.where(known, table - middle, 0.0)  # about its own mean, so that the sums below keep their digits
    there = known.astype(np.float64)
    n = there.T @ there
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = (about.T @ about - (about.T @ there) * (there.T @ about) / n) / (n - ddof)
    return np.asarray(np.where(n > ddof, matrix, np.nan) * periods, dtype=np.float64)
