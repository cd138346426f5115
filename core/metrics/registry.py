"""The registry of metrics: `@metric` over a plain function, and `compute`, which gives it what it asks for.

Inputs are parameters named `returns`, `benchmark`, `risk_free`, `dates` or `values`; every other parameter
is an option with a default. Inside a metric undefined is NaN; `compute` turns it into a typed reason.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np

from core.reasons import NoBenchmark, NoInput, Reason, ShorterThanAYear, TooFewObservations, Undefined
from core.returns import floats

Kind = Literal["percent", "number", "date", "days"]
Over = Literal["days", "sessions", "history"]
Answer = float | date | Reason
F = TypeVar("F", bound=Callable[..., float | date | Reason])

SERIES = ("returns", "benchmark", "values")
INPUTS = (*SERIES, "risk_free", "dates")


@dataclass(frozen=True)
class Metric:
    """One metric: what it is called, how it is shown, what it asks for, and the function that is its
    formula.
    """

    name: str
    title: str
    kind: Kind
    version: int
    minimum: int
    undefined: Reason
    function: Callable[..., float | date | Reason]
    inputs: tuple[str, ...]
    required: tuple[str, ...]
    options: tuple[str, ...]
    a_year: bool = False
    """It annualises a return, so it needs a year of periods too."""
    over: Over = "days"
    """What it counts where a price was missing: one-day returns alone (`days`), or each session with its part of what a gap spans
    (`sessions`); `history` counts one-day returns up to the date over a window of its own, whatever the look-back."""
    estimate: bool = True
    """It speaks of what is to be expected, so a report shows it from a month of observations on."""

    def needs(self, periods: float = 252) -> int:
        """Observations needed: days on which every series it asks for has a value."""
        return max(self.minimum, math.ceil(periods)) if self.a_year else self.minimum

    @property
    def definition(self) -> str:
        return inspect.getdoc(self.function) or ""

    def __call__(self, at_least: int = 0, span: int | None = None, **inputs: Any) -> Answer:
        """The value, or the typed reason why there is none. Inputs and options that it does not ask for are
        ignored.

        `at_least`: observations that an estimate needs here. `span`: calendar days that the series covers; a figure per year
        then needs 365 of them instead of `periods` observations.
        """
        given = {k: inputs[k] for k in (*self.inputs, *self.options) if inputs.get(k) is not None}
        for name in self.required:
            if name not in given:
                return NoBenchmark() if name == "benchmark" else NoInput(name)
        n = _observations([given[name] for name in self.inputs if name in SERIES])
        needed = self.minimum if span is not None else self.needs(given.get("periods", 252))
        needed = max(needed, at_least if self.estimate else 0)
        if n < needed:
            return TooFewObservations(n, needed)
        if self.a_year and span is not None and span < 365:
            return ShorterThanAYear(span)
        answer = self.function(**given)
        if isinstance(answer, date | Reason):
            return answer
        return float(answer) if math.isfinite(answer) else self.undefined


def _observations(series: list[Any]) -> int:
    columns = [floats(s) for s in series]
    if len({column.size for column in columns}) > 1:
        raise ValueError(f"series of different lengths: {sorted({column.size for column in columns})}")
    return int(np.logical_and.reduce([np.isfinite(column) for column in columns]).sum())


_registered: dict[str, Metric] = {}
_closed = False
METRICS: Mapping[str, Metric] = MappingProxyType(_registered)
"""Every metric by the name of its function; read-only."""


def metric(
    title: str,
    *,
    kind: Kind,
    minimum: int = 2,
    a_year: bool = False,
    version: int = 1,
    undefined: Reason | None = None,
    over: Over = "days",
    estimate: bool = True,
) -> Callable[[F], F]:
    """Register a function under its own name and hand it back unchanged.

    `minimum` observations are needed, and `a_year` of them where a return is annualised; `undefined` is the
    reason for NaN and infinity.
    """

    def register(function: F) -> F:
        name = function.__name__
        if _closed:
            raise RuntimeError(f"the registry is read-only: metric {name} comes too late")
        if name in _registered or title in {m.title for m in _registered.values()}:
            raise ValueError(f"duplicate metric: {name} ({title})")
        if not inspect.getdoc(function):
            raise ValueError(f"metric {name} has no definition: write it as the docstring")
        parameters = inspect.signature(function).parameters
        inputs = tuple(p for p in parameters if p in INPUTS)
        options = tuple(p for p in parameters if p not in INPUTS)
        empty = inspect.Parameter.empty
        if unknown := [p for p in options if parameters[p].default is empty]:
            raise ValueError(f"metric {name} asks for {unknown}, which is no input and has no default")
        required = tuple(p for p in inputs if parameters[p].default is empty)
        _registered[name] = Metric(
            name,
            title,
            kind,
            version,
            minimum,
            undefined or Undefined(),
            function,
            inputs,
            required,
            options,
            a_year,
            over,
            estimate,
        )
        return function

    return register


def close() -> None:
    """No metric can be added from here on."""
    global _closed
    _closed = True


def compute(names: Iterable[str], **inputs: Any) -> dict[str, Answer]:
    """The named metrics over the inputs: `compute(["volatility", "beta"], returns=r, benchmark=b,
    risk_free=0.0)`.

    Every input is an array over the same days (`risk_free` per period, a number or an array), NaN where a
    day is missing. Options of metrics (`periods=12`) may be given too and reach those that have them. An
    unknown metric or a keyword that none of the registered metrics knows raises.
    """
    chosen = {name: METRICS[name] for name in names}
    known = set(INPUTS).union(*(m.options for m in METRICS.values()))
    if unknown := sorted(set(inputs) - known):
        raise TypeError(f"no metric asks for {', '.join(unknown)}")
    return {name: m(**inputs) for name, m in chosen.items()}
