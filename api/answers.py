"""Shapes that several routes answer with. Decimals leave as strings, exactly as they are; a missing number is null."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field, PlainSerializer

Exact = Annotated[Decimal, PlainSerializer(lambda d: format(d, "f"), return_type=str)]
Cell = str | int | float | bool | None

PortfolioQuery = Annotated[
    str | None, Query(description="id or name of a portfolio; may be left out where there is one only", max_length=120)
]


AsOf = Annotated[str | None, Query(description="trading date, such as 2026-03-31; default now")]
KnownAt = Annotated[str | None, Query(description="only what was recorded by this time (ISO 8601; without a zone UTC)")]


class ColumnAnswer(BaseModel):
    """One column of a report."""

    key: str
    title: str
    kind: str = Field(description="text, date, time, count, money, price, units, percent, number, bps or flag")
    note: str


class FigureAnswer(BaseModel):
    """One figure beside the rows; `value` is null where it is undefined, `reason` then says why."""

    key: str
    title: str
    kind: str
    value: Cell
    currency: str | None
    change: float | None
    reason: str | None
    formula: str


class TableAnswer(BaseModel):
    """A report: money, prices and units as strings, fractions and ratios as numbers (0.05 is 5 %), dates as ISO text."""

    name: str
    title: str
    as_of: date
    known_at: datetime | None
    currency: str | None
    calculation_version: str
    coverage: float | None = Field(description="share of the value with a fresh price")
    notes: list[str]
    columns: list[ColumnAnswer]
    figures: list[FigureAnswer]
    rows: list[dict[str, Cell]]
    total: dict[str, Cell] | None


class PortfolioAnswer(BaseModel):
    """A portfolio's settings."""

    portfolio_id: str
    name: str
    base_currency: str
    benchmark_id: int | None
    method: str = Field(description="cost method in force")
    access: str = Field(description="read, write or manage: what you may do")
    note: str
    demo: bool
    goal_value: Exact | None
    goal_on: date | None
    version: int = Field(description="raised by every change; send it along when editing")
