"""Faust, fitted to the cursor: its consumer, producer, table and application.

Faust hands agents newer offsets before the committed ones around a rebalance, and drops some that
it has fetched (faust 0.15.3: `Consumer.getmany` leaves a fetched batch half-way when the flow
stops or the generation changes). So the consumer here passes on a partition's records only from
the offset that is expected, and goes back to it when others come. Nothing here knows about
mentions, state or alerts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Producer,
    Transport,
)
from faust.types import TP, EventT
from faust.types.transports import TPorTopicSet
from mode.supervisors import CrashingSupervisor
from yarl import URL

from undertone.errors import StateError
from undertone.settings import KafkaSettings
from undertone.transport.clients import METADATA_MAX_AGE_MS, ssl_context
from undertone.watch.changelog import (
    LARGEST_BATCH_BYTES,
    TABLE,
    Change,
    Entry,
    keep_partitions,
    merge,
    through_of,
)
from undertone.watch.cursor import Log, verify_range

# Their base classes log under the name of the module that defines the class.
faust_logger = logging.getLogger("faust.undertone")

RECORD_BATCH_BYTES = 900_000  # of trends and alerts; brokers take 1 MiB by default
UNCOMPRESSED = 0
REPEATED_HOLES = 20

Cursors = Callable[[], Mapping[TP, int]]
Place = Callable[[], Awaitable[Mapping[TP, int]]]


class StateTable(faust.Table):
    """A plain table whose entries know the mentions offset that they are applied through."""

    logger = faust_logger
    unreadable: StateError | None = None
    recovered_generation: int | None = None

    def apply_changelog_batch(self, batch: Iterable[EventT]) -> None:
        """Take in changelog records; in each key the highest offset wins.

        Faust swallows what is raised here, so a foreign record is kept for `place` to raise.
        """
        for event in batch:
            message = event.message
            try:
                entry = Entry(through_of(message.headers), message.value)
                merge(self.data, message.partition, message.key.decode(), entry)
            except (StateError, UnicodeDecodeError, AttributeError) as error:
                self.unreadable = error if isinstance(error, StateError) else through_error(error)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Keep only what this worker owns now."""
        await super().on_recovery_completed(active_tps, standby_tps)
        keep_partitions(self.data, (tp.partition for tp in active_tps))
        self.recovered_generation = self.app.consumer_generation_id


def through_error(error: Exception) -> StateError:
    """The error for a changelog record that has no readable key."""
    return StateError(f"the watcher's changelog holds a record that cannot be read: {error!r}")


class ConsumerThread(AIOKafkaConsumerThread):
    """The thread of the consumer, which ends in order."""

    logger = faust_logger

    async def on_thread_stop(self) -> None:
        """Stop. aiokafka 0.14 lets out its own cancellation where a fetch waits for the broker."""
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()


class CursorConsumer(Consumer):
    """A consumer that passes on each partition's records in order, from its cursor."""

    logger = faust_logger

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expected: dict[TP, int] = {}
        self._holes: dict[TP, int] = {}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the batch at hand finish, then forget all partitions until they are placed again."""
        await super().on_partitions_revoked(revoked)
        self._expected.clear()
        self._holes.clear()
        self.app.on_watch_revoked()

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, as Faust does, and from there to the cursors."""
        await super().perform_seek()
        await self.rewind(await self.app.place())

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """Go to these offsets; nothing else of these partitions is passed on before them.

        Raises IllegalStateError where a partition was lost meanwhile: a recovery will follow.
        """
        self._expected.update(positions)
        for tp, offset in positions.items():
            self._read_offset[tp] = offset or None
        if positions:
            await self.seek_wait(positions)

    # What is committed is for those who look from outside (lag, the demo's end): the cursor stands
    # in the changelog. Faust would commit what was acknowledged here and now. A worker that starts
    # at a cursor ahead of its group's offset, or whose commit failed, would then commit nothing
    # until more records come.

    def _filter_tps_with_pending_acks(self, _topics: TPorTopicSet | None = None) -> Iterator[TP]:
        return iter(self.app.cursors())

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.app.cursors().get(tp)

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        done: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            self._committed_offset.update(dict.fromkeys(offsets))  # unknown: tried again
        return done

    async def _getmany(
        self, active_partitions: set[TP] | None, timeout: float
    ) -> dict[TP, list[Any]]:
        """Fetch records, and pass on those lists of mentions that begin where they must.

        Mentions offsets have no gaps (the topic is neither compacted nor written in
        transactions), so the first offset tells. Called by one task only, between two lists.
        """
        fetched = await super()._getmany(active_partitions, timeout)
        passed = {}
        for tp, records in fetched.items():
            if tp.topic != self.app.mentions_log.mentions:
                passed[tp] = records
            elif (expected := self._expected.get(tp)) == records[0].offset:
                self._expected[tp] = records[-1].offset + 1
                self._read_offset[tp] = expected or None
                self._holes.pop(tp, None)
                passed[tp] = records
            elif expected is not None:
                await self._return(tp, expected)
        return passed

    async def _return(self, tp: TP, expected: int) -> None:
        """Others than the expected records came: go back. Raises StateError where they are lost."""
        tp = TP(tp.topic, tp.partition)
        begin = (await self.earliest_offsets(tp))[tp]
        end = (await self.highwaters(tp))[tp]
        verify_range(expected, self.app.mentions_log, tp.partition, begin, end)
        self._holes[tp] = self._holes.get(tp, 0) + 1
        if self._holes[tp] > REPEATED_HOLES:
            raise StateError(
                f"{tp.topic}, partition {tp.partition}: the log has no record at offset "
                f"{expected}; is the topic compacted, or written in transactions?"
            )
        with suppress(IllegalStateError):
            await self.rewind({tp: expected})

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: the watcher itself compares its cursors with the log's end."""


class BatchProducer(Producer):
    """A producer that can also append several records as one."""

    logger = faust_logger

    async def append(
        self, topic: str, partition: int, changes: Iterable[Change]
    ) -> Awaitable[RecordMetadata]:
        """Send changes in one record batch: the broker appends all of them, or none.

        Returns a future of the acknowledgement. Raises StateError where they exceed one batch.
        """
        batch = BatchBuilder(LARGEST_BATCH_BYTES, UNCOMPRESSED)
        for change in changes:
            added = batch.append(
                timestamp=None,
                key=change.key.encode(),
                value=change.value,
                headers=change.headers(),
            )
            if added is None:
                raise StateError(
                    f"one step changes over {LARGEST_BATCH_BYTES} bytes of state at {change.key}"
                )
        batch.close()
        sent: Awaitable[RecordMetadata] = await self._ensure_producer().send_batch(
            batch, topic, partition=partition
        )
        return sent


class CursorTransport(Transport):
    """Faust's Kafka transport with the consumer and the producer of this module."""

    Consumer = CursorConsumer
    Producer = BatchProducer


class WatchApp(faust.App):
    """A Faust application that writes no files and asks its shell where to begin."""

    logger = faust_logger

    def __init__(
        self,
        *,
        log: Log,
        place: Place,
        cursors: Cursors,
        on_revoked: Callable[[], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mentions_log = log
        self.place = place
        self.cursors = cursors
        self.on_watch_revoked = on_revoked
        self.transport = CursorTransport(self.conf.broker_consumer, self)
        self.boot_strategy.enable_web = False

    def _create_directories(self) -> None:
        """Create none: the tables live in memory and in the changelog."""


def build_app(
    app_id: str,
    kafka: KafkaSettings,
    *,
    log: Log,
    place: Place,
    cursors: Cursors,
    on_revoked: Callable[[], None],
    session_timeout_seconds: float,
    instance_id: str | None = None,
) -> tuple[WatchApp, StateTable]:
    """The application and its table; the environment plays no part in their settings.

    `instance_id` makes its worker a static member of the group.
    """
    app = WatchApp(
        log=log,
        place=place,
        cursors=cursors,
        on_revoked=on_revoked,
        id=app_id,
        env={},
        broker=[URL(f"kafka://{address.strip()}") for address in kafka.bootstrap.split(",")],
        broker_credentials=credentials(kafka),
        agent_supervisor=CrashingSupervisor,
        Table=StateTable,
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_session_timeout=session_timeout_seconds,
        broker_heartbeat_interval=min(3.0, session_timeout_seconds / 3),
        broker_request_timeout=max(90.0, session_timeout_seconds),
        broker_rebalance_timeout=60.0,
        broker_max_poll_records=2_000,
        consumer_auto_offset_reset="earliest",
        # A leader that asks a broker which has just started may learn of no partitions, and gives
        # its group none until it asks again: by default five minutes later, as seen after SIGKILL.
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        consumer_group_instance_id=instance_id,
        consumer_max_fetch_size=4 << 20,
        producer_acks=-1,
        producer_request_timeout=120.0,
        producer_max_batch_size=RECORD_BATCH_BYTES,
    )
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=log.partitions)
    return app, table


def credentials(kafka: KafkaSettings) -> faust.auth.Credentials | None:
    """The settings' SASL and TLS options as Faust wants them; none for plain text."""
    context = ssl_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        assert kafka.sasl_password is not None
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
