"""What a feed says of a security that somebody wants to add, and how the words of providers become ours.

To teach it another exchange or kind of a provider, add a line to EXCHANGES or KINDS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.ledger import LedgerError
from core.master import ELSEWHERE, SYMBOL, Known
from core.taxonomy import ASSET_CLASSES, plain, sector_of

# what Yahoo calls a kind of security → our asset class
KINDS: Mapping[str, str] = {
    "EQUITY": "Equity",
    "ETF": "Fund",
    "MUTUALFUND": "Fund",
    "MONEYMARKET": "Fund",
    "CRYPTOCURRENCY": "Crypto",
    "CURRENCY": "Currency",
    "FUTURE": "Commodity",
    "COMMODITY": "Commodity",
    "INDEX": "Index",
    "BOND": "Fixed Income",
}
# Yahoo's code of an exchange → ours. Arca, American and Cboe keep New York's sessions and are no exchanges of their own here
EXCHANGES: Mapping[str, str] = {
    **dict.fromkeys(("NMS", "NGM", "NCM", "NAS"), "XNAS"),
    **dict.fromkeys(("NYQ", "NYS", "PCX", "ASE", "BTS", "BATS"), "XNYS"),
    "LSE": "XLON",
    "GER": "XETR",
    "PAR": "XPAR",
    "AMS": "XAMS",
    "EBS": "XSWX",
    "JPX": "XTKS",
    "TOR": "XTSE",
}
# payments a year → how that is called
RATES: Sequence[tuple[int, str]] = ((12, "monthly"), (4, "quarterly"), (2, "semi-annual"), (1, "annual"))
NEAR = 0.2  # how far a rate may be from one of these, as a share of it
TWO_YEARS = timedelta(days=730 + 45)  # an ex date comes a few weeks earlier or later than the year before
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_PLACE = re.compile(r"([A-Z0-9]{2,12}):(\S+)")
LONGEST = 200  # characters of a text
LONGEST_QUESTION = 80  # characters of what somebody asks the feeds
_TOGETHER = ("price", "previous_close", "quoted_at")  # come from one feed, or they contradict each other


@dataclass(frozen=True, slots=True)
class Profile:
    """Master data that a feed proposes, in our words; None where it does not say. Prices are in `currency`, a main one."""

    symbol: str
    exchange: str | None = None
    name: str | None = None
    currency: str | None = None
    asset_class: str | None = None
    sector: str | None = None
    industry: str | None = None
    country: str | None = None
    isin: str | None = None
    dividend_frequency: str | None = None
    price: Decimal | None = None
    previous_close: Decimal | None = None
    quoted_at: datetime | None = None
    provider: str | None = None

    def values(self) -> dict[str, Any]:
        """What is known, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def as_json(self) -> dict[str, str | None]:
        """The profile as it is stored."""
        return {name: _text(value) for name, value in self.values().items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Profile:
        """A profile as it was stored."""
        values = dict(stored)
        for name in ("price", "previous_close"):
            values[name] = Decimal(values[name]) if values.get(name) else None
        values["quoted_at"] = datetime.fromisoformat(values["quoted_at"]) if values.get("quoted_at") else None
        return cls(**values)


def _text(value: str | Decimal | datetime | None) -> str | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed: a symbol, with its exchange or without, or an ISIN; `text` is all of it."""

    text: str
    symbol: str = ""
    exchange: str = ""
    isin: str = ""


def asked(text: str) -> Asked:
    """Read what somebody typed: AAPL, XNAS:AAPL, US0378331005, or words of a name."""
    text = " ".join(text.split())
    typed = text.upper()
    if _ISIN.fullmatch(typed):
        return Asked(text, isin=typed)
    place = _PLACE.fullmatch(typed)
    if place:
        return Asked(text, place[2], place[1])
    return Asked(text, "" if " " in typed else typed)


def question(text: str) -> str:
    """What somebody asks the feeds, as it is kept: without the spaces around its words. Raises LedgerError."""
    words = " ".join(text.split())
    if not 1 <= len(words) <= LONGEST_QUESTION or not words.isprintable():
        expected = f"a symbol, EXCHANGE:SYMBOL, ISIN or name of 1 to {LONGEST_QUESTION} characters"
        raise LedgerError("text", words[:LONGEST_QUESTION], expected)
    return words


def meant(text: str, among: Iterable[Profile]) -> list[Profile]:
    """Those of a feed's own list that somebody means: by ISIN or symbol, else by a part of the name (three letters or more)."""
    every, what = list(among), asked(text)
    if what.isin:
        return [p for p in every if p.isin == what.isin]
    found = [p for p in every if p.symbol == what.symbol and what.exchange in ("", p.exchange or what.exchange)]
    words = plain(what.text)
    if found or what.exchange or len(words) < 3:
        return found
    return [p for p in every if p.name and words in plain(p.name)]


def asset_class_of(kind: str | None) -> str | None:
    """Our asset class for a provider's kind of security; None for one we do not know."""
    return KINDS.get((kind or "").upper())


def exchange_of(code: str | None) -> str | None:
    """Our exchange for a provider's code; None for one that is not ours."""
    return EXCHANGES.get((code or "").upper())


def tidy(profile: Profile) -> Profile | None:
    """The profile without what no field can hold: control characters go, a long name is cut, other long texts are not said.

    None where its symbol is none.
    """
    texts = {f.name: printable(value) for f in fields(Profile) if isinstance(value := getattr(profile, f.name), str)}
    if not SYMBOL.fullmatch(texts["symbol"]):
        return None
    said = {name: text if 0 < len(text) <= LONGEST else None for name, text in texts.items()}
    if name := texts.get("name"):
        said["name"] = name[:LONGEST].rstrip()
    return replace(profile, **said)  # type: ignore[arg-type]


def printable(text: str) -> str:
    """A text in one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def allowed(profile: Profile) -> Profile:
    """The profile without what its asset class may not carry."""
    rules = ASSET_CLASSES.get(profile.asset_class or "")
    if rules is None:
        return profile
    if not rules.sector:
        profile = replace(profile, sector=None, industry=None)
    return profile if rules.dividends else replace(profile, dividend_frequency="none")


def dividend_frequency(paid: Iterable[date], today: date) -> str:
    """How often a security pays, by the ex dates of the last two years: the nearest regular rate, else irregular, none."""
    days = sorted({day for day in paid if today - TWO_YEARS < day <= today})
    if not days:
        return "none"
    span = (days[-1] - days[0]).days
    rate = (len(days) - 1) * 365.25 / span if span else 0.0
    return next((name for times, name in RATES if abs(rate - times) <= NEAR * times), "irregular")


# what a proposal fills in, in this order: a sector before its industry
FILLED = (
    "symbol",
    "exchange",
    "currency",
    "name",
    "isin",
    "asset_class",
    "sector",
    "industry",
    "country",
    "dividend_frequency",
)


def filling(one: Profile, cells: Mapping[str, Any], known: Known) -> dict[str, str]:
    """What a proposal adds to the fields of a new security: those that are empty and that it says, as far as they exist here."""
    offered: Mapping[str, Iterable[str]] = {
        "exchange": known.exchanges,
        "currency": known.currencies,
        "country": known.countries,
    }
    out: dict[str, str] = {}
    for field in FILLED:
        value = getattr(one, field)
        if value is None or cells.get(field) or (field in offered and value not in offered[field]):
            continue
        if field == "industry" and sector_of(str(cells.get("sector") or out.get("sector") or "")) != one.sector:
            continue  # it belongs to the sector that the feed says
        out[field] = value
    return out


def listed_as(symbol: str, among: Iterable[Profile], cells: Mapping[str, Any], known: Known) -> list[Profile]:
    """Those of some proposals that are a listing of this symbol here, with nothing in the cells against them; one for each exchange."""
    out: dict[str, Profile] = {}
    for one in among:
        said = (
            (one.currency, cells.get("currency")),
            (one.asset_class, cells.get("asset_class")),
            (one.isin, cells.get("isin")),
        )
        against = any(a and b and a.lower() != str(b).lower() for a, b in said)
        place = one.exchange or ELSEWHERE
        if one.symbol == symbol.strip().upper() and place in known.exchanges and place != ELSEWHERE and not against:
            out.setdefault(place, one)
    return list(out.values())


def merged(given: Iterable[Sequence[Profile]]) -> list[Profile]:
    """What several feeds say, the preferred one first: a later one fills the gaps of an earlier one, or adds what it alone knows."""
    found: list[Profile] = []
    for profiles in given:
        before = len(found)
        for profile in profiles:
            same = next((i for i, known in enumerate(found[:before]) if _same(known, profile)), None)
            if same is None:
                found.append(profile)
            else:
                found[same] = _filled(found[same], profile)
    return found


def _same(one: Profile, other: Profile) -> bool:
    """Whether both are about the same listing: nothing that both say differs."""
    if one.symbol != other.symbol and not (one.isin and one.isin == other.isin and one.exchange == other.exchange):
        return False
    pairs = ((one.exchange, other.exchange), (one.currency, other.currency), (one.isin, other.isin))
    return all(a is None or b is None or a == b for a, b in pairs)


def _filled(first: Profile, second: Profile) -> Profile:
    missing = {
        f.name: value
        for f in fields(Profile)
        if f.name not in _TOGETHER and getattr(first, f.name) is None and (value := getattr(second, f.name)) is not None
    }
    if first.sector is not None:
        missing.pop("industry", None)  # an industry belongs to the sector that it came with
    if first.price is None and second.price is not None:
        missing |= {name: getattr(second, name) for name in _TOGETHER}
    if not missing:
        return first
    return allowed(replace(first, **missing | {"provider": ", ".join(filter(None, (first.provider, second.provider)))}))
