"""5,000 securities by CSV: read and judged row by row, asked for, carried out in one transaction; then every one of them changed, and
the master restored to what it was."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Event

from bench import database
from bench.measure import Row, human, within
from core.bulk import as_csv
from db import backups, bulk, engine, tasks
from db.access import User
from jobs.run import Worker
from jobs.tasks import work_one

SECURITIES = 5_000
CLASSES = (("Equity", "Industrials"), ("Equity", "Financials"), ("Fixed Income", "Financials"), ("Fund", ""))
PLACES = (("XNYS", "US"), ("XNAS", "US"), ("XLON", "GB"), ("XETR", "DE"))


def file(count: int, rating: str = "A") -> bytes:
    """A made-up file of so many new securities, every field of some of them filled."""
    made = random.Random(5)
    rows = []
    for n in range(count):
        (kind, sector), (exchange, country) = CLASSES[n % len(CLASSES)], PLACES[n // 7 % len(PLACES)]
        row = {"symbol": f"B{n:05}", "exchange": exchange, "name": f"Made-up company {n}", "asset_class": kind, "sector": sector,
               "issuer": f"Issuer {n % 400}", "country": country, "rating": rating, "isin": _isin(n)}  # fmt: skip
        if kind == "Fixed Income":
            row |= {"issued_on": "2020-03-31", "matures_on": "2031-03-31", "par_value": "1000"}
        if rating == "A":
            row |= {"price": f"{made.uniform(1, 900):.4f}", "priced_on": "2026-01-05"}
            if n % 3 == 0:
                row |= {"dividend_frequency": "quarterly", "dividend": "0.25", "dividend_ex_on": "2026-01-02"}
        elif n % 3 == 0:
            row["dividend_frequency"] = "quarterly"
        rows.append(row)
    return as_csv(rows).encode()


def _isin(number: int) -> str:
    body = f"ZZ{number:09}"
    digits = "".join(str(int(c, 36)) for c in body)
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return f"{body}{-sum(d // 10 + d % 10 for d in doubled) % 10}"


def person() -> User:
    """Somebody who may load files."""
    with database.filling() as c:
        return User(database.person(c), "bench", "Bench", "analyst")


def done(user: User, task: object) -> None:
    """Carry out what is queued. Raises where the task did not complete."""
    assert work_one(Worker(Event()))
    found = tasks.task_of(user, task)  # type: ignore[arg-type]
    assert found.status == "completed", found.error


def state() -> list[tuple[object, ...]]:
    """Every row of the master."""
    with engine.jobs() as c:
        return [r for t in ("securities", "security_symbols", "security_classifications") for r in c.execute(f"SELECT t::text FROM {t} t ORDER BY 1").fetchall()]  # fmt: skip


def measure(small: bool = False) -> list[Row]:
    """Dry run and load of new ones; the same file with a change in every row; the way back."""
    count = 60 if small else SECURITIES
    user = person()
    taken: dict[str, float] = {}

    def timed(name: str, what: Callable[[], object]) -> object:
        start = time.perf_counter()
        found = what()
        taken[name] = time.perf_counter() - start
        return found

    for name, raw, existing in (("add", file(count), "refuse"), ("change", file(count, "BBB"), "update")):
        before = state()
        judged = timed(
            f"{name}: dry run", lambda raw=raw, existing=existing: bulk.judged(user, raw, "bench.csv", existing)
        )
        assert judged.counts == dict.fromkeys(judged.counts, 0) | {"add" if name == "add" else "update": count}  # type: ignore[attr-defined]
        task = timed(f"{name}: asked for", lambda judged=judged: bulk.load(user, judged))  # type: ignore[arg-type]
        timed(f"{name}: carried out", lambda task=task: done(user, task))
    kept = backups.backups(user)[0].backup_id
    plan = timed("restore: plan", lambda: backups.plan_restore(user, kept))
    task = timed("restore: asked for", lambda: backups.request(user, kept, plan))  # type: ignore[arg-type]
    timed("restore: carried out", lambda: done(user, task))
    assert state() == before, "the master is not what it was"
    again = timed("the same file again", lambda: bulk.judged(user, file(count), "bench.csv"))
    assert again.counts["unchanged"] == count  # type: ignore[attr-defined]
    rows = []
    for name, words in (("add", "new"), ("change", "changed"), ("restore", "restored")):
        parts = {k.partition(": ")[2]: s for k, s in taken.items() if k.startswith(f"{name}:")}
        said = ", ".join(f"{k} {human(s)}" for k, s in parts.items())
        rows.append(within(f"{count:,} securities by CSV, {words} ({said})", sum(parts.values()) * 1e3, 10_000, "ms"))
    return [
        *rows,
        within(f"{count:,} rows judged that are there already", taken["the same file again"] * 1e3, 2_000, "ms"),
    ]
