"""The demo as it is loaded: everything booked, once, and its totals the same as an independent computation in SQL."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from core.fx import day_number
from core.valuation import value
from db import access, admin, books, engine, installation, snapshots
from jobs import demo
from jobs.feeds.replay import ReplayFeed, played

pytestmark = pytest.mark.xdist_group("demo")
FOLDER = Path(__file__).parent.parent / "demo"
FILES = {"US Core": "us-core.csv", "Europe Base": "europe-base.csv", "Active Income": "active-income.csv"}
IN_SESSION = datetime(2026, 11, 20, 16, 32, 7, tzinfo=UTC)

# everything a portfolio is worth, from its transactions alone
TOTAL = """
WITH t AS (SELECT * FROM transactions t WHERE portfolio_id = %(p)s AND kind <> 'reversal' AND traded_on <= %(day)s
              AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id)),
eur AS (SELECT currency, CASE currency WHEN 'EUR' THEN 1 ELSE
          (SELECT rate FROM fx_rates WHERE quote = currency AND "on" <= %(day)s ORDER BY "on" DESC LIMIT 1) END AS rate FROM currencies),
worth AS (
  SELECT s.currency, sum(CASE kind WHEN 'buy' THEN quantity WHEN 'sell' THEN -quantity ELSE 0 END * a.price) AS amount
    FROM t JOIN securities s USING (security_id) JOIN asset_prices a USING (security_id) GROUP BY 1
  UNION ALL SELECT cash_currency, sum(net) FROM t GROUP BY 1)
SELECT round(sum(amount / mine.rate * base.rate), 2) FROM worth JOIN eur mine USING (currency)
 CROSS JOIN (SELECT rate FROM eur WHERE currency = (SELECT base_currency FROM portfolios WHERE portfolio_id = %(p)s)) base
"""


@pytest.fixture
def weak_passwords(monkeypatch):
    """DEMO=on, as far as it matters: demo/demo is a password."""
    monkeypatch.setattr(access, "settings", replace(access.settings, demo=True))


@pytest.fixture
def loaded(database, weak_passwords, capsys):
    """The demo, loaded while New York trades."""
    books.forget()
    assert demo.load(IN_SESSION) is True
    return capsys.readouterr().out


def everyone() -> dict[str, UUID]:
    with engine.owner() as c:
        return {name: user_id for user_id, name, *_ in installation.people(c)}


def rows_of(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def counts() -> dict[str, int]:
    tables = (
        "users securities price_history fx_rates trading_sessions portfolios transactions imports grants limits "
        "portfolio_snapshots position_snapshots asset_prices"
    )
    with engine.owner() as c:
        return {t: c.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables.split()}


def test_the_demo(loaded):
    """One load, many looks at it: loading takes seconds."""
    steps_are_shown(loaded)
    every_row_is_booked_and_the_mistake_reversed()
    totals_are_those_of_sql()
    minutes_are_those_of_the_feed()
    charts_have_their_points()
    guest_sees_one_portfolio_and_books_nothing()
    limits_are_breached_and_near()
    admin_lists_people()
    before = counts()
    assert demo.load(datetime(2026, 11, 23, 12, 0, tzinfo=UTC)) is False
    assert counts() == before


def steps_are_shown(out: str) -> None:
    lines = out.splitlines()
    assert len(lines) == demo.STEPS
    assert all(line.startswith(f"demo {n}/{demo.STEPS}") for n, line in enumerate(lines, 1))


def every_row_is_booked_and_the_mistake_reversed() -> None:
    with engine.owner() as c:
        replay = ReplayFeed(clock=lambda: IN_SESSION).replay()
        for name, file in FILES.items():
            rows = rows_of(file)
            assert len(rows) >= 200
            booked = c.execute(
                "SELECT traded_on, kind, symbol, quantity, price, fees, taxes, t.currency, fx, t.note FROM transactions t JOIN portfolios p "
                "USING (portfolio_id) LEFT JOIN securities USING (security_id) WHERE p.name = %s AND kind <> 'reversal' ORDER BY seq",
                (name,),
            ).fetchall()
            number = lambda text: Decimal(text) if text else None  # noqa: E731
            assert booked == [
                (
                    replay.shown_on(date.fromisoformat(r["date"])),
                    r["kind"],
                    r["symbol"] or None,
                    number(r["quantity"]),
                    number(r["price"]),
                    Decimal(r["fees"] or 0),
                    Decimal(r["taxes"] or 0),
                    r["currency"],
                    number(r["fx"]),
                    r["note"],
                )
                for r in rows
            ]
        reversed_ = c.execute(
            "SELECT p.name, o.quantity, s.symbol FROM transactions r JOIN transactions o ON o.transaction_id = r.reverses "
            "JOIN portfolios p ON p.portfolio_id = r.portfolio_id JOIN securities s ON s.security_id = o.security_id WHERE r.kind = 'reversal'"
        ).fetchall()
        assert reversed_ == [("Active Income", Decimal(1000), "KO")]
        assert c.execute("SELECT count(*) FROM portfolios WHERE demo").fetchone() == (3,)


def totals_are_those_of_sql() -> None:
    user, day = everyone()["demo"], IN_SESSION.date()
    found = books.portfolios(user)
    assert {p.name: (p.base_currency, p.method) for p in found} == {
        "US Core": ("USD", "fifo"),
        "Europe Base": ("EUR", "average"),
        "Active Income": ("USD", "fifo"),
    }
    for p in found:
        with engine.owner() as c:
            expected = c.execute(TOTAL, {"p": p.portfolio_id, "day": day}).fetchone()[0]
            bucket = snapshots.bucket_of(IN_SESSION, 5)
            recorded = c.execute(
                "SELECT total FROM portfolio_snapshots WHERE portfolio_id = %s AND bucket = %s",
                (p.portfolio_id, bucket),
            ).fetchone()[0]
        live = books.live(user, p.portfolio_id)
        now = value(live.book, day_number(day), live.quotes, IN_SESSION)
        assert now.total == expected == recorded
        assert now.complete
        assert now.coverage == 1.0
        assert all(amount >= 0 for amount in now.cash.values())
        assert Decimal(100_000) < now.total < Decimal(2_000_000)


def minutes_are_those_of_the_feed() -> None:
    """A total within a past session and one within the current, each position by hand."""
    feed = ReplayFeed(clock=lambda: IN_SESSION)
    for at in (datetime(2026, 11, 18, 17, 25, tzinfo=UTC), datetime(2026, 11, 20, 15, 5, tzinfo=UTC)):
        for name in FILES:
            with engine.owner() as c:
                p = c.execute("SELECT portfolio_id FROM portfolios WHERE name = %s", (name,)).fetchone()[0]
                c.execute("SAVEPOINT before")
                for q in feed.quotes(books.securities_of(c), at):
                    c.execute("UPDATE asset_prices SET price = %s WHERE security_id = %s", (q.price, q.security_id))
                expected = c.execute(TOTAL, {"p": p, "day": at.date()}).fetchone()[0]
                c.execute("ROLLBACK TO before")
                written = c.execute(
                    "SELECT total, coverage, complete FROM portfolio_snapshots WHERE portfolio_id = %s AND bucket = %s",
                    (p, at),
                ).fetchone()
            assert written == (expected, 1, True)


def charts_have_their_points() -> None:
    user = everyone()["demo"]
    for p in books.portfolios(user):
        points = {
            period: snapshots.chart_for(user, p.portfolio_id, period, IN_SESSION)
            for period in ("1D", "1W", "1M", "3M", "1Y", "ALL")
        }
        least = {"1D": 24, "1W": 50, "1M": 130, "3M": 170, "1Y": 250, "ALL": 1250}
        assert {k: len(v) for k, v in points.items() if len(v) < least[k]} == {}
        assert all(x.complete for x in points["ALL"])
        assert points["1D"][-1].at == snapshots.bucket_of(IN_SESSION, 5)
        with engine.owner() as c:
            flows = c.execute(
                "SELECT sum(CASE kind WHEN 'deposit' THEN net ELSE net END) FROM transactions WHERE portfolio_id = %s AND kind IN ('deposit', 'withdrawal') "
                "AND cash_currency = %s",
                (p.portfolio_id, p.base_currency),
            ).fetchone()[0]
        if p.base_currency == "USD":
            assert points["ALL"][-1].net_flow == flows


def guest_sees_one_portfolio_and_books_nothing() -> None:
    guest = everyone()["guest"]
    assert [(p.name, p.access) for p in books.portfolios(guest)] == [("Europe Base", "read")]
    with engine.session(guest) as c:
        assert c.execute("SELECT cardinality(writable())").fetchone() == (0,)
    assert access.sign_in("demo", "demo")[1].role == "admin"
    assert access.sign_in("guest", "guest")[1].role == "viewer"


def limits_are_breached_and_near() -> None:
    user = everyone()["demo"]
    core = next(p for p in books.portfolios(user) if p.name == "US Core")
    live = books.live(user, core.portfolio_id)
    since = day_number(date(2000, 1, 1))
    assert live.book.limits == {
        "max_security_weight": ((since, Decimal("0.12"), "hard"),),
        "max_sector_weight": ((since, Decimal("0.30"), "soft"),),
    }
    now = value(live.book, day_number(IN_SESSION.date()), live.quotes, IN_SESSION)
    weight = {p.security.symbol: p.value_base / now.total for p in now.positions}
    technology = sum(weight[p.security.symbol] for p in now.positions if p.security.sector == "Information Technology")
    assert weight["AAPL"] > Decimal("0.12")
    assert Decimal("0.27") < technology < Decimal("0.30")


def admin_lists_people() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "db.admin", "list-users"], capture_output=True, text=True, check=True, cwd=FOLDER.parent
    ).stdout
    assert [line.split()[:2] for line in out.splitlines()] == [["demo", "admin"], ["guest", "viewer"]]


def test_a_load_that_broke_off_is_finished_the_next_day_with_the_same_dates(database, weak_passwords, monkeypatch):
    books.forget()
    monkeypatch.setattr(demo.installation, "calendars_due", lambda c, until: ["XNAS", "XNYS"])

    def power_cut(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo.ledger, "reverse", power_cut)
        with pytest.raises(KeyboardInterrupt):
            demo.load(IN_SESSION)
    with engine.owner() as c:
        assert installation.fact(c, "demo") is None
        anchor = installation.fact(c, "replay")
    assert anchor == {"last_real": "2022-12-28", "last_shown": "2026-11-19"}
    tomorrow = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert demo.load(tomorrow) is True
    with engine.owner() as c:
        assert installation.fact(c, "replay") == anchor
        booked = dict(
            c.execute(
                "SELECT name, count(*) FROM transactions JOIN portfolios USING (portfolio_id) WHERE kind <> 'reversal' GROUP BY 1"
            ).fetchall()
        )
        assert booked == {name: len(rows_of(file)) for name, file in FILES.items()}
        assert c.execute('SELECT max("on") FROM price_history').fetchone() == (date(2026, 11, 20),)
        assert c.execute("SELECT max(\"on\") FROM fx_rates WHERE quote = 'USD'").fetchone() == (date(2026, 11, 20),)
        for (p,) in c.execute("SELECT portfolio_id FROM portfolios").fetchall():
            expected = c.execute(TOTAL, {"p": p, "day": tomorrow.date()}).fetchone()[0]
            last = c.execute(
                "SELECT total FROM portfolio_snapshots WHERE portfolio_id = %s ORDER BY bucket DESC LIMIT 1", (p,)
            ).fetchone()[0]
            assert last == expected


def test_ledgers_are_what_their_program_makes(tmp_path, monkeypatch):
    from demo import make_ledgers

    monkeypatch.setattr(make_ledgers, "__file__", str(tmp_path / "make_ledgers.py"))
    make_ledgers.main()
    for file in FILES.values():
        assert (tmp_path / file).read_bytes() == (FOLDER / file).read_bytes()


def test_isins_carry_their_check_digit():
    for security in played():
        if security.isin:
            digits = "".join(str(int(c, 36)) for c in security.isin)
            doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
            assert sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0, security.symbol


def test_an_admin_is_made_from_the_command_line(database, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("too short\n"))
    assert admin.main(["create-admin", "ann"]) == 1
    assert "at least 12" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("long enough for anyone\n" * 2))
    assert admin.main(["create-admin", "Ann"]) == 0
    assert access.sign_in("ann", "long enough for anyone")[1].role == "admin"
    assert admin.main(["create-admin", "ann"]) == 1
    assert "taken" in capsys.readouterr().err
