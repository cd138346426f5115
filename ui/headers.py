"""What every answer of the web process carries: security headers; 404 where there is no page; Streamlit's own files, packed once."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import streamlit
from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse

STREAMLIT = Path(streamlit.__file__).parent / "static"
PACKABLE = (".js", ".css", ".svg", ".json")


def content_security_policy() -> str:
    """Everything from here and nowhere else. The inline script of Streamlit's page is named by its hash, so that an upgrade does
    not break the page; blob: is for components, unsafe-inline for styles that Streamlit writes."""
    scripts = re.findall(r"<script>(.*?)</script>", (STREAMLIT / "index.html").read_text(), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'self'; script-src 'self' {hashes} blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'self'; "
        "form-action 'self'; object-src 'none'"
    )


class Headers:
    """Adds the security headers; the API brings a policy of its own where it needs one."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.policy = content_security_policy()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", self.policy)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("X-Frame-Options", "DENY")
                headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                if scope["path"].startswith("/assets/"):
                    headers.setdefault("Cache-Control", "public, max-age=86400")
            await send(message)

        await self.app(scope, receive, sending)


class Pages:
    """Answers 404 where Streamlit has no page: it sends its HTML with 200 whatever is asked for, and a probe would be green for ever."""

    def __init__(self, app: Any, names: Collection[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        path = scope.get("path", "").strip("/")
        if scope["type"] != "http" or not path or path in self.names or path.startswith("api/"):
            await self.app(scope, receive, send)
            return

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                kind = MutableHeaders(scope=message).get("content-type", "")
                message["status"] = 404 if kind.startswith("text/html") else 200
            await send(message)

        await self.app(scope, receive, sending)


class Packed:
    """Serves Streamlit's scripts and styles gzipped: 2.9 MB instead of 9.1. Each is packed once, into `folder`."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.app, self.folder = app, folder / streamlit.__version__

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        found = self._wanted(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        packed = await to_thread.run_sync(self._pack, found)
        kind = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}.get(
            found.suffix, "application/json"
        )
        headers = {
            "Content-Encoding": "gzip",
            "Vary": "Accept-Encoding",
            "Cache-Control": "public, max-age=31536000, immutable",
        }
        await FileResponse(packed, media_type=kind, headers=headers)(scope, receive, send)

    def _wanted(self, scope: Any) -> Path | None:
        """The file that this request asks for, where it is one of ours and may be packed."""
        path = scope.get("path", "")
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or not path.startswith("/static/")
            or not path.endswith(PACKABLE)
        ):
            return None
        if not any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"]):
            return None
        file = (STREAMLIT / path.lstrip("/")).resolve()
        return file if file.is_relative_to(STREAMLIT.resolve()) and file.is_file() else None

    def _pack(self, file: Path) -> Path:
        """The packed copy, made where there is none; two at a time do each other no harm."""
        packed = self.folder / (str(file.relative_to(STREAMLIT.resolve())).replace("/", "_") + ".gz")
        if not packed.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = packed.with_suffix(f".{id(file)}")
            part.write_bytes(gzip.compress(file.read_bytes(), 6))
            part.replace(packed)
        return packed
