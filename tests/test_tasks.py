"""Tracked tasks on the real database: asked for by a person, carried out by the scheduled process's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from small import MARK, Small, bar_days, drafts, installed, row

from core.master import DuplicateSymbol, StillReferenced
from core.plans import Plan, Step
from db import audit, engine, ledger, market, master, snapshots, tasks
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


# --- what happens between the plan and the task -------------------------------------------------------------------------


def done(small: Small, who: str, plan: Plan) -> tasks.Task:
    """Asked for and carried out."""
    number = asked(small, who, plan)
    worked()
    return tasks.task_of(small.user(who), number)


def added(small: Small, **cells: str) -> int:
    """The number of a security that Ben has added."""
    task = done(small, "ben", master.plan_add(small.user("ben"), NEW | cells))
    assert task.security_id is not None, task.message
    return task.security_id


UNPRICED = {"price": "", "dividend": "", "dividend_ex_on": "", "dividend_frequency": ""}


def traded(small: Small, kind: str, day: date) -> None:
    """Anna trades all that there is of LATE."""
    cells = row(day, kind, "LATE", quantity="17", price="20")
    ledger.append(small.anna, small.portfolios[f"{MARK} dollars"], drafts(small, small.anna, [cells], "USD"), small.now.date())  # fmt: skip


def test_what_was_booked_a_moment_ago_counts_before_holdings_are_derived_anew(small: Small) -> None:
    anna, days, number = small.user("anna"), bar_days(small.now), small.securities["LATE"]
    with pytest.raises(StillReferenced, match="holds 17 units"):
        master.plan_remove(anna, "LATE")
    traded(small, "sell", days[-5])
    plan = master.plan_remove(anna, "LATE")  # sold, though the derived holdings do not say so yet
    assert plan.title.startswith("Retire")
    traded(small, "buy", days[-3])
    with pytest.raises(StillReferenced, match="holds 17 units"):
        master.plan_remove(anna, "LATE")
    late = done(small, "ben", plan)  # Ben cannot see it: the task does
    assert (late.status, late.error and late.error["class"]) == ("failed", "StillReferenced")
    assert rows(small, "SELECT status FROM securities WHERE security_id = %s", number) == [("active",)]


def test_a_booking_under_way_is_waited_for(small: Small) -> None:
    """The task finds the security locked by the entry, and then finds the entry."""
    days = bar_days(small.now)
    traded(small, "sell", days[-5])
    task = asked(small, "anna", master.plan_remove(small.user("anna"), "LATE"))
    portfolio = small.portfolios[f"{MARK} dollars"]
    with engine.session(small.anna) as c:
        desk = ledger.open_desk(c, portfolio, lock=True)
        (draft,) = drafts(small, small.anna, [row(days[-3], "buy", "LATE", quantity="17", price="20")], "USD")
        ledger.write(c, small.anna, portfolio, [(ledger.complete(desk, draft, small.now.date()), None)], "form")
        ledger.mark_moved(c, portfolio, [days[-3]], small.now.date())
        other = Thread(target=worked)
        other.start()
        other.join(1.0)
        assert other.is_alive()
    other.join(30)
    ended = tasks.task_of(small.user("anna"), task)
    assert (ended.status, ended.error and ended.error["class"]) == ("failed", "StillReferenced")


def test_what_is_kept_with_a_task_names_no_portfolio(small: Small) -> None:
    anna, days = small.user("anna"), bar_days(small.now)
    traded(small, "sell", days[-5])
    with small.database.jobs() as c:
        snapshots.refresh_holdings(c, small.now.date())
    plan = master.plan_remove(anna, "LATE")
    task = asked(small, "anna", plan)
    traded(small, "buy", days[-3])
    worked()
    ben = small.client("ben")
    assert ben.get(f"/v1/securities/tasks/{task}").json()["error"]["class"] == "StillReferenced"
    for path in ("", "/plan"):
        assert MARK not in ben.get(f"/v1/securities/tasks/{task}{path}").text
    assert plan.notes == ("It stays, since there are entries of it in a portfolio.",)
    told = ben.get("/v1/securities/LATE/references").json()["references"]
    assert {(r["amount"], r["first_on"], r["last_on"]) for r in told} == {(None, None, None)}


def test_two_edits_that_only_together_contradict_do_not_both_hold(small: Small) -> None:
    ben = small.user("ben")
    number = added(small)
    first, second = (
        master.plan_edit(ben, number, cells) for cells in ({"asset_class": "Fund"}, {"sector": "Materials"})
    )
    assert done(small, "ben", first).status == "completed"
    late = done(small, "ben", second)
    assert (late.status, late.error and late.error["class"]) == ("failed", "PlanOutdated")
    kept = rows(small, "SELECT s.asset_class, (SELECT k.asset_class FROM security_classifications k WHERE k.security_id = s.security_id "
                "ORDER BY valid_from DESC, recorded_at DESC LIMIT 1) FROM securities s WHERE security_id = %s", number)  # fmt: skip
    assert kept == [("Fund", "Fund")]


def test_a_currency_stays_once_a_price_has_come(small: Small) -> None:
    ben = small.user("ben")
    number = added(small, **UNPRICED)
    plan = master.plan_edit(ben, number, {"currency": "EUR"})
    with small.database.jobs() as c:
        market.upsert_bars(c, [market.Bar(number, date(2026, 1, 5), Decimal(12))], "csv")
    late = done(small, "ben", plan)
    assert (late.status, late.error and late.error["field"]) == ("failed", "currency")
    assert rows(small, "SELECT currency FROM securities WHERE security_id = %s", number) == [("USD",)]


def test_what_comes_after_the_plan_of_a_deletion_goes_with_it(small: Small) -> None:
    number = added(small, **UNPRICED)
    with engine.session(small.anna) as c:  # Ben does not see it
        c.execute("INSERT INTO security_matches (user_id, source, called, security_id, created_by) VALUES (%s, 'x', 'y', %s, %s)",
                  (small.anna, number, small.anna))  # fmt: skip
    plan = master.plan_remove(small.user("ben"), "NOVA")
    with small.database.jobs() as c:
        market.upsert_bars(c, [market.Bar(number, date(2026, 1, 5), Decimal(12))], "csv")
    assert done(small, "ben", plan).status == "completed"
    assert rows(small, "SELECT count(*) FROM securities WHERE security_id = %s", number) == [(0,)]


def test_what_is_retired_can_be_delisted_and_delisted_again(small: Small) -> None:
    ben, day = small.user("ben"), date(2026, 2, 3)
    number = added(small)
    with small.database.owner() as c:
        c.execute("UPDATE portfolios SET benchmark_id = %s, archived_at = now() WHERE name = 'Ben''s own'", (number,))
    for plan in (
        master.plan_remove,
        lambda u, n: master.plan_delist(u, n, day),
        master.plan_reinstate,
        lambda u, n: master.plan_delist(u, n, day),
    ):
        assert done(small, "ben", plan(ben, number)).status == "completed"  # fmt: skip
    assert rows(small, "SELECT status, ended_on FROM securities WHERE security_id = %s", number) == [("delisted", day)]
    assert rows(small, "SELECT count(*) FROM corporate_actions WHERE security_id = %s AND kind = 'delisting'", number) == [(1,)]  # fmt: skip


def test_steps_of_a_task_that_ended_while_nobody_worked_are_not_pending(small: Small) -> None:
    ben = small.user("ben")
    task = asked(small, "ben", master.plan_add(ben, NEW))
    with tasks.beside() as c:
        assert tasks.claim(c, "killed") is not None
        tasks.begin_step(c, task, 0)
        assert tasks.take_back(c) == 1
        assert {s.status for s in tasks.task_of(ben, task).steps} == {"pending"}
        tasks.claim(c, "killed")
        tasks.begin_step(c, task, 0)
        tasks.cancel(ben, task)
        assert tasks.take_back(c) == 1
    ended = tasks.task_of(ben, task)
    assert (ended.status, [s.status for s in ended.steps[:2]]) == ("cancelled", ["undone", "skipped"])


def test_a_cancel_at_the_commit_comes_before_it_or_too_late(small: Small) -> None:
    """Whoever has the row first decides; the other is told."""
    ben = small.user("ben")
    for before in (True, False):
        task = asked(small, "ben", master.plan_add(ben, NEW))
        told: list[str] = []

        def cancel(task: UUID = task, told: list[str] = told) -> None:
            try:
                tasks.cancel(ben, task)
                told.append("cancelled")
            except tasks.TaskOver as e:
                told.append(str(e))

        with tasks.beside() as c:
            claimed = tasks.claim(c, "w")
        assert claimed is not None
        other = Thread(target=cancel)
        with tasks.working(claimed) as c:
            if before:
                cancel()
                assert not tasks.completed(c, task, "w", "", {})
            else:
                assert tasks.completed(c, task, "w", "done", {})
                other.start()
                other.join(0.5)
                assert other.is_alive()
        if not before:
            other.join(10)
        assert told == (["cancelled"] if before else ["the task is completed: it has ended"])
        with tasks.beside() as c:
            tasks.take_back(c)


def test_two_people_decide_at_once(small: Small) -> None:
    anna, ben = small.user("anna"), small.user("ben")
    tasks.set_policy(anna, {"four_eyes": ["edit"], "approve": "analyst"})
    with small.database.owner() as c:
        c.execute("INSERT INTO users (username, display_name, role) VALUES ('carl', 'Carl', 'analyst')")
        carl = type(ben)(
            c.execute("SELECT user_id FROM users WHERE username = 'carl'").fetchone()[0], "carl", "Carl", "analyst"
        )  # type: ignore[index]
    for _ in range(10):
        task = asked(small, "anna", master.plan_edit(anna, "BOLT", {"rating": "B"}))
        told: list[str] = []

        def decide(who: Any, approved: bool, task: UUID = task, told: list[str] = told) -> None:
            try:
                tasks.decide(who, task, approved)
                told.append("decided")
            except tasks.TaskOver:
                told.append("too late")

        both = [Thread(target=decide, args=(ben, True)), Thread(target=decide, args=(carl, False))]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert sorted(told) == ["decided", "too late"]
        ended = tasks.task_of(anna, task)
        assert (ended.decider, ended.status) in (("ben", "queued"), ("carl", "rejected"))
        if ended.is_open:
            tasks.cancel(anna, task)


def test_two_admins_set_the_policy_at_once(small: Small) -> None:
    """What one leaves out stays as the other has just said it."""
    anna = small.user("anna")
    with engine.session(small.anna) as c:
        c.execute('SELECT set_policy(\'{"add": "admin"}\')')
        other = Thread(target=tasks.set_policy, args=(anna, {"remove": "admin"}))
        other.start()
        other.join(0.5)
    other.join(10)
    assert {k: tasks.policy(anna)[k] for k in ("add", "edit", "remove")} == {"add": "admin", "edit": "analyst", "remove": "admin"}  # fmt: skip


# --- what the web role may do around the functions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "around",
    [
        "INSERT INTO tasks (kind, title, subject, status, requested_by, source, request, plan) SELECT 'add', 't', 's', 'queued', app_user(), 'page', '{}', '{}'",
        "UPDATE tasks SET status = 'queued'",
        "UPDATE task_steps SET done = 1",
        "DELETE FROM tasks",
        "INSERT INTO installation VALUES ('policy', '{}')",
        "UPDATE securities SET status = 'retired'",
        "INSERT INTO security_classifications (security_id, asset_class, source) VALUES (1, 'Fund', 'x')",
        "SELECT accept FROM set_config('role', 'ballast_jobs', true) accept",
        "SELECT request_task('edit', 't', 's', 1, NULL, '{}', '{\"kind\": \"remove\", \"security_id\": 1, \"claim\": null, \"steps\": []}', NULL)",
        "SELECT request_task('remove', 't', 's', 1, NULL, '{}', '{\"kind\": \"remove\", \"security_id\": 2, \"claim\": null, \"steps\": []}', NULL)",
        "SELECT request_task('add', 't', 's', NULL, NULL, '{}', '{\"kind\": \"add\", \"claim\": \"XNYS:A\", \"steps\": []}', NULL)",
        "SELECT request_task('add', 't', 's', NULL, NULL, '{}', '{}', NULL)",
    ],
)  # fmt: skip
def test_the_web_role_writes_no_task_but_by_asking(small: Small, around: str) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)), engine.session(small.anna) as c:  # fmt: skip
        c.execute(around)
    assert rows(small, "SELECT count(*) FROM tasks") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("edit", Step("s", "price_history", "delete", ({"security_id": 1},))),
        ("edit", Step("s", "securities", "update", ({"security_id": 1, "status": "retired"},), ({"security_id": 1, "status": "active"},))),
        ("add", Step("s", "securities", "update", ({"security_id": 1, "name": "x"},), ({"security_id": 1, "name": "y"},))),
        ("add", Step("s", "price_history", "insert", ({"security_id": 1, "on": "2001-01-01", "close": 1, "provider": "manual"},))),
        ("add", Step("s", "users", "insert", ({"username": "mallory"},))),
        ("add", Step("s", "securities", "drop", ({},))),
        ("bulk", Step("s", "price_history", "delete", ({"security_id": 1},))),
        ("restore", Step("s", "credentials", "delete", ({"user_id": "x"},))),
    ],
)  # fmt: skip
def test_a_forged_plan_writes_nothing_that_its_kind_does_not(small: Small, kind: str, step: Step) -> None:
    """Who may ask for an edit has not asked for a removal, whatever four eyes are set for."""
    before = rows(small, "SELECT (SELECT count(*) FROM price_history), (SELECT string_agg(name || status, '' ORDER BY 1) FROM securities)")  # fmt: skip
    forged = done(small, "ben", Plan(kind, "t", "s", (step,)))
    assert (forged.status, forged.error and forged.error["field"]) == ("failed", "plan")
    assert "no task of the kind" in forged.message
    assert rows(small, "SELECT (SELECT count(*) FROM price_history), (SELECT string_agg(name || status, '' ORDER BY 1) FROM securities)") == before  # fmt: skip


def test_a_forged_removal_touches_no_other_security(small: Small) -> None:
    other = Step("s", "price_history", "delete", ({"security_id": small.securities["ACME"]},))
    last = Step("s", "securities", "delete", ({"security_id": small.securities["NEVER"]},))
    forged = done(small, "ben", Plan("remove", "t", "s", (other, last), security_id=small.securities["NEVER"]))
    assert (forged.status, forged.error and forged.error["field"]) == ("failed", "plan")


def test_a_forged_edit_changes_no_other_security_than_its_task_names(small: Small) -> None:
    acme, never = small.securities["ACME"], small.securities["NEVER"]
    step = Step("s", "securities", "update", ({"security_id": acme, "rating": "AA"},), ({"security_id": acme, "rating": None},))  # fmt: skip
    forged = done(small, "ben", Plan("edit", "t", "s", (step,), security_id=never))
    assert (forged.status, forged.error and forged.error["field"]) == ("failed", "plan")
    assert done(small, "ben", Plan("edit", "t", "s", (step,), security_id=acme)).status == "completed"


def test_a_bond_says_how_often_its_coupon_is_paid(small: Small) -> None:
    bond = {"symbol": "BOND", "asset_class": "Fixed Income", "dividend_frequency": "semi-annual", "matures_on": "2031-03-31", "par_value": "1000"}  # fmt: skip
    asked(small, "ben", master.plan_add(small.user("ben"), bond))
    worked()
    assert rows(small, "SELECT dividend_frequency FROM securities WHERE symbol = 'BOND'") == [("semi-annual",)]


@pytest.mark.parametrize("change", ["disabled_at = now()", "role = 'viewer'"])
def test_what_somebody_asked_for_who_may_not_any_more_is_not_carried_out(small: Small, change: str) -> None:
    task = asked(small, "ben", master.plan_add(small.user("ben"), NEW))
    with small.database.owner() as c:
        c.execute(f"UPDATE users SET {change} WHERE username = 'ben'")
    worked()
    ended = tasks.task_of(small.user("anna"), task)
    assert (ended.status, "may not do so any more" in ended.message) == ("failed", True)
    assert rows(small, "SELECT count(*) FROM securities WHERE symbol = %s", NEW["symbol"]) == [(0,)]


def test_a_task_that_the_database_breaks_off_each_time_says_where_and_why(small: Small, monkeypatch: Any) -> None:
    ben = small.user("ben")
    task = asked(small, "ben", master.plan_add(ben, NEW))

    def full(work: Any, step: Step) -> Any:
        raise psycopg.errors.DiskFull("could not extend file: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("db.carrying.carry_out", full)
        for n in range(tasks.ATTEMPTS):
            with pytest.raises(psycopg.errors.DiskFull):
                worked()
            now = tasks.task_of(ben, task)
            assert (now.status, now.attempts) == ("running", n + 1)
        assert worked() == 0
    ended = tasks.task_of(ben, task)
    assert ended.status == "failed"
    assert (
        ended.message
        == "Failed: begun 5 times; DiskFull: could not extend file: no space left on device. Nothing was changed"
    )
    assert ended.error is not None
    assert [s.action for s in tasks.plan_of(ben, task).steps][ended.error["step"]] != "ask"
    again = asked(small, "ben", master.plan_add(ben, NEW))
    with monkeypatch.context() as patch:
        patch.setattr("db.carrying.carry_out", full)
        with pytest.raises(psycopg.errors.DiskFull):
            worked()
    assert worked() == 1
    ended = tasks.task_of(ben, again)
    assert (ended.status, ended.attempts, ended.error) == ("completed", 2, None)


@pytest.mark.parametrize("change", ["disabled_at = now()", "role = 'viewer'"])
def test_what_somebody_asked_for_who_may_not_any_more_is_not_approved(small: Small, change: str) -> None:
    anna = small.user("anna")
    tasks.set_policy(anna, {"four_eyes": ["add"]})
    task = asked(small, "ben", master.plan_add(small.user("ben"), NEW))
    with small.database.owner() as c:
        c.execute(f"UPDATE users SET {change} WHERE username = 'ben'")
    with pytest.raises(AccessDenied, match="may not do so any more"):
        tasks.decide(anna, task, True)
    tasks.decide(anna, task, False)
    assert (tasks.task_of(anna, task).status, worked()) == ("rejected", 0)


ISIN = "US5949181045"  # of nothing that is there
AAA = NEW | {"symbol": "AAA", "isin": ISIN}
BBB = NEW | {"symbol": "BBB", "isin": ISIN, "exchange": "XETR", "currency": "EUR", "asset_class": "Fund", "sector": ""}


def inconsistent(task: tasks.Task) -> str:
    """What would be right, by the error of a task that failed for two classes of one ISIN."""
    error = task.error or {}
    assert (task.status, error["class"], error["field"]) == ("failed", "AssetClassInconsistent", "asset_class"), task
    return f"{error['value']}: {error['expected']}"


def test_two_securities_that_were_planned_before_either_was_added_keep_one_class_to_an_isin(small: Small) -> None:
    ben = small.user("ben")
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    waiting = [asked(small, "ben", master.plan_add(ben, cells)) for cells in (AAA, BBB)]
    for task in waiting:
        tasks.decide(small.user("anna"), task, True)
    assert worked() == 2
    assert tasks.task_of(ben, waiting[0]).status == "completed"
    assert inconsistent(tasks.task_of(ben, waiting[1])) == (
        f"Fund: XNYS:AAA is the same security as XETR:BBB by its ISIN, {ISIN}, and is Equity: give both one class, or correct the ISIN"
    )
    assert rows(small, "SELECT symbol, asset_class FROM securities WHERE isin = %s", ISIN) == [("AAA", "Equity")]


def test_edits_that_were_planned_before_keep_one_class_to_an_isin(small: Small) -> None:
    """By a new ISIN, and by classes that both change: each plan was right when it was made."""
    ben = small.user("ben")
    added(small, symbol="AAA")
    added(small, **(BBB | {"isin": ""}))
    first, second = (master.plan_edit(ben, listing, {"isin": ISIN}) for listing in ("XNYS:AAA", "XETR:BBB"))
    assert done(small, "ben", first).status == "completed"
    assert "XNYS:AAA is the same security as XETR:BBB" in inconsistent(done(small, "ben", second))
    with pytest.raises(master.BadSecurity, match="XNYS:AAA is the same security by its ISIN and is Equity"):
        master.plan_edit(ben, "XETR:BBB", {"isin": ISIN, "asset_class": "Crypto"})
    assert done(small, "ben", master.plan_edit(ben, "XETR:BBB", {"asset_class": "Equity"})).status == "completed"
    assert done(small, "ben", master.plan_edit(ben, "XETR:BBB", {"isin": ISIN})).status == "completed"
    first, second = (
        master.plan_edit(ben, listing, {"asset_class": its_class, "sector": None})
        for listing, its_class in (("XNYS:AAA", "Fund"), ("XETR:BBB", "Real Estate"))
    )
    assert done(small, "ben", first).status == "completed"
    assert "XNYS:AAA is the same security as XETR:BBB" in inconsistent(done(small, "ben", second))
    both = master.plan_edit(ben, "XETR:BBB", {"asset_class": "Fund", "sector": None})
    assert done(small, "ben", both).status == "completed"


def test_one_plan_may_reclassify_both_listings_of_an_isin(small: Small) -> None:
    numbers = [added(small, **cells) for cells in (AAA, BBB | {"asset_class": "Equity"})]
    steps = [
        Step("Change securities", "securities", "update", tuple({"security_id": n, "asset_class": c} for n, c in zip(numbers, classes, strict=True)),
             tuple({"security_id": n, "asset_class": "Equity"} for n in numbers))
        for classes in (("Real Estate", "Crypto"), ("Real Estate", "Real Estate"))
    ]  # fmt: skip
    assert "Crypto" in inconsistent(done(small, "ben", Plan("reclassify", "t", "s", (steps[0],))))
    assert done(small, "ben", Plan("reclassify", "t", "s", (steps[1],))).status == "completed"
    assert rows(small, "SELECT DISTINCT asset_class FROM securities WHERE isin = %s", ISIN) == [("Real Estate",)]


def test_a_symbol_is_of_one_security_at_a_time_though_the_plan_was_made_before(small: Small) -> None:
    """While an addition waits, another one takes its symbol and gives it up: the bulk of another day takes no claim."""
    ben = small.user("ben")
    early = replace(master.plan_add(ben, NEW), claim=None)
    number = added(small)
    on = date(2026, 2, 3)
    assert done(small, "ben", master.plan_rename(ben, number, "NOVA.OLD", None, on)).status == "completed"
    late = done(small, "ben", early)
    assert (late.status, late.error and late.error["class"]) == ("failed", "PlanOutdated")
    assert "XNYS:NOVA was" not in late.message
    assert "it was XNYS:NOVA.OLD until 2026-02-03 and is free from that day" in late.message
    assert done(small, "ben", master.plan_add(ben, NEW)).status == "completed"
    assert rows(small, "SELECT valid_from FROM security_symbols WHERE symbol = 'NOVA' ORDER BY 1") == [
        (date(1900, 1, 1),),
        (on,),
    ]


def test_two_listings_of_one_isin_are_reclassified_one_after_the_other(small: Small) -> None:
    ben = small.user("ben")
    asked(small, "ben", master.plan_add(ben, NEW | {"isin": "US0378331005", "asset_class": "Equity", "exchange": "XETR", "currency": "EUR", "sector": ""}))  # fmt: skip
    worked()
    with pytest.raises(master.BadSecurity, match="is the same security by its ISIN and is Equity"):
        master.plan_add(ben, NEW | {"isin": "US0378331005", "asset_class": "Fund", "symbol": "THIRD", "sector": ""})
    for listing in ("XETR:NOVA", "XNYS:ACME"):
        asked(small, "ben", master.plan_edit(ben, listing, {"asset_class": "Fund", "sector": None, "industry": None}))
        assert worked() == 1
    assert rows(small, "SELECT DISTINCT asset_class FROM securities WHERE isin = 'US0378331005'") == [("Fund",)]


def test_a_sector_by_anothers_name_is_the_one_it_has(small: Small) -> None:
    with small.database.owner() as c:
        c.execute("UPDATE securities SET sector_id = (SELECT min(sector_id) FROM sectors WHERE sector = 'Information Technology' AND industry <> '') WHERE symbol = 'ACME'")  # fmt: skip
    ben = small.user("ben")
    with pytest.raises(master.BadSecurity, match="nothing differs"):
        master.plan_edit(ben, "XNYS:ACME", {"sector": "Technology"})


def test_an_edited_sector_counts_from_its_day_and_past_checks_stay(small: Small) -> None:
    """What a rule said of a day, and what was known at a time, stays what it was after BOLT changed its sector."""
    client, portfolio = small.client("anna"), str(small.portfolios[f"{MARK} dollars"])
    today = small.now.date()

    def said(**more: str) -> list[object]:
        answer = client.get("/v1/reports/allocation", params={"portfolio": portfolio, "by": "sector", **more}).json()
        return [(row["group"], row["weight"]) for row in answer["rows"]]

    before, known = str(today - timedelta(days=7)), datetime.now(UTC).isoformat()
    then, past, now = said(as_of=before), said(known_at=known), said()
    assert {"Energy"} <= {name for name, _ in now}, "BOLT is held"
    asked(small, "ben", master.plan_edit(small.user("ben"), "BOLT", {"sector": "Materials"}))
    worked()
    assert said(as_of=before) == then
    assert said(known_at=known) == past
    changed = dict(said())  # type: ignore[arg-type]
    assert changed["Materials"] == pytest.approx(dict(now).get("Materials", 0.0) + dict(now)["Energy"])  # type: ignore[call-overload]
    assert "Energy" not in changed


def test_an_edited_country_counts_from_its_day(small: Small) -> None:
    """As class and sector do; a plan of before the country was dated keeps that of the security."""
    client, portfolio = small.client("anna"), str(small.portfolios[f"{MARK} dollars"])

    def said(**more: str) -> dict[str, float]:
        answer = client.get("/v1/reports/allocation", params={"portfolio": portfolio, "by": "country", **more}).json()
        return {row["group"]: row["weight"] for row in answer["rows"]}

    before, known, now = str(small.now.date() - timedelta(days=7)), datetime.now(UTC).isoformat(), said()
    then, past = said(as_of=before), said(known_at=known)
    old = rows(small, "SELECT country FROM securities WHERE symbol = 'BOLT'")[0][0]
    new = "CH" if old != "CH" else "NO"
    assert new not in now
    asked(small, "ben", master.plan_edit(small.user("ben"), "BOLT", {"country": new}))
    worked()
    assert said(as_of=before) == then
    assert said(known_at=known) == past
    assert new in said()
    plan = master.plan_edit(small.user("ben"), "BOLT", {"sector": "Materials"})
    steps = tuple(replace(s, rows=tuple({k: v for k, v in r.items() if k != "country"} for r in s.rows)) for s in plan.steps)
    asked(small, "ben", replace(plan, steps=steps))
    worked()
    kept = rows(small, "SELECT country FROM security_classifications WHERE security_id = %s ORDER BY recorded_at", small.securities["BOLT"])
    assert kept == [(old,), (new,), (new,)]
