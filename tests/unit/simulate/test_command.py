"""The command writes the stream, its truth and its watchlist."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from undertone.cli import simulate
from undertone.errors import InputFileError, UsageError
from undertone.ingest.readers import Reject, Row, read_rows
from undertone.simulate.scenarios import SCENARIOS, build_scenario
from undertone.truth import read_truth
from undertone.watchlist.subjects import load_watchlist


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(simulate.command)
    return CliRunner().invoke(app, arguments)


def test_the_files_can_be_read_by_those_they_are_for(tmp_path: Path) -> None:
    result = invoke(
        "--scenario=recall-crisis",
        "--messages=400",
        "--seed=3",
        f"--out={tmp_path / 'stream.jsonl.gz'}",
        f"--truth={tmp_path / 'truth.tsv'}",
        f"--watchlist-out={tmp_path / 'watchlist.yaml'}",
    )
    assert result.exit_code == 0, result.output
    scenario = build_scenario("recall-crisis", seed=3, messages=400)
    with (tmp_path / "stream.jsonl.gz").open("rb") as file:
        rows = list(read_rows(file, "stream.jsonl.gz", {}))
    messages = [row.message for row in rows if isinstance(row, Row)]
    assert messages == [entry.message for entry in scenario.entries]
    assert read_truth(tmp_path / "truth.tsv") == scenario.truth
    watchlist = load_watchlist(tmp_path / "watchlist.yaml")
    assert {event.subject for event in scenario.truth} <= set(watchlist.by_id)


def test_the_same_seed_writes_the_same_gzip_bytes(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        invoke("--scenario=quiet", "--messages=200", f"--out={tmp_path / name}")
    one, two = ((tmp_path / name).read_bytes() for name in ("one.gz", "two.gz"))
    assert one == two
    assert len(gzip.decompress(one).splitlines()) == 200


def test_without_a_file_the_stream_goes_to_standard_output_and_all_else_to_standard_error() -> None:
    result = invoke("--scenario=malformed", "--messages=200")
    lines = result.stdout_bytes.splitlines(keepends=True)
    assert len(lines) == 200
    assert "200 records" in result.stderr


def test_malformed_records_in_a_file_are_rejects(tmp_path: Path) -> None:
    invoke("--scenario=malformed", "--messages=200", f"--out={tmp_path / 'stream.jsonl'}")
    with (tmp_path / "stream.jsonl").open("rb") as file:
        rows = list(read_rows(file, "stream.jsonl", {}))
    assert sum(isinstance(row, Reject) for row in rows) == 20
    assert len(rows) == 200


def test_the_list_names_every_scenario() -> None:
    lines = invoke("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), UsageError),
        (("--scenario=rumour",), UsageError),
        (("--scenario=quiet", "--messages=-1"), UsageError),
        (("--scenario=quiet", "--out=/no/such/folder/stream.jsonl"), InputFileError),
        (("--scenario=quiet", "--messages=200", "--truth=/no/such/folder/t.tsv"), InputFileError),
    ],
)
def test_wrong_use_is_one_clear_error(
    arguments: tuple[str, ...], error: type[Exception], tmp_path: Path
) -> None:
    assert isinstance(invoke(*arguments).exception, error)
