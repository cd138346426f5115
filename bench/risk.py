"""Risk of 10,000 securities × 2,520 days, ours beside the same figures column by column. `python -m
bench.risk [securities]`
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from core.metrics import compute
from core.metrics.panel import panel

NAMES = ("volatility", "sharpe", "sortino", "max_drawdown", "beta", "var_95", "var_99", "es_95", "es_99")


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The median time of a few runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Print one line per way."""
    securities = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    returns = np.random.default_rng(1).normal(0.0004, 0.012, (2520, securities))
    benchmark = returns[:, 0].copy()
    late = returns.copy()
    late[:500, ::7] = np.nan
    few = min(securities, 200)

    def columns() -> None:
        for j in range(few):
            compute(NAMES, returns=returns[:, j], benchmark=benchmark)

    print(f"{securities} securities × 2,520 days; {', '.join(NAMES)}")
    print(f"panel, one thread, last 252 days for VaR   {seconds(lambda: panel(returns, benchmark)):8.3f} s")
    print(
        f"panel, all days for VaR                    {seconds(lambda: panel(returns, benchmark, window=None)):8.3f} s"
    )
    print(f"panel, a seventh listed late               {seconds(lambda: panel(late, benchmark)):8.3f} s")
    print(f"metrics column by column, extrapolated     {seconds(columns, 1) * securities / few:8.3f} s")


if __name__ == "__main__":
    main()
