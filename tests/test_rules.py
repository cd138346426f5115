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
from core.reports import REPORTS
from core.reports.allocation import allocation, allocation_positions
from core.reports.asset_360 import asset_360
from core.reports.compliance import compliance
from core.reports.holdings import holdings, lots
from core.reports.performance import PERFORMANCE_GRADES, performance_category, performers
from core.rules import RULES, Finding, Measured, check, rule
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
    def max_security_weight(view: View) -> Measured:
        """Again."""
        return []

    with pytest.raises(ValueError, match="twice"):
        rule("Again", "0.1")(max_security_weight)
    assert all(len(r.definition) > 20 for r in RULES.values())


Trade = tuple[str, int, str, str]  # kind, number of the security, quantity, price


def looked_at(deposit: str, trades: list[Trade], securities: dict[int, Security], last: dict[int, float], *, method: str = "fifo") -> View:
    """A portfolio in euros with some trades of one day, at these last prices; US dollars are at 1.10 per euro."""
    drafts = [Draft("deposit", ON, "EUR", gross=Decimal(deposit))]
    for kind, number, quantity, price in trades:
        its = securities[number]
        fx = Decimal("0.909090909") if its.currency == "USD" else None
        drafts.append(Draft(kind, ON, its.currency, its, Decimal(quantity), Decimal(price), fx=fx))
    day = np.array([day_number(ON)], np.int32)
    book = Book(Portfolio(uuid4(), "rules", "EUR", None, method), from_postings([post(d, "EUR", ON, ON) for d in drafts]), securities,
                {n: Series(day, np.array([p])) for n, p in last.items()}, Rates({"USD": Series(day, np.array([1.10]))}), {}, "1")  # fmt: skip
    return View(book, Scope(book.portfolio.portfolio_id, as_of=ON), {}, datetime(2026, 2, 1, tzinfo=UTC))


def by_rule(view: View) -> dict[str, Finding]:
    return {f.rule.name: f for f in check(view)}


def test_shorts_count_by_their_size_and_each_rule_says_how() -> None:
    """1,000 EUR in; 3 AAA at 100 bought, 7 CCC at 100 sold short: the value stays 1,000. CCC is -70 % of it, its sector too;
    AAA and BBB are in one sector: 30 % long and 20 % short are 50 % gross. 220 USD short against nothing is 20 % net."""
    view = looked_at("1000", [("buy", 1, "3", "100"), ("short", 3, "7", "100"), ("short", 2, "2", "110")], SECURITIES, {1: 100.0, 2: 110.0, 3: 100.0})
    assert view.valuation.total == Decimal(1000)
    found = by_rule(view)
    said = {name: (f.worst, f.value, f.state, f.rule.exposure) for name, f in found.items()}
    assert said["max_security_weight"] == ("CCC", pytest.approx(0.70, abs=1e-6), "breach", "gross")
    assert said["max_sector_weight"] == ("Utilities", pytest.approx(0.70, abs=1e-6), "breach", "gross")
    assert dict(found["max_sector_weight"].beyond)["Energy"] == pytest.approx(0.50, abs=1e-6)
    assert said["max_country_weight"][:2] == ("DE", pytest.approx(1.0, abs=1e-6)), "30 % long and 70 % short"
    assert said["max_currency_weight"][:2] == ("USD", pytest.approx(0.20, abs=1e-6))
    assert all("gross" in f.rule.definition or "long or short" in f.rule.definition for f in found.values() if f.rule.exposure == "gross")
    assert {r["rule"]: r["exposure"] for r in records(compliance(view), "compliance")} == {f.rule.title: f.rule.exposure for f in found.values()}


def records(made: object, name: str) -> list[dict[str, object]]:
    keys = [c.key for c in REPORTS[name].columns]
    return [dict(zip(keys, row, strict=True)) for row in made.rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("deposit", "state"),
    [("29100", "near"), ("29099.99", "breach"), ("29100.01", "near")],
    ids=["exactly at the limit", "a cent less value", "a cent more value"],
)
def test_a_measure_at_its_limit_keeps_it(deposit: str, state: str) -> None:
    """2931 + 4323 + 2931 = 10,185 of 29,100 are 35 % exactly; added up as floats they are more."""
    securities = {n: Security(n, f"E{n}", "E", "XETR", "EUR", "Equity", "Energy", None, "DE") for n in (1, 2, 3)}
    prices = {1: 29.31, 2: 43.23, 3: 29.31}
    assert sum(100 * p / 29100 for p in prices.values()) > 0.35, "the trap"
    view = looked_at(deposit, [("buy", n, "100", str(p)) for n, p in prices.items()], securities, prices)
    found = by_rule(view)["max_sector_weight"]
    assert (found.state, found.worst) == (state, "Energy")
    assert bool(found.beyond) == (state == "breach")


@pytest.mark.parametrize("price", ["33.3333", "1234.5678", "0.1117"])
def test_shares_are_of_the_value_before_it_is_rounded(price: str) -> None:
    """All of it in one security: exactly the whole, whatever the cents of the value; of ten alike each a tenth, which is the limit."""
    one = looked_at("7", [("buy", 1, "7", "1")], SECURITIES, {1: float(price)})
    assert by_rule(one)["max_security_weight"].value == 1.0
    ten = {n: Security(n, f"E{n}", "E", "XETR", "EUR", "Equity", f"S{n}", None, "DE") for n in range(1, 11)}
    view = looked_at("70", [("buy", n, "7", "1") for n in ten], ten, dict.fromkeys(ten, float(price)))
    found = by_rule(view)["max_security_weight"]
    assert (found.value, found.state, found.beyond) == (0.1, "near", ())
    assert view.valuation.total != view.valuation.exact, "the trap: cents"


def test_two_securities_of_one_symbol_are_two() -> None:
    """66 and 76 of 1,000 EUR: neither is over 10 %, together they would be."""
    securities = {
        1: Security(1, "IBM", "International Business Machines", "XNYS", "EUR", "Equity", "Technology", None, "US"),
        2: Security(2, "IBM", "International Banana Mills", "XTSE", "EUR", "Equity", "Materials", None, "CA"),
        3: Security(3, "KO", "Coca-Cola", "XNYS", "EUR", "Equity", "Consumer", None, "US"),
    }
    view = looked_at("1000", [("buy", 1, "1", "66"), ("buy", 2, "1", "76"), ("buy", 3, "1", "40")], securities, {1: 66.0, 2: 76.0, 3: 40.0})
    found = by_rule(view)["max_security_weight"]
    assert (found.state, found.worst, found.value) == ("ok", "XTSE:IBM", pytest.approx(0.076))
    assert view.names == {1: "XNYS:IBM", 2: "XTSE:IBM", 3: "KO"}
    grouped = View(view.book, Scope(view.book.portfolio.portfolio_id, as_of=ON, by="security"), {}, view.now)
    assert [r[0] for r in allocation(grouped).rows] == ["Cash", "XTSE:IBM", "XNYS:IBM", "KO"]
    assert {r[0] for r in allocation_positions(grouped).rows} == {"XTSE:IBM", "XNYS:IBM", "KO"}


def test_nothing_is_a_share_of_a_value_that_is_not_above_zero() -> None:
    """1,000 in, 20 bought at 250, which fall to 190: 3,800 and -4,000 of cash are -200."""
    view = looked_at("1000", [("buy", 1, "20", "250")], SECURITIES, {1: 190.0})
    assert view.valuation.total == Decimal(-200)
    why = "no shares: the value of the portfolio, -200.00 EUR, is not above zero"
    every = ("allocation", "allocation_positions", "holdings", "risk_by_security", "risk_distribution")
    for name, made in ((name, REPORTS[name].make(view)) for name in every):
        assert {r["weight"] for r in records(made, name)} == {None}, name
    assert why in allocation(view).notes
    assert why in holdings(view).notes
    assert why in compliance(view).notes
    assert why in REPORTS["risk_distribution"].make(view).notes
    assert [r["category"] for r in records(REPORTS["risk_distribution"].make(view), "risk_distribution")] == ["cash", "unknown"]
    assert {f.state for f in check(view)} == {"unknown"}


@pytest.mark.parametrize(
    ("method", "said"),
    [("fifo", "first in, first out"), ("lifo", "last in, first out"), ("hifo", "highest cost first"),
     ("average", "average cost, one pooled lot per security"), ("specific", "chosen lots, else first in, first out")],
)  # fmt: skip
def test_open_lots_name_their_own_method(method: str, said: str) -> None:
    assert lots(looked_at("1000", [("buy", 1, "3", "100")], SECURITIES, {1: 100.0}, method=method)).notes == (f"Method: {said}.",)


@pytest.mark.parametrize(("price", "word"), [(120.0, "strong"), (110.0, "good"), (100.0, "flat"), (90.0, "weak"), (79.0, "poor")])
def test_a_word_for_a_return_means_one_thing(price: float, word: str) -> None:
    view = looked_at("1000", [("buy", 1, "3", "100")], SECURITIES, {1: price})
    ours = [r["performance_category"] for r in records(asset_360(view), "asset_360")]
    assert ours == [word] == [r["category"] for r in records(performers(view), "performers")]
    assert word == performance_category(price / 100 - 1)
    notes = [str(c.note) for name in ("asset_360", "performers") for c in REPORTS[name].columns if c.key in ("performance_category", "category")]
    assert len(notes) == 2
    assert all(PERFORMANCE_GRADES in note for note in notes)
