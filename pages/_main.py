"""The frame around every page: the sign-in gate, the table of contents, the scope in the sidebar.

To add a page: a file in this folder and its line in `CONTENTS`. This file must stand inside pages/: beside it, Streamlit
would serve every page of the folder without coming by the gate.
"""

import streamlit as st

from db import tasks
from settings import ROOT
from ui import enter, errors, look, scope, session, sign_in

# file, title, icon
CONTENTS = (
    ("overview", "Overview", "dashboard"),
    ("holdings", "Holdings", "list_alt"),
    ("allocation", "Allocation", "donut_small"),
    ("performance", "Performance", "show_chart"),
    ("income", "Income", "payments"),
    ("risk", "Risk", "waves"),
    ("compliance", "Compliance", "rule"),
    ("transactions", "Transactions", "receipt_long"),
    ("reconciliation", "Reconcile", "fact_check"),
    ("tax", "Tax", "request_quote"),
    ("securities", "Securities", "inventory_2"),
    ("reports", "Reports", "description"),
    ("portfolios", "Portfolios", "folder_open"),
    ("tasks", "Tasks", "task_alt"),
    ("audit", "Audit", "history"),
    ("admin", "Admin", "settings"),
)
ADMINS_ONLY = {"admin"}

st.set_page_config("Ballast", str(ROOT / "assets" / "icon.svg"), layout="wide")
st.logo(str(ROOT / "assets" / "logo.svg"), size="large", icon_image=str(ROOT / "assets" / "icon.svg"))
look.style()
user = session.user()
pages = {
    name: st.Page(f"{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=name == "overview")
    for name, title, icon in CONTENTS
    if (ROOT / "pages" / f"{name}.py").exists() and (name not in ADMINS_ONLY or user is None or user.role == "admin")
}
chosen = st.navigation(list(pages.values()), position="hidden")
if user is None:
    sign_in.page()
    st.stop()

with st.sidebar:
    mine, here = [], None
    try:
        mine, here = scope.read(user)
    except errors.KNOWN:  # the page says it; the sidebar offers the way out
        mine = scope.portfolios(user)
    with st.container(gap="xxsmall", key="b_contents"):
        decisions = 0 if user.role == "viewer" else tasks.waiting_for(user)
        for name, page in pages.items():
            label = f"**Tasks: {decisions} for you to decide**" if decisions and name == "tasks" else None
            st.page_link(page, label=label, query_params=here.query() if here else None, width="stretch")
    if mine:
        scope.portfolio_select(mine, here)
    if here:
        scope.period_control(here, label=True)
        scope.as_of_input(here)
        scope.known_at_input(here)
    sign_in.sign_out_line(user.display_name or user.username)
    enter.commits()

with errors.told():
    chosen.run()
