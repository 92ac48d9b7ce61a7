"""The rules that are shipped: checked, tested, and in step with the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from made_alerts import made_alert, made_mention, made_trend_point
from servers import DEPLOY, binary
from undertone.alerting.alertmanager import ALERT_NAME, SCRAPE_LABELS
from undertone.watch.exposition import Exposition

RULE_TESTS = sorted(Path(__file__).parent.glob("*.test.yml"))
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
WATCH_METRIC = re.compile(
    r"\bundertone_(?!score_|dead_letters)(?:[a-z]+_)*(?:total|seconds|records|firing|surprise)\b"
)


def run(*command: str) -> None:
    """Run a program; its output is the message when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_prometheus_accepts_the_configuration_and_the_rules() -> None:
    promtool = binary("promtool")
    run(promtool, "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))
    for path in (DEPLOY / "prometheus").glob("*.rules.yml"):
        run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path))


@pytest.mark.prometheus
def test_alertmanager_accepts_the_configuration() -> None:
    run(binary("amtool"), "check-config", str(DEPLOY / "alertmanager" / "alertmanager.yml"))


@pytest.mark.prometheus
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    run(binary("promtool"), "test", "rules", str(path))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_its_times_and_its_words(rule: dict[str, Any]) -> None:
    assert {"for", "keep_firing_for"} <= rule.keys()
    assert {"summary", "description"} <= rule["annotations"].keys()
    if rule["alert"] == ALERT_NAME:
        assert "labels" not in rule, "its labels are the pushed alert's, and no others"
    else:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_every_alert_is_tested() -> None:
    tests = "".join(path.read_text() for path in RULE_TESTS)
    untested = {rule["alert"] for rule in ALERTS if rule["alert"] not in tests}
    assert untested == set()


def test_the_sentiment_rule_drops_what_scraping_adds() -> None:
    (rule,) = [rule for rule in ALERTS if rule["alert"] == ALERT_NAME]
    dropped = re.search(r"without \(([^)]*)\)", rule["expr"])
    assert dropped is not None
    assert {name.strip() for name in dropped[1].split(",")} == SCRAPE_LABELS


def test_the_rules_name_only_metrics_that_watch_exports() -> None:
    registry = CollectorRegistry()
    exposition = Exposition(registry, wall_clock=lambda: 0.0)
    exposition.observe_mention(made_mention())
    exposition.observe(made_alert(), 0)
    exposition.observe(made_trend_point(), 0)
    exposition.set_clock(0, 0)
    exposition.set_lag(0, 0)
    exported = {sample.name for family in registry.collect() for sample in family.samples}
    text = "".join(
        line
        for path in (DEPLOY / "prometheus").glob("*.rules.yml")
        for line in path.read_text().splitlines(keepends=True)
        if not line.lstrip().startswith(("#", "- record:"))
    )
    named = {name for name in WATCH_METRIC.findall(text) if f":{name}" not in text}
    assert named <= exported
    assert len(named) >= 6
