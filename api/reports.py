"""Reports as JSON and CSV: the same Table that the page shows, from the same function."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from api.answers import ColumnAnswer, PortfolioQuery, TableAnswer
from api.people import Who
from api.portfolios import portfolio_of
from core.reports import REPORTS
from core.scope import Scope
from core.table import Table
from db import reports
from db.access import User
from db.reports import NoSuchReport

router = APIRouter(prefix="/v1/reports", tags=["Reports"])
OF_A_PORTFOLIO = frozenset({"view", "chart", "ledger"})
NOBODY = UUID(int=0)  # stands in the scope of a report that no portfolio is asked for


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
            needs_portfolio=bool(OF_A_PORTFOLIO & set(r.inputs)),
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
    portfolio: PortfolioQuery = None,
    as_of: Annotated[str | None, Query(description="trading date, such as 2026-03-31; default now")] = None,
    known_at: Annotated[str | None, Query(description="only what was recorded by this time (ISO 8601)")] = None,
    period: Annotated[str | None, Query(description="1D, 1W, 1M, 3M, YTD, 1Y or ALL; default 1Y")] = None,
    by: Annotated[str | None, Query(description="asset_class, sector, country or currency")] = None,
    security: Annotated[str | None, Query(description="a security's number")] = None,
    format: Annotated[Literal["json", "csv"], Query(description="json, or csv as a file")] = "json",
) -> Any:
    """One report: the object the page shows, as JSON or CSV. Money is exact, as strings; missing is null (CSV: empty)."""
    query = {"as_of": as_of, "known_at": known_at, "period": period, "by": by, "security": security}
    table, named = read(who, name, portfolio, query)
    if format == "json":
        return table.as_json()
    file = "_".join(x for x in (name, named, table.context.as_of.isoformat()) if x) + ".csv"
    disposition = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(table.as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)


def read(user: User, name: str, portfolio: str | None, query: dict[str, str | None]) -> tuple[Table, str]:
    """(the table, the portfolio's name as part of a file name)."""
    report = REPORTS.get(name)
    if report is None:
        raise NoSuchReport(f"there is no such report; there are {', '.join(sorted(REPORTS))}")
    named, number = "", NOBODY
    if portfolio or OF_A_PORTFOLIO & set(report.inputs):
        found = portfolio_of(user, portfolio)
        number, named = found.portfolio_id, re.sub(r"[^A-Za-z0-9]+", "-", found.name).strip("-")
    return reports.answer(user, name, Scope.read(number, query), datetime.now(UTC)), named
