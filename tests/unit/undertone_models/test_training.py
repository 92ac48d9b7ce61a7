"""Training: deterministic, resumable after a kill, and the checkpoint it makes can be loaded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification  # noqa: E402

from undertone_models.checkpoint import Checkpoint, CheckpointError  # noqa: E402
from undertone_models.classifier import load_classifier  # noqa: E402
from undertone_models.labelled import LabelledRow  # noqa: E402
from undertone_models.release import release  # noqa: E402
from undertone_models.training import TrainingSettings, TrainingStep, train  # noqa: E402

BAD, GOOD, PLAIN = ["awful", "broken", "bad"], ["lovely", "great", "fine"], ["table", "door", "on"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SETTINGS = TrainingSettings(
    epochs=4, batch_size=8, learning_rate=3e-3, save_every_steps=3, max_tokens=16
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT with random weights and a vocabulary of a dozen words."""
    folder = tmp_path_factory.mktemp("base")
    vocabulary = {word: n for n, word in enumerate([*SPECIAL, *BAD, *GOOD, *PLAIN])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    BertForSequenceClassification(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
            initializer_range=0.2,  # with the usual 0.02 so small a model may learn two labels only
        )
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def rows(count: int, seed: int) -> list[LabelledRow]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        label = draw.randrange(3)
        words = [draw.choice((BAD, PLAIN, GOOD)[label]), *draw.choices(PLAIN, k=3)]
        draw.shuffle(words)
        made.append(LabelledRow(" ".join(words), draw.choice([None, "door"]), label, "toy", None))
    return made


def weights(model: Any) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in model.parameters()])


def test_the_same_seed_gives_the_same_weights(base: str, tmp_path: Path) -> None:
    first, _ = train(rows(64, 1), base, tmp_path / "a", SETTINGS)
    second, _ = train(rows(64, 1), base, tmp_path / "b", SETTINGS)
    np.testing.assert_array_equal(weights(first), weights(second))


def test_a_run_that_was_killed_resumes_to_the_same_weights(base: str, tmp_path: Path) -> None:
    whole, _ = train(rows(64, 1), base, tmp_path / "whole", SETTINGS)

    def die(step: TrainingStep) -> None:
        if step.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(rows(64, 1), base, tmp_path / "killed", SETTINGS, on_step=die)
    steps: list[int] = []
    resumed, _ = train(
        rows(64, 1), base, tmp_path / "killed", SETTINGS, resume=True,
        on_step=lambda step: steps.append(step.step),
    )  # fmt: skip
    assert steps[0] == 10  # the state of step 9 was the last one saved
    np.testing.assert_array_equal(weights(whole), weights(resumed))


def test_resuming_with_other_settings_is_refused(base: str, tmp_path: Path) -> None:
    train(rows(64, 1), base, tmp_path, SETTINGS)
    other = TrainingSettings(epochs=1, batch_size=8, max_tokens=16)
    with pytest.raises(CheckpointError, match="other settings"):
        train(rows(64, 1), base, tmp_path, other, resume=True)


def test_a_trained_checkpoint_learns_and_both_engines_read_it(base: str, tmp_path: Path) -> None:
    settings = TrainingSettings(
        epochs=40, batch_size=16, learning_rate=1e-2, ema_decay=0.9, max_tokens=16
    )
    model, tokenizer = train(rows(240, 1), base, tmp_path / "out", settings)
    held_out = rows(60, 2)
    checkpoint = release(
        model, tokenizer, tmp_path / "out", name="toy", version="1", max_tokens=16,
        held_out=held_out, threads=1,
    )  # fmt: skip
    assert checkpoint == Checkpoint.load(tmp_path / "out")
    assert checkpoint.name == "toy@1"
    for engine in ("onnx", "torch"):
        classifier = load_classifier(engine, tmp_path / "out", threads=1)  # type: ignore[arg-type]
        answers = classifier.classify([row.pair for row in held_out]).argmax(1)
        assert np.mean(answers == [row.label for row in held_out]) > 0.9
