"""The pages and the answers of the API, made from what the reader has taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from undertone.board import answers, view
from undertone.board.gate import Gate
from undertone.board.metrics import BoardMetrics
from undertone.board.reader import Reader
from undertone.board.state import BoardState
from undertone.pages.rendering import Style, environment, source_of

REFRESH_SECONDS = 20
_TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders pages. Requests run in threads of their own; the state is read under the lock."""

    def __init__(
        self,
        state: BoardState,
        lock: threading.Lock,
        reader: Reader,
        *,
        wall_clock_ms: Callable[[], int] | None,
    ) -> None:
        """`wall_clock_ms` is None where time is recorded: the stream's age then means nothing."""
        from markupsafe import Markup

        self._state, self._lock, self._reader = state, lock, reader
        self._wall_clock_ms = wall_clock_ms
        self._style = Style.of(_TEMPLATES / "board.css")
        self._script = "\n" + (_TEMPLATES / "board.js").read_text(encoding="utf-8")
        self._templates = environment(_TEMPLATES)
        self._templates.globals.update(
            style=self._style, script=Markup(self._script), refresh_seconds=REFRESH_SECONDS
        )
        self.policy = (
            f"default-src 'none'; style-src {self._style.source}; "
            f"script-src {source_of(self._script)}; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def index(self, request: Request) -> Response:
        """The watchlist and the open alerts."""
        window = request.query_params.get("window")
        number = request.query_params.get("page", "1")
        page = int(number) if number.isdecimal() and len(number) < 9 else 1
        return self._page("index.html.j2", request, lambda: view.index(self._state, window, page))

    def alerts(self, request: Request) -> Response:
        """All alerts that are remembered."""
        return self._page("alerts.html.j2", request, lambda: view.alert_list(self._state))

    def alert(self, request: Request) -> Response:
        """One alert with its evidence."""
        id_ = request.path_params["id"]
        return self._page("alert.html.j2", request, lambda: view.alert(self._state, id_))

    def subject(self, request: Request) -> Response:
        """One subject with its windows and alerts."""
        id_ = request.path_params["id"]
        return self._page("subject.html.j2", request, lambda: view.subject(self._state, id_))

    def missing(self, request: Request, error: Exception) -> Response:
        """What is not there, and other refusals, in the look of the rest."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": {"message": _MISSING.get(status, "refused")}}, status)
        kind = request.url.path.split("/")[1]
        return self._page("missing.html.j2", request, lambda: {"kind": kind}, status)

    def answer(self, make: Callable[[BoardState, str], Any]) -> Callable[[Request], Response]:
        """A route of the API: JSON, or 404 where there is none."""

        def answered(request: Request) -> Response:
            with self._lock:
                made = make(self._state, request.path_params.get("id", ""))
            if made is None:
                raise HTTPException(404)
            return Response(orjson.dumps(made), media_type="application/json")

        return answered

    def _page(
        self,
        template: str,
        request: Request,
        make: Callable[[], dict[str, Any] | None],
        status: int = 200,
    ) -> Response:
        with self._lock:
            made = make()
            clock_ms = self._state.clock_ms
        if made is None:
            raise HTTPException(404)
        age_ms = None
        if self._wall_clock_ms is not None and clock_ms is not None:
            age_ms = max(0, self._wall_clock_ms() - clock_ms)
        text = self._templates.get_template(template).render(
            **made,
            root="../" * (request.url.path.count("/") - 1),
            clock_ms=clock_ms,
            age_ms=age_ms,
            reading=self._reader.unready(),
            is_cut_off=self._reader.is_cut_off,
        )
        return HTMLResponse(text, status)


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("an internal error; the board's log tells it\n", 500)


_MISSING = {404: "there is nothing of that name", 405: "only GET is answered here"}


def build_app(
    pages: Pages,
    reader: Reader,
    metrics: BoardMetrics,
    registry: CollectorRegistry,
    *,
    token: str | None,
) -> Starlette:
    """Wire the routes; `registry` is what `/metrics` tells."""
    icon = (_TEMPLATES / "icon.svg").read_text(encoding="utf-8")

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        reason = reader.unready()
        if reason is not None:
            return JSONResponse({"error": {"message": reason}}, 503)
        return JSONResponse({"status": "ready"})

    async def exposition(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    async def drawn(_request: Request) -> Response:
        return Response(icon, media_type="image/svg+xml")

    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/alerts", pages.alerts),
            Route("/alerts/{id}", pages.alert),
            Route("/subjects/{id}", pages.subject),
            Route("/api/subjects", pages.answer(answers.subjects)),
            Route("/api/alerts", pages.answer(answers.alerts)),
            Route("/api/alerts/{id}", pages.answer(answers.alert)),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
            Route("/icon.svg", drawn),
        ],
        middleware=[
            Middleware(Gate, metrics=metrics, token=token, policy=pages.policy),
            Middleware(GZipMiddleware, minimum_size=2_000),
        ],
        exception_handlers={HTTPException: pages.missing, Exception: _unforeseen},
    )
