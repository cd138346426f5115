"""What stands behind a number: entries of the ledger, prices, rates, lots, positions, days. Explainers put these together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import numpy as np

from core.asset_returns import dividends_of
from core.booking import Change, changes
from core.calendar import due_days
from core.explain import Evidence, Given
from core.fx import day_of
from core.ledger import ACTIONS, KINDS, MICRO, UNITS, Ledger, around
from core.lots import Disposal, Lot
from core.money import posted
from core.prices import splits_of
from core.reasons import NoRate
from core.return_series import paired
from core.returns import Floats, daily_returns
from core.risk_figures import Measured
from core.table import Column, Kind
from core.valuation import Position, cash_of, price_at, quote_day
from core.view import View, money, settled

SESSIONS, ALL_DAYS, AGAINST = "Returns of the look-back", "One-day returns of all history", "Portfolio and benchmark"
ENTRIES, PRICES, RATES, LOTS, SALES, HISTORY, POSITIONS, CASH, DAYS, CLOSES, MOVES, THAT_DAY, CASH_THAT_DAY = (
    "Transactions", "Prices", "FX rates", "Open lots", "Disposals", "History of the lot", "Positions", "Cash", "Days",
    "Closes", "Changes of units", "Positions of that day", "Cash of that day",
)  # fmt: skip
_ENTRY = (
    Column("traded_on", "Date", Kind.DATE), Column("kind", "Kind"), Column("symbol", "Symbol"), Column("quantity", "Quantity", Kind.UNITS),
    Column("gross", "Gross", Kind.MONEY), Column("fees", "Fees", Kind.MONEY), Column("taxes", "Taxes", Kind.MONEY), Column("currency", "Currency"),
    Column("net", "Net cash", Kind.MONEY), Column("cash_currency", "Cash in"), Column("rate", "FX rate", Kind.PRICE, "base currency for one unit of cash"),
    Column("rate_own", "FX rate of its currency", Kind.PRICE, "base currency for one unit of the entry's currency"),
    Column("net_base", "Net in base currency", Kind.MONEY), Column("settles_on", "Settles", Kind.DATE), Column("transaction_id", "Id"),
)  # fmt: skip


def entries(
    view: View,
    rows: Iterable[int] | None = None,
    security: int | None = None,
    kinds: Iterable[str] = (),
    securities: Iterable[int] = (),
    currencies: Iterable[str] = (),
    after: int | None = None,
    until: int | None = None,
) -> Evidence:
    """Entries of the effective ledger up to the date looked at: some rows, or those of one security or of several, or that moved cash in
    some currencies; of some kinds, after a day and up to one (day numbers). Without any of it: all."""
    ledger = view.book.ledger.upto(view.as_of)
    if rows is not None:
        return Evidence(ENTRIES, _ENTRY, tuple(_entry(view, r) for r in sorted({r for r in rows if r < len(ledger)})))
    wanted = np.ones(len(ledger), np.bool_)
    of, moved = {*securities, *(() if security is None else (security,))}, set(currencies)
    if of or moved:
        wanted = np.isin(ledger.security, sorted(of))
        wanted[[r for r, d in ledger.details.items() if d.into in of and r < len(ledger)]] = True
        wanted |= np.isin(ledger.cash_currency, [i for i, c in enumerate(ledger.currencies) if c in moved])
    if kinds:
        wanted &= np.isin(ledger.kind, [KINDS.index(k) for k in kinds])
    if after is not None:
        wanted &= ledger.traded_on > after
    if until is not None:
        wanted &= ledger.traded_on <= until
    return Evidence(ENTRIES, _ENTRY, tuple(_entry(view, r) for r in np.flatnonzero(wanted).tolist()))


def _entry(view: View, r: int) -> tuple[Any, ...]:
    ledger = view.book.ledger
    security = view.book.securities.get(int(ledger.security[r]))
    cash = ledger.currencies[int(ledger.cash_currency[r])]
    net = Decimal(int(ledger.net[r])) / MICRO
    rate = view.book.rates.rate(cash, view.base, int(ledger.traded_on[r]))
    known = None if isinstance(rate, NoRate) else rate
    own = view.book.rates.rate(ledger.currencies[int(ledger.currency[r])], view.base, int(ledger.traded_on[r]))
    return (
        day_of(int(ledger.traded_on[r])), KINDS[int(ledger.kind[r])].replace("_", " "), security.symbol if security else None,
        Decimal(int(ledger.quantity[r])) / UNITS or None, money(int(ledger.gross[r])), money(int(ledger.fees[r])), money(int(ledger.taxes[r])),
        ledger.currencies[int(ledger.currency[r])], net, cash, known, None if isinstance(own, NoRate) else own, None if known is None else posted(net * known, view.base),
        day_of(int(ledger.settles_on[r])), entry_id(view, r),
    )  # fmt: skip


def entry_id(view: View, row: int) -> str:
    """The id of an entry, by its row in the ledger."""
    return number_of(view.book.ledger, row)


def number_of(ledger: Ledger, row: int) -> str:
    """The id of an entry of any ledger."""
    return str(UUID(bytes=bytes(ledger.ids[row])))


def prices(view: View, securities: Iterable[int]) -> Evidence:
    """The price in use of each security, its day and where it comes from, and the close before it."""
    rows: list[tuple[Any, ...]] = []
    for number in securities:
        found = price_at(view.book, number, view.as_of, view.quotes)
        security = view.book.securities[number]
        if found is None:
            rows.append((security.symbol, None, None, None, security.currency, "never priced"))
            continue
        price, day, before = found.price, found.on, found.before
        quote = view.quotes.get(number)
        live = quote is not None and quote.price == price and quote_day(view.book, number, quote) == day
        source = (
            f"{quote.provider}, quoted {quote.quoted_at:%Y-%m-%d %H:%M} UTC"
            if live and quote is not None
            else "close of the day"
        )
        rows.append((security.symbol, day_of(day), price, before, security.currency, source))
    columns = (Column("symbol", "Symbol"), Column("priced_on", "Priced on", Kind.DATE), Column("price", "Price", Kind.PRICE),
               Column("previous", "Close before", Kind.PRICE, "in today's units: divided by what split since"), Column("currency", "Currency"),
               Column("source", "Source"))  # fmt: skip
    return Evidence(PRICES, columns, tuple(rows))


def rates(view: View, currencies: Iterable[str], day: int | None = None) -> Evidence:
    """The rate of each currency in use on a day: base currency for one unit, and the day it was published."""
    on = view.as_of if day is None else day
    rows = []
    for currency in sorted(set(currencies)):
        rate = view.book.rates.rate(currency, view.base, on)
        dates = [found[0] for c in {currency, view.base} - {view.book.rates.pivot}
                 if (series := view.book.rates.series.get(c)) is not None and (found := series.at(on)) is not None]  # fmt: skip
        rows.append((currency, None if isinstance(rate, NoRate) else rate, day_of(min(dates)) if dates else None))
    columns = (Column("currency", "Currency"), Column("rate", "FX rate", Kind.PRICE, f"{view.base} for one unit"),
               Column("published_on", "Published on", Kind.DATE))  # fmt: skip
    return Evidence(RATES, columns, tuple(rows))


def open_lots(view: View, security: int | None = None) -> Evidence:
    """Open lots with their cost and the entry that opened each."""
    chosen = [lot for lot in view.lots.open if security in (None, lot.security)]
    columns = (Column("symbol", "Symbol"), Column("opened_on", "Bought", Kind.DATE), Column("units", "Units", Kind.UNITS), Column("cost", "Cost", Kind.MONEY),
               Column("currency", "Currency"), Column("cost_base", "Cost in base currency", Kind.MONEY), Column("opened_by", "Opened by"))  # fmt: skip
    return Evidence(LOTS, columns, tuple(_lot(view, lot) for lot in chosen))


def _lot(view: View, lot: Lot) -> tuple[Any, ...]:
    security = view.book.securities[lot.security]
    return (security.symbol, day_of(lot.opened_on), Decimal(lot.units) / UNITS, money(lot.cost), security.currency, money(lot.cost_base),
            entry_id(view, lot.row))  # fmt: skip


def disposals(view: View, chosen: Iterable[Disposal]) -> Evidence:
    """Disposals lot by lot, with the entries that opened and closed each."""
    columns = (
        Column("symbol", "Symbol"), Column("opened_on", "Opened", Kind.DATE), Column("closed_on", "Closed", Kind.DATE), Column("units", "Units", Kind.UNITS),
        Column("proceeds", "Proceeds", Kind.MONEY), Column("cost", "Cost", Kind.MONEY), Column("currency", "Currency"),
        Column("proceeds_base", "Proceeds in base currency", Kind.MONEY), Column("cost_base", "Cost in base currency", Kind.MONEY),
        Column("opened_by", "Opened by"), Column("closed_by", "Closed by"), Column("short", "Short", Kind.FLAG), Column("rate", "FX rate when closed", Kind.PRICE),
    )  # fmt: skip
    rows = []
    for d in chosen:
        security = view.book.securities[d.security]
        rate = view.book.rates.rate(security.currency, view.base, d.closed_on)
        rows.append((security.symbol, day_of(d.opened_on), day_of(d.closed_on), Decimal(d.units) / UNITS, money(d.proceeds), money(d.cost), security.currency,
                     money(d.proceeds_base), money(d.cost_base), entry_id(view, d.opening_row), entry_id(view, d.row), d.short,
                     None if isinstance(rate, NoRate) else rate))  # fmt: skip
    return Evidence(SALES, columns, tuple(rows))


def lot_history(view: View, of: Lot | Disposal) -> Evidence:
    """What opened the lot of an open lot or a disposal, and every entry that changed it since: the changes add up to what is left."""
    opened = of.row if isinstance(of, Lot) else of.opening_row
    ledger = view.book.ledger.upto(view.as_of)
    rows = around(ledger, {of.security, int(ledger.security[opened])})
    columns = (
        Column("day", "Date", Kind.DATE), Column("event", "Event"), Column("units", "Units", Kind.UNITS), Column("cost", "Cost", Kind.MONEY),
        Column("cost_base", "Cost in base currency", Kind.MONEY), Column("entry", "Entry"),
    )  # fmt: skip
    part = ledger.only(rows)
    steps = changes(part, (view.book.portfolio.dated_methods,), (view.base,), view.book.rates)
    lot = _same(steps, of, int(np.searchsorted(rows, opened)))
    shown = [
        (day_of(int(part.traded_on[c.row])), KINDS[int(part.kind[c.row])].replace("_", " "), Decimal(c.units) / UNITS, money(c.cost), money(c.cost_base),
         entry_id(view, int(rows[c.row])))
        for c in steps if c.lot == lot
    ]  # fmt: skip
    return Evidence(HISTORY, columns, tuple(shown))


def _same(steps: list[Change], of: Lot | Disposal, opened: int) -> int:
    """Which lot of the steps an open lot or a disposal speaks of."""
    mine = [c for c in steps if c.security == of.security and c.opened_by == opened]
    for lot in dict.fromkeys(c.lot for c in mine):
        its = [c for c in mine if c.lot == lot]
        if isinstance(of, Lot):
            if sum(c.units for c in its) == of.units and sum(c.cost for c in its) == of.cost:
                return lot
        elif any(abs(c.units) == of.units for c in its[1:]):
            return lot
    return mine[0].lot if mine else -1


def positions(view: View, chosen: Iterable[Position] | None = None) -> Evidence:
    """Positions with what makes their value: units × price × FX."""
    columns = (
        Column("symbol", "Symbol"), Column("units", "Units", Kind.UNITS), Column("price", "Price", Kind.PRICE), Column("currency", "Currency"),
        Column("rate", "FX rate", Kind.PRICE), Column("previous", "Close before", Kind.PRICE), Column("cost_base", "Cost in base currency", Kind.MONEY),
        Column("fresh", "Fresh price", Kind.FLAG),
    )  # fmt: skip
    rows = [(p.security.symbol, p.units, p.price, p.security.currency, p.rate, p.previous, p.cost_base, p.fresh)
            for p in (view.valuation.positions if chosen is None else chosen)]  # fmt: skip
    return Evidence(POSITIONS, columns, tuple(rows))


def cash(view: View, currencies: Iterable[str] | None = None) -> Evidence:
    """Cash by currency (all, or some), by trade date and what of it has settled, with its rate."""
    chosen = set(view.valuation.cash if currencies is None else currencies)
    columns = (
        Column("currency", "Currency"),
        Column("amount", "Amount", Kind.MONEY),
        Column("rate", "FX rate", Kind.PRICE),
        Column("settled", "Settled", Kind.MONEY),
    )
    rows = []
    for currency, amount in sorted((c, a) for c, a in view.valuation.cash.items() if c in chosen):
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        rows.append((currency, amount, None if isinstance(rate, NoRate) else rate, view.settled_cash[currency]))
    return Evidence(CASH, columns, tuple(rows))


def days(view: View, base: int | None = None, until: int | None = None) -> Evidence:
    """The daily series after day `base` (None: from its start) up to `until`: value, flows, returns; its last day is the valuation
    looked at. Kept with the View: a table asks for the same days in every cell."""
    kept = _days.setdefault(view, {})
    if (base, until) not in kept:
        kept[base, until] = _series(view, base, until)
    return kept[base, until]


_days: WeakKeyDictionary[View, dict[tuple[int | None, int | None], Evidence]] = WeakKeyDictionary()


def _series(view: View, base: int | None, until: int | None) -> Evidence:
    inside = view.days > base if base is not None else np.ones(len(view.days), np.bool_)
    if until is not None:
        inside &= view.days <= until
    at = np.flatnonzero(inside).tolist()
    own = view.own(at[0] if at else 0)
    columns = (
        Column("on", "Date", Kind.DATE), Column("value", "Value", Kind.NUMBER), Column("inflow", "In", Kind.NUMBER), Column("outflow", "Out", Kind.NUMBER),
        Column("valued", "Sound", Kind.FLAG, "enough of it is priced: a return may end here; the last day always may"),
        Column("return", "Return", Kind.PERCENT, "since the sound day before"),
    )  # fmt: skip
    rows = [
        (day_of(int(view.days[k])), float(view.total[k]), float(view.past.inflow[k]), float(view.past.outflow[k]), bool(own.valued[n]),
         _cell(own.linked[n]))
        for n, k in enumerate(at)
    ]  # fmt: skip
    return Evidence(DAYS, columns, tuple(rows), "Money as floats: the statistical side of the valuation.")


def _cell(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def returns(given: Given) -> Floats:
    """The returns out of values and flows: (V_end + out) / (V_start + in) − 1, from one sound day to the next."""
    value, inflow, outflow = (np.array(given.column(DAYS, k), float) for k in ("value", "inflow", "outflow"))
    sound = np.array(given.column(DAYS, "valued"), bool)
    return np.asarray(daily_returns(np.where(sound, settled(value), np.nan), inflow, outflow, settled(np.array([given["start value"]]))[0]))


def sessions(of: Measured) -> tuple[Evidence, Evidence]:
    """The returns that figures of risk are made of: over the look-back, and the one-day returns of all history."""
    none = np.full(len(of.on), np.nan)
    columns = (
        Column("on", "Date", Kind.DATE), Column("days", "One day", Kind.PERCENT, "a return of one day: none in a gap and at its end"),
        Column("sessions", "Session", Kind.PERCENT, "with the session's part of what a gap spans"), Column("risk_free", "Risk-free", Kind.PERCENT, "a session"),
        Column("pair_days", "One day, common", Kind.PERCENT, "on days that the benchmark has too"), Column("bench_days", "Benchmark, one day", Kind.PERCENT),
        Column("pair_sessions", "Session, common", Kind.PERCENT), Column("bench_sessions", "Benchmark, session", Kind.PERCENT),
    )  # fmt: skip
    series = [none if (x := getattr(of, c.key)) is None else x for c in columns[1:]]
    rows = tuple(
        (day_of(day), *(_cell(x) for x in cells)) for day, *cells in zip(of.on.tolist(), *(s.tolist() for s in series), strict=True)
    )
    past = tuple((day_of(day), _cell(x)) for day, x in zip(of.history_on.tolist(), of.history.tolist(), strict=True))
    return (Evidence(SESSIONS, columns, rows, "Returns of a portfolio are time-weighted, of a security total returns; all in the base currency."),
            Evidence(ALL_DAYS, (Column("on", "Date", Kind.DATE), Column("days", "One day", Kind.PERCENT)), past))  # fmt: skip


def asset(view: View, number: int, base: int, currency: str | None = None) -> Evidence:
    """The series of a security from day `base` on: raw closes with what makes them comparable, splits, dividends and exchange rates."""
    series, own = view.asset(number, currency), view.book.securities[number].currency
    first = max(int(np.searchsorted(series.days, base, side="right")) - 1, 0)
    days = series.days[first:]
    rate = view.book.rates.column(own, series.currency, days)
    paid, split = ({int(days[min(int(np.searchsorted(days, d)), len(days) - 1)]): x for d, x in found.items() if len(days) and days[0] < d <= days[-1]}
                   for found in (dividends_of(view.book, number), splits_of(view.book, number)))  # fmt: skip
    columns = (Column("on", "Date", Kind.DATE), Column("close", "Close", Kind.NUMBER, "raw, in its currency"), Column("dividend", "Dividend", Kind.NUMBER, "a share, before its close"),
               Column("split", "Split", Kind.NUMBER, "new for one old"), Column("rate", "FX rate", Kind.NUMBER, f"{series.currency} for one {own}"))  # fmt: skip
    rows = tuple((day_of(d), c, paid.get(d, 0.0), split.get(d, 1.0), _cell(r))
                 for d, c, r in zip(days.tolist(), series.close[first:].tolist(), rate.tolist(), strict=True))  # fmt: skip
    return Evidence(CLOSES, columns, rows, "The last close is the live quote where there is one.")


def against(view: View, i: int) -> Evidence:
    """The returns of portfolio and benchmark from the i-th day of the series on, spanned alike."""
    theirs = view.of_benchmark(i)
    columns = (Column("on", "Date", Kind.DATE), Column("mine", "Portfolio", Kind.PERCENT), Column("theirs", "Benchmark", Kind.PERCENT))
    if theirs is None:
        return Evidence(AGAINST, columns, ())
    mine, theirs = paired(view.own(i), theirs)
    rows = tuple((day_of(int(d)), _cell(a), _cell(b)) for d, a, b in zip(view.days[i:], mine.linked, theirs.linked, strict=True))
    return Evidence(AGAINST, columns, rows, "A day that either lacks is part of the next one.")


def moves(view: View, security: int, day: int) -> Evidence:
    """Every change of the units of a security before a day, and by corporate actions on it: what is held when the day opens."""
    ledger, found = view.book.ledger, view.lots.moves
    columns = (Column("on", "Date", Kind.DATE), Column("kind", "Kind"), Column("units", "Units", Kind.UNITS, "the change"), Column("entry", "Entry"))  # fmt: skip
    rows = []
    for row, on, delta in zip(
        *(getattr(found, n)[found.security == security].tolist() for n in ("row", "day", "delta")), strict=True
    ):
        kind = KINDS[int(ledger.kind[row])]
        if on < day or (on == day and kind in ACTIONS):
            rows.append((day_of(on), kind.replace("_", " "), Decimal(int(delta)) / UNITS, entry_id(view, row)))
    return Evidence(MOVES, columns, tuple(rows))


def that_day(view: View, i: int, security: int | None = None) -> tuple[Evidence, ...]:
    """What stands behind the value at the end of the i-th day of the series: positions (all, or one security) and cash, as floats.

    The last day is the valuation looked at, to the cent: `positions` and `cash`.
    """
    day = int(view.days[i])
    columns = (
        Column("symbol", "Symbol"), Column("units", "Units", Kind.NUMBER), Column("close", "Close", Kind.NUMBER), Column("closed_on", "Close of", Kind.DATE),
        Column("currency", "Currency"), Column("rate", "FX rate", Kind.NUMBER), Column("fresh", "Fresh price", Kind.FLAG),
        Column("paid", "Paid so far", Kind.NUMBER, "what was put in; the weight of what was never priced"),
    )  # fmt: skip
    rows, h = [], view.past
    for j, number in enumerate(h.securities):
        if security not in (None, number):
            continue
        of, its = view.book.securities[number], view.lots.moves.security == number
        mine = its & (view.lots.moves.day <= day)
        units = float(sum(view.lots.moves.delta[mine].tolist())) / UNITS
        if not units:
            continue
        close, on, fresh = _close_of(view, number, i)
        rate = _cell(view.book.rates.column(of.currency, view.base, view.days[i : i + 1])[0])
        rows.append((of.symbol, units, close, on, of.currency, rate, fresh, float(abs(h.bought[: i + 1, j].sum()))))
    held = Evidence(THAT_DAY, columns, tuple(rows), "A security without a bar yet has no value.")
    return (held,) if security is not None else (held, cash_that_day(view, i))


def _close_of(view: View, number: int, i: int) -> tuple[float | None, date | None, bool]:
    """(the close that the i-th day of the series is valued at, its day, whether it is of the last session)."""
    series, day = view.book.prices.get(number), int(view.days[i])
    found = series.at(day) if series is not None else None
    if found is None:
        return None, None, False
    due = due_days(view.book.sessions.get(view.book.securities[number].exchange), np.array([day], np.int32))[0]
    return found[1], day_of(found[0]), found[0] >= int(due)


def cash_that_day(view: View, i: int) -> Evidence:
    """Cash at the end of the i-th day of the series with the rate of that day."""
    day, columns = int(view.days[i]), (Column("currency", "Currency"), Column("amount", "Amount", Kind.MONEY), Column("rate", "FX rate", Kind.NUMBER))  # fmt: skip
    rows = [
        (currency, amount, _cell(view.book.rates.column(currency, view.base, view.days[i : i + 1])[0]))
        for currency, amount in sorted(cash_of(view.book, day).items())
    ]
    return Evidence(CASH_THAT_DAY, columns, tuple(rows))


def held(view: View, symbol: str, number: int | None = None) -> Position | None:
    """The open position of a symbol; where several exchanges have it, that of a security's number."""
    found = [p for p in view.valuation.positions if p.security.symbol == symbol]
    return next((p for p in found if number in (None, p.security.security_id)), None)
