"""How the figures of performance come about: periods, the daily series, months, performers, movers, the recorded value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.allocation import behind
from core.explain.cash import cash_held
from core.explain.evidence import CASH_THAT_DAY, CLOSES, DAYS, POSITIONS, THAT_DAY
from core.explain.holdings import coverage, total, worth
from core.explain.risk import base_of
from core.fx import day_number, day_of
from core.metrics.drawdown import drawdown_curve
from core.money import posted, posted_float
from core.reasons import Reason
from core.reports.performance import TABLE_PERIODS
from core.returns import annualised, at_work, daily_returns, link, modified_dietz, money_weighted, timed, twr
from core.returns import growth as growth_of
from core.table import Column, Kind
from core.valuation import Position, net_flow
from core.view import Span, View, per_year, settled

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
MOVED, RECORDED, FLOWS = "Bought and received", "Recorded values", "Flows"
BENCHMARK = "Π (1 + r) − 1 of the benchmark over the days on which both have a return, r = close ÷ close before − 1, in the base currency"
DAILY = "r = (V_end + out) ÷ (V_start + in) − 1 of each day"


# --- what several of them share --------------------------------------------------------------------


def values(given: Given) -> Floats:
    """The value at the start and at the end of each day of the evidence."""
    return np.concatenate([[given["start value"]], np.array(given.column(DAYS, "value"), float)])


def returns(given: Given) -> Floats:
    """The daily returns out of values and flows: (V_end + out) / (V_start + in) − 1."""
    inflow, outflow = (np.concatenate([[0.0], np.array(given.column(DAYS, k), float)]) for k in ("inflow", "outflow"))
    return np.asarray(daily_returns(values(given), inflow, outflow)[1:])


def start_of(view: View, base: int | None) -> Term:
    """The value at the close that a stretch of days starts from."""
    i = 0 if base is None else int(np.searchsorted(view.days, base, side="right"))
    said = f"close of {day_of(int(view.days[i - 1]))}" if i else "before the first transaction"
    return Term("start value", float(view.total[i - 1]) if i else 0.0, Kind.NUMBER, view.base, said)


def stretch(view: View, base: int | None, until: int | None = None) -> tuple[Any, ...]:
    """The days of a stretch, and the entries in it."""
    return evidence.days(view, base, until), evidence.entries(view, after=base, until=until)


def value_on(view: View, i: int) -> Explained | None:
    """The value at the end of the i-th day of the series."""
    if i == len(view.days) - 1:
        return total(view, {})
    day = int(view.days[i])

    def amount(g: Given) -> Decimal:
        return posted_float(_worth_that_day(g), view.base)

    return Explained(f"Σ units × close × FX + Σ cash × FX at the close of {day_of(day)}, rounded to the cent", amount, (),
                     (*evidence.that_day(view, i), evidence.entries(view, until=day)))  # fmt: skip


def _worth_that_day(g: Given) -> float:
    cells = zip(*(g.column(THAT_DAY, k) for k in ("units", "close", "rate")), strict=True)
    held = sum(u * c * r for u, c, r in cells if c is not None and r is not None)
    cash = zip(*(g.column(CASH_THAT_DAY, k) for k in ("amount", "rate")), strict=True)
    return float(held + sum(float(a) * r for a, r in cash if r is not None))


# --- periods ---------------------------------------------------------------------------------------


def _period(row: Row) -> str:
    return next(period for period, title in TABLE_PERIODS if title == row["period"])


@explains(
    "performance",
    "start_value",
    "net_flow",
    "end_value",
    "gain",
    "twr",
    "annualised",
    "mwr",
    "mwr_annualised",
    "dietz",
    "benchmark",
    "active",
)
def period_cell(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    span = view.span(_period(row))
    if row[shown] is None or isinstance(span, Reason):
        return None
    if shown == "start_value":
        return (
            value_on(view, span.first - 1)
            if span.first
            else Explained("0: nothing was there before the first transaction", lambda g: Decimal(0))
        )
    return total(view, row) if shown == "end_value" else period_figure(view, span, shown)


def period_figure(view: View, span: Span, shown: str) -> Explained:
    """A figure of a period: its flows, its gain, its returns."""
    base = int(view.days[-1]) - span.days
    given = stretch(view, base)
    flows = flows_in(span)
    start = Term("start value", span.start_value, Kind.NUMBER, view.base, f"close of {span.start}")
    end = Term("end value", span.end_value, Kind.NUMBER, view.base)
    length = Term("days", span.days, Kind.COUNT, note=f"from the close of {span.start} to {day_of(int(view.days[-1]))}")
    if shown in ("bought", "received"):
        sign = 1 if shown == "bought" else -1
        return Explained(f"Σ {'deposits' if sign > 0 else 'withdrawals'} of the days, each at the FX of its day",
                         lambda g: posted_float(sign * sum(a for a in g.column(FLOWS, "amount") if a * sign > 0), view.base), (), (flows, *given))  # fmt: skip
    if shown == "net_flow":
        return Explained(
            "Σ deposits − Σ withdrawals of the days, each at the FX of its day",
            lambda g: posted_float(_flow(g), view.base),
            (),
            given,
        )
    if shown == "gain":
        return Explained("end value − start value − Σ deposits + Σ withdrawals of the days",
                         lambda g: posted_float(g["end value"] - g["start value"] - _flow(g), view.base), (end, start), (*given, evidence.positions(view)))  # fmt: skip
    if shown == "twr":
        return Explained(f"Π (1 + r) − 1 over the days, {DAILY}", _linked, (start,), given)
    if shown == "annualised":
        return Explained(
            "(1 + return) ^ (365 ÷ days) − 1, the return linked from the days",
            lambda g: annualised(_linked(g), g["days"]),
            (start, length),
            given,
        )
    if shown == "mwr":
        return Explained("the rate at which start value and deposits grow into withdrawals and end value (XIRR), over the time money was there, not annualised",
                         lambda g: money_weighted(g["start value"], g["end value"], pairs_of(g), g["days"]), (start, end, length), (flows, *given))  # fmt: skip
    if shown == "mwr_annualised":

        def a_year(g: Given) -> Any:
            first, last = at_work(g["start value"], g["end value"], pairs_of(g), g["days"])
            return per_year(money_weighted(g["start value"], g["end value"], pairs_of(g), g["days"]), int(last - first))

        return Explained("the rate per year (XIRR, actual/365) at which start value and deposits grow into withdrawals and end value", a_year, (start, end, length),
                         (flows, *given))  # fmt: skip
    if shown == "dietz":

        def dietz(g: Given) -> Any:
            found = pairs_of(g)
            weighed = timed([f for f in found if f[1] > 0], [(on, -a) for on, a in found if a < 0])
            return modified_dietz(g["start value"], g["end value"], weighed, g["days"])

        return Explained(
            "(end value − start value − Σ flows) ÷ (start value + Σ flow × share of the days that it was there)",
            dietz,
            (start, end, length),
            (flows, *given),
        )
    bench = (*benchmark_closes(view, span.first), *given)
    if shown == "benchmark":
        return Explained(BENCHMARK, _benchmark, (), bench)
    return Explained(f"return − benchmark; {BENCHMARK}", lambda g: _linked(g) - _benchmark(g), (start,), bench)


def flows_in(span: Span) -> Evidence:
    """What came into the portfolio and left it, dated in days since the start of the period."""
    columns = (
        Column("day", "Day", Kind.NUMBER, "since the start of the period"),
        Column("amount", "Amount", Kind.NUMBER, "in the base currency; deposits positive"),
    )
    return Evidence(FLOWS, columns, tuple(span.flows))


def pairs_of(g: Given) -> list[tuple[float, float]]:
    """The flows of the evidence."""
    return list(zip(g.column(FLOWS, "day"), g.column(FLOWS, "amount"), strict=True))


def benchmark_closes(view: View, first: int) -> tuple[Evidence, ...]:
    """The closes of the benchmark from the day before the first-th day of the series on; nothing where there is none."""
    number = view.book.portfolio.benchmark_id
    before = int(view.days[first - 1]) if first else None
    return () if number is None else (evidence.closes(view, number, before, in_base=True),)


def _linked(g: Given) -> Any:
    inflow, outflow = (np.array(g.column(DAYS, k), float) for k in ("inflow", "outflow"))
    return twr(settled(np.array(g.column(DAYS, "value"), float)), inflow, outflow, g["start value"])


def _flow(g: Given) -> float:
    return float((np.array(g.column(DAYS, "inflow"), float) - np.array(g.column(DAYS, "outflow"), float)).sum())


def _closes(g: Given) -> float:
    close = np.array(g.column(CLOSES, "close"), float)
    return link(close[1:] / close[:-1] - 1)


def _benchmark(g: Given) -> float:
    close = np.array(g.column(CLOSES, "close"), float)
    r = close[1:] / close[:-1] - 1
    mine = np.array(g.column(DAYS, "return"), float)
    return link(r[np.isfinite(r) & np.isfinite(mine)])


# --- the daily series ------------------------------------------------------------------------------


def _place(view: View, on: date) -> int:
    return int(np.searchsorted(view.days, day_number(on)))


@explains("growth", "value", "net_flow", "growth", "benchmark", "drawdown", "coverage")
def day_cell(view: View, row: Row) -> Explained | None:
    shown, i = row["_column"], _place(view, row["on"])
    if row[shown] is None:
        return None
    if shown == "value":
        return value_on(view, i)
    if shown == "coverage":
        return coverage_on(view, i)
    base, until = base_of(view), day_number(row["on"])
    if shown == "net_flow":
        return Explained("Σ deposits − Σ withdrawals since inception, each at the FX of its day", lambda g: posted_float(_flow(g), view.base), (),
                         stretch(view, None, until))  # fmt: skip
    given, start = stretch(view, base, until), start_of(view, base)
    if shown == "growth":
        return Explained(
            f"Π (1 + r) since the start of the period, {DAILY}",
            lambda g: float(growth_of(returns(g))[-1]),
            (start,),
            given,
        )
    if shown == "drawdown":
        return Explained(f"growth ÷ its highest so far in the period (1 at its start) − 1, {DAILY}", lambda g: float(drawdown_curve(returns(g))[-1]),
                         (start,), given)  # fmt: skip
    return Explained("Π (1 + r) of the benchmark since the start of the period", lambda g: float(growth_of(np.array(g.column(DAYS, "benchmark"), float))[-1]),
                     (), given)  # fmt: skip


def coverage_on(view: View, i: int) -> Explained | None:
    """The share of the value with a fresh price at the end of the i-th day of the series."""
    if i == len(view.days) - 1:
        return coverage(view, {})

    def share(g: Given) -> float:
        unrated = [
            a
            for a, r in zip(g.column(CASH_THAT_DAY, "amount"), g.column(CASH_THAT_DAY, "rate"), strict=True)
            if r is None
        ]
        if any(unrated):
            return 0.0
        fresh = weight = 0.0
        for units, close, rate, new, paid in zip(
            *(g.column(THAT_DAY, k) for k in ("units", "close", "rate", "fresh", "paid")), strict=True
        ):
            known = close is not None and rate is not None
            weight += abs(units * close * rate) if known else paid
            fresh += abs(units * close * rate) if known and new else 0.0
        return fresh / weight if weight > 0 else 1.0

    return Explained("|value| with a close of the last session ÷ |value| of all positions; one never priced counts with what was paid; 0 with cash that has no rate",
                     share, (), (*evidence.that_day(view, i), evidence.entries(view, until=int(view.days[i]))))  # fmt: skip


@explains("growth", "twr", "drawdown", "now_drawdown", "benchmark", "active", figure=True)
def growth_figure(view: View, row: Row) -> Explained | None:
    shown, base = row["_figure"].key, base_of(view)
    if row["_figure"].value is None:
        return None
    given, start = stretch(view, base), start_of(view, base)
    if shown == "twr":
        return Explained(f"Π (1 + r) − 1 over the days, {DAILY}", lambda g: link(returns(g)), (start,), given)
    if shown in ("drawdown", "now_drawdown"):
        which = "its lowest in the period" if shown == "drawdown" else "its last"
        return Explained(f"{which}: growth ÷ its highest so far − 1, {DAILY}",
                         lambda g: float(drawdown_curve(returns(g)).min() if shown == "drawdown" else drawdown_curve(returns(g))[-1]), (start,), given)  # fmt: skip
    first = 0 if base is None else int(np.searchsorted(view.days, base, side="right"))
    bench = (*benchmark_closes(view, first), *given)
    if shown == "benchmark":
        return Explained(BENCHMARK, _benchmark, (), bench)
    return Explained(f"return − benchmark; {BENCHMARK}", lambda g: link(returns(g)) - _benchmark(g), (start,), bench)


@explains(
    "monthly_returns", *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), "total"
)
def month_cell(view: View, row: Row) -> Explained | None:
    shown, year = row["_column"], int(row["year"])
    if row[shown] is None:
        return None
    months = [c.key for c in row["_table"].columns]
    first = date(year, 1, 1) if shown == "total" else date(year, months.index(shown), 1)
    after = date(year + 1, 1, 1) if shown == "total" or first.month == 12 else date(year, first.month + 1, 1)
    base, until = day_number(first) - 1, day_number(after) - 1
    return Explained(
        f"Π (1 + r) − 1 over its days, {DAILY}",
        lambda g: link(returns(g)),
        (start_of(view, base),),
        stretch(view, base, until),
    )


# --- performers ------------------------------------------------------------------------------------


@explains("performers", "gain", "return", "price_return")
def performer(view: View, row: Row) -> Explained | None:
    shown, number, base = row["_column"], row["security_id"], base_of(view)
    if row[shown] is None:
        return None
    booked = evidence.entries(view, security=number, after=base)
    if shown == "price_return":
        return Explained("Π (1 + r) − 1 over the days, r = close ÷ close before − 1 in its currency", _closes, (),
                         (evidence.closes(view, number, base), booked))  # fmt: skip
    i = 0 if base is None else int(np.searchsorted(view.days, base, side="right"))
    now = [p for p in view.valuation.positions if p.security.security_id == number]
    start = (
        evidence.that_day(view, i - 1, number)
        if i
        else (Evidence(THAT_DAY, evidence.that_day(view, 0, number)[0].columns, ()),)
    )
    given = (evidence.positions(view, now), *start, moved(view, number, i), booked)

    def parts(g: Given) -> tuple[float, float, float, float]:
        cells = zip(*(g.column(THAT_DAY, k) for k in ("units", "close", "rate")), strict=True)
        before = sum(u * c * r for u, c, r in cells if c is not None and r is not None)
        bought, received = (sum(g.column(MOVED, k)) for k in ("bought", "received"))
        return float(worth(g)), float(before), bought, received

    def gain(g: Given) -> float:
        end, before, bought, received = parts(g)
        return end - before - bought + received

    if shown == "gain":
        return Explained("end value − start value − bought + received, in the base currency; a value is units × price × FX",
                         lambda g: posted_float(gain(g), view.base), (), given)  # fmt: skip

    def share(g: Given) -> float:
        _, before, bought, _ = parts(g)
        return gain(g) / (before + bought)

    return Explained(
        "gain ÷ (start value + bought), gain = end value − start value − bought + received", share, (), given
    )


def moved(view: View, number: int, first: int) -> Evidence:
    """What was put into a security and taken out of it, day by day from the first-th day of the series on."""
    h = view.past
    j = h.securities.index(number)
    columns = (
        Column("on", "Date", Kind.DATE),
        Column("bought", "Bought", Kind.NUMBER),
        Column("received", "Received", Kind.NUMBER),
    )
    rows = tuple(
        (day_of(int(h.days[i])), float(h.bought[i, j]), float(h.received[i, j]))
        for i in range(first, len(h.days)) if h.bought[i, j] or h.received[i, j]
    )  # fmt: skip
    return Evidence(
        MOVED,
        columns,
        rows,
        "In the base currency at the FX of the day: its entries, and the value that moves when one security becomes another.",
    )


# --- movers ----------------------------------------------------------------------------------------


@explains("movers", "price", "day_change", "contribution")
def mover(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    p = next(
        p for p in view.valuation.positions
        if (p.security.symbol, p.security.name, p.price) == (row["symbol"], row["name"], row["price"]) and _contribution(p, view) == row["contribution"]
    )  # fmt: skip
    given = behind(view, [p], [])

    def first(g: Given, key: str) -> Any:
        return g.column(POSITIONS, key)[0]

    if shown == "price":
        return Explained("the last price known, as the feed gave it", lambda g: first(g, "price"), (), given)
    if shown == "day_change":
        return Explained(
            "price ÷ close before − 1", lambda g: float(first(g, "price") / first(g, "previous") - 1), (), given
        )
    return Explained("units × (price − close before) × FX, rounded to the cent",
                     lambda g: posted(first(g, "units") * (first(g, "price") - first(g, "previous")) * first(g, "rate"), view.base), (), given)  # fmt: skip


def _contribution(p: Position, view: View) -> Decimal | None:
    if p.price is None or p.previous is None or p.rate is None:
        return None
    return posted(p.units * (p.price - p.previous) * p.rate, view.base)


# --- the recorded value ----------------------------------------------------------------------------


@explains("value_chart", "value", "net_flow", "cash", "coverage")
def point(view: View, row: Row) -> Explained | None:
    """The newest point of a live chart is worked out; the others were recorded when they were."""
    shown = row["_column"]
    live = view.valuation
    now = {
        "value": live.total,
        "net_flow": net_flow(view.book, view.as_of),
        "cash": live.cash_base,
        "coverage": live.coverage,
    }
    if view.live and row["_row"] == len(row["_table"].rows) - 1 and row[shown] == now[shown]:
        if shown == "net_flow":
            return flows_of(view)
        return {"value": total, "cash": cash_held, "coverage": coverage}[shown](view, row)
    what = {"value": "Σ units × price × FX + Σ cash × FX", "net_flow": "Σ deposits − Σ withdrawals since inception", "cash": "Σ cash × FX",
            "coverage": "share of the value with a fresh price"}[shown]  # fmt: skip
    kind = next(c.kind for c in row["_table"].columns if c.key == shown)
    then = "as it was recorded at that moment with the prices of that moment"
    how = {"restated": f"{then}; what was booked later for an earlier day is added to it",
           "computed": "at the close of that session, out of the ledger and the closes: nobody recorded it"}.get(row["state"], then)  # fmt: skip
    return Explained(f"{what}, {how}", lambda g: g["recorded"],
                     (Term("recorded", row[shown], kind, view.base, f"{row['at']:%Y-%m-%d %H:%M} UTC"),),
                     (evidence.entries(view, until=day_number(row["at"].date())),))  # fmt: skip


def flows_of(view: View) -> Explained:
    """Deposits less withdrawals since inception, entry by entry."""
    kinds = ("deposit", "withdrawal", "transfer_in", "transfer_out")

    def flow(g: Given) -> Decimal:
        out = Decimal(0)
        for kind, symbol, gross, net, own, cash in zip(
            *(g.column(evidence.ENTRIES, k) for k in ("kind", "symbol", "gross", "net", "rate_own", "rate")),
            strict=True,
        ):
            rate = own if symbol else cash
            out += 0 if rate is None else (gross if kind == "transfer in" else -gross) * rate if symbol else net * rate
        return posted(out, view.base)

    return Explained("Σ net cash of deposits, withdrawals and transfers, and the market value of what moved in kind, each at the FX of its day",
                     flow, (), (evidence.entries(view, kinds=kinds),))  # fmt: skip


@explains("value_chart", "start", "change", "net_flow", "gain", figure=True)
def chart_figure(view: View, row: Row) -> Explained:
    shown, chart = row["_figure"].key, row["_table"]
    columns = tuple(c for c in chart.columns if c.key in ("at", "value", "net_flow"))
    recorded = Evidence(RECORDED, columns, tuple((r["at"], r["value"], r["net_flow"]) for r in chart.records()))

    def ends(g: Given, key: str) -> Decimal:
        cells = g.column(RECORDED, key)
        return Decimal(cells[-1] - cells[0])

    formulas: dict[str, tuple[str, Any]] = {
        "start": ("the first value of the chart", lambda g: g.column(RECORDED, "value")[0]),
        "change": ("last value − first value", lambda g: ends(g, "value")),
        "net_flow": ("net deposits at the end − at the start", lambda g: ends(g, "net_flow")),
        "gain": (
            "(last value − first value) − (net deposits at the end − at the start)",
            lambda g: ends(g, "value") - ends(g, "net_flow"),
        ),
    }
    first = day_number(chart.rows[0][0].date())
    return Explained(
        *formulas[shown],
        (),
        (recorded, evidence.entries(view, after=first - 1), evidence.positions(view), evidence.cash(view)),
    )
