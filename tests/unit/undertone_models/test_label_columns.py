"""Models with labels in any order, two of them or five: both engines read them as our three."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from transformers import BertForSequenceClassification  # noqa: E402

from tiny_models import write_tiny_base  # noqa: E402
from undertone_models.checkpoint import Checkpoint  # noqa: E402
from undertone_models.classifier import Engine, Pair, load_classifier  # noqa: E402
from undertone_models.quantisation import quantise_checkpoint  # noqa: E402

PAIRS = [Pair("the shop is good", "shop"), Pair("the phone is bad", "phone"), Pair("plain", None)]
# Each name's logit, whatever the text: the head has no weights, only these biases.
LOGITS = {"neg": 1.0, "neu": 0.0, "pos": -1.0}
STARS = {"1 star": 1.0, "2 stars": 0.5, "3 stars": 0.0, "4 stars": -0.5, "5 stars": -1.0}


def write_model(folder: Path, logits: dict[str, float]) -> Path:
    """A checkpoint whose outputs are called so, and answer so."""
    torch.set_num_threads(1)
    write_tiny_base(folder)
    names = dict(enumerate(logits))
    model = BertForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), id2label=names
    )
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor(list(logits.values())))
    model.save_pretrained(folder)
    quantise_checkpoint(Checkpoint.load(folder))
    return folder


def shares(*logits: float) -> list[float]:
    exponents = np.exp(logits)
    return list(exponents / exponents.sum())


TWO, THREE, FIVE = shares(1, -1), shares(1, 0, -1), shares(1, 0.5, 0, -0.5, -1)


@pytest.fixture(
    scope="module",
    params=[
        ({name: LOGITS[name] for name in ("pos", "neg", "neu")}, THREE, None),
        ({name: LOGITS[name] for name in ("pos", "neg")}, [TWO[0], 0, TWO[1]], "always 0"),
        (STARS, [FIVE[0] + FIVE[1], FIVE[2], FIVE[3] + FIVE[4]], "a sum of two"),
    ],
    ids=["three", "two", "five"],
)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[float], str | None]:
    logits, expected, note = request.param
    return write_model(tmp_path_factory.mktemp("model"), logits), expected, note


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_both_engines_answer_in_our_labels_and_say_what_is_odd(
    model: tuple[Path, list[float], str | None], engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    folder, expected, note = model
    with caplog.at_level(logging.WARNING, logger="undertone_models"):
        classifier = load_classifier(
            engine, folder, threads=1, device="cpu" if engine == "torch" else None
        )
    result = classifier.classify(PAIRS)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [expected] * len(PAIRS), atol=0.002)
    warnings = [each.getMessage() for each in caplog.records if "undertone_models" in each.name]
    assert [note in warning for warning in warnings] == [True] * (note is not None)  # type: ignore[operator]


def test_a_config_that_names_more_outputs_than_the_weights_have_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, LOGITS)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "neg", "1": "pos"}
    config["label2id"] = {"neg": 0, "pos": 1}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(Exception, match=str(folder)) as caught:
        load_classifier("torch", folder, device="cpu")
    assert type(caught.value).__name__ == "CheckpointError"
