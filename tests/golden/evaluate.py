"""Golden cases as calls of the product: `evaluate(case)` gives the keys of `expected`, or None (see REFUSED).

Nothing is calculated here that the product calculates: a handler reads the inputs, calls public functions of
`core` with the convention the case names, and lays out the answer. To take on a new kind, write a handler
with `@handles` and delete its line in REFUSED, which says why a kind (or some of its cases) is not offered.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import math
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it may be run by path, from anywhere

from core import brokers
from core import returns as r
from core.book import Book, Portfolio
from core.booking import derive
from core.brokers.columns import read as read_under
from core.brokers.sheet import sheet, text_of
from core.brokers.totals import cash_of, security_of
from core.calendar import Sessions
from core.expected import periodicity
from core.fx import Rates, Series, day_number, day_of
from core.importing import NotReadable
from core.income import withholding, yield_on_cost
from core.ledger import MICRO, UNITS, Draft, Ledger, LedgerError, Security, from_postings, post, sides
from core.lots import Lots
from core.metrics import drawdown, ratios, relative, series, tail, volatility
from core.money import posted
from core.prices import back_adjusted, dividend_factor, growth_of_one, symbol_on
from core.reasons import NoRate, Reason
from core.settlement import settlement_date
from core.tax import Parcel, holding_term, in_wash_window, wash_sales
from core.valuation import history, value
from jobs.feeds.yahoo import splits_in

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"

ABSENT = "offered; the file that the case names is not in the shared folder"
REFUSED: dict[str, str] = {
    "ledger_valuation": "offered where all that is held has a price and a rate on the day; a later rate does not stand in for one",
    "brinson": "not yet offered: attribution",
    "brinson_holdings_multi": "not yet offered: attribution",
    "brinson_link": "not yet offered: attribution",
    "import_balances": ABSENT,
    "import_hostile": ABSENT,
    "import_reject": ABSENT,
    "import_rows": ABSENT,
    "provider_repair": "not yet offered: repair of provider data",
    "holiday_rows": "not yet offered: repair of provider data",
    "yahoo_contract": "not yet offered: the price feed that reads Yahoo's answers",
    "mpt_capm": "not yet offered: portfolio theory",
    "mpt_frontier": "not yet offered: portfolio theory",
    "lots_match": "offered for FIFO, LIFO, HIFO and average cost; other methods have no name here",
    "trade_sequence": "offered for FIFO, LIFO, HIFO and average cost; other methods have no name here",
    "ledger_gains": "offered for FIFO, LIFO, HIFO and average cost; other methods have no name here",
}

Answer = dict[str, Any]
_handlers: dict[str, Callable[[Answer], Answer | None]] = {}


def handles(*kinds: str) -> Callable[[Callable[[Answer], Answer | None]], Callable[[Answer], Answer | None]]:
    """Register a handler of these kinds: it takes the case's inputs."""

    def register(function: Callable[[Answer], Answer | None]) -> Callable[[Answer], Answer | None]:
        _handlers.update(dict.fromkeys(kinds, function))
        return function

    return register


def evaluate(case: dict[str, Any]) -> dict[str, Any] | None:
    """The answers of the product under the keys of `expected`; None where it does not offer the convention."""
    handler = _handlers.get(case["kind"])
    answers = handler(case["inputs"]) if handler else None
    if answers is None or not set(case["expected"]) <= set(answers):
        return None
    return {key: plain(answers[key]) for key in case["expected"]}


def plain(value: Any) -> Any:
    """A value as JSON carries it: numbers, strings, lists; a reason or an undefined number is "NaN"."""
    if isinstance(value, Reason):
        return "NaN"
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | np.floating):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def numbers(values: Any) -> Any:
    """JSON numbers as floats, the strings "NaN" and "Infinity" included; a single number stays one."""
    return r.floats([float(v) for v in values]) if isinstance(values, list) else float(values)


def day(text: str) -> date:
    return date.fromisoformat(text[:10])


# --- data sets --------------------------------------------------------------------------------------------------


@functools.cache
def table(dataset: str) -> list[dict[str, str]]:
    """The rows of a data set of the shared folder."""
    with gzip.open(SHARED / "data" / dataset, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def any_day(text: str) -> date:
    """ISO, or month/day/year as in the panels."""
    if "/" in text:
        month, dom, year = (int(part) for part in text.split("/"))
        return date(year, month, dom)
    return day(text)


@functools.cache
def closes(dataset: str, symbol: str, field: str) -> tuple[list[date], r.Floats]:
    rows = [row for row in table(dataset) if row["symbol"] == symbol]
    return [day(row["date"]) for row in rows], numbers([row[field] for row in rows])


@functools.cache
def column(dataset: str, name: str) -> tuple[list[date], r.Floats]:
    rows = [row for row in table(dataset) if row[name]]
    first = next(iter(rows[0]))
    return [any_day(row[first]) for row in rows], numbers([row[name] for row in rows])


@functools.cache
def ecb() -> Rates:
    """The ECB's reference rates as the product holds them: units per euro."""
    with zipfile.ZipFile(SHARED / "data" / "market/fx/eurofxref-hist.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["Date"])
    columns: dict[str, list[tuple[date, float]]] = {}
    for row in rows:
        for name, cell in row.items():
            if name and name.strip() and name != "Date" and cell and cell != "N/A":
                columns.setdefault(name.strip(), []).append((day(row["Date"]), float(cell)))
    return Rates({name: dated(values) for name, values in columns.items()})


def dated(pairs: Sequence[tuple[date, float]] | Sequence[Sequence[Any]]) -> Series:
    """A Series of (date, value) pairs in the order of time; of two on one day the later one counts."""
    rows = [(day(on) if isinstance(on, str) else on, float(value)) for on, value in pairs]
    rows.sort(key=lambda row: row[0])
    return Series(np.array([day_number(d) for d, _ in rows], np.int32), np.array([v for _, v in rows], np.float64))


# --- returns, risk and ratios of a series ------------------------------------------------------------------------


@handles("cum_returns")
def cum_returns(i: Answer) -> Answer:
    return {"cumulative": r.growth(numbers(i["returns"]), float(i.get("start_value", 1) or 1))[1:]}


@handles("aggregate_returns")
def aggregate_returns(i: Answer) -> Answer | None:
    values = numbers(i["returns"])
    start, n = day(i["start"]), len(values)
    dates: list[date]
    if i["freq"] == "D":
        dates = [start + timedelta(days=k) for k in range(n)]
    elif i["freq"] == "W":
        sunday = start + timedelta(days=6 - start.weekday())
        dates = [sunday + timedelta(days=7 * k) for k in range(n)]
    elif i["freq"] == "M":
        month = np.datetime64(start, "M") + np.arange(1, n + 1)
        dates = list((month.astype("datetime64[D]") - 1).astype(object))
    else:
        return None
    to = {"YEARLY": "Y", "MONTHLY": "M", "WEEKLY": "W", "QUARTERLY": "Q", "A": "Y"}.get(
        i["to"].upper(), i["to"].upper()
    )
    if to not in ("W", "M", "Q", "Y"):
        return None
    _, linked = r.aggregate(dates, np.nan_to_num(values), to)  # the source counts a missing day as 0
    return {"values": linked}


SERIES: dict[str, Callable[[Answer], Any]] = {
    "cagr": lambda i: ratios.annual_return(i["r"], i["periods"], i["count_nan"]),
    "total_return": lambda i: r.link(i["r"]),
    "annual_vol": lambda i: volatility.volatility(i["r"], i["periods"], i["ddof"]),
    "annual_var": lambda i: volatility.variance(i["r"], i["periods"], i["ddof"]),
    "annual_var_sd": lambda i: [
        volatility.variance(i["r"], i["periods"], i["ddof"]),
        volatility.volatility(i["r"], i["periods"], i["ddof"]),
    ],
    "max_drawdown": lambda i: drawdown.max_drawdown(i["r"]),
    "calmar": lambda i: drawdown.calmar(i["r"], i["periods"], i["count_nan"]),
    "sharpe": lambda i: ratios.sharpe(i["r"], i["rf"], i["periods"], i["ddof"]),
    "sortino": lambda i: ratios.sortino(i["r"], i["mar"], i["periods"]),
    "downside_risk": lambda i: volatility.downside_deviation(i["r"], i["mar"], i["periods"]),
    "omega": lambda i: ratios.omega(i["r"], i["rf"] + series.per_period(i["required"], i["periods"])),
    "excess_sharpe": lambda i: relative.information_ratio(i["r"], i["b"], 1),
    "information_ratio": lambda i: relative.information_ratio(i["r"], i["b"], i["periods"]),
    "tracking_error": lambda i: relative.tracking_error(i["r"], i["b"], i["periods"], i["ddof"]),
    "beta": lambda i: relative.beta(i["r"], i["b"], i["rf"]),
    "alpha": lambda i: relative.alpha(i["r"], i["b"], i["rf"], i["periods"], "compound"),
    "correlation": lambda i: relative.correlation(i["r"], i["b"]),
    "up_capture": lambda i: relative.up_capture(i["r"], i["b"], i["periods"], i["count_nan"]),
    "down_capture": lambda i: relative.down_capture(i["r"], i["b"], i["periods"], i["count_nan"]),
    "up_down_capture": lambda i: series.ratio(
        relative.up_capture(i["r"], i["b"], i["periods"], i["count_nan"]),
        relative.down_capture(i["r"], i["b"], i["periods"], i["count_nan"]),
    ),
    "stability": lambda i: ratios.stability(i["r"]),
    "tail_ratio": lambda i: tail.tail_ratio(i["r"]),
    "skew": lambda i: ratios.skewness(i["r"]),
    "kurtosis": lambda i: ratios.excess_kurtosis(i["r"]),
    "hit_rate": lambda i: ratios.hit_rate(i["r"]),
    "rolling_sharpe": lambda i: series.rolling(
        ratios.sharpe, i["window"], i["r"], risk_free=i["rf"], periods=i["periods"]
    ),
    "rolling_vol": lambda i: series.rolling(volatility.volatility, i["window"], i["r"], periods=i["periods"]),
    "rolling_max_drawdown": lambda i: series.rolling(drawdown.max_drawdown, i["window"], i["r"]),
    "rolling_beta": lambda i: series.rolling(relative.beta, i["window"], i["r"], i["b"]),
    "rolling_alpha": lambda i: series.rolling(
        relative.alpha, i["window"], i["r"], i["b"], periods=i["periods"], annualise="compound"
    ),
    "rolling_up_capture": lambda i: series.rolling(
        relative.up_capture, i["window"], i["r"], i["b"], periods=i["periods"], count_missing=i["count_nan"]
    ),
    "rolling_down_capture": lambda i: series.rolling(
        relative.down_capture, i["window"], i["r"], i["b"], periods=i["periods"], count_missing=i["count_nan"]
    ),
    "rolling_sortino": lambda i: series.rolling(
        ratios.sortino, i["window"], i["r"], risk_free=i["mar"], periods=i["periods"]
    ),
}
# other names that sources have for the same statistics
SAME = {
    "annual_return": "cagr",
    "cum_final": "total_return",
    "cum_returns_final": "total_return",
    "annual_volatility": "annual_vol",
    "volatility": "annual_vol",
    "max_dd": "max_drawdown",
    "mdd": "max_drawdown",
    "calmar_ratio": "calmar",
    "sharpe_ratio": "sharpe",
    "sortino_ratio": "sortino",
    "downside_deviation": "downside_risk",
    "omega_ratio": "omega",
    "capture": "up_down_capture",
    "capture_ratio": "up_down_capture",
    "win_rate": "hit_rate",
    "roll_sharpe": "rolling_sharpe",
    "roll_max_drawdown": "rolling_max_drawdown",
    "roll_beta": "rolling_beta",
    "roll_alpha": "rolling_alpha",
    "roll_vol": "rolling_vol",
    "roll_up_capture": "rolling_up_capture",
    "roll_down_capture": "rolling_down_capture",
}


@handles("series_stat")
def series_stat(i: Answer) -> Answer | None:
    stat = SERIES.get(SAME.get(i["stat"], i["stat"]))
    if stat is None:
        return None
    bench = i.get("bench", i.get("benchmark"))
    rate = numbers(i.get("rf", 0.0))
    given = {
        "r": numbers(i["returns"]),
        "b": None if bench is None else numbers(bench),
        "rf": rate,
        "mar": numbers(i.get("mar", i.get("target", rate))),
        "required": float(i.get("required", i.get("required_return", i.get("mar", 0.0)))),
        "periods": float(i.get("periods", 252)),
        "ddof": int(i.get("ddof", 1)),
        "count_nan": bool(i.get("count_nan", True)),
        "window": int(i.get("window", 0)),
    }
    return {"value": stat(given)}


@handles("dataset_stat")
def dataset_stat(i: Answer) -> Answer | None:
    dates, prices = closes(i["dataset"], i["symbol"], i["field"])
    daily = r.simple_returns(prices)
    # LEAN stamps a bar with the end of its day, which is the next day at midnight
    ends = np.array([d + timedelta(days=1) for d in dates[1:]], "datetime64[D]")
    inside = np.ones(len(daily), np.bool_)
    if "end_time_from" in i:
        inside &= ends >= np.datetime64(i["end_time_from"])
    if "end_time_to" in i:
        inside &= ends <= np.datetime64(i["end_time_to"])
    if "to_date" in i:
        inside &= r.days_of(dates[1:]) <= np.datetime64(i["to_date"])
    if "from_date" in i:
        inside &= r.days_of(dates[1:]) >= np.datetime64(i["from_date"])
    daily = daily[inside]
    periods = float(i.get("periods", 252))
    match i["stat"]:
        case "annual_performance":
            return {"value": ratios.mean_annual_return(daily, periods)}
        case "annual_vol" | "annual_standard_deviation":
            return {"value": volatility.volatility(daily, periods)}
        case "annual_variance":
            return {"value": volatility.variance(daily, periods)}
        case "var_parametric_252":
            return {"value": -tail.parametric_var(daily, float(i["confidence"]), 252)}
        case "var_hist_252":
            return {"value": -tail.value_at_risk(daily, float(i["confidence"]), 252)}
    return None


PANEL: dict[str, Callable[[list[date], r.Floats], Any]] = {
    "total_return": lambda dates, v: r.link(r.simple_returns(v)),
    "max_drawdown": lambda dates, v: drawdown.max_drawdown(r.simple_returns(v)),
    "cagr_36525": lambda dates, v: r.annualised(r.link(r.simple_returns(v)), (dates[-1] - dates[0]).days, 365.25),
    "cagr_365": lambda dates, v: r.annualised(r.link(r.simple_returns(v)), (dates[-1] - dates[0]).days),
    "annual_vol": lambda dates, v: volatility.volatility(r.simple_returns(v)),
    "sharpe": lambda dates, v: ratios.sharpe(r.simple_returns(v)),
    "sortino": lambda dates, v: ratios.sortino(r.simple_returns(v)),
    "mtd_or_since_start": lambda dates, v: r.period_return(dates, v, "MTD", or_since_start=True),
    "qtd_or_since_start": lambda dates, v: r.period_return(dates, v, "QTD", or_since_start=True),
    "ytd_or_since_start": lambda dates, v: r.period_return(dates, v, "YTD", or_since_start=True),
    "best_day": lambda dates, v: ratios.best(r.simple_returns(v)),
    "worst_day": lambda dates, v: ratios.worst(r.simple_returns(v)),
}


@handles("panel_period")
def panel_period(i: Answer) -> Answer | None:
    dates, values = column(i["dataset"], i["column"])
    first = day(i["from"]) if "from" in i else dates[0]
    last = day(i["to"]) if "to" in i else dates[-1]
    kept = [k for k, on in enumerate(dates) if first <= on <= last][: i.get("first_n")]
    stat = PANEL.get(
        {"mtd": "mtd_or_since_start", "ytd": "ytd_or_since_start", "calc_max_drawdown": "max_drawdown"}.get(
            i["stat"], i["stat"]
        )
    )
    return {"value": stat([dates[k] for k in kept], values[kept])} if stat and kept else None


# --- drawdowns --------------------------------------------------------------------------------------------------


def curve(i: Answer) -> tuple[list[date], r.Floats]:
    """The dated curve of a drawdown case: equity, or cumulative returns as 1 + c."""
    values = numbers(i["equity"]) if "equity" in i else 1 + numbers(i["cumulative_returns"])
    start = day(i.get("dates_from", "2015-01-01"))
    if isinstance(i.get("dates"), list):
        return [day(d) for d in i["dates"]], values
    return [start + timedelta(days=k) for k in range(len(values))], values


@handles("drawdown_curve")
def drawdown_curve(i: Answer) -> Answer:
    dates, values = curve(i)
    found = drawdown.drawdowns_of_values(dates, values)
    worst = min(found, key=lambda d: d.depth, default=None)
    days = max((d.days for d in found), default=0)
    fall = -worst.depth if worst else 0.0  # both sources print it as a positive number
    return {
        "max_drawdown": fall,
        "max_drawdown_days": days,
        "max_drawdown_duration": days,
        "duration_days": days,
        "curve": [0.0, *drawdown.drawdown_curve(r.simple_returns(values)).tolist()],
        **({"peak": worst.peak, "trough": worst.trough} if worst else {}),
    }


@handles("drawdown_recovery_days")
def drawdown_recovery_days(i: Answer) -> Answer:
    dates, values = curve(i)
    found = drawdown.longest_recovery_days(r.simple_returns(values), dates) if len(values) > 1 else 0.0
    return {"max_recovery_days": int(found)}


@handles("all_time_high")
def all_time_high(i: Answer) -> Answer:
    dates, values = [day(d) for d, _ in i["prices"]], numbers([v for _, v in i["prices"]])
    start = day(i["from_exclusive"]) if i.get("from_exclusive") else None
    high = drawdown.all_time_high(dates, values, start, day(i["to"]) if i.get("to") else None)
    if not isinstance(high, drawdown.High):
        return {"high": None, "distance": None, "date": None}
    return {"high": high.value, "distance": high.distance, "date": high.on}


@handles("price_vol")
def price_vol(i: Answer) -> Answer:
    holidays = set(i.get("holidays", ()))
    inside = [
        (day(d), v) for d, v in i["prices"] if i["from"] <= d <= i["to"] and d not in holidays and day(d).weekday() < 5
    ]
    logs = r.log_returns(numbers([v for _, v in inside]))
    return {
        "period_log_vol": volatility.volatility(logs, periods=len(logs)),
        "annual_log_vol": volatility.volatility(logs),
    }


# --- against a benchmark, and Bacon's textbook -------------------------------------------------------------------


@handles("capm")
def capm(i: Answer) -> Answer | None:
    given = numbers(i["asset"]), numbers(i["bench"]), numbers(i["rf"])
    match i["stat"]:
        case "beta":
            return {"value": relative.beta(*given)}
        case "beta_bull" | "beta_up":
            return {"value": relative.beta(*given, side="up")}
        case "beta_bear" | "beta_down":
            return {"value": relative.beta(*given, side="down")}
        case "timing" | "timing_ratio":
            return {"value": series.ratio(relative.beta(*given, side="up"), relative.beta(*given, side="down"))}
        case "alpha":
            return {"value": relative.alpha(*given, annualise="no")}
    return None


BACON: dict[str, Callable[[Answer], Any]] = {
    "annual_return": lambda i: ratios.annual_return(i["r"], i["n"]),
    "mad": lambda i: volatility.mean_absolute_deviation(i["r"]),
    "skew_moment": lambda i: ratios.skewness(i["r"], "moment"),
    "skew_sample": lambda i: ratios.skewness(i["r"], "sample"),
    "kurt_moment": lambda i: ratios.kurtosis(i["r"], "moment"),
    "kurt_excess": lambda i: ratios.kurtosis(i["r"], "excess"),
    "kurt_sample": lambda i: ratios.kurtosis(i["r"], "sample"),
    "kurt_sample_excess": lambda i: ratios.kurtosis(i["r"], "sample excess"),
    "skew_kurt": lambda i: series.ratio(ratios.skewness(i["r"], "moment"), ratios.kurtosis(i["r"], "moment")),
    "sharpe": lambda i: ratios.sharpe(i["r"], i["rf"], i["n"], 0, geometric=True),
    "sharpe_sample": lambda i: ratios.sharpe(i["r"], i["rf"], i["n"], 1, geometric=True),
    "adj_sharpe": lambda i: ratios.adjusted_sharpe(i["r"], i["rf"], i["n"]),
    "sortino": lambda i: ratios.sortino(i["r"], i["mar"], 1),
    "beta": lambda i: relative.beta(i["r"], i["b"], i["rf"]),
    "beta_bull": lambda i: relative.beta(i["r"], i["b"], i["rf"], "up"),
    "beta_bear": lambda i: relative.beta(i["r"], i["b"], i["rf"], "down"),
    "alpha": lambda i: relative.alpha(i["r"], i["b"], i["rf"], i["n"], "no"),
    "jensen": lambda i: relative.alpha(i["r"], i["b"], i["rf"], i["n"], "annual returns"),
    "jensen_mod": lambda i: series.ratio(
        relative.alpha(i["r"], i["b"], i["rf"], i["n"], "annual returns"),
        relative.beta(i["r"], i["b"], i["rf"]),
    ),
    "jensen_alt": lambda i: series.ratio(
        relative.alpha(i["r"], i["b"], i["rf"], i["n"], "annual returns"),
        relative.systematic_risk(i["r"], i["b"], i["rf"], i["n"], 0),
    ),
    "appraisal": lambda i: relative.appraisal_ratio(i["r"], i["b"], i["rf"], i["n"], 0, "annual returns"),
    "correlation": lambda i: relative.correlation(i["r"], i["b"]),
    "r2": lambda i: relative.r_squared(i["r"], i["b"]),
    "systematic_risk": lambda i: relative.systematic_risk(i["r"], i["b"], i["rf"], i["n"], 0),
    "specific_risk": lambda i: relative.specific_risk(i["r"], i["b"], i["rf"], i["n"], 0),
    "total_risk": lambda i: math.hypot(
        relative.systematic_risk(i["r"], i["b"], i["rf"], i["n"], 0),
        relative.specific_risk(i["r"], i["b"], i["rf"], i["n"], 0),
    ),
    "tracking_error": lambda i: relative.tracking_error(i["r"], i["b"], i["n"]),
    "active_premium": lambda i: relative.active_return(i["r"], i["b"], i["n"]),
    "information_ratio": lambda i: relative.information_ratio(i["r"], i["b"], i["n"], geometric=True),
    "treynor": lambda i: relative.treynor(i["r"], i["b"], i["rf"], i["n"]),
    "treynor_mod": lambda i: relative.treynor(i["r"], i["b"], i["rf"], i["n"], modified=True, ddof=0),
    "m2": lambda i: relative.m_squared(i["r"], i["b"], i["rf"], i["n"]),
    "m2_excess": lambda i: relative.m_squared_excess(i["r"], i["b"], i["rf"], i["n"]),
    "m2_sortino": lambda i: relative.m_squared_sortino(i["r"], i["b"], i["mar"], i["n"]),
    "fama_beta": lambda i: relative.fama_beta(i["r"], i["b"]),
    "net_selectivity": lambda i: relative.net_selectivity(i["r"], i["b"], i["rf"], i["n"]),
    "batting_average": lambda i: relative.batting_average(i["r"], i["b"]),
    "max_drawdown": lambda i: drawdown.max_drawdown(i["r"]),
    "avg_drawdown": lambda i: -drawdown.average_drawdown(i["r"]),
    "pain_index": lambda i: drawdown.pain_index(i["r"]),
    "pain_ratio": lambda i: drawdown.pain_ratio(i["r"], i["rf"], i["n"]),
    "ulcer": lambda i: drawdown.ulcer_index(i["r"]),
    "martin": lambda i: drawdown.martin(i["r"], i["rf"], i["n"]),
    "calmar": lambda i: drawdown.calmar(i["r"], i["n"]),
    "sterling": lambda i: drawdown.sterling(i["r"], i["n"]),
    "burke": lambda i: drawdown.burke(i["r"], i["rf"], i["n"]),
    "burke_mod": lambda i: drawdown.burke(i["r"], i["rf"], i["n"], modified=True),
    "downside_dev": lambda i: volatility.downside_deviation(i["r"], i["mar"], 1),
    "downside_var": lambda i: volatility.lower_partial_moment(i["r"], i["mar"], 2),
    "downside_pot": lambda i: volatility.lower_partial_moment(i["r"], i["mar"], 1),
    "downside_freq": lambda i: volatility.frequency(i["r"], i["mar"], "below"),
    "upside_risk": lambda i: volatility.upside_deviation(i["r"], i["mar"], 1),
    "upside_var": lambda i: volatility.upper_partial_moment(i["r"], i["mar"], 2),
    "upside_pot": lambda i: volatility.upper_partial_moment(i["r"], i["mar"], 1),
    "upside_freq": lambda i: volatility.frequency(i["r"], i["mar"], "above"),
    "vol_skew": lambda i: volatility.volatility_skewness(i["r"], i["mar"]),
    "var_skew": lambda i: series.ratio(
        volatility.upside_deviation(i["r"], i["mar"], 1), volatility.downside_deviation(i["r"], i["mar"], 1)
    ),
    "omega": lambda i: ratios.omega(i["r"], i["mar"]),
    "gain_loss": lambda i: ratios.omega(i["r"], i["mar"]),
    "omega_sharpe": lambda i: ratios.kappa(i["r"], i["mar"], 1),
    "omega_excess": lambda i: relative.omega_excess_return(i["r"], i["b"], i["mar"], i["n"]),
    "upr": lambda i: ratios.upside_potential_ratio(i["r"], i["mar"]),
    "kappa": lambda i: ratios.kappa(i["r"], i["mar"], i["order"]),
    "prospect": lambda i: ratios.prospect_ratio(i["r"], i["mar"]),
    "d_ratio": lambda i: ratios.d_ratio(i["r"]),
}
SAME_BACON = {
    "ann_return": "annual_return",
    "annual_geom": "annual_return",
    "mean_abs_dev": "mad",
    "skew_kurt_ratio": "skew_kurt",
    "skewness_kurtosis": "skew_kurt",
    "adjusted_sharpe": "adj_sharpe",
    "jensen_alpha": "jensen",
    "jensen_modified": "jensen_mod",
    "mod_jensen": "jensen_mod",
    "jensen_alternative": "jensen_alt",
    "alt_jensen": "jensen_alt",
    "appraisal_ratio": "appraisal",
    "info_ratio": "information_ratio",
    "m_squared": "m2",
    "m2_exc": "m2_excess",
    "m2sortino": "m2_sortino",
    "ulcer_index": "ulcer",
    "martin_ratio": "martin",
    "max_dd": "max_drawdown",
    "mdd": "max_drawdown",
    "burke_modified": "burke_mod",
    "downside_deviation": "downside_dev",
    "downside_risk": "downside_dev",
    "downside_variance": "downside_var",
    "downside_potential": "downside_pot",
    "downside_frequency": "downside_freq",
    "upside_variance": "upside_var",
    "upside_potential": "upside_pot",
    "upside_frequency": "upside_freq",
    "upside_potential_ratio": "upr",
    "volatility_skewness": "vol_skew",
    "variability_skewness": "var_skew",
    "omega_ratio": "omega",
    "bernardo_ledoit": "gain_loss",
    "prospect_ratio": "prospect",
}


@handles("bacon")
def bacon(i: Answer) -> Answer | None:
    stat = BACON.get(SAME_BACON.get(i["stat"], i["stat"]))
    if stat is None:
        return None
    rate = numbers(i.get("rf", 0.0))
    given = {
        "r": numbers(i["portfolio"]),
        "b": numbers(i["benchmark"]),
        "n": float(i.get("periods", 12)),
        "rf": rate,
        "mar": numbers(i.get("mar", 0.0)),
        "order": float(i.get("order", i.get("l", 2))),
    }
    return {"value": stat(given)}


# --- the tail ---------------------------------------------------------------------------------------------------

QUANTILES = {
    "lower": "lower", "higher": "higher", "nearest": "nearest", "inverted_cdf": "inverted_cdf", "hazen": "hazen",
    "weibull": "weibull", "median_unbiased": "median_unbiased", "normal_unbiased": "normal_unbiased", "linear": "linear",
}  # fmt: skip


@handles("var")
def var(i: Answer) -> Answer | None:
    values = numbers(i["returns"])
    confidence = float(i["confidence"]) if "confidence" in i else 1 - float(i.get("cutoff", 0.05))
    stat: str = i["stat"]
    for prefix in ("quantile_", "var_hist_"):  # the sources print the quantile itself, a loss negative
        if stat.startswith(prefix) and stat.removeprefix(prefix) in QUANTILES:
            return {"value": -tail.value_at_risk(values, confidence, None, QUANTILES[stat.removeprefix(prefix)])}  # type: ignore[arg-type]
    match stat:
        case "cvar" | "cvar_hist" | "es" | "es_hist" | "conditional_value_at_risk" | "cvar_empyrical" | "cvar_cutoff":
            return {"value": -tail.expected_shortfall(values, confidence, None)}
        case "cvar_weighted" | "es_weighted":
            return {"value": -tail.expected_shortfall(values, confidence, None, "weighted")}
        case "var_parametric" | "var_gaussian" | "var_normal":
            return {"value": -tail.parametric_var(values, confidence, None)}
        case "var_modified" | "var_cornish_fisher":
            return {"value": -tail.modified_var(values, confidence, None)}
        case "cvar_parametric" | "es_parametric" | "es_gaussian":
            return {"value": -tail.parametric_shortfall(values, confidence, None)}
    return None


@handles("kupiec_ratio", "kupiec")
def kupiec(i: Answer) -> Answer:
    test = tail.kupiec(i["observations"], i["exceptions"], float(i["p"]))
    return {
        "observed_level": test.observed_level,
        "expected": test.expected,
        "ratio": test.ratio,
        "lr": test.statistic,
        "statistic": test.statistic,
        "p_value": test.p_value,
    }


# --- money-weighted and time-weighted ----------------------------------------------------------------------------


@handles("xirr")
def xirr(i: Answer) -> Answer:
    return {"xirr": r.xirr([d for d, _ in i["cashflows"]], [float(a) for _, a in i["cashflows"]])}


@handles("xirr_undefined")
def xirr_undefined(i: Answer) -> Answer:
    return {"defined": not isinstance(xirr(i)["xirr"], Reason)}


@handles("modified_dietz")
def modified_dietz(i: Answer) -> Answer:
    flows = [(float(on), float(amount)) for on, amount in i["flows"]]
    return {"return": r.modified_dietz(float(i["start_value"]), float(i["end_value"]), flows, float(i["days"]))}


@handles("twr_simple")
def twr_simple(i: Answer) -> Answer | None:
    if i["flows"]:
        return None
    return {"total": r.twr([i["end_value"]], opening=float(i["start_value"]))}


@handles("twr_ledger")
def twr_ledger(i: Answer) -> Answer | None:
    if {kind for _, kind, _ in i["events"]} - {"deposit", "withdrawal", "interest", "fee", "tax"}:
        return None
    start, end = day(i["start"]), day(i["end"])
    drafts = [Draft(kind, day(on), "EUR", gross=Decimal(str(amount))) for on, kind, amount in i["events"]]
    drafts = [d for d in drafts if d.traded_on <= end]
    daily, values = np.zeros((end - start).days + 1), np.zeros((end - start).days + 1)
    if drafts:
        found = history(book(drafts, "EUR"), day_number(end))
        before = int(np.searchsorted(found.days, day_number(start)))
        opening = float(found.total[before - 1]) if before else 0.0
        known = r.daily_returns(found.total[before:], found.inflow[before:], found.outflow[before:], opening)
        daily[len(daily) - len(known) :] = np.nan_to_num(known)  # the source prints 0 for a day without capital
        values[len(values) - len(known) :] = found.total[before:]
    wanted = [(day(d) - start).days for d in i.get("value_dates", ())]
    return {
        "daily": daily,
        "cumulative": r.growth(daily)[1:] - 1,
        "total": r.link(daily),
        "values": values[wanted] if wanted else values,
    }


# --- ledger, lots, valuation --------------------------------------------------------------------------------------

ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
METHOD = {"FIFO": "fifo", "LIFO": "lifo", "HIFO": "hifo", "AVERAGE": "average", "AVG": "average", "AVCO": "average"}
NO_RATES = Rates({})


def exactly(value: Any) -> Decimal:
    return Decimal(str(value))


def book(
    drafts: Sequence[Draft], base: str, prices: Series | None = None, rates: Rates = NO_RATES, method: str = "fifo"
) -> Book:
    """The drafts of one portfolio as a Book: checked and posted as the product does."""
    portfolio = Portfolio(UUID(int=0), "golden", base, None, method)
    held = {d.security.security_id: d.security for d in drafts if d.security}
    return Book(portfolio, ledger(drafts, base), held, {1: prices} if prices else {}, rates, {}, "golden")


def ledger(drafts: Sequence[Draft], base: str) -> Ledger:
    return from_postings(post(d, base, d.traded_on, date(2100, 1, 1)) for d in drafts)


def lots(drafts: Sequence[Draft], method: str = "fifo", base: str = "USD") -> Lots:
    return derive(ledger(drafts, base), (method,), (base,), NO_RATES)


def trade(
    kind: str, on: date, quantity: Any, price: Any = None, gross: Any = None, fee: Any = 0, security: Security = ACME
) -> Draft:
    return Draft(
        kind,
        on,
        security.currency,
        security,
        exactly(quantity),
        None if price is None else exactly(price),
        None if gross is None else exactly(gross),
        exactly(fee),
    )


def lot_row(opened: int, units: int, cost: int) -> Answer:
    return {"date": day_of(opened), "qty": units / UNITS, "unit_cost": Decimal(cost * UNITS) / (units * MICRO)}


@handles("lots_match")
def lots_match(i: Answer) -> Answer | None:
    if (method := METHOD.get(i["method"])) is None:
        return None
    buys = [trade("buy", day(lot["date"]), lot["qty"], lot["unit_cost"]) for lot in i["open_lots"]]
    last = max(d.traded_on for d in buys)
    sells = [trade("sell", last + timedelta(days=1), n, 0) for n in i["sells"]]
    try:
        found = lots([*buys, *sells], method)
    except LedgerError:
        return {"error": "not enough lots"}
    return {
        "consumed": [lot_row(d.opened_on, d.units, d.cost) for d in found.disposals],
        "remaining": [lot_row(lot.opened_on, lot.units, lot.cost) for lot in found.open],
    }


@handles("trade_sequence")
def trade_sequence(i: Answer) -> Answer | None:
    if (method := METHOD.get(i["method"])) is None:
        return None
    start = date(2020, 1, 1)
    fills = [(start + timedelta(days=f["t"]), f["side"], f["qty"], f["price"], f.get("fee", 0)) for f in i["fills"]]
    found = lots(sided(fills), method)
    # the source lists what one fill closes in the order of the method
    return {"realised": [(d.proceeds - d.cost) / MICRO for d in found.disposals]}


def sided(fills: Sequence[tuple[date, str, Any, Any, Any]]) -> list[Draft]:
    """Plain fills (date, B or S, units, price, fee) as the trades that they are."""
    drafts: list[Draft] = []
    held = Decimal(0)
    for on, side, quantity, price, fee in fills:
        units = exactly(quantity) * (1 if side[0] == "B" else -1)
        for kind, part in sides(held, units):
            drafts.append(trade(kind, on, part, price, fee=fee))
            fee = 0
        held += units
    return drafts


@handles("short_trades")
def short_trades(i: Answer) -> Answer:
    found = lots(sided([(day(on), side, n, price, 0) for on, side, n, price in i["fills"]]), "average")
    units = Decimal(sum(lot.units for lot in found.open)) / UNITS
    cost = Decimal(sum(lot.cost for lot in found.open)) / MICRO
    answers: Answer = {"open_qty": units, "realised": sum(d.proceeds - d.cost for d in found.disposals) / MICRO}
    if units:
        answers["average_price"] = cost / units
    if i.get("price_at_end") is not None:
        answers["unrealised"] = units * exactly(i["price_at_end"]) - cost
    return answers


@handles("ledger_gains")
def ledger_gains(i: Answer) -> Answer | None:
    if (method := METHOD.get(i["method"])) is None:
        return None
    drafts = [trade(kind.lower(), day(on), n, gross=total) for on, kind, n, total in i["transactions"]]
    found = lots(drafts, method)
    cost = Decimal(sum(lot.cost for lot in found.open)) / MICRO
    units = Decimal(sum(lot.units for lot in found.open)) / UNITS
    return {
        "open_cost": cost,
        "realised": sum(d.proceeds - d.cost for d in found.disposals) / MICRO,
        "unrealised": posted(units * exactly(i["price_at_end"] or 0), "USD") - cost,
        "remaining": [
            {k: v for k, v in lot_row(lot.opened_on, lot.units, lot.cost).items() if k != "date"} for lot in found.open
        ],
    }


def gain(found: Lots, price: Any) -> Decimal:
    """Realised and unrealised gain at a price."""
    realised = Decimal(sum(d.proceeds - d.cost for d in found.disposals)) / MICRO
    return realised + sum(
        (Decimal(lot.units) / UNITS * exactly(price) - Decimal(lot.cost) / MICRO for lot in found.open), Decimal(0)
    )


@handles("position_pnl")
def position_pnl(i: Answer) -> Answer | None:
    def drafts(with_fees: bool) -> list[Draft]:
        return sided(
            [
                (day(t["date"]), t["side"], t["qty"], t["price"], t.get("fee", 0) if with_fees else 0)
                for t in i["transactions"]
            ]
        )

    try:
        bare, full = lots(drafts(False), "average"), lots(drafts(True), "average")
    except LedgerError:
        return None
    units = Decimal(sum(lot.units for lot in bare.open)) / UNITS
    cost = Decimal(sum(lot.cost for lot in bare.open)) / MICRO
    gross, net = gain(bare, i["market_price"]), gain(full, i["market_price"])
    answers = {"quantity": units, "investment": cost, "gross": gross, "net": net, "fees": gross - net}
    answers["value"] = units * exactly(i["market_price"])
    return answers | ({"average_price": cost / units} if units else {})


@handles("period_pnl")
def period_pnl(i: Answer) -> Answer:
    drafts = [
        trade(t["side"].lower(), day(t["date"]), t["qty"], t["price"], fee=t.get("fee", 0)) for t in i["transactions"]
    ]
    found = history(book(drafts, "USD", dated(i["prices"])), day_number(day(i["today"])))
    before = int(np.searchsorted(found.days, day_number(day(i["range_start_exclusive"])), side="right"))
    # no money came from outside, so the change of the net asset value is the gain
    return {"net_pnl": found.total[-1] - (found.total[before - 1] if before else 0.0)}


@handles("fx_position")
def fx_position(i: Answer) -> Answer:
    """The day-by-day valuation in the base currency, with and without the fees."""
    security = Security(1, "ACME", "Acme", "XNYS", i["asset_currency"], "Equity")
    rates = Rates({i["base"]: dated(i["fx"])}, pivot=i["asset_currency"])
    prices = dated([[i["as_of"], i["market_price"]]])

    def worth(with_fees: bool) -> tuple[float, float]:
        drafts = [
            trade(
                t["side"].lower(),
                day(t["date"]),
                t["qty"],
                t["price"],
                fee=t["fee"] if with_fees else 0,
                security=security,
            )
            for t in i["transactions"]
        ]
        found = history(book(drafts, i["base"], prices, rates), day_number(day(i["as_of"])))
        return float(found.value[-1, 0]), float(found.bought.sum() - found.received.sum())

    (value, cost), (_, full) = worth(False), worth(True)
    return {
        "value_base": value,
        "cost_base_at_trade_fx": cost,
        "gross_with_fx": value - cost,
        "fee_base": full - cost,
        "net_with_fx": value - full,
    }


@handles("trade")
def closed_trade(i: Answer) -> Answer | None:
    if "entry" in i:
        entries = [trade("buy", day(on), n, price) for on, n, price in i["entry"]]
        exits = [trade("sell", day(on), n, price) for on, n, price in i["exit"]]
    else:
        entries = [trade("buy", day(i["start"]), 1, gross=i["entry_total"])]
        exits = [trade("sell", day(i["end"]), 1, gross=i["exit_total"])]
    found = lots([*entries, *exits])
    if found.open or not found.disposals:
        return None
    cost, proceeds = (sum(getattr(d, name) for d in found.disposals) / MICRO for name in ("cost", "proceeds"))
    flows = ledger([*entries, *exits], "USD")
    return {
        "pnl": proceeds - cost,
        "return": r.twr([proceeds], opening=cost),
        "irr": r.xirr(flows.traded_on.astype("datetime64[D]"), flows.net / MICRO),
        "holding_days": max(d.closed_on - d.opened_on for d in found.disposals),
    }


# cash entries of Portfolio Performance: (kind, sign of the amount); an amount is what moved, after fees and taxes
CASH_ENTRIES = {
    "DEPOSIT": ("deposit", 1), "REMOVAL": ("withdrawal", 1), "INTEREST": ("interest", 1), "INTEREST_CHARGE": ("interest", -1),
    "DIVIDENDS": ("dividend", 1), "TAXES": ("tax", 1), "TAX_REFUND": ("tax", -1), "FEES": ("fee", 1), "FEES_REFUND": ("fee", -1),
    "TRANSFER_IN": ("fx_in", 1), "TRANSFER_OUT": ("fx_out", 1),
}  # fmt: skip
UNIT_ENTRIES = {"BUY": "buy", "SELL": "sell", "DELIVERY_INBOUND": "transfer_in", "DELIVERY_OUTBOUND": "transfer_out"}


def exported(t: Answer, base: str, held: dict[str, Security]) -> list[Draft]:
    """One entry of a Portfolio Performance file as drafts. The cash side of a trade comes with its units and is left out.

    Units that were paid in another currency than their own: in the base currency with the rate of the entry, else after a
    conversion at that rate.
    """
    on, amount, security = day(t["date"]), exactly(t["amount"]), held.get(t["security"])
    cost = {
        kind: sum((exactly(u["amount"]) for u in t["units"] if u["type"] == kind), Decimal(0))
        for kind in ("FEE", "TAX")
    }
    forex = next((u for u in t["units"] if u["type"] == "GROSS_VALUE"), None)
    if t["book"] == "cash":
        if t["type"] not in CASH_ENTRIES:
            return []
        kind, sign = CASH_ENTRIES[t["type"]]
        gross = sign * amount
        if kind in ("interest", "dividend", "deposit", "fx_in"):
            gross += cost["FEE"] + cost["TAX"]
        elif kind != "tax" and kind != "fee":
            gross -= cost["FEE"] + cost["TAX"]
        own = security if kind == "dividend" else None
        return [Draft(kind, on, t["currency"], own, gross=gross, fees=cost["FEE"], taxes=cost["TAX"])]
    assert security is not None
    kind, before, fx = UNIT_ENTRIES[t["type"]], [], None
    if kind in ("transfer_in", "transfer_out"):  # the cost of a delivery is in its value, no cash moves
        cost = dict.fromkeys(cost, Decimal(0))
    if t["currency"] != security.currency:
        assert forex is not None
        own = exactly(forex["forex"])
        if t["currency"] == base:
            cost = {name: value * own / amount for name, value in cost.items()}
            fx, amount = round(amount / own, 10), own
        else:
            ways = (("fx_out", t["currency"], amount), ("fx_in", security.currency, own))
            before = [Draft(way, on, currency, gross=moved) for way, currency, moved in ways]
            amount, cost = own, {name: value * own / amount for name, value in cost.items()}
    paid = cost["FEE"] + cost["TAX"]
    gross = amount + (paid if kind == "sell" else -paid if kind == "buy" else 0)
    return [
        *before,
        Draft(
            kind,
            on,
            security.currency,
            security,
            exactly(t["shares"]),
            gross=gross,
            fees=cost["FEE"],
            taxes=cost["TAX"],
            fx=fx,
        ),
    ]


@handles("ledger_valuation")
def ledger_valuation(i: Answer) -> Answer | None:
    """The whole file up to the day as one portfolio, valued to the cent."""
    held = {
        s["name"]: Security(n, s["ticker"] or s["name"], s["name"], "XNYS", s["currency"], "Equity")
        for n, s in enumerate(i["ledger"]["securities"], 1)
    }
    end = day_number(day(i["date"]))
    entries = [t for t in i["ledger"]["transactions"] if day_number(day(t["date"])) <= end]
    drafts = [d for t in sorted(entries, key=lambda t: t["date"]) for d in exported(t, i["base"], held)]
    prices = {
        held[s["name"]].security_id: dated([*s["prices"], *([s["latest"]] if s["latest"] else [])])
        for s in i["ledger"]["securities"]
        if s["prices"] or s["latest"]
    }
    portfolio = Portfolio(UUID(int=0), "golden", i["base"], None, "fifo")
    rates = Rates({"USD": dated(i["eurusd"])})
    full = Book(
        portfolio, ledger(drafts, i["base"]), {s.security_id: s for s in held.values()}, prices, rates, {}, "golden"
    )
    found = value(full, end, {}, datetime(2100, 1, 1, tzinfo=UTC))
    return None if found.missing else {"value": found.total}


@handles("security_fx_cost")
def security_fx_cost(i: Answer) -> Answer:
    """A USD security bought from several accounts: what was paid in euros is its cost there, dollars count at their day's rate."""
    security = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
    rates = dated([[on, rate] for on, _, _, rate in i["purchases"] if rate])
    units = exactly(i["shares"]) / len(i["purchases"])
    drafts = [
        Draft(
            "buy",
            day(on),
            "USD",
            security,
            round(units, 10),
            gross=exactly(paid),
            fx=Decimal(1) if currency == "EUR" else None,
        )
        for on, currency, paid, _ in i["purchases"]
    ]
    last = max(d.traded_on for d in drafts)
    held = sum((d.quantity for d in drafts if d.quantity), Decimal(0))
    price = exactly(i["market_value_eur"]) * exactly(rates.values[-1]) / held
    full = book(drafts, "EUR", dated([[last.isoformat(), price]]), Rates({"USD": rates}))
    (position,) = value(full, day_number(last), {}, datetime(2100, 1, 1, tzinfo=UTC)).positions
    assert position.cost_base is not None
    assert position.value_base is not None
    gained = posted(position.value_base, "EUR") - position.cost_base
    return {"cost_eur": position.cost_base, "gain_eur": gained, "gain_pct": gained / position.cost_base}


# --- splits -----------------------------------------------------------------------------------------------------


def split(on: date, ratio: Any) -> Draft:
    return Draft("split", on, ACME.currency, ACME, ratio=exactly(ratio))


@handles("split_position")
def split_position(i: Answer) -> Answer:
    drafts = [
        split(day(on), exactly(a) / exactly(b)) if kind == "SPLIT" else trade(kind.lower(), day(on), a, b)
        for on, kind, a, b in i["events"]
    ]
    found = lots(drafts, "average")
    units = Decimal(sum(lot.units for lot in found.open)) / UNITS
    cost = Decimal(sum(lot.cost for lot in found.open)) / MICRO
    return {"quantity": units, "investment": cost} | ({"average_price": cost / units} if units else {})


@handles("split_return")
def split_return(i: Answer) -> Answer:
    before, after = day(i["prev"]), day(i["ex"])
    drafts = [trade("buy", before, i["shares_before"], i["raw_close_prev"]), split(after, i["ratio"])]
    answers: Answer = {"shares_after": Decimal(sum(lot.units for lot in lots(drafts).open)) / UNITS}
    if i["raw_close_ex"] is not None:
        prices = dated([[i["prev"], i["raw_close_prev"]], [i["ex"], i["raw_close_ex"]]])
        answers["day_return"] = r.simple_returns(history(book(drafts, "USD", prices), day_number(after)).value[:, 0])[
            -1
        ]
    return answers


# --- FX ---------------------------------------------------------------------------------------------------------


@handles("fx_lookup")
def fx_lookup(i: Answer) -> Answer:
    """The source takes the first rate before there is one: `rate_or_first`; valuations ask `rate`, which says NoRate."""
    return {"rate": Rates({"USD": dated(i["rates"])}).rate_or_first("EUR", "USD", day_number(day(i["date"])))}


@handles("fx_chain")
def fx_chain(i: Answer) -> Answer:
    """EUR → USD → CHF, both legs seen from the dollar; before the first rate as in `fx_lookup`."""
    per_dollar = Series((legs := dated(i["first"])).days, 1 / legs.values)
    rates = Rates({"EUR": per_dollar, "CHF": dated(i["second"])}, pivot="USD")
    found = rates.rate_or_first("EUR", "CHF", day_number(day(i["date"])))
    return {"rate": found if isinstance(found, NoRate) else round(found, 12)}


@handles("ecb_convert")
def ecb_convert(i: Answer) -> Answer | None:
    found = ecb().rate(i["from"], i["to"], day_number(day(i["date"])))
    return None if isinstance(found, NoRate) else {"value": exactly(i["amount"]) * found}


@handles("fx_missing")
def fx_missing(i: Answer) -> Answer | None:
    on = day_number(day(i["date"]))
    found = ecb().series[i["currency"]].at(on) if i["currency"] in ecb().series else None
    return {"available": False, "last_available": None} if found is None else {
        "available": found[0] == on, "last_available": day_of(found[0])}  # fmt: skip


@handles("fx_value")
def fx_value(i: Answer) -> Answer | None:
    found = Rates({"USD": dated([["2015-01-01", i["eurusd"]]])}).rate("USD", "EUR", day_number(date(2015, 1, 1)))
    return None if isinstance(found, NoRate) else {"eur": posted(exactly(i["amount"]) * found, "EUR")}


# --- calendar ---------------------------------------------------------------------------------------------------


@functools.cache
def sessions(exchange: str) -> Sessions:
    """The sessions of an exchange as the product stores them."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar(exchange, start="1990-01-01")
    days = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int32)
    opened, closed = (
        times.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)
        for times in (calendar.opens, calendar.closes)
    )
    return Sessions(exchange, str(calendar.tz), days, opened, closed)


@handles("holiday")
def holiday(i: Answer) -> Answer:
    found = sessions(i["exchange"])
    return {"open": [found.is_session(day_number(day(d))) for d in i["dates"]]}


def year(i: Answer) -> tuple[date, date]:
    return date(i["year"], 1, 1), date(i["year"], 12, 31)


@handles("holiday_year")
def holiday_year(i: Answer) -> Answer:
    first, last = year(i)
    days = (first + timedelta(days=k) for k in range((last - first).days + 1))
    found = sessions(i["exchange"])
    return {"holidays": [d for d in days if d.weekday() < 5 and not found.is_session(day_number(d))]}


@handles("session_count")
def session_count(i: Answer) -> Answer:
    first, last = (day_number(d) for d in year(i))
    return {"sessions": len(sessions(i["exchange"]).between(first, last))}


@handles("session_gap")
def session_gap(i: Answer) -> Answer:
    return {"next_session": sessions(i["exchange"]).next(day_number(day(i["after"])))}


EXCHANGE = {"US equity": "XNYS", "US": "XNYS", "UK equity": "XLON", "German equity": "XETR", "EU equity": "XPAR",
            "Canadian equity": "XTSE", "Swiss equity": "XSWX", "Japanese equity": "XTKS"}  # fmt: skip


@handles("settlement")
def settlement(i: Answer) -> Answer | None:
    exchange = EXCHANGE.get(i["market"])
    if exchange is None:
        return None
    return {"settlement_date": settlement_date(sessions(exchange), exchange, day(i["trade_date"]))}


# --- dividends and adjusted prices --------------------------------------------------------------------------------

FREQUENCIES = {"none": "NONE", "irregular": "UNKNOWN", "monthly": "MONTHLY", "quarterly": "QUARTERLY", "semi-annual": "SEMIANNUAL",
               "annual": "ANNUAL"}  # fmt: skip


@handles("dividend_periodicity")
def dividend_periodicity(i: Answer) -> Answer:
    amounts = [exactly(a) for a in i.get("amounts", [1] * len(i["payment_dates"]))]
    return {
        "periodicity": FREQUENCIES[periodicity([(day(d), a) for d, a in zip(i["payment_dates"], amounts, strict=True)])]
    }


@handles("dividend_yield_on_cost")
def dividend_yield_on_cost(i: Answer) -> Answer:
    rates = Rates({k[3:].upper(): dated(v) for k, v in i.items() if k.startswith("eur") and isinstance(v, list)})
    paid = [(day(on), exactly(amount)) for on, amount in i["dividends"]]
    currency, base = i.get("dividend_currency", i["cost_currency"]), i.get("base", i["cost_currency"])
    return {"rate_per_year": yield_on_cost(paid, currency, exactly(i["cost"]), i["cost_currency"], base, rates)}


@handles("dividend_withholding")
def dividend_withholding(i: Answer) -> Answer:
    per_share = exactly(i["per_share"]) if "per_share" in i else None
    w = withholding(exactly(i["gross"]), exactly(i["withholding"]), exactly(i.get("fees", 0)), per_share)
    return {"net": w.net, "withholding_rate": w.rate, "shares": w.shares}


@handles("dividend_factor")
def factor_of_dividend(i: Answer) -> Answer:
    return {"factor": dividend_factor(i["raw_close_cum"], i["cash"])}


@handles("adjclose_step")
def adjclose_step(i: Answer) -> Answer:
    closes = dated([(i["prev"], i["close_prev"]), (i["ex"], i["close_ex"])])
    ex = day_number(day(i["ex"]))
    adjusted = back_adjusted(closes, {ex: i["cash"]}, {ex: i["ratio"]} if "ratio" in i else {}).values
    return {"adj_ratio": adjusted[1] / adjusted[0]}


@handles("wiki_total_return")
def wiki_total_return(i: Answer) -> Answer:
    rows = [row for row in table(i["dataset"]) if row["ticker"] == i["symbol"] and i["from"] <= row["date"] <= i["to"]]
    cash = {day_number(day(row["date"])): float(row["ex-dividend"]) for row in rows if float(row["ex-dividend"])}
    ratios_ = {
        day_number(day(row["date"])): float(row["split_ratio"]) for row in rows if float(row["split_ratio"]) != 1
    }
    grown = growth_of_one(dated([(row["date"], row["close"]) for row in rows]), cash, ratios_, "ex")
    return {"total_return": grown.values[-1] - 1}


@handles("yahoo_split_event")
def yahoo_split_event(i: Answer) -> Answer:
    meta = {key: i[key] for key in ("gmtoffset", "exchangeTimezoneName") if key in i}
    ((on, ratio),) = splits_in({"meta": meta, "events": {"splits": {str(i["event"]["date"]): i["event"]}}})
    return {"date": on, "ratio": ratio}


@handles("ticker_at_date")
def ticker_at_date(i: Answer) -> Answer:
    rows = [
        (date.fromisoformat(row["valid_through_yyyymmdd"]), row["ticker"])
        for row in table(i["map_dataset"])
        if row["permanent_symbol"] == i["permanent"]
    ]
    return {"ticker": symbol_on(rows, day(i["date"]))}


# --- broker import ----------------------------------------------------------------------------------------------


def file_of(i: Answer) -> bytes | None:
    """The file of a case, None where the shared folder does not have it (see ABSENT)."""
    path = SHARED / "data" / i["file"]
    return path.read_bytes() if path.is_file() else None


def imported(raw: bytes) -> brokers.Statement:
    """A broker's file, or any other table under the map that the product proposes. Raises NotReadable."""
    found = brokers.read(raw)
    if found is None:
        text = text_of(raw)
        found = read_under(text, brokers.proposed(text))
    return found


TRADES = ("buy", "sell", "short", "cover")


def in_percent(record: brokers.Record) -> bool:
    """Whether it trades a bond, whose units are its face value."""
    return "price" not in record.cells or (record.cells["price"] == "1" and not record.cells["symbol"].isalpha())


@handles("import_rows")
def import_rows(i: Answer) -> Answer | None:
    """The rows of one account of the file, the one that trades most; of trades those in units, not in face value."""
    if (raw := file_of(i)) is None:
        return None
    found = [one for one in imported(raw).records if one.books]
    if i.get("subset") == "trades":
        found = [one for one in found if one.cells["kind"] in TRADES and not in_percent(one)]
        accounts = [one.cells.get("account", "") for one in found]
        found = [one for one in found if one.cells.get("account", "") == max(accounts, key=accounts.count)]
    elif i.get("subset"):
        found = [one for one in found if one.cells["kind"] == i["subset"].removesuffix("s")]
    rows = []
    for one in found:
        row = {"date": one.cells["date"], "type": one.cells["kind"], "symbol": security_of(one.cells)}
        row |= {"qty": one.cells.get("quantity"), "price": one.cells.get("price"), "amount": cash_of(one)[1]}
        row = {k: float(v) if k in ("qty", "price", "amount") and v else v for k, v in row.items()}
        row["settle"] = one.cells.get("settlement")
        rows.append({k: v for k, v in row.items() if v})
    return {"rows": rows}


WRONG = {"date": "invalid date", "kind": "unknown activity type", "currency": "invalid currency"}


@handles("import_hostile")
def import_hostile(i: Answer) -> Answer | None:
    if (raw := file_of(i)) is None:
        return None
    text = text_of(raw)
    used = brokers.proposed(text)
    table, statement = sheet(text, used.delimiter, used.header_line), read_under(text, used)
    words = {row.lines[0]: row.cells[used.columns["kind"]] for row in table.rows}
    refused = {}
    for one in statement.records:
        if one.error is not None:
            missing = one.error.value in (None, "") and one.error.field == "kind"
            why = "missing activity type" if missing else WRONG.get(one.error.field, f"non-numeric {one.error.field}")
            refused[one.cells["date"]] = why
    said = [f"{one.cells['date']} {words[one.line]} {security_of(one.cells)} {one.cells.get('quantity', '')}".strip()
            for pair in brokers.duplicates(statement) for one in pair]  # fmt: skip
    ratios = [
        (one, Fraction(one.cells["ratio"]).limit_denominator(1000)) for one in statement.records if "ratio" in one.cells
    ]
    return {
        "preamble_lines": len(table.preamble),
        "header_line": table.header_line,
        "data_rows": len(table.rows) - len(table.footers),
        "footer_lines": len(table.footers),
        "must_reject_rows": refused,
        "duplicate_candidate": said,
        "splits": [
            {"symbol": one.cells["symbol"], "ratio": f"{n.numerator}:{n.denominator}", "date": one.cells["date"]}
            for one, n in ratios
        ],
    }


@handles("import_reject")
def import_reject(i: Answer) -> Answer | None:
    if (raw := file_of(i)) is None:
        return None
    try:
        records = imported(raw).records
    except NotReadable:
        return {"accepted": False}
    return {"accepted": any(one.books for one in records) and not any(one.error for one in records)}


@handles("import_balances")
def import_balances(i: Answer) -> Answer | None:
    if (raw := file_of(i)) is None:
        return None
    sums = brokers.balances(imported(raw))
    return {
        "cash": next(iter(sums.cash.values())) if len(sums.cash) == 1 else sums.cash,
        "positions": sums.units,
        "dividends": sums.dividends,
        "withholding": sums.withheld,
    }


# --- tax --------------------------------------------------------------------------------------------------------


@handles("wash_sale")
def _wash_sale(i: Answer) -> Answer:
    """Lots of one security, in the order given; those of one `buy_lot` (or of one name) were bought together."""
    names = [str(lot["lot"]) for lot in i["lots"]]
    parcels = [
        Parcel(
            purchase=str(lot.get("buy_lot") or lot["lot"]),
            security=1,
            opened_on=day_number(day(lot["buy_date"])),
            units=int(Decimal(str(lot["qty"])) * UNITS),
            cost=int(Decimal(str(lot["cost"])) * MICRO),
            proceeds=int(Decimal(str(lot.get("proceeds") or 0)) * MICRO),
            closed_on=day_number(day(lot["sell_date"])) if lot.get("sell_date") else None,
        )
        for lot in i["lots"]
    ]
    pieces = wash_sales(parcels)
    name_of = {id(p): name for p, name in zip(parcels, names, strict=True)}
    basis: dict[str, int] = {}
    for name in dict.fromkeys(name_of[id(p.parcel)] for p in pieces if p.added):
        basis[name] = sum(p.cost + p.added for p in pieces if name_of[id(p.parcel)] == name)
    return {
        "disallowed": Decimal(sum(p.disallowed for p in pieces)) / MICRO,
        "deductible_loss": Decimal(-sum(p.gain for p in pieces if p.gain < 0)) / MICRO,
        "recognised_gains": Decimal(sum(p.gain for p in pieces if p.gain > 0)) / MICRO,
        "adjusted_basis": {name: Decimal(cost) / MICRO for name, cost in basis.items()},
    }


@handles("wash_window")
def _wash_window(i: Answer) -> Answer:
    return {"in_window": [in_wash_window(day(i["sell_date"]), day(bought)) for bought in i["buys"]]}


@handles("holding_term")
def _holding_term(i: Answer) -> Answer:
    return {"term": holding_term(day(i["acquired"]), day(i["sold"]))}
