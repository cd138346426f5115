"""How fresh the figures are: the market's phase, the last quote in the exchange's zone, its age, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.fx import day_of
from core.view import View
from ui import show

PHASES = {"pre": "pre-market", "regular": "market open", "post": "after hours", "closed": "market closed"}
LATE = timedelta(minutes=20)  # a quote older than this while the market is open is called late


@dataclass(frozen=True)
class Freshness:
    """One badge: `state` is fresh, late, closed, past or missing; `words` for the line, `detail` on hover."""

    state: str
    words: str
    detail: str
    phase: str


def zone_of(view: View) -> ZoneInfo:
    """The zone of the portfolio's main exchange."""
    sessions = view.book.sessions.get(view.book.main_exchange)
    return ZoneInfo(sessions.zone if sessions is not None else "UTC")


def of(view: View) -> Freshness:
    """The freshness of a valuation, by the calendar of its main exchange."""
    sessions = view.book.sessions.get(view.book.main_exchange)
    phase = sessions.phase(view.now) if view.live and sessions is not None else "closed"
    if not view.live:
        what = "A past day" if view.scope.known_at is None else f"As known on {show.moment(view.scope.known_at)}"
        return Freshness("past", f"close of {show.day(view.on)}", f"{what}: closing prices, no live quotes.", phase)
    exchange = view.book.main_exchange
    times = view.quote_times()
    positions = view.valuation.positions
    stale = sum(not p.fresh for p in positions)
    if not positions:
        return Freshness("closed", PHASES[phase], f"{exchange}: nothing is held.", phase)
    if times:
        last = max(times)
        providers = sorted(
            {view.quotes[p.security.security_id].provider for p in positions if p.security.security_id in view.quotes}
        )
        words, late = f"{PHASES[phase]} · {_clock(last, view)}", phase == "regular" and view.now - last > LATE
        age = _age(view.now - last)
        detail = f"Last quote {age} ago, from {', '.join(providers)}; {len(times)} of {len(positions)} positions have a live quote. {exchange}, {zone_of(view).key}."
        if phase == "regular":
            words += f" · {age} ago"
    else:
        oldest = view.valuation.oldest_price
        on = show.day(day_of(oldest)) if oldest is not None else "no day"
        words, late = f"{PHASES[phase]} · closing prices, oldest of {on}", False
        detail = f"No live quotes: last closes. {exchange}, {zone_of(view).key}."
    if stale:
        noun = "price is" if stale == 1 else "prices are"
        return Freshness(
            "late",
            f"{words} · {stale} {noun} old",
            f"{detail} {stale} of {len(positions)} positions have no price of the last session.",
            phase,
        )
    return Freshness("late" if late else "fresh" if phase == "regular" else "closed", words, detail, phase)


def _clock(at: datetime, view: View) -> str:
    """A time in the exchange's zone, with its day where that is not today's."""
    local = at.astimezone(zone_of(view))
    text = local.strftime("%H:%M:%S %Z" if view.now - at < timedelta(hours=1) else "%H:%M %Z")
    return text if local.date() == view.now.astimezone(zone_of(view)).date() else f"{show.day(local.date())} {text}"


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"
