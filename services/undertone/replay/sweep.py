"""A grid of rule parameters over one reading of history: the price of each alert more.

What a watcher counts, learns and expects does not depend on its rules, so one pass of the live core
serves many points: all their rules run side by side in one rule set, each under its point's number.
The points are shared out over a process a core.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from undertone.alerting.lifecycle import alert_id
from undertone.alerting.rules import RuleSet
from undertone.records import Alert
from undertone.replay.figures import figures, in_order
from undertone.replay.mention_log import decode_line
from undertone.replay.result import ReplayRange, SweepPoint
from undertone.replay.run import ReplayWatch
from undertone.replay.steps import Span
from undertone.replay.store import Store
from undertone.replay.sweep_grid import Choice
from undertone.truth import TruthEvent
from undertone.watch.core import WatchConfig


@dataclass(frozen=True)
class _Task:
    """Some points over one log; `config` holds the rules of all of them."""

    store: Path
    log: int
    config: WatchConfig
    from_ms: int | None


# How many chunks of the log the workers have read: shared with them when they start.
_chunks_read: Any = None


def _start_worker(chunks_read: Any) -> None:
    global _chunks_read  # noqa: PLW0603 — the one way to hand a shared value to a pool's workers
    _chunks_read = chunks_read
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_task(task: _Task) -> list[bytes]:
    """The alerts of all points, as JSON: runs in a process of its own."""
    watches: dict[int, ReplayWatch] = {}
    alerts: list[bytes] = []
    with Store(task.store) as store:
        for _number, lines in store.lines(task.log):
            for line in lines:
                partition, record = decode_line(line)
                watch = watches.get(partition)
                if watch is None:
                    watch = watches[partition] = ReplayWatch(task.config)
                for output in watch.apply(record):
                    assert isinstance(output, Alert)
                    if task.from_ms is None or output.detected_at >= task.from_ms:
                        alerts.append(output.to_json())
            for watch in watches.values():
                watch.forget_changes()
            with _chunks_read.get_lock():
                _chunks_read.value += 1
    return alerts


def run_sweep(
    choices: Sequence[Choice],
    store: Path,
    log: int,
    config: WatchConfig,
    span: Span,
    *,
    workers: int | None = None,
    on_look: Callable[[float], None] = lambda _share: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> dict[int, tuple[Alert, ...]]:
    """The alerts of each point by its number, in processes that are spawned, never forked.

    `on_look` is told the share that is done. Stopped early, only the points that are done.
    """
    workers = max(1, min(workers or os.cpu_count() or 1, len(choices)))
    by_number = {choice.number: choice for choice in choices}
    found: dict[int, list[Alert]] = {}
    with Store(store) as open_store:
        chunks_total = max(1, workers * open_store.chunks(log))
    context = multiprocessing.get_context("spawn")
    chunks_read = context.Value("q", 0)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(chunks_read,)
    )
    try:
        running = {}
        for number in range(workers):
            some = choices[number::workers]
            rules = side_by_side({choice.number: choice.rules for choice in some})
            task = _Task(store, log, replace(config, rules=rules, windows_ms=()), span.from_ms)
            running[pool.submit(_run_task, task)] = some
        while running and not is_stopped():
            done, _ = wait(running, timeout=0.5)
            for future in done:
                found |= {choice.number: [] for choice in running.pop(future)}
                for line in future.result():
                    number, alert = alone(Alert.from_json(line), by_number)
                    found[number].append(alert)
            on_look(min(1.0, chunks_read.value / chunks_total))
    finally:
        pool.shutdown(wait=not is_stopped(), cancel_futures=True)
        if is_stopped():
            for process in list((pool._processes or {}).values()):
                process.terminate()
    return {number: in_order(alerts) for number, alerts in found.items()}


def side_by_side(rule_sets: Mapping[int, RuleSet]) -> RuleSet:
    """The rules of several points as one set, each named `POINT/RULE`."""
    return RuleSet.model_construct(
        rules=tuple(
            rule.renamed(f"{number}/{rule.name}")
            for number, rules in rule_sets.items()
            for rule in rules.rules
        )
    )


def alone(alert: Alert, choices: Mapping[int, Choice]) -> tuple[int, Alert]:
    """The point of such a rule's alert, and the alert as that point's rules alone give it."""
    number, _, rule = alert.rule.partition("/")
    changes = {
        "id": alert_id(rule, alert.subject, alert.started_at),
        "rule": rule,
        "rules_version": choices[int(number)].rules.version,
    }
    return int(number), alert.model_copy(update=changes)


def judged_points(
    choices: Sequence[Choice],
    found: Mapping[int, Sequence[Alert]],
    covered: ReplayRange,
    events: Sequence[TruthEvent] | None,
    subjects: int,
) -> tuple[SweepPoint, ...]:
    """Each point that was run, with its figures."""
    points = []
    for choice in choices:
        if choice.number not in found:
            continue
        alerts = found[choice.number]
        judged = figures(alerts, events, subjects=subjects, days=covered.days)
        points.append(
            SweepPoint(
                number=choice.number,
                parameters=dict(choice.parameters),
                alerts=len({alert.id for alert in alerts}),
                events=judged.events,
                precision=judged.precision,
                alerts_per_subject_month=judged.alerts_per_subject_month,
                false_alerts_per_subject_month=judged.false_alerts_per_subject_month,
                rules_file=choice.rules_file,
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
