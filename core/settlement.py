"""When a trade settles: the settlement cycle of every market by date, and the days on which it settles, which are not its sessions.

Every market is a row of MARKETS, every exchange a word in MARKET_OF. To add an exchange, name it there; to add a market, give it
its cycles and the days on which its banks or its depository are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from dateutil.easter import easter

from core.calendar import Sessions
from core.fx import day_number
from core.ledger import TRADES, Draft

MONDAY, TUESDAY, THURSDAY, SATURDAY, SUNDAY = 0, 1, 3, 5, 6
_BEGIN, _NEVER = date.min, date.max
_EUROPE_T2, _EUROPE_T1 = date(2014, 10, 6), date(2027, 10, 11)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Market:
    """How trades of one market settle.

    `cycles`: (first trade date, settlement days between trade and settlement), ascending. `closed`: the days of a year without
    settlement that are not a weekend; where the sessions of the exchange are known they close more days (moon holidays, royal
    ones, typhoons). From `own_days` on the sessions say nothing: the market settles on days without trading.
    """

    name: str
    cycles: tuple[tuple[date, int], ...]
    closed: Callable[[int], frozenset[date]]
    own_days: date = _NEVER


# --- days without settlement ---------------------------------------------------------------------------------------------


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th Monday (…) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday(year: int, month: int) -> date:
    fifth = _nth(year, month, MONDAY, 5)
    return fifth if fifth.month == month else fifth - timedelta(days=7)


def _or_monday(on: date) -> date:
    """The day itself, or the Monday after its weekend."""
    return on + timedelta(days=max(0, 7 - on.weekday())) if on.weekday() >= SATURDAY else on


def _christmas(year: int) -> set[date]:
    """25 and 26 December with the weekdays that stand in for them where they fall on a weekend."""
    instead = {3: (25, 26), 4: (25, 28), 5: (27, 28), 6: (26, 27)}  # by the weekday of the 25th
    return {date(year, 12, d) for d in instead.get(date(year, 12, 25).weekday(), (25, 26))}


def _good_friday(year: int) -> date:
    friday: date = easter(year) - timedelta(days=2)
    return friday


def _easter_days(year: int) -> set[date]:
    """Good Friday and Easter Monday."""
    return {_good_friday(year), easter(year) + _DAY}


def _united_states(year: int) -> frozenset[date]:
    """Holidays of the Federal Reserve Banks, and those of the exchanges on which the banks are open.

    A bank holiday on a Sunday is observed on Monday; one on a Saturday is not observed on Friday by the Reserve Banks, but by the
    exchanges (not New Year's Day). Columbus and Veterans Day, and before 1998 Martin Luther King Day, are sessions.
    """
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    fixed += [date(year, 6, 19)] if year >= 2022 else []
    closed = {on + _DAY if on.weekday() == SUNDAY else on for on in fixed}
    closed |= {on - _DAY for on in fixed if on.weekday() == SATURDAY and on.month in (6, 7, 12)}
    closed |= {_nth(year, 1, MONDAY, 3)} if year >= 1986 else set()
    closed |= {_nth(year, 2, MONDAY, 3), _last_monday(year, 5), _nth(year, 9, MONDAY, 1), _nth(year, 10, MONDAY, 2)}
    return frozenset(closed | {_nth(year, 11, THURSDAY, 4), _good_friday(year)})


def _canada(year: int) -> frozenset[date]:
    """Holidays of the banks and of the Toronto exchange. Truth and Reconciliation Day (since 2021) and Remembrance Day are sessions."""
    closed = {_or_monday(date(year, month, day)) for month, day in ((1, 1), (7, 1), (11, 11))}
    closed |= {_or_monday(date(year, 9, 30))} if year >= 2021 else set()
    closed |= {_nth(year, 2, MONDAY, 3)} if year >= 2008 else set()
    before_25_may = date(year, 5, 24) - timedelta(days=date(year, 5, 24).weekday())
    closed |= {before_25_may, _nth(year, 8, MONDAY, 1), _nth(year, 9, MONDAY, 1), _nth(year, 10, MONDAY, 2)}
    return frozenset(closed | {_good_friday(year)} | _christmas(year))


def _united_kingdom(year: int) -> frozenset[date]:
    """Bank holidays of England and Wales, without those of a single year: they are missing from the sessions."""
    closed = {_or_monday(date(year, 1, 1)), _nth(year, 5, MONDAY, 1), _last_monday(year, 5), _last_monday(year, 8)}
    return frozenset(closed | _easter_days(year) | _christmas(year))


def _target(year: int) -> frozenset[date]:
    """Closing days of TARGET, the euro's settlement system, which began in 1999."""
    if year < 1999:
        return frozenset()
    closed = {date(year, 1, 1), date(year, 12, 25)}
    if year in (1999, 2001):
        closed.add(date(year, 12, 31))
    return frozenset(closed if year == 1999 else closed | {date(year, 5, 1), date(year, 12, 26)} | _easter_days(year))


def _europe(year: int) -> frozenset[date]:
    """What every European market outside the euro has in common; the rest its sessions know."""
    return frozenset({date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)} | _easter_days(year))


def _switzerland(year: int) -> frozenset[date]:
    """Days without exchange and clearing at SIX."""
    fixed = {
        date(year, month, day)
        for month, day in ((1, 1), (1, 2), (5, 1), (8, 1), (12, 24), (12, 25), (12, 26), (12, 31))
    }
    return frozenset(
        fixed | _easter_days(year) | {easter(year) + timedelta(days=39), easter(year) + timedelta(days=50)}
    )


def _japan(year: int) -> frozenset[date]:
    """The turn of the year; the national holidays its sessions know."""
    return frozenset(date(year, month, day) for month, day in ((1, 1), (1, 2), (1, 3), (12, 31)))


def _australia(year: int) -> frozenset[date]:
    """National holidays, and up to 2016 those of Sydney's and Melbourne's banks, which are sessions."""
    closed = {_or_monday(date(year, 1, 1)), _or_monday(date(year, 1, 26)), date(year, 4, 25), _nth(year, 6, MONDAY, 2)}
    if year <= 2016:
        closed |= {
            _nth(year, 3, MONDAY, 2),
            _nth(year, 8, MONDAY, 1),
            _nth(year, 10, MONDAY, 1),
            _nth(year, 11, TUESDAY, 1),
        }
    return frozenset(closed | _easter_days(year) | _christmas(year))


def _hong_kong(year: int) -> frozenset[date]:
    """Holidays of the sun's calendar; those of the moon's its sessions know."""
    fixed = {date(year, month, day) for month, day in ((1, 1), (5, 1), (7, 1), (10, 1), (12, 25), (12, 26))}
    return frozenset(fixed | _easter_days(year))


def _none(year: int) -> frozenset[date]:
    """No more than the weekends."""
    return frozenset()


# --- the markets ---------------------------------------------------------------------------------------------------------

# Sources. US: SEC releases 33-7022 (T+3), 34-80295 (T+2), 34-96930 (T+1); NASD and FINRA trade date–settlement date schedules (95-77:
# Columbus Day "will not be a settlement date"); DTCC on 2 January 2007, 29 October 2012 and 5 December 2018: it settles on days on
# which the exchanges are closed for a storm or in mourning. Canada: TMX notices 2022-021 (30 September "a banking holiday only … a
# non-settlement day") and 2023-045 (T+1). EU and UK: CSDR and its amendment of October 2025 (T+1); London T+3 on 5 February 2001 (CRESTCo). Germany had T+2 before
# 2014 and settles on 24 and 31 December (Deutsche Börse, 26 November 2025); Spain kept T+3 for shares until October 2016 (BME).
# Switzerland: SIX, "exchange days are also clearing days". Japan: JPX (T+2). Australia: ASX (T+2; local holidays count since 2017).
# Hong Kong: HKEX (CCASS, 24 June 1992).
MARKETS: Mapping[str, Market] = {
    "US": Market("the United States", ((_BEGIN, 5), (date(1995, 6, 7), 3), (date(2017, 9, 5), 2), (date(2024, 5, 28), 1)), _united_states, _BEGIN),
    "CA": Market("Canada", ((_BEGIN, 5), (date(1995, 6, 7), 3), (date(2017, 9, 5), 2), (date(2024, 5, 27), 1)), _canada),
    "UK": Market("the United Kingdom", ((_BEGIN, 5), (date(2001, 2, 5), 3), (_EUROPE_T2, 2), (_EUROPE_T1, 1)), _united_kingdom),
    "EU": Market("the euro area", ((_BEGIN, 3), (_EUROPE_T2, 2), (_EUROPE_T1, 1)), _target, date(2017, 2, 6)),
    "DE": Market("Germany", ((_BEGIN, 2), (_EUROPE_T1, 1)), _target, date(2017, 2, 6)),
    "ES": Market("Spain", ((_BEGIN, 3), (date(2016, 10, 3), 2), (_EUROPE_T1, 1)), _target, date(2017, 9, 18)),
    "EEA": Market("Europe outside the euro", ((_BEGIN, 3), (_EUROPE_T2, 2), (_EUROPE_T1, 1)), _europe),
    "CH": Market("Switzerland", ((_BEGIN, 3), (_EUROPE_T2, 2), (_EUROPE_T1, 1)), _switzerland),
    "JP": Market("Japan", ((_BEGIN, 3), (date(2019, 7, 16), 2)), _japan),
    "AU": Market("Australia", ((_BEGIN, 5), (date(1999, 2, 1), 3), (date(2016, 3, 7), 2)), _australia),
    "HK": Market("Hong Kong", ((_BEGIN, 1), (date(1992, 6, 24), 2)), _hong_kong),
}  # fmt: skip
UNKNOWN = Market("an exchange whose market is not known", ((_BEGIN, 2),), _none)  # T+2 on weekdays, or on its sessions
MARKET_OF: Mapping[str, str] = {
    **dict.fromkeys(("XNYS", "XNAS", "XASE", "ARCX", "BATS", "IEXG"), "US"),
    **dict.fromkeys(("XTSE", "XTSX", "XCNQ", "NEOE"), "CA"),
    "XLON": "UK",
    **dict.fromkeys(("XPAR", "XAMS", "XBRU", "XLIS", "XMIL", "XDUB", "XWBO", "XHEL", "XATH", "XLUX"), "EU"),
    **dict.fromkeys(("XETR", "XFRA", "XSTU", "XMUN", "XDUS", "XHAM", "XHAN", "XBER", "XGAT"), "DE"),
    **dict.fromkeys(("XMAD", "XBAR"), "ES"),
    **dict.fromkeys(("XWAR", "XSTO", "XCSE", "XOSL", "XICE", "XPRA", "XBUD"), "EEA"),
    **dict.fromkeys(("XSWX", "XBRN"), "CH"),
    **dict.fromkeys(("XTKS", "XJPX", "XNGO", "XSAP", "XFKA"), "JP"),
    "XASX": "AU",
    "XHKG": "HK",
}


def market_of(exchange: str) -> Market:
    """The market of an exchange (its ISO 10383 code); UNKNOWN where there is none."""
    return MARKETS[MARKET_OF[exchange]] if exchange in MARKET_OF else UNKNOWN


@lru_cache(maxsize=4096)
def _closed(exchange: str, year: int) -> frozenset[date]:
    return market_of(exchange).closed(year)


def settlement_days(exchange: str | None, traded_on: date) -> int:
    """How many settlement days lie between a trade of that day and its settlement; 0 where it is no trade on an exchange."""
    if exchange is None:
        return 0
    return next(days for since, days in reversed(market_of(exchange).cycles) if traded_on >= since)


def is_settlement_day(sessions: Sessions | None, exchange: str, on: date) -> bool:
    """Whether trades of an exchange settle on a day. `sessions`: its own, None where they are not known; they count where the
    market settles on its sessions only and they reach that far."""
    if on.weekday() >= SATURDAY or on in _closed(exchange, on.year):
        return False
    day = day_number(on)
    if on >= market_of(exchange).own_days or sessions is None or not len(sessions.days):
        return True
    return sessions.is_session(day) or not int(sessions.days[0]) <= day <= int(sessions.days[-1])


def settlement_date(sessions: Sessions | None, exchange: str | None, traded_on: date) -> date:
    """Trade date + the cycle in force that day, counted in settlement days of the exchange's market."""
    left, on = settlement_days(exchange, traded_on), traded_on
    while left and on < date.max:
        on += _DAY
        left -= exchange is not None and is_settlement_day(sessions, exchange, on)
    return on


def settlement_of(draft: Draft, sessions: Mapping[str, Sessions]) -> date:
    """When an entry settles: as it says itself, a trade by the calendar of its exchange, all else and crypto on its day."""
    if draft.settles_on is not None:
        return draft.settles_on
    security = draft.security if draft.kind in TRADES else None
    exchange = None if security is None or security.asset_class == "Crypto" else security.exchange
    return settlement_date(sessions.get(exchange or ""), exchange, draft.traded_on)
