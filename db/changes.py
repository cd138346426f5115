"""What became known of a portfolio between two times: entries and reversals, prices, FX, cost methods, for `core.changes`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from core.book import Book
from core.changes import NEVER, MethodKnown, Story, Versions
from core.fx import Rates
from db import books, engine

_PACKED = """string_agg(int4send("on" - date '1970-01-01'), ''::bytea ORDER BY at), string_agg(float8send(value::float8), ''::bytea ORDER BY at),
       string_agg(int8send((extract(epoch FROM at) * 1000000)::int8), ''::bytea ORDER BY at),
       string_agg(int2send(first::int::int2), ''::bytea ORDER BY at), string_agg(DISTINCT provider, ', ')"""
# every value that became known in between: those that stand, and those that were replaced since
_PRICES = f"""
SELECT security_id, {_PACKED} FROM (
  SELECT v.*, NOT EXISTS (SELECT FROM price_corrections p WHERE p.security_id = v.security_id AND p."on" = v."on" AND p.known_from < v.at) AS first
    FROM (SELECT security_id, "on", close AS value, recorded_at AS at, provider FROM price_history
           WHERE security_id = ANY (%(ids)s) AND recorded_at > %(since)s AND recorded_at <= %(until)s
          UNION ALL SELECT security_id, "on", close, known_from, provider FROM price_corrections
           WHERE security_id = ANY (%(ids)s) AND known_from > %(since)s AND known_from <= %(until)s) v) w
 GROUP BY security_id ORDER BY security_id
"""
_RATES = f"""
SELECT quote, {_PACKED} FROM (
  SELECT v.*, NOT EXISTS (SELECT FROM fx_corrections p WHERE p.base = 'EUR' AND p.quote = v.quote AND p."on" = v."on" AND p.known_from < v.at) AS first
    FROM (SELECT quote, "on", rate AS value, recorded_at AS at, provider FROM fx_rates
           WHERE base = 'EUR' AND quote = ANY (%(ids)s) AND recorded_at > %(since)s AND recorded_at <= %(until)s
          UNION ALL SELECT quote, "on", rate, known_from, provider FROM fx_corrections
           WHERE base = 'EUR' AND quote = ANY (%(ids)s) AND known_from > %(since)s AND known_from <= %(until)s) v) w
 GROUP BY quote ORDER BY quote
"""
_ENTRIES = """
SELECT t.transaction_id, (extract(epoch FROM t.recorded_at) * 1000000)::int8, u.display_name,
       (extract(epoch FROM r.recorded_at) * 1000000)::int8, coalesce(w.display_name, '')
  FROM transactions t JOIN users u ON u.user_id = t.recorded_by
  LEFT JOIN transactions r ON r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id AND r.recorded_at <= %(until)s
  LEFT JOIN users w ON w.user_id = r.recorded_by
 WHERE t.portfolio_id = %(p)s AND t.kind <> 'reversal' AND t.recorded_at <= %(until)s AND (t.recorded_at > %(since)s OR r.recorded_at > %(since)s)
"""


def story_of(user: UUID, portfolio: UUID, since: datetime, until: datetime | None = None) -> Story:
    """What became known after `since` and up to `until` (None: now). Waits for bookings under way; raises NoSuchPortfolio."""
    with engine.session(user) as c:
        settled = books.settled(c, portfolio)
        until = settled if until is None else min(until, settled)
        its = books.portfolio_of(c, portfolio, since)
        ledger = books.ledger_of(c, [portfolio], until, reversed_by=since)
        ids = sorted(
            {int(s) for s in np.unique(ledger.security) if s} | {d.into for d in ledger.details.values() if d.into}
        )
        securities = {s.security_id: s for s in books.securities_of(c, ids)}
        currencies = sorted(set(ledger.currencies) | {s.currency for s in securities.values()} | {its.base_currency})
        between: dict[str, Any] = {"p": portfolio, "since": since, "until": until}
        place = {bytes(number): row for row, number in enumerate(ledger.ids)}
        booked, struck = np.zeros(len(ledger), np.int64), np.full(len(ledger), NEVER, np.int64)
        booked_by, struck_by = [""] * len(ledger), [""] * len(ledger)
        for number, at, by, reversed_at, reversed_by in c.execute(_ENTRIES, between).fetchall():
            row = place.get(number.bytes)
            if row is not None:
                booked[row], booked_by[row] = at, by
                if reversed_at is not None:
                    struck[row], struck_by[row] = reversed_at, reversed_by
        methods = [
            MethodKnown(at, day, method)
            for at, day, method in c.execute(
                "SELECT (extract(epoch FROM recorded_at) * 1000000)::int8, valid_from - date '1970-01-01', method FROM cost_methods "
                "WHERE portfolio_id = %(p)s AND recorded_at > %(since)s AND recorded_at <= %(until)s ORDER BY recorded_at",
                between,
            ).fetchall()
        ]
        prices = {r[0]: _versions(r) for r in c.execute(_PRICES, {**between, "ids": ids}, binary=True).fetchall()}
        rates = {r[0]: _versions(r) for r in c.execute(_RATES, {**between, "ids": currencies}, binary=True).fetchall()}
        book = Book(
            its,
            ledger,
            securities,
            books.prices_of(c, ids, since),
            Rates(dict(books.rates_of(c, currencies, since).series)),
            books.sessions_of(c),
            "story",
            since,
        )
        return Story(book, since, until, booked, struck, booked_by, struck_by, prices, rates, methods)


def _versions(row: Any) -> Versions:
    _, days, values, at, first, by = row
    return Versions(
        np.frombuffer(days, ">i4").astype(np.int32),
        np.frombuffer(values, ">f8").astype(np.float64),
        np.frombuffer(at, ">i8").astype(np.int64),
        np.frombuffer(first, ">i2").astype(np.bool_),
        by,
    )
