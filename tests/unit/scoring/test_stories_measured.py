"""Copies are told from other stories on labelled pairs, as benchmarks/stories.py measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from made_story_pairs import PAIRS, part_of
from undertone.trends.stories import STORY_BITS

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "stories.py"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, BENCHMARK],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(found.stdout)
    return figures


def test_copies_are_found_and_other_stories_are_not_merged(measured: dict[str, Any]) -> None:
    assert measured["n"] >= 200
    assert measured["f1"] >= 0.85
    assert measured["false_merge_rate"] <= 0.02


def test_every_copy_behind_a_mark_or_with_another_number_is_found(measured: dict[str, Any]) -> None:
    kinds = ["wire_prefix", "retweet", "appended", "number"]
    assert {kind: measured["by_kind"][f"copy/{kind}"]["right"] for kind in kinds} == dict.fromkeys(
        kinds, 1.0
    )


def test_the_threshold_is_the_most_that_the_part_for_choosing_allows(
    measured: dict[str, Any],
) -> None:
    allowed = [
        int(bits) for bits, one in measured["by_bits"].items() if one["false_merge_rate"] <= 0.02
    ]
    assert max(allowed) == STORY_BITS


def test_the_pairs_are_some_hundreds_of_both_kinds_in_both_parts() -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    counted = Counter((pair["part"], pair["same"]) for pair in pairs)
    assert 300 <= len(pairs) <= 500
    assert len(counted) == 4
    assert min(counted.values()) >= 90
    assert all(pair["part"] == part_of(pair["one"]) for pair in pairs)
    assert len({(pair["one"], pair["other"]) for pair in pairs}) == len(pairs)
