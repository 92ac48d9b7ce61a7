"""`undertone rules explain` says what the rules do, and names the nearest where there is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from undertone.alerting.explanation import explain_rule
from undertone.alerting.rules import load_rules
from undertone.cli.rules import app
from undertone.errors import ConfigurationError, UsageError

RULES = """
rules:
  - name: surge
    when: [{signal: volume, window: 1h, surprise: 3}]
    overrides: [{subjects: [acme], enabled: false}]
"""
WATCHLIST = "subjects: [{id: acme, name: Acme}, {id: globex, name: Globex}]"


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file in the working folder, no variables of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("UNDERTONE_"):
            monkeypatch.delenv(name)
    Path("rules.yaml").write_text(RULES)
    Path("watchlist.yaml").write_text(WATCHLIST)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def test_without_a_name_all_rules_are_explained() -> None:
    result = run()
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for rule in load_rules().rules:
        assert rule.name in text
        assert all(sentence in text for sentence in explain_rule(rule))
    assert max(map(len, result.stdout.splitlines())) <= 96


def test_one_rule_of_a_file_is_explained_with_its_subjects() -> None:
    result = run("surge", "--rules", "rules.yaml", "--watchlist", "watchlist.yaml")
    assert "On the watchlist that is 1 of 2: globex." in result.stdout
    assert "For acme instead: enabled false." in result.stdout
    assert "surge" not in run("tone-shift").stdout


def test_json_holds_the_same_words() -> None:
    document = json.loads(
        run("--rules", "rules.yaml", "--watchlist", "watchlist.yaml", "--json").stdout
    )
    rules = load_rules(Path("rules.yaml"))
    assert document == {
        "rules_version": rules.version,
        "rules": [
            {
                "name": "surge",
                "says": list(explain_rule(rules.rules[0])),
                "subjects": ["globex"],
                "subjects_on_watchlist": 2,
            }
        ],
    }


def test_the_settings_name_the_files_where_no_option_does() -> None:
    Path("undertone.yaml").write_text("rules: rules.yaml\nwatchlist: watchlist.yaml")
    assert run("surge").stdout == run("--rules", "rules.yaml").stdout != run().stderr


def test_an_unknown_rule_is_wrong_use_and_names_the_nearest() -> None:
    result = run("tone-shfit")
    assert isinstance(result.exception, UsageError)
    assert "there is no rule 'tone-shfit'" in str(result.exception)
    assert "Did you mean tone-shift? The rules are negative-surge, tone-shift." in str(
        result.exception
    )


def test_a_file_that_is_wrong_says_where() -> None:
    Path("rules.yaml").write_text(RULES.replace("enabled", "enabeld"))
    result = run("--rules", "rules.yaml")
    assert isinstance(result.exception, ConfigurationError)
    assert "did you mean `enabled`?" in str(result.exception)
