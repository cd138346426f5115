"""Table and Figure: what every report answers. One typed object gives the page block, the JSON and the CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any


class Kind(Enum):
    """What a cell holds; decides how it is shown, never what it is."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"
    COUNT = "count"
    MONEY = "money"  # Decimal, posted, currency once per column or in its own column
    PRICE = "price"  # Decimal, unrounded
    UNITS = "units"  # Decimal, unrounded
    PERCENT = "percent"  # a fraction: 0.05 is 5 %
    NUMBER = "number"  # a ratio
    BPS = "bps"  # a fraction shown as basis points
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in JSON and CSV, its title on the page, its kind, and what it means."""

    key: str
    title: str
    kind: Kind = Kind.TEXT
    note: str = ""
    wide_only: bool = False  # left out on a phone


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with what it needs to explain itself. `value` is None where it is undefined; `reason` then says why."""

    key: str
    title: str
    value: Decimal | float | int | str | date | datetime | None
    kind: Kind
    currency: str | None = None
    reason: str | None = None
    change: float | None = None  # a fraction beside it, with its sign
    note: str = ""
    formula: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a table was made from; written at the head of every CSV and in every JSON."""

    as_of: date
    currency: str | None
    version: str
    coverage: float | None = None
    known_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Typed columns and rows. `figures` stand beside the rows (cards); `total` is one more row, or None."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    context: Context
    figures: tuple[Figure, ...] = ()
    total: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = field(default=())
    empty: str = "Nothing here yet."

    def __post_init__(self) -> None:
        width = len(self.columns)
        for row in self.rows:
            if len(row) != width:
                raise ValueError(f"{self.name}: a row of {len(row)} cells under {width} columns")
        if self.total is not None and len(self.total) != width:
            raise ValueError(f"{self.name}: a total of {len(self.total)} cells under {width} columns")

    def column(self, key: str) -> list[Any]:
        """All cells of one column, by its key. KeyError names the columns there are."""
        keys = [c.key for c in self.columns]
        if key not in keys:
            raise KeyError(f"{self.name} has no column {key!r}; it has {', '.join(keys)}")
        i = keys.index(key)
        return [row[i] for row in self.rows]

    def total_of(self, key: str) -> Any:
        """The cell of the total row under a column; None where there is no total row."""
        return None if self.total is None else self.total[[c.key for c in self.columns].index(key)]

    def records(self) -> Iterator[dict[str, Any]]:
        """Rows as dicts keyed by column, values as they are."""
        keys = [c.key for c in self.columns]
        for row in self.rows:
            yield dict(zip(keys, row, strict=True))

    def figure(self, key: str) -> Figure:
        """One figure by its key."""
        for f in self.figures:
            if f.key == key:
                return f
        raise KeyError(f"{self.name} has no figure {key!r}; it has {', '.join(f.key for f in self.figures)}")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: decimals as strings, fractions and ratios as numbers, dates as ISO text, missing as null."""
        return {
            "name": self.name,
            "title": self.title,
            "as_of": self.context.as_of.isoformat(),
            "known_at": plain(self.context.known_at),
            "currency": self.context.currency,
            "calculation_version": self.context.version,
            "coverage": self.context.coverage,
            "notes": list(self.notes),
            "columns": [{"key": c.key, "title": c.title, "kind": c.kind.value, "note": c.note} for c in self.columns],
            "figures": [
                {
                    "key": f.key,
                    "title": f.title,
                    "kind": f.kind.value,
                    "value": plain(f.value),
                    "currency": f.currency,
                    "change": plain(f.change),
                    "reason": f.reason,
                    "formula": f.formula,
                }
                for f in self.figures
            ],
            "rows": [{c.key: plain(v) for c, v in zip(self.columns, row, strict=True)} for row in self.rows],
            "total": None
            if self.total is None
            else {c.key: plain(v) for c, v in zip(self.columns, self.total, strict=True)},
        }

    def as_csv(self) -> str:
        """RFC 4180 text. The last four columns of every row carry as-of, known-at (empty: now), currency and calculation version."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(
            [
                *(c.key for c in self.columns),
                "report_as_of",
                "report_known_at",
                "report_currency",
                "calculation_version",
            ]
        )
        known = "" if self.context.known_at is None else self.context.known_at.isoformat()
        stamp = [self.context.as_of.isoformat(), known, self.context.currency or "", self.context.version]
        for row in self.rows:
            writer.writerow([*(flat(v) for v in row), *stamp])
        return out.getvalue()


def plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | bool | None):
        return value
    return str(value)


def flat(value: Any) -> str:
    """A cell as CSV has it: missing is empty, a float in its shortest exact form; text cannot start a formula."""
    shown = plain(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "yes" if shown else "no"
    if isinstance(shown, float):
        return repr(shown)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return str(shown)
