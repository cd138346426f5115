"""Performance: returns by period, growth against the benchmark, months, the best and the worst."""

import streamlit as st

from ui import charts, frame, scope, session, show

here = frame.page("Performance")

growth = here.answer("growth")
show.cards(growth.figures)
scope.period_control(here, key="performance_period")
charts.show(
    charts.growth(growth),
    growth,
    key="growth",
    title=charts.growth_title(growth),
    alt=f"Line chart of growth against the benchmark with the drawdown below. {charts.growth_title(growth)}.",
)
show.notes(growth)

show.table(here.answer("performance"), key="periods", title=True)
show.explain("performance")

months = here.answer("monthly_returns")
charts.show(
    charts.months(months, narrow=session.on_phone()),
    months,
    key="months",
    title="Monthly returns, %",
    alt="Heat map of the time-weighted return of every month, a year a row; blue is up, orange is down.",
)

performers = here.answer("performers")
left, right = st.columns([3, 2], gap="large")
with left:
    show.table(performers, key="performers", title=True, only=("symbol", "name", "gain", "return", "category"))
with right:
    charts.show(
        charts.changes(performers, "symbol", "gain"),
        performers,
        key="gains",
        title="Who earned it",
        alt="Bars: gain of each security in the period, the largest gains and losses.",
    )
