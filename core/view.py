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
from core.reasons import Reason, ShorterHistory, TooFewObservations
from core.returns import Period, annualised, daily_returns, link, period_start
from core.scope import Scope
from core.valuation import History, Valuation, history, lots_of, price_at, quote_day, value

# what the reader calls a period, and what `period_start` calls it
PERIOD_NAMES: dict[str, Period] = {"1W": "1W", "1M": "1M", "3M": "3M", "YTD": "YTD", "1Y": "1Y", "ALL": "inception"}


@dataclass(frozen=True, slots=True)
class Span:
    """One period's outcome in the base currency. change = net_flow + gain; the return is time-weighted."""

    start: date
    start_value: float
    end_value: float
    net_flow: float
    gain: float
    twr: float | Reason
    annual: float | Reason
    benchmark: float | Reason


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
        before = np.concatenate([[self.days[0] - 7], self.days]).astype(np.int32)
        before[0] = self._day_before_first()
        empty = Series(np.empty(0, np.int32), np.empty(0))
        close, _ = self.book.prices.get(security, empty).on_days(before)
        found = price_at(self.book, security, self.as_of, self.quotes)
        if found is not None and found[1] >= int(self.days[-1]):
            close[-1] = float(found[0])
        if in_base and security in self.book.securities:
            close = close * self.book.rates.column(self.book.securities[security].currency, self.base, before)
        return close[1:] / close[:-1] - 1

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
        start_value = float(self.total[i - 1]) if i else 0.0
        flow = float((self.past.inflow - self.past.outflow)[inside].sum())
        end_value = float(self.total[-1])
        r = self.returns[inside]
        twr: float | Reason = link(r) if np.isfinite(r).any() else TooFewObservations(0, 1)
        length = int(self.days[-1]) - base
        bench: float | Reason = TooFewObservations(0, 1)
        if self.benchmark_returns is not None:
            b = self.benchmark_returns[inside]
            bench = link(b) if np.isfinite(b).any() else TooFewObservations(0, 1)
        return Span(
            day_of(base),
            start_value,
            end_value,
            flow,
            end_value - start_value - flow,
            twr,
            annualised(twr, length) if isinstance(twr, float) else twr,
            bench,
        )

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


def money(micro: int | None) -> Decimal | None:
    """An amount of 1e-6 as a Decimal."""
    return None if micro is None else Decimal(micro) / MICRO
