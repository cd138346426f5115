"""Risk: the portfolio's figures, its drawdowns and highs, rolling risk, its riskiest securities, the spread over risk categories."""

import streamlit as st

from ui import charts, explain, frame, scope, show, unbooked

CARDS = ("volatility", "sharpe", "max_drawdown", "beta", "var_95", "es_95")
HIGHS = ("high_on", "below_high", "days_since_high", "longest_drawdown_days")

here = frame.page("Risk")
unbooked.warn(here)

scope.lookback_control(here)
over = {"period": here.scope.lookback}  # what is no figure of risk itself is shown over the look-back, too
figures = here.answer("risk")
if figures.figures:
    explain.cards(here, figures, only=CARDS)
show.notes(figures)

growth = here.answer("growth", **over)
charts.show(
    charts.drawdown(growth),
    growth,
    key="drawdown",
    here=here,
    title=charts.drawdown_title(growth),
    alt=f"Area chart of the drawdown. {charts.drawdown_title(growth)}.",
    only=("on", "drawdown", "growth", "benchmark"),
    changes=over,
)

falls = here.answer("drawdowns", **over)
explain.table(here, falls, key="falls", title=True, changes=over)
if falls.figures:
    explain.cards(here, falls, only=HIGHS, changes=over)
show.notes(falls)
show.explain("drawdowns")

with st.expander("Rolling risk", icon=":material/timeline:", on_change="rerun", key="rolling") as box:
    if box.open:
        windows = here.answer("rolling", **over)
        charts.show(
            charts.rolling(windows),
            windows,
            key="rolling_chart",
            here=here,
            title=charts.rolling_title(windows),
            changes=over,
            alt=f"Lines: volatility over the days before each day of the period. {charts.rolling_title(windows)}.",
        )
        show.explain("rolling")

left, right = st.columns([3, 2], gap="large")
with left:
    st.subheader("The ten riskiest positions", anchor=False)
    explain.table(here, here.answer("risk_by_security"), key="riskiest", rows=10)
    explain.hint()
    show.explain("risk_by_security")
with right:
    spread = here.answer("risk_distribution")
    charts.show(
        charts.shares(spread, "category"),
        spread,
        key="spread",
        here=here,
        title="Spread over risk categories",
        alt="Bars: share of each risk category in the value; the table has the figures.",
    )

explain.table(
    here, figures, key="figures", title=True, only=("metric", "portfolio", "benchmark", "definition", "reason")
)
show.explain("risk")
