"""A whole replay: read or recall, run, sweep, judge, write. What the command line asks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from undertone.errors import InputFileError
from undertone.replay.figures import within
from undertone.replay.mention_log import Recalled, recall
from undertone.replay.openmetrics import OpenMetricsFile
from undertone.replay.overlays import Overlay
from undertone.replay.report import write_report
from undertone.replay.result import ReplayResult, SweepPoint
from undertone.replay.run import Pass, RecordSink, Sinks, replay, result_of
from undertone.replay.shared import replay_shared
from undertone.replay.steps import Advance, Counts, Source, Span
from undertone.replay.store import Store
from undertone.replay.sweep import judged_points, run_sweep
from undertone.replay.sweep_grid import Choice, write_rules
from undertone.replay.timeline import Timeline
from undertone.replay.trends_file import TrendsFile
from undertone.replay.written import read_written, unread
from undertone.settings import Settings
from undertone.truth import TruthEvent
from undertone.watch.core import WatchConfig

# A process takes a second to start: a log of fewer chunks is read sooner by one alone, and who
# writes the files cannot keep up with many.
CHUNKS_TO_SHARE = 6
MOST_WORKERS = 6


@dataclass(frozen=True)
class Order:
    """What is to be replayed and written; `out` is a folder."""

    span: Span
    config: WatchConfig
    out: Path
    events: Sequence[TruthEvent] | None = None
    overlays: Sequence[Overlay] = ()
    openmetrics: Path | None = None
    sweep: Sequence[Choice] = ()
    workers: int | None = None


@dataclass(frozen=True)
class Watching:
    """How somebody looks on, and stops it: nothing by default."""

    on_look: Callable[[str, Advance, Counts], None] = lambda _what, _advance, _counts: None
    is_stopped: Callable[[], bool] = lambda: False


@dataclass
class _Desk:
    """The folder that a replay writes into, and its open files."""

    order: Order
    timeline: Timeline | None = None
    sinks: Sinks = field(default_factory=Sinks)

    def open(self, stack: ExitStack) -> None:
        """Create the folder and the files that are written as the replay goes."""
        order = self.order
        try:
            order.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputFileError(f"--out {order.out}: {error.strerror}") from None
        # At once: hours later is late to learn that they cannot be written.
        for choice in order.sweep:
            write_rules(order.out / choice.rules_file, choice.rules)
        records: list[RecordSink] = []
        if order.openmetrics is not None:
            file = OpenMetricsFile(
                order.openmetrics, allowed_lateness_ms=order.config.allowed_lateness_ms
            )
            records.append(stack.enter_context(file))
        points = [stack.enter_context(TrendsFile(order.out / "trends.parquet"))]
        self.sinks = Sinks(self._begin_timeline, points, records)

    def _begin_timeline(self, from_ms: int) -> Timeline:
        order = self.order
        self.timeline = Timeline(order.config.subjects, from_ms, order.span.until_ms)
        return self.timeline

    def write(self, result: ReplayResult) -> None:
        """The rest: report.html, report.json, alerts.jsonl."""
        out = self.order.out
        timeline = self.timeline or self._begin_timeline(result.range.from_ms)
        try:
            with (out / "alerts.jsonl").open("wb") as file:
                file.writelines(alert.to_json() + b"\n" for alert in result.alerts)
            document = orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2)
            (out / "report.json").write_bytes(document + b"\n")
        except OSError as error:
            raise InputFileError(f"{out}: cannot be written: {error.strerror}") from None
        write_report(out / "report.html", result, timeline, self.order.overlays)


def replay_source(
    source: Source, store: Store, order: Order, watching: Watching | None = None
) -> ReplayResult:
    """Replay a source: its mentions come from the store where it holds them already."""
    watching = watching or Watching()
    desk = _Desk(order)
    timings: dict[str, float] = {}
    with recall(source, store, keep=bool(order.sweep)) as recalled:
        with ExitStack() as stack:
            desk.open(stack)
            run = _pass(recalled, order, desk.sinks, watching)
        timings["replay"] = run.seconds
        if not run.interrupted:
            recalled.finish(run.counts)
        points = None
        if order.sweep:
            started = time.perf_counter()
            points = _sweep(order, run, store, recalled.log, watching)
            timings["sweep"] = time.perf_counter() - started
    notes = []
    if recalled.stored is not None:
        notes.append("Mentions were read and scored before; they come from the store.")
    result = result_of(
        run,
        order.span,
        order.config,
        source=source.name,
        events=order.events,
        notes=notes,
        sweep=points,
        timings=timings,
    )
    desk.write(result)
    return result


def _pass(recalled: Recalled, order: Order, sinks: Sinks, watching: Watching) -> Pass:
    """One pass over the source: by several processes where all that it needs is in the store."""

    def on_look(advance: Advance, counts: Counts) -> None:
        watching.on_look("replay", advance, counts)

    workers = order.workers or os.cpu_count() or 1
    stored = recalled.stored
    if stored is None or sinks.records or workers < 2 or stored.advance().total < CHUNKS_TO_SHARE:
        return replay(
            recalled.source,
            order.config,
            order.span,
            sinks,
            log=recalled.writer,
            on_look=on_look,
            is_stopped=watching.is_stopped,
        )
    return replay_shared(
        stored,
        order.config,
        order.span,
        sinks,
        workers=min(workers, MOST_WORKERS),
        on_look=on_look,
        is_stopped=watching.is_stopped,
    )


def _sweep(
    order: Order, run: Pass, store: Store, log: int, watching: Watching
) -> tuple[SweepPoint, ...]:
    if run.interrupted:
        return ()

    def on_look(share: float) -> None:
        watching.on_look("sweep", Advance(round(100 * share), 100), run.counts)

    on_look(0.0)
    found = run_sweep(
        order.sweep,
        store.path,
        log,
        order.config,
        order.span,
        workers=order.workers,
        on_look=on_look,
        is_stopped=watching.is_stopped,
    )
    run.interrupted = run.interrupted or len(found) < len(order.sweep)
    covered = run.range_of(order.span)
    events = order.events
    inside = None if events is None else within(events, covered.from_ms, covered.until_ms)
    return judged_points(order.sweep, found, covered, inside, len(order.config.subjects))


def report_written(
    settings: Settings, order: Order, watching: Watching | None = None
) -> ReplayResult:
    """The report of what the services under the settings' prefix have written."""
    watching = watching or Watching()
    desk = _Desk(order)
    with ExitStack() as stack:
        desk.open(stack)
        run = read_written(
            settings,
            order.span,
            desk.sinks,
            on_look=lambda advance, counts: watching.on_look("read", advance, counts),
            is_stopped=watching.is_stopped,
        )
    notes = [
        f"Found by the services under the prefix {settings.prefix}.",
        *unread(settings, order.span, run.counts),
    ]
    result = result_of(
        run,
        order.span,
        order.config,
        source=f"prefix {settings.prefix}",
        events=order.events,
        notes=notes,
    )
    desk.write(result)
    return result
