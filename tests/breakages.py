"""Deliberate breakages of core, and what catches them: `python tests/breakages.py` breaks a copy once each and runs the tests.

The suite is only as good as what it notices. Each line names a file, what stands there, what it is broken into, and what that does.
`tests/test_breakages.py` holds the list to the code: what stands there must still stand there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/test_scenarios.py", "tests/test_laws.py", "tests/test_cumulative.py", "tests/golden/test_golden.py")


class Breakage(NamedTuple):
    """One thing done wrong."""

    file: str
    there: str
    broken: str
    what: str


BREAKAGES = (
    Breakage("core/lots.py", "upto = amount if so_far == all_of else share(amount, so_far, all_of, unit)", "upto = share(amount, so_far, all_of, unit) - unit", "a spread amount loses a cent"),
    Breakage("core/lots.py", "if twice > denominator or (twice == denominator and quotient & 1):", "if twice > denominator:", "half a cent always goes down"),
    Breakage("core/lots.py", "gone, whole = self.whole_units - self.units - self.rest if self.units", "gone, whole = side * units if self.units", "the cost of a part forgets what was taken before"),
    Breakage("core/lots.py", "upto = floor(so_far + Fraction(1, 2))", "upto = counted + floor(side * size + Fraction(1, 2))", "each lot is rounded, not the holding"),
    Breakage("core/lots.py", "first.opened_on = min(first.opened_on, lot.opened_on)", "first.opened_on = max(first.opened_on, lot.opened_on)", "a pool is dated by its last purchase"),
    Breakage("core/methods.py", "return lots[::-1]", "return lots", "last in, first out is first in, first out"),
    Breakage("core/methods.py", "side = -1 if lots[0].units > 0 else 1", "side = -1", "the dearest short is the one with the highest proceeds"),
    Breakage("core/methods.py", "if since > day:", "if since >= day:", "a method holds from the day after"),
    Breakage("core/corporate_actions.py", "cost = min(parts[i], lot.cost)", "cost = parts[i]", "a return of capital makes a cost negative"),
    Breakage("core/corporate_actions.py", "gain = max(0, min(parts[i], parts[i] + worth - lot.cost))", "gain = min(parts[i], parts[i] + worth - lot.cost)", "a merger realises a loss"),
    Breakage("core/corporate_actions.py", "made = Lot(lot.portfolio, into, lot.opened_on,", "made = Lot(lot.portfolio, into, lot.opened_on + 1,", "a spin-off loses the date of purchase"),
    Breakage("core/booking.py", "lots.insert(bisect_right(lots, day, key=lambda x: x.opened_on), lot)", "lots.append(lot)", "a transferred lot queues up behind younger ones"),
    Breakage("core/booking.py", '-amount, None if base is None else -base)', "amount, base)", "what a short brought in has the sign of a cost"),
    Breakage("core/booking.py", "return self.cash(n) if amount >= 0 else -self.cash(n)", "return self.cash(n)", "fees beyond the proceeds lose their sign"),
    Breakage("core/booking.py", "other.absorb(lot.rest)", "pass", "what a closed lot leaves of a unit is lost"),
    Breakage("core/booking.py", "if held < wanted:", "if held < wanted - 10**12:", "up to 100 units more than are held can be sold"),
    Breakage("core/booking.py", "sides = (-cost, part, None if cost_base is None else -cost_base, part_base)", "sides = (part, -cost, part_base, None if cost_base is None else -cost_base)", "a cover swaps proceeds and cost"),
    Breakage("core/valuation.py", "worth = np.where(kind == TRANSFER_IN, ledger.gross[rows], -ledger.gross[rows])", "worth = ledger.gross[rows]", "what is transferred out counts as coming in"),
    Breakage("core/valuation.py", "for number, amount in ((source, -moved), (target, moved)):", "for number, amount in ((target, moved),):", "the value of a merger appears from nowhere"),
    Breakage("core/ledger.py", "return 0 if kind in ACTIONS else 1", "return 1", "corporate actions come in the order of entry"),
    Breakage("core/ledger.py", "net = gross * plus + fees * fee_sign + taxes * tax_sign", "net = gross * plus + fees * fee_sign", "taxes move no cash"),
    Breakage("core/ledger.py", "if in_kind:\n        plus = 0", "if in_kind:\n        plus = plus", "a transfer in kind moves cash"),
    Breakage("core/cumulative.py", "quotient[off] = q - ((2 * r == -of) & (q & 1 == 1))", "quotient[off] = q", "the columns round half a cent up"),
    Breakage("core/cumulative.py", "lot_end = _snapped(rows, s) if in_parts else s.lot_end", "lot_end = s.lot_end", "the columns end a lot within a unit"),
    Breakage("core/cumulative.py", "out: Mask = (held > 0) & (2 * held < rows.after)", "out: Mask = held < 0", "the columns keep what a sale of all leaves of a unit"),
    Breakage("core/fx.py", "return b / a", "return a / b", "rates are turned around"),
)  # fmt: skip


def main() -> int:
    """Break a copy, once each; how many went unnoticed."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(
            ROOT,
            copy,
            ignore=shutil.ignore_patterns(".git", ".venv", ".data", ".shots", "__pycache__", ".*_cache", ".hypothesis"),
        )
        for n, b in enumerate(BREAKAGES, 1):
            place = copy / b.file
            sound = place.read_text("utf-8")
            place.write_text(sound.replace(b.there, b.broken, 1), "utf-8")
            found = subprocess.run(
                [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
                cwd=copy,
                capture_output=True,
                text=True,
            )
            place.write_text(sound, "utf-8")
            caught = next((line for line in found.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
            unnoticed += found.returncode != 1
            print(f"{n:2} {'caught' if found.returncode == 1 else 'UNNOTICED'}: {b.what}. {caught[:120]}", flush=True)
    return unnoticed


if __name__ == "__main__":
    sys.exit(min(main(), 99))
