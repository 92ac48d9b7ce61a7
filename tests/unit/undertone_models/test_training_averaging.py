"""The mean of finished checkpoints' weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from toy_training import weights_of, write_toy_base  # noqa: E402
from undertone_models.averaging import averaged_weights  # noqa: E402
from undertone_models.checkpoint import CheckpointError  # noqa: E402
from undertone_models.pretrained import load_base, load_tokenizer  # noqa: E402
from undertone_models.release import write_weights  # noqa: E402


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two that differ in their heads."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    base = write_toy_base(tmp_path_factory.mktemp("base"))
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        model = load_base(base)
        torch.nn.init.normal_(model.classifier.weight)
        write_weights(model, load_tokenizer(base), folder, max_tokens=16)
    return folders


def test_the_weights_are_the_mean_by_the_shares(checkpoints: list[Path]) -> None:
    one, two = (weights_of(averaged_weights([path])) for path in checkpoints)
    assert not np.array_equal(one, two)
    np.testing.assert_allclose(
        weights_of(averaged_weights(checkpoints)), (one + two) / 2, atol=1e-6
    )
    mixed = weights_of(averaged_weights(checkpoints, [3, 1]))
    np.testing.assert_allclose(mixed, 0.75 * one + 0.25 * two, atol=1e-6)


def test_checkpoints_with_other_labels_are_not_averaged(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    for file in checkpoints[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    config["id2label"] = {"0": "positive", "1": "neutral", "2": "negative"}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CheckpointError, match="label order"):
        averaged_weights([checkpoints[0], tmp_path])
