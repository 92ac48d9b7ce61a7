"""Reading the description of a checkpoint folder."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_models import tiny_tokenizer
from undertone_models import classifier as classifier_module
from undertone_models.calibration import Calibration
from undertone_models.checkpoint import (
    COUNT_FROM_PADDING,
    Checkpoint,
    CheckpointError,
    bundled,
    label_columns,
    require_torch,
    resolve,
)
from undertone_models.classifier import load_classifier

NAMES = {"0": "negative", "1": "neutral", "2": "positive"}


def write(folder: Path, **files: Any) -> Path:
    """A folder with a config that names its labels; `files` replace or add JSON files."""
    contents = {"config": {"id2label": NAMES, "max_position_embeddings": 64}, **files}
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["negative", "neutral", "positive"], ((0,), (1,), (2,))),
        (["positive", "negative", "neutral"], ((1,), (2,), (0,))),
        (["Bearish", "Bullish", "Neutral"], ((0,), (2,), (1,))),
        (["POS", "NEU", "NEG"], ((2,), (1,), (0,))),
        (["中性", "正面", "负面"], ((2,), (0,), (1,))),
        (["积极", "中立", "消极"], ((2,), (1,), (0,))),
        (["POSITIVE", "NEGATIVE"], ((1,), (), (0,))),
        (["消极", "积极"], ((0,), (), (1,))),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], ((0, 1), (2,), (3, 4))),
        (
            ["Very Positive", "positive", "neutral", "negative", "very_negative"],
            ((3, 4), (2,), (0, 1)),
        ),
    ],
)
def test_the_order_of_labels_is_read_from_their_names(names: list[str], columns: object) -> None:
    config = {"id2label": {str(index): name for index, name in enumerate(names)}}
    assert label_columns(config, Path("config.json")) == columns


@given(st.permutations(["neg", "neu", "pos"]))
def test_three_labels_are_found_in_any_order(names: list[str]) -> None:
    columns = label_columns({"id2label": dict(enumerate(names))}, Path("config.json"))
    assert [names[output] for (output,) in columns] == ["neg", "neu", "pos"]


@pytest.mark.parametrize(
    "id2label",
    [
        None,
        {},
        ["negative", "neutral", "positive"],
        {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
        {"0": "LABEL_0", "1": "LABEL_1"},
        {"0": "0", "1": "1"},
        {"0": "negative", "1": "neutral"},
        {"0": "negative", "1": "negative", "2": "positive"},
        {"0": "negative", "1": "neutral", "3": "positive"},
        {"0": "negative", "1": "neutral", "2": "positive", "3": "mixed"},
        {"0": "1 star", "1": "2 stars", "2": "3 stars"},
        {"0": "anger", "1": "fear", "2": "joy", "3": "love", "4": "sadness"},
    ],
)
def test_labels_without_telling_names_are_an_error_that_says_what_to_write(id2label: Any) -> None:
    with pytest.raises(CheckpointError, match="id2label") as caught:
        label_columns({"id2label": id2label}, Path("there/config.json"))
    assert "there/config.json" in caught.value.message
    assert "write the names into id2label" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["negative", "neutral", "positive"], None),
        (["negative", "positive"], "p_neutral is always 0"),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], "is a sum of two"),
    ],
)
def test_a_checkpoint_says_where_its_labels_are_not_ours(
    tmp_path: Path, names: list[str], note: str | None
) -> None:
    config = {"id2label": dict(enumerate(names))}
    said = Checkpoint.load(write(tmp_path, config=config)).label_note
    assert (said is None) if note is None else (note in str(said))


def test_a_foreign_checkpoint_needs_no_details(tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(write(tmp_path))
    assert checkpoint.calibration == Calibration()
    assert checkpoint.max_tokens == 64
    assert checkpoint.name.startswith(f"{tmp_path.name}@")


def test_the_name_of_a_foreign_checkpoint_changes_with_its_weights(tmp_path: Path) -> None:
    (write(tmp_path) / "model.safetensors").write_bytes(b"one")
    before = Checkpoint.load(tmp_path).name
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert Checkpoint.load(tmp_path).name != before


def test_details_give_name_temperature_and_length(tmp_path: Path) -> None:
    details = {
        "name": "mine",
        "version": "4",
        "temperature": 1.5,
        "smoothing": 0.02,
        "max_tokens": 32,
    }
    checkpoint = Checkpoint.load(write(tmp_path, undertone=details))
    assert (checkpoint.name, checkpoint.max_tokens) == ("mine@4", 32)
    assert checkpoint.calibration == Calibration(1.5, 0.02)


@pytest.mark.parametrize(
    ("model_type", "positions", "pad_id", "limit"),
    [
        ("roberta", 514, 1, 512),
        ("roberta", 514, 0, 513),
        ("modernbert", 8192, 50_283, 8192),
        ("bert", 512, 0, 512),
        ("bert", 512, 3, 512),
    ],
)
def test_positions_of_roberta_alone_begin_after_its_padding(
    tmp_path: Path, model_type: str, positions: int, pad_id: int, limit: int
) -> None:
    config = {
        "id2label": NAMES,
        "model_type": model_type,
        "max_position_embeddings": positions,
        "pad_token_id": pad_id,
    }
    assert Checkpoint.load(write(tmp_path, config=config)).max_tokens_limit == limit


def test_those_that_count_from_their_padding_are_known_as_transformers_has_them() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers.models.auto.configuration_auto import model_type_to_module_name
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )

    models = Path(transformers.__file__).parent / "models"
    counting = {
        model_type
        for model_type in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
        for source in (models / model_type_to_module_name(model_type)).glob("modeling_*.py")
        if "create_position_ids_from_input_ids" in source.read_text(encoding="utf-8")
    }
    assert counting == COUNT_FROM_PADDING


def test_more_tokens_than_positions_are_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(write(tmp_path))
    assert checkpoint.limited(64) == 64
    with pytest.raises(CheckpointError, match="8 to 64, not 65"):
        checkpoint.limited(65)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such checkpoint folder"):
        load_classifier("onnx", tmp_path / "nowhere")


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a checkpoint: no config\.json"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_an_unreadable_config_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Checkpoint.load(write(tmp_path, config=content))


@pytest.mark.parametrize("value", [0, -1, "1", None, True])
def test_a_wrong_temperature_is_named(tmp_path: Path, value: Any) -> None:
    with pytest.raises(CheckpointError, match="field temperature: expected a number above 0"):
        Checkpoint.load(write(tmp_path, undertone={"temperature": value}))


def test_a_corrupt_tokenizer_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: cannot be read"):
        Checkpoint.load(tmp_path).tokenizer()


def test_without_an_onnx_model_the_onnx_engine_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model\.onnx") as caught:
        load_classifier("onnx", write(tmp_path))
    assert "undertone quantise" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"", b"not an onnx model", b"\x08\x07" * 40])
def test_a_corrupt_onnx_model_is_named(tmp_path: Path, content: bytes) -> None:
    (write(tmp_path) / "model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.onnx: cannot be read as an ONNX model"):
        load_classifier("onnx", tmp_path)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(CheckpointError, match="expected auto, onnx, torch or stub"):
        load_classifier("tensorflow")  # type: ignore[arg-type]


def test_a_path_is_never_looked_up_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name") == Path("owner/name")
    assert resolve(str(tmp_path / "absent")) == tmp_path / "absent"
    assert resolve(None) == bundled()


def test_a_name_that_cannot_be_fetched_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError("the network is down")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match="owner/absent: neither a folder here nor"):
        load_classifier("onnx", "owner/absent")


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("undertone_models.checkpoint.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="torch is not installed") as caught:
        require_torch("undertone train")
    assert "undertone[torch]" in str(caught.value.hint)
    with pytest.raises(CheckpointError, match="engine torch"):
        load_classifier("torch", write(tmp_path))


def test_auto_is_onnx_where_torch_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(classifier_module, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="which the ONNX engine reads"):
        load_classifier("auto", write(tmp_path))
