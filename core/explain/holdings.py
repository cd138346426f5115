"""How the figures of what is held come about: overview, holdings, open lots, realised gains."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from core.explain import EXPLAINERS, Explained, Given, Term, evidence, explains
from core.explain.cash import cash_worth
from core.explain.evidence import DAYS, ENTRIES, HISTORY, LOTS, POSITIONS, SALES, returns
from core.fx import day_number
from core.ledger import MICRO, UNITS
from core.lots import Disposal, Lot
from core.money import posted, posted_float
from core.reasons import Reason
from core.returns import link
from core.rules import check
from core.table import Figure, Kind
from core.view import View, money

Row = Mapping[str, Any]


# --- overview ------------------------------------------------------------------------------------


def worth(given: Given) -> Decimal:
    """Σ units × price × FX over the positions, those without a price or a rate left out."""
    columns = (given.column(POSITIONS, k) for k in ("units", "price", "rate"))
    return sum((u * p * r for u, p, r in zip(*columns, strict=True) if p is not None and r is not None), Decimal(0))


def _behind(view: View) -> tuple[Any, ...]:
    held = [p.security.security_id for p in view.valuation.positions]
    currencies = {p.security.currency for p in view.valuation.positions} | set(view.valuation.cash)
    return (
        evidence.positions(view),
        evidence.cash(view),
        evidence.prices(view, held),
        evidence.rates(view, currencies),
        evidence.entries(view),
    )


@explains("overview", "total", figure=True)
def total(view: View, row: Row) -> Explained:
    return Explained("Σ units × last price × FX + Σ cash × FX, rounded to the cent",
                     lambda g: posted(worth(g) + cash_worth(g), view.base), (), _behind(view))  # fmt: skip


@explains("overview", "invested", figure=True)
def invested(view: View, row: Row) -> Explained:
    return Explained(
        "Σ units × last price × FX, rounded to the cent", lambda g: posted(worth(g), view.base), (), _behind(view)
    )


@explains("overview", "positions", figure=True)
def positions(view: View, row: Row) -> Explained:
    return Explained(
        "number of securities with open lots",
        lambda g: len(g.column(POSITIONS, "symbol")),
        (),
        (evidence.positions(view),),
    )


@explains("overview", "breaches", figure=True)
def breaches(view: View, row: Row) -> Explained:
    found = check(view)
    terms = tuple(Term(f.rule.title, f.state, Kind.TEXT) for f in found)
    return Explained(
        "number of rules whose measure is beyond its limit", lambda g: sum(g[t.name] == "breach" for t in terms), terms
    )


@explains("overview", "coverage", figure=True)
def coverage(view: View, row: Row) -> Explained:
    def share(g: Given) -> float:
        fresh = weight = Decimal(0)
        names = ("units", "price", "rate", "cost_base", "fresh")
        for units, price, rate, cost, is_fresh in zip(*(g.column(POSITIONS, n) for n in names), strict=True):
            value = abs(units * price * rate) if price is not None and rate is not None else None
            weight += value if value is not None else abs(cost or 0)
            fresh += value if value is not None and is_fresh else 0
        return float(fresh / weight) if weight else 1.0

    return Explained(
        "|value| with a fresh price ÷ |value| of all positions; one never priced counts with its cost",
        share,
        (),
        _behind(view),
    )


@explains("overview", "unrealised", figure=True)
def unrealised_all(view: View, row: Row) -> Explained:
    def gain(g: Given) -> Decimal:
        names = ("units", "price", "rate", "cost_base")
        cells = zip(*(g.column(POSITIONS, n) for n in names), strict=True)
        known = [(u * p * r, c) for u, p, r, c in cells if p is not None and r is not None and c is not None]
        return posted(sum((value - cost for value, cost in known), Decimal(0)), view.base)

    return Explained(
        "Σ (units × price × FX − cost at the FX of the purchase days)",
        gain,
        (),
        (*_behind(view), evidence.open_lots(view)),
    )


@explains("overview", "day", "ytd", figure=True)
def change(view: View, row: Row) -> Explained | None:
    figure = row["_figure"]
    period = "1D" if figure.key == "day" else "YTD"
    span = view.span(period)
    if isinstance(span, Reason):
        period, span = "ALL", view.span("ALL")
    if isinstance(span, Reason) or span.lacking:
        return None
    return gain_between(view, period)


def gain_between(view: View, period: str) -> Explained:
    """end value − start value − net deposits of a period."""
    base = view.base_day(period)
    span = view.span(period)
    assert not isinstance(span, Reason)
    terms = (
        Term("end value", span.end_value, Kind.MONEY, view.base),
        Term("start value", span.start_value, Kind.MONEY, view.base, f"close of {span.start}"),
    )
    shown = evidence.days(view, base if isinstance(base, int) else None)

    def gain(g: Given) -> Decimal:
        flow = float(np.array(g.column(DAYS, "inflow")).sum() - np.array(g.column(DAYS, "outflow")).sum())
        return posted_float(g["end value"] - g["start value"] - flow, view.base)

    return Explained("end value − start value − net deposits of the days between", gain, terms,
                     (shown, evidence.positions(view), evidence.entries(view)))  # fmt: skip


def linked(view: View, period: str) -> Explained:
    """The time-weighted return of a period: r = (V_end + out) / (V_start + in) − 1 of each day, linked."""
    base, span = view.base_day(period), view.span(period)
    assert not isinstance(span, Reason)
    terms = (Term("start value", span.start_value, Kind.MONEY, view.base, f"close of {span.start}"),)

    return Explained("Π (1 + r) − 1 over the days, r = (V_end + out) / (V_start + in) − 1", lambda g: link(returns(g)), terms,
                     (evidence.days(view, base if isinstance(base, int) else None), evidence.entries(view)))  # fmt: skip


@explains("overview", "value")
def overview_row(view: View, row: Row) -> Explained | None:
    """A row of the table says what a card says, or the fraction beside it."""
    name, value = str(row["figure"]), row["value"]
    if name in ("day_return", "ytd_return"):
        period = "1D" if name == "day_return" else "YTD"
        return linked(view, period if not isinstance(view.span(period), Reason) else "ALL")
    if name in ("unrealised_return", "cash_share"):
        part, of = ("unrealised gain", "cost") if name.startswith("unrealised") else ("cash", "value")
        if name == "cash_share":
            parts = (view.valuation.cash_base, view.valuation.total)
        else:
            known = [p for p in view.valuation.positions if p.value_base is not None and p.cost_base is not None]
            cost = sum((p.cost_base for p in known if p.cost_base is not None), Decimal(0))
            gain = sum(
                (p.value_base - p.cost_base for p in known if p.value_base is not None and p.cost_base is not None),
                Decimal(0),
            )
            parts = (posted(gain, view.base), cost)
        return Explained(f"{part} ÷ {of}", lambda g: float(g[part] / g[of]),
                         (Term(part, parts[0], Kind.MONEY, view.base), Term(of, parts[1], Kind.MONEY, view.base)), _behind(view))  # fmt: skip
    function = EXPLAINERS.get(("overview", "figure", name))
    if function is None:
        return None
    return function(view, {"_figure": Figure(name, name, value, Kind.MONEY)})


# --- holdings ------------------------------------------------------------------------------------


def _one(view: View, row: Row) -> Any:
    p = evidence.held(view, row["symbol"], row.get("security_id"))
    assert p is not None, row["symbol"]
    return p


def _trail(view: View, p: Any) -> tuple[Any, ...]:
    number = p.security.security_id
    return (evidence.open_lots(view, number), evidence.prices(view, [number]), evidence.rates(view, [p.security.currency]),
            evidence.entries(view, security=number))  # fmt: skip


@explains("holdings", "units")
def units(view: View, row: Row) -> Explained:
    p = _one(view, row)
    return Explained("Σ units of the open lots", lambda g: g.total(LOTS, "units"), (), _trail(view, p))


@explains("holdings", "price")
def price(view: View, row: Row) -> Explained | None:
    p = _one(view, row)
    if p.price is None:
        return None
    return Explained(
        "the last price known, as the feed gave it", lambda g: g.column("Prices", "price")[0], (), _trail(view, p)[1:]
    )


@explains("holdings", "value")
def value(view: View, row: Row) -> Explained | None:
    p = _one(view, row)
    if p.value_base is None:
        return None
    terms = (Term("units", p.units, Kind.UNITS), Term("price", p.price, Kind.PRICE, p.security.currency),
             Term("FX", p.rate, Kind.PRICE, view.base, f"{view.base} for one {p.security.currency}"))  # fmt: skip
    return Explained(
        "units × price × FX, rounded to the cent",
        lambda g: posted(g["units"] * g["price"] * g["FX"], view.base),
        terms,
        _trail(view, p),
    )


@explains("holdings", "weight")
def weight(view: View, row: Row) -> Explained | None:
    if row["weight"] is None:
        return None
    terms = (
        Term("value", row["value"], Kind.MONEY, view.base),
        Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),
    )
    return Explained(
        "value ÷ value of the portfolio",
        lambda g: float(g["value"] / g["value of the portfolio"]),
        terms,
        _trail(view, _one(view, row)),
    )


@explains("holdings", "day_change")
def day_change(view: View, row: Row) -> Explained | None:
    p = _one(view, row)
    if p.price is None or not p.previous:
        return None
    terms = (
        Term("price", p.price, Kind.PRICE, p.security.currency),
        Term("close before", p.previous, Kind.PRICE, p.security.currency),
    )
    return Explained(
        "price ÷ close before − 1", lambda g: float(g["price"] / g["close before"] - 1), terms, _trail(view, p)[1:]
    )


@explains("holdings", "cost")
def cost(view: View, row: Row) -> Explained | None:
    if row["cost"] is None:
        return None
    return Explained(
        "Σ cost of the open lots, each at the FX of its purchase",
        lambda g: g.total(LOTS, "cost_base"),
        (),
        _trail(view, _one(view, row)),
    )


@explains("holdings", "unrealised")
def unrealised(view: View, row: Row) -> Explained | None:
    if row["unrealised"] is None:
        return None
    terms = (Term("value", row["value"], Kind.MONEY, view.base), Term("cost", row["cost"], Kind.MONEY, view.base))
    return Explained("value − cost", lambda g: g["value"] - g["cost"], terms, _trail(view, _one(view, row)))


@explains("holdings", "unrealised_percent")
def unrealised_percent(view: View, row: Row) -> Explained | None:
    if row["unrealised_percent"] is None:
        return None
    terms = (
        Term("unrealised gain", row["unrealised"], Kind.MONEY, view.base),
        Term("cost", row["cost"], Kind.MONEY, view.base),
    )
    return Explained(
        "unrealised gain ÷ cost",
        lambda g: float(g["unrealised gain"] / g["cost"]),
        terms,
        _trail(view, _one(view, row)),
    )


@explains("holdings", "realised")
def realised_of(view: View, row: Row) -> Explained:
    number = row["security_id"]
    sales = [d for d in view.lots.disposals if d.security == number]
    rows = {d.row for d in sales} | {d.opening_row for d in sales}

    def gain(g: Given) -> Decimal:
        pairs = zip(g.column(SALES, "proceeds_base"), g.column(SALES, "cost_base"), strict=True)
        return sum((p - c for p, c in pairs if p is not None and c is not None), Decimal(0))

    return Explained("Σ (proceeds − cost) of its disposals, each side at the FX of its own day", gain, (),
                     (evidence.disposals(view, sales), evidence.entries(view, rows)))  # fmt: skip


@explains("holdings", "income")
def income(view: View, row: Row) -> Explained:
    return Explained("Σ dividends net of taxes and fees, each at the FX of its day", lambda g: g.total(ENTRIES, "net_base"), (),
                     (evidence.entries(view, security=row["security_id"], kinds=("dividend",)),))  # fmt: skip


@explains("holdings", "value", total=True)
def value_total(view: View, row: Row) -> Explained | None:
    return invested(view, row)


@explains("holdings", "weight", total=True)
def weight_total(view: View, row: Row) -> Explained | None:
    if row["weight"] is None:
        return None
    terms = (
        Term("invested", view.valuation.invested, Kind.MONEY, view.base),
        Term("value of the portfolio", view.valuation.total, Kind.MONEY, view.base),
    )
    return Explained(
        "invested ÷ value of the portfolio",
        lambda g: float(g["invested"] / g["value of the portfolio"]),
        terms,
        _behind(view),
    )


@explains("holdings", "unrealised_percent", total=True)
def unrealised_percent_total(view: View, row: Row) -> Explained | None:
    return unrealised_percent_of(view, row) if row["unrealised_percent"] is not None else None


def unrealised_percent_of(view: View, row: Row) -> Explained:
    """Of the total row: its own gain over its own cost."""
    terms = (
        Term("unrealised gain", row["unrealised"], Kind.MONEY, view.base),
        Term("cost", row["cost"], Kind.MONEY, view.base),
    )
    return Explained("unrealised gain ÷ cost", lambda g: float(g["unrealised gain"] / g["cost"]), terms, _behind(view))


# --- open lots -----------------------------------------------------------------------------------


@explains("lots", "units", "cost", "cost_base")
def lot_cells(view: View, row: Row) -> Explained | None:
    name = {"units": "units", "cost": "cost", "cost_base": "cost_base"}[row["_column"]]
    if row[name] is None:
        return None
    lot = _lot(view, row)
    behind = (
        evidence.lot_history(view, lot),
        evidence.entries(view, security=lot.security),
        evidence.rates(view, [row["currency"]], lot.opened_on),
    )
    formula = {"units": "units bought − units taken, splits applied", "cost": "cost of the purchase, fees included, − the share of it that was taken",
               "cost_base": "cost at the FX of the purchase − the share of it that was taken"}[name]  # fmt: skip
    return Explained(formula, lambda g: g.total(HISTORY, name), (), behind)


def _lot(view: View, row: Row) -> Lot:
    return next(
        x for x in view.lots.open
        if view.book.securities[x.security].symbol == row["symbol"] and x.opened_on == day_number(row["opened_on"])
        and Decimal(x.units) / UNITS == row["units"] and Decimal(x.cost) / MICRO == row["cost"]
    )  # fmt: skip


def _of_lot(view: View, row: Row) -> Any:
    p = evidence.held(view, row["symbol"], _lot(view, row).security)
    assert p is not None, row["symbol"]
    return p


@explains("lots", "unit_cost")
def unit_cost(view: View, row: Row) -> Explained | None:
    if row["unit_cost"] is None:
        return None
    terms = (Term("cost", row["cost"], Kind.MONEY, row["currency"]), Term("units", row["units"], Kind.UNITS))
    return Explained(
        "cost ÷ units, for display only",
        lambda g: g["cost"] / g["units"],
        terms,
        (evidence.lot_history(view, _lot(view, row)),),
    )


@explains("lots", "value")
def lot_value(view: View, row: Row) -> Explained | None:
    p = _of_lot(view, row)
    if row["value"] is None:
        return None
    terms = (
        Term("units", row["units"], Kind.UNITS),
        Term("price", p.price, Kind.PRICE, p.security.currency),
        Term("FX", p.rate, Kind.PRICE, view.base),
    )
    return Explained(
        "units × price × FX, rounded to the cent",
        lambda g: posted(g["units"] * g["price"] * g["FX"], view.base),
        terms,
        _trail(view, p)[1:],
    )


@explains("lots", "unrealised")
def lot_unrealised(view: View, row: Row) -> Explained | None:
    if row["unrealised"] is None:
        return None
    terms = (Term("value", row["value"], Kind.MONEY, view.base), Term("cost", row["cost_base"], Kind.MONEY, view.base))
    return Explained(
        "value − cost in the base currency", lambda g: g["value"] - g["cost"], terms, _trail(view, _of_lot(view, row))
    )


@explains("lots", "days_held")
def lot_days(view: View, row: Row) -> Explained:
    terms = (Term("date looked at", view.on, Kind.DATE), Term("bought", row["opened_on"], Kind.DATE))
    return Explained(
        "days from the purchase to the date looked at", lambda g: (g["date looked at"] - g["bought"]).days, terms
    )


# --- realised gains ------------------------------------------------------------------------------


def _sale(view: View, row: Row) -> Disposal:
    return next(
        d for d in view.lots.disposals
        if view.book.securities[d.security].symbol == row["symbol"] and d.opened_on == day_number(row["opened_on"])
        and d.closed_on == day_number(row["closed_on"]) and Decimal(d.units) / UNITS == row["units"]
        and money(d.proceeds_base) == row["proceeds"] and money(d.cost_base) == row["cost"]
    )  # fmt: skip


@explains("realised", "units", "proceeds", "cost", "gain")
def sale_cells(view: View, row: Row) -> Explained | None:
    name = row["_column"]
    if row[name] is None:
        return None
    d = _sale(view, row)
    behind = (evidence.disposals(view, [d]), evidence.entries(view, {d.row, d.opening_row}), evidence.lot_history(view, d),
              evidence.rates(view, [view.book.securities[d.security].currency], d.closed_on))  # fmt: skip
    one = {"units": "units", "proceeds": "proceeds_base", "cost": "cost_base"}
    if name == "gain":
        terms = (
            Term("proceeds", row["proceeds"], Kind.MONEY, view.base),
            Term("cost", row["cost"], Kind.MONEY, view.base),
        )
        return Explained(
            "proceeds − cost, each side at the FX of its own day", lambda g: g["proceeds"] - g["cost"], terms, behind
        )
    if name in ("units", "cost") and not d.short and d.units:
        of = {"units": "units", "cost": "cost_base"}[name]
        here = d.closed_on

        def taken(g: Given) -> Decimal:
            cells = zip(g.column(HISTORY, "day"), g.column(HISTORY, "entry"), g.column(HISTORY, of), strict=True)
            return -sum(
                (v for day, entry, v in cells if entry == g["closed by"] and day_number(day) == here), Decimal(0)
            )

        return Explained("what the sale took out of the lot: its share of the lot's cost, rounded over all that was taken so far",
                         taken, (Term("closed by", evidence.entry_id(view, d.row), Kind.TEXT),), behind)  # fmt: skip
    return Explained(
        "the share of the row's net amount that falls on this lot, by units" if name == "proceeds" else "as booked",
        lambda g: g.column(SALES, one[name])[0], (), behind,
    )  # fmt: skip


def parts_of_sales(g: Given, base: str) -> tuple[Decimal, Decimal]:
    """(Σ gain, Σ currency part) of the disposals in the evidence."""
    gain = moved = Decimal(0)
    names = ("proceeds", "cost", "proceeds_base", "cost_base", "short", "rate")
    for proceeds, cost, proceeds_base, cost_base, short, of_day in zip(*(g.column(SALES, n) for n in names), strict=True):
        sides = ((cost, cost_base), (proceeds, proceeds_base))
        (start, start_base), (end, end_base) = sides[::-1] if short else sides
        part = posted(start * (end_base / end if end else of_day), base) - start_base
        gain += proceeds_base - cost_base
        moved += -part if short else part
    return gain, moved


@explains("realised", "local_gain", "currency_gain")
def sale_parts(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    d = _sale(view, row)
    behind = (evidence.disposals(view, [d]), evidence.entries(view, {d.row, d.opening_row}),
              evidence.rates(view, [view.book.securities[d.security].currency], d.closed_on))  # fmt: skip
    if shown == "currency_gain":
        return Explained("cost in its own currency × FX of the sale (proceeds in base currency ÷ proceeds) − cost at the FX of the purchase",
                         lambda g: parts_of_sales(g, view.base)[1], (), behind)  # fmt: skip

    def local(g: Given) -> Decimal:
        gain, moved = parts_of_sales(g, view.base)
        return gain - moved

    return Explained("(proceeds − cost in its own currency) × FX of the sale: gain − currency part", local, (), behind)


@explains("realised", "gain_percent")
def sale_percent(view: View, row: Row) -> Explained | None:
    if row["gain_percent"] is None:
        return None
    terms = (Term("gain", row["gain"], Kind.MONEY, view.base), Term("cost", row["cost"], Kind.MONEY, view.base))
    return Explained(
        "gain ÷ cost", lambda g: float(g["gain"] / g["cost"]), terms, (evidence.disposals(view, [_sale(view, row)]),)
    )


@explains("realised", "days_held")
def sale_days(view: View, row: Row) -> Explained:
    terms = (Term("closed", row["closed_on"], Kind.DATE), Term("opened", row["opened_on"], Kind.DATE))
    return Explained("days from opening to closing", lambda g: (g["closed"] - g["opened"]).days, terms)
