"""Valuation: what a portfolio is worth now (exact, to the cent) and was worth on every day (the border to floats)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.book import Book, Quote
from core.booking import derive, derive_again
from core.fx import Series, day_number, day_of, exact
from core.ledger import CODE, FLOWS, INTO, MICRO, UNITS, Ledger, Security
from core.lots import Lots, Moves, held
from core.money import posted
from core.reasons import NoPrice, NoRate

FLOW_CODES = tuple(CODE[k] for k in sorted(FLOWS))
TRANSFER_IN, TRANSFER_OUT = CODE["transfer_in"], CODE["transfer_out"]
BUYING = (CODE["buy"], CODE["cover"], TRANSFER_IN)  # value goes into the security; of all else it comes out
INTO_CODES = tuple(CODE[k] for k in sorted(INTO))


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
        given = (book.ledger.upto(as_of), (book.portfolio.dated_methods,), (book.base,), book.rates)
        before = book.before if key[1] is None else None
        lots = derive(*given) if before is None else derive_again(*given, before.lots, before.place, before.securities)
        book.derived[key] = lots
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


def unsettled(book: Book, as_of: int) -> NDArray[np.int64]:
    """The rows of the ledger that were traded by the end of a day and whose cash settles later."""
    ledger = book.ledger.upto(as_of)
    return np.flatnonzero((ledger.settles_on > as_of) & (ledger.net != 0))


def unsettled_cash(book: Book, as_of: int) -> dict[str, tuple[Decimal, Decimal]]:
    """What `cash_of` counts and has not settled at the end of a day, by currency: (to be received, to be paid), both positive.

    Cash by settlement date is `cash_of` − received + paid (ERRATA 8).
    """
    ledger, out = book.ledger.upto(as_of), dict[str, tuple[Decimal, Decimal]]()
    rows = unsettled(book, as_of)
    for place in np.unique(ledger.cash_currency[rows]).tolist():
        net = ledger.net[rows[ledger.cash_currency[rows] == place]]
        received, paid = int(net[net > 0].sum()), -int(net[net < 0].sum())
        out[ledger.currencies[place]] = Decimal(received) / MICRO, Decimal(paid) / MICRO
    return out


def flows_of(ledger: Ledger) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]:
    """What came into the portfolio and left it: (rows, signed amounts of 1e-6, places of their currencies).

    Deposits, withdrawals and transfers of cash count with their posted cash, transfers in kind with their market value.
    """
    rows = np.flatnonzero(np.isin(ledger.kind, FLOW_CODES))
    kind, in_kind = ledger.kind[rows], ledger.security[rows] > 0
    worth = np.where(kind == TRANSFER_IN, ledger.gross[rows], -ledger.gross[rows])
    amounts = np.where(in_kind, worth, ledger.net[rows])
    return rows, amounts, np.where(in_kind, ledger.currency[rows], ledger.cash_currency[rows])


def net_flow(book: Book, day: int) -> Decimal:
    """What came in less what left up to a day, each at the rate of its own day, in the base currency."""
    ledger, total = book.ledger.upto(day), Decimal(0)
    rows, amounts, currencies = flows_of(ledger)
    for amount, currency, on in zip(
        amounts.tolist(), currencies.tolist(), ledger.traded_on[rows].tolist(), strict=True
    ):
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
    positions: list[Position] = []
    invested, fresh_value, weight, oldest = Decimal(0), Decimal(0), Decimal(0), None
    missing: list[NoPrice | NoRate] = []
    for mine in sorted(held(lots_of(book, as_of).still), key=lambda h: book.securities[h.security].symbol):
        number, security = mine.security, book.securities[mine.security]
        units, cost = Decimal(mine.units) / UNITS, Decimal(mine.cost) / MICRO
        cost_base = None if mine.cost_base is None else Decimal(mine.cost_base) / MICRO
        found = price_at(book, number, as_of, quotes)
        rate = book.rates.rate(security.currency, book.base, as_of)
        reason: NoPrice | NoRate | None = None
        price = priced_on = previous = value_local = value_base = None
        fresh = False
        if found is None:
            reason = NoPrice(security.symbol, day_of(mine.opened_on))
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
                mine.lots,
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
    cash = np.zeros(n)
    unconverted = np.zeros(n, np.bool_)  # cash in a currency without a rate: the day is not covered
    to_base = {c: book.rates.column(c, book.base, days) for c in ledger.currencies}
    on_day = {c: book.rates.column(c, book.base, ledger.traded_on) for c in ledger.currencies}
    for i, currency in enumerate(ledger.currencies):
        mine = ledger.cash_currency == i
        if not mine.any():
            continue
        daily = np.bincount(at[mine], weights=net[mine], minlength=n)
        balance = np.cumsum(daily)
        unconverted |= np.isnan(to_base[currency]) & (np.abs(balance) > 5e-7)
        cash += np.where(np.abs(balance) < 5e-7, 0.0, balance) * np.nan_to_num(to_base[currency])
    rows, amounts, of = flows_of(ledger)
    signed = amounts.astype(np.float64) / MICRO
    for i, currency in enumerate(ledger.currencies):
        signed[of == i] *= np.nan_to_num(on_day[currency][rows[of == i]])
    inflow = np.bincount(at[rows], weights=np.maximum(signed, 0), minlength=n).astype(np.float64)
    outflow = np.bincount(at[rows], weights=np.maximum(-signed, 0), minlength=n).astype(np.float64)
    ends = {d.into for d in ledger.details.values() if d.into}
    securities = tuple(sorted({int(s) for s in np.unique(ledger.security) if s} | ends))
    value, bought, received = (np.zeros((n, len(securities)), order="F") for _ in range(3))
    fresh, weight = np.zeros(n), np.zeros(n)
    moves = lots_of(book, as_of).moves
    key, became = (as_of, days.tobytes()), list(_became(book, ledger, days, moves))
    changed = {number for _, source, target, _ in became for number in (source, target)}
    for j, number in enumerate(securities):
        one = book.of_security("history", number, key, partial(_history_of, book, ledger, days, moves, number))
        value[:, j], bought[:, j], received[:, j] = one.value, one.bought, one.received
        fresh += np.where(one.fresh, np.abs(one.value), 0.0)
        weight += np.abs(one.value)
        if one.lacking is not None:
            weight += one.lacking
        if number not in changed:  # nothing is kept twice: what is kept are columns of this History
            here = replace(one, value=value[:, j], bought=bought[:, j], received=received[:, j])
            book.of_each["history", number] = (key, here)
    for day, source, target, moved in became:
        for number, amount in ((source, -moved), (target, moved)):
            (bought if amount > 0 else received)[day, securities.index(number)] += abs(amount)
    coverage = np.divide(fresh, weight, out=np.ones(n), where=weight > 0)
    coverage[unconverted] = 0.0
    return History(days, value.sum(axis=1) + cash, cash, inflow, outflow, coverage, securities, value, bought, received)


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """One security's part of a History; arrays of shape (days,)."""

    value: NDArray[np.float64]
    bought: NDArray[np.float64]
    received: NDArray[np.float64]
    fresh: NDArray[np.bool_]
    lacking: NDArray[np.float64] | None  # the weight of days on which it was held and never priced: its cost


def _priced(book: Book, number: int, days: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """(price of one unit in the base currency, the day that its close is of), carried forward; NaN where there is none."""
    series = book.prices.get(number, Series(np.empty(0, np.int32), np.empty(0)))
    close, close_day = series.on_days(days)
    if (
        len(days) and np.isnan(close[0]) and not np.isnan(close).all()
    ):  # before its first bar: at the first one, never at 0
        first = int(np.flatnonzero(~np.isnan(close))[0])
        close[:first] = close[first]
    return close * book.rates.column(book.securities[number].currency, book.base, days), close_day


def _history_of(book: Book, ledger: Ledger, days: NDArray[np.int32], moves: Moves, number: int) -> _Stretch:
    n, security = len(days), book.securities[number]
    rows, its = np.flatnonzero(ledger.security == number), np.flatnonzero(moves.security == number)
    at = np.searchsorted(days, ledger.traded_on[rows]) if n else np.empty(0, np.int64)
    units = units_by_day(moves.delta[its], np.searchsorted(days, moves.day[its]) if n else np.empty(0, np.int64), n)
    price, close_day = _priced(book, number, days)
    worth = units * price
    unknown = np.isnan(worth) & (units != 0)
    value = np.where(np.isnan(worth), 0.0, worth)
    sessions = book.sessions.get(security.exchange)
    due = (
        days
        if sessions is None
        else sessions.days[np.maximum(np.searchsorted(sessions.days, days, side="right") - 1, 0)]
    )
    on, kind = ledger.traded_on[rows], ledger.kind[rows]
    flow = ledger.net[rows].astype(np.float64) / MICRO
    for place in np.unique(ledger.cash_currency[rows]).tolist():  # cash at the rate of its own day
        mine = ledger.cash_currency[rows] == place
        flow[mine] *= np.nan_to_num(book.rates.column(ledger.currencies[place], book.base, on[mine]))
    in_kind = np.isin(kind, (TRANSFER_IN, TRANSFER_OUT))
    if in_kind.any():
        rate = np.nan_to_num(book.rates.column(security.currency, book.base, on[in_kind]))
        worth_moved = ledger.gross[rows[in_kind]].astype(np.float64) / MICRO * rate
        flow[in_kind] += np.where(kind[in_kind] == TRANSFER_IN, -1, 1) * worth_moved
    buying = np.isin(kind, BUYING)
    bought, received = (
        np.bincount(at, weights=w, minlength=n).astype(np.float64)
        for w in (np.where(buying, -flow, 0.0), np.where(buying, 0.0, flow))
    )
    lacking = np.where(unknown, np.abs(np.cumsum(bought)), 0.0) if unknown.any() else None
    return _Stretch(value, bought, received, close_day >= due, lacking)


def _became(book: Book, ledger: Ledger, days: NDArray[np.int32], moves: Moves) -> Iterator[tuple[int, int, int, float]]:
    """(place of the day, old security, new one, value): what one security became leaves it at the value the other starts with."""
    for m in np.flatnonzero(np.isin(ledger.kind[moves.row], INTO_CODES)).tolist():
        source, number = int(ledger.security[int(moves.row[m])]), int(moves.security[m])
        if source != number:
            at = int(np.searchsorted(days, moves.day[m]))
            price = float(np.nan_to_num(_priced(book, number, days)[0][at]))
            yield at, source, number, float(moves.delta[m]) / UNITS * price


def units_by_day(delta: NDArray[np.int64], at: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Units held at the end of each of `n` days, from exact changes of units (1e-10) and the places of their days."""
    daily = np.zeros(n, delta.dtype)
    np.add.at(daily, at, delta)
    units: NDArray[np.float64] = np.cumsum(daily).astype(np.float64) / UNITS
    return units
