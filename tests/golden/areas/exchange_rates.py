"""Exchange rates: looked up, chained, and those of the ECB."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.datasets import dated, day, ecb, exactly
from core.fx import Rates, Series, day_number, day_of
from core.money import posted
from core.reasons import NoRate

CARRIED = ("previous", "last", "carr", "before")  # in what a source calls the rate of the day before


def rate(rates: Rates, frm: str, to: str, on: int) -> Decimal | NoRate:
    """The rate of a day. The source takes the first one before there is one; here nobody knew it on the day: Refused."""
    found = rates.rate(frm, to, on)
    if isinstance(found, NoRate) and all(len(series.days) for series in rates.series.values()):
        raise Refused(f"{found}: a later one does not stand in for it")
    return found


@handles("fx_lookup")
def fx_lookup(i: Inputs) -> Answers:
    return {"rate": rate(Rates({"USD": dated(i["rates"])}), "EUR", "USD", day_number(day(i["date"])))}


@handles("fx_chain")
def fx_chain(i: Inputs) -> Answers:
    """EUR → USD → CHF, both legs seen from the dollar."""
    legs = dated(i["first"])
    rates = Rates({"EUR": Series(legs.days, 1 / legs.values), "CHF": dated(i["second"])}, pivot="USD")
    found = rate(rates, "EUR", "CHF", day_number(day(i["date"])))
    return {"rate": found if isinstance(found, NoRate) else round(found, 12)}


@handles("ecb_convert")
def ecb_convert(i: Inputs) -> Answers:
    """A day without a fixing has the last one before it."""
    if "missing_day" in i and not any(word in i["missing_day"].lower() for word in CARRIED):
        raise Refused(f"a day without a rate has the last one before it, not {i['missing_day']!r}")
    found = ecb(i["dataset"]).rate(i["from"], i["to"], day_number(day(i["date"])))
    return {"value": found if isinstance(found, NoRate) else exactly(i["amount"]) * found}


@handles("fx_missing")
def fx_missing(i: Inputs) -> Answers:
    on, rates = day_number(day(i["date"])), ecb(i["dataset"]).series
    found = rates[i["currency"]].at(on) if i["currency"] in rates else None
    if found is None:
        return {"available": False, "last_available": NoRate(i["currency"], day_of(on))}
    return {"available": found[0] == on, "last_available": day_of(found[0])}


@handles("fx_value")
def fx_value(i: Inputs) -> Answers:
    found = Rates({"USD": Series(np.array([0], np.int32), np.array([float(i["eurusd"])]))}).rate("USD", "EUR", 0)
    return {"eur": found if isinstance(found, NoRate) else posted(exactly(i["amount"]) * found, "EUR")}
