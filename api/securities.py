"""The security master: looking at it, and asking for changes of it, each a tracked task with a plan of exact rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from api.answers import AsOf, Exact, KnownAt
from api.exact import Day, ExactRoute, NumberCell, TextCell
from api.paging import Cursor, cursor, key_of
from api.people import Who
from api.tasks import ASKED, DryRun, Key, ask
from core import VERSION
from core.master import FIELDS, FREQUENCIES
from core.reports import REPORTS
from core.scope import Scope
from core.table import Context
from db import additions, feeds, gaps, market, master
from db.access import User
from db.market import Wanted

router = APIRouter(tags=["Securities"], route_class=ExactRoute)
NOBODY = UUID(int=0)  # stands in the scope of what belongs to no portfolio
KEYS = tuple(column.key for column in REPORTS["securities"].columns)
TEXT = "^[^\\x00]*$"
Named = Annotated[
    str, Path(description="number, SYMBOL or EXCHANGE:SYMBOL", min_length=1, max_length=60, pattern="^[^\\x00]+$")
]
Text = Annotated[str | None, Query(max_length=80, pattern=TEXT)]
Status = Literal["active", "halted", "retired", "delisted"]


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────


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
    status: str = Field(
        description="active; halted; retired: removed, and kept for the history that names it; delisted"
    )
    price: Exact | None = Field(description="last quote, in the security's currency")
    previous_close: Exact | None
    quoted_at: datetime | None
    provider: str | None
    bars: int = Field(description="trading days in the price history")


class SecurityPage(BaseModel):
    """Some securities, by symbol and exchange."""

    items: list[SecurityAnswer]
    next_cursor: str | None = Field(description="send it as `cursor` for the next ones; null: there are none")
    total_count: int | None = Field(description="how many fit; only with count=true")


class SymbolAnswer(BaseModel):
    """What it is called from a day on; 1900-01-01 is from the beginning."""

    valid_from: date
    symbol: str
    exchange: str
    recorded_at: datetime


class ClassificationAnswer(BaseModel):
    """How it is classified from a day on; of several for one day the last recorded holds."""

    valid_from: date
    asset_class: str
    sector: str | None
    industry: str | None
    subsector: str | None
    country: str | None
    source: str = Field(description="a person, a file or a feed")
    recorded_at: datetime


class GapAnswer(BaseModel):
    """Consecutive sessions of its exchange without a price."""

    first: date
    last: date
    sessions: int = Field(description="how many of them are on or after its first trade")
    before_first: bool = Field(description="it was traded before its first price")
    feeds: str | None = Field(description="who was asked for them")
    asked_at: datetime | None
    next_at: datetime | None = Field(description="when they are asked for again; null: within a minute")
    text: str = Field(description="the same in words")


class TroubleAnswer(BaseModel):
    """What a feed could not say of it, or said in a way that could not be taken as it came."""

    feed: str = Field(description="empty: all of them")
    what: str = Field(description="quotes, bars, actions, profiles: what was asked; unit, basis: what was wrong with prices")
    said: str
    first_at: datetime
    last_at: datetime
    times: int


class SecurityDetail(SecurityAnswer):
    """One security with what it was called, how it was classified, and what is missing of its prices."""

    ended_on: date | None = Field(description="since when it is retired or delisted")
    former: bool = Field(description="it was asked for by a symbol that it has no more")
    symbols: list[SymbolAnswer]
    classifications: list[ClassificationAnswer]
    gaps: list[GapAnswer] = Field(description="sessions without a price as they are now, whatever date is asked")
    troubles: list[TroubleAnswer] = Field(description="what the feeds could not say of it as it is now")


def _answers(user: User, as_of: str | None, known_at: str | None, wanted: Wanted) -> list[SecurityAnswer]:
    scope = Scope.read(NOBODY, {"as_of": as_of, "known_at": known_at})
    rows = market.master(user.user_id, scope.as_of, scope.known_at, wanted)
    return [SecurityAnswer(**dict(zip(KEYS, row, strict=True))) for row in rows]


def wanted_query(
    q: Annotated[str, Query(description="part of the symbol, name or ISIN", max_length=80, pattern=TEXT)] = "",
    asset_class: Text = None,
    sector: Text = None,
    exchange: Text = None,
    currency: Text = None,
    country: Text = None,
    status: Annotated[list[Status] | None, Query(description="may be given several times; none: all")] = None,
) -> Wanted:
    """The filters of a request; upper and lower case are the same."""
    return Wanted(q, asset_class, sector, exchange, currency, country, tuple(status or ()))


Filtered = Annotated[Wanted, Depends(wanted_query)]


@router.get("/v1/securities", response_model=SecurityPage)
def list_securities(
    who: Who,
    wanted: Filtered,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    count: Annotated[bool, Query(description="true: say how many fit as well")] = False,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> SecurityPage:
    """Securities that fit, by symbol and exchange. What is added while somebody pages moves nothing: each comes once."""
    after = key_of(cursor, 2) if cursor is not None else None
    page = Wanted(**{**asdict(wanted), "after": tuple(after) if after else None, "limit": limit + 1})
    found = _answers(who, as_of, known_at, page)
    return SecurityPage(
        items=found[:limit],
        next_cursor=_behind(found[limit - 1]) if len(found) > limit else None,
        total_count=market.how_many(who.user_id, wanted) if count else None,
    )


def _behind(last: SecurityAnswer) -> str:
    return cursor(last.symbol, last.exchange)


@router.get(
    "/v1/securities.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def securities_as_csv(who: Who, wanted: Filtered, as_of: AsOf = None, known_at: KnownAt = None) -> Response:
    """Every security that fits, as a CSV file with the columns of the page."""
    scope, now = Scope.read(NOBODY, {"as_of": as_of, "known_at": known_at}), datetime.now(UTC)
    rows = market.master(who.user_id, scope.as_of, scope.known_at, wanted)
    context = Context(scope.as_of or now.date(), None, VERSION, known_at=scope.known_at)
    table = REPORTS["securities"].table(context, master=rows)
    disposition = {"Content-Disposition": f'attachment; filename="securities_{context.as_of}.csv"'}
    return Response(table.as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)


def every_security(
    who: Who,
    q: Annotated[str, Query(description="part of the symbol, name or ISIN", max_length=80, pattern=TEXT)] = "",
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> list[SecurityAnswer]:
    """All securities in the system as one list; /v1/securities has pages and filters."""
    return _answers(who, as_of, known_at, Wanted(q))


@router.get("/v1/securities/{security}", response_model=SecurityDetail)
def look_at_security(who: Who, security: Named, as_of: AsOf = None, known_at: KnownAt = None) -> SecurityDetail:
    """One security. A symbol that several exchanges list needs its exchange; a former symbol leads to what had it."""
    number, former = master.looked_up(who, security)
    past = master.past_of(who, number)
    (found,) = _answers(who, as_of, known_at, Wanted(number=number))
    return SecurityDetail(
        **found.model_dump(),
        ended_on=past.ended_on,
        former=former,
        symbols=[SymbolAnswer(**asdict(s)) for s in past.symbols],
        classifications=[ClassificationAnswer(**asdict(k)) for k in past.classifications],
        gaps=[
            GapAnswer(first=g.first, last=g.last, sessions=g.sessions, before_first=g.leading, feeds=g.feeds, asked_at=g.asked_at,
                      next_at=g.next_at, text=str(g))
            for g in gaps.all_of(who.user_id, number)
        ],
        troubles=[
            TroubleAnswer(feed=t.feed, what=t.what, said=t.said, first_at=t.first_at, last_at=t.last_at, times=t.times)
            for t in feeds.troubles(who.user_id, number)
        ],
    )  # fmt: skip


class AskedAgainAnswer(BaseModel):
    """What the feeds are asked for within a minute."""

    gaps: int = Field(description="how many gaps of it")


@router.post("/v1/securities/{security}/gaps/ask", response_model=AskedAgainAnswer)
def ask_for_gaps(who: Who, security: Named) -> AskedAgainAnswer:
    """Have the feeds asked for the missing prices of a security now, not when it is its turn. For those who may edit it."""
    number, _, _ = master.named(who, security)
    return AskedAgainAnswer(gaps=gaps.ask_again(who.user_id, number))


class ReferenceAnswer(BaseModel):
    """Something that names a security."""

    what: str = Field(description="holding, unsettled, dividend, benchmark; history, past benchmark, corrections")
    portfolio_id: UUID | None = Field(description="null: in none, or in one that you may not see")
    portfolio: str | None
    amount: Exact | None = Field(description="units held, entries, amount of the dividend")
    first_on: date | None
    last_on: date | None
    prevents: bool = Field(description="it cannot be removed while this is so")
    text: str = Field(description="the same in words, with what to do")


class ReferencesAnswer(BaseModel):
    """What names a security, and what its removal would do."""

    security_id: int
    symbol: str
    exchange: str
    removal: Literal["refused", "retires", "deletes"] = Field(
        description="refused while something prevents it; retires what history names; deletes what nothing ever named"
    )
    references: list[ReferenceAnswer]


@router.get("/v1/securities/{security}/references", response_model=ReferencesAnswer)
def list_references(who: Who, security: Named) -> ReferencesAnswer:
    """What prevents the removal of a security, and what makes it stay as a retired one."""
    number, symbol, exchange = master.named(who, security)
    every = master.references(who, number)
    removal: Literal["refused", "retires", "deletes"] = "retires" if every else "deletes"
    return ReferencesAnswer(
        security_id=number,
        symbol=symbol,
        exchange=exchange,
        removal="refused" if any(r.prevents for r in every) else removal,
        references=[
            ReferenceAnswer(what=r.what, portfolio_id=r.portfolio_id, portfolio=r.portfolio, amount=r.amount, first_on=r.first_on,
                            last_on=r.last_on, prevents=r.prevents, text=str(r))
            for r in every
        ],
    )  # fmt: skip


# ── changing ────────────────────────────────────────────────────────────────────────────────────────────────


class SecurityCells(BaseModel):
    """Fields of a security as cells of a row."""

    model_config = {"extra": "forbid"}
    symbol: TextCell = Field(None, description="stays: POST …/symbol-change gives it another one")
    exchange: TextCell = Field(None, description=FIELDS["exchange"], examples=["XNAS"])
    name: TextCell = Field(None, description=FIELDS["name"], examples=["Apple Inc."])
    isin: TextCell = Field(None, description=FIELDS["isin"], examples=["US0378331005"])
    asset_class: TextCell = Field(None, description="one of GET /v1/asset-classes", examples=["Equity"])
    sector: TextCell = Field(None, description="one of GET /v1/sectors", examples=["Technology"])
    industry: TextCell = Field(None, description=FIELDS["industry"], examples=["Consumer Electronics"])
    subsector: TextCell = Field(None, description=FIELDS["subsector"])
    currency: TextCell = Field(None, description=FIELDS["currency"], examples=["USD"])
    issuer: TextCell = Field(None, description=FIELDS["issuer"])
    country: TextCell = Field(None, description=FIELDS["country"], examples=["US"])
    rating: TextCell = Field(None, description=FIELDS["rating"])
    issued_on: TextCell = Field(None, description="date, such as 2026-03-31")
    matures_on: TextCell = Field(None, description="date, such as 2036-03-31")
    par_value: NumberCell = Field(None, description=FIELDS["par_value"])
    dividend_frequency: TextCell = Field(None, description=", ".join(FREQUENCIES), examples=["quarterly"])

    def cells(self) -> dict[str, str | None]:
        """What was sent."""
        return self.model_dump(exclude_unset=True, exclude={"seen"})


class SecurityEdit(SecurityCells):
    """What is to change in a security; what is left out stays, null empties it."""

    seen: SecurityCells | None = Field(
        None, description="fields as you read them: where any is another now, nothing is changed (409)"
    )


class NewSecurity(SecurityCells):
    """A security to add. Needed are symbol and asset_class; what is wrong is said field by field, all of it at once.

    Without `exchange` the feeds are asked: the listing that they know fills what is empty. Where they know none it is listed
    nowhere (XOFF) and, without `currency`, in that of the installation; the `notes` of the answer say so. Without `currency`
    it has that of its exchange; without `name` it goes by its symbol.
    """

    model_config = {"extra": "forbid", "json_schema_extra": {"required": ["symbol", "asset_class"]}}
    symbol: TextCell = Field(None, description=FIELDS["symbol"], examples=["AAPL"])
    price: NumberCell = Field(
        None,
        description="exact: above zero, in its currency, as a number or a string",
        examples=["150.00"],
    )
    priced_on: TextCell = Field(None, description=FIELDS["priced_on"])
    dividend: NumberCell = Field(None, description=FIELDS["dividend"])
    dividend_ex_on: TextCell = Field(None, description=FIELDS["dividend_ex_on"])
    dividend_pay_on: TextCell = Field(None, description=FIELDS["dividend_pay_on"])


class SymbolChange(BaseModel):
    """A new symbol, a new exchange, or both, from a day on."""

    model_config = {"extra": "forbid"}
    symbol: str = Field(min_length=1, max_length=32, pattern=TEXT, examples=["META"])
    exchange: str | None = Field(None, max_length=8, pattern=TEXT, description="default: the one it has")
    valid_from: Day = Field(
        description="up to today, after the last change, and not while another security had the symbol"
    )


class Delisting(BaseModel):
    """The last day."""

    model_config = {"extra": "forbid"}
    on: Day = Field(description="up to today")


def _asked(what: str, security: str | None = None, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is kept with the task as the request."""
    return {"do": what, "security": security, "fields": dict(fields or {})}


@router.post("/v1/securities", **ASKED)
def add_security(who: Who, request: Request, new: NewSecurity, key: Key = None, dry_run: DryRun = False) -> Response:
    """Add a security: 202 with the task that does it, every row or none. With its price goes the first bar. Without an exchange
    the feeds are asked for it first, for up to eight seconds."""
    cells = new.cells()
    return ask(who, request, "add", lambda: additions.plan_add(who, cells), _asked("add", None, cells), key, dry_run)


@router.patch("/v1/securities/{security}", **ASKED)
def edit_security(
    who: Who, request: Request, security: Named, edit: SecurityEdit, key: Key = None, dry_run: DryRun = False
) -> Response:
    """Change fields of a security. A new class or sector is one more dated classification."""
    cells, seen = edit.cells(), edit.seen.cells() if edit.seen else None
    asked = _asked("edit", security, cells) | ({"seen": seen} if seen else {})
    return ask(who, request, "edit", lambda: master.plan_edit(who, security, cells, seen), asked, key, dry_run)


@router.delete("/v1/securities/{security}", **ASKED)
def remove_security(
    who: Who, request: Request, security: Named, key: Key = None, dry_run: DryRun = False
) -> Response:  # fmt: skip
    """Remove a security: what history names is retired, what nothing ever named is deleted. 409 while somebody holds it."""
    return ask(who, request, "remove", lambda: master.plan_remove(who, security), _asked("remove", security), key, dry_run)  # fmt: skip


@router.post("/v1/securities/{security}/reinstate", **ASKED)
def reinstate_security(
    who: Who, request: Request, security: Named, key: Key = None, dry_run: DryRun = False
) -> Response:
    """Bring a retired, halted or delisted security back."""
    return ask(who, request, "remove", lambda: master.plan_reinstate(who, security), _asked("reinstate", security), key, dry_run)  # fmt: skip


@router.post("/v1/securities/{security}/symbol-change", **ASKED)
def change_symbol(
    who: Who, request: Request, security: Named, change: SymbolChange, key: Key = None, dry_run: DryRun = False
) -> Response:
    """Give a security another symbol or exchange from a day on; the old one stays in its history and leads to it."""
    return ask(
        who, request, "edit", lambda: master.plan_rename(who, security, change.symbol, change.exchange, change.valid_from),
        _asked("symbol_change", security, change.model_dump(mode="json")), key, dry_run,
    )  # fmt: skip


@router.post("/v1/securities/{security}/delist", **ASKED)
def delist_security(
    who: Who, request: Request, security: Named, last: Delisting, key: Key = None, dry_run: DryRun = False
) -> Response:  # fmt: skip
    """Mark a security as delisted: its history stays, no feed is asked for it any more."""
    return ask(
        who, request, "remove", lambda: master.plan_delist(who, security, last.on),
        _asked("delist", security, last.model_dump(mode="json")), key, dry_run,
    )  # fmt: skip
