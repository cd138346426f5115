"""The csv feed: prices and FX out of files that somebody else puts into a folder (PRICE_CSV_DIR).

`XNYS_ACME.csv` or `ACME.csv`: columns date, close and, where known, open, high, low, volume, currency; the last day is the
quote. `fx.csv`: date, currency, rate (units per 1 EUR). `actions.csv`: symbol, kind (dividend or split), ex_on and amount per
share (currency and pay_on where known, exchange where several list the symbol) or ratio (new shares for one old). Commas, a decimal point, dates as 2026-01-31, columns in any order.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from core.book import Action
from core.ledger import Security
from core.money import major_quote
from db.market import Bar, QuoteRow
from jobs.feeds import FeedError
from settings import settings

T = TypeVar("T")

# When a day's price stands: the close of the exchange; noon UTC where it is not listed
CLOSES = {
    "XNYS": ("America/New_York", time(16)),
    "XNAS": ("America/New_York", time(16)),
    "XTSE": ("America/Toronto", time(16)),
    "XLON": ("Europe/London", time(16, 30)),
    "XETR": ("Europe/Berlin", time(17, 30)),
    "XPAR": ("Europe/Paris", time(17, 30)),
    "XAMS": ("Europe/Amsterdam", time(17, 30)),
    "XSWX": ("Europe/Zurich", time(17, 30)),
    "XTKS": ("Asia/Tokyo", time(15, 30)),
}
_PRICES = ("open", "high", "low", "close")


class _Line(NamedTuple):
    """One line of a file: where it stands, and its cells by column."""

    where: str
    cells: dict[str, str]


class CsvFeed:
    """Prices and FX out of a folder of CSV files."""

    name = "csv"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = settings.price_csv_dir if folder is None else folder
        self._last: dict[Path, tuple[tuple[int, int, str], list[Bar]]] = {}  # file → its state, its last two bars

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        """The newest close of each file that is not in the future."""

        def read(security: Security) -> list[QuoteRow]:
            bars = [bar for bar in self._newest(security) if bar.on <= now.astimezone(UTC).date()]
            if not bars:
                return []
            previous = bars[-2].close if len(bars) > 1 else None
            at = min(_close_of(security.exchange, bars[-1].on), now)
            return [QuoteRow(security.security_id, bars[-1].close, previous, "closed", self.name, at)]

        return _each(securities, read)

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        """Every line of the files between two days."""
        return _each(securities, lambda s: [bar for bar in self._bars(s) if first <= bar.on <= last])

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        """The lines of fx.csv between two days."""
        path = self.folder / "fx.csv"
        wanted = set(currencies) - {"EUR"}
        rates: dict[tuple[str, date], Decimal] = {}
        for line in _lines(path, ("date", "currency", "rate")) if path.is_file() else ():
            on, currency = _day(line, "date"), line.cells["currency"].upper()
            if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
                raise FeedError(f"csv: {line.where}: currency {currency!r} is not a code such as USD")
            rate = _positive(line, "rate")
            if rates.setdefault((currency, on), rate) != rate:
                raise FeedError(f"csv: {line.where}: {currency} on {on} has a second rate, {rate}")
        return [(c, on, rate) for (c, on), rate in sorted(rates.items()) if c in wanted and first <= on <= last]

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        """The lines of actions.csv between two days."""
        path = self.folder / "actions.csv"
        found: dict[tuple[int, str, date], Action] = {}
        for line in _lines(path, ("symbol", "kind", "ex_on")) if path.is_file() else ():
            symbol, exchange = line.cells["symbol"].upper(), line.cells.get("exchange", "").upper()
            for security in securities:
                if security.symbol == symbol and exchange in ("", security.exchange):
                    action = _action(line, security)
                    if found.setdefault((security.security_id, action.kind, action.ex_on), action) != action:
                        raise FeedError(f"csv: {line.where}: {symbol} has a second {action.kind} on {action.ex_on}")
        return [a for a in sorted(found.values(), key=lambda a: (a.security_id, a.ex_on)) if first <= a.ex_on <= last]

    def _path(self, security: Security) -> Path | None:
        symbol = security.symbol.replace("/", "-").replace("\\", "-")
        paths = (self.folder / f"{security.exchange}_{symbol}.csv", self.folder / f"{symbol}.csv")
        return next(
            (path for path in paths if path.is_file() and path.name.lower() not in ("fx.csv", "actions.csv")), None
        )

    def _newest(self, security: Security) -> list[Bar]:
        """The last bars of a file, read again only when it changed. Some, for today may not be the last line."""
        path = self._path(security)
        if path is None:
            return []
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size, security.currency)
        known = self._last.get(path)
        if known is None or known[0] != state:
            known = self._last[path] = (state, self._bars(security)[-10:])
        return known[1]

    def _bars(self, security: Security) -> list[Bar]:
        """All bars of a security's file, oldest first."""
        path = self._path(security)
        if path is None:
            return []
        found = []
        for line in _lines(path, ("date", "close")):
            currency = line.cells.get("currency") or security.currency
            if major_quote(Decimal(1), currency)[1] != security.currency:
                raise FeedError(
                    f"csv: {line.where}: currency {currency!r}, but {security.symbol} is in {security.currency}"
                )
            cells = {
                name: major_quote(_positive(line, name), currency)[0]
                for name in _PRICES
                if name == "close" or line.cells.get(name)
            }
            volume = _number(line, "volume") if line.cells.get("volume") else None
            if volume is not None and volume < 0:
                raise FeedError(f"csv: {line.where}: volume {line.cells['volume']!r} is below zero")
            found.append((line, Bar(security.security_id, _day(line, "date"), volume=volume, **cells)))
        found.sort(key=lambda each: each[1].on)
        for (_, one), (line, other) in pairwise(found):
            if one.on == other.on:
                raise FeedError(f"csv: {line.where}: date {line.cells['date']!r} stands in the file twice")
        return [bar for _, bar in found]


def _action(line: _Line, security: Security) -> Action:
    """A line of actions.csv."""
    kind, on = line.cells["kind"].lower(), _day(line, "ex_on")
    if kind == "split":
        return Action(security.security_id, kind, on, ratio=_positive(line, "ratio"))
    if kind != "dividend":
        raise FeedError(f"csv: {line.where}: kind {line.cells['kind']!r} is not dividend or split")
    pay_on = _day(line, "pay_on") if line.cells.get("pay_on") else None
    if pay_on is not None and pay_on < on:
        raise FeedError(f"csv: {line.where}: pay_on {pay_on} lies before ex_on {on}")
    amount, currency = major_quote(_positive(line, "amount"), line.cells.get("currency") or security.currency)
    return Action(security.security_id, kind, on, pay_on, amount, currency.upper())


def _each(securities: Sequence[Security], read: Callable[[Security], list[T]]) -> list[T]:
    """What can be read; what cannot is named in the error that carries the rest."""
    found: list[T] = []
    wrong = []
    for security in securities:
        try:
            found += read(security)
        except FeedError as error:
            wrong.append(str(error))
    if wrong:
        more = f" (and {len(wrong) - 5} more files)" if len(wrong) > 5 else ""
        raise FeedError("; ".join(wrong[:5]) + more, partial=found)
    return found


def _lines(path: Path, required: Sequence[str]) -> list[_Line]:
    """The lines of a file below its heading."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            heading = [cell.strip().lower() for cell in next(rows, [])]
            missing = [name for name in required if name not in heading]
            if missing:
                raise FeedError(f"csv: {path.name} line 1: no column {', '.join(missing)} in {','.join(heading)!r}")
            return [
                _Line(
                    f"{path.name} line {rows.line_num}",
                    {name: cell.strip() for name, cell in zip(heading, row + [""] * len(heading), strict=False)},
                )
                for row in rows
                if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeedError(f"csv: {path.name} cannot be read: {error}") from error


def _day(line: _Line, name: str) -> date:
    try:
        return date.fromisoformat(line.cells[name])
    except ValueError as error:
        raise FeedError(f"csv: {line.where}: {name} {line.cells[name]!r} is not a day such as 2026-01-31") from error


def _number(line: _Line, name: str) -> Decimal:
    try:
        number = Decimal(line.cells.get(name, ""))
    except InvalidOperation as error:
        raise FeedError(f"csv: {line.where}: {name} {line.cells.get(name, '')!r} is not a number") from error
    if not number.is_finite():
        raise FeedError(f"csv: {line.where}: {name} {line.cells[name]!r} is not a number")
    return number


def _positive(line: _Line, name: str) -> Decimal:
    number = _number(line, name)
    if number <= 0:
        raise FeedError(f"csv: {line.where}: {name} {line.cells[name]!r} is not above zero")
    return number


def _close_of(exchange: str, on: date) -> datetime:
    zone, at = CLOSES.get(exchange, ("UTC", time(12)))
    return datetime.combine(on, at, ZoneInfo(zone)).astimezone(UTC)
