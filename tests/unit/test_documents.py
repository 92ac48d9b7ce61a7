"""The documents are true: generated tables are fresh, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from undertone.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "configuration_reference", ROOT / "docs" / "configuration_reference.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", document, flags=re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-").strip() for heading in headings
    }


def test_the_tables_of_the_configuration_are_those_of_the_code() -> None:
    module = reference()
    document = module.DOCUMENT.read_text()
    assert module.rewritten(document) == document, "run python docs/configuration_reference.py"


def test_every_setting_has_a_meaning() -> None:
    module = reference()
    bare = [
        path
        for model in module.ROOTS.values()
        for path, _, meaning in module.rows(model)
        if not meaning
    ]
    assert bare == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    document = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", document):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        assert other.exists(), f"{path.name}: {target}"
        if anchor and other.suffix == ".md":
            assert anchor in anchors(other.read_text()), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_written_down_exist(path: Path) -> None:
    document = path.read_text()
    code = re.findall(r"```.*?```|`[^`\n]+`", document, flags=re.S)
    written = [
        name
        for each in code
        for name in re.findall(r"^`?(?:\S*/)?undertone ([a-z-]+)", each, flags=re.M)
    ]
    assert set(written) <= set(COMMANDS), f"{path.name}"


def test_the_reference_runs_by_itself() -> None:
    script = ROOT / "docs" / "configuration_reference.py"
    before = (ROOT / "docs" / "configuration.md").read_bytes()
    subprocess.run([sys.executable, script], check=True, capture_output=True)
    assert (ROOT / "docs" / "configuration.md").read_bytes() == before
