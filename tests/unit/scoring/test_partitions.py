"""What a scorer holds through rebalances, outages and commits, on a consumer made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kafka.errors import CommitFailedError, KafkaConnectionError
from kafka.structs import OffsetAndMetadata, TopicPartition
from prometheus_client import CollectorRegistry

from undertone.errors import BrokerError, TopicError, UndertoneError
from undertone.scoring.ledger import Outcome, Totals
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.partitions import Clocks, Limits, OwnedPartitions
from undertone.scoring.stages import Job
from undertone.settings import RawTopic

NEWS = TopicPartition("t.news", 0)
TOPICS = {"t.news": RawTopic(name="t.news", clock="recorded")}
LIVE_TOPICS = {"t.news": RawTopic(name="t.news", clock="live")}


class Record(NamedTuple):
    """As kafka-python delivers it."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 1000
    value: bytes = b"{}"
    headers: tuple[tuple[str, bytes], ...] = ()


def records(*offsets: int) -> list[Record]:
    return [Record(*NEWS, offset, timestamp=1000 + offset) for offset in offsets]


class FakeConsumer:
    """Delivers what the test says, and notes what is asked of it."""

    def __init__(self) -> None:
        self.delivered: list[dict[TopicPartition, list[Record]]] = []
        self.stored: dict[TopicPartition, OffsetAndMetadata] = {}
        self.sought: list[tuple[TopicPartition, int | None]] = []
        self.ends: dict[TopicPartition, int] | Exception = {}
        self.refuse_commits = False
        self.held_back: set[TopicPartition] = set()
        self._net = self
        self._coordinator = SimpleNamespace(rejoining=False)

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        return self.delivered.pop(0) if self.delivered else {}

    def committed(self, partition: TopicPartition, **_: Any) -> OffsetAndMetadata | None:
        return self.stored.get(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))

    def seek_to_beginning(self, partition: TopicPartition) -> None:
        self.sought.append((partition, None))

    def position(self, partition: TopicPartition, **_: Any) -> int | None:
        return None

    def end_offsets(self, partitions: Iterable[TopicPartition], **_: Any) -> dict[Any, int]:
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends

    def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata], **_: Any) -> None:
        if self.refuse_commits:
            raise CommitFailedError
        self.stored |= offsets

    async def commit_async(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        self.commit(offsets)

    def pause(self, *partitions: TopicPartition) -> None:
        self.held_back |= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return self.held_back

    def resume(self, *partitions: TopicPartition) -> None:
        self.held_back -= set(partitions)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    now = 0.0


class Scorer:
    """Owned partitions on a fake consumer, whose clock the test moves."""

    def __init__(self, topics: dict[str, RawTopic] = TOPICS, **limits: Any) -> None:
        self.consumer = FakeConsumer()
        self.registry = CollectorRegistry()
        self.owned = OwnedPartitions(
            self.consumer,
            topics,
            ScoreMetrics(self.registry),
            limits=Limits(**limits),
            clocks=Clocks(
                wall_ms=lambda: int(self.consumer.now * 1000),
                monotonic=lambda: self.consumer.now,
            ),
            faulted=lambda: False,
        )

    def assign(self) -> None:
        asyncio.run(self.owned.on_partitions_assigned({NEWS}))

    def revoke(self) -> None:
        asyncio.run(self.owned.on_partitions_revoked({NEWS}))

    def poll(self, *offsets: int) -> list[Job]:
        if offsets:
            self.consumer.delivered.append({NEWS: records(*offsets)})
        return list(self.owned.poll(0))

    def look(self, *, after_seconds: float) -> None:
        self.consumer.now += after_seconds
        self.owned.settle()
        self.owned.check_progress()

    @staticmethod
    def finish(jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.entry.finish(Outcome.UNMATCHED)
            while job.ledger.next_to_send():
                job.ledger.sent([])


@pytest.fixture
def scorer() -> Scorer:
    started = Scorer()
    started.assign()
    started.poll()
    return started


def test_a_new_partition_is_read_from_its_beginning(scorer: Scorer) -> None:
    assert scorer.consumer.sought == [(NEWS, None)]
    assert [job.record.offset for job in scorer.poll(0, 1)] == [0, 1]


def test_what_a_poll_brings_of_a_partition_just_taken_up_is_read_again() -> None:
    scorer = Scorer()
    scorer.consumer.stored[NEWS] = OffsetAndMetadata(5, Totals(read=5).to_metadata(), -1)
    scorer.assign()
    assert scorer.poll(9, 10) == []
    assert scorer.consumer.sought == [(NEWS, 5)]
    assert [job.record.offset for job in scorer.poll(5, 6)] == [5, 6]


def test_what_is_done_is_committed_with_its_totals(scorer: Scorer) -> None:
    scorer.finish(scorer.poll(0, 1, 2)[:2])
    scorer.owned.settle()
    scorer.owned.commit()
    committed = scorer.consumer.stored[NEWS]
    assert committed.offset == 2
    totals = Totals.from_metadata(committed.metadata)
    assert totals == Totals(read=2, unmatched=2, greatest_ms=1001)


def test_totals_and_stamps_go_on_where_they_were_committed() -> None:
    scorer = Scorer()
    before = Totals(read=7, unmatched=7, greatest_ms=50_000)
    scorer.consumer.stored[NEWS] = OffsetAndMetadata(7, before.to_metadata(), -1)
    scorer.assign()
    scorer.poll()
    (job,) = scorer.poll(7)
    assert job.entry.ingested_at == 50_000
    scorer.finish([job])
    scorer.revoke()
    totals = Totals.from_metadata(scorer.consumer.stored[NEWS].metadata)
    assert totals == Totals(read=8, unmatched=8, greatest_ms=50_000)


def test_a_revoked_partition_is_finished_committed_and_dropped(scorer: Scorer) -> None:
    jobs = scorer.poll(0, 1)
    scorer.finish(jobs)
    scorer.revoke()
    assert scorer.consumer.stored[NEWS].offset == 2
    assert jobs[0].ledger.dropped
    assert scorer.owned.in_flight == 0


def test_revocation_waits_only_so_long_and_commits_what_is_done(scorer: Scorer) -> None:
    scorer.finish(scorer.poll(0, 1, 2)[:1])
    scorer.revoke()
    assert scorer.consumer.now == pytest.approx(5, abs=0.1)
    assert scorer.consumer.stored[NEWS].offset == 1


def test_a_partition_that_comes_back_is_read_from_its_commit_not_from_where_it_was(
    scorer: Scorer,
) -> None:
    scorer.finish(scorer.poll(0, 1, 2)[:1])
    scorer.revoke()
    assert scorer.poll(3, 4) == []  # while the group rebalances
    scorer.assign()
    assert scorer.poll(3, 4) == []  # the position that the consumer has kept
    assert scorer.consumer.sought[-1] == (NEWS, 1)
    assert [job.record.offset for job in scorer.poll(1, 2)] == [1, 2]


def test_nothing_is_committed_for_a_partition_that_is_lost(scorer: Scorer) -> None:
    scorer.finish(scorer.poll(0, 1))
    scorer.owned.settle()
    asyncio.run(scorer.owned.on_partitions_lost({NEWS}))
    scorer.owned.commit()
    assert scorer.consumer.stored == {}
    assert scorer.owned.complete_until() == {}


def test_a_commit_that_the_group_refuses_is_left_to_the_next_owner(scorer: Scorer) -> None:
    scorer.finish(scorer.poll(0))
    scorer.owned.settle()
    scorer.consumer.refuse_commits = True
    scorer.owned.commit()
    scorer.consumer.refuse_commits = False
    scorer.owned.commit()
    assert scorer.consumer.stored[NEWS].offset == 1


def test_too_much_in_flight_pauses_and_half_of_it_resumes() -> None:
    scorer = Scorer(records=4)
    scorer.assign()
    scorer.poll()
    jobs = scorer.poll(0, 1, 2, 3)
    scorer.owned.pause_or_resume()
    assert scorer.consumer.held_back == {NEWS}
    scorer.finish(jobs[:1])
    scorer.owned.settle()
    scorer.owned.pause_or_resume()
    assert scorer.consumer.held_back == {NEWS}
    scorer.finish(jobs[1:2])
    scorer.owned.settle()
    scorer.owned.pause_or_resume()
    assert scorer.consumer.held_back == set()


def test_many_bytes_in_flight_pause_too() -> None:
    scorer = Scorer(record_bytes=300)
    scorer.assign()
    scorer.poll()
    scorer.poll(0, 1)
    scorer.owned.pause_or_resume()
    assert scorer.consumer.held_back == {NEWS}


def test_a_live_partition_is_complete_until_before_its_end_was_asked_for() -> None:
    scorer = Scorer(LIVE_TOPICS)
    scorer.assign()
    jobs = scorer.poll(0, 1)
    jobs = scorer.poll(0, 1)
    scorer.consumer.now, scorer.consumer.ends = 100.0, {NEWS: 2}
    scorer.owned.claim_ends()
    assert scorer.owned.complete_until() == {}
    scorer.finish(jobs)
    scorer.consumer.now = 500.0
    scorer.owned.settle()
    assert scorer.owned.complete_until() == {"t.news": {0: 98_000}}
    assert scorer.owned.advanced


def test_a_short_outage_is_endured_and_a_long_one_ends_the_process(scorer: Scorer) -> None:
    scorer.consumer.ends = KafkaConnectionError("refused")
    scorer.consumer.now += 10
    scorer.owned.claim_ends()
    scorer.consumer.ends = {NEWS: 0}
    scorer.owned.claim_ends()
    scorer.consumer.ends = KafkaConnectionError("refused")
    scorer.consumer.now += 15
    scorer.owned.claim_ends()
    scorer.consumer.now += 15
    with pytest.raises(BrokerError, match="has not answered for 30 s"):
        scorer.owned.claim_ends()


def test_a_log_that_ends_before_what_was_read_of_it_ends_the_process(scorer: Scorer) -> None:
    scorer.finish(scorer.poll(0, 1, 2))
    scorer.owned.settle()
    for end in (1, 3, 1):  # a new leader that did not know its end
        scorer.consumer.ends = {NEWS: end}
        scorer.consumer.now += 15
        scorer.owned.claim_ends()
    scorer.consumer.now += 30
    with pytest.raises(TopicError, match="ends at 1, and was read up to 3: the topic was recreat"):
        scorer.owned.claim_ends()


def test_a_scorer_outside_its_group_is_not_ready() -> None:
    assert "has not joined" in str(Scorer().owned.why_not_ready)


def test_a_scorer_that_has_yet_to_take_up_its_partitions_is_not_ready() -> None:
    scorer = Scorer()
    scorer.assign()
    assert "take up 1 raw partitions" in str(scorer.owned.why_not_ready)
    scorer.poll()
    assert scorer.owned.why_not_ready is None


def test_a_scorer_whose_group_gave_it_nothing_is_ready() -> None:
    scorer = Scorer()
    asyncio.run(scorer.owned.on_partitions_assigned(set()))
    assert scorer.owned.why_not_ready is None


def test_a_scorer_in_a_rebalance_is_not_ready(scorer: Scorer) -> None:
    scorer.revoke()
    assert "waits for a rebalance" in str(scorer.owned.why_not_ready)


def test_a_scorer_that_lost_its_partitions_is_not_ready(scorer: Scorer) -> None:
    asyncio.run(scorer.owned.on_partitions_lost({NEWS}))
    assert "waits for a rebalance" in str(scorer.owned.why_not_ready)


def test_a_scorer_whose_broker_does_not_answer_is_not_ready(scorer: Scorer) -> None:
    scorer.consumer.ends = KafkaConnectionError()
    scorer.owned.claim_ends()
    assert scorer.owned.why_not_ready == "the broker does not answer"
    scorer.consumer.ends = {}
    scorer.owned.claim_ends()
    assert scorer.owned.why_not_ready is None


def test_a_scorer_that_gets_nothing_done_is_not_ready_and_then_ends(scorer: Scorer) -> None:
    scorer.poll(0, 1)
    for _ in range(25):
        scorer.look(after_seconds=1.0)
    assert "nothing of what was read has been done for 25 s" in str(scorer.owned.why_not_ready)
    for _ in range(95):
        scorer.look(after_seconds=1.0)
    with pytest.raises(UndertoneError, match="nothing of the 2 records that were read"):
        scorer.look(after_seconds=1.0)


def test_one_record_done_begins_the_count_anew(scorer: Scorer) -> None:
    jobs = scorer.poll(0, 1, 2)
    for job in jobs:
        for _ in range(115):
            scorer.look(after_seconds=1.0)
        scorer.finish([job])
        scorer.look(after_seconds=1.0)
    assert scorer.owned.why_not_ready is None


def test_a_process_that_stood_still_is_not_stuck(scorer: Scorer) -> None:
    scorer.poll(0)
    scorer.look(after_seconds=3600.0)
    assert scorer.owned.why_not_ready is None


def test_a_scorer_with_nothing_to_do_is_not_stuck(scorer: Scorer) -> None:
    for _ in range(300):
        scorer.look(after_seconds=1.0)
    assert scorer.owned.why_not_ready is None


def test_back_pressure_is_counted_in_seconds() -> None:
    scorer = Scorer(records=2)
    scorer.assign()
    scorer.poll()
    jobs = scorer.poll(0, 1)
    scorer.owned.pause_or_resume()
    scorer.consumer.now += 3.0
    scorer.owned.pause_or_resume()
    assert scorer.registry.get_sample_value("undertone_score_in_flight_records") == 2
    scorer.finish(jobs)
    scorer.owned.settle()
    scorer.consumer.now += 1.0
    scorer.owned.pause_or_resume()
    scorer.consumer.now += 9.0
    scorer.owned.pause_or_resume()
    assert scorer.registry.get_sample_value("undertone_score_paused_seconds_total") == 4.0
    assert scorer.registry.get_sample_value("undertone_score_in_flight_records") == 0
