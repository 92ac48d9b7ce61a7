"""`undertone check` shows every mistake in one run, and tells by its exit status what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from undertone.checking import Status, check_environment, check_rules, check_topic, check_watchlist
from undertone.cli import check
from undertone.settings import Settings
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicSpec, ensure_topics, topic_specs
from undertone.watchlist.subjects import Watchlist

WATCHLIST = "subjects: [{id: lehman, name: Lehman Brothers, terms: [Lehman]}]"


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file in the working folder, no variables of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("UNDERTONE_"):
            monkeypatch.delenv(name)
    Path("watchlist.yaml").write_text(WATCHLIST)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(check.command)
    return CliRunner().invoke(app, arguments)


def findings(result: Result) -> list[tuple[str, str]]:
    document = json.loads(result.stdout)
    assert document["ok"] == (result.exit_code == 0)
    return [(finding["part"], finding["status"]) for finding in document["findings"]]


def test_right_files_are_fine_offline() -> None:
    Path("undertone.yaml").write_text("watchlist: watchlist.yaml")
    result = run("--offline", "--json")
    assert (result.exit_code, findings(result)) == (
        0,
        [("settings", "ok"), ("watchlist", "ok"), ("rules", "ok")],
    )


def test_no_broker_still_shows_the_files() -> None:
    result = run("--watchlist", "watchlist.yaml", "--bootstrap", "127.0.0.1:1", "--json")
    assert (result.exit_code, findings(result)) == (
        1,
        [("settings", "ok"), ("watchlist", "ok"), ("rules", "ok"), ("broker", "down")],
    )


def test_every_wrong_file_is_shown_in_one_run() -> None:
    Path("undertone.yaml").write_text("prefx: a")
    Path("watchlist.yaml").write_text("subjects: [{id: A, name: A}]")
    Path("rules.yaml").write_text("rules: [{name: a}]")
    result = run("--watchlist", "watchlist.yaml", "--rules", "rules.yaml", "--json")
    assert (result.exit_code, findings(result)) == (
        2,
        [("settings", "wrong"), ("watchlist", "wrong"), ("rules", "wrong")],
    )


def test_models_are_read_and_say_what_is_odd_about_their_labels() -> None:
    two = Path("two")
    two.mkdir()
    config = {"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "max_position_embeddings": 64}
    (two / "config.json").write_text(json.dumps(config))
    Path("undertone.yaml").write_text(
        "watchlist: watchlist.yaml\nmodel: {path: owner/name}\nmodels: {de: ./two, zh: ./none}"
    )
    result = run("--offline", "--json")
    found = [each for each in json.loads(result.stdout)["findings"] if each["part"] == "model"]
    assert [(each["where"], each["status"]) for each in found] == [
        ("model.path", "note"),
        ("models.de", "ok"),
        ("models.de", "note"),
        ("models.zh", "wrong"),
    ]
    assert "p_neutral is always 0" in found[2]["message"]


def test_a_language_that_nobody_can_tell_is_wrong() -> None:
    Path("undertone.yaml").write_text("watchlist: watchlist.yaml\nmodels: {qq: owner/name}")
    result = run("--offline")
    assert result.exit_code == 2
    assert "does not know qq" in result.stdout


def test_without_a_watchlist_something_is_missing() -> None:
    result = run("--offline")
    assert result.exit_code == 2
    assert "no watchlist is named" in result.stdout


def test_the_table_names_file_field_and_what_was_expected() -> None:
    Path("undertone.yaml").write_text("prefx: a")
    result = run("--offline")
    assert "✗" in result.stdout
    assert "undertone.yaml" in result.stdout
    assert "unknown field `prefx`; did you mean `prefix`?" in result.stdout


def test_a_wrong_option_is_shown() -> None:
    result = run("--prefix", "a b", "--offline")
    assert result.exit_code == 2
    assert "--prefix: String should match" in result.stdout


def test_files_that_the_settings_name_must_be_there() -> None:
    Path("undertone.yaml").write_text(
        "watchlist: watchlist.yaml\nkafka: {ssl_cafile: ca.pem}\nmodel: {path: ./none}"
    )
    result = run("--offline")
    assert result.exit_code == 2
    assert "kafka.ssl_cafile: there is no such file" in result.stdout
    assert "model.path" in result.stdout
    assert "no such checkpoint folder" in result.stdout


def test_variables_that_name_no_setting_are_noted() -> None:
    names = ["UNDERTONE_PREFX", "UNDERTONE_PREFIX", "UNDERTONE_KAFKA__BOOTSTRAP", "HOME"]
    (finding,) = check_environment([*names, "UNDERTONE_CACHE"])
    assert (finding.where, finding.status) == ("UNDERTONE_PREFX", Status.NOTE)
    assert finding.message.endswith("did you mean UNDERTONE_PREFIX?")


def test_what_may_surprise_in_a_watchlist_is_noted() -> None:
    Path("watchlist.yaml").write_text(
        "subjects: [{id: a, name: A, terms: [C, same]}, {id: b, name: B, terms: [Same]}, "
        "{id: c, name: C}]"
    )
    notes = [finding.message for finding in check_watchlist(Path("watchlist.yaml"))[0][1:]]
    assert notes == [
        "a: the term 'C' is short; case_sensitive: true?",
        "c has no terms: it is found only where a message tags it",
        "the term 'same' names several subjects: a, b",
    ]


def test_a_rule_for_a_subject_that_is_not_watched_is_noted() -> None:
    Path("rules.yaml").write_text(
        "rules: [{name: r, subjects: [lehmann], when: [{signal: volume, window: 1h, surprise: 3}]}]"
    )
    watchlist = Watchlist.model_validate({"subjects": [{"id": "lehman", "name": "Lehman"}]})
    _, note = check_rules(Path("rules.yaml"), watchlist)
    assert note.status is Status.NOTE
    assert note.message == "r: subjects: lehmann is not on the watchlist; did you mean lehman?"


def test_an_override_for_a_subject_that_is_not_watched_is_noted() -> None:
    Path("rules.yaml").write_text(
        "rules: [{name: r, when: [{signal: volume, window: 1h, surprise: 3}], "
        "overrides: [{subjects: [lehman], hold: 1h}, {subjects: [lehmann], hold: 2h}]}]"
    )
    watchlist = Watchlist.model_validate({"subjects": [{"id": "lehman", "name": "Lehman"}]})
    _, note = check_rules(Path("rules.yaml"), watchlist)
    assert note.status is Status.NOTE
    assert note.message == (
        "r: overrides.1.subjects: lehmann is not on the watchlist; did you mean lehman?"
    )


RAW = TopicSpec("t", 2, {"message.timestamp.type": "LogAppendTime"})


@pytest.mark.parametrize(
    ("partitions", "stamps", "is_raw", "statuses"),
    [
        (2, "LogAppendTime", True, ["ok"]),
        (3, "LogAppendTime", True, ["wrong"]),
        (2, "CreateTime", True, ["wrong"]),
        (3, "CreateTime", True, ["wrong", "wrong"]),
        (2, "CreateTime", False, ["note"]),
    ],
)
def test_a_topic_is_compared_with_the_settings(
    partitions: int, stamps: str, is_raw: bool, statuses: list[str]
) -> None:
    found = check_topic(RAW, partitions, {"message.timestamp.type": stamps}, is_raw=is_raw)
    assert [finding.status for finding in found] == statuses


@pytest.mark.kafka
def test_topics_are_looked_up_on_a_real_broker(broker: EmbeddedBroker, prefix: str) -> None:
    arguments = ["--watchlist", "watchlist.yaml", "--bootstrap", broker.bootstrap, "--json"]
    result = run("--prefix", prefix, *arguments)
    assert result.exit_code == 0
    assert findings(result)[3:] == [("broker", "ok"), *[("topic", "note")] * 6]

    settings = Settings.model_validate({"prefix": prefix, "kafka": {"bootstrap": broker.bootstrap}})
    ensure_topics(settings.kafka, topic_specs(settings))
    result = run("--prefix", prefix, *arguments)
    assert result.exit_code == 0
    assert findings(result)[3:] == [("broker", "ok"), *[("topic", "ok")] * 6]

    Path("undertone.yaml").write_text(
        f"mentions_partitions: 7\nraw_topics: [{{name: {prefix}.raw.news, clock: recorded}}]"
    )
    result = run("--prefix", prefix, *arguments)
    assert result.exit_code == 2
    wrong = [
        (finding["where"], finding["message"])
        for finding in json.loads(result.stdout)["findings"]
        if finding["status"] == "wrong"
    ]
    assert (
        f"{prefix}.raw.news",
        "has message.timestamp.type=LogAppendTime, expected CreateTime",
    ) in wrong
    assert any(
        where == f"{prefix}.mentions" and "has 4 partitions" in text for where, text in wrong
    )
