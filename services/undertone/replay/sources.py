"""History that is yet to be read and scored: files, raw topics."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import orjson
import xxhash
from kafka import TopicPartition

from undertone import __version__
from undertone.errors import InputFileError
from undertone.field_mapping import mapping_for
from undertone.ingest.planning import Arrival, arrivals_of, in_arrival_order
from undertone.ingest.readers import Reject, merge_by_id, read_rows
from undertone.records import Kind
from undertone.replay.kafka_log import MergedLog, Offsets, bounds, partitions_of
from undertone.replay.reading import RawSteps
from undertone.replay.steps import Advance, Counts, Span, Step
from undertone.scoring.pipeline import RawRecord
from undertone.settings import FieldMapping, KafkaSettings, RawTopic
from undertone.transport.clients import consumer

# Changes where the same bytes give other mentions: it is part of what is kept of a source.
READING_VERSION = 2
FILES = "files"
_READ_BYTES = 1 << 20

Fields = Mapping[str, Mapping[str, FieldMapping]]


def file_topic(files: Sequence[Path]) -> RawTopic:
    """The topic that stands for files: the name of the only one, else `files`."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in files[0].name)[:200]
    usable = len(files) == 1 and name.isascii()
    return RawTopic(name=name if usable else FILES, kind=Kind.OTHER, clock="recorded", partitions=1)


class FileSource:
    """Files as `ingest` reads them; a message arrives at `arrived_at`, else after a delay."""

    def __init__(
        self,
        files: Sequence[Path],
        reading: RawSteps,
        fields: Fields,
        span: Span,
        *,
        delay_ms: int = 0,
        format: Literal["jsonl", "csv"] | None = None,
        merge: bool = False,
        reading_identity: str,
        on_reject: Callable[[Reject], None] = lambda _reject: None,
    ) -> None:
        """`reading_identity` names all that decides how a message is read and scored."""
        self.files = tuple(files)
        self.topic = file_topic(files)
        self.name = ", ".join(file.name for file in files)
        self._reading, self._fields, self._span = reading, fields, span
        self._delay_ms, self._format, self._merge = delay_ms, format, merge
        self._reading_identity = reading_identity
        self._on_reject = on_reject
        self._open: list[BinaryIO] = []
        self._total = sum(_size(file) for file in files)
        self._finished = False

    @property
    def identity(self) -> str | None:
        """A digest of the files' bytes and of all that decides how they are read."""
        parts: list[object] = [READING_VERSION, __version__, self._reading_identity]
        for file in self.files:
            mapping = mapping_for(file.name, self._fields)
            described = {name: rule.model_dump() for name, rule in sorted(mapping.items())}
            parts += [file.name, _content_digest(file), described]
        span = self._span
        parts += [self._delay_ms, self._format, self._merge, span.from_ms, span.until_ms]
        parts.append(span.warm_up_ms)
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()

    def steps(self, counts: Counts) -> Generator[Step, None, None]:
        """Rows → arrivals in order of time → mentions."""
        with ExitStack() as stack:
            streams = [in_arrival_order(self._arrivals(stack, file, counts)) for file in self.files]
            ordered = heapq.merge(*streams, key=lambda arrival: arrival.at_ms)
            yield from self._reading.steps(self._records(ordered), counts)
        self._finished = True

    def advance(self) -> Advance:
        """In bytes of the files."""
        if self._finished:
            return Advance(self._total, self._total)
        return Advance(sum(file.tell() for file in self._open if not file.closed), self._total)

    def _arrivals(self, stack: ExitStack, path: Path, counts: Counts) -> Iterator[Arrival]:
        try:
            file = cast(BinaryIO, stack.enter_context(path.open("rb")))
        except OSError as error:
            raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
        self._open.append(file)
        mapping = mapping_for(path.name, self._fields)
        rows = read_rows(file, path.name, mapping, format=self._format)

        def reject(row: Reject) -> None:
            counts.rejected += 1
            self._on_reject(row)

        return arrivals_of(
            merge_by_id(rows) if self._merge else rows,
            reject=reject,
            delay_ms=self._delay_ms,
            from_ms=self._span.start_ms,
            until_ms=self._span.until_ms,
        )

    def _records(self, arrivals: Iterable[Arrival]) -> Iterator[RawRecord]:
        """Offsets are places in the order of arrival: a subject's must ascend."""
        latest_ms = 0
        for offset, arrival in enumerate(arrivals):
            latest_ms = max(latest_ms, arrival.at_ms)
            yield RawRecord(self.topic.name, 0, offset, latest_ms, arrival.value)


class RawTopicSource:
    """Raw topics read in place, merged by arrival."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Sequence[str],
        reading: RawSteps,
        span: Span,
        *,
        begin: Offsets | None = None,
        end: Offsets | None = None,
        reading_identity: str,
    ) -> None:
        """`begin` and `end` are offsets that take the place of the span's times."""
        self.name = ", ".join(topics)
        self._kafka, self._topics, self._reading, self._span = kafka, tuple(topics), reading, span
        self._begin, self._end = begin, end
        self._reading_identity = reading_identity
        self._log: MergedLog | None = None
        self._ranges: dict[TopicPartition, tuple[int, int]] | None = None

    @property
    def identity(self) -> str | None:
        """A digest of the topics' ids, the offsets, and of all that decides how they are read."""
        ids, ranges = self._described()
        parts: list[object] = [READING_VERSION, __version__, self._reading_identity, ids]
        parts += [[place.topic, place.partition, *ranges[place]] for place in sorted(ranges)]
        parts += [self._span.from_ms, self._span.until_ms, self._span.warm_up_ms]
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()

    @property
    def ends(self) -> dict[str, dict[int, int]]:
        """The offsets at which `steps` ends, by topic and partition, once it has begun."""
        ends: dict[str, dict[int, int]] = {}
        for place, (_begin, end) in (self._ranges or {}).items():
            ends.setdefault(place.topic, {})[place.partition] = end
        return ends

    def steps(self, counts: Counts) -> Generator[Step, None, None]:
        """Records → mentions, all for one watcher: subjects are independent of each other."""
        with closing(consumer(self._kafka)) as client:
            if self._ranges is None:
                self._ranges = self._bounds(client)
            self._log = MergedLog(client, self._ranges)
            yield from self._reading.steps(self._wanted(self._log), counts)

    def advance(self) -> Advance:
        """In offsets."""
        return Advance(0, 0) if self._log is None else self._log.advance()

    def _wanted(self, log: MergedLog) -> Iterator[RawRecord]:
        start_ms, until_ms = self._span.start_ms, self._span.until_ms
        for record in log.records():
            if until_ms is not None and record.timestamp_ms >= until_ms:
                log.close_partition(TopicPartition(record.topic, record.partition))
            elif start_ms is None or record.timestamp_ms >= start_ms:
                yield record

    def _described(self) -> tuple[dict[str, str], dict[TopicPartition, tuple[int, int]]]:
        from undertone.transport.clients import admin_client

        with closing(consumer(self._kafka)) as client:
            ranges = self._ranges = self._bounds(client)
        with admin_client(self._kafka) as admin:
            described = admin.describe_topics(list(self._topics))
        return {topic["name"]: str(topic["topic_id"]) for topic in described}, ranges

    def _bounds(self, client: Any) -> dict[TopicPartition, tuple[int, int]]:
        places = partitions_of(client, self._topics)
        return bounds(client, places, start=self._begin or self._span.start_ms, end=self._end)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None


def _content_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()
