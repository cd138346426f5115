"""Which of some names somebody may have meant: by the pairs of letters that both have, found through an index.

Thousands of misspelt cells are compared with hundreds of names; comparing each with each takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

ENOUGH = 0.4  # share of the pairs that both must have
LONGEST = 80  # characters of a text that are looked at


def nearest(text: str, names: tuple[str, ...]) -> str | None:
    """The name most like the text, whatever the case; None where none is like it. Of two alike the first."""
    places, sizes = _index(names)
    pairs = _pairs(text)
    common: dict[int, int] = {}
    for pair in pairs:
        for i in places.get(pair, ()):
            common[i] = common.get(i, 0) + 1
    best, found = ENOUGH, None
    for i, n in sorted(common.items()):
        alike = 2 * n / (len(pairs) + sizes[i])
        if alike > best or (alike == best and found is None):
            best, found = alike, names[i]
    return found


@lru_cache(maxsize=64)
def _index(names: tuple[str, ...]) -> tuple[Mapping[str, list[int]], list[int]]:
    """(by pair of letters the names that have it, how many pairs each name has)."""
    places: dict[str, list[int]] = {}
    sizes = []
    for i, name in enumerate(names):
        pairs = _pairs(name)
        sizes.append(len(pairs))
        for pair in pairs:
            places.setdefault(pair, []).append(i)
    return places, sizes


def _pairs(text: str) -> set[str]:
    """Two letters each, the first and the last with the edge of the word."""
    edged = f"^{text[:LONGEST].lower()}$"
    return {edged[i : i + 2] for i in range(len(edged) - 1)}
