"""The Faust worker around the watch core: reads mentions, writes alerts, trends and state.

For each batch of one partition, in this order, each step awaited: alerts, trend points and dead
letters; the subjects' changed state with the cursor; the acknowledgement of the mentions. A crash
between any two repeats identical records and loses none (design §4.4). Between the steps the
worker makes sure that it still owns the partition: otherwise the batch is dropped, unacknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka.errors import IllegalStateError
from faust.types import TP

from undertone.records import Alert, DeadLetter, Mention, TrendPoint
from undertone.settings import Settings
from undertone.transport.topics import TopicNames
from undertone.watch.changelog import ATOMIC_BYTES, Change, changelog_topic, chunks, store
from undertone.watch.cursor import Log
from undertone.watch.faust_app import StateTable, WatchApp, build_app
from undertone.watch.partition import Batch, CoreFactory, LogRecord, WatchedPartition
from undertone.watch.pauses import PauseClock

logger = logging.getLogger(__name__)

TAKE_RECORDS = 500
TAKE_SECONDS = 0.05
SESSION_TIMEOUT_SECONDS = 10.0


class Exposition(Protocol):
    """What is told to the metrics: `undertone.watch.exposition.Exposition`."""

    def observe_mention(self, mention: Mention) -> None: ...
    def observe(self, record: Alert | TrendPoint, partition: int) -> None: ...
    def set_partition(self, partition: int, open_alerts: Iterable[Alert]) -> None: ...
    def drop_partition(self, partition: int) -> None: ...
    def set_clock(self, partition: int, clock_ms: int | None) -> None: ...
    def set_lag(self, partition: int, records: int) -> None: ...


class Notifier(Protocol):
    """What is told to the alert route, at once: `undertone.alerting.notifier.Notifier`."""

    def alert(self, alert: Alert, partition: int) -> None: ...
    def set_partition(self, partition: int, open_alerts: Iterable[Alert]) -> None: ...
    def drop_partition(self, partition: int) -> None: ...


@dataclass(frozen=True)
class Outlets:
    """Where alerts and numbers go besides their topics; either may be missing."""

    exposition: Exposition | None = None
    notifier: Notifier | None = None

    def set_partition(self, partition: int, open_alerts: Sequence[Alert]) -> None:
        """This worker holds the partition now."""
        for outlet in (self.exposition, self.notifier):
            if outlet is not None:
                outlet.set_partition(partition, open_alerts)

    def drop_partition(self, partition: int) -> None:
        """Another worker may hold the partition now."""
        for outlet in (self.exposition, self.notifier):
            if outlet is not None:
                outlet.drop_partition(partition)

    def tell(self, watched: WatchedPartition, batch: Batch) -> None:
        """Tell what has been written of a batch."""
        if self.exposition is not None:
            for mention in batch.mentions:
                self.exposition.observe_mention(mention)
            for record in batch.outputs:
                self.exposition.observe(record, watched.partition)
            self.exposition.set_clock(watched.partition, watched.core.clock_ms)
        if self.notifier is not None:
            for record in batch.outputs:
                if isinstance(record, Alert):
                    self.notifier.alert(record, watched.partition)


class BatchDroppedError(Exception):
    """The partition may belong to another worker by now; nothing was acknowledged."""


@dataclass(frozen=True)
class Ownership:
    """By what right a batch is written: it lapses with a rebalance, or after a long pause."""

    generation: int
    pauses: int


class WatchAgent:
    """Moves batches from Faust's stream through the cores, and their results to Kafka."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        new_core: CoreFactory,
        outlets: Outlets,
        pauses: PauseClock,
        *,
        session_timeout_seconds: float = SESSION_TIMEOUT_SECONDS,
    ) -> None:
        names = TopicNames(settings.prefix)
        self._alerts, self._trends = names.alerts, names.trends
        self._dead_letters = names.dead_letters
        self._changelog = changelog_topic(names)
        self.log = log
        self._new_core = new_core
        self._outlets = outlets
        self._pauses = pauses
        self.partitions: dict[int, WatchedPartition] = {}
        self._revocations = 0
        self._between_batches = asyncio.Lock()
        self.app: WatchApp
        self.table: StateTable
        self.app, self.table = build_app(
            names.watch_app,
            settings.kafka,
            log=log,
            place=self.place,
            cursors=self.cursors,
            on_revoked=self.revoke,
            session_timeout_seconds=session_timeout_seconds,
            instance_id=settings.watch.instance_id,
        )
        mentions = self.app.topic(
            log.mentions,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )
        self.app.agent(mentions, name="watch", concurrency=1)(self._watch)

    # -- ownership ---------------------------------------------------------------------------

    async def place(self) -> Mapping[TP, int]:
        """Where the consumer has to stand: at the cursors of the partitions that it owns.

        After a recovery this builds their cores from the table. Raises StateError where the state
        does not belong to the log.
        """
        if self.table.recovered_generation != self.app.consumer_generation_id:
            return {}  # in the middle of a rebalance: there will be another call after recovery
        owned = {tp for tp in self.app.consumer.assignment() if tp.topic == self.log.mentions}
        missing = {tp for tp in owned if tp.partition not in self.partitions}
        if missing and not await self._load(missing):
            return {}
        cursors = self.cursors()
        return {tp: cursors[tp] for tp in owned}

    def cursors(self) -> dict[TP, int]:
        """What the owned partitions have been applied through, and is written."""
        return {
            TP(self.log.mentions, number): watched.cursor.offset
            for number, watched in self.partitions.items()
        }

    async def _load(self, owned: Iterable[TP]) -> bool:
        """Build the cores of these partitions; False where they were revoked meanwhile."""
        revocations = self._revocations
        begins = await self.app.consumer.earliest_offsets(*owned)
        ends = await self.app.consumer.highwaters(*owned)
        if revocations != self._revocations:
            return False
        if self.table.unreadable is not None:
            raise self.table.unreadable
        for tp in sorted(owned):
            watched = WatchedPartition(
                tp.partition, self.log, self.table.data, self._new_core, begins[tp]
            )
            watched.cursor.verify(self.log, tp.partition, begins[tp], ends[tp])
            self.partitions[tp.partition] = watched
            self._outlets.set_partition(tp.partition, watched.core.open_alerts())
            logger.info(
                "partition %d: at offset %d of %d", tp.partition, watched.cursor.offset, ends[tp]
            )
        return True

    def revoke(self) -> None:
        """Forget every partition: the next recovery brings back those that stay."""
        self._revocations += 1
        self.table.recovered_generation = None
        for partition in self.partitions:
            self._outlets.drop_partition(partition)
        self.partitions.clear()

    def _ownership(self) -> Ownership:
        return Ownership(self.app.consumer_generation_id, self._pauses.pauses())

    def _check(self, ownership: Ownership) -> None:
        if self._ownership() != ownership:
            raise BatchDroppedError

    async def take_up(self, new_core: CoreFactory) -> None:
        """Decide by other rules or another watchlist from the next batch on, in every partition.

        Nothing is lost or applied twice: between batches the table holds all that was applied.
        """
        async with self._between_batches:
            self._new_core = new_core
            for partition, watched in list(self.partitions.items()):
                if self.partitions.get(partition) is watched:  # not lost while others had a turn
                    watched.take_up(new_core)
                    logger.info(
                        "partition %d: decides anew from offset %d",
                        partition,
                        watched.cursor.offset,
                    )
                await asyncio.sleep(0)

    # -- batches -----------------------------------------------------------------------------

    async def _watch(self, stream: Any) -> None:
        async for events in stream.noack_take(TAKE_RECORDS, within=TAKE_SECONDS):
            by_partition: dict[int, list[Any]] = {}
            for event in events:
                by_partition.setdefault(event.message.partition, []).append(event)
            async with self._between_batches:
                handled = (self._handle(stream, *item) for item in by_partition.items())
                await asyncio.gather(*handled)

    async def _handle(self, stream: Any, partition: int, events: list[Any]) -> None:
        """Bring one partition's batch from the stream to its acknowledgement, or drop it."""
        watched = self.partitions.get(partition)
        generation = self.app.consumer_generation_id
        if watched is None or events[0].message.generation_id != generation:
            return
        ownership = self._ownership()
        records = [LogRecord(event.message.offset, event.message.value) for event in events]
        batch = watched.take(records, int(time.time() * 1000))
        try:
            if batch.applied:
                await self._write(partition, batch, ownership)
                watched.advance(batch)
                if self.partitions.get(partition) is watched:
                    self._outlets.tell(watched, batch)
        except BatchDroppedError:
            logger.warning("partition %d: dropped %d records", partition, len(records))
            batch.ahead = True
            watched.reload()
        for event in events:
            if event.message.offset < watched.cursor.offset:
                await stream.ack(event)
        if batch.ahead and self.partitions.get(partition) is watched:
            await self._go_back(watched)

    async def _go_back(self, watched: WatchedPartition) -> None:
        tp = TP(self.log.mentions, watched.partition)
        with suppress(IllegalStateError):  # it was lost meanwhile
            await self.app.consumer.rewind({tp: watched.cursor.offset})

    async def _write(self, partition: int, batch: Batch, ownership: Ownership) -> None:
        """Write what follows from a batch, outputs first, the cursor last. Drops it in between."""
        self._check(ownership)
        await self._send_outputs([*batch.outputs, *batch.dead_letters])
        through = batch.cursor.offset
        pieces = [
            [Change(key, value, through) for key, value in piece.items()]
            for piece in chunks(batch.changes, ATOMIC_BYTES)
        ] or [[]]
        pieces[-1].append(batch.cursor_change())
        for piece in pieces:
            self._check(ownership)
            await (await self.app.producer.append(self._changelog, partition, piece))
            self._check(ownership)
            store(self.table.data, partition, piece)

    async def _send_outputs(self, records: Sequence[Alert | TrendPoint | DeadLetter]) -> None:
        sent = [await self._send(record) for record in records]
        for acknowledged in sent:
            await acknowledged

    async def _send(self, record: Alert | TrendPoint | DeadLetter) -> Any:
        match record:
            case Alert():
                topic, key, instant_ms = self._alerts, record.id, record.detected_at
            case TrendPoint():
                topic, key, instant_ms = self._trends, record.subject, record.window_end
            case DeadLetter():
                key = f"{record.topic}-{record.partition}-{record.offset}"
                topic, instant_ms = self._dead_letters, record.at
        # Faust wants seconds and cuts them to whole milliseconds: half a one more keeps them.
        return await self.app.producer.send(
            topic, key.encode(), record.to_json(), None, (instant_ms + 0.5) / 1000, None
        )
