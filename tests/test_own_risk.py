"""The risk of one security from its own bars, by hand; and what an asset's row says where nothing can be said."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest

from core.own_risk import own_risk
from core.reasons import NoBenchmark, TooFewObservations
from core.reports.asset_360 import performance_category

DAY = date(2026, 3, 2)


def closes(*values: float | None) -> list[tuple[date, float | None]]:
    return [(DAY + timedelta(days=i), v) for i, v in enumerate(values)]


def test_drawdown_volatility_and_beta_by_hand() -> None:
    mine, twice = closes(100, 110, 99, 99), closes(100, 105, 99.75, 99.75)  # +10 %, -10 %, 0; the other half of it
    found = own_risk(mine, twice, "inception")
    assert found["max_drawdown"] == pytest.approx(-0.10)
    assert found["volatility"] == pytest.approx(0.1 * math.sqrt(252))
    assert found["beta"] == pytest.approx(2.0)


def test_beta_is_over_the_days_that_both_have() -> None:
    gap = [c for i, c in enumerate(closes(100, 105, 99.75, 99.75)) if i != 2]
    assert own_risk(closes(100, 110, 99, 99), gap, "inception")["beta"] == pytest.approx((0.10 - (99 / 110 - 1)) / (0.05 - (99.75 / 105 - 1)))  # fmt: skip


def test_only_the_period_counts_with_the_close_that_it_starts_from() -> None:
    long_ago = [(DAY - timedelta(days=400), 1000.0), (DAY - timedelta(days=8), 100.0)]
    week = own_risk([*long_ago, *closes(100, 90)], None, "1W")
    assert week["max_drawdown"] == pytest.approx(-0.10)
    assert own_risk([*long_ago, *closes(100, 90)], None, "inception")["max_drawdown"] == pytest.approx(-0.91)


def test_what_is_undefined_says_why() -> None:
    assert isinstance(own_risk(closes(100, 101, 99), None, "1Y")["beta"], NoBenchmark)
    assert isinstance(own_risk([], [], "1Y")["volatility"], TooFewObservations)
    assert isinstance(own_risk(closes(100, None), closes(1, 2), "1Y")["beta"], TooFewObservations)


def test_performance_is_graded() -> None:
    graded = [performance_category(r) for r in (None, -0.3, -0.2, -0.01, 0.0, 0.19, 0.2)]
    assert graded == ["unknown", "weak", "negative", "negative", "positive", "positive", "strong"]
