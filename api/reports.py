"""Reports as JSON and CSV: the same Table that the page shows, from the same function."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from api.answers import AsOf, Cell, ColumnAnswer, KnownAt, PortfolioQuery, TableAnswer
from api.people import Who
from api.portfolios import portfolio_of
from core.reports import REPORTS
from core.scope import GROUPS, LOOKBACKS, PERIODS, Scope
from core.table import Table, plain
from db import reports
from db.access import User
from db.reports import NoSuchReport

router = APIRouter(prefix="/v1/reports", tags=["Reports"])
NOBODY = UUID(int=0)  # stands in the scope of a report that no portfolio is asked for


def scope_query(
    as_of: AsOf = None,
    known_at: KnownAt = None,
    period: Annotated[str | None, Query(description="one of " + ", ".join(PERIODS) + "; default 1Y")] = None,
    lookback: Annotated[
        str | None, Query(description="what figures of risk are made of: one of " + ", ".join(LOOKBACKS) + "; default 1Y, whatever the period")
    ] = None,
    by: Annotated[str | None, Query(description="one of " + ", ".join(GROUPS) + "; default sector")] = None,
    security: Annotated[str | None, Query(description="a security's number")] = None,
    year: Annotated[str | None, Query(description="calendar year of a tax report; default that of as_of")] = None,
    since: Annotated[
        str | None, Query(description="of what moved: the earlier time of knowledge; default a week before")
    ] = None,
) -> dict[str, str | None]:
    """The parameters of a scope, as text: `core.scope.Scope.read` says what is wrong with them."""
    return {
        "as_of": as_of,
        "known_at": known_at,
        "period": period,
        "lookback": lookback,
        "by": by,
        "security": security,
        "year": year,
        "since": since,
    }


Asked = Annotated[dict[str, str | None], Depends(scope_query)]


class ReportAnswer(BaseModel):
    """A report that can be asked for."""

    name: str
    title: str
    definition: str = Field(description="what it says and how it is computed")
    inputs: list[str] = Field(description="what it is made from")
    needs_portfolio: bool
    admin_only: bool
    columns: list[ColumnAnswer]


@router.get("", response_model=list[ReportAnswer])
def list_reports(who: Who) -> list[ReportAnswer]:
    """Every report with its definition and columns."""
    return [
        ReportAnswer(
            name=r.name,
            title=r.title,
            definition=r.definition,
            inputs=list(r.inputs),
            needs_portfolio=bool(reports.OF_A_PORTFOLIO & set(r.inputs)),
            admin_only=bool(reports.ADMIN_ONLY & set(r.inputs)),
            columns=[ColumnAnswer(key=c.key, title=c.title, kind=c.kind.value, note=c.note) for c in r.columns],
        )
        for r in sorted(REPORTS.values(), key=lambda r: r.name)
    ]


@router.get(
    "/{name}",
    response_model=TableAnswer,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_report(
    who: Who,
    name: Annotated[str, Path(description="one of GET /v1/reports", max_length=60)],
    asked: Asked,
    portfolio: PortfolioQuery = None,
    format: Annotated[Literal["json", "csv"], Query(description="json, or csv as a file")] = "json",
) -> Any:
    """One report: the object the page shows, as JSON or CSV. Money is exact, as strings; missing is null (CSV: empty)."""
    table, named = read(who, name, portfolio, asked)
    if format == "json":
        return table.as_json()
    known = "" if table.context.known_at is None else f"known-{table.context.known_at:%Y-%m-%dT%H-%M}"
    file = "_".join(x for x in (name, named, table.context.as_of.isoformat(), known) if x) + ".csv"
    disposition = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(table.as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)


class TermAnswer(BaseModel):
    """One input of a formula, by the name that the formula uses."""

    name: str
    value: Cell
    kind: str
    currency: str | None
    note: str


class EvidenceAnswer(BaseModel):
    """Rows behind a number: transactions, prices, rates, lots, days."""

    title: str
    note: str
    columns: list[ColumnAnswer]
    rows: list[dict[str, Cell]]
    more: int = Field(description="rows that are not listed here: ask with a higher limit")


class ExplanationAnswer(BaseModel):
    """One number, with everything it came from. `recomputed` is worked out from the terms and the evidence alone."""

    title: str
    value: Cell
    recomputed: Cell
    kind: str
    currency: str | None
    reason: str | None
    formula: str
    note: str
    terms: list[TermAnswer]
    evidence: list[EvidenceAnswer]
    as_of: date
    known_at: datetime | None
    calculation_version: str


@router.get("/{name}/explain", response_model=ExplanationAnswer)
def explain_number(
    who: Who,
    name: Annotated[str, Path(description="one of GET /v1/reports", max_length=60)],
    asked: Asked,
    column: Annotated[str | None, Query(description="the key of a column", max_length=60)] = None,
    row: Annotated[int | None, Query(ge=0, description="the row, from 0; leave out for the total")] = None,
    figure: Annotated[
        str | None, Query(description="the key of a figure, instead of column and row", max_length=60)
    ] = None,
    portfolio: PortfolioQuery = None,
    limit: Annotated[int, Query(ge=1, le=100_000, description="rows listed of each piece of evidence")] = 1000,
) -> ExplanationAnswer:
    """How one number of a report comes about: its formula, its inputs, and the transactions and prices behind it."""
    report = REPORTS.get(name)
    if report is None:
        raise NoSuchReport(f"there is no such report; there are {', '.join(sorted(REPORTS))}")
    number = (
        portfolio_of(who, portfolio).portfolio_id
        if portfolio or reports.OF_A_PORTFOLIO & set(report.inputs)
        else NOBODY
    )
    found = reports.explain(who, name, Scope.read(number, asked), column, row, figure)
    return ExplanationAnswer(
        title=found.title, value=plain(found.value), recomputed=plain(found.recomputed), kind=found.kind.value, currency=found.currency,
        reason=found.reason, formula=found.formula, note=found.note, as_of=found.context.as_of, known_at=found.context.known_at,
        calculation_version=found.context.version,
        terms=[TermAnswer(name=t.name, value=plain(t.value), kind=t.kind.value, currency=t.currency, note=t.note) for t in found.terms],
        evidence=[
            EvidenceAnswer(
                title=e.title, note=e.note, columns=[ColumnAnswer(key=c.key, title=c.title, kind=c.kind.value, note=c.note) for c in e.columns],
                rows=[{c.key: plain(v) for c, v in zip(e.columns, r, strict=True)} for r in e.rows[:limit]], more=max(0, len(e.rows) - limit),
            )
            for e in found.evidence
        ],
    )  # fmt: skip


def read(user: User, name: str, portfolio: str | None, query: dict[str, str | None]) -> tuple[Table, str]:
    """(the table, the portfolio's name as part of a file name)."""
    report = REPORTS.get(name)
    if report is None:
        raise NoSuchReport(f"there is no such report; there are {', '.join(sorted(REPORTS))}")
    named, number = "", NOBODY
    if portfolio or reports.OF_A_PORTFOLIO & set(report.inputs):
        found = portfolio_of(user, portfolio)
        number, named = found.portfolio_id, re.sub(r"[^A-Za-z0-9]+", "-", found.name).strip("-")
    return reports.answer(user, name, Scope.read(number, query), datetime.now(UTC)), named
