"""Sessions, holidays and early closes of exchanges, settlement dates, rows of price files on days without a session."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from areas import Answers, Inputs, handles
from areas.datasets import day, path_of
from core.calendar import Sessions
from core.fx import day_number
from core.settlement import settlement_date


@functools.cache
def sessions(exchange: str) -> Sessions:
    """The sessions of an exchange as the product stores them."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar(exchange, start="1990-01-01")
    days = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int32)
    opened, closed = (
        times.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)
        for times in (calendar.opens, calendar.closes)
    )
    return Sessions(exchange, str(calendar.tz), days, opened, closed)


def year(i: Inputs) -> tuple[date, date]:
    return date(i["year"], 1, 1), date(i["year"], 12, 31)


@handles("holiday")
def holiday(i: Inputs) -> Answers:
    found = sessions(i["exchange"])
    return {"open": [found.is_session(day_number(day(d))) for d in i["dates"]]}


@handles("holiday_year")
def holiday_year(i: Inputs) -> Answers:
    first, last = year(i)
    days = (first + timedelta(days=k) for k in range((last - first).days + 1))
    found = sessions(i["exchange"])
    return {"holidays": [d for d in days if d.weekday() < 5 and not found.is_session(day_number(d))]}


@handles("early_close")
def early_close(i: Inputs) -> Answers:
    """The closing times in the exchange's zone; none for a day without a session."""
    found = sessions(i["exchange"])

    def closes(on: date) -> str | None:
        if not found.is_session(day_number(on)):
            return None
        at = int(found.closes[int(np.searchsorted(found.days, day_number(on)))])
        return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(found.zone)).strftime("%H:%M")

    return {"close": [closes(day(d)) for d in i["dates"]]}


@handles("session_count")
def session_count(i: Inputs) -> Answers:
    first, last = (day_number(d) for d in year(i))
    return {"sessions": len(sessions(i["exchange"]).between(first, last))}


@handles("session_gap")
def session_gap(i: Inputs) -> Answers:
    return {"next_session": sessions(i["exchange"]).next(day_number(day(i["after"])))}


EXCHANGES = {"US equity": "XNYS", "UK equity": "XLON", "German equity": "XETR", "EU equity": "XETR"}


@handles("settlement")
def settlement(i: Inputs) -> Answers:
    exchange = i.word("market", EXCHANGES)
    return {"settlement_date": settlement_date(sessions(exchange), exchange, day(i["trade_date"]))}


@handles("holiday_rows")
def holiday_rows(i: Inputs) -> Answers:
    """Rows of a file of US closes on the days of the case, of those on which New York had no session."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = sessions("XNYS")
    closed = [d for d in i["dates"] if not found.is_session(day_number(day(d)))]
    rows = pq.read_table(path_of(i["dataset"]))
    dates = pc.cast(pc.cast(rows.column("date"), "date32"), "string")
    return {"rows_on_closed_days": int(pc.sum(pc.is_in(dates, value_set=pc.cast(closed, "string"))).as_py() or 0)}
