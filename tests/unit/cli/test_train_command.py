"""`undertone train`: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from undertone.cli.main import build_app
from undertone.cli.train import _named_values
from undertone.errors import UndertoneError, UsageError

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from toy_training import toy_rows, write_toy_base  # noqa: E402
from undertone_models.pairs import LABELS  # noqa: E402

QUICK = (
    "--batch-size", "16", "--lr", "1e-2", "--max-tokens", "16", "--threads", "1",
    "--set", "ema_decay=0.9",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_toy_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        *((row, "train") for row in toy_rows(120, 1)),
        *((row, "validation") for row in toy_rows(30, 2)),
    ]
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    lines = [
        json.dumps(
            {
                "text": row.text,
                "target": row.target,
                "label": LABELS[row.label],
                "source": "toy",
                "split": split,
            }
        )
        for row, split in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def undertone(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["train"]), [str(each) for each in arguments])


def train(data: Path, base: str, out: Path, *options: object) -> Result:
    return undertone("train", "--data", data, "--base", base, "--out", out, *QUICK, *options)


def fault(result: Result) -> UndertoneError:
    assert isinstance(result.exception, UndertoneError), result.exception
    return result.exception


def test_a_checkpoint_is_written_and_measured_on_the_validation_rows(
    data: Path, base: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = train(
        data, base, out, "--epochs", "6", "--patience", "3", "--tensorboard", tmp_path / "log",
        "--json",
    )  # fmt: skip
    assert result.exception is None, result.exception
    printed = json.loads(result.stdout)
    assert printed["checkpoint"] == str(out)
    assert set(printed["per_source"]["toy"]) == {"accuracy", "macro_f1", "macro_recall"}
    assert {file.name for file in out.iterdir()} >= {
        "config.json", "model.safetensors", "model.onnx", "tokenizer.json", "undertone.json",
    }  # fmt: skip
    assert not (out / "training_state.pt").exists()
    assert "macro F1 on validation" in result.stderr
    assert logged(tmp_path / "log") >= {
        "train/loss", "train/learning_rate", "validation/score", "validation/toy/accuracy",
    }  # fmt: skip

    assert "holds a checkpoint" in fault(train(data, base, out)).message
    assert train(data, base, out, "--epochs", "0.2", "--overwrite").stdout.strip() == str(out)


def logged(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def test_a_folder_with_an_unfinished_training_is_not_written_over(
    data: Path, base: str, tmp_path: Path
) -> None:
    (tmp_path / "training_state.pt").write_bytes(b"")
    error = fault(train(data, base, tmp_path))
    assert "has not been finished" in error.message
    assert "--resume" in str(error.hint)


def test_tensorboard_is_asked_for_by_name_where_it_is_missing(
    data: Path, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undertone_models.training_log.find_spec", lambda name: None)
    error = fault(train(data, base, tmp_path / "out", "--tensorboard", tmp_path / "log"))
    assert "tensorboard is not installed" in error.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "absent.yaml"], "absent.yaml: cannot be read"),
        (["--schedule", "steps"], "option: field schedule"),
        (["--set", "rnak=4"], "option: unknown field rnak"),
        (["--set", "rank"], "--set: expected NAME=VALUE, not rank"),
        (["--passes", "toy=often"], "option: field passes.toy"),
        (["--class-weights", "1,2"], "option: field class_weights"),
        (["--augment", "typo=1"], "option: unknown field augment.typo"),
        (["--precision", "float16", "--device", "cpu"], "float16: is for CUDA"),
        (["--device", "tpu"], "device: expected cpu or cuda"),
    ],
)
def test_a_wrong_option_is_named(
    data: Path, base: str, tmp_path: Path, options: list[str], message: str
) -> None:
    error = fault(train(data, base, tmp_path / "out", *options))
    assert isinstance(error, UsageError)
    assert message in error.message


def test_every_field_of_a_recipe_can_be_given_on_the_command_line() -> None:
    read: Any = _named_values(
        "--set", ["rank=4", "augment.typos=0.1", "schedule=cosine", "few_shot="]
    )
    assert read == {
        "rank": 4, "augment": {"typos": 0.1}, "schedule": "cosine", "few_shot": None,
    }  # fmt: skip
