"""Transfers between own portfolios: what leaves one arrives in the other in the same transaction, with its lots and their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg

from core.fx import day_number, exact
from core.ledger import MICRO, Draft, LedgerError, Posting, Security
from core.lots import posting_unit, shares
from core.methods import method_on
from core.preview import Delivered, effect
from db import books, engine
from db.ledger import Place, complete, mark_moved, open_desk, refusals, write
from db.request_keys import KeyReused


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a transfer booked: one entry out, one in for each lot; `link` is on all of them."""

    link: UUID
    out: UUID
    arrived: tuple[UUID, ...]
    lots: tuple[Delivered, ...]  # of a transfer in kind: what moved, with its cost
    price: Decimal | None  # the close that valued it; None: there was none, it went at its cost


def transfer(
    user: UUID,
    source: UUID,
    target: UUID,
    on: date,
    today: date,
    *,
    security: Security | None = None,
    quantity: Decimal | None = None,
    currency: str | None = None,
    amount: Decimal | None = None,
    lots: Sequence[tuple[UUID, Decimal]] = (),
    note: str = "",
    key: str | None = None,
    dry_run: bool = False,
) -> Transfer:
    """Move units (`security`, `quantity`) or cash (`currency`, `amount`) from one portfolio to another; one transaction.

    In kind: the lots are those chosen, else those that the source's cost method takes on that day, and they are pinned, so
    that no later change of method parts the two sides. Each arrives with its day and its cost; its cost in the base currency
    comes along where both portfolios have the same one, else the rate of the day it was bought decides. The market value is
    the last close on that day; without one the cost stands for it and the note says so.
    With `key` the same call again books nothing and answers the same. `dry_run` checks only.
    Raises LedgerError, Impossible, AccessDenied (needs both), NoSuchPortfolio, and KeyReused where the key moved something else.
    """
    if source == target:
        raise LedgerError("target", target, "another portfolio than the one that it leaves is needed")
    with engine.session(user) as c, c.transaction(force_rollback=dry_run):
        desks = {p: open_desk(c, p, lock=not dry_run) for p in sorted((source, target))}
        giving, taking = desks[source], desks[target]
        if key is not None and (done := _booked(c, source, target, key, on, security, quantity, amount)) is not None:
            return done
        moved: tuple[Delivered, ...] = ()
        price: Decimal | None = None
        if security is None:
            cash = currency or giving.portfolio.base_currency
            if cash not in giving.currencies:
                raise LedgerError("currency", cash, "an ISO code such as USD or EUR is needed")
            words = _note(note, "to", taking.portfolio.name), _note(note, "from", giving.portfolio.name)
            out = complete(giving, Draft("transfer_out", on, cash, gross=amount, note=words[0]), today)
            arriving = [complete(taking, Draft("transfer_in", on, cash, gross=amount, note=words[1]), today)]
        else:
            book = books.load(c, source).book
            close = (
                book.prices[security.security_id].at(day_number(on)) if security.security_id in book.prices else None
            )
            price = None if close is None else exact(close[1])
            draft = Draft(
                "transfer_out", on, security.currency, security, quantity, price, None if price is not None else Decimal(0),
                lots=tuple(lots), note=_note(note, "to", taking.portfolio.name),
            )  # fmt: skip
            out = complete(giving, draft, today)
            moved = effect(book, [(draft, out)]).delivered
            if not lots and method_on(giving.portfolio.dated_methods, day_number(on)) != "average":
                draft = replace(draft, lots=_pinned(moved))
            cost = sum((lot.cost for lot in moved), Decimal(0))
            if price is None:
                draft = replace(draft, gross=cost, note=_valued(draft.note))
            out = complete(giving, draft, today)
            arriving = [
                complete(taking, d, today)
                for d in _arriving(
                    out, security, moved, price, _note(note, "from", giving.portfolio.name),
                    giving.portfolio.base_currency == taking.portfolio.base_currency,
                )
            ]  # fmt: skip
        for error in (*refusals(giving, [(0, out)]).values(), *refusals(taking, list(enumerate(arriving))).values()):
            raise error
        link = uuid4()
        place = Place(link=link)
        left = write(c, user, source, [(out, key)], "transfer", places=[place])
        arrived = write(c, user, target, [(p, None) for p in arriving], "transfer", places=[place] * len(arriving))
        for portfolio in desks:
            mark_moved(c, portfolio, [on], today)
        return Transfer(link, left[0], tuple(arrived), moved, price)


def _booked(
    c: psycopg.Connection,
    source: UUID,
    target: UUID,
    key: str,
    on: date,
    security: Security | None,
    quantity: Decimal | None,
    amount: Decimal | None,
) -> Transfer | None:
    """What an earlier call with this key booked. Raises KeyReused where that was another transfer."""
    row = c.execute(
        "SELECT transaction_id, link, price, traded_on, security_id, quantity, gross FROM transactions "
        "WHERE portfolio_id = %s AND idempotency_key = %s",
        (source, key),
    ).fetchone()
    if row is None:
        return None
    number, link, price, *moved = row
    there = c.execute(
        "SELECT transaction_id FROM transactions WHERE portfolio_id = %s AND link = %s AND kind = 'transfer_in' ORDER BY seq",
        (target, link),
    ).fetchall()
    wanted = (on, security.security_id, quantity) if security else (on, None, None)
    if not there or tuple(moved[:3]) != wanted or (security is None and moved[3] != amount):
        raise KeyReused(key.split(":", 2)[-1])
    return Transfer(link, number, tuple(r[0] for r in there), (), price)


def _arriving(
    out: Posting, security: Security, moved: Sequence[Delivered], price: Decimal | None, note: str, same_base: bool
) -> list[Draft]:
    """One transfer in for each lot that moved; their market values add up to the one that left."""
    parts = shares(int(out.gross * MICRO), [int(lot.units * 10**10) for lot in moved], posting_unit(security.currency))
    if price is None:
        parts = [int(lot.cost * MICRO) for lot in moved]
    return [
        Draft(
            "transfer_in",
            out.traded_on,
            security.currency,
            security,
            lot.units,
            None,  # the gross alone: of a small lot it may differ from units × price by a cent
            Decimal(part) / MICRO,
            basis=lot.cost,
            basis_base=lot.cost_base if same_base else None,
            acquired_on=lot.opened_on,
            note=note if price is not None else _valued(note),
        )
        for lot, part in zip(moved, parts, strict=True)
    ]


def _pinned(moved: Sequence[Delivered]) -> tuple[tuple[UUID, Decimal], ...]:
    """The lots that were taken, by the entries that opened them."""
    out: dict[UUID, Decimal] = {}
    for lot in moved:
        out[lot.lot] = out.get(lot.lot, Decimal(0)) + lot.units
    return tuple(out.items())


def _note(note: str, way: str, other: str) -> str:
    return (note or f"{way} {other}")[:500]


def _valued(note: str) -> str:
    return f"{note}; no price on that day: its cost stands for its market value"[:500]
