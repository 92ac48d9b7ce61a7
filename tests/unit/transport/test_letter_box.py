"""Dead letters each once, and which of them may be sent again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from undertone.errors import UsageError
from undertone.settings import RawTopic
from undertone.transport.dead_letters import KEPT_BYTES, dead_letter
from undertone.transport.letter_box import (
    RETRIED_HEADER,
    BoxRecord,
    KeptLetter,
    LetterFilter,
    Place,
    kept_letters,
    plan_retry,
)

TOPICS = [RawTopic(name="t.raw.news", partitions=2)]


def record(
    offset: int = 7,
    *,
    value: bytes | None = b"broken",
    topic: str = "t.raw.news",
    partition: int = 1,
    stage: str = "decode",
    at_ms: int = 1000,
    headers: Sequence[tuple[str, bytes]] = (),
) -> BoxRecord:
    letter = dead_letter(value, topic, partition, offset, "an error", stage, at_ms)  # type: ignore[arg-type]
    return BoxRecord(letter.to_json(), at_ms, headers)


def letters(*records: BoxRecord) -> list[KeptLetter]:
    return kept_letters(records)


def reasons(*records: BoxRecord, again: bool = False) -> list[str]:
    return [skipped.reason for skipped in plan_retry(letters(*records), TOPICS, again=again).skip]


def test_a_letter_that_was_written_twice_is_one() -> None:
    found = letters(record(7), record(8), record(7, at_ms=2000), record(7, stage="score"))
    assert [(kept.letter.offset, kept.letter.stage) for kept in found] == [
        (7, "decode"),
        (8, "decode"),
        (7, "score"),
    ]


def test_a_mark_says_where_a_record_went_and_is_no_letter_of_its_own() -> None:
    mark = [(RETRIED_HEADER, b"t.raw.news/1/99")]
    (kept,) = letters(record(), record(headers=mark), record(headers=mark))
    assert kept.retried_as == (Place("t.raw.news", 1, 99),)


def test_letters_are_chosen_by_stage_topic_time_and_place() -> None:
    first, second = letters(record(1), record(2, topic="other", stage="match", at_ms=2000))
    for wanted in (
        LetterFilter(stage="decode"),
        LetterFilter(topic="t.raw.news"),
        LetterFilter(places=frozenset({Place("t.raw.news", 1, 1)})),
    ):
        assert wanted.wants(first) and not wanted.wants(second)
    assert LetterFilter(since_ms=2000).wants(second)
    assert not LetterFilter(since_ms=2000).wants(first)


def test_a_record_is_sent_once_though_two_stages_kept_it() -> None:
    plan = plan_retry(letters(record(), record(stage="score")), TOPICS)
    assert [kept.place for kept in plan.send] == [Place("t.raw.news", 1, 7)]
    assert [skipped.reason for skipped in plan.skip] == ["the same record as another letter"]


def test_what_was_retried_is_left_unless_it_is_asked_for_again() -> None:
    marked = (record(), record(headers=[(RETRIED_HEADER, b"t.raw.news/1/99")]))
    assert reasons(*marked) == [
        "was retried before, as t.raw.news/1/99 (--again sends it once more)"
    ]
    assert reasons(*marked, again=True) == []


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (record(stage="watch", topic="t.mentions"), "watch --rebuild"),
        (record(topic="gone"), "gone is no raw topic"),
        (record(partition=2), "has no partition 2"),
        (record(value=b"x" * (KEPT_BYTES + 1)), "only its beginning"),
        (record(value=None), "is empty"),
    ],
)
def test_what_cannot_be_sent_again_is_left_with_the_reason(kept: BoxRecord, reason: str) -> None:
    (told,) = reasons(kept)
    assert reason in told


def test_a_place_reads_as_it_is_written() -> None:
    place = Place("t.raw.news", 1, 99)
    assert Place.parse(str(place)) == place
    for wrong in ("t.raw.news", "t.raw.news/1", "t/x/1"):
        with pytest.raises(UsageError, match="expected a place"):
            Place.parse(wrong)
