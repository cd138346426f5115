"""Market data in and out: securities, quotes, bars, FX, calendars. Writes are set-based and idempotent, by the jobs role."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from core.book import Action
from core.calendar import Sessions
from core.ledger import Security
from core.listings import Listings
from db import books, engine


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """A quote as a feed gives it, price in the security's currency. `minor`: it came in a hundredth of that and was divided."""

    security_id: int
    price: Decimal
    previous_close: Decimal | None
    session: str
    provider: str
    quoted_at: datetime
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A daily bar, raw. Only the close is required. `minor`: its prices came in a hundredth of the currency and were divided."""

    security_id: int
    on: date
    close: Decimal
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    adjusted: Decimal | None = None  # the close as its feed adjusts it for every later split and dividend
    minor: bool = False


@dataclass(frozen=True, slots=True)
class NewSecurity:
    """Master data of a security to add or to bring up to date."""

    symbol: str
    name: str
    exchange: str
    currency: str
    asset_class: str
    sector: str | None = None
    industry: str = ""
    country: str | None = None
    isin: str | None = None
    issuer: str | None = None
    dividend_frequency: str = "none"


def touch(c: psycopg.Connection, *names: str) -> None:
    """Say that this kind of data changed, so that readers load it anew."""
    c.execute(
        "UPDATE data_versions SET version = version + 1, updated_at = clock_timestamp() WHERE name = ANY (%s)",
        (list(names),),
    )


def recording(c: psycopg.Connection) -> None:
    """Begin to write bars or FX: all of the transaction carries this time, and who asks what was known waits for its end."""
    c.execute("SELECT recording(NULL)")


def securities(user: UUID) -> list[Security]:
    """Every security, by symbol."""
    with engine.session(user) as c:
        return books.securities_of(c)


def listings(user: UUID) -> Listings:
    """Every security by what it is called and was called."""
    with engine.session(user) as c:
        return books.listings_of(c)


def tracked(c: psycopg.Connection) -> list[Security]:
    """The securities whose prices are refreshed: named in some ledger or a portfolio's benchmark, not retired or delisted."""
    ids = [
        r[0]
        for r in c.execute(
            "SELECT security_id FROM securities s WHERE status IN ('active', 'halted') AND (EXISTS (SELECT FROM transactions t WHERE t.security_id = s.security_id) "
            "OR EXISTS (SELECT FROM transactions t WHERE t.into_id = s.security_id) OR EXISTS (SELECT FROM portfolios p WHERE p.benchmark_id = s.security_id))"
        ).fetchall()
    ]
    return books.securities_of(c, ids)


def add_securities(c: psycopg.Connection, new: Iterable[NewSecurity]) -> dict[str, int]:
    """Add or bring up to date; {symbol: security_id}."""
    out: dict[str, int] = {}
    for s in new:
        sector_id = None
        if s.sector:
            row = c.execute(
                "INSERT INTO sectors (sector, industry) VALUES (%s, %s) ON CONFLICT (sector, industry, subsector) DO UPDATE SET sector = EXCLUDED.sector "
                "RETURNING sector_id",
                (s.sector, s.industry),
            ).fetchone()
            sector_id = row[0] if row else None
        row = c.execute(
            "INSERT INTO securities (symbol, exchange, name, isin, asset_class, sector_id, currency, issuer, country, dividend_frequency) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (exchange, symbol) DO UPDATE SET name = EXCLUDED.name, "
            "sector_id = EXCLUDED.sector_id, country = EXCLUDED.country, isin = EXCLUDED.isin RETURNING security_id",
            (
                s.symbol,
                s.exchange,
                s.name,
                s.isin,
                s.asset_class,
                sector_id,
                s.currency,
                s.issuer,
                s.country,
                s.dividend_frequency,
            ),
        ).fetchone()
        assert row is not None
        out[s.symbol] = row[0]
        c.execute(
            "INSERT INTO security_symbols (security_id, symbol, exchange) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (row[0], s.symbol, s.exchange),
        )
        c.execute(
            "INSERT INTO security_classifications (security_id, asset_class, sector_id, country, source) SELECT %(id)s, %(class)s, %(sector)s, %(country)s, 'feed' "
            "WHERE NOT EXISTS (SELECT FROM security_classifications WHERE security_id = %(id)s)",
            {"id": row[0], "class": s.asset_class, "sector": sector_id, "country": s.country},
        )
    touch(c, "securities")
    return out


def upsert_quotes(c: psycopg.Connection, quotes: Sequence[QuoteRow]) -> int:
    """Bring the quote cache up to date in one statement; an older quote never replaces a newer one. Returns rows changed."""
    if not quotes:
        return 0
    with c.cursor() as cursor:  # COPY of one text: arrays of Decimals, written value by value, cost more than the MERGE
        cursor.execute(
            "CREATE TEMP TABLE IF NOT EXISTS new_quotes (security_id int, price numeric, previous_close numeric, session text, "
            "provider text, quoted_at timestamptz) ON COMMIT DELETE ROWS"
        )
        cursor.execute("DELETE FROM new_quotes")
        with cursor.copy("COPY new_quotes FROM STDIN") as copy:
            copy.write("".join(_lines(quotes)))
        changed = cursor.execute(
            """MERGE INTO asset_prices a USING new_quotes q ON a.security_id = q.security_id
               WHEN MATCHED AND q.quoted_at >= a.quoted_at THEN UPDATE SET price = q.price, previous_close = q.previous_close,
                    session = q.session, provider = q.provider, quoted_at = q.quoted_at, updated_at = now()
               WHEN NOT MATCHED THEN INSERT (security_id, price, previous_close, session, provider, quoted_at)
                    VALUES (q.security_id, q.price, q.previous_close, q.session, q.provider, q.quoted_at)"""
        ).rowcount
    touch(c, "quotes")
    return changed


def _lines(quotes: Iterable[QuoteRow]) -> Iterator[str]:
    """Quotes as COPY reads them. Sessions, providers and times repeat: each is written out once."""
    times: dict[datetime, str] = {}
    words: dict[tuple[str, str], str] = {}
    for q in quotes:
        at = times.get(q.quoted_at) or times.setdefault(q.quoted_at, q.quoted_at.isoformat())
        named = (q.session, q.provider)
        text = words.get(named) or words.setdefault(named, "\t".join(name.translate(_ESCAPED) for name in named))
        previous = "\\N" if q.previous_close is None else q.previous_close
        yield f"{q.security_id}\t{q.price}\t{previous}\t{text}\t{at}\n"


_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def upsert_bars(c: psycopg.Connection, bars: Sequence[Bar], provider: str) -> int:
    """Write daily bars; the same bar again changes nothing, a different close is kept as a correction. Rows changed."""
    if not bars:
        return 0
    recording(c)
    with c.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE IF NOT EXISTS new_bars (security_id int, day date, open numeric, high numeric, low numeric, "
            "close numeric, volume numeric, adjusted numeric) ON COMMIT DELETE ROWS"
        )
        cursor.execute("DELETE FROM new_bars")
        with cursor.copy("COPY new_bars FROM STDIN") as copy:
            for b in bars:
                copy.write_row((b.security_id, b.on, b.open, b.high, b.low, b.close, b.volume, b.adjusted))
        cursor.execute(
            """INSERT INTO price_history AS h (security_id, "on", open, high, low, close, volume, provider, provider_adjusted)
               SELECT security_id, day, open, high, low, close, volume, %s, adjusted FROM new_bars
               ON CONFLICT (security_id, "on") DO UPDATE SET open = EXCLUDED.open, high = EXCLUDED.high, low = EXCLUDED.low,
                      close = EXCLUDED.close, volume = EXCLUDED.volume, provider = EXCLUDED.provider,
                      provider_adjusted = EXCLUDED.provider_adjusted
                WHERE h.close <> EXCLUDED.close""",
            (provider,),
        )
        changed = cursor.rowcount
        if changed:
            cursor.execute("SELECT pack_prices(%s)", (sorted({b.security_id for b in bars}),))
            cursor.execute(  # a close that was corrected: whoever traded the security by then has points valued at it
                """UPDATE portfolios p SET restate_from = least(p.restate_from, d.first) FROM (
                     SELECT t.portfolio_id, min(c."on") AS first FROM price_corrections c JOIN new_bars n ON (n.security_id, n.day) = (c.security_id, c."on")
                       JOIN transactions t ON t.security_id = c.security_id AND t.traded_on <= c."on" WHERE c.recorded_at = recorded() GROUP BY 1) d
                    WHERE p.portfolio_id = d.portfolio_id AND p.archived_at IS NULL"""
            )
            touch(c, "prices")
    return changed


def keep_adjusted(c: psycopg.Connection, bars: Sequence[Bar]) -> int:
    """Write what feeds said as adjusted closes: all of a security on the same basis, so what they said of its other days goes.

    Neither raw closes nor what was known of them change. Rows changed.
    """
    if not bars:
        return 0
    c.execute(
        "CREATE TEMP TABLE IF NOT EXISTS new_adjusted (security_id int, day date, adjusted numeric) ON COMMIT DELETE ROWS"
    )
    c.execute("DELETE FROM new_adjusted")
    with c.cursor() as cursor, cursor.copy("COPY new_adjusted FROM STDIN") as copy:
        for b in bars:
            copy.write_row((b.security_id, b.on, b.adjusted))
    return c.execute(
        """UPDATE price_history h SET provider_adjusted = n.adjusted
             FROM (SELECT o.security_id, o."on", a.adjusted FROM price_history o LEFT JOIN new_adjusted a ON (a.security_id, a.day) = (o.security_id, o."on")
                    WHERE o.security_id IN (SELECT security_id FROM new_adjusted) AND o.provider_adjusted IS DISTINCT FROM a.adjusted) n
            WHERE (h.security_id, h."on") = (n.security_id, n."on")"""
    ).rowcount


def upsert_actions(c: psycopg.Connection, actions: Sequence[Action], provider: str) -> int:
    """Write corporate actions; one of a kind per security and ex date, the same again changes nothing. Rows changed.

    A pay date that was announced once is not lost where a later answer lacks it. What changes is kept as a correction.
    """
    changed = 0
    if actions:
        recording(c)
    for a in actions:
        pair = (None, None) if a.ratio is None else a.ratio.as_integer_ratio()
        changed += c.execute(
            """INSERT INTO corporate_actions AS x (security_id, kind, ex_on, pay_on, amount, currency, ratio_new, ratio_old, provider)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (security_id, kind, ex_on) DO UPDATE SET pay_on = coalesce(EXCLUDED.pay_on, x.pay_on), amount = EXCLUDED.amount,
                      currency = EXCLUDED.currency, ratio_new = EXCLUDED.ratio_new, ratio_old = EXCLUDED.ratio_old, provider = EXCLUDED.provider
                WHERE (x.amount, x.currency, x.ratio_new, x.ratio_old)
                      IS DISTINCT FROM (EXCLUDED.amount, EXCLUDED.currency, EXCLUDED.ratio_new, EXCLUDED.ratio_old)
                   OR x.pay_on IS DISTINCT FROM coalesce(EXCLUDED.pay_on, x.pay_on)""",
            (a.security_id, a.kind, a.ex_on, a.pay_on, a.amount, a.currency, *pair, provider),
        ).rowcount
    if changed:
        touch(c, "actions")
    return changed


def upsert_rates(c: psycopg.Connection, rates: Iterable[tuple[str, date, Decimal]], provider: str) -> int:
    """Write FX: (currency, day, units of it per 1 EUR); a different rate is kept as a correction. Rows changed."""
    recording(c)
    with c.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE IF NOT EXISTS new_rates (currency text, day date, rate numeric) ON COMMIT DELETE ROWS"
        )
        cursor.execute("DELETE FROM new_rates")
        with cursor.copy("COPY new_rates FROM STDIN") as copy:
            for row in rates:
                copy.write_row(row)
        cursor.execute(
            """INSERT INTO fx_rates AS f (base, quote, "on", rate, provider) SELECT 'EUR', currency, day, rate, %s FROM new_rates
                JOIN currencies USING (currency)
               ON CONFLICT (base, quote, "on") DO UPDATE SET rate = EXCLUDED.rate, provider = EXCLUDED.provider
                WHERE f.rate <> EXCLUDED.rate""",
            (provider,),
        )
        changed = cursor.rowcount
        if changed:
            touch(c, "fx")
    return changed


def upsert_risk_free(c: psycopg.Connection, currency: str, rates: Sequence[tuple[date, Decimal]], provider: str) -> int:
    """Write dated risk-free rates of a currency, effective per year; the same again changes nothing. Rows changed."""
    changed = c.execute(
        """INSERT INTO risk_free_rates AS r (currency, "on", rate, provider)
           SELECT %s, x.day, x.rate, %s FROM unnest(%s::date[], %s::numeric[]) AS x (day, rate)
           ON CONFLICT (currency, "on") DO UPDATE SET rate = EXCLUDED.rate, provider = EXCLUDED.provider, recorded_at = now()
            WHERE r.rate <> EXCLUDED.rate""",
        (currency, provider, [on for on, _ in rates], [rate for _, rate in rates]),
    ).rowcount
    if changed:
        touch(c, "fx")
    return changed


def upsert_sessions(c: psycopg.Connection, exchange: str, sessions: Sequence[tuple[date, datetime, datetime]]) -> int:
    """Write an exchange's calendar: (day, open, close) in UTC. Rows changed."""
    changed = c.execute(
        """INSERT INTO trading_sessions AS t (exchange, "on", open_at, close_at)
           SELECT %s, * FROM unnest(%s::date[], %s::timestamptz[], %s::timestamptz[])
           ON CONFLICT (exchange, "on") DO UPDATE SET open_at = EXCLUDED.open_at, close_at = EXCLUDED.close_at
            WHERE (t.open_at, t.close_at) IS DISTINCT FROM (EXCLUDED.open_at, EXCLUDED.close_at)""",
        (exchange, [s[0] for s in sessions], [s[1] for s in sessions], [s[2] for s in sessions]),
    ).rowcount
    if changed:
        touch(c, "sessions")
    return changed


def calendars(c: psycopg.Connection) -> dict[str, Sessions]:
    """The calendars of all exchanges."""
    return books.sessions_of(c)


def last_bars(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, tuple[date, Decimal]]:
    """The newest bar of each security: (day, close)."""
    rows = c.execute(
        """SELECT s.id, b."on", b.close FROM unnest(%s::int[]) AS s (id) CROSS JOIN LATERAL
           (SELECT "on", close FROM price_history WHERE security_id = s.id ORDER BY "on" DESC LIMIT 1) b""",
        (list(ids),),
    ).fetchall()
    return {r[0]: (r[1], r[2]) for r in rows}


def bar_spans(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, tuple[date, date]]:
    """The days of the first and of the last bar of each security that has any."""
    rows = c.execute(
        """SELECT s.id, a."on", b."on" FROM unnest(%s::int[]) AS s (id)
           CROSS JOIN LATERAL (SELECT "on" FROM price_history WHERE security_id = s.id ORDER BY "on" LIMIT 1) a
           CROSS JOIN LATERAL (SELECT "on" FROM price_history WHERE security_id = s.id ORDER BY "on" DESC LIMIT 1) b""",
        (list(ids),),
    ).fetchall()
    return {r[0]: (r[1], r[2]) for r in rows}


def closes_near(
    c: psycopg.Connection, spans: Mapping[int, tuple[date, date]], around: int = 5
) -> dict[int, list[tuple[date, Decimal]]]:
    """(day, close) of what is stored between two days of each security, and of so many bars before and after them; oldest first."""
    rows = c.execute(
        """SELECT s.id, h."on", h.close FROM unnest(%(ids)s::int[], %(first)s::date[], %(last)s::date[]) AS s (id, first, last) CROSS JOIN LATERAL (
             (SELECT "on", close FROM price_history WHERE security_id = s.id AND "on" < s.first ORDER BY "on" DESC LIMIT %(n)s) UNION ALL
             (SELECT "on", close FROM price_history WHERE security_id = s.id AND "on" BETWEEN s.first AND s.last) UNION ALL
             (SELECT "on", close FROM price_history WHERE security_id = s.id AND "on" > s.last ORDER BY "on" LIMIT %(n)s)) h ORDER BY 1, 2""",
        {"ids": list(spans), "first": [a for a, _ in spans.values()], "last": [b for _, b in spans.values()], "n": around},
    ).fetchall()  # fmt: skip
    found: dict[int, list[tuple[date, Decimal]]] = {}
    for number, on, close in rows:
        found.setdefault(number, []).append((on, close))
    return found


def last_quotes(c: psycopg.Connection, ids: Sequence[int]) -> dict[int, tuple[Decimal, datetime]]:
    """The stored quote of each security: (price, its time)."""
    rows = c.execute(
        "SELECT security_id, price, quoted_at FROM asset_prices WHERE security_id = ANY (%s)", (list(ids),)
    ).fetchall()
    return {r[0]: (r[1], r[2]) for r in rows}


def bars_of(
    user: UUID, security: int, first: date | None = None, last: date | None = None, known_at: datetime | None = None
) -> list[tuple[Any, ...]]:
    """(day, open, high, low, close, volume, provider) of one security, oldest first, as known at a time (None: now).

    Of a bar that was corrected since, the close that it had then; its other prices are not kept.
    """
    with engine.session(user) as c:
        return c.execute(
            """SELECT k."on", CASE WHEN NOT corrected THEN h.open END, CASE WHEN NOT corrected THEN h.high END, CASE WHEN NOT corrected THEN h.low END,
                      k.close, CASE WHEN NOT corrected THEN h.volume END, k.provider
                 FROM closes_known(ARRAY[%s::int], coalesce(%s::timestamptz, 'infinity')) k JOIN price_history h USING (security_id, "on")
                WHERE k."on" BETWEEN %s AND %s ORDER BY 1""",
            (security, known_at, first or date(1900, 1, 1), last or date(9999, 1, 1)),
        ).fetchall()


def actions_of(user: UUID, security: int, known_at: datetime | None = None) -> tuple[str, list[Action]]:
    """(the currency of one security, its corporate actions, oldest first, as known at a time)."""
    with engine.session(user) as c:
        found = books.securities_of(c, [security])
        return found[0].currency if found else "", list(books.actions_of(c, [security], known_at).get(security, ()))


# the last quote; at a past date or known time the last close of then, and the one before
_NEWEST = {
    False: "SELECT price, previous_close, quoted_at, provider FROM asset_prices WHERE security_id = s.security_id",
    True: """SELECT max(close) FILTER (WHERE n = 1), max(close) FILTER (WHERE n = 2), NULL::timestamptz, max(provider) FILTER (WHERE n = 1)
               FROM (SELECT close, provider, row_number() OVER (ORDER BY "on" DESC) AS n FROM closes_known(ARRAY[s.security_id], %(known)s)
                      WHERE "on" <= %(on)s) k""",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which securities of the master: a part of the symbol, name or ISIN; what it must be; after which (symbol, exchange)."""

    text: str = ""
    asset_class: str | None = None
    sector: str | None = None
    exchange: str | None = None
    currency: str | None = None
    country: str | None = None
    status: Sequence[str] = ()
    number: int | None = None
    after: tuple[str, str] | None = None
    limit: int | None = None

    def parameters(self) -> dict[str, Any]:
        """As the query below takes them."""
        text = self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        symbol, exchange = self.after or (None, None)
        return {
            "text": f"%{text}%" if text else None, "asset_class": self.asset_class, "sector": self.sector, "exchange": self.exchange,
            "currency": self.currency, "country": self.country, "status": list(self.status), "number": self.number,
            "after_symbol": symbol, "after_exchange": exchange, "limit": self.limit,
        }  # fmt: skip


EVERY = Wanted()
_WANTED = """securities s LEFT JOIN sectors d USING (sector_id)
  WHERE (%(text)s::text IS NULL OR concat_ws(E'\n', s.symbol, s.name, s.isin) ILIKE %(text)s)
    AND (%(asset_class)s::text IS NULL OR lower(s.asset_class) = lower(%(asset_class)s))
    AND (%(sector)s::text IS NULL OR lower(d.sector) = lower(%(sector)s))
    AND (%(exchange)s::text IS NULL OR s.exchange = upper(%(exchange)s)) AND (%(currency)s::text IS NULL OR s.currency = upper(%(currency)s))
    AND (%(country)s::text IS NULL OR s.country = upper(%(country)s))
    AND (%(status)s::text[] = '{}' OR s.status = ANY (%(status)s)) AND (%(number)s::int IS NULL OR s.security_id = %(number)s)"""


def master(
    user: UUID, as_of: date | None = None, known_at: datetime | None = None, wanted: Wanted = EVERY
) -> list[tuple[Any, ...]]:
    """Securities with master data and last quote, by symbol and exchange, in the column order of `core.reports.securities`.

    At a past date or known time the price is the last close known then, without a time. Master data are as they are now.
    """
    past = as_of is not None or known_at is not None
    bars = (
        'SELECT count(*) FROM closes_known(ARRAY[s.security_id], %(known)s) WHERE "on" <= %(on)s'
        if past
        else "SELECT length(days) / 4 FROM price_arrays WHERE security_id = s.security_id"
    )
    on = as_of or date(9999, 1, 1)
    with engine.session(user) as c:
        return c.execute(
            f"""SELECT s.symbol, s.name, s.exchange, s.asset_class, s.sector, nullif(s.industry, ''), nullif(s.subsector, ''), s.country, s.currency,
                      s.isin, s.issuer, s.rating, s.issued_on, s.matures_on, s.par_value, s.dividend_frequency, s.status,
                      a.price, a.previous_close, a.quoted_at, a.provider, coalesce(({bars}), 0), s.security_id
                 FROM (SELECT s.*, d.sector, d.industry, d.subsector FROM {_WANTED}
                          AND (%(after_symbol)s::text IS NULL OR (s.symbol, s.exchange) > (%(after_symbol)s, %(after_exchange)s))
                        ORDER BY s.symbol, s.exchange LIMIT %(limit)s) s
                 LEFT JOIN LATERAL ({_NEWEST[past]}) a (price, previous_close, quoted_at, provider) ON true ORDER BY s.symbol, s.exchange""",
            {"on": on, "known": known_at or datetime.max.replace(tzinfo=UTC)} | wanted.parameters(),
        ).fetchall()


def how_many(user: UUID, wanted: Wanted) -> int:
    """How many securities of the master fit, wherever the page begins."""
    with engine.session(user) as c:
        row = c.execute(f"SELECT count(*) FROM {_WANTED}", wanted.parameters()).fetchone()
    return int(row[0]) if row else 0
