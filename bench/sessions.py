"""50 and 100 people on the overview page of the product with the demo, beside the same pages with Streamlit's defaults."""

from __future__ import annotations

import json
import sys

import numpy as np

from bench import product
from bench.measure import Row, human

SECONDS, THINK = 25.0, 5.0  # how long each setting is watched; how long a person looks at a page


def watched(address: str, count: int, seconds: float, think: float) -> dict[str, float]:
    """The figures of so many people, after one of them alone has warmed the pages up."""
    for n, length in ((1, 2.0), (count, seconds)) if count > 2 else ((count, seconds),):
        process = product.people(address, n, length, think if n > 1 else 0.2)
        out, _ = process.communicate(timeout=length + 120)
        found = json.loads(out)
    if found["failed"] or not found["rerun"]:
        raise RuntimeError(f"{len(found['failed'])} of {count} sessions failed: {found['failed'][:3]}")
    taken = np.array(found["rerun"])
    return {
        "p50": float(np.quantile(taken, 0.5)),
        "p95": float(np.quantile(taken, 0.95)),
        "rate": len(taken) / seconds,
        "drawn": float(np.median(found["drawn"])),
        "late": found["late"],
    }


def measure(small: bool = False) -> list[Row]:
    """p50 and p95 for each number of people, and how many reruns a second were served."""
    counts, seconds, think = ((2,), 3.0, 0.5) if small else ((1, 50, 100), SECONDS, THINK)
    rows = []
    with product.product() as ours, product.defaults(ours) as theirs:
        for count in counts:
            alone = count == 1
            length, pause = (8.0, 0.3) if alone else (seconds, think)
            a, b = (watched(each.address, count, length, pause) for each in (ours, theirs))
            if a["drawn"] != b["drawn"] and not small:
                sys.stderr.write(f"the pages differ: {a['drawn']} and {b['drawn']} elements\n")
            for name in ("p50", "p95"):
                ratio, aimed = b[name] / a[name], count == 100 and name == "p95"
                rows.append(
                    Row(
                        f"{count} on the overview, rerun {name}",
                        f"{human(a[name])} ({a['rate']:.0f}/s)",
                        f"Streamlit's defaults: {human(b[name])} ({b['rate']:.0f}/s)",
                        f"{ratio:,.1f} ×",
                        "≥ 50 ×" if aimed else "",
                        ratio >= 50 if aimed else None,
                    )
                )
    return rows
