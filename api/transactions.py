"""The ledger: read, append, reverse, import. Nothing is ever changed or deleted; DELETE books a reversal and answers with it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.answers import Exact, KnownAt, PortfolioQuery
from api.people import Who
from api.portfolios import portfolio_of
from core import importing
from core.importing import NotReadable
from core.income import reinvested
from core.ledger import BOOKABLE, Draft, LedgerError, Security
from core.scope import Scope
from db import engine, installation, ledger, market, tax
from db.access import User

router = APIRouter(prefix="/v1/transactions", tags=["Transactions"])
TEXT = "^[^\\x00]*$"
Amount = Annotated[Decimal | None, Field(description='exact: a string such as "185.50" is best', examples=["185.50"])]


class TransactionAnswer(BaseModel):
    """One entry of the ledger."""

    transaction_id: UUID
    traded_on: date
    settles_on: date
    kind: str
    symbol: str | None
    quantity: Exact | None
    price: Exact | None
    ratio: Exact | None = Field(description="of a split: new units for one old")
    gross: Exact
    fees: Exact
    taxes: Exact
    net: Exact = Field(description="posted cash, with its sign, in cash_currency")
    cash_currency: str
    currency: str
    fx: Exact | None
    note: str
    source: str
    recorded_by: str
    recorded_at: datetime
    reversed: bool
    reverses: UUID | None


class Transactions(BaseModel):
    """A part of a ledger, newest first."""

    portfolio_id: UUID
    transactions: list[TransactionAnswer]
    more: bool = Field(description="there are older ones: ask again with last= the date of the last one here")


class NewTransaction(BaseModel):
    """A transaction to book. Amounts are positive; the kind gives the sign."""

    date: date
    kind: str = Field(description=", ".join(BOOKABLE), max_length=30, pattern=TEXT, examples=["buy"])
    symbol: str = Field("", max_length=32, pattern=TEXT, examples=["AAPL"])
    exchange: str = Field("", max_length=8, pattern=TEXT, description="where several exchanges list the symbol")
    quantity: Amount = None
    price: Amount = None
    gross: Amount = None
    fees: Amount = None
    taxes: Amount = None
    currency: str = Field("", max_length=3, pattern=TEXT, description="default: the security's, else the portfolio's")
    fx: Amount = None
    ratio: Amount = None
    settlement: date | None = None
    note: str = Field("", max_length=500, pattern=TEXT)
    reference: str = Field("", max_length=120, pattern=TEXT)
    reinvest_price: Amount = Field(
        None,
        description="of a dividend taken in units: their price; books the purchase after it, two ids instead of one",
    )
    reinvest_units: Amount = Field(None, description="default: all that is left after taxes and fees")

    def drafts(self, listed: dict[str, Security], currencies: frozenset[str], base: str) -> list[Draft]:
        """What it books: one entry, or the dividend and its reinvestment. Raises LedgerError."""
        draft = importing.draft(self.cells(), listed, currencies, base)
        if self.reinvest_price is None:
            if self.reinvest_units is not None:
                raise LedgerError("reinvest_price", None, "a reinvestment needs the price of one unit")
            return [draft]
        try:
            return list(reinvested(draft, self.reinvest_price, self.reinvest_units))
        except LedgerError as e:
            field = {"price": "reinvest_price", "quantity": "reinvest_units"}.get(e.field, e.field)
            raise LedgerError(field, e.value, e.expected) from e

    def cells(self) -> dict[str, str]:
        """The same as text cells, as a file has them."""
        given = self.model_dump(exclude_none=True, exclude={"reinvest_price", "reinvest_units"})
        return {k: format(v, "f") if isinstance(v, Decimal) else str(v) for k, v in given.items()}


class Booked(BaseModel):
    """The ids of what was booked, in the order given."""

    portfolio_id: UUID
    booked: list[UUID]
    warnings: list[str] = Field(description="wash sales that they make, in words; never a reason to refuse")


class Reversed(BaseModel):
    """A reversal: both entries stay in the ledger, neither counts."""

    portfolio_id: UUID
    reversal: UUID
    reverses: UUID


class VerdictAnswer(BaseModel):
    """What becomes of one row of a file."""

    line: int
    outcome: Literal["book", "duplicate", "refused"]
    reason: str
    kind: str | None
    traded_on: date | None
    net: Exact | None
    cash_currency: str | None


class ImportAnswer(BaseModel):
    """A verdict per row, and how many rows were booked (0 in a dry run)."""

    portfolio_id: UUID
    file: str
    dry_run: bool
    rows: int
    good: int
    duplicates: int
    refused: int
    booked: int
    verdicts: list[VerdictAnswer]


@router.get("", response_model=Transactions)
def list_transactions(
    who: Who,
    portfolio: PortfolioQuery = None,
    first: Annotated[date | None, Query(description="first trade date")] = None,
    last: Annotated[date | None, Query(description="last trade date")] = None,
    known_at: KnownAt = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Transactions:
    """Entries of a ledger, newest first, reversals among them."""
    found = portfolio_of(who, portfolio)
    known = Scope.read(found.portfolio_id, {"known_at": known_at}).known_at
    rows = ledger.transactions(who.user_id, found.portfolio_id, limit + 1, first, last, known)
    return Transactions(
        portfolio_id=found.portfolio_id, transactions=[_entry(r) for r in rows[:limit]], more=len(rows) > limit
    )


def _entry(row: tuple[Any, ...]) -> TransactionAnswer:
    (number, traded, settles, kind, symbol, quantity, price, ratio, gross, fees, taxes, net, cash_currency, currency, fx, note, source, by, at,
     is_reversed, reverses) = row  # fmt: skip
    return TransactionAnswer(
        transaction_id=number, traded_on=traded, settles_on=settles, kind=kind, symbol=symbol, quantity=quantity, price=price, ratio=ratio,
        gross=gross, fees=fees, taxes=taxes, net=net, cash_currency=cash_currency, currency=currency, fx=fx, note=note, source=source,
        recorded_by=by, recorded_at=at, reversed=is_reversed, reverses=reverses,
    )  # fmt: skip


@router.post("", response_model=Booked, status_code=201)
def append_transactions(
    who: Who,
    new: NewTransaction | Annotated[list[NewTransaction], Field(min_length=1, max_length=10_000)],
    portfolio: PortfolioQuery = None,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=120, pattern="^[!-~]*$", description="the same key books once")
    ] = None,
) -> Booked:
    """Book one transaction or a list, all or none. The same `Idempotency-Key` again books nothing and answers the same ids."""
    found = portfolio_of(who, portfolio)
    listed = importing.by_symbol(market.securities(who.user_id))
    with engine.session(who.user_id) as c:
        currencies = frozenset(installation.currencies(c))
    rows = new if isinstance(new, list) else [new]
    drafts = [draft for row in rows for draft in row.drafts(listed, currencies, found.base_currency)]
    key = f"api:{idempotency_key}" if idempotency_key else None
    ids = ledger.append(who.user_id, found.portfolio_id, drafts, _today(), "api", key)
    said = [str(w) for w in tax.warnings_after(who.user_id, found.portfolio_id, ids, _today())]
    return Booked(portfolio_id=found.portfolio_id, booked=ids, warnings=said)


@router.post("/{transaction_id}/reverse", response_model=Reversed, status_code=201)
def reverse_transaction(who: Who, transaction_id: UUID, portfolio: PortfolioQuery = None) -> Reversed:
    """Book the reversal of a transaction. Refused where later sales need its units, or it was reversed already."""
    return _reverse(who, transaction_id, portfolio)


@router.delete("/{transaction_id}", response_model=Reversed)
def delete_transaction(who: Who, transaction_id: UUID, portfolio: PortfolioQuery = None) -> Reversed:
    """The ledger forgets nothing: this books a reversal and answers with it."""
    return _reverse(who, transaction_id, portfolio)


def _reverse(user: User, transaction: UUID, portfolio: str | None) -> Reversed:
    found = portfolio_of(user, portfolio)
    new = ledger.reverse(user.user_id, found.portfolio_id, transaction)
    return Reversed(portfolio_id=found.portfolio_id, reversal=new, reverses=transaction)


_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "text/csv": {"schema": {"type": "string", "example": importing.TEMPLATE}},
        },
    }
}


@router.post("/import", response_model=ImportAnswer, openapi_extra=_FILE)
async def import_transactions(
    request: Request,
    who: Who,
    portfolio: PortfolioQuery = None,
    dry_run: Annotated[bool, Query(description="only say what would become of each row")] = True,
    take_good: Annotated[bool, Query(description="book the good rows although others are refused")] = False,
) -> ImportAnswer:
    """Read a CSV: a verdict per row and, with dry_run=false, its rows booked in one transaction. The same file twice adds nothing."""
    found = await run_in_threadpool(portfolio_of, who, portfolio)
    name, raw = await _file(request)
    done = await run_in_threadpool(
        ledger.import_csv,
        who.user_id,
        found.portfolio_id,
        raw,
        name,
        _today(),
        dry_run=dry_run,
        take_good=take_good,
    )
    return ImportAnswer(
        portfolio_id=found.portfolio_id,
        file=name,
        dry_run=dry_run,
        rows=len(done.verdicts),
        good=done.count("book"),
        duplicates=done.count("duplicate"),
        refused=done.count("refused"),
        booked=done.booked,
        verdicts=[_verdict(v) for v in done.verdicts],
    )


async def _file(request: Request) -> tuple[str, bytes]:
    """(name, contents) of the file sent, as a form or as the body itself."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise NotReadable("the form has no file: send it in the field 'file'")
            name, raw = file.filename or "upload.csv", await file.read()
    else:
        name, raw = "upload.csv", await request.body()
    return "".join(c for c in name if c.isprintable())[:200], raw


def _verdict(v: ledger.Verdict) -> VerdictAnswer:
    p = v.posting
    return VerdictAnswer(
        line=v.line,
        outcome=v.outcome,
        reason=v.reason,
        kind=p.kind if p else None,
        traded_on=p.traded_on if p else None,
        net=p.net if p else None,
        cash_currency=p.cash_currency if p else None,
    )


def _today() -> date:
    return datetime.now(UTC).date()
