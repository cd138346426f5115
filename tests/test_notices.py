"""Notices of tasks on the real database, sent to a real web server and a real mail server on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from conftest import ROOT
from receivers import Hook, Mailbox, hook, mailbox
from small import WORDS, Small, installed
from test_tasks import NEW, worked

from core import notices as words
from core.notices import BadChannel, checked_target, is_public, sign
from db import access, engine, master, tasks
from db import notices as database
from db.access import AccessDenied
from jobs import __main__ as timetable
from jobs import housekeeping, notices
from jobs.listen import listening
from jobs.run import Worker
from settings import settings

NOW = timedelta(0)
Sent = list[tuple[dict[str, str], bytes]]


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("cleo", WORDS, "analyst", "Cleo")
        made.tokens["cleo"] = access.sign_in("cleo", WORDS)[0]
        yield made


@pytest.fixture
def hooked() -> Iterator[Hook]:
    with hook() as its:
        yield its


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as its:
        yield its


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`here(smtp_url=…)`: other settings; webhooks may go to this machine unless it says otherwise."""

    def use(**changes: Any) -> None:
        now = replace(settings, **{"webhook_private": True, "public_url": "https://ballast.example.org", **changes})
        monkeypatch.setattr(notices, "settings", now)
        monkeypatch.setattr(database, "settings", now)

    use()
    return use


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between attempts."""
    monkeypatch.setattr(notices, "FIRST", NOW)


def send(limit: int = 60) -> int:
    """Send whatever is due; how many looks found something."""
    n = 0
    while n < limit and notices.work():
        n += 1
    return n


def channel(small: Small, who: str, kind: str, target: str, *events: str, scope: str = "mine") -> tuple[UUID, str]:
    number, secret = database.add(small.user(who), kind, target, events or ("completed", "failed"), scope)
    if kind == "mail":  # the code that is in its first mail
        with small.database.owner() as c:
            code = c.execute("SELECT secret FROM notice_channels WHERE channel_id = %s", (number,)).fetchone()
            c.execute("DELETE FROM notices WHERE channel_id = %s", (number,))
        assert code is not None
        assert database.confirm(small.user(who), number, f" {code[0].upper()} ").confirmed
    return number, secret or ""


def code_in(text: str) -> str:
    """The line of a mail that is a code."""
    (code,) = [line for line in text.splitlines() if len(line) == 8 and line.isalnum()]
    return code


def asked(small: Small, who: str, **cells: str) -> UUID:
    user = small.user(who)
    return tasks.request(user, master.plan_add(user, {**NEW, **cells}), {})


def rows(small: Small, query: str, *parameters: Any) -> list[Any]:
    with small.database.owner() as c:
        return c.execute(query, parameters).fetchall()


def verified(secret: str, got: tuple[dict[str, str], bytes]) -> dict[str, Any]:
    """What the signed body says, checked as the standard tells a receiver to, with nothing of the product's code."""
    headers, body = got
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    versions = [entry.split(",", 1) for entry in headers["webhook-signature"].split(" ")]
    assert any(v == "v1" and hmac.compare_digest(s, right) for v, s in versions)
    said: dict[str, Any] = json.loads(body)
    return said


# --- what arrives ------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the reference implementations."""
    made = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("part", ["", ".5", ".50495", ".504950"])
def test_times_in_a_webhook_have_the_same_length_whatever_their_last_digits(part: str) -> None:
    """The database's JSON leaves the last zeros of a time out."""
    at = f"2026-11-21T15:09:20{part}+00:00"
    said = json.loads(
        words.body("completed", {"title": "Add NOVA", "requested_at": at, "finished_at": at, "at": at}, "https://x")
    )
    micros = part.lstrip(".").ljust(6, "0")
    whole = f"2026-11-21T15:09:20.{micros}+00:00"
    assert [said["timestamp"], said["data"]["requested_at"], said["data"]["finished_at"]] == [whole] * 3


def test_a_completed_task_arrives_by_mail_and_webhook_once(
    small: Small, hooked: Hook, mails: Mailbox, here: Callable[..., None]
) -> None:
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}", mail_from="Ballast <ballast@example.org>")
    _, secret = channel(small, "ben", "webhook", hooked.url)
    channel(small, "ben", "mail", "ben@example.org")
    channel(small, "cleo", "mail", "cleo@example.org")  # not hers
    task = asked(small, "ben")
    assert send() == 0, "nothing to tell before it has ended"
    worked()
    assert send() == 1
    assert send() == 0
    ((headers, _),) = hooked.got
    said = verified(secret, hooked.got[0])
    done = tasks.task_of(small.user("ben"), task)
    assert said["type"] == "task.completed"
    assert said["data"] == {
        "task_id": str(task), "kind": "add", "title": "Add NOVA (Nova)", "subject": "XNYS:NOVA", "status": "completed",
        "requested_by": "ben", "requested_at": said["data"]["requested_at"], "finished_at": said["data"]["finished_at"],
        "message": "XNYS:NOVA was added", "url": f"https://ballast.example.org/tasks?task={task}",
    }  # fmt: skip
    assert done.finished_at is not None
    assert said["data"]["finished_at"] == done.finished_at.isoformat(timespec="microseconds")
    assert headers["content-type"] == "application/json"
    ((notice,),) = rows(
        small, "SELECT notice_id FROM notices JOIN notice_channels USING (channel_id) WHERE kind = 'webhook'"
    )
    assert headers["webhook-id"] == str(notice)
    (mail,) = mails.got
    assert (mail["To"], mail["From"]) == ("ben@example.org", "Ballast <ballast@example.org>")
    assert mail["Subject"] == "Ballast: Add NOVA (Nova): completed"
    text = mail.get_content()
    assert f"https://ballast.example.org/tasks?task={task}" in text
    assert "XNYS:NOVA was added." in text
    assert rows(small, "SELECT status, attempts FROM notices") == [("sent", 1)] * 2
    with pytest.raises(AssertionError):
        verified(secret, (headers, hooked.got[0][1] + b" "))


def test_a_failed_task_says_what_would_be_right(
    small: Small, hooked: Hook, mails: Mailbox, here: Callable[..., None]
) -> None:
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    _, secret = channel(small, "anna", "webhook", hooked.url, scope="all")
    channel(small, "ben", "mail", "ben@example.org")
    plan = master.plan_add(small.user("ben"), NEW)
    with small.database.owner() as c:
        c.execute(
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('NOVA', 'XNYS', 'x', 'Other', 'USD')"
        )
    tasks.request(small.user("ben"), plan, {})
    worked()
    send()
    said = verified(secret, hooked.got[0])
    assert said["type"] == "task.failed"
    assert said["data"]["error"]["class"] == "DuplicateSymbol"
    assert said["data"]["error"]["field"] == "symbol"
    assert mails.got[0]["Subject"] == "Ballast: Add NOVA (Nova): failed"
    assert "Nothing was changed." in mails.got[0].get_content()


def test_what_was_not_asked_for_is_not_told(small: Small, hooked: Hook) -> None:
    number, _ = channel(small, "ben", "webhook", hooked.url, "failed")
    asked(small, "ben")
    worked()
    assert rows(small, "SELECT count(*) FROM notices") == [(0,)]
    database.change(small.user("ben"), number, events=["completed"])
    database.change(small.user("ben"), number, active=False)
    asked(small, "ben", symbol="PAUSE")
    worked()
    assert send() == 0
    database.change(small.user("ben"), number, active=True)
    asked(small, "ben", symbol="AGAIN")
    worked()
    send()
    assert [json.loads(b)["data"]["subject"] for _, b in hooked.got] == ["XNYS:AGAIN"]


def test_a_waiting_task_is_told_to_who_may_decide_and_never_to_who_asked(small: Small, hooked: Hook) -> None:
    """Also where somebody may approve and asks, and whatever the scope."""
    for who, scope in (("anna", "all"), ("ben", "mine"), ("cleo", "mine")):
        channel(small, who, "webhook", f"{hooked.url}&who={who}", "waiting", "decided", scope=scope)

    def told(query: str) -> list[tuple[str, str]]:
        return rows(small, "SELECT u.username, n.event FROM notices n JOIN notice_channels c USING (channel_id) JOIN users u USING (user_id) "
                    f"WHERE {query} ORDER BY 2, 1")  # fmt: skip

    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"], "approve": "admin"})
    first = asked(small, "ben")
    assert told("true") == [("anna", "waiting")]
    tasks.decide(small.user("anna"), first, False, "not this year")
    assert told("event <> 'waiting'") == [("ben", "rejected")], "not to who decided"
    tasks.set_policy(small.user("anna"), {"approve": "analyst"})
    second = asked(small, "ben", symbol="TWO")
    assert told(f"task_id = '{second}'") == [("anna", "waiting"), ("cleo", "waiting")]
    tasks.decide(small.user("cleo"), second, True)
    assert told(f"task_id = '{second}' AND event = 'approved'") == [("anna", "approved"), ("ben", "approved")]
    third = asked(small, "anna", symbol="THREE")
    assert told(f"task_id = '{third}'") == [("ben", "waiting"), ("cleo", "waiting")]
    with small.database.owner() as c:
        c.execute("UPDATE users SET disabled_at = now() WHERE username = 'cleo'")
    fourth = asked(small, "ben", symbol="FOUR")
    assert told(f"task_id = '{fourth}'") == [("anna", "waiting")]
    tasks.cancel(small.user("anna"), fourth)
    assert told(f"task_id = '{fourth}' AND event = 'cancelled'") == [("ben", "cancelled")]
    hooked.got.clear()
    send()
    assert {json.loads(b)["type"] for _, b in hooked.got} == {
        "task.waiting",
        "task.rejected",
        "task.approved",
        "task.cancelled",
    }
    assert not [h for h, _ in hooked.got if "cleo" in h["host"]]


def test_who_is_no_admin_any_more_hears_of_nobody_elses_tasks(small: Small, hooked: Hook) -> None:
    channel(small, "anna", "webhook", hooked.url, scope="all")
    with small.database.owner() as c:
        c.execute("UPDATE users SET role = 'analyst' WHERE username = 'anna'")
    asked(small, "ben")
    worked()
    assert rows(small, "SELECT count(*) FROM notices") == [(0,)]
    with pytest.raises(AccessDenied):
        channel(small, "anna", "webhook", hooked.url + "2", scope="all")


def test_a_task_and_its_notice_are_one_transaction(small: Small, hooked: Hook) -> None:
    channel(small, "ben", "webhook", hooked.url, "completed")
    task = asked(small, "ben")
    change = "UPDATE tasks SET status = 'completed', finished_at = now() WHERE task_id = %s"
    with engine.owner() as c:
        c.execute(change, (task,))
        assert c.execute("SELECT count(*) FROM notices").fetchone() == (1,)
        c.rollback()
    assert rows(small, "SELECT count(*) FROM notices") == [(0,)]
    with engine.owner() as c:  # whatever happens to the task afterwards, one event is told once
        c.execute(change, (task,))
        c.execute("UPDATE tasks SET status = 'running', finished_at = NULL WHERE task_id = %s", (task,))
        c.execute(change, (task,))
    assert rows(small, "SELECT event FROM notices") == [("completed",)]


# --- when it does not arrive -------------------------------------------------------------------


def test_a_receiver_that_fails_is_tried_again_then_given_up_and_sent_again_by_an_admin(
    small: Small, hooked: Hook, at_once: None
) -> None:
    _, secret = channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    hooked.status = 500
    assert send() == notices.ATTEMPTS == 6
    assert len(hooked.got) == 6
    assert len({h["webhook-id"] for h, _ in hooked.got}) == 1
    assert len({b for _, b in hooked.got}) == 1
    for got in hooked.got:
        verified(secret, got)
    (dead,) = database.notices(small.user("anna"), "dead")
    assert (dead.owner, dead.attempts, dead.last_error) == ("ben", 6, "answered 500")
    (mine,) = database.channels(small.user("ben"))
    assert mine.fails
    assert mine.last_error == "answered 500"
    hooked.status = 200
    assert send() == 0
    with pytest.raises(database.NoSuchNotice):
        database.retry(small.user("cleo"), dead.notice_id)
    assert database.retry(small.user("anna"), dead.notice_id).status == "pending"
    send()
    assert database.notice(small.user("ben"), dead.notice_id).status == "sent"
    assert hooked.got[-1][0]["webhook-id"] == hooked.got[0][0]["webhook-id"]
    (mine,) = database.channels(small.user("ben"))
    assert not mine.fails


def test_the_waits_double(small: Small, hooked: Hook) -> None:
    channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    hooked.status = 503
    for n in range(5):
        assert send() == 1
        ((wait,),) = rows(small, "SELECT extract(epoch FROM next_at - clock_timestamp())::float8 FROM notices")
        assert 0.79 * 60 * 2**n - 2 < wait < 1.21 * 60 * 2**n
        with small.database.owner() as c:
            c.execute("UPDATE notices SET next_at = clock_timestamp()")


def test_gone_turns_the_channel_off(small: Small, hooked: Hook) -> None:
    channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    hooked.status = 410
    assert send() == 1
    (mine,) = database.channels(small.user("ben"))
    assert not mine.active
    assert "410" in mine.last_error
    assert rows(small, "SELECT status, attempts FROM notices") == [("dead", 1)]
    asked(small, "ben", symbol="NEXT")
    worked()
    assert rows(small, "SELECT count(*) FROM notices") == [(1,)]


def test_redirects_are_not_followed(small: Small, hooked: Hook) -> None:
    channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    hooked.status = 307
    send()
    assert len(hooked.got) == 1
    assert rows(small, "SELECT status FROM notices") == [("pending",)]
    assert "redirects are not followed" in rows(small, "SELECT last_error FROM notices")[0][0]


def test_a_receiver_that_hangs_costs_its_limit_and_holds_up_nobody_else(
    small: Small, hooked: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that keeps dripping: the limit is for the whole answer."""
    monkeypatch.setattr(notices, "LIMIT", 1.0)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip() -> None:
            client, _ = slow.accept()
            with client:
                client.sendall(b"HTTP/1.1 200 OK\r\n")
                try:
                    while not ended.wait(0.2):
                        client.sendall(b"X-More: x\r\n")
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        channel(small, "ben", "webhook", f"http://127.0.0.1:{slow.getsockname()[1]}/")
        channel(small, "ben", "webhook", hooked.url)
        asked(small, "ben")
        worked()
        began = time.monotonic()
        assert send() == 1
        assert time.monotonic() - began < 5
        ended.set()
    assert len(hooked.got) == 1
    assert sorted(rows(small, "SELECT status, last_error FROM notices")) == [
        ("pending", "no answer within 1 seconds"),
        ("sent", ""),
    ]


def test_mail_waits_for_its_server(small: Small, mails: Mailbox, here: Callable[..., None], at_once: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here(smtp_url=f"smtp://127.0.0.1:{port}")
    channel(small, "ben", "mail", "ben@example.org")
    asked(small, "ben")
    worked()
    assert notices.work()
    assert rows(small, "SELECT status, attempts FROM notices") == [("pending", 1)]
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    mails.refuse = "450 try later"
    assert notices.work()
    assert rows(small, "SELECT status, attempts, last_error FROM notices") == [
        ("pending", 2, "mail server: 450 try later")
    ]
    mails.refuse = ""
    send()
    assert len(mails.got) == 1
    assert rows(small, "SELECT status, attempts FROM notices") == [("sent", 3)]


def test_mail_goes_by_tls_where_it_is_offered_and_no_password_before(
    small: Small, here: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", tmp_path / "own.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True, check=False)  # fmt: skip
    if made.returncode:
        pytest.skip("there is no openssl")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "own.pem")
    with mailbox(tls) as its:
        here(smtp_url=f"smtp://user:test%40word@localhost:{its.port}")
        channel(small, "ben", "mail", "ben@example.org")
        asked(small, "ben")
        worked()
        assert notices.work()
        assert its.got == [], "a certificate that nobody vouches for"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        send()
        assert len(its.got) == 1
        said = [(secure, line.split(" ")[0].upper()) for secure, line in its.said]
        assert (True, "AUTH") in said
        assert not [1 for secure, word in said if not secure and word not in ("EHLO", "STARTTLS")]
        signed_in = next(line for _, line in its.said if line.startswith("AUTH PLAIN"))
        assert base64.b64decode(signed_in.split(" ")[2]) == b"\0user\0test@word"


def test_nothing_but_a_code_is_mailed_until_the_address_is_confirmed(
    small: Small, mails: Mailbox, here: Callable[..., None]
) -> None:
    """Whoever does not read the mail at an address cannot have anything sent there, and guessing ends after ten codes."""
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    ben, api = small.user("ben"), small.client("ben")
    made = api.post(
        "/v1/notification-channels", json={"kind": "mail", "target": "boss@example.org", "events": ["completed"]}
    )
    assert (made.status_code, made.json()["confirmed"], made.json()["secret"]) == (201, False, None)
    path = f"/v1/notification-channels/{made.json()['channel_id']}/confirm"
    asked(small, "ben", symbol="ONE")
    worked()
    send()
    (mail,) = mails.got
    assert mail["Subject"] == "Ballast: Confirm your address"
    code = code_in(mail.get_content())
    for _ in range(10):
        wrong = api.post(path, json={"code": "00000000"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "code")
    assert "new code" in api.post(path, json={"code": code}).json()["expected"], "ten guesses, and this code is spent"
    assert small.client("cleo").post(path, json={"code": code}).status_code == 404
    database.test(ben, UUID(made.json()["channel_id"]))
    send()
    newer = code_in(mails.got[-1].get_content())
    assert newer != code
    assert api.post(path, json={"code": newer}).json()["confirmed"]
    asked(small, "ben", symbol="TWO")
    worked()
    send()
    assert [m["Subject"].split(":")[1].strip() for m in mails.got[2:]] == ["Add TWO (Nova)"]
    trail = small.client("anna").get("/v1/audit", params={"entity": "notice_channels"}).text
    assert code not in trail
    assert newer not in trail


@pytest.mark.parametrize("goodbye", ["421 too busy", None])
def test_a_mail_that_was_accepted_is_not_sent_again_whatever_is_said_to_the_goodbye(
    small: Small,
    mails: Mailbox,
    here: Callable[..., None],
    at_once: None,
    monkeypatch: pytest.MonkeyPatch,
    goodbye: str | None,
) -> None:
    monkeypatch.setattr(notices, "LIMIT", 1.0)
    mails.goodbye = goodbye
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    channel(small, "ben", "mail", "ben@example.org")
    asked(small, "ben")
    worked()
    send()
    assert len(mails.got) == 1
    assert rows(small, "SELECT status, attempts FROM notices") == [("sent", 1)]


def test_a_mail_server_that_drags_on_costs_its_limit(
    small: Small, mails: Mailbox, here: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer comes in time, a line at a time, and it never ends: others wait no longer than the limit."""
    monkeypatch.setattr(notices, "MAIL_LIMIT", 1.0)
    mails.drags = 0.3
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    channel(small, "ben", "mail", "ben@example.org")
    asked(small, "ben")
    worked()
    began = time.monotonic()
    assert notices.work()
    assert time.monotonic() - began < 5
    assert rows(small, "SELECT status, attempts FROM notices") == [("pending", 1)]


def test_a_mail_cannot_be_led_elsewhere_by_what_a_task_is_called(
    small: Small, mails: Mailbox, here: Callable[..., None]
) -> None:
    here(smtp_url=f"smtp://127.0.0.1:{mails.port}")
    channel(small, "ben", "mail", "ben@example.org")
    task = asked(small, "ben")
    with engine.owner() as c:
        c.execute(
            "UPDATE tasks SET title = %s WHERE task_id = %s",
            ("Add X\r\nBcc: eve@example.org\r\n\r\n.\r\n{message}", task),
        )
    worked()
    send()
    (mail,) = mails.got
    assert mail["Bcc"] is None
    assert [line.upper() for _, line in mails.said if line.upper().startswith("RCPT")] == ["RCPT TO:<BEN@EXAMPLE.ORG>"]


SENDS = """
import os, signal
from db import notices as database
from db import engine
from dataclasses import replace
from settings import settings
from jobs import notices
engine.point_at(os.environ["HERE"])
notices.settings = replace(settings, webhook_private=True, public_url="https://ballast.example.org")
def killed(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
database.sent = killed
notices.work()
"""


def test_killed_between_sending_and_saying_so_it_is_sent_again_under_the_same_number(
    small: Small, hooked: Hook
) -> None:
    _, secret = channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    environment = {**os.environ, "HERE": small.database.conninfo("ballast_jobs")}
    ended = subprocess.run([sys.executable, "-c", SENDS], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-800:]
    assert len(hooked.got) == 1
    assert send() == 0, "until its lease is over it may still be under way"
    with small.database.owner() as c:
        c.execute("UPDATE notices SET next_at = clock_timestamp()")  # the lease is over
    assert send() == 1
    first, second = (h["webhook-id"] for h, _ in hooked.got)
    assert first == second
    assert verified(secret, hooked.got[0]) == verified(secret, hooked.got[1])
    assert rows(small, "SELECT status, attempts FROM notices") == [("sent", 2)]


def test_two_processes_send_each_notice_once(small: Small, hooked: Hook) -> None:
    for n in range(6):
        channel(small, "ben", "webhook", f"{hooked.url}&n={n}")
    for n in range(4):
        asked(small, "ben", symbol=f"NO{n}")
    worked()
    threads = [threading.Thread(target=send) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    send()
    assert len(hooked.got) == len({h["webhook-id"] for h, _ in hooked.got}) == 24
    assert rows(small, "SELECT DISTINCT status, attempts FROM notices") == [("sent", 1)]


def test_the_scheduled_process_hears_of_it_at_once(small: Small, hooked: Hook) -> None:
    (listener,) = [each for each in timetable.LISTENERS if each.name == "notices"]
    channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    with listening([replace(listener, every=600.0)], Worker(threading.Event())):
        time.sleep(0.5)
        worked()
        deadline = time.monotonic() + 5
        while not hooked.got and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(hooked.got) == 1


# --- where nothing may be sent -----------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "::", "::1", "fe80::1%eth0",
     "fd00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"],
)  # fmt: skip
def test_addresses_of_ones_own_network_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_let_through(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("kind", "target"),
    [("webhook", "ftp://example.org/"), ("webhook", "https://anna:hush@example.org/"), ("webhook", "https://example.org:0/"),
     ("webhook", "http://127.0.0.1/"), ("webhook", "http://[::1]:80/"), ("webhook", "http://localhost:5432/"), ("webhook", "https://a b.org"),
     ("webhook", "https://example.org/\r\nX: y"), ("mail", "anna"), ("mail", "anna@example.org, eve@example.org"), ("mail", "a@b\nBcc: c@d"),
     ("pigeon", "roof")],
)  # fmt: skip
def test_a_bad_target_is_refused_by_its_field(kind: str, target: str) -> None:
    with pytest.raises(BadChannel) as caught:
        checked_target(kind, target, private=False)
    assert caught.value.field == ("kind" if kind == "pigeon" else "target")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "internal.example.org", "mixed.example.org"]
)
def test_no_webhook_reaches_this_machine_unless_it_is_allowed(
    small: Small, hooked: Hook, here: Callable[..., None], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Whatever the host is called: what it is looked up to decides, at the time of sending."""
    channel(small, "ben", "webhook", hooked.url.replace("127.0.0.1", host))
    here(webhook_private=False)
    looked_up = socket.getaddrinfo

    def named(name: Any, port: Any, **how: Any) -> Any:
        if str(name) == "internal.example.org":
            return looked_up("127.0.0.1", port, **how)
        if str(name) == "mixed.example.org":  # one public address does not make the other one right
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port)),
                *looked_up("127.0.0.1", port, **how),
            ]
        if str(name) in ("127.1", "2130706433"):  # the resolver reads these as numbers
            return looked_up("127.0.0.1", port, **how)
        return looked_up(name, port, **how)

    monkeypatch.setattr(socket, "getaddrinfo", named)
    asked(small, "ben")
    worked()
    assert send() == 1
    assert hooked.got == []
    assert "your own network" in rows(small, "SELECT last_error FROM notices")[0][0]


def test_the_address_that_was_checked_is_the_one_connected_to(
    small: Small, hooked: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that changes its mind between the two looks: there is only one look."""
    looked_up, asked_for = socket.getaddrinfo, []

    def named(name: Any, *arguments: Any, **how: Any) -> Any:
        if str(name) == "hooks.example.org":
            asked_for.append(name)
            assert len(asked_for) == 1, "looked up again"
            return looked_up("127.0.0.1", *arguments, **how)
        return looked_up(name, *arguments, **how)

    monkeypatch.setattr(socket, "getaddrinfo", named)
    channel(small, "ben", "webhook", hooked.url.replace("127.0.0.1", "hooks.example.org"))
    asked(small, "ben")
    worked()
    send()
    assert hooked.got[0][0]["host"].startswith("hooks.example.org:")


# --- whose channels ----------------------------------------------------------------------------


def test_a_stranger_sees_and_changes_nothing_of_anothers_channels(small: Small, hooked: Hook) -> None:
    number, _ = channel(small, "anna", "webhook", hooked.url, "completed", "waiting")
    ben = small.user("ben")
    asked(small, "anna")
    worked()
    assert database.channels(ben) == []
    assert database.notices(ben) == []
    for change in (
        lambda: database.channel(ben, number),
        lambda: database.change(ben, number, active=False),
        lambda: database.remove(ben, number),
        lambda: database.test(ben, number),
    ):
        with pytest.raises(database.NoSuchChannel):
            change()
    c = small.database.web(small.ben)
    assert c.execute("SELECT count(*) FROM notice_channels").fetchone() == (0,)
    assert c.execute("UPDATE notice_channels SET active = false").rowcount == 0
    assert c.execute("DELETE FROM notice_channels").rowcount == 0
    c.rollback()
    for wrong in (
        "INSERT INTO notice_channels (user_id, kind, target, events, scope) VALUES (app_user(), 'mail', 'a@b.c', '{failed}', 'mine')",
        "UPDATE notice_channels SET target = 'x'",
        "UPDATE notice_channels SET user_id = app_user()",
        "INSERT INTO notices (channel_id, event, payload) SELECT channel_id, 'test', '{}' FROM notice_channels",
        "UPDATE notices SET status = 'pending'",
        "DELETE FROM notices",
        "SELECT secret FROM notice_channels",
        "SELECT * FROM notice_channels",
    ):
        for who in (small.ben, small.anna):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                small.database.web(who).execute(wrong)
    assert database.channel(small.user("anna"), number).active


def test_an_admin_sees_all_channels_and_no_secret_and_changes_only_the_own(small: Small, hooked: Hook) -> None:
    number, secret = channel(small, "ben", "webhook", hooked.url)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    c = small.database.web(small.anna)
    assert c.execute("SELECT target FROM notice_channels").fetchall() == [(hooked.url,)]
    assert c.execute("UPDATE notice_channels SET active = false").rowcount == 0
    assert database.channels(small.user("anna")) == []
    with pytest.raises(database.NoSuchChannel):
        database.remove(small.user("anna"), number)
    with pytest.raises(AccessDenied):
        database.change(small.user("ben"), number, scope="all")
    assert rows(small, "SELECT after ->> 'target' FROM audit_log WHERE entity = 'notice_channels'") == [(hooked.url,)]
    assert rows(
        small,
        "SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%%whsec%%'",
    ) == [(0,)]
    shown = "".join(str(r) for r in (database.channels(small.user("ben")), database.notices(small.user("ben"))))
    assert secret not in shown


def test_nobody_floods_with_tests_or_channels(small: Small, hooked: Hook) -> None:
    number, _ = channel(small, "ben", "webhook", hooked.url)
    ben = small.user("ben")
    for _ in range(20):
        database.test(ben, number)
    with pytest.raises(database.TooMany, match="twenty tests"):
        database.test(ben, number)
    for n in range(19):
        channel(small, "ben", "webhook", f"{hooked.url}&n={n}")
    with pytest.raises(database.TooMany, match="twenty channels"):
        channel(small, "ben", "webhook", f"{hooked.url}&n=99")
    with pytest.raises(BadChannel, match="no channel for yet"):
        channel(small, "anna", "webhook", hooked.url) and channel(small, "anna", "webhook", hooked.url)


def test_nobody_floods_by_adding_and_removing(small: Small, hooked: Hook) -> None:
    for n in range(40):
        number, _ = channel(small, "ben", "webhook", f"{hooked.url}&n={n}")
        database.remove(small.user("ben"), number)
    with pytest.raises(database.TooMany, match="forty new channels"):
        channel(small, "ben", "webhook", hooked.url)
    channel(small, "anna", "webhook", hooked.url)


def test_without_a_mail_server_no_address_is_taken(small: Small) -> None:
    with pytest.raises(BadChannel, match="SMTP_URL"):
        channel(small, "ben", "mail", "ben@example.org")


# --- the API -----------------------------------------------------------------------------------


def test_the_api_adds_changes_tests_and_removes(small: Small, hooked: Hook) -> None:
    ben = small.client("ben")
    made = ben.post(
        "/v1/notification-channels", json={"kind": "webhook", "target": hooked.url, "events": ["failed", "completed"]}
    )
    assert made.status_code == 201, made.text
    number, secret = made.json()["channel_id"], made.json()["secret"]
    (one,) = ben.get("/v1/notification-channels").json()
    assert one["events"] == ["completed", "failed"]
    assert secret not in ben.get("/v1/notification-channels").text
    started = ben.post(f"/v1/notification-channels/{number}/test")
    assert (started.status_code, started.json()["status"]) == (202, "pending")
    send()
    assert verified(secret, hooked.got[0])["type"] == "test"
    assert ben.get(f"/v1/notices/{started.json()['notice_id']}").json()["status"] == "sent"
    changed = ben.patch(f"/v1/notification-channels/{number}", json={"active": False, "events": ["waiting"]})
    assert (changed.json()["active"], changed.json()["events"]) == (False, ["waiting"])
    for body, field in (
        ({"scope": "everything"}, "scope"),
        ({"events": ["births"]}, "events"),
        ({"events": []}, "events"),
    ):
        refused = ben.patch(f"/v1/notification-channels/{number}", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    assert ben.patch(f"/v1/notification-channels/{number}", json={"scope": "all"}).status_code == 403
    bad = ben.post("/v1/notification-channels", json={"kind": "webhook", "target": "gopher://x", "events": ["failed"]})
    assert (bad.status_code, bad.json()["field"], bad.json()["value"]) == (422, "target", "gopher://x")
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        answer = small.client("cleo").request(
            method, f"/v1/notification-channels/{number}{path}", json={} if method == "PATCH" else None
        )
        assert answer.status_code == 404, answer.text
    assert ben.delete(f"/v1/notification-channels/{number}").json()["removed"]
    assert ben.get("/v1/notification-channels").json() == []


def test_the_api_shows_dead_letters_to_admins_and_sends_them_again(small: Small, hooked: Hook, at_once: None) -> None:
    channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    hooked.status = 500
    database.test(
        small.user("ben"), database.channels(small.user("ben"))[0].channel_id
    )  # its owner sees it: no dead letter
    send()
    assert small.client("ben").get("/v1/notices").status_code == 403
    (dead,) = small.client("anna").get("/v1/notices").json()
    assert (dead["status"], dead["owner"], dead["last_error"]) == ("dead", "ben", "answered 500")
    hooked.status = 200
    path = f"/v1/notices/{dead['notice_id']}/retry"
    assert small.client("cleo").post(path).status_code == 404
    assert small.client("anna").post(path).json()["status"] == "pending"
    send()
    assert small.client("anna").get("/v1/notices").json() == []


# --- what is kept ------------------------------------------------------------------------------


def test_only_old_tasks_that_have_ended_are_dropped_and_old_notices(
    small: Small, hooked: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "settings", replace(settings, task_retention_days=30))
    channel(small, "ben", "webhook", hooked.url)
    old, undone, fresh = (asked(small, "ben", symbol=s) for s in ("OLD", "UNDONE", "FRESH"))
    worked()
    send()
    running, waiting = asked(small, "ben", symbol="OPEN"), asked(small, "ben", symbol="WAIT")
    with small.database.owner() as c:
        c.execute("UPDATE tasks SET requested_at = now() - interval '40 days'")
        c.execute(
            "UPDATE tasks SET finished_at = now() - interval '31 days' WHERE finished_at IS NOT NULL AND task_id <> %s",
            (fresh,),
        )
        c.execute(
            "UPDATE tasks SET status = 'running', started_at = now() - interval '40 days' WHERE task_id = %s",
            (running,),
        )
        c.execute("UPDATE tasks SET undoes = %s WHERE task_id = %s", (undone, fresh))
    with engine.jobs() as c:
        detail = housekeeping.clean(datetime.now(UTC))(c)
    assert (detail["tasks"], detail["notices"]) == (1, 0)
    left = {r[0] for r in rows(small, "SELECT task_id FROM tasks")}
    assert left == {undone, fresh, running, waiting}
    assert old not in left
    assert rows(small, "SELECT count(*) FROM notices WHERE task_id = %s", old) == [(0,)]
    with small.database.owner() as c:
        c.execute("UPDATE notices SET created_at = now() - interval '91 days' WHERE task_id = %s", (fresh,))
    with engine.jobs() as c:
        assert housekeeping.clean(datetime.now(UTC))(c)["notices"] == 1


def test_a_removed_channel_takes_its_notices_along(small: Small, hooked: Hook) -> None:
    number, _ = channel(small, "ben", "webhook", hooked.url)
    asked(small, "ben")
    worked()
    database.remove(small.user("ben"), number)
    assert send() == 0
    assert rows(small, "SELECT count(*) FROM notices") == [(0,)]
