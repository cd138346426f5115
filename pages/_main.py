"""The frame around every page: the sign-in gate, the table of contents, the scope in the sidebar.

To add a page: a file in this folder and its line in `CONTENTS`. This file must stand inside pages/: beside it, Streamlit
would serve every page of the folder without coming by the gate.
"""

import streamlit as st

from settings import ROOT
from ui import errors, look, scope, session, sign_in

# file, title, icon, what it shows
CONTENTS = (
    ("overview", "Overview", "dashboard", "What it is worth, what changed, and whether anything is wrong"),
    ("holdings", "Holdings", "list_alt", "Every position, its lots and its gains"),
    ("allocation", "Allocation", "donut_small", "How the value is spread"),
    ("performance", "Performance", "show_chart", "Returns, months, the best and the worst"),
    ("risk", "Risk", "waves", "Volatility, drawdown, value at risk"),
    ("compliance", "Compliance", "rule", "Rules, limits and what breaks them"),
    ("transactions", "Transactions", "receipt_long", "The ledger: enter, import, reverse"),
    ("securities", "Securities", "inventory_2", "The security master and its prices"),
    ("reports", "Reports", "description", "Every report as a file"),
    ("portfolios", "Portfolios", "folder_open", "Create, share, set the goal and the benchmark"),
    ("admin", "Admin", "settings", "Jobs, feeds and people"),
)
ADMINS_ONLY = {"admin"}

st.set_page_config("Ballast", str(ROOT / "assets" / "icon.svg"), layout="wide")
st.logo(str(ROOT / "assets" / "logo.svg"), size="large", icon_image=str(ROOT / "assets" / "icon.svg"))
look.style()
user = session.user()
pages = {
    name: st.Page(
        f"{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=name == "overview", help=what
    )
    for name, title, icon, what in CONTENTS
    if (ROOT / "pages" / f"{name}.py").exists() and (name not in ADMINS_ONLY or (user and user.role == "admin"))
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
    with st.container(gap=None):
        for page in pages.values():
            st.page_link(page, query_params=here.query() if here else None, width="stretch")
    if mine:
        scope.portfolio_select(mine, here)
    if here:
        scope.period_control(here, label=True)
        scope.as_of_input(here)
    sign_in.sign_out_line(user.display_name or user.username)

with errors.told():
    chosen.run()
