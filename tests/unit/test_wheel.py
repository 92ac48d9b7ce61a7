"""The wheel holds exactly the two packages, with their data files."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARDS = "undertone/dashboards/definitions"
SOURCES = {"undertone": ROOT / "services", "undertone_models": ROOT / "models"}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel that was built here, without a network."""
    builder = pytest.importorskip(
        "hatchling.builders.wheel", reason="hatchling is not installed (the extra `dev`)"
    )
    (wheel,) = builder.WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]
    )
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_holds_the_two_packages_and_nothing_else(names: list[str]) -> None:
    tops = {PurePosixPath(name).parts[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(SOURCES)


def test_it_holds_every_file_of_the_packages(names: list[str]) -> None:
    there = {
        path: path.relative_to(source).as_posix()
        for package, source in SOURCES.items()
        for path in (source / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for path in _ignored(there):
        del there[path]
    dashboards = {f"{DASHBOARDS}/{path.name}" for path in (ROOT / "dashboards").iterdir()}
    held = {name for name in names if ".dist-info/" not in name}
    assert held == set(there.values()) | dashboards


@pytest.mark.parametrize(
    "name",
    [
        "undertone/alerting/default_rules.yaml",
        "undertone/transport/broker.lock.toml",
        "undertone/transport/log4j2.xml",
        "undertone/cli/main.py",
        f"{DASHBOARDS}/overview.json",
        "undertone_models/classifier.py",
    ],
)
def test_it_holds_what_the_commands_read(names: list[str], name: str) -> None:
    assert name in names


def test_it_holds_a_checkpoint_in_both_forms_with_its_card(names: list[str]) -> None:
    files = [
        PurePosixPath(name) for name in names if name.startswith("undertone_models/checkpoints/")
    ]
    if not any(file.suffix in (".safetensors", ".onnx") for file in files):
        pytest.skip("no checkpoint is bundled yet: make one with `undertone train`")
    assert {".safetensors", ".onnx", ".json", ".md"} <= {file.suffix for file in files}


def test_it_holds_the_licence_and_the_command(names: list[str]) -> None:
    info = [PurePosixPath(name).name for name in names if ".dist-info/" in name]
    assert {"LICENSE", "METADATA", "entry_points.txt"} <= set(info)


def _ignored(paths: Iterable[Path]) -> list[Path]:
    """The files that git ignores, and hatchling so leaves out; none outside a checkout."""
    asked = "\n".join(map(str, paths))
    command = ["git", "check-ignore", "--stdin"]
    answer = subprocess.run(
        command, check=False, cwd=ROOT, input=asked, text=True, capture_output=True
    )
    return [Path(line) for line in answer.stdout.splitlines()]
