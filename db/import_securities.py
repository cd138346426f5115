"""Which securities a file means: matched by core.matching, kept from an earlier file, chosen now, created, or unknown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from uuid import UUID

import psycopg

from core import matching, plans
from core.brokers import Record
from core.brokers.totals import IN_ITS_OWN
from core.importing import day
from core.ledger import (
    WITH_SECURITY,
    LedgerError,
    Security,
)
from core.listings import several
from core.master import Known, SecurityDraft, as_symbol, checked
from core.matching import Candidate, Listed, Master, Named, NewSecurity
from core.recognition import LEDGER, OWN, Recognised
from db import master as db_master
from db.access import AccessDenied
from db.ledger import Desk


@dataclass(frozen=True, slots=True)
class Unknown:
    """A security that a file names and the master does not have for certain. `key` is what a choice about it is given under."""

    key: str
    named: Named
    rows: int
    candidates: tuple[Candidate, ...]
    proposed: NewSecurity
    choice: str = ""  # what the caller said: use, create, skip
    fault: str = ""  # why it cannot be created so; its rows are refused
    note: str = ""  # what the file says of it that is not proposed, and why


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do about an unknown security: use that one, create this one, or leave its rows out (neither)."""

    use: int | None = None
    create: NewSecurity | None = None


@dataclass(slots=True)
class Meant:
    """What a record's names stand for: the security, or why its rows are refused or left out."""

    security: Security | None = None
    error: LedgerError | None = None
    left_out: bool = False


_PRICED = frozenset({*IN_ITS_OWN, "transfer_in", "transfer_out", "return_of_capital"})


def _day_of(r: Record) -> date | None:
    """The day of a record; None where its cell is no date, which is said where the row is judged."""
    with suppress(LedgerError):
        return day("date", r.cells.get("date", ""))
    return None


class Names:
    """Which securities the records of a file mean: matched, kept from an earlier file, chosen now, or unknown."""

    def __init__(
        self,
        c: psycopg.Connection,
        user: UUID,
        desk: Desk,
        found: Recognised,
        records: Sequence[Record],
        choices: Mapping[str, Choice],
        create: bool,
        file_name: str,
        today: date,
    ) -> None:
        self.c, self.desk, self.found, self.choices, self.create = c, desk, found, choices, create
        self.file_name, self.today = file_name, today
        self.base, self.own = desk.portfolio.base_currency, found.format in (OWN, LEDGER)
        isins: dict[int, str] = dict(
            c.execute("SELECT security_id, isin FROM securities WHERE isin IS NOT NULL").fetchall()
        )
        every = {s.security_id: s for s in desk.listings.every}
        self.by_number = every
        self.master = Master((Listed(s, isins.get(n)) for n, s in every.items()), desk.listings.spans)
        self.kept: dict[str, int] = dict(
            c.execute(
                "SELECT called, security_id FROM security_matches WHERE source = %s ORDER BY user_id NULLS FIRST",
                (found.source,),
            ).fetchall()
        )
        self.exchanges: dict[str, str] = dict(c.execute("SELECT exchange, currency FROM exchanges").fetchall())
        self.chosen: dict[str, int] = {}
        self.created: set[str] = set()  # listings
        self._meant: dict[tuple[str, ...], Meant] = {}
        self._root: dict[str, str] = {}
        self._isins: dict[str, dict[str, None]] = {}
        self._currencies: dict[str, dict[str, None]] = {}
        self._foreign: set[str] = set()
        self._learn(records)
        self.unknown = self._decide(records)

    def _learn(self, records: Sequence[Record]) -> None:
        """What the file as a whole says: which symbols and ISINs are one security, the currency in which it trades."""
        for r in records:
            nodes = self._nodes(r, "symbol")
            for node in nodes:
                self._root.setdefault(node, node)
            if len(nodes) == 2 and self._one_of(nodes[0]) != self._one_of(nodes[1]):
                self._root[self._one_of(nodes[1])] = self._one_of(nodes[0])
        for r in records:
            for node in self._nodes(r, "symbol"):
                if node.startswith("isin:"):
                    self._isins.setdefault(self._one_of(node), {})[node[5:]] = None
        for r in records:
            if not (r.books and r.cells.get("kind") in _PRICED and (found := self._who(r, "symbol"))):
                continue
            if currency := r.cells.get("currency", "").upper():
                self._currencies.setdefault(found[0], {})[currency] = None
            elif r.cells.get("fx"):
                self._foreign.add(found[0])

    def _one_of(self, node: str) -> str:
        """What stands for all names of one security in this file."""
        while (up := self._root.get(node, node)) != node:
            node = up
        return node

    def _nodes(self, r: Record, field: str) -> list[str]:
        """The names of a record's security, each as one word."""
        cells = r.cells
        symbol, exchange = cells.get(field, "").upper(), cells.get("exchange", "").upper()
        out = [f"isin:{isin}"] if field == "symbol" and (isin := cells.get("isin", "").upper()) else []
        if symbol:
            here, anywhere = f"symbol:{exchange}:{symbol}", f"symbol::{symbol}"
            out.append(anywhere if field == "into" and here not in self._root else here)
        elif not out and field == "symbol" and (name := cells.get("name", "")) and cells.get("kind") in WITH_SECURITY:
            out.append(f"name:{name}")
        return out

    def _who(self, r: Record, field: str) -> tuple[str, Named] | None:
        """(what identifies it in this file, what is said of it) of the security in a cell; None where there is none."""
        nodes = self._nodes(r, field)
        if not nodes:
            return None
        who, cells = self._one_of(nodes[0]), r.cells
        isin = next(iter(self._isins.get(who, ())), "")
        name = cells.get("name", "") if field == "symbol" else ""
        return who, Named(cells.get(field, "").upper(), cells.get("exchange", "").upper(), isin, name)

    def named(self, r: Record, field: str) -> Named | None:
        """What a record says of its security, with the currency that it trades in, as far as the file tells."""
        found = self._who(r, field)
        if found is None:
            return None
        who, named = found
        currency = r.cells.get("currency", "").upper() if r.cells.get("kind") in _PRICED else ""
        if not currency and field == "into":  # it trades in the currency of what it comes from
            from_ = self.named(r, "symbol")
            currency = from_.currency if from_ else ""
        if not currency:
            currency = next(iter(self._currencies.get(who, ())), "")
        if not currency and not self.own and who not in self._foreign and r.cells.get("kind") in _PRICED:
            currency = self.base  # the file says no currency and no rate: cash moved as the price says
        return replace(named, currency=currency)

    def meant(self, r: Record) -> tuple[Meant, Meant]:
        """The record's security, and what it ends in."""
        return self._one(r, "symbol"), self._one(r, "into")

    def _signature(self, r: Record, field: str) -> tuple[str, ...]:
        c = r.cells
        on = c.get("date", "") if self.master.is_dated(Named(c.get(field, ""), c.get("exchange", ""))) else ""
        return (field, c.get(field, ""), c.get("exchange", ""), c.get("isin", "") if field == "symbol" else "",
                c.get("name", "") if field == "symbol" else "", c.get("currency", ""), c.get("kind", ""), on)  # fmt: skip

    def _one(self, r: Record, field: str) -> Meant:
        if not (r.cells.get(field) or (field == "symbol" and (r.cells.get("isin") or r.cells.get("name")))):
            return Meant()
        signature = self._signature(r, field)
        if (known := self._meant.get(signature)) is None:
            known = self._meant[signature] = self._resolve(r, field)
        return known

    def _match(self, named: Named, field: str, on: date | None) -> Security | None:
        """The security, by an earlier choice or by what is said of it on its day. A whole ledger of ours says what it is called now."""
        for called in self._called(named):
            if (number := self.kept.get(called.key)) is not None and number in self.by_number:
                return self.by_number[number]
        find = self.master.into if field == "into" else self.master.find
        for at in (None, on) if self.found.format == LEDGER else (on,):
            for called in self._called(named):
                found = find(called, at) or (find(replace(called, currency=""), at) if self.own else None)
                if found is not None:
                    return found
        return None

    def _called(self, named: Named) -> list[Named]:
        """A name under each ISIN that the file has for it: a reverse split gives a new one."""
        if not named.isin:
            return [named]
        return [
            replace(named, isin=isin)
            for isin in self._isins.get(self._one_of(f"isin:{named.isin}"), {named.isin: None})
        ]

    def _resolve(self, r: Record, field: str) -> Meant:
        named = self.named(r, field)
        if named is None:
            return Meant()
        found = self._match(named, field, _day_of(r))
        if found is not None:
            return Meant(found)
        decided = self._decided.get(named.key)
        if decided is not None:
            return decided
        return Meant(
            None, LedgerError(field, named.symbol or named.isin or named.name, self._why_not(named, _day_of(r)))
        )

    def _why_not(self, named: Named, on: date | None) -> str:
        """Why a name means no security for certain, and the ways on."""
        ways = "choose which one is meant, create it, or leave its rows out"
        same = sorted(
            (s for s in self.by_number.values() if s.symbol == named.symbol and not named.exchange),
            key=lambda s: s.exchange,
        )
        if len(same) > 1:
            return f"{several(named.symbol, [s.exchange for s in same])}, or {ways}"
        if same:
            return f"it may be {same[0].exchange}:{same[0].symbol}: {ways}"
        if had := self.master.had(named):
            now = had[0].security
            return f"nobody had it on {on}: until {had[0].until} it was what is {now.exchange}:{now.symbol} now; {ways}"
        where = f" on {named.exchange}" if named.exchange else ""
        return f"no such security{where}: {ways}"

    def renamed(self, r: Record, meant: Security | None) -> str:
        """What a symbol of a record is now, where its security has another one by now; empty where it has not."""
        named = Named(r.cells.get("symbol", ""), r.cells.get("exchange", "").upper())
        if meant is None or not named.symbol or not self.master.is_dated(named):
            return ""
        symbol = matching.place(named, self.master.exchanges)[0]
        if matching.spelled(meant.symbol) in (symbol, matching.spelled(named.symbol)):
            return ""
        return f"{named.symbol.upper()} is {meant.exchange}:{meant.symbol} now"

    def _decide(self, records: Sequence[Record]) -> tuple[Unknown, ...]:
        """The unknown securities, with what was chosen about them carried out."""
        self._decided: dict[str, Meant] = {}
        seen: dict[tuple[str, ...], Named | None] = {}
        wanted = self._wanted = dict[str, Named]()
        rows: dict[str, int] = {}
        for r in records:
            if not r.books:
                continue
            for field_ in ("symbol", "into"):
                if not (r.cells.get(field_) or (field_ == "symbol" and (r.cells.get("isin") or r.cells.get("name")))):
                    continue
                signature = self._signature(r, field_)
                if signature not in seen:
                    named = self.named(r, field_)
                    seen[signature] = named if named and self._match(named, field_, _day_of(r)) is None else None
                if (who := seen[signature]) is not None:
                    rows[who.key] = rows.get(who.key, 0) + 1
                    old = wanted.get(who.key, who)
                    wanted[who.key] = replace(
                        old,
                        symbol=old.symbol or who.symbol,
                        exchange=old.exchange or who.exchange,
                        name=max(old.name, who.name, key=len),
                    )
        out, provisional = [], -1
        taken = {(s.exchange, s.symbol) for s in self.by_number.values()}
        for key, named in wanted.items():
            root = self._one_of(f"isin:{named.isin}" if named.isin else f"symbol:{named.exchange}:{named.symbol}")
            new = matching.proposed(named, self.base, self.exchanges, root in self._foreign)
            if (new.exchange, new.symbol) in taken:
                whole = as_symbol(named.symbol)[:32]  # with what says the exchange
                if not whole or (new.exchange, whole) in taken:
                    whole = f"{new.symbol[:19]}.{named.isin or new.currency}"
                new = replace(new, symbol=whole)
            taken.add((new.exchange, new.symbol))
            choice = self.choices.get(key)
            said = fault = ""
            if choice is not None:
                said = "use" if choice.use is not None else "create" if choice.create is not None else "skip"
                meant = self._decided[key] = self._carried_out(key, choice, provisional)
                fault = str(meant.error or "")
                provisional -= 1
            lost = named.isin != new.isin and f"the ISIN {named.isin} is left out: its check digit or form is wrong"
            out.append(Unknown(key, named, rows[key], self.master.candidates(named), new, said, fault, lost or ""))
        return tuple(sorted(out, key=lambda u: (-u.rows, u.key)))

    def kept_as(self) -> list[tuple[str, int]]:
        """(name, security) of every choice, under each ISIN that the file has for it."""
        return [
            (called.key, number) for key, number in self.chosen.items() for called in self._called(self._wanted[key])
        ]

    def _carried_out(self, key: str, choice: Choice, provisional: int) -> Meant:
        if choice.use is not None:
            if choice.use not in self.by_number:
                raise LedgerError("matches", choice.use, "there is no security of this number")
            self.chosen[key] = choice.use
            return Meant(self.by_number[choice.use])
        if choice.create is None:
            return Meant(left_out=True)
        if self.closed:
            return Meant(None, LedgerError("symbol", choice.create.symbol, self.closed))
        try:
            return Meant(self._made(key, choice.create, provisional))
        except LedgerError as e:
            return Meant(None, e)

    def _made(self, key: str, wanted: NewSecurity, number: int) -> Security:
        """A security that a file creates, under a provisional number where nothing is booked. Raises LedgerError."""
        new = self._draft(wanted)
        if new.listing in self.created:
            raise LedgerError(
                "symbol", new.symbol, f"this file creates it on {new.exchange} already: choose another symbol"
            )
        if self.create:
            number = self.chosen[key] = propose_security(self.c, new, self.file_name, self.today)
        self.created.add(new.listing)
        security = Security(number, new.symbol, new.name, new.exchange, new.currency, new.asset_class)
        self.desk.listings.add(security)
        return security

    @cached_property
    def closed(self) -> str:
        """Why securities that are not known may not be created; empty: they may, or all are known."""
        return closed_to(self.c) if self._wanted else ""

    @cached_property
    def _master(self) -> Known:
        return db_master.known_of(self.c)

    def _draft(self, new: NewSecurity) -> SecurityDraft:
        """A security to create, by the rules of the master. Raises LedgerError."""
        draft, faults = checked(asdict(new), self._master)
        if draft is None:
            fault = faults[0]
            raise LedgerError(fault.field, fault.value, fault.expected)
        return draft


def propose_security(c: psycopg.Connection, draft: SecurityDraft, file_name: str, today: date) -> int:
    """Add a security that a file names, with the record of it among the tasks; its number.

    Raises LedgerError where the symbol is taken, AccessDenied for those who may not add securities (alone).
    """
    plan = replace(plans.addition(draft, today, "import"), steps=plans.adding([draft], today, "import"), claim=None)
    try:
        with c.transaction():
            row = c.execute(
                "SELECT propose_security(%s, %s, %s)",
                (json.dumps(plan.as_json()), json.dumps(db_master.about(c, plan)), file_name[:200]),
            ).fetchone()
    except psycopg.errors.InsufficientPrivilege as e:
        raise AccessDenied(e.diag.message_primary or "you may not add securities") from e
    if row is None or row[0] is None:
        raise LedgerError(
            "symbol",
            draft.symbol,
            f"another security has this symbol on {draft.exchange}: choose it, or another symbol",
        )
    number: int = row[0]
    return number


def closed_to(c: psycopg.Connection) -> str:
    """Why this person's files may not create securities; empty: they may."""
    row = c.execute("SELECT may('add'), policy() -> 'four_eyes' ? 'add'").fetchone()
    if row is None or not row[0]:
        return "your role may not add securities: ask somebody who may"
    return "a second person approves every new security: add it under Securities first" if row[1] else ""
