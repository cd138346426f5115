"""The page of tasks as a browser gets it: decisions, filters, the file, one task in full, channels; and who may do what on Admin."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from receivers import hook
from small import WORDS, Small, installed
from streamlit.testing.v1 import AppTest
from test_tasks import NEW, worked

from db import access, master, notices, tasks
from jobs import notices as sending
from settings import settings
from ui import session, show, task_history

Opened = Callable[..., AppTest]


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        yield made


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (notices, sending):
        monkeypatch.setattr(module, "settings", replace(settings, webhook_private=True))


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(page, who, tabs={…}, **query)`: a page as somebody's browser gets it."""

    def run(
        page: str = "tasks",
        who: str = "anna",
        tabs: dict[str, str] | None = None,
        asked: dict[str, str] | None = None,
        **query: str,
    ) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        for name, value in {**query, **(asked or {})}.items():
            at.query_params[name] = value
        at.switch_page(f"{page}.py")
        for name, value in (tabs or {}).items():
            at.session_state[name] = value
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def words(at: AppTest) -> str:
    blocks = (at.markdown, at.info, at.warning, at.error, at.success, at.caption, at.subheader)
    said = "\n".join(str(each.value) for block in blocks for each in block)
    return said.replace("\\", "").replace(show.JOINER, "")


def click(at: AppTest, key: str) -> AppTest:
    next(b for b in at.button if str(b.key).startswith(key)).click().run()
    assert not at.exception, at.exception[0].value
    return at


def asked(small: Small, who: str, symbol: str, **cells: str) -> UUID:
    user = small.user(who)
    return tasks.request(user, master.plan_add(user, {**NEW, "symbol": symbol, **cells}), {})


def listed(at: AppTest) -> list[str]:
    """The titles in the history."""
    found = [d.value for d in at.dataframe if "Asked by" in d.value.columns or "title" in d.value.columns]
    assert len(found) <= 1
    if not found:
        return []
    frame = found[0]
    return [str(x) for x in frame["title" if "title" in frame.columns else "Task"]]


# --- decisions ---------------------------------------------------------------------------------


def test_a_second_person_sees_the_rows_and_approves(opened: Opened, small: Small) -> None:
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    task = asked(small, "ben", "NOVA")
    at = opened(who="anna")
    said = words(at)
    assert "Waits for a second person" in said
    assert "Add to securities" in said, "the plan is there without a click"
    next(t for t in at.text_input if t.label.startswith("Note")).set_value("looks right").run()
    click(at, "task_approve")
    done = tasks.task_of(small.user("ben"), task)
    assert (done.status, done.decider, done.decision_note) == ("queued", "anna", "looks right")
    assert "Waits for a second person" not in words(at)
    assert "Under way" in words(at)
    worked()
    at.run()
    assert tasks.task_of(small.user("ben"), task).status == "completed"


def test_what_was_decided_stays_open_where_more_waits(opened: Opened, small: Small) -> None:
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    for symbol in ("NOVA", "OTHER"):
        asked(small, "ben", symbol)
    at = click(opened(who="anna"), "task_reject")
    assert "Rejected by anna" in words(at)
    assert not [b for b in at.button if b.key == "task_approve"], "the next one is a click away"
    assert "Waits for a second person" in words(at)


def test_it_is_rejected_with_a_note_and_nothing_is_changed(opened: Opened, small: Small) -> None:
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    task = asked(small, "ben", "NOVA")
    at = opened(who="anna", task=str(task))
    next(t for t in at.text_input if t.label.startswith("Note")).set_value("wrong exchange").run()
    click(at, "task_reject")
    assert tasks.task_of(small.user("ben"), task).status == "rejected"
    said = words(opened(who="ben", task=str(task)))
    assert "Rejected by anna" in said
    assert "wrong exchange" in said
    assert worked() == 0


def test_who_asked_and_who_may_not_have_no_buttons(opened: Opened, small: Small) -> None:
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    own, other = asked(small, "anna", "OWN"), asked(small, "ben", "OTHER")
    for who, task in (("anna", own), ("ben", other), ("ben", own), ("vera", own)):
        at = opened(who=who, task=str(task))
        assert not [b for b in at.button if b.key in ("task_approve", "task_reject")], (who, task)
        assert "Waits for a second person" in words(at)
    assert [b for b in opened(who="anna", task=str(other)).button if b.key == "task_approve"]


@pytest.mark.parametrize(("who", "said"), [("anna", True), ("ben", False), ("vera", False)])
def test_the_frame_says_how_many_wait_for_this_person(opened: Opened, small: Small, who: str, said: bool) -> None:
    def link() -> str:
        (found,) = [p for p in opened("portfolios", who).sidebar.get("page_link") if "asks" in p.proto.label]
        return str(found.proto.label)

    assert link() == "Tasks"
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    for symbol in ("ONE", "TWO"):
        asked(small, "ben", symbol)
    asked(small, "anna", "MINE")
    assert ("2 for you to decide" in link()) is said


# --- the history -------------------------------------------------------------------------------


@pytest.fixture
def past(small: Small) -> dict[str, UUID]:
    """Tasks of both, some completed, one failed, one cancelled, one of last year."""
    made = {s: asked(small, "ben", s) for s in ("OLD", "AAA", "BBB")}
    made["CCC"] = asked(small, "anna", "CCC")
    tasks.cancel(small.user("anna"), made["CCC"])
    with small.database.owner() as c:
        c.execute("UPDATE tasks SET requested_at = now() - interval '400 days' WHERE task_id = %s", (made["OLD"],))
        c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('BBB', 'XNYS', 'x', 'Other', 'USD')"
        )
    worked()
    edit = master.plan_edit(small.user("anna"), "BOLT", {"rating": "AA"})
    made["edit"] = tasks.request(small.user("anna"), edit, {})
    worked()
    return made


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ({}, ["BOLT", "CCC", "BBB", "AAA", "OLD"]),
        ({"status": "failed"}, ["BBB"]),
        ({"status": "cancelled"}, ["CCC"]),
        ({"kind": "edit"}, ["BOLT"]),
        ({"who": "ben", "status": "completed"}, ["AAA", "OLD"]),
        ({"q": "bb"}, ["BBB"]),
        ({"q": "%"}, []),
        ({"to": "2026-01-01"}, []),
        ({"status": "nonsense"}, ["BOLT", "CCC", "BBB", "AAA", "OLD"]),
        ({"from": "yesterday"}, ["BOLT", "CCC", "BBB", "AAA", "OLD"]),
    ],
)
def test_the_history_is_filtered_and_its_file_says_the_same(
    opened: Opened,
    small: Small,
    past: dict[str, UUID],
    query: dict[str, str],
    symbols: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if query == {"to": "2026-01-01"}:
        last = tasks.task_of(small.user("ben"), past["OLD"]).requested_at.date()
        query, symbols = {"to": last.isoformat()}, ["OLD"]
    made: list[Callable[[], bytes]] = []
    monkeypatch.setattr(
        task_history.st,
        "download_button",
        lambda label, data, key, **named: made.append(data) if key == "tasks_csv" else None,
    )
    at = opened(asked=query)
    shown = listed(at)
    assert [t.split(" ")[1] for t in shown] == symbols
    data = made[-1]
    rows = list(csv.DictReader(io.StringIO(data().decode(), newline="")))
    assert [r["title"] for r in rows] == shown
    assert next(iter(rows[0] if rows else {"id": 0})) == "id"
    for row in rows:
        task = tasks.task_of(small.user("anna"), UUID(row["id"]))
        assert (row["status"], row["requester"], row["created_at"]) == (
            task.status,
            task.requester,
            task.requested_at.isoformat(),
        )


def test_a_filter_of_the_page_writes_the_address(opened: Opened, past: dict[str, UUID]) -> None:
    at = opened(before=str(past["BBB"]))
    assert [t.split(" ")[1] for t in listed(at)] == ["AAA", "OLD"]
    next(s for s in at.selectbox if s.key == "tasks_status").set_value("failed").run()
    assert at.query_params["status"] == "failed"
    assert "before" not in at.query_params, "it begins again with the newest"
    assert [t.split(" ")[1] for t in listed(at)] == ["BBB"]


def test_older_tasks_come_page_by_page_without_a_gap(
    opened: Opened, past: dict[str, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_history, "SHOWN", 2)
    at, seen = opened(), []
    while True:
        seen += [t.split(" ")[1] for t in listed(at)]
        if next(b for b in at.button if b.key == "tasks_older").disabled:
            break
        click(at, "tasks_older")
    assert seen == ["BOLT", "CCC", "BBB", "AAA", "OLD"]
    click(at, "tasks_newest")
    assert [t.split(" ")[1] for t in listed(at)] == ["BOLT", "CCC"]


def test_a_link_opens_a_task_in_full_for_everybody_signed_in(
    opened: Opened, small: Small, past: dict[str, UUID]
) -> None:
    at = opened(who="vera", task=str(past["BBB"]))
    said = words(at)
    assert "It failed" in said
    assert "duplicate symbol" in said.lower()
    facts = "".join(str(t.value.to_string()) for t in at.table)
    assert "ben, on a page" in facts
    assert str(past["BBB"]) in facts
    assert "What was to be written" in said
    steps = next(d.value for d in at.dataframe if "Step" in d.value.columns or "name" in d.value.columns)
    assert len(steps) == len(tasks.task_of(small.user("ben"), past["BBB"]).steps)
    for wrong in (str(UUID(int=5)), "x"):
        assert "no task" in words(opened(task=wrong)).lower()


# --- notifications -----------------------------------------------------------------------------


def test_a_channel_is_added_shown_its_secret_once_tested_paused_and_removed(opened: Opened, small: Small) -> None:
    with hook() as its:
        at = opened(who="ben", tabs={"tasks_tabs": "Notifications"})
        assert "You have no channel yet" in words(at)
        target = next(t for t in at.text_input if str(t.key).startswith("new_target"))
        target.set_value("ftp://example.org").run()
        click(at, "new_add")
        assert "https://" in words(at)
        assert notices.channels(small.user("ben")) == []
        target = next(t for t in at.text_input if str(t.key).startswith("new_target"))
        target.set_value(its.url).run()
        click(at, "new_add")
        (secret,) = [c.value for c in at.code]
        assert secret.startswith("whsec_")
        click(at, "secret_kept")
        assert not at.code
        (mine,) = notices.channels(small.user("ben"))
        click(at, "test_")
        assert "being sent" in words(at)
        sending.work()
        at.run()
        assert "It arrived" in words(at)
        assert len(its.got) == 1
        its.status = 500
        click(at, "test_")
        sending.work()
        at.run()
        assert "did not arrive: answered 500" in words(at)
        click(at, "pause_")
        assert not notices.channel(small.user("ben"), mine.channel_id).active
        assert "paused" in words(at)
        click(at, "remove_")
        assert notices.channels(small.user("ben")) == []


def test_a_mail_address_is_confirmed_on_the_page(opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    now = replace(settings, smtp_url="smtp://127.0.0.1:9")
    monkeypatch.setattr(notices, "settings", now)
    number, _ = notices.add(small.user("ben"), "mail", "ben@example.org", ["completed"])
    at = opened(who="ben", tabs={"tasks_tabs": "Notifications"})
    assert "Not confirmed yet" in words(at)
    next(t for t in at.text_input if str(t.key).startswith("code_")).set_value("00000000").run()
    click(at, "confirm_")
    assert "the eight characters of the newest mail" in words(at)
    with small.database.owner() as c:
        (code,) = c.execute("SELECT secret FROM notice_channels WHERE channel_id = %s", (number,)).fetchone() or ("",)
    next(t for t in at.text_input if str(t.key).startswith("code_")).set_value(code).run()
    click(at, "confirm_")
    assert "ben@example.org `` is confirmed" in words(at)
    assert notices.channel(small.user("ben"), number).confirmed


def test_an_admin_sends_again_what_did_not_arrive(
    opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as its:
        notices.add(small.user("ben"), "webhook", its.url, ["completed"])
        asked(small, "ben", "NOVA")
        worked()
        with small.database.owner() as c:
            c.execute("UPDATE notices SET status = 'dead', attempts = 6, last_error = 'answered 500'")
        at = opened("admin", tabs={"admin_tabs": "Dead letters"})
        assert "1 notification did not arrive" in words(at)
        table = next(d for d in at.dataframe if "answered 500" in d.value.to_string())
        assert "ben" in table.value.to_string()
        monkeypatch.setattr("ui.show.table", lambda shown, **named: 0 if shown.name == "undelivered" else None)
        at.run()
        click(at, "send_again")
        sending.work()
        assert len(its.got) == 1


# --- who may do what ---------------------------------------------------------------------------


def test_an_admin_says_who_may_do_what_and_is_warned(opened: Opened, small: Small) -> None:
    at = opened("admin", tabs={"admin_tabs": "Who may do what"})
    assert next(b for b in at.button if b.key == "policy_save").disabled
    next(c for c in at.checkbox if c.key == "policy_eyes_remove").check().run()
    assert "Anna alone may approve" in words(at)
    next(s for s in at.selectbox if s.key == "policy_approve").set_value("analyst").run()
    assert "alone may approve" not in words(at)
    assert "May approve: anna, ben." in words(at)
    next(s for s in at.selectbox if s.key == "policy_bulk").set_value("admin").run()
    click(at, "policy_save")
    assert "Saved" in words(at)
    now = tasks.policy(small.user("anna"))
    assert (now["four_eyes"], now["approve"], now["bulk"], now["add"]) == (["remove"], "analyst", "admin", "analyst")
    assert tasks.rights(small.user("ben")) == {"add", "edit", "remove", "approve"}
    with small.database.owner() as c:
        found = c.execute("SELECT actor_name, after -> 'value' ->> 'bulk' FROM audit_log WHERE entity = 'installation' AND entity_key = 'policy'").fetchall()  # fmt: skip
    assert found[-1:] == [("anna", "admin")]
