"""Explain this number: the formula, the inputs, and the transactions and prices behind every figure and every cell.

An explanation recomputes: `Explanation.recomputed` works from the shown terms and the shown evidence alone, and a test over all
reports holds it to the number shown. To explain a new column, write a function with `@explains(report, column)` in a module of
this package; `total=True` is the cell of the total row, `figure=True` a card. It gets the View and the row (a dict, with the place of
the row as `_row`, the key of the column as `_column`, the Table as `_table` and what else the report was made from as `_inputs`)
and answers an Explained. Text and dates need none: they say where they are recorded.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from core.reports import REPORTS
from core.table import Column, Context, Kind, Table
from core.view import View

RECORDED = frozenset({Kind.TEXT, Kind.DATE, Kind.TIME, Kind.FLAG})  # cells that nothing is computed for

NUMBERS = frozenset({"security_id"})  # names of things, not amounts


class NotExplained(LookupError):
    """There is no such cell, or nobody wrote how it comes about: says what there is."""


@dataclass(frozen=True, slots=True)
class Term:
    """One input of a formula, by the name that the formula uses."""

    name: str
    value: Any
    kind: Kind = Kind.NUMBER
    currency: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows behind a number: transactions, prices, lots, days."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def column(self, key: str) -> list[Any]:
        """The cells of one column."""
        i = [c.key for c in self.columns].index(key)
        return [row[i] for row in self.rows]

    def table(self, context: Context) -> Table:
        """The same as a Table, for the page and the CSV."""
        notes = (self.note,) if self.note else ()
        return Table(
            "evidence", self.title, self.columns, self.rows, context, notes=notes, empty="Nothing stands behind it."
        )


class Given:
    """What a formula may work from: the terms by name, the evidence by title. Nothing else is in its reach."""

    def __init__(self, terms: tuple[Term, ...], evidence: tuple[Evidence, ...]) -> None:
        self._terms = {t.name: t.value for t in terms}
        self._evidence = {e.title: e for e in evidence}

    def __getitem__(self, name: str) -> Any:
        return self._terms[name]

    def column(self, title: str, key: str) -> list[Any]:
        """The cells of one column of one piece of evidence."""
        return self._evidence[title].column(key)

    def of(self, side: str) -> Given:
        """What was given of one side alone (`sided`), under the names that it had there."""
        part = Given((), ())
        part._terms = {n.removesuffix(f", {side}"): v for n, v in self._terms.items() if n.endswith(f", {side}")}
        part._evidence = {n.removesuffix(f", {side}"): e for n, e in self._evidence.items() if n.endswith(f", {side}")}
        return part

    def total(self, title: str, key: str) -> Decimal:
        """Their exact sum, missing ones left out."""
        return sum((v for v in self.column(title, key) if v is not None), Decimal(0))


@dataclass(frozen=True, slots=True)
class Explained:
    """What an explainer answers: `compute` works from what it is Given alone."""

    formula: str
    compute: Callable[[Given], Any]
    terms: tuple[Term, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    note: str = ""


def sided(made: Explained, side: str) -> tuple[tuple[Term, ...], tuple[Evidence, ...]]:
    """Terms and evidence of an explanation that stands beside another: their names say of which side they are."""
    return (
        tuple(replace(t, name=f"{t.name}, {side}") for t in made.terms),
        tuple(replace(e, title=f"{e.title}, {side}") for e in made.evidence),
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """One number, with everything it came from."""

    title: str
    value: Any
    kind: Kind
    currency: str | None
    formula: str
    terms: tuple[Term, ...]
    evidence: tuple[Evidence, ...]
    context: Context
    reason: str | None = None
    note: str = ""
    _compute: Callable[[Given], Any] = field(default=lambda given: None, repr=False)

    @property
    def recomputed(self) -> Any:
        """The number again, from the terms and the evidence alone."""
        return self._compute(Given(self.terms, self.evidence))


Explainer = Callable[[Any, Mapping[str, Any]], Explained | None]  # (view, the row or {"_figure": …})
_explainers: dict[tuple[str, str, str], Explainer] = {}
EXPLAINERS: Mapping[tuple[str, str, str], Explainer] = MappingProxyType(_explainers)


def explains(report: str, *columns: str, total: bool = False, figure: bool = False) -> Callable[[Explainer], Explainer]:
    """Register how cells of these columns (or of the total row, or these figures) come about. Duplicates are refused."""
    place = "total" if total else "figure" if figure else "row"

    def register(function: Explainer) -> Explainer:
        for column in columns:
            key = (report, place, column)
            if key in _explainers:
                raise ValueError(f"{report}.{column} ({place}) is explained twice")
            _explainers[key] = function
        return function

    return register


def explain(view: View | None, table: Table, column: str, row: int | None, **inputs: Any) -> Explanation:
    """One cell of a table that a report made: `row` counts from 0, None is the total row; `inputs` are those that the report asked
    for beside the View. Raises NotExplained."""
    found = next((c for c in table.columns if c.key == column), None)
    if found is None:
        raise NotExplained(f"{table.name} has no column {column!r}; it has {', '.join(c.key for c in table.columns)}")
    if row is None and table.total is None:
        raise NotExplained(f"{table.name} has no total")
    if row is not None and not 0 <= row < len(table.rows):
        raise NotExplained(f"{table.name} has {len(table.rows)} rows, there is no row {row}")
    cells = table.total if row is None else table.rows[row]
    assert cells is not None
    record: dict[str, Any] = dict(zip((c.key for c in table.columns), cells, strict=True))
    record |= {"_row": row, "_column": column, "_table": table, "_inputs": inputs}
    value = record[column]
    place = "total" if row is None else "row"
    made = _explainers[table.name, place, column](view, record) if (table.name, place, column) in _explainers else None
    if made is None and row is None and value is not None and not isinstance(value, str):
        made = _summed(view, table, column, found)
    recorded = (
        column in NUMBERS or "view" not in REPORTS[table.name].inputs
    )  # what the database gives: nothing is computed for it
    if made is None and (
        recorded or value is None or isinstance(value, str | date | datetime | bool) or found.kind in RECORDED
    ):
        made = _recorded(table, found, value, record)
    if made is None:
        raise NotExplained(f"{table.name}.{column} has no explanation yet")
    name = str(next((v for v in cells if isinstance(v, str) and v), ""))
    title = f"{found.title}: {name}" if name and column != table.columns[0].key else found.title
    reason = str(record.get("note") or record.get("reason") or "") or None if value is None else None
    return Explanation(title, value, found.kind, table.context.currency, made.formula, made.terms, made.evidence, table.context, reason,
                       made.note or found.note, made.compute)  # fmt: skip


def explain_figure(view: View | None, table: Table, key: str, **inputs: Any) -> Explanation:
    """One figure that stands beside a table. Raises NotExplained."""
    try:
        f = table.figure(key)
    except KeyError as e:
        raise NotExplained(str(e.args[0])) from None
    function = _explainers.get((table.name, "figure", key))
    made = function(view, {"_figure": f, "_table": table, "_inputs": inputs}) if function else None
    if made is None and f.value is None:
        made = Explained(f.formula or "no number can be given", lambda given: None)
    if made is None:
        raise NotExplained(f"the figure {key} of {table.name} has no explanation yet")
    return Explanation(f.title, f.value, f.kind, f.currency, made.formula, made.terms, made.evidence, table.context, f.reason,
                       made.note or f.note, made.compute)  # fmt: skip


def _recorded(table: Table, column: Column, value: Any, record: Mapping[str, Any]) -> Explained:
    """A cell that nothing is computed for."""
    if value is None:
        said = str(record.get("note") or record.get("reason") or "") or "there is nothing to compute it from"
        return Explained(f"missing: {said}", lambda given: None)
    where = column.note or f"as recorded: {REPORTS[table.name].definition.splitlines()[0]}"
    return Explained(where, lambda given: given["recorded"], (Term("recorded", value, column.kind),))


def _summed(view: View | None, table: Table, column: str, found: Column) -> Explained | None:
    """A total that is the sum of its column, with the entries (and prices, where there are values) of all rows; None where it is not."""
    from core.explain import evidence

    cells = table.column(column)
    numbers = [v for v in cells if v is not None]
    zero: Any = Decimal(0) if isinstance(table.total_of(column), Decimal) else 0
    if not all(isinstance(v, int | float | Decimal) for v in numbers) or sum(numbers, zero) != table.total_of(column):
        return None
    first = table.columns[0] if table.columns[0].key != column else table.columns[1]
    rows = tuple((a, b) for a, b in zip(table.column(first.key), cells, strict=True))
    behind = [Evidence("Rows", (first, found), rows)]
    if view is not None:
        if {"price", "value"} & {c.key for c in table.columns}:
            behind.append(evidence.prices(view, [p.security.security_id for p in view.valuation.positions]))
        behind.append(evidence.entries(view, security=view.scope.security))
    return Explained(f"sum of {found.title}", lambda given: sum((v for v in given.column("Rows", column) if v is not None), zero),
                     (), tuple(behind))  # fmt: skip


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
