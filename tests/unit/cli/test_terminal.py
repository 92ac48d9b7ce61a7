"""Text from outside cannot steer a terminal, nor rich's markup."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from undertone.cli.terminal import print_json, shown, written_out

HOSTILE = "\x1b]0;title\x07 [red]bold[/red] a\nb \u202egnp.exe \x9b2J 中文 👩‍🚀"


def test_control_characters_are_written_out() -> None:
    text = written_out(HOSTILE)
    assert text == (r"\x1b]0;title\x07 [red]bold[/red] a\nb \u202egnp.exe \x9b2J 中文 👩‍🚀")


def test_markup_is_text() -> None:
    out = io.StringIO()
    Console(file=out, width=200, color_system="truecolor", force_terminal=True).print(
        shown(HOSTILE), highlight=False
    )
    assert out.getvalue() == f"{written_out(HOSTILE)}\n"


def test_json_holds_the_text_and_shows_nothing_raw(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"text": HOSTILE}
    assert not {"\x1b", "\x9b", "\u202e"} & set(printed)
    assert "中文" in printed
