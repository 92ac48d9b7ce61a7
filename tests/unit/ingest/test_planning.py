"""The plan keeps recorded time: stamps, order, ticks, and the pace."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import UsageError
from undertone.ingest.planning import (
    Arrival,
    Routes,
    TickPolicy,
    TimedRecord,
    arrivals_of,
    in_arrival_order,
    pace,
    plan,
    plan_live,
)
from undertone.ingest.readers import Reject, Row
from undertone.records import Kind, RawMessage
from undertone.settings import RawTopic
from undertone.transport.codec import tick_instant

NEWS = RawTopic(name="t.raw.news", kind=Kind.NEWS, clock="recorded", partitions=2)
SOCIAL = RawTopic(name="t.raw.social", kind=Kind.SOCIAL, clock="recorded", partitions=3)
ROUTES = Routes((NEWS, SOCIAL))
EVERY_PARTITION = {(topic.name, p) for topic in (NEWS, SOCIAL) for p in range(topic.partitions)}

arrival_lists = st.lists(
    st.builds(
        Arrival,
        at_ms=st.integers(0, 40_000_000),
        value=st.binary(min_size=1, max_size=8),
        kind=st.sampled_from(list(Kind)),
        message_id=st.none() | st.text(min_size=1, max_size=4),
    ),
    max_size=60,
)
policies = st.one_of(
    st.just(TickPolicy.for_speed(None)),
    st.floats(60, 1e6).map(TickPolicy.for_speed),
)


def place(record: TimedRecord) -> tuple[str, int]:
    return record.topic, record.partition


def stamp(record: TimedRecord) -> int:
    assert record.timestamp_ms is not None
    return record.timestamp_ms


@given(arrival_lists, policies, st.none() | st.integers(0, 50_000_000))
def test_recorded_time_never_goes_back_and_ticks_reach_every_partition(
    arrivals: list[Arrival], policy: TickPolicy, end_ms: int | None
) -> None:
    records = list(plan(in_arrival_order(arrivals), ROUTES, policy, end_ms=end_ms))
    planned = Counter(record.value for record in records if not record.is_tick)
    assert planned == Counter(arrival.value for arrival in arrivals)  # each message once
    stamps = defaultdict(list)
    for record in records:
        assert place(record) in EVERY_PARTITION
        stamps[place(record)].append(stamp(record))
        if record.is_tick:
            assert tick_instant(record.headers) == record.timestamp_ms
    for times in stamps.values():
        assert times == sorted(times)
    if arrivals or end_ms is not None:
        last = {place(record): record for record in records}
        assert set(last) == EVERY_PARTITION
        assert all(record.is_tick for record in last.values())
        greatest = max((arrival.at_ms for arrival in arrivals), default=-1)
        assert {stamp(record) for record in last.values()} == {max(greatest + 1, end_ms or 0)}


@given(arrival_lists)
def test_stamps_are_the_recorded_arrivals(arrivals: list[Arrival]) -> None:
    records = plan(in_arrival_order(arrivals), ROUTES, TickPolicy.for_speed(None))
    stamped = [(stamp(record), record.value) for record in records if not record.is_tick]
    assert stamped == sorted(
        ((arrival.at_ms, arrival.value) for arrival in arrivals), key=lambda pair: pair[0]
    )


@given(arrival_lists, st.integers(1, 10))
def test_a_small_window_still_sorts_small_inversions_and_plans_the_rest_late(
    arrivals: list[Arrival], window: int
) -> None:
    ordered = list(in_arrival_order(arrivals, window=window))
    assert Counter(ordered) == Counter(arrivals)
    records = list(plan(ordered, ROUTES, TickPolicy.for_speed(None)))
    times = [stamp(record) for record in records]
    assert times == sorted(times)


def test_a_window_of_bytes_bounds_what_is_held() -> None:
    arrivals = [Arrival(10 - n, b"x" * 100) for n in range(10)]
    ordered = in_arrival_order(iter(arrivals), window_bytes=250)
    assert next(ordered).at_ms == 8  # of the first three


def test_ticks_are_at_most_a_tenth_of_a_dense_stream() -> None:
    arrivals = [Arrival(second * 1000, b"%d" % second, Kind.NEWS) for second in range(0, 90_000, 5)]
    records = list(plan(arrivals, ROUTES, TickPolicy.for_speed(None)))
    ticks = sum(record.is_tick for record in records)
    first_and_last = 2 * len(EVERY_PARTITION)
    assert first_and_last < ticks <= len(arrivals) // 10 + first_and_last


def test_a_silent_partition_hears_of_time_before_the_record_that_follows_a_gap() -> None:
    gap_ms = 5 * 3_600_000
    arrivals = [Arrival(0, b"a", Kind.NEWS), Arrival(gap_ms, b"b", Kind.NEWS)]
    records = list(plan(arrivals, ROUTES, TickPolicy.for_speed(None)))
    before = records[: [record.value for record in records].index(b"b")]
    at_gap = {place(record) for record in before if record.timestamp_ms == gap_ms}
    assert at_gap == EVERY_PARTITION


@pytest.mark.parametrize(
    ("speed", "every_ms"), [(0.5, 500), (1, 1000), (60, 60_000), (600, 60_000), (6000, 600_000)]
)
def test_a_paced_stream_ticks_through_gaps(speed: float, every_ms: int) -> None:
    policy = TickPolicy.for_speed(speed)
    arrivals = [Arrival(0, b"a"), Arrival(3 * every_ms, b"b")]
    rounds = [
        stamp(record)
        for record in plan(arrivals, ROUTES, policy, end_ms=5 * every_ms)
        if record.is_tick and place(record) == (NEWS.name, 0)
    ]
    assert rounds == [n * every_ms for n in range(6)]


def test_kinds_go_to_their_topics_and_others_to_the_first() -> None:
    kinds = [Kind.NEWS, Kind.SOCIAL, Kind.OTHER]
    assert [ROUTES.record(Arrival(0, b"x", kind), 0).topic for kind in kinds] == [
        NEWS.name,
        SOCIAL.name,
        NEWS.name,
    ]
    only = Routes((NEWS, SOCIAL), only=SOCIAL.name)
    assert {only.record(Arrival(0, b"x", kind), 0).topic for kind in kinds} == {SOCIAL.name}
    one = Routes((SOCIAL,))
    assert {one.record(Arrival(0, b"x", kind), 0).topic for kind in kinds} == {SOCIAL.name}


def test_a_topic_that_the_settings_do_not_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--topic other: is not among the raw topics"):
        Routes((NEWS, SOCIAL), only="other")


def test_the_wrong_clock_is_refused_with_what_to_set() -> None:
    live = RawTopic(name="live", kind=Kind.NEWS)
    with pytest.raises(UsageError, match=r"live is set to `clock: live`"):
        Routes((live, SOCIAL)).require_clock("recorded")
    Routes((live, SOCIAL), only=SOCIAL.name).require_clock("recorded")


def test_an_id_decides_the_partition_and_partitions_are_used_evenly() -> None:
    def partition(id: str) -> int:
        return ROUTES.record(Arrival(0, b"x", Kind.SOCIAL, id), 0).partition

    counts = Counter(partition(f"m{n}") for n in range(600))
    assert all(150 < counts[p] < 250 for p in range(3))
    assert partition("m7") == partition("m7")


def test_rows_outside_the_range_are_left_out_and_far_future_ones_rejected() -> None:
    def row(line: int, at_ms: int) -> Row:
        return Row(line, RawMessage(id=f"m{line}", source="s", published_at=at_ms, text="x"))

    rejects: list[Reject] = []
    rows = [row(1, 5), row(2, 10), row(3, 19), row(4, 20), Reject(5, "", "bad"), row(6, 17)]
    kept = list(
        arrivals_of(rows, reject=rejects.append, delay_ms=1, from_ms=10, until_ms=20, latest_ms=18)
    )
    assert [(arrival.message_id, arrival.at_ms) for arrival in kept] == [("m2", 11), ("m6", 18)]
    assert [reject.line for reject in rejects] == [5]
    late = list(arrivals_of([row(1, 30)], reject=rejects.append, latest_ms=18))
    assert late == []
    assert "in the future" in rejects[-1].error
    assert list(arrivals_of([row(1, -5)], reject=rejects.append, latest_ms=18)) == []
    assert "before 1970" in rejects[-1].error


def test_the_recorded_arrival_becomes_the_stamp_and_leaves_the_value() -> None:
    message = RawMessage(id="m", source="s", published_at=5, arrived_at=9, text="x")
    (arrival,) = arrivals_of([Row(1, message)], reject=lambda reject: None, delay_ms=100)
    assert arrival.at_ms == 9
    assert b"arrived_at" not in arrival.value


def test_live_records_carry_no_stamp_and_bring_no_ticks() -> None:
    records = list(plan_live([Arrival(9, b"b"), Arrival(3, b"a")], ROUTES))
    assert [record.value for record in records] == [b"b", b"a"]
    assert all(record.timestamp_ms is None for record in records)


def test_the_pace_waits_until_recorded_time_has_come() -> None:
    now = 100.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    records = [TimedRecord("t", 0, b"x", timestamp_ms=ms) for ms in (0, 0, 60_000, 90_000)]
    paced = pace(records, 60, clock=lambda: now, sleep=sleep)
    assert [next(paced).timestamp_ms for _ in range(3)] == [0, 0, 60_000]
    assert waits == [pytest.approx(1.0)]
    now += 10  # the reader was slow: the stream catches up without a pause
    assert next(paced).timestamp_ms == 90_000
    assert len(waits) == 1
