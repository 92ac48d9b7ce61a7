"""LoRA, AdaLoRA and prefix tuning: they learn, move only their own weights, and are released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
pytest.importorskip("peft", reason="peft is not installed (the extra `torch`)")

from toy_training import SETTINGS, toy_rows, write_toy_base  # noqa: E402
from undertone_models.checkpoint import Checkpoint, CheckpointError  # noqa: E402
from undertone_models.classifier import load_classifier  # noqa: E402
from undertone_models.pretrained import load_base  # noqa: E402
from undertone_models.quantisation import quantise_checkpoint  # noqa: E402
from undertone_models.release import release  # noqa: E402
from undertone_models.training import train  # noqa: E402
from undertone_models.training_run import TrainingRun  # noqa: E402

LEARNING = replace(
    SETTINGS, epochs=20, batch_size=16, learning_rate=5e-3, layer_decay=1.0, ema_decay=0.9,
    save_every_steps=1000,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_toy_base(tmp_path_factory.mktemp("base"))


def answers_of(engine: Any, checkpoint: Path, rows: list[Any]) -> np.ndarray:
    classifier = load_classifier(engine, checkpoint, threads=1)
    return classifier.classify([row.pair for row in rows])


@pytest.mark.parametrize("method", ["lora", "adalora", "prefix"])
def test_only_the_adapter_and_the_head_are_trained(base: str, method: Any) -> None:
    run = TrainingRun(load_base(base), replace(SETTINGS, method=method), steps_total=20)
    trained = {name for name, each in run.model.named_parameters() if each.requires_grad}
    marks = {"lora": "lora_", "adalora": "lora_", "prefix": "prompt_encoder"}
    assert any("classifier" in name for name in trained)
    assert all("classifier" in name or marks[method] in name for name in trained)
    assert set(run.average) == trained


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_low_rank_adapter_learns_and_is_merged_into_an_ordinary_checkpoint(
    base: str, tmp_path: Path, method: Any
) -> None:
    losses: list[float] = []
    model, tokenizer = train(
        toy_rows(240, 1), base, tmp_path, replace(LEARNING, method=method),
        on_step=lambda step: losses.append(step.loss),
    )  # fmt: skip
    rows = toy_rows(60, 2)
    release(model, tokenizer, tmp_path, name="toy", version="1", max_tokens=16, held_out=rows)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    by_torch, by_onnx = (answers_of(engine, tmp_path, rows) for engine in ("torch", "onnx"))
    assert np.mean(by_torch.argmax(1) == [row.label for row in rows]) > 0.8
    assert np.abs(by_torch - by_onnx).mean() < 0.03
    assert not list(tmp_path.glob("adapter*"))


def test_adalora_ends_with_the_ranks_that_were_asked_for(base: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, method="adalora", rank=2, epochs=10)
    run = TrainingRun(load_base(base), settings, steps_total=60)
    encoded_by_rows(run, steps=60)
    pattern = run.model.peft_config["default"].rank_pattern
    kept = sum(sum(ranks) for ranks in pattern.values())
    assert kept == 2 * len(pattern)


def encoded_by_rows(run: TrainingRun, steps: int) -> None:
    from undertone_models.pairs import EncodedPair

    pairs = [EncodedPair([2, number, 3], [0, 0, 0]) for number in (5, 8, 11)]
    for _ in range(steps):
        run.advance(pairs, torch.tensor([0, 2, 1]), 0)


def test_a_prefix_learns_and_stays_beside_the_weights_for_torch_alone(
    base: str, tmp_path: Path
) -> None:
    losses: list[float] = []
    model, tokenizer = train(
        toy_rows(240, 1), base, tmp_path, replace(LEARNING, method="prefix", learning_rate=5e-2),
        on_step=lambda step: losses.append(step.loss),
    )  # fmt: skip
    rows = toy_rows(60, 2)
    with torch.no_grad():
        ids = torch.tensor([[2, 5, 13, 3]])
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.softmax(-1)
    checkpoint = release(
        model, tokenizer, tmp_path, name="toy", version="1", max_tokens=16, held_out=[]
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert np.mean(answers_of("auto", tmp_path, rows).argmax(1) == [r.label for r in rows]) > 0.6
    again = load_classifier("torch", tmp_path, threads=1)
    words = tokenizer.decode([5, 13], skip_special_tokens=False)
    from undertone_models.pairs import Pair

    np.testing.assert_allclose(again.classify([Pair(words)]), alone.numpy(), atol=2e-2)
    assert base not in (tmp_path / "adapter" / "adapter_config.json").read_text("utf-8")
    with pytest.raises(CheckpointError, match="engine onnx: not for a prefix-tuned model"):
        load_classifier("onnx", tmp_path)
    with pytest.raises(CheckpointError, match="quantise: not for a prefix-tuned model"):
        quantise_checkpoint(checkpoint)


def test_an_ordinary_model_released_over_a_prefix_leaves_none_of_it(
    base: str, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, epochs=0.2)
    for method in ("prefix", "full"):
        model, tokenizer = train(
            toy_rows(64, 1), base, tmp_path / method, replace(settings, method=method)
        )
        release(
            model, tokenizer, tmp_path / "out", name="toy", version="1", max_tokens=16, held_out=[]
        )
    assert not Checkpoint.load(tmp_path / "out").prefix_path.exists()
    load_classifier("onnx", tmp_path / "out", threads=1)
