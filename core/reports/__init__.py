"""Reports: functions with typed columns. From one of them come the page block, the JSON, the CSV and the API's list.

To add one, write a function with `@report` in a module of this package. It asks for its inputs by parameter name:
`view` (a View), `studied` (a View with the security asked for in it, held or not), `household` (the owner's portfolios, with a view), or rows that the database gives (`chart`, `ledger`, `master`, `bars`, `actions`, `runs`, `jobs`, `feeds`, `letters`,
`reconciliations`, `reconciliation`, `story`, `counterparties` (their issuers and trades where there is a view), `adjusted`, `would_go`,
`tasks`, `notices`, `unbooked`, `gaps`, `troubles`).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from core.table import Column, Context, Figure, Table
from core.view import View

INPUTS = ("view", "studied", "household", "chart", "ledger", "master", "bars", "actions", "runs", "jobs", "feeds", "letters",
          "reconciliations", "reconciliation", "story", "counterparties", "adjusted", "would_go", "tasks",
          "notices", "unbooked", "gaps", "troubles")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """What a report function answers: rows, and what stands beside them."""

    rows: list[tuple[Any, ...]]
    figures: tuple[Figure, ...] = ()
    total: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One report: its name (the function's), title, columns, and the inputs that it asks for."""

    name: str
    title: str
    columns: tuple[Column, ...]
    inputs: tuple[str, ...]
    make: Callable[..., Made]
    empty: str

    @property
    def definition(self) -> str:
        """What it says and how it is computed: the function's docstring."""
        return inspect.getdoc(self.make) or ""

    def table(self, context: Context, **inputs: Any) -> Table:
        """Run it. `inputs` holds at least what it asks for."""
        made = self.make(**{name: inputs[name] for name in self.inputs})
        return Table(
            self.name,
            self.title,
            self.columns,
            tuple(made.rows),
            context,
            made.figures,
            made.total,
            warned(made.notes, inputs["view"]) if "view" in self.inputs else made.notes,
            self.empty,
        )


def warned(notes: tuple[str, ...], view: View) -> tuple[str, ...]:
    """Notes of a report, after what is wrong with everything in it: a split that is not booked. What repeats that is left out."""
    wrong = [str(f.reason) for f in view.unbooked_splits if f.is_unsound]
    return (*wrong, *(note for note in notes if not any(reason in note for reason in wrong)))


_reports: dict[str, Report] = {}
REPORTS: Mapping[str, Report] = MappingProxyType(_reports)


def report(
    title: str, *columns: Column, empty: str = "Nothing here yet."
) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """Register a report function under its own name. Raises ValueError on a duplicate, an unknown input or a missing docstring."""

    def register(function: Callable[..., Made]) -> Callable[..., Made]:
        name, inputs = function.__name__, tuple(inspect.signature(function).parameters)
        if name in _reports:
            raise ValueError(f"report {name} is registered twice")
        if unknown := set(inputs) - set(INPUTS):
            raise ValueError(f"report {name} asks for {sorted(unknown)}; it may ask for {', '.join(INPUTS)}")
        if not inspect.getdoc(function):
            raise ValueError(f"report {name} has no definition: write it as the docstring")
        if len({c.key for c in columns}) != len(columns):
            raise ValueError(f"report {name} names a column twice")
        _reports[name] = Report(name, title, columns, inputs, function, empty)
        return function

    return register


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
