"""The server: pages by Streamlit, the API mounted at /api, sign-in, fonts, one set of security headers.

Runs under `streamlit run app.py`, `uvicorn app:app` and `python app.py`.
"""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from api import api
from api.health import PROBES, probe
from api.sign_in import sign_in_form, sign_out_form
from db import engine
from settings import ROOT, settings
from ui.errors import unexpected
from ui.headers import Headers, Packed, Pages

WARM = (
    "numpy",
    "pandas",
    "pandas.io.formats.style",
    "pyarrow",
    "plotly.graph_objects",
    "plotly.io",
    "core.reports",
    "db.reports",
    "jinja2",
)
PAGES = frozenset(file.stem for file in (ROOT / "pages").glob("[!_]*.py"))
THREADS = 64  # synchronous endpoints wait for the database here


def warm() -> None:
    """Load what the first page needs, then take it out of the collector's rounds: they would look at it on every rerun."""
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Pools open, imports warm; pools closed at the end."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await anyio.to_thread.run_sync(engine.pool, "ballast_web")
    threading.Thread(target=warm, daemon=True, name="warm").start()
    try:
        yield {}
    finally:
        await anyio.to_thread.run_sync(engine.close)


def front_page(request: Request) -> RedirectResponse:
    """The overview under its own name."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/", 302)


app = st.App(
    ROOT / "pages" / "_main.py",
    lifespan=lifespan,
    routes=[
        Mount("/api", app=api),
        Route("/login", sign_in_form, methods=["POST"]),
        Route("/logout", sign_out_form, methods=["POST"]),
        Route("/overview", front_page),  # Streamlit serves its first page at / alone
        *(Route(path, probe) for path in PROBES),
        Mount("/assets", app=StaticFiles(directory=ROOT / "assets")),
    ],
    middleware=[
        Middleware(Headers),
        Middleware(Pages, names=PAGES),
        Middleware(Packed, folder=settings.data_dir / "static"),
    ],
    on_script_error=unexpected,
)

if __name__ == "__main__":
    app.run(config={"server.port": settings.port, "server.address": settings.host})
