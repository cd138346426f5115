"""Loads Books: columns, not objects, from the database to core. The one cache of Books is here.

Access is asked on every call, before the cache. A cached Book is used again only while its version stands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from core.book import Action, Before, Book, Class, Portfolio, Quote
from core.calendar import Sessions
from core.fx import Rates, Series, day_number
from core.ledger import ACTIONS, KINDS, Detail, Ledger, Security, connected, fitting, from_postings, renewed
from core.listings import Listings, Symbol
from core.lots import Lots
from core.risk_free import by_currency
from db import engine
from settings import settings

KEPT = 32  # Books in memory
_books: OrderedDict[tuple[UUID, datetime | None], _Kept] = OrderedDict()
_sessions: tuple[int, dict[str, Sessions]] = (-1, {})
_lock = Lock()


class NoSuchPortfolio(LookupError):
    """There is no such portfolio, or this person may not see it: the same answer for both."""


class NoSuchSecurity(LookupError):
    """No security has this number or symbol."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far a ledger was read: how many entries, reversals counted, and the number of the last."""

    count: int
    seq: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A Book in the cache, with the versions of what it was read from."""

    book: Book
    versions: Mapping[str, int]
    seen: _Seen


@dataclass(frozen=True, slots=True)
class Live:
    """A Book and, beside it, the live quotes: a tick does not throw the Book away."""

    book: Book
    quotes: Mapping[int, Quote]
    quotes_version: int


_PORTFOLIO = """
SELECT p.portfolio_id, p.name, p.base_currency, p.benchmark_id,
       coalesce((SELECT method FROM cost_methods m WHERE m.portfolio_id = p.portfolio_id AND recorded_at <= coalesce(%(known)s::timestamptz, 'infinity')
                  AND valid_from <= (least(%(known)s::timestamptz, now()) AT TIME ZONE 'UTC')::date ORDER BY valid_from DESC, recorded_at DESC LIMIT 1), 'fifo'),
       coalesce((SELECT access FROM grants g WHERE g.portfolio_id = p.portfolio_id AND g.user_id = app_user()), 'read'),
       p.note, p.demo, p.goal_value, p.goal_on, p.version, p.restated,
       (SELECT json_agg(json_build_array(valid_from - date '1970-01-01', method) ORDER BY valid_from)
          FROM (SELECT DISTINCT ON (valid_from) valid_from, method FROM cost_methods m WHERE m.portfolio_id = p.portfolio_id
                   AND recorded_at <= coalesce(%(known)s::timestamptz, 'infinity') ORDER BY valid_from, recorded_at DESC) d)
  FROM portfolios p
"""


def _portfolio(row: Sequence[Any]) -> Portfolio:
    *fields, methods = row
    fields.append(tuple((int(day), str(method)) for day, method in methods or []))
    return Portfolio(*fields)


def portfolios(user: UUID) -> list[Portfolio]:
    """Every portfolio that this person may see and that is not archived, by name."""
    with engine.session(user) as c:
        rows = c.execute(
            _PORTFOLIO + " WHERE p.archived_at IS NULL ORDER BY p.name, p.portfolio_id", {"known": None}
        ).fetchall()
    return [_portfolio(row) for row in rows]


def portfolio_of(c: psycopg.Connection, portfolio: UUID, known_at: datetime | None = None) -> Portfolio:
    """One portfolio's settings, as the connection's user may see it, with the cost methods known then. Raises NoSuchPortfolio."""
    parameters = {"portfolio": portfolio, "known": known_at}
    row = c.execute(_PORTFOLIO + " WHERE p.portfolio_id = %(portfolio)s", parameters).fetchone()
    if row is None:
        raise NoSuchPortfolio("there is no such portfolio, or you have no access to it")
    return _portfolio(row)


def live(user: UUID, portfolio: UUID, known_at: datetime | None = None) -> Live:
    """The Book of one portfolio and its live quotes. Raises NoSuchPortfolio."""
    with engine.session(user) as c:
        return load(c, portfolio, known_at)


def studied(user: UUID, portfolio: UUID, security: int, known_at: datetime | None = None) -> Live:
    """The Book of a portfolio with one more security in it, held there or not: its prices, actions and FX. A portfolio of number 0
    stands for none: a Book without entries in the security's own currency. Raises NoSuchPortfolio, NoSuchSecurity."""
    with engine.session(user) as c:
        (of,) = securities_of(c, [security]) or (None,)
        if of is None:
            raise NoSuchSecurity(f"there is no security {security}")
        if portfolio.int:
            found = load(c, portfolio, known_at)
        else:
            none = Portfolio(portfolio, "", of.currency, None, "fifo")
            found = Live(Book(none, from_postings([]), {}, {}, Rates({}), sessions_of(c), "", known_at), {}, 0)
        book = found.book
        if security in book.securities:
            return found
        missing = sorted({of.currency, book.base} - set(book.rates.series))
        book = book.with_other(
            securities={**book.securities, security: of},
            prices={**book.prices, **prices_of(c, [security], known_at)},
            actions={**book.actions, **actions_of(c, [security], known_at)},
            rates=Rates({**book.rates.series, **rates_of(c, missing, known_at).series}),
        )
        quotes = {} if known_at is not None else {**found.quotes, **_quotes(c, [security])}
        return Live(book, quotes, found.quotes_version)


def load(c: psycopg.Connection, portfolio: UUID, known_at: datetime | None = None) -> Live:
    """The same on an open connection, which decides what may be seen.

    A past `known_at` waits for bookings under way that may carry an earlier time; what is loaded for it never changes again.
    """
    final = known_at is not None and known_at <= settled(c, portfolio)
    settings_row = portfolio_of(c, portfolio, known_at)
    versions: dict[str, int] = dict(c.execute("SELECT name, version FROM data_versions").fetchall())
    moving = "known" if final else f"{settings_row.version}.{versions['prices']}.{versions['fx']}"
    version = (
        f"{moving}.{versions['securities']}.{versions['sessions']}.{'' if final else versions['actions']}."
        f"{settings_row.dated_methods}.{settings_row.base_currency}.{settings_row.benchmark_id}"
    )
    key = (portfolio, known_at)
    with _lock:
        kept = _books.get(key)
    if kept is not None and kept.book.version == version:
        book = kept.book
        if book.portfolio != settings_row:  # another person's access, a new name: what was derived still holds
            book = replace(book, portfolio=settings_row)
    else:
        kept = _read(c, settings_row, known_at, version, versions, kept)
        book = kept.book
        with _lock:
            _books[key] = kept
            _books.move_to_end(key)
            while len(_books) > KEPT:
                _books.popitem(last=False)
    return Live(book, _quotes(c, list(book.securities)) if known_at is None else {}, versions["quotes"])


def settled(c: psycopg.Connection, portfolio: UUID) -> datetime:
    """Now, once no writer is under way that may have recorded earlier: up to this time what was known is final."""
    row = c.execute("SELECT settled(%s)", (portfolio,)).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def forget() -> None:
    """Empty the cache (tests)."""
    global _sessions
    with _lock:
        _books.clear()
        _sessions = (-1, {})


def _read(
    c: psycopg.Connection,
    portfolio: Portfolio,
    known_at: datetime | None,
    version: str,
    versions: Mapping[str, int],
    kept: _Kept | None,
) -> _Kept:
    """A Book; what did not change since the last one is taken from there: entries, prices, FX, and what was derived of them."""
    ledger, seen, place, changed = _entries(c, portfolio.portfolio_id, known_at, kept)
    last = kept.book if kept is not None else None

    def stands(*names: str) -> bool:
        return kept is not None and all(kept.versions[name] == versions[name] for name in names)

    held = {int(s) for s in np.unique(ledger.security) if s} | {d.into for d in ledger.details.values() if d.into}
    held |= {portfolio.benchmark_id} if portfolio.benchmark_id else set()
    securities = {s.security_id: s for s in securities_of(c, sorted(held))}
    currencies = set(ledger.currencies) | {s.currency for s in securities.values()} | {portfolio.base_currency}
    prices, series = dict[int, Series](), dict[str, Series]()
    if last is not None and stands("prices"):
        prices = {s: last.prices[s] for s in held if s in last.prices}
    if last is not None and stands("fx"):
        series = {name: last.rates.series[name] for name in currencies if name in last.rates.series}
    prices |= prices_of(c, sorted(held - prices.keys()), known_at)
    series |= rates_of(c, sorted(currencies - series.keys()), known_at).series
    alike = (
        last is not None
        and place is not None
        and (last.base, last.portfolio.dated_methods) == (portfolio.base_currency, portfolio.dated_methods)
        and stands("fx")
    )
    book = Book(
        portfolio,
        ledger,
        securities,
        prices,
        Rates(series),
        sessions_of(c, versions["sessions"]),
        version,
        known_at,
        limits_of(c, portfolio.portfolio_id, known_at),
        actions_of(c, sorted(held), known_at),
        risk_free=risk_free_of(c, portfolio.base_currency),
        classes=classes_of(c, sorted(held), known_at),
        before=_before(last, place, changed) if alike and last is not None and place is not None else None,
        seq=seen.seq,
    )
    if alike and last is not None and stands("securities", "prices", "sessions"):
        book.of_each.update({key: made for key, made in list(last.of_each.items()) if key[1] not in changed})
    return _Kept(book, dict(versions), seen)


def _before(last: Book, place: NDArray[np.int64], changed: frozenset[int]) -> Before | None:
    """What the last Book derived, seen from the next one; if it was never asked for its lots, what there was before it."""
    lots: Lots | None = last.derived.get(("lots", None))
    if lots is not None:
        return Before(lots, place, changed)
    if last.before is None:
        return None
    earlier = last.before.place
    return Before(last.before.lots, np.where(earlier >= 0, place[earlier], -1), last.before.securities | changed)


_SEEN = """
SELECT count(*), coalesce(max(seq), 0), count(*) FILTER (WHERE seq > %(after)s),
       coalesce(array_agg(reverses) FILTER (WHERE seq > %(after)s AND kind = 'reversal'), '{}'),
       coalesce(bool_or(place IS NOT NULL) FILTER (WHERE seq > %(after)s), false)
  FROM transactions WHERE portfolio_id = %(id)s
"""


def _entries(
    c: psycopg.Connection, portfolio: UUID, known_at: datetime | None, kept: _Kept | None
) -> tuple[Ledger, _Seen, NDArray[np.int64] | None, frozenset[int]]:
    """(the ledger, how far it was read, the new places of the kept Book's rows, the securities whose entries changed).

    Only what was recorded since is read where something is kept: the ledger is append-only, one writer at a time numbers its
    entries (`db.ledger.open_desk`). Places are None where all was read anew, as after a correction, which takes an earlier place.
    """
    if known_at is not None:
        return ledger_of(c, [portfolio], known_at), _Seen(0, 0), None, frozenset()
    after = kept.seen if kept is not None else _Seen(0, 0)
    row = c.execute(_SEEN, {"after": after.seq, "id": portfolio}).fetchone()
    assert row is not None
    count, seq, more, reversed_, placed = row
    seen = _Seen(count, seq)
    if kept is None or count - more != after.count or more > after.count or placed:
        return ledger_of(c, [portfolio], upto=seq), seen, None, frozenset()
    last = kept.book.ledger
    if not more:
        return last, seen, np.arange(len(last)), frozenset()
    new = ledger_of(c, [portfolio], after=after.seq, upto=seq)
    gone = {number.bytes for number in reversed_}
    ledger, place = renewed(last, new, gone)
    touched = {int(s) for s in np.unique(np.concatenate([new.security, last.security[place < 0]])) if s}
    return ledger, seen, place, frozenset(connected(touched, last, new))


def ledger_now(c: psycopg.Connection, portfolio: UUID) -> Ledger:
    """The effective ledger of a portfolio as the connection sees it, from the kept Book and what was recorded since."""
    with _lock:
        kept = _books.get((portfolio, None))
    return _entries(c, portfolio, None, kept)[0]


def limits_of(
    c: psycopg.Connection, portfolio: UUID, known_at: datetime | None = None
) -> dict[str, tuple[tuple[int, Decimal, str], ...]]:
    """The portfolio's own limits known at a time (None: now): by rule (first day number, value, severity), ascending."""
    found: dict[str, tuple[tuple[int, Decimal, str], ...]] = {}
    for rule, day, value, severity in c.execute(
        "SELECT DISTINCT ON (rule, valid_from) rule, valid_from - date '1970-01-01', value, severity FROM limits WHERE portfolio_id = %s "
        "AND recorded_at <= coalesce(%s::timestamptz, 'infinity') ORDER BY rule, valid_from, recorded_at DESC",
        (portfolio, known_at),
    ).fetchall():
        found[rule] = (*found.get(rule, ()), (day, value, severity))
    return found


_BEFORE_TRADES = ", ".join(f"'{kind}'" for kind in sorted(ACTIONS))
_LEDGER = f"""
SELECT count(*), {{columns}}
  FROM (SELECT * FROM transactions t
         WHERE t.portfolio_id = ANY (%(ids)s) AND t.kind <> 'reversal' AND (%(known)s::timestamptz IS NULL OR t.recorded_at <= %(known)s)
           AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id
                              AND (%(struck)s::timestamptz IS NULL OR r.recorded_at <= %(struck)s)
                              AND (%(upto)s::bigint IS NULL OR r.seq <= %(upto)s))
           AND t.seq > %(after)s AND (%(upto)s::bigint IS NULL OR t.seq <= %(upto)s)
         ORDER BY traded_on, kind NOT IN ({_BEFORE_TRADES}), coalesce(place, seq), seq) t
"""
# the fields that few rows have, by the condition of their index
_DETAILS = """
SELECT transaction_id, into_id, fraction, price, basis, basis_base, acquired_on, lots FROM transactions
 WHERE portfolio_id = ANY (%s) AND (into_id IS NOT NULL OR basis IS NOT NULL OR acquired_on IS NOT NULL OR lots IS NOT NULL OR kind = 'merger')
   AND seq > %s
"""
# how each column is packed: expression in SQL, its type here
_PACKED: dict[str, tuple[str, str]] = {
    "portfolio": ("int2send((array_position(%(ids)s, portfolio_id) - 1)::int2)", ">i2"),
    "kind": ("int2send((array_position(%(kinds)s, kind) - 1)::int2)", ">i2"),
    "security": ("int4send(coalesce(security_id, 0))", ">i4"),
    "quantity": ("int8send((coalesce(quantity, 0) * 10000000000)::int8)", ">i8"),
    "ratio_new": ("int8send(coalesce(ratio_new, 0)::int8)", ">i8"),
    "ratio_old": ("int8send(coalesce(ratio_old, 0)::int8)", ">i8"),
    "gross": ("int8send((gross * 1000000)::int8)", ">i8"),
    "fees": ("int8send((fees * 1000000)::int8)", ">i8"),
    "taxes": ("int8send((taxes * 1000000)::int8)", ">i8"),
    "net": ("int8send((net * 1000000)::int8)", ">i8"),
    "currency": ("int2send((array_position(%(currencies)s, currency) - 1)::int2)", ">i2"),
    "cash_currency": ("int2send((array_position(%(currencies)s, cash_currency) - 1)::int2)", ">i2"),
    "with_fx": ("int2send((fx IS NOT NULL)::int::int2)", ">i2"),
    "traded_on": ("int4send(traded_on - date '1970-01-01')", ">i4"),
    "settles_on": ("int4send(settles_on - date '1970-01-01')", ">i4"),
    "ids": ("uuid_send(transaction_id)", "V16"),
}
_NATIVE = {
    "portfolio": np.int16,
    "kind": np.int8,
    "security": np.int32,
    "currency": np.int16,
    "cash_currency": np.int16,
    "with_fx": np.bool_,
    "traded_on": np.int32,
    "settles_on": np.int32,
}
_EXACT = {"quantity": 10, "ratio_new": 0, "ratio_old": 0, "gross": 6, "fees": 6, "taxes": 6, "net": 6}


def ledger_of(
    c: psycopg.Connection,
    portfolios: Sequence[UUID],
    known_at: datetime | None = None,
    reversed_by: datetime | None = None,
    after: int = 0,
    upto: int | None = None,
) -> Ledger:
    """The effective ledger of some portfolios as packed columns, as it was known at a time (None: now).

    With `reversed_by` an entry is left out only where its reversal was known by then: what stood at any time since.
    `after`, `upto`: only entries whose number (`seq`) is above and at most that; with `upto` as they stood then, whatever was
    reversed later.
    """
    used = [r[0] for r in c.execute("SELECT currency FROM currencies ORDER BY 1").fetchall()]
    struck = known_at if reversed_by is None else reversed_by
    parameters = {
        "ids": list(portfolios),
        "known": known_at,
        "struck": struck,
        "kinds": list(KINDS),
        "currencies": used,
        "after": after,
        "upto": upto,
    }
    try:
        with c.transaction():
            columns = ", ".join(f"coalesce(string_agg({sql}, ''::bytea), ''::bytea)" for sql, _ in _PACKED.values())
            row = c.execute(_LEDGER.format(columns=columns), parameters, binary=True).fetchone()
        wide = False
    except psycopg.errors.NumericValueOutOfRange:  # a value beyond int64: those columns travel as text
        columns = ", ".join(
            f"coalesce(string_agg(coalesce({name}, 0)::text, ','), '')"
            if name in _EXACT
            else f"coalesce(string_agg({sql}, ''::bytea), ''::bytea)"
            for name, (sql, _) in _PACKED.items()
        )
        row = c.execute(_LEDGER.format(columns=columns), parameters, binary=True).fetchone()
        wide = True
    assert row is not None
    arrays: dict[str, Any] = {}
    for (name, (_, packed)), raw in zip(_PACKED.items(), row[1:], strict=True):
        if wide and name in _EXACT:
            arrays[name] = fitting([int(Decimal(x).scaleb(_EXACT[name])) for x in raw.split(",") if x])
        else:
            array = np.frombuffer(raw, dtype=packed)
            arrays[name] = array.astype(_NATIVE.get(name, np.int64)) if packed != "V16" else array
    there = np.union1d(arrays["currency"], arrays["cash_currency"]).astype(int)
    for name in ("currency", "cash_currency"):
        arrays[name] = np.searchsorted(there, arrays[name]).astype(np.int16)
    details = _details(c, portfolios, arrays["ids"], after)
    return Ledger(**arrays, currencies=tuple(used[i] for i in there), details=details)


def _details(
    c: psycopg.Connection, portfolios: Sequence[UUID], ids: np.ndarray[Any, Any], after: int
) -> dict[int, Detail]:
    """The details of the rows whose ids are given, by row."""
    found = {
        number.bytes: Detail(
            into, fraction, price, basis, base, acquired, tuple((UUID(n), Decimal(u)) for n, u in lots or [])
        )
        for number, into, fraction, price, basis, base, acquired, lots in c.execute(
            _DETAILS, (list(portfolios), after)
        ).fetchall()
    }
    if not found or not len(ids):
        return {}
    halves = ids.view(np.uint64).reshape(-1, 2)
    wanted = np.frombuffer(b"".join(found), np.uint64).reshape(-1, 2)
    rows = np.flatnonzero(np.isin(halves[:, 1], wanted[:, 1])).tolist()
    return {row: found[number] for row in rows if (number := bytes(ids[row])) in found}


def securities_of(c: psycopg.Connection, ids: Sequence[int] | None = None) -> list[Security]:
    """Securities by number, or all of them (None), by symbol."""
    rows = c.execute(
        "SELECT s.security_id, s.symbol, s.name, s.exchange, s.currency, s.asset_class, d.sector, nullif(d.industry, ''), s.country, "
        "s.status, a.tradable FROM securities s JOIN asset_classes a USING (asset_class) LEFT JOIN sectors d USING (sector_id) "
        "WHERE %(ids)s::int[] IS NULL OR security_id = ANY (%(ids)s) ORDER BY s.symbol, s.exchange",
        {"ids": list(ids) if ids is not None else None},
    ).fetchall()
    return [Security(*row) for row in rows]


def classes_of(c: psycopg.Connection, ids: Sequence[int], known_at: datetime | None = None) -> dict[int, tuple[Class, ...]]:
    """The dated classes of those securities that were classified more than once, as they were known at a time (None: now).

    Of several that hold from one day the one that was recorded last counts. Of a security that was not known yet the first one.
    """
    rows = c.execute(
        """WITH k AS (SELECT *, count(*) OVER w AS times, min(recorded_at) OVER w AS first_at FROM security_classifications
                       WHERE security_id = ANY (%(ids)s) WINDOW w AS (PARTITION BY security_id))
           SELECT DISTINCT ON (security_id, valid_from) security_id, valid_from, asset_class, d.sector, nullif(d.industry, ''), k.country
             FROM k LEFT JOIN sectors d USING (sector_id)
            WHERE times > 1 AND (%(known)s::timestamptz IS NULL OR recorded_at <= greatest(%(known)s, first_at))
            ORDER BY security_id, valid_from, recorded_at DESC""",
        {"ids": list(ids), "known": known_at},
    ).fetchall()
    out: dict[int, tuple[Class, ...]] = {}
    for number, since, *its in rows:
        out[number] = (*out.get(number, ()), Class(day_number(since), *its))
    return out


def risk_free_of(c: psycopg.Connection, currency: str) -> dict[str, Series]:
    """{currency: dated effective annual risk-free rates}: those of the database, else the constant that the settings name; empty without."""
    rows = c.execute('SELECT "on", rate FROM risk_free_rates WHERE currency = %s ORDER BY "on"', (currency,)).fetchall()
    if rows:
        days, rates = zip(*rows, strict=True)
        return {currency: Series(np.array([day_number(on) for on in days], np.int32), np.array(rates, np.float64))}
    said = dict(by_currency(settings.risk_free_rates)).get(currency)
    return {} if said is None else {currency: Series(np.array([0], np.int32), np.array([float(said)]))}


def listings_of(c: psycopg.Connection) -> Listings:
    """Every security by what it is called and was called."""
    rows = c.execute(
        "SELECT security_id, valid_from, symbol, exchange FROM security_symbols WHERE security_id IN (SELECT security_id FROM security_symbols "
        "GROUP BY security_id HAVING count(*) > 1 OR min(valid_from) > '1900-01-01')"
    ).fetchall()
    return Listings(securities_of(c), [Symbol(*row) for row in rows])


def _series(days: bytes, values: bytes) -> Series:
    return Series(np.frombuffer(days, ">i4").astype(np.int32), np.frombuffer(values, ">f8").astype(np.float64))


def prices_of(c: psycopg.Connection, ids: Sequence[int], known_at: datetime | None = None) -> dict[int, Series]:
    """Raw closes per security: from the packed arrays, or as they were known at a past time from bars and corrections."""
    if known_at is None:
        rows = c.execute(
            "SELECT security_id, days, closes FROM price_arrays WHERE security_id = ANY (%s)", (list(ids),), binary=True
        ).fetchall()
    else:
        rows = c.execute(
            """SELECT security_id, string_agg(int4send("on" - date '1970-01-01'), ''::bytea ORDER BY "on"),
                      string_agg(float8send(close::float8), ''::bytea ORDER BY "on")
                 FROM closes_known(%(ids)s, %(known)s) GROUP BY security_id""",
            {"known": known_at, "ids": list(ids)},
            binary=True,
        ).fetchall()
    return {row[0]: _series(row[1], row[2]) for row in rows}


def actions_of(
    c: psycopg.Connection, ids: Sequence[int], known_at: datetime | None = None
) -> dict[int, tuple[Action, ...]]:
    """Corporate actions per security, oldest first; as they were known at a time (None: now)."""
    out: dict[int, list[Action]] = {}
    for number, kind, ex_on, pay_on, amount, currency, ratio in c.execute(
        "SELECT security_id, kind, ex_on, pay_on, amount, currency, ratio_new || '/' || ratio_old "
        "FROM actions_known(%(ids)s, coalesce(%(known)s::timestamptz, 'infinity')) ORDER BY security_id, ex_on, kind",
        {"ids": list(ids), "known": known_at},
    ).fetchall():
        action = Action(number, kind, ex_on, pay_on, amount, currency, Fraction(ratio) if ratio else None)
        out.setdefault(number, []).append(action)
    return {number: tuple(mine) for number, mine in out.items()}


def rates_of(c: psycopg.Connection, currencies: Sequence[str], known_at: datetime | None = None) -> Rates:
    """FX of these currencies per euro, all dates, as it was known at a time (None: now)."""
    rows = c.execute(
        """SELECT quote, string_agg(int4send("on" - date '1970-01-01'), ''::bytea ORDER BY "on"),
                  string_agg(float8send(rate::float8), ''::bytea ORDER BY "on")
             FROM rates_known(%s, coalesce(%s::timestamptz, 'infinity')) GROUP BY quote""",
        (list(currencies), known_at),
        binary=True,
    ).fetchall()
    return Rates({row[0]: _series(row[1], row[2]) for row in rows})


def sessions_of(c: psycopg.Connection, version: int | None = None) -> dict[str, Sessions]:
    """The calendars of all exchanges; kept in the process while their version stands."""
    global _sessions
    if version is None:
        row = c.execute("SELECT version FROM data_versions WHERE name = 'sessions'").fetchone()
        version = int(row[0]) if row else 0
    with _lock:
        if _sessions[0] == version:
            return _sessions[1]
    rows = c.execute(
        """SELECT exchange, zone, string_agg(int4send("on" - date '1970-01-01'), ''::bytea ORDER BY "on"),
                  string_agg(int8send(extract(epoch FROM open_at)::int8), ''::bytea ORDER BY "on"),
                  string_agg(int8send(extract(epoch FROM close_at)::int8), ''::bytea ORDER BY "on")
             FROM trading_sessions JOIN exchanges USING (exchange) GROUP BY exchange, zone""",
        binary=True,
    ).fetchall()
    found = {
        r[0]: Sessions(
            r[0],
            r[1],
            np.frombuffer(r[2], ">i4").astype(np.int32),
            np.frombuffer(r[3], ">i8").astype(np.int64),
            np.frombuffer(r[4], ">i8").astype(np.int64),
        )
        for r in rows
    }
    with _lock:
        _sessions = (version, found)
    return found


def _quotes(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, Quote]:
    rows = c.execute(
        "SELECT security_id, price, previous_close, session, provider, quoted_at FROM asset_prices WHERE security_id = ANY (%s)",
        (list(ids),),
    ).fetchall()
    return {row[0]: Quote(*row[1:]) for row in rows}
