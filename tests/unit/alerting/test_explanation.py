"""What a rule does, in words: to the letter for the rules that come with undertone."""

from __future__ import annotations

from typing import Any

import pytest

from undertone.alerting.explanation import explain_rule, odds
from undertone.alerting.rules import Rule, load_rules


def made(**changes: Any) -> Rule:
    rule = {"name": "r", "when": [{"signal": "negative_volume", "window": "1h", "surprise": 4}]}
    return Rule.model_validate(rule | changes)


def test_the_default_rules_are_explained() -> None:
    surge, tone = load_rules().rules
    assert explain_rule(surge) == (
        "Watches every subject.",
        "Holds when all of these do: (1) the number of stories in 3h is as high as in 1 of 40 "
        "usual windows of the subject (surprise 1.6; about once in 5 days); (2) the mean score "
        "in 3h is below -0.2.",
        "Needs 3 stories in the window of each (copies of a story count once).",
        "Fires at the end of the ten seconds in which it holds.",
        "Its severity follows the strongest surprise: info from 1.6, warning from 2.8, critical "
        "from 3.6; it rises with it and does not fall while the alert lasts.",
        "Ends when its surprise has stayed below 1.5 (1 usual window in 32) and what is above or "
        "below a level has left it for 12h.",
        "Is silent about the subject for 12h after that.",
    )
    assert explain_rule(tone) == (
        "Watches every subject.",
        "Holds when all of these do: (1) the number of negative stories in 24h is as high as in "
        "1 of 100 usual windows of the subject (surprise 2; about once in 3.3 months); (2) the "
        "share of negative stories in 24h is as high as in 1 of 320 usual windows of the subject "
        "(surprise 2.5; about once in 10 months).",
        "Needs 8 stories in the window of each (copies of a story count once; where their number "
        "is what counts, negative ones).",
        "Fires at the end of the ten seconds in which it holds.",
        "Its severity is info and rises one step, up to critical, each time the strongest "
        "surprise is 1 above the last one told (10 times rarer).",
        "Ends when every surprise has stayed below 1 (1 usual window in 10) for 12h.",
        "Is silent about the subject for 24h after that.",
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"enabled": False}, "Is switched off (enabled: false)."),
        (
            {"enabled": False, "overrides": [{"subjects": ["a"], "enabled": True}]},
            "Is switched off (enabled: false) but for subjects that an override below switches on.",
        ),
        ({"subjects": ["a", "b"], "kinds": ["social"]}, "Watches a, b, in social alone."),
        (
            {"when": [{"signal": "mean_score", "window": "5m", "surprise": 1}]},
            "Holds when the mean score in 5m is as low as in 1 of 10 usual windows of the "
            "subject (surprise 1; about once in 50 minutes).",
        ),
        (
            {"when": [{"signal": "volume", "window": "24h", "above": 40}]},
            "Holds when the number of stories in 24h is above 40.",
        ),
        (
            {"when": [{"signal": "mean_score", "window": "1h", "below": -0.25}]},
            "Holds when the mean score in 1h is below -0.25.",
        ),
        (
            {"when": [{"signal": "volume", "window": "24h", "above": 40}]},
            "Ends when what is above or below a level has left it for 1h.",
        ),
        (
            {"min_sources": 3},
            "Needs 3 negative stories in the window (copies of a story count once), told by 3 "
            "independent voices; the loudest voice counts for no more than all others together.",
        ),
        ({"hold": "10m"}, "Fires when all this has held for 10m."),
        ({"severity": "critical"}, "Its severity is critical."),
        ({"rise_by": 2}, "Its severity is warning and rises one step, up to critical, each time "
         "the strongest surprise is 2 above the last one told (100 times rarer)."),
        (
            {"severity": {"critical": 8, "info": 4.5}},
            "Its severity follows the strongest surprise: info from 4.5, critical from 8; it "
            "rises with it and does not fall while the alert lasts.",
        ),
        ({"cooldown": "0s"}, "May fire again at once."),
        (
            {"quiet_hours": {"at": ["22:00-07:00", "sat-sun"], "zone": "Europe/London"}},
            "In quiet hours (22:00-07:00, sat-sun, Europe/London) nothing below critical fires or "
            "rises; what still holds when they end is told then, and an alert's end is always "
            "told.",
        ),
        (
            {"overrides": [{"subjects": ["a", "b"], "surprise": 5, "resolve.for": "2h",
                            "enabled": False, "severity": {"critical": 8}}]},
            "For a, b instead: surprise 5, resolve.for 2h, enabled false, severity {critical: 8}.",
        ),
    ],
)  # fmt: skip
def test_every_field_has_its_sentence(changes: dict[str, Any], sentence: str) -> None:
    said = explain_rule(made(**changes))
    assert sentence in said
    assert sentence not in explain_rule(made())


@pytest.mark.parametrize(
    ("surprise", "text"),
    [
        (0.3, "2"),
        (1.5, "32"),
        (4, "10,000"),
        (6, "1 million"),
        (9.3, "2 billion"),
        (14, "100 trillion"),
    ],
)
def test_a_surprise_is_one_window_in_so_many(surprise: float, text: str) -> None:
    assert odds(surprise) == text


def test_what_is_rarer_than_a_century_is_said_to_be() -> None:
    rare = made(when=[{"signal": "volume", "window": "24h", "surprise": 6}])
    assert "about less than" not in " ".join(explain_rule(rare))
    assert any("less than once in a hundred years" in said for said in explain_rule(rare))
