"""The ledger: read, append, preview, transfer, correct, reverse, import. Nothing is ever changed or deleted; DELETE books a reversal and answers with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.answers import Exact, KnownAt, PortfolioQuery
from api.exact import ONE, ONE_OR_SEVERAL, SEVERAL, Day
from api.once import OnceRoute, ledger_key
from api.people import Who
from api.portfolios import portfolio_of
from core import importing
from core.book import Portfolio
from core.income import reinvested
from core.ledger import BOOKABLE, Draft, LedgerError
from core.listings import Listings
from core.preview import OpenLot
from core.ratio import ratio_reading, ratio_text
from core.scope import Scope
from db import corrections, engine, installation, ledger, market, tax, trade_dates, transfers
from db.access import User

router = APIRouter(prefix="/v1/transactions", tags=["Transactions"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"
Ratio = Annotated[
    Annotated[str, Field(max_length=100, pattern=TEXT)] | Decimal | None,
    Field(description="new units for old ones: 1:3, 1/3, 4 or 0.5", examples=["1:3"]),
]
NOTES: list[str] = Field(
    [], description="what a symbol that was given is now, where its security has another one by now"
)
Amount = Annotated[Decimal | None, Field(description='exact: a string such as "185.50" is best', examples=["185.50"])]


class ChosenLot(BaseModel):
    """A lot to choose: the entry that opened it, and how many of its units."""

    lot: UUID
    units: Decimal = Field(gt=0)


class ChosenLotAnswer(BaseModel):
    """A chosen lot: the entry that opened it, and how many of its units."""

    lot: UUID
    units: Exact


class TransactionAnswer(BaseModel):
    """One entry of the ledger."""

    transaction_id: UUID
    traded_on: date
    settles_on: date
    kind: str
    symbol: str | None
    quantity: Exact | None
    price: Exact | None
    ratio: str | None = Field(description="of a split, spin-off or merger: new units for old ones, 1:3")
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
    into: str | None = Field(description="what a spin-off, merger or symbol change ends in")
    fraction: Exact | None = Field(description="of a spin-off: the share of the cost that moves")
    basis: Exact | None = Field(description="of a transfer in kind: the cost that came along")
    basis_base: Exact | None
    acquired_on: date | None
    lots: list[ChosenLotAnswer]
    counterparty: str | None = Field(description="the name of whom it went through")
    corrects: UUID | None = Field(description="the entry that this one stands in for")
    corrected_by: UUID | None = Field(description="the entry that stands in for this one")
    link: UUID | None = Field(description="the same on entries that belong together and are reversed together")


class Transactions(BaseModel):
    """A part of a ledger, newest first."""

    portfolio_id: UUID
    transactions: list[TransactionAnswer]
    more: bool = Field(description="there are older ones: ask again with last= the date of the last one here")


class NewTransaction(BaseModel):
    """A transaction to book. Amounts are positive; the kind gives the sign."""

    date: Day
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
    ratio: Ratio = None
    settlement: Day | None = None
    into: str = Field("", max_length=41, pattern=TEXT, description="what a spin-off, merger or symbol change ends in")
    fraction: Amount = Field(None, description="of a spin-off: the share of the cost that moves, 0 to 1")
    basis: Amount = Field(None, description="of a transfer in kind: the cost that comes along")
    basis_base: Amount = Field(None, description="the same in the portfolio's currency")
    acquired: Day | None = Field(None, description="of a transfer in kind: when the units were bought")
    lots: list[ChosenLot] = Field([], max_length=1000, description="the lots that a sale, cover or transfer out takes")
    counterparty: str = Field(
        "", max_length=120, pattern=TEXT, description="whom it went through: the name of one of GET /v1/counterparties"
    )
    note: str = Field("", max_length=500, pattern=TEXT)
    reference: str = Field("", max_length=120, pattern=TEXT)
    reinvest_price: Amount = Field(
        None,
        description="of a dividend taken in units: their price; books the purchase after it, two ids instead of one",
    )
    reinvest_units: Amount = Field(None, description="default: all that is left after taxes and fees")

    def drafts(self, listed: Listings, currencies: frozenset[str], base: str) -> list[Draft]:
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
        return _cells(self.model_dump(exclude_none=True, exclude={"reinvest_price", "reinvest_units"}))


class TransactionPatch(BaseModel):
    """What is to change in an entry; what is left out stays, null empties it. Names and meanings as in NewTransaction."""

    model_config = {"extra": "forbid"}
    date: Day | None = None
    kind: str = Field("", max_length=30, pattern=TEXT)
    symbol: str = Field("", max_length=32, pattern=TEXT)
    exchange: str = Field("", max_length=8, pattern=TEXT)
    quantity: Amount = None
    price: Amount = None
    gross: Amount = None
    fees: Amount = None
    taxes: Amount = None
    currency: str = Field("", max_length=3, pattern=TEXT)
    fx: Amount = None
    ratio: Ratio = None
    settlement: Day | None = None
    into: str | None = Field(None, max_length=41, pattern=TEXT)
    fraction: Amount = None
    basis: Amount = None
    basis_base: Amount = None
    acquired: Day | None = None
    lots: list[ChosenLot] = Field([], max_length=1000)
    counterparty: str | None = Field(None, max_length=120, pattern=TEXT)
    note: str | None = Field(None, max_length=500, pattern=TEXT)

    def cells(self) -> dict[str, str]:
        """What was sent, as text cells."""
        return _cells(self.model_dump(exclude_unset=True))


def _cells(given: dict[str, Any]) -> dict[str, str]:
    if "lots" in given:
        given["lots"] = ";".join(f"{x['lot']}:{x['units']}" for x in given["lots"] or [])
    return {
        k: "" if v is None else format(v, "f") if isinstance(v, Decimal) else str(v) for k, v in given.items()
    }  # fmt: skip


class Booked(BaseModel):
    """The ids of what was booked, in the order given."""

    portfolio_id: UUID
    booked: list[UUID]
    warnings: list[str] = Field(
        description="what is odd about their dates, and wash sales that they make, in words; never a reason to refuse"
    )
    read_as: list[str] = Field(description='what a decimal was read as: "ratio 0.33333333333333 was read as 1:3"')
    notes: list[str] = NOTES


class Corrected(BaseModel):
    """A correction: the entry was reversed, and another one stands in its place."""

    portfolio_id: UUID
    corrected: UUID
    reversal: UUID | None = Field(description="null where the very same correction had been booked before")
    booked: UUID
    along: list[UUID] = Field(description="entries that were booked again because they had chosen a lot of this one")
    read_as: list[str] = Field(description="what a decimal was read as, as when booking")
    warnings: list[str] = Field(description="what is odd about its date, in words; never a reason to refuse")
    notes: list[str] = NOTES


class NewTransfer(BaseModel):
    """Units (symbol and quantity) or cash (amount and currency) to move into another portfolio of yours."""

    date: Day
    to: str = Field(max_length=120, pattern=TEXT, description="id or name of the portfolio that it goes to")
    symbol: str = Field("", max_length=32, pattern=TEXT, examples=["AAPL"])
    exchange: str = Field("", max_length=8, pattern=TEXT)
    quantity: Amount = None
    amount: Amount = None
    currency: str = Field("", max_length=3, pattern=TEXT)
    lots: list[ChosenLot] = Field([], max_length=1000, description="default: those that the cost method takes")
    note: str = Field("", max_length=500, pattern=TEXT)


class Transferred(BaseModel):
    """Both sides of a transfer; reversing one of these entries reverses them all."""

    portfolio_id: UUID
    to: UUID
    link: UUID
    out: UUID
    arrived: list[UUID]
    price: Exact | None = Field(description="the close that valued it; null: there was none, it went at its cost")
    notes: list[str] = NOTES


class LotAnswer(BaseModel):
    """An open lot."""

    lot: UUID | None = Field(description="the entry that opened it; null: it is not booked yet")
    symbol: str
    opened_on: date
    units: Exact
    cost: Exact = Field(description="in the security's currency")
    cost_base: Exact | None


class PostingAnswer(BaseModel):
    """What would be posted."""

    kind: str
    traded_on: date
    settles_on: date
    symbol: str | None
    quantity: Exact | None
    ratio: str | None = Field(description="new units for old ones, 1:3")
    gross: Exact
    net: Exact
    cash_currency: str


class PreviewAnswer(BaseModel):
    """What would be booked and what it would do to the lots of what it touches. Nothing was booked."""

    portfolio_id: UUID
    postings: list[PostingAnswer]
    realised: Exact | None = Field(description="realised gain in the portfolio's currency; null where nothing is sold")
    read_as: list[str] = Field(description="what a decimal was read as, as when booking")
    lots_before: list[LotAnswer]
    lots_after: list[LotAnswer]
    warnings: list[str] = Field(
        description="what is odd about their dates and, of one entry, the wash sale that it makes; never a reason to refuse"
    )
    notes: list[str] = NOTES


class Reversed(BaseModel):
    """A reversal: both entries stay in the ledger, neither counts."""

    portfolio_id: UUID
    reversal: UUID
    reverses: UUID


@router.get("", response_model=Transactions)
def list_transactions(
    who: Who,
    portfolio: PortfolioQuery = None,
    first: Annotated[Day | None, Query(description="first trade date")] = None,
    last: Annotated[Day | None, Query(description="last trade date")] = None,
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
     is_reversed, reverses, into, fraction, basis, basis_base, acquired, lots, through, corrects, link, corrected_by) = row  # fmt: skip
    return TransactionAnswer(
        transaction_id=number, traded_on=traded, settles_on=settles, kind=kind, symbol=symbol, quantity=quantity, price=price, ratio=ratio,
        gross=gross, fees=fees, taxes=taxes, net=net, cash_currency=cash_currency, currency=currency, fx=fx, note=note, source=source,
        recorded_by=by, recorded_at=at, reversed=is_reversed, reverses=reverses, into=into, fraction=fraction, basis=basis, basis_base=basis_base,
        acquired_on=acquired, lots=[ChosenLotAnswer(lot=lot, units=units) for lot, units in lots or []], counterparty=through, corrects=corrects, corrected_by=corrected_by, link=link,
    )  # fmt: skip


@router.post("", response_model=Booked, status_code=201)
def append_transactions(
    who: Who,
    request: Request,
    new: Annotated[
        Annotated[NewTransaction, ONE]
        | Annotated[list[NewTransaction], Field(min_length=1, max_length=10_000), SEVERAL],
        ONE_OR_SEVERAL,
    ],
    portfolio: PortfolioQuery = None,
) -> Booked:
    """Book one transaction or a list, all or none. The same `Idempotency-Key` again books nothing and answers the same ids."""
    found = portfolio_of(who, portfolio)
    drafts, notes = _drafts(who, found, new)
    ids = ledger.append(who.user_id, found.portfolio_id, drafts, _today(), "api", ledger_key(request, who))
    said = (*trade_dates.warnings(who.user_id, drafts), *tax.warnings_after(who.user_id, found.portfolio_id, ids, _today()))
    return Booked(portfolio_id=found.portfolio_id, booked=ids, warnings=list(map(str, said)), read_as=_read_as(new), notes=notes)


@router.post("/preview", response_model=PreviewAnswer)
def preview_transactions(
    who: Who,
    new: Annotated[
        Annotated[NewTransaction, ONE] | Annotated[list[NewTransaction], Field(min_length=1, max_length=100), SEVERAL],
        ONE_OR_SEVERAL,
    ],
    portfolio: PortfolioQuery = None,
) -> PreviewAnswer:
    """What one transaction or a list would book: postings, realised gain, lots before and after. Books nothing."""
    found = portfolio_of(who, portfolio)
    drafts, notes = _drafts(who, found, new)
    entries, seen = ledger.preview(who.user_id, found.portfolio_id, drafts, _today())
    said: tuple[object, ...] = trade_dates.warnings(who.user_id, drafts)
    if len(drafts) == 1:
        said += tax.warnings(who.user_id, found.portfolio_id, drafts[0], _today())
    return PreviewAnswer(
        portfolio_id=found.portfolio_id,
        postings=[
            PostingAnswer(
                kind=p.kind, traded_on=p.traded_on, settles_on=p.settles_on, symbol=d.security.symbol if d.security else None,
                quantity=p.quantity, ratio=ratio_text(p.ratio) if p.ratio is not None else None, gross=p.gross, net=p.net,
                cash_currency=p.cash_currency,
            )
            for d, p in entries
        ],
        read_as=_read_as(new),
        realised=seen.gain_base,
        lots_before=[_lot(x) for x in seen.before],
        lots_after=[_lot(x) for x in seen.after],
        warnings=list(map(str, said)),
        notes=notes,
    )  # fmt: skip


def _read_as(new: NewTransaction | Sequence[NewTransaction] | TransactionPatch) -> list[str]:
    """What decimals were read as, in words."""
    rows = new if isinstance(new, Sequence) else [new]
    return [said for row in rows if (said := ratio_reading(row.cells().get("ratio", "")))]


def _lot(x: OpenLot) -> LotAnswer:
    return LotAnswer(lot=x.lot, symbol=x.security.symbol, opened_on=x.opened_on, units=x.units, cost=x.cost, cost_base=x.cost_base)  # fmt: skip


def _known(who: User) -> tuple[Listings, frozenset[str]]:
    """Securities by what they are and were called, and the currencies there are."""
    with engine.session(who.user_id) as c:
        currencies = frozenset(installation.currencies(c))
    return market.listings(who.user_id), currencies


def _drafts(
    who: User, portfolio: Portfolio, new: NewTransaction | list[NewTransaction]
) -> tuple[list[Draft], list[str]]:
    """(what was sent as drafts, what to tell of its symbols). Raises LedgerError."""
    known = _known(who)
    drafts, notes = [], dict[str, None]()
    for row in new if isinstance(new, list) else [new]:
        made = row.drafts(*known, portfolio.base_currency)
        drafts += made
        notes |= dict.fromkeys(importing.renamings(row.cells(), made[0]))
    return drafts, list(notes)


def _read(who: User, portfolio: Portfolio, cells: dict[str, str], instead_of: Draft | None = None) -> Draft:
    return importing.draft(cells, *_known(who), portfolio.base_currency, instead_of)


@router.post("/transfer", response_model=Transferred, status_code=201)
def transfer(who: Who, request: Request, new: NewTransfer, portfolio: PortfolioQuery = None) -> Transferred:
    """Move units with their lots and cost, or cash, from `portfolio` to another one of yours; both sides or neither."""
    source = portfolio_of(who, portfolio)
    target = portfolio_of(who, new.to)
    cells = {"kind": "transfer_out", "date": new.date.isoformat(), "symbol": new.symbol, "exchange": new.exchange, "currency": new.currency}  # fmt: skip
    draft = _read(who, source, cells)
    made = transfers.transfer(
        who.user_id, source.portfolio_id, target.portfolio_id, new.date, _today(), security=draft.security, quantity=new.quantity,
        currency=draft.currency, amount=new.amount, lots=[(x.lot, x.units) for x in new.lots], note=new.note, key=ledger_key(request, who),
    )  # fmt: skip
    return Transferred(
        portfolio_id=source.portfolio_id, to=target.portfolio_id, link=made.link, out=made.out, arrived=list(made.arrived), price=made.price,
        notes=importing.renamings(cells, draft),
    )  # fmt: skip


@router.put("/{transaction_id}", response_model=Corrected)
def replace_transaction(
    who: Who, transaction_id: UUID, new: NewTransaction, portfolio: PortfolioQuery = None
) -> Corrected:
    """Correct an entry: its reversal and the new one, both or neither. 409 with both versions where somebody was faster."""
    found = portfolio_of(who, portfolio)
    if new.reinvest_price is not None:
        raise LedgerError(
            "reinvest_price", new.reinvest_price, "a correction books one entry: correct the purchase by its own id"
        )
    entry = corrections.entries(who.user_id, found.portfolio_id, [transaction_id]).get(transaction_id)
    return _correct(who, found, transaction_id, new.cells(), entry.draft if entry else None, _read_as(new))


@router.patch("/{transaction_id}", response_model=Corrected)
def change_transaction(
    who: Who, transaction_id: UUID, change: TransactionPatch, portfolio: PortfolioQuery = None
) -> Corrected:
    """Correct some fields of an entry. The gross of a trade follows from quantity and price, its settlement from its date, unless given."""
    found = portfolio_of(who, portfolio)
    entry = corrections.entries(who.user_id, found.portfolio_id, [transaction_id]).get(transaction_id)
    if entry is None:
        raise LedgerError("transaction", transaction_id, "there is no such transaction in this portfolio")
    cells = importing.amended(importing.cells_of(entry.draft), change.cells())
    return _correct(who, found, transaction_id, cells, entry.draft, _read_as(change))


def _correct(
    who: User, portfolio: Portfolio, transaction: UUID, cells: dict[str, str], instead_of: Draft | None, read_as: list[str]
) -> Corrected:
    draft = _read(who, portfolio, cells, instead_of)
    made = corrections.correct(who.user_id, portfolio.portfolio_id, [(transaction, draft)], _today(), source="api")
    (_, booked), *along = made.steps
    assert booked is not None
    return Corrected(
        portfolio_id=portfolio.portfolio_id,
        corrected=transaction,
        reversal=made.reversals[0] if made.reversals else None,
        booked=booked,
        along=[new for _, new in along if new is not None],
        read_as=read_as,
        warnings=[str(w) for w in trade_dates.warnings(who.user_id, [draft])],
        notes=importing.renamings(cells, draft),
    )


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


def _today() -> date:
    return datetime.now(UTC).date()
