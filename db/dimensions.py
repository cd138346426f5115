"""The dimensions of the security master: asset classes, sectors, exchanges, countries, currencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from core.master import ELSEWHERE
from core.sectors import DuplicateSector, checked
from db import engine, lookups
from db.access import AccessDenied, User
from db.tasks import refused
from settings import settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AssetClass:
    """A class; an index cannot be traded."""

    asset_class: str
    tradable: bool


@dataclass(frozen=True, slots=True)
class Sector:
    """A sector, an industry of one, or a subsector of an industry."""

    sector_id: int
    sector: str
    industry: str | None
    subsector: str | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where securities are listed, by its ISO 10383 code."""

    exchange: str
    name: str
    zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class Country:
    """A country by its ISO 3166 code."""

    country: str
    name: str
    region: str


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency by its ISO 4217 code."""

    currency: str
    name: str
    minor_units: int


def _all(user: User, kind: type[T], query: str) -> list[T]:
    with engine.session(user.user_id) as c, c.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query).fetchall()


def asset_classes(user: User) -> list[AssetClass]:
    """By name."""
    return _all(user, AssetClass, "SELECT asset_class, tradable FROM asset_classes ORDER BY asset_class")


def sectors(user: User) -> list[Sector]:
    """Each sector, then its industries, each with its subsectors."""
    return _all(
        user,
        Sector,
        "SELECT sector_id, sector, nullif(industry, '') AS industry, nullif(subsector, '') AS subsector FROM sectors "
        "ORDER BY sectors.sector, sectors.industry, sectors.subsector",
    )


def add_sector(user: User, cells: Mapping[str, Any], sure: bool = False) -> Sector:
    """Add a sector, an industry of one, or a subsector of that; for admins. Raises AccessDenied, InvalidSector, DuplicateSector.

    `sure`: a name that is very like another one is meant so.
    """
    if user.role != "admin":
        raise AccessDenied("only admins add sectors")
    with refused(), engine.session(user.user_id) as c:
        row = checked(cells, lookups.sectors(c), sure)
        try:
            made = c.execute("SELECT add_sector(%s, %s, %s)", row).fetchone()
        except psycopg.errors.UniqueViolation as e:
            raise DuplicateSector("sector", " / ".join(filter(None, row)), "somebody has just added it") from e
    assert made is not None
    return Sector(made[0], row[0], row[1] or None, row[2] or None)


def exchanges(user: User) -> list[Exchange]:
    """By code; what is listed nowhere has the installation's currency."""
    found = _all(user, Exchange, "SELECT exchange, name, zone, currency FROM exchanges ORDER BY exchange")
    return [replace(x, currency=settings.currency) if x.exchange == ELSEWHERE else x for x in found]


def countries(user: User) -> list[Country]:
    """By code."""
    return _all(user, Country, "SELECT country, name, region FROM countries ORDER BY country")


def currencies(user: User) -> list[Currency]:
    """By code."""
    return _all(user, Currency, "SELECT currency, name, minor_units FROM currencies ORDER BY currency")
