"""Importing ledgers: a file is recognised, judged row by row and booked in one transaction; it can be undone.

Where a file is read is core.recognition, which security it means core.matching. Idempotency: every row has a key made from what
it says and how often the file says it, so the same file, or the days that two statements share, add nothing twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID, uuid4

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from core import exporting, importing
from core.booking import impossible
from core.brokers import ColumnMap, Record
from core.counterparties import called
from core.decimal_ratios import taken_literally
from core.fx import day_of
from core.importing import NotReadable
from core.ledger import (
    KINDS,
    TRADES,
    Impossible,
    LedgerError,
    OverSold,
    Posting,
    Security,
    around,
    spoken,
)
from core.ratio import PAIR, in_ten_places, is_ratio, ratio_reading, ratio_text, read_ratio
from core.recognition import LEDGER, OWN, Recognised, recognise, settled
from core.trade_dates import Lifetime, doubts
from db import engine, import_maps
from db.import_securities import Choice, Names, Unknown
from db.ledger import Desk, complete, mark_moved, open_desk, refusals
from db.trade_dates import lifetimes

Progress = Callable[[float, str], None]
Outcome = Literal["book", "duplicate", "refused", "skipped"]
LARGEST = 32 * 2**20  # bytes of a file
LONGEST_KEY = 300  # characters of the key in the export of a ledger: an index holds it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one record of a file: "book", "duplicate" (it is in the ledger already), "refused" or "skipped" with the reason.

    `line` is where it stands in the file, `lines` all lines that it was made from; a second booking from one line has none.
    """

    line: int
    outcome: Outcome
    reason: str
    posting: Posting | None
    key: str
    lines: tuple[int, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    symbol: str = ""  # of the security that is meant, with its exchange where several have it
    warnings: tuple[str, ...] = ()  # what is odd about one to "book"; it is booked all the same


@dataclass(frozen=True, slots=True)
class Import:
    """The verdicts over a file, and how many rows were booked (0 in a dry run)."""

    verdicts: tuple[Verdict, ...]
    booked: int
    format: str = OWN
    title: str = ""
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()
    import_id: UUID | None = None
    closed: str = ""  # why no securities may be created; empty: they may

    def count(self, outcome: str) -> int:
        """Rows of one outcome."""
        return sum(v.outcome == outcome for v in self.verdicts)

    @property
    def warned(self) -> int:
        """Rows to book with a warning."""
        return sum(bool(v.warnings) for v in self.verdicts)


class NothingBooked(ValueError):
    """The file has rows that cannot be booked, and it was not asked to take the others."""


class NoSuchImport(LookupError):
    """There is no such import, or it booked nothing that could be undone."""


# --- the pipeline --------------------------------------------------------------------------------------------------


def import_file(
    user: UUID,
    portfolio: UUID,
    raw: bytes,
    file_name: str,
    today: date,
    *,
    dry_run: bool = True,
    take_good: bool = False,
    column_map: ColumnMap | UUID | None = None,
    choices: Mapping[str, Choice] | None = None,
    progress: Progress | None = None,
) -> Import:
    """Read a file of transactions, give a verdict per record and, unless `dry_run`, book it in one transaction.

    `column_map`: read the file under this map (or a kept one, by its id) instead of recognising it. `choices`: what to do about
    unknown securities, by their key; rows of one without a choice are refused. With refused rows nothing is booked unless
    `take_good`: NothingBooked. A record of several bookings is booked as a whole or not at all.

    Raises NotReadable (UnknownFormat where it has to be mapped), AccessDenied, NoSuchPortfolio, NoSuchMap, LedgerError for a choice.
    """
    say = progress or (lambda share, text: None)
    if len(raw) > LARGEST:
        raise NotReadable(f"the file is larger than {LARGEST // 2**20} MB: split it")
    with engine.session(user, source="csv") as c:
        c.execute("SET LOCAL statement_timeout = '300s'")
        desk = open_desk(c, portfolio, lock=not dry_run)
        kept = import_maps.kept(c, user)
        if isinstance(column_map, UUID):
            mine = [k for k in kept if k.map_id == column_map]
            if not mine:
                raise import_maps.NoSuchMap("there is no such column map, or it is somebody else's")
            column_map = mine[0].column_map
        say(0.02, "Reading the file")
        found = recognise(raw, kept, column_map)
        say(0.15, f"{found.title}: {len(found.records):,} rows")
        judge = _Judge(c, user, desk, found, choices or {}, file_name, today, say, create=not dry_run)
        verdicts = judge.verdicts()
        if dry_run:
            say(1.0, "Checked")
            return Import(verdicts, 0, found.format, found.title, judge.unknown, found.notes, closed=judge.names.closed)
        refused = sum(v.outcome == "refused" for v in verdicts)
        if refused and not take_good:
            raise NothingBooked(
                f"{refused} of {len(verdicts)} rows cannot be booked, so none was; correct them or choose to take the good ones"
            )
        order = [n for n in range(len(verdicts)) if n not in judge.late] + list(judge.late)
        good = [verdicts[n] for n in order if verdicts[n].outcome == "book"]
        say(0.75, f"Booking {len(good):,} transactions")
        number = uuid4()
        if good:
            _write(c, user, desk, [judge.placed(v) for v in good], f"import:{file_name}"[:200], number)
            mark_moved(c, portfolio, (v.posting.traded_on for v in good if v.posting), today)
        judge.keep_matches()
        c.execute(
            "INSERT INTO imports (portfolio_id, import_id, file_name, file_sha256, rows, booked, duplicates, refused, skipped, format, by) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (portfolio, number, file_name[:200], hashlib.sha256(raw).hexdigest(), len(verdicts), len(good),
             sum(v.outcome == "duplicate" for v in verdicts), refused, sum(v.outcome == "skipped" for v in verdicts), found.format, user),
        )  # fmt: skip
        say(1.0, f"Booked {len(good):,} transactions")
        return Import(
            verdicts, len(good), found.format, found.title, judge.unknown, found.notes, number, judge.names.closed
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A posting as it is written: its id, key, and what it refers to."""

    posting: Posting
    key: str
    id: UUID
    reverses: UUID | None = None
    corrects: UUID | None = None
    place: UUID | None = None
    link: UUID | None = None


class _Judge:
    """The verdicts on the records of one file."""

    def __init__(
        self,
        c: psycopg.Connection,
        user: UUID,
        desk: Desk,
        found: Recognised,
        choices: Mapping[str, Choice],
        file_name: str,
        today: date,
        say: Progress,
        create: bool,
    ) -> None:
        self.c, self.user, self.desk, self.found, self.choices = c, user, desk, found, choices
        self.today, self.say, self.create = today, say, create
        self.base = desk.portfolio.base_currency
        self.records = settled(found, self.base)
        self.whole = found.format == LEDGER
        self.names = Names(c, user, desk, found, self.records, choices, create, file_name, today)
        self.keys, self.ids, self.alias = self._keys()
        self.first: dict[UUID | None, int] = {}
        self.first_key: dict[str, int] = {}
        self.places: dict[str, _Placed] = {}
        self.late: dict[int, None] = {}  # rows that come last on their day
        self.traded: dict[int, Security] = {}  # the security that a row trades

    @property
    def unknown(self) -> tuple[Unknown, ...]:
        return self.names.unknown

    def _keys(self) -> tuple[_Keys, list[UUID | None], dict[UUID, UUID]]:
        """The keys in the ledger, the id that each record of a whole ledger brings, and ids that are another entry's here."""
        keys = _Keys(self.c, self.desk.portfolio.portfolio_id)
        ids: list[UUID | None] = []
        alias: dict[UUID, UUID] = {}
        for r in self.records if self.whole else ():
            number = None
            with suppress(LedgerError):  # said again, and caught, where the row is judged
                number = exporting.identity(r.cells, "id")
            ids.append(number)
            there = keys.holder(r.cells.get("key", ""))
            if number is not None and there is not None and number not in keys.ids and there != number:
                alias[number] = there
        return keys, ids, alias

    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each record, in their order."""
        records = self.records
        if self.whole:
            keys = [r.cells.get("key", "") or f"own:{n}" for r, n in zip(records, self.ids, strict=True)]
            for n, (number, key) in enumerate(zip(self.ids, keys, strict=True)):
                self.first.setdefault(number, n)
                self.first_key.setdefault(key, n)
        else:
            keys = list(importing.keys(content_of(r, self.found.format) for r in records))
        found: list[tuple[Posting | None, Outcome, str]] = []
        new: dict[int, Posting] = {}
        for n, (record, key) in enumerate(zip(records, keys, strict=True)):
            if n % 2000 == 0:
                self.say(0.15 + 0.45 * n / len(records), f"Checked {n:,} of {len(records):,} rows")
            if record.skipped:
                found.append((None, "skipped", record.skipped))
                continue
            try:
                found.append(self._one(n, record, key))
            except LedgerError as e:
                found.append((None, "refused", str(e)))
                continue
            posting, outcome, _ = found[-1]
            if outcome == "book" and posting is not None:
                new[n] = posting
                keys[n] = self.keys.free(self._key(record, key))
        self._as_the_holdings_allow(found, new)
        lives = lifetimes(self.c, (self.traded[n].security_id for n in new if n in self.traded))
        out = []
        for n, (record, key, (posting, outcome, reason)) in enumerate(zip(records, keys, found, strict=True)):
            symbol = self.desk.listings.spoken(posting.security_id) if posting and posting.security_id else ""
            verdict = Verdict(record.line, outcome, reason, posting, key, record.lines, record.cells, symbol, self._warnings(n, posting, lives))
            if outcome == "book" and posting is not None:
                self.places[key] = self._place(n, posting, key)
            out.append(verdict)
        return tuple(out)

    def _warnings(self, n: int, posting: Posting | None, lives: Mapping[int, Lifetime]) -> tuple[str, ...]:
        """What is odd about the date of a row that is to be booked."""
        security = self.traded.get(n)
        if posting is None or security is None:
            return ()
        odd = doubts(posting.kind, posting.traded_on, security, self.desk.sessions, lives.get(security.security_id))
        return tuple(map(str, odd))

    def _key(self, record: Record, key: str) -> str:
        """The key with the costs of a broker's record behind it: they may be told later than the rest."""
        return key if self.found.format in (OWN, LEDGER) else f"{key}~{costs_of(record)}"

    def _one(self, n: int, record: Record, key: str) -> tuple[Posting | None, Outcome, str]:
        """What a record says by itself. Raises LedgerError where it cannot be booked."""
        if self.whole:
            return self._restored(n, record, key)
        if self.keys.has(self._key(record, key)):
            return None, "duplicate", "it is in the ledger already"
        if record.error is not None:
            raise record.error
        if self.found.format != OWN and self.keys.has_else(key, costs_of(record)):
            raise LedgerError(
                "taxes", record.cells.get("taxes", ""), "this entry is in the ledger with other fees or taxes: correct it there, or reverse it"
            )  # fmt: skip
        meant, into = self.names.meant(record)
        if meant.left_out or into.left_out:
            return None, "skipped", "its security is left out, as you chose"
        if meant.error or into.error:
            raise meant.error or into.error  # type: ignore[misc]
        draft = importing.drafted(record.cells, meant.security, into.security, self.desk.currencies, self.base)
        if draft.security is not None and draft.kind in TRADES:
            self.traded[n] = draft.security
        said = (ratio_reading(record.cells.get("ratio", "")), self.names.renamed(record, meant.security))
        return complete(self.desk, draft, self.today), "book", "; ".join(filter(None, said))

    def _restored(self, n: int, record: Record, key: str) -> tuple[Posting | None, Outcome, str]:
        """A row of a whole ledger: it keeps its id."""
        if record.error is not None:
            raise record.error
        number = exporting.identity(record.cells, "id")
        if number is None:
            raise LedgerError("id", None, "every entry of a whole ledger has its id")
        if number in self.keys.ids or number in self.alias:
            return None, "duplicate", "it is in the ledger already"
        if self.first[number] != n:
            raise LedgerError("id", number, "two entries of the file have this id")
        if self.first_key[key] != n:
            raise LedgerError("key", key[:60], "two entries of the file have this key")
        if len(key) > LONGEST_KEY:
            raise LedgerError("key", key[:60], f"at most {LONGEST_KEY} characters")
        meant, into = self.names.meant(record)
        if meant.left_out or into.left_out:
            return None, "skipped", "its security is left out, as you chose"
        if meant.error or into.error:
            raise meant.error or into.error  # type: ignore[misc]
        posting = exporting.restored(
            record.cells, meant.security, into.security, self.desk.currencies, self.base, self.today
        )
        if posting.lots:
            posting = replace(posting, lots=tuple((self.alias.get(lot, lot), units) for lot, units in posting.lots))
        if posting.counterparty:
            posting = replace(posting, counterparty=called(posting.counterparty, self.desk.counterparties))
        for name in ("reverses", "corrects", "place", "link"):
            exporting.identity(record.cells, name)
        return posting, "book", ratio_reading(record.cells.get("ratio", "")) or ""

    def _as_the_holdings_allow(self, found: list[tuple[Posting | None, Outcome, str]], new: dict[int, Posting]) -> None:
        """Refuse, in place, what the holdings do not allow, and what belongs to a refused record."""
        self.say(0.62, "Checking that every sale has its units")
        packs: dict[int, list[int]] = {}
        for n, record in enumerate(self.records if self.found.format not in (OWN, LEDGER) else ()):
            packs.setdefault(record.line, []).append(n)
        several = [ns for ns in packs.values() if len(ns) > 1]
        while True:
            changed = self._refuse_packs(found, new, several)
            if self.whole:
                changed |= self._refuse_dangling(found, new)
            if changed:
                continue
            gone = self._reversed_by(new)
            first = [n for n in new if n not in self.late]
            ordered = [(n, new[n]) for n in (*first, *(n for n in self.late if n in new))]
            if self.whole:
                ordered.sort(key=lambda pair: self._stands(pair[0]))
            counted = [(n, p) for n, p in ordered if p.kind != "reversal" and self.ids_of(n) not in gone]
            desk = self.desk
            old = {g.bytes for g in gone}
            if gone and any(bytes(i) in old for i in desk.ledger.ids):
                left = [i for i in range(len(desk.ledger)) if bytes(desk.ledger.ids[i]) not in old]
                desk = replace(desk, ledger=desk.ledger.only(np.array(left, np.int64)))
            ids = {n: number for n, _ in counted if (number := self.ids_of(n)) is not None}
            if self._literally(found, new, [n for n, _ in counted]):
                continue
            refused = refusals(desk, counted, ids, strict=not self.whole)
            if not refused:
                return
            for n, error in refused.items():
                if n in self.late or self.whole:
                    found[n] = (None, "refused", self._spoken(error))
                    del new[n]
                else:  # once more, as the last of its day: statements do not always tell the order within it
                    self.late[n] = None

    def _literally(self, found: list[tuple[Posting | None, Outcome, str]], new: dict[int, Posting], order: list[int]) -> bool:
        """Ratios of our own files of before, read from decimals, that later entries take as the decimal stands: whether there are any."""
        texts = {n: self.records[n].cells.get("ratio", "") for n in order if self.found.format in (OWN, LEDGER)}
        decimals = {
            i: stands
            for i, n in enumerate(order)
            if n in texts and new[n].ratio is not None and not PAIR.fullmatch(texts[n].strip())
            if (stands := Fraction(Decimal(texts[n]))) != new[n].ratio and is_ratio(stands) and stands.denominator <= 10**10
        }
        places = taken_literally([new[n] for n in order], decimals) if decimals else frozenset()
        for i in places:
            n = order[i]
            new[n] = replace(new[n], ratio=decimals[i])
            found[n] = (new[n], "book", f"ratio {texts[n]} was read as {ratio_text(decimals[i])}: later entries take the units that it makes")
        return bool(places)

    def _spoken(self, error: Impossible) -> str:
        """Why, and what to do where the statement begins later than the account."""
        said = str(error)
        if isinstance(error, OverSold) and self.found.format not in (OWN, LEDGER):
            said += ". If the units were there before this statement begins, book them as a transfer in (with their cost and date) first"
        return said

    def _stands(self, n: int) -> int:
        """Where an entry of a whole ledger stands within its day: where it was written, or in the place of another."""
        of = exporting.identity(self.records[n].cells, "place")
        return self.first.get(of, n) if of is not None else n

    def ids_of(self, n: int) -> UUID | None:
        return self.ids[n] if self.whole else None

    def _refuse_packs(
        self, found: list[tuple[Posting | None, Outcome, str]], new: dict[int, Posting], packs: list[list[int]]
    ) -> bool:
        """Bookings of one line go together."""
        changed = False
        for pack in packs:
            outcomes = {found[n][1] for n in pack}
            outcome: Outcome = "refused" if "refused" in outcomes else "skipped"
            if outcome not in outcomes:
                continue
            why = f"it belongs to another booking of line {self.records[pack[0]].line}, which is {outcome}"
            for n in pack:
                if n in new:
                    found[n] = (None, outcome, why)
                    del new[n]
                    changed = True
        return changed

    def _refuse_dangling(self, found: list[tuple[Posting | None, Outcome, str]], new: dict[int, Posting]) -> bool:
        """Of a whole ledger: what reverses or corrects an entry that is nowhere."""
        here = {self.ids[n] for n in new} | self.keys.ids
        reversed_here = set[UUID]()
        changed = False
        for n in list(new):
            for name in ("reverses", "corrects", "place"):
                of = exporting.identity(self.records[n].cells, name)
                of = self.alias.get(of, of) if of else None
                wrong = "" if of is None or of in here else "that entry is neither in the file nor in the ledger"
                if name == "reverses" and not wrong:
                    if (of is None) == (new[n].kind == "reversal"):
                        wrong = "a reversal, and nothing else, names the entry that it reverses"
                    elif of is not None and of in self.keys.reversed:
                        wrong = "that entry is reversed in the ledger already"
                    elif of in reversed_here:
                        wrong = "another entry of the file reverses it already"
                    elif of is not None:
                        reversed_here.add(of)
                if wrong:
                    found[n] = (None, "refused", str(LedgerError(name, of, wrong)))
                    del new[n]
                    changed = True
                    break
        return changed

    def _reversed_by(self, new: Mapping[int, Posting]) -> set[UUID]:
        """The entries that reversals of this file take out."""
        out = set()
        for n, p in new.items():
            if p.kind == "reversal":
                of = exporting.identity(self.records[n].cells, "reverses")
                if of is not None:
                    out.add(self.alias.get(of, of))
        return out

    def _place(self, n: int, posting: Posting, key: str) -> _Placed:
        if not self.whole:
            return _Placed(posting, key, uuid4())
        cells = self.records[n].cells
        refs = {name: exporting.identity(cells, name) for name in ("reverses", "corrects", "place", "link")}
        refs = {name: self.alias.get(of, of) if of else None for name, of in refs.items()}
        number = self.ids[n]
        assert number is not None
        return _Placed(posting, key, number, **refs)

    def placed(self, v: Verdict) -> _Placed:
        """A verdict "book" as it is written."""
        return self.places[v.key]

    def keep_matches(self) -> None:
        """Keep what was chosen of securities, so that the next file of this source matches by itself."""
        for name, security in self.names.kept_as():
            self.c.execute(
                "INSERT INTO security_matches (user_id, source, called, security_id, created_by) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (user_id, source, called) DO UPDATE SET security_id = EXCLUDED.security_id",
                (self.user, self.found.source, name, security, self.user),
            )


# what of a record makes it this record: not its note, name, time or settlement, which a broker may word anew
_CONTENT = ("date", "kind", "symbol", "exchange", "isin", "quantity", "price", "gross", "currency", "ratio", "into",
            "reference", "account")  # fmt: skip
_COSTS = ("fees", "taxes", "fx")


def content_of(record: Record, form: str) -> tuple[str, ...]:
    """What the key of a record is made from: our own format's reference or all its cells; of a broker what tells its event apart."""
    cells = record.cells
    if form == OWN:
        if cells.get("reference"):
            return (f"ref:{cells['reference']}",)
        # the counterparty came later: rows without one keep the keys under which they were booked before
        through = " ".join(cells.get("counterparty", "").casefold().split())
        own = (*(cells.get(n, "") for n in importing.COLUMNS if n != "counterparty"), through)
        return own if through else own[:-1]
    name = cells.get("name", "") if not (cells.get("symbol") or cells.get("isin")) else ""
    gross = "" if cells.get("price") and cells.get("quantity") else cells.get("gross", "")
    cells = {**cells, "gross": gross, "ratio": _ratio_of_before(cells.get("ratio", ""))}
    return (form, name, *(cells.get(n, "") for n in _CONTENT))


def _ratio_of_before(text: str) -> str:
    """A ratio as it stood in keys before it was two numbers, so that a file booked then is known: 1/3 as 0.3333333333."""
    try:
        ratio = read_ratio(text) if PAIR.fullmatch(text) else None
    except LedgerError:
        return text
    return text if ratio is None else importing.plain(in_ten_places(ratio))


def costs_of(record: Record) -> str:
    """A short digest of what a broker's record says of costs."""
    return hashlib.sha256("\x1f".join(record.cells.get(n, "") for n in _COSTS).encode()).hexdigest()[:8]


_GENERATION = re.compile(r"\^(\d+)$")


class _Keys:
    """The idempotency keys of a ledger. What an undone import booked is not there: it may be booked again, under key^2, key^3 …"""

    def __init__(self, c: psycopg.Connection, portfolio: UUID) -> None:
        self.ids: set[UUID] = set()
        self.reversed: set[UUID] = set()
        self._holder: dict[str, UUID] = {}
        self._costs: dict[str, set[str]] = {}
        self._last: dict[str, int] = {}
        rows = c.execute(
            "SELECT t.transaction_id, t.idempotency_key, r.transaction_id IS NOT NULL, coalesce(r.idempotency_key LIKE 'undo:%%', false) "
            "FROM transactions t LEFT JOIN transactions r ON r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id "
            "WHERE t.portfolio_id = %s",
            (portfolio,),
        ).fetchall()
        for number, key, is_reversed, undone in rows:
            self.ids.add(number)
            if is_reversed:
                self.reversed.add(number)
            found = _GENERATION.search(key)
            bare = key[: found.start()] if found else key
            self._last[bare] = max(self._last.get(bare, 0), int(found[1]) if found else 1)
            if not undone:
                self._holder[bare] = number
                first, tilde, costs = bare.partition("~")
                if tilde:
                    self._costs.setdefault(first, set()).add(costs)

    def has(self, key: str) -> bool:
        return key in self._holder

    def has_else(self, key: str, costs: str) -> bool:
        """Whether the same is there with other costs."""
        return bool(self._costs.get(key, set()) - {costs})

    def holder(self, key: str) -> UUID | None:
        return self._holder.get(_GENERATION.sub("", key))

    def free(self, key: str) -> str:
        """The key under which this is booked."""
        bare = _GENERATION.sub("", key)
        return f"{bare}^{self._last[bare] + 1}" if bare in self._last else key


_STAGED = ("kind", "security_id", "quantity", "price", "ratio_new", "ratio_old", "gross", "fees", "taxes", "currency", "fx", "net", "cash_currency",
           "traded_on", "settles_on", "note", "into_id", "fraction", "basis", "basis_base", "acquired_on")  # fmt: skip
_REFERS = ("counterparty_id", "lots", "reverses", "corrects", "link", "idempotency_key", "transaction_id")


def _write(c: psycopg.Connection, user: UUID, desk: Desk, rows: Sequence[_Placed], source: str, number: UUID) -> None:
    """COPY into the ledger, in the order given. A link becomes one of this installation: the same on those that name it."""
    portfolio = desk.portfolio.portfolio_id
    links: dict[UUID, UUID] = {}
    cash = _cash_of_reversed(c, portfolio, rows)
    columns = ", ".join((*_STAGED, *_REFERS))
    with c.cursor() as cursor:  # COPY cannot fill a table with row-level security: see db.ledger
        cursor.execute("DROP TABLE IF EXISTS arriving")
        cursor.execute(
            f"CREATE TEMP TABLE arriving ON COMMIT DROP AS SELECT 0::bigint AS n, {columns}, NULL::uuid AS place_of FROM transactions WITH NO DATA"
        )
        with cursor.copy(f"COPY arriving (n, {columns}, place_of) FROM STDIN") as copy:
            for n, row in enumerate(rows):
                p = row.posting
                if row.reverses is not None:
                    p = replace(p, cash_currency=cash.get(row.reverses, p.cash_currency))
                lots = Jsonb([[str(lot), format(units, "f")] for lot, units in p.lots]) if p.lots else None
                link = links.setdefault(row.link, uuid4()) if row.link is not None else None
                values = (getattr(p, name) for name in _STAGED)
                through = desk.counterparties[p.counterparty] if p.counterparty else None
                copy.write_row(
                    (n, *values, through, lots, row.reverses, row.corrects, link, row.key, row.id, row.place)
                )
        for first, behind in _batches(rows):
            cursor.execute(
                f"INSERT INTO transactions (portfolio_id, {columns}, place, source, import_id, recorded_by) SELECT %(p)s, {columns}, "
                "(SELECT x.seq FROM transactions x WHERE x.portfolio_id = %(p)s AND x.transaction_id = a.place_of), %(source)s, %(import)s, %(by)s "
                "FROM arriving a WHERE n >= %(first)s AND n < %(behind)s ORDER BY n",
                {"p": portfolio, "source": source, "import": number, "by": user, "first": first, "behind": behind},
            )


def _batches(rows: Sequence[_Placed]) -> list[tuple[int, int]]:
    """(first, behind) of what is inserted at once: an entry that takes the place of another comes after that one."""
    starts, waiting = [0], set[UUID]()
    for n, row in enumerate(rows):
        if row.place is not None and row.place in waiting:
            starts.append(n)
            waiting = set()
        waiting.add(row.id)
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))


def _cash_of_reversed(c: psycopg.Connection, portfolio: UUID, rows: Iterable[_Placed]) -> dict[UUID, str]:
    """The cash currency of what is reversed, in the file or in the ledger."""
    wanted = [r.reverses for r in rows if r.reverses is not None]
    if not wanted:
        return {}
    there = c.execute(
        "SELECT transaction_id, cash_currency FROM transactions WHERE portfolio_id = %s AND transaction_id = ANY (%s)",
        (portfolio, wanted),
    ).fetchall()
    return {r.id: r.posting.cash_currency for r in rows} | dict(there)


# --- undoing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """An import that was made: what came of it, and how many of its entries still count."""

    import_id: UUID
    file_name: str
    format: str
    at: Any
    by: str
    rows: int
    booked: int
    duplicates: int
    refused: int
    skipped: int
    standing: int


def done(user: UUID, portfolio: UUID, limit: int = 20) -> list[Done]:
    """The imports into a portfolio, newest first."""
    with engine.session(user) as c:
        rows = c.execute(
            """SELECT i.import_id, i.file_name, i.format, i.at, u.display_name, i.rows, i.booked, i.duplicates, i.refused, i.skipped,
                      (SELECT count(*) FROM transactions t WHERE t.portfolio_id = i.portfolio_id AND t.import_id = i.import_id AND t.kind <> 'reversal'
                          AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id))
                 FROM imports i JOIN users u ON u.user_id = i.by WHERE i.portfolio_id = %s ORDER BY i.at DESC LIMIT %s""",
            (portfolio, limit),
        ).fetchall()
    return [Done(*row) for row in rows]


def undo(user: UUID, portfolio: UUID, import_id: UUID) -> int:
    """Book the reversal of all that an import booked and that still stands, all or none; how many. Its file may then be imported
    again. Raises NoSuchImport, LedgerError where later entries need its units, AccessDenied, NoSuchPortfolio."""
    with engine.session(user) as c:
        c.execute("SET LOCAL statement_timeout = '300s'")
        desk = open_desk(c, portfolio, lock=True)
        rows = c.execute(
            """SELECT transaction_id, security_id, into_id, traded_on FROM transactions t
                WHERE portfolio_id = %s AND import_id = %s AND kind <> 'reversal'
                  AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)""",
            (portfolio, import_id),
        ).fetchall()
        if not rows:
            raise NoSuchImport("nothing that this import booked still stands: there is nothing to undo")
        gone = {number.bytes for number, *_ in rows}
        touched = {s for _, security, into, _ in rows for s in (security, into) if s}
        part = desk.ledger.only(around(desk.ledger, touched)) if touched else None
        if part is not None:
            left = part.only(np.array([i for i in range(len(part)) if bytes(part.ids[i]) not in gone], np.int64))
            try:
                impossible(left, np.zeros(len(left), np.bool_), [desk.portfolio.dated_methods])
            except Impossible as e:
                later = f"{spoken(KINDS[int(left.kind[e.row])])} of {day_of(int(left.traded_on[e.row]))}"
                raise LedgerError("import", "", f"later entries need its units ({later}): reverse those first") from e
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, security_id, currency, net, cash_currency, traded_on, settles_on, note, reverses, "
            "idempotency_key, source, recorded_by) SELECT portfolio_id, 'reversal', security_id, currency, 0, cash_currency, traded_on, traded_on, "
            "'import undone', transaction_id, 'undo:' || transaction_id, 'undo', %s FROM transactions "
            "WHERE portfolio_id = %s AND transaction_id = ANY (%s) ORDER BY seq",
            (user, portfolio, [number for number, *_ in rows]),
        )
        mark_moved(c, portfolio, (on for *_, on in rows), None)
        return len(rows)
