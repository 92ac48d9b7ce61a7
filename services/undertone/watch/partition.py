"""One mentions partition in memory: its cursor and the core that stands at it. No I/O here.

`take` applies a batch to the core, record by record in log order, and returns all that has to be
written. Nothing of it counts until `advance`: after a batch that was dropped, `reload` puts the
core back to what the table holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from undertone.errors import RecordError, StateError
from undertone.records import Alert, DeadLetter, Mention, Progress, TrendPoint
from undertone.transport.codec import decode_watch_record
from undertone.transport.dead_letters import dead_letter
from undertone.trends.points import TrendReading
from undertone.watch.changelog import CURSOR_KEY, Change, Entries, stored_state
from undertone.watch.cursor import REBUILD, Cursor, Log, Verdict, judge

Output = Alert | TrendPoint


class Core(Protocol):
    """What the shell needs of `undertone.watch.core.Watch`."""

    @property
    def complete_until(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def expected(self) -> Mapping[str, int]: ...
    @property
    def clock_ms(self) -> int | None: ...
    @property
    def skipped(self) -> int: ...
    def restore(
        self,
        parts: Mapping[str, bytes],
        complete_until: Mapping[str, Mapping[int, int]],
        expected: Mapping[str, int],
    ) -> None: ...
    def apply(self, record: Mention | Progress) -> Sequence[Output | TrendReading]: ...
    def take_changes(self) -> dict[str, bytes | None]: ...
    def open_alerts(self) -> list[Alert]: ...


CoreFactory = Callable[[], Core]


class LogRecord(NamedTuple):
    """A record of the mentions topic as it was read."""

    offset: int
    value: bytes | None


@dataclass
class Batch:
    """All that follows from some records of one partition, to be written before they are acked."""

    cursor: Cursor
    outputs: list[Output] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)  # but those that the core skipped
    dead_letters: list[DeadLetter] = field(default_factory=list)
    changes: dict[str, bytes | None] = field(default_factory=dict)
    applied: int = 0
    ahead: bool = False  # something was missing: go back to the cursor

    def cursor_change(self) -> Change:
        """The cursor's own record, the last to be written."""
        return Change(CURSOR_KEY, self.cursor.to_json(), self.cursor.offset)


class _CoreFaultError(Exception):
    """The core broke on a record (a bug, or a record no decoder could foresee)."""

    def __init__(self, offset: int, error: Exception) -> None:
        super().__init__(offset)
        self.offset = offset
        self.error = error


class WatchedPartition:
    """The watcher of one mentions partition, as the table holds it and as the log moves it on."""

    def __init__(
        self, partition: int, log: Log, entries: Entries, new_core: CoreFactory, begin: int
    ) -> None:
        """Build the core from the table; `begin` is where a first start begins.

        Raises StateError where the table's state cannot be read.
        """
        self.partition = partition
        self.log = log
        self._entries = entries
        self._new_core = new_core
        self._begin = begin
        self.core, self.cursor = self._load()

    def reload(self) -> None:
        """Forget what the table does not hold."""
        self.core, self.cursor = self._load()

    def take_up(self, new_core: CoreFactory) -> None:
        """Go on with cores of another kind (other rules, another watchlist), between two batches.

        What the table holds is read anew: so it is, by construction, as after a restart.
        """
        self._new_core = new_core
        self.reload()

    def _load(self) -> tuple[Core, Cursor]:
        cursor, parts = stored_state(self._entries, self.partition)
        cursor = cursor or Cursor.at(self._begin, self.log)
        core = self._new_core()
        try:
            core.restore(parts, cursor.complete_until, cursor.expected)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(
                f"{self.log.mentions}, partition {self.partition}: the watcher's state was written"
                f" by another version: {error!r}",
                hint=REBUILD,
            ) from error
        return core, cursor

    def take(self, records: Sequence[LogRecord], now_ms: int) -> Batch:
        """Apply records to the core and return what has to be written; `now_ms` dates dead letters.

        A record that breaks the core becomes a dead letter, and leaves no trace in the state: the
        core is built anew from the table and the batch applied without it.
        """
        broken: dict[int, Exception] = {}
        while True:
            try:
                return self._attempt(records, now_ms, broken)
            except _CoreFaultError as fault:
                broken[fault.offset] = fault.error
                self.reload()

    def _attempt(
        self, records: Sequence[LogRecord], now_ms: int, broken: Mapping[int, Exception]
    ) -> Batch:
        offset = self.cursor.offset
        batch = Batch(self.cursor)
        for record in records:
            verdict = judge(offset, record.offset)
            if verdict is Verdict.APPLY:
                self._apply(record, batch, now_ms, broken.get(record.offset))
                offset += 1
                batch.applied += 1
            elif verdict is Verdict.AHEAD:
                batch.ahead = True
        if batch.applied:
            batch.cursor = Cursor.at(offset, self.log, self.core.complete_until, self.core.expected)
            batch.changes = self.core.take_changes()
        return batch

    def _apply(self, record: LogRecord, batch: Batch, now_ms: int, known: Exception | None) -> None:
        """Apply one record; one that cannot be read, or is known to break the core, is kept."""
        error: Exception | None = known
        if error is None:
            try:
                decoded = decode_watch_record(record.value)
            except RecordError as unreadable:
                error = unreadable
        if error is not None:
            batch.dead_letters.append(
                dead_letter(
                    record.value,
                    self.log.mentions,
                    self.partition,
                    record.offset,
                    error if isinstance(error, RecordError) else repr(error),
                    "watch",
                    now_ms,
                )
            )
            return
        skipped_before = self.core.skipped
        try:
            batch.outputs.extend(
                output.record() if isinstance(output, TrendReading) else output
                for output in self.core.apply(decoded)
            )
        except (MemoryError, OSError):  # the environment's fault, not the record's
            raise
        except Exception as fault:
            raise _CoreFaultError(record.offset, fault) from fault
        if isinstance(decoded, Mention) and self.core.skipped == skipped_before:
            batch.mentions.append(decoded)

    def advance(self, batch: Batch) -> None:
        """The batch is written: the cursor stands behind it."""
        self.cursor = batch.cursor
