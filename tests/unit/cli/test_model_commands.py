"""`undertone classify`, `evaluate`, `quantise` and `train`: what they print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from undertone.cli.main import build_app
from undertone.errors import InputFileError, ModelError, UndertoneError, UsageError
from undertone_models.checkpoint import bundled

ROWS = """text,target,label,source,split
Acme shares plunge after the recall,Acme,negative,news,validation
Acme wins a superb award,Acme,positive,news,validation
Acme meets on Monday,Acme,neutral,social,train
"""

needs_checkpoint = pytest.mark.skipif(
    not (bundled() / "model.onnx").exists(), reason="no checkpoint is bundled"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def undertone(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def fault(*arguments: str | Path) -> UndertoneError:
    """The error that ends this command."""
    error = undertone(*arguments).exception
    assert isinstance(error, UndertoneError), error
    return error


def test_one_text_is_classified_about_its_target() -> None:
    result = undertone(
        "classify", "Acme recalls toxic toys", "--target", "Acme", "--engine", "stub", "--json"
    )
    (answer,) = json.loads(result.stdout)["results"]
    assert answer == {
        "text": "Acme recalls toxic toys",
        "target": "Acme",
        "label": "negative",
        "p_negative": 0.75,
        "p_neutral": 0.167,
        "p_positive": 0.083,
    }


def test_a_files_rows_are_classified_in_order(data: Path) -> None:
    result = undertone("classify", "--data", data, "--engine", "stub", "--json")
    answers = json.loads(result.stdout)["results"]
    assert [answer["label"] for answer in answers] == ["negative", "positive", "neutral"]


def test_a_text_in_brackets_is_printed_as_it_is() -> None:
    assert "[/bold] plunge" in undertone("classify", "[/bold] plunge", "--engine", "stub").stdout


def test_a_text_or_a_file_must_be_given_not_both(data: Path) -> None:
    assert isinstance(fault("classify"), UsageError)
    assert isinstance(fault("classify", "text", "--data", data), UsageError)
    assert isinstance(fault("classify", "  "), UsageError)


@needs_checkpoint
def test_evaluating_prints_every_figure_of_the_validation_rows(data: Path) -> None:
    result = undertone("evaluate", "--data", data, "--engine", "onnx", "--threads", "1", "--json")
    figures = json.loads(result.stdout)
    assert figures["n"] == 2
    assert {
        "n", "accuracy", "macro_f1", "macro_recall", "ece", "per_class", "per_source",
        "messages_per_second", "confidence_intervals", "confusion", "reliability",
    } <= set(figures)  # fmt: skip
    assert set(figures["per_class"]) == {"negative", "neutral", "positive"}
    assert {"precision", "recall", "f1", "n"} <= set(figures["per_class"]["neutral"])
    assert {"n", "accuracy", "macro_f1", "macro_recall", "ece"} <= set(
        figures["per_source"]["news"]
    )


@needs_checkpoint
def test_another_split_can_be_evaluated(data: Path) -> None:
    result = undertone("evaluate", "--data", data, "--engine", "onnx", "--split", "train", "--json")
    assert json.loads(result.stdout)["n"] == 1


def test_a_split_without_rows_is_wrong_use(data: Path) -> None:
    assert "split test" in fault("evaluate", "--data", data, "--split", "test").message


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    error = fault("evaluate", "--data", tmp_path / "absent.jsonl")
    assert isinstance(error, InputFileError)
    assert "absent.jsonl" in error.message


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_missing_checkpoint_is_named(engine: str, tmp_path: Path) -> None:
    error = fault("classify", "text", "--model", tmp_path / "absent", "--engine", engine)
    assert isinstance(error, ModelError)
    assert "absent: no such checkpoint folder" in error.message


@pytest.mark.parametrize("command", ["train", "quantise"])
def test_without_torch_the_extra_is_named(
    command: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undertone_models.checkpoint.find_spec", lambda name: None)
    arguments = [tmp_path] if command == "quantise" else ["--data", data, "--out", tmp_path / "out"]
    error = fault(command, *arguments)
    assert isinstance(error, ModelError)
    assert "undertone[torch]" in str(error.hint)


def test_training_needs_a_base_that_exists(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
    error = fault("train", "--data", data, "--out", tmp_path / "out", "--base", tmp_path / "absent")
    assert "absent: no such folder" in error.message
