"""The live volume baseline as a detector of NAB's series."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone.benchmark.nab import (
    REST_MS,
    THRESHOLD,
    THRESHOLDS,
    anomaly_scores,
    as_score,
    benchmark_nab,
    surprises_of,
)
from undertone.benchmark.nab_scoring import probation_rows

STEP_MS = 300_000
DATA = Path(__file__).parents[4] / "shared/data/nab"


def counts(rows: int, surge: range = range(0), seed: int = 1) -> list[int]:
    """Some five stories a row; a hundred in a surge."""
    chance = random.Random(seed)
    return [100 if row in surge else chance.randrange(3, 8) for row in range(rows)]


def instants(rows: int) -> list[int]:
    return [1_424_900_000_000 + STEP_MS * row for row in range(rows)]


def test_a_surge_is_surprising_and_quiet_rows_are_not() -> None:
    values = counts(1_000, range(900, 910))
    surprises = list(surprises_of(instants(1_000), values))
    assert max(surprises[900:903]) >= THRESHOLD > max(surprises[:900])


def test_probation_has_no_surprise() -> None:
    values = counts(1_000, range(100, 110))
    surprises = list(surprises_of(instants(1_000), values))
    assert not any(surprises[: probation_rows(1_000)])
    assert any(surprises[probation_rows(1_000) :])


@settings(deadline=None, max_examples=20)
@given(values=st.lists(st.integers(0, 60), min_size=40, max_size=80), cut=st.integers(20, 80))
def test_a_surprise_does_not_depend_on_later_rows(values: list[int], cut: int) -> None:
    at_ms = instants(len(values))
    changed = [*values[:cut], *(0 for _ in values[cut:])]
    whole = list(surprises_of(at_ms, values))
    assert list(surprises_of(at_ms, changed))[:cut] == whole[:cut]


def test_it_speaks_once_and_then_rests() -> None:
    rest = REST_MS // STEP_MS
    surprises = [0.0, 9.0, 9.0, *([9.0] * rest)]
    scores = anomaly_scores(instants(len(surprises)), surprises, THRESHOLD)
    spoken = [row for row, score in enumerate(scores) if score >= as_score(THRESHOLD)]
    assert spoken == [1, 1 + rest]
    assert scores[2] == 0.0


@settings(deadline=None)
@given(st.floats(0, 99))
def test_a_score_lies_between_nought_and_one_and_keeps_the_order(surprise: float) -> None:
    assert 0.0 <= as_score(surprise) <= 1.0
    assert as_score(surprise + 1) >= as_score(surprise)


def test_a_folder_is_scored_as_a_whole_and_by_series(tmp_path: Path) -> None:
    rows = 1_000
    stamps = [
        f"2015-03-{1 + row // 288:02d} {row % 288 // 12:02d}:{row % 12 * 5:02d}:00"
        for row in range(rows)
    ]
    for name, surge in (("one.csv", range(600, 605)), ("two.csv", range(0))):
        values = counts(rows, surge, seed=len(name))
        lines = [f"{stamp},{value}" for stamp, value in zip(stamps, values, strict=True)]
        (tmp_path / name).write_text("\n".join(["timestamp,value", *lines]) + "\n")
    windows = f'[["{stamps[595]}", "{stamps[620]}"]]'
    (tmp_path / "windows.json").write_text(f'{{"one.csv": {windows}, "two.csv": {windows}}}')
    result = benchmark_nab(tmp_path)
    document = result.as_json()
    assert result.per_file["one.csv"].found == 1 and result.per_file["two.csv"].found == 0
    assert result.per_file["two.csv"].false_detections == 0
    assert 90 < document["per_file"]["one.csv"]["score"] <= 100
    assert document["score"] == pytest.approx(document["per_file"]["one.csv"]["score"] / 2, abs=0.1)
    assert len(document["by_threshold"]) == len(THRESHOLDS)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/nab beside the repository")
@pytest.mark.slow
def test_on_the_published_series_it_beats_the_published_windowed_gaussian() -> None:
    result = benchmark_nab(DATA)
    assert sum(each.windows for each in result.per_file.values()) == 16
    assert result.score > 65.2
