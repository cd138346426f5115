"""The one clock of the pages, and the days that their date fields offer.

Times are UTC inside. "Today" is the reader's, in the zone of the browser where it says one: a trade of this morning in Tokyo is of
today there while it is still yesterday in UTC. No page asks another clock, and none leaves a limit to Streamlit, whose own are ten
years around the server's local day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

MARKETS = date(1900, 1, 1)  # the first trade date of the ledger
FAR = date(2200, 12, 31)  # what is planned: goals, maturities, settlements
RECORDS = date(2000, 1, 1)  # before any record of this product

Day = TypeVar("Day", bound=date)


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


def zone() -> tzinfo:
    """The reader's zone; UTC where the browser does not say it."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return UTC
    name = st.context.timezone
    try:
        return ZoneInfo(name) if isinstance(name, str) else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def utc_day() -> date:
    """The day in UTC: of valuations, files and what is looked at."""
    return now().date()


def today() -> date:
    """The reader's day: what a form begins with."""
    return now().astimezone(zone()).date()


def latest() -> date:
    """The last day of which something can have happened: the reader's or that of UTC, whichever is later."""
    return max(today(), utc_day())


def within(value: Day | None, first: Day, last: Day) -> Day | None:
    """A stored value, or one of an address, as a field with these limits can show it."""
    return None if value is None else min(max(value, first), last)
