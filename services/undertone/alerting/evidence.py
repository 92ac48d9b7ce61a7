"""The messages that prove an alert, and the factors that explain it."""

from __future__ import annotations

from collections.abc import Iterable

from undertone.records import Evidence, Factors
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts

EVIDENCE_LIMIT = 5
CANDIDATES_PER_HOUR = 8


def weight(p_negative: float | None, relevance: float) -> float:
    """How strongly a story speaks: the more negative and the more about the subject."""
    return (p_negative or 0.0) * relevance


def choose(
    candidates: Iterable[tuple[float, Evidence]], limit: int
) -> list[tuple[float, Evidence]]:
    """The weightiest candidates, the earlier of equals first."""
    return sorted(
        candidates, key=lambda item: (-item[0], item[1].published_at, item[1].message_id)
    )[:limit]


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
