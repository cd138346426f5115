"""The sign-in page: plain forms that the server answers with a cookie no script can read."""

from __future__ import annotations

import streamlit as st

from settings import settings
from ui import session
from ui.look import escape

FAILED = {
    "failed": "User name or password is wrong. Both are case-sensitive but for the user name; ask your administrator to set a new password.",
    "locked": "Too many failed sign-ins for this name. Try again in five minutes.",
    "expired": "Your session has ended. Sign in again.",
}


def form(next_page: str) -> str:
    """The sign-in form, and in demo mode the button that needs no account."""
    hidden = f'<input type="hidden" name="next" value="{escape(next_page)}">'
    second = ""
    if settings.demo:
        second = f"""<p class="b-or">No account needed on this machine:</p>
<form method="post" action="/login">{hidden}<input type="hidden" name="username" value="demo"><input type="hidden" name="password" value="demo">
<button class="b-second" type="submit">Open the demo</button></form>"""
    return f"""<div class="b-sign"><form method="post" action="/login">{hidden}
<label for="b-user">User name</label><input id="b-user" name="username" autocomplete="username" required maxlength="80">
<label for="b-pass">Password</label><input id="b-pass" name="password" type="password" autocomplete="current-password" required maxlength="200">
<button type="submit">Sign in</button></form>{second}</div>"""


def page() -> None:
    """What anybody sees who is not signed in, whatever the address."""
    with st.container(horizontal_alignment="center"):
        st.html('<div class="b-sign" style="margin-top:6vh"><img src="/assets/logo.svg" alt="" width="108" height="32" style="display:block;margin-bottom:.9rem"><h1 style="font-size:1.35rem;margin:0;padding:0">Sign in to Ballast</h1>'
                "<p>What your portfolios are worth, what changed, why, and whether anything is wrong. Every figure explains itself.</p></div>")  # fmt: skip
        why = FAILED.get(st.query_params.get("sign_in", ""))
        if why:
            with st.container(width=368):
                st.error(why, icon=":material/error:")
        st.html(form(session.here()))


def sign_out_line(name: str) -> None:
    """Who is signed in, and the way out."""
    st.html(
        f'<div class="b-who"><span>{escape(name)}</span><form method="post" action="/logout"><button type="submit">Sign out</button></form></div>'
    )
