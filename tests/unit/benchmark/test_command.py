"""`undertone benchmark` on tiny streams, with the stub classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from made_history import WATCHLIST, history, write_file
from undertone.alerting.rules import load_rules
from undertone.benchmark.alerts import FACTORS, with_surprise
from undertone.cli.main import build_app
from undertone.errors import UndertoneError

FIELDS = {
    "messages",
    "mentions",
    "alerts",
    "precision",
    "events",
    "alerts_per_subject_month",
    "alerts_per_event",
    "messages_per_second",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTONE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "watchlist.yaml").write_text(WATCHLIST)
    (tmp_path / "undertone.yaml").write_text("model: {engine: stub}\n")
    write_file(tmp_path / "news.jsonl", history(4, crisis_hours=(60,)))
    (tmp_path / "events.tsv").write_text(
        "subject\tstart\tpolarity\tdescription\nacme\t2026-01-03T12:00:00Z\tneg\tfraud\n"
    )
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(["benchmark", "replay"]), arguments, catch_exceptions=True)


def measured(*arguments: str) -> dict[str, Any]:
    result = run("benchmark", "alerts", "--watchlist", "watchlist.yaml", *arguments, "--json")
    assert result.exit_code == 0, result.exception
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, UndertoneError), result.exception
    assert result.exception.exit_status == 2
    return str(result.exception)


def test_ours_and_the_simple_detectors_are_judged_by_the_same_events(folder: Path) -> None:
    document = measured("--stream", "news.jsonl", "--events", "events.tsv")
    detectors = document["detectors"]
    assert list(detectors) == ["undertone", "fixed_threshold", "tone_24h_7d", "z_score_14d"]
    for each in detectors.values():
        assert set(each) >= FIELDS
        assert (each["mentions"], each["events"]["total"]) == (132, 1)
    assert detectors["undertone"]["events"]["found"] == 1
    assert detectors["fixed_threshold"]["frontier"]
    assert "most events found" in detectors["fixed_threshold"]["chosen"]


def test_ours_are_what_a_replay_gives(folder: Path) -> None:
    ours = measured("--stream", "news.jsonl", "--events", "events.tsv")["detectors"]["undertone"]
    replayed = run(
        *("replay", "--file", "news.jsonl", "--watchlist", "watchlist.yaml"),
        *("--events", "events.tsv", "--engine", "stub", "--out", "out", "--json"),
    )
    expected = json.loads(replayed.stdout)
    assert {name: ours[name] for name in FIELDS - {"messages_per_second"}} == {
        name: expected[name] for name in FIELDS - {"messages_per_second"}
    }


def test_the_sweep_of_ours_goes_through_the_rules_as_given(folder: Path) -> None:
    ours = measured("--stream", "news.jsonl", "--events", "events.tsv")["detectors"]["undertone"]
    sweep = {point["setting"]["surprise_factor"]: point for point in ours["sweep"]}
    assert tuple(sweep) == FACTORS
    assert sweep[1.0].items() <= ours.items()
    assert sweep[0.5]["alerts"] >= sweep[3.0]["alerts"]
    assert all(point in ours["sweep"] for point in ours["frontier"])


def test_without_events_each_detector_stands_at_its_customary_setting(folder: Path) -> None:
    detectors = measured("--stream", "news.jsonl")["detectors"]
    for each in detectors.values():
        assert each["events"] is None and each["frontier"] == []
        assert each["alerts_per_subject_month"] >= 0
    assert detectors["z_score_14d"]["setting"]["sigmas"] == 5.0
    assert detectors["z_score_14d"]["chosen"].startswith("customary")


def test_rows_of_one_message_are_one_message(folder: Path) -> None:
    row = {"id": "m1", "source": "wire", "published_at": "2026-01-03T12:00:00Z", "text": "Acme"}
    rows = [{**row, "subjects": [subject]} for subject in ("acme", "globex")]
    (folder / "tags.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    document = measured("--stream", "tags.jsonl")
    assert (document["messages"], document["mentions"]) == (1, 2)


def test_a_person_sees_a_table_and_which_setting_it_was(folder: Path) -> None:
    arguments = ("--stream", "news.jsonl", "--watchlist", "watchlist.yaml")
    shown = run("benchmark", "alerts", *arguments, "--events", "events.tsv")
    assert shown.exit_code == 0, shown.exception
    for text in ("undertone", "z_score_14d", "1 of 1", "cooldown_hours", "multiplied by"):
        assert text in shown.stdout


def test_thresholds_of_surprise_are_multiplied_and_nothing_else() -> None:
    rules = load_rules()
    doubled = with_surprise(rules, 2.0)
    for before, after in zip(rules.rules, doubled.rules, strict=True):
        same = {"when": before.when, "severity": before.severity}
        assert after.model_copy(update=same) == before
        for one, two in zip(before.when, after.when, strict=True):
            assert two.surprise == (None if one.surprise is None else 2 * one.surprise)
        if isinstance(before.severity, dict):
            assert after.severity == {name: 2 * step for name, step in before.severity.items()}
    assert isinstance(rules.rules[0].severity, dict)
    assert with_surprise(rules, 1.0) == rules


def test_what_is_missing_is_named(folder: Path) -> None:
    assert "no such file" in refused("benchmark", "alerts", "--stream", "nothing.jsonl")
    assert "no watchlist" in refused("benchmark", "alerts", "--stream", "news.jsonl")
    assert "windows.json" in refused("benchmark", "nab", "--data", str(folder))
