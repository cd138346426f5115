"""Which bars and rates are missing at a time: after the newest, before the first, and between; each as a window to ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg

from core.calendar import Sessions
from core.fx import day_number, day_of
from core.ledger import Security
from core.price_gaps import Gap
from db import due as database
from db import feeds, gaps, market

AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=3), timedelta(hours=9))  # the close
MARGIN = timedelta(days=10)  # history before the first trade, so that there is a close to start from
HISTORY = timedelta(days=400)  # for what nobody traded yet
MOST = 100  # securities whose gaps are asked for in one run: the others follow in the next


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
class Past:
    """The gaps of one security that are asked for in one question, from the bar before them to the bar after."""

    security: Security
    first: date
    last: date
    gaps: tuple[Gap, ...]
    days: frozenset[date]  # the sessions that are missing


@dataclass(frozen=True)
class Lack:
    """What is missing: securities by the day of their newest bar and the last session; currencies by the first day to ask for."""

    securities: dict[tuple[date, date], list[Security]]
    currencies: dict[str, date]
    new_securities: frozenset[int]  # never had a bar
    new_currencies: frozenset[str]  # never had a rate
    slot: datetime | None  # the newest slot of an exchange whose last session is missing
    past: tuple[Past, ...] = ()
    older_rates: dict[str, tuple[date, date]] = field(
        default_factory=dict
    )  # needed from, until the first that there is


def missing(c: psycopg.Connection, at: datetime) -> Lack:
    """What is missing at a time. The newest bar and rate are asked for again: they may have been corrected."""
    tracked, calendars = market.tracked(c), market.calendars(c)
    ids = [s.security_id for s in tracked]
    spans, trades = market.bar_spans(c, ids), database.first_trades(c, ids)
    lacking: dict[tuple[date, date], list[Security]] = defaultdict(list)
    slots = []
    for security in tracked:
        found = last_session(calendars.get(security.exchange), at)
        if found is None:
            continue
        last, when = found
        span = spans.get(security.security_id)
        first = span[1] if span else trades.get(security.security_id, at.date() - HISTORY) - MARGIN
        if first < last:
            lacking[first, last].append(security)
            slots.append(when)
    gaps.scan(c, tracked, calendars, {number: (day - MARGIN, day) for number, day in trades.items()}, at)
    currencies = database.currencies(c)
    asked = feeds.rates_asked(c, at)
    older = {
        currency: (needed - MARGIN, first)
        for currency, (needed, first, _) in currencies.items()
        if first is not None and needed - MARGIN < first and asked.get(currency, first) > needed - MARGIN
    }
    return Lack(
        dict(lacking),
        {currency: last or needed - MARGIN for currency, (needed, _, last) in currencies.items()},
        frozenset(s.security_id for some in lacking.values() for s in some if s.security_id not in spans),
        frozenset(currency for currency, (_, _, last) in currencies.items() if last is None),
        max(slots, default=None),
        _windows(c, gaps.due(c, at, MOST), {s.security_id: s for s in tracked}, calendars),
        older,
    )


def _windows(
    c: psycopg.Connection, found: Sequence[Gap], named: dict[int, Security], calendars: dict[str, Sessions]
) -> tuple[Past, ...]:
    """One window a security over its gaps that are due, with the bars at both ends: they say whether an answer fits."""
    by: dict[int, list[Gap]] = defaultdict(list)
    for gap in found:
        if gap.security_id in named:
            by[gap.security_id].append(gap)
    before = market.closes_near(c, {n: (some[0].first, some[0].first) for n, some in by.items()}, around=1)
    out = []
    for number, some in by.items():
        earlier = [on for on, _ in before.get(number, []) if on < some[0].first]
        days = {
            day_of(int(d))
            for g in some
            for d in calendars[named[number].exchange].between(day_number(g.first), day_number(g.last))
        }
        out.append(
            Past(
                named[number],
                earlier[0] if earlier else some[0].first,
                max(g.until for g in some),
                tuple(some),
                frozenset(days),
            )
        )
    return tuple(out)
