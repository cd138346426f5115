"""One security, held or not: its price and its move of the day, its risk over the look-back beside the portfolio's benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.fx import day_of
from core.metrics import METRICS
from core.reasons import Reason
from core.reports import Made, report
from core.reports.risk import KINDS, LOOKBACK_WORDS, SHOWN
from core.risk_figures import figures as figures_of
from core.table import Column, Figure, Kind
from core.valuation import is_move, price_at
from core.view import View


@report(
    "Risk of a security",
    Column("metric", "Figure"),
    Column("value", "Value", Kind.TEXT, "fractions and ratios; a loss measure is a positive loss"),
    Column("kind", "Kind", wide_only=True),
    Column("definition", "Definition", wide_only=True),
    Column("reason", "Why it is missing", wide_only=True),
    empty="It has no prices yet.",
)
def security_risk(studied: View) -> Made:
    """Risk of one security (`security`) from all its bars of the look-back (`lookback`), adjusted for splits and dividends, in the base
    currency of the portfolio looked at, against its benchmark; without a portfolio in its own currency and against none."""
    number = studied.scope.security
    assert number is not None
    if not len(studied.asset(number).days):
        return Made([])
    rows, figures = [], []
    for name, value in figures_of(SHOWN, studied.measured_asset(number)).items():
        m, missing = METRICS[name], str(value) if isinstance(value, Reason) else None
        shown = None if isinstance(value, Reason) else value
        rows.append((m.title, shown, KINDS[m.kind].value, m.definition.split("\n")[0], missing))
        figures.append(Figure(name, m.title, shown, KINDS[m.kind], None, missing, formula=m.definition))
    return Made(rows, tuple(figures), notes=tuple(_notes(studied, number)))


def _notes(studied: View, number: int) -> Iterator[str]:
    series, of = studied.asset(number), studied.measured_asset(number)
    n = int(np.isfinite(of.days).sum())
    yield (f"Look-back of {LOOKBACK_WORDS[studied.scope.lookback]}: {n} daily returns up to {day_of(int(series.days[-1]))}, {series.what}, in {studied.base}; "
           f"{studied.risk_free_said}.")  # fmt: skip
    missing = int(np.isnan(of.sessions).sum()) + int((np.isfinite(of.sessions) & np.isnan(of.days)).sum())
    if missing:
        yield f"{missing} sessions without a price are spanned: the change over the gap counts once, not as one day."
    if studied.benchmark_name:
        yield f"Benchmark: {studied.benchmark_name}, in {studied.base}."


@report(
    "Quote of a security",
    Column("price", "Price", Kind.PRICE, "last price, in the security's currency"),
    Column("priced_on", "Priced on", Kind.DATE, "trading day of that price"),
    Column("previous", "Close before", Kind.PRICE, "in today's units: divided by what split since"),
    Column("previous_on", "Close before of", Kind.DATE),
    Column("day_change", "Day", Kind.PERCENT, "price against the close before, adjusted for splits"),
    Column("reason", "Why there is no move"),
    empty="It has no price yet.",
)
def security_quote(studied: View) -> Made:
    """The price of one security (`security`) at the date, and its move of the day: none where the price or the close before is older."""
    number, book = studied.scope.security, studied.book
    assert number is not None
    found = price_at(book, number, studied.as_of, studied.quotes)
    if found is None:
        return Made([])
    moved = is_move(book, book.securities[number].exchange, found, studied.as_of, studied.now)
    before = None if found.before_on is None else day_of(found.before_on)
    why = None if moved else "there is no close before" if before is None else f"the price is of {day_of(found.on)}, the close before of {before}"
    change = float(found.price / found.before - 1) if moved and found.before else None
    return Made([(found.price, day_of(found.on), found.before, before, change, why)])
