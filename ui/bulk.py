"""Securities in bulk: template and export, a file with a verdict per row before anything is written, the load as one task; backups.

The dry run happens once per file, choice and state of the master: what it said is kept in the session, without the file's rows.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import streamlit as st

from core import VERSION
from core import bulk as files
from core.bulk_rows import MOST
from core.importing import NotReadable
from core.table import Column, Context, Kind, Table
from db import backups, bulk, tasks
from db.access import User
from db.backups import Backup
from db.tasks import Task
from ui import clock, errors, plan, scope, show, verdicts
from ui.verdicts import Checked

LISTED = 10  # backups
TITLES = {"refused": "Refused", "add": "To add", "update": "To change", "unchanged": "As they are"}
WORDS = {"refused": "✕ refused", "add": "+ add", "update": "≠ change", "unchanged": "= as it is"}
EXISTING = {"refuse": "Refuse rows that differ", "update": "Update the security"}
COLUMNS = (
    Column("line", "Line", Kind.COUNT, "in the file, the first one is 1"),
    Column("verdict", "Verdict"),
    Column("security", "Security"),
    Column("reason", "Why", note="what is wrong and what would be right, or what changes"),
    Column("row", "As it was read", wide_only=True),
)


def section(user: User) -> None:
    """The tab: files out and in, then the backups. For those who may load securities."""
    if "bulk" not in tasks.rights(user):
        st.info("Your role may not load securities from files.", icon=":material/lock:")
        return
    if plan.offered("restore"):
        plan.confirm(user, "restore")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button("Template", files.TEMPLATE, "securities-template.csv", "text/csv", on_click="ignore", icon=":material/download:",
                           key="bulk_template")  # fmt: skip
        st.download_button("Export all securities", lambda: bulk.export_csv(user).encode(), "securities.csv", "text/csv", on_click="ignore",
                           icon=":material/upload_file:", key="bulk_export",
                           help="In the format of the import: loaded again, every row is as it is. Change it in a spreadsheet and load it.")  # fmt: skip
    state: dict[str, Any] = st.session_state.setdefault("bulk", {"key": uuid4().hex[:12], "checked": {}})
    file = st.file_uploader("CSV file of securities", key=f"bulk_{state['key']}",
                            help=f"With commas, semicolons or tabs; UTF-8, or as a spreadsheet saves it. Columns in any order: {', '.join(files.FIELDS)}. Only symbol and asset_class "
                            f"are needed. Up to {MOST:,} rows.")  # fmt: skip
    if file is None:
        st.caption(
            "The file is checked first; nothing is written before you say so. A backup is taken before the first row is."
        )
    else:
        _file(user, state, file.name, file.getvalue())
    _backups(user)


def _file(user: User, state: dict[str, Any], name: str, raw: bytes) -> None:
    """From the verdicts to the task."""
    existing = st.segmented_control("A row that differs from a security which is there", list(EXISTING), default="refuse", required=True,
                                    format_func=EXISTING.__getitem__, key=f"bulk_existing_{state['key']}",
                                    help="A column that the file does not have, and an empty name or currency, leave what is there.")  # fmt: skip
    seen = state.get("seen")  # what stood on the page when a button of it was pressed
    checked = _checked(user, state, name, raw, existing)
    state["seen"] = checked.csv
    if checked.unreadable:
        st.error(f"{show.plain(name)} cannot be read: {show.plain(checked.unreadable)}.", icon=":material/error:")
        return
    context = Context(clock.utc_day(), None, VERSION)
    table = Table("securities_verdicts", "Verdict per row", COLUMNS, (), context, empty="No row has this verdict.")
    verdicts.show(checked, TITLES, "add", table, f"bulk_{state['key']}")
    counts = checked.counts
    written, refused = counts["add"] + counts["update"], counts["refused"]
    partial = bool(refused and written) and st.checkbox(
        f"Load the good rows only; leave the {refused:,} refused out", key=f"bulk_partial_{state['key']}",
        help="The rows that are left out are kept with the task, to be downloaded with the reasons and corrected.",
    )  # fmt: skip
    reason = "No row of this file adds or changes a security." if not written else ""
    if written and refused and not partial:
        reason = f"{refused:,} {'row is' if refused == 1 else 'rows are'} refused: correct the file, or leave them out."
    label = f"Load {written:,} {'security' if written == 1 else 'securities'}"
    clicked = st.button(
        label, type="primary", icon=":material/check:", disabled=bool(reason), key=f"bulk_load_{state['key']}"
    )
    if reason:
        st.caption(reason)
    if clicked:
        with errors.told(), st.spinner("Checking once more"):
            again = bulk.judged(user, raw, name, existing)
            if files.verdicts_csv(again.verdicts) != seen:
                state["checked"] = {}
                st.warning("The master changed since the file was checked: the verdicts above are new, look at them once more.", icon=":material/sync:")  # fmt: skip
                return
            number = bulk.load(user, again, partial)
            st.session_state.pop("bulk")
            scope.goto(task=str(number))
            st.rerun()


def _checked(user: User, state: dict[str, Any], name: str, raw: bytes, existing: str) -> Checked:
    """The dry run of this file, made once."""
    key = (hashlib.sha256(raw).hexdigest(), existing, bulk.version(user))
    found: Checked | None = state["checked"].get(key)
    if found is None:
        with st.spinner(f"Reading {show.plain(name)}"):
            found = _dry_run(user, name, raw, existing)
        state["checked"] = {k: v for k, v in state["checked"].items() if k[::2] == key[::2]} | {key: found}
    return found


def _dry_run(user: User, name: str, raw: bytes, existing: str) -> Checked:
    try:
        found = bulk.judged(user, raw, name, existing)
    except NotReadable as e:
        return Checked({}, {}, "", str(e))
    return Checked(found.counts, verdicts.first(found.verdicts, TITLES, _row), files.verdicts_csv(found.verdicts))


def _row(v: files.Verdict) -> verdicts.Row:
    return (v.line, WORDS[v.outcome], v.listing, v.words, verdicts.as_read(v.cells))


# --- backups ----------------------------------------------------------------------------------------------------------


def way_back(user: User, task: Task) -> None:
    """After a load or a restore: the rows that it left out, and the plan that restores the state before."""
    if "bulk" not in tasks.rights(user):
        return
    if left := bulk.left_out(user, task.task_id):
        st.download_button(f"{left:,} {'row' if left == 1 else 'rows'} left out", lambda: bulk.refused_csv(user, task.task_id).encode(),
                           "securities-refused.csv", "text/csv", on_click="ignore", icon=":material/download:", key="task_left_out",
                           help="With the reasons: corrected, the file is loaded as it is.")  # fmt: skip
    kept = backups.of_task(user, task.task_id)
    if kept is not None and st.button("Restore the state before", icon=":material/settings_backup_restore:", key="task_restore",
                                      help="Shows what would be written first."):  # fmt: skip
        with errors.told():
            made = backups.plan_restore(user, kept.backup_id)
            plan.offer(f"undo_{task.task_id}", made, {"backup": str(kept.backup_id)}, task.task_id)


def _backups(user: User) -> None:
    """What is kept, newest first, each with its way back."""
    every = backups.backups(user, LISTED + 1)
    if not every:
        return
    st.subheader("Backups", anchor=False)
    st.caption(f"One is taken before every load and every restore. The newest {backups.KEEP} are kept, and all of {backups.DAYS} days.")  # fmt: skip
    for kept in every[:LISTED]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"backup_{kept.backup_id}"):
            _backup(user, kept)
    if len(every) > LISTED:
        st.caption("Older ones are listed by the API, GET /v1/backups.")


def _backup(user: User, kept: Backup) -> None:
    number, by = kept.backup_id, f" · {show.plain(kept.taken_by)}" if kept.taken_by else ""
    st.markdown(
        f"**{kept.taken_at:%Y-%m-%d %H:%M:%S} UTC**{by}  \n{show.plain(kept.what)}  \n"
        f"{kept.rows['securities']:,} securities, {sum(kept.rows.values()):,} rows, {kept.bytes / 1024:,.0f} KB",
        width="stretch",
    )
    st.download_button("Download", lambda: backups.content(user, number)[1], f"securities-{kept.taken_at:%Y-%m-%dT%H-%M-%S}.jsonl.gz",
                       "application/gzip", on_click="ignore", icon=":material/download:", type="tertiary", key=f"backup_get_{number}")  # fmt: skip
    if st.button("Restore", icon=":material/settings_backup_restore:", key=f"backup_restore_{number}", help="Shows what would be written first."):  # fmt: skip
        with errors.told():
            made = backups.plan_restore(user, number)
            plan.offer("restore", made, {"backup": str(number)}, backups.task_of(user, number))
