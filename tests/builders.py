"""Records for tests: everything but what a test is about is filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from undertone.records import (
    Alert,
    Kind,
    Mention,
    MentionStatus,
    Progress,
    RawPosition,
    TrendPoint,
)
from undertone.trends.points import TrendReading

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
RAW = "test.raw.news"

TONES = {
    "negative": (0.9, 0.08, 0.02),
    "neutral": (0.05, 0.9, 0.05),
    "positive": (0.02, 0.08, 0.9),
}


def sketch(text: str) -> str:
    """A fingerprint in which different texts lie far apart."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def mention(at_ms: int, offset: int, tone: str | None = "neutral", **changes: Any) -> Mention:
    """A mention of `acme` that arrived at `at_ms`, by default with a story of its own."""
    scores = TONES[tone] if tone else (None, None, None)
    fields: dict[str, Any] = {
        "message_id": f"m{offset}",
        "subject": "acme",
        "target": "Acme",
        "published_at": at_ms,
        "ingested_at": at_ms,
        "source": "wire",
        "kind": Kind.NEWS,
        "excerpt": f"Acme story {offset}",
        "text_hash": sketch(f"text {offset}"),
        "fingerprint": sketch(f"story {offset}"),
        "p_negative": scores[0],
        "p_neutral": scores[1],
        "p_positive": scores[2],
        "status": MentionStatus.SCORED if tone else MentionStatus.UNSCORED,
        "model": "stub@1",
        "raw": RawPosition(topic=RAW, partition=0, offset=offset),
        "scored_at": at_ms,
    }
    return Mention(**(fields | changes))


def progress(until_ms: int, partitions: int = 1) -> Progress:
    """All of `partitions` raw partitions are scored up to `until_ms`."""
    return Progress(
        expected={RAW: partitions},
        complete_until={RAW: dict.fromkeys(range(partitions), until_ms)},
    )


def written(outputs: Iterable[Alert | TrendReading]) -> list[Alert | TrendPoint]:
    """What a core puts out, as the records that are written."""
    return [each.record() if isinstance(each, TrendReading) else each for each in outputs]
