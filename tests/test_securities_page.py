"""The Securities page: what is wrong is said at its field, what will be written is shown before, a task is followed to its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, bar_days, installed
from streamlit.testing.v1 import AppTest

from core.ledger import Draft
from core.plans import Plan
from core.profiles import Profile
from core.upkeep import Finding
from db import access, ledger, lookups, market, master, snapshots, tasks, upkeep
from db.upkeep import record as made_of
from jobs.run import Worker
from jobs.tasks import work_one
from ui import proposals, security_form, session, show

Opened = Callable[..., AppTest]
NEW = {"symbol": "nova", "exchange": "XNYS", "name": "Nova", "asset_class": "Equity", "sector": "Energy", "price": "12.50",
       "dividend_frequency": "quarterly", "dividend": "0.10", "dividend_ex_on": "2026-01-05"}  # fmt: skip


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    """The small installation, and a viewer who may look at one portfolio."""
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        access.share(made.user("anna"), made.portfolios[f"{MARK} dollars"], "vera", "read")
        yield made


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(who, portfolio, tab)`: the page as somebody's browser gets it."""

    def run(who: str = "anna", portfolio: str | None = None, tab: str | None = None, **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        if portfolio:
            at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page("securities.py")
        if tab:
            at.session_state["securities_tabs"] = tab
        return whole(at.run())

    return run


def whole(at: AppTest) -> AppTest:
    assert not at.exception, at.exception[0].value
    return at


def worked() -> int:
    """Carry out everything that is queued."""
    worker, n = Worker(Event()), 0
    while n < 50 and work_one(worker):
        n += 1
    return n


def asked(small: Small, who: str, plan: Plan) -> UUID:
    return tasks.request(small.user(who), plan, {})


def click(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label == label]
    button.click()
    return whole(at.run())


def labels(at: AppTest) -> set[str]:
    return {b.label for b in at.button}


def words(at: AppTest) -> str:
    """Every text on the page."""
    blocks = (at.title, at.header, at.subheader, at.markdown, at.caption, at.info, at.warning, at.error, at.success)
    said = [str(each.value) for block in blocks for each in block] + [str(each.proto.body) for each in at.get("html")]
    said += [each.value.to_string() for each in at.dataframe] + [each.value.to_string() for each in at.table]
    return "\n".join(said).replace("\\", "")


# --- a task that is followed -----------------------------------------------------------------------


def test_a_task_is_followed_to_its_end_and_everybody_with_the_link_sees_it(opened: Opened, small: Small) -> None:
    task = asked(small, "ben", master.plan_add(small.user("ben"), NEW))
    mine, other = opened("ben", task=str(task)), opened("vera", f"{MARK} dollars", task=str(task))
    for at in (mine, other):
        assert "Queued" in words(at)
        assert "Add to classifications · **pending**" in words(at)
    assert "Cancel" in labels(opened("ben", task=str(task)))
    assert "Cancel" not in labels(other)
    assert worked() == 1
    done = opened("ben", task=str(task))
    assert "Completed" in words(done)
    assert "Add to classifications · **completed** · 1 row" in words(done)
    assert "Ask the feeds for prices · **completed** · no feed has it (asked: " in words(done), (
        "it writes nothing: no rows"
    )
    assert "100% of the work" in str(done.get("progress")[0].proto.text)
    assert "Close" in labels(done)


def test_who_asked_sees_a_second_person_decide(opened: Opened, small: Small) -> None:
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    task = str(asked(small, "ben", master.plan_add(small.user("ben"), NEW)))
    mine = opened("ben", task=task)
    assert "Waits for a second person" in words(mine)
    assert "inserts into `securities`" in words(mine)
    assert not {"Approve", "Reject"} & labels(mine)
    assert not {"Approve", "Reject"} & labels(opened("vera", f"{MARK} dollars", task=task))
    assert "Cancel" in labels(mine)
    at = opened("anna", task=task)
    assert {"Approve", "Reject"} <= labels(at)
    assert "Cancel" not in labels(at), "who decides rejects; cancelling is for who asked"
    assert "**ben** asked for this" in words(at)
    at.text_input(key=f"task_note_{task}").set_value("looks right")
    click(at, "Approve")
    assert "Cancel" in labels(at), "an admin may stop what is queued"
    worked()
    done = words(opened("ben", task=task))
    assert "Completed" in done
    assert "Approved by anna: “looks right”" in done


def test_what_is_cancelled_or_unknown_is_said(opened: Opened, small: Small) -> None:
    task = str(asked(small, "ben", master.plan_add(small.user("ben"), NEW)))
    at = click(opened("ben", task=task), "Cancel")
    assert "Cancelled: nothing was changed" in words(at)
    assert "There is no such task" in words(opened("ben", task=str(UUID(int=5))))
    assert "There is no such task" in words(opened("ben", task="soon"))


def test_a_task_that_fails_says_at_which_step_and_why(opened: Opened, small: Small) -> None:
    plan = master.plan_add(small.user("ben"), NEW)
    with small.database.owner() as c:
        c.execute("INSERT INTO securities (symbol, exchange, name, currency, asset_class) VALUES ('NOVA', 'XNYS', 'Was faster', 'USD', 'Equity')")  # fmt: skip
    task = str(asked(small, "ben", plan))
    worked()
    said = words(opened("ben", task=task))
    assert "Failed: nothing was changed" in said
    assert "It failed at step 2, Add to securities" in said
    assert said.count("duplicate symbol: somebody added it in the meantime") == 1, "said once"
    assert "Add to classifications · **skipped**" in said


def test_a_task_that_came_too_late_says_once_of_what_it_is(opened: Opened, small: Small) -> None:
    ben = small.user("ben")
    for name in ("One", "Two"):
        task = asked(small, "ben", master.plan_edit(ben, "BOLT", {"name": name}))
    worked()
    said = words(opened("ben", task=str(task)))
    assert said.count("somebody changed it in the meantime: ask again to see what differs now") == 1
    assert "XNYS:BOLT: somebody changed it" in said
    assert "Field **securities**" not in said


# --- the form --------------------------------------------------------------------------------------


def field(at: AppTest, name: str) -> Any:
    """The widget of a field: its key carries the form's number."""
    (found,) = [w for kind in ("text_input", "selectbox", "date_input") for w in at.get(kind)
                if str(w.key or "").startswith("security_") and str(w.key).split("_", 2)[2:] == [name]]  # fmt: skip
    return found


def filled(at: AppTest, **cells: Any) -> AppTest:
    for name, value in cells.items():
        widget = field(at, name)
        widget.set_value(value)
        for typed in (
            field(at, name) for name in security_form.TYPED
        ):  # a browser sends what is typed into a list as well
            if typed.value is not None and typed.value not in typed.options:
                typed.options.append(typed.value)
        whole(at.run())
    return at


def form(opened: Opened, who: str = "ben") -> AppTest:
    return opened(who, tab="Add")


GOOD = {
    "symbol": "nova",
    "exchange": "XNYS",
    "name": "Nova",
    "asset_class": "Equity",
    "sector": "Energy",
    "price": "12.50",
}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"exchange": "XNYS", "symbol": "acme"}, "Duplicate symbol: XNYS lists it already"),
        ({"symbol": "ACME"}, "Duplicate symbol: XNYS lists it already; say the exchange if you mean another one"),
        ({"name": "Nova", "asset_class": "Equities"}, "No such asset class: did you mean Equity?"),
        ({"asset_class": "Commodity", "sector": "Energy"}, "Inconsistent with the asset class: Commodity has no sector"),
        ({"isin": "US0378331005", "asset_class": "Fund"}, "Inconsistent with the asset class: XNYS:ACME is the same security by its ISIN"),
        ({"asset_class": "Equity", "sector": "Enrgy"}, "No such sector or industry: did you mean Energy?"),
        ({"price": "-1"}, "Invalid price: a number above zero is needed"),
        ({"price": "0"}, "Invalid price: a number above zero is needed"),
        ({"price": "1,250.00"}, "Invalid price: a number above zero is needed"),
        ({"name": "Nova", "dividend_frequency": "weekly"}, "No such dividend frequency: "),
        ({"dividend": "0.10"}, "Dividend: how often it is paid goes with it"),
        ({"dividend_frequency": "annual", "dividend": "zero"}, "Dividend: a number above zero is needed"),
        ({"isin": "US0378331006"}, "Twelve characters with a right check digit"),
    ],
)  # fmt: skip
def test_each_fault_is_said_at_its_field_as_one_types(opened: Opened, cells: dict[str, str], message: str) -> None:
    at = form(opened)
    assert ":red[" not in words(at), "nothing is wrong with a form that nobody touched"
    said = words(filled(at, **cells))
    assert message in said
    assert "No plan yet" not in said


def test_a_date_that_is_too_far_off_is_said_as_one_types(opened: Opened) -> None:
    at = form(opened)
    cells = {"dividend_ex_on": "Dividend", "issued_on": "A day up to"}
    filled(at, asset_class="Fixed Income", **dict.fromkeys(cells, date(2150, 1, 5)))
    said = words(at)
    assert "Dividend: a day up to" in said
    assert "error: A day up to" in said
    assert "No plan yet" not in said


def test_all_faults_are_said_once_the_plan_is_asked_for(opened: Opened, small: Small) -> None:
    at = filled(form(opened), dividend_frequency="annual", dividend="0.10")
    assert "ex date" not in words(at)
    said = words(click(at, "Show the plan"))
    for message in ("1 to 32 letters", "Expected one of Cash", "The ex date of the dividend is needed"):
        assert message in said
    assert "No plan yet: look at **Symbol**, **Asset class**, **Ex date**" in said
    assert "Confirm" not in labels(at)


def test_what_is_begun_in_a_list_is_completed(opened: Opened) -> None:
    at = filled(form(opened), asset_class="equ", sector="ene", dividend_frequency="s")
    assert [field(at, f).value for f in ("asset_class", "sector", "dividend_frequency")] == ["Equity", "Energy", "semi-annual"]  # fmt: skip
    assert field(filled(at, sector="Co"), "sector").value == "Co", "several begin so: it is said, not guessed"


def test_a_fault_names_fields_as_the_form_does(opened: Opened) -> None:
    said = words(filled(form(opened), dividend="0.10"))
    assert "give “Dividend frequency”" in said
    assert "dividend_frequency" not in said


def test_lists_depend_on_each_other(opened: Opened, small: Small) -> None:
    with small.database.owner() as c:
        c.execute(
            "INSERT INTO sectors (sector, industry) VALUES ('Energy', 'Drilling'), ('Materials', 'Copper') ON CONFLICT DO NOTHING"
        )
    at = form(opened)
    assert field(at, "industry").disabled
    filled(at, sector="Energy")
    assert "Drilling" in field(at, "industry").options
    assert "Copper" not in field(at, "industry").options
    filled(at, industry="Drilling", sector="Materials")
    assert field(at, "industry").value is None
    assert field(at, "currency").placeholder == "USD"  # that of the installation, for what is listed nowhere
    filled(at, exchange="XETR")
    assert field(at, "currency").placeholder == "EUR"
    assert not [w for w in at.date_input if str(w.key).endswith("matures_on")]
    filled(at, asset_class="Fixed Income")
    assert field(at, "matures_on").value is None


def test_a_security_is_planned_confirmed_and_added(opened: Opened, small: Small) -> None:
    at = click(filled(form(opened), **GOOD), "Show the plan")
    said = words(at)
    assert "Add NOVA (Nova)" in said
    for table in ("securities", "security_symbols", "security_classifications", "asset_prices", "price_history"):
        assert f"inserts into `{table}`" in said
    assert "<dt>currency</dt><dd>USD</dd>" in said
    assert "Energy (" in said
    assert not tasks.tasks(small.user("ben"))
    back = click(at, "Back")
    assert field(back, "symbol").value == "nova"
    click(click(back, "Show the plan"), "Confirm")
    (task,) = tasks.tasks(small.user("ben"))
    assert task.kind == "add"
    assert at.query_params["task"] in (str(task.task_id), [str(task.task_id)])
    assert "Queued" in words(at)
    worked()
    done = opened("ben", task=str(task.task_id))
    assert "XNYS:NOVA was added" in words(done)
    assert "NOVA" in words(done)
    assert field(opened("ben", tab="Add"), "symbol").value in (None, "")


def test_the_feeds_propose_and_only_empty_fields_are_filled(opened: Opened, small: Small) -> None:
    at = click(filled(form(opened), symbol="nova", name="My name of it"), "Propose")
    assert "The feeds are asked about nova" in words(at)
    with small.database.jobs() as c:
        question = lookups.claim(c)
        assert question is not None
        assert question.asked == "nova"
        known = Profile(
            "NOVA", "XNAS", "Nova Inc.", "USD", "Equity", "Energy", None, "US", None, "quarterly", provider="yahoo"
        )
        lookups.answered(c, question.lookup_id, [known, Profile("NOVA", "XLON", "Another", provider="csv")])
    whole(at.run())
    assert "XNAS:NOVA" in words(at)
    assert "XLON:NOVA" in words(at)
    next(b for b in at.button if b.label == "Use this").click()
    said = words(whole(at.run()))
    assert "6 empty fields were filled in as proposed" in said
    assert said.count("proposed by yahoo") == 6
    assert [field(at, f).value for f in ("symbol", "name", "exchange", "asset_class", "sector", "country", "currency", "dividend_frequency")] == [
        "nova", "My name of it", "XNAS", "Equity", "Energy", "US", "USD", "quarterly"]  # fmt: skip
    assert words(filled(at, sector="Materials")).count("proposed by yahoo") == 5
    assert "Add NOVA (My name of it)" in words(click(at, "Show the plan"))


def test_where_no_feed_knows_it_or_none_answers_that_is_said(
    opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = click(filled(form(opened), symbol="nova"), "Propose")
    with small.database.jobs() as c:
        question = lookups.claim(c)
        assert question is not None
        lookups.answered(c, question.lookup_id, [], "no feed knows nova (asked: csv)")
    whole(at.run())
    assert "Nothing is proposed for nova**: no feed knows nova (asked: csv)" in words(whole(at.run()))
    click(at, "Dismiss")
    monkeypatch.setattr(proposals, "PATIENCE", -1.0)
    click(at, "Propose")
    assert "No answer about nova" in words(whole(at.run()))


# --- a security that is there ----------------------------------------------------------------------


def test_one_symbol_on_two_exchanges_is_two_securities(opened: Opened, small: Small) -> None:
    anna, portfolio = small.user("anna").user_id, small.portfolios[f"{MARK} dollars"]
    asked(
        small,
        "ben",
        master.plan_add(small.user("ben"), NEW | {"symbol": "ACME", "exchange": "XETR", "name": "Another"}),
    )
    worked()
    with small.database.owner() as c:
        row = c.execute("SELECT security_id FROM securities WHERE symbol = 'ACME' AND exchange = 'XETR'").fetchone()
    assert row is not None
    (other,) = row
    known = {(s.symbol, s.exchange): s for s in market.securities(anna)}
    bought = Draft(
        "buy",
        bar_days(small.now)[100],
        "EUR",
        known["ACME", "XETR"],
        quantity=Decimal(77),
        price=Decimal(3),
        fx=Decimal(1),
    )
    ledger.append(anna, portfolio, [bought], small.now.date())
    seen = {}
    for security in (other, small.securities["ACME"]):
        at = opened("anna", f"{MARK} dollars", security=str(security))
        at.session_state["security_tabs"] = "Transactions"
        (table,) = [d.value for d in whole(at.run()).dataframe if "quantity" in d.value]
        seen[security] = sorted(table["quantity"].dropna())
    assert seen[other] == [77.0]
    assert 77.0 not in seen[small.securities["ACME"]]
    assert 120.0 in seen[small.securities["ACME"]]


def test_the_other_portfolios_that_hold_it_are_told_to_those_who_may_read_them(opened: Opened, small: Small) -> None:
    acme = str(small.securities["ACME"])
    with small.database.owner() as c:
        row = c.execute("SELECT p.units, p.value, p.value / n.total FROM position_snapshots p JOIN portfolio_snapshots n USING (portfolio_id, bucket) "
                        "WHERE security_id = %s AND portfolio_id = %s ORDER BY bucket DESC LIMIT 1", (acme, small.portfolios[f"{MARK} mixed"])).fetchone()  # fmt: skip
    assert row is not None

    def held(who: str, name: str, security: str = acme, **query: str) -> Any:
        at = opened(who, name, security=security, **query)
        return at, [d.value for d in at.dataframe if list(d.value)[:2] == ["portfolio", "units"]]

    at, (table,) = held("anna", f"{MARK} dollars")
    assert list(table["portfolio"]) == [f"{MARK} mixed"]
    assert [float(x) for x in table.iloc[0][["units", "value", "weight"]]] == pytest.approx([float(x) for x in row])
    assert list(table["currency"]) == ["EUR"]
    assert "Also held in" in json.dumps([json.loads(d.proto.columns) for d in at.dataframe])
    assert "Select a row to look at that portfolio" in words(at)
    here = small.portfolios[f"{MARK} dollars"]
    at.session_state[f"security_held_{acme}_{here}"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    went = whole(at.run()).query_params["portfolio"]
    assert str(small.portfolios[f"{MARK} mixed"]) in went, "a row is the way to that portfolio"
    _, (table,) = held("anna", f"{MARK} euros")
    assert list(table["portfolio"]) == [f"{MARK} dollars", f"{MARK} mixed"]
    assert held("ben", "Ben's own")[1] == [], "nothing of portfolios that he may not read"
    assert held("anna", f"{MARK} mixed", str(small.securities["EDO"]))[1] == [], "no other one holds it"
    past = bar_days(small.now)[100].isoformat()
    assert held("anna", f"{MARK} dollars", as_of=past)[1] == [], "it is of now"
    _, (table,) = held("anna", f"{MARK} dollars", str(small.securities["BOLT"]))
    assert list(table["portfolio"]) == [f"{MARK} mixed"]


def test_a_holding_that_was_booked_on_since_its_snapshot_has_no_stale_value(small: Small) -> None:
    anna, mixed = small.user("anna").user_id, small.portfolios[f"{MARK} mixed"]
    with small.database.jobs() as c:
        c.execute("UPDATE holdings SET units = units + 1 WHERE portfolio_id = %s", (mixed,))
    (holder,) = [h for h in snapshots.held_in(anna, small.securities["ACME"]) if h.portfolio_id == mixed]
    assert (holder.units, holder.value, holder.weight) == (271, None, None)


def number(small: Small, symbol: str = "NOVA") -> str:
    with small.database.owner() as c:
        row = c.execute("SELECT security_id FROM securities WHERE symbol = %s", (symbol,)).fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def nova(small: Small) -> str:
    """A security of nobody's: its number."""
    asked(small, "ben", master.plan_add(small.user("ben"), NEW))
    worked()
    return number(small)


def held_up(small: Small, nova: str) -> None:
    """Something that is past refers to it, so that it is retired."""
    with small.database.owner() as c:
        c.execute("UPDATE portfolios SET benchmark_id = %s, archived_at = now() WHERE name = %s", (int(nova), f"{MARK} euros"))  # fmt: skip


def test_what_prevents_a_removal_is_said_with_the_place_where_it_is_dealt_with(opened: Opened, small: Small) -> None:
    at = click(opened("anna", f"{MARK} dollars", security=str(small.securities["ACME"])), "Remove")
    said = words(at)
    assert "ACME cannot be removed yet" in said
    assert f"{MARK} dollars holds" in said
    assert "A dividend of 0.16 is announced" in said
    links = {link.proto.label: link.proto.query_string for link in at.get("page_link")}
    assert str(small.portfolios[f"{MARK} mixed"]) in links[f"Holdings of {MARK} mixed"]
    assert "Confirm" not in labels(at)
    other = words(click(opened("ben", security=str(small.securities["ACME"])), "Remove"))
    assert "A portfolio that you cannot see holds" in other
    assert MARK not in other


def test_a_security_is_retired_and_the_removal_undone(opened: Opened, small: Small, nova: str) -> None:
    held_up(small, nova)
    at = click(opened("ben", security=nova), "Remove")
    assert "Retire XNYS:NOVA" in words(at)
    assert "It stays, since it was the benchmark of" in words(at)
    left = click(at, "Back")
    assert "Confirm" not in labels(left)
    click(click(left, "Remove"), "Confirm")
    worked()
    task = str(tasks.tasks(small.user("ben"))[0].task_id)
    ended = opened("ben", task=task, security=nova)
    assert "NOVA is retired" in words(ended)
    assert f"Since {show.day(datetime.now(UTC).date())}" in words(ended)
    assert "entered by hand" in words(ended), "its one price is no feed's"
    assert "Bring back" in labels(ended)
    assert "NOVA" not in words(opened("ben")).replace("1 retired", "")
    assert "1 retired or delisted security is hidden" in words(opened("ben"))
    assert "Reinstate XNYS:NOVA" in words(click(ended, "Undo"))
    click(ended, "Confirm")
    worked()
    back = tasks.tasks(small.user("ben"))[0]
    assert (back.kind, back.undoes, back.status) == ("reinstate", UUID(task), "completed")
    assert "NOVA" in words(opened("ben"))
    assert "Undone: show that task" in labels(opened("ben", task=task))


def test_what_nothing_ever_referenced_is_deleted_for_good(opened: Opened, small: Small, nova: str) -> None:
    at = click(opened("ben", security=nova), "Remove")
    said = words(at)
    assert "Delete XNYS:NOVA" in said
    for step in ("Remove symbol history", "Remove last quote", "Remove price history", "Remove dividends and splits"):
        assert f"· {step}**" in said, "steps say in words what goes, the table stands behind them"
    assert "deletes from `price_history` · 1 row" in said
    click(at, "Confirm")
    worked()
    done = opened("ben", task=str(tasks.tasks(small.user("ben"))[0].task_id), security=nova)
    assert "It was deleted for good" in words(done)
    assert "Undo" not in labels(done)


def test_an_edit_sends_what_differs_and_is_undone(opened: Opened, small: Small, nova: str) -> None:
    at = click(opened("ben", security=nova), "Edit")
    assert field(at, "name").value == "Nova"
    assert "Nothing differs" in words(click(at, "Show the plan"))
    filled(at, name="Nova Energy", sector="Materials")
    click(at, "Show the plan")
    said = words(at)
    assert "changes `securities` · 1 row" in said
    assert "Nova Energy" in said
    assert "inserts into `security_classifications`" in said
    click(at, "Confirm")
    worked()
    task = tasks.tasks(small.user("ben"))[0]
    assert set(tasks.plan_of(small.user("ben"), task.task_id).steps[0].rows[0]) == {"security_id", "name", "sector_id"}
    click(click(opened("ben", security=nova, task=str(task.task_id)), "Undo"), "Confirm")
    worked()
    with small.database.owner() as c:
        row = c.execute("SELECT name, sector FROM securities JOIN sectors USING (sector_id) WHERE security_id = %s", (int(nova),)).fetchone()  # fmt: skip
    assert row == ("Nova", "Energy")


def test_undoing_an_edit_takes_back_no_later_one(opened: Opened, small: Small, nova: str) -> None:
    ben = small.user("ben")
    first, second = "", ""
    for rating in ("A", "B"):
        first, second = second, str(asked(small, "ben", master.plan_edit(ben, nova, {"rating": rating})))
        worked()
    at = click(opened("ben", security=nova, task=first), "Undo")
    said = words(at)
    assert "Somebody was faster" in said
    assert "somebody changed rating (now B) of NOVA in the meantime: undoing this would take that back" in said
    assert "Confirm" not in labels(at)
    for task, left in ((second, "A"), (first, None)):  # from the last on they can be taken back
        click(click(opened("ben", security=nova, task=task), "Undo"), "Confirm")
        worked()
        assert master.plan_edit(ben, nova, {"rating": "C"}).steps[0].before[0]["rating"] == left


def accepted(small: Small, number: int, *changes: tuple[str, str, Any, Any]) -> str:
    """The completed task of accepting proposals of (kind, field, before, after)."""
    with small.database.jobs() as c:
        made_of(c, [], [], [Finding(kind, number, field, was, to, "it was seen") for kind, field, was, to in changes])
    ben = small.user("ben")
    task = upkeep.accept(ben, [p.proposal_id for p in upkeep.proposals(ben, security=number)])
    worked()
    assert tasks.task_of(ben, task).status == "completed"
    return str(task)


def test_a_halt_is_undone_and_so_is_its_end_with_the_fields_of_the_task(
    opened: Opened, small: Small, nova: str
) -> None:
    def now() -> Any:
        with small.database.owner() as c:
            return c.execute("SELECT status, ended_on, country, name FROM securities WHERE security_id = %s", (int(nova),)).fetchone()  # fmt: skip

    def undo(task: str) -> str:
        at = click(opened("ben", security=nova, task=task), "Undo")
        said = words(at)
        click(at, "Confirm")
        worked()
        done = tasks.tasks(small.user("ben"))[0]
        assert (done.kind, done.status, done.undoes) == ("edit", "completed", UUID(task))
        return said

    halt = accepted(
        small, int(nova), ("status", "status", {"status": "active"}, {"status": "halted", "on": "2026-01-05"})
    )
    assert now()[0] == "halted"
    assert "Mark as active: XNYS:NOVA" in undo(halt)
    assert now() == ("active", None, None, "Nova")
    mixed = accepted(
        small, int(nova), ("status", "status", {"status": "active"}, {"status": "halted", "on": "2026-01-05"}),
        ("reclassify", "country", None, "US"), ("reclassify", "name", "Nova", "Nova Corporation"),
    )  # fmt: skip
    assert now() == ("halted", None, "US", "Nova Corporation")
    undo(mixed)
    assert now() == ("active", None, None, "Nova")
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'halted' WHERE security_id = %s", (int(nova),))
    back = accepted(small, int(nova), ("status", "status", {"status": "halted"}, {"status": "active"}))
    assert now()[0] == "active"
    assert "Mark as halted: XNYS:NOVA" in undo(back)
    assert now()[0] == "halted"


def test_a_removal_is_undone_to_what_it_was_and_not_over_what_came_since(
    opened: Opened, small: Small, nova: str
) -> None:
    held_up(small, nova)
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'halted' WHERE security_id = %s", (int(nova),))
    ben = small.user("ben")
    task = str(asked(small, "ben", master.plan_remove(ben, nova)))
    worked()
    at = click(opened("ben", security=nova, task=task), "Undo")
    assert "Reinstate XNYS:NOVA" in words(at)
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'delisted' WHERE security_id = %s", (int(nova),))
    assert "somebody changed status (now delisted) of NOVA" in words(click(click(at, "Back"), "Undo"))
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'retired' WHERE security_id = %s", (int(nova),))
    click(click(at, "Undo"), "Confirm")
    worked()
    with small.database.owner() as c:
        row = c.execute("SELECT status, ended_on FROM securities WHERE security_id = %s", (int(nova),)).fetchone()
    assert row == ("halted", None)


def test_an_edit_of_what_was_deleted_since_offers_no_undo(opened: Opened, small: Small, nova: str) -> None:
    ben = small.user("ben")
    edit = str(asked(small, "ben", master.plan_edit(ben, nova, {"rating": "A"})))
    worked()
    asked(small, "ben", master.plan_remove(ben, nova))
    worked()
    at = opened("ben", task=edit)
    assert "It was deleted for good" in words(at)
    assert "Undo" not in labels(at)


def test_an_edit_that_somebody_else_made_obsolete_says_what_to_do(opened: Opened, small: Small, nova: str) -> None:
    at = click(filled(click(opened("ben", security=nova), "Edit"), rating="AA"), "Show the plan")
    asked(small, "anna", master.plan_edit(small.user("anna"), nova, {"rating": "BBB"}))
    click(at, "Confirm")
    worked()
    said = words(opened("ben", security=nova, task=str(tasks.tasks(small.user("ben"))[0].task_id)))
    assert "somebody changed it in the meantime: ask again to see what differs now" in said


def test_what_somebody_else_changed_since_the_form_opened_is_said_before_it_is_replaced(
    opened: Opened, small: Small, nova: str
) -> None:
    at = filled(click(opened("ben", security=nova), "Edit"), rating="AA", name="Nova Energy")
    asked(small, "anna", master.plan_edit(small.user("anna"), nova, {"rating": "BBB", "issuer": "Nova Corporation"}))
    worked()
    click(at, "Show the plan")
    assert "Somebody was faster" in words(at)
    assert "somebody changed rating (now BBB) of NOVA in the meantime" in words(at)
    assert (field(at, "rating").value, field(at, "name").value) == ("AA", "Nova Energy"), "what was entered stays"
    click(click(at, "Show the plan"), "Confirm")
    worked()
    with small.database.owner() as c:
        row = c.execute("SELECT name, rating, issuer FROM securities WHERE security_id = %s", (int(nova),)).fetchone()
    assert row == ("Nova Energy", "AA", "Nova Corporation"), "what was not touched is as somebody else left it"


def begun(at: AppTest, number: str, what: str) -> AppTest:
    """What the menu "More" begins."""
    at.session_state["security_doing"] = (int(number), what)
    return whole(at.run())


def test_a_symbol_change_and_a_delisting(opened: Opened, small: Small, nova: str) -> None:
    at = begun(opened("ben", security=nova), nova, "rename")
    at.text_input(key=f"security_rename_{nova}_symbol").set_value("acme")
    assert "XNYS lists it already" in words(click(at, "Show the plan"))
    at.text_input(key=f"security_rename_{nova}_symbol").set_value("supernova")
    click(at, "Show the plan")
    assert [list(t.value["Column"]) for t in at.table if "Before" in t.value] == [["symbol"]], "what stays is no change"
    click(at, "Confirm")
    worked()
    task = str(tasks.tasks(small.user("ben"))[0].task_id)
    after = opened("ben", security=nova, task=task)
    assert "SUPERNOVA · Nova" in words(after)
    assert "Open XNYS:SUPERNOVA" in [link.proto.label.replace("\\", "") for link in after.get("page_link")]
    click(click(after, "Undo"), "Confirm")
    worked()
    back = opened("ben", security=nova, task=str(tasks.tasks(small.user("ben"))[0].task_id))
    assert "NOVA · Nova" in words(back)
    assert "Undo" not in labels(back), "a symbol change as any other gives it the new one again"
    with small.database.owner() as c:
        kept = c.execute(
            "SELECT valid_from, symbol FROM security_symbols WHERE security_id = %s", (int(nova),)
        ).fetchall()
    assert kept == [(date(1900, 1, 1), "NOVA")]
    at = begun(back, nova, "rename")
    at.text_input(key=f"security_rename_{nova}_symbol").set_value("supernova")
    click(click(at, "Show the plan"), "Confirm")
    worked()
    after = begun(opened("ben", security=nova), nova, "rename")
    after.text_input(key=f"security_rename_{nova}_symbol").set_value("hypernova")
    assert "it became XNYS:SUPERNOVA today: undo that symbol change first" in words(click(after, "Show the plan"))
    after = opened("ben", security=nova)
    assert "SUPERNOVA · Nova" in words(after)
    assert "NOVA" in after.dataframe[0].value.to_string()
    click(click(begun(after, nova, "delist"), "Show the plan"), "Confirm")
    worked()
    assert "SUPERNOVA is delisted" in words(opened("ben", security=nova))


# --- the detail's sections ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tab", "expected"),
    [
        ("Master data", "1900-01-01"),
        ("Transactions", "2026"),
        ("Prices", "csv"),
        ("Risk", "Look-back of a year"),
        ("Compliance", "a cause of the breach"),
        ("In full", "Average cost of a trade"),
        ("Audit trail", "ACME"),
        ("Tasks", "Nothing was asked to be done with it yet"),
    ],
)
def test_every_section_of_a_held_security_opens(
    opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch, tab: str, expected: str
) -> None:
    from streamlit.testing.v1 import AppTest as Test

    made = Test.switch_page

    def switched(self: Test, path: str) -> Test:
        self.session_state["security_tabs"] = tab
        return made(self, path)

    monkeypatch.setattr(Test, "switch_page", switched)
    at = opened("anna", f"{MARK} dollars", security=str(small.securities["ACME"]))
    assert expected in words(at)
    assert not at.error, at.error[0].value
    other = opened("anna", f"{MARK} dollars", security=str(small.securities["NEVER"]))
    assert not other.error, other.error[0].value
    if tab == "Risk":
        assert "It has no prices yet" in words(other)


# --- who may -----------------------------------------------------------------------------------------


def test_a_viewer_sees_no_buttons(opened: Opened, small: Small, nova: str) -> None:
    at = opened("vera", f"{MARK} dollars")
    assert [t.label for t in at.tabs] == ["Catalogue", "Counterparties", "Sectors", "Maintenance"]
    detail = opened("vera", f"{MARK} dollars", security=nova)
    assert not {"Edit", "Remove", "Bring back"} & labels(detail)
    assert not detail.get("menu_button")
    assert all("you are signed in as a viewer" in words(page) for page in (at, detail))
    assert opened("ben", security=nova).get("menu_button")
    tasks.set_policy(small.user("anna"), dict.fromkeys(("edit", "remove"), "admin"))
    assert "an admin has kept that to others" in words(opened("ben", security=nova))


def test_what_the_database_refuses_is_said(opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page still shows the form, as to somebody whose right was taken away meanwhile."""
    monkeypatch.setattr(tasks, "rights", lambda user: frozenset({"add"}))
    at = click(filled(opened("vera", f"{MARK} dollars", tab="Add"), **GOOD), "Show the plan")
    click(at, "Confirm")
    assert "You may not do this" in words(at)
    assert "your role may not add" in words(at)
    assert not tasks.tasks(small.user("anna"))


# --- who has no portfolio ----------------------------------------------------------------------------


@pytest.fixture
def newcomers(small: Small) -> Small:
    """An analyst and a viewer who see no portfolio."""
    for name, role in (("cleo", "analyst"), ("vito", "viewer")):
        access.create_user(name, WORDS, role, name.capitalize())
        small.tokens[name] = access.sign_in(name, WORDS)[0]
    return small


def test_whoever_has_no_portfolio_adds_a_security_all_the_same(opened: Opened, newcomers: Small) -> None:
    at = opened("cleo")
    assert [t.label for t in at.tabs] == ["Catalogue", "Add", "Bulk", "Counterparties", "Sectors", "Maintenance"]
    assert "There is no portfolio yet" not in words(at)
    at = click(filled(opened("cleo", tab="Add"), **GOOD), "Show the plan")
    click(at, "Confirm")
    assert worked() == 1
    mine = opened("cleo", security=number(newcomers))
    assert [t.label for t in mine.tabs] == ["Master data", "Prices", "Risk", "Audit trail", "Tasks"]
    assert "Edit" in labels(mine)
    assert not mine.error


@pytest.mark.parametrize("tab", ["Counterparties", "Maintenance", "Bulk"])
def test_every_tab_opens_without_a_portfolio(opened: Opened, newcomers: Small, tab: str) -> None:
    at = opened("cleo", tab=tab)
    assert not at.error
    assert "Exposure of" not in words(at)


@pytest.mark.parametrize("tab", ["Master data", "Prices", "Risk", "Audit trail", "Tasks"])
def test_every_section_opens_without_a_portfolio(
    opened: Opened, newcomers: Small, monkeypatch: pytest.MonkeyPatch, tab: str
) -> None:
    made = AppTest.switch_page

    def switched(self: AppTest, path: str) -> AppTest:
        self.session_state["security_tabs"] = tab
        return made(self, path)

    monkeypatch.setattr(AppTest, "switch_page", switched)
    at = opened("cleo", security=str(newcomers.securities["ACME"]), as_of="2026-01-30")
    assert not at.error, at.error[0].value
    assert "You look at the past" in words(at)
    assert "Last quote" in " ".join([m.label for m in at.metric]) + words(at)


def test_pages_of_a_portfolio_say_what_to_do_first(opened: Opened, newcomers: Small) -> None:
    at = opened("cleo")
    at.switch_page("overview.py")
    said = whole(at.run())
    assert "There is no portfolio yet" in words(said)
    links = [str(link.proto.label) for link in said.main.get("page_link")]
    assert links == ["**1. Create a portfolio**", "**2. Add securities**"]
    at = opened("vito")
    at.switch_page("overview.py")
    assert "No portfolio is shared with you yet" in words(whole(at.run()))


def test_an_empty_master_leads_to_the_form_and_to_the_file(
    opened: Opened, newcomers: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "master", lambda *asked: [])
    at = opened("cleo")
    assert "There is no security yet" in words(at)
    assert {"Add a security", "Load a file"} <= labels(at)
    assert at.session_state["securities_tabs"] == "Catalogue"
    assert click(at, "Load a file").session_state["securities_tabs"] == "Bulk"
    assert "you are signed in as a viewer" in words(opened("vito"))


def test_what_is_not_found_is_added_in_two_clicks(opened: Opened, small: Small) -> None:
    at = opened("ben")
    at.text_input(key="securities_search").set_value("nvda")
    at = click(whole(at.run()), "Add nvda")
    assert field(at, "symbol").value == "NVDA"


# --- what is open about a security -------------------------------------------------------------------


def proposed(small: Small, name: str) -> str:
    """An open proposal for a security: its number."""
    number = small.securities[name]
    finding = Finding("reclassify", number, "name", name if name == "ACME" else "", "Proposed Ltd", "the feed says so")
    with small.database.owner() as c:
        was = c.execute("SELECT name FROM securities WHERE security_id = %s", (number,)).fetchone()[0]
        made_of(c, ("reclassify",), [number], [replace(finding, before=was)])
    return str(number)


def unfolded(small: Small, at: AppTest) -> AppTest:
    (p,) = upkeep.proposals(small.user("ben"))
    at.session_state[f"b_proposal_{p.proposal_id}"] = True
    return whole(at.run())


def test_what_is_proposed_for_a_security_is_decided_on_its_page(opened: Opened, small: Small) -> None:
    acme = proposed(small, "ACME")
    at = opened("ben", security=acme)
    (box,) = [e for e in at.expander if "Proposed:" in e.label]
    assert "Proposed Ltd" in box.label
    at = unfolded(small, at)
    assert "the feed says so" in words(at).lower()
    at = click(at, "Accept")
    assert worked() == 1
    assert "ACME · Proposed Ltd" in words(opened("ben", security=acme))
    assert not [e for e in opened("ben", security=acme).expander if "Proposed:" in e.label]


def test_a_viewer_reads_what_is_proposed_and_decides_nothing(opened: Opened, small: Small) -> None:
    acme = proposed(small, "ACME")
    at = opened("vera", f"{MARK} dollars", security=acme)
    at = unfolded(small, at)
    assert "may not decide" in words(at)
    assert not {"Accept", "Dismiss"} & labels(at)
    past = opened("ben", f"{MARK} dollars", security=acme, as_of="2026-01-30")
    assert not [e for e in past.expander if "Proposed:" in e.label]


def test_what_is_under_way_with_a_security_is_said_on_its_page(opened: Opened, small: Small, nova: str) -> None:
    plan = master.plan_edit(small.user("ben"), nova, {"name": "Nova Two"})
    task = asked(small, "ben", plan)
    at = opened("vera", f"{MARK} dollars", security=nova)
    assert "Queued, asked for by ben" in words(at)
    at.button(key=f"security_open_{task}").click()
    whole(at.run())
    assert at.query_params["task"] in (str(task), [str(task)])
    assert "Queued, asked for by ben" not in words(at)  # the panel shows it
