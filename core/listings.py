"""Which security a symbol means: the one that had it on that day, else the one that has it now; never one of several.

Symbols are dated (`security_symbols`): a security gives one up and gets another, and a company may get one that another had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from core.ledger import LedgerError, Security

NUMBERED = "ID"  # ID:700 is the security of that number and nothing else
_FEW = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


@dataclass(frozen=True, slots=True)
class Symbol:
    """What a security is called from a day on."""

    security_id: int
    valid_from: date
    symbol: str
    exchange: str


@dataclass(frozen=True, slots=True)
class Span:
    """A symbol of a security, from a day until before another one; None: it still has it."""

    security: Security
    symbol: str
    exchange: str
    first: date
    until: date | None

    def holds(self, on: date) -> bool:
        """Whether the security had it on that day."""
        return self.first <= on and (self.until is None or on < self.until)


class Listings:
    """The securities there are, by what they are called and were called.

    `symbols`: the dated symbols of those that had more than one, or did not have theirs from the beginning; what is not
    among them is called as it is now since ever.
    """

    def __init__(self, securities: Iterable[Security] | Mapping[int, Security], symbols: Iterable[Symbol] = ()) -> None:
        every = securities.values() if isinstance(securities, Mapping) else securities
        self._number: dict[int, Security] = {}
        self._now: dict[str, list[Security]] = {}
        self._spans: dict[str, list[Span]] = {}
        self._dated: set[int] = set()
        for security in every:
            self.add(security)
        by_security: dict[int, list[Symbol]] = {}
        for one in sorted(symbols, key=lambda s: (s.security_id, s.valid_from)):
            by_security.setdefault(one.security_id, []).append(one)
        for number, its in by_security.items():
            if (security_ := self._number.get(number)) is not None:
                self._dated.add(number)
                ends = [*(one.valid_from for one in its[1:]), None]
                for one, until in zip(its, ends, strict=True):
                    span = Span(security_, one.symbol, one.exchange, one.valid_from, until)
                    self._spans.setdefault(one.symbol, []).append(span)

    def add(self, security: Security) -> None:
        """One more security."""
        self._number[security.security_id] = security
        self._now.setdefault(security.symbol, []).append(security)

    @property
    def every(self) -> Collection[Security]:
        """All of them."""
        return self._number.values()

    @property
    def spans(self) -> Iterable[Span]:
        """The dated symbols, of the securities whose symbols are dated."""
        return (span for spans in self._spans.values() for span in spans)

    def formerly(self) -> dict[int, list[str]]:
        """The symbols that securities had before the one that they have now, by number; without those that had no other."""
        out: dict[int, set[str]] = {}
        for span in self.spans:
            if span.symbol != span.security.symbol:
                out.setdefault(span.security.security_id, set()).add(span.symbol)
        return {number: sorted(symbols) for number, symbols in out.items()}

    def spoken(self, number: int) -> str:
        """What a security is called: its symbol, with its exchange where several have it."""
        security = self._number[number]
        several = len(self._now[security.symbol]) > 1
        return f"{security.exchange}:{security.symbol}" if several else security.symbol

    def on_day(self, symbol: str, on: date, exchange: str = "") -> list[tuple[Security, str]]:
        """(security, its exchange then) of those that had a symbol on a day."""
        spans = [
            (s.security, s.exchange)
            for s in self._spans.get(symbol, ())
            if s.holds(on) and exchange in ("", s.exchange)
        ]
        return spans + [x for x in self.now(symbol, exchange) if x[0].security_id not in self._dated]

    def now(self, symbol: str, exchange: str = "") -> list[tuple[Security, str]]:
        """(security, exchange) of those that have a symbol now."""
        return [(s, s.exchange) for s in self._now.get(symbol, ()) if exchange in ("", s.exchange)]

    def once(self, symbol: str, exchange: str = "") -> list[Span]:
        """Who had a symbol and gave it up, the last first."""
        gone = [s for s in self._spans.get(symbol, ()) if s.until is not None and exchange in ("", s.exchange)]
        return sorted(gone, key=lambda s: s.first, reverse=True)

    def meant(self, symbol: str, on: date | None = None, exchange: str = "") -> list[tuple[Security, str]]:
        """(security, its exchange then) of those that a symbol means on a day (None: now): those that had it; where nobody had,
        those that have it now, unless somebody else had it once."""
        if listed := self.now(symbol, exchange) if on is None else self.on_day(symbol, on, exchange):
            return listed
        had = {s.security.security_id for s in self.once(symbol, exchange)}
        return [x for x in self.now(symbol, exchange) if not had - {x[0].security_id}]

    def find(self, text: str, exchange: str = "", on: date | None = None, field: str = "symbol") -> Security:
        """The security that a symbol, EXCHANGE:SYMBOL or ID:number means on a day (None: now), in any case.

        A symbol that nobody had on that day means who has it now, unless somebody else had it once. Raises LedgerError where
        there is none, and where several exchanges list it.
        """
        place, colon, symbol = text.strip().upper().rpartition(":")
        exchange = place if colon else exchange.strip().upper()
        if exchange == NUMBERED and symbol.isascii() and symbol.isdigit():
            if (found := self._number.get(int(symbol))) is not None:
                return found
            raise LedgerError(field, text, "there is no security of this number")
        listed = self.meant(symbol, on, exchange)
        if len(listed) == 1:
            return listed[0][0]
        if listed:
            raise LedgerError(field, symbol, several(symbol, [x for _, x in listed], field))
        raise LedgerError(field, symbol, self._absent(symbol, exchange, on))

    def _absent(self, symbol: str, exchange: str, on: date | None) -> str:
        """Why a symbol means nothing, and what would."""
        if gone := self.once(symbol, exchange):
            then = "nobody has it now" if on is None else f"nobody had it on {on}"
            said = [f"{s.security.exchange}:{s.security.symbol} is what was {symbol} until {s.until}" for s in gone]
            said += [f"{x}:{s.symbol} has it now" for s, x in self.now(symbol, exchange)]
            return f"{then}: {', and '.join(said)}"
        where = f" on {exchange}" if exchange else ""
        return f"no such security{where}; add it under Securities first, or correct the symbol"


def several(symbol: str, exchanges: Iterable[str], field: str = "symbol") -> str:
    """That a symbol is not enough: "two exchanges list SHEL: XLON, XNYS; give exchange"."""
    places = sorted(exchanges)
    way = "give exchange" if field == "symbol" else f"give it as {places[0]}:{symbol}"
    return f"{_FEW.get(len(places), len(places))} exchanges list {symbol}: {', '.join(places)}; {way}"


def renamed(text: str, security: Security | None, on: date) -> str:
    """What to tell who named a security by a symbol that it has no more: what it is now. Empty where it still has it."""
    symbol = text.strip().upper().rpartition(":")[2]
    if security is None or not symbol or symbol == security.symbol or text.strip().upper().startswith(f"{NUMBERED}:"):
        return ""
    return f"{symbol} of {on} is {security.exchange}:{security.symbol} now"
