"""Splits that the feeds know and ledgers lack, over all portfolios of a person: the list, the plan that books them, the plan that
takes that back, and what a task of these plans writes.

What is said to everybody (the error of a task) names neither portfolio nor security.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import psycopg

from core.book import Book
from core.fx import day_number
from core.ledger import LedgerError
from core.master import PlanOutdated
from core.plans import Plan, Row, Step
from core.split_matching import NEAR
from core.unbooked import Unbooked, booking, unbooked, unbooked_splits
from db import books, engine, ledger
from db.access import INSTALLATION, AccessDenied, User

SOURCE = "feed"  # of the entries, in the ledger
Split = tuple[int, date]  # a security's number, the ex date


class NothingToBook(LookupError):
    """No split is left to book, or to take back, that this person may."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One action in one portfolio. `may_write`: whether this person may book there."""

    portfolio_id: UUID
    portfolio: str
    may_write: bool
    found: Unbooked

    @property
    def split(self) -> Split:
        """Which split it is."""
        return self.found.security.security_id, self.found.action.ex_on

    @property
    def may_book(self) -> bool:
        """Whether this person may book it as the feed has it."""
        return self.may_write and self.found.is_bookable


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_CONCERNED = """
WITH newest AS (SELECT security_id, max(ex_on) AS ex_on FROM corporate_actions
                 WHERE kind = ANY (%(kinds)s) AND ex_on <= %(today)s AND (%(security)s::int IS NULL OR security_id = %(security)s) GROUP BY 1)
SELECT p.portfolio_id, p.name, p.portfolio_id = ANY (writable()) FROM portfolios p
 WHERE p.archived_at IS NULL AND p.portfolio_id IN (
   SELECT t.portfolio_id FROM newest n JOIN transactions t ON t.security_id = n.security_id AND t.traded_on < n.ex_on
   UNION SELECT t.portfolio_id FROM newest n JOIN transactions t ON t.into_id = n.security_id AND t.traded_on < n.ex_on)
 ORDER BY p.name, p.portfolio_id
"""


def everywhere(user: User, today: date, security: int | None = None, dividends: bool = True) -> list[Standing]:
    """Every action that is not booked, or booked otherwise, in the portfolios that this person may see; the newest first."""
    with engine.session(user.user_id) as c:
        return _everywhere(c, today, security, dividends)


def _everywhere(c: psycopg.Connection, today: date, security: int | None, dividends: bool) -> list[Standing]:
    kinds = ["split", "dividend"] if dividends else ["split"]
    rows = c.execute(_CONCERNED, {"today": today, "kinds": kinds, "security": security}).fetchall()
    find = unbooked if dividends else unbooked_splits
    out = [
        Standing(number, name, may_write, f)
        for number, name, may_write in rows
        for f in find(books.load(c, number).book, day_number(today))
        if security in (None, f.security.security_id)
    ]
    return sorted(out, key=lambda s: (not s.found.is_split, -day_number(s.found.action.ex_on), s.found.security.symbol))


def rows_of(user: User, today: date) -> list[tuple[Any, ...]]:
    """The same as the report `unbooked_everywhere` takes it."""
    return [(s.portfolio_id, s.portfolio, s.found, s.may_book) for s in everywhere(user, today)]


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_book(user: User, today: date, splits: Collection[Split] | None = None) -> Plan:
    """The plan that books splits (None: every one) in every portfolio that lacks them and that this person may write.

    Raises NothingToBook, which says why.
    """
    with engine.session(user.user_id) as c:
        every = _everywhere(c, today, None, dividends=False)
    asked = [s for s in every if splits is None or s.split in splits]
    mine = [s for s in asked if s.may_book]
    if not mine:
        raise NothingToBook(_why_nothing(asked))
    return _plan("book_splits", mine, [*_notes(mine), *_left(asked)])


def _plan(kind: str, chosen: Sequence[Standing], notes: Sequence[str]) -> Plan:
    steps = []
    for number, name in sorted({(s.portfolio_id, s.portfolio) for s in chosen}):
        its = sorted((s for s in chosen if s.portfolio_id == number), key=lambda s: s.found.action.ex_on)
        steps.append(Step(f"Book in {name}", "transactions", "book", tuple(_row(s) for s in its)))
    titles = sorted({_title("Book", s.found) for s in chosen})
    listings = sorted({_listing(s.found) for s in chosen})
    return Plan(kind, "; ".join(titles), ", ".join(listings), tuple(steps), tuple(dict.fromkeys(notes)))


def _row(s: Standing) -> Row:
    """The entry as it is shown and confirmed. Units to ten decimals: what they are when it is written must be the same."""
    f = s.found
    return {
        "portfolio_id": str(s.portfolio_id), "portfolio": s.portfolio, "security_id": f.security.security_id, "listing": _listing(f),
        "title": _title("Book", f), "kind": "split", "traded_on": f.action.ex_on.isoformat(), "ratio": f.ratio,
        "units": format(f.units.normalize(), "f"), "units_after": format((f.after or f.units).normalize(), "f"),
    }  # fmt: skip


def _listing(f: Unbooked) -> str:
    return f"{f.security.exchange}:{f.security.symbol}"


def _title(verb: str, f: Unbooked) -> str:
    return f"{verb} the {f.ratio} split of {_listing(f)}, ex {f.action.ex_on}"


def _notes(mine: Sequence[Standing]) -> Iterator[str]:
    for s in mine:
        f = s.found
        after = f.after or f.units
        if after != after.to_integral_value():
            yield (
                f"{s.portfolio}: {format(after.normalize(), 'f')} {f.security.symbol} come of it, the holding rounded to ten decimals; "
                "what the broker pays in cash for a fraction is booked as a sale."
            )
        if not f.is_usual:
            yield f"{f.ratio} is no usual ratio: feeds announce spin-offs like that. Compare with the broker's statement before it is booked."  # fmt: skip


def _left(asked: Sequence[Standing]) -> Iterator[str]:
    """What stays as it is, and why."""
    for s in asked:
        if not s.may_write and s.found.is_bookable:
            yield f"{s.portfolio} lacks the {s.found.what}, too: you may look at it, not book in it."
        elif not s.found.is_bookable:
            yield f"{s.portfolio} stays as it is: {s.found.words}."


def _why_nothing(asked: Sequence[Standing]) -> str:
    return " ".join(dict.fromkeys(_left(asked))) or "no split that the feeds know is left to book in your portfolios"


def plan_undo(user: User, task: UUID) -> Plan:
    """The plan that reverses what a task booked, in the portfolios that this person may write.

    Raises NothingToBook where nothing of it is left, LedgerError where later entries need the units.
    """
    with engine.session(user.user_id) as c:
        rows = c.execute(_BOOKED, (task,)).fetchall()
        mine = [r for r in rows if r[3]]
        steps = []
        for number in sorted({r[0] for r in mine}):
            its = [(entry, booked) for portfolio, entry, booked, _ in mine if portfolio == number]
            with c.transaction(force_rollback=True):
                ledger.reversed_on(c, user.user_id, number, [booked for _, booked in its])
            reversals = tuple(_reversal(entry, booked) for entry, booked in its)
            steps.append(Step(f"Take back in {reversals[0]['portfolio']}", "transactions", "reverse", reversals))
        if not steps:
            raise NothingToBook("nothing that this task booked is left to take back, where you may book")
        left = dict.fromkeys(
            f"{r[1]['portfolio']} keeps it: you may look at it, not book in it." for r in rows if not r[3]
        )
    titles = sorted({row["title"] for step in steps for row in step.rows})
    listings = sorted({row["listing"] for step in steps for row in step.rows})
    return Plan("reverse_splits", "; ".join(titles), ", ".join(listings), tuple(steps), tuple(left))


_BOOKED = """
SELECT e.portfolio_id, e.entry, e.transaction_id, e.portfolio_id = ANY (writable()) FROM task_entries e JOIN tasks t USING (task_id)
 WHERE e.task_id = %s AND t.kind = 'book_splits' AND t.status = 'completed' AND NOT EXISTS (
   SELECT FROM transactions r WHERE r.portfolio_id = e.portfolio_id AND r.reverses = e.transaction_id)
 ORDER BY e.step, e.n
"""


def _reversal(entry: Row, booked: UUID) -> Row:
    kept = {name: entry[name] for name in ("portfolio_id", "portfolio", "security_id", "listing", "traded_on", "ratio")}
    return kept | {"title": entry["title"].replace("Book", "Take back", 1), "kind": "reversal", "reverses": str(booked)}


def may_undo(user: User, task: UUID) -> bool:
    """Whether anything that a task booked is left to take back where this person may book."""
    with engine.session(user.user_id) as c:
        return any(row[3] for row in c.execute(_BOOKED, (task,)).fetchall())


def is_undone(user: User, task: UUID) -> UUID | None:
    """The task that takes this one back, or is about to; None where there is none that this person may see."""
    with engine.session(user.user_id) as c:
        row = c.execute(
            "SELECT task_id FROM tasks t WHERE undoes = %s AND status IN ('queued', 'running', 'completed') AND EXISTS "
            "(SELECT FROM task_entries e WHERE e.task_id = t.task_id) ORDER BY task_id DESC LIMIT 1",
            (task,),
        ).fetchone()
    return row[0] if row else None


# ── what a task writes ──────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _for_everybody() -> Iterator[None]:
    """What goes wrong with a portfolio, in words that name neither it nor what it holds."""
    again = "ask again: the new plan is made from what stands now"
    try:
        yield
    except AccessDenied as e:
        raise PlanOutdated("portfolio", "", "who asked for it may not book in one of them any more") from e
    except books.NoSuchPortfolio as e:
        raise PlanOutdated("portfolio", "", "one of them is gone, or is not theirs to see any more") from e
    except LedgerError as e:
        raise PlanOutdated("entries", "", f"those of one of the portfolios do not allow it any more: {again}") from e
    except psycopg.errors.IntegrityError as e:
        raise PlanOutdated("entries", "", f"they are there already: {again}") from e


def book(c: psycopg.Connection, task: UUID, by: UUID, step: Step, tick: Callable[[int], None], today: date) -> int:
    """Book the splits of one portfolio as they were confirmed; how many. Raises PlanOutdated where they would be others now."""
    with _for_everybody():
        portfolio = UUID(step.rows[0]["portfolio_id"])
        desk = ledger.own_desk(c, portfolio) if by == INSTALLATION else ledger.open_desk(c, portfolio, lock=True)
        now = _standing(books.load(c, portfolio).book, portfolio, today, step)
        if [_compared(_row(s)) for s in now] != [_compared(row) for row in step.rows]:
            told = (
                "holdings of that day, or what is booked, are not as they were confirmed: ask again to see the new plan"
            )
            raise PlanOutdated("splits", "", told)
        drafts = [booking(s.found.security, s.found.action) for s in now]
        postings = [ledger.complete(desk, draft, today) for draft in drafts]
        for error in ledger.refusals(desk, list(enumerate(postings))).values():
            raise error
        keys = [own_key(*s.split) if by == INSTALLATION else None for s in now]
        ids = ledger.write(c, by, portfolio, list(zip(postings, keys, strict=True)), SOURCE)
        ledger.mark_moved(c, portfolio, [p.traded_on for p in postings], today)
        _written(c, task, portfolio, ids)
    tick(len(ids))
    return len(ids)


def take_back(c: psycopg.Connection, task: UUID, by: UUID, step: Step, tick: Callable[[int], None]) -> int:
    """Reverse the entries of one portfolio; how many. Raises PlanOutdated where somebody reversed them or they are needed."""
    with _for_everybody():
        portfolio = UUID(step.rows[0]["portfolio_id"])
        ids = ledger.reversed_on(c, by, portfolio, [UUID(row["reverses"]) for row in step.rows], "split taken back")
        _written(c, task, portfolio, ids)
    tick(len(ids))
    return len(ids)


def _standing(book: Book, portfolio: UUID, today: date, step: Step) -> list[Standing]:
    """What of a step's splits can be booked now, in its order."""
    found = {(f.security.security_id, f.action.ex_on.isoformat()): f for f in unbooked_splits(book, day_number(today))}
    out = []
    for row in step.rows:
        f = found.get((row["security_id"], row["traded_on"]))
        if f is not None and f.is_bookable:
            out.append(Standing(portfolio, row["portfolio"], True, f))
    return out


def _compared(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("security_id", "traded_on", "ratio", "units", "units_after"))


def _written(c: psycopg.Connection, task: UUID, portfolio: UUID, ids: Sequence[UUID]) -> None:
    for n, number in enumerate(ids):
        c.execute(
            "UPDATE task_entries SET transaction_id = %s WHERE portfolio_id = %s AND task_id = %s AND n = %s",
            (number, portfolio, task, n),
        )


# ── for the installation itself ─────────────────────────────────────────────────────────────────────────────────────────


def own_key(security: int, ex_on: date) -> str:
    """The key of an entry that the installation books: once for each split, also where somebody took it back."""
    return f"feed:split:{security}:{ex_on}"


# portfolios that lack a split: more are announced around an ex date than are booked. Not those that a task is about to book in.
_LACKING = """
WITH splits AS (SELECT security_id, ex_on FROM corporate_actions WHERE kind = 'split' AND ex_on <= %(today)s),
held AS (
  SELECT DISTINCT t.portfolio_id, a.security_id, a.ex_on FROM splits a JOIN transactions t ON t.security_id = a.security_id AND t.traded_on < a.ex_on
  UNION SELECT t.portfolio_id, a.security_id, a.ex_on FROM splits a JOIN transactions t ON t.into_id = a.security_id AND t.traded_on < a.ex_on)
SELECT DISTINCT p.portfolio_id, p.name FROM held h JOIN portfolios p USING (portfolio_id)
 WHERE p.archived_at IS NULL
   AND (SELECT count(*) FROM transactions s WHERE s.portfolio_id = h.portfolio_id AND s.security_id = h.security_id AND s.kind = 'split'
           AND s.traded_on BETWEEN h.ex_on - %(near)s AND h.ex_on + %(near)s
           AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = s.portfolio_id AND r.reverses = s.transaction_id))
     < (SELECT count(*) FROM splits b WHERE b.security_id = h.security_id AND b.ex_on BETWEEN h.ex_on - %(near)s AND h.ex_on + %(near)s)
   AND NOT EXISTS (SELECT FROM transactions k WHERE k.portfolio_id = h.portfolio_id AND k.idempotency_key = 'feed:split:' || h.security_id || ':' || h.ex_on)
   AND NOT EXISTS (SELECT FROM task_entries e JOIN tasks o USING (task_id) WHERE e.portfolio_id = h.portfolio_id AND (o.status IN ('queued', 'running')
           OR (o.status = 'failed' AND o.requested_by = installation_user() AND o.finished_at > now() - interval '1 day')))
 ORDER BY 2, 1
"""


def own_plans(c: psycopg.Connection, today: date) -> list[Plan]:
    """A plan for each portfolio that lacks splits which the installation may book by itself: of a usual ratio, never booked by it before."""
    out = []
    for number, name in c.execute(_LACKING, {"today": today, "near": NEAR}).fetchall():
        book = books.load(c, number).book
        done = {r[0] for r in c.execute("SELECT idempotency_key FROM transactions WHERE portfolio_id = %s AND idempotency_key LIKE 'feed:split:%%'",
                                        (number,)).fetchall()}  # fmt: skip
        lacking = [
            Standing(number, name, True, f)
            for f in unbooked_splits(book, day_number(today))
            if f.is_bookable and f.is_usual
        ]
        chosen = [s for s in lacking if own_key(*s.split) not in done]
        if chosen:
            out.append(_plan("book_splits", chosen, list(_notes(chosen))))
    return out
