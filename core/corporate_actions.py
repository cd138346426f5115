"""What corporate actions do to open lots: before and after. Cost is conserved to the cent: what is not relieved by cash stays.

Each function takes the open lots of one security of one portfolio (all long or all short), changes them in place or answers
the lots of the security that they become. To add an action: a function here and a method of its name in `core.booking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.ledger import UNITS
from core.lots import Lot, share, shares


@dataclass(frozen=True, slots=True)
class Paid:
    """Cash that fell on one lot, and the cost that it relieved: gain = proceeds − cost, in both currencies."""

    proceeds: int
    cost: int
    proceeds_base: int | None
    cost_base: int | None


def split(lots: Sequence[Lot], ratio: int) -> None:
    """`ratio` (1e-10) new units for one old. Cost and date stay; a fraction beyond 1e-10 units is rounded half-even."""
    for lot in lots:
        if not (lot.whole_units * ratio % UNITS or lot.units * ratio % UNITS):
            lot.whole_units, lot.units = lot.whole_units * ratio // UNITS, lot.units * ratio // UNITS
        else:
            lot.units = _scaled(lot.units, ratio)
            lot.reset()


def _scaled(units: int, ratio: int) -> int:
    """Units × ratio, at least the smallest unit there is: a lot does not vanish with its cost."""
    return share(units, ratio, UNITS, 1) or (1 if units > 0 else -1)


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


def spin_off(lots: Sequence[Lot], into: int, ratio: int, fraction: int, unit: int, base_unit: int) -> list[Lot]:
    """`ratio` units of `into` for each unit held; `fraction` (1e-10) of each lot's cost moves along, its date stays.

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
        out.append(Lot(lot.portfolio, into, lot.opened_on, _scaled(lot.units, ratio), cost, base, lot.row))
    return out


def merger(
    lots: Sequence[Lot], into: int, ratio: int, price: int, cash: int, cash_base: int | None, unit: int, base_unit: int
) -> tuple[list[Lot], list[Paid]]:
    """Every unit becomes `ratio` units of `into`; cash that comes with them is spread over the lots by units.

    With cash, of each lot the gain that is realised is min(cash, cash + value of the new units − cost), at least 0, the new
    units at `price` (1e-10 of the currency for one); the rest of the cash relieves cost. A loss is not realised.
    Source: IRC § 356(a)(1), (c) and § 358(a)(1); IRS Publication 550, "Corporate reorganizations".
    """
    new: list[Lot] = []
    paid: list[Paid] = []
    units = [lot.units for lot in lots]
    parts = shares(cash, units, unit) if cash else [0] * len(lots)
    bases = [0] * len(lots) if not cash else None if cash_base is None else shares(cash_base, units, base_unit)
    for i, lot in enumerate(lots):
        received = _scaled(lot.units, ratio)
        worth = share(received * price, 1, UNITS * 10_000, 1)  # 1e-10 units × 1e-10 price → 1e-6 money
        gain = max(0, min(parts[i], parts[i] + worth - lot.cost))
        relieved = parts[i] - gain
        base: int | None = None
        if lot.cost_base is not None and bases is not None:
            base = share(lot.cost_base, relieved, lot.cost, base_unit) if relieved else 0
        paid.append(Paid(parts[i], relieved, None if bases is None else bases[i], base))
        left = None if lot.cost_base is None or base is None else lot.cost_base - base
        new.append(Lot(lot.portfolio, into, lot.opened_on, received, lot.cost - relieved, left, lot.row))
    return new, paid
