"""Notifications: a person's channels (mail, webhook), a test of one, and for admins what could not be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.once import OnceRoute
from api.people import Who
from core.notices import BadChannel
from core.scope import BadScope
from db import notices
from db.access import AccessDenied
from db.notices import Channel, Notice

router = APIRouter(prefix="/v1", tags=["Notifications"], route_class=OnceRoute)
Text = Annotated[str, Field(max_length=2000, pattern="^[^\\x00]*$")]
EVENTS = "completed, failed: of a task; waiting: for your decision; decided: somebody else approved, rejected or cancelled it"


class NewChannel(BaseModel):
    """Where to send what."""

    kind: Literal["mail", "webhook"]
    target: Text = Field(
        description="a mail address, or a URL that is sent a POST", examples=["https://example.org/ballast"]
    )
    events: list[Text] = Field(max_length=10, description=EVENTS, examples=[["completed", "failed"]])
    scope: Text = Field("mine", description="mine: of the tasks you asked for; all: of everybody's (admins)")


class ChannelEdit(BaseModel):
    """What is to change; what is left out stays."""

    events: list[Text] | None = Field(None, max_length=10, description=EVENTS)
    scope: Text | None = None
    active: bool | None = Field(None, description="false pauses it")


class CodeOfChannel(BaseModel):
    """What stands in the mail."""

    code: Text = Field(examples=["3f9a11c2"])


class ChannelAnswer(BaseModel):
    """A channel, and how its last delivery went."""

    channel_id: UUID
    kind: str
    target: str
    confirmed: bool = Field(
        description="false: a mail address whose code was not sent to …/confirm yet; nothing else goes there"
    )
    events: list[str]
    scope: str
    active: bool
    created_at: datetime
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str


class AddedChannel(ChannelAnswer):
    """A new channel. `secret` is told this once: webhooks are signed with it (Standard Webhooks)."""

    secret: str | None = Field(description="null for mail")


class RemovedChannel(BaseModel):
    """The channel is gone."""

    removed: bool


class NoticeAnswer(BaseModel):
    """One message and how far it is."""

    notice_id: UUID = Field(description="the header webhook-id")
    task_id: UUID | None = Field(description="null: a test")
    channel_id: UUID
    owner: str
    kind: str
    target: str
    event: str = Field(description="completed, failed, waiting, approved, rejected, cancelled or test")
    title: str
    status: str = Field(description="pending, sent, or dead: given up")
    attempts: int
    created_at: datetime
    next_at: datetime = Field(description="when it is tried next, where it is pending")
    last_error: str
    sent_at: datetime | None


@contextmanager
def _fields() -> Iterator[None]:
    """A field that does not fit, as every other parameter says it."""
    try:
        yield
    except BadChannel as error:
        raise BadScope(error.field, str(error.value), error.expected) from error


def _shown(c: Channel) -> ChannelAnswer:
    return ChannelAnswer(**{name: getattr(c, name) for name in ChannelAnswer.model_fields})


def _notice(n: Notice) -> NoticeAnswer:
    return NoticeAnswer(**{name: getattr(n, name) for name in NoticeAnswer.model_fields})


@router.get("/notification-channels", response_model=list[ChannelAnswer])
def list_channels(who: Who) -> list[ChannelAnswer]:
    """Your channels."""
    return [_shown(c) for c in notices.channels(who)]


@router.post("/notification-channels", response_model=AddedChannel, status_code=201)
def add_channel(who: Who, new: NewChannel, response: Response) -> AddedChannel:
    """A new channel of yours. Of a webhook the answer holds the secret, once."""
    with _fields():
        number, secret = notices.add(who, new.kind, new.target, new.events, new.scope)
    response.headers["Location"] = f"notification-channels/{number}"
    return AddedChannel(**_shown(notices.channel(who, number)).model_dump(), secret=secret)


@router.patch("/notification-channels/{channel_id}", response_model=ChannelAnswer)
def change_channel(who: Who, channel_id: UUID, edit: ChannelEdit) -> ChannelAnswer:
    """Other events, another scope, paused or not."""
    with _fields():
        return _shown(notices.change(who, channel_id, edit.events, edit.scope, edit.active))


@router.delete("/notification-channels/{channel_id}", response_model=RemovedChannel)
def remove_channel(who: Who, channel_id: UUID) -> RemovedChannel:
    """Take a channel away, with what was still to be sent there."""
    notices.remove(who, channel_id)
    return RemovedChannel(removed=True)


@router.post("/notification-channels/{channel_id}/confirm", response_model=ChannelAnswer)
def confirm_channel(who: Who, channel_id: UUID, code: CodeOfChannel) -> ChannelAnswer:
    """Confirm a mail address by the code that was sent there."""
    with _fields():
        return _shown(notices.confirm(who, channel_id, code.code))


@router.post("/notification-channels/{channel_id}/test", response_model=NoticeAnswer, status_code=202)
def test_channel(who: Who, channel_id: UUID, response: Response) -> NoticeAnswer:
    """Have a test sent, or, to an address that is not confirmed, its code: GET /v1/notices/{notice_id} says how it went."""
    number = notices.test(who, channel_id)
    response.headers["Location"] = f"../../notices/{number}"
    return _notice(notices.notice(who, number))


@router.get("/notices", response_model=list[NoticeAnswer])
def list_notices(
    who: Who,
    status: Annotated[
        Literal["pending", "sent", "dead"], Query(description="dead: given up after six attempts")
    ] = "dead",
) -> list[NoticeAnswer]:
    """For admins: the newest notices of everybody's tasks, without a status those that could not be delivered."""
    if who.role != "admin":
        raise AccessDenied("only admins see the notices of everybody")
    return [_notice(n) for n in notices.notices(who, status, tests=False)]


@router.get("/notices/{notice_id}", response_model=NoticeAnswer)
def look_at_notice(who: Who, notice_id: UUID) -> NoticeAnswer:
    """One notice of a channel of yours; for admins of anybody's."""
    return _notice(notices.notice(who, notice_id))


@router.post("/notices/{notice_id}/retry", response_model=NoticeAnswer)
def retry_notice(who: Who, notice_id: UUID) -> NoticeAnswer:
    """Send one that was given up again. One that is pending or sent stays as it is."""
    return _notice(notices.retry(who, notice_id))
