"""The security master and one security's bars."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from core.book import Action
from core.fx import Rates, Series, day_number
from core.price_gaps import Gap
from core.prices import back_adjusted, cash_and_splits
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
