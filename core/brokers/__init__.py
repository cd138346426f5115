"""Broker exports, recognised and read into our vocabulary: `detect` and `read`; `proposed` and `read_under` for a map of the user's own.

To add a broker, write one module of this package that calls `register` (a column map says most of it, see
`core.brokers.columns`) and put a sanitised sample into tests/brokers/. Every module here is imported below.
"""

import importlib
import pkgutil

from core.brokers.columns import ColumnMap, proposed
from core.brokers.columns import read as read_under
from core.brokers.registry import CELLS, FORMATS, Format, Record, Statement, close
from core.brokers.sheet import text_of
from core.brokers.totals import Balances, balances, duplicates, settled_in
from core.importing import NotReadable

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
close()


def detect(raw: bytes) -> Format | None:
    """The format of a file, None where no broker's is recognised (our own CSV, an unknown one, no text at all)."""
    try:
        text = text_of(raw)
    except NotReadable:
        return None
    found = [f for f in FORMATS.values() if f.matches(text)]
    return found[0] if len(found) == 1 else None


def read(raw: bytes) -> Statement | None:
    """A broker's file as a Statement, None where no format is recognised. Raises NotReadable on a broken file."""
    found = detect(raw)
    return found.read(text_of(raw)) if found else None


__all__ = [
    "CELLS",
    "FORMATS",
    "Balances",
    "ColumnMap",
    "Format",
    "Record",
    "Statement",
    "balances",
    "detect",
    "duplicates",
    "proposed",
    "read",
    "read_under",
    "settled_in",
]
