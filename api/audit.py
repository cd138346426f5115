"""The audit trail: what was changed, by whom, from where; as CSV; and whether its chains are whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from api.people import Who
from core.audit import ACTIONS, SOURCES, Cursor, Row, Wanted, as_json
from db import audit

router = APIRouter(prefix="/v1/audit", tags=["Audit trail"])


def wanted_query(
    who: Annotated[str | None, Query(description="user name; for programs the role that they sign in as")] = None,
    from_: Annotated[str | None, Query(alias="from", description="first day (UTC), such as 2026-03-31")] = None,
    to: Annotated[str | None, Query(description="last day (UTC)")] = None,
    entity: Annotated[str | None, Query(description="a table, such as securities")] = None,
    key: Annotated[str | None, Query(description="the key of its row; several columns joined by /")] = None,
    action: Annotated[str | None, Query(description="one of " + ", ".join(ACTIONS))] = None,
    q: Annotated[str | None, Query(description="text anywhere in the row")] = None,
    source: Annotated[str | None, Query(description="one of " + ", ".join(SOURCES))] = None,
    task: Annotated[str | None, Query(description="the id of a task")] = None,
    chain: Annotated[str | None, Query(description="master, people or portfolio:ID")] = None,
) -> Wanted:
    """The filters, as text: `core.audit.Wanted.read` says what is wrong with them."""
    return Wanted.read(
        {"who": who, "from": from_, "to": to, "entity": entity, "key": key, "action": action, "q": q, "source": source, "task": task,
         "chain": chain}
    )  # fmt: skip


Asked = Annotated[Wanted, Depends(wanted_query)]


class AuditRow(BaseModel):
    """One change. Updated: `before` and `after` hold the key and the columns that changed; else the whole row."""

    chain: str = Field(description="master, people, or portfolio: and its id")
    seq: int = Field(description="its number in the chain")
    at: datetime
    actor: UUID | None = Field(description="the person; null where a program acted for itself")
    actor_name: str
    action: str
    entity: str
    entity_key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    source: str
    address: str | None = Field(description="of the client; for admins and who did it")
    request_id: str | None = Field(description="for admins and who did it")
    task_id: UUID | None
    previous: str = Field(description="the hash of the row before, hexadecimal")
    hash: str = Field(description="sha256 over `previous` and the digest of the row")
    digest: str | None = Field(
        description="the digest of the whole row, where its address and request are withheld from you; null: nothing is"
    )


class AuditPage(BaseModel):
    """Some rows, newest first."""

    items: list[AuditRow]
    next_cursor: str | None = Field(description="send it as `cursor` for older ones; null: there are none")


class FindingAnswer(BaseModel):
    """Something wrong with the trail."""

    chain: str = Field(description="a chain, or a table whose trigger is off")
    seq: int | None
    what: str


class ChainAnswer(BaseModel):
    """One chain as it was found."""

    chain: str
    rows: int
    seq: int = Field(description="of its last row")
    hash: str = Field(
        description="of its last row: note `chain:seq:hash` elsewhere for `python -m db.audit verify --expect`"
    )
    whole: bool


class VerifiedAnswer(BaseModel):
    """Every hash worked out anew."""

    whole: bool
    rows: int
    chains: list[ChainAnswer]
    findings: list[FindingAnswer]


def _shown(row: Row) -> AuditRow:
    return AuditRow(**as_json(row))


@router.get("", response_model=AuditPage)
def list_changes(
    who: Who,
    asked: Asked,
    cursor: Annotated[str | None, Query(description="next_cursor of the answer before", max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditPage:
    """What was changed, newest first, as far as you may see it: master data, portfolios you may read, for admins also people."""
    page = audit.rows(who, asked, Cursor.read(cursor) if cursor else None, limit)
    return AuditPage(items=[_shown(r) for r in page.rows], next_cursor=str(page.older) if page.older else None)


@router.get("/verify", response_model=VerifiedAnswer)
def verify_chains(who: Who) -> VerifiedAnswer:
    """Work out every hash of every chain anew. Admins; of chains that they may not read, without what the rows say."""
    done = audit.verified(who)
    return VerifiedAnswer(
        whole=not done.findings,
        rows=done.rows,
        chains=[
            ChainAnswer(chain=c.chain, rows=c.rows, seq=c.seq, hash=c.hash.hex(), whole=c.finding is None)
            for c in done.checks
        ],
        findings=[FindingAnswer(chain=f.chain, seq=f.seq, what=f.what) for f in done.findings],
    )


csv_router = APIRouter(tags=["Audit trail"])


@csv_router.get(
    "/v1/audit.csv", response_class=Response, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
)
def changes_as_csv(who: Who, asked: Asked) -> Response:
    """The newest 100,000 rows that fit as a CSV file, with the columns of the page."""
    table = audit.whole(who, asked)
    disposition = {"Content-Disposition": f'attachment; filename="audit_{table.context.as_of}.csv"'}
    return Response(table.as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)
