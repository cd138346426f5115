"""The audit trail: reading it, verifying its chains, taking it out (`python -m db.audit verify`, `heads`, `export`).

    python -m db.audit verify [--chain C] [--expect CHAIN:SEQ:HASH]   every hash anew; exit status 1 where anything is wrong
    python -m db.audit heads                                          the ends of the chains: note them elsewhere, for --expect
    python -m db.audit export [--csv] [--chain C]                     the whole trail as JSON or CSV, oldest first
The database writes the trail itself (0003_audit.sql); nothing here changes it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import psycopg

from core import VERSION
from core.audit import PEOPLE, Check, Cursor, Finding, Head, Link, Row, Wanted, digest, security, table, unlocated
from core.scope import BadScope
from core.table import Context, Table
from db import embedded, engine
from db.access import AccessDenied, User
from db.audit_guards import fallen
from settings import settings

Connection = psycopg.Connection[Any]
FETCHED = 5_000  # rows at a time: a chain of any length is walked in little memory
MOST = 100_000  # rows of one file of what was filtered
FIELDS = (
    "chain, seq, at, actor, actor_name, action, entity, entity_key, before::text, after::text, source, address, request_id, task_id, "
    "previous, hash"
)


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, newest first; `older` asks for those behind them, None where there are none."""

    rows: tuple[Row, ...]
    older: Cursor | None
    names: dict[str, str]  # of portfolios by chain, of securities by "security:" and number


def rows(user: User, wanted: Wanted, cursor: Cursor | None = None, limit: int = 100) -> Page:
    """What was changed, newest first, as far as this person may see it. Raises BadScope where there is no such table."""
    with engine.session(user.user_id) as c:
        if wanted.entity and wanted.entity not in (known := _entities(c)):
            raise BadScope("entity", wanted.entity, "one of " + ", ".join(known))
        conditions, values = _asked(user, wanted)
        if cursor is not None:
            conditions.append("(at, chain, seq) < (%(at)s, %(behind)s, %(seq)s)")
            values |= {"at": cursor.at, "behind": cursor.chain, "seq": cursor.seq}
        found = c.execute(
            f"SELECT {FIELDS} FROM audit_log WHERE {' AND '.join(conditions or ['true'])} ORDER BY at DESC, chain DESC, seq DESC LIMIT %(limit)s",
            {**values, "limit": limit + 1},
        ).fetchall()
        listed = tuple(_shown(user, Row(*r)) for r in found[:limit])
        named = _names(c) | _symbols(c, listed)
    older = None
    if len(found) > limit:
        older = Cursor(listed[-1].at, listed[-1].chain, listed[-1].seq)
    return Page(listed, older, named)


def _shown(user: User, row: Row) -> Row:
    """A row as this person may see it."""
    return row if user.role == "admin" or row.actor == user.user_id else unlocated(row)


def _asked(user: User, wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """What is asked for as conditions, only those that are: each can use its index. What is withheld is not searched."""
    where_from = "CASE WHEN %(admin)s OR actor = %(me)s THEN concat_ws(' ', address, request_id) END"
    text = f"strpos(lower(concat_ws(' ', entity, entity_key, actor_name, before::text, after::text, {where_from})), %(text)s) > 0"
    every: tuple[tuple[str, str, Any], ...] = (
        ("who", "actor_name = %(who)s", wanted.who),
        ("first", "at >= %(first)s", wanted.first and _midnight(wanted.first)),
        ("last", "at < %(last)s", wanted.last and _midnight(wanted.last) + timedelta(days=1)),
        ("entity", "entity = %(entity)s", wanted.entity),
        ("key", "entity_key = %(key)s", wanted.key),
        ("action", "action = %(action)s", wanted.action),
        ("source", "source = %(source)s", wanted.source),
        ("task", "task_id = %(task)s", wanted.task),
        ("chain", "chain = %(chain)s", wanted.chain),
        ("text", text, wanted.text.lower()),
    )
    given = [each for each in every if each[2]]
    asker = {"admin": user.role == "admin", "me": user.user_id}
    return [condition for _, condition, _ in given], asker | {name: value for name, _, value in given}


def whole(user: User, wanted: Wanted, limit: int = MOST) -> Table:
    """The newest rows that fit, as one Table: what page, CSV and API carry."""
    page = rows(user, wanted, limit=limit)
    return table(page.rows, context(), page.names, "Nothing fits.")


def of(user: User, entity: str, key: str, limit: int = 100) -> Table:
    """The trail of one thing by its table and key, newest first; of a security also what else names it (its symbols, its prices)."""
    with engine.session(user.user_id) as c:
        found = c.execute(
            f"SELECT {FIELDS} FROM audit_log WHERE (entity = %(entity)s AND entity_key = %(key)s) OR (%(entity)s = 'securities' AND chain = 'master' "
            "AND coalesce(after, before) ->> 'security_id' = %(key)s) ORDER BY at DESC, chain DESC, seq DESC LIMIT %(limit)s",
            {"entity": entity, "key": key, "limit": limit},
        ).fetchall()
        listed = [_shown(user, Row(*r)) for r in found]
        return table(listed, context(), _names(c) | _symbols(c, listed))


def entities(user: User) -> list[str]:
    """The tables whose changes are kept."""
    with engine.session(user.user_id) as c:
        return _entities(c)


def names(user: User) -> dict[str, str]:
    """The names of the portfolios that this person may see, by chain."""
    with engine.session(user.user_id) as c:
        return _names(c)


def people(user: User) -> list[str]:
    """Who may have changed something: everybody, and the roles of programs."""
    with engine.session(user.user_id) as c:
        everybody = c.execute("SELECT username FROM users ORDER BY 1").fetchall()
    return [*(r[0] for r in everybody), "ballast_jobs", "ballast_owner", "ballast_web"]


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _entities(c: Connection) -> list[str]:
    return [
        r[0]
        for r in c.execute(
            "SELECT DISTINCT t.relname::text FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid WHERE g.tgname = 'audit_insert' ORDER BY 1"
        ).fetchall()
    ]


def _names(c: Connection) -> dict[str, str]:
    return dict(c.execute("SELECT 'portfolio:' || portfolio_id, name FROM portfolios").fetchall())


def _symbols(c: Connection, listed: Sequence[Row]) -> dict[str, str]:
    numbers = [int(x) for x in {security(r) for r in listed} if x is not None and x.isdecimal() and len(x) < 10]
    rows_ = c.execute("SELECT security_id, symbol FROM securities WHERE security_id = ANY (%s)", (numbers,)).fetchall()
    return {f"security:{number}": symbol for number, symbol in rows_}


def context() -> Context:
    """What a table of the trail is made from: it has no scope."""
    return Context(datetime.now(UTC).date(), None, VERSION)


# --- verifying -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out of it: each chain as it was walked, and all that is wrong."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> int:
        """Rows looked at."""
        return sum(check.rows for check in self.checks)


def verify(
    c: Connection,
    chain: str | None = None,
    expected: Sequence[Head] = (),
    said: Callable[[int, int], None] | None = None,
) -> Verified:
    """Work out every chain anew (or one), and whether those that began are there; `expected` are heads that were noted before; `said(rows looked at, rows there are)`.

    As the owner or the jobs role from the rows themselves. An admin who may not read a chain gets its links from the database, which
    works out the digest of each row: see 0003_audit.sql.
    """
    open_, sealed, begun = _chains(c)
    names = [x for x in sorted({*open_, *sealed, *(e.chain for e in expected)}) if chain in (None, x)]
    total = sum(r[0] for r in c.execute("SELECT seq FROM audit_heads").fetchall())
    checks: list[Check] = []
    for name in names:
        check = Check(name, {e.seq: e.hash for e in expected if e.chain == name})
        read = _sealed if name in sealed else _links
        head = None
        for links, head in read(c, name):  # noqa: B007  the head as it stood with the last rows
            check.take(links)
            if said is not None:
                said(sum(x.rows for x in checks) + check.rows, total)
        check.end(head)
        checks.append(check)
    findings = [check.finding for check in checks if check.finding is not None]
    findings += [f for f in _lost({*open_, *sealed}, begun) if chain in (None, f.chain) and f.chain not in {x.chain for x in findings}]  # fmt: skip
    findings += [Finding(where, None, what) for where, what in fallen(c)]
    return Verified(tuple(checks), tuple(findings))


def verified(user: User, said: Callable[[int, int], None] | None = None) -> Verified:
    """All chains, for an admin. Raises AccessDenied."""
    if user.role != "admin":
        raise AccessDenied("only admins verify the whole trail")
    with engine.session(user.user_id) as c:
        return verify(c, said=said)


def heads(c: Connection) -> list[Head]:
    """The ends of the chains."""
    return [Head(*r) for r in c.execute("SELECT chain, seq, hash FROM audit_heads ORDER BY 1").fetchall()]


def _chains(c: Connection) -> tuple[set[str], set[str], list[tuple[str, int]]]:
    """(chains that may be read here, those of which an admin gets the links alone, those that 'people' says began, with its row).

    All as of one moment: others begin chains meanwhile."""
    may = c.execute("SELECT has_function_privilege('audit_chains()', 'EXECUTE')").fetchone()
    found = c.execute(
        "SELECT 'open', chain, NULL::bigint FROM audit_log UNION SELECT 'open', chain, NULL FROM audit_heads "
        + ("UNION ALL SELECT 'sealed', chain, NULL FROM audit_chains() " if may and may[0] else "")
        + "UNION ALL SELECT 'begun', entity_key, seq FROM audit_log WHERE chain = 'people' AND entity = 'audit_chains' ORDER BY 3"
    ).fetchall()
    mine, every = ({chain for how, chain, _ in found if how == which} for which in ("open", "sealed"))
    return mine, every - mine, [(chain, seq) for how, chain, seq in found if how == "begun"]


def _lost(there: set[str], begun: Sequence[tuple[str, int]]) -> list[Finding]:
    """Chains that are not there, or anew, or were never begun: as 'people' says, which began with the trail itself."""
    if not begun:
        return [Finding(PEOPLE, None, "the whole chain is missing, and with it which other chains there were")]
    first = dict(reversed(begun))
    gone = (
        (x, f"the whole chain is missing: row {seq} of people says that it began")
        for x, seq in first.items()
        if x not in there
    )
    anew = (
        (x, f"it began anew with row {seq} of people: what stood there before is missing")
        for x, seq in begun
        if seq != first[x]
    )
    put_in = (
        (x, "no row of people says that it began: one of the two is not as it was written")
        for x in there - first.keys()
    )
    return sorted((Finding(x, None, what) for x, what in (*gone, *anew, *put_in)), key=str)


Stand = tuple[list[Link], tuple[int, bytes] | None]


def _links(c: Connection, chain: str) -> Iterator[Stand]:
    """The rows of a chain, some at a time, digests worked out here; with the head as it stood in the same moment."""
    behind: int | None = None
    while True:
        found = c.execute(
            f"SELECT {', '.join(f'l.{x.strip()}' for x in FIELDS.split(','))}, h.seq, h.hash FROM (SELECT 1) AS one "
            "LEFT JOIN audit_heads h ON h.chain = %(chain)s LEFT JOIN LATERAL (SELECT * FROM audit_log WHERE chain = %(chain)s "
            "AND (%(behind)s::bigint IS NULL OR seq > %(behind)s) ORDER BY seq LIMIT %(most)s) AS l ON true ORDER BY l.seq",
            {"chain": chain, "behind": behind, "most": FETCHED},
        ).fetchall()
        there = [Row(*r[:-2]) for r in found if r[1] is not None]
        head = None if found[0][-2] is None else (found[0][-2], found[0][-1])
        yield [Link(r.seq, digest(r), r.previous, r.hash) for r in there], head
        if len(there) < FETCHED:
            return
        behind = there[-1].seq


def _sealed(c: Connection, chain: str) -> Iterator[Stand]:
    """The same of a chain that may not be read."""
    behind: int | None = None
    while True:
        found = c.execute(
            "SELECT l.seq, l.digest, l.previous, l.hash, h.seq, h.hash FROM (SELECT 1) AS one LEFT JOIN audit_head(%(chain)s) h ON true "
            "LEFT JOIN audit_links(%(chain)s, %(behind)s, %(most)s) l ON true ORDER BY l.seq",
            {"chain": chain, "behind": behind, "most": FETCHED},
        ).fetchall()
        there = [Link(*r[:4]) for r in found if r[0] is not None]
        yield there, None if found[0][4] is None else (found[0][4], found[0][5])
        if len(there) < FETCHED:
            return
        behind = there[-1].seq


# --- taking it out -------------------------------------------------------------------------------


def export(c: Connection, out: IO[str], as_csv: bool = False, chain: str | None = None) -> int:
    """Write the trail, chain by chain, oldest first; the rows written. `before` and `after` stay text for text, so that the hashes
    can be worked out from the file."""
    names = tuple(x.strip().removesuffix("::text") for x in FIELDS.split(","))
    count = 0
    writer = csv.writer(out, lineterminator="\r\n")
    if as_csv:
        writer.writerow(names)
    else:
        out.write("[")
    with c.cursor(name="trail") as cursor:
        cursor.itersize = FETCHED
        cursor.execute(
            f"SELECT {FIELDS} FROM audit_log WHERE %(chain)s::text IS NULL OR chain = %(chain)s ORDER BY chain, seq",
            {"chain": chain},
        )
        for found in cursor:
            cells = {name: _plain(value) for name, value in zip(names, found, strict=True)}
            if as_csv:
                writer.writerow("" if x is None else x for x in cells.values())
            else:
                said = (
                    f"{json.dumps(n)}: {v or 'null' if n in ('before', 'after') else json.dumps(v, ensure_ascii=False)}"
                    for n, v in cells.items()
                )
                out.write(f"{',' if count else ''}\n{{{', '.join(said)}}}")
            count += 1
    if not as_csv:
        out.write("\n]\n")
    return count


def _plain(value: object) -> str | int | None:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int) else str(value)


def _verify(chain: str | None, expected: Sequence[Head]) -> int:
    with engine.owner() as c:
        done = verify(c, chain, expected)
    for check in done.checks:
        print(
            f"{'wrong' if check.finding else 'whole':<6} {check.rows:>9,} rows  {check.chain}:{check.seq}:{check.hash.hex()}"
        )
    for finding in done.findings:
        print(f"found  {finding}")
    if chain is not None and not done.checks:
        print(f"there is no chain {chain!r}")
        return 1
    print(
        f"{done.rows:,} rows in {len(done.checks)} chains: "
        + (f"{len(done.findings)} findings." if done.findings else "all is as it was written.")
    )
    return 1 if done.findings else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m db.audit", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="work out every hash anew")
    check.add_argument("--chain", help="this chain alone: master, people or portfolio:ID")
    check.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="CHAIN:SEQ:HASH",
        help="a head noted before; may be given often",
    )
    commands.add_parser("heads", help="the ends of the chains, to be noted elsewhere")
    out = commands.add_parser("export", help="the whole trail, to standard output")
    out.add_argument("--csv", action="store_true", help="as CSV instead of JSON")
    out.add_argument("--chain", help="this chain alone")
    given = parser.parse_args(arguments)
    try:
        if not embedded.is_there():  # a new one would be whole, and say nothing of the one that is meant
            print(
                f"error: there is no database in DATA_DIR={settings.data_dir}: name the folder of yours, or DATABASE_URL",
                file=sys.stderr,
            )
            return 2
        with embedded.hold():
            engine.ensure()
            if given.command == "verify":
                return _verify(given.chain, [Head.read(text) for text in given.expect])
            with engine.owner() as c:
                if given.command == "heads":
                    print("\n".join(str(head) for head in heads(c)))
                else:
                    export(c, sys.stdout, given.csv, given.chain)
    except BadScope as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
