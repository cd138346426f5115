"""Tracked tasks: asking for one, following it to its end, deciding what waits for a second person; who may do what.

A task is asked for where the thing is that it changes (`api.securities`); `ask` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from api import problems
from api.answers import Exact
from api.exact import Day
from api.once import OnceRoute
from api.paging import Cursor, cursor, key_of
from api.people import Who
from core.plans import Plan
from core.scope import BadScope
from db import reports, tasks
from db.access import AccessDenied, User
from db.tasks import Task

router = APIRouter(prefix="/v1/securities/tasks", tags=["Tasks"], route_class=OnceRoute)
csv_router = APIRouter(tags=["Tasks"])
policy_router = APIRouter(prefix="/v1/policy", tags=["Tasks"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"
CSV_ROWS = 100_000
Status = Literal["waiting", "queued", "running", "completed", "failed", "cancelled", "rejected"]
KindOfTask = Literal["add", "edit", "remove", "reinstate", "symbol_change", "delist", "reclassify", "bulk", "restore", "book_splits", "reverse_splits"]  # fmt: skip
DryRun = Annotated[bool, Query(description="true: answer 200 with the plan, and write nothing")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=120,
        pattern="^[!-~]*$",
        description="the same key within a day answers the same task instead of a second one",
    ),
]
INITIATED = {"add": "addition", "edit": "change", "remove": "removal", "reinstate": "reinstatement", "symbol_change": "symbol change",
             "delist": "delisting", "reclassify": "reclassification", "bulk": "bulk", "restore": "restoration", "book_splits": "split booking",
             "reverse_splits": "split reversal"}  # fmt: skip


# ── what is asked for ───────────────────────────────────────────────────────────────────────────────────────


class PlanStep(BaseModel):
    """Rows of one table, in the order in which they are written."""

    name: str
    table: str = Field(description="empty where nothing is written, only a feed asked")
    action: str = Field(description="insert, update, delete; ask: the feeds, bars: what they gave; book: entries of a ledger, reverse: their reversals")
    rows: list[dict[str, Any]] = Field(
        description="insert: whole rows; update: keys and new values; delete: keys. EXCHANGE:SYMBOL stands for a number that is not given yet"
    )
    before: list[dict[str, Any]] = Field(description="update: what stands there now, row by row")
    size: int = Field(description="how many rows it writes")


class PlanAnswer(BaseModel):
    """Exactly what a task will write, all of it or nothing."""

    kind: KindOfTask
    title: str
    subject: str = Field(description="EXCHANGE:SYMBOL, several of them, or the name of a file")
    security_id: int | None
    notes: list[str]
    steps: list[PlanStep]


class TaskAsked(BaseModel):
    """The task was taken down: `Location` says where to follow it."""

    task_id: UUID
    label: str = Field(description="for people, such as security_add_AAPL_1621534567; not unique")
    message: str
    status: Status = Field(description="waiting where a second person has to approve it")
    notes: list[str] = Field(description="what to know of it: what was taken where something was not said")


def plan_answer(plan: Plan) -> PlanAnswer:
    """A plan as the API shows it."""
    return PlanAnswer(
        kind=plan.kind,  # type: ignore[arg-type]
        title=plan.title,
        subject=plan.subject,
        security_id=plan.security_id,
        notes=list(plan.notes),
        steps=[
            PlanStep(name=s.name, table=s.table, action=s.action, rows=list(s.rows), before=list(s.before), size=s.size)
            for s in plan.steps
        ],
    )


ASKED: dict[str, Any] = {
    "response_model": TaskAsked,
    "status_code": 202,
    "responses": {
        200: {"model": PlanAnswer, "description": "with dry_run: the plan"},
        202: {"headers": {"Location": {"description": "where the task is", "schema": {"type": "string"}}}},
    },
}  # of every route that asks for a task


def ask(
    who: User, request: Request, right: str | None, make: Callable[[], Plan], asked: Mapping[str, Any], key: str | None, dry_run: bool,
    undoes: UUID | None = None,
) -> Response:  # fmt: skip
    """Plan, and unless it is a dry run ask for it. `asked`: what was sent; `right`: None where the portfolios decide. Raises
    AccessDenied before it looks at anything."""
    if right is not None and right not in tasks.rights(who):
        raise AccessDenied(f"your role may not {right} securities; GET /v1/policy says whose may")
    number = None if dry_run or key is None else tasks.asked_before(who, key, asked)
    if number is None:
        plan = make()
        if dry_run:
            return _json(plan_answer(plan), 200)
        number = tasks.request(who, plan, asked, undoes, key)
    return taken_down(who, request, number)


def taken_down(who: User, request: Request, number: UUID) -> Response:
    """That a task was asked for, and where to follow it."""
    task = tasks.task_of(who, number)
    told = TaskAsked(
        task_id=number,
        label=task.label,
        message=f"Security {INITIATED[task.kind]} task initiated",
        status=task.status,  # type: ignore[arg-type]
        notes=list(tasks.plan_of(who, number).notes),
    )
    answer = _json(told, 202)
    answer.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/securities/tasks/{number}"
    return answer


def _json(model: BaseModel, status: int) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


# ── following it ────────────────────────────────────────────────────────────────────────────────────────────


class TaskSecurity(BaseModel):
    """The security that a task is about, as it will be, or would have been."""

    symbol: str | None
    asset_class: str | None
    sector: str | None
    industry: str | None
    price: Exact | None = Field(
        description="in the security's currency; the first one, else the last quote when it was asked for"
    )
    dividend_frequency: str | None


class TaskStep(BaseModel):
    """How far one step is."""

    name: str
    status: Literal["pending", "running", "completed", "failed", "undone", "skipped"] = Field(
        description="undone: it was done and rolled back with the rest"
    )
    rows: int = Field(description="to be written")
    done: int = Field(description="written so far")
    note: str
    started_at: datetime | None
    finished_at: datetime | None


class TaskError(BaseModel):
    """Why a task failed. Nothing was changed."""

    type: str = Field(description="a path of the reference that explains this kind of problem")
    class_: str = Field(alias="class", description="such as DuplicateSymbol; TaskFailed where no field is to blame")
    field: str | None
    value: str | None
    expected: str | None
    step: int | None = Field(description="zero-based index of the step where it happened")
    message: str


class TaskRow(BaseModel):
    """A task without its steps."""

    id: UUID
    label: str = Field(description="for people, such as security_add_AAPL_1621534567; not unique")
    kind: KindOfTask
    title: str
    subject: str = Field(description="EXCHANGE:SYMBOL, or the name of a file")
    status: Status = Field(
        description="waiting (for a second person), queued, running; at the end completed, failed, cancelled or rejected"
    )
    security: TaskSecurity | None = Field(description="null where it is about several")
    security_id: int | None
    message: str = Field(description="the result in words, once it has ended")
    requester: str
    source: str = Field(description="page, api, csv or job")
    four_eyes: bool = Field(description="it needed a second person's approval")
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str
    undoes: UUID | None = Field(description="the task that this one takes back")
    error: TaskError | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None = Field(description="when it ended, however it did")


class TaskAnswer(TaskRow):
    """A task with its steps."""

    steps: list[TaskStep]
    current_step: int | None = Field(
        description="zero-based index of the step that runs, else of the last one that did: 4 where all of five are completed; null before the first"
    )
    progress: float = Field(description="the share of the work that is done, 0 to 1")


class TaskPage(BaseModel):
    """Some tasks, newest first."""

    items: list[TaskRow]
    next_cursor: str | None = Field(description="send it as `cursor` for older ones; null: there are none")


def task_row(request: Request, task: Task) -> dict[str, Any]:
    """The fields of a TaskRow."""
    about, error = task.about, task.error if task.status == "failed" else None
    return {
        "id": task.task_id, "label": task.label, "kind": task.kind, "title": task.title, "subject": task.subject, "status": task.status,
        "security": about and {name: about.get(name) for name in TaskSecurity.model_fields}, "security_id": task.security_id,
        "message": task.message, "requester": task.requester, "source": task.source, "four_eyes": task.four_eyes, "decided_by": task.decider,
        "decided_at": task.decided_at, "decision_note": task.decision_note, "undoes": task.undoes,
        "error": error and {**dict.fromkeys(("field", "value", "expected", "step")), **error, "type": problems.type_of(request, error["class"])},
        "created_at": task.requested_at, "started_at": task.started_at, "completed_at": task.finished_at,
    }  # fmt: skip


def task_fields(request: Request, task: Task) -> dict[str, Any]:
    """The fields of a TaskAnswer."""
    steps = [
        {"name": s.name, "status": s.status, "rows": s.rows, "done": s.done, "note": s.note, "started_at": s.started_at, "finished_at": s.finished_at}
        for s in task.steps
    ]  # fmt: skip
    return task_row(request, task) | {"steps": steps, "current_step": task.current_step, "progress": task.progress}


class Filters(BaseModel):
    """Which tasks."""

    status: list[Status]
    kind: KindOfTask | None
    requester: str | None
    q: str
    security: int | None
    first: datetime | None
    last: datetime | None


def filters(
    status: Annotated[list[Status] | None, Query(description="may be given several times")] = None,
    kind: Annotated[KindOfTask | None, Query()] = None,
    requester: Annotated[str | None, Query(description="user name", max_length=64, pattern=TEXT)] = None,
    q: Annotated[str, Query(description="part of the title", max_length=80, pattern=TEXT)] = "",
    security: Annotated[int | None, Query(description="a security's number", ge=0, lt=2**31)] = None,
    from_: Annotated[Day | None, Query(alias="from", description="first day (UTC) on which it was asked for")] = None,
    to: Annotated[Day | None, Query(description="last day (UTC)")] = None,
) -> Filters:
    """The filters of a request. Raises BadScope."""
    if from_ is not None and to is not None and to < from_:
        raise BadScope("to", to, f"a day not before {from_}")
    end = None if to is None or to == date.max else to + timedelta(days=1)
    return Filters(
        status=status or [], kind=kind, requester=requester.lower() if requester else None, q=q, security=security,
        first=None if from_ is None else datetime.combine(from_, time(), UTC), last=None if end is None else datetime.combine(end, time(), UTC),
    )  # fmt: skip


Filtered = Annotated[Filters, Depends(filters)]


def _found(who: User, wanted: Filters, before: UUID | None, limit: int) -> list[Task]:
    return tasks.tasks(who, wanted.status, wanted.kind, wanted.requester, wanted.q, wanted.first, wanted.last, wanted.security, before, limit)  # fmt: skip


@router.get("", response_model=TaskPage)
def list_tasks(
    who: Who, request: Request, wanted: Filtered, cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> TaskPage:  # fmt: skip
    """What was asked for, by whom, and how it ended; newest first."""
    found = _found(who, wanted, _before(cursor), limit + 1)
    return TaskPage(
        items=[TaskRow(**task_row(request, t)) for t in found[:limit]],
        next_cursor=_next(found[limit - 1]) if len(found) > limit else None,
    )


def _next(task: Task) -> str:
    return cursor(str(task.task_id))


def _before(text: str | None) -> UUID | None:
    if text is None:
        return None
    (number,) = key_of(text, 1)
    try:
        return UUID(number)
    except ValueError:
        raise BadScope("cursor", text, "the next_cursor of the page before") from None


@csv_router.get(
    "/v1/securities/tasks.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def tasks_as_csv(who: Who, wanted: Filtered) -> Response:
    """The newest 100,000 tasks that fit, as a CSV file."""
    found = reports.task_rows(_found(who, wanted, None, CSV_ROWS))
    table = reports.answer(who, "tasks", given={"tasks": found})
    disposition = {"Content-Disposition": f'attachment; filename="tasks_{table.context.as_of}.csv"'}
    return Response(table.as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)


@router.get("/{task_id}", response_model=TaskAnswer)
def look_at_task(who: Who, request: Request, task_id: UUID) -> TaskAnswer:
    """How far a task is: ask again until `completed_at` is there. It goes on whoever looks, and survives a restart."""
    return TaskAnswer(**task_fields(request, tasks.task_of(who, task_id)))


@router.get("/{task_id}/plan", response_model=PlanAnswer)
def look_at_plan(who: Who, task_id: UUID) -> PlanAnswer:
    """The exact rows that were confirmed."""
    return plan_answer(tasks.plan_of(who, task_id))


class Decision(BaseModel):
    """Why."""

    model_config = {"extra": "forbid"}
    note: str = Field("", max_length=1000, pattern=TEXT)


@router.post("/{task_id}/cancel", response_model=TaskAnswer)
def cancel_task(who: Who, request: Request, task_id: UUID) -> TaskAnswer:
    """Stop a task before its commit: nothing is changed. For whoever asked for it, and admins. A running one ends within moments."""
    tasks.cancel(who, task_id)
    return look_at_task(who, request, task_id)


@router.post("/{task_id}/approve", response_model=TaskAnswer)
def approve_task(who: Who, request: Request, task_id: UUID, decision: Decision | None = None) -> TaskAnswer:
    """Let a task that waits go ahead. Not for whoever asked for it."""
    tasks.decide(who, task_id, True, decision.note if decision else "")
    return look_at_task(who, request, task_id)


@router.post("/{task_id}/reject", response_model=TaskAnswer)
def reject_task(who: Who, request: Request, task_id: UUID, decision: Decision | None = None) -> TaskAnswer:
    """Refuse a task that waits: nothing is changed. Not for whoever asked for it."""
    tasks.decide(who, task_id, False, decision.note if decision else "")
    return look_at_task(who, request, task_id)


# ── the shape of the older specification ────────────────────────────────────────────────────────────────────


class SeedSecurity(TaskSecurity):
    """The same with its price as a JSON number."""

    price: float | None  # type: ignore[assignment]


class SeedTask(TaskAnswer):
    """The same with the price as a JSON number."""

    security: SeedSecurity | None


def look_at_task_as_before(who: Who, request: Request, task_id: UUID) -> SeedTask:
    """The same as /v1/securities/tasks/{…}, the price as a JSON number and the result in the words of that specification."""
    task = tasks.task_of(who, task_id)
    fields = task_fields(request, task)
    if task.status == "completed" and task.about and (done := {"add": "added", "remove": "removed"}.get(task.kind)):
        fields["message"] = f"Security {task.about['symbol']} {done} successfully"
    if security := fields["security"]:
        security["price"] = None if security["price"] is None else float(Decimal(security["price"]))
    return SeedTask(**fields)


# ── who may do what ─────────────────────────────────────────────────────────────────────────────────────────

Role = Literal["analyst", "admin"]
Right = Literal["add", "edit", "remove", "bulk"]


class Policy(BaseModel):
    """The least role for each right; viewers have none."""

    add: Role
    edit: Role = Field(description="also symbol changes")
    remove: Role = Field(description="also delisting and reinstating")
    bulk: Role
    approve: Role
    four_eyes: list[Right] = Field(description="what waits until somebody else approves it")


class PolicyAnswer(Policy):
    """Who may do what."""

    yours: list[str] = Field(description="what you may do")


class PolicyEdit(BaseModel):
    """What is to change; what is left out stays."""

    model_config = {"extra": "forbid"}
    add: Role | None = None
    edit: Role | None = None
    remove: Role | None = None
    bulk: Role | None = None
    approve: Role | None = None
    four_eyes: list[Right] | None = Field(None, max_length=4)


@policy_router.get("", response_model=PolicyAnswer)
def look_at_policy(who: Who) -> PolicyAnswer:
    """Who may add, edit, remove, change in bulk and approve; what needs four eyes."""
    mine = tasks.rights(who)
    return PolicyAnswer(**tasks.policy(who), yours=[r for r in tasks.RIGHTS if r in mine])


@policy_router.put("", response_model=PolicyAnswer)
def change_policy(who: Who, edit: PolicyEdit) -> PolicyAnswer:
    """Say who may do what. For admins; holds from the next request on."""
    said = edit.model_dump(exclude_none=True)
    if "four_eyes" in said:
        said["four_eyes"] = sorted(set(said["four_eyes"]))
    tasks.set_policy(who, said)
    return look_at_policy(who)
