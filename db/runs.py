"""Runs of the timetable: each is a row, once per (job, time). Failures, dead letters and the state of the feeds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from db import engine


def claim(c: psycopg.Connection, job: str, scheduled_for: datetime, worker: str) -> UUID | None:
    """Take a run: its id, or None where somebody has it already. One that a dead process left behind is taken up again."""
    row = c.execute(
        "INSERT INTO job_runs (job, scheduled_for, worker) VALUES (%s, %s, %s) ON CONFLICT (job, scheduled_for) DO UPDATE SET "
        "status = 'running', worker = EXCLUDED.worker, started_at = clock_timestamp(), finished_at = NULL, error = NULL "
        "WHERE job_runs.status = 'abandoned' RETURNING run_id",
        (job, scheduled_for, worker),
    ).fetchone()
    return row[0] if row else None


def succeeded(c: psycopg.Connection, run: UUID, detail: dict[str, Any], attempts: int = 1) -> None:
    """The run did its work; `detail` says what."""
    c.execute(
        "UPDATE job_runs SET status = 'succeeded', finished_at = clock_timestamp(), detail = %s, attempts = %s WHERE run_id = %s",
        (json.dumps(detail, default=str), attempts, run),
    )


def failed(c: psycopg.Connection, run: UUID, job: str, error: str, attempts: int = 1) -> None:
    """The run gave up after its attempts; it is kept as a dead letter."""
    c.execute(
        "UPDATE job_runs SET status = 'failed', finished_at = clock_timestamp(), error = %s, attempts = %s WHERE run_id = %s",
        (error[:4000], attempts, run),
    )
    c.execute("INSERT INTO dead_letters (run_id, job, error) VALUES (%s, %s, %s)", (run, job, error[:4000]))


def abandon(c: psycopg.Connection, worker: str) -> int:
    """Close the runs that a worker which is gone left open; how many. Called by a new leader."""
    return c.execute(
        "UPDATE job_runs SET status = 'abandoned', finished_at = clock_timestamp(), error = 'the process that ran it ended' "
        "WHERE status = 'running' AND worker <> %s",
        (worker,),
    ).rowcount


def feed_succeeded(c: psycopg.Connection, feed: str, but: str | None = None) -> None:
    """Note that a feed answered; `but`: what it could not say of single names, kept as its last error."""
    c.execute(
        "INSERT INTO feed_states (feed, last_success_at, successes, last_failure_at, last_error) "
        "VALUES (%(feed)s, clock_timestamp(), 1, CASE WHEN %(but)s::text IS NOT NULL THEN clock_timestamp() END, %(but)s) "
        "ON CONFLICT (feed) DO UPDATE SET last_success_at = clock_timestamp(), successes = feed_states.successes + 1, failures_in_row = 0, "
        "last_failure_at = coalesce(EXCLUDED.last_failure_at, feed_states.last_failure_at), "
        "last_error = coalesce(EXCLUDED.last_error, feed_states.last_error)",
        {"feed": feed, "but": None if but is None else but[:2000]},
    )


def feed_failed(c: psycopg.Connection, feed: str, error: str) -> None:
    """Note that a feed failed, and how."""
    c.execute(
        "INSERT INTO feed_states (feed, last_failure_at, last_error, failures, failures_in_row) VALUES (%s, clock_timestamp(), %s, 1, 1) "
        "ON CONFLICT (feed) DO UPDATE SET last_failure_at = clock_timestamp(), last_error = EXCLUDED.last_error, "
        "failures = feed_states.failures + 1, failures_in_row = feed_states.failures_in_row + 1",
        (feed, error[:2000]),
    )


def recent(user: UUID, limit: int = 200) -> list[tuple[Any, ...]]:
    """(job, scheduled_for, started_at, finished_at, status, attempts, detail as text, error), newest first."""
    with engine.session(user) as c:
        return c.execute(
            "SELECT job, scheduled_for, started_at, finished_at, status, attempts, detail::text, error FROM job_runs ORDER BY started_at DESC LIMIT %s",
            (limit,),
        ).fetchall()


def by_job(user: UUID) -> list[tuple[Any, ...]]:
    """(job, runs, failures, last run, last success, last status, mean milliseconds) over what is kept."""
    with engine.session(user) as c:
        return c.execute(
            "SELECT job, count(*), count(*) FILTER (WHERE status = 'failed'), max(started_at), max(finished_at) FILTER (WHERE status = 'succeeded'), "
            "(array_agg(status ORDER BY started_at DESC))[1], avg(extract(epoch FROM finished_at - started_at) * 1000)::float8 "
            "FROM job_runs GROUP BY job ORDER BY job"
        ).fetchall()


def feeds(user: UUID) -> list[tuple[Any, ...]]:
    """(feed, last success, last failure, last error, successes, failures, failures in a row)."""
    with engine.session(user) as c:
        return c.execute(
            "SELECT feed, last_success_at, last_failure_at, last_error, successes, failures, failures_in_row FROM feed_states ORDER BY feed"
        ).fetchall()


def dead_letters(user: UUID) -> list[tuple[Any, ...]]:
    """(job, when, error) of every failed run that nobody settled, newest first."""
    with engine.session(user) as c:
        return c.execute(
            "SELECT job, at, error FROM dead_letters WHERE settled_at IS NULL ORDER BY at DESC LIMIT 200"
        ).fetchall()


def health() -> dict[str, Any]:
    """Whether the database answers, when the scheduler last worked and when quotes last came; asked by /health."""
    try:
        with engine.session(None) as c:
            row = c.execute(
                "SELECT now(), (SELECT max(finished_at) FROM job_runs WHERE status = 'succeeded'), (SELECT max(updated_at) FROM asset_prices), "
                "(SELECT version_num FROM alembic_version)"
            ).fetchone()
    except psycopg.OperationalError:
        row = None
    return {
        "database": "unreachable" if row is None else "ok",
        "time": row and row[0],
        "scheduler_last_success": row and row[1],
        "quotes_updated": row and row[2],
        "schema": row and row[3],
    }
