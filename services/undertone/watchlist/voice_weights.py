"""How much a voice counts: the `weights` of a watchlist."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from fnmatch import translate
from functools import lru_cache

FULL = 1000
# Voices whose pattern is remembered; the others are looked up again.
_REMEMBERED = 4096


class VoiceWeights:
    """Which messages of each voice are heard, by patterns of sources and authors.

    Of voices with a weight of 0.25 every fourth message about a subject is heard, of weight 0
    none. What is not heard is counted as a mention alone. So what is counted stays a whole number
    of stories, which is what baselines and surprise are about.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._patterns = [
            (pattern, re.compile(translate(pattern.casefold())), round(weight * FULL))
            for pattern, weight in weights.items()
        ]
        self._find = lru_cache(maxsize=_REMEMBERED)(self._look_up)

    def __reduce__(self) -> tuple[type[VoiceWeights], tuple[dict[str, float]]]:
        """Sent to another process (a sweep's) by what it is made from."""
        return VoiceWeights, (self._weights,)

    def hears(
        self, source: str, author: str | None, credits_millis: MutableMapping[str, int]
    ) -> bool:
        """Whether the next message of a voice is heard.

        `credits_millis` is the subject's: what each pattern has saved up, in thousandths of a
        message.
        """
        found = self._find(source, author)
        if found is None:
            return True
        pattern, millis = found
        saved = credits_millis.get(pattern, 0) + millis
        credits_millis[pattern] = saved % FULL
        return saved >= FULL

    def _look_up(self, source: str, author: str | None) -> tuple[str, int] | None:
        """The first pattern that fits the source, or `source/author`, with its thousandths."""
        source = source.casefold()
        voice = f"{source}/{author.casefold()}" if author else source
        for pattern, fits, millis in self._patterns:
            if fits.match(source) or fits.match(voice):
                return pattern, millis
        return None
