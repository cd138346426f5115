"""The audit trail as pure data: what is hashed and how, whether a chain is whole, what is asked of it, how it reads.

A row's hash is sha256(the hash before it + sha256(canonical(row))). The database writes it (0003_audit.sql), `Check` works it out anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from core.scope import BadScope
from core.table import Column, Context, Kind, Table

START = bytes(32)  # stands before the first row of every chain
ACTIONS = ("inserted", "updated", "deleted", "booked", "truncated")
SOURCES = ("page", "api", "csv", "job", "command", "migration", "database")
MASTER, PEOPLE, PORTFOLIO = "master", "people", "portfolio:"
SUMMARY = 160  # characters of a change in a line
SHORT = 24  # characters of a key that tells people something


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the trail. `before` and `after` are JSON as the database writes it, text for text."""

    chain: str
    seq: int
    at: datetime
    actor: UUID | None
    actor_name: str
    action: str
    entity: str
    entity_key: str
    before: str | None
    after: str | None
    source: str
    address: str | None
    request_id: str | None
    task_id: UUID | None
    previous: bytes
    hash: bytes
    content: bytes | None = None  # the digest of what it says, where something of that is withheld


def canonical(row: Row) -> bytes:
    """What is hashed of a row: each field as "length in octets:text,", a missing one as "-,"."""
    at = row.at.astimezone(UTC)
    fields = (
        row.chain,
        str(row.seq),
        f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06}Z",
        None if row.actor is None else str(row.actor),
        row.actor_name,
        row.action,
        row.entity,
        row.entity_key,
        row.before,
        row.after,
        row.source,
        row.address,
        row.request_id,
        None if row.task_id is None else str(row.task_id),
    )
    out = bytearray()
    for each in fields:
        if each is None:
            out += b"-,"
        else:
            octets = each.encode()
            out += b"%d:%s," % (len(octets), octets)
    return bytes(out)


def digest(row: Row) -> bytes:
    """sha256 of what a row says."""
    return row.content or hashlib.sha256(canonical(row)).digest()


def unlocated(row: Row) -> Row:
    """A row without where it came from (address and request), which is for admins and who did it; its digest stands for that."""
    if row.address is None and row.request_id is None:
        return row
    return replace(row, address=None, request_id=None, content=digest(row))


def linked(previous: bytes, content: bytes) -> bytes:
    """The hash of a row that says `content` (a digest) and stands behind `previous`."""
    return hashlib.sha256(previous + content).digest()


# --- whether a chain is whole --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """What of a row the chain is made of: its place, the digest of what it says, the hash before it, its own."""

    seq: int
    content: bytes
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with the trail: in which chain, at which row (None: not at a row), and what."""

    chain: str
    seq: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.chain}{'' if self.seq is None else f' row {self.seq}'}: {self.what}"


@dataclass
class Check:
    """Walks one chain from its first row; `finding` is the first thing wrong, and nothing behind it is looked at.

    `expected`: hashes of rows that were noted elsewhere before.
    """

    chain: str
    expected: Mapping[int, bytes] = field(default_factory=dict)
    rows: int = 0
    seq: int = 0
    hash: bytes = START
    finding: Finding | None = None

    def take(self, links: Iterable[Link]) -> None:
        """The next rows, by their numbers."""
        for link in links:
            self.rows += 1
            if self.finding is None and (wrong := self._wrong(link)):
                self.finding = Finding(self.chain, *wrong)
            self.seq, self.hash = link.seq, link.hash

    def _wrong(self, link: Link) -> tuple[int, str] | None:
        due = self.seq + 1
        if link.seq > due:
            gone = f"the rows {due} to {link.seq - 1} are" if link.seq - due > 1 else "it is"
            return due, f"{gone} missing"
        if link.seq < due:
            return link.seq, "it stands before the first row of its chain"
        if link.previous != self.hash:
            behind = "is not the first of its chain" if due == 1 else f"does not follow row {due - 1}"
            return due, f"it {behind}: it was moved or put in, or one of the two was replaced"
        if linked(link.previous, link.content) != link.hash:
            return due, "it was changed: what it says does not give its hash"
        if self.expected.get(link.seq, link.hash) != link.hash:
            return due, "its hash is not the one that was noted: the chain was written anew"
        return None

    def end(self, head: tuple[int, bytes] | None) -> None:
        """No more rows: does the head fit, and was everything there that was noted?"""
        if self.finding is not None:
            return
        gone = [seq for seq in sorted(self.expected) if seq > self.seq]
        if gone:
            self.finding = Finding(self.chain, self.seq + 1, f"the chain is cut short: row {gone[0]} was noted")
        elif head is None:
            self.finding = Finding(self.chain, None, "its head is missing") if self.rows else None
        elif head[0] > self.seq:
            self.finding = Finding(
                self.chain, self.seq + 1, f"the chain is cut short: its head stands at row {head[0]}"
            )
        elif head != (self.seq, self.hash):
            self.finding = Finding(self.chain, self.seq, f"its head stands at row {head[0]} with another hash")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: noted elsewhere, it shows later whether the chain up to here is still the same."""

    chain: str
    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.chain}:{self.seq}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Head:
        """CHAIN:SEQ:HASH, as str() writes it. Raises BadScope."""
        chain, _, rest = text.strip().rpartition(":")
        chain, _, seq = chain.rpartition(":")
        if not (chain and re.fullmatch(r"[0-9]{1,18}", seq) and re.fullmatch(r"[0-9a-fA-F]{64}", rest)):
            raise BadScope("expect", text, "CHAIN:SEQ:HASH as the command heads prints it")
        return cls(chain, int(seq), bytes.fromhex(rest))


# --- what is asked of it -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows somebody wants to see. Empty fields mean: all."""

    who: str = ""  # user name, or the role that a program signs in as
    first: date | None = None
    last: date | None = None
    entity: str = ""
    key: str = ""
    action: str = ""
    text: str = ""  # anywhere in the row
    source: str = ""
    task: UUID | None = None
    chain: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str | None]) -> Wanted:
        """From text parameters (who, from, to, entity, key, action, q, source, task, chain). Raises BadScope."""
        given = {name: (text or "").strip() for name, text in query.items()}
        for name, text in given.items():
            if "\x00" in text or len(text) > 200:
                raise BadScope(name, text[:40], "at most 200 characters of text")
        days = {name: _day(name, given.get(name, "")) for name in ("from", "to")}
        if days["from"] and days["to"] and days["from"] > days["to"]:
            raise BadScope("to", given["to"], f"a day from {given['from']} on")
        for name, known in (("action", ACTIONS), ("source", SOURCES)):
            if given.get(name) and given[name] not in known:
                raise BadScope(name, given[name], "one of " + ", ".join(known))
        chain = given.get("chain", "")
        if chain and chain not in (MASTER, PEOPLE) and not _is_uuid(chain.removeprefix(PORTFOLIO)):
            raise BadScope("chain", chain, "master, people or portfolio: and its id")
        task = given.get("task", "")
        if task and not _is_uuid(task):
            raise BadScope("task", task, "the id of a task")
        return cls(given.get("who", "").lower(), days["from"], days["to"], given.get("entity", ""), given.get("key", ""), given.get("action", ""),
                   given.get("q", ""), given.get("source", ""), UUID(task) if task else None, chain)  # fmt: skip


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadScope(name, text, "a day such as 2026-03-31") from None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page, newest first: the next page begins behind it."""

    at: datetime
    chain: str
    seq: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.at.isoformat()} {self.seq} {self.chain}".encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """As str() writes it. Raises BadScope."""
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            at, seq, chain = plain.split(" ")
            found = cls(datetime.fromisoformat(at).astimezone(UTC), chain, int(seq))
        except (ValueError, OverflowError, binascii.Error):
            raise BadScope("cursor", text, "the next_cursor of the answer before") from None
        if not 0 < found.seq < 2**63 or "\x00" in chain:
            raise BadScope("cursor", text, "the next_cursor of the answer before")
        return found


# --- how it reads --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One field of a row: what it said before and after, as text; None where it was not there."""

    field: str
    before: str | None
    after: str | None


def changes(row: Row) -> list[Change]:
    """What a row of the trail says, field by field: first what changed, then what tells which row it was."""
    before, after = (
        json.loads(side, parse_float=str, parse_int=str) if side else {} for side in (row.before, row.after)
    )
    found = [Change(name, _said(before, name), _said(after, name)) for name in dict.fromkeys([*after, *before])]
    return sorted(found, key=lambda c: c.before == c.after)


def _said(side: Mapping[str, Any], name: str) -> str | None:
    value = side.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and set(value) == {"octets", "sha256"}:
        return f"{value['octets']} octets, sha256 {value['sha256']}"
    return json.dumps(value, ensure_ascii=False)


def summary(row: Row) -> str:
    """What changed, in a line."""
    if row.action == "updated":
        parts = [f"{c.field}: {_none(c.before)} → {_none(c.after)}" for c in changes(row) if c.before != c.after]
        said = "; ".join(parts) or "what is never shown"
    elif row.action == "booked":
        booked = json.loads(row.after or "{}")
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(booked.get("kinds", {}).items()))
    else:
        named = {c.field: c.after or c.before for c in changes(row)}
        said = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None and name in NAMING)
    return said if len(said) <= SUMMARY else said[: SUMMARY - 1] + "…"


NAMING = ("chain", "symbol", "title", "subject", "status", "exchange", "name", "username", "display_name", "role", "access", "method", "rule", "value", "valid_from", "key", "kind", "ex_on",
          "on", "close", "price", "file_name", "booked", "custodian", "statement_on", "decision", "comment", "called", "rows")  # fmt: skip


def _none(said: str | None) -> str:
    return said or "nothing"


COLUMNS = (
    Column("at", "When", Kind.TIME, "UTC; when the change took effect"),
    Column("who", "Who", note="user name; for programs the role that they sign in as"),
    Column("action", "What", note="inserted, updated, deleted, booked"),
    Column("thing", "Of", note="the table, and the security or the key of the row where it is short"),
    Column("change", "Change"),
    Column("source", "From", note="page, api, csv, job, command, migration; database: by none of them", wide_only=True),
    Column("belongs", "Belongs to", note="the chain: a portfolio, master data or people and settings", wide_only=True),
    Column("address", "Address", note="of the client; for admins and who did it", wide_only=True),
    Column("request_id", "Request", note="for admins and who did it", wide_only=True),
    Column("task", "Task", wide_only=True),
    Column("entity", "Table", wide_only=True),
    Column("key", "Key", note="the key columns of the row, joined by /", wide_only=True),
    Column("before", "Before", note="JSON", wide_only=True),
    Column("after", "After", note="JSON", wide_only=True),
    Column("chain", "Chain", wide_only=True),
    Column("seq", "Row", Kind.COUNT, "its number in the chain", wide_only=True),
    Column("hash", "Hash", note="sha256 over the row and the hash before it", wide_only=True),
    Column(
        "digest", "Digest", note="sha256 of the whole row, where its address and request are withheld", wide_only=True
    ),
)


def belongs(chain: str, names: Mapping[str, str]) -> str:
    """A chain in words; `names`: those of portfolios by chain."""
    return {MASTER: "Master data", PEOPLE: "People and settings"}.get(chain) or names.get(chain, chain)


def security(row: Row) -> str | None:
    """The number of the security that a row is about, None where it is about none."""
    if row.entity == "securities":
        return row.entity_key or None
    side: dict[str, Any] = json.loads(row.after or row.before or "{}")
    number = side.get("security_id")
    return None if number is None else str(number)


def thing(row: Row, names: Mapping[str, str]) -> str:
    """What a row is about: the table with the security's symbol, or with the key where that is short."""
    number = security(row)
    which = names.get(f"security:{number}") or (row.entity_key if len(row.entity_key) <= SHORT else "")
    return f"{row.entity.replace('_', ' ')} {which}".strip()


def table(
    rows: Sequence[Row], context: Context, names: Mapping[str, str], empty: str = "Nothing was changed yet."
) -> Table:
    """Rows of the trail as a Table, in the order given. `names`: of portfolios by chain, of securities by "security:" and number."""
    cells = tuple(
        (r.at, r.actor_name, r.action, thing(r, names), summary(r), r.source, belongs(r.chain, names), r.address, r.request_id,
         None if r.task_id is None else str(r.task_id), r.entity, r.entity_key, r.before, r.after, r.chain, r.seq, r.hash.hex(),
         r.content and r.content.hex())
        for r in rows
    )  # fmt: skip
    return Table("audit", "Audit trail", COLUMNS, cells, context, empty=empty)


def as_json(row: Row) -> dict[str, Any]:
    """A row as the API has it: decimals as strings, hashes in hexadecimal."""
    return {
        "chain": row.chain,
        "seq": row.seq,
        "at": row.at.astimezone(UTC).isoformat(),
        "actor": None if row.actor is None else str(row.actor),
        "actor_name": row.actor_name,
        "action": row.action,
        "entity": row.entity,
        "entity_key": row.entity_key,
        "before": None if row.before is None else json.loads(row.before, parse_float=str),
        "after": None if row.after is None else json.loads(row.after, parse_float=str),
        "source": row.source,
        "address": row.address,
        "request_id": row.request_id,
        "task_id": None if row.task_id is None else str(row.task_id),
        "previous": row.previous.hex(),
        "hash": row.hash.hex(),
        "digest": None if row.content is None else row.content.hex(),
    }
