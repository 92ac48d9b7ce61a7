"""`undertone score`: raw topics → mentions, in a consumer group (design §4, §5).

One thread (the caller's) polls, commits and publishes progress; the stages run in their own. What
is in flight is bounded by pausing the consumer, which goes on polling, so that its place in the
group stays alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry

from undertone.errors import BrokerError, UndertoneError
from undertone.records import Progress
from undertone.scoring.cache import ScoreCache
from undertone.scoring.delivery import Delivery, Sender, progress_records
from undertone.scoring.handoff import Handoff
from undertone.scoring.ledger import Entry, Ledger, Totals
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import RawRecord, Reader
from undertone.scoring.stages import Decoding, Forwarding, Job, Stage, Tokenising, ToScore
from undertone.scoring.topic_clocks import check_raw_clocks
from undertone.scoring.watermark import Watermark
from undertone.settings import Settings
from undertone.transport import clients
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import SentimentClassifier

log = logging.getLogger(__name__)

NOT_A_MEMBER = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
FOR_EVER_MS = 10 * 365 * 86_400_000


@dataclass(frozen=True)
class Limits:
    """How much is held, and how long is waited."""

    records: int = 10_000
    record_bytes: int = 64 << 20
    pairs: int = 1_024
    poll_ms: int = 50
    poll_records: int = 500
    commit_seconds: float = 0.5
    progress_seconds: float = 1.0
    prompt_progress_seconds: float = 0.2
    revoke_seconds: float = 5.0
    stop_seconds: float = 15.0
    request_ms: int = 20_000


@dataclass(frozen=True)
class Clocks:
    """Where the service reads time."""

    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    monotonic: Callable[[], float] = time.monotonic


class ScoreService:
    """Scores raw topics until it is stopped. `run` blocks; `stop` may be called from anywhere."""

    def __init__(
        self,
        settings: Settings,
        watchlist: Watchlist,
        classifier: SentimentClassifier,
        registry: CollectorRegistry,
        *,
        limits: Limits = Limits(),
        clocks: Clocks = Clocks(),
    ) -> None:
        self._settings, self._limits, self._clocks = settings, limits, clocks
        self._names = TopicNames(settings.prefix)
        self._metrics = ScoreMetrics(registry)
        self._topics = {topic.name: topic for topic in settings.effective_raw_topics}
        self._classifier = classifier
        self._reader = Reader(
            Matcher(watchlist),
            settings.effective_raw_topics,
            settings.fields,
            settings.model.max_tokens,
        )
        self._stopping = threading.Event()
        self._fault: BaseException | None = None
        self._ledgers: dict[TopicPartition, Ledger] = {}
        self._watermarks: dict[TopicPartition, Watermark] = {}
        self._committed: dict[TopicPartition, int] = {}
        # What the group gave us; the consumer's own assignment() still names, all through a
        # rebalance, what has been revoked.
        self._assigned: set[TopicPartition] = set()
        self._progress_advanced = False
        self._last_commit = self._last_progress = self._last_claim = clocks.monotonic()
        self._consumer: KafkaConsumer
        self._sender: Sender
        self._to_decode: Handoff[Job] = Handoff(2**31)  # bounded by what the consumer is let read
        self._to_tokenise: Handoff[Job] = Handoff(limits.pairs)
        self._to_forward: Handoff[ToScore] = Handoff(limits.pairs)
        self._to_send: Handoff[Job] = Handoff(2**31)

    def stop(self) -> None:
        """End `run` soon: finish what is in flight, commit, leave the group."""
        self._stopping.set()

    def run(self) -> None:
        """Read, score and send until stopped. Raises BrokerError, TopicError or the first fault."""
        limits, kafka = self._limits, self._settings.kafka
        self._consumer = clients.consumer(
            kafka,
            group_id=self._names.score_group,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            max_poll_interval_ms=60_000,
            max_poll_records=limits.poll_records,
            bootstrap_timeout_ms=10_000,
            request_timeout_ms=limits.request_ms,
        )
        try:
            ensure_topics(kafka, topic_specs(self._settings))
            check_raw_clocks(kafka, self._settings.effective_raw_topics)
            producer = clients.producer(
                kafka,
                delivery_timeout_ms=FOR_EVER_MS,
                max_block_ms=60_000,
                bootstrap_timeout_ms=10_000,
            )
            self._sender = Sender(producer, self._note_fault)
            self._work()
        except BaseException as fault:
            self._note_fault(fault)
        finally:
            with suppress(KafkaError):
                self._consumer.close(timeout_ms=5_000)
        self._raise_fault()

    def _work(self) -> None:
        """Poll until stopped, then finish what is in flight; whatever happens, end the stages."""
        stages = self._start_stages()
        log.info("scoring %s with %s", ", ".join(self._topics), self._classifier.name)
        try:
            self._consumer.subscribe(list(self._topics), listener=_Listener(self))
            while not self._stopping.is_set():
                self._poll()
            self._drain()
        except BaseException as fault:
            self._note_fault(fault)
            raise
        finally:
            for queue in (self._to_decode, self._to_tokenise, self._to_forward, self._to_send):
                queue.close()
            self._sender.close(self._limits.stop_seconds, discard=self._fault is not None)
        for stage in stages:
            stage.join(1.0)

    def _start_stages(self) -> list[Stage]:
        model = self._settings.model
        cache = ScoreCache(self._classifier.name, model.cache_entries)
        decoding = Decoding(
            self._reader,
            cache,
            self._metrics,
            source=self._to_decode,
            to_tokenise=self._to_tokenise,
            done=self._to_send,
        )
        tokenising = Tokenising(
            self._classifier, self._metrics, self._to_tokenise, self._to_forward
        )
        forwarding = Forwarding(
            self._classifier, cache, self._metrics, self._to_forward, self._to_send
        )
        delivery = Delivery(
            self._sender,
            self._metrics,
            self._to_send,
            names=self._names,
            mentions_partitions=self._settings.mentions_partitions,
            model=self._classifier.name,
            wall_ms=self._clocks.wall_ms,
        )
        stages = [
            Stage("decode", decoding.step, self._note_fault),
            Stage("tokenise", tokenising.step, self._note_fault),
            Stage("forward", forwarding.step, self._note_fault),
            Stage("produce", delivery.step, self._note_fault),
        ]
        for stage in stages:
            stage.start()
        return stages

    def _poll(self) -> None:
        batches = self._consumer.poll(timeout_ms=self._limits.poll_ms)
        adopted = self._adopt()
        for partition, records in batches.items():
            # What was just adopted is read again, from its committed offset.
            if partition in self._ledgers and partition not in adopted:
                self._admit(partition, records)
        self._keep_up()
        self._pause_or_resume()

    def _keep_up(self) -> None:
        """Settle, commit and publish whatever is due."""
        self._raise_fault()
        now = self._clocks.monotonic()
        self._settle()
        if now - self._last_claim >= self._limits.progress_seconds:
            self._last_claim = now
            self._claim_ends()
        if now - self._last_commit >= self._limits.commit_seconds:
            self._last_commit = now
            self._commit()
        since_progress = now - self._last_progress
        if since_progress >= self._limits.progress_seconds or (
            self._progress_advanced and since_progress >= self._limits.prompt_progress_seconds
        ):
            self._last_progress = now
            self._publish_progress()

    def _adopt(self) -> set[TopicPartition]:
        """Take up newly assigned partitions at their committed offsets, with their totals.

        kafka-python 3.0.12 lets a partition that stays here through a rebalance keep its position,
        which lies behind records that were dropped: so each is sought to its committed offset.
        """
        adopted = self._assigned - self._ledgers.keys()
        for partition in adopted:
            committed = self._consumer.committed(
                partition, metadata=True, timeout_ms=self._limits.request_ms
            )
            offset, totals = 0, Totals()
            if committed is None or committed.offset < 0:
                self._consumer.seek_to_beginning(partition)
            else:
                offset = committed.offset
                self._consumer.seek(partition, offset)
                found = Totals.from_metadata(committed.metadata)
                if found is None:
                    log.warning("%s was committed by something else: totals begin anew", partition)
                totals = found or totals
                self._committed[partition] = offset
            self._ledgers[partition] = Ledger(partition.topic, partition.partition, offset, totals)
            watermark = Watermark(self._topics[partition.topic].clock)
            watermark.settle(offset, totals.greatest_ms)
            self._watermarks[partition] = watermark
            self._progress_advanced = True
        return adopted

    def _admit(self, partition: TopicPartition, records: Iterable[Any]) -> None:
        ledger = self._ledgers[partition]
        for record in records:
            raw = RawRecord(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.value,
                record.headers,
            )
            entry = ledger.admit(raw)
            if entry is not None:
                self._to_decode.put(Job(ledger, entry, raw))

    def _settle(self) -> None:
        for partition, ledger in self._ledgers.items():
            done = ledger.settle()
            if done:
                self._count(partition.topic, done)
            if self._watermarks[partition].settle(ledger.next_offset, ledger.totals.greatest_ms):
                self._progress_advanced = True

    def _count(self, topic: str, done: Iterable[Entry]) -> None:
        for entry in done:
            if entry.outcome is not None:
                self._metrics.messages.labels(topic, entry.outcome).inc()

    def _claim_ends(self) -> None:
        """Ask where the partitions end, for the live watermark and the lag.

        The time is read before the question. A broker that does not answer ends the process.
        """
        if not self._ledgers:
            return
        asked_at = self._clocks.wall_ms()
        ends = self._consumer.end_offsets(list(self._ledgers), timeout_ms=self._limits.request_ms)
        for partition, end in ends.items():
            ledger = self._ledgers.get(partition)
            if ledger is None:
                continue
            position = self._consumer.position(partition, timeout_ms=self._limits.request_ms)
            if position is not None:
                ledger.skip_to(position)
            self._watermarks[partition].claim(asked_at, end)
            self._metrics.lag.labels(*partition).set(max(0, end - ledger.next_offset))
        self._settle()
        for name, queue in (
            ("decode", self._to_decode),
            ("tokenise", self._to_tokenise),
            ("forward", self._to_forward),
            ("produce", self._to_send),
        ):
            self._metrics.queue_items.labels(name).set(len(queue))

    def _due_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            partition: OffsetAndMetadata(ledger.next_offset, ledger.totals.to_metadata(), -1)
            for partition in partitions
            if (ledger := self._ledgers.get(partition)) is not None
            and ledger.next_offset > self._committed.get(partition, 0)
        }

    def _note_committed(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        self._committed |= {partition: each.offset for partition, each in offsets.items()}

    def _commit(self) -> None:
        offsets = self._due_offsets(self._ledgers)
        if not offsets:
            return
        try:
            self._consumer.commit(offsets, timeout_ms=self._limits.request_ms)
        except NOT_A_MEMBER as error:
            # The next poll rejoins the group; what was not committed is read again by its owner.
            log.info("offsets were not committed (%s)", type(error).__name__)
            return
        self._note_committed(offsets)

    def _publish_progress(self) -> None:
        complete: dict[str, dict[int, int]] = {}
        for partition, watermark in sorted(self._watermarks.items()):
            if watermark.complete_until is not None:
                complete.setdefault(partition.topic, {})[partition.partition] = (
                    watermark.complete_until
                )
                gauge = self._metrics.complete_until.labels(*partition)
                gauge.set(watermark.complete_until / 1000)
        self._progress_advanced = False
        if not complete:
            return
        expected = {topic.name: topic.partitions for topic in self._topics.values()}
        progress = Progress(expected=expected, complete_until=complete)
        stamp = min(until for partitions in complete.values() for until in partitions.values())
        for record in progress_records(
            progress, self._names.mentions, self._settings.mentions_partitions, max(0, stamp)
        ):
            self._sender.send(record)

    def _pause_or_resume(self) -> None:
        records = sum(ledger.in_flight for ledger in self._ledgers.values())
        held_bytes = sum(ledger.in_flight_bytes for ledger in self._ledgers.values())
        limits = self._limits
        if records >= limits.records or held_bytes >= limits.record_bytes:
            self._consumer.pause(*self._ledgers)
        elif records <= limits.records // 2 and held_bytes <= limits.record_bytes // 2:
            self._consumer.resume(*self._consumer.paused())

    def _drain(self) -> None:
        """Finish what is in flight within a bound, commit and say so."""
        deadline = self._clocks.monotonic() + self._limits.stop_seconds
        while any(ledger.in_flight for ledger in self._ledgers.values()):
            if self._clocks.monotonic() > deadline:
                log.warning("stopped with records in flight; they will be read again")
                break
            self._consumer.pause(*self._ledgers)
            self._consumer.poll(timeout_ms=20)
            self._raise_fault()
            self._settle()
        self._settle()
        self._commit()
        self._publish_progress()

    def take_up(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave us these; `_adopt` begins with them after this poll."""
        self._assigned |= set(partitions)

    async def release(self, partitions: Collection[TopicPartition], *, lost: bool) -> None:
        """Give partitions up: finish and commit what can be done soon, drop the rest.

        Runs in the consumer's network thread while `poll` (or `close`) waits for it.
        """
        self._assigned -= set(partitions)
        mine = [partition for partition in partitions if partition in self._ledgers]
        deadline = self._clocks.monotonic() + self._limits.revoke_seconds
        while not lost and self._fault is None and self._clocks.monotonic() < deadline:
            self._settle()
            if not any(self._ledgers[partition].in_flight for partition in mine):
                break
            await self._consumer._net.sleep(0.01)
        for partition in mine:
            self._ledgers[partition].dropped = True
        offsets = self._due_offsets(mine)
        if offsets and not lost:
            try:
                await self._consumer.commit_async(offsets)
            except KafkaError as error:
                log.info("offsets were not committed on revocation (%s)", type(error).__name__)
        for partition in mine:
            del self._ledgers[partition], self._watermarks[partition]
            self._committed.pop(partition, None)
            for gauge in (self._metrics.lag, self._metrics.complete_until):
                if (partition.topic, str(partition.partition)) in gauge._metrics:
                    gauge.remove(*partition)

    def _note_fault(self, fault: BaseException) -> None:
        """Remember the first fault of any thread; the polling thread raises it."""
        if self._fault is None:
            self._fault = fault

    def _raise_fault(self) -> None:
        fault = self._fault
        if fault is None:
            return
        if isinstance(fault, MemoryError):
            raise UndertoneError(
                "out of memory; nothing unfinished was committed",
                hint="Lower model.token_budget or model.cache_entries in undertone.yaml.",
            ) from None
        if isinstance(fault, KafkaError):
            raise BrokerError(
                f"Kafka failed: {fault}; nothing unfinished was committed",
                hint=f"Is the broker at {self._settings.kafka.bootstrap} well?",
            ) from None
        raise fault


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # untyped library
    """Asynchronous, so that heartbeats go on while partitions are given up."""

    def __init__(self, service: ScoreService) -> None:
        self._service = service

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._service.release(revoked, lost=False)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._service.take_up(assigned)
        log.info("reads %s", ", ".join(sorted(f"{tp.topic}[{tp.partition}]" for tp in assigned)))

    async def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        await self._service.release(lost, lost=True)
