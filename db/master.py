"""The security master for those who change it: what exists, and the plans of changes. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core import plans, removal
from core.fx import day_number
from core.ledger import UNITS
from core.lots import held
from core.master import (
    ELSEWHERE,
    MASTER_FIELDS,
    DuplicateSymbol,
    InvalidField,
    Known,
    Listed,
    MasterError,
    SecurityDraft,
    StillReferenced,
    checked,
)
from core.plans import Plan
from core.removal import Reference
from core.taxonomy import sector_of
from core.upkeep import standing_step
from core.valuation import lots_of
from db import books, engine
from db.access import User
from db.books import NoSuchSecurity
from db.edits import still
from settings import settings

FIRST = date(1700, 1, 1)  # before any exchange
CHILDREN = ("security_symbols", "security_classifications", "asset_prices", "price_history", "price_arrays", "corporate_actions", "security_matches")  # fmt: skip


class BadSecurity(ValueError):
    """Fields of a security are wrong; `faults` holds each of them."""

    def __init__(self, faults: list[MasterError]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(f) for f in faults))


def known(user: User) -> Known:
    """What exists now."""
    with engine.session(user.user_id) as c:
        return known_of(c)


def known_of(c: psycopg.Connection, today: date | None = None) -> Known:
    """The same on an open connection."""
    listed = [
        Listed(*row)
        for row in c.execute(
            "SELECT security_id, symbol, exchange, asset_class, isin, status FROM securities"
        ).fetchall()
    ]
    return Known(
        dict(c.execute("SELECT exchange, currency FROM exchanges ORDER BY 1").fetchall()) | {ELSEWHERE: settings.currency},
        frozenset(r[0] for r in c.execute("SELECT currency FROM currencies").fetchall()),
        dict(c.execute("SELECT country, name FROM countries ORDER BY 1").fetchall()),
        dict(c.execute("SELECT asset_class, tradable FROM asset_classes ORDER BY 1").fetchall()),
        {(s, i, b): n for s, i, b, n in c.execute("SELECT sector, industry, subsector, sector_id FROM sectors ORDER BY 1, 2, 3").fetchall()},
        {f"{x.exchange}:{x.symbol}": x for x in listed},
        today or datetime.now(UTC).date(),
        _former(c),
    )  # fmt: skip


def _former(c: psycopg.Connection) -> dict[str, list[tuple[int, date]]]:
    """Who had each symbol until when, by listing: what has it now is not among them."""
    out: dict[str, list[tuple[int, date]]] = {}
    for listing, number, until in c.execute(
        "SELECT y.exchange || ':' || y.symbol, y.security_id, min(n.valid_from) FROM security_symbols y JOIN security_symbols n "
        "ON n.security_id = y.security_id AND n.valid_from > y.valid_from GROUP BY y.exchange, y.symbol, y.security_id, y.valid_from"
    ).fetchall():
        out.setdefault(listing, []).append((number, until))
    return out


_NOW = "SELECT security_id, exchange || ':' || symbol FROM securities WHERE {} OR security_id = %(n)s ORDER BY 2"
# of several that had one listing at different times the last
_ONCE = (
    "SELECT security_id, max(listing) FROM (SELECT DISTINCT ON (exchange, symbol) security_id, exchange || ':' || symbol AS listing "
    "FROM security_symbols WHERE {} ORDER BY exchange, symbol, valid_from DESC, security_id DESC) y GROUP BY 1 ORDER BY 2"
)


def _one(c: psycopg.Connection, text: str, query: str) -> int | None:
    """The one security that a text names; None where there is none. Raises NoSuchSecurity where there are several.

    Digits may be a number or a symbol: where both exist, neither is taken for meant. ID:700 is the number and nothing else.
    """
    exchange, colon, symbol = text.rpartition(":")
    digits = symbol if exchange == "ID" else text
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
    named = "symbol = %(s)s AND exchange = %(x)s" if colon else "symbol = %(s)s"
    rows = c.execute(query.format(named), {"s": symbol, "x": exchange, "n": number}).fetchall()
    if len(rows) > 1:
        listings = (listing if number is None else f"{listing} (ID:{n})" for n, listing in rows)
        raise NoSuchSecurity(f"security {text!r}: say which one: {', '.join(listings)}")
    return rows[0][0] if rows else None


def number_of(c: psycopg.Connection, said: int | str) -> int:
    """The number of the security that a number, or a text with a number, SYMBOL or EXCHANGE:SYMBOL, names now. Raises NoSuchSecurity."""
    if isinstance(said, int):
        row = c.execute("SELECT security_id FROM securities WHERE security_id = %s", (said,)).fetchone()
        found = row[0] if row else None
    else:
        said = said.strip().upper()
        found = _one(c, said, _NOW)
    if found is None:
        once = None if isinstance(said, int) else _one(c, said, _ONCE)
        now = f": it is {'{exchange}:{symbol}'.format_map(fields_of(c, once))} now" if once else ""
        raise NoSuchSecurity(f"there is no security {said!r}{now}")
    return int(found)


def listed(exist: Known, number: int) -> Listed:
    """The security of a number. Raises NoSuchSecurity where it went since the number was read."""
    if (found := exist.by_number.get(number)) is None:
        raise NoSuchSecurity(f"there is no security {number}")
    return found


def fields_of(c: psycopg.Connection, number: int) -> dict[str, Any]:
    """The row of `securities` with the names of its sector, by column. Raises NoSuchSecurity."""
    with c.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT s.*, d.sector, nullif(d.industry, '') AS industry, nullif(d.subsector, '') AS subsector "
            "FROM securities s LEFT JOIN sectors d USING (sector_id) WHERE security_id = %s",
            (number,),
        ).fetchone()
    if row is None:
        raise NoSuchSecurity(f"there is no security {number}")
    return row


@dataclass(frozen=True, slots=True)
class Symbol:
    """What a security is called from a day on."""

    valid_from: date
    symbol: str
    exchange: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Classification:
    """How a security is classified from a day on; of several for one day the last recorded holds."""

    valid_from: date
    asset_class: str
    sector: str | None
    industry: str | None
    subsector: str | None
    country: str | None
    source: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Past:
    """What a security was called and how it was classified, oldest first."""

    ended_on: date | None
    symbols: tuple[Symbol, ...]
    classifications: tuple[Classification, ...]


def named(user: User, said: int | str) -> tuple[int, str, str]:
    """(number, symbol, exchange) of the security that a number, SYMBOL or EXCHANGE:SYMBOL names now. Raises NoSuchSecurity."""
    with engine.session(user.user_id) as c:
        row = fields_of(c, number_of(c, said))
    return row["security_id"], row["symbol"], row["exchange"]


def looked_up(user: User, text: str) -> tuple[int, bool]:
    """(number, whether the name is a former one) of what a number, SYMBOL or EXCHANGE:SYMBOL names now, else named last.

    Raises NoSuchSecurity.
    """
    text = text.strip().upper()
    with engine.session(user.user_id) as c:
        for former, query in enumerate((_NOW, _ONCE)):
            if (number := _one(c, text, query)) is not None:
                return number, bool(former)
    raise NoSuchSecurity(f"there is no security {text!r}")


def past_of(user: User, number: int) -> Past:
    """A security's symbols and classifications. Raises NoSuchSecurity."""
    with engine.session(user.user_id) as c:
        ended = c.execute("SELECT ended_on FROM securities WHERE security_id = %s", (number,)).fetchone()
        symbols = c.execute("SELECT valid_from, symbol, exchange, recorded_at FROM security_symbols WHERE security_id = %s ORDER BY valid_from",
                            (number,)).fetchall()  # fmt: skip
        classes = c.execute(
            "SELECT k.valid_from, k.asset_class, d.sector, nullif(d.industry, ''), nullif(d.subsector, ''), k.country, k.source, k.recorded_at "
            "FROM security_classifications k LEFT JOIN sectors d USING (sector_id) WHERE k.security_id = %s ORDER BY k.valid_from, k.recorded_at",
            (number,),
        ).fetchall()
    if ended is None:
        raise NoSuchSecurity(f"there is no security {number}")
    return Past(ended[0], tuple(Symbol(*r) for r in symbols), tuple(Classification(*r) for r in classes))


def about(c: psycopg.Connection, plan: Plan) -> dict[str, Any] | None:
    """The security that a plan is about, as it will be: symbol, class, sector, industry, price, frequency. None where they are several."""
    written = [
        row for s in plan.steps if s.table == "securities" and s.action in ("insert", "update") for row in s.rows
    ]
    if plan.kind == "bulk" or (plan.security_id is None and len(written) != 1):
        return None
    was: dict[str, Any] = {}
    if plan.security_id is not None:
        try:
            was = fields_of(c, plan.security_id)
        except NoSuchSecurity:  # the task will say so
            return None
        quote = c.execute("SELECT price FROM asset_prices WHERE security_id = %s", (plan.security_id,)).fetchone()
        was["price"] = quote[0] if quote else None
    now = was | (written[0] if written else {})
    if now.get("sector_id") != was.get("sector_id"):
        named = c.execute("SELECT sector, nullif(industry, '') FROM sectors WHERE sector_id = %s", (now["sector_id"],)).fetchone()  # fmt: skip
        now["sector"], now["industry"] = named or (None, None)
    for step in plan.steps:
        if step.table == "asset_prices" and step.action == "insert":
            now["price"] = step.rows[0]["price"]
    names = ("symbol", "exchange", "name", "asset_class", "sector", "industry", "price", "dividend_frequency")
    return {name: plans.plain(now.get(name)) for name in names}


def draft_of(exist: Known, cells: Mapping[str, Any], editing: Listed | None = None) -> SecurityDraft:
    """The draft that cells make. Raises BadSecurity with every fault."""
    draft, faults = checked(cells, exist, editing)
    if draft is None:
        raise BadSecurity(faults)
    return draft


def plan_add(user: User, cells: Mapping[str, Any]) -> Plan:
    """The plan that adds a security. Raises BadSecurity."""
    exist = known(user)
    plan = plans.addition(draft_of(exist, cells), exist.today, user.username)
    unlisted = plans.unlisted(cells, exist)
    return replace(plan, notes=(*plan.notes, f"{unlisted}.")) if unlisted else plan


def plan_edit(user: User, text: int | str, cells: Mapping[str, Any], seen: Mapping[str, Any] | None = None) -> Plan:
    """The plan that changes these fields of a security; others stay. `seen`: fields as the person saw them.

    Raises BadSecurity, NoSuchSecurity, StaleEdit where a field that was seen is another now.
    """
    with engine.session(user.user_id) as c:
        exist = known_of(c)
        one = listed(exist, number_of(c, text))
        row = fields_of(c, one.security_id)
        used = c.execute("SELECT EXISTS (SELECT FROM price_history WHERE security_id = %(n)s) OR EXISTS (SELECT FROM references_of(%(n)s))",
                         {"n": one.security_id}).fetchone()  # fmt: skip
    still(one.symbol, seen or {}, row)
    draft = draft_of(exist, edited_cells(row, cells), one)
    faults: list[MasterError] = []
    if (draft.symbol, draft.exchange) != (one.symbol, one.exchange):
        faults.append(InvalidField("symbol", draft.listing, "it stays in its history: book a symbol change instead"))
    if draft.currency != row["currency"] and used and used[0]:
        faults.append(
            InvalidField(
                "currency",
                draft.currency,
                f"its prices and entries are in {row['currency']}: add it as another security",
            )
        )
    if faults:
        raise BadSecurity(faults)
    plan = plans.edit(one.security_id, row, draft, exist.today, user.username)
    if plan is None:
        raise BadSecurity([InvalidField("fields", "", "nothing differs from what is there")])
    return plan


def plan_undo(user: User, done: Plan) -> Plan:
    """The plan that takes back the fields and the status that an edit, or a retirement, of one security wrote, or its new symbol.

    Raises NoSuchSecurity, BadSecurity, StaleEdit where somebody changed any of it since.
    """
    number, wrote, was = done.security_id or 0, dict[str, Any](), dict[str, Any]()
    for step in done.steps:
        if (step.action, step.table) == ("update", "securities"):
            wrote |= step.rows[0]
            was |= step.before[0]
    with engine.session(user.user_id) as c:
        row, exist = fields_of(c, number), known_of(c)
    one = listed(exist, number)
    if "sector_id" in wrote:
        names = {n: its for its, n in exist.sectors.items()} | {None: ("", "", "")}
        for cells in (wrote, was):
            its = names.get(cells["sector_id"], (f"number {cells['sector_id']}", "", ""))
            cells |= dict(zip(("sector", "industry", "subsector"), its, strict=True))
    fields = [name for name in MASTER_FIELDS if name in wrote]
    status: dict[str, Any] = {name: wrote[name] for name in ("status", "ended_on") if name in wrote}
    seen = {name: wrote[name] for name in fields}
    then = "undoing this would take that back, too: undo that first, or edit what is wrong by hand"
    if done.kind == "symbol_change":
        still(one.symbol, {name: wrote[name] for name in ("symbol", "exchange")}, row, then)
        if (other := exist.listed.get(f"{was['exchange']}:{was['symbol']}")) is not None:
            raise BadSecurity(
                [DuplicateSymbol("symbol", other.listing, f"another security has it now ({other.security_id})")]
            )
        return plans.renaming_back(done, row["name"])
    still(one.symbol, seen | status, row, then)
    edit = plan_edit(user, number, {name: was[name] for name in fields}, seen) if fields or not status else None
    if edit is not None and not status:
        return edit
    step = standing_step(number, status, was["status"], was["ended_on"])
    if done.kind == "remove":
        kind, title = "reinstate", f"Reinstate {one.listing} ({row['name']})"
    else:
        kind, title = "edit", edit.title if edit else f"{step.name}: {one.listing} ({row['name']})"
    return Plan(kind, title, one.listing, (*(edit.steps if edit else ()), step), security_id=number)


def edited_cells(row: Mapping[str, Any], cells: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a security with some of them changed. Raises BadSecurity where one cannot be edited.

    A sector that is changed alone takes its industry and subsector away: they belonged to the other.
    """
    if wrong := [
        InvalidField(n, v, "cannot be edited; these can: " + ", ".join(MASTER_FIELDS))
        for n, v in cells.items()
        if n not in MASTER_FIELDS
    ]:
        raise BadSecurity(list(wrong))
    merged = {name: plans.plain(row[name]) for name in MASTER_FIELDS}
    if "sector" in cells and sector_of(str(cells["sector"] or "")).lower() != str(row["sector"] or "").lower():
        merged |= {"industry": None, "subsector": None}
    elif "industry" in cells and str(cells["industry"] or "").lower() != str(row["industry"] or "").lower():
        merged["subsector"] = None
    return merged | dict(cells)


def references(user: User, number: int) -> list[Reference]:
    """Everything that names a security."""
    with engine.session(user.user_id) as c:
        return references_of(c, number)


def references_of(c: psycopg.Connection, number: int) -> list[Reference]:
    """The same on an open connection that acts for somebody.

    Holdings are counted some minutes after a booking: of the portfolios that are not yet, the ledger itself is asked, as far
    as this connection sees it.
    """
    every = [
        Reference(*row) for row in c.execute("SELECT * FROM references_of(%s) ORDER BY 1, 3", (number,)).fetchall()
    ]
    uncounted = c.execute(
        "SELECT p.portfolio_id, p.name FROM portfolios p LEFT JOIN holding_states s USING (portfolio_id) WHERE s.version IS DISTINCT FROM p.version "
        "AND EXISTS (SELECT FROM transactions t WHERE t.portfolio_id = p.portfolio_id AND (t.security_id = %(n)s OR t.into_id = %(n)s)) ORDER BY 2",
        {"n": number},
    ).fetchall()
    for portfolio, name in uncounted:
        every = [r for r in every if r.what != "holding" or r.portfolio_id != portfolio]
        book = books.load(c, portfolio).book
        units = sum(
            h.units for h in held(lots_of(book, day_number(datetime.now(UTC).date())).still) if h.security == number
        )
        if units:
            every.append(Reference("holding", portfolio, name, Decimal(units) / UNITS, None, None))
    return every


def plan_remove(user: User, text: int | str) -> Plan:
    """The plan that removes a security: deletes what nothing ever referenced, retires the rest. Raises StillReferenced, NoSuchSecurity."""
    with engine.session(user.user_id) as c:
        return removal_of(c, number_of(c, text), datetime.now(UTC).date())


def removal_of(c: psycopg.Connection, number: int, today: date, aloud: bool = False) -> Plan:
    """The same on an open connection. `aloud`: what stands in the way is said to everybody, not to who asks alone.

    Raises StillReferenced, NoSuchSecurity, BadSecurity.
    """
    row = fields_of(c, number)
    listing = f"{row['exchange']}:{row['symbol']}"
    if row["status"] in ("retired", "delisted"):
        raise BadSecurity([InvalidField("symbol", listing, f"it is {row['status']} already")])
    every = references_of(c, number)
    if in_the_way := removal.obstacles(every):
        said = removal.for_everybody(in_the_way) if aloud else tuple(str(o) for o in in_the_way)
        raise StillReferenced(listing, said)
    if stays := removal.for_everybody(removal.history(every)):
        because = [f"It stays, since {reason}." for reason in stays]
        return plans.retirement(number, listing, row["name"], row["status"], row["ended_on"], today, because)
    children = {
        t: c.execute(f"SELECT count(*) FROM {t} WHERE security_id = %s", (number,)).fetchone() for t in CHILDREN
    }
    return plans.deletion(number, listing, row["name"], {t: n[0] if n else 0 for t, n in children.items()})


def plan_reinstate(user: User, text: int | str) -> Plan:
    """The plan that brings a security back. Raises NoSuchSecurity, BadSecurity."""
    with engine.session(user.user_id) as c:
        row = fields_of(c, number_of(c, text))
    listing = f"{row['exchange']}:{row['symbol']}"
    if row["status"] == "active":
        raise BadSecurity([InvalidField("symbol", listing, "it is active: there is nothing to bring back")])
    return plans.reinstatement(row["security_id"], listing, row["name"], row["status"], row["ended_on"])


def plan_rename(user: User, text: int | str, symbol: str, exchange: str | None, on: date) -> Plan:
    """The plan of a symbol change. Raises NoSuchSecurity, BadSecurity."""
    with engine.session(user.user_id) as c:
        exist = known_of(c)
        one = listed(exist, number_of(c, text))
        row = fields_of(c, one.security_id)
        last = c.execute(
            "SELECT max(valid_from) FROM security_symbols WHERE security_id = %s", (one.security_id,)
        ).fetchone()
    merged = {name: plans.plain(row[name]) for name in MASTER_FIELDS}
    draft = draft_of(exist, merged | {"symbol": symbol, "exchange": exchange or one.exchange}, one)
    if (draft.symbol, draft.exchange) == (one.symbol, one.exchange):
        raise BadSecurity([DuplicateSymbol("symbol", draft.listing, "this is its symbol already")])
    if last and last[0] and last[0] >= exist.today:
        raise BadSecurity(
            [
                InvalidField(
                    "valid_from", on, f"it became {one.listing} today: undo that symbol change first, in its task"
                )
            ]
        )
    if on > exist.today or (last and last[0] and on <= last[0]):
        raise BadSecurity(
            [InvalidField("valid_from", on, f"a day after {last[0] if last else ''} and up to today, {exist.today}")]
        )
    if (had := draft.follows) is not None and on < had.until:
        said = f"{draft.listing} was {had.listing} until {had.until}: a day from then, up to today, {exist.today}"
        raise BadSecurity([InvalidField("valid_from", on, said)])
    return plans.renaming(one.security_id, one.listing, row["name"], draft, on)


def plan_delist(user: User, text: int | str, on: date) -> Plan:
    """The plan that marks a security as delisted from a day on. Raises NoSuchSecurity, BadSecurity."""
    with engine.session(user.user_id) as c:
        row = fields_of(c, number_of(c, text))
        known = delisting_is_known(c, row["security_id"], on)
    listing = f"{row['exchange']}:{row['symbol']}"
    if row["status"] == "delisted":
        raise BadSecurity([InvalidField("symbol", listing, f"it is delisted since {row['ended_on']}")])
    first, today = row["issued_on"] or FIRST, datetime.now(UTC).date()
    if not first <= on <= today:
        raise BadSecurity([InvalidField("on", on, f"a day from {first} up to today, {today}")])
    return plans.delisting(row["security_id"], listing, row["name"], row["status"], row["ended_on"], on, known)


def delisting_is_known(c: psycopg.Connection, number: int, on: date) -> bool:
    """Whether the delisting of that day is among the corporate actions: a feed told it, or it was delisted before."""
    row = c.execute(
        "SELECT 1 FROM corporate_actions WHERE security_id = %s AND kind = 'delisting' AND ex_on = %s", (number, on)
    ).fetchone()
    return row is not None
