"""Real prices for tests, from the data folder beside the checkout: raw closes, corporate actions, FX, as Books of the core.

    market = Lean(shared)                                   # QuantConnect's sample: raw US closes 1998–2021
    book = market.book("USD", [draft…], benchmark="SPY")    # what a person booked, on those closes
    view = look(book, date(2021, 3, 31), period="1Y")

The figures that tests compare with come from numpy on adjusted series (`adjusted`), never from the core.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from core.book import Action, Book, Portfolio, Quote
from core.calendar import Sessions
from core.fx import Rates, Series, day_number
from core.ledger import Draft, Security, from_postings, post
from core.scope import Scope
from core.view import View

Rows = list[dict[str, str]]


def rows(path: Path) -> Rows:
    """The rows of a gzipped CSV."""
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=4)
def sessions(exchange: str = "XNYS") -> Sessions:
    """The calendar of an exchange from 1998 to 2021, as the product computes it."""
    from jobs.calendars import compute

    found = compute(exchange, date(1998, 1, 1), date(2021, 12, 31))
    zone = {"XNYS": "America/New_York"}.get(exchange, "Europe/Berlin")
    return Sessions(exchange, zone, np.array(found.days, np.int32), np.array(found.opens, np.int64), np.array(found.closes, np.int64))


@lru_cache(maxsize=1)
def rates(shared: Path) -> Rates:
    """The ECB's euro reference rates."""
    with zipfile.ZipFile(shared / "data/market/fx/eurofxref-hist.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    found: dict[str, list[tuple[int, float]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        day = day_number(date.fromisoformat(row["Date"]))
        for currency in ("USD", "GBP", "JPY", "CHF"):
            if row[currency] not in ("", "N/A"):
                found.setdefault(currency, []).append((day, float(row[currency])))
    return Rates({c: _series(pairs) for c, pairs in found.items()})


def _series(pairs: Sequence[tuple[int, float]]) -> Series:
    ordered = sorted(pairs)
    return Series(np.array([d for d, _ in ordered], np.int32), np.array([v for _, v in ordered], np.float64))


class Market:
    """Raw closes and corporate actions of some securities, by symbol."""

    def __init__(self, closes: Mapping[str, Mapping[date, str]], actions: Mapping[str, Sequence[tuple[date, str, str]]], fx: Rates) -> None:
        self.closes, self.actions, self.fx = closes, actions, fx
        self.numbers = {symbol: n for n, symbol in enumerate(sorted(closes), 1)}

    def security(self, symbol: str) -> Security:
        return Security(self.numbers[symbol], symbol, symbol, "XNYS", "USD", "Equity", "Information Technology", None, "US")

    def series(self, symbol: str) -> Series:
        return _series([(day_number(d), float(c)) for d, c in self.closes[symbol].items()])

    def actions_of(self, symbol: str) -> tuple[Action, ...]:
        number = self.numbers[symbol]
        return tuple(
            Action(number, "split", ex, ratio=ratio_of(value)) if kind == "split" else Action(number, "dividend", ex, None, Decimal(value), "USD")
            for ex, kind, value in self.actions.get(symbol, ())
        )

    def book(self, base: str, drafts: Sequence[Draft], benchmark: str | None = None, **changes: Any) -> Book:
        """A Book of what was booked, on raw closes. `changes`: fields of the Book, such as other prices or no actions."""
        held = {d.security.symbol for d in drafts if d.security is not None} | ({benchmark} if benchmark else set())
        today = date(2030, 1, 1)
        ledger = from_postings([post(d, base, d.traded_on, today) for d in sorted(drafts, key=_order)])
        portfolio = Portfolio(uuid4(), "real", base, self.numbers[benchmark] if benchmark else None, "fifo")
        made = Book(portfolio, ledger, {self.numbers[s]: self.security(s) for s in held}, {self.numbers[s]: self.series(s) for s in held}, self.fx,
                    {"XNYS": sessions()}, "1", actions={self.numbers[s]: self.actions_of(s) for s in held})  # fmt: skip
        return replace(made, **changes)


def ratio_of(text: str) -> Fraction:
    """A split ratio as an Action has it."""
    return Fraction(text)


def _order(d: Draft) -> tuple[date, int]:
    return d.traded_on, 0 if d.kind in ("split", "merger", "spin_off", "symbol_change") else 1


# what a security of today was called before: (symbol of the file, up to) in order
CHAINS = {
    "WM": (("UW", date(1998, 7, 16)), ("WMI", date(2009, 8, 4)), ("WM", date.max)),
    "AAA.1": (("AAA", date(2007, 5, 18)),),  # delisted; the AAA of 2020 is another company
}


class Lean(Market):
    """QuantConnect's sample of raw US closes, 1998 to 2021, with splits and dividends out of its factor files."""

    def __init__(self, shared: Path, symbols: Sequence[str]) -> None:
        folder = shared / "data/market/lean_us_daily"
        raw: dict[str, dict[date, str]] = {}
        for row in rows(folder / "raw_daily.csv.gz"):
            raw.setdefault(row["symbol"], {})[day(row["date"])] = row["close"]
        closes: dict[str, dict[date, str]] = {}
        for symbol in symbols:
            closes[symbol], after = {}, date.min
            for name, upto in CHAINS.get(symbol, ((symbol, date.max),)):
                closes[symbol] |= {d: c for d, c in raw[name].items() if after < d <= upto}
                after = upto
        actions: dict[str, list[tuple[date, str, str]]] = {s: [] for s in symbols}
        for row in rows(folder / "corporate_actions.csv.gz"):
            if row["symbol"] in actions:
                cum = day(row["last_cum_date"])
                ex = min((d for d in closes[row["symbol"]] if d > cum), default=None)
                if ex is not None and min(closes[row["symbol"]]) <= cum:
                    for kind, field in (("split", "split_ratio_new_per_old"), ("dividend", "cash_per_share")):
                        if row[field] and float(row[field]) not in (0.0, 1.0 if kind == "split" else 0.0):
                            actions[row["symbol"]].append((ex, kind, row[field]))
        super().__init__(closes, actions, rates(shared))


class Pystock(Market):
    """Raw closes of US shares as they were published, 2015 to 2017: with its empty days, and the corporate actions they imply."""

    def __init__(self, shared: Path, symbols: Sequence[str]) -> None:
        folder = shared / "data/market/pystock_us_2015_2017"
        open_days = {date(1970, 1, 1) + timedelta(days=d) for d in sessions().days.tolist()}
        closes: dict[str, dict[date, str]] = {s: {} for s in symbols}
        for row in rows(folder / "sp500_members_daily.csv.gz"):
            if row["symbol"] in closes and day(row["date"]) in open_days:  # its rows of holidays are junk
                closes[row["symbol"]][day(row["date"])] = row["close"]
        actions: dict[str, list[tuple[date, str, str]]] = {s: [] for s in symbols}
        for row in rows(folder / "implied_corporate_actions.csv.gz"):
            if row["symbol"] in actions:
                new, _, old = row["split_ratio"].partition(":")
                value = f"{Decimal(new) / Decimal(old):f}" if row["type"] == "split" else row["implied_cash"]
                if value and float(value) > 0:
                    actions[row["symbol"]].append((day(row["ex_date"]), "split" if row["type"] == "split" else "dividend", value))
        super().__init__(closes, actions, rates(shared))


def day(text: str) -> date:
    """A date as the files have it: 2020-08-31 or 20200831."""
    return date.fromisoformat(text[:10]) if "-" in text else datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=UTC).date()


def look(book: Book, on: date, quotes: Mapping[int, Quote] | None = None, now: datetime | None = None, **scope: Any) -> View:
    """A View of a Book as of a day: through the scope of a reader."""
    moment = now or datetime.combine(on + timedelta(days=30), datetime.min.time(), UTC)
    return View(book, Scope(book.portfolio.portfolio_id, as_of=on, **scope), quotes or {}, moment)


# --- what is right, by numpy alone -----------------------------------------------------------------


def adjusted(closes: Mapping[date, float], actions: Sequence[tuple[date, str, str]], dividends: bool = True) -> tuple[list[date], np.ndarray]:
    """(days, closes adjusted backwards for every later split and, with `dividends`, every later dividend): CRSP's and Yahoo's factors."""
    days = sorted(closes)
    raw = np.array([float(closes[d]) for d in days])
    factor = np.ones(len(days))
    for ex, kind, value in actions:
        i = next((k for k, d in enumerate(days) if d >= ex), None)
        if i is None or i == 0:
            continue
        if kind == "split":
            factor[:i] /= float(value)
        elif dividends:
            same = [float(v) for e, k, v in actions if k == "split" and e == ex]
            factor[:i] *= 1 - float(value) * (same[0] if same else 1.0) / raw[i - 1]
    return days, raw * factor
