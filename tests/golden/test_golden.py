"""Figures from outside: every case of ../shared/golden, and our worked examples for every metric."""

import inspect
import json
import math
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from areas import HANDLERS, REMARKS, Inputs, Refused, bacon, books, handles, imports, performance, series, tail
from evaluate import REFUSED, SHARED, answers, evaluate
from worked import PUBLISHED, WORKED, Example

from core.brokers import FORMATS
from core.metrics import METRICS
from core.reasons import NoRate, Reason

GOLDEN = SHARED / "golden"
CASES = [
    case for file in sorted(GOLDEN.glob("*.json")) for case in json.loads(file.read_text(encoding="utf-8"))["cases"]
]
MOST_REFUSED = 8  # of the 188 cases
needs_cases = pytest.mark.skipif(not CASES, reason="the folder ../shared/golden is not beside the checkout")


def close(got: Any, expected: Any, tolerance: dict[str, float], key: str = "") -> bool:
    """Whether the answer is the expected one, within the tolerance of its key."""
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(close(got[k], v, tolerance, k) for k, v in expected.items())
    if isinstance(expected, list):
        return len(got) == len(expected) and all(
            close(g, e, tolerance, key) for g, e in zip(got, expected, strict=True)
        )
    if isinstance(expected, bool | str) or expected is None or not isinstance(got, int | float):
        return bool(got == expected)
    allowed = tolerance.get(key, tolerance.get("abs", 0.0))
    return abs(got - expected) <= max(allowed, tolerance.get("rel", 0.0) * abs(expected))


@pytest.mark.shared
@needs_cases
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_product_gives_the_figure_of_the_source(case: dict[str, Any]) -> None:
    got = evaluate(case)
    if got is None:
        pytest.skip(f"{case['kind']}: {REFUSED[case['kind']]}")
    assert close(got, case["expected"], case["tolerance"]), f"{got} is not {case['expected']}: {case['definition']}"


@pytest.mark.shared
@needs_cases
def test_few_cases_are_refused_and_each_says_why() -> None:
    refused = [case["id"] for case in CASES if evaluate(case) is None]
    assert len(refused) <= MOST_REFUSED * len(CASES) / 188, refused
    assert all(REFUSED[case["kind"]] for case in CASES if case["id"] in refused)


KNOWN_WORDS: dict[tuple[str, str], Any] = {
    ("aggregate_returns", "freq"): series.INDEXED,
    ("bacon", "stat"): bacon.BACON,
    ("capm", "stat"): bacon.CAPM,
    ("dataset_stat", "field"): ("close",),
    ("dataset_stat", "stat"): ("annual_performance", "total_return", "tracking_error", "var_parametric_252"),
    ("import_balances", "broker"): (*FORMATS, *imports.NAMES, "raw"),
    ("import_rows", "broker"): FORMATS,
    ("import_rows", "subset"): ("trades",),
    ("ledger_gains", "method"): books.METHODS,
    ("lots_match", "method"): books.METHODS,
    ("panel_period", "stat"): series.PANEL,
    ("series_stat", "stat"): series.SERIES,
    ("trade_sequence", "method"): books.METHODS,
    ("var", "stat"): tail.VAR,
    ("xirr", "day_count"): performance.YEARS,
}


@pytest.mark.shared
@needs_cases
def test_every_kind_key_and_word_of_the_list_is_known_or_refused_with_a_reason() -> None:
    """KINDS.md lists the kinds of the cases that are kept aside as well, their keys, and the words that they use."""
    sections = re.split(r"^## ", (GOLDEN / "KINDS.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(sections) > 70
    for section in sections:
        kind = section.split(None, 1)[0]
        assert kind in HANDLERS or kind in REFUSED, kind
        if kind not in HANDLERS:
            continue
        source = inspect.getsource(inspect.getmodule(HANDLERS[kind]))  # type: ignore[arg-type]
        keys = re.findall(r"`(\w+)`", re.search(r"^in: (.*)", section, re.MULTILINE)[1])  # type: ignore[index]
        assert not [key for key in keys if f'"{key}"' not in source and key not in REMARKS], kind
        for key, words in re.findall(r"^words of `(\w+)`: (.*)", section, re.MULTILINE):
            assert not set(words.split(", ")) - set(KNOWN_WORDS[kind, key]), (kind, key)


# --- the evaluator itself -----------------------------------------------------------------------------------------


def case_of(kind: str, inputs: dict[str, Any], *expected: str) -> dict[str, Any]:
    return {"kind": kind, "inputs": inputs, "expected": dict.fromkeys(expected)}


def test_a_key_that_is_not_read_refuses_the_case() -> None:
    inputs = {"cashflows": [["2023-01-01", -100], ["2024-01-01", 110]]}
    assert evaluate(case_of("xirr", inputs, "xirr")) == {"xirr": pytest.approx(0.1)}
    assert evaluate(case_of("xirr", {**inputs, "compounding": "continuous"}, "xirr")) is None
    with pytest.raises(Refused, match="does not read compounding"):
        answers(case_of("xirr", {**inputs, "compounding": "continuous"}, "xirr"))


def test_a_word_that_is_not_known_refuses_the_case() -> None:
    """Of a day count as well: 360 days give another rate, 30/360 none."""
    inputs = {"cashflows": [["2023-01-01", -100], ["2024-01-01", 110]], "day_count": "act/360"}
    assert evaluate(case_of("xirr", inputs, "xirr")) == {"xirr": pytest.approx(1.1 ** (360 / 365) - 1)}
    with pytest.raises(Refused, match="does not know the day_count '30/360'"):
        answers(case_of("xirr", {**inputs, "day_count": "30/360"}, "xirr"))
    with pytest.raises(Refused, match="does not know the stat 'treynor_black'"):
        answers(case_of("series_stat", {"stat": "treynor_black", "returns": [0.1]}, "value"))


def test_a_key_that_is_asked_for_and_not_answered_refuses_the_case() -> None:
    with pytest.raises(Refused, match="does not answer moic"):
        answers(case_of("xirr", {"cashflows": [["2023-01-01", -100], ["2024-01-01", 110]]}, "xirr", "moic"))


def test_a_typed_reason_stays_one_and_is_null_outside() -> None:
    """Not NaN, which says that a formula has no number; and not 0."""
    asked = case_of("fx_lookup", {"rates": [], "date": "2024-01-02"}, "rate")
    assert isinstance(answers(asked)["rate"], NoRate)
    assert evaluate(asked) == {"rate": None}
    flat = case_of("series_stat", {"stat": "beta", "returns": [0.1, 0.2], "bench": [0.1, 0.1]}, "value")
    assert evaluate(flat) == {"value": "NaN"}


@pytest.mark.parametrize(
    ("kind", "inputs", "key", "expected"),
    [
        ("series_stat", {"stat": "sharpe", "returns": [None, "NaN"], "rf": 0.0}, "value", "NaN"),
        ("series_stat", {"stat": "annual_vol", "returns": [0.01]}, "value", "NaN"),
        ("series_stat", {"stat": "rolling_sharpe", "returns": [0.01], "window": 6}, "value", []),
        ("series_stat", {"stat": "omega", "returns": [0.01, 0.02]}, "value", "NaN"),
        ("series_stat", {"stat": "sortino", "returns": [0.01, 0.02], "mar": 0.0}, "value", "Infinity"),
        ("cum_returns", {"returns": []}, "cumulative", []),
        ("drawdown_recovery_days", {"equity": [], "dates": "consecutive calendar days"}, "max_recovery_days", 0),
        ("dividend_periodicity", {"payment_dates": []}, "periodicity", "NONE"),
        ("xirr_undefined", {"cashflows": []}, "defined", False),
        ("xirr", {"cashflows": []}, "xirr", None),
        ("twr_ledger", {"start": "2024-01-01", "end": "2024-01-03", "events": []}, "total", 0.0),
    ],
)
def test_nothing_given_is_no_error(kind: str, inputs: dict[str, Any], key: str, expected: Any) -> None:
    assert evaluate(case_of(kind, inputs, key)) == {key: expected}


def test_rows_are_laid_out_with_the_columns_that_are_asked_for() -> None:
    lots = {"method": "HIFO", "sells": [5], "open_lots": [
        {"date": "2024-01-02", "qty": 5, "unit_cost": 10.0}, {"date": "2024-01-03", "qty": 5, "unit_cost": 12.0}]}  # fmt: skip
    asked = {"kind": "lots_match", "inputs": lots, "expected": {"consumed": [{"date": "", "unit_cost": 0}]}}
    assert evaluate(asked) == {"consumed": [{"date": "2024-01-03", "unit_cost": 12.0}]}


def test_a_kind_has_one_handler() -> None:
    with pytest.raises(ValueError, match="xirr has two handlers"):
        handles("xirr")(lambda i: {})


def test_inputs_remember_what_was_read() -> None:
    given = Inputs({"a": 1, "b": 2, "note": "a remark changes no figure"})
    assert "b" in given
    assert given["a"] == 1
    assert given.unread == ["b"]


# --- our own examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", WORKED, ids=[f"{e.metric}-{i}" for i, e in enumerate(WORKED)])
def test_a_worked_example_comes_out(example: Example) -> None:
    got = METRICS[example.metric](**example.inputs, **example.options)
    if isinstance(example.expected, Reason | date):
        assert got == example.expected, example.why
    else:
        assert got == pytest.approx(example.expected, rel=1e-12, abs=example.tolerance), example.why


@pytest.mark.parametrize("example", PUBLISHED, ids=[e.metric for e in PUBLISHED])
def test_a_published_figure_comes_out(example: Example) -> None:
    got = METRICS[example.metric].function(**example.inputs, **example.options)
    assert got == pytest.approx(example.expected, abs=example.tolerance), example.why


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_has_a_definition_and_a_worked_example(name: str) -> None:
    metric = METRICS[name]
    assert len(metric.definition) > 60, "the docstring is the definition: formula, input, unit, undefined, source"
    values = [e.expected for e in WORKED if e.metric == name and not isinstance(e.expected, Reason)]
    assert values, "a metric needs a worked example in tests/golden/worked.py"
    assert not any(isinstance(v, float) and math.isnan(v) for v in values)
