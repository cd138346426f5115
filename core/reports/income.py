"""Income: dividends booked, by month, the ex and pay calendar, what is to come, what each holding yields."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from core.expected import Held, Payment, held_income
from core.expected import payments as payments_of
from core.fx import day_number, exact
from core.income import Dividend, months_later, withholding
from core.income import dividends as dividends_of
from core.money import posted
from core.reasons import NoRate, Reason
from core.reports import Made, report
from core.table import Column, Figure, Kind
from core.view import View

COMING = ("announced", "inferred")


def calendar_of(view: View) -> list[Payment]:
    held = {p.security.security_id: p.units for p in view.valuation.positions}
    chosen = view.scope.security
    return [p for p in payments_of(view.book, view.as_of, held) if chosen in (None, p.security.security_id)]


def held_of(view: View) -> list[Held]:
    return held_income(
        view.book,
        view.as_of,
        [
            (
                p.security,
                p.units,
                None if p.value_base is None else posted(p.value_base, view.base),
                p.cost,
                p.cost_base,
            )
            for p in view.valuation.positions
            if view.scope.security in (None, p.security.security_id)
        ],
    )


def _dividends(view: View) -> list[Dividend]:
    return [d for d in dividends_of(view.book, view.as_of) if view.scope.security in (None, d.security.security_id)]


def added(amounts: list[Decimal | None]) -> Decimal:
    """The sum of what is known."""
    return sum((a for a in amounts if a is not None), Decimal(0))


def _unconverted(reasons: list[Any]) -> tuple[str, ...]:
    """One note for what has no rate and is left out of the sums."""
    said = sorted({str(r) for r in reasons if isinstance(r, NoRate)})
    return (f"Left out of the sums in the base currency: {'; '.join(said)}.",) if said else ()


@report(
    "Dividends",
    Column("on", "Booked", Kind.DATE, "date of the booking: paid, as a rule"),
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("ex_on", "Ex date", Kind.DATE, "of the announced dividend that it pays", wide_only=True),
    Column("units", "Units", Kind.UNITS, "held before the ex date, or before the booking where none is known", wide_only=True),
    Column("per_share", "Per share", Kind.PRICE, "gross / units, in the currency of the dividend"),
    Column("currency", "Currency", wide_only=True),
    Column("gross", "Gross", Kind.MONEY, "in the currency of the dividend"),
    Column("taxes", "Withheld", Kind.MONEY, "in the currency of the dividend"),
    Column("rate", "Rate", Kind.PERCENT, "withheld / gross", wide_only=True),
    Column("fees", "Fees", Kind.MONEY, "in the currency of the dividend", wide_only=True),
    Column("net_amount", "Net", Kind.MONEY, "gross − withheld − fees, in the currency of the dividend"),
    Column("gross_base", "Gross in base currency", Kind.MONEY, "net + withheld + fees in the base currency", wide_only=True),
    Column("taxes_base", "Withheld in base currency", Kind.MONEY, "at the rate of the booking", wide_only=True),
    Column("net_base", "Net in base currency", Kind.MONEY, "as it moved cash, or at the rate of the day"),
    Column("yield", "Yield", Kind.PERCENT, "of this one payment: gross / (units × the close before the ex date)", wide_only=True),
    Column("reinvested", "Reinvested", Kind.FLAG, "a purchase of the same security within 7 days costs the net, ± 2 %"),
    Column("reason", "Remark", wide_only=True),
    empty="No dividend has been booked up to this date. Book one under Transactions: its kind is dividend.",
)  # fmt: skip
def dividends(view: View) -> Made:
    """Every dividend booked, newest first: gross, withheld at the source, net, per share, and what it yielded.

    With `security` in the scope, those of one security. A dividend is income and lowers no cost. Where the units held differ
    from what gross / announced amount per share implies, the remark says so.
    """
    rows: list[tuple[Any, ...]] = []
    booked = _dividends(view)
    for d in reversed(booked):
        rate = withholding(d.gross, d.taxes, d.fees).rate
        rows.append(
            (d.on, d.security.symbol, d.security.name, d.ex_on, d.units, d.per_share, d.currency, d.gross, d.taxes,
             None if isinstance(rate, Reason) else rate, d.fees, d.net, d.gross_base, d.taxes_base, d.net_base, _yield(view, d),
             d.reinvested, _remark(d))
        )  # fmt: skip
    total = (None, "Total", f"{len(rows)} dividends", None, None, None, None, None, None, None, None, None, added([d.gross_base for d in booked]),
             added([d.taxes_base for d in booked]), added([d.net_base for d in booked]), None, None, "")  # fmt: skip
    return Made(rows, total=total if rows else None, notes=_unconverted([d.reason for d in booked]))


def _yield(view: View, d: Dividend) -> float | None:
    """gross / (units × close before), both in the security's currency; None where a price or a rate is missing."""
    day = day_number(d.ex_on or d.on)
    series = view.book.prices.get(d.security.security_id)
    close = series.at(day - 1) if series is not None else None
    rate = view.book.rates.rate(d.currency, d.security.currency, day)
    if close is None or not d.units or d.units < 0 or isinstance(rate, NoRate):
        return None
    return float(d.gross * rate / (d.units * exact(close[1])))


def _remark(d: Dividend) -> str:
    if d.reason is not None:
        return str(d.reason)
    if d.units is None:
        return "none of it was held before: the ex date or the purchase may be missing"
    if d.implied is not None and abs(d.implied - d.units) > abs(d.units) / 200:
        return f"the announced amount per share implies {d.implied:.2f} units, {d.units:f} were held"
    return ""


@report(
    "Income by month",
    Column("month", "Month"),
    Column("gross", "Received gross", Kind.MONEY, "dividends booked, in the base currency"),
    Column("taxes", "Withheld", Kind.MONEY),
    Column("net_amount", "Received net", Kind.MONEY, "gross − withheld − fees"),
    Column("announced", "Announced", Kind.MONEY, "gross: a corporate action names the amount"),
    Column("inferred", "Inferred", Kind.MONEY, "gross: the last regular amount, as often as paid"),
    empty="No dividend was booked in the last twelve months and none is expected in the next twelve.",
)
def income_months(view: View) -> Made:
    """The last twelve months received and the next twelve expected, by month of payment, in the base currency.

    The twelve months before and after the date begin and end with it, so the first and the last month, and the present one,
    are parts of months. What is announced or inferred is gross, at the exchange rates of the date looked at.
    """
    end, booked, calendar, held = view.on, _dividends(view), calendar_of(view), held_of(view)
    recent = [d for d in booked if d.on > months_later(end, -12)]
    coming = [p for p in calendar if p.state in COMING and p.on > end]
    rows: list[tuple[Any, ...]] = []
    for month in (months_later(end.replace(day=1), n) for n in range(-12, 13)):
        mine = [d for d in recent if _month(d.on) == _month(month)]
        due = [p for p in coming if _month(p.on) == _month(month)]
        rows.append(
            (_month(month), added([d.gross_base for d in mine]), added([d.taxes_base for d in mine]), added([d.net_base for d in mine]),
             *(added([p.gross_base for p in due if p.state == state]) for state in COMING))
        )  # fmt: skip
    figures = _figures(view, booked, recent, coming, held)
    if not recent and not coming:
        return Made([], figures)
    total = ("Total", *(sum((r[i] for r in rows), Decimal(0)) for i in range(1, 6)))
    return Made(rows, figures, total, _unconverted([d.reason for d in recent] + [p.reason for p in coming]))


def _month(on: date) -> str:
    return on.isoformat()[:7]


def _figures(
    view: View, booked: list[Dividend], recent: list[Dividend], coming: list[Payment], held: list[Held]
) -> tuple[Figure, ...]:
    """The six cards: received this year and in twelve months, expected, yields, withheld."""
    base, end = view.base, view.on
    this_year = [d for d in booked if d.on.year == end.year]
    gross, taxes = added([d.gross_base for d in recent]), added([d.taxes_base for d in recent])
    trailing = [h for h in held if h.trailing is not None]
    known = f"{len(trailing)} of {len(held)} holdings have a known dividend; the others count as paying none"
    none = "no dividend of what is held is known" if held else "nothing is held"
    paid = added([h.trailing for h in held]) if trailing else None

    def on(whole: list[Decimal | None]) -> float | None:
        capital = added(whole)
        return None if paid is None or capital <= 0 else float(paid / capital)

    value, cost = on([h.value for h in held]), on([h.cost for h in held])
    projected = added([p.gross_base for p in coming]) if coming else None
    inferred = added([p.gross_base for p in coming if p.state == "inferred"])
    return (
        Figure("this_year", "Received this year", added([d.gross_base for d in this_year]), Kind.MONEY, base,
               formula="Σ gross dividends booked since 1 January, in the base currency"),
        Figure("trailing", "Last 12 months", gross, Kind.MONEY, base, formula="Σ gross dividends booked, in the base currency"),
        Figure("projected", "Next 12 months", projected, Kind.MONEY, base,
               None if projected is not None else "nothing is announced, and no holding has paid often enough to infer it",
               note=f"of which inferred: {inferred}", formula="Σ gross of announced and inferred payments, at the FX of now"),
        Figure("on_value", "Yield on value", value, Kind.PERCENT, None, None if value is not None else none, note=known,
               formula="Σ dividends per share of the last 12 months × units held now / value of the holdings"),
        Figure("on_cost", "Yield on cost", cost, Kind.PERCENT, None, None if cost is not None else none, note=known,
               formula="the same / cost of the holdings at the rates of the purchase days"),
        Figure("withheld", "Withheld", taxes, Kind.MONEY, base, note="of the last 12 months"
               + (f": {float(taxes / gross):.2%} of gross" if gross > 0 else ""), formula="Σ taxes of the dividends booked"),
    )  # fmt: skip


@report(
    "Dividend calendar",
    Column("on", "Date", Kind.DATE, "paid or to be paid; the ex date where no pay date is known"),
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("state", "State", note="received; not booked: its day has passed; awaited: ex, pay date unknown; announced; inferred"),
    Column("ex_on", "Ex date", Kind.DATE, "who holds it when this day opens gets the dividend"),
    Column("pay_on", "Pay date", Kind.DATE),
    Column("per_share", "Per share", Kind.PRICE, "in the currency of the dividend"),
    Column("currency", "Currency", wide_only=True),
    Column("units", "Units", Kind.UNITS, "with the right to it; to come: held now", wide_only=True),
    Column("gross", "Gross", Kind.MONEY, "in the currency of the dividend", wide_only=True),
    Column("gross_base", "Gross in base currency", Kind.MONEY, "to come: at the FX of now"),
    Column("reason", "Remark", wide_only=True),
    empty="No dividend was paid in the last twelve months and none is known or expected for the next twelve.",
)  # fmt: skip
def income_calendar(view: View) -> Made:
    """Ex and pay dates from a year before the date to a year after it: what comes next first, then what has been, newest first.

    A dividend that was announced, whose day has passed and that was held but never booked says "not booked".
    """
    end, every = view.on, calendar_of(view)
    future = [p for p in every if p.on > end]
    past = [p for p in reversed(every) if p.on <= end]
    rows = [
        (p.on, p.security.symbol, p.security.name, p.state, p.ex_on, p.pay_on, p.per_share, p.currency, p.units, p.gross, p.gross_base,
         str(p.reason) if p.reason else "")
        for p in (*future, *past)
    ]  # fmt: skip
    missed = sum(p.state == "not booked" for p in every)
    said = f"{missed} announced {'dividend was' if missed == 1 else 'dividends were'} held but not booked."
    return Made(rows, notes=(said,) if missed else ())


@report(
    "Projected income",
    Column("month", "Month"),
    Column("on", "Expected", Kind.DATE, "pay date; the ex date where no pay date is known"),
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("basis", "Basis", note="announced: a corporate action names the amount; inferred: the last regular amount, as often as paid"),
    Column("per_share", "Per share", Kind.PRICE, "in the currency of the dividend"),
    Column("currency", "Currency", wide_only=True),
    Column("units", "Units", Kind.UNITS, "held now, or before an ex date that has passed", wide_only=True),
    Column("gross", "Gross", Kind.MONEY, "per share × units, in the currency of the dividend", wide_only=True),
    Column("gross_base", "Gross in base currency", Kind.MONEY, "at the FX of now"),
    Column("net_base", "After withholding", Kind.MONEY, "at the rate withheld from this security in the last 12 months"),
    Column("reason", "Remark", wide_only=True),
    empty="Nothing is announced for what is held, and no holding has paid often enough to infer a next dividend.",
)  # fmt: skip
def income_projection(view: View) -> Made:
    """Every dividend expected in the next twelve months, by month and security, and whether it is announced or inferred.

    Inferred: a security whose payments of the last three years have a period is expected to pay its last regular amount per
    share again after each period; regular is between 30 % and 300 % of their median. A short position owes what it shows.
    """
    coming = [p for p in calendar_of(view) if p.state in COMING and p.on > view.on]
    rows = [
        (_month(p.on), p.on, p.security.symbol, p.security.name, p.state, p.per_share, p.currency, p.units, p.gross, p.gross_base, p.net_base,
         str(p.reason) if p.reason else "")
        for p in coming
    ]  # fmt: skip
    net = None if any(p.net_base is None for p in coming) else added([p.net_base for p in coming])
    total = ("Total", None, None, f"{len(rows)} payments", None, None, None, None, None, added([p.gross_base for p in coming]), net, "")  # fmt: skip
    return Made(rows, total=total if rows else None, notes=_unconverted([p.reason for p in coming]))


@report(
    "Dividend yields",
    Column("symbol", "Symbol"),
    Column("name", "Name", wide_only=True),
    Column("units", "Units", Kind.UNITS, wide_only=True),
    Column("frequency", "Pays", note="inferred from the payments of the last three years"),
    Column("last_on", "Last", Kind.DATE, "last ex date, or booking where none is known", wide_only=True),
    Column("per_share", "12 months per share", Kind.PRICE, "paid in the last 12 months, splits since then undone", wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("trailing", "Last 12 months", Kind.MONEY, "12 months per share × units held now × FX of now"),
    Column("forward", "Next 12 months", Kind.MONEY, "announced and inferred, at the FX of now"),
    Column("value", "Value", Kind.MONEY, "in the base currency", wide_only=True),
    Column("cost", "Cost", Kind.MONEY, "of the open lots, at the rates of the purchase days", wide_only=True),
    Column("on_value", "Yield on value", Kind.PERCENT, "last 12 months / value"),
    Column("on_cost", "Yield on cost", Kind.PERCENT, "last 12 months / cost"),
    Column("forward_on_value", "Forward on value", Kind.PERCENT, "next 12 months / value", wide_only=True),
    Column("forward_on_cost", "Forward on cost", Kind.PERCENT, "next 12 months / cost", wide_only=True),
    Column("per_year_on_cost", "A year on cost", Kind.PERCENT,
           "mean over the calendar years with payments known: dividends per share × units held now / cost, FX of each payment", wide_only=True),
    Column("reason", "Remark", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    empty="Nothing is held at this date.",
)  # fmt: skip
def income_yields(view: View) -> Made:
    """What each holding pays a year: trailing and forward, on its value and on its cost; both sides in the base currency.

    Trailing counts what one share paid in the last twelve months, whoever held it then, for the units held now. A holding
    without a known dividend has no yield; in the total it counts as paying none.
    """
    held = sorted(
        held_of(view), key=lambda h: (-(h.trailing if h.trailing is not None else Decimal(-1)), h.security.symbol)
    )
    rows: list[tuple[Any, ...]] = [
        (h.security.symbol, h.security.name, h.units, h.frequency, h.last_on, h.trailing_per_share, h.security.currency, h.trailing, h.forward,
         h.value, h.cost, h.over(h.trailing, h.value), h.over(h.trailing, h.cost), h.over(h.forward, h.value), h.over(h.forward, h.cost),
         None if isinstance(h.per_year_on_cost, Reason) else h.per_year_on_cost, h.reason, h.security.security_id)
        for h in held
    ]  # fmt: skip

    def known(i: int) -> Decimal | None:
        return None if all(r[i] is None for r in rows) else added([r[i] for r in rows])

    def over(income: Decimal | None, whole: Decimal | None) -> float | None:
        return None if income is None or whole is None or whole <= 0 else float(income / whole)

    trailing, forward, value, cost = (known(i) for i in (7, 8, 9, 10))

    total = ("Total", f"{len(rows)} holdings", None, None, None, None, None, trailing, forward, value, cost, over(trailing, value),
             over(trailing, cost), over(forward, value), over(forward, cost), None, "", None)  # fmt: skip
    return Made(rows, total=total if rows else None)
