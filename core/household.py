"""The household: all portfolios of one owner that the reader may see, as parcels for tax, and what a new entry would do to them.

Amounts are in the base currency of the portfolio asked about, each side at the rate of its own day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import numpy as np

from core.book import Book
from core.booking import derive
from core.fx import Rates, day_number, day_of
from core.ledger import CODE, KINDS, MICRO, TRADES, UNITS, Posting, Security, around, from_postings, joined, whole
from core.lots import Disposal, Lot, Lots, posting_unit, said_units, share, shares
from core.money import posted
from core.reasons import NoRate
from core.tax import WINDOW, Parcel, Piece, wash_sales
from core.valuation import lots_of

EXEMPT = frozenset({"Crypto", "Currency"})  # not stock or securities: § 1091 does not reach them
UNDERWAY = 10  # days between units leaving one portfolio and arriving in another
NEW = UUID(int=2**128 - 1)  # stands for a transaction that is not booked yet
OPENING = {False: CODE["buy"], True: CODE["short"]}


@dataclass(frozen=True, slots=True)
class Household:
    """Books of one owner, the portfolio asked about first. `whole`: the reader is the owner, so nothing is hidden from them.
    `fills_are_one`: purchases of one security in one portfolio on one day at one price are fills of one order."""

    books: tuple[Book, ...]
    whole: bool = True
    fills_are_one: bool = True

    @property
    def base(self) -> str:
        """The currency of all amounts: that of the portfolio asked about."""
        return self.books[0].base

    @property
    def securities(self) -> Mapping[int, Security]:
        """Every security of these portfolios, by number."""
        return {number: s for book in self.books for number, s in book.securities.items()}

    @property
    def version(self) -> tuple[object, ...]:
        """Changes with anything in any of the portfolios."""
        return tuple((book.portfolio.portfolio_id, book.version) for book in self.books)

    @property
    def rates(self) -> Rates:
        """The FX of all of them."""
        return Rates({code: series for book in self.books for code, series in book.rates.series.items()})


@dataclass(frozen=True, slots=True)
class Settled:
    """Every parcel's pieces after the wash sales, and how many sales were left out because a rate was missing."""

    pieces: tuple[Piece, ...]
    left_out: int


def settled(household: Household, as_of: int) -> Settled:
    """The wash sales of a household, with what was traded up to a day. Kept with the first Book."""
    key = ("wash sales", as_of, household.version, household.fills_are_one)
    kept = household.books[0].derived
    if key not in kept:
        household.books[0].make_room()
        parcels, left_out = parcels_of(household, as_of)
        kept[key] = Settled(tuple(wash_sales(parcels, posting_unit(household.base))), left_out)
    found: Settled = kept[key]
    return found


def parcels_of(household: Household, as_of: int) -> tuple[list[Parcel], int]:
    """All parcels in the order in which they were closed, then the open ones; and how many had no rate on one of their days.

    Units that left in kind are no parcels: where they went into another portfolio of the household they are its lots. A lot that
    came in kind counts as bought on the day that it brought along; lots of a spin-off or merger were not bought.
    """
    splits, named = _splits(household, as_of), _names(household, as_of)
    purchase = _Purchases(household, as_of, named)
    rates = household.rates
    out: list[Parcel] = []
    left_out = 0
    for number, book in enumerate(household.books):
        disposals, still = _fifo(book, as_of)
        in_base = _Converted(book.base, household.base, rates)
        for d in disposals:
            cost, proceeds = in_base(d.cost_base, d.closed_on if d.short else d.opened_on), in_base(
                d.proceeds_base, d.opened_on if d.short else d.closed_on)  # fmt: skip
            if cost is None or proceeds is None:
                left_out += 1
                continue
            security = named.get(d.security, d.security)
            out.append(
                Parcel(purchase(number, d.opening_row), security, d.opened_on, _scaled(d.units, splits.get(security, ()), d.closed_on), cost,
                       proceeds, d.closed_on, d.short, _bought(household, book, d, named), number, d.security, d.opening_row, d.row, d.units)
            )  # fmt: skip
        for lot in still:
            base = in_base(None if lot.cost_base is None else abs(lot.cost_base), lot.opened_on)
            if base is None:
                continue
            security, short = named.get(lot.security, lot.security), lot.units < 0
            sides = (0, base) if short else (base, 0)
            out.append(
                Parcel(purchase(number, lot.row), security, lot.opened_on, abs(lot.units), *sides, None, short, _bought(household, book, lot, named),
                       number, lot.security, lot.row, -1, abs(lot.units))
            )  # fmt: skip
    return out, left_out


class _Purchases:
    """Which purchase the lot of an opening entry came from: parcels of one purchase do not replace each other (Rev. Rul. 56-602).

    A lot that another portfolio of the household delivered in kind is of the purchase that it was of there; fills of one order
    are one purchase, where the household says so.
    """

    def __init__(self, household: Household, as_of: int, named: Mapping[int, int]) -> None:
        self._books, self._fills, self._came = household.books, household.fills_are_one, dict[tuple[int, int], tuple[int, int]]()
        delivered: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
        for number, book in enumerate(household.books):
            for d in lots_of(book, as_of).deliveries:
                left_on = int(book.ledger.traded_on[d.row])
                delivered.setdefault((named.get(d.security, d.security), d.opened_on, abs(d.units)), []).append((number, left_on, d.opening_row))
        for number, book in enumerate(household.books):
            ledger = book.ledger.upto(as_of)
            for row in np.flatnonzero((ledger.kind == CODE["transfer_in"]) & (ledger.security > 0)).tolist():
                detail, security = ledger.details.get(row), int(ledger.security[row])
                if detail is None or detail.acquired_on is None:
                    continue
                known = delivered.get((named.get(security, security), day_number(detail.acquired_on), abs(int(ledger.quantity[row]))), [])
                near = [x for x in known if x[0] != number and abs(x[1] - int(ledger.traded_on[row])) <= UNDERWAY]
                if near:
                    found = min(near, key=lambda x: abs(x[1] - int(ledger.traded_on[row])))
                    known.remove(found)
                    self._came[number, row] = (found[0], found[2])

    def __call__(self, number: int, row: int) -> tuple[object, ...]:
        at, seen = (number, row), {(number, row)}
        while at in self._came and self._came[at] not in seen:
            at = self._came[at]
            seen.add(at)
        number, row = at
        ledger = self._books[number].ledger
        kind, quantity = int(ledger.kind[row]), int(ledger.quantity[row])
        if not self._fills or kind not in OPENING.values() or not quantity:
            return at
        return (number, kind, int(ledger.security[row]), int(ledger.traded_on[row]), Fraction(int(ledger.gross[row]), quantity))


class _Converted:
    """Amounts of one base currency in another, at the rate of their day; None where there is no rate."""

    def __init__(self, frm: str, to: str, rates: Rates) -> None:
        self.frm, self.to, self.rates = frm, to, rates

    def __call__(self, amount: int | None, day: int) -> int | None:
        if amount is None or self.frm == self.to:
            return amount
        rate = self.rates.rate(self.frm, self.to, day)
        return None if isinstance(rate, NoRate) else whole(posted(Decimal(amount) / MICRO * rate, self.to), MICRO)


def _bought(household: Household, book: Book, lot: Lot | Disposal, named: Mapping[int, int]) -> bool:
    """Whether a lot came by purchase (a short one by a short sale), so that it may replace what was sold at a loss."""
    row = lot.row if isinstance(lot, Lot) else lot.opening_row
    short = lot.units < 0 if isinstance(lot, Lot) else lot.short
    opened = int(book.ledger.security[row])
    exempt = lot.security in book.securities and book.securities[lot.security].asset_class in EXEMPT
    if exempt or named.get(opened, opened) != named.get(lot.security, lot.security):
        return False
    kind = int(book.ledger.kind[row])
    detail = book.ledger.details.get(row)
    came_along = kind == CODE["transfer_in"] and detail is not None and detail.acquired_on is not None
    return kind == OPENING[short] or came_along


def _splits(household: Household, as_of: int) -> dict[int, tuple[tuple[int, Fraction], ...]]:
    """(day, new units for one old) of every split, by security as it is called now. One that several portfolios booked counts once."""
    named = _names(household, as_of)
    found: dict[int, dict[int, Fraction]] = {}
    for book in household.books:
        ledger = book.ledger.upto(as_of)
        for row in np.flatnonzero(ledger.kind == CODE["split"]).tolist():
            security = int(ledger.security[row])
            days = found.setdefault(named.get(security, security), {})
            ratio = ledger.ratio_at(row)
            assert ratio is not None
            days[int(ledger.traded_on[row])] = ratio
    return {security: tuple(sorted(days.items())) for security, days in found.items()}


def _scaled(units: int, splits: Iterable[tuple[int, Fraction]], day: int) -> int:
    """Units of a day at the scale after every split."""
    factor = Fraction(1)
    for on, ratio in splits:
        if on > day:
            factor *= ratio
    return units if factor == 1 else share(units, factor.numerator, factor.denominator, 1)


def _names(household: Household, as_of: int) -> dict[int, int]:
    """Securities that changed their symbol: the number before → the number now."""
    found: dict[int, int] = {}
    for book in household.books:
        ledger = book.ledger.upto(as_of)
        for row, detail in ledger.details.items():
            if int(ledger.kind[row]) == CODE["symbol_change"] and detail.into:
                found[int(ledger.security[row])] = detail.into
    out = {}
    for old in found:
        now, seen = old, {old}
        while now in found and found[now] not in seen:
            now = found[now]
            seen.add(now)
        out[old] = now
    return out


def _fifo(book: Book, as_of: int) -> tuple[list[Disposal], list[Lot]]:
    """Disposals and open lots. Under average cost units are told apart first in, first out and share the pooled cost by units.

    Source: 26 CFR 1.1012-1(e)(7): shares under average basis are taken to be sold in the order of purchase.
    """
    lots = lots_of(book, as_of)
    methods = book.portfolio.dated_methods
    if "average" not in ([methods] if isinstance(methods, str) else [m for _, m in methods]):
        return list(lots.disposals), list(lots.open)
    ledger = book.ledger.upto(as_of)
    free = replace(ledger, details={row: replace(d, lots=()) for row, d in ledger.details.items()})
    told = derive(free, ("fifo",), (book.base,), book.rates)
    return _with_pooled_cost(lots, told, posting_unit(book.base))


def _with_pooled_cost(pooled: Lots, told: Lots, unit: int) -> tuple[list[Disposal], list[Lot]]:
    """`told` apart, with the cost of `pooled`: of each sale, and of each security that is still held."""
    disposals = [d for d in pooled.disposals if not d.units]
    sales: dict[int, list[Disposal]] = {}
    for d in told.disposals:
        if d.units:
            sales.setdefault(d.row, []).append(d)
    for row, parts in sales.items():
        whole_sale, units = [d for d in pooled.disposals if d.row == row and d.units], [d.units for d in parts]
        costs = _spread([d.cost_base for d in whole_sale], units, unit)
        proceeds = _spread([d.proceeds_base for d in whole_sale], units, unit)
        disposals += [replace(d, cost_base=c, proceeds_base=p) for d, c, p in zip(parts, costs, proceeds, strict=True)]
    still: list[Lot] = []
    for security in sorted({lot.security for lot in told.open}):
        mine = [lot for lot in told.open if lot.security == security]
        pool = [lot.cost_base for lot in pooled.open if lot.security == security]
        costs = _spread(pool, [lot.units for lot in mine], unit)
        still += [replace(lot, cost_base=c) for lot, c in zip(mine, costs, strict=True)]
    return disposals, still


def _spread(amounts: Sequence[int | None], units: Sequence[int], unit: int) -> Sequence[int | None]:
    """The sum of some amounts over parts by their units; all None where one of them is missing."""
    known = [a for a in amounts if a is not None]
    return shares(sum(known), units, unit) if len(known) == len(amounts) else [None] * len(units)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Units that replace, or that were sold at a loss, and the loss that moves."""

    portfolio: str
    on: date
    units: Decimal
    disallowed: Decimal


@dataclass(frozen=True, slots=True)
class WashWarning:
    """What a transaction does, booked or not yet: a loss is not deductible now but moves into another cost.

    `on_sale`: the entry sells at a loss (or covers) and `triggers` are the purchases that replace; otherwise the entry buys and
    `triggers` are the sales whose loss it takes away. On `free_from` and later the same entry would not do so.
    """

    symbol: str
    on_sale: bool
    short: bool
    disallowed: Decimal
    currency: str
    triggers: tuple[Trigger, ...]
    free_from: date

    def __str__(self) -> str:
        opened, closed = ("sold short", "cover") if self.short else ("bought", "sale")
        each = "; ".join(
            f"{said_units(whole(t.units, UNITS))} {opened if self.on_sale else 'closed at a loss'} on {t.on} in {t.portfolio}"
            for t in self.triggers
        )
        amount = f"{self.disallowed:,f} {self.currency}"
        if self.on_sale:
            return (
                f"Wash sale: {amount} of the loss on {self.symbol} is not deductible now. Within 30 days of the {closed} these replace it: {each}. "
                f"The loss moves into their cost. From {self.free_from} on, without another purchase, it would count."
            )
        return (
            f"Wash sale: with this entry {amount} of losses on {self.symbol} is not deductible now: {each}. "
            f"The loss moves into the cost of this entry. From {self.free_from} on it would not."
        )


def warnings_before(household: Household, posting: Posting, security: Security, today: date) -> tuple[WashWarning, ...]:
    """What booking `posting` in the first portfolio would do: at most one warning. Nothing is booked.

    Raises Impossible where it cannot be booked.
    """
    if posting.kind not in TRADES:
        return ()
    narrow = _about(household, {security.security_id})
    first = narrow.books[0]
    ledger, _ = joined(first.ledger, from_postings([posting], ids=[NEW]))
    known = {**first.securities, security.security_id: security}
    with_it = first.with_other(ledger=ledger, securities=known, rates=household.rates)
    return warnings_of(replace(narrow, books=(with_it, *narrow.books[1:])), [NEW], today)


def warnings_of(household: Household, transactions: Sequence[UUID], today: date) -> tuple[WashWarning, ...]:
    """What some transactions of the first portfolio do to losses: one warning for each that makes a wash sale, in booking order.

    A sale is warned of where units that stay (or were bought later) replace it: those sold in the same sale carry their share
    of the loss into it.
    """
    wanted, ledger = {number.bytes for number in transactions}, household.books[0].ledger
    rows = [row for row, number in enumerate(ledger.ids.tolist()) if bytes(number) in wanted]
    trades = {int(ledger.security[row]) for row in rows if KINDS[int(ledger.kind[row])] in TRADES}
    if not trades:
        return ()
    narrow = _about(household, trades)
    ledger = narrow.books[0].ledger
    asked = {row for row, number in enumerate(ledger.ids.tolist()) if bytes(number) in wanted}
    found: dict[int, tuple[Parcel, dict[tuple[int, int], list[int]]]] = {}
    for piece in settled(narrow, day_number(today)).pieces:
        mine, by = piece.parcel, piece.replaced_by
        if by is None or mine.closed_on is None or not piece.disallowed:
            continue
        if mine.portfolio == 0 and mine.row in asked and (by.portfolio, by.row) != (0, mine.row):
            row, parcel, trigger = mine.row, mine, (by.opened_on, by.portfolio)
        elif by.portfolio == 0 and by.opening_row in asked and (mine.portfolio, mine.row) != (0, by.row):
            row, parcel, trigger = by.opening_row, by, (mine.closed_on, mine.portfolio)
        else:
            continue
        so_far = found.setdefault(row, (parcel, {}))[1].setdefault(trigger, [0, 0])
        so_far[0] += piece.units
        so_far[1] += piece.disallowed
    return tuple(_warning(household, row, *found[row]) for row in sorted(found))


def _about(household: Household, securities: set[int]) -> Household:
    """The same with nothing but the entries of some securities, and of those they came from or became in any portfolio."""
    rates, ledgers = household.rates, [b.ledger.only(around(b.ledger, securities)) for b in household.books]
    linked = securities.union(*(set(ledger.security.tolist()) for ledger in ledgers))
    linked = linked.union(d.into for ledger in ledgers for d in ledger.details.values() if d.into)
    if linked != securities:
        return _about(household, linked)
    books = (b.with_other(ledger=x, rates=rates) for b, x in zip(household.books, ledgers, strict=True))
    return replace(household, books=tuple(books))


def _warning(
    household: Household, row: int, parcel: Parcel, triggers: Mapping[tuple[int, int], Sequence[int]]
) -> WashWarning:
    listed = tuple(
        Trigger(household.books[other].portfolio.name, day_of(on), Decimal(units) / UNITS, Decimal(lost) / MICRO)
        for (on, other), (units, lost) in sorted(triggers.items())
    )
    total = posted(sum((t.disallowed for t in listed), Decimal(0)), household.base)
    free_from = max(t.on for t in listed) + timedelta(days=WINDOW + 1)
    symbol = household.securities[parcel.symbol_of].symbol
    return WashWarning(symbol, parcel.row == row, parcel.short, total, household.base, listed, free_from)
