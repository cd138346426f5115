"""Importing on the real database: every sample to its last line, nothing twice, nothing half, and a ledger out and in again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from test_brokers import EXPORTS, FLEX, SAMPLES, data_lines

from db import access, engine, imports, market, portfolios
from db.imports import Choice

TODAY = date(2026, 6, 1)
# the currency of the account where a file does not say it
BASES = {"xtb": "EUR", "trading212": "EUR", "freetrade": "GBP", "ibkr_history": "GBP", "parqet": "EUR", "degiro": "EUR"}


class Desk:
    """Two analysts and a viewer; portfolios are made as they are needed."""

    def __init__(self) -> None:
        self.anna = access.create_user("anna", "anna's long password", "analyst")
        self.ben = access.create_user("ben", "ben's long password", "analyst")
        self.vera = access.create_user("vera", "vera's long password", "viewer")
        with engine.jobs() as c:
            new = [market.NewSecurity(s, s, "XNYS", "USD", "Equity") for s in ("ACME", "DULL", "ZETA")]
            self.ids = market.add_securities(c, new)

    def fresh(self, base: str = "USD", name: str = "Desk", method: str = "fifo") -> UUID:
        return portfolios.create_portfolio(self.anna, name, base, None, method, "")

    def put(self, portfolio: UUID, raw: bytes, name: str = "a.csv", user: UUID | None = None, **options: object) -> imports.Import:
        return imports.import_file(user or self.anna, portfolio, raw, name, TODAY, **options)  # type: ignore[arg-type]

    def taken(self, portfolio: UUID, raw: bytes, **options: object) -> imports.Import:
        """Import with every unknown security created as proposed."""
        dry = self.put(portfolio, raw, **options)
        choices = {u.key: Choice(create=u.proposed) for u in dry.unknown}
        return self.put(portfolio, raw, choices=choices, dry_run=False, take_good=True, **options)

    def rows(self, portfolio: UUID) -> list[Mapping[str, str]]:
        """The ledger as its own export has it, oldest first."""
        return list(csv.DictReader(io.StringIO(imports.export(self.anna, portfolio), newline="")))


@pytest.fixture
def desk(database: object) -> Desk:
    return Desk()


# --- every sample ----------------------------------------------------------------------------------------------------

# what may be refused, and why: a statement that begins after the account did, rows that somebody spoilt, what no file can tell
REASONS = (
    "are held", "is not named", "the file gives the units added", "one side of the split", "a date such as", "no kind of transaction",
    "the statement does not say", "the statement does not name", "none of it is held", "does not agree with", "it belongs to another booking", "spin-off", "the other side of this exchange",
    "it trades in", "would make a later entry impossible", "no units", "is held", "is open", "none is held", "nothing is held",
)  # fmt: skip


@pytest.mark.parametrize("path", [*SAMPLES, *EXPORTS, *FLEX], ids=lambda p: p.stem)
def test_no_line_of_a_sample_is_dropped_and_the_second_time_adds_nothing(desk: Desk, path: Path) -> None:
    raw = path.read_bytes()
    portfolio = desk.fresh(BASES.get(path.stem.replace("-export", ""), "USD"))
    done = desk.taken(portfolio, raw)
    lines = [n for v in done.verdicts for n in v.lines]
    assert len(lines) == len(set(lines))
    assert set(lines) == data_lines(raw)
    assert sum(done.count(o) for o in ("book", "duplicate", "refused", "skipped")) == len(done.verdicts)
    assert done.count("duplicate") == 0
    assert done.booked == done.count("book") == len(desk.rows(portfolio))
    for v in done.verdicts:
        assert v.outcome == "book" or v.reason, v
        if v.outcome == "refused":
            assert any(words in v.reason for words in REASONS), f"line {v.line}: {v.reason}"
    assert not [u for u in done.unknown if u.choice != "create"]
    again = desk.put(portfolio, raw, dry_run=False, take_good=True)
    assert (again.booked, again.count("duplicate")) == (0, done.booked)
    assert not again.unknown, "what was created is matched by itself"
