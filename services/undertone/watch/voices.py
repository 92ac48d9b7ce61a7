"""Who told what a rule counts: independent voices, and how much the loudest one may count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

from undertone.settings import PANE_MS
from undertone.trends.panes import Counts
from undertone.trends.windows import HOUR_MS
from undertone.watch.state import Hour

# What Counts adds up for a story at the end of the scale, −1 or 1.
_FULL_SCORE_MILLIS = 1000


class Heard(NamedTuple):
    """Of a window: how many voices, and what all but the loudest told, copies included."""

    voices: int
    told_by_others: int


def heard(
    hours: Iterable[tuple[int, Hour]], start_ms: int, kinds: Collection[str], *, only_negative: bool
) -> Heard:
    """The voices since `start_ms`, in hours (with their numbers since 1970) that reach that far.

    What each told is known by the hour, so some of it may lie before `start_ms`.
    """
    told: Counter[str] = Counter()
    for number, hour in hours:
        first = (start_ms - number * HOUR_MS) / PANE_MS
        for kind, voices in hour.voices.items():
            if kind in kinds:
                for name, voice in voices.items():
                    last, count = voice[2:] if only_negative else voice[:2]
                    if count and last >= first:
                        told[name] += count
    return Heard(len(told), told.total() - max(told.values(), default=0))


def without_excess(counts: Counts, told_by_others: int, *, only_negative: bool) -> Counts:
    """The counts with the loudest voice counting for no more than all others together.

    So that one that floods, among others who speak as they always do, fires nothing that asks for
    several sources. What is left out of a mean score is taken to have been as low as can be.
    """
    relevant = counts.negative if only_negative else counts.stories
    excess = relevant - 2 * told_by_others
    if excess <= 0:
        return counts
    fewer = replace(counts, stories=counts.stories - excess)
    if only_negative:
        fewer.negative -= excess
        fewer.score_millis += excess * _FULL_SCORE_MILLIS
    return fewer
