"""The dimensions of the security master: what its fields may name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.once import OnceRoute
from api.people import Who
from core.master import WITH_TERMS, WITHOUT_SECTOR
from db import dimensions

router = APIRouter(prefix="/v1", tags=["Dimensions"], route_class=OnceRoute)
Name = Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")]


class AssetClassAnswer(BaseModel):
    """An asset class, and what a security of it may have."""

    asset_class: str
    tradable: bool = Field(description="false: an index, which nobody holds")
    has_sector: bool
    has_terms: bool = Field(description="whether it may mature and have a par value")


class SectorAnswer(BaseModel):
    """A sector; with `industry` one of its industries; with `subsector` a part of that."""

    sector_id: int
    sector: str
    industry: str | None
    subsector: str | None


class NewSector(BaseModel):
    """A row to add to the taxonomy: the last name is the new one, those before it are there already."""

    model_config = {"extra": "forbid"}
    sector: Name = Field(examples=["Energy"])
    industry: Name | None = Field(None, examples=["Wind"])
    subsector: Name | None = Field(None, examples=["Offshore"])
    sure: bool = Field(False, description="a name that is very like one that is there is meant so")


class ExchangeAnswer(BaseModel):
    """An exchange by its ISO 10383 code; XOFF is what is listed nowhere here."""

    exchange: str
    name: str
    zone: str = Field(description="time zone, such as Europe/Berlin")
    currency: str = Field(description="of its securities, where they name none")


class CountryAnswer(BaseModel):
    """A country by its ISO 3166 code."""

    country: str
    name: str
    region: str


class CurrencyAnswer(BaseModel):
    """A currency by its ISO 4217 code."""

    currency: str
    name: str
    minor_units: int = Field(description="decimals of posted amounts")


@router.get("/asset-classes", response_model=list[AssetClassAnswer])
def list_asset_classes(who: Who) -> list[AssetClassAnswer]:
    """Every asset class."""
    return [
        AssetClassAnswer(
            asset_class=a.asset_class,
            tradable=a.tradable,
            has_sector=a.asset_class not in WITHOUT_SECTOR,
            has_terms=a.asset_class in WITH_TERMS,
        )
        for a in dimensions.asset_classes(who)
    ]


@router.get("/sectors", response_model=list[SectorAnswer])
def list_sectors(who: Who) -> list[SectorAnswer]:
    """Every sector, industry and subsector, a row each; those of a sector stand behind it."""
    return [
        SectorAnswer(sector_id=s.sector_id, sector=s.sector, industry=s.industry, subsector=s.subsector)
        for s in dimensions.sectors(who)
    ]


@router.post("/sectors", response_model=SectorAnswer, status_code=201)
def add_sector(who: Who, new: NewSector) -> SectorAnswer:
    """Add a sector; with `industry` an industry of one that is there; with `subsector` a part of that. For admins."""
    made = dimensions.add_sector(who, new.model_dump(exclude={"sure"}), new.sure)
    return SectorAnswer(sector_id=made.sector_id, sector=made.sector, industry=made.industry, subsector=made.subsector)


@router.get("/exchanges", response_model=list[ExchangeAnswer])
def list_exchanges(who: Who) -> list[ExchangeAnswer]:
    """Every exchange."""
    return [
        ExchangeAnswer(exchange=e.exchange, name=e.name, zone=e.zone, currency=e.currency)
        for e in dimensions.exchanges(who)
    ]


@router.get("/countries", response_model=list[CountryAnswer])
def list_countries(who: Who) -> list[CountryAnswer]:
    """Every country."""
    return [CountryAnswer(country=c.country, name=c.name, region=c.region) for c in dimensions.countries(who)]


@router.get("/currencies", response_model=list[CurrencyAnswer])
def list_currencies(who: Who) -> list[CurrencyAnswer]:
    """Every currency."""
    return [
        CurrencyAnswer(currency=c.currency, name=c.name, minor_units=c.minor_units) for c in dimensions.currencies(who)
    ]
