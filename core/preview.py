"""What something would do before it is done: entries to the lots of what they touch, cost methods to every gain. Changes nothing.

effect(book, [(draft, posting)])      lots before and after, what is closed and with which gain
restated(book, methods)               gains by year and open lots under other dated cost methods
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from core.book import Book
from core.booking import MOVING, derive, impossible
from core.fx import day_number, day_of
from core.ledger import MICRO, UNITS, Draft, Ledger, Posting, Security, around, from_postings, joined
from core.lots import Disposal, Lot, Lots
from core.methods import Dated
from core.money import posted


@dataclass(frozen=True, slots=True)
class OpenLot:
    """An open lot. Units are negative where it is short. `lot` is the id of the entry that opened it; None: it is not booked yet."""

    lot: UUID | None
    security: Security
    opened_on: date
    units: Decimal
    cost: Decimal  # in the security's currency
    cost_base: Decimal | None  # None: there was no rate on the day it was bought

    @property
    def unit_cost(self) -> Decimal:
        """Cost of one unit, for display only."""
        return self.cost / self.units if self.units else Decimal(0)


@dataclass(frozen=True, slots=True)
class Closed:
    """What an entry closes of one lot; units 0 for the gain part of a return of capital or of cash in a merger."""

    lot: UUID | None
    security: Security
    opened_on: date
    closed_on: date
    units: Decimal
    gain: Decimal  # proceeds − cost in the security's currency
    gain_base: Decimal | None  # the same in the base currency, each side at its own day's rate


@dataclass(frozen=True, slots=True)
class Delivered:
    """What leaves in kind out of one lot."""

    lot: UUID
    security: Security
    opened_on: date
    units: Decimal
    cost: Decimal
    cost_base: Decimal | None


@dataclass(frozen=True, slots=True)
class Effect:
    """Open lots of the securities concerned before and after some entries, at the end of their (last) day."""

    before: tuple[OpenLot, ...]
    after: tuple[OpenLot, ...]
    closed: tuple[Closed, ...]
    delivered: tuple[Delivered, ...]

    @property
    def gain_base(self) -> Decimal | None:
        """Σ realised gain in the base currency; None where nothing is closed or a rate is missing."""
        gains = [c.gain_base for c in self.closed]
        return None if not gains or None in gains else sum((g for g in gains if g is not None), Decimal(0))

    @property
    def cost_delivered(self) -> Decimal:
        """Σ cost of what leaves in kind, in its currency."""
        return sum((d.cost for d in self.delivered), Decimal(0))

    @property
    def cost_before(self) -> Decimal:
        """Σ cost of the lots before, in their currency."""
        return sum((lot.cost for lot in self.before), Decimal(0))

    @property
    def cost_after(self) -> Decimal:
        """Σ cost of the lots after, in their currency."""
        return sum((lot.cost for lot in self.after), Decimal(0))


@dataclass(frozen=True, slots=True)
class Year:
    """Realised gains of one calendar year in the base currency, before and after; None where a rate is missing."""

    year: int
    before: Decimal | None
    after: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        """after − before; None where a rate is missing."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class Restatement:
    """What other cost methods change: realised gains by year, and the open lots of the securities whose lots differ."""

    years: tuple[Year, ...]
    before: tuple[OpenLot, ...]
    after: tuple[OpenLot, ...]

    @property
    def difference(self) -> Decimal | None:
        """Σ gains after − Σ gains before; None where a rate is missing."""
        parts = [y.difference for y in self.years]
        return None if None in parts else sum((x for x in parts if x is not None), Decimal(0))


def effect(book: Book, entries: Sequence[tuple[Draft, Posting]]) -> Effect:
    """What some entries would do to lots. Raises Impossible where what is held on their day does not allow them, or where
    they would make a later entry impossible."""
    moving = [p for _, p in entries if p.kind in MOVING and p.security_id]
    if not moving:
        return Effect((), (), (), ())
    known = dict(book.securities)
    for d, _ in entries:
        known |= {s.security_id: s for s in (d.security, d.into) if s is not None}
    part = book.ledger.only(around(book.ledger, {s for p in moving for s in (p.security_id, p.into_id) if s}))
    more = from_postings(moving, ids=[UUID(int=i + 1) for i in range(len(moving))])
    ledger, new = joined(part, more)
    methods, names = [book.portfolio.dated_methods], {n: s.symbol for n, s in known.items()}
    for why in impossible(ledger, new, methods, names).values():
        raise why
    day = max(day_number(p.traded_on) for p in moving)
    old = part.upto(day)
    before = derive(old, methods, [book.base], book.rates)
    after = derive(ledger.upto(day), methods, [book.base], book.rates)
    was, will = _lots(before.open, old, known), _lots(after.open, ledger, known)
    # what an earlier spin-off or merger joined to it is derived along, and shown only where it changes
    shown = {s for p in moving for s in (p.security_id, p.into_id)} | {x.security.security_id for x in {*was} ^ {*will}}
    return Effect(
        tuple(x for x in was if x.security.security_id in shown),
        tuple(x for x in will if x.security.security_id in shown),
        tuple(_closed(d, ledger, known) for d in after.disposals if new[d.row]),
        tuple(
            Delivered(
                _id(ledger, d.opening_row) or UUID(int=0),
                known[d.security],
                day_of(d.opened_on),
                Decimal(d.units) / UNITS,
                Decimal(d.cost) / MICRO,
                None if d.cost_base is None else Decimal(d.cost_base) / MICRO,
            )
            for d in after.deliveries
            if new[d.row]
        ),
    )


def open_lots(book: Book, security: int, on: date) -> tuple[OpenLot, ...]:
    """The open lots of one security at the end of a day, the oldest first."""
    part = book.ledger.only(around(book.ledger, {security})).upto(day_number(on))
    found = derive(part, [book.portfolio.dated_methods], [book.base], book.rates).open
    return _lots([lot for lot in found if lot.security == security], part, book.securities)


def restated(book: Book, methods: str | Dated) -> Restatement:
    """What the ledger comes to under other dated cost methods. Raises Impossible where it cannot be derived under them."""
    names = {n: s.symbol for n, s in book.securities.items()}
    before = derive(book.ledger, [book.portfolio.dated_methods], [book.base], book.rates)
    after = derive(book.ledger, [methods], [book.base], book.rates, names=names)
    was, will = gains_by_year(before), gains_by_year(after)
    years = tuple(Year(y, was.get(y, Decimal(0)), will.get(y, Decimal(0))) for y in sorted(was.keys() | will.keys()))

    def by_security(found: Lots) -> dict[int, list[OpenLot]]:
        out: dict[int, list[OpenLot]] = {}
        for lot in found.open:
            out.setdefault(lot.security, []).extend(_lots([lot], book.ledger, book.securities))
        return out

    one, other = by_security(before), by_security(after)
    differ = sorted(s for s in one.keys() | other.keys() if one.get(s) != other.get(s))
    return Restatement(
        years,
        tuple(lot for s in differ for lot in one.get(s, [])),
        tuple(lot for s in differ for lot in other.get(s, [])),
    )


def gains_by_year(lots: Lots) -> dict[int, Decimal | None]:
    """Σ proceeds − cost in the base currency by the year of the disposal; None where a rate is missing."""
    out: dict[int, Decimal | None] = {}
    for d in lots.disposals:
        year = day_of(d.closed_on).year
        so_far = out.get(year, Decimal(0))
        if so_far is None or d.proceeds_base is None or d.cost_base is None:
            out[year] = None
        else:
            out[year] = so_far + Decimal(d.proceeds_base - d.cost_base) / MICRO
    return out


def with_method(now: str | Dated, first: date, method: str) -> tuple[tuple[int, str], ...]:
    """Dated methods with one more, in the place of one of the same day."""
    dated = {-25567: now} if isinstance(now, str) else dict(now)  # 1900-01-01
    dated[day_number(first)] = method
    return tuple(sorted(dated.items()))


def _id(ledger: Ledger, row: int) -> UUID | None:
    """The id of a row; None for one that is not booked."""
    number = UUID(bytes=bytes(ledger.ids[row]))
    return number if number.int > 2**64 else None


def _lots(lots: Sequence[Lot], ledger: Ledger, known: Mapping[int, Security]) -> tuple[OpenLot, ...]:
    return tuple(
        OpenLot(
            _id(ledger, lot.row),
            known[lot.security],
            day_of(lot.opened_on),
            Decimal(lot.units) / UNITS,
            Decimal(lot.cost) / MICRO,
            None if lot.cost_base is None else Decimal(lot.cost_base) / MICRO,
        )
        for lot in lots
    )


def _closed(d: Disposal, ledger: Ledger, known: Mapping[int, Security]) -> Closed:
    base = None if d.proceeds_base is None or d.cost_base is None else Decimal(d.proceeds_base - d.cost_base) / MICRO
    return Closed(
        _id(ledger, d.opening_row),
        known[d.security],
        day_of(d.opened_on),
        day_of(d.closed_on),
        Decimal(d.units) / UNITS,
        Decimal(d.proceeds - d.cost) / MICRO,
        base,
    )


# --- choosing lots -----------------------------------------------------------------------------------------------

PRESETS = ("First in", "Last in", "Highest cost", "Lowest gain")


def preset(lots: Sequence[OpenLot], quantity: Decimal, name: str) -> list[Decimal]:
    """Units to take of each lot, in the lots' order, for `quantity` units in all, by a rule of PRESETS.

    "Highest cost" goes by cost per unit in the security's currency, "Lowest gain" by that in the base currency, at which
    rates count too; where a rate is missing the security's currency decides.
    """
    cost: list[Decimal] = [lot.unit_cost for lot in lots]
    if name == "Lowest gain" and all(lot.cost_base is not None for lot in lots):
        cost = [(lot.cost_base or Decimal(0)) / lot.units for lot in lots]
    side = [-1 if lot.units > 0 else 1 for lot in lots]  # of a short lot the lowest proceeds first
    order = list(range(len(lots)))
    if name == "Last in":
        order.reverse()
    elif name in ("Highest cost", "Lowest gain"):
        order.sort(key=lambda i: side[i] * cost[i])
    out = [Decimal(0)] * len(lots)
    for i in order:
        out[i] = min(abs(lots[i].units), quantity)
        quantity -= out[i]
    return out


def unrealised(lot: OpenLot, price: Decimal | None) -> Decimal | None:
    """Units × price − cost in the security's currency, posted; None without a price."""
    return None if price is None else posted(lot.units * price, lot.security.currency) - lot.cost
