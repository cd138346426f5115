"""Lots of first in, first out as a cumulative function: no loop over transactions, exact integers in columns.

For one security of one portfolio, with units counted in today's splits, let B be the units bought up to each lot and S those
sold up to each sale. A sale takes the lots whose stretch of B its stretch of S covers, and the cost of what is taken of a lot is
share(its cost, units taken up to there) − share(its cost, units taken before): the very arithmetic of `core.lots.Lot.take`.
What does not fit that form is left to the loop of `core.booking`, security by security.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fx import Rates
from core.ledger import CODE, KINDS, UNITS, Ledger
from core.lots import Deliveries, Disposals, Lots, Moves, OpenLots, posting_unit
from core.methods import Dated

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

OPENING, TAKING, SPLIT = (CODE["buy"], CODE["transfer_in"]), (CODE["sell"], CODE["transfer_out"]), CODE["split"]
BUY, SELL, TRANSFER_OUT = CODE["buy"], CODE["sell"], CODE["transfer_out"]
_ROLE = np.zeros(len(KINDS), np.int8)  # of each kind: 1 opens a lot, 2 takes units, 3 splits, 0 is for the loop
_ROLE[list(OPENING)], _ROLE[list(TAKING)], _ROLE[SPLIT] = 1, 2, 3
IN_ORDER = ("fifo", "specific")  # the second takes the first lots too, unless somebody chose others
MOST_UNITS = 2.0**60  # of one security, bought in all
MOST_STEPS = 2.0**50  # posting units of one amount: so that a float is off by less than two of them
MOST_SPLITS = 40
MOST_AT_ONCE = 2.0**62  # units of all securities that are cut in one go
BLOCK = 1 << 16  # rows that are worked on together


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that open, take or split, by (portfolio, security) and in booking order within; arrays of one length."""

    row: Ints
    group: Ints  # 0, 1, 2 …, ascending
    role: NDArray[np.int8]
    units: Ints  # positive; 0 of a split
    scale: Ints  # units of today for one of then; of a split for one before it
    ratio: Ints  # of a split the units for one, else 1
    amount: Ints  # cost or proceeds in posting units of the security's currency
    base: Ints  # the same of the base currency, 0 where not known; the very array where that is the only currency
    known: Mask

    def only(self, mask: Mask) -> _Rows:
        """Those of some groups, which are numbered anew."""
        kept = {name: getattr(self, name)[mask] for name in self.__slots__}
        kept["group"] = _numbered(kept["group"])
        if self.base is self.amount:
            kept["base"] = kept["amount"]
        return _Rows(**kept)


@dataclass(frozen=True, slots=True)
class _Cut:
    """What comes of some groups: open lots in order, all else by group. `delta`: what each of the rows does to the units."""

    still: OpenLots
    closed: Disposals
    left: Deliveries
    row: Ints
    delta: Ints


def fifo(
    ledger: Ledger, methods: Sequence[str | Dated], bases: Sequence[str], rates: Rates, moving: Ints
) -> tuple[Lots, Ints]:
    """(the lots of every security of every portfolio that this can do, the rows of the others), out of the rows that touch lots.

    Done is what has purchases, sales, transfers in kind and splits by whole numbers alone, first in first out, never short or
    oversold, within bounds that keep int64 exact. Units, money and order as `core.booking.plain`.
    """
    rows = moving[_by_security(ledger, moving)]
    portfolio, security = ledger.portfolio[rows], ledger.security[rows]
    group = np.cumsum((np.diff(portfolio, prepend=portfolio[:1]) != 0) | (np.diff(security, prepend=security[:1]) != 0))
    out_of_form = _out_of_form(ledger, methods, rows, portfolio, security, group)
    kept = ~_any(out_of_form, group)[group]
    if not kept.all():
        rows, group = rows[kept], _numbered(group[kept])
    if not len(rows):
        return Lots(OpenLots.of([]), Disposals.of([]), Deliveries.of([]), Moves.of([])), moving
    done, cut = [], []
    for part in _blocks(group):
        found = _measured(ledger, bases, rates, rows[part], _numbered(group[part]))
        done.append(found.row)
        cut += [_cut(one, ledger, bases) for one in _parts(found)]
    mine = np.zeros(len(ledger), np.bool_)
    mine[np.concatenate(done)] = True
    return _in_order(cut, ledger), moving[~mine[moving]]


def _blocks(group: Ints) -> Iterator[slice]:
    """Whole groups, together about BLOCK rows: what is worked on at once stays small, however long the ledger."""
    starts = np.append(_starts(group), len(group))
    at = 0
    while at < len(group):
        upto = int(starts[min(int(np.searchsorted(starts, at + BLOCK)), len(starts) - 1)])
        yield slice(at, upto)
        at = upto


def _by_security(ledger: Ledger, moving: Ints) -> Ints:
    """The order by portfolio and security, stable."""
    n, portfolio, security = len(moving), ledger.portfolio[moving], ledger.security[moving]
    if not n:
        return moving
    if max(int(security.max()), int(portfolio.max())) >= 1 << 16:
        return np.lexsort((security, portfolio)).astype(np.int64)
    order = np.argsort(security.astype(np.uint16), kind="stable")  # of 16 bits that is a radix sort
    return order[np.argsort(portfolio[order].astype(np.uint16), kind="stable")]


def _out_of_form(
    ledger: Ledger,
    methods: Sequence[str | Dated],
    rows: Ints,
    portfolio: NDArray[Any],
    security: NDArray[Any],
    group: Ints,
) -> Mask:
    """Rows that need the loop, for their kind, their details, their method, or a currency that is not their security's."""
    role, currency = _ROLE[ledger.kind[rows]], ledger.currency[rows]
    out: Mask = role == 0
    out[1:] |= (currency[1:] != currency[:-1]) & (group[1:] == group[:-1])
    details = ledger.details
    if details:
        has = np.zeros(len(ledger), np.bool_)
        has[list(details)] = True
        out |= has[rows]
        ends = {(int(ledger.portfolio[r]), d.into) for r, d in details.items() if d.into}
        if ends:
            numbers = np.array([p << 32 | s for p, s in ends], np.int64)
            out |= np.isin(portfolio.astype(np.int64) << 32 | security, numbers)
    in_order, pooled = _methods(methods, portfolio, ledger, rows)
    out |= pooled | ((role == 2) & ~in_order)
    ratio = ledger.ratio[rows]
    splits = role == 3
    if splits.any():
        its = ratio[splits]
        out[splits] |= ((its < UNITS) | (its % UNITS != 0)).astype(np.bool_)
    return out


def _methods(methods: Sequence[str | Dated], portfolio: NDArray[Any], ledger: Ledger, rows: Ints) -> tuple[Mask, Mask]:
    """Of each row whether the method of its day takes lots in order, and whether it pools them."""
    plain = [m if isinstance(m, str) else "" for m in methods]
    in_order = np.array([m in IN_ORDER for m in plain])[portfolio]
    pooled = np.array([m == "average" for m in plain])[portfolio]
    for number, dated in enumerate(methods):
        if isinstance(dated, str):
            continue
        mine = np.flatnonzero(portfolio == number)
        at = np.searchsorted(np.array([day for day, _ in dated]), ledger.traded_on[rows[mine]], side="right") - 1
        at = np.maximum(at, 0)
        in_order[mine] = np.array([m in IN_ORDER for _, m in dated])[at]
        pooled[mine] = np.array([m == "average" for _, m in dated])[at]
    return in_order, pooled


def _measured(ledger: Ledger, bases: Sequence[str], rates: Rates, rows: Ints, group: Ints) -> _Rows:
    """Units, splits and amounts of the rows, without the groups that go beyond a bound or sell what is not there."""
    kind, currency, portfolio = ledger.kind[rows], ledger.currency[rows], ledger.portfolio[rows]
    role = _ROLE[kind]
    out = np.zeros(len(rows), np.bool_)
    units = _int64(ledger.quantity[rows], out)
    units[role == 3] = 0
    out |= (units <= 0) & (role != 3)
    ratio = np.ones(len(rows), np.int64)
    ratio[role == 3] = _int64(ledger.ratio[rows[role == 3]], out, role == 3) // UNITS
    scale, big = _scales(role, ratio, group)
    sizes = np.bincount(group, weights=np.where(role == 1, units * big, 0.0))
    out |= ~(sizes < MOST_UNITS)[group] | ~(units * big < MOST_UNITS)

    gross, net = _int64(ledger.gross[rows], out), ledger.net
    costs = _int64(ledger.fees[rows], out) + _int64(ledger.taxes[rows], out)
    money = gross + np.where(kind == BUY, costs, 0) - np.where(kind == SELL, costs, 0)
    money[(role == 3) | (kind == TRANSFER_OUT)] = 0
    unit = np.array([posting_unit(c) for c in ledger.currencies])[currency]
    amount = money // unit
    out |= (amount * unit != money) | (np.abs(amount) >= MOST_STEPS)

    base_units = np.array([posting_unit(b) for b in bases])
    own = np.array([[c == b for c in ledger.currencies] for b in bases])[portfolio, currency]
    base, known = amount if own.all() else amount.copy(), np.ones(len(rows), np.bool_)
    for number in np.unique(portfolio[~own]).tolist():
        base_unit, its = posting_unit(bases[number]), portfolio == number
        for place in np.unique(currency[its & ~own]).tolist():
            mine = np.flatnonzero(its & (currency == place) & ~own & ~out)
            steps, there = rates.posted(
                money[mine], ledger.currencies[place], bases[number], ledger.traded_on[rows[mine]], base_unit
            )
            if steps.dtype == object:
                out[mine] = True
            else:
                base[mine], known[mine] = steps, there
    paid = np.flatnonzero(~own & ledger.with_fx[rows] & ((kind == BUY) | (kind == SELL)))
    if len(paid):
        cash = np.abs(_int64(net[rows[paid]], out, paid))
        moved = cash != 0
        paid, cash = paid[moved], cash[moved]
        unit_of = base_units[portfolio[paid]]
        base[paid], known[paid] = np.where(money[paid] < 0, -cash, cash) // unit_of, True
        out[paid] |= cash % unit_of != 0
    if base is not amount:
        out |= (np.abs(base) >= MOST_STEPS) | (np.abs(base.astype(np.float64)) * base_units[portfolio] >= MOST_AT_ONCE)

    found = _Rows(rows, group, role, units, scale, ratio, amount, base, known)
    if out.any():
        found = found.only(~_any(out, group)[group])
    held = np.cumsum(_delta(found))
    before = held - _delta(found)
    starts = _starts(found.group)
    held -= before[starts][found.group]
    if (held < 0).any():
        found = found.only(~_any(held < 0, found.group)[found.group])
    return found


def _int64(column: NDArray[Any], out: Mask, places: Any = slice(None)) -> Ints:
    """The column as int64 that may be changed; what is near the bound of int64 is 0 there and marked in `out`."""
    if column.dtype == object:
        fits = np.array([abs(x) < 2**61 for x in column.tolist()], np.bool_)
        column = np.where(fits, column, 0).astype(np.int64)
    else:
        fits = (column < 2**61) & (column > -(2**61))
        column = column.astype(np.int64)
    if not fits.all():
        out[places] |= ~fits
        column[~fits] = 0
    return column


def _scales(role: NDArray[np.int8], ratio: Ints, group: Ints) -> tuple[Ints, NDArray[np.float64]]:
    """The product of the splits from each row on, exact and as a float that says where that is beyond int64."""
    scale, big = np.ones(len(role), np.int64), np.ones(len(role))
    splits = np.flatnonzero(role == 3)
    if not len(splits):
        return scale, big
    counts = np.bincount(group[splits], minlength=int(group[-1]) + 1)
    mine = np.flatnonzero(counts[group] > 0)
    its, so_far = group[mine], np.cumsum(role[mine] == 3) - (role[mine] == 3)
    before = so_far - so_far[_starts(its)][_numbered(its)]  # splits of its group before each row
    for place in range(min(int(counts.max()), MOST_SPLITS)):
        at = mine[(role[mine] == 3) & (before == place)]
        factor = np.ones(len(counts), np.int64)
        factor[group[at]] = ratio[at]
        later = np.where(before <= place, factor[its], 1)
        scale[mine] *= later
        big[mine] *= later
    big[counts[group] > MOST_SPLITS] = np.inf
    return scale, big


def _delta(rows: _Rows) -> Ints:
    """What each row does to the units, in today's units."""
    sign = np.where(rows.role == 1, 1, np.where(rows.role == 2, -1, 0))
    return rows.units * rows.scale * sign


def _parts(rows: _Rows) -> list[_Rows]:
    """The rows in as many parts as keep the sum of units within int64."""
    bought = np.where(rows.role == 1, rows.units.astype(np.float64) * rows.scale, 0.0)
    upto = np.cumsum(bought)
    if not len(upto) or upto[-1] < MOST_AT_ONCE:
        return [rows]
    part = np.floor(upto[_starts(rows.group)][rows.group] / (MOST_AT_ONCE / 2))
    return [rows.only(part == number) for number in np.unique(part)]


def _cut(rows: _Rows, ledger: Ledger, bases: Sequence[str]) -> _Cut:
    """Lay the stretches of sales over the stretches of lots; see the head of this module."""
    size = rows.units * rows.scale
    opening, taking = np.flatnonzero(rows.role == 1), np.flatnonzero(rows.role == 2)
    starts = _starts(rows.group)
    lots, sales = size[opening], size[taking]
    lot_end = np.cumsum(lots)
    lot_start = lot_end - lots
    bought = np.zeros(len(starts) + 1, np.int64)
    np.add.at(bought, rows.group[opening] + 1, lots)
    offset = np.cumsum(bought)[:-1]  # where each group begins
    gone = np.cumsum(sales)
    sold = np.zeros(len(starts), np.int64)
    np.add.at(sold, rows.group[taking], sales)
    shift = offset - (np.cumsum(sold) - sold)
    sale_end = gone + shift[rows.group[taking]]
    sale_start = sale_end - sales

    # pieces: one for each lot that a sale touches
    first = np.searchsorted(lot_end, sale_start, side="right")
    last = np.searchsorted(lot_end, sale_end, side="left")
    count = last - first + 1
    sale = np.repeat(np.arange(len(taking)), count)
    begins = np.cumsum(count) - count
    lot = np.arange(len(sale)) - np.repeat(begins - first, count)
    upto = np.minimum(sale_end[sale], lot_end[lot])
    since = np.maximum(sale_start[sale], lot_start[lot])

    out_of, of_sale = opening[lot], taking[sale]
    unit = np.array([posting_unit(c) for c in ledger.currencies])[ledger.currency[rows.row]]
    base_unit = np.array([posting_unit(b) for b in bases])[ledger.portfolio[rows.row]]
    one_currency = rows.base is rows.amount
    part, whole = upto - lot_start[lot], lots[lot]
    same_lot, same_sale = _goes_on(lot), _goes_on(sale)
    cost = _steps(_shares(rows.amount[out_of], part, whole), same_lot) * unit[out_of]
    cost_base = cost
    if not one_currency:
        cost_base = _steps(_shares(rows.base[out_of], part, whole), same_lot) * base_unit[out_of]
    part, whole = upto - sale_start[sale], sales[sale]
    proceeds = _steps(_shares(rows.amount[of_sale], part, whole), same_sale) * unit[of_sale]
    proceeds_base = proceeds
    if not one_currency:
        proceeds_base = _steps(_shares(rows.base[of_sale], part, whole), same_sale) * base_unit[of_sale]
    units = (upto - since) // rows.scale[of_sale]

    row, opening_row = rows.row[of_sale], rows.row[out_of]
    known, proceeds_known = rows.known[out_of], rows.known[of_sale]
    base_cost = np.where(known, cost_base, 0)
    common = (
        row,
        ledger.portfolio[row],
        ledger.security[row],
        ledger.traded_on[opening_row],
        ledger.traded_on[row],
        units,
    )
    delivered = ledger.kind[row] == TRANSFER_OUT
    closed = Disposals(*common, proceeds, cost, np.where(proceeds_known, proceeds_base, 0), base_cost,
                       proceeds_known, known, opening_row, np.zeros(len(row), np.bool_))  # fmt: skip
    left = Deliveries(*common, cost, base_cost, known, opening_row)

    # what is left of the lots
    end_of_sold = (offset + sold)[rows.group[opening]]
    taken_of = np.clip(end_of_sold - lot_start, 0, lots)
    still = taken_of < lots
    at = opening[still]
    opened, taken_of, whole = rows.row[at], taken_of[still], lots[still]
    amount, base, known = rows.amount[at], rows.base[at], rows.known[at]
    base = np.where(known, base, 0)
    open_lots = OpenLots(
        opened,
        ledger.portfolio[opened],
        ledger.security[opened],
        ledger.traded_on[opened],
        whole - taken_of,
        (amount - _shares(amount, taken_of, whole)) * unit[at],
        (base - _shares(base, taken_of, whole)) * base_unit[at],
        known,
        whole,
        amount * unit[at],
        base * base_unit[at],
    )
    if delivered.any():
        closed, left = closed.only(~delivered), left.only(delivered)
    else:
        left = left.only(delivered)
    return _Cut(open_lots, closed, left, rows.row, _moves(rows))


def _moves(rows: _Rows) -> Ints:
    """What each row does to the units, as they were counted on its day."""
    delta = _delta(rows)
    held = np.cumsum(delta)
    held -= (held - delta)[_starts(rows.group)][rows.group]
    return np.where(rows.role == 3, held // rows.scale * (rows.ratio - 1), delta // rows.scale)


def _in_order(parts: Sequence[_Cut], ledger: Ledger) -> Lots:
    """What was cut part by part as one, in booking order; the pieces of each row are together already."""
    closed, left = Disposals.joined([p.closed for p in parts]), Deliveries.joined([p.left for p in parts])
    by_row = np.zeros(len(ledger), np.int64)
    for p in parts:
        by_row[p.row] = p.delta
    row = np.flatnonzero(by_row)
    moves = Moves(row, ledger.portfolio[row], ledger.security[row], ledger.traded_on[row], by_row[row])
    return Lots(
        OpenLots.joined([p.still for p in parts]), closed.only(_sorted(closed.row)), left.only(_sorted(left.row)), moves
    )


def _sorted(row: Ints) -> Ints:
    """The order by row, stable."""
    bits = len(row).bit_length()
    keys = row << bits | np.arange(len(row))
    keys.sort()
    return keys & ((1 << bits) - 1)


def _shares(amount: Ints, part: Ints, whole: Ints) -> Ints:
    """`core.lots.share` over arrays, in posting units: amount × part / whole, rounded half-even; 0 ≤ part ≤ whole.

    A float says the quotient to within two; the rest of the division is then small, and the products that are beyond int64 wrap
    to it exactly. Right for |amount| < 2^50 and whole < 2^60.
    """
    quotient = np.rint(amount.astype(np.float64) * part / whole).astype(np.int64)
    rest = amount * part - quotient * whole
    off = np.flatnonzero(2 * np.abs(rest) >= whole)  # wrong by one or two, or a half
    if len(off):
        of, q, r = whole[off], quotient[off], rest[off]
        more = (2 * r + of) // (2 * of)
        q, r = q + more, r - more * of
        quotient[off] = q - ((2 * r == -of) & (q & 1 == 1))
    return quotient


def _steps(upto: Ints, goes_on: Mask) -> Ints:
    """What each entry adds where `upto` is a sum so far that begins anew where it does not go on."""
    if not len(upto):
        return upto
    return upto - np.where(goes_on, np.append(0, upto[:-1]), 0)


def _goes_on(numbers: Ints) -> Mask:
    """Where an entry has the number of the one before."""
    out = np.zeros(len(numbers), np.bool_)
    out[1:] = numbers[1:] == numbers[:-1]
    return out


def _starts(group: Ints) -> Ints:
    """Where each group begins."""
    return np.flatnonzero(np.append(True, group[1:] != group[:-1])) if len(group) else np.zeros(0, np.int64)


def _numbered(group: Ints) -> Ints:
    """Ascending groups as 0, 1, 2 …"""
    return np.cumsum(np.append(True, group[1:] != group[:-1])) - 1 if len(group) else group


def _any(mask: Mask, group: Ints) -> Mask:
    """Of each group whether any of its rows is in the mask."""
    out = np.zeros(int(group[-1]) + 1 if len(group) else 0, np.bool_)
    out[group[mask]] = True
    return out
