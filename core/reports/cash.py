"""Cash: by currency, by trade date and by settlement date, and the entries whose cash has not settled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from core.fx import day_of
from core.ledger import KINDS, MICRO
from core.money import posted
from core.reasons import NoRate
from core.reports import Made, report
from core.table import Column, Kind
from core.valuation import unsettled as unsettled_rows
from core.view import View


def settled_in_base(view: View) -> Decimal:
    """Cash by settlement date in the base currency, posted; a currency without a rate is left out, as it is in the value."""
    total = Decimal(0)
    for currency, amount in view.settled_cash.items():
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        total += Decimal(0) if isinstance(rate, NoRate) else amount * rate
    return posted(total, view.base)


@report(
    "Cash",
    Column("currency", "Currency"),
    Column("amount", "Amount", Kind.MONEY, "posted, by trade date"),
    Column(
        "to_receive", "To be received", Kind.MONEY, "cash of entries up to the date that settles later", wide_only=True
    ),
    Column("to_pay", "To be paid", Kind.MONEY, "the same of what is to be paid, as a positive amount", wide_only=True),
    Column("settled", "Settled", Kind.MONEY, "by settlement date: amount − to be received + to be paid"),
    Column("available", "Available", Kind.MONEY, "what can be spent: settled − to be paid"),
    Column("rate", "FX rate", Kind.PRICE, "base currency for one unit"),
    Column("value", "Value", Kind.MONEY, "of the amount by trade date, in the base currency"),
    Column("settled_value", "Settled value", Kind.MONEY, "of what has settled, in the base currency", wide_only=True),
    empty="No cash has moved yet.",
)
def cash(view: View) -> Made:
    """Cash by currency: by trade date, which the portfolio's value counts, and by settlement date, which can be spent.

    By trade date it is the sum of every posted net amount up to the date, by settlement date that of what has settled by then.
    """
    rows: list[tuple[object, ...]] = []
    for currency, amount in sorted(view.valuation.cash.items()):
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        known = None if isinstance(rate, NoRate) else rate
        received, paid = view.unsettled_cash.get(currency, (Decimal(0), Decimal(0)))
        settled = view.settled_cash[currency]
        rows.append((currency, amount, received, paid, settled, settled - paid, known,
                     None if known is None else posted(amount * known, view.base), None if known is None else posted(settled * known, view.base)))  # fmt: skip
    total = ("Total", *[None] * 6, view.valuation.cash_base, settled_in_base(view))
    return Made(rows, total=total if rows else None)


@report(
    "Unsettled entries",
    Column("settles_on", "Settles", Kind.DATE),
    Column("traded_on", "Date", Kind.DATE, "trade date"),
    Column("kind", "Kind"),
    Column("symbol", "Symbol"),
    Column("net", "Net cash", Kind.MONEY, "posted, with its sign, in the cash currency"),
    Column("cash_currency", "Cash in"),
    Column("transaction_id", "Id", wide_only=True),
    empty="All cash has settled.",
)
def unsettled(view: View) -> Made:
    """Every entry up to the date whose cash settles later, the next to settle first."""
    ledger, rows = view.book.ledger.upto(view.as_of), list[tuple[Any, ...]]()
    for r in unsettled_rows(view.book, view.as_of).tolist():
        security = view.book.securities.get(int(ledger.security[r]))
        rows.append((day_of(int(ledger.settles_on[r])), day_of(int(ledger.traded_on[r])), KINDS[int(ledger.kind[r])].replace("_", " "),
                     security.symbol if security else None, Decimal(int(ledger.net[r])) / MICRO,
                     ledger.currencies[int(ledger.cash_currency[r])], str(UUID(bytes=bytes(ledger.ids[r])))))  # fmt: skip
    return Made(sorted(rows, key=lambda row: row[:2]))
