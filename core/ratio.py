"""The ratio of a corporate action: new units for old ones, two whole numbers, kept as a Fraction and never as a decimal.

How it is written: `1:3`, `1/3` and `1 for 3` (three old units become one), `4` and `0.5` (new units for one old).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import isqrt

from core.ledger import LedgerError

DIGITS = 28  # of each of the two numbers, as the database keeps them
SMALL = 1000  # the most old units of a ratio that a rounded decimal may stand for
LONGEST = 100  # characters
PLACES = 10  # a decimal with more than these is the rounding of a ratio, or an error
_NUMBER = r"\d+(?:\.\d+)?"
PAIR = re.compile(rf"({_NUMBER})\s*(?::|/|-?\s*for\s*-?)\s*({_NUMBER})", re.IGNORECASE)
RIGHT = "new units for old ones are needed, such as 1:3 (three old become one) or 4:1, or new units for one old: 4, 0.5"


def read_ratio(text: str, field: str = "ratio") -> Fraction | None:
    """The ratio that a text says, None where it is empty. Raises LedgerError.

    A decimal of up to five places counts as it stands. One of more places is the ratio of which it is the rounding, where
    there is one of so few old units that it is no coincidence (see `rounded`); else it counts as it stands, up to ten places.
    """
    text = text.strip()
    if not text:
        return None
    if len(text) > LONGEST:
        raise LedgerError(field, text[:60], f"each number of a ratio has at most {DIGITS} digits")
    if found := PAIR.fullmatch(text):
        new, old = Fraction(found[1]), Fraction(found[2])
        if not (new and old):
            raise LedgerError(field, text, "both numbers of a ratio are above zero, such as 1:3 or 4:1")
        return _kept(new / old, text, field)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise LedgerError(field, text, RIGHT) from None
    if not value.is_finite() or value <= 0:
        raise LedgerError(field, text, f"a ratio is above zero: {RIGHT}")
    if not -60 <= value.adjusted() < DIGITS:
        raise LedgerError(field, text, f"each number of a ratio has at most {DIGITS} digits")
    ratio = rounded(value)
    if ratio is None and _places(value) > PLACES:
        expected = f"it is the rounding of no ratio of up to {SMALL:,} old units: give both numbers, such as 1:3"
        raise LedgerError(field, text, expected)
    return _kept(ratio or Fraction(value), text, field)


def rounded(value: Decimal) -> Fraction | None:
    """The ratio of which a decimal of six places or more is the rounding (or what is left of it cut off); None: of none.

    It is within one unit of the last place (at the least 1e-12) and has m old units with 2,500 m² ≤ 10^places, up to 1,000: of
    decimals drawn at random one in four thousand is that near to such a ratio. Or it is within half of 1e-10 and has up to 1,000
    old units: so ratios were kept before they were two numbers. 0.333333 and 0.3333333333 are 1:3.
    """
    places = _places(value)
    if places < 6:
        return None
    most = min(SMALL, isqrt(10 ** min(places, PLACES) // 2500))
    ways = [(most, Fraction(1, 10 ** min(places, 12)))]
    if places <= PLACES:
        ways.append((SMALL, Fraction(1, 2 * 10**PLACES)))
    for old, off in ways:
        ratio = Fraction(value).limit_denominator(old)
        if ratio and abs(Fraction(value) - ratio) <= off:
            return ratio
    return None


def ratio_text(ratio: Fraction) -> str:
    """A ratio as it is shown and written: new units to old ones, "1:3"."""
    new, old = ratio.as_integer_ratio()
    return f"{new}:{old}"


def ratio_reading(text: str) -> str | None:
    """What a decimal was read as, in words: "ratio 0.5 was read as 1:2". None where the text says two numbers or a whole one."""
    ratio = read_ratio(text)
    if ratio is None or PAIR.fullmatch(text.strip()) or ratio.denominator == 1:
        return None
    return f"ratio {text.strip()} was read as {ratio_text(ratio)}"


def in_ten_places(ratio: Fraction) -> Decimal:
    """New units for one old, rounded half-even to ten decimals: as ratios were kept before they were two numbers."""
    return Decimal(round(ratio * 10**PLACES)).scaleb(-PLACES)


def times(units: Decimal, ratio: Fraction) -> Decimal:
    """Units after an action of this ratio, to the digits of the context of decimals."""
    new, old = ratio.as_integer_ratio()
    return units * new / old


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def is_ratio(ratio: Fraction) -> bool:
    """Whether both numbers are above zero and of no more digits than are kept."""
    return all(0 < number < 10**DIGITS for number in ratio.as_integer_ratio())


def _kept(ratio: Fraction, text: str, field: str) -> Fraction:
    if not is_ratio(ratio):
        raise LedgerError(field, text, f"each number of a ratio has at most {DIGITS} digits")
    return ratio
