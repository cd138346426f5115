"""The audit trail on its page: its filters, a row as before and after, verifying the chains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import streamlit as st

from core.audit import ACTIONS, MASTER, PEOPLE, SOURCES, Row, Wanted, as_json, belongs, changes, security
from core.table import Column, Context, Kind, Table
from db import audit
from db.access import User
from ui import clock, labels, show

FILTERS = ("who", "from", "to", "entity", "key", "action", "q", "source", "task", "chain")
CHECKED = (
    Column("belongs", "Chain"),
    Column("result", "Result"),
    Column("rows", "Rows", Kind.COUNT),
    Column(
        "head",
        "Head",
        note="chain, last row and its hash: noted elsewhere it shows later that the chain is still the same",
    ),
)
SOURCE_WORDS = {
    "page": "on a page",
    "api": "by the API",
    "csv": "with a file",
    "job": "by a job",
    "command": "by a command",
    "migration": "by an upgrade",
    "database": "straight in the database",
}
DONE = {
    "inserted": "added",
    "updated": "changed",
    "deleted": "deleted",
    "booked": "booked",
    "truncated": "emptied",
}


def filters(user: User, names: dict[str, str]) -> Wanted:
    """What to show. The address may name every filter: it leads when the page is opened, the choice leads from then on."""
    asked = {name: st.query_params.get(name) for name in FILTERS}
    if st.session_state.get("audit_asked") != asked:
        Wanted.read(asked)  # an address that cannot be read says so
        st.session_state["audit_asked"] = asked
        for name in FILTERS:
            given = asked[name] or None
            day = date.fromisoformat(given) if given and name in ("from", "to") else None
            st.session_state[f"audit_{name}"] = clock.within(day, clock.RECORDS, clock.utc_day()) if day else given
        for name in ("q", "key", "task"):
            st.session_state[f"audit_{name}"] = asked[name] or ""
    chains = [MASTER, *([PEOPLE] if user.role == "admin" else []), *names]
    with st.container(horizontal=True, vertical_alignment="bottom", key="b_audit_filters"):
        st.text_input(
            "Search", type="search", live="500ms", placeholder="Name, value, key, request …", key="audit_q", width=260
        )
        _choice("Who", audit.people(user), "who")
        _choice("Of", audit.entities(user), "entity", lambda x: x.replace("_", " "))
        _choice("What", list(ACTIONS), "action")
        for name, label in (("from", "From day"), ("to", "To day")):
            st.date_input(label, None, format="YYYY-MM-DD", key=f"audit_{name}", width=140, min_value=clock.RECORDS,
                          max_value=clock.utc_day())  # fmt: skip
        with st.popover("More", icon=":material/filter_list:"):
            _choice("Source", list(SOURCES), "source", SOURCE_WORDS.__getitem__)
            told = labels.distinct({chain: (belongs(chain, names), chain[-6:]) for chain in chains})
            _choice("Belongs to", chains, "chain", told.__getitem__)
            st.text_input("Key of a row", key="audit_key", placeholder="17")
            st.text_input("Task", key="audit_task", placeholder="id of a task")
    given = {name: st.session_state.get(f"audit_{name}") for name in FILTERS}
    return Wanted.read({name: x.isoformat() if isinstance(x, date) else x for name, x in given.items()})


def _choice(label: str, options: list[str], name: str, spoken: Any = str) -> None:
    """A filter of which one value, or none, is chosen. What the address names stays choosable."""
    now = st.session_state.get(f"audit_{name}")
    st.selectbox(
        label,
        options if now is None or now in options else [*options, now],
        index=None,
        placeholder="All",
        key=f"audit_{name}",
        format_func=lambda x: spoken(x) if x in options else x,
        width=170,
    )


@dataclass(frozen=True, slots=True)
class Files:
    """What is filtered, as files made when they are asked for."""

    user: User
    wanted: Wanted

    def csv(self) -> bytes:
        """The Table of the page, all rows."""
        return audit.whole(self.user, self.wanted).as_csv().encode()

    def json(self) -> bytes:
        """The rows as the API answers them."""
        page = audit.rows(self.user, self.wanted, limit=audit.MOST)
        return json.dumps([as_json(r) for r in page.rows], ensure_ascii=False, indent=1).encode()


def downloads(user: User, wanted: Wanted, context: Context) -> None:
    """CSV and JSON of what is filtered."""
    files = Files(user, wanted)
    for label, make, mime in (("CSV", files.csv, "text/csv"), ("JSON", files.json, "application/json")):
        st.download_button(
            label,
            make,
            file_name=f"audit-{context.as_of}.{label.lower()}",
            mime=mime,
            key=f"audit_as_{label}",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help=f"What is filtered, up to {audit.MOST:,} rows, with before, after and hashes"
            + ("" if user.role == "admin" else "; where others came from is withheld, a digest stands for it"),
        )


def one(row: Row, names: dict[str, str]) -> None:
    """A row opened: who did what, before and after side by side, and where it stands."""
    who = show.plain(row.actor_name)
    named = names.get(f"security:{security(row)}")
    where = SOURCE_WORDS.get(row.source, row.source) + (f" ({row.address})" if row.address else "")
    st.markdown(
        f"**{who}** {DONE[row.action]} {show.plain(row.entity.replace('_', ' '))} **{show.plain(named or row.entity_key)}** on "
        f"{_moment(row.at)}, {show.plain(where)}."
    )
    found = changes(row)
    if row.action == "updated" and all(c.before == c.after for c in found):
        st.caption("What changed is never shown: it is a secret.")
    sides = {"Before": [c.before for c in found], "After": [c.after for c in found]}
    if row.action != "updated":  # one side is empty all the way down
        sides = {"Was": sides["Before"]} if row.after is None else {"Now": sides["After"]}
    cells = {"Field": [c.field for c in found]} | sides
    if found:  # not a grid: long texts wrap, also on a phone
        show.facts({title: [show.MISSING if x is None else x for x in column] for title, column in cells.items()})
    line = [f"Row {row.seq:,} of {belongs(row.chain, names)}"]
    line += [f"request {row.request_id}"] if row.request_id else []
    line += [f"task {row.task_id}"] if row.task_id else []
    line += ["from which address is for admins and who did it"] if row.content else []
    st.caption(show.plain(" · ".join([*line, f"hash {row.hash.hex()}"])))


def _moment(at: datetime) -> str:
    return f"{show.day(at.date())} {at:%H:%M:%S} UTC"


def verifying(user: User, names: dict[str, str], context: Context) -> None:
    """The button for admins, and what came out."""
    if st.button("Verify the chains", icon=":material/verified_user:", key="audit_verify",
                 help="Works out every hash anew: a row that was changed, deleted or moved is found"):  # fmt: skip
        bar = st.progress(0.0, "Working out every hash anew …")
        st.session_state["audit_verified"] = audit.verified(
            user, lambda now, every: bar.progress(min(1.0, now / max(every, 1)), f"{now:,} of {every:,} rows")
        )
        bar.empty()
    done: audit.Verified | None = st.session_state.get("audit_verified")
    if done is None:
        return
    count = f"{done.rows:,} rows in {len(done.checks)} chains"
    if done.findings:
        st.error(f"**The trail is not as it was written.** {count} were looked at.\n\n" + "\n".join(f"- {show.plain(f)}" for f in done.findings),
                 icon=":material/gpp_bad:")  # fmt: skip
    else:
        st.success(
            f"**The trail is as it was written.** {count} were looked at; every hash fits.",
            icon=":material/verified_user:",
        )
    rows = tuple(
        (belongs(c.chain, names), c.finding.what if c.finding else "whole", c.rows, f"{c.chain}:{c.seq}:{c.hash.hex()}")
        for c in done.checks
    )
    with st.expander("The chains and their heads"):
        show.table(Table("audit_chains", "Chains", CHECKED, rows, context), key=f"audit_chains_{done.rows}")
        st.caption("A chain that was written anew from some row on fits again. Keep the heads elsewhere: `python -m db.audit verify --expect HEAD` "
                   "then finds it.")  # fmt: skip
