"""The command line as a whole: help, version, unknown commands, and starting fast."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kafka.errors import NodeNotReadyError

from undertone import __version__
from undertone.cli import check
from undertone.cli.main import COMMANDS, main

HEAVY = ("torch", "transformers", "onnxruntime", "faust", "kafka")


def undertone(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "undertone", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_arguments_it_shows_its_commands() -> None:
    result = undertone()
    assert all(name in result.stdout for name in COMMANDS)
    assert not result.stderr


def test_the_version_is_told() -> None:
    result = undertone("--version")
    assert (result.returncode, result.stdout) == (0, f"undertone {__version__}\n")


def test_an_unknown_command_is_wrong_use() -> None:
    result = undertone("lissten")
    assert result.returncode == 2
    assert "lissten" in result.stderr
    assert not result.stdout


def test_an_unknown_option_is_wrong_use() -> None:
    result = undertone("check", "--wacthlist", "x")
    assert result.returncode == 2
    assert "--wacthlist" in result.stderr


def test_what_kafka_says_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise NodeNotReadyError("No node_id provided")

    monkeypatch.setattr(check, "command", command)
    monkeypatch.setattr(sys, "argv", ["undertone", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("undertone: Kafka failed: NodeNotReadyError: ")
    assert said.count("No node_id provided") == 1
    assert "Start the command again" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_file_imports_nothing_heavy(name: str) -> None:
    script = (
        "import importlib, sys\n"
        f"importlib.import_module('undertone.cli.{COMMANDS[name]}')\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
