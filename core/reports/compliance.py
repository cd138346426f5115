"""Which rules hold and which are breached."""

from __future__ import annotations

from core.reports import Made, report
from core.rules import check
from core.table import Column, Figure, Kind
from core.view import View


@report(
    "Rules",
    Column("rule", "Rule"),
    Column(
        "state",
        "State",
        note="breach, near (from 90 % of the limit), ok, unknown (nothing to measure, or prices are missing)",
    ),
    Column("measured", "Measured", Kind.PERCENT, "the measure nearest to the limit, or beyond it"),
    Column("limit", "Limit", Kind.PERCENT),
    Column("side", "Must be", wide_only=True),
    Column("worst", "Where"),
    Column("exposure", "Counts", note="gross: longs and shorts added up; net: shorts taken from longs, by size", wide_only=True),
    Column("severity", "Severity", wide_only=True),
    Column("beyond", "Beyond the limit", note="everything that breaks the rule", wide_only=True),
    Column("definition", "Definition", wide_only=True),
    empty="No rules are set.",
)
def compliance(view: View) -> Made:
    """Every rule with its limit, what was measured, and what breaks it. Shares are of the total value, cash included."""
    found = check(view)
    rows = [
        (f.rule.title, f.state, f.value, f.limit, "at least" if f.rule.at_least else "at most", f.worst, f.rule.exposure, f.severity,
         ", ".join(f"{name} {share:.2%}" for name, share in sorted(f.beyond, key=lambda b: -b[1])), f.rule.definition)
        for f in found
    ]  # fmt: skip
    counts = {s: sum(f.state == s for f in found) for s in ("breach", "near", "ok", "unknown")}
    figures = tuple(Figure(s, title, counts[s], Kind.COUNT) for s, title in
                    (("breach", "Breached"), ("near", "Near their limit"), ("ok", "Kept"), ("unknown", "Not known")))  # fmt: skip
    return Made(rows, figures, notes=view.value_notes)
