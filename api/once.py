"""Requests that are carried out once: under an Idempotency-Key the same request again gets the answer of the first.

A router whose changes shall be so has `route_class=OnceRoute`; its description then names the header. What asks for a task is
not among them: a task keeps the key itself (`api.tasks.ask`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.types import Message

from api import people
from db import request_keys
from db.request_keys import AtWork, Kept

HEADER = "Idempotency-Key"
LONGEST = 120
PATTERN = "^[!-~]*$"
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LOOKS = ("/preview", "/verdicts.csv")  # the ends of paths that change nothing
SECRET = ("/notification-channels",)  # … whose answers are not kept
LARGEST = 2**20  # bytes of an answer that is kept
WAIT = 0.1  # seconds between two looks at a request that is at work
DESCRIBED = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "the same key with the same request answers what was answered before, for a day; with another request it is refused",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": PATTERN},
}


def key_of(request: Request) -> str | None:
    """The key that came with a request. Raises RequestValidationError."""
    key = request.headers.get(HEADER)
    if key is not None and (not 1 <= len(key) <= LONGEST or not re.fullmatch(PATTERN, key)):
        said = f"1 to {LONGEST} printable characters of ASCII, without spaces"
        raise RequestValidationError([{"type": "value_error", "loc": ("header", HEADER), "msg": said, "input": key}])
    return key


def ledger_key(request: Request, user: people.User) -> str | None:
    """The key under which what a request books is found in the ledger: each person has keys of their own."""
    key = key_of(request)
    return None if key is None else f"api:{user.user_id}:{key}"


class OnceRoute(APIRoute):
    """A route whose changes are carried out once for each Idempotency-Key."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **named: Any) -> None:
        self.once = bool(CHANGES & set(named.get("methods") or ())) and not path.endswith(LOOKS)
        if self.once:
            extra = named.get("openapi_extra") or {}
            named["openapi_extra"] = {**extra, "parameters": [*extra.get("parameters", ()), DESCRIBED]}
        super().__init__(path, endpoint, **named)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual one, behind the question whether it was carried out before."""
        handle = super().get_route_handler()
        if not self.once:
            return handle

        async def once(request: Request) -> Response:
            key = key_of(request)
            if key is None or self._only_looks(request):
                return await handle(request)
            user = (await run_in_threadpool(people.asking, request, _token(request))).user
            body = await request.body()
            digest = await _digest(request, body)
            while isinstance(found := await run_in_threadpool(request_keys.claim, user.user_id, key, digest), AtWork):
                await asyncio.sleep(WAIT)
            if isinstance(found, Kept):
                return Response(found.body, found.status, {**found.headers, "Idempotent-Replayed": "true"})

            async def failed(kind: type[BaseException] | None, *_: object) -> None:
                if kind is not None and issubclass(
                    kind, Exception
                ):  # who went away leaves what may be done all the same
                    await run_in_threadpool(request_keys.withdraw, user.user_id, key)

            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_exit(failed)
                answer = await handle(_with_body(request, body))
            await run_in_threadpool(request_keys.keep, user.user_id, key, self._kept(answer))
            return answer

        return once

    def _only_looks(self, request: Request) -> bool:
        """Whether a request is a dry run, said so or by default."""
        said = request.query_params.get("dry_run")
        if said is not None:
            return said.lower() in ("true", "1", "on", "t", "y", "yes")
        return any(p.name == "dry_run" and p.default is True for p in self.dependant.query_params)

    def _kept(self, answer: Response) -> Kept:
        headers = {name: answer.headers[name] for name in ("content-type", "location") if name in answer.headers}
        body = bytes(answer.body)
        keeps = len(body) <= LARGEST and not self.path.endswith(SECRET)
        return Kept(answer.status_code, headers, body if keeps else None)


def _token(request: Request) -> str | None:
    """The token that a request carries, read as `people.session` has it read."""
    header = request.headers.get("authorization")
    if header is None:
        return request.cookies.get(people.COOKIE)
    scheme, _, token = header.partition(" ")
    return token if scheme.lower() == "bearer" else None


async def _digest(request: Request, body: bytes) -> bytes:
    """What tells a request from another one: method, path, query, and the body as it is meant."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    said: Any = hashlib.sha256(body).hexdigest()
    if kind == "application/json":
        with contextlib.suppress(ValueError, RecursionError):  # the endpoint says what is wrong with it
            said = json.loads(body, parse_float=str, parse_int=str)
    elif kind == "multipart/form-data":  # what parts the fields is another word each time
        async with _with_body(request, body).form() as form:
            said = [
                (name, v.filename, hashlib.sha256(await v.read()).hexdigest())
                if isinstance(v, UploadFile)
                else (name, v)
                for name, v in form.multi_items()
            ]
    whole = (request.method, request.url.path, sorted(request.query_params.multi_items()), kind, said)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).digest()


def _with_body(request: Request, body: bytes) -> Request:
    """The same request, its body still to be read."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return unread.pop() if unread else await request.receive()

    return Request(request.scope, receive)
