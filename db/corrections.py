"""Correcting the ledger: for each changed entry a reversal and a new entry, all or none, and the way back.

An id is also the version of what it names: an entry is never changed, so whoever holds an id that was reversed meanwhile has
seen an old version. That is a Conflict, which holds both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import psycopg

from core.booking import derive
from core.fx import Rates, day_of
from core.ledger import KINDS, TRANSFERS, Draft, Impossible, LedgerError, Posting, around, draft_of, order_of, spoken
from db import books, engine
from db.ledger import (
    STAGED,
    Desk,
    Place,
    complete,
    fresh_ids,
    mark_moved,
    open_desk,
    write,
    write_reversal,
)

Change = tuple[UUID, Draft | None]  # (entry, what is to stand in its place; None: nothing)


@dataclass(frozen=True, slots=True)
class Entry:
    """A booked entry with what correcting it needs to know."""

    transaction_id: UUID
    posting: Posting
    draft: Draft
    recorded_by: str
    recorded_at: datetime
    is_reversed: bool
    corrects: UUID | None
    link: UUID | None
    place: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What was booked: (entry that was reversed or had been, entry that stands in for it now; None: nothing does)."""

    steps: tuple[tuple[UUID, UUID | None], ...]
    reversals: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Clash:
    """Two versions of one entry: what it was when it was read, what somebody made of it since, what is wanted instead."""

    transaction: UUID
    was: Entry
    theirs: Entry | None  # None: they took it away
    mine: Draft | None  # None: it was to be taken away


class Conflict(RuntimeError):
    """Entries were corrected or reversed since they were read; nothing was booked."""

    def __init__(self, clashes: Sequence[Clash]) -> None:
        what = "this entry" if len(clashes) == 1 else f"{len(clashes)} of these entries"
        super().__init__(f"somebody changed {what} in the meantime: compare both versions, then choose one")
        self.clashes = tuple(clashes)


class NotCorrected(LedgerError):
    """Corrections that cannot be booked; `errors` says why for each entry. Nothing was booked."""

    def __init__(self, errors: Mapping[UUID, LedgerError]) -> None:
        first = next(iter(errors.values()))
        super().__init__(first.field, first.value, first.expected)
        self.errors = dict(errors)


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry to take away and one to put in its place."""

    asked: UUID  # the entry that an error of this step is told of
    remove: Entry | None
    add: Posting | None
    place: Place
    was: UUID

    @property
    def aliases(self) -> set[UUID]:
        """The ids by which lots of it may have been chosen."""
        return {self.was} if self.remove is None else {self.was, self.remove.transaction_id}

    @property
    def securities(self) -> set[int]:
        """What it touches."""
        both = (self.remove.posting if self.remove else None, self.add)
        return {n for p in both if p is not None for n in (p.security_id, p.into_id) if n}


def entries(user: UUID, portfolio: UUID, ids: Sequence[UUID]) -> dict[UUID, Entry]:
    """Entries of a portfolio by id; those that are not there are left out."""
    with engine.session(user) as c:
        return _entries(c, portfolio, ids)


def correct(
    user: UUID,
    portfolio: UUID,
    changes: Sequence[Change],
    today: date,
    *,
    over: AbstractSet[UUID] = frozenset(),
    note: str = "corrected",
    source: str = "form",
    dry_run: bool = False,
) -> Correction:
    """Book a reversal and a new entry for each change, all or none; with None as its draft the reversal alone.

    An entry that stays on its day keeps its place within it. Entries that chose a lot which gets a new id are booked again
    with it. `over`: ids that are known to have been taken away by somebody and shall be booked again. `dry_run` checks only.
    Raises Conflict, NotCorrected (with the error of each entry), AccessDenied, NoSuchPortfolio.
    """
    with engine.session(user) as c, c.transaction(force_rollback=dry_run):
        desk = open_desk(c, portfolio, lock=not dry_run)
        if len({number for number, _ in changes}) < len(changes):
            raise LedgerError("transaction", changes[0][0], "each entry may be changed once at a time")
        found = _entries(c, portfolio, [number for number, _ in changes])
        errors: dict[UUID, LedgerError] = {}
        clashes: list[Clash] = []
        done: list[tuple[UUID, UUID | None]] = []
        steps: list[_Step] = []
        for number, draft in changes:
            entry = found.get(number)
            if entry is None:
                errors[number] = LedgerError("transaction", number, "there is no such transaction in this portfolio")
                continue
            posting = None
            if draft is not None:
                try:
                    posting = complete(desk, draft, today)
                except LedgerError as e:
                    errors[number] = e
            if entry.is_reversed:
                theirs = _standing(c, portfolio, entry)
                if theirs is not None and posting is not None and _same(theirs.posting, posting):
                    done.append((number, theirs.transaction_id))  # the same call again, or two people with one mind
                elif theirs is None and draft is None:
                    done.append((number, None))
                elif theirs is None and number in over:
                    steps.append(_Step(number, None, posting, _place(entry, posting), number))
                else:
                    clashes.append(Clash(number, entry, theirs, draft))
            elif posting is not None and _same(entry.posting, posting):
                errors[number] = LedgerError("transaction", number, "nothing of it is changed")
            elif number not in errors:
                steps.append(_Step(number, entry, posting, _place(entry, posting), number))
        if clashes:
            raise Conflict(clashes)
        errors |= _torn(c, portfolio, steps)
        if errors:
            raise NotCorrected(errors)
        made = _book(c, user, desk, steps, today, note, source)
        return replace(made, steps=(*done, *made.steps))


def undo(user: UUID, portfolio: UUID, correction: Correction, today: date) -> Correction:
    """Take a correction back: reverse what it booked and book again what it reversed, in its old place. Raises as `correct`."""
    with engine.session(user) as c:
        desk = open_desk(c, portfolio, lock=True)
        found = _entries(c, portfolio, [n for step in correction.steps for n in step if n is not None])
        clashes = []
        steps = []
        for old, new in correction.steps:
            was, now = found[old], found[new] if new is not None else None
            standing = _standing(c, portfolio, was)
            if (standing.transaction_id if standing else None) != new:
                clashes.append(Clash(new or old, now or was, standing, was.draft))
                continue
            place = Place(new or old, was.link, was.place)
            steps.append(_Step(new or old, now, was.posting, place, old))
        if clashes:
            raise Conflict(clashes)
        return _book(c, user, desk, steps, today, "undone", "form")


def _book(
    c: psycopg.Connection,
    user: UUID,
    desk: Desk,
    steps: Sequence[_Step],
    today: date,
    note: str,
    source: str,
) -> Correction:
    """Write the steps, then ask the ledger as it now is whether it is possible. Entries that chose a lot of theirs come along.

    Raises NotCorrected: the transaction is to be rolled back then.
    """
    portfolio = desk.portfolio.portfolio_id
    steps = list(steps)
    removed = {s.remove.transaction_id for s in steps if s.remove is not None}
    asked_by = {alias: s.asked for s in steps if s.add is not None for alias in s.aliases}
    choosing = {
        UUID(bytes=bytes(desk.ledger.ids[row])): next(lot for lot, _ in d.lots if lot in asked_by)
        for row, d in desk.ledger.details.items()
        if any(lot in asked_by for lot, _ in d.lots)
    }
    for other in _entries(c, portfolio, [n for n in choosing if n not in removed]).values():
        asked = asked_by[choosing[other.transaction_id]]
        steps.append(_Step(asked, other, other.posting, _place(other, other.posting), other.transaction_id))
    adding = [s for s in steps if s.add is not None]
    ids = fresh_ids(c, len(adding))
    becoming = {alias: number for s, number in zip(adding, ids, strict=True) for alias in s.aliases}
    postings = [
        replace(s.add, lots=tuple((becoming.get(lot, lot), units) for lot, units in s.add.lots))
        for s in adding
        if s.add is not None
    ]
    reversals = tuple(
        write_reversal(c, user, portfolio, e.transaction_id,
                       (e.posting.kind, e.posting.security_id, e.posting.traded_on, e.posting.currency, e.posting.cash_currency), note,
                       e.posting.into_id)
        for s in steps if (e := s.remove)
    )  # fmt: skip
    if adding:
        write(c, user, portfolio, [(p, None) for p in postings], source, places=[s.place for s in adding], ids=ids)
    _refuse_impossible(c, desk, steps, dict(zip(ids, [s.asked for s in adding], strict=True)))
    days = [s.remove.posting.traded_on for s in steps if s.remove] + [p.traded_on for p in postings]
    if days:
        mark_moved(c, portfolio, days, today)
    new_of = {id(s): number for s, number in zip(adding, ids, strict=True)}
    return Correction(
        tuple((s.remove.transaction_id if s.remove else s.was, new_of.get(id(s))) for s in steps), reversals
    )


def _refuse_impossible(c: psycopg.Connection, desk: Desk, steps: Sequence[_Step], asked: Mapping[UUID, UUID]) -> None:
    """Derive what the steps touched from the ledger as it now stands, each entry in its place. Raises NotCorrected."""
    touched = {n for s in steps for n in s.securities}
    if not touched:
        return
    now = books.ledger_of(c, [desk.portfolio.portfolio_id])
    part = now.only(around(now, touched))
    names = {s.security_id: s.symbol for s in desk.listings.every}
    try:
        derive(part, [desk.portfolio.dated_methods], ["XXX"], Rates({}), names=names)
    except Impossible as e:
        number = UUID(bytes=bytes(part.ids[e.row]))
        if number in asked:
            raise NotCorrected({asked[number]: e}) from e
        later = f"{spoken(KINDS[int(part.kind[e.row])])} of {day_of(int(part.traded_on[e.row]))}"
        security = int(part.security[e.row])
        blamed = next((s.asked for s in steps if security in s.securities), steps[0].asked)
        why = LedgerError("transaction", blamed, f"the {later} needs it as it was: {e.expected}")
        raise NotCorrected({blamed: why}) from e


def _torn(c: psycopg.Connection, portfolio: UUID, steps: Sequence[_Step]) -> dict[UUID, LedgerError]:
    """What belongs together and would be torn apart: a side of a transfer, half of a currency exchange taken away."""
    links = {s.remove.link for s in steps if s.remove is not None and s.remove.link}
    if not links:
        return {}
    gone = {s.remove.transaction_id for s in steps if s.remove is not None and s.add is None}
    rows = c.execute(
        "SELECT link, portfolio_id, transaction_id FROM transactions t WHERE link = ANY (%s) AND kind <> 'reversal' AND NOT EXISTS "
        "(SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)",
        (list(links),),
    ).fetchall()
    out: dict[UUID, LedgerError] = {}
    for s in steps:
        if s.remove is None or s.remove.link is None:
            continue
        if s.remove.posting.kind in TRANSFERS:
            out[s.asked] = LedgerError(
                "transaction", s.asked, "it is one side of a transfer between portfolios: reverse the transfer and book it again"
            )  # fmt: skip
        elif s.add is None and any(n not in gone for link, _, n in rows if link == s.remove.link):
            out[s.asked] = LedgerError(
                "transaction", s.asked, "it is one half of a currency exchange: take both halves away, or neither"
            )
    return out


def _place(entry: Entry, posting: Posting | None) -> Place:
    """What the new entry keeps: its place where it stays on its day, before or after the day's trades as it was."""
    stays = posting is not None and (posting.traded_on, order_of(posting.kind)) == (
        entry.posting.traded_on,
        order_of(entry.posting.kind),
    )
    return Place(entry.transaction_id, entry.link, entry.place if stays else None)


def _same(one: Posting, other: Posting) -> bool:
    return replace(one, reference="") == replace(other, reference="")


def _standing(c: psycopg.Connection, portfolio: UUID, entry: Entry) -> Entry | None:
    """The entry that stands for this one now: itself, or what corrects it, however often. None: it was taken away."""
    seen = {entry.transaction_id}
    while entry.is_reversed:
        row = c.execute(
            "SELECT transaction_id FROM transactions WHERE portfolio_id = %s AND corrects = %s ORDER BY seq DESC LIMIT 1",
            (portfolio, entry.transaction_id),
        ).fetchone()
        if row is None or row[0] in seen:
            return None
        seen.add(row[0])
        entry = _entries(c, portfolio, [row[0]])[row[0]]
    return entry


def _entries(c: psycopg.Connection, portfolio: UUID, ids: Sequence[UUID]) -> dict[UUID, Entry]:
    """Entries by id, in the order asked for; reversals among them are refused: LedgerError."""
    if not ids:
        return {}
    columns = ", ".join(f"t.{name}" for name in STAGED)
    rows = c.execute(
        f"SELECT t.transaction_id, u.display_name, t.recorded_at, t.corrects, t.link, coalesce(t.place, t.seq), EXISTS (SELECT FROM transactions r "
        f"WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id), {columns}, coalesce(k.name, '') "
        "FROM transactions t JOIN users u ON u.user_id = t.recorded_by "
        "LEFT JOIN counterparties k ON k.counterparty_id = t.counterparty_id WHERE t.portfolio_id = %s AND t.transaction_id = ANY (%s)",
        (portfolio, list(ids)),
    ).fetchall()
    numbers = {n for row in rows for n in (row[7 + STAGED.index("security_id")], row[7 + STAGED.index("into_id")]) if n}
    known = {s.security_id: s for s in books.securities_of(c, sorted(numbers))}
    out = {}
    for number, by, at, corrects, link, place, is_reversed, *cells in rows:
        values: dict[str, Any] = dict(zip((*STAGED, "counterparty"), cells, strict=True))
        if values["kind"] == "reversal":
            raise LedgerError("transaction", number, "a reversal cannot be changed: book the transaction again instead")
        values["lots"] = tuple((UUID(lot), Decimal(units)) for lot, units in values["lots"] or [])
        new, old = (values.pop(name) for name in ("ratio_new", "ratio_old"))
        values["ratio"] = None if new is None else Fraction(int(new), int(old))
        posting = Posting(**values, reference="")
        draft = draft_of(posting, known.get(posting.security_id or 0), known.get(posting.into_id or 0))
        out[number] = Entry(number, posting, draft, by, at, is_reversed, corrects, link, place)
    return {number: out[number] for number in ids if number in out}
