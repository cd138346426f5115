"""Income to come: how often a security pays, the calendar of a portfolio, what each holding pays a year.

What is expected says where it comes from: "announced" (a corporate action with its ex date) or "inferred" (the last regular
amount, as often as paid).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median

from core.book import Action, Book
from core.fx import day_number, day_of
from core.income import (
    NOTHING,
    PAID_WITHIN,
    PLACES,
    Dividend,
    by_security,
    dividends,
    months_later,
    units_of,
    whole_sum,
    yield_on_cost,
)
from core.ledger import CODE, Security
from core.money import posted
from core.ratio import times
from core.reasons import NoRate, Reason

MONTHS = {"monthly": 1, "quarterly": 3, "semi-annual": 6, "annual": 12}  # between two payments
LOOKED_BACK = 3  # years of payments that say how often and how much


# --- how often, and how much a share ----------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class PerShare:
    """A dividend per share as it is for the shares of today (splits since then undone)."""

    on: date  # the ex date where it is known, else the booking
    amount: Decimal
    currency: str
    lag: int | None  # days from the ex date to the payment; 0 where only the payment is known; None: not announced
    booked: bool  # known from a booking alone


def per_share_history(book: Book, security: int, as_of: int, own: Sequence[Dividend]) -> list[PerShare]:
    """What a security paid or announced per share, oldest first: corporate actions (those to come included), and what was
    booked (`own`) without one. Amounts are divided by the splits that came after, of the ledger and of the actions."""
    actions = book.actions.get(security, ())
    splits = _splits(book, security, as_of)

    def today(amount: Decimal, on: date) -> Decimal:
        for day, ratio in splits.items():
            if day > on:
                amount = times(amount, 1 / ratio)
        return amount.quantize(PLACES)

    currency = book.securities[security].currency
    out = [
        PerShare(a.ex_on, today(a.amount, a.ex_on), a.currency or currency, None if a.pay_on is None else (a.pay_on - a.ex_on).days, False)
        for a in actions if a.kind == "dividend" and a.amount
    ]  # fmt: skip
    booked: dict[tuple[date, str], Decimal] = {}
    for d in own:
        if d.ex_on is None and d.per_share is not None and d.per_share > 0:
            booked[d.on, d.currency] = booked.get((d.on, d.currency), Decimal(0)) + today(d.per_share, d.on)
    out += [PerShare(on, amount, in_, 0, True) for (on, in_), amount in booked.items()]
    return sorted(out, key=lambda p: p.on)


def _splits(book: Book, security: int, as_of: int) -> dict[date, Fraction]:
    """Splits up to a day: those announced and those booked, one a day."""
    out = {
        a.ex_on: a.ratio
        for a in book.actions.get(security, ())
        if a.kind == "split" and a.ratio and day_number(a.ex_on) <= as_of
    }
    ledger = book.ledger.upto(as_of)
    for row in ((ledger.security == security) & (ledger.kind == CODE["split"])).nonzero()[0].tolist():
        ratio = ledger.ratio_at(row)
        assert ratio is not None
        out[day_of(int(ledger.traded_on[row]))] = ratio
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
    own = by_security(booked)
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
            assert a.amount is not None
            if units:
                out.append(_to_come(book, as_of, security, a.ex_on, a.pay_on, a.amount, units,
                                    a.currency or security.currency, kept.get(number), unpaid_state(a, end)))  # fmt: skip
        if held.get(number):
            history = per_share_history(book, number, as_of, own.get(number, ()))
            out += _inferred(book, as_of, security, history, held[number], last, kept.get(number))
    return sorted(out, key=lambda p: (p.on, p.security.symbol))


def unpaid_state(dividend: Action, end: date) -> str:
    """What a dividend without a booking is on a day: "announced" (to come), "awaited" (ex, its pay date not announced), "not booked"."""
    if dividend.ex_on > end or (dividend.pay_on is not None and dividend.pay_on > end):
        return "announced"
    return "awaited" if dividend.pay_on is None and (end - dividend.ex_on).days <= PAID_WITHIN else "not booked"


def _kept(booked: Sequence[Dividend], first: date) -> dict[int, Decimal]:
    """net / gross of each security's dividends since a day: what withholding leaves."""
    out: dict[int, Decimal] = {}
    for number, every in by_security(booked).items():
        mine = [d for d in every if d.on > first]
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
    book: Book,
    as_of: int,
    security: Security,
    history: Sequence[PerShare],
    units: Decimal,
    last: date,
    kept: Decimal | None,
) -> list[Payment]:
    end = day_of(as_of)
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
    end, own = day_of(as_of), by_security(dividends(book, as_of))
    to_come: dict[int, list[Payment]] = {}
    for p in payments(book, as_of, units_now):
        if p.state in ("announced", "inferred") and p.on > end:
            to_come.setdefault(p.security.security_id, []).append(p)
    out = []
    for security, units, value, cost, cost_base in holdings:
        history = per_share_history(book, security.security_id, as_of, own.get(security.security_id, ()))
        past = [p for p in history if p.on <= end]
        rate = book.rates.rate(security.currency, book.base, as_of)
        per_share = trailing_per_share(book, history, security.currency, as_of)
        mine = to_come.get(security.security_id, [])
        amounts = [p.gross_base for p in mine]
        reason = next((str(r) for r in (rate, per_share, *(p.reason for p in mine)) if isinstance(r, NoRate)), "")
        trailing = None if per_share is None or reason or isinstance(per_share, NoRate) or isinstance(rate, NoRate) \
            else posted(per_share * units * rate, book.base)  # fmt: skip
        forward = whole_sum(*amounts) if amounts else None
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
