"""Ledgers of before ratios were two numbers: where their other entries say which reading of a decimal ratio is meant.

300 units at 0.6666666667 were 200.00000001 then, and who sold all of them sold 200.00000001. Read as 2:3 they are 200, and the sale is
of more than is held. So a decimal counts as it stands where a later entry takes what it made, to the last decimal.
`db/migrations/versions/0004_ratios.sql` does the same to what was stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from core.ledger import ACTIONS, UNITS, Posting, order_of
from core.lots import DUST

_DUST = Fraction(DUST, UNITS)
_SIGNS = {"buy": 1, "transfer_in": 1, "sell": -1, "transfer_out": -1, "short": -1, "cover": 1}
_CLOSING = frozenset({"sell", "transfer_out", "cover"})


def taken_literally(entries: Sequence[Posting], decimals: Mapping[int, Fraction]) -> frozenset[int]:
    """Of the entries whose ratio was read from a decimal (their places, and the decimals as they stand) those that later entries
    take as it stands: where they would take more than is held, or leave something of what they closed. Entries in booking order.
    """
    order = sorted(range(len(entries)), key=lambda i: (entries[i].traded_on, order_of(entries[i].kind)))
    literal: set[int] = set()
    while (blamed := _contradicted(entries, order, decimals, literal)) is not None:
        literal.add(blamed)
    return frozenset(literal)


def _contradicted(
    entries: Sequence[Posting], order: Sequence[int], decimals: Mapping[int, Fraction], literal: set[int]
) -> int | None:
    """The last ratio read otherwise than it stands before the first entry that speaks against it; None: none does."""
    held: dict[int, tuple[Fraction, Fraction]] = {}  # as read, and as the decimals stand
    read: dict[int, list[int]] = {}  # by security, where in the order: ratios behind what is held of it that were read otherwise
    for place, i in enumerate(order):
        p = entries[i]
        if not p.security_id:
            continue
        ours, theirs = held.get(p.security_id, (Fraction(0), Fraction(0)))
        behind = read.setdefault(p.security_id, [])
        if p.kind in _SIGNS and p.quantity is not None:
            moved = _SIGNS[p.kind] * Fraction(p.quantity)
            held[p.security_id] = after, then = ours + moved, theirs + moved
            if p.kind in _CLOSING and behind:
                side = 1 if moved < 0 else -1
                oversold = side * after < -_DUST <= side * then
                if oversold or (abs(then) <= _DUST and abs(then) < abs(after)):
                    return order[behind[-1]]
        elif p.kind in ACTIONS:
            ratio = p.ratio if p.ratio is not None else Fraction(p.kind == "symbol_change")
            stands = decimals.get(i, ratio)
            its = [*behind, place] if i in decimals and i not in literal else behind
            new = _rounded(ours * (stands if i in literal else ratio)), _rounded(theirs * stands)
            if p.into_id and p.kind != "split":
                there = held.get(p.into_id, (Fraction(0), Fraction(0)))
                held[p.into_id] = there[0] + new[0], there[1] + new[1]
                read[p.into_id] = sorted({*read.get(p.into_id, ()), *its})
            if p.kind == "split":
                held[p.security_id], read[p.security_id] = new, its
            elif p.kind != "spin_off":
                held[p.security_id] = Fraction(0), Fraction(0)
    return None


def _rounded(units: Fraction) -> Fraction:
    return Fraction(round(units * UNITS), UNITS)
