"""Answers what people ask the feeds about a security they want to add, as soon as they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from core.profiles import Profile, merged, printable, tidy
from core.taxonomy import Sector, sector_named
from db import engine, lookups
from jobs import market_data
from jobs.feeds import FeedError
from jobs.market_data import Feeds

CHANNEL = "ballast_lookups"
EVERY = 5.0  # seconds between two looks where no notification came
MOST = 10  # candidates of one answer
WORDS = 500  # characters of what is said beside them
log = structlog.get_logger("lookups")


def work() -> bool:
    """Answer what is open, with the feeds of this installation; whether there may be more."""
    return answer_open(market_data.feeds()) > 0


def answer_open(feeds: Feeds) -> int:
    """Answer every open question, one after the other; how many. The feeds are asked outside any transaction."""
    count = 0
    while True:
        with engine.jobs() as c:
            question = lookups.claim(c)
            known = lookups.sectors(c) if question else []
        if question is None:
            return count
        _answer(feeds, question, known)
        count += 1


def _answer(feeds: Feeds, question: lookups.Open, known: Sequence[Sector]) -> None:
    now = datetime.now(UTC)
    try:
        answer = feeds.profiles([question.asked], now)
    except FeedError as error:
        with engine.jobs() as c:
            lookups.failed(c, question.lookup_id, _words(f"nobody could be asked about {question.asked}: {error}"))
        log.warning("not answered", asked=question.asked, error=str(error))
        return
    given = [[one for each in rows if (one := tidy(each)) is not None] for rows in answer.rows.values()]
    profiles = [_classified(profile, known) for profile in merged(given)][:MOST]
    notes = [f"{error}" for error in answer.failures.values()]
    if not profiles:
        notes.insert(0, f"no feed knows {question.asked} (asked: {', '.join(feed.name for feed in feeds.feeds)})")
    with engine.jobs() as c:
        lookups.answered(c, question.lookup_id, profiles, _words("; ".join(notes)) or None)
    log.info(
        "answered", asked=question.asked, candidates=len(profiles), provider={p.provider for p in profiles} or None
    )


def _words(text: str) -> str:
    """What a feed said of its trouble, as far as somebody reads it."""
    text = printable(text)
    return text if len(text) <= WORDS else text[:WORDS] + " …"


def _classified(profile: Profile, known: Sequence[Sector]) -> Profile:
    """The profile with sector and industry spelled as the taxonomy has them; an unknown industry stays as the feed says."""
    if profile.sector is None:
        return profile
    found = sector_named(profile.sector, known, profile.industry or "") or sector_named(profile.sector, known)
    if found is None:
        return profile
    return replace(profile, sector=found[0], industry=found[1] or profile.industry)
