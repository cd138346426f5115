"""The owner's portfolios for tax, and the warnings before an entry is booked. Row-level security decides what is among them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from core.book import Book
from core.household import Household, WashWarning, warnings_before, warnings_of
from core.ledger import TRADES, Draft, LedgerError
from db import books, engine, ledger
from settings import settings


def household_of(user: UUID, book: Book) -> Household:
    """The portfolio of a Book and all others of the person who opened it that this person may see, archived ones too,
    each as known at the Book's own time.
    """
    mine = book.portfolio.portfolio_id
    with engine.session(user) as c:
        rows = c.execute(
            "SELECT portfolio_id, created_by = app_user() FROM portfolios "
            "WHERE created_by = (SELECT created_by FROM portfolios WHERE portfolio_id = %s) ORDER BY created_at, portfolio_id",
            (mine,),
        ).fetchall()
        others = [books.load(c, number, book.known_at).book for number, _ in rows if number != mine]
    return Household((book, *others), all(owned for _, owned in rows), settings.fills_are_one_purchase)


def warnings(user: UUID, portfolio: UUID, draft: Draft, today: date) -> tuple[WashWarning, ...]:
    """What booking a draft would do to losses, in this portfolio or another of its owner; empty where nothing, and where the
    draft cannot be booked (booking says why). Raises AccessDenied, NoSuchPortfolio.
    """
    if draft.kind not in TRADES or draft.security is None:
        return ()
    with engine.session(user) as c:
        desk = ledger.open_desk(c, portfolio, lock=False)
        book = books.load(c, portfolio).book
    try:
        posting = ledger.complete(desk, draft, today)
        return warnings_before(household_of(user, book), posting, draft.security, today)
    except LedgerError:
        return ()


def warnings_after(user: UUID, portfolio: UUID, booked: Sequence[UUID], today: date) -> tuple[WashWarning, ...]:
    """The same of transactions that are booked, by their ids; one for each that makes a wash sale. Raises NoSuchPortfolio."""
    with engine.session(user) as c:
        book = books.load(c, portfolio).book
    return warnings_of(household_of(user, book), booked, today)
