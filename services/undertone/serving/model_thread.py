"""The one thread that loads the model and runs it, and what it can say of itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from undertone.errors import ModelError
from undertone.pulse import Pulse
from undertone.serving.batcher import Batcher, ScoresOfPairs, UnavailableError
from undertone.serving.metrics import ServeMetrics
from undertone_models.classifier import Pair, SentimentClassifier

LOOK_SECONDS = 0.2  # between two looks at a model that does not answer
DEAD_SECONDS = 300.0  # after which it never will in this process


class ModelThread(threading.Thread):
    """Loads the classifier, then answers pairs until it is stopped or a fault ends it.

    A fault (the checkpoint cannot be loaded, memory runs out, the model answers no more) is kept in
    `fault`; `on_end` is called in this thread as its last act. No pair is left waiting when it has
    ended. `clock` is that of the model's pulse.
    """

    def __init__(
        self,
        load: Callable[[], SentimentClassifier],
        metrics: ServeMetrics,
        *,
        queue_pairs: int,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="serve-model", daemon=True)
        self.fault: BaseException | None = None
        self._load, self._metrics = load, metrics
        self._queue_pairs, self._on_end, self._clock = queue_pairs, on_end, clock
        self._batcher: Batcher | None = None
        self._stopping, self._ended = threading.Event(), False
        metrics.queue_items.set_function(self.waiting)

    def waiting(self) -> int:
        """How many pairs wait for the model."""
        return 0 if self._batcher is None else len(self._batcher)

    def unready(self) -> str | None:
        """Why no pair can be taken now; None where one can."""
        if self._stopping.is_set():
            return "the service is stopping"
        if self._ended:
            return "the model has stopped"
        if self._batcher is None:
            return "the model is loading"
        if self._batcher.pulse.dead_seconds is not None:
            return f"{self._batcher.model} does not answer; the service's log says why"
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
            pulse = Pulse(self._load(), self._load, self._clock)
            self._batcher = batcher = Batcher(pulse, self._metrics, self._queue_pairs)
            if self._stopping.is_set():
                batcher.close()
            while batcher.step():
                self._await_answers(batcher)
        except BaseException as fault:
            self.fault = fault
        finally:
            self._ended = True
            if self._batcher is not None:
                self._batcher.abandon()
            self._on_end()

    def _await_answers(self, batcher: Batcher) -> None:
        """Try a model that has died until it answers: no pair that comes would do it meanwhile.

        Raises ModelError where it has not answered for too long.
        """
        pulse = batcher.pulse
        while not pulse.answers() and not self._stopping.is_set():
            if (pulse.dead_seconds or 0.0) > DEAD_SECONDS:
                raise ModelError(
                    f"{batcher.model} has not answered for {DEAD_SECONDS:.0f} s: {pulse.error}",
                    hint="Start it again: some devices come back only to a new process.",
                )
            while len(batcher):  # those that came before it was known
                batcher.step()
            self._stopping.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """Take no more pairs; those that wait are still answered."""
        self._stopping.set()
        if self._batcher is not None:
            self._batcher.close()
