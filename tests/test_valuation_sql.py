"""The value on the page, computed a second time by SQL straight from what was booked, and once more by the snapshot.

The SQL here knows nothing of lots, Books or reports: buys, sells and splits summed, times the last price, times FX, plus
every posted cash movement.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from small import MARK, Small, bar_days, installed

from core.ledger import Draft
from core.scope import Scope
from db import ledger, market, portfolios, reports, snapshots

CENT = Decimal("0.01")
NAMES = ("dollars", "euros", "mixed")

VALUE = """
WITH booked AS (
  SELECT * FROM transactions t WHERE portfolio_id = %(p)s AND kind <> 'reversal' AND traded_on <= %(on)s
     AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)),
held AS (
  SELECT security_id, sum(CASE kind WHEN 'buy' THEN quantity ELSE -quantity END
           * (SELECT pg_temp.product(s.ratio_new / s.ratio_old) FROM booked s WHERE s.kind = 'split' AND s.security_id = b.security_id AND s.traded_on > b.traded_on)) AS units
    FROM booked b WHERE kind IN ('buy', 'sell') GROUP BY security_id),
priced AS (
  SELECT h.security_id, h.units, s.currency,
         CASE WHEN %(live)s AND q.price IS NOT NULL AND (q.quoted_at AT TIME ZONE e.zone)::date >= coalesce(b."on", '-infinity') THEN q.price
              ELSE b.close END AS price
    FROM held h JOIN securities s USING (security_id) JOIN exchanges e USING (exchange) LEFT JOIN asset_prices q USING (security_id)
    LEFT JOIN LATERAL (SELECT close, "on" FROM price_history WHERE security_id = h.security_id AND "on" <= %(on)s ORDER BY "on" DESC LIMIT 1) b ON true
   WHERE h.units <> 0),
rate AS (
  SELECT currency, CASE WHEN currency = 'EUR' THEN 1 ELSE
           (SELECT rate FROM fx_rates WHERE base = 'EUR' AND quote = currency AND "on" <= %(on)s ORDER BY "on" DESC LIMIT 1) END AS per_euro FROM currencies),
worth AS (
  SELECT units * price::numeric(60, 30) / f.per_euro AS euros, price IS NULL AS gap FROM priced JOIN rate f USING (currency)
   UNION ALL SELECT net::numeric(60, 30) / f.per_euro, false FROM booked JOIN rate f ON f.currency = cash_currency)
SELECT sum(euros) * (SELECT per_euro FROM rate JOIN portfolios ON base_currency = currency WHERE portfolio_id = %(p)s), bool_or(gap),
       (SELECT count(*) FROM priced) FROM worth
"""


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def sql_value(c: psycopg.Connection[Any], portfolio: UUID, on: date, live: bool) -> tuple[Decimal, int]:
    """(value in the base currency rounded to the cent, number of positions) as the database alone computes it."""
    c.execute("CREATE AGGREGATE pg_temp.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = 1)")
    row = c.execute(VALUE, {"p": portfolio, "on": on, "live": live}).fetchone()
    assert row is not None
    assert not row[1], "a position has no price"
    return Decimal(row[0]).quantize(CENT, ROUND_HALF_EVEN), row[2]


def by_sql(small: Small, portfolio: UUID, on: date | None = None) -> tuple[Decimal, int]:
    """The same on a connection of its own; without a day, now and with the quotes."""
    with small.database.owner() as c:
        return sql_value(c, portfolio, on or small.now.date(), on is None)


def overview(small: Small, portfolio: UUID, **query: str) -> dict[str, Any]:
    answer = small.client("anna").get("/v1/reports/overview", params={"portfolio": str(portfolio), **query})
    assert answer.status_code == 200, answer.text
    return {f["key"]: f["value"] for f in answer.json()["figures"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_total_is_what_the_database_alone_computes(small: Small, name: str) -> None:
    portfolio = small.portfolios[f"{MARK} {name}"]
    value, positions = by_sql(small, portfolio)
    figures = overview(small, portfolio)
    assert positions == {"dollars": 4, "euros": 1, "mixed": 4}[name]
    assert Decimal(figures["total"]) == value
    assert Decimal(figures["total"]) != 0
    assert figures["positions"] == positions


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("back", [0, 45, 150, 215, 250])
def test_and_on_past_days(small: Small, name: str, back: int) -> None:
    """Before and after splits, sales and the mistake: prices and FX of that day."""
    portfolio, on = small.portfolios[f"{MARK} {name}"], bar_days(small.now)[-1 - back]
    assert Decimal(overview(small, portfolio, as_of=on.isoformat())["total"]) == by_sql(small, portfolio, on)[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_live_value_and_the_snapshot_are_the_same(small: Small, name: str) -> None:
    portfolio = small.portfolios[f"{MARK} {name}"]
    value, positions = by_sql(small, portfolio)
    current = small.client("anna").get("/portfolio/current", params={"portfolio": str(portfolio)}).json()
    assert current["total_value"] == float(value)
    assert round(current["investment_value"] + current["cash_balance"], 2) == pytest.approx(float(value), abs=0.011)
    assert sum(p["current_value"] for p in current["positions"]) == pytest.approx(current["investment_value"], abs=0.03)
    with small.database.owner() as c:
        bucket = snapshots.bucket_of(small.now, 5)
        row = c.execute(
            "SELECT total, cash, invested FROM portfolio_snapshots WHERE portfolio_id = %s AND bucket = %s",
            (portfolio, bucket),
        ).fetchone()
        counted = c.execute(
            "SELECT count(*) FROM position_snapshots WHERE portfolio_id = %s AND bucket = %s", (portfolio, bucket)
        ).fetchone()
    assert row is not None
    assert row[0] == value
    assert float(row[1]) == current["cash_balance"]
    assert float(row[2]) == current["investment_value"]
    assert counted == (positions,)


def test_a_carried_price_is_counted_and_said(small: Small) -> None:
    """LATE has had no bar for six weeks: its last close counts, its age shows, the valuation is not called fresh."""
    portfolio = small.portfolios[f"{MARK} dollars"]
    current = small.client("anna").get("/portfolio/current", params={"portfolio": str(portfolio)}).json()
    late = next(p for p in current["positions"] if p["ticker"] == "LATE")
    assert late["current_value"] > 0
    assert current["price_fresh"] is False
    assert current["coverage"] < 1
    holdings = small.client("anna").get("/v1/reports/holdings", params={"portfolio": str(portfolio)}).json()
    note = next(r["note"] for r in holdings["rows"] if r["symbol"] == "LATE")
    assert "carried forward since" in note


def test_a_reversed_entry_counts_for_nothing(small: Small) -> None:
    """The mistake of 4,242.42 is in the ledger twice, as itself and as its reversal, and nowhere in the value."""
    portfolio = small.portfolios[f"{MARK} euros"]
    text = small.client("anna").get("/v1/transactions", params={"portfolio": str(portfolio)}).text
    assert "4242.42" in text
    with small.database.owner() as c:
        cash = c.execute(
            "SELECT sum(net) FROM transactions WHERE portfolio_id = %s AND kind <> 'reversal' AND net <> 4242.42",
            (portfolio,),
        ).fetchone()
    assert cash is not None
    assert Decimal(overview(small, portfolio)["cash"]) == cash[0]


def test_a_quote_of_an_older_day_does_not_beat_the_bar(small: Small) -> None:
    """BOLT was quoted ten days ago and has bars since: page and snapshot value it at the bar."""
    portfolio = small.portfolios[f"{MARK} mixed"]
    with small.database.jobs() as c:
        c.execute(
            "INSERT INTO asset_prices (security_id, price, provider, quoted_at) VALUES (%s, 99999, 'csv', %s)",
            (small.securities["BOLT"], small.now - timedelta(days=10)),
        )
        c.execute("UPDATE data_versions SET version = version + 1 WHERE name = 'quotes'")
    later = small.now + timedelta(minutes=5)
    try:
        value, _ = by_sql(small, portfolio)
        assert Decimal(overview(small, portfolio)["total"]) == value
        with small.database.jobs() as c:
            snapshots.take(c, later, 5, 0.98)
        with small.database.owner() as c:
            row = c.execute(
                "SELECT total FROM portfolio_snapshots WHERE portfolio_id = %s AND bucket = %s",
                (portfolio, snapshots.bucket_of(later, 5)),
            ).fetchone()
        assert row == (value,)
    finally:
        with small.database.owner() as c:
            c.execute("DELETE FROM asset_prices WHERE security_id = %s", (small.securities["BOLT"],))
            c.execute("DELETE FROM position_snapshots WHERE bucket > %s", (small.now,))
            c.execute("DELETE FROM portfolio_snapshots WHERE bucket > %s", (small.now,))
            c.execute("UPDATE data_versions SET version = version + 1 WHERE name = 'quotes'")


def test_half_a_cent_is_rounded_the_same_way(small: Small) -> None:
    """0.5 × 40.01 is 20.005: half-even makes it 20.00, on the page and in the snapshot."""
    portfolio = portfolios.create_portfolio(small.anna, f"{MARK} half", "USD")
    bolt = next(s for s in market.securities(small.anna) if s.symbol == "FUND")
    with small.database.jobs() as c:
        c.execute(
            "INSERT INTO asset_prices (security_id, price, provider, quoted_at) VALUES (%s, 40.01, 'csv', %s)",
            (bolt.security_id, small.now),
        )
        c.execute("UPDATE data_versions SET version = version + 1 WHERE name = 'quotes'")
    on = bar_days(small.now)[-3]
    ledger.append(
        small.anna, portfolio, [Draft("buy", on, "USD", bolt, Decimal("0.5"), Decimal("40"))], small.now.date()
    )
    later = small.now + timedelta(minutes=10)
    try:
        assert reports.view(small.user("anna"), Scope(portfolio)).valuation.invested == Decimal("20.00")
        with small.database.jobs() as c:
            snapshots.take(c, later, 5, 0.98)
            row = c.execute(
                "SELECT invested, total FROM portfolio_snapshots WHERE portfolio_id = %s", (portfolio,)
            ).fetchone()
        assert row == (Decimal("20.00"), Decimal("0.00"))
    finally:
        with small.database.owner() as c:
            c.execute("DELETE FROM asset_prices WHERE security_id = %s", (bolt.security_id,))


def test_the_check_can_fail(small: Small) -> None:
    """A cent more in the ledger, as the page does not know it, shows."""
    portfolio = small.portfolios[f"{MARK} euros"]
    before = Decimal(overview(small, portfolio)["total"])
    with small.database.owner() as c:
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, gross, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, recorded_by) "
            "VALUES (%s, 'deposit', 0.01, 'EUR', 0.01, 'EUR', %s, %s, 'cent', 'test', %s)",
            (portfolio, small.now.date(), small.now.date(), small.anna),
        )
        assert sql_value(c, portfolio, small.now.date(), True)[0] == before + CENT
        c.rollback()
