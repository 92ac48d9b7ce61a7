"""One pass over history: every step through the very core that runs live."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from undertone.records import Alert, AlertState, Mention, TrendPoint, format_instant
from undertone.replay.figures import figures, in_order, within
from undertone.replay.mention_log import LogWriter
from undertone.replay.result import ReplayRange, ReplayResult, SweepPoint
from undertone.replay.steps import Advance, Counts, Source, Span
from undertone.trends.points import Columns, TrendReading, columns, taken
from undertone.truth import TruthEvent
from undertone.watch.core import Watch, WatchConfig

STEPS_A_LOOK = 500
READINGS_A_BATCH = 4_096
NEW_OBJECTS_A_COLLECTION = 200_000
HOUR_MS = 3_600_000


class ReplayWatch(Watch):
    """The live core, which here stores nothing: it need not remember what it would have stored."""

    def forget_changes(self) -> None:
        """Forget which parts have changed: otherwise their names pile up."""
        for subject in self._changed:
            self._subjects[subject].state.changed_parts.clear()
        self._changed.clear()


class PointSink(Protocol):
    """Takes the trend points of the range, many at a time, in order of time for each subject."""

    def add(self, points: Columns, /) -> None: ...


class RecordSink(Protocol):
    """Takes everything of the range."""

    def add(self, record: TrendPoint | Alert | Mention, /) -> None: ...


@dataclass
class Sinks:
    """Where outputs go as they come. `timeline` also sees the points of the warm-up."""

    timeline: Callable[[int], PointSink] | None = None  # from the first moment of the range
    points: Sequence[PointSink] = ()
    records: Sequence[RecordSink] = ()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cyclic garbage rarely: a pass makes next to none, but a great many objects that live
    for a moment, and looking through them takes a sixth of its time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_A_COLLECTION, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@dataclass
class Pass:
    """What one pass gave: alerts of the range in order, counts, and whether it was interrupted."""

    alerts: tuple[Alert, ...] = ()
    counts: Counts = field(default_factory=Counts)
    interrupted: bool = False
    open_at_start: int = 0
    seconds: float = 0.0

    def range_of(self, span: Span) -> ReplayRange:
        """What was replayed; an interrupted pass ends where its clock stood."""
        begins = self.counts.begins_at_ms
        clock = self.counts.clock_ms
        from_ms = span.from_ms if span.from_ms is not None else (begins or 0)
        until_ms = span.until_ms
        if until_ms is None or self.interrupted:
            until_ms = clock if clock is not None else from_ms
        return ReplayRange(
            from_ms=from_ms,
            until_ms=max(from_ms, until_ms),
            warm_up_ms=span.warm_up_ms if span.from_ms is not None else 0,
            begins_at_ms=begins,
        )


def replay(
    source: Source,
    config: WatchConfig,
    span: Span,
    sinks: Sinks | None = None,
    *,
    log: LogWriter | None = None,
    on_look: Callable[[Advance, Counts], None] = lambda _advance, _counts: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Pass:
    """Run a source through a watcher for each of its mentions partitions.

    Outputs decided before the range are dropped; later revisions of an alert that began in the
    warm-up are kept, as they were told within the range. `is_stopped` is asked every few hundred
    steps and ends the pass early; what was found until then stands.
    """
    result = Pass()
    router = Router(span, sinks or Sinks(), result)
    watches: dict[int, ReplayWatch] = {}
    started = time.perf_counter()
    with rare_collections(), closing(source.steps(result.counts)) as steps:
        for number, (partition, record) in enumerate(steps):
            if number % STEPS_A_LOOK == 0:
                on_look(source.advance(), result.counts)
                for watch in watches.values():
                    watch.forget_changes()
                if is_stopped():
                    result.interrupted = True
                    break
            watch_of = watches.get(partition)
            if watch_of is None:
                watch_of = watches[partition] = ReplayWatch(config)
            outputs = watch_of.apply(record)
            if isinstance(record, Mention):
                if log is not None:
                    log.mention(partition, record)
                router.mention(record)
            elif log is not None and watch_of.clock_ms is not None:
                log.clock(partition, watch_of.clock_ms)
            if outputs:
                router.outputs(outputs)
    router.flush()
    on_look(source.advance(), result.counts)
    if result.interrupted:
        clocks = [watch.clock_ms for watch in watches.values() if watch.clock_ms is not None]
        result.counts.clock_ms = min(clocks, default=None)
    result.alerts = in_order(router.alerts)
    result.seconds = time.perf_counter() - started
    return result


class Router:
    """Hands outputs to where they belong."""

    def __init__(self, span: Span, sinks: Sinks, result: Pass) -> None:
        self._span, self._sinks, self._result = span, sinks, result
        self._timeline: PointSink | None = None
        self._firing: set[str] = set()
        self._readings: list[TrendReading] = []
        self.alerts: list[Alert] = []

    def mention(self, mention: Mention) -> None:
        """A mention, for sinks that count them."""
        if self._sinks.records and self._span.counts(mention.ingested_at):
            for sink in self._sinks.records:
                sink.add(mention)

    def outputs(self, outputs: Iterable[Alert | TrendReading]) -> None:
        """Outputs, in order."""
        for output in outputs:
            if isinstance(output, TrendReading):
                self._readings.append(output)
                if self._sinks.records and self._span.counts(output.window_end):
                    for sink in self._sinks.records:
                        sink.add(output.record())
            else:
                self.alert(output)
        if len(self._readings) >= READINGS_A_BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over the trend points that wait."""
        if self._readings and (self._sinks.points or self._sinks.timeline):
            self.points(columns(self._readings))
        self._readings.clear()

    def points(self, points: Columns) -> None:
        """Trend points, in order: the timeline sees all, the others those of the range."""
        if self._timeline is None and self._sinks.timeline is not None:
            begins = self._result.counts.begins_at_ms
            from_ms = self._span.from_ms if self._span.from_ms is not None else begins
            self._timeline = self._sinks.timeline(from_ms or 0)
        if self._timeline is not None:
            self._timeline.add(points)
        if self._span.from_ms is not None:
            counted = np.flatnonzero(np.asarray(points["window_end"]) >= self._span.from_ms)
            if not len(counted):
                return
            if len(counted) < len(points["window_end"]):
                points = taken(points, counted)
        for sink in self._sinks.points:
            sink.add(points)

    def alert(self, alert: Alert) -> None:
        """An alert."""
        if not self._span.counts(alert.detected_at):
            if alert.state is AlertState.FIRING:
                self._firing.add(alert.id)
            else:
                self._firing.discard(alert.id)
            self._result.open_at_start = len(self._firing)
            return
        self.alerts.append(alert)
        for sink in self._sinks.records:
            sink.add(alert)


def result_of(
    run: Pass,
    span: Span,
    config: WatchConfig,
    *,
    source: str,
    events: Sequence[TruthEvent] | None,
    notes: Sequence[str] = (),
    sweep: tuple[SweepPoint, ...] | None = None,
    timings: dict[str, float] | None = None,
) -> ReplayResult:
    """All that a pass found, judged."""
    covered = run.range_of(span)
    inside = None if events is None else within(events, covered.from_ms, covered.until_ms)
    judged = figures(run.alerts, inside, subjects=len(config.subjects), days=covered.days)
    counts = run.counts
    return ReplayResult(
        range=covered,
        messages=counts.messages,
        mentions=counts.mentions,
        unmatched=counts.unmatched,
        unscored=counts.unscored,
        dead_letters=counts.dead_letters,
        rejected=counts.rejected,
        alerts=run.alerts,
        events=inside,
        verdict=judged.verdict,
        event_figures=judged.events,
        delays_minutes=judged.delays_minutes,
        precision=judged.precision,
        alerts_per_subject_month=judged.alerts_per_subject_month,
        alerts_per_event=judged.alerts_per_event,
        messages_per_second=counts.read / run.seconds if run.seconds else 0.0,
        models=dict(sorted(counts.models.items())),
        notes=(*notes, *_notes(run, span, covered, events, config)),
        rules=config.rules,
        subjects=config.subjects,
        source=source,
        sweep=sweep,
        partial=run.interrupted,
        timings=timings or {},
    )


def _notes(
    run: Pass,
    span: Span,
    covered: ReplayRange,
    events: Sequence[TruthEvent] | None,
    config: WatchConfig,
) -> list[str]:
    """What a reader must know to trust the figures."""
    counts, notes = run.counts, []
    if run.interrupted:
        notes.append(f"Interrupted: it ends at {format_instant(covered.until_ms)}.")
    start_ms, begins = span.start_ms, counts.begins_at_ms
    if begins is None:
        notes.append("The log holds no message in this range.")
    elif start_ms is not None and begins > start_ms + HOUR_MS:
        notes.append(
            f"The log begins at {format_instant(begins)}, later than the warm-up asked for "
            f"({format_instant(start_ms)}): baselines knew only what came since."
        )
    if span.from_ms is None:
        notes.append("Without --from there is no warm-up: baselines start from the prior.")
    if run.open_at_start:
        notes.append(
            f"{run.open_at_start} alerts that fired in the warm-up were still firing when the "
            "range began; only their later revisions are listed."
        )
    if len(counts.models) > 1:
        notes.append("More than one model scored these mentions.")
    if counts.unscored:
        notes.append(f"{counts.unscored:,} mentions are unscored: the classifier failed on them.")
    if counts.rejected or counts.dead_letters:
        left_out = counts.rejected + counts.dead_letters
        notes.append(f"{left_out:,} records could not be read and are left out.")
    if events is not None:
        outside = len(events) - len(within(events, covered.from_ms, covered.until_ms))
        if outside:
            notes.append(f"{outside} events lie outside the range and are not judged.")
        unknown = sorted({event.subject for event in events} - set(config.subjects))
        if unknown:
            notes.append(f"Events of subjects not on the watchlist: {', '.join(unknown)}.")
    return notes
