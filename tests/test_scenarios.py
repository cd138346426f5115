"""Scenarios: ledgers in plain text and what comes of them; every file in tests/scenarios is a test.

A line is one statement. Setting up: `portfolio EUR`, `security ACME USD`, `rate 2024-01-02 USD 1.10` (units per euro),
`price 2024-03-01 ACME 15.00`. Booking: `2024-01-02 buy 100 ACME @ 10.00 USD fee 1.00 tax 0.50 fx 0.91`, `2024-01-02 deposit
5000 USD`, `2024-02-01 dividend 12.34 ACME USD tax 1.85`, `2024-02-01 split ACME 4`. `refused FIELD` before a booking says
that it must be refused for that field. Expecting, after `= fifo 2024-12-31` or `= average 2024-12-31`: `lot 25 ACME cost
250.00 USD 2024-01-02`, `gain 375.00`, `cash 1234.00 USD`, `units 25 ACME`, `total 1625.00`, `twr 0.05`, `coverage 1`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from core.book import Book, Portfolio
from core.booking import impossible
from core.fx import Rates, Series, day_number
from core.ledger import UNITS, Draft, LedgerError, Posting, Security, from_postings, joined, post
from core.lots import Lots
from core.ratio import read_ratio
from core.scope import Scope
from core.valuation import cash_of
from core.view import View

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
TODAY = date(2026, 1, 1)


class Scenario:
    """A ledger being told, line by line."""

    def __init__(self) -> None:
        self.base = "USD"
        self.securities: dict[str, Security] = {}
        self.prices: dict[str, dict[date, Decimal]] = {}
        self.rates: dict[str, dict[date, Decimal]] = {}
        self.postings: list[Posting] = []
        self.refuse: str | None = None
        self.view: View | None = None
        self.checked = 0

    def tell(self, line: str) -> None:
        words = line.split()
        if words[0] == "portfolio":
            self.base = words[1]
        elif words[0] == "security":
            self.securities[words[1]] = Security(
                len(self.securities) + 1, words[1], words[1], "XNYS", words[2], "Equity"
            )
        elif words[0] == "price":
            self.prices.setdefault(words[2], {})[date.fromisoformat(words[1])] = Decimal(words[3])
        elif words[0] == "rate":
            self.rates.setdefault(words[2], {})[date.fromisoformat(words[1])] = Decimal(words[3])
        elif words[0] == "refused":
            self.refuse = words[1]
        elif words[0] == "=":
            self.look(words[1], date.fromisoformat(words[2]))
        elif re.match(r"\d{4}-\d\d-\d\d$", words[0]):
            self.book(words)
        else:
            self.expect(words)
            self.checked += 1

    def book(self, words: list[str]) -> None:
        on, kind, rest = date.fromisoformat(words[0]), words[1], words[2:]
        refuse, self.refuse = self.refuse, None
        if refuse is None:
            self.postings.append(self.accept(self.draft(on, kind, rest)))
            return
        with pytest.raises(LedgerError) as refused:
            self.accept(self.draft(on, kind, rest))
        assert refused.value.field == refuse
        self.checked += 1

    def draft(self, on: date, kind: str, rest: list[str]) -> Draft:
        given = self.options(rest)
        if kind in ("buy", "sell", "short", "cover") or (
            kind.startswith("transfer") and len(rest) > 1 and rest[1] in self.securities
        ):
            given |= {
                "quantity": Decimal(rest[0]),
                "security": self.securities[rest[1]],
                "price": Decimal(rest[3]),
                "currency": rest[4],
            }
        elif kind in ("split", "spin_off", "merger", "symbol_change"):
            security = self.securities[rest[0]]
            given |= {"security": security, "currency": security.currency}
            if len(rest) > 1 and rest[1] != "into":
                given["ratio"] = read_ratio(rest[1])
        elif kind in ("dividend", "return_of_capital"):
            given |= {"gross": Decimal(rest[0]), "security": self.securities[rest[1]], "currency": rest[2]}
        else:
            given |= {"gross": Decimal(rest[0]), "currency": rest[1]}
        return Draft(kind=kind, traded_on=on, **given)  # type: ignore[arg-type]

    def options(self, rest: list[str]) -> dict[str, object]:
        """What follows the main words: `fee 1.00`, `into NEWCO` …; taken out of `rest`."""
        out: dict[str, object] = {}
        for word, (field, read) in {
            "fee": ("fees", Decimal), "tax": ("taxes", Decimal), "fx": ("fx", Decimal), "fraction": ("fraction", Decimal),
            "cash": ("gross", Decimal), "price": ("price", Decimal), "basis": ("basis", Decimal), "acquired": ("acquired_on", date.fromisoformat),
            "into": ("into", self.securities.__getitem__), "lots": ("lots", self.lots_named),
        }.items():  # fmt: skip
            if word in rest:
                i = rest.index(word)
                out[field] = read(rest[i + 1])
                del rest[i : i + 2]
        return out

    def lots_named(self, text: str) -> tuple[tuple[UUID, Decimal], ...]:
        """`2:10,1:5`: 10 units of the lot that the second booking of this file opened, 5 of the first."""
        pairs = (part.split(":") for part in text.split(","))
        return tuple((UUID(int=int(n) - 1), Decimal(units)) for n, units in pairs)

    def accept(self, draft: Draft) -> Posting:
        """What booking does: check the draft, then ask whether the holdings of its day allow it."""
        posting = post(draft, self.base, draft.traded_on, TODAY)
        numbers = [UUID(int=i) for i in range(len(self.postings) + 1)]
        there = from_postings(self.postings, ids=numbers[:-1])
        for error in impossible(*joined(there, from_postings([posting], ids=numbers[-1:])), ["specific"]).values():
            raise error
        return posting

    def look(self, method: str, on: date) -> None:
        def series(points: dict[date, Decimal]) -> Series:
            days = sorted(points)
            return Series(np.array([day_number(d) for d in days], np.int32), np.array([float(points[d]) for d in days]))

        book = Book(
            Portfolio(uuid4(), "scenario", self.base, None, method, methods=dated(method)),
            from_postings(self.postings),
            {s.security_id: s for s in self.securities.values()},
            {self.securities[name].security_id: series(points) for name, points in self.prices.items()},
            Rates({currency: series(points) for currency, points in self.rates.items()}),
            {},
            "1",
        )
        self.view = View(book, Scope(book.portfolio.portfolio_id, as_of=on), {}, datetime(2026, 1, 1, tzinfo=UTC))
        self.left = list(self.lots().open)

    def lots(self) -> Lots:
        assert self.view is not None
        return self.view.lots

    def expect(self, words: list[str]) -> None:
        assert self.view is not None, "expectations come after a line such as: = fifo 2024-12-31"
        view, what = self.view, words[0]
        number = {s.symbol: s.security_id for s in self.securities.values()}
        if what == "lot":
            found = [lot for lot in self.left if lot.security == number[words[2]] and Decimal(lot.units) / UNITS == Decimal(words[1])
                     and lot.opened_on == day_number(date.fromisoformat(words[6]))]  # fmt: skip
            costs = [Decimal(lot.cost) / 1_000_000 for lot in found]
            assert Decimal(words[4]) in costs, f"{' '.join(words)}: found {self.left}"
            self.left.remove(found[costs.index(Decimal(words[4]))])
        elif what == "nothing":
            assert self.left == [], "lots left that the scenario does not name"
        elif what == "gain":
            assert view.lots.disposals, "nothing was sold"
            assert sum(d.proceeds_base - d.cost_base for d in view.lots.disposals) == Decimal(words[1]) * 1_000_000
        elif what == "cash":
            assert cash_of(view.book, view.as_of).get(words[2], Decimal(0)) == Decimal(words[1])
        elif what == "units":
            held = sum(lot.units for lot in view.lots.open if lot.security == number[words[2]])
            assert Decimal(held) / UNITS == Decimal(words[1])
        elif what == "total":
            assert view.valuation.total == Decimal(words[1])
        elif what == "coverage":
            assert view.valuation.coverage == pytest.approx(float(words[1]), abs=1e-9)
        elif what == "unrealised":
            gain = sum(p.value_base - p.cost_base for p in view.valuation.positions if p.value_base is not None)
            assert gain == Decimal(words[1])
        elif what == "twr":
            span = view.span("ALL")
            assert span.twr == pytest.approx(float(words[1]), abs=5e-9)
        else:
            raise ValueError(f"not a statement: {' '.join(words)}")


def dated(method: str) -> tuple[tuple[int, str], ...]:
    """`fifo`, or dated: `fifo,2024-03-01:average`."""
    if "," not in method:
        return ()
    first, *later = method.split(",")
    parts = [part.rsplit(":", 1) for part in later]
    return ((0, first), *((day_number(date.fromisoformat(day)), name) for day, name in parts))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_scenario(path: Path) -> None:
    scenario = Scenario()
    for line in path.read_text("utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line:
            scenario.tell(line)
    assert scenario.checked, "a scenario that expects nothing proves nothing"


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 40
