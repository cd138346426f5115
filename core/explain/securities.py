"""How an adjusted close and a doubt about a close come about: closes, splits and dividends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, explains
from core.fx import Rates, Series, day_number, day_of
from core.prices import back_adjusted, cash_and_splits
from core.quality import jumps_in
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
BARS, EX_DATES = "Closes", "Ex dates"


@explains("prices", "adjusted")
def adjusted(view: View | None, row: Row) -> Explained | None:
    if row["adjusted"] is None:
        return None
    bars = tuple((r["on"], r["close"]) for r in reversed(list(row["_table"].records())))

    def close(g: Given) -> float:
        days = np.array([day_number(on) for on in g.column(BARS, "on")], np.int32)
        raw = Series(days, np.array([float(c) for c in g.column(BARS, "close")]))
        values = back_adjusted(raw, *_events(g)).values
        return float(values[int(np.searchsorted(days, day_number(g["date"])))])

    return Explained(
        "close × Π (1 − dividend ÷ close before) ÷ split, over every later ex date",
        close,
        (Term("date", row["on"], Kind.DATE),),
        (_ex_dates(row), _closes(bars)),
    )


@explains("price_checks", "times")
def times(view: View | None, row: Row) -> Explained:
    place = row["_row"]

    def factor(g: Given) -> float:
        cells = zip(g.column(BARS, "on"), g.column(BARS, "close"), strict=True)
        return jumps_in([(day_number(on), float(close)) for on, close in cells], *_events(g))[place].factor

    return Explained(
        "the factor among 100, 1/100, the ratios of the known splits and their inverses that is nearest to close before ÷ close, "
        "both adjusted for later splits",
        factor,
        (),
        (_ex_dates(row), _closes(tuple((bar[0], bar[4]) for bar in row["_inputs"]["bars"]))),
    )


def _closes(bars: tuple[tuple[Any, ...], ...]) -> Evidence:
    return Evidence(BARS, (Column("on", "Date", Kind.DATE), Column("close", "Close", Kind.PRICE)), bars)


def _ex_dates(row: Row) -> Evidence:
    """The dividends and splits of the security, by ex date."""
    currency, known = row["_inputs"]["actions"]
    cash, ratios = cash_and_splits(known, currency, Rates({}))
    columns = (Column("on", "Ex date", Kind.DATE), Column("cash", "Dividend per share", Kind.NUMBER), Column("ratio", "Split", Kind.NUMBER))  # fmt: skip
    return Evidence(
        EX_DATES, columns, tuple((day_of(day), cash.get(day), ratios.get(day)) for day in sorted({*cash, *ratios}))
    )


def _events(g: Given) -> tuple[dict[int, float], dict[int, float]]:
    """(dividends, split ratios) by day number, out of the evidence."""
    on = [day_number(d) for d in g.column(EX_DATES, "on")]
    paid, split = (
        {d: v for d, v in zip(on, g.column(EX_DATES, k), strict=True) if v is not None} for k in ("cash", "ratio")
    )
    return paid, split
