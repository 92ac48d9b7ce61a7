"""The shell: a socket, the thread that reads, and the HTTP server until it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from undertone.board.app import Pages, build_app
from undertone.board.metrics import BoardMetrics
from undertone.board.reader import Reader
from undertone.board.state import BoardState, Listed
from undertone.errors import BrokerError, UndertoneError
from undertone.listening import listen, server_of, url_of
from undertone.settings import BoardSettings, Settings
from undertone.transport.topics import TopicNames

THREAD_END_SECONDS = 5.0
FINISH_SECONDS = 5


class BoardService:
    """Shows the board until it is stopped. `run` blocks; `stop` may be called from anywhere."""

    def __init__(
        self, settings: Settings, board: BoardSettings, watchlist: Mapping[str, Listed]
    ) -> None:
        """Listen at once; nothing is read before `run`.

        `url` is where it listens, with the port that was taken. Raises UndertoneError where the
        address cannot be had.
        """
        self._socket = listen(board.host, board.port, section="board")
        self.url = url_of(self._socket)
        registry = CollectorRegistry()
        metrics = BoardMetrics(registry)
        state, lock = BoardState(watchlist), threading.Lock()
        self._reader = Reader(
            settings.kafka,
            TopicNames(settings.prefix),
            state,
            lock,
            metrics,
            past_ms=board.past,
            on_end=self.stop,
        )
        is_live = all(topic.clock == "live" for topic in settings.effective_raw_topics)
        pages = Pages(state, lock, self._reader, wall_clock_ms=_now_ms if is_live else None)
        token = None if board.token is None else board.token.get_secret_value()
        app = build_app(pages, self._reader, metrics, registry, token=token)
        self._server = server_of(app, finish_seconds=FINISH_SECONDS)

    def stop(self) -> None:
        """Take no more requests and finish those in flight."""
        self._server.should_exit = True

    def run(self) -> None:
        """Serve until stopped. Raises UndertoneError where a fault of the reader ends it."""
        self._reader.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._reader.stop()
            self._reader.join(THREAD_END_SECONDS)
            self._socket.close()
        fault = self._reader.fault
        if isinstance(fault, UndertoneError):
            raise fault
        if fault is not None:
            raise BrokerError(f"the topics cannot be read: {type(fault).__name__}: {fault}")


def _now_ms() -> int:
    return int(time.time() * 1000)
