"""Upkeep of the security master: adjusted closes against the provider's, and what the next clean-up drops."""

from __future__ import annotations

from typing import Any

from core.adjusted_closes import compare
from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Adjusted closes",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("feed", "Feed", wide_only=True),
    Column("agrees", "Agrees", Kind.FLAG, "every day within 0.1 %"),
    Column("on", "Differs from", Kind.DATE, "the newest day on which they differ; from it backwards"),
    Column("ours", "Ours", Kind.PRICE, "adjusted close of that day; where they agree, of the first day"),
    Column("theirs", "Theirs", Kind.PRICE, "the same by the feed, scaled to the last close that both have"),
    Column("difference", "Difference", Kind.PERCENT, "ours ÷ theirs − 1"),
    Column("cause", "Likely cause"),
    Column("days", "Days", Kind.COUNT, "compared", wide_only=True),
    Column("last", "Last day", Kind.DATE, wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="No feed here says adjusted closes: there is nothing to compare ours with. Yahoo does, and CSV files with a column adj_close.",
)
def adjusted_closes(adjusted: list[tuple[Any, ...]]) -> Made:
    """Our back-adjusted closes against the provider's, of the days that its feed said when it was last asked; differing ones first.

    Differences beyond 0.1 % name the newest day on which both differ and the event that is likely to blame. Nothing is changed for it.
    """
    rows = []
    for number, symbol, name, currency, feed, bars, actions in adjusted:
        found = compare(bars, actions, currency)
        if found is not None:
            rows.append((symbol, name, feed, found.agrees, found.on, found.ours, found.theirs, found.difference, found.cause, found.days,
                         found.last, number))  # fmt: skip
    return Made(sorted(rows, key=lambda r: (r[3], r[0])))


@report(
    "What the next clean-up drops",
    Column("what", "What"),
    Column("why", "Which"),
    Column("rows", "Rows", Kind.COUNT, "that would go now"),
    empty="Nothing is kept for a time only.",
)
def clean_up(would_go: list[tuple[str, str, int]]) -> Made:
    """What is kept for a time only, and how much of it the next daily clean-up would drop."""
    return Made([(what.replace("_", " "), why, n) for what, why, n in would_go])
