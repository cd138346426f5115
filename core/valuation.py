"""Valuation: what a portfolio is worth now (exact, to the cent) and was worth on every day (the border to floats)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.book import Book, Quote
from core.fx import Series, day_number, day_of, exact
from core.ledger import CODE, FLOWS, MICRO, UNITS, Security
from core.lots import Lots, by_security, derive
from core.money import posted
from core.reasons import NoPrice, NoRate

BUY, SELL, SPLIT = CODE["buy"], CODE["sell"], CODE["split"]
FLOW_CODES = tuple(CODE[k] for k in sorted(FLOWS))


@dataclass(frozen=True, slots=True)
class Position:
    """One holding at one moment. Money exact; `value` None where it was never priced, with the reason."""

    security: Security
    units: Decimal
    cost: Decimal  # in the security's currency, purchase fees included
    cost_base: Decimal | None  # at the rates of the purchase days
    price: Decimal | None
    priced_on: int | None  # day number of the price
    fresh: bool  # the price is of the last completed session or newer
    rate: Decimal | None
    value: Decimal | None  # in the security's currency, posted
    value_base: Decimal | None  # in the base currency, not rounded
    previous: Decimal | None  # the close before, in the security's currency
    reason: NoPrice | NoRate | None
    lots: int


@dataclass(frozen=True, slots=True)
class Valuation:
    """A portfolio at one moment, in its base currency. `total` = posted(Σ units × price × FX + cash)."""

    positions: tuple[Position, ...]
    cash: Mapping[str, Decimal]  # by currency, posted
    cash_base: Decimal
    invested: Decimal
    total: Decimal
    coverage: float  # share of the value that carries a fresh price
    oldest_price: int | None  # day number
    complete: bool
    missing: tuple[NoPrice | NoRate, ...]


def lots_of(book: Book, as_of: int) -> Lots:
    """Open lots and disposals at the end of a day. Kept with the Book."""
    key = ("lots", as_of if len(book.ledger) and as_of < int(book.ledger.traded_on[-1]) else None)
    if key not in book.derived:
        book.make_room()
        book.derived[key] = derive(book.ledger.upto(as_of), (book.portfolio.method,), (book.base,), book.rates)
    found: Lots = book.derived[key]
    return found


def cash_of(book: Book, as_of: int) -> dict[str, Decimal]:
    """Cash by currency at the end of a trade date: every posted net amount up to it."""
    ledger = book.ledger.upto(as_of)
    out: dict[str, Decimal] = {}
    for i, currency in enumerate(ledger.currencies):
        mine = ledger.net[ledger.cash_currency == i]
        if len(mine):
            out[currency] = Decimal(int(mine.sum())) / MICRO
    return out


def net_flow(book: Book, day: int) -> Decimal:
    """Deposits less withdrawals up to a day, each at the rate of its own day, in the base currency."""
    ledger, total = book.ledger.upto(day), Decimal(0)
    codes = {CODE[k] for k in FLOWS}
    for kind, amount, currency, on in zip(
        ledger.kind.tolist(), ledger.net.tolist(), ledger.cash_currency.tolist(), ledger.traded_on.tolist(), strict=True
    ):
        if kind in codes:
            rate = book.rates.rate(ledger.currencies[currency], book.base, on)
            if not isinstance(rate, NoRate):
                total += Decimal(amount) / MICRO * rate
    return posted(total, book.base)


def price_at(
    book: Book, security: int, as_of: int, quotes: Mapping[int, Quote]
) -> tuple[Decimal, int, Decimal | None] | None:
    """(price, its day, the close before) at a day: the live quote where it is the newest, else the last bar."""
    series = book.prices.get(security)
    bar = series.at(as_of) if series is not None else None
    quote = quotes.get(security)
    if quote is not None:
        quoted = quote_day(book, security, quote)
        if quoted <= as_of and (bar is None or quoted >= bar[0]):
            return quote.price, quoted, quote.previous_close
    if bar is None:
        return None
    before = series.at(bar[0] - 1) if series is not None else None
    return exact(bar[1]), bar[0], exact(before[1]) if before else None


def quote_day(book: Book, security: int, quote: Quote) -> int:
    """The day number of the session that a quote belongs to (its UTC date where the calendar is unknown)."""
    sessions = book.sessions.get(book.securities[security].exchange)
    i = sessions.current(quote.quoted_at) if sessions is not None else None
    return (
        day_number(quote.quoted_at.astimezone(UTC).date()) if sessions is None or i is None else int(sessions.days[i])
    )


def value(
    book: Book, as_of: int, quotes: Mapping[int, Quote], now: datetime, coverage_limit: float = 0.98
) -> Valuation:
    """The portfolio at the end of day `as_of` (a day number); with live `quotes` beside the Book where as_of is today.

    A missing price is carried forward with its age; a security that was never priced is left out of the total, named in
    `missing`, and lowers the coverage by its cost.
    """
    lots = by_security(lots_of(book, as_of).open)
    positions: list[Position] = []
    invested, fresh_value, weight, oldest = Decimal(0), Decimal(0), Decimal(0), None
    missing: list[NoPrice | NoRate] = []
    for (_, number), mine in sorted(lots.items(), key=lambda kv: book.securities[kv[0][1]].symbol):
        if not mine:
            continue
        security = book.securities[number]
        units = Decimal(sum(lot.units for lot in mine)) / UNITS
        cost = Decimal(sum(lot.cost for lot in mine)) / MICRO
        bases = [lot.cost_base for lot in mine]
        cost_base = None if None in bases else Decimal(sum(b for b in bases if b is not None)) / MICRO
        found = price_at(book, number, as_of, quotes)
        rate = book.rates.rate(security.currency, book.base, as_of)
        reason: NoPrice | NoRate | None = None
        price = priced_on = previous = value_local = value_base = None
        fresh = False
        if found is None:
            reason = NoPrice(security.symbol, day_of(min(lot.opened_on for lot in mine)))
        else:
            price, priced_on, previous = found
            fresh = priced_on >= last_session(book, security.exchange, as_of, now)
            oldest = priced_on if oldest is None else min(oldest, priced_on)
            value_local = posted(units * price, security.currency)
            if isinstance(rate, NoRate):
                reason = rate
            else:
                value_base = units * price * rate
        if value_base is None:
            assert reason is not None
            missing.append(reason)
            weight += abs(cost_base if cost_base is not None else cost)
        else:
            invested += value_base
            weight += abs(value_base)
            fresh_value += abs(value_base) if fresh else 0
        positions.append(
            Position(
                security,
                units,
                cost,
                cost_base,
                price,
                priced_on,
                fresh,
                None if isinstance(rate, NoRate) else rate,
                value_local,
                value_base,
                previous,
                reason,
                len(mine),
            )
        )
    cash = cash_of(book, as_of)
    cash_base = Decimal(0)
    for currency, amount in cash.items():
        rate = book.rates.rate(currency, book.base, as_of)
        if isinstance(rate, NoRate):
            if amount:
                missing.append(rate)
            continue
        cash_base += amount * rate
    coverage = float(fresh_value / weight) if weight else 1.0
    total = posted(invested + cash_base, book.base)
    return Valuation(
        tuple(positions),
        cash,
        posted(cash_base, book.base),
        posted(invested, book.base),
        total,
        coverage,
        oldest,
        coverage >= coverage_limit and not missing,
        tuple(missing),
    )


def last_session(book: Book, exchange: str, as_of: int, now: datetime) -> int:
    """The day number of the last session whose close a price at `as_of` should know."""
    sessions = book.sessions.get(exchange)
    if sessions is None:
        return as_of - 4
    done = sessions.last_completed(now)
    last = sessions.last_on_or_before(as_of)
    candidates = [d for d in (done, last) if d is not None]
    return min(candidates) if candidates else as_of - 4


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Daily values of a portfolio in its base currency, floats: the statistical side of the border.

    Arrays of shape (days,); `value` of shape (days, securities) in the order of `securities`.
    """

    days: NDArray[np.int32]
    total: NDArray[np.float64]
    cash: NDArray[np.float64]
    inflow: NDArray[np.float64]
    outflow: NDArray[np.float64]
    coverage: NDArray[np.float64]
    securities: tuple[int, ...]
    value: NDArray[np.float64]
    bought: NDArray[np.float64]  # (days, securities): cash put into the security that day
    received: NDArray[np.float64]  # (days, securities): cash taken out of it: sales, dividends


def history(book: Book, as_of: int) -> History:
    """Daily valuation from the first transaction to `as_of`, on the sessions of the main exchange. Kept with the Book.

    value = raw close × units held that day × FX of that day; prices and FX carried forward; a transaction on a day
    without a session counts at the next one. Coverage per day as in `value`.
    """
    key = ("history", as_of)
    if key not in book.derived:
        book.make_room()
        book.derived[key] = _history(book, as_of)
    found: History = book.derived[key]
    return found


def _grid(book: Book, as_of: int) -> NDArray[np.int32]:
    ledger = book.ledger.upto(as_of)
    if not len(ledger):
        return np.empty(0, np.int32)
    first, last = int(ledger.traded_on[0]), int(ledger.traded_on[-1])
    sessions = book.sessions.get(book.main_exchange)
    if sessions is not None and len(sessions.days):
        grid = sessions.between(first, as_of)
        early = (
            np.arange(first, min(int(sessions.days[0]), as_of + 1), dtype=np.int32)
            if first < int(sessions.days[0])
            else grid[:0]
        )
        grid = np.concatenate([early, grid]).astype(np.int32)
    else:
        grid = np.arange(first, as_of + 1, dtype=np.int32)
    if not len(grid) or last > int(grid[-1]):
        grid = np.append(grid, np.int32(as_of))
    return grid


def _history(book: Book, as_of: int) -> History:
    ledger, days = book.ledger.upto(as_of), _grid(book, as_of)
    n = len(days)
    at = np.searchsorted(days, ledger.traded_on) if n else np.empty(0, np.int64)
    net = ledger.net.astype(np.float64) / MICRO
    inflow, outflow, cash = np.zeros(n), np.zeros(n), np.zeros(n)
    unconverted = np.zeros(n, np.bool_)  # cash in a currency without a rate: the day is not covered
    row_rate = np.zeros(len(ledger))  # each flow at the rate of its own day
    to_base = {c: book.rates.column(c, book.base, days) for c in ledger.currencies}
    for i, currency in enumerate(ledger.currencies):
        mine = ledger.cash_currency == i
        if not mine.any():
            continue
        daily = np.bincount(at[mine], weights=net[mine], minlength=n)
        balance = np.cumsum(daily)
        unconverted |= np.isnan(to_base[currency]) & (np.abs(balance) > 5e-7)
        cash += np.where(np.abs(balance) < 5e-7, 0.0, balance) * np.nan_to_num(to_base[currency])
        flows = mine & np.isin(ledger.kind, FLOW_CODES)
        row_rate[mine] = np.nan_to_num(book.rates.column(currency, book.base, ledger.traded_on[mine]))
        signed = net[flows] * row_rate[flows]
        inflow += np.bincount(at[flows], weights=np.maximum(signed, 0), minlength=n)
        outflow += np.bincount(at[flows], weights=np.maximum(-signed, 0), minlength=n)
    securities = tuple(sorted({int(s) for s in ledger.security if s}))
    value, bought, received = (np.zeros((n, len(securities))) for _ in range(3))
    fresh, weight = np.zeros(n), np.zeros(n)
    quantity, ratio = ledger.quantity.astype(np.float64) / UNITS, ledger.ratio.astype(np.float64) / UNITS
    empty = Series(np.empty(0, np.int32), np.empty(0))
    for j, number in enumerate(securities):
        rows = np.flatnonzero(ledger.security == number)
        security = book.securities[number]
        units = units_by_day(ledger.kind[rows], quantity[rows], ratio[rows], at[rows], n)
        close, close_day = book.prices.get(number, empty).on_days(days)
        if n and np.isnan(close[0]) and not np.isnan(close).all():  # before its first bar: at the first one, never at 0
            first = int(np.flatnonzero(~np.isnan(close))[0])
            close[:first] = close[first]
        rate = to_base.get(security.currency)
        rate = book.rates.column(security.currency, book.base, days) if rate is None else rate
        worth = units * close * rate
        unknown = np.isnan(worth) & (units != 0)
        value[:, j] = np.where(np.isnan(worth), 0.0, worth)
        sessions = book.sessions.get(security.exchange)
        due = (
            days
            if sessions is None
            else sessions.days[np.maximum(np.searchsorted(sessions.days, days, side="right") - 1, 0)]
        )
        fresh += np.where(close_day >= due, np.abs(value[:, j]), 0.0)
        weight += np.abs(value[:, j])
        flow = net[rows] * row_rate[rows]
        bought[:, j] = np.bincount(at[rows], weights=np.where(ledger.kind[rows] == BUY, -flow, 0.0), minlength=n)
        received[:, j] = np.bincount(at[rows], weights=np.where(ledger.kind[rows] == BUY, 0.0, flow), minlength=n)
        if unknown.any():  # never priced: its cost is the weight it lacks
            weight += np.where(unknown, np.cumsum(bought[:, j]), 0.0)
    coverage = np.divide(fresh, weight, out=np.ones(n), where=weight > 0)
    coverage[unconverted] = 0.0
    return History(days, value.sum(axis=1) + cash, cash, inflow, outflow, coverage, securities, value, bought, received)


def units_by_day(
    kind: NDArray[np.int8], quantity: NDArray[np.float64], ratio: NDArray[np.float64], at: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Units held at the end of each of `n` days of one security; a split multiplies what is held before that day's trades."""
    signed = np.where(kind == BUY, quantity, np.where(kind == SELL, -quantity, 0.0))
    splits = np.flatnonzero(kind == SPLIT)
    if not len(splits):
        units: NDArray[np.float64] = np.cumsum(np.bincount(at, weights=signed, minlength=n)).astype(np.float64)
    else:
        units, held, start = np.zeros(n), 0.0, 0
        trades = np.bincount(at, weights=signed, minlength=n)
        for s in [*splits.tolist(), None]:
            end = n if s is None else int(at[s])
            if end > start:
                units[start:end] = held + np.cumsum(trades[start:end])
                held = float(units[end - 1])
            if s is not None:
                held *= float(ratio[s])
            start = end
    return np.where(np.abs(units) < 5e-11, 0.0, units)
