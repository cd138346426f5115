"""Compliance rules: plain functions that measure, a registry that compares. To add one, write a function with `@rule`.

A rule answers (name of what is measured, share) pairs; the limit, its severity and its state come from here. Shares are exact
fractions and are compared with exact limits: 35 % keeps a limit of 35 %. A portfolio's own limits stand in the table `limits`;
without a row the rule's default holds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from core.view import View

Measured = list[tuple[str, Fraction]]
NEAR = Fraction(9, 10)  # from this share of its limit on, a measure is said to be near it


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it measures, its default limit, and on which side of the limit it must stay.

    `exposure` says how shorts count: "gross" adds up the sizes of long and short positions, "net" takes shorts from longs and
    measures the size of what is left, whichever its sign.
    """

    name: str
    title: str
    default: Decimal
    severity: str
    at_least: bool
    exposure: str
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
    title: str, default: str, severity: str = "hard", at_least: bool = False, exposure: str = "net"
) -> Callable[[Callable[[View], Measured]], Callable[[View], Measured]]:
    """Register a measuring function under its own name; `default` is the limit as digits. Raises ValueError on a duplicate."""

    def register(function: Callable[[View], Measured]) -> Callable[[View], Measured]:
        name = function.__name__
        if name in _rules or not function.__doc__:
            raise ValueError(f"rule {name} is registered twice or lacks its definition")
        _rules[name] = Rule(name, title, Decimal(default), severity, at_least, exposure, function)
        return function

    return register


def check(view: View) -> list[Finding]:
    """Every rule on one portfolio, breaches first. With an incomplete valuation a rule that holds is unknown, not ok."""
    found = []
    for r in RULES.values():
        own = view.book.limit_on(r.name, view.as_of)
        limit, severity = own or (r.default, r.severity)
        measured = r.measure(view) if view.valuation.total > Decimal(0) else []
        if not measured:
            found.append(Finding(r, float(limit), severity, "", None, "unknown", ()))
            continue
        worst, share = (min if r.at_least else max)(measured, key=lambda m: m[1])
        bound = Fraction(limit)
        beyond = tuple((name, float(m)) for name, m in measured if (m < bound if r.at_least else m > bound))
        state = state_of(share, bound, r.at_least, view.valuation.complete)
        found.append(Finding(r, float(limit), severity, worst, float(share), state, beyond))
    order = {"breach": 0, "unknown": 1, "near": 2, "ok": 3}
    return sorted(found, key=lambda f: (order[f.state], f.rule.title))


def state_of(share: Fraction | float | None, limit: Fraction | float, at_least: bool, complete: bool) -> str:
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
