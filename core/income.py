"""Income received: dividends gross, withheld, net, per share, reinvested, and what they yielded on cost. What is to come:
`core.expected`.

A dividend is income; only a return of capital lowers a cost (ERRATA 9). What the ledger booked is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal

from core.book import Action, Book
from core.fx import Rates, day_number, day_of
from core.ledger import ACTIONS, CODE, KINDS, MICRO, UNITS, Draft, Ledger, LedgerError, Security
from core.money import posted
from core.reasons import NegativeBase, NoRate, Reason, TooFewObservations, Undefined
from core.valuation import lots_of

PAID_WITHIN = 62  # days after the ex date within which a booking is its payment, where no pay date was announced
NEAR_PAY_DATE = 10  # days between the announced pay date and the booking
REINVESTED_WITHIN = 7  # days from a dividend to the purchase that it paid for
REINVESTED_SHARE = Decimal("0.02")  # of the dividend that the purchase may differ
PLACES = Decimal("1e-10")


@dataclass(frozen=True, slots=True)
class Withholding:
    """What is left of a dividend. `rate` is a fraction of gross, `shares` what gross / amount per share implies."""

    net: Decimal
    rate: float | Reason
    shares: Decimal | None


def withholding(
    gross: Decimal, taxes: Decimal, fees: Decimal = Decimal(0), per_share: Decimal | None = None
) -> Withholding:
    """`net = gross − taxes − fees`, `rate = taxes / gross`, `shares = gross / per_share`. All in one currency.

    The rate is Undefined where gross is not positive; shares are None without a positive amount per share.
    """
    rate: float | Reason = float(taxes / gross) if gross > 0 else Undefined("no gross amount to withhold from")
    return Withholding(gross - taxes - fees, rate, gross / per_share if per_share and per_share > 0 else None)


@dataclass(frozen=True, slots=True)
class Dividend:
    """One dividend of the ledger; a negative one takes an earlier one back. Amounts posted, in `currency`; those in the base currency at the rate of the booking.

    `units` had the right to it: held before the ex date, or before the booking where the ex date is not known.
    """

    row: int  # of the ledger
    security: Security
    on: date
    ex_on: date | None
    pay_on: date | None
    units: Decimal | None
    per_share: Decimal | None
    currency: str
    gross: Decimal
    taxes: Decimal
    fees: Decimal
    net: Decimal
    gross_base: Decimal | None
    taxes_base: Decimal | None
    net_base: Decimal | None
    reason: NoRate | None
    reinvested: bool
    implied: Decimal | None  # units that gross / announced amount per share implies


def dividends(book: Book, as_of: int) -> tuple[Dividend, ...]:
    """Every dividend booked up to a day (a day number), oldest first. Kept with the Book.

    The ex date is that of the announced dividend (corporate action) that the booking pays: nearest to its pay date by at most
    10 days, or, where none was announced, at most 62 days after the ex date. per share = gross / units. Base currency: at the
    transaction's own rate where cash moved in it, else at the rate of the day; gross = net + taxes + fees there too. It counts
    as reinvested where a purchase of the same security within 7 days costs the net amount, give or take 2 %.
    """
    key = ("dividends", as_of if len(book.ledger) and as_of < int(book.ledger.traded_on[-1]) else None)
    if key not in book.derived:
        book.make_room()
        book.derived[key] = _dividends(book, as_of)
    found: tuple[Dividend, ...] = book.derived[key]
    return found


def by_security(booked: Sequence[Dividend]) -> dict[int, list[Dividend]]:
    """Dividends grouped by security, in their order."""
    out: dict[int, list[Dividend]] = {}
    for d in booked:
        out.setdefault(d.security.security_id, []).append(d)
    return out


def _dividends(book: Book, as_of: int) -> tuple[Dividend, ...]:
    ledger, held = book.ledger.upto(as_of), units_of(book, as_of)
    spent = _reinvested(ledger)
    out = []
    for row in (ledger.kind == CODE["dividend"]).nonzero()[0].tolist():
        security = book.securities[int(ledger.security[row])]
        day, currency = int(ledger.traded_on[row]), ledger.currencies[int(ledger.currency[row])]
        gross, taxes, fees = (Decimal(int(getattr(ledger, n)[row])) / MICRO for n in ("gross", "taxes", "fees"))
        action = _paid_by(book.actions.get(security.security_id, ()), day_of(day))
        entitled = day if action is None else day_number(action.ex_on)
        units = Decimal(int(ledger.quantity[row])) / UNITS or held.get(security.security_id, NOTHING).before(entitled)
        net = gross - taxes - fees
        rate: Decimal | NoRate = book.rates.rate(currency, book.base, day)
        if ledger.with_fx[row] and net:
            rate = Decimal(int(ledger.net[row])) / MICRO / net
        net_base, taxes_base, fees_base = (
            None if isinstance(rate, NoRate) else posted(amount * rate, book.base) for amount in (net, taxes, fees)
        )
        announced = action is not None and action.currency in (None, currency)
        out.append(
            Dividend(
                row, security, day_of(day), action.ex_on if action else None, action.pay_on if action else None, units or None,
                (gross / units).quantize(PLACES) if units else None, currency, gross, taxes, fees, net,
                whole_sum(net_base, taxes_base, fees_base), taxes_base, net_base, None if not isinstance(rate, NoRate) else rate, row in spent,
                withholding(gross, taxes, fees, action.amount).shares if action and announced else None,
            )
        )  # fmt: skip
    return tuple(out)


def whole_sum(*amounts: Decimal | None) -> Decimal | None:
    """Their sum; None where one is missing."""
    return None if None in amounts else sum((a for a in amounts if a is not None), Decimal(0))


def _paid_by(actions: Sequence[Action], on: date) -> Action | None:
    """The announced dividend that a booking of this day pays: the nearest one; None where there is none."""
    best: tuple[int, Action] | None = None
    for a in actions:
        if a.kind != "dividend":
            continue
        after = (on - a.ex_on).days
        away = None if a.pay_on is None else abs((on - a.pay_on).days)
        if away is not None and away <= NEAR_PAY_DATE:
            distance = away
        elif after == 0 or (away is None and 0 < after <= PAID_WITHIN):
            distance = after
        else:
            continue
        if best is None or distance < best[0]:
            best = (distance, a)
    return None if best is None else best[1]


def _reinvested(ledger: Ledger) -> set[int]:
    """Rows of dividends that a purchase of the same security soon after spent; a purchase is used once."""
    buys: dict[int, list[int]] = {}
    for row in (ledger.kind == CODE["buy"]).nonzero()[0].tolist():
        buys.setdefault(int(ledger.security[row]), []).append(row)
    out, used = set(), set()
    for row in (ledger.kind == CODE["dividend"]).nonzero()[0].tolist():
        net, cash, day = int(ledger.net[row]), int(ledger.cash_currency[row]), int(ledger.traded_on[row])
        for buy in buys.get(int(ledger.security[row]), ()):
            late = int(ledger.traded_on[buy]) - day
            if late > REINVESTED_WITHIN:
                break
            same = int(ledger.cash_currency[buy]) == cash and abs(net + int(ledger.net[buy])) <= net * REINVESTED_SHARE
            if late >= 0 and same and buy not in used:
                out.add(row)
                used.add(buy)
                break
    return out


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one security after every change of them: `at` is (day, 0 for a corporate action, else 1), in booking order."""

    at: tuple[tuple[int, int], ...]
    held: tuple[int, ...]  # in 1e-10

    def before(self, day: int) -> Decimal:
        """Units held when a day opens: everything traded before it, and the corporate actions of the day itself."""
        i = bisect_left(self.at, (day, 1))
        return Decimal(self.held[i - 1]) / UNITS if i else Decimal(0)

    def since(self) -> date | None:
        """The day on which the present position was opened; None where nothing is held."""
        day: int | None = None
        for (on, _), units in zip(self.at, self.held, strict=True):
            day = None if not units else on if day is None else day
        return None if day is None else day_of(day)


NOTHING = Units((), ())


def units_of(book: Book, as_of: int) -> dict[int, Units]:
    """The units of every security up to a day (a day number). Kept with the Book."""
    key = ("units", as_of if len(book.ledger) and as_of < int(book.ledger.traded_on[-1]) else None)
    if key not in book.derived:
        moves, ledger = lots_of(book, as_of).moves, book.ledger.upto(as_of)
        late = [0 if KINDS[int(k)] in ACTIONS else 1 for k in ledger.kind[moves.row]]
        at: dict[int, list[tuple[int, int]]] = {}
        held: dict[int, list[int]] = {}
        for security, day, order, delta in zip(
            moves.security.tolist(), moves.day.tolist(), late, moves.delta.tolist(), strict=True
        ):
            mine = held.setdefault(security, [])
            mine.append((mine[-1] if mine else 0) + int(delta))
            at.setdefault(security, []).append((day, order))
        book.derived[key] = {number: Units(tuple(at[number]), tuple(held[number])) for number in held}
    found: dict[int, Units] = book.derived[key]
    return found


def reinvested(dividend: Draft, price: Decimal, units: Decimal | None = None) -> tuple[Draft, Draft]:
    """A dividend taken in units: (the dividend, the purchase that it pays for), to be booked together, both or none.

    `price` for one unit; without `units` the whole net amount is reinvested, units = net / price to ten decimals, rounded down.
    With `units` the purchase is units × price and the rest stays in cash. It settles with the dividend that pays for it. Raises LedgerError where the kind is not a dividend,
    the currency is not the security's, the price is not positive, or the units cost more than the dividend's net.
    """
    if dividend.kind != "dividend" or dividend.security is None:
        raise LedgerError("kind", dividend.kind, "only the dividend of a security can be reinvested in it")
    if dividend.currency != dividend.security.currency:
        raise LedgerError(
            "currency", dividend.currency, f"{dividend.security.symbol} is bought in {dividend.security.currency}"
        )
    if price <= 0:
        raise LedgerError("price", price, "a reinvestment needs a positive price for one unit")
    gross = dividend.gross
    if gross is None and dividend.quantity is not None and dividend.price is not None:
        gross = dividend.quantity * dividend.price
    if gross is None:
        raise LedgerError("gross", None, "a dividend needs its amount")
    net = posted(gross, dividend.currency) - dividend.taxes - dividend.fees
    if net <= 0:
        raise LedgerError("gross", gross, "nothing is left to reinvest after taxes and fees")
    cost = net
    if units is None:
        units = (net / price).quantize(PLACES, ROUND_DOWN)
    elif units <= 0:
        raise LedgerError("quantity", units, "a reinvestment needs a positive number of units")
    else:
        product = posted(units * price, dividend.currency)
        if product > net + max(Decimal("0.05"), net / 200):
            raise LedgerError(
                "quantity", units, f"at {price} they cost {product}, more than the {net} that the dividend pays"
            )
        cost = min(net, product)
    bought = Draft(
        "buy", dividend.traded_on, dividend.currency, dividend.security, units, price, cost,
        fx=dividend.fx, settles_on=dividend.settles_on or dividend.traded_on, note=dividend.note or "dividend reinvested",
        reference=f"{dividend.reference}:reinvested" if dividend.reference else "",
    )  # fmt: skip
    return dividend, bought


def yield_on_cost(
    payments: Sequence[tuple[date, Decimal]], currency: str, cost: Decimal, cost_currency: str, base: str, rates: Rates
) -> float | Reason:
    """Dividends over cost per calendar year: Σ (dividend / cost) / years from the first to the last payment, both included.

    `payments` are (day, gross) in `currency`. Dividend and cost are both converted to the base currency, at the rate of the
    payment, before they are divided. A fraction. TooFewObservations without payments, NegativeBase where the cost is not
    positive, NoRate. Source: Portfolio Performance, DividendCalculation.rateOfReturnPerYear.
    """
    if not payments:
        return TooFewObservations(0, 1)
    if cost <= 0:
        return NegativeBase()
    shares = Decimal(0)
    for on, amount in payments:
        paid, put_in = rates.rate(currency, base, day_number(on)), rates.rate(cost_currency, base, day_number(on))
        if isinstance(paid, NoRate):
            return paid
        if isinstance(put_in, NoRate):
            return put_in
        shares += amount * paid / (cost * put_in)
    years = max(on.year for on, _ in payments) - min(on.year for on, _ in payments) + 1
    return float(shares / years)


def months_later(on: date, months: int) -> date:
    """The same day `months` later (or earlier), or the last day of that month where it is shorter."""
    year, month = divmod(on.year * 12 + on.month - 1 + months, 12)
    return date(year, month + 1, min(on.day, monthrange(year, month + 1)[1]))
