"""Volume × tone × novelty is observed ÷ expected, whatever was counted and learnt."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from undertone.trends.baseline import Baseline, Expectation, expect
from undertone.trends.factors import explain, split
from undertone.trends.panes import Counts
from undertone.trends.rhythm import HOUR_MS
from undertone.watchlist.subjects import Prior


@st.composite
def windows(draw: st.DrawFn) -> Counts:
    """Counts as a window can hold them: a story is a mention, a class is of a story."""
    negative, neutral, positive = (draw(st.integers(0, 60)) for _ in range(3))
    stories = negative + neutral + positive + draw(st.integers(0, 9))
    score_millis = draw(st.integers(-1000 * negative, 1000 * positive))
    return Counts(
        mentions=stories + draw(st.integers(0, 400)),
        stories=stories,
        negative=negative,
        neutral=neutral,
        positive=positive,
        score_millis=score_millis,
    )


@st.composite
def expectations(draw: st.DrawFn) -> Expectation:
    prior = Prior(
        stories_per_day=draw(st.floats(0.01, 1e5)),
        negative_share=draw(st.floats(0.001, 0.999)),
        mean_score=draw(st.floats(-0.99, 0.99)),
    )
    baseline = Baseline(at_ms=0)
    baseline.learn(draw(windows()))
    # What is learnt shows once its hour is over, and is forgotten in days.
    now_ms = draw(st.integers(1, 500)) * HOUR_MS + 1
    baseline.advance(now_ms)
    return expect([baseline], prior, draw(st.sampled_from([10_000, HOUR_MS, 24 * HOUR_MS])), now_ms)


@given(windows(), expectations())
def test_the_factors_of_negative_volume_multiply_to_observed_over_expected(
    counts: Counts, usual: Expectation
) -> None:
    product = math.prod(split("negative_volume", counts, usual))
    assert math.isclose(product, counts.negative / usual.negative, rel_tol=1e-9, abs_tol=1e-12)


@given(windows(), expectations())
def test_the_factors_of_volume_multiply_to_observed_over_expected(
    counts: Counts, usual: Expectation
) -> None:
    factors = split("volume", counts, usual)
    assert math.isclose(
        math.prod(factors), counts.stories / usual.stories, rel_tol=1e-9, abs_tol=1e-12
    )
    assert factors.tone == 1.0


@given(windows(), expectations())
def test_a_share_is_all_tone(counts: Counts, usual: Expectation) -> None:
    volume, tone, novelty = split("negative_share", counts, usual)
    assert (volume, novelty) == (1.0, 1.0)
    assert math.isclose(tone, (counts.negative_share or 0.0) / usual.negative_share)


@given(windows(), expectations())
def test_a_mean_below_the_usual_is_a_tone_above_one_and_never_negative(
    counts: Counts, usual: Expectation
) -> None:
    volume, tone, novelty = split("mean_score", counts, usual)
    assert (volume, novelty) == (1.0, 1.0)
    mean = usual.mean_score if counts.mean_score is None else counts.mean_score
    assert tone >= 0.0
    if not math.isclose(mean, usual.mean_score, abs_tol=1e-9):
        assert (tone > 1.0) is (mean < usual.mean_score)


def test_one_story_copied_often_is_volume_without_novelty() -> None:
    usual = expect([Baseline(at_ms=0)], Prior(stories_per_day=24), HOUR_MS, HOUR_MS)
    copied = explain("volume", Counts(mentions=20, stories=1), usual)
    assert (copied.volume, copied.tone, copied.novelty) == (20.0, 1.0, 0.05)
