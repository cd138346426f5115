"""Positions: what they are worth, what they gained, in their own currency and in another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.books import (
    LATER,
    METHODS,
    NOW,
    book,
    cost_of,
    ledger,
    lots,
    realised_of,
    security,
    sided,
    split,
    trade,
    units_of,
    whole_book,
)
from areas.datasets import dated, day, exactly
from core import returns as r
from core.fx import Rates, day_number
from core.income import dividends
from core.ledger import MICRO, Draft, Security
from core.lots import Lots
from core.money import posted
from core.reports.contributions import realised_parts
from core.scope import Scope
from core.valuation import history, value
from core.view import View


def known_sides(transactions: list[Answers], *sides: str) -> None:
    if unknown := sorted({t["side"] for t in transactions} - set(sides)):
        raise Refused(f"does not know the side {', '.join(unknown)}")


def gain(found: Lots, price: Any) -> Decimal:
    """Realised and unrealised gain at a price."""
    return realised_of(found) + units_of(found) * exactly(price) - cost_of(found)


@handles("position_pnl")
def position_pnl(i: Inputs) -> Answers:
    """Gross is the gain without fees, net the gain with them; dividends are in neither."""
    of, rows = security(i["currency"]), i["transactions"]
    known_sides(rows, "BUY", "SELL", "DIVIDEND")
    traded = [t for t in rows if t["side"] != "DIVIDEND"]

    def drafts(with_fees: bool) -> list[Draft]:
        return sided(
            [(day(t["date"]), t["side"], t["qty"], t["price"], t.get("fee", 0) if with_fees else 0) for t in traded], of
        )

    paid = [Draft("dividend", day(t["date"]), of.currency, of, exactly(t["qty"]), exactly(t["price"]), None, exactly(t.get("fee", 0)))
            for t in rows if t["side"] == "DIVIDEND"]  # fmt: skip
    income = dividends(book([*drafts(True), *paid], of.currency), day_number(LATER))
    bare, full = lots(drafts(False), "average", of.currency), lots(drafts(True), "average", of.currency)
    units, cost = units_of(bare), cost_of(bare)
    gross, net = gain(bare, i["market_price"]), gain(full, i["market_price"])
    answers = {"quantity": units, "investment": cost, "gross": gross, "net": net, "fees": gross - net}
    answers["value"] = units * exactly(i["market_price"])
    answers["dividends"] = sum((d.gross for d in income), Decimal(0))
    return answers | ({"average_price": cost / units} if units else {})


RANGES: dict[str, r.Period] = {"1d": "day", "mtd": "MTD", "ytd": "YTD", "1y": "1Y", "5y": "5Y"}


def range_start(name: str, today: date, first: date) -> date | None:
    """The last day before a range; None for a name that is not known."""
    if name == "wtd":
        return today - timedelta(days=today.weekday() + 1)
    if name == "max":
        return first - timedelta(days=1)
    return r.period_start(today, RANGES[name], first) if name in RANGES else None


@handles("period_pnl")
def period_pnl(i: Inputs) -> Answers:
    rows = i["transactions"]
    known_sides(rows, "BUY", "SELL")
    drafts = [trade(t["side"].lower(), day(t["date"]), t["qty"], t["price"], fee=t.get("fee", 0)) for t in rows]
    today, start = day(i["today"]), day(i["range_start_exclusive"])
    meant = range_start(i["range"], today, min(d.traded_on for d in drafts))
    if meant != start:
        raise Refused(f"the range {i['range']} begins after {meant} here, not after {start}")
    found = history(book(drafts, "USD", dated(i["prices"])), day_number(today))
    before = int(np.searchsorted(found.days, day_number(start), side="right"))
    # no money came from outside, so the change of the net asset value is the gain
    return {"net_pnl": found.total[-1] - (found.total[before - 1] if before else 0.0)}


@handles("fx_position")
def fx_position(i: Inputs) -> Answers:
    """The day-by-day valuation in the base currency, with and without the fees; what is left at its average cost."""
    known_sides(i["transactions"], "BUY", "SELL")
    of, as_of = security(i["asset_currency"]), day_number(day(i["as_of"]))
    rates = Rates({i["base"]: dated(i["fx"])}, pivot=of.currency)
    prices = dated([[i["as_of"], i["market_price"]]])

    def traded(with_fees: bool) -> list[Draft]:
        return [trade(t["side"].lower(), day(t["date"]), t["qty"], t["price"], fee=t["fee"] if with_fees else 0, of=of)
                for t in i["transactions"]]  # fmt: skip

    def worth(with_fees: bool) -> tuple[float, float]:
        found = history(book(traded(with_fees), i["base"], prices, rates), as_of)
        return float(found.value[-1, 0]), float(found.bought.sum() - found.received.sum())

    (worth_now, cost), (_, full) = worth(False), worth(True)
    left = value(book(traded(False), i["base"], prices, rates, METHODS["AVERAGE"]), as_of, {}, NOW).positions
    return {
        "value_base": worth_now,
        "cost_base_at_trade_fx": cost,
        "gross_with_fx": worth_now - cost,
        "fee_base": full - cost,
        "net_with_fx": worth_now - full,
        "remaining_cost_base": sum((p.cost_base for p in left if p.cost_base is not None), Decimal(0)),
    }


@handles("trade")
def closed_trade(i: Inputs) -> Answers:
    if "entry" in i:
        entries = [trade("buy", day(on), n, price) for on, n, price in i["entry"]]
        exits = [trade("sell", day(on), n, price) for on, n, price in i["exit"]]
    else:
        entries = [trade("buy", day(i["start"]), 1, gross=i["entry_total"])]
        exits = [trade("sell", day(i["end"]), 1, gross=i["exit_total"])]
    found = lots([*entries, *exits])
    if found.open or not found.disposals:
        raise Refused("the trade is not closed")
    cost, proceeds = (sum(getattr(d, name) for d in found.disposals) / MICRO for name in ("cost", "proceeds"))
    flows = ledger([*entries, *exits], "USD")
    return {
        "pnl": proceeds - cost,
        "return": r.twr([proceeds], opening=cost),
        "irr": r.xirr(flows.traded_on.astype("datetime64[D]"), flows.net / MICRO),
        "holding_days": max(d.closed_on - d.opened_on for d in found.disposals),
    }


@handles("fx_gains")
def fx_gains(i: Inputs) -> Answers:
    """Trades in dollars settled in euros, (date, kind, units, two amounts and perhaps their rate): the sale's rate tells which is which."""
    of, drafts = security("USD"), []
    rates: list[tuple[date, float]] = []
    sale = next(t for t in i["transactions"] if t[1].upper() in ("SELL", "DELIVERY_OUTBOUND"))
    euros_first = abs(sale[3] / sale[4] - i["sale_usd_eur"]) < abs(sale[4] / sale[3] - i["sale_usd_eur"])
    for on, kind, units, one, other, *_ in i["transactions"]:
        euros, dollars = (one, other) if euros_first else (other, one)
        rate = exactly(euros) / exactly(dollars)
        way = "sell" if kind.upper() in ("SELL", "DELIVERY_OUTBOUND") else "buy"
        drafts.append(replace(trade(way, day(on), units, gross=dollars, of=of), fx=rate))
        rates.append((day(on), 1 / float(rate)))
    end = max(on for on, _ in rates) + timedelta(days=1)
    rates.append((end, i["end_eurusd"]))
    price = dated([[end.isoformat(), i["end_price_usd"]]])
    answers: Answers = {}
    for name, method in (("fifo", "fifo"), ("avg", "average")):
        full = book(drafts, "EUR", price, Rates({"USD": dated(rates)}), method)
        view = View(full, Scope(None, as_of=end), {}, NOW)
        (held,), ((whole, currency, _),) = view.valuation.positions, realised_parts(view.lots, view).values()
        assert held.value_base is not None
        assert held.cost_base is not None
        assert held.rate is not None
        dollars = cost_of(view.lots)
        answers |= {
            f"realised_{name}_eur": whole,
            f"realised_{name}_fx_part_eur": currency,
            f"realised_{name}_usd": realised_of(view.lots),
            f"unrealised_{name}_eur": posted(held.value_base, "EUR") - held.cost_base,
            f"unrealised_{name}_fx_part_eur": posted(dollars * held.rate, "EUR") - held.cost_base,
            f"unrealised_{name}_usd": units_of(view.lots) * exactly(i["end_price_usd"]) - dollars,
        }
    return answers


# --- splits ---------------------------------------------------------------------------------------------------------


def with_splits(events: list[list[Any]]) -> list[Draft]:
    return [
        split(day(on), Fraction(str(a)) / Fraction(str(b))) if kind == "SPLIT" else trade(kind.lower(), day(on), a, b)
        for on, kind, a, b in events
    ]


@handles("split_position", "split_valuation")
def split_position(i: Inputs) -> Answers:
    found = lots(with_splits(i["events"]), "average")
    units, cost = units_of(found), cost_of(found)
    answers: Answers = {"quantity": units, "investment": cost} | ({"average_price": cost / units} if units else {})
    if "market_price_after" in i:
        answers["value"] = units * exactly(i["market_price_after"])
    return answers


@handles("split_return")
def split_return(i: Inputs) -> Answers:
    """The day of the split as a portfolio sees it that holds the security and nothing else."""
    of = Security(1, i["symbol"], i["symbol"], "XNYS", "USD", "Equity")
    before, after = day(i["prev"]), day(i["ex"])
    drafts = [
        trade("buy", before, i["shares_before"], i["raw_close_prev"], of=of),
        Draft("split", after, of.currency, of, ratio=Fraction(str(i["ratio"]))),
    ]
    answers: Answers = {"shares_after": units_of(lots(drafts))}
    if i["raw_close_ex"] is not None:
        prices = dated([[i["prev"], i["raw_close_prev"]], [i["ex"], i["raw_close_ex"]]])
        worth = history(whole_book(drafts, "USD", {1: of}, {1: prices}, Rates({})), day_number(after)).value[:, 0]
        answers |= {"value_before": worth[-2], "value_after": worth[-1], "day_return": r.simple_returns(worth)[-1]}
    return answers
