"""Figures from outside: every case of ../shared/golden, and our worked examples for every metric."""

import json
import math
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from evaluate import ABSENT, REFUSED, SHARED, evaluate
from worked import PUBLISHED, WORKED, Example

from core.metrics import METRICS
from core.reasons import Reason

FILES = sorted((SHARED / "golden").glob("*.json"))
CASES = [case for file in FILES for case in json.loads(file.read_text(encoding="utf-8"))["cases"]]
COVERED = {
    "tax_wash_sale",
    "returns_aggregation",
    "volatility_drawdown",
    "ratios",
    "beta_alpha",
    "bacon_textbook",
    "var_cvar",
    "irr_xirr",
    "twr_performance",
    "positions_pnl",
    "calendar_settlement",
    "lots_cost_basis",
    "dividends_income",
    "corporate_actions",
    "broker_import",
    "fx",
    "portfolio_scenario",
}


def absent(case: dict[str, Any]) -> bool:
    """Whether the case is asked of a file that the shared folder does not have."""
    return REFUSED.get(case["kind"]) == ABSENT and not (SHARED / "data" / case["inputs"]["file"]).is_file()


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
@pytest.mark.skipif(not CASES, reason="the folder ../shared/golden is not beside the checkout")
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_product_gives_the_figure_of_the_source(case: dict[str, Any]) -> None:
    got = evaluate(case)
    if got is None:
        assert case["kind"] in REFUSED, f"{case['kind']} is refused without a reason"
        pytest.skip(f"{case['kind']}: {REFUSED[case['kind']]}")
    assert close(got, case["expected"], case["tolerance"]), f"{got} is not {case['expected']}: {case['definition']}"


@pytest.mark.shared
@pytest.mark.skipif(not CASES, reason="the folder ../shared/golden is not beside the checkout")
@pytest.mark.parametrize("area", sorted(COVERED))
def test_a_covered_area_refuses_at_most_one_core_case_in_twenty(area: str) -> None:
    core = [case for case in CASES if case["area"] == area and case["relevance"] == "core"]
    if core and all(absent(case) for case in core):
        pytest.skip(f"{area}: {ABSENT}")
    core = [case for case in core if not absent(case)]
    refused = [case["id"] for case in core if evaluate(case) is None]
    assert core
    assert len(refused) <= 0.05 * len(core), refused


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
