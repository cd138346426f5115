"""The sign-in form of the pages: POST /login and POST /logout answer with a redirect, as a browser without scripts needs it."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.people import COOKIE, comes_from_elsewhere, drop_cookie, set_cookie
from api.problems import is_locked
from db import access
from db.access import SignInRefused

SAME_SITE_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
LARGEST = 16_384  # bytes of a form


def safe_path(wanted: object) -> str:
    """Where to go after signing in: a path of this site, else the front page."""
    return wanted if isinstance(wanted, str) and SAME_SITE_PATH.fullmatch(wanted) else "/"


async def sign_in_form(request: Request) -> Response:
    """POST /login with the fields username, password, next."""
    length = request.headers.get("content-length", "")
    if comes_from_elsewhere(request) or not length.isdecimal() or int(length) > LARGEST:
        return RedirectResponse("/?sign_in=failed", 303)
    async with request.form(max_fields=10, max_files=0) as form:
        username, password, wanted = (form.get(name, "") for name in ("username", "password", "next"))
    if not (isinstance(username, str) and isinstance(password, str)) or "\x00" in username + password:
        return RedirectResponse("/?sign_in=failed", 303)
    try:
        token, _ = await run_in_threadpool(access.sign_in, username[:64], password[:1024])
    except SignInRefused as refused:
        return RedirectResponse(f"/?sign_in={'locked' if is_locked(refused) else 'failed'}", 303)
    response = RedirectResponse(safe_path(wanted), 303)
    set_cookie(response, token)
    return response


async def sign_out_form(request: Request) -> Response:
    """POST /logout: ends the session of the cookie. From another site it does nothing."""
    response = RedirectResponse("/", 303)
    if comes_from_elsewhere(request):
        return response
    if token := request.cookies.get(COOKIE):
        await run_in_threadpool(access.sign_out, token)
    drop_cookie(response)
    return response
