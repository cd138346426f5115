"""The reports on drawdowns and rolling risk: worked examples by hand, numpy, and what the pages of other figures say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_contributions import ACME, d, on, rows, series, table, view_of

from core.explain import explain, explain_figure
from core.metrics import METRICS
from core.view import View

# 110 → 99 and back; 121 → 96.8, 108.9, and back on the seventh day
PRICES = (100, 110, 99, 110, 121, 96.8, 108.9, 121)
INDEX = (50, 50, 55, 55, 55, 44, 44, 44)


def held(*prices: float, benchmark: tuple[float, ...] = (), **scope: Any) -> View:
    """One share, all that there is, bought at the first of its prices with the cash for it."""
    drafts = [d("deposit", 0, prices[0], currency="USD"), d("buy", 0, None, ACME, 1, prices[0])]
    given = {1: series(*prices)} | ({9: series(*benchmark)} if benchmark else {})
    return view_of(drafts, given, base="USD", benchmark=9 if benchmark else None, **scope)


def recomputed(view: View, name: str) -> None:
    """Every cell and figure says how it comes about, and comes out again."""
    shown = table(name, view)
    for column in shown.columns:
        for row in range(len(shown.rows)):
            found = explain(view, shown, column.key, row)
            assert found.recomputed == pytest.approx(found.value) if isinstance(found.value, float) else found.recomputed == found.value  # fmt: skip
    for figure in shown.figures:
        found = explain_figure(view, shown, figure.key)
        assert found.recomputed == pytest.approx(found.value) if isinstance(found.value, float) else found.recomputed == found.value  # fmt: skip


# --- drawdowns ----------------------------------------------------------------------------------------------------


def test_two_drawdowns_by_hand() -> None:
    """96.8 / 121 − 1 = −20 %, three days from the fourth; 99 / 110 − 1 = −10 %. The index lost 44 / 55 − 1 = −20 % and won 10 %."""
    view = held(*PRICES, benchmark=INDEX)
    first, second = rows("drawdowns", view).values()
    assert first["depth"] == pytest.approx(-0.20)
    assert (first["peak"], first["trough"], first["recovery"]) == (on(4), on(5), on(7))
    assert (first["days_down"], first["days_up"], first["days"]) == (1, 2, 3)
    assert first["benchmark"] == pytest.approx(-0.20)
    assert second["depth"] == pytest.approx(-0.10)
    assert (second["peak"], second["trough"], second["recovery"], second["days"]) == (on(1), on(2), on(3), 2)
    assert second["benchmark"] == pytest.approx(0.10)
    recomputed(view, "drawdowns")


def test_an_open_drawdown_has_no_recovery_and_says_so() -> None:
    view = held(*PRICES[:7])
    first = rows("drawdowns", view)["1"]
    assert (first["recovery"], first["days_up"], first["reason"]) == (None, None, "not recovered yet")
    assert first["days"] == 2
    assert first["benchmark"] is None
    recomputed(view, "drawdowns")


def test_the_all_time_high_is_since_inception_and_the_rest_of_the_period() -> None:
    """The high is 121 on the fourth day; on the sixth it stands at 108.9 / 121 − 1 = −10 %. One day back is a rise of 12.5 %."""
    view = held(*PRICES[:7], period="1D")
    shown = table("drawdowns", view)
    assert shown.rows == ()
    figures = {f.key: f.value for f in shown.figures}
    assert figures["high_on"] == on(4)
    assert figures["below_high"] == pytest.approx(-0.10)
    assert figures["days_since_high"] == 2
    assert figures["longest_drawdown_days"] == 0
    recomputed(view, "drawdowns")


def test_the_lengths_and_the_average_by_hand() -> None:
    """−20 % and −10 %: −15 % on average; three days at most; root mean square of 10, 20 and 10 % below over eight days."""
    figures = {f.key: f.value for f in table("drawdowns", held(*PRICES)).figures}
    assert (figures["longest_drawdown_days"], figures["longest_recovery_days"]) == (3, 3)
    assert figures["average_drawdown"] == pytest.approx(-0.15)
    assert figures["ulcer_index"] == pytest.approx(math.sqrt((0.1**2 + 0.2**2 + 0.1**2) / 8))


def test_deposits_make_no_high_and_withdrawals_no_drawdown() -> None:
    drafts = [d("deposit", 0, 100, currency="USD"), d("deposit", 1, 900, currency="USD"), d("withdrawal", 2, 500, currency="USD")]  # fmt: skip
    view = view_of([*drafts, d("buy", 0, None, ACME, 1, 100)], {1: series(100, 100, 100)}, base="USD")
    assert table("drawdowns", view).rows == ()
    recomputed(view, "drawdowns")


def test_the_ten_deepest_are_shown_and_agree_with_the_risk_figures() -> None:
    prices = tuple(100 * (1 + n / 100) * (0.9 - n / 200 if n % 2 else 1) for n in range(40))
    view = held(*prices)
    shown = table("drawdowns", view)
    depths = shown.column("depth")
    assert len(depths) == 10
    assert depths == sorted(depths)
    assert depths[0] == pytest.approx(METRICS["max_drawdown"](returns=view.sound_returns))
    recomputed(view, "drawdowns")


# --- rolling ------------------------------------------------------------------------------------------------------


def walk(n: int, seed: int) -> tuple[float, ...]:
    """Closes to the cent."""
    return tuple(100 * np.cumprod(1 + np.random.default_rng(seed).normal(0.0005, 0.01, n)).round(2))


def test_a_rolling_figure_is_that_of_its_window() -> None:
    """Against numpy on the closes themselves, with the beginning of the window well before the period that is shown."""
    prices, index = walk(400, 1), walk(400, 2)
    view = held(*prices, benchmark=index, period="1M")
    found = table("rolling", view)
    mine, theirs = np.diff(prices) / prices[:-1], np.diff(index) / index[:-1]
    last = dict(zip((c.key for c in found.columns), found.rows[-1], strict=True))
    r, b = mine[-252:], theirs[-252:]
    assert last["on"] == on(399)
    assert last["volatility_quarter"] == pytest.approx(np.std(mine[-63:], ddof=1) * math.sqrt(252))
    assert last["volatility"] == pytest.approx(np.std(r, ddof=1) * math.sqrt(252))
    assert last["benchmark_volatility"] == pytest.approx(np.std(b, ddof=1) * math.sqrt(252))
    assert last["sharpe"] == pytest.approx(r.mean() / np.std(r, ddof=1) * math.sqrt(252))
    assert last["beta"] == pytest.approx(np.cov(r, b)[0, 1] / np.var(b, ddof=1))
    curve = np.concatenate(([1.0], np.cumprod(1 + r)))
    assert last["max_drawdown"] == pytest.approx((curve / np.maximum.accumulate(curve) - 1).min())
    assert last["reason"] == ""
    assert 28 <= len(found.rows) <= 31
    recomputed(view, "rolling")


def test_the_window_does_not_depend_on_the_period_shown() -> None:
    prices = walk(300, 3)
    short, long = (held(*prices, period=period) for period in ("1W", "ALL"))
    tail = table("rolling", short).rows
    assert len(tail) == 7
    assert table("rolling", long).rows[-7:] == tail


def test_a_window_that_is_not_full_has_no_figure_and_says_why() -> None:
    """The first day has a return of 0: it is the first of 63."""
    found = list(rows("rolling", held(*walk(260, 4))).values())
    assert [r["volatility_quarter"] is None for r in found].index(False) == 62
    assert [r["volatility"] is None for r in found].index(False) == 251
    assert found[10]["reason"] == "too few observations: 11, 63 are needed"
    assert found[100]["reason"] == "too few observations: 101, 252 are needed"
    assert {r["beta"] for r in found} == {None}


@pytest.mark.parametrize("name", ["drawdowns", "rolling"])
def test_an_empty_portfolio_has_neither(name: str) -> None:
    shown = table(name, view_of([], {}, base="USD"))
    assert shown.rows == ()
    assert shown.empty
