"""What the dry run of a file said, row by row: how many of each outcome, the rows of one or of all, every verdict as CSV.

checked = Checked(counts, verdicts.first(found, TITLES, row), csv)     # kept in the session; the file itself is not
verdicts.show(checked, TITLES, "add", table, key)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import streamlit as st

from core.table import Table
from ui import show as shows

SHOWN = 1_000  # rows of each outcome that travel to the browser; the CSV has all
BESIDE = 260  # pixels of a reason where all other columns are shown as well
NARROW = ("line", "security", "reason", "row")  # what counts of rows of one outcome that are not simply taken

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """How many rows have each outcome, the first of each, all of them as CSV; or why nothing could be read."""

    counts: Mapping[str, int]
    first: Mapping[str, tuple[Row, ...]]
    csv: str
    unreadable: str = ""


class Verdict(Protocol):
    """What is said of one row of a file."""

    @property
    def outcome(self) -> str: ...


V = TypeVar("V", bound=Verdict)


def first(found: Iterable[V], outcomes: Iterable[str], row: Callable[[V], Row]) -> dict[str, tuple[Row, ...]]:
    """The first rows of each outcome, as they are shown."""
    of: dict[str, list[V]] = {name: [] for name in outcomes}
    for v in found:
        if len(of[v.outcome]) < SHOWN:
            of[v.outcome].append(v)
    return {name: tuple(map(row, some)) for name, some in of.items()}


def as_read(cells: Mapping[str, str]) -> str:
    """A row of the file in one line."""
    return " · ".join(f"{name} {text}" for name, text in cells.items() if text)[:300]


def show(checked: Checked, titles: Mapping[str, str], taken: str, table: Table, key: str) -> None:
    """The counts, then the rows: the refused first, or one outcome.

    `titles` names the outcomes in their order; rows of the outcome `taken` are shown with all their columns. `table` has the
    columns, no rows, and the name of the file that is downloaded.
    """
    grid = st.grid(len(titles), min_column_width=110)
    for outcome, title in titles.items():
        grid.metric(title, f"{checked.counts[outcome]:,}", border=True)
    there = [o for o in titles if checked.counts[o]]
    names = {"": "All rows", **titles}
    with st.container(horizontal=True, vertical_alignment="center"):
        only = st.segmented_control("Rows", ["", *there], default=there[0] if "refused" in there[:1] else "", required=True,
                                    format_func=names.__getitem__, label_visibility="collapsed", key=f"{key}_only")  # fmt: skip
        st.download_button("All verdicts as CSV", checked.csv.encode, f"{table.name.replace('_', '-')}.csv", "text/csv", on_click="ignore",
                           icon=":material/download:", key=f"{key}_csv")  # fmt: skip
    rows = tuple(r for o in there if only in ("", o) for r in checked.first[o])
    columns = tuple(c.key for c in table.columns if c.key in NARROW) if only not in ("", taken) else ()
    shows.table(
        replace(table, rows=rows),
        key=f"{key}_rows_{only}",
        foot=False,
        only=columns,
        widths={"reason": shows.ROOM if columns else BESIDE},
    )
    total = sum(checked.counts[o] for o in there if only in ("", o))
    if len(rows) < total:
        st.caption(f"{len(rows):,} of {total:,} rows are shown; the CSV has all.")
