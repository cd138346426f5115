"""Portfolios: yours, their settings, who may see them, a new one."""

import streamlit as st

from core import VERSION
from core.methods import SPOKEN
from core.table import Column, Context, Kind, Table
from ui import clock, cost_methods, frame, scope, session, show, unbooked
from ui.portfolio_forms import confirm_archive, create, edit, sharing

user = session.require_user()
mine, here = scope.read(user)
st.title("Portfolios", anchor=False)
if said := st.session_state.pop("portfolio_said", ""):
    st.success(show.plain(said), icon=":material/check_circle:")
    if here is not None:
        frame.link(
            here, "transactions", f"Transactions of {show.plain(here.portfolio.name)}", icon=":material/receipt_long:"
        )
if here is None:
    st.info(
        "**There is no portfolio yet.** Create the first one; then import a CSV or enter a deposit.",
        icon=":material/add_circle:",
    )
    create(user, mine)
    st.stop()
columns = (Column("name", "Name"), Column("base_currency", "Currency"), Column("method", "Cost method"), Column("access", "Your access"),
           Column("goal_value", "Goal", Kind.MONEY, "in its base currency"), Column("goal_on", "Goal date", Kind.DATE, wide_only=True), Column("note", "Note", wide_only=True))  # fmt: skip
rows = tuple((p.name, p.base_currency, SPOKEN[p.method], p.access, p.goal_value, p.goal_on, p.note) for p in mine)
show.table(
    Table("portfolios", "Your portfolios", columns, rows, Context(clock.utc_day(), None, VERSION)),
    key="portfolios_mine",
)
unbooked.every_portfolio(here)
shared, made = st.tabs(
    [show.plain(here.portfolio.name), "New portfolio"], key=f"portfolios_tabs_{here.portfolio.portfolio_id}"
)
with shared:
    if here.may_write and user.role != "viewer":
        st.subheader("Settings", anchor=False)
        edit(here)
    st.subheader("Cost method", anchor=False)
    cost_methods.history(here)
    st.subheader("Who may see it", anchor=False)
    sharing(here)
    if (
        here.may_write
        and user.role != "viewer"
        and st.button("Archive this portfolio…", icon=":material/archive:", key="archive")
    ):
        confirm_archive(here)
with made:
    create(user, mine)
