"""The overlapping threads of scoring: decode and match ‖ tokenise ‖ forward ‖ (produce).

Each takes what has queued while it was busy. They hand on jobs; only `forward` writes scores into
them, and where a lane has several forward threads, one of them at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from undertone.handoff import Handoff
from undertone.pulse import Pulse
from undertone.scoring.cache import ScoreCache
from undertone.scoring.ledger import Entry, Ledger
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import (
    RawRecord,
    Reader,
    Reading,
    Rejected,
    Tick,
)
from undertone.telemetry import FailureLog
from undertone_models.answers import Scores, valid_scores
from undertone_models.batching import HalvingBudget, bisected
from undertone_models.classifier import EncodedPair, Pair, SentimentClassifier

DECODE_RECORDS = 256
TOKENISE_JOBS = 256
LOOKAHEAD_PAIRS = 1024  # 99% of the processed tokens are real
LINGER_SECONDS = 0.002


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier, and the scores that it gave lately."""

    pulse: Pulse
    cache: ScoreCache

    @property
    def classifier(self) -> SentimentClassifier:
        """The one at work."""
        return self.pulse.classifier

    @cached_property
    def budget(self) -> HalvingBudget:
        """What a batch may hold; all threads that run the model share it."""
        return HalvingBudget(self.classifier.token_budget, self.classifier.pass_tokens)


@dataclass(slots=True, eq=False)
class Job:
    """One raw record on its way through the stages. All of its pairs are read by one `model`."""

    ledger: Ledger
    entry: Entry
    record: RawRecord
    model: Model | None = None
    reading: Tick | Rejected | Reading | None = None
    scores: dict[Pair, Scores | None] = field(default_factory=dict)
    missing: int = 0
    read_at: float = field(default_factory=time.perf_counter)


class ToScore(NamedTuple):
    """A tokenised pair and the jobs that wait for it; None where the tokeniser failed."""

    model: Model
    pair: Pair
    encoded: EncodedPair | None
    jobs: list[Job]


@dataclass(eq=False)
class Lane:
    """One model's own way through the pipeline; no batch mixes models.

    `model` may be set at any time: what is decoded from then on is read by it, what is on its way
    by the one before.
    """

    model: Model
    to_tokenise: Handoff[Job]
    to_forward: Handoff[ToScore]
    resolving: threading.Lock = field(default_factory=threading.Lock)
    """Held while answers are written into jobs."""


class Stage(threading.Thread):
    """A thread that repeats `step` until it returns False, or is stopped; faults: `on_fault`."""

    def __init__(
        self, name: str, step: Callable[[], bool], on_fault: Callable[[BaseException], None]
    ) -> None:
        super().__init__(name=f"score-{name}", daemon=True)
        self._step, self._on_fault = step, on_fault
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the step at hand, whatever has queued."""
        self._stopping.set()

    def run(self) -> None:
        """Work until there is no more, or a fault."""
        try:
            while not self._stopping.is_set() and self._step():
                pass
        except BaseException as fault:
            self._on_fault(fault)


class Decoding:
    """Raw records → readings, each into its model's lane, or where no model is needed to `done`."""

    def __init__(
        self,
        reader: Reader,
        lanes: Mapping[str, Lane],
        metrics: ScoreMetrics,
        *,
        source: Handoff[Job],
        done: Handoff[Job],
    ) -> None:
        """`lanes` has one for every route that the reader may name."""
        self._reader, self._lanes, self._metrics = reader, lanes, metrics
        self._source, self._done = source, done

    def step(self) -> bool:
        """Read what has queued."""
        jobs = self._source.take(DECODE_RECORDS)
        started = time.perf_counter()
        ready: dict[Handoff[Job], list[Job]] = {}
        for job in jobs:
            if not job.ledger.dropped:
                lane = self._read(job)
                queue = self._done if lane is None else lane.to_tokenise
                ready.setdefault(queue, []).append(job)
        requests = self._metrics.cache_requests
        requests.labels("hit").inc(sum(len(job.scores) for job in jobs))
        requests.labels("miss").inc(sum(job.missing for job in jobs))
        self._metrics.worked("decode", started, (job.read_at for job in jobs))
        for queue, several in ready.items():
            queue.put_all(several)
        return bool(jobs)

    def _read(self, job: Job) -> Lane | None:
        """Fill in the reading and the scores known already; the lane, if that is not all."""
        job.reading = reading = self._reader.read(job.record)
        if not isinstance(reading, Reading):
            return None
        lane = self._lanes[reading.route]
        job.model = model = lane.model
        if reading.ignored_tags:
            self._metrics.ignored_tags.inc(reading.ignored_tags)
        for pair in reading.pairs:
            scores = model.cache.get(pair)
            if scores is None:
                job.missing += 1
            else:
                job.scores[pair] = scores
        return lane if job.missing else None


class Tokenising:
    """Pairs → tokens; a pair that several jobs wait for is tokenised and scored once."""

    def __init__(self, lane: Lane, metrics: ScoreMetrics) -> None:
        self._metrics = metrics
        self._source, self._to_forward = lane.to_tokenise, lane.to_forward
        self._failures = FailureLog("tokenise")

    def step(self) -> bool:
        """Tokenise what has queued."""
        jobs = self._source.take(TOKENISE_JOBS)
        started = time.perf_counter()
        wanted: dict[Model, dict[Pair, list[Job]]] = {}
        for job in jobs:
            if isinstance(job.reading, Reading) and job.model and not job.ledger.dropped:
                waiting = wanted.setdefault(job.model, {})
                for pair in job.reading.pairs:
                    if pair not in job.scores:
                        waiting.setdefault(pair, []).append(job)
        ready = [item for model, waiting in wanted.items() for item in self._encode(model, waiting)]
        self._metrics.worked("tokenise", started, (job.read_at for job in jobs))
        self._to_forward.put_all(ready)
        return bool(jobs)

    def _encode(self, model: Model, waiting: Mapping[Pair, list[Job]]) -> list[ToScore]:
        encoded = bisected(model.classifier.tokenise, list(waiting), self._failures.note)
        return [
            ToScore(model, pair, tokens, jobs)
            for (pair, jobs), tokens in zip(waiting.items(), encoded, strict=True)
        ]


class Forwarding:
    """Tokens → scores, in batches of like length within the model's token budget.

    A lane may have several of these, each in its thread.
    """

    def __init__(self, lane: Lane, metrics: ScoreMetrics, done: Handoff[Job]) -> None:
        self._metrics, self._source, self._done = metrics, lane.to_forward, done
        self._resolving, self._takers = lane.resolving, lane.model.classifier.forwards_at_once
        self._failures = FailureLog("forward")

    def step(self) -> bool:
        """Pack and score what has queued; each batch's jobs are handed on at once."""
        items = self._source.take(LOOKAHEAD_PAIRS, LINGER_SECONDS, self._takers)
        by_model: dict[Model, list[tuple[ToScore, EncodedPair]]] = {}
        unreadable: list[tuple[ToScore, Scores | None]] = []
        for item in items:
            if all(job.ledger.dropped for job in item.jobs):
                continue
            if item.encoded is None:
                unreadable.append((item, None))
            else:
                by_model.setdefault(item.model, []).append((item, item.encoded))
        self._resolve(unreadable)
        for model, readable in by_model.items():
            self._forward(model, readable)
        return bool(items)

    def _forward(self, model: Model, readable: Sequence[tuple[ToScore, EncodedPair]]) -> None:
        lengths = [len(encoded.ids) for _, encoded in readable]

        def forward(batch: list[int]) -> None:
            several = [readable[index] for index in batch]
            if model.pulse.answers():
                self._count_tokens([lengths[index] for index in batch])
                self._resolve(self._score(model, several))
            else:
                self._resolve((item, None) for item, _ in several)

        model.budget.run(lengths, forward)

    def _count_tokens(self, lengths: Sequence[int]) -> None:
        real, processed = sum(lengths), len(lengths) * max(lengths)
        self._metrics.batch_fill.set(real / max(1, processed))
        self._metrics.tokens.labels("real").inc(real)
        self._metrics.tokens.labels("padding").inc(processed - real)

    def _score(
        self, model: Model, batch: Sequence[tuple[ToScore, EncodedPair]]
    ) -> list[tuple[ToScore, Scores | None]]:
        started = time.perf_counter()
        rows = bisected(
            lambda part: model.classifier.forward([encoded for _, encoded in part]).tolist(),
            batch,
            self._failures.note,
        )
        if all(row is None for row in rows):
            model.pulse.doubt()
        self._metrics.worked(
            "forward", started, (job.read_at for item, _ in batch for job in item.jobs)
        )
        return [
            (item, None if row is None else valid_scores(row))
            for (item, _), row in zip(batch, rows, strict=True)
        ]

    def _resolve(self, answers: Iterable[tuple[ToScore, Scores | None]]) -> None:
        finished: list[Job] = []
        with self._resolving:
            for item, scores in answers:
                if scores is not None:
                    item.model.cache.put(item.pair, scores)
                for job in item.jobs:
                    job.scores[item.pair] = scores
                    job.missing -= 1
                    if job.missing == 0:
                        finished.append(job)
        self._done.put_all(finished)
