"""The security master: every security, and one in full: master data, quote, chart, position, transactions, prices."""

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.returns import period_start
from core.table import Figure, Kind, Table
from core.view import PERIOD_NAMES
from ui import charts, counterparties, explain, frame, scope, session, show, upkeep
from ui.scope import Here

LISTED = ("symbol", "name", "asset_class", "sector", "exchange", "currency", "price", "quoted_at", "status")
PHONE = ("symbol", "name", "price")
MASTER = ("name", "exchange", "isin", "asset_class", "sector", "industry", "subsector", "country", "currency", "issuer", "rating",
          "issued_on", "matures_on", "par_value", "dividend_frequency", "status", "bars")  # fmt: skip


def catalogue(table: Table) -> None:
    """The list with its filters; a chosen row opens that security."""
    first, *others = st.columns([2, 1, 1])
    text = first.text_input(
        "Search", type="search", live="300ms", placeholder="Symbol, name, ISIN …", key="securities_search"
    )
    picked = {
        key: column.selectbox(
            title, sorted({v for v in table.column(key) if v}), index=None, placeholder="All", key=f"securities_{key}"
        )
        for column, key, title in zip(others, ("asset_class", "sector"), ("Asset class", "Sector"), strict=True)
    }
    words = text.lower().split()
    found = [r for r in table.records() if all(any(w in str(v).lower() for v in r.values()) for w in words)
             and all(value is None or r[key] == value for key, value in picked.items())]  # fmt: skip
    shown = replace(
        table, rows=tuple(tuple(r.values()) for r in found), empty="No security fits." if table.rows else table.empty
    )
    row = show.table(
        shown,
        key=f"securities_{text}_{'_'.join(str(v) for v in picked.values())}",
        select=True,
        only=PHONE if session.on_phone() else LISTED,
    )
    if row is not None:
        scope.goto(security=str(found[row]["security_id"]))
        st.rerun()
    if found:
        st.caption("Select a row to open the security.")


def chart(prices: Table, period: str, currency: str) -> None:
    """Closes over the period, raw."""
    if not prices.rows:
        st.info(prices.empty, icon=":material/inbox:")
        return
    on, close = prices.column("on")[::-1], prices.column("close")[::-1]
    first = period_start(on[-1], "1W" if period == "1D" else PERIOD_NAMES[period], on[0])
    points = [(d, c) for d, c in zip(on, close, strict=True) if d >= first]
    take = charts.thinned([c for _, c in points])
    figure = go.Figure(go.Scatter(x=[points[i][0] for i in take], y=[float(points[i][1]) for i in take], line={"color": charts.PORTFOLIO, "width": 2},
                                  mode="lines", name="Close", customdata=[show.text(points[i][1], Kind.PRICE) for i in take],
                                  hovertemplate="%{customdata}<extra>Close</extra>"))  # fmt: skip
    figure.update_layout(height=300, margin={"l": 0, "r": 8, "t": 8, "b": 0}, hovermode="x unified", dragmode=False)
    figure.update_xaxes(hoverformat="%a %-d %b %Y", showgrid=False, fixedrange=True)
    figure.update_yaxes(title=currency, fixedrange=True)
    change = float(points[-1][1] / points[0][1]) - 1
    said = f"{'Up' if change >= 0 else 'Down'} {show.percent(abs(change))} since {show.day(points[0][0])}, close {show.text(points[-1][1], Kind.PRICE)}"
    st.subheader(said, anchor=False)
    st.plotly_chart(figure, key="security_chart", config=charts.CONFIG, alt=said)


def detail(here: Here, s: dict[str, Any], table: Table) -> None:
    """One security in full."""
    st.button(
        "All securities", icon=":material/arrow_back:", on_click=scope.goto, kwargs={"security": None}, type="tertiary"
    )
    st.header(f"{s['symbol']} · {s['name']}", anchor=False)
    change = float(s["price"] / s["previous_close"]) - 1 if s["price"] and s["previous_close"] else None
    holdings = here.answer("holdings")
    held = next((r for r in holdings.records() if r["security_id"] == s["security_id"]), None)
    figures = [
        Figure(
            "price",
            f"Last quote, {s['currency']}",
            s["price"],
            Kind.PRICE,
            None,
            None if s["price"] else "no feed has quoted it yet",
            change,
        )
    ]
    for c in holdings.columns:
        if held and c.key in ("units", "value", "weight", "unrealised", "income"):
            currency = here.portfolio.base_currency if c.kind is Kind.MONEY else None
            figures.append(
                Figure(
                    c.key,
                    c.title,
                    held[c.key],
                    c.kind,
                    currency,
                    None,
                    held["unrealised_percent"] if c.key == "unrealised" else None,
                    c.note,
                )
            )
    places = {"price": ("securities", table.column("security_id").index(s["security_id"]))}
    if held:
        row = holdings.column("security_id").index(s["security_id"])
        places |= {f.key: ("holdings", row) for f in figures[1:]}
    explain.cells(here, figures, places)
    quoted = f"Quoted {show.text(s['quoted_at'], Kind.TIME)} UTC by {s['provider']}. " if s["quoted_at"] else ""
    when = "at that time" if here.scope.is_past else "now"
    st.caption(
        quoted + ("The other figures: the position" if held else "Not held") + f" in {here.portfolio.name} {when}."
    )
    prices = here.answer("prices", security=s["security_id"])
    scope.period_control(here, key="security_period")
    chart(prices, here.scope.period, s["currency"])
    master, booked, bars = st.tabs(["Master data", "Transactions", "Prices"], on_change="rerun", key="security_tabs")
    if master.open:
        master.table(
            {c.title: show.text(s[c.key], c.kind) for c in table.columns if c.key in MASTER}, border="horizontal"
        )
    if booked.open:
        with booked:
            every = here.answer("transactions")
            mine = [i for i, symbol in enumerate(every.column("symbol")) if symbol == s["symbol"]]
            explain.table(
                here,
                replace(
                    every,
                    rows=tuple(every.rows[i] for i in mine),
                    empty=f"No transactions of {s['symbol']} in {here.portfolio.name}.",
                ),
                key="security_transactions",
                places=mine,
            )
    if bars.open:
        with bars:
            explain.table(here, prices, key="security_prices", changes={"security": s["security_id"]}, rows=1_500)


here = frame.page("Securities", needs_transactions=False)
master = here.answer("securities")
chosen = next((r for r in master.records() if r["security_id"] == here.scope.security), None)
if chosen is not None:
    detail(here, chosen, master)
else:
    if here.scope.security is not None:
        st.warning(f"There is no security {here.scope.security}. Choose one below.", icon=":material/search_off:")
    listed, others, kept = st.tabs(
        ["Catalogue", "Counterparties", "Maintenance"], on_change="rerun", key="securities_sections"
    )
    if listed.open:
        with listed:
            catalogue(master)
    if others.open:
        with others:
            counterparties.section(here, here.user)
    if kept.open:
        with kept:
            upkeep.section(here.user)
