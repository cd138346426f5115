"""Reconciling on a page: the statement's form and its dry run, one reconciliation with its causes and decisions, what was fixed since.

What is half-entered stays in the session; which reconciliation is looked at stands in the address (`?reconciliation=…`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import streamlit as st

from core import VERSION, importing, statement
from core.importing import NotReadable
from core.ledger import LedgerError
from core.reconciliation import WHOLE, Reconciliation, Row, Tolerances
from core.reports.reconciliation import table
from core.table import Column, Context, Kind, Table
from db import reconciliation
from ui import clock, errors, frame, labels, scope, session, show
from ui.scope import Here

WORDS = {
    "matched": "✓ matched",
    "quantity": "≠ quantity",
    "price": "≈ price",
    "missing": "− missing there",
    "extra": "+ extra there",
}
DECISIONS = {"accepted": "✓ accepted", "open": "○ open", "fixed": "✓ fixed"}
CHANGES = {"fixed": "✓ fixed since", "changed": "≠ differs otherwise now", "unchanged": "○ as it was", "new": "+ new"}
WIDE = (
    "symbol",
    "verdict",
    "decision",
    "our_units",
    "their_units",
    "unit_difference",
    "our_price",
    "their_price",
    "value_difference",
    "cause",
)
PHONE = ("symbol", "verdict", "unit_difference", "decision")
BASES = {"settlement": "Settlement date", "trade": "Trade date"}
TOLERANCES = {
    "units": ("Units", "a difference of up to so many units is none"),
    "price": ("Price", "as a fraction of our price: 0.005 is half a per cent"),
    "cash": ("Cash", "a difference of up to this amount is none"),
}


def _state(here: Here) -> dict[str, Any]:
    """What is half-entered for this portfolio: the number of its open form, what was said last."""
    every: dict[UUID, dict[str, Any]] = st.session_state.setdefault("reconciling", {})
    return every.setdefault(here.portfolio.portfolio_id, {"form": 0, "said": "", "list": False})


def said(here: Here) -> bool:
    """Say what was done last; whether the list is to be opened."""
    state = _state(here)
    if state["said"]:
        st.success(show.plain(state["said"]), icon=":material/check_circle:")
        state["said"] = ""
    opened, state["list"] = state["list"], False
    return bool(opened)


# --- a new one ---------------------------------------------------------------------------------


def new(here: Here, earlier: str) -> None:
    """From the file to the result, without keeping anything before somebody says so. `earlier`: the custodian of the last one."""
    state = _state(here)
    key = f"reconcile_{here.portfolio.portfolio_id}_{state['form']}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button("Template", statement.TEMPLATE, "statement-template.csv", "text/csv", on_click="ignore", icon=":material/download:",
                           key="reconcile_template")  # fmt: skip
        st.caption(
            "A CSV with a line for each position: symbol or ISIN, quantity, price or value, currency; and one for each cash balance, type `cash`. "
            "Columns in any order, decimal point or comma."
        )
    left, middle, right = st.columns(3)
    custodian = left.text_input(
        "Custodian", earlier, max_chars=80, placeholder="Whose statement it is", key=f"{key}_custodian"
    ).strip()
    on = middle.date_input("Date of the statement", None, min_value=clock.MARKETS, max_value=clock.latest(), format="YYYY-MM-DD", key=f"{key}_on",
                           help="Empty: the file's own column `date`.")  # fmt: skip
    with right:
        basis = st.segmented_control("Count ours by", list(BASES), default="settlement", required=True, format_func=BASES.__getitem__, key=f"{key}_basis",
                                     help="Custodians mostly show what has settled. The other count stands beside it.")  # fmt: skip
    with st.expander("Tolerances", icon=":material/tune:"):
        default = Tolerances()
        cells = {}
        for column, (name, (title, what)) in zip(st.columns(3), TOLERANCES.items(), strict=True):
            cells[name] = column.text_input(
                title, format(getattr(default, name), "f"), help=what, max_chars=20, key=f"{key}_{name}"
            )
    file = st.file_uploader(
        "Statement as CSV", key=f"{key}_file", help="UTF-8 or Windows-1252; comma, semicolon or tab."
    )
    if file is None:
        st.caption("The file is compared first; nothing is kept before you say so.")
        return
    asked: dict[str, Any] = {
        "custodian": custodian,
        "file_name": file.name,
        "today": clock.latest(),
        "on": on,
        "basis": basis,
    }
    try:
        asked["tolerances"] = Tolerances(
            **{n: importing.number(f"{n} tolerance", text.strip()) for n, text in cells.items()}
        )  # type: ignore[arg-type]
        found = _compared(here, file.getvalue(), asked)
    except NotReadable as e:
        st.error(
            f"**{show.plain(file.name)} cannot be read.** Correct it and choose it again:", icon=":material/error:"
        )
        st.markdown("\n".join(f"- {show.plain(part)}" for part in str(e).split("; ")))
        return
    except LedgerError as e:
        st.warning(f"{e.field.capitalize()}: {show.plain(e.expected)}.", icon=":material/edit:")
        return
    result(here, found, key)
    if not custodian:
        st.caption("Name the custodian to keep this reconciliation.")
    if st.button(
        "Keep this reconciliation", type="primary", icon=":material/save:", key=f"{key}_keep", disabled=not custodian
    ):
        with errors.told():
            kept = reconciliation.make(
                here.user.user_id, here.portfolio.portfolio_id, file.getvalue(), **asked, keep=True
            )
            state |= {
                "form": state["form"] + 1,
                "list": True,
                "said": f"The statement of {kept.custodian} of {show.day(kept.statement_on)} is kept.",
            }
            scope.goto(reconciliation=str(kept.reconciliation_id))
            st.rerun()


def _compared(here: Here, raw: bytes, asked: dict[str, Any]) -> Reconciliation:
    """The dry run; without a custodian's name it still compares."""
    return reconciliation.make(
        here.user.user_id, here.portfolio.portfolio_id, raw, **{**asked, "custodian": asked["custodian"] or "–"}
    )


# --- one of them -------------------------------------------------------------------------------


def result(here: Here, found: Reconciliation, key: str) -> Row | None:
    """Counts, notes, rows with their causes; the row that was chosen."""
    whole = table(found, here.portfolio.base_currency)
    show.cards(whole.figures)
    show.notes(whole)
    differ = [r for r in found.result.rows if r.verdict != "matched"]
    if not found.result.rows:
        st.info("There was nothing to compare: neither side has anything.", icon=":material/inbox:")
        return None
    if not differ:
        st.success("Everything matches.", icon=":material/check_circle:")
    every = st.segmented_control("Rows", ["Differences", "All"], default="Differences" if differ else "All", required=True, key=f"{key}_which",
                                 label_visibility="collapsed")  # fmt: skip
    shown = [
        (r, cells)
        for r, cells in zip(found.result.rows, whole.rows, strict=True)
        if every == "All" or r.verdict != "matched"
    ]
    names = [c.key for c in whole.columns]
    worded = tuple(tuple(_words(name, cell, r) for name, cell in zip(names, cells, strict=True)) for r, cells in shown)
    place = show.table(
        replace(whole, rows=worded, empty="No row differs."),
        key=f"{key}_rows_{every}_{len(found.signoffs)}",
        select=True,
        only=PHONE if session.on_phone() else WIDE,
        foot=False,
    )
    show.csv(whole, f"{key}_rows")  # the file says what the API says
    if place is None:
        if differ:
            st.caption("Select a row to see its likely causes and the entries behind them.")
        return None
    row = shown[place][0]
    causes(here, row)
    return row


def _words(name: str, cell: Any, row: Row) -> Any:
    if name == "verdict":
        return WORDS[row.verdict]
    if name == "decision":
        return DECISIONS.get(cell, "○ open" if row.verdict != "matched" else None)
    return cell


def causes(here: Here, row: Row) -> None:
    """Everything about one row: both sides, why they may differ, the way to the ledger."""
    with st.container(border=True):
        st.markdown(f"**{show.plain(row.symbol)}** · {show.plain(row.name)} · {WORDS[row.verdict]}")
        kind = Kind.MONEY if row.kind == "cash" else Kind.UNITS
        what = f" {show.plain(row.currency)}" if row.kind == "cash" else " units"
        currency = row.currency if row.kind == "cash" else None
        sides = [
            f"ours **{show.text(row.our_units, kind, currency)}**{what}",
            f"theirs **{show.text(row.their_units, kind, currency)}**",
        ]
        if row.our_other is not None and row.our_other != row.our_units:
            sides.append(f"ours by the other date {show.text(row.our_other, kind, currency)}")
        if row.kind == "position" and (row.our_price is not None or row.their_price is not None):
            sides.append(
                f"prices {show.text(row.our_price, Kind.PRICE)} here, {show.text(row.their_price, Kind.PRICE)} there"
            )
        st.markdown(" · ".join(sides))
        for cause in row.causes:
            icon, guess = (":material/lightbulb:", "") if cause.strong else (":material/help:", "Possibly: ")
            st.markdown(f"{icon} {guess}{show.plain(cause.text)}")
        if not row.causes and row.verdict != "matched":
            st.caption(
                "Nothing that is known explains this difference: look at the ledger around the date, or ask the custodian."
            )
        if row.verdict != "matched":
            frame.link(
                here, "transactions", "Look at the ledger, or book what is missing", icon=":material/receipt_long:"
            )


def one(here: Here, found: Reconciliation, may: bool) -> None:
    """One that was kept: its rows and decisions, the form for a new one, what was fixed since."""
    key = f"reconciliation_{found.reconciliation_id}"
    st.subheader(f"{show.plain(found.custodian)}, {show.day(found.statement_on)}", anchor=False)
    st.caption(
        f"{show.plain(found.file_name)} · made by {show.plain(found.made_by)} on {show.text(found.made_at, Kind.TIME)} UTC · {found.state}"
    )
    rows, since_, decided = st.tabs(["Rows", "Fixed since", "Decisions"], on_change="rerun", key=f"{key}_tabs")
    if rows.open:
        with rows:
            chosen = result(here, found, key)
            if may:
                sign(here, found, chosen, key)
            else:
                st.caption(
                    "You may look at this reconciliation, not sign it. Whoever manages the portfolio can give you write access."
                )
    if since_.open:
        with since_:
            fixed(here, found, key)
    if decided.open:
        with decided:
            decisions(found, key)


def sign(here: Here, found: Reconciliation, chosen: Row | None, key: str) -> None:
    """The form for a decision about a row, every open difference, or the whole."""
    rows = {
        r.key: r for r in (*([chosen] if chosen else ()), *found.result.rows) if r is chosen or r.verdict != "matched"
    }
    titles = labels.distinct(
        {key: (f"{r.symbol}: {WORDS[r.verdict]}", r.name, r.currency, key) for key, r in rows.items()}
    )
    options = [*titles, "open", WHOLE] if titles else [WHOLE]
    titles |= {"open": "Every open difference", WHOLE: "The whole reconciliation"}
    at = f"{key}_{len(found.signoffs)}_{chosen.key if chosen else ''}"
    with st.form(f"{at}_sign"):
        left, right = st.columns(2)
        about = left.selectbox("Decide about", options, format_func=titles.__getitem__, key=f"{at}_about")
        with right:
            decision = st.segmented_control(
                "Decision",
                list(DECISIONS),
                default="accepted",
                required=True,
                format_func=DECISIONS.__getitem__,
                key=f"{at}_decision",
            )
        comment = st.text_area("Comment", max_chars=2000, height="content", key=f"{at}_comment", help="Needed where a difference is accepted.",
                               placeholder="Why, what was agreed, with whom")  # fmt: skip
        sent = st.form_submit_button("Sign", type="primary", icon=":material/draw:")
    if not sent:
        return
    keys = [r.key for r in found.result.rows if not found.is_settled(r)] if about == "open" else [str(about)]
    try:
        assert found.reconciliation_id is not None
        reconciliation.sign(
            here.user.user_id, here.portfolio.portfolio_id, found.reconciliation_id, keys, decision, comment
        )  # type: ignore[arg-type]
    except LedgerError as e:
        st.error(f"{e.field.capitalize()}: {show.plain(e.expected)}.", icon=":material/error:")
        return
    _state(here)["said"] = f"Signed: {titles[str(about)]}, {decision}."
    _state(here)["list"] = True
    st.rerun()


def fixed(here: Here, found: Reconciliation, key: str) -> None:
    """The statement beside the ledger as it is now."""
    assert found.reconciliation_id is not None
    changes = reconciliation.again(here.user.user_id, here.portfolio.portfolio_id, found.reconciliation_id)
    columns = (
        Column("symbol", "Symbol"),
        Column("now", "Now", note="what became of the difference"),
        Column("then_difference", "Difference then", Kind.UNITS, "theirs − ours"),
        Column("now_difference", "Difference now", Kind.UNITS),
        Column("cause", "Likely cause now"),
    )
    rows = []
    for c in changes:
        row = c.now or c.then
        if row is not None:
            rows.append((row.symbol, CHANGES[c.state], c.then.unit_difference if c.then else None, c.now.unit_difference if c.now else None,
                         " ".join(x.text for x in c.now.causes) if c.now else ""))  # fmt: skip
    context = Context(clock.utc_day(), here.portfolio.base_currency, VERSION)
    st.caption("The same statement, compared with the ledger as it is now. Nothing of what was found then is changed.")
    show.table(
        Table(
            "fixed",
            "Fixed since",
            columns,
            tuple(rows),
            context,
            empty="There was no difference then, and there is none now.",
        ),
        key=f"{key}_since",
    )


def decisions(found: Reconciliation, key: str) -> None:
    """Every decision, oldest first."""
    symbols = {r.key: r.symbol for r in found.result.rows} | {WHOLE: "The whole"}
    columns = (
        Column("row", "About"),
        Column("decision", "Decision"),
        Column("comment", "Comment"),
        Column("by", "By"),
        Column("at", "When (UTC)", Kind.TIME),
    )
    rows = tuple(
        (symbols.get(s.row_key, s.row_key), DECISIONS[s.decision], s.comment, s.signed_by, s.signed_at)
        for s in found.signoffs
    )
    context = Context(found.statement_on, None, VERSION)
    show.table(
        Table("decisions", "Decisions", columns, rows, context, empty="Nobody has decided anything yet."),
        key=f"{key}_decisions_{len(rows)}",
    )
