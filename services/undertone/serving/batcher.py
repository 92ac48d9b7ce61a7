"""Requests share batches: pairs queue, and one thread reads whatever has queued meanwhile.

Nothing here knows HTTP or waits for time, so a test submits, steps by hand and looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import NamedTuple, TypeVar

from undertone.handoff import Handoff
from undertone.pulse import Pulse
from undertone.serving.metrics import ServeMetrics
from undertone.telemetry import FailureLog
from undertone_models.answers import Scores, valid_scores
from undertone_models.batching import HalvingBudget, bisected
from undertone_models.classifier import EncodedPair, Pair

# What one step takes: enough to pack well, and little enough that those behind wait briefly.
LOOKAHEAD_PAIRS = 256

T = TypeVar("T")
R = TypeVar("R")
ScoresOfPairs = list[Scores | None]
"""One entry a pair, in the order asked; None where the classifier failed on it."""


class UnavailableError(Exception):
    """No answer can be given now, for a reason that passes; the message is for the client."""


class Asked:
    """The pairs of one request, and the future of their scores."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.future: Future[ScoresOfPairs] = Future()
        self._scores: ScoresOfPairs = [None] * len(pairs)
        self._missing = len(pairs)

    def resolve(self, place: int, scores: Scores | None) -> None:
        """Fill in one pair; the last one completes the future."""
        self._scores[place] = scores
        self._missing -= 1
        if self._missing == 0:
            with suppress(InvalidStateError):  # the client has given up meanwhile
                self.future.set_result(self._scores)

    def abandon(self) -> None:
        """Tell whoever waits that no answer will come."""
        with suppress(InvalidStateError):
            self.future.set_exception(UnavailableError("the model has stopped"))


class Waiting(NamedTuple):
    """One pair in the queue."""

    asked: Asked
    place: int

    @property
    def pair(self) -> Pair:
        """The pair itself."""
        return self.asked.pairs[self.place]


class Batcher:
    """A bounded queue of pairs before a model; `submit` from anywhere, `step` in one thread.

    Every submitted future completes: with scores, or with UnavailableError once the batcher is
    abandoned. One that is cancelled is not worked on.
    """

    def __init__(self, pulse: Pulse, metrics: ServeMetrics, queue_pairs: int) -> None:
        classifier = pulse.classifier
        self.model = classifier.name
        self.pulse, self._metrics = pulse, metrics
        self._queue: Handoff[Waiting] = Handoff(queue_pairs)
        self._budget = HalvingBudget(classifier.token_budget, classifier.pass_tokens)
        self._tokenise_failures = FailureLog("tokenise")
        self._forward_failures = FailureLog("forward")

    def __len__(self) -> int:
        """How many pairs wait."""
        return len(self._queue)

    def submit(self, pairs: Sequence[Pair]) -> Future[ScoresOfPairs]:
        """Queue the pairs of one request, all or none. Raises UnavailableError without room."""
        asked = Asked(pairs)
        if not self._queue.offer([Waiting(asked, place) for place in range(len(pairs))]):
            raise UnavailableError("too many pairs are waiting")
        return asked.future

    def step(self) -> bool:
        """Score what has queued, waiting for a first pair; False once closed and empty."""
        taken = self._queue.take(LOOKAHEAD_PAIRS)
        try:
            self._score([item for item in taken if not item.asked.future.done()])
        except BaseException:
            for item in taken:
                item.asked.abandon()
            raise
        return bool(taken)

    def close(self) -> None:
        """Take no more pairs; `step` still scores those that wait."""
        self._queue.close()

    def abandon(self) -> None:
        """Close, and let every pair that still waits fail."""
        self.close()
        while left := self._queue.take(LOOKAHEAD_PAIRS):
            for item in left:
                item.asked.abandon()

    def _score(self, items: Sequence[Waiting]) -> None:
        encoded = self._timed(
            "tokenise",
            lambda part: self.pulse.classifier.tokenise([item.pair for item in part]),
            items,
            self._tokenise_failures,
        )
        readable: list[tuple[Waiting, EncodedPair]] = []
        for item, tokens in zip(items, encoded, strict=True):
            if tokens is None:
                self._resolve(item, None)
            else:
                readable.append((item, tokens))
        lengths = [len(tokens.ids) for _, tokens in readable]

        def forward(batch: list[int]) -> None:
            if not self.pulse.answers():
                for index in batch:
                    self._resolve(readable[index][0], None)
                return
            padded = len(batch) * max(lengths[index] for index in batch)
            self._metrics.batch_fill.set(sum(lengths[index] for index in batch) / max(1, padded))
            self._metrics.batches.inc()
            self._forward([readable[index] for index in batch])

        self._budget.run(lengths, forward)

    def _forward(self, batch: Sequence[tuple[Waiting, EncodedPair]]) -> None:
        rows = self._timed(
            "forward",
            lambda part: self.pulse.classifier.forward([tokens for _, tokens in part]).tolist(),
            batch,
            self._forward_failures,
        )
        if all(row is None for row in rows):
            self.pulse.doubt()
        for (item, _), row in zip(batch, rows, strict=True):
            self._resolve(item, None if row is None else valid_scores(row))

    def _timed(
        self,
        stage: str,
        call: Callable[[Sequence[T]], Sequence[R]],
        items: Sequence[T],
        failures: FailureLog,
    ) -> list[R | None]:
        started = time.perf_counter()
        try:
            return bisected(call, items, failures.note)
        finally:
            self._metrics.stage_seconds.labels(stage).inc(time.perf_counter() - started)

    def _resolve(self, item: Waiting, scores: Scores | None) -> None:
        self._metrics.pairs.labels("failed" if scores is None else "scored").inc()
        item.asked.resolve(item.place, scores)
