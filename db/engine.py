"""Connections: one transaction per `session`, row-level security set in each. Nothing else commits.

The web role sees what its user may see; the jobs role sees every portfolio; the owner owns. Where DATABASE_URL gives one
login for all, a connection takes its role with SET ROLE; on the embedded server each role logs in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Literal
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import ConnectionPool

from db import embedded
from db.migrate import ensure_database, migrate
from settings import settings

Role = Literal["ballast_web", "ballast_jobs", "ballast_owner"]
Connection = psycopg.Connection[tuple[object, ...]]
Unreachable = (
    psycopg.OperationalError
)  # the database does not answer, or not in time; for those who may not know psycopg


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from, for the audit trail: page, api, csv, job or command; the client's address; the request's number."""

    source: str = ""
    address: str | None = None
    request_id: str | None = None


NOWHERE = Origin()
origin: ContextVar[Origin | None] = ContextVar("origin", default=None)  # of the request that is being answered
_elsewhere: Callable[[], Origin] = lambda: NOWHERE  # noqa: E731  asked where no request said it: see look_elsewhere

_pools: dict[str, ConnectionPool] = {}
_asked: WeakKeyDictionary[psycopg.Connection, float] = WeakKeyDictionary()
_lock = Lock()
_override: str | None = None  # tests: the conninfo of a fresh database on a server that lets every role in


def point_at(conninfo: str | None) -> None:
    """Use this database from now on (tests and benchmarks); None goes back to the settings. Closes what is open."""
    global _override
    close()
    _override = conninfo


def conninfo(role: Role) -> str:
    """How to connect as a role."""
    if _override is not None:
        return psycopg.conninfo.make_conninfo(_override, user=role)
    if settings.embedded:
        return embedded.conninfo(role)
    return settings.web_database_url if role == "ballast_web" and settings.web_database_url else settings.database_url


def _configure(role: Role) -> Callable[[psycopg.Connection], None]:
    direct = _override is not None or settings.embedded or (role == "ballast_web" and bool(settings.web_database_url))

    def configure(connection: psycopg.Connection) -> None:
        connection.execute("SET TIME ZONE 'UTC'")
        if not direct:
            connection.execute(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(role)))
        connection.commit()

    return configure


def _check(connection: psycopg.Connection) -> None:
    """Ask a connection whether it still lives, unless that was asked a moment ago: a page takes it twenty times a second."""
    asked = _asked.get(connection, 0.0)
    if monotonic() - asked > 2.0:
        ConnectionPool.check_connection(connection)
        _asked[connection] = monotonic()


def pool(role: Role) -> ConnectionPool:
    """The process's pool of connections as this role; opened at the first use."""
    with _lock:
        if role not in _pools:
            _pools[role] = ConnectionPool(
                conninfo(role),
                min_size=1,
                max_size=8 if role == "ballast_web" else 4,
                open=True,
                timeout=20,
                configure=_configure(role),
                kwargs={"application_name": role},
                check=_check,
            )
        return _pools[role]


def close() -> None:
    """Close every pool."""
    with _lock:
        for p in _pools.values():
            p.close(timeout=2)
        _pools.clear()


def look_elsewhere(ask: Callable[[], Origin]) -> None:
    """Ask this where `origin` is not set: pages run in threads that come and go, and know their browser at any time."""
    global _elsewhere
    _elsewhere = ask


_TOLD = (
    "SELECT set_config('app.user_id', %s, true), set_config('app.source', %s, true), set_config('app.address', %s, true), "
    "set_config('app.request_id', %s, true), set_config('app.task_id', %s, true)"
)


def _tell(
    connection: psycopg.Connection, user: UUID | None, where: Origin, source: str | None, task: UUID | None
) -> None:
    """Say who acts and from where, to the end of the transaction."""
    connection.execute(
        _TOLD,
        (
            str(user) if user else "",
            source or where.source,
            where.address or "",
            where.request_id or "",
            str(task) if task else "",
        ),
    )


@contextmanager
def session(user: UUID | None, source: str | None = None) -> Iterator[psycopg.Connection]:
    """One transaction as the web role on behalf of `user` (None: nobody, sees no portfolio). `source` says more than `origin`."""
    with pool("ballast_web").connection() as connection:
        _tell(connection, user, origin.get() or _elsewhere(), source, None)
        yield connection


@contextmanager
def jobs(user: UUID | None = None, task: UUID | None = None, source: str = "job") -> Iterator[psycopg.Connection]:
    """One transaction as the jobs role: every portfolio, no credentials. `user` and `task`: on whose behalf, for the audit trail."""
    with pool("ballast_jobs").connection() as connection:
        _tell(connection, user, origin.get() or NOWHERE, source, task)
        yield connection


@contextmanager
def owner() -> Iterator[psycopg.Connection]:
    """One transaction as the owner: for commands run by whoever runs the installation, never for a request."""
    with psycopg.connect(conninfo("ballast_owner")) as connection:
        connection.execute(
            "SELECT set_config('role', 'ballast_owner', false), set_config('app.source', 'command', false)"
        )
        yield connection


def ensure() -> bool:
    """Make the database and bring it to the newest schema; True where anything was done."""
    if settings.embedded:
        ensure_database(embedded.conninfo("postgres", "postgres"), "ballast")
        return migrate(embedded.conninfo("postgres"))
    return migrate(settings.database_url)
