"""Lots: which one a sale takes, what it earned, what is left."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from areas import Answers, Inputs, handles
from areas.books import METHODS, cost_of, lots, realised_of, sided, signed, split, trade, units_of
from areas.datasets import day, exactly
from core.fx import day_of
from core.ledger import MICRO, UNITS, LedgerError
from core.metrics.series import ratio
from core.money import posted


def lot_row(opened: int, units: int, cost: int) -> Answers:
    return {"date": day_of(opened), "qty": units / UNITS, "unit_cost": Decimal(cost * UNITS) / (units * MICRO)}


@handles("lots_match")
def lots_match(i: Inputs) -> Answers:
    method = i.word("method", METHODS)
    buys = [trade("buy", day(lot["date"]), lot["qty"], lot["unit_cost"]) for lot in i["open_lots"]]
    after = max((d.traded_on for d in buys), default=date(2020, 1, 1)) + timedelta(days=1)
    sells = [trade("sell", after, n, 0) for n in i["sells"]]
    try:
        found = lots([*buys, *sells], method)
    except LedgerError:
        return {"error": "not enough lots"}
    return {
        "consumed": [lot_row(d.opened_on, d.units, d.cost) for d in found.disposals],
        "remaining": [lot_row(lot.opened_on, lot.units, lot.cost) for lot in found.open],
    }


@handles("trade_sequence")
def trade_sequence(i: Inputs) -> Answers:
    """What one fill closes is listed in the order of the method, as at the source. A split comes after the fill of its number."""
    method = i.word("method", METHODS)
    fills = [(date(2020, 1, 1) + timedelta(days=2 * f["t"]), f["side"], f["qty"], f["price"], 0) for f in i["fills"]]
    if "split" in i:
        cut, ratio_ = min(i["split"]["after_fill"] + 1, len(fills) - 1), exactly(i["split"]["ratio"])
        held = sum((signed(side, n) for _, side, n, _, _ in fills[:cut]), Decimal(0)) * ratio_
        between = split(fills[cut - 1][0] + timedelta(days=1), ratio_)
        drafts = [*sided(fills[:cut]), between, *sided(fills[cut:], held=held)]
    else:
        drafts = sided(fills)
    return {"realised": [(d.proceeds - d.cost) / MICRO for d in lots(drafts, method).disposals]}


@handles("short_trades")
def short_trades(i: Inputs) -> Answers:
    """The return is on what the short sales brought in."""
    found = lots(sided([(day(on), side, n, price, 0) for on, side, n, price in i["fills"]]), "average")
    units, cost, realised = units_of(found), cost_of(found), realised_of(found)
    price = i["price_at_end"]
    answers: Answers = {"open_qty": units, "realised": realised}
    if units:
        answers["average_price"] = cost / units
    if units and price is None:
        return answers
    unrealised = units * exactly(price or 0) - cost
    taken = sum((Decimal(d.proceeds) for d in found.disposals if d.short), Decimal(0)) / MICRO - cost
    return answers | {"unrealised": unrealised, "return": ratio(float(realised + unrealised), float(taken))}


@handles("ledger_gains")
def ledger_gains(i: Inputs) -> Answers:
    """Amounts of whole trades, fees and taxes in them. A return is the gain over the cost of what was sold, or is left."""
    method = i.word("method", METHODS)
    drafts = [trade(kind.lower(), day(on), n, gross=total) for on, kind, n, total in i["transactions"]]
    found = lots(drafts, method)
    cost, realised = cost_of(found), realised_of(found)
    relieved = Decimal(sum(d.cost for d in found.disposals)) / MICRO
    unrealised = posted(units_of(found) * exactly(i["price_at_end"] or 0), "USD") - cost
    answers: Answers = {
        "open_cost": cost,
        "realised": realised,
        "unrealised": unrealised,
        "realised_return": ratio(float(realised), float(relieved)),
        "unrealised_return": ratio(float(unrealised), float(cost)),
    }
    if i.get("want_lots"):
        answers["remaining"] = [
            {"qty": row["qty"], "unit_cost": row["unit_cost"]}
            for row in (lot_row(lot.opened_on, lot.units, lot.cost) for lot in found.open)
        ]
    return answers
