"""The commands of a document, taken out of its fenced `sh` blocks, so that they cannot rot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from typer.testing import CliRunner

from undertone.cli.main import build_app

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def commands(document: str) -> list[list[str]]:
    """Each command as its words, in order; a line that ends in a backslash goes on."""
    return [words for block in _BLOCK.findall(document) for words in _of_block(block)]


def run(words: list[str]) -> str:
    """Run an `undertone …` here, in this process; what it prints. Raises what it raises."""
    program, command, *_ = words
    assert program == "undertone"
    result = CliRunner().invoke(build_app([command]), words[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def _of_block(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words
