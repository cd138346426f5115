"""Removing a security: what stands in the way, and whether it is retired or deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that names a security. `portfolio` is None where it is in none, or in one that the person may not see."""

    what: str  # holding, unsettled, dividend, benchmark; history, past benchmark, corrections
    portfolio_id: UUID | None
    portfolio: str | None
    amount: Decimal | None
    first_on: date | None
    last_on: date | None

    @property
    def prevents(self) -> bool:
        """Whether the security cannot be removed while this is so."""
        return self.what in PREVENTS

    @property
    def page(self) -> str | None:
        """The page where it is dealt with."""
        return PAGES.get(self.what)

    def __str__(self) -> str:
        where = self.portfolio or "a portfolio that you cannot see"
        until = "" if self.last_on is None else f" until {self.last_on}"
        amount = "some" if self.amount is None else format(self.amount.normalize(), "f")
        return {
            "holding": f"{where} holds {amount} units: they must be sold first",
            "unsettled": f"{where} has {amount} entries that settle{until}: wait, or reverse them",
            "dividend": f"a dividend of {amount} is announced (ex {self.first_on}{'' if self.last_on is None else f', paid {self.last_on}'}): wait until it is paid",
            "benchmark": f"it is the benchmark of {where}: choose another one there",
            "history": f"{where} has {amount} entries of it",
            "past benchmark": f"it was the benchmark of {where}",
            "corrections": f"{amount} corrections of its prices or dividends are kept",
        }[self.what]


def for_everybody(references: Iterable[Reference]) -> tuple[str, ...]:
    """The same in words that name no portfolio: what is kept with a task is read by all."""
    said: dict[str, int] = {}
    for r in references:
        text = str(r) if r.what in ("dividend", "corrections") else _GENERAL[r.what]
        said[text] = said.get(text, 0) + 1
    return tuple(text.format("a portfolio" if n == 1 else f"{n} portfolios") for text, n in said.items())


_GENERAL = {
    "holding": "held by {}: it must be sold there first",
    "unsettled": "there are entries in {} that settle later: wait, or reverse them",
    "benchmark": "it is the benchmark of {}: choose another one there",
    "history": "there are entries of it in {}",
    "past benchmark": "it was the benchmark of {}",
}
PREVENTS = frozenset({"holding", "unsettled", "dividend", "benchmark"})
PAGES = {
    "holding": "holdings",
    "unsettled": "transactions",
    "dividend": "income",
    "benchmark": "portfolios",
    "history": "transactions",
}


def obstacles(references: Iterable[Reference]) -> tuple[Reference, ...]:
    """What stands in the way."""
    return tuple(r for r in references if r.prevents)


def history(references: Iterable[Reference]) -> tuple[Reference, ...]:
    """What makes it stay, retired."""
    return tuple(r for r in references if not r.prevents)
