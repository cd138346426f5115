"""Concentration: how much of a portfolio may sit in one place. Shares are of the total value, cash included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction

from core.reasons import NoRate
from core.rules import Measured, rule
from core.valuation import Position
from core.view import View

UNCLASSIFIED = "Unclassified"
# what a position counts for under the rules on groups; another rule shows what it measured
GROUPS: dict[str, Callable[[View, Position], str | None]] = {
    "max_security_weight": lambda view, p: view.names[p.security.security_id],
    "max_sector_weight": lambda view, p: p.security.sector,
    "max_country_weight": lambda view, p: p.security.country,
    "max_currency_weight": lambda view, p: p.security.currency,
}


def group_of(view: View, rule_name: str, position: Position) -> str:
    """The name of what a position counts for under a rule on groups; two securities never share one."""
    return GROUPS[rule_name](view, position) or UNCLASSIFIED


def exposures(values: Iterable[tuple[str, Decimal]], exposure: str) -> dict[str, Fraction]:
    """By group: the exposure of signed values, gross or net (`Rule.exposure`), in the base currency, never below zero."""
    out: defaultdict[str, Fraction] = defaultdict(Fraction)
    for name, value in values:
        out[name] += abs(Fraction(value)) if exposure == "gross" else Fraction(value)
    return {name: abs(value) for name, value in out.items()}


def _values(view: View, rule_name: str) -> list[tuple[str, Decimal]]:
    return [(group_of(view, rule_name, p), p.value_base) for p in view.valuation.positions if p.value_base is not None]


def whole(view: View) -> Fraction:
    """The total value that shares are of, in the base currency and not rounded to cents: the sum of what the shares are taken from."""
    positions = sum((Fraction(p.value_base) for p in view.valuation.positions if p.value_base is not None), Fraction())
    return positions + sum((Fraction(amount) for _, amount in _cash(view)), Fraction())


def _cash(view: View) -> list[tuple[str, Decimal]]:
    """Cash by currency, in the base currency, where there is a rate."""
    rates = ((c, amount, view.book.rates.rate(c, view.base, view.as_of)) for c, amount in view.valuation.cash.items())
    return [(currency, amount * rate) for currency, amount, rate in rates if not isinstance(rate, NoRate)]


def _shares(view: View, values: Iterable[tuple[str, Decimal]], exposure: str) -> Measured:
    total = whole(view)
    return [(name, value / total) for name, value in exposures(values, exposure).items()] if total > 0 else []


@rule("Largest security", default="0.10", exposure="gross")
def max_security_weight(view: View) -> Measured:
    """The share of the total value in any one security, long or short, may not exceed the limit (UCITS-style 10 %)."""
    return _shares(view, _values(view, "max_security_weight"), "gross")


@rule("Largest sector", default="0.35", exposure="gross")
def max_sector_weight(view: View) -> Measured:
    """The share of the total value in any one sector, longs and shorts added up (gross), may not exceed the limit."""
    return _shares(view, _values(view, "max_sector_weight"), "gross")


@rule("Largest country", default="1", severity="soft", exposure="gross")
def max_country_weight(view: View) -> Measured:
    """The share of the total value in securities of any one country, longs and shorts added up (gross), may not exceed the limit."""
    return _shares(view, _values(view, "max_country_weight"), "gross")


@rule("Largest foreign currency", default="1", severity="soft", exposure="net")
def max_currency_weight(view: View) -> Measured:
    """The share of the total value, cash included, in any one currency other than the base currency may not exceed the limit.

    Net: what is short in a currency, or owed in it, is taken from what is long in it; more short than long counts by its size.
    """
    values = [*_values(view, "max_currency_weight"), *_cash(view)]
    return _shares(view, [v for v in values if v[0] != view.base], "net") or [("none", Fraction(0))]


@rule("Cash floor", default="0", at_least=True)
def min_cash_weight(view: View) -> Measured:
    """Cash in all currencies, as a share of the total value, may not fall below the limit."""
    return [("Cash", Fraction(view.valuation.cash_base) / Fraction(view.valuation.total))]
