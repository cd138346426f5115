"""Trading sessions of the exchanges we know: `python -m jobs.calendars` computes them and writes what changed.

To add an exchange, add its row to the table `exchanges` and a line to CALENDARS. The sessions are computed by
exchange_calendars in a process of its own: pandas takes two seconds and 80 MB, which nobody who waits should keep.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

# our exchange → the calendar it follows; New York first, because everything else waits for it
CALENDARS = {
    "XNYS": "XNYS",
    "XNAS": "XNYS",
    "XLON": "XLON",
    "XETR": "XETR",
    "XPAR": "XPAR",
    "XAMS": "XAMS",
    "XSWX": "XSWX",
    "XTKS": "XTKS",
    "XTSE": "XTSE",
}
FIRST = date(1989, 12, 1)
BEGINS = {"XTKS": date(1997, 1, 1)}  # exchange_calendars knows nothing earlier
AHEAD = timedelta(days=730)


class Computed(NamedTuple):
    """The sessions of one calendar as they travel between processes: day numbers and UTC seconds."""

    calendar: str
    days: list[int]
    opens: list[int]
    closes: list[int]

    def rows(self) -> list[tuple[date, datetime, datetime]]:
        """(day, open, close) as the database takes them."""
        epoch = date(1970, 1, 1)
        return [
            (epoch + timedelta(days=d), datetime.fromtimestamp(o, UTC), datetime.fromtimestamp(c, UTC))
            for d, o, c in zip(self.days, self.opens, self.closes, strict=True)
        ]


def compute(calendar: str, first: date, last: date) -> Computed:
    """The sessions of one calendar, early closes and the clock changes of its own zone included."""
    import exchange_calendars

    first = max(first, BEGINS.get(calendar, first))
    found = exchange_calendars.get_calendar(calendar, start=first.isoformat(), end=last.isoformat())

    def whole(index: object, unit: str) -> list[int]:
        return index.to_numpy().astype(f"datetime64[{unit}]").astype("int64").tolist()  # type: ignore[attr-defined, no-any-return]

    opens, closes = (s.dt.tz_convert("UTC").dt.tz_localize(None) for s in (found.opens, found.closes))
    return Computed(calendar, whole(found.sessions, "D"), whole(opens, "s"), whole(closes, "s"))


class Computing:
    """A process that computes calendars one after the other; they can be used as they come."""

    def __init__(self, exchanges: Sequence[str], today: date, first: date = FIRST) -> None:
        self.exchanges = [e for e in CALENDARS if e in exchanges]
        wanted = list(dict.fromkeys(CALENDARS[e] for e in self.exchanges))
        order = [sys.executable, "-m", "jobs.calendars", "--compute", str(first), str(today + AHEAD), *wanted]
        self._process = subprocess.Popen(order, stdout=subprocess.PIPE, text=True)

    def __iter__(self) -> Iterator[tuple[str, list[tuple[date, datetime, datetime]]]]:
        """(exchange, its sessions) as each becomes known. Raises RuntimeError where the process failed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            computed = Computed(*json.loads(line))
            rows = computed.rows()
            for exchange in self.exchanges:
                if CALENDARS[exchange] == computed.calendar:
                    yield exchange, rows
        if self._process.wait():
            raise RuntimeError(f"computing the trading calendars ended with status {self._process.returncode}")

    def stop(self) -> None:
        """End it where nobody waits for it any more."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def refresh(c: psycopg.Connection, today: date, exchanges: Sequence[str] = tuple(CALENDARS)) -> dict[str, int]:
    """Bring the calendars up to two years ahead of `today`; rows changed by exchange. The scheduler's daily work."""
    from db import market

    computing = Computing(exchanges, today)
    try:
        return {exchange: market.upsert_sessions(c, exchange, rows) for exchange, rows in computing}
    finally:
        computing.stop()


def _compute(arguments: Sequence[str]) -> None:
    first, last = (date.fromisoformat(a) for a in arguments[:2])
    for calendar in arguments[2:]:
        sys.stdout.write(json.dumps(compute(calendar, first, last)) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Compute and write the calendars of all exchanges."""
    from db import embedded, engine

    with embedded.hold():
        engine.ensure()
        with engine.jobs() as c:
            for exchange, changed in refresh(c, datetime.now(UTC).date()).items():
                sys.stdout.write(f"{exchange}  {changed:,} sessions written\n")
        engine.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compute"]:
        _compute(sys.argv[2:])
    else:
        main()
