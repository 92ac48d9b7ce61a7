"""A partition's records are sent and committed in offset order, in whatever order they finish."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from undertone.scoring.ledger import Entry, Ledger, Outcome, Outgoing, Totals
from undertone.scoring.pipeline import RawRecord
from undertone.transport.codec import tick_headers


@dataclass
class Sent:
    """A record on its way."""

    is_done: bool = False
    refused: bool = False

    def failed(self) -> bool:
        return self.refused


def record(offset: int, stamp_ms: int = 1000, *, tick: bool = False) -> RawRecord:
    if tick:
        return RawRecord("t", 0, offset, 0, None, tick_headers(stamp_ms))
    return RawRecord("t", 0, offset, stamp_ms, b"{}")


def ledger(next_offset: int = 0, totals: Totals | None = None) -> Ledger:
    return Ledger("t", 0, next_offset, totals or Totals())


def admitted(book: Ledger, *records: RawRecord) -> list[Entry]:
    entries = [book.admit(each) for each in records]
    assert None not in entries
    return [entry for entry in entries if entry is not None]


def test_a_stamp_below_its_predecessors_is_raised_to_it() -> None:
    book = ledger(totals=Totals(greatest_ms=1500))
    entries = admitted(book, record(0, 1000), record(1, 2000), record(2, 1700))
    assert [entry.ingested_at for entry in entries] == [1500, 2000, 2000]


def test_a_tick_raises_stamps_but_is_no_message() -> None:
    book = ledger()
    tick, message = admitted(book, record(0, 5000, tick=True), record(1, 1000))
    tick.finish(None)
    message.finish(Outcome.UNMATCHED)
    while book.next_to_send():
        book.sent([])
    book.settle()
    assert message.ingested_at == 5000
    assert book.totals == Totals(read=1, unmatched=1, greatest_ms=5000)
    assert book.next_offset == 2


def test_nothing_is_sent_before_its_turn() -> None:
    book = ledger()
    first, second = admitted(book, record(0), record(1))
    second.finish(Outcome.UNMATCHED)
    assert book.next_to_send() is None
    first.finish(Outcome.UNMATCHED)
    assert book.next_to_send() is first


def test_a_refused_record_is_never_passed() -> None:
    book = ledger()
    first, second = admitted(book, record(0), record(1))
    for entry in (first, second):
        entry.finish(Outcome.SCORED, mentions=1)
        book.sent([Sent(is_done=True, refused=entry is first)])
    assert book.settle() == []
    assert book.next_offset == 0


def test_a_record_delivered_twice_is_admitted_once() -> None:
    book = ledger(5)
    assert book.admit(record(4)) is None
    assert book.admit(record(5)) is not None
    assert book.admit(record(5)) is None


def test_offsets_without_records_are_passed_only_when_nothing_is_in_flight() -> None:
    book = ledger()
    (entry,) = admitted(book, record(3))
    book.skip_to(9)
    assert book.next_offset == 0
    entry.finish(Outcome.UNMATCHED)
    book.sent([])
    book.settle()
    book.skip_to(9)
    assert (book.next_offset, book.in_flight, book.in_flight_bytes) == (9, 0, 0)


@given(st.builds(Totals, read=st.integers(0), greatest_ms=st.none() | st.integers()))
def test_totals_survive_their_commit(totals: Totals) -> None:
    assert Totals.from_metadata(totals.to_metadata()) == totals
    assert len(totals.to_metadata()) < 4096


@pytest.mark.parametrize("metadata", [None, "", "kafka-console-consumer", "[1]", '{"read":"x"}'])
def test_somebody_elses_metadata_is_not_taken_for_totals(metadata: str | None) -> None:
    assert Totals.from_metadata(metadata) is None


class LedgerMachine(RuleBasedStateMachine):
    """Admits, finishes, sends, acknowledges and settles in any order, beside a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.book = ledger(10)
        self.entries: list[Entry] = []
        self.outcomes: dict[int, Outcome | None] = {}
        self.sent_offsets: list[int] = []
        self.receipts: dict[int, list[Sent]] = {}

    @rule(gap=st.integers(0, 2), tick=st.booleans())
    def admit(self, gap: int, tick: bool) -> None:
        entry = self.book.admit(record(self.book.read_offset + gap, tick=tick))
        assert entry is not None
        self.entries.append(entry)

    @precondition(lambda self: any(not entry.finished for entry in self.entries))
    @rule(data=st.data(), outcome=st.sampled_from([*Outcome, None]), count=st.integers(0, 3))
    def finish(self, data: st.DataObject, outcome: Outcome | None, count: int) -> None:
        entry = data.draw(st.sampled_from([each for each in self.entries if not each.finished]))
        output = [Outgoing("m", 0, b"k", b"v", 0)] * count
        entry.finish(outcome, mentions=count, output=output)
        self.outcomes[entry.offset] = outcome

    @rule()
    def send(self) -> None:
        entry = self.book.next_to_send()
        if entry is not None:
            self.sent_offsets.append(entry.offset)
            self.receipts[entry.offset] = [Sent() for _ in entry.output]
            self.book.sent(self.receipts[entry.offset])

    @precondition(lambda self: self.sent_offsets)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        for receipt in self.receipts[data.draw(st.sampled_from(self.sent_offsets))]:
            receipt.is_done = True

    @rule()
    def settle(self) -> None:
        self.book.settle()

    @invariant()
    def output_is_in_offset_order(self) -> None:
        assert (
            self.sent_offsets == [entry.offset for entry in self.entries][: len(self.sent_offsets)]
        )

    @invariant()
    def nothing_below_the_commit_is_open(self) -> None:
        done = [entry.offset for entry in self.entries if entry.offset < self.book.next_offset]
        assert all(offset in self.receipts for offset in done)
        assert all(receipt.is_done for offset in done for receipt in self.receipts[offset])
        messages = [outcome for offset in done if (outcome := self.outcomes[offset]) is not None]
        totals = self.book.totals
        assert totals.read == len(messages)
        assert totals.read == (
            totals.scored + totals.unscored + totals.unmatched + totals.dead_letters
        )
        assert self.book.in_flight == len(self.entries) - len(done)


TestAnyOrder = LedgerMachine.TestCase
