"""What the tests of the watch worker share: processes, mentions, and the state they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from builders import START_MS, mention
from integration.counting_core import counting_settings
from undertone.records import RawPosition
from undertone.settings import Settings
from undertone.transport.clients import consumer
from undertone.transport.reading import committed_of
from undertone.transport.topics import TopicNames
from undertone.watch.changelog import CURSOR_KEY, Entry, changelog_topic, merge, through_of
from undertone.watch.cursor import Cursor
from undertone.watch.worker import open_log

SESSION_SECONDS = 6  # the least that the broker allows
WORKER = Path(__file__).with_name("counting_core.py")


class Scene:
    """A fresh mentions topic, workers with the counting core, and what they have written."""

    def __init__(self, bootstrap: str, prefix: str, log_dir: Path, partitions: int = 4) -> None:
        self.settings: Settings = counting_settings(bootstrap, prefix, partitions)
        self.names = TopicNames(prefix)
        self.log = open_log(self.settings)
        self.sent: Counter[str] = Counter()
        self.workers: list[subprocess.Popen[bytes]] = []
        self._log_dir = log_dir
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
        self._raw_offset = 0

    def start(
        self, *, instance: str = "", session_seconds: int = SESSION_SECONDS
    ) -> subprocess.Popen[bytes]:
        """Start a worker, a static member under `instance`; what it says is kept in a file."""
        arguments = [
            self.settings.kafka.bootstrap,
            self.settings.prefix,
            str(self.settings.mentions_partitions),
            str(session_seconds),
        ]
        with self.output(len(self.workers)).open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, str(WORKER), *arguments],
                stdout=output,
                stderr=output,
                env={**os.environ, **({"COUNTING_CORE_INSTANCE": instance} if instance else {})},
            )
        self.workers.append(worker)
        return worker

    def output(self, worker: int) -> Path:
        return self._log_dir / f"worker-{worker}.log"

    def said(self) -> str:
        """All that the workers have said, for the message of a failed test."""
        return "\n".join(self.output(n).read_text() for n in range(len(self.workers)))

    def send(
        self, mentions: int, *, subjects: int = 60, name: str = "s", excerpt: str | None = None
    ) -> None:
        """Send mentions, of the subjects in turn; the same subjects always to one partition."""
        for _ in range(mentions):
            subject = f"{name}{self._raw_offset % subjects:02d}"
            changes: dict[str, Any] = {"excerpt": excerpt} if excerpt else {}
            raw = RawPosition(
                topic=f"{self.settings.prefix}.raw.news", partition=0, offset=self._raw_offset
            )
            record = mention(
                START_MS + self._raw_offset, self._raw_offset, subject=subject, raw=raw, **changes
            )
            self.send_bytes(subject, record.to_json())
            self._raw_offset += 1
            if not excerpt:
                self.sent[subject] += 1
        self._producer.flush()

    def send_bytes(self, subject: str, value: bytes | None) -> None:
        self._producer.send(self.names.mentions, key=subject.encode(), value=value)

    def flush(self) -> None:
        self._producer.flush()

    @contextmanager
    def sending(self, per_second: int) -> Iterator[None]:
        """Send mentions in the background, as a scorer that never rests."""
        stop = threading.Event()

        def send() -> None:
            while not stop.wait(0.1):
                self.send(per_second // 10)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def state(self) -> tuple[dict[int, Cursor], dict[str, int], dict[str, int]]:
        """The cursors, and what the changelog holds of each subject: count and sum."""
        entries: dict[tuple[int, str], Entry] = {}
        for record in self.read(changelog_topic(self.names)):
            entry = Entry(through_of(record.headers), record.value)
            merge(entries, record.partition, record.key.decode(), entry)
        cursors, counts, sums = {}, {}, {}
        for (partition, key), entry in entries.items():
            if entry.value is None:
                continue
            if key == CURSOR_KEY:
                cursors[partition] = Cursor.from_json(entry.value)
            elif key.endswith("/head"):
                counts[key.partition("/")[0]] = json.loads(entry.value)[0]
            elif "/sum/" in key:
                sums[key.partition("/")[0]] = int(entry.value)
        return cursors, counts, sums

    def read(self, topic: str) -> list[Any]:
        """All records of a topic."""
        with closing(consumer(self.settings.kafka)) as reader:
            parts = [TopicPartition(topic, p) for p in sorted(reader.partitions_for_topic(topic))]
            reader.assign(parts)
            ends = reader.end_offsets(parts)
            records: list[Any] = []
            while any(reader.position(part) < ends[part] for part in parts):
                for batch in reader.poll(timeout_ms=200).values():
                    records.extend(batch)
        return records

    def committed(self) -> dict[int, int]:
        """What the group has committed, by mentions partition."""
        return committed_of(self.settings.kafka, self.names.watch_app, self.names.mentions)

    def commit(self, offsets: dict[int, int]) -> None:
        """Make the group's committed offsets these, while it has no member."""
        group = self.names.watch_app
        with closing(consumer(self.settings.kafka, group_id=group)) as client:
            places = {TopicPartition(self.names.mentions, n): at for n, at in offsets.items()}
            client.assign(list(places))
            client.commit({place: OffsetAndMetadata(at, "", -1) for place, at in places.items()})

    def behind(self) -> int:
        """How many mentions the cursors have not passed yet."""
        cursors, _, _ = self.state()
        with closing(consumer(self.settings.kafka)) as reader:
            parts = [
                TopicPartition(self.names.mentions, p)
                for p in range(self.settings.mentions_partitions)
            ]
            ends = reader.end_offsets(parts)
        return sum(
            end - (cursors[part.partition].offset if part.partition in cursors else 0)
            for part, end in ends.items()
        )

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} took too long\n{self.said()}"
            time.sleep(0.2)

    def wait_until_done(self, *, restarts: int = 0) -> None:
        """Until every mention sent has been applied.

        A supervisor would start workers that ended; here `restarts` times, when none is left.
        """
        most = len(self.workers) + restarts

        def done() -> bool:
            if all(worker.poll() is not None for worker in self.workers):
                assert len(self.workers) < most, self.said()
                self.start()
            return self.behind() == 0

        self.wait(done, "reading all mentions")

    def wait_for(self, worker: int, words: str) -> None:
        """Until a worker has said something."""
        self.wait(lambda: words in self.output(worker).read_text(), f"waiting for {words!r}")

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self._producer.close()


def revisions(scene: Scene) -> dict[str, set[int]]:
    """The revisions of each subject's trend point, and that equal ones say the same."""
    said: dict[tuple[str, int], bytes] = {}
    for record in scene.read(scene.names.trends):
        document = json.loads(record.value)
        key = (document["subject"], document["revision"])
        assert said.setdefault(key, record.value) == record.value
    found: dict[str, set[int]] = {}
    for subject, revision in said:
        found.setdefault(subject, set()).add(revision)
    return found
