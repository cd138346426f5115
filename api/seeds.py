"""The paths of the older specifications, answered in their shapes: JSON numbers, money in the portfolio's base currency.

Each is built from a report of the same name as the page shows. Without `portfolio` it answers for the first by name.
With `as_of` and `known_at` each answers for a past date, from what was known at a past time.
Percentages that end in `_percent` are × 100, as those specifications print them; every other share is a fraction.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.answers import AsOf, Cell, KnownAt
from api.exact import ExactRoute
from api.people import Who
from api.portfolios import portfolio_of
from api.securities import (
    SecurityAnswer,
    SecurityDetail,
    add_security,
    every_security,
    look_at_security,
    remove_security,
)
from api.tasks import ASKED, SeedTask, look_at_task_as_before
from core.book import Portfolio
from core.fx import day_of
from core.reasons import Reason
from core.scope import Scope
from core.table import Table, plain
from core.view import View
from db import dimensions, reports
from db.access import User

router = APIRouter(tags=["Paths of the older specifications"])
Timeframe = Literal["1D", "1W", "1M", "3M", "YTD", "1Y", "ALL"]
PortfolioOrFirst = Annotated[
    str | None, Query(description="id or name of a portfolio; default: your first by name", max_length=120)
]


def number(value: Any) -> Any:
    """A cell as these paths have it: a decimal as a JSON number."""
    return float(value) if isinstance(value, Decimal) else plain(value)


def percent(part: Decimal | None, whole: Decimal | None) -> float | None:
    """part / whole × 100 with two decimals; None where it is undefined."""
    return None if part is None or whole is None or whole <= 0 else round(float(part / whole * 100), 2)


class Asked:
    """One portfolio and one moment: reports and the View for it."""

    def __init__(self, user: User, portfolio: str | None, **query: str | None) -> None:
        self.user, self.now = user, datetime.now(UTC)
        self.portfolio: Portfolio = portfolio_of(user, portfolio, first=True)
        self.scope = Scope.read(self.portfolio.portfolio_id, query)

    def report(self, name: str) -> Table:
        """One report."""
        return reports.answer(self.user, name, self.scope, self.now)

    @property
    def view(self) -> View:
        """The View that those reports are made from."""
        return reports.view(self.user, self.scope, self.now)

    def head(self, table: Table) -> dict[str, Any]:
        """What every answer says of itself."""
        return {
            "portfolio": self.portfolio.name,
            "currency": self.portfolio.base_currency,
            "as_of": table.context.as_of,
            "calculation_version": table.context.version,
        }


# ── current value and performance ───────────────────────────────────────────────────────────────────────────


class PositionNow(BaseModel):
    """One open position, in the portfolio's base currency: shares × price_per_share = current_value."""

    ticker: str
    shares: float
    cost_basis: float | None = Field(description="of the open lots, purchase fees included")
    current_value: float | None = Field(description="null: it was never priced, and is not in the total")
    price_per_share: float | None
    unrealized_gain_loss: float | None
    unrealized_gain_loss_percent: float | None


class CurrentPortfolio(BaseModel):
    """What a portfolio is worth now, with the live prices."""

    total_value: float
    investment_value: float
    cash_balance: float
    positions: list[PositionNow]
    last_updated: datetime | None = Field(description="of the newest price in it")
    price_fresh: bool = Field(description="every price is of the last completed session or newer")
    currency: str
    coverage: float = Field(description="share of the value with a fresh price")


@router.get("/portfolio/current", response_model=CurrentPortfolio)
def current_portfolio(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> CurrentPortfolio:
    """Current value with live prices. After the close the closing price counts as fresh."""
    asked = Asked(who, portfolio, as_of=as_of, known_at=known_at)
    figures, view = asked.report("overview"), asked.view
    prices = {
        p.security.security_id: None if p.price is None or p.rate is None else p.price * p.rate
        for p in view.valuation.positions
    }
    positions = [
        PositionNow(
            ticker=row["symbol"],
            shares=number(row["units"]),
            cost_basis=number(row["cost"]),
            current_value=number(row["value"]),
            price_per_share=number(prices[row["security_id"]]),
            unrealized_gain_loss=number(row["unrealised"]),
            unrealized_gain_loss_percent=percent(row["unrealised"], row["cost"]),
        )
        for row in asked.report("holdings").records()
    ]
    return CurrentPortfolio(
        total_value=number(figures.figure("total").value),
        investment_value=number(figures.figure("invested").value),
        cash_balance=number(figures.figure("cash").value),
        positions=positions,
        last_updated=_newest_price(view),
        price_fresh=all(p.fresh for p in view.valuation.positions),
        currency=asked.portfolio.base_currency,
        coverage=view.valuation.coverage,
    )


def _newest_price(view: View) -> datetime | None:
    """When the newest price in a valuation was made: a quote's own time, a bar's close."""
    times = view.quote_times()
    for p in view.valuation.positions:
        if p.priced_on is not None and p.security.security_id not in view.quotes:
            sessions = view.book.sessions.get(p.security.exchange)
            closes = (
                {} if sessions is None else dict(zip(sessions.days.tolist(), sessions.closes.tolist(), strict=True))
            )
            midnight = datetime.combine(day_of(p.priced_on) + timedelta(days=1), datetime.min.time(), UTC)
            closed = closes.get(p.priced_on)
            times.append(midnight if closed is None else datetime.fromtimestamp(closed, UTC))
    return max(times, default=None)


class DataPoint(BaseModel):
    """The value at one time."""

    timestamp: datetime
    value: float


class Performance(BaseModel):
    """A value chart. `profit_loss` is the gain: deposits and withdrawals are not counted as profit.

    current_value − start_value = value_change = net_flow + gain, and profit_loss = gain.
    """

    timeframe: Timeframe
    data_points: list[DataPoint]
    start_value: float | None = Field(description="first point of the timeframe; null without data")
    current_value: float = Field(description="last point; without data, the value now")
    profit_loss: float | None = Field(description="gain: value change less net deposits")
    profit_loss_percent: float | None = Field(description="gain / start value × 100")
    data_available: bool
    value_change: float | None = Field(description="current value − start value, deposits included")
    net_flow: float | None = Field(description="deposits less withdrawals in between")
    gain: float | None = Field(description="the same as profit_loss, under its own name")
    time_weighted_return: float | None = Field(description="a fraction, over the daily closes of the period")
    currency: str


@router.get("/portfolio/performance", response_model=Performance)
def performance(
    who: Who,
    timeframe: Timeframe = "1D",
    portfolio: PortfolioOrFirst = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Performance:
    """The recorded values of a timeframe: 1D every 5 minutes of the session, 1W 30 minutes, 1M an hour, 3M three hours, else daily."""
    asked = Asked(who, portfolio, period=timeframe, as_of=as_of, known_at=known_at)
    chart = asked.report("value_chart")
    points = [DataPoint(timestamp=r["at"], value=number(r["value"])) for r in chart.records()]
    figures = {f.key: f.value for f in chart.figures}
    span = asked.view.span(timeframe)
    twr = None if isinstance(span, Reason) or isinstance(span.twr, Reason) else span.twr
    return Performance(
        timeframe=timeframe,
        data_points=points,
        start_value=number(figures.get("start")),
        current_value=points[-1].value if points else number(asked.view.valuation.total),
        profit_loss=number(figures.get("gain")),
        profit_loss_percent=percent(figures.get("gain"), figures.get("start")),  # type: ignore[arg-type]
        data_available=bool(points),
        value_change=number(figures.get("change")),
        net_flow=number(figures.get("net_flow")),
        gain=number(figures.get("gain")),
        time_weighted_return=number(twr),
        currency=asked.portfolio.base_currency,
    )


# ── the dashboards ──────────────────────────────────────────────────────────────────────────────────────────


class Dashboard(BaseModel):
    """What every dashboard says of itself."""

    portfolio: str
    currency: str
    as_of: date
    calculation_version: str


class Share(BaseModel):
    """One group of the portfolio."""

    name: str
    value: float
    percentage: float | None = Field(description="share of the total value × 100")
    count: int = Field(description="securities in it")


class PortfolioOverview(Dashboard):
    """Key figures and the spread over risk categories."""

    total_value: float
    investment_value: float
    cash_balance: float
    day_change: float | None
    day_return: float | None = Field(description="time-weighted, a fraction")
    year_to_date_change: float | None
    year_to_date_return: float | None
    unrealized_gain_loss: float
    positions: int
    coverage: float
    active_violations: int
    alerts: list[str]
    risk_distribution: list[dict[str, Cell]]


@router.get("/get_portfolio_overview", response_model=PortfolioOverview)
def portfolio_overview(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> PortfolioOverview:
    """Key figures (report `overview`) and the risk distribution (`risk_distribution`)."""
    asked = Asked(who, portfolio, as_of=as_of, known_at=known_at)
    table = asked.report("overview")
    day, ytd = table.figure("day"), table.figure("ytd")
    return PortfolioOverview(
        **asked.head(table),
        total_value=number(table.figure("total").value),
        investment_value=number(table.figure("invested").value),
        cash_balance=number(table.figure("cash").value),
        day_change=number(day.value),
        day_return=number(day.change),
        year_to_date_change=number(ytd.value),
        year_to_date_return=number(ytd.change),
        unrealized_gain_loss=number(table.figure("unrealised").value),
        positions=number(table.figure("positions").value),
        coverage=number(table.figure("coverage").value),
        active_violations=number(table.figure("breaches").value),
        alerts=list(table.notes),
        risk_distribution=_records(asked.report("risk_distribution")),
    )


class Allocation(Dashboard):
    """The value by group; percentages add up to 100, cash is a group of its own."""

    by: str
    total_value: float
    groups: list[Share]


def _allocation(who: User, portfolio: str | None, by: str, as_of: str | None, known_at: str | None) -> Allocation:
    asked = Asked(who, portfolio, by=by, as_of=as_of, known_at=known_at)
    table = asked.report("allocation")
    groups = [
        Share(
            name=r["group"],
            value=number(r["value"]),
            percentage=None if r["weight"] is None else round(r["weight"] * 100, 4),
            count=r["count"],
        )
        for r in table.records()
    ]
    return Allocation(**asked.head(table), by=by, total_value=number(asked.view.valuation.total), groups=groups)


@router.get("/get_asset_allocation", response_model=Allocation)
def asset_allocation(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> Allocation:
    """Value, share and number of securities by asset class (report `allocation`)."""
    return _allocation(who, portfolio, "asset_class", as_of, known_at)


@router.get("/get_sector_exposure", response_model=Allocation)
def sector_exposure(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> Allocation:
    """The same by sector."""
    return _allocation(who, portfolio, "sector", as_of, known_at)


@router.get("/get_geographic_distribution", response_model=Allocation)
def geographic_distribution(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> Allocation:
    """The same by country."""
    return _allocation(who, portfolio, "country", as_of, known_at)


class RiskMetric(BaseModel):
    """One risk figure; null where it is undefined, with the reason."""

    title: str
    value: Cell
    kind: str
    reason: str | None


class RiskMetrics(Dashboard):
    """Risk of the portfolio's own returns over a year, and its riskiest securities."""

    value_at_risk: float | None = Field(description="95 %, one day, a positive loss as a fraction")
    beta: float | None
    sharpe_ratio: float | None
    volatility: float | None
    metrics: dict[str, RiskMetric]
    riskiest: list[dict[str, Cell]] = Field(description="the ten most volatile positions")


@router.get("/get_risk_metrics", response_model=RiskMetrics)
def risk_metrics(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> RiskMetrics:
    """VaR, beta, Sharpe and the rest (report `risk`); the ten riskiest securities (`risk_by_security`)."""
    asked = Asked(who, portfolio, as_of=as_of, known_at=known_at)
    table = asked.report("risk")
    value = {f.key: number(f.value) for f in table.figures}
    return RiskMetrics(
        **asked.head(table),
        value_at_risk=value.get("var_95"),
        beta=value.get("beta"),
        sharpe_ratio=value.get("sharpe"),
        volatility=value.get("volatility"),
        metrics={
            f.key: RiskMetric(title=f.title, value=number(f.value), kind=f.kind.value, reason=f.reason)
            for f in table.figures
        },
        riskiest=_records(asked.report("risk_by_security"))[:10],
    )


class PerformanceDashboard(Dashboard):
    """Returns by period, and what earned them."""

    returns: list[dict[str, Cell]]
    top_performers: list[dict[str, Cell]] = Field(description="the ten best over a year, with their category")
    bottom_performers: list[dict[str, Cell]] = Field(description="the ten worst over a year")
    volatility: float | None


@router.get("/get_performance_dashboard", response_model=PerformanceDashboard)
def performance_dashboard(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> PerformanceDashboard:
    """Returns by period (report `performance`) and the securities by what they earned (`performers`)."""
    asked = Asked(who, portfolio, as_of=as_of, known_at=known_at)
    table = asked.report("performance")
    ranked = _records(asked.report("performers"))
    volatility = {f.key: f.value for f in asked.report("risk").figures}.get("volatility")
    return PerformanceDashboard(
        **asked.head(table),
        returns=_records(table),
        top_performers=ranked[:10],
        bottom_performers=ranked[::-1][:10],
        volatility=number(volatility),
    )


class ComplianceSummary(Dashboard):
    """Which rules hold and which are breached, checked now."""

    active_violations: int
    near_limit: int
    kept: int
    unknown: int
    last_check: datetime
    rules: list[dict[str, Cell]]
    violations: list[dict[str, Cell]]


@router.get("/get_compliance_summary", response_model=ComplianceSummary)
def compliance_summary(
    who: Who, portfolio: PortfolioOrFirst = None, as_of: AsOf = None, known_at: KnownAt = None
) -> ComplianceSummary:
    """Every rule with its limit and measure (report `compliance`); rules are checked at every request."""
    asked = Asked(who, portfolio, as_of=as_of, known_at=known_at)
    table = asked.report("compliance")
    rules = _records(table)
    return ComplianceSummary(
        **asked.head(table),
        active_violations=number(table.figure("breach").value),
        near_limit=number(table.figure("near").value),
        kept=number(table.figure("ok").value),
        unknown=number(table.figure("unknown").value),
        last_check=asked.view.now,
        rules=rules,
        violations=[r for r in rules if r["state"] == "breach"],
    )


def _records(table: Table) -> list[dict[str, Cell]]:
    """Rows as these paths have them."""
    return [{key: number(value) for key, value in record.items()} for record in table.records()]


# ── securities ──────────────────────────────────────────────────────────────────────────────────────────────

router.add_api_route(
    "/securities", every_security, response_model=list[SecurityAnswer], summary="All securities in the system"
)
router.add_api_route(
    "/securities",
    add_security,
    methods=["POST"],
    route_class_override=ExactRoute,
    summary="The same as POST /v1/securities",
    **ASKED,
)
router.add_api_route(
    "/securities/{security}", remove_security, methods=["DELETE"], summary="The same as DELETE /v1/securities/{…}", **ASKED
)  # fmt: skip
router.add_api_route(
    "/securities/tasks/{task_id}", look_at_task_as_before, response_model=SeedTask, summary="How far a task is"
)
router.add_api_route(
    "/v1/stocks/{security}", look_at_security, response_model=SecurityDetail, summary="The same as /v1/securities/{…}"
)


@router.get("/asset-classes", response_model=list[str])
def asset_classes(who: Who) -> list[str]:
    """The names of the asset classes that can be traded; /v1/asset-classes says more of each."""
    return [a.asset_class for a in dimensions.asset_classes(who) if a.tradable]
