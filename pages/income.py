"""Income: dividends received and expected, by month, the ex and pay calendar, what each holding yields."""

import streamlit as st

from ui import charts, explain, frame, session, show, unbooked

YIELDS = (
    "symbol",
    "name",
    "frequency",
    "trailing",
    "forward",
    "on_value",
    "on_cost",
    "forward_on_value",
    "value",
    "cost",
    "reason",
)
DATES = ("on", "symbol", "name", "state", "ex_on", "pay_on", "per_share", "units", "gross_base", "reason")
COMING = ("month", "on", "symbol", "name", "basis", "per_share", "units", "gross_base", "net_base", "reason")
BOOKED = (
    "on",
    "symbol",
    "units",
    "per_share",
    "currency",
    "gross",
    "taxes",
    "rate",
    "net_amount",
    "net_base",
    "yield",
    "reinvested",
    "reason",
)

here = frame.page("Income")
unbooked.warn(here)
unbooked.note(here)

months = here.answer("income_months")
explain.cards(here, months)
charts.show(
    charts.income(months, narrow=session.on_phone()),
    months,
    key="income_months",
    here=here,
    title=charts.income_title(months),
    alt=f"Bars: dividends by month, received, announced and inferred. {charts.income_title(months)}.",
)
show.notes(months)
show.explain("income_months")
if not months.rows:
    frame.link(here, "transactions", "Book a dividend", icon=":material/receipt_long:")

yields = here.answer("income_yields")
explain.table(here, yields, key="income_yields", title=True, only=YIELDS)
explain.hint()
show.explain("income_yields")

st.subheader("Dates and payments", anchor=False)
calendar, projection, booked = st.tabs(
    ["Ex and pay dates", "Next twelve months", "Dividends booked"], key="income_tabs", on_change="rerun"
)
for tab, name, only in (
    (calendar, "income_calendar", DATES),
    (projection, "income_projection", COMING),
    (booked, "dividends", BOOKED),
):
    if tab.open:
        with tab:
            table = here.answer(name)
            explain.table(here, table, key=name, only=only)
            show.notes(table)
            show.explain(name)
