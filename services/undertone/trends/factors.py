"""Why a window is unusual: how much is volume, how much tone, how much one story copied."""

from __future__ import annotations

from typing import NamedTuple

from undertone.records import Factors
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts

DIGITS = 3


class Split(NamedTuple):
    """The three factors in full precision."""

    volume: float
    tone: float
    novelty: float


def split(signal: str, counts: Counts, usual: Expectation) -> Split:
    """Split observed ÷ expected of a window into volume × tone × novelty.

    For `negative_volume`: volume is mentions (copies included) against the usual, novelty is
    stories a mention against the usual (below 1: one story copied often), tone is the share of
    negative stories against the usual. For `volume` tone is 1. A share is all tone. So is a mean
    score, whose ratio would mean nothing, as it has a sign: its tone is how far it lies below the
    best, 1, against how far it usually does.
    """
    if signal == "negative_share":
        return Split(1.0, _ratio(counts.negative_share or 0.0, usual.negative_share), 1.0)
    if signal == "mean_score":
        observed = usual.mean_score if counts.mean_score is None else counts.mean_score
        return Split(1.0, _ratio(1.0 - observed, 1.0 - usual.mean_score), 1.0)
    volume = _ratio(counts.mentions, usual.mentions)
    novelty = _ratio(_ratio(counts.stories, counts.mentions), _ratio(usual.stories, usual.mentions))
    if signal == "volume":
        return Split(volume, 1.0, novelty)
    tone = _ratio(_ratio(counts.negative, counts.stories), _ratio(usual.negative, usual.stories))
    return Split(volume, tone, novelty)


def explain(signal: str, counts: Counts, usual: Expectation) -> Factors:
    """The factors as an alert tells them."""
    volume, tone, novelty = (round(factor, DIGITS) for factor in split(signal, counts, usual))
    return Factors(volume=volume, tone=tone, novelty=novelty)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else 0.0
