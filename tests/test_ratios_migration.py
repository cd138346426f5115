"""Ratios that were kept as decimals of ten places: a database of before comes along, and each becomes the two numbers it was meant to be."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.ledger import UNITS
from core.plans import Plan
from core.valuation import lots_of
from db import audit, audit_guards, backups, books, migrate
from db.embedded import Embedded

NAME = "before_ratios"
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def before(server: Embedded) -> Iterator[Embedded]:
    """A server with a database of revision 0003."""
    migrate.ensure_database(server.conninfo(dbname="postgres"), NAME)
    try:
        assert migrate.migrate(server.conninfo(dbname=NAME), to="0003")
        yield server
    finally:
        books.forget()
        with psycopg.connect(server.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def one(c: Connection, sql: str, *parameters: object) -> Any:
    row = c.execute(sql, parameters).fetchone()
    assert row is not None
    return row[0]


class Teller:
    """Books as the product of then wrote it: rows of transactions with a decimal `ratio`."""

    def __init__(self, c: Connection) -> None:
        self.c, self.n = c, 0
        self.user = one(c, "INSERT INTO users (username, display_name) VALUES ('ann', 'Ann') RETURNING user_id")
        self.portfolio = UUID(int=0)

    def opens(self, name: str) -> UUID:
        self.portfolio = one(
            self.c, "INSERT INTO portfolios (name, base_currency, created_by) VALUES (%s, 'USD', %s) RETURNING portfolio_id",
            name, self.user,
        )  # fmt: skip
        return self.portfolio

    def security(self, symbol: str) -> int:
        number: int = one(
            self.c,
            "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', %s, 'Equity', 'USD') RETURNING security_id",
            symbol, symbol,
        )  # fmt: skip
        return number

    def books(
        self, day: int, kind: str, security: int, quantity: str | None = None, ratio: str | None = None, **more: object
    ) -> UUID:
        self.n += 1
        on, gross = date(2025, 1, 1) + timedelta(days=day), 100 if quantity else 0
        sign = {"buy": -1, "sell": 1}.get(kind, 0)
        cells = {
            "portfolio_id": self.portfolio, "kind": kind, "security_id": security, "quantity": quantity, "ratio": ratio, "gross": gross,
            "currency": "USD", "net": sign * gross, "cash_currency": "USD", "traded_on": on, "settles_on": on, "idempotency_key": f"k{self.n}",
            "source": "test", "recorded_by": self.user, **more,
        }  # fmt: skip
        names = ", ".join(cells)
        number: UUID = one(
            self.c,
            f"INSERT INTO transactions ({names}) VALUES ({', '.join(['%s'] * len(cells))}) RETURNING transaction_id",
            *cells.values(),
        )
        return number


# what is held before, the decimal that was kept, the two numbers that it was meant to be
KEPT = [
    ("480", "0.0833333333", "1:12"),
    ("300", "0.3333333333", "1:3"),
    ("10", "0.3333333333", "1:3"),  # no whole units either way: the ten-digit rounding of one small ratio
    ("300", "0.6666666667", "2:3"),
    ("7", "0.1428571429", "1:7"),
    ("30", "33.3333333333", "100:3"),
    ("999", "0.0010010010", "1:999"),
    ("10", "0.5", "1:2"),
    ("10", "4", "4:1"),
    ("3", "1.5", "3:2"),
    ("100", "0.0481", "481:10000"),
    ("100", "1.0481237841", "10481237841:10000000000"),  # the rounding of no small ratio
    ("30000000000", "0.3333333333", "3333333333:10000000000"),  # the decimal itself makes whole units
    ("300", "0.333333", "1:3"),  # fewer places: only 1:3 makes whole units
    ("1000000", "0.333333", "333333:1000000"),
    ("301", "0.333333", "333333:1000000"),  # neither makes whole units
]


def test_a_database_of_before_comes_along(before: Embedded) -> None:
    expected: dict[UUID, str] = {}
    with psycopg.connect(before.conninfo("ballast_owner", NAME)) as c:
        teller = Teller(c)
        first = teller.opens("First")
        for i, (units, ratio, told) in enumerate(KEPT):
            number = teller.security(f"S{i}")
            teller.books(1, "buy", number, units)
            expected[teller.books(2, "split", number, ratio=ratio)] = told
        # one after the other: 10 → 10/3 → 10; a purchase of the same day comes after the split
        back = teller.security("BACK")
        teller.books(1, "buy", back, "10")
        teller.books(5, "buy", back, "1")
        expected[teller.books(5, "split", back, ratio="0.3333333333")] = "1:3"
        expected[teller.books(6, "split", back, ratio="3")] = "3:1"
        # spin-off and merger by thirds; what is merged into is split then
        parent, child, last = (teller.security(s) for s in ("PARENT", "CHILD", "LAST"))
        teller.books(1, "buy", parent, "300")
        expected[teller.books(2, "spin_off", parent, ratio="0.3333333333", into_id=child, fraction="0.25")] = "1:3"
        expected[teller.books(3, "merger", parent, ratio="0.6666666667", into_id=last)] = "2:3"
        teller.books(4, "sell", last, "80")
        expected[teller.books(5, "split", last, ratio="0.0833333333")] = "1:12"
        # a split that was taken back stays in the ledger, and does not count for the next one
        gone = teller.security("GONE")
        teller.books(1, "buy", gone, "300")
        wrong = teller.books(2, "split", gone, ratio="0.3333333333")
        expected[wrong] = "1:3"
        teller.books(2, "reversal", gone, reverses=wrong)
        expected[teller.books(3, "split", gone, ratio="0.0033333333")] = "1:300"
        # short, and in another portfolio: what is held there decides
        second = teller.opens("Second")
        short = teller.security("SHORT")
        teller.books(1, "short", short, "300")
        expected[teller.books(2, "split", short, ratio="0.333333")] = "1:3"
        teller.books(3, "buy", back, "30000000000")
        expected[teller.books(4, "split", back, ratio="0.3333333333")] = "3333333333:10000000000"
        # what was sold to the last decimal of what the decimal made: that one is meant, and the portfolio still adds up
        third = teller.opens("Third")
        for i, (opening, closing) in enumerate((("buy", "sell"), ("transfer_in", "transfer_out"), ("short", "cover"))):
            number = teller.security(f"T{i}")
            teller.books(1, opening, number, "30000")
            expected[teller.books(2, "split", number, ratio="0.6666666667")] = "6666666667:10000000000"
            teller.books(3, closing, number, "20000.000001")
        down = teller.security("DOWN")
        teller.books(1, "buy", down, "300")
        expected[teller.books(2, "split", down, ratio="0.3333333333")] = "3333333333:10000000000"
        teller.books(3, "sell", down, "50")
        teller.books(4, "sell", down, "49.99999999")
        teller.books(5, "buy", down, "300")
        expected[teller.books(6, "split", down, ratio="0.3333333333")] = "1:3"
        # behind a merger; a later sale of a part says nothing
        old, new = teller.security("OLD"), teller.security("NEW")
        teller.books(1, "buy", old, "300")
        expected[teller.books(2, "merger", old, ratio="0.6666666667", into_id=new)] = "6666666667:10000000000"
        teller.books(3, "sell", new, "150")
        teller.books(4, "sell", new, "50.00000001")
        part = teller.security("PART")
        teller.books(1, "buy", part, "300")
        expected[teller.books(2, "split", part, ratio="0.6666666667")] = "2:3"
        teller.books(3, "sell", part, "150")
        # lots that were rounded one by one, half-even: 0.0000000003 at 1:2 was 0.0000000002, and two of them 0.0000000004 and not 0.0000000003
        odd = teller.security("ODD")
        teller.books(1, "buy", odd, "10.0000000003")
        teller.books(1, "buy", odd, "20.0000000003")
        expected[teller.books(2, "split", odd, ratio="0.5")] = "1:2"
        teller.books(3, "sell", odd, "15.0000000004")
        # market data, as it is and as it was known
        c.execute(
            "INSERT INTO corporate_actions (security_id, kind, ex_on, ratio, provider) VALUES (%s, 'split', '2025-01-03', 0.5, 'yahoo')",
            (back,),
        )
        c.commit()
        c.execute("UPDATE corporate_actions SET ratio = 0.3333333333, provider = 'csv'")
        c.execute(
            "INSERT INTO corporate_actions (security_id, kind, ex_on, ratio, provider) VALUES (%s, 'split', '2025-02-03', 1.25, 'manual')",
            (back,),
        )
        c.execute(
            "INSERT INTO corporate_actions (security_id, kind, ex_on, amount, currency, provider) VALUES (%s, 'dividend', '2025-01-03', 1, 'USD', 'csv')",
            (back,),
        )
        kept = c.execute("SELECT transaction_id, seq, recorded_at, note FROM transactions ORDER BY seq").fetchall()
        known = c.execute("SELECT action_id, recorded_at FROM corporate_actions ORDER BY 1").fetchall()
        trail = one(c, "SELECT count(*) FROM audit_log")
    rows = len(kept)
    assert migrate.migrate(before.conninfo(dbname=NAME))
    assert not migrate.migrate(before.conninfo(dbname=NAME)), "nothing is left to do"
    with psycopg.connect(before.conninfo("ballast_owner", NAME)) as c:
        found = dict(
            c.execute(
                "SELECT transaction_id, ratio_new || ':' || ratio_old FROM transactions WHERE ratio_new IS NOT NULL"
            ).fetchall()
        )
        assert found == expected
        assert one(c, "SELECT count(*) FROM transactions WHERE ratio_old IS NULL") == rows - len(expected)
        assert (
            c.execute("SELECT transaction_id, seq, recorded_at, note FROM transactions ORDER BY seq").fetchall() == kept
        )
        assert c.execute("SELECT action_id, recorded_at FROM corporate_actions ORDER BY 1").fetchall() == known

        told = {a.ex_on: a.ratio for a in books.actions_of(c, [back])[back] if a.kind == "split"}
        assert {on: str(ratio) for on, ratio in told.items()} == {date(2025, 1, 3): "1/3", date(2025, 2, 3): "5/4"}
        at = one(c, "SELECT recorded_at - interval '1 microsecond' FROM action_corrections")
        [early] = [a for a in books.actions_of(c, [back], at)[back] if a.kind == "split"]
        assert str(early.ratio) == "1/2", "and what was known before is known as it was"

        # units: 480 → 40, 300 → 100 …, worked by hand
        held = {books.securities_of(c, [lot.security])[0].symbol: Decimal(lot.units) / UNITS
                for lot in lots_of(books.load(c, first).book, 30_000).open}  # fmt: skip
        assert (held["S0"], held["S1"], held["S3"], held["S4"], held["S5"], held["S6"]) == (40, 100, 200, 1, 1000, 1)
        assert held["S2"] == Decimal("3.3333333333")
        assert (held["S12"], held["S13"], held["S14"]) == (9_999_999_999, 100, 333_333)
        assert (held["CHILD"], held["LAST"], held["GONE"]) == (100, 10, 1)
        lots = [x for x in lots_of(books.load(c, first).book, 30_000).open if x.security == back]
        assert [Decimal(x.units) / UNITS for x in lots] == [10, 3], (
            "10 → 10/3 → 10, and the 1 that came after the split is 3"
        )
        assert [x.units // UNITS for x in lots_of(books.load(c, second).book, 30_000).open if x.security == short] == [
            -100
        ]

        lots = lots_of(books.load(c, third).book, 30_000).open
        assert {books.securities_of(c, [x.security])[0].symbol: Decimal(x.units) / UNITS for x in lots} == {
            "DOWN": 100,
            "PART": 50,
        }

        # the ledger is append-only as before, the audit trail as it was, and what protects it stands
        for change in ("UPDATE transactions SET ratio_new = 2", "DELETE FROM transactions"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"), c.transaction():
                c.execute(change)
        assert one(c, "SELECT count(*) FROM audit_log WHERE source NOT IN ('migration', 'database')") == 0
        assert one(c, "SELECT count(*) FROM audit_log") == trail
        assert audit_guards.fallen(c) == []
        assert audit.verify(c).findings == ()
        for wrong_pair in ("ratio_new = 0, ratio_old = 1", "ratio_new = 1, ratio_old = NULL"):
            with pytest.raises(psycopg.errors.CheckViolation), c.transaction():
                c.execute(f"UPDATE corporate_actions SET {wrong_pair} WHERE kind = 'split'")
        # what changes from now on is kept as a correction
        c.execute(
            "UPDATE corporate_actions SET ratio_new = 1, ratio_old = 4 WHERE ex_on = '2025-01-03' AND kind = 'split'"
        )
        assert c.execute(
            "SELECT ratio_new, ratio_old FROM action_corrections ORDER BY recorded_at DESC LIMIT 1"
        ).fetchone() == (1, 3)
        c.rollback()


def test_a_backup_of_before_is_read_with_the_columns_of_now(before: Embedded) -> None:
    """It holds a ratio as one decimal; restored, it is two numbers, and what did not change is no change."""
    migrate.migrate(before.conninfo(dbname=NAME))
    with psycopg.connect(before.conninfo("ballast_owner", NAME)) as c:
        number = one(c, "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('KEPT', 'XNYS', 'Kept', 'Equity', 'USD') RETURNING security_id")  # fmt: skip
        for day, new, old in ((3, 1, 3), (4, 5, 4), (5, 2, 1)):
            c.execute(
                "INSERT INTO corporate_actions (security_id, kind, ex_on, ratio_new, ratio_old, provider) VALUES (%s, 'split', %s, %s, %s, 'manual')",
                (number, date(2025, 3, day), new, old),
            )
        lines = []
        for table, text in backups._lines(c):
            row = json.loads(text, parse_float=str)
            if table == "corporate_actions":
                new, old = row.pop("ratio_new"), row.pop("ratio_old")
                row["ratio"] = format(Decimal(new) / Decimal(old), ".10f") if new else None
                if row["ex_on"] == "2025-03-05":
                    continue  # it came since
            lines.append(json.dumps({"table": table, "row": row}))
        raw = gzip.compress("\n".join(lines).encode())
        c.execute("DELETE FROM corporate_actions WHERE security_id = %s AND ex_on = '2025-03-03'", (number,))
        kept = one(
            c, "INSERT INTO backups (what, rows, content, sha256, bytes) VALUES ('Before', '{}', %s, %s, %s) RETURNING backup_id",
            raw, hashlib.sha256(raw).hexdigest(), len(raw),
        )  # fmt: skip
        plan: Plan = backups.restore_of(c, kept, datetime.now(UTC).date().isoformat())
        steps = {(s.action, s.table): s.rows for s in plan.steps if s.table == "corporate_actions"}
        assert set(steps) == {("insert", "corporate_actions"), ("delete", "corporate_actions")}
        [back] = steps["insert", "corporate_actions"]
        assert (back["ex_on"], back["ratio_new"], back["ratio_old"]) == ("2025-03-03", 1, 3)
        assert "ratio" not in back
        c.rollback()
