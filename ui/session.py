"""Who looks: the cookie's token, asked in the database on every run and never kept in the session state."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from db import access, engine
from db.access import User
from db.engine import Origin

COOKIE = "ballast_session"


def token() -> str | None:
    """The session token of this browser. The one place that reads it (tests put their own here)."""
    return st.context.cookies.get(COOKIE)


def origin() -> Origin:
    """Where what a page writes comes from: this browser, as far as it is known. Nothing outside a page."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return engine.NOWHERE
    address = st.context.ip_address  # None on this machine; something else than text where a test plays the browser
    return Origin("page", address if isinstance(address, str) else None)


engine.look_elsewhere(origin)


def user() -> User | None:
    """Who is signed in now; None after signing out, in whichever tab."""
    return access.user_of(token())


def require_user() -> User:
    """Who is signed in; the page ends here for anybody else. Every page comes by here, whatever ran before it."""
    found = user()
    if found is None:
        st.error("You are signed out. Reload the page to sign in.", icon=":material/lock:")
        st.stop()
    return found


def here() -> str:
    """Path and query of the page the browser shows: where to come back to after signing in."""
    query = {name: value for name, value in st.query_params.items() if name != "sign_in"}
    return (urlsplit(st.context.url or "/").path or "/") + (f"?{urlencode(query)}" if query else "")


def on_phone() -> bool:
    """Whether the browser says that it is a phone: tables then keep their key columns."""
    headers = st.context.headers
    return headers.get("Sec-CH-UA-Mobile") == "?1" or "Mobi" in (headers.get("User-Agent") or "")
