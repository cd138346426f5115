"""Plans: the exact rows that a change of the security master writes, table by table, before anybody writes them.

A plan is made from drafts alone, shown, confirmed, kept with its task and carried out as it stands (`db.tasks`).
Rows are plain JSON; a security that has no number yet is referred to as EXCHANGE:SYMBOL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.master import ELSEWHERE, AssetClassInconsistent, Known, PlanOutdated, SecurityDraft

MANUAL = "manual"  # the provider of prices and dividends that a person typed
ALWAYS = "1900-01-01"  # since when the first symbol and classification hold

Row = dict[str, Any]
# tables in words, for the names of steps that take rows away or bring them back
WORDS: Mapping[str, str] = {
    "securities": "securities",
    "security_symbols": "symbol history",
    "security_classifications": "classifications",
    "asset_prices": "last quote",
    "price_history": "price history",
    "price_arrays": "packed price history",
    "corporate_actions": "dividends and splits",
    "security_matches": "names in files",
    "sectors": "sectors",
    "counterparties": "counterparties",
}
# kinds that write into portfolios: everybody reads tasks, so what they hold is kept apart from them
PRIVATE: Mapping[str, tuple[str, str]] = {  # (title, name of a step) as everybody may read them
    "book_splits": ("Book splits", "Book in a portfolio"),
    "reverse_splits": ("Take back booked splits", "Take back in a portfolio"),
}
CLASSED = frozenset(
    {"asset_class", "sector_id", "matures_on", "par_value", "dividend_frequency"}
)  # what a class allows


@dataclass(frozen=True, slots=True)
class Step:
    """Rows of one table. `insert` holds whole rows; `update` the key and the new values, with `before` the old ones, row by
    row, and what else must still be so; `delete` the keys. `ask` asks the feeds before anything is written, `bars` writes what they gave; `backup` keeps the
    master as it is."""

    name: str
    table: str
    action: str
    rows: tuple[Row, ...] = ()
    before: tuple[Row, ...] = ()
    count: int | None = None  # rows, where a key stands for several

    @property
    def size(self) -> int:
        """How many rows it writes."""
        return len(self.rows) if self.count is None else self.count


@dataclass(frozen=True, slots=True)
class Plan:
    """What a task will do."""

    kind: str
    title: str
    subject: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    security_id: int | None = None
    claim: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is kept with the task. Rows are JSON already: they are not copied."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return said | {"steps": [{f.name: getattr(s, f.name) for f in fields(Step)} for s in self.steps]}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Plan:
        """Out of what `as_json` gave."""
        steps = tuple(
            Step(**{**s, "rows": tuple(s["rows"]), "before": tuple(s.get("before", ()))}) for s in said["steps"]
        )
        return cls(**{**said, "steps": steps, "notes": tuple(said.get("notes", ()))})


def public(plan: Plan) -> Plan:
    """A plan as it is kept where everybody reads it: of one that writes into portfolios no more than how many rows."""
    if plan.kind not in PRIVATE:
        return plan
    title, name = PRIVATE[plan.kind]
    steps = tuple(Step(name, step.table, step.action, count=step.size) for step in plan.steps)
    return Plan(plan.kind, title, "portfolios", steps)


def entries_of(plan: Plan) -> list[Row]:
    """What `public` leaves out, a row for each entry: its portfolio, step and place, its security, the task's title in words, the entry."""
    if plan.kind not in PRIVATE:
        return []
    return [
        {"portfolio_id": row["portfolio_id"], "step": n, "n": i, "security_id": row["security_id"], "title": row["title"], "entry": row}
        for n, step in enumerate(plan.steps)
        for i, row in enumerate(step.rows)
    ]  # fmt: skip


def with_entries(kept: Plan, entries: Sequence[tuple[int, Row]]) -> Plan:
    """The plan that `public` made of, from its entries (step, entry) in their order, as far as they are known."""
    steps = []
    for n, step in enumerate(kept.steps):
        rows = tuple(entry for at, entry in entries if at == n)
        name = step.name.replace("a portfolio", rows[0]["portfolio"]) if rows else step.name
        steps.append(replace(step, name=name, rows=rows))
    title = "; ".join(sorted({entry["title"] for _, entry in entries}))
    return replace(kept, title=title or kept.title, steps=tuple(steps))


def plain(value: Any) -> Any:
    """A value as JSON has it: decimals and dates as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


_OWN = ("symbol", "exchange", "name", "isin", "asset_class", "sector_id", "currency", "issuer", "country", "rating", "issued_on", "matures_on",
        "par_value", "dividend_frequency")  # fmt: skip


def master_row(draft: SecurityDraft) -> Row:
    """The row of `securities`."""
    return {name: plain(getattr(draft, name)) for name in _OWN}


def before(draft: SecurityDraft) -> str:
    """What had the symbol of a draft before, in words; empty: nothing had."""
    had = draft.follows
    return f"{draft.listing} was {had.listing} until {had.until} and is this security from that day" if had else ""


def unlisted(cells: Mapping[str, Any], known: Known) -> str:
    """What to tell of a new security of which neither exchange nor currency was said; empty where either was."""
    if cells.get("exchange") or cells.get("currency"):
        return ""
    return f"It is listed nowhere here ({ELSEWHERE}), and in {known.exchanges[ELSEWHERE]}, the currency of this installation"


def adding(drafts: Sequence[SecurityDraft], today: date, by: str) -> tuple[Step, ...]:
    """The steps that add these securities, parents before children. `by`: who classifies."""
    masters = tuple(master_row(d) for d in drafts)
    symbols = tuple(
        {"security_id": d.listing, "valid_from": plain(d.follows.until) if d.follows else ALWAYS, "symbol": d.symbol,
         "exchange": d.exchange}
        for d in drafts
    )  # fmt: skip
    classes = tuple(
        {"security_id": d.listing, "valid_from": ALWAYS, "asset_class": d.asset_class, "sector_id": d.sector_id,
         "country": d.country, "source": by}
        for d in drafts
    )  # fmt: skip
    priced = [d for d in drafts if d.price is not None]
    quotes = tuple(
        {"security_id": d.listing, "price": plain(d.price), "session": "closed", "provider": MANUAL,
         "quoted_at": f"{d.priced_on or today}T00:00:00+00:00"}
        for d in priced
    )  # fmt: skip
    bars = tuple(
        {"security_id": d.listing, "on": plain(d.priced_on or today), "close": plain(d.price), "provider": MANUAL} for d in priced
    )  # fmt: skip
    dividends = tuple(
        {"security_id": d.listing, "kind": "dividend", "ex_on": plain(d.dividend_ex_on), "pay_on": plain(d.dividend_pay_on),
         "amount": plain(d.dividend), "currency": d.currency, "provider": MANUAL}
        for d in drafts if d.dividend is not None
    )  # fmt: skip
    steps = [
        Step("Add to securities", "securities", "insert", masters),
        Step("Add to symbol history", "security_symbols", "insert", symbols),
        Step("Add to classifications", "security_classifications", "insert", classes),
        Step("Add first price", "asset_prices", "insert", quotes),
        Step("Add first bar", "price_history", "insert", bars),
        Step("Add dividend", "corporate_actions", "insert", dividends),
    ]
    return tuple(step for step in steps if step.rows)


def addition(draft: SecurityDraft, today: date, by: str) -> Plan:
    """The plan that adds one security; its price history comes from the feeds, where one has it."""
    asked = (
        {
            "security_id": draft.listing,
            "name": draft.name,
            "currency": draft.currency,
            "asset_class": draft.asset_class,
        },
    )
    ask = Step("Ask the feeds for prices", "", "ask", asked, count=0)
    bars = Step("Add price history", "price_history", "bars", ({"security_id": draft.listing},), count=0)
    unpriced = "" if draft.price is not None else "It has no first price: until a feed quotes it, it has no value"
    notes = tuple(f"{note}." for note in (before(draft), unpriced) if note)
    return Plan(
        "add",
        f"Add {draft.symbol} ({draft.name})",
        draft.listing,
        (ask, *adding([draft], today, by), bars),
        notes,
        claim=draft.listing,
    )


def edit(
    number: int, before: Mapping[str, Any], draft: SecurityDraft, today: date, by: str, kind: str = "edit"
) -> Plan | None:
    """The plan that brings one security's master data to the draft; None where nothing differs.

    `before`: its row of `securities`. A new class, sector or country is one more dated classification.
    """
    changed = edit_steps({number: (before, draft)}, today, by)
    if not changed:
        return None
    return Plan(kind, f"Change {draft.symbol} ({draft.name})", draft.listing, changed, security_id=number)


def differences(before: Mapping[str, Any], draft: SecurityDraft) -> tuple[Row, Row]:
    """(what a security would become, what it is), in the columns of `securities` that differ."""
    new, was = master_row(draft), {name: plain(before[name]) for name in _OWN}
    for name in ("par_value",):  # 100 and 100.000000 are the same
        if new[name] is not None and was[name] is not None and Decimal(new[name]) == Decimal(was[name]):
            new[name] = was[name]
    keys = [k for k in _OWN if new[k] != was[k]]
    return {k: new[k] for k in keys}, {k: was[k] for k in keys}


def backup(what: str, **more: Any) -> Step:
    """The step that keeps the master as it is, before anything is written. `what`: before what."""
    return Step("Back up the security master", "", "backup", ({"what": what, **more},))


def edit_steps(
    changes: Mapping[int, tuple[Mapping[str, Any], SecurityDraft]], today: date, by: str
) -> tuple[Step, ...]:
    """The steps that bring securities to their drafts: only what differs is written."""
    rows, old, classes = [], [], []
    for number, (before, draft) in changes.items():
        new, was = differences(before, draft)
        if not new:
            continue
        if CLASSED & set(new):  # checked against each other: another edit must not change one of them in between
            was = {name: plain(before[name]) for name in _OWN if name in CLASSED} | was
        rows.append({"security_id": number} | new)
        old.append({"security_id": number} | was)
        if {"asset_class", "sector_id", "country"} & set(new):
            classes.append({"security_id": number, "valid_from": today.isoformat(), "asset_class": draft.asset_class,
                            "sector_id": draft.sector_id, "country": draft.country, "source": by})  # fmt: skip
    steps = (
        Step("Change securities", "securities", "update", tuple(rows), tuple(old)),
        Step("Add to classifications", "security_classifications", "insert", tuple(classes)),
    )
    return tuple(step for step in steps if step.rows)


def remove(table: str, rows: Sequence[Row], count: int | None = None) -> Step:
    """The step that takes rows of a table away, by their keys. `count`: how many, where a key stands for several."""
    name = "Remove from securities" if table == "securities" else f"Remove {WORDS[table]}"
    return Step(name, table, "delete", tuple(rows), count=count)


def retirement(
    number: int, listing: str, name: str, status: str, ended_on: date | None, today: date, because: Sequence[str]
) -> Plan:
    """The plan that retires a security which history references: it stays, marked, and is offered no more."""
    step = _ending(number, status, ended_on, "retired", today)
    return Plan("remove", f"Retire {listing} ({name})", listing, (step,), tuple(because), number)


def _ending(number: int, status: str, ended_on: date | None, to: str, on: date) -> Step:
    return Step(f"Mark as {to}", "securities", "update", ({"security_id": number, "status": to, "ended_on": on.isoformat()},),
                ({"security_id": number, "status": status, "ended_on": plain(ended_on)},))  # fmt: skip


def deletion(number: int, listing: str, name: str, children: Mapping[str, int]) -> Plan:
    """The plan that deletes a security which nothing ever referenced: children first.

    `children`: rows by table, as who asks sees them; those that have none have a step too, for what feeds and imports may
    write before the task runs.
    """
    key = ({"security_id": number},)
    steps = [*(remove(table, key, n) for table, n in children.items()), remove("securities", key)]
    return Plan(
        "remove",
        f"Delete {listing} ({name})",
        listing,
        tuple(steps),
        ("Nothing ever referenced it: it is deleted for good.",),
        number,
    )


def reinstatement(number: int, listing: str, name: str, status: str, ended_on: date | None) -> Plan:
    """The plan that brings a retired, halted or delisted security back."""
    step = Step("Mark as active", "securities", "update", ({"security_id": number, "status": "active", "ended_on": None},),
                ({"security_id": number, "status": status, "ended_on": plain(ended_on)},))  # fmt: skip
    return Plan("reinstate", f"Reinstate {listing} ({name})", listing, (step,), security_id=number)


def renaming(number: int, listing: str, name: str, draft: SecurityDraft, on: date) -> Plan:
    """The plan that gives a security the draft's symbol and exchange from a day on; the old one stays in its history."""
    was_exchange, was_symbol = listing.split(":", 1)
    symbol, exchange = draft.symbol, draft.exchange
    steps = (
        Step("Change securities", "securities", "update", ({"security_id": number, "symbol": symbol, "exchange": exchange},),
             ({"security_id": number, "symbol": was_symbol, "exchange": was_exchange},)),
        Step("Add to symbol history", "security_symbols", "insert",
             ({"security_id": number, "valid_from": on.isoformat(), "symbol": symbol, "exchange": exchange},)),
    )  # fmt: skip
    return Plan(
        "symbol_change",
        f"{listing} becomes {draft.listing} ({name})",
        listing,
        steps,
        (f"{before(draft)}.",) if draft.follows else (),
        number,
        draft.listing,
    )


def renaming_back(done: Plan, name: str) -> Plan:
    """The plan that takes back a symbol change: as if it had not been."""
    was, now = done.steps[0].before[0], done.steps[0].rows[0]
    here, there = (f"{row['exchange']}:{row['symbol']}" for row in (now, was))
    dated = {key: done.steps[1].rows[0][key] for key in ("security_id", "valid_from")}
    steps = (Step("Change securities", "securities", "update", (was,), (now,)), remove("security_symbols", [dated]))
    return Plan("symbol_change", f"{here} is {there} again ({name})", here, steps, (), done.security_id, there)


def delisting(
    number: int, listing: str, name: str, status: str, ended_on: date | None, on: date, known: bool = False
) -> Plan:
    """The plan that marks a security as delisted, with the day among its corporate actions; `known`: it is there already."""
    event = Step("Add corporate action", "corporate_actions", "insert",
                 ({"security_id": number, "kind": "delisting", "ex_on": on.isoformat(), "provider": MANUAL},))  # fmt: skip
    return Plan(
        "delist",
        f"Delist {listing} ({name})",
        listing,
        (_ending(number, status, ended_on, "delisted", on), *(() if known else (event,))),
        ("Its history stays; no feed is asked for it any more.",),
        number,
    )


def still_sound(plan: Plan, known: Known) -> None:
    """Whether what is there by now allows a plan: one class to an ISIN, one security to a symbol at a time.

    A listing whose class changes may differ from those that have the class that it had: one of them must be the first.
    Raises AssetClassInconsistent, PlanOutdated.
    """
    after: dict[str, tuple[str, str, str]] = {}  # (ISIN, class, class before) by listing
    for step in plan.steps:
        for row in step.rows:
            if (step.action, step.table) == ("insert", "security_symbols"):
                _still_free(row, known)
            elif (step.action, step.table) == ("insert", "securities"):
                its_class = row["asset_class"]
                after[f"{row['exchange']}:{row['symbol']}"] = (row["isin"] or "", its_class, its_class)
            elif (step.action, step.table) == ("update", "securities") and {"isin", "asset_class"} & set(row):
                one = known.by_number.get(row["security_id"])
                if one is None:
                    continue  # it is gone: the update says so
                isin, its_class = row.get("isin", one.isin), row.get("asset_class", one.asset_class)
                after[one.listing] = (isin or "", its_class, one.asset_class if isin == one.isin else its_class)
    classes: dict[str, dict[str, str]] = {}  # by ISIN: a listing of each class, as all will be
    for listing, (isin, its_class, _) in after.items():
        classes.setdefault(isin, {})[its_class] = listing
    for isin, its in classes.items():
        for other in known.by_isin.get(isin, ()):
            if other.listing not in after:
                its.setdefault(other.asset_class, other.listing)
    for listing, (isin, its_class, was) in after.items():
        for other_class, other_listing in classes[isin].items() if isin else ():
            if other_class not in (its_class, was):
                said = f"{other_listing} is the same security as {listing} by its ISIN, {isin}, and is {other_class}"
                raise AssetClassInconsistent(
                    "asset_class", its_class, f"{said}: give both one class, or correct the ISIN"
                )


def _still_free(row: Row, known: Known) -> None:
    listing, number = f"{row['exchange']}:{row['symbol']}", row["security_id"]
    had = known.follows(listing, number if isinstance(number, int) else None)
    if had is not None and row["valid_from"] < had.until.isoformat():
        said = f"it was {had.listing} until {had.until} and is free from that day: ask again, the new plan begins there"
        raise PlanOutdated("symbol", listing, said)
