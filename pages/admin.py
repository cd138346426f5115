"""How the installation is doing: health, jobs, runs, feeds, dead letters, rights, settings in force, people. For admins."""

import os
from dataclasses import replace
from itertools import pairwise

import streamlit as st

from core import VERSION
from core.table import Column, Context, Kind, Table
from db import access, reports, runs
from settings import table as settings_table
from ui import clock, notifications, policy, session, show

user = session.require_user()
st.title("Admin", anchor=False)
if user.role != "admin":
    st.error("**This page is for admins.** It shows jobs, settings and people of the whole installation. Your portfolios are not affected; "
             "an admin can tell you what you need, or change your role.", icon=":material/lock:")  # fmt: skip
    st.stop()

context = Context(clock.utc_day(), None, VERSION)
health = runs.health()
with st.grid("auto", min_column_width=210, gap="small"):
    for title, key in (("Database", "database"), ("Schema", "schema")):
        st.metric(title, str(health[key] or show.MISSING), border=True)
    for title, key in (
        ("Scheduler worked, UTC", "scheduler_last_success"),
        ("Quotes came, UTC", "quotes_updated"),
    ):
        st.metric(title, show.text(health[key], Kind.TIME), border=True)
jobs, feeds, letters = (reports.answer(user, n) for n in ("job_states", "feed_states", "dead_letters"))
undelivered = len(reports.answer(user, "undelivered").rows)
if failing := [r["job"] for r in jobs.records() if r["status"] == "failed"]:
    st.error(
        f"The last run failed of: {show.plain(', '.join(failing))}. See its error under Runs.", icon=":material/error:"
    )
if letters.rows:
    st.warning(
        f"{len(letters.rows)} failed runs are waiting for somebody: see Dead letters.",
        icon=":material/mark_email_unread:",
    )
if undelivered:
    st.warning(
        f"{undelivered} {'notification' if undelivered == 1 else 'notifications'} did not arrive: see Dead letters.",
        icon=":material/notification_important:",
    )
names = ["Jobs", "Runs", "Feeds", "Dead letters", "Who may do what", "Settings", "People and portfolios"]
tabs = dict(zip(names, st.tabs(names, on_change="rerun", key="admin_tabs"), strict=True))
for name, table in (("Jobs", jobs), ("Feeds", feeds), ("Dead letters", letters)):
    if tabs[name].open:
        with tabs[name]:
            show.table(table, key=f"admin_{table.name}")
            for more in ("feed_troubles", "price_gaps") if name == "Feeds" else ():
                show.table(reports.answer(user, more), key=f"admin_{more}", title=True)
            if name == "Dead letters":
                notifications.undelivered(user)
if tabs["Runs"].open:
    with tabs["Runs"]:
        table = reports.answer(user, "job_runs")
        with st.container(horizontal=True):
            job = st.selectbox(
                "Job", sorted(set(table.column("job"))), index=None, placeholder="All", key="admin_job", width=240
            )
            status = st.selectbox(
                "Status",
                sorted(set(table.column("status"))),
                index=None,
                placeholder="All",
                key="admin_status",
                width=240,
            )
        rows = [tuple(r.values()) for r in table.records() if job in (None, r["job"]) and status in (None, r["status"])]
        empty = "No run fits." if table.rows else table.empty
        chosen = show.table(
            replace(table, rows=tuple(rows), empty=empty), key=f"admin_runs_{job}_{status}", select=True
        )
        if chosen is not None:
            show.facts({c.title: show.text(v, c.kind) for c, v in zip(table.columns, rows[chosen], strict=True)})
if tabs["Who may do what"].open:
    with tabs["Who may do what"]:
        policy.who_may(user)
if tabs["Settings"].open:
    with tabs["Settings"]:
        lines = settings_table(os.environ).splitlines()
        at = [0, *(lines[0].index(word) for word in ("default", "current", "meaning")), None]
        cells = tuple(tuple(line[a:b].strip() for a, b in pairwise(at)) for line in lines[1:])
        columns = (
            Column("variable", "Variable"),
            Column("default", "Default", wide_only=True),
            Column("current", "In force"),
            Column("meaning", "Meaning"),
        )
        show.table(Table("settings", "Settings", columns, cells, context), key="admin_settings", height=560)
        st.caption("Environment variables, read at the start; passwords are masked. Change one and start again.")
if tabs["People and portfolios"].open:
    with tabs["People and portfolios"]:
        columns = (Column("username", "User name"), Column("display_name", "Name"), Column("role", "Role"))
        people = tuple(row[1:] for row in access.users(user))
        show.table(Table("people", "People", columns, people, context), key="admin_people", title=True)
        columns = (Column("name", "Portfolio"), Column("base_currency", "Currency"), Column("method", "Cost method"), Column("access", "Your access"),
                   Column("version", "Version", Kind.COUNT, "raised by every change"))  # fmt: skip
        mine = tuple((p.name, p.base_currency, p.method, p.access, p.version) for p in reports.portfolios(user))
        show.table(
            Table("portfolios", "Portfolios", columns, mine, context, empty="None is yours to see."),
            key="admin_portfolios",
            title=True,
        )
        st.caption(
            "An admin sees only portfolios that were shared with them. People are added with `python -m db.admin`."
        )
