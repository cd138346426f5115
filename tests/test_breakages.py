"""The list of deliberate breakages is of the code that is there."""

import pytest
from breakages import BREAKAGES, ROOT, Breakage


@pytest.mark.parametrize("each", BREAKAGES, ids=lambda b: b.what)
def test_what_is_to_be_broken_is_there(each: Breakage) -> None:
    assert each.there in (ROOT / each.file).read_text("utf-8")
    assert each.there != each.broken
