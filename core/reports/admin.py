"""How the installation is doing: jobs, their runs, feeds, dead letters."""

from __future__ import annotations

from typing import Any

from core.reports import Made, report
from core.table import Column, Kind


@report(
    "Jobs",
    Column("job", "Job"),
    Column("status", "Last run"),
    Column("runs", "Runs", Kind.COUNT, "that are kept"),
    Column("failures", "Failures", Kind.COUNT),
    Column("started_at", "Started", Kind.TIME, "UTC"),
    Column("succeeded_at", "Last success", Kind.TIME, "UTC", wide_only=True),
    Column("milliseconds", "Mean ms", Kind.NUMBER, wide_only=True),
    empty="No job has run yet: is the scheduler running? (make run starts it; alone: python -m jobs)",
)
def job_states(jobs: list[tuple[Any, ...]]) -> Made:
    """Each job of the timetable: its last run and how its runs went."""
    return Made([(j, status, runs, failures, last, ok, mean) for j, runs, failures, last, ok, status, mean in jobs])


@report(
    "Job runs",
    Column("job", "Job"),
    Column("scheduled_for", "Scheduled for", Kind.TIME, "UTC"),
    Column("started_at", "Started", Kind.TIME, "UTC", wide_only=True),
    Column("finished_at", "Finished", Kind.TIME, "UTC", wide_only=True),
    Column("status", "Status"),
    Column("attempts", "Attempts", Kind.COUNT, wide_only=True),
    Column("detail", "What it did"),
    Column("error", "Error"),
    empty="No job has run yet.",
)
def job_runs(runs: list[tuple[Any, ...]]) -> Made:
    """The newest runs of all jobs."""
    return Made([tuple(r) for r in runs])


@report(
    "Feeds",
    Column("feed", "Feed"),
    Column("succeeded_at", "Last success", Kind.TIME, "UTC"),
    Column("failed_at", "Last failure", Kind.TIME, "UTC"),
    Column("error", "Last error"),
    Column("successes", "Successes", Kind.COUNT),
    Column("failures", "Failures", Kind.COUNT),
    Column("failures_in_row", "Failures in a row", Kind.COUNT),
    empty="No feed has been asked yet.",
)
def feed_states(feeds: list[tuple[Any, ...]]) -> Made:
    """Each price feed: when it last answered and how it last failed."""
    return Made([tuple(f) for f in feeds])


@report(
    "Dead letters",
    Column("job", "Job"),
    Column("at", "When", Kind.TIME, "UTC"),
    Column("error", "Error"),
    empty="No failed run is waiting for anybody.",
)
def dead_letters(letters: list[tuple[Any, ...]]) -> Made:
    """Runs that failed after all their attempts and that nobody has settled."""
    return Made([tuple(x) for x in letters])
