"""Rules: read, validated, and refused with the field and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertone.alerting.rules import load_rules
from undertone.errors import ConfigurationError

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
