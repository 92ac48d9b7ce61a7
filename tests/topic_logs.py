"""What stands on topics of a real broker, and what the watch core makes of a mentions log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builders import written
from undertone.alerting.rules import load_rules
from undertone.records import Alert, Mention, Progress
from undertone.settings import Settings
from undertone.transport.reading import read_to_end
from undertone.watch.core import Watch, WatchConfig
from undertone.watchlist.subjects import load_watchlist


def raw_records(settings: Settings) -> dict[tuple[str, int], list[Any]]:
    """Every record of the raw topics, by topic and partition, in order of offset."""
    records: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for topic in settings.effective_raw_topics:
        for record in read_to_end(settings.kafka, topic.name):
            records[record.topic, record.partition].append(record)
    return records


def values_by_partition(settings: Settings, topic: str) -> dict[int, list[bytes | None]]:
    """Every value of a topic, by partition, in order of offset."""
    values: dict[int, list[bytes | None]] = defaultdict(list)
    for record in read_to_end(settings.kafka, topic):
        values[record.partition].append(record.value)
    return values


def values_of(settings: Settings, topic: str) -> list[bytes]:
    """Every value of a topic."""
    return [record.value for record in read_to_end(settings.kafka, topic)]


def replayed(
    settings: Settings, watchlist: Path, logs: Iterable[Iterable[Mention | Progress]]
) -> tuple[list[bytes], list[bytes]]:
    """The alerts and trend points that the core makes of mentions, a log a partition."""
    config = WatchConfig.of(settings, load_rules(), load_watchlist(watchlist))
    alerts: list[bytes] = []
    trends: list[bytes] = []
    for log in logs:
        watch = Watch(config)
        for record in log:
            for output in written(watch.apply(record)):
                (alerts if isinstance(output, Alert) else trends).append(output.to_json())
    return alerts, trends
