"""How the difference between two times of knowledge comes about: the same day valued out of both Books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.book import Book
from core.changes import Story, ends, explain
from core.explain import Explained, Given, Term, evidence, explains, sided
from core.explain.cash import cash_held
from core.explain.evidence import LOTS, SALES
from core.explain.holdings import total, unrealised_all, worth
from core.explain.performance import flows_of
from core.money import posted
from core.scope import Scope
from core.table import Kind
from core.view import View

Row = Mapping[str, Any]
THEN, NOW = "then", "now"


def look(view: View, book: Book) -> View:
    """A Book on the day looked at, at closing prices."""
    after = datetime.combine(view.on + timedelta(days=1), datetime.min.time(), UTC)
    return View(book, Scope(book.portfolio.portfolio_id, as_of=view.on), {}, after, view.coverage_limit)


def realised(view: View, row: Row) -> Explained:
    """Σ (proceeds − cost) of every disposal."""
    sales = view.lots.disposals

    def gain(g: Given) -> Decimal:
        pairs = zip(g.column(SALES, "proceeds_base"), g.column(SALES, "cost_base"), strict=True)
        return sum((p - c for p, c in pairs if p is not None and c is not None), Decimal(0))

    return Explained("Σ (proceeds − cost) of the disposals, each side at the FX of its own day", gain, (),
                     (evidence.disposals(view, sales), evidence.entries(view, {r for d in sales for r in (d.row, d.opening_row)})))  # fmt: skip


MEASURES: dict[str, Callable[[View, Row], Explained | None]] = {
    "value": total, "net_flow": lambda view, row: flows_of(view), "realised": realised, "unrealised": unrealised_all,
}  # fmt: skip
MEASURE_OF = {"value_change": "value", "before": "value", "after": "value"}


def difference(view: View, then: Book, now: Book, measure: str) -> Explained:
    """now − then of a measure, each out of its own Book."""
    made = [MEASURES[measure](look(view, book), {}) for book in (then, now)]
    before, after = made
    assert before is not None
    assert after is not None
    sides = [sided(before, THEN), sided(after, NOW)]
    return Explained(f"now − then, each {before.formula}", lambda g: after.compute(g.of(NOW)) - before.compute(g.of(THEN)),
                     tuple(t for side in sides for t in side[0]), tuple(e for side in sides for e in side[1]))  # fmt: skip


@explains("changes", "value_change", "net_flow", "realised", "unrealised")
def effect(view: View, row: Row) -> Explained:
    """Then is before this cause was known, after all earlier ones; now is with it."""
    books: list[tuple[Book, Book]] = []
    explain(row["_inputs"]["story"], view.as_of, books)
    return difference(view, *books[row["_row"]], MEASURE_OF.get(row["_column"]) or str(row["_column"]))


@explains("changes", "events")
def events(view: View, row: Row) -> Explained:
    return Explained("as recorded: entries and values that became known together", lambda g: g["recorded"],
                     (Term("recorded", row["events"], Kind.COUNT, note=str(row["what"])),))  # fmt: skip


@explains("changes", "value_change", "net_flow", "realised", "unrealised", total=True)
def whole(view: View, row: Row) -> Explained:
    return difference(view, *ends(_story(row), view.as_of), MEASURE_OF.get(row["_column"]) or str(row["_column"]))


@explains("changes", "before", "after", "value_change", "net_flow", "realised", "unrealised", figure=True)
def figure(view: View, row: Row) -> Explained | None:
    key = row["_figure"].key
    then, now = ends(_story(row), view.as_of)
    if key in ("before", "after"):
        return total(look(view, then if key == "before" else now), row)
    return difference(view, then, now, MEASURE_OF.get(key, key))


def _story(row: Row) -> Story:
    found: Story = row["_inputs"]["story"]
    return found


@explains(
    "changes_by_position",
    "units_before",
    "units_after",
    "value_before",
    "value_after",
    "value_change",
    "cost_before",
    "cost_after",
)
def position(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    sides = [look(view, book) for book in ends(_story(row), view.as_of)]
    name = shown.rpartition("_")[0] if shown != "value_change" else "value"
    before, after = (_side(v, row["position"], name) for v in sides)
    if shown == "value_change":
        pair = [sided(before, THEN), sided(after, NOW)]
        return Explained(f"now − then, each {after.formula}", lambda g: after.compute(g.of(NOW)) - before.compute(g.of(THEN)),
                         tuple(t for side in pair for t in side[0]), tuple(e for side in pair for e in side[1]))  # fmt: skip
    return before if shown.endswith("before") else after


def _side(view: View, name: str, what: str) -> Explained:
    if name == "Cash":
        made = cash_held(view, {})
        assert made is not None
        return made
    p = evidence.held(view, name)
    number = (
        next(n for n, s in view.book.securities.items() if s.symbol == name) if p is None else p.security.security_id
    )
    behind = (
        evidence.positions(view, [] if p is None else [p]),
        evidence.open_lots(view, number),
        evidence.prices(view, [number]),
        evidence.entries(view, security=number),
    )
    if what == "units":
        return Explained("Σ units of the open lots", lambda g: g.total(LOTS, "units"), (), behind)
    if what == "cost":
        return Explained(
            "Σ cost of the open lots, each at the FX of its purchase", lambda g: g.total(LOTS, "cost_base"), (), behind
        )
    return Explained("units × price × FX, rounded to the cent", lambda g: posted(worth(g), view.base), (), behind)
