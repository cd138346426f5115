"""How the figures of actions that are not booked come about: the changes of units up to the ex date, and the action as the feed has it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import MOVES
from core.fx import day_number, day_of
from core.ledger import ACTIONS, KINDS, UNITS
from core.money import posted
from core.reports.unbooked import chosen
from core.table import Column, Kind
from core.unbooked import Unbooked, completed
from core.view import View

Row = Mapping[str, Any]
KNOWN, LISTED = "Corporate actions", "Actions"
LACKING = "split, not booked"
_UNITS = (Column("on", "Date", Kind.DATE), Column("kind", "Kind"), Column("units", "Units", Kind.UNITS, "the change"), Column("entry", "Entry"))  # fmt: skip


def _of(view: View, row: Row) -> Unbooked:
    return chosen(view)[row["_row"]]


def changes(view: View, f: Unbooked, with_it: bool = False) -> Evidence:
    """Every change of the units before an action, earlier splits that are not booked among them; `with_it`: its own too."""
    number, day = f.security.security_id, day_number(f.action.ex_on)
    whole = completed(view.book, view.as_of).get(number)
    if f.rows:
        return _booked_before(view, number, min(day, *(int(view.book.ledger.traded_on[r]) for r in f.rows)))
    if whole is None or f.state == "restated":
        return evidence.moves(view, number, day)
    rows = []
    for at, on, delta in zip(*(getattr(whole.moves, n).tolist() for n in ("row", "day", "delta")), strict=True):
        own = bool(whole.new[at]) and on == day
        kind = KINDS[int(whole.ledger.kind[at])]
        if (on < day or (on == day and kind in ACTIONS)) and (with_it or not own or not f.is_split):
            lacking = bool(whole.new[at])
            entry = None if lacking else evidence.number_of(whole.ledger, at)
            rows.append(
                (day_of(on), LACKING if lacking else kind.replace("_", " "), Decimal(int(delta)) / UNITS, entry)
            )
    return Evidence(MOVES, _UNITS, tuple(rows))


def _booked_before(view: View, number: int, day: int) -> Evidence:
    """The changes up to the evening before a day."""
    found = view.lots.moves
    its = found.only((found.security == number) & (found.day < day))
    rows = tuple(
        (day_of(on), KINDS[int(view.book.ledger.kind[row])].replace("_", " "), Decimal(int(delta)) / UNITS, evidence.entry_id(view, row))
        for row, on, delta in zip(its.row.tolist(), its.day.tolist(), its.delta.tolist(), strict=True)
    )  # fmt: skip
    return Evidence(MOVES, _UNITS, rows)


def known(f: Unbooked) -> Evidence:
    """The action as the feed has it."""
    columns = (Column("kind", "Kind"), Column("ex_on", "Ex date", Kind.DATE), Column("pay_on", "Pay date", Kind.DATE), Column("ratio", "Ratio"),
               Column("amount", "Per unit", Kind.PRICE), Column("currency", "Currency"))  # fmt: skip
    a = f.action
    ratio = f.ratio if f.is_split else None
    return Evidence(KNOWN, columns, ((a.kind, a.ex_on, a.pay_on, ratio, a.amount, f.currency if a.amount else None),))


@explains("unbooked_actions", "units")
def units(view: View, row: Row) -> Explained:
    f = _of(view, row)
    said = "Σ changes of units up to the open of the ex date, with the earlier splits that are not booked"
    return Explained(said, lambda g: g.total(MOVES, "units"), (), (changes(view, f), known(f)))


@explains("unbooked_actions", "after")
def after(view: View, row: Row) -> Explained | None:
    f = _of(view, row)
    if f.after is None:
        return None
    said = "Σ changes of units, the split's own among them: the holding × new ÷ old units, rounded to ten decimals"
    return Explained(said, lambda g: g.total(MOVES, "units"), (), (changes(view, f, with_it=True), known(f)))


@explains("unbooked_actions", "amount")
def amount(view: View, row: Row) -> Explained | None:
    f = _of(view, row)
    if f.is_split:
        return None
    return Explained("as the feed announced it", lambda g: g.column(KNOWN, "amount")[0], (), (known(f),))


@explains("unbooked_actions", "due")
def due(view: View, row: Row) -> Explained | None:
    f = _of(view, row)
    if f.due is None or f.action.amount is None:
        return None
    terms = (
        Term("units", f.units, Kind.UNITS, note="held when the ex date opened"),
        Term("per unit", f.action.amount, Kind.PRICE, f.currency),
    )
    formula = "units × dividend per unit, rounded to the currency's smallest amount"
    return Explained(
        formula, lambda g: posted(g["units"] * g["per unit"], f.currency), terms, (changes(view, f), known(f))
    )


@explains("unbooked_actions", "splits", "dividends", figure=True)
def count(view: View, row: Row) -> Explained:
    key = row["_figure"].key
    columns = (
        Column("symbol", "Symbol"),
        Column("action", "Action"),
        Column("ex_on", "Ex date", Kind.DATE),
        Column("state", "State"),
    )
    listed = tuple((f.security.symbol, f.action.kind, f.action.ex_on, f.state) for f in chosen(view))

    def number(g: Given) -> int:
        pairs = zip(g.column(LISTED, "action"), g.column(LISTED, "state"), strict=True)
        return sum(
            kind == "dividend" if key == "dividends" else (kind == "split" and state != "restated")
            for kind, state in pairs
        )

    said = {
        "splits": "number of splits that are not booked, booked twice or with another ratio",
        "dividends": "number of dividends",
    }
    return Explained(said[key], number, (), (Evidence(LISTED, columns, listed),))
