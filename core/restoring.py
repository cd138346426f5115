"""Bringing the security master back to what it was: the plan made of two states of it, then and now.

A state is its tables' rows by key, as JSON has them (`db.backups`). Securities that came since are deleted where nothing refers
to them, stay where they are held, else are retired; those that went since come back under their old numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from core import plans
from core.plans import MANUAL, Plan, Row, Step

Key = tuple[Any, ...]
State = Mapping[str, Mapping[Key, Row]]
Change = tuple[Row, Row]  # (the key and what is to be, the key and what is)

# what a backup holds, parents before children, each with its key
KEYS: Mapping[str, tuple[str, ...]] = {
    "sectors": ("sector_id",),
    "counterparties": ("counterparty_id",),
    "securities": ("security_id",),
    "security_symbols": ("security_id", "valid_from"),
    "security_classifications": ("security_id", "valid_from", "recorded_at"),
    "asset_prices": ("security_id",),
    "price_history": ("security_id", "on"),
    "corporate_actions": ("security_id", "action_id"),
}
TYPED = frozenset(
    {"asset_prices", "price_history", "corporate_actions"}
)  # of these what a person typed, not what feeds gave
SHARED = frozenset({"sectors", "counterparties"})  # not of one security
# the database says when these were written: that does not come back
STAMPS: Mapping[str, str] = {
    "asset_prices": "updated_at",
    "price_history": "recorded_at",
    "corporate_actions": "recorded_at",
}


class NothingToRestore(ValueError):
    """The master is as it was when the backup was taken."""


def restoration(
    backup: str,
    subject: str,
    what: str,
    then: State,
    now: State,
    children: Mapping[str, Mapping[int, int]],
    used: Mapping[int, Sequence[str]],
    held: Collection[int],
    today: str,
) -> Plan:
    """The plan that brings `now` back to `then`. Raises NothingToRestore.

    `now` holds, beside what was typed, the feeds' rows under the keys and securities that `then` has in TYPED tables.
    `children`: by table how many rows each security has that came since; `used`: what refers to such a one, in words;
    `held`: those of them that could not be removed now, such as what a portfolio holds: they go on as they are.
    """
    way = _Way(then, now, used, held, today)
    steps = [*way.leaving(children), *way.changing(), *way.sectors()]
    if not steps:
        raise NothingToRestore("the master is as it was then: there is nothing to restore")
    title = f"Restore the security master {what}"
    first = plans.backup(f"Before: {title}", restores=backup, on=today)
    return Plan("restore", title, subject, (first, *steps), tuple(way.notes))


def came_since(then: State, now: State) -> list[int]:
    """The numbers of the securities that were not there then."""
    return [number for (number,) in now["securities"] if (number,) not in then["securities"]]


class _Way:
    """The steps from now back to then, in an order that no key and no reference forbids."""

    def __init__(
        self, then: State, now: State, used: Mapping[int, Sequence[str]], held: Collection[int], today: str
    ) -> None:
        self.then, self.now, self.used, self.held, self.today = then, now, used, held, today
        came = came_since(then, now)
        self.gone, self.stay = [n for n in came if n not in used], [n for n in came if n in used]
        self.notes: list[str] = []
        self.barred = self._barred()

    def leaving(self, children: Mapping[str, Mapping[int, int]]) -> Iterator[Step]:
        """Securities that came since and that nothing refers to: children first."""
        for table, counted in children.items():
            rows = tuple({"security_id": n} for n in self.gone if counted.get(n))
            if rows:
                yield plans.remove(table, rows, sum(counted[n] for n in self.gone if n in counted))
        if self.gone:
            yield plans.remove("securities", [{"security_id": n} for n in self.gone])

    def changing(self) -> Iterator[Step]:
        """What else differs: rows of securities that were there then."""
        delete, update, insert = {}, {}, {}
        for table in KEYS:
            delete[table], update[table], insert[table] = self._differences(table)
        freed = self._freed(update["securities"])
        update["securities"] += self._retiring()
        for table in reversed(tuple(KEYS)):
            if delete[table]:
                yield plans.remove(table, delete[table])
        for name, table, pairs in (
            ("Free symbols", "securities", freed),
            *((f"Restore {plans.WORDS[t]}", t, update[t]) for t in KEYS),
        ):
            if pairs:
                yield Step(name, table, "update", tuple(new for new, _ in pairs), tuple(old for _, old in pairs))
        for table in KEYS:
            if insert[table]:
                yield Step(f"Bring back {plans.WORDS[table]}", table, "insert", tuple(insert[table]))
        if back := len(insert["securities"]):
            self.notes.append(
                f"{back:,} come back that were removed; what feeds had given of them comes from the feeds."
            )

    def sectors(self) -> Iterator[Step]:
        """Sectors that came since go, where nothing names them any more."""
        named = {
            r["sector_id"] for t in ("securities", "security_classifications") for r in self.then[t].values()
        } | {
            r["sector_id"] for t in ("securities", "security_classifications") for r in self.now[t].values()
            if r["security_id"] in self.stay
        }  # fmt: skip
        came = {number: r for (number,), r in self.now["sectors"].items() if (number,) not in self.then["sectors"]}
        for number, row in came.items():
            if number in named:
                self.notes.append(f"The sector {row['sector']} came since and stays: a security has it.")
        rows = tuple({"sector_id": number} for number in came if number not in named)
        if rows:
            yield plans.remove("sectors", rows)

    def _barred(self) -> set[int]:
        """Securities that cannot have their symbol back: one that came since has it and stays."""
        taken = {_listing(self.now["securities"][(n,)]): n for n in self.stay}
        barred: set[int] = set()
        while True:
            more = [n for (n,), row in self.then["securities"].items() if n not in barred and _listing(row) in taken]
            if not more:
                return barred
            for n in more:
                listing = _listing(self.then["securities"][(n,)])
                barred.add(n)
                here = self.now["securities"].get((n,))
                if here is None:
                    self.notes.append(f"{listing} does not come back: security {taken[listing]} has this symbol now.")
                else:
                    taken[_listing(here)] = n
                    self.notes.append(
                        f"{_listing(here)} keeps this symbol: security {taken[listing]} is {listing} now."
                    )

    def _differences(self, table: str) -> tuple[list[Row], list[Change], list[Row]]:
        """(keys to delete, rows to change, rows to insert) of what belongs to securities that were there then."""
        key, then, now = KEYS[table], self.then[table], self.now[table]
        delete: list[Row] = []
        update: list[Change] = []
        insert: list[Row] = []
        lost = {n for n in self.barred if (n,) not in self.now["securities"]}
        # what keeps its new symbol keeps its history, too
        kept = self.barred if table == "security_symbols" else lost if table not in SHARED else set[int]()
        fed = {_event(r) for r in now.values() if r["provider"] != MANUAL} if table == "corporate_actions" else set()
        for k, row in then.items():
            here = now.get(k)
            if row.get("security_id") in kept:
                continue
            if here is None:
                if not fed or _event(row) not in fed:  # a feed told the same since: that one stays
                    insert.append(row)
                continue
            if table in TYPED and here["provider"] != MANUAL:
                continue
            names = [c for c in row if c in here and c not in key and c != STAMPS.get(table) and row[c] != here[c]]
            if table == "securities" and row["security_id"] in self.barred:
                names = [c for c in names if c not in ("symbol", "exchange")]
            if names:
                head = {c: row[c] for c in key}
                update.append((head | {c: row[c] for c in names}, head | {c: here[c] for c in names}))
        if table not in SHARED and table != "securities":
            delete += [
                {c: r[c] for c in key} for k, r in now.items()
                if k not in then and (r["security_id"],) in self.then["securities"] and r.get("provider", MANUAL) == MANUAL
                and r["security_id"] not in kept
            ]  # fmt: skip
        return delete, update, insert

    def _retiring(self) -> Iterator[Change]:
        """Securities that came since and that something refers to: they stay, marked as retired unless they are held."""
        for number in self.stay:
            row = self.now["securities"][(number,)]
            stays = number in self.held or row["status"] in ("retired", "delisted")
            how = f"stays {row['status']}" if stays else "is retired, not deleted"
            self.notes.append(f"{_listing(row)} came since and {how}: {'; '.join(self.used[number])}.")
            if not stays:
                yield (
                    {"security_id": number, "status": "retired", "ended_on": self.today},
                    {"security_id": number, "status": row["status"], "ended_on": row["ended_on"]},
                )

    def _freed(self, pairs: list[Change]) -> list[Change]:
        """Symbols that change hands: who has one that another gets back takes a name of nobody's in between."""
        place = {new["security_id"]: i for i, (new, _) in enumerate(pairs) if {"symbol", "exchange"} & set(new)}
        holders = {_listing(self.now["securities"][(n,)]): n for n in place}
        freed = []
        for n in place:
            owner = holders.get(_listing(self.then["securities"][(n,)]), n)
            if owner != n:
                new, old = pairs[place[owner]]
                here, before = self.now["securities"][(owner,)], self.then["securities"][(owner,)]
                freed.append(({"security_id": owner, "symbol": f"~{owner}"}, {"security_id": owner, "symbol": here["symbol"]}))  # fmt: skip
                pairs[place[owner]] = ({**new, "symbol": before["symbol"]}, {**old, "symbol": f"~{owner}"})
        return freed


def _listing(row: Row) -> str:
    return f"{row['exchange']}:{row['symbol']}"


def _event(row: Row) -> tuple[Any, ...]:
    return row["security_id"], row["kind"], row["ex_on"]
