"""The security master, one security's bars, and where those contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from core.book import Action
from core.fx import Rates, Series, day_number, day_of
from core.price_gaps import Gap
from core.prices import back_adjusted, cash_and_splits
from core.quality import Jump, jumps_in
from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Securities",
    Column("symbol", "Symbol"),
    Column("name", "Name"),
    Column("exchange", "Exchange"),
    Column("asset_class", "Asset class", wide_only=True),
    Column("sector", "Sector"),
    Column("industry", "Industry", wide_only=True),
    Column("subsector", "Subsector", wide_only=True),
    Column("country", "Country", wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("isin", "ISIN", wide_only=True),
    Column("issuer", "Issuer", wide_only=True),
    Column("rating", "Rating", wide_only=True),
    Column("issued_on", "Issued", Kind.DATE, wide_only=True),
    Column("matures_on", "Matures", Kind.DATE, wide_only=True),
    Column("par_value", "Par value", Kind.PRICE, wide_only=True),
    Column("dividend_frequency", "Dividends", note="how often they are paid", wide_only=True),
    Column("status", "Status", wide_only=True),
    Column("price", "Price", Kind.PRICE, "last quote, in the security's currency"),
    Column("previous_close", "Close before", Kind.PRICE, wide_only=True),
    Column("quoted_at", "Quoted", Kind.TIME, "UTC"),
    Column("provider", "Feed", wide_only=True),
    Column("bars", "Bars", Kind.COUNT, "trading days in the price history", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="No securities yet.",
)
def securities(master: list[tuple[Any, ...]]) -> Made:
    """Every security with its master data and last quote."""
    return Made([tuple(row) for row in master])


@report(
    "Price history",
    Column("on", "Date", Kind.DATE),
    Column("open", "Open", Kind.PRICE, wide_only=True),
    Column("high", "High", Kind.PRICE, wide_only=True),
    Column("low", "Low", Kind.PRICE, wide_only=True),
    Column("close", "Close", Kind.PRICE, "raw, in the security's currency"),
    Column("volume", "Volume", Kind.UNITS, wide_only=True),
    Column("adjusted", "Adjusted close", Kind.PRICE, "close × (1 − dividend / close before) / split of every later ex date", wide_only=True),
    Column("provider", "Feed", wide_only=True),
    empty="No bars for this security yet.",
)  # fmt: skip
def prices(bars: list[tuple[Any, ...]], actions: tuple[str, list[Action]], gaps: Sequence[Gap]) -> Made:
    """The daily bars of one security (`security`), newest first.

    Adjusted closes are for returns alone: their growth is that of the dividends reinvested at the last close with them. Notes say
    which sessions have no bar.
    """
    currency, known = actions
    days = np.array([day_number(bar[0]) for bar in bars], np.int32)
    raw = Series(days, np.array([float(bar[4]) for bar in bars]))
    adjusted = back_adjusted(raw, *cash_and_splits(known, currency, Rates({}))).values.tolist()
    rows = [(*bar[:6], value if isfinite(value) else None, bar[6]) for bar, value in zip(bars, adjusted, strict=True)]
    return Made(rows[::-1], notes=tuple(str(gap) for gap in gaps))


@report(
    "Price checks",
    Column("on", "Date", Kind.DATE, "first close on the other level"),
    Column("before", "Close before", Kind.PRICE, "raw, in the security's currency"),
    Column("close", "Close", Kind.PRICE, "raw, in the security's currency"),
    Column("times", "Times", Kind.NUMBER, "how many times too high the closes before stand beside those after"),
    Column("what", "What it looks like"),
    empty="No close contradicts its neighbours.",
)
def price_checks(bars: list[tuple[Any, ...]], actions: tuple[str, list[Action]]) -> Made:
    """Where the closes of one security (`security`) jump by a factor that is no move of the market, newest first.

    By 100, where a unit changed (pence and pounds), or by the ratio of a known split of 3:2 or more that is not in the closes
    before it, or twice. Told, never corrected: which side is right is for somebody to say. See `jumps` in the definitions.
    """
    currency, known = actions
    closes = [(day_number(bar[0]), float(bar[4])) for bar in bars]
    cash, ratios = cash_and_splits(known, currency, Rates({}))
    rows = [
        (bars[j.place + 1][0], bars[j.place][4], bars[j.place + 1][4], j.factor, _said(j, ratios))
        for j in jumps_in(closes, cash, ratios)
    ]
    return Made(rows)


def _said(jump: Jump, ratios: dict[int, float]) -> str:
    """What a jump looks like, in words."""
    if jump.of_unit and not any(r in (jump.factor, 1 / jump.factor) for r in ratios.values()):
        side = "high" if jump.factor > 1 else "low"
        return (
            f"another unit: the closes before are 100 times too {side} beside those after, as pence are beside pounds"
        )
    on, ratio = next((day, r) for day, r in sorted(ratios.items()) if r in (jump.factor, 1 / jump.factor))
    way = "is not in" if ratio == jump.factor else "is twice in"
    return f"the split of {day_of(on)} ({ratio:g} new for one old) {way} the closes before"
