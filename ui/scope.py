"""The scope a page shows. It lives in the URL alone (`?portfolio=…&period=…&as_of=…`), so that a link is the whole view.

Widgets only write the URL; every run reads it. Forms alone keep what is half-entered in the session state (entry, importer,
portfolio_forms); nothing else does.

    here = frame.page("Holdings")                   # Here: user, portfolio, scope; draws the head of the page
    table = here.answer("holdings")                 # the report for this scope
    lots = here.answer("lots", security=17)         # the same scope, one thing changed
    frame.link(here, "holdings", "Holdings", period="1M")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import Any
from uuid import UUID

import streamlit as st

from core.book import Portfolio
from core.explain import Explanation
from core.scope import CHART_PERIODS, GROUPS, LOOKBACKS, PERIODS, BadScope, Scope
from core.table import Table
from core.view import View
from db import reports
from db.access import User
from db.books import Live, NoSuchPortfolio
from ui import clock, labels

PARAMETERS = ("portfolio", "period", "lookback", "as_of", "known_at", "by", "security", "year", "since")
FIRST = datetime(1970, 1, 1)  # noqa: DTZ001 — the first time that the widgets offer, UTC
NONE = UUID(int=0)  # the portfolio of a look at none
ONE_RUN = 1.0  # seconds after which a page's run is another one
PERIOD_TITLES = {"ALL": "All"}
GROUP_TITLES = {
    "asset_class": "Asset class",
    "sector": "Sector",
    "country": "Country",
    "currency": "Currency",
    "security": "Security",
}


@dataclass(frozen=True)
class Look:
    """One person's look at what is of no portfolio: the security master. All there is for whoever has no portfolio."""

    user: User
    scope: Scope

    def answer(self, name: str, **changes: Any) -> Table:
        """One report; `changes` replace fields of the scope. Raises BadScope for a report of a portfolio."""
        return reports.answer(self.user, name, replace(self.scope, **changes))

    def explain(
        self, name: str, column: str | None, row: int | None, figure: str | None = None, **changes: Any
    ) -> Explanation:
        """How one cell (`row` None: of the total) or figure of the same report comes about."""
        return reports.explain(self.user, name, replace(self.scope, **changes), column, row, figure)

    @property
    def here(self) -> Here | None:
        """The same look where it is at a portfolio."""
        return None

    @property
    def present(self) -> Look:
        """The same now, whatever past is looked at."""
        return replace(self, scope=self._now()) if self.scope.is_past else self

    def query(self, **changes: Any) -> dict[str, str]:
        """The scope as query parameters, for links."""
        return {k: v for k, v in replace(self.scope, **changes).query().items() if v != str(NONE)}

    def _now(self) -> Scope:
        return replace(self.scope, as_of=None, known_at=None)


@dataclass(frozen=True)
class Here(Look):
    """One person's look at one portfolio. Everything a page shows is asked through it."""

    portfolio: Portfolio

    @property
    def here(self) -> Here:
        """Itself."""
        return self

    def answer(self, name: str, **changes: Any) -> Table:
        """One report; `changes` replace fields of the scope. Access was asked in this run of the page."""
        scope = replace(self.scope, **changes)
        same = (scope.portfolio, scope.known_at) == (self.scope.portfolio, self.scope.known_at)
        return reports.answer(self.user, name, scope, asked=self._asked() if same else None)

    def explain(
        self, name: str, column: str | None, row: int | None, figure: str | None = None, **changes: Any
    ) -> Explanation:
        """How one cell (`row` None: of the total) or figure of the same report comes about."""
        scope = replace(self.scope, **changes)
        same = (scope.portfolio, scope.known_at) == (self.scope.portfolio, self.scope.known_at)
        return reports.explain(self.user, name, scope, column, row, figure, asked=self._asked() if same else None)

    def _asked(self) -> Live:
        """The Book and quotes for this run, access asked; a fragment that runs again later asks again."""
        at, found = self.__dict__.get("_kept", (0.0, None))
        if found is None or monotonic() - at > ONE_RUN:
            found = reports.ask(self.user, self.scope)
            self.__dict__["_kept"] = (monotonic(), found)
        return found

    @cached_property
    def view(self) -> View:
        """What the reports are made from: for the page's head, never for figures."""
        return reports.view(self.user, self.scope, asked=self._asked())

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever booked."""
        return not len(self.view.book.ledger)

    @property
    def may_write(self) -> bool:
        """Whether this person may book in this portfolio."""
        return self.portfolio.access in ("write", "manage")

    @property
    def present(self) -> Here:
        """The same portfolio now: what entries are booked against, whatever past is looked at."""
        return replace(self, scope=self._now()) if self.scope.is_past else self


def read(user: User) -> tuple[list[Portfolio], Here | None]:
    """The person's portfolios and the look that the URL asks for (None: there is no portfolio yet).

    Raises NoSuchPortfolio for an id that is not theirs to see, BadScope for anything that cannot be read.
    """
    mine: list[Portfolio] = reports.portfolios(user)
    query = {name: st.query_params.get(name) for name in PARAMETERS}
    if wanted := query["portfolio"]:
        try:
            number = UUID(wanted)
        except ValueError:
            raise BadScope("portfolio", wanted, "the id of one of your portfolios") from None
        found = next((p for p in mine if p.portfolio_id == number), None)
        if found is None:
            raise NoSuchPortfolio("there is no such portfolio, or you have no access to it")
    elif not mine:
        return mine, None
    else:
        found = mine[0]
    return mine, Here(user, Scope.read(found.portfolio_id, query), found)


def look(user: User) -> Look:
    """What the URL asks for of what is of no portfolio; at the portfolio, where there is one. Raises as `read`."""
    return read(user)[1] or Look(user, Scope.read(NONE, {name: st.query_params.get(name) for name in PARAMETERS}))


def portfolios(user: User) -> list[Portfolio]:
    """The portfolios this person may see."""
    found: list[Portfolio] = reports.portfolios(user)
    return found


def goto(**changes: str | None) -> None:
    """Write query parameters (None leaves one out); for callbacks of widgets."""
    for name, value in changes.items():
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def _bound(key: str, name: str, now: Any, text: Callable[[Any], str | None]) -> dict[str, Any]:
    """The arguments that tie a widget to one parameter: the URL's value in, the reader's choice out."""
    st.session_state[key] = now

    def chosen() -> None:
        goto(**{name: text(st.session_state[key])})

    return {"key": key, "on_change": chosen}


def portfolio_select(mine: list[Portfolio], here: Here | None) -> None:
    """Which portfolio; the others of the scope stay."""
    names = labels.portfolios(mine)
    st.selectbox(
        "Portfolio",
        list(names),
        format_func=lambda number: names.get(number, "–"),
        placeholder="Choose a portfolio",
        **_bound(
            "scope_portfolio",
            "portfolio",
            here.portfolio.portfolio_id if here else None,
            lambda v: str(v) if v else None,
        ),
    )


def period_control(here: Look, key: str = "scope_period", label: bool = False, all_of_them: bool = False) -> None:
    """The period, one of seven, or of `all_of_them`; a link may ask for one beside the seven. The same one everywhere: a page
    may show it a second time under another key."""
    st.segmented_control(
        "Period",
        [p for p in PERIODS if all_of_them or p in CHART_PERIODS or p == here.scope.period],
        required=True,
        format_func=lambda p: PERIOD_TITLES.get(p, p),
        label_visibility="visible" if label else "collapsed",
        **_bound(key, "period", here.scope.period, lambda v: None if v == "1Y" else v),
    )


def lookback_control(here: Look, key: str = "scope_lookback") -> None:
    """What figures of risk are made of: a choice of its own beside the period."""
    st.segmented_control(
        "Look-back",
        LOOKBACKS,
        required=True,
        format_func=lambda p: PERIOD_TITLES.get(p, p),
        help="The history that volatility, beta, drawdown and ratios are made of, whatever period other pages show. VaR takes its own window of 252 sessions.",
        **_bound(key, "lookback", here.scope.lookback, lambda v: None if v == "1Y" else v),
    )


def as_of_input(here: Here) -> None:
    """The date looked at; empty is now."""
    st.date_input(
        "As of",
        help="Figures as they stood at the end of this day. Empty: now, with live prices.",
        format="YYYY-MM-DD",
        value=None,
        min_value=clock.MARKETS,
        max_value=clock.utc_day(),
        **_bound(
            "scope_as_of",
            "as_of",
            clock.within(here.scope.as_of, clock.MARKETS, clock.utc_day()),
            lambda v: v.isoformat() if v else None,
        ),
    )


def looked_back(here: Here) -> datetime:
    """The earlier time of knowledge of what moved: the URL's, else the usual while before the later one."""
    until = here.scope.known_at or clock.now().replace(second=0, microsecond=0)
    return here.scope.since or until - reports.LOOK_BACK


def _utc(at: datetime | None) -> datetime | None:
    """A time as the widgets have it: UTC without saying so, within what they offer, in whole minutes. A browser sends no more than
    these back, and a value that comes back changed would be taken for the reader's choice."""
    bare = None if at is None else at.astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)
    return clock.within(bare, FIRST, _last_minute())


def _zoned(at: datetime | None) -> str | None:
    return None if at is None else at.replace(tzinfo=UTC).isoformat()


def known_at_input(here: Here) -> None:
    """The time of knowledge, folded away until it is used; empty is now."""
    with st.expander("As it was known…", expanded=here.scope.known_at is not None, icon=":material/history:"):
        st.datetime_input(
            "Known at, UTC",
            help="Figures from what was recorded up to this time: entries, reversals, prices, FX, cost methods and limits that came "
            "later are left out, and so are live quotes. Empty: everything known now.",
            format="YYYY-MM-DD",
            value=None,
            min_value=FIRST,
            max_value=_last_minute(),
            step=timedelta(minutes=1),
            **_bound("scope_known_at", "known_at", _utc(here.scope.known_at), _zoned),
        )


def since_input(here: Here, since: datetime) -> None:
    """The earlier of the two times of knowledge that are compared."""
    st.datetime_input(
        "First known at, UTC",
        format="YYYY-MM-DD",
        value=None,
        min_value=FIRST,
        max_value=_last_minute(),
        step=timedelta(minutes=1),
        **_bound("scope_since", "since", _utc(since), _zoned),
    )


def until_input(here: Here) -> None:
    """The later one: the same as the sidebar's."""
    st.datetime_input(
        "Then known at, UTC",
        help="Empty: now.",
        format="YYYY-MM-DD",
        value=None,
        min_value=FIRST,
        max_value=_last_minute(),
        step=timedelta(minutes=1),
        **_bound("scope_until", "known_at", _utc(here.scope.known_at), _zoned),
    )


def _last_minute() -> datetime:
    """No time after today is offered; a bound that moved with the clock would make every run another widget."""
    return datetime.combine(clock.utc_day(), datetime.max.time().replace(second=0, microsecond=0))


def back_to_now() -> None:
    """Leave the past; for a button."""
    goto(as_of=None, known_at=None)


def by_control(here: Here, key: str = "scope_by") -> None:
    """What the value is grouped by."""
    st.segmented_control(
        "Group by",
        GROUPS,
        required=True,
        format_func=lambda g: GROUP_TITLES[g],
        label_visibility="collapsed",
        **_bound(key, "by", here.scope.by, lambda v: None if v == "sector" else v),
    )


def year_select(here: Here, years: list[int], chosen: int) -> None:
    """Which calendar year a tax report is of; `chosen` is the one it is of now."""
    st.selectbox(
        "Tax year",
        years,
        format_func=str,
        **_bound("scope_year", "year", chosen, lambda v: str(v) if v else None),
    )
