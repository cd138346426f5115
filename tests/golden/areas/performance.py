"""Money-weighted and time-weighted returns."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.books import book
from areas.datasets import day, numbers
from core import returns as r
from core.fx import day_number
from core.ledger import Draft
from core.reasons import Reason
from core.valuation import history

YEARS = {"act/365F": 365.0, "act/360": 360.0}


@handles("xirr")
def xirr(i: Inputs) -> Answers:
    year = i.word("day_count", YEARS) if i.get("day_count") else 365.0
    dates, amounts = [d for d, _ in i["cashflows"]], numbers([a for _, a in i["cashflows"]])
    return {"xirr": r.xirr(dates, amounts, year)}


@handles("xirr_undefined")
def xirr_undefined(i: Inputs) -> Answers:
    return {"defined": not isinstance(xirr(i)["xirr"], Reason)}


@handles("annualise")
def annualise(i: Inputs) -> Answers:
    found = r.annualised(float(i["total_return"]), (day(i["end"]) - day(i["start"])).days)
    if isinstance(found, Reason):
        raise Refused(str(found))
    return {"annualised": found}


@handles("modified_dietz")
def modified_dietz(i: Inputs) -> Answers:
    flows = [(float(on), float(amount)) for on, amount in i["flows"]]
    return {"return": r.modified_dietz(float(i["start_value"]), float(i["end_value"]), flows, float(i["days"]))}


@handles("twr_simple")
def twr_simple(i: Inputs) -> Answers:
    if i["flows"]:
        raise Refused("flows without the values of their days: a time-weighted return needs both")
    return {"total": r.twr([i["end_value"]], opening=float(i["start_value"]))}


BUCKETS: dict[str, r.Bucket] = {"week": "W", "weekly": "W", "month": "M", "monthly": "M", "quarter": "Q", "quarterly": "Q", "year": "Y",
                                "yearly": "Y", "W": "W", "M": "M", "Q": "Q", "Y": "Y"}  # fmt: skip


@handles("twr_link")
def twr_link(i: Inputs) -> Answers:
    """Daily returns linked to periods; a cumulative return is the daily ones of which it is made."""
    if ("daily_returns" in i) == ("cumulative_target" in i):
        raise Refused("daily returns or cumulative ones, one of both")
    daily = (
        numbers(i["daily_returns"])
        if "daily_returns" in i
        else r.simple_returns(np.concatenate(([1.0], 1 + numbers(i["cumulative_target"]))))
    )
    answers: Answers = {"cumulative": r.growth(daily)[1:] - 1, "total": r.link(daily)}
    if "dates" in i:
        answers["period_returns"] = r.aggregate([day(d) for d in i["dates"]], daily, i.word("period", BUCKETS))[1]
    elif i["period"] not in ("total", "all", "day", "daily"):
        raise Refused(f"periods of a {i['period']} need dates")
    return answers


EVENTS = ("deposit", "withdrawal", "interest", "fee", "tax")
REPORTS = {"all": ("daily", "cumulative", "total", "values"), "total_only": ("total",), "values": ("values",)}


@handles("twr_ledger")
def twr_ledger(i: Inputs) -> Answers:
    if unknown := {kind for _, kind, _ in i["events"]} - set(EVENTS):
        raise Refused(f"does not know the event {sorted(unknown)}")
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
    whole = {
        "daily": daily,
        "cumulative": r.growth(daily)[1:] - 1,
        "total": r.link(daily),
        "values": values[wanted] if wanted else values,
    }
    return {name: whole[name] for name in (i.word("report", REPORTS) if "report" in i else REPORTS["all"])}
