"""Drafts, ledgers, lots and Books made from a case, checked and posted as the product does. No handlers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from areas.datasets import NO_RATES, exactly
from core.book import Book, Portfolio
from core.booking import derive
from core.fx import Rates, Series
from core.ledger import MICRO, UNITS, Draft, Ledger, Security, from_postings, post, sides
from core.lots import Lots

LATER = date(2100, 1, 1)  # today is later than anything in a case
NOW = datetime(2100, 1, 1, tzinfo=UTC)
METHODS = {"FIFO": "fifo", "LIFO": "lifo", "HIFO": "hifo", "AVERAGE": "average"}


def security(currency: str = "USD") -> Security:
    return Security(1, "ACME", "Acme", "XNYS", currency, "Equity")


ACME = security()


def book(
    drafts: Sequence[Draft],
    base: str,
    prices: Series | None = None,
    rates: Rates = NO_RATES,
    method: str = "fifo",
) -> Book:
    """The drafts of one portfolio as a Book; the prices are those of the security number 1."""
    held = {d.security.security_id: d.security for d in drafts if d.security}
    return whole_book(drafts, base, held, {1: prices} if prices else {}, rates, method)


def whole_book(
    drafts: Sequence[Draft],
    base: str,
    held: dict[int, Security],
    prices: dict[int, Series],
    rates: Rates,
    method: str = "fifo",
) -> Book:
    portfolio = Portfolio(UUID(int=0), "golden", base, None, method)
    return Book(portfolio, ledger(drafts, base), held, prices, rates, {}, "golden")


def ledger(drafts: Sequence[Draft], base: str) -> Ledger:
    return from_postings(post(d, base, d.traded_on, LATER) for d in drafts)


def lots(drafts: Sequence[Draft], method: str = "fifo", base: str = "USD") -> Lots:
    return derive(ledger(drafts, base), (method,), (base,), NO_RATES)


def trade(
    kind: str, on: date, quantity: Any, price: Any = None, gross: Any = None, fee: Any = 0, of: Security = ACME
) -> Draft:
    """A buy or sell of a quantity, at a price or for a whole amount."""
    cost = None if gross is None else exactly(gross)
    return Draft(
        kind, on, of.currency, of, exactly(quantity), None if price is None else exactly(price), cost, exactly(fee)
    )


def split(on: date, ratio: Any) -> Draft:
    """New units for one old."""
    return Draft("split", on, ACME.currency, ACME, ratio=Fraction(str(ratio)))


def sided(
    fills: Sequence[tuple[date, str, Any, Any, Any]], of: Security = ACME, held: Decimal = Decimal(0)
) -> list[Draft]:
    """Plain fills (date, B or S, units, price, fee) as the trades that they are, from what was held before: buys, sells,
    shorts and covers."""
    drafts: list[Draft] = []
    for on, side, quantity, price, fee in fills:
        units = signed(side, quantity)
        for kind, part in sides(held, units):
            drafts.append(trade(kind, on, part, price, fee=fee, of=of))
            fee = 0
        held += units
    return drafts


def signed(side: str, quantity: Any) -> Decimal:
    """Units bought, or sold as a negative number."""
    return exactly(quantity) * (1 if side[0] == "B" else -1)


def units_of(found: Lots) -> Decimal:
    """Units that are open."""
    return Decimal(sum(lot.units for lot in found.open)) / UNITS


def cost_of(found: Lots) -> Decimal:
    """What they cost; of a short position what it brought in, negative."""
    return Decimal(sum(lot.cost for lot in found.open)) / MICRO


def realised_of(found: Lots) -> Decimal:
    return Decimal(sum(d.proceeds - d.cost for d in found.disposals)) / MICRO
