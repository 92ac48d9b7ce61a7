"""`undertone score`: raw topics → mentions, in a consumer group (design §4, §5).

One thread (the caller's) polls, commits and publishes progress; the stages run in their own. What
is in flight is bounded by pausing the consumer, which goes on polling, so that its place in the
group stays alive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Protocol

from kafka import KafkaConsumer
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from undertone.errors import BrokerError, UndertoneError
from undertone.handoff import Handoff
from undertone.records import Progress
from undertone.scoring.delivery import Delivery, Sender, progress_records
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.model_changes import ModelChanges
from undertone.scoring.partitions import (
    DEFAULT_LIMITS,
    SYSTEM_CLOCKS,
    Clocks,
    Limits,
    OwnedPartitions,
)
from undertone.scoring.pipeline import Reader
from undertone.scoring.routing import Detect, LanguageRouter
from undertone.scoring.stages import Decoding, Forwarding, Job, Lane, Stage, Tokenising
from undertone.scoring.topic_clocks import check_raw_clocks
from undertone.settings import DEFAULT_MODEL, Settings
from undertone.telemetry import Readiness
from undertone.transport import clients
from undertone.transport.patience import await_broker
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import SentimentClassifier

log = logging.getLogger(__name__)

FOR_EVER_MS = 10 * 365 * 86_400_000
STOPPING = "it is stopping"
# A thread that is still in the model when Python ends aborts the process: wait for its batch.
STAGE_SECONDS = 5.0
UNBOUNDED = 2**31  # bounded all the same, by what the consumer is let read


class Reloads(Protocol):
    """Whether the watchlist has changed: `undertone.reloading.Reloads`."""

    def due(self) -> Watchlist | None: ...
    def done(self) -> None: ...


class ScoreService:
    """Scores raw topics until it is stopped. `run` blocks; `stop` may be called from anywhere."""

    def __init__(
        self,
        settings: Settings,
        watchlist: Watchlist,
        classifier: SentimentClassifier,
        registry: CollectorRegistry,
        *,
        by_language: Mapping[str, SentimentClassifier] | None = None,
        detect: Detect | None = None,
        limits: Limits = DEFAULT_LIMITS,
        clocks: Clocks = SYSTEM_CLOCKS,
        readiness: Readiness | None = None,
        reloads: Reloads | None = None,
        load_again: Callable[[str], SentimentClassifier] | None = None,
    ) -> None:
        """`by_language`: those that read a language instead of `classifier`; they need `detect`.

        `reloads` is asked for another watchlist now and then; `load_again` gives the classifier of
        a route (`default`, a language) anew, where the one at work has died.
        """
        self._settings, self._limits, self._clocks = settings, limits, clocks
        self._names = TopicNames(settings.prefix)
        self._readiness = readiness or Readiness()
        self._metrics = ScoreMetrics(registry)
        self._topics = {topic.name: topic for topic in settings.effective_raw_topics}
        router = LanguageRouter(by_language, detect) if by_language and detect else None
        self._reader = Reader(
            Matcher(watchlist),
            settings.effective_raw_topics,
            settings.fields,
            settings.model.max_tokens,
            router,
        )
        self._reloads = reloads
        self._stopping = threading.Event()
        self._fault: BaseException | None = None
        self._last_commit = self._last_progress = self._last_claim = clocks.monotonic()
        self._to_decode: Handoff[Job] = Handoff(UNBOUNDED)
        self._to_send: Handoff[Job] = Handoff(UNBOUNDED)
        self._changes = ModelChanges(self._metrics, settings.model.cache_entries)
        self._lanes = self._lanes_of({DEFAULT_MODEL: classifier, **(by_language or {})}, load_again)
        lanes = set(self._lanes.values())
        self._queues: dict[str, list[Handoff[Any]]] = {
            "decode": [self._to_decode],
            "tokenise": [lane.to_tokenise for lane in lanes],
            "forward": [lane.to_forward for lane in lanes],
            "produce": [self._to_send],
        }

    def _lanes_of(
        self,
        classifiers: Mapping[str, SentimentClassifier],
        load_again: Callable[[str], SentimentClassifier] | None,
    ) -> dict[str, Lane]:
        """A lane for each route; routes that are read by the same checkpoint share one."""
        by_name = {
            classifier.name: Lane(
                self._changes.model_of(classifier, load_again and partial(load_again, route)),
                Handoff(self._limits.pairs),
                Handoff(self._limits.pairs),
            )
            for route, classifier in classifiers.items()
        }
        return {route: by_name[classifier.name] for route, classifier in classifiers.items()}

    def stop(self) -> None:
        """End `run` soon: finish what is in flight, commit, leave the group."""
        self._stopping.set()

    def change_models(
        self,
        load: Callable[[], Mapping[str, SentimentClassifier]],
        on_taken_up: Callable[[], None] = lambda: None,
    ) -> threading.Thread:
        """Load classifiers by route (`default`, a language) in a thread, and score with them.

        Whatever fails leaves the old ones at work and is logged; else `on_taken_up` is told.
        Returns the thread.
        """
        return self._changes.begin(self._lanes, load, on_taken_up)

    def run(self) -> None:
        """Read, score and send until stopped. Raises BrokerError, TopicError or the first fault."""
        kafka = self._settings.kafka
        self._readiness.say("it waits for a broker")
        await_broker(kafka, self._stopping.wait)
        if self._stopping.is_set():
            return
        consumer = self._join()
        try:
            ensure_topics(kafka, topic_specs(self._settings))
            check_raw_clocks(kafka, self._settings.effective_raw_topics)
            producer = clients.producer(
                kafka,
                delivery_timeout_ms=FOR_EVER_MS,
                max_block_ms=60_000,
                bootstrap_timeout_ms=10_000,
            )
            self._work(consumer, Sender(producer, self._note_fault))
        except BaseException as fault:
            self._note_fault(fault)
        finally:
            with suppress(KafkaError):
                consumer.close(timeout_ms=5_000)
        self._raise_fault()

    def _join(self) -> KafkaConsumer:
        return clients.consumer(
            self._settings.kafka,
            group_id=self._names.score_group,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            max_poll_interval_ms=60_000,
            max_poll_records=self._limits.poll_records,
            bootstrap_timeout_ms=10_000,
            request_timeout_ms=self._limits.request_ms,
        )

    def _work(self, consumer: KafkaConsumer, sender: Sender) -> None:
        """Poll until stopped, then finish what is in flight; whatever happens, end the stages."""
        partitions = OwnedPartitions(
            consumer,
            self._topics,
            self._metrics,
            limits=self._limits,
            clocks=self._clocks,
            faulted=lambda: self._fault is not None,
        )
        stages = self._start_stages(sender)
        models = ", ".join(f"{name} ({route})" for route, name in self._model_names.items())
        log.info("scoring %s with %s", ", ".join(self._topics), models)
        try:
            consumer.subscribe(list(self._topics), listener=partitions)
            while not self._stopping.is_set():
                self._take_up_changes()
                self._to_decode.put_all(list(partitions.poll(self._limits.poll_ms)))
                self._raise_fault()
                self._keep_up(partitions, sender)
                partitions.pause_or_resume()
                if partitions.in_flight >= self._limits.gather_records:
                    self._stopping.wait(self._limits.gather_seconds)
            self._drain(partitions)
            self._publish_progress(partitions, sender)
        except BaseException as fault:
            self._note_fault(fault)
            raise
        finally:
            for stage in stages:
                stage.stop()
            for queue in chain.from_iterable(self._queues.values()):
                queue.close()
            sender.close(self._limits.stop_seconds, discard=self._fault is not None)
        for stage in stages:
            stage.join(STAGE_SECONDS)

    def _start_stages(self, sender: Sender) -> list[Stage]:
        metrics = self._metrics
        decoding = Decoding(
            self._reader, self._lanes, metrics, source=self._to_decode, done=self._to_send
        )
        delivery = Delivery(
            sender,
            metrics,
            self._to_send,
            names=self._names,
            mentions_partitions=self._settings.mentions_partitions,
            wall_ms=self._clocks.wall_ms,
        )
        steps = [("decode", decoding.step)]
        for lane in set(self._lanes.values()):
            steps.append(("tokenise", Tokenising(lane, metrics).step))
            for _ in range(lane.model.classifier.forwards_at_once):
                steps.append(("forward", Forwarding(lane, metrics, self._to_send).step))
        steps.append(("produce", delivery.step))
        stages = [Stage(name, step, self._note_fault) for name, step in steps]
        for stage in stages:
            stage.start()
        return stages

    @property
    def _model_names(self) -> dict[str, str]:
        return {route: lane.model.classifier.name for route, lane in self._lanes.items()}

    def _keep_up(self, partitions: OwnedPartitions, sender: Sender) -> None:
        """Settle, commit and publish whatever is due."""
        now, limits = self._clocks.monotonic(), self._limits
        partitions.settle()
        partitions.check_progress()
        self._readiness.say(partitions.why_not_ready or self._dead_model())
        if now - self._last_claim >= limits.progress_seconds:
            self._last_claim = now
            partitions.claim_ends()
            for name, queues in self._queues.items():
                self._metrics.queue_items.labels(name).set(sum(map(len, queues)))
        if now - self._last_commit >= limits.commit_seconds:
            self._last_commit = now
            partitions.commit()
        since_progress = now - self._last_progress
        if since_progress >= limits.progress_seconds or (
            partitions.advanced and since_progress >= limits.prompt_progress_seconds
        ):
            self._last_progress = now
            self._publish_progress(partitions, sender)

    def _dead_model(self) -> str | None:
        """Which model does not answer, if any. Raises UndertoneError where one never does again."""
        why = None
        for pulse in (lane.model.pulse for lane in self._lanes.values()):
            dead_seconds = pulse.dead_seconds
            if dead_seconds is None:
                continue
            if dead_seconds > self._limits.dead_seconds:
                raise UndertoneError(
                    f"{pulse.classifier.name} has not answered for "
                    f"{self._limits.dead_seconds:.0f} s: {pulse.error}",
                    hint="Start it again: some devices come back only to a new process. What was "
                    "sent meanwhile is unscored; `undertone replay --rescore` reads it again.",
                )
            why = f"{pulse.classifier.name} does not answer: {pulse.error}"
        return why

    def _publish_progress(self, partitions: OwnedPartitions, sender: Sender) -> None:
        partitions.advanced = False
        complete = partitions.complete_until()
        if not complete:
            return
        expected = {topic.name: topic.partitions for topic in self._topics.values()}
        progress = Progress(expected=expected, complete_until=complete)
        stamp = min(until for known in complete.values() for until in known.values())
        for record in progress_records(
            progress, self._names.mentions, self._settings.mentions_partitions, max(0, stamp)
        ):
            sender.send(record)

    def _take_up_changes(self) -> None:
        """What is polled from now on is matched by the watchlist as it is now, and some before it:
        what has not been decoded yet."""
        watchlist = None if self._reloads is None else self._reloads.due()
        if self._reloads is not None and watchlist is not None:
            self._reader.take_up(Matcher(watchlist))
            self._reloads.done()

    def _drain(self, partitions: OwnedPartitions) -> None:
        """Finish what is in flight within a bound, and commit."""
        self._readiness.say(STOPPING)
        deadline = self._clocks.monotonic() + self._limits.stop_seconds
        while partitions.in_flight:
            if self._clocks.monotonic() > deadline:
                log.warning("stopped with records in flight; they will be read again")
                break
            partitions.pause()
            for _ in partitions.poll(20):
                pass  # of a partition that came just now: its next owner reads it
            self._raise_fault()
            partitions.settle()
        partitions.commit()

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
            details = "; ".join(str(argument) for argument in fault.args if argument)
            what = type(fault).__name__ + (f": {details}" if details else "")
            raise BrokerError(
                f"Kafka failed ({what}); nothing unfinished was committed",
                hint=f"Is the broker at {self._settings.kafka.bootstrap} well?",
            ) from None
        raise fault
