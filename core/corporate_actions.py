"""What corporate actions do to open lots: before and after. Cost is conserved to the cent: what is not relieved by cash stays.

Each function takes the open lots of one security of one portfolio (all long or all short), changes them in place or answers
the lots of the security that they become. A ratio is two whole numbers, `new` units for `old`: units are exact until the holding
that they become part of is counted (`core.lots.level`). To add an action: a function here and a method of its name in `core.booking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from core.ledger import UNITS
from core.lots import Lot, level, share, shares


@dataclass(frozen=True, slots=True)
class Paid:
    """Cash that fell on one lot, and the cost that it relieved: gain = proceeds − cost, in both currencies."""

    proceeds: int
    cost: int
    proceeds_base: int | None
    cost_base: int | None


def split(lots: list[Lot], new: int, old: int) -> None:
    """`new` units for `old`. Cost and date stay; the holding is rounded to 1e-10 units, no lot by itself."""
    for lot in lots:
        lot.scale(new, old)
    level(lots)


def _become(lot: Lot, into: int, new: int, old: int, cost: int, cost_base: int | None) -> Lot:
    """A lot of another security, `new` units for `old` of this one."""
    made = Lot(lot.portfolio, into, lot.opened_on, lot.units, cost, cost_base, lot.row, rest=lot.rest)
    made.scale(new, old)
    return made


def return_of_capital(
    lots: Sequence[Lot], amount: int, amount_base: int | None, unit: int, base_unit: int
) -> list[Paid]:
    """Cash that gives back capital, spread over the lots by units: it reduces their cost to zero at the least, the rest is gain.

    Source: ERRATA 9; IRS Publication 550, nondividend distributions. In the base currency the cash counts at its own day's rate.
    """
    parts = shares(amount, [lot.units for lot in lots], unit)
    bases = None if amount_base is None else shares(amount_base, [lot.units for lot in lots], base_unit)
    out: list[Paid] = []
    for i, lot in enumerate(lots):
        cost = min(parts[i], lot.cost)
        base: int | None = None
        if bases is not None and lot.cost_base is not None:
            base = lot.cost_base if parts[i] >= lot.cost else min(bases[i], lot.cost_base)
            lot.cost_base -= base
        else:
            lot.cost_base = None
        lot.cost -= cost
        lot.reset()
        out.append(Paid(parts[i], cost, None if bases is None else bases[i], base))
    return out


def spin_off(
    lots: Sequence[Lot], into: int, new: int, old: int, fraction: int, unit: int, base_unit: int
) -> list[Lot]:
    """`new` units of `into` for `old` held; `fraction` (1e-10) of each lot's cost moves along, its date stays.

    Source: IRS Publication 550, "Distributions of stock": basis is allocated by fair market value, which the fraction says.
    """
    out: list[Lot] = []
    for lot in lots:
        cost = share(lot.cost, fraction, UNITS, unit)
        base = None if lot.cost_base is None else share(lot.cost_base, fraction, UNITS, base_unit)
        lot.cost -= cost
        if lot.cost_base is not None and base is not None:
            lot.cost_base -= base
        lot.reset()
        out.append(_become(lot, into, new, old, cost, base))
    return out


def merger(
    lots: Sequence[Lot],
    into: int,
    new: int,
    old: int,
    price: int,
    cash: int,
    cash_base: int | None,
    unit: int,
    base_unit: int,
) -> tuple[list[Lot], list[Paid]]:
    """Every `old` units become `new` units of `into`; cash that comes with them is spread over the lots by units.

    With cash, of each lot the gain that is realised is min(cash, cash + value of the new units − cost), at least 0, the new
    units at `price` (1e-10 of the currency for one); the rest of the cash relieves cost. A loss is not realised.
    Source: IRC § 356(a)(1), (c) and § 358(a)(1); IRS Publication 550, "Corporate reorganizations".
    """
    became: list[Lot] = []
    paid: list[Paid] = []
    units = [lot.units for lot in lots]
    parts = shares(cash, units, unit) if cash else [0] * len(lots)
    bases = [0] * len(lots) if not cash else None if cash_base is None else shares(cash_base, units, base_unit)
    for i, lot in enumerate(lots):
        received = (lot.units + lot.rest) * Fraction(new, old)
        # 1e-10 units × 1e-10 price → 1e-6 money
        worth = share(price, received.numerator, received.denominator * UNITS * 10_000, 1)
        gain = max(0, min(parts[i], parts[i] + worth - lot.cost))
        relieved = parts[i] - gain
        base: int | None = None
        if lot.cost_base is not None and bases is not None:
            base = share(lot.cost_base, relieved, lot.cost, base_unit) if relieved else 0
        paid.append(Paid(parts[i], relieved, None if bases is None else bases[i], base))
        left = None if lot.cost_base is None or base is None else lot.cost_base - base
        became.append(_become(lot, into, new, old, lot.cost - relieved, left))
    return became, paid
