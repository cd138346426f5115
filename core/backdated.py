"""What entries that came later do to the value that was recorded before: units, cost, cash and net deposits as steps in time.

A point of a chart is recorded as it happens. An entry for an earlier day, a reversal, a split that was booked late or another cost
method changes what those points should have said: by the difference of two ledgers, the one that they stand at and today's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate

import numpy as np

from core.booking import MOVING, costs, derive
from core.fx import Rates
from core.ledger import ACTIONS, KINDS, MICRO, UNITS, Ledger, connected
from core.methods import Dated
from core.reasons import NoRate
from core.valuation import flows_of

DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Steps:
    """An amount that changes in steps: `amount[i]` from `at[i]` on (UTC seconds, ascending), 0 before the first."""

    at: tuple[float, ...] = ()
    amount: tuple[Decimal, ...] = ()

    @classmethod
    def of(cls, changes: Iterable[tuple[float, int]], unit: int, start: int = 0, since: float = 0.0) -> Steps:
        """The running sum of changes (time, amount in parts of `unit`), with what there was before at `since`."""
        daily: dict[float, int] = defaultdict(int)
        for at, amount in [(since, start), *changes]:
            daily[max(at, since)] += amount
        times = sorted(daily)
        sums = accumulate(daily[t] for t in times)
        return cls(tuple(times), tuple(Decimal(x) / unit for x in sums))

    def on(self, at: float) -> Decimal:
        """The amount at a time."""
        i = bisect_right(self.at, at)
        return self.amount[i - 1] if i else Decimal(0)

    def __bool__(self) -> bool:
        """Whether it is ever anything but 0."""
        return any(self.amount)


@dataclass(frozen=True, slots=True)
class Backdated:
    """The difference between two ledgers of one portfolio at any time from `since` on (UTC seconds).

    `units` and `cash` (by security, by currency) and `net_flow` (base currency, at the rates of the entries' days) are what is to be
    added; `cost` (by security, base currency) is what the holding costs under the newer ledger.
    """

    since: float
    units: Mapping[int, Steps]
    cost: Mapping[int, Steps]
    cash: Mapping[str, Steps]
    net_flow: Steps


def backdated(
    was: Ledger,
    now: Ledger,
    methods_then: str | Dated,
    methods: str | Dated,
    base: str,
    rates: Rates,
    booked_at: Mapping[bytes, float],
) -> Backdated | None:
    """What the entries of `now` that `was` has not (and the other way round) do to points recorded on `was`; None: nothing.

    An entry counts from the beginning of its trade date (UTC). One that was booked on that very day counts from the moment it was
    booked, which `booked_at` gives by its id: the points before saw the day without it. Corporate actions always count from the
    beginning of their day: prices do.
    """
    there, here = ({bytes(i) for i in ledger.ids} for ledger in (was, now))
    gone = [r for r in range(len(was)) if bytes(was.ids[r]) not in here]
    new = [r for r in range(len(now)) if bytes(now.ids[r]) not in there]
    first_day = _first_difference(methods_then, methods)
    sides = ((was, gone, -1), (now, new, 1))
    starts = [_at(ledger, r, booked_at) for ledger, rows, _ in sides for r in rows]
    starts += [] if first_day is None else [float(first_day) * DAY]
    if not starts:
        return None
    since = min(starts)
    cash: dict[str, list[tuple[float, int]]] = defaultdict(list)
    flow: list[tuple[float, int]] = []
    securities: set[int] = set()
    for ledger, rows, sign in sides:
        for r in rows:
            if ledger.net[r]:
                currency = ledger.currencies[int(ledger.cash_currency[r])]
                cash[currency].append((_at(ledger, r, booked_at), sign * int(ledger.net[r])))
            detail = ledger.details.get(r)
            securities |= {int(ledger.security[r]), detail.into if detail is not None and detail.into else 0}
        flow += [(at, sign * amount) for at, amount in _flows(ledger, set(rows), base, rates, booked_at)]
    if first_day is not None:
        securities |= set(np.unique(now.security).tolist())
    units, cost = _positions(was, now, methods_then, methods, base, rates, securities, booked_at, since)
    return Backdated(
        since,
        units,
        cost,
        {currency: steps for currency, changes in cash.items() if (steps := Steps.of(changes, MICRO, since=since))},
        Steps.of(flow, MICRO, since=since),
    )


def balances(ledger: Ledger, booked_at: Mapping[bytes, float]) -> dict[str, Steps]:
    """Cash by currency over time, from the beginning of the ledger on."""
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for r in np.flatnonzero(ledger.net != 0).tolist():
        changes[ledger.currencies[int(ledger.cash_currency[r])]].append((_at(ledger, r, booked_at), int(ledger.net[r])))
    return {currency: Steps.of(some, MICRO, since=min(at for at, _ in some)) for currency, some in changes.items()}


def _at(ledger: Ledger, row: int, booked_at: Mapping[bytes, float]) -> float:
    """From when on an entry counts."""
    begins = float(ledger.traded_on[row]) * DAY
    return begins if KINDS[int(ledger.kind[row])] in ACTIONS else booked_at.get(bytes(ledger.ids[row]), begins)


def _first_difference(one: str | Dated, other: str | Dated) -> int | None:
    """The first day from which two dated cost methods differ."""
    sets = [{(-(10**6), m)} if isinstance(m, str) else set(m) for m in (one, other)]
    return min((day for day, _ in sets[0] ^ sets[1]), default=None)


def _flows(
    ledger: Ledger, among: set[int], base: str, rates: Rates, booked_at: Mapping[bytes, float]
) -> list[tuple[float, int]]:
    """What came in and went out with some rows, in the base currency (1e-6), at the rates of their days; without a rate none."""
    out = []
    for row, amount, place in zip(*(x.tolist() for x in flows_of(ledger)), strict=True):
        rate = rates.rate(ledger.currencies[place], base, int(ledger.traded_on[row])) if row in among else None
        if rate is not None and not isinstance(rate, NoRate):
            out.append((_at(ledger, row, booked_at), int((Decimal(amount) * rate).to_integral_value())))
    return out


def _positions(
    was: Ledger,
    now: Ledger,
    methods_then: str | Dated,
    methods: str | Dated,
    base: str,
    rates: Rates,
    securities: set[int],
    booked_at: Mapping[bytes, float],
    since: float,
) -> tuple[dict[int, Steps], dict[int, Steps]]:
    """By security: the difference in units, and what is held costs now. Of some securities and all that they came from or became."""
    touched = sorted(connected(securities - {0}, was, now))
    kinds = [KINDS.index(kind) for kind in MOVING]
    parts = [
        ledger.only(np.flatnonzero(np.isin(ledger.security, touched) & np.isin(ledger.kind, kinds)))
        for ledger in (was, now)
    ]
    moved: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for part, of, sign in zip(parts, (methods_then, methods), (-1, 1), strict=True):
        moves = derive(part, [of], [base], rates).moves
        for security, row, delta in zip(moves.security.tolist(), moves.row.tolist(), moves.delta.tolist(), strict=True):
            moved[security].append((_at(part, row, booked_at), sign * delta))
    start, changes = costs(parts[1], [methods], [base], rates, int(since // DAY))
    spent: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for row, security, change in changes:
        spent[security].append((_at(parts[1], row, booked_at), change))
    every = sorted(moved.keys() | spent.keys() | start.keys())
    units = {s: Steps.of(moved[s], UNITS, since=since) for s in every}
    cost = {s: Steps.of(spent[s], MICRO, start.get(s, 0), since) for s in every}
    return units, cost
