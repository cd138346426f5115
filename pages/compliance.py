"""Which rules hold, which are breached, by how much and by what."""

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from core.rules import Finding, check
from core.table import Kind
from ui import charts, explain, frame, session, show, unbooked
from ui.scope import Here

SAID = {
    "breach": ("✕ breached", "error"),
    "near": ("▲ near the limit", "warning"),
    "ok": ("✓ kept", "check_circle"),
    "unknown": ("? not known", "help"),
}
COLOURS = {"breach": "#C2540A", "near": "#D97706", "ok": charts.PORTFOLIO, "unknown": charts.BENCHMARK}
LISTED = ("rule", "state", "measured", "limit", "side", "worst", "exposure", "severity", "definition")
PHONE = ("rule", "state", "measured", "limit")
GROUPS = {"max_sector_weight": "sector", "max_country_weight": "country", "max_currency_weight": "currency"}


def bars(findings: Sequence[Finding]) -> go.Figure:
    """Measured beside its limit, a rule a bar; the limit is the upright mark."""
    names = [f.rule.title for f in findings]
    said = [f"{show.percent(f.value)} of {show.percent(f.limit)}, {SAID[f.state][0]}" for f in findings]
    figure = go.Figure()
    figure.add_bar(x=[f.value for f in findings], y=names, orientation="h", marker_color=[COLOURS[f.state] for f in findings], name="Measured",
                   customdata=said, hovertemplate="%{customdata}<extra></extra>")  # fmt: skip
    figure.add_scatter(x=[f.limit for f in findings], y=names, mode="markers", name="Limit", hoverinfo="skip",
                       marker={"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": "#7C8798"}})  # fmt: skip
    figure.update_layout(
        height=40 + 36 * len(names),
        margin={"l": 0, "r": 12, "t": 4, "b": 0},
        bargap=0.45,
        hovermode="closest",
        dragmode=False,
        showlegend=False,
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True, automargin=True, ticksuffix="  ", showgrid=False)
    return figure


def breach(here: Here, f: Finding) -> None:
    """One breach: what, how much over, which securities, how serious."""
    side = "at least" if f.rule.at_least else "at most"
    with st.container(border=True):
        st.markdown(f"**:red[:material/error: {f.rule.title}]** · {f.severity} limit: {side} {show.percent(f.limit)}")
        for name, share in f.beyond:
            over = show.percent(abs(share - f.limit))
            st.markdown(
                f"**{show.plain(name)}** stands at **{show.percent(share)}**, {'under' if f.rule.at_least else 'over'} the limit by {over} of the value."
            )
            if f.rule.name in GROUPS:
                inside = [
                    r
                    for r in here.answer("allocation_positions", by=GROUPS[f.rule.name]).records()
                    if r["group"] == name
                ]
                st.caption(
                    "In it: "
                    + show.plain(", ".join(f"{r['symbol']} {show.percent(r['weight'])}" for r in inside) or "cash only")
                )
        st.caption(f.rule.definition)


def live(here: Here) -> None:
    """Counts, breaches, bars: again with every refresh of the quotes."""
    table, findings = here.answer("compliance"), check(here.view)
    explain.cards(here, table)
    st.caption(f"Checked {show.text(here.view.now, Kind.TIME)} UTC, and again with every refresh of the prices.")
    for f in (f for f in findings if f.state == "breach"):
        breach(here, f)
    if not any(f.state == "breach" for f in findings):
        known = all(f.state != "unknown" for f in findings)
        st.success("No rule is breached.", icon=":material/check_circle:") if known else st.warning(
            "No breach is known, but not every rule could be measured: see below.", icon=":material/help:")  # fmt: skip
    st.subheader("Measured against its limit", anchor=False)
    st.caption("The upright mark is the limit: a bar stays left of it, the cash floor's right of it.")
    st.plotly_chart(
        bars(findings),
        key="compliance_bars",
        config=charts.CONFIG,
        alt="; ".join(f"{f.rule.title}: {SAID[f.state][0]}" for f in findings),
    )
    worded = tuple(tuple(SAID[str(c)][0] if i == 1 else c for i, c in enumerate(row)) for row in table.rows)
    only = PHONE if session.on_phone() else LISTED
    explain.table(here, replace(table, rows=worded), key="compliance_rules", only=only, foot=False)
    explain.hint()
    show.csv(table, "compliance_rules")  # the file says what the API says


unbooked.warn(frame.page("Compliance", live=live))
