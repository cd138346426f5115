"""A trade on a day without a session, or of a security not yet or no longer listed: a warning everywhere, and it is booked all the same.

The sessions of the small installation are its weekdays; the holidays are made by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from small import Small, bar_days, installed

from core.calendar import Sessions
from core.fx import day_number
from core.ledger import Security
from core.trade_dates import Lifetime, doubts
from db import portfolios

Opened = Callable[..., Any]
ACME = Security(1, "ACME", "Acme", "XNYS", "USD", "Equity")
# the sessions of New York from Monday 1 to Friday 12 July 2024, without Independence Day
JULY = [date(2024, 7, d) for d in (1, 2, 3, 5, 8, 9, 10, 11, 12)]
_days = np.array([day_number(d) for d in JULY], np.int32)
NEW_YORK = {
    "XNYS": Sessions(
        "XNYS", "America/New_York", _days, _days.astype(np.int64) * 86_400, _days.astype(np.int64) * 86_400 + 3_600
    )
}


def said(kind: str, on: str, security: Security | None = ACME, lifetime: Lifetime | None = None) -> list[str]:
    return [str(w) for w in doubts(kind, date.fromisoformat(on), security, NEW_YORK, lifetime)]


def test_a_holiday_and_a_weekend_are_named_with_the_sessions_around() -> None:
    assert said("buy", "2024-07-04") == [
        "Trade date 2024-07-04: XNYS has no session on that day, Thursday, a holiday there: the session before is 2024-07-03, the next 2024-07-05."
    ]
    assert said("sell", "2024-07-06") == [
        "Trade date 2024-07-06: XNYS has no session on that day, a Saturday: the session before is 2024-07-05, the next 2024-07-08."
    ]
    assert said("short", "2024-07-03") == said("cover", "2024-07-05") == []


def test_only_trades_are_looked_at() -> None:
    for kind in ("deposit", "dividend", "split", "fee", "transfer_in", "merger"):
        assert said(kind, "2024-07-04") == []
    assert said("buy", "2024-07-04", None) == []


def test_where_the_calendar_is_not_known_weekends_alone_are_odd() -> None:
    elsewhere = replace(ACME, exchange="XOFF")
    assert said("buy", "2024-07-04", elsewhere) == []
    assert said("buy", "2024-07-06", elsewhere) == ["Trade date 2024-07-06: exchanges are closed on Saturdays."]
    assert said("buy", "2023-07-04") == [], "before the first session that is known"
    assert said("buy", "2024-07-14") == ["Trade date 2024-07-14: exchanges are closed on Sundays."], (
        "and after the last"
    )


def test_crypto_trades_on_every_day() -> None:
    for asset_class in ("Crypto", "Currency"):
        assert said("buy", "2024-07-06", replace(ACME, exchange="XOFF", asset_class=asset_class)) == []


@pytest.mark.parametrize(
    ("lifetime", "on", "right"),
    [
        (Lifetime(issued_on=date(2024, 7, 5)), "2024-07-03", "ACME was issued later, on 2024-07-05"),
        (Lifetime(issued_on=date(2024, 7, 5)), "2024-07-05", None),
        (Lifetime(matures_on=date(2024, 7, 5)), "2024-07-08", "ACME matured before, on 2024-07-05"),
        (Lifetime(matures_on=date(2024, 7, 5)), "2024-07-05", None),
        (Lifetime(ended_on=date(2024, 7, 5), status="delisted"), "2024-07-05", "ACME is delisted since 2024-07-05"),
        (Lifetime(ended_on=date(2024, 7, 5), status="delisted"), "2024-07-03", None),
        (Lifetime(first_priced_on=date(2024, 7, 5)), "2024-07-03", "no price of ACME is known before 2024-07-05: it may not have been listed yet"),
        (Lifetime(first_priced_on=date(2024, 7, 5)), "2024-07-05", None),
    ],
)  # fmt: skip
def test_before_it_was_listed_and_after_it_ended(lifetime: Lifetime, on: str, right: str | None) -> None:
    assert said("buy", on, ACME, lifetime) == ([f"Trade date {on}: {right}."] if right else [])


def test_two_doubts_are_both_said() -> None:
    assert len(said("buy", "2024-07-04", ACME, Lifetime(issued_on=date(2024, 7, 5)))) == 2


# --- by API, by file, on the pages ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """New York is closed on the 100th weekday that has bars; BOLT was delisted on the 200th."""
    with installed(server) as made:
        days = bar_days(made.now)
        with made.database.owner() as c:
            c.execute("DELETE FROM trading_sessions WHERE exchange = 'XNYS' AND \"on\" = %s", (days[100],))
            c.execute("UPDATE securities SET status = 'delisted', ended_on = %s WHERE symbol = 'BOLT'", (days[200],))
            c.execute("UPDATE data_versions SET version = version + 1")
        made.portfolios["Odd days"] = portfolios.create_portfolio(made.anna, "Odd days", "USD")
        yield made


def bought(on: date, symbol: str = "ACME") -> dict[str, str]:
    return {"date": on.isoformat(), "kind": "buy", "symbol": symbol, "quantity": "1", "price": "100"}


def closed(small: Small) -> str:
    days = bar_days(small.now)
    weekday = days[100].strftime("%A")
    return f"Trade date {days[100]}: XNYS has no session on that day, {weekday}, a holiday there: the session before is {days[99]}, the next {days[101]}."


def test_preview_and_booking_say_it_and_it_is_booked(small: Small) -> None:
    days, client, scope = bar_days(small.now), small.client("anna"), {"portfolio": "Odd days"}
    seen = client.post("/v1/transactions/preview", json=bought(days[100]), params=scope).json()
    assert seen["warnings"] == [closed(small)]
    made = client.post("/v1/transactions", json=bought(days[100]), params=scope)
    assert made.status_code == 201
    assert made.json()["warnings"] == [closed(small)]
    assert client.post("/v1/transactions", json=bought(days[101]), params=scope).json()["warnings"] == []
    (number,) = made.json()["booked"]
    patched = client.patch(f"/v1/transactions/{number}", json={"date": days[102].isoformat()}, params=scope).json()
    assert patched["warnings"] == []
    back = client.patch(
        f"/v1/transactions/{patched['booked']}", json={"date": days[100].isoformat()}, params=scope
    ).json()
    assert back["warnings"] == [closed(small)]


def test_a_delisted_security_and_one_without_earlier_prices_are_warned_of(small: Small) -> None:
    days, client, scope = bar_days(small.now), small.client("anna"), {"portfolio": "Odd days"}
    ended = client.post("/v1/transactions/preview", json=bought(days[201], "BOLT"), params=scope).json()["warnings"]
    assert ended == [f"Trade date {days[201]}: BOLT is delisted since {days[200]}."]
    assert (
        client.post("/v1/transactions/preview", json=bought(days[199], "BOLT"), params=scope).json()["warnings"] == []
    )
    monday = days[0] - timedelta(days=days[0].weekday() + 7)
    early = client.post("/v1/transactions/preview", json=bought(monday), params=scope).json()["warnings"]
    assert early == [
        f"Trade date {monday}: no price of ACME is known before {days[0]}: it may not have been listed yet."
    ]


def test_a_date_in_the_future_is_refused(small: Small) -> None:
    ahead = bought(small.now.date() + timedelta(days=2))
    answer = small.client("anna").post("/v1/transactions/preview", json=ahead, params={"portfolio": "Odd days"})
    assert answer.status_code == 422
    assert "may not lie after today" in answer.text


def test_the_dry_run_of_a_file_says_it_row_by_row_and_books_it(small: Small) -> None:
    days, client = bar_days(small.now), small.client("anna")
    file = f"date,kind,symbol,quantity,price,gross\n{days[100]},buy,ACME,2,100,\n{days[101]},buy,ACME,2,100,\n{days[100]},deposit,,,,5\n"
    for dry in ("true", "false"):
        answer = client.post("/v1/transactions/import", content=file, params={"portfolio": "Odd days", "dry_run": dry},
                             headers={"Content-Type": "text/csv"}).json()  # fmt: skip
        assert [v["outcome"] for v in answer["verdicts"]] == ["book"] * 3
        assert [v["warnings"] for v in answer["verdicts"]] == [[closed(small)], [], []]
        assert (answer["warned"], answer["booked"]) == (1, 0 if dry == "true" else 3)
