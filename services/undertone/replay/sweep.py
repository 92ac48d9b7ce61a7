"""A grid of rule parameters over one reading of history: the price of each alert more.

The mentions are read, scored and packed once. The points share the unpacking of them and run in
processes of their own, each with the live core (less its trend points).
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from undertone.alerting.rules import RuleSet
from undertone.records import Alert
from undertone.replay.figures import figures, in_order
from undertone.replay.mention_log import decode_line
from undertone.replay.quiet_watch import QuietConfig, QuietWatch
from undertone.replay.result import ReplayRange, SweepPoint
from undertone.replay.steps import Span
from undertone.replay.store import Store
from undertone.replay.sweep_grid import Choice, write_rules
from undertone.truth import TruthEvent
from undertone.watch.core import WatchConfig

TASKS_A_WORKER = 3


@dataclass(frozen=True)
class _Task:
    """Some points over one log."""

    store: Path
    log: int
    config: WatchConfig
    rules: tuple[RuleSet, ...]
    from_ms: int | None


def _run_task(task: _Task) -> list[list[bytes]]:
    """The alerts of each rule set, as JSON: runs in a process of its own."""
    configs = [
        QuietConfig(
            rules=rules,
            subjects=task.config.subjects,
            windows_ms=(),
            allowed_lateness_ms=task.config.allowed_lateness_ms,
            other_windows_ms=task.config.windows_ms,
        )
        for rules in task.rules
    ]
    watches: dict[int, list[QuietWatch]] = {}
    alerts: list[list[bytes]] = [[] for _ in configs]
    with Store(task.store) as store:
        for _number, lines in store.lines(task.log):
            for line in lines:
                partition, record = decode_line(line)
                if partition not in watches:
                    watches[partition] = [QuietWatch(config) for config in configs]
                for number, watch in enumerate(watches[partition]):
                    for output in watch.apply(record):
                        assert isinstance(output, Alert)
                        if task.from_ms is None or output.detected_at >= task.from_ms:
                            alerts[number].append(output.to_json())
            for watch in itertools.chain.from_iterable(watches.values()):
                watch.forget_changes()
    return alerts


def run_sweep(
    choices: Sequence[Choice],
    store: Path,
    log: int,
    config: WatchConfig,
    span: Span,
    *,
    workers: int | None = None,
    on_done: Callable[[int], None] = lambda _points: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> dict[int, tuple[Alert, ...]]:
    """The alerts of each point by its number, in processes that are spawned, never forked.

    Stopped early, only the points that are done.
    """
    workers = max(1, min(workers or os.cpu_count() or 1, len(choices)))
    found: dict[int, tuple[Alert, ...]] = {}
    size = max(1, -(-len(choices) // (workers * TASKS_A_WORKER)))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)
    try:
        running: dict[Future[list[list[bytes]]], list[Choice]] = {}
        for start in range(0, len(choices), size):
            some = list(choices[start : start + size])
            rules = tuple(choice.rules for choice in some)
            task = _Task(store, log, replace(config, rules=some[0].rules), rules, span.from_ms)
            running[pool.submit(_run_task, task)] = some
        while running and not is_stopped():
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                some = running.pop(future)
                for choice, lines in zip(some, future.result(), strict=True):
                    found[choice.number] = in_order([Alert.from_json(line) for line in lines])
                on_done(len(some))
    finally:
        pool.shutdown(wait=not is_stopped(), cancel_futures=True)
        if is_stopped():
            for process in list((pool._processes or {}).values()):
                process.terminate()
    return found


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def judged_points(
    choices: Sequence[Choice],
    found: Mapping[int, Sequence[Alert]],
    covered: ReplayRange,
    events: Sequence[TruthEvent] | None,
    subjects: int,
    folder: Path,
) -> tuple[SweepPoint, ...]:
    """Each point that was run, with its figures; its rules go to `folder`/sweep/NNN/rules.yaml."""
    points = []
    for choice in choices:
        if choice.number not in found:
            continue
        alerts = found[choice.number]
        judged = figures(alerts, events, subjects=subjects, days=covered.days)
        relative = f"sweep/{choice.number:03d}/rules.yaml"
        write_rules(folder / relative, choice.rules)
        points.append(
            SweepPoint(
                number=choice.number,
                parameters=dict(choice.parameters),
                alerts=len({alert.id for alert in alerts}),
                events=judged.events,
                precision=judged.precision,
                alerts_per_subject_month=judged.alerts_per_subject_month,
                false_alerts_per_subject_month=judged.false_alerts_per_subject_month,
                rules_file=relative,
            )
        )
    best = set(_frontier(points))
    return tuple(replace(point, on_frontier=point.number in best) for point in points)


def _frontier(points: Sequence[SweepPoint]) -> Iterator[int]:
    """Points that no other beats, in events found and in false alerts."""
    judged = [
        (point.events.found, point.false_alerts_per_subject_month, point.number)
        for point in points
        if point.events is not None and point.false_alerts_per_subject_month is not None
    ]
    for found, false, number in judged:
        beaten = any(
            other >= found and wrong <= false and (other > found or wrong < false)
            for other, wrong, _ in judged
        )
        if not beaten:
            yield number
