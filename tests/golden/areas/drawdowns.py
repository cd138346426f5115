"""Drawdowns, all-time highs and the volatility of a span of prices."""

from __future__ import annotations

from datetime import date, timedelta

from areas import Answers, Inputs, Refused, handles
from areas.datasets import day, numbers
from core import returns as r
from core.metrics import drawdown, volatility


def consecutive(start: date, n: int) -> list[date]:
    return [start + timedelta(days=k) for k in range(n)]


@handles("drawdown_curve")
def drawdown_curve(i: Inputs) -> Answers:
    """Equity, or cumulative returns as 1 + c, on consecutive days. Both sources print a fall as a positive number.

    Where a recovery begins and ends is not answered: here it ends on the first day back at the high, in Portfolio Performance
    on the first above it.
    """
    values = numbers(i["equity"]) if "equity" in i else 1 + numbers(i["cumulative_returns"])
    found = drawdown.drawdowns_of_values(consecutive(day(i["dates_from"]), len(values)), values)
    return {"max_drawdown": -min((d.depth for d in found), default=0.0)}


@handles("drawdown_recovery_days")
def drawdown_recovery_days(i: Inputs) -> Answers:
    if i["dates"] != "consecutive calendar days":
        raise Refused(f"does not know the dates {i['dates']!r}")
    values = numbers(i["equity"])
    if len(values) < 2:
        return {"max_recovery_days": 0}
    days = consecutive(date(2015, 1, 1), len(values))
    return {"max_recovery_days": int(drawdown.longest_recovery_days(r.simple_returns(values), days))}


@handles("all_time_high")
def all_time_high(i: Inputs) -> Answers:
    dates, values = [day(d) for d, _ in i["prices"]], numbers([v for _, v in i["prices"]])
    high = drawdown.all_time_high(dates, values, day(i["from_exclusive"]), day(i["to"]))
    if not isinstance(high, drawdown.High):
        return dict.fromkeys(("high", "distance", "date"), high)
    return {"high": high.value, "distance": high.distance, "date": high.on}


@handles("price_vol")
def price_vol(i: Inputs) -> Answers:
    """Closes of the days that are neither weekend nor holiday."""
    holidays = set(i["holidays"])
    inside = [v for d, v in i["prices"] if i["from"] <= d <= i["to"] and d not in holidays and day(d).weekday() < 5]
    return {"period_log_vol": volatility.period_volatility(r.simple_returns(numbers(inside)))}
