"""What the command line refuses before it looks for a broker."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from undertone.cli import ingest
from undertone.errors import UndertoneError, UsageError


def refusal(*arguments: str) -> BaseException | None:
    app = typer.Typer()
    app.command()(ingest.command)
    return CliRunner().invoke(app, arguments).exception


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--speed=fast",), r"--speed fast: expected max, or a factor"),
        (("--speed=0x",), r"--speed 0x: expected max"),
        (("--speed=-3x",), r"--speed -3x: expected max"),
        (("--speed=nan",), r"--speed nan: expected max"),
        (("--delay=30",), r"--delay: cannot read '30' as a duration"),
        (("--until=soon",), r"--until: cannot read"),
        (("--from=2008-09-15T00:00:00",), r"--from: .*names no time zone"),
        (("--format=xml",), r"--format xml: expected one of auto, jsonl, csv"),
        (("--end=2008-09-15",), r"--end: only recorded time has an end"),
        (("--topic=elsewhere",), r"--topic elsewhere: is not among the raw topics"),
        (("/",), r"/: is a folder"),
        (("/no/such/file.jsonl",), r"/no/such/file\.jsonl: there is no such file"),
        (("--rejects=/no/such/folder/r.jsonl",), r"r\.jsonl: cannot be written"),
    ],
)
def test_wrong_use_names_the_option_and_what_was_expected(
    arguments: tuple[str, ...], error: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    with pytest.raises(UsageError, match=error):
        raise refusal(str(rows), "--bootstrap=127.0.0.1:1", *arguments) or AssertionError


def test_an_unreadable_rejects_file_is_told_before_anything_is_written(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    assert isinstance(refusal(str(rows), f"--rejects={tmp_path}"), UndertoneError)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), r"expected files .*or --feed"),
        (("rows.jsonl", "--feed=http://h/f"), r"expected files .*or --feed"),
        (("-", "--every=5m", "--once"), r"--every, --once: is for feeds"),
        (("--feed=http://h/f", "--speed=max", "--delay=3s"), r"--speed, --delay: a feed is live"),
        (("--feed=file:///etc/passwd",), r"--feed file:///etc/passwd: expected an address"),
        (("--feed=htp://h/f?token=k3y",), r"--feed htp://h/f\?token=…: expected an address"),
        (("--feed=http://[h/f?token=k3y",), r"--feed …: expected an address"),
        (("--feed=http://h/f", "--every=1s"), r"--every 1s: expected at least 10s"),
        (("--feed=http://h/f", "--every=soon"), r"--every: cannot read 'soon'"),
        (("--feed=http://h/f", "--language=English"), r"--language English: expected a code"),
        (("--feed=http://h/f", "--source= "), r"--source: expected a name"),
        (("--feed=http://h/f", "--topic=elsewhere"), r"--topic elsewhere: is not among"),
    ],
)
def test_wrong_use_of_feeds_is_told(arguments: tuple[str, ...], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        raise refusal("--bootstrap=127.0.0.1:1", *arguments) or AssertionError
