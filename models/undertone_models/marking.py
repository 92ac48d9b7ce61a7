"""Where in a text its target stands, and how a model is shown that place.

A name may occur twice, or inside another word, so the place is marked in the text itself: a token
before it and one after it (entity markers: Soares et al. 2019, "Matching the Blanks"), beside the
target as the second segment.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from undertone_models.pairs import Pair, Span


class TargetMarkers(NamedTuple):
    """The two tokens around a target; the tokenizer must know them as special tokens."""

    before: str
    after: str


def marked(pair: Pair, markers: TargetMarkers) -> str:
    """The text of a pair with its target between the markers; without target, as it is.

    Markers that the text itself holds are taken out: no message says where its target is.
    """
    text, span = pair.text, target_span(pair)
    if markers.before in text or markers.after in text:
        text = text.replace(markers.before, "").replace(markers.after, "")
        span = target_span(Pair(text, pair.target))
    if span is None:
        return text
    start, end = span
    return f"{text[:start]}{markers.before} {text[start:end]} {markers.after}{text[end:]}"


def target_span(pair: Pair) -> Span | None:
    """Where the target stands: its given span, else its first occurrence, whole words preferred.

    None where there is no target, or the text does not hold it (in whatever case).
    """
    if not pair.target:
        return None
    if pair.span is not None:
        return pair.span
    return _first(pair.text, pair.target)


def _first(text: str, target: str) -> Span | None:
    length = len(target)
    at = text.find(target)
    while at >= 0:  # no regular expression for what nearly always succeeds
        if _stands_alone(text, at, at + length):
            return at, at + length
        at = text.find(target, at + 1)
    found: Span | None = None
    for match in re.finditer(re.escape(target), text, re.IGNORECASE):
        if _stands_alone(text, match.start(), match.end()):
            return match.span()
        found = found or match.span()
    return found


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit goes on across either border."""
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return end > start and not before and not after
