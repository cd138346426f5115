"""Our positions and cash beside a custodian's statement: what matches, what does not and why, and who accepted it."""

from uuid import UUID

import streamlit as st

from db import reconciliation
from ui import entry, frame, reconcile, scope, session, show, unbooked

KEY = ("statement_on", "custodian", "state", "open", "matched", "quantity", "price", "missing", "extra", "made_by")
PHONE = ("statement_on", "custodian", "state", "open")
LIST = "Reconciliations"

here = frame.page("Reconcile", needs_transactions=False)
unbooked.warn(here)
may = entry.may_book(here.user, here.portfolio)
to_list = reconcile.said(here)
every = here.answer("reconciliations")
if may:
    if to_list:
        st.session_state["reconcile_tabs"] = LIST
    compared, listed = st.tabs(["Statement", LIST], on_change="rerun", key="reconcile_tabs",
                               default=LIST if "reconciliation" in st.query_params else None)  # fmt: skip
else:
    st.info(f"You may look at {show.plain(here.portfolio.name)}, not reconcile in it or sign. Whoever manages it can give you write access under Portfolios.",
            icon=":material/visibility:")  # fmt: skip
    compared, listed = None, st.container()

if compared is not None and compared.open:
    with compared:
        reconcile.new(here, next(iter(every.column("custodian")), ""))
if compared is None or listed.open:
    with listed:
        place = show.table(every, key=f"reconciliations_{len(every.rows)}", select=True,
                           only=PHONE if session.on_phone() else KEY)  # fmt: skip
        ids = every.column("reconciliation_id")
        asked = ids[place] if place is not None else st.query_params.get("reconciliation")
        if place is not None:
            scope.goto(reconciliation=asked)
        if asked is not None and asked not in ids:
            st.warning("There is no such reconciliation here. Choose one from the list.", icon=":material/search_off:")
        elif ids:
            number = UUID(asked or ids[0])
            reconcile.one(here, reconciliation.read(here.user.user_id, here.portfolio.portfolio_id, number), may)
        elif may:
            st.caption("Upload the first statement under Statement: positions, cash, or both.")
