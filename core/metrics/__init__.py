"""Metrics: plain functions that ask for inputs by name, their docstring the definition. `METRICS` lists
them, `compute` runs them.

To add one, write a function with `@metric` in a module of this package (every module is imported here) and a
worked example in tests/golden/worked.py:

    @metric("Volatility", kind="percent")
    def volatility(returns: ArrayLike, periods: float = 252) -> float: ...
"""

import importlib
import pkgutil

from core.metrics.registry import INPUTS, METRICS, Answer, Kind, Metric, close, compute, metric

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
close()

__all__ = ["INPUTS", "METRICS", "Answer", "Kind", "Metric", "compute", "metric"]
