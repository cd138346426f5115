"""Counterparties: list, add, edit, remove. Exposure by counterparty is the report `counterparty_exposure`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.once import OnceRoute
from api.people import Who
from core.counterparties import Counterparty
from db import counterparties

router = APIRouter(prefix="/v1/counterparties", tags=["Counterparties"], route_class=OnceRoute)
TEXT = "^[^\\x00]*$"
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
TypeName = Literal["broker", "custodian", "issuer", "bank", "exchange", "other"]
StatusName = Literal["active", "inactive"]


class CounterpartyAnswer(BaseModel):
    """Somebody on the other side of a trade, a claim or an account."""

    counterparty_id: int
    name: str
    type: TypeName
    rating: str | None
    country: str | None
    status: StatusName


class NewCounterparty(BaseModel):
    """A counterparty to add."""

    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=TEXT,
        description="securities whose issuer is called so count as issued by it",
    )
    type: TypeName = "broker"
    rating: str | None = Field(None, max_length=40, pattern=TEXT, examples=["AA-"])
    country: str | None = Field(None, max_length=40, pattern=TEXT, examples=["US"])
    status: StatusName = "active"


class CounterpartyChange(BaseModel):
    """Fields to change; what is left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200, pattern=TEXT)
    type: TypeName | None = None
    rating: str | None = Field(None, max_length=40, pattern=TEXT, description="empty text takes it away")
    country: str | None = Field(None, max_length=40, pattern=TEXT, description="empty text takes it away")
    status: StatusName | None = None
    seen: NewCounterparty | None = Field(
        None, description="as you saw it: where any field is another now, nothing is changed (409)"
    )


def _answer(c: Counterparty) -> CounterpartyAnswer:
    return CounterpartyAnswer(**{name: getattr(c, name) for name in CounterpartyAnswer.model_fields})


@router.get("", response_model=list[CounterpartyAnswer])
def list_counterparties(who: Who) -> list[CounterpartyAnswer]:
    """Every counterparty, by name."""
    return [_answer(c) for c in counterparties.every(who)]


@router.post("", response_model=CounterpartyAnswer, status_code=201)
def add(who: Who, new: NewCounterparty) -> CounterpartyAnswer:
    """Add one; its name is unique, whatever its case."""
    return _answer(counterparties.add(who, new.model_dump()))


@router.get("/{number}", response_model=CounterpartyAnswer)
def look(who: Who, number: Number) -> CounterpartyAnswer:
    """One counterparty."""
    return _answer(counterparties.one(who, number))


@router.patch("/{number}", response_model=CounterpartyAnswer)
def edit(who: Who, number: Number, change: CounterpartyChange) -> CounterpartyAnswer:
    """Change some fields."""
    cells = {name: value for name, value in change.model_dump(exclude={"seen"}).items() if value is not None}
    seen = None if change.seen is None else change.seen.model_dump()
    return _answer(counterparties.edit(who, number, cells, seen))


@router.delete("/{number}", response_model=CounterpartyAnswer)
def remove(who: Who, number: Number) -> CounterpartyAnswer:
    """Take one away that no entry of the ledger names, and answer it as it was; set others inactive."""
    was = counterparties.one(who, number)
    counterparties.remove(who, number)
    return _answer(was)
