"""What was asked for in the security master: what waits for a decision, what runs, what became of everything; who is told."""

import streamlit as st

from ui import notifications, scope, session, task_history, task_panel

user = session.require_user()
_, here = scope.read(user)
st.title("Tasks", anchor=False)
listed, told = st.tabs(["Tasks", "Notifications"], on_change="rerun", key="tasks_tabs")
if listed.open:
    with listed:
        waiting = task_history.waiting(user)
        opened = task_panel.asked() or task_history.deciding(waiting, user)
        if waiting:
            task_history.shown_waiting(user, waiting, opened)
        if opened is not None:
            task_history.whole(user, opened, here)
        task_history.under_way(user, opened)
        task_history.history(user)
if told.open:
    with told:
        notifications.mine(user)
