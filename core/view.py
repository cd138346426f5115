"""View: one reader's look at a Book. What several reports need is computed once here; what does not depend on the live
quotes is kept with the Book."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.book import Book, Quote
from core.fx import Series, day_number, day_of
from core.ledger import MICRO
from core.lots import Lots
from core.reasons import NoBenchmark, NoPrice, NoRate, Reason, ShorterHistory, TooFewObservations
from core.returns import (
    Flows,
    Period,
    annualised,
    at_work,
    average_capital,
    daily_returns,
    link,
    modified_dietz,
    money_weighted,
    period_start,
    timed,
    twr,
)
from core.scope import Scope
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
    """One period's outcome in the base currency. change = net_flow + gain; `twr` is time-weighted (NUMBERS 7), `mwr`
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

    @property
    def base(self) -> str:
        """The base currency."""
        return self.book.base

    @property
    def on(self) -> date:
        """The date looked at."""
        return day_of(self.as_of)

    @cached_property
    def valuation(self) -> Valuation:
        """Exact, to the cent."""
        return value(self.book, self.as_of, self.quotes, self.now, self.coverage_limit)

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
        """The last day of the daily series: the session that is open or was the last to open, or a later transaction's day."""
        ledger = self.book.ledger.upto(self.as_of)
        sessions = self.book.sessions.get(self.book.main_exchange)
        i = sessions.current(self.now) if sessions is not None else None
        session = self.as_of if sessions is None or i is None else min(int(sessions.days[i]), self.as_of)
        return self.as_of if len(ledger) and int(ledger.traded_on[-1]) > session else session

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
        """Value at the end of each day; the last is the exact valuation of now."""
        total = self.past.total
        if len(total):
            total = total.copy()
            total[-1] = float(self.valuation.total)
        return total

    @cached_property
    def last_values(self) -> NDArray[np.float64]:
        """Value of each security of `past.securities` now."""
        now = {p.security.security_id: float(p.value_base or 0) for p in self.valuation.positions}
        return np.array([now.get(s, 0.0) for s in self.past.securities])

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """Daily time-weighted returns (NUMBERS 7); NaN where there was no capital at work."""
        return np.asarray(daily_returns(self.total, self.past.inflow, self.past.outflow))

    @cached_property
    def sound_returns(self) -> NDArray[np.float64]:
        """The same for statistics: NaN on days whose valuation is incomplete."""
        coverage = self.past.coverage.copy()
        if len(coverage):
            coverage[-1] = self.valuation.coverage
        return np.where(coverage >= self.coverage_limit, self.returns, np.nan)

    @cached_property
    def benchmark_returns(self) -> NDArray[np.float64] | None:
        """Daily returns of the benchmark on the same days, in the base currency; None where there is none."""
        number = self.book.portfolio.benchmark_id
        if number is None or number not in self.book.prices or not len(self.days):
            return None
        return self.price_returns(number, in_base=True)

    def price_returns(self, security: int, in_base: bool = False) -> NDArray[np.float64]:
        """Daily price returns of a security on the days of the series; the last with its live quote."""
        _, close = self.closes(security, in_base)
        return close[1:] / close[:-1] - 1

    def closes(self, security: int, in_base: bool = False) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """(day numbers, closes carried forward) of the session before the series and of each of its days; the last its live quote."""
        before = np.concatenate([[self.days[0] - 7], self.days]).astype(np.int32)
        before[0] = self._day_before_first()
        empty = Series(np.empty(0, np.int32), np.empty(0))
        close, _ = self.book.prices.get(security, empty).on_days(before)
        found = price_at(self.book, security, self.as_of, self.quotes)
        if found is not None and found[1] >= int(self.days[-1]):
            close[-1] = float(found[0])
        if in_base and security in self.book.securities:
            close = close * self.book.rates.column(self.book.securities[security].currency, self.base, before)
        return before, close

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
            return int(self.days[-2]) if len(self.days) > 1 else first - 1
        if period == "ALL":
            return first - 1
        name = PERIOD_NAMES.get(period, cast("Period", period))
        start = period_start(day_of(int(self.days[-1])), name, day_of(first))
        return day_number(start) if day_number(start) >= first - 1 else ShorterHistory(day_of(first), start)

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
        inflow, outflow = self.past.inflow[i:], self.past.outflow[i:]
        flow = float((inflow - outflow).sum())
        end_value = float(self.total[-1])
        lacking = self.lacking(i)
        total = lacking or twr(settled(self.total[i:]), inflow, outflow, start_value)
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

    def lacking(self, i: int) -> NoRate | NoPrice | None:
        """Why a value or flow from the i-th day of the series on is not known: a currency without a rate, or a security
        without any price that was bought or sold. None where all is."""
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
        daily = self.benchmark_returns
        assert daily is not None
        both = np.isfinite(daily[i:]) & np.isfinite(self.returns[i:])
        return link(daily[i:][both]) if both.any() else TooFewObservations(0, 1)

    def weights(self) -> dict[int, float]:
        """Share of each position in the total value (cash included in the total)."""
        total = self.valuation.total
        return {
            p.security.security_id: float(p.value_base / total)
            for p in self.valuation.positions
            if p.value_base is not None and total
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
