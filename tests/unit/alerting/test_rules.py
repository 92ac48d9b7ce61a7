"""Rules: read, validated, and refused with the field and what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from undertone.alerting.rules import RuleSet, load_rules
from undertone.errors import ConfigurationError
from undertone.records import Severity
from undertone.replay.sweep_grid import write_rules

GOOD = """
rules:
  - name: surge
    when: [{signal: negative_volume, window: 1h, surprise: 4}]
    hold: 5m
    kinds: [news]
    subjects: [acme]
    resolve: {surprise_below: 1, for: 2h}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def test_a_rule_is_read_with_its_durations(tmp_path: Path) -> None:
    rule = load_rules(write(tmp_path, GOOD)).rules[0]
    assert rule.when[0].window == 3_600_000
    assert rule.hold == 300_000 and rule.resolve.hold == 7_200_000
    assert rule.applies_to("acme") and not rule.applies_to("other")
    assert rule.decides_at_mentions


def test_the_version_changes_with_the_rules(tmp_path: Path) -> None:
    one = load_rules(write(tmp_path, GOOD)).version
    two = load_rules(write(tmp_path, GOOD.replace("surprise: 4", "surprise: 5"))).version
    assert one != two


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("surprise: 4", "surprise: -1", "surprise"),
        ("surprise: 4", "surprise: 4, below: 1", "exactly one of surprise, above, below"),
        ("1h", "61", "a duration"),
        ("window: 1h", "window: 15s", "multiple of 10s"),
        ("negative_volume", "anger", "signal"),
        ("name: surge", "name: Surge!", "name"),
        ("hold: 5m", "patience: 5m", "patience"),
        ("kinds: [news]", "kinds: [radio]", "kinds.0"),
        ("hold: 5m", "hold: [", "not valid YAML"),
    ],
)
def test_a_wrong_rule_names_the_file_the_field_and_what_was_expected(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigurationError) as error:
        load_rules(path)
    assert "rules.yaml" in str(error.value) and expected in str(error.value)


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = GOOD + GOOD.replace("rules:\n", "", 1)
    with pytest.raises(ConfigurationError, match="more than once"):
        load_rules(write(tmp_path, twice))


@pytest.mark.parametrize("text", ["", "[]", "rules: []", "hello", "rules: 3"])
def test_an_empty_or_shapeless_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rules\.yaml"):
        load_rules(write(tmp_path, text))


def made(**changes: Any) -> RuleSet:
    rule = {"name": "r", "when": [{"signal": "negative_volume", "window": "1h", "surprise": 4}]}
    return RuleSet.model_validate({"rules": [rule | changes]})


def test_an_override_is_the_rule_with_fields_changed_for_its_subjects() -> None:
    rules = made(
        min_stories=3,
        overrides=[
            {"subjects": ["loud", "giant"], "surprise": 6, "min_stories": 9, "resolve.for": "2h"},
            {"subjects": ["hushed"], "enabled": False},
        ],
    )
    (loud,), (other,) = rules.for_subject("loud"), rules.for_subject("other")
    assert (loud.when[0].surprise, loud.min_stories, loud.resolve.hold) == (6, 9, 7_200_000)
    assert (other.when[0].surprise, other.min_stories, other.resolve.hold) == (4, 3, 3_600_000)
    assert loud.name == other.name
    assert rules.for_subject("giant") == (loud,)
    assert rules.for_subject("hushed") == ()


def test_a_rule_may_be_off_but_for_some_subjects() -> None:
    rules = made(enabled=False, overrides=[{"subjects": ["a"], "enabled": True}])
    assert len(rules.for_subject("a")) == 1
    assert rules.for_subject("b") == ()


def test_the_windows_of_overrides_are_kept_too() -> None:
    assert made(overrides=[{"subjects": ["a"], "window": "8h"}]).windows_ms == (
        3_600_000,
        28_800_000,
    )


def test_the_version_changes_with_an_override() -> None:
    versions = {
        made(overrides=[{"subjects": ["a"], "surprise": surprise}]).version for surprise in (5, 6)
    }
    assert len(versions | {made().version}) == 3


def test_steps_of_severity_say_what_a_surprise_is_told_with() -> None:
    (rule,) = made(severity={"critical": 8, "info": 4, "warning": 5}).rules
    told = [rule.severity_at(surprise) for surprise in (3.9, 4, 5, 7.9, 8, 60)]
    assert told == [None, "info", "warning", "warning", "critical", "critical"]
    assert made(severity="info").rules[0].severity_at(0) is Severity.INFO


def test_a_rule_file_that_is_written_and_read_again_holds_the_same_rules(tmp_path: Path) -> None:
    rules = made(
        severity={"warning": 4, "critical": 8},
        quiet_hours={"at": ["22:00-07:00"], "zone": "Europe/London"},
        overrides=[{"subjects": ["a"], "severity": "info", "quiet_hours": None, "hold": "5m"}],
    )
    write_rules(tmp_path / "rules.yaml", rules)
    again = load_rules(tmp_path / "rules.yaml")
    assert again.version == rules.version
    assert again.for_subject("a") == rules.for_subject("a")
    assert again.for_subject("a")[0].quiet_hours is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"severity": "loud"}, "severity (r): expected info, warning or critical, or steps"),
        ({"severity": {"loud": 3}}, "severity (r): unknown severity `loud`"),
        ({"severity": {}}, "severity (r): expected at least one step"),
        ({"severity": {"info": 5, "warning": 4}}, "warning: expected a surprise above 5"),
        ({"severity": {"info": "much"}}, "info: expected the surprise that reaches it, a number"),
        ({"severity": {"critical": 99}}, "critical: expected a surprise above 0"),
        ({"severity": {"info": 4}, "rise_by": 2}, "with steps of severity leave it out"),
        ({"quiet_hours": {"at": ["9-5"]}}, "quiet_hours.at (r): cannot read '9-5'"),
        (
            {"quiet_hours": {"at": ["sun"], "zone": "Mars"}},
            "quiet_hours.zone (r): there is no time",
        ),
        ({"overrides": [{"surprise": 4}]}, "overrides.0.subjects (r): is missing"),
        ({"overrides": [{"subjects": ["a"]}]}, "overrides.0 (r): expected a field of the rule"),
        ({"overrides": [{"subjects": ["a"], "name": "b"}]}, "name: cannot be another"),
        ({"overrides": [{"subjects": ["a"], "min_story": 3}]}, "did you mean `min_stories`?"),
        ({"overrides": [{"subjects": ["a"], "min_stories": 0}]}, "overrides.0: min_stories: Input"),
        ({"overrides": [{"subjects": ["a"], "above": 3}]}, "overrides.0: above: is no parameter"),
        (
            {"overrides": [{"subjects": ["a"], "hold": "1h"}, {"subjects": ["a"], "hold": "2h"}]},
            "overrides.1: subjects: a stands in two overrides",
        ),
        (
            {"subjects": ["b"], "overrides": [{"subjects": ["a"], "hold": "1h"}]},
            "overrides.0: subjects: a is not one of the rule's own",
        ),
        (
            {"severity": {"info": 4}, "overrides": [{"subjects": ["a"], "rise_by": 2}]},
            "overrides.0: rise_by: goes with one severity",
        ),
    ],
)
def test_a_wrong_field_names_rule_and_field_and_what_to_do(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    rule = {"name": "r", "when": [{"signal": "negative_volume", "window": "1h", "surprise": 4}]}
    path = write(tmp_path, yaml.safe_dump({"rules": [rule | changes]}))
    with pytest.raises(ConfigurationError) as error:
        load_rules(path)
    assert str(error.value).startswith(f"{path}: rules.0")
    assert told in str(error.value)
