"""What lots earned within a period: counted from their value at its start, or from their purchase in it, before fees and taxes.

The ledger goes through the loop of `core.booking`, with the portfolio's own cost method; where the period begins, the open lots
are counted anew at their value. What they end as are Stretches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from core.book import Book
from core.booking import Booking, moving
from core.entry_amounts import EntryAmounts
from core.fx import day_number, day_of
from core.ledger import CASH, CODE, DISPOSING, KINDS, MICRO, TRANSFERS, UNITS, Detail, Ledger
from core.lots import Delivery, Disposal, Lot, posting_unit, shares
from core.money import posted
from core.reasons import NoRate
from core.stretch import Stretch, currency_part, of_disposal
from core.valuation import lots_of, price_at

TAKING = frozenset(CODE[k] for k in DISPOSING)
Counted = tuple[int, int | None]  # 1e-6 of the security's currency, and the same in the base currency (None: not known)


@dataclass(frozen=True, slots=True)
class PeriodLots:
    """What the loop answers for some securities: the stretches that ended within the period, what the lots that are still open are
    counted from, the value that corporate actions moved, and the securities whose count began at something unknown."""

    ended: tuple[Stretch, ...]
    counted: Mapping[int, Counted]
    moved: tuple[tuple[int, int, int, Decimal, Decimal], ...]  # (row, old security, new one, value, the same not rounded)
    unknown: frozenset[int]


def period_lots(
    book: Book,
    start: int,
    end: int,
    securities: Collection[int],
    values: Mapping[int, Counted],
    amounts: Mapping[int, EntryAmounts | NoRate],
) -> PeriodLots:
    """The lots of some securities (with all that they came from or became) from after day `start` to day `end`.

    `values` is what each position is counted at when the period begins; `amounts` are those of the entries after it, by row.
    """
    ledger = book.ledger.upto(end)
    rows = moving(ledger)
    rows = rows[np.isin(ledger.security[rows], sorted(securities))]
    loop = _Counting(book, ledger, rows, values, amounts, _taken(book, ledger, end))
    loop.run(start)
    ended = tuple(loop.ended())
    counted = {security: _sum(lots) for (_, security), lots in loop.held.items() if lots}
    moved = tuple((t.row, t.old, t.new, Decimal(t.value[1] or 0) / MICRO, t.exact) for t in loop.turned)
    return PeriodLots(ended, counted, moved, frozenset(loop.unknown))


def _taken(book: Book, ledger: Ledger, end: int) -> dict[int, tuple[tuple[UUID, Decimal], ...]]:
    """By row: the lots that it took and the units of each."""
    out: dict[int, list[tuple[UUID, Decimal]]] = defaultdict(list)
    if "hifo" not in {book.portfolio.method, *(method for _, method in book.portfolio.methods)}:
        return {}
    lots = lots_of(book, end)
    gone: tuple[Disposal | Delivery, ...] = (*lots.disposals, *lots.deliveries)
    for one in gone:
        if one.units:
            out[one.row].append((UUID(bytes=bytes(ledger.ids[one.opening_row])), Decimal(one.units) / UNITS))
    return {row: tuple(taken) for row, taken in out.items()}


@dataclass(frozen=True, slots=True)
class _Turned:
    """What one security became by a corporate action: at what its lots were counted, and the value that it went on with."""

    row: int
    old: int
    new: int
    units: int
    day: int
    before: Counted
    value: Counted
    exact: Decimal
    valued: bool  # False: no price of that day is known, and the count goes on in the new security


class _Counting(Booking):
    """The loop of booking, its lots counted anew from the start of the period on."""

    def __init__(
        self,
        book: Book,
        ledger: Ledger,
        rows: NDArray[np.int64],
        values: Mapping[int, Counted],
        amounts: Mapping[int, EntryAmounts | NoRate],
        taken: Mapping[int, tuple[tuple[UUID, Decimal], ...]],
    ) -> None:
        super().__init__(ledger, (book.portfolio.dated_methods,), (book.base,), book.rates, {}, rows)
        self.book_of, self.values, self.amounts, self.taken = book, values, amounts, taken
        self.base_unit = posting_unit(book.base)
        self.counting = False
        self.turned: list[_Turned] = []
        self.unknown: set[int] = set()

    def run(self, start: int) -> None:
        """Every row; the lots are counted anew after the last one up to day `start`."""
        for n in range(len(self.rows)):
            if not self.counting and self.cols["traded_on"][n] > start:
                self.count_anew()
            self.book(n)
        if not self.counting:
            self.count_anew()

    def count_anew(self) -> None:
        """From here on every lot is counted at its share of the value of its position, by units."""
        self.counting = True
        self.disposals.clear()
        self.deliveries.clear()
        for (_, security), lots in self.held.items():
            if lots:
                self.count(lots, self.values.get(security, (0, None)))

    def count(self, lots: Sequence[Lot], amount: Counted) -> None:
        """Lots at their shares of an amount."""
        units = [lot.units for lot in lots]
        costs = shares(amount[0], units, posting_unit(self.book_of.securities[lots[0].security].currency))
        bases = [None] * len(units) if amount[1] is None else shares(amount[1], units, self.base_unit)
        for lot, cost, base in zip(lots, costs, bases, strict=True):
            lot.cost, lot.cost_base = cost, base
            lot.reset()

    # --- what differs from booking ---

    def gross(self, n: int) -> Counted:
        """What a row paid or brought before fees and taxes, or the market value of what it carried in kind."""
        row, kind = self.rows[n], KINDS[self.cols["kind"][n]]
        found = self.amounts.get(row)
        if found is None:  # a price of nothing
            return 0, 0
        if isinstance(found, NoRate):
            return self.cols["gross"][n], None
        moved = found.worth if kind in TRANSFERS else found.gross
        return self.cols["gross"][n], int(moved * CASH[kind][0] * MICRO)

    def paid(self, n: int, sign: int) -> Counted:
        """Before fees and taxes: they are costs of their own in a statement."""
        return self.gross(n) if self.counting else super().paid(n, sign)

    def detail(self, n: int) -> Detail | None:
        """With the lots that were the dearest: what they cost is no longer there to choose by."""
        found = super().detail(n)
        if self.counting and self.cols["kind"][n] in TAKING and self.method(n) == "hifo":
            return replace(found or Detail(), lots=self.taken.get(self.rows[n], ()))
        return found

    def transfer_in(self, n: int) -> None:
        """At its market value: the gain of before was not earned here."""
        if not self.counting:
            super().transfer_in(n)
            return
        self.only(n, True, "cover it first")
        detail = self.detail(n)
        acquired = None if detail is None or detail.acquired_on is None else day_number(detail.acquired_on)
        self.open_lot(n, self.cols["quantity"][n], *self.gross(n), acquired)

    def settle(self, n: int, into: list[Lot], new: Sequence[Lot]) -> None:
        """At the value of the new units on their day; where no price of then is known at what the old ones were counted from."""
        if self.counting and new:
            number, units, day = new[0].security, sum(lot.units for lot in new), self.cols["traded_on"][n]
            before = _sum(new)
            found = self.worth(number, units, day)
            value, exact = found or (before, Decimal(before[1] or 0) / MICRO)
            if value[1] is None:
                self.unknown.add(number)
            self.count(new, value)
            old = self.cols["security"][n]
            self.turned.append(_Turned(self.rows[n], old, number, units, day, before, value, exact, found is not None))
        super().settle(n, into, new)

    def worth(self, security: int, units: int, day: int) -> tuple[Counted, Decimal] | None:
        """(units × price × rate of a day, the same in the base currency and not rounded); None where one is not known."""
        book, currency = self.book_of, self.book_of.securities[security].currency
        found, rate = price_at(book, security, day, {}), book.rates.rate(currency, book.base, day)
        if found is None or isinstance(rate, NoRate):
            return None
        local = Decimal(units) / UNITS * found.price
        amounts = (int(posted(local, currency) * MICRO), int(posted(local * rate, book.base) * MICRO))
        return amounts, local * rate

    # --- what ended ---

    def ended(self) -> list[Stretch]:
        """Sold, delivered, become something else: since the lots were counted anew. What cannot be converted goes into `unknown`."""
        out = list[Stretch | NoRate]()
        for d in self.disposals:
            one = of_disposal(d, self.book_of.securities[d.security].currency, self.book_of.base, self.book_of.rates)
            out.append(one)
            if isinstance(one, NoRate):
                self.unknown.add(d.security)
        gone: dict[tuple[int, int], list[Delivery]] = defaultdict(list)
        for x in self.deliveries:
            gone[x.row, x.security].append(x)
        for (row, security), parts in gone.items():
            found = self.amounts.get(row)
            base = 0 if found is None else None if isinstance(found, NoRate) else int(-found.worth * MICRO)
            day = int(self.ledger.traded_on[row])
            out.append(self.stretch(security, "delivered", sum(x.units for x in parts), _sum(parts), (int(self.ledger.gross[row]), base), day, row))
        for t in self.turned:
            if t.valued:
                out.append(self.stretch(t.old, "became", t.units, t.before, t.value, t.day, t.row))
        return [one for one in out if not isinstance(one, NoRate)]

    def stretch(self, security: int, how: str, units: int, start: Counted, end: Counted, day: int, row: int) -> Stretch | NoRate:
        """One that ended at the rate of a day."""
        base, currency = self.book_of.base, self.book_of.securities[security].currency
        rate = self.book_of.rates.rate(currency, base, day)
        if isinstance(rate, NoRate) or start[1] is None or end[1] is None:
            return NoRate(currency, day_of(day))
        amounts = [Decimal(int(x)) / MICRO for x in (start[0], start[1], end[0], end[1])]
        moved = currency_part(amounts[0], amounts[1], rate, base)
        return Stretch(security, how, Decimal(units) / UNITS, amounts[0], amounts[1], amounts[2], amounts[3], rate, moved, row)


def _sum(lots: Sequence[Lot | Delivery]) -> Counted:
    """What several lots are counted at together."""
    bases = [lot.cost_base for lot in lots]
    return sum(lot.cost for lot in lots), None if None in bases else sum(b for b in bases if b is not None)
