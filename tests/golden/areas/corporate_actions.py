"""Dividends and splits in price series, symbols of a day, dividends received and what they yield."""

from __future__ import annotations

from datetime import date

from areas import Answers, Inputs, Refused, handles
from areas.books import NOW, book, trade
from areas.datasets import NO_RATES, dated, day, exactly, table
from core import returns as r
from core.expected import periodicity
from core.fx import Rates, day_number
from core.income import withholding, yield_on_cost
from core.ledger import Draft
from core.prices import back_adjusted, dividend_factor, growth_of_one, symbol_on
from core.reasons import Reason
from core.valuation import value
from jobs.feeds.yahoo import splits_in


@handles("dividend_factor")
def factor_of_dividend(i: Inputs) -> Answers:
    return {"factor": dividend_factor(i["raw_close_cum"], i["cash"])}


@handles("adjclose_step")
def adjclose_step(i: Inputs) -> Answers:
    prices = dated([(i["prev"], i["close_prev"]), (i["ex"], i["close_ex"])])
    adjusted = back_adjusted(prices, {day_number(day(i["ex"])): i["cash"]}, {}).values
    return {"adj_ratio": adjusted[1] / adjusted[0]}


@handles("wiki_total_return")
def wiki_total_return(i: Inputs) -> Answers:
    rows = [row for row in table(i["dataset"]) if row["ticker"] == i["symbol"] and i["from"] <= row["date"] <= i["to"]]
    cash = {day_number(day(row["date"])): float(row["ex-dividend"]) for row in rows if float(row["ex-dividend"])}
    splits = {day_number(day(row["date"])): float(row["split_ratio"]) for row in rows if float(row["split_ratio"]) != 1}
    grown = growth_of_one(dated([(row["date"], row["close"]) for row in rows]), cash, splits, "ex")
    return {"total_return": grown.values[-1] - 1}


@handles("total_return")
def total_return(i: Inputs) -> Answers:
    """One share and its dividends in cash, nothing reinvested: the closes of the ex dates are not known."""
    first, last = day(i["first"]), day(i["last"])
    share = trade("buy", first, 1, i["first_close"])
    of = share.security
    assert of is not None
    paid = [Draft("dividend", day(on), of.currency, of, gross=exactly(amount)) for on, amount in i["dividends"]]
    put_in = Draft("deposit", first, of.currency, gross=exactly(i["first_close"]))
    prices = dated([(first, i["first_close"]), (last, i["last_close"])])

    def earned(drafts: list[Draft]) -> float | Reason:
        full = book(drafts, of.currency, prices)
        return r.twr([float(value(full, day_number(last), {}, NOW).total)], opening=float(i["first_close"]))

    return {"price_return": earned([put_in, share]), "total_return": earned([put_in, share, *paid])}


@handles("yahoo_split_event")
def yahoo_split_event(i: Inputs) -> Answers:
    meta = {"gmtoffset": i["gmtoffset"]}
    ((on, ratio),) = splits_in({"meta": meta, "events": {"splits": {str(i["event"]["date"]): i["event"]}}})
    return {"date": on, "ratio": ratio}


@handles("ticker_at_date")
def ticker_at_date(i: Inputs) -> Answers:
    rows = [
        (date.fromisoformat(row["valid_through_yyyymmdd"]), row["ticker"])
        for row in table(i["map_dataset"])
        if row["permanent_symbol"] == i["permanent"]
    ]
    return {"ticker": symbol_on(rows, day(i["date"]))}


# --- dividends received ---------------------------------------------------------------------------------------------

FREQUENCIES = {"none": "NONE", "irregular": "UNKNOWN", "monthly": "MONTHLY", "quarterly": "QUARTERLY", "semi-annual": "SEMIANNUAL",
               "annual": "ANNUAL"}  # fmt: skip


@handles("dividend_periodicity")
def dividend_periodicity(i: Inputs) -> Answers:
    return {"periodicity": FREQUENCIES[periodicity([(day(d), exactly(1)) for d in i["payment_dates"]])]}


@handles("dividend_yield_on_cost")
def dividend_yield_on_cost(i: Inputs) -> Answers:
    """Dividends and cost of all `shares`, seen per share where their number is given."""
    own = i.get("cost_currency", "EUR")
    currency, base = i.get("dividend_currency", own), i.get("base", own)
    rates = Rates({"USD": dated(i["eurusd"])}) if "eurusd" in i else NO_RATES
    shares = exactly(i.get("shares", 1))
    paid = [(day(on), exactly(amount) / shares) for on, amount in i["dividends"]]
    return {"rate_per_year": yield_on_cost(paid, currency, exactly(i["cost"]) / shares, own, base, rates)}


@handles("dividend_withholding")
def dividend_withholding(i: Inputs) -> Answers:
    w = withholding(exactly(i["gross"]), exactly(i["withholding"]), per_share=exactly(i["per_share"]))
    return {"net": w.net, "withholding_rate": w.rate, "shares": w.shares}


@handles("dividend_gross_net")
def dividend_gross_net(i: Inputs) -> Answers:
    """Earnings are what was paid before tax."""
    net, tax = exactly(i["net"]), exactly(i["tax"])
    booked = withholding(net + tax, tax)
    if booked.net != net:
        raise Refused(f"of {net + tax} with a tax of {tax} the product makes {booked.net} net")
    return {"gross": booked.net + tax, "taxes": tax, "earnings": booked.net + tax}
