"""The application: its routes, and every error in one shape."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from undertone import __version__
from undertone.serving.batcher import UnavailableError
from undertone.serving.bodies import (
    ErrorAnswer,
    SentimentAnswer,
    SentimentBody,
    SentimentPair,
    SentimentPairs,
    finding_of,
    result_of,
)
from undertone.serving.gate import (
    SENTIMENT,
    Gate,
    TooLargeError,
    WrongFieldError,
    error_response,
)
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import ModelThread
from undertone.settings import ServingSettings

RETRY_AFTER_SECONDS = 1
_NOT_JSON = "the body is not JSON"
DESCRIPTION = """
The sentiment of texts, or of what they say about a target.

Send one pair, or `{"pairs": […]}`; results come in the order of the pairs. Only as much of a text
is read as the model takes (`model.max_tokens`): send long texts in parts.

Where the service has Kafka, it also takes messages for the watcher.
"""
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The token is missing or wrong.",
        408: "The body has not arrived in time.",
        413: "The body, a text or the number of pairs is too large.",
        415: "The body is not announced as JSON.",
        422: "A field is wrong; `error.field` names it.",
        500: "The model failed on every pair.",
        503: "The model is loading or does not answer, or too many pairs wait: see Retry-After.",
        504: "The model has not answered in time.",
    }.items()
}


def build_app(
    settings: ServingSettings,
    model: ModelThread,
    metrics: ServeMetrics,
    registry: CollectorRegistry,
) -> FastAPI:
    """Wire the routes to the model's thread; `registry` is what `/metrics` tells."""
    timeout_seconds = settings.timeout / 1000
    token = None if settings.token is None else settings.token.get_secret_value()
    gate = Middleware(
        Gate,
        metrics=metrics,
        token=token,
        max_body_bytes=settings.max_body_bytes,
        timeout_seconds=timeout_seconds,
    )
    app = FastAPI(
        title="undertone",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        middleware=[gate],
    )
    _answer_errors(app)

    @app.post(
        SENTIMENT,
        response_model=SentimentAnswer,
        response_description="A result for each pair, in their order.",
        responses=_ERRORS,
        tags=["sentiment"],
    )
    async def sentiment(body: SentimentBody) -> Response:
        """The sentiment of one pair, or of many."""
        pairs = [body] if isinstance(body, SentimentPair) else body.pairs
        _check_size(settings, pairs, many=isinstance(body, SentimentPairs))
        future = asyncio.wrap_future(model.submit([pair.pair for pair in pairs]))
        try:
            scores = await asyncio.wait_for(future, timeout_seconds)
        except TimeoutError:
            return error_response(504, "the model has not answered in time")
        if not any(scores):
            return error_response(500, "the model failed on every pair")
        return JSONResponse({"model": model.model, "results": [result_of(row) for row in scores]})

    _add_health(app, model, registry)
    _add_page(app)
    return app


def _check_size(settings: ServingSettings, pairs: list[SentimentPair], *, many: bool) -> None:
    """Raise TooLargeError for too many pairs, or too long a one."""
    if len(pairs) > settings.max_pairs:
        raise TooLargeError(f"pairs: {len(pairs)} pairs, at most {settings.max_pairs:,}", "pairs")
    for index, pair in enumerate(pairs):
        for name in ("text", "target"):
            if len((getattr(pair, name) or "").encode()) > settings.max_text_bytes:
                field = f"pairs.{index}.{name}" if many else name
                message = f"{field}: has more than {settings.max_text_bytes:,} bytes"
                raise TooLargeError(message, field)


def _add_health(app: FastAPI, model: ModelThread, registry: CollectorRegistry) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"], responses={503: _ERRORS[503]})
    async def readyz() -> Response:
        """Whether pairs are taken: the model is loaded and answers, and its thread runs."""
        reason = model.unready()
        if reason is not None:
            return _unavailable(reason)
        return JSONResponse({"status": "ready", "model": model.model})

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def exposition(request: Request) -> Response:
        """Prometheus metrics."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)


def _add_page(app: FastAPI) -> None:
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page.replace("{nonce}", nonce), headers=headers)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("docs")


def _unavailable(reason: str) -> Response:
    return error_response(503, reason, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _answer_errors(app: FastAPI) -> None:
    """Every error as ErrorAnswer; what is unforeseen is logged by the server, and never told."""

    @app.exception_handler(RequestValidationError)
    async def wrong_field(_request: Request, error: RequestValidationError) -> Response:
        findings = error.errors()
        if findings[0]["type"] == "json_invalid":
            position, reason = findings[0]["loc"][-1], findings[0]["ctx"]["error"]
            return error_response(400, f"{_NOT_JSON}: {reason} (character {position})")
        message, field = finding_of(findings)
        status = 413 if findings[0]["type"] == "too_large" else 422
        return error_response(status, message, field=field)

    @app.exception_handler(TooLargeError)
    async def too_large(_request: Request, error: TooLargeError) -> Response:
        return error_response(413, str(error), field=error.field)

    @app.exception_handler(WrongFieldError)
    async def wrong_choice(_request: Request, error: WrongFieldError) -> Response:
        return error_response(422, str(error), field=error.field)

    @app.exception_handler(UnavailableError)
    async def unavailable(_request: Request, error: UnavailableError) -> Response:
        return _unavailable(str(error))

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        # 400 is the framework's word for what its JSON parser broke on.
        message = _NOT_JSON if error.status_code == 400 else str(error.detail)
        return error_response(error.status_code, message, headers=headers)

    @app.exception_handler(Exception)
    async def unforeseen(_request: Request, _error: Exception) -> Response:
        return error_response(500, "an internal error; the service's log tells it")
