"""Cursors: where the next page begins, as text that says nothing to whoever sends it back."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated

from fastapi import Query

from core.scope import BadScope

Cursor = Annotated[
    str | None, Query(description="next_cursor of the page before; none: the first page", max_length=400)
]


def cursor(*key: str) -> str:
    """The key of a page's last row, wrapped up."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(text: str, parts: int) -> list[str]:
    """The key in a cursor. Raises BadScope where it is none of ours."""
    try:
        key = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != parts
        or not all(isinstance(k, str) and k.isprintable() for k in key)
        or cursor(*key) != text
    ):
        raise BadScope("cursor", text, "the next_cursor of the page before")
    return key
