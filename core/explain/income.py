"""How the figures of income come about: dividends booked, the calendar, what is to come, yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from core.expected import Payment, PerShare, per_share_history, regular
from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.explain.evidence import ENTRIES, LOTS, MOVES
from core.fx import Series, day_number, day_of
from core.income import NOTHING, PLACES, Dividend, by_security, months_later, units_of, yield_on_cost
from core.income import dividends as dividends_of
from core.ledger import MICRO
from core.money import posted
from core.reasons import NoRate, Reason
from core.reports.income import COMING, calendar_of, held_of
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
BOOKED, DUE, PAID, HELD = "Dividends booked", "Dividends to come", "Dividends per share", "Holdings"


# --- what stands behind ----------------------------------------------------------------------------


def _all_booked(view: View) -> list[Dividend]:
    return [d for d in dividends_of(view.book, view.as_of) if view.scope.security in (None, d.security.security_id)]


def booked(view: View, chosen: Sequence[Dividend]) -> Evidence:
    """Dividends with the rate that each was booked at: of the cash where it moved in the base currency, else of the day."""
    columns = (
        Column("on", "Booked", Kind.DATE), Column("symbol", "Symbol"), Column("currency", "Currency"), Column("gross", "Gross", Kind.MONEY),
        Column("taxes", "Withheld", Kind.MONEY), Column("fees", "Fees", Kind.MONEY), Column("rate", "FX rate", Kind.PRICE, "base currency for one unit"),
        Column("transaction_id", "Id"),
    )  # fmt: skip
    rows = []
    for d in chosen:
        rate = _booked_at(view, d)
        known = None if isinstance(rate, NoRate) else rate
        rows.append(
            (d.on, d.security.symbol, d.currency, d.gross, d.taxes, d.fees, known, evidence.entry_id(view, d.row))
        )
    return Evidence(BOOKED, columns, tuple(rows))


def _booked_at(view: View, d: Dividend) -> Decimal | NoRate:
    if view.book.ledger.with_fx[d.row] and d.net:
        return Decimal(int(view.book.ledger.net[d.row])) / MICRO / d.net
    return view.book.rates.rate(d.currency, view.base, day_number(d.on))


def amounts(g: Given, base: str, name: str) -> list[Decimal | None]:
    """gross, taxes or net of each dividend of the evidence in the base currency; gross there is net + taxes + fees, each rounded."""
    out: list[Decimal | None] = []
    for gross, taxes, fees, rate in zip(
        *(g.column(BOOKED, k) for k in ("gross", "taxes", "fees", "rate")), strict=True
    ):
        if rate is None:
            out.append(None)
            continue
        parts = {"net_base": posted((gross - taxes - fees) * rate, base), "taxes_base": posted(taxes * rate, base)}
        out.append(
            parts["net_base"] + parts["taxes_base"] + posted(fees * rate, base) if name == "gross_base" else parts[name]
        )
    return out


def known(found: Sequence[Decimal | None]) -> Decimal:
    """The sum of what is known."""
    return sum((v for v in found if v is not None), Decimal(0))


def due(view: View, payments: Sequence[Payment]) -> Evidence:
    """Payments to come with the rate of the day looked at."""
    columns = (
        Column("on", "Expected", Kind.DATE), Column("symbol", "Symbol"), Column("basis", "Basis"), Column("per_share", "Per share", Kind.PRICE),
        Column("units", "Units", Kind.UNITS), Column("currency", "Currency"), Column("rate", "FX rate", Kind.PRICE, "base currency for one unit"),
    )  # fmt: skip
    cells = [
        (p.on, p.security.symbol, p.state, p.per_share, p.units, p.currency, _rate(view, p.currency)) for p in payments
    ]
    return Evidence(
        DUE,
        columns,
        tuple(cells),
        "Announced: a corporate action names the amount. Inferred: the last regular amount, as often as paid.",
    )


def _rate(view: View, currency: str) -> Decimal | None:
    rate = view.book.rates.rate(currency, view.base, view.as_of)
    return None if isinstance(rate, NoRate) else rate


def expected(g: Given, base: str) -> list[Decimal | None]:
    """per share × units × FX of each payment to come, rounded to the cent."""
    cells = zip(*(g.column(DUE, k) for k in ("per_share", "units", "rate")), strict=True)
    return [None if rate is None else posted(amount * units * rate, base) for amount, units, rate in cells]


def coming(view: View, security: int | None = None) -> list[Payment]:
    """What is to come in the twelve months after the date looked at, in the order of the projection."""
    every = [p for p in calendar_of(view) if p.state in COMING and p.on > view.on]
    return [p for p in every if security in (None, p.security.security_id)]


def history(view: View, number: int) -> list[PerShare]:
    """What a security paid or announced per share, splits since then undone."""
    own = by_security(dividends_of(view.book, view.as_of)).get(number, ())
    return per_share_history(view.book, number, view.as_of, own)


def paid(view: View, number: int) -> Evidence:
    """The same as evidence, with the rate into the security's currency of the day looked at."""
    columns = (
        Column("on", "Date", Kind.DATE, "ex date, or booking where none is known"), Column("per_share", "Per share", Kind.PRICE, "for shares of today"),
        Column("currency", "Currency"), Column("rate", "FX rate", Kind.PRICE, "into the security's currency"), Column("booked", "From a booking", Kind.FLAG),
    )  # fmt: skip
    into = view.book.securities[number].currency
    rows = []
    for p in history(view, number):
        rate = view.book.rates.rate(p.currency, into, view.as_of)
        rows.append((p.on, p.amount, p.currency, None if isinstance(rate, NoRate) else rate, p.booked))
    return Evidence(PAID, columns, tuple(rows), "Announced by a corporate action, or worked out from a booking.")


def dividend_entries(view: View, number: int | None = None) -> Evidence:
    """The dividends of the ledger: of a security, or all."""
    return evidence.entries(view, security=number, kinds=("dividend",))


# --- dividends booked ------------------------------------------------------------------------------


@explains(
    "dividends",
    "units",
    "per_share",
    "gross",
    "taxes",
    "rate",
    "fees",
    "net_amount",
    "gross_base",
    "taxes_base",
    "net_base",
    "yield",
)
def dividend(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    d = _all_booked(view)[::-1][row["_row"]]
    number, currency = d.security.security_id, d.currency
    entry, one = evidence.entries(view, [d.row]), booked(view, [d])
    if shown in ("gross", "taxes", "fees"):
        return Explained("as booked", lambda g: g.column(ENTRIES, shown)[0], (), (entry,))
    if shown == "rate":
        return Explained(
            "withheld ÷ gross",
            lambda g: float(g.column(ENTRIES, "taxes")[0] / g.column(ENTRIES, "gross")[0]),
            (),
            (entry,),
        )
    if shown == "net_amount":
        return Explained("gross − withheld − fees", lambda g: g.column(ENTRIES, "gross")[0] - g.column(ENTRIES, "taxes")[0] - g.column(ENTRIES, "fees")[0],
                         (), (entry,))  # fmt: skip
    if shown in ("gross_base", "taxes_base", "net_base"):
        formula = {"gross_base": "net + withheld + fees, each × FX of the booking and rounded to the cent", "taxes_base": "withheld × FX of the booking, rounded to the cent",
                   "net_base": "(gross − withheld − fees) × FX of the booking, rounded to the cent"}[shown]  # fmt: skip
        return Explained(
            formula,
            lambda g: amounts(g, view.base, shown)[0],
            (),
            (one, entry, evidence.rates(view, [currency], day_number(d.on))),
        )
    entitled = day_number(d.ex_on or d.on)
    held = evidence.moves(view, number, entitled)
    units = Term("units", d.units, Kind.UNITS, note=f"held when {day_of(entitled)} opened")
    if shown == "units":
        if view.book.ledger.quantity[d.row]:
            return Explained("as booked", lambda g: g.column(ENTRIES, "quantity")[0], (), (entry,))
        return Explained(
            f"Σ changes of units before {day_of(entitled)}, and by corporate actions of that day",
            lambda g: g.total(MOVES, "units"),
            (),
            (held, entry),
        )
    if shown == "per_share":
        return Explained(
            "gross ÷ units, to ten decimals",
            lambda g: (g.column(ENTRIES, "gross")[0] / g["units"]).quantize(PLACES),
            (units,),
            (held, entry),
        )
    series: Series = view.book.prices[number]
    found = series.at(entitled - 1)
    rate = view.book.rates.rate(currency, d.security.currency, entitled)
    assert found is not None
    close = Term("close before", found[1], Kind.NUMBER, d.security.currency, f"of {day_of(found[0])}")
    return Explained(
        "gross × FX ÷ (units × close before)",
        lambda g: float(g.column(ENTRIES, "gross")[0] * g["FX"] / (g["units"] * Decimal(repr(g["close before"])))),
        (units, close, Term("FX", rate, Kind.PRICE, d.security.currency, f"{d.security.currency} for one {currency}")), (held, entry),
    )  # fmt: skip


# --- by month --------------------------------------------------------------------------------------


def _month(on: date) -> str:
    return on.isoformat()[:7]


MONTHLY = {"gross": "gross_base", "taxes": "taxes_base", "net_amount": "net_base"}


@explains("income_months", "gross", "taxes", "net_amount", "announced", "inferred")
def month(view: View, row: Row) -> Explained:
    shown = row["_column"]
    if shown in MONTHLY:
        mine = [d for d in _all_booked(view) if d.on > months_later(view.on, -12) and _month(d.on) == row["month"]]
        formula = f"Σ {'gross' if shown == 'gross' else 'withheld' if shown == 'taxes' else 'gross − withheld − fees'} × FX of the booking, over the dividends booked in the month"
        return Explained(
            formula,
            lambda g: known(amounts(g, view.base, MONTHLY[shown])),
            (),
            (booked(view, mine), evidence.entries(view, [d.row for d in mine])),
        )
    rows = [p for p in coming(view) if _month(p.on) == row["month"] and p.state == shown]
    return Explained(f"Σ per share × units × FX of now, over the payments {shown} for the month, each rounded to the cent",
                     lambda g: known(expected(g, view.base)), (), (due(view, rows),))  # fmt: skip


@explains("income_months", "this_year", "trailing", "withheld", "projected", "on_value", "on_cost", figure=True)
def figure(view: View, row: Row) -> Explained | None:
    f = row["_figure"]
    if f.value is None:
        return None
    if f.key == "projected":
        return Explained("Σ per share × units × FX of now, over the payments announced or inferred for the next twelve months",
                         lambda g: known(expected(g, view.base)), (), (due(view, coming(view)),))  # fmt: skip
    if f.key in ("on_value", "on_cost"):
        of = "value" if f.key == "on_value" else "cost"
        found = _held(view)
        return Explained(f"Σ per share of the last 12 months × units × FX ÷ Σ {of} of the holdings",
                         lambda g: float(known(_trailing(g, view.base)) / known(_whole(g, of, view.base))), (), (found, dividend_entries(view), evidence.open_lots(view)))  # fmt: skip
    since = date(view.on.year - 1, 12, 31) if f.key == "this_year" else months_later(view.on, -12)
    mine = [d for d in _all_booked(view) if (d.on.year == view.on.year if f.key == "this_year" else d.on > since)]
    name = "taxes_base" if f.key == "withheld" else "gross_base"
    said = "withheld" if f.key == "withheld" else "gross"
    return Explained(f"Σ {said} × FX of the booking, over the dividends booked after {since}", lambda g: known(amounts(g, view.base, name)), (),
                     (booked(view, mine), evidence.entries(view, [d.row for d in mine])))  # fmt: skip


def _held(view: View) -> Evidence:
    """Holdings with what one share paid in twelve months, price and FX."""
    columns = (
        Column("symbol", "Symbol"), Column("per_share", "12 months per share", Kind.PRICE), Column("units", "Units", Kind.UNITS), Column("price", "Price", Kind.PRICE),
        Column("rate", "FX rate", Kind.PRICE), Column("cost", "Cost in base currency", Kind.MONEY), Column("known", "Dividends known", Kind.FLAG),
    )  # fmt: skip
    positions = {p.security.security_id: p for p in view.valuation.positions}
    rows = []
    for h in held_of(view):
        p = positions[h.security.security_id]
        rows.append(
            (h.security.symbol, h.trailing_per_share, h.units, p.price, p.rate, p.cost_base, h.trailing is not None)
        )
    return Evidence(HELD, columns, tuple(rows))


def _trailing(g: Given, base: str) -> list[Decimal | None]:
    cells = zip(*(g.column(HELD, k) for k in ("per_share", "units", "rate", "known")), strict=True)
    return [posted(a * u * r, base) if there else None for a, u, r, there in cells]


def _whole(g: Given, of: str, base: str) -> list[Decimal | None]:
    if of == "cost":
        return g.column(HELD, "cost")
    cells = zip(*(g.column(HELD, k) for k in ("units", "price", "rate")), strict=True)
    return [None if p is None or r is None else posted(u * p * r, base) for u, p, r in cells]


# --- the calendar and what is to come --------------------------------------------------------------


@explains("income_calendar", "per_share", "units", "gross", "gross_base")
def date_cell(view: View, row: Row) -> Explained | None:
    if row[row["_column"]] is None:
        return None
    every = calendar_of(view)
    p = [*(p for p in every if p.on > view.on), *(p for p in reversed(every) if p.on <= view.on)][row["_row"]]
    if p.state != "received":
        return payment(view, row, p)
    newest = _all_booked(view)[::-1]
    of = (p.security, p.ex_on, p.on, p.units, p.currency, p.gross, p.gross_base)
    place = next(
        i for i, d in enumerate(newest) if (d.security, d.ex_on, d.on, d.units, d.currency, d.gross, d.gross_base) == of
    )
    return dividend(view, {**row, "_row": place})


@explains("income_projection", "per_share", "units", "gross", "gross_base", "net_base")
def projected(view: View, row: Row) -> Explained | None:
    return None if row[row["_column"]] is None else payment(view, row, coming(view)[row["_row"]])


def payment(view: View, row: Row, p: Payment) -> Explained:
    """One payment to come, or one that was not booked: per share × units × FX."""
    shown, number, currency = row["_column"], p.security.security_id, p.currency
    past, one = paid(view, number), due(view, [p])
    opens = view.as_of + 1 if p.ex_on is None or p.ex_on > view.on else day_number(p.ex_on)
    held = evidence.moves(view, number, opens)
    given = (one, past, held, dividend_entries(view, number))
    if shown == "per_share" and p.state == "inferred":
        since = Term("held since", units_of(view.book, view.as_of).get(number, NOTHING).since(), Kind.DATE)

        def last(g: Given) -> Decimal:
            cells = zip(*(g.column(PAID, k) for k in ("on", "per_share", "currency", "booked")), strict=True)
            every = [PerShare(on, amount, of, None, from_booking) for on, amount, of, from_booking in cells]
            return regular(every, g["held since"])[-1].amount

        return Explained(
            "the last regular amount per share: between 30 % and 300 % of the median of three years",
            last,
            (since,),
            given[1:],
        )
    if shown == "per_share":
        return Explained("as the corporate action announces it", lambda g: g.column(DUE, "per_share")[0], (), given)
    if shown == "units":
        return Explained(
            f"Σ changes of units before {day_of(opens)}, and by corporate actions of that day",
            lambda g: g.total(MOVES, "units"),
            (),
            (held,),
        )
    if shown == "gross":
        return Explained("per share × units, rounded to the cent",
                         lambda g: posted(g.column(DUE, "per_share")[0] * g.column(DUE, "units")[0], currency), (), given)  # fmt: skip
    if shown == "gross_base":
        return Explained(
            "per share × units × FX of now, rounded to the cent",
            lambda g: expected(g, view.base)[0],
            (),
            (*given, evidence.rates(view, [currency])),
        )
    recent = [
        d
        for d in dividends_of(view.book, view.as_of)
        if d.security.security_id == number and d.on > months_later(view.on, -12)
    ]

    def net(g: Given) -> Decimal | None:
        gross = expected(g, view.base)[0]
        kept = 1 - g.total(BOOKED, "taxes") / g.total(BOOKED, "gross")
        return None if gross is None else posted(gross * kept, view.base)

    return Explained(
        "gross in the base currency × (1 − Σ withheld ÷ Σ gross of the dividends of the last 12 months)",
        net,
        (),
        (booked(view, recent), *given),
    )


# --- yields ----------------------------------------------------------------------------------------


@explains("income_yields", "units", "per_share", "trailing", "forward", "value", "cost", "on_value", "on_cost", "forward_on_value", "forward_on_cost",
          "per_year_on_cost")  # fmt: skip
def yields(view: View, row: Row) -> Explained | None:
    shown, number = row["_column"], row["security_id"]
    if row[shown] is None:
        return None
    p = evidence.held(view, row["symbol"], number)
    assert p is not None
    base, currency = view.base, p.security.currency
    lots, entries = evidence.open_lots(view, number), dividend_entries(view, number)
    market = (evidence.prices(view, [number]), evidence.rates(view, [currency]))
    units = Term("units", p.units, Kind.UNITS)
    fx = Term("FX", p.rate, Kind.PRICE, base, f"{base} for one {currency}")
    price = Term("price", p.price, Kind.PRICE, currency)
    year = Term("twelve months up to", view.on, Kind.DATE)

    def per_share(g: Given) -> Decimal:
        end = g["twelve months up to"]
        cells = zip(*(g.column(PAID, k) for k in ("on", "per_share", "rate")), strict=True)
        return sum((a * r for on, a, r in cells if months_later(end, -12) < on <= end), Decimal(0))

    def trailing(g: Given) -> Decimal:
        return posted(per_share(g) * g["units"] * g["FX"], base)

    def value(g: Given) -> Decimal:
        return posted(g["units"] * g["price"] * g["FX"], base)

    def cost(g: Given) -> Decimal:
        return g.total(LOTS, "cost_base")

    def forward(g: Given) -> Decimal:
        return known(expected(g, base))

    ahead = due(view, coming(view, number))
    past = paid(view, number)
    simple: dict[str, tuple[str, Any, tuple[Term, ...], tuple[Evidence, ...]]] = {
        "units": ("Σ units of the open lots", lambda g: g.total(LOTS, "units"), (), (lots, evidence.entries(view, security=number))),
        "per_share": ("Σ dividends per share of the twelve months × FX of now", per_share, (year,), (past, entries)),
        "trailing": ("Σ dividends per share of the twelve months × units held now × FX of now, rounded to the cent", trailing, (year, units, fx), (past, lots, entries)),
        "forward": ("Σ per share × units × FX of now of what is announced or inferred, each rounded to the cent", forward, (), (ahead, past)),
        "value": ("units × price × FX, rounded to the cent", value, (units, price, fx), (lots, *market)),
        "cost": ("Σ cost of the open lots, each at the FX of its purchase", cost, (), (lots, evidence.entries(view, security=number))),
        "on_value": ("last 12 months ÷ value: Σ dividends per share × units × FX ÷ (units × price × FX)", lambda g: float(trailing(g) / value(g)),
                     (year, units, price, fx), (past, lots, *market, entries)),
        "on_cost": ("last 12 months ÷ cost: Σ dividends per share × units × FX ÷ Σ cost of the open lots", lambda g: float(trailing(g) / cost(g)),
                    (year, units, fx), (past, lots, entries)),
        "forward_on_value": ("next 12 months ÷ value", lambda g: float(forward(g) / value(g)), (units, price, fx), (ahead, lots, *market)),
        "forward_on_cost": ("next 12 months ÷ cost of the open lots", lambda g: float(forward(g) / cost(g)), (), (ahead, lots)),
    }  # fmt: skip
    if shown in simple:
        return Explained(*simple[shown])
    spent = Term("cost", p.cost, Kind.MONEY, currency)

    def a_year(g: Given) -> float | None:
        cells = zip(*(g.column(PAID, k) for k in ("on", "per_share", "currency")), strict=True)
        own = [(on, a * g["units"]) for on, a, of in cells if of == currency and on <= g["twelve months up to"]]
        found = yield_on_cost(own, currency, g["cost"], currency, base, view.book.rates)
        return None if isinstance(found, Reason) else found

    first = next((d for d, *_ in past.rows), view.on)
    return Explained("Σ (dividend ÷ cost) ÷ calendar years with payments, dividend = per share × units held now; both at the FX of the payment",
                     a_year, (units, spent, year), (past, lots, evidence.rates(view, [currency], day_number(first)), entries))  # fmt: skip


@explains("income_yields", "on_value", "on_cost", "forward_on_value", "forward_on_cost", total=True)
def yields_total(view: View, row: Row) -> Explained | None:
    shown = row["_column"]
    if row[shown] is None:
        return None
    part, of = (
        ("forward" if shown.startswith("forward") else "trailing"),
        ("value" if shown.endswith("value") else "cost"),
    )
    table = row["_table"]
    columns = tuple(c for c in table.columns if c.key in ("symbol", part, of))
    rows = tuple(tuple(r[c.key] for c in columns) for r in table.records())
    titles = {c.key: c.title for c in columns}
    return Explained(
        f"Σ {titles[part]} ÷ Σ {titles[of]}",
        lambda g: float(g.total(HELD, part) / g.total(HELD, of)),
        (),
        (Evidence(HELD, columns, rows),),
    )
