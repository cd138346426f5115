"""Risk-free rates: how they are written, loaded and used; every ratio says which it was."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import MARK, Small, installed

from core.risk_free import BadRate, by_currency, rate_of, rates_of
from core.scope import Scope
from db import admin, books, reports
from settings import BadSetting, read


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def test_a_rate_is_a_percentage_or_a_fraction_and_nothing_between() -> None:
    assert rate_of("4.25%", "x") == rate_of("0.0425", "x") == rate_of(" 4.25 % ", "x") == Decimal("0.0425")
    assert rate_of("-0.5%", "x") == Decimal("-0.005")
    for wrong in ("4.25", "1", "-1", "much", "", "nan", "1e400%"):
        with pytest.raises(BadRate, match=r"x: .*4\.25% or 0\.0425"):
            rate_of(wrong, "x")
    assert by_currency("USD=4.25%, eur = 2%") == (("USD", Decimal("0.0425")), ("EUR", Decimal("0.02")))
    with pytest.raises(BadRate, match=r"write USD=4\.25%"):
        by_currency("4.25%")
    with pytest.raises(BadSetting, match="RISK_FREE_RATES"):
        read({"RISK_FREE_RATES": "USD=4"})


def test_a_file_of_rates_names_the_line_that_is_wrong() -> None:
    assert rates_of("date,rate\n2026-02-02,4%\n2026-01-01,0.05\n2026-03-03,\n") == [(date(2026, 1, 1), Decimal("0.05")), (date(2026, 2, 2), Decimal("0.04"))]
    with pytest.raises(BadRate, match="line 3, rate: '5'"):
        rates_of("date,rate\n2026-01-01,4%\n2026-01-02,5\n")
    with pytest.raises(BadRate, match="line 2, date: 'soon'"):
        rates_of("date,rate\nsoon,4%\n")
    with pytest.raises(BadRate, match="columns date and rate"):
        rates_of("day;value\n")


def test_ratios_subtract_the_rate_of_each_session_and_say_so(small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user, scope = small.user("anna"), Scope(small.portfolios[f"{MARK} dollars"], lookback="ALL")
    before = reports.answer(user, "risk", scope, small.now)
    assert "risk-free rate 0 %: none is known for USD" in before.notes[0]
    file = tmp_path / "usd.csv"
    middle = small.now.date().replace(month=6, day=1)
    file.write_text(f"date,rate\n2000-01-01,5%\n{middle},3%\n")
    assert admin.main(["load-risk-free", "usd", str(file)]) == 0
    assert "2 rates of USD read, 2 of them new or changed" in capsys.readouterr().out
    assert admin.main(["load-risk-free", "usd", str(file)]) == 0
    assert "0 of them new" in capsys.readouterr().out
    after = reports.answer(user, "risk", scope, small.now)
    assert "risk-free rate of each day, 3.00% a year on" in after.notes[0]
    view = reports.view(user, scope, small.now)
    r = view.sound_returns
    days = np.array(view.days)
    annual = np.where(days >= (middle - date(1970, 1, 1)).days, 0.03, 0.05)
    e = (r - ((1 + annual) ** (1 / 252) - 1))[np.isfinite(r)]
    assert after.figure("sharpe").value == pytest.approx(e.mean() / e.std(ddof=1) * math.sqrt(252))
    assert after.figure("volatility").value == before.figure("volatility").value
    assert "none is known for EUR" in reports.answer(user, "risk", Scope(small.portfolios[f"{MARK} euros"]), small.now).notes[0]


def test_what_cannot_be_loaded_changes_nothing(small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("date,rate\n2026-01-01,4%\n2026-01-02,400\n")
    assert admin.main(["load-risk-free", "USD", str(file)]) == 1
    assert "line 3, rate: '400'" in capsys.readouterr().err
    file.write_text("date,rate\n2026-01-01,4%\n")
    assert admin.main(["load-risk-free", "QQQ", str(file)]) == 1
    assert "currency 'QQQ'" in capsys.readouterr().err
    assert admin.main(["load-risk-free", "USD", str(tmp_path / "none.csv")]) == 1
    with small.database.jobs() as c:
        assert books.risk_free_of(c, "USD") == {}
