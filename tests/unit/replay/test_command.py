"""`undertone replay` on files: what it writes, what it keeps, what it refuses."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from made_history import WATCHLIST, history, write_file
from undertone.alerting.rules import load_rules
from undertone.cli.main import build_app
from undertone.errors import UndertoneError
from undertone.records import Alert
from undertone.replay.sources import FileSource
from undertone.replay.steps import Advance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTONE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "watchlist.yaml").write_text(WATCHLIST)
    write_file(tmp_path / "news.jsonl", history(4, crisis_hours=(60,)))
    (tmp_path / "events.tsv").write_text(
        "subject\tstart\tdescription\nacme\t2026-01-03T12:00:00Z\tfraud\n"
    )
    return tmp_path


def run(*arguments: str, watchlist: bool = True) -> Result:
    options = ["--watchlist", "watchlist.yaml", "--engine", "stub"] if watchlist else []
    return CliRunner().invoke(
        build_app(["replay", "score"]), ["replay", *arguments, *options], catch_exceptions=True
    )


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, UndertoneError), result.exception
    assert result.exception.exit_status == 2
    return str(result.exception)


def test_a_file_gives_a_report_alerts_trends_and_json(folder: Path) -> None:
    result = run("--file", "news.jsonl", "--events", "events.tsv", "--out", "out", "--json")
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    assert document == json.loads((folder / "out/report.json").read_text())
    assert document["messages"] == document["mentions"] == 132
    assert document["events"]["found"] == 1
    assert document["models"] == {"stub@1": 132}
    alerts = [Alert.from_json(line) for line in (folder / "out/alerts.jsonl").open("rb")]
    assert document["alerts"] == len({alert.id for alert in alerts})
    assert {path.name for path in (folder / "out").iterdir()} == {
        "report.html",
        "report.json",
        "alerts.jsonl",
        "trends.parquet",
    }


def test_a_second_run_recalls_and_writes_the_same_bytes(folder: Path) -> None:
    first = run("--file", "news.jsonl", "--out", "one")
    second = run("--file", "news.jsonl", "--out", "two")
    assert (first.exit_code, second.exit_code) == (0, 0), second.exception
    assert "come from the store" in second.stdout and "come from" not in first.stdout
    for name in ("alerts.jsonl", "trends.parquet"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_a_sweep_writes_the_rules_of_each_point(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("rules: {negative-surge: {surprise: [3, 5]}}")
    result = run(
        *("--file", "news.jsonl", "--events", "events.tsv", "--sweep", "sweep.yaml"),
        *("--workers", "1", "--out", "out", "--json"),
    )
    assert result.exit_code == 0, result.exception
    points = json.loads(result.stdout)["sweep"]
    assert [point["parameters"] for point in points] == [
        {"negative-surge.surprise": 3},
        {"negative-surge.surprise": 5},
    ]
    surprises = [
        load_rules(folder / "out" / point["rules_file"]).rules[0].when[0].surprise
        for point in points
    ]
    assert surprises == [3, 5]


def test_a_sweep_whose_rules_cannot_be_written_is_told_before_it_begins(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("rules: {negative-surge: {surprise: [3, 5]}}")
    (folder / "out").mkdir()
    (folder / "out/sweep").write_text("in the place of the folder")
    said = refused("--file", "news.jsonl", "--sweep", "sweep.yaml", "--out", "out")
    assert "rules.yaml: cannot be written" in said and "--out" in said
    assert [path.name for path in (folder / "out").iterdir()] == ["sweep"]


def test_rows_that_are_no_message_are_counted(folder: Path) -> None:
    with (folder / "news.jsonl").open("a") as file:
        file.write("not json\n")
    result = run("--file", "news.jsonl", "--out", "out", "--json")
    assert json.loads(result.stdout)["rejected"] == 1


def test_arrival_is_publication_plus_the_delay(folder: Path) -> None:
    at_once = json.loads(run("--file", "news.jsonl", "--out", "a", "--json").stdout)
    later = run(
        "--file", "news.jsonl", "--out", "b", "--json", "--delay", "1h", "--from", "2026-01-01"
    )
    assert later.exit_code == 0, later.exception
    begins = json.loads(later.stdout)["range"]["begins_at"]
    assert begins > at_once["range"]["begins_at"]


def test_what_does_not_go_together_is_refused(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("rules: {negative-surge: {surprise: [3, 5]}}")
    assert "expected one of --file" in refused()
    assert "no such file" in refused("--file", "nothing.jsonl")
    assert "holds no scores" in refused("--file", "news.jsonl", "--as-scored")
    assert "texts to read again" in refused("--topic", "undertone.mentions", "--rescore")
    assert "only a topic has offsets" in refused("--file", "news.jsonl", "--from", "offset:3")
    assert "expected offset:N" in refused("--topic", "a", "--from", "offset:x")
    assert "later than --from" in refused(
        "--file", "news.jsonl", "--from", "2026-01-02", "--to", "2026-01-01"
    )
    assert "--sweep" in refused("--report-from-prefix", "x", "--sweep", "sweep.yaml")


def test_ctrl_c_leaves_a_partial_report_and_exits_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(folder / "long.jsonl", history(60, crisis_hours=(60,)))
    advance = FileSource.advance
    before = signal.getsignal(signal.SIGINT)
    looks = 0

    def interrupting(source: FileSource) -> Advance:
        nonlocal looks
        looks += 1
        if looks == 3:  # once: a second interrupt would end the process, and pytest with it
            signal.raise_signal(signal.SIGINT)
        return advance(source)

    monkeypatch.setattr(FileSource, "advance", interrupting)
    result = run("--file", "long.jsonl", "--out", "out", "--json")
    assert result.exit_code == 130
    document = json.loads(result.stdout)
    assert document["partial"] is True
    assert document["notes"][0].startswith("Interrupted: it ends at 2026-")
    assert document["alerts"] >= 1
    assert (folder / "out/report.html").is_file()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_same_message_in_several_files_is_read_in_order_of_time(folder: Path) -> None:
    lines = (folder / "news.jsonl").read_text().splitlines(keepends=True)
    (folder / "odd.jsonl").write_text("".join(lines[1::2]))
    (folder / "even.jsonl").write_text("".join(lines[::2]))
    run("--file", "news.jsonl", "--out", "one")
    parts = run("--file", "odd.jsonl", "--file", "even.jsonl", "--out", "two")
    assert parts.exit_code == 0, parts.exception
    told = [
        [
            (alert.rule, alert.subject, alert.detected_at)
            for alert in map(Alert.from_json, (folder / name / "alerts.jsonl").open("rb"))
        ]
        for name in ("one", "two")
    ]
    assert told[0] == told[1]
