"""Another model is put to work while messages are on their way, or the old one stays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pytest

from stepped_pipeline import Named, Pipeline, message
from undertone.scoring.checkpoints import Checkpoints
from undertone.scoring.model_changes import ModelChanges
from undertone_models.classifier import EncodedPair, FloatArray, SentimentClassifier


class Broken(Named):
    """Loads, and fails at its first pass."""

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        raise RuntimeError("no such operator")


def changed(pipeline: Pipeline, loaded: Mapping[str, SentimentClassifier]) -> bool:
    return ModelChanges(pipeline.metrics, 100).change(pipeline.lanes, lambda: loaded)


def outcomes(pipeline: Pipeline) -> dict[str, float | None]:
    return {
        outcome: pipeline.registry.get_sample_value(
            "undertone_score_model_changes_total", {"outcome": outcome}
        )
        for outcome in ("taken_up", "refused")
    }


@pytest.mark.parametrize("stages", [1, 2, 3], ids=["decoded", "tokenised", "scored"])
def test_what_is_on_its_way_is_finished_by_the_model_before(stages: int) -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    pipeline.admit(message("Acme wins"))
    for stage in range(stages):
        pipeline.step(stage)
    assert changed(pipeline, {"default": Named("m@2", 10_000)})
    pipeline.admit(message("Acme falls"))
    pipeline.finish()
    assert [mention.model for mention in pipeline.mentions] == ["m@1", "m@2"]
    assert outcomes(pipeline) == {"taken_up": 1, "refused": 0}


def test_no_batch_mixes_the_two() -> None:
    old, new = Named("m@1", 10_000), Named("m@2", 10_000)
    pipeline = Pipeline(old)
    pipeline.admit(message("Acme wins"))
    pipeline.step(0)
    changed(pipeline, {"default": new})
    new.batches.clear()
    pipeline.admit(message("Acme falls"))
    pipeline.step(0)
    pipeline.finish()
    assert (old.batches, new.batches) == ([1], [1])


def test_what_the_old_one_remembers_does_not_answer_for_the_new() -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    pipeline.admit(message("Acme wins"))
    pipeline.finish()
    new = Named("m@2", 10_000)
    changed(pipeline, {"default": new})
    pipeline.admit(message("Acme wins"))
    pipeline.finish()
    assert [mention.model for mention in pipeline.mentions] == ["m@1", "m@2"]
    assert new.batches[-1] == 1


def test_the_new_one_is_warmed_before_it_works() -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    new = Named("m@2", 10_000)
    changed(pipeline, {"default": new})
    assert new.batches == [1, 8]


def test_one_that_cannot_be_loaded_leaves_the_old_at_work(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(Named("m@1", 10_000))

    def load() -> Mapping[str, SentimentClassifier]:
        raise ValueError("./broken: no model.onnx")

    with caplog.at_level(logging.ERROR):
        assert not ModelChanges(pipeline.metrics, 100).change(pipeline.lanes, load)
    assert "m@1 goes on: ./broken: no model.onnx" in caplog.text
    pipeline.admit(message("Acme wins"))
    pipeline.finish()
    assert pipeline.mentions[0].model == "m@1"
    assert outcomes(pipeline) == {"taken_up": 0, "refused": 1}


def test_one_that_cannot_read_leaves_the_old_at_work(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    assert not changed(pipeline, {"default": Broken("m@2", 10_000)})
    assert "no such operator" in caplog.text
    assert pipeline.lanes["default"].model.classifier.name == "m@1"


def test_one_that_failed_is_tried_again_when_it_is_next_asked_for() -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    paths: dict[str, str | None] = {"default": "./old"}
    made: list[SentimentClassifier] = [Named("m@2", 10_000), Broken("m@2", 10_000), Named("m@1", 1)]
    checkpoints = Checkpoints(lambda: paths, lambda _path: made.pop())
    checkpoints.load()
    checkpoints.taken_up()
    paths["default"] = "./new"
    changes = ModelChanges(pipeline.metrics, 100)
    assert not changes.change(pipeline.lanes, checkpoints.load, checkpoints.taken_up)
    assert checkpoints.changed()
    assert changes.change(pipeline.lanes, checkpoints.load, checkpoints.taken_up)
    assert not checkpoints.changed()
    assert pipeline.lanes["default"].model.classifier.name == "m@2"


def test_each_language_keeps_its_lane_and_all_change_or_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = Pipeline(Named("en@1", 10_000), {"zh": Named("zh@1", 10_000)})
    assert not changed(pipeline, {"default": Named("en@2", 10_000)})
    assert "languages cannot be added or taken away" in caplog.text
    broken = {"default": Named("en@2", 10_000), "zh": Broken("zh@2", 10_000)}
    assert not changed(pipeline, broken)
    assert pipeline.lanes["default"].model.classifier.name == "en@1"
    assert changed(pipeline, {"default": Named("en@2", 10_000), "zh": Named("zh@2", 10_000)})
    pipeline.admit(message("Acme wins", language="zh"))
    pipeline.finish()
    assert pipeline.mentions[0].model == "zh@2"


def test_languages_that_share_a_checkpoint_cannot_be_parted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = Pipeline(Named("m@1", 10_000))
    pipeline.lanes["zh"] = pipeline.lanes["default"]
    apart = {"default": Named("m@2", 10_000), "zh": Named("zh@1", 10_000)}
    assert not changed(pipeline, apart)
    assert "shared its checkpoint" in caplog.text
    both = Named("m@2", 10_000)
    assert changed(pipeline, {"default": both, "zh": both})
