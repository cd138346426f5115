"""The API: FastAPI, mounted by app.py at /api. A resource is one module here with a `router`; its line below adds it."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    audit,
    bulk,
    counterparties,
    dimensions,
    health,
    imports,
    lookups,
    notices,
    people,
    portfolios,
    problems,
    reconciliations,
    reference,
    reports,
    securities,
    seeds,
    tasks,
    transactions,
    unbooked,
    upkeep,
)
from api.problems import Problem
from db.engine import Origin, origin

OPEN = frozenset({"/v1/auth/login", "/health"})  # paths that ask for no sign-in
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
LARGEST_BODY = 2 * 2**20  # bytes
LARGEST_IMPORT = 32 * 2**20
FILES = ("/transactions/import", "/securities/import", "/securities/verdicts.csv")  # the ends of paths that take files


class Stamp:
    """Gives every request a number and its body a limit, every answer that number and the headers that keep it private."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        number = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = number

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = number
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
            await send(message)

        largest = LARGEST_IMPORT if scope["path"].endswith(FILES) else LARGEST_BODY
        too_large = f"the body is larger than {largest // 2**20} MiB"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > largest:
            await problems.answer(Request(scope), problems.HTTP, too_large, 413)(scope, receive, stamped)
            return
        arrived = 0

        async def measured() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > largest:
                raise HTTPException(413, too_large)
            return message

        client = scope.get("client")
        came = origin.set(Origin("api", client[0] if client else None, number))
        try:
            await self.app(scope, measured, stamped)
        finally:
            origin.reset(came)


class Api(FastAPI):
    """FastAPI whose description says what errors look like here."""

    def openapi(self) -> dict[str, Any]:
        """OpenAPI 3.1 with our problems instead of FastAPI's own."""
        if self.openapi_schema is None:
            schema = super().openapi()
            models = schema["components"]["schemas"]
            for unused in ("HTTPValidationError", "ValidationError"):
                models.pop(unused, None)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            models.update(problem.pop("$defs", {}))
            models["Problem"] = problem
            content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    if path in OPEN:
                        operation.pop("security", None)
                    answers = {s: r for s, r in operation["responses"].items() if s.startswith("2")}
                    operation["responses"] = answers | {"default": {"description": "A problem", "content": content}}
        assert self.openapi_schema is not None
        return self.openapi_schema


api = Api(
    title="Ballast API",
    version="1",
    description="Everything the pages show: portfolios, ledger, reports. Money, prices and units are decimal strings; "
    "fractions are numbers (0.05 is 5 %); missing is null with a reason.",
    docs_url=None,
    redoc_url=None,
)
api.add_middleware(Stamp)
problems.install(api)
for _router in (
    people.router,
    portfolios.router,
    reports.router,
    imports.router,
    transactions.router,
    reconciliations.router,
    lookups.router,
    tasks.csv_router,
    tasks.router,
    tasks.policy_router,
    dimensions.router,
    bulk.router,
    securities.router,  # after whatever has a path of its own below /v1/securities
    unbooked.router,
    audit.router,
    audit.csv_router,
    counterparties.router,
    upkeep.router,
    notices.router,
    seeds.router,
    health.router,
):
    api.include_router(_router)


@api.get("/docs", include_in_schema=False, response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    """The reference, without scripts and without a request to anybody else."""
    text = reference.page(api.openapi(), request.scope.get("root_path", ""))
    return HTMLResponse(text, headers={"Content-Security-Policy": reference.CSP})
