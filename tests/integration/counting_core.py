"""A watch core that counts mentions by subject, for tests of the shell around it.

Run as a program it is a watch worker: `counting_core.py BOOTSTRAP PREFIX PARTITIONS SESSION`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from itertools import count

from prometheus_client import CollectorRegistry

from undertone.errors import UndertoneError
from undertone.records import Alert, Mention, Progress, TrendPoint
from undertone.reloading import ConfigMetrics, Hangups, Loaded, Reloads
from undertone.settings import KafkaSettings, RawTopic, Settings, WatchSettings
from undertone.watch.partition import CoreFactory
from undertone.watch.worker import quieten_clients, run_worker

BREAKS_CORE = "breaks-the-core"
GIANT, GIANT_BYTES = "giant", 5_000_000  # such a subject has one more part, of this size
STUCK_SECONDS = float(os.environ.get("COUNTING_CORE_STUCK", "120"))
INSTANCE = os.environ.get("COUNTING_CORE_INSTANCE")
EVERY = int(os.environ.get("COUNTING_CORE_EVERY", "1"))  # mentions for each trend point


class CountingCore:
    """Counts the mentions of each subject, in two parts that must agree; writes a trend point each.

    As the true core does, it skips a mention whose raw offset it has applied. The excerpt
    `breaks-the-core` makes it raise after it has changed its state.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.sums: dict[str, int] = {}
        self.applied: dict[str, dict[str, int]] = {}
        self.complete_until: dict[str, dict[int, int]] = {}
        self.expected: dict[str, int] = {}
        self.skipped = 0
        self._changed: set[str] = set()
        self._sum_parts: dict[str, str] = {}

    @property
    def clock_ms(self) -> int | None:
        return None

    def restore(
        self,
        parts: Mapping[str, bytes],
        complete_until: Mapping[str, Mapping[int, int]],
        expected: Mapping[str, int],
    ) -> None:
        for key, value in parts.items():
            subject, _, part = key.partition("/")
            if part == "head":
                self.counts[subject], self.applied[subject] = json.loads(value)
            elif part == "giant":
                assert len(value) == GIANT_BYTES
            else:
                assert subject not in self.sums, f"{key}: a deleted part is back"
                self.sums[subject] = int(value)
                self._sum_parts[subject] = key
        if self.counts != self.sums:
            raise AssertionError(f"torn state: {self.counts} against {self.sums}")
        self.complete_until = {t: dict(m) for t, m in complete_until.items()}
        self.expected = dict(expected)

    def apply(self, record: Mention | Progress) -> list[Alert | TrendPoint]:
        if isinstance(record, Progress):
            self.expected = dict(record.expected)
            for topic, times in record.complete_until.items():
                known = self.complete_until.setdefault(topic, {})
                for partition, instant in times.items():
                    known[partition] = max(instant, known.get(partition, instant))
            return []
        applied = self.applied.setdefault(record.subject, {})
        raw = f"{record.raw.topic}-{record.raw.partition}"
        if record.raw.offset <= applied.get(raw, -1):
            self.skipped += 1
            return []
        applied[raw] = record.raw.offset
        self.counts[record.subject] = self.counts.get(record.subject, 0) + 1
        if record.excerpt == BREAKS_CORE:
            raise ZeroDivisionError("a bug")
        self.sums[record.subject] = self.sums.get(record.subject, 0) + 1
        self._changed.add(record.subject)
        if self.counts[record.subject] % EVERY:
            return []
        return [trend_point(record.subject, self.counts[record.subject], record.ingested_at)]

    def take_changes(self) -> dict[str, bytes | None]:
        changes: dict[str, bytes | None] = {}
        for subject in sorted(self._changed):
            head = [self.counts[subject], self.applied[subject]]
            changes[f"{subject}/head"] = json.dumps(head).encode()
            part = f"{subject}/sum/{self.sums[subject] // 10}"
            changes[self._sum_parts.get(subject, part)] = None
            changes[part] = str(self.sums[subject]).encode()
            self._sum_parts[subject] = part
            if subject.startswith(GIANT):
                changes[f"{subject}/giant"] = b"x" * GIANT_BYTES
        self._changed.clear()
        return changes

    def open_alerts(self) -> list[Alert]:
        return []


def trend_point(subject: str, mentions: int, window_end: int) -> TrendPoint:
    zero = dict.fromkeys(
        [
            f"{what}_{signal}"
            for what in ("expected", "surprise")
            for signal in ("volume", "negative_volume", "negative_share", "mean_score")
        ],
        0.0,
    )
    return TrendPoint(
        subject=subject,
        kind="all",
        window="5m",
        window_end=window_end,
        mentions=mentions,
        stories=mentions,
        negative=0,
        neutral=mentions,
        positive=0,
        unscored=0,
        mean_score=0.0,
        negative_share=0.0,
        late=0,
        revision=mentions,
        **zero,
    )


def counting_settings(bootstrap: str, prefix: str, partitions: int) -> Settings:
    """The settings of a worker of this module: one raw topic with one recorded partition."""
    return Settings(
        prefix=prefix,
        kafka=KafkaSettings(bootstrap=bootstrap),
        raw_topics=(RawTopic(name=f"{prefix}.raw.news", clock="recorded", partitions=1),),
        mentions_partitions=partitions,
        watch=WatchSettings(instance_id=INSTANCE),
    )


def main() -> int:
    bootstrap, prefix, partitions, session_seconds = sys.argv[1:5]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("undertone").setLevel(logging.INFO)
    quieten_clients(verbose=len(sys.argv) > 5)
    versions = count(1)

    def load() -> Loaded[CoreFactory]:
        return Loaded(CountingCore, {"rules": str(next(versions))})

    reloads = Reloads(load, ConfigMetrics(CollectorRegistry(), time.time), Hangups().take)
    try:
        run_worker(
            counting_settings(bootstrap, prefix, int(partitions)),
            reloads.running,
            reloads=reloads,
            session_timeout_seconds=float(session_seconds),
            stuck_seconds=STUCK_SECONDS,
        )
    except UndertoneError as error:
        print(f"undertone: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
