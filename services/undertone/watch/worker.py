"""Starts and ends a watch worker: checks the topics, runs Faust, notices when nothing moves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted, FaustError

from undertone.errors import BrokerError, StateError, TopicError, UndertoneError
from undertone.settings import Settings
from undertone.telemetry import Readiness
from undertone.transport.patience import await_broker
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs
from undertone.watch.agent import SESSION_TIMEOUT_SECONDS, Outlets, WatchAgent
from undertone.watch.changelog import changelog_spec
from undertone.watch.cursor import REBUILD, Log
from undertone.watch.partition import CoreFactory
from undertone.watch.pauses import PauseClock

logger = logging.getLogger(__name__)

STUCK_SECONDS = 120.0
LOOK_SECONDS = 1.0
RELOAD_LOOK_SECONDS = 0.2
RESUMES = "Nothing is lost: the watcher goes on from its cursors when it is started again."
ANSWER_SECONDS = 10.0
STOP_SECONDS = 30.0
FAILED_STOP_SECONDS = 10.0


class Reloads(Protocol):
    """Whether the rules or the watchlist have changed: `undertone.reloading.Reloads`."""

    def due(self) -> CoreFactory | None: ...
    def done(self) -> None: ...


def quieten_clients(*, verbose: bool = False) -> None:
    """Let Faust and the Kafka clients log only what a person can act on (all, where verbose).

    What ends the worker is raised by `run_worker` and told once, by its caller.
    """
    # asyncio tells of tasks that Faust and aiokafka leave behind when a broker goes.
    for name in ("faust", "mode", "kafka", "aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)


def run_worker(
    settings: Settings,
    new_core: CoreFactory,
    outlets: Outlets | None = None,
    *,
    session_timeout_seconds: float = SESSION_TIMEOUT_SECONDS,
    stuck_seconds: float = STUCK_SECONDS,
    on_ready: Callable[[], None] | None = None,
    readiness: Readiness | None = None,
    reloads: Reloads | None = None,
) -> signal.Signals | None:
    """Watch until SIGTERM or SIGINT, which is returned. `new_core` makes one partition's core;
    `reloads` is asked for others now and then.

    Raises BrokerError, TopicError, StateError, and whatever the worker broke on.
    """
    await_broker(settings.kafka)
    log = open_log(settings)
    with PauseClock(session_timeout_seconds / 2) as pauses:
        return asyncio.run(
            _serve(
                settings,
                log,
                new_core,
                outlets or Outlets(),
                pauses,
                session_timeout_seconds=session_timeout_seconds,
                stuck_seconds=stuck_seconds,
                on_ready=on_ready,
                readiness=readiness or Readiness(),
                reloads=reloads,
            )
        )


def open_log(settings: Settings) -> Log:
    """Create the topics that are missing; say which log this is.

    Raises BrokerError where no broker answers, TopicError, and StateError where the changelog has
    another number of partitions than the mentions.
    """
    ids = ensure_topics(settings.kafka, topic_specs(settings))
    try:
        ensure_topics(settings.kafka, [changelog_spec(settings)])
    except TopicError as error:
        raise StateError(error.message, hint=REBUILD) from None
    mentions = TopicNames(settings.prefix).mentions
    raw = {topic.name: ids[topic.name] for topic in settings.effective_raw_topics}
    return Log(mentions, ids[mentions], settings.mentions_partitions, raw)


async def _serve(
    settings: Settings,
    log: Log,
    new_core: CoreFactory,
    outlets: Outlets,
    pauses: PauseClock,
    *,
    session_timeout_seconds: float,
    stuck_seconds: float,
    on_ready: Callable[[], None] | None,
    readiness: Readiness,
    reloads: Reloads | None,
) -> signal.Signals | None:
    agent = WatchAgent(
        settings,
        log,
        new_core,
        outlets,
        pauses,
        session_timeout_seconds=session_timeout_seconds,
    )
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _settle, stop, number)
    work = [
        asyncio.create_task(_start(agent, on_ready)),
        asyncio.create_task(_follow(agent, outlets, stuck_seconds, readiness)),
    ]
    if reloads is not None:
        work.append(asyncio.create_task(_take_up_changes(agent, reloads)))
    failure = await _wait_for_end(stop, asyncio.create_task(_crashed(agent.app)), work)
    if failure is not None:
        logger.error("stopping: %s", _readable(failure, settings))
    readiness.say("it is stopping")
    guard = _end_by_force(STOP_SECONDS if failure is None else FAILED_STOP_SECONDS)
    try:
        await agent.app.stop()
    except Exception as error:  # what went wrong before is what counts
        failure = failure or error
    guard.cancel()
    failure = agent.app.crash_reason or failure
    if failure is not None:
        raise _readable(failure, settings) from failure
    return stop.result() if stop.done() else None


async def _wait_for_end(
    stop: asyncio.Future[signal.Signals],
    crashed: asyncio.Task[None],
    work: Sequence[asyncio.Task[None]],
) -> BaseException | None:
    """Wait for a signal, a crash, or a failure of the work, which is returned."""
    waiting: set[asyncio.Future[Any]] = {stop, crashed, *work}
    failure: BaseException | None = None
    while failure is None and not stop.done() and not crashed.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        failure = next((error for task in done if (error := task.exception())), None)
    for task in (crashed, *work):
        task.cancel()
    await asyncio.gather(crashed, *work, return_exceptions=True)
    return failure


def _settle(stop: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not stop.done():
        stop.set_result(number)


def _readable(failure: BaseException, settings: Settings) -> BaseException:
    if isinstance(failure, KafkaError | FaustError | TimeoutError) and not isinstance(
        failure, UndertoneError
    ):
        return BrokerError(
            f"Kafka at {settings.kafka.bootstrap} failed: {failure!r}",
            hint=RESUMES,
        )
    return failure


async def _start(agent: WatchAgent, on_ready: Callable[[], None] | None) -> None:
    await agent.app.start()
    logger.info("ready")
    if on_ready is not None:
        on_ready()


async def _take_up_changes(agent: WatchAgent, reloads: Reloads) -> None:
    while True:
        await asyncio.sleep(RELOAD_LOOK_SECONDS)
        new_core = reloads.due()
        if new_core is not None:
            await agent.take_up(new_core)
            reloads.done()


async def _crashed(app: Any) -> None:
    """Return when the application ends by itself; `app.crash_reason` says why."""
    await app.wait_until_stopped()


def _end_by_force(seconds: float) -> threading.Timer:
    """End the process when it does not end by itself (Faust may wait for a lost broker)."""

    def end() -> None:
        logger.critical("did not stop within %.0f s: ended by force", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


async def _follow(
    agent: WatchAgent, outlets: Outlets, stuck_seconds: float, readiness: Readiness
) -> None:
    """Compare the cursors with the log's ends; raise UndertoneError when nothing moves for long."""
    loop = asyncio.get_running_loop()
    seen: object = None
    moved_at = loop.time()
    answering = True
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        ends = await _ends(agent)
        if answering != (ends is not None):
            answering = ends is not None
            logger.warning("Kafka answers again" if answering else "Kafka does not answer")
        recovered = agent.table.recovered_generation == agent.app.consumer_generation_id
        readiness.say(why_not_ready(ends, agent.partitions, recovered=recovered))
        behind = ends is None or _lag(agent, outlets, ends) > 0
        progress = _progress(agent)
        if progress != seen or not behind:
            seen, moved_at = progress, loop.time()
        elif loop.time() - moved_at > stuck_seconds:
            if not answering:
                raise BrokerError(f"Kafka has not answered for {stuck_seconds:.0f} s", hint=RESUMES)
            raise UndertoneError(
                f"the watcher has made no progress for {stuck_seconds:.0f} s: {progress}",
                hint=RESUMES,
            )


async def _ends(agent: WatchAgent) -> dict[int, int] | None:
    """The end offset of each partition that this worker is assigned; None without an answer."""
    try:
        consumer = agent.app.consumer
        owned = {tp for tp in consumer.assignment() if tp.topic == agent.log.mentions}
        ends = await asyncio.wait_for(consumer.highwaters(*owned), ANSWER_SECONDS) if owned else {}
        return {tp.partition: end for tp, end in ends.items()}
    except ConsumerNotStarted:
        return {}
    except Exception as error:
        logger.debug("cannot read the log's end: %r", error)
        return None


def why_not_ready(
    assigned: Iterable[int] | None, held: Container[int], *, recovered: bool
) -> str | None:
    """None where this worker watches what its group gave it, be that nothing.

    `assigned` is None where Kafka does not answer; `recovered` since the last rebalance.
    """
    if assigned is None:
        return "Kafka does not answer"
    if not recovered:
        return "it has not joined its group, or reads its state from the changelog"
    missing = sorted(partition for partition in assigned if partition not in held)
    return f"it has yet to take up mentions partitions {missing}" if missing else None


def _lag(agent: WatchAgent, outlets: Outlets, ends: Mapping[int, int]) -> int:
    """Tell the metrics how far each cursor is behind; returns the sum.

    A partition that is assigned but not recovered yet counts as one record behind.
    """
    total = 0
    for partition, end in ends.items():
        watched = agent.partitions.get(partition)
        if watched is None:
            total += 1
            continue
        lag = max(0, end - watched.cursor.offset)
        total += lag
        if outlets.exposition is not None:
            outlets.exposition.set_lag(partition, lag)
    return total


def _progress(agent: WatchAgent) -> object:
    """What moves while there is work: the cursors, and the changelog's offsets in a recovery."""
    cursors = {p: watched.cursor.offset for p, watched in sorted(agent.partitions.items())}
    return {"cursors": cursors, "recovered": dict(agent.app.tables.recovery.active_offsets)}
