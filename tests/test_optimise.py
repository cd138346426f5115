"""Covariances, component VaR and optimal weights, against numpy and what can be worked out on paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.metrics.covariance import covariance
from core.metrics.tail import parametric_var
from core.optimise.expected_returns import capm, historical
from core.optimise.frontier import NO_EXCESS, Optimum, optimum
from core.optimise.targets import inverse_volatility
from core.reasons import TooFewObservations, ZeroVariance
from core.risk.component import ComponentVar, component_var

tables = arrays(np.int64, st.tuples(st.integers(5, 40), st.integers(1, 5)), elements=st.integers(-900, 900)).map(
    lambda a: a / 10_000
)


def walk(days: int, series: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.0004, 0.01, (days, series))


# --- covariance -------------------------------------------------------------------------------------------------


def test_the_covariance_matrix_is_numpys() -> None:
    table = walk(300, 4)
    assert covariance(table) == pytest.approx(np.cov(table, rowvar=False))
    assert covariance(table, 252, 0) == pytest.approx(np.cov(table, rowvar=False, ddof=0) * 252)


def test_a_pair_is_measured_on_the_days_that_both_have() -> None:
    table = walk(60, 3)
    table[:20, 1], table[50:, 2], table[:, 0][::7] = math.nan, math.nan, math.nan
    found = covariance(table)
    for i in range(3):
        for j in range(3):
            both = np.isfinite(table[:, i]) & np.isfinite(table[:, j])
            assert found[i, j] == pytest.approx(np.cov(table[both, i], table[both, j])[0, 1])
    apart = covariance([[0.1, None], [0.2, None], [None, 0.1], [None, 0.3]])
    assert math.isnan(apart[0, 1])
    assert apart[0, 0] == pytest.approx(0.005)


# --- component VaR ----------------------------------------------------------------------------------------------


@given(tables, st.data(), st.booleans())
def test_the_components_add_up_to_the_var_of_the_whole(table: Any, data: Any, zero_mean: bool) -> None:
    weights = (
        np.array(data.draw(st.lists(st.integers(-50, 100), min_size=table.shape[1], max_size=table.shape[1]))) / 100
    )
    found = component_var(table, weights, 0.95, zero_mean=zero_mean)
    whole = table @ weights
    if np.std(whole) < 1e-9:
        return
    assert isinstance(found, ComponentVar)
    assert found.component.sum() == pytest.approx(found.total, abs=1e-12)
    assert found.total == pytest.approx(parametric_var(whole, 0.95, None, zero_mean=zero_mean), abs=1e-12)


def test_two_holdings_by_hand() -> None:
    """±1 % and ±2 %, uncorrelated, means 0: variances 4/3 and 16/3 (e-4). Half of each: sd = √(1/3 + 4/3) %, of which
    1/5 is the first's."""
    found = component_var([[0.01, 0.02], [0.01, -0.02], [-0.01, 0.02], [-0.01, -0.02]], (0.5, 0.5), 0.95)
    assert isinstance(found, ComponentVar)
    assert found.total == pytest.approx(1.6448536269514722 * math.sqrt(5 / 3) / 100)
    assert found.share == pytest.approx([0.2, 0.8])
    assert found.marginal == pytest.approx(found.component / 0.5)


def test_a_hedge_takes_risk_away() -> None:
    table = np.column_stack((walk(100, 1), -walk(100, 1)))
    found = component_var(table, (1.0, 0.25), 0.99, zero_mean=True)
    assert isinstance(found, ComponentVar)
    assert found.component[1] < 0 < found.component[0]
    assert found.total == pytest.approx(0.75 * 2.3263478740408408 * np.std(table[:, 0], ddof=1))


def test_a_component_var_that_is_undefined_says_why() -> None:
    assert component_var([[0.01, 0.02], [None, 0.01]], (0.5, 0.5)) == TooFewObservations(1, 2)
    assert component_var([[0.01, 0.02]] * 5, (0.5, 0.5)) == ZeroVariance()
    with pytest.raises(ValueError, match=r"weights: .* one weight per column"):
        component_var([[0.01, 0.02]] * 5, (1.0,))


# --- expected returns and weights -------------------------------------------------------------------------------


def test_expected_returns() -> None:
    """Two series of four quarters: 1.1 × 0.95 × 1.02 × 0.97 = 1.033923, and 1.02² over two of them is 1.02 ^ 4 a year."""
    table = [[0.10, None], [-0.05, None], [0.02, 0.02], [-0.03, 0.02]]
    assert historical(table, 4) == pytest.approx([0.033923, 1.02**4 - 1])
    market = [0.06, -0.04, 0.02, -0.02]  # of R and B of tests/golden/worked.py: beta 88 / 59, a year 1.719296 %
    assert capm([[r] for r in (0.10, -0.05, 0.02, -0.03)], market, 0.01, 4) == pytest.approx(
        [0.01 + 88 / 59 * 0.00719296]
    )


def test_the_best_of_two_is_found_on_paper() -> None:
    """Uncorrelated, volatilities 10 and 20 %, expected 5 and 10 % over 1 %: least volatile by 1/variance, 4 : 1; tangency
    by excess over variance, 4/0.01 : 9/0.04 = 16 : 9."""
    expected, matrix = (0.05, 0.10), np.diag((0.01, 0.04))
    calm = optimum(expected, matrix, "min_volatility")
    best = optimum(expected, matrix, "max_sharpe", 0.01)
    assert isinstance(calm, Optimum)
    assert isinstance(best, Optimum)
    assert calm.weights == pytest.approx([0.8, 0.2], abs=1e-5)
    assert calm.volatility == pytest.approx(math.sqrt(0.64 * 0.01 + 0.04 * 0.04), abs=1e-8)
    assert best.weights == pytest.approx([0.64, 0.36], abs=1e-4)
    assert best.sharpe == pytest.approx(math.sqrt(0.4**2 + 0.45**2), abs=1e-7)  # √(Σ single Sharpe ratios²)
    assert best.expected_return == pytest.approx(0.064 + 0.004, abs=1e-5)


def test_nothing_is_sold_short() -> None:
    """The second moves with the first and twice as far: without short positions it has no place."""
    found = optimum((0.05, 0.05), [[0.01, 0.018], [0.018, 0.04]], "min_volatility")
    assert isinstance(found, Optimum)
    assert found.weights == pytest.approx([1, 0], abs=1e-6)


def test_an_optimum_that_is_undefined_says_why() -> None:
    assert optimum((0.01, 0.02), np.diag((0.01, 0.04)), "max_sharpe", 0.05) == NO_EXCESS
    with pytest.raises(ValueError, match="covariance"):
        optimum((0.01, 0.02), [[0.01]], "min_volatility")
    with pytest.raises(ValueError, match="every number is needed"):
        optimum((0.01, math.nan), np.diag((0.01, 0.04)), "min_volatility")


def test_the_calmer_series_has_the_larger_weight() -> None:
    """±1 % and ±3 %: 1/1 : 1/3."""
    assert inverse_volatility([[0.01, 0.03], [-0.01, -0.03]]) == pytest.approx([0.75, 0.25])
    assert inverse_volatility([[0.01, 0.03], [0.01, -0.03]]) == ZeroVariance()
