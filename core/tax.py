"""US tax on capital gains: holding periods and wash sales, over the purchases and sales of all portfolios of one owner.

A warning, not advice. A new rule of the law is a function here; where the parcels come from is `core.household`.

    settled = wash_sales(parcels, unit=10_000)       # what became of every parcel, losses matched in order of sale
    sum(p.disallowed for p in settled) == sum(p.added for p in settled)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from core.fx import day_of
from core.lots import shares

WINDOW = 30  # days before and after the day of the sale, both ends inclusive: 61 in all
Term = Literal["short", "long"]


def holding_term(acquired: date, sold: date) -> Term:
    """Long where held more than one year: the count starts on the day after the purchase and includes the day of the sale.

    Sold on the anniversary of the purchase is short. A count that starts on 29 February is a year old on 1 March.
    Source: IRS Publication 550, "Long-Term or Short-Term"; Rev. Rul. 66-7.
    """
    first = acquired + timedelta(days=1)
    leap = (first.month, first.day) == (2, 29)
    anniversary = date(first.year + 1, 3, 1) if leap else first.replace(year=first.year + 1)
    return "long" if sold >= anniversary else "short"


@dataclass(frozen=True, slots=True)
class Parcel:
    """Units of one purchase (or short sale) that were closed by one sale (or cover), or are still open.

    Units in 1e-10, all at one scale (as after every split); money in 1e-6 of one currency, positive. Of what is still open the
    side that has not come yet is 0. `purchase` tells which parcels were bought together: they do not replace each other.
    """

    purchase: Hashable
    security: int
    opened_on: int  # day number
    units: int
    cost: int
    proceeds: int = 0
    closed_on: int | None = None
    short: bool = False
    replaces: bool = True  # it came by purchase (a short: by a short sale), so it may replace what was sold at a loss
    portfolio: int = 0
    symbol_of: int = 0  # the security's number on the day it was closed, before later symbol changes
    opening_row: int = -1
    row: int = -1  # the ledger row that closed it
    said_units: int = 0  # units as they were booked when it was closed


@dataclass(slots=True)
class Piece:
    """What became of a parcel, or of a part of it where only a part was replaced or replaces.

    gain recognised = proceeds − cost − added + disallowed.
    """

    parcel: Parcel
    units: int
    cost: int  # what was paid
    proceeds: int
    since: int  # day number from which the holding period counts; earlier than the purchase where it tacks on
    added: int = 0  # losses of earlier sales that moved into its cost
    disallowed: int = 0  # the part of its own loss that moved on
    replaced_by: Parcel | None = None
    replaced: Parcel | None = None  # whose loss it carries: each unit replaces once

    @property
    def result(self) -> int:
        """Proceeds − adjusted cost, before anything is disallowed; 0 while it is open."""
        return 0 if self.parcel.closed_on is None else self.proceeds - self.cost - self.added

    @property
    def gain(self) -> int:
        """The gain (a loss: negative) that counts."""
        return self.result + self.disallowed

    @property
    def term(self) -> Term:
        """Short or long term; a short sale closed by a purchase is short. Undefined while open."""
        closed = self.parcel.closed_on
        if closed is None:
            raise ValueError("a parcel that is still open has no term yet")
        return "short" if self.parcel.short else holding_term(day_of(self.since), day_of(closed))


def wash_sales(parcels: Sequence[Parcel], unit: int = 1) -> list[Piece]:
    """What became of every parcel: its pieces in the order of the parcels, with losses disallowed and added to replacements.

    Losses are taken in the order of their sales, on one day in the order of purchase; units bought within 30 days before or
    after replace in the order of purchase, each once. Not those of the same purchase, nor those that are sold already; those
    sold later on the same day do. The loss of a replaced unit is disallowed and added to the cost of the unit that replaces it,
    whose holding period grows by that of the unit sold. A replacement that is sold at a loss itself carries its adjusted cost.
    For short positions alike: a loss on a cover is replaced by short sales within 30 days.

    Only the same `security` is substantially identical. Amounts are split to multiples of `unit` (1e-6) and nothing is lost:
    Σ disallowed = Σ added. Source: 26 U.S.C. § 1091; 26 CFR 1.1091-1, -2; IRS Publication 550, "Wash Sales"; Rev. Rul. 56-602.
    """
    pieces = [[Piece(p, p.units, p.cost, p.proceeds, p.opened_on)] for p in parcels]
    by_kind: dict[tuple[int, bool], list[int]] = {}
    for i, p in enumerate(parcels):
        by_kind.setdefault((p.security, p.short), []).append(i)
    for places in by_kind.values():
        bought = sorted(
            (i for i in places if parcels[i].replaces and parcels[i].units), key=lambda i: (parcels[i].opened_on, i)
        )
        days = [parcels[i].opened_on for i in bought]
        if bought:
            closed = [i for i in places if parcels[i].closed_on is not None and parcels[i].units]
            closed.sort(key=lambda i: (parcels[i].closed_on, parcels[i].opened_on, i))
            turn = {i: n for n, i in enumerate(closed)}
            for i in closed:
                sold_on = parcels[i].closed_on
                assert sold_on is not None
                near = bought[bisect_left(days, sold_on - WINDOW) : bisect_right(days, sold_on + WINDOW)]
                able = [
                    j for j in near if parcels[j].purchase != parcels[i].purchase and turn.get(j, len(turn)) > turn[i]
                ]
                _replace(pieces, i, able, unit)
    return [piece for group in pieces for piece in group]


def _replace(pieces: list[list[Piece]], i: int, able: Sequence[int], unit: int) -> None:
    """Match the losing pieces of parcel `i` with unused pieces of the parcels `able`, cutting both where they differ in units."""
    mine, n = pieces[i], 0
    free = ((j, piece) for j in able for piece in pieces[j] if piece.replaced is None)
    while n < len(mine):
        lost = mine[n]
        n += 1
        if lost.result >= 0:
            continue
        found = next(free, None)
        if found is None:
            return
        j, other = found
        units = min(lost.units, other.units)
        _cut(mine, lost, units, unit)
        _cut(pieces[j], other, units, unit)  # what is left of it comes next out of `free`
        if lost.result < 0:
            lost.disallowed = -lost.result
            lost.replaced_by, other.replaced = other.parcel, lost.parcel
            other.added += lost.disallowed
            assert lost.parcel.closed_on is not None
            other.since -= lost.parcel.closed_on - lost.since


def _cut(pieces: list[Piece], piece: Piece, units: int, unit: int) -> None:
    """Leave `units` in a piece and put the rest behind it."""
    left = piece.units - units
    if not left:
        return
    rest = replace(piece, units=left)
    for name in ("cost", "proceeds", "added"):
        first, second = shares(getattr(piece, name), (units, left), unit)
        setattr(piece, name, first)
        setattr(rest, name, second)
    piece.units = units
    pieces.insert(next(k for k, p in enumerate(pieces) if p is piece) + 1, rest)
