"""Returns, risk and ratios of a series of returns, and of a series of prices in a data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.datasets import any_day, closes, column, dated, day, numbers, table
from core import returns as r
from core.fx import day_number
from core.metrics import drawdown, ratios, relative, series, tail, volatility
from core.prices import growth_of_one


@handles("cum_returns")
def cum_returns(i: Inputs) -> Answers:
    """Without a start value, or from 0: the cumulative return; from anything else: the value."""
    values = numbers(i["returns"])
    if not i.get("nan_as_zero", True) and not np.isfinite(values).all():
        raise Refused("a missing day leaves the level unchanged here; it does not make every later one missing")
    start = float(i.get("start_value") or 0)
    curve = r.growth(values, start or 1.0)[1:]
    return {"cumulative": curve if start else curve - 1}


INDEX = re.compile(r"(\d+) (calendar days|Sundays|month ends) from (\d{4}-\d{2}-\d{2})")
INDEXED = {"D": "calendar days", "W": "Sundays", "M": "month ends"}
BUCKETS = {"W": "W", "M": "M", "Q": "Q", "Y": "Y"}


@handles("aggregate_returns")
def aggregate_returns(i: Inputs) -> Answers:
    """The dates are said twice, by `freq` and `start` and by `index` in words: they must agree."""
    values, start = numbers(i["returns"]), day(i["start"])
    n = len(values)
    said = INDEX.fullmatch(i["index"])
    if said is None or said[2] != i.word("freq", INDEXED) or int(said[1]) != n:
        raise Refused(f"does not know the index {i['index']!r} of {n} returns with the frequency {i['freq']}")
    if i["freq"] == "D":
        dates = [start + timedelta(days=k) for k in range(n)]
    elif i["freq"] == "W":
        sunday = start + timedelta(days=6 - start.weekday())
        dates = [sunday + timedelta(days=7 * k) for k in range(n)]
    else:
        month = np.datetime64(start, "M") + np.arange(1, n + 1)
        dates = list((month.astype("datetime64[D]") - 1).astype(object))
    if dates[0] != day(said[3]):
        raise Refused(f"the index begins on {said[3]}, the dates on {dates[0]}")
    counted = np.nan_to_num(values)  # a missing day counts as 0 at the source
    return {"values": r.aggregate(dates, counted, i.word("to", BUCKETS))[1]}


# --- one series, perhaps beside a benchmark ---------------------------------------------------------------------------


def undefined_without_losses(omega: float) -> float:
    """The source has no number for gains without losses, where the product says NoLosses."""
    return omega if np.isfinite(omega) else float("nan")


def alpha_beta(v: Answers) -> list[float]:
    return [
        relative.alpha(v["r"], v["b"], v["rf"], v["periods"], "compound"),
        relative.beta(v["r"], v["b"], v["rf"]),
    ]


def rolling_alpha_beta(v: Answers) -> Any:
    alphas = series.rolling(relative.alpha, v["window"], v["r"], v["b"], periods=v["periods"], annualise="compound")
    return np.column_stack((alphas, series.rolling(relative.beta, v["window"], v["r"], v["b"])))


# what each word asks for beside the returns, and the call
SERIES: dict[str, tuple[str, Callable[[Answers], Any]]] = {
    "cagr": ("periods count_nan", lambda v: ratios.annual_return(v["r"], v["periods"], v["count_nan"])),
    "annual_vol": ("periods ddof", lambda v: volatility.volatility(v["r"], v["periods"], v["ddof"])),
    "annual_var_sd": ("periods ddof", lambda v: [
        volatility.variance(v["r"], v["periods"], v["ddof"]), volatility.volatility(v["r"], v["periods"], v["ddof"])]),
    "period_log_vol": ("", lambda v: volatility.period_volatility(v["r"])),
    "period_log_semidev": ("", lambda v: volatility.period_semideviation(v["r"])),
    "max_drawdown": ("", lambda v: drawdown.max_drawdown(v["r"])),
    "calmar": ("periods count_nan", lambda v: drawdown.calmar(v["r"], v["periods"], v["count_nan"])),
    "sharpe": ("rf periods ddof", lambda v: ratios.sharpe(v["r"], v["rf"], v["periods"], v["ddof"])),
    "sortino": ("mar periods", lambda v: ratios.sortino(v["r"], v["mar"], v["periods"])),
    "sortino_period": ("mar", lambda v: ratios.sortino(v["r"], v["mar"], 1)),
    "downside_risk": ("mar periods", lambda v: volatility.downside_deviation(v["r"], v["mar"], v["periods"])),
    "omega": ("rf required periods", lambda v: undefined_without_losses(
        ratios.omega(v["r"], v["rf"] + series.per_period(v["required"], v["periods"])))),
    "excess_sharpe": ("b", lambda v: relative.information_ratio(v["r"], v["b"], 1)),
    "tracking_error": ("b periods ddof", lambda v: relative.tracking_error(v["r"], v["b"], v["periods"], v["ddof"])),
    "beta": ("b rf", lambda v: relative.beta(v["r"], v["b"], v["rf"])),
    "alpha_beta": ("b rf periods", alpha_beta),
    "capture": ("b periods count_nan", lambda v: relative.capture(v["r"], v["b"], v["periods"], v["count_nan"])),
    "down_capture": ("b periods count_nan", lambda v: relative.down_capture(v["r"], v["b"], v["periods"], v["count_nan"])),
    "rolling_sharpe": ("window rf periods", lambda v: series.rolling(
        ratios.sharpe, v["window"], v["r"], risk_free=v["rf"], periods=v["periods"])),
    "rolling_max_drawdown": ("window", lambda v: series.rolling(drawdown.max_drawdown, v["window"], v["r"])),
    "rolling_alpha_beta": ("b window periods", rolling_alpha_beta),
}  # fmt: skip
# how each is read, and what holds where the case does not say it (empyrical's defaults)
READ: dict[str, Callable[[Inputs], Any]] = {
    "b": lambda i: numbers(i["bench"]),
    "rf": lambda i: numbers(i.get("rf", 0.0)),
    "mar": lambda i: numbers(i.get("mar", 0.0)),
    "required": lambda i: float(i.get("required", 0.0)),
    "periods": lambda i: float(i.get("periods", 252)),
    "ddof": lambda i: int(i.get("ddof", 1)),
    "count_nan": lambda i: bool(i.get("count_nan", True)),
    "window": lambda i: int(i["window"]),
}


@handles("series_stat")
def series_stat(i: Inputs) -> Answers:
    asked, stat = i.word("stat", SERIES)
    given = {name: READ[name](i) for name in asked.split()}
    return {"value": stat({"r": numbers(i["returns"]), **given})}


# --- prices of a data set ------------------------------------------------------------------------------------------------


@handles("dataset_stat")
def dataset_stat(i: Inputs) -> Answers:
    if i["stat"] == "total_return":
        return total_return(i)
    dates, daily = _daily(i, i["symbol"])
    periods = float(i.get("periods", 252))
    if i["stat"] == "annual_performance":
        return {"value": ratios.mean_annual_return(daily, periods)}
    if i["stat"] == "var_parametric_252":
        return {"value": -tail.parametric_var(daily, float(i["confidence"]), 252)}
    if i["stat"] == "tracking_error":
        days, theirs = _daily(i, i["benchmark"])
        _, mine, other = np.intersect1d(dates, days, return_indices=True)
        return {"value": relative.tracking_error(daily[mine], theirs[other], periods)}
    raise Refused(f"does not know the stat {i['stat']!r}")


def _daily(i: Inputs, symbol: str) -> tuple[r.Dates, r.Floats]:
    """The dated returns that the case keeps. LEAN stamps a bar with the end of its day: the next day at midnight."""
    dates, prices = closes(i["dataset"], symbol, i.get("field", "close"))
    days, daily = r.days_of(dates[1:]), r.simple_returns(prices)
    ends = days + np.timedelta64(1, "D")
    inside = np.ones(len(daily), np.bool_)
    for key, kept in (
        ("end_time_from", lambda on: ends >= on), ("end_time_to", lambda on: ends <= on), ("end_time_before", lambda on: ends < on),
        ("from", lambda on: days >= on), ("to", lambda on: days <= on), ("to_date", lambda on: days <= on),
    ):  # fmt: skip
        if key in i:
            inside &= kept(np.datetime64(day(i[key]), "D"))
    kept_rows = np.flatnonzero(inside)[: i.get("first_n")]
    return days[kept_rows], daily[kept_rows]


def total_return(i: Inputs) -> Answers:
    """From raw closes and the dividends and splits of another data set, reinvested at the last close with the dividend."""
    dates, prices = closes(i["dataset"], i["symbol"], i.get("field", "close"))
    first, last = day(i["from"]), day(i["to"])
    held = dated([(on, v) for on, v in zip(dates, prices.tolist(), strict=True) if first <= on <= last])
    cash: dict[int, float] = {}
    splits: dict[int, float] = {}
    for row in table(i["actions"]):
        if row["symbol"] == i["symbol"]:
            after = day_number(day(row["last_cum_date"])) + 1  # counts at the next bar: the ex date
            if row["cash_per_share"]:
                cash[after] = float(row["cash_per_share"])
            if row["split_ratio_new_per_old"]:
                splits[after] = float(row["split_ratio_new_per_old"])
    grown = float(growth_of_one(held, cash, splits).values[-1] - 1)
    if "cross" in i:
        theirs = _adjusted(i["cross"], i["symbol"], first, last)
        if abs(theirs - grown) > 0.005 * (1 + grown):
            raise Refused(f"{i['cross']} says {theirs:.6f}, the raw closes and their events {grown:.6f}")
    return {"total_return": grown, "value": grown}


def _adjusted(dataset: str, symbol: str, first: date, last: date) -> float:
    """The growth of the adjusted closes that another file has of the same span."""
    rows = [{key.lower().replace(" ", "_"): cell for key, cell in row.items()} for row in table(dataset)]
    name = next((n for n in ("adj_close", "adjusted") if n in rows[0]), None)
    if name is None:
        raise Refused(f"{dataset} has no adjusted closes")
    mine = [row for row in rows if row.get("symbol", symbol) == symbol and first <= any_day(row["date"]) <= last]
    closes_ = numbers([row[name] for row in sorted(mine, key=lambda row: any_day(row["date"]))])
    return r.link(r.simple_returns(closes_))


def _period(period: r.Period) -> Callable[[list[date], r.Floats], float]:
    """The return since the last price before a calendar period; since the first where the prices begin later (ffn)."""

    def since(dates: list[date], values: r.Floats) -> float:
        prices = dated(list(zip(dates, values.tolist(), strict=True)))
        base = prices.at(day_number(max(r.period_start(dates[-1], period, dates[0]), dates[0])))
        assert base is not None
        return float(r.simple_returns([base[1], values[-1]])[0])

    return since


PANEL: dict[str, Callable[[list[date], r.Floats], Any]] = {
    "total_return": lambda dates, v: r.link(r.simple_returns(v)),
    "max_drawdown": lambda dates, v: drawdown.max_drawdown(r.simple_returns(v)),
    "cagr_36525": lambda dates, v: r.annualised(r.link(r.simple_returns(v)), (dates[-1] - dates[0]).days, 365.25),
    "mtd": _period("MTD"),
    "mtd_or_since_start": _period("MTD"),
    "ytd": _period("YTD"),
}


@handles("panel_period")
def panel_period(i: Inputs) -> Answers:
    stat = i.word("stat", PANEL)
    dates, values = column(i["dataset"], i["column"])
    first = day(i["from"]) if "from" in i else dates[0]
    last = day(i["to"]) if "to" in i else dates[-1]
    kept = [k for k, on in enumerate(dates) if first <= on <= last][: i.get("first_n")]
    if not kept:
        raise Refused(f"no price between {first} and {last}")
    return {"value": stat([dates[k] for k in kept], values[kept])}
