"""What moved between two times of knowledge, and why: the same day valued again after each thing that became known.

`Story` is what was recorded in between; `explain` applies it cause by cause in the order in which it became known. Every
effect is the difference of two exact valuations, so the effects add up to the whole difference, to the cent.
A new cause is a `Step` made in `_steps` and what it changes in `_State.book`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.book import Book
from core.fx import EPOCH, Rates, Series, day_of
from core.ledger import KINDS, MICRO, Impossible, Ledger, spoken
from core.lots import said_units
from core.methods import SPOKEN
from core.money import posted
from core.ratio import ratio_text
from core.valuation import Valuation, lots_of, net_flow, value

LATE = (
    4  # days after its own day from which a price counts as backfilled: a long weekend passes before a close is fetched
)
MOST = 60  # steps that rebuild the lots; of more, those of one cause and one day of knowledge are one
NEVER = np.iinfo(np.int64).max

LATE_BOOKING, NEW_ENTRY, REVERSAL, CORRECTION = "late booking", "new entry", "reversal", "correction"
METHOD = "cost method"
FIRSTS = {  # (of what, whether its day was past) of a value that is known for the first time
    ("price", False): "new price",
    ("price", True): "backfilled price",
    ("FX", False): "new FX rate",
    ("FX", True): "backfilled FX rate",
}
CORRECTED = {"price": "price correction", "FX": "FX correction"}


@dataclass(frozen=True, slots=True, eq=False)
class Versions:
    """Values of one dated series that became known in between: day numbers, values, when (µs since 1970), whether the first."""

    days: NDArray[np.int32]
    values: NDArray[np.float64]
    at: NDArray[np.int64]
    first: NDArray[np.bool_]
    by: str = ""

    def only(self, rows: NDArray[np.bool_]) -> Versions:
        """Some of them."""
        return Versions(self.days[rows], self.values[rows], self.at[rows], self.first[rows], self.by)

    def __len__(self) -> int:
        return len(self.days)


@dataclass(frozen=True, slots=True)
class MethodKnown:
    """A dated cost method that became known."""

    at: int
    valid_from: int
    method: str
    by: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """What became known of one portfolio after `since` and up to `until`.

    `book` has every entry that stood at any time in between, and prices, FX and cost methods as they were known at `since`.
    `booked` and `struck`: when each of its rows was recorded and reversed, in µs since 1970 (NEVER: not up to `until`).
    """

    book: Book
    since: datetime
    until: datetime
    booked: NDArray[np.int64]
    struck: NDArray[np.int64]
    booked_by: Sequence[str]
    struck_by: Sequence[str]
    prices: Mapping[int, Versions]
    rates: Mapping[str, Versions]
    methods: Sequence[MethodKnown]


@dataclass(frozen=True, slots=True)
class Measures:
    """A portfolio on one day under one state of knowledge, in its base currency. `net_flow` as in `core.valuation`."""

    value: Decimal
    net_flow: Decimal
    realised: Decimal
    unrealised: Decimal

    def __sub__(self, other: Measures) -> Measures:
        return Measures(
            self.value - other.value,
            self.net_flow - other.net_flow,
            self.realised - other.realised,
            self.unrealised - other.unrealised,
        )

    def __bool__(self) -> bool:
        return any((self.value, self.net_flow, self.realised, self.unrealised))


@dataclass(frozen=True, slots=True)
class Change:
    """One cause: when it was known (the last of its events), what it is, by whom, how many events, what it did."""

    at: datetime
    cause: str
    what: str
    by: str
    events: int
    effect: Measures


@dataclass(frozen=True, slots=True)
class Explained:
    """`after − before` is the sum of the effects. `quiet`: new prices and rates without effect, left out of `changes`."""

    before: Measures
    after: Measures
    changes: tuple[Change, ...]
    quiet: int


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    at: int
    cause: str
    what: str
    by: frozenset[str]
    events: int
    on: tuple[int, ...] = ()  # rows of the ledger
    off: tuple[int, ...] = ()
    price: tuple[int, Versions] | None = None
    rate: tuple[str, Versions] | None = None
    method: MethodKnown | None = None


class _State:
    """What is known after some of the steps."""

    def __init__(self, story: Story, as_of: int) -> None:
        since = micros(story.since)
        self.story, self.as_of = story, as_of
        self.on, self.off = story.booked <= since, story.struck <= since
        self.prices, self.rates = dict(story.book.prices), dict(story.book.rates.series)
        self.applied: dict[int | str, list[Versions]] = {}
        self.methods: list[MethodKnown] = []
        self.lots_from: Book | None = None  # whose lots hold while ledger, FX and methods stand

    def apply(self, step: _Step) -> None:
        """Know one thing more."""
        self.on[list(step.on)], self.off[list(step.off)] = True, True
        if step.price is not None:
            number, versions = step.price
            self.prices[number] = self._over(number, self.story.book.prices.get(number), versions)
        else:
            self.lots_from = None
        if step.rate is not None:
            currency, versions = step.rate
            self.rates[currency] = self._over(currency, self.story.book.rates.series.get(currency), versions)
        if step.method is not None:
            self.methods.append(step.method)

    def _over(self, key: int | str, known: Series | None, more: Versions) -> Series:
        """The series as it was known, and over it the newest of all versions applied so far."""
        applied = self.applied.setdefault(key, [])
        applied.append(more)
        days = np.concatenate([x.days for x in applied] if known is None else [known.days, *(x.days for x in applied)])
        values = np.concatenate(
            [x.values for x in applied] if known is None else [known.values, *(x.values for x in applied)]
        )
        first = [] if known is None else [np.full(len(known.days), -1, np.int64)]
        at = np.concatenate([*first, *(x.at for x in applied)])
        order = np.lexsort((at, days))
        last = np.append(np.diff(days[order]) != 0, True) if len(order) else np.empty(0, np.bool_)
        return Series(days[order][last].astype(np.int32), values[order][last])

    def book(self) -> Book:
        """The Book of this state."""
        book = self.story.book
        rows = np.flatnonzero(self.on & ~self.off)
        portfolio = book.portfolio
        if self.methods:
            dated = dict(portfolio.methods)
            dated.update((m.valid_from, m.method) for m in sorted(self.methods, key=lambda m: m.at))
            portfolio = replace(portfolio, methods=tuple(sorted(dated.items())))
        made = book.with_other(portfolio=portfolio, ledger=book.ledger.only(rows), prices=self.prices,
                               rates=Rates(self.rates, book.rates.pivot))  # fmt: skip
        if self.lots_from is not None:
            made.derived.update((k, v) for k, v in self.lots_from.derived.items() if k[0] == "lots")
        self.lots_from = made
        return made


def micros(at: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The time of microseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def valued(book: Book, as_of: int) -> Valuation:
    """At closing prices: live quotes take no part."""
    return value(book, as_of, {}, datetime.combine(day_of(as_of) + timedelta(days=1), datetime.min.time(), UTC))


def measured(book: Book, as_of: int) -> Measures:
    """Value, net deposits, realised and unrealised gain at the end of a day (a day number). Raises Impossible."""
    valuation = valued(book, as_of)
    realised = sum(
        d.proceeds_base - d.cost_base
        for d in lots_of(book, as_of).disposals
        if d.proceeds_base is not None and d.cost_base is not None
    )
    unrealised = sum(
        (
            p.value_base - p.cost_base
            for p in valuation.positions
            if p.value_base is not None and p.cost_base is not None
        ),
        Decimal(0),
    )
    return Measures(valuation.total, net_flow(book, as_of), Decimal(realised) / MICRO, posted(unrealised, book.base))


def ends(story: Story, as_of: int) -> tuple[Book, Book]:
    """The Book as known at the earlier and at the later time."""
    state = _State(story, as_of)
    earlier = state.book()
    for step in _steps(story, as_of, NEVER):
        state.apply(step)
    return earlier, state.book()


def explain(story: Story, as_of: int, books: list[tuple[Book, Book]] | None = None) -> Explained:
    """Value the day `as_of` (a day number) after each thing that became known, in order, and tell what each did.

    `books`, where it is given, takes up the Book before and after each of the changes. What one transaction recorded counts at once. Where the holdings do not allow a step alone (a sale is known before its
    purchase, as groups go), it counts together with the next.
    """
    state = _State(story, as_of)
    was = state.book()
    before = last = measured(was, as_of)
    changes: list[Change] = []
    waiting: list[_Step] = []
    quiet = 0
    size = max(1, len(story.book.ledger))
    for step in _steps(story, as_of, max(6, min(MOST, 300_000 // size))):
        step = _told(step, state, story)
        state.apply(step)
        waiting.append(step)
        book = state.book()
        try:
            now = measured(book, as_of)
        except Impossible:
            state.lots_from = None
            continue
        effect = now - last
        if not effect and len(waiting) == 1 and step.cause in FIRSTS.values():
            quiet += step.events
        else:
            changes.append(_change(waiting, effect))
            if books is not None:
                books.append((was, book))
        last, was, waiting = now, book, []
    if waiting:
        raise ValueError(f"the ledger known at {story.until} does not hold: {waiting[-1].what}")
    return Explained(before, last, tuple(changes), quiet)


def _change(steps: Sequence[_Step], effect: Measures) -> Change:
    causes = list(dict.fromkeys(s.cause for s in steps))
    return Change(
        moment(max(s.at for s in steps)),
        " and ".join(causes),
        "; ".join(s.what for s in steps),
        ", ".join(sorted(set().union(*(s.by for s in steps)) - {""})),
        sum(s.events for s in steps),
        effect,
    )


def _told(step: _Step, state: _State, story: Story) -> _Step:
    """A single corrected value says what it was; that is known only once those before it are applied."""
    if step.cause not in CORRECTED.values() or step.events != 1:
        return step
    assert step.price is not None or step.rate is not None
    if step.price is not None:
        number, versions = step.price
        name, series = story.book.securities[number].symbol, state.prices.get(number)
    else:
        assert step.rate is not None
        currency, versions = step.rate
        name, series = f"{currency} per EUR", state.rates.get(currency)
    day = int(versions.days[0])
    was = series.at(day) if series is not None else None
    old = f"{was[1]:g} → " if was is not None and was[0] == day else ""
    return replace(step, what=f"{name} on {day_of(day)}: {old}{float(versions.values[0]):g}")


# --- the steps -----------------------------------------------------------------------------------


def _steps(story: Story, as_of: int, most: int) -> list[_Step]:
    """Everything that became known and touches days up to `as_of`, in the order in which it did."""
    before = (story.since.astimezone(UTC).date() - EPOCH).days
    entries = _entry_steps(story, before)
    if len(entries) > most:
        entries = _joined(entries, lambda s: (s.cause, s.at // 86_400_000_000))
    if len(entries) > most:
        entries = _joined(entries, lambda s: (s.cause,))
    steps = [*entries]
    for m in story.methods:
        since = "" if m.valid_from <= -25_567 else f" from {day_of(m.valid_from)}"
        steps.append(_Step(m.at, METHOD, f"{SPOKEN[m.method].lower()}{since}", frozenset({m.by}), 1, method=m))
    for number, versions in story.prices.items():
        security = story.book.securities[number]
        for cause, some in _by_cause(versions, "price", before, as_of):
            steps.append(_Step(int(some.at.max()), cause, _span(security.symbol, some), frozenset({some.by}), len(some), price=(number, some)))  # fmt: skip
    for currency, versions in story.rates.items():
        for cause, some in _by_cause(versions, "FX", before, as_of):
            steps.append(_Step(int(some.at.max()), cause, _span(currency, some), frozenset({some.by}), len(some), rate=(currency, some)))  # fmt: skip
    return sorted(steps, key=lambda s: s.at)


def _span(name: str, some: Versions) -> str:
    first, last = day_of(int(some.days.min())), day_of(int(some.days.max()))
    return f"{name} on {first}" if first == last else f"{name}, {len(some)} days of {first} to {last}"


def _by_cause(versions: Versions, of: str, before: int, as_of: int) -> Iterable[tuple[str, Versions]]:
    """Versions by cause. A few corrections stand each for itself."""
    inside = versions.days <= as_of
    known_on = versions.at // 86_400_000_000
    late = (versions.days < before) & (known_on - versions.days > LATE)
    for past in (True, False):
        rows = inside & versions.first & (late == past)
        if rows.any():
            yield FIRSTS[of, past], versions.only(rows)
    rows = inside & ~versions.first
    if rows.sum() <= 12:
        for i in np.flatnonzero(rows).tolist():
            yield CORRECTED[of], versions.only(np.arange(len(versions)) == i)
    else:
        yield CORRECTED[of], versions.only(rows)


def _entry_steps(story: Story, before: int) -> list[_Step]:
    """Entries and reversals: what one transaction recorded is one step, late bookings and entries of the time itself two."""
    since, ledger = micros(story.since), story.book.ledger
    ons: dict[int, list[int]] = {}
    offs: dict[int, list[int]] = {}
    for i in np.flatnonzero(story.booked > since).tolist():
        ons.setdefault(int(story.booked[i]), []).append(i)
    for i in np.flatnonzero((story.struck > since) & (story.struck < NEVER)).tolist():
        offs.setdefault(int(story.struck[i]), []).append(i)
    steps: list[_Step] = []
    for at in sorted(ons.keys() | offs.keys()):
        on, off = ons.get(at, []), offs.get(at, [])
        if off:
            who = frozenset({*(story.struck_by[i] for i in off), *(story.booked_by[i] for i in on)})
            cause = CORRECTION if on else REVERSAL
            words = f"{_words(story, off)} → {_words(story, on)}" if on else _words(story, off)
            steps.append(_Step(at, cause, words, who, len(on) + len(off), tuple(on), tuple(off)))
            continue
        for cause, mine in (
            (LATE_BOOKING, [i for i in on if ledger.traded_on[i] < before]),
            (NEW_ENTRY, [i for i in on if ledger.traded_on[i] >= before]),
        ):
            if mine:
                by = frozenset(story.booked_by[i] for i in mine)
                steps.append(_Step(at, cause, _words(story, mine), by, len(mine), tuple(mine)))
    return steps


def _words(story: Story, rows: Sequence[int]) -> str:
    """Entries in words: the first three."""
    said = "; ".join(entry_words(story.book, story.book.ledger, i) for i in rows[:3])
    return said if len(rows) <= 3 else f"{said} and {len(rows) - 3:,} more"


def entry_words(book: Book, ledger: Ledger, row: int) -> str:
    """One entry in words: "buy 10 ACME of 2026-01-06"."""
    number = int(ledger.security[row])
    words = [spoken(KINDS[int(ledger.kind[row])])]
    if ledger.quantity[row]:
        words.append(said_units(int(ledger.quantity[row])))
    elif ledger.gross[row]:
        words.append(f"{Decimal(int(ledger.gross[row])) / MICRO:,.2f} {ledger.currencies[int(ledger.currency[row])]}")
    elif (ratio := ledger.ratio_at(row)) is not None:
        words.append(ratio_text(ratio))
    if number:
        words.append(book.securities[number].symbol)
    return " ".join([*words, "of", str(day_of(int(ledger.traded_on[row])))])


def _joined(steps: Sequence[_Step], key: Callable[[_Step], object]) -> list[_Step]:
    """Steps of one key as one, at the time of the last."""
    groups: dict[object, list[_Step]] = {}
    for step in steps:
        groups.setdefault(key(step), []).append(step)
    out = []
    for mine in groups.values():
        events = sum(s.events for s in mine)
        words = (
            mine[0].what if len(mine) == 1 else f"{mine[0].what}; {mine[1].what} and more, {events:,} entries in all"
        )
        out.append(
            _Step(max(s.at for s in mine), mine[0].cause, words, frozenset().union(*(s.by for s in mine)), events,
                  tuple(i for s in mine for i in s.on), tuple(i for s in mine for i in s.off))
        )  # fmt: skip
    return sorted(out, key=lambda s: s.at)
