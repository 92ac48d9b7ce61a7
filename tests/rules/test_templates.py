"""The shipped templates of notifications: complete, escaped, and fit for Debian's Alertmanager."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servers import DEPLOY

FOLDER = DEPLOY / "alertmanager"
TEMPLATES = sorted((FOLDER / "templates").glob("*.tmpl"))
DEFINED = re.compile(r'define "([^"]+)"')
USED = re.compile(r'template "([^"]+)"')
# Functions that later versions added: Debian's 0.25 would refuse the file.
TOO_NEW = re.compile(r"\b(trimSpace|tz|date|since|humanizeDuration|toJson|safeUrl|urlUnescape)\b")


def code(path: Path) -> str:
    """A template without its comments."""
    return re.sub(r"{{-? ?/\*.*?\*/ ?-?}}", "", path.read_text(), flags=re.DOTALL)


def test_what_the_configuration_and_the_templates_use_is_defined() -> None:
    texts = [code(path) for path in TEMPLATES]
    defined = {name for text in texts for name in DEFINED.findall(text)}
    texts.append((FOLDER / "alertmanager.yml").read_text())
    used = {name for text in texts for name in USED.findall(text)}
    assert used == defined


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_runs_on_debians_alertmanager_and_escapes(path: Path) -> None:
    actions = " ".join(re.findall(r"{{(.*?)}}", code(path), flags=re.DOTALL))
    actions = re.sub(r'"[^"]*"', '""', actions)
    assert not TOO_NEW.search(actions)
    assert "safeHtml" not in actions


def test_slack_is_told_nothing_that_is_not_escaped() -> None:
    """Every action that prints a value calls the escape, or checks and encodes an address."""
    text = code(FOLDER / "templates" / "slack.tmpl")
    printing = [
        action.strip("- ")
        for action in re.findall(r"{{(.*?)}}", text)
        if re.match(r"-? *(\.|index|or|\$\w+ *-?$)", action)
    ]
    allowed = re.compile(
        r"index \. 1 \| reReplaceAll|\. \| reReplaceAll|\.StartsAt\.UTC\.Format|\.$|\$color$"
    )
    assert [action for action in printing if not allowed.match(action)] == []
