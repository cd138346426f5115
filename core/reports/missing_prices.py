"""Prices that are missing, and what the feeds could not say: by security."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.price_gaps import Gap
from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Price gaps",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("exchange", "Exchange", wide_only=True),
    Column("said", "What is missing"),
    Column("first", "From", Kind.DATE, "the first session without a price", wide_only=True),
    Column("last", "To", Kind.DATE, "the last one before there is a price again", wide_only=True),
    Column("sessions", "Sessions", Kind.COUNT, "of its exchange without a price, on or after its first trade"),
    Column("feeds", "Asked", note="the feeds that were asked for it", wide_only=True),
    Column("tries", "Answers", Kind.COUNT, "without it", wide_only=True),
    Column("asked_at", "Last asked", Kind.TIME, "UTC"),
    Column("next_at", "Asked again", Kind.TIME, "UTC; empty: within a minute", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="No session is without a price between the first trade of a security and its last price.",
)
def price_gaps(gaps: Sequence[Gap]) -> Made:
    """Sessions of its exchange that a security has no price of: between two prices, or before the first one where it was traded
    earlier. The feeds are asked for them at once, after an hour, a day and a week, then every month."""
    return Made([(g.symbol, g.name, g.exchange, str(g), g.first, g.last, g.sessions, g.feeds, g.tries, g.asked_at, g.next_at, g.security_id)
                 for g in gaps])  # fmt: skip


@report(
    "Feed troubles",
    Column("subject", "Of what"),
    Column("what", "Asked for"),
    Column("feed", "Feed", note="empty: all of them"),
    Column("said", "What was wrong"),
    Column("first_at", "Since", Kind.TIME, "UTC", wide_only=True),
    Column("last_at", "Last", Kind.TIME, "UTC"),
    Column("times", "Times", Kind.COUNT, wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="The feeds answered for everything that they were asked.",
)
def feed_troubles(troubles: Sequence[Any]) -> Made:
    """Securities and currencies that a feed does not answer for, or whose prices could not be taken as they came: in another unit than the feed
    says, or adjusted for splits. What a feed answers well again is gone from here."""
    return Made([(t.subject, t.what, t.feed, t.said, t.first_at, t.last_at, t.times, t.security_id) for t in troubles])
