"""The state in the changelog: the highest offset wins, and subjects are written whole."""

from __future__ import annotations

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import StateError
from undertone.settings import Settings
from undertone.transport.topics import TopicNames
from undertone.watch.changelog import (
    CURSOR_KEY,
    Change,
    Entry,
    changelog_spec,
    chunks,
    keep_partitions,
    merge,
    record_bytes,
    store,
    stored_state,
    through_of,
)
from undertone.watch.cursor import Cursor, Log

LOG = Log("p.mentions", "topic-a", 4)
keys = st.sampled_from(["a/head", "a/block/1", "b/head"])
writes = st.lists(st.tuples(keys, st.integers(0, 9)), max_size=40)


@given(writes.flatmap(lambda order: st.tuples(st.just(order), st.permutations(order))))
def test_the_highest_offset_wins_in_whatever_order_the_records_stand(
    orders: tuple[list[tuple[str, int]], list[tuple[str, int]]],
) -> None:
    states = []
    for order in orders:
        entries: dict[tuple[int, str], Entry] = {}
        for key, through in order:
            merge(entries, 0, key, Entry(through, b"%d" % through if through % 3 else None))
        states.append(entries)
    assert states[0] == states[1]
    for (_, key), entry in states[0].items():
        assert entry.through == max(through for name, through in orders[0] if name == key)


def test_a_deleted_part_is_not_brought_back_by_a_stale_write() -> None:
    entries: dict[tuple[int, str], Entry] = {}
    merge(entries, 0, "a/block/1", Entry(5, b"old"))
    merge(entries, 0, "a/block/1", Entry(9, None))
    merge(entries, 0, "a/block/1", Entry(7, b"stale"))
    keep_partitions(entries, [0])
    assert entries == {}


def test_partitions_have_their_own_state_under_equal_keys() -> None:
    entries: dict[tuple[int, str], Entry] = {}
    for partition in (0, 1):
        cursor = Cursor.at(partition, LOG)
        store(
            entries,
            partition,
            [Change("a/head", b"%d" % partition, 1), Change(CURSOR_KEY, cursor.to_json(), 1)],
        )
    assert stored_state(entries, 1) == (Cursor.at(1, LOG), {"a/head": b"1"})
    keep_partitions(entries, [0])
    assert stored_state(entries, 1) == (None, {})
    assert stored_state(entries, 0) == (Cursor.at(0, LOG), {"a/head": b"0"})


def test_state_without_a_cursor_is_refused() -> None:
    with pytest.raises(StateError, match="no cursor for partition 0"):
        stored_state({(0, "a/head"): Entry(1, b"x")}, 0)


@given(
    st.dictionaries(
        st.builds("{}/{}".format, st.sampled_from("abcdef"), st.integers(0, 9)),
        st.none() | st.binary(max_size=300),
    ),
    st.integers(100, 2000),
)
def test_chunks_hold_every_change_once_and_no_subject_twice(
    changes: dict[str, bytes | None], limit_bytes: int
) -> None:
    parts = list(chunks(changes, limit_bytes))
    assert {key: value for part in parts for key, value in part.items()} == changes
    subjects = [{key.partition("/")[0] for key in part} for part in parts]
    assert sum(map(len, subjects)) == len(set().union(*subjects)) if subjects else not changes
    for part, names in zip(parts, subjects, strict=True):
        size = sum(record_bytes(key, value) for key, value in part.items())
        assert size <= limit_bytes or len(names) == 1


def test_a_record_without_its_offset_is_refused() -> None:
    assert through_of(Change("a/head", b"", 41).headers()) == 41
    for headers in (None, [], [("other", b"1")], [("through", b"x")]):
        with pytest.raises(StateError, match="no watcher of this version"):
            through_of(headers)


def test_the_changelog_is_the_one_that_faust_will_look_for() -> None:
    from undertone.watch.faust_app import build_app

    settings = Settings(prefix="p", mentions_partitions=4)

    async def place() -> dict[TP, int]:
        return {}

    _, table = build_app(
        TopicNames("p").watch_app,
        settings.kafka,
        log=LOG,
        place=place,
        cursors=dict,
        on_revoked=lambda: None,
        session_timeout_seconds=10,
    )
    assert table.changelog_topic_name == changelog_spec(settings).name
    assert changelog_spec(settings).partitions == 4
