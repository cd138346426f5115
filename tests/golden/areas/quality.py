"""Data of a provider that contradict themselves, on the level of the last close."""

from __future__ import annotations

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.datasets import day, table_of
from core.quality import jumps, levels
from core.reasons import Reason

COLUMNS = ["date", "close", "adj_close", "dividend", "split"]


@handles("provider_repair")
def provider_repair(i: Inputs) -> Answers:
    """Closes as Yahoo serves them, adjusted for later splits."""
    if i["columns"] != COLUMNS:
        raise Refused(f"does not know the columns {i['columns']}")
    rows = sorted(i["rows"])
    close, adjusted, paid, split = table_of([row[1:] for row in rows]).T
    scale = levels(len(rows), jumps(close, split[split > 0].tolist(), paid))
    if isinstance(scale, Reason):
        raise Refused(str(scale))
    return {
        "bad_dates": [day(rows[n][0]) for n in np.flatnonzero(scale != 1).tolist()],
        "fixed_close": close * scale,
        "fixed_adj_close": adjusted * scale,
    }
