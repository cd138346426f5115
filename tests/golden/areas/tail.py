"""Value at risk, expected shortfall and their back-tests."""

from __future__ import annotations

from collections.abc import Callable

from areas import Answers, Inputs, Refused, handles
from areas.datasets import day, numbers
from core.metrics import tail
from core.returns import Floats

# the sources print the quantile of the returns itself: a loss is negative
VAR: dict[str, Callable[[Floats, float], float]] = {
    "quantile_linear": lambda r, c: -tail.value_at_risk(r, c, None),
    "var_hist_linear": lambda r, c: -tail.value_at_risk(r, c, None),
    "es_hist_leq": lambda r, c: -tail.expected_shortfall(r, c, None),
    "var_gauss_pop": lambda r, c: -tail.parametric_var(r, c, None, 0),
    "es_gauss_pop": lambda r, c: -tail.parametric_shortfall(r, c, None, 0),
    "var_cornish_fisher_pop": lambda r, c: -tail.modified_var(r, c, None),
}


@handles("var")
def var(i: Inputs) -> Answers:
    values = numbers(i["returns"])
    if "dates" in i and [day(d) for d in i["dates"]] != sorted({day(d) for d in i["dates"]}):
        raise Refused("the dates do not rise, or stand twice")
    confidence = float(i["confidence"]) if "confidence" in i else 1 - float(i["cutoff"])
    return {"value": i.word("stat", VAR)(values, confidence)}


@handles("kupiec_ratio", "kupiec_pof")
def kupiec(i: Inputs) -> Answers:
    test = tail.kupiec(i["observations"], i["exceptions"], float(i["p"]))
    return {
        "observed_level": test.observed_level,
        "expected": test.expected,
        "ratio": test.ratio,
        "lr": test.statistic,
        "p_value": test.p_value,
    }
