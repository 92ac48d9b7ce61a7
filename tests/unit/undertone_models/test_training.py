"""Training: deterministic, resumable after a kill, and the checkpoint it makes can be loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from toy_training import SETTINGS, toy_rows, weights_of, write_toy_base  # noqa: E402
from undertone_models.checkpoint import Checkpoint, CheckpointError  # noqa: E402
from undertone_models.classifier import load_classifier  # noqa: E402
from undertone_models.pretrained import load_base, tokens_read  # noqa: E402
from undertone_models.release import release, write_weights  # noqa: E402
from undertone_models.training import (  # noqa: E402
    TrainingEvaluation,
    TrainingStep,
    target_markers,
    train,
)
from undertone_models.training_run import TrainingRun  # noqa: E402
from undertone_models.training_settings import Augmentation, TrainingError, TrainingSettings  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_toy_base(tmp_path_factory.mktemp("base"))


def trained(base: str, out: Path, settings: TrainingSettings, **options: Any) -> np.ndarray:
    model, _ = train(toy_rows(64, 1), base, out, settings, **options)
    return weights_of(model)


def test_the_same_seed_gives_the_same_weights(base: str, tmp_path: Path) -> None:
    first = trained(base, tmp_path / "a", SETTINGS)
    np.testing.assert_array_equal(first, trained(base, tmp_path / "b", SETTINGS))
    other = trained(base, tmp_path / "c", replace(SETTINGS, seed=18))
    assert not np.array_equal(first, other)


def test_made_up_rows_join_those_given(base: str, tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    trained(base, tmp_path, replace(SETTINGS, epochs=1.0, directions=32), on_step=steps.append)
    assert sum(step.rows for step in steps) == 96


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout": 0.2, "schedule": "cosine", "accumulate": 2},
        {"passes": {"toy": 1.5}, "class_weights": "balanced", "schedule": "stable"},
        {"patience": 9, "evaluate_every_steps": 4},
        {"augment": Augmentation(typos=0.5, drop_links=0.5, swap_targets=0.5)},
        {"distillation_weight": 0.5, "augment": Augmentation(near_words=0.5)},
        {"method": "lora"},
        {"method": "adalora"},
        {"method": "prefix"},
    ],
    ids=str,
)
def test_a_run_that_was_killed_resumes_to_the_same_weights(
    base: str, teacher: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = replace(SETTINGS, **changes)
    if settings.distillation_weight:
        settings = replace(settings, teacher=teacher)
    options = {"validation": toy_rows(30, 5)}
    whole = trained(base, tmp_path / "whole", settings, **options)

    def die(step: TrainingStep) -> None:
        if step.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(base, tmp_path / "killed", settings, on_step=die, **options)
    steps: list[int] = []
    resumed = trained(
        base, tmp_path / "killed", settings, resume=True,
        on_step=lambda step: steps.append(step.step), **options,
    )  # fmt: skip
    assert steps[0] == 10  # the state of step 9 was the last one saved
    np.testing.assert_array_equal(whole, resumed)


@pytest.mark.parametrize("difference", ["settings", "rows", "state"])
def test_resuming_another_run_is_refused(base: str, tmp_path: Path, difference: str) -> None:
    settings = replace(SETTINGS, epochs=1)
    trained(base, tmp_path, settings)
    rows = toy_rows(64, 1)
    if difference == "settings":
        settings = replace(settings, batch_size=4)
    if difference == "rows":
        rows = toy_rows(64, 2)
    if difference == "state":
        (tmp_path / "training_state.pt").write_bytes(b"half a file")
    message = "cannot be read" if difference == "state" else "other settings or rows"
    with pytest.raises(CheckpointError, match=message):
        train(rows, base, tmp_path, settings, resume=True)


def test_a_batch_computed_in_parts_takes_the_same_steps(base: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, head_dropout=0.0, class_weights=(1, 2, 3))
    whole, parts = [], []
    trained(base, tmp_path / "a", settings, on_step=whole.append)
    trained(base, tmp_path / "b", replace(settings, accumulate=3), on_step=parts.append)
    assert len(whole) == len(parts)
    assert [step.loss for step in parts] == pytest.approx([step.loss for step in whole], rel=0.01)


def test_a_longest_gradient_of_almost_nothing_holds_the_weights(base: str, tmp_path: Path) -> None:
    # AdamW takes away a gradient's scale, so it is one far below its epsilon that shows.
    still = replace(SETTINGS, epochs=1, clip_norm=1e-14, weight_decay=0.0, ema_decay=0.0)
    moving = replace(still, clip_norm=1.0)
    start = trained(base, tmp_path / "start", replace(still, learning_rate=1e-12))
    assert np.abs(trained(base, tmp_path / "still", still) - start).max() < 1e-4
    assert np.abs(trained(base, tmp_path / "moving", moving) - start).max() > 1e-3


def test_it_stops_when_validation_rises_no_more_and_keeps_the_best(
    base: str, tmp_path: Path
) -> None:
    settings = replace(
        SETTINGS, epochs=60, learning_rate=1e-2, ema_decay=0.5, patience=2, evaluate_every_steps=5
    )
    seen: list[TrainingEvaluation] = []
    steps: list[int] = []
    validation = toy_rows(60, 2)
    model, tokenizer = train(
        toy_rows(64, 1), base, tmp_path, settings, validation=validation,
        on_step=lambda step: steps.append(step.step), on_evaluation=seen.append,
    )  # fmt: skip
    best = max(seen, key=lambda each: each.score)
    assert steps[-1] < 60 * 8
    assert [each.step for each in seen if each.is_best][-1] == best.step
    assert steps[-1] == seen[-1].step == best.step + 2 * 5
    checkpoint = release(
        model, tokenizer, tmp_path, name="toy", version="1", max_tokens=16, held_out=[]
    )
    answers = load_classifier("torch", checkpoint.path, threads=1).classify(
        [row.pair for row in validation]
    )
    right = np.mean(answers.argmax(1) == [row.label for row in validation])
    assert right == pytest.approx(best.per_source["toy"]["accuracy"], abs=0.02)


def test_patience_needs_rows_to_watch(base: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no rows to evaluate on"):
        trained(base, tmp_path, replace(SETTINGS, patience=2))


def test_bfloat16_trains_too_and_float16_is_for_cuda(base: str, tmp_path: Path) -> None:
    assert np.isfinite(trained(base, tmp_path, replace(SETTINGS, precision="bfloat16"))).all()
    with pytest.raises(TrainingError, match="is for CUDA"):
        trained(base, tmp_path, replace(SETTINGS, precision="float16"), device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_learns_the_same_in_every_precision(
    base: str, tmp_path: Path, precision: str
) -> None:
    losses: list[float] = []
    settings = replace(SETTINGS, epochs=20, learning_rate=1e-2, precision=precision)
    train(
        toy_rows(240, 1), base, tmp_path, settings,
        device="cuda", on_step=lambda step: losses.append(step.loss),
    )  # fmt: skip
    assert losses[-1] < losses[0] / 2


def test_soft_targets_teach_what_the_labels_do_not_say(base: str, tmp_path: Path) -> None:
    teacher = {0: (0.1, 0.8, 0.1), 1: (0.1, 0.1, 0.8), 2: (0.8, 0.1, 0.1)}
    rows = [row._replace(soft=teacher[row.label]) for row in toy_rows(240, 1)]
    settings = replace(
        SETTINGS, epochs=20, batch_size=16, learning_rate=1e-2, ema_decay=0.9,
        label_smoothing=0.0, distillation_weight=1.0,
    )  # fmt: skip
    model, tokenizer = train(rows, base, tmp_path, settings)
    release(model, tokenizer, tmp_path, name="toy", version="1", max_tokens=16, held_out=[])
    answers = load_classifier("torch", tmp_path, threads=1).classify(
        [row.pair for row in rows[:30]]
    )
    expected = [teacher[row.label] for row in rows[:30]]
    assert np.abs(answers - expected).mean() < 0.1


@pytest.fixture(scope="module")
def teacher(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that has learnt other labels than the rows', each one further on."""
    folder = tmp_path_factory.mktemp("teacher")
    rows = [row._replace(label=(row.label + 1) % 3) for row in toy_rows(240, 1)]
    settings = replace(SETTINGS, epochs=20, batch_size=16, learning_rate=1e-2, ema_decay=0.9)
    model, tokenizer = train(rows, base, folder, settings)
    release(model, tokenizer, folder, name="wise", version="1", max_tokens=16, held_out=rows[:60])
    return str(folder)


def test_a_teachers_answers_are_learnt(base: str, teacher: str, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, epochs=20, batch_size=16, learning_rate=1e-2, ema_decay=0.9,
        label_smoothing=0.0, teacher=teacher, distillation_weight=1.0,
    )  # fmt: skip
    rows = [row for row in toy_rows(400, 2) if row.target is None]
    model, tokenizer = train(rows, base, tmp_path, settings)
    release(model, tokenizer, tmp_path, name="toy", version="1", max_tokens=16, held_out=[])
    pairs = [row.pair for row in toy_rows(60, 3) if row.target is None]
    answers, expected = (
        load_classifier("torch", path, threads=1, calibrated=False).classify(pairs)
        for path in (tmp_path, teacher)
    )
    assert (answers.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "wise"}, "distillation_weight is 0"),
        ({"augment": Augmentation(near_words=0.5)}, "there is no teacher"),
    ],
    ids=["weight", "teacher"],
)
def test_a_teacher_that_would_not_be_heard_or_is_missing_is_told(
    base: str, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        trained(base, tmp_path, replace(SETTINGS, **changes))


def test_a_teacher_that_is_no_checkpoint_is_told(base: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, teacher=str(tmp_path / "none"), distillation_weight=0.5)
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        trained(base, tmp_path, settings)


def test_distillation_needs_probabilities(base: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no row has p_negative"):
        trained(base, tmp_path, replace(SETTINGS, distillation_weight=0.5))


def test_rows_without_a_label_are_refused(base: str, tmp_path: Path) -> None:
    rows = [row for row in toy_rows(64, 1) if row.label != 1]
    with pytest.raises(TrainingError, match="with label neutral"):
        train(rows, base, tmp_path, SETTINGS)


def test_a_checkpoint_that_marks_targets_goes_on_doing_so(base: str, tmp_path: Path) -> None:
    short = replace(SETTINGS, epochs=0.2)
    marked = replace(short, target_marking="markers")
    model, tokenizer = train(toy_rows(64, 1), base, tmp_path / "first", marked)
    write_weights(model, tokenizer, tmp_path / "first", max_tokens=16)
    _, again = train(toy_rows(64, 1), str(tmp_path / "first"), tmp_path / "second", short)
    assert target_markers(again, short) == ("[target]", "[/target]")
    assert target_markers(again, replace(short, target_marking="none")) is None
    _, plain = train(toy_rows(64, 1), base, tmp_path / "third", short)
    assert target_markers(plain, short) is None


def test_an_encoder_of_another_architecture_is_trained_alike(base: str, tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=14, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64
    )
    DistilBertModel(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(Path(base, "tokenizer.json").read_bytes())
    model = load_base(str(tmp_path), replace(SETTINGS, dropout=0.2, head_dropout=0.3))
    assert (model.config.dropout, model.config.seq_classif_dropout) == (0.2, 0.3)
    rates = {
        group["lr"] for group in TrainingRun(model, SETTINGS, steps_total=9).optimiser.param_groups
    }
    assert len(rates) == 4  # embeddings, two layers, head
    weights = trained(str(tmp_path), tmp_path / "out", replace(SETTINGS, epochs=0.3))
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("model_type", "pad_id", "expected"), [("modernbert", 50_283, 64), ("roberta", 1, 62)]
)
def test_as_many_tokens_are_read_as_an_architecture_has_positions_for(
    model_type: str, pad_id: int, expected: int
) -> None:
    from transformers import AutoConfig

    config = AutoConfig.for_model(model_type, max_position_embeddings=64, pad_token_id=pad_id)
    settings = replace(SETTINGS, max_tokens=512)
    assert tokens_read(SimpleNamespace(config=config), settings) == expected


def test_a_head_for_the_same_labels_in_another_order_is_gone_on_with(
    base: str, tmp_path: Path
) -> None:
    model = load_base(base)
    model.config.id2label = {0: "positive", 1: "negative", 2: "neutral"}
    model.save_pretrained(tmp_path)
    again = load_base(str(tmp_path))
    assert again.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    np.testing.assert_array_equal(
        again.classifier.weight.detach(), model.classifier.weight.detach()[[1, 2, 0]]
    )


def test_a_trained_checkpoint_learns_and_both_engines_read_it(base: str, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, epochs=30, batch_size=16, learning_rate=1e-2, ema_decay=0.9,
        target_marking="markers", save_every_steps=1000,
    )  # fmt: skip
    model, tokenizer = train(toy_rows(240, 1), base, tmp_path / "out", settings)
    held_out = toy_rows(60, 2)
    checkpoint = release(
        model, tokenizer, tmp_path / "out", name="toy", version="1", max_tokens=16,
        held_out=held_out, threads=1, target_markers=target_markers(tokenizer, settings),
    )  # fmt: skip
    assert checkpoint == Checkpoint.load(tmp_path / "out")
    assert checkpoint.name == "toy@1"
    assert checkpoint.target_markers == ("[target]", "[/target]")
    for engine in ("onnx", "torch"):
        classifier = load_classifier(engine, tmp_path / "out", threads=1)  # type: ignore[arg-type]
        answers = classifier.classify([row.pair for row in held_out]).argmax(1)
        assert np.mean(answers == [row.label for row in held_out]) > 0.9


def test_the_lowest_layers_of_a_base_can_be_kept_alone(base: str) -> None:
    whole, cut = load_base(base), load_base(base, replace(SETTINGS, layers=1))
    kept = cut.state_dict()
    assert cut.config.num_hidden_layers == 1 and whole.config.num_hidden_layers == 2
    assert any(".layer.0." in name for name in kept)
    assert not any(".layer.1." in name for name in kept)
    for name, value in whole.state_dict().items():
        if name in kept and not name.startswith(("classifier", "bert.pooler")):
            torch.testing.assert_close(kept[name], value)


def test_more_layers_than_the_base_has_are_refused(base: str) -> None:
    with pytest.raises(TrainingError, match="layers: 3 are asked for"):
        load_base(base, replace(SETTINGS, layers=3))
