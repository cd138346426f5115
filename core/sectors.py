"""Adding to the taxonomy: what a new sector, industry or subsector may be called beside those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rapidfuzz import fuzz

from core.master import InvalidSector, closest
from core.taxonomy import Sector, plain, sector_of

FIELDS = ("sector", "industry", "subsector")
LONGEST = 80  # characters of a name
ALIKE = 88.0  # of 100, from where on a name is taken for a slip of the pen


class DuplicateSector(InvalidSector):
    """It is in the taxonomy already, however it is written."""


def checked(cells: Mapping[str, Any], known: Iterable[Sector], sure: bool = False) -> Sector:
    """The new row of the taxonomy: its last name is new, those before it are spelled as they stand there.

    A sector alone is a new sector; with an industry a new industry of it; with both a new subsector of that. `sure`: a name that
    is very like another one is meant so. Raises InvalidSector naming the field, DuplicateSector.
    """
    rows = list(known)
    names = {field: " ".join(str(cells.get(field) or "").split()) for field in FIELDS}
    for field, name in names.items():
        if len(name) > LONGEST or not name.isprintable():
            raise InvalidSector(field, name[:LONGEST], f"up to {LONGEST} printable characters")
    if not names["sector"]:
        raise InvalidSector("sector", "", "the name of the sector is needed")
    if names["subsector"] and not names["industry"]:
        raise InvalidSector("industry", "", "a subsector is one of an industry: name that too")
    new = next(field for field in reversed(FIELDS) if names[field])
    above: tuple[str, ...] = ()
    for field in FIELDS[: FIELDS.index(new)]:
        above = (*above, _standing(field, names[field], _below(above, rows), above))
    _unlike(new, names[new], _below(above, rows), sure)
    sector, industry, subsector = (*above, names[new], "", "")[:3]
    return sector, industry, subsector


def _below(above: tuple[str, ...], rows: Iterable[Sector]) -> list[str]:
    """The names that stand next below some: all sectors, the industries of a sector, the subsectors of an industry."""
    at = len(above)
    return sorted({row[at] for row in rows if row[:at] == above and row[at]})


def _standing(field: str, name: str, there: list[str], above: tuple[str, ...]) -> str:
    """A name that is to be there already, spelled as it stands there."""
    wanted = plain(sector_of(name) if field == "sector" else name)
    found = next((x for x in there if plain(x) == wanted), None)
    if found is None:
        where = f" in {above[-1]}" if above else ""
        hint = closest(name, there) if there else "there are none yet"
        raise InvalidSector(field, name, f"there is none of this name{where}; {hint}; add it first")
    return found


def _unlike(field: str, name: str, there: list[str], sure: bool) -> None:
    """Refuse a name that is there, whatever it is written like, or that is very like one."""
    wanted = plain(name)
    if same := next((x for x in there if plain(x) == wanted), None):
        raise DuplicateSector(field, name, f"there is {same} already")
    if field == "sector" and plain(sector_of(name)) != wanted:
        raise DuplicateSector(field, name, f"this is another name of {sector_of(name)}, which is there already")
    near = max(there, key=lambda x: fuzz.ratio(plain(x), wanted), default="")
    if near and not sure and fuzz.ratio(plain(near), wanted) >= ALIKE:
        raise InvalidSector(
            field, name, f"did you mean {near}, which is there? Say that you are sure where this is another one"
        )
