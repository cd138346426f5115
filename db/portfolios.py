"""Writing portfolios: make, edit, archive. One transaction per function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg

from core import portfolio_fields
from core.fx import day_number, day_of
from core.ledger import KINDS, Impossible, LedgerError, spoken
from core.methods import method_on
from core.preview import Restatement, restated, with_method
from db import books, engine, ledger
from db.access import AccessDenied
from db.edits import StaleEdit


def create_portfolio(
    user: UUID, name: str, base_currency: str, benchmark: int | None = None, method: str = "fifo", note: str = ""
) -> UUID:
    """A new portfolio that its creator manages. Raises InvalidField, AccessDenied."""
    name, method, note = (
        portfolio_fields.checked_name(name),
        portfolio_fields.checked_method(method),
        portfolio_fields.checked_note(note),
    )
    with engine.session(user) as c:
        known = {r[0] for r in c.execute("SELECT currency FROM currencies").fetchall()}
        base_currency = portfolio_fields.checked_currency(base_currency, known)
        row = c.execute("SELECT uuidv7()").fetchone()
        assert row is not None
        try:
            c.execute(
                "SELECT create_portfolio(%s, %s, %s, %s, %s, %s)",
                (row[0], name, base_currency, benchmark, method, note),
            )
        except psycopg.errors.InsufficientPrivilege as e:
            raise AccessDenied(str(e).splitlines()[0]) from e
        new: UUID = row[0]
        return new


def edit_portfolio(user: UUID, portfolio: UUID, version: int, **changes: Any) -> None:
    """Change name, benchmark_id, goal_value, goal_on or note, or archive (archived=True). Raises InvalidField, and StaleEdit
    where somebody was faster."""
    allowed = {"name", "benchmark_id", "goal_value", "goal_on", "note"}
    changes = portfolio_fields.checked(changes)
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


@dataclass(frozen=True, slots=True)
class DatedMethod:
    """A cost method from a day on; `superseded` where another was set for the same day later."""

    valid_from: date
    method: str
    recorded_at: datetime
    superseded: bool


def methods(user: UUID, portfolio: UUID) -> list[DatedMethod]:
    """Every cost method that was ever set, by the day it is valid from, then as recorded. Raises NoSuchPortfolio."""
    with engine.session(user) as c:
        books.portfolio_of(c, portfolio)
        rows = c.execute(
            "SELECT valid_from, method, recorded_at, lead(recorded_at) OVER (PARTITION BY valid_from ORDER BY recorded_at) IS NOT NULL "
            "FROM cost_methods WHERE portfolio_id = %s ORDER BY valid_from, recorded_at",
            (portfolio,),
        ).fetchall()
        return [DatedMethod(*row) for row in rows]


def change_method(
    user: UUID,
    portfolio: UUID,
    valid_from: date,
    method: str,
    today: date,
    version: int | None = None,
    *,
    dry_run: bool = False,
) -> Restatement:
    """Set the cost method from a day on, up to the next dated one; what that restates. `dry_run` changes nothing.

    Raises LedgerError where it would change nothing or chosen lots would become impossible, StaleEdit where somebody booked or
    changed something since `version`, AccessDenied for whom does not manage the portfolio.
    """
    portfolio_fields.checked_method(method)
    if valid_from < date(1900, 1, 1):
        raise LedgerError("valid from", valid_from, "a day from 1900-01-01 on is needed")
    with engine.session(user) as c:
        desk = ledger.open_desk(c, portfolio, lock=not dry_run)
        if not c.execute("SELECT %s = ANY (managed())", (portfolio,)).fetchone()[0]:  # type: ignore[index]
            raise AccessDenied("only who manages a portfolio may change its cost method")
        if version is not None and version != desk.portfolio.version:
            raise StaleEdit("somebody changed this portfolio in the meantime: look again, then repeat your change")
        if method_on(desk.portfolio.dated_methods, day_number(valid_from)) == method:
            raise LedgerError(
                "cost method", method, f"it is in force on {valid_from} already: choose another method or another day"
            )
        book = books.load(c, portfolio).book
        new = with_method(desk.portfolio.dated_methods, valid_from, method)
        try:
            restatement = restated(book, new)
        except Impossible as e:
            on = day_of(int(book.ledger.traded_on[e.row]))
            kind = spoken(KINDS[int(book.ledger.kind[e.row])])
            raise LedgerError(
                "cost method", method, f"the {kind} of {on} would become impossible ({e.field} {e.value}: {e.expected}); "
                "correct that entry first, or choose a day after it"
            ) from e  # fmt: skip
        if not dry_run:
            c.execute(
                "INSERT INTO cost_methods (portfolio_id, valid_from, method) VALUES (%s, %s, %s)",
                (portfolio, valid_from, method),
            )
            ledger.mark_moved(c, portfolio, [min(valid_from, today)], today)
        return restatement
