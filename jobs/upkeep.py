"""Upkeep of the security master: once a day each of these jobs looks, and proposes what it finds. Nothing is changed here.

A person accepts a proposal (then a tracked task carries it out) or dismisses it; who does not want to wait asks for a look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import structlog

from core import adjusted_closes as adjusting
from core import upkeep as rules
from core.adjusted_closes import Day
from core.fx import Series, day_of
from core.profiles import Profile, merged
from core.upkeep import Finding, Kept
from db import books, engine, lookups, market
from db import upkeep as database
from db.market import Bar
from jobs import checks
from jobs.feeds import FeedError
from jobs.market_data import feeds
from jobs.run import Job, Write, slot

DAY = 86400
LOOK = 15  # seconds between two looks whether a run is due: somebody may have asked for one
# when each of them looks, in seconds after midnight UTC: after the close of New York and before Europe opens
AT = {
    "reclassify": 4 * 3600,
    "verify_classes": 4 * 3600 + 1200,
    "listings": 4 * 3600 + 2400,
    "adjusted_closes": 5 * 3600,
}
IN_A_ROW = 3  # questions that nobody could be asked, after which no more are
MOST_ISINS = 25  # questions for a new symbol in one run
WINDOW = timedelta(days=750)  # of adjusted closes

log = structlog.get_logger("upkeep")
_said: dict[
    tuple[datetime, str], Profile | None
] = {}  # what the feeds said of a listing in this hour: two jobs ask for it


def due(job: str) -> Callable[[datetime], datetime | None]:
    """Every day at its time, where anything is tracked; at once where somebody asked."""

    def when(at: datetime) -> datetime | None:
        with engine.jobs() as c:
            run, asked = database.waiting(c, job, slot(at, DAY, after=AT[job]))
            return run if asked or (run is not None and market.tracked(c)) else None

    return when


def profiles_of(every: Sequence[Kept], at: datetime) -> tuple[dict[int, Profile], set[int]]:
    """(what the feeds say of each of these listings, those of which they could be asked). Kept for the hour."""
    hour = slot(at, 3600)
    for key in [key for key in list(_said) if key[0] != hour]:
        _said.pop(key, None)
    found: dict[int, Profile] = {}
    answered: set[int] = set()
    failed: list[str] = []
    in_a_row = 0
    for one in every:
        key = (hour, one.listing)
        if key not in _said:
            if in_a_row >= IN_A_ROW:
                continue
            try:
                _said[key] = next((p for p in _asked(one.listing, at) if rules.same_listing(one, p)), None)
                in_a_row = 0
            except FeedError as error:
                failed.append(str(error))
                in_a_row = in_a_row + 1 if error.whole else 0  # one that is refused says nothing of the next
                log.warning("no profile", security=one.listing, error=str(error))
                continue
        answered.add(one.security_id)
        profile = _said[key]
        if profile is not None:
            found[one.security_id] = profile
    if every and not answered:
        raise FeedError("; ".join(failed[:IN_A_ROW]))
    return found, answered


def _asked(name: str, at: datetime) -> list[Profile]:
    return merged(feeds().profiles([name], at).rows.values())


def reclassify(at: datetime) -> Write:
    """Sector, industry, country, name and frequency of dividends against what the feeds say, of what is tracked."""
    with engine.jobs() as c:
        tracked = [one for one in database.kept(c) if one.tracked]
        sectors, paid = lookups.sectors(c), database.ex_dates(c)
    said, answered = profiles_of(tracked, at)
    today = at.astimezone(UTC).date()
    found = [
        finding
        for one in tracked
        if one.security_id in said
        for finding in rules.reclassified(
            one, said[one.security_id], sectors, rules.pays(one, paid.get(one.security_id, ()), today) is not None
        )
    ]
    return _recording("reclassify", {"reclassify": answered}, found)


def verify_classes(at: datetime) -> Write:
    """Asset classes against the feeds' and against rules of our own, of every security that is not retired or delisted."""
    with engine.jobs() as c:
        every = [one for one in database.kept(c) if one.status in ("active", "halted")]
        paid = database.ex_dates(c)
    tracked = [one for one in every if one.tracked]
    try:
        said, answered = profiles_of(tracked, at)
    except FeedError:
        said, answered = {}, set()  # rules of our own need nobody
    found = rules.classes(every, said, paid, at.astimezone(UTC).date())
    unasked = {one.security_id for one in tracked} - answered
    return _recording("verify_classes", {"asset_class": {one.security_id for one in every} - unasked}, found)


def listings(at: datetime) -> Write:
    """Symbol changes, halts, delistings and maturities, by the trading calendars and by what the feeds call an ISIN now."""
    today = at.astimezone(UTC).date()
    with engine.jobs() as c:
        every = database.kept(c)
        missed = rules.silent(every, market.calendars(c), database.answered(c), at)
        announced = database.announced(c, today)
    found: list[Finding] = []
    examined = {one.security_id for one in every}
    asked, failed, unanswered = 0, set(), 0
    for one in every:
        count, first = missed.get(one.security_id, (0, today))
        renamed = None
        if one.status in ("active", "halted") and (one.security_id in announced or (count and one.isin)):
            candidates: list[Profile] = []
            if one.isin and asked < MOST_ISINS and unanswered < IN_A_ROW:
                asked += 1
                try:
                    candidates = _asked(one.isin, at)
                except FeedError as error:
                    failed.add(one.security_id)
                    unanswered += error.whole
                    log.warning("no answer", isin=one.isin, error=str(error))
            known_here = any(p.symbol == one.symbol and p.exchange == one.exchange for p in candidates)
            renamed = rules.renamed(one, [] if known_here else candidates, announced.get(one.security_id, first),
                                    one.security_id in announced, today)  # fmt: skip
        if renamed is not None:
            found.append(renamed)
        standing = rules.standing(one, missed.get(one.security_id), today)
        if standing is not None and (renamed is None or standing.after["status"] == "retired"):
            found.append(standing)
    return _recording("listings", {"status": examined, "symbol_change": examined - failed}, found)


def adjusted_closes(at: datetime) -> Write:
    """Our adjusted closes against those that the feeds say, asked for anew so that all are on one basis."""
    today = at.astimezone(UTC).date()
    first = today - WINDOW
    with engine.jobs() as c:
        tracked = market.tracked(c)
        ids = [s.security_id for s in tracked]
        ours = books.prices_of(c, ids)
        actions = books.actions_of(c, ids)
    answer = feeds().bars(tracked, first, today)
    checked = checks.bars(answer.rows, tracked, lambda *_: [], corrects=None)
    said: dict[int, dict[date, Bar]] = {}
    for given in checked.rows.values():
        for bar in given:
            said.setdefault(bar.security_id, {})[bar.on] = bar
    found: list[Finding] = []
    compared: set[int] = set()
    providers = {bar.security_id: name for name, given in answer.rows.items() for bar in given}
    for security in tracked:
        number = security.security_id
        theirs = said.get(number, {})
        days = _days(ours.get(number), theirs, first)
        outcome = adjusting.compare(days, actions.get(number, ()), security.currency)
        if outcome is None:
            continue
        compared.add(number)
        if not outcome.agrees:
            found.append(_differing(number, outcome, providers[number]))

    def write(c: psycopg.Connection) -> dict[str, Any]:
        market.keep_adjusted(c, [bar for bars in said.values() for bar in bars.values()])
        detail = database.record(c, ["adjusted_close"], compared, found)
        return {"compared": len(compared), **detail} | ({"failures": answer.failures} if answer.failures else {})

    return write


def _days(ours: Series | None, theirs: Mapping[date, Bar], first: date) -> list[Day]:
    """Our raw closes of the window, each with the feed's adjusted close of that day."""
    if ours is None:
        return []
    bars = [(day_of(n), close) for n, close in zip(ours.days.tolist(), ours.values.tolist(), strict=True)]
    return [Day(on, close, theirs[on].adjusted if on in theirs else None) for on, close in bars if on >= first]


def _differing(number: int, outcome: adjusting.Compared, provider: str) -> Finding:
    on = outcome.ex_on.isoformat() if outcome.ex_on else None

    def factor(value: float | None) -> str:
        return "none" if value is None else f"{value:.4f}"

    until = (
        f"until {outcome.on} ours is {outcome.difference:+.2%} of theirs"
        if outcome.difference is not None
        else "ours is not defined"
    )
    why = f"adjusted closes differ from {outcome.on} backwards: {outcome.cause} ({until}; {outcome.days} days to {outcome.last} compared)"
    return Finding("adjusted_close", number, "adjusted_close", {"factor": factor(outcome.our_factor), "on": on},
                   {"factor": factor(outcome.their_factor), "on": on}, why, provider)  # fmt: skip


def _recording(job: str, examined: Mapping[str, set[int]], found: Sequence[Finding]) -> Write:
    """What writes the findings, kind by kind."""

    def write(c: psycopg.Connection) -> dict[str, Any]:
        total = {"found": 0, "new": 0, "superseded": 0}
        for kind in rules.JOBS[job]:
            said = database.record(c, [kind], examined[kind], [f for f in found if f.kind == kind])
            total = {name: total[name] + said[name] for name in total}
        return total

    return write


# the lines of the timetable
TIMETABLE = (
    Job("reclassify", LOOK, due("reclassify"), reclassify, 300),
    Job("verify_classes", LOOK, due("verify_classes"), verify_classes, 300),
    Job("listings", LOOK, due("listings"), listings, 300),
    Job("adjusted_closes", LOOK, due("adjusted_closes"), adjusted_closes, 300),
)
