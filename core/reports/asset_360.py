"""Every held asset in one row: price, value, return, risk, trading, compliance (the 20 columns of an asset_360 table)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from core.ledger import CODE, MICRO, TRADES
from core.lots import posting_unit, summable, totals
from core.metrics import METRICS
from core.money import posted
from core.reports import Made, report
from core.reports.holdings import holdings, ratio
from core.reports.performance import PERFORMANCE_GRADES, performance_category
from core.reports.risk import risk_category
from core.rules import check
from core.rules.concentration import GROUPS, group_of
from core.table import Column, Kind
from core.view import View

BUYING, SELLING = ("buy", "cover"), ("sell", "short")
MEASURED = {"avg_volatility": "volatility", "value_at_risk": "var_95", "beta": "beta", "sharpe_ratio": "sharpe"}


@report(
    "Assets in full",
    Column("symbol", "Symbol"),
    Column("asset_id", "Asset", note="the number of the security", wide_only=True),
    Column("asset_name", "Name", wide_only=True),
    Column("asset_type", "Type", note="its asset class", wide_only=True),
    Column("current_price", "Price", Kind.PRICE, "last price in the security's currency"),
    Column("market_value", "Value", Kind.MONEY, "units × price × FX, in the base currency"),
    Column("avg_daily_return", "Average daily return", Kind.PERCENT, "mean of its daily total returns over the look-back, in the base currency", wide_only=True),
    Column("total_return", "Total return", Kind.PERCENT, "(unrealised + realised gain + dividends) / (cost of what is held + cost of what was sold), since inception"),
    Column("avg_volatility", "Volatility", Kind.PERCENT, "of its daily total returns over the look-back, a year"),
    Column("value_at_risk", "VaR 95 %", Kind.PERCENT, "one day, a positive loss", wide_only=True),
    Column("beta", "Beta", Kind.NUMBER, "against the portfolio's benchmark", wide_only=True),
    Column("sharpe_ratio", "Sharpe", Kind.NUMBER, wide_only=True),
    Column("total_transactions", "Entries", Kind.COUNT, "entries of the ledger that name it", wide_only=True),
    Column("total_purchases", "Bought for", Kind.MONEY, "cash paid for purchases, fees included, in the base currency", wide_only=True),
    Column("total_sales", "Sold for", Kind.MONEY, "cash received for sales, fees and taxes deducted, in the base currency", wide_only=True),
    Column("avg_transaction_cost", "Average cost of a trade", Kind.MONEY, "fees of purchases and sales / their number, in the base currency", wide_only=True),
    Column("active_violations", "Breaches", Kind.COUNT, "rules that are breached by the group it is in", wide_only=True),
    Column("last_compliance_check", "Checked", Kind.DATE, "rules are measured whenever they are looked at", wide_only=True),
    Column("risk_category", "Risk", note="low < 15 % volatility, medium < 25 %, high < 40 %, very high above"),
    Column("performance_category", "Performance", note=f"of the total return: {PERFORMANCE_GRADES}", wide_only=True),
    Column("position_size", "Units", Kind.UNITS, "held at the date", wide_only=True),
    Column("reason", "Why something is missing", wide_only=True),
    empty="Nothing is held at this date.",
)  # fmt: skip
def asset_360(view: View) -> Made:
    """Every held asset in one row, largest first. Risk from its own daily total returns over
    the look-back, all in the base currency."""
    positions = {p.security.security_id: p for p in view.valuation.positions}
    if not positions:
        return Made([])
    risk, trades = _risk(view), _trades(view)
    sold = _cost_of_sold(view)
    broken = breaches(view)
    rows = []
    for h in holdings(view).rows:
        symbol, name, units, price, *_ = h
        value, cost, gain, realised, income, number = h[6], h[9], h[10], h[12], h[13], h[14]
        p = positions[number]
        earned = None if gain is None else gain + realised + income
        total_return = ratio(earned, None if cost is None else cost + sold.get(number, Decimal(0)))
        measured, why = risk[number]
        bought, sales, fee, count, lacking = trades.get(number, (Decimal(0), Decimal(0), None, 0, ""))
        if value is None:
            why = [str(p.reason or "no price"), *why]
        if total_return is None:
            why.append("total return: its cost or value is not known" if earned is None or cost is None else "total return: nothing was paid for it")  # fmt: skip
        if lacking:
            why.append(lacking)
        elif fee is None:
            why.append("average cost of a trade: it was never traded here")
        rows.append(
            (symbol, str(number), name, p.security.asset_class, price, value, measured["avg_daily_return"], total_return,
             measured["avg_volatility"], measured["value_at_risk"], measured["beta"], measured["sharpe_ratio"], count, bought, sales, fee,
             sum(group in beyond for group, beyond in broken[number].values()), view.on, risk_category(measured["avg_volatility"]),
             performance_category(total_return), units, "; ".join(why))
        )  # fmt: skip
    return Made(rows)


def _risk(view: View) -> dict[int, tuple[dict[str, float | None], list[str]]]:
    """By security: its figures over the look-back, and in words why some are missing."""
    out: dict[int, tuple[dict[str, float | None], list[str]]] = {}
    for number, found in view.asset_figures.items():
        days = view.measured_asset(number).days
        known = days[np.isfinite(days)]
        cells: dict[str, float | None] = {"avg_daily_return": float(known.mean()) if len(known) else None}
        why = [] if len(known) else ["average daily return: it has no daily prices in the look-back"]
        for key, name in MEASURED.items():
            value = found[name]
            cells[key] = value if isinstance(value, float) else None
            if not isinstance(value, float):
                why.append(f"{METRICS[name].title}: {value}")
        out[number] = (cells, why)
    return out


def _trades(view: View) -> dict[int, tuple[Decimal | None, Decimal | None, Decimal | None, int, str]]:
    """By security: paid for purchases, received for sales, average fee of a trade, entries, and what no rate is known for."""
    ledger = view.book.ledger.upto(view.as_of)
    paid, got, fees = (dict[int, int]() for _ in range(3))
    unknown: set[int] = set()
    unit = posting_unit(view.base)
    for kinds, into, sign in ((BUYING, paid, -1), (SELLING, got, 1)):
        of_kind = np.isin(ledger.kind, [CODE[k] for k in kinds])
        for amounts, currency_of, sums, plus in ((ledger.net, ledger.cash_currency, into, sign), (ledger.fees, ledger.currency, fees, 1)):  # fmt: skip
            for place, currency in enumerate(ledger.currencies):
                rows = np.flatnonzero(of_kind & (currency_of == place))
                steps, known = view.book.rates.posted(amounts[rows], currency, view.base, ledger.traded_on[rows], unit)
                unknown.update(ledger.security[rows][~np.broadcast_to(known, rows.shape)].tolist())
                for number, amount in totals(ledger.security[rows], steps).items():
                    sums[number] = sums.get(number, 0) + plus * amount * unit
    traded = np.isin(ledger.kind, [CODE[k] for k in TRADES])
    count, trades = _counts(ledger.security), _counts(ledger.security[traded])
    for row, detail in ledger.details.items():
        if detail.into is not None and row < len(ledger) and detail.into != int(ledger.security[row]):
            count[detail.into] = count.get(detail.into, 0) + 1
    out: dict[int, tuple[Decimal | None, Decimal | None, Decimal | None, int, str]] = {}
    for number, n in count.items():
        if number in unknown:
            out[number] = (
                None,
                None,
                None,
                n,
                "purchases, sales and fees: no exchange rate is known for some of their days",
            )
            continue
        fee = posted(Decimal(fees.get(number, 0)) / MICRO / trades[number], view.base) if number in trades else None
        out[number] = (Decimal(paid.get(number, 0)) / MICRO, Decimal(got.get(number, 0)) / MICRO, fee, n, "")
    return out


def _counts(numbers: Any) -> dict[int, int]:
    found, count = np.unique(numbers, return_counts=True)
    return dict(zip(found.tolist(), count.tolist(), strict=True))


def _cost_of_sold(view: View) -> dict[int, Decimal]:
    """By security: the cost of what was sold, where it and the proceeds are known in the base currency."""
    closed = view.lots.closed
    known = closed.known & closed.proceeds_known
    cost = np.where(known, summable(closed.cost_base), 0)
    return {n: Decimal(amount) / MICRO for n, amount in totals(closed.security, cost).items()}


def breaches(view: View) -> dict[int, dict[str, tuple[str, frozenset[str]]]]:
    """By security, for every rule on groups: the group that it counts for, and the groups beyond the limit."""
    findings = [f for f in check(view) if f.rule.name in GROUPS and not f.rule.at_least]
    beyond = {f.rule.title: frozenset(name for name, _ in f.beyond) for f in findings}
    return {
        p.security.security_id: {f.rule.title: (group_of(view, f.rule.name, p), beyond[f.rule.title]) for f in findings}
        for p in view.valuation.positions
    }  # fmt: skip
