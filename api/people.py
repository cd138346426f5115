"""Who is asking: the token of every request, the same-origin check for cookies, signing in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from api.problems import CrossSite, NotSignedIn
from db import access
from db.access import User
from settings import settings

COOKIE = "ballast_session"
SAFE = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(auto_error=False, description="The access_token of POST /v1/auth/login.")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by signing in; changes need the same origin.")
router = APIRouter(prefix="/v1/auth", tags=["Signing in"])


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person and the token they came with."""

    user: User
    token: str


def comes_from_elsewhere(request: Request) -> bool | None:
    """Whether a browser says that another site made this request; None where it says nothing."""
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return None if origin is None else urlsplit(origin).netloc != request.headers.get("host")


def session(
    request: Request,
    header: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    cookie: Annotated[str | None, Security(_cookie)],
) -> Session:
    """Whose request this is, asked of the database every time. An Authorization header goes before the cookie."""
    token = (header.credentials if header else None) if "authorization" in request.headers else cookie
    return asking(request, token)


def asking(request: Request, token: str | None) -> Session:
    """The same where the token has been read already. Raises CrossSite, NotSignedIn."""
    by_header = "authorization" in request.headers
    if token and not by_header and request.method not in SAFE and comes_from_elsewhere(request) is not False:
        raise CrossSite("a change with the session cookie must come from the same origin; scripts use a Bearer token")
    user = access.user_of(token)
    if user is None or token is None:
        raise NotSignedIn("sign in first: the token is missing, unknown, ended or expired")
    return Session(user, token)


def signed_in(its: Annotated[Session, Depends(session)]) -> User:
    """The person who is asking."""
    return its.user


Who = Annotated[User, Depends(signed_in)]


class Person(BaseModel):
    """Somebody who may sign in."""

    user_id: UUID
    username: str
    display_name: str
    role: str = Field(description="viewer, analyst or admin")


class SignIn(BaseModel):
    """A user name and its password."""

    username: str = Field(min_length=1, max_length=64, pattern="^[^\\x00]*$", examples=["demo"])
    password: str = Field(min_length=1, max_length=1024, pattern="^[^\\x00]*$", examples=["demo"])


class SignedIn(BaseModel):
    """A fresh session. The token goes into `Authorization: Bearer …`; browsers get it as a cookie too."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int = Field(description="seconds")
    user: Person


class SignedOut(BaseModel):
    """The session has ended."""

    signed_out: bool


def person(user: User) -> Person:
    """A User as the API shows it."""
    return Person(user_id=user.user_id, username=user.username, display_name=user.display_name, role=user.role)


def set_cookie(response: Response, token: str) -> None:
    """Hand the browser its session: invisible to scripts, not sent along by other sites' forms."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=settings.session_hours * 3600,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.cookie_secure,
    )


def drop_cookie(response: Response) -> None:
    """Take the browser's session away."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=settings.cookie_secure)


@router.post("/login", response_model=SignedIn)
def login(request: Request, response: Response, given: SignIn) -> SignedIn:
    """Sign in: answers a token and sets the session cookie. Ten failures for a name lock it for five minutes."""
    if comes_from_elsewhere(request):
        raise CrossSite("signing in must come from the same origin")
    token, user = access.sign_in(given.username, given.password)
    set_cookie(response, token)
    return SignedIn(access_token=token, expires_in=settings.session_hours * 3600, user=person(user))


@router.post("/logout", response_model=SignedOut)
def logout(response: Response, its: Annotated[Session, Depends(session)]) -> SignedOut:
    """End the session at once, wherever this token is in use."""
    access.sign_out(its.token)
    drop_cookie(response)
    return SignedOut(signed_out=True)


@router.get("/me", response_model=Person)
def me(who: Who) -> Person:
    """Who the token belongs to."""
    return person(who)
