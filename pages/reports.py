"""Every report there is: what it says, its columns, its rows, its file and its address in the API."""

from typing import Any
from urllib.parse import urlencode, urlsplit

import streamlit as st

from core.reports import REPORTS, Report
from core.table import Column, Context, Table
from db.reports import ADMIN_ONLY
from ui import explain, frame, labels, scope, show

COLUMNS = (
    Column("key", "Key in JSON and CSV"),
    Column("title", "Title"),
    Column("kind", "Kind"),
    Column("note", "What it means"),
)


def columns_of(report: Report, context: Context) -> Table:
    """The columns of a report, as a table."""
    rows = tuple((c.key, c.title, c.kind.value, c.note) for c in report.columns)
    return Table(f"{report.name}_columns", f"Columns of {report.title}", COLUMNS, rows, context)


here = frame.page("Reports", needs_transactions=False)
names = sorted(
    (n for n, r in REPORTS.items() if here.user.role == "admin" or not ADMIN_ONLY & set(r.inputs)),
    key=lambda n: REPORTS[n].title,
)
asked = st.query_params.get("report", names[0])
if asked not in names:
    st.warning(f"There is no report {show.plain(repr(asked))} for you. Choose one below.", icon=":material/search_off:")
st.session_state["report"] = asked if asked in names else names[0]  # the address leads, the choice writes it
st.selectbox("Report", names, format_func=lambda n: f"{REPORTS[n].title} · {n}", key="report", help="Everything the pages show, and what they do not.",
             on_change=lambda: scope.goto(report=st.session_state["report"]))  # fmt: skip
report = REPORTS[st.session_state["report"]]
st.markdown(report.definition)
changes: dict[str, Any] = {}
if "`by`" in report.definition:
    scope.by_control(here, key="report_by")
if "(`lookback`" in report.definition:
    scope.lookback_control(here, key="report_lookback")
if {"bars", "studied"} & set(report.inputs):
    rows = here.answer("securities").records()
    master = labels.distinct({r["security_id"]: (f"{r['symbol']} · {r['name']}", r["exchange"]) for r in rows})
    first = list(master).index(here.scope.security) if here.scope.security in master else 0
    if not master:
        st.info("There are no securities yet.", icon=":material/inbox:")
        st.stop()
    changes["security"] = st.selectbox(
        "Security", list(master), index=first, format_func=master.__getitem__, key="report_security"
    )
if "story" in report.inputs:
    changes["since"] = scope.looked_back(here)
    first, then = st.columns(2)
    with first:
        scope.since_input(here, changes["since"])
    with then:
        scope.until_input(here)
table = here.answer(report.name, **changes)
explain.cards(here, table, changes=changes)
explain.hint()
explain.table(here, table, key=f"report_{report.name}_{here.portfolio.version}", changes=changes, rows=1_500)
if len(table.rows) > 1_500:
    st.caption(f"The first 1,500 of {len(table.rows):,} rows are shown; the CSV and the API have all.")
show.notes(table)
columns, address = st.tabs(["Columns", "API address"])
with columns:
    show.table(columns_of(report, table.context), key=f"columns_{report.name}")
with address:
    parts = urlsplit(st.context.url or "")
    base = f"{parts.scheme or 'http'}://{parts.netloc or 'localhost'}/api/v1/reports/{report.name}?{urlencode(here.query(**changes))}"
    st.caption(
        "The same figures as JSON, and as CSV. In this browser your sign-in counts; elsewhere send a token: `Authorization: Bearer …` (see /api/docs)."
    )
    st.code(base, language=None, wrap_lines=True)
    st.code(f"{base}&format=csv", language=None, wrap_lines=True)
