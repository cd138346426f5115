"""For whoever runs the installation: `python -m db.admin create-admin NAME`, `create-user NAME ROLE`, `list-users`,
`load-risk-free CURRENCY FILE`.

The password is asked for twice at a terminal, or read as one line from standard input. To add a command, write a function and
its lines in `main`.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from core.people import ROLES
from core.risk_free import rates_of
from db import access, embedded, engine, installation, market


def create(name: str, role: Literal["viewer", "analyst", "admin"]) -> None:
    """A new person of this role. Raises ValueError where name or password will not do."""
    access.create_user(name, _password(name), role)
    print(f"{name} may sign in now, as {role}.")


def list_users() -> None:
    """Everybody, with role and since when."""
    with engine.owner() as c:
        rows = installation.people(c)
    if not rows:
        print("Nobody yet: python -m db.admin create-admin NAME")
    for _, username, display_name, role, since, disabled in rows:
        print(f"{username:<20} {role:<8} {since:%Y-%m-%d}  {display_name}{'  (disabled)' if disabled else ''}")


def load_risk_free(currency: str, file: Path) -> None:
    """The dated risk-free rates of a currency, out of a CSV with the columns date and rate. Raises ValueError where it cannot be read."""
    rates = rates_of(file.read_text("utf-8-sig"))
    with engine.jobs() as c:
        if currency not in installation.currencies(c):
            raise ValueError(f"currency {currency!r}: there is no such currency here")
        changed = market.upsert_risk_free(c, currency, rates, file.name)
    print(f"{len(rates)} rates of {currency} read, {changed} of them new or changed.")


def _password(name: str) -> str:
    if not sys.stdin.isatty():  # echo … | python -m db.admin create-admin NAME
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != first:
        raise ValueError("password: the two differ")
    return first


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m db.admin", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create-admin", help="add a person who may do everything").add_argument("name")
    user = commands.add_parser("create-user", help="add a person")
    user.add_argument("name")
    user.add_argument("role", choices=ROLES)
    commands.add_parser("list-users", help="who may sign in")
    rates = commands.add_parser("load-risk-free", help="dated risk-free rates of a currency: a CSV with the columns date and rate")
    rates.add_argument("currency", type=str.upper)
    rates.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    try:
        with embedded.hold():
            engine.ensure()
            if given.command == "list-users":
                list_users()
            elif given.command == "load-risk-free":
                load_risk_free(given.currency, given.file)
            else:
                role = "admin" if given.command == "create-admin" else given.role
                create(given.name, cast(Literal["viewer", "analyst", "admin"], role))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
