"""The amounts of one entry of the ledger in the base currency, posted to the cent: what a statement, income and taxes add up."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.fx import Rates
from core.ledger import CASH, KINDS, MICRO, TRANSFERS, Ledger
from core.money import posted
from core.reasons import NoRate


@dataclass(frozen=True, slots=True)
class EntryAmounts:
    """net = gross + fees + taxes, each with its sign in the cash that moved: a purchase and a fee are negative.

    `worth` is the market value that came in (positive) or left in kind, at the rate of its day. `rate`: base currency for one unit
    of the entry's currency, the one it was settled at or that of its day. `exact…`: net and worth before they are rounded.
    """

    net: Decimal
    gross: Decimal
    fees: Decimal
    taxes: Decimal
    worth: Decimal
    rate: Decimal
    exact: Decimal
    exact_worth: Decimal


def entry_amounts(ledger: Ledger, row: int, rates: Rates, base: str) -> EntryAmounts | NoRate:
    """The amounts of a row; NoRate where the rate of its day is not known.

    Cash that moved in the base currency counts as it moved: its rate is that cash / net amount in the entry's currency. Net, fees
    and taxes are rounded, gross = net − fees − taxes: so they add up, and gross takes the rounding.
    """
    kind = KINDS[int(ledger.kind[row])]
    gross, fees, taxes, cash = (Decimal(int(getattr(ledger, n)[row])) / MICRO for n in ("gross", "fees", "taxes", "net"))
    signs = CASH[kind]
    in_kind = kind in TRANSFERS and int(ledger.security[row]) > 0
    fees, taxes = fees * signs[1] + 0, taxes * signs[2] + 0  # no negative zero
    net = fees + taxes + (0 if in_kind else gross * signs[0])
    currency, own = ledger.currencies[int(ledger.currency[row])], bool(ledger.with_fx[row]) and net != 0
    of_day = Decimal(0) if own and not in_kind else rates.rate(currency, base, int(ledger.traded_on[row]))
    if isinstance(of_day, NoRate):
        return of_day
    rate = cash / net if own else of_day
    exact = cash if own else net * rate
    worth = gross * signs[0] * of_day if in_kind else Decimal(0)
    net_base, fees_base, taxes_base = (posted(amount, base) for amount in (exact, fees * rate, taxes * rate))
    return EntryAmounts(
        net_base, net_base - fees_base - taxes_base, fees_base, taxes_base, posted(worth, base), rate, exact, worth
    )
