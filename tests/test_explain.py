"""Every figure and every cell explains itself, and the explanation recomputes to what is shown."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import BASE, DAYS, FIRST, Told, ledgers

from core.explain import EXPLAINERS, NotExplained, explain, explain_figure
from core.reports import REPORTS
from core.table import Context, Table
from core.view import View

OF_A_VIEW = sorted(name for name, r in REPORTS.items() if set(r.inputs) == {"view"})


def same(shown: Any, again: Any) -> bool:
    """Exact for money and counts; floats to the last digits that adding in another order can move."""
    if isinstance(shown, float) and isinstance(again, int | float):
        return math.isclose(shown, again, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(shown, Decimal):
        return isinstance(again, Decimal) and shown == again
    return bool(shown == again)


def check(view: View, table: Table) -> int:
    """Explain every cell, the total and every figure of a table; how many."""
    count = 0
    for column in table.columns:
        for row in [*range(len(table.rows)), *([None] if table.total is not None else [])]:
            found = explain(view, table, column.key, row)
            assert same(found.value, found.recomputed), (
                f"{table.name}.{column.key}[{row}]: shown {found.value!r}, recomputed {found.recomputed!r}: {found.formula}"
            )
            assert found.formula
            count += 1
    for figure in table.figures:
        found = explain_figure(view, table, figure.key)
        assert same(found.value, found.recomputed), (
            f"{table.name} figure {figure.key}: {found.value!r} is not {found.recomputed!r}: {found.formula}"
        )
        count += 1
    return count


def view_of(told: Told, day: int) -> View:
    from test_laws import view_of as look

    return look(told.book(), day)


@pytest.mark.parametrize("name", OF_A_VIEW)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=ledgers(), day=st.integers(0, DAYS - 1))
def test_every_cell_recomputes_on_any_ledger(name: str, told: Told, day: int) -> None:
    view = view_of(told, day)
    check(view, REPORTS[name].table(Context(view.on, BASE, "1"), view=view))


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
