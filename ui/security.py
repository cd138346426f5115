"""One security in full: quote, chart, position, master data with its history, transactions, prices, risk, rules, audit trail, tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core import VERSION
from core.plans import MANUAL
from core.returns import period_start
from core.risk_figures import OF_A_SECURITY
from core.rules import check
from core.rules.concentration import GROUPS, group_of
from core.table import Column, Context, Figure, Kind, Table
from core.view import PERIOD_NAMES
from db import audit, ledger, master, snapshots, tasks
from ui import (
    charts,
    clock,
    explain,
    frame,
    missing_prices,
    scope,
    security_actions,
    session,
    show,
    task_panel,
    unbooked,
    upkeep,
)
from ui.scope import Here, Look

MASTER = ("name", "exchange", "isin", "asset_class", "sector", "industry", "subsector", "country", "currency", "issuer", "rating",
          "issued_on", "matures_on", "par_value", "dividend_frequency", "status", "bars")  # fmt: skip
KINDS = {"percent": Kind.PERCENT, "number": Kind.NUMBER, "date": Kind.DATE, "days": Kind.COUNT}
STATES = {"breach": "✕ breached", "near": "▲ near the limit", "ok": "✓ kept", "unknown": "? not known"}
TASKS, TRAIL = 50, 200
CHANGES, PHONE = ("at", "who", "action", "thing", "change", "source"), ("at", "who", "change")
Row = Mapping[str, Any]


def detail(look: Look, s: Row, table: Table) -> None:
    """One security in full; its buttons for those who may."""
    here, may = look.here, tasks.rights(look.user)
    st.button(
        "All securities", icon=":material/arrow_back:", on_click=scope.goto, kwargs={"security": None}, type="tertiary"
    )
    st.header(f"{show.plain(s['symbol'])} · {show.plain(s['name'])}", anchor=False)
    security_actions.banner(look, s, may)
    if not look.scope.is_past:
        _open_tasks(look, s)
        upkeep.of_security(look.user, s["security_id"], "edit" in may)
        missing_prices.of_security(look.user, s["security_id"], "edit" in may)
    unbooked.of_security(look, s)
    security_actions.bar(look, s, may)
    _figures(look, s, table)
    prices = look.answer("prices", security=s["security_id"])
    scope.period_control(look, key="security_period")
    _chart(prices, look.scope.period, s["currency"])
    sections: dict[str, Callable[[], None]] = {"Master data": lambda: _master(look, s, table)}
    if here is not None:
        sections["Transactions"] = lambda: _transactions(here, s)
    sections["Prices"] = lambda: _prices(look, s, prices)
    sections["Risk"] = lambda: _risk(look, s)
    if here is not None:
        sections["Compliance"] = lambda: _compliance(here, s)
        sections["In full"] = lambda: _in_full(here, s)
    sections["Audit trail"] = lambda: _trail(look, s)
    sections["Tasks"] = lambda: _tasks(look, s)
    for tab, section in zip(st.tabs(list(sections), on_change="rerun", key="security_tabs"), sections.values(), strict=True):  # fmt: skip
        if tab.open:
            with tab:
                section()


def _open_tasks(look: Look, s: Row) -> None:
    """What is asked to be done with it and not done yet, each with the way there; the one that is open above is not said again."""
    for task in tasks.tasks(look.user, security=s["security_id"], status=tasks.OPEN):
        if str(task.task_id) == st.query_params.get("task"):
            continue
        icon, colour, words = task_panel.STATUS[task.status]
        with st.container(horizontal=True, vertical_alignment="center", border=True, key=f"b_open_{task.task_id}"):
            st.markdown(f":{colour}[:material/{icon}:] **{show.plain(task.title)}** · {words}, asked for by {show.plain(task.requester)}", width="stretch")  # fmt: skip
            st.button("Open", on_click=scope.goto, kwargs={"task": str(task.task_id)}, key=f"security_open_{task.task_id}",
                      help=f"Open: {show.plain(task.title)}")  # fmt: skip


def _figures(look: Look, s: Row, table: Table) -> None:
    """The quote, and the position where it is held."""
    moves = look.answer("security_quote", security=s["security_id"]).column("day_change")
    change = moves[0] if moves else None
    figures = [
        Figure("price", f"Last quote, {s['currency']}", s["price"], Kind.PRICE, None, None if s["price"] else "no feed has quoted it yet", change)
    ]  # fmt: skip
    places = {"price": ("securities", table.column("security_id").index(s["security_id"]))}
    said = "No price yet: no feed has quoted it. " if s["price"] is None else "The last close up to then. "
    if s["quoted_at"]:
        said = f"Quoted {show.text(s['quoted_at'], Kind.TIME)} UTC by {s['provider']}. "
        if s["provider"] == MANUAL:
            said = f"Price of {s['quoted_at'].date()}, entered by hand. "
    if look.here is not None:
        position = _position(look.here, s)
        figures += position.values()
        places |= {key: ("holdings", row) for (key, row) in position}
        when = "at that time" if look.scope.is_past else "now"
        said += f"{'The other figures: the position' if position else 'Not held'} in {look.here.portfolio.name} {when}."
    explain.cells(look, figures, places)
    st.caption(show.plain(said))
    if not look.scope.is_past:
        _held(look, s, len(figures) > 1)


def _held(look: Look, s: Row, held: bool) -> None:
    """The other portfolios of this person (beside the chosen one, where it is `held` there) that hold it, each with the way there; nothing where none does."""
    chosen = look.here.portfolio.portfolio_id if look.here else None
    found = [h for h in snapshots.held_in(look.user.user_id, s["security_id"]) if h.portfolio_id != chosen]
    if not found:
        return
    columns = (Column("portfolio", "Also held in" if held else "Held in"), Column("units", "Units", Kind.UNITS), Column("value", "Value", Kind.MONEY),
               Column("currency", "In"), Column("weight", "Weight", Kind.PERCENT, "share of the total value, cash included"))  # fmt: skip
    rows = tuple((h.name, h.units, h.value, h.currency, h.weight) for h in found)
    context = Context(clock.utc_day(), None, VERSION)
    table = Table("held_in", "Other portfolios that hold it", columns, rows, context)
    row = show.table(table, key=f"security_held_{s['security_id']}_{chosen}", select=True, foot=False)
    if row is not None:
        scope.goto(portfolio=str(found[row].portfolio_id))
        st.rerun()
    times = sorted(h.at for h in found if h.at)
    when = f"As recorded on {show.moment(times[0])}" if times else "Not recorded yet"
    st.caption(
        f"{when}{' and since' if times and times[-1] > times[0] else ''}. Select a row to look at that portfolio."
    )


def _position(here: Here, s: Row) -> dict[tuple[str, int], Figure]:
    """The figures of the position in this portfolio, by column and row of the report `holdings`; none where it is not held."""
    holdings = here.answer("holdings")
    row = next((i for i, number in enumerate(holdings.column("security_id")) if number == s["security_id"]), None)
    if row is None:
        return {}
    held = next(iter(replace(holdings, rows=(holdings.rows[row],)).records()))
    found = {}
    for c in holdings.columns:
        if c.key in ("units", "value", "weight", "unrealised", "income"):
            currency = here.portfolio.base_currency if c.kind is Kind.MONEY else None
            percent = held["unrealised_percent"] if c.key == "unrealised" else None
            found[c.key, row] = Figure(c.key, c.title, held[c.key], c.kind, currency, None, percent, c.note)
    return found


def _chart(prices: Table, period: str, currency: str) -> None:
    """Closes over the period, adjusted for splits and dividends: a split is no fall."""
    points = [(d, a) for d, a in zip(prices.column("on")[::-1], prices.column("adjusted")[::-1], strict=True) if a is not None]
    if not points:
        st.info(prices.empty, icon=":material/inbox:")
        return
    last_close = prices.column("close")[0]
    first = period_start(points[-1][0], "1W" if period == "1D" else PERIOD_NAMES[period], points[0][0])
    points = [point for point in points if point[0] >= first]
    if len(points) < 2:
        st.info(f"One close so far: {show.text(last_close, Kind.PRICE)} on {show.day(points[0][0])}. A chart needs two.", icon=":material/show_chart:")
        return
    take = charts.thinned([c for _, c in points])
    figure = go.Figure(go.Scatter(x=[points[i][0] for i in take], y=[float(points[i][1]) for i in take], line={"color": charts.PORTFOLIO, "width": 2},
                                  mode="lines", name="Close", customdata=[show.text(points[i][1], Kind.PRICE) for i in take],
                                  hovertemplate="%{customdata}<extra>Adjusted close</extra>"))  # fmt: skip
    figure.update_layout(height=300, margin={"l": 0, "r": 8, "t": 8, "b": 0}, hovermode="x unified", dragmode=False)
    figure.update_xaxes(hoverformat="%a %-d %b %Y", showgrid=False, fixedrange=True)
    figure.update_yaxes(title=currency, fixedrange=True)
    change = float(points[-1][1] / points[0][1]) - 1
    said = f"{'Up' if change >= 0 else 'Down'} {show.percent(abs(change))} since {show.day(points[0][0])}, close {show.text(last_close, Kind.PRICE)}"
    st.subheader(said, anchor=False)
    st.plotly_chart(figure, key="security_chart", config=charts.CONFIG, alt=said)
    st.caption("Closes adjusted for splits and dividends; the raw ones are under Prices.")


def _listed(title: str, columns: tuple[Column, ...], rows: list[tuple[Any, ...]], key: str, empty: str = "") -> None:
    """A small table that is no report."""
    context = Context(clock.utc_day(), None, VERSION)
    show.table(Table(key, title, columns, tuple(rows), context, empty=empty or "Nothing here."), key=key, title=bool(title), foot=False)  # fmt: skip


def _master(look: Look, s: Row, table: Table) -> None:
    """What it is now, what it was called, how it was classified."""
    show.facts({c.title: show.text(s[c.key], c.kind) for c in table.columns if c.key in MASTER})
    number = s["security_id"]
    past = master.past_of(look.user, number)
    since = Column("valid_from", "Since", Kind.DATE)
    recorded = Column("recorded_at", "Recorded", Kind.TIME, "UTC")
    symbols = (since, Column("exchange", "Exchange"), Column("symbol", "Symbol"), recorded)
    _listed(
        "Symbols",
        symbols,
        [(x.valid_from, x.exchange, x.symbol, x.recorded_at) for x in past.symbols[::-1]],
        f"security_symbols_{number}",
    )
    classes = (since, Column("asset_class", "Asset class"), Column("sector", "Sector"), Column("industry", "Industry"),
               Column("subsector", "Subsector"), Column("country", "Country"), Column("source", "By"), recorded)  # fmt: skip
    classified = [
        (k.valid_from, k.asset_class, k.sector, k.industry, k.subsector, k.country, k.source, k.recorded_at)
        for k in past.classifications[::-1]
    ]
    _listed("Classifications", classes, classified, f"security_classes_{number}")
    st.caption("The newest row of each holds; a day of 1900-01-01 stands for always.")


def _transactions(here: Here, s: Row) -> None:
    """The entries that name it, by its number: two exchanges may list one symbol."""
    every = here.answer("transactions")
    naming = ledger.naming(here.user.user_id, here.portfolio.portfolio_id, s["security_id"])
    mine = [i for i, number in enumerate(every.column("transaction_id")) if number in naming]
    empty = f"No transactions of {s['symbol']} in {here.portfolio.name}."
    shown = replace(every, rows=tuple(every.rows[i] for i in mine), empty=empty)
    explain.table(here, shown, key="security_transactions", places=mine)


def _prices(look: Look, s: Row, prices: Table) -> None:
    doubts = look.answer("price_checks", security=s["security_id"])
    if doubts.rows:
        st.warning("Some closes contradict their neighbours; nothing was corrected.", icon=":material/rule:")
        explain.table(look, doubts, key="price_checks", changes={"security": s["security_id"]})
        show.explain("price_checks")
    explain.table(look, prices, key="security_prices", changes={"security": s["security_id"]}, rows=1_500)


def _one_row(here: Here, name: str, s: Row) -> int | None:
    """The place of this security in a report with a row for each held one."""
    table = here.answer(name)
    key = "security_id" if "security_id" in [c.key for c in table.columns] else "asset_id"
    return next((i for i, v in enumerate(table.column(key)) if str(v) == str(s["security_id"])), None)


def _risk(look: Look, s: Row) -> None:
    """From all its bars, held or not."""
    scope.lookback_control(look, key="security_lookback")
    changes = {"security": s["security_id"]}
    found = look.answer("security_risk", **changes)
    if not found.rows:
        st.info(found.empty, icon=":material/inbox:")
        return
    explain.cards(look, found, only=OF_A_SECURITY, changes=changes)
    show.notes(found)
    explain.table(look, found, key="security_risk", changes=changes, only=("metric", "value", "definition", "reason"))
    explain.hint()


def _compliance(here: Here, s: Row) -> None:
    """The rules that measure it: as what it counts, how far that is, whether it is named as the cause of a breach."""
    p = next((p for p in here.view.valuation.positions if p.security.security_id == s["security_id"]), None)
    if p is None:
        st.info(f"It is not held in {show.plain(here.portfolio.name)}: no rule measures it.", icon=":material/inbox:")
        return
    rows = []
    for f in check(here.view):
        if f.rule.name not in GROUPS:
            continue
        group = group_of(here.view, f.rule.name, p)
        share = float(dict(f.rule.measure(here.view)).get(group, 0)) if f.value is not None else None
        cause = any(name == group for name, _ in f.beyond)
        said = "✕ a cause of the breach" if cause else STATES["ok" if f.state == "breach" else f.state]
        rows.append((f.rule.title, group, share, f.limit, said, f.severity))
    columns = (Column("rule", "Rule"), Column("group", "It counts for"), Column("share", "Share of that", Kind.PERCENT),
               Column("limit", "Limit", Kind.PERCENT), Column("state", "State"), Column("severity", "Severity"))  # fmt: skip
    _listed("", columns, rows, f"security_rules_{s['security_id']}", "No rule is on groups of securities.")
    frame.link(here, "compliance", "All rules", ":material/rule:")


def _in_full(here: Here, s: Row) -> None:
    """Its row of the report asset_360, column by column."""
    place = _one_row(here, "asset_360", s)
    if place is None:
        st.info(
            f"It is not held in {show.plain(here.portfolio.name)}: this report has the held assets.",
            icon=":material/inbox:",
        )
        return
    report = here.answer("asset_360")
    row = next(iter(replace(report, rows=(report.rows[place],)).records()))
    base = here.portfolio.base_currency
    show.facts({f"{c.title}{f', {base}' if c.kind is Kind.MONEY else ''}": show.text(row[c.key], c.kind, base if c.kind is Kind.MONEY else None)
                for c in report.columns if c.key != "reason"})  # fmt: skip
    if row["reason"]:
        st.caption(f"Missing: {show.plain(row['reason'])}.")
    explain.table(here, replace(report, rows=(report.rows[place],)), key="security_360", places=[place])
    explain.hint()
    show.explain("asset_360")


def _trail(look: Look, s: Row) -> None:
    """Every change of it and of what names it, newest first."""
    trail = audit.of(look.user, "securities", str(s["security_id"]), TRAIL)
    show.table(
        trail, key=f"security_trail_{s['security_id']}_{len(trail.rows)}", only=PHONE if session.on_phone() else CHANGES
    )
    if len(trail.rows) == TRAIL:
        st.caption(f"The newest {TRAIL} changes; the audit page has all.")
    frame.link(look, "audit", "The whole audit trail", ":material/policy:")


def _tasks(look: Look, s: Row) -> None:
    """What was asked to be done with it, newest first; a chosen one opens above."""
    found = tasks.tasks(look.user, security=s["security_id"], limit=TASKS)
    columns = (Column("requested_at", "Asked", Kind.TIME), Column("title", "Task"), Column("status", "Status"), Column("requester", "By"),
               Column("message", "Result", wide_only=True))  # fmt: skip
    rows = tuple((t.requested_at, t.title, task_panel.STATUS[t.status][2], t.requester, t.message) for t in found)
    context = Context(clock.utc_day(), None, VERSION)
    table = Table("tasks", "Tasks", columns, rows, context, empty="Nothing was asked to be done with it yet.")
    row = show.table(table, key=f"security_tasks_{s['security_id']}_{len(rows)}", select=True)
    if row is not None:
        scope.goto(task=str(found[row].task_id))
        st.rerun()
    if rows:
        st.caption("Select a row to open the task.")
