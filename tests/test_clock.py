"""One clock for the pages: they open at any hour in any zone of the server and of the reader, and every date field has its limits."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from conftest import ROOT
from small import MARK, Small, bar_days, installed
from streamlit.elements.widgets import time_widgets
from streamlit.testing.v1 import AppTest

from core.scope import Scope
from db import portfolios, reports
from ui import clock, entry, session

FIELDS = ("date_input", "datetime_input")
FILES = [*sorted((ROOT / "ui").glob("*.py")), *sorted((ROOT / "pages").glob("*.py"))]


# --- the code ---------------------------------------------------------------------------------------------------


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Every call of a method in the pages and in what draws them: where, the call, its name."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, node.func.attr


def test_every_date_field_says_its_value_and_its_limits() -> None:
    """Left to Streamlit they would be today of the server's zone, and ten years around it."""
    found, wrong = 0, []
    for place, call, name in calls():
        if name not in FIELDS:
            continue
        found += 1
        said = {k.arg: k.value for k in call.keywords if k.arg}
        if len(call.args) > 1:
            said["value"] = call.args[1]
        wrong += [f"{place}: {name} without {x}" for x in ("value", "min_value", "max_value") if x not in said]
        texts = [x for x in ("value", "min_value", "max_value") if x in said and isinstance(said[x], ast.Constant)
                 and isinstance(said[x].value, str)]  # fmt: skip
        wrong += [f"{place}: {name} has a text as {x}" for x in texts]
    assert found >= 12
    assert not wrong, "\n".join(wrong)


def test_a_column_of_dates_that_may_be_edited_has_its_limits() -> None:
    editable = [
        (place, call) for place, call, name in calls() if name == "DateColumn" and place.startswith("ui/editor.py")
    ]
    assert len(editable) == 2
    for place, call in editable:
        assert {"min_value", "max_value"} <= {k.arg for k in call.keywords}, place


def test_no_page_asks_another_clock() -> None:
    wrong = [
        place
        for place, call, name in calls()
        if name in ("now", "today", "utcnow") and ast.unparse(call.func) in ("datetime.now", "date.today", "datetime.utcnow", "datetime.today")
        and not place.startswith("ui/clock.py")
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


# --- the clock --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("utc", "where", "today", "latest"),
    [
        ("2026-11-30T23:25", "Asia/Tokyo", date(2026, 12, 1), date(2026, 12, 1)),
        ("2026-11-30T23:25", "America/New_York", date(2026, 11, 30), date(2026, 11, 30)),
        ("2026-12-01T02:00", "America/New_York", date(2026, 11, 30), date(2026, 12, 1)),
        ("2026-12-01T02:00", "UTC", date(2026, 12, 1), date(2026, 12, 1)),
    ],
)
def test_today_is_the_readers(monkeypatch: pytest.MonkeyPatch, utc: str, where: str, today: date, latest: date) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(utc).replace(tzinfo=UTC))
    monkeypatch.setattr(clock, "zone", lambda: ZoneInfo(where))
    assert (clock.today(), clock.latest(), clock.utc_day()) == (today, latest, datetime.fromisoformat(utc).date())


def test_a_value_beyond_the_limits_is_shown_at_them() -> None:
    first, last = date(2000, 1, 1), date(2001, 1, 1)
    for value, shown in (
        (None, None),
        (date(1999, 1, 1), first),
        (date(2000, 6, 1), date(2000, 6, 1)),
        (date(2400, 1, 1), last),
    ):
        assert clock.within(value, first, last) == shown


# --- the pages --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


# each zone has another day than UTC at one of the hours: the two at the ends of the earth at nearly every hour
SERVERS = ("Asia/Tokyo", "Pacific/Kiritimati", "Etc/GMT+12")
HOURS = ((23, 25, "Asia/Tokyo"), (0, 5, "America/Los_Angeles"))  # UTC, and where the reader sits
TABS = ("New entry", "Edit", "What moved")
PAGES: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in (
            "overview",
            "holdings",
            "performance",
            "tasks",
            "audit",
            "portfolios",
            "reconciliation",
            "tax",
            "admin",
        )
    ),
    *(("transactions", {"transactions_tabs": tab}) for tab in TABS),
    ("securities", {"securities_tabs": "Add"}),
    ("reports", {"?report": "changes"}),
    ("securities", {"?security": "ACME", "do": "rename"}),
    ("securities", {"?security": "ACME", "do": "delist"}),
]


@pytest.fixture(params=SERVERS)
def server_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The zone that the server runs in."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


class AnyDate(type):
    """Makes a frozen class pass for the one that it stands in for."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, cls.__mro__[1])


def frozen(monkeypatch: pytest.MonkeyPatch, at: datetime, reader: str) -> None:
    """Stop our clock, and the one that Streamlit's date fields fall back on: the server's local time."""
    monkeypatch.setattr(clock, "now", lambda: at)
    monkeypatch.setattr(clock, "zone", lambda: ZoneInfo(reader))

    class Moment(datetime, metaclass=AnyDate):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return at.astimezone(tz) if tz else at.astimezone().replace(tzinfo=None)

    class Today(date, metaclass=AnyDate):
        @classmethod
        def today(cls) -> date:
            return at.astimezone().date()

    monkeypatch.setattr(time_widgets, "datetime", Moment)
    monkeypatch.setattr(time_widgets, "date", Today)


def opened(small: Small, monkeypatch: pytest.MonkeyPatch, page: str, asked: dict[str, Any]) -> AppTest:
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
    at.switch_page(f"{page}.py")
    at.query_params["portfolio"] = str(small.portfolios[f"{MARK} dollars"])
    for name, value in asked.items():
        if name == "?security":
            at.query_params["security"] = str(small.securities[value])
        elif name.startswith("?"):
            at.query_params[name[1:]] = value
        elif name != "do":
            at.session_state[name] = value
    at.run()
    if asked.get("do"):
        at.session_state["security_doing"] = (small.securities["ACME"], asked["do"])
        at.run()
    return at


@pytest.mark.parametrize(("hour", "minute", "reader"), HOURS)
def test_every_page_opens_at_any_hour_in_any_zone(
    small: Small, monkeypatch: pytest.MonkeyPatch, server_zone: str, hour: int, minute: int, reader: str
) -> None:
    frozen(monkeypatch, datetime.now(UTC).replace(hour=hour, minute=minute), reader)
    seen = set[str]()
    for page, asked in PAGES:
        at = opened(small, monkeypatch, page, asked)
        assert not at.exception, (page, asked, at.exception[0].value)
        assert not [e.value for e in at.error], (page, asked)
        for field in (*at.date_input, *at.get("date_time_input")):
            seen.add(str(field.key).rpartition("_")[2])
            if isinstance(field.value, date) and not isinstance(field.value, datetime):
                assert field.min <= field.value <= field.max, (page, field.key)
    assert {"of", "at", "date", "settlement", "from", "to", "on", "since"} <= seen, seen


@pytest.mark.parametrize(("reader", "day"), [("Pacific/Kiritimati", 1), ("UTC", 0)])
def test_an_entry_of_the_readers_today_is_booked(
    small: Small, monkeypatch: pytest.MonkeyPatch, reader: str, day: int
) -> None:
    """It is tomorrow in UTC, and today where the reader sits."""
    real = datetime.now(UTC)
    frozen(monkeypatch, real.replace(hour=23, minute=25), reader)
    name = f"{MARK} zone {day}"
    number: UUID = portfolios.create_portfolio(small.anna, name, "USD")
    monkeypatch.setattr(session, "token", lambda: small.tokens["anna"])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
    at.switch_page("transactions.py")
    at.query_params["portfolio"] = str(number)
    at.session_state["transactions_tabs"] = "New entry"
    at.run()
    next(w for w in at.get("segmented_control") if str(w.key).endswith("_group")).set_value("Cash").run()
    (on,) = [d for d in at.date_input if str(d.key).endswith("_date")]
    assert on.value == real.date() + timedelta(days=day)
    next(t for t in at.text_input if str(t.key).endswith("_gross")).set_value("10").run()
    next(b for b in at.button if b.label == "Book it").click().run()
    assert not at.exception
    (row,) = reports.answer(small.user("anna"), "transactions", Scope(number)).records()
    assert row["traded_on"] == real.date() + timedelta(days=day)


def test_a_goal_far_ahead_and_the_birth_of_markets_may_be_chosen(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    at = opened(small, monkeypatch, "portfolios", {})
    (goal,) = [d for d in at.date_input if str(d.key).startswith("edit_goal_on")]
    assert goal.max >= date(2100, 1, 1)
    goal.set_value(date(2045, 6, 30))
    next(b for b in at.button if b.label == "Save").click().run()
    assert not at.exception
    found = next(p for p in reports.portfolios(small.user("anna")) if p.name == f"{MARK} dollars")
    assert found.goal_on == date(2045, 6, 30)
    at = opened(small, monkeypatch, "transactions", {"transactions_tabs": "New entry"})
    limits = {str(d.key).rpartition("_")[2]: (d.min, d.max) for d in at.date_input}
    assert limits["date"] == (date(1900, 1, 1), clock.latest())
    assert limits["settlement"][1] >= clock.utc_day() + timedelta(days=365)
    assert limits["of"] == (date(1900, 1, 1), clock.utc_day())
    assert entry.SHOWN


def test_a_day_of_the_address_beyond_the_limits_opens_the_page(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("as_of", "1850-01-01"),
        ("as_of", str(bar_days(small.now)[-1] + timedelta(days=4000))),
        ("known_at", "1901-01-01"),
    ):
        at = opened(small, monkeypatch, "holdings", {f"?{name}": value})
        assert not at.exception, (name, value, at.exception[0].value)
