"""Counterparties: what one may be, and how much of a portfolio depends on each: by who issued what is held, and by trades that have not settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.ledger import LedgerError
from core.master import InvalidField, MasterError, UnknownReference, closest

TYPES = ("broker", "custodian", "issuer", "bank", "exchange", "other")
STATUSES = ("active", "inactive")
FIELDS: Mapping[str, str] = {
    "name": "as it is known; securities whose issuer is called so count as issued by it",
    "type": ", ".join(TYPES),
    "rating": "such as AA-",
    "country": "two letters, such as US",
    "status": ", ".join(STATUSES),
}
NOBODY = "No issuer known"


class DuplicateName(InvalidField):
    """There is a counterparty of this name."""


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Somebody on the other side: of a trade, of a claim, of an account. `counterparty_id` 0: not added yet."""

    counterparty_id: int
    name: str
    type: str = "broker"
    rating: str | None = None
    country: str | None = None
    status: str = "active"

    def cells(self) -> dict[str, str | None]:
        """Its fields by name."""
        return {name: getattr(self, name) for name in FIELDS}


@dataclass(frozen=True, slots=True)
class Counterparties:
    """Every counterparty; who issued each security, as the master says; through whom an entry went that has one."""

    every: tuple[Counterparty, ...] = ()
    issuers: Mapping[int, str] = field(default_factory=dict)  # by security
    through: Mapping[UUID, int] = field(default_factory=dict)  # by entry

    def named(self, issuer: str | None) -> Counterparty | None:
        """The counterparty that an issuer's name means, whatever its case."""
        wanted = (issuer or "").strip().casefold()
        return next((c for c in self.every if c.name.casefold() == wanted), None) if wanted else None

    def issuer_of(self, security: int) -> str:
        """Under which name a security counts: of its counterparty, else of its issuer, else that none is known."""
        issuer = " ".join((self.issuers.get(security) or "").split())
        found = self.named(issuer)
        return found.name if found is not None else issuer or NOBODY


def called(text: str, names: Collection[str]) -> str:
    """The name of the counterparty that a booking means, whatever its case; empty: none. Raises LedgerError."""
    wanted = " ".join(text.split())
    if not wanted or wanted in names:
        return wanted
    found = next((name for name in names if name.casefold() == wanted.casefold()), None)
    if found is None:
        hint = closest(wanted, sorted(names)) if names else "there are none yet"
        raise LedgerError("counterparty", wanted[:80], f"{hint}; add it under Securities first, or leave it empty")
    return found


def checked(
    cells: Mapping[str, Any],
    known: Iterable[Counterparty],
    countries: Iterable[str],
    editing: Counterparty | None = None,
) -> tuple[Counterparty | None, list[MasterError]]:
    """(the counterparty that cells make, their faults): one of both is empty. What is left out stays as it is, or is the default."""
    faults: list[MasterError] = [
        InvalidField(n, v, f"there is no such field; {closest(n, FIELDS)}") for n, v in cells.items() if n not in FIELDS
    ]
    was = editing or Counterparty(0, "")
    text = {
        n: " ".join(str(v if v is not None else "").split()) for n, v in {**was.cells(), **cells}.items() if n in FIELDS
    }
    name = text["name"]
    if not 1 <= len(name) <= 120 or not name.isprintable():
        faults.append(InvalidField("name", name[:80], "1 to 120 printable characters"))
    same = next(
        (c for c in known if c.name.casefold() == name.casefold() and c.counterparty_id != was.counterparty_id), None
    )
    if same is not None:
        faults.append(DuplicateName("name", name, f"there is {same.name} already"))
    for key, choices in (("type", TYPES), ("status", STATUSES)):
        text[key] = text[key].lower()
        if text[key] not in choices:
            faults.append(InvalidField(key, text[key], closest(text[key], choices)))
    country = text["country"].upper()
    every = set(countries)
    if country and country not in every:
        faults.append(UnknownReference("country", country, f"there is none; {closest(country, sorted(every))}"))
    if len(text["rating"]) > 20 or not text["rating"].isprintable():
        faults.append(InvalidField("rating", text["rating"][:80], "up to 20 printable characters"))
    if faults:
        return None, faults
    return Counterparty(
        was.counterparty_id, name, text["type"], text["rating"] or None, country or None, text["status"]
    ), []
