"""The one thread that loads the model and runs it, and what it can say of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from undertone.serving.batcher import Batcher, ScoresOfPairs, UnavailableError
from undertone.serving.metrics import ServeMetrics
from undertone_models.classifier import Pair, SentimentClassifier


class ModelThread(threading.Thread):
    """Loads the classifier, then answers pairs until it is stopped or a fault ends it.

    A fault (the checkpoint cannot be loaded, memory runs out) is kept in `fault`; `on_end` is
    called in this thread as its last act. No pair is left waiting when it has ended.
    """

    def __init__(
        self,
        load: Callable[[], SentimentClassifier],
        metrics: ServeMetrics,
        *,
        queue_pairs: int,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="serve-model", daemon=True)
        self.fault: BaseException | None = None
        self._load, self._metrics = load, metrics
        self._queue_pairs, self._on_end = queue_pairs, on_end
        self._batcher: Batcher | None = None
        self._stopping = self._ended = False
        metrics.queue_items.set_function(self.waiting)

    def waiting(self) -> int:
        """How many pairs wait for the model."""
        return 0 if self._batcher is None else len(self._batcher)

    def unready(self) -> str | None:
        """Why no pair can be taken now; None where one can."""
        if self._stopping:
            return "the service is stopping"
        if self._ended:
            return "the model has stopped"
        if self._batcher is None:
            return "the model is loading"
        return None

    @property
    def model(self) -> str | None:
        """`name@version` of the checkpoint, once it is loaded."""
        return None if self._batcher is None else self._batcher.model

    def submit(self, pairs: Sequence[Pair]) -> Future[ScoresOfPairs]:
        """Queue the pairs of one request. Raises UnavailableError."""
        reason = self.unready()
        if reason is not None or self._batcher is None:
            raise UnavailableError(reason or "the model is loading")
        return self._batcher.submit(pairs)

    def run(self) -> None:
        """Load, then step until closed."""
        try:
            self._batcher = Batcher(self._load(), self._metrics, self._queue_pairs)
            if self._stopping:
                self._batcher.close()
            while self._batcher.step():
                pass
        except BaseException as fault:
            self.fault = fault
        finally:
            self._ended = True
            if self._batcher is not None:
                self._batcher.abandon()
            self._on_end()

    def stop(self) -> None:
        """Take no more pairs; those that wait are still answered."""
        self._stopping = True
        if self._batcher is not None:
            self._batcher.close()
