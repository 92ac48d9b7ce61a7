"""`undertone evaluate`: what it prints, compares and draws (with the stub classifier)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from undertone.cli.main import build_app
from undertone.errors import ModelError, UndertoneError, UsageError
from undertone_models.checkpoint import bundled
from undertone_models.pairs import Pair
from undertone_models.stub_classifier import StubClassifier

ROWS = [
    {"text": "Acme shares plunge after the recall", "target": "Acme", "label": "negative"},
    {"text": "Acme wins a superb award", "target": "Acme", "label": "positive"},
    {"text": "Acme meets on Monday", "label": "neutral", "source": "social"},
    {"text": "Acme meets again after no loss", "label": "positive", "source": "social"},
]

needs_checkpoint = pytest.mark.skipif(
    not (bundled() / "model.onnx").exists(), reason="no checkpoint is bundled"
)


class Contrary(StubClassifier):
    """Answers negative whatever it reads."""

    name = "contrary@1"

    def classify(self, pairs: Any) -> Any:
        return super().classify([Pair("bad")] * len(pairs))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl.gz"
    lines = [json.dumps({"source": "news", **row}) for row in ROWS]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


@pytest.fixture
def two_models(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """`--model` is the stub, any other checkpoint is contrary; the loads, in order."""
    loads: list[tuple[str, Any]] = []

    def load(engine: str, model: str | None, *, threads: int | None) -> StubClassifier:
        loads.append((engine, model))
        return StubClassifier() if len(loads) == 1 else Contrary()

    monkeypatch.setattr("undertone_models.classifier.load_classifier", load)
    return loads


def evaluate(data: Path, *arguments: str | Path) -> Result:
    words = ["evaluate", "--data", data, *arguments]
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def printed(result: Result) -> dict[str, Any]:
    assert result.exception is None, result.exception
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def fault(result: Result) -> UndertoneError:
    assert isinstance(result.exception, UndertoneError), result.exception
    return result.exception


def test_the_figures_name_their_model_and_engine(data: Path) -> None:
    figures = printed(evaluate(data, "--engine", "stub", "--json"))
    assert (figures["model"], figures["engine"], figures["n"]) == ("stub@1", "stub", 4)
    assert figures["accuracy"] == 0.75
    assert figures["confusion"]["positive"] == {"negative": 1, "neutral": 0, "positive": 1}
    assert set(figures) & {"comparison", "robustness"} == set()


def test_the_tables_show_every_source_the_intervals_and_the_confusion(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = evaluate(data, "--engine", "stub")
    for words in ("news", "social", "all", "0.750 ±", "true label", "ECE"):
        assert words in result.stdout


def test_two_checkpoints_are_compared_on_the_same_rows(
    data: Path, two_models: list[tuple[str, Any]]
) -> None:
    figures = printed(evaluate(data, "--compare", "elsewhere", "--engine", "stub", "--json"))
    assert two_models == [("stub", None), ("stub", "elsewhere")]
    comparison = figures["comparison"]
    assert comparison["other"]["model"] == "contrary@1"
    accuracy = comparison["figures"]["accuracy"]
    assert (accuracy["a"], accuracy["b"], accuracy["difference"]) == (0.75, 0.25, 0.5)
    low, high = accuracy["confidence_interval"]
    assert low <= 0.5 <= high
    # Two rows only the first has right, none the other: p is a half.
    assert comparison["p"] == 0.5
    assert set(comparison["per_source"]) == {"news", "social"}


def test_the_comparison_ends_with_a_plain_verdict_for_each_source(
    data: Path, two_models: list[tuple[str, Any]]
) -> None:
    lines = evaluate(data, "--compare", "elsewhere", "--engine", "stub").stdout.splitlines()
    for source in ("news", "social", "all"):
        assert any(
            line.startswith(f"{source}: no difference that these rows can show") for line in lines
        )


def test_a_second_engine_alone_runs_the_same_checkpoint_again(
    data: Path, two_models: list[tuple[str, Any]]
) -> None:
    arguments = ("--model", "mine", "--engine", "onnx", "--compare-engine", "torch", "--json")
    printed(evaluate(data, *arguments))
    assert two_models == [("onnx", "mine"), ("torch", "mine")]


def test_the_bundled_checkpoint_can_be_named(data: Path, two_models: list[tuple[str, Any]]) -> None:
    printed(evaluate(data, "--model", "mine", "--compare", "bundled", "--json"))
    assert two_models == [("auto", "mine"), ("auto", None)]


def test_a_missing_second_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    arguments = ("--engine", "stub", "--compare", tmp_path / "absent", "--compare-engine", "onnx")
    error = fault(evaluate(data, *arguments))
    assert isinstance(error, ModelError)
    assert "absent: no such checkpoint folder" in error.message


@needs_checkpoint
def test_a_checkpoint_does_not_differ_from_itself(data: Path) -> None:
    arguments = ("--engine", "onnx", "--threads", "1", "--compare", "bundled", "--json")
    comparison = printed(evaluate(data, *arguments))["comparison"]
    assert comparison["p"] == 1
    assert comparison["figures"]["ece"]["difference"] == 0


def test_plots_are_written_as_png_files(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `plots`)")
    folder = tmp_path / "new" / "plots"
    printed(evaluate(data, "--engine", "stub", "--plots", folder, "--json"))
    assert sorted(path.name for path in folder.iterdir()) == ["confusion.png", "reliability.png"]
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undertone.cli.evaluate.find_spec", lambda name: None)
    error = fault(evaluate(data, "--engine", "stub", "--plots", tmp_path / "plots"))
    assert isinstance(error, UsageError)
    assert 'pip install "undertone[plots]"' in str(error.hint)


def test_a_file_in_the_place_of_the_plots_folder_is_wrong_use(data: Path) -> None:
    error = fault(evaluate(data, "--engine", "stub", "--plots", data))
    assert isinstance(error, UsageError)
    assert "--plots" in error.message


def test_robustness_is_added_when_asked_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        def as_dict(self) -> dict[str, Any]:
            return {"flips": 3}

    def assess(classifier: Any, rows: Any, **told: Any) -> Report:
        assert (classifier.name, len(rows)) == ("stub@1", 4)
        told["on_total"](4)
        told["on_rows"](4)
        return Report()

    pytest.importorskip("undertone_models.robustness", reason="robustness is not there yet")
    monkeypatch.setattr("undertone_models.robustness.assess", assess)
    figures = printed(evaluate(data, "--engine", "stub", "--robustness", "--json"))
    assert figures["robustness"] == {"flips": 3}
