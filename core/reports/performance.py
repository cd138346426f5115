"""How it went: returns by period, growth against the benchmark, months, performers, the value chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fx import day_of
from core.metrics.drawdown import drawdown_curve
from core.money import posted, posted_float
from core.reasons import NoBenchmark, Reason
from core.reports import Made, report
from core.reports.holdings import no_move
from core.reports.risk import spanned
from core.return_series import ReturnSeries
from core.returns import growth as growth_of
from core.returns import monthly
from core.table import Column, Figure, Kind
from core.valuation import net_flow
from core.view import View

TABLE_PERIODS = (("1D", "Day"), ("1W", "Week"), ("MTD", "Month to date"), ("QTD", "Quarter to date"), ("YTD", "Year to date"),
                 ("1Y", "1 year"), ("3Y", "3 years"), ("5Y", "5 years"), ("ALL", "Since inception"))  # fmt: skip


def number(value: float | Reason) -> float | None:
    """The number, or None where there is a reason instead."""
    return value if isinstance(value, float) else None


def why(**figures: object) -> str:
    """The reasons among these figures in words, each once, with the figures that they belong to; one that all share without."""
    found: dict[str, list[str]] = {}
    for name, value in figures.items():
        if isinstance(value, Reason):
            found.setdefault(str(value), []).append(name.strip("_").replace("_", " "))
    said = []
    for reason, names in found.items():
        totals = [n for n in names if not n.endswith("per year")]  # what has no total has none per year either
        said.append(f"{', '.join(totals)}: {reason}" if 0 < len(totals) < 3 else reason)
    return "; ".join(said)


def told(rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """What the last column of the rows says, as sentences; that a short time has no figure per year needs none."""
    for row in rows:
        reasons = [r for r in str(row[-1] or "").split("; ") if r and not r.startswith("not annualised")]
        if reasons:
            yield f"{row[0]}: {'; '.join(reasons)}."


GRADES = ((0.20, "strong"), (0.05, "good"), (-0.05, "flat"), (-0.20, "weak"))  # from this return on; below them all: poor
PERFORMANCE_GRADES = ", ".join(f"{name} ≥ {'−' if floor < 0 else ''}{abs(floor):.0%}".replace("%", " %") for floor, name in GRADES) + ", poor below"


@report(
    "Returns by period",
    Column("period", "Period"),
    Column("start", "From close of", Kind.DATE, wide_only=True),
    Column("start_value", "Start value", Kind.MONEY, wide_only=True),
    Column("net_flow", "Net deposits", Kind.MONEY, "deposits less withdrawals, transfers in kind at market value", wide_only=True),
    Column("end_value", "End value", Kind.MONEY, wide_only=True),
    Column("gain", "Gain", Kind.MONEY, "end − start − net deposits"),
    Column("twr", "Return", Kind.PERCENT, "time-weighted (TWR): daily r = (V_end + out) / (V_start + in) − 1, linked"),
    Column("annualised", "Per year", Kind.PERCENT, "the return annualised, over at least a year, actual/365", wide_only=True),
    Column("mwr", "Money-weighted", Kind.PERCENT,
           "MWR: XIRR of start value, dated flows and end value, carried to the length of the period, not annualised"),
    Column("mwr_annualised", "MWR per year", Kind.PERCENT, "the XIRR itself, actual/365, effective per year; over at least a year", wide_only=True),
    Column("dietz", "Modified Dietz", Kind.PERCENT,
           "gain / average capital; inflows weighted from the start of their day, outflows to its end; not annualised", wide_only=True),
    Column(
        "benchmark", "Benchmark", Kind.PERCENT, "total return of the benchmark over the same days, in the base currency; price return where no dividends are known", wide_only=True
    ),
    Column("active", "Active", Kind.PERCENT, "return − benchmark, the arithmetic difference"),
    Column("reason", "Remark", wide_only=True),
    empty="There is no history yet.",
)  # fmt: skip
def performance(view: View) -> Made:
    """Value change, net deposits, gain and returns per period, each under its own name.

    Return is time-weighted: deposits do not change it. Money-weighted is what the money that was there earned; both are
    totals of the period, and per year only where it is at least one year long. A figure that is undefined has its reason in
    the remark; a period longer than the portfolio's life has nothing but a reason.
    """
    rows: list[tuple[Any, ...]] = []
    for period, title in TABLE_PERIODS:
        span = view.span(period)
        if isinstance(span, Reason):
            if len(view.days):
                rows.append((title, *(None,) * 12, str(span)))
            continue
        mwr = span.mwr
        rows.append(
            (title, span.start, posted_float(span.start_value, view.base), posted_float(span.net_flow, view.base), posted_float(span.end_value, view.base),
             None if span.lacking else posted_float(span.gain, view.base), number(span.twr), number(span.annual), number(mwr), number(span.mwr_annual),
             number(span.dietz), number(span.benchmark), number(span.active),
             why(return_=span.twr, per_year=span.annual, money_weighted=mwr, MWR_per_year=span.mwr_annual, Modified_Dietz=span.dietz,
                 benchmark=None if isinstance(span.benchmark, NoBenchmark) else span.benchmark))
        )  # fmt: skip
    unset = () if not rows else ("Benchmark and active return: no benchmark is set.",) if not view.benchmark_name else (f"Benchmark: {view.benchmark_name}, in {view.base}.",)  # fmt: skip
    return Made(rows, notes=(*unset, *told(rows), *(spanned(view) if rows else ())))


@report(
    "Growth",
    Column("on", "Date", Kind.DATE),
    Column("value", "Value", Kind.MONEY, "at the close, in the base currency"),
    Column("net_flow", "Net deposits", Kind.MONEY, "deposits less withdrawals since inception"),
    Column("growth", "Growth of 1", Kind.NUMBER, "time-weighted, 1 at the start of the period"),
    Column("benchmark", "Benchmark", Kind.NUMBER, "the same of the benchmark"),
    Column("drawdown", "Drawdown", Kind.PERCENT, "growth against its highest so far in the period"),
    Column("coverage", "Priced", Kind.PERCENT, "share of the value with a fresh price"),
    empty="There is no history yet.",
)
def growth(view: View) -> Made:
    """The daily series of the period (`period`): value, net deposits, growth of 1 against the benchmark, drawdown.

    The first row is the day that the period starts from, at 1. On a day whose valuation is incomplete the value is carried forward
    as it was then known, and growth and drawdown have none: the next sound day spans the gap. The benchmark has none before it begins.
    """
    if not len(view.days):
        return Made([])
    inside = view.within(view.scope.period)
    if not inside.any():
        return Made([])
    i = int(np.argmax(inside))
    own, bench = view.own(i), view.of_benchmark(i)
    curve, fall = growth_of(own.linked), np.concatenate(([0.0], drawdown_curve(own.linked)))
    theirs = None if bench is None else benchmark_curve(bench)
    valued = np.concatenate(([True], own.valued))
    flow = np.cumsum(view.past.inflow - view.past.outflow)
    rows = [
        (day_of(day), posted_float(float(view.total[k]) if k >= 0 else 0.0, view.base), posted_float(float(flow[k]) if k >= 0 else 0.0, view.base),
         float(curve[n]) if valued[n] else None, None if theirs is None or np.isnan(theirs[n]) else float(theirs[n]), float(fall[n]) if valued[n] else None,
         float(view.coverage[k]) if k >= 0 else None)
        for n, (k, day) in enumerate(zip(range(i - 1, len(view.days)), (_base_of(view, i), *view.days[i:].tolist()), strict=True))
    ]  # fmt: skip
    total, low = view.time_weighted(i), int(np.argmin(np.where(valued, fall, 0.0)))
    returned = number(total)
    figures = [
        Figure("twr", "Return", returned, Kind.PERCENT, reason=None if returned is not None else str(total), formula="Π (1 + r) − 1 over the period"),
        Figure(
            "drawdown",
            "Deepest drawdown",
            float(fall[low]),
            Kind.PERCENT,
            note=f"on {rows[low][0].isoformat()}",
        ),
        Figure("now_drawdown", "Below its high", float(fall[-1]), Kind.PERCENT),
    ]  # fmt: skip
    if view.book.portfolio.benchmark_id is not None:
        b = view.benchmark_over(i)
        said = str(b) if isinstance(b, Reason) else None
        figures[1:1] = [
            Figure("benchmark", "Benchmark", number(b), Kind.PERCENT, reason=said),
            Figure("active", "Active return", returned - b if isinstance(b, float) and returned is not None else None, Kind.PERCENT, reason=said,
                   formula="return − benchmark, over the same days"),
        ]  # fmt: skip
    base = view.base_day(view.scope.period)
    notes = [] if isinstance(base, int) else [f"Shown since inception: {base}."]
    notes += [*spanned(view, i), *([f"Benchmark: {view.benchmark_name}, in {view.base}."] if view.benchmark_name else [])]
    return Made(rows, tuple(figures), notes=tuple(notes))


def benchmark_curve(bench: ReturnSeries) -> NDArray[np.float64]:
    """Growth of 1 of a benchmark on the base day and on the days: NaN before it begins and in its holes, 1 where it begins."""
    begins = int(np.argmax(np.isfinite(bench.linked))) if np.isfinite(bench.linked).any() else len(bench.linked)
    at = np.flatnonzero(bench.valued[:begins])
    first = int(at[-1]) + 1 if len(at) else 0  # where its first price is: the base day, or a later one
    seen = np.concatenate(([first == 0], bench.valued)) & (np.arange(len(bench.linked) + 1) >= first)
    return np.where(seen, growth_of(bench.linked), np.nan)


def _base_of(view: View, i: int) -> int:
    """The day that the i-th day of the series starts from."""
    return int(view.days[i - 1]) if i else int(view.days[0]) - 1


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@report(
    "Monthly returns",
    Column("year", "Year", Kind.TEXT),
    *(Column(m.lower(), m, Kind.PERCENT) for m in _MONTHS),
    Column("total", "Year total", Kind.PERCENT),
    empty="There is no full day of history yet.",
)
def monthly_returns(view: View) -> Made:
    """Time-weighted return of every calendar month and year; the first and the last may be partial. A gap in the prices counts in
    the month in which it ends."""
    if not len(view.days):
        return Made([])
    months = monthly([day_of(int(d)) for d in view.days], view.returns)
    rows = [
        (
            str(year),
            *(None if np.isnan(x) else float(x) for x in months.months[i]),
            None if np.isnan(months.totals[i]) else float(months.totals[i]),
        )
        for i, year in enumerate(months.years)
    ]
    return Made(rows[::-1])


@report(
    "Performers",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("gain", "Gain", Kind.MONEY, "end value − start value − bought + received, in the base currency"),
    Column("return", "Return", Kind.PERCENT, "gain / (start value + bought)"),
    Column("price_return", "Price return", Kind.PERCENT, "of the security itself, in its currency, adjusted for splits", wide_only=True),
    Column("category", "Category", note=f"of the return of the period: {PERFORMANCE_GRADES}"),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="Nothing was held in this period.",
)
def performers(view: View) -> Made:
    """What each security earned in the period, best first; sold ones included. Gain counts sales and dividends."""
    if not len(view.days):
        return Made([])
    inside, h = view.within(view.scope.period), view.past
    if not inside.any():
        return Made([])
    i = int(np.argmax(inside))
    start = h.value[i - 1] if i else np.zeros(len(h.securities))
    bought, received = h.bought[inside].sum(axis=0), h.received[inside].sum(axis=0)
    gain, capital = view.last_values - start - bought + received, start + bought
    rows = []
    for j, number_ in enumerate(h.securities):
        if capital[j] <= 0.005:
            continue
        share = float(gain[j] / capital[j])
        price = view.price_return(number_, i)
        security = view.book.securities[number_]
        rows.append((security.symbol, security.name, posted_float(float(gain[j]), view.base), share,
                     price, performance_category(share), number_))  # fmt: skip
    return Made(sorted(rows, key=lambda r: -r[3]))


def performance_category(total_return: float | None) -> str:
    """The one word for a return (`PERFORMANCE_GRADES` says which); unknown without a figure."""
    if total_return is None:
        return "unknown"
    digits = round(total_return, 12)  # without the dust of adding floats: 20 % is strong
    return next((name for floor, name in GRADES if digits >= floor), "poor")


@report(
    "Movers",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("price", "Price", Kind.PRICE),
    Column("day_change", "Day", Kind.PERCENT, "price against the close before, adjusted for splits"),
    Column("contribution", "Change in value", Kind.MONEY, "units × price change × FX, in the base currency"),
    empty="No position has two prices yet.",
)
def movers(view: View) -> Made:
    """Open positions by their price change of the day, largest move first. One whose price is of an earlier session, or whose close
    before is missing, has made no move today."""
    rows, still = [], []
    for p in view.valuation.positions:
        if said := no_move(view, p):
            still.append(f"{p.security.symbol}: {said}.")
        if p.price is not None and p.previous and p.rate is not None:
            rows.append((p.security.symbol, p.security.name, p.price, float(p.price / p.previous - 1),
                         posted(p.units * (p.price - p.previous) * p.rate, view.base)))  # fmt: skip
    return Made(sorted(rows, key=lambda r: -abs(r[3])), notes=tuple(still))


@report(
    "Value",
    Column("at", "Time", Kind.TIME, "UTC"),
    Column("value", "Value", Kind.MONEY, "in the base currency"),
    Column("net_flow", "Net deposits", Kind.MONEY, "deposits less withdrawals since inception"),
    Column("cash", "Cash", Kind.MONEY),
    Column("coverage", "Priced", Kind.PERCENT, "share of the value with a fresh price"),
    Column(
        "state",
        "State",
        note="recorded as it was; restated: what was booked later for an earlier day was added; computed from closes; now",
        wide_only=True,
    ),
    empty="No snapshot has been taken in this period yet: the scheduler writes one every few minutes while the market is open.",
)
def value_chart(view: View, chart: list[Any]) -> Made:
    """The recorded snapshots of the period, one a bucket: 1D 5 min, 1W 30 min, 1M an hour, 3M three hours, else daily.

    Value change, net deposits and gain are told apart: gain = end − start − net deposits. With `known_at` the points are daily
    closes, computed from the ledger, prices and FX known then: what was recorded in the meantime is not used.
    """
    if view.scope.known_at is not None:
        rows = _closes(view)
    else:
        rows = [(p.at, p.total, p.net_flow, p.cash, p.coverage, p.state) for p in chart]
    live = view.valuation
    times = view.quote_times()
    if view.live and rows:  # what moved since the last snapshot, by a quote or by a booking
        flow = net_flow(view.book, view.as_of)
        newer = max(times) if times and max(times) > rows[-1][0] else None
        if newer or (live.total, flow) != (rows[-1][1], rows[-1][2]):
            at = newer or max(view.now, rows[-1][0])
            if len(rows) > 1 and at - rows[-1][0] < timedelta(minutes=1):  # the same minute: the newer one stands
                rows.pop()
            rows.append((at, live.total, flow, live.cash_base, live.coverage, "now"))
    if not rows:
        return Made([])
    change, flow, wrong = rows[-1][1] - rows[0][1], rows[-1][2] - rows[0][2], view.wrong_units
    figures = (
        Figure("start", "Start value", rows[0][1], Kind.MONEY, view.base),
        Figure("change", "Value change", change, Kind.MONEY, view.base),
        Figure("net_flow", "Net deposits", flow, Kind.MONEY, view.base),
        Figure(
            "gain",
            "Gain",
            None if wrong else change - flow,
            Kind.MONEY,
            view.base,
            reason=str(wrong) if wrong else None,
            change=float((change - flow) / rows[0][1]) if rows[0][1] > 0 and not wrong else None,
        ),
    )
    notes = []
    if any(not p.complete for p in chart) or (not chart and any(r[4] < view.coverage_limit for r in rows)):
        notes.append("Some points are incomplete: not every position had a fresh price.")
    if later := sum(r[-1] == "restated" for r in rows):
        notes.append(
            f"{later} of {len(rows)} points are restated: what was booked later for an earlier day was added to what had been recorded."
        )
    if view.scope.known_at is not None:
        notes.append(
            "Daily closes, computed from the ledger and the prices known at that time, not from recorded snapshots."
        )
    return Made(rows, figures, notes=tuple(notes))


def _closes(view: View) -> list[tuple[Any, ...]]:
    """The value at each session's close from the period's start, out of the Book: (time, value, net deposits, cash, priced)."""
    base = view.base_day(view.scope.period)
    inside = view.days >= base if isinstance(base, int) else np.ones(len(view.days), np.bool_)
    sessions = view.book.sessions.get(view.book.main_exchange)
    closes = {} if sessions is None else dict(zip(sessions.days.tolist(), sessions.closes.tolist(), strict=True))
    flow, rows = np.cumsum(view.past.inflow - view.past.outflow), []
    for i in np.flatnonzero(inside).tolist():
        day = int(view.days[i])
        at = datetime.fromtimestamp(closes.get(day, (day + 1) * 86_400), UTC)
        last = i == len(view.days) - 1
        cash = float(view.valuation.cash_base) if last else float(view.past.cash[i])
        coverage = view.valuation.coverage if last else min(1.0, float(view.past.coverage[i]))
        rows.append((min(at, view.now), posted_float(float(view.total[i]), view.base), posted_float(float(flow[i]), view.base),
                     posted_float(cash, view.base), coverage, "computed"))  # fmt: skip
    return rows
