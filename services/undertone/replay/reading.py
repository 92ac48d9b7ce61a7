"""Raw records → steps for the watcher: the scoring core, with the store in place of a service.

What `score` does in threads against Kafka is done here in batches; the readings, the pairs, the
rounding and the mentions come from the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from undertone.records import RawPosition
from undertone.replay.steps import Counts, Span, Step, clock_at
from undertone.replay.store import Store
from undertone.scoring.pipeline import RawRecord, Reader, Reading, Rejected, Tick, mentions_of
from undertone.telemetry import FailureLog
from undertone_models.answers import Scores, valid_scores
from undertone_models.batching import bisected
from undertone_models.classifier import Pair, SentimentClassifier

RECORDS_A_BATCH = 512
PAIRS_A_BATCH = 128  # between two looks at Ctrl-C, and two commits
MENTIONS_A_CLOCK = 500


@dataclass(frozen=True)
class Model:
    """A classifier that is loaded only when a text has to be read.

    `name` is its `name@version`; `key` says beside it whatever changes its answers (the engine).
    """

    name: str
    key: str
    load: Callable[[], SentimentClassifier]


class StoredScores:
    """Answers pairs from the store, else from the model, and keeps what the model answers."""

    def __init__(self, models: Mapping[str, Model], store: Store) -> None:
        """`models` by route: `default`, and a language each."""
        self.models = models
        self._store = store
        self._loaded: dict[str, SentimentClassifier] = {}
        self._failures = FailureLog("replay")
        self.asked = 0
        self.answered_by_model = 0

    def name_of(self, route: str) -> str:
        """Who reads what is routed there."""
        return self.models[route].name

    def scores(self, route: str, pairs: Iterable[Pair]) -> dict[Pair, Scores | None]:
        """Scores of all pairs; None where the model failed. Each batch is kept as it is done."""
        model = self.models[route]
        wanted = list(dict.fromkeys(pairs))
        self.asked += len(wanted)
        known: dict[Pair, Scores | None] = dict(self._store.get(model.key, wanted))
        missing = [pair for pair in wanted if pair not in known]
        self.answered_by_model += len(missing)
        for start in range(0, len(missing), PAIRS_A_BATCH):
            batch = missing[start : start + PAIRS_A_BATCH]
            rows = bisected(self._classify(model), batch, self._failures.note)
            answers = [None if row is None else valid_scores(row) for row in rows]
            known.update(zip(batch, answers, strict=True))
            self._store.put(
                model.key,
                [(pair, row) for pair, row in zip(batch, answers, strict=True) if row is not None],
            )
        return known

    def _classify(self, model: Model) -> Callable[[Sequence[Pair]], list[list[float]]]:
        if model.key not in self._loaded:
            self._loaded[model.key] = model.load()
        classifier = self._loaded[model.key]
        return lambda pairs: classifier.classify(pairs).tolist()


class RawSteps:
    """Raw records in order of arrival → mentions and a virtual clock, all for one watcher.

    Arrivals never go back: a stamp below its predecessor's must have been raised to it.
    """

    def __init__(self, reader: Reader, scores: StoredScores, span: Span) -> None:
        self._reader, self._scores, self._span = reader, scores, span
        self._since_clock = 0

    def steps(self, records: Iterable[RawRecord], counts: Counts) -> Iterator[Step]:
        """Read, score and hand on; at the end the clock stands behind the last record."""
        last_ms: int | None = None
        end_ms: int | None = None
        source = iter(records)
        while batch := list(islice(source, RECORDS_A_BATCH)):
            readings = [self._reader.read(record) for record in batch]
            scores = self._score(readings)
            for record, reading in zip(batch, readings, strict=True):
                if counts.begins_at_ms is None:
                    counts.begins_at_ms = record.timestamp_ms
                at_ms = record.timestamp_ms
                moved = last_ms is not None and at_ms > last_ms
                if moved and self._since_clock >= MENTIONS_A_CLOCK:
                    yield self._clock(at_ms, counts)
                last_ms = at_ms
                tick = isinstance(reading, Tick)
                end_ms = max(end_ms or at_ms, at_ms if tick else at_ms + 1)
                yield from self._step(record, reading, scores, counts)
        if self._span.until_ms is not None:
            end_ms = self._span.until_ms
        if end_ms is not None:
            yield self._clock(end_ms, counts)

    def _clock(self, instant_ms: int, counts: Counts) -> Step:
        self._since_clock = 0
        counts.clock_ms = instant_ms
        return Step(0, clock_at(instant_ms))

    def _score(
        self, readings: Sequence[Tick | Rejected | Reading]
    ) -> dict[str, dict[Pair, Scores | None]]:
        """The scores of all pairs of a batch, by route."""
        pairs: dict[str, list[Pair]] = {}
        for reading in readings:
            if isinstance(reading, Reading) and reading.drafts:
                pairs.setdefault(reading.route, []).extend(reading.pairs)
        return {route: self._scores.scores(route, wanted) for route, wanted in pairs.items()}

    def _step(
        self,
        record: RawRecord,
        reading: Tick | Rejected | Reading,
        scores: Mapping[str, Mapping[Pair, Scores | None]],
        counts: Counts,
    ) -> Iterator[Step]:
        if isinstance(reading, Tick):
            return
        in_range = self._span.counts(record.timestamp_ms)
        counts.read += 1
        if in_range:
            counts.messages += 1
            counts.dead_letters += isinstance(reading, Rejected)
            counts.unmatched += isinstance(reading, Reading) and not reading.drafts
        if isinstance(reading, Rejected) or not reading.drafts:
            return
        position = RawPosition(topic=record.topic, partition=record.partition, offset=record.offset)
        for mention in mentions_of(
            reading,
            position,
            scores[reading.route],
            ingested_at=record.timestamp_ms,
            scored_at=record.timestamp_ms,
            model=self._scores.name_of(reading.route),
        ):
            if in_range:
                counts.note_mention(mention)
            self._since_clock += 1
            yield Step(0, mention)
