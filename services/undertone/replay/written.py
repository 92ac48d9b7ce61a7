"""The report of what services under another prefix have written: replay past one machine.

`score` and `watch` under that prefix are the replay; here nothing is decided, only read: their
alerts, trend points and mentions, each once (a restart repeats identical records).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from undertone.records import Alert, Mention, TrendPoint
from undertone.replay.figures import in_order
from undertone.replay.kafka_log import MergedLog, bounds, partitions_of
from undertone.replay.mentions_source import MentionsSource
from undertone.replay.run import READINGS_A_BATCH, Pass, PointSink, Sinks
from undertone.replay.steps import Advance, Counts, Span
from undertone.scoring.accounting import accounting
from undertone.settings import Settings
from undertone.transport.clients import consumer, ends_of
from undertone.transport.topics import TopicNames
from undertone.trends.points import columns_of_records

RECORDS_A_LOOK = 1_000


def read_written(
    settings: Settings,
    span: Span,
    sinks: Sinks,
    *,
    on_look: Callable[[Advance, Counts], None] = lambda _advance, _counts: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Pass:
    """What the services of the settings' prefix found in the range.

    Without a range the messages are those of the scorers' own accounting; within one, those that
    were about a subject, because only these leave a trace with a time.
    """
    result = Pass()
    started = time.perf_counter()
    looks = _Looks(result, on_look, is_stopped)
    names = TopicNames(settings.prefix)
    if _read_mentions(settings, names, span, sinks, result, looks):
        result.alerts = in_order(list(_alerts(settings, names, span, looks)))
        for alert in result.alerts:
            for sink in sinks.records:
                sink.add(alert)
        _read_trends(settings, names, span, sinks, result, looks)
    result.interrupted = looks.stopped
    if span.from_ms is None and span.until_ms is None:
        _take_accounting(settings, names, result.counts)
    result.seconds = time.perf_counter() - started
    return result


class _Looks:
    """Shows progress and asks for Ctrl-C now and then."""

    def __init__(
        self,
        result: Pass,
        on_look: Callable[[Advance, Counts], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._result, self._on_look, self._is_stopped = result, on_look, is_stopped
        self._records = 0
        self.stopped = False

    def go_on(self, advance: Advance) -> bool:
        """Whether to read the next record."""
        self._records += 1
        if self._records % RECORDS_A_LOOK == 0:
            self._on_look(advance, self._result.counts)
            self.stopped = self.stopped or self._is_stopped()
        return not self.stopped


def _read_mentions(
    settings: Settings, names: TopicNames, span: Span, sinks: Sinks, result: Pass, looks: _Looks
) -> bool:
    """Count the mentions of the range, and learn how far the clock has come."""
    source = MentionsSource(settings.kafka, names.mentions, span)
    with closing(source.steps(result.counts)) as steps:
        for step in steps:
            if not looks.go_on(source.advance()):
                return False
            record = step.record
            if isinstance(record, Mention) and span.counts(record.ingested_at):
                for sink in sinks.records:
                    sink.add(record)
    return True


def _alerts(settings: Settings, names: TopicNames, span: Span, looks: _Looks) -> Iterator[Alert]:
    seen: set[tuple[str, int]] = set()
    for value in _values(settings, names.alerts, looks):
        alert = Alert.from_json(value)
        inside = span.until_ms is None or alert.detected_at < span.until_ms
        if inside and span.counts(alert.detected_at) and (alert.id, alert.revision) not in seen:
            seen.add((alert.id, alert.revision))
            yield alert


def _read_trends(
    settings: Settings, names: TopicNames, span: Span, sinks: Sinks, result: Pass, looks: _Looks
) -> None:
    latest: dict[tuple[str, str, str], int] = {}
    timeline: PointSink | None = None
    if sinks.timeline is not None:
        begins = result.counts.begins_at_ms
        timeline = sinks.timeline((span.from_ms if span.from_ms is not None else begins) or 0)
    waiting: list[TrendPoint] = []

    def flush() -> None:
        if timeline is not None and waiting:
            timeline.add(columns_of_records(waiting))
        counted = [point for point in waiting if span.counts(point.window_end)]
        if counted and sinks.points:
            points = columns_of_records(counted)
            for point_sink in sinks.points:
                point_sink.add(points)
        for point in counted:
            for record_sink in sinks.records:
                record_sink.add(point)
        waiting.clear()

    for value in _values(settings, names.trends, looks):
        point = TrendPoint.from_json(value)
        series = (point.subject, point.kind, point.window)
        # A watcher that restarted repeats points; each series' own go forward in time.
        if point.window_end <= latest.get(series, -1):
            continue
        latest[series] = point.window_end
        if span.until_ms is not None and point.window_end > span.until_ms:
            continue
        waiting.append(point)
        if len(waiting) >= READINGS_A_BATCH:
            flush()
    flush()


def _values(settings: Settings, topic: str, looks: _Looks) -> Iterator[bytes]:
    """The values of a topic up to its present end, partitions side by side."""
    with closing(consumer(settings.kafka)) as client:
        places = partitions_of(client, [topic])
        log = MergedLog(client, bounds(client, places, start=None, end=None))
        for record in log.records():
            if not looks.go_on(log.advance()):
                return
            if record.value is not None:
                yield record.value


def _take_accounting(settings: Settings, names: TopicNames, counts: Counts) -> None:
    """The scorers' own totals of messages."""
    totals = accounting(settings.kafka, names, settings.effective_raw_topics)
    counts.messages = counts.read = totals["messages_in"]
    counts.unmatched = totals["unmatched"]
    counts.dead_letters += totals["dead_letters"]


def unread(settings: Settings, span: Span, counts: Counts) -> Sequence[str]:
    """A note where the services have not come to the end of what is there."""
    if span.until_ms is not None and (counts.clock_ms or 0) < span.until_ms:
        return ["The services have not worked through the whole range yet."]
    names = TopicNames(settings.prefix)
    topics = settings.effective_raw_topics
    committed = accounting(settings.kafka, names, topics)["committed"]
    with closing(consumer(settings.kafka)) as client:
        places = partitions_of(client, [topic.name for topic in topics])
        ends = ends_of(client, places)
    behind = sum(
        max(0, end - committed.get(place.topic, {}).get(place.partition, 0))
        for place, end in ends.items()
    )
    if span.until_ms is None and behind:
        return [f"The scorers have {behind:,} raw records still to read."]
    return []
