"""What moved between two times of knowledge, and why."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any

from core.changes import Story, ends, explain, valued
from core.money import posted
from core.reports import Made, report
from core.table import Column, Figure, Kind
from core.view import View


@report(
    "What moved",
    Column("known", "Known", Kind.TIME, "UTC; of several events the last"),
    Column(
        "cause",
        "Cause",
        note="late booking, new entry, reversal, correction, cost method; new, backfilled or corrected price or FX",
    ),
    Column("what", "What"),
    Column("by", "By", note="the person, or the feed"),
    Column("events", "Events", Kind.COUNT, "entries or values in it", wide_only=True),
    Column("value_change", "Effect on value", Kind.MONEY, "in the base currency"),
    Column("net_flow", "Net deposits", Kind.MONEY, "of the effect on value: deposits less withdrawals", wide_only=True),
    Column("realised", "Realised gain", Kind.MONEY, "effect on it, since inception"),
    Column("unrealised", "Unrealised gain", Kind.MONEY, "effect on it"),
    empty="Nothing became known in between that concerns this day.",
)
def changes(view: View, story: Story) -> Made:
    """Why the figures of one day (`as_of`) differ between what was known at `since` and at `known_at` (default: a week ago, now).

    Each cause is applied in the order in which it became known, and the day is valued again at closing prices: the effects add up
    to the whole difference. A late booking has a trade date before the day of `since`; a price is backfilled more than four days late.
    """
    base = view.base
    found = explain(story, view.as_of)
    rows: list[tuple[Any, ...]] = [
        (
            c.at,
            c.cause,
            c.what,
            c.by,
            c.events,
            c.effect.value,
            c.effect.net_flow,
            c.effect.realised,
            c.effect.unrealised,
        )
        for c in found.changes
    ]
    all_of = found.after - found.before
    total = (
        None,
        "Total",
        None,
        None,
        sum(c.events for c in found.changes),
        all_of.value,
        all_of.net_flow,
        all_of.realised,
        all_of.unrealised,
    )
    said = [f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for at in (story.since, story.until)]
    figures = (
        Figure("before", f"As known {said[0]}", found.before.value, Kind.MONEY, base, note="value at closing prices"),
        Figure("after", f"As known {said[1]}", found.after.value, Kind.MONEY, base, note="value at closing prices"),
        Figure("value_change", "Difference", all_of.value, Kind.MONEY, base, formula="sum of the effects"),
        Figure("net_flow", "Net deposits", all_of.net_flow, Kind.MONEY, base),
        Figure("realised", "Realised gain", all_of.realised, Kind.MONEY, base),
        Figure("unrealised", "Unrealised gain", all_of.unrealised, Kind.MONEY, base),
    )
    notes = [f"The day looked at is {view.on}. Values at closing prices: live quotes take no part."]
    if found.quiet:
        notes.append(f"{found.quiet:,} new prices and rates without effect on this day are left out.")
    return Made(rows, figures, total if rows else None, tuple(notes))


@report(
    "What moved, by position",
    Column("position", "Position"),
    Column("units_before", "Units then", Kind.UNITS),
    Column("units_after", "Units now", Kind.UNITS),
    Column("value_before", "Value then", Kind.MONEY, "in the base currency"),
    Column("value_after", "Value now", Kind.MONEY),
    Column("value_change", "Difference", Kind.MONEY),
    Column("cost_before", "Cost then", Kind.MONEY, wide_only=True),
    Column("cost_after", "Cost now", Kind.MONEY, wide_only=True),
    empty="Every position of this day is what it was known to be.",
)
def changes_by_position(view: View, story: Story) -> Made:
    """The positions of one day (`as_of`) that differ between what was known at `since` and at `known_at`, and the cash."""
    then, now = (valued(book, view.as_of) for book in ends(story, view.as_of))
    sides = [{p.security.security_id: p for p in v.positions} for v in (then, now)]
    rows: list[tuple[Any, ...]] = []
    for number in sorted(sides[0].keys() | sides[1].keys(), key=lambda n: story.book.securities[n].symbol):
        a, b = (side.get(number) for side in sides)
        units = [p.units if p is not None else Decimal(0) for p in (a, b)]
        values = [
            Decimal(0) if p is None else None if p.value_base is None else posted(p.value_base, view.base)
            for p in (a, b)
        ]
        costs = [p.cost_base if p is not None else Decimal(0) for p in (a, b)]
        if units[0] != units[1] or values[0] != values[1] or costs[0] != costs[1]:
            change = None if values[0] is None or values[1] is None else values[1] - values[0]
            rows.append((story.book.securities[number].symbol, *units, *values, change, *costs))
    if then.cash_base != now.cash_base:
        rows.append(("Cash", None, None, then.cash_base, now.cash_base, now.cash_base - then.cash_base, None, None))
    return Made(rows, notes=("Values at closing prices, each rounded for itself.",))
