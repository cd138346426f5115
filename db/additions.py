"""Adding a security without saying where it is listed: the feeds are asked first, by way of the scheduled process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from core.ledger import LedgerError
from core.listings import several
from core.master import ELSEWHERE, InvalidField, checked
from core.plans import Plan
from core.profiles import Profile, filling, listed_as
from db import lookups, master
from db.access import User
from db.lookups import Lookup

UNCLAIMED = 2.0  # seconds after which nobody is taken to answer
PATIENCE = 8.0  # … and after which no answer comes, though somebody works on it
EVERY = 0.1  # seconds between two looks


def plan_add(user: User, cells: Mapping[str, Any]) -> Plan:
    """The plan that adds a security; its notes say what the feeds filled in, or what was taken without them.

    Where no exchange is said, the feeds are asked for the symbol: the one listing that they know of it here fills the fields
    that are empty. Raises BadSecurity, also where they know several listings.
    """
    symbol = str(cells.get("symbol") or "")
    if cells.get("exchange"):
        return master.plan_add(user, cells)
    exist = master.known(user)
    master.draft_of(exist, cells)  # what is wrong without them is said at once
    found, why = _asked(user, symbol)
    listings = listed_as(symbol, found, cells, exist)
    if len(listings) > 1:
        places = several(symbol.upper(), [one.exchange or "" for one in listings])
        raise master.BadSecurity([InvalidField("exchange", "", places)])
    if not listings:
        plan, said = master.plan_add(user, cells), why or f"no feed knows a listing of {symbol} here"
        nowhere = f": it is listed nowhere here ({ELSEWHERE})" if cells.get("currency") else ""
        return replace(plan, notes=(*plan.notes, f"{said[:1].upper()}{said[1:].rstrip('.')}{nowhere}."))
    one = listings[0]
    filled = filling(one, cells, exist)
    wrong = {f.field for f in checked({**cells, **filled}, exist)[1]} - {"exchange", "symbol"}
    filled = {name: value for name, value in filled.items() if name not in wrong}
    plan = master.plan_add(user, {**cells, **filled})
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in filled.items())
    return replace(
        plan,
        notes=(
            *plan.notes,
            f"{one.provider or 'A feed'} knows it as {one.exchange}:{one.symbol}; taken from there: {said}.",
        ),
    )


def _asked(user: User, symbol: str) -> tuple[tuple[Profile, ...], str]:
    """(what the feeds say of a symbol, why they say nothing)."""
    try:
        number = lookups.ask(user.user_id, symbol)
    except LedgerError as e:  # too many of this person's questions are open
        return (), f"The feeds were not asked: {e.expected}"
    answer = _awaited(user, number)
    if answer is None:
        return (), "The feeds gave no answer in time: the scheduled process, which asks them, may be busy or not run"
    return answer.candidates, answer.error or ""


def _awaited(user: User, number: UUID) -> Lookup | None:
    """The answer to a question; None where it does not come."""
    began = monotonic()
    while (waited := monotonic() - began) < PATIENCE:
        found = lookups.answer_of(user.user_id, number)
        if found.state != "asked":
            return found
        if waited > UNCLAIMED and not lookups.is_claimed(user.user_id, number):
            return None
        sleep(EVERY)
    return None
