"""Brinson attribution and its linking: Bacon's worked example, and that nothing is ever left over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.attribution.brinson import Effects, brinson, by_segment, drifted
from core.attribution.linking import Method, linked
from core.reasons import NegativeBase

# Bacon, Practical Portfolio Performance Measurement and Attribution, tables 5.2 to 5.5: UK, Japanese and US equities
BACON = ("UK", "Japan", "US")
FIRST = ((0.4, 0.3, 0.3), (0.4, 0.2, 0.4), (0.2, -0.05, 0.06), (0.1, -0.04, 0.08))


def test_bacons_example_by_brinson_and_fachler() -> None:
    """Rp = 8 − 1.5 + 1.8 = 8.3 %, b = 4 − 0.8 + 3.2 = 6.4 %; allocation of Japan 10 % × (−4 − 6.4) % = −1.04 %."""
    found = brinson(BACON, *FIRST)
    assert found.portfolio_return == pytest.approx(0.083, abs=1e-15)
    assert found.benchmark_return == pytest.approx(0.064, abs=1e-15)
    assert found.allocation == pytest.approx([0, 0.1 * -0.104, -0.1 * 0.016])
    assert found.selection == pytest.approx([0.4 * 0.10, 0.2 * -0.01, 0.4 * -0.02])
    assert found.interaction == pytest.approx([0, 0.1 * -0.01, -0.1 * -0.02])
    assert found.total.sum() == pytest.approx(0.019, abs=1e-15)


def test_brinson_hood_beebower_measures_allocation_from_zero() -> None:
    """10 % × −4 % and −10 % × 8 %: Japan looks as bad as it was, not as bad as it was against the whole."""
    found = brinson(BACON, *FIRST, model="hood-beebower")
    assert found.allocation == pytest.approx([0, -0.004, -0.008])
    assert found.total.sum() == pytest.approx(0.019, abs=1e-15)


def test_the_interaction_can_count_in_selection_or_allocation() -> None:
    """Selection with it is wp × (rp − rb): 40 % × 10, 30 % × −1, 30 % × −2."""
    three = brinson(BACON, *FIRST)
    two = three.without_interaction()
    assert two.selection == pytest.approx([0.04, -0.003, -0.006])
    assert two.allocation == pytest.approx(three.allocation)
    other = three.without_interaction("allocation")
    assert other.allocation == pytest.approx([0, 0.1 * -0.114, -0.1 * -0.004])
    assert two.total == pytest.approx(three.total)
    assert other.total == pytest.approx(three.total)
    assert not two.interaction.any()


def test_what_one_side_does_not_hold_is_allocation() -> None:
    """20 % in gold at 10 % against a benchmark of bonds at 1 %: 20 % × (10 − 1) % = 1.8 %, and nothing is selection."""
    found = brinson(("bonds", "gold"), (0.8, 0.2), (1.0, 0.0), (0.01, 0.1), (0.01, math.nan))
    assert found.allocation == pytest.approx([0, 0.018])
    assert found.selection.tolist() == [0, 0]
    assert found.interaction.tolist() == [0, 0]
    assert found.active == pytest.approx(0.018)
    other = brinson(("bonds", "gold"), (1.0, 0.0), (0.8, 0.2), (0.01, math.nan), (0.01, 0.1))
    assert other.allocation.sum() == pytest.approx(-0.018)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segments": ("UK", "UK", "US")}, r"segments: \['UK'\] stand more than once"),
        ({"portfolio_weights": (0.4, 0.6)}, "portfolio_weights: .* for 3 segments"),
        ({"portfolio_weights": (0.4, 0.3, 0.2)}, "the portfolio's add up to 0.9, the benchmark's to 1"),
        ({"portfolio_returns": (0.2, math.nan, 0.06)}, "portfolio_returns: Japan has a weight of 0.3 and no return"),
        ({"benchmark_weights": (math.nan, 0.2, 0.4)}, "benchmark_weights: UK has the weight nan"),
    ],
)
def test_what_cannot_be_attributed_is_named(change: dict[str, Any], said: str) -> None:
    names = ("segments", "portfolio_weights", "benchmark_weights", "portfolio_returns", "benchmark_returns")
    with pytest.raises(ValueError, match=said):
        brinson(**{**dict(zip(names, (BACON, *FIRST), strict=True)), **change})


def test_holdings_become_segments() -> None:
    """20 % at 10 and 30 % at 5 are 50 % at 7; nobody holds gold."""
    weights, returns = by_segment(("A", "B", "A"), (0.2, 0.5, 0.3), (0.10, -0.02, 0.05), ("A", "B", "gold"))
    assert weights == pytest.approx([0.5, 0.5, 0])
    assert returns == pytest.approx([0.07, -0.02, math.nan], nan_ok=True)
    with pytest.raises(ValueError, match="labels: C are none of the segments"):
        by_segment(("C",), (1.0,), (0.1,), ("A", "B"))


def test_weights_drift_with_their_returns() -> None:
    """60 % × 1.10 = 66, 40 % × 0.95 = 38: 104, of which 63.46 % and 36.54 %; what has no price stays where it was."""
    whole, weights = drifted((0.6, 0.4), (0.10, -0.05))
    assert whole == pytest.approx(0.04)
    assert weights == pytest.approx([66 / 104, 38 / 104])
    whole, weights = drifted((0.6, 0.4), (0.10, None))
    assert whole == pytest.approx(0.06)
    assert weights == pytest.approx([66 / 106, 40 / 106])


# --- several periods ----------------------------------------------------------------------------------------------

returns = st.integers(-4000, 4000).map(lambda bp: bp / 10_000)
weights = st.lists(st.integers(0, 100), min_size=3, max_size=3).filter(any).map(lambda w: np.array(w) / sum(w))
effects = st.builds(
    lambda wp, wb, rp, rb, model: brinson(BACON, wp, wb, rp, rb, model),
    weights,
    weights,
    st.tuples(returns, returns, returns),
    st.tuples(returns, returns, returns),
    st.sampled_from(("fachler", "hood-beebower")),
)


@given(effects)
def test_the_effects_of_a_period_add_up_to_its_active_return(found: Effects) -> None:
    assert abs(found.total.sum() - found.active) < 1e-14


@given(st.lists(effects, min_size=1, max_size=12), st.sampled_from(("carino", "menchero")))
def test_linked_effects_add_up_to_the_compounded_active_return(periods: list[Effects], method: Method) -> None:
    whole = linked(periods, method)
    assert isinstance(whole, Effects)
    active = math.prod(1 + p.portfolio_return for p in periods) - math.prod(1 + p.benchmark_return for p in periods)
    assert whole.active == pytest.approx(active, abs=1e-12)
    assert abs(whole.total.sum() - active) < 1e-12 * max(1.0, abs(active), *(abs(p.total).sum() for p in periods))


@given(effects, st.sampled_from(("carino", "menchero")))
def test_one_period_is_linked_to_itself(only: Effects, method: Method) -> None:
    whole = linked([only], method)
    assert isinstance(whole, Effects)
    assert whole.total == pytest.approx(only.total, abs=1e-12)


def test_two_periods_linked_by_hand() -> None:
    """10 % against 5 % all in A, then 20 % against 10 % all in B: 1.1 × 1.2 − 1.05 × 1.1 = 16.5 % in two parts.

    Carino: k = ln(1.32 / 1.155) / 0.165, A has ln(1.1 / 1.05) / k, B has ln(1.2 / 1.1) / k. Menchero: M = 0.0825 /
    (√1.32 − √1.155), a = (0.165 − 0.15 M) / (0.05² + 0.10²), A has 0.05 (M + 0.05 a), B has 0.10 (M + 0.10 a).
    """
    periods = [
        brinson(("A", "B"), (1, 0), (1, 0), (0.10, math.nan), (0.05, math.nan)),
        brinson(("A", "B"), (0, 1), (0, 1), (math.nan, 0.20), (math.nan, 0.10)),
    ]
    carino, menchero = linked(periods), linked(periods, "menchero")
    assert isinstance(carino, Effects)
    assert isinstance(menchero, Effects)
    k = math.log(1.32 / 1.155) / 0.165
    assert carino.selection == pytest.approx([math.log(1.1 / 1.05) / k, math.log(1.2 / 1.1) / k])
    even = 0.0825 / (math.sqrt(1.32) - math.sqrt(1.155))
    a = (0.165 - 0.15 * even) / (0.05**2 + 0.10**2)
    assert menchero.selection == pytest.approx([0.05 * (even + 0.05 * a), 0.10 * (even + 0.10 * a)])


def alone(name: str, mine: float, theirs: float) -> Effects:
    return brinson((name,), (1.0,), (1.0,), (mine,), (theirs,))


def test_what_cannot_be_linked_says_why() -> None:
    gone = brinson(("all",), (1.0,), (1.0,), (-1.0,), (0.1,))
    assert linked([gone]) == NegativeBase()
    with pytest.raises(ValueError, match="at least one"):
        linked([])
    with pytest.raises(ValueError, match="same segments"):
        linked([alone("UK", 0.1, 0.1), alone("US", 0.1, 0.1)])
