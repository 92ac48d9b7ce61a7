"""The raw partitions that this scorer holds in its consumer group: taken up, committed, given up.

Read in kafka-python 3.0.12 and met in tests: all through a rebalance `assignment()` still names
what has been revoked, and a partition that stays here through a rebalance keeps its position,
behind records that were dropped. So what is held is what the listener was told, and each partition
taken up is sought to its committed offset.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from undertone.errors import BrokerError, TopicError, UndertoneError
from undertone.scoring.ledger import Ledger, Totals
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import RawRecord
from undertone.scoring.stages import Job
from undertone.scoring.watermark import Watermark
from undertone.settings import RawTopic
from undertone.transport import clients

log = logging.getLogger(__name__)

NOT_A_MEMBER = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
MOST_BETWEEN_LOOKS_SECONDS = 2.0
Offsets = dict[TopicPartition, OffsetAndMetadata]


@dataclass(frozen=True)
class Limits:
    """How much is held, and how long is waited."""

    records: int = 10_000
    record_bytes: int = 64 << 20
    pairs: int = 4_096
    poll_ms: int = 50
    poll_records: int = 500
    # Where so much is to do, what comes meanwhile is read at once: a fetch, a poll and their
    # hand-overs cost as much for one message as for twenty.
    gather_records: int = 8
    gather_seconds: float = 0.02
    commit_seconds: float = 0.5
    progress_seconds: float = 1.0
    prompt_progress_seconds: float = 0.2
    revoke_seconds: float = 5.0
    stop_seconds: float = 15.0
    request_ms: int = 20_000
    outage_seconds: float = 20.0
    stuck_seconds: float = 120.0
    dead_seconds: float = 300.0


@dataclass(frozen=True)
class Clocks:
    """Where the service reads time."""

    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    monotonic: Callable[[], float] = time.monotonic


DEFAULT_LIMITS = Limits()
SYSTEM_CLOCKS = Clocks()


@dataclass(frozen=True)
class _Held:
    """One partition of ours."""

    ledger: Ledger
    watermark: Watermark


class OwnedPartitions(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # untyped library
    """What this scorer holds, and how far each partition is done.

    All methods belong to the polling thread. The listener's are called in the consumer's network
    thread while `poll` or `close` waits for them; they are asynchronous, so heartbeats go on.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        topics: Mapping[str, RawTopic],
        metrics: ScoreMetrics,
        *,
        limits: Limits,
        clocks: Clocks,
        faulted: Callable[[], bool],
    ) -> None:
        self._consumer, self._topics, self._metrics = consumer, topics, metrics
        self._limits, self._clocks, self._faulted = limits, clocks, faulted
        self._assigned: set[TopicPartition] = set()
        self._held: dict[TopicPartition, _Held] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._answered_at = self._looked_at = clocks.monotonic()
        self._stuck_seconds = 0.0
        self._joined, self._answers = False, True
        self._short_since: dict[TopicPartition, float] = {}
        self._paused_at: float | None = None
        self.advanced = False
        """Whether some `complete_until` advanced since it was last set to False."""

    @property
    def in_flight(self) -> int:
        """Records admitted and not done."""
        return sum(held.ledger.in_flight for held in self._held.values())

    @property
    def in_flight_bytes(self) -> int:
        """About what they hold in memory."""
        return sum(held.ledger.in_flight_bytes for held in self._held.values())

    @property
    def why_not_ready(self) -> str | None:
        """None where this scorer reads what its group gave it, be that nothing."""
        if not self._joined:
            return "it has not joined its consumer group, or waits for a rebalance"
        if missing := len(self._assigned - self._held.keys()):
            return f"it has yet to take up {missing} raw partitions"
        if self._stuck_seconds > self._limits.outage_seconds:
            return f"nothing of what was read has been done for {self._stuck_seconds:.0f} s"
        return None if self._answers else "the broker does not answer"

    def poll(self, timeout_ms: int) -> Iterator[Job]:
        """Poll the group and the log; new records as jobs, in offset order per partition."""
        batches = clients.poll_group(self._consumer, timeout_ms)
        adopted = self._adopt()
        for partition, records in batches.items():
            # What was just adopted is read again, from its committed offset.
            if partition in self._held and partition not in adopted:
                yield from self._admit(self._held[partition].ledger, records)

    def pause(self) -> None:
        """Read no more records; polling goes on, and with it our place in the group."""
        self._consumer.pause(*self._held)

    def pause_or_resume(self) -> None:
        """Read no more while too much is in flight, and again once half of it is done."""
        records, held_bytes, limits = self.in_flight, self.in_flight_bytes, self._limits
        now = self._clocks.monotonic()
        if self._paused_at is not None:
            self._metrics.paused_seconds.inc(now - self._paused_at)
            self._paused_at = now
        self._metrics.in_flight.set(records)
        if records >= limits.records or held_bytes >= limits.record_bytes:
            self.pause()
            self._paused_at = now
        elif records <= limits.records // 2 and held_bytes <= limits.record_bytes // 2:
            self._paused_at = None
            self._consumer.resume(*self._consumer.paused())

    def settle(self) -> None:
        """Move past all that is acknowledged."""
        moved = False
        for partition, held in self._held.items():
            done = held.ledger.settle()
            moved = moved or bool(done)
            outcomes = Counter(entry.outcome for entry in done if entry.outcome)
            for outcome, count in outcomes.items():
                self._metrics.messages.labels(partition.topic, outcome).inc(count)
            totals = held.ledger.totals
            if held.watermark.settle(held.ledger.next_offset, totals.greatest_ms):
                self.advanced = True
        now = self._clocks.monotonic()
        if self.in_flight and not moved:
            # Two looks that lie far apart: the whole process stood still, and can go on.
            self._stuck_seconds += min(now - self._looked_at, MOST_BETWEEN_LOOKS_SECONDS)
        else:
            self._stuck_seconds = 0.0
        self._looked_at = now

    def check_progress(self) -> None:
        """Raise UndertoneError where much is in flight and nothing has been done for long."""
        if self._stuck_seconds > self._limits.stuck_seconds:
            raise UndertoneError(
                f"nothing of the {self.in_flight} records that were read has been done for "
                f"{self._stuck_seconds:.0f} s: the model does not answer, or Kafka does not take "
                "mentions; nothing unfinished was committed",
                hint="Does the mentions topic have a leader, and enough replicas in sync? Start "
                "`undertone score` again: it goes on from what was committed.",
            )

    def claim_ends(self) -> None:
        """Ask where the partitions end, for the live watermark and the lag.

        The time is read before the question. A broker that answers nothing for `outage_seconds`
        ends the process.
        """
        if not self._held:
            return
        asked_at = self._clocks.wall_ms()
        timeout_ms = self._limits.request_ms
        try:
            ends = self._consumer.end_offsets(list(self._held), timeout_ms=timeout_ms)
            for partition, end in ends.items():
                self._claim(partition, asked_at, end)
        except (RetriableError, KafkaTimeoutError) as error:
            silent_seconds = self._clocks.monotonic() - self._answered_at
            if silent_seconds > self._limits.outage_seconds:
                raise BrokerError(
                    f"the broker has not answered for {silent_seconds:.0f} s "
                    f"({type(error).__name__}); nothing unfinished was committed",
                    hint="Start `undertone score` again when it does.",
                ) from None
            log.warning("the broker does not answer (%s); trying again", type(error).__name__)
            self._answers = False
        else:
            self._answered_at = self._clocks.monotonic()
            self._answers = True
        self.settle()

    def commit(self) -> None:
        """Commit what is done, with its totals."""
        offsets = self._due(self._held)
        if not offsets:
            return
        try:
            self._consumer.commit(offsets, timeout_ms=self._limits.request_ms)
        except NOT_A_MEMBER as error:
            # The next poll rejoins the group; what was not committed is read again by its owner.
            log.info("offsets were not committed (%s)", type(error).__name__)
            return
        self._committed |= {partition: each.offset for partition, each in offsets.items()}

    def complete_until(self) -> dict[str, dict[int, int]]:
        """{raw topic: {partition: time in ms}} of what is held and known."""
        complete: dict[str, dict[int, int]] = {}
        for partition, held in sorted(self._held.items()):
            until = held.watermark.complete_until
            if until is not None:
                complete.setdefault(partition.topic, {})[partition.partition] = until
                self._metrics.complete_until.labels(*partition).set(until / 1000)
        return complete

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """The group gave us these; they are taken up after this very poll."""
        self._joined = True
        self._assigned |= set(assigned)
        log.info("reads %s", ", ".join(sorted(f"{tp.topic}[{tp.partition}]" for tp in assigned)))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish and commit what can be done soon, drop the rest."""
        self._joined = False
        deadline = self._clocks.monotonic() + self._limits.revoke_seconds
        mine = [partition for partition in revoked if partition in self._held]
        while not self._faulted() and self._clocks.monotonic() < deadline:
            self.settle()
            if not any(self._held[partition].ledger.in_flight for partition in mine):
                break
            await self._consumer._net.sleep(0.01)
        offsets = self._due(mine)
        self._drop(revoked)
        if offsets:
            try:
                await self._consumer.commit_async(offsets)
            except KafkaError as error:
                log.info("offsets were not committed on revocation (%s)", type(error).__name__)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """They belong to others already: commit nothing."""
        self._joined = False
        self._drop(lost)

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        self._assigned -= set(partitions)
        for partition in partitions:
            held = self._held.pop(partition, None)
            if held is None:
                continue
            held.ledger.dropped = True
            self._committed.pop(partition, None)
            self._short_since.pop(partition, None)
            for gauge in (self._metrics.lag, self._metrics.complete_until):
                gauge.labels(*partition)  # remove() wants it to be there
                gauge.remove(*partition)

    def _adopt(self) -> set[TopicPartition]:
        """Take up newly assigned partitions at their committed offsets, with their totals."""
        adopted = self._assigned - self._held.keys()
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
            watermark = Watermark(self._topics[partition.topic].clock)
            watermark.settle(offset, totals.greatest_ms)
            ledger = Ledger(partition.topic, partition.partition, offset, totals)
            self._held[partition] = _Held(ledger, watermark)
            self.advanced = True
        return adopted

    def _admit(self, ledger: Ledger, records: Iterable[Any]) -> Iterator[Job]:
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
                yield Job(ledger, entry, raw)

    def _claim(self, partition: TopicPartition, asked_at: int, end: int) -> None:
        held = self._held[partition]
        position = self._consumer.position(partition, timeout_ms=self._limits.request_ms)
        if position is not None:
            held.ledger.skip_to(position)
        held.watermark.claim(asked_at, end)
        self._check_end(partition, end, held.ledger.next_offset)
        self._metrics.lag.labels(*partition).set(max(0, end - held.ledger.next_offset))

    def _check_end(self, partition: TopicPartition, end: int, done: int) -> None:
        """Raise TopicError where a log ends, for a while, before what has been read of it: a new
        leader may not know its end at once."""
        if end >= done:
            self._short_since.pop(partition, None)
            return
        now = self._clocks.monotonic()
        if now - self._short_since.setdefault(partition, now) > self._limits.outage_seconds:
            raise TopicError(
                f"{partition.topic}, partition {partition.partition}: the log ends at {end}, and "
                f"was read up to {done}: the topic was recreated, or lost records",
                hint="Begin anew under another --prefix: offsets of the old log and of the new "
                "cannot be told apart.",
            )

    def _due(self, partitions: Iterable[TopicPartition]) -> Offsets:
        return {
            partition: OffsetAndMetadata(ledger.next_offset, ledger.totals.to_metadata(), -1)
            for partition in partitions
            if (ledger := self._held[partition].ledger).next_offset
            > self._committed.get(partition, 0)
        }
