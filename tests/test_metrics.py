"""The registry of metrics, laws of single metrics, and the panel against the metrics column by column."""

import importlib.util
import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import core.metrics
from core.metrics import METRICS, compute, drawdown, metric, ratios, relative, series, tail, volatility
from core.metrics.panel import panel
from core.reasons import (
    NoBenchmark,
    NoInput,
    NoLosses,
    Reason,
    TooFewObservations,
    ZeroVariance,
)
from core.returns import simple_returns

# returns in basis points: no denormals, every product well above -100 %
returns = arrays(np.int64, st.integers(2, 60), elements=st.integers(-3000, 3000)).map(lambda a: a / 10_000)


def walk(days: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(0.0005, 0.01, days)


# --- the registry -----------------------------------------------------------------------------------------------


def test_the_registry_is_read_only() -> None:
    with pytest.raises(TypeError):
        METRICS["mine"] = METRICS["beta"]  # type: ignore[index]

    def late(returns: Any) -> float:
        """Too late."""
        return 0.0

    with pytest.raises(RuntimeError, match="read-only"):
        metric("Late", kind="number")(late)


@pytest.fixture
def open_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("core.metrics.registry")
    monkeypatch.setattr(registry, "_closed", False)


@pytest.mark.usefixtures("open_registry")
def test_a_duplicate_and_an_undocumented_metric_are_refused() -> None:
    def beta(returns: Any) -> float:
        """Another beta."""
        return 0.0

    def nameless(returns: Any) -> float:
        return 0.0

    def asking(returns: Any, weather: float) -> float:
        """Asks for what nobody gives."""
        return 0.0

    with pytest.raises(ValueError, match="duplicate"):
        metric("Another beta", kind="number")(beta)
    with pytest.raises(ValueError, match="duplicate"):
        metric("Beta", kind="number")(asking)
    with pytest.raises(ValueError, match="definition"):
        metric("Nameless", kind="number")(nameless)
    with pytest.raises(ValueError, match="weather"):
        metric("Asking", kind="number")(asking)
    assert "nameless" not in METRICS
    assert "asking" not in METRICS


def test_the_titles_are_one_of_a_kind() -> None:
    assert len({m.title for m in METRICS.values()}) == len(METRICS)


def test_metrics_stay_plain_functions() -> None:
    assert METRICS["volatility"].function is volatility.volatility
    assert volatility.volatility([0.01, 0.03]) == pytest.approx(0.02 / math.sqrt(2) * math.sqrt(252))


def test_compute_gives_a_value_or_a_reason_for_every_metric() -> None:
    r, b = walk(600), walk(600, 1)
    dates = [date(2024, 1, 1) + timedelta(days=i) for i in range(600)]
    every = compute(METRICS, returns=r, benchmark=b, dates=dates, risk_free=0.0001)
    assert every.keys() == METRICS.keys()
    for name, value in every.items():
        assert isinstance(value, Reason | date | float), name
        assert not isinstance(value, float) or math.isfinite(value), name
        if METRICS[name].kind == "date":
            assert isinstance(value, date | Reason)


@pytest.mark.parametrize("r", [[], [math.nan], [0.0], [0.01] * 300, [math.nan] * 300, [-1.0] * 300, [0.0] * 300])
def test_no_metric_breaks_on_a_poor_series(r: list[float]) -> None:
    dates = [date(2024, 1, 1) + timedelta(days=i) for i in range(len(r))]
    for name, value in compute(METRICS, returns=r, benchmark=r, dates=dates).items():
        assert isinstance(value, Reason | date) or math.isfinite(value), name


def test_what_is_missing_is_named() -> None:
    found = compute(["beta", "volatility", "var_95"], returns=[0.01, 0.02, math.nan])
    assert found["beta"] == NoBenchmark()
    assert isinstance(found["volatility"], float)
    assert found["var_95"] == TooFewObservations(2, 100)
    assert compute(["volatility"])["volatility"] == NoInput("returns")
    assert compute(["max_drawdown_peak"], returns=[0.1, -0.1])["max_drawdown_peak"] == NoInput("dates")


def test_undefined_ratios_say_why() -> None:
    flat = compute(["sharpe", "sortino"], returns=[0.01] * 10)
    assert flat == {"sharpe": ZeroVariance(), "sortino": NoLosses()}


def test_an_unknown_name_or_keyword_raises() -> None:
    with pytest.raises(KeyError):
        compute(["no_such_metric"], returns=[0.1])
    with pytest.raises(TypeError, match="retruns"):
        compute(["volatility"], retruns=[0.1])
    with pytest.raises(ValueError, match="lengths"):
        compute(["beta"], returns=[0.1, 0.2, 0.3], benchmark=[0.1, 0.2])


def test_a_year_is_counted_in_the_periods_given() -> None:
    months = walk(12)
    assert isinstance(compute(["annual_return"], returns=months)["annual_return"], TooFewObservations)
    assert compute(["annual_return"], returns=months, periods=12)["annual_return"] == pytest.approx(
        np.prod(1 + months) - 1
    )


def test_the_modules_of_the_package_are_all_there() -> None:
    assert set(core.metrics.__all__) >= {"METRICS", "compute", "metric"}
    assert {m.function.__module__ for m in METRICS.values()} == {
        f"core.metrics.{name}" for name in ("volatility", "drawdown", "tail", "ratios", "relative")
    }


# --- laws -------------------------------------------------------------------------------------------------------


@given(returns)
def test_a_drawdown_is_never_positive(r: Any) -> None:
    curve = drawdown.drawdown_curve(r)
    assert (curve <= 0).all()
    assert drawdown.max_drawdown(r) == curve.min()
    found = drawdown.drawdowns([date(2024, 1, 1) + timedelta(days=i) for i in range(len(r) + 1)], r)
    deepest = min((d.depth for d in found), default=0.0)
    assert deepest == pytest.approx(curve.min(), abs=1e-9)
    for d in found:
        assert d.peak < d.trough <= d.end
        assert d.recovery is None or d.trough < d.recovery


@given(returns, st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_var_grows_with_confidence_and_shortfall_is_at_least_var(r: Any, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert tail.value_at_risk(r, low) <= tail.value_at_risk(r, high) + 1e-15
    shortfall = tail.expected_shortfall(r, high)
    assert tail.expected_shortfall(r, low) <= shortfall + 1e-12
    assert shortfall >= tail.value_at_risk(r, high) - 1e-15


@given(returns, st.integers(-300, 300))
def test_a_leveraged_benchmark_has_its_leverage_as_beta(b: Any, leverage: int) -> None:
    k = leverage / 100
    if np.ptp(b) == 0:
        assert math.isnan(relative.beta(k * b, b))
        return
    assert relative.beta(k * b, b) == pytest.approx(k, abs=1e-9)
    assert relative.alpha(k * b, b) == pytest.approx(0, abs=1e-9)
    assert relative.tracking_error(b, b) == 0


@given(returns)
def test_missing_days_change_nothing(r: Any) -> None:
    gaps = np.insert(r, [0, len(r) // 2, len(r)], math.nan)
    for name in ("volatility", "sharpe", "max_drawdown", "hit_rate", "pain_index"):
        full, holed = METRICS[name].function(r), METRICS[name].function(gaps)
        assert holed == pytest.approx(full, nan_ok=True)


def test_beta_uses_the_days_that_both_have() -> None:
    r, b = walk(50), walk(50, 1)
    r[3], b[7] = math.nan, math.nan
    both = np.isfinite(r) & np.isfinite(b)
    assert relative.beta(r, b) == pytest.approx(relative.beta(r[both], b[both]))


def test_the_bootstrap_is_the_same_every_time_and_holds_the_estimate() -> None:
    r = walk(252)
    first, second = tail.bootstrap_interval(r), tail.bootstrap_interval(r)
    assert first == second
    assert first.low <= tail.value_at_risk(r) <= first.high
    wide = tail.bootstrap_interval(r, 0.95, "shortfall")
    assert wide.low <= tail.expected_shortfall(r) <= wide.high


def test_var_looks_at_the_last_252_days_only() -> None:
    old_crash = np.concatenate(([-0.9] * 20, walk(252)))
    assert tail.value_at_risk(old_crash) == tail.value_at_risk(old_crash[-252:])


def test_the_back_test_counts_the_days_beyond_var() -> None:
    r = walk(700)
    expected = sum(r[i] < np.quantile(r[i - 252 : i], 0.05) for i in range(252, 700))
    test = tail.var_backtest(r, 0.95)
    assert (test.observations, test.exceptions) == (448, expected)
    assert tail.kupiec(100, 5, 0.05).p_value == 1.0
    assert tail.kupiec(250, 0, 0.01).statistic == pytest.approx(-2 * 250 * math.log(0.99))


def test_a_rolling_metric_is_the_metric_of_each_span() -> None:
    r, b = walk(30), walk(30, 1)
    rolled = series.rolling(relative.beta, 10, r, b)
    assert len(rolled) == 21
    assert rolled[-1] == pytest.approx(relative.beta(r[-10:], b[-10:]))
    assert len(series.rolling(ratios.sharpe, 31, r)) == 0


# --- the panel --------------------------------------------------------------------------------------------------

PANEL = {
    "volatility": "volatility",
    "sharpe": "sharpe",
    "sortino": "sortino",
    "max_drawdown": "max_drawdown",
    "beta": "beta",
    "var_95": "var_95",
    "var_99": "var_99",
    "es_95": "es_95",
    "es_99": "es_99",
}


def same_as_columns(table: Any, bench: Any, risk_free: Any) -> None:
    found = panel(table, bench, risk_free)
    for j in range(table.shape[1]):
        single = compute(PANEL, returns=table[:, j], benchmark=bench, risk_free=risk_free)
        for name, value in single.items():
            got = getattr(found, name)[j]
            if isinstance(value, Reason):
                assert math.isnan(got), (name, j, got, value)
            else:
                assert got == pytest.approx(value, rel=1e-9, abs=1e-12), (name, j)
    assert found.observations.tolist() == np.isfinite(table).sum(axis=0).tolist()


@pytest.mark.parametrize("risk_free", [0.0, 0.0001, np.linspace(0, 0.0002, 300)], ids=["zero", "number", "series"])
def test_the_panel_is_the_metrics_column_by_column(risk_free: Any) -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(0.0004, 0.012, (300, 70))
    table[:200, 1] = math.nan  # listed late, exactly 100 days
    table[:201, 2] = math.nan  # one day too few for a tail
    table[rng.random((300, 70)) < 0.1, ...] = math.nan
    table[:, 40:64] = rng.normal(0.0004, 0.012, (300, 24))
    table[:, 65] = 0.001
    table[:, 66] = math.nan
    table[1:, 67] = math.nan
    table[:, 68] = np.abs(table[:, 68])
    bench = rng.normal(0.0004, 0.01, 300)
    bench[5] = math.nan
    same_as_columns(table, bench, risk_free)


def test_a_full_panel_is_the_metrics_column_by_column() -> None:
    table = np.random.default_rng(4).normal(0, 0.01, (260, 33))
    same_as_columns(table, table[:, 0], 0.0)
    assert np.isnan(panel(table).beta).all()


@given(arrays(np.int64, (110, 3), elements=st.integers(-500, 500)), st.integers(0, 109))
def test_the_panel_law(basis_points: Any, late: int) -> None:
    table = basis_points / 10_000
    table[:late, 1] = math.nan
    same_as_columns(table, table[:, 2].copy(), 0.0)


def test_the_panel_of_prices_matches_the_returns_of_each() -> None:
    prices = np.cumprod(1 + np.random.default_rng(5).normal(0, 0.01, (150, 4)), axis=0)
    returns_ = simple_returns(prices)
    assert panel(returns_, None).volatility[2] == pytest.approx(volatility.volatility(simple_returns(prices[:, 2])))


def test_the_page_of_definitions_is_what_the_docstrings_say() -> None:
    folder = Path(__file__).resolve().parent.parent / "docs"
    spec = importlib.util.spec_from_file_location("definitions", folder / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (folder / "definitions.md").read_text(encoding="utf-8")
    assert written == module.text(), "run: python docs/definitions.py"
