"""The shell: a socket, the model's thread, and the HTTP server until it is told to stop."""

from __future__ import annotations

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from undertone.errors import ModelError, UndertoneError
from undertone.listening import listen, server_of, url_of
from undertone.serving.app import build_app
from undertone.serving.messages_route import add_messages
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import ModelThread
from undertone.serving.raw_writer import RawWriter
from undertone.settings import ServingSettings, Settings
from undertone.telemetry import describe_process
from undertone_models.classifier import SentimentClassifier

THREAD_END_SECONDS = 5.0


class ServeService:
    """Answers HTTP until it is stopped. `run` blocks; `stop` may be called from anywhere."""

    def __init__(
        self,
        settings: ServingSettings,
        load: Callable[[], SentimentClassifier],
        *,
        deployment: Settings | None = None,
    ) -> None:
        """Listen at once; `load` is called later, in the model's thread.

        With a `deployment` messages are taken for its raw topics.

        `url` is where it listens, with the port that was taken. Raises UndertoneError where the
        address cannot be had.
        """
        self._socket = listen(settings.host, settings.port, section="serving")
        self.url = url_of(self._socket)
        registry = CollectorRegistry()
        describe_process(registry)
        metrics = ServeMetrics(registry)
        self._model = ModelThread(load, metrics, queue_pairs=settings.queue_pairs, on_end=self.stop)
        app = build_app(settings, self._model, metrics, registry)
        self._writer: RawWriter | None = None
        if deployment is not None:
            self._writer = RawWriter(deployment, metrics)
            add_messages(app, deployment, self._writer)
        self._server = server_of(app, finish_seconds=math.ceil(settings.timeout / 1000))

    def stop(self) -> None:
        """Take no more requests and finish those in flight."""
        self._server.should_exit = True

    def run(self) -> None:
        """Serve until stopped. Raises UndertoneError where a fault of the model ends it."""
        self._model.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._model.stop()
            self._model.join(THREAD_END_SECONDS)
            if self._writer is not None:
                self._writer.close(THREAD_END_SECONDS)
            self._socket.close()
        fault = self._model.fault
        if isinstance(fault, UndertoneError):
            raise fault
        if isinstance(fault, MemoryError):
            raise ModelError("out of memory", hint="Lower model.token_budget, and start it again.")
        if fault is not None:
            raise ModelError(f"the model has stopped: {type(fault).__name__}: {fault}") from fault
