"""Quotes into the cache: the feeds in their order, each asked for what the one before it did not give.

What no feed gives keeps its last good quote. A feed that failed three times in a row rests for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
import structlog

from core.book import Action
from core.calendar import Sessions
from core.ledger import Security
from core.profiles import Profile
from core.ratio import is_ratio
from db import engine, market, runs
from db.market import Bar, QuoteRow
from jobs.feeds import Feed, FeedError, Resting, chain
from jobs.run import Write, slot
from settings import settings

BATCH = 100  # securities in one question
FAILURES = 3  # in a row, after which a feed rests
REST = 60.0  # seconds
SLOW = 300  # seconds between two rounds of quotes while every market is closed

K = TypeVar("K")
R = TypeVar("R")
log = structlog.get_logger("market data")


@dataclass
class Answer(Generic[R]):
    """What the feeds gave, by feed, and what went wrong."""

    rows: dict[str, list[R]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    missing: int = 0  # asked for, given by no feed

    def detail(self) -> dict[str, Any]:
        """The same for the run's record: how many from which feed."""
        found: dict[str, Any] = {name: len(rows) for name, rows in self.rows.items() if rows}
        return found | {k: v for k, v in (("missing", self.missing), ("failures", self.failures)) if v}


class Feeds:
    """The feeds in order of preference, and how they have been doing."""

    def __init__(self, feeds: Sequence[Feed], clock: Callable[[], float] = time.monotonic) -> None:
        self.feeds, self._clock = list(feeds), clock
        self._failures: dict[str, int] = {}
        self._rests_until: dict[str, float] = {}
        self._last_error: dict[str, str] = {}

    def resting(self) -> bool:
        """Whether there is nobody to ask just now."""
        return all(self._rests(feed) for feed in self.feeds)

    def quotes(self, securities: Sequence[Security], now: datetime) -> Answer[QuoteRow]:
        """The quotes of these securities."""
        known = {s.security_id for s in securities}

        def sound(q: QuoteRow) -> bool:
            prices = [q.price] if q.previous_close is None else [q.price, q.previous_close]
            return (
                q.security_id in known and _above_zero(prices) and q.quoted_at.tzinfo is not None and q.quoted_at <= now
            )

        return self._ask(
            securities, lambda f, some: f.quotes(some, now), lambda s: s.security_id, lambda q: q.security_id, sound
        )

    def bars(self, securities: Sequence[Security], first: date, last: date) -> Answer[Bar]:
        """The bars of these securities."""
        return self._ask(
            securities,
            lambda f, some: f.bars(some, first, last),
            lambda s: s.security_id,
            lambda b: b.security_id,
            lambda b: first <= b.on <= last and _above_zero([b.close]),
        )

    def rates(self, currencies: Sequence[str], first: date, last: date) -> Answer[tuple[str, date, Decimal]]:
        """The euro rates of these currencies."""
        return self._ask(
            currencies,
            lambda f, some: f.rates(some, first, last),
            lambda c: c,
            lambda r: r[0],
            lambda r: first <= r[1] <= last and _above_zero([r[2]]),
        )

    def actions(self, securities: Sequence[Security], first: date, last: date) -> Answer[Action]:
        """The dividends and splits of these securities; most have none, so nothing counts as missing."""

        def sound(a: Action) -> bool:
            sizes = [x for x in (a.amount,) if x is not None]
            return first <= a.ex_on <= last and _above_zero(sizes) and (a.ratio is None or is_ratio(a.ratio))

        answer = self._ask(
            securities,
            lambda f, some: f.actions(some, first, last),
            lambda s: s.security_id,
            lambda a: a.security_id,
            sound,
        )
        answer.missing = 0
        return answer

    def profiles(self, names: Sequence[str], now: datetime) -> Answer[Profile]:
        """What these names may mean: every feed is asked, a later one fills the gaps of an earlier one.

        One that fails costs the others nothing, and is not counted against it: its quotes may be fine. Raises FeedError where
        nobody gave anything and somebody failed.
        """
        answer: Answer[Profile] = Answer()
        for feed in self.feeds:
            if self._rests(feed):
                answer.failures[feed.name] = f"{feed.name} rests for a minute; {self._last_error[feed.name]}"
                continue
            try:
                rows = feed.profiles(names, now)
            except FeedError as error:
                log.warning("no profiles", feed=feed.name, error=str(error))
                answer.failures[feed.name] = str(error)
                rows = list(error.partial)
            answer.rows[feed.name] = [p for p in rows if _sound(p, now)]
        if answer.failures and not any(answer.rows.values()):
            raise (FeedError if answer.rows else Resting)("; ".join(answer.failures.values()))
        return answer

    def _ask(
        self,
        wanted: Sequence[K],
        ask: Callable[[Feed, Sequence[K]], list[R]],
        key: Callable[[K], Hashable],
        key_of: Callable[[R], Hashable],
        sound: Callable[[R], bool],
    ) -> Answer[R]:
        """Ask one feed after the other for what is left. Raises FeedError where nobody gave anything and somebody failed."""
        answer: Answer[R] = Answer()
        left = list(wanted)
        for feed in self.feeds:
            if not left:
                break
            if self._rests(feed):
                answer.failures[feed.name] = f"{feed.name} rests for a minute; {self._last_error[feed.name]}"
                continue
            rows: list[R] = []
            error = None
            for start in range(0, len(left), BATCH):
                try:
                    rows += ask(feed, left[start : start + BATCH])
                except FeedError as failure:
                    rows += failure.partial
                    error = failure
                    if not failure.partial:
                        break
            good = [row for row in rows if sound(row)]
            if len(good) < len(rows):
                log.warning("unusable rows left out", feed=feed.name, rows=len(rows) - len(good))
            self._note(feed, error, bool(good))
            if error is not None:
                answer.failures[feed.name] = str(error)
            answer.rows[feed.name] = good
            got = {key_of(row) for row in good}
            left = [each for each in left if key(each) not in got]
        answer.missing = len(left)
        if answer.failures and not any(answer.rows.values()):
            raise (FeedError if answer.rows else Resting)("; ".join(answer.failures.values()))
        return answer

    def _rests(self, feed: Feed) -> bool:
        return self._rests_until.get(feed.name, 0.0) > self._clock()

    def _note(self, feed: Feed, error: FeedError | None, gave: bool) -> None:
        """Keep count here and in the database, whatever becomes of the run."""
        with engine.jobs() as c:
            if error is None:
                runs.feed_succeeded(c, feed.name)
            else:
                runs.feed_failed(c, feed.name, str(error))
        if error is None or gave:
            self._failures[feed.name] = 0
            return
        self._last_error[feed.name] = str(error)
        self._failures[feed.name] = self._failures.get(feed.name, 0) + 1
        if self._failures[feed.name] >= FAILURES:
            self._failures[feed.name] = FAILURES - 1  # the first failure after the rest is enough
            self._rests_until[feed.name] = self._clock() + REST
            log.warning("feed rests", feed=feed.name, seconds=REST)


def _sound(profile: Profile, now: datetime) -> bool:
    """Whether a profile can be proposed: a symbol, and prices above zero with a time that has been."""
    prices = [p for p in (profile.price, profile.previous_close) if p is not None]
    at = profile.quoted_at
    timed = at is not None and at.tzinfo is not None and at <= now
    return bool(profile.symbol) and _above_zero(prices) and (timed or not prices)


def _above_zero(prices: Sequence[Decimal]) -> bool:
    return all(price.is_finite() and price > 0 for price in prices)


@lru_cache(maxsize=1)
def feeds() -> Feeds:
    """The feeds that the settings name."""
    return Feeds(chain(settings.feeds))


def is_open(exchanges: set[str], calendars: dict[str, Sessions], at: datetime) -> bool:
    """Whether any of these markets is open, or about to, or just was; a market without a calendar counts as open."""
    return any(e not in calendars or calendars[e].phase(at) != "closed" for e in exchanges)


def open_now(c: psycopg.Connection, at: datetime) -> bool:
    """The same for the markets of everything that is tracked."""
    return is_open({s.exchange for s in market.tracked(c)}, market.calendars(c), at)


def paced(at: datetime, fast: int, slow: int, is_open: bool) -> datetime:
    """The run that `at` belongs to: one every `fast` seconds while a market is open, else one every `slow` seconds."""
    return slot(at, fast if is_open else max(fast, slow))


def due(at: datetime) -> datetime | None:
    """A round of quotes: as often as the settings say, every five minutes while all markets are closed."""
    if feeds().resting():
        return None
    with engine.jobs() as c:
        tracked = market.tracked(c)
        calendars = market.calendars(c)
    if not tracked:
        return None
    return paced(at, settings.quotes_every_seconds, SLOW, is_open({s.exchange for s in tracked}, calendars, at))


def quotes(at: datetime) -> Write:
    """One round of quotes for everything that is tracked."""
    with engine.jobs() as c:
        tracked = market.tracked(c)
    answer = feeds().quotes(tracked, at)

    def write(c: psycopg.Connection) -> dict[str, Any]:
        rows = {q.security_id: q for given in answer.rows.values() for q in given}
        return {"changed": market.upsert_quotes(c, list(rows.values()))} | answer.detail()

    return write
