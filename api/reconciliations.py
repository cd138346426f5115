"""Reconciliations with a custodian's statement: compare a file or lines, list, read as JSON or CSV, sign off, look again.

Nothing is ever changed: a new decision is added to those before it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api import uploads
from api.answers import Exact
from api.exact import Day
from api.once import OnceRoute
from api.people import Who
from api.portfolios import Named, portfolio_of
from core import statement
from core.reconciliation import Change, Reconciliation, Row, Tolerances
from core.reports.reconciliation import table
from core.statement import Statement
from db import reconciliation

router = APIRouter(prefix="/v1/portfolios/{portfolio}/reconciliations", tags=["Reconciliations"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"
VerdictName = Literal["matched", "quantity", "price", "missing", "extra"]
DecisionName = Literal["accepted", "open", "fixed"]
Cell = Annotated[str, Field("", max_length=200, pattern=TEXT)]
DEFAULTS = Tolerances()


class NewLine(BaseModel):
    """One line of a statement, as text cells; numbers as strings."""

    symbol: Cell
    isin: Cell
    name: Cell
    exchange: Cell
    quantity: Cell
    price: Cell
    value: Cell
    currency: Cell
    type: Cell = Field(
        "", max_length=200, pattern=TEXT, description="`cash` for a balance of cash", examples=["equity"]
    )
    amount: Cell


class NewStatement(BaseModel):
    """A statement as lines instead of a file."""

    lines: list[NewLine] = Field(min_length=1, max_length=statement.MOST_LINES)


class CauseAnswer(BaseModel):
    """A likely cause; `strong` where it explains the difference by something that is known."""

    code: str
    text: str
    strong: bool
    transactions: list[str] = Field(description="ids of our entries that show it")


class RowAnswer(BaseModel):
    """One security or currency on both sides. Differences are theirs − ours; of cash the balances stand as units."""

    key: str = Field(description="for a decision about this row", examples=["security:17"])
    kind: Literal["position", "cash"]
    verdict: VerdictName
    symbol: str
    name: str
    currency: str
    security: int | None
    our_units: Exact | None
    our_other: Exact | None = Field(
        description="by trade date where ours is counted by settlement date, and the other way round"
    )
    their_units: Exact | None
    unit_difference: Exact | None
    our_price: Exact | None
    priced_on: date | None
    their_price: Exact | None
    price_difference: float | None = Field(description="a fraction of our price")
    our_value: Exact | None
    their_value: Exact | None
    value_difference: Exact | None
    causes: list[CauseAnswer]
    lines: list[int] = Field(description="of the statement")


class SignOffAnswer(BaseModel):
    """A decision about a row (`*`: the whole)."""

    row_key: str
    decision: DecisionName
    comment: str
    signed_by: str
    signed_at: datetime


class ReconciliationSummary(BaseModel):
    """A reconciliation in a list."""

    reconciliation_id: UUID | None = Field(description="null: a dry run, nothing is kept")
    custodian: str
    statement_on: date
    basis: Literal["settlement", "trade"]
    file: str
    state: str = Field(description="open, settled (no difference is open) or signed off")
    open: int
    matched: int
    quantity: int
    price: int
    missing: int
    extra: int
    made_at: datetime
    made_by: str
    known_at: datetime


class ReconciliationAnswer(ReconciliationSummary):
    """A reconciliation with its rows, differences first, and every decision, oldest first."""

    portfolio_id: UUID
    units_tolerance: Exact
    price_tolerance: Exact
    cash_tolerance: Exact
    notes: list[str]
    rows: list[RowAnswer]
    signoffs: list[SignOffAnswer]


class NewSignOff(BaseModel):
    """A decision about rows, by their keys, or about the whole."""

    rows: list[Annotated[str, Field(max_length=80, pattern=TEXT)]] = Field(
        min_length=1, max_length=10_000, description="keys of rows, or `*` for the whole", examples=[["security:17"]]
    )
    decision: DecisionName
    comment: str = Field("", max_length=2000, pattern=TEXT, description="needed where a difference is accepted")


class ChangeAnswer(BaseModel):
    """What became of a difference since the reconciliation was made."""

    state: Literal["fixed", "changed", "unchanged", "new"]
    key: str
    symbol: str
    then: RowAnswer | None
    now: RowAnswer | None


def _row(r: Row) -> RowAnswer:
    values = {
        name: getattr(r, name) for name in RowAnswer.model_fields if name not in ("causes", "lines", "price_difference")
    }
    return RowAnswer(
        **values,
        price_difference=None if r.price_difference is None else float(r.price_difference),
        causes=[
            CauseAnswer(code=c.code, text=c.text, strong=c.strong, transactions=list(c.transactions)) for c in r.causes
        ],
        lines=list(r.lines),
    )


def _summary(r: Reconciliation) -> dict[str, Any]:
    return {
        "reconciliation_id": r.reconciliation_id,
        "custodian": r.custodian,
        "statement_on": r.statement_on,
        "basis": r.basis,
        "file": r.file_name,
        "state": r.state,
        "open": r.open_rows,
        **{v: r.result.count(v) for v in ("matched", "quantity", "price", "missing", "extra")},
        "made_at": r.made_at,
        "made_by": r.made_by,
        "known_at": r.known_at,
    }


def _answer(portfolio: UUID, r: Reconciliation) -> ReconciliationAnswer:
    return ReconciliationAnswer(
        portfolio_id=portfolio,
        **_summary(r),
        units_tolerance=r.tolerances.units,
        price_tolerance=r.tolerances.price,
        cash_tolerance=r.tolerances.cash,
        notes=list(r.result.notes),
        rows=[_row(x) for x in r.result.rows],
        signoffs=[SignOffAnswer(row_key=s.row_key, decision=s.decision, comment=s.comment, signed_by=s.signed_by, signed_at=s.signed_at)
                  for s in r.signoffs],
    )  # fmt: skip


_LINES = {name: {"type": "string"} for name in NewLine.model_fields}
_JSON = {
    "type": "object",
    "required": ["lines"],
    "properties": {"lines": {"type": "array", "items": {"type": "object", "properties": _LINES}}},
}
_BODY = uploads.body(statement.TEMPLATE, **{"application/json": {"schema": _JSON}})


@router.post("", response_model=ReconciliationAnswer, openapi_extra=_BODY)
async def reconcile(
    request: Request,
    response: Response,
    who: Who,
    portfolio: Named,
    custodian: Annotated[str, Query(description="whose statement it is", max_length=80)] = "",
    on: Annotated[Day | None, Query(description="date of the statement; default: the file's own column `date`")] = None,
    basis: Annotated[Literal["settlement", "trade"], Query(description="by which date ours is counted")] = "settlement",
    units_tolerance: Annotated[Decimal, Query(ge=0, description="absolute")] = DEFAULTS.units,
    price_tolerance: Annotated[
        Decimal, Query(ge=0, lt=1, description="a fraction: 0.005 is half a per cent")
    ] = DEFAULTS.price,
    cash_tolerance: Annotated[Decimal, Query(ge=0, description="absolute")] = DEFAULTS.cash,
    dry_run: Annotated[bool, Query(description="only compare; false keeps the reconciliation")] = True,
) -> ReconciliationAnswer:
    """Compare a custodian's positions or cash with the ledger on the statement's date: a verdict a row, with likely causes."""
    found = await run_in_threadpool(portfolio_of, who, portfolio)
    name, raw, read = await _sent(request)

    def made() -> Reconciliation:
        return reconciliation.make(
            who.user_id,
            found.portfolio_id,
            raw,
            custodian=custodian,
            file_name=name,
            today=datetime.now(UTC).date(),
            on=on,
            tolerances=Tolerances(units_tolerance, price_tolerance, cash_tolerance),
            basis=basis,
            keep=not dry_run,
            lines_of=read,
        )

    done = await run_in_threadpool(made)
    if done.reconciliation_id is not None:
        response.status_code = 201
    return _answer(found.portfolio_id, done)


async def _sent(request: Request) -> tuple[str, bytes, Statement | None]:
    """(name, contents, lines where they came as JSON) of the statement sent: a form, the CSV itself, or JSON."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        name, raw, _ = await uploads.sent(request, "statement.csv")
        return name, raw, None
    raw = await request.body()
    try:
        given = NewStatement.model_validate_json(raw)
    except ValidationError as e:
        raise RequestValidationError(
            [{**x, "loc": ("body", *x["loc"])} for x in e.errors(include_url=False, include_context=False)]
        ) from e
    cells = [(n, x.model_dump()) for n, x in enumerate(given.lines, 1)]
    return "lines.json", raw, statement.of_cells(cells)


@router.get("", response_model=list[ReconciliationSummary])
def list_reconciliations(who: Who, portfolio: Named) -> list[ReconciliationSummary]:
    """Every reconciliation that was kept, the newest statement first."""
    found = portfolio_of(who, portfolio)
    return [ReconciliationSummary(**_summary(r)) for r in reconciliation.kept(who.user_id, found.portfolio_id)]


@router.get(
    "/{reconciliation_id}",
    response_model=ReconciliationAnswer,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_reconciliation(
    who: Who,
    portfolio: Named,
    reconciliation_id: UUID,
    format: Annotated[Literal["json", "csv"], Query(description="json, or csv as a file")] = "json",
) -> Any:
    """One reconciliation as it was found, with every decision since."""
    found = portfolio_of(who, portfolio)
    one = reconciliation.read(who.user_id, found.portfolio_id, reconciliation_id)
    if format == "json":
        return _answer(found.portfolio_id, one)
    disposition = {"Content-Disposition": f'attachment; filename="reconciliation_{one.statement_on}.csv"'}
    return Response(table(one, found.base_currency).as_csv(), media_type="text/csv; charset=utf-8", headers=disposition)


@router.get("/{reconciliation_id}/changes", response_model=list[ChangeAnswer])
def changes_since(who: Who, portfolio: Named, reconciliation_id: UUID) -> list[ChangeAnswer]:
    """The same statement beside the ledger as it is now: which differences are fixed, which are left, which are new."""
    found = portfolio_of(who, portfolio)
    return [_change(c) for c in reconciliation.again(who.user_id, found.portfolio_id, reconciliation_id)]


def _change(c: Change) -> ChangeAnswer:
    one = c.now or c.then
    assert one is not None
    return ChangeAnswer(
        state=c.state,
        key=one.key,
        symbol=one.symbol,
        then=_row(c.then) if c.then else None,
        now=_row(c.now) if c.now else None,
    )


@router.post("/{reconciliation_id}/signoffs", response_model=ReconciliationAnswer, status_code=201)
def sign_off(who: Who, portfolio: Named, reconciliation_id: UUID, new: NewSignOff) -> ReconciliationAnswer:
    """Decide about rows or the whole. Decisions are added, never changed: the last one about a row counts."""
    found = portfolio_of(who, portfolio)
    one = reconciliation.sign(who.user_id, found.portfolio_id, reconciliation_id, new.rows, new.decision, new.comment)
    return _answer(found.portfolio_id, one)
