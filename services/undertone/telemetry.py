"""Logs and the metrics server, set up once by each service.

Logs go to standard error: one event a line, JSON when it is not a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server

from undertone.errors import UndertoneError


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
    # A broker that does not answer is told once, by the error that ends the process.
    logging.getLogger("kafka.net").setLevel(logging.WARNING if verbose else logging.CRITICAL)


def serve_metrics(registry: CollectorRegistry, host: str, port: int | None) -> int | None:
    """Serve `registry` at http://host:port/metrics; returns the port taken, none where not served.

    Raises UndertoneError where the port is in use.
    """
    if port is None:
        return None
    try:
        server, _thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UndertoneError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}",
            hint="Set metrics.score_port or metrics.watch_port to a free port (0 picks one).",
        ) from None
    return int(server.server_port)
