"""Logs, readiness and the metrics server, set up once by each service.

Logs go to standard error: one event a line, JSON when it is not a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    make_wsgi_app,
    start_http_server,
)

from undertone import __version__
from undertone.errors import UndertoneError

FAILURES_LOGGED = 20
SILENT_SECONDS = 30.0

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what is passed as `extra={"fields": …}` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one event."""
        event: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


def configure_logging(*, verbose: bool = False) -> None:
    """Send undertone's log lines to standard error; the clients' only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        if sys.stderr.isatty()
        else JsonFormatter()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("undertone").setLevel(logging.DEBUG if verbose else logging.INFO)
    # The HTTP client logs whole addresses, and a robot's address holds its key.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A broker that does not answer is told once, by the error that ends the process.
    logging.getLogger("kafka.net").setLevel(logging.WARNING if verbose else logging.CRITICAL)


def describe_process(registry: CollectorRegistry) -> None:
    """Add what every service tells of itself: its version, its memory, time and files."""
    ProcessCollector(registry=registry)
    version = Gauge(
        "undertone_build_info", "1; the label is the version.", ["version"], registry=registry
    )
    version.labels(__version__).set(1)


class Readiness:
    """Whether a service does its work, as its own loop last said. May be asked from any thread.

    It is not ready before it says so, nor when its loop has said nothing for `SILENT_SECONDS`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: tuple[float, str | None] = (clock(), "it is starting")

    def say(self, why_not: str | None) -> None:
        """It is ready (None), or why it is not."""
        self._said = (self._clock(), why_not)

    @property
    def why_not(self) -> str | None:
        """None where it is ready."""
        said_at, why_not = self._said
        silent_seconds = self._clock() - said_at
        if why_not is None and silent_seconds > SILENT_SECONDS:
            return f"its loop has stood still for {silent_seconds:.0f} s"
        return why_not


def serve_metrics(
    registry: CollectorRegistry, host: str, port: int | None, readiness: Readiness | None = None
) -> int | None:
    """Serve `/metrics`, `/livez` and `/readyz`; returns the port taken, none where not served.

    The metrics are those of `registry` and what describes the process. `/livez` answers 200 while
    the process does; `/readyz` 200, or 503 with the reason. Raises UndertoneError where the port is
    in use.
    """
    if port is None:
        return None
    describe_process(registry)
    try:
        server, _thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UndertoneError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}",
            hint="Set metrics.score_port or metrics.watch_port to a free port (0 picks one).",
        ) from None
    server.set_app(_with_health(make_wsgi_app(registry), readiness or _always_ready()))
    return int(server.server_port)


def _always_ready() -> Readiness:
    readiness = Readiness(clock=lambda: 0.0)
    readiness.say(None)
    return readiness


def _with_health(metrics: WsgiApp, readiness: Readiness) -> WsgiApp:
    """The metrics with the two paths that a supervisor asks for beside them."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in ("/livez", "/readyz"):
            return metrics(environ, start_response)
        why_not = readiness.why_not if path == "/readyz" else None
        status = "200 OK" if why_not is None else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why_not or 'ok'}\n".encode()]

    return app


class FailureLog:
    """Says that the classifier failed on a pair, but not thousands of times."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._count = 0

    def note(self, _item: object, error: Exception) -> None:
        """One pair stays unscored."""
        self._count += 1
        if self._count <= FAILURES_LOGGED or self._count % 1000 == 0:
            log.warning(
                "the classifier failed on a pair in %s (number %d), it stays unscored: %s: %s",
                self._stage,
                self._count,
                type(error).__name__,
                error,
            )
