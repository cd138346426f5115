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
from core.calendar import due_days
from core.fx import Series, day_number, day_of, exact
from core.ledger import CODE, FLOWS, INTO, MICRO, UNITS, Ledger, Security
from core.lots import Lots, Moves, held
from core.money import posted
from core.prices import splits_of
from core.reasons import MisbookedSplit, NoPrice, NoRate, UnbookedSplit

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
    previous: Decimal | None  # the close of the session before, in today's units; None where the price is of no move today
    previous_on: int | None  # day number of the last close before, however old
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
    missing: tuple[NoPrice | NoRate | UnbookedSplit | MisbookedSplit, ...]
    exact: Decimal  # the total before it is rounded: the last value of the daily series


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


@dataclass(frozen=True, slots=True)
class Priced:
    """The price of a security at a day, raw, and the last close before it in the units of the price's day."""

    price: Decimal
    on: int  # day number
    before: Decimal | None = None
    before_on: int | None = None  # day number


def price_at(book: Book, security: int, as_of: int, quotes: Mapping[int, Quote]) -> Priced | None:
    """The price at a day: the live quote where it is the newest, else the last bar. None where there is none.

    The close before is divided by what split since then: after 4:1 a close of 499.23 is one of 124.81 of today's shares. A quote
    brings its own close before, raw or divided already: which of the two it is, the last bar tells.
    """
    series = book.prices.get(security)
    bar = series.at(as_of) if series is not None else None
    quote = quotes.get(security)
    if quote is not None:
        quoted = quote_day(book, security, quote)
        if quoted <= as_of and (bar is None or quoted >= bar[0]):
            last = _close_before(book, security, series, quoted) if series is not None else None
            return Priced(quote.price, quoted, *_before_quote(book, security, quote, quoted, last))
    if bar is None or series is None:
        return None
    last = _close_before(book, security, series, bar[0])
    if last is None:
        return Priced(exact(bar[1]), bar[0])
    return Priced(exact(bar[1]), bar[0], _in_units_of(exact(last[1]), split_between(book, security, last[0], bar[0])), last[0])


def _close_before(book: Book, security: int, series: Series, day: int) -> tuple[int, float] | None:
    """(day number, close) of the last session before a day that has one: a bar of a day without a session is passed over."""
    sessions = book.sessions.get(book.securities[security].exchange)
    before = sessions.last_on_or_before(day - 1) if sessions is not None else None
    return (series.at(before) if before is not None else None) or series.at(day - 1)


def _before_quote(
    book: Book, security: int, quote: Quote, quoted: int, last: tuple[int, float] | None
) -> tuple[Decimal | None, int | None]:
    """(the close before a quote in the units of its day, the day number of that close)."""
    session = session_before(book, book.securities[security].exchange, quoted)
    if last is None:
        return quote.previous_close, None if quote.previous_close is None else session
    split = split_between(book, security, last[0], quoted)
    ours = _in_units_of(exact(last[1]), split)
    if quote.previous_close is None or last[0] >= session:
        return ours, last[0]
    raw, divided = quote.previous_close, _in_units_of(quote.previous_close, split)
    return (divided if split != 1 and abs(raw / ours).ln().copy_abs() > abs(divided / ours).ln().copy_abs() else raw), session


def _in_units_of(price: Decimal, split: float) -> Decimal:
    return price if split == 1 else price / exact(split)


def split_between(book: Book, security: int, after: int, upto: int) -> float:
    """New units for one old over the days after `after` up to `upto`: the product of the splits; 1 where there is none."""
    out = 1.0
    for day, ratio in splits_of(book, security).items():
        out *= ratio if after < day <= upto else 1.0
    return out


def session_before(book: Book, exchange: str, day: int) -> int:
    """The day number of the session before a day; four days back where the calendar is unknown."""
    sessions = book.sessions.get(exchange)
    found = sessions.last_on_or_before(day - 1) if sessions is not None else None
    return day - 4 if found is None else found


def moving_session(book: Book, exchange: str, as_of: int, now: datetime) -> int:
    """The day number of the session whose move is today's: the one that is open, or was the last to open."""
    sessions = book.sessions.get(exchange)
    i = sessions.current(now) if sessions is not None else None
    last = sessions.last_on_or_before(as_of) if sessions is not None else None
    if sessions is None or i is None or last is None:
        return as_of - 4
    return min(int(sessions.days[i]), last)


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
        number, security = mine.security, book.security_on(mine.security, as_of)
        units, cost = Decimal(mine.units) / UNITS, Decimal(mine.cost) / MICRO
        cost_base = None if mine.cost_base is None else Decimal(mine.cost_base) / MICRO
        found = price_at(book, number, as_of, quotes)
        rate = book.rates.rate(security.currency, book.base, as_of)
        reason: NoPrice | NoRate | None = None
        price = priced_on = previous = previous_on = value_local = value_base = None
        fresh = False
        if found is None:
            reason = NoPrice(security.symbol, day_of(mine.opened_on))
        else:
            price, priced_on, previous_on = found.price, found.on, found.before_on
            fresh = priced_on >= last_session(book, security.exchange, as_of, now)
            if is_move(book, security.exchange, found, as_of, now):
                previous = found.before
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
                previous_on,
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
        invested + cash_base,
    )


def is_move(book: Book, exchange: str, found: Priced, as_of: int, now: datetime) -> bool:
    """Whether the price against the close before is a move of today: it is of today's session, and the close of the one before."""
    if found.before is None or found.before_on is None or found.before <= 0:
        return False
    return found.on >= moving_session(book, exchange, as_of, now) and found.before_on >= session_before(book, exchange, found.on)


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
    session: NDArray[np.bool_]  # which days are sessions of the main exchange
    total: NDArray[np.float64]
    cash: NDArray[np.float64]
    inflow: NDArray[np.float64]
    outflow: NDArray[np.float64]
    coverage: NDArray[np.float64]
    securities: tuple[int, ...]
    value: NDArray[np.float64]
    bought: NDArray[np.float64]  # (days, securities): cash put into the security that day
    received: NDArray[np.float64]  # (days, securities): cash taken out of it: sales, dividends
    unpriced: NDArray[np.bool_]  # (days, securities): held and never priced until then, its value is not known


def history(book: Book, as_of: int) -> History:
    """Daily valuation from the first transaction to `as_of`: the sessions of the main exchange, the other days on which something
    was booked, and `as_of`. Kept with the Book.

    value = raw close × units held that day × FX of that day, as `value` has it on each of the days: prices and FX carried
    forward, never back: before its first price a security has no value. Coverage per day as in `value`.
    """
    key = ("history", as_of)
    if key not in book.derived:
        book.make_room()
        book.derived[key] = _history(book, as_of)
    found: History = book.derived[key]
    return found


def _grid(book: Book, as_of: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """(day numbers of the daily series, which of them are sessions): every session of the main exchange from the first
    transaction on, every other day on which something was booked, and `as_of`, which ends it."""
    traded = np.unique(book.ledger.upto(as_of).traded_on)
    if not len(traded):
        return np.empty(0, np.int32), np.empty(0, np.bool_)
    first = int(traded[0])
    sessions = book.sessions.get(book.main_exchange)
    begins = as_of + 1 if sessions is None or not len(sessions.days) else int(sessions.days[0])
    open_days = np.arange(first, min(begins, as_of + 1), dtype=np.int32)  # where no calendar reaches, every day
    if sessions is not None:
        open_days = np.union1d(open_days, sessions.between(max(first, begins), as_of))
    days = np.union1d(np.union1d(open_days, traded), [as_of]).astype(np.int32)
    return days, np.isin(days, open_days)


def _history(book: Book, as_of: int) -> History:
    ledger, (days, session) = book.ledger.upto(as_of), _grid(book, as_of)
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
    unpriced = np.zeros((n, len(securities)), np.bool_, order="F")
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
            unpriced[:, j] = one.lacking > 0
        if number not in changed:  # nothing is kept twice: what is kept are columns of this History
            here = replace(one, value=value[:, j], bought=bought[:, j], received=received[:, j])
            book.of_each["history", number] = (key, here)
    for day, source, target, moved in became:
        for number, amount in ((source, -moved), (target, moved)):
            (bought if amount > 0 else received)[day, securities.index(number)] += abs(amount)
    coverage = np.divide(fresh, weight, out=np.ones(n), where=weight > 0)
    coverage[unconverted] = 0.0
    return History(days, session, value.sum(axis=1) + cash, cash, inflow, outflow, coverage, securities, value, bought, received, unpriced)


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
    due = due_days(book.sessions.get(security.exchange), days)
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
