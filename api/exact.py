"""Bodies whose numbers count as they were written: 150.10 is a decimal, and never on its way through a float."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema


class _Written(Request):
    async def json(self) -> Any:
        """The body, numbers with a point as Decimal."""
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body(), parse_float=Decimal, parse_constant=Decimal)
        return self._json


class ExactRoute(APIRoute):
    """A route whose body is read so: `APIRouter(route_class=ExactRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual one, with numbers as they were written."""
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(_Written(request.scope, request.receive))

        return exactly


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else value


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("text without NUL and without half characters")
    return text


def _day(value: Any) -> Any:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("a date such as 2026-03-31")
    return value


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Day = Annotated[date, BeforeValidator(_day)]  # a date as it is written: a number is not taken for seconds since 1970

# a body that is one thing or a list of them: what is wrong is said of the one that was sent
ONE, SEVERAL = Tag("<one>"), Tag("<several>")
ONE_OR_SEVERAL = Discriminator(lambda sent: SEVERAL.tag if isinstance(sent, list) else ONE.tag)


# cells of a row: what they mean is for the core to say
_Text = Annotated[str, Field(max_length=500), AfterValidator(_storable)]
TextCell = _Text | None
NumberCell = Annotated[
    _Text | None,
    BeforeValidator(_as_text),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}),
]
