"""What several areas read: numbers and days of a case, data sets of the shared folder, series and rates."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import zipfile
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from areas import Refused
from core import returns as r
from core.fx import Rates, Series, day_number

SHARED = Path(__file__).resolve().parents[4] / "shared"
NO_RATES = Rates({})


def numbers(values: Any) -> Any:
    """JSON numbers as floats; "NaN", "Infinity" and null included, a single number stays one."""
    if isinstance(values, list):
        return r.floats([float("nan") if v is None else float(v) for v in values])
    return float("nan") if values is None else float(values)


def table_of(rows: Any) -> r.Floats:
    """Rows of JSON numbers as a table."""
    return r.floats([numbers(row) for row in rows])


def exactly(value: Any) -> Decimal:
    """A JSON number as the decimal that it shows."""
    return Decimal(str(value))


def day(text: str) -> date:
    """An ISO date, or the date of a time."""
    return date.fromisoformat(text[:10])


def dated(pairs: Sequence[tuple[date, float]] | Sequence[Sequence[Any]]) -> Series:
    """A Series of (date, value) pairs in the order of time; of two on one day the later one counts."""
    rows = [(day(on) if isinstance(on, str) else on, float(value)) for on, value in pairs]
    rows.sort(key=lambda row: row[0])
    return Series(np.array([day_number(d) for d, _ in rows], np.int32), np.array([v for _, v in rows], np.float64))


# --- files ----------------------------------------------------------------------------------------------------------


def path_of(name: str) -> Path:
    """A file of the shared folder. Raises Refused where it is not there."""
    path = SHARED / "data" / name
    if not path.is_file():
        raise Refused(f"the file that the case names is not in the shared folder: {name}")
    return path


@functools.cache
def table(dataset: str) -> list[dict[str, str]]:
    """The rows of a data set of the shared folder."""
    with gzip.open(path_of(dataset), "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def any_day(text: str) -> date:
    """ISO, or month/day/year as in the panels."""
    if "/" in text:
        month, dom, year = (int(part) for part in text.split("/"))
        return date(year, month, dom)
    return day(text)


@functools.cache
def closes(dataset: str, symbol: str, field: str) -> tuple[list[date], r.Floats]:
    """The dated values of one field of one symbol. Raises Refused where the data set has none."""
    rows = [row for row in table(dataset) if row["symbol"] == symbol]
    if not rows:
        raise Refused(f"{dataset} has no rows of {symbol}")
    return [day(row["date"]) for row in rows], numbers([row[field] for row in rows])


@functools.cache
def column(dataset: str, name: str) -> tuple[list[date], r.Floats]:
    """The dated values of one column of a panel, empty cells left out."""
    rows = [row for row in table(dataset) if row[name]]
    first = next(iter(rows[0]))
    return [any_day(row[first]) for row in rows], numbers([row[name] for row in rows])


@functools.cache
def panel(dataset: str, columns: tuple[str, ...]) -> tuple[list[date], r.Floats]:
    """Several columns of a panel on its days: (days, table), NaN where a cell is empty."""
    rows = table(dataset)
    first = next(iter(rows[0]))
    return [any_day(row[first]) for row in rows], r.floats(
        [[float(row[name]) if row[name] else np.nan for name in columns] for row in rows]
    )


@functools.cache
def ecb(dataset: str) -> Rates:
    """The ECB's reference rates as the product holds them: units per euro."""
    with zipfile.ZipFile(path_of(dataset)) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["Date"])
    columns: dict[str, list[tuple[date, float]]] = {}
    for row in rows:
        for name, cell in row.items():
            if name and name.strip() and name != "Date" and cell and cell != "N/A":
                columns.setdefault(name.strip(), []).append((day(row["Date"]), float(cell)))
    return Rates({name: dated(values) for name, values in columns.items()})
