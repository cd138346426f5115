"""Adjusted prices: factors for splits and dividends, back-adjusted and total-return series, the symbol of a day.

For series of returns alone: a valuation takes the raw close × the units held that day (NUMBERS 6, ERRATA 13). Events are
given per day: `cash` per share in the price's currency, on the basis of the ex day (after a split of that day), and `ratios`
of splits, new units for one old. Raw closes are of their own day, not adjusted for anything that came later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.book import Action, Book
from core.fx import Rates, Series, day_number
from core.ledger import CODE, UNITS
from core.reasons import NoRate, Reason, Undefined

Reinvested = Literal["cum", "ex"]
SAME_SPLIT = 10  # days between the ex date of a split and the day it was booked at: brokers book after weekends and on pay dates
CLEAR = log(1.25)  # of a split whose day the raw closes tell
SAME_RATIO = 0.02  # how far two ratios of one split may lie apart: a file may round


def dividend_factor(close_before: float, cash: float) -> float | Reason:
    """`1 − cash / close_before`: what every price before the ex date is multiplied by for a cash dividend.

    `close_before` is the raw close of the last day with the dividend, `cash` the dividend per share in the same currency.
    Undefined where the dividend is not smaller than the price. Source: CRSP and Yahoo adjusted closes, LEAN factor files.
    """
    if not 0 <= cash < close_before:  # NaN, too
        return Undefined(
            "a dividend is paid out of the price: it must lie between zero and the close before the ex date"
        )
    return 1 - cash / close_before


def day_growth(
    close_before: float, close: float, cash: float = 0.0, ratio: float = 1.0, reinvested: Reinvested = "cum"
) -> float | Reason:
    """What 1 in the share becomes from one close to the next, the dividend reinvested. A factor, 1.01 is up 1 %.

    "cum": reinvested at the last close with the dividend, `close × ratio / (close_before − cash × ratio)`, the growth of
    Yahoo's and CRSP-style adjusted closes. "ex": reinvested at the close of the ex date,
    `(close + cash) × ratio / close_before`, the growth of Quandl WIKI's. `cash` is per share after a split of the same day.
    Undefined without a positive close before. Source: ../shared/golden, corporate_actions (Yahoo MSFT 2021, WIKI 2014).
    """
    if close_before <= 0:
        return Undefined("a growth needs a positive close before")
    if reinvested == "ex":
        return (close + cash) * ratio / close_before
    factor = dividend_factor(close_before, cash * ratio)
    return factor if isinstance(factor, Reason) else close * ratio / (close_before * factor)


def growth_of_one(
    prices: Series, cash: Mapping[int, float], ratios: Mapping[int, float], reinvested: Reinvested = "cum"
) -> Series:
    """The total-return series: what 1 at the first close has become at each close, dividends reinvested (`day_growth`).

    An event of a day without a bar counts at the next bar; one before the first or after the last bar does not count.
    NaN from the day on whose growth is undefined.
    """
    paid, split = (x[1:] for x in _by_bar(prices, cash, ratios))
    before, close = prices.values[:-1], prices.values[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        if reinvested == "ex":
            step = np.where(before > 0, (close + paid) * split / before, np.nan)
        else:
            given = paid * split
            step = np.where((before > 0) & (given >= 0) & (given < before), close * split / (before * (1 - given / before)), np.nan)
    return Series(prices.days, np.concatenate((np.ones(min(len(prices.values), 1)), np.cumprod(step))))


def back_adjusted(prices: Series, cash: Mapping[int, float], ratios: Mapping[int, float]) -> Series:
    """Closes adjusted for every later split and dividend; the last close is the raw one.

    Each close is multiplied by `dividend_factor / ratio` of every ex date after it, so that its day-to-day growth is that of
    `day_growth` with "cum": what Yahoo prints as "Adj Close". NaN before a day whose factor is undefined.
    """
    paid, split = _by_bar(prices, cash, ratios)
    close, n = prices.values, len(prices.values)
    factors = np.ones(n)
    for i in range(n - 1, 0, -1):
        factor = dividend_factor(float(close[i - 1]), float(paid[i] * split[i])) if paid[i] else 1.0
        factors[i - 1] = factors[i] * (np.nan if isinstance(factor, Reason) else factor) / split[i]
    return Series(prices.days, close * factors)


def _by_bar(
    prices: Series, cash: Mapping[int, float], ratios: Mapping[int, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cash and split ratio of every bar: 0 and 1 where nothing happened."""
    n = len(prices.days)
    paid, split = np.zeros(n), np.ones(n)
    for day, amount in cash.items():
        i = int(np.searchsorted(prices.days, day))
        if 0 < i < n:
            paid[i] += amount
    for day, ratio in ratios.items():
        i = int(np.searchsorted(prices.days, day))
        if 0 < i < n:
            split[i] *= ratio
    return paid, split


def symbol_on(valid_through: Sequence[tuple[date, str]], on: date) -> str | None:
    """The symbol under which a security traded on a day: that of the first row whose `valid_through` is not before it.

    Rows are (last day of validity, symbol) in any order; None after the last. Source: LEAN map files.
    """
    return next((symbol for last, symbol in sorted(valid_through) if last >= on), None)


def cash_and_splits(
    actions: Sequence[Action], currency: str, rates: Rates
) -> tuple[dict[int, float], dict[int, float]]:
    """Dividends per share in a security's currency and split ratios by day number: what the series above are adjusted with.

    A dividend in another currency is converted at the rate of its ex date; NaN where there is none.
    """
    cash: dict[int, float] = {}
    ratios: dict[int, float] = {}
    for a in actions:
        day = day_number(a.ex_on)
        if a.kind == "dividend" and a.amount:
            rate = rates.rate(a.currency or currency, currency, day)
            cash[day] = float("nan") if isinstance(rate, NoRate) else float(a.amount * rate)
        elif a.kind == "split" and a.ratio:
            ratios[day] = float(a.ratio)
    return cash, ratios


def splits_of(book: Book, number: int) -> dict[int, float]:
    """Every split of a security by day number, new units for one old: the feed's, and those booked that the feed does not know.

    A booked split is the feed's where its ratio is the same and its day within ten days of the ex date. Each counts once, on the
    day on which the raw closes show it: feeds and brokers may say a day nearby, and some say it twice.
    """
    _, stated = cash_and_splits(book.actions.get(number, ()), book.securities[number].currency, book.rates)
    ledger, series = book.ledger, book.prices.get(number)
    found = {shown_on(series, day, ratio): ratio for day, ratio in stated.items()}
    for row in np.flatnonzero((ledger.security == number) & (ledger.kind == CODE["split"])).tolist():
        day, ratio = int(ledger.traded_on[row]), float(ledger.ratio[row]) / UNITS
        if not any(abs(day - on) <= SAME_SPLIT and abs(ratio / r - 1) <= SAME_RATIO for on, r in stated.items()):
            found[shown_on(series, day, ratio)] = ratio
    return found


def shown_on(series: Series | None, day: int, ratio: float) -> int:
    """The day on which raw closes show a split that is said to be of `day`: another one within ten days where they did not change
    then, and changed there by its ratio. A split of less than a quarter drowns in the moves of a day: it stays where it is."""
    if series is None or ratio <= 0 or abs(log(ratio)) < CLEAR:
        return day
    at = int(np.searchsorted(series.days, day))
    low, high = np.searchsorted(series.days, (day - SAME_SPLIT, day + SAME_SPLIT + 1))
    near = np.arange(max(int(low), 1), int(high))
    if not len(near) or not 0 < at < len(series.days):
        return day
    off = np.abs(np.log(series.values[near] / series.values[near - 1]) + log(ratio))
    best, mine = int(np.argmin(off)), float(np.abs(log(series.values[at] / series.values[at - 1]) + log(ratio)))
    half = abs(log(ratio)) / 2
    return int(series.days[near[best]]) if mine > half > float(off[best]) else day
