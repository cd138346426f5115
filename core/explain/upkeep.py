"""How a difference between two adjusted closes comes about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.explain import Explained, Term, explains
from core.table import Kind
from core.view import View


@explains("adjusted_closes", "difference")
def difference(view: View | None, row: Mapping[str, Any]) -> Explained | None:
    if row["difference"] is None:
        return None
    terms = (Term("ours", row["ours"], Kind.PRICE), Term("theirs", row["theirs"], Kind.PRICE))
    return Explained("ours ÷ theirs − 1", lambda g: g["ours"] / g["theirs"] - 1, terms)
