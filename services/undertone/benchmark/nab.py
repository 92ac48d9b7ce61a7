"""`undertone benchmark nab`: the live `volume` baseline on series of counts, as an outside check.

Every count is so many stories of one subject, at its own time. The detector is what a rule on
`volume` with one window does: it speaks where the surprise of the window reaches a threshold, and
not again for a day. Scores of rows look at nothing that came later, and lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undertone.benchmark.nab_files import LabelledSeries, read_series
from undertone.benchmark.nab_scoring import SeriesScore, normalised, probation_rows, score_series
from undertone.durations import format_duration
from undertone.trends.baseline import Baseline, expect
from undertone.trends.panes import Counts
from undertone.watchlist.subjects import Prior

DAY_MS = 86_400_000
WINDOW_MS = 1_800_000
# One setting for every series. The surprise at which it speaks, and how long it then is silent.
THRESHOLD = 3.0
REST_MS = DAY_MS
# What else might have been chosen: shown, so that the choice can be judged.
THRESHOLDS = tuple(step / 4 for step in range(4, 41))


@dataclass(frozen=True)
class NabBenchmark:
    """The normalised score over all series at THRESHOLD, and what other thresholds would give.

    `left_out_score` takes for each series the threshold that is best on the others.
    """

    per_file: Mapping[str, SeriesScore]
    by_threshold: Mapping[float, float]
    left_out_score: float
    threshold: float = THRESHOLD

    @property
    def score(self) -> float:
        """0 to 100; below 0 if worse than silence."""
        return normalised(list(self.per_file.values()))

    def as_json(self) -> dict[str, Any]:
        """The fields of the stable command line, and more."""
        return {
            "score": round(self.score, 2),
            "per_file": {
                name: {
                    "score": round(each.score, 2),
                    "raw": round(each.raw, 4),
                    "windows": each.windows,
                    "found": each.found,
                    "false_detections": each.false_detections,
                }
                for name, each in self.per_file.items()
            },
            "profile": "standard",
            "threshold": self.threshold,
            "window": format_duration(WINDOW_MS),
            "rest": format_duration(REST_MS),
            "left_out_score": round(self.left_out_score, 2),
            "by_threshold": {
                f"{each:g}": round(score, 2) for each, score in self.by_threshold.items()
            },
        }


def benchmark_nab(folder: Path) -> NabBenchmark:
    """Score every series of a folder. Raises InputFileError where a file is wrong."""
    series = read_series(folder)
    surprises = [list(surprises_of(each.instants_ms, each.values)) for each in series]
    tried = {
        threshold: [
            _score(each, found, threshold) for each, found in zip(series, surprises, strict=True)
        ]
        for threshold in THRESHOLDS
    }
    at_threshold = tried[THRESHOLD]
    return NabBenchmark(
        per_file={each.name: score for each, score in zip(series, at_threshold, strict=True)},
        by_threshold={threshold: normalised(scores) for threshold, scores in tried.items()},
        left_out_score=_left_out_score(tried, len(series)),
    )


def surprises_of(instants_ms: Sequence[int], values: Sequence[int]) -> Iterator[float]:
    """The surprise at each row of the window that ends with it; 0 in probation.

    A count at an instant is taken for the steps since the one before. The prior rate, which a
    watchlist would give, is the mean of probation.
    """
    probation = probation_rows(len(values))
    step_ms = instants_ms[1] - instants_ms[0] if len(instants_ms) > 1 else WINDOW_MS
    prior = _prior_of(values[:probation], step_ms)
    baseline = Baseline(at_ms=instants_ms[0] - step_ms if instants_ms else 0)
    rows_a_window = max(1, WINDOW_MS // step_ms)
    in_window = 0
    for row, (instant_ms, value) in enumerate(zip(instants_ms, values, strict=True)):
        in_window += value
        if row >= rows_a_window:
            in_window -= values[row - rows_a_window]
        # What is usual comes from the rows before this one.
        usual = expect([baseline], prior, WINDOW_MS, instant_ms)
        yield usual.surprise_of_volume(in_window) if row >= probation else 0.0
        baseline.advance(instant_ms)
        baseline.learn(Counts(mentions=value, stories=value, neutral=value))


def anomaly_scores(
    instants_ms: Sequence[int], surprises: Sequence[float], threshold: float
) -> list[float]:
    """1 − the probability of the window under what is usual; 0 while it rests after speaking."""
    scores: list[float] = []
    silent_until_ms: int | None = None
    for instant_ms, surprise in zip(instants_ms, surprises, strict=True):
        resting = silent_until_ms is not None and instant_ms < silent_until_ms
        scores.append(0.0 if resting else as_score(surprise))
        if not resting and surprise >= threshold:
            silent_until_ms = instant_ms + REST_MS
    return scores


def as_score(surprise: float) -> float:
    """1 − 10^−surprise: between 0 and 1, the same order."""
    return float(1.0 - 10.0**-surprise)


def _prior_of(values: Sequence[int], step_ms: int) -> Prior:
    mean = sum(values) / len(values) if values else 0.0
    stories_per_day = min(max(mean * DAY_MS / step_ms, 0.1), 1_000_000.0)
    return Prior(stories_per_day=stories_per_day)


def _score(series: LabelledSeries, surprises: Sequence[float], threshold: float) -> SeriesScore:
    scores = anomaly_scores(series.instants_ms, surprises, threshold)
    least = as_score(threshold)
    detections = [row for row, score in enumerate(scores) if score >= least]
    return score_series(detections, len(series.values), series.windows)


def _left_out_score(tried: Mapping[float, Sequence[SeriesScore]], count: int) -> float:
    """Each series at the threshold that is best on the others: the middle one of the best."""
    chosen: list[SeriesScore] = []
    for left_out in range(count):
        of_others = {
            threshold: normalised([*scores[:left_out], *scores[left_out + 1 :]])
            for threshold, scores in tried.items()
        }
        most = max(of_others.values())
        best = [threshold for threshold, score in of_others.items() if score >= most - 1e-9]
        chosen.append(tried[best[len(best) // 2]][left_out])
    return normalised(chosen)
