"""Reconciliations: compare a statement, keep it, read it again, sign it off. Nothing is ever updated or deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from core import importing, statement
from core.book import Book
from core.causes import Action
from core.ledger import LedgerError, Security
from core.listings import renamed
from core.reconciliation import (
    WHOLE,
    Basis,
    Change,
    Decision,
    Ours,
    Reconciliation,
    Result,
    Row,
    SignOff,
    Tolerances,
    checked_basis,
    checked_custodian,
    checked_decision,
    compare,
    ours,
    since,
)
from core.statement import Line, Statement
from core.table import plain
from db import books, engine
from db.access import AccessDenied

AROUND = timedelta(days=120)  # corporate actions this near to a statement are looked at; splits and dividends before it all
MOST = 500  # reconciliations listed


class NoSuchReconciliation(LookupError):
    """There is no such reconciliation in this portfolio."""


def make(
    user: UUID,
    portfolio: UUID,
    raw: bytes,
    *,
    custodian: str,
    file_name: str,
    today: date,
    on: date | None = None,
    tolerances: Tolerances | None = None,
    basis: Basis = "settlement",
    keep: bool = False,
    lines_of: Statement | None = None,
) -> Reconciliation:
    """Compare a custodian's CSV with the ledger; `keep` stores it, else it is a dry run.

    `on` is the statement's date; None: the file's own. `lines_of`: what was sent is no CSV and has been read already. A dry run needs read access, keeping one write access.
    Raises NotReadable (every line that cannot be read), LedgerError naming the field, AccessDenied, NoSuchPortfolio.
    """
    limits = tolerances or Tolerances()
    with engine.session(user) as c:
        book = books.load(c, portfolio).book
        if keep:
            _ask_write(c, portfolio, book.portfolio.name)
        named = checked_custodian(custodian)
        read = lines_of or statement.read(importing.decoded(raw))
        day = _day(on, read.on, today)
        checked_basis(basis)
        ours_, lines = _sides(c, book, day, read.lines)
        result = compare(ours_, lines, limits, basis)
        if was := _renamed(lines, ours_.securities, day):
            result = replace(result, notes=(*result.notes, *was))
        name = file_name[:200]
        if not keep:
            now = datetime.now(UTC)
            return Reconciliation(None, named, day, basis, name, limits, result, tuple(lines), now, "", now)
        row = c.execute(
            "INSERT INTO reconciliations (portfolio_id, custodian, statement_on, basis, file_name, file_sha256, tolerances, lines, result, made_by) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING reconciliation_id",
            (
                portfolio,
                named,
                day,
                basis,
                name,
                hashlib.sha256(raw).hexdigest(),
                Jsonb({k: plain(v) for k, v in asdict(limits).items()}),
                Jsonb([{k: plain(v) for k, v in asdict(x).items()} for x in lines]),
                Jsonb({"rows": [r.as_json() for r in result.rows], "notes": list(result.notes)}),
                user,
            ),
        ).fetchone()
        assert row is not None
        return _read(c, portfolio, row[0])


def _day(given: date | None, own: date | None, today: date) -> date:
    day = given or own
    if day is None:
        raise LedgerError("date", None, "the date of the statement is needed: give it, or a column `date` in the file")
    if given and own and given != own:
        raise LedgerError("date", given, f"the file says that it is of {own}")
    if not date(1900, 1, 1) <= day <= today:
        raise LedgerError("date", day, f"the date of the statement may not lie after today, {today}")
    return day


def _ask_write(c: psycopg.Connection, portfolio: UUID, name: str) -> None:
    if not c.execute("SELECT %s = ANY (writable())", (portfolio,)).fetchone()[0]:  # type: ignore[index]
        raise AccessDenied(f"you may look at {name}, not reconcile or sign in it")


def _sides(
    c: psycopg.Connection, book: Book, day: date, lines: Sequence[Line], anew: bool = True
) -> tuple[Ours, list[Line]]:
    """Both sides: ours on that day, and the lines with our securities' numbers; not `anew`: they were found before."""
    listed = books.listings_of(c)
    found = statement.identified(lines, listed, isins(c), list(book.securities), day, anew=anew)
    wanted = {x.security for x in found if x.security is not None} | set(book.securities)
    known: dict[int, Security] = {s.security_id: s for s in listed.every if s.security_id in wanted}
    actions = [
        Action(number, kind, ex_on, Fraction(ratio) if ratio else None, amount, currency, pay_on)
        for number, kind, ex_on, ratio, amount, currency, pay_on in c.execute(
            "SELECT security_id, kind, ex_on, ratio_new || '/' || ratio_old, amount, currency, pay_on FROM corporate_actions WHERE security_id = ANY (%s) AND ex_on <= %s "
            "AND (ex_on >= %s OR kind IN ('split', 'dividend')) ORDER BY ex_on, security_id",
            (sorted(wanted), day + AROUND, day - AROUND),
        ).fetchall()
    ]
    return ours(book, day, known, actions), found


def _renamed(lines: Sequence[Line], securities: Mapping[int, Security], on: date) -> list[str]:
    """What to tell of symbols of a statement that their securities have no more."""
    said = (renamed(x.symbol, securities.get(x.security or 0), on) for x in lines if not x.isin)
    return [f"{words}." for words in dict.fromkeys(said) if words]


def isins(c: psycopg.Connection) -> dict[int, str]:
    """The ISIN of every security that has one."""
    return dict(c.execute("SELECT security_id, isin FROM securities WHERE isin IS NOT NULL").fetchall())


_KEPT = """
SELECT r.reconciliation_id, r.custodian, r.statement_on, r.basis, r.file_name, r.tolerances, r.result, r.lines, r.made_at, u.display_name, r.known_at,
       (SELECT json_agg(json_build_array(s.row_key, s.decision, s.comment, v.display_name, s.signed_at) ORDER BY s.signoff_id)
          FROM reconciliation_signoffs s JOIN users v ON v.user_id = s.signed_by
         WHERE s.portfolio_id = r.portfolio_id AND s.reconciliation_id = r.reconciliation_id
           AND (%(known)s::timestamptz IS NULL OR s.signed_at <= %(known)s))
  FROM reconciliations r JOIN users u ON u.user_id = r.made_by
 WHERE r.portfolio_id = %(portfolio)s
"""


def _kept(row: Sequence[Any]) -> Reconciliation:
    number, custodian, on, basis, file_name, tolerances, result, lines, made_at, made_by, known_at, signoffs = row
    return Reconciliation(
        number,
        custodian,
        on,
        basis,
        file_name,
        Tolerances(**{k: Decimal(v) for k, v in tolerances.items()}),
        Result(tuple(Row.of_json(r) for r in result["rows"]), tuple(result["notes"])),
        tuple(_line(x) for x in lines),
        made_at,
        made_by,
        known_at,
        tuple(SignOff(key, what, said, by, datetime.fromisoformat(at)) for key, what, said, by, at in signoffs or []),
    )


def _line(kept: dict[str, Any]) -> Line:
    numbers = {k: None if kept[k] is None else Decimal(kept[k]) for k in ("quantity", "price", "value")}
    return Line(**{**kept, **numbers})


def _read(c: psycopg.Connection, portfolio: UUID, number: UUID) -> Reconciliation:
    row = c.execute(
        _KEPT + " AND r.reconciliation_id = %(number)s", {"portfolio": portfolio, "number": number, "known": None}
    ).fetchone()
    if row is None:
        raise NoSuchReconciliation("there is no such reconciliation in this portfolio")
    return _kept(row)


def read(user: UUID, portfolio: UUID, number: UUID) -> Reconciliation:
    """One reconciliation as it was kept, with its decisions. Raises NoSuchPortfolio, NoSuchReconciliation."""
    with engine.session(user) as c:
        books.portfolio_of(c, portfolio)
        return _read(c, portfolio, number)


def kept(
    user: UUID, portfolio: UUID, upto: date | None = None, known_at: datetime | None = None, limit: int = MOST
) -> list[Reconciliation]:
    """Reconciliations of a portfolio with statements up to a day, the newest statement first. Raises NoSuchPortfolio."""
    with engine.session(user) as c:
        books.portfolio_of(c, portfolio)
        rows = c.execute(
            _KEPT + " AND r.statement_on <= %(upto)s AND (%(known)s::timestamptz IS NULL OR r.made_at <= %(known)s) "
            "ORDER BY r.statement_on DESC, r.reconciliation_id DESC LIMIT %(limit)s",
            {"portfolio": portfolio, "upto": upto or date(9999, 1, 1), "known": known_at, "limit": limit},
        ).fetchall()
        return [_kept(row) for row in rows]


def sign(
    user: UUID, portfolio: UUID, number: UUID, keys: Sequence[str], decision: Decision, comment: str = ""
) -> Reconciliation:
    """Decide about rows (their keys), or about the whole (WHOLE); it is added, what was decided before stays.

    Raises LedgerError (unknown row, decision or a difference accepted without a word), AccessDenied, NoSuchPortfolio,
    NoSuchReconciliation.
    """
    said = comment.strip()
    with engine.session(user) as c:
        settings_row = books.portfolio_of(c, portfolio)
        _ask_write(c, portfolio, settings_row.name)
        found = _read(c, portfolio, number)
        checked_decision(decision)
        if len(said) > 2000 or "\x00" in said:
            raise LedgerError("comment", f"of {len(said)} characters", "at most 2000 characters of text")
        verdicts = {r.key: r.verdict for r in found.result.rows}
        if not keys:
            raise LedgerError("rows", None, "choose at least one row")
        for key in dict.fromkeys(keys):
            if key != WHOLE and key not in verdicts:
                raise LedgerError("rows", key, "this reconciliation has no such row")
            differs = found.open_rows > 0 if key == WHOLE else verdicts[key] != "matched"
            if decision == "accepted" and differs and not said:
                raise LedgerError("comment", None, "say why the difference is accepted")
            c.execute(
                "INSERT INTO reconciliation_signoffs (portfolio_id, reconciliation_id, row_key, decision, comment, signed_by) VALUES (%s, %s, %s, %s, %s, %s)",
                (portfolio, number, key, decision, said, user),
            )
        return _read(c, portfolio, number)


def again(user: UUID, portfolio: UUID, number: UUID) -> list[Change]:
    """The kept statement beside the ledger as it is now: what was fixed since, what still differs, what is new. Stores nothing."""
    with engine.session(user) as c:
        book = books.load(c, portfolio).book
        found = _read(c, portfolio, number)
        ours_, lines = _sides(c, book, found.statement_on, found.lines, anew=False)
        return since(found.result, compare(ours_, lines, found.tolerances, found.basis))
