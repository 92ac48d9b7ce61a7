"""What the simple detectors see: the stories of each subject, from the mentions of one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertone.records import Alert, Mention, TrendPoint
from undertone.trends.stories import StoryIndex
from undertone.trends.windows import HOUR_MS

# Near-copies of a story of this many hours are dropped, as the watcher drops them.
COPIES_HOURS = 24


@dataclass(frozen=True)
class Series:
    """Scored stories of one subject in order of arrival.

    `at_ms` are arrivals, `negative` whether negative is the likeliest class, `score` is
    p_positive − p_negative. The stream began at `begins_ms`, perhaps before the first story.
    """

    subject: str
    begins_ms: int
    at_ms: NDArray[np.int64]
    negative: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass
class _Heard:
    at_ms: list[int] = field(default_factory=list)
    negative: list[bool] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    stories: StoryIndex = field(default_factory=StoryIndex)
    hour: int = 0


class SeriesSink:
    """Takes the mentions of a replay as they pass, and gives them as series."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._begins_ms: int | None = None

    def add(self, record: TrendPoint | Alert | Mention, /) -> None:
        """Take a mention; all else, and what the classifier failed on, is passed over."""
        if not isinstance(record, Mention):
            return
        if self._begins_ms is None:
            self._begins_ms = record.ingested_at
        negative, positive = record.p_negative, record.p_positive
        if negative is None or positive is None:
            return
        heard = self._heard.setdefault(record.subject, _Heard())
        if self._is_copy(heard, record):
            return
        heard.at_ms.append(record.ingested_at)
        heard.negative.append(negative > positive and negative > (record.p_neutral or 0.0))
        heard.score.append(positive - negative)

    def series(self) -> list[Series]:
        """The stories of each subject, by subject."""
        return [
            Series(
                subject,
                self._begins_ms or 0,
                np.array(heard.at_ms, np.int64),
                np.array(heard.negative, np.bool_),
                np.array(heard.score, np.float64),
            )
            for subject, heard in sorted(self._heard.items())
        ]

    @staticmethod
    def _is_copy(heard: _Heard, mention: Mention) -> bool:
        hour = mention.ingested_at // HOUR_MS
        if hour > heard.hour:
            heard.hour = hour
            heard.stories.drop_before(hour - COPIES_HOURS)
        fingerprint = int(mention.fingerprint, 16)
        if heard.stories.is_copy(fingerprint):
            return True
        heard.stories.add(hour, fingerprint)
        return False
