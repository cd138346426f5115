"""How the tax figures come about: the owner's parcels with their entries; wash sales are matched anew out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.explain import Evidence, Explained, Given, Term, evidence, explains
from core.fx import day_number, day_of
from core.household import Household, parcels_of
from core.ledger import MICRO, UNITS, whole
from core.lots import posting_unit, said_units
from core.reports.tax import Sale, booked_units, sales, year_of
from core.table import Column, Kind
from core.tax import Parcel, Piece, wash_sales
from core.view import View, money

Row = Mapping[str, Any]
PARCELS = "Parcels of the owner"
FORMULAS = {
    "proceeds": "Σ proceeds of the units sold, net of sale fees and taxes, at the FX of their day",
    "cost": "Σ cost of the units sold, purchase fees included, at the FX of the purchase + losses of earlier wash sales that moved into it",
    "disallowed": "Σ losses of units that were bought again from 30 days before to 30 days after, unit by unit in the order of purchase",
    "gain": "proceeds − cost + disallowed",
    "loss": "proceeds − cost, with losses of earlier wash sales in the cost",
}


def parcels(view: View, household: Household) -> Evidence:
    """Every parcel of the household in securities that this portfolio holds or sold, in the order in which wash sales look at them."""
    every, _ = parcels_of(household, view.as_of)
    mine = {p.security for p in every if p.portfolio == 0}
    columns = (
        Column("symbol", "Symbol"), Column("portfolio", "Portfolio"), Column("own", "This portfolio", Kind.FLAG), Column("opened_on", "Bought", Kind.DATE),
        Column("closed_on", "Sold", Kind.DATE), Column("units", "Units", Kind.UNITS, "as after every split"), Column("booked", "Units as booked", Kind.UNITS),
        Column("cost", "Cost", Kind.MONEY), Column("proceeds", "Proceeds", Kind.MONEY), Column("short", "Short", Kind.FLAG),
        Column("replaces", "Bought", Kind.FLAG, "so that it may replace what was sold at a loss"), Column("same_as", "Counts as", note="after symbol changes"),
        Column("opened_by", "Opened by"), Column("closed_by", "Closed by"),
    )  # fmt: skip
    rows = []
    for p in every:
        if p.security in mine:
            book = household.books[p.portfolio]
            ids = [str(UUID(bytes=bytes(book.ledger.ids[row]))) if row >= 0 else None for row in (p.opening_row, p.row)]
            names = [household.securities[n].symbol for n in (p.symbol_of, p.security)]
            rows.append((names[0], book.portfolio.name, p.portfolio == 0, day_of(p.opened_on), None if p.closed_on is None else day_of(p.closed_on),
                         Decimal(p.units) / UNITS, Decimal(p.said_units) / UNITS, money(p.cost), money(p.proceeds), p.short, p.replaces, names[1], *ids))  # fmt: skip
    return Evidence(PARCELS, columns, tuple(rows), f"Amounts in {view.base}.")


def matched(g: Given, base: str) -> list[tuple[Piece, str]]:
    """(piece, symbol) of this portfolio, wash sales matched out of the parcels of the evidence."""
    names = (
        "symbol",
        "portfolio",
        "own",
        "opened_on",
        "closed_on",
        "units",
        "booked",
        "cost",
        "proceeds",
        "short",
        "replaces",
        "same_as",
        "opened_by",
    )
    symbols: list[str] = []
    made: list[Parcel] = []
    numbers: dict[str, int] = {}
    for symbol, portfolio, own, opened, closed, units, booked, cost, proceeds, short, replaces, same, by in zip(
        *(g.column(PARCELS, n) for n in names), strict=True
    ):
        made.append(Parcel((portfolio, by), numbers.setdefault(same, len(numbers)), day_number(opened), whole(units, UNITS), whole(cost, MICRO), whole(proceeds, MICRO),
                           None if closed is None else day_number(closed), short, replaces, 0 if own else 1, said_units=whole(booked, UNITS),
                           symbol_of=len(symbols)))  # fmt: skip
        symbols.append(symbol)
    return [(p, symbols[p.parcel.symbol_of]) for p in wash_sales(made, posting_unit(base)) if p.parcel.portfolio == 0]


def lines(g: Given, base: str, year: int | None = None) -> list[tuple[Sale, str]]:
    """(line, symbol) of what was closed, in a year or ever: pieces of one parcel with one holding period."""
    closed = [
        (p, s)
        for p, s in matched(g, base)
        if p.parcel.closed_on is not None and year in (None, day_of(p.parcel.closed_on).year)
    ]
    symbols = {id(p.parcel): s for p, s in closed}
    return [(s, symbols[id(s.piece.parcel)]) for s in sales([p for p, _ in closed])]


def _sum(found: Sequence[Sale], name: str) -> Decimal:
    if name == "gain":
        return _sum(found, "proceeds") - _sum(found, "cost") + _sum(found, "disallowed")
    return money(sum(getattr(s, name) for s in found)) or Decimal(0)


def _year(s: Sale) -> int:
    return day_of(s.piece.parcel.closed_on or 0).year


def _behind(view: View, row: Row, keep: Callable[[Parcel], bool] = lambda p: True) -> tuple[Evidence, ...]:
    """The parcels, and this portfolio's entries that opened and closed what is spoken of."""
    household: Household = row["_inputs"]["household"]
    every, _ = parcels_of(household, view.as_of)
    rows = {
        r for p in every if p.portfolio == 0 and p.closed_on is not None and keep(p) for r in (p.opening_row, p.row)
    }
    return parcels(view, household), evidence.entries(view, rows)


def _in(year: int) -> Callable[[Parcel], bool]:
    return lambda p: day_of(p.closed_on or 0).year == year


# --- by term and year ------------------------------------------------------------------------------


@explains("tax_gains", "sales", "proceeds", "cost", "disallowed", "gain")
def by_term(view: View, row: Row) -> Explained:
    shown, base, term, year = row["_column"], view.base, row["term"], int(row["year"])

    def chosen(g: Given) -> list[Sale]:
        return [s for s, _ in lines(g, base) if s.piece.term == term and _year(s) == year]

    said = f"{FORMULAS.get(shown, 'number of lots sold')}; sold in {year}, {term} term"
    return Explained(
        said,
        lambda g: len(chosen(g)) if shown == "sales" else _sum(chosen(g), shown),
        (),
        _behind(view, row, _in(year)),
    )


@explains("tax_gains", "short_gain", "long_gain", "gain", "disallowed", figure=True)
def of_year(view: View, row: Row) -> Explained:
    key, year, base = row["_figure"].key, year_of(view), view.base
    term = key.removesuffix("_gain") if key.endswith("_gain") else None
    name = "disallowed" if key == "disallowed" else "gain"
    return Explained(f"{FORMULAS[name]}; sold in {year}" + (f", {term} term" if term else ""),
                     lambda g: _sum([s for s, _ in lines(g, base, year) if term in (None, s.piece.term)], name), (), _behind(view, row, _in(year)))  # fmt: skip


# --- wash sales ------------------------------------------------------------------------------------


def _lost(g: Given, base: str, year: int) -> list[Piece]:
    """Sales at a loss of a year, in the order of the report."""
    found = [
        (p, s)
        for p, s in matched(g, base)
        if p.parcel.closed_on is not None and day_of(p.parcel.closed_on).year == year and p.result < 0
    ]
    return [p for p, _ in sorted(found, key=lambda x: (x[0].parcel.closed_on or 0, x[1]), reverse=True)]


@explains("wash_sales", "units", "loss", "disallowed")
def loss(view: View, row: Row) -> Explained:
    shown, base, year = row["_column"], view.base, year_of(view)
    line = Term("line", row["_row"] + 1, Kind.COUNT, note=f"of the sales at a loss in {year}, newest first")

    def cell(g: Given) -> Decimal | None:
        p = _lost(g, base, year)[g["line"] - 1]
        if shown == "units":
            return Decimal(booked_units(p, p.units)) / UNITS
        return money(p.result if shown == "loss" else p.disallowed)

    return Explained(
        FORMULAS.get(shown, "units of the parcel with this fate, as on the day of the sale"),
        cell,
        (line,),
        _behind(view, row, _in(year)),
    )


@explains("wash_sales", "lost", "disallowed", "deductible", "added", figure=True)
def losses(view: View, row: Row) -> Explained:
    key, base, year = row["_figure"].key, view.base, year_of(view)

    def amount(g: Given) -> Decimal:
        if key == "added":
            return money(sum(p.added for p, _ in matched(g, base) if p.parcel.closed_on is None)) or Decimal(0)
        found = _lost(g, base, year)
        lost, disallowed = (
            money(sum(v)) or Decimal(0) for v in ((p.result for p in found), (p.disallowed for p in found))
        )
        return {"lost": lost, "disallowed": disallowed, "deductible": lost + disallowed}[key]

    formulas = {"lost": f"Σ (proceeds − cost) of the sales at a loss in {year}", "disallowed": FORMULAS["disallowed"],
                "deductible": "Σ losses + Σ disallowed", "added": "Σ disallowed losses that moved into the cost of lots that are still open, of all years"}  # fmt: skip
    return Explained(formulas[key], amount, (), _behind(view, row, _in(year)))


@explains("wash_sales", "open", figure=True)
def windows(view: View, row: Row) -> Explained:
    table = row["_table"]
    columns = tuple(c for c in table.columns if c.key in ("symbol", "sold_on", "state", "free_from"))
    found = Evidence("Sales at a loss", columns, tuple(tuple(r[c.key] for c in columns) for r in table.records()))
    return Explained("number of sales at a loss not replaced so far, at most 30 days before the date looked at",
                     lambda g: sum(s == "window open" for s in g.column("Sales at a loss", "state")), (), (found, *_behind(view, row)))  # fmt: skip


# --- Form 8949 -------------------------------------------------------------------------------------

PART = {"short": "I", "long": "II"}


def _form(g: Given, base: str, year: int) -> list[Sale]:
    """The lines of a year in the order of the form."""

    def place(x: tuple[Sale, str]) -> tuple[Any, ...]:
        s, symbol = x
        p = s.piece
        units = booked_units(p, s.units)
        what = f"{said_units(units)} sh. {symbol}" if units else f"Cash for {symbol}"
        sold = day_of(p.parcel.closed_on or 0)
        return (
            PART[p.term],
            sold,
            what + (" (short sale)" if p.parcel.short else ""),
            sold if p.parcel.short else day_of(p.since),
        )

    return [s for s, _ in sorted(lines(g, base, year), key=place)]


NAMES = {"proceeds": "proceeds", "cost": "cost", "adjustment": "disallowed", "gain": "gain"}


@explains("form_8949", *NAMES)
def line(view: View, row: Row) -> Explained | None:
    shown, base, year = row["_column"], view.base, year_of(view)
    if row[shown] is None:
        return None
    place = Term("line", row["_row"] + 1, Kind.COUNT, note=f"of the form of {year}")
    return Explained(
        FORMULAS[NAMES[shown]],
        lambda g: _sum([_form(g, base, year)[g["line"] - 1]], NAMES[shown]),
        (place,),
        _behind(view, row, _in(year)),
    )


@explains("form_8949", *(f"{term}_{name}" for term in PART for name in NAMES), figure=True)
def part_sum(view: View, row: Row) -> Explained:
    term, _, name = row["_figure"].key.partition("_")
    base, year = view.base, year_of(view)
    return Explained(f"{FORMULAS[NAMES[name]]}; {term} term, sold in {year}",
                     lambda g: _sum([s for s, _ in lines(g, base, year) if s.piece.term == term], NAMES[name]), (), _behind(view, row, _in(year)))  # fmt: skip
