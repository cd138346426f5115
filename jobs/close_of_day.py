"""Bars and FX after the close: whatever sessions are missing, however many. What is there already changes nothing.

Tried a quarter of an hour after each close, and again later while something is missing. What is missing before the first bar
or between two is asked for at once when it is found, and ever more rarely while no feed has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import psycopg

from core.book import Action
from core.ledger import Security
from core.price_gaps import BEFORE, UNANSWERED, Gap
from db import due as database
from db import engine, gaps, market
from db import feeds as kept
from db.market import Bar
from jobs import checks
from jobs.checks import Checked
from jobs.feeds import FeedError, Resting
from jobs.market_data import Answer, feeds
from jobs.missing_bars import Lack, Past, missing
from jobs.run import Write, slot

Rate = tuple[str, date, Decimal]
_asked: set[int | str] = set()  # new securities and currencies that the feeds were asked for already


def due(at: datetime) -> datetime | None:
    """A run: in the newest slot of any exchange with a session missing; at once for what is new or found missing, hourly while nobody has it."""
    if feeds().resting():
        return None
    with engine.jobs() as c:
        lack = missing(c, at)
    new = lack.new_securities | lack.new_currencies
    if new - _asked or lack.past or lack.older_rates:
        return slot(at, 60)
    if new and (lack.slot is None or slot(at, 3600) > lack.slot):
        return slot(at, 3600)
    return lack.slot


@dataclass
class Came:
    """What the feeds answered in one run, and what went wrong, by question."""

    bars: list[Answer[Bar]] = field(default_factory=list)
    past: list[tuple[Past, Answer[Bar]]] = field(default_factory=list)
    rates: list[Answer[Rate]] = field(default_factory=list)
    older_rates: list[Answer[Rate]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> list[Answer[Any]]:
        """All of them."""
        return [*self.bars, *(answer for _, answer in self.past), *self.rates, *self.older_rates]


def close_of_day(at: datetime) -> Write:
    """The missing bars and rates; what can be had is kept, whatever else fails."""
    with engine.jobs() as c:
        lack = missing(c, at)
        gaps.begin(c, [gap for past in lack.past for gap in past.gaps], at)
        back_to = {currency: first for currency, (first, _) in lack.older_rates.items()}
        kept.keep_rates_asked(c, back_to, at + UNANSWERED)
    _asked.update(lack.new_securities | lack.new_currencies)
    came = _ask(lack, at)
    if came.failures and not came.answers:
        raise (Resting if feeds().resting() else FeedError)("; ".join(came.failures.values()))
    wanted = [s for some in lack.securities.values() for s in some]
    newest = checks.bars(_by_feed(came.bars), wanted, _actions)
    older = checks.bars(_by_feed([answer for _, answer in came.past]), [p.security for p, _ in came.past], _actions, corrects=False)
    older.rows = {feed: [bar for bar in rows if _fills(bar, lack.past)] for feed, rows in older.rows.items()}
    days = _days(newest)
    loaded = [
        (s.security_id, first, max(days[s.security_id]), s.security_id in lack.new_securities)
        for (first, _), some in lack.securities.items()
        for s in some
        if s.security_id in days
    ]
    loaded += [(number, min(some) - timedelta(days=1), max(some), False) for number, some in _days(older).items()]
    detail = {
        "still_missing": sorted(
            s.symbol for (_, last), some in lack.securities.items() for s in some if last not in days.get(s.security_id, ())
        ),
        "failures": came.failures | {name: why for answer in came.answers for name, why in answer.failures.items()},
        "refused": {name: why for answer in came.answers for name, why in answer.refused.items()},
        "checked": [f"{name}: {words}" for some in (newest, older) for (_, _, name), words in some.said.items()],
    }  # fmt: skip
    new_rates = lack.new_currencies & _rated(came.rates) | _rated(came.older_rates)
    numbers = {checks.listing(s): s.security_id for s in [*wanted, *(past.security for past in lack.past)]}
    answered = [(gap, ", ".join(answer.rows)) for past, answer in came.past for gap in _answered(past, answer)]
    unsure = {x for answer in came.older_rates for x in answer.unsure}

    def write(c: psycopg.Connection) -> dict[str, Any]:
        newest.note(c, numbers)
        older.note(c, numbers)
        rates = [given for a in [*came.rates, *came.older_rates] for given in a.rows.items()]
        done = {
            "bars": sum(market.upsert_bars(c, rows, name) for name, rows in newest.rows.items()),
            "filled": sum(market.upsert_bars(c, rows, name) for name, rows in older.rows.items()),
            "rates": sum(market.upsert_rates(c, rows, name) for name, rows in rates),
            "to_restate": database.restate_for(c, loaded, sorted(new_rates)),
        }
        gaps.asked(c, answered, at)
        if came.older_rates:
            kept.keep_rates_asked(c, {x: first for x, first in back_to.items() if x not in unsure}, at + BEFORE[-1])
        return {k: v for k, v in (done | detail).items() if v or k == "bars"}

    return write


def _ask(lack: Lack, at: datetime) -> Came:
    """Put every question; one that fails does not cost the others."""
    came, today = Came(), at.astimezone(UTC).date()
    for (first, last), securities in sorted(lack.securities.items()):
        try:
            wanted = {s.security_id: (last,) for s in securities}
            came.bars.append(feeds().bars(securities, first, last, wanted))
        except FeedError as error:
            came.failures[f"bars from {first}"] = str(error)
    for past in lack.past:
        try:
            answer = feeds().bars([past.security], past.first, past.last, {past.security.security_id: past.days})
            came.past.append((past, answer))
        except FeedError as error:
            came.failures[f"bars of {past.security.symbol} from {past.first}"] = str(error)
    for first, some in groupby(sorted((first, c) for c, first in lack.currencies.items()), key=lambda each: each[0]):
        try:
            came.rates.append(feeds().rates([currency for _, currency in some], first, today))
        except FeedError as error:
            came.failures[f"rates from {first}"] = str(error)
    for currency, (first, last) in lack.older_rates.items():
        try:
            came.older_rates.append(feeds().rates([currency], first, last))
        except FeedError as error:
            came.failures[f"rates of {currency} from {first}"] = str(error)
    return came


def _actions(security: Security, first: date, last: date) -> list[Action]:
    """The dividends and splits that the feeds know of a security, none where they do not answer."""
    try:
        return [action for rows in feeds().actions([security], first, last).rows.values() for action in rows]
    except FeedError:
        return []


def _by_feed(answers: Sequence[Answer[Bar]]) -> dict[str, list[Bar]]:
    """All bars of several answers, by feed."""
    out: dict[str, list[Bar]] = {}
    for answer in answers:
        for feed, rows in answer.rows.items():
            out.setdefault(feed, []).extend(rows)
    return out


def _fills(bar: Bar, every: Sequence[Past]) -> bool:
    """Whether a bar lies in one of the gaps; those around it were asked for to compare them."""
    return any(
        g.security_id == bar.security_id and (g.first <= bar.on <= g.last or (g.leading and bar.on < g.until))
        for past in every
        for g in past.gaps
    )


def _days(checked: Checked) -> dict[int, set[date]]:
    """The days of the bars that came, by security."""
    found: dict[int, set[date]] = {}
    for rows in checked.rows.values():
        for bar in rows:
            found.setdefault(bar.security_id, set()).add(bar.on)
    return found


def _answered(past: Past, answer: Answer[Bar]) -> tuple[Gap, ...]:
    """The gaps of a question that the feeds answered, whatever they had."""
    return () if past.security.security_id in answer.unsure else past.gaps


def _rated(answers: Sequence[Answer[Rate]]) -> set[str]:
    """The currencies that rates came of."""
    return {row[0] for answer in answers for rows in answer.rows.values() for row in rows}
