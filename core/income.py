"""Income: dividends received and expected: gross, withheld, net, per share, how often, reinvested, and what they yield.

A dividend is income; only a return of capital lowers a cost (ERRATA 9). What the ledger booked is exact; what is expected says
where it comes from: "announced" (a corporate action with its ex date) or "inferred" (the last regular amount, as often as paid).
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from statistics import median

from core.book import Action, Book
from core.fx import Rates, day_number, day_of
from core.ledger import ACTIONS, CODE, KINDS, MICRO, UNITS, Draft, Ledger, LedgerError, Security
from core.money import posted
from core.reasons import NegativeBase, NoRate, Reason, TooFewObservations, Undefined
from core.valuation import lots_of

MONTHS = {"monthly": 1, "quarterly": 3, "semi-annual": 6, "annual": 12}  # between two payments
LOOKED_BACK = 3  # years of payments that say how often and how much
PAID_WITHIN = 62  # days after the ex date within which a booking is its payment, where no pay date was announced
NEAR_PAY_DATE = 10  # days between the announced pay date and the booking
REINVESTED_WITHIN = 7  # days from a dividend to the purchase that it paid for
REINVESTED_SHARE = Decimal("0.02")  # of the dividend that the purchase may differ
PLACES = Decimal("1e-10")


# --- one payment --------------------------------------------------------------------------------------------


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
                _sum(net_base, taxes_base, fees_base), taxes_base, net_base, None if not isinstance(rate, NoRate) else rate, row in spent,
                withholding(gross, taxes, fees, action.amount).shares if action and announced else None,
            )
        )  # fmt: skip
    return tuple(out)


def _sum(*amounts: Decimal | None) -> Decimal | None:
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
    With `units` the purchase is units × price and the rest stays in cash. Raises LedgerError where the kind is not a dividend,
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
        fx=dividend.fx, settles_on=dividend.settles_on, note=dividend.note or "dividend reinvested",
        reference=f"{dividend.reference}:reinvested" if dividend.reference else "",
    )  # fmt: skip
    return dividend, bought


# --- how often, and what it yields ----------------------------------------------------------------------------


def periodicity(payments: Sequence[tuple[date, Decimal]]) -> str:
    """How often a dividend is paid: "monthly", "quarterly", "semi-annual", "annual", "irregular" or "none" (never).

    `payments` are (day, amount), in any order. A payment counts where it is more than 30 % of the mean of its calendar year
    (small extra payments do not), several of one day once. Mean gap = (days from first to last − 365 × years without any
    payment) / (payments − 1): over 20 days monthly, over 60 quarterly, over 130 semi-annual, over 270 annual, from 430 or with
    one payment irregular. Source: Portfolio Performance, DividendCalculation.
    """
    if not payments:
        return "none"
    ordered = sorted(payments)
    first, last = ordered[0][0], ordered[-1][0]
    counted, empty_years = 0, 0
    for year in range(first.year, last.year + 1):
        mine = [(on, amount) for on, amount in ordered if on.year == year]
        if not mine:
            empty_years += 1
            continue
        mean = sum((amount for _, amount in mine), Decimal(0)) / len(mine)
        counted += len({on for on, amount in mine if amount * 10 > mean * 3})
    if counted < 2:
        return "irregular"
    days, gaps = (last - first).days - 365 * empty_years, counted - 1
    gap = (2 * days + gaps) // (2 * gaps)  # rounded half up
    for floor, ceiling, name in (
        (270, 430, "annual"),
        (130, 271, "semi-annual"),
        (60, 131, "quarterly"),
        (20, 61, "monthly"),
    ):
        if floor < gap < ceiling:
            return name
    return "irregular"


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


@dataclass(frozen=True, slots=True)
class PerShare:
    """A dividend per share as it is for the shares of today (splits since then undone)."""

    on: date  # the ex date where it is known, else the booking
    amount: Decimal
    currency: str
    lag: int | None  # days from the ex date to the payment; 0 where only the payment is known; None: not announced
    booked: bool  # known from a booking alone


def per_share_history(book: Book, security: int, as_of: int) -> list[PerShare]:
    """What a security paid or announced per share, oldest first: corporate actions (those to come included), and what was
    booked without one. Amounts are divided by the splits that came after, of the ledger and of the actions."""
    actions = book.actions.get(security, ())
    splits = _splits(book, security, as_of)

    def today(amount: Decimal, on: date) -> Decimal:
        for day, ratio in splits.items():
            if day > on:
                amount /= ratio
        return amount.quantize(PLACES)

    currency = book.securities[security].currency
    out = [
        PerShare(a.ex_on, today(a.amount, a.ex_on), a.currency or currency, None if a.pay_on is None else (a.pay_on - a.ex_on).days, False)
        for a in actions if a.kind == "dividend" and a.amount
    ]  # fmt: skip
    booked: dict[tuple[date, str], Decimal] = {}
    for d in dividends(book, as_of):
        if d.security.security_id == security and d.ex_on is None and d.per_share is not None and d.per_share > 0:
            booked[d.on, d.currency] = booked.get((d.on, d.currency), Decimal(0)) + today(d.per_share, d.on)
    out += [PerShare(on, amount, in_, 0, True) for (on, in_), amount in booked.items()]
    return sorted(out, key=lambda p: p.on)


def _splits(book: Book, security: int, as_of: int) -> dict[date, Decimal]:
    """Splits up to a day: those announced and those booked, one a day."""
    out = {
        a.ex_on: a.ratio
        for a in book.actions.get(security, ())
        if a.kind == "split" and a.ratio and day_number(a.ex_on) <= as_of
    }
    ledger = book.ledger.upto(as_of)
    for row in ((ledger.security == security) & (ledger.kind == CODE["split"])).nonzero()[0].tolist():
        out[day_of(int(ledger.traded_on[row]))] = Decimal(int(ledger.ratio[row])) / UNITS
    return out


def regular(history: Sequence[PerShare], held_since: date | None) -> list[PerShare]:
    """The payments that say how often and how much: of the last three years, between 30 % and 300 % of their median.

    Bookings count since the position was last opened (`held_since`): what was paid while nothing was held is not known.
    """
    counted = [p for p in history if not p.booked or (held_since is not None and p.on >= held_since)]
    if not counted:
        return []
    recent = [p for p in counted if p.on > months_later(counted[-1].on, -12 * LOOKED_BACK)]
    middle = median(p.amount for p in recent)
    return [p for p in recent if middle * 3 < p.amount * 10 and p.amount < middle * 3]


def trailing_per_share(book: Book, history: Sequence[PerShare], currency: str, as_of: int) -> Decimal | NoRate | None:
    """Σ dividends per share of the twelve months up to a day, in the security's currency at the rate of that day.

    None where nothing was ever known to be paid; NoRate where one of them cannot be converted.
    """
    end = day_of(as_of)
    if not any(p.on <= end for p in history):
        return None
    total = Decimal(0)
    for p in history:
        if months_later(end, -12) < p.on <= end:
            rate = book.rates.rate(p.currency, currency, as_of)
            if isinstance(rate, NoRate):
                return rate
            total += p.amount * rate
    return total


# --- what is to come --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, booked or to come. `state`: "received" (booked), "not booked" (its day has passed), "awaited" (ex, no pay
    date announced yet), "announced", "inferred". Amounts to come are at the rate of the day looked at."""

    security: Security
    ex_on: date | None
    pay_on: date | None
    per_share: Decimal | None
    units: Decimal | None
    currency: str
    gross: Decimal
    gross_base: Decimal | None
    net_base: Decimal | None  # None: nothing was withheld or not withheld before, so the rate is not known
    state: str
    reason: NoRate | None = None

    @property
    def on(self) -> date:
        """The day on which it counts: paid, else ex."""
        found = self.pay_on or self.ex_on
        assert found is not None
        return found


def payments(book: Book, as_of: int, held: Mapping[int, Decimal]) -> list[Payment]:
    """The calendar of a portfolio: booked and announced payments of the year before `as_of`, announced and inferred ones of
    the year after it, by day. `held`: units by security at that day.

    Announced: a corporate action with its ex date, × units held before the ex date (those of now where it is to come).
    Inferred: where the payments of the last three years have a period, the last regular amount per share × units held now,
    a period after the last known payment and so on; none once two periods have passed without a payment.
    """
    end = day_of(as_of)
    first, last = months_later(end, -12), months_later(end, 12)
    booked = dividends(book, as_of)
    out = [
        Payment(d.security, d.ex_on, d.on, d.per_share, d.units, d.currency, d.gross, d.gross_base, d.net_base, "received", d.reason)
        for d in booked if d.on > first
    ]  # fmt: skip
    kept = _kept(booked, first)
    paid = {(d.security.security_id, d.ex_on) for d in booked if d.ex_on is not None}
    owned = units_of(book, as_of)
    for number, security in book.securities.items():
        mine = [a for a in book.actions.get(number, ()) if a.kind == "dividend" and a.amount]
        for a in mine:
            if (number, a.ex_on) in paid or not first < (a.pay_on or a.ex_on) <= last:
                continue
            units = (
                held.get(number, Decimal(0))
                if a.ex_on > end
                else owned.get(number, NOTHING).before(day_number(a.ex_on))
            )
            if a.ex_on > end or (a.pay_on is not None and a.pay_on > end):
                state = "announced"
            elif a.pay_on is None and (end - a.ex_on).days <= PAID_WITHIN:
                state = "awaited"
            else:
                state = "not booked"
            assert a.amount is not None
            if units:
                out.append(_to_come(book, as_of, security, a.ex_on, a.pay_on, a.amount, units,
                                    a.currency or security.currency, kept.get(number), state))  # fmt: skip
        if held.get(number):
            out += _inferred(book, as_of, security, held[number], last, kept.get(number))
    return sorted(out, key=lambda p: (p.on, p.security.symbol))


def _kept(booked: Sequence[Dividend], first: date) -> dict[int, Decimal]:
    """net / gross of each security's dividends since a day: what withholding leaves."""
    out: dict[int, Decimal] = {}
    for number in {d.security.security_id for d in booked}:
        mine = [d for d in booked if d.security.security_id == number and d.on > first]
        gross = sum((d.gross for d in mine), Decimal(0))
        if gross > 0:
            out[number] = 1 - sum((d.taxes for d in mine), Decimal(0)) / gross
    return out


def _to_come(
    book: Book, as_of: int, security: Security, ex_on: date | None, pay_on: date | None, amount: Decimal, units: Decimal,
    currency: str, kept: Decimal | None, state: str,
) -> Payment:  # fmt: skip
    gross, rate = posted(amount * units, currency), book.rates.rate(currency, book.base, as_of)
    base = None if isinstance(rate, NoRate) else posted(amount * units * rate, book.base)
    net = None if base is None or kept is None else posted(base * kept, book.base)
    reason = rate if isinstance(rate, NoRate) else None
    return Payment(security, ex_on, pay_on, amount, units, currency, gross, base, net, state, reason)


def _inferred(
    book: Book, as_of: int, security: Security, units: Decimal, last: date, kept: Decimal | None
) -> list[Payment]:
    end, history = day_of(as_of), per_share_history(book, security.security_id, as_of)
    usual = regular(history, units_of(book, as_of).get(security.security_id, NOTHING).since())
    months = MONTHS.get(periodicity([(p.on, p.amount) for p in usual]))
    if months is None or months_later(usual[-1].on, 2 * months) < end:
        return []
    newest, out, n = usual[-1], [], 1
    while (on := months_later(newest.on, n * months)) <= last:
        pay_on = None if newest.lag is None else on + timedelta(days=newest.lag)
        ex_on = None if newest.lag == 0 else on
        if on > end and (pay_on or on) <= last:
            out.append(_to_come(book, as_of, security, ex_on, pay_on, newest.amount, units, newest.currency, kept,
                                "inferred"))  # fmt: skip
        n += 1
    return out


# --- by holding ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What one holding pays. Money in the base currency at the rates of the day looked at; None with its reason."""

    security: Security
    units: Decimal
    frequency: str
    last_on: date | None
    trailing_per_share: Decimal | None
    trailing: Decimal | None
    forward: Decimal | None
    value: Decimal | None
    cost: Decimal | None
    per_year_on_cost: float | Reason
    reason: str

    def over(self, income: Decimal | None, whole: Decimal | None) -> float | None:
        """income / whole as a fraction; None where either is missing or the whole is not positive."""
        return None if income is None or whole is None or whole <= 0 else float(income / whole)


def held_income(
    book: Book, as_of: int, holdings: Sequence[tuple[Security, Decimal, Decimal | None, Decimal, Decimal | None]]
) -> list[Held]:
    """Trailing and forward dividends of every holding: (security, units, value in base, cost in the security's currency, cost in base).

    Trailing: Σ per share of the last twelve months × units held now × FX of now, whoever held them then. Forward: what
    `payments` announces or infers for the next twelve months. Each is None where nothing is known, with the reason.
    """
    units_now = {s.security_id: units for s, units, *_ in holdings}
    end = day_of(as_of)
    to_come: dict[int, list[Payment]] = {}
    for p in payments(book, as_of, units_now):
        if p.state in ("announced", "inferred") and p.on > end:
            to_come.setdefault(p.security.security_id, []).append(p)
    out = []
    for security, units, value, cost, cost_base in holdings:
        history = per_share_history(book, security.security_id, as_of)
        past = [p for p in history if p.on <= end]
        rate = book.rates.rate(security.currency, book.base, as_of)
        per_share = trailing_per_share(book, history, security.currency, as_of)
        mine = to_come.get(security.security_id, [])
        amounts = [p.gross_base for p in mine]
        reason = next((str(r) for r in (rate, per_share, *(p.reason for p in mine)) if isinstance(r, NoRate)), "")
        trailing = None if per_share is None or reason or isinstance(per_share, NoRate) or isinstance(rate, NoRate) \
            else posted(per_share * units * rate, book.base)  # fmt: skip
        forward = _sum(*amounts) if amounts else None
        opened = units_of(book, as_of).get(security.security_id, NOTHING).since()
        frequency = periodicity([(p.on, p.amount) for p in regular(past, opened)])
        if not history:
            reason = "no dividend is known"
        elif opened and opened > months_later(end, -12) and all(p.booked for p in past) and not reason:
            reason = f"known since it was bought on {opened}: what it paid before is missing"
        elif not mine and not reason:
            reason = (
                "nothing announced, and no period to go by" if frequency not in MONTHS else "no payment for two periods"
            )
        same = [(p.on, p.amount * units) for p in past if p.currency == security.currency]
        per_year = yield_on_cost(same, security.currency, cost, security.currency, book.base, book.rates)
        out.append(
            Held(security, units, frequency, past[-1].on if past else None, None if isinstance(per_share, NoRate) else per_share,
                 trailing, forward, value, cost_base, per_year, reason)
        )  # fmt: skip
    return out


def cash_and_splits(
    actions: Sequence[Action], currency: str, rates: Rates
) -> tuple[dict[int, float], dict[int, float]]:
    """Dividends per share in a security's currency and split ratios by day number: what `core.prices` adjusts with.

    A dividend in another currency is converted at the rate of its ex date; NaN where there is none.
    """
    cash: dict[int, float] = {}
    ratios: dict[int, float] = {}
    for a in actions:
        day = day_number(a.ex_on)
        if a.kind == "dividend" and a.amount:
            rate = rates.rate(a.currency or currency, currency, day)
            cash[day] = float("nan") if isinstance(rate, NoRate) else float(a.amount * rate)
        elif a.kind == "split" and a.ratio:
            ratios[day] = float(a.ratio)
    return cash, ratios
