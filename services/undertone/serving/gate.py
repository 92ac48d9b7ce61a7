"""What stands before the application: counts, the token, and the size of a body."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from undertone.listening import is_bearer_of
from undertone.serving.metrics import ServeMetrics

SENTIMENT = "/v1/sentiment"
MESSAGES = "/v1/messages"
# The page holds no secret, and a browser sends no token when it opens one.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/"})
# A client that is still sending may not read its answer, so this much is taken and thrown away.
DISCARDED_BYTES = 16 << 20


class TooLargeError(Exception):
    """More was sent than one request may bring."""

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.field = field


class WrongFieldError(Exception):
    """A field says what cannot be done."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def error_response(
    status: int, message: str, *, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """`{"error": {"message": …, "field": …}}`, as every error is told."""
    problem: dict[str, Any] = {"message": message}
    if field is not None:
        problem["field"] = field
    return JSONResponse({"error": problem}, status, headers)


class _RefusedError(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


class Gate:
    """Lets a request through to `app` with its whole body read, or answers it itself."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: ServeMetrics,
        token: str | None,
        max_body_bytes: int,
        timeout_seconds: float,
    ) -> None:
        self._app, self._metrics = app, metrics
        self._counters = {SENTIMENT: metrics.requests, MESSAGES: metrics.message_requests}
        self._token = None if token is None else token.encode()
        self._max_body_bytes, self._timeout_seconds = max_body_bytes, timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] != "http":
            return
        counter = self._counters.get(scope["path"])
        if counter is None:
            await self._answer(scope, receive, send)
            return
        statuses = [500]

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        started = time.perf_counter()
        try:
            await self._answer(scope, receive, watched)
        finally:
            counter.labels(str(statuses[-1])).inc()
            if scope["path"] == SENTIMENT:
                self._metrics.request_seconds.observe(time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_token(scope)
            if scope["method"] == "POST" and scope["path"] in self._counters:
                receive = await self._read(Headers(scope=scope), receive)
        except _RefusedError as refused:
            await refused.response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_token(self, scope: Scope) -> None:
        if self._token is None or scope["path"] in OPEN_PATHS:
            return
        if not is_bearer_of(self._token, dict(scope["headers"]).get(b"authorization", b"")):
            raise _RefusedError(
                error_response(
                    401,
                    "a token is needed: send the header `Authorization: Bearer TOKEN`",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            )

    async def _read(self, headers: Headers, receive: Receive) -> Receive:
        """Read the body; returns what gives it again. Raises _RefusedError."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _RefusedError(
                error_response(415, "send JSON, with Content-Type: application/json")
            )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                body = await self._body(headers, receive)
        except TimeoutError:
            raise _RefusedError(error_response(408, "the body has not arrived in time")) from None
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return left.pop() if left else await receive()

        return again

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        too_large = _RefusedError(
            error_response(413, f"the body has more than {self._max_body_bytes:,} bytes")
        )
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > DISCARDED_BYTES:
            raise too_large
        body, size, more = bytearray(), 0, True
        while more and size <= DISCARDED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(error_response(400, "the body is not complete"))
            part = message.get("body", b"")
            size += len(part)
            if size <= self._max_body_bytes:
                body += part
            more = message.get("more_body", False)
        if size > self._max_body_bytes:
            raise too_large
        return bytes(body)
