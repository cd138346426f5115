"""Closes and quotes of feeds held against what is stored, before they are: the unit they came in, and the basis they stand on.

What is mended, and what is not taken, is said: in the run's record, and beside the security until the feed answers otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import structlog

from core.book import Action
from core.ledger import Security
from core.price_checks import Point, Splits, other_basis, unit_factors
from core.price_gaps import spanned
from db import books, engine, feeds, market
from db.market import Bar, QuoteRow

HUNDRED = Decimal(100)
NEAR = timedelta(days=30)  # a quote this far from a close says nothing of its unit
log = structlog.get_logger("checks")
AskActions = Callable[[Security, date, date], list[Action]]
Said = dict[tuple[str, str, str], str]  # (feed, unit or basis, listing) → words


def listing(security: Security) -> str:
    """EXCHANGE:SYMBOL."""
    return f"{security.exchange}:{security.symbol}"


@dataclass
class Checked:
    """Bars as they can be stored, by feed; and what is to be said."""

    rows: dict[str, list[Bar]] = field(default_factory=dict)
    said: Said = field(default_factory=dict)
    compared: set[tuple[str, str]] = field(default_factory=set)  # (feed, listing) with days that are stored, too

    def note(self, c: psycopg.Connection, numbers: Mapping[str, int]) -> None:
        """Keep what is said beside the securities; a feed that is on our basis again has no trouble with it. `numbers`: of each listing."""
        for feed, subject in self.compared:
            feeds.settle(c, feed, "basis", [subject])
        note(c, self.said, numbers)


def note(c: psycopg.Connection, said: Said, numbers: Mapping[str, int]) -> None:
    """Keep what is said beside the securities. `numbers`: of each listing."""
    for (feed, what, subject), words in said.items():
        feeds.note(c, feed, what, {subject: words}, numbers)


def bars(
    rows: Mapping[str, Sequence[Bar]], securities: Sequence[Security], ask: AskActions, corrects: bool | None = True
) -> Checked:
    """What of these bars can be stored. `ask` says dividends and splits, where those that are stored do not explain a jump.
    `corrects`: whether they may replace stored closes of the same days; None: those are not looked at."""
    named = {s.security_id: s for s in securities}
    by: dict[int, list[tuple[str, Bar]]] = defaultdict(list)
    for feed, some in rows.items():
        for bar in some:
            by[bar.security_id].append((feed, bar))
    out = Checked({feed: [] for feed in rows})
    if not by:
        return out
    spans = {n: (min(b.on for _, b in some), max(b.on for _, b in some)) for n, some in by.items()}
    with engine.jobs() as c:
        stored = market.closes_near(c, spans)
        splits = {n: _splits(some) for n, some in books.actions_of(c, list(by)).items()}
        quoted = market.last_quotes(c, [n for n, some in by.items() if any(b.minor for _, b in some)])
    for number, some in by.items():
        some.sort(key=lambda each: each[1].on)
        one = _One(named[number], some, stored.get(number, []), quoted.get(number), corrects)
        known = splits.get(number, [])
        good, said = one.judge(known)
        if said:  # a split that is not known here yet may explain it
            first, last = min((spans[number][0], *(on for on, _ in one.stored))), spans[number][1]
            more = sorted({*known, *_splits(ask(named[number], first, last))})
            if more != known:
                good, said = one.judge(more)
        for feed, bar in good:
            out.rows[feed].append(bar)
        out.said |= said
        days = {on for on, _ in one.stored}
        out.compared |= {(feed, one.listing) for feed, bar in some if corrects is not None and bar.on in days}
    for (feed, what, subject), words in out.said.items():
        log.warning("not as it came", feed=feed, what=what, subject=subject, said=words)
    return out


@dataclass
class _One:
    """The bars of one security, oldest first, each with its feed; what is stored around them; its quote."""

    security: Security
    given: list[tuple[str, Bar]]
    stored: list[tuple[date, Decimal]]
    quote: tuple[Decimal, datetime] | None
    corrects: bool | None

    def judge(self, splits: Splits) -> tuple[list[tuple[str, Bar]], Said]:
        """(those that can be stored, what is to be said of the others)."""
        good, said = self._in_unit(splits)
        return self._on_basis(good, splits, said) if self.corrects is not None and self.stored else (good, said)

    def _in_unit(self, splits: Splits) -> tuple[list[tuple[str, Bar]], Said]:
        if not any(bar.minor for _, bar in self.given):
            return self.given, {}
        points = [(Point(on, float(close), stored=True), -1) for on, close in self.stored]
        points += [(Point(bar.on, float(bar.close), bar.minor), i) for i, (_, bar) in enumerate(self.given)]
        if self.quote is not None:
            price, at = self.quote
            if abs(at.date() - self.given[-1][1].on) < NEAR and at.date() >= self.given[-1][1].on:
                points.append((Point(at.date(), float(price)), -1))
        points.sort(key=lambda each: (each[0].on, not each[0].stored))
        factors = {
            i: f for f, (_, i) in zip(unit_factors([p for p, _ in points], splits), points, strict=True) if i >= 0
        }
        good: list[tuple[str, Bar]] = []
        mended: dict[str, list[date]] = defaultdict(list)
        unclear: dict[str, list[date]] = defaultdict(list)
        for i, (feed, bar) in enumerate(self.given):
            factor = factors[i]
            if factor is None:
                unclear[feed].append(bar.on)
                continue
            if factor == 100:
                mended[feed].append(bar.on)
            good.append((feed, whole(bar, factor)))
        main = self.security.currency
        said = {
            (
                feed,
                "unit",
                self.listing,
            ): f"{_many(days, 'close')} came in {main} although the feed says a hundredth of it: taken as {main}"
            for feed, days in mended.items()
        }
        for feed, days in unclear.items():
            words = f"{_many(days, 'close')} {'is' if len(days) == 1 else 'are'} about 100 times those beside, or a hundredth, and nothing tells which is right: not taken"
            said[feed, "unit", self.listing] = "; ".join(filter(None, (said.get((feed, "unit", self.listing)), words)))
        return good, said

    def _on_basis(self, good: list[tuple[str, Bar]], splits: Splits, said: Said) -> tuple[list[tuple[str, Bar]], Said]:
        stored = {on: float(close) for on, close in self.stored}
        kept = []
        for feed in dict.fromkeys(feed for feed, _ in good):
            mine = [(f, bar) for f, bar in good if f == feed]
            found = other_basis(
                {bar.on: float(bar.close) for _, bar in mine}, stored, splits, self.corrects is not False
            )
            if found is None:
                kept += mine
                continue
            said[feed, "basis", self.listing] = (
                f"the close of {found.on} came as {found.came:.6g} and is stored as {found.stored:.6g}, {found.why}: "
                f"{_many(sorted(found.days), 'close')} not taken, raw ones are needed"
            )
            kept += [(f, bar) for f, bar in mine if bar.on not in found.days]
        return kept, said

    @property
    def listing(self) -> str:
        """EXCHANGE:SYMBOL."""
        return listing(self.security)


def whole(bar: Bar, factor: int) -> Bar:
    """The bar with its close times a factor, and each other price in the unit that the close is in then; without those that are in none."""
    close = bar.close * factor

    def beside(price: Decimal | None) -> Decimal | None:
        if price is None or not bar.minor:
            return price
        (_, mended) = unit_factors([Point(bar.on, float(close), stored=True), Point(bar.on, float(price))])
        return None if mended is None else price * mended

    adjusted = None if bar.adjusted is None else bar.adjusted * factor
    return replace(
        bar, close=close, open=beside(bar.open), high=beside(bar.high), low=beside(bar.low), adjusted=adjusted
    )


def quotes(rows: Sequence[QuoteRow], securities: Sequence[Security]) -> tuple[list[QuoteRow], Said]:
    """Quotes as they can be stored, and what is said of the others: those that came in a hundredth of their currency are held
    against the last closes, else against the quote before."""
    small = [q for q in rows if q.minor]
    if not small:
        return list(rows), {}
    named = {s.security_id: s for s in securities}
    ids = [q.security_id for q in small]
    with engine.jobs() as c:
        days = {q.security_id: q.quoted_at.astimezone(UTC).date() for q in small}
        closes = market.closes_near(c, {number: (on, on) for number, on in days.items()})
        before = market.last_quotes(c, ids)
        splits = {n: _splits(some) for n, some in books.actions_of(c, ids).items()}
    good: list[QuoteRow] = []
    said: Said = {}
    for q in rows:
        if not q.minor:
            good.append(q)
            continue
        on = days[q.security_id]
        points = [Point(day, float(close), stored=True) for day, close in closes.get(q.security_id, []) if day <= on]
        if not points and q.security_id in before:
            points = [Point(before[q.security_id][1].date(), float(before[q.security_id][0]))]
        if q.previous_close is not None:
            points.append(Point(on, float(q.previous_close)))
        points.append(Point(on, float(q.price)))
        factors = unit_factors(points, splits.get(q.security_id, ()))
        price = factors[-1]
        previous = factors[-2] if q.previous_close is not None else 1
        security = named[q.security_id]
        subject = (q.provider, "unit", listing(security))
        if price is None:
            said[subject] = (
                f"the quote of {on}, {q.price:f} {security.currency}, is about 100 times the closes before it, or a hundredth: not taken"
            )
            continue
        if (price, previous) != (1, 1):
            what = "the quote" if price != 1 else "the close before the quote"
            said[subject] = (
                f"{what} of {on} came in {security.currency} although the feed says a hundredth of it: taken as {security.currency}"
            )
        close = None if q.previous_close is None or previous is None else q.previous_close * previous
        good.append(replace(q, price=q.price * price, previous_close=close))
    return good, said


def _splits(actions: Sequence[Action]) -> list[tuple[date, float]]:
    return sorted((a.ex_on, float(a.ratio)) for a in actions if a.kind == "split" and a.ratio)


def _many(days: Sequence[date], noun: str) -> str:
    """ "2 closes of 2026-03-04 … 03-05"."""
    return f"{len(days)} {noun if len(days) == 1 else noun + 's'} of {spanned(days[0], days[-1])}"
