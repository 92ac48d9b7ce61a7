"""The overlapping threads of scoring: decode and match ‖ tokenise ‖ forward ‖ (produce).

Each takes what has queued while it was busy. They hand on jobs; only `forward` writes scores into
them, so that no job is touched by two threads at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from undertone.handoff import Handoff
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
LOOKAHEAD_PAIRS = 512
LINGER_SECONDS = 0.002


@dataclass(slots=True, eq=False)
class Job:
    """One raw record on its way through the stages."""

    ledger: Ledger
    entry: Entry
    record: RawRecord
    reading: Tick | Rejected | Reading | None = None
    scores: dict[Pair, Scores | None] = field(default_factory=dict)
    missing: int = 0


class ToScore(NamedTuple):
    """A tokenised pair and the jobs that wait for it; None where the tokeniser failed."""

    pair: Pair
    encoded: EncodedPair | None
    jobs: list[Job]


@dataclass(frozen=True, eq=False)
class Lane:
    """One model's own way through the pipeline: its queues, its cache; no batch mixes models."""

    classifier: SentimentClassifier
    cache: ScoreCache
    to_tokenise: Handoff[Job]
    to_forward: Handoff[ToScore]


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
        ready = [(job, self._read(job)) for job in jobs if not job.ledger.dropped]
        self._metrics.stage_seconds.labels("decode").inc(time.perf_counter() - started)
        for job, lane in ready:
            (self._done if lane is None else lane.to_tokenise).put(job)
        return bool(jobs)

    def _read(self, job: Job) -> Lane | None:
        """Fill in the reading and the scores known already; the lane, if that is not all."""
        job.reading = reading = self._reader.read(job.record)
        if not isinstance(reading, Reading):
            return None
        lane = self._lanes[reading.route]
        if reading.ignored_tags:
            self._metrics.ignored_tags.inc(reading.ignored_tags)
        for pair in reading.pairs:
            scores = lane.cache.get(pair)
            if scores is None:
                job.missing += 1
            else:
                job.scores[pair] = scores
        if job.scores:
            self._metrics.cache_requests.labels("hit").inc(len(job.scores))
        if job.missing:
            self._metrics.cache_requests.labels("miss").inc(job.missing)
        return lane if job.missing else None


class Tokenising:
    """Pairs → tokens; a pair that several jobs wait for is tokenised and scored once."""

    def __init__(self, lane: Lane, metrics: ScoreMetrics) -> None:
        self._classifier, self._metrics = lane.classifier, metrics
        self._source, self._to_forward = lane.to_tokenise, lane.to_forward
        self._failures = FailureLog("tokenise")

    def step(self) -> bool:
        """Tokenise what has queued."""
        jobs = self._source.take(TOKENISE_JOBS)
        started = time.perf_counter()
        wanted: dict[Pair, list[Job]] = {}
        for job in jobs:
            if isinstance(job.reading, Reading) and not job.ledger.dropped:
                for pair in job.reading.pairs:
                    if pair not in job.scores:
                        wanted.setdefault(pair, []).append(job)
        encoded = bisected(self._classifier.tokenise, list(wanted), self._failures.note)
        self._metrics.stage_seconds.labels("tokenise").inc(time.perf_counter() - started)
        for (pair, waiting), tokens in zip(wanted.items(), encoded, strict=True):
            self._to_forward.put(ToScore(pair, tokens, waiting))
        return bool(jobs)


class Forwarding:
    """Tokens → scores, in batches of like length within the model's token budget."""

    def __init__(self, lane: Lane, metrics: ScoreMetrics, done: Handoff[Job]) -> None:
        self._classifier, self._cache, self._metrics = lane.classifier, lane.cache, metrics
        self._source, self._done = lane.to_forward, done
        self._budget = HalvingBudget(lane.classifier.token_budget)
        self._failures = FailureLog("forward")

    def step(self) -> bool:
        """Pack and score what has queued; each batch's jobs are handed on at once."""
        items = self._source.take(LOOKAHEAD_PAIRS, LINGER_SECONDS)
        wanted = [item for item in items if not all(job.ledger.dropped for job in item.jobs)]
        readable = [(item, item.encoded) for item in wanted if item.encoded is not None]
        for item in wanted:
            if item.encoded is None:
                self._resolve(item, None)
        lengths = [len(encoded.ids) for _, encoded in readable]

        def forward(batch: list[int]) -> None:
            padded = len(batch) * max(lengths[index] for index in batch)
            self._metrics.batch_fill.set(sum(lengths[index] for index in batch) / max(1, padded))
            for item, scores in self._score([readable[index] for index in batch]):
                self._resolve(item, scores)

        self._budget.run(lengths, forward)
        return bool(items)

    def _score(
        self, batch: Sequence[tuple[ToScore, EncodedPair]]
    ) -> list[tuple[ToScore, Scores | None]]:
        started = time.perf_counter()
        rows = bisected(
            lambda part: self._classifier.forward([encoded for _, encoded in part]).tolist(),
            batch,
            self._failures.note,
        )
        self._metrics.stage_seconds.labels("forward").inc(time.perf_counter() - started)
        return [
            (item, None if row is None else valid_scores(row))
            for (item, _), row in zip(batch, rows, strict=True)
        ]

    def _resolve(self, item: ToScore, scores: Scores | None) -> None:
        if scores is not None:
            self._cache.put(item.pair, scores)
        for job in item.jobs:
            job.scores[item.pair] = scores
            job.missing -= 1
            if job.missing == 0:
                self._done.put(job)
