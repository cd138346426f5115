"""Splits that the feeds know are booked by one task, in every portfolio of who asks, and taken back by another; by themselves where
that is set. On the real database, by the scheduled process's own code.

BOLT splits 3:1 on the 250th day: Anna holds 25 (250 through 1:2 and 1:5) and 55 of it, Ben 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest
from small import MARK, WORDS, Small, bar_days, drafts, installed, row

from core.book import Action
from core.ledger import LedgerError
from core.plans import Plan, Step
from core.scope import Scope
from db import access, audit, engine, ledger, market, notices, reports, tasks, unbooked
from db.access import INSTALLATION, AccessDenied
from db.unbooked import NothingToBook
from jobs import split_booking
from jobs.run import Worker
from jobs.tasks import work_one
from settings import read as settings_read

DOLLARS, MIXED, BEN = f"{MARK} dollars", f"{MARK} mixed", "Ben's own"


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        access.share(made.user("anna"), made.portfolios[DOLLARS], "vera", "write")
        announce(made, "BOLT", 250, 3)
        yield made


def announce(small: Small, symbol: str, day: int, ratio: str | int) -> None:
    with small.database.jobs() as c:
        market.upsert_actions(
            c, [Action(small.securities[symbol], "split", bar_days(small.now)[day], ratio=Fraction(ratio))], "csv"
        )


def ex(small: Small, day: int = 250) -> date:
    return bar_days(small.now)[day]


def worked() -> int:
    worker, n = Worker(Event()), 0
    while work_one(worker):
        n += 1
    return n


def plan(small: Small, who: str) -> Plan:
    return unbooked.plan_book(small.user(who), small.now.date())


def asked(small: Small, who: str, made: Plan, **more: Any) -> UUID:
    return tasks.request(small.user(who), made, {"splits": "all"}, **more)


def units(small: Small, who: str, portfolio: str, symbol: str = "BOLT") -> Decimal:
    table = reports.answer(small.user(who), "holdings", Scope(small.portfolios[portfolio]))
    return next(r["units"] for r in table.records() if r["symbol"] == symbol)


def missing(small: Small, who: str, portfolio: str) -> list[str]:
    return [
        str(m)
        for m in reports.view(small.user(who), Scope(small.portfolios[portfolio])).valuation.missing
        if "split" in str(m)
    ]


def splits(small: Small, portfolio: str) -> list[Any]:
    with small.database.owner() as c:
        return c.execute(
            "SELECT traded_on, ratio_new / ratio_old, source, recorded_by, idempotency_key FROM transactions t WHERE portfolio_id = %s AND security_id = %s AND kind = 'split' "
            "AND traded_on >= %s AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)",
            (small.portfolios[portfolio], small.securities["BOLT"], ex(small)),
        ).fetchall()  # fmt: skip


# --- one task, every portfolio of who asks --------------------------------------------------------------------------------


def test_a_split_is_booked_in_every_portfolio_of_who_asks_and_nowhere_else(small: Small) -> None:
    assert missing(small, "anna", DOLLARS)
    assert missing(small, "ben", BEN)
    made = plan(small, "anna")
    assert [s.name for s in made.steps] == [
        f"Book in {n}" for n in sorted((DOLLARS, MIXED), key=small.portfolios.__getitem__)
    ]
    entries = {r["portfolio"]: r for s in made.steps for r in s.rows}
    assert {n: (r["units"], r["units_after"], r["ratio"], r["traded_on"]) for n, r in entries.items()} == {
        DOLLARS: ("25", "75", "3:1", ex(small).isoformat()),
        MIXED: ("55", "165", "3:1", ex(small).isoformat()),
    }
    assert splits(small, DOLLARS) == [], "a plan writes nothing"
    number = asked(small, "anna", made)
    assert worked() == 1
    done = tasks.task_of(small.user("anna"), number)
    assert done.status == "completed", done.error
    assert done.title == f"Book the 3:1 split of XNYS:BOLT, ex {ex(small)}"
    assert [s.name for s in done.steps] == [s.name for s in made.steps]
    assert (units(small, "anna", DOLLARS), units(small, "anna", MIXED), units(small, "ben", BEN)) == (75, 165, 3)
    (booked,) = splits(small, DOLLARS)
    assert booked[:4] == (ex(small), Decimal(3), "feed", small.anna)
    assert missing(small, "anna", DOLLARS) == missing(small, "anna", MIXED) == []
    assert missing(small, "ben", BEN), "another owner's portfolio is untouched"
    with pytest.raises(NothingToBook):
        plan(small, "anna")


def test_it_is_undone_by_reversals_and_can_be_booked_again(small: Small) -> None:
    number = asked(small, "anna", plan(small, "anna"))
    worked()
    back = unbooked.plan_undo(small.user("anna"), number)
    assert {(r["portfolio"], r["kind"]) for s in back.steps for r in s.rows} == {
        (DOLLARS, "reversal"),
        (MIXED, "reversal"),
    }
    assert splits(small, DOLLARS), "looking at the way back writes nothing"
    undo = asked(small, "anna", back, undoes=number)
    worked()
    assert tasks.task_of(small.user("anna"), undo).status == "completed"
    assert splits(small, DOLLARS) == splits(small, MIXED) == []
    assert missing(small, "anna", DOLLARS)
    assert unbooked.is_undone(small.user("anna"), number) == undo
    with pytest.raises(NothingToBook, match="left to take back"):
        unbooked.plan_undo(small.user("anna"), number)
    asked(small, "anna", plan(small, "anna"))
    worked()
    assert units(small, "anna", DOLLARS) == 75


def test_one_split_of_several_is_chosen(small: Small) -> None:
    announce(small, "FUND", 260, 2)
    chosen = {(small.securities["FUND"], ex(small, 260))}
    made = unbooked.plan_book(small.user("anna"), small.now.date(), chosen)
    assert made.subject == "XNYS:FUND"
    assert {r["listing"] for r in (row for s in plan(small, "anna").steps for row in s.rows)} == {
        "XNYS:BOLT",
        "XNYS:FUND",
    }


def test_two_splits_of_one_security_are_booked_in_their_order(small: Small) -> None:
    announce(small, "BOLT", 270, "0.5")
    made = plan(small, "ben")
    assert [(r["units"], r["units_after"]) for r in made.steps[0].rows] == [("3", "9"), ("9", "4.5")]
    assert any("what the broker pays in cash for a fraction is booked as a sale" in n for n in made.notes)
    asked(small, "ben", made)
    worked()
    assert units(small, "ben", BEN) == Decimal("4.5")


# --- who may --------------------------------------------------------------------------------------------------------------


def test_a_viewer_may_not_whatever_was_granted(small: Small) -> None:
    with pytest.raises(NothingToBook, match=f"{DOLLARS} lacks the 3:1 split"):
        plan(small, "vera")
    with pytest.raises(AccessDenied):
        asked(small, "vera", plan(small, "anna"))
    with pytest.raises(AccessDenied, match="may not book in one of these portfolios"):
        asked(small, "ben", plan(small, "anna"))
    assert worked() == 0


def test_who_may_look_is_told_where_else_it_is_lacking(small: Small) -> None:
    access.share(small.user("anna"), small.portfolios[MIXED], "ben", "read")
    made = plan(small, "ben")
    assert [s.name for s in made.steps] == [f"Book in {BEN}"]
    assert [n for n in made.notes if MIXED in n] == [
        f"{MIXED} lacks the {made.steps[0].rows[0]['ratio']} split of {ex(small).day} {ex(small).strftime('%B %Y')}, too: you may look at it, not book in it."
    ]
    assert not any(DOLLARS in n for n in made.notes)


def test_strangers_see_that_something_was_asked_and_nothing_of_it(small: Small) -> None:
    number = asked(small, "anna", plan(small, "anna"))
    worked()
    ben = small.user("ben")
    seen = tasks.task_of(ben, number)
    told = json.dumps([seen.title, seen.subject, seen.message, seen.about, seen.result, [s.name for s in seen.steps],
                       tasks.plan_of(ben, number).as_json(), str(tasks.tasks(ben))], default=str)  # fmt: skip
    assert seen.title == "Book splits"
    assert not any(word in told for word in (MARK, "BOLT", "3:1", str(small.portfolios[DOLLARS])))
    trail = audit.rows(ben, audit.Wanted(), limit=500).rows
    assert not any(word in str(r) for r in trail for word in (MARK, str(small.portfolios[DOLLARS])))
    with small.database.web(small.ben) as c:
        assert c.execute("SELECT count(*) FROM task_entries").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute("INSERT INTO task_entries SELECT * FROM task_entries")
    mine = audit.rows(small.user("anna"), audit.Wanted(entity="task_entries"), limit=50).rows
    assert len(mine) >= 2, "the trail of a portfolio has the entries that a task wrote there"


def test_who_may_not_write_any_more_when_the_task_begins_books_nothing(small: Small) -> None:
    access.share(small.user("anna"), small.portfolios[MIXED], "ben", "write")
    made = plan(small, "ben")
    assert len(made.steps) == 2
    number = asked(small, "ben", made)
    access.share(small.user("anna"), small.portfolios[MIXED], "ben", "read")
    worked()
    failed = tasks.task_of(small.user("ben"), number)
    assert (failed.status, (failed.error or {})["class"]) == ("failed", "PlanOutdated")
    assert MARK not in str(failed.error)
    assert splits(small, BEN) == splits(small, MIXED) == [], "all of it or nothing"


# --- what was confirmed must still hold -----------------------------------------------------------------------------------


def test_another_holding_by_then_outdates_the_plan(small: Small) -> None:
    number = asked(small, "ben", plan(small, "ben"))
    more = [row(ex(small, 100), "buy", "BOLT", quantity="2", price="45")]
    ledger.append(small.ben, small.portfolios[BEN], drafts(small, small.ben, more, "USD"), small.now.date())
    worked()
    failed = tasks.task_of(small.user("ben"), number)
    assert (failed.status, (failed.error or {})["class"]) == ("failed", "PlanOutdated")
    assert "ask again" in str(failed.error)
    assert splits(small, BEN) == []
    again = plan(small, "ben")
    assert [(r["units"], r["units_after"]) for r in again.steps[0].rows] == [("5", "15")]
    asked(small, "ben", again)
    worked()
    assert units(small, "ben", BEN) == 15


def test_a_split_that_somebody_booked_meanwhile_is_not_booked_twice(small: Small) -> None:
    first, second = asked(small, "ben", plan(small, "ben")), asked(small, "ben", plan(small, "ben"))
    worked()
    assert [tasks.task_of(small.user("ben"), n).status for n in (first, second)] == ["completed", "failed"]
    assert len(splits(small, BEN)) == 1
    assert units(small, "ben", BEN) == 9


def test_a_plan_that_came_around_the_functions_that_make_plans_writes_nothing(small: Small) -> None:
    """The ledger is not written by an edit, and no ratio is booked but the feed's."""
    (step,) = plan(small, "ben").steps
    edit = Plan("edit", "An edit", "XNYS:BOLT", (step,), security_id=small.securities["BOLT"])
    other = ({**step.rows[0], "ratio": "30:1", "units_after": "90"},)
    forged = Plan("book_splits", "Forged", "XNYS:BOLT", (Step(step.name, step.table, step.action, other),))
    for made, error in ((edit, "InvalidField"), (forged, "PlanOutdated")):
        number = asked(small, "ben", made)
        worked()
        failed = tasks.task_of(small.user("ben"), number)
        assert (failed.status, (failed.error or {})["class"]) == ("failed", error)
        assert splits(small, BEN) == []


def test_later_sales_in_new_units_stand_in_the_way_of_the_undo(small: Small) -> None:
    number = asked(small, "ben", plan(small, "ben"))
    worked()
    sale = [row(ex(small, 260), "sell", "BOLT", quantity="8", price="20")]
    ledger.append(small.ben, small.portfolios[BEN], drafts(small, small.ben, sale, "USD"), small.now.date())
    with pytest.raises(LedgerError, match="later sales need its units"):
        unbooked.plan_undo(small.user("ben"), number)


def test_the_same_key_asks_once(small: Small) -> None:
    made = plan(small, "ben")
    first = asked(small, "ben", made, key="k1")
    assert asked(small, "ben", made, key="k1") == first
    with pytest.raises(tasks.KeyReused):
        tasks.request(small.user("ben"), made, {"splits": "another"}, key="k1")


def test_past_values_are_made_anew_once_it_is_booked(small: Small) -> None:
    """Booked on its ex date, fifty days back: stored closes since then are of three times the units."""
    from db import snapshots

    asked(small, "ben", plan(small, "ben"))
    worked()
    with small.database.jobs() as c:
        assert c.execute(
            "SELECT restate_from FROM portfolios WHERE portfolio_id = %s", (small.portfolios[BEN],)
        ).fetchone() == (ex(small),)
        snapshots.restate(c, datetime.now(UTC), 0.98)
        units_of = c.execute(
            "SELECT restate_from FROM portfolios WHERE portfolio_id = %s", (small.portfolios[BEN],)
        ).fetchone()
    assert units_of == (None,)


# --- the report over all portfolios ---------------------------------------------------------------------------------------


def test_the_report_over_all_portfolios_says_which_may_be_booked(small: Small) -> None:
    access.share(small.user("anna"), small.portfolios[MIXED], "ben", "read")
    table = reports.answer(small.user("ben"), "unbooked_everywhere")
    found = [
        (r["portfolio"], r["symbol"], r["action"], r["units"], r["after"], r["may_book"])
        for r in table.records()
        if r["symbol"] == "BOLT"
    ]
    assert sorted(found) == [(BEN, "BOLT", "split", 3, 9, True), (MIXED, "BOLT", "split", 55, 165, False)]
    assert any(r["action"] == "dividend" for r in table.records()), "the dividend of ACME on 270 units was never booked"


# --- by itself ------------------------------------------------------------------------------------------------------------


def scheduled(at: datetime | None = None) -> dict[str, Any]:
    """One run of the job, then all that it asked for."""
    write = split_booking.ask(at or datetime.now(UTC))
    with engine.jobs() as c:
        detail = write(c)
    worked()
    return detail


def test_it_is_off_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not settings_read({}).book_splits
    assert split_booking.due(datetime.now(UTC)) is None
    monkeypatch.setattr(split_booking, "settings", settings_read({"BOOK_SPLITS": "on"}))
    assert split_booking.due(datetime(2026, 1, 5, 12, 34, tzinfo=UTC)) == datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def test_the_installation_books_once_and_never_over_what_people_did(small: Small) -> None:
    asked(small, "ben", plan(small, "ben"))
    worked()
    assert scheduled() == {"asked": 2}
    assert [(e[0], e[1], e[3]) for e in splits(small, DOLLARS)] == [(ex(small), Decimal(3), INSTALLATION)]
    assert splits(small, BEN)[0][3] == small.ben, "a manual one stands"
    assert (units(small, "anna", DOLLARS), units(small, "anna", MIXED), units(small, "ben", BEN)) == (75, 165, 9)
    assert scheduled() == scheduled() == {"asked": 0}, "never twice"


def test_what_somebody_took_back_is_not_booked_by_itself_again(small: Small) -> None:
    scheduled()
    anna = small.user("anna")
    done = [t for t in tasks.tasks(anna, kind="book_splits") if "BOLT" in t.title]
    assert {t.requester for t in done} == {"installation"}
    assert len(done) == 2, "a task for each portfolio of hers: who may see one need not see the other"
    asked(small, "anna", unbooked.plan_undo(anna, done[0].task_id), undoes=done[0].task_id)
    worked()
    assert scheduled() == {"asked": 0}
    assert missing(small, "anna", DOLLARS) or missing(small, "anna", MIXED), "it is still said"


def test_while_a_task_is_open_nothing_more_is_asked(small: Small) -> None:
    asked(small, "ben", plan(small, "ben"))
    write = split_booking.ask(datetime.now(UTC))
    with engine.jobs() as c:
        assert write(c) == {"asked": 2}, "Anna's two; Ben's is being booked"
        assert write(c) == {"asked": 0}


def test_an_unusual_ratio_is_left_to_people(small: Small) -> None:
    announce(small, "FUND", 260, "1.281")
    scheduled()
    assert any("1281:1000" in m for m in missing(small, "anna", DOLLARS))
    made = plan(small, "anna")
    assert any("1281:1000 is no usual ratio" in n for n in made.notes)


def test_owners_are_told_by_a_notice_of_what_was_booked_for_them(small: Small) -> None:
    for who in ("ben", "anna"):
        notices.add(small.user(who), "webhook", f"https://example.org/{who}", ["completed"])
    scheduled()
    with small.database.jobs() as c:
        due = {d.target: [] for d in notices.claim(c, 50, timedelta(0))}
        for _ in range(3):  # one of each channel at a time
            for d in notices.claim(c, 50, timedelta(0)):
                due[d.target].append(d.payload["title"])
                notices.sent(c, d)
    said = {name: f"Book the 3:1 split of XNYS:BOLT, ex {ex(small)} in {name}" for name in (DOLLARS, MIXED, BEN)}
    assert due["https://example.org/ben"] == [said[BEN]]
    assert sorted(due["https://example.org/anna"]) == [said[DOLLARS], said[MIXED]]
    seen = {n.title for n in notices.notices(small.user("anna")) if n.owner == "ben"}
    assert seen == {"Book splits"}, "an admin sees that a notice went out, not what others hold"


def test_nobody_signs_in_as_the_installation_nor_shares_with_it(small: Small) -> None:
    with pytest.raises(access.SignInRefused):
        access.sign_in("installation", "")
    assert "installation" not in {u[1] for u in access.users(small.user("anna"))}
    with pytest.raises(ValueError, match="nobody has this user name"):
        access.share(small.user("anna"), small.portfolios[DOLLARS], "installation", "read")


# --- by the API -----------------------------------------------------------------------------------------------------------


def test_the_api_lists_plans_books_and_takes_back(small: Small) -> None:
    anna = small.client("anna")
    (found,) = [a for a in anna.get("/v1/corporate-actions/unbooked").json() if a["kind"] == "split"]
    assert (found["symbol"], found["ratio"], found["ex_on"]) == ("BOLT", "3:1", ex(small).isoformat())
    assert {p["name"]: (p["units"], p["units_after"], p["may_book"]) for p in found["portfolios"]} == {
        DOLLARS: ("25", "75", True), MIXED: ("55", "165", True)}  # fmt: skip
    one = {"security": "XNYS:BOLT", "ex_on": ex(small).isoformat()}
    planned = anna.get("/v1/corporate-actions/unbooked/plan", params=one).json()
    assert [s["size"] for s in planned["steps"]] == [1, 1]
    dry = anna.post("/v1/corporate-actions/unbooked/book", params={"dry_run": True}, json={"splits": [one]})
    assert (dry.status_code, dry.json()) == (200, planned)
    asked_ = anna.post("/v1/corporate-actions/unbooked/book", json={"splits": [one]}, headers={"Idempotency-Key": "a"})
    again = anna.post("/v1/corporate-actions/unbooked/book", json={"splits": [one]}, headers={"Idempotency-Key": "a"})
    assert (asked_.status_code, asked_.json()["message"]) == (202, "Security split booking task initiated")
    assert again.json()["task_id"] == asked_.json()["task_id"]
    number = asked_.json()["task_id"]
    worked()
    done = anna.get(asked_.headers["Location"].removeprefix("/api")).json()
    assert (done["status"], done["title"]) == ("completed", f"Book the 3:1 split of XNYS:BOLT, ex {ex(small)}")
    assert small.client("ben").get(f"/v1/securities/tasks/{number}").json()["title"] == "Book splits"
    assert anna.get("/v1/corporate-actions/unbooked", params={"security": "BOLT"}).json() == []
    nothing = anna.post("/v1/corporate-actions/unbooked/book", json={})
    assert (nothing.status_code, nothing.json()["type"].rsplit("#")[-1]) == (409, "nothing-to-book")
    undo = anna.post(f"/v1/corporate-actions/bookings/{number}/undo", params={"dry_run": True})
    assert (undo.status_code, {s["action"] for s in undo.json()["steps"]}) == (200, {"reverse"})
    back = anna.post(f"/v1/corporate-actions/bookings/{number}/undo")
    worked()
    assert back.status_code == 202
    assert anna.get(f"/v1/securities/tasks/{back.json()['task_id']}").json()["undoes"] == number
    assert splits(small, DOLLARS) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "slug"),
    [
        ("GET", "/unbooked/plan?ex_on=2026-01-05", None, 422, "bad-parameter"),
        ("GET", "/unbooked/plan?security=NOTHING", None, 404, "no-such-security"),
        ("GET", "/unbooked?security=NOTHING", None, 404, "no-such-security"),
        ("POST", "/unbooked/book", {"splits": []}, 422, "bad-request"),
        ("POST", "/unbooked/book", {"split": "all"}, 422, "bad-request"),
        ("POST", "/unbooked/book", {"splits": [{"security": "BOLT", "ex_on": "2001-01-01"}]}, 409, "nothing-to-book"),
        ("POST", "/bookings/00000000-0000-7000-8000-00000000000f/undo", None, 404, "no-such-task"),
    ],
)
def test_what_cannot_be_asked_is_said(small: Small, method: str, path: str, body: Any, status: int, slug: str) -> None:
    answer = small.client("anna").request(method, f"/v1/corporate-actions{path}", json=body)
    assert (answer.status_code, answer.json()["type"].rsplit("#")[-1]) == (status, slug), answer.text


def test_a_viewer_may_not_by_the_api_either(small: Small) -> None:
    vera = small.client("vera")
    (found,) = [a for a in vera.get("/v1/corporate-actions/unbooked").json() if a["kind"] == "split"]
    assert [(p["name"], p["may_book"]) for p in found["portfolios"]] == [(DOLLARS, False)]
    assert vera.post("/v1/corporate-actions/unbooked/book", json={}).status_code == 409


def test_the_reports_say_it_as_json_and_csv(small: Small) -> None:
    anna, query = small.client("anna"), {"portfolio": str(small.portfolios[DOLLARS])}
    overview = anna.get("/v1/reports/overview", params=query).json()
    said = f"BOLT: 3:1 split of {ex(small).day} {ex(small).strftime('%B %Y')} known, not booked: value and returns are wrong until it is"
    assert overview["notes"][0] == said
    figures = {f["key"]: f for f in overview["figures"]}
    assert (figures["total"]["reason"], figures["day"]["value"], figures["day"]["reason"]) == (said, None, said)
    for name in ("holdings", "performance", "growth", "risk", "allocation", "movers", "tax_gains"):
        assert anna.get(f"/v1/reports/{name}", params=query).json()["notes"].count(said) == 1, name
    (bolt,) = [r for r in anna.get("/v1/reports/holdings", params=query).json()["rows"] if r["symbol"] == "BOLT"]
    assert "3:1 split" in bolt["note"]
    listed = anna.get("/v1/reports/unbooked_actions", params=query).json()
    assert [(r["symbol"], r["units"], r["after"]) for r in listed["rows"]] == [("BOLT", "25", "75")]
    file = anna.get("/v1/reports/unbooked_actions", params=query | {"format": "csv"}).text
    assert "BOLT" in file.splitlines()[1]
    cell = anna.get("/v1/reports/unbooked_actions/explain", params=query | {"column": "after", "row": 0}).json()
    assert (cell["value"], cell["recomputed"]) == ("75", "75")
    assert [r["kind"] for r in cell["evidence"][0]["rows"]][-1] == "split, not booked"
