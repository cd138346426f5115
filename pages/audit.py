"""What was changed, by whom, from where, before and after; and whether the trail is as it was written."""

import streamlit as st

from core.audit import table
from db import audit
from ui import audit as trail
from ui import session, show

KEY = ("at", "who", "action", "thing", "change", "belongs", "source")
PHONE = ("at", "who", "change")
SHOWN = 100

user = session.require_user()
st.title("Audit", anchor=False)
st.caption(
    "Every change of master data, of your portfolios and, for admins, of people and settings. Nobody can change what stands here: each row "
    "carries a hash over itself and the row before it."
)
names = audit.names(user)
wanted = trail.filters(user, names)
if st.session_state.get("audit_shown") != wanted:
    st.session_state["audit_shown"], st.session_state["audit_cursors"] = wanted, []
cursors = st.session_state["audit_cursors"]
page = audit.rows(user, wanted, cursors[-1] if cursors else None, SHOWN)
shown = table(page.rows, audit.context(), page.names, "Nothing fits. Take a filter away.")
chosen = show.table(
    shown,
    key=f"audit_{hash(wanted)}_{len(cursors)}_{page.rows[0].seq if page.rows else 0}",
    select=True,
    only=PHONE if session.on_phone() else KEY,
    foot=False,
)
with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    if st.button("Newer", icon=":material/chevron_left:", disabled=not cursors, key="audit_newer"):
        cursors.pop()
        st.rerun()
    if st.button("Older", icon=":material/chevron_right:", disabled=page.older is None, key="audit_older"):
        cursors.append(page.older)
        st.rerun()
    st.caption(
        f"Rows {len(cursors) * SHOWN + 1:,} to {len(cursors) * SHOWN + len(page.rows):,}, newest first"
        if page.rows
        else "",
        width="stretch",
    )
    trail.downloads(user, wanted, shown.context)
if chosen is not None:
    trail.one(page.rows[chosen], page.names)
elif page.rows:
    st.caption("Select a row to see before and after.")
if user.role == "admin":
    trail.verifying(user, page.names, shown.context)
