"""The one series of a security: total return, adjusted for splits and dividends, over all its bars, in the currency asked for.

Whatever speaks of a security's or a benchmark's return, risk, beta, drawdown or move of a day asks here. Raw closes are for
valuations and tables of prices alone (NUMBERS 6). Splits are those that the feed knows and those that were booked, each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.book import Book
from core.calendar import Sessions, due_days
from core.fx import Series
from core.ledger import CODE, MICRO, UNITS
from core.prices import SAME_SPLIT, cash_and_splits, growth_of_one, splits_of
from core.return_series import ReturnSeries, of_levels
from core.valuation import lots_of

Floats = NDArray[np.float64]
Days = NDArray[np.int32]
SAME_DIVIDEND = 45  # days between the ex date and the day it was booked at: it is paid weeks later
EMPTY = Series(np.empty(0, np.int32), np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class AssetSeries:
    """One security's closes and what 1 in it became, at n days with a price. Arrays of shape (n,).

    `close`: raw, in the security's currency. `total`: growth of 1 with dividends reinvested, in `currency`. `price`: the same
    without dividends, splits adjusted. NaN on days before the first exchange rate. `dividends`: whether any is known: without
    one, `total` is a price return.
    """

    currency: str
    days: Days
    close: Floats
    total: Floats
    price: Floats
    dividends: bool

    @property
    def what(self) -> str:
        """ "total return" or "price return", as reports say it."""
        return "total return" if self.dividends else "price return"

    def upto(self, day: int) -> AssetSeries:
        """Without what came after a day."""
        n = int(np.searchsorted(self.days, day, side="right"))
        if n == len(self.days):
            return self
        return AssetSeries(self.currency, self.days[:n], self.close[:n], self.total[:n], self.price[:n], self.dividends)


def dividends_of(book: Book, number: int) -> dict[int, float]:
    """Every cash dividend of a security by day number, per share in its currency: the feed's, and those booked that it does not know.

    A booked one is per share of the units held when its day opened, and counts on the day it was booked at.
    """
    currency = book.securities[number].currency
    cash, _ = cash_and_splits(book.actions.get(number, ()), currency, book.rates)
    known, ledger = dict(cash), book.ledger
    rows = np.flatnonzero((ledger.security == number) & (ledger.kind == CODE["dividend"]) & (ledger.gross > 0))
    if not len(rows):
        return known
    moves = lots_of(book, int(ledger.traded_on[-1])).moves
    mine = moves.security == number
    days, delta = moves.day[mine], moves.delta[mine].astype(np.float64) / UNITS
    for row in rows.tolist():
        day = int(ledger.traded_on[row])
        if any(0 <= day - on <= SAME_DIVIDEND or 0 < on - day <= SAME_SPLIT for on in cash):
            continue
        units = float(delta[days < day].sum())
        rate = book.rates.column(ledger.currencies[int(ledger.currency[row])], currency, ledger.traded_on[row : row + 1])[0]
        if units > 0:
            known[day] = known.get(day, 0.0) + float(ledger.gross[row]) / MICRO * float(rate) / units
    return known


def asset_series(book: Book, number: int, currency: str | None = None) -> AssetSeries:
    """The series of a security of the Book over all its bars, in `currency` (None: its own). Empty where it has no bar.

    Growth from close to close is `core.prices.day_growth` with dividends reinvested at the last close with the dividend (CRSP,
    Yahoo), times the change of the exchange rate. Kept with the Book.
    """
    security = book.securities[number]
    wanted = currency or security.currency
    key = (wanted, book.actions.get(number, ()))
    return book.of_security(f"series in {wanted}", number, key, partial(_series, book, number, wanted))


def _series(book: Book, number: int, wanted: str) -> AssetSeries:
    raw, own = book.prices.get(number, EMPTY), book.securities[number].currency
    dividends, splits = dividends_of(book, number), splits_of(book, number)
    fx = book.rates.column(own, wanted, raw.days)
    if len(fx):
        fx = fx / (fx[np.isfinite(fx)][0] if np.isfinite(fx).any() else 1.0)
    between = {day: cash for day, cash in dividends.items() if len(raw.days) and raw.days[0] < day <= raw.days[-1]}
    price = growth_of_one(raw, {}, splits).values * fx
    total = growth_of_one(raw, between, splits).values * fx if between else price
    return AssetSeries(wanted, raw.days, raw.values, total, price, bool(between))


def with_quote(series: AssetSeries, book: Book, number: int, day: int, price: float) -> AssetSeries:
    """The series with a live price as the close of a day that is its last or a later one."""
    n = len(series.days)
    if n and day < int(series.days[-1]):
        return series
    if not n:
        rate = float(book.rates.column(book.securities[number].currency, series.currency, np.array([day], np.int32))[0])
        one = np.array([1.0 if np.isfinite(rate) else np.nan])
        return AssetSeries(series.currency, np.array([day], np.int32), np.array([price]), one, one, False)
    keep = n - 1 if day == int(series.days[-1]) else n
    if not keep:
        return AssetSeries(series.currency, series.days, np.array([price]), series.total, series.price, series.dividends)
    before = int(series.days[keep - 1])
    bars = Series(np.array([before, day], np.int32), np.array([series.close[keep - 1], price]))
    splits = {d: r for d, r in splits_of(book, number).items() if before < d <= day}
    cash = {d: c for d, c in dividends_of(book, number).items() if before < d <= day}
    fx = book.rates.column(book.securities[number].currency, series.currency, bars.days)
    step = fx[1] / fx[0]

    def added(levels: Floats, paid: dict[int, float]) -> Floats:
        return np.append(levels[:keep], levels[keep - 1] * growth_of_one(bars, paid, splits).values[-1] * step)

    return AssetSeries(series.currency, np.append(series.days[:keep], np.int32(day)), np.append(series.close[:keep], price), added(series.total, cash),
                       added(series.price, {}), series.dividends or bool(cash))  # fmt: skip


def on_grid(series: AssetSeries, sessions: Sessions | None, base: int, days: Days) -> ReturnSeries:
    """Total returns of a security on a grid of days, from the close of day `base` on.

    A day on which its exchange is closed is no session of it, with a return of zero; a session without a price is a hole. A base
    without a price starts from the last one before it.
    """
    grid = np.concatenate(([base], days)).astype(np.int32)
    level, of = Series(series.days, series.total).on_days(grid)
    due = due_days(sessions, grid)
    return of_levels(level, due[1:] == days, (of >= due)[1:])


def own_grid(series: AssetSeries, sessions: Sessions | None, base: int, last: int) -> Days:
    """The sessions of a security's exchange after day `base` up to its last price at or before `last`.

    Where no calendar reaches, each day with a price is one, and the weekdays of a gap of five days or more are.
    """
    days = series.days[(series.days > base) & (series.days <= last)]
    begins = int(sessions.days[0]) if sessions is not None and len(sessions.days) else None
    if sessions is None or begins is None or not len(days):
        return _with_gaps(days)
    known = sessions.between(max(base + 1, begins), int(days[-1]))
    if days[0] >= begins and len(known) and known[-1] == days[-1]:
        return known
    return np.union1d(np.concatenate((_with_gaps(days[days < begins]), days[-1:])), known).astype(np.int32)


def _with_gaps(days: Days) -> Days:
    """The days, and the weekdays of every gap of five days or more between two of them."""
    gaps = np.flatnonzero(np.diff(days) > 4)
    missing = [np.arange(days[i] + 1, days[i + 1]) for i in gaps.tolist()]
    weekdays = [m[(m + 3) % 7 < 5] for m in missing]  # 1970-01-01 was a Thursday
    return np.union1d(days, np.concatenate(weekdays)).astype(np.int32) if weekdays else days
