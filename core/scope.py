"""Scope: what the reader asked. Sidebar, query string and API parameters all make the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from uuid import UUID

PERIODS = ("1D", "1W", "MTD", "1M", "QTD", "3M", "YTD", "1Y", "3Y", "5Y", "ALL")
CHART_PERIODS = ("1D", "1W", "1M", "3M", "YTD", "1Y", "ALL")  # those that every page offers
LOOKBACKS = ("3M", "YTD", "1Y", "3Y", "5Y", "ALL")  # of figures of risk
GROUPS = ("asset_class", "sector", "country", "currency", "security")


class BadScope(ValueError):
    """A parameter that cannot be read: names the field, the value and what would be right."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        super().__init__(
            f"{parameter}={value!r} is not valid: expected {expected}"
            if isinstance(value, str)
            else f"{parameter}={value} is not valid: expected {expected}"
        )
        self.parameter, self.value, self.expected = parameter, value, expected


@dataclass(frozen=True, slots=True)
class Scope:
    """One reader's question. Empty fields mean: the newest, the portfolio's own."""

    portfolio: UUID
    as_of: date | None = None  # trading date, None: now
    known_at: datetime | None = None  # None: everything known now
    period: str = "1Y"
    lookback: str = "1Y"  # what figures of risk are made of, whatever period is shown
    by: str = "sector"
    security: int | None = None
    year: int | None = None  # calendar year of a tax report, None: the year of `as_of`
    since: datetime | None = None  # what moved: the earlier of the two knowledge times

    @classmethod
    def read(cls, portfolio: UUID, query: Mapping[str, str | None]) -> Scope:
        """A Scope from text parameters (as_of, known_at, period, lookback, by, security, year, since). Raises BadScope."""
        scope = cls(portfolio)
        if text := query.get("as_of"):
            try:
                scope = replace(scope, as_of=date.fromisoformat(text))
            except ValueError:
                raise BadScope("as_of", text, "a date such as 2026-03-31") from None
        for name in ("known_at", "since"):
            if text := query.get(name):
                scope = replace(scope, **{name: _time(name, text)})  # type: ignore[arg-type]
        for name, offered in (("period", PERIODS), ("lookback", LOOKBACKS)):
            if text := query.get(name):
                if text.upper() not in offered:
                    raise BadScope(name, text, "one of " + ", ".join(offered))
                scope = replace(scope, **{name: text.upper()})  # type: ignore[arg-type]
        if text := query.get("by"):
            if text not in GROUPS:
                raise BadScope("by", text, "one of " + ", ".join(GROUPS))
            scope = replace(scope, by=text)
        if text := query.get("security"):
            if not (text.isascii() and text.isdigit() and len(text) <= 9):
                raise BadScope("security", text, "a security's number")
            scope = replace(scope, security=int(text))
        if text := query.get("year"):
            if not (text.isascii() and text.isdigit() and len(text) == 4 and 1900 <= int(text) <= 2200):
                raise BadScope("year", text, "a calendar year such as 2026")
            scope = replace(scope, year=int(text))
        return scope

    @property
    def is_past(self) -> bool:
        """Whether it looks at a past date or at what was known at a past time."""
        return self.as_of is not None or self.known_at is not None

    def query(self) -> dict[str, str]:
        """The same Scope as text parameters, defaults left out."""
        out: dict[str, str] = {"portfolio": str(self.portfolio)}
        if self.as_of:
            out["as_of"] = self.as_of.isoformat()
        if self.known_at:
            out["known_at"] = self.known_at.isoformat()
        if self.since:
            out["since"] = self.since.isoformat()
        if self.period != "1Y":
            out["period"] = self.period
        if self.lookback != "1Y":
            out["lookback"] = self.lookback
        if self.by != "sector":
            out["by"] = self.by
        if self.security:
            out["security"] = str(self.security)
        if self.year:
            out["year"] = str(self.year)
        return out


def _time(parameter: str, text: str) -> datetime:
    """A time in UTC; a plain date is its first moment, a time without a zone is taken as UTC. Raises BadScope."""
    try:
        at = datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadScope(parameter, text, "a time such as 2026-03-31T18:00:00+00:00") from None
    if at.year < 1900:
        raise BadScope(parameter, text, "a time after 1900")
    return at
