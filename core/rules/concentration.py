"""Concentration: how much of a portfolio may sit in one place. Shares are of the total value, cash included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from core.reasons import NoRate
from core.rules import Measured, rule
from core.valuation import Position
from core.view import View

UNCLASSIFIED = "Unclassified"
# what a position counts for under the rules on groups; another rule shows what it measured
GROUPS: dict[str, Callable[[Position], str | None]] = {
    "max_security_weight": lambda p: p.security.symbol,
    "max_sector_weight": lambda p: p.security.sector,
    "max_country_weight": lambda p: p.security.country,
    "max_currency_weight": lambda p: p.security.currency,
}


def _shares(view: View, name: Callable[[Position], str | None]) -> Measured:
    total = float(view.valuation.total)
    out: defaultdict[str, float] = defaultdict(float)
    for p in view.valuation.positions:
        if p.value_base is not None:
            out[name(p) or UNCLASSIFIED] += float(p.value_base) / total
    return list(out.items())


@rule("Largest security", default=0.10)
def max_security_weight(view: View) -> Measured:
    """The share of the total value in any one security may not exceed the limit (UCITS-style 10 %)."""
    return _shares(view, GROUPS["max_security_weight"])


@rule("Largest sector", default=0.35)
def max_sector_weight(view: View) -> Measured:
    """The share of the total value in any one sector may not exceed the limit."""
    return _shares(view, GROUPS["max_sector_weight"])


@rule("Largest country", default=1.0, severity="soft")
def max_country_weight(view: View) -> Measured:
    """The share of the total value in securities of any one country may not exceed the limit."""
    return _shares(view, GROUPS["max_country_weight"])


@rule("Largest foreign currency", default=1.0, severity="soft")
def max_currency_weight(view: View) -> Measured:
    """The share of the total value, cash included, in any one currency other than the base currency may not exceed the limit."""
    shares = dict(_shares(view, GROUPS["max_currency_weight"]))
    total = float(view.valuation.total)
    for currency, amount in view.valuation.cash.items():
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        if not isinstance(rate, NoRate):
            shares[currency] = shares.get(currency, 0.0) + float(amount * rate) / total
    shares.pop(view.base, None)
    return list(shares.items()) or [("none", 0.0)]


@rule("Cash floor", default=0.0, at_least=True)
def min_cash_weight(view: View) -> Measured:
    """Cash in all currencies, as a share of the total value, may not fall below the limit."""
    return [("Cash", float(view.valuation.cash_base) / float(view.valuation.total))]
