"""The security master and one security's bars."""

from __future__ import annotations

from typing import Any

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
    Column("provider", "Feed", wide_only=True),
    empty="No bars for this security yet.",
)
def prices(bars: list[tuple[Any, ...]]) -> Made:
    """The daily bars of one security (`security`), newest first."""
    return Made([tuple(row) for row in reversed(bars)])
