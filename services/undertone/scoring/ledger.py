"""What is in flight of one raw partition, and how far all of it is done (design §4.4).

Records are admitted in offset order, finish in any order, are released for sending in offset order
and settle, in offset order again, once everything that they produced is acknowledged. So an offset
to commit never stands above a record that is not done, and totals belong to exactly that offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from undertone.scoring.pipeline import RawRecord


class Outcome(StrEnum):
    """What became of a message."""

    SCORED = "scored"
    UNSCORED = "unscored"
    UNMATCHED = "unmatched"
    DEAD_LETTER = "dead_letter"


class Totals(BaseModel):
    """The running totals of a raw partition up to an offset; the metadata of that offset's commit.

    All but `mentions` and `greatest_ms` count messages, ticks left out; `greatest_ms` is the
    greatest stamp of any record, ticks included.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    read: int = 0
    scored: int = 0
    unscored: int = 0
    unmatched: int = 0
    dead_letters: int = 0
    mentions: int = 0
    greatest_ms: int | None = None

    @classmethod
    def from_metadata(cls, metadata: str | None) -> Totals | None:
        """The totals of a commit; None where somebody else committed."""
        try:
            return cls.model_validate_json(metadata or "")
        except ValidationError:
            return None

    def to_metadata(self) -> str:
        """One short JSON object."""
        return self.model_dump_json(exclude_none=True)


class Outgoing(NamedTuple):
    """A record to send."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int


class Receipt(Protocol):
    """A record on its way to the broker."""

    @property
    def is_done(self) -> bool:
        """Whether the broker acknowledged or refused it."""

    def failed(self) -> bool:
        """Whether it was refused."""


@dataclass(slots=True, eq=False)
class Entry:
    """One admitted record."""

    offset: int
    ingested_at: int
    size_bytes: int
    outcome: Outcome | None = None
    """None until finished, and for a tick."""
    mentions: int = 0
    finished: bool = False
    output: Sequence[Outgoing] = ()
    receipts: Sequence[Receipt] = ()

    def finish(
        self, outcome: Outcome | None, *, mentions: int = 0, output: Sequence[Outgoing] = ()
    ) -> None:
        """Say what became of the record; its output is sent when its turn comes."""
        self.outcome, self.mentions, self.output = outcome, mentions, output
        self.finished = True

    @property
    def acknowledged(self) -> bool:
        """Whether the broker has taken all that came of the record."""
        return all(receipt.is_done and not receipt.failed() for receipt in self.receipts)


class Ledger:
    """One raw partition's records in flight.

    One thread admits and settles; another may finish and release. The two meet only in deques.
    """

    def __init__(self, topic: str, partition: int, next_offset: int, totals: Totals) -> None:
        self.topic, self.partition = topic, partition
        self.next_offset = next_offset
        """Everything below is done: the offset to commit."""
        self.totals = totals
        self.read_offset = next_offset
        """The next offset to admit."""
        self.dropped = False
        """Whether the partition was lost: what is left in flight is no longer wanted."""
        self.in_flight = 0
        self.in_flight_bytes = 0
        self._greatest_ms = totals.greatest_ms
        self._waiting: deque[Entry] = deque()
        self._sent: deque[Entry] = deque()

    def admit(self, record: RawRecord) -> Entry | None:
        """Take a record in; None for one that has been admitted before."""
        if record.offset < self.read_offset:
            return None
        stamp_ms = max(0, record.stamp_ms)
        if self._greatest_ms is None or stamp_ms > self._greatest_ms:
            self._greatest_ms = stamp_ms
        entry = Entry(record.offset, self._greatest_ms, record.size_bytes)
        self.read_offset = record.offset + 1
        self.in_flight += 1
        self.in_flight_bytes += entry.size_bytes
        self._waiting.append(entry)
        return entry

    def next_to_send(self) -> Entry | None:
        """The first record not yet sent, if it is finished; `sent` must follow before the next."""
        return self._waiting[0] if self._waiting and self._waiting[0].finished else None

    def sent(self, receipts: Sequence[Receipt]) -> None:
        """The output of `next_to_send` is on its way (or there was none)."""
        entry = self._waiting[0]
        entry.receipts, entry.output = receipts, ()
        self._sent.append(entry)
        self._waiting.popleft()

    def settle(self) -> list[Entry]:
        """Move past all that is acknowledged; returns the records that are now done."""
        done: list[Entry] = []
        while self._sent and self._sent[0].acknowledged:
            done.append(self._sent.popleft())
        if done:
            self.next_offset = done[-1].offset + 1
            self.totals = _plus(self.totals, done)
            self.in_flight -= len(done)
            self.in_flight_bytes -= sum(entry.size_bytes for entry in done)
        return done

    def skip_to(self, position: int) -> None:
        """Move past offsets that hold no record (compaction, transaction marks).

        `position` is where the consumer reads next; while something is in flight nothing happens.
        """
        if self.in_flight == 0 and position > self.next_offset:
            self.next_offset = self.read_offset = position


def _plus(totals: Totals, done: Sequence[Entry]) -> Totals:
    counts = dict.fromkeys(Outcome, 0)
    for entry in done:
        if entry.outcome is not None:
            counts[entry.outcome] += 1
    return Totals(
        read=totals.read + sum(counts.values()),
        scored=totals.scored + counts[Outcome.SCORED],
        unscored=totals.unscored + counts[Outcome.UNSCORED],
        unmatched=totals.unmatched + counts[Outcome.UNMATCHED],
        dead_letters=totals.dead_letters + counts[Outcome.DEAD_LETTER],
        mentions=totals.mentions + sum(entry.mentions for entry in done),
        greatest_ms=done[-1].ingested_at,
    )
