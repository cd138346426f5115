"""What every page shares: the head line with its freshness, what needs attention, the live refresh, links with the scope.

here = frame.page("Holdings")                      # head of the page; ends it where there is nothing to show
frame.page("Overview", live=figures)               # `figures(here)` is drawn below the head and again while the market is open
look = frame.open_to_all("Securities")             # a page that needs no portfolio: `look.here` is there where there is one
frame.link(here, "transactions", "Book the first transaction")
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.reasons import NoPrice, NoRate
from db.access import User
from settings import ROOT, settings
from ui import errors, freshness, session, show
from ui import scope as scopes
from ui.look import escape
from ui.scope import Here, Look

REFRESH = 10  # seconds, as often as the jobs refresh the quotes
QUIET = 60  # seconds while the market is closed: often enough to see it open
DEMO = "Demo: real prices of 1990–2022, dates shifted; not live"
PERIODS = {
    "1D": "1 day",
    "1W": "1 week",
    "MTD": "month to date",
    "1M": "1 month",
    "QTD": "quarter to date",
    "3M": "3 months",
    "YTD": "year to date",
    "1Y": "1 year",
    "3Y": "3 years",
    "5Y": "5 years",
    "ALL": "since inception",
}


def page(title: str, *, live: Callable[[Here], None] | None = None, needs_transactions: bool = True) -> Here:
    """Open a page: ask who looks and at what, draw the head. The page ends here, with the next step, where there is nothing
    to show. `live` draws figures that follow the market; it is called again on its own while a market is open."""
    user = session.require_user()
    st.title(title, anchor=False)
    _, here = scopes.read(user)
    if here is None:
        _nothing_yet(user)
        st.stop()
    if here.scope.is_past:
        _past(here)
    if needs_transactions and here.is_empty and len(here.present.view.book.ledger):
        _head(here)
        st.info(
            f"**Nothing of {show.plain(here.portfolio.name)} was known yet at this time.** Its first entries were recorded later.",
            icon=":material/history:",
        )
        st.stop()
    if needs_transactions and here.is_empty:
        _head(here)
        st.info(
            f"**{show.plain(here.portfolio.name)} has no transactions yet.** Import a CSV or enter the first one: a deposit, then a purchase. "
            "This page fills itself from there.",
            icon=":material/inbox:",
        )
        link(here, "transactions", "Enter or import transactions", icon=":material/receipt_long:")
        st.stop()

    first = [True]

    def body() -> None:
        with errors.told():
            now = here if first.pop() else _again()
            first.append(False)
            _head(now)
            if live is not None:
                live(now)

    market = freshness.of(here.view)
    every = None if market.state == "past" else REFRESH if market.phase == "regular" else QUIET
    st.fragment(body, run_every=every)()
    return here


def open_to_all(title: str) -> Look:
    """Open a page that needs no portfolio: with its head line where there is one, else with the title alone."""
    user = session.require_user()
    found = scopes.look(user)
    if found.here is not None:
        return page(title, needs_transactions=False)
    st.title(title, anchor=False)
    if found.scope.is_past:
        _past(found)
    return found


def _nothing_yet(user: User) -> None:
    """What to do first, for whoever has no portfolio."""
    if user.role == "viewer":
        st.info(
            "**No portfolio is shared with you yet.** This page shows one. As a viewer you see what others share: ask the owner of a "
            "portfolio, or an admin. Securities, tasks and the audit trail are open to you already.",
            icon=":material/visibility:",
        )
        link(None, "securities", "Look at the securities", icon=":material/inventory_2:")
        return
    st.info("**There is no portfolio yet.** This page fills itself once there is one.", icon=":material/add_circle:")
    steps = (
        ("Create a portfolio", "portfolios", ":material/add:", "Its name, currency and cost method are enough."),
        ("Add securities", "securities", ":material/inventory_2:", "Those it holds: one by one, or all at once out of a CSV."),
        ("Import transactions", "transactions", ":material/receipt_long:",
         "Your broker's export with a verdict for every row, or the first deposit by hand. It opens once there is a portfolio."),
    )  # fmt: skip
    for n, (label, name, icon, said) in enumerate(steps, 1):
        with st.container(border=True, key=f"b_first_{name}"):
            if name == "transactions":
                st.markdown(f"{icon} **{n}. {label}**")
            else:
                link(None, name, f"**{n}. {label}**", icon=icon)
            st.caption(said)


def _past(here: Look) -> None:
    """In words, which past is looked at, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center", key="b_past"):
        st.info(f"**You look at the past:** {past_words(here)}.", icon=":material/history:", width="stretch")
        st.button("Back to now", icon=":material/update:", on_click=scopes.back_to_now, key="back_to_now")


def past_words(here: Look) -> str:
    """ "as of 3 March 2026, as known on 5 March 2026 18:00 UTC" """
    on = here.here.view.on if here.here is not None else here.scope.as_of
    words = [f"as of {show.day(on)}"] if on is not None else []
    if here.scope.known_at is not None:
        words.append(f"as known on {show.moment(here.scope.known_at)}")
    return ", ".join(words)


def _again() -> Here:
    """The look anew, for a refresh: still signed in, still allowed, the newest quotes."""
    user = session.user()
    if user is None:
        st.rerun()
    _, here = scopes.read(user)
    if here is None:
        st.rerun()
    return here


def _head(here: Here) -> None:
    """Portfolio · period · as of · currency · freshness, then in words what the figures lack."""
    badge = freshness.of(here.view)
    line = [
        f"<b>{escape(here.portfolio.name)}</b>",
        f"<span>{PERIODS[here.scope.period]}</span>",
        f"<span>as of {show.day(here.view.on) if here.scope.is_past else 'now'}</span>",
        f"<span>{escape(here.portfolio.base_currency)}</span>",
        f'<span class="b-{badge.state}" role="status"><i class="b-dot"></i>'
        f'<span class="b-badge" tabindex="0" title="{escape(badge.detail)}">{escape(badge.words)}</span></span>',
    ]
    if settings.demo or here.portfolio.demo:
        line.append(f'<span class="b-demo">{DEMO}</span>')
    st.html(f'<div class="b-line">{"".join(line)}</div>')
    lacking = [m for m in here.view.valuation.missing if isinstance(m, NoPrice | NoRate)]  # of splits the pages say more
    if lacking:
        said = "; ".join(str(m) for m in lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        st.warning(
            f"**The figures are incomplete:** {show.plain(said)}. What has no price is left out of the value; statistics leave such days out.",
            icon=":material/warning:",
        )
        link(here, "holdings", "Show the positions concerned")


def link(here: Look | None, name: str, label: str, icon: str | None = None, **changes: object) -> None:
    """A link to a page that carries the scope (None: without one); nothing where there is no such page."""
    if (ROOT / "pages" / f"{name}.py").exists():
        st.page_link(f"{name}.py", label=label, icon=icon, query_params=here.query(**changes) if here else None)
