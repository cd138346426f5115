"""What somebody may have meant: the nearest of some names."""

from __future__ import annotations

import pytest

from core.master import FIELDS, nearest
from core.taxonomy import ASSET_CLASSES, FREQUENCIES

CLASSES = tuple(ASSET_CLASSES)
SECTORS = ("Energy", "Financials", "Health Care", "Industrials", "Information Technology", "Utilities")


@pytest.mark.parametrize(
    ("text", "names", "meant"),
    [
        ("Equities", CLASSES, "Equity"),
        ("fnud", CLASSES, "Fund"),
        ("FIXED INCOM", CLASSES, "Fixed Income"),
        ("quaterly", FREQUENCIES, "quarterly"),
        ("Enregy", SECTORS, "Energy"),
        ("Helth Care", SECTORS, "Health Care"),
        ("asset_clas", tuple(FIELDS), "asset_class"),
        ("USX", ("AUD", "EUR", "USD"), "USD"),
        ("Energy", ("ENERGY", "Energy"), "ENERGY"),
        ("Stonk", CLASSES, None),
        ("xylophone", SECTORS, None),
        ("", CLASSES, None),
        ("x" * 1_000_000, CLASSES, None),
        ("Equity", (), None),
    ],
)
def test_the_nearest_name(text: str, names: tuple[str, ...], meant: str | None) -> None:
    assert nearest(text, names) == meant


@pytest.mark.parametrize("names", [CLASSES, FREQUENCIES, SECTORS])
def test_a_letter_lost_or_exchanged_is_no_matter(names: tuple[str, ...]) -> None:
    for name in (n for n in names if len(n) > 4):
        for i in range(1, len(name) - 1):
            for text in (name[:i] + name[i + 1 :], name[:i] + name[i + 1] + name[i] + name[i + 2 :]):
                assert nearest(text, names) == name
