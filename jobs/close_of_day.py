"""Bars and FX after the close: whatever sessions are missing, however many. What is there already changes nothing.

Tried a quarter of an hour after each close, and again later while something is missing: the slots below.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import numpy as np
import psycopg

from core.calendar import Sessions
from core.fx import day_of
from core.ledger import Security
from db import due as database
from db import engine, market
from db.market import Bar
from jobs.feeds import FeedError, Resting
from jobs.market_data import Answer, feeds
from jobs.run import Write, slot

AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=3), timedelta(hours=9))  # the close
MARGIN = timedelta(days=10)  # history before the first trade, so that there is a close to start from
HISTORY = timedelta(days=400)  # for what nobody traded yet

_asked: set[int | str] = set()  # new securities and currencies that the feeds were asked for already


def last_session(sessions: Sessions | None, at: datetime) -> tuple[date, datetime] | None:
    """The last session whose bars can be had by `at`, and the slot that `at` falls into."""
    if sessions is None:
        return None
    i = int(np.searchsorted(sessions.closes, int((at - AFTER[0]).timestamp()), side="right")) - 1
    if i < 0:
        return None
    close = datetime.fromtimestamp(int(sessions.closes[i]), UTC)
    return day_of(int(sessions.days[i])), close + max(wait for wait in AFTER if close + wait <= at)


@dataclass(frozen=True)
class Lack:
    """What is missing: securities by the day of their newest bar and the last session; currencies by the first day to ask for."""

    securities: dict[tuple[date, date], list[Security]]
    currencies: dict[str, date]
    new_securities: frozenset[int]  # never had a bar
    new_currencies: frozenset[str]  # never had a rate
    slot: datetime | None  # the newest slot of an exchange whose last session is missing


def missing(c: psycopg.Connection, at: datetime) -> Lack:
    """What is missing at a time. The newest bar and rate are asked for again: they may have been corrected."""
    tracked, calendars = market.tracked(c), market.calendars(c)
    ids = [s.security_id for s in tracked]
    newest, wanted_from = market.last_bars(c, ids), database.first_trades(c, ids)
    lacking: dict[tuple[date, date], list[Security]] = defaultdict(list)
    slots = []
    for security in tracked:
        found = last_session(calendars.get(security.exchange), at)
        if found is None:
            continue
        last, when = found
        bar = newest.get(security.security_id)
        first = bar[0] if bar else wanted_from.get(security.security_id, at.date() - HISTORY) - MARGIN
        if first < last:
            lacking[first, last].append(security)
            slots.append(when)
    currencies = database.currencies(c)
    return Lack(
        dict(lacking),
        {currency: last or first - MARGIN for currency, (first, last) in currencies.items()},
        frozenset(s.security_id for some in lacking.values() for s in some if s.security_id not in newest),
        frozenset(currency for currency, (_, last) in currencies.items() if last is None),
        max(slots, default=None),
    )


def due(at: datetime) -> datetime | None:
    """A run: in the newest slot of any exchange with a session missing; at once for what is new, hourly while nobody has it."""
    if feeds().resting():
        return None
    with engine.jobs() as c:
        lack = missing(c, at)
    new = lack.new_securities | lack.new_currencies
    if new - _asked:
        return slot(at, 60)
    if new and (lack.slot is None or slot(at, 3600) > lack.slot):
        return slot(at, 3600)
    return lack.slot


def close_of_day(at: datetime) -> Write:
    """The missing bars and rates; what can be had is kept, whatever else fails."""
    with engine.jobs() as c:
        lack = missing(c, at)
    bars: list[Answer[Bar]] = []
    rates: list[Answer[tuple[str, date, Decimal]]] = []
    failures: dict[str, str] = {}
    for (first, last), securities in sorted(lack.securities.items()):
        try:
            bars.append(feeds().bars(securities, first, last))
        except FeedError as error:
            failures[f"bars from {first}"] = str(error)
    today = at.astimezone(UTC).date()
    for first, some in groupby(sorted((first, c) for c, first in lack.currencies.items()), key=lambda each: each[0]):
        try:
            rates.append(feeds().rates([currency for _, currency in some], first, today))
        except FeedError as error:
            failures[f"rates from {first}"] = str(error)
    if failures and not bars and not rates:
        raise (Resting if feeds().resting() else FeedError)("; ".join(failures.values()))
    failures |= {name: why for answer in bars for name, why in answer.failures.items()}
    failures |= {name: why for answer in rates for name, why in answer.failures.items()}
    _asked.update(lack.new_securities | lack.new_currencies)
    came = _newest(bars)
    loaded = [
        (s.security_id, first, came[s.security_id], s.security_id in lack.new_securities)
        for (first, _), some in lack.securities.items()
        for s in some
        if s.security_id in came
    ]
    without = sorted(
        s.symbol for (_, last), some in lack.securities.items() for s in some if came.get(s.security_id) != last
    )
    new_rates = lack.new_currencies & {row[0] for answer in rates for given in answer.rows.values() for row in given}

    def write(c: psycopg.Connection) -> dict[str, Any]:
        detail: dict[str, Any] = {
            "bars": sum(market.upsert_bars(c, given, name) for a in bars for name, given in a.rows.items()),
            "rates": sum(market.upsert_rates(c, given, name) for a in rates for name, given in a.rows.items()),
            "to_restate": database.restate_for(c, loaded, sorted(new_rates)),
            "still_missing": without,
            "failures": failures,
        }
        return {k: v for k, v in detail.items() if v or k == "bars"}

    return write


def _newest(answers: list[Answer[Bar]]) -> dict[int, date]:
    """The day of the last bar that came, by security."""
    newest: dict[int, date] = {}
    for answer in answers:
        for given in answer.rows.values():
            for bar in given:
                newest[bar.security_id] = max(bar.on, newest.get(bar.security_id, bar.on))
    return newest
