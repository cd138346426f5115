"""Which security a file means: matched by ISIN, exchange and symbol, symbol (with a broker's suffix); by name only proposed.

To teach it another broker's way of writing an exchange, add a line to `SUFFIXES`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from core.ledger import Security
from core.listings import Span
from core.master import ELSEWHERE, as_symbol, isin_is_sound

AMERICA = ("XNYS", "XNAS", "ARCX", "XASE", "BATS")
# what stands behind a symbol → the exchanges that are meant
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("US", "UN", "UW", "UQ", "UA", "UP", "UR"), AMERICA),
    **dict.fromkeys(("DE", "GY", "GR", "ETR"), ("XETR",)),
    **dict.fromkeys(("UK", "L", "LN", "LON"), ("XLON",)),
    **dict.fromkeys(("FR", "PA", "FP"), ("XPAR",)),
    **dict.fromkeys(("NL", "AS", "NA", "AMS"), ("XAMS",)),
    **dict.fromkeys(("CH", "SW", "SE", "VX"), ("XSWX",)),
    **dict.fromkeys(("JP", "JT", "T"), ("XTKS",)),
    **dict.fromkeys(("TO", "CN", "CT"), ("XTSE",)),
}
HOMES = {"USD": "XNYS", "EUR": "XETR", "GBP": "XLON", "CHF": "XSWX", "JPY": "XTKS", "CAD": "XTSE"}
_FUND = re.compile(r"\b(etf|ucits|fund|funds|fonds|sicav|ishares|spdr|xtrackers|vanguard|index)\b", re.IGNORECASE)
_LEGAL = frozenset(["inc", "incorporated", "corp", "corporation", "co", "company", "ltd", "limited", "plc", "ag", "se", "sa", "nv", "spa", "the", "class", "cl", "a", "b", "c", "ord", "reg", "shs", "share", "shares", "common", "stock", "com", "de", "new", "group", "holding", "holdings"])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A security of the master, with its ISIN where it has one."""

    security: Security
    isin: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a file says of a security, "" where it says nothing. `currency` is that of its price, not of a dividend."""

    symbol: str = ""
    exchange: str = ""
    isin: str = ""
    name: str = ""
    currency: str = ""

    @property
    def key(self) -> str:
        """What the file calls it: under this a choice is kept."""
        called = self.isin or (f"{self.exchange}:{self.symbol}" if self.exchange and self.symbol else self.symbol)
        return f"{called or self.name}@{self.currency}"[:200].rstrip("@")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A security of the master that might be meant, and how likely, 0 to 1."""

    security: Security
    score: float


@dataclass(frozen=True, slots=True)
class NewSecurity:
    """What is needed to add a security that a file names."""

    symbol: str
    exchange: str
    name: str
    isin: str
    currency: str
    asset_class: str


class Master:
    """The securities there are, as a file may name them."""

    def __init__(self, listed: Iterable[Listed], spans: Iterable[Span] = ()) -> None:
        """`spans`: the symbols of those whose symbols are dated."""
        self.every = tuple(listed)
        self._isin: dict[str, list[Listed]] = defaultdict(list)
        self._symbol: dict[str, list[Listed]] = defaultdict(list)
        self._word: dict[str, list[Listed]] = defaultdict(list)
        for one in self.every:
            s = one.security
            if one.isin:
                self._isin[one.isin].append(one)
            self._symbol[spelled(s.symbol)].append(one)
            for word in words_of(s.name):
                self._word[word].append(one)
        self.exchanges = frozenset(one.security.exchange for one in self.every)
        by_number = {one.security.security_id: one for one in self.every}
        self._spans: dict[str, list[tuple[Span, Listed]]] = defaultdict(list)
        for span in spans:
            self._spans[spelled(span.symbol)].append((span, by_number[span.security.security_id]))
        self._dated = frozenset(x.security.security_id for pairs in self._spans.values() for _, x in pairs)

    def is_dated(self, named: Named) -> bool:
        """Whether it depends on the day whom this symbol means."""
        return any(text in self._spans for text in (spelled(named.symbol), place(named, self.exchanges)[0]))

    def had(self, named: Named) -> list[Span]:
        """Who had this symbol and gave it up, the last first."""
        texts = dict.fromkeys((spelled(named.symbol), place(named, self.exchanges)[0]))
        found = [span for text in texts for span, _ in self._spans.get(text, ()) if span.until is not None]
        return sorted(found, key=lambda s: s.first, reverse=True)

    def _with(self, symbol: str, on: date | None, exchange: str = "") -> list[Listed]:
        """Those that had a symbol on a day (None: have it now); where nobody had, who has it now, unless it was another's once."""
        now = [x for x in self._symbol.get(symbol, ()) if exchange in ("", x.security.exchange)]
        spans = [(s, x) for s, x in self._spans.get(symbol, ()) if exchange in ("", s.exchange)]
        if on is None or not spans:
            return now
        then = [x for s, x in spans if s.holds(on)] + [x for x in now if x.security.security_id not in self._dated]
        gone = {x.security.security_id for s, x in spans if s.until is not None}
        return then or [x for x in now if not gone - {x.security.security_id}]

    def find(self, named: Named, on: date | None = None) -> Security | None:
        """The one security that is meant on a day (None: now), None where none is or several might be. Never by name, never in
        another currency."""
        sure = [one for one in self._isin.get(named.isin, ()) if _fits(one, named)]
        symbol, exchanges = place(named, self.exchanges)
        if sure:
            for chosen in (
                [x for x in sure if x.security.exchange in exchanges and spelled(x.security.symbol) == symbol],
                [x for x in sure if spelled(x.security.symbol) == symbol],
                [x for x in sure if x.security.exchange in exchanges],
                sure,
            ):
                if len(chosen) == 1:
                    return chosen[0].security
            return None
        if not named.symbol:
            return None
        whole = [] if named.exchange else self._with(spelled(named.symbol), on)
        found = [x for x in whole if _fits(x, named)]
        if not found and exchanges:
            found = [x for e in exchanges for x in self._with(symbol, on, e) if _fits(x, named)]
        return found[0].security if len(found) == 1 else None

    def into(self, named: Named, on: date | None = None) -> Security | None:
        """As `find`, for what a corporate action ends in: it may be listed elsewhere than what it comes from."""
        return self.find(named, on) or self.find(Named(named.symbol, "", named.isin, named.name, named.currency), on)

    def candidates(self, named: Named, most: int = 5) -> tuple[Candidate, ...]:
        """What might be meant, likeliest first."""
        scores: dict[int, Candidate] = {}

        def add(one: Listed, score: float) -> None:
            s = one.security
            if named.currency and s.currency != named.currency:
                score *= 0.8
            if s.security_id not in scores or scores[s.security_id].score < score:
                scores[s.security_id] = Candidate(s, round(score, 2))

        for one in self._isin.get(named.isin, ()):
            add(one, 0.98)
        symbol, exchanges = place(named, self.exchanges)
        for text in dict.fromkeys((spelled(named.symbol), symbol)) if named.symbol else ():
            for one in self._symbol.get(text, ()):
                other = bool(named.isin and one.isin and named.isin != one.isin)
                add(one, 0.3 if other else 0.85 if one.security.exchange in exchanges else 0.7)
            for _, one in self._spans.get(text, ()):
                add(one, 0.3 if named.isin and one.isin and named.isin != one.isin else 0.65)
        words = words_of(named.name)
        for one in {id(x): x for w in words for x in self._word.get(w, ())}.values():
            theirs = words_of(one.security.name)
            share = len(words & theirs) / len(words | theirs)
            if share >= 0.3 and not (named.isin and one.isin and named.isin != one.isin):
                add(one, 0.8 * share)
        ranked = sorted(scores.values(), key=lambda c: (-c.score, c.security.symbol, c.security.exchange))
        return tuple(ranked[:most])


def _fits(one: Listed, named: Named) -> bool:
    """Whether nothing that is known of both speaks against it."""
    if named.currency and one.security.currency != named.currency:
        return False
    return not (named.isin and one.isin and named.isin != one.isin)


def spelled(symbol: str) -> str:
    """A symbol with one way to write share classes: BRK B, BRK/B and BRK-B are BRK.B."""
    return re.sub(r"[ ./-]+", ".", symbol.strip().upper()).strip(".")


def place(named: Named, exchanges: Iterable[str] = ()) -> tuple[str, tuple[str, ...]]:
    """(symbol, exchanges that are meant) of AAPL.US, SAP GY, VWCE:XETR, XETR:VWCE or a symbol with an exchange beside it."""
    known = frozenset(exchanges) | frozenset(HOMES.values()) | frozenset(AMERICA) | {"XPAR", "XAMS", ELSEWHERE}
    left, colon, right = named.symbol.upper().partition(":")
    if colon and left in known:
        return spelled(right), (left,)
    if colon and right.strip() in known:
        return spelled(left), (right.strip(),)
    if named.exchange:
        return spelled(named.symbol), (named.exchange,)
    found = re.fullmatch(r"(.+)[. :]([A-Z]{1,3})", named.symbol.upper())
    if found and found[2] in SUFFIXES:
        return spelled(found[1]), SUFFIXES[found[2]]
    return spelled(named.symbol), ()


def words_of(name: str) -> frozenset[str]:
    """The words of a company's name that tell it apart, without case, accents and legal forms."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c))
    return frozenset(w for w in plain.split() if w not in _LEGAL and len(w) > 1)


def proposed(named: Named, base: str, exchanges: Mapping[str, str], foreign: bool = False) -> NewSecurity:
    """A security to add, for the user to correct. `exchanges`: the currency of each; `foreign`: rows give a rate, so that
    its currency is not `base`."""
    symbol, places = place(named, exchanges)
    there = next((e for e in places if e in exchanges), "")
    currency = named.currency or base
    if foreign and not named.currency:
        there_in = exchanges.get(there, "")
        currency = there_in if there_in not in ("", base) else "USD" if base != "USD" else "EUR"
    exchange = there or (ELSEWHERE if named.exchange or places else HOMES.get(currency, ELSEWHERE))
    short = as_symbol(symbol if places else named.symbol) or named.isin
    short = short or re.sub(r"[^A-Z0-9]+", ".", named.name.upper()).strip(".") or "UNNAMED"
    isin = named.isin if isin_is_sound(named.isin) else ""
    kind = "Fund" if _FUND.search(named.name) else "Equity"
    return NewSecurity(short[:32], exchange, named.name or short, isin, currency, kind)
