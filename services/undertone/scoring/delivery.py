"""The last stage of scoring: what came of each record, sent in offset order (design §4.4)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from undertone.errors import BrokerError
from undertone.handoff import Handoff
from undertone.records import Mention, MentionStatus, Progress, RawPosition
from undertone.scoring.ledger import Outcome, Outgoing
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import Reading, Rejected, mentions_of
from undertone.scoring.stages import Job
from undertone.transport import clients
from undertone.transport.codec import partition_of
from undertone.transport.dead_letters import dead_letter
from undertone.transport.topics import TopicNames

PRODUCE_JOBS = 512

log = logging.getLogger(__name__)


class Sender:
    """The producer, behind which nothing goes out once one record has failed."""

    def __init__(self, producer: KafkaProducer, on_fault: Callable[[BaseException], None]) -> None:
        self._producer, self._on_fault = producer, on_fault
        self._failed = False

    def send(self, record: Outgoing) -> FutureRecordMetadata:
        """Send one record; a failure closes the producer and ends the process."""
        future = self._producer.send(
            record.topic,
            value=record.value,
            key=record.key or None,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
        )
        future.add_errback(self._on_failure)
        return future

    def _on_failure(self, error: BaseException) -> None:
        """Called in the producer's own thread, before it sends anything else."""
        if self._failed:
            return
        self._failed = True
        clients.discard(self._producer)
        self._on_fault(
            BrokerError(
                f"Kafka did not take a record: {type(error).__name__}: {error}",
                hint="Nothing behind it was sent or committed; start `undertone score` again.",
            )
        )

    def close(self, timeout_seconds: float, *, discard: bool) -> None:
        """Send what is left, or discard it after a fault."""
        if discard or self._failed:
            clients.discard(self._producer)
        else:
            self._producer.close(timeout_seconds)


class Delivery:
    """Finished jobs → mentions and dead letters, per raw partition in offset order."""

    def __init__(
        self,
        sender: Sender,
        metrics: ScoreMetrics,
        source: Handoff[Job],
        *,
        names: TopicNames,
        mentions_partitions: int,
        wall_ms: Callable[[], int],
    ) -> None:
        self._sender, self._metrics, self._source = sender, metrics, source
        self._names, self._wall_ms = names, wall_ms
        self._partitions = mentions_partitions
        self._sent: Counter[MentionStatus] = Counter()
        self._partition_of = lru_cache(maxsize=100_000)(partition_of)

    def step(self) -> bool:
        """Send what is finished and has its turn."""
        jobs = self._source.take(PRODUCE_JOBS)
        started = time.perf_counter()
        for job in jobs:
            if not job.ledger.dropped:
                self._finish(job)
                self._send_ready(job)
        for status, count in self._sent.items():
            self._metrics.mentions.labels(status).inc(count)
        self._sent.clear()
        self._metrics.worked("produce", started, (job.read_at for job in jobs))
        return bool(jobs)

    def _send_ready(self, job: Job) -> None:
        ledger = job.ledger
        while (entry := ledger.next_to_send()) is not None:
            ledger.sent([self._sender.send(record) for record in entry.output])

    def _finish(self, job: Job) -> None:
        reading = job.reading
        if isinstance(reading, Reading) and reading.drafts:
            reading = self._finish_mentions(job, reading)
        elif isinstance(reading, Reading):
            job.entry.finish(Outcome.UNMATCHED)
        if isinstance(reading, Rejected):
            job.entry.finish(Outcome.DEAD_LETTER, output=[self._dead_letter(job, reading)])
        elif not isinstance(reading, Reading):
            job.entry.finish(None)  # a tick

    def _finish_mentions(self, job: Job, reading: Reading) -> Reading | Rejected:
        record, model = job.record, job.model
        assert model is not None
        try:
            mentions = mentions_of(
                reading,
                RawPosition(topic=record.topic, partition=record.partition, offset=record.offset),
                job.scores,
                ingested_at=job.entry.ingested_at,
                scored_at=self._wall_ms(),
                model=model.classifier.name,
            )
            output = [self._outgoing(mention) for mention in mentions]
        except MemoryError:
            raise
        except Exception as error:
            return Rejected(f"{type(error).__name__}: {error}", "score")
        scored = sum(mention.status is MentionStatus.SCORED for mention in mentions)
        self._sent[MentionStatus.SCORED] += scored
        self._sent[MentionStatus.UNSCORED] += len(mentions) - scored
        outcome = Outcome.SCORED if scored else Outcome.UNSCORED
        job.entry.finish(outcome, mentions=len(mentions), output=output)
        return reading

    def _outgoing(self, mention: Mention) -> Outgoing:
        key = mention.subject.encode()
        partition = self._partition_of(key, self._partitions)
        topic = self._names.mentions
        return Outgoing(topic, partition, key, mention.to_json(), mention.ingested_at)

    def _dead_letter(self, job: Job, rejected: Rejected) -> Outgoing:
        record = job.record
        place = (record.topic, record.partition, record.offset)
        letter = dead_letter(
            record.value,
            *place,
            error=rejected.error,
            stage=rejected.stage,
            at_ms=self._wall_ms(),
        )
        self._metrics.dead_letters.labels(rejected.stage).inc()
        key = "-".join(map(str, place)).encode()
        return Outgoing(self._names.dead_letters, 0, key, letter.to_json(), job.entry.ingested_at)


def progress_records(
    progress: Progress, topic: str, partitions: int, timestamp_ms: int
) -> Sequence[Outgoing]:
    """The same Progress for every partition of the mentions topic."""
    value = progress.to_json()
    return [Outgoing(topic, partition, b"", value, timestamp_ms) for partition in range(partitions)]
