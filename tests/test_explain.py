"""Every figure and every cell explains itself, and the explanation recomputes to what is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import BASE, DAYS, FIRST, PRICES, SECURITIES, Told, ledgers
from small import MARK, Small, bar_days, installed

from core.book import Action
from core.explain import EXPLAINERS, RECORDED, Explanation, NotExplained, explain, explain_figure
from core.fx import Series, day_number
from core.ledger import Security
from core.reports import REPORTS
from core.scope import PERIODS, Scope
from core.table import Context, Kind, Table
from core.view import View
from db import reports

OF_A_VIEW = sorted(name for name, r in REPORTS.items() if set(r.inputs) == {"view"})


def same(shown: Any, again: Any) -> bool:
    """Exact for money and counts; floats to the last digits that adding in another order can move."""
    if isinstance(shown, float) and isinstance(again, int | float):
        return math.isclose(shown, again, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(shown, Decimal):
        return isinstance(again, Decimal) and shown == again
    return bool(shown == again)


def agrees(found: Explanation, where: str) -> None:
    """The explanation says something, and works out what is shown."""
    assert found.formula, where
    assert same(found.value, found.recomputed), (
        f"{where}: shown {found.value!r}, recomputed {found.recomputed!r}: {found.formula}"
    )


def check(view: View, table: Table) -> None:
    """Explain every cell, the total and every figure of a table."""
    for column in table.columns:
        for row in [*range(len(table.rows)), *([None] if table.total is not None else [])]:
            agrees(explain(view, table, column.key, row), f"{table.name}.{column.key}[{row}]")
    for figure in table.figures:
        agrees(explain_figure(view, table, figure.key), f"{table.name} figure {figure.key}")


def view_of(told: Told, day: int) -> View:
    from test_laws import view_of as look

    return look(told.book(), day)


@pytest.mark.parametrize("name", OF_A_VIEW)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=ledgers(), day=st.integers(0, DAYS - 1))
def test_every_cell_recomputes_on_any_ledger(name: str, told: Told, day: int) -> None:
    view = view_of(told, day)
    check(view, REPORTS[name].table(Context(view.on, BASE, "1"), view=view))


_wave = np.array([day_number(FIRST) + i for i in range(-60, DAYS)], np.int32)
INDEX = Security(9, "IDX", "An index", "XNYS", "USD", "Index")
INDEXED = PRICES | {9: Series(_wave, (1000 + 50 * np.cos(np.arange(len(_wave)) / 7)).round(2))}


@st.composite
def announced(draw: st.DrawFn) -> dict[int, tuple[Action, ...]]:
    """Dividends of some securities, before, in and after the days of the ledgers."""
    out = {}
    for number in draw(st.sets(st.sampled_from(sorted(SECURITIES)))):
        days = sorted(draw(st.sets(st.integers(-360, 300), min_size=1, max_size=6)))
        lag = draw(st.sampled_from([None, 0, 14]))
        out[number] = tuple(
            Action(number, "dividend", on := FIRST + timedelta(days=d), None if lag is None else on + timedelta(days=lag),
                   Decimal(draw(st.integers(1, 500))) / 100, SECURITIES[number].currency)
            for d in days
        )  # fmt: skip
    return out


@pytest.mark.parametrize("name", OF_A_VIEW)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    told=ledgers(),
    actions=announced(),
    day=st.integers(0, DAYS - 1),
    period=st.sampled_from(PERIODS),
    by=st.sampled_from(["sector", "currency", "country"]),
)
def test_every_cell_recomputes_with_a_benchmark_and_announced_dividends(
    name: str, told: Told, actions: dict[int, tuple[Action, ...]], day: int, period: str, by: str
) -> None:
    book = told.book()
    book = replace(
        book,
        portfolio=replace(book.portfolio, benchmark_id=9),
        securities={**SECURITIES, 9: INDEX},
        prices=INDEXED,
        actions=actions,
        derived={},
    )
    plain = view_of(told, day)
    view = View(book, replace(plain.scope, period=period, by=by), {}, plain.now)
    check(view, REPORTS[name].table(Context(view.on, BASE, "1"), view=view))


# --- every report on the real database -------------------------------------------------------------

QUERIES = ({}, {"period": "ALL", "by": "currency"}, {"period": "3M", "by": "country", "as_of": "-60"})
ON_DATABASE = [
    (name, portfolio, i) for name in sorted(REPORTS) for i, portfolio in enumerate(("dollars", "mixed", "mixed"))
]


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def asked(small: Small, name: str, portfolio: str, query: dict[str, str]) -> tuple[Scope, Table]:
    """A report of Anna's, with what it needs."""
    more = dict(query)
    if "as_of" in query:
        more["as_of"] = bar_days(small.now)[int(query["as_of"])].isoformat()
    if {"bars", "studied"} & set(REPORTS[name].inputs):
        more["security"] = str(small.securities["ACME"])
    if "household" in REPORTS[name].inputs:
        more["year"] = str(bar_days(small.now)[200].year)  # a wash sale was booked on that day
    scope = Scope.read(small.portfolios[f"{MARK} {portfolio}"], more)
    return scope, reports.answer(small.user("anna"), name, scope, small.now)


def explained(
    small: Small, name: str, scope: Scope, table: Table, most: int | None = None
) -> Iterator[tuple[str, Explanation]]:
    """Every cell (of the first `most` rows), total and figure of a report, explained as pages and API do."""
    user = small.user("anna")
    known = reports.ask(user, scope)

    def tell(column: str | None, row: int | None, figure: str | None = None) -> Explanation:
        return reports.explain(user, name, scope, column, row, figure, small.now, known)

    for column in table.columns:
        for row in [*range(len(table.rows[:most])), *([None] if table.total is not None else [])]:
            yield f"{name}.{column.key}[{row}]", tell(column.key, row)
    for f in table.figures:
        yield f"{name} figure {f.key}", tell(None, None, f.key)


@pytest.mark.parametrize(("name", "portfolio", "query"), ON_DATABASE)
def test_every_cell_of_every_report_recomputes_on_the_database(
    small: Small, name: str, portfolio: str, query: int
) -> None:
    scope, table = asked(small, name, portfolio, QUERIES[query])
    count = 0
    for where, found in explained(small, name, scope, table):
        agrees(found, where)
        count += 1
    assert count >= len(table.rows) * len(table.columns) + len(table.figures)


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_an_explanation_depends_on_what_it_shows(small: Small, name: str) -> None:
    """Where one input is another number the outcome is another: nothing hands back the value that it is to explain."""
    scope, table = asked(small, name, "dollars", {"period": "ALL"})
    for where, found in explained(small, name, scope, table, most=3):
        if found.value in (None, "", 0) or found.formula.startswith("the period starts from here"):  # nothing, or so by definition
            continue
        if ".coverage" in where and any(e.title == "Positions of that day" and not e.rows for e in found.evidence):
            continue  # where nothing is held all of it is priced
        assert any(not same(found.value, outcome(x)) for x in altered(found)), (
            f"{where} does not depend on what it shows: {found.formula}"
        )


def outcome(found: Explanation) -> Any:
    """What it works out; another input may be one that nothing can be worked out from."""
    try:
        return found.recomputed
    except (ArithmeticError, LookupError, ValueError, TypeError):
        return None


def altered(found: Explanation) -> Iterator[Explanation]:
    """The same with one term, or one column of the evidence, changed."""
    for i, term in enumerate(found.terms):
        yield replace(found, terms=(*found.terms[:i], replace(term, value=other(term.value)), *found.terms[i + 1 :]))
    for i, piece in enumerate(found.evidence):
        for j in range(len(piece.columns)):
            rows = tuple((*row[:j], other(row[j]), *row[j + 1 :]) for row in piece.rows)
            yield replace(found, evidence=(*found.evidence[:i], replace(piece, rows=rows), *found.evidence[i + 1 :]))
        yield replace(
            found, evidence=(*found.evidence[:i], replace(piece, rows=piece.rows[:-1]), *found.evidence[i + 1 :])
        )


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value}?"
    if isinstance(value, Decimal):
        return value * Decimal("1.37") + 1
    if isinstance(value, int):
        return value + 7
    if isinstance(value, float):
        return value * 2.37 + 0.01
    return value + timedelta(days=400) if isinstance(value, date) else value


def test_a_wrong_input_is_noticed(small: Small) -> None:
    scope, table = asked(small, "overview", "mixed", {})
    found = reports.explain(small.user("anna"), "overview", scope, figure="total", now=small.now)
    agrees(found, "total")
    held = next(e for e in found.evidence if e.title == "Positions")
    units = [c.key for c in held.columns].index("units")
    rows = ((*held.rows[0][:units], held.rows[0][units] + 1, *held.rows[0][units + 1 :]), *held.rows[1:])
    with pytest.raises(AssertionError, match="recomputed"):
        agrees(
            replace(found, evidence=tuple(replace(held, rows=rows) if e is held else e for e in found.evidence)),
            "total",
        )
    cell = reports.explain(small.user("anna"), "holdings", scope, "value", 0, now=small.now)
    agrees(cell, "value")
    dearer = tuple(replace(t, value=t.value + Decimal("0.01")) if t.name == "price" else t for t in cell.terms)
    with pytest.raises(AssertionError, match="recomputed"):
        agrees(replace(cell, terms=dearer), "value")
    assert table.figures


# --- nothing is left out ---------------------------------------------------------------------------

# columns of reports that are made of a View and yet are recorded
NAMES = {"security_id"}
# what reports of recorded rows work out: the rest of their numbers stands in the database as it was written
WORKED_OUT = {
    "transactions": {"net"},
    "prices": {"adjusted"},
    "reconciliation": {"unit_difference", "price_difference", "value_difference"},
    "reconciliations": {"open", "matched", "quantity", "price", "missing", "extra"},
}


def test_every_number_has_its_explanation_not_a_fallback() -> None:
    missing = []
    for name, r in REPORTS.items():
        wanted = (
            {c.key for c in r.columns if c.kind not in RECORDED} - NAMES
            if "view" in r.inputs
            else WORKED_OUT.get(name, set())
        )
        missing += [f"{name}.{key}" for key in wanted if (name, "row", key) not in EXPLAINERS]
    assert not missing, "no explanation for " + ", ".join(sorted(missing))


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_every_figure_and_every_number_under_text_has_its_explanation(small: Small, name: str) -> None:
    _, table = asked(small, name, "dollars", {})
    missing = [f.key for f in table.figures if f.value is not None and (name, "figure", f.key) not in EXPLAINERS]
    for c in (c for c in table.columns if c.kind is Kind.TEXT):
        if (
            any(isinstance(v, int | float | Decimal) for v in table.column(c.key))
            and (name, "row", c.key) not in EXPLAINERS
        ):
            missing.append(c.key)
    assert not missing, f"{name}: no explanation for {', '.join(missing)}"


@pytest.mark.parametrize("name", ["holdings", "performance", "risk", "dividends", "growth"])
def test_transactions_or_prices_stand_behind_the_numbers(small: Small, name: str) -> None:
    scope, table = asked(small, name, "dollars", {"period": "ALL"})
    behind = {"Transactions", "Prices", "Closes", "Days", "Positions of that day", "Open lots", "Dividends booked"}
    for where, found in explained(small, name, scope, table, most=1):
        if found.kind not in RECORDED and found.value not in (None, 0) and "security_id" not in where:
            assert {e.title for e in found.evidence if e.rows} & behind, where


def test_no_explainer_is_of_a_cell_that_is_gone() -> None:
    for report, place, key in EXPLAINERS:
        assert report in REPORTS
        if place != "figure":
            assert key in {c.key for c in REPORTS[report].columns}, f"{report} has no column {key}"


def test_what_is_not_there_is_said() -> None:
    from test_laws import book_of
    from test_laws import view_of as look

    view = look(book_of([]))
    table = REPORTS["holdings"].table(Context(view.on, BASE, "1"), view=view)
    with pytest.raises(NotExplained, match="no row 3"):
        explain(view, table, "value", 3)
    with pytest.raises(NotExplained, match="no column 'worth'"):
        explain(view, table, "worth", 0)
    assert FIRST


# --- the API ---------------------------------------------------------------------------------------


def test_the_api_explains_a_cell_a_total_and_a_figure(small: Small) -> None:
    client, name = small.client("anna"), f"{MARK} dollars"
    for report, what in (("holdings", {"column": "value", "row": "0"}), ("holdings", {"column": "value"}), ("overview", {"figure": "total"}),
                         ("risk", {"figure": "volatility", "period": "ALL"}), ("income_months", {"figure": "trailing"}),
                         ("transactions", {"column": "net", "row": "0"})):  # fmt: skip
        got = client.get(f"/v1/reports/{report}/explain", params={"portfolio": name, **what})
        assert got.status_code == 200, got.text
        told = got.json()
        assert told["formula"]
        if isinstance(told["value"], float):
            assert math.isclose(told["value"], told["recomputed"], rel_tol=1e-9)
        else:
            assert told["recomputed"] == told["value"]
    shown = client.get("/v1/reports/holdings", params={"portfolio": name}).json()["total"]["value"]
    told = client.get("/v1/reports/holdings/explain", params={"portfolio": name, "column": "value"}).json()
    assert told["value"] == shown
    fewer = client.get("/v1/reports/holdings/explain", params={"portfolio": name, "column": "value", "limit": 1}).json()
    entries = next(e for e in fewer["evidence"] if e["title"] == "Transactions")
    assert len(entries["rows"]) == 1
    assert entries["more"] > 0


def test_the_api_says_what_there_is_and_nothing_to_a_stranger(small: Small) -> None:
    anna, ben, mine = small.client("anna"), small.client("ben"), {"portfolio": str(small.portfolios[f"{MARK} dollars"])}
    for what, said in (({"column": "worth", "row": "0"}, "it has symbol, name"), ({"column": "value", "row": "999"}, "there is no row 999"),
                       ({"figure": "beta"}, "it has"), ({}, "has no column")):  # fmt: skip
        got = anna.get("/v1/reports/holdings/explain", params={**mine, **what})
        assert got.status_code == 404, got.text
        assert said in got.json()["detail"]
        assert got.json()["type"].endswith("not-explained")
    got = ben.get("/v1/reports/holdings/explain", params={**mine, "column": "value", "row": "0"})
    assert got.status_code == 404
    assert MARK not in got.text
    assert anna.get("/v1/reports/nothing/explain", params={"column": "x"}).status_code == 404
    assert (
        small.client().get("/v1/reports/holdings/explain", params={**mine, "column": "value", "row": "0"}).status_code
        == 401
    )
