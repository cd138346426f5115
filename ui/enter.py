"""A date that is typed counts when Enter is pressed: Streamlit's date fields take it only when the calendar is left."""

from __future__ import annotations

import streamlit as st

# Escape closes the calendar and keeps what was typed; what is not a date, or out of range, is put back.
KEYS = """export default function () {
  if (window.ballastEnter) return
  window.ballastEnter = true
  document.addEventListener("keydown", (pressed) => {
    const field = pressed.target.closest?.('[data-testid="stDateInputField"], [data-testid="stDateTimeInputField"]')
    if (pressed.key !== "Enter" || !field) return
    pressed.target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }))
  }, true)
}"""
_component = None


def commits() -> None:
    """For the frame of every page; one listener serves the whole window."""
    global _component
    _component = _component or st.components.v2.component("ballast_enter", html="<i></i>", js=KEYS)
    _component(key="enter_commits", height=1)
