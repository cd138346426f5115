"""Ratios after Bacon's textbook (population moments where he takes them), and the capital asset pricing model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from areas import Answers, Inputs, Refused, handles
from areas.datasets import day, numbers
from core.metrics import drawdown, ratios, relative, series, volatility
from core.returns import Floats


def monthly(i: Inputs, *keys: str) -> tuple[Floats, ...]:
    """The dated series of a case, which must have one length and rising dates."""
    found, dates = tuple(numbers(i[key]) for key in keys), [day(d) for d in i["dates"]]
    if any(len(values) != len(dates) for values in found) or dates != sorted(set(dates)):
        raise Refused("the series and their dates do not go together")
    return found


CAPM: dict[str, Callable[[Floats, Floats, Floats], float]] = {
    "beta": lambda r, b, rf: relative.beta(r, b, rf),
    "beta_bull": lambda r, b, rf: relative.beta(r, b, rf, "up"),
    "beta_bear": lambda r, b, rf: relative.beta(r, b, rf, "down"),
    "timing_ratio": lambda r, b, rf: series.ratio(relative.beta(r, b, rf, "up"), relative.beta(r, b, rf, "down")),
    "alpha_monthly": lambda r, b, rf: relative.alpha(r, b, rf, annualise="no"),
}


@handles("capm")
def capm(i: Inputs) -> Answers:
    return {"value": i.word("stat", CAPM)(*monthly(i, "asset", "bench", "rf"))}


BACON: dict[str, Callable[[Floats, Floats, float, float], Any]] = {
    "mad": lambda r, b, n, mar: volatility.mean_absolute_deviation(r),
    "skew_sample": lambda r, b, n, mar: ratios.skewness(r, "sample"),
    "kurt_moment": lambda r, b, n, mar: ratios.kurtosis(r, "moment"),
    "kurt_excess": lambda r, b, n, mar: ratios.kurtosis(r, "excess"),
    "kurt_sample": lambda r, b, n, mar: ratios.kurtosis(r, "sample"),
    "kurt_sample_excess": lambda r, b, n, mar: ratios.kurtosis(r, "sample excess"),
    "skew_kurt": lambda r, b, n, mar: series.ratio(ratios.skewness(r, "moment"), ratios.kurtosis(r, "moment")),
    "adj_sharpe": lambda r, b, n, mar: ratios.adjusted_sharpe(r, 0.0, n),
    "jensen_annual": lambda r, b, n, mar: relative.alpha(r, b, 0.0, n, "annual returns"),
    # R − alpha − beta × B with the regression's own alpha, not annualised: what the vertical distance to the line is
    "epsilon": lambda r, b, n, mar: relative.alpha(r, b, 0.0, n, "annual returns") - relative.alpha(r, b, 0.0, n, "no"),
    "appraisal": lambda r, b, n, mar: relative.appraisal_ratio(r, b, 0.0, n, 0, "annual returns"),
    "specific_risk": lambda r, b, n, mar: relative.specific_risk(r, b, 0.0, n, 0),
    "treynor_mod": lambda r, b, n, mar: relative.treynor(r, b, 0.0, n, modified=True, ddof=0),
    "m2": lambda r, b, n, mar: relative.m_squared(r, b, 0.0, n),
    "fama_beta": lambda r, b, n, mar: relative.fama_beta(r, b),
    "pain_index": lambda r, b, n, mar: drawdown.pain_index(r),
    "martin": lambda r, b, n, mar: drawdown.martin(r, 0.0, n),
    "downside_dev": lambda r, b, n, mar: volatility.downside_deviation(r, mar, 1),
    "downside_pot": lambda r, b, n, mar: volatility.downside_potential(r, mar),
    "downside_freq": lambda r, b, n, mar: volatility.loss_rate(r, mar),
    "upside_risk": lambda r, b, n, mar: volatility.upside_deviation(r, mar, 1),
    "upside_pot": lambda r, b, n, mar: volatility.upside_potential(r, mar),
    "upside_freq": lambda r, b, n, mar: ratios.hit_rate(r, mar),
    "vol_skew": lambda r, b, n, mar: volatility.volatility_skewness(r, mar),
    "variability_skew": lambda r, b, n, mar: math.sqrt(volatility.volatility_skewness(r, mar)),
    "gain_loss": lambda r, b, n, mar: ratios.omega(r, mar),
    "omega_sharpe": lambda r, b, n, mar: ratios.kappa(r, mar, 1),
    "omega_excess": lambda r, b, n, mar: relative.omega_excess_return(r, b, mar, n),
    "kappa2": lambda r, b, n, mar: ratios.kappa(r, mar, 2),
    "d_ratio": lambda r, b, n, mar: ratios.d_ratio(r),
}  # fmt: skip


@handles("bacon")
def bacon(i: Inputs) -> Answers:
    stat = i.word("stat", BACON)
    return {"value": stat(*monthly(i, "portfolio", "benchmark"), float(i["periods"]), float(i.get("mar", 0.0)))}
