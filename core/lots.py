"""Lots: what is still held and what it cost, and every disposal with its gain. Exact integers, cost conserved to the cent.

One plain loop per (portfolio, security). A lot keeps its total cost; a partial sale takes its posted share and the rest
stays (NUMBERS 2). A cost method is a branch in `_relieve`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.fx import Rates
from core.ledger import CODE, MICRO, UNITS, Ledger, LedgerError
from core.money import minor_units
from core.reasons import NoRate

METHODS = ("fifo", "average")
BUY, SELL, SPLIT = CODE["buy"], CODE["sell"], CODE["split"]


@dataclass(slots=True)
class Lot:
    """Units bought together and still held. Units in 1e-10, costs in 1e-6 of the security's and the base currency."""

    portfolio: int
    security: int
    opened_on: int  # day number; of a pooled lot the first purchase since it was last empty
    units: int
    cost: int
    cost_base: int | None  # None: there was no rate on the day it was bought
    row: int  # the ledger row that opened it


@dataclass(frozen=True, slots=True)
class Disposal:
    """Units sold out of one lot. gain = proceeds − cost, in both currencies."""

    portfolio: int
    security: int
    opened_on: int
    closed_on: int
    units: int
    proceeds: int
    cost: int
    proceeds_base: int | None
    cost_base: int | None
    opening_row: int
    row: int


@dataclass(frozen=True, slots=True)
class Lots:
    """Open lots and disposals, in the order in which they came to be."""

    open: tuple[Lot, ...]
    disposals: tuple[Disposal, ...]


def share(amount: int, part: int, whole: int, unit: int) -> int:
    """amount × part / whole, rounded half-even to multiples of `unit`; exact integers."""
    numerator, denominator = amount * part, whole * unit
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient * unit


def posting_unit(currency: str) -> int:
    """The smallest posted amount of a currency, in 1e-6."""
    return int(MICRO // 10 ** minor_units(currency))


def _relieve(lots: list[Lot], wanted: int, unit: int, base_unit: int) -> list[tuple[Lot, int, int, int | None]]:
    """Take `wanted` units from the front of `lots` (in place): (lot, units, cost, cost in base) per lot touched.

    First in, first out where there are many lots; under average cost there is one pooled lot.
    """
    taken: list[tuple[Lot, int, int, int | None]] = []
    used_up = 0
    for lot in lots:
        if wanted == 0:
            break
        if lot.units <= wanted:
            taken.append((lot, lot.units, lot.cost, lot.cost_base))
            wanted -= lot.units
            used_up += 1
        else:
            cost = share(lot.cost, wanted, lot.units, unit)
            cost_base = None if lot.cost_base is None else share(lot.cost_base, wanted, lot.units, base_unit)
            taken.append((lot, wanted, cost, cost_base))
            lot.units -= wanted
            lot.cost -= cost
            if lot.cost_base is not None and cost_base is not None:
                lot.cost_base -= cost_base
            wanted = 0
    del lots[:used_up]
    return taken


def derive(ledger: Ledger, methods: Sequence[str], bases: Sequence[str], rates: Rates) -> Lots:
    """All lots and disposals of a ledger.

    `methods` and `bases` give each portfolio's cost method and base currency, by portfolio index. Costs hold purchase
    fees and taxes, proceeds are net of sale fees and taxes. A sale of more than is held raises LedgerError: such a
    ledger cannot have been booked.
    """
    for method in methods:
        if method not in METHODS:
            raise LedgerError("cost method", method, "not offered yet; expected one of " + ", ".join(METHODS))
    moving = np.flatnonzero(np.isin(ledger.kind, (BUY, SELL, SPLIT)))
    cols = {
        name: getattr(ledger, name)[moving].tolist()
        for name in (
            "portfolio",
            "kind",
            "security",
            "quantity",
            "ratio",
            "gross",
            "fees",
            "taxes",
            "net",
            "currency",
            "with_fx",
            "traded_on",
        )
    }
    units_of = [posting_unit(c) for c in ledger.currencies]
    base_units = [posting_unit(b) for b in bases]
    held: dict[tuple[int, int], list[Lot]] = {}
    holding: dict[tuple[int, int], int] = {}
    disposals: list[Disposal] = []
    rate_of: dict[tuple[str, str, int], Decimal | NoRate] = {}

    def in_base(amount: int, n: int, portfolio: int, net: int) -> int | None:
        currency, base = ledger.currencies[cols["currency"][n]], bases[portfolio]
        if currency == base:
            return amount
        if cols["with_fx"][n]:
            return abs(net)
        key = (currency, base, cols["traded_on"][n])
        rate = rate_of.get(key)
        if rate is None:
            rate = rate_of[key] = rates.rate(*key)
        if isinstance(rate, NoRate):
            return None
        unit = base_units[portfolio]
        return int((Decimal(amount) * rate / unit).to_integral_value()) * unit

    for n, row in enumerate(moving.tolist()):
        portfolio, security, kind, day = (
            cols["portfolio"][n],
            cols["security"][n],
            cols["kind"][n],
            cols["traded_on"][n],
        )
        lots = held.setdefault((portfolio, security), [])
        quantity = cols["quantity"][n]
        if kind == BUY:
            holding[portfolio, security] = holding.get((portfolio, security), 0) + quantity
            cost = cols["gross"][n] + cols["fees"][n] + cols["taxes"][n]
            cost_base = in_base(cost, n, portfolio, cols["net"][n])
            if methods[portfolio] == "average" and lots:
                pool = lots[0]
                pool.units += quantity
                pool.cost += cost
                pool.cost_base = None if pool.cost_base is None or cost_base is None else pool.cost_base + cost_base
            else:
                lots.append(Lot(portfolio, security, day, quantity, cost, cost_base, row))
        elif kind == SELL:
            holding[portfolio, security] = holding.get((portfolio, security), 0) - quantity
            if holding[portfolio, security] < 0:
                raise LedgerError(
                    "quantity", Decimal(quantity) / UNITS, "the ledger holds a sale of more than was held"
                )
            proceeds = cols["gross"][n] - cols["fees"][n] - cols["taxes"][n]
            proceeds_base = in_base(proceeds, n, portfolio, cols["net"][n])
            unit, base_unit = units_of[cols["currency"][n]], base_units[portfolio]
            left, left_units, left_base = proceeds, quantity, proceeds_base
            for lot, taken, cost, cost_base in _relieve(lots, quantity, unit, base_unit):
                part = left if taken == left_units else share(left, taken, left_units, unit)
                part_base = (
                    left_base
                    if left_base is None or taken == left_units
                    else share(left_base, taken, left_units, base_unit)
                )
                left, left_units = left - part, left_units - taken
                left_base = None if left_base is None or part_base is None else left_base - part_base
                disposals.append(
                    Disposal(
                        portfolio, security, lot.opened_on, day, taken, part, cost, part_base, cost_base, lot.row, row
                    )
                )
        else:
            for lot in lots:
                lot.units = share(lot.units, cols["ratio"][n], UNITS, 1)
            holding[portfolio, security] = sum(lot.units for lot in lots)
    return Lots(tuple(lot for lots in held.values() for lot in lots), tuple(disposals))


def by_security(lots: Sequence[Lot]) -> Mapping[tuple[int, int], list[Lot]]:
    """Open lots grouped by (portfolio, security)."""
    out: dict[tuple[int, int], list[Lot]] = {}
    for lot in lots:
        out.setdefault((lot.portfolio, lot.security), []).append(lot)
    return out
