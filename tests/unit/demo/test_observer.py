"""When a mentions partition says that the whole stream is scored."""

from __future__ import annotations

from undertone.demo.observer import ClosingOffsets
from undertone.records import Progress

END_MS = 10_000


def progress(expected: dict[str, int], until: dict[str, dict[int, int]]) -> Progress:
    return Progress(expected=expected, complete_until=until)


def test_a_partition_closes_behind_the_progress_that_reaches_the_end() -> None:
    closing = ClosingOffsets(END_MS)
    closing.note(0, 4, progress({"raw": 1}, {"raw": {0: END_MS - 1}}))
    assert closing.offsets == {}
    closing.note(0, 7, progress({"raw": 1}, {"raw": {0: END_MS}}))
    assert closing.offsets == {0: 8}


def test_what_several_scorers_say_is_put_together() -> None:
    closing = ClosingOffsets(END_MS)
    closing.note(0, 1, progress({"raw": 2}, {"raw": {0: END_MS}}))
    assert closing.offsets == {}
    closing.note(0, 2, progress({"raw": 2}, {"raw": {1: END_MS}}))
    assert closing.offsets == {0: 3}


def test_every_raw_topic_must_have_come_to_its_end() -> None:
    closing = ClosingOffsets(END_MS)
    closing.note(0, 1, progress({"news": 1, "social": 1}, {"news": {0: END_MS}}))
    assert closing.offsets == {}


def test_each_mentions_partition_is_heard_for_itself_and_the_first_offset_stays() -> None:
    closing = ClosingOffsets(END_MS)
    done = progress({"raw": 1}, {"raw": {0: END_MS}})
    closing.note(1, 5, done)
    closing.note(1, 9, done)
    assert closing.offsets == {1: 6}


def test_a_claim_that_falls_back_is_not_believed() -> None:
    closing = ClosingOffsets(END_MS)
    closing.note(0, 1, progress({"raw": 2}, {"raw": {0: END_MS}}))
    closing.note(0, 2, progress({"raw": 2}, {"raw": {0: 5, 1: END_MS}}))
    assert closing.offsets == {0: 3}
