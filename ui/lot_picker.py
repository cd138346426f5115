"""Lots on the page: choosing those that a sale takes, and what an entry does to them before it is booked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pandas as pd
import streamlit as st

from core import VERSION, importing
from core.book import Book
from core.fx import day_number, exact
from core.ledger import LedgerError, Security
from core.methods import method_on
from core.preview import PRESETS, Effect, OpenLot, open_lots, preset, unrealised
from core.table import Column, Context, Kind, Table
from core.tax import holding_term
from ui import show

COLUMNS = (
    Column("symbol", "Symbol"),
    Column("opened_on", "Bought", Kind.DATE),
    Column("units", "Units", Kind.UNITS, "negative where it is short"),
    Column("cost", "Cost", Kind.MONEY, "in the security's currency, purchase fees included"),
    Column("unit_cost", "Cost per unit", Kind.PRICE, "cost / units", wide_only=True),
)


def pick(n: str, cells: dict[str, str], security: Security, book: Book) -> str:
    """Let the reader choose lots; the cell `lots` (empty: the portfolio's method decides). Says why where nothing can be chosen."""
    try:
        on = importing.day("date", cells.get("date", ""))
        quantity = importing.number("quantity", cells.get("quantity", ""))
        price = importing.number("price", cells.get("price", ""))
    except LedgerError:
        return ""
    method = method_on(book.portfolio.dated_methods, day_number(on))
    if method == "average":
        st.caption(
            ":material/info: Average cost is in force on that day: all units are one pool, so lots cannot be chosen."
        )
        return ""
    if not st.toggle("Choose the lots", value=method == "specific", key=f"{n}_choose",
                     help="Which purchases this takes its units from. Otherwise the portfolio's cost method decides.", persist_state="session"):  # fmt: skip
        return ""
    lots = open_lots(book, security.security_id, on)
    if not lots:
        st.caption(f"No {show.plain(security.symbol)} is held on that day.")
        return ""
    rule = st.segmented_control("Start from", PRESETS, default="First in", key=f"{n}_preset", persist_state="session")
    start = preset(lots, quantity or Decimal(0), str(rule)) if rule else [Decimal(0)] * len(lots)
    frame = pd.DataFrame(
        {
            "take": [float(units) for units in start],
            "bought": [lot.opened_on for lot in lots],
            "units": [show.text(abs(lot.units), Kind.UNITS) for lot in lots],
            "cost": [show.text(lot.cost, Kind.MONEY, security.currency) for lot in lots],
            "each": [show.text(lot.unit_cost, Kind.PRICE) for lot in lots],
            "gain": [show.text(unrealised(lot, price), Kind.MONEY, security.currency, signed=True) for lot in lots],
            "held": [(on - lot.opened_on).days for lot in lots],
            "term": [holding_term(lot.opened_on, on) if lot.units > 0 else "short" for lot in lots],
        }
    )
    text = st.column_config.TextColumn
    edited = st.data_editor(
        frame,
        hide_index=True,
        disabled=[c for c in frame.columns if c != "take"],
        key=f"{n}_lots_{security.security_id}_{on}_{rule}_{quantity}",
        column_config={
            "take": st.column_config.NumberColumn("Take", help="Units of this lot; they add up to the quantity", min_value=0.0, format="%.10g", pinned=True),
            "bought": st.column_config.DateColumn("Bought", format="YYYY-MM-DD"),
            "units": text("Open units", alignment="right"),
            "cost": text(f"Cost in {security.currency}", alignment="right"),
            "each": text("Cost per unit", alignment="right"),
            "gain": text("Unrealised gain", alignment="right", help="At the price entered; without one it cannot be said"),
            "held": st.column_config.NumberColumn("Days held"),
            "term": text("Term", help="Long: held for more than a year on that day"),
        },
        alt=f"Open lots of {security.symbol}",
    )  # fmt: skip
    taken = [Decimal(0) if pd.isna(x) else exact(x) for x in edited["take"].tolist()]
    _sum(taken, quantity)
    return ";".join(f"{lot.lot}:{importing.plain(units)}" for lot, units in zip(lots, taken, strict=True) if units)


def _sum(taken: Sequence[Decimal], quantity: Decimal | None) -> None:
    """Say how many units are chosen."""
    total = sum(taken, Decimal(0))
    if quantity is None:
        st.caption("Enter the quantity first: the chosen units must add up to it.")
    elif total != quantity:
        st.markdown(f":red[:material/error: {show.text(total, Kind.UNITS)} of {show.text(quantity, Kind.UNITS)} units are chosen: they must add up.]")  # fmt: skip
    else:
        st.caption(f"✓ {show.text(total, Kind.UNITS)} of {show.text(quantity, Kind.UNITS)} units are chosen.")


def lots_table(name: str, title: str, lots: Sequence[OpenLot], on: date) -> Table:
    """Lots as a table."""
    rows = tuple((x.security.symbol, x.opened_on, x.units, x.cost, x.unit_cost) for x in lots)
    currency = lots[0].security.currency if lots else None
    return Table(name, title, COLUMNS, rows, Context(on, currency, VERSION), empty="None.")


def before_and_after(n: str, seen: Effect, on: date) -> None:
    """The lots before and after, side by side, and what becomes of their cost."""
    left, right = st.columns(2)
    for place, name, title, lots in (
        (left, "before", "Lots before", seen.before),
        (right, "after", "Lots after", seen.after),
    ):
        with place:
            st.markdown(f"**{title}**")
            if lots:
                show.table(lots_table(f"lots_{name}", title, lots, on), key=f"{n}_{name}_{len(lots)}", foot=False)
            else:
                st.caption("None.")
    currency = (seen.before or seen.after)[0].security.currency
    st.caption(cost_line(seen, currency))


def cost_line(seen: Effect, currency: str) -> str:
    """What becomes of the cost, in a sentence."""
    before, after = show.money(seen.cost_before, currency), show.money(seen.cost_after, currency)
    if seen.cost_before == seen.cost_after:
        return f"✓ The cost is kept to the cent: {before} before and after."
    return f"Cost {before} before, {after} after."


def realised(seen: Effect, base: str) -> str:
    """The gain that is realised, for the sentence of the preview; empty where nothing is."""
    if not seen.closed:
        return ""
    if seen.gain_base is None:
        return "realised gain not known: there is no rate for one of its days"
    return f"realised gain {show.money(seen.gain_base, base, signed=True)}"
