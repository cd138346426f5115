"""What stands behind a number: entries of the ledger, prices, rates, lots, positions, days. Explainers put these together."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from core.booking import Change, changes
from core.explain import Evidence
from core.fx import day_number, day_of
from core.ledger import KINDS, MICRO, UNITS, around
from core.lots import Disposal, Lot
from core.money import posted
from core.reasons import NoRate
from core.table import Column, Kind
from core.valuation import Position, price_at, quote_day
from core.view import View, money

ENTRIES, PRICES, RATES, LOTS, SALES, HISTORY, POSITIONS, CASH, DAYS = (
    "Transactions", "Prices", "FX rates", "Open lots", "Disposals", "History of the lot", "Positions", "Cash", "Days",
)  # fmt: skip
_ENTRY = (
    Column("traded_on", "Date", Kind.DATE), Column("kind", "Kind"), Column("symbol", "Symbol"), Column("quantity", "Quantity", Kind.UNITS),
    Column("gross", "Gross", Kind.MONEY), Column("fees", "Fees", Kind.MONEY), Column("taxes", "Taxes", Kind.MONEY), Column("currency", "Currency"),
    Column("net", "Net cash", Kind.MONEY), Column("cash_currency", "Cash in"), Column("rate", "FX rate", Kind.PRICE, "base currency for one unit of cash"),
    Column("net_base", "Net in base currency", Kind.MONEY), Column("transaction_id", "Id"),
)  # fmt: skip


def entries(
    view: View, rows: Iterable[int] | None = None, security: int | None = None, kinds: Iterable[str] = ()
) -> Evidence:
    """Entries of the effective ledger up to the date looked at: some rows, those of one security, of some kinds, or all."""
    ledger = view.book.ledger.upto(view.as_of)
    if rows is not None:
        chosen = sorted({r for r in rows if r < len(ledger)})
    else:
        wanted = np.ones(len(ledger), np.bool_)
        if security is not None:
            into = [r for r, d in ledger.details.items() if d.into == security and r < len(ledger)]
            wanted = ledger.security == security
            wanted[into] = True
        if kinds:
            wanted &= np.isin(ledger.kind, [KINDS.index(k) for k in kinds])
        chosen = np.flatnonzero(wanted).tolist()
    return Evidence(ENTRIES, _ENTRY, tuple(_entry(view, r) for r in chosen))


def _entry(view: View, r: int) -> tuple[Any, ...]:
    ledger = view.book.ledger
    security = view.book.securities.get(int(ledger.security[r]))
    cash = ledger.currencies[int(ledger.cash_currency[r])]
    net = Decimal(int(ledger.net[r])) / MICRO
    rate = view.book.rates.rate(cash, view.base, int(ledger.traded_on[r]))
    known = None if isinstance(rate, NoRate) else rate
    return (
        day_of(int(ledger.traded_on[r])), KINDS[int(ledger.kind[r])].replace("_", " "), security.symbol if security else None,
        Decimal(int(ledger.quantity[r])) / UNITS or None, money(int(ledger.gross[r])), money(int(ledger.fees[r])), money(int(ledger.taxes[r])),
        ledger.currencies[int(ledger.currency[r])], net, cash, known, None if known is None else posted(net * known, view.base),
        entry_id(view, r),
    )  # fmt: skip


def entry_id(view: View, row: int) -> str:
    """The id of an entry, by its row in the ledger."""
    return str(UUID(bytes=bytes(view.book.ledger.ids[row])))


def prices(view: View, securities: Iterable[int]) -> Evidence:
    """The price in use of each security, its day and where it comes from, and the close before it."""
    rows: list[tuple[Any, ...]] = []
    for number in securities:
        found = price_at(view.book, number, view.as_of, view.quotes)
        security = view.book.securities[number]
        if found is None:
            rows.append((security.symbol, None, None, None, security.currency, "never priced"))
            continue
        price, day, before = found
        quote = view.quotes.get(number)
        live = quote is not None and quote.price == price and quote_day(view.book, number, quote) == day
        source = (
            f"{quote.provider}, quoted {quote.quoted_at:%Y-%m-%d %H:%M} UTC"
            if live and quote is not None
            else "close of the day"
        )
        rows.append((security.symbol, day_of(day), price, before, security.currency, source))
    columns = (Column("symbol", "Symbol"), Column("priced_on", "Priced on", Kind.DATE), Column("price", "Price", Kind.PRICE),
               Column("previous", "Close before", Kind.PRICE), Column("currency", "Currency"), Column("source", "Source"))  # fmt: skip
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
        Column("opened_by", "Opened by"), Column("closed_by", "Closed by"),
    )  # fmt: skip
    rows = []
    for d in chosen:
        security = view.book.securities[d.security]
        rows.append((security.symbol, day_of(d.opened_on), day_of(d.closed_on), Decimal(d.units) / UNITS, money(d.proceeds), money(d.cost), security.currency,
                     money(d.proceeds_base), money(d.cost_base), entry_id(view, d.opening_row), entry_id(view, d.row)))  # fmt: skip
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


def cash(view: View) -> Evidence:
    """Cash by currency with its rate."""
    columns = (
        Column("currency", "Currency"),
        Column("amount", "Amount", Kind.MONEY),
        Column("rate", "FX rate", Kind.PRICE),
    )
    rows = []
    for currency, amount in sorted(view.valuation.cash.items()):
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        rows.append((currency, amount, None if isinstance(rate, NoRate) else rate))
    return Evidence(CASH, columns, tuple(rows))


def days(view: View, base: int | None = None) -> Evidence:
    """The daily series after day `base` (None: all of it): value, flows, returns; the last day is the valuation looked at."""
    inside = view.days > base if base is not None else np.ones(len(view.days), np.bool_)
    bench = view.benchmark_returns
    columns = (
        Column("on", "Date", Kind.DATE), Column("value", "Value", Kind.NUMBER), Column("inflow", "In", Kind.NUMBER), Column("outflow", "Out", Kind.NUMBER),
        Column("return", "Return", Kind.PERCENT), Column("sound", "For statistics", Kind.PERCENT, "the return where the valuation is complete"),
        Column("benchmark", "Benchmark", Kind.PERCENT),
    )  # fmt: skip

    def cell(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    rows = [
        (day_of(int(view.days[i])), float(view.total[i]), float(view.past.inflow[i]), float(view.past.outflow[i]), cell(view.returns[i]),
         cell(view.sound_returns[i]), None if bench is None else cell(bench[i]))
        for i in np.flatnonzero(inside).tolist()
    ]  # fmt: skip
    return Evidence(DAYS, columns, tuple(rows), "Money as floats: the statistical side of the valuation.")


def held_by(view: View, symbol: str) -> Position | None:
    """The open position of a symbol."""
    return next((p for p in view.valuation.positions if p.security.symbol == symbol), None)


def number_of(view: View, symbol: str) -> int | None:
    """The number of a security by its symbol."""
    return next((n for n, s in view.book.securities.items() if s.symbol == symbol), None)


def day_in(view: View, day: Any) -> int:
    """A date as a day number."""
    return day_number(day)
