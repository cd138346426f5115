"""Rows of feeds as the database can keep them: a row that it would refuse is left out, lest all that came with it is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from core.book import Action
from core.ratio import is_ratio
from db.market import Bar, QuoteRow

LEAST, MOST = Decimal("1e-10"), Decimal("1e18")  # of a column with ten places after the point and eighteen before it
PHASES = frozenset({"pre", "regular", "post", "closed"})


def price(value: Decimal) -> bool:
    """Whether it can be kept as a price: above zero with the places that are kept, and not beyond them."""
    return value.is_finite() and LEAST <= value < MOST


def quote(row: QuoteRow, now: datetime) -> QuoteRow | None:
    """The quote, None where its price, its time or its phase is unusable."""
    prices = [row.price] if row.previous_close is None else [row.price, row.previous_close]
    timed = row.quoted_at.tzinfo is not None and row.quoted_at <= now
    return row if all(map(price, prices)) and timed and row.session in PHASES else None


def bar(row: Bar, first: date, last: date) -> Bar | None:
    """The bar without what is unusable beside its close; None where that or its day is."""
    if not first <= row.on <= last or not price(row.close):
        return None

    def kept(value: Decimal | None) -> Decimal | None:
        return value if value is not None and price(value) else None

    volume = row.volume if row.volume is not None and row.volume.is_finite() and 0 <= row.volume < MOST else None
    return replace(row, open=kept(row.open), high=kept(row.high), low=kept(row.low), adjusted=kept(row.adjusted), volume=volume)  # fmt: skip


def action(row: Action, first: date, last: date) -> Action | None:
    """The dividend or split, without a pay date before its ex date; None where its day, amount or ratio is unusable."""
    if not first <= row.ex_on <= last or (row.amount is not None and not price(row.amount)):
        return None
    if row.ratio is not None and not is_ratio(row.ratio):
        return None
    return replace(row, pay_on=None) if row.pay_on is not None and row.pay_on < row.ex_on else row
