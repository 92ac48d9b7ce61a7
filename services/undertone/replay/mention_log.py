"""Mentions of a source as packed lines in the store, read back many times faster than validated.

A line is a JSON array: the fields of a mention in the order of FIELDS after its partition, or
`[partition, clock]` where the clock has come to `clock` milliseconds. The store is our own file, so
what it holds was validated when it was written.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson

from undertone.records import Kind, Mention, MentionStatus, RawPosition
from undertone.replay.steps import Advance, Counts, Source, Step, clock_at
from undertone.replay.store import Store

LINES_A_CHUNK = 5_000
_ALL_FIELDS = tuple(Mention.model_fields)
_RAW = _ALL_FIELDS.index("raw")
FIELDS = tuple(name for name in _ALL_FIELDS if name != "raw")
_KINDS = {kind.value: kind for kind in Kind}
_STATUSES = {status.value: status for status in MentionStatus}
_values_of = attrgetter(*FIELDS)
_set = object.__setattr__
_FIELDS_SET = frozenset(_ALL_FIELDS)
_RAW_SET = frozenset(("topic", "partition", "offset"))


def encode_mention(partition: int, mention: Mention) -> bytes:
    """One mention as a line."""
    raw = mention.raw
    # A copy: what orjson returns keeps its whole buffer alive.
    return bytes(
        memoryview(
            orjson.dumps([partition, raw.topic, raw.partition, raw.offset, *_values_of(mention)])
        )
    )


def decode_line(line: bytes) -> Step:
    """The reverse of `encode_mention`, or a step of the clock."""
    values: list[Any] = orjson.loads(line)
    if len(values) == 2:
        return Step(values[0], clock_at(values[1]))
    partition, topic, raw_partition, offset = values[:4]
    raw: RawPosition = RawPosition.__new__(RawPosition)
    _fill(raw, {"topic": topic, "partition": raw_partition, "offset": offset}, _RAW_SET)
    values.insert(4 + _RAW, raw)
    fields = dict(zip(_ALL_FIELDS, values[4:], strict=True))
    fields["kind"] = _KINDS[fields["kind"]]
    fields["status"] = _STATUSES[fields["status"]]
    mention: Mention = Mention.__new__(Mention)
    _fill(mention, fields, _FIELDS_SET)
    return Step(partition, mention)


def _fill(model: Any, fields: dict[str, Any], names: frozenset[str]) -> None:
    """What pydantic's own `model_construct` sets, without its loop over the fields."""
    _set(model, "__dict__", fields)
    _set(model, "__pydantic_fields_set__", names)
    _set(model, "__pydantic_extra__", None)
    _set(model, "__pydantic_private__", None)


class LogWriter:
    """Writes steps into the store as they pass."""

    def __init__(self, store: Store, identity: str) -> None:
        self._store = store
        self.log = store.begin_log(identity)
        self.finished = False
        self._lines: list[bytes] = []
        self._chunk = 0
        self._clocks: dict[int, int] = {}

    def mention(self, partition: int, mention: Mention) -> None:
        """Append a mention, after the clock that it was given at."""
        self._flush_clock(partition)
        self._append(encode_mention(partition, mention))

    def clock(self, partition: int, instant_ms: int) -> None:
        """Note how far the clock has come; only the last before a mention is written."""
        self._clocks[partition] = instant_ms

    def finish(self, counts: Counts) -> None:
        """Make the log complete."""
        for partition in sorted(self._clocks):
            self._flush_clock(partition)
        self._write()
        self._store.finish_log(self.log, counts_as_json(counts))
        self.finished = True

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._store.drop_log(self.log)

    def _flush_clock(self, partition: int) -> None:
        instant_ms = self._clocks.pop(partition, None)
        if instant_ms is not None:
            self._append(orjson.dumps([partition, instant_ms]))

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= LINES_A_CHUNK:
            self._write()

    def _write(self) -> None:
        if self._lines:
            self._store.add_chunk(self.log, self._chunk, self._lines)
            self._chunk += 1
            self._lines.clear()


class StoredLog:
    """A source that reads a complete log of the store."""

    def __init__(self, store: Store, log: int, summary: dict[str, Any], name: str) -> None:
        self.name = name
        self.identity = None
        self.log, self.store, self.summary = log, store, summary
        self._done, self._total = 0, store.chunks(log)

    def steps(self, counts: Counts) -> Generator[Step, None, None]:
        """Every step of the log; its counts are known at once."""
        self.count(counts)
        for number, lines in self.store.lines(self.log):
            for line in lines:
                yield decode_line(line)
            self._done = number + 1

    def count(self, counts: Counts) -> None:
        """Fill in the counts of the whole log."""
        counts_from_json(counts, self.summary)

    def advance_to_next(self) -> None:
        """Somebody else has read a chunk."""
        self._done += 1

    def advance(self) -> Advance:
        """In chunks."""
        return Advance(self._done, self._total)


@dataclass(frozen=True)
class Recalled:
    """What to read for a source: its stored log, else the source itself with a writer beside it."""

    source: Source
    writer: LogWriter | None
    stored: StoredLog | None

    @property
    def log(self) -> int:
        """The number of the log that is read or written: there is one where it was to be kept."""
        kept = self.writer or self.stored
        assert kept is not None
        return kept.log

    def finish(self, counts: Counts) -> None:
        """Everything was read: a log that was written is complete."""
        if self.writer is not None:
            self.writer.finish(counts)


@contextmanager
def recall(source: Source, store: Store, *, keep: bool) -> Iterator[Recalled]:
    """The source's mentions if they are stored, else a writer for those that will be read.

    `keep` asks for a log, to be read again within the context, even of a source without identity.
    What was not finished is dropped at the end.
    """
    identity = source.identity
    found = store.find_log(identity) if identity is not None else None
    if found is not None:
        stored = StoredLog(store, *found, name=source.name)
        yield Recalled(stored, None, stored)
        return
    if identity is None and not keep:
        yield Recalled(source, None, None)
        return
    writer = LogWriter(store, identity or f"passing {uuid.uuid4()}")
    try:
        yield Recalled(source, writer, None)
    finally:
        if identity is None or not writer.finished:
            writer.abandon()


def counts_as_json(counts: Counts) -> dict[str, Any]:
    """Counts as the summary of a log."""
    return {
        name: dict(value) if name == "models" else value
        for name in Counts.__dataclass_fields__
        for value in (getattr(counts, name),)
    }


def counts_from_json(counts: Counts, summary: dict[str, Any]) -> None:
    """The reverse, into `counts`."""
    for name, value in summary.items():
        if name == "models":
            counts.models.update(value)
        else:
            setattr(counts, name, value)
