"""Raw records into Kafka from a thread of its own, so that the event loop never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from undertone.errors import BrokerError
from undertone.serving.batcher import UnavailableError
from undertone.serving.messages import Position, RawRecord
from undertone.serving.metrics import ServeMetrics
from undertone.settings import Settings
from undertone.transport.clients import BOOTSTRAP_TIMEOUT_MS, discard, producer
from undertone.transport.raw_topics import prepare_topics

MAX_WAITING = 64  # requests
LINGER_MS = 5
FORCED_END_SECONDS = 1.0
REST_SECONDS = 1.0  # after a failure, before Kafka is tried again

log = logging.getLogger(__name__)

REFUSED = "Kafka does not take messages at present"


class RawWriter:
    """Writes the records of requests, in their order; any thread may submit.

    The producer is made at the first request, and again after each failure: without Kafka nothing
    else suffers.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: ServeMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._metrics, self._clock = settings, metrics, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="raw-writer")
        self._client: KafkaProducer | None = None  # of the thread alone
        self._rest_until = float("-inf")
        self._changed = threading.Lock()
        self._waiting = 0
        self._closed = False

    def submit(self, records: Sequence[RawRecord]) -> Future[list[Position]]:
        """The positions of the records once all are acknowledged; else an UnavailableError.

        Then some of them may have been written. Raises UnavailableError where too many wait.
        """
        with self._changed:
            if self._closed:
                raise UnavailableError("the service is stopping")
            if self._waiting >= MAX_WAITING:
                raise UnavailableError("too many requests are waiting for Kafka")
            self._waiting += 1
            done: Future[list[Position]] = Future()
            done.set_running_or_notify_cancel()  # a caller that leaves does not stop the writing
            self._thread.submit(self._send, _Acknowledgements(records, partial(self._end, done)))
        return done

    def close(self, timeout_seconds: float) -> None:
        """Take nothing more, and give what is under way some time."""
        with self._changed:
            self._closed = True
        self._thread.submit(self._drop, None, timeout_seconds)
        self._thread.shutdown(wait=True)

    def _send(self, waiting: _Acknowledgements) -> None:
        client = None
        try:
            client = self._producer()
            for index, record in enumerate(waiting.records):
                key = record.message_id
                sent = client.send(
                    record.topic,
                    value=record.value,
                    key=None if key is None else key.encode(),
                    partition=record.partition,
                )
                sent.add_callback(partial(waiting.acknowledge, index))
                sent.add_errback(partial(self._failed, client, waiting))
        except (KafkaError, BrokerError, UnavailableError) as error:
            self._failed(client, waiting, error)
        except Exception as error:  # whatever it is, nobody is left to wait
            log.exception("messages could not be written")
            self._failed(client, waiting, error)

    def _producer(self) -> KafkaProducer:
        """Raises UnavailableError while Kafka is left in peace, BrokerError where it is away."""
        if self._client is not None:
            return self._client
        if self._clock() < self._rest_until:
            raise UnavailableError(REFUSED)
        try:
            self._client = self._made()
        except BrokerError as error:
            self._rest_until = self._clock() + REST_SECONDS
            log.warning("%s: %s", REFUSED, error.message)
            raise
        return self._client

    def _made(self) -> KafkaProducer:
        timeout_ms = self._settings.serving.timeout
        client = producer(
            self._settings.kafka,
            linger_ms=LINGER_MS,
            bootstrap_timeout_ms=min(timeout_ms, BOOTSTRAP_TIMEOUT_MS),
            max_block_ms=timeout_ms,
            request_timeout_ms=timeout_ms,
            delivery_timeout_ms=timeout_ms + LINGER_MS,
        )
        try:
            prepare_topics(self._settings)
        except BaseException:
            client.close(timeout=0)
            raise
        return client

    def _failed(
        self, client: KafkaProducer | None, waiting: _Acknowledgements, error: Exception
    ) -> None:
        """From the producer's own thread too: so the producer is ended by ours."""
        if waiting.fail(UnavailableError(REFUSED)) and client is not None:
            log.warning("Kafka did not take %d messages: %s", len(waiting.records), error)
            with self._changed:
                if not self._closed:
                    self._thread.submit(self._drop, client, 0)

    def _drop(self, client: KafkaProducer | None, timeout_seconds: float) -> None:
        """End the producer (None: whichever there is): after a failure it may be out of step."""
        if self._client is not None and client in (None, self._client):
            try:
                _end_producer(self._client, timeout_seconds)
            finally:
                self._client = None

    def _end(self, done: Future[list[Position]], outcome: list[Position] | Exception) -> None:
        with self._changed:
            self._waiting -= 1
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            self._metrics.messages.inc(len(outcome))
            done.set_result(outcome)


def _end_producer(client: KafkaProducer, timeout_seconds: float) -> None:
    """What is not written by the timeout never will be: who sent it is told that it is not."""
    if timeout_seconds > 0:
        with suppress(KafkaError):
            client.close(timeout=timeout_seconds)
            return
    discard(client)
    client._sender.join(FORCED_END_SECONDS)
    with suppress(KafkaError):
        client.close(timeout=0)


class _Acknowledgements:
    """The records of one request that wait; `end` is called once, with positions or a failure."""

    def __init__(
        self,
        records: Sequence[RawRecord],
        end: Callable[[list[Position] | Exception], None],
    ) -> None:
        self.records = records
        self._end = end
        self._offsets: dict[int, int] = {}
        self._ended = False
        self._changed = threading.Lock()

    def acknowledge(self, index: int, metadata: Any) -> None:
        """One record is written."""
        with self._changed:
            self._offsets[index] = metadata.offset
            if self._ended or len(self._offsets) < len(self.records):
                return
            self._ended = True
        self._end([record.at(self._offsets[n]) for n, record in enumerate(self.records)])

    def fail(self, error: Exception) -> bool:
        """One is not; whether it is the first."""
        with self._changed:
            if self._ended:
                return False
            self._ended = True
        self._end(error)
        return True
