"""Many securities at once: the master as CSV, loading such a file, the backups that are taken before, and the way back to one.

The file comes as a form (`file`) or as the body itself. What is written is a tracked task: 202 and where to follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api import uploads
from api.once import OnceRoute
from api.people import Who
from core import bulk as files
from core.bulk import Verdict
from core.plans import Plan
from db import backups, bulk, tasks
from db.access import AccessDenied, User
from db.backups import Backup
from db.bulk import Judged

router = APIRouter(prefix="/v1", tags=["Securities in bulk"], route_class=OnceRoute)
SHOWN = 1_000  # verdicts of an answer, rows of each step of a plan; the CSV has all
Existing = Annotated[
    Literal["refuse", "update"],
    Query(description="a row that differs from a security which is there: refuse it, or change the security"),
]
CSV: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
}
LOCATION = {"headers": {"Location": {"description": "where the task is", "schema": {"type": "string"}}}}


class FaultAnswer(BaseModel):
    """What is wrong with a row."""

    class_: str = Field(alias="class", description="such as DuplicateSymbol or InvalidSector")
    field: str
    value: str | None
    expected: str
    message: str


class RowVerdict(BaseModel):
    """What becomes of one row."""

    line: int = Field(description="of the file, the first one is 1")
    outcome: Literal["add", "update", "unchanged", "refused"]
    security: str = Field(description="EXCHANGE:SYMBOL")
    security_id: int | None = Field(description="of the security that is there")
    faults: list[FaultAnswer]
    changes: list[str] = Field(description="of an update: the columns that differ")
    note: str


class LoadVerdicts(BaseModel):
    """A dry run: how many rows of each outcome, and the first verdicts, refused ones first; all of them at …/verdicts.csv."""

    file: str
    existing: Literal["refuse", "update"]
    rows: int
    add: int
    update: int
    unchanged: int
    refused: int
    more: int = Field(description="verdicts that are not listed here")
    verdicts: list[RowVerdict]


class LoadAsked(BaseModel):
    """The task that was asked for: `Location` says where to follow it."""

    task_id: UUID
    label: str
    message: str
    status: str = Field(description="waiting where a second person has to approve it")


class BackupAnswer(BaseModel):
    """One backup of the security master."""

    backup_id: UUID
    taken_at: datetime
    taken_by: str | None
    task_id: UUID | None = Field(description="the task before whose first write it was taken")
    what: str
    rows: dict[str, int] = Field(description="how many, by table")
    sha256: str = Field(description="of the file at …/content")
    bytes: int


class RestoreStep(BaseModel):
    """Rows of one table that a restore writes."""

    name: str
    table: str
    action: str
    size: int
    rows: list[dict[str, Any]] = Field(description=f"the first {SHOWN:,}")
    before: list[dict[str, Any]] = Field(description="of an update: what stands there now")


class RestorePlan(BaseModel):
    """What a restore would write, all of it or nothing."""

    title: str
    notes: list[str]
    steps: list[RestoreStep]


_FILE = uploads.body(files.TEMPLATE)


@router.get("/securities/template.csv", **CSV)
def template_of_securities(who: Who) -> Response:
    """An empty file to fill in: the header and two made-up rows."""
    return _csv(files.TEMPLATE, "securities-template.csv")


@router.get("/securities/export.csv", **CSV)
def export_securities(
    who: Who,
    status: Annotated[
        list[Literal["active", "halted", "retired", "delisted"]] | None,
        Query(description="only these; may be repeated"),
    ] = None,
) -> Response:
    """The whole master in the format of the import: imported again, every row is unchanged."""
    return _csv(bulk.export_csv(who, status or ()), "securities.csv")


@router.post(
    "/securities/import", response_model=LoadVerdicts | LoadAsked, openapi_extra=_FILE,
    responses={202: {"model": LoadAsked, "description": "the task was asked for", **LOCATION}},
)  # fmt: skip
async def import_securities(
    who: Who,
    request: Request,
    dry_run: Annotated[bool, Query(description="only say what would become of each row")] = True,
    existing: Existing = "refuse",
    partial: Annotated[bool, Query(description="load the good rows although others are refused")] = False,
) -> Response:
    """Read a CSV of securities: a verdict per row and, with dry_run=false, one task that loads them in one transaction, after a backup."""
    name, raw, _ = await uploads.sent(request, "securities.csv")

    def made() -> Response:
        found = bulk.judged(who, raw, name, existing)
        if dry_run:
            return Response(_verdicts(found).model_dump_json(by_alias=True), media_type="application/json")
        return _asked(request, who, bulk.load(who, found, partial))

    return await run_in_threadpool(made)


@router.post("/securities/verdicts.csv", openapi_extra=_FILE, **CSV)
async def verdicts_on_securities(who: Who, request: Request, existing: Existing = "refuse") -> Response:
    """The dry run of a CSV of securities as a CSV: every row with its line, its verdict and why. Nothing is written."""
    name, raw, _ = await uploads.sent(request, "securities.csv")

    def made() -> Response:
        return _csv(files.verdicts_csv(bulk.judged(who, raw, name, existing).verdicts), "securities-verdicts.csv")

    return await run_in_threadpool(made)


@router.get("/securities/tasks/{task_id}/refused.csv", **CSV)
def refused_securities(who: Who, task_id: UUID) -> Response:
    """The rows that a partial load left out, with `why`: corrected, the file is imported as it is."""
    return _csv(bulk.refused_csv(who, task_id), "securities-refused.csv")


@router.get("/backups", response_model=list[BackupAnswer])
def list_backups(who: Who) -> list[BackupAnswer]:
    """The backups of the security master, newest first; for analysts and admins."""
    return [_backup(b) for b in backups.backups(who)]


@router.get(
    "/backups/{backup_id}/content", response_class=Response,
    responses={200: {"content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
def backup_content(who: Who, backup_id: UUID) -> Response:
    """A backup as a file: gzip of JSON lines, {"table": …, "row": …}."""
    found, raw = backups.content(who, backup_id)
    name = f'attachment; filename="securities-{found.taken_at:%Y-%m-%dT%H-%M-%S}.jsonl.gz"'
    return Response(raw, media_type="application/gzip", headers={"Content-Disposition": name})


@router.post(
    "/backups/{backup_id}/restore", response_model=RestorePlan | LoadAsked,
    responses={202: {"model": LoadAsked, "description": "the task was asked for", **LOCATION}},
)  # fmt: skip
def restore_backup(
    who: Who,
    request: Request,
    backup_id: UUID,
    dry_run: Annotated[bool, Query(description="only say what would be written")] = True,
) -> Response:
    """Bring the security master back to a backup: what it would write or, with dry_run=false, the task that does."""
    if "bulk" not in tasks.rights(who):
        raise AccessDenied("your role may not restore the security master")
    plan = backups.plan_restore(who, backup_id)
    if dry_run:
        return Response(_plan(plan).model_dump_json(), media_type="application/json")
    return _asked(request, who, backups.request(who, backup_id, plan))


def _csv(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=headers)


def _verdicts(found: Judged) -> LoadVerdicts:
    first = sorted(found.verdicts, key=lambda v: v.outcome != "refused")[:SHOWN]
    return LoadVerdicts(
        file=found.file,
        existing=found.existing,  # type: ignore[arg-type]
        rows=len(found.verdicts),
        **found.counts,
        more=len(found.verdicts) - len(first),
        verdicts=[_verdict(v) for v in first],
    )


def _verdict(v: Verdict) -> RowVerdict:
    faults: list[Mapping[str, Any]] = [files.said(f) for f in v.faults]
    return RowVerdict(line=v.line, outcome=v.outcome, security=v.listing, security_id=v.number,  # type: ignore[arg-type]
                      faults=[FaultAnswer(**f) for f in faults], changes=list(v.changes), note=v.note)  # fmt: skip


def _asked(request: Request, who: User, number: UUID) -> Response:
    task = tasks.task_of(who, number)
    told = LoadAsked(task_id=number, label=task.label, message=f"{task.title}: asked for", status=task.status)
    where = f"{request.scope.get('root_path', '')}/v1/securities/tasks/{number}"
    return Response(told.model_dump_json(), 202, {"Location": where}, "application/json")


def _backup(b: Backup) -> BackupAnswer:
    return BackupAnswer(backup_id=b.backup_id, taken_at=b.taken_at, taken_by=b.taken_by, task_id=b.task_id, what=b.what, rows=dict(b.rows),
                        sha256=b.sha256, bytes=b.bytes)  # fmt: skip


def _plan(plan: Plan) -> RestorePlan:
    steps = [
        RestoreStep(name=s.name, table=s.table, action=s.action, size=s.size, rows=list(s.rows[:SHOWN]), before=list(s.before[:SHOWN]))
        for s in plan.steps
    ]  # fmt: skip
    return RestorePlan(title=plan.title, notes=list(plan.notes), steps=steps)
