"""Measures the rows and prints the table. `python -m bench [--small] [name …]`; names as listed in ROWS."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from bench import database
from bench.measure import Row, table

ROWS = {
    "charts": "chart queries on 10,000,000 snapshots",
    "books": "loading a Book of 50,000 transactions and 200 securities × 10 years",
    "entry": "a new transaction in a portfolio of 50,000 until it shows",
    "quotes": "10,000 quotes upserted",
    "snapshots": "a snapshot of 100 portfolios × 100 positions",
    "lots": "1,000,000 transactions into lots, gains and positions",
    "bulk": "5,000 securities by CSV: dry run, load, change, restore",
    "panel": "risk figures of 10,000 securities × 2,520 days",
    "memory": "memory of the product with the demo loaded",
    "sessions": "50 and 100 people on the overview page",
}
WITHOUT_DATABASE = ("lots", "panel", "memory", "sessions")


def main() -> None:
    """Print each row as soon as it is measured, then the whole table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ROWS], help="; ".join(f"{k}: {v}" for k, v in ROWS.items()))
    parser.add_argument("--small", action="store_true", help="a tiny size, to see that everything runs")
    wanted = parser.parse_args()
    names = wanted.names or list(ROWS)
    rows: list[Row] = []

    def run(name: str) -> None:
        start = time.perf_counter()
        sys.stderr.write(f"{name}: {ROWS[name]} …\n")
        found = importlib.import_module(f"bench.{name}").measure(small=wanted.small)
        rows.extend(found)
        sys.stderr.write(f"{table(found)}\n{time.perf_counter() - start:.0f} s\n\n")

    on_database = [n for n in names if n not in WITHOUT_DATABASE]
    if on_database:
        with database.server() as running:
            for name in on_database:
                with database.database(running, name):
                    run(name)
    for name in names:
        if name in WITHOUT_DATABASE:
            run(name)
    print(table(rows))
    if any(row.met is False for row in rows):
        print("\nNot every aim was met. Times of a busy machine say little; ratios say more.")


if __name__ == "__main__":
    main()
