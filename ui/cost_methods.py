"""The cost methods of a portfolio: their history, and a change from a day on with what it restates shown before it is made."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import streamlit as st

from core import VERSION
from core.fx import day_number
from core.ledger import LedgerError
from core.methods import SPOKEN, method_on
from core.preview import Restatement
from core.table import Column, Context, Kind, Table
from db import portfolios
from db.access import AccessDenied
from db.edits import StaleEdit
from ui import clock, lot_picker, show
from ui.scope import Here


def history(here: Here) -> None:
    """Every method that was ever set, and the form that changes it for whom manages the portfolio."""
    p, today = here.portfolio, clock.utc_day()
    columns = (Column("valid_from", "Valid from"), Column("method", "Cost method"), Column("recorded_at", "Set", Kind.TIME, wide_only=True),
               Column("state", "State"))  # fmt: skip
    set_so_far = portfolios.methods(here.user.user_id, p.portfolio_id)
    first = date(1900, 1, 1)
    now = max((m.valid_from for m in set_so_far if m.valid_from <= today and not m.superseded), default=first)
    rows = tuple(
        ("the beginning" if m.valid_from == first else m.valid_from.isoformat(), SPOKEN[m.method], m.recorded_at,
         "replaced" if m.superseded else "in force" if m.valid_from == now else "to come" if m.valid_from > today else "until the next")
        for m in set_so_far
    )  # fmt: skip
    table = Table("cost_methods", "Cost methods", columns, rows, Context(today, None, VERSION))
    show.table(table, key=f"methods_{p.portfolio_id}_{len(rows)}", foot=False)
    st.caption("A sale takes its cost by the method in force on its day; the first one holds from the beginning.")
    if p.access != "manage" or here.user.role == "viewer":
        st.caption("Only those who manage this portfolio may change its cost method.")
        return
    _change(here)


def _change(here: Here) -> None:
    """A day and a method; what that restates; then, knowing it, the change."""
    p = here.portfolio
    state: dict[str, Any] = st.session_state.setdefault("method_changes", {}).setdefault(p.portfolio_id, {})
    left, right = st.columns(2)
    on = left.date_input("New method from", value=clock.today(), format="YYYY-MM-DD", min_value=clock.MARKETS, max_value=clock.FAR, key=f"method_from_{p.portfolio_id}",
                         help="Sales on and after this day, up to the next dated method, take their cost by it.")  # fmt: skip
    method = right.selectbox("Cost method", list(SPOKEN), format_func=SPOKEN.__getitem__, key=f"method_{p.portfolio_id}",
                             index=list(SPOKEN).index(p.method))  # fmt: skip
    if not isinstance(on, date):
        return
    asked = (on, method, p.version)
    if st.button("Show what it changes", icon=":material/visibility:", key=f"method_look_{p.portfolio_id}"):
        state["asked"] = asked
    if state.get("asked") != asked:
        return
    today = clock.utc_day()
    try:
        said = portfolios.change_method(here.user.user_id, p.portfolio_id, on, method, today, dry_run=True)
        _restated(said, here, on, method)
        with st.container(horizontal=True):
            if st.button("Change the method", type="primary", icon=":material/check:", key=f"method_yes_{p.portfolio_id}"):  # fmt: skip
                portfolios.change_method(here.user.user_id, p.portfolio_id, on, method, today, p.version)
                _done(p.portfolio_id, f"{p.name} uses {SPOKEN[method].lower()} from {show.day(on)} on.")
            st.button("Leave it", icon=":material/close:", on_click=state.clear, key=f"method_no_{p.portfolio_id}")
    except (LedgerError, AccessDenied, StaleEdit) as e:
        words = e.expected if isinstance(e, LedgerError) else str(e)
        st.error(f"Nothing was changed: {show.plain(words)}.", icon=":material/error:")


def _done(portfolio: UUID, words: str) -> None:
    st.session_state["method_changes"].pop(portfolio, None)
    st.session_state["portfolio_said"] = words
    st.rerun()


def _restated(said: Restatement, here: Here, on: date, method: str) -> None:
    """Realised gains by year before and after, and the open lots that differ."""
    p = here.portfolio
    before = SPOKEN[method_on(p.dated_methods, day_number(on))].lower()
    if not any(y.before != y.after for y in said.years) and not (said.before or said.after):
        st.info(f"Nothing is restated: under {SPOKEN[method].lower()} every gain and lot so far stays as it is.", icon=":material/info:")  # fmt: skip
        return
    st.info(
        f"**{SPOKEN[method]} instead of {before} from {show.day(on)} on** changes the realised gain of all years by "
        f"{show.money(said.difference, p.base_currency, signed=True)}. Holdings and their value stay.",
        icon=":material/difference:",
    )
    columns = (Column("year", "Year"), Column("before", "Realised gain now", Kind.MONEY, "in the base currency"), Column("after", "Realised gain then", Kind.MONEY),
               Column("difference", "Difference", Kind.MONEY))  # fmt: skip
    context = Context(on, p.base_currency, VERSION)
    rows = tuple((str(y.year), y.before, y.after, y.difference) for y in said.years)
    show.table(Table("restated", "Realised gains", columns, rows, context, empty="Nothing has been sold."), key="restated", foot=False)  # fmt: skip
    if said.before or said.after:
        left, right = st.columns(2)
        for place, name, title, lots in ((left, "now", "Open lots now", said.before), (right, "then", "Open lots then", said.after)):  # fmt: skip
            with place:
                st.markdown(f"**{title}**")
                show.table(lot_picker.lots_table(f"restated_{name}", title, lots, on), key=f"restated_{name}", foot=False)  # fmt: skip
