"""Why a custodian's figure differs from ours: each likely cause with the evidence for it, the strongest first.

A cause is a function of a `Gap` that yields the causes it finds; to add one, write it and add it to `POSITION` or `CASH`.
What is compared is exact: a booking explains a difference where its units or its cash are the difference, to the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Literal

from core.fx import Rates
from core.ratio import ratio_text, times
from core.reasons import NoRate

NEAR = timedelta(days=5)  # a booking this near to the statement may stand on the other side of it there
PAY_NEAR = timedelta(days=12)  # dividends: booked on the ex-date here, on the pay date there
SPLIT_NEAR = timedelta(days=45)
STALE = timedelta(days=30)
LOOKBACK = timedelta(days=92)  # duplicates, wrong signs and fees are looked for since the last quarterly statement
TOGETHER = 10  # bookings that are tried in combination
MOST = 5  # causes given for one difference
# ratios that splits really have; new units for one old, and their inverses
RATIOS = [Fraction(n) for n in (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 100)] + [
    Fraction(3, 2),
    Fraction(4, 3),
    Fraction(5, 4),
    Fraction(5, 2),
    Fraction(11, 10),
]
PER_CENT_OF_GROSS = Decimal("0.01")  # a fee that was not booked is at most this share of its trade
Code = Literal[
    "settlement", "timing", "split", "split_plausible", "duplicate", "sign", "fee", "tax", "dividend", "fx_rounding", "fx_rate", "stale_price",
    "minor_currency", "action", "renamed", "unknown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause. `strong`: it explains the difference by itself, by something that is known; else it is a guess worth a look."""

    code: Code
    text: str
    strong: bool
    transactions: tuple[str, ...] = ()  # ids of ours that show it


@dataclass(frozen=True, slots=True)
class Entry:
    """One booking of ours, or one of the securities that it moves. `units` and `cash` with their signs."""

    transaction_id: str
    kind: str
    security: int  # 0: none
    symbol: str
    traded_on: date
    settles_on: date
    units: Decimal
    cash: Decimal
    cash_currency: str
    gross: Decimal
    fees: Decimal
    taxes: Decimal
    with_fx: bool = False
    ratio: Fraction | None = None  # of a split

    @property
    def words(self) -> str:
        """The booking in words: "buy of 10 ACME on 2026-03-02"."""
        kind = self.kind.replace("_", " ")
        of = (
            f" of {plain(abs(self.units))} {self.symbol}" if self.units else f" of {self.symbol}" if self.symbol else ""
        )
        return f"{kind}{of} on {self.traded_on}"


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action as the market data knows it."""

    security: int
    kind: str
    ex_on: date
    ratio: Fraction | None
    amount: Decimal | None
    currency: str | None
    pay_on: date | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """One difference and what may explain it: amounts are units of a security, or cash of a currency.

    `ours` is what the comparison counts (by `basis`), `other_ours` the same by the other date.
    """

    on: date
    basis: Literal["settlement", "trade"]
    ours: Decimal
    theirs: Decimal
    tolerance: Decimal
    entries: Sequence[Entry] = ()  # near the statement, of this security or of this cash
    amounts: Sequence[Decimal] = ()  # of each entry: units, or cash
    actions: Sequence[Action] = ()
    our_price: Decimal | None = None
    their_price: Decimal | None = None
    price_tolerance: Decimal = Decimal(0)
    closes: Sequence[tuple[date, Decimal]] = ()
    dividends: Sequence[tuple[Action, Decimal, str]] = ()  # known and not booked: its cash before tax, its symbol
    currency: str = ""
    base: str = ""
    rates: Rates | None = None
    unbooked: Sequence[tuple[date, Fraction]] = ()  # splits up to the day that are known and not booked: ex date, ratio
    completed: Decimal | None = None  # ours, had they been booked

    @property
    def difference(self) -> Decimal:
        """Theirs − ours."""
        return self.theirs - self.ours

    def is_(self, amount: Decimal) -> bool:
        """Whether an amount is the difference."""
        return abs(self.difference - amount) <= self.tolerance

    def counted(self, e: Entry) -> bool:
        """Whether ours holds this booking."""
        return (e.settles_on if self.basis == "settlement" else e.traded_on) <= self.on

    def pairs(self) -> list[tuple[Entry, Decimal]]:
        """Bookings that move something, with what they move."""
        return [(e, a) for e, a in zip(self.entries, self.amounts, strict=True) if a and e.kind != "split"]


def plain(number: Decimal) -> str:
    """A number without trailing zeros, for a sentence."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def said(entries: Sequence[Entry]) -> str:
    """Bookings in words."""
    more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
    return ", ".join(e.words for e in entries[:3]) + more


def ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Their transactions, each once."""
    return tuple(dict.fromkeys(e.transaction_id for e in entries))


def of_position(gap: Gap) -> tuple[Cause, ...]:
    """Why units differ."""
    return _best(cause for find in POSITION for cause in find(gap))


def of_cash(gap: Gap) -> tuple[Cause, ...]:
    """Why a cash balance differs."""
    return _best(cause for find in CASH for cause in find(gap))


def _best(found: Iterator[Cause]) -> tuple[Cause, ...]:
    once: dict[tuple[str, tuple[str, ...]], Cause] = {}
    for cause in found:
        once.setdefault((cause.code, cause.transactions), cause)
    strong = [c for c in once.values() if c.strong]  # beside one that is known, guesses only distract
    return tuple((strong or list(once.values()))[:MOST])


# --- bookings on the other side of the statement -----------------------------------------------


def settlement(gap: Gap) -> Iterator[Cause]:
    """Trade date against settlement date: all that was open, some of it, or what settled late there."""
    pairs = gap.pairs()
    open_ = [(e, a) for e, a in pairs if e.traded_on <= gap.on < e.settles_on]
    sign = 1 if gap.basis == "settlement" else -1
    theirs = "trade date" if sign == 1 else "settlement date"
    if open_ and gap.is_(sign * sum((a for _, a in open_), Decimal(0))):
        yield Cause("settlement", f"The statement counts by {theirs}: {said([e for e, _ in open_])}, not settled on {gap.on}, "
                    "explains the difference exactly.", True, ids([e for e, _ in open_]))  # fmt: skip
    elif open_ and (some := _subset(gap, open_, sign)):
        did = "has already settled there" if sign == 1 else "has not settled, so it is not counted there"
        yield Cause("settlement", f"{said(some)} {did}.", True, ids(some))
    if gap.basis == "settlement":
        late = [(e, a) for e, a in pairs if e.traded_on < e.settles_on <= gap.on < e.settles_on + NEAR]
        if late and (some := _subset(gap, late, -1)):
            when = ", ".join(sorted({str(e.settles_on) for e in some}))
            yield Cause(
                "settlement", f"{said(some)} settled here on {when} and is not settled there yet.", True, ids(some)
            )


def timing(gap: Gap) -> Iterator[Cause]:
    """A booking within five days that stands before the statement on one side and after it on the other."""
    pairs = [(e, a) for e, a in gap.pairs() if e.kind != "dividend"]
    after = [(e, a) for e, a in pairs if gap.on < e.traded_on <= gap.on + NEAR]
    if some := _subset(gap, after, 1):
        yield Cause(
            "timing",
            f"{said(some)} is booked here after the statement's date; the custodian counts it already.",
            True,
            ids(some),
        )
    before = [
        (e, a)
        for e, a in pairs
        if gap.counted(e)
        and gap.on - NEAR <= e.traded_on
        and not e.traded_on < e.settles_on <= gap.on < e.settles_on + NEAR
    ]
    if some := _subset(gap, before, -1):
        yield Cause(
            "timing",
            f"{said(some)} is booked here and not there: booked there after the statement's date, or not at all.",
            True,
            ids(some),
        )
    older = [(e, a) for e, a in pairs if gap.counted(e) and e.traded_on < gap.on - NEAR]
    for e, a in older:
        if gap.is_(-a):
            yield Cause(
                "timing",
                f"The difference is the {e.words}: it may never have been booked there.",
                False,
                (e.transaction_id,),
            )


def _subset(gap: Gap, pairs: Sequence[tuple[Entry, Decimal]], sign: int) -> list[Entry]:
    """The smallest combination of bookings that is the difference; empty where there is none, or nothing to explain."""
    if abs(gap.difference) <= gap.tolerance:
        return []
    tried = pairs[-TOGETHER:]
    for size in range(1, len(tried) + 1):
        for some in combinations(tried, size):
            if gap.is_(sign * sum((a for _, a in some), Decimal(0))):
                return [e for e, _ in some]
    return []


def duplicate(gap: Gap) -> Iterator[Cause]:
    """Booked twice, here or there."""
    pairs = [(e, a) for e, a in gap.pairs() if gap.counted(e)]
    for i, (e, a) in enumerate(pairs):
        twins = [
            f
            for f, b in pairs[:i]
            if (f.kind, b, f.security) == (e.kind, a, e.security) and e.traded_on - f.traded_on <= timedelta(days=3)
        ]
        if twins and gap.is_(-a):
            same = twins[-1].traded_on == e.traded_on
            yield Cause("duplicate", f"The {e.words} is booked twice here{'' if same else f', also on {twins[-1].traded_on}'}: one of them may be a duplicate.",
                        same, ids([twins[-1], e]))  # fmt: skip
        elif not twins and gap.is_(a) and e.traded_on >= gap.on - NEAR:
            yield Cause(
                "duplicate",
                f"The {e.words} may be booked twice there: the difference is exactly one more.",
                False,
                (e.transaction_id,),
            )


def sign(gap: Gap) -> Iterator[Cause]:
    """Twice an amount: a booking with the wrong sign."""
    if gap.ours and abs(gap.theirs + gap.ours) <= gap.tolerance and abs(gap.ours) > gap.tolerance:
        yield Cause(
            "sign", f"The same amount with the other sign: {plain(gap.theirs)} there, {plain(gap.ours)} here.", True
        )
    for e, a in gap.pairs():
        if gap.counted(e) and gap.is_(-2 * a):
            yield Cause(
                "sign",
                f"The difference is twice the {e.words}: on one side it is booked with the wrong sign.",
                True,
                (e.transaction_id,),
            )


# --- units -------------------------------------------------------------------------------------


def split(gap: Gap) -> Iterator[Cause]:
    """A split that one side has not booked: a known one of whatever age, one in our ledger, or a usual ratio that the prices bear out."""
    named = [*_unbooked_here(gap), *_booked_here(gap)]
    yield from named
    dated = [e.traded_on for e in gap.entries if e.kind == "split"] + [a.ex_on for a in gap.actions if a.kind == "split"]
    if not named and not any(abs(on - gap.on) <= SPLIT_NEAR for on in dated):
        yield from _plausible(gap)


def _unbooked_here(gap: Gap) -> Iterator[Cause]:
    """Splits that the feeds know and the ledger does not have: all of them together, or one of them."""
    if gap.completed is not None and _are(gap.theirs, gap.completed, gap.tolerance):
        known = [f"the {ratio_text(ratio)} split with ex-date {on}" for on, ratio in gap.unbooked]
        verb = "is" if len(known) == 1 else "are"
        yield Cause("split", f"T{' and '.join(known)[1:]} {verb} known and not booked here.", True)
        return
    booked = [e for e in gap.entries if e.kind == "split" and e.ratio]
    coming = [
        (a.ex_on, Fraction(a.ratio))
        for a in gap.actions
        if a.kind == "split" and a.ratio and gap.on < a.ex_on <= gap.on + SPLIT_NEAR
        and not any(e.ratio == a.ratio and abs(e.traded_on - a.ex_on) <= timedelta(days=10) for e in booked)
    ]  # fmt: skip
    for on, ratio in (*gap.unbooked, *coming):
        if gap.ours and gap.theirs and _became(gap.theirs, gap.ours, ratio, gap.tolerance):
            yield Cause("split", f"The {ratio_text(ratio)} split with ex-date {on} is known and not booked here.", True)


def _booked_here(gap: Gap) -> Iterator[Cause]:
    """Splits of the ledger that the custodian does not count, or counts already; an old one is a guess."""
    for e in gap.entries:
        if e.kind != "split" or not e.ratio or not gap.ours or not gap.theirs:
            continue
        ratio = ratio_text(Fraction(e.ratio))
        if e.traded_on <= gap.on and _became(gap.theirs, gap.ours, 1 / Fraction(e.ratio), gap.tolerance):
            near = gap.on - e.traded_on <= SPLIT_NEAR
            text = f"The {ratio} split of {e.traded_on} is booked here and not there."
            yield Cause("split", text, near, (e.transaction_id,))
        if e.traded_on > gap.on and _became(gap.theirs, gap.ours, Fraction(e.ratio), gap.tolerance):
            yield Cause(
                "split",
                f"The {ratio} split that is booked here on {e.traded_on} is counted there already.",
                True,
                (e.transaction_id,),
            )


def _plausible(gap: Gap) -> Iterator[Cause]:
    """A ratio that splits really have, where the prices say the same."""
    for ratio_ in RATIOS + [1 / r for r in RATIOS]:
        if not gap.ours or not gap.theirs or not _became(gap.theirs, gap.ours, ratio_, gap.tolerance):
            continue
        factor = Decimal(ratio_.numerator) / ratio_.denominator
        why = ""
        if gap.our_price and gap.their_price and abs(gap.their_price * factor / gap.our_price - 1) <= Decimal("0.05"):
            why = f"the prices say the same: {plain(gap.their_price)} there, {plain(gap.our_price)} here"
        elif jump := _jump(gap.closes, factor):
            why = (
                f"our closes fall in the same ratio on {jump}"
                if factor > 1
                else f"our closes rise in the same ratio on {jump}"
            )
        if why:
            yield Cause(
                "split_plausible",
                f"It looks like a {ratio_text(ratio_)} split that is not booked here: the units stand in this ratio, and {why}.",
                False,
            )


def _became(after: Decimal, before: Decimal, ratio: Fraction, tolerance: Decimal) -> bool:
    """Whether `before` units became `after` by a split; a fraction of a unit may have been paid in cash."""
    return _are(after, times(before, ratio), tolerance)


def _are(units: Decimal, after: Decimal, tolerance: Decimal) -> bool:
    """Whether units are what splits left of them; a fraction of a unit may have been paid in cash."""
    return abs(units - after) <= tolerance or (
        units == units.to_integral_value() and units != 0 and 0 < abs(after) - abs(units) < 1 and units * after > 0
    )


def _jump(closes: Sequence[tuple[date, Decimal]], factor: Decimal) -> date | None:
    """The day on which the close moved as such a split moves it, within 8 %."""
    for (_, before), (day, after) in pairwise(closes):
        if before and abs(after * factor / before - 1) <= Decimal("0.08"):
            return day
    return None


def action(gap: Gap) -> Iterator[Cause]:
    """Another corporate action around the statement."""
    for a in gap.actions:
        if a.kind not in ("split", "dividend") and abs(a.ex_on - gap.on) <= SPLIT_NEAR:
            yield Cause(
                "action",
                f"A {a.kind.replace('_', ' ')} with ex-date {a.ex_on} is known: it may be booked on one side only.",
                False,
            )


# --- cash --------------------------------------------------------------------------------------


def dividend(gap: Gap) -> Iterator[Cause]:
    """A dividend that one side counts on another day, or that is known and not booked here."""
    for e, a in gap.pairs():
        if e.kind != "dividend":
            continue
        if gap.is_(-a) and gap.counted(e) and e.traded_on >= gap.on - PAY_NEAR:
            yield Cause(
                "dividend",
                f"The {e.words} is counted here and not yet there: its pay date may lie after {gap.on}.",
                True,
                (e.transaction_id,),
            )
        elif gap.is_(a) and not gap.counted(e) and e.traded_on <= gap.on + PAY_NEAR:
            yield Cause(
                "dividend",
                f"The {e.words} is counted there already: its pay date there lies before the one booked here.",
                True,
                (e.transaction_id,),
            )
        elif gap.counted(e) and e.taxes and gap.is_(e.taxes):
            yield Cause(
                "tax",
                f"The tax of the {e.words}, {plain(e.taxes)}, was taken here and not there.",
                True,
                (e.transaction_id,),
            )
    for a_, cash, symbol in gap.dividends:
        if gap.is_(cash):
            assert a_.amount is not None
            yield Cause("dividend", f"The dividend of {symbol} with ex-date {a_.ex_on}, {plain(a_.amount)} a unit = {plain(cash)}, is known and not booked here.",
                        True)  # fmt: skip
        elif cash and 0 < gap.difference < cash and gap.difference >= cash * Decimal("0.6"):
            kept = 1 - gap.difference / cash
            yield Cause("dividend", f"The dividend of {symbol} with ex-date {a_.ex_on} is not booked here; the difference is its {plain(cash)} less "
                        f"{kept:.1%} of tax.", False)  # fmt: skip


def fee(gap: Gap) -> Iterator[Cause]:
    """A fee or tax of exactly the difference."""
    d = gap.difference
    for e in gap.entries:
        if e.with_fx or not gap.counted(e):
            continue
        charges: tuple[tuple[Code, Decimal], ...] = (("fee", e.fees), ("tax", e.taxes))
        for what, amount in charges:
            if amount <= 0 or (e.kind == "dividend" and what == "tax"):
                continue
            if gap.is_(amount):
                yield Cause(
                    what,
                    f"The {what} of {plain(amount)} on the {e.words} is booked here and was not taken there.",
                    True,
                    (e.transaction_id,),
                )
            elif gap.is_(-amount):
                yield Cause(what, f"The difference is the {what} of {plain(amount)} on the {e.words}: it may have been taken twice there, "
                            "or once more for a booking that has none here.", False, (e.transaction_id,))  # fmt: skip
        if e.kind in ("fee", "tax") and gap.is_(e.cash) and e.traded_on < gap.on - NEAR:
            yield Cause("fee" if e.kind == "fee" else "tax", f"A {e.kind} of exactly this amount was booked on {e.traded_on}: the next one may not be "
                        "booked here yet.", False, (e.transaction_id,))  # fmt: skip
    free = [
        e
        for e in gap.entries
        if e.kind in ("buy", "sell", "short", "cover")
        and not e.fees
        and gap.counted(e)
        and e.traded_on >= gap.on - 2 * NEAR
    ]
    if len(free) == 1 and 0 < -d <= free[0].gross * PER_CENT_OF_GROSS:
        yield Cause(
            "fee",
            f"The {free[0].words} has no fee here; {plain(-d)} would be {-d / free[0].gross:.2%} of it.",
            False,
            ids(free),
        )


def fx(gap: Gap) -> Iterator[Cause]:
    """Conversions that were rounded otherwise, or made at another rate."""
    converted = [e for e in gap.entries if e.with_fx and gap.counted(e)]
    cent = Decimal("0.01")
    if converted and abs(gap.difference) <= cent * len(converted):
        yield Cause(
            "fx_rounding",
            f"{len(converted)} bookings were converted into {gap.currency}; a difference of a cent each is rounding.",
            True,
            ids(converted[-TOGETHER:]),
        )
    near = [e for e in converted if e.traded_on >= gap.on - 2 * NEAR]
    if len(near) == 1 and near[0].cash and cent < abs(gap.difference) <= abs(near[0].cash) * Decimal("0.02"):
        yield Cause("fx_rate", f"The {near[0].words} may have been converted at another rate there: the difference is {abs(gap.difference / near[0].cash):.2%} of it.",
                    False, ids(near))  # fmt: skip


POSITION = (split, settlement, timing, duplicate, sign, action)
CASH = (settlement, dividend, fee, timing, duplicate, sign, fx)


# --- prices ------------------------------------------------------------------------------------


def of_price(gap: Gap, priced_on: date | None) -> tuple[Cause, ...]:
    """Why a price differs; `priced_on` is the day of ours."""
    return _best(_of_price(gap, priced_on))


def _of_price(gap: Gap, priced_on: date | None) -> Iterator[Cause]:
    ours, theirs = gap.our_price, gap.their_price
    if not ours or not theirs:
        return
    same = [
        day for day, close in gap.closes if close and day != priced_on and abs(theirs / close - 1) <= Decimal("0.00005")
    ]
    if same:
        day = min(same, key=lambda d: abs(d - gap.on))
        yield Cause(
            "stale_price",
            f"Their price is our close of {day}: {'a stale price there' if day < gap.on else 'a later price there'}.",
            True,
        )
    if priced_on is not None and (gap.on - priced_on) > timedelta(days=4):
        yield Cause(
            "stale_price", f"Our price is of {priced_on}, {(gap.on - priced_on).days} days before the statement.", False
        )
    for factor in (Decimal(100), Decimal("0.01")):
        if abs(theirs / ours / factor - 1) <= gap.price_tolerance:
            yield Cause(
                "minor_currency", "One price is a hundred times the other: pence and pounds, or per cent of par.", True
            )
    for a in gap.actions:
        if (
            a.kind == "split"
            and a.ratio
            and abs(a.ex_on - gap.on) <= SPLIT_NEAR
            and (
                abs(times(theirs, a.ratio) / ours - 1) <= Decimal("0.05")
                or abs(times(theirs, 1 / a.ratio) / ours - 1) <= Decimal("0.05")
            )
        ):
            yield Cause(
                "split",
                f"The prices stand in the ratio of the {ratio_text(a.ratio)} split with ex-date {a.ex_on}: one of them is not adjusted.",
                True,
            )
    if gap.rates is not None and gap.currency and gap.base and gap.currency != gap.base:
        rate = gap.rates.rate(gap.currency, gap.base, (gap.on - date(1970, 1, 1)).days)
        if not isinstance(rate, NoRate) and (
            abs(ours * rate / theirs - 1) <= Decimal("0.01") or abs(ours / rate / theirs - 1) <= Decimal("0.01")
        ):
            yield Cause(
                "fx_rate", f"Their price fits in {gap.base} instead of {gap.currency}, at the rate of the day.", True
            )


def renamed(missing: Mapping[str, Decimal], units: Decimal, tolerance: Decimal, where: str) -> Iterator[Cause]:
    """Equal units under another symbol on the other side."""
    for symbol, held in missing.items():
        if held and abs(held - units) <= tolerance:
            yield Cause(
                "renamed",
                f"{symbol} {where} with the same {plain(units)} units: another listing, a changed symbol, or a merger.",
                False,
            )
