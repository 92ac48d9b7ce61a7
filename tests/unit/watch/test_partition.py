"""One mentions partition in memory, with the counting core: batches, duplicates, faults."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import RAW, START_MS, mention, progress
from integration.counting_core import BREAKS_CORE, CountingCore
from undertone.alerting.rules import load_rules
from undertone.errors import StateError
from undertone.records import Mention, Progress, RawPosition
from undertone.watch.changelog import Change, Entry, store
from undertone.watch.core import Watch, WatchConfig
from undertone.watch.cursor import Log
from undertone.watch.partition import Batch, CoreFactory, LogRecord, WatchedPartition

LOG = Log("p.mentions", "topic-a", 4)
NOW_MS = START_MS


class Table:
    """The table as the shell keeps it."""

    def __init__(self, begin: int = 0) -> None:
        self.entries: dict[tuple[int, str], Entry] = {}
        self.begin = begin

    def load(self) -> WatchedPartition:
        return WatchedPartition(2, LOG, self.entries, CountingCore, self.begin)

    def write(self, watched: WatchedPartition, batch: Batch) -> None:
        through = batch.cursor.offset
        changes = [Change(key, value, through) for key, value in batch.changes.items()]
        store(self.entries, 2, [*changes, batch.cursor_change()])
        watched.advance(batch)


def of_subject(offset: int, subjects: int = 3) -> Mention:
    raw = RawPosition(topic=RAW, partition=0, offset=offset)
    return mention(START_MS + offset, offset, subject=f"s{offset % subjects}", raw=raw)


def log_of(records: list[Mention | Progress], begin: int = 0) -> list[LogRecord]:
    return [LogRecord(begin + n, record.to_json()) for n, record in enumerate(records)]


def counted(watched: WatchedPartition) -> dict[str, int]:
    assert isinstance(watched.core, CountingCore)
    return watched.core.counts


steps = st.tuples(
    st.integers(0, 10), st.integers(1, 15), st.sampled_from(["write", "drop", "write and restart"])
)


@given(st.lists(steps, max_size=20))
def test_batch_borders_restarts_and_repetitions_leave_no_trace(
    deliveries: list[tuple[int, int, str]],
) -> None:
    log = log_of([of_subject(offset) for offset in range(40)])
    table = Table()
    watched = table.load()
    outputs = []
    for back, length, fate in [*deliveries, (0, len(log), "write")]:
        begin = max(0, watched.cursor.offset - back)
        batch = watched.take(log[begin : begin + length], NOW_MS)
        if fate == "drop":
            watched.reload()
            continue
        outputs += batch.outputs
        table.write(watched, batch)
        if fate != "write":
            watched = table.load()
    assert counted(watched) == {"s0": 14, "s1": 13, "s2": 13}
    assert outputs == Table().load().take(log, NOW_MS).outputs


@pytest.mark.parametrize(
    "new_core", [CountingCore, lambda: Watch(WatchConfig(load_rules(), {}))], ids=["counts", "true"]
)
def test_mentions_that_a_scorer_writes_again_are_not_told_again(new_core: CoreFactory) -> None:
    table = Table()
    watched = WatchedPartition(2, LOG, table.entries, new_core, 0)
    mentions = [of_subject(offset) for offset in range(6)]
    told = []
    # Killed before it had committed, it begins again at the third; so within a batch and across.
    log = log_of([*mentions[:4], *mentions[2:5], *mentions[2:]])
    for records in (log[:6], log[6:]):
        batch = watched.take(records, NOW_MS)
        told += batch.mentions
        table.write(watched, batch)
    assert watched.cursor.offset == len(log)
    assert told == mentions


def test_records_behind_a_missing_one_are_left() -> None:
    watched = Table().load()
    log = log_of([of_subject(offset) for offset in range(6)])
    batch = watched.take([*log[:2], *log[3:]], NOW_MS)
    assert batch.ahead
    assert batch.cursor.offset == 2
    assert len(batch.outputs) == 2


def test_nothing_new_writes_nothing() -> None:
    table = Table()
    watched = table.load()
    log = log_of([of_subject(0)])
    table.write(watched, watched.take(log, NOW_MS))
    batch = watched.take(log, NOW_MS)
    assert (batch.applied, batch.ahead, batch.changes, batch.outputs) == (0, False, {}, [])


def test_a_first_start_begins_where_the_log_does() -> None:
    watched = Table(begin=7).load()
    batch = watched.take(log_of([of_subject(0)], begin=7), NOW_MS)
    assert batch.cursor.offset == 8


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b'{"schema":"mention/1"}'])
def test_an_unreadable_record_becomes_a_dead_letter_and_the_cursor_goes_on(
    value: bytes | None,
) -> None:
    watched = Table().load()
    batch = watched.take([LogRecord(0, value), *log_of([of_subject(1)], begin=1)], NOW_MS)
    assert batch.cursor.offset == 2
    assert [(d.stage, d.topic, d.partition, d.offset, d.at) for d in batch.dead_letters] == [
        ("watch", "p.mentions", 2, 0, NOW_MS)
    ]
    assert len(batch.mentions) == 1


def test_a_record_that_breaks_the_core_leaves_no_trace_in_the_state() -> None:
    table = Table()
    watched = table.load()
    table.write(watched, watched.take(log_of([of_subject(0)]), NOW_MS))
    breaking = of_subject(3).model_copy(update={"excerpt": BREAKS_CORE})
    log = log_of([of_subject(1), breaking, of_subject(6)], begin=1)
    batch = watched.take(log, NOW_MS)
    table.write(watched, batch)
    assert batch.cursor.offset == 4
    assert [(d.offset, d.error) for d in batch.dead_letters] == [(2, "ZeroDivisionError('a bug')")]
    assert counted(watched) == {"s0": 2, "s1": 1}
    assert counted(table.load()) == {"s0": 2, "s1": 1}


def test_a_fault_of_the_environment_is_no_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Table().load()

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(watched.core, "apply", fail)
    with pytest.raises(MemoryError):
        watched.take(log_of([of_subject(0)]), NOW_MS)


def test_the_clock_of_the_log_is_kept_in_the_cursor() -> None:
    table = Table()
    watched = table.load()
    table.write(watched, watched.take(log_of([progress(START_MS, partitions=2)]), NOW_MS))
    cursor = table.load().cursor
    assert cursor.complete_until == {RAW: {0: START_MS, 1: START_MS}}
    assert cursor.expected == {RAW: 2}


def test_state_of_another_version_is_refused_with_the_command_that_rebuilds_it() -> None:
    table, config = Table(), WatchConfig(rules=load_rules(), subjects={})
    watched = WatchedPartition(2, LOG, table.entries, lambda: Watch(config), 0)
    log = [of_subject(0), progress(START_MS + 60_000)]
    table.write(watched, watched.take(log_of(log), NOW_MS))
    # As an earlier version wrote it, with a field less.
    key = (2, "s0/head")
    head = orjson.loads(table.entries[key].value or b"")
    del head["pane_end_rules"]
    table.entries[key] = table.entries[key]._replace(value=orjson.dumps(head))
    with pytest.raises(StateError, match="another version") as refused:
        WatchedPartition(2, LOG, table.entries, lambda: Watch(config), 0)
    assert "watch --rebuild" in (refused.value.hint or "")
