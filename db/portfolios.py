"""Writing portfolios: make, edit, archive. One transaction per function."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from core.methods import METHODS
from db import engine, ledger
from db.access import AccessDenied


def create_portfolio(
    user: UUID, name: str, base_currency: str, benchmark: int | None = None, method: str = "fifo", note: str = ""
) -> UUID:
    """A new portfolio that its creator manages. Raises ValueError naming the field."""
    if not name.strip() or len(name.strip()) > 80:
        raise ValueError(f"name {name!r}: 1 to 80 characters are needed")
    if method not in METHODS:
        raise ValueError(f"cost method {method!r}: expected one of {', '.join(METHODS)}")
    with engine.session(user) as c:
        if not c.execute("SELECT 1 FROM currencies WHERE currency = %s", (base_currency.upper(),)).fetchone():
            raise ValueError(f"base currency {base_currency!r}: an ISO code such as USD or EUR is needed")
        row = c.execute("SELECT uuidv7()").fetchone()
        assert row is not None
        try:
            c.execute(
                "SELECT create_portfolio(%s, %s, %s, %s, %s, %s)",
                (row[0], name.strip(), base_currency.upper(), benchmark, method, note),
            )
        except psycopg.errors.InsufficientPrivilege as e:
            raise AccessDenied(str(e).splitlines()[0]) from e
        new: UUID = row[0]
        return new


def edit_portfolio(user: UUID, portfolio: UUID, version: int, **changes: Any) -> None:
    """Change name, benchmark_id, goal_value, goal_on or note, or archive (archived=True). Raises StaleEdit where somebody was faster."""
    allowed = {"name", "benchmark_id", "goal_value", "goal_on", "note"}
    with engine.session(user) as c:
        ledger.open_desk(c, portfolio, lock=True)
        now = c.execute("SELECT version FROM portfolios WHERE portfolio_id = %s", (portfolio,)).fetchone()
        if now is None or now[0] != version:
            raise StaleEdit("somebody changed this portfolio in the meantime: look again, then repeat your change")
        for field in changes.keys() & allowed:
            c.execute(
                psycopg.sql.SQL("UPDATE portfolios SET {} = %s WHERE portfolio_id = %s").format(
                    psycopg.sql.Identifier(field)
                ),
                (changes[field], portfolio),
            )
        if changes.get("archived"):
            c.execute("UPDATE portfolios SET archived_at = now() WHERE portfolio_id = %s", (portfolio,))
        c.execute("UPDATE portfolios SET version = version + 1 WHERE portfolio_id = %s", (portfolio,))


class StaleEdit(RuntimeError):
    """Somebody else changed the row since it was read."""
