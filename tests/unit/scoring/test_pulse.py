"""A model whose device dies: nothing waits, what it should read is unscored, and it comes back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepped_pipeline import Named, Pipeline, message
from undertone.pulse import LONGEST_WAIT_SECONDS, Pulse
from undertone.records import MentionStatus
from undertone_models.classifier import EncodedPair, FloatArray


class Mortal(Named):
    """Reads while its device lives; `poison` is a number of tokens that it never reads."""

    def __init__(self, *, poison: int = 0, name: str = "m@1") -> None:
        super().__init__(name, 10_000)
        self.dead, self.poison, self.asked = False, poison, 0

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        self.asked += 1
        if self.dead:
            raise RuntimeError("CUDA error: the launch failed\nsee the manual")
        if any(len(pair.ids) == self.poison for pair in batch):
            raise ValueError("poison")
        return super().forward(batch)


def statuses(pipeline: Pipeline) -> list[MentionStatus]:
    return [mention.status for mention in pipeline.mentions]


def read(pipeline: Pipeline, *texts: str) -> None:
    for text in texts:
        pipeline.admit(message(text))
    pipeline.finish()


SCORED, UNSCORED = MentionStatus.SCORED, MentionStatus.UNSCORED


def test_a_dead_model_leaves_its_messages_unscored_and_is_not_asked_each_time() -> None:
    model = Mortal()
    pipeline = Pipeline(model)
    read(pipeline, "Acme wins")
    model.dead = True
    read(pipeline, "Acme falls", "Acme sues")
    asked = model.asked
    read(pipeline, "Acme opens", "Acme closes")
    assert statuses(pipeline) == [SCORED, *[UNSCORED] * 4]
    assert model.asked == asked
    assert pipeline.ledger.totals.unscored == 4
    labels = {"status": "unscored"}
    assert pipeline.registry.get_sample_value("undertone_score_mentions_total", labels) == 4


def test_it_reads_again_when_its_device_is_back() -> None:
    model = Mortal()
    pipeline = Pipeline(model)
    model.dead = True
    read(pipeline, "Acme falls")
    model.dead = False
    read(pipeline, "Acme sues")  # its wait is not over
    pipeline.now = 1.0
    read(pipeline, "Acme falls")  # what failed was not cached
    assert statuses(pipeline) == [UNSCORED, UNSCORED, SCORED]


def test_it_is_loaded_anew_where_the_old_one_stays_dead() -> None:
    dead, fresh = Mortal(), Mortal()
    pipeline = Pipeline(dead, load_again=lambda: fresh)
    dead.dead = True
    read(pipeline, "Acme falls")
    pipeline.now = 1.0
    read(pipeline, "Acme sues")
    assert statuses(pipeline) == [UNSCORED, SCORED]
    assert pipeline.lanes["default"].model.classifier is fresh


def test_files_that_hold_another_version_are_not_taken_up_in_its_place() -> None:
    dead = Mortal()
    pipeline = Pipeline(dead, load_again=lambda: Mortal(name="m@2"))
    dead.dead = True
    read(pipeline, "Acme falls")
    pipeline.now = 1.0
    read(pipeline, "Acme sues")
    assert statuses(pipeline) == [UNSCORED, UNSCORED]
    pulse = pipeline.lanes["default"].model.pulse
    assert "m@2" in pulse.error
    assert pulse.dead_seconds == 1.0


def test_a_poisonous_text_alone_in_its_batch_is_no_death() -> None:
    model = Mortal(poison=5)
    pipeline = Pipeline(model)
    read(pipeline, "Acme does what kills models")
    read(pipeline, "Acme wins")
    assert statuses(pipeline) == [UNSCORED, SCORED]


def test_waits_double_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    model = Mortal()
    pulse = Pulse(model, clock=lambda: now[0])
    model.dead = True
    with caplog.at_level(logging.ERROR):
        pulse.doubt()
        tried = []
        while now[0] < 200:
            asked = model.asked
            assert not pulse.answers()
            if model.asked > asked:
                tried.append(now[0])
            now[0] += 0.5
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert tried[0] == 1.0
    assert gaps[:5] == [2.0, 4.0, 8.0, 16.0, LONGEST_WAIT_SECONDS]
    assert set(gaps[5:]) == {LONGEST_WAIT_SECONDS}
    assert len(caplog.records) == 1 + len(tried)
    assert "the launch failed" in caplog.text
    assert "see the manual" not in caplog.text


def test_memory_that_runs_out_while_it_is_doubted_is_raised() -> None:
    class Hungry(Mortal):
        def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
            raise MemoryError

    with pytest.raises(MemoryError):
        Pulse(Hungry()).doubt()


@given(st.lists(st.sampled_from(["message", "die", "live", "wait"]), max_size=40))
def test_whenever_it_dies_every_message_is_counted_once(happenings: list[str]) -> None:
    model = Mortal()
    pipeline = Pipeline(model)
    for number, what in enumerate(happenings):
        if what == "message":
            read(pipeline, f"Acme item {number}")
            assert not (statuses(pipeline)[-1] is SCORED and model.dead)
        elif what == "wait":
            pipeline.now += LONGEST_WAIT_SECONDS
        else:
            model.dead = what == "die"
    model.dead = False
    pipeline.now += LONGEST_WAIT_SECONDS
    read(pipeline, "Acme wins")
    assert statuses(pipeline)[-1] is SCORED
    totals = pipeline.ledger.totals
    assert totals.scored + totals.unscored == happenings.count("message") + 1
    assert len(pipeline.mentions) == totals.scored + totals.unscored
