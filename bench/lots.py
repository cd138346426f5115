"""Lots, gains and positions out of 1,000,000 transactions: columns beside the loop of `core.booking`, plain loops over Decimals
(first in first out, average cost) and beancount on 50,000 of them.

beancount runs in a process of its own, with the Python that BEANCOUNT_PYTHON names or this one where it is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.measure import Row, against, human, seconds
from core.booking import derive, plain
from core.fx import Rates, day_of
from core.ledger import CODE, KINDS, MICRO, UNITS, Ledger
from core.lots import Lots

TRANSACTIONS, PORTFOLIOS, SECURITIES, FOR_BEANCOUNT = 1_000_000, 50, 2_000, 50_000
CENT = Decimal("0.01")
Outcome = dict[tuple[int, int], tuple[Decimal, Decimal, Decimal]]  # (portfolio, security): units, cost, realised gain


def fill(transactions: int, portfolios: int, securities: int, splits: bool = True) -> Ledger:
    """Purchases, sales of a part, every tenth entry of a security a 2:1 split; fees; drawn with a fixed seed."""
    rng, n = np.random.default_rng(1), transactions
    portfolio = rng.integers(0, portfolios, n).astype(np.int16)
    security = rng.integers(1, securities + 1, n).astype(np.int32)
    order = np.lexsort((np.arange(n), security, portfolio))
    new = (np.diff(portfolio[order], prepend=-1) != 0) | (np.diff(security[order], prepend=-1) != 0)
    starts = np.flatnonzero(new)
    place = np.empty(n, np.int64)  # of each entry among those of its security and portfolio
    place[order] = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))
    sold, split = place % 3 == 2, (place % 10 == 6) & splits
    kind = np.where(split, CODE["split"], np.where(sold, CODE["sell"], CODE["buy"])).astype(np.int8)
    hundredths = np.where(sold, rng.integers(50_00, 99_00, n), rng.integers(100_00, 200_00, n))  # two bought, one sold
    gross = np.where(split, 0, rng.integers(100_00, 10_000_00, n) * (MICRO // 100))
    fees = np.where(split, 0, rng.integers(0, 9_99, n) * (MICRO // 100))
    nil, currency = np.zeros(n, np.int64), np.zeros(n, np.int16)
    day = np.sort(rng.integers(14_000, 17_650, n)).astype(np.int32)
    return Ledger(
        portfolio, kind, security, np.where(split, 0, hundredths * (UNITS // 100)), np.where(split, 2, 0), np.where(split, 1, 0), gross, fees, nil,
        nil, currency, currency, np.zeros(n, np.bool_), day, day, np.zeros(n, "V16"), ("USD",),
    )  # fmt: skip


def by_columns(ledger: Ledger, portfolios: int, method: str = "fifo") -> Lots:
    """The product's way."""
    return derive(ledger, [method] * portfolios, ["USD"] * portfolios, Rates({}))


def by_loop(ledger: Ledger, portfolios: int, method: str = "fifo") -> Lots:
    """The product's plain loop, on integers."""
    return plain(ledger, [method] * portfolios, ["USD"] * portfolios, Rates({}))


def positions(lots: Lots) -> tuple[np.ndarray, ...]:
    """(portfolio and security in one number, units, cost, gain) of whatever was held, as columns."""
    still, closed = lots.still, lots.closed
    wide = 1 + int(max(still.security.max(initial=0), closed.security.max(initial=0)))
    size = wide * (1 + int(max(still.portfolio.max(initial=0), closed.portfolio.max(initial=0))))
    units, cost, gain, there = (np.zeros(size, np.int64) for _ in range(4))
    open_at, closed_at = (x.portfolio.astype(np.int64) * wide + x.security for x in (still, closed))
    np.add.at(units, open_at, still.units)
    np.add.at(cost, open_at, still.cost)
    np.add.at(gain, closed_at, closed.proceeds - closed.cost)
    there[open_at] = there[closed_at] = 1
    keys = np.flatnonzero(there)
    return keys // wide << 32 | keys % wide, units[keys], cost[keys], gain[keys]


def outcome(lots: Lots) -> Outcome:
    """The same in words that a loop over Decimals speaks."""
    return {
        (key >> 32, key & 0xFFFFFFFF): (Decimal(units) / UNITS, Decimal(cost) / MICRO, Decimal(gain) / MICRO)
        for key, units, cost, gain in zip(*(x.tolist() for x in positions(lots)), strict=True)
    }


Entry = tuple[
    tuple[int, int], str, int, Decimal, Decimal
]  # (portfolio, security), kind, day, units or ratio, cost or proceeds
Sold = tuple[
    tuple[int, int], int, int, Decimal, Decimal, Decimal
]  # of one lot: opened and closed on, units, proceeds, cost


def entries(ledger: Ledger, portfolio: int) -> list[Entry]:
    """The entries of one portfolio as a program of Decimals has them in memory."""
    rows = np.flatnonzero(ledger.portfolio == portfolio)
    out = []
    columns = (ledger.security, ledger.kind, ledger.traded_on, ledger.quantity, ledger.ratio_new, ledger.gross, ledger.fees)
    for security, code, day, units, new, gross, fees in zip(*(x[rows].tolist() for x in columns), strict=True):
        kind = KINDS[code]
        number = Decimal(new) if kind == "split" else Decimal(units) / UNITS
        amount = gross + fees if kind == "buy" else gross - fees
        out.append(((portfolio, security), kind, day, number, Decimal(amount) / MICRO))
    return out


def decimals_fifo(rows: list[Entry], sold: list[Sold]) -> Outcome:
    """First in, first out in a plain loop: a lot keeps its whole cost, the first units taken carry their rounded share."""
    lots: dict[tuple[int, int], deque[list[Any]]] = {}
    gains: dict[tuple[int, int], Decimal] = {}
    for key, kind, day, number, amount in rows:
        mine = lots.setdefault(key, deque())
        if kind == "buy":
            mine.append([number, amount, Decimal(0), Decimal(0), day])  # whole units and cost, units and cost taken
        elif kind == "split":
            for lot in mine:
                lot[0] *= number
                lot[2] *= number
        else:
            left, cost, received = number, Decimal(0), Decimal(0)
            while left:
                lot = mine[0]
                taken = min(left, lot[0] - lot[2])
                lot[2] += taken
                left -= taken
                upto = lot[1] if lot[2] == lot[0] else (lot[1] * lot[2] / lot[0]).quantize(CENT, ROUND_HALF_EVEN)
                done = (amount * (number - left) / number).quantize(CENT, ROUND_HALF_EVEN) if left else amount
                sold.append((key, lot[4], day, taken, done - received, upto - lot[3]))
                cost, received = cost + upto - lot[3], done
                lot[3] = upto
                if lot[2] == lot[0]:
                    mine.popleft()
            gains[key] = gains.get(key, Decimal(0)) + amount - cost
    return {
        key: (
            sum((x[0] - x[2] for x in mine), Decimal(0)),
            sum((x[1] - x[3] for x in mine), Decimal(0)),
            gains.get(key, Decimal(0)),
        )
        for key, mine in lots.items()
    }


def decimals_average(rows: list[Entry], sold: list[Sold]) -> Outcome:
    """Average cost in a plain loop: one pool, whose cost is whole again at every purchase."""
    pools: dict[tuple[int, int], list[Decimal]] = {}
    for key, kind, _, number, amount in rows:
        pool = pools.setdefault(key, [Decimal(0)] * 5)  # whole units and cost, units and cost taken, gain
        if kind == "buy":
            pool[:4] = pool[0] - pool[2] + number, pool[1] - pool[3] + amount, Decimal(0), Decimal(0)
        elif kind == "split":
            pool[0] *= number
            pool[2] *= number
        else:
            pool[2] += number
            upto = pool[1] if pool[2] == pool[0] else (pool[1] * pool[2] / pool[0]).quantize(CENT, ROUND_HALF_EVEN)
            pool[4] += amount - (upto - pool[3])
            pool[3] = upto
    return {key: (p[0] - p[2], p[1] - p[3], p[4]) for key, p in pools.items()}


def disposals(lots: Lots) -> list[Sold]:
    """Ours in the same words, portfolio by portfolio."""
    closed = lots.closed.only(np.argsort(lots.closed.portfolio, kind="stable"))
    columns = (
        closed.portfolio,
        closed.security,
        closed.opened_on,
        closed.closed_on,
        closed.units,
        closed.proceeds,
        closed.cost,
    )
    return [
        ((portfolio, security), opened, on, Decimal(units) / UNITS, Decimal(proceeds) / MICRO, Decimal(cost) / MICRO)
        for portfolio, security, opened, on, units, proceeds, cost in zip(*(x.tolist() for x in columns), strict=True)
    ]


def timed(
    ledger: Ledger, portfolios: int, loop: Callable[[list[Entry], list[Sold]], Outcome]
) -> tuple[float, Outcome, list[Sold]]:
    """A loop over Decimals, portfolio by portfolio; what it takes to make the Decimals is not counted."""
    taken, out, sold = 0.0, Outcome(), list[Sold]()
    for portfolio in range(portfolios):
        rows = entries(ledger, portfolio)
        start = time.perf_counter()
        found = loop(rows, sold)
        taken += time.perf_counter() - start
        out.update(found)
    return taken, out, sold


# --- beancount -----------------------------------------------------------------------------------------

_BEANCOUNT = """
import json, sys, time
from beancount.parser import booking, parser
entries, errors, options = parser.parse_file(sys.argv[1])
start = time.perf_counter()
entries, more = booking.book(entries, options)
taken = time.perf_counter() - start
assert not errors and not more, (errors + more)[:3]
units, gain = {}, 0
for entry in entries:
    for p in getattr(entry, "postings", ()):
        if p.account.startswith("Assets:P"):
            key = p.account[8:] + "/" + p.units.currency
            units[key] = units.get(key, 0) + p.units.number
        elif p.account == "Income:Gains":
            gain -= p.units.number
print(json.dumps([taken, {k: str(v) for k, v in units.items()}, str(gain)]))
"""


def beancount_python() -> str | None:
    """A Python that has beancount; None where there is none."""
    named = os.environ.get("BEANCOUNT_PYTHON")
    return named or (sys.executable if find_spec("beancount") else None)


def beancount_file(ledger: Ledger) -> Iterator[str]:
    """The ledger (purchases and sales) in beancount's language; fees are in the cost and off the proceeds, as we book them."""
    yield '1970-01-01 open Assets:Cash\n1970-01-01 open Income:Gains\noption "inferred_tolerance_default" "USD:0.005"\n'
    for portfolio in np.unique(ledger.portfolio).tolist():
        yield f'1970-01-01 open Assets:P{portfolio} "FIFO"\n'
    for portfolio in np.unique(ledger.portfolio).tolist():
        for (_, security), kind, day, units, amount in entries(ledger, portfolio):
            yield f'{day_of(day)} * "{kind}"\n'
            if kind == "buy":
                yield f"  Assets:P{portfolio}  {units} S{security} {{{{{amount} USD}}}}\n  Assets:Cash  {-amount} USD\n"
            else:
                yield (
                    f"  Assets:P{portfolio}  -{units} S{security} {{}} @@ {amount} USD\n"
                    f"  Assets:Cash  {amount} USD\n  Income:Gains\n"
                )


def beancount(ledger: Ledger, python: str) -> tuple[float, Mapping[str, str], Decimal]:
    """(seconds of its booking alone, units by portfolio and security, the whole gain); reading its file is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.beancount"
        path.write_text("".join(beancount_file(ledger)))
        done = subprocess.run([python, "-c", _BEANCOUNT, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"beancount failed: {done.stderr[-2000:]}")
    taken, units, gain = json.loads(done.stdout)
    return taken, units, Decimal(gain)


def compared_with_beancount(ledger: Ledger, lots: Lots, units: Mapping[str, str], gain: Decimal) -> None:
    """Raise where units differ, or the gain by more than what it rounds: beancount rounds a sale, not each lot's share."""
    mine = outcome(lots)
    assert {k: v[0] for k, v in mine.items()} == {
        (int(k.split("/")[0]), int(k.split("/S")[1])): Decimal(v) for k, v in units.items()
    }
    ours = sum((v[2] for v in mine.values()), Decimal(0))
    assert abs(ours - gain) <= CENT * len(lots.closed), (ours, gain)


def measure(small: bool = False) -> list[Row]:
    """Columns against the loops, and against beancount on a part."""
    n, portfolios, securities, rounds = (2_000, 3, 20, 1) if small else (TRANSACTIONS, PORTFOLIOS, SECURITIES, 3)
    part = fill(n // 10, portfolios, securities)
    assert outcome(by_loop(part, portfolios, "average")) == timed(part, portfolios, decimals_average)[1]
    assert by_columns(part, portfolios) == by_loop(part, portfolios)
    own = seconds({"columns": lambda: by_columns(part, portfolios), "loop": lambda: by_loop(part, portfolios)}, rounds)
    ledger = fill(n, portfolios, securities)
    lots = by_columns(ledger, portfolios)
    wanted, sold = outcome(lots), disposals(lots)
    del lots
    taken: dict[str, list[float]] = {"columns": [], "fifo": [], "average": []}
    for _ in range(rounds):
        taken["columns"].append(seconds({"": lambda: positions(by_columns(ledger, portfolios))}, 3)[""])
        spent, found, each = timed(ledger, portfolios, decimals_fifo)
        assert (found, each) == (wanted, sold), "not equal to the cent"
        taken["fifo"].append(spent)
        taken["average"].append(timed(ledger, portfolios, decimals_average)[0])
    ours, name = median(taken["columns"]), f"{TRANSACTIONS:,} transactions → lots, gains, positions"
    rows = [
        against(name, ours, "Decimal loop, FIFO", median(taken["fifo"]), 10),
        against(name, ours, "Decimal loop, average cost", median(taken["average"]), None),
        against(
            f"{TRANSACTIONS // 10:,} transactions → lots, gains", own["columns"], "our own loop", own["loop"], None
        ),
    ]
    return [*rows, _beside_beancount(small)]


def _beside_beancount(small: bool) -> Row:
    n, portfolios, securities = (200, 2, 5) if small else (FOR_BEANCOUNT, PORTFOLIOS, SECURITIES // 20)
    name, python = f"{FOR_BEANCOUNT:,} transactions → lots, gains", beancount_python()
    ledger = fill(n, portfolios, securities, splits=False)
    ours = seconds({"columns": lambda: by_columns(ledger, portfolios)}, 5)["columns"]
    if python is None:
        missing = "beancount not installed: pip install beancount, or name a Python that has it in BEANCOUNT_PYTHON"
        return Row(name, human(ours), missing, "–", "≥ 300 ×", None)
    theirs, units, gain = beancount(ledger, python)
    compared_with_beancount(ledger, by_columns(ledger, portfolios), units, gain)
    return against(name, ours, "beancount's booking, FIFO", theirs, 300)
