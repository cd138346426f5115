"""Whether the installation works, for whoever watches it; open to anybody, and says nothing about anybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from db import runs
from settings import settings

router = APIRouter(tags=["Health"])
PROBES = (
    "/health",
    "/healthz",
    "/ready",
    "/readyz",
)  # where probes look at the root of the site: app.py serves them there
SCHEDULER_SILENT_AFTER = timedelta(minutes=15)


class Health(BaseModel):
    """ok: all well. degraded: the database answers, the scheduler has not worked lately. down (503): no database."""

    status: Literal["ok", "degraded", "down"]
    time: datetime
    database: str
    schema_revision: str | None
    scheduler_last_success: datetime | None
    quotes_updated: datetime | None
    quotes_age_seconds: float | None = Field(description="since a feed last brought a quote; grows while markets rest")
    remarks: list[str]


@router.get("/health", response_model=Health)
@router.get("/v1/health", response_model=Health, include_in_schema=False)
def health(response: Response) -> Health:
    """Database, last work of the scheduler, age of the quotes. 503 where the database does not answer."""
    found = runs.health()
    now = found["time"] or datetime.now(UTC)
    last, quotes = found["scheduler_last_success"], found["quotes_updated"]
    remarks = []
    if found["database"] != "ok":
        remarks.append("the database does not answer")
        response.status_code = 503
    elif settings.scheduler and last is None:
        remarks.append("no job has succeeded yet")
    elif settings.scheduler and now - last > SCHEDULER_SILENT_AFTER:
        remarks.append(f"no job has succeeded since {last.isoformat(timespec='seconds')}")
    return Health(
        status="down" if response.status_code == 503 else "degraded" if remarks else "ok",
        time=now,
        database=found["database"],
        schema_revision=found["schema"],
        scheduler_last_success=last,
        quotes_updated=quotes,
        quotes_age_seconds=None if quotes is None else round((now - quotes).total_seconds(), 1),
        remarks=remarks,
    )


def probe(request: Request) -> Response:
    """The same at the root of the site, for probes that know no other place: 503 where the database does not answer."""
    looked = Response()  # its status is what is asked for
    said = health(looked)
    return Response(said.model_dump_json(), looked.status_code, {"Cache-Control": "no-store"}, "application/json")
