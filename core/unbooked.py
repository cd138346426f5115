"""Corporate actions that the feeds know and the ledger does not have, or has otherwise: found, said in words.

A split of the ledger is the counterpart of a feed's of the same ratio within ten days of it; a dividend is booked as
`core.income.dividends` matches it. An action counts where units were held when its ex date opened, long or short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.book import Action, Book
from core.booking import derive
from core.expected import unpaid_state
from core.fx import Rates, day_number, day_of
from core.income import NOTHING, Units, counted, dividends, paid_by, units_of
from core.ledger import (
    CODE,
    KINDS,
    UNITS,
    Draft,
    Impossible,
    Ledger,
    Security,
    around,
    from_postings,
    joined,
    post,
    spoken,
)
from core.lots import Moves
from core.money import posted
from core.prices import shown_on
from core.ratio import ratio_text
from core.reasons import MisbookedSplit, UnbookedSplit, spelled
from core.split_matching import State, each_once, in_words, is_usual, ratio_of, restated, unmatched
from core.valuation import Valuation, lots_of

UNSOUND: tuple[State, ...] = ("not booked", "booked twice", "another ratio")


@dataclass(frozen=True, slots=True)
class Unbooked:
    """One action and what the ledger has of it.

    `state`: "not booked"; "booked twice"; "another ratio" (the ledger has a split of another ratio in its place); "restated" (the
    entries before it are in units of after it, so that it must not be booked). Dividends are "not booked". `units` were held
    when the ex date opened, short ones negative; `after` is what a split that is not booked makes of them, as it
    would be booked (None: later entries do not allow it); `due` a dividend before tax, in `currency`. `rows`: entries of the
    ledger that speak of it.
    """

    security: Security
    action: Action
    state: State
    units: Decimal
    after: Decimal | None = None
    due: Decimal | None = None
    rows: tuple[int, ...] = ()
    why: str = ""

    @property
    def is_split(self) -> bool:
        """Whether it is a split; else a dividend."""
        return self.action.kind == "split"

    @property
    def is_unsound(self) -> bool:
        """Whether units, value and returns are wrong because of it."""
        return self.is_split and self.state in UNSOUND

    @property
    def is_bookable(self) -> bool:
        """Whether booking the split as the feed has it puts it right."""
        return self.is_split and self.state == "not booked" and self.after is not None

    @property
    def currency(self) -> str:
        """The currency of a dividend."""
        return self.action.currency or self.security.currency

    @property
    def ratio(self) -> str:
        """A split's ratio, new units to old: "3:1"."""
        return ratio_text(ratio_of(self.action))

    @property
    def is_usual(self) -> bool:
        """Whether the ratio is one that splits have: n:1, 1:n, or two numbers of at most 110."""
        return is_usual(ratio_of(self.action))

    @property
    def what(self) -> str:
        """The action in words: "3:1 split of 2 March 2026"."""
        return f"{self.ratio + ' split' if self.is_split else 'dividend'} of {spelled(self.action.ex_on)}"

    @property
    def words(self) -> str:
        """What is the matter: "3:1 split of 2 March 2026 known, not booked"."""
        if self.state == "restated":
            return f"{self.what} known, not to be booked: {self.why}"
        if self.state != "not booked":
            return f"{self.what} known, booked {self.why}"
        return f"{self.what} known, not booked" + (f": {self.why}" if self.why else "")

    @property
    def reason(self) -> UnbookedSplit | MisbookedSplit:
        """Why a figure with it is not sound."""
        symbol, on = self.security.symbol, self.action.ex_on
        return (
            UnbookedSplit(symbol, self.ratio, on)
            if self.state == "not booked"
            else MisbookedSplit(symbol, self.ratio, on, self.why)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Completed:
    """The ledger of one security with the splits that it lacks: `new` marks their rows, `moves` what all entries do to its units.

    Where later entries do not allow them it is the ledger as it is.
    """

    ledger: Ledger
    new: NDArray[np.bool_]
    moves: Moves
    units: Units


def unbooked(book: Book, as_of: int) -> tuple[Unbooked, ...]:
    """Every action up to a day (a day number) without its counterpart, oldest first. Kept with the Book."""
    key = ("unbooked", as_of)
    if key not in book.derived:
        book.make_room()
        found = [*unbooked_splits(book, as_of), *unpaid(book, as_of, ("not booked",))]
        book.derived[key] = tuple(sorted(found, key=lambda f: (f.action.ex_on, f.security.symbol, not f.is_split)))
    kept: tuple[Unbooked, ...] = book.derived[key]
    return kept


def unbooked_splits(book: Book, as_of: int) -> tuple[Unbooked, ...]:
    """The splits among them. Kept with the Book."""
    return tuple(_splits(book, as_of)[0])


def completed(book: Book, as_of: int) -> Mapping[int, Completed]:
    """The securities whose splits are not booked, as if they were."""
    return _splits(book, as_of)[1]


def checked(valuation: Valuation, found: Sequence[Unbooked]) -> Valuation:
    """A valuation that says what is not sound about its units."""
    reasons = tuple(f.reason for f in found if f.is_unsound)
    return replace(valuation, complete=False, missing=(*valuation.missing, *reasons)) if reasons else valuation


def unsound_from(found: Sequence[Unbooked]) -> int | None:
    """The day number from which units and values are wrong; None where they are right."""
    return min((day_number(f.action.ex_on) for f in found if f.is_unsound), default=None)


# --- splits ---------------------------------------------------------------------------------------------------------------


def booking(security: Security, split: Action) -> Draft:
    """The entry that books a split as the feed has it, on its ex date."""
    return Draft("split", split.ex_on, security.currency, security, ratio=split.ratio)


def _splits(book: Book, as_of: int) -> tuple[list[Unbooked], dict[int, Completed]]:
    """(splits that are not booked or booked otherwise, the units of the securities concerned had they been booked)."""
    key = ("unbooked splits", as_of)
    if key not in book.derived:
        book.make_room()
        book.derived[key] = _find_splits(book, as_of)
    kept: tuple[list[Unbooked], dict[int, Completed]] = book.derived[key]
    return kept


def _find_splits(book: Book, as_of: int) -> tuple[list[Unbooked], dict[int, Completed]]:
    announced = {number: _announced(book, number, as_of) for number in book.securities}
    concerned = [number for number, known in announced.items() if known]
    if not concerned or not len(book.ledger):
        return [], {}
    ledger, moves = book.ledger.upto(as_of), lots_of(book, as_of).moves
    held = counted(moves.only(np.isin(moves.security, concerned)), ledger)
    out: list[Unbooked] = []
    whole: dict[int, Completed] = {}
    for number, units in held.items():
        security, lacking = book.securities[number], list[Action]()
        known = [a for a in announced[number] if units.at[0][0] <= day_number(a.ex_on)]
        for action, state, rows in unmatched(ledger, number, each_once(known), units):
            day = day_number(action.ex_on)
            if state != "not booked":
                opening = units.overnight(min(day, *(int(ledger.traded_on[r]) for r in rows)))
                out.append(Unbooked(security, action, state, opening, rows=rows, why=in_words(ledger, state, rows)))
            elif why := restated(book, ledger, security, action):
                out.append(Unbooked(security, action, "restated", units.before(day), why=why))
            else:
                lacking.append(action)
        if any(units.before(day_number(a.ex_on)) for a in lacking):
            of, whole[number] = _lacking(book, ledger, security, lacking, units)
            out += of
    return sorted((f for f in out if f.units), key=lambda f: (f.action.ex_on, f.security.symbol)), whole


def _announced(book: Book, security: int, as_of: int) -> list[Action]:
    """The splits that the feeds announce, up to a day: where a feed is a day early, those that the closes show by then."""
    series = book.prices.get(security)
    return [a for a in book.actions.get(security, ()) if a.kind == "split" and a.ratio and a.ratio != 1
            and max(day_number(a.ex_on), shown_on(series, day_number(a.ex_on), float(a.ratio))) <= as_of]  # fmt: skip


def _lacking(
    book: Book, ledger: Ledger, security: Security, splits: Sequence[Action], units: Units
) -> tuple[list[Unbooked], Completed]:
    """(splits that are not booked, the security as if they were)."""
    part = ledger.only(around(ledger, {security.security_id}))
    both, new = joined(part, from_postings([post(booking(security, a), book.base, a.ex_on, a.ex_on) for a in splits]))
    methods = (book.portfolio.dated_methods,)
    try:
        moves = derive(both, methods, ("XXX",), Rates({})).moves
    except Impossible as e:
        later = f"{spoken(KINDS[int(both.kind[e.row])])} of {spelled(day_of(int(both.traded_on[e.row])))}"
        why = f"the {later} does not allow it, {e.expected}"
        moves = derive(part, methods, ("XXX",), Rates({})).moves
        its = moves.only(moves.security == security.security_id)
        as_is = Completed(part, np.zeros(len(part), np.bool_), its, units)
        return [Unbooked(security, a, "not booked", units.before(day_number(a.ex_on)), why=why) for a in splits], as_is
    its = moves.only(moves.security == security.security_id)
    whole, out = counted(its, both).get(security.security_id, NOTHING), []
    for action, row in zip(splits, new.nonzero()[0].tolist(), strict=True):
        after = whole.before(day_number(action.ex_on))
        change = Decimal(sum(its.delta[its.row == row].tolist())) / UNITS
        out.append(Unbooked(security, action, "not booked", after - change, after))
    return out, Completed(both, new, its, whole)


# --- dividends ------------------------------------------------------------------------------------------------------------


def unpaid(book: Book, as_of: int, states: Collection[str]) -> Iterator[Unbooked]:
    """Dividends on units held at the ex date that no dividend and no return of capital of the ledger pays, of these states
    (`core.expected.unpaid_state`) on a day."""
    end, held, whole = day_of(as_of), units_of(book, as_of), completed(book, as_of)
    paid = {(d.security.security_id, d.ex_on) for d in dividends(book, as_of)} | _returned(book, as_of)
    for number, security in book.securities.items():
        units = whole[number].units if number in whole else held.get(number, NOTHING)
        if not units.at:
            continue
        for a in book.actions.get(number, ()):
            if (
                a.kind != "dividend"
                or not a.amount
                or (number, a.ex_on) in paid
                or day_number(a.ex_on) > as_of
                or unpaid_state(a, end) not in states
            ):
                continue
            entitled = units.before(day_number(a.ex_on))
            if entitled:
                due = posted(entitled * a.amount, a.currency or security.currency)
                yield Unbooked(security, a, "not booked", entitled, due=due)


def _returned(book: Book, as_of: int) -> set[tuple[int, date | None]]:
    """(security, ex date) of the dividends that were booked as a return of capital."""
    ledger, out = book.ledger.upto(as_of), set[tuple[int, date | None]]()
    for row in (ledger.kind == CODE["return_of_capital"]).nonzero()[0].tolist():
        number = int(ledger.security[row])
        action = paid_by(book.actions.get(number, ()), day_of(int(ledger.traded_on[row])))
        if action is not None:
            out.add((number, action.ex_on))
    return out
