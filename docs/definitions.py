"""Writes docs/definitions.md from the docstrings of returns, metrics and the functions of CHAPTERS: `python docs/definitions.py`. A
test compares.
"""

import inspect
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core import VERSION, expected, income, prices, quality, reasons, returns, split_matching, unbooked
from core.attribution import brinson, linking
from core.metrics import METRICS
from core.optimise import expected_returns, frontier, targets
from core.risk import component

HERE = Path(__file__).resolve().parent
HEAD = f"""# Definitions

How every figure is calculated, taken from the docstrings of the code (`python docs/definitions.py` writes this file).
Calculation version {VERSION}. A percent is a fraction in code and API, × 100 only where it is shown. Conventions that
all of them follow: simple returns, 252 sessions a year, sample deviation (n - 1), the risk-free rate subtracted per
period; a loss in a return is negative, a metric named after a loss is positive.
"""
CHAPTERS = (
    ("Attribution", (brinson, linking)),
    ("Component VaR", (component,)),
    ("Optimal weights", (expected_returns, frontier, targets)),
    ("Income", (income,)),
    ("Income to come", (expected,)),
    ("Adjusted prices", (prices,)),
    ("Price checks", (quality,)),
    ("Corporate actions not booked", (unbooked,)),
    ("Which split is which", (split_matching,)),
)


def text() -> str:
    """The whole page."""
    parts = [HEAD, "## Returns\n"]
    for name, function in inspect.getmembers(returns, inspect.isfunction):
        if function.__module__ == returns.__name__ and not name.startswith("_") and name not in ("floats", "days_of"):
            parts.append(f"### `{name}`\n\n{inspect.getdoc(function)}\n")
    module = ""
    for m in METRICS.values():
        if m.function.__module__ != module:
            module = m.function.__module__
            parts.append(f"## {module.rpartition('.')[2].capitalize()}\n")
        year = ", a year of them where the return is annualised" if m.a_year else ""
        facts = f"`{m.name}` · {m.kind} · version {m.version} · asks for {', '.join(m.inputs)}"
        parts.append(f"### {m.title}\n\n{facts} · observations needed: {m.minimum}{year}\n\n{m.definition}\n")
    for title, modules in CHAPTERS:
        parts.append(f"## {title}\n")
        for module_ in modules:
            for name, function in inspect.getmembers(module_, inspect.isfunction):
                if function.__module__ == module_.__name__ and not name.startswith("_"):
                    parts.append(f"### `{name}`\n\n{inspect.getdoc(function)}\n")
    parts.append("## Why a figure is undefined\n")
    for name, kind in inspect.getmembers(reasons, inspect.isclass):
        if kind.__module__ == reasons.__name__:
            parts.append(f"- `{name}`: {inspect.getdoc(kind)}")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    (HERE / "definitions.md").write_text(text(), encoding="utf-8")
