"""What upkeep of the security master finds: pure rules that propose a change, each with its reason. Nothing is changed here.

To add a rule, write a function that answers Findings, and ask it in `jobs.upkeep`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from core.calendar import Sessions
from core.fx import day_number, day_of
from core.master import WITHOUT_DIVIDENDS, WITHOUT_SECTOR, InvalidField
from core.plans import MANUAL, Row, Step
from core.profiles import Profile, dividend_frequency
from core.taxonomy import ASSET_CLASSES, Sector, plain, sector_named

# what a proposal is about, in words
KINDS: Mapping[str, str] = {
    "reclassify": "Master data",
    "asset_class": "Asset class and dividends",
    "status": "Halts and delistings",
    "symbol_change": "Symbol change",
    "adjusted_close": "Adjusted close",
}
JOBS: Mapping[str, tuple[str, ...]] = {  # which kinds a job looks for
    "reclassify": ("reclassify",),
    "verify_classes": ("asset_class",),
    "listings": ("status", "symbol_change"),
    "adjusted_closes": ("adjusted_close",),
    "housekeeping": (),
}
TOLD = frozenset({"adjusted_close"})  # notices: there is nothing that a task could do about them
HALTED_AFTER, DELISTED_AFTER = 5, 20  # sessions without a bar or a quote
AT_LEAST = 2  # ex dates that say how often somebody pays


def checked_job(job: str) -> str:
    """One of JOBS. Raises InvalidField."""
    if job not in JOBS:
        raise InvalidField("job", job, f"expected one of {', '.join(JOBS)}")
    return job


@dataclass(frozen=True, slots=True)
class Kept:
    """A security as upkeep looks at it: master data, and when it was last seen trading."""

    security_id: int
    symbol: str
    exchange: str
    name: str
    asset_class: str
    sector: str | None
    industry: str | None
    country: str | None
    currency: str
    isin: str | None
    dividend_frequency: str
    matures_on: date | None
    status: str
    named_since: date  # since when it has its symbol
    priced_on: date | None  # day of its last bar or quote
    provider: str | None  # who gave that
    tracked: bool = True

    @property
    def listing(self) -> str:
        """EXCHANGE:SYMBOL."""
        return f"{self.exchange}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One change that a rule proposes: of which field, from what to what, and why."""

    kind: str
    security_id: int
    field: str
    before: Any
    after: Any
    why: str
    found_by: str = "rule"


def spoken(value: Any) -> str:
    """What stands before or after, as one reads it."""
    if isinstance(value, Mapping):
        if "sector" in value:
            return " › ".join(str(value[k]) for k in ("sector", "industry") if value.get(k)) or "none"
        if "factor" in value:
            return f"factor {value['factor']}" + (f" on {value['on']}" if value.get("on") else "")
        first = value.get("status") or value.get("symbol") or "not known"
        return f"{first} since {value['on']}" if value.get("on") else str(first)
    return "none" if value in (None, "") else str(value)


# --- what the feeds say ------------------------------------------------------------------------


def same_listing(one: Kept, said: Profile) -> bool:
    """Whether a profile is about this listing: what it says of symbol, exchange, currency and ISIN agrees."""
    pairs = ((one.exchange, said.exchange), (one.currency, said.currency), (one.isin, said.isin))
    return one.symbol == said.symbol and all(a is None or b is None or a == b for a, b in pairs)


def reclassified(one: Kept, said: Profile, known: Sequence[Sector], pays: bool = False) -> list[Finding]:
    """Where a feed says another sector, industry, country, name or frequency of dividends. What it does not say is not proposed,
    nor what our dimensions do not have. `pays`: our own ex dates say how often, the feed is not asked."""
    by = said.provider or "feed"
    found: list[Finding] = []

    def propose(field: str, before: Any, after: Any, what: str) -> None:
        found.append(
            Finding("reclassify", one.security_id, field, before, after, f"{by} says {what} {spoken(after)}", by)
        )

    if said.sector and one.asset_class not in WITHOUT_SECTOR:
        theirs = sector_named(said.sector, known, said.industry or "") or sector_named(said.sector, known)
        if theirs is not None and (theirs[0] != one.sector or (theirs[1] and theirs[1] != (one.industry or ""))):
            after = {"sector": theirs[0], "industry": theirs[1] or None}
            propose("sector", {"sector": one.sector, "industry": one.industry}, after, "the sector is")
    if said.country and said.country != one.country:
        propose("country", one.country, said.country, "the country is")
    if said.name and not _same_name(one, said.name):
        propose("name", one.name, said.name, "it is called")
    frequency = said.dividend_frequency
    if frequency and frequency != one.dividend_frequency and not pays:
        propose("dividend_frequency", one.dividend_frequency, frequency, "dividends are paid")
    return found


def _same_name(one: Kept, name: str) -> bool:
    """Whether two names differ by no more than their case, their dashes or what follows ("Apple", "Apple Inc.")."""
    ours, theirs = (plain(n).replace(".", "").replace(",", "") for n in (one.name, name))
    return ours == theirs or (ours != plain(one.symbol) and (ours.startswith(theirs) or theirs.startswith(ours)))


def renamed(one: Kept, candidates: Sequence[Profile], on: date | None, announced: bool, today: date) -> Finding | None:
    """A symbol change: a feed knows the ISIN on the same exchange under another symbol, or one was announced.

    `on`: its day, where an action or the last trade tells; it comes after the day since which the symbol holds.
    """
    found = [p for p in candidates if p.isin == one.isin and p.exchange == one.exchange and p.symbol != one.symbol]
    if not found and not announced:
        return None
    day = min(max(on or today, day_of(day_number(one.named_since) + 1)), today)
    before = {"symbol": one.symbol}
    if not found:
        return Finding("symbol_change", one.security_id, "symbol", before, {"symbol": None, "on": day.isoformat()},
                       f"a symbol change is announced for {day}, and no feed says the new symbol: look it up and change it by hand")  # fmt: skip
    said = found[0]
    why = f"{said.provider or 'a feed'} knows {one.isin} as {said.symbol}" + (
        " and a symbol change was announced" if announced else ""
    )
    return Finding("symbol_change", one.security_id, "symbol", before, {"symbol": said.symbol, "on": day.isoformat()}, why,
                   said.provider or "feed")  # fmt: skip


# --- rules of our own --------------------------------------------------------------------------


def classes(
    every: Sequence[Kept], said: Mapping[int, Profile], paid: Mapping[int, Sequence[date]], today: date
) -> list[Finding]:
    """Asset classes against the feeds', against other listings of the same ISIN and against what a class may have; and dividends
    that are paid where the master says none. `paid`: the ex dates of each security."""
    found: list[Finding] = []
    by_isin: dict[str, list[Kept]] = {}
    for one in every:
        if one.isin:
            by_isin.setdefault(one.isin, []).append(one)
    differs: set[int] = set()
    for isin, listings in by_isin.items():
        counted = [x.asset_class for x in listings]
        # what most are; of two that are equally many, what the first that was added is
        most = max(
            dict.fromkeys(x.asset_class for x in sorted(listings, key=lambda x: x.security_id)), key=counted.count
        )
        its = next(x for x in listings if x.asset_class == most)
        for one in listings:
            if one.asset_class != most:
                differs.add(one.security_id)
                found.append(Finding("asset_class", one.security_id, "asset_class", one.asset_class, most,
                                     f"{its.listing} is the same security by its ISIN, {isin}, and is {most}"))  # fmt: skip
    for one in every:
        profile = said.get(one.security_id)
        if (
            one.security_id not in differs
            and profile is not None
            and profile.asset_class not in (None, one.asset_class)
        ):
            by = profile.provider or "feed"
            if not (
                one.asset_class == "Real Estate" and profile.sector == "Real Estate"
            ):  # a REIT is an equity to feeds
                found.append(Finding("asset_class", one.security_id, "asset_class", one.asset_class, profile.asset_class,
                                     f"{by} says it is {profile.asset_class}", by))  # fmt: skip
        if one.asset_class in WITHOUT_SECTOR and one.sector:
            before = {"sector": one.sector, "industry": one.industry}
            found.append(Finding("asset_class", one.security_id, "sector", before, {"sector": None, "industry": None},
                                 f"{one.asset_class} has no sector"))  # fmt: skip
        frequency = pays(one, paid.get(one.security_id, ()), today)
        if frequency is not None:
            days = [d for d in paid[one.security_id] if d <= today]
            found.append(Finding("asset_class", one.security_id, "dividend_frequency", "none", frequency,
                                 f"it paid dividends on {len(days)} ex dates, the last on {max(days)}"))  # fmt: skip
    return found


def pays(one: Kept, paid: Sequence[date], today: date) -> str | None:
    """How often a security pays by its ex dates, where the master says that it pays nothing; None where they do not tell."""
    if one.dividend_frequency != "none" or not ASSET_CLASSES[one.asset_class].dividends or len(set(paid)) < AT_LEAST:
        return None
    frequency = dividend_frequency(paid, today)
    return None if frequency == "none" or len({d for d in paid if d <= today}) < AT_LEAST else frequency


def silent(
    every: Sequence[Kept], calendars: Mapping[str, Sessions], answered: Mapping[str, datetime], at: datetime
) -> dict[int, tuple[int, date]]:
    """(sessions that each security missed, the first of them), of those that are tracked and were seen once.

    Only sessions count that its feed is known to have served: it gave prices of others since, or, where it has no others, it
    answered. A feed that is down makes nobody halted, and what a person prices by hand has no sessions to miss. `answered`: when each feed last did.
    """
    out: dict[int, tuple[int, date]] = {}
    seen = [
        (one.priced_on, one) for one in every if one.tracked and one.priced_on is not None and one.provider != MANUAL
    ]
    newest: dict[str, list[tuple[date, int]]] = {}
    for on, one in seen:
        newest.setdefault(one.provider or "", []).append((on, one.security_id))
    for given in newest.values():
        given.sort(reverse=True)
    for on, one in seen:
        sessions = calendars.get(one.exchange)
        last = None if sessions is None else sessions.last_completed(at)
        if sessions is None or last is None:
            continue
        others = [day for day, number in newest[one.provider or ""][:2] if number != one.security_id]
        answer = answered.get(one.provider or "")
        alive = others[0] if others else None if answer is None else answer.astimezone(UTC).date()
        if alive is None:
            continue
        missed = sessions.between(day_number(on) + 1, min(last, day_number(alive)))
        out[one.security_id] = (len(missed), day_of(int(missed[0])) if len(missed) else on)
    return out


def standing(one: Kept, missed: tuple[int, date] | None, today: date) -> Finding | None:
    """Whether a security should be halted, delisted, retired or active, by its maturity and the sessions that it missed."""
    if one.status not in ("active", "halted"):
        return None
    before = {"status": one.status}
    if one.matures_on is not None and one.matures_on < today:
        after = {"status": "retired", "on": one.matures_on.isoformat()}
        return Finding("status", one.security_id, "status", before, after, f"it matured on {one.matures_on}")
    if missed is None:
        return None
    count, first = missed
    if count >= DELISTED_AFTER or (count >= HALTED_AFTER and one.status == "active"):
        status = "delisted" if count >= DELISTED_AFTER else "halted"
        why = f"{one.exchange} had {count} sessions since its last price of {one.priced_on}, by {one.provider}"
        return Finding("status", one.security_id, "status", before, {"status": status, "on": first.isoformat()}, why)
    if one.status == "halted" and count < HALTED_AFTER:
        why = f"it trades again: {one.provider} has a price of {one.priced_on}"
        return Finding(
            "status", one.security_id, "status", before, {"status": "active"}, why
        )  # no day: it is another one tomorrow
    return None


# --- what accepting one writes ------------------------------------------------------------------


def cells_of(field: str, after: Any, asset_class: str) -> dict[str, Any]:
    """The cells of the security that an accepted proposal changes. A class takes away what it cannot have."""
    if field == "sector":
        return {"sector": after["sector"], "industry": after["industry"]}
    if field == "asset_class":
        without = {"sector": WITHOUT_SECTOR, "dividend_frequency": WITHOUT_DIVIDENDS}
        return {"asset_class": after} | {name: None for name, classes in without.items() if after in classes}
    return {field: after}


def standing_step(number: int, was: Mapping[str, Any], status: str, on: str | None) -> Step:
    """The step that gives a security another status; retired and delisted since a day."""
    row: Row = {"security_id": number, "status": status, "ended_on": on if status in ("retired", "delisted") else None}
    return Step(f"Mark as {status}", "securities", "update", (row,), ({"security_id": number, **was},))
