"""Which split of the ledger is which of the feeds': same ratio, near to each other; and what stands in a split's place.

Feeds and brokers date a split differently, write its ratio with the digits that they have, and call some things a split
that the ledger has as something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from math import log
from typing import Literal

import numpy as np

from core.book import Action, Book
from core.fx import Series, day_number, day_of
from core.income import Units
from core.ledger import CODE, MICRO, TRADES, UNITS, Ledger, Security
from core.ratio import ratio_text
from core.reasons import spelled

NEAR = 10  # days: a broker books a split a day early or late, on a weekend, at the pay date
SAME = Fraction(1, 2000)  # ratios that differ by less are one: 0.3333 is 1:3
USUAL = 110  # a split has no larger number on both sides; feeds announce spin-offs as 1281:1000
PRICED_WITHIN = 7  # days between a trade and the close that it is compared with

State = Literal["not booked", "booked twice", "another ratio", "restated"]


def shortest(ratio: Fraction) -> Fraction:
    """A ratio without the digits that a decimal cut off: 0.3333333333 is 1:3."""
    return ratio.limit_denominator(1000)


def same_ratio(one: Fraction, other: Fraction) -> bool:
    """Whether two ratios mean the same split."""
    return shortest(one) == shortest(other) or abs(one / other - 1) <= SAME


def is_usual(ratio: Fraction) -> bool:
    """Whether splits have such a ratio: n:1, 1:n, or two numbers of at most 110."""
    short = shortest(ratio)
    return 1 in (short.numerator, short.denominator) or max(short.numerator, short.denominator) <= USUAL


def ratio_of(split: Action) -> Fraction:
    """The ratio of a feed's split, new units for one old."""
    return Fraction(split.ratio or 1)


def booked_ratio(ledger: Ledger, row: int) -> Fraction:
    """The same of a split of the ledger."""
    return ledger.ratio_at(row) or Fraction(1)


def each_once(splits: Sequence[Action]) -> list[Action]:
    """Splits by day; what two feeds announced for two days near to each other is one."""
    out: list[Action] = []
    for a in sorted(splits, key=lambda a: a.ex_on):
        if not any(abs((a.ex_on - b.ex_on).days) <= NEAR and same_ratio(ratio_of(a), ratio_of(b)) for b in out):
            out.append(a)
    return out


def unmatched(
    ledger: Ledger, security: int, known: Sequence[Action], units: Units
) -> Iterator[tuple[Action, State, tuple[int, ...]]]:
    """(split, state, rows of the ledger that speak of it) of a security's splits that are not booked as the feeds know them.

    A split of the ledger stands for one of them, the nearest of its ratio; several near ones whose ratios multiply to it stand for it
    together. `units`: those of the security, as the ledger has them.
    """
    rows = ((ledger.security == security) & (ledger.kind == CODE["split"])).nonzero()[0].tolist()

    def away(split: Action, row: int) -> int:
        return abs(day_number(split.ex_on) - int(ledger.traded_on[row]))

    def fits(split: Action, row: int) -> bool:
        return away(split, row) <= NEAR and same_ratio(ratio_of(split), booked_ratio(ledger, row))

    taken: dict[int, int] = {}
    for _, i, row in sorted((away(a, r), i, r) for i, a in enumerate(known) for r in rows if fits(a, r)):
        if i not in taken and row not in taken.values():
            taken[i] = row
    free = [r for r in rows if r not in taken.values()]
    for i, split in enumerate(known):
        if i in taken:
            if again := [r for r in free if fits(split, r)]:
                yield split, "booked twice", (taken[i], *again)
            continue
        near = [r for r in free if away(split, r) <= NEAR]
        product = Fraction(1)
        for row in near:
            product *= booked_ratio(ledger, row)
        if near and not same_ratio(product, ratio_of(split)):
            yield split, "another ratio", (min(near, key=lambda r: away(split, r)),)
        elif not near and not otherwise(ledger, security, split, units):
            yield split, "not booked", ()
        free = [r for r in free if r not in near]


def otherwise(ledger: Ledger, security: int, split: Action, units: Units) -> bool:
    """Whether the ledger has a split as something else: a spin-off, which feeds announce as one, or the units that it gave or
    took away, delivered without a payment."""
    day = day_number(split.ex_on)
    near = (ledger.security == security) & (np.abs(ledger.traded_on.astype(np.int64) - day) <= NEAR)
    if (near & (ledger.kind == CODE["spin_off"])).any():
        return True
    held = units.before(day)
    given = held * ratio_of(split).numerator / ratio_of(split).denominator - held
    for kind in ("buy", "transfer_in") if given > 0 else ("sell", "transfer_out"):
        for row in (near & (ledger.kind == CODE[kind])).nonzero()[0].tolist():
            unpaid = kind.startswith("transfer") or not int(ledger.gross[row])
            if unpaid and abs(Decimal(int(ledger.quantity[row])) / UNITS - abs(given)) < 1:
                return True
    return False


def in_words(ledger: Ledger, state: State, rows: Sequence[int]) -> str:
    """What the ledger has instead of a split: "twice, on … and …", "as 2:1 on …"."""
    days = [spelled(day_of(int(ledger.traded_on[r]))) for r in rows]
    if state == "booked twice":
        return f"{'twice' if len(rows) == 2 else f'{len(rows)} times'}, on {' and '.join(days)}"
    return f"as {ratio_text(booked_ratio(ledger, rows[0]))} on {days[0]}"


# --- a ledger that was restated ---------------------------------------------------------------------------------------


def restated(book: Book, ledger: Ledger, security: Security, split: Action) -> str:
    """Why most trades before a split look as if they were in units of after it: their prices fit the raw closes of their days divided
    by the ratio. Empty where they do not, and where the closes do not fall in the ratio on its day: then they cannot tell."""
    series, day, ratio = book.prices.get(security.security_id), day_number(split.ex_on), float(ratio_of(split))
    if series is None or not _falls(series, day, ratio):
        return ""
    fits, example = [], ""
    its = (ledger.security == security.security_id) & np.isin(ledger.kind, _TRADED) & (ledger.traded_on < day)
    for row in (its & (ledger.gross > 0)).nonzero()[0].tolist():
        on = int(ledger.traded_on[row])
        found = series.at(on)
        if found is None or on - found[0] > PRICED_WITHIN or found[1] <= 0:
            continue
        price, close = int(ledger.gross[row]) / MICRO / (int(ledger.quantity[row]) / UNITS), found[1]
        fits.append(abs(log(price * ratio / close)) < abs(log(price / close)) / 2)
        if fits[-1] and not example:
            example = f"{spelled(day_of(on))} at {price:.2f}, when the close was {close:.2f}"
    if sum(fits) * 2 <= len(fits):
        return ""
    return f"the entries before it are in units of after it (traded on {example})"


_TRADED = [CODE[k] for k in sorted(TRADES)]


def _falls(series: Series, day: int, ratio: float) -> bool:
    """Whether the closes around a day move in the ratio of a split rather than not at all."""
    i = int(np.searchsorted(series.days, day))
    if not 0 < i < len(series.days) or series.values[i - 1] <= 0 or series.values[i] <= 0:
        return False
    moved = log(float(series.values[i - 1]) / float(series.values[i]))
    return abs(moved - log(ratio)) < abs(moved)
