"""Risk figures of 10,000 securities × 2,520 days at once, beside the same figures column by column. `bench.risk` has more ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, against, seconds
from core.metrics.panel import Panel, panel

SECURITIES, DAYS, FEW = 10_000, 2_520, 400
Floats = NDArray[np.float64]
YEAR = 252


def returns(securities: int, days: int) -> Floats:
    """Returns that only look like any."""
    return np.random.default_rng(1).normal(0.0004, 0.012, (days, securities))


def product(table: Floats, benchmark: Floats) -> Panel:
    """All columns at once, VaR and shortfall over all days."""
    return panel(table, benchmark, window=None)


def by_column(table: Floats, benchmark: Floats) -> list[tuple[float, ...]]:
    """One numpy expression a figure and column, as empyrical writes them."""
    out = []
    for j in range(table.shape[1]):
        r = table[:, j]
        wealth = np.concatenate([[1.0], np.cumprod(1 + r)])
        sd = r.std(ddof=1)
        tails = [np.percentile(r, 5), np.percentile(r, 1)]
        worst = [r[r <= t].mean() for t in tails]
        matrix = np.cov(r, benchmark, ddof=1)
        out.append(
            (
                sd * np.sqrt(YEAR),
                r.mean() / sd * np.sqrt(YEAR),
                r.mean() * YEAR / (np.sqrt(np.mean(np.minimum(r, 0) ** 2)) * np.sqrt(YEAR)),
                (wealth / np.maximum.accumulate(wealth) - 1).min(),
                matrix[0, 1] / matrix[1, 1],
                *(-t for t in tails),
                *(-w for w in worst),
            )
        )
    return out


def by_skfolio(table: Floats, benchmark: Floats) -> list[tuple[float, ...]]:
    """skfolio's measures, column by column; its VaR and shortfall are order statistics, not interpolated."""
    from skfolio import measures

    out = []
    for j in range(table.shape[1]):
        r = table[:, j]
        sd, mean = measures.standard_deviation(r), measures.mean(r)
        fallen = measures.get_drawdowns(r, compounded=True)
        matrix = np.cov(r, benchmark, ddof=1)
        out.append(
            (
                sd * np.sqrt(YEAR),
                mean / sd * np.sqrt(YEAR),
                mean / measures.semi_deviation(r, min_acceptable_return=0.0) * np.sqrt(YEAR),
                -measures.max_drawdown(r) if fallen is None else fallen.min(),
                matrix[0, 1] / matrix[1, 1],
                *(measures.value_at_risk(r, beta=b) for b in (0.95, 0.99)),
                *(measures.cvar(r, beta=b) for b in (0.95, 0.99)),
            )
        )
    return out


FIGURES = ("volatility", "sharpe", "sortino", "max_drawdown", "beta", "var_95", "var_99", "es_95", "es_99")


def compared() -> None:
    """Raise where the ways differ."""
    table = returns(20, 600)
    benchmark = table[:, 0].copy()
    ours = product(table, benchmark)
    theirs = np.array(by_column(table, benchmark)).T
    for name, column in zip(FIGURES, theirs, strict=True):
        np.testing.assert_allclose(getattr(ours, name), column, rtol=1e-9, atol=1e-12, err_msg=name)
    others = np.array(by_skfolio(table, benchmark)).T
    for name in ("volatility", "sharpe", "max_drawdown", "beta"):
        np.testing.assert_allclose(getattr(ours, name), others[FIGURES.index(name)], rtol=1e-6, err_msg=name)


def measure(small: bool = False) -> list[Row]:
    """One row a peer; the peers' time is that of some hundred columns, times as many as there are."""
    compared()
    securities, days, few = (40, 300, 10) if small else (SECURITIES, DAYS, FEW)
    table = returns(securities, days)
    benchmark = table[:, 0].copy()
    part = table[:, :few]
    taken = seconds(
        {
            "product": lambda: product(table, benchmark),
            "columns": lambda: by_column(part, benchmark),
            "skfolio": lambda: by_skfolio(part, benchmark),
        },
        1 if small else 5,
    )
    scale, name = securities / few, "9 risk figures of 10,000 × 2,520 days"
    return [
        against(name, taken["product"], "skfolio.measures by column", taken["skfolio"] * scale, 4),
        against(name, taken["product"], "numpy by column", taken["columns"] * scale, None),
    ]
