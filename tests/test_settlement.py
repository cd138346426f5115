"""When trades settle: the cycles by market and date, and settlement days, which are not the sessions.

The right dates are those of published schedules (named beside them) or counted by hand on a calendar; the sessions are those of
exchange_calendars, as the product stores them.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

import numpy as np
import pytest

from core.calendar import Sessions
from core.fx import day_of
from core.ledger import Draft, Security
from core.settlement import (
    MARKET_OF,
    MARKETS,
    UNKNOWN,
    is_settlement_day,
    market_of,
    settlement_date,
    settlement_days,
    settlement_of,
)
from jobs.calendars import compute


@lru_cache
def sessions(exchange: str) -> Sessions:
    """The sessions of an exchange from 1990 to 2028 as `jobs.calendars` computes them."""
    found = compute(exchange, date(1990, 1, 1), date(2028, 12, 31))
    return Sessions(exchange, "", np.array(found.days, np.int32), np.array(found.opens), np.array(found.closes))


def settles(exchange: str, traded_on: str) -> str:
    known = sessions(exchange) if exchange != "XOFF" else None
    return settlement_date(known, exchange, date.fromisoformat(traded_on)).isoformat()


@pytest.mark.parametrize(
    ("exchange", "traded_on", "right"),
    [
        # Columbus and Veterans Day are sessions and no settlement days
        ("XNYS", "2024-10-11", "2024-10-15"), ("XNYS", "2024-10-14", "2024-10-15"),
        ("XNYS", "2024-11-08", "2024-11-12"), ("XNAS", "2024-11-11", "2024-11-12"), ("XNYS", "2023-10-06", "2023-10-11"),
        # NASD notice 95-77: October 1995, and that trades of Columbus Day settle with those of the day before
        ("XNYS", "1995-10-03", "1995-10-06"), ("XNYS", "1995-10-04", "1995-10-10"), ("XNYS", "1995-10-05", "1995-10-11"),
        ("XNYS", "1995-10-06", "1995-10-12"), ("XNYS", "1995-10-09", "1995-10-12"), ("XNYS", "1995-10-10", "1995-10-13"),
        # NASD notices 99-83, 97-93 and 92-54: Columbus Day 1999, Good Friday 1998, Veterans Day 1992 (T+5)
        ("XNYS", "1999-10-06", "1999-10-12"), ("XNYS", "1998-04-07", "1998-04-13"), ("XNYS", "1992-11-04", "1992-11-12"),
        # Veterans Day on a Sunday is observed on Monday (2018), on a Saturday not on Friday (2023)
        ("XNYS", "2018-11-09", "2018-11-14"), ("XNYS", "2023-11-09", "2023-11-13"),
        # the last day and the first of each cycle
        ("XNYS", "2017-09-01", "2017-09-07"), ("XNYS", "2017-09-05", "2017-09-07"),
        ("XNYS", "2024-05-24", "2024-05-29"), ("XNYS", "2024-05-28", "2024-05-29"),
        # the exchanges closed in mourning (5 December 2018) and for a storm (29 and 30 October 2012): DTCC settled
        ("XNYS", "2018-12-03", "2018-12-05"), ("XNYS", "2025-01-08", "2025-01-09"),
        # 4 July 2020 was a Saturday, Friday no session; Juneteenth counts since 2022; Good Friday is no bank holiday
        ("XNYS", "2020-07-01", "2020-07-06"), ("XNYS", "2022-06-16", "2022-06-21"), ("XNYS", "2024-03-27", "2024-04-01"),
        # Canada: T+1 a day before New York; TMX notice 2022-021; Remembrance Day; Thanksgiving
        ("XTSE", "2024-05-24", "2024-05-28"), ("XTSE", "2024-05-27", "2024-05-28"),
        ("XTSE", "2022-09-28", "2022-10-03"), ("XTSE", "2022-09-29", "2022-10-04"), ("XTSE", "2022-09-30", "2022-10-04"),
        ("XTSE", "2024-11-08", "2024-11-12"), ("XTSE", "2023-11-10", "2023-11-15"), ("XTSE", "2021-03-31", "2021-04-05"),
        # Europe: T+3 to T+2 (trades of 3 and 6 October 2014 settled on the 8th), T+1 from 11 October 2027; Germany had T+2
        ("XPAR", "2014-10-03", "2014-10-08"), ("XPAR", "2014-10-06", "2014-10-08"), ("XETR", "2014-10-02", "2014-10-07"),
        ("XLON", "2014-10-03", "2014-10-08"), ("XSWX", "2014-10-03", "2014-10-08"), ("XLON", "2001-02-02", "2001-02-09"),
        ("XLON", "2001-02-05", "2001-02-08"), ("XPAR", "2027-10-08", "2027-10-12"), ("XPAR", "2027-10-11", "2027-10-12"),
        ("XLON", "2027-10-11", "2027-10-12"), ("XSWX", "2027-10-11", "2027-10-12"), ("XETR", "2027-10-11", "2027-10-12"),
        # Deutsche Börse, 26 November 2025: Christmas Eve and New Year's Eve are settlement days, without trading; 1 May is neither
        ("XETR", "2025-12-22", "2025-12-24"), ("XETR", "2025-12-23", "2025-12-29"), ("XETR", "2025-12-29", "2025-12-31"),
        ("XPAR", "2025-04-30", "2025-05-05"), ("XETR", "2018-10-02", "2018-10-04"), ("XETR", "2015-12-22", "2015-12-28"),
        # London: the bank holidays of May 2022 and of the Queen's funeral; Switzerland: 1 August, Berchtold's Day
        ("XLON", "2022-06-01", "2022-06-07"), ("XLON", "2022-09-16", "2022-09-21"), ("XSWX", "2024-07-30", "2024-08-02"),
        ("XSWX", "2023-12-29", "2024-01-04"),
        # Japan: T+2 from 16 July 2019 (trades of 12 and 16 July settled on the 18th); Golden Week 2024
        ("XTKS", "2019-07-12", "2019-07-18"), ("XTKS", "2019-07-16", "2019-07-18"), ("XTKS", "2024-05-01", "2024-05-07"),
        # Australia: T+2 from 7 March 2016; Sydney's bank holiday counted until 2016, no longer in 2017
        ("XASX", "2016-03-04", "2016-03-09"), ("XASX", "2016-03-07", "2016-03-09"),
        ("XASX", "2016-07-29", "2016-08-03"), ("XASX", "2017-08-04", "2017-08-08"),
        # Hong Kong: T+2; of the lunar new year of 2024 the 12th and 13th were closed, the 9th was a half day
        ("XHKG", "2024-02-08", "2024-02-14"),
        # an exchange that is not known: T+2 on weekdays
        ("XOFF", "2024-10-11", "2024-10-15"), ("XOFF", "2005-03-03", "2005-03-07"),
    ],
)  # fmt: skip
def test_the_settlement_date(exchange: str, traded_on: str, right: str) -> None:
    assert settles(exchange, traded_on) == right


def test_new_york_settles_on_its_sessions_but_for_bank_holidays_and_unforeseen_closings() -> None:
    """From 1998 on; found by walking over every day, against the sessions and the two holidays counted from the first of the month."""
    known, first, last = sessions("XNYS"), date(1998, 1, 1), date(2027, 6, 30)
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    trading = {day_of(int(d)) for d in known.days}
    settling = {d for d in days if is_settlement_day(known, "XNYS", d)}
    banks = set()
    for year in range(1998, 2027):
        october = [date(year, 10, d) for d in range(1, 32) if date(year, 10, d).weekday() == 0]
        november = date(year, 11, 11)
        banks |= {october[1], november + timedelta(days=1) if november.weekday() == 6 else november}
    assert {d for d in days if d in trading and d not in settling} == {d for d in banks if d.weekday() < 5}
    closings = ["2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11", "2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"]  # fmt: skip
    assert sorted(d.isoformat() for d in settling - trading) == closings


def test_paris_and_amsterdam_settle_on_their_sessions_and_frankfurt_on_two_more() -> None:
    first, last = date(2018, 1, 1), date(2027, 6, 30)
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    for exchange in ("XPAR", "XAMS"):
        trading = {day_of(int(d)) for d in sessions(exchange).days}
        assert {d for d in days if is_settlement_day(sessions(exchange), exchange, d)} == trading & set(days)
    trading = {day_of(int(d)) for d in sessions("XETR").days}
    more = {d for d in days if is_settlement_day(sessions("XETR"), "XETR", d)} - trading
    assert {(d.month, d.day) for d in more if d.year > 2021} == {(12, 24), (12, 31)}


@pytest.mark.parametrize("exchange", ["XLON", "XSWX", "XTSE"])
def test_beyond_its_calendar_a_market_has_the_holidays_of_its_rules(exchange: str) -> None:
    """What the rules close is what the sessions close, but for holidays of one year only (jubilees, a coronation, a funeral) and,
    in Toronto, the two bank holidays on which it trades."""
    known = sessions(exchange)
    first, last = date(2009, 1, 1), date(2027, 6, 30)
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    trading = {day_of(int(d)) for d in known.days}
    by_rule = {d for d in days if is_settlement_day(None, exchange, d)}
    once = {"2011-04-29", "2012-06-04", "2012-06-05", "2020-05-04", "2020-05-08", "2022-05-30", "2022-06-02", "2022-06-03", "2022-09-19",
            "2023-05-08", "2012-05-28"}  # fmt: skip
    differ = {d.isoformat() for d in by_rule ^ (trading & set(days))}
    if exchange == "XLON":
        assert differ <= once
    elif exchange == "XTSE":
        assert {d[5:7] for d in differ} == {"09", "10", "11"}
        assert {d for d in differ if d[5:7] != "11"} == {
            "2021-09-30",
            "2022-09-30",
            "2023-10-02",
            "2024-09-30",
            "2025-09-30",
            "2026-09-30",
        }
    else:
        assert not differ


def test_every_exchange_of_the_product_has_its_market(owner: object) -> None:
    """But for XOFF, which stands for all others."""
    rows = owner.execute("SELECT exchange FROM exchanges ORDER BY 1").fetchall()  # type: ignore[attr-defined]
    assert [e for (e,) in rows if e not in MARKET_OF] == ["XOFF"]
    assert market_of("XOFF") is UNKNOWN
    assert set(MARKET_OF.values()) == set(MARKETS)


def test_what_is_no_trade_and_crypto_settle_on_their_day() -> None:
    on = date(2024, 10, 11)
    coin = Security(1, "BTC-USD", "Bitcoin", "XOFF", "USD", "Crypto")
    share = Security(2, "ACME", "Acme", "XNYS", "USD", "Equity")
    one = Decimal(1)
    assert settlement_of(Draft("deposit", on, "USD", gross=one), {}) == on
    assert settlement_of(Draft("dividend", on, "USD", share, gross=one), {}) == on
    assert settlement_of(Draft("buy", on, "USD", coin, one, one), {}) == on
    assert settlement_of(Draft("sell", on, "USD", share, one, one), {}) == date(2024, 10, 15)
    assert settlement_of(Draft("sell", on, "USD", share, one, one, settles_on=date(2024, 10, 11)), {}) == on, (
        "as it says itself"
    )


def test_the_ends_of_time_are_no_error() -> None:
    assert settlement_days("XNYS", date(1, 1, 1)) == 5
    assert settlement_date(None, "XNYS", date.max) == date.max
    assert settlement_days(None, date(2024, 1, 2)) == 0
