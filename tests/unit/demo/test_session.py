"""The demo's result: percentiles, the accounting, the JSON fields."""

from __future__ import annotations

import json

import pytest

from made_alerts import START_MS, made_alert, resolved
from undertone.alerting.verdict import Verdict
from undertone.demo.session import DemoResult, percentile
from undertone.truth import TruthEvent

COUNTS = {
    "messages_in": 10,
    "scored": 6,
    "unscored": 1,
    "unmatched": 2,
    "dead_letters": 1,
    "mentions": 9,
}
EVENT = TruthEvent(subject="acme", start=START_MS, polarity="negative", description="recall")


def made_result(sent: int = 10, verdict: Verdict | None = None, **counts: int) -> DemoResult:
    alerts = [made_alert(), resolved(made_alert())]
    return DemoResult(COUNTS | counts, sent, 3, alerts, verdict, [0.5, 0.25])


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([2.0], 50, 2.0),
        ([2.0], 99, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([0.12345], 50, 0.123),
    ],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], percent: int, expected: float | None
) -> None:
    assert percentile(values, percent) == expected


def test_it_adds_up_when_every_message_has_one_end() -> None:
    assert made_result().adds_up


@pytest.mark.parametrize("counts", [{"scored": 5}, {"dead_letters": 2}, {"messages_in": 11}])
def test_a_message_lost_or_counted_twice_does_not_add_up(counts: dict[str, int]) -> None:
    assert not made_result(**counts).adds_up


def test_what_never_arrived_does_not_add_up() -> None:
    assert not made_result(sent=11).adds_up


def test_the_json_holds_counts_alerts_truth_and_times() -> None:
    verdict = Verdict(found=(EVENT,), missed=(), false_alerts=("x", "y"))
    document = json.loads(json.dumps(made_result(verdict=verdict).to_json()))
    assert {name: document[name] for name in COUNTS} == COUNTS
    assert document["rejected"] == 3
    assert [alert["state"] for alert in document["alerts"]] == ["firing", "resolved"]
    assert document["alerts"][0]["started_at"] == "2008-09-15T12:00:00Z"
    assert document["truth"] == {"found": 1, "missed": 0, "false": 2}
    assert document["detection_seconds"] == {"p50": 0.25, "p99": 0.5}


def test_without_truth_the_json_says_null() -> None:
    assert made_result().to_json()["truth"] is None
