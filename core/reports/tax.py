"""Tax: realised gains by term and year, wash sales, and the lines of Form 8949. Warnings and layouts, not tax advice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from core.fx import day_of
from core.household import EXEMPT, Household, settled
from core.ledger import UNITS
from core.lots import said_units, share
from core.reports import Made, report
from core.table import Column, Figure, Kind
from core.tax import WINDOW, Piece
from core.view import View, money

PARTS = {"short": "I", "long": "II"}
NO_SALES = "Nothing was sold in this year. Choose another year, or book a sale."


def year_of(view: View) -> int:
    """The calendar year asked for: by default that of the date looked at."""
    return view.scope.year or view.on.year


@dataclass(slots=True)
class Sale:
    """Pieces of one parcel with one holding period: a line of the form. Money in 1e-6."""

    piece: Piece
    units: int
    proceeds: int
    cost: int
    disallowed: int


def closed(view: View, household: Household, year: int | None = None) -> list[Piece]:
    """This portfolio's pieces that were closed (in a year), in order."""
    found = [
        p for p in settled(household, view.as_of).pieces if p.parcel.portfolio == 0 and p.parcel.closed_on is not None
    ]
    return [p for p in found if year is None or day_of(p.parcel.closed_on or 0).year == year]


def sales(pieces: list[Piece]) -> list[Sale]:
    """Pieces put together into lines: one for each parcel and holding period.

    Cash that only lowered a cost (a return of capital up to that cost) is no line: nothing was sold, and there is no gain to
    report. Source: IRS Publication 550, nondividend distributions.
    """
    out: list[Sale] = []
    for p in pieces:
        last = out[-1] if out else None
        if last is None or last.piece.parcel is not p.parcel or last.piece.since != p.since:
            last = Sale(p, 0, 0, 0, 0)
            out.append(last)
        last.units += p.units
        last.proceeds += p.proceeds
        last.cost += p.cost + p.added
        last.disallowed += p.disallowed
    return [s for s in out if s.units or s.proceeds != s.cost]


def booked_units(piece: Piece, units: int) -> int:
    """Units of a piece as they were on the day it was closed, before later splits."""
    parcel = piece.parcel
    return share(parcel.said_units, units, parcel.units, 1) if parcel.units else 0


def notes(view: View, household: Household) -> tuple[str, ...]:
    """What these reports rest on, said under each of them."""
    others = len(household.books) - 1
    looked = (
        f"with {others} other portfolio{'s' if others != 1 else ''} of the owner"
        if others
        else "no other portfolio of the owner is known"
    )
    said = [
        f"Wash sales: purchases from 30 days before to 30 days after a sale at a loss, {looked}. Only the same security counts as substantially "
        "identical; options, similar funds, retirement accounts and portfolios kept elsewhere are not looked at. A warning, not tax advice.",
    ]
    if household.fills_are_one:
        said.append("Purchases of a security on one day at one price in one portfolio are taken for fills of one order, which do not replace each other.")
    else:
        said.append("Each purchase replaces by itself, also one of the same day and price (the setting FILLS_ARE_ONE_PURCHASE is off).")
    said.append(
        "Sums differ from those of Realised gains by what wash sales disallow, and by losses from before, or from other portfolios, that came in "
        "with the cost of units sold since."
    )
    if not household.whole:
        said.append(
            "Portfolios of the owner that you may not see are left out: purchases there can make a loss a wash sale too."
        )
    if view.base != "USD":
        said.append(f"Amounts in {view.base}, each side at the rate of its own day; US forms ask for US dollars.")
    if settled(household, view.as_of).left_out:
        said.append(
            f"{settled(household, view.as_of).left_out} sales are left out: an exchange rate of their day is missing."
        )
    return tuple(said)


@report(
    "Realised gains by term and year",
    Column("year", "Year", Kind.TEXT, "calendar year of the sale"),
    Column("term", "Term", note="long: held more than one year"),
    Column("sales", "Sales", Kind.COUNT, "lots sold"),
    Column("proceeds", "Proceeds", Kind.MONEY, "net of sale fees and taxes"),
    Column("cost", "Cost", Kind.MONEY, "with losses of earlier wash sales"),
    Column("disallowed", "Disallowed", Kind.MONEY, "losses that moved into the cost of replacements"),
    Column("gain", "Gain", Kind.MONEY, "proceeds − cost + disallowed"),
    empty="Nothing has been sold yet: gains appear here with the first sale.",
)
def tax_gains(view: View, household: Household) -> Made:
    """Realised gains of every year up to the date looked at, short and long term apart, after wash sales.

    Long term: held more than one year, counted from the day after the purchase; short positions are short term. With `year` in
    the scope the figures are that year's. Source: IRS Publication 550.
    """
    groups: dict[tuple[int, str], list[Sale]] = {}
    for s in sales(closed(view, household)):
        groups.setdefault((day_of(s.piece.parcel.closed_on or 0).year, s.piece.term), []).append(s)
    rows: list[tuple[Any, ...]] = []
    for year, term in sorted(groups, key=lambda k: (-k[0], k[1] != "short")):
        lines = groups[year, term]
        rows.append((str(year), term, len(lines), *_sums(lines)))
    total = tuple(sum((r[i] for r in rows), Decimal(0)) for i in range(3, 7))
    year = year_of(view)
    made = {term: _sums(groups.get((year, term), [])) for term in PARTS}
    figures = tuple(
        Figure(f"{term}_gain", f"{term.capitalize()}-term gain", made[term][3], Kind.MONEY, view.base, formula="proceeds − cost + disallowed")
        for term in PARTS
    )  # fmt: skip
    disallowed = sum((made[term][2] for term in PARTS), Decimal(0))
    figures += (
        Figure("gain", "Gain", sum((made[term][3] for term in PARTS), Decimal(0)), Kind.MONEY, view.base, formula="short + long term"),
        Figure("disallowed", "Disallowed", disallowed, Kind.MONEY, view.base, note="losses that moved into the cost of replacements"),
    )  # fmt: skip
    row = ("Total", "", sum(r[2] for r in rows), *total) if rows else None
    return Made(rows, figures, row, notes(view, household))


def _sums(lines: list[Sale]) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """(proceeds, cost, disallowed, gain) of some lines."""
    proceeds, cost, disallowed = (sum(getattr(s, name) for s in lines) for name in ("proceeds", "cost", "disallowed"))
    out = tuple(money(v) or Decimal(0) for v in (proceeds, cost, disallowed, proceeds - cost + disallowed))
    return out[0], out[1], out[2], out[3]


@report(
    "Wash sales",
    Column("symbol", "Symbol"),
    Column("sold_on", "Sold", Kind.DATE, "of a short position: covered"),
    Column("state", "State", note="wash sale; window open: a purchase would still make it one; deductible"),
    Column("units", "Units", Kind.UNITS, "as on the day of the sale"),
    Column("loss", "Loss", Kind.MONEY, "proceeds − cost, with losses of earlier wash sales in the cost"),
    Column("disallowed", "Disallowed", Kind.MONEY, "not deductible now: added to the cost of the replacement"),
    Column("replaced_on", "Replaced by purchase of", Kind.DATE, "within 30 days before or after the sale"),
    Column("replaced_in", "In portfolio"),
    Column("free_from", "Buying is free from", Kind.DATE, "the day after the 61-day window"),
    Column("opened_on", "Bought", Kind.DATE, wide_only=True),
    Column("held_since", "Held since", Kind.DATE, "with the holding periods of the units it replaced", wide_only=True),
    empty="No sale at a loss in this year, so there is nothing to wash.",
)
def wash_sales(view: View, household: Household) -> Made:
    """Every sale at a loss of a year, and what of the loss is disallowed because units were bought from 30 days before to 30 days after.

    Losses are matched in the order of their sales with purchases in the order of purchase, over all portfolios of the owner that
    you may see; each unit replaces once, not units of its own purchase, and the loss moves into its cost with its holding
    period. Without `year` in the scope: the year of the date looked at. Source: 26 U.S.C. § 1091, IRS Publication 550.
    """
    year, rows = year_of(view), list[tuple[Any, ...]]()
    for p in closed(view, household, year):
        if p.result >= 0:
            continue
        sold = day_of(p.parcel.closed_on or 0)
        free = sold + timedelta(days=WINDOW + 1)
        exempt = household.securities[p.parcel.symbol_of].asset_class in EXEMPT
        state = "wash sale" if p.disallowed else "window open" if view.on < free and not exempt else "deductible"
        by = p.replaced_by
        rows.append(
            (household.securities[p.parcel.symbol_of].symbol, sold, state, Decimal(booked_units(p, p.units)) / UNITS, money(p.result),
             money(p.disallowed), day_of(by.opened_on) if by else None, household.books[by.portfolio].portfolio.name if by else None,
             None if exempt else free, day_of(p.parcel.opened_on), day_of(p.since))
        )  # fmt: skip
    rows.sort(key=lambda r: (r[1], r[0]), reverse=True)
    added = sum(
        p.added for p in settled(household, view.as_of).pieces if p.parcel.portfolio == 0 and p.parcel.closed_on is None
    )
    lost, disallowed = (sum((r[i] for r in rows), Decimal(0)) for i in (4, 5))
    figures = (
        Figure("lost", "Losses", lost, Kind.MONEY, view.base, formula="Σ proceeds − cost of sales at a loss"),
        Figure("disallowed", "Disallowed", disallowed, Kind.MONEY, view.base, formula="Σ losses of units that were replaced"),
        Figure("deductible", "Deductible losses", lost + disallowed, Kind.MONEY, view.base, formula="losses + disallowed"),
        Figure("open", "Windows open", sum(r[2] == "window open" for r in rows), Kind.COUNT, note="a purchase now would make them wash sales"),
        Figure("added", "In the cost of what is held", money(added), Kind.MONEY, view.base, note="disallowed losses that open lots carry, of all years"),
    )  # fmt: skip
    total = ("Total", None, "", None, lost, disallowed, None, None, None, None, None) if rows else None
    return Made(rows, figures, total, notes(view, household))


@report(
    "Form 8949",
    Column("part", "Part", note="I short term, II long term"),
    Column(
        "box",
        "Box",
        note="A, D: reported by the broker with its cost; C, F (from 2025 I, L): crypto without a statement",
    ),
    Column("description", "(a) Description"),
    Column(
        "acquired",
        "(b) Date acquired",
        Kind.DATE,
        "day from which the holding period counts; of a short sale the day it was covered",
    ),
    Column("sold", "(c) Date sold", Kind.DATE),
    Column("proceeds", "(d) Proceeds", Kind.MONEY, "net of sale fees and taxes"),
    Column("cost", "(e) Cost or other basis", Kind.MONEY, "with purchase fees and disallowed losses of earlier sales"),
    Column("code", "(f) Code", note="W: wash sale"),
    Column("adjustment", "(g) Adjustment", Kind.MONEY, "the loss disallowed"),
    Column("gain", "(h) Gain or loss", Kind.MONEY, "(d) − (e) + (g)"),
    Column(
        "bought_on",
        "Bought",
        Kind.DATE,
        "the purchase itself, before holding periods of replaced units are added",
        wide_only=True,
    ),
    empty=NO_SALES,
)
def form_8949(view: View, household: Household) -> Made:
    """Sales of a calendar year in the columns of IRS Form 8949, short term first; its totals are those of the form's line 2.

    Amounts to the cent in the portfolio's base currency. Boxes A and D stand for sales whose cost the broker reports on 1099-B;
    take B, E or C, F where your statement says otherwise. Without `year` in the scope: the year of the date looked at.
    """
    year, rows, lines = year_of(view), list[tuple[Any, ...]](), dict[str, list[Sale]]()
    for s in sales(closed(view, household, year)):
        p = s.piece
        security = household.securities[p.parcel.symbol_of]
        lines.setdefault(p.term, []).append(s)
        sold = day_of(p.parcel.closed_on or 0)
        units = booked_units(p, s.units)
        what = f"{said_units(units)} sh. {security.symbol}" if units else f"Cash for {security.symbol}"
        acquired = sold if p.parcel.short else day_of(p.since)
        gain = s.proceeds - s.cost + s.disallowed
        rows.append(
            (PARTS[p.term], box(p.term, security.asset_class, sold), what + (" (short sale)" if p.parcel.short else ""), acquired, sold,
             money(s.proceeds), money(s.cost), "W" if s.disallowed else "", money(s.disallowed) if s.disallowed else None, money(gain),
             day_of(p.parcel.opened_on))
        )  # fmt: skip
    rows.sort(key=lambda r: (r[0], r[4], r[2], r[3]))
    figures: list[Figure] = []
    for term, part in PARTS.items():
        sums = _sums(lines.get(term, []))
        for key, title, value in zip(
            ("proceeds", "cost", "adjustment", "gain"), ("(d)", "(e)", "(g)", "(h)"), sums, strict=True
        ):
            figures.append(
                Figure(
                    f"{term}_{key}",
                    f"Part {part} {title}",
                    value,
                    Kind.MONEY,
                    view.base,
                    note=f"{term}-term {key}, line 2",
                )
            )
    whole = _sums([s for each in lines.values() for s in each])
    total = ("Total", "", "", None, None, whole[0], whole[1], "", whole[2], whole[3], None) if rows else None
    return Made(rows, tuple(figures), total, notes(view, household))


def box(term: str, asset_class: str, sold: date) -> str:
    """The box of a line: A or D; for digital assets those of sales that nobody reported, which have letters of their own from 2025."""
    if asset_class == "Crypto":
        return {("short", False): "C", ("long", False): "F", ("short", True): "I", ("long", True): "L"}[
            term, sold.year >= 2025
        ]
    return {"short": "A", "long": "D"}[term]
