"""The risk of one security from its own bars, held or not: over a period, beside a benchmark's bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from core.metrics import METRICS
from core.metrics.registry import Answer
from core.returns import Period, period_start, simple_returns

Closes = Sequence[tuple[date, float | None]]  # adjusted for splits and dividends
SHOWN = ("volatility", "beta", "max_drawdown", "sharpe", "var_95", "es_95")


def own_risk(closes: Closes, benchmark: Closes | None, period: Period) -> Mapping[str, Answer]:
    """Volatility, beta, maximum drawdown, Sharpe, VaR and expected shortfall of its daily total returns over the period; a Reason
    where one is undefined. Beta is over the days on which both have a close, each in its own currency."""
    mine = _within(closes, period)
    returns = simple_returns(np.array([c for _, c in mine], float))
    found = {name: METRICS[name](returns=returns) for name in SHOWN if name != "beta"}
    if benchmark is None:
        return {n: found[n] if n in found else METRICS[n](returns=returns) for n in SHOWN}
    theirs = {d: c for d, c in benchmark if c is not None}
    both = [(c, theirs[d]) for d, c in mine if d in theirs]
    mine_r, theirs_r = (simple_returns(np.array([pair[i] for pair in both], float)) for i in (0, 1))
    return {n: found[n] if n in found else METRICS[n](returns=mine_r, benchmark=theirs_r) for n in SHOWN}


def _within(closes: Closes, period: Period) -> list[tuple[date, float]]:
    """The closes of the period by day, with the one that it starts from."""
    known = sorted((d, c) for d, c in closes if c is not None)
    if not known:
        return []
    start = period_start(known[-1][0], period, known[0][0])
    before = [d for d, _ in known if d <= start]
    return [(d, c) for d, c in known if d >= (before[-1] if before else start)]
