"""Performance: returns by period, growth against the benchmark, what earned it, exchange rates, months, positions."""

import streamlit as st

from ui import charts, explain, frame, scope, session, show, unbooked

here = frame.page("Performance")
unbooked.warn(here)

growth = here.answer("growth")
explain.cards(here, growth)
scope.period_control(here, key="performance_period", all_of_them=True)
charts.show(
    charts.growth(growth),
    growth,
    key="growth",
    here=here,
    title=charts.growth_title(growth),
    alt=f"Line chart of growth against the benchmark with the drawdown below. {charts.growth_title(growth)}.",
)
show.notes(growth)

periods = here.answer("performance")
explain.table(
    here,
    periods,
    key="periods",
    title=True,
    only=("period", "twr", "annualised", "benchmark", "active", "mwr", "mwr_annualised", "dietz", "gain", "net_flow",
          "start_value", "end_value", "start", "reason"),
)  # fmt: skip
show.notes(periods)
explain.hint()

lines = here.answer("statement")
if lines.rows:
    explain.table(here, lines, key="statement", title=True, only=("name", "amount", "local_gain", "currency_gain", "reason"))
    explain.cards(here, lines, only=("realised", "unrealised", "income", "costs", "currency", "since_purchase"))
    show.notes(lines)
    show.explain("statement")

st.subheader("What earned it", anchor=False)
scope.by_control(here, key="performance_by")
groups = here.answer("returns_by")
explain.table(here, groups, key="groups")
show.notes(groups)
show.explain("performance", "returns_by")

each = here.answer("statement_positions")
if each.rows:
    explain.table(here, each, key="statement_positions", title=True)
    show.notes(each)
    show.explain("statement_positions")

rates, gains = here.answer("fx_effect"), here.answer("fx_gains")
if any({*rates.column("currency_gain"), *gains.column("unrealised_currency"), *gains.column("realised_currency")}):
    explain.table(here, rates, key="fx_effect", title=True)
    show.notes(rates)
    explain.table(here, gains, key="fx_gains", title=True)
    show.notes(gains)
    show.explain("fx_effect", "fx_gains")
else:
    st.subheader(rates.title, anchor=False)
    st.caption(f"None: what was held and sold is in {here.portfolio.base_currency}, the currency of this portfolio.")

positions = here.answer("position_returns")
explain.table(here, positions, key="positions", title=True)
show.notes(positions)
show.explain("position_returns")

months = here.answer("monthly_returns")
charts.show(
    charts.months(months, narrow=session.on_phone()),
    months,
    key="months",
    here=here,
    title="Monthly returns, %",
    alt="Heat map of the time-weighted return of every month, a year a row; blue is up, orange is down.",
)

performers = here.answer("performers")
left, right = st.columns([3, 2], gap="large")
with left:
    explain.table(here, performers, key="performers", title=True, only=("symbol", "name", "gain", "return", "category"))
with right:
    charts.show(
        charts.changes(performers, "symbol", "gain"),
        performers,
        key="gains",
        here=here,
        title="Who earned it",
        alt="Bars: gain of each security in the period, the largest gains and losses.",
    )
