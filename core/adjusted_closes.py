"""Our adjusted closes against a provider's: from which day on they differ, and which split or dividend is likely to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import isfinite, log

import numpy as np

from core.book import Action
from core.fx import Rates, Series, day_number
from core.prices import back_adjusted, cash_and_splits
from core.ratio import ratio_text

TOLERANCE = 0.001  # of the adjusted close
NEAR = timedelta(days=10)  # between two ex dates of what is one dividend
CLOSE = 0.005  # how near a factor is to that of a split


@dataclass(frozen=True, slots=True)
class Day:
    """One bar: the raw close, and the adjusted close as the provider said it (None: it said none)."""

    on: date
    close: Decimal | float
    theirs: Decimal | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One security. Both sides are scaled to the last day that both have; `on` is the newest day on which they differ beyond the
    tolerance, `ex_on` the day of the event that makes them differ, the factors what each side multiplies earlier closes by there."""

    days: int
    last: date
    ours: float | None  # of `on`, or of the first day where they agree
    theirs: float | None
    on: date | None = None
    ex_on: date | None = None
    our_factor: float | None = None
    their_factor: float | None = None
    cause: str = ""

    @property
    def difference(self) -> float | None:
        """Ours ÷ theirs − 1."""
        return None if self.ours is None or not self.theirs else self.ours / self.theirs - 1

    @property
    def agrees(self) -> bool:
        """Whether no day differs beyond the tolerance."""
        return self.on is None


def compare(bars: Sequence[Day], actions: Sequence[Action], currency: str) -> Compared | None:
    """The comparison of one security; None where the provider said no adjusted close. `bars`: oldest first."""
    both = [i for i, bar in enumerate(bars) if bar.theirs is not None]
    if not both:
        return None
    raw = Series(np.array([day_number(b.on) for b in bars], np.int32), np.array([float(b.close) for b in bars]))
    cash, ratios = cash_and_splits(actions, currency, Rates({}))
    adjusted = back_adjusted(raw, cash, ratios).values[both]
    closes = raw.values[both]
    said = np.array([float(bars[i].theirs or 0) for i in both])
    days = [bars[i].on for i in both]
    ours, theirs = adjusted * (closes[-1] / adjusted[-1]), said * (closes[-1] / said[-1])
    with np.errstate(invalid="ignore"):
        apart = ~(np.abs(ours / theirs - 1) <= TOLERANCE)  # NaN, too
    if not apart.any():
        return Compared(len(days), days[-1], float(ours[0]), float(theirs[0]))
    newest = int(np.flatnonzero(apart)[-1])
    if newest == len(days) - 1:  # ours cannot be put on their scale: a dividend after their last day
        theirs_then, why = (
            float(said[-1]),
            f"ours of {days[-1]} is not defined: a dividend since then is not below the price before it",
        )
        return Compared(len(days), days[-1], None, theirs_then, days[-1], cause=why)
    # what each side multiplies the close before a day by, from there to the last day on which both agree
    our_factors = (ours[:-1] / ours[1:]) / (closes[:-1] / closes[1:])
    their_factors = (theirs[:-1] / theirs[1:]) / (closes[:-1] / closes[1:])
    steps = [
        abs(log(o / t)) if isfinite(o) and o > 0 else float("inf")
        for o, t in zip(our_factors[newest:], their_factors[newest:], strict=True)
    ]
    at = newest + int(np.argmax(steps))
    o, t = float(our_factors[at]), float(their_factors[at])
    mine = float(ours[newest])
    return Compared(len(days), days[-1], mine if isfinite(mine) else None, float(theirs[newest]), days[newest], days[at + 1],
                    o if isfinite(o) else None, t, _cause(actions, days[at], days[at + 1], float(closes[at]), o, t))  # fmt: skip


def _cause(actions: Sequence[Action], before: date, ex_on: date, close: float, ours: float, theirs: float) -> str:
    """Which event is likely to be missing, too many, or of another amount. `close`: the raw one before the ex date."""
    here = [a for a in actions if before < a.ex_on <= ex_on and a.kind in ("dividend", "split")]
    if not isfinite(ours):
        return f"our dividend of {_amount(here)} on {ex_on} is not below the price before it, {close:g}"
    they = abs(theirs - 1) > TOLERANCE / 10
    if here and not they:
        twins = [a for a in actions if a not in here and a.kind == here[0].kind and abs(a.ex_on - ex_on) <= NEAR
                 and (a.amount, a.ratio) == (here[0].amount, here[0].ratio)]  # fmt: skip
        if twins:
            return f"our {_named(here)} on {ex_on} is likely there twice: the same is booked on {twins[0].ex_on}"
        return f"our {_named(here)} on {ex_on} is not theirs: entered by mistake, or they lack it"
    if not here and they:
        split = _split(theirs)
        if split is not None:
            return f"a split of {split} on {ex_on} that we lack"
        if theirs > 1:
            return f"they adjust by {theirs:.4f} on {ex_on}, which no dividend or split does"
        return f"a dividend of about {close * (1 - theirs):.4g} on {ex_on} that we lack"
    if here and they:
        if len(here) > 1 and abs(log(ours / theirs**2)) < CLOSE:
            return f"our {_named(here)} until {ex_on} count as one by them"
        if any(a.kind == "split" for a in here) or _split(theirs):
            return f"our {_named(here)} on {ex_on} is of another size than theirs: they adjust by {theirs:.4f}, we by {ours:.4f}"
        return f"our {_named(here)} on {ex_on} is about {close * (1 - theirs):.4g} by them"
    return f"no event explains it: the closes around {ex_on} differ from those that they adjust"


def _split(factor: float) -> str | None:
    """ "2:1" for the factor of a likely split: 0.5; None for one of a dividend."""
    if 0.8 < factor < 1.25:
        return None
    ratio = Fraction(1 / factor).limit_denominator(20)
    return ratio_text(ratio) if ratio and abs(log(factor * ratio)) < CLOSE else None


def _amount(actions: Sequence[Action]) -> str:
    return ", ".join(format(a.amount.normalize(), "f") for a in actions if a.amount is not None)


def _named(actions: Sequence[Action]) -> str:
    names = [
        f"dividend of {_amount([a])}" if a.kind == "dividend" else f"split of {ratio_text(a.ratio or Fraction(1))}"
        for a in actions
    ]
    return " and ".join(names)
