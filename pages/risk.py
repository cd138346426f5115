"""Risk: the portfolio's figures, its riskiest securities, the spread over risk categories."""

import streamlit as st

from ui import charts, explain, frame, scope, show, unbooked

CARDS = ("volatility", "sharpe", "max_drawdown", "beta", "var_95", "es_95")

here = frame.page("Risk")
unbooked.warn(here)

scope.lookback_control(here)
figures = here.answer("risk")
if figures.figures:
    explain.cards(here, figures, only=CARDS)
show.notes(figures)

growth = here.answer("growth", period=here.scope.lookback)
charts.show(
    charts.drawdown(growth),
    growth,
    key="drawdown",
    here=here,
    title=charts.drawdown_title(growth),
    alt=f"Area chart of the drawdown. {charts.drawdown_title(growth)}.",
    only=("on", "drawdown", "growth", "benchmark"),
)

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
