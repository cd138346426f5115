"""Every page opens with an empty, a small and a broken portfolio; a stranger and somebody signed out see nothing of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as some
from small import MARK, ODD, Small, bar_days, drafts, installed, row
from streamlit.testing.v1 import AppTest

from core.money import minor_units
from core.scope import GROUPS, PERIODS
from core.table import Column, Context, Kind, Table
from db import access, ledger, portfolios
from ui import charts, session, show

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py") if not path.stem.startswith("_"))
OURS = [name for name in ("overview", "holdings", "allocation", "performance", "income", "risk") if name in PAGES]
MINUS, THIN = "\u2212", "\u202f"


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    """Anna also has a portfolio without a transaction and one that holds what was never priced."""
    with installed(server) as made:
        for name in ("Empty", "Broken"):
            made.portfolios[name] = portfolios.create_portfolio(made.anna, f"{MARK} {name}", "USD")
        day = bar_days(made.now)[5]
        rows = [
            row(day, "deposit", gross="5000.00"),
            row(day, "buy", "NEVER", quantity="10", price="20"),
            row(day, "buy", "ACME", quantity="5", price="100"),
        ]
        ledger.append(made.anna, made.portfolios["Broken"], drafts(made, made.anna, rows, "USD"), made.now.date())
        yield made


@pytest.fixture
def opened(small: Small, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """`opened(page, who, portfolio, …)`: the page as somebody's browser gets it (None: nobody is signed in)."""

    def run(page: str, who: str | None = "anna", portfolio: str | None = None, **query: str) -> AppTest:
        monkeypatch.setattr(session, "token", lambda: small.tokens[who] if who else None)
        at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60)
        at.run()  # the first run knows the table of contents; pages are found by it
        if portfolio:
            at.query_params["portfolio"] = str(small.portfolios.get(portfolio, portfolio))
        for name, value in query.items():
            at.query_params[name] = value
        if page != "overview":
            at.switch_page(f"{page}.py")
        return at.run()

    return run


def said(at: AppTest, tables: bool = True) -> str:
    """Every text on the page."""
    blocks = (at.title, at.header, at.subheader, at.markdown, at.caption, at.info, at.warning, at.error, at.success)
    words = [str(each.value) for block in blocks for each in block]
    words += [str(each.proto.body) for each in at.get("html")]
    words += [f"{each.label} {each.value} {each.delta}" for each in at.metric]
    words += [each.value.to_string() for each in at.dataframe if tables]
    return "\n".join(words)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("portfolio", ["Empty", f"{MARK} dollars", f"{MARK} mixed", "Broken"])
def test_every_page_opens(opened: Callable[..., AppTest], page: str, portfolio: str) -> None:
    at = opened(page, portfolio=portfolio)
    assert not at.exception, at.exception[0].value
    assert at.title, "a page has a title"
    words = said(at, tables=False)  # in a table the browser shows a missing number as "–"
    assert "This part of the page failed" not in words
    assert not [token for token in ("NaN", "Decimal(", "None None") if token in words]


@pytest.mark.parametrize("page", OURS)
def test_every_period_opens(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, portfolio=f"{MARK} mixed", as_of="")
    for period in PERIODS:
        at.query_params["period"] = period
        at.run()
        assert not at.exception, period
        assert not at.error, period


def test_returns_that_are_undefined_say_why(opened: Callable[..., AppTest]) -> None:
    words = said(opened("performance", portfolio=f"{MARK} dollars", by="security"), tables=False)
    assert "3 years: the history begins on" in words
    assert "Benchmark" in words
    assert "no price for NEVER" in said(opened("performance", portfolio="Broken", period="ALL"), tables=False)


def test_rolling_risk_is_worked_out_when_it_is_opened(opened: Callable[..., AppTest]) -> None:
    at = opened("risk", portfolio=f"{MARK} dollars", period="ALL")
    assert "over the last 63 days" not in said(at)
    assert "All-time high" in said(at)
    at.session_state["rolling"] = True
    at.run()
    assert not at.exception
    assert "over the last 252 days" in said(at) or "over the last 63 days" in said(at)


@pytest.mark.parametrize("by", GROUPS)
def test_every_grouping_opens(opened: Callable[..., AppTest], by: str) -> None:
    for page in ("allocation", "performance"):
        at = opened(page, portfolio=f"{MARK} mixed", by=by)
        assert not at.exception
        assert not at.error


@pytest.mark.parametrize("page", OURS)
def test_a_past_day_opens(opened: Callable[..., AppTest], small: Small, page: str) -> None:
    on = bar_days(small.now)[90]
    at = opened(page, portfolio=f"{MARK} dollars", as_of=on.isoformat())
    assert not at.exception
    assert show.day(on) in said(at)


@pytest.mark.parametrize("page", PAGES)
def test_what_was_known_at_a_time_opens_and_says_so(opened: Callable[..., AppTest], small: Small, page: str) -> None:
    at = opened(page, portfolio=f"{MARK} dollars", known_at=datetime.now(UTC).isoformat())
    assert not at.exception
    if page in ("admin", "audit", "portfolios", "tasks"):  # settings, the trail and tasks are as they are now
        return
    words = said(at, tables=False)
    assert "You look at the past" in words
    assert "as known on" in words
    back = next(b for b in at.button if b.label == "Back to now")
    back.click().run()
    assert not at.exception
    assert "You look at the past" not in said(at, tables=False)


@pytest.mark.parametrize("page", OURS)
def test_before_anything_was_known_a_page_says_so(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, portfolio=f"{MARK} dollars", known_at="2001-01-01T00:00:00+00:00")
    assert not at.exception
    assert "was known yet at this time" in said(at)
    assert not at.metric


def test_what_moved_is_a_section_beside_the_ledger(opened: Callable[..., AppTest]) -> None:
    at = opened("reports", portfolio=f"{MARK} dollars", report="changes", since="2001-01-01T00:00:00+00:00")
    assert not at.exception
    assert "late booking" in said(at)
    late = opened("reports", portfolio=f"{MARK} dollars", report="changes", since="2999-01-01T00:00:00+00:00")
    assert "since=" in said(late)


@pytest.mark.parametrize("page", OURS)
def test_an_empty_portfolio_says_what_to_do(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, portfolio="Empty")
    assert "has no transactions yet" in said(at)
    assert not at.dataframe
    assert not at.metric


@pytest.mark.parametrize("page", OURS)
def test_a_missing_price_is_said_in_words(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, portfolio="Broken")
    assert "no price for NEVER" in said(at)


@pytest.mark.parametrize("page", PAGES)
def test_signed_out_there_is_only_the_sign_in_page(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, who=None, portfolio=f"{MARK} dollars")
    words = said(at)
    assert 'action="/login"' in words
    assert MARK not in words
    assert ODD not in words.replace(",", "")
    assert not at.dataframe
    assert not at.title
    assert not at.selectbox


def test_the_gate_stands_on_every_page_too(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened past the frame, a page still asks who is there."""
    monkeypatch.setattr(session, "token", lambda: None)
    for page in PAGES:
        at = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=60).run()
        assert MARK not in said(at), page
        assert not at.dataframe, page
        assert any("signed out" in str(each.value) for each in at.error), page


@pytest.mark.parametrize("page", OURS)
def test_a_strangers_portfolio_is_refused(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page, who="ben", portfolio=f"{MARK} dollars")
    words = said(at)
    assert "This portfolio cannot be opened" in words
    assert MARK not in words
    assert ODD not in words.replace(",", "")
    assert not at.dataframe
    assert not at.metric
    assert at.sidebar.selectbox, "the way back to one's own portfolios stays"


def test_a_portfolio_that_does_not_exist_reads_the_same(opened: Callable[..., AppTest]) -> None:
    theirs = [str(e.value) for e in opened("overview", who="ben", portfolio=f"{MARK} dollars").error]
    nobodys = [str(e.value) for e in opened("overview", who="ben", portfolio=str(uuid4())).error]
    assert theirs == nobodys


@pytest.mark.parametrize(
    ("name", "value"),
    [("period", "9Y"), ("as_of", "soon"), ("by", "colour"), ("portfolio", "<b>x</b>"), ("security", "-1")],
)
def test_an_address_that_cannot_be_read_is_explained(opened: Callable[..., AppTest], name: str, value: str) -> None:
    at = opened("overview", **{name: value})
    assert not at.exception
    assert any("cannot be read" in str(each.value) for each in at.error)


def test_signing_out_ends_an_open_page(
    small: Small, opened: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = access.sign_in("ben", "four-words-for-tests")
    at = opened("overview", who="ben")
    monkeypatch.setattr(session, "token", lambda: token)
    assert at.run().metric
    access.sign_out(token)
    at.run()
    assert not at.metric
    assert 'action="/login"' in said(at)


def test_choosing_writes_the_address(opened: Callable[..., AppTest], small: Small) -> None:
    at = opened("overview")
    other = small.portfolios[f"{MARK} mixed"]
    at.sidebar.selectbox[0].select(other).run()
    assert at.query_params["portfolio"] in (str(other), [str(other)])
    assert f"{MARK} mixed" in said(at)


def test_the_cards_say_what_the_report_says(opened: Callable[..., AppTest], small: Small) -> None:
    from core.scope import Scope
    from db import reports

    at = opened("overview", portfolio=f"{MARK} dollars")
    table = reports.answer(small.user("anna"), "overview", Scope(small.portfolios[f"{MARK} dollars"]))
    shown = {each.label: each.value for each in at.metric}
    total = table.figure("total")
    assert shown["Value"] == show.text(total.value, Kind.MONEY, "USD")
    assert Decimal(shown["Value"].replace(",", "")) == total.value


# --- numbers as text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "currency", "signed", "expected"),
    [
        (Decimal("1234567.891"), Kind.MONEY, "USD", False, "1,234,567.89"),
        (Decimal("-0.004"), Kind.MONEY, "USD", True, "0.00"),
        (Decimal("-1234.5"), Kind.MONEY, "USD", False, f"{MINUS}1,234.50"),
        (Decimal("1234.5"), Kind.MONEY, "JPY", True, "+1,234"),
        (Decimal("1.2345"), Kind.MONEY, "KWD", False, "1.234"),
        (0.12345, Kind.PERCENT, None, True, f"+12.34{THIN}%"),
        (-0.1, Kind.PERCENT, None, False, f"{MINUS}10.00{THIN}%"),
        (0.00125, Kind.BPS, None, False, f"12.5{THIN}bp"),
        (Decimal("33.3333333333"), Kind.UNITS, None, False, "33.3333333333"),
        (Decimal("120.0000"), Kind.UNITS, None, False, "120"),
        (Decimal("0.000012"), Kind.PRICE, None, False, "0.000012"),
        (Decimal("140.18"), Kind.PRICE, None, False, "140.18"),
        (Decimal(5), Kind.PRICE, None, False, "5.00"),
        (None, Kind.MONEY, "USD", False, "–"),
        (math.nan, Kind.NUMBER, None, False, "–"),
        (12345, Kind.COUNT, None, False, "12,345"),
        (True, Kind.FLAG, None, False, "yes"),
        (date(2026, 3, 31), Kind.DATE, None, False, "2026-03-31"),
        (1.005, Kind.NUMBER, None, False, "1.00"),
        (2.675, Kind.NUMBER, None, False, "2.68"),
    ],
)
def test_one_value_as_text(value: Any, kind: Kind, currency: str | None, signed: bool, expected: str) -> None:
    assert show.text(value, kind, currency, signed) == expected


def test_a_change_carries_arrow_and_sign() -> None:
    assert show.change(0.0123) == f"▲ +1.23{THIN}%"
    assert show.change(-0.0123) == f"▼ {MINUS}1.23{THIN}%"
    assert show.change(0.0) == f"0.00{THIN}%"
    assert show.change(None) == "–"


@given(some.decimals(-(10**12), 10**12, places=6), some.sampled_from(["USD", "JPY", "KWD"]))
def test_money_is_never_off_by_more_than_half_its_smallest_unit(value: Decimal, currency: str) -> None:
    told = Decimal(show.text(value, Kind.MONEY, currency).replace(",", "").replace(MINUS, "-"))
    assert abs(told - value) <= Decimal(1).scaleb(-minor_units(currency)) / 2


def test_a_table_sorts_by_number_and_shows_exact_text() -> None:
    columns = (Column("symbol", "Symbol"), Column("value", "Value", Kind.MONEY))
    rows = (("A", Decimal("9.10")), ("B", Decimal("1234567890123.45")), ("C", None))
    table = Table("t", "T", columns, rows, Context(date(2026, 1, 1), "USD", "1"))
    _, data, _ = show._data(table, ("symbol", "value"), 3, False)
    assert str(data.data.dtypes["value"]) == "float64"
    for _ in range(2):  # pandas may ask twice
        cells = [
            [cell["display_value"] for cell in line if cell["type"] == "td"]
            for line in data._translate(False, False)["body"]
        ]
        assert [line[1] for line in cells] == ["9.10", "1,234,567,890,123.45", "–"]
        data._compute()


def test_line_numbers_stay_narrow_and_long_text_gets_room() -> None:
    long, keys = "a reason " * 15, ("line", "security", "reason")
    columns = (Column("line", "Line", Kind.COUNT), Column("security", "Security"), Column("reason", "Why"))
    table = Table("t", "T", columns, ((1, "XNYS:ACME", long),), Context(date(2026, 1, 1), None, "1"))

    def of(phone: bool = False, most: tuple[tuple[str, int], ...] = ()) -> Any:
        config = show._data(table, keys, 1, phone, most)[2]
        return config["line"]["pinned"], [config[k].get("width") for k in keys]

    pinned, (line, security, reason) = of()
    assert pinned, "a pinned column takes no part of the room that is left"
    assert (line, security) == (None, None), "a browser fits what is short"
    assert show.AUTO < reason < show.ROOM
    assert of(most=(("reason", 300),))[1][2] == 300
    assert of(phone=True)[1] == [None, None, None]
    short = Table(
        "t", "T", (Column("n", "N"), *columns), ((1, 1, "XNYS:ACME", long),), Context(date(2026, 1, 1), None, "1")
    )
    assert show._data(short, ("n", *keys), 1, False)[2]["line"]["pinned"] is None


@pytest.mark.parametrize(
    ("prices", "wide"),
    [
        ([None, None, None, 149.39, *[None] * 8], True),  # a browser takes the one number for an outlier
        ([1.5] * 12 + [1234567.25], True),  # and looks at the first rows only
        ([1234567.25, 1234567.5, 1234567.75] * 4, False),
        ([None] * 12, False),
        ([], False),
    ],
)
def test_no_number_is_cut_off(prices: list[float | None], wide: bool) -> None:
    columns = (Column("n", "N"), Column("price", "Price", Kind.PRICE))
    rows = tuple((str(n), None if p is None else Decimal(str(p))) for n, p in enumerate(prices))
    table = Table("t", "T", columns, rows, Context(date(2026, 1, 1), None, "1"))
    for phone in (False, True):
        width = show._data(table, ("n", "price"), len(rows), phone)[2]["price"].get("width")
        assert (width is not None) == wide
        if width is not None:
            longest = max(len(show.text(row[1], Kind.PRICE)) for row in rows)
            assert width >= 7 * longest + 16, "the digits and the room at both sides of them"


def test_thinning_keeps_ends_and_extremes() -> None:
    wave = [math.sin(i / 400) for i in range(10_000)]
    wave[4321] = 9.0
    taken = charts.thinned(wave, 500)
    assert len(taken) <= 500
    assert taken == sorted(set(taken))
    assert (taken[0], taken[-1]) == (0, 9999)
    assert 4321 in taken
    assert charts.thinned([1, 2, 3]) == [0, 1, 2]


def test_ten_colours_everywhere() -> None:
    import tomllib

    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert theme["chartCategoricalColors"] == list(charts.PALETTE)
    found = [v for part in (theme, theme["light"], theme["dark"]) for k, v in part.items() if k.startswith("chart")]
    assert all(len(colours) == 10 and len(set(colours)) == 10 for colours in found)
