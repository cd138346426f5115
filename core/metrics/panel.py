"""The main risk figures of many securities at once, equal to the metrics column by column.

The table is worked through in blocks of columns that fit the processor's cache, with one sort per block for
every quantile. Columns may begin late or have gaps (NaN). To add a figure, add a field to `Panel` and its
line in `_block`.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.series import DUST
from core.metrics.tail import NEEDED, WINDOW, sorted_quantile, tail_size
from core.returns import Floats, floats

BLOCK = 16
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Panel:
    """One array per figure, one entry per column; NaN where the metric of the same name has a reason
    instead.
    """

    observations: Floats
    volatility: Floats
    sharpe: Floats
    sortino: Floats
    max_drawdown: Floats
    beta: Floats
    var_95: Floats
    var_99: Floats
    es_95: Floats
    es_99: Floats


def panel(
    returns: ArrayLike,
    benchmark: ArrayLike | None = None,
    risk_free: ArrayLike = 0.0,
    periods: float = 252,
    window: int | None = WINDOW,
    minimum: int = NEEDED,
) -> Panel:
    """Volatility, Sharpe, Sortino, maximum drawdown, beta, VaR and expected shortfall of every column.

    Shape: (days, securities), NaN where a security has no return; the benchmark and `risk_free` (per period)
    over the same days. Definitions are those of the metrics of the same names: VaR and ES over each column's
    last `window` observations (all with None), NaN below `minimum`; infinite ratios are NaN; beta is NaN
    without benchmark.
    """
    table = floats(returns)
    days, columns = table.shape
    rate = floats(risk_free)
    bench = np.full(days, np.nan) if benchmark is None else floats(benchmark) - rate
    out = {f.name: np.full(columns, np.nan) for f in fields(Panel)}
    for start in range(0, columns, BLOCK):
        stop = min(start + BLOCK, columns)
        block = np.ascontiguousarray(table[:, start:stop].T)
        for name, values in _block(block, bench, rate, periods, window, minimum).items():
            out[name][start:stop] = values
    return Panel(**out)


def _block(
    r: Floats, bench: Floats, rate: Floats, periods: float, window: int | None, minimum: int
) -> dict[str, Floats]:
    """The figures of one block, securities down and days across."""
    known = np.isfinite(r)
    complete = bool(known.all())
    n = np.full(r.shape[0], float(r.shape[1])) if complete else known.sum(axis=1).astype(np.float64)
    several = np.where(n > 1, n, np.nan)
    filled = r if complete else np.where(known, r, 0.0)
    volatility = _deviation(filled, known, several, complete)

    if rate.ndim == 0:
        excess = filled if not rate else filled - rate if complete else np.where(known, r - rate, 0.0)
        spread, count, there = volatility, several, known
    else:
        there = known & np.isfinite(rate)
        count = np.where(there.sum(axis=1) > 1, there.sum(axis=1), np.nan)
        excess = np.where(there, r - rate, 0.0)
        spread = _deviation(excess, there, count, complete=False)
    mean = excess.sum(axis=1) / count
    losses = np.minimum(excess, 0.0)
    downside = np.sqrt(np.einsum("ij,ij->i", losses, losses) / count)

    wealth = filled + 1
    np.cumprod(wealth, axis=1, out=wealth)
    high = np.maximum.accumulate(wealth, axis=1)
    np.maximum(high, 1.0, out=high)
    wealth /= high
    return {
        "observations": n,
        "volatility": volatility * math.sqrt(periods),
        "sharpe": _over(mean, spread) * math.sqrt(periods),
        "sortino": _over(mean * periods, downside * math.sqrt(periods)),
        "max_drawdown": np.where(n > 0, np.minimum(wealth.min(axis=1) - 1, 0.0), np.nan),
        "beta": _beta(excess, there, bench),
        **_tails(r, complete, window, minimum),
    }


def _deviation(filled: Floats, known: Mask, n: Floats, complete: bool) -> Floats:
    about = filled - (filled.sum(axis=1) / n)[:, None]
    if not complete:
        about = np.where(known, about, 0.0)
    sd = np.sqrt(np.einsum("ij,ij->i", about, about) / (n - 1))
    return np.where(sd <= DUST * np.maximum(filled.max(axis=1), -filled.min(axis=1)), 0.0, sd)


def _over(numerator: Floats, denominator: Floats) -> Floats:
    return np.asarray(numerator / np.where(denominator > 0, denominator, np.nan), dtype=np.float64)


def _beta(excess: Floats, there: Mask, bench: Floats) -> Floats:
    given = np.isfinite(bench)
    if not given.any():
        return np.full(excess.shape[0], np.nan)
    both = there & given
    n = both.sum(axis=1)
    n = np.where(n > 1, n, np.nan)[:, None]
    if bool(both.all()):
        b = bench[None, :] - bench.mean()
        r = excess - excess.mean(axis=1, keepdims=True)
    else:
        b, r = (np.where(both, values, 0.0) for values in (bench, excess))
        b, r = (np.where(both, v - v.sum(axis=1, keepdims=True) / n, 0.0) for v in (b, r))
    variation = np.einsum("ij,ij->i", b, b)
    flat = ~(variation > n[:, 0] * (DUST * float(np.max(np.abs(bench[given])))) ** 2)
    covariation = r @ b[0] if b.shape[0] == 1 else np.einsum("ij,ij->i", r, b)
    return np.asarray(covariation / np.where(flat, np.nan, variation), dtype=np.float64)


def _tails(r: Floats, complete: bool, window: int | None, minimum: int) -> dict[str, Floats]:
    days = r.shape[1] if window is None else min(window, r.shape[1])
    recent = r[:, r.shape[1] - days :]
    names = ("var_95", "var_99", "es_95", "es_99")
    if complete or bool(np.isfinite(recent).all()):
        if days < max(minimum, 1):
            return {name: np.full(r.shape[0], np.nan) for name in names}
        return _quantiles(np.sort(recent, axis=1))
    out = {name: np.full(r.shape[0], np.nan) for name in names}
    for i, row in enumerate(r):
        seen = row[np.isfinite(row)]
        seen = seen if window is None else seen[-window:]
        if seen.size >= max(minimum, 1):
            for name, value in _quantiles(np.sort(seen)[None, :]).items():
                out[name][i] = value[0]
    return out


def _quantiles(ascending: Floats) -> dict[str, Floats]:
    n = ascending.shape[1]
    return {
        "var_95": -sorted_quantile(ascending, 1 - 0.95),
        "var_99": -sorted_quantile(ascending, 1 - 0.99),
        "es_95": -ascending[:, : tail_size(n, 0.95)].mean(axis=1),
        "es_99": -ascending[:, : tail_size(n, 0.99)].mean(axis=1),
    }
