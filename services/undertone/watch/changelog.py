"""The watcher's state as it stands in Faust's table and its changelog topic.

Every record of the changelog carries, in a header, the mentions offset that it is applied through
(exclusive: the next offset to apply). For each key the highest wins, wherever it stands in the
log: a worker can go on writing for a partition that it has lost (design §4.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import NamedTuple

from undertone.errors import StateError
from undertone.settings import Settings
from undertone.transport.topics import TopicNames, TopicSpec
from undertone.watch.cursor import REBUILD, Cursor

TABLE = "state"
CURSOR_KEY = "/cursor"  # the key of a state part begins with its subject, never with a slash
THROUGH_HEADER = "through"

# State is written in record batches of up to ATOMIC_BYTES; a subject whose changes are larger
# (a flood of mentions that the clock has not reached) makes a batch of its own, up to the largest.
ATOMIC_BYTES = 8 << 20
LARGEST_BATCH_BYTES = 48 << 20

CHANGELOG_CONFIGS = {
    "max.message.bytes": str(LARGEST_BATCH_BYTES + (1 << 20)),
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": str(15 * 60_000),
    "segment.bytes": str(64 << 20),
    "segment.ms": str(10 * 60_000),
    "min.cleanable.dirty.ratio": "0.1",
}


def changelog_topic(names: TopicNames) -> str:
    """The name that Faust gives the changelog of the table."""
    return f"{names.watch_app}-{TABLE}-changelog"


def changelog_spec(settings: Settings) -> TopicSpec:
    """The changelog topic: as many partitions as the mentions have, fixed for life."""
    name = changelog_topic(TopicNames(settings.prefix))
    return TopicSpec(name, settings.mentions_partitions, CHANGELOG_CONFIGS)


class Entry(NamedTuple):
    """One key's value, applied through a mentions offset; None where the part was deleted."""

    through: int
    value: bytes | None


class Change(NamedTuple):
    """One record to write to the changelog."""

    key: str
    value: bytes | None
    through: int

    def headers(self) -> list[tuple[str, bytes]]:
        return [(THROUGH_HEADER, str(self.through).encode())]


Entries = MutableMapping[tuple[int, str], Entry]


def through_of(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> int:
    """The offset that a changelog record is applied through. Raises StateError without one."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if name == THROUGH_HEADER:
            try:
                return int(value)
            except ValueError:
                break
    raise StateError(
        "the watcher's changelog holds a record that no watcher of this version wrote",
        hint=REBUILD,
    )


def merge(entries: Entries, partition: int, key: str, entry: Entry) -> None:
    """Take in one record: it replaces what is applied through a lower offset, and only that."""
    known = entries.get((partition, key))
    if known is None or entry.through >= known.through:
        entries[partition, key] = entry


def store(entries: Entries, partition: int, changes: Iterable[Change]) -> None:
    """Take in what this worker itself has written; a deleted part needs no memory of it here."""
    for change in changes:
        merge(entries, partition, change.key, Entry(change.through, change.value))
        if change.value is None:
            entries.pop((partition, change.key), None)


def keep_partitions(entries: Entries, partitions: Iterable[int]) -> None:
    """Forget the entries of all other partitions, and the deletions, which have done their work."""
    kept = set(partitions)
    for key, entry in list(entries.items()):
        if key[0] not in kept or entry.value is None:
            del entries[key]


def stored_state(entries: Entries, partition: int) -> tuple[Cursor | None, dict[str, bytes]]:
    """The cursor and the state parts of one partition. Raises StateError."""
    parts = {
        name: entry.value
        for (held, name), entry in entries.items()
        if held == partition and entry.value is not None
    }
    stored = parts.pop(CURSOR_KEY, None)
    if stored is not None:
        return Cursor.from_json(stored), parts
    if parts:
        raise StateError(
            f"the watcher's changelog holds state but no cursor for partition {partition}",
            hint=REBUILD,
        )
    return None, {}


def chunks(
    changes: Mapping[str, bytes | None], limit_bytes: int
) -> Iterator[dict[str, bytes | None]]:
    """Split changed parts so that each chunk fits one record batch; a subject is never split.

    Kafka appends a record batch as a whole or not at all. A part's subject is its key up to the
    first slash. One subject alone may exceed the limit: it then makes a chunk of its own.
    """
    subjects: dict[str, dict[str, bytes | None]] = {}
    for key, value in changes.items():
        subjects.setdefault(key.partition("/")[0], {})[key] = value
    chunk: dict[str, bytes | None] = {}
    size = 0
    for parts in subjects.values():
        added = sum(record_bytes(key, value) for key, value in parts.items())
        if chunk and size + added > limit_bytes:
            yield chunk
            chunk, size = {}, 0
        chunk |= parts
        size += added
    if chunk:
        yield chunk


RECORD_OVERHEAD_BYTES = 64  # lengths, timestamp and header of one record, at most


def record_bytes(key: str, value: bytes | None) -> int:
    """An upper bound of one change's size in a record batch."""
    return len(key.encode()) + len(value or b"") + RECORD_OVERHEAD_BYTES
