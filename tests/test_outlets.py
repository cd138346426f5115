"""Page, API and CSV say the same: every report's Table is compared cell by cell with what JSON and CSV carry."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from small import MARK, Small, bar_days, installed, weekdays

from core.book import Action
from core.reports import REPORTS
from core.returns import period_start
from core.scope import Scope
from core.table import Kind, Table
from db import feeds, market, master, notices, reports, tasks

STAMP = ["report_as_of", "report_known_at", "report_currency", "calculation_version"]
# what a reader may ask beside the plain report
QUERIES: dict[str, list[dict[str, str]]] = {
    "holdings": [{"as_of": "-100"}, {"known_at": "2020-01-01T00:00:00+00:00"}],
    "overview": [{"as_of": "-200"}],
    "allocation": [{"by": "sector"}, {"by": "country"}, {"by": "currency"}],
    "allocation_positions": [{"by": "country"}],
    "value_chart": [{"period": "1D"}, {"period": "1W"}, {"period": "ALL"}],
    "growth": [{"period": "3M"}, {"period": "YTD"}, {"period": "ALL"}],
    "risk": [{"period": "ALL"}, {"as_of": "-60"}],
    "drawdowns": [{"period": "ALL"}, {"period": "1W"}, {"as_of": "-60"}],
    "rolling": [{"period": "ALL"}, {"as_of": "-60"}],
    "performers": [{"period": "1M"}],
    "returns_by": [{"by": "security", "period": "ALL"}, {"by": "currency", "period": "MTD"}],
    "fx_effect": [{"period": "3Y"}, {"period": "QTD"}],
    "position_returns": [{"as_of": "-60"}],
    "transactions": [{"as_of": "-150"}],
    "changes": [{"since": "2020-01-01T00:00:00+00:00"}, {"since": "2020-01-01T00:00:00+00:00", "as_of": "-150"}],
    "changes_by_position": [{"since": "2020-01-01T00:00:00+00:00"}],
    "lots": [{"security": "ACME"}],
}


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        ben = made.user("ben")
        notices.add(ben, "webhook", "https://example.org/", ["waiting", "failed"])
        task = tasks.request(ben, master.plan_edit(ben, "BOLT", {"rating": "AA"}), {})
        with made.database.jobs() as c:  # a dividend that nobody booked
            unpaid = Action(made.securities["FUND"], "dividend", bar_days(made.now)[160], None, Decimal("0.05"), "USD")
            market.upsert_actions(c, [unpaid], "csv")
            feeds.note(c, "csv", "bars", {"BOLT": "=BOLT.csv line 2: close 'x' is not a number"}, made.securities)
            c.execute(
                "INSERT INTO price_gaps (security_id, first_on, last_on, until, sessions, before_first, found_at) VALUES (%s, %s, %s, %s, 3, false, now())",
                (made.securities["BOLT"], *(bar_days(made.now)[i] for i in (100, 102, 103))),
            )
        with made.database.owner() as c:
            c.execute(
                "UPDATE tasks SET status = 'failed', finished_at = now(), message = 'Failed: =1+1' WHERE task_id = %s",
                (task,),
            )
            c.execute("UPDATE notices SET status = 'dead', attempts = 6, last_error = 'answered 500'")
        yield made


def asked(name: str) -> list[dict[str, str]]:
    plain: dict[str, str] = {"security": "ACME"} if {"bars", "studied"} & set(REPORTS[name].inputs) else {}
    if "household" in REPORTS[name].inputs:
        plain = {"year": "200"}  # the year of that day: a sale at a loss
    return [plain, *QUERIES.get(name, [])]


CASES = [(name, query) for name in sorted(REPORTS) for query in asked(name)]


def same_json(cell: Any, got: Any, kind: Kind) -> bool:
    """Whether JSON carries exactly this cell."""
    if cell is None:
        return got is None
    if isinstance(cell, Decimal):
        return isinstance(got, str) and Decimal(got) == cell and "E" not in got
    if isinstance(cell, datetime):
        return isinstance(got, str) and datetime.fromisoformat(got) == cell
    if isinstance(cell, date):
        return isinstance(got, str) and date.fromisoformat(got) == cell
    return type(got) is type(cell) and got == cell


def same_csv(cell: Any, got: str) -> bool:
    """Whether CSV carries exactly this cell."""
    if cell is None:
        return got == ""
    if isinstance(cell, bool):
        return got == ("yes" if cell else "no")
    if isinstance(cell, Decimal):
        return Decimal(got) == cell and "E" not in got
    if isinstance(cell, int | float):
        return type(cell)(got) == cell
    if isinstance(cell, datetime):
        return datetime.fromisoformat(got) == cell
    if isinstance(cell, date):
        return date.fromisoformat(got) == cell
    return got == cell or (got[:1] == "'" and got[1:] == cell and cell[0] in "=+@\t\r")


def three(small: Small, name: str, query: dict[str, str]) -> tuple[Table, dict[str, Any], str]:
    """The Table, the JSON and the CSV of one report, made within one tick of the clock."""
    query = dict(query)
    if "security" in query:
        query["security"] = str(small.securities[query["security"]])
    if "year" in query:
        query["year"] = str(bar_days(small.now)[int(query["year"])].year)
    if "as_of" in query:
        query["as_of"] = bar_days(small.now)[int(query["as_of"])].isoformat()
    portfolio, client, user = small.portfolios[f"{MARK} dollars"], small.client("anna"), small.user("anna")
    for _ in range(5):
        tick = int(time.time()) // 10
        table = reports.answer(user, name, Scope.read(portfolio, query), datetime.now(UTC))
        answers = [
            client.get(f"/v1/reports/{name}", params={"portfolio": str(portfolio), "format": form, **query})
            for form in ("json", "csv")
        ]
        if int(time.time()) // 10 == tick:
            break
    assert [a.status_code for a in answers] == [200, 200], answers[0].text
    assert answers[1].headers["content-type"] == "text/csv; charset=utf-8"
    assert answers[1].headers["content-disposition"].startswith(f'attachment; filename="{name}_')
    return table, answers[0].json(), answers[1].content.decode()


@pytest.mark.parametrize(("name", "query"), CASES, ids=[f"{n}{'-' if q else ''}{','.join(q)}" for n, q in CASES])
def test_page_json_and_csv_agree(small: Small, name: str, query: dict[str, str]) -> None:
    table, answer, text = three(small, name, query)
    keys = [c.key for c in table.columns]
    assert [(c["key"], c["title"], c["kind"]) for c in answer["columns"]] == [
        (c.key, c.title, c.kind.value) for c in table.columns
    ]
    assert len(answer["rows"]) == len(table.rows)
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines[0] == keys + STAMP
    assert len(lines) - 1 == len(table.rows)
    for row, record, line in zip(table.rows, answer["rows"], lines[1:], strict=True):
        assert list(record) == keys
        for column, cell, flat in zip(table.columns, row, line, strict=False):
            assert same_json(cell, record[column.key], column.kind), f"{column.key}: {cell!r} is {record[column.key]!r}"
            assert same_csv(cell, flat), f"{column.key}: {cell!r} is {flat!r} in the CSV"
        known = table.context.known_at
        stamp = [
            table.context.as_of.isoformat(),
            known.isoformat() if known else "",
            table.context.currency or "",
            table.context.version,
        ]
        assert line[len(keys) :] == stamp
    total = table.total
    assert (answer["total"] is None) == (total is None)
    if total is not None:
        assert all(same_json(c, answer["total"][k], Kind.TEXT) for k, c in zip(keys, total, strict=True))
    assert len(answer["figures"]) == len(table.figures)
    for figure, got in zip(table.figures, answer["figures"], strict=True):
        assert got["key"] == figure.key
        assert same_json(figure.value, got["value"], figure.kind), f"{figure.key}: {figure.value!r} is {got['value']!r}"
        assert got["reason"] == figure.reason
        assert got["change"] == figure.change
    assert answer["as_of"] == table.context.as_of.isoformat()
    assert answer["currency"] == table.context.currency
    assert answer["notes"] == list(table.notes)


def test_most_reports_have_rows_here(small: Small) -> None:
    """An agreement over nothing would prove nothing."""
    empty = {n for n in REPORTS if not three(small, n, asked(n)[0])[1]["rows"]}
    assert empty <= {"letters", "dead_letters", "unsettled"}, empty


def test_the_older_paths_say_what_the_reports_say(small: Small) -> None:
    client, portfolio = small.client("anna"), {"portfolio": str(small.portfolios[f"{MARK} dollars"])}

    def report(name: str, **query: str) -> dict[str, Any]:
        return client.get(f"/v1/reports/{name}", params=portfolio | query).json()

    def older(path: str, **query: str) -> dict[str, Any]:
        answer = client.get(path, params=portfolio | query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    figures = {f["key"]: f["value"] for f in report("overview")["figures"]}
    current, overview = older("/portfolio/current"), older("/get_portfolio_overview")
    for mine, theirs in (("total_value", "total"), ("investment_value", "invested"), ("cash_balance", "cash")):
        assert current[mine] == overview[mine] == float(figures[theirs])
    held = report("holdings")["rows"]
    assert [(p["ticker"], p["shares"], p["current_value"], p["cost_basis"]) for p in current["positions"]] == [
        (h["symbol"], float(h["units"]), float(h["value"]), float(h["cost"])) for h in held
    ]
    for path, by in (
        ("asset_allocation", "asset_class"),
        ("sector_exposure", "sector"),
        ("geographic_distribution", "country"),
    ):
        rows, groups = report("allocation", by=by)["rows"], older(f"/get_{path}")["groups"]
        assert [(g["name"], g["value"], g["count"]) for g in groups] == [
            (r["group"], float(r["value"]), r["count"]) for r in rows
        ]
        assert sum(g["percentage"] for g in groups) == pytest.approx(100, abs=0.001)
    risk = {f["key"]: f["value"] for f in report("risk")["figures"]}
    answer = older("/get_risk_metrics")
    assert (answer["value_at_risk"], answer["beta"], answer["sharpe_ratio"]) == (
        risk["var_95"],
        risk["beta"],
        risk["sharpe"],
    )
    assert answer["beta"] is not None
    rules = report("compliance")["rows"]
    assert older("/get_compliance_summary")["active_violations"] == sum(r["state"] == "breach" for r in rules) > 0
    best = report("performers")["rows"][0]
    assert older("/get_performance_dashboard")["top_performers"][0]["symbol"] == best["symbol"]
    chart = {f["key"]: f["value"] for f in report("value_chart", period="ALL")["figures"]}
    performance = older("/portfolio/performance", timeframe="ALL")
    assert performance["gain"] == float(chart["gain"])


@pytest.mark.parametrize("period", ["MTD", "QTD", "YTD"])
def test_the_chart_starts_from_the_close_that_the_period_starts_from(small: Small, period: Any) -> None:
    user, portfolio = small.user("anna"), small.portfolios[f"{MARK} dollars"]
    now = datetime.now(UTC)
    session = next(d for d in reversed(weekdays(now.date(), 5)) if datetime.fromisoformat(f"{d}T14:30+00:00") <= now)
    base = weekdays(period_start(session, period, date(1990, 1, 1)), 1)[0]
    rows = reports.answer(user, "value_chart", Scope.read(portfolio, {"period": period}), now).rows
    assert rows[0][0].date() == max(base, bar_days(small.now)[5]), "the first booking is on the sixth day"
    whole, three = (
        reports.answer(user, "value_chart", Scope.read(portfolio, {"period": p}), now) for p in ("ALL", "3Y")
    )
    assert three.rows[0] == whole.rows[0], "there is less than three years"
