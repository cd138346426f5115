"""The figures of risk over a look-back: which series each metric counts, how much history it needs. For a portfolio, a security, anything.

The look-back is a choice of its own (`Scope.lookback`) and not the period shown: a page that shows a month still says the risk of a
year. A figure that names its own window (VaR, expected shortfall, their back-test) takes it from the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics import METRICS
from core.metrics.registry import Answer
from core.return_series import ReturnSeries, paired
from core.returns import Floats, floats

OF_A_SECURITY = ("volatility", "beta", "sharpe", "max_drawdown", "var_95", "es_95")
FEWEST = 20  # observations that an estimate needs: below a month it says so instead of annualising a fortnight


@dataclass(frozen=True, eq=False)
class Measured:
    """The series that figures are made of, after the base day of the look-back. Arrays of shape (n,), NaN where there is none.

    `days`: one-day returns; `sessions`: each session's, with its part of what a gap spans; `history`: one-day returns up to the
    date looked at, however far back. `pair_*`: the same beside a benchmark, spanned alike. `risk_free`: the rate of each session.
    `span`: calendar days of the look-back. `on` and `history_on` are their day numbers.
    """

    on: NDArray[np.int32]
    days: Floats
    sessions: Floats
    history: Floats
    risk_free: Floats
    span: int
    history_on: NDArray[np.int32]
    pair_days: Floats | None = None
    pair_sessions: Floats | None = None
    bench_days: Floats | None = None
    bench_sessions: Floats | None = None
    bench_history: Floats | None = None
    bench_history_on: NDArray[np.int32] | None = None

    def figure(self, name: str) -> Answer:
        """One metric, or the typed reason why there is none."""
        m = METRICS[name]
        relative = "benchmark" in m.inputs and self.bench_days is not None
        whole = m.over == "sessions"
        if m.over == "history":
            returns: ArrayLike | None = self.history
        elif relative:
            returns = self.pair_sessions if whole else self.pair_days
        else:
            returns = self.sessions if whole else self.days
        given: dict[str, object] = {"returns": returns, "risk_free": 0.0 if m.over == "history" else self.risk_free}
        if relative:
            given["benchmark"] = self.bench_sessions if whole else self.bench_days
        if "dates" in m.inputs:
            given["dates"] = self.on.astype("datetime64[D]")
        return m(at_least=FEWEST, span=self.span, **given)


def measured(
    on: NDArray[np.int32], own: ReturnSeries, history_on: NDArray[np.int32], history: ReturnSeries, span: int,
    benchmark: ReturnSeries | None = None, risk_free: ArrayLike = 0.0, bench_history: tuple[NDArray[np.int32], ReturnSeries] | None = None,
) -> Measured:  # fmt: skip
    """The series of a portfolio or security over a look-back, from its returns, those of its whole history and a benchmark's."""
    rate = np.broadcast_to(floats(risk_free), own.linked.shape)
    of = (on, own.daily, own.spread, history.daily, rate, span, history_on)
    if benchmark is None:
        return Measured(*of)
    mine, theirs = paired(own, benchmark)
    past_on, past = bench_history or (on, benchmark)
    return Measured(*of, mine.daily, mine.spread, theirs.daily, theirs.spread, past.daily, past_on)


def figures(names: Iterable[str], of: Measured) -> Mapping[str, Answer]:
    """The named metrics, each a value or a typed reason."""
    return {name: of.figure(name) for name in names}
