"""Golden cases as calls of the product: `evaluate(case)` gives the keys of `expected`, or None (REFUSED says why).

The handlers stand by area in `areas/`. To take on a new kind, write a handler there with `@handles`; to give one up, delete it and
write its reason into REFUSED. Where only some cases of a kind are refused, the reason of the first one is added as it is met.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it may be run by path, from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parent))

from areas import HANDLERS, Answers, Inputs, Refused, load
from areas.datasets import SHARED

from core.reasons import Reason

load()

__all__ = ["REFUSED", "SHARED", "answers", "evaluate"]

REFUSED: dict[str, str] = {
    "duplicate_split": "of one split told for two days the product does not say which day is right",
    "ledger_categories": "there is no statement of a period by capital gains, currency gains, earnings, fees and taxes yet",
    "component_var": "one number of a component VaR: the product answers one part per holding",
}


def evaluate(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answers of the product under the keys of `expected`; None where it does not offer the convention."""
    try:
        found = answers(case)
    except Refused as why:
        REFUSED.setdefault(case["kind"], str(why))
        return None
    return {key: plain(found[key], expected) for key, expected in case["expected"].items()}


def answers(case: Mapping[str, Any]) -> Answers:
    """The same as the product gives them: Decimals, dates, typed reasons. Raises Refused, saying why."""
    kind = case["kind"]
    if kind not in HANDLERS:
        raise Refused(REFUSED.get(kind, "no handler of this kind"))
    inputs = Inputs(case["inputs"], case.get("definition", ""))
    try:
        found = HANDLERS[kind](inputs)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # the product's own errors are ValueErrors
        raise Refused(f"{type(error).__name__}: {error}") from error
    if inputs.unread:
        raise Refused(f"does not read {', '.join(inputs.unread)}")
    if missing := sorted(set(case["expected"]) - set(found)):
        raise Refused(f"does not answer {', '.join(missing)}")
    return found


def plain(value: Any, like: Any = None) -> Any:
    """A value as JSON carries it. A typed reason is null, as in the product's own answers; a number that is none is "NaN".

    Rows (dicts in a list) are laid out with the columns that the rows of `like` have.
    """
    if value is None or isinstance(value, Reason):
        return None
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), like)
    if isinstance(value, list | tuple):
        rows = [row for row in like if isinstance(row, dict)] if isinstance(like, list) else []
        columns = {key for row in rows for key in row}
        return [plain({k: v for k, v in row.items() if not columns or k in columns} if isinstance(row, dict) else row)
                for row in value]  # fmt: skip
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | np.floating):
        value = float(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
