"""What people typed is shown as it is written: on no page is it read as Markdown or HTML, whatever field it was typed into."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from conftest import ROOT
from google.protobuf.message import Message
from small import WORDS, Small, bar_days, drafts, installed, row
from streamlit.testing.v1 import AppTest
from test_tasks import worked

from core.upkeep import Finding
from db import (
    access,
    counterparties,
    imports,
    ledger,
    market,
    master,
    notices,
    portfolios,
    reconciliation,
    tasks,
    upkeep,
)
from settings import settings
from ui import session, show

EVIL = "[evil](http://evil.io) *evil* :red[evil] :material/evil: <i>evil</i>"  # 80 characters are a portfolio's
SYMBOLS = ("*EVIL*<I>EVIL", "_EVIL_[EVIL](X)")  # the second was never priced
LIVE = re.compile(r"(?<!\\)(\[evil\]\(|\*evil\*|_evil_|:red\[evil|<i>evil)|://evil|:material/evil:|www\.evil")
TWICE = r"\\\\[*_\[<:]"  # a backslash that is shown
# the fields of Streamlit's messages that its browser side reads as Markdown; `options` of these two widgets
READ = frozenset({"body", "label", "help", "title", "text", "content", "content_help", "delta", "delta_description", "captions"})  # fmt: skip
OPTIONS = frozenset({"radio", "menu_button"})
AS_IT_IS = frozenset({"html", "code", "json", "text", "exception", "plotly_chart", "bidi_component"})


# --- what a page holds --------------------------------------------------------------------------


def nodes(block: Any) -> Iterator[Any]:
    """Every element and block of a page."""
    for node in block.children.values():
        yield node
        yield from nodes(node) if hasattr(node, "children") else ()


def strings(message: Message, names: frozenset[str]) -> Iterator[str]:
    """The texts in the fields of these names, however deep."""
    for f, value in message.ListFields():
        several = (
            value if not isinstance(value, str | bytes | int | float) and not isinstance(value, Message) else [value]
        )
        for each in several:
            if isinstance(each, Message):
                yield from strings(each, names)
            elif isinstance(each, str) and f.name in names:
                yield each


def markdown(page: Any) -> Iterator[str]:
    """Every text that a browser reads as Markdown."""
    for node in nodes(page):
        proto = getattr(node, "proto", None)
        if node.type == "table":
            frame = node.value.reset_index()
            yield from (str(x) for x in (*frame.columns, *frame.to_numpy().ravel()))
        elif node.type in ("arrow_data_frame", "dataframe"):
            columns = json.loads(proto.columns or "{}")
            yield from (str(c["help"]) for c in columns.values() if c and c.get("help"))
        elif proto is not None and node.type not in AS_IT_IS:
            yield from strings(proto, READ | {"options"} if node.type in OPTIONS else READ)


def hypertext(page: Any) -> Iterator[str]:
    """Every text that a browser reads as HTML: ours, and the words in charts."""
    for node in nodes(page):
        if node.type == "html":
            yield node.proto.body
        elif node.type == "plotly_chart":
            for trace in json.loads(node.proto.spec)["data"]:
                yield from (str(trace.get(k)) for k in ("labels", "x", "y", "text", "customdata", "name"))


def plain(at: AppTest) -> None:
    """Fails where something on the page is read that is only to be shown."""
    assert not at.exception, at.exception[0].value
    for said in markdown(at._tree):
        unquoted = re.sub(r"(`+).*?\1", "", said)
        assert not LIVE.search(unquoted.lower()), said
        assert not re.search(TWICE, unquoted), f"escaped twice: {said}"
    for said in hypertext(at._tree):
        assert "<i>evil" not in said.lower(), said


def seen(at: AppTest) -> bool:
    """Whether the page shows any of it, beside the name in the frame."""
    return any("evil" in said.lower() for said in (*markdown(at.main), *hypertext(at.main)))


# --- an installation of hostile texts ----------------------------------------------------------


@dataclass
class Hostile:
    """The small installation with hostile texts in all fields that a person can type."""

    small: Small
    portfolio: UUID
    securities: list[int]
    tasks: dict[str, UUID] = field(default_factory=dict)
    proposal: str = ""


@pytest.fixture(scope="module")
def hostile(server: Any) -> Iterator[Hostile]:
    with pytest.MonkeyPatch.context() as patch, installed(server) as small:
        patch.setattr(notices, "settings", replace(settings, webhook_private=True))
        yield _made(small)


def _made(small: Small) -> Hostile:
    name = access.create_user(EVIL[:64], WORDS, "admin", EVIL)
    small.tokens["evil"] = access.sign_in(EVIL[:64], WORDS)[0]
    evil, anna = small.user("evil"), small.user("anna")
    days, today = bar_days(small.now), small.now.date()
    with small.database.jobs() as c:
        numbers = list(market.add_securities(c, [
            market.NewSecurity(symbol, EVIL, "XNYS", "USD", "Equity", "Energy", "", "US", None, EVIL) for symbol in SYMBOLS
        ]).values())  # fmt: skip
        market.upsert_bars(c, [market.Bar(numbers[0], d, 20 + i % 7) for i, d in enumerate(days)], "csv")  # type: ignore[misc]
    counterparties.add(evil, {"name": EVIL, "type": "broker", "rating": "*evil*"})
    portfolio = portfolios.create_portfolio(name, EVIL, "USD", numbers[0], "fifo", EVIL)
    small.portfolios["evil"] = portfolio
    booked = [
        row(days[5], "deposit", gross="9000", note=EVIL),
        *(row(days[6], "buy", s, quantity="10", price="20", note=EVIL, counterparty=EVIL) for s in SYMBOLS),
        row(days[9], "sell", SYMBOLS[0], quantity="2", price="15", note=EVIL),
        row(days[10], "buy", SYMBOLS[0], quantity="2", price="14"),
        row(days[20], "dividend", SYMBOLS[0], gross="5"),
    ]
    ledger.append(name, portfolio, drafts(small, name, booked, "USD"), today)
    file = f'date,kind,gross,note\r\n{days[30]},deposit,1.00,"{EVIL}"\r\n'.encode()
    imports.import_file(name, portfolio, file, f"{EVIL}.csv", today, dry_run=False)
    kept = reconciliation.make(name, portfolio, f"symbol,quantity,currency\n{SYMBOLS[0]},3,USD\n".encode(), custodian=EVIL,
                               file_name=f"{EVIL}.csv", on=days[40], today=today, keep=True)  # fmt: skip
    assert kept.reconciliation_id is not None
    made = Hostile(small, portfolio, numbers)
    with small.database.owner() as c:
        c.execute("INSERT INTO limits VALUES (%s, 'max_security_weight', '2000-01-01', 0.001, 'hard')", (portfolio,))
        c.execute("UPDATE securities SET rating = %s WHERE security_id = ANY(%s)", ("*evil*", numbers))
        upkeep.record(
            c, ("reclassify",), numbers[1:], [Finding("reclassify", numbers[1], "name", EVIL, f"{EVIL}!", EVIL)]
        )
    made.proposal = str(upkeep.proposals(anna)[0].proposal_id)
    notices.add(evil, "webhook", "http://127.0.0.1:9/*evil*[evil](x)", ["completed"])
    edit = lambda rating: tasks.request(evil, master.plan_edit(evil, numbers[0], {"rating": rating, "issuer": f"{EVIL} {rating}"}), {})  # fmt: skip  # noqa: E731
    made.tasks["done"] = edit("_evil_")
    worked()
    tasks.set_policy(anna, {"four_eyes": ["edit"]})
    made.tasks["rejected"] = edit("1")
    tasks.decide(anna, made.tasks["rejected"], False, EVIL)
    made.tasks["waiting"] = edit("2")
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'halted' WHERE security_id = %s", (numbers[0],))
    return made


@pytest.fixture
def opened(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """`opened(page, who, state={…}, chosen={…}, **query)`: a page as somebody's browser gets it; `chosen` in its tables."""

    def run(page: str, who: str = "evil", state: dict[str, Any] | None = None, chosen: dict[str, Any] | None = None, **query: str) -> AppTest:  # fmt: skip
        monkeypatch.setattr(session, "token", lambda: hostile.small.tokens[who])
        if chosen is not None:
            draw = show._draw
            monkeypatch.setattr(
                show, "_draw", lambda *a, **named: (draw(*a, **named) and None) or {"selection": chosen}
            )
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()
        for key, value in {"portfolio": str(hostile.portfolio), **query}.items():
            at.query_params[key] = value
        if page != "overview":
            at.switch_page(f"{page}.py")
        for key, value in (state or {}).items():
            at.session_state[key] = value
        return at.run()

    return run


# --- every page, every tab ---------------------------------------------------------------------

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py") if not path.stem.startswith("_"))
TABS = {
    "transactions": ("transactions_tabs", ("Edit", "New entry", "Import CSV", "What moved")),
    "securities": ("securities_tabs", ("Add", "Bulk", "Counterparties", "Sectors", "Maintenance")),
    "holdings": ("holdings_tabs", ("Realised gains", "Gains by position")),
    "income": ("income_tabs", ("Next twelve months", "Dividends booked")),
    "reconciliation": ("reconcile_tabs", ("Reconciliations",)),
    "tasks": ("tasks_tabs", ("Notifications",)),
    "admin": ("admin_tabs", ("Who may do what",)),
}
GRIDS = ("admin", "audit")  # all that people typed stands in grids there, which read nothing
OF_ONE = ("Master data", "Transactions", "Risk", "Compliance", "In full", "Audit trail", "Tasks")


@pytest.mark.parametrize(("page", "state"), [(page, {}) for page in PAGES] + [(page, {key: tab}) for page, (key, tabs) in TABS.items() for tab in tabs])  # fmt: skip
def test_every_page_and_tab(opened: Callable[..., AppTest], page: str, state: dict[str, str]) -> None:
    at = opened(page, state=state)
    plain(at)
    if page not in GRIDS or state:
        assert seen(at), "there is nothing hostile to be seen: this shows nothing"


@pytest.mark.parametrize("tab", OF_ONE)
@pytest.mark.parametrize("which", [0, 1])
def test_one_security(opened: Callable[..., AppTest], hostile: Hostile, tab: str, which: int) -> None:
    plain(opened("securities", state={"security_tabs": tab}, security=str(hostile.securities[which])))


def test_a_security_that_is_not_held_here(opened: Callable[..., AppTest], hostile: Hostile) -> None:
    for tab in ("Transactions", "Risk", "Compliance", "In full"):
        plain(opened("securities", state={"security_tabs": tab}, security=str(hostile.small.securities["FUND"])))


# --- what is opened, chosen, asked for ---------------------------------------------------------


@pytest.mark.parametrize("what", ["edit", "remove", "rename", "delist"])
def test_what_is_done_with_a_security(opened: Callable[..., AppTest], hostile: Hostile, what: str) -> None:
    number = hostile.securities[0]
    plain(opened("securities", state={"security_doing": (number, what)}, security=str(number)))


def test_a_proposal_unfolded(opened: Callable[..., AppTest], hostile: Hostile) -> None:
    plain(opened("securities", state={f"b_proposal_{hostile.proposal}": True}, security=str(hostile.securities[1])))


@pytest.mark.parametrize("task", ["waiting", "rejected", "done"])
@pytest.mark.parametrize("who", ["anna", "evil"])
def test_a_task(opened: Callable[..., AppTest], hostile: Hostile, task: str, who: str) -> None:
    at = opened("tasks", who=who, portfolio="", task=str(hostile.tasks[task]))
    plain(at)
    assert seen(at)


@pytest.mark.parametrize(
    ("page", "chosen"),
    [
        ("holdings", {"rows": [0]}),
        ("holdings", {"cells": [(0, "value")]}),
        ("holdings", {"cells": [(1, "value")]}),
        ("transactions", {"rows": [3]}),
        ("audit", {"rows": [0]}),
        ("reconciliation", {"rows": [0]}),
        ("income", {"cells": [(0, "on_cost")]}),
        ("tax", {"cells": [(0, "gain")]}),
    ],
)
def test_what_is_chosen_in_a_table(opened: Callable[..., AppTest], page: str, chosen: dict[str, Any]) -> None:
    plain(opened(page, state={"reconcile_tabs": "Reconciliations"}, chosen=chosen))


@pytest.mark.parametrize(
    "query", [{"as_of": EVIL}, {"task": EVIL}, {"report": EVIL}, {"period": EVIL}, {"security": EVIL}]
)
def test_an_address_that_quotes(opened: Callable[..., AppTest], query: dict[str, str]) -> None:
    plain(opened("reports" if "report" in query else "securities", **query))


def test_a_booking_a_file_and_a_channel_that_answer(opened: Callable[..., AppTest]) -> None:
    at = opened("transactions", state={"transactions_tabs": "New entry"})
    for name, value in (("symbol", f"XNYS:{SYMBOLS[1]}"), ("quantity", "1"), ("price", "20"), ("counterparty", EVIL)):
        (found,) = [w for kind in ("text_input", "selectbox") for w in at.get(kind) if re.fullmatch(rf"entry_\w+_{name}", str(w.key))]  # fmt: skip
        found.set_value(value).run()
    plain(at)
    assert any("This will book" in str(i.value) and "evil" in str(i.value).lower() for i in at.info)
    next(b for b in at.button if b.label == "Book it").click().run()
    plain(at)
    assert any(str(s.value).startswith("Booked") for s in at.success)
    for raw in (
        b"*evil*",
        f"date,kind,gross,note\n2026-01-05,{EVIL},1,x\n".encode(),
        f'when,"{EVIL}",c\n1,2,3\n'.encode(),
    ):
        at = opened("transactions", state={"transactions_tabs": "Import CSV"})
        at.get("file_uploader")[0].upload(f"{EVIL.replace('/', '')}.csv", raw).run()
        plain(at)
    at = opened("tasks", state={"tasks_tabs": "Notifications"})
    next(b for b in at.button if b.label == "Remove").click().run()
    plain(at)
    assert any("is removed" in str(s.value) for s in at.success)


# --- the escape itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "escaped"),
    [
        ("*AA*", r"\*AA\*"),
        ("A & B", r"A \& B"),
        ("a: b", "a: b"),
        ("- one", r"\- one"),
        ("1. one", r"1\. one"),
        ("x\n  - y", "x\n\\- y"),
        ("    code", "code"),
        (":material/home:", "\\:\u2060material/home\\:"),
        (":material_home:", "\\:\u2060material\\_home\\:"),
        ("XNYS:ACME: gone", "XNYS\\:ACME: gone"),
        (":smile: at 10:20:30", "\\:\u2060smile: at 10\\:20\\:30"),
        ("http://a.b", "http\\:\u2060//a.b"),
        ("www.a.b", "www\u2060.a.b"),
        ("a@b.c", "a@\u2060b.c"),
        ("a -> b", "a -\u2060\\> b"),
    ],
)
def test_what_streamlit_reads_even_where_it_is_escaped(said: str, escaped: str) -> None:
    assert show.plain(said) == escaped
    assert re.sub(r"\u2060|\\(?=[^\w\s]|_)", "", show.plain(said)) == re.sub(r"(?m)^ +", "", said), "nothing is lost"
