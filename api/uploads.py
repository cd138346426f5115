"""Files that are sent: as a form's field `file`, or as the body itself."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from core.importing import NotReadable


def body(csv_example: str, fields: dict[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a file: `fields` stand beside it in the form, `others` are other media types."""
    form = {"file": {"type": "string", "format": "binary"}, **(fields or {})}
    content = {
        "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": form}},
        "text/csv": {"schema": {"type": "string", "example": csv_example}},
    }
    return {"requestBody": {"required": True, "content": content | others}}


async def sent(request: Request, default_name: str) -> tuple[str, bytes, dict[str, str]]:
    """(name, contents, the form's text fields) of the file sent. Raises NotReadable where a form has none."""
    fields: dict[str, str] = {}
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise NotReadable("the form has no file: send it in the field 'file'")
            name, raw = file.filename or default_name, await file.read()
            fields = {k: v for k, v in form.items() if isinstance(v, str)}
    else:
        name, raw = default_name, await request.body()
    return "".join(c for c in name if c.isprintable())[:200], raw, fields
