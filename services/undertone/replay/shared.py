"""One pass over a stored log by several processes, each with some of its subjects.

Nothing crosses subjects, so each process reads the whole log and applies the mentions of its own;
the clock is everybody's. Their outputs are put together chunk by chunk, in the order in which one
process would have given them.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from undertone.errors import UndertoneError
from undertone.records import Alert, Mention
from undertone.replay.figures import in_order
from undertone.replay.mention_log import StoredLog, decode_line
from undertone.replay.run import Pass, ReplayWatch, Router, Sinks, rare_collections
from undertone.replay.steps import Advance, Counts, Span
from undertone.replay.store import Store
from undertone.trends.points import Columns, TrendReading, columns, joined, taken
from undertone.watch.core import WatchConfig

LOOK_SECONDS = 0.5
END_SECONDS = 5.0


class Share(NamedTuple):
    """What one process found in one chunk of the log."""

    steps: list[int]  # of each point: the line that decided it
    points: Columns | None
    alerts: list[bytes]
    clock_ms: int | None


class Shares:
    """Who applies which subject: a new one goes to whoever has the fewest mentions so far.

    Every process goes through the same log, so all come to the same.
    """

    def __init__(self, workers: int) -> None:
        self._loads = [0] * workers
        self._owners: dict[str, int] = {}

    def owner(self, subject: str) -> int:
        """Whose the next mention is."""
        owner = self._owners.get(subject)
        if owner is None:
            owner = self._owners[subject] = self._loads.index(min(self._loads))
        self._loads[owner] += 1
        return owner


@dataclass(frozen=True)
class _Task:
    store: Path
    log: int
    config: WatchConfig
    number: int
    workers: int


def _work(task: _Task, outlet: Connection) -> None:
    """Send a Share for each chunk; runs in a process of its own. A fault is sent in its place."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Store(task.store) as store, rare_collections():
            for share in _shares(task, store):
                outlet.send(share)
    except BrokenPipeError:  # the others have stopped
        pass
    except Exception as fault:
        with suppress(BrokenPipeError):
            outlet.send(fault)


def _shares(task: _Task, store: Store) -> Generator[Share, None, None]:
    shares = Shares(task.workers)
    watches: dict[int, ReplayWatch] = {}
    for _number, lines in store.lines(task.log):
        steps: list[int] = []
        readings: list[TrendReading] = []
        alerts: list[bytes] = []
        for number, line in enumerate(lines):
            partition, record = decode_line(line)
            watch = watches.get(partition)
            if watch is None:
                watch = watches[partition] = ReplayWatch(task.config)
            if isinstance(record, Mention) and shares.owner(record.subject) != task.number:
                continue
            for output in watch.apply(record):
                if isinstance(output, TrendReading):
                    steps.append(number)
                    readings.append(output)
                else:
                    alerts.append(output.to_json())
        for watch in watches.values():
            watch.forget_changes()
        clocks = [watch.clock_ms for watch in watches.values() if watch.clock_ms is not None]
        yield Share(
            steps, columns(readings) if readings else None, alerts, min(clocks, default=None)
        )


def replay_shared(
    source: StoredLog,
    config: WatchConfig,
    span: Span,
    sinks: Sinks,
    *,
    workers: int,
    on_look: Callable[[Advance, Counts], None],
    is_stopped: Callable[[], bool],
) -> Pass:
    """`replay` of a stored log by several processes, which are spawned, never forked."""
    assert not sinks.records
    result = Pass()
    source.count(result.counts)
    router = Router(span, sinks, result)
    clock_ms: int | None = None
    started = time.perf_counter()
    with closing(_run(source, config, workers, is_stopped)) as chunks:
        for shares in chunks:
            for share in shares:
                for line in share.alerts:
                    router.alert(Alert.from_json(line))
            points = _together(shares)
            if points is not None:
                router.points(points)
            clock_ms = shares[0].clock_ms
            source.advance_to_next()
            on_look(source.advance(), result.counts)
    result.interrupted = source.advance().done < source.advance().total
    if result.interrupted:
        result.counts.clock_ms = clock_ms
    result.alerts = in_order(router.alerts)
    result.seconds = time.perf_counter() - started
    return result


def _run(
    source: StoredLog, config: WatchConfig, workers: int, is_stopped: Callable[[], bool]
) -> Generator[list[Share], None, None]:
    """The shares of all processes, chunk by chunk, until the end or until stopped."""
    context = multiprocessing.get_context("spawn")
    processes, inlets = [], []
    for number in range(workers):
        inlet, outlet = context.Pipe(duplex=False)
        task = _Task(source.store.path, source.log, config, number, workers)
        process = context.Process(target=_work, args=(task, outlet), daemon=True)
        process.start()
        outlet.close()
        processes.append(process)
        inlets.append(inlet)
    try:
        for _chunk in range(source.advance().total):
            shares: list[Share] = []
            for inlet in inlets:
                while not inlet.poll(LOOK_SECONDS):
                    if is_stopped():
                        return
                shares.append(_received(inlet))
            yield shares
            if is_stopped():
                return
    finally:
        for inlet, process in zip(inlets, processes, strict=True):
            inlet.close()
            process.join(0 if is_stopped() else END_SECONDS)
            process.kill()


def _received(inlet: Connection) -> Share:
    try:
        received = inlet.recv()
    except EOFError:
        raise UndertoneError(
            "a process of the replay has ended before its work was done",
            hint="Is there enough memory? --workers 1 replays in one process.",
        ) from None
    if isinstance(received, Exception):
        raise received
    assert isinstance(received, Share)
    return received


def _together(shares: Sequence[Share]) -> Columns | None:
    """The points of one chunk in the order in which one process would have given them: by the line
    that decided them, by time, by subject; each subject's as its process gave them."""
    found = [share.points for share in shares if share.points is not None]
    if not found:
        return None
    points = joined(found)
    steps = np.concatenate([np.asarray(share.steps, np.int64) for share in shares])
    _names, subjects = np.unique(points["subject"].astype(str), return_inverse=True)
    return taken(points, np.lexsort((subjects, points["window_end"], steps)))
