"""People: signing in and out, who somebody is, who may see which portfolio. Passwords are argon2id hashes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.master import InvalidField
from core.people import checked_access, checked_role, checked_username
from db import engine
from settings import settings

INSTALLATION = UUID("00000000-0000-7000-8000-000000000001")  # who acts where nobody does: the scheduled process, by itself
FAILURES_ALLOWED = 10  # within five minutes, per user name
_hasher = PasswordHasher()
_decoy = _hasher.hash(secrets.token_hex(8))  # so that an unknown name takes as long as a wrong password


class SignInRefused(PermissionError):
    """Wrong name or password, or too many tries. The message does not tell which names exist."""


class AccessDenied(PermissionError):
    """The person is known but may not do this."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody signed in."""

    user_id: UUID
    username: str
    display_name: str
    role: str


def sign_in(username: str, password: str) -> tuple[str, User]:
    """(token, user). The token goes into the cookie or the Authorization header; only its hash is kept. Raises SignInRefused."""
    with engine.session(None) as c:
        row = c.execute(
            "SELECT user_id, password_hash, recent_failures FROM credentials_of(%s)", (username,)
        ).fetchone()
    if row is not None and row[2] >= FAILURES_ALLOWED:
        raise SignInRefused("too many failed sign-ins for this name: try again in five minutes")
    try:
        _hasher.verify(row[1] if row else _decoy, password)
        right = row is not None
    except (VerificationError, InvalidHashError):
        right = False
    with engine.session(None) as c:
        if not right or row is None:
            c.execute("SELECT sign_in_failed(%s)", (username,))
        else:
            token = secrets.token_urlsafe(32)
            until = datetime.now(UTC) + timedelta(hours=settings.session_hours)
            c.execute("SELECT open_session(%s, %s, %s)", (row[0], _hash(token), until))
    if not right:
        raise SignInRefused("user name or password is wrong")
    user = user_of(token)
    assert user is not None
    return token, user


def user_of(token: str | None) -> User | None:
    """Whose token this is; None where it is unknown, ended or expired. Asked on every request."""
    if not token:
        return None
    with engine.session(None) as c:
        row = c.execute(
            "SELECT user_id, username, display_name, role FROM session_user_of(%s)", (_hash(token),)
        ).fetchone()
    return User(*row) if row else None


def sign_out(token: str) -> None:
    """End the session at once, on every tab and device that has this token."""
    with engine.session(None) as c:
        c.execute("SELECT end_session(%s)", (_hash(token),))


def create_user(
    username: str, password: str, role: Literal["viewer", "analyst", "admin"], display_name: str = ""
) -> UUID:
    """A new person; run by the installation's owner (`python -m db.admin`). Raises ValueError on a taken or unfit name."""
    name = checked_username(username)
    checked_role(role)
    if len(password) < (4 if settings.demo else 12):
        raise ValueError("password: at least 12 characters are needed")
    with engine.owner() as c:
        if c.execute("SELECT 1 FROM users WHERE username = %s", (name,)).fetchone():
            raise ValueError(f"username {name!r} is taken")
        row = c.execute(
            "INSERT INTO users (username, display_name, role) VALUES (%s, %s, %s) RETURNING user_id",
            (name, display_name or username.strip(), role),
        ).fetchone()
        assert row is not None
        c.execute("INSERT INTO credentials (user_id, password_hash) VALUES (%s, %s)", (row[0], _hasher.hash(password)))
    user_id: UUID = row[0]
    return user_id


def users(user: User) -> list[tuple[UUID, str, str, str]]:
    """(user_id, username, display name, role) of everybody, for sharing."""
    with engine.session(user.user_id) as c:
        return c.execute(
            "SELECT user_id, username, display_name, role FROM users WHERE user_id <> %s ORDER BY username", (INSTALLATION,)
        ).fetchall()


def share(user: User, portfolio: UUID, username: str, access: Literal["read", "write", "manage"] | None) -> None:
    """Give somebody access to a portfolio, change it, or take it back (None). Needs `manage`. Raises AccessDenied, InvalidField."""
    if access is not None:
        checked_access(access)
    with engine.session(user.user_id) as c:
        mine = c.execute(
            "SELECT access FROM grants WHERE portfolio_id = %s AND user_id = %s", (portfolio, user.user_id)
        ).fetchone()
        if mine is None or mine[0] != "manage":
            raise AccessDenied("only who manages a portfolio may share it")
        other = c.execute("SELECT user_id FROM users WHERE username = %s", (username.strip().lower(),)).fetchone()
        if other is None or other[0] == INSTALLATION:
            raise InvalidField("username", username[:80], "nobody has this user name")
        if other[0] == user.user_id:
            raise InvalidField("username", username[:80], "your own access cannot be changed by yourself")
        if access is None:
            c.execute("DELETE FROM grants WHERE portfolio_id = %s AND user_id = %s", (portfolio, other[0]))
        else:
            c.execute(
                "INSERT INTO grants (user_id, portfolio_id, access) VALUES (%s, %s, %s) "
                "ON CONFLICT (user_id, portfolio_id) DO UPDATE SET access = EXCLUDED.access",
                (other[0], portfolio, access),
            )


def grants(user: User, portfolio: UUID) -> list[tuple[str, str, str, str]]:
    """(username, display name, role, access) of who may see a portfolio. Who does not manage it sees only the own line."""
    with engine.session(user.user_id) as c:
        return c.execute(
            "SELECT u.username, u.display_name, u.role, g.access FROM grants g JOIN users u USING (user_id) "
            "WHERE g.portfolio_id = %s ORDER BY array_position('{manage,write,read}', g.access), u.username",
            (portfolio,),
        ).fetchall()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
