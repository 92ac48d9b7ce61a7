"""Logs and the metrics server, set up once by each service.

Logs go to standard error: one event a line, JSON when it is not a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server

from undertone import __version__
from undertone.errors import UndertoneError

FAILURES_LOGGED = 20

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


def serve_metrics(registry: CollectorRegistry, host: str, port: int | None) -> int | None:
    """Serve `registry`, and what describes the process, at http://host:port/metrics.

    Returns the port taken, none where not served.

    Raises UndertoneError where the port is in use.
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
    return int(server.server_port)


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
