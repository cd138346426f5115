"""Overview: what is it worth, what changed, why, and is anything wrong?"""

import streamlit as st

from ui import charts, explain, frame, freshness, scope, session, show, unbooked, upkeep
from ui.scope import Here

CARDS = ("total", "day", "ytd", "unrealised", "cash", "coverage")


def figures(here: Here) -> None:
    """The six cards, what of the cash has settled where some has not, and every breach with the link to its rule."""
    table = here.answer("overview")
    unsettled = ("settled_cash",) if table.figure("unsettled_cash").value else ()
    explain.cards(here, table, only=(*CARDS, *unsettled), most=7)
    breached = table.notes[len(table.notes) - int(table.figure("breaches").value) :]
    if breached:
        noun = "rule is" if len(breached) == 1 else "rules are"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(
                f"**{len(breached)} {noun} breached.** " + " · ".join(map(show.plain, breached[:3])),
                icon=":material/rule:",
            )
            frame.link(here, "compliance", "Show the rules")


here = frame.page("Overview", live=figures)
upkeep.warn(here)
unbooked.warn(here)

value = here.answer("value_chart")
scope.period_control(here, key="overview_period")
charts.show(
    charts.value(value, freshness.zone_of(here.view).key, narrow=session.on_phone()),
    value,
    key="value",
    here=here,
    title=charts.value_title(value),
    alt=f"Line chart of the portfolio's value. {charts.value_title(value)}.",
)
show.notes(value)

left, right = st.columns(2, gap="large")
with left:
    movers = here.answer("movers")
    st.subheader("Movers of the day", anchor=False)
    explain.table(here, movers, key="movers", rows=8, only=("symbol", "price", "day_change", "contribution"))
    show.notes(movers)
    explain.hint()
    frame.link(here, "holdings", "All holdings", icon=":material/arrow_forward:")
with right:
    spread = here.answer("allocation")
    charts.show(
        charts.shares(spread, "group"),
        spread,
        key="spread",
        here=here,
        title=f"By {scope.GROUP_TITLES[here.scope.by].lower()}",
        alt="Bars: share of each group in the value; the table has the figures.",
    )
    risk = here.answer("risk_distribution")
    charts.show(
        charts.shares(risk, "category"),
        risk,
        key="risk_spread",
        here=here,
        title="By risk",
        alt="Bars: share of each risk category in the value; the table has the figures.",
    )
    frame.link(here, "risk", "All of the risk", icon=":material/arrow_forward:")
