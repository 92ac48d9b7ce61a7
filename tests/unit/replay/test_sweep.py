"""Sweeps: a grid of rules, each point the same as a replay with its rules file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import DAY_MS, HOUR_MS, START_MS
from made_history import ListSource, config, history
from undertone.alerting.rules import RuleSet, load_rules
from undertone.errors import ConfigurationError
from undertone.replay.mention_log import LogWriter
from undertone.replay.result import EventFigures, ReplayRange, SweepPoint
from undertone.replay.run import replay
from undertone.replay.steps import Span
from undertone.replay.store import Store
from undertone.replay.sweep import _frontier, judged_points, run_sweep
from undertone.replay.sweep_grid import Choice, read_sweep
from undertone.truth import TruthEvent
from undertone.watchlist.subjects import Prior
from undertone.watchlist.voice_weights import VoiceWeights

GRID = {
    "negative-surge": {"surprise": [2, 6], "min_stories": [3, 5]},
    "tone-shift": {"negative_share.surprise": [2, 4], "resolve.for": ["1h"]},
}


def sweep_file(tmp_path: Path, grid: object) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(grid))
    return path


def test_every_combination_is_a_point_with_rules_of_its_own(tmp_path: Path) -> None:
    choices = read_sweep(sweep_file(tmp_path, {"rules": GRID}), load_rules())
    assert len(choices) == 8
    last = choices[-1]
    assert last.parameters == {
        "negative-surge.surprise": 6,
        "negative-surge.min_stories": 5,
        "tone-shift.negative_share.surprise": 4,
        "tone-shift.resolve.for": "1h",
    }
    surge, tone = last.rules.rules
    assert surge.when[0].surprise == 6
    assert (tone.when[0].surprise, tone.when[1].surprise) == (2, 4)
    assert tone.resolve.hold == HOUR_MS
    assert len({choice.rules.version for choice in choices}) == 8


def test_fields_of_parts_are_swept_and_overrides_stay(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "rules: [{name: r, when: [{signal: volume, window: 1h, surprise: 3}], "
        "severity: {warning: 3, critical: 8}, quiet_hours: {at: [sat-sun]}, "
        "overrides: [{subjects: [acme], surprise: 5}]}]"
    )
    grid = {"r": {"severity.critical": [6, 9], "quiet_hours.below": ["warning"], "surprise": [2]}}
    choices = read_sweep(sweep_file(tmp_path, {"rules": grid}), load_rules(path))
    rules = [choice.rules.rules[0] for choice in choices]
    assert [rule.severity for rule in rules] == [
        {"warning": 3, "critical": critical} for critical in (6, 9)
    ]
    assert {rule.quiet_hours.below for rule in rules if rule.quiet_hours} == {"warning"}
    for choice in choices:
        (acme,), (other,) = choice.rules.for_subject("acme"), choice.rules.for_subject("other")
        assert (acme.when[0].surprise, other.when[0].surprise) == (5, 2)
        assert acme.severity == other.severity


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ([1], "expected `rules:`"),
        ({"rules": {"nothing": {"surprise": [1]}}}, "rules.nothing: is no rule of yours"),
        ({"rules": {"tone-shift": {"surprise": [1]}}}, "name one of negative_volume.surprise"),
        ({"rules": {"negative-surge": {"above": [1]}}}, "is no parameter of this rule"),
        ({"rules": {"negative-surge": {"surprise": [-1]}}}, "negative-surge.surprise=-1"),
        ({"rules": {"negative-surge": {"min_story": [1]}}}, "min_story"),
        (
            {"rules": {"tone-shift": {"severity.info": [3]}}},
            "this rule has no severity with fields",
        ),
        ({"rules": {"negative-surge": {"min_stories": []}}}, "expected a list"),
        ({"rules": {"negative-surge": {"min_stories": list(range(1, 1200))}}}, "1199 points"),
    ],
)
def test_a_mistake_in_the_grid_names_its_place(tmp_path: Path, grid: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sweep\.yaml") as caught:
        read_sweep(sweep_file(tmp_path, grid), load_rules())
    assert told in str(caught.value)


def test_each_point_finds_what_a_replay_with_its_rules_finds(tmp_path: Path) -> None:
    source = ListSource(history(8, crisis_hours=(40, 62, 90, 150)), each=31)
    choices = read_sweep(sweep_file(tmp_path, {"rules": GRID}), load_rules())
    span = Span(START_MS + DAY_MS, None, DAY_MS)
    with Store(tmp_path / "s.sqlite") as store:
        writer = LogWriter(store, "x")
        run = replay(source, config(), span, log=writer)
        writer.finish(run.counts)
        found = run_sweep(choices, store.path, writer.log, config(), span, workers=1)
    assert sorted(found) == list(range(8))
    told = 0
    for choice in choices:
        alone = replay(source, replace(config(), rules=choice.rules), span)
        assert [a.to_json() for a in found[choice.number]] == [a.to_json() for a in alone.alerts]
        told += len(alone.alerts)
    assert told


def test_points_with_quiet_hours_sources_and_overrides_find_what_a_replay_finds(
    tmp_path: Path,
) -> None:
    base = {
        "name": "r",
        "when": [{"signal": "negative_volume", "window": "24h", "surprise": 1}],
        "min_stories": 4,
        "resolve": {"surprise_below": 1, "for": "3h"},
    }
    variants: list[dict[str, Any]] = [
        {"quiet_hours": {"at": ["12:00-23:00"]}},
        {"severity": {"info": 1, "critical": 6}, "hold": "1h", "quiet_hours": {"at": ["fri-sat"]}},
        {"min_sources": 3, "overrides": [{"subjects": ["acme"], "window": "1h"}]},
    ]
    rule_sets = [RuleSet.model_validate({"rules": [base | variant]}) for variant in variants]
    choices = [Choice(number, {}, rules) for number, rules in enumerate(rule_sets)]
    mentions = [
        item.model_copy(update={"source": f"s{item.raw.offset % 4}"})
        for item in history(8, crisis_hours=(40, 62, 90, 150))
    ]
    source = ListSource(mentions, each=31)
    weights = VoiceWeights({"s3": 0.5})
    # Hardly anything bad is expected of either, so that each crisis is a great surprise.
    prior = Prior(stories_per_day=15, negative_share=0.02)
    subjects = {
        name: replace(known, weights=weights, prior=prior)
        for name, known in config().subjects.items()
    }
    weighed = replace(config(), subjects=subjects)
    plain = replay(
        source, replace(weighed, rules=RuleSet.model_validate({"rules": [base]})), Span()
    )
    with Store(tmp_path / "s.sqlite") as store:
        writer = LogWriter(store, "x")
        run = replay(source, weighed, Span(), log=writer)
        writer.finish(run.counts)
        found = run_sweep(choices, store.path, writer.log, weighed, Span(), workers=1)
    for choice in choices:
        alone = replay(source, replace(weighed, rules=choice.rules), Span())
        assert [a.to_json() for a in found[choice.number]] == [a.to_json() for a in alone.alerts]
        assert alone.alerts
        # What the variant adds to the rule does something here.
        assert [a.detected_at for a in alone.alerts] != [a.detected_at for a in plain.alerts]


def test_points_are_judged_and_name_their_rules(tmp_path: Path) -> None:
    choices = read_sweep(sweep_file(tmp_path, {"rules": GRID}), load_rules())[:2]
    run = replay(ListSource(history()), config(), Span())
    covered = ReplayRange(START_MS, START_MS + 4 * DAY_MS)
    event = TruthEvent(subject="acme", start=START_MS + 60 * HOUR_MS)
    points = judged_points(choices, {0: run.alerts, 1: ()}, covered, [event], 2)
    assert [point.on_frontier for point in points] == [True, False]
    assert points[0].events == EventFigures(1, 1, *[points[0].events.median_delay_minutes] * 2)  # type: ignore[union-attr]
    assert [point.rules_file for point in points] == [choice.rules_file for choice in choices]


def test_the_frontier_holds_what_no_other_point_beats() -> None:
    def point(number: int, found: int, false: float) -> SweepPoint:
        events = EventFigures(5, found, None, None)
        return SweepPoint(number, {}, 1, events, 0.5, false, false, "")

    points = [point(0, 5, 2.0), point(1, 4, 1.0), point(2, 4, 1.5), point(3, 1, 1.0)]
    assert list(_frontier(points)) == [0, 1]
