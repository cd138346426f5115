"""Memory of the product with the demo: each process's share (PSS), after the pages were looked at, and per further session."""

from __future__ import annotations

import time

import psutil

from bench import product
from bench.measure import Row, within
from bench.people import ARRIVING, FEW

LIMITS = {"web": 250, "scheduler": 90, "database": 120}  # MB
PER_SESSION = 0.15


def megabytes(processes: list[psutil.Process]) -> float:
    """What they hold together: shared pages count in parts (Linux); elsewhere only what is theirs alone."""
    found = [p.memory_full_info() for p in processes]
    return sum(getattr(f, "pss", f.uss) for f in found) / 1e6


def measure(small: bool = False) -> list[Row]:
    """One row a process, one for a further session."""
    few, many, seconds = (1, 3, 2.0) if small else (10, 110, 20.0)
    with product.product() as running:
        web = running.processes()["web"]
        one = product.people(running.address, few, 6.0, 1.0)
        one.communicate(timeout=120)
        time.sleep(2)
        held = {name: megabytes(each) for name, each in running.processes().items()}
        held_by = []
        for count in (few, many):  # open at the same time, then left alone
            process = product.people(running.address, count, seconds, 2 * seconds, pause=10.0)
            time.sleep(seconds + 6 + (count * ARRIVING + 3 if count > FEW else 0))
            held_by.append(megabytes(web))
            process.communicate(timeout=120)
    rows = [within(f"memory, {name}", held[name], limit, "MB") for name, limit in LIMITS.items()]
    each = (held_by[1] - held_by[0]) / (many - few)
    return [*rows, within("memory, each further session", each, PER_SESSION, "MB")]
