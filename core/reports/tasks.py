"""Tracked tasks of the security master, and what could not be told of them."""

from __future__ import annotations

from typing import Any

from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Tasks",
    Column("id", "Task"),
    Column("label", "Label"),
    Column("kind", "Kind"),
    Column("title", "Title"),
    Column("subject", "Subject"),
    Column("status", "Status"),
    Column("requester", "Asked by"),
    Column("created_at", "Asked", Kind.TIME, "UTC"),
    Column("source", "From", note="page, api, csv or job", wide_only=True),
    Column("decided_by", "Decided by", wide_only=True),
    Column("decided_at", "Decided", Kind.TIME, "UTC", wide_only=True),
    Column("decision_note", "Note", wide_only=True),
    Column("started_at", "Started", Kind.TIME, "UTC", wide_only=True),
    Column("completed_at", "Ended", Kind.TIME, "UTC", wide_only=True),
    Column("message", "Result"),
    Column("error_class", "Error", wide_only=True),
    Column("security_id", "Security", Kind.COUNT),
    empty="Nobody has asked for anything yet.",
)
def tasks(tasks: list[tuple[Any, ...]]) -> Made:
    """What was asked for in the security master, newest first: how it went, who asked and who decided."""
    return Made([tuple(t) for t in tasks])


@report(
    "Notifications that did not arrive",
    Column("created_at", "Since", Kind.TIME, "UTC"),
    Column("owner", "For"),
    Column("event", "Event"),
    Column("title", "Task"),
    Column("kind", "By"),
    Column("target", "To"),
    Column("attempts", "Attempts", Kind.COUNT),
    Column("error", "Error"),
    Column("notice_id", "Notice", wide_only=True),
    empty="Every notification arrived, or is still being tried.",
)
def undelivered(notices: list[tuple[Any, ...]]) -> Made:
    """Notifications that were given up after six attempts."""
    return Made([tuple(n) for n in notices])
