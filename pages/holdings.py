"""Holdings: every open position; choose one to see its lots, its sales and how the figures come about."""

import streamlit as st

from ui import charts, explain, frame, show, unbooked, upkeep

here = frame.page("Holdings")
upkeep.warn(here)
unbooked.warn(here)

table = here.answer("holdings")
explain.hint("Select a row for its lots and gains.")
chosen = explain.table(here, table, key="holdings", select=True)
show.notes(table)

if chosen is None:
    number, name = None, "all positions"
else:
    row = dict(zip((c.key for c in table.columns), table.rows[chosen], strict=True))
    number, name = row["security_id"], f"{row['symbol']}, {row['name']}"

st.subheader(f"Lots and gains: {show.plain(name)}", anchor=False)
lots, realised, chart = st.tabs(
    ["Open lots", "Realised gains", "Gains by position"], key="holdings_tabs", on_change="rerun"
)
if lots.open:
    with lots:
        open_lots = here.answer("lots", security=number)
        explain.table(here, open_lots, key="lots", changes={"security": number})
        show.explain("lots", "holdings")
        show.notes(open_lots)
if realised.open:
    with realised:
        explain.table(here, here.answer("realised", security=number), key="realised", changes={"security": number})
        show.explain("realised")
if chart.open:
    with chart:
        charts.show(
            charts.changes(table, "symbol", "unrealised"),
            table,
            key="gains",
            here=here,
            alt="Bars: unrealised gain of each position, the largest gains and losses.",
        )

st.subheader("Cash", anchor=False)
explain.table(here, here.answer("cash"), key="cash")
show.explain("cash")
later = here.answer("unsettled")
if later.rows:
    st.subheader("Not settled yet", anchor=False)
    explain.table(here, later, key="unsettled")
unbooked.section(here)
