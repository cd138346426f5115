"""Corporate actions that the feeds know and the ledger does not have: said where the wrong value stands, booked from there.

unbooked.warn(here)                     # on a page of a portfolio: its splits, the button, the plan, the task that books them
unbooked.of_security(look, s)           # on the page of a security: in which portfolios it is lacking
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from core.plans import PRIVATE
from core.reasons import spelled
from core.table import Kind
from core.unbooked import Unbooked
from db import tasks, unbooked
from db.access import User
from db.unbooked import Split, Standing
from ui import clock, errors, explain, frame, plan, show, task_panel
from ui.scope import Here, Look

PLAN = "book_splits"
MOST = 3  # said one by one
COLUMNS = ("symbol", "action", "ex_on", "state", "ratio", "amount", "units", "after", "due", "currency")


def _today() -> date:
    return clock.utc_day()


def warn(here: Here) -> None:
    """What is wrong with the units of this portfolio and the way to put it right; nothing where nothing is."""
    _under_way(here)
    found = [f for f in here.view.unbooked_splits if f.is_unsound]
    if not found:
        return
    every = [] if here.scope.is_past else _everywhere(here, [f for f in found[:MOST] if f.is_bookable])
    for f in found[:MOST]:
        _one(here, f, [s for s in every if s.split == _split(f)])
    if len(found) > MOST:
        with st.container(horizontal=True, vertical_alignment="center", key="b_unbooked_more"):
            st.warning(f"**{len(found) - MOST} more splits are known and not booked as they are known.**", icon=":material/call_split:")  # fmt: skip
            _button(here.user, None, "Book all of them", "unbooked_all")


def _everywhere(here: Here, found: Sequence[Unbooked]) -> list[Standing]:
    return [s for number in sorted({f.security.security_id for f in found})
            for s in unbooked.everywhere(here.user, _today(), number, dividends=False)]  # fmt: skip


def _split(f: Unbooked) -> Split:
    return f.security.security_id, f.action.ex_on


def _one(here: Here, f: Unbooked, standing: Sequence[Standing]) -> None:
    """One split of this portfolio, with the button for those who may book it."""
    with st.container(
        horizontal=True, vertical_alignment="center", key=f"b_unbooked_{f.security.security_id}_{f.action.ex_on}"
    ):
        st.warning(f"**{show.plain(f.security.symbol)}: {show.plain(f.words)}.** {_meaning(f)}", icon=":material/call_split:", width="stretch")  # fmt: skip
        if here.scope.is_past:
            return
        if any(s.may_book and s.portfolio_id == here.portfolio.portfolio_id for s in standing):
            mine = sum(s.may_book for s in standing)
            label = "Book it" if mine == 1 else f"Book it in {mine} portfolios"
            _button(here.user, {_split(f)}, label, f"unbooked_book_{f.security.security_id}_{f.action.ex_on}")
        elif f.is_bookable:
            st.caption("You may look at this portfolio, not book in it.")
        else:
            frame.link(here, "transactions", "Show the entries", icon=":material/receipt_long:")


def _meaning(f: Unbooked) -> str:
    """What follows for the figures."""
    if f.state == "not booked" and f.after is not None:
        before, after = (show.text(abs(n), Kind.UNITS) for n in (f.units, f.after))
        return f"The {before} units of then are {after} since: value and returns are wrong until it is booked."
    if f.state == "not booked":
        return "Value and returns are wrong until it is; correct the later entries first."
    return (
        "Value and returns are wrong until ledger and feed agree: reverse what is too much, or have the feed corrected."
    )


def _button(user: User, splits: Collection[Split] | None, label: str, key: str) -> None:
    """The way to the plan."""
    if st.button(
        label, type="primary", icon=":material/playlist_add_check:", key=key, help="Shows the exact entries first."
    ):
        with errors.told():
            asked = "every one" if splits is None else [f"{number} {on}" for number, on in sorted(splits)]
            plan.offer(PLAN, unbooked.plan_book(user, _today(), splits), {"splits": asked})


def _under_way(look: Look) -> None:
    """The plan that waits to be confirmed, the task that books, or takes back, followed to its end."""
    if plan.offered(PLAN) and not look.scope.is_past:
        plan.confirm(look.user, PLAN)
    number = task_panel.asked()
    if number is None:
        return
    try:
        task = tasks.task_of(look.user, number)
    except tasks.NoSuchTask as error:
        errors.show(error)
        return
    if task.kind in PRIVATE:
        task_panel.panel(look.user, number, look)


# --- a security, all portfolios ---------------------------------------------------------------------------------------------


def of_security(look: Look, s: Mapping[str, Any]) -> None:
    """Where its actions are lacking, over all portfolios that this person may see. The task panel is the page's own."""
    if plan.offered(PLAN) and not look.scope.is_past:
        plan.confirm(look.user, PLAN)
    if look.scope.is_past:
        if look.here is not None:
            for f in look.here.view.unbooked_splits:
                if f.is_unsound and f.security.security_id == s["security_id"]:
                    _one(look.here, f, ())
        return
    every = unbooked.everywhere(look.user, _today(), s["security_id"])
    for split in dict.fromkeys(x.split for x in every if x.found.is_split):
        _in_portfolios(look.user, [x for x in every if x.found.is_split and x.split == split])
    unpaid = [x for x in every if not x.found.is_split]
    if unpaid:
        where = ", ".join(dict.fromkeys(show.plain(x.portfolio) for x in unpaid))
        st.caption(f"{_dividends([x.found for x in unpaid])} in {where}: book what was paid under Transactions.")


def _in_portfolios(user: User, standing: Sequence[Standing]) -> None:
    """One split and where it is lacking, state by state."""
    number, on = standing[0].split
    with st.container(horizontal=True, vertical_alignment="center", key=f"b_unbooked_{number}_{on}"):
        said = []
        for words in dict.fromkeys(x.found.words for x in standing):
            where = ", ".join(show.plain(x.portfolio) for x in standing if x.found.words == words)
            said.append(f"**{show.plain(words)}** in {where}.")
        st.warning(" ".join(said), icon=":material/call_split:", width="stretch")
        mine = sum(x.may_book for x in standing)
        if mine:
            label = "Book it" if mine == 1 else f"Book it in {mine} portfolios"
            _button(user, {(number, on)}, label, f"unbooked_book_{number}_{on}")


def _dividends(found: Sequence[Unbooked]) -> str:
    first = min(f.action.ex_on for f in found)
    noun = "dividend is" if len(found) == 1 else "dividends are"
    return f"{len(found):,} {noun} known, not booked since {spelled(first)}"


# --- lists ----------------------------------------------------------------------------------------------------------------


def section(here: Here) -> None:
    """The report of this portfolio, where it has rows."""
    table = here.answer("unbooked_actions")
    if not table.rows:
        return
    with st.expander(
        f"Corporate actions not booked: {len(table.rows):,}", icon=":material/call_split:", key="unbooked_section"
    ):
        explain.table(here, table, key="unbooked_actions", only=COLUMNS)
        show.explain("unbooked_actions")


def every_portfolio(look: Look) -> None:
    """The report over all portfolios, with the button that books every split of it that is this person's to book."""
    _under_way(look)
    box = st.expander("Corporate actions not booked, all portfolios", icon=":material/call_split:", on_change="rerun", key="unbooked_every")  # fmt: skip
    if not box.open:
        return
    with box:
        table = look.answer("unbooked_everywhere")
        mine = [r for r in table.records() if r["may_book"]]
        show.table(
            table, key=f"unbooked_everywhere_{len(table.rows)}_{len(mine)}", only=("portfolio", *COLUMNS, "may_book")
        )
        if mine and not look.scope.is_past:
            splits = len({(r["security_id"], r["ex_on"]) for r in mine})
            portfolios = len({r["portfolio_id"] for r in mine})
            nouns = "split" if splits == 1 else "splits", "portfolio" if portfolios == 1 else "portfolios"
            _button(look.user, None, f"Book {splits:,} {nouns[0]} in {portfolios:,} {nouns[1]}", "unbooked_book_all")


def note(here: Here) -> None:
    """One soft line where dividends are known that were never booked."""
    figure = here.answer("unbooked_actions").figure("dividends")
    if figure.value:
        noun = "dividend is" if figure.value == 1 else "dividends are"
        st.caption(f"{figure.value:,} {noun} known and not booked on units that were held.")
        frame.link(here, "holdings", "Show them", icon=":material/call_split:")
