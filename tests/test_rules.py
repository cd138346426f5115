"""Every compliance rule on portfolios small enough to check by hand, and the states that the registry gives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import numpy as np
import pytest

from core.book import Book, Portfolio
from core.fx import Rates, Series, day_number
from core.ledger import Draft, Security, from_postings, post
from core.rules import RULES, Finding, check, rule
from core.scope import Scope
from core.view import View

ON = date(2026, 1, 5)
# 1000 EUR of cash, then: 300 EUR of AAA, 2 x 110 USD = 200 EUR of BBB (1.10 USD per euro), 100 EUR of CCC; 400 EUR stay
SECURITIES = {
    1: Security(1, "AAA", "A", "XETR", "EUR", "Equity", "Energy", None, "DE"),
    2: Security(2, "BBB", "B", "XNYS", "USD", "Equity", "Energy", None, "US"),
    3: Security(3, "CCC", "C", "XETR", "EUR", "Equity", "Utilities", None, "DE"),
}


def findings(limits: dict[str, tuple[Decimal, str]] | None = None, priced: bool = True) -> dict[str, Finding]:
    drafts = [Draft("deposit", ON, "EUR", gross=Decimal(1000))]
    for number, quantity, price, fx in ((1, 3, 100, None), (2, 2, 110, "0.909090909"), (3, 1, 100, None)):
        security = SECURITIES[number]
        drafts.append(
            Draft(
                "buy",
                ON,
                security.currency,
                security,
                Decimal(quantity),
                Decimal(price),
                fx=Decimal(fx) if fx else None,
            )
        )
    day = np.array([day_number(ON)], np.int32)
    prices = {n: Series(day, np.array([float(p)])) for n, p in ((1, 100), (2, 110), (3, 100))}
    if not priced:
        del prices[3]
    book = Book(Portfolio(uuid4(), "rules", "EUR", None, "fifo"), from_postings([post(d, "EUR", ON, ON) for d in drafts]), SECURITIES, prices,
                Rates({"USD": Series(day, np.array([1.10]))}), {}, "1", None,
                {rule: ((0, *limit),) for rule, limit in (limits or {}).items()})  # fmt: skip
    view = View(book, Scope(book.portfolio.portfolio_id, as_of=ON), {}, datetime(2026, 2, 1, tzinfo=UTC))
    return {f.rule.name: f for f in check(view)}


def test_each_rule_measures_what_it_says() -> None:
    found = findings()
    expected = {  # of 1000 EUR in all
        "max_security_weight": ("AAA", 0.30),
        "max_sector_weight": ("Energy", 0.50),
        "max_country_weight": ("DE", 0.40),
        "max_currency_weight": ("USD", 0.20),
        "min_cash_weight": ("Cash", 0.40),
    }
    assert set(found) == set(RULES) == set(expected), "a rule without a worked example"
    for name, (worst, share) in expected.items():
        assert (found[name].worst, found[name].value) == (worst, pytest.approx(share, abs=1e-6)), name


def test_everything_beyond_a_limit_is_named() -> None:
    found = findings()["max_security_weight"]
    assert (found.state, found.limit, found.severity) == ("breach", 0.10, "hard")
    assert [name for name, _ in found.beyond] == ["AAA", "BBB"], "CCC is at its limit of 10 %, not beyond"


def test_a_portfolios_own_limit_comes_before_the_default() -> None:
    found = findings({"max_security_weight": (Decimal("0.5"), "soft"), "max_sector_weight": (Decimal("0.55"), "soft"),
                      "min_cash_weight": (Decimal("0.45"), "hard")})  # fmt: skip
    assert (found["max_security_weight"].state, found["max_security_weight"].severity) == ("ok", "soft")
    assert found["max_sector_weight"].state == "near", "0.50 is beyond 90 % of 0.55"
    assert found["min_cash_weight"].state == "breach", "at least 45 %, 40 % are there"


def test_a_rule_that_seems_kept_is_unknown_while_a_price_is_missing() -> None:
    found = findings({"max_security_weight": (Decimal("0.9"), "hard")}, priced=False)
    assert found["max_security_weight"].state == "unknown"
    assert findings(priced=False)["max_sector_weight"].state == "breach", "what is breached already stays breached"


def test_breaches_come_first() -> None:
    order = ["breach", "unknown", "near", "ok"]
    states = [order.index(f.state) for f in findings().values()]
    assert states == sorted(states)


def test_a_rule_is_registered_once_and_defined() -> None:
    def max_security_weight(view: View) -> list[tuple[str, float]]:
        """Again."""
        return []

    with pytest.raises(ValueError, match="twice"):
        rule("Again", 0.1)(max_security_weight)
    assert all(len(r.definition) > 20 for r in RULES.values())
