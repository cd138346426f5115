"""Compliance rules: plain functions that measure, a registry that compares. To add one, write a function with `@rule`.

A rule answers (name of what is measured, share) pairs; the limit, its severity and its state come from here. A portfolio's
own limits stand in the table `limits`; without a row the rule's default holds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from core.view import View

Measured = list[tuple[str, float]]
NEAR = 0.9  # from this share of its limit on, a measure is said to be near it


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it measures, its default limit, and on which side of the limit it must stay."""

    name: str
    title: str
    default: float
    severity: str
    at_least: bool
    measure: Callable[[View], Measured]

    @property
    def definition(self) -> str:
        """What it measures, in words."""
        return (self.measure.__doc__ or "").strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one portfolio: the measure nearest to the limit or beyond it, and everything beyond."""

    rule: Rule
    limit: float
    severity: str
    worst: str
    value: float | None
    state: str  # "ok", "near", "breach", "unknown"
    beyond: tuple[tuple[str, float], ...]


_rules: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_rules)


def rule(
    title: str, default: float, severity: str = "hard", at_least: bool = False
) -> Callable[[Callable[[View], Measured]], Callable[[View], Measured]]:
    """Register a measuring function under its own name. Raises ValueError on a duplicate."""

    def register(function: Callable[[View], Measured]) -> Callable[[View], Measured]:
        name = function.__name__
        if name in _rules or not function.__doc__:
            raise ValueError(f"rule {name} is registered twice or lacks its definition")
        _rules[name] = Rule(name, title, default, severity, at_least, function)
        return function

    return register


def check(view: View) -> list[Finding]:
    """Every rule on one portfolio, breaches first. With an incomplete valuation a rule that holds is unknown, not ok."""
    found = []
    for r in RULES.values():
        own = view.book.limit_on(r.name, view.as_of)
        limit, severity = (float(own[0]), own[1]) if own else (r.default, r.severity)
        measured = r.measure(view) if view.valuation.total > Decimal(0) else []
        if not measured:
            found.append(Finding(r, limit, severity, "", None, "unknown", ()))
            continue
        worst, share = (min if r.at_least else max)(measured, key=lambda m: m[1])
        beyond = tuple(m for m in measured if (m[1] < limit if r.at_least else m[1] > limit))
        state = state_of(share, limit, r.at_least, view.valuation.complete)
        found.append(Finding(r, limit, severity, worst, share, state, beyond))
    order = {"breach": 0, "unknown": 1, "near": 2, "ok": 3}
    return sorted(found, key=lambda f: (order[f.state], f.rule.title))


def state_of(share: float | None, limit: float, at_least: bool, complete: bool) -> str:
    """ "breach", "near" (from 90 % of the limit), "ok" or "unknown" (nothing measured, or prices are missing) of the worst measure."""
    if share is None:
        return "unknown"
    if share < limit if at_least else share > limit:
        return "breach"
    # a ceiling of the whole or a floor of nothing is no limit that one comes near to
    near = limit > 0 and share < limit / NEAR if at_least else limit < 1 and share >= NEAR * limit
    return "unknown" if not complete else "near" if near else "ok"


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
