"""Handlers of golden cases, one module an area: `@handles(kind)` over a function of a case's Inputs.

A handler reads the inputs, calls public functions of the product with the convention that the case names, and gives the
answers by the keys of `expected`. Nothing is calculated here that the product calculates. It raises Refused where the product does
not offer what is asked; a key of the inputs that it did not read makes a refusal, too.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Answers = dict[str, Any]
REMARKS = ("note",)  # keys that say something to a person and change no figure


class Refused(Exception):
    """The product does not offer this, and why."""


class Inputs(Mapping[str, Any]):
    """The inputs of one case, its `definition` beside them. It remembers which keys were read."""

    def __init__(self, given: Mapping[str, Any], definition: str = "") -> None:
        self._given, self.definition = given, definition
        self._read = set(REMARKS)

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._given[key]

    def __contains__(self, key: object) -> bool:
        return key in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    @property
    def unread(self) -> list[str]:
        """Keys that no handler has asked for."""
        return sorted(set(self._given) - self._read)

    def word(self, key: str, known: Mapping[str, Any]) -> Any:
        """What a word of the inputs stands for. Raises Refused for one that is not known."""
        if (word := self[key]) not in known:
            raise Refused(f"does not know the {key} {word!r}; it knows {', '.join(known)}")
        return known[word]


Handler = Callable[[Inputs], Answers]
HANDLERS: dict[str, Handler] = {}


def handles(*kinds: str) -> Callable[[Handler], Handler]:
    """Register a handler of these kinds."""

    def register(function: Handler) -> Handler:
        for kind in kinds:
            if kind in HANDLERS:
                raise ValueError(f"kind {kind} has two handlers")
            HANDLERS[kind] = function
        return function

    return register


def load() -> None:
    """Import every module of this package, so that its handlers are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
