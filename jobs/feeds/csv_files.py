"""The csv feed: prices, FX and master data out of files that somebody else puts into a folder (PRICE_CSV_DIR).

`XNYS_ACME.csv` or `ACME.csv`: columns date, close (raw: of its own day, not adjusted for later splits) and, where known, open, high,
low, volume, adj_close, currency; the last day is the quote. `fx.csv`: date, currency, rate (units per 1 EUR). `actions.csv`: symbol, kind
(dividend or split), ex_on and amount per share (currency and pay_on where known, exchange where several list the symbol) or ratio (new
shares for old ones: 4:1, 1:3, or a number as `core.ratio` reads it).
`securities.csv`: symbol and, where known, exchange, name, currency, asset_class, sector, industry, country, isin,
dividend_frequency, price, previous_close, quoted_at: what is proposed when somebody adds a security; without the file, or for what
it leaves out, the price files tell symbol and last close. Commas, a decimal point, dates as 2026-01-31, columns in any order.
A line that cannot be read is named, and costs the other lines nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from core.book import Action
from core.ledger import LedgerError, Security
from core.money import MINOR_QUOTES, major_quote
from core.profiles import Profile, allowed, asked, meant
from core.ratio import read_ratio
from core.taxonomy import ASSET_CLASSES, FREQUENCIES, closest, country_of, plain, sector_of
from db.market import Bar, QuoteRow
from jobs.feeds import MOST_SAID, FeedError, refusing
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
LISTED = "securities.csv"
OTHERS = ("fx.csv", "actions.csv", LISTED)  # are no price files
_PRICES = ("open", "high", "low", "close")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


class _Line(NamedTuple):
    """One line of a file: where it stands, and its cells by column."""

    where: str
    cells: dict[str, str]


class CsvFeed:
    """Prices, FX and master data out of a folder of CSV files."""

    name = "csv"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = settings.price_csv_dir if folder is None else folder
        self._last: dict[Path, tuple[tuple[int, int, str], list[Bar], list[str]]] = {}  # file → its state, its last bars, its bad lines

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        """The newest close of each file that is not in the future."""

        def read(security: Security) -> tuple[list[QuoteRow], list[str]]:
            found, wrong = self._newest(security)
            bars = [bar for bar in found if bar.on <= now.astimezone(UTC).date()]
            if not bars:
                return [], wrong
            last, previous = bars[-1], bars[-2].close if len(bars) > 1 else None
            at = min(_close_of(security.exchange, last.on), now)
            return [QuoteRow(security.security_id, last.close, previous, "closed", self.name, at, last.minor)], wrong

        return _each(securities, read)

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        """Every line of the files between two days."""

        def read(security: Security) -> tuple[list[Bar], list[str]]:
            bars, wrong = self._bars(security)
            return [bar for bar in bars if first <= bar.on <= last], wrong

        return _each(securities, read)

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        """The lines of fx.csv between two days."""
        path = self.folder / "fx.csv"
        wanted = set(currencies) - {"EUR"}
        rates: dict[tuple[str, date], Decimal] = {}
        wrong: dict[Hashable, list[str]] = {}
        for line in _lines(path, ("date", "currency", "rate")) if path.is_file() else ():
            currency = line.cells["currency"].upper()
            try:
                if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
                    raise FeedError(f"csv: {line.where}: currency {currency!r} is not a code such as USD")
                if currency not in wanted:
                    continue
                on, rate = _day(line, "date"), _positive(line, "rate")
                if rates.setdefault((currency, on), rate) != rate:
                    raise FeedError(f"csv: {line.where}: {currency} on {on} has a second rate, {rate}")
            except FeedError as error:
                wrong.setdefault(currency, []).append(str(error))
        found = [(c, on, rate) for (c, on), rate in sorted(rates.items()) if first <= on <= last]
        return _unless(wrong, found)

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        """The lines of actions.csv between two days."""
        path = self.folder / "actions.csv"
        found: dict[tuple[int, str, date], Action] = {}
        wrong: dict[Hashable, list[str]] = {}
        for line in _lines(path, ("symbol", "kind", "ex_on")) if path.is_file() else ():
            symbol, exchange = line.cells["symbol"].upper(), line.cells.get("exchange", "").upper()
            for security in securities:
                if security.symbol == symbol and exchange in ("", security.exchange):
                    try:
                        action = _action(line, security)
                        if found.setdefault((security.security_id, action.kind, action.ex_on), action) != action:
                            raise FeedError(f"csv: {line.where}: {symbol} has a second {action.kind} on {action.ex_on}")
                    except FeedError as error:
                        wrong.setdefault(security.security_id, []).append(str(error))
        every = sorted(found.values(), key=lambda a: (a.security_id, a.ex_on))
        return _unless(wrong, [a for a in every if first <= a.ex_on <= last])

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        """The lines of securities.csv, priced by the price files where they say no price; else what those tell alone."""
        if not names:
            return []
        known, wrong = self._listed()
        found: dict[tuple[str, str | None], Profile] = {}
        for name in names:
            for each in meant(name, known) or self._unlisted(name, {p.symbol for p in known}):
                try:
                    priced = each if each.price is not None else self._priced(each, now)
                except FeedError as error:
                    wrong.append(str(error))
                    continue
                if priced is not None:
                    found[each.symbol, each.exchange] = priced
        if wrong:
            raise FeedError("; ".join(wrong[:MOST_SAID]), partial=list(found.values()))
        return list(found.values())

    def _listed(self) -> tuple[list[Profile], list[str]]:
        """The usable lines of securities.csv, and what is wrong with the others."""
        path = self.folder / LISTED
        found, wrong = [], []
        for line in _lines(path, ("symbol",)) if path.is_file() else ():
            try:
                found.append(_profile(line))
            except FeedError as error:
                wrong.append(str(error))
        return found, wrong

    def _unlisted(self, name: str, listed: set[str]) -> list[Profile]:
        """What the name of a price file tells: XNYS_ACME.csv the exchange too; ACME.csv belongs to the ACME that is listed."""
        what = asked(name)
        if not what.symbol or not self.folder.is_dir():
            return []
        symbol = _file_name(what.symbol)
        names = [path.stem for path in sorted(self.folder.glob("*.csv")) if path.name.lower() not in OTHERS]
        places = [place for place, line, rest in (n.rpartition("_") for n in names) if line and rest == symbol]
        found = [Profile(what.symbol, p, provider=self.name) for p in places if what.exchange in ("", p)]
        if symbol in names and what.symbol not in listed and not (found and what.exchange):
            found.append(Profile(what.symbol, provider=self.name))
        return found

    def _priced(self, profile: Profile, now: datetime) -> Profile | None:
        """The profile with the last close of its price file; itself where that says nothing of it."""
        path = self._path(Security(0, profile.symbol, "", profile.exchange or "", "", ""))
        if path is None:
            return profile
        lines = []
        for line in _lines(path, ("date", "close")):
            with suppress(FeedError):  # the bars of the file tell of it
                lines.append((_day(line, "date"), _positive(line, "close"), line.cells.get("currency")))
        lines = sorted((each for each in lines if each[0] <= now.date()), key=lambda each: each[0])[-2:]
        if not lines:
            return profile
        currency = lines[-1][2] or profile.currency
        closes = [close for _, close, _ in lines]
        if currency:
            closes = [major_quote(close, currency)[0] for close in closes]
            currency = major_quote(Decimal(1), currency)[1]
        if currency != (profile.currency or currency):
            return profile
        return replace(
            profile,
            currency=currency,
            price=closes[-1],
            previous_close=closes[0] if len(closes) > 1 else None,
            quoted_at=min(_close_of(profile.exchange or "", lines[-1][0]), now),
        )

    def _path(self, security: Security) -> Path | None:
        symbol = _file_name(security.symbol)
        paths = (self.folder / f"{security.exchange}_{symbol}.csv", self.folder / f"{symbol}.csv")
        return next((path for path in paths if path.is_file() and path.name.lower() not in OTHERS), None)

    def _newest(self, security: Security) -> tuple[list[Bar], list[str]]:
        """The last bars of a file and what is wrong with it, read again only when it changed. Some, for today may not be the last line."""
        path = self._path(security)
        if path is None:
            return [], []
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size, security.currency)
        known = self._last.get(path)
        if known is None or known[0] != state:
            bars, wrong = self._bars(security)
            known = self._last[path] = (state, bars[-10:], wrong)
        return known[1], known[2]

    def _bars(self, security: Security) -> tuple[list[Bar], list[str]]:
        """(all bars of a security's file, oldest first; what is wrong with its other lines). A day that stands in it twice has none."""
        path = self._path(security)
        if path is None:
            return [], []
        found: dict[date, Bar] = {}
        twice: set[date] = set()
        wrong = []
        for line in _lines(path, ("date", "close")):
            try:
                bar = _bar(line, security)
                if bar.on in found:
                    twice.add(bar.on)
                    raise FeedError(f"csv: {line.where}: date {line.cells['date']!r} stands in the file twice")
            except FeedError as error:
                wrong.append(str(error))
                continue
            found[bar.on] = bar
        return [found[on] for on in sorted(found) if on not in twice], wrong


def _bar(line: _Line, security: Security) -> Bar:
    """A line of a price file."""
    currency = line.cells.get("currency") or security.currency
    if major_quote(Decimal(1), currency)[1] != security.currency:
        raise FeedError(f"csv: {line.where}: currency {currency!r}, but {security.symbol} is in {security.currency}")
    cells = {
        name: major_quote(_positive(line, name), currency)[0]
        for name in _PRICES
        if name == "close" or line.cells.get(name)
    }
    volume = _number(line, "volume") if line.cells.get("volume") else None
    if volume is not None and volume < 0:
        raise FeedError(f"csv: {line.where}: volume {line.cells['volume']!r} is below zero")
    adjusted = _positive(line, "adj_close") if line.cells.get("adj_close") else None
    if adjusted is not None:
        adjusted = major_quote(adjusted, currency)[0]
    return Bar(security.security_id, _day(line, "date"), volume=volume, adjusted=adjusted, minor=currency in MINOR_QUOTES, **cells)


def _action(line: _Line, security: Security) -> Action:
    """A line of actions.csv."""
    kind, on = line.cells["kind"].lower(), _day(line, "ex_on")
    if kind == "split":
        return Action(security.security_id, kind, on, ratio=_ratio(line))
    if kind != "dividend":
        raise FeedError(f"csv: {line.where}: kind {line.cells['kind']!r} is not dividend or split")
    pay_on = _day(line, "pay_on") if line.cells.get("pay_on") else None
    if pay_on is not None and pay_on < on:
        raise FeedError(f"csv: {line.where}: pay_on {pay_on} lies before ex_on {on}")
    amount, currency = major_quote(_positive(line, "amount"), line.cells.get("currency") or security.currency)
    return Action(security.security_id, kind, on, pay_on, amount, currency.upper())


def _file_name(symbol: str) -> str:
    return symbol.replace("/", "-").replace("\\", "-")


def _profile(line: _Line) -> Profile:
    """A line of securities.csv."""

    def one_of(name: str, choices: Iterable[str]) -> str | None:
        written = line.cells.get(name, "")
        found = next((choice for choice in choices if plain(choice) == plain(written)), None)
        if written and found is None:
            near = ", ".join(closest(written, choices) or choices)
            raise FeedError(f"csv: {line.where}: {name} {written!r} is none of ours; did you mean {near}?")
        return found

    def text(name: str) -> str | None:
        return line.cells.get(name) or None

    symbol, isin, country = line.cells["symbol"].upper(), line.cells.get("isin", "").upper(), text("country")
    if not 1 <= len(symbol) <= 32:
        raise FeedError(f"csv: {line.where}: symbol {symbol!r} has not 1 to 32 characters")
    if isin and not _ISIN.fullmatch(isin):
        raise FeedError(f"csv: {line.where}: isin {isin!r} is not an ISIN such as US0378331005")
    if country and country_of(country) is None:
        raise FeedError(f"csv: {line.where}: country {country!r} is not a country or its code such as US")
    quoted_in, currency = text("currency"), None
    if quoted_in is not None:
        quoted_in = quoted_in if major_quote(Decimal(1), quoted_in)[1] != quoted_in else quoted_in.upper()
        currency = major_quote(Decimal(1), quoted_in)[1]
        if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
            raise FeedError(f"csv: {line.where}: currency {quoted_in!r} is not a code such as USD")

    def price(name: str) -> Decimal | None:
        return major_quote(_positive(line, name), quoted_in or "")[0] if text(name) else None

    if text("price") and not text("quoted_at"):
        raise FeedError(f"csv: {line.where}: quoted_at '' is missing: a price needs its time, such as 2026-01-31T16:00")
    return allowed(
        Profile(
            symbol,
            (text("exchange") or "").upper() or None,
            text("name"),
            currency,
            one_of("asset_class", ASSET_CLASSES),
            sector_of(line.cells["sector"]) if text("sector") else None,
            text("industry"),
            country_of(country) if country else None,
            isin or None,
            one_of("dividend_frequency", FREQUENCIES),
            price("price"),
            price("previous_close") if text("price") else None,
            _time(line, "quoted_at") if text("price") else None,
            CsvFeed.name,
        )
    )


def _each(securities: Sequence[Security], read: Callable[[Security], tuple[list[T], list[str]]]) -> list[T]:
    """What can be read; what cannot is named in the error that carries the rest."""
    found: list[T] = []
    wrong: dict[Hashable, list[str]] = {}
    for security in securities:
        try:
            rows, bad = read(security)
        except FeedError as error:
            rows, bad = [], [str(error)]
        found += rows
        if bad:
            wrong[security.security_id] = bad
    return _unless(wrong, found)


def _unless(wrong: dict[Hashable, list[str]], found: list[T]) -> list[T]:
    """What was found. Raises FeedError with it where lines are wrong: the first few of each security or currency are named."""
    if not wrong:
        return found

    def said(bad: list[str]) -> str:
        return "; ".join(bad[:MOST_SAID]) + (f" (and {len(bad) - MOST_SAID} more lines)" if len(bad) > MOST_SAID else "")

    raise refusing({key: said(bad) for key, bad in wrong.items()}, found)


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


def _time(line: _Line, name: str) -> datetime:
    """A time, of UTC where it names no zone."""
    try:
        at = datetime.fromisoformat(line.cells[name])
    except ValueError as error:
        raise FeedError(
            f"csv: {line.where}: {name} {line.cells[name]!r} is not a time such as 2026-01-31T16:00"
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


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


def _ratio(line: _Line) -> Fraction:
    try:
        ratio = read_ratio(line.cells.get("ratio", ""))
    except LedgerError as error:
        raise FeedError(f"csv: {line.where}: {error}") from error
    if ratio is None:
        raise FeedError(f"csv: {line.where}: ratio '' is missing: new shares for old ones, such as 4:1 or 1:3")
    return ratio


def _close_of(exchange: str, on: date) -> datetime:
    zone, at = CLOSES.get(exchange, ("UTC", time(12)))
    return datetime.combine(on, at, ZoneInfo(zone)).astimezone(UTC)
