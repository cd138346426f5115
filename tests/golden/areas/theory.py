"""Portfolio theory: expected returns, optimal and simple weights, over panels of adjusted closes."""

from __future__ import annotations

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.datasets import column, panel
from core import returns as r
from core.metrics.covariance import covariance
from core.optimise.expected_returns import capm, historical
from core.optimise.frontier import Objective, optimum
from core.optimise.targets import inverse_volatility
from core.reasons import Reason

YEAR = 252
OBJECTIVES: dict[str, Objective] = {
    "max_sharpe": "max_sharpe",
    "min_volatility": "min_volatility",
    "min_variance": "min_volatility",
}


def daily(i: Inputs) -> tuple[list[object], r.Floats]:
    """(days, daily returns) of the columns of a case."""
    days, prices = panel(i["dataset"], tuple(i["columns"]))
    return list(days[1:]), r.simple_returns(prices)


@handles("mpt_mean")
def mean(i: Inputs) -> Answers:
    return {"values": historical(daily(i)[1], float(i["periods"]))}


@handles("mpt_capm")
def expected_by_beta(i: Inputs) -> Answers:
    """The market's closes are taken on the days of the panel."""
    days, prices = panel(i["dataset"], tuple(i["columns"]))
    on, closes = column(i["market"], "SPY")
    known = dict(zip(on, closes.tolist(), strict=True))
    market = r.simple_returns([known.get(d) for d in days])
    return {"values": capm(r.simple_returns(prices), market, float(i["rf"]), float(i["periods"]))}


@handles("mpt_frontier")
def frontier(i: Inputs) -> Answers:
    """Expected is the compound return per year, risk the sample covariance per year."""
    returns = daily(i)[1]
    found = optimum(
        historical(returns, YEAR), covariance(returns, YEAR), i.word("objective", OBJECTIVES), float(i["rf"])
    )
    if isinstance(found, Reason):
        raise Refused(str(found))
    return {"return": found.expected_return, "volatility": found.volatility, "sharpe": found.sharpe}


@handles("inv_vol")
def inverse(i: Inputs) -> Answers:
    prices = panel(i["dataset"], tuple(i["columns"]))[1][: i["first_n"]]
    found = inverse_volatility(r.simple_returns(prices))
    if isinstance(found, Reason):
        raise Refused(str(found))
    return dict(zip(i["columns"], np.asarray(found).tolist(), strict=True))
