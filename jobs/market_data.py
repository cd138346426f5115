"""Quotes into the cache: the feeds in their order, each asked for what the one before it did not give.

What no feed gives keeps its last good quote. A feed that failed three times in a row rests for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
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
from db import engine, market, runs
from db import feeds as database
from db.market import Bar, QuoteRow
from jobs import checks, sound
from jobs.feeds import MOST_SAID, Feed, FeedError, Resting, chain
from jobs.run import Write, slot
from settings import settings

BATCH = 100  # securities in one question
FAILURES = 3  # in a row, after which a feed rests
REST = 60.0  # seconds
SLOW = 300  # seconds between two rounds of quotes while every market is closed
MOST_NAMED = 20  # in the record of one run

K = TypeVar("K")
R = TypeVar("R")
log = structlog.get_logger("market data")


@dataclass
class Answer(Generic[R]):
    """What the feeds gave, by feed, and what went wrong."""

    rows: dict[str, list[R]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # asked for, given by no feed: their names
    refused: dict[str, str] = field(default_factory=dict)  # what a feed said of what it could not give, by name
    unsure: set[Hashable] = field(default_factory=set)  # what a feed that failed may have had

    def detail(self) -> dict[str, Any]:
        """The same for the run's record: how many from which feed, and the names of what is missing or refused."""
        found: dict[str, Any] = {name: len(rows) for name, rows in self.rows.items() if rows}
        more = [*self.missing[:MOST_NAMED], *([f"and {len(self.missing) - MOST_NAMED} more"] if len(self.missing) > MOST_NAMED else [])]  # fmt: skip
        refused = dict(list(self.refused.items())[:MOST_NAMED])
        said = (("missing", more), ("failures", self.failures), ("refused", refused))
        return found | {k: v for k, v in said if v}


@dataclass(frozen=True)
class _Asked(Generic[K, R]):
    """One kind of question: how to ask it, what its rows are about, and which of them are usable."""

    what: str
    ask: Callable[[Feed, Sequence[K]], list[R]]
    key: Callable[[K], Hashable]
    name: Callable[[K], str]
    of: Callable[[R], Hashable]  # what a row is about: a key
    one: Callable[[R], Hashable]  # there is one row of it: that of the first feed counts
    usable: Callable[[R], R | None]  # the row as it can be stored; None: it cannot
    enough: Callable[[K, list[R]], bool] = lambda each, rows: bool(rows)  # what the next feed need not be asked for
    nobody: bool = True  # that nobody gave any of it is worth telling


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
        return self._ask(securities, _Asked(
            "quotes", lambda f, some: f.quotes(some, now), _number, checks.listing, lambda q: q.security_id, lambda q: q.security_id,
            lambda q: sound.quote(q, now),
        ))  # fmt: skip

    def bars(
        self,
        securities: Sequence[Security],
        first: date,
        last: date,
        wanted: Mapping[int, Collection[date]] | None = None,
    ) -> Answer[Bar]:
        """The bars of these securities. `wanted`: the days of each that the next feed is asked for where the one before has not all of them;
        without it, any bar is enough."""

        def enough(security: Security, rows: list[Bar]) -> bool:
            days = () if wanted is None else wanted.get(security.security_id, ())
            return bool(rows) and set(days) <= {b.on for b in rows}

        return self._ask(securities, _Asked(
            "bars", lambda f, some: f.bars(some, first, last), _number, checks.listing, lambda b: b.security_id, lambda b: (b.security_id, b.on),
            lambda b: sound.bar(b, first, last), enough,
        ))  # fmt: skip

    def rates(self, currencies: Sequence[str], first: date, last: date) -> Answer[tuple[str, date, Decimal]]:
        """The euro rates of these currencies."""
        return self._ask(currencies, _Asked(
            "rates", lambda f, some: f.rates(some, first, last), lambda c: c, lambda c: c, lambda r: r[0], lambda r: r[:2],
            lambda r: r if first <= r[1] <= last and sound.price(r[2]) else None,
        ))  # fmt: skip

    def actions(self, securities: Sequence[Security], first: date, last: date) -> Answer[Action]:
        """The dividends and splits of these securities; most have none, so nothing counts as missing."""
        answer = self._ask(securities, _Asked(
            "actions", lambda f, some: f.actions(some, first, last), _number, checks.listing, lambda a: a.security_id,
            lambda a: (a.security_id, a.kind, a.ex_on), lambda a: sound.action(a, first, last), nobody=False,
        ))  # fmt: skip
        answer.missing = []
        return answer

    def profiles(self, names: Sequence[str], now: datetime) -> Answer[Profile]:
        """What these names may mean: every feed is asked, a later one fills the gaps of an earlier one.

        One that fails costs the others nothing, and is not counted against it: its quotes may be fine. Raises FeedError where
        nobody gave anything and somebody failed, if only with these names.
        """
        answer: Answer[Profile] = Answer()
        whole = False
        for feed in self.feeds:
            if self._rests(feed):
                answer.failures[feed.name] = f"{feed.name} rests for a minute; {self._last_error[feed.name]}"
                whole = True
                continue
            try:
                rows = feed.profiles(names, now)
            except FeedError as error:
                log.warning("no profiles", feed=feed.name, error=str(error))
                answer.failures[feed.name] = str(error)
                answer.refused |= {str(name): words for name, words in error.refused.items()}
                whole = whole or error.whole
                rows = list(error.partial)
            answer.rows[feed.name] = [p for p in rows if _sound(p, now)]
        if answer.failures and not any(answer.rows.values()):
            words = "; ".join(answer.failures.values())
            raise FeedError(words, refused=dict(answer.refused), whole=whole) if answer.rows else Resting(words)
        return answer

    def _ask(self, wanted: Sequence[K], asked: _Asked[K, R]) -> Answer[R]:
        """Ask one feed after the other for what is left. Raises FeedError where nobody gave anything and somebody failed."""
        answer: Answer[R] = Answer()
        left = list(wanted)
        got: dict[Hashable, list[R]] = {asked.key(each): [] for each in wanted}
        there: set[Hashable] = set()
        for feed in self.feeds:
            if not left:
                break
            if self._rests(feed):
                answer.failures[feed.name] = f"{feed.name} rests for a minute; {self._last_error[feed.name]}"
                answer.unsure |= {asked.key(each) for each in left}
                continue
            rows, refused, error = _in_batches(feed, left, asked)
            good = []
            for row in rows:
                usable = asked.usable(row) if asked.of(row) in got else None
                if usable is None:
                    log.warning("unusable row left out", feed=feed.name, row=str(row))
                elif asked.one(usable) not in there:
                    there.add(asked.one(usable))
                    got[asked.of(usable)].append(usable)
                    good.append(usable)
            names = {asked.key(each): asked.name(each) for each in left}
            said = {names.get(key, str(key)): words for key, words in refused.items()}
            gave = {asked.of(row) for row in good}
            self._note(feed, error, bool(good), asked.what, said, {name for key, name in names.items() if key not in refused and (error is None or key in gave)},
                       {name: key for key, name in names.items() if isinstance(key, int)})  # fmt: skip
            if error is not None:
                answer.failures[feed.name] = str(error)
                answer.unsure |= {key for key in names if key not in gave}
            answer.refused |= said
            answer.unsure |= set(refused)
            answer.rows[feed.name] = good
            left = [each for each in left if not asked.enough(each, got[asked.key(each)])]
        answer.missing = [asked.name(each) for each in left]
        if asked.nobody and not answer.failures:
            self._note_unknown(asked, wanted, got, answer)
        if answer.failures and not any(answer.rows.values()):
            raise (FeedError if answer.rows else Resting)("; ".join(answer.failures.values()))
        return answer

    def _rests(self, feed: Feed) -> bool:
        return self._rests_until.get(feed.name, 0.0) > self._clock()

    def _note_unknown(
        self, asked: _Asked[K, R], wanted: Sequence[K], got: Mapping[Hashable, list[R]], answer: Answer[R]
    ) -> None:
        """Keep the names that no feed gave anything of, and none said why."""
        numbers = {asked.name(each): key for each in wanted if isinstance(key := asked.key(each), int)}
        names = {asked.name(each): bool(got[asked.key(each)]) or asked.name(each) in answer.refused for each in wanted}
        words = f"no feed knows it (asked: {', '.join(answer.rows)})"
        with engine.jobs() as c:
            database.settle(c, "", asked.what, [name for name, known in names.items() if known])
            database.note(c, "", asked.what, {name: words for name, known in names.items() if not known}, numbers)

    def _note(
        self,
        feed: Feed,
        error: FeedError | None,
        gave: bool,
        what: str,
        refused: Mapping[str, str],
        answered: Collection[str],
        numbers: Mapping[str, int],
    ) -> None:
        """Keep count here and in the database, whatever becomes of the run. What a feed refuses of single names is told and not counted."""
        with engine.jobs() as c:
            if error is not None:
                runs.feed_failed(c, feed.name, str(error))
            else:
                runs.feed_succeeded(c, feed.name, "; ".join(list(refused.values())[:MOST_SAID]) or None)
            database.settle(c, feed.name, what, answered)
            database.note(c, feed.name, what, refused, numbers)
        if error is None or gave:
            self._failures[feed.name] = 0
            return
        self._last_error[feed.name] = str(error)
        self._failures[feed.name] = self._failures.get(feed.name, 0) + 1
        if self._failures[feed.name] >= FAILURES:
            self._failures[feed.name] = FAILURES - 1  # the first failure after the rest is enough
            self._rests_until[feed.name] = self._clock() + REST
            log.warning("feed rests", feed=feed.name, seconds=REST)


def _in_batches(
    feed: Feed, wanted: Sequence[K], asked: _Asked[K, R]
) -> tuple[list[R], dict[Hashable, str], FeedError | None]:
    """(what a feed gave, what it refused of single names, how it failed as a whole: then nothing more is asked, unless it gave something)."""
    rows: list[R] = []
    refused: dict[Hashable, str] = {}
    error = None
    for start in range(0, len(wanted), BATCH):
        try:
            rows += asked.ask(feed, wanted[start : start + BATCH])
        except FeedError as failure:
            rows += failure.partial
            refused |= failure.refused
            if failure.whole:
                error = failure
                if not failure.partial:
                    break
    return rows, refused, error


def _number(security: Security) -> int:
    return security.security_id


def _sound(profile: Profile, now: datetime) -> bool:
    """Whether a profile can be proposed: a symbol, and prices above zero with a time that has been."""
    prices = [p for p in (profile.price, profile.previous_close) if p is not None]
    at = profile.quoted_at
    timed = at is not None and at.tzinfo is not None and at <= now
    return bool(profile.symbol) and all(sound.price(p) for p in prices) and (timed or not prices)


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
    """One round of quotes for everything that is tracked. Raises FeedError where every one of them is refused: nothing was refreshed."""
    with engine.jobs() as c:
        tracked = market.tracked(c)
    answer = feeds().quotes(tracked, at)
    if answer.refused and not any(answer.rows.values()) and len(answer.refused) == len(tracked):
        raise FeedError("; ".join(list(answer.refused.values())[:MOST_SAID]), refused=answer.refused)
    rows, said = checks.quotes([q for given in answer.rows.values() for q in given], tracked)

    def write(c: psycopg.Connection) -> dict[str, Any]:
        checks.note(c, said, {checks.listing(s): s.security_id for s in tracked})
        detail = {"changed": market.upsert_quotes(c, rows)} | answer.detail()
        return detail | ({"checked": [f"{name}: {words}" for (_, _, name), words in said.items()]} if said else {})

    return write
