"""How a row of the table is measured and printed: ways taken in turns, medians of several rounds."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Way = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: ours, what it is held against, how they compare, what was aimed at."""

    name: str
    ours: str
    other: str
    ratio: str
    aim: str
    met: bool | None  # None: shown for the picture, nothing was aimed at


def seconds(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """The median time of every way. Each round runs them all, every other round backwards, so that a noise hits all."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    for round_ in range(rounds):
        for name, way in list(ways.items())[:: -1 if round_ % 2 else 1]:
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


def human(s: float) -> str:
    """A time as people read it."""
    return f"{s * 1e3:.2f} ms" if s < 0.1 else f"{s * 1e3:.0f} ms" if s < 10 else f"{s:.1f} s"


def against(name: str, ours: float, peer: str, theirs: float, aim: float | None) -> Row:
    """A row that holds our time against another way's; `aim`: at least so many times faster."""
    ratio = theirs / ours
    return Row(
        name,
        human(ours),
        f"{peer}: {human(theirs)}",
        f"{ratio:,.1f} ×",
        "" if aim is None else f"≥ {aim:g} ×",
        None if aim is None else ratio >= aim,
    )


def within(name: str, value: float, limit: float, unit: str) -> Row:
    """A row that holds a figure against a limit."""
    digits = 2 if limit < 10 else 0
    return Row(
        name, f"{value:.{digits}f} {unit}", "limit", f"{value / limit:.2f} of it", f"≤ {limit:g} {unit}", value <= limit
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as text, in columns."""
    head = ("row", "ours", "held against", "ratio", "aim", "met")
    lines = [head] + [
        (r.name, r.ours, r.other, r.ratio, r.aim, "" if r.met is None else "yes" if r.met else "NO") for r in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(drawn)
