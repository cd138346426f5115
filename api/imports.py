"""Importing files of transactions and exporting a whole ledger; kept column maps; what was imported, and undoing it.

The file comes as a form (`file`) or as the body itself. `map` and `matches` may stand in the form or in the query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api import uploads
from api.answers import Exact, PortfolioQuery
from api.once import OnceRoute
from api.people import Who
from api.portfolios import portfolio_of
from core import importing
from core.brokers import ColumnMap
from core.ledger import LedgerError
from core.matching import NewSecurity
from core.recognition import UnknownFormat
from db import exports, import_maps, import_securities, imports
from db.import_securities import Choice

router = APIRouter(prefix="/v1", tags=["Transactions"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"


class VerdictAnswer(BaseModel):
    """What becomes of one record of a file."""

    line: int
    lines: list[int] = Field(description="every line it was made from; none for a second booking of its line")
    outcome: Literal["book", "duplicate", "refused", "skipped"]
    reason: str
    warnings: list[str] = Field(description="what is odd about its date, in words; it is booked all the same")
    kind: str | None
    symbol: str | None = Field(description="of the security that is meant; as EXCHANGE:SYMBOL where several have it")
    traded_on: date | None
    net: Exact | None
    cash_currency: str | None
    cells: dict[str, str] = Field(description="the record in our columns, as far as it was read")


class ProposedSecurity(BaseModel):
    """A security to create. POST it back in `matches`, as it is or corrected."""

    symbol: str
    exchange: str
    name: str
    isin: str
    currency: str
    asset_class: str


class CandidateAnswer(BaseModel):
    """A security that might be meant, and how likely (0 to 1)."""

    security_id: int
    symbol: str
    exchange: str
    name: str
    currency: str
    score: float


class UnknownAnswer(BaseModel):
    """A security that the file names and that is not known for certain."""

    key: str = Field(description="name it by this in `matches`")
    symbol: str
    isin: str
    name: str
    exchange: str
    currency: str
    rows: int
    candidates: list[CandidateAnswer]
    proposed: ProposedSecurity
    choice: str = Field(description="what `matches` said: use, create, skip, or nothing yet")
    fault: str = Field(description="why it cannot be created so; its rows are refused")
    note: str = Field(description="what the file says of it that is not proposed, and why")


class ToMap(BaseModel):
    """A table of unknown format: what it looks like, and a map proposed for it."""

    columns: list[str]
    rows: list[list[str]] = Field(description="the first rows")
    proposed: dict[str, Any] | None
    header_line: int
    delimiter: str


class ImportAnswer(BaseModel):
    """A verdict per record, and how many were booked (0 in a dry run)."""

    portfolio_id: UUID
    import_id: UUID | None
    file: str
    format: str = Field(
        description="own, ledger (a whole one of ours), a broker's, map, or unknown: then `to_map` is there"
    )
    title: str
    dry_run: bool
    rows: int
    good: int
    duplicates: int
    refused: int
    skipped: int
    warned: int = Field(description="records to book with a warning")
    booked: int
    notes: list[str]
    unknown_securities: list[UnknownAnswer]
    to_map: ToMap | None
    verdicts: list[VerdictAnswer]


class DoneAnswer(BaseModel):
    """An import that was made. `standing`: how many of its entries still count."""

    import_id: UUID
    file: str
    format: str
    at: datetime
    by: str
    rows: int
    booked: int
    duplicates: int
    refused: int
    skipped: int
    standing: int


class Undone(BaseModel):
    """An import taken back: how many entries were reversed. Its file may be imported again."""

    portfolio_id: UUID
    import_id: UUID
    reversed: int


class MapAnswer(BaseModel):
    """A kept column map."""

    map_id: UUID
    name: str
    shared: bool
    mine: bool
    map: dict[str, Any]


class Dropped(BaseModel):
    """A column map that is kept no longer."""

    map_id: UUID


class NewMap(BaseModel):
    """A column map to keep for files whose header has exactly these columns."""

    name: str = Field(min_length=1, max_length=80, pattern=TEXT)
    columns: list[str] = Field(min_length=1, max_length=200, description="all columns of the file's header")
    map: dict[str, Any] = Field(
        description="columns (ours → theirs), kinds, dates, decimal, zone, delimiter, header_line, signed, net, sided, …"
    )
    shared: bool = Field(False, description="everybody may use it")


_FILE = uploads.body(
    importing.TEMPLATE,
    {name: {"type": "string", "description": "as the query's"} for name in ("map", "matches")},
    **{"application/xml": {"schema": {"type": "string"}}},
)


@router.post("/transactions/import", response_model=ImportAnswer, openapi_extra=_FILE)
async def import_transactions(
    request: Request,
    who: Who,
    portfolio: PortfolioQuery = None,
    dry_run: Annotated[bool, Query(description="only say what would become of each record")] = True,
    take_good: Annotated[bool, Query(description="book the good records although others are refused")] = False,
    map: Annotated[
        str | None,
        Query(description="read it under this column map: the id of a kept one, or the map as JSON", max_length=20_000),
    ] = None,
    matches: Annotated[
        str | None,
        Query(
            description='what to do about unknown securities, as JSON: {key: security_id | "create" | "skip" | a security to create}',
            max_length=200_000,
        ),
    ] = None,
) -> ImportAnswer:
    """Read a file of transactions (our CSV, a broker's CSV or XML, any table under a map): a verdict per record and, with
    dry_run=false, its records booked in one transaction. The same file twice adds nothing."""
    found = await run_in_threadpool(portfolio_of, who, portfolio)
    name, raw, fields = await uploads.sent(request, "upload.csv")
    column_map = _map_of(fields.get("map") or map)
    asked = _json("matches", fields.get("matches") or matches or "{}")

    def made() -> ImportAnswer:
        if any(isinstance(v, str) and v == "create" for v in asked.values()):
            dry = imports.import_file(who.user_id, found.portfolio_id, raw, name, _today(), column_map=column_map)
            proposed = {u.key: u.proposed for u in dry.unknown}
        else:
            proposed = {}
        done = imports.import_file(
            who.user_id,
            found.portfolio_id,
            raw,
            name,
            _today(),
            dry_run=dry_run,
            take_good=take_good,
            column_map=column_map,
            choices={key: _choice(key, v, proposed) for key, v in asked.items()},
        )
        return _answer(found.portfolio_id, name, dry_run, done)

    try:
        return await run_in_threadpool(made)
    except UnknownFormat as e:
        if not dry_run:
            raise
        return ImportAnswer(
            portfolio_id=found.portfolio_id, import_id=None, file=name, format="unknown", title="Unknown: map it", dry_run=True, rows=0, good=0,
            duplicates=0, refused=0, skipped=0, warned=0, booked=0, notes=[str(e)], unknown_securities=[], to_map=ToMap(**e.as_json()), verdicts=[],
        )  # fmt: skip


@router.get(
    "/transactions/export",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_transactions(who: Who, portfolio: PortfolioQuery = None) -> Response:
    """The whole ledger as one CSV, reversals and ids included: imported into an empty portfolio it is the same ledger."""
    found = portfolio_of(who, portfolio)
    text = exports.export(who.user_id, found.portfolio_id)
    name = f'attachment; filename="ledger-{found.portfolio_id}.csv"'
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


@router.get("/transactions/imports", response_model=list[DoneAnswer])
def list_imports(who: Who, portfolio: PortfolioQuery = None) -> list[DoneAnswer]:
    """What was imported into a portfolio, newest first."""
    found = portfolio_of(who, portfolio)
    return [
        DoneAnswer(import_id=d.import_id, file=d.file_name, format=d.format, at=d.at, by=d.by, rows=d.rows, booked=d.booked,
                   duplicates=d.duplicates, refused=d.refused, skipped=d.skipped, standing=d.standing)
        for d in imports.done(who.user_id, found.portfolio_id, 200)
    ]  # fmt: skip


@router.post("/transactions/imports/{import_id}/undo", response_model=Undone, status_code=201)
def undo_import(who: Who, import_id: UUID, portfolio: PortfolioQuery = None) -> Undone:
    """Reverse every entry that an import booked, all or none."""
    found = portfolio_of(who, portfolio)
    count = imports.undo(who.user_id, found.portfolio_id, import_id)
    return Undone(portfolio_id=found.portfolio_id, import_id=import_id, reversed=count)


@router.get("/import-maps", response_model=list[MapAnswer])
def list_maps(who: Who) -> list[MapAnswer]:
    """The column maps that you may use: your own and those shared with everybody."""
    return [
        MapAnswer(map_id=m.map_id, name=m.name, shared=m.shared, mine=m.mine, map=m.column_map.as_json())
        for m in import_maps.maps(who.user_id)
    ]


@router.post("/import-maps", response_model=MapAnswer, status_code=201)
def keep_map(who: Who, new: NewMap) -> MapAnswer:
    """Keep a column map; of the same name it takes the place of the old one."""
    column_map = ColumnMap.from_json(new.map)
    number = import_maps.keep_map(who.user_id, new.name, column_map, new.columns, new.shared)
    return MapAnswer(map_id=number, name=new.name.strip(), shared=new.shared, mine=True, map=column_map.as_json())


@router.delete("/import-maps/{map_id}", response_model=Dropped)
def drop_map(who: Who, map_id: UUID) -> Dropped:
    """Forget a column map of your own."""
    import_maps.drop_map(who.user_id, map_id)
    return Dropped(map_id=map_id)


def _json(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise LedgerError(name, text[:60], "JSON is needed") from None
    if not isinstance(found, dict):
        raise LedgerError(name, text[:60], "a JSON object is needed")
    return found


def _map_of(text: str | None) -> ColumnMap | UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        return ColumnMap.from_json(_json("map", text))


def _choice(key: str, said: Any, proposed: Mapping[str, NewSecurity]) -> Choice:
    if isinstance(said, int) and not isinstance(said, bool) and 0 < said < 2**31:
        return Choice(use=said)
    if said == "skip":
        return Choice()
    if said == "create":
        return Choice(create=proposed[key]) if key in proposed else Choice()
    names = ("symbol", "exchange", "name", "isin", "currency", "asset_class")
    if (
        isinstance(said, dict)
        and set(said) <= set(names)
        and all(isinstance(v, str) and "\x00" not in v for v in said.values())
    ):
        return Choice(create=NewSecurity(**({"asset_class": "Equity", **dict.fromkeys(names[:5], ""), **said})))
    raise LedgerError(
        "matches", key[:60], f'a security_id, "create", "skip" or an object of {", ".join(names)} is needed'
    )


def _answer(portfolio: UUID, name: str, dry_run: bool, done: imports.Import) -> ImportAnswer:
    return ImportAnswer(
        portfolio_id=portfolio,
        import_id=done.import_id,
        file=name,
        format=done.format,
        title=done.title,
        dry_run=dry_run,
        rows=len(done.verdicts),
        good=done.count("book"),
        duplicates=done.count("duplicate"),
        refused=done.count("refused"),
        skipped=done.count("skipped"),
        warned=done.warned,
        booked=done.booked,
        notes=list(done.notes),
        unknown_securities=[_unknown(u) for u in done.unknown],
        to_map=None,
        verdicts=[_verdict(v) for v in done.verdicts],
    )


def _unknown(u: import_securities.Unknown) -> UnknownAnswer:
    listed = [
        CandidateAnswer(security_id=s.security_id, symbol=s.symbol, exchange=s.exchange, name=s.name, currency=s.currency, score=x.score)
        for x in u.candidates
        for s in (x.security,)
    ]  # fmt: skip
    p = u.proposed
    new = ProposedSecurity(
        symbol=p.symbol, exchange=p.exchange, name=p.name, isin=p.isin, currency=p.currency, asset_class=p.asset_class
    )
    n = u.named
    return UnknownAnswer(key=u.key, symbol=n.symbol, isin=n.isin, name=n.name, exchange=n.exchange, currency=n.currency, rows=u.rows,
                         candidates=listed, proposed=new, choice=u.choice, fault=u.fault, note=u.note)  # fmt: skip


def _verdict(v: imports.Verdict) -> VerdictAnswer:
    p = v.posting
    return VerdictAnswer(
        line=v.line,
        lines=list(v.lines),
        outcome=v.outcome,
        reason=v.reason,
        warnings=list(v.warnings),
        kind=p.kind if p else None,
        symbol=v.symbol or None,
        traded_on=p.traded_on if p else None,
        net=p.net if p else None,
        cash_currency=p.cash_currency if p else None,
        cells=dict(v.cells),
    )


def _today() -> date:
    return datetime.now(UTC).date()
