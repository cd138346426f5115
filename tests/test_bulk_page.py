"""The bulk tab: a file is checked before anything is written, loaded as a task, taken back by a restore; viewers do not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from conftest import ROOT
from small import WORDS, Small, installed
from streamlit.testing.v1 import AppTest

from core import bulk as files
from db import access, backups, tasks
from jobs.run import Worker
from jobs.tasks import work_one
from ui import session

Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        yield made


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(who)`: the bulk tab as somebody's browser gets it."""

    def run(who: str = "ben") -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        at.switch_page("securities.py")
        at.session_state["securities_tabs"] = "Bulk"
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def upload(at: AppTest, raw: bytes) -> AppTest:
    (box,) = [w for w in at.get("file_uploader") if str(w.key).startswith("bulk_")]
    box.set_value(("new.csv", raw, "text/csv")).run()
    assert not at.exception, at.exception[0].value
    return at


def click(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label == label]
    button.click().run()
    assert not at.exception, at.exception[0].value
    return at


def said(at: AppTest) -> str:
    return "\n".join(str(e.value) for kind in ("markdown", "caption", "error", "success", "info", "subheader") for e in at.get(kind))  # fmt: skip


def test_a_file_is_checked_loaded_and_taken_back(small: Small, opened: Opened) -> None:
    ben = small.user("ben")
    at = upload(opened(), files.TEMPLATE.replace("XNYS", "XXXX").encode())
    assert {m.label: m.value for m in at.metric} == {
        "Refused": "1",
        "To add": "1",
        "To change": "0",
        "As they are": "0",
    }
    (load,) = [b for b in at.button if b.label == "Load 1 security"]
    assert load.disabled
    assert "1 row is refused: correct the file, or leave them out." in said(at)
    assert tasks.tasks(ben) == []
    (leave,) = [c for c in at.checkbox if str(c.key).startswith("bulk_partial_")]
    leave.check().run()
    at = click(at, "Load 1 security")
    (task,) = tasks.tasks(ben)
    assert (task.kind, task.status, at.query_params["task"]) == ("bulk", "queued", str(task.task_id))
    assert work_one(Worker(Event()))
    at.run()
    assert "1 row left out" in [b.label for b in at.get("download_button")]
    at = click(at, "Restore the state before")
    assert "Remove from securities" in said(at)
    at = click(at, "Confirm")
    assert work_one(Worker(Event()))
    newest = tasks.tasks(ben)[0]
    assert (newest.kind, newest.status, newest.undoes) == ("restore", "completed", task.task_id)
    assert len(backups.backups(ben)) == 2
    at.run()
    number = backups.backups(ben)[1].backup_id
    (again,) = [b for b in at.button if b.key == f"backup_restore_{number}"]
    again.click().run()
    assert "nothing to restore" in said(at)


def test_only_what_was_shown_is_loaded(small: Small, opened: Opened) -> None:
    """Somebody changes the master between the verdicts and the click: the numbers are the same, what they stand for is not."""
    ben = small.user("ben")
    before = len(tasks.tasks(ben))
    at = upload(opened(), b"symbol,exchange,asset_class,rating,name\nBOLT,XNYS,Equity,A,Bolt\n")
    (existing,) = [w for w in at.get("button_group") if str(w.key).startswith("bulk_existing_")]
    existing.set_value("update").run()
    with small.database.owner() as c:
        c.execute("UPDATE securities SET name = 'Bolts' WHERE symbol = 'BOLT'")
        c.execute("UPDATE data_versions SET version = version + 1 WHERE name = 'securities'")
    at = click(at, "Load 1 security")
    assert "The master changed since the file was checked" in "".join(w.value for w in at.warning)
    assert len(tasks.tasks(ben)) == before
    click(at, "Load 1 security")
    assert len(tasks.tasks(ben)) == before + 1
    assert work_one(Worker(Event()))


def test_a_file_that_makes_no_sense_is_told(opened: Opened) -> None:
    at = upload(opened(), b"a,b\n1,2\n")
    assert "unknown columns 'a', 'b'" in said(at)
    assert not [b for b in at.button if b.label.startswith("Load")]


def test_viewers_have_no_such_tab(opened: Opened) -> None:
    at = opened("vera")
    assert "Bulk" not in [t.label for t in at.tabs]
    assert not [w for w in at.get("file_uploader") if str(w.key).startswith("bulk_")]
