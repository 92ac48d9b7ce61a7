"""The files of `deploy/` as programs read them: variables filled in, command lines parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from undertone.cli.main import COMMANDS, build_app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
# What a compose file says for a variable that may be missing: ${NAME:-otherwise}.
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<otherwise>[^}]*))?\}")


def filled_in(value: Any, variables: Mapping[str, str]) -> Any:
    """A part of a compose file with its variables replaced, as Compose does."""
    if isinstance(value, dict):
        return {name: filled_in(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [filled_in(each, variables) for each in value]
    if isinstance(value, str):
        return VARIABLE.sub(
            lambda match: variables.get(match["name"]) or match["otherwise"] or "", value
        )
    return value


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The compose file with these variables."""
    document: dict[str, Any] = filled_in(
        yaml.safe_load((DEPLOY / "compose.yaml").read_text()), variables or {}
    )
    return document


def demo_variables() -> dict[str, str]:
    """What `--env-file deploy/compose/demo.env` sets."""
    lines = (DEPLOY / "compose" / "demo.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def bind_mounts(service: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """(source, target, mode) of each folder or file of ours that a service sees."""
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            yield (DEPLOY / source).resolve(), target, ":".join(mode)


def parse_command_line(arguments: list[str]) -> None:
    """Parse a command line of undertone without running it. Raises what typer would print."""
    if arguments[0] in ("board", "notify") and arguments[0] not in COMMANDS:
        pytest.skip(f"this build has no `undertone {arguments[0]}`")
    group: Any = typer.main.get_command(build_app([arguments[0]]))
    with group.make_context("undertone", list(arguments)) as context:
        _, command, rest = group.resolve_command(context, list(arguments))
        command.make_context(arguments[0], rest, parent=context).close()


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]
