"""The pages for work: what is entered is booked once or refused in words, undone by a reversal, imported after a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from small import MARK, WORDS, Small, bar_days, installed
from streamlit.testing.v1 import AppTest

from core.scope import Scope
from core.table import Column, Context, Kind, Table
from db import access, books, imports, ledger, market, portfolios, reports, tasks
from ui import entry, session, show

Opened = Callable[..., AppTest]
BOOK = "Book it"


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """The small installation with an empty portfolio of Anna's and a viewer who may look at it."""
    with installed(server) as made:
        access.create_user("vera", WORDS, "viewer", "Vera")
        made.tokens["vera"] = access.sign_in("vera", WORDS)[0]
        for name in ("Empty", "Desk", "Files", "Settings"):
            made.portfolios[name] = portfolios.create_portfolio(made.anna, name, "USD")
        for name in (f"{MARK} dollars", "Desk"):
            access.share(made.user("anna"), made.portfolios[name], "vera", "write")
        access.share(made.user("anna"), made.portfolios["Desk"], "ben", "read")
        yield made


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(page, who, portfolio, tab)`: a page as somebody's browser gets it."""

    def run(
        page: str, who: str = "anna", portfolio: str | None = None, tab: str | None = None, **query: str
    ) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who])
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        if portfolio:
            at.query_params["portfolio"] = str(small.portfolios[portfolio])
        for name, value in query.items():
            at.query_params[name] = value
        at.switch_page(f"{page}.py")
        if tab:
            at.session_state["transactions_tabs"] = tab
        at.run()
        assert not at.exception, at.exception[0].value
        return at

    return run


def rows(small: Small, name: str) -> Table:
    return reports.answer(small.user("anna"), "transactions", Scope(small.portfolios[name]))


def field(at: AppTest, name: str) -> Any:
    """The widget of a field of the entry form: its key carries the form's number."""
    (found,) = [w for kind in ("text_input", "selectbox", "date_input") for w in at.get(kind)
                if str(w.key or "").startswith("entry_") and str(w.key).split("_")[2] == name]  # fmt: skip
    return found


def click(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label == label]
    button.click().run()
    assert not at.exception, at.exception[0].value
    return at


def words(at: AppTest) -> str:
    blocks = (at.markdown, at.info, at.warning, at.error, at.success, at.caption)
    return "\n".join(str(each.value) for block in blocks for each in block)


def choose(at: AppTest, kind: str) -> AppTest:
    """Choose a kind in its group."""
    group = next(g for g, kinds in entry.GROUPS.items() if kind in kinds)
    next(w for w in at.get("segmented_control") if str(w.key).endswith("_group")).set_value(group).run()
    next(w for w in at.get("pills") if "_kind_" in str(w.key)).set_value(kind).run()
    assert not at.exception, at.exception[0].value
    return at


def filled(at: AppTest, **cells: str) -> AppTest:
    for name, value in cells.items():
        field(at, name).set_value(value).run()
    assert not at.exception
    return at


# --- the entry form ----------------------------------------------------------------------------


def test_what_will_be_booked_is_said_then_booked_then_undone(opened: Opened, small: Small) -> None:
    at = opened("transactions", portfolio="Desk", tab="New entry")
    before = len(rows(small, "Desk").rows)
    filled(at, symbol="XNYS:ACME", quantity="10", price="185.50", fees="1")
    preview = next(str(i.value) for i in at.info if "This will book" in str(i.value))
    assert "buy 10 ACME at 185.50 = 1,855.00\u00a0USD, fees 1.00, cash \u22121,856.00\u00a0USD" in preview
    assert len(rows(small, "Desk").rows) == before, "nothing is booked by looking"
    click(at, BOOK)
    assert any(str(s.value).startswith("Booked: buy 10 ACME") for s in at.success)
    table = rows(small, "Desk")
    assert len(table.rows) == before + 1
    assert str(table.column("net")[0]) == "-1856.000000"
    assert field(at, "quantity").value == "", "the next form is empty"
    click(at, "Undo")
    assert sorted(rows(small, "Desk").column("state"))[-2:] != ["booked", "booked"]
    assert len(rows(small, "Desk").rows) == before + 2
    assert any("Undone by a reversal" in str(s.value) for s in at.success)


@pytest.mark.parametrize(
    ("kind", "cells", "said"),
    [
        (
            "spin_off",
            {"symbol": "XNYS:ACME"},
            "complete **Spun off**, **New units for those held**, **Share of the cost**",
        ),
        ("exchange", {}, "complete **Amount given**, **Amount received**"),
    ],
)
def test_what_is_missing_is_named_as_the_form_names_it(
    opened: Opened, kind: str, cells: dict[str, str], said: str
) -> None:
    at = choose(opened("transactions", portfolio="Desk", tab="New entry"), kind)
    click(filled(at, **cells), BOOK)
    assert f"Nothing was booked yet: {said}." in [str(e.value) for e in at.error]


def test_errors_name_kinds_in_english(opened: Opened) -> None:
    at = choose(opened("transactions", portfolio="Desk", tab="New entry"), "interest")
    assert "An interest payment needs it" in words(click(at, BOOK))
    assert "A spin-off needs it" in words(click(choose(at, "spin_off"), BOOK))
    assert "Effective date" in [d.label for d in at.date_input]


def test_the_other_side_of_an_exchange_is_a_usual_currency(opened: Opened) -> None:
    at = choose(opened("transactions", portfolio="Desk", tab="New entry"), "exchange")
    assert {field(at, "currency").value, field(at, "receivedin").value} == {"USD", "EUR"}


def test_tables_say_kinds_in_words_and_their_data_do_not() -> None:
    table = Table("t", "T", (Column("kind", "Kind"), Column("n", "N", Kind.COUNT)), (("return_of_capital", 1), ("spin_off", 2)),
                  Context(date(2026, 1, 2), None, "1"))  # fmt: skip
    _, shown, _ = show._data(table, ("kind", "n"), 2, False)
    assert list(shown.data["kind"]) == ["return of capital", "spin-off"]
    assert table.column("kind")[0] == "return_of_capital"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"quantity": "10", "price": "1"}, "Choose a security"),
        ({"symbol": "XNYS:ACME", "price": "1"}, "A buy needs it, such as 10"),
        ({"symbol": "XNYS:ACME", "quantity": "ten", "price": "1"}, "A number such as 1234.56 is needed"),
        ({"symbol": "XNYS:ACME", "quantity": "1", "price": "1,855.00"}, "no thousands separators"),
        ({"symbol": "XNYS:ACME", "quantity": "-1", "price": "1"}, "A buy needs a positive number of units"),
        ({"symbol": "XNYS:ACME", "quantity": "1", "price": "1", "fees": "-1"}, "Fees are given as a positive amount"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_booked(
    opened: Opened, small: Small, cells: dict[str, str], message: str
) -> None:
    at = opened("transactions", portfolio="Desk", tab="New entry")
    before = len(rows(small, "Desk").rows)
    click(filled(at, **cells), BOOK)
    assert message in "\n".join(str(m.value) for m in at.markdown)
    assert any("Nothing was booked yet" in str(e.value) for e in at.error)
    assert {n: field(at, n).value for n in cells} == cells, "what was entered stays"
    assert len(rows(small, "Desk").rows) == before


def test_selling_more_than_is_held_is_refused_at_the_quantity(opened: Opened, small: Small) -> None:
    at = opened("transactions", portfolio=f"{MARK} dollars", tab="New entry")
    choose(at, "sell")
    before = len(rows(small, f"{MARK} dollars").rows)
    click(filled(at, symbol="XNYS:ACME", quantity="1000000", price="1"), BOOK)
    assert "ACME are held on that day" in words(at)
    assert len(rows(small, f"{MARK} dollars").rows) == before


def test_the_same_form_sent_twice_books_once(small: Small) -> None:
    """What a double click does: the same key again."""
    user, portfolio = small.user("anna"), small.portfolios["Desk"]
    known = market.listings(user.user_id)
    book = books.live(user.user_id, portfolio).book
    cells = {"kind": "deposit", "date": bar_days(small.now)[9].isoformat(), "gross": "7.00", "currency": "USD"}
    checked = entry.check(cells, known, frozenset({"USD"}), book)
    assert checked.draft is not None
    first, second = (
        ledger.append(user.user_id, portfolio, [checked.draft], small.now.date(), "form", "entry_x") for _ in "ab"
    )
    assert first == second


@pytest.mark.parametrize("kind", entry.KINDS)
def test_every_kind_asks_for_its_fields_alone(opened: Opened, kind: str) -> None:
    at = opened("transactions", portfolio="Desk", tab="New entry")
    choose(at, kind)
    form = kind + "_kind" if kind in entry.IN_KIND else kind
    shown = {
        str(w.key).split("_")[2]
        for k in ("text_input", "selectbox", "date_input")
        for w in at.get(k)
        if str(w.key or "").startswith("entry_")
    }
    assert shown == set(entry.FIELDS[form]) - {"fx"}


def test_who_may_only_look_sees_no_form_and_why(opened: Opened) -> None:
    for who, why in (("vera", "signed in as a viewer"), ("ben", "not book in it")):
        at = opened("transactions", who=who, portfolio="Desk")
        assert why in words(at)
        assert not at.get("pills")
        assert not at.get("file_uploader")
        assert not [b for b in at.button if b.label in (BOOK, "Undo")]


# --- the import --------------------------------------------------------------------------------


def test_an_import_is_looked_at_then_booked_and_adds_nothing_twice(opened: Opened, small: Small) -> None:
    day = bar_days(small.now)[8].isoformat()
    file = (f"date,kind,symbol,quantity,price,gross\n{day},deposit,,,,1000\n{day},buy,ACME,1,100,\n{day},buy,ACME,1,100,\n"
            f"{day},buy,NOPE,1,100,\n2026-13-01,buy,ACME,1,1,\n").encode()  # fmt: skip
    at = opened("transactions", portfolio="Files", tab="Import CSV")
    at.get("file_uploader")[0].upload("mine.csv", file).run()
    assert not at.exception
    assert {m.label: m.value for m in at.metric} == {"To book": "3", "Already booked": "0", "Refused": "2"}
    verdicts = at.dataframe[0].value
    assert list(verdicts["line"]) == [5, 6], "refused rows come first"
    assert "no such security" in " ".join(verdicts["reason"])
    at.segmented_control(key=next(c.key for c in at.segmented_control if c.label == "Rows")).set_value("").run()
    assert [v[0] for v in at.dataframe[0].value["verdict"]] == ["✕", "✕", "✓", "✓", "✓"]
    (book,) = [b for b in at.button if b.label == "Book 3 transactions"]
    assert book.disabled
    assert not rows(small, "Files").rows, "a look books nothing"
    at.checkbox[0].check().run()
    click(at, "Book 3 transactions")
    assert any("Booked 3 transactions from mine.csv" in str(s.value) for s in at.success)
    assert len(rows(small, "Files").rows) == 3
    again = opened("transactions", portfolio="Files", tab="Import CSV")
    again.get("file_uploader")[0].upload("mine.csv", file).run()
    assert {m.label: m.value for m in again.metric}["Already booked"] == "3"
    assert not [b for b in again.button if b.label.startswith("Book ")]


def test_a_file_offers_to_create_securities_to_those_who_may(opened: Opened, small: Small) -> None:
    file = f"date,kind,symbol,quantity,price\n{bar_days(small.now)[8]},buy,NOPE,1,100\n".encode()

    def looked() -> AppTest:
        at = opened("transactions", portfolio="Empty", tab="Import CSV")
        at.get("file_uploader")[0].upload("mine.csv", file).run()
        return at

    offered = lambda at: [o for s in at.selectbox if "NOPE" in s.label for o in s.options]  # noqa: E731
    assert any(o.startswith("Create NOPE") for o in offered(looked()))
    tasks.set_policy(small.user("anna"), {"four_eyes": ["add"]})
    at = looked()
    assert offered(at) == ["Decide …", "Leave its 1 row out"]
    assert "None can be created here: a second person approves every new security" in words(at)
    tasks.set_policy(small.user("anna"), {"four_eyes": []})


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("only.csv", b"date,kind\n", "a header but no rows"),
        ("other.csv", b"2026-01-05;buy;ACME\n", "the header has no column 'date'"),
        (
            "book.xlsx",
            b"PK\x03\x04\x00\x00\x00" * 9,
            "this is a spreadsheet or another packed file: a broker's export as CSV",
        ),
    ],
)
def test_what_is_no_such_file_is_said(opened: Opened, small: Small, name: str, raw: bytes, message: str) -> None:
    at = opened("transactions", portfolio="Empty", tab="Import CSV")
    at.get("file_uploader")[0].upload(name, raw).run()
    assert not at.exception
    assert message in "\n".join(str(e.value) for e in at.error)
    assert not at.metric


def test_a_file_is_judged_once(opened: Opened, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = imports.import_file
    monkeypatch.setattr(imports, "import_file", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
    at = opened("transactions", portfolio="Empty", tab="Import CSV")
    at.get("file_uploader")[0].upload("a.csv", b"date,kind,gross\n2020-01-02,deposit,1\n").run()
    at.run()
    at.run()
    assert len(calls) == 1


# --- the other pages ---------------------------------------------------------------------------


def test_compliance_names_the_breach_and_how_much_over(opened: Opened) -> None:
    at = opened("compliance", portfolio=f"{MARK} dollars")
    assert {m.label for m in at.metric} == {"Breached", "Near their limit", "Kept", "Not known"}
    assert "over the limit" in words(at)
    assert "ACME" in words(at)
    assert any("✕ breached" in str(d.value.to_string()) for d in at.dataframe)


def test_a_security_opens_by_its_address(opened: Opened, small: Small) -> None:
    at = opened("securities", portfolio=f"{MARK} dollars", security=str(small.securities["ACME"]))
    assert any("ACME" in str(h.value) for h in at.header)
    assert {"Units", "Weight"} <= {m.label for m in at.metric}
    unknown = opened("securities", security="99999")
    assert any("no security 99999" in str(w.value) for w in unknown.warning)


def test_every_report_opens_with_its_address(opened: Opened) -> None:
    at = opened("reports", portfolio=f"{MARK} dollars")
    (choice,) = [s for s in at.selectbox if s.key == "report"]
    for title in choice.options:
        name = title.rpartition(" · ")[2]
        next(s for s in at.selectbox if s.key == "report").set_value(name).run()
        assert not at.exception, name
        assert f"/api/v1/reports/{name}?" in at.code[0].value
    at = opened("reports", portfolio=f"{MARK} dollars", report="lots")
    assert "/api/v1/reports/lots?" in at.code[0].value


def test_reports_of_the_installation_are_offered_to_admins_alone(opened: Opened) -> None:
    for who, there in (("anna", True), ("ben", False)):
        (choice,) = [s for s in opened("reports", who=who).selectbox if s.key == "report"]
        assert any("job_runs" in o for o in choice.options) is there


def test_admin_is_for_admins(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "token", lambda: small.tokens["ben"])
    at = AppTest.from_file(str(ROOT / "pages" / "admin.py"), default_timeout=60).run()
    assert any("for admins" in str(e.value) for e in at.error)
    assert not at.dataframe
    assert not at.metric


def test_admin_shows_jobs_and_health(opened: Opened) -> None:
    at = opened("admin")
    assert "ok" in {m.value for m in at.metric}
    assert "quotes" in at.dataframe[0].value.to_string()


def test_a_portfolio_is_created_once_and_a_bad_name_is_said(opened: Opened, small: Small) -> None:
    at = opened("portfolios", portfolio="Settings")
    click(at, "Create portfolio")
    assert "1 to 80 characters are needed" in words(at)
    (name,) = [t for t in at.text_input if str(t.key).startswith("create_name")]
    name.set_value("Brand new")
    click(at, "Create portfolio")
    assert any("Brand new is ready" in str(s.value) for s in at.success)
    assert [p.name for p in reports.portfolios(small.user("anna"))].count("Brand new") == 1
    (name,) = [t for t in at.text_input if str(t.key).startswith("create_name")]
    name.set_value("brand NEW")
    click(at, "Create portfolio")
    assert "you have a portfolio of this name" in words(at).lower()


def test_a_stale_edit_is_told_and_can_be_resolved(opened: Opened, small: Small) -> None:
    at = opened("portfolios", portfolio="Settings")
    now = portfolio(small, "Settings")
    portfolios.edit_portfolio(small.anna, now.portfolio_id, now.version, note="somebody was here")
    (goal,) = [t for t in at.text_input if str(t.key).startswith("edit_goal")]
    goal.set_value("250000")
    click(at, "Save")
    assert "Somebody changed this portfolio" in words(at)
    assert portfolio(small, "Settings").goal_value is None
    click(at, "Keep mine: let me save over it")
    click(at, "Save")
    assert show.text(portfolio(small, "Settings").goal_value) == "250,000.00"


def test_sharing_and_its_end(opened: Opened, small: Small) -> None:
    at = opened("portfolios", portfolio="Settings")
    at.selectbox(key="share_who").set_value("ben")
    click(at, "Set access")
    number = small.portfolios["Settings"]
    assert number in {p.portfolio_id for p in reports.portfolios(small.user("ben"))}
    assert ("ben", "read") in {(g[0], g[3]) for g in access.grants(small.user("anna"), number)}
    at.selectbox(key="share_who").set_value("ben")
    at.selectbox(key="share_access").set_value("none")
    click(at, "Set access")
    assert number not in {p.portfolio_id for p in reports.portfolios(small.user("ben"))}


def test_archiving_asks_first(opened: Opened, small: Small) -> None:
    number: UUID = portfolios.create_portfolio(small.anna, "To go", "USD")
    small.portfolios["To go"] = number
    at = opened("portfolios", portfolio="To go")
    click(at, "Archive this portfolio…")
    assert number in {p.portfolio_id for p in reports.portfolios(small.user("anna"))}
    assert "leaves every list, for everybody" in words(at)
    assert [b for b in at.button if b.label == "Archive it"]


def portfolio(small: Small, name: str) -> Any:
    return next(p for p in reports.portfolios(small.user("anna")) if p.portfolio_id == small.portfolios[name])


# --- broker exports, tables of unknown format ----------------------------------------------------


def test_a_brokers_export_asks_about_its_securities_and_is_undone(opened: Opened, small: Small) -> None:
    day = bar_days(small.now)[9].isoformat()
    file = (f"Action,Time,ISIN,Ticker,Name,No. of shares,Price / share,Currency (Price / share),Exchange rate,Result,Currency (Result),Total,Currency (Total)\n"
            f"Market buy,{day} 09:30:00,US0000000991,QQQQ,Quite New,2,10,USD,1,,USD,20,USD\n").encode()  # fmt: skip
    at = opened("transactions", portfolio="Files", tab="Import CSV")
    at.get("file_uploader")[0].upload("export.csv", file).run()
    assert not at.exception, at.exception[0].value
    assert "Recognised: **Trading 212" in words(at)
    assert {m.label: m.value for m in at.metric}["Refused"] == "1"
    (choice,) = [s for s in at.selectbox if str(s.key).startswith("unknown_")]
    choice.select("create").run()
    assert not at.exception, at.exception[0].value
    assert {m.label: m.value for m in at.metric} == {"To book": "1", "Already booked": "0", "Refused": "0"}
    before = len(rows(small, "Files").rows)
    click(at, "Book 1 transaction")
    assert "QQQQ" in {s.symbol for s in market.securities(small.anna)}
    assert len(rows(small, "Files").rows) == before + 1
    (undo,) = [b for b in at.button if str(b.key).startswith("undo_sure_last")]
    undo.click().run()
    assert any("import was undone" in str(s.value) for s in at.success)
    assert [r["kind"] for r in rows(small, "Files").records() if r["symbol"] == "QQQQ"] == ["reversal", "buy"]


def test_an_unknown_table_is_mapped_on_the_page_and_known_the_next_time(opened: Opened, small: Small) -> None:
    day = bar_days(small.now)[9]
    file = f"Dnia;Co;Papier;Ile;Po ile;Razem\n{day:%d.%m.%Y};Buy;ACME;2;10,50;21,00\n{day:%d.%m.%Y};Deposit;;;;5,00\n".encode()
    at = opened("transactions", portfolio="Files", tab="Import CSV")
    at.get("file_uploader")[0].upload("polska.csv", file).run()
    assert not at.exception, at.exception[0].value
    assert "a format that is not known yet" in words(at)
    assert any("choose the column of the date" in str(w.value) for w in at.warning)
    for name, theirs in (
        ("date", "Dnia"),
        ("kind", "Co"),
        ("symbol", "Papier"),
        ("quantity", "Ile"),
        ("price", "Po ile"),
        ("gross", "Razem"),
    ):
        (select,) = [s for s in at.selectbox if str(s.key).startswith("map_") and str(s.key).endswith(f"_{name}")]
        select.select(theirs).run()
        assert not at.exception, at.exception[0].value
    assert "2 records: 2 can be booked" in words(at)
    click(at, "Keep this map and go on")
    assert {m.label: m.value for m in at.metric} == {"To book": "2", "Already booked": "0", "Refused": "0"}
    again = opened("transactions", portfolio="Empty", tab="Import CSV")
    again.get("file_uploader")[0].upload("polska-2.csv", file).run()
    assert "Recognised: **polska**" in words(again)
    assert {m.label: m.value for m in again.metric}["To book"] == "2"


# --- odd dates --------------------------------------------------------------------------------


def test_a_trade_on_a_weekend_is_warned_of_in_the_form_and_booked(opened: Opened, small: Small) -> None:
    friday = next(d for d in bar_days(small.now)[20:] if d.weekday() == 4)
    saturday = friday + timedelta(days=1)
    odd = f"XNYS has no session on that day, a Saturday: the session before is {friday}, the next {friday + timedelta(days=3)}"
    at = opened("transactions", portfolio="Desk", tab="New entry")
    filled(at, symbol="XNYS:ACME", quantity="3", price="100")
    assert not [w for w in at.warning if "Trade date" in str(w.value)]
    field(at, "date").set_value(saturday).run()
    assert [w for w in at.warning if odd in str(w.value) and "You can book it all the same." in str(w.value)]
    before = len(rows(small, "Desk").rows)
    click(at, BOOK)
    assert len(rows(small, "Desk").rows) == before + 1


def test_an_import_counts_the_rows_with_odd_dates(opened: Opened, small: Small) -> None:
    friday = next(d for d in bar_days(small.now)[20:] if d.weekday() == 4)
    file = f"date,kind,symbol,quantity,price\n{friday + timedelta(days=1)},buy,ACME,4,100\n{friday},buy,ACME,4,100\n".encode()
    at = opened("transactions", portfolio="Files", tab="Import CSV")
    at.get("file_uploader")[0].upload("odd.csv", file).run()
    assert [str(w.value) for w in at.warning] == ["1 row to book has an odd date: see Why. You can book all the same."]
    reasons = list(at.dataframe[0].value["reason"])
    assert sum("a Saturday" in str(r) for r in reasons) == 1
    assert [b for b in at.button if b.label == "Book 2 transactions"]
