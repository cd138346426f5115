"""Market data feeds: one contract, one file a provider. To add one, write its file and its line in `FEEDS`.

What every feed keeps to (`tests/test_feeds.py` holds each of them to it):
prices are Decimals above zero in the security's main currency (pence become pounds on the way in, and `minor` says so); `quoted_at` is an
aware UTC time and never after `now`; bars are raw closes of their day, oldest first for each security; a dividend is per share as it was on its ex date; a symbol that a
feed does not know is absent from its answer; a feed that does not answer raises `FeedError`. What cannot be had of one symbol, one currency or in one
row costs the others nothing: they are the `partial` of an error that names what is `refused`.
A profile is asked for by what a person typed (AAPL, XNAS:AAPL, an ISIN, words of a name): it is in our words (asset class, sector,
ISO country, our exchange), says None rather than guess, has a price only with its time, and may be one of several for a name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, Protocol, cast

from core.book import Action
from core.ledger import Security
from core.profiles import Profile
from db.market import Bar, QuoteRow

# name in FEEDS → module and class; imported when asked for, so that a feed nobody uses costs nothing
FEEDS = {
    "replay": ("jobs.feeds.replay", "ReplayFeed"),
    "yahoo": ("jobs.feeds.yahoo", "YahooFeed"),
    "csv": ("jobs.feeds.csv_files", "CsvFeed"),
}


class FeedError(RuntimeError):
    """The feed did not answer usefully: says which feed, what was asked, what came.

    `partial` holds what it could give all the same, so that one bad row does not cost the good ones. `refused` says what it could
    not give and why, by number of the security, currency or name: then the feed itself is well, unless `whole` says that it broke off.
    """

    def __init__(
        self,
        message: str,
        partial: Sequence[Any] = (),
        refused: Mapping[Hashable, str] | None = None,
        whole: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.partial, self.refused = list(partial), dict(refused or {})
        self.whole = not self.refused if whole is None else whole


class Resting(FeedError):
    """Nobody was asked: every feed failed several times in a row and is left alone for a while. Asking again is no use yet."""


class Feed(Protocol):
    """A source of market data."""

    name: str

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        """The last quote of each security that the feed knows; others are simply absent. Raises FeedError."""

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        """Raw daily bars, both dates included. Raises FeedError."""

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        """(currency, day, units of it per 1 EUR), both dates included; none for EUR itself. Raises FeedError."""

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        """Dividends and splits whose ex date lies between both days, announced ones where it knows them. Raises FeedError."""

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        """Master data of what these names may mean, the likeliest first for each; none for what is unknown. Raises FeedError."""


MOST_SAID = 5  # refusals in one message


def refusing(refused: Mapping[Hashable, str], partial: Sequence[Any], whole: bool = False) -> FeedError:
    """The error that names what could not be had, and carries the rest."""
    said = list(dict.fromkeys(refused.values()))
    more = f" (and {len(said) - MOST_SAID} more)" if len(said) > MOST_SAID else ""
    return FeedError("; ".join(said[:MOST_SAID]) + more, partial, refused, whole)


def chain(names: Sequence[str]) -> list[Feed]:
    """The feeds of these names in this order, each made anew."""
    feeds = []
    for name in names:
        module, kind = FEEDS[name]
        feeds.append(cast(Feed, getattr(import_module(module), kind)()))
    return feeds
