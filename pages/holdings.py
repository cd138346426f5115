"""Holdings: every open position; choose one to see its lots, its sales and how the figures come about."""

import streamlit as st

from ui import charts, frame, show

here = frame.page("Holdings")

table = here.answer("holdings")
chosen = show.table(table, key="holdings", select=True)
show.notes(table)

if chosen is None:
    st.caption("Choose a row to see its open lots, its realised gains and how they are computed.")
    number, name = None, "all positions"
else:
    row = dict(zip((c.key for c in table.columns), table.rows[chosen], strict=True))
    number, name = row["security_id"], f"{row['symbol']}, {row['name']}"

st.subheader(f"Lots and gains: {name}", anchor=False)
lots, realised, chart = st.tabs(
    ["Open lots", "Realised gains", "Gains by position"], key="holdings_tabs", on_change="rerun"
)
if lots.open:
    with lots:
        open_lots = here.answer("lots", security=number)
        show.table(open_lots, key="lots")
        show.explain("lots", "holdings")
        show.notes(open_lots)
if realised.open:
    with realised:
        show.table(here.answer("realised", security=number), key="realised")
        show.explain("realised")
if chart.open:
    with chart:
        charts.show(
            charts.changes(table, "symbol", "unrealised"),
            table,
            key="gains",
            alt="Bars: unrealised gain of each position, the largest gains and losses.",
        )

st.subheader("Cash", anchor=False)
show.table(here.answer("cash"), key="cash")
