"""The cursor: what is applied, repeated or missing, and to which log it belongs."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import StateError
from undertone.watch.cursor import Cursor, Log, Verdict, judge

LOG = Log("p.mentions", "topic-a", 4, {"p.raw.news": "raw-a"})

offsets = st.integers(0, 1 << 40)
names = st.text(min_size=1, max_size=20)
cursors = st.builds(
    Cursor,
    offset=offsets,
    topic_id=names,
    partitions=st.integers(1, 1000),
    raw_topic_ids=st.dictionaries(names, names, max_size=3),
    complete_until=st.dictionaries(
        names, st.dictionaries(st.integers(0, 99), st.integers(0, 1 << 45), max_size=3), max_size=3
    ),
    expected=st.dictionaries(names, st.integers(1, 99), max_size=3),
)


@given(cursors)
def test_a_cursor_reads_back_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.from_json(cursor.to_json()) == cursor


@given(st.lists(st.integers(0, 40), max_size=300), st.integers(0, 20))
def test_any_delivery_applies_each_offset_at_most_once_and_in_order(
    delivered: list[int], start: int
) -> None:
    cursor, applied = start, []
    for offset in delivered:
        if judge(cursor, offset) is Verdict.APPLY:
            applied.append(offset)
            cursor += 1
    assert applied == list(range(start, start + len(applied)))


@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_delivery_that_goes_back_when_something_is_missing_applies_everything(
    detours: list[int],
) -> None:
    """However the first deliveries jump about, going back to the cursor reaches the end."""
    end, cursor, position = 31, 0, 0
    jumps = iter(detours)
    while cursor < end:
        position = next(jumps, position)
        match judge(cursor, position):
            case Verdict.APPLY:
                cursor += 1
                position += 1
            case Verdict.DUPLICATE:
                position += 1
            case Verdict.AHEAD:
                position = cursor
    assert cursor == end


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topic_id": "topic-b"}, "p.mentions, partition 1: the topic was recreated"),
        ({"partitions": 8}, "written for 8 partitions, the topic has 4"),
        ({"raw_topic_ids": {"p.raw.news": "raw-b"}}, "p.raw.news: the topic was recreated"),
        ({"offset": 9}, "stands at offset 9, the log holds offsets 10 to 20"),
        ({"offset": 21}, "stands at offset 21, the log holds offsets 10 to 20"),
    ],
)
def test_a_cursor_of_another_log_is_refused_with_the_command_to_run(
    changes: dict[str, object], words: str
) -> None:
    cursor = dataclasses.replace(Cursor.at(15, LOG), **changes)  # type: ignore[arg-type]
    with pytest.raises(StateError, match=words) as refused:
        cursor.verify(LOG, 1, 10, 20)
    assert "undertone watch --rebuild" in str(refused.value)


@pytest.mark.parametrize("offset", [10, 15, 20])
def test_a_cursor_within_the_log_is_accepted(offset: int) -> None:
    Cursor.at(offset, LOG).verify(LOG, 1, 10, 20)


def test_a_raw_topic_that_was_added_or_left_out_is_no_other_log() -> None:
    cursor = Cursor.at(15, dataclasses.replace(LOG, raw_topic_ids={"other.topic": "x"}))
    cursor.verify(LOG, 1, 10, 20)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"no json", b'{"offset": "x"}'])
def test_something_else_than_a_cursor_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        Cursor.from_json(data)
