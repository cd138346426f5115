"""What a broker's statement says, in our vocabulary, and the list of formats that can read one.

A format is one module of this package that calls `register`; `core.brokers` imports them all and then closes the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from core.ledger import LedgerError

# our columns, in the order in which they are shown; `cash_currency`, `account`, `time` and `units_added` say more
# than a transaction keeps (see Record)
CELLS = (
    *("date", "time", "kind", "symbol", "quantity", "price", "gross", "fees", "taxes", "currency", "fx", "ratio"),
    *("settlement", "exchange", "isin", "name", "into", "fraction", "basis", "acquired", "lots"),
    *("counterparty", "note", "reference"),
    *("cash_currency", "account", "units_added"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a statement: booked (`cells` make a Draft), skipped with a reason, or not readable (`error`).

    `line` is the line in the file as an editor shows it (an XML file in one line: the number of the element), `lines`
    every line that the record was made from. Over a statement, `lines` hold every data line exactly once; a second
    booking from one line (the other leg of a conversion, the purchase of a reinvestment) has the line and no `lines`.

    `cells` are our columns as text: ISO dates, plain decimals with a point, kinds of the ledger,
    quantities and money positive as a Draft wants them. A dividend, interest, fee or tax is negative where the broker
    took it back; an interest is negative where it was paid. Money is in `currency`, the currency of the security's
    price; with `fx`, cash moved in `cash_currency` at that rate (cash for one unit of `currency`), see `settled_in`.
    No `currency`: the file does not say it; of a trade the security's own is meant, of anything else the account's. `time` is the time of day, `account` the
    account in a file of several, `units_added` the new units of a split whose ratio the file does not give.
    """

    line: int
    lines: tuple[int, ...]
    cells: Mapping[str, str]
    skipped: str = ""
    error: LedgerError | None = None

    @property
    def books(self) -> bool:
        """Whether it becomes a transaction."""
        return not self.skipped and self.error is None


@dataclass(frozen=True, slots=True)
class Statement:
    """A file as read: the broker (a format's name, "" for a map of the user's own), oldest record first."""

    broker: str
    title: str
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """How one broker writes its exports. `matches` sees the whole text; no two formats may match the same file.

    `read` raises core.importing.NotReadable where the file as a whole cannot be read (a truncated XML file).
    """

    name: str
    title: str
    recognised_by: str  # said in words, for the documentation and the mapping screen
    matches: Callable[[str], bool] = field(repr=False)
    read: Callable[[str], Statement] = field(repr=False)


_formats: dict[str, Format] = {}
FORMATS: Mapping[str, Format] = MappingProxyType(_formats)
_closed = False


def register(new: Format) -> Format:
    """Add a format. Raises ValueError on a second one of the same name, or after the list is closed."""
    if _closed:
        raise ValueError(f"the formats are read-only: {new.name} comes too late")
    if new.name in _formats:
        raise ValueError(f"format {new.name} is registered twice")
    _formats[new.name] = new
    return new


def close() -> None:
    """No more formats: what is registered now is what every reader sees."""
    global _closed
    _closed = True
