"""What the torch engine refuses to load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny_models import write_tiny_base
from undertone_models.checkpoint import CheckpointError
from undertone_models.classifier import load_classifier

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An encoder whose config names three labels, but which has no head for them."""
    write_tiny_base(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "negative", "1": "neutral", "2": "positive"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def load(folder: Path) -> None:
    load_classifier("torch", folder, device="cpu", threads=1)


def test_an_encoder_without_a_head_is_no_classifier(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"it lacks classifier\.bias"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_corrupt_weights_are_named(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="the weights cannot be read"):
        load(folder)


def test_pickled_weights_are_not_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert "pickled weights are not loaded" in str(caught.value.hint)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="torch finds no CUDA device"):
        load_classifier("torch", folder, device="cuda")


def test_code_that_a_checkpoint_brings_is_not_run(folder: Path) -> None:
    """transformers would import modelling code of the folder, if it were told to trust it."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model_type"] = "its-own"
    config["auto_map"] = {
        "AutoConfig": "its_own.Config",
        "AutoModelForSequenceClassification": "its_own.Model",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "its_own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")
    with pytest.raises(CheckpointError, match="the weights cannot be read") as caught:
        load(folder)
    assert "code of a checkpoint is not run" in str(caught.value.hint)
    assert not (folder / "ran").exists()


def test_a_pickle_beside_safetensors_is_left_alone(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(CheckpointError, match=r"it lacks classifier\.bias"):
        load(folder)
