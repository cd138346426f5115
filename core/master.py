"""What a security in the master may be: the fields of a form, of a request and of a CSV row, checked one by one.

`checked` reads cells of text and says every fault at once, each as an error of its own class. To add a field, add it to
`SecurityDraft` and to `FIELDS`, and its check to `_Reading`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from rapidfuzz import fuzz, process

from core.listings import several
from core.taxonomy import ASSET_CLASSES, FREQUENCIES, sector_of

ELSEWHERE = "XOFF"  # the exchange of what is listed nowhere here
WITH_TERMS = frozenset(
    name for name, rules in ASSET_CLASSES.items() if rules.maturity
)  # may mature, may have a par value
WITHOUT_SECTOR = frozenset(name for name, rules in ASSET_CLASSES.items() if not rules.sector)
WITHOUT_DIVIDENDS = frozenset(  # what has a maturity may say how often its coupon is paid
    name for name, rules in ASSET_CLASSES.items() if not (rules.dividends or rules.maturity)
)
LARGEST = Decimal(10) ** 17
AHEAD = timedelta(days=731)  # a dividend or an issue is announced at most so far ahead: later is a slip of the pen


class MasterError(ValueError):
    """A field of a security is wrong: which, what it holds, what would be right. Nothing was changed."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        shown = "" if value is None else str(value)
        super().__init__(f"{field} {shown!r}: {expected}" if shown else f"{field}: {expected}")


class DuplicateSymbol(MasterError):
    """The exchange lists this symbol already, or somebody is just adding it."""


class InvalidAssetClass(MasterError):
    """There is no such asset class."""


class AssetClassInconsistent(MasterError):
    """The asset class contradicts another field, or another listing of the same security."""


class InvalidSector(MasterError):
    """There is no such sector, or no such industry in it."""


class InvalidPrice(MasterError):
    """A price is not a number above zero."""


class InvalidDividendFrequency(MasterError):
    """Dividends are paid monthly, quarterly, semi-annually, annually, irregularly or not at all."""


class UnknownReference(MasterError):
    """A field names something that does not exist: an exchange, a currency, a country (a foreign key)."""


class InvalidDividend(MasterError):
    """What is said of the dividend does not go together."""


class InvalidField(MasterError):
    """Any other field that does not hold what it should."""


@dataclass(frozen=True, slots=True)
class Former:
    """The security that had a symbol before: how it is listed now, and the day from which the symbol is free."""

    listing: str
    until: date


@dataclass(frozen=True, slots=True)
class SecurityDraft:
    """A security as somebody wants it; prices and amounts in its own currency."""

    symbol: str
    exchange: str
    name: str
    asset_class: str
    currency: str
    isin: str | None = None
    sector_id: int | None = None
    issuer: str | None = None
    country: str | None = None
    rating: str | None = None
    issued_on: date | None = None
    matures_on: date | None = None
    par_value: Decimal | None = None
    dividend_frequency: str = "none"
    price: Decimal | None = None
    priced_on: date | None = None
    dividend: Decimal | None = None  # per share
    dividend_ex_on: date | None = None
    dividend_pay_on: date | None = None
    follows: Former | None = None  # what had its symbol before

    @property
    def listing(self) -> str:
        """EXCHANGE:SYMBOL, by which it is referred to before it has a number."""
        return f"{self.exchange}:{self.symbol}"


# the cells of a row, in the order of the CSV: key, what it means
FIELDS: Mapping[str, str] = {
    "symbol": "ticker, unique on its exchange",
    "exchange": "its code, such as XNYS; empty: not listed here (XOFF)",
    "name": "empty: the symbol",
    "isin": "twelve characters",
    "asset_class": "such as Equity, Fixed Income, Fund",
    "sector": "such as Information Technology",
    "industry": "within the sector",
    "subsector": "within the industry",
    "currency": "ISO code; empty: that of the exchange",
    "issuer": "who issued it",
    "country": "two letters, such as US",
    "rating": "such as AA-",
    "issued_on": "date",
    "matures_on": "date",
    "par_value": "per unit",
    "dividend_frequency": ", ".join(FREQUENCIES),
    "price": "in its currency, above zero",
    "priced_on": "day of that price; empty: today",
    "dividend": "per share, above zero",
    "dividend_ex_on": "first day without the dividend",
    "dividend_pay_on": "empty: not known",
}
MASTER_FIELDS = tuple(FIELDS)[:16]  # what can be edited later; the rest are first prices and dividends


@dataclass(frozen=True, slots=True)
class Listed:
    """A security of the master, as far as a new one must not contradict it."""

    security_id: int
    symbol: str
    exchange: str
    asset_class: str
    isin: str | None
    status: str

    @property
    def listing(self) -> str:
        """EXCHANGE:SYMBOL."""
        return f"{self.exchange}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class Known:
    """What exists: dimensions and the securities there are."""

    exchanges: Mapping[str, str]  # code: currency
    currencies: frozenset[str]
    countries: Mapping[str, str]  # code: name
    asset_classes: Mapping[str, bool]  # name: whether it can be traded
    sectors: Mapping[tuple[str, str, str], int]  # (sector, industry, subsector): number
    listed: Mapping[str, Listed]  # by EXCHANGE:SYMBOL
    today: date
    former: Mapping[str, Sequence[tuple[int, date]]] = field(default_factory=dict)  # (number, until when) by listing
    by_isin: dict[str, list[Listed]] = field(default_factory=dict)
    by_symbol: dict[str, list[Listed]] = field(default_factory=dict)
    by_number: dict[int, Listed] = field(default_factory=dict)
    once: dict[str, list[tuple[Listed, date]]] = field(default_factory=dict)  # who had a symbol until when, wherever
    # the same names however they are written: in lower case
    country_codes: dict[str, str] = field(default_factory=dict)
    class_names: dict[str, str] = field(default_factory=dict)
    sector_names: dict[str, str] = field(default_factory=dict)
    industry_names: dict[str, dict[str, str]] = field(default_factory=dict)  # by our name of the sector
    subsector_numbers: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)  # by sector and industry

    def __post_init__(self) -> None:
        self.country_codes.update({name.lower(): code for code, name in self.countries.items()})
        self.class_names.update({name.lower(): name for name in self.asset_classes})
        for (sector, industry, subsector), number in self.sectors.items():
            self.sector_names[sector.lower()] = sector
            self.industry_names.setdefault(sector, {})[industry.lower()] = industry
            self.subsector_numbers.setdefault((sector, industry.lower()), {})[subsector.lower()] = number
        for one in self.listed.values():
            self.by_number[one.security_id] = one
            self.by_symbol.setdefault(one.symbol, []).append(one)
            if one.isin:
                self.by_isin.setdefault(one.isin, []).append(one)
        for listing, had in self.former.items():
            gone = [(self.by_number[n], until) for n, until in had if n in self.by_number]
            self.once.setdefault(listing.split(":", 1)[1], []).extend(gone)

    def follows(self, listing: str, own: int | None = None) -> Former | None:
        """What had a listing last before; None where nothing but the security `own` ever had it."""
        had = [(until, n) for n, until in self.former.get(listing, ()) if n != own and n in self.by_number]
        if not had:
            return None
        until, number = max(had)
        return Former(self.by_number[number].listing, until)


def checked(
    cells: Mapping[str, Any], known: Known, editing: Listed | None = None
) -> tuple[SecurityDraft | None, list[MasterError]]:
    """(the draft, its faults): one of both is empty. Cells are text or what a JSON body holds; missing and '' are the same.

    `editing`: the security that these are to become the fields of; it may keep its own symbol.
    """
    reading = _Reading(cells, known, editing)
    draft = reading.draft()
    return (None, reading.faults) if reading.faults else (draft, [])


def closest(text: str, choices: Iterable[str]) -> str:
    """ "Equity, Fund, …", those most like the text first; "did you mean" where one is very like it."""
    return _closest(text[:80], tuple(choices))


def nearest(text: str, names: Sequence[str]) -> str | None:
    """The name most like the text, whatever the case; None where none is like it. Of two alike the first."""
    found = process.extractOne(text[:80], names, scorer=fuzz.ratio, processor=str.lower, score_cutoff=60)
    return found[0] if found else None


@lru_cache(maxsize=1024)
def _closest(text: str, every: tuple[str, ...]) -> str:
    near = nearest(text, every)
    listed = ", ".join(every[:12]) + (" …" if len(every) > 12 else "")
    return f"did you mean {near}? There are {listed}" if near else f"expected one of {listed}"


NOTHING = Decimal(0)
# the way on where a security that trades no more stands in the way of another one's symbol
REUSED = "if another company has the symbol now, first give the old one another symbol (symbol change), then this one can have it"
ADDED = "an admin adds others under Securities, Sectors"
ANNOUNCED = frozenset({"issued_on", "dividend_ex_on", "dividend_pay_on"})
_LUHN = {ord(c): str(int(c, 36)) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_MARKS = "!-.0-9;-~"  # printable ASCII without the colon, which parts an exchange from a symbol, and the slash, which parts an address
SYMBOL = re.compile(f"[{_MARKS}]{{1,32}}")
_NOT_OF_A_SYMBOL = re.compile(f"[^{_MARKS}]+")
_NUMBER = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


def isin_is_sound(isin: str) -> bool:
    """Whether an ISIN has the form and the check digit of ISO 6166 (Luhn over letters as 10…35)."""
    if not _ISIN.fullmatch(isin):
        return False
    digits = isin.translate(_LUHN)
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def as_symbol(text: str) -> str:
    """A text as the master takes a symbol: points for what cannot be in one. May be empty, or too long."""
    return _NOT_OF_A_SYMBOL.sub(".", text.upper()).strip(".")


class _Reading:
    """One row being read; faults are collected, not raised, so that all are said at once."""

    def __init__(self, cells: Mapping[str, Any], known: Known, editing: Listed | None) -> None:
        self.cells, self.known, self.editing = cells, known, editing
        self.faults: list[MasterError] = []

    def draft(self) -> SecurityDraft | None:
        """Every field in turn."""
        for name in self.cells:
            if name not in FIELDS:
                self.faults.append(
                    InvalidField(name, self.cells[name], f"there is no such field; {closest(name, FIELDS)}")
                )
        symbol = self._symbol()
        exchange = self._exchange(symbol)
        follows = self.known.follows(f"{exchange}:{symbol}", self.editing.security_id if self.editing else None)
        currency: str = self._code("currency", self.known.currencies) or self.known.exchanges.get(exchange, "")
        if currency and currency not in self.known.currencies and not self._text("currency"):
            self._fault(
                UnknownReference, "currency", f"{exchange} has {currency}, which is none here: give the currency"
            )
        asset_class = self._asset_class()
        sector_id = self._sector(asset_class)
        frequency = self._frequency(asset_class)
        isin = self._isin(asset_class)
        if follows is not None and follows.listing in {x.listing for x in self.known.by_isin.get(isin or "", ())}:
            same = f"by its ISIN it is {follows.listing}, which had this symbol until {follows.until}: change that one"
            self._fault(DuplicateSymbol, "symbol", same)
        issued, matures = self._date("issued_on"), self._date("matures_on")
        par = self._number("par_value", InvalidField)
        self._terms(asset_class, issued, matures, par)
        price = self._number("price", InvalidPrice)
        priced_on = self._date("priced_on")
        if priced_on is not None and priced_on > self.known.today:
            self._fault(InvalidPrice, "priced_on", f"a day up to today, {self.known.today}")
        if priced_on is not None and price is None and not self._text("price"):
            self._fault(InvalidPrice, "priced_on", "a price goes with it")
        dividend, ex_on, pay_on = self._dividend(frequency)
        country = self.known.country_codes.get(self._text("country").lower()) or self._code(
            "country", self.known.countries
        )
        texts = {name: self._words(name, longest) for name, longest in (("name", 200), ("issuer", 200), ("rating", 20))}
        if self.faults:
            return None
        return SecurityDraft(
            symbol, exchange, texts["name"] or symbol, asset_class, currency, isin, sector_id, texts["issuer"], country,
            texts["rating"], issued, matures, par, frequency, price, priced_on, dividend, ex_on, pay_on, follows,
        )  # fmt: skip

    def _text(self, name: str) -> str:
        value = self.cells.get(name)
        return "" if value is None else str(value).strip()

    def _fault(self, kind: type[MasterError], name: str, expected: str) -> None:
        self.faults.append(kind(name, self._text(name)[:80], expected))

    def _words(self, name: str, longest: int) -> str | None:
        text = " ".join(self._text(name).split())
        if len(text) > longest or not text.isprintable():
            self._fault(InvalidField, name, f"up to {longest} printable characters")
        return text or None

    def _code(self, name: str, known: Collection[str]) -> str | None:
        code = self._text(name).upper()
        if code and code not in known:
            self._fault(UnknownReference, name, f"there is none; {closest(code, sorted(known))}")
        return code or None

    def _symbol(self) -> str:
        text = self._text("symbol")
        symbol = text.upper() if text.isascii() else ""  # the upper case of a ligature is two plain letters
        if not SYMBOL.fullmatch(symbol):
            self._fault(
                InvalidField,
                "symbol",
                "1 to 32 letters, digits or marks are needed, without spaces, colons and slashes",
            )
        return symbol

    def _exchange(self, symbol: str) -> str:
        """The exchange, with what stands there under the symbol."""
        said = self._code("exchange", self.known.exchanges)
        exchange: str = said or (self.editing.exchange if self.editing else ELSEWHERE)
        own = self.editing.security_id if self.editing else None
        there = self.known.listed.get(f"{exchange}:{symbol}")
        if there is not None and there.security_id != own:
            ways = REUSED if own else f"reinstate it if it is the same; {REUSED}"
            state = "" if there.status == "active" else f" and is {there.status}: {ways}"
            self._fault(DuplicateSymbol, "symbol", f"{exchange} lists it already (security {there.security_id}){state}")
        elif said is None and self.editing is None and (taken := self._elsewhere(symbol)):
            self._fault(DuplicateSymbol, "symbol", taken)
        return exchange

    def _elsewhere(self, symbol: str) -> str:
        """Why a symbol without an exchange does not make a new security; empty where nobody has or had it anywhere."""
        places = [x.exchange for x in self.known.by_symbol.get(symbol, ())]
        if len(places) > 1:
            return several(symbol, places)
        if places:
            return f"{places[0]} lists it already; say the exchange if you mean another one"
        had = self.known.once.get(symbol, ())
        was, until = max(had, key=lambda pair: pair[1], default=(None, None))
        return (
            f"{was.listing} is what was {symbol} until {until}; say the exchange if you mean another company"
            if was
            else ""
        )

    def _asset_class(self) -> str:
        text = self._text("asset_class")
        found = self.known.class_names.get(text.lower())
        if found is None:
            self._fault(InvalidAssetClass, "asset_class", closest(text, self.known.asset_classes))
        return found or ""

    def _sector(self, asset_class: str) -> int | None:
        """The number of the sector, with the industry and subsector where they are given."""
        sector, industry, subsector = (self._text(n) for n in ("sector", "industry", "subsector"))
        if not sector:
            for name, text in (("industry", industry), ("subsector", subsector)):
                if text:
                    self._fault(InvalidSector, name, "a sector goes with it")
            return None
        if asset_class in WITHOUT_SECTOR:
            self._fault(
                AssetClassInconsistent,
                "sector",
                f"{asset_class} has no sector: leave it empty, or choose another class",
            )
            return None
        ours = self.sector_name(sector)
        if ours is None:
            names = closest(sector, sorted(self.known.sector_names.values()))
            self._fault(InvalidSector, "sector", f"{names}; {ADDED}")
            return None
        industries = self.known.industry_names[ours]
        if industry.lower() not in industries:
            self._fault(
                InvalidSector,
                "industry",
                f"{ours} has none of this name; {closest(industry, sorted(i for i in industries.values() if i))}; {ADDED}",
            )
            return None
        in_industry = self.known.subsector_numbers[ours, industry.lower()]
        if subsector.lower() not in in_industry:
            self._fault(
                InvalidSector,
                "subsector",
                f"{industry or ours} has none of this name; leave it empty; {ADDED}",
            )
            return None
        return in_industry[subsector.lower()]

    def sector_name(self, text: str) -> str | None:
        """Our name of a sector, however others call it."""
        return self.known.sector_names.get(sector_of(text).lower())

    def _frequency(self, asset_class: str) -> str:
        text = self._text("dividend_frequency").lower().replace("semiannual", "semi-annual") or "none"
        if text not in FREQUENCIES:
            self._fault(InvalidDividendFrequency, "dividend_frequency", closest(text, FREQUENCIES))
        elif text != "none" and asset_class in WITHOUT_DIVIDENDS:
            said = f"{asset_class} pays none: leave it empty, or choose another class"
            self._fault(AssetClassInconsistent, "dividend_frequency", said)
        return text

    def _isin(self, asset_class: str) -> str | None:
        isin = self._text("isin").upper().replace(" ", "")
        if not isin:
            return None
        if not isin_is_sound(isin):
            self._fault(InvalidField, "isin", "twelve characters with a right check digit, such as US0378331005")
            return None
        one = self.editing
        own = one.security_id if one else None
        was = one.asset_class if one and one.isin == isin else None  # both were wrong: one must be mended first
        for other in self.known.by_isin.get(isin, ()):
            if other.security_id != own and asset_class and other.asset_class not in (asset_class, was):
                said = f"{other.listing} is the same security by its ISIN and is {other.asset_class}"
                self._fault(AssetClassInconsistent, "asset_class", said)
                break
        return isin

    def _terms(self, asset_class: str, issued: date | None, matures: date | None, par: Decimal | None) -> None:
        if asset_class and asset_class not in WITH_TERMS:
            for name, value in (("matures_on", matures), ("par_value", par)):
                if value is not None:
                    self._fault(
                        AssetClassInconsistent,
                        name,
                        f"{asset_class} has none: leave it empty, or choose {' or '.join(sorted(WITH_TERMS))}",
                    )
        if issued is not None and matures is not None and matures <= issued:
            self._fault(InvalidField, "matures_on", f"a day after the issue, {issued}")

    def _number(self, name: str, kind: type[MasterError]) -> Decimal | None:
        text = self._text(name)
        if not text:
            return None
        value = Decimal(text) if _NUMBER.fullmatch(text) else NOTHING
        if value >= LARGEST:
            self._fault(kind, name, f"a number below {LARGEST:,f} is needed")
            return None
        if value <= 0:
            self._fault(
                kind, name, "a number above zero is needed, with a point and no thousands separators, such as 150.25"
            )
            return None
        places = 6 if name == "par_value" else 10
        if value != round(value, places):
            self._fault(kind, name, f"at most {places} decimals are kept exactly")
            return None
        return value

    def _date(self, name: str) -> date | None:
        text = self._text(name)  # a date of a form reads as one that is written
        if not text:
            return None
        try:
            on = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
        except ValueError:
            on = None
        kind = InvalidPrice if name == "priced_on" else InvalidDividend if name.startswith("dividend") else InvalidField
        if on is None or on.year < 1700:
            self._fault(kind, name, "a date such as 2026-03-31")
            return None
        if name in ANNOUNCED and on > self.known.today + AHEAD:
            self._fault(kind, name, f"a day up to {self.known.today + AHEAD}")
            return None
        return on

    def _dividend(self, frequency: str) -> tuple[Decimal | None, date | None, date | None]:
        amount = self._number("dividend", InvalidDividend)
        ex_on, pay_on = self._date("dividend_ex_on"), self._date("dividend_pay_on")
        if self._text("dividend"):
            if amount is not None and frequency == "none":
                self._fault(InvalidDividend, "dividend", "how often it is paid goes with it: give dividend_frequency")
            if not self._text("dividend_ex_on"):
                self._fault(InvalidDividend, "dividend_ex_on", "the ex date of the dividend is needed")
        elif self._text("dividend_ex_on") or self._text("dividend_pay_on"):
            self._fault(InvalidDividend, "dividend", "the amount per share is needed, or leave its dates empty")
        if ex_on is not None and pay_on is not None and pay_on < ex_on:
            self._fault(InvalidDividend, "dividend_pay_on", f"not before the ex date, {ex_on}")
        return amount, ex_on, pay_on


class StillReferenced(MasterError):
    """Something stands in the way of removing a security (a foreign key): what, where, and what to do first."""

    def __init__(self, listing: str, obstacles: tuple[str, ...]) -> None:
        self.obstacles = obstacles
        super().__init__("symbol", listing, "cannot be removed: " + "; ".join(obstacles))


class PlanOutdated(MasterError):
    """What was confirmed is not what would be written now: somebody changed it in between."""
