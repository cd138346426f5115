"""What earned it: returns by security, group and position, and what exchange rates did to the gain."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.contributions import Part, opened, part, parts
from core.fx import day_of
from core.ledger import Security
from core.lots import Lots
from core.money import posted, posted_float
from core.reasons import NoRate, Reason
from core.reports import Made, report
from core.reports.allocation import group_of
from core.reports.performance import number, told, why
from core.stretch import currency_part, of_disposal
from core.table import Column, Figure, Kind
from core.view import Span, View, per_year

CASH = "Cash"


def span_of(view: View) -> tuple[Span | Reason, tuple[str, ...]]:
    """The chosen period, or all there is where the portfolio is younger, with the words that say so."""
    span = view.span(view.scope.period)
    if not isinstance(span, Reason):
        return span, ()
    whole = view.span("ALL")
    return whole, () if isinstance(whole, Reason) else (f"Shown since inception: {span}.",)


@report(
    "Returns by group",
    Column("group", "Group"),
    Column("name", "Name", wide_only=True),
    Column("start_value", "Start value", Kind.MONEY, "at the close that the period starts from", wide_only=True),
    Column("bought", "Put in", Kind.MONEY, "purchases with their fees, and what was transferred in", wide_only=True),
    Column("received", "Taken out", Kind.MONEY, "sales and income net of fees and taxes, and what was transferred out", wide_only=True),
    Column("end_value", "End value", Kind.MONEY),
    Column("gain", "Gain", Kind.MONEY, "end − start − put in + taken out; of cash: interest, fees and taxes of no security, exchange rates, rounding"),
    Column("share", "Contribution", Kind.PERCENT, "gain / average capital of the portfolio (Modified Dietz): they add up to its Modified Dietz return"),
    Column("twr", "Return", Kind.PERCENT, "time-weighted, in the base currency: put in at the start, taken out at the end of its day"),
    Column("local_twr", "Local return", Kind.PERCENT, "the same in the currency of the security", wide_only=True),
    Column("mwr", "Money-weighted", Kind.PERCENT, "XIRR over the time in which money was at work, carried to its length, not annualised", wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="Nothing was held in this period.",
)  # fmt: skip
def returns_by(view: View) -> Made:
    """What each group (`by`: sector, asset_class, country, currency, or each security) earned in the period, in the base currency.

    The gains add up to the portfolio's gain: what belongs to no security stands in the row of the cash, which also takes the
    rounding of the others to the cent. What the securities of a group pay each other on a day stays within the group.
    """
    span, notes = span_of(view)
    if isinstance(span, Reason):
        return Made([])
    found, by, base = parts(view, span), view.scope.by, view.base
    capital = span.capital if isinstance(span.dietz, float) else None
    rows: list[tuple[Any, ...]] = []
    total_gain = posted_float(span.gain, base)
    left = total_gain

    def row(name: str, title: str, p: Part, currency: str | None, security: int | None) -> tuple[Any, ...]:
        nonlocal left
        gain = posted_float(p.gain, base)
        left -= gain
        return (name, title, posted_float(p.start, base), posted_float(float(p.bought.sum()), base), posted_float(float(p.received.sum()), base),
                posted_float(p.end, base), None if p.lacking else gain, None if p.lacking or not capital else p.gain / capital,
                number(p.twr), None if p.local_twr is None else number(p.local_twr), number(p.mwr), currency, security,
                why(return_=p.twr, local_return=p.local_twr, money_weighted=p.mwr))  # fmt: skip

    if by == "security":
        for n, p in found.securities.items():
            security = view.book.securities[n]
            rows.append(row(security.symbol, security.name, p, security.currency, n))
    else:
        for name, p in found.grouped(view, lambda s: group_of(view, s, by)).items():
            rows.append(row(name, "", p, name if by == "currency" else None, None))
    rows.sort(key=lambda r: (-r[5], r[0]))
    cash = found.cash
    rows.append((CASH, "", posted_float(cash.start, base), None, None, posted_float(cash.end, base), left, float(left) / capital if capital else None,
                 None, None, None, None, None, "no return of its own: what is bought and sold moves through it"))  # fmt: skip
    total = ("Total", "", posted_float(span.start_value, base), posted_float(sum(a for _, a in span.flows if a > 0), base),
             posted_float(-sum(a for _, a in span.flows if a < 0), base), posted_float(span.end_value, base), None if span.lacking else total_gain,
             number(span.dietz), number(span.twr), None, number(span.mwr), None, None, str(span.lacking or ""))  # fmt: skip
    return Made(rows, total=total, notes=(*notes, *told(rows[:-1])))


@report(
    "Returns of open positions",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("opened_on", "Opened", Kind.DATE, "since then something of it was held at the end of every day", wide_only=True),
    Column("days", "Days", Kind.COUNT, wide_only=True),
    Column("bought", "Put in", Kind.MONEY, "purchases with their fees, and what was transferred in", wide_only=True),
    Column("received", "Taken out", Kind.MONEY, "sales and income net of fees and taxes, and what was transferred out", wide_only=True),
    Column("value", "Value", Kind.MONEY),
    Column("gain", "Gain", Kind.MONEY, "value − put in + taken out"),
    Column("twr", "Return", Kind.PERCENT, "time-weighted since it was opened, in the base currency"),
    Column("annualised", "Per year", Kind.PERCENT, "the return annualised, over at least a year, actual/365", wide_only=True),
    Column("local_twr", "Local return", Kind.PERCENT, "time-weighted, in the currency of the security", wide_only=True),
    Column("mwr", "Money-weighted", Kind.PERCENT, "XIRR since it was opened, carried to that length, not annualised"),
    Column("mwr_annualised", "MWR per year", Kind.PERCENT, "the XIRR itself; over at least a year", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="Nothing is held at this date.",
)  # fmt: skip
def position_returns(view: View) -> Made:
    """Every open position since it was opened: what went in, what came out, gain and returns, in the base currency.

    A position that was closed and opened again counts from the newer day; lots that a transfer brought along count from the
    transfer, at their market value on that day.
    """
    rows: list[tuple[Any, ...]] = []
    for n, first in opened(view).items():
        on = int(view.days[first])
        p, security = part(view, n, first, on - 1), view.book.securities[n]
        length = int(view.days[-1]) - on + 1
        annual = per_year(p.twr, length)
        rows.append(
            (security.symbol, security.name, day_of(on), length, posted_float(float(p.bought.sum()), view.base),
             posted_float(float(p.received.sum()), view.base), None if p.lacking else posted_float(p.end, view.base),
             None if p.lacking else posted_float(p.gain, view.base),
             number(p.twr), number(annual), None if p.local_twr is None else number(p.local_twr), number(p.mwr), number(p.mwr_annual), n,
             why(return_=p.twr, per_year=annual, local_return=p.local_twr, money_weighted=p.mwr, MWR_per_year=p.mwr_annual))
        )  # fmt: skip
    rows.sort(key=lambda r: (-(r[6] or Decimal(0)), r[0]))
    return Made(rows, notes=tuple(told(rows)))


@report(
    "Effect of exchange rates",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("start_value", "Start value", Kind.MONEY, wide_only=True),
    Column("end_value", "End value", Kind.MONEY, wide_only=True),
    Column("gain", "Gain", Kind.MONEY, "end − start − put in + taken out"),
    Column("local_gain", "Local part", Kind.MONEY, "Σ gain of each day in its own currency × the rate of that day"),
    Column("currency_gain", "Currency part", Kind.MONEY, "Σ value at the close before, in its own currency, × the day's change of the rate"),
    Column("local_twr", "Local return", Kind.PERCENT, "time-weighted, in the currency of the security", wide_only=True),
    Column("twr", "Return", Kind.PERCENT, "time-weighted, in the base currency", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="Nothing was held in this period.",
)  # fmt: skip
def fx_effect(view: View) -> Made:
    """The gain of the period, in the base currency, as a local and a currency part; they add up exactly, day by day.

    On each day the currency part is what was held at the close before × the change of the rate; the local part is the day's
    gain in its own currency at the new rate, so the product of both moves is in the local part. Of cash the local part is
    interest, fees and taxes, and the margin of conversions; it takes the rounding of the others to the cent.
    """
    span, notes = span_of(view)
    if isinstance(span, Reason):
        return Made([])
    found, base = parts(view, span), view.base
    rows: list[tuple[Any, ...]] = []
    gain_left, currency_all = posted_float(span.gain, base), Decimal(0)
    for n, p in found.securities.items():
        security, gain, fx = view.book.securities[n], posted_float(p.gain, base), posted_float(p.currency_gain, base)
        gain_left -= gain
        if not p.lacking:
            currency_all += fx
        known = None if p.lacking else gain
        rows.append((security.symbol, security.name, security.currency, posted_float(p.start, base), posted_float(p.end, base), known,
                     None if known is None else known - fx, None if known is None else fx,
                     None if p.local_twr is None else number(p.local_twr), number(p.twr), n, why(return_=p.twr, local_return=p.local_twr)))  # fmt: skip
    rows.sort(key=lambda r: (-abs(r[7] or Decimal(0)), -r[4], r[0]))
    cash, fx = found.cash, posted_float(found.cash.currency_gain, base)
    currency_all += fx
    rows.append(
        (
            CASH,
            "",
            "",
            posted_float(cash.start, base),
            posted_float(cash.end, base),
            gain_left,
            gain_left - fx,
            fx,
            None,
            None,
            None,
            "",
        )
    )
    whole = None if span.lacking else posted_float(span.gain, base)
    local = None if whole is None else whole - currency_all
    said = str(span.lacking) if span.lacking else None
    total = ("Total", "", "", posted_float(span.start_value, base), posted_float(span.end_value, base), whole, local,
             None if whole is None else currency_all, None, number(span.twr), None, said or "")  # fmt: skip
    figures = (
        Figure("gain", "Gain", whole, Kind.MONEY, base, said, formula="end − start − net deposits"),
        Figure("local_gain", "Local part", local, Kind.MONEY, base, said, formula="Σ gain in its own currency × the day's rate"),
        Figure("currency_gain", "Currency part", None if whole is None else currency_all, Kind.MONEY, base, said,
               formula="Σ value at the close before × change of the rate"),
    )  # fmt: skip
    return Made(rows, figures, total, (*notes, *told(rows)))


@report(
    "Gains by exchange rate",
    Column("symbol", "Symbol"),
    Column("currency", "Currency", wide_only=True),
    Column("unrealised", "Unrealised gain", Kind.MONEY, "value − cost of the open lots"),
    Column("unrealised_local", "Local part", Kind.MONEY, "(value − cost in its own currency) × today's rate"),
    Column("unrealised_currency", "Currency part", Kind.MONEY, "cost in its own currency × today's rate − cost at the rates of the purchase days"),
    Column("realised", "Realised gain", Kind.MONEY, "proceeds − cost of what was sold, since inception", wide_only=True),
    Column("realised_local", "Realised, local", Kind.MONEY, "(proceeds − cost in its own currency) × the rate of the sale", wide_only=True),
    Column("realised_currency", "Realised, currency", Kind.MONEY, "cost in its own currency × the rate of the sale − cost at the purchase's", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="Nothing was bought up to this date.",
)  # fmt: skip
def fx_gains(view: View) -> Made:
    """Unrealised and realised gain since the purchase, each as a local and a currency part that add up to the cent.

    Lot by lot, exact: the currency part is what was paid × the change of the rate from the purchase to now or to the sale, the
    local part is the gain in its own currency at the newer rate. Of a short lot what it brought takes the place of the cost.
    The rate of a sale is the one it was settled at; income has no currency part, it counts at its own day's rate.
    """
    base = view.base
    rows: list[tuple[Any, ...]] = []
    sold = realised_parts(view.lots, view)
    held = {p.security.security_id: p for p in view.valuation.positions}
    for n in sorted({*sold, *held}, key=lambda n: view.book.securities[n].symbol):
        security: Security = view.book.securities[n]
        p, reason = held.get(n), ""
        whole: Decimal | None = Decimal(0)
        fx: Decimal | None = Decimal(0)
        if p is not None:
            whole = fx = None
            if p.value_base is None or p.cost_base is None or p.rate is None:
                reason = str(
                    p.reason
                    or NoRate(security.currency, day_of(min(x.opened_on for x in view.lots.open if x.security == n)))
                )
            else:
                whole = posted(p.value_base, base) - p.cost_base
                fx = currency_part(p.cost, p.cost_base, p.rate, base)
        gain, gain_fx, unknown = sold.get(n, (Decimal(0), Decimal(0), None))
        if unknown is not None:
            reason = "; ".join(filter(None, (reason, f"realised: {unknown}")))
        rows.append((security.symbol, security.currency, whole, None if whole is None or fx is None else whole - fx, fx,
                     None if unknown else gain, None if unknown else gain - gain_fx, None if unknown else gain_fx, n, reason))  # fmt: skip

    def added(i: int) -> Decimal:
        return sum((r[i] for r in rows if r[i] is not None), Decimal(0))

    total = ("Total", "", *(added(i) for i in range(2, 8)), None, "")
    return Made(rows, total=total if rows else None, notes=tuple(told(rows)))


def realised_parts(lots: Lots, view: View) -> dict[int, tuple[Decimal, Decimal, NoRate | None]]:
    """{security: (realised gain, its currency part, the rate that is not known)}, in the base currency."""
    out: dict[int, tuple[Decimal, Decimal, NoRate | None]] = {}
    for d in lots.disposals:
        gain, fx, unknown = out.get(d.security, (Decimal(0), Decimal(0), None))
        found = of_disposal(d, view.book.securities[d.security].currency, view.base, view.book.rates)
        if isinstance(found, NoRate):
            out[d.security] = (gain, fx, unknown or found)
        else:
            out[d.security] = (gain + found.gain, fx + found.currency_gain, unknown)
    return out
