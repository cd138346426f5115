"""The security master with the last quotes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.answers import AsOf, Exact, KnownAt
from api.people import Who
from api.problems import NoSuchSecurity
from core.reports import REPORTS
from core.scope import Scope
from db import market
from db.access import User

router = APIRouter(tags=["Securities"])
NOBODY = UUID(int=0)  # stands in the scope of what belongs to no portfolio
KEYS = tuple(column.key for column in REPORTS["securities"].columns)


class SecurityAnswer(BaseModel):
    """One security: master data and last quote."""

    security_id: int
    symbol: str
    name: str
    exchange: str
    asset_class: str
    sector: str | None
    industry: str | None
    subsector: str | None
    country: str | None
    currency: str
    isin: str | None
    issuer: str | None
    rating: str | None
    issued_on: date | None
    matures_on: date | None
    par_value: Exact | None
    dividend_frequency: str
    status: str
    price: Exact | None = Field(description="last quote, in the security's currency")
    previous_close: Exact | None
    quoted_at: datetime | None
    provider: str | None
    bars: int = Field(description="trading days in the price history")


def _all(user: User, as_of: str | None, known_at: str | None) -> list[SecurityAnswer]:
    scope = Scope.read(NOBODY, {"as_of": as_of, "known_at": known_at})
    rows = market.master(user.user_id, scope.as_of, scope.known_at)
    return [SecurityAnswer(**dict(zip(KEYS, row, strict=True))) for row in rows]


@router.get("/v1/securities", response_model=list[SecurityAnswer])
def list_securities(
    who: Who,
    q: Annotated[str, Query(description="part of the symbol, name or ISIN", max_length=80)] = "",
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> list[SecurityAnswer]:
    """Every security, by symbol; with `q` those that match. At a past date or known time with the last close known then."""
    wanted = q.casefold()
    return [s for s in _all(who, as_of, known_at) if wanted in f"{s.symbol}\n{s.name}\n{s.isin or ''}".casefold()]


@router.get("/v1/securities/{security}", response_model=SecurityAnswer)
def look_at_security(
    who: Who,
    security: Annotated[str, Path(description="number, SYMBOL or EXCHANGE:SYMBOL", max_length=60)],
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> SecurityAnswer:
    """One security. A symbol that several exchanges list needs its exchange."""
    every = _all(who, as_of, known_at)
    found = [s for s in every if str(s.security_id) == security]
    found = found or [s for s in every if security.upper() in (s.symbol, f"{s.exchange}:{s.symbol}")]
    if len(found) != 1:
        several = ", ".join(f"{s.exchange}:{s.symbol}" for s in found)
        raise NoSuchSecurity(f"say which one: {several}" if found else "there is no such security")
    return found[0]
