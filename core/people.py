"""Who somebody is and what they may see: user names, roles, and the access to a portfolio."""

from __future__ import annotations

from core.master import InvalidField

ROLES = ("viewer", "analyst", "admin")
ACCESS = ("read", "write", "manage")


def checked_username(text: str) -> str:
    """A user name as it is kept: lower case, 2 to 64 characters. Raises InvalidField."""
    name = text.strip().lower()
    if not 2 <= len(name) <= 64 or not name.isprintable():
        raise InvalidField("username", text[:80], "2 to 64 printable characters")
    return name


def checked_role(role: str) -> str:
    """One of ROLES. Raises InvalidField."""
    if role not in ROLES:
        raise InvalidField("role", role, f"expected one of {', '.join(ROLES)}")
    return role


def checked_access(access: str) -> str:
    """One of ACCESS. Raises InvalidField."""
    if access not in ACCESS:
        raise InvalidField("access", access, f"expected one of {', '.join(ACCESS)}")
    return access
