"""How the figures of an entry come about: what was entered is recorded; the cash follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.explain import Explained, Given, Term, explains
from core.ledger import CASH, TRANSFERS
from core.money import posted
from core.table import Kind
from core.view import View

Row = Mapping[str, Any]


@explains("transactions", "net")
def net(view: View | None, row: Row) -> Explained | None:
    kind, currency, fx = str(row["kind"]).replace(" ", "_"), row["currency"], row["fx"]
    if kind == "reversal":
        return Explained(
            "0: a reversal moves no cash of its own, the entry that it takes back counts no longer",
            lambda g: Decimal(0),
        )
    in_kind = kind in TRANSFERS and bool(row["symbol"])
    plus, fee, tax = CASH[kind]
    plus = 0 if in_kind else plus
    said = " ".join(
        f"{'+' if sign > 0 else '−'} {name}" for sign, name in ((plus, "gross"), (fee, "fees"), (tax, "taxes")) if sign
    )
    said = said.removeprefix("+ ") or "0: no cash moves"
    terms = tuple(Term(name, row[name] or Decimal(0), Kind.MONEY, currency) for name in ("gross", "fees", "taxes"))

    def moved(g: Given) -> Decimal:
        amount: Decimal = g["gross"] * plus + g["fees"] * fee + g["taxes"] * tax
        return amount if fx is None else posted(amount * g["FX"], row["cash_currency"])

    if fx is not None:
        said, terms = (
            f"({said}) × FX, rounded to the cent",
            (*terms, Term("FX", fx, Kind.PRICE, row["cash_currency"], "as settled")),
        )
    return Explained(said, moved, terms, note="A transfer in kind moves units, not cash." if in_kind else "")
