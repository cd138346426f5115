"""Corporate actions that the feeds know and the ledger does not have: of one portfolio, and of all that somebody may see."""

from __future__ import annotations

from typing import Any

from core.fx import day_number
from core.reports import Made, report
from core.table import Column, Figure, Kind
from core.unbooked import Unbooked, unbooked
from core.view import View

_OF = (
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("action", "Action", note="split or dividend"),
    Column("ex_on", "Ex date", Kind.DATE, "it takes effect when this day opens"),
    Column("pay_on", "Pay date", Kind.DATE, wide_only=True),
    Column("state", "State", note="not booked, booked twice, another ratio, restated (the entries before it are in units of after it)"),
    Column("ratio", "Ratio", note="new units to old"),
    Column("amount", "Per unit", Kind.PRICE, "dividend before tax, in its currency", wide_only=True),
    Column("units", "Units held", Kind.UNITS, "when the ex date opened, short ones negative; with the earlier splits that are not booked"),
    Column("after", "Units after", Kind.UNITS, "what the split makes of them, to ten decimals"),
    Column("due", "Due", Kind.PRICE, "units × dividend per unit, before tax, in its currency"),
    Column("currency", "Currency", wide_only=True),
    Column("words", "In words"),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
)  # fmt: skip


def row_of(f: Unbooked) -> tuple[Any, ...]:
    """The cells of one action."""
    return (
        f.security.symbol, f.security.name, f.action.kind, f.action.ex_on, f.action.pay_on, f.state, f.ratio if f.is_split else None,
        None if f.is_split else f.action.amount, f.units, f.after, f.due, f.currency, f.words, f.security.security_id,
    )  # fmt: skip


def chosen(view: View) -> list[Unbooked]:
    """What the report lists: splits first, the newest first; with `security` in the scope those of one security."""
    found = [f for f in unbooked(view.book, view.as_of) if view.scope.security in (None, f.security.security_id)]
    return sorted(found, key=lambda f: (not f.is_split, -day_number(f.action.ex_on), f.security.symbol))


@report("Corporate actions not booked", *_OF, empty="Every split and dividend that the feeds know is booked.")
def unbooked_actions(view: View) -> Made:
    """Splits and dividends that the feeds know, that took effect while units were held, and that the ledger does not have.

    A split of the ledger of the same ratio within ten days of the ex date is its booking, a dividend within ten days of the pay
    date, or 62 days after the ex date where none was announced. Until a split is booked, value and returns are wrong. With
    `security` in the scope, those of one security.
    """
    found = chosen(view)
    wrong, dividends = sum(f.is_unsound for f in found), sum(not f.is_split for f in found)
    figures = (
        Figure("splits", "Splits that make figures wrong", wrong, Kind.COUNT),
        Figure("dividends", "Dividends not booked", dividends, Kind.COUNT),
    )
    return Made([row_of(f) for f in found], figures)


@report(
    "Corporate actions not booked, all portfolios",
    Column("portfolio", "Portfolio"),
    *_OF,
    Column("may_book", "Yours to book", Kind.FLAG, "a split that is not booked, in a portfolio that you may write"),
    Column("portfolio_id", "Portfolio's id", wide_only=True),
    empty="Every split and dividend that the feeds know is booked in every portfolio.",
)
def unbooked_everywhere(unbooked: list[tuple[Any, ...]]) -> Made:
    """The same of every portfolio that you may see: where each action is not booked, and which of them you may book."""
    return Made([(name, *row_of(f), may_book, str(number)) for number, name, f, may_book in unbooked])
