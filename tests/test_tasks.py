"""Tracked tasks on the real database: asked for by a person, carried out by the scheduled process's own code."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from small import Small, installed

from core.master import DuplicateSymbol, StillReferenced
from core.plans import Plan
from db import audit, master, tasks
from db.access import AccessDenied
from jobs.run import Worker
from jobs.tasks import work_one

NEW = {"symbol": "nova", "exchange": "XNYS", "name": "Nova", "asset_class": "Equity", "sector": "Energy", "price": "12.50",
       "dividend_frequency": "quarterly", "dividend": "0.10", "dividend_ex_on": "2026-01-05"}  # fmt: skip


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def worked(limit: int = 50) -> int:
    """Carry out everything that is queued."""
    worker, n = Worker(Event()), 0
    while n < limit and work_one(worker):
        n += 1
    return n


def asked(small: Small, who: str, plan: Plan) -> UUID:
    return tasks.request(small.user(who), plan, {})


def rows(small: Small, query: str, *parameters: Any) -> list[Any]:
    with small.database.owner() as c:
        return c.execute(query, parameters).fetchall()


def test_a_security_is_added_with_every_row_that_was_planned(small: Small) -> None:
    ben = small.user("ben")
    plan = master.plan_add(ben, NEW)
    number = asked(small, "ben", plan)
    before = tasks.task_of(ben, number)
    assert (before.status, before.current_step, before.progress) == ("queued", None, 0.0)
    assert worked() == 1
    done = tasks.task_of(ben, number)
    assert done.status == "completed", done.error
    assert {s.status for s in done.steps} == {"completed"}
    assert done.current_step == len(done.steps) - 1
    assert done.progress == 1.0
    for step in plan.steps:
        if step.action == "insert":
            found = rows(small, f"SELECT count(*) FROM {step.table} WHERE security_id = %s", done.security_id)
            assert found == [(len(step.rows),)], step.name
    kept = rows(
        small, "SELECT symbol, exchange, currency, status FROM securities WHERE security_id = %s", done.security_id
    )
    assert kept == [("NOVA", "XNYS", "USD", "active")]


def test_the_same_symbol_twice_is_refused_when_asked_and_when_done(small: Small) -> None:
    plan = master.plan_add(small.user("ben"), NEW)
    asked(small, "ben", plan)
    with pytest.raises(DuplicateSymbol, match="duplicate symbol"):
        asked(small, "anna", plan)
    worked()
    late = asked(small, "anna", plan)
    worked()
    failed = tasks.task_of(small.user("anna"), late)
    assert (failed.status, failed.error and failed.error["class"]) == ("failed", "DuplicateSymbol")
    assert "duplicate symbol" in failed.message
    assert rows(small, "SELECT count(*) FROM securities WHERE symbol = 'NOVA'") == [(1,)]
    with pytest.raises(master.BadSecurity, match="lists it already"):
        master.plan_add(small.user("anna"), NEW)


def test_what_is_held_cannot_be_removed_and_what_is_past_is_retired_and_comes_back(small: Small) -> None:
    anna = small.user("anna")
    with pytest.raises(StillReferenced, match="holds"):
        master.plan_remove(anna, "ACME")
    sold = master.plan_add(anna, NEW)
    asked(small, "anna", sold)
    worked()
    number = rows(small, "SELECT security_id FROM securities WHERE symbol = 'NOVA'")[0][0]
    with small.database.owner() as c:
        c.execute("UPDATE portfolios SET benchmark_id = %s, archived_at = now() WHERE name = 'Ben''s own'", (number,))
    plan = master.plan_remove(anna, "NOVA")
    assert [s.action for s in plan.steps] == ["update"]
    asked(small, "anna", plan)
    worked()
    assert rows(small, "SELECT status FROM securities WHERE security_id = %s", number) == [("retired",)]
    asked(small, "anna", master.plan_reinstate(anna, "NOVA"))
    worked()
    assert rows(small, "SELECT status, ended_on FROM securities WHERE security_id = %s", number) == [("active", None)]


def test_what_nothing_ever_referenced_is_deleted(small: Small) -> None:
    ben = small.user("ben")
    asked(small, "ben", master.plan_add(ben, NEW))
    worked()
    plan = master.plan_remove(ben, "XNYS:NOVA")
    assert plan.steps[-1].table == "securities"
    task = asked(small, "ben", plan)
    worked()
    assert tasks.task_of(ben, task).status == "completed"
    for step in plan.steps:
        assert rows(small, f"SELECT count(*) FROM {step.table} WHERE security_id = %s", plan.security_id) == [(0,)]


def test_a_task_that_waits_is_cancelled_and_changes_nothing(small: Small) -> None:
    ben = small.user("ben")
    task = asked(small, "ben", master.plan_add(ben, NEW))
    with pytest.raises(AccessDenied):
        tasks.cancel(type(ben)(UUID(int=7), "x", "x", "viewer"), task)
    tasks.cancel(ben, task)
    assert worked() == 0
    assert tasks.task_of(ben, task).status == "cancelled"
    with pytest.raises(tasks.TaskOver, match="cancelled"):
        tasks.cancel(ben, task)
    assert rows(small, "SELECT count(*) FROM securities WHERE symbol = 'NOVA'") == [(0,)]


def test_four_eyes_wait_for_somebody_else(small: Small) -> None:
    anna, ben = small.user("anna"), small.user("ben")
    with pytest.raises(AccessDenied):
        tasks.set_policy(ben, {"four_eyes": ["add"]})
    tasks.set_policy(anna, {"four_eyes": ["add"], "approve": "analyst"})
    task = asked(small, "anna", master.plan_add(anna, NEW))
    assert worked() == 0
    with pytest.raises(AccessDenied, match="somebody else"):
        tasks.decide(anna, task, True)
    tasks.decide(ben, task, True, "fine")
    worked()
    done = tasks.task_of(ben, task)
    assert (done.status, done.decider, done.decision_note) == ("completed", "ben", "fine")
    with pytest.raises(tasks.TaskOver):
        tasks.decide(ben, task, False)
    other = asked(small, "anna", master.plan_add(anna, NEW | {"symbol": "OTHER"}))
    tasks.decide(ben, other, False, "no")
    assert worked() == 0
    refused = tasks.task_of(anna, other)
    assert (refused.status, refused.decision_note, {s.status for s in refused.steps}) == ("rejected", "no", {"skipped"})
    assert rows(small, "SELECT count(*) FROM securities WHERE symbol = 'OTHER'") == [(0,)]


def test_an_edit_writes_only_what_differs_and_refuses_what_somebody_else_changed(small: Small) -> None:
    ben, anna = small.user("ben"), small.user("anna")
    plan = master.plan_edit(ben, "BOLT", {"sector": "Materials", "rating": "AA"})
    assert set(plan.steps[0].rows[0]) == {"security_id", "sector_id", "rating"}
    other = master.plan_edit(anna, "BOLT", {"rating": "BBB"})
    asked(small, "ben", plan)
    late = asked(small, "anna", other)
    worked()
    assert tasks.task_of(anna, late).error["class"] == "PlanOutdated"  # type: ignore[index]
    assert rows(small, "SELECT rating FROM securities WHERE symbol = 'BOLT'") == [("AA",)]
    kept = rows(small, "SELECT s.sector FROM security_classifications JOIN sectors s USING (sector_id) WHERE security_id = %s ORDER BY recorded_at",
                small.securities["BOLT"])  # fmt: skip
    assert kept == [("Energy",), ("Materials",)]


def test_the_audit_trail_names_who_asked_for_what_a_task_changed(small: Small) -> None:
    ben = small.user("ben")
    task = asked(small, "ben", master.plan_add(ben, NEW))
    worked()
    told = rows(
        small, "SELECT DISTINCT entity, actor_name, action, source FROM audit_log WHERE task_id = %s ORDER BY 1", task
    )
    assert [t[0] for t in told] == [
        "asset_prices",
        "corporate_actions",
        "price_history",
        "securities",
        "security_classifications",
        "security_symbols",
        "tasks",
    ]
    assert {t[1:] for t in told if t[0] != "tasks"} == {("ben", "inserted", "page")}
    asking = rows(
        small,
        "SELECT action, actor_name, after ->> 'status' FROM audit_log WHERE entity = 'tasks' AND entity_key = %s ORDER BY seq",
        str(task),
    )
    assert asking[0] == ("inserted", "ben", "queued")
    assert asking[-1][0::2] == ("updated", "completed")
    with small.database.owner() as c:
        assert not audit.verify(c).findings


def test_what_others_hold_is_told_without_how_much_and_whose(small: Small) -> None:
    with pytest.raises(StillReferenced) as told:
        master.plan_remove(small.user("ben"), "RHEIN")
    assert "a portfolio that you cannot see holds some units" in str(told.value)
    assert all(
        r.amount is None and r.portfolio is None
        for r in master.references(small.user("ben"), small.securities["RHEIN"])
        if r.what == "holding"
    )
    with pytest.raises(StillReferenced, match=r"Zebra \w+ holds \d"):
        master.plan_remove(small.user("anna"), "RHEIN")
