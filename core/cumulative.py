"""Lots of first in, first out as a cumulative function: no loop over transactions, exact integers in columns.

For one security of one portfolio, with units counted at one scale (so fine that a unit of 1e-10 of any day is a whole number of
them, whatever splits lie between), let B be the units bought up to each lot and S those sold up to each sale. A sale takes the
lots whose stretch of B its stretch of S covers, and the cost of what is taken of a lot is share(its cost, units taken up to
there) − share(its cost, units taken before): the very arithmetic of `core.lots.Lot.take`. A lot ends for the sale that closes it
where the holding is rounded, at a whole 1e-10 of that day (`_snapped`): as `core.lots.level` has it.
What does not fit that form is left to the loop of `core.booking`, security by security.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fx import Rates
from core.ledger import CODE, KINDS, Ledger
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
    scale: Ints  # units of the one scale for one of then; of a split for one before it
    after: Ints  # of a split units of the one scale for one after it, else as `scale`
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

    Done is what has purchases, sales, transfers in kind and splits alone, first in first out, never short or oversold, within
    bounds that keep int64 exact; where a split leaves less than 1e-10 units of a lot or of all, the loop says what becomes of it. Units, money and order as `core.booking.plain`.
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
        for one in _parts(found):
            if _in_parts(one).any():
                one = one.only(~_any(_too_small(one), one.group)[one.group])
            done.append(one.row)
            cut.append(_cut(one, ledger, bases))
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
    splits = rows[role == 3]
    if len(splits):
        out[role == 3] |= ((ledger.ratio_new[splits] < 1) | (ledger.ratio_old[splits] < 1)).astype(np.bool_)
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
    new, old = np.ones(len(rows), np.int64), np.ones(len(rows), np.int64)
    for number, column in ((new, ledger.ratio_new), (old, ledger.ratio_old)):
        number[role == 3] = np.maximum(_int64(column[rows[role == 3]], out, role == 3), 1)
    scale, after, big = _scales(role, new, old, group)
    sizes = np.bincount(group, weights=np.where(role == 1, units * big, 0.0))
    out |= ~(sizes < MOST_UNITS)[group] | ~(units * big < MOST_UNITS) | ~(big < MOST_UNITS)

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

    found = _Rows(rows, group, role, units, scale, after, amount, base, known)
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


def _scales(
    role: NDArray[np.int8], new: Ints, old: Ints, group: Ints
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """(`scale`, `after`, how large they are: infinite where that is beyond int64) of each row.

    A unit of then counts as much as the new units of all later splits times the old ones of all earlier splits, over what all
    rows of its group have in common.
    """
    scale, big = np.ones(len(role), np.int64), np.ones(len(role))
    splits = np.flatnonzero(role == 3)
    if not len(splits):
        return scale, scale, big
    counts = np.bincount(group[splits], minlength=int(group[-1]) + 1)
    mine = np.flatnonzero(counts[group] > 0)
    its, so_far = group[mine], np.cumsum(role[mine] == 3) - (role[mine] == 3)
    before = so_far - so_far[_starts(its)][_numbered(its)]  # splits of its group before each row
    in_parts = bool((old[splits] > 1).any())
    for place in range(min(int(counts.max()), MOST_SPLITS)):
        at = mine[(role[mine] == 3) & (before == place)]
        factor = np.ones(len(counts), np.int64)
        factor[group[at]] = new[at]
        by = np.where(before <= place, factor[its], 1)
        if in_parts:
            factor = np.ones(len(counts), np.int64)
            factor[group[at]] = old[at]
            by = np.where(before > place, factor[its], by)
        scale[mine] *= by
        big[mine] *= by
    big[counts[group] > MOST_SPLITS] = np.inf
    scale[~(big < MOST_UNITS)] = 1
    after = scale.copy()
    after[splits] = scale[splits] // new[splits] * old[splits]
    if in_parts:
        fit = big[splits] / new[splits] * old[splits]
        big[splits] = np.maximum(big[splits], fit)
        after[splits[~(fit < MOST_UNITS)]] = 1
        starts = _starts(group)
        common = np.gcd(np.gcd.reduceat(scale, starts), np.gcd.reduceat(after, starts))[group]
        scale, after, big = scale // common, after // common, big / common
    return scale, after, big


def _in_parts(rows: _Rows) -> Mask:
    """Splits that need not leave whole units: those of more than one old unit."""
    out: Mask = (rows.role == 3) & (rows.scale % rows.after != 0)
    return out


def _delta(rows: _Rows) -> Ints:
    """What each row does to the units, at the one scale."""
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


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Where lots and sales lie, one group behind the other: lots by what was bought, sales by what was sold before."""

    opening: Ints  # rows
    taking: Ints
    lots: Ints  # their sizes
    sales: Ints
    lot_end: Ints
    sale_end: Ints
    offset: Ints  # of each group
    sold: Ints


def _stretches(rows: _Rows) -> _Stretches:
    size = rows.units * rows.scale
    opening, taking = np.flatnonzero(rows.role == 1), np.flatnonzero(rows.role == 2)
    groups = len(_starts(rows.group))
    lots, sales = size[opening], size[taking]
    bought = np.zeros(groups + 1, np.int64)
    np.add.at(bought, rows.group[opening] + 1, lots)
    offset = np.cumsum(bought)[:-1]
    sold = np.zeros(groups, np.int64)
    np.add.at(sold, rows.group[taking], sales)
    shift = offset - (np.cumsum(sold) - sold)
    sale_end = np.cumsum(sales) + shift[rows.group[taking]]
    return _Stretches(opening, taking, lots, sales, np.cumsum(lots), sale_end, offset, sold)


def _rounded(units: Ints, scale: Ints) -> Ints:
    """Units of the one scale in whole ones of a day, halves upwards."""
    out: Ints = (2 * units + scale) // (2 * scale)
    return out


def _closed(rows: _Rows, s: _Stretches) -> Ints:
    """Of each sale how many lots are closed by then, those of the groups before counted along: what of them is left is rounded to 0."""
    upto = np.searchsorted(s.lot_end, s.sale_end + (rows.scale[s.taking] + 1) // 2)
    count = np.bincount(rows.group[s.opening], minlength=len(s.offset))
    out: Ints = np.maximum.accumulate(np.minimum(upto, np.cumsum(count)[rows.group[s.taking]]))
    return out


def _snapped(rows: _Rows, s: _Stretches) -> Ints:
    """Where each lot ends for the sale that closes it: at a whole unit of its day. One that is still open ends where it ends."""
    end = s.lot_end.copy()
    sale = np.searchsorted(_closed(rows, s), np.arange(len(end)), side="right")
    there = np.flatnonzero(sale < len(s.taking))
    there = there[rows.group[s.taking[sale[there]]] == rows.group[s.opening[there]]]
    sale = sale[there]
    start, scale = s.sale_end[sale] - s.sales[sale], rows.scale[s.taking[sale]]
    end[there] = start + _rounded(end[there] - start, scale) * scale
    return end


def _too_small(rows: _Rows) -> Mask:
    """Rows of what the loop must do: a split leaves less than half a unit of 1e-10 of a lot, or less than that is held."""
    starts = _starts(rows.group)
    delta = _delta(rows)
    held = np.cumsum(delta)
    held -= (held - delta)[starts][rows.group]
    out: Mask = (held > 0) & (2 * held < rows.after)
    most = np.maximum.reduceat(np.maximum(rows.scale, rows.after), starts)[rows.group]
    in_parts = _any(_in_parts(rows), rows.group)[rows.group]
    out |= in_parts & (rows.role == 1) & (rows.units * rows.scale.astype(np.float64) < 2.0 * most)
    s = _stretches(rows)
    splits = np.flatnonzero((rows.role == 3) & in_parts & (held > 0) & ~out)
    if not len(splits):
        return out
    sales = np.cumsum(rows.role == 2)[splits]  # up to each split
    group = rows.group[splits]
    first = np.searchsorted(rows.group[s.opening], group)  # the first lot of its group
    there = (sales > 0) & (rows.group[s.taking[sales - 1]] == group) if len(s.taking) else np.zeros(len(splits), np.bool_)
    last = np.where(there, sales - 1, 0)
    front, sold = first, s.offset[group]
    if len(s.taking):
        front = np.where(there, np.maximum(_closed(rows, s)[last], first), first)
        sold = np.where(there, s.sale_end[last], sold)
    left = s.lot_end[np.minimum(front, len(s.lot_end) - 1)] - sold
    out[splits] |= 2 * left < rows.after[splits]
    return out


def _cut(rows: _Rows, ledger: Ledger, bases: Sequence[str]) -> _Cut:
    """Lay the stretches of sales over the stretches of lots; see the head of this module."""
    s = _stretches(rows)
    opening, taking, lots, sales = s.opening, s.taking, s.lots, s.sales
    in_parts = bool(_in_parts(rows).any())
    lot_end = _snapped(rows, s) if in_parts else s.lot_end
    lot_start = s.lot_end - lots
    sale_end = s.sale_end
    sale_start = sale_end - sales
    if in_parts:
        same_group = _goes_on(rows.group[opening])
        lot_start = np.where(same_group, np.append(0, lot_end[:-1]), lot_start) if len(lots) else lot_start
        lots = s.lot_end - lot_start

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
    if in_parts:
        part = np.where(upto == lot_end[lot], whole, part)
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
    end_of_sold = (s.offset + s.sold)[rows.group[opening]]
    still = lot_end > end_of_sold
    at = opening[still]
    opened, whole = rows.row[at], lots[still]
    taken_of = np.maximum(end_of_sold - lot_start, 0)[still]
    units = whole - taken_of
    if in_parts:
        last = rows.after[np.append(_starts(rows.group)[1:], len(rows.group)) - 1]
        upto = _rounded((s.lot_end - end_of_sold)[still], last[rows.group[at]])
        units = _steps(upto, _goes_on(rows.group[at]))
    amount, base, known = rows.amount[at], rows.base[at], rows.known[at]
    base = np.where(known, base, 0)
    open_lots = OpenLots(
        opened,
        ledger.portfolio[opened],
        ledger.security[opened],
        ledger.traded_on[opened],
        units,
        (amount - _shares(amount, taken_of, whole)) * unit[at],
        (base - _shares(base, taken_of, whole)) * base_unit[at],
        known,
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
    out: Ints = delta // rows.scale
    splits = np.flatnonzero(rows.role == 3)
    out[splits] = _rounded(held[splits], rows.after[splits]) - _rounded(held[splits], rows.scale[splits])
    return out


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
