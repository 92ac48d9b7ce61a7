"""Is surprise calibrated? How often closed windows of a quiet stream are surprising, by rights.

Windows do not overlap, and each is judged at its end by what was learnt until it began. A count is
discrete, so its tail is randomised, P(X > x) + u × P(X = x) with u uniform: under a true model
that is uniform itself (Czado, Gneiting, Held 2009, "Predictive model assessment for count data").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertone.trends.baseline import Baseline, expect
from undertone.trends.panes import Counts
from undertone.trends.surprise import (
    count_surprises,
    score_surprises,
    share_surprises,
)
from undertone.watchlist.subjects import Prior

SIGNALS = ("volume", "negative_volume", "negative_share", "mean_score")
# What a subject's own past is, before its evaluations count.
WARM_UP_MS = 28 * 86_400_000

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Evaluations:
    """What closed windows held, and what was usual for them, as rows of numbers."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def tails(self, seed: int) -> dict[str, Floats]:
        """By signal, the randomised tail probability of each evaluation."""
        table = np.array(self.rows, dtype=np.float64)
        stories, negative, scored, score = table[:, :4].T
        (_mentions, usual, shape, burst, usual_negative, negative_shape, negative_burst,
         share, usual_score, variance) = table[:, 4:].T  # fmt: skip
        draws = np.random.default_rng(seed).random((3, len(table)))

        def volume(observed: Floats) -> Floats:
            return count_surprises(observed, usual, shape, burst)

        def negative_volume(observed: Floats) -> Floats:
            return count_surprises(observed, usual_negative, negative_shape, negative_burst)

        def negative_share(observed: Floats) -> Floats:
            within = observed <= scored
            surprise = share_surprises(np.minimum(observed, scored), scored, share)
            return np.where(within, surprise, np.inf)

        some = scored > 0
        return {
            "volume": _randomised(volume, stories, draws[0]),
            "negative_volume": _randomised(negative_volume, negative, draws[1]),
            "negative_share": _randomised(negative_share, negative, draws[2])[some],
            "mean_score": 10.0
            ** -score_surprises(score / np.maximum(scored, 1), scored, usual_score, variance)[some],
        }


def _randomised(surprise: Callable[[Floats], Floats], observed: Floats, draws: Floats) -> Floats:
    beyond = 10.0 ** -surprise(observed + 1)
    at_least = 10.0 ** -surprise(observed)
    return beyond + draws * (at_least - beyond)


def excess(tails: Floats, power: int) -> float:
    """The share of evaluations with surprise ≥ `power`, over the 10^−power that is due."""
    return float(np.mean(tails <= 10.0**-power)) * 10.0**power


def evaluate(
    panes: Sequence[tuple[int, Counts]],
    prior: Prior,
    window_ms: int,
    span_ms: tuple[int, int],
    is_quiet: Callable[[int], bool],
) -> Evaluations:
    """The evaluations of one subject: `panes` are (end, counts) in order of time, `span_ms` is
    when its stream began and ended."""
    start_ms = -(-span_ms[0] // window_ms) * window_ms
    baseline = Baseline(at_ms=start_ms)
    result = Evaluations()
    first_ms = start_ms + WARM_UP_MS
    for window_start_ms, inside in _windows(panes, start_ms, span_ms[1], window_ms):
        end_ms = window_start_ms + window_ms
        if window_start_ms >= first_ms and is_quiet(window_start_ms) and is_quiet(end_ms - 1):
            baseline.advance(window_start_ms)
            usual = expect((baseline,), prior, window_ms, end_ms)
            held = Counts()
            for _pane_ms, counts in inside:
                held.add(counts)
            result.rows.append(
                (held.stories, held.negative, held.scored, held.score_millis / 1000, *usual)
            )
        for pane_ms, counts in inside:
            baseline.advance(pane_ms)
            baseline.learn(counts)
    return result


def _windows(
    panes: Sequence[tuple[int, Counts]], start_ms: int, end_ms: int, window_ms: int
) -> Iterator[tuple[int, list[tuple[int, Counts]]]]:
    """Each window's start with its panes, those that end in (start, start + length]."""
    index = 0
    while index < len(panes) and panes[index][0] <= start_ms:
        index += 1
    for window_start_ms in range(start_ms, end_ms - window_ms + 1, window_ms):
        inside = []
        while index < len(panes) and panes[index][0] <= window_start_ms + window_ms:
            inside.append(panes[index])
            index += 1
        yield window_start_ms, inside
