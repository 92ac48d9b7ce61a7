"""Why a window is unusual: how much is volume, how much tone, how much one story copied."""

from __future__ import annotations

from undertone.records import Factors
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts


def explain(signal: str, counts: Counts, expectation: Expectation) -> Factors:
    """Split observed ÷ expected into volume × tone × novelty.

    For `negative_volume`: volume is mentions (copies included) against the usual, novelty is
    stories a mention against the usual (below 1: one story copied often), tone is the share of
    negative stories against the usual. For `volume` tone is 1; for share and score the whole
    ratio is tone.
    """
    if signal in ("negative_share", "mean_score"):
        share = counts.negative_share
        return Factors(
            volume=1.0,
            tone=round(_ratio(share or 0.0, expectation.negative_share), 3),
            novelty=1.0,
        )
    volume = _ratio(counts.mentions, expectation.mentions)
    novelty = _ratio(
        _ratio(counts.stories, counts.mentions), _ratio(expectation.stories, expectation.mentions)
    )
    tone = 1.0
    if signal == "negative_volume":
        tone = _ratio(
            _ratio(counts.negative, counts.stories),
            _ratio(expectation.negative, expectation.stories),
        )
    return Factors(volume=round(volume, 3), tone=round(tone, 3), novelty=round(novelty, 3))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else 0.0
