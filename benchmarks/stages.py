"""The pipeline beside the slowest of its stages alone, on the same messages.

Prints JSON: `pipeline_per_slowest_stage` is messages a second of a scorer (topic filled before,
cache off, int8 CPU engine) ÷ those of its slowest stage in one thread that does nothing else (the
forward passes in as many threads as the scorer has): reading from Kafka, decoding and matching,
tokenising, forward passes, making mentions and sending them until they are acknowledged.
`stub_pipeline_per_slowest_stage` is the same with the stub classifier, where all stages are Python
and share one interpreter lock. `slowest` names the stages, `alone_per_slowest` says how many times
as fast the others are. Medians of five interleaved rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import closing

from kafka import TopicPartition
from parts.rounds import by_turns, is_quick, ratio, seconds, tell
from parts.scoring import (
    EVERYTHING,
    PARTITIONS,
    THREADS,
    answered,
    broker,
    fill,
    forward_all,
    fresh_settings,
    mentions_a_second,
    score_all,
)
from parts.texts import encoded, histogram, mixed_rows

from undertone.records import Kind, RawPosition
from undertone.scoring.pipeline import RawRecord, Reader, Reading, mentions_of
from undertone.settings import KafkaSettings, ModelSettings, RawTopic, Settings
from undertone.transport import clients
from undertone.transport.topics import TopicNames
from undertone.watchlist.matcher import Matcher
from undertone_models.classifier import SentimentClassifier, StubClassifier, load_classifier

MESSAGES, QUICK_MESSAGES = 1_200, 400


class Stages:
    """Each stage by itself, on a topic that is filled before."""

    def __init__(self, settings: Settings, values: list[bytes], model: SentimentClassifier) -> None:
        fill(settings, values)
        self._settings, self._model = settings, model
        self._records = [RawRecord("raw", 0, n, 0, value) for n, value in enumerate(values)]
        topic = RawTopic(name="raw", kind=Kind.NEWS)
        self._reader = Reader(Matcher(EVERYTHING), [topic], {}, ModelSettings().max_tokens)
        self._readings = list(map(self._reader.read, self._records))
        self._pairs = [
            p for each in self._readings if isinstance(each, Reading) for p in each.pairs
        ]
        self._tokens = model.tokenise(self._pairs)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pair."""
        return [len(pair.ids) for pair in self._tokens]

    def rates(self) -> dict[str, Callable[[], float]]:
        """What measures each stage, in messages a second."""
        stages = (self.consume, self.decode, self.tokenise, self.forward, self.produce)
        return {stage.__name__: lambda stage=stage: self._rate(stage) for stage in stages}

    def _rate(self, stage: Callable[[], object]) -> float:
        return len(self._records) / seconds(stage)

    def consume(self) -> None:
        """Read all raw records."""
        (topic,) = self._settings.effective_raw_topics
        places = [TopicPartition(topic.name, partition) for partition in range(PARTITIONS)]
        with closing(clients.consumer(self._settings.kafka)) as consumer:
            consumer.assign(places)
            left = len(self._records)
            while left > 0:
                left -= sum(map(len, consumer.poll(timeout_ms=1000).values()))

    def decode(self) -> None:
        """Decode and match all records."""
        for record in self._records:
            self._reader.read(record)

    def tokenise(self) -> None:
        """Tokenise all pairs, as many at once as the scorer."""
        for low in range(0, len(self._pairs), 256):
            self._model.tokenise(self._pairs[low : low + 256])

    def forward(self) -> None:
        """Score all pairs."""
        for low in range(0, len(self._tokens), 512):
            forward_all(self._model, self._tokens[low : low + 512])

    def produce(self) -> None:
        """Make and send all mentions."""
        topic = TopicNames(self._settings.prefix).mentions
        with closing(clients.producer(self._settings.kafka)) as producer:
            for record, reading in zip(self._records, self._readings, strict=True):
                assert isinstance(reading, Reading)
                position = RawPosition(topic="raw", partition=0, offset=record.offset)
                scores = dict.fromkeys(reading.pairs, (0.2, 0.3, 0.5))
                for mention in mentions_of(
                    reading, position, scores, ingested_at=0, scored_at=0, model="m@1"
                ):
                    producer.send(topic, mention.to_json(), key=b"all", partition=0)
            producer.flush(60)


def measured(
    kafka: KafkaSettings, values: list[bytes], model: SentimentClassifier, *, quick: bool
) -> tuple[float, str, dict[str, float], list[int]]:
    """(pipeline ÷ slowest, the slowest's name, the others ÷ slowest, tokens)."""
    stages = Stages(fresh_settings(kafka), values, model)

    def pipeline() -> float:
        settings = fresh_settings(kafka)
        run = score_all(settings, values, model)
        return mentions_a_second(answered(settings), run.began_at)

    found = by_turns({"pipeline": pipeline, **stages.rates()}, quick=quick)
    whole = found.pop("pipeline")
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    slowest = min(medians, key=medians.__getitem__)
    beside = {name: round(rate / medians[slowest], 1) for name, rate in medians.items()}
    return ratio(whole, found[slowest]), slowest, beside, stages.lengths


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_MESSAGES if quick else MESSAGES))
    classifier = load_classifier("onnx", threads=THREADS, batch_a_thread=True)
    with broker() as kafka:
        real, slowest, beside, lengths = measured(kafka, values, classifier, quick=quick)
        stub, stub_slowest, stub_beside, _ = measured(kafka, values, StubClassifier(), quick=quick)
    tell(
        {"pipeline_per_slowest_stage": real, "stub_pipeline_per_slowest_stage": stub},
        slowest={"onnx": slowest, "stub": stub_slowest},
        alone_per_slowest={"onnx": beside, "stub": stub_beside},
        token_lengths=histogram(lengths),
    )


if __name__ == "__main__":
    main()
