"""The security master: every security, one in full, a new one; and the tasks that change it while they run."""

from dataclasses import replace

import streamlit as st

from core.table import Table
from db import tasks
from ui import (
    bulk,
    counterparties,
    frame,
    scope,
    sectors,
    security,
    security_actions,
    security_form,
    session,
    show,
    task_panel,
    upkeep,
)

LISTED = ("symbol", "name", "asset_class", "sector", "exchange", "currency", "price", "quoted_at", "status")
PHONE = ("symbol", "name", "price")
HIDDEN = ("retired", "delisted")  # until somebody asks for them
USUAL = "Active and halted"
EVERY = "All"


def catalogue(table: Table, may: frozenset[str]) -> None:
    """The list with its filters; a chosen row opens that security. Where nothing is found, the way to add it."""
    if not table.rows:
        if may & {"add", "bulk"}:
            st.info("**There is no security yet.** Portfolios hold securities: add those you need first.", icon=":material/inventory_2:")  # fmt: skip
        else:
            st.info(f"**There is no security yet.** You cannot add one: {security_actions.why_not(look.user)}.", icon=":material/visibility:")  # fmt: skip
        ways(may)
        return
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
    if not matching and text.strip():
        ways(may, text)
    said = ["Select a row to open the security."] if found else []
    if status == USUAL and len(found) < len(matching):
        n = len(matching) - len(found)
        said.append(
            f"{n} retired or delisted {'security is' if n == 1 else 'securities are'} hidden: choose their status above."
        )
    if not may & {"add", "bulk"}:
        said.append(f"You see everything and add nothing: {security_actions.why_not(look.user)}.")
    if said:
        st.caption(" ".join(said))


def ways(may: frozenset[str], text: str = "") -> None:
    """Buttons to the tabs that add securities; `text` was searched for and not found."""
    with st.container(horizontal=True, key="b_ways"):
        if "add" in may:
            label = f"Add {show.plain(text.strip()[:40])}" if text else "Add a security"
            st.button(label, icon=":material/add:", on_click=to_add, args=(text,), key="securities_to_add")
        if "bulk" in may and not text:
            st.button("Load a file", icon=":material/upload_file:", on_click=to_tab, args=("Bulk",), key="securities_to_bulk")  # fmt: skip


def to_tab(name: str) -> None:
    st.session_state["securities_tabs"] = name


def to_add(text: str) -> None:
    if text:
        security_form.begin(text)
    to_tab("Add")


look = frame.open_to_all("Securities")
if (task := task_panel.asked()) is not None:
    task_panel.panel(look.user, task, look)
master = look.answer("securities")
chosen = next((r for r in master.records() if r["security_id"] == look.scope.security), None)
if chosen is not None:
    security.detail(look, chosen, master)
    st.stop()
if look.scope.security is not None and task is None:  # the task that deleted it says so
    st.warning(f"There is no security {look.scope.security}. Choose one below.", icon=":material/search_off:")
may = tasks.rights(look.user)
sections = {"Catalogue": lambda: catalogue(master, may)}
if "add" in may:
    sections["Add"] = lambda: security_form.add(look.user)
if "bulk" in may:
    sections["Bulk"] = lambda: bulk.section(look.user)
sections["Counterparties"] = lambda: counterparties.section(look, look.user)
sections["Sectors"] = lambda: sectors.section(look.user)
sections["Maintenance"] = lambda: upkeep.section(look.user)
# further tabs: a title and what it draws, here
for tab, section in zip(
    st.tabs(list(sections), on_change="rerun", key="securities_tabs"), sections.values(), strict=True
):
    if tab.open:
        with tab:
            section()
