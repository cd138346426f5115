"""How the returns by security and group and the effect of exchange rates come about: the daily series of each security."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from core.contributions import Part, opened, part, parts, together
from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import LOTS
from core.explain.holdings import parts_of_sales, total
from core.explain.performance import period_figure, value_on
from core.fx import day_of
from core.money import posted, posted_float
from core.reasons import Reason
from core.reports.allocation import group_of
from core.reports.contributions import CASH, span_of
from core.table import Column, Kind
from core.view import Span, View, per_year

Row = Mapping[str, Any]
SERIES, OTHERS, BALANCES = "Daily series", "Rows", "Cash by day"
WORDS = {
    "start_value": "value at the close that the period starts from: units × close × FX",
    "end_value": "value now: units × price × FX",
    "bought": "Σ put in over the days: purchases with their fees, transfers in at market value",
    "received": "Σ taken out over the days: sales and income net of fees and taxes, transfers out",
    "gain": "end − start − put in + taken out",
    "share": "(end − start − put in + taken out) ÷ average capital of the portfolio",
    "twr": "Π (1 + r) − 1, r = (V_end + taken out) ÷ (V_start + put in) − 1 of each day",
    "local_twr": "Π (1 + r) − 1, r = (V_end + taken out) ÷ (V_start + put in) − 1 of each day, every amount ÷ FX of its day",
    "mwr": "the rate at which start value and what was put in grow into what was taken out and the end value (XIRR), over the time money was at work",
    "mwr_annualised": "the same rate per year, actual/365",
    "currency_gain": "Σ (value at the close before ÷ FX of that day) × change of the FX, over the days",
    "local_gain": "gain − currency part",
}


# --- the daily series of securities --------------------------------------------------------------


def series(view: View, numbers: Sequence[int], first: int, base: int) -> Evidence:
    """Value, what was put in and taken out of some securities, day by day; the row before the first day is the start."""
    columns = (
        Column("symbol", "Symbol"), Column("number", "Security", Kind.COUNT), Column("on", "Date", Kind.DATE), Column("day", "Day", Kind.COUNT, "since the start"),
        Column("value", "Value", Kind.NUMBER), Column("bought", "Put in", Kind.NUMBER), Column("received", "Taken out", Kind.NUMBER), Column("rate", "FX rate", Kind.NUMBER),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for n in numbers:
        p, symbol = part(view, n, first, base), view.book.securities[n].symbol
        rate = [None] * (len(p.value) + 1) if p.rate is None else [float(x) if np.isfinite(x) else None for x in p.rate]
        before = int(view.days[first - 1]) if first else int(view.days[0]) - 1
        rows.append((symbol, n, day_of(before), None, p.start, 0.0, 0.0, rate[0]))
        rows += [
            (
                symbol,
                n,
                day_of(int(view.days[first + k])),
                int(p.on[k]),
                None if p.unpriced is not None and p.unpriced[k] else float(p.value[k]),
                float(p.bought[k]),
                float(p.received[k]),
                rate[k + 1],
            )
            for k in range(len(p.value))
        ]
    return Evidence(
        SERIES, columns, tuple(rows), "In the base currency, as floats: units × close × FX, and the entries of the day."
    )


def rebuilt(g: Given) -> Part:
    """The security, or the group as one, out of the daily series."""
    found: dict[Any, list[tuple[Any, ...]]] = {}
    for number, *cells in zip(
        *(g.column(SERIES, k) for k in ("number", "day", "value", "bought", "received", "rate")), strict=True
    ):
        found.setdefault(number, []).append(tuple(cells))
    made = [_part(rows) for rows in found.values()]
    return made[0] if len(made) == 1 else together(made)


def _part(rows: list[tuple[Any, ...]]) -> Part:
    days, value, bought, received, rate = zip(*rows, strict=True)
    x = np.array([np.nan if r is None else r for r in rate], float)
    before = np.array([v or 0.0 for v in value[:-1]], float)
    risk = np.divide(before, x[:-1], out=np.zeros(len(before)), where=(before != 0) & np.isfinite(x[:-1]))
    moved = float(np.sum(risk * np.nan_to_num(np.diff(x))))
    worth = np.array([np.nan if v is None else v for v in value], float)
    return Part(float(value[0]), np.nan_to_num(worth[1:]), np.array(bought[1:], float), np.array(received[1:], float), np.array(days[1:], np.int64),
                moved, x, None, np.isnan(worth[1:]) if np.isnan(worth).any() else None)  # fmt: skip


def known(value: Any) -> Any:
    """The figure, or None where it is undefined."""
    return None if isinstance(value, Reason) else value


def figure(name: str, p: Part, base: str) -> Any:
    """A figure of a security or group."""
    money = {"start_value": lambda: p.start, "end_value": lambda: p.end, "value": lambda: p.end, "bought": lambda: float(p.bought.sum()),
             "received": lambda: float(p.received.sum()), "gain": lambda: p.gain, "currency_gain": lambda: p.currency_gain}  # fmt: skip
    if name in money:
        return posted_float(money[name](), base)
    if name == "local_gain":
        return posted_float(p.gain, base) - posted_float(p.currency_gain, base)
    return known(getattr(p, "mwr_annual" if name == "mwr_annualised" else name))


def _behind(view: View, numbers: Sequence[int], first: int, base: int) -> tuple[Evidence, ...]:
    currencies = {view.book.securities[n].currency for n in numbers}
    start = tuple(evidence.that_day(view, first - 1, n)[0] for n in numbers[:1]) if first and len(numbers) == 1 else ()
    return (series(view, numbers, first, base), *start, evidence.prices(view, numbers), evidence.rates(view, currencies),
            evidence.entries(view, () if not numbers else None, securities=numbers, after=base))  # fmt: skip


def _capital(span: Span) -> Term:
    return Term(
        "average capital",
        span.capital,
        Kind.NUMBER,
        note=f"Modified Dietz: start value {span.start_value:,.2f} + each flow × the share of the {span.days} days it was there",
    )


def _span(view: View) -> Span:
    span, _ = span_of(view)
    assert not isinstance(span, Reason)
    return span


# --- returns by group ----------------------------------------------------------------------------


@explains("returns_by", "start_value", "bought", "received", "end_value", "gain", "share", "twr", "local_twr", "mwr")
def of_group(view: View, row: Row) -> Explained | None:
    shown, span = row["_column"], _span(view)
    if row[shown] is None:
        return None
    if row["group"] == CASH and row["_row"] == len(row["_table"].rows) - 1:
        return _of_cash(view, row, span)
    by = view.scope.by
    found = parts(view, span).securities
    numbers = (
        [row["security_id"]]
        if row["security_id"] is not None
        else [n for n in found if group_of(view, view.book.securities[n], by) == row["group"]]
    )
    given = _behind(view, numbers, span.first, int(view.days[-1]) - span.days)
    if shown == "share":
        return Explained(WORDS["share"], lambda g: rebuilt(g).gain / g["average capital"], (_capital(span),), given)
    return Explained(WORDS[shown], lambda g: figure(shown, rebuilt(g), view.base), (), given)


def _of_cash(view: View, row: Row, span: Span) -> Explained | None:
    shown, table = row["_column"], row["_table"]
    if shown in ("start_value", "end_value"):
        return _cash_value(view, span, shown)
    columns = tuple(c for c in table.columns if c.key in ("group", "symbol", "gain"))
    rest = Evidence(OTHERS, columns, tuple((r[columns[0].key], r["gain"]) for r in _unlacking(view, table, span)))
    terms = (Term("end value", span.end_value, Kind.NUMBER, view.base), Term("start value", span.start_value, Kind.NUMBER, view.base),
             Term("net deposits", span.net_flow, Kind.NUMBER, view.base))  # fmt: skip

    def gain(g: Given) -> Decimal:
        return posted_float(g["end value"] - g["start value"] - g["net deposits"], view.base) - g.total(OTHERS, "gain")

    behind = (rest, evidence.entries(view, after=int(view.days[-1]) - span.days))
    if shown == "gain":
        return Explained(
            "gain of the portfolio (end − start − net deposits) − gains of all other rows", gain, terms, behind
        )
    return Explained("(gain of the portfolio − gains of all other rows) ÷ average capital", lambda g: float(gain(g)) / g["average capital"],
                     (*terms, _capital(span)), behind)  # fmt: skip


def _unlacking(view: View, table: Any, span: Span) -> list[dict[str, Any]]:
    """The rows but the cash, with their gains, also where a price is missing and none is shown."""
    found, by = parts(view, span), view.scope.by
    if table.name == "returns_by" and by != "security":
        grouped = found.grouped(view, lambda s: group_of(view, s, by))
        return [{"group": name, "gain": posted_float(p.gain, view.base)} for name, p in grouped.items()]
    key = "group" if table.name == "returns_by" else "symbol"
    return [
        {key: view.book.securities[n].symbol, "gain": posted_float(p.gain, view.base)}
        for n, p in found.securities.items()
    ]


def _cash_value(view: View, span: Span, shown: str) -> Explained:
    if shown == "end_value":
        held = tuple(float(v) for v in view.last_values)
        columns = (Column("symbol", "Symbol"), Column("value", "Value", Kind.NUMBER))
        worth = Evidence(
            OTHERS,
            columns,
            tuple((view.book.securities[n].symbol, v) for n, v in zip(view.past.securities, held, strict=True) if v),
        )
        terms = (Term("value of the portfolio", span.end_value, Kind.NUMBER, view.base),)
        return Explained("value of the portfolio − values of the positions", lambda g: posted_float(g["value of the portfolio"] - sum(g.column(OTHERS, "value")), view.base),
                         terms, (worth, evidence.cash(view), evidence.entries(view)))  # fmt: skip
    if not span.first:
        return Explained("0: nothing was there before the first transaction", lambda g: Decimal(0))
    title = evidence.CASH_THAT_DAY

    def worth_of(g: Given) -> Decimal:
        pairs = zip(g.column(title, "amount"), g.column(title, "rate"), strict=True)
        return posted_float(sum(float(a) * r for a, r in pairs if r is not None), view.base)

    return Explained(f"Σ cash × FX at the close of {span.start}, rounded to the cent", worth_of, (),
                     (evidence.cash_that_day(view, span.first - 1), evidence.entries(view, until=int(view.days[span.first - 1]))))  # fmt: skip


@explains("returns_by", "start_value", "bought", "received", "end_value", "gain", "share", "twr", "mwr", total=True)
def of_all(view: View, row: Row) -> Explained | None:
    shown, span = row["_column"], _span(view)
    if row[shown] is None:
        return None
    if shown == "end_value":
        return total(view, row)
    if shown == "start_value":
        return (
            value_on(view, span.first - 1)
            if span.first
            else Explained("0: nothing was there before the first transaction", lambda g: Decimal(0))
        )
    return period_figure(view, span, "dietz" if shown == "share" else str(shown))


# --- open positions ------------------------------------------------------------------------------


@explains(
    "position_returns",
    "days",
    "bought",
    "received",
    "value",
    "gain",
    "twr",
    "annualised",
    "local_twr",
    "mwr",
    "mwr_annualised",
)
def of_position(view: View, row: Row) -> Explained | None:
    shown, number = row["_column"], row["security_id"]
    if row[shown] is None:
        return None
    first = opened(view)[number]
    base = int(view.days[first]) - 1
    given = _behind(view, [number], first, base)
    since = (Term("to", day_of(int(view.days[-1])), Kind.DATE), Term("opened", day_of(base + 1), Kind.DATE))
    if shown == "days":
        return Explained(
            "days from the opening to the date looked at, both included",
            lambda g: (g["to"] - g["opened"]).days + 1,
            since,
            given,
        )
    if shown == "annualised":
        return Explained(f"(1 + return) ^ (365 ÷ days) − 1, return = {WORDS['twr']}",
                         lambda g: known(per_year(rebuilt(g).twr, (g["to"] - g["opened"]).days + 1)), since, given)  # fmt: skip
    said = "value − put in + taken out" if shown == "gain" else WORDS.get(shown, WORDS["end_value"])
    return Explained(said, lambda g: figure(shown, rebuilt(g), view.base), (), given)


# --- exchange rates ------------------------------------------------------------------------------


@explains("fx_effect", "start_value", "end_value", "gain", "local_gain", "currency_gain", "local_twr", "twr")
def effect(view: View, row: Row) -> Explained | None:
    shown, span = row["_column"], _span(view)
    if row[shown] is None:
        return None
    if row["symbol"] == CASH and row["security_id"] is None:
        return _cash_effect(view, row, span)
    given = _behind(view, [row["security_id"]], span.first, int(view.days[-1]) - span.days)
    return Explained(WORDS[shown], lambda g: figure(shown, rebuilt(g), view.base), (), given)


def balances(view: View, first: int) -> Evidence:
    """Cash in other currencies at the end of each day from the one before the first on, with the rate of the day."""
    columns = (
        Column("currency", "Currency"),
        Column("on", "Date", Kind.DATE),
        Column("balance", "Balance", Kind.NUMBER),
        Column("rate", "FX rate", Kind.NUMBER),
    )
    ledger, rows = view.book.ledger.upto(view.end_day), []
    at = np.searchsorted(view.days, ledger.traded_on)
    for place, currency in enumerate(ledger.currencies):
        mine = ledger.cash_currency == place
        if currency != view.base and mine.any():
            held = np.cumsum(
                np.bincount(at[mine], weights=ledger.net[mine].astype(np.float64) / 1_000_000, minlength=len(view.days))
            )
            rate = view.rates(currency)
            rows += [(currency, day_of(int(view.days[i])), float(held[i]), float(rate[i]) if np.isfinite(rate[i]) else None)
                     for i in range(max(first - 1, 0), len(view.days))]  # fmt: skip
    return Evidence(BALANCES, columns, tuple(rows))


def _cash_currency(g: Given) -> float:
    out, last = 0.0, None
    for currency, balance, rate in zip(*(g.column(BALANCES, k) for k in ("currency", "balance", "rate")), strict=True):
        if last is not None and last[0] == currency and rate is not None and last[2] is not None:
            out += last[1] * (rate - last[2])
        last = (currency, balance, rate)
    return out


def _cash_effect(view: View, row: Row, span: Span) -> Explained | None:
    shown = row["_column"]
    if shown in ("start_value", "end_value"):
        return _cash_value(view, span, shown)
    held = balances(view, span.first)
    if shown == "currency_gain":
        return Explained("Σ balance at the close before × change of the FX, over the days and currencies", lambda g: posted_float(_cash_currency(g), view.base), (),
                         (held, evidence.entries(view)))  # fmt: skip
    made = _of_cash(view, {**row, "_column": "gain"}, span)
    if made is None or shown == "gain":
        return made
    return Explained(
        f"{made.formula} − currency part",
        lambda g: made.compute(g) - posted_float(_cash_currency(g), view.base),
        made.terms,
        (held, *made.evidence),
    )


@explains("fx_effect", "start_value", "end_value", "gain", "local_gain", "currency_gain", "twr", total=True)
def effect_of_all(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    if shown in ("start_value", "end_value", "twr"):
        return of_all(view, row)
    return _whole(view, shown, row)


@explains("fx_effect", "gain", "local_gain", "currency_gain", figure=True)
def effect_figure(view: View, row: Row) -> Explained | None:
    f = row["_figure"]
    return None if f.value is None else _whole(view, f.key, row)


def _whole(view: View, shown: str, row: Row) -> Explained | None:
    span = _span(view)
    if shown == "gain":
        return period_figure(view, span, "gain")
    columns = tuple(c for c in row["_table"].columns if c.key in ("symbol", "currency_gain"))
    rows = Evidence(OTHERS, columns, tuple((r["symbol"], r["currency_gain"]) for r in row["_table"].records()))
    behind = (rows, balances(view, span.first), evidence.entries(view, after=int(view.days[-1]) - span.days))
    if shown == "currency_gain":
        return Explained("Σ currency parts of all rows", lambda g: g.total(OTHERS, "currency_gain"), (), behind)
    whole = period_figure(view, span, "gain")
    return Explained(f"gain − Σ currency parts of all rows, gain = {whole.formula}", lambda g: whole.compute(g) - g.total(OTHERS, "currency_gain"), whole.terms,
                     (*behind, *(e for e in whole.evidence if e.title not in {b.title for b in behind})))  # fmt: skip


@explains(
    "fx_gains",
    "unrealised",
    "unrealised_local",
    "unrealised_currency",
    "realised",
    "realised_local",
    "realised_currency",
)
def since_purchase(view: View, row: Row) -> Explained | None:
    shown, number, base = row["_column"], row["security_id"], view.base
    if row[shown] is None:
        return None
    if shown.startswith("realised"):
        return _realised(view, shown, number)
    p = evidence.held(view, row["symbol"], number)
    if p is None:
        return Explained("0: nothing of it is held", lambda g: Decimal(0))
    terms = (
        Term("units", p.units, Kind.UNITS),
        Term("price", p.price, Kind.PRICE, p.security.currency),
        Term("FX", p.rate, Kind.PRICE, base),
    )
    lots = (
        evidence.open_lots(view, number),
        evidence.prices(view, [number]),
        evidence.rates(view, [p.security.currency]),
        evidence.entries(view, security=number),
    )

    def whole(g: Given) -> Decimal:
        return posted(g["units"] * g["price"] * g["FX"], base) - g.total(LOTS, "cost_base")

    def currency(g: Given) -> Decimal:
        return posted(g.total(LOTS, "cost") * g["FX"], base) - g.total(LOTS, "cost_base")

    if shown == "unrealised":
        return Explained("units × price × FX − cost at the FX of the purchases", whole, terms, lots)
    if shown == "unrealised_currency":
        return Explained(
            "cost in its own currency × FX of now − cost at the FX of the purchases", currency, terms[2:], lots
        )
    return Explained(
        "(units × price − cost) × FX of now, each side rounded: gain − currency part",
        lambda g: whole(g) - currency(g),
        terms,
        lots,
    )


def _realised(view: View, shown: str, number: int) -> Explained:
    sold = [d for d in view.lots.disposals if d.security == number]
    behind = (evidence.disposals(view, sold), evidence.entries(view, {r for d in sold for r in (d.row, d.opening_row)}))

    def sums(g: Given) -> tuple[Decimal, Decimal]:
        return parts_of_sales(g, view.base)

    formulas = {"realised": ("Σ (proceeds − cost), each side at the FX of its own day", lambda g: sums(g)[0]),
                "realised_currency": ("Σ cost in its own currency × FX of the sale − cost at the FX of the purchase", lambda g: sums(g)[1]),
                "realised_local": ("Σ (proceeds − cost in its own currency) × FX of the sale: gain − currency part", lambda g: sums(g)[0] - sums(g)[1])}  # fmt: skip
    return Explained(*formulas[shown], (), behind)
