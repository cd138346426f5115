"""Portfolios: list, look at, create, edit, archive. `portfolio_of` finds the one that a request means."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from api.answers import AsOf, Exact, KnownAt, PortfolioAnswer, TableAnswer
from api.exact import Day
from api.once import OnceRoute
from api.people import Who
from core.book import Portfolio
from core.portfolio_fields import LONGEST_NOTE
from core.scope import BadScope, Scope
from db import market, portfolios, reports
from db.access import User
from db.books import NoSuchPortfolio

router = APIRouter(prefix="/v1/portfolios", tags=["Portfolios"], route_class=OnceRoute)


def portfolio_of(user: User, wanted: str | None, first: bool = False) -> Portfolio:
    """The portfolio of this id or name among those the person may see. Without one: the only one, or with `first` the first by name.

    Raises NoSuchPortfolio, and BadScope where the name or its absence leaves a choice.
    """
    mine = reports.portfolios(user)
    if not wanted:
        if not mine:
            raise NoSuchPortfolio("you have no portfolio yet: create one with POST /v1/portfolios")
        if len(mine) > 1 and not first:
            raise BadScope("portfolio", "", "the id or name of one of your portfolios")
        return mine[0]
    try:
        number: UUID | None = UUID(wanted)
    except ValueError:
        number = None
    found = [p for p in mine if p.portfolio_id == number] or [p for p in mine if p.name == wanted]
    found = found or [p for p in mine if p.name.casefold() == wanted.casefold()]
    if not found:
        raise NoSuchPortfolio("there is no such portfolio, or you have no access to it")
    if len(found) > 1:
        raise BadScope("portfolio", wanted, f"an id: {len(found)} of your portfolios have this name")
    return found[0]


def shown(p: Portfolio) -> PortfolioAnswer:
    """A Portfolio as the API shows it."""
    return PortfolioAnswer(
        portfolio_id=str(p.portfolio_id),
        name=p.name,
        base_currency=p.base_currency,
        benchmark_id=p.benchmark_id,
        method=p.method,
        access=p.access,
        note=p.note,
        demo=p.demo,
        goal_value=p.goal_value,
        goal_on=p.goal_on,
        version=p.version,
    )


class PortfolioDetail(PortfolioAnswer):
    """A portfolio with what it is worth now."""

    overview: TableAnswer


Method = Literal["fifo", "lifo", "hifo", "average", "specific"]


class NewPortfolio(BaseModel):
    """What a new portfolio needs."""

    name: str = Field(min_length=1, max_length=80, pattern="^[^\\x00]*$")
    base_currency: str = Field(pattern="^[A-Za-z]{3}$", examples=["USD"])
    benchmark_id: int | None = Field(None, description="a security's number, often an index")
    method: Method = "fifo"
    note: str = Field("", max_length=LONGEST_NOTE, pattern="^[^\\x00]*$")


class PortfolioEdit(BaseModel):
    """What is to change, and the version that was read. What is left out stays."""

    version: int
    name: str | None = Field(None, min_length=1, max_length=80, pattern="^[^\\x00]*$")
    benchmark_id: int | None = None
    goal_value: Decimal | None = Field(None, gt=0, max_digits=28, decimal_places=6)
    goal_on: Day | None = None
    note: str | None = Field(None, max_length=LONGEST_NOTE, pattern="^[^\\x00]*$")


class DatedMethodAnswer(BaseModel):
    """A cost method from a day on, until the next one."""

    valid_from: date
    method: str
    recorded_at: datetime
    superseded: bool = Field(description="another was set for the same day later")


class NewMethod(BaseModel):
    """The cost method from a day on, up to the next dated one."""

    valid_from: Day
    method: Method
    version: int | None = Field(None, description="the portfolio's version that was read: 409 where it changed since")


class YearAnswer(BaseModel):
    """Realised gains of one year in the base currency."""

    year: int
    before: Exact | None
    after: Exact | None


class MethodAnswer(BaseModel):
    """What a change of method restates; `applied` says whether it was made."""

    portfolio_id: UUID
    applied: bool
    years: list[YearAnswer]
    difference: Exact | None = Field(description="realised gain after less before, over all years")
    lots_before: int = Field(description="open lots of the securities whose lots differ")
    lots_after: int


Named = Annotated[str, Path(description="id or name of a portfolio", max_length=120)]


def _benchmark(user: User, number: int | None) -> None:
    if number is not None and number not in {s.security_id for s in market.securities(user.user_id)}:
        raise BadScope("benchmark_id", number, "the number of a security")


@router.get("", response_model=list[PortfolioAnswer])
def list_portfolios(who: Who) -> list[PortfolioAnswer]:
    """Every portfolio that you may see, by name."""
    return [shown(p) for p in reports.portfolios(who)]


@router.post("", response_model=PortfolioAnswer, status_code=201)
def create_portfolio(who: Who, new: NewPortfolio, response: Response) -> PortfolioAnswer:
    """A new portfolio that you manage. Viewers may not."""
    _benchmark(who, new.benchmark_id)
    number = portfolios.create_portfolio(
        who.user_id, new.name, new.base_currency, new.benchmark_id, new.method, new.note
    )
    response.headers["Location"] = f"portfolios/{number}"
    return shown(portfolio_of(who, str(number)))


@router.get("/{portfolio}", response_model=PortfolioDetail)
def look_at_portfolio(who: Who, portfolio: Named, as_of: AsOf = None, known_at: KnownAt = None) -> PortfolioDetail:
    """One portfolio with what it is worth now, or was at a past date or known time (the report `overview`)."""
    found = portfolio_of(who, portfolio)
    scope = Scope.read(found.portfolio_id, {"as_of": as_of, "known_at": known_at})
    table = reports.answer(who, "overview", scope, datetime.now(UTC))
    return PortfolioDetail(**shown(found).model_dump(), overview=TableAnswer(**table.as_json()))


@router.put("/{portfolio}", response_model=PortfolioAnswer)
def edit_portfolio(who: Who, portfolio: Named, edit: PortfolioEdit) -> PortfolioAnswer:
    """Change name, benchmark, goal or note. 409 where somebody else changed it since `version`."""
    found = portfolio_of(who, portfolio)
    changes = edit.model_dump(exclude_unset=True, exclude={"version"})
    if "name" in changes:
        changes["name"] = changes["name"] or ""
    if "note" in changes:
        changes["note"] = changes["note"] or ""
    _benchmark(who, changes.get("benchmark_id"))
    portfolios.edit_portfolio(who.user_id, found.portfolio_id, edit.version, **changes)
    return shown(portfolio_of(who, str(found.portfolio_id)))


@router.get("/{portfolio}/methods", response_model=list[DatedMethodAnswer])
def list_methods(who: Who, portfolio: Named) -> list[DatedMethodAnswer]:
    """Every cost method that was ever set, by the day it is valid from."""
    found = portfolio_of(who, portfolio)
    return [
        DatedMethodAnswer(valid_from=m.valid_from, method=m.method, recorded_at=m.recorded_at, superseded=m.superseded)
        for m in portfolios.methods(who.user_id, found.portfolio_id)
    ]


@router.post("/{portfolio}/methods", response_model=MethodAnswer)
def change_method(
    who: Who,
    portfolio: Named,
    new: NewMethod,
    dry_run: Annotated[bool, Query(description="only say what it would restate")] = True,
) -> MethodAnswer:
    """Change the cost method from a day on. With dry_run (the default) only what realised gains and lots would become."""
    found = portfolio_of(who, portfolio)
    said = portfolios.change_method(
        who.user_id, found.portfolio_id, new.valid_from, new.method, datetime.now(UTC).date(), new.version, dry_run=dry_run
    )  # fmt: skip
    return MethodAnswer(
        portfolio_id=found.portfolio_id,
        applied=not dry_run,
        years=[YearAnswer(year=y.year, before=y.before, after=y.after) for y in said.years],
        difference=said.difference,
        lots_before=len(said.before),
        lots_after=len(said.after),
    )


@router.delete("/{portfolio}", response_model=PortfolioAnswer)
def archive_portfolio(who: Who, portfolio: Named, version: int) -> PortfolioAnswer:
    """Archive a portfolio: it leaves the lists, its ledger stays."""
    found = portfolio_of(who, portfolio)
    portfolios.edit_portfolio(who.user_id, found.portfolio_id, version, archived=True)
    return shown(found)
