"""How the differences to a custodian's statement come about: theirs − ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.explain import Evidence, Explained, Given, Term, explains
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
ROWS = "Rows"


@explains("reconciliation", "unit_difference", "price_difference", "value_difference")
def difference(view: View | None, row: Row) -> Explained | None:
    """Where one side has nothing it counts as zero."""
    shown = row["_column"]
    if row[shown] is None:
        return None
    ours, theirs = {"unit_difference": ("our_units", "their_units"), "price_difference": ("our_price", "their_price"),
                    "value_difference": ("our_value", "their_value")}[shown]  # fmt: skip
    kind = {"unit_difference": Kind.UNITS, "price_difference": Kind.PRICE, "value_difference": Kind.MONEY}[shown]
    note = "" if row[ours] is not None and row[theirs] is not None else "nothing there counts as zero"
    terms = (Term("theirs", row[theirs] or Decimal(0), kind, row["currency"], note if row[theirs] is None else ""),
             Term("ours", row[ours] or Decimal(0), kind, row["currency"], note if row[ours] is None else ""))  # fmt: skip
    if shown == "price_difference":
        return Explained("(theirs − ours) ÷ ours", lambda g: float((g["theirs"] - g["ours"]) / g["ours"]), terms)
    return Explained("theirs − ours", lambda g: g["theirs"] - g["ours"], terms)


def counted(key: str, found: Evidence) -> Explained:
    """How many rows have a verdict, or are open."""

    def number(g: Given) -> int:
        pairs = zip(g.column(ROWS, "verdict"), g.column(ROWS, "decision"), strict=True)
        return sum((d == "open" if d else v != "matched") if key == "open" else v == key for v, d in pairs)

    formula = (
        "number of rows that differ and are neither accepted nor fixed, or were opened again"
        if key == "open"
        else f"number of rows whose verdict is {key}"
    )
    return Explained(formula, number, (), (found,))


COLUMNS = (Column("symbol", "Symbol"), Column("verdict", "Verdict"), Column("ours", "Ours", Kind.UNITS), Column("theirs", "Theirs", Kind.UNITS), Column("decision", "Decision"))  # fmt: skip


@explains("reconciliation", "open", "matched", "quantity", "price", "missing", "extra", figure=True)
def count(view: View | None, row: Row) -> Explained:
    records = row["_table"].records()
    rows = tuple((r["symbol"], r["verdict"], r["our_units"], r["their_units"], r["decision"]) for r in records)
    return counted(row["_figure"].key, Evidence(ROWS, COLUMNS, rows))


@explains("reconciliations", "open", "matched", "quantity", "price", "missing", "extra")
def counts(view: View | None, row: Row) -> Explained:
    kept = row["_inputs"]["reconciliations"][row["_row"]]
    rows = tuple(
        (x.symbol, x.verdict, x.our_units, x.their_units, last.decision if (last := kept.decision(x.key)) else None)
        for x in kept.result.rows
    )
    return counted(row["_column"], Evidence(ROWS, COLUMNS, rows))
