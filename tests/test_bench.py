"""The benchmarks run, and each compares ways that come to the same result. Nothing here is timed."""

from __future__ import annotations

import importlib
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psutil
import pytest

from bench import __main__ as bench
from bench import books as book_rows
from bench import charts, entry, lots, measure, memory, panel, quotes, sessions, snapshots
from db import engine, market

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", bench.ROWS)
def test_every_row_can_be_measured(name: str) -> None:
    assert callable(importlib.import_module(f"bench.{name}").measure)


@pytest.mark.parametrize("name", [n for n in bench.ROWS if n not in bench.WITHOUT_DATABASE] + ["lots", "panel"])
def test_a_row_runs_on_a_tiny_size(name: str, database: Any) -> None:
    """Each compares its ways before it measures them."""
    rows = importlib.import_module(f"bench.{name}").measure(small=True)
    assert rows
    assert all(isinstance(row, measure.Row) and row.ratio for row in rows)


def test_a_chart_is_what_pandas_makes_of_all_rows_even_with_gaps(database: Any) -> None:
    user, ids = charts.fill(2, 1_500)
    charts.compared(user, ids[0])
    for share in (3, 7):
        with engine.owner() as c:
            c.execute(
                "DELETE FROM portfolio_snapshots WHERE portfolio_id = %s AND hashtext(bucket::text) %% %s = 0",
                (ids[1], share),
            )
        charts.compared(user, ids[1])
    with engine.owner() as c:  # no close at all: every bucket has to be looked for
        c.execute("DELETE FROM portfolio_snapshots WHERE bucket::time = '20:00'")
    charts.compared(user, ids[1])


def test_a_chart_shows_nothing_to_whom_it_is_not_for(database: Any) -> None:
    from db import snapshots as product

    _, ids = charts.fill(1, 100)
    with engine.owner() as c:
        stranger = c.execute("INSERT INTO users (username, display_name) VALUES ('who', 'Who') RETURNING 1, user_id")
        who = stranger.fetchone()[1]
    assert product.chart_for(who, ids[0], "ALL", charts.NOW) == []


def test_the_loaded_book_is_what_the_orm_loads(database: Any) -> None:
    user, portfolio = book_rows.fill(400, 4, 30)
    book_rows.compared(user, portfolio)


def test_quotes_come_out_as_they_went_in(database: Any) -> None:
    """What COPY would take for its own signs, sizes of numbers, a previous close that is missing."""
    with database.owner() as c:
        ids = [
            c.execute(
                "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES (%s, 'XNYS', 'x', 'Equity', 'USD') "
                "RETURNING security_id",
                (f"S{i}",),
            ).fetchone()[0]
            for i in range(4)
        ]
        c.commit()
    at = datetime(2026, 6, 30, 14, 0, 1, 234567, tzinfo=UTC)
    given = [
        market.QuoteRow(ids[0], Decimal("1.0000000001"), None, "pre", "a\tb\\N\nc\r", at),
        market.QuoteRow(ids[1], Decimal("123456789012345678.1234567891"), Decimal("0.5"), "post", "\\.", at),
        market.QuoteRow(ids[2], Decimal("1E+3"), Decimal("1E-9"), "regular", "Zürich 'x' \"y\"", at),
        market.QuoteRow(ids[3], Decimal(7), Decimal(8), "closed", "", at),
    ]
    with engine.jobs() as c:
        assert market.upsert_quotes(c, []) == 0
        assert market.upsert_quotes(c, given) == 4
        assert market.upsert_quotes(c, given[:1]) == 1, "twice in one transaction"
    with engine.jobs() as c:
        rows = c.execute("SELECT * FROM asset_prices ORDER BY 1").fetchall()
    assert [row[:6] for row in rows] == [quotes._values(q) for q in given]


def test_the_orm_loop_and_the_statement_write_the_same_snapshot(database: Any) -> None:
    snapshots.fill(3, 4)
    snapshots.compared()


def test_reports_after_a_booking_are_those_made_of_nothing(database: Any) -> None:
    user, portfolio = book_rows.fill(400, 4, 30)
    entry.compared(user, portfolio, times=6)


@pytest.mark.skipif(lots.beancount_python() is None, reason="beancount is not installed")
def test_beancount_comes_to_the_same_units_and_gain() -> None:
    ledger = lots.fill(600, 2, 5, splits=False)
    _, units, gain = lots.beancount(ledger, lots.beancount_python())
    lots.compared_with_beancount(ledger, lots.by_columns(ledger, 2), units, gain)


def test_the_panel_is_what_columns_come_to() -> None:
    panel.compared()


def test_people_look_at_the_real_page() -> None:
    """Starts the product and the same pages with Streamlit's defaults, opens two tabs in each."""
    rows = sessions.measure(small=True)
    assert [row.name[:17] for row in rows] == ["2 on the overview"] * 2


def test_memory_is_counted() -> None:
    assert memory.megabytes([psutil.Process(os.getpid())]) > 10


def test_rows_make_a_table() -> None:
    shown = measure.table([measure.against("a", 0.001, "b", 0.05, 20), measure.within("c", 7.5, 6, "ms")])
    assert "50.0 ×" in shown
    assert shown.splitlines()[2].endswith("yes")
    assert shown.splitlines()[3].endswith("NO")
