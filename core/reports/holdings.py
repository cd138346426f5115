"""What is held: summary, holdings, open lots, realised gains."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from core.fx import day_of
from core.ledger import CODE, MICRO, UNITS
from core.lots import posting_unit, summable, totals
from core.methods import SPOKEN, method_on
from core.money import posted, posted_float
from core.reasons import NoRate, Reason
from core.reports import Made, report
from core.reports.cash import settled_in_base
from core.rules import check
from core.stretch import of_disposal
from core.table import Column, Figure, Kind
from core.valuation import Position, session_before
from core.view import View, money


def ratio(part: Decimal | None, whole: Decimal | None) -> float | None:
    """part / whole as a fraction; None where either is missing or the whole is not positive."""
    return float(part / whole) if part is not None and whole is not None and whole > 0 else None


@report(
    "Overview",
    Column("figure", "Figure"),
    Column("value", "Value", Kind.TEXT, "as in JSON: money in the base currency, returns as fractions"),
    Column("unit", "Unit"),
    Column("reason", "Why it is missing"),
    empty="This portfolio has no transactions yet: import a CSV or enter the first one.",
)
def overview(view: View) -> Made:
    """What the portfolio is worth, what changed and what needs attention.

    Value = posted(Σ units × last price × FX + cash). Day and year-to-date change exclude deposits and withdrawals;
    returns are time-weighted. Unrealised gain = value − cost at the rates of the purchase days.
    """
    v = view.valuation
    day, ytd = view.span("1D"), view.span("YTD")
    if isinstance(ytd, Reason):
        ytd = view.span("ALL")
    unrealised = [
        p.value_base - p.cost_base for p in v.positions if p.value_base is not None and p.cost_base is not None
    ]
    cost = sum((p.cost_base for p in v.positions if p.value_base is not None and p.cost_base is not None), Decimal(0))
    gain = posted(sum(unrealised, Decimal(0)), view.base)
    base = view.base
    missing = "; ".join(str(m) for m in v.missing)

    def span_figure(key: str, title: str, span: object, formula: str) -> Figure:
        if isinstance(span, Reason):
            return Figure(key, title, None, Kind.MONEY, base, str(span), formula=formula)
        if span.lacking:  # type: ignore[attr-defined]
            return Figure(key, title, None, Kind.MONEY, base, str(span.lacking), formula=formula)  # type: ignore[attr-defined]
        gained = posted_float(span.gain, base)  # type: ignore[attr-defined]
        twr = span.twr  # type: ignore[attr-defined]
        return Figure(
            key, title, gained, Kind.MONEY, base, None, twr if isinstance(twr, float) else None, formula=formula
        )

    figures = (
        Figure(
            "total", "Value", v.total, Kind.MONEY, base, missing or None, formula="Σ units × last price × FX + cash"
        ),
        span_figure(
            "day", "Day change", day, "value now − value at the close before − net deposits; % is time-weighted"
        ),
        span_figure("ytd", "Year to date", ytd, "value now − value at year end − net deposits; % is time-weighted"),
        Figure(
            "unrealised",
            "Unrealised gain",
            gain,
            Kind.MONEY,
            base,
            None,
            ratio(gain, cost),
            formula="value − cost of open lots, at purchase-day FX",
        ),
        Figure(
            "cash",
            "Cash",
            v.cash_base,
            Kind.MONEY,
            base,
            None,
            view.share(v.cash_base),
            "share of the value",
            "Σ posted cash × FX",
        ),
        Figure(
            "coverage",
            "Priced",
            v.coverage,
            Kind.PERCENT,
            None,
            missing or None,
            note="share of the value with a fresh price",
        ),
    )
    alerts = [
        f"{f.rule.title}: {f.worst} at {f.value:.1%}, limit {f.limit:.1%}"
        for f in check(view)
        if f.state == "breach" and f.value is not None
    ]
    settled = settled_in_base(view)
    extra = (
        Figure("settled_cash", "Settled cash", settled, Kind.MONEY, base, formula="Σ cash by settlement date × FX"),
        Figure("unsettled_cash", "Unsettled cash", v.cash_base - settled, Kind.MONEY, base, formula="cash − settled cash: of trades that settle later"),
        Figure("invested", "Invested", v.invested, Kind.MONEY, base),
        Figure("positions", "Positions", len(v.positions), Kind.COUNT),
        Figure("breaches", "Rules breached", len(alerts), Kind.COUNT),
    )
    rows = []
    for f in (*figures, *extra):
        rows.append((f.key, f.value, f.currency or f.kind.value, f.reason))
        if f.change is not None:
            rows.append((f"{f.key}_share" if f.key == "cash" else f"{f.key}_return", f.change, "fraction", None))
    return Made(rows, (*figures, *extra), notes=tuple(alerts))


@report(
    "Holdings",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("units", "Units", Kind.UNITS),
    Column("price", "Price", Kind.PRICE, "last price in the security's currency"),
    Column("currency", "Currency", wide_only=True),
    Column("priced_on", "Priced on", Kind.DATE, "trading day of that price", wide_only=True),
    Column("value", "Value", Kind.MONEY, "units × price × FX, in the base currency"),
    Column("weight", "Weight", Kind.PERCENT, "share of the total value, cash included"),
    Column("day_change", "Day", Kind.PERCENT, "price against the close before, adjusted for splits"),
    Column(
        "cost",
        "Cost",
        Kind.MONEY,
        "cost of the open lots, purchase fees included, at the rates of the purchase days",
        wide_only=True,
    ),
    Column("unrealised", "Unrealised gain", Kind.MONEY, "value − cost"),
    Column("unrealised_percent", "Unrealised %", Kind.PERCENT, "unrealised gain / cost"),
    Column(
        "realised",
        "Realised gain",
        Kind.MONEY,
        "proceeds of sales − cost of what was sold, since inception; of positions that are still open",
        wide_only=True,
    ),
    Column("income", "Income", Kind.MONEY, "dividends net of taxes and fees, since inception", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("note", "Remark", wide_only=True),
    empty="Nothing is held at this date. Enter a purchase or import transactions.",
)
def holdings(view: View) -> Made:
    """Every open position: units, price, value, weight, cost, unrealised and realised gain, income. Base currency."""
    v = view.valuation
    closed = view.lots.closed
    realised = {n: Decimal(gain) / MICRO for n, gain in totals(closed.security, closed.gains()[0]).items()}
    income = _income(view)
    rows: list[tuple[Any, ...]] = []
    for p in v.positions:
        number = p.security.security_id
        value = None if p.value_base is None else posted(p.value_base, view.base)
        gain = None if value is None or p.cost_base is None else value - p.cost_base
        note = str(p.reason) if p.reason else no_move(view, p)
        note = "; ".join(r for r in (*(f.words for f in view.unbooked_splits if f.security.security_id == number), note) if r)
        change = float(p.price / p.previous - 1) if p.price is not None and p.previous else None
        rows.append(
            (p.security.symbol, p.security.name, p.units, p.price, p.security.currency, None if p.priced_on is None else day_of(p.priced_on), value,
             view.share(value), change, p.cost_base, gain, ratio(gain, p.cost_base), realised.get(number, Decimal(0)),
             income.get(number, Decimal(0)), number, note)
        )  # fmt: skip
    rows.sort(key=lambda r: (-(r[6] if r[6] is not None else Decimal(0)), r[0]))

    def added(i: int) -> Decimal:
        return sum((r[i] for r in rows if isinstance(r[i], Decimal)), Decimal(0))

    cost = added(9)
    total = ("Total", f"{len(rows)} positions", None, None, None, None, posted(v.invested, view.base), view.share(v.invested), None, cost, added(10),
             ratio(added(10), cost), added(12), added(13), None, "")  # fmt: skip
    return Made(rows, total=total if rows else None, notes=view.value_notes)


def no_move(view: View, p: Position) -> str:
    """Why a position has no move of the day, in words; empty where it has one, or nothing to move from."""
    if p.previous is not None or p.priced_on is None:
        return ""
    if not p.fresh:
        return f"price carried forward since {day_of(p.priced_on)}"
    if p.previous_on is None:
        return ""
    if p.previous_on < session_before(view.book, p.security.exchange, p.priced_on):
        return f"no move of one day: the close before is of {day_of(p.previous_on)}"
    return f"no move today: its price is of {day_of(p.priced_on)}"


def _income(view: View) -> dict[int, Decimal]:
    """Net dividends per security in the base currency, each at its own day's rate."""
    out: dict[int, int] = {}
    ledger, unit = view.book.ledger.upto(view.as_of), posting_unit(view.base)
    dividends = ledger.kind == CODE["dividend"]
    for place, currency in enumerate(ledger.currencies):
        rows = np.flatnonzero(dividends & (ledger.cash_currency == place))
        steps, _ = view.book.rates.posted(ledger.net[rows], currency, view.base, ledger.traded_on[rows], unit)
        for number, amount in totals(ledger.security[rows], steps).items():
            out[number] = out.get(number, 0) + amount * unit
    return {number: Decimal(amount) / MICRO for number, amount in out.items()}


@report(
    "Open lots",
    Column("symbol", "Symbol"),
    Column("opened_on", "Bought", Kind.DATE),
    Column("units", "Units", Kind.UNITS),
    Column("cost", "Cost", Kind.MONEY, "purchase fees included, in the security's currency"),
    Column("currency", "Currency", wide_only=True),
    Column("cost_base", "Cost in base currency", Kind.MONEY, "at the rate of the purchase day"),
    Column("unit_cost", "Cost per unit", Kind.PRICE, "cost / units, for display only", wide_only=True),
    Column("value", "Value", Kind.MONEY, "in the base currency"),
    Column("unrealised", "Unrealised gain", Kind.MONEY),
    Column("days_held", "Days held", Kind.COUNT, wide_only=True),
    empty="No open lots at this date.",
)
def lots(view: View) -> Made:
    """Every open lot with what is left of its total cost, by symbol and date. With `security` in the scope, those of one security.

    A partial sale takes its posted share of the cost and the rest stays. Under average cost a security has one lot.
    """
    rows: list[tuple[Any, ...]] = []
    for p in view.valuation.positions:
        number = p.security.security_id
        if view.scope.security in (None, number):
            key = (view.as_of, p.price, p.rate)
            rows += view.book.of_security("open lots", number, key, partial(_lots_of, view, p))
    method = method_on(view.book.portfolio.dated_methods, view.as_of)
    pooled = ", one pooled lot per security" if method == "average" else ""
    return Made(rows, notes=(f"Method: {SPOKEN[method].lower()}{pooled}.",))


def _lots_of(view: View, p: Position) -> list[tuple[Any, ...]]:
    """The rows of `lots` of one security."""
    its, symbol, currency = view.lots.still, p.security.symbol, p.security.currency
    its = its.only(its.security == p.security.security_id)
    factor, rows = None if p.price is None or p.rate is None else (p.price, p.rate), []
    columns = (
        its.opened_on.tolist(),
        its.units.tolist(),
        its.cost.tolist(),
        its.cost_base.tolist(),
        its.known.tolist(),
    )
    for opened, units_, cost_, base_, known in zip(*columns, strict=True):
        units, cost, cost_base = (
            Decimal(units_) / UNITS,
            Decimal(cost_) / MICRO,
            Decimal(base_) / MICRO if known else None,
        )
        value = None if factor is None else posted(units * factor[0] * factor[1], view.base)
        rows.append((symbol, day_of(opened), units, cost, currency, cost_base, cost / units if units else None, value,
                     None if value is None or cost_base is None else value - cost_base, view.as_of - opened))  # fmt: skip
    return rows


@report(
    "Realised gains",
    Column("symbol", "Symbol"),
    Column("opened_on", "Bought", Kind.DATE),
    Column("closed_on", "Sold", Kind.DATE),
    Column("units", "Units", Kind.UNITS),
    Column("proceeds", "Proceeds", Kind.MONEY, "net of sale fees and taxes, in the base currency"),
    Column("cost", "Cost", Kind.MONEY, "purchase fees included, at the rate of the purchase day"),
    Column("gain", "Gain", Kind.MONEY),
    Column("local_gain", "Of which price", Kind.MONEY, "(proceeds − cost in its own currency) × the rate of the sale", wide_only=True),
    Column("currency_gain", "Of which currency", Kind.MONEY, "cost in its own currency × the rate of the sale − cost at the purchase's", wide_only=True),
    Column("gain_percent", "Gain %", Kind.PERCENT),
    Column("days_held", "Days held", Kind.COUNT, wide_only=True),
    empty="Nothing has been sold up to this date.",
)
def realised(view: View) -> Made:
    """Every sale, lot by lot: proceeds − cost in the base currency, each side at the rate of its own day; what of it the price made
    and what the exchange rate, which add up to the cent. Of a short what it brought takes the place of the cost."""
    closed, rows = view.lots.closed, list[tuple[Any, ...]]()
    if view.scope.security is not None:
        closed = closed.only(closed.security == view.scope.security)
    for number in np.unique(closed.security).tolist():
        rows += view.book.of_security("disposals", number, view.as_of, partial(_disposals_of, view, number))
    rows.sort(key=itemgetter(2, 0), reverse=True)
    columns = (closed.proceeds_base, closed.cost_base, closed.gains()[0])
    proceeds, cost, gains = (Decimal(int(summable(column).sum())) / MICRO for column in columns)
    local, currency = (sum((r[i] for r in rows if r[i] is not None), Decimal(0)) for i in (7, 8))
    total = ("Total", None, None, None, proceeds, cost, gains, local, currency, None, None)
    return Made(rows, total=total if rows else None)


def _disposals_of(view: View, number: int) -> list[tuple[Any, ...]]:
    """The rows of `realised` of one security."""
    its, security, rows = view.lots.closed, view.book.securities[number], list[tuple[Any, ...]]()
    for d in its.only(its.security == number).objects():
        proceeds, cost = money(d.proceeds_base), money(d.cost_base)
        gain = None if proceeds is None or cost is None else proceeds - cost
        found = of_disposal(d, security.currency, view.base, view.book.rates)
        parts = (None, None) if isinstance(found, NoRate) else (found.local_gain, found.currency_gain)
        rows.append((security.symbol, day_of(d.opened_on), day_of(d.closed_on), Decimal(d.units) / UNITS, proceeds, cost, gain, *parts,
                     ratio(gain, cost), d.closed_on - d.opened_on))  # fmt: skip
    return rows
