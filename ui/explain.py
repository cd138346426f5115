"""Explain this number, on the page: a click on a cell, or on the mark beside a card, opens where it comes from.

    explain.hint()                                          # once a page: the line that says so
    explain.table(here, table, key="holdings")              # a table whose cells explain themselves; its chosen row with select=True
    explain.cards(here, table)                              # cards with a mark each; `only` names them
    explain.cells(here, figures, {"value": ("holdings", 3)})  # cards that are cells of reports
All take the same `changes` of the scope that the table was asked with. A table that shows a part of its report says which rows
they are (`places`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.explain import Evidence, Explanation
from core.table import Figure, Kind, Table
from ui import errors, show
from ui.scope import Look

SHOWN_ROWS = 200


def hint(also: str = "") -> None:
    """How to ask, in one quiet line."""
    st.caption("Select a cell to see how its number comes about." + (f" {also}" if also else ""))


def table(
    here: Look,
    shown: Table,
    *,
    key: str,
    changes: dict[str, Any] | None = None,
    select: bool = False,
    places: Sequence[int] | None = None,
    **named: Any,
) -> int | None:
    """`show.table` whose cells open their explanation under it; the place of the chosen row with `select`."""
    row, cell = show.choosable(shown, key=key, select=select, **named)
    if cell is not None:
        place, column = cell
        with errors.told():
            found = here.explain(shown.name, column, place if places is None else places[place], **(changes or {}))
            _panel(here, found, f"{key}_why")
        if select and row is None:
            row = place
    if shown.total is not None and shown.rows:
        _total(here, shown, key, changes or {})
    return row


def _total(here: Look, shown: Table, key: str, changes: dict[str, Any]) -> None:
    """The cells of the total row, to be explained as well."""
    cells = dict(zip((c.key for c in shown.columns), shown.total or (), strict=True))
    choices = {c.key: c.title for c in shown.columns if c.kind in show.NUMERIC and cells[c.key] is not None}
    if not choices:
        return
    with st.popover("Explain a total", icon=":material/function:", type="tertiary"):
        picked = st.pills(
            "Explain a total",
            list(choices),
            format_func=lambda k: choices[k],
            key=f"{key}_total",
            label_visibility="collapsed",
        )
    if picked:
        with errors.told():
            _panel(here, here.explain(shown.name, str(picked), None, **changes), f"{key}_total_why")


def cards(
    here: Look, shown: Table, most: int = 6, changes: dict[str, Any] | None = None, only: Sequence[str] = ()
) -> None:
    """Figures as cards, each with the mark that explains it."""
    figures = [shown.figure(key) for key in only] if only else shown.figures
    show.cards(figures, most, mark=lambda f: _mark(here, shown.name, f, None, changes or {}))


def cells(here: Look, figures: Sequence[Figure], places: Mapping[str, tuple[str, int]], most: int = 6) -> None:
    """Cards that are cells of reports: by the key of the figure the report and the row in whose column of that key it stands."""

    def mark(f: Figure) -> None:
        if f.key in places:
            _mark(here, places[f.key][0], f, places[f.key][1], {})

    show.cards(figures, most, mark=mark)


def _mark(here: Look, name: str, f: Figure, row: int | None, changes: dict[str, Any]) -> None:
    if st.button(
        "Explain",
        icon=":material/function:",
        type="tertiary",
        key=f"why_{name}_{f.key}",
        help=f"How “{show.plain(f.title)}” comes about",
    ):
        _dialog(here, name, f, row, changes)


@st.dialog("Where this number comes from", width="large", icon=":material/function:")
def _dialog(here: Look, name: str, f: Figure, row: int | None, changes: dict[str, Any]) -> None:
    with errors.told():
        found = (
            here.explain(name, None, None, f.key, **changes)
            if row is None
            else here.explain(name, f.key, row, **changes)
        )
        _body(here, found, f"why_{name}_{f.key}")


def _panel(here: Look, found: Explanation, key: str) -> None:
    with st.container(border=True, key=key):
        _body(here, found, key)


def _body(here: Look, found: Explanation, key: str) -> None:
    """Title, value, formula, terms, and every piece of evidence as a table with its CSV."""
    st.markdown(f"**{show.plain(found.title)}** = {show.plain(_said(found.value, found.kind, found.currency))}")
    st.markdown(f":material/function: {show.plain(found.formula)}")
    if found.reason:
        st.warning(f"Missing: {show.plain(str(found.reason))}", icon=":material/info:")
    if found.terms:
        show.facts(
            {t.name: _said(t.value, t.kind, t.currency) + (f" · {t.note}" if t.note else "") for t in found.terms}
        )
    again = found.recomputed
    agrees = again == found.value or _said(again, found.kind, found.currency) == _said(
        found.value, found.kind, found.currency
    )
    if found.value is not None:
        st.caption(f":material/check: Worked out again from what is shown here: {show.plain(_said(again, found.kind, found.currency))}." if agrees else
                    f":material/error: Worked out again it is {show.plain(_said(again, found.kind, found.currency))}: please report this.")  # fmt: skip
    for i, piece in enumerate(found.evidence):
        if piece.rows:
            _evidence(here, found, piece, f"{key}_{i}")
    known = f", as known on {found.context.known_at:%Y-%m-%d %H:%M} UTC" if found.context.known_at else ""
    st.caption(f"As of {show.day(found.context.as_of)}{known} · calculation version {found.context.version}")


def _evidence(here: Look, found: Explanation, piece: Evidence, key: str) -> None:
    noun = "row" if len(piece.rows) == 1 else "rows"
    with st.expander(f"{show.plain(piece.title)} ({len(piece.rows):,} {noun})", expanded=len(piece.rows) <= 5):
        shown = piece.table(found.context)
        show.table(shown, key=key, rows=SHOWN_ROWS)
        if len(piece.rows) > SHOWN_ROWS:
            st.caption(f"The first {SHOWN_ROWS} of {len(piece.rows):,}; the CSV has all.")
        show.notes(shown)


def _said(value: Any, kind: Kind, currency: str | None) -> str:
    if isinstance(value, str):
        return value
    said = show.text(value, kind, currency if kind is Kind.MONEY else None)
    return f"{said} {currency}" if currency and kind in (Kind.MONEY, Kind.PRICE) and said != show.MISSING else said
