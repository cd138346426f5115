"""What upkeep of the security master proposes: look, accept as one tracked task, dismiss with a reason, ask for a look before its time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from api.once import OnceRoute
from api.people import Who
from api.tasks import ASKED, plan_answer, taken_down
from core.upkeep import spoken
from db import upkeep
from db.upkeep import Proposal

router = APIRouter(prefix="/v1/proposals", tags=["Upkeep"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"
Status = Literal["open", "accepted", "dismissed", "superseded"]
KindName = Literal["reclassify", "asset_class", "status", "symbol_change", "adjusted_close"]
JobName = Literal["reclassify", "verify_classes", "listings", "adjusted_closes", "housekeeping"]


class ProposalAnswer(BaseModel):
    """One change that a job proposes, and what became of it."""

    proposal_id: UUID
    kind: KindName
    security_id: int
    symbol: str
    exchange: str
    name: str
    field: str
    before: Any = Field(
        description="what the field held when it was found: text, or an object (sector and industry; status; symbol; factor)"
    )
    after: Any = Field(description="what it would hold")
    said: str = Field(description="both in words")
    why: str
    found_at: datetime
    found_by: str = Field(description="a feed, or `rule`")
    status: Status
    acceptable: bool = Field(description="false: a notice that no task could carry out")
    decided_by: str | None
    decided_at: datetime | None
    note: str
    task_id: UUID | None
    task_status: str | None


class ProposalPage(BaseModel):
    """Proposals, newest first."""

    proposals: list[ProposalAnswer]
    next_before: UUID | None = Field(description="for `before`, to read on; null at the end")


class Chosen(BaseModel):
    """Open proposals that are to become one task."""

    ids: list[UUID] = Field(min_length=1, max_length=500)
    dry_run: bool = Field(False, description="true: answer 200 with the plan, and write nothing")


class Refusal(BaseModel):
    """Why a proposal is not wanted; kept with who said so."""

    why: str = Field(min_length=1, max_length=1000, pattern=TEXT)


class LookAnswer(BaseModel):
    """A job of upkeep: its last run, and since when somebody waits for the next."""

    job: JobName
    started_at: datetime | None
    status: str | None
    detail: str | None
    error: str | None
    asked_at: datetime | None


class NewLook(BaseModel):
    """The job that should look now."""

    job: JobName


def _answer(p: Proposal) -> ProposalAnswer:
    values = {name: getattr(p, name) for name in ProposalAnswer.model_fields if name not in ("said", "acceptable")}
    return ProposalAnswer(**values, said=f"{spoken(p.before)} → {spoken(p.after)}", acceptable=not p.told_only)


@router.get("", response_model=ProposalPage)
def list_proposals(
    who: Who,
    status: Annotated[list[Status] | None, Query(description="default open; several may be given")] = None,
    kind: Annotated[KindName | None, Query()] = None,
    security: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="the number of a security")] = None,
    before: Annotated[UUID | None, Query(description="only those older than this one")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ProposalPage:
    """What upkeep proposes, newest first."""
    found = upkeep.proposals(who, status or ("open",), kind, security, before, limit + 1)
    more = found[limit - 1].proposal_id if len(found) > limit else None
    return ProposalPage(proposals=[_answer(p) for p in found[:limit]], next_before=more)


@router.post("/accept", **ASKED)
def accept(who: Who, chosen: Chosen, request: Request) -> Any:
    """Accept several proposals as one task; with `dry_run` only see its rows. Nothing is written where a field has changed since."""
    if chosen.dry_run:
        return JSONResponse(plan_answer(upkeep.plan(who, chosen.ids)).model_dump(mode="json"))
    return taken_down(who, request, upkeep.accept(who, chosen.ids))


@router.get("/looks", response_model=list[LookAnswer])
def list_looks(who: Who) -> list[LookAnswer]:
    """The jobs of upkeep and how they last went."""
    return [LookAnswer(**{name: getattr(each, name) for name in LookAnswer.model_fields}) for each in upkeep.looks(who)]


@router.post("/looks", response_model=list[LookAnswer], status_code=202)
def look_now(who: Who, new: NewLook) -> list[LookAnswer]:
    """Have a job look now instead of at its time: the scheduler begins within seconds."""
    upkeep.look_now(who, new.job)
    return list_looks(who)


@router.post("/{proposal_id}/dismiss", response_model=ProposalAnswer)
def dismiss(who: Who, proposal_id: UUID, refusal: Refusal) -> ProposalAnswer:
    """Say no, and why. It is not proposed again, unless with another outcome."""
    upkeep.dismiss(who, proposal_id, refusal.why)
    return _answer(upkeep.proposal_of(who, proposal_id))
