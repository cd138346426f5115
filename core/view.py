"""View: one reader's look at a Book. What several reports need is computed once here; what does not depend on the live
quotes is kept with the Book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.asset_returns import AssetSeries, asset_series, on_grid, own_grid, with_quote
from core.book import Book, Quote
from core.fx import day_number, day_of
from core.ledger import MICRO
from core.lots import Lots
from core.metrics.registry import Answer
from core.metrics.series import per_period
from core.reasons import (
    MisbookedSplit,
    NegativeBase,
    NoBenchmark,
    NoPrice,
    NoRate,
    NoShare,
    Reason,
    ShorterHistory,
    SpansHole,
    TooFewObservations,
    UnbookedSplit,
)
from core.return_series import ReturnSeries, of_values, paired
from core.returns import (
    Flows,
    Period,
    annualised,
    at_work,
    average_capital,
    link,
    modified_dietz,
    money_weighted,
    period_start,
    timed,
)
from core.risk_figures import OF_A_SECURITY, Measured, figures, measured
from core.scope import Scope
from core.unbooked import Unbooked, checked, unbooked_splits, unsound_from
from core.valuation import (
    History,
    Valuation,
    cash_of,
    flows_of,
    history,
    lots_of,
    price_at,
    quote_day,
    units_by_day,
    unsettled_cash,
    value,
)

# what the reader calls a period, and what `period_start` calls it
PERIOD_NAMES: dict[str, Period] = {
    "1D": "day",
    "1W": "1W",
    "MTD": "MTD",
    "1M": "1M",
    "QTD": "QTD",
    "3M": "3M",
    "YTD": "YTD",
    "1Y": "1Y",
    "3Y": "3Y",
    "5Y": "5Y",
    "ALL": "inception",
}


@dataclass(frozen=True, slots=True)
class Span:
    """One period's outcome in the base currency, not rounded. change = net_flow + gain; `twr` is time-weighted (NUMBERS 7), `mwr`
    money-weighted, `dietz` Modified Dietz, none of them annualised; `annual` and `mwr_annual` are per year, from a year on.

    `flows` are dated in days since `start`; deposits positive.
    """

    start: date
    start_value: float
    end_value: float
    net_flow: float
    gain: float
    twr: float | Reason
    annual: float | Reason
    benchmark: float | Reason
    days: int
    first: int  # the place of its first day in the daily series
    flows: Flows
    lacking: Reason | None  # why a value or a flow of the period is not known; no return is then

    @property
    def mwr(self) -> float | Reason:
        """Money-weighted: XIRR carried to the length of the period (`returns.money_weighted`)."""
        return self.lacking or money_weighted(self.start_value, self.end_value, self.flows, self.days)

    @property
    def mwr_annual(self) -> float | Reason:
        """The XIRR itself: money-weighted, effective per year."""
        first, last = at_work(self.start_value, self.end_value, self.flows, self.days)
        return per_year(self.mwr, int(last - first))

    @property
    def timed(self) -> list[tuple[float, float]]:
        """The flows as Modified Dietz weighs them."""
        return timed([f for f in self.flows if f[1] > 0], [(on, -amount) for on, amount in self.flows if amount < 0])

    @property
    def capital(self) -> float:
        """The average capital of Modified Dietz: what contributions are measured on."""
        return average_capital(self.start_value, self.timed, self.days)

    @property
    def dietz(self) -> float | Reason:
        """Modified Dietz: gain / average capital."""
        return self.lacking or modified_dietz(self.start_value, self.end_value, self.timed, self.days)

    @property
    def active(self) -> float | Reason:
        """Return less benchmark, the arithmetic difference."""
        if isinstance(self.twr, Reason):
            return self.twr
        return self.benchmark if isinstance(self.benchmark, Reason) else self.twr - self.benchmark


def per_year(total: float | Reason, days: int) -> float | Reason:
    """A total per year, or why there is none."""
    return total if isinstance(total, Reason) else annualised(total, days)


class View:
    """A Book seen at `scope.as_of` (None: now, with the live quotes; at a past `known_at` the day of that time, without them).

    Everything in the portfolio's base currency.
    """

    def __init__(
        self, book: Book, scope: Scope, quotes: Mapping[int, Quote], now: datetime, coverage_limit: float = 0.98
    ) -> None:
        self.book, self.scope, self.coverage_limit = book, scope, coverage_limit
        moment = now if scope.known_at is None else min(now, scope.known_at)  # nothing later was known
        today = day_number(moment.astimezone(UTC).date())
        self.as_of = today if scope.as_of is None else min(day_number(scope.as_of), today)
        self.live = self.as_of == today and scope.known_at is None
        at_its_end = datetime.combine(day_of(self.as_of) + timedelta(days=1), datetime.min.time(), UTC)
        self.now = moment if self.as_of == today else at_its_end
        self.quotes: Mapping[int, Quote] = quotes if self.live else {}
        self._rates: dict[str, NDArray[np.float64]] = {}
        self._series: dict[tuple[object, int], ReturnSeries] = {}
        self._assets: dict[tuple[int, str], AssetSeries] = {}
        self._measured: dict[int, Measured] = {}  # of securities by their number; of the portfolio by −1 − its first day
        self._beside: dict[tuple[int, bytes], ReturnSeries] = {}

    @property
    def base(self) -> str:
        """The base currency."""
        return self.book.base

    @property
    def on(self) -> date:
        """The date looked at."""
        return day_of(self.as_of)

    @property
    def unbooked_splits(self) -> tuple[Unbooked, ...]:
        """Splits that the feeds know and the ledger does not have, or has otherwise; dividends too: `core.unbooked.unbooked`."""
        return unbooked_splits(self.book, self.as_of)

    @property
    def wrong_units(self) -> UnbookedSplit | MisbookedSplit | None:
        """The first split because of which units, and with them value and returns, are wrong now; None where they are right."""
        return next((f.reason for f in self.unbooked_splits if f.is_unsound), None)

    @cached_property
    def valuation(self) -> Valuation:
        """Exact, to the cent; not complete while a split of what was held is not booked."""
        return checked(value(self.book, self.as_of, self.quotes, self.now, self.coverage_limit), self.unbooked_splits)

    @cached_property
    def unsettled_cash(self) -> dict[str, tuple[Decimal, Decimal]]:
        """By currency what is to be received and what is to be paid of the cash by trade date (`valuation.unsettled_cash`)."""
        return unsettled_cash(self.book, self.as_of)

    @cached_property
    def settled_cash(self) -> dict[str, Decimal]:
        """Cash by currency and settlement date: `valuation.cash` without what has not settled."""
        none = Decimal(0), Decimal(0)
        return {
            currency: amount - self.unsettled_cash.get(currency, none)[0] + self.unsettled_cash.get(currency, none)[1]
            for currency, amount in self.valuation.cash.items()
        }

    @cached_property
    def lots(self) -> Lots:
        """Open lots and disposals up to the date looked at."""
        return lots_of(self.book, self.as_of)

    @cached_property
    def end_day(self) -> int:
        """The last day of the daily series: the session that is open or was the last to open; the day looked at where something was
        booked, priced or exchanged at a new rate since: a past day's value never depends on the day it is asked at."""
        ledger = self.book.ledger.upto(self.as_of)
        sessions = self.book.sessions.get(self.book.main_exchange)
        i = sessions.current(self.now) if sessions is not None else None
        session = self.as_of if sessions is None or i is None else min(int(sessions.days[i]), self.as_of)
        if len(ledger) and int(ledger.traded_on[-1]) > session:
            return self.as_of
        newer = [p.priced_on for p in self.valuation.positions if p.priced_on is not None]
        for currency in {p.security.currency for p in self.valuation.positions} | set(self.valuation.cash) - {self.base}:
            newer += [found[0] for name in (currency, self.base) if (series := self.book.rates.series.get(name)) is not None
                      and currency != self.base and (found := series.at(self.as_of)) is not None]  # fmt: skip
        return self.as_of if max(newer, default=session) > session else session

    @cached_property
    def past(self) -> History:
        """Daily values from bars; the last day may still lack its own (see `total`)."""
        return history(self.book, self.end_day)

    @cached_property
    def days(self) -> NDArray[np.int32]:
        """Day numbers of the daily series."""
        return self.past.days

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """Value at the end of each day; the last is the valuation of now, not rounded."""
        total = self.past.total
        if len(total):
            total = total.copy()
            total[-1] = float(self.valuation.exact)
        return total

    @cached_property
    def last_values(self) -> NDArray[np.float64]:
        """Value of each security of `past.securities` now."""
        now = {p.security.security_id: float(p.value_base or 0) for p in self.valuation.positions}
        return np.array([now.get(s, 0.0) for s in self.past.securities])

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """The share of each day's value that has a price of its session."""
        coverage = self.past.coverage.copy()
        if len(coverage):
            coverage[-1] = self.valuation.coverage
        return coverage

    # --- returns ---

    def own(self, i: int = 0) -> ReturnSeries:
        """The portfolio's time-weighted returns from the i-th day of the series on, spanned over days whose value is not sound."""
        if ("own", i) not in self._series:
            opening = float(settled(self.total[i - 1 : i])[0]) if i else 0.0
            sound = self.coverage[i:] >= self.coverage_limit
            values = settled(self.total[i:])
            own = of_values(values, self.past.inflow[i:], self.past.outflow[i:], opening, self.past.session[i:], sound)
            if (wrong_from := unsound_from(self.unbooked_splits)) is not None:  # the last day, too
                own = own.over(own.valued & (self.days[i:] < wrong_from))
            self._series["own", i] = own
        return self._series["own", i]

    def of_benchmark(self, i: int = 0) -> ReturnSeries | None:
        """The benchmark's total returns in the base currency over the same days; None where there is none."""
        number = self.book.portfolio.benchmark_id
        if number is None or number not in self.book.securities or number not in self.book.prices or not len(self.days):
            return None
        return self.of_asset(number, i)

    def of_asset(self, number: int, i: int = 0) -> ReturnSeries:
        """A security's total returns in the base currency over the days of the series from the i-th on."""
        if (number, i) not in self._series:
            sessions = self.book.sessions.get(self.book.securities[number].exchange)
            base = int(self.days[i - 1]) if i else self._day_before_first()
            self._series[number, i] = on_grid(self.asset(number), sessions, base, self.days[i:])
        return self._series[number, i]

    def asset(self, number: int, currency: str | None = None) -> AssetSeries:
        """The series of a security up to the date looked at, its live quote last: in the base currency, or another one."""
        wanted = currency or self.base
        if (number, wanted) not in self._assets:
            found = asset_series(self.book, number, wanted).upto(self.as_of)
            now = price_at(self.book, number, self.as_of, self.quotes)
            if number in self.quotes and now is not None:
                found = with_quote(found, self.book, number, now.on, float(now.price))
            self._assets[number, wanted] = found
        return self._assets[number, wanted]

    def price_return(self, number: int, i: int) -> float | None:
        """What the price of a security did from the i-th day of the series on, in its currency, adjusted for splits; None without a price
        to start from. From its first price where it begins later."""
        series = self.asset(number, self.book.securities[number].currency)
        base = int(self.days[i - 1]) if i else self._day_before_first()
        first, last = int(np.searchsorted(series.days, base, side="right")) - 1, len(series.days) - 1
        if last < 0 or int(series.days[last]) <= base:
            return None if last < 0 else 0.0
        return float(series.price[last] / series.price[max(first, 0)] - 1)

    @property
    def returns(self) -> NDArray[np.float64]:
        """The portfolio's linked returns on the days of the series; NaN on days without a sound value or without capital."""
        return self.own().linked

    @property
    def sound_returns(self) -> NDArray[np.float64]:
        """Its one-day returns: NaN in a hole and at its end."""
        return self.own().daily

    @property
    def benchmark_returns(self) -> NDArray[np.float64] | None:
        """The benchmark's one-day returns on the same days, in the base currency; None where there is none."""
        found = self.of_benchmark()
        return None if found is None else found.daily

    # --- risk ---

    @cached_property
    def lookback_from(self) -> int:
        """The place of the first day of the look-back in the daily series; 0 where the portfolio is younger."""
        base = self.base_day(self.scope.lookback)
        return int(np.searchsorted(self.days, base, side="right")) if isinstance(base, int) else 0

    @property
    def measured(self) -> Measured:
        """The series that the portfolio's figures of risk are made of."""
        return self.measured_from(self.lookback_from)

    def measured_from(self, i: int) -> Measured:
        """The same from the i-th day of the series on."""
        if -i - 1 not in self._measured:
            self._measured[-i - 1] = self._measure(i)
        return self._measured[-i - 1]

    def _measure(self, i: int) -> Measured:
        base = int(self.days[i - 1]) if i else int(self.days[0]) - 1
        return measured(self.days[i:], self.own(i), self.days, self.own(), int(self.days[-1]) - base, self.of_benchmark(i), self.risk_free(self.days[i:]),
                        self._whole_benchmark())  # fmt: skip

    def _whole_benchmark(self) -> tuple[NDArray[np.int32], ReturnSeries] | None:
        """The benchmark over all its bars, before the portfolio began too: days and returns."""
        number = self.book.portfolio.benchmark_id
        if number is None or number not in self.book.securities or not len(self.asset(number).days):
            return None
        series, sessions = self.asset(number), self.book.sessions.get(self.book.securities[number].exchange)
        first, last = int(series.days[0]), int(series.days[-1])
        days = own_grid(series, sessions, first, last)
        return days, on_grid(series, sessions, first, days)

    def measured_asset(self, number: int) -> Measured:
        """The series that a security's figures of risk are made of: all its bars of the look-back, in the base currency, held or not."""
        if number not in self._measured:
            series, book = self.asset(number), self.book
            last = int(series.days[-1]) if len(series.days) else self.as_of
            first = int(series.days[0]) if len(series.days) else self.as_of
            base = max(day_number(period_start(self.on, PERIOD_NAMES[self.scope.lookback], day_of(first))), first)
            sessions = book.sessions.get(book.securities[number].exchange)
            grid = own_grid(series, sessions, base, last)
            bench, theirs = book.portfolio.benchmark_id, None
            if bench is not None and bench in book.securities and bench in book.prices:
                at = (base, grid.tobytes())
                if at not in self._beside:  # most securities have the same sessions
                    self._beside[at] = on_grid(self.asset(bench), book.sessions.get(book.securities[bench].exchange), base, grid)
                theirs = self._beside[at]
            all_days = own_grid(series, sessions, first, last)
            own, whole = on_grid(series, sessions, base, grid), on_grid(series, sessions, first, all_days)
            self._measured[number] = measured(grid, own, all_days, whole, last - base, theirs, self.risk_free(grid))
        return self._measured[number]

    @cached_property
    def asset_figures(self) -> Mapping[int, Mapping[str, Answer]]:
        """The figures of risk of every open position (`OF_A_SECURITY`), by security."""
        numbers = [p.security.security_id for p in self.valuation.positions]
        return {number: figures(OF_A_SECURITY, self.measured_asset(number)) for number in numbers}

    def risk_free(self, days: NDArray[np.int32]) -> NDArray[np.float64]:
        """The risk-free rate a session on each of some days, in the base currency; 0 where no rate is known."""
        series = self.book.risk_free.get(self.base)
        if series is None or not len(series.days):
            return np.zeros(len(days))
        return per_period(np.nan_to_num(series.on_days(days)[0]))

    @property
    def risk_free_said(self) -> str:
        """Which risk-free rate ratios use, in words."""
        series = self.book.risk_free.get(self.base)
        found = None if series is None else series.at(self.as_of)
        if series is None or found is None:
            return f"risk-free rate 0 %: none is known for {self.base}"
        if len(series.days) == 1:
            return f"risk-free rate {found[1]:.2%} a year"
        return f"risk-free rate of each day, {found[1]:.2%} a year on {day_of(found[0])}"

    def _day_before_first(self) -> int:
        sessions = self.book.sessions.get(self.book.main_exchange)
        found = sessions.last_on_or_before(int(self.days[0]) - 1) if sessions is not None else None
        return int(self.days[0]) - 1 if found is None else found

    def base_day(self, period: str) -> int | Reason:
        """The day whose close a period starts from; ShorterHistory where the portfolio is younger."""
        if not len(self.days):
            return TooFewObservations(0, 1)
        first = int(self.days[0])
        if period == "1D":
            return self._close_before()
        if period == "ALL":
            return first - 1
        name = PERIOD_NAMES.get(period, cast("Period", period))
        start = period_start(day_of(int(self.days[-1])), name, day_of(first))
        return day_number(start) if day_number(start) >= first - 1 else ShorterHistory(day_of(first), start)

    def _close_before(self) -> int:
        """The day whose close a day's change starts from: of the session before the last one; of the last one where prices came since."""
        open_days = self.days[self.past.session]
        if len(open_days) and int(open_days[-1]) < int(self.days[-1]):
            newest = max((p.priced_on or 0 for p in self.valuation.positions), default=0)
            open_days = np.append(open_days, self.days[-1]) if newest > int(open_days[-1]) else open_days
        return int(open_days[-2]) if len(open_days) > 1 else int(self.days[0]) - 1

    def within(self, period: str) -> NDArray[np.bool_]:
        """Which days of the series belong to a period; all of them where the portfolio is younger."""
        base = self.base_day(period)
        return self.days > base if isinstance(base, int) else np.ones(len(self.days), np.bool_)

    def span(self, period: str) -> Span | Reason:
        """One period's values, flows, gain and returns; a reason where the portfolio is younger than the period."""
        base = self.base_day(period)
        if not isinstance(base, int):
            return base
        inside = self.days > base
        if not inside.any():
            return TooFewObservations(0, 1)
        i = int(np.argmax(inside))
        start_value = float(settled(self.total[i - 1 : i])[0]) if i else 0.0
        flow = float((self.past.inflow[i:] - self.past.outflow[i:]).sum())
        end_value = float(self.valuation.exact)
        lacking = self.lacking(i)
        total = lacking or self.time_weighted(i)
        length = int(self.days[-1]) - base
        return Span(
            day_of(base),
            start_value,
            end_value,
            flow,
            end_value - start_value - flow,
            total,
            per_year(total, length),
            self.benchmark_over(i),
            length,
            i,
            self._flows(i, base),
            lacking,
        )

    def time_weighted(self, i: int) -> float | Reason:
        """The time-weighted return from the i-th day of the series on. `NegativeBase` where a value was negative, `SpansHole` where
        it is the move of one day and the close before is an older one, `TooFewObservations` without capital at work."""
        if self.wrong_units is not None:
            return self.wrong_units
        own = self.own(i)
        opening = float(settled(self.total[i - 1 : i])[0]) if i else 0.0
        if opening < 0 or (settled(self.total[i:])[own.valued] < 0).any():
            return NegativeBase()
        if i and self.past.session[i:].sum() <= 1 and self.coverage[i - 1] < self.coverage_limit:
            sound = np.flatnonzero(self.coverage[:i] >= self.coverage_limit)
            return SpansHole(int(self.past.session[(int(sound[-1]) if len(sound) else -1) + 1 : i + 1].sum()))
        return link(own.linked) if np.isfinite(own.linked).any() else TooFewObservations(0, 1)

    def _flows(self, i: int, base: int) -> Flows:
        """What came in and went out from the i-th day of the series on, (days since `base`, amount), each on its own date."""
        ledger = self.book.ledger.upto(self.end_day)
        rows, amounts, currencies = flows_of(ledger)
        inside = ledger.traded_on[rows] > (int(self.days[i - 1]) if i else int(self.days[0]) - 1)
        on, worth = ledger.traded_on[rows[inside]], amounts[inside].astype(np.float64) / MICRO
        for place in np.unique(currencies[inside]).tolist():
            mine = currencies[inside] == place
            worth[mine] *= np.nan_to_num(self.book.rates.column(ledger.currencies[place], self.base, on[mine]))
        return list(zip(np.maximum(on - base, 0).astype(np.float64).tolist(), worth.tolist(), strict=True))

    def rates(self, currency: str) -> NDArray[np.float64]:
        """Base currency for one unit of a currency on the days of the series; NaN before the first rate."""
        if currency not in self._rates:
            self._rates[currency] = self.book.rates.column(currency, self.base, self.days)
        return self._rates[currency]

    # --- what is not known ---

    def lacking(self, i: int) -> NoRate | NoPrice | UnbookedSplit | MisbookedSplit | None:
        """Why a value or flow from the i-th day of the series on is not known: a split that is not booked, a currency without a
        rate, or a security without any price that was bought or sold. None where all is."""
        if self.wrong_units is not None:
            return self.wrong_units
        for number in self.past.securities:
            reason = self.lacking_of(number, i)
            if reason is not None:
                return reason
        ledger = self.book.ledger.upto(self.end_day)
        rows = np.flatnonzero(ledger.traded_on > (int(self.days[i - 1]) if i else int(self.days[0]) - 1))
        for place, currency in enumerate(ledger.currencies):
            if not self._unrated(currency, i):
                continue
            if i and cash_of(self.book, int(self.days[i - 1])).get(currency):
                return NoRate(currency, day_of(int(self.days[i - 1])))
            moved = rows[(ledger.cash_currency[rows] == place) & (ledger.net[rows] != 0)]
            for on in ledger.traded_on[moved].tolist():
                if isinstance(self.book.rates.rate(currency, self.base, on), NoRate):
                    return NoRate(currency, day_of(on))
        return None

    def lacking_of(self, number: int, i: int) -> NoRate | NoPrice | None:
        """The same for one security: it was held or traded from the i-th day on without a rate, or was never priced."""
        security, j = self.book.securities[number], self.past.securities.index(number)
        series = self.book.prices.get(number)
        if series is None or not len(series.days):
            traded = np.flatnonzero(self.past.bought[i:, j] + self.past.received[i:, j])
            if len(traded) or self.last_values[j]:
                return NoPrice(security.symbol, day_of(int(self.days[i + int(traded[0]) if len(traded) else i])))
        unrated = self._unrated(security.currency, i)
        if unrated:
            moves = self.lots.moves
            its = moves.security == number
            units = units_by_day(moves.delta[its], np.searchsorted(self.days, moves.day[its]), len(self.days))
            held = np.flatnonzero(units[max(i - 1, 0) : max(i - 1, 0) + unrated])
            if len(held):
                return NoRate(security.currency, day_of(int(self.days[max(i - 1, 0) + int(held[0])])))
        return None

    def _unrated(self, currency: str, i: int) -> int:
        """On how many days from the (i − 1)-th on a currency has no rate: they are the first ones, rates are carried forward."""
        return int(np.isnan(self.rates(currency)[max(i - 1, 0) :]).sum())

    # --- the benchmark ---

    def benchmark_over(self, i: int) -> float | Reason:
        """The benchmark's return from the i-th day of the series on: from the same base day, over the days on which both have
        a return, in the base currency. `NoBenchmark`, `NoPrice`, `NoRate`, `ShorterHistory` where it begins later."""
        number = self.book.portfolio.benchmark_id
        if number is None:
            return NoBenchmark()
        series, security = self.book.prices.get(number), self.book.securities.get(number)
        if series is None or not len(series.days):
            return NoPrice("the benchmark" if security is None else security.symbol)
        base = int(self.days[i - 1]) if i else self._day_before_first()
        if int(series.days[0]) > base:
            return ShorterHistory(day_of(int(series.days[0])), day_of(base))
        rate = self.book.rates.rate(security.currency if security else self.base, self.base, base)
        if isinstance(rate, NoRate):
            return rate
        theirs = self.of_benchmark(i)
        assert theirs is not None
        mine, theirs = paired(self.own(i), theirs)
        both = np.isfinite(mine.linked) & np.isfinite(theirs.linked)
        return link(theirs.linked[both]) if both.any() else TooFewObservations(0, 1)

    @property
    def benchmark_name(self) -> str:
        """What the benchmark is, in words: "SPY, total return"; empty where there is none."""
        number = self.book.portfolio.benchmark_id
        if number is None or number not in self.book.securities:
            return ""
        return f"{self.book.securities[number].symbol}, {self.asset(number).what}"

    def share(self, amount: Decimal | None) -> float | None:
        """Share of an amount in the total value, cash included. None where either is not known or `no_share` says why there is none."""
        return None if amount is None or self.no_share is not None else float(amount / self.valuation.total)

    @property
    def no_share(self) -> NoShare | None:
        """Why nothing is a share of the total value: it is not above zero. None where shares have a meaning."""
        total = self.valuation.total
        return None if total > 0 else NoShare(f"{total:,.2f} {self.base}")

    @property
    def value_notes(self) -> tuple[str, ...]:
        """What is missing in the value, and why it has no shares, in words."""
        held = self.valuation.positions or any(self.valuation.cash.values())
        return (*(str(m) for m in self.valuation.missing), *((str(self.no_share),) if self.no_share and held else ()))

    def weights(self) -> dict[int, float]:
        """Share of each position in the total value (cash included in the total)."""
        shares = {p.security.security_id: self.share(p.value_base) for p in self.valuation.positions}
        return {number: share for number, share in shares.items() if share is not None}

    @cached_property
    def names(self) -> dict[int, str]:
        """What each security of the Book is called where two must not be taken for one: its symbol, with the exchange before it where
        another has the same, and with its number behind it where that is the same too."""
        of_symbol = Counter(s.symbol for s in self.book.securities.values())
        listed = Counter((s.exchange, s.symbol) for s in self.book.securities.values())
        return {
            number: s.symbol
            if of_symbol[s.symbol] == 1
            else f"{s.exchange}:{s.symbol}" + ("" if listed[s.exchange, s.symbol] == 1 else f" (ID {number})")
            for number, s in self.book.securities.items()
        }

    def quote_times(self) -> list[datetime]:
        """When the live quotes in use were made."""
        out = []
        for p in self.valuation.positions:
            quote = self.quotes.get(p.security.security_id)
            if quote is not None and p.priced_on == quote_day(self.book, p.security.security_id, quote):
                out.append(quote.quoted_at)
        return out


def settled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values without the dust of adding floats: what is nearer to zero than a millionth is zero."""
    return np.where(np.abs(values) < 1e-6, 0.0, values)


def money(micro: int | None) -> Decimal | None:
    """An amount of 1e-6 as a Decimal."""
    return None if micro is None else Decimal(micro) / MICRO
