"""Tax of a calendar year: realised gains by term, sales at a loss and what washes them, the lines of Form 8949."""

import streamlit as st

from ui import explain, frame, scope, session, show, unbooked

PHONE = {
    "wash_sales": ("symbol", "sold_on", "state", "disallowed"),
    "form_8949": ("description", "sold", "code", "gain"),
    "tax_gains": ("year", "term", "disallowed", "gain"),
}
WIDE = {
    "wash_sales": ("symbol", "sold_on", "units", "loss", "disallowed", "state", "replaced_on", "replaced_in", "free_from"),
    "form_8949": ("part", "box", "description", "acquired", "sold", "proceeds", "cost", "code", "adjustment", "gain"),
    "tax_gains": (),
}  # fmt: skip

here = frame.page("Tax")
unbooked.warn(here)
gains = here.answer("tax_gains")
year = here.scope.year or here.view.on.year
columns = PHONE if session.on_phone() else WIDE
with st.container(width=180):
    scope.year_select(
        here, sorted({year, here.view.on.year, *(int(y) for y in gains.column("year"))}, reverse=True), year
    )
explain.cards(here, gains)

washed = here.answer("wash_sales")
st.subheader(f"Sales at a loss in {year}", anchor=False)
if any(state == "wash sale" for state in washed.column("state")):
    st.warning(
        f"**{show.money(washed.figure('disallowed').value, here.portfolio.base_currency)} of losses disallowed in {year}:** units were bought "
        "from 30 days before to 30 days after the sale. The losses move into the cost of those units and count when they are sold.",
        icon=":material/warning:",
    )
explain.table(here, washed, key="tax_wash_sales", only=columns["wash_sales"])

form = here.answer("form_8949")
st.subheader(f"Form 8949 for {year}", anchor=False)
explain.table(here, form, key="tax_form_8949", only=columns["form_8949"], rows=1_500)
if form.rows:
    sums = (
        f"{term} term {show.money(form.figure(f'{term}_gain').value, here.portfolio.base_currency, signed=True)}"
        for term in ("short", "long")
    )
    st.caption("Line 2, column (h): " + " · ".join(sums))

st.subheader("Every year", anchor=False)
explain.table(here, gains, key="tax_gains", only=columns["tax_gains"])
explain.hint()
show.explain("wash_sales", "form_8949", "tax_gains")
show.notes(gains)
