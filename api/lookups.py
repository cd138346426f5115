"""What a feed knows of a security that somebody wants to add: ask, then fetch the answer that the scheduler gives."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.answers import Exact
from api.once import OnceRoute
from api.people import Who
from core.profiles import LONGEST_QUESTION
from db import lookups

router = APIRouter(prefix="/v1/securities/lookup", tags=["Securities"], route_class=OnceRoute)


class Question(BaseModel):
    """What somebody typed."""

    text: str = Field(
        description="a symbol, EXCHANGE:SYMBOL, ISIN or a part of the name",
        min_length=1,
        max_length=LONGEST_QUESTION,
        pattern="^[^\\x00]*$",
        examples=["AAPL"],
    )


class AskedAnswer(BaseModel):
    """The question was taken down: fetch the answer under its number, usually within a second."""

    lookup_id: UUID


class ProfileAnswer(BaseModel):
    """What the feeds say of one security, in our words; null where they do not say."""

    symbol: str
    exchange: str | None
    name: str | None
    currency: str | None
    asset_class: str | None
    sector: str | None
    industry: str | None
    country: str | None
    isin: str | None
    dividend_frequency: str | None
    price: Exact | None = Field(description="last quote, in the currency")
    previous_close: Exact | None
    quoted_at: datetime | None
    provider: str | None = Field(description="the feeds that said it")


class LookupAnswer(BaseModel):
    """How a question stands."""

    lookup_id: UUID
    text: str
    state: str = Field(description="asked, answered or failed")
    asked_at: datetime
    answered_at: datetime | None
    candidates: list[ProfileAnswer] = Field(description="the likeliest first")
    error: str | None = Field(description="why there is no candidate, or which feed did not answer")


@router.post("", response_model=AskedAnswer, status_code=202)
def look_up(who: Who, question: Question) -> AskedAnswer:
    """Ask the feeds about a security that is to be added. For analysts and admins."""
    return AskedAnswer(lookup_id=lookups.ask(who.user_id, question.text))


@router.get("/{lookup_id}", response_model=LookupAnswer)
def look_at_lookup(who: Who, lookup_id: UUID) -> LookupAnswer:
    """The answer to one's own question; kept for a day."""
    found = lookups.answer_of(who.user_id, lookup_id)
    return LookupAnswer(
        lookup_id=found.lookup_id,
        text=found.asked,
        state=found.state,
        asked_at=found.asked_at,
        answered_at=found.answered_at,
        candidates=[ProfileAnswer(**profile.values()) for profile in found.candidates],
        error=found.error,
    )
