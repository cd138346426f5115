"""Brings a database to the newest schema: `python -m db.migrate`. Safe to run at any time, by several processes at once.

Makes the database and the three roles where they are missing (the owner owns, the web role and the jobs role do
not), then lets Alembic run what is new. At the newest revision it returns after one query and never loads Alembic.
"""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from psycopg import sql

VERSIONS = Path(__file__).parent / "migrations" / "versions"
ROLES = ("ballast_owner", "ballast_web", "ballast_jobs")
LOCK = 0x42414C4C


def newest_revision() -> str:
    """The revision that this code needs: the greatest numbered file in db/migrations/versions."""
    return max(m[1] for p in VERSIONS.glob("*.py") if (m := re.match(r"(\d{4})_", p.name)))


def revision_of(connection: psycopg.Connection) -> str | None:
    """The revision the database stands at, None when it is empty."""
    there = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
    if there is None or there[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(row[0]) if row else None


def ensure_database(admin_conninfo: str, dbname: str) -> None:
    """Create the database `dbname` where it is missing, connected through another one."""
    with psycopg.connect(admin_conninfo, autocommit=True) as c:
        if not c.execute("SELECT 1 FROM pg_database WHERE datname = %s", (dbname,)).fetchone():
            try:
                c.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(dbname))
                )
            except psycopg.errors.DuplicateDatabase:
                return


def ensure_roles(connection: psycopg.Connection) -> None:
    """The three roles, and the right of this login to act as each of them."""
    for role in ROLES:
        name = sql.Identifier(role)
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE").format(name)
            )
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO ballast_owner")
    connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def migrate(conninfo: str, to: str | None = None) -> bool:
    """Bring the database to the newest revision, or up to `to`; True where anything was done. Needs a login that may create roles."""
    wanted = to or newest_revision()
    with psycopg.connect(conninfo) as c:
        c.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if revision_of(c) == wanted:
            return False
        server = c.info.server_version // 10000
        if server < 18:
            raise RuntimeError(f"PostgreSQL {server} is too old: Ballast needs 18 or newer (it uses uuidv7())")
        ensure_roles(c)
        c.commit()
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (LOCK,))
        connection.exec_driver_sql("SET ROLE ballast_owner")
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, wanted)
        connection.commit()
    engine.dispose()
    return True


if __name__ == "__main__":
    from db import engine as _engine

    _engine.ensure()
