"""Writing the ledger: append, reverse (db.imports imports). One transaction per function; nothing is ever updated or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from core.book import Portfolio
from core.booking import MOVING, impossible
from core.calendar import Sessions
from core.counterparties import called
from core.fx import day_number, day_of
from core.ledger import (
    KINDS,
    TRANSFERS,
    Draft,
    Impossible,
    Ledger,
    LedgerError,
    Posting,
    around,
    check_day,
    from_postings,
    joined,
    post,
    spoken,
)
from core.listings import Listings
from core.methods import method_on
from core.preview import Effect, effect
from core.settlement import settlement_of
from db import books, engine
from db.access import AccessDenied
from db.request_keys import KeyReused


@dataclass(frozen=True, slots=True)
class Desk:
    """What checking needs, read once."""

    portfolio: Portfolio
    ledger: Ledger
    listings: Listings
    sessions: dict[str, Sessions]
    currencies: frozenset[str]
    counterparties: Mapping[str, int]  # number by name


def open_desk(c: psycopg.Connection, portfolio: UUID, lock: bool) -> Desk:
    """Open the portfolio for writing; `lock` makes other writers of the same portfolio wait. AccessDenied, NoSuchPortfolio."""
    if lock:
        c.execute("SELECT recording(%s)", (portfolio,))  # the lock, and the one time that all of this booking carries
    settings_row = books.portfolio_of(c, portfolio)
    if not c.execute("SELECT %s = ANY (writable())", (portfolio,)).fetchone()[0]:  # type: ignore[index]
        raise AccessDenied(f"you may look at {settings_row.name}, not book in it")
    return _desk(c, settings_row)


def own_desk(c: psycopg.Connection, portfolio: UUID) -> Desk:
    """The same, locked, for the scheduled process where the installation itself books: it asks nobody."""
    c.execute("SELECT recording(%s)", (portfolio,))
    return _desk(c, books.portfolio_of(c, portfolio))


def _desk(c: psycopg.Connection, settings_row: Portfolio) -> Desk:
    portfolio = settings_row.portfolio_id
    return Desk(
        settings_row,
        books.ledger_now(c, portfolio),
        books.listings_of(c),
        books.sessions_of(c),
        frozenset(r[0] for r in c.execute("SELECT currency FROM currencies").fetchall()),
        counterparties_of(c),
    )


def counterparties_of(c: psycopg.Connection) -> dict[str, int]:
    """The number of every counterparty, by its name."""
    return dict(c.execute("SELECT name, counterparty_id FROM counterparties").fetchall())


def complete(desk: Desk, draft: Draft, today: date) -> Posting:
    """Check a draft and complete it. Raises LedgerError."""
    check_day(draft.traded_on, today)
    if draft.counterparty:
        draft = replace(draft, counterparty=called(draft.counterparty, desk.counterparties))
    if draft.lots and method_on(desk.portfolio.dated_methods, day_number(draft.traded_on)) == "average":
        raise LedgerError("lots", len(draft.lots), "under average cost all units are one pool: lots cannot be chosen")
    return post(draft, desk.portfolio.base_currency, settlement_of(draft, desk.sessions), today)


def refusals(
    desk: Desk, postings: Sequence[tuple[int, Posting]], ids: dict[int, UUID] | None = None, strict: bool = True
) -> dict[int, Impossible]:
    """Which of the new postings (row, posting) the holdings do not allow, with the ledger's own entries beside them.

    `ids`: the ids that new rows will have, where others choose lots by them. `strict`: see `core.booking.impossible`.
    """
    moving = [(row, p) for row, p in postings if p.kind in MOVING and p.security_id]
    numbers = {row: (ids or {}).get(row) or uuid4() for row, _ in moving}
    touched = {s for _, p in moving for s in (p.security_id, p.into_id) if s}
    more = from_postings([p for _, p in moving], ids=[numbers[row] for row, _ in moving])
    ledger, new = joined(desk.ledger.only(around(desk.ledger, touched)), more)
    row_of = {number.bytes: row for row, number in numbers.items()}
    names = {s.security_id: s.symbol for s in desk.listings.every}
    found = impossible(ledger, new, [desk.portfolio.dated_methods], names, strict)
    return {row_of[bytes(ledger.ids[i])]: why for i, why in found.items()}


def append(
    user: UUID,
    portfolio: UUID,
    drafts: Sequence[Draft],
    today: date,
    source: str = "form",
    key: str | None = None,
    linked: bool = False,
) -> list[UUID]:
    """Book checked drafts, all or none; their ids. With `key` the same call again books nothing and answers the same ids.
    `linked`: they belong together, as both sides of a currency exchange do, and are reversed together.

    Raises LedgerError (field, value, what would be right), OverSold, AccessDenied, NoSuchPortfolio, and KeyReused where something
    else was booked with the key.
    """
    with engine.session(user) as c:
        desk = open_desk(c, portfolio, lock=True)
        if key is not None and (before := _booked_before(c, user, desk, key, drafts, today)):
            return before
        postings = [complete(desk, d, today) for d in drafts]
        for error in refusals(desk, list(enumerate(postings))).values():
            raise error
        keys = [f"{key}:{i}" if key is not None else None for i in range(len(postings))]
        ids = write(c, user, portfolio, zip(postings, keys, strict=True), source, link=uuid4() if linked else None)
        mark_moved(c, portfolio, (p.traded_on for p in postings), today)
        return ids


def _booked_before(
    c: psycopg.Connection, user: UUID, desk: Desk, key: str, drafts: Sequence[Draft], today: date
) -> list[UUID]:
    """The ids of what somebody booked with a key; empty where nothing was. Raises KeyReused where that was not these drafts.

    A settlement date that was not given may have followed from another calendar then, and is not compared. Until the keys of
    the API named who sent them they were api:key.
    """
    said = key.split(":", 2)[-1]
    keys = (key, f"api:{said}") if key.startswith("api:") else (key,)
    there = c.execute(
        f"SELECT transaction_id, {', '.join(STAGED)}, counterparty_id FROM transactions "
        "WHERE idempotency_key = ANY (%s) AND portfolio_id = %s AND recorded_by = %s ORDER BY seq",
        ([f"{k}:{i}" for k in keys for i in range(len(drafts) + 1)], desk.portfolio.portfolio_id, user),
    ).fetchall()
    if not there:
        return []
    try:
        same = len(there) == len(drafts) and all(
            _is_what_stands(complete(desk, d, today), d, row[1:], desk) for d, row in zip(drafts, there, strict=True)
        )
    except LedgerError:
        same = False
    if not same:
        raise KeyReused(said)
    return [row[0] for row in there]


def _is_what_stands(p: Posting, draft: Draft, row: Sequence[Any], desk: Desk) -> bool:
    """Whether a posting is what a row of the ledger holds: the columns of STAGED, then the counterparty."""
    *cells, through = row
    stands = dict(zip(STAGED, cells, strict=True))
    lots = [[str(lot), format(units, "f")] for lot, units in p.lots] or None
    compared = {name: getattr(p, name) for name in STAGED if name != "lots"} | {"lots": lots}
    if draft.settles_on is None:
        del compared["settles_on"]
    named = desk.counterparties[p.counterparty] if p.counterparty else None
    return through == named and all(stands[name] == value for name, value in compared.items())


def preview(
    user: UUID, portfolio: UUID, drafts: Sequence[Draft], today: date
) -> tuple[list[tuple[Draft, Posting]], Effect]:
    """What drafts would post, and what they would do to lots. Raises as `append`; books nothing."""
    with engine.session(user) as c:
        desk = open_desk(c, portfolio, lock=False)
        entries = [(d, complete(desk, d, today)) for d in drafts]
        return entries, effect(books.load(c, portfolio).book, entries)


def reverse(user: UUID, portfolio: UUID, transaction: UUID, note: str = "") -> UUID:
    """Book the reversal of a transaction; its id. Reversing twice, or what later sales need, raises LedgerError.

    Entries that belong together (both sides of a transfer or of a currency exchange) are reversed together, in every
    portfolio that they are in; where the person may not write there, AccessDenied or LedgerError says so.
    """
    return reverse_all(user, portfolio, [transaction], note)[0]


def reverse_all(user: UUID, portfolio: UUID, transactions: Sequence[UUID], note: str = "") -> list[UUID]:
    """Book the reversals of some transactions of one portfolio, all or none, with what belongs to them; the ids of the
    reversals of those asked for. Raises as `reverse`."""
    with engine.session(user) as c:
        return reversed_on(c, user, portfolio, transactions, note)


def reversed_on(
    c: psycopg.Connection, user: UUID, portfolio: UUID, transactions: Sequence[UUID], note: str = ""
) -> list[UUID]:
    """The same on an open connection, which decides what may be written."""
    asked = list(dict.fromkeys(transactions))
    found = _with_links(c, portfolio, asked)
    desks = {p: open_desk(c, p, lock=True) for p in sorted({p for p, _ in found} | {portfolio})}
    rows: dict[tuple[UUID, UUID], Sequence[Any]] = {}
    for where, number in found:
        row = c.execute(
            "SELECT kind, security_id, traded_on, currency, cash_currency, into_id, EXISTS (SELECT FROM transactions r "
            "WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id) "
            "FROM transactions t WHERE portfolio_id = %s AND transaction_id = %s",
            (where, number),
        ).fetchone()
        if row is None:
            raise LedgerError("transaction", number, "there is no such transaction in this portfolio")
        if row[0] == "reversal":
            raise LedgerError(
                "transaction", number, "a reversal cannot be reversed: book the transaction again instead"
            )
        if row[6] and number in asked:
            raise LedgerError("transaction", number, "it has been reversed already")
        if not row[6]:
            rows[where, number] = row
    for where, desk in desks.items():
        here = {number: row for (at, number), row in rows.items() if at == where}
        _refuse_needed(desk, set(here), {s for row in here.values() for s in (row[1], row[5]) if s})
    made = {key: write_reversal(c, user, key[0], key[1], row[:5], note, row[5]) for key, row in rows.items()}
    for where in desks:
        if days := [row[2] for (at, _), row in rows.items() if at == where]:
            mark_moved(c, where, days, None)
    return [made[portfolio, number] for number in asked]


def write_reversal(
    c: psycopg.Connection,
    user: UUID,
    portfolio: UUID,
    transaction: UUID,
    row: Sequence[Any],
    note: str,
    into: int | None,
) -> UUID:
    """Write one reversal; `row` is (kind, security, traded on, currency, cash currency) of what it reverses. Checks nothing."""
    _, security, traded_on, currency, cash_currency = row
    new = c.execute(
        "INSERT INTO transactions (portfolio_id, kind, security_id, currency, net, cash_currency, traded_on, settles_on, note, reverses, "
        "idempotency_key, source, recorded_by) VALUES (%s, 'reversal', %s, %s, 0, %s, %s, %s, %s, %s, %s, 'form', %s) RETURNING transaction_id",
        (portfolio, security, currency, cash_currency, traded_on, traded_on, note, transaction, f"reversal:{transaction}", user),
    ).fetchone()  # fmt: skip
    assert new is not None
    number: UUID = new[0]
    return number


def _with_links(c: psycopg.Connection, portfolio: UUID, transactions: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """(portfolio, id) of some entries and of all that belong to them. Raises LedgerError where one side cannot be seen."""
    found = c.execute(
        "SELECT t.portfolio_id, t.transaction_id, t.kind, t.link FROM transactions t WHERE t.link IN "
        "(SELECT link FROM transactions WHERE portfolio_id = %s AND transaction_id = ANY (%s) AND link IS NOT NULL) AND t.kind <> 'reversal'",
        (portfolio, list(transactions)),
    ).fetchall()
    sides: dict[UUID, set[str]] = {}
    for _, _, kind, link in found:
        sides.setdefault(link, set()).add(kind)
    for kinds in sides.values():
        if len(kinds & TRANSFERS) == 1:
            raise LedgerError(
                "transaction",
                "of a transfer",
                "its other side is in a portfolio that you may not see: ask who keeps that one to reverse it",
            )
    own = [(portfolio, number) for number in transactions]
    return list(dict.fromkeys([*own, *((p, n) for p, n, _, _ in found)]))


def _refuse_needed(desk: Desk, transactions: set[UUID], securities: set[int]) -> None:
    """Raise where later entries need the units that reversals would take away."""
    if not securities:
        return
    part = desk.ledger.only(around(desk.ledger, securities))
    gone = {number.bytes for number in transactions}
    left = part.only(np.array([i for i in range(len(part)) if bytes(part.ids[i]) not in gone], np.int64))
    try:
        impossible(left, np.zeros(len(left), np.bool_), [desk.portfolio.dated_methods])
    except Impossible as e:
        later = f"{spoken(KINDS[int(left.kind[e.row])])} of {day_of(int(left.traded_on[e.row]))}"
        raise LedgerError(
            "transaction", min(transactions), f"later sales need its units ({later}): reverse those sales first"
        ) from e


STAGED = (
    "kind",
    "security_id",
    "quantity",
    "price",
    "ratio_new",
    "ratio_old",
    "gross",
    "fees",
    "taxes",
    "currency",
    "fx",
    "net",
    "cash_currency",
    "traded_on",
    "settles_on",
    "note",
    "into_id",
    "fraction",
    "basis",
    "basis_base",
    "acquired_on",
    "lots",
)


def fresh_ids(c: psycopg.Connection, count: int) -> list[UUID]:
    """Ids for new entries, ascending: they are written in this order."""
    return [r[0] for r in c.execute("SELECT uuidv7() FROM generate_series(1, %s)", (count,)).fetchall()]


@dataclass(frozen=True, slots=True)
class Place:
    """What a corrected entry keeps of the one that it stands in for."""

    corrects: UUID | None = None
    link: UUID | None = None
    place: int | None = None  # its place within the day; None: last


def write(
    c: psycopg.Connection,
    user: UUID,
    portfolio: UUID,
    rows: Iterable[tuple[Posting, str | None]],
    source: str,
    link: UUID | None = None,
    places: Sequence[Place] = (),
    ids: Sequence[UUID] = (),
) -> list[UUID]:
    """COPY into the ledger, in the order given; the new ids. A row without a key gets one of its own.
    `link` is that of all rows; `places` says more of each; `ids` are theirs where they were fetched before (`fresh_ids`).
    """
    rows = list(rows)
    kept = list(places) or [Place(link=link)] * len(rows)
    ids = list(ids) or fresh_ids(c, len(rows))
    through = counterparties_of(c) if any(p.counterparty for p, _ in rows) else {}
    columns = ", ".join((*STAGED, "counterparty_id"))
    with (
        c.cursor() as cursor
    ):  # COPY cannot fill a table with row-level security: it fills a staging table, INSERT asks the policies
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS staged ON COMMIT DELETE ROWS AS SELECT transaction_id, {columns}, idempotency_key, corrects, link, place FROM transactions "
            "WITH NO DATA"
        )
        with cursor.copy(
            f"COPY staged (transaction_id, {columns}, idempotency_key, corrects, link, place) FROM STDIN"
        ) as copy:
            for new, (p, key), at in zip(ids, rows, kept, strict=True):
                lots = Jsonb([[str(lot), format(units, "f")] for lot, units in p.lots]) if p.lots else None
                copy.write_row(
                    (
                        new,
                        *(getattr(p, name) for name in STAGED[:-1]),
                        lots,
                        through[called(p.counterparty, through)] if p.counterparty else None,
                        key or f"own:{new}",
                        at.corrects,
                        at.link,
                        at.place,
                    )
                )
        cursor.execute(
            f"INSERT INTO transactions (portfolio_id, transaction_id, {columns}, idempotency_key, corrects, link, place, source, recorded_by) "
            f"SELECT %s, transaction_id, {columns}, idempotency_key, corrects, link, place, %s, %s FROM staged ORDER BY transaction_id",
            (portfolio, source, user),
        )
        cursor.execute("TRUNCATE staged")  # a second portfolio may be booked in the same transaction
    return ids


def mark_moved(c: psycopg.Connection, portfolio: UUID, days: Iterable[date], today: date | None) -> None:
    """Raise the portfolio's version; a booking in the past marks the stored history from that day for rebuilding."""
    first = min(days)
    c.execute(
        "UPDATE portfolios SET version = version + 1, restate_from = least(coalesce(restate_from, %s), %s) WHERE portfolio_id = %s",
        (first, first, portfolio),
    )


def naming(user: UUID, portfolio: UUID, security: int) -> frozenset[str]:
    """The ids of the entries that name a security, as what they are of or as what they end in."""
    with engine.session(user) as c:
        found = c.execute(
            "SELECT transaction_id::text FROM transactions WHERE portfolio_id = %(p)s AND (security_id = %(s)s OR into_id = %(s)s)",
            {"p": portfolio, "s": security},
        )
        return frozenset(r[0] for r in found)


def transactions(
    user: UUID,
    portfolio: UUID,
    limit: int | None = None,
    first: date | None = None,
    last: date | None = None,
    known_at: Any = None,
) -> list[tuple[Any, ...]]:
    """The ledger as people read it, newest first, with reversals: see `core.reports.transactions` for the columns."""
    with engine.session(user) as c:
        return c.execute(
            """SELECT t.transaction_id, t.traded_on, t.settles_on, t.kind, s.symbol, t.quantity, t.price, t.ratio_new || ':' || t.ratio_old, t.gross, t.fees, t.taxes,
                      t.net, t.cash_currency, t.currency, t.fx, t.note, t.source, u.display_name, t.recorded_at,
                      EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id
                                 AND (%(known)s::timestamptz IS NULL OR r.recorded_at <= %(known)s)), t.reverses,
                      i.symbol, t.fraction, t.basis, t.basis_base, t.acquired_on, t.lots, k.name, t.corrects, t.link,
                      (SELECT x.transaction_id FROM transactions x WHERE x.portfolio_id = t.portfolio_id AND x.corrects = t.transaction_id
                          AND (%(known)s::timestamptz IS NULL OR x.recorded_at <= %(known)s)
                        ORDER BY x.seq DESC LIMIT 1)
                 FROM transactions t LEFT JOIN securities s USING (security_id) LEFT JOIN securities i ON i.security_id = t.into_id JOIN users u ON u.user_id = t.recorded_by
                 LEFT JOIN counterparties k ON k.counterparty_id = t.counterparty_id
                WHERE t.portfolio_id = %(p)s AND t.traded_on BETWEEN %(first)s AND %(last)s
                  AND (%(known)s::timestamptz IS NULL OR t.recorded_at <= %(known)s)
                ORDER BY t.traded_on DESC, t.seq DESC LIMIT %(limit)s""",
            {
                "p": portfolio,
                "first": first or date(1900, 1, 1),
                "last": last or date(9999, 1, 1),
                "limit": limit,
                "known": known_at,
            },
        ).fetchall()
