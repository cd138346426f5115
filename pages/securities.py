"""The security master: every security, one in full, a new one; and the tasks that change it while they run."""

from dataclasses import replace

import streamlit as st

from core.table import Table
from db import tasks
from ui import bulk, counterparties, frame, scope, security, security_form, session, show, task_panel, upkeep

LISTED = ("symbol", "name", "asset_class", "sector", "exchange", "currency", "price", "quoted_at", "status")
PHONE = ("symbol", "name", "price")
HIDDEN = ("retired", "delisted")  # until somebody asks for them
USUAL = "Active and halted"
EVERY = "All"


def catalogue(table: Table) -> None:
    """The list with its filters; a chosen row opens that security."""
    first, *others, last = st.columns([2, 1, 1, 1])
    text = first.text_input(
        "Search", type="search", live="300ms", placeholder="Symbol, name, ISIN …", key="securities_search"
    )
    picked = {
        key: column.selectbox(
            title, sorted({v for v in table.column(key) if v}), index=None, placeholder="All", key=f"securities_{key}"
        )
        for column, key, title in zip(others, ("asset_class", "sector"), ("Asset class", "Sector"), strict=True)
    }
    status = last.selectbox("Status", [USUAL, EVERY, *sorted(set(table.column("status")))], key="securities_status", format_func=str.capitalize)  # fmt: skip
    words = text.lower().split()
    matching = [r for r in table.records() if all(any(w in str(v).lower() for v in r.values()) for w in words)
                and all(value is None or r[key] == value for key, value in picked.items())]  # fmt: skip
    found = [r for r in matching if status in (EVERY, r["status"]) or (status == USUAL and r["status"] not in HIDDEN)]
    shown = replace(
        table, rows=tuple(tuple(r.values()) for r in found), empty="No security fits." if table.rows else table.empty
    )
    row = show.table(
        shown,
        key=f"securities_{text}_{status}_{'_'.join(str(v) for v in picked.values())}",
        select=True,
        only=PHONE if session.on_phone() else LISTED,
    )
    if row is not None:
        scope.goto(security=str(found[row]["security_id"]))
        st.rerun()
    said = ["Select a row to open the security."] if found else []
    if status == USUAL and len(found) < len(matching):
        n = len(matching) - len(found)
        said.append(
            f"{n} retired or delisted {'security is' if n == 1 else 'securities are'} hidden: choose their status above."
        )
    if said:
        st.caption(" ".join(said))


here = frame.page("Securities", needs_transactions=False)
if (task := task_panel.asked()) is not None:
    task_panel.panel(here.user, task, here)
master = here.answer("securities")
chosen = next((r for r in master.records() if r["security_id"] == here.scope.security), None)
if chosen is not None:
    security.detail(here, chosen, master)
    st.stop()
if here.scope.security is not None:
    st.warning(f"There is no security {here.scope.security}. Choose one below.", icon=":material/search_off:")
may = tasks.rights(here.user)
sections = {"Catalogue": lambda: catalogue(master)}
if "add" in may:
    sections["Add"] = lambda: security_form.add(here.user)
if "bulk" in may:
    sections["Bulk"] = lambda: bulk.section(here.user)
sections["Counterparties"] = lambda: counterparties.section(here, here.user)
sections["Maintenance"] = lambda: upkeep.section(here.user)
# further tabs: a title and what it draws, here
for tab, section in zip(
    st.tabs(list(sections), on_change="rerun", key="securities_tabs"), sections.values(), strict=True
):
    if tab.open:
        with tab:
            section()
