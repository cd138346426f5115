"""Counterparties: read by everybody, written by those who may edit, each change asked against what the person saw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg

from core.counterparties import Counterparties, Counterparty, DuplicateName, checked
from core.fx import day_of
from core.view import View
from db import engine
from db.access import User
from db.edits import StaleEdit, still
from db.master import BadSecurity
from db.tasks import refused


class NoSuchCounterparty(LookupError):
    """No counterparty has this number."""


class CounterpartyUsed(ValueError):
    """Entries name it: it stays, and can be set inactive."""


class BadCounterparty(BadSecurity):
    """Fields of a counterparty are wrong; `faults` holds each of them."""


def every(user: User) -> list[Counterparty]:
    """All of them, by name."""
    with engine.session(user.user_id) as c:
        return _every(c)


def _every(c: psycopg.Connection) -> list[Counterparty]:
    rows = c.execute(
        "SELECT counterparty_id, name, type, rating, country, status FROM counterparties ORDER BY lower(name)"
    ).fetchall()
    return [Counterparty(*row) for row in rows]


def names(user: User, active: bool = False) -> list[str]:
    """The names of all of them, or of the active ones."""
    return [x.name for x in every(user) if x.status == "active" or not active]


def one(user: User, number: int) -> Counterparty:
    """One of them. Raises NoSuchCounterparty."""
    return _found(every(user), number)


def _found(known: list[Counterparty], number: int) -> Counterparty:
    found = next((x for x in known if x.counterparty_id == number), None)
    if found is None:
        raise NoSuchCounterparty(f"there is no counterparty {number}")
    return found


def countries(user: User) -> dict[str, str]:
    """Code → name."""
    with engine.session(user.user_id) as c:
        return dict(c.execute("SELECT country, name FROM countries ORDER BY name").fetchall())


def add(user: User, cells: Mapping[str, Any]) -> Counterparty:
    """Add one. Raises AccessDenied, BadCounterparty."""
    return _save(user, cells, None, None)


def edit(user: User, number: int, cells: Mapping[str, Any], seen: Mapping[str, Any] | None = None) -> Counterparty:
    """Change some fields. `seen`: the fields as the person saw them; where any is another now, nothing is changed.

    Raises AccessDenied, BadCounterparty, NoSuchCounterparty, StaleEdit.
    """
    return _save(user, cells, number, seen)


def _save(user: User, cells: Mapping[str, Any], number: int | None, seen: Mapping[str, Any] | None) -> Counterparty:
    with refused(), engine.session(user.user_id) as c:
        known = _every(c)
        was = None if number is None else _found(known, number)
        if was is not None and seen is not None:
            still(was.name, seen, was.cells())
        known_countries = [r[0] for r in c.execute("SELECT country FROM countries").fetchall()]
        made, faults = checked(cells, known, known_countries, was)
        if made is None:
            raise BadCounterparty(faults)
        try:
            row = c.execute(
                "SELECT save_counterparty(%s, %s, %s)",
                (number, json.dumps(made.cells()), json.dumps(was.cells() if was else {})),
            ).fetchone()
        except psycopg.errors.UniqueViolation as e:
            raise BadCounterparty([DuplicateName("name", made.name, "somebody has just added it")]) from e
        if row is None or row[0] is None:
            raise StaleEdit(f"somebody changed {made.name} in the meantime: look again, then repeat your change")
    return Counterparty(row[0], made.name, made.type, made.rating, made.country, made.status)


def remove(user: User, number: int) -> None:
    """Take one away that no entry names. Raises AccessDenied, NoSuchCounterparty, CounterpartyUsed."""
    with refused(), engine.session(user.user_id) as c:
        row = c.execute("SELECT remove_counterparty(%s)", (number,)).fetchone()
    said = row[0] if row else "absent"
    if said == "absent":
        raise NoSuchCounterparty(f"there is no counterparty {number}")
    if said == "used":
        raise CounterpartyUsed("entries of the ledger name it: it stays; set it inactive instead")


def of_view(user: UUID, view: View | None) -> Counterparties:
    """Every counterparty; with a view the issuers of what is held and through whom its unsettled entries went."""
    with engine.session(user) as c:
        known = tuple(_every(c))
        if view is None:
            return Counterparties(known)
        held = [p.security.security_id for p in view.valuation.positions]
        issuers = c.execute(
            "SELECT security_id, issuer FROM securities WHERE security_id = ANY (%s) AND issuer IS NOT NULL", (held,)
        ).fetchall()
        through = c.execute(
            "SELECT transaction_id, counterparty_id FROM transactions WHERE portfolio_id = %s AND counterparty_id IS NOT NULL AND settles_on > %s",
            (view.book.portfolio.portfolio_id, day_of(view.as_of)),
        ).fetchall()
    return Counterparties(known, dict(issuers), dict(through))
