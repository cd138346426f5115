"""Loads the demo: the replay's securities, prices and rates, and three portfolios from demo/*.csv. `python -m jobs.demo`.

It is loaded once: the fact `demo` of the installation is written last. Until then every step can be run again: the anchor
of the replay is written first and stands, so that the same rows get the same dates, and rows booked already are passed
over by their references. To add a portfolio, add its CSV and a line to PORTFOLIOS.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from core import VERSION, importing
from core.fx import day_of
from core.money import posted
from core.valuation import history
from db import access, books, embedded, engine, imports, installation, ledger, market, portfolios, snapshots
from jobs.calendars import CALENDARS, Computing
from jobs.feeds.replay import EXCHANGE, INDEX, Replay, ReplayFeed, played, real_rates
from settings import ROOT, settings

FOLDER: Path = ROOT / "demo"
FINE, COARSE = 300, 1800  # seconds between the past totals of recent sessions and of those before
FINE_SESSIONS, SESSIONS = 6, 66  # how many sessions back each goes
STEPS = 9


@dataclass(frozen=True)
class Demo:
    """One portfolio of the demo."""

    name: str
    file: str
    base_currency: str
    method: str
    note: str
    limits: tuple[tuple[str, str, str], ...] = ()
    goal: Decimal | None = None
    guest: Literal["read"] | None = None
    mistake: str = ""  # the reference of a row that is booked and then reversed


PORTFOLIOS = (
    Demo(
        "US Core",
        "us-core.csv",
        "USD",
        "fifo",
        "Made up. A saving plan in US shares, with the S&P 500 as its benchmark.",
        limits=(("max_security_weight", "0.12", "hard"), ("max_sector_weight", "0.30", "soft")),
        goal=Decimal(1_500_000),
    ),
    Demo(
        "Europe Base",
        "europe-base.csv",
        "EUR",
        "average",
        "Made up. US shares held from Europe, paid in euros or from a dollar account.",
        guest="read",
    ),
    Demo(
        "Active Income",
        "active-income.csv",
        "USD",
        "fifo",
        "Made up. Traded often, income withdrawn. Its dividends are samples: the prices are adjusted for dividends already.",
        limits=(("max_security_weight", "0.15", "hard"),),
        mistake="active-income-mistake",
    ),
)


class Progress:
    """Prints one line a step: what, how much, how long."""

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """One step; what the caller appends to the list is shown behind its name."""
        self.number += 1
        began = time.perf_counter()
        result: list[str] = []
        yield result
        line = f"demo {self.number}/{STEPS}  {name:<16} {', '.join(result):<44} {time.perf_counter() - began:4.1f} s"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def load(now: datetime, computing: Computing | None = None) -> bool:
    """Load the demo unless it is there; True where anything was done. `computing`: calendars that are on their way."""
    with engine.owner() as lock:
        installation.alone(lock, "demo")
        if installation.fact(lock, "demo") is not None:
            return False
        _load(now, computing, Progress())
        with engine.jobs() as c:
            installation.remember(c, "demo", {"loaded_at": now.isoformat()})
    return True


def _load(now: datetime, computing: Computing | None, progress: Progress) -> None:
    with ThreadPoolExecutor(1) as beside:
        _steps(now, computing, progress, beside)


def _steps(now: datetime, computing: Computing | None, progress: Progress, beside: Executor) -> None:
    with progress.step("calendars") as result:
        others = beside.submit(_rest, _calendars(now, computing))
        feed = ReplayFeed(clock=lambda: now)
        replay = feed.replay()
        result.append(f"{len(replay.sessions.days):,} sessions of New York")
    with progress.step("securities") as result, engine.jobs() as c:
        ids = market.add_securities(c, played())
        result.append(str(len(ids)))
    with progress.step("prices") as result:
        result.append(f"{_prices(feed, ids, now):,} closes")
    with progress.step("rates") as result:
        result.append(f"{_rates(feed, now):,} rates of the euro")
    with progress.step("people") as result:
        demo = _person("demo", "demo", "admin", "Demo")
        _person("guest", "guest", "viewer", "Guest")
        result.append("demo/demo, guest/guest")
    with progress.step("transactions") as result:
        loaded = [_portfolio(each, demo, ids[INDEX], replay, now, result) for each in PORTFOLIOS]
    with progress.step("daily totals") as result, engine.jobs() as c:
        result.append(f"{snapshots.restate(c, now, settings.coverage_limit)} portfolios")
    with progress.step("recent sessions") as result, engine.jobs() as c:
        recent = Recent(replay, now)
        result.append(f"{sum(_recent(c, p, recent) for p in loaded):,} totals")
    with progress.step("now") as result:
        with engine.jobs() as c:
            quotes = feed.quotes(market.tracked(c), now)
            market.upsert_quotes(c, quotes)
            snapshots.take(c, now, settings.snapshot_every_minutes, settings.coverage_limit)
        others.result()
        result.append(f"{len(quotes)} quotes")


def shifted(raw: bytes, replay: Replay) -> bytes:
    """A ledger of real dates, moved to the sessions that show them."""
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"))))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"date": str(replay.shown_on(date.fromisoformat(row["date"])))})
    return out.getvalue().encode("utf-8")


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────


def _calendars(
    now: datetime, computing: Computing | None
) -> Iterator[tuple[str, list[tuple[date, datetime, datetime]]]]:
    """Write New York's calendar; the others keep coming while the rest is loaded."""
    new_york = [e for e in CALENDARS if CALENDARS[e] == EXCHANGE]
    if computing is None:
        with engine.jobs() as c:
            due = installation.calendars_due(c, now.date())
        computing = Computing(due, now.date()) if due else None
    coming = iter(computing or ())
    missing = [e for e in new_york if computing is not None and e in computing.exchanges]
    while missing:
        exchange, rows = next(coming)
        missing.remove(exchange)
        with engine.jobs() as c:
            market.upsert_sessions(c, exchange, rows)
    return coming


def _rest(coming: Iterator[tuple[str, list[tuple[date, datetime, datetime]]]]) -> None:
    for exchange, rows in coming:
        with engine.jobs() as c:
            market.upsert_sessions(c, exchange, rows)


def _prices(feed: ReplayFeed, ids: dict[str, int], now: datetime) -> int:
    """Every completed session's close; from the day after the last bar where there are some already."""
    replay = feed.replay()
    with engine.owner() as c:
        there = market.last_bars(c, list(ids.values()))
        if not there:
            indices = np.arange(replay.first, replay.completed(now) + 1)
            days = [day_of(d) for d in replay.sessions.days[indices].tolist()]
            known = [(number, symbol) for symbol, number in ids.items() if replay.knows(symbol)]
            series = ((number, days, replay.closes(symbol, indices).tolist()) for number, symbol in known)
            return installation.first_bars(c, series, feed.name)
        first = min((day for day, _ in there.values())) if len(there) == len(ids) else date(1900, 1, 1)
        return market.upsert_bars(
            c, feed.bars(books.securities_of(c, list(ids.values())), first, now.date()), feed.name
        )


def _rates(feed: ReplayFeed, now: datetime) -> int:
    replay = feed.replay()
    with engine.owner() as c:
        known = [x for x in installation.currencies(c) if x in real_rates().symbols]
        there = installation.rated_until(c)
        if there:
            return market.upsert_rates(c, feed.rates(known, min(there.values()), now.date()), feed.name)
        indices = np.arange(replay.first, replay.completed(now) + 1)
        days = [day_of(d) for d in replay.sessions.days[indices].tolist()]

        def series() -> Iterator[tuple[str, list[date], list[float]]]:
            for currency in known:
                rates = replay.rates(currency, indices)
                there = np.flatnonzero(~np.isnan(rates)).tolist()
                yield currency, [days[i] for i in there], rates[there].tolist()

        return installation.first_rates(c, series(), feed.name)


def _person(username: str, password: str, role: Literal["viewer", "admin"], display_name: str) -> access.User:
    with engine.owner() as c:
        found = {name: (user_id, shown, its) for user_id, name, shown, its, *_ in installation.people(c)}
    if username not in found:
        return access.User(access.create_user(username, password, role, display_name), username, display_name, role)
    return access.User(found[username][0], username, found[username][1], found[username][2])


def _portfolio(each: Demo, user: access.User, benchmark: int, replay: Replay, now: datetime, result: list[str]) -> UUID:
    """Make one portfolio and book its ledger as anybody would: through the import."""
    with engine.owner() as c:
        portfolio = installation.demo_portfolio(c, user.user_id, each.name)
    if portfolio is None:
        portfolio = portfolios.create_portfolio(
            user.user_id, each.name, each.base_currency, benchmark, each.method, each.note
        )
    raw = shifted((FOLDER / each.file).read_bytes(), replay)
    done = imports.import_file(user.user_id, portfolio, raw, each.file, now.date(), dry_run=False)
    if each.mistake:
        _reverse(user, portfolio, each.mistake)
    if each.guest is not None:
        access.share(user, portfolio, "guest", each.guest)
    with engine.owner() as c:
        installation.mark_demo(c, portfolio, each.goal, date(now.year + 8, 12, 31) if each.goal else None)
        limits = [(rule, Decimal(value), severity) for rule, value, severity in each.limits]
        installation.set_limits(c, portfolio, limits, date(2000, 1, 1))
    result.append(f"{each.name} {len(done.verdicts)}")
    return portfolio


def _reverse(user: access.User, portfolio: UUID, reference: str) -> None:
    key = next(importing.keys(iter([(f"ref:{reference}",)])))
    with engine.session(user.user_id) as c:
        booked = installation.booked_by_reference(c, portfolio, key)
    if booked is not None and not booked[1]:
        ledger.reverse(user.user_id, portfolio, booked[0], "typing error")


class Recent:
    """The times of recent sessions at which totals are filled in, and how prices stood then against the known close."""

    def __init__(self, replay: Replay, now: datetime) -> None:
        self._replay, self._moves = replay, dict[tuple[str, int], NDArray[np.float64]]()
        self._done = replay.completed(now)
        running = replay.sessions.current(now)
        self.last = self._done if running is None else max(running, self._done)
        self.times: dict[int, NDArray[np.int64]] = {}
        for index in range(max(self.last - SESSIONS + 1, replay.first), self.last + 1):
            end = int(replay.sessions.closes[index])
            if index > self._done:
                end = int(snapshots.bucket_of(now, settings.snapshot_every_minutes).timestamp())
            step = FINE if index > self.last - FINE_SESSIONS else COARSE
            self.times[index] = np.arange(int(replay.sessions.opens[index]), end, step)

    def day(self, index: int) -> int:
        """The day number of a session."""
        return int(self._replay.sessions.days[index])

    def moves(self, symbol: str, index: int) -> NDArray[np.float64]:
        """The session's prices over the close that its day was valued at."""
        if (symbol, index) not in self._moves:
            known = self._replay.closes(symbol, np.array([min(index, self._done)]))[0]
            self._moves[symbol, index] = self._replay.prices_at(symbol, index, self.times[index]) / known
        return self._moves[symbol, index]


def _recent(c: installation.Connection, portfolio: UUID, recent: Recent) -> int:
    """Fill the totals within the recent sessions: units held that day × prices of that minute × FX of that day + cash."""
    book = books.load(c, portfolio).book
    past = history(book, recent.day(recent.last))
    flow = (past.inflow - past.outflow).cumsum()
    seconds: list[int] = []
    columns: tuple[list[float], list[float], list[float]] = ([], [], [])
    for index, times in recent.times.items():
        row = int(np.searchsorted(past.days, recent.day(index)))
        if row >= len(past.days) or past.days[row] != recent.day(index):
            continue
        total = np.full(len(times), past.cash[row])
        for number, value in zip(past.securities, past.value[row].tolist(), strict=True):
            if value:
                total += value * recent.moves(book.securities[number].symbol, index)
        seconds += times.tolist()
        for column, values in zip(columns, (total, past.cash[row], flow[row]), strict=True):
            column += np.broadcast_to(values, len(times)).tolist()
    totals, cash, flows = ([posted(Decimal(repr(x)), book.base) for x in column] for column in columns)
    return installation.fill_snapshots(c, portfolio, seconds, totals, cash, flows, VERSION)


def main() -> None:
    """Load the demo into the embedded database."""
    if not settings.demo:
        sys.exit("error: DEMO is off (or DATABASE_URL is set), so no demo is loaded.")
    with embedded.hold():
        engine.ensure()
        done = load(datetime.now(UTC))
        engine.close()
    sys.stdout.write("The demo is loaded: sign in with demo / demo.\n" if done else "The demo was loaded before.\n")


if __name__ == "__main__":
    main()
