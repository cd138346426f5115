"""Dividends and splits of what is tracked: those that have been, and those announced, from the feeds that know them.

Once they are asked for back to the first trade of a security, or to its first bar where that is older; from then on only for what is new.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from core.ledger import Security
from db import due as database
from db import engine, installation, market
from db import feeds as kept
from jobs.feeds import FeedError, Resting
from jobs.market_data import Answer, feeds
from jobs.missing_bars import HISTORY, MARGIN
from jobs.run import Write, slot

EVERY = 6 * 3600  # seconds
AGAIN = timedelta(days=60)  # what was answered is asked for once more: dividends are corrected, and told late
AHEAD = timedelta(days=400)


@dataclass(frozen=True)
class Questions:
    """What to ask: securities by the first day; those that nobody answered so far back yet, with that day, and whether that is news."""

    windows: dict[date, list[Security]]
    far: dict[int, date]
    news: bool


def questions(c: psycopg.Connection, at: datetime) -> Questions:
    """What is to be asked at a time: far back for what was not answered so far back yet, and for all else what is recent.

    While there is anything to ask far back, the others are asked once in a round. Windows that reach far back begin with a year, so that they are few.
    """
    tracked, today = market.tracked(c), at.astimezone(UTC).date()
    ids = [s.security_id for s in tracked]
    trades, spans, asked = database.first_trades(c, ids), market.bar_spans(c, ids), kept.actions_asked(c)
    far: dict[int, date] = {}
    recent: dict[int, date] = {}
    for number in ids:
        known = [day for day in (trades.get(number), spans[number][0] if number in spans else None) if day is not None]
        needed, reach = min(known, default=today - HISTORY), asked.get(number)
        if reach is None or reach.back_to is None or reach.answered_at is None or needed < reach.back_to:
            far[number] = (needed - MARGIN).replace(month=1, day=1)
        else:
            recent[number] = min(reach.answered_at.astimezone(UTC).date(), today) - AGAIN
    if far:
        recent = {
            n: day for n, day in recent.items() if (answered := asked[n].answered_at) and answered < slot(at, EVERY)
        }
    windows: dict[date, list[Security]] = defaultdict(list)
    for security in tracked:
        first = (far | recent).get(security.security_id)
        if first is not None:
            windows[first].append(security)
    return Questions(dict(windows), far, any(n not in asked or first < asked[n].tried_from for n, first in far.items()))


def due(at: datetime) -> datetime | None:
    """A run every six hours, where there is anything to ask for; at once for what is new, hourly while nobody answers for it."""
    if feeds().resting():
        return None
    with engine.jobs() as c:
        asked = questions(c, at)
    if asked.news:
        return slot(at, 60)
    return slot(at, 3600 if asked.far else EVERY) if asked.windows else None


def actions(at: datetime) -> Write:
    """What is known of each security since the day that is asked for, and as far ahead as is announced; the same again changes nothing."""
    today = at.astimezone(UTC).date()
    with engine.jobs() as c:
        asked = questions(c, at)
        currencies = set(installation.currencies(c))
        kept.try_actions(c, asked.far)
    answers: list[Answer[Any]] = []
    answered: dict[int, date] = {}
    failures: dict[str, str] = {}
    for first, some in sorted(asked.windows.items()):
        try:
            answer = feeds().actions(some, first, today + AHEAD)
        except FeedError as error:
            failures[f"since {first}"] = str(error)
            continue
        answers.append(answer)
        answered |= {s.security_id: first for s in some if s.security_id not in answer.unsure}
    if failures and not answers:
        raise (Resting if feeds().resting() else FeedError)("; ".join(failures.values()))

    def write(c: psycopg.Connection) -> dict[str, Any]:
        detail: dict[str, Any] = {"changed": 0}
        unknown: set[str] = set()
        for answer in answers:
            for name, given in answer.rows.items():
                unknown |= {a.currency for a in given if a.currency is not None and a.currency not in currencies}
                detail["changed"] += market.upsert_actions(
                    c, [a for a in given if a.currency in {None, *currencies}], name
                )
                if given:
                    detail[name] = detail.get(name, 0) + len(given)
        kept.keep_actions_asked(c, answered, at)
        said = {
            "failures": failures | {name: why for answer in answers for name, why in answer.failures.items()},
            "refused": {name: why for answer in answers for name, why in answer.refused.items()},
            "unknown_currencies": sorted(unknown),
        }
        return detail | {k: v for k, v in said.items() if v}

    return write
