"""Corporate actions that the feeds know and ledgers lack: the list over all portfolios, the task that books splits, the one that takes it back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.answers import Exact
from api.exact import Day
from api.people import Who
from api.tasks import ASKED, DryRun, Key, PlanAnswer, ask, plan_answer
from core.scope import BadScope
from db import master, tasks, unbooked
from db.access import User
from db.unbooked import Split, Standing

router = APIRouter(prefix="/v1/corporate-actions", tags=["Corporate actions"])
TEXT = "^[^\\x00]+$"
Named = Annotated[
    str, Query(description="number, SYMBOL or EXCHANGE:SYMBOL", min_length=1, max_length=60, pattern=TEXT)
]


class LackingPortfolio(BaseModel):
    """One portfolio that lacks an action, or has it otherwise."""

    portfolio_id: UUID
    name: str
    state: Literal["not booked", "booked twice", "another ratio", "restated"] = Field(
        description="restated: the entries before it are in units of after it, so that it is not to be booked"
    )
    words: str
    units: Exact = Field(
        description="held when the ex date opened, short ones negative; with the earlier splits that are not booked"
    )
    units_after: Exact | None = Field(
        description="what the split makes of them; null for dividends, and where later entries do not allow it"
    )
    due: Exact | None = Field(description="the dividend before tax, in its currency")
    may_book: bool = Field(description="a split that you may book as the feed has it")


class UnbookedAction(BaseModel):
    """One action of a security, with the portfolios concerned."""

    security_id: int
    symbol: str
    exchange: str
    kind: Literal["split", "dividend"]
    ex_on: date
    pay_on: date | None
    ratio: str | None = Field(description='of a split, new units to old: "3:1"')
    amount: Exact | None = Field(description="of a dividend, for one unit")
    currency: str
    portfolios: list[LackingPortfolio]


class SplitAsked(BaseModel):
    """One split."""

    model_config = {"extra": "forbid"}
    security: str = Field(description="number, SYMBOL or EXCHANGE:SYMBOL", min_length=1, max_length=60, pattern=TEXT)
    ex_on: Day


class Booking(BaseModel):
    """Which splits are to be booked."""

    model_config = {"extra": "forbid"}
    splits: list[SplitAsked] | None = Field(
        None, min_length=1, max_length=500, description="left out: every one that you may book"
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _action(standing: Sequence[Standing]) -> UnbookedAction:
    f = standing[0].found
    return UnbookedAction(
        security_id=f.security.security_id, symbol=f.security.symbol, exchange=f.security.exchange, kind="split" if f.is_split else "dividend",
        ex_on=f.action.ex_on, pay_on=f.action.pay_on, ratio=f.ratio if f.is_split else None, amount=None if f.is_split else f.action.amount,
        currency=f.currency,
        portfolios=[
            LackingPortfolio(portfolio_id=s.portfolio_id, name=s.portfolio, state=s.found.state, words=s.found.words, units=s.found.units,
                             units_after=s.found.after, due=s.found.due, may_book=s.may_book)
            for s in standing
        ],
    )  # fmt: skip


@router.get("/unbooked", response_model=list[UnbookedAction])
def list_unbooked(who: Who, security: Annotated[str | None, Query(description="only of this one", max_length=60, pattern=TEXT)] = None) -> list[UnbookedAction]:  # fmt: skip
    """Splits and dividends that the feeds know, that took effect while units were held, and that the ledgers of the portfolios that
    you may see lack or have otherwise; splits first, the newest first. Until a split is booked, value and returns are wrong."""
    number = None if security is None else master.named(who, security)[0]
    groups: dict[tuple[Split, bool], list[Standing]] = {}
    for s in unbooked.everywhere(who, _today(), number):
        groups.setdefault((s.split, s.found.is_split), []).append(s)
    return [_action(standing) for standing in groups.values()]


def _splits(who: User, asked: Sequence[SplitAsked] | None) -> list[Split] | None:
    return None if asked is None else [(master.named(who, s.security)[0], s.ex_on) for s in asked]


@router.get("/unbooked/plan", response_model=PlanAnswer)
def look_at_plan(who: Who, security: Named | None = None, ex_on: Annotated[Day | None, Query(description="of one split, with `security`")] = None) -> PlanAnswer:  # fmt: skip
    """The exact entries that booking would write, portfolio by portfolio; of one split, of a security, or every one. Writes nothing."""
    splits = None
    if security is None and ex_on is not None:
        raise BadScope("security", "", f"the security that split on {ex_on}")
    if security is not None:
        number = master.named(who, security)[0]
        standing = unbooked.everywhere(who, _today(), number, dividends=False)
        splits = {s.split for s in standing if ex_on in (None, s.split[1])}
    return plan_answer(unbooked.plan_book(who, _today(), splits))


@router.post("/unbooked/book", **ASKED)
def book_splits(who: Who, request: Request, booking: Booking, dry_run: DryRun = False, key: Key = None) -> Any:
    """Book splits as the feeds have them in every portfolio that lacks them and that you may write, by one task: all of it or nothing."""
    splits = _splits(who, booking.splits)
    asked = {"book": "every split" if splits is None else [[number, str(on)] for number, on in sorted(splits)]}
    return ask(who, request, None, lambda: unbooked.plan_book(who, _today(), splits), asked, key, dry_run)


@router.post("/bookings/{task_id}/undo", **ASKED)
def take_back(who: Who, request: Request, task_id: UUID, dry_run: DryRun = False, key: Key = None) -> Any:
    """Reverse what a task booked, in the portfolios that you may write, by one task."""
    tasks.task_of(who, task_id)
    asked = {"undo": str(task_id)}
    return ask(who, request, None, lambda: unbooked.plan_undo(who, task_id), asked, key, dry_run, undoes=task_id)
