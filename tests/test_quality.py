"""Closes that contradict their neighbours: found in the wrong unit and on the wrong side of a split, and never elsewhere."""

from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book import Action
from core.explain import explain
from core.fx import day_number
from core.quality import BOTH_WAYS, Jump, jumps, jumps_in, levels
from core.reports import REPORTS
from core.table import Context, Table

CALM = (101.0, 100.5, 102.0, 101.5, 103.0, 102.0, 101.0, 102.5, 103.5, 102.8)
START = date(2024, 1, 1)


def table(closes: tuple[float, ...], *actions: Action) -> tuple[Table, dict[str, Any]]:
    bars = [(START + timedelta(days=n), None, None, None, Decimal(str(c)), None, "file") for n, c in enumerate(closes)]
    inputs = {"bars": bars, "actions": ("GBP", list(actions))}
    return REPORTS["price_checks"].table(Context(START, None, "1"), **inputs), inputs


def split(day: int, ratio: str) -> Action:
    return Action(1, "split", START + timedelta(days=day), ratio=Fraction(ratio))


def test_pence_that_turn_to_pounds_are_told() -> None:
    """612.20, 609.60, 5.854, 5.872: 609.6 ÷ 5.854 is 104, nearer to 100 than to 1."""
    (jump,) = jumps((612.20, 609.60, 5.854, 5.872), ())
    assert (jump.place, jump.factor) == (1, 100)
    assert levels(4, [jump]) == pytest.approx([0.01, 0.01, 1, 1])
    shown, inputs = table((612.20, 609.60, 5.854, 5.872))
    (row,) = shown.records()
    assert (row["on"], row["before"], row["close"], row["times"]) == (
        START + timedelta(days=2),
        Decimal("609.6"),
        Decimal("5.854"),
        100,
    )
    assert "100 times too high" in row["what"]
    assert explain(None, shown, "times", 0, **inputs).recomputed == 100


def test_one_close_in_another_unit_is_found_on_both_sides() -> None:
    closes = (*CALM[:5], CALM[5] / 100, *CALM[6:])
    found = jumps(closes, ())
    assert [(j.place, j.factor) for j in found] == [(5, 0.01), (4, 100)]
    scale = levels(10, found)
    assert isinstance(scale, np.ndarray)
    assert (closes * scale) == pytest.approx(CALM)


def test_which_unit_is_right_is_not_guessed_where_it_comes_and_goes() -> None:
    closes = tuple(c / 100 if n in (3, 4, 5, 6) else c for n, c in enumerate(CALM))
    assert levels(10, jumps(closes, ())) == BOTH_WAYS


def test_a_split_that_is_not_in_the_closes_before_it_or_is_twice() -> None:
    """Raw closes fall by the ratio on the ex date; adjusted, they go on. Two days late they stand five times too high."""
    day = day_number(START)
    raw = [(day + n, c * 5 if n < 4 else c) for n, c in enumerate(CALM)]
    assert jumps_in(raw, {}, {day + 4: 5.0}) == []
    late = [(day + n, c * 5 if n < 6 else c) for n, c in enumerate(CALM)]
    assert [(j.place, j.factor) for j in jumps_in(late, {}, {day + 4: 5.0})] == [(5, 5.0), (3, 0.2)]
    shown, inputs = table(CALM, split(4, "5"))  # the provider adjusted them already
    (row,) = shown.records()
    assert row["times"] == pytest.approx(0.2)
    assert "the split of 2024-01-05 (5 new for one old) is twice in the closes before" in row["what"]
    assert explain(None, shown, "times", 0, **inputs).recomputed == row["times"]
    shown, _ = table(tuple(c * 5 if n < 7 else c for n, c in enumerate(CALM)), split(4, "5"))
    assert [r["what"].split(") ")[1] for r in shown.records()] == [
        "is not in the closes before",
        "is twice in the closes before",
    ]


def test_a_large_dividend_is_no_split() -> None:
    """Cairn: 461.15, then 205.10 and 243.94 a share in cash, with a 33:70 consolidation of the same day."""
    closes = (469.6, 476.0, 460.0, 456.9, 456.1, 448.4, 461.2, 205.1, 197.9, 196.8)
    paid = [0.0] * 7 + [243.94, 0.0, 0.0]
    assert jumps(closes, (33 / 70,), paid) == []
    assert [j.place for j in jumps(closes, (33 / 70,))] == [6]


def test_a_wrong_dividend_makes_no_jump() -> None:
    assert jumps(CALM, (), [0.0] * 5 + [10_000.0] + [0.0] * 4) == []


@pytest.mark.parametrize("crash", [0.7, 0.5, 0.25, 0.1, 3.0, 15.0])
def test_a_move_of_the_market_is_no_jump(crash: float) -> None:
    assert jumps((*CALM[:5], *(c * crash for c in CALM[5:])), ()) == []


@pytest.mark.parametrize("closes", [(), (1.0,), (math.nan, 1.0, math.nan), (0.0, 1.0), (1.0, 1.0, 1.0)])
def test_poor_series_have_no_jumps(closes: tuple[float, ...]) -> None:
    assert jumps(closes, (2.0,)) == []


@given(
    st.lists(st.integers(-200, 200), min_size=20, max_size=80),
    st.integers(1, 17),
    st.sampled_from([100.0, 0.01, 2.0, 0.1, 5.0, 1 / 3]),
)
def test_one_jump_is_found_where_it_is_and_levelled(moves: list[int], place: int, factor: float) -> None:
    right = 50 * np.cumprod(1 + np.array(moves) / 10_000)
    wrong = right.copy()
    wrong[: place + 1] *= factor
    found = jumps(wrong, (factor,))
    assert found == [Jump(place, pytest.approx(factor))]
    assert wrong * levels(len(wrong), found) == pytest.approx(right)
