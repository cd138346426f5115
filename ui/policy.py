"""Who may do what in the security master, for admins: the least role for each right, and what needs a second person."""

from __future__ import annotations

import streamlit as st

from db import notices, tasks
from db.access import User
from ui import errors, show

ROLES = {"analyst": "Analysts and admins", "admin": "Admins only"}
RIGHTS = {
    "add": ("Add", "one new security, with its first price and dividend"),
    "edit": ("Edit", "change master data of one security, its symbol or its class"),
    "remove": ("Remove", "retire, delist, delete or bring back a security"),
    "bulk": (
        "Bulk",
        "many at once out of a file, and going back to a backup; with the rights of what is added, edited or removed by it",
    ),
    "approve": ("Approve", "decide about what somebody else asked for"),
}


def who_may(user: User) -> None:
    """The form: rights, four eyes, what that means for those who are here now."""
    if said := st.session_state.pop("policy_said", ""):
        st.success(said, icon=":material/check_circle:")
    st.markdown(
        "**Viewers** look at everything and change nothing. Everything below is asked of the database too: what a role may not do, no page and no "
        "program does for it. With **four eyes** a task waits until somebody else, who may approve, has seen the exact rows."
    )
    now = tasks.policy(user)
    chosen: dict[str, object] = {}
    eyes = []
    for right, (title, meaning) in RIGHTS.items():
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"b_policy_{right}"):
            chosen[right] = st.selectbox(title, list(ROLES), index=list(ROLES).index(now[right]), format_func=ROLES.__getitem__,
                                         help=f"{title}: {meaning}.", key=f"policy_{right}", width=240)  # fmt: skip
            if right != "approve" and st.checkbox("Four eyes", right in now["four_eyes"], key=f"policy_eyes_{right}"):
                eyes.append(right)
            st.caption(meaning.capitalize(), width="stretch")
    chosen["four_eyes"] = eyes
    able = notices.approvers(user, str(chosen["approve"]))
    if eyes and len(able) < 2:
        who = f"{able[0]} alone may" if able else "nobody may"
        st.warning(f"**{show.plain(who.capitalize())} approve.** With four eyes somebody else decides than who asked: what {show.plain(able[0]) if able else 'anybody'} asks for "
                   "would wait for ever. Give one more person the right, or leave four eyes off.", icon=":material/group_off:")  # fmt: skip
    else:
        st.caption(f"May approve: {show.plain(', '.join(able)) or 'nobody'}.")
    if st.button("Save", type="primary", icon=":material/save:", key="policy_save", disabled=chosen == _plain(now)):
        with errors.told():
            tasks.set_policy(user, chosen)
            st.session_state["policy_said"] = (
                "Saved. It holds from the next request on; tasks that wait already go on waiting."
            )
            st.rerun()


def _plain(now: dict[str, object]) -> dict[str, object]:
    """A policy as the form says it: four eyes in the order of the rights."""
    eyes = now["four_eyes"]
    return {right: now[right] for right in RIGHTS} | {
        "four_eyes": [r for r in RIGHTS if isinstance(eyes, list) and r in eyes]
    }
