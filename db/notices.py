"""Notifications: a person's channels, what is to be sent and how that went; for the scheduled process claiming and the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from core.notices import BadChannel, checked_events, checked_scope, checked_target
from db import engine
from db.access import User
from db.tasks import refused
from settings import settings


class NoSuchChannel(LookupError):
    """The person has no notification channel of this number."""


class NoSuchNotice(LookupError):
    """There is no notice of this number, or it is not the person's to see."""


class TooMany(ValueError):
    """More channels, or more tests within an hour, than anybody needs."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a person wants to hear of tasks, and how the last delivery went. Its secret is not among what is read."""

    channel_id: UUID
    owner: str
    kind: str
    target: str
    confirmed: bool  # a mail address: somebody entered the code that was sent there
    events: tuple[str, ...]
    scope: str
    active: bool
    created_at: datetime
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str

    @property
    def fails(self) -> bool:
        """Whether the last delivery failed."""
        return self.last_failure_at is not None and (
            self.last_success_at is None or self.last_success_at < self.last_failure_at
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """One message: about what, where to, how far it is (pending, sent, dead)."""

    notice_id: UUID
    task_id: UUID | None
    channel_id: UUID
    owner: str
    kind: str
    target: str
    event: str
    title: str
    status: str
    attempts: int
    created_at: datetime
    next_at: datetime
    last_error: str
    sent_at: datetime | None


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def channels(user: User) -> list[Channel]:
    """The person's own channels, oldest first."""
    with engine.session(user.user_id) as c:
        rows = c.execute(
            "SELECT n.channel_id, u.username, n.kind, n.target, n.confirmed, n.events, n.scope, n.active, n.created_at, n.last_success_at, n.last_failure_at, n.last_error "
            "FROM notice_channels n JOIN users u USING (user_id) WHERE user_id = %s ORDER BY n.channel_id",
            (user.user_id,),
        ).fetchall()
    found: list[Any] = [(*r[:5], tuple(r[5]), *r[6:]) for r in rows]
    return [Channel(*r) for r in found]


def channel(user: User, number: UUID) -> Channel:
    """One of the person's channels. Raises NoSuchChannel."""
    found = next((c for c in channels(user) if c.channel_id == number), None)
    if found is None:
        raise NoSuchChannel(f"you have no notification channel {number}")
    return found


def add(user: User, kind: str, target: str, events: Sequence[str], scope: str = "mine") -> tuple[UUID, str | None]:
    """A new channel: its number and, of a webhook, the secret that signs what it is sent; nobody is told it again.

    Raises BadChannel, TooMany, and AccessDenied where somebody who is no admin wants to hear of everybody's tasks.
    """
    target = checked_target(kind, target, settings.webhook_private)
    if kind == "mail" and not settings.smtp_url:
        raise BadChannel("kind", kind, "webhook: this installation sends no mail (SMTP_URL is empty)")
    try:
        with refused(), engine.session(user.user_id) as c:
            row = c.execute(
                "SELECT * FROM add_channel(%s, %s, %s, %s)",
                (kind, target, checked_events(events), checked_scope(scope)),
            ).fetchone()
    except psycopg.errors.UniqueViolation as e:
        raise BadChannel("target", target, "one that you have no channel for yet") from e
    except psycopg.errors.ProgramLimitExceeded as e:
        raise TooMany(e.diag.message_primary or "too many") from e
    assert row is not None
    return row[0], row[1]


def change(user: User, number: UUID, events: Sequence[str] | None = None, scope: str | None = None, active: bool | None = None) -> Channel:  # fmt: skip
    """Other events, another scope, paused or not; what is None stays. Raises NoSuchChannel, BadChannel, AccessDenied."""
    with refused(), engine.session(user.user_id) as c:
        done = c.execute(
            "UPDATE notice_channels SET events = coalesce(%s, events), scope = coalesce(%s, scope), active = coalesce(%s, active) "
            "WHERE channel_id = %s AND user_id = %s",
            (
                None if events is None else checked_events(events),
                None if scope is None else checked_scope(scope),
                active,
                number,
                user.user_id,
            ),
        )
    if not done.rowcount:
        raise NoSuchChannel(f"you have no notification channel {number}")
    return channel(user, number)


def confirm(user: User, number: UUID, code: str) -> Channel:
    """Confirm a mail address by the code that was sent there. Raises NoSuchChannel, BadChannel."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT confirm_channel(%s, %s)", (number, code[:100])).fetchone()
    said = row[0] if row else None
    if said == "spent":
        raise BadChannel("code", code[:20], "a new code after ten wrong ones: have it sent again")
    if said == "wrong":
        raise BadChannel("code", code[:20], "the eight characters of the newest mail that was sent there")
    return channel(user, number)


def remove(user: User, number: UUID) -> None:
    """Take a channel away, with what was still to be sent there. Raises NoSuchChannel."""
    with engine.session(user.user_id) as c:
        done = c.execute(
            "DELETE FROM notice_channels WHERE channel_id = %s AND user_id = %s", (number, user.user_id)
        ).rowcount
    if not done:
        raise NoSuchChannel(f"you have no notification channel {number}")


def test(user: User, number: UUID) -> UUID:
    """Have a test sent, also where the channel is paused; to an address that is not confirmed its code: the number of its notice. Raises NoSuchChannel, TooMany."""
    try:
        with engine.session(user.user_id) as c:
            row = c.execute("SELECT test_channel(%s)", (number,)).fetchone()
    except psycopg.errors.ProgramLimitExceeded as e:
        raise TooMany(e.diag.message_primary or "too many") from e
    if row is None or row[0] is None:
        raise NoSuchChannel(f"you have no notification channel {number}")
    made: UUID = row[0]
    return made


_NOTICE = """SELECT n.notice_id, n.task_id, n.channel_id, u.username, c.kind, c.target, n.event, coalesce(task_title_for(n.task_id, u.user_id), n.payload ->> 'title', ''), n.status, n.attempts,
  n.created_at, n.next_at, n.last_error, n.sent_at FROM notices n JOIN notice_channels c USING (channel_id) JOIN users u USING (user_id)"""


def notice(user: User, number: UUID) -> Notice:
    """One notice of the person's, or for admins of anybody's. Raises NoSuchNotice."""
    with engine.session(user.user_id) as c:
        row = c.execute(f"{_NOTICE} WHERE n.notice_id = %s", (number,)).fetchone()
    if row is None:
        raise NoSuchNotice(f"there is no notice {number}")
    return Notice(*row)


def notices(
    user: User, status: str | None = None, number: UUID | None = None, tests: bool = True, limit: int = 200
) -> list[Notice]:
    """Notices, newest first: the person's own, for admins everybody's; those of one channel where its `number` is given.

    Without `tests` only what was told of tasks.
    """
    with engine.session(user.user_id) as c:
        rows = c.execute(
            f"{_NOTICE} WHERE (%(status)s::text IS NULL OR n.status = %(status)s) AND (%(channel)s::uuid IS NULL OR n.channel_id = %(channel)s) "
            "AND (%(tests)s OR n.event <> 'test') "
            "ORDER BY n.notice_id DESC LIMIT %(limit)s",
            {"status": status, "channel": number, "tests": tests, "limit": limit},
        ).fetchall()
    return [Notice(*r) for r in rows]


def retry(user: User, number: UUID) -> Notice:
    """Send one that was given up again, as if for the first time. Raises NoSuchNotice; one that is not dead stays as it is."""
    with engine.session(user.user_id) as c:
        row = c.execute("SELECT retry_notice(%s)", (number,)).fetchone()
    if row is None or row[0] is None:
        raise NoSuchNotice(f"there is no notice {number}")
    return notice(user, number)


def approvers(user: User, least: str) -> list[str]:
    """The user names of those who may approve what somebody else asks for, where `least` is the least role for it."""
    with engine.session(user.user_id) as c:
        rows = c.execute(
            "SELECT username FROM users JOIN approvers(%s) AS a (user_id) USING (user_id) ORDER BY username", (least,)
        ).fetchall()
    return [r[0] for r in rows]


# ── for the scheduled process ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Due:
    """A notice that this process is to send."""

    notice_id: UUID
    event: str
    payload: dict[str, Any]
    attempts: int  # this one included
    kind: str
    target: str
    secret: str | None
    task_id: UUID | None


def claim(c: psycopg.Connection, limit: int, lease: timedelta) -> list[Due]:
    """What is due, the oldest first, one of each channel: ours until the lease ends. Who does not say by then how it went is
    taken for dead, and the notice is due again."""
    rows = c.execute(
        """UPDATE notices n SET attempts = n.attempts + 1, next_at = clock_timestamp() + %(lease)s FROM notice_channels c
            WHERE c.channel_id = n.channel_id AND n.notice_id IN (
              SELECT d.notice_id FROM notices d JOIN notice_channels h USING (channel_id) JOIN users u USING (user_id)
               WHERE d.status = 'pending' AND d.next_at <= clock_timestamp() AND (h.active OR d.event = 'test') AND u.disabled_at IS NULL
                 AND NOT EXISTS (SELECT FROM notices o WHERE o.channel_id = d.channel_id AND o.status = 'pending' AND o.notice_id < d.notice_id
                                    AND o.next_at <= clock_timestamp() AND (h.active OR o.event = 'test'))
               ORDER BY d.next_at LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED)
           RETURNING n.notice_id, n.event, n.payload || jsonb_strip_nulls(jsonb_build_object('title', task_title_for(n.task_id, c.user_id))), n.attempts, c.kind, c.target, c.secret, n.task_id""",
        {"lease": lease, "limit": limit},
    ).fetchall()
    return [Due(*r) for r in rows]


def sent(c: psycopg.Connection, due: Due) -> None:
    """It arrived."""
    c.execute(
        "WITH done AS (UPDATE notices SET status = 'sent', sent_at = clock_timestamp(), last_error = '' WHERE notice_id = %s AND status = 'pending' "
        "RETURNING channel_id) UPDATE notice_channels SET last_success_at = clock_timestamp(), last_error = '' WHERE channel_id = (SELECT channel_id FROM done)",
        (due.notice_id,),
    )


def failed(c: psycopg.Connection, due: Due, error: str, again: timedelta | None, off: bool = False) -> None:
    """It did not arrive: tried again after a while, or (None) given up. `off`: the receiver wants no more, the channel ends."""
    c.execute(
        "WITH done AS (UPDATE notices SET status = CASE WHEN %(again)s::interval IS NULL THEN 'dead' ELSE 'pending' END, last_error = %(error)s, "
        "next_at = clock_timestamp() + coalesce(%(again)s, interval '0') WHERE notice_id = %(notice)s AND status = 'pending' AND attempts = %(attempts)s "
        "RETURNING channel_id) UPDATE notice_channels SET last_failure_at = clock_timestamp(), last_error = %(error)s, active = active AND NOT %(off)s "
        "WHERE channel_id = (SELECT channel_id FROM done)",
        {"again": again, "error": error[:500], "notice": due.notice_id, "attempts": due.attempts, "off": off},
    )
