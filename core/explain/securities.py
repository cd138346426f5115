"""How an adjusted close comes about: the close and every later split and dividend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.explain import Evidence, Explained, Given, Term, explains
from core.fx import Rates, Series, day_number, day_of
from core.prices import back_adjusted, cash_and_splits
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
BARS, EX_DATES = "Closes", "Ex dates"


@explains("prices", "adjusted")
def adjusted(view: View | None, row: Row) -> Explained | None:
    if row["adjusted"] is None:
        return None
    currency, known = row["_inputs"]["actions"]
    cash, ratios = cash_and_splits(known, currency, Rates({}))
    bars = tuple((r["on"], r["close"]) for r in reversed(list(row["_table"].records())))
    events = tuple((day_of(day), cash.get(day), ratios.get(day)) for day in sorted({*cash, *ratios}))
    behind = (
        Evidence(EX_DATES, (Column("on", "Ex date", Kind.DATE), Column("cash", "Dividend per share", Kind.NUMBER), Column("ratio", "Split", Kind.NUMBER)), events),
        Evidence(BARS, (Column("on", "Date", Kind.DATE), Column("close", "Close", Kind.PRICE)), bars),
    )  # fmt: skip

    def close(g: Given) -> float:
        days = np.array([day_number(on) for on in g.column(BARS, "on")], np.int32)
        raw = Series(days, np.array([float(c) for c in g.column(BARS, "close")]))
        on = [day_number(d) for d in g.column(EX_DATES, "on")]
        paid, split = (
            {d: v for d, v in zip(on, g.column(EX_DATES, k), strict=True) if v is not None} for k in ("cash", "ratio")
        )
        values = back_adjusted(raw, paid, split).values
        return float(values[int(np.searchsorted(days, day_number(g["date"])))])

    return Explained(
        "close × Π (1 − dividend ÷ close before) ÷ split, over every later ex date",
        close,
        (Term("date", row["on"], Kind.DATE),),
        behind,
    )
