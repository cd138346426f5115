"""A stretch of time over which some units were held: what they were counted from, what they ended as, and how much of the gain is
the price's and how much the exchange rate's."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.fx import Rates, day_of
from core.ledger import MICRO, UNITS
from core.lots import Disposal
from core.money import posted
from core.reasons import NoRate


@dataclass(frozen=True, slots=True)
class Stretch:
    """Units that were held from one amount to another; of a short units and amounts are negative. Amounts are posted.

    `how`: "sold" is realised (sales, covers, the cash of a return of capital or merger, whose units are 0); "held" at the end,
    "delivered" in kind and "became" another security are not. `rate`: base currency for one unit when it ended. `row` is the
    ledger row that ended it, None of what is still held.
    """

    security: int
    how: str
    units: Decimal
    start: Decimal  # in the security's currency
    start_base: Decimal
    end: Decimal
    end_base: Decimal
    rate: Decimal
    currency_gain: Decimal
    row: int | None = None

    @property
    def gain(self) -> Decimal:
        """end − start, in the base currency."""
        return self.end_base - self.start_base

    @property
    def local_gain(self) -> Decimal:
        """The price part: (end − start, in the security's currency) × the rate at the end, so that the product of both moves is in it."""
        return self.gain - self.currency_gain


def currency_part(start: Decimal, start_base: Decimal, rate: Decimal, base: str) -> Decimal:
    """posted(start × rate) − start_base: what the amount that was put in is worth at the rate of the end, less what it was worth then.

    Source: Portfolio Performance, `CapitalGainsCalculation`: the start value held as cash in the security's currency.
    """
    return posted(start * rate, base) - start_base


def of_disposal(d: Disposal, currency: str, base: str, rates: Rates) -> Stretch | NoRate:
    """A disposal as a stretch from its cost to its proceeds; a short one from what it brought to what was paid to cover it.

    The rate of a sale is the one that it was settled at; where nothing was paid, that of the day. NoRate where one is not known.
    """
    sides = ((d.cost, d.cost_base), (d.proceeds, d.proceeds_base))
    (start, start_base), (end, end_base) = sides[::-1] if d.short else sides
    if start_base is None or end_base is None:
        return NoRate(currency, day_of(d.closed_on if end_base is None else d.opened_on))
    sign = Decimal(-1 if d.short else 1) / MICRO
    rate = Decimal(end_base) / end if end else rates.rate(currency, base, d.closed_on)
    if isinstance(rate, NoRate):
        return rate
    amounts = (sign * start, sign * start_base, sign * end, sign * end_base)
    moved = currency_part(amounts[0], amounts[1], rate, base)
    units = Decimal(-d.units if d.short else d.units) / UNITS
    return Stretch(d.security, "sold", units, *amounts, rate, moved, d.row)
